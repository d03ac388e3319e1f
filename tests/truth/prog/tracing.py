"""A process that traces its allocations, forks a copy of itself for the dump, and says what tracemalloc says there.

argv: mode (run, stop, clear), frames kept. Prints: objects by address with their traceback, lines and tracebacks with count and bytes."""
import collections, gc, os, sys, time, tracemalloc, _tracemalloc

APP = '''
import collections, gc, itertools
class Plain(object):
    def __init__(self, i): self.a, self.b, self.text = i, [i], "text %d" % i
class Slotted(object):
    __slots__ = "x", "__weakref__"
    def __init__(self, i): self.x = float(i) + .25
class Number(int): pass
def deep(n, make):
    if n:
        return deep(n - 1, make)
    return make()
def session(i):
    return {"id": i, "rows": [str(i) + "r%d" % k for k in range(20)],
            "blob": bytes(bytearray(700 + i)), "pair": (i, str(i))}
def generator(i):
    held = [i]
    yield held
def many():
    out = [Plain(i) for i in range(50)]
    out += [Slotted(i) for i in range(50)]
    out += [Number(10 ** 20 + i) for i in range(5)]
    out += [session(i) for i in range(40)]
    out += [collections.deque(range(i)) for i in range(5)]
    out += [collections.OrderedDict((k, k) for k in range(i)) for i in range(5)]
    out += [set("%d" % k for k in range(30)), frozenset([1.5, 2.5])] + ["".join(["same", "%s"]) for k in range(100)] + [bytearray(3000), list(range(1000))]
    out += [lambda k=k: k for k in range(3)]
    g = generator(7); next(g)
    out += [g, itertools.count(5), ValueError("x"), 10 ** 60, 3.25 * len(out), "".join(["a", "b%d" % len(out)])]
    out += [type("Made", (object,), {})]
    gc.disable()
    pair = Plain(1), Plain(2)
    pair[0].a, pair[1].a = pair[1], pair[0]
    return out
'''


def where(o):
    frames = _tracemalloc._get_object_traceback(o)
    return ["%s:%d" % f for f in frames] if frames else None


def main():
    mode, nframe = sys.argv[1], int(sys.argv[2])
    early = [[], {}, object(), "early".join(["x", "y"]), bytearray(50)]
    space = {"__name__": "app"}
    exec(compile(APP, "/planted/app.py", "exec"), space)
    tracemalloc.start(nframe)
    kept = space["many"]()
    kept += [space["deep"](k, space["many"]) for k in (3, 40)]
    if mode == "clear":
        tracemalloc.clear_traces()
        kept += [space["session"](99)]
    domains = []
    try:
        import _testcapi
        for k in range(30):
            _testcapi.tracemalloc_track(1234, 0x1000 * (k + 1), 11)
            domains.append(k)
    except (ImportError, AttributeError):
        pass
    if hasattr(tracemalloc, "reset_peak"):
        tracemalloc.reset_peak()
    if mode == "stop":
        tracemalloc.stop()
    r, w = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    memory = tracemalloc.get_traced_memory()
    traces = list(_tracemalloc._get_traces())
    total = sum(t[1] for t in traces)
    objects, todo, seen = early[:], [kept], set()
    while todo:
        o = todo.pop()
        if id(o) in seen or type(o) is type(sys):
            continue
        seen.add(id(o))
        objects.append(o)
        if type(o) in (list, tuple, dict, set, frozenset, collections.deque, collections.OrderedDict):
            todo += gc.get_referents(o)
    print("child %d" % child)
    print("memory %d %d %d %d" % (len(traces), total, memory[0], memory[1]))
    print("domain %d" % len([t for t in traces if t[0] == 1234]))
    for o in objects:
        if sys.version_info[:2] == (3, 11) and type(o).__flags__ & 1 << 4 and not where(o):
            continue # early 3.11 looks 16 bytes too far up for instances with managed dicts
        print("object %x %s" % (id(o), " ".join(where(o) or ["-"])))
    lines, stacks = collections.Counter(), collections.Counter()
    sizes, stack_sizes = collections.Counter(), collections.Counter()
    for t in traces:
        frames = tuple("%s:%d" % f for f in t[2])
        lines[frames[0]] += 1
        sizes[frames[0]] += t[1]
        stacks[frames] += 1
        stack_sizes[frames] += t[1]
    for k in lines:
        print("line %d %d %s" % (lines[k], sizes[k], k))
    for k in stacks:
        print("stack %d %d %s" % (stacks[k], stack_sizes[k], " ".join(k)))
    print("ready")
    sys.stdout.flush()
    time.sleep(300)


main()
