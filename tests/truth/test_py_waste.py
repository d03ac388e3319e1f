#!/usr/bin/env python3
"""What a Python wastes or keeps too long, as the process itself counts it; and a healthy program of which nothing is said."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

WASTING = os.path.join(hr.TOP, "tests/truth/prog/wasting.py")
HEALTHY = os.path.join(hr.TOP, "tests/truth/prog/healthy.py")
# Columns of the tables as titles; addr() prints a number without commas.
RULES = """
rule test.box { severity note title "{c.kind} {addr(count)} {addr(sum(c.capacity))} {addr(sum(c.used))}"
  match c in containers where c.type ~ /Planted/ group by c.kind }
rule test.cache { severity note title "{c.name} {addr(c.len)} {default(c.maxsize, -1)} {addr(c.hits)} {addr(c.misses)} {c.unbounded}"
  match c in caches where c.name in ("endless", "bounded") fingerprint by c.name }
rule test.data { severity note title "{d.name} {addr(d.len)}" match d in module_data where starts(d.name, "__main__.") fingerprint by d.name }
rule test.weak { severity note title "{w.dead} {w.type} {w.held_by}" match w in weakrefs group by w.dead, w.type, w.held_by }
rule test.interned { severity note title "{addr(count)}" match i in interned where i.alone and i.immortal group by i.alone }
"""


def dump(python, *argv):
    p, said = hr.start([python, *argv])
    core = hr.gcore(p.pid, "waste")
    p.kill()
    p.wait()
    return core, said


def findings(core, *argv):
    return hr.heapray("check", core, "--json", *argv).json()["findings"]


def numbers(text):
    return [int(w, 16) if w.startswith("0x") else w for w in text.split()]


def containers(tag, said, rows):
    got = {n[0]: n[1:] for n in map(numbers, rows["test.box"])}
    for kind in "deque", "set", "bytearray":
        count, room, used = map(int, said[kind][0])
        capacity = room * 3 // 5 * count if kind == "set" else room
        used = used * count if kind == "set" else used
        hr.eq(got.get(kind), [count, capacity, used], f"{tag}: {kind}s: number, room, items")


def weakrefs(tag, said, found):
    dead, alive, leftover = map(int, said["weak"][0])
    got = {}
    for f in found:
        if f["rule"] == "test.weak":
            is_dead, kind, by = f["title"].split(" ", 2)
            key = is_dead, "KeyedRef" if "KeyedRef" in kind else "ref"
            got[key] = got.get(key, 0) + f["count"]
    hr.ok(got.get(("yes", "ref"), 0) == dead and alive <= got.get(("no", "ref"), 0) < alive + 2000, f"{tag}: {dead} dead weak references, {alive} alive", got)
    hr.eq(got.get(("yes", "KeyedRef"), 0), leftover, f"{tag}: dead entries of a WeakValueDictionary")


def builtin(tag, said, found):
    """The rules of the pack, with the figures that the process gives."""
    by = {}
    for f in found:
        by.setdefault(f["rule"], []).append(f)
    tuples, each = map(int, said["tuples"][0])
    hr.ok(any(f["title"].startswith("5,000 equal tuple objects of length 3") and f["bytes"] == (tuples - 1) * ((each + 15) & ~15)
              for f in by.get("cpython.duplicates", [])), f"{tag}: equal tuples of different objects", by.get("cpython.duplicates"))
    count, frames, held, line = map(int, said["tracebacks"][0])
    if count:
        f = by.get("cpython.tracebacks", [{"title": "", "count": 0, "bytes": 0, "location": ""}])[0]
        hr.ok(f["count"] == count and "%d frames" % frames in f["title"] and held <= f["bytes"] < held * 3 // 2 and f["location"] == f"{WASTING}:{line}",
              f"{tag}: exceptions with frames", f)
        hr.ok("lru_cache of endless" in by.get("cpython.unbounded_cache", [{"title": ""}])[0]["title"], f"{tag}: a cache without bound")
    hr.ok(any("__main__.journal, a list of 20,000 items" in f["title"] for f in by.get("cpython.module_data", [])), f"{tag}: data of a module")
    hr.ok("cpython.dead_weakrefs" in by, f"{tag}: dead weak references are found")
    arenas = by.get("cpython.arenas", [{"title": "", "bytes": 0}])[0]
    hr.ok("tuple" in arenas["title"] and arenas["bytes"] > 20 << 20, f"{tag}: arenas that survivors pin", arenas)
    once = [f["fingerprint"] for f in found if f["rule"] != "cpython.duplicates"] # equal values of one type and length are told apart by nothing
    hr.ok(all(f["remedy"] and f["count"] for f in found) and len(set(once)) == len(once), f"{tag}: remedies and fingerprints")


def wasting(python, version):
    tag = f"{version} wasting"
    core, text = dump(python, WASTING, "wasting")
    if not core:
        return hr.skip(python, "no gcore here")
    said = {}
    for line in text.splitlines():
        said.setdefault(line.split(" ")[0], []).append(line.split(" ")[1:])
    with open(hr.path("waste.rules"), "w") as f:
        f.write(RULES)
    found = findings(core, "--rules", hr.path("waste.rules"), "--only", "test.*")
    rows = {}
    for f in found:
        rows.setdefault(f["rule"], []).append(f["title"])
    containers(tag, said, rows)
    got = sorted(map(numbers, rows.get("test.cache", [])))
    want = sorted([n, int(size), "-1" if most == "None" else most, int(hits), int(misses), "yes" if most == "None" else "no"]
                  for n, size, most, hits, misses in said.get("cache", []))
    hr.eq(got, want, f"{tag}: lru_caches")
    data = dict(map(numbers, rows["test.data"]))
    hr.eq([data.get("__main__." + n) for n in ("journal", "Registry.instances", "registry.table")], [20000] * 3, f"{tag}: containers of a module, a class, an object")
    weakrefs(tag, said, found)
    alone = sum(numbers(r)[0] for r in rows.get("test.interned", []))
    hr.ok(9000 <= alone < 11000 if said["interned"][0][0] == "True" else alone < 1500, f"{tag}: interned strings that nothing uses", alone, said["interned"])
    builtin(tag, said, findings(core, "--only", "cpython.*"))
    os.unlink(core)


def quiet(python, version):
    core, _ = dump(python, WASTING, "healthy")
    if core:
        found = [f["title"] for f in findings(core, "--only", "cpython.*")]
        hr.eq(found, [], f"{version}: nothing is said of the same in harmless amounts")
        os.unlink(core)
        core, _ = dump(python, HEALTHY)
        found = [f for f in findings(core) if not f["rule"].startswith("refcount.")]  # C modules of some versions do leak a reference at import
        hr.eq([f["title"] for f in found if f["severity"] != "note" or f["rule"].startswith("cpython.")], [], f"{version}: a healthy program is well")
        os.unlink(core)


def one(python):
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    wasting(python, version)
    quiet(python, version)


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])])
