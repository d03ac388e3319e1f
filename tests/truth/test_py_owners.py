#!/usr/bin/env python3
"""Whose memory is it: nearly every byte that pymalloc and malloc handed out belongs to an object, the interpreter, a library or a
thread; the sums add up; blocks that the process knows the owner of are its; blocks that it leaked are nobody's. In every CPython."""
import json, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

PYMALLOC, MALLOC = 0.99, 0.95   # least shares explained


def planted(version, blocks, said):
    by_addr = {b["addr"]: b for b in blocks}
    for name, (owner, addr) in sorted(said.get("whose", {}).items()):
        b = by_addr.get(hex(addr))
        hr.ok(b and b["owner"] == hex(owner), f"{version}: {name}: its block is its own", f"0x{addr:x} of 0x{owner:x}: {b}")
    sizes = said.get("leaks", [])
    lost = [b for b in blocks if b["size"] in sizes and b["state"] == "used"]
    hr.ok(len(lost) >= len(sizes), f"{version}: the leaked blocks are there", lost)
    # one or two may still lie in a register or in the bytes of a dead frame
    hr.ok(sum(b["owned"] == "unexplained" for b in lost) >= len(sizes) - 2, f"{version}: what was leaked is nobody's", lost)


def shares(version, core, leaked):
    info = hr.heapray("info", core, "--json").json()
    for a in info["explained"]["by_allocator"]:
        used = next(x["used_bytes"] for x in info["allocators"] if x["name"] == a["allocator"])
        by = a["by_owner"]
        hr.ok(sum(by.values()) == a["used_bytes"] and a["explained_bytes"] == a["used_bytes"] - by["unexplained"] and a["used_bytes"] <= used,
              f"{version}: {a['allocator']}: owners add up", a, used)
        least = PYMALLOC if a["allocator"] == "pymalloc" else MALLOC
        hr.ok(a["explained_bytes"] >= least * (a["used_bytes"] - leaked), f"{version}: {a['allocator']}: at least {least:.0%} have an owner", by)
        hr.ok(by["objects"] + by["parts"] + by["internal"] >= 0.85 * a["used_bytes"], f"{version}: {a['allocator']}: most of it an object", by)


def one(python):
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    p, text = hr.start([python, f"{hr.HERE}/prog/owned.py"])
    core = hr.gcore(p.pid, "owned")
    p.kill()
    if not core:
        return hr.skip(version, "no gcore here")
    said = json.loads(text[text.index("{"):text.rindex("}") + 1])
    _, blocks = hr.heapray("blocks", core, "--ndjson").ndjson()
    planted(version, list(blocks), said)
    shares(version, core, sum(said.get("leaks", [])))
    os.unlink(core)


hr.main([lambda p=p: one(p) for p in interpreters()])
