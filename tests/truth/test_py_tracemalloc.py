#!/usr/bin/env python3
"""tracemalloc from outside: the traceback of every object, and the sums by line and by traceback, as the process itself says them.

The process forks, its child is dumped, and the parent (the same memory) asks tracemalloc: get_object_traceback() of each object and the
traces that take_snapshot() is made of."""
import collections, glob, os, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

PROGRAM = os.path.join(hr.TOP, "tests/truth/prog/tracing.py")


def interpreters():
    for p in sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python"))):
        yield p
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def told(said):
    lines = [line.split(" ") for line in said.splitlines()]
    objects = {int(w[1], 16): None if w[2] == "-" else w[2:] for w in lines if w[0] == "object"}
    by_line = {w[3]: (int(w[1]), int(w[2])) for w in lines if w[0] == "line"}
    stacks = {tuple(w[3:]): (int(w[1]), int(w[2])) for w in lines if w[0] == "stack"}
    memory = [list(map(int, w[1:])) for w in lines if w[0] == "memory"][0]
    return objects, by_line, stacks, memory, [int(w[1]) for w in lines if w[0] == "domain"][0]


def frames(f):
    return tuple("%s:%d" % (x["file"], x["line"]) for x in f)


def compare_objects(tag, core, objects):
    got = {}
    for o in hr.heapray("objects", core, "--ndjson").ndjson()[1]:
        if int(o["addr"], 16) in objects:
            got[int(o["addr"], 16)] = o["allocated"] and list(frames(o["allocated"]["frames"]))
    wrong = ["%x: %s, wanted %s" % (a, got.get(a, "missing"), w) for a, w in objects.items() if a in got and got[a] != w]
    heap = [a for a in objects if a in got]
    hr.ok(not wrong and len(heap) > 5, f"{tag}: tracebacks of {len(heap)} objects", *wrong[:5])
    return got


def planted(rows):
    return {k: v for k, v in rows.items() if "/planted/" in (k if isinstance(k, str) else k[0])}


def stripped_env(python):
    """The interpreter's library without symbols, loaded instead of its own; None where it has none of its own."""
    libs = glob.glob(os.path.dirname(os.path.dirname(python)) + "/lib/libpython3.*.so.1.0")
    if not libs:
        return None
    lib = hr.path(os.path.basename(libs[0]))
    subprocess.run(["strip", "-o", lib, libs[0]], check=True)
    return {"LD_PRELOAD": lib}


def one(python, mode, nframe, stripped=False):
    tag = "%s %s %d" % (python.replace(os.path.expanduser("~/.pyenv/versions/"), ""), mode, nframe)
    tag += " stripped" if stripped else ""
    p, said = hr.start([python, PROGRAM, mode, str(nframe)], env=stripped_env(python) if stripped else None)
    child = int(said.split("child ")[1].split()[0])
    core = hr.gcore(child, "trace")
    os.kill(child, 9)
    p.kill()
    p.wait()
    if not core:
        return hr.skip(tag, "no gcore here")
    objects, by_line, stacks, memory, domain = told(said)
    got = compare_objects(tag, core, objects)
    doc = hr.heapray("top", core, "--by", "line", "--json").json()
    ours = {"%s:%d" % (r["file"], r["line"]): (r["count"], r["bytes"]) for r in doc["lines"]}
    hr.eq(planted(ours), planted(by_line), f"{tag}: blocks and bytes by line")
    hr.eq(doc["tracing"], mode != "stop", f"{tag}: whether it is tracing")
    near = abs(doc["traces"] - memory[0]) <= 60 and abs(sum(b for _, b in ours.values()) - memory[1]) < 20000
    hr.ok(near, f"{tag}: all traces", doc["traces"], memory)
    if mode == "stop":
        hr.ok(doc["traces"] == 0 and not any(got.values()), f"{tag}: nothing is known any more")
        hr.ok("did not run" in hr.heapray("top", core, "--by", "line").err, f"{tag}: and that is said")
        return
    if not stripped and "python3" not in os.path.basename(python):
        hr.ok(doc["traceback_limit"] == nframe and abs(doc["traced_bytes"] - memory[2]) < 50000 and abs(doc["peak_bytes"] - memory[3]) < 50000,
              f"{tag}: limit, traced and peak bytes", {k: v for k, v in doc.items() if not isinstance(v, list)}, memory)
    rows = hr.heapray("top", core, "--by", "traceback", "--json").json()["tracebacks"]
    ours = {frames(r["frames"]): (r["count"], r["bytes"]) for r in rows}
    hr.eq(planted(ours), planted(stacks), f"{tag}: blocks and bytes by traceback")
    totals = collections.Counter()
    for k, v in by_line.items():
        totals[k.rpartition(":")[0]] += v[1]
    files = {r["file"]: r["bytes"] for r in hr.heapray("top", core, "--by", "file", "--json").json()["files"]}
    hr.eq(files.get("/planted/app.py"), totals["/planted/app.py"], f"{tag}: bytes by file")
    if domain:
        got_domains = {d["domain"]: (d["count"], d["bytes"]) for d in doc["domains"]}
        hr.eq(got_domains.get(1234), (domain, 11 * domain), f"{tag}: traces of another domain")
    show(tag, core, got)
    if nframe == 25:
        rules(tag, core, by_line)
        rings(tag, core)
    os.unlink(core)


