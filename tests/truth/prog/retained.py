"""Roots that are deleted one after the other: says what was in use before and after each. Runs on 2.7 and 3.x (64-bit, glibc).

On "ready" it waits for a line; then for each root: used bytes of malloc, sys._debugmallocstats() on stderr, del, gc.collect(), the
same again. Free lists are filled before, so that what is deleted goes back to the allocators."""
import array, collections, ctypes, functools, gc, io, itertools, json, os, sys, weakref, zlib

two = sys.version_info[0] == 2
gc.collect()
gc.disable()


class Plain(object):
    def __init__(self, i):
        self.number, self.name, self.rest = i, "name of %d" % i, [i, str(i) * 3]


class Slotted(object):
    __slots__ = ("a", "b", "c", "__weakref__")

    def __init__(self, i):
        self.a, self.b, self.c = i * 1.5, "s%d" % i, (i + 100000, None)


class Node(object):
    def __init__(self, i):
        self.next = None
        self.payload = bytearray(100 + i % 7)


class Own(dict):
    pass


def ring(n):
    nodes = [Node(i) for i in range(n)]
    for i, a in enumerate(nodes):
        a.next = nodes[(i + 1) % n]
    return nodes[0]


def closures(n):
    def make(i):
        text = "closed over %d" % i

        def inner():
            return text
        return inner
    return [make(i) for i in range(n)]


def generators(n):
    def run(i):
        local = ["local %d" % i, i * 7.25]
        yield local
        yield i
    gs = [run(i) for i in range(n)]
    for g in gs:
        next(g)
    return gs


def cached(n):
    @functools.lru_cache(maxsize=None)
    def f(x):
        return "result %d" % x
    for i in range(n):
        f(i + 5000)
    return f


def dynamic(n):
    """Attributes whose names are interned, and nobody else's."""
    o = Plain(1)
    for i in range(n):
        setattr(o, "attribute_%d_of_this" % i, str(i) * 4)
    return o


shared = [Plain(i) for i in range(500)]
roots = collections.OrderedDict()
roots["instances"] = lambda: {"key %d" % i: Plain(i + 1000) for i in range(2000)}
roots["slotted"] = lambda: [Slotted(i) for i in range(3000)]
roots["ring"] = lambda: ring(2000)
roots["nested"] = lambda: [[["x%d" % (i * 100 + j) for j in range(20)] for i in range(20)] for _ in range(10)]
roots["sharing"] = lambda: [(p, "beside %d" % i) for i, p in enumerate(shared)]
roots["containers"] = lambda: (collections.deque("d%d" % i for i in range(3000)), set("e%d" % i for i in range(3000)),
                               collections.OrderedDict((i + 9000, "o%d" % i) for i in range(1000)), Own((i + 9000, [i]) for i in range(1000)))
roots["buffers"] = lambda: [bytearray(5000), array.array("d", [1.0] * 4000), io.BytesIO(b"z" * 30000), bytearray(300000), b"w" * 200000]
roots["closures"] = lambda: closures(1500)
roots["generators"] = lambda: generators(1000)
roots["texts"] = lambda: [u"\u20ac%d" % i for i in range(2000)] + [(10 ** 40 + i) for i in range(1000)]
roots["attributes"] = lambda: dynamic(1500)
roots["exceptions"] = lambda: [ValueError("wrong %d" % i, Slotted(i)) for i in range(1000)]
roots["weak"] = lambda: [(s, weakref.ref(s)) for s in (Slotted(i) for i in range(1000))]
roots["iterators"] = lambda: [itertools.chain(iter([i, str(i) * 2]), [float(i) + 0.25]) for i in range(1000)]
if not two:
    roots["cached"] = lambda: cached(2000)
    roots["views"] = lambda: [memoryview(bytearray(700)) for _ in range(500)]
    roots["split"] = lambda: {i: vars(Plain(i)) for i in range(1000)}


class Mallinfo2(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]


libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2


def used():
    m = libc.mallinfo2()
    return m.uordblks + m.hblkhd


def fill_free_lists():
    keep = [[[float(i), (i,) * (i % 21), [i], {i: i}, Plain(i), (lambda: i), iter([i]), slice(i), set([i])] for i in range(4000)]
            for _ in range(1)]
    keep.append([{"x": i} for i in range(200)])
    keep.append(generators(300))
    keep.append([x.append for x in ([], [])] * 400)
    keep.append([collections.deque(range(3000)), [collections.deque([1]) for _ in range(50)]])
    del keep[:]
    gc.collect()


made = {}
for name in roots:
    made[name] = roots[name]()
fill_free_lists()
gc.collect()
print(json.dumps({name: id(made[name]) for name in roots}))
names = list(roots)
for e in ("used()", "gc.collect()"):
    eval(e)
print("ready")
sys.stdout.flush()
sys.stdin.readline()
for name in names:
    sys.stderr.write("begin %s %d\n" % (name, used()))
    sys.stderr.flush()
    if hasattr(sys, "_debugmallocstats"):
        sys._debugmallocstats()
    del made[name]
    gc.collect()
    sys.stderr.flush()
    sys.stderr.write("end %s %d\n" % (name, used()))
    sys.stderr.flush()
    if hasattr(sys, "_debugmallocstats"):
        sys._debugmallocstats()
sys.stderr.write("over\n")
sys.stderr.flush()
