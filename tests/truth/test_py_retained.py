#!/usr/bin/env python3
"""Retained sizes: what the dump says each root retains is what really went back to the allocators when the process deleted it
(mallinfo2() and sys._debugmallocstats() before and after `del root; gc.collect()`), in every CPython that has these statistics."""
import json, os, re, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

# mallinfo2 counts a header of 8 bytes with each block, and pages with mapped ones; an object or two go to or come from a free list.
SLACK_BYTES, SLACK_SHARE = 1600, 0.004


def pools(stats):
    """Bytes of the blocks in use, by size class."""
    return sum(int(size) * int(used) for size, used in re.findall(r"^\s*\d+\s+(\d+)\s+\d+\s+(\d+)\s+\d+\s*$", stats, re.M))


def freed(text):
    """{root: bytes that went} from what the process wrote to stderr."""
    part = re.split(r"^(begin|end) (\w+) (\d+)$", text.split("over")[0], flags=re.M)
    at = {(part[i], part[i + 1]): int(part[i + 2]) + pools(part[i + 3]) for i in range(1, len(part) - 3, 4)}
    return {name: at["begin", name] - at["end", name] for what, name in at if what == "end"}


def one(python):
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    err = hr.path("retained.err")
    with open(err, "w") as f:
        p = subprocess.Popen([python, f"{hr.HERE}/prog/retained.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=f, text=True)
    ids = p.stdout.readline()
    if p.stdout.readline() != "ready\n":
        p.wait()
        return hr.skip(version, "the program needs mallinfo2 and ctypes: " + open(err).read()[-100:].replace("\n", " "))
    core = hr.gcore(p.pid, "retained")
    p.communicate("go\n")
    if not core:
        return hr.skip(version, "no gcore here")
    text, ids = open(err).read(), json.loads(ids)
    if not pools(text):
        os.unlink(core)
        return hr.skip(version, "no sys._debugmallocstats to compare with")
    says = {}
    for b in hr.heapray("blocks", core, "--ndjson", "--retained").ndjson()[1]:
        says[int(b["addr"], 16)] = b
    for name, went in freed(text).items():
        block = next((says[ids[name] - pre] for pre in (0, 16, 32, 48) if ids[name] - pre in says), None)
        got = block and block["retained"]
        hr.ok(got and abs(got - went) <= SLACK_BYTES + SLACK_SHARE * went, f"{version}: {name}: what it retains is what goes", f"retained {got}, went {went}")
    os.unlink(core)


hr.main([lambda p=p: one(p) for p in interpreters()])
