#!/usr/bin/env python3
"""Several interpreters in one process, with one GIL (3.6 on) and with a GIL and an allocator each (3.12 on): objects, census, modules,
stacks and garbage of each, as each said them."""
import json, os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import compare, interpreters

BODY = r"""
import collections, gc, json, os, sys, time
gc.disable()
number = NUMBER
class Node(object):
    def __init__(self, i): self.me = self; self.i = i; self.text = 'interpreter %d node %d' % (number, i)
def wait(flag, depth):
    mine = 'local of %d' % number
    if depth: return wait(flag, depth - 1)
    while not os.path.exists(flag): time.sleep(0.02)
if sys.version_info >= (3, 9): gc.collect() # one collector each
N = collections.OrderedDict()
N['dict'] = {'number': number, 1: [2, 3]}; N['list'] = list(range(100 + number)); N['node'] = Node(1000 + number); N['text'] = 'x' * 20 + str(number)
N['tuple'] = (str(number), 1.5); N['big'] = 10 ** (40 + number); N['set'] = set('abc'); N['class'] = Node; N['bytes'] = b'%d' % number * 50
N['deque'] = collections.deque(range(70)); N['function'] = wait; N['module'] = sys; N['float'] = number + 0.25
for i in range(100 * (number + 1)): Node(i)
exact = (int, float, str, bytes, list, tuple, dict, set)
def row(k):
    o = N[k]; t = type(o)
    return [k, id(o), t.__qualname__ if t.__module__ == 'builtins' else t.__module__ + '.' + t.__qualname__, len(o) if hasattr(o, '__len__') else None,
            repr(o) if t in exact else None, sys.getsizeof(o), sys.getrefcount(o) - 2]
rows = [row(k) for k in N]
print('\n@%d ' % number + json.dumps([rows, sum(type(o) is Node for o in gc.get_objects()), len(sys.modules)]))
sys.stdout.flush()
wait(FLAG + str(number), number + 2)
print('\n@%d collected %d' % (number, gc.collect()))
sys.stdout.flush()
wait(FLAG + 'end', 0)
"""
MAIN = r"""
import os, sys, threading, time
body = open(sys.argv[1]).read().replace('FLAG', repr(sys.argv[2]))
def start(i, legacy):
    code = body.replace('NUMBER', str(i))
    if sys.version_info < (3, 8):
        import _testcapi
        threading.Thread(target=_testcapi.run_in_subinterp, args=(code,), daemon=True).start()
        return
    if sys.version_info >= (3, 13):
        import _interpreters as m
        which = m.create('legacy' if legacy else 'isolated')
    else:
        import _xxsubinterpreters as m
        which = m.create(isolated=not legacy) if sys.version_info >= (3, 10) else m.create()
    threading.Thread(target=m.run_string, args=(which, code), daemon=True).start()
for i in (1, 2, 3):
    start(i, i == 2)
    time.sleep(0.2)
exec(compile(body.replace('NUMBER', '0'), '<main>', 'exec'))
os._exit(0)
"""


def said(p, what):
    text = hr.wait_for(p, what)
    return {int(line[1:].split()[0]): line.split(" ", 1)[1] for line in text.splitlines() if line.startswith("@")}


def one(python):
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    for name, text in (("body.py", BODY), ("main.py", MAIN)):
        with open(hr.path(name), "w") as f:
            f.write(text)
    flag = hr.path("flag" + version)
    p, _ = hr.start([python, hr.path("main.py"), hr.path("body.py"), flag], ready=b"\n@0 ")
    for i in range(1, 4):
        told = said(p, b"\n@%d " % i)
    time.sleep(0.1)
    core = hr.gcore(p.pid, "interpreters")
    if not core:
        return hr.skip(python, "no gcore here")
    own = tuple(map(int, version.split("."))) >= (3, 9) if version != "usr" else True
    gc, stacks = (hr.heapray(*v, core, "--json", "--show-contents").json() for v in (("py", "gc"), ("py", "stacks")))
    objects = {int(o["addr"], 16): o for o in hr.heapray("objects", core, "--ndjson", "--show-contents").ndjson()[1]}
    paths = [hr.heapray("path", core, hex(dict((r[0], r[1]) for r in json.loads(told[i])[0])["list"])).out for i in range(4)]
    os.unlink(core)
    nodes = {}
    for i in range(4):
        rows, tracked, _ = json.loads(told[i])
        for what, bad in compare([r for r in rows if r[0] not in ("module", "function")], objects).items():
            hr.ok(not bad, f"{version} interpreter {i}: {what} of {len(rows)} objects", *bad)
        nodes[i] = tracked
    all_nodes = [o for o in objects.values() if o["type"] == "__main__.Node"]
    wanted = sum(nodes.values())
    hr.eq(len([o for o in all_nodes if o["gc"]["tracked"]]), wanted, f"{version}: objects of that class in all interpreters")
    threads = {i: [t for t in stacks["threads"] if any(f["function"] == "wait" and len([g for g in t["frames"] if g["function"] == "wait"]) == i + 3
                                                        for f in t["frames"])] for i in range(4)}
    for i in range(4) if version != "3.6.15" else ():
        number = threads[i][0]["interpreter"]
        hr.ok(("interpreter %d: __main__.N" % number if number else "__main__.N") in paths[i], f"{version} interpreter {i}: path from its own modules", paths[i])
    for i in range(4):
        good = len(threads[i]) == 1 and [v["value"] for v in threads[i][0]["frames"][0]["locals"] if v["name"] == "mine"] == [f"'local of {i}'"]
        hr.ok(good, f"{version} interpreter {i}: its stack", threads[i])
    if version != "3.6.15":
        hr.eq(len({t[0]["interpreter"] for t in threads.values() if t}), 4, f"{version}: each thread names its interpreter")
    by_id = {g["id"]: g for g in gc["interpreters"]}
    hr.eq(len(by_id), 4 if own else 1, f"{version}: collectors")
    hr.ok(gc["exact"], f"{version}: the lists are whole")
    ids = {0: 0}
    for i in range(1, 4):
        ids[i] = threads[i][0]["interpreter"] if threads[i] else i
    for i in range(4) if own else (0,):
        open(flag + str(i), "w").close()
        n = int(said(p, b"\n@%d collected " % i)[i].split()[1])
        hr.eq(by_id[ids[i]]["collect_returns"], n, f"{version} interpreter {i}: gc.collect() returned {n}")
    p.kill()


if __name__ == "__main__":
    todo = [lambda p=p: one(p) for p in interpreters() if "/2.7" not in p and (not sys.argv[1:] or any(a in p for a in sys.argv[1:]))]
    if not todo:
        hr.skip("interpreters", "no Python 3 here")
    hr.main(todo)
