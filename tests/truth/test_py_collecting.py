#!/usr/bin/env python3
"""Dumps taken while the collector runs: from its callbacks, from weak references' callbacks and finalizers, and stopped by gdb inside
its passes. heapray says that a collection was under way, calls nothing exact, finds the same objects, and never takes what is
reachable for garbage; before the first object is cleared it knows the garbage as well."""
import os, shutil, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

PROGRAM = r"""
import gc, os, sys, time, weakref
gc.disable()
gc.collect()
class Node(object):
    def __init__(self): self.me = self
class Kept(object):
    def __init__(self): self.me = self; self.more = [self, {}]
class Last(object):
    __slots__ = ()
    def __del__(self): stop()
stage, flag = sys.argv[1:]
def wait(name):
    while not os.path.exists(flag + name): time.sleep(0.02)
def stop(*args):
    sys.stdout.write('ready\n'); sys.stdout.flush()
    wait('go')
kept = [Kept() for i in range(300)]
made = []
for i in range(200):
    n = Node()
    made.append(id(n))
    if stage == 'weakref' and i == 150: w = weakref.ref(n, stop)
    if stage == 'dealloc' and i == 150: n.last = Last()
del n
print('kept ' + ' '.join('%x' % id(k) for k in kept))
print('made ' + ' '.join('%x' % m for m in made))
if stage in ('start', 'stop'): gc.callbacks.append(lambda phase, info: stop() if phase == stage else None)
if stage == 'gdb': stop()
n = gc.collect()
print('collected %d' % n); sys.stdout.flush()
wait('end')
"""
POINTS = (("visit_decref", 2000, True), ("visit_reachable", 300, True), ("subtype_clear", 20, False))


def addresses(said, what):
    return {int(a, 16) for line in said.splitlines() if line.startswith(what + " ") for a in line.split()[1:]}


def look(core, said, tag, whole, returned=None):
    """whole: nothing has been cleared yet."""
    kept, made = addresses(said, "kept"), addresses(said, "made")
    r = hr.heapray("py", "gc", core, "--json")
    if not hr.ok(r.rc in (0, 4), f"{tag}: py gc succeeds", r):
        return
    doc = r.json()
    garbage = {int(a, 16) for a in doc["garbage"] + doc["uncollectable"]}
    hr.ok(doc["collecting"] and not doc["exact"], f"{tag}: a collection was under way, nothing is exact", doc["collecting"], doc["exact"])
    hr.ok(not kept & garbage, f"{tag}: what is reachable is no garbage", len(kept & garbage))
    if whole:
        hr.ok(made <= garbage, f"{tag}: garbage of {len(made)} objects is known", len(made - garbage))
    if returned is not None:
        hr.eq(doc["collect_returns"], returned, f"{tag}: returns")
    text = hr.heapray("py", "gc", core).out
    hr.ok("in the middle of a collection" in text and "would return" not in text, f"{tag}: the text says so", text[:600])
    objects = {int(o["addr"], 16): o for o in hr.heapray("objects", core, "--ndjson").ndjson()[1]}
    hr.ok(all(k in objects and objects[k]["type"] == "__main__.Kept" for k in kept), f"{tag}: the objects are found")
    hr.ok(not any(objects[k]["garbage"] for k in kept), f"{tag}: and none of them is garbage")


def from_inside(python, version, stage):
    flag = hr.path(f"{version}{stage}")
    p, said = hr.start([python, "-c", PROGRAM, stage, flag])
    core = hr.gcore(p.pid, "collecting")
    if not core:
        return hr.skip(python, "no gcore here")
    open(flag + "go", "w").close()
    n = int(hr.wait_for(p, b"collected ").split("collected ")[1].split()[0])
    look(core, said, f"{version} {stage}", stage in ("start", "weakref"), n if stage == "start" else None)
    os.unlink(core)
    p.kill()


def from_gdb(python, version):
    flag = hr.path(f"{version}gdb")
    p, said = hr.start([python, "-c", PROGRAM, "gdb", flag])
    argv = ["gdb", "-q", "-nx", "-batch", "-p", str(p.pid), "-ex", f"shell touch {flag}go"]
    for k, (function, skip, _) in enumerate(POINTS):
        argv += ["-ex", f"break {function}", "-ex", f"ignore {k + 1} {skip}", "-ex", "continue", "-ex", f"gcore {hr.path(function)}",
                 "-ex", f"delete {k + 1}"]
    r = subprocess.run(argv + ["-ex", "kill"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    for function, _, whole in POINTS:
        core = hr.path(function)
        if not os.path.exists(core):
            hr.skip(f"{version} {function}", "gdb did not stop there: " + r.stdout[-200:].replace("\n", " "))
            continue
        look(core, said, f"{version} in {function}", whole)
        os.unlink(core)


def one(python):
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    for stage in ("start", "stop", "weakref", "dealloc"):
        if "/2.7" not in python or stage not in ("start", "stop"):
            from_inside(python, version, stage)
    if version != "usr" and shutil.which("gdb"):
        from_gdb(python, version)


if __name__ == "__main__":
    todo = [lambda p=p: one(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])]
    if not todo:
        hr.skip("collections under way", "no Python here")
    hr.main(todo)
