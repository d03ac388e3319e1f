#!/usr/bin/env python3
"""Types of a C extension that keep references in odd ways (prog/odd_traverse.c), compiled at every optimisation level by gcc and clang for the
CPythons that have headers here: what the collector is shown of each object, and what it finds to be garbage, as in the living process."""
import glob, os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_gc import same_set, saved
from test_py_traverse import compare

LEVELS = ["gcc -O2", "gcc -O0 -fcf-protection=full", "gcc -O3 -fno-plt", "gcc -Os -fstack-protector-all", "gcc -O1 -fno-omit-frame-pointer", "clang -O2", "clang -O0", "clang -O3 -fno-jump-tables",
          "gcc -O2 -flto -Wl,-z,now", "clang -Os", "gcc -O3 -fno-tree-vectorize -funroll-loops"]


def build(compiler, include):
    where = hr.path("odd" + str(len(os.listdir(hr.SCRATCH))))
    os.mkdir(where)
    r = subprocess.run([*compiler.split(), "-w", "-shared", "-fPIC", "-I" + include, os.path.join(hr.TOP, "tests/truth/prog/odd_traverse.c"), "-o", where + "/odd.so"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return where if r.returncode == 0 else None


def one(python, compiler, include):
    tag = "%s %s" % (python.replace(os.path.expanduser("~/.pyenv/versions/"), "").replace("/bin/python", ""), compiler)
    if not shutil.which(compiler.split()[0]):
        return hr.skip(tag, "no " + compiler.split()[0])
    where = build(compiler, include)
    if not hr.ok(where, f"{tag}: built"):
        return
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/odd_objects.py"), where], say=b"")
    core = hr.gcore(p.pid, "odd")
    if not core:
        return hr.skip(tag, "no gcore here")
    p.stdin.write(b"\n")
    p.stdin.flush()
    keeps, returned = saved(hr.wait_for(p, b"collected "))
    p.kill()
    compare(tag, core, said, 500)
    r = hr.heapray("py", "gc", core, "--json")
    if hr.eq(r.rc, 0, f"{tag}: py gc succeeds", r):
        hr.eq(r.json()["collect_returns"], returned, f"{tag}: gc.collect() returned {returned}")
        hr.ok(len(keeps) > 500, f"{tag}: there was garbage", len(keeps))
        same_set(r.json(), keeps, f"{tag}: the same objects")
    os.unlink(core)


if __name__ == "__main__":
    todo = []
    for i, python in enumerate(sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))):
        include = glob.glob(os.path.dirname(python) + "/../include/python*/Python.h")
        for k, compiler in enumerate(LEVELS):
            # every compiler with some interpreter, every interpreter with some compilers; LONG=1: all
            if include and (hr.LONG or (i + k) % 6 == 0):
                def test(python=python, compiler=compiler, include=os.path.dirname(include[0])):
                    one(python, compiler, include)
                todo.append(test)
    if not todo:
        hr.skip("odd traverse", "no headers of any Python here")
    hr.main(todo)
