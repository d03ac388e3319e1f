#!/usr/bin/env python3
"""`py refs`: references that a program planted with Py_IncRef, and took away with Py_DecRef, are found with the right numbers, and none in
a program that leaks none, in every CPython that is here."""
import json, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters


def start(python, program):
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/%s.py" % program)], say=b"")
    return said, hr.gcore(p.pid, "refs" + python.replace("/", "_"))


def planted(said, word):
    lines = [line.split() for line in said.splitlines() if line.startswith(word + " ")]
    return {int(line[1], 16): int(line[2]) for line in lines}


def numbers(rows, key):
    return {int(r["addr"], 16): r[key] for r in rows}


def difference(got, want):
    return ["%x: %s, not %s" % (a, got.get(a, 0), want.get(a, 0)) for a in sorted(set(got) | set(want)) if got.get(a, 0) != want.get(a, 0)]


def finds(python):
    said, core = start(python, "refs_planted")
    if not core:
        return hr.skip(python, "no gcore here")
    leaks, lacks = planted(said, "leak"), planted(said, "lack")
    hr.ok(len(leaks) == 254 and len(lacks) == 33, f"{python}: the program planted them", len(leaks), len(lacks))
    for label, extra in (("", ()), (" without debug information", ("--no-types", "--no-debug-files"))):
        doc = hr.heapray("py", "refs", core, "--json", *extra).json()
        surplus, deficit = numbers(doc["surplus"], "surplus"), numbers(doc["deficit"], "deficit")
        hr.ok(surplus == leaks, f"{python}{label}: 254 leaks, each as planted, and nothing else", difference(surplus, leaks))
        hr.ok(deficit == lacks, f"{python}{label}: 33 missing references, each as planted", difference(deficit, lacks))
        hr.ok(all(r["refcount"] - r["found"] == r["surplus"] for r in doc["surplus"]), f"{python}{label}: the numbers agree")
    rows = {int(r["addr"], 16): r for r in hr.heapray("objects", core, "--ndjson").ndjson()[1]}
    wrong = [hex(a) for a, n in leaks.items() if a in rows and rows[a]["refcount"] - rows[a]["refs_found"] != n]
    hr.ok(not wrong and sum(a in rows for a in leaks) > 150, f"{python}: objects say what was found", wrong)
    found = [f for f in hr.heapray("check", core, "--json").json()["findings"] if f["rule"].startswith("refcount.")]
    counts = {rule: sum(f["count"] for f in found if f["rule"] == rule) for rule in ("refcount.surplus", "refcount.deficit")}
    hr.eq(counts, {"refcount.surplus": 254, "refcount.deficit": 33}, f"{python}: check has them as errors")
    os.unlink(core)


def finds_nothing(python):
    for program, least in ("refs_rich", 40000), ("refs_busy", 10000), ("refs_callbacks", 10000):
        said, core = start(python, program)
        if not core:
            return hr.skip(python, "no gcore here")
        doc = hr.heapray("py", "refs", core, "--json").json()
        os.unlink(core)
        name = f"{python} {program}"
        hr.ok(not doc["surplus"] and not doc["deficit"], f"{name}: leaks none", json.dumps(doc["surplus"] + doc["deficit"], indent=1))
        hr.ok(doc["audited"] > least, f"{name}: all its objects were looked at", doc["audited"])


if __name__ == "__main__":
    hr.main([lambda p=p, t=t: t(p) for p in interpreters() for t in (finds, finds_nothing)] or [lambda: hr.skip("py refs", "no Python here")])
