#!/usr/bin/env python3
"""glibc malloc of other machines: big-endian ppc64, 32-bit arm, aarch64, riscv64, each as real cores that qemu's user mode
writes of the static program glibcheap. What the program says of itself is the truth, as in test_glibc.py."""
import glob, os, resource, shutil, subprocess, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
import test_glibc as tg

MACHINES = {"ppc64": "powerpc64-linux-gnu-gcc", "arm": "arm-linux-gnueabihf-gcc", "aarch64": "aarch64-linux-gnu-gcc",
            "riscv64": "riscv64-linux-gnu-gcc"}


def core_of(machine, exe, things):
    """(core, what it said). qemu writes its core beside the kernel's own core of qemu, which is not wanted."""
    where = tempfile.mkdtemp(dir=hr.SCRATCH)
    unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    with open(os.path.join(where, "said"), "wb") as said:
        subprocess.run([f"qemu-{machine}-static", exe, *things.split(), "die"], cwd=where, stdin=subprocess.DEVNULL, stdout=said,
                       stderr=subprocess.DEVNULL, preexec_fn=unlimited, timeout=300)
    for f in glob.glob(os.path.join(where, "core*")):
        os.unlink(f)
    cores = glob.glob(os.path.join(where, "qemu_*.core"))
    with open(os.path.join(where, "said")) as said:
        return (cores[0] if cores else None), tg.Said(said.read())


def run(machine):
    cc = MACHINES[machine]
    if not shutil.which(cc) or not shutil.which(f"qemu-{machine}-static"):
        hr.skip(f"{machine}", f"{cc} or qemu-{machine}-static is not installed")
        return
    exe = hr.path(machine)
    r = subprocess.run([cc, "-O1", "-g", "-static", "-D_GNU_SOURCE", "-o", exe, os.path.join(hr.TOP, "tests/truth/prog/glibcheap.c"), "-lpthread"],
                       stderr=subprocess.PIPE)
    if r.returncode:
        hr.skip(machine, "its C library is not installed")
        return
    for things in ("mix 6000 mmap 20", "mix 3000 threads 3 3000 gone 1 500", "mix 2000 sbrk 5000 mix 3000 big 500 3000"):
        core, said = core_of(machine, exe, things)
        if not core:
            hr.skip(f"{machine}: {things}", "qemu wrote no core")
            continue
        for way, options in (("as it is", []), ("without any file", ["--no-host", "--no-symbols"])):
            tg.check(core, said, f"{machine}: {things}, {way}", options, spare=30)
        os.unlink(core)


if __name__ == "__main__":
    hr.main([lambda m=m: run(m) for m in MACHINES])
