#!/usr/bin/env python3
"""What code refers to: a program says where the data and functions lie that one of its functions uses; libc's debug symbols say
where main_arena is, which the stripped libc's exported functions have to give away."""
import os, re, shutil, subprocess, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from foreign import as_the_kernel, FOREIGN

TOOL = os.path.join(os.environ.get("HR_BUILD", f"{hr.TOP}/build"), "tests/tools/coderefs")


def compile(name, *flags, cc="gcc"):
    out = hr.path(name)
    r = subprocess.run([cc, "-w", "-o", out, f"{hr.TOP}/tests/truth/prog/refs.c", *flags], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    return None if r.returncode else out


def told(text):
    """{"fn": [...], "ref": [...], "call": [...]} of either side's words."""
    found = {"fn": [], "ref": [], "call": []}
    for line in text.splitlines():
        w = line.split()
        if len(w) == 2 and w[0] in found:
            found[w[0]].append(int(w[1], 16))
    return found


def ask(core, *args):
    return told(subprocess.run([TOOL, *args[2:], core, *args[:2]], stdout=subprocess.PIPE, text=True, timeout=120).stdout)


def compare(what, said, core, mask, calls, *exe):
    want = told(said)
    got = ask(core, hex(want["fn"][0]), "4096", *exe)
    missing = [hex(a) for a in want["ref"] if a not in got["ref"]]
    hr.ok(want["ref"] and not missing, f"{what}: all {len(want['ref'])} variables are found", missing, [hex(a) for a in got["ref"]])
    hr.ok(got["ref"][:1] == want["ref"][:1], f"{what}: the first reference comes first", [hex(a) for a in got["ref"]])
    hr.ok(len(got["ref"]) <= len(want["ref"]) + 3, f"{what}: and little else", [hex(a) for a in got["ref"]])
    if calls:
        missing = [hex(a) for a in want["call"] if a & mask not in got["call"]]
        hr.ok(not missing, f"{what}: the functions it calls", missing, [hex(a) for a in got["call"]])


def test_here():
    for what, flags, cc in (("-O2", ["-O2"], "gcc"), ("-O0", ["-O0"], "gcc"), ("-O3 position-dependent", ["-O3", "-no-pie", "-fno-pie"], "gcc"),
                            ("clang -O2", ["-O2"], "clang"), ("-m32 -O2", ["-m32", "-O2"], "gcc"), ("-m32 -O0", ["-m32", "-O0"], "gcc"),
                            ("-m32 position-dependent", ["-m32", "-O2", "-no-pie", "-fno-pie"], "gcc"), ("-m32 -fPIC", ["-m32", "-Os", "-fPIC"], "gcc")):
        exe = shutil.which(cc) and compile("refs-" + re.sub(r"\W", "_", what), *flags, cc=cc)
        if not exe:
            hr.skip(what, "cannot be compiled here")
            continue
        p, said = hr.start([exe])
        core = hr.gcore(p.pid, "refs.core")
        p.kill()
        compare(what, said, core, ~0, True)
        os.unlink(core)


def test_foreign():
    for machine, triplet in FOREIGN:
        cc, qemu = f"{triplet}-gcc", f"qemu-{machine}-static"
        for opt in (["-O2"], ["-O0"]) + ((["-O2", "-marm"],) if machine == "arm" else ()):
            what = f"{machine} {' '.join(opt)}"
            exe = shutil.which(cc) and shutil.which(qemu) and compile(f"refs-{machine}", *opt, "-static", cc=cc)
            if not exe:
                hr.skip(what, f"no {cc} or {qemu}")
                continue
            where = tempfile.mkdtemp(dir=hr.SCRATCH)
            said = subprocess.run([qemu, exe, "abort"], cwd=where, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            cores = [f for f in os.listdir(where) if f.startswith("qemu_")]
            if not cores:
                hr.skip(what, "no core")
                continue
            core = os.path.join(where, cores[0])
            as_the_kernel(core, exe)
            # ppc64 prints function descriptors; the calls go to the code itself
            compare(what, said, core, ~1 if machine == "arm" else ~0, machine != "ppc64", "--exe", exe)
            shutil.rmtree(where)


def symbols(path, *args):
    out = subprocess.run(["nm", *args, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return {w[2].split("@")[0]: int(w[0], 16) for w in (l.split() for l in out.splitlines()) if len(w) == 3}


def test_main_arena():
    """Exported functions of libc that work on main_arena: each refers to it."""
    libc = subprocess.run(["ldd", "/bin/sh"], stdout=subprocess.PIPE, text=True).stdout
    libc = re.search(r"libc\.so\.6 => (\S+)", libc)
    notes = libc and subprocess.run(["readelf", "-n", libc[1]], stdout=subprocess.PIPE, text=True).stdout
    build = notes and re.search(r"Build ID: (\w\w)(\w+)", notes)
    debug = build and f"/usr/lib/debug/.build-id/{build[1]}/{build[2]}.debug"
    if not debug or not os.path.exists(debug):
        return hr.skip("main_arena", "no debug symbols of libc to compare with")
    truth, exported = symbols(debug), symbols(libc[1], "-D")
    p, _ = hr.start(["sh", "-c", "echo ready; read x < /dev/zero"])
    maps = open(f"/proc/{p.pid}/maps").read()
    base = min(int(l.split("-")[0], 16) for l in maps.splitlines() if l.endswith(os.path.realpath(libc[1])))
    core = hr.gcore(p.pid, "sh.core")
    p.kill()
    found = 0
    for name in ("malloc_trim", "mallinfo2", "malloc_info", "malloc_stats"):
        if name not in exported:
            continue
        refs = ask(core, hex(base + exported[name]), "4096")["ref"]
        hit = [a for a in refs if 0 <= a - base - truth["main_arena"] < 0x900]
        print(f"# {name}: {len(refs)} references, main_arena+{[a - base - truth['main_arena'] for a in hit]}")
        found += base + truth["main_arena"] in refs
    hr.ok(found >= 2, f"main_arena's own address is among the references of {found} exported functions")


if not os.path.exists(TOOL):
    print("1..0 # SKIP build/tests/tools/coderefs is not built")
    sys.exit(0)
hr.main([test_here, test_foreign, test_main_arena])
