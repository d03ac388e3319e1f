#!/usr/bin/env python3
"""What the collector is shown of every object of a C type: gc.get_referents() in the living process against what heapray finds by running
tp_traverse on the dump, object for object. In every CPython that is here: all types of the standard library's C modules that a program
(prog/visits_stdlib.py) can make objects of."""
import collections, glob, os, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

DUMPPLANS = os.path.join(hr.TOP, "build/tests/tools/dumpplans")


def interpreters():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def multiset(words, strings):
    return collections.Counter(w.rstrip("s") for w in words if strings or not w.endswith("s"))


def ask(core, addresses):
    """{address: (type, "plan" or "reader", how, words)} and the lines about plans."""
    with open(hr.path("addresses"), "w") as f:
        f.write("\n".join(addresses) + "\n")
    r = subprocess.run([DUMPPLANS, core, hr.path("addresses")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    found, plans = {}, []
    for line in r.stdout.splitlines():
        if line.startswith("plan "):
            plans.append(line)
            continue
        head, words = line.rsplit(":", 1)
        words, head = words.split(), head.split(" ")
        found[head[0]] = (" ".join(head[1:-1]), head[-1], words[-1] if words else "?", words[:-1])
    return found, plans


def compare(tag, core, said, least):
    want = {}
    for line in said.splitlines():
        f = line.split("\t")
        if len(f) == 3:
            want[f[0]] = (f[1], f[2].split())
    found, plans = ask(core, want)
    hr.ok(len(want) >= least, f"{tag}: {len(want)} objects of {len(set(t for t, _ in want.values()))} types", len(want))
    wrong, how = [], collections.Counter()
    for addr, (kind, words) in want.items():
        name, by, known, got = found.get(addr, ("nothing", "", "", []))
        how[by, known] += 1
        # the readers of dicts give the names, too; the interpreter skips strings that are keys
        a, b = multiset(got, by == "plan"), multiset(words, by == "plan")
        if a != b:
            wrong.append(f"{addr} {kind} ({name}, {by} {known}): too many {list((a - b).elements())[:6]}, missing {list((b - a).elements())[:6]}")
    hr.ok(not wrong, f"{tag}: each shows the collector the same objects", *wrong[:20])
    run = sum(n for (by, _), n in how.items() if by == "plan")
    hr.ok(run and how["plan", "exact"] >= 0.99 * run, f"{tag}: of {run} objects read off their code, {how['plan', 'exact']} exactly", how, *[p for p in plans if '""' not in p][:20])


def stdlib(python):
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/visits_stdlib.py")])
    core = hr.gcore(p.pid, "traverse" + python.replace("/", "_"))
    p.kill()
    if not core:
        return hr.skip(python, "no gcore here")
    compare(python, core, said, 800)
    fields(python, core)
    os.unlink(core)


def fields(python, core):
    """Every place that py types says is visited is a pointer to an object by the library's DWARF, where that knows the object's structure."""
    library = glob.glob(os.path.dirname(python) + "/../lib/libpython?.*.so.1.0")
    r = hr.heapray("py", "types", core, "--json")
    if not hr.eq(r.rc, 0, f"{python}: py types succeeds", r) or not library:
        return
    types = [t for t in r.json()["types"] if t["references"] == "traverse" and t["function"]]
    with open(hr.path("names"), "w") as f:
        f.write("\n".join(t["function"] for t in types))
    gdb = subprocess.run(["gdb", "-batch", "-nx", "-x", os.path.join(hr.HERE, "gdb_fields.py"), library[0]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                         env=dict(os.environ, NAMES=hr.path("names")))
    known = {line.split()[1]: {int(x) for x in line.split()[2:]} for line in gdb.stdout.splitlines() if line.startswith("fields ")}
    wrong, compared = [], set()
    for t in types:
        places = {int(v) for v in t["visits"] if v[0] == "+" and " " not in v and int(v) < t["basicsize"]}
        if t["function"] in known and t["function"] != "structseq_traverse":  # declared as an array of one
            compared.add(t["function"])
            if places - known[t["function"]]:
                wrong.append(f"{t['type']} {t['function']}: visits {sorted(places)}, its objects are at {sorted(known[t['function']])}")
    hr.ok(len(compared) >= 20 and not wrong, f"{python}: DWARF has an object at each place that {len(compared)} traverse functions visit", *wrong[:20])
    whole = sum(t["surety"] == "exact" for t in types)
    hr.ok(whole >= 0.98 * len(types), f"{python}: of {len(types)} types read off their code, {whole} exactly")


if __name__ == "__main__":
    todo = []
    for python in interpreters():
        def test(python=python):
            stdlib(python)
        todo.append(test)
    if not todo:
        hr.skip("traverse", "no Python here")
    hr.main(todo)
