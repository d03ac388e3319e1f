#!/usr/bin/env python3
"""pymalloc, against sys._debugmallocstats() of the living interpreter: blocks in use per size class, in every CPython that is here."""
import glob, os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

PROGRAM = """
import sys, time
class A(object):
    def __init__(self, i): self.x = i; self.y = str(i)
keep = [A(i) for i in range(20000)]
table = dict((i, str(i) * 3) for i in range(5000))
del keep[::3]
import gc
gc.disable()
if hasattr(sys, '_debugmallocstats'): sys._debugmallocstats()
sys.stderr.flush()
sys.stdout.write('ready\\n'); sys.stdout.flush()
time.sleep(300)
"""


def interpreters():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def blocks_of(text):
    """{size: blocks in use} of the table that _debugmallocstats prints."""
    rows = re.findall(r"^\s*\d+\s+(\d+)\s+\d+\s+(\d+)\s+\d+\s*$", text, re.M)
    return {int(size): int(used) for size, used in rows}


def one(python):
    p, said = hr.start([python, "-c", PROGRAM])
    core = hr.gcore(p.pid, os.path.basename(os.path.dirname(os.path.dirname(python))))
    if not core:
        return hr.skip(python, "no gcore here")
    truth, got = blocks_of(said), {}
    for b in hr.heapray("blocks", core, "--no-types", "--ndjson").ndjson()[1]:
        if b.get("allocator") == "pymalloc" and b["state"] in ("used", "cached"): # what the free lists keep is in use to pymalloc
            got[b["size"]] = got.get(b["size"], 0) + 1
    os.unlink(core)
    if not truth:
        return hr.skip(python, "no sys._debugmallocstats to compare with")
    off = {s: (got.get(s, 0), n) for s, n in truth.items() if abs(got.get(s, 0) - n) > 4}
    hr.ok(not off, f"{python}: {sum(truth.values())} blocks in {len(truth)} size classes", f"size: (got, wanted): {off}")


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters()])
