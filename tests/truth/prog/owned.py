"""Memory that is not objects: C buffers, tables and state of the standard library's C modules, each with an owner. Runs on 2.7 to 3.x;
what a version lacks is left out. Says in JSON whose some blocks are (by the pointers in its own objects) and which sizes were leaked;
prints a line and sleeps."""
import array, collections, itertools, sys, threading, time, io, re, json, struct, zlib, bz2, hashlib, csv, functools, weakref, mmap, socket, select

keep = []
said = {}


def tried(f):
    try:
        keep.append(f())
    except (ImportError, AttributeError, OSError, TypeError, ValueError):
        pass


def sqlite():
    import sqlite3
    db = sqlite3.connect(":memory:")
    db.execute("create table t(a integer primary key, b text)")
    db.executemany("insert into t(b) values (?)", [("row %d" % i * 4,) for i in range(3000)])
    cur = db.execute("select * from t")
    cur.fetchone()
    return db, cur


def expat():
    from xml.parsers import expat as e
    p = e.ParserCreate()
    p.StartElementHandler = lambda n, a: None
    p.Parse("<a><b c='d'>%s" % ("text " * 2000), False)
    return p


def tree():
    import xml.etree.ElementTree as et
    r = et.Element("root")
    for i in range(300):
        et.SubElement(r, "child", {"k": str(i)}).text = "t%d" % i
    return r


def files():
    f = open(__file__, "rb")
    f.read(10)
    t = io.open(__file__, "r", encoding="utf-8")
    t.readline()
    b = io.BytesIO(b"x" * 50000)
    b.seek(10)
    b.write(b"more")
    s = io.StringIO(u"y" * 50000)
    s.seek(3)
    s.write(u"z")
    return f, t, b, s


def compressors():
    c, d, b = zlib.compressobj(), zlib.decompressobj(), bz2.BZ2Compressor()
    c.compress(b"abc" * 1000)
    d.decompress(zlib.compress(b"abc" * 1000)[:20])
    b.compress(b"q" * 1000)
    return c, d, b


def lzmas():
    import lzma
    c = lzma.LZMACompressor(preset=0)
    c.compress(b"w" * 1000)
    return c


def decimals():
    import decimal
    return decimal.getcontext(), [decimal.Decimal(10) ** 200 / 7 for _ in range(50)], decimal.Decimal("1e3000") + 1


def hashes():
    return [hashlib.new(n, b"seed") for n in ("md5", "sha1", "sha256", "sha512")] + [hashlib.sha256() for _ in range(50)]


def pickles():
    import pickle
    out = io.BytesIO()
    p = pickle.Pickler(out, 2)
    p.dump([{"a": i, "b": (i, str(i))} for i in range(500)])
    u = pickle.Unpickler(io.BytesIO(out.getvalue()))
    u.load()
    return p, u, out


def threads():
    def wait():
        local = list(range(100))
        time.sleep(1000)
        return local
    ts = [threading.Thread(target=wait) for _ in range(4)]
    for t in ts:
        t.daemon = True
        t.start()
    return ts, threading.local(), threading.Lock(), threading.RLock()


def generators():
    def g(n):
        for i in range(n):
            yield i
    gs = [g(10) for _ in range(300)]
    for x in gs:
        next(x)
    return gs, itertools.tee(iter(range(1000)), 3), itertools.product(range(10), repeat=3), list(itertools.islice(itertools.cycle(range(5)), 9))


def containers():
    d = collections.deque(range(5000))
    od = collections.OrderedDict((i, str(i)) for i in range(1000))
    dd = collections.defaultdict(list)
    for i in range(1000):
        dd[i % 50].append(i)
    s = set(range(5000))
    fs = frozenset("abc%d" % i for i in range(500))
    a = array.array("d", [0.5] * 20000)
    ba = bytearray(b"k" * 70000)
    for i in range(5):
        ba.append(i)
    return d, od, dd, s, fs, a, ba, memoryview(ba), {i: [i] for i in range(3000)}, [None] * 40000, collections.Counter("mississippi" * 10)


def texts():
    us = [u"\u20ac%d" % i for i in range(500)] + [u"\U0001f600%d" % i for i in range(200)]
    for u in us:
        u.encode("utf-8")
    return us, re.compile(r"(a|b)+c[^d]*(?P<n>\d+)"), re.compile("x(.*)y").match("xabcy"), struct.Struct("<IHHq10s"), csv.reader(["a,b,c"] * 10), json.loads('{"a": [1, 2, {"b": null}]}')


def ctypes_things():
    import ctypes
    class P(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_double * 100)]
    CB = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    return (P * 40)(), ctypes.create_string_buffer(30000), CB(lambda x: x), ctypes.CDLL(None), ctypes.pointer(P())


def sockets():
    a, b = socket.socketpair()
    p = select.poll()
    p.register(a)
    m = mmap.mmap(-1, 65536)
    return a, b, p, m, select.epoll()


def ssls():
    import ssl
    return ssl.create_default_context()


def caches():
    @functools.lru_cache(maxsize=1000)
    def f(x):
        return str(x)
    for i in range(500):
        f(i)
    return f, functools.partial(f, 3)


def loops():
    import asyncio
    loop = asyncio.new_event_loop()
    return loop, [loop.create_future() for _ in range(100)]


def others():
    import datetime, uuid, random, heapq, tempfile, logging, unicodedata, locale, subprocess
    r = random.Random(3)
    class K(object):
        pass
    ks = [K() for _ in range(500)]
    for i, k in enumerate(ks):
        k.a, k.b = i, str(i)
    return datetime.datetime.now(), r, ks, [weakref.ref(k) for k in ks], weakref.WeakValueDictionary((i, k) for i, k in enumerate(ks)), logging.getLogger("x.y.z")


def whose():
    """name: [id of the owner, address that its own field holds]. Offsets are those of CPython's headers (64-bit)."""
    import ctypes
    two = sys.version_info[0] == 2

    def field(o, at):
        keep.append(o)
        return [id(o), ctypes.c_size_t.from_address(id(o) + at).value]
    big = dict((i, i) for i in range(4000))
    return {"list": field([None] * 3000, 24), "array": field(array.array("i", range(9000)), 24), "set": field(set(range(3000)), 40),
            "deque": field(collections.deque(range(100)), 16 if two else 24), "bytearray": field(bytearray(9000), 40 if two else 32),
            "dict": field(big, 40 if two else 32)}


def leaks():
    """Blocks of sizes that nothing else has, whose addresses nobody ever knew in whole."""
    import ctypes
    malloc = ctypes.CDLL(None).malloc
    malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_uint16
    sizes = [41016 + 64 * i for i in range(12)]
    for n in sizes:
        malloc(n)
    return sizes


def deep(n):
    if n:
        return deep(n - 1)
    sys.stdout.write(json.dumps(said) + "\nready\n")
    sys.stdout.flush()
    time.sleep(1000)


class Meta(type):
    pass


classes = [Meta("C%d" % i, (object,), {"m%d" % j: (lambda self: None) for j in range(5)}) for i in range(200)]
for f in (leaks, whose):
    try:
        said[f.__name__] = f()
    except ImportError:
        pass
for f in (sqlite, expat, tree, files, compressors, lzmas, decimals, hashes, pickles, threads, generators, containers, texts, ctypes_things, sockets,
          ssls, caches, loops, others):
    tried(f)

deep(60)
