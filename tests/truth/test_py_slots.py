#!/usr/bin/env python3
"""What __slots__ would save: bytes of the instances and of a twin class with slots, as measured in the process, for every CPython here."""
import os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

PROGRAM = os.path.join(hr.TOP, "tests/truth/prog/slotted.py")
RULES = """rule test.slots { severity note title "{s.type} {s.count:d} {s.names} {addr(s.now)} {addr(s.with_slots)} {s.weakrefs}"
  match s in slots where s.count > 40 fingerprint by s.type }""".replace(":d", "")


def one(python):
    p, said = hr.start([python, PROGRAM])
    core = hr.gcore(p.pid, "slots")
    p.kill()
    if not core:
        return hr.skip(python, "no gcore here")
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    with open(hr.path("slots.rules"), "w") as f:
        f.write(RULES)
    got = {}
    for f in hr.heapray("check", core, "--json", "--rules", hr.path("slots.rules"), "--only", "test.*").json()["findings"]:
        name, count, names, now, then, weak = f["title"].replace(",", "").split()
        got[name.replace("__main__.", "")] = int(count), int(names), int(now, 16), int(then, 16), weak in ("yes", "true")
    for line in said.splitlines():
        if line.startswith("class "):
            name, *n = line.split()[1:]
            count, names, now, then, weak = map(int, n)
            want = (count, names, now, then, bool(weak)) if then < now else None
            have = got.get(name)
            # the first instances may have had larger shared tables: a hundredth
            near = have and want and all(abs(h - w) <= w // 100 for h, w in zip(have[2:4], want[2:4])) and have[:2] + have[4:] == want[:2] + want[4:]
            hr.ok(near, f"{version}: {count} of {name}: {now} bytes now, {then} with slots", have)
    wrong = [k for k in got if re.match("Slim|Failure|" + ("" if version[0] == "2" else "Number|") + "Meta|M[0-9]|Twin|Base", k)]
    hr.ok(not wrong, f"{version}: nothing is said of what slots would not shrink", wrong)
    os.unlink(core)


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])])
