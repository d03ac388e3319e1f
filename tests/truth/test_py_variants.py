#!/usr/bin/env python3
"""CPython's allocators other than pymalloc, and its debug hooks (PYTHONMALLOC): objects, their sizes, values, counts and the census as
the living process said them, what gc.collect() frees, and damaged guards, in every CPython that has them."""
import os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
import test_py_gc, test_py_objects

DAMAGE = r"""
import ctypes, sys, time
keep = [bytes(bytearray(b'victim %03d' % i)) * 9 for i in range(50)]
lists = [[i] * 7 for i in range(50)]
head = keep[0].__sizeof__() - len(keep[0]) - 1
ctypes.memset(id(keep[7]) + head + len(keep[7]) + 1, 0x41, 3)  # one past the terminating zero
array = ctypes.cast(id(lists[9]) + list.__basicsize__ - 16, ctypes.POINTER(ctypes.c_size_t))[0]
ctypes.memset(array - 1, 0x42, 1)                              # in front of the items
print('behind %x before %x' % (id(keep[7]), array))
print('ready'); sys.stdout.flush()
time.sleep(300)
"""


def pythons():
    """Those that read PYTHONMALLOC: 3.6 and later."""
    return [p for p in test_py_objects.interpreters() if "/2.7" not in p]


def notes(core):
    return [(n["code"], int(n["addr"], 16), n["text"]) for n in hr.heapray("py", "memory", core, "--json").json()["notes"] if n.get("addr")]


def damage(python):
    """What a program wrote outside its blocks is found where it was written, and nowhere else."""
    p, said = hr.start([python, "-S", "-c", DAMAGE], env={"PYTHONMALLOC": "malloc_debug" if "/3.6" in python else "debug"})
    core = hr.gcore(p.pid, "damage")
    if not core:
        return hr.skip(python, "no gcore here")
    found = [n for n in notes(core) if n[0].startswith("heap.corrupt.python")]
    os.unlink(core)
    for what in ("behind", "before"):
        at = int(re.search(what + " ([0-9a-f]+)", said).group(1), 16)
        near = [n for n in found if at - 64 <= n[1] <= at and what in n[2]]
        hr.ok(len(near) == 1, f"{python}: {what} a block", found, hex(at))
    hr.eq(len(found), 2, f"{python}: nothing else", found)


if __name__ == "__main__":
    todo = []
    for i, python in enumerate(pythons()):
        for mode in ("debug", ("malloc", "malloc_debug")[i % 2]) if not hr.LONG else ("malloc", "debug", "malloc_debug", "pymalloc_debug"):
            def test(python=python, mode=mode):
                env = {"PYTHONMALLOC": mode}
                test_py_objects.one(python, env, " " + mode)
                if mode == "debug":
                    test_py_gc.one(python, "garbage_hard", env, " " + mode, without=False)
            todo.append(test)
        todo.append(lambda python=python: damage(python))
    if not todo:
        hr.skip("PYTHONMALLOC", "no Python 3 here")
    hr.main(todo)
