#!/usr/bin/env python3
"""Paths spelled as Python: the expression under which the living program held an object, in every CPython here."""
import glob, os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

SOURCE = os.path.join(hr.HERE, "prog", "py_paths.py")


def interpreters():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def line_with(text):
    return next(n for n, line in enumerate(open(SOURCE), 1) if text in line)


def joined(core, addr):
    """Root and fields of the first path; obj.__dict__["x"] is obj.x."""
    hops = hr.heapray("path", core, addr, "--limit", "1", "--json", "--no-types").json()["paths"]
    text = "".join((hop["root"] or "") + (hop["field"] or "") for hop in hops[0]) if hops else ""
    return re.sub(r'\.__dict__\["(\w+)"\]', r".\1", text).replace(".func_closure", ".__closure__")  # 2.7's name for it


def one(python):
    p, said = hr.start([python, SOURCE])
    core = hr.gcore(p.pid, "py")
    if not core:
        return hr.skip(python, "no gcore here")
    held = dict(line.rsplit(" ", 1) for line in said.splitlines() if " " in line)
    hr.ok(len(held) == 11, f"{python}: the program says {len(held)} names")
    frame = f"frame handle() at py_paths.py:{line_with('# MAIN')}, local rows[0]"
    gen = f" gen() at py_paths.py:{line_with('yield 1')}, local kept"
    for name, addr in held.items():
        got = joined(core, "0x" + addr)
        if name == "local":
            hr.eq(got, frame, f"{python}: {name}")
        elif name == "gen":
            hr.ok(got in ("__main__.g frame" + gen, "__main__.g.gi_frame" + gen), f"{python}: {name}", got)
        else:
            hr.eq(got, "__main__." + name, f"{python}: {name}")
    text = hr.heapray("path", core, "0x" + held['cache["u17"]._buf.data'], "--limit", "1").out
    hr.ok("data" in text.splitlines()[0] and text.startswith("__main__.cache["), f"{python}: the expression comes first", text)
    shown = hr.heapray("show", core, "0x" + held["local"], "--json", "--no-types").json()["block"]
    hr.eq(shown["reach"], "reachable", f"{python}: what a running frame holds is reachable")
    os.unlink(core)


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters()])
