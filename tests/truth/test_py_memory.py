#!/usr/bin/env python3
"""`py memory` against sys._debugmallocstats() of the living interpreter: arenas, pools and blocks per size class, and what the free
lists keep, in every CPython that is here."""
import os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

PROGRAM = """
import sys, time
class A(object):
    def __init__(self, i): self.x = i; self.y = str(i)
keep = [A(i) for i in range(30000)]
sparse = [keep[i] for i in range(0, 30000, 500)]
tuples = [(i, i + 1, i + 2) for i in range(5000)]; lists = [[i] for i in range(300)]; dicts = [{i: i} for i in range(300)]
floats = [i + 0.5 for i in range(500)]
del keep, tuples, lists, dicts, floats
import gc
gc.disable()
if hasattr(sys, '_debugmallocstats'): sys._debugmallocstats()
sys.stderr.flush()
sys.stdout.write(''.join('survivor %x\\n' % id(o) for o in sparse))
sys.stdout.write('ready\\n'); sys.stdout.flush()
time.sleep(300)
"""
# What _debugmallocstats calls the types whose free lists it counts.
NAMES = {"PyDictObjects": "dict", "PyListObjects": "list", "PyFloatObjects": "float", "PyDictKeysObjects": "dict keys",
         "PyMethodObjects": "method", "PyCFunctionObjects": "builtin_function_or_method", "PyFrameObjects": "frame", "PyTupleObjects": "tuple"}
SLACK = 4


def kept(text):
    out = {}
    for n, name in re.findall(r"^\s*(\d+) free (?:\d+-sized )?(\w+) \*", text, re.M):
        if name in NAMES:
            out[NAMES[name]] = out.get(NAMES[name], 0) + int(n)
    return out


def one(python):
    p, said = hr.start([python, "-c", PROGRAM])
    core = hr.gcore(p.pid, "memory")
    if not core:
        return hr.skip(python, "no gcore here")
    got = hr.heapray("py", "memory", core, "--json").json()
    text = hr.heapray("py", "memory", core).out
    os.unlink(core)
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    hr.ok(text.count("|\n") + text.count("| sparse") + text.count("| free") == got["arenas"], f"{version}: a row of the map for each arena", text[:3000])
    rows = re.findall(r"^\s*\d+\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$", said, re.M)
    if not rows:
        return hr.skip(python, "no sys._debugmallocstats to compare with")
    have = {c["size"]: c for c in got["classes"]}
    off = {}
    for size, pools, used, free in (map(int, r) for r in rows):
        c = have.get(size, {"pools": 0, "blocks_in_use": 0, "blocks_free": 0})
        if abs(c["pools"] - pools) > 1 or abs(c["blocks_in_use"] - used) > SLACK or (c["pools"] == pools and abs(c["blocks_free"] - free) > SLACK):
            off[size] = (c, (pools, used, free))
    hr.ok(not off, f"{version}: pools and blocks of {len(rows)} size classes", f"size: (got, wanted): {off}")
    arenas = int(re.search(r"arenas allocated current\s*=\s*([\d,]+)", said).group(1).replace(",", ""))
    hr.eq(got["arenas"], arenas, f"{version}: arenas")
    size = int(re.search(r"arenas \* (\d+) bytes/arena", said).group(1))
    hr.eq(got["arena_size"], size, f"{version}: bytes of an arena")
    listed = got["arena_list"]
    in_use = sum(c["blocks_in_use"] for c in got["classes"])
    hr.ok(len(listed) == arenas and sum(a["blocks_in_use"] + a["blocks_cached"] for a in listed) == in_use and all(a["size"] == size for a in listed),
          f"{version}: the arenas one by one add up", listed[:3], in_use)
    # each class in as few pools as it needs, pools in as few arenas
    head, pools = 48, 0
    for block, _, used, _ in (map(int, r) for r in rows):
        pools += -(-used // ((got["pool_size"] - head) // block))
    need = -(-pools // (size // got["pool_size"]))
    hr.ok(abs(got["arenas_needed"] - need) <= 1, f"{version}: {need} arenas would do", got["arenas_needed"])
    survivors = [int(line.split()[1], 16) for line in said.splitlines() if line.startswith("survivor ")]
    pinning = sum(1 for s in survivors for a in listed if a["sparse"] and int(a["addr"], 16) <= s < int(a["addr"], 16) + size)
    hr.eq(sum(p["count"] for p in got["pinned_by"] if p["type"] == "__main__.A"), pinning, f"{version}: {pinning} of {len(survivors)} survivors pin sparse arenas")
    free = {f["type"]: f["count"] for f in got["freelists"]}
    # up to 3.9 each function keeps one frame besides the list
    off = {k: (free.get(k, 0), n) for k, n in kept(said).items()
           if (free.get(k, 0) < n - SLACK or (free.get(k, 0) > n + SLACK and k != "frame"))}
    hr.ok(not off, f"{version}: free lists of {len(kept(said))} types keep {sum(kept(said).values())} objects", f"(got, wanted): {off}")


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])])
