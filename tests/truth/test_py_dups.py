#!/usr/bin/env python3
"""`dups` and `strings`: planted copies are counted as many as the program made, in every CPython that is here."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

PROGRAM = r"""
import sys, time
a = [''.join(['planted', ' text']) for i in range(5000)]
empty = [{} for i in range(6000)]
cut = [dict((i, i) for i in range(3000)) for k in range(10)]
for x in cut:
    for k in range(2990): del x[k]
b = [b'planted bytes '.join([b'', b'x']) for i in range(300)]
c = [''.join([u'plant\u00e9 ', u'wide']) for i in range(200)]
marks = [object(), object()]
d = [tuple(marks) for i in range(150)]
big = 'z' * 70000
def show(o, n): print('%s %d %d' % (type(o).__name__, n, sys.getsizeof(o)))
for l in (a, b, c, d): show(l[0], len(l))
print('ready'); sys.stdout.flush(); time.sleep(300)
"""


def one(python):
    p, said = hr.start([python, "-c", PROGRAM])
    core = hr.gcore(p.pid, "dups")
    if not core:
        return hr.skip(python, "no gcore here")
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    shown = list(hr.heapray("dups", core, "--ndjson", "--show-contents").ndjson()[1])
    hidden = hr.heapray("dups", core, "--ndjson").out
    largest = hr.heapray("strings", core, "--ndjson", "--limit", "1").out.splitlines()[1]
    found = " / ".join(f["title"] for f in hr.heapray("check", core, "--json").json()["findings"] if f["rule"].startswith("cpython."))
    os.unlink(core)
    lines = [line.split() for line in said.splitlines()[:4]]
    for text, (kind, n, size) in zip(("planted text", "planted bytes", "wide", None), lines):
        if text:
            got = [(g["type"], g["count"]) for g in shown if text in g["value"] and g["count"] > 1]
        else:
            got = [(g["type"], g["count"]) for g in shown if g["type"] == "tuple" and g["count"] == int(n)]
        hr.ok((kind, int(n)) in got and len(got) <= 2, f"{version}: {n} copies of a {kind}", got)
    hr.ok(all(w in found for w in ("5,000 equal str", "dict: 10 containers", "empty containers of type dict")) and "planted" not in found,
          f"{version}: rules find the waste", found)
    hr.ok("planted" not in hidden, f"{version}: no text without --show-contents")
    hr.ok('"len":70000' in largest.replace(" ", ""), f"{version}: the largest string is the largest", largest)


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])])
