"""A process that keeps too much, on purpose; says how much. argv: healthy (the same, but each in a harmless amount) or wasting."""
import collections, functools, gc, sys, time, weakref
two = sys.version_info[0] == 2
wasting = sys.argv[1] == "wasting"
gc.disable()
kept = []


def say(*words):
    print(" ".join(str(w) for w in words))


# ---- containers with room ----
class PlantedDeque(collections.deque):
    pass


class PlantedSet(set):
    pass


class PlantedBytes(bytearray):
    pass


def deques():
    out = [PlantedDeque([i]) for i in range(900 if wasting else 3)]
    if not two:
        for i in range(40):
            d = PlantedDeque(range(300))
            for k in range(250): d.popleft()
            out.append(d)
    block, items = (528, 64) if not two else (512, 62)
    base = sys.getsizeof(PlantedDeque()) - block
    room = [((sys.getsizeof(d) - base) // block * items, len(d)) for d in out] # blocks in use, as __sizeof__ counts them
    say("deque", len(out), sum(c for c, n in room), sum(n for c, n in room))
    return out


def sets():
    out = []
    for k in range(20 if wasting else 1):
        n = 5000 if wasting else 500
        s = PlantedSet(range(n))
        for i in range(n - 10): s.discard(i)
        out.append(s)
    table = (sys.getsizeof(out[0]) - sys.getsizeof(PlantedSet())) // 16
    say("set", len(out), table, 10)
    return out


def bytearrays():
    out = []
    for k in range(10):
        b = PlantedBytes(100000)
        del b[52000:]
        out.append(b)
    say("bytearray", len(out), sum(sys.getsizeof(b) - sys.getsizeof(PlantedBytes()) for b in out), sum(map(len, out)))
    return out


kept += [deques(), sets(), bytearrays()]

# ---- equal tuples, each made of objects of its own ----
equal = [(float(i - i) + 2.5, "row".join(["", ""]), 10 ** 12 + i - i) for i in range(5000 if wasting else 50)]
say("tuples", len(equal), sys.getsizeof(equal[0]))

# ---- exceptions with frames ----
errors = []


def fail(depth, size):
    held = bytearray(size)
    if depth:
        return fail(depth - 1, size)
    raise KeyError("planted")


for i in range(60 if wasting else 2):
    try:
        fail(3, 3000)
    except KeyError as e:
        errors.append(e)
say("tracebacks", 0 if two else len(errors), 5 * len(errors), 4 * 3000 * len(errors), fail.__code__.co_firstlineno + 4)
bare = [KeyError("no traceback") for i in range(500)]

# ---- caches ----
if not two:
    @functools.lru_cache(maxsize=None)
    def endless(i):
        return str(i) * 20

    @functools.lru_cache(maxsize=64)
    def bounded(i):
        return str(i) * 20

    for i in range(12000 if wasting else 300): endless(i)
    for i in range(100): endless(5); bounded(i)
    for f in endless, bounded:
        c = f.cache_info()
        say("cache", f.__name__, c.currsize, c.maxsize, c.hits, c.misses)


# ---- what modules keep ----
class Registry(object):
    instances = []

    def __init__(self):
        self.table = {}


registry = Registry()
journal = []
for i in range(20000 if wasting else 20):
    journal.append(["entry %d" % i, i * 1.5, ("x%d" % i) * 120])
    Registry.instances.append("instance %d" % i)
    registry.table[i] = "value %d" % i


# ---- weak references ----
class Thing(object):
    pass


alive = [Thing() for i in range(300)]
refs = [weakref.ref(t) for t in alive]
gone = [Thing() for i in range(7000 if wasting else 70)]
dead = [weakref.ref(t) for t in gone]
table = weakref.WeakValueDictionary((i, t) for i, t in enumerate(gone))
walk = iter(table.values()) if not two else table.itervalues()
last = next(walk)  # while somebody iterates, what dies stays in the table
del gone
t = None
say("weak", sum(1 for r in dead if r() is None), len(refs), sum(1 for r in table.data.values() if r() is None))

# ---- interned strings ----
before = getattr(sys, "getallocatedblocks", int)()
for i in range(9000 if wasting else 9):
    (intern if two else sys.intern)("planted interned string, dropped at once %d" % i)
after = getattr(sys, "getallocatedblocks", int)()
say("interned", after - before > (8000 if wasting else 8))

# ---- arenas that survivors pin ----
if wasting:
    peak = [(i, "peak %d" % i) for i in range(500000)]
    survivors = peak[::2000]
    del peak
say("ready")
sys.stdout.flush()
time.sleep(300)
