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


class Tree(object):
    def __init__(self, depth):
        self.left, self.right = (Tree(depth - 1), Tree(depth - 1)) if depth else (None, None)


def friends(n):
    """Cycles of all sizes, through dicts and lists."""
    people = [Node(i) for i in range(n)]
    for i, p in enumerate(people):
        p.near = [people[(i * k + 7) % n] for k in (3, 5, 11)]
        p.by = dict((q, i) for q in p.near[:2])
        p.me = p
    return people


def raised(n):
    def fail(i):
        local = ["in the frame of %d" % i] * 20
        raise KeyError(local)
    out = []
    for i in range(n):
        try:
            fail(i)
        except KeyError as e:
            out.append((e, sys.exc_info()[2]))
    return out


def elements(n):
    import xml.etree.ElementTree as et
    r = et.Element("root")
    for i in range(n):
        et.SubElement(r, "child", {"k": "v%d" % i}).text = "t%d" % i
    return r


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
roots["tree"] = lambda: Tree(10)
roots["friends"] = lambda: friends(1000)
roots["raised"] = lambda: raised(200)
roots["elements"] = lambda: elements(700)
roots["tees"] = lambda: [itertools.tee(iter([str(i) * 4, i * 1.5])) for i in range(400)] + [itertools.product([i], [str(i)]) for i in range(400)]
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
