#!/usr/bin/env python3
"""Python stacks, locals, asyncio tasks and their await chains, against what the living interpreter said of them, in every CPython here."""
import glob, json, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

PROG = os.path.join(hr.HERE, "prog")
ENV = {"MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # one arena: the debugger also dumps what glibc only reserved


def interpreters():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def main_line(source):
    return next(n for n, text in enumerate(open(source), 1) if text.rstrip().endswith("# MAIN"))


def dump(python, source, *args):
    p, said = hr.start([python, source, *args], env=ENV)
    core = hr.gcore(p.pid, "py")
    if not core:
        hr.skip(python, "no gcore here")
    return core, json.loads(said[said.index("{"):said.rindex("}") + 1])


def stacks(python):
    source = os.path.join(PROG, "py_stacks.py")
    core, truth = dump(python, source)
    if not core:
        return
    run = hr.heapray("py", "stacks", core, "--json")
    got = {t["ident"]: t for t in run.json()["threads"]}
    os.unlink(core)
    hr.eq(len(got), len(truth["threads"]) + 1, f"{python}: number of threads")
    hr.ok(not any(t["current"] for t in got.values()), f"{python}: nobody holds the GIL while all sleep")
    for want in truth["threads"]:
        t = got.get(want["ident"], {"frames": [], "tid": None})
        name = f"{python}: {[f['function'] for f in want['frames']][:-3]}"
        hr.eq([(f["function"], f["file"], f["line"]) for f in t["frames"]],
              [(f["function"], f["file"], f["line"]) for f in want["frames"]], f"{name}: functions, files, lines")
        hr.eq([{x["name"]: [int(x["addr"], 16), x["type"].split(".")[-1]] for x in f["locals"]} for f in t["frames"]],
              [f["locals"] or {} for f in want["frames"]], f"{name}: locals")
        hr.eq(t["tid"], want["tid"], f"{name}: native thread")
    main = got.get(truth["main"], {"frames": []})
    hr.eq([(f["function"], f["line"]) for f in main["frames"][:1]], [("wait_here", main_line(source))], f"{python}: main thread")
    hr.eq(main.get("tid"), truth["pid"], f"{python}: main thread's id")
    evaluators = ("_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx")
    above = [[n["function"] for n in f["native"]] for t in got.values() for f in t["frames"]]
    hr.ok(not any(n in evaluators for names in above for n in names), f"{python}: each evaluation loop stands for the Python frames it runs")
    waits = [t["frames"][0]["native"] for t in got.values() if t["frames"]]
    hr.ok(all(w and any(lib in (w[0]["module"] or "") for lib in ("libc.so", "libpthread", "libc-")) for w in waits), f"{python}: above a frame that waits there is what it waits in", waits[:1])
    if "/.pyenv/" in python and tuple(map(int, python.split("/versions/")[1].split("/")[0].split(".")[:2])) < (3, 11):
        calls = [names for t in got.values() for names in [f["native"] for f in t["frames"][:-1]]]
        hr.ok(all(calls), f"{python}: between two Python frames there is a call in C, up to 3.10")


SPINS = """import sys, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
def spin(a):
    n = a
    while n:
        n = a
sys.stdout.write('ready\\n'); sys.stdout.flush()
spin((1, 2))
"""


def runs(python):
    p, _ = hr.start([python, "-c", SPINS], env=ENV)
    core = hr.gcore(p.pid, "py")
    if not core:
        return hr.skip(python, "no gcore here")
    threads = hr.heapray("py", "stacks", core, "--json").json()["threads"]
    os.unlink(core)
    hr.eq([(t["tid"], t["frames"][0]["function"]) for t in threads if t["current"]], [(p.pid, "spin")], f"{python}: the thread that runs holds the GIL")
    top = next((t["frames"][0] for t in threads if t["tid"] == p.pid), None)
    hr.ok(top and top["file"] == "<string>" and top["line"] in (5, 6), f"{python}: it is in its loop", top)
    hr.eq({x["name"]: x["type"] for x in top["locals"]}, {"a": "tuple", "n": "tuple"}, f"{python}: its locals")


def tasks(python, *pure):
    source = os.path.join(PROG, "py_tasks.py")
    core, truth = dump(python, source, *pure)
    if not core:
        return
    got = {int(t["addr"], 16): t for t in hr.heapray("py", "tasks", core, "--json").json()["tasks"]}
    os.unlink(core)
    name = f"{python}{' asyncio in Python' if pure else ''}"
    want = {t["addr"]: t for t in truth["tasks"]}
    hr.ok(len(want) >= 36, f"{name}: {len(want)} tasks", want)
    hr.eq(sorted(got), sorted(want), f"{name}: the tasks")
    for key in "name", "state", "coro":
        hr.eq({a: got[a][key] for a in want if a in got}, {a: t[key] for a, t in want.items()}, f"{name}: {key}")
    for addr, t in want.items():
        awaits = [(f["function"], f["file"], f["line"]) for f in got.get(addr, {"awaits": []})["awaits"]]
        said = [(f["function"], f["file"], f["line"]) for f in t["awaits"]]
        if t["me"]:
            said = said[:-1] + [(said[-1][0], said[-1][1], main_line(source))]
        if t["wrapped"]:  # the process itself sees no further than to the object between; what lies behind is known from the program
            awaits, rest = awaits[:len(said)], [f[0] for f in awaits[len(said):]]
            hr.eq(rest, {"over_generator": ["ticks", "nested", "nested"], "through_object": ["nested"] * 3}[t["coro"]], f"{name}: behind {t['coro']}")
        hr.eq(awaits, said, f"{name}: await chain of {t['coro']}")


def has_tasks(python):
    return "/2." not in python and "/3.6" not in python


if __name__ == "__main__":
    hr.main([lambda p=p: stacks(p) for p in interpreters()] + [lambda p=p: runs(p) for p in interpreters()] +
            [lambda p=p, how=how: tasks(p, *how) for p in interpreters() if has_tasks(p) for how in ((), ("pure",))])
