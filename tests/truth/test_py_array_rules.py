#!/usr/bin/env python3
"""Pack numpy: what arrays, views and lists of numbers waste is found, in bytes as the process itself counted them, and nothing else is.

The program makes each kind several times, with NumPy where it is there, next to arrays that look the same and must not be reported."""
import json, os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from numpies import numpies
from test_py_objects import interpreters


def key(f):
    """A finding as the program named its expectation: rule, and what tells it from others of the rule."""
    rule, t = f["rule"].split(".", 1)[1], f["title"]
    if rule == "narrow":
        return rule, " ".join(re.search(r"of (\S+) whose values fit (\S+):", t).groups())
    if rule == "copies":
        return rule, " ".join(re.search(r"arrays? of ([\d,]+) (\S+):", t).groups()).replace(",", "")
    if rule == "constant":
        return rule, re.search(r"arrays? of (\S+) with", t).group(1)
    if rule in ("view_pins", "memoryview_pins"):
        return rule, re.search(r"\((\S+)\) are kept", t).group(1)
    if rule == "strided":
        return rule, "numpy.ndarray"
    if rule == "object_array":
        return rule, re.search(r"as (\S+) they", t).group(1)
    if rule == "number_list":
        return rule, " ".join(re.search(r"(list|tuple)s? of numbers: arrays of (\S+)", t).groups())
    return rule, " ".join(re.search(r"(list|tuple)s? of whole numbers in steps of (-?\d+)", t).groups())


def near(got, want, rule):
    """Data of arrays is exact. malloc rounds what getsizeof says up, to pages at most; and libraries keep a few short lists of their own."""
    slack = 0 if rule in ("narrow", "copies", "constant", "strided") else 64 if rule.endswith("_pins") else 0.002 * want + 4200
    return abs(got - want) <= slack


def one(python, version):
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/array_waste.py")], say=b"")
    core = hr.gcore(p.pid, "waste")
    if not core:
        return hr.skip(version, "no gcore here")
    expect = {tuple(k.split(" ", 1)): v for k, v in json.loads(said.splitlines()[0]).items()}
    r = hr.heapray("check", core, "--json", "--only", "numpy.*")
    doc = r.json()
    found = {}
    for f in doc["findings"]:
        sums = found.setdefault(key(f), [0, 0])
        sums[0] += f["bytes"]
        sums[1] += f["count"]
    bad = [f"{k}: found {found.get(k)}, wanted {v}" for k, v in expect.items()
           if k not in found or not near(found[k][0], v[0], k[0]) or found[k][1] < v[1] or (found[k][1] != v[1] and "list" not in k[0])]
    hr.ok(not bad, f"{version}: {len(expect)} kinds of waste, with their bytes", *bad, *[f["title"] for f in doc["findings"]])
    more = [f["title"] for f in doc["findings"] if key(f) not in expect]
    hr.ok(not more, f"{version}: nothing else is reported", *more)
    hr.ok(all(f["remedy"] for f in doc["findings"]), f"{version}: each with a remedy")
    skipped = {s["rule"]: s["why"] for s in doc["skipped_rules"]}
    if any(k[0] == "narrow" for k in expect):
        hr.eq(skipped, {}, f"{version}: every rule was judged")
    else:
        hr.ok(set(skipped) == {"numpy.narrow", "numpy.narrow_sample", "numpy.copies", "numpy.constant"} and "NumPy" in skipped["numpy.narrow"],
              f"{version}: without NumPy the rules about arrays are skipped with the reason", skipped)
    os.unlink(core)


def no_python():
    p, _ = hr.start(["sh", "-c", "echo ready; exec sleep 100"])
    core = hr.gcore(p.pid, "sh")
    if not core:
        return hr.skip("a process without Python", "no gcore here")
    doc = hr.heapray("check", core, "--json").json()
    why = {s["why"] for s in doc["skipped_rules"] if s["rule"].startswith("numpy.")}
    hr.eq(why, {"there is no CPython in the image"}, "a process without Python: the pack is skipped with the reason")


if __name__ == "__main__":
    found = dict(numpies())
    tests = [lambda p=p, v=v: one(p, v) for p, v in found.items()]
    tests += [lambda p=p: one(p, os.path.basename(os.path.dirname(os.path.dirname(p)))) for p in interpreters() if p not in found]
    for t in tests:
        t.__name__ = "array rules"
    hr.main(tests + [no_python])