def show(tag, core, got):
    addr, stack = next((a, s) for a, s in got.items() if s and "/planted/" in s[0])
    text = hr.heapray("show", core, hex(addr)).out
    hr.ok("allocated at " + stack[0] in text and all(f in text for f in stack), f"{tag}: show says where it was allocated", text)
    doc = hr.heapray("show", core, hex(addr), "--json").json()
    hr.eq(list(frames(doc["allocated"]["frames"])), stack, f"{tag}: show --json, too")
    hr.ok("/planted/app.py" in hr.heapray("top", core, "--by", "line").out, f"{tag}: top --by line as text")


def rings(tag, core):
    """Garbage says where it was made; the pairs of many() are made in one line."""
    doc = hr.heapray("py", "gc", core, "--json").json()
    got = {tuple(at for at, t in zip(r["allocated_at"], r["types"]) if t == "app.Plain") for r in doc["rings"]} - {()}
    text = hr.heapray("py", "gc", core).out.replace("\n", " ")
    hr.ok(len(got) == 1 and len(list(got)[0]) == 2 and len(set(list(got)[0])) == 1 and list(got)[0][0].startswith("/planted/app.py:") and "allocated at" in text,
          f"{tag}: rings of garbage say where they were made", got)


RULE = """rule planted.site { severity note  title "{o.allocated_at} made {count}"
  match o in objects where starts(o.allocated_at, "/planted/")  group by o.allocated_at }"""


def rules(tag, core, by_line):
    """Rules group by the line; the built-in ones cite it."""
    with open(hr.path("site.rules"), "w") as f:
        f.write(RULE)
    doc = hr.heapray("check", core, "--json", "--rules", hr.path("site.rules"), "--only", "planted.*").json()
    got = {f["title"].split(" made ")[0]: f["count"] for f in doc["findings"]}
    want = {k: v[0] for k, v in planted(by_line).items()}
    sure = ["/planted/app.py:%d" % n for n in (4, 7, 15)] # of other lines some blocks are on the interpreter's free lists
    hr.ok(all(got.get(k) == want[k] for k in sure) and all(n <= want[k] for k, n in got.items()), f"{tag}: a rule that groups by o.allocated_at", got, want)
    titles = [f["title"] for f in hr.heapray("check", core, "--json", "--set", "duplicates_min_bytes=1KiB").json()["findings"] if f["rule"] == "cpython.duplicates"]
    hr.ok(any("(allocated at /planted/app.py:26)" in t for t in titles), f"{tag}: duplicates say where they were made", titles)


def all_of(python):
    one(python, "run", 25)
    one(python, "run", 1)
    if python.endswith("python3") or "3.8" in python or "3.13" in python:
        one(python, "clear", 3)
        one(python, "stop", 5)
    if "3.6" in python or "3.8" in python or "3.10" in python: # statics that only their shape gives away
        one(python, "run", 2, stripped=True)


if __name__ == "__main__":
    hr.main([lambda p=p: all_of(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])])
