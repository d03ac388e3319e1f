#!/usr/bin/env python3
"""make bench: what an answer costs, in units of adding up the core's words once.

    tests/bench/run.py [-b BUILD] [--repeat N] [BLOCKS[:large|:py]…]      default: 1e5 1e6 1e7 2.5e7 7e6:large 1e5:py 2e6:py

For each size a core is made (and deleted), then measured: CPU seconds (user + system), wall seconds and peak memory, mapped
pages included, of sumwords, of `heapray check --only 'leak.*'` and of a whole `heapray check`. Medians. Nothing is asserted: machines differ;
the last column is what the project set itself (native core of 25 million blocks). BENCH_LONG=1 adds a Python heap of 10^7 objects.

:py is a heap of so many objects of the Python that $BENCH_PYTHON names (/usr/bin/python3). Its unit is not the sum of the words but the CPU
time that the interpreter itself takes to close over gc.get_referents() and add up sys.getsizeof(), in the same minute.
"""
import argparse, os, resource, shutil, statistics, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def measure(argv):
    """(CPU s, wall s, peak MiB, exit status) of one run."""
    began = time.monotonic()
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, use = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    return use.ru_utime + use.ru_stime, time.monotonic() - began, use.ru_maxrss / 1024, p.returncode


def median(argv, repeat):
    runs = [measure(argv) for _ in range(repeat)]
    return [statistics.median(r[i] for r in runs) for i in range(3)] + [runs[0][3]]


def make_core(tool, blocks, kind, folder):
    def unlimited():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    subprocess.run([tool, str(blocks), kind], cwd=folder, preexec_fn=unlimited, stderr=subprocess.DEVNULL)
    cores = [f for f in os.listdir(folder) if f.startswith("core")]
    if not cores:
        sys.exit(f"no core; core_pattern is {open('/proc/sys/kernel/core_pattern').read().strip()}")
    return os.path.join(folder, cores[0])


def python_core(python, objects, folder):
    """The core of a process with the heap, and (CPU seconds, objects) of its own closure over it."""
    p = subprocess.Popen([python, f"{TOP}/tests/bench/pyheap.py", str(objects)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    subprocess.run(["gcore", "-o", f"{folder}/py", str(p.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    p.stdin.write("go\n")
    p.stdin.flush()
    cpu, count, _ = p.stdout.readline().split()
    p.communicate()
    core = f"{folder}/py.{p.pid}"
    if not os.path.exists(core):
        sys.exit("gcore wrote no core")
    return core, float(cpu), int(count)


def bench_python(build, objects, repeat, folder):
    core, unit, count = python_core(os.environ.get("BENCH_PYTHON", "/usr/bin/python3"), objects, folder)
    size = os.stat(core).st_size / 1048576
    try:
        subprocess.run([f"{build}/heapray", "info", core], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # page cache and types of libc
        print(f"{count:>10,} {'py':5} {size:8,.0f} MiB  closure in process  {unit:8.3f} s CPU")
        for args in (["info"], ["py", "gc"], ["py", "refs"], ["top"], ["check"]):
            r = median([f"{build}/heapray", *args, core], repeat)
            print(f"{'':10} {'':5} {'':12}  {' '.join(args):19} {r[0]:8.3f} s CPU {r[1]:8.3f} s wall {r[2]:8,.0f} MiB   "
                  f"{r[0] / unit:6.2f} x closure {r[2] / size:5.2f} x core  {r[0] / count * 1e9:6.0f} ns/object   exit {r[3]}   "
                  f"(goal 1 x, 4 x core)")
        sys.stdout.flush()
    finally:
        os.unlink(core)


def bench(build, what, repeat, folder):
    blocks, _, kind = what.partition(":")
    if kind == "py":
        return bench_python(build, float(blocks), repeat, folder)
    blocks, kind = int(float(blocks)), kind or "small"
    core = make_core(f"{build}/tests/bench/mkheap", blocks, kind, folder)
    size = os.stat(core).st_size / 1048576
    try:
        measure(["cat", core])   # into the page cache
        unit = median([f"{build}/tests/bench/sumwords", core], max(3, repeat))
        print(f"{blocks:>10,} {kind:5} {size:8,.0f} MiB  sum words           {unit[0]:8.3f} s CPU {unit[1]:8.3f} s wall {unit[2]:8,.0f} MiB")
        for name, extra, goal in (("check --only leak.*", ["--only", "leak.*"], "25 x, 1.5 x core" if kind == "small" else "6 x"),
                                  ("check", [], "350 x, 3 x core")):
            r = median([f"{build}/heapray", "check", core, "--no-cache", *extra], repeat)
            print(f"{'':10} {'':5} {'':12}  {name:19} {r[0]:8.3f} s CPU {r[1]:8.3f} s wall {r[2]:8,.0f} MiB   "
                  f"{r[0] / unit[0]:6.1f} x sum  {r[2] / size:5.2f} x core  {r[0] / blocks * 1e9:6.0f} ns/block   exit {r[3]}   (goal {goal})")
        sys.stdout.flush()
    finally:
        os.unlink(core)


def main():
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument("-b", default="build")
    ap.add_argument("--repeat", type=int, default=3)
    ap.add_argument("what", nargs="*", default=["1e5", "1e6", "1e7", "2.5e7", "7e6:large", "1e5:py", "2e6:py"] +
                    (["1e7:py"] if os.environ.get("BENCH_LONG") else []))
    args = ap.parse_args()
    os.chdir(TOP)
    args.b = os.path.abspath(args.b)
    folder = tempfile.mkdtemp(prefix="hr-bench-")
    try:
        for what in args.what:
            bench(args.b, what, args.repeat, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
