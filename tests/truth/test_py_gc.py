#!/usr/bin/env python3
"""What gc.collect() would free, foretold from a core and then asked of the living interpreter, in every CPython that is here.

A program (prog/garbage_*.py) makes garbage and is dumped; then it collects with DEBUG_SAVEALL, which keeps what would have been freed,
and writes down its addresses and what gc.collect() returned. Both have to be foretold: the number, and the set object for object."""
import glob, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

PROGRAMS = "garbage_plain", "garbage_hard", "garbage_extensions"


def interpreters():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def saved(said):
    lines = said.split("SAVED\n")[1].split("END\n")[0].splitlines()
    return {int(line.split()[0], 16): line.split()[1] for line in lines}, int(said.split("collected ")[1].split()[0])


def names(addresses, known):
    return sorted("%x %s" % (a, known.get(a, "?")) for a in addresses)[:20]


def same_set(doc, keeps, name):
    """DEBUG_SAVEALL keeps the garbage but what the finalizers let die, and what is uncollectable."""
    ours = {int(a, 16) for a in doc["garbage"] + doc["uncollectable"]} - {int(a, 16) for a in doc["died_early"]}
    hr.ok(ours == set(keeps), name, "not foretold: %s" % names(set(keeps) - ours, keeps), "foretold wrongly: %s" % names(ours - set(keeps), keeps))


def same_rings(doc, said, name):
    """The rings that the program made are rings, whole and apart; no ring holds anything that is no garbage."""
    made = [{int(a, 16) for a in line.split()[1:]} for line in said.splitlines() if line.startswith("ring ")]
    rings = [{int(a, 16) for a in r["addrs"]} for r in doc["rings"]]
    for i, m in enumerate(made):
        within = [r for r in rings if m & r]
        hr.ok(len(within) == 1 and m <= within[0], f"{name}: ring {i} of the program is one", [len(r) for r in within])
        others = set().union(*made[:i], *made[i + 1:])
        hr.ok(within and not within[0] & others, f"{name}: ring {i} is apart from the others")
    gone = {int(a, 16) for a in doc["garbage"] + doc["uncollectable"]}
    hr.ok(all(r <= gone for r in rings) and sum(map(len, rings)) == len(set().union(*rings)), f"{name}: rings are garbage, none overlaps")
    hr.ok(all(r["retained"] >= r["bytes"] > 0 and len(r["types"]) == len(r["addrs"]) for r in doc["rings"]), f"{name}: rings have sizes and types")


def one(python, program, env=None, label="", without=True, whole=True):
    tag = "%s %s%s" % (python, program, label)
    p, made = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/%s.py" % program)], say=b"", env=env)
    core = hr.gcore(p.pid, "gc" + python.replace("/", "_"))
    if not core:
        return hr.skip(tag, "no gcore here")
    p.stdin.write(b"\n")
    p.stdin.flush()
    keeps, returned = saved(hr.wait_for(p, b"collected "))
    p.kill()
    hr.ok(len(keeps) > 200, "%s: the program made garbage" % tag, len(keeps))
    for label, extra in (("", ()), (" without debug information", ("--no-types", "--no-debug-files")))[:2 if without else 1]:
        r = hr.heapray("py", "gc", core, "--json", *extra)
        if hr.eq(r.rc, 0, f"{tag}{label}: py gc succeeds", r):
            doc = r.json()
            hr.eq(doc["collect_returns"], returned, f"{tag}{label}: gc.collect() returned {returned}")
            hr.ok(doc["exact"] or not whole, f"{tag}{label}: the lists are whole")
            same_set(doc, keeps, f"{tag}{label}: the same objects")
            same_rings(doc, made, tag + label)
    os.unlink(core)


def below(python):
    """What rings retain differs by just the blocks that hang below: pymalloc gives multiples of 16 bytes up to 512."""
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/garbage_below.py")], say=b"")
    core = hr.gcore(p.pid, "below" + python.replace("/", "_"))
    p.kill()
    if not core:
        return hr.skip(python, "no gcore here")
    doc = hr.heapray("py", "gc", core, "--json").json()
    made = {int(line.split()[1]): line.split()[2] for line in said.splitlines() if line.startswith("ring ")}
    head, big, real = (int(n) for n in next(line for line in said.splitlines() if line.startswith("sizes ")).split()[1:])

    def block(n):
        return -(-n // 16) * 16

    def retained(which):
        return next(r["retained"] for r in doc["rings"] if hex(int(made[which], 16)) in r["addrs"])

    def of_bytes(n):
        return block(head + 1 + n)
    for size in 100, 300, 450:
        hr.eq(retained(size) - retained(0), of_bytes(size + 1), f"{python}: {size + 1} bytes that a ring alone holds are retained by it")
    hr.eq(retained(-1), retained(0), f"{python}: what somebody else holds is not")
    tuples = 80 + 96 if "/2." in python or "/3.6" in python or "/3.7" in python else 64 + 80 # of 2 and 4 items, behind the collector's head
    numbers = block(big) + (0 if "/2." in python else block(real)) # 2.7 keeps floats in blocks of many
    hr.eq(retained(-2) - retained(0), of_bytes(201) + of_bytes(301) + tuples + numbers, f"{python}: nested tuples: all that hangs below")
    os.unlink(core)


if __name__ == "__main__":
    todo = []
    for p in interpreters():
        def hangs(p=p):
            below(p)
        todo.append(hangs)
    for p in interpreters():
        for g in PROGRAMS:
            def test(p=p, g=g):
                one(p, g)
            todo.append(test)
    if not todo:
        hr.skip("gc.collect()", "no Python here")
    hr.main(todo)
