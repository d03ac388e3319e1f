"""Objects of as many C types of the standard library as can be made; prints what the collector is shown of each (gc.get_referents).

Every importable C module is imported; every type with the collector's flag is tried with a few argument lists; what needs more than
that is made by hand. Objects found in the process at large are taken, too, some of each type."""
from __future__ import print_function
import gc, os, sys, time
gc.disable()
two = sys.version_info[0] == 2
keep = []
names = set(sys.builtin_module_names)
for d in sys.path:
    if d.endswith("lib-dynload") and os.path.isdir(d):
        names |= set(f.split(".")[0].replace("module", "") if two else f.split(".")[0] for f in os.listdir(d) if f.endswith(".so"))
bad = {"_tkinter", "nis", "ossaudiodev", "_curses_panel", "readline", "_ctypes_test", "_xxtestfuzz", "faulthandler", "_testcapi", "_testinternalcapi",
       "_testlimitedcapi", "_testsinglephase", "_testmultiphase", "_testimportmultiple", "_testexternalinspection", "xxlimited", "xxlimited_35", "xxsubtype", "linuxaudiodev"}
mods = {}
for n in sorted(names - bad):
    try:
        mods[n] = __import__(n)
    except BaseException:
        pass
for n in ("asyncio", "collections", "concurrent.futures", "contextvars", "ctypes", "csv", "datetime", "decimal", "functools", "io", "itertools", "json", "operator",
          "pickle", "queue", "re", "sqlite3", "ssl", "struct", "threading", "types", "weakref", "xml.etree.ElementTree", "xml.parsers.expat", "zlib", "bz2", "lzma", "zoneinfo", "typing", "multiprocessing.connection"):
    try:
        __import__(n)
    except BaseException:
        pass
import itertools, functools, collections, operator, io, re, types, weakref, threading, struct, array

HAVE_GC = 1 << 14
HEAP = 1 << 9
def all_types():
    seen, todo = set(), [object]
    while todo:
        t = todo.pop()
        if id(t) in seen:
            continue
        seen.add(id(t))
        yield t
        try:
            todo += type.__subclasses__(t)
        except Exception:
            pass

class Node(object):
    pass
def fresh():
    n = Node(); n.me = [n]
    return n
def gen():
    yield fresh()
args = [(), (fresh(),), ([fresh(), fresh()],), (fresh(), fresh()), (lambda: fresh(),), (lambda *a: fresh(), [fresh()]), ("x",), (b"x",), (1,), (1, 2), (iter([fresh()]),), ([fresh()], 2), (fresh(), [1], {}), (io.BytesIO(b"abc"),),
        ("x", (), {}), (gen(),), (Node,), (Node, fresh()), (fresh(), Node), (str, 1, 2), (io.StringIO() if not two else io.BytesIO(),)]
never = set(["fork_exec", "Tk", "socket", "SemLock", "mmap", "epoll", "_exit", "FileIO", "SSLSocket", "_SSLSocket", "Popen", "DirEntry", "ThreadHandle", "_ThreadHandle", "lock", "Thread", "SystemExit", "KeyboardInterrupt"])
for t in list(all_types()):
    f = t.__flags__
    if not f & HAVE_GC or t.__name__ in never or t.__module__ in ("ctypes", "importlib._bootstrap", "tkinter", "posix", "select"):
        continue
    if f & HEAP and isinstance(t.__dict__.get("__module__"), str) and t.__module__ in sys.modules and getattr(sys.modules[t.__module__], "__file__", "").endswith((".py", ".pyc")):
        continue
    made = 0
    for a in args:
        try:
            o = t(*a)
        except BaseException:
            continue
        if type(o) is t:
            keep.append(o)
            made += 1
            if made == 3:
                break

def attempt(f):
    try:
        r = f()
        keep.append(r)
        return r
    except BaseException:
        return None

# by hand: what needs arguments of its own, or has to have been used
def itertools_used():
    r = [itertools.chain([fresh()], [2]), itertools.combinations([fresh(), 2, 3], 2), itertools.permutations([fresh(), 2, 3]), itertools.product([fresh()], [1, 2]), itertools.cycle([fresh(), 2]),
         itertools.groupby([fresh(), 1], lambda x: id(x)), itertools.islice([fresh(), 1, 2], 1, 3), itertools.combinations_with_replacement([fresh(), 1], 2), itertools.count(1 << 70, 2), itertools.repeat(fresh()),
         itertools.starmap(lambda *a: 1, [(fresh(),)]), itertools.takewhile(lambda a: True, [fresh(), 1]), itertools.dropwhile(lambda a: False, [fresh(), 1]), enumerate([fresh()]), reversed([fresh()]), zip([fresh()], [1]), map(str, [fresh()]), filter(None, [fresh()])]
    for i in r:
        try: next(i)
        except TypeError: pass
        except StopIteration: pass
    r += [itertools.chain([fresh()], [2]), itertools.product([fresh()], [1])]
    g = itertools.groupby([1, 1, fresh()])
    k, sub = next(g); next(sub); r += [g, sub, k]
    a, b = itertools.tee([fresh() for _ in range(70)]); [next(a) for _ in range(60)]; next(b); r += [a, b]
    for x in (a, b):
        r += [y for y in gc.get_referents(x)]
    if hasattr(itertools, "pairwise"): p = itertools.pairwise([fresh(), fresh(), 1]); next(p); r.append(p)
    if hasattr(itertools, "batched"): p = itertools.batched([fresh(), fresh(), 1], 2); next(p); r.append(p)
    keep.extend(r)
attempt(itertools_used)
def functools_used():
    if not two:
        for size in (None, 5, 0):
            @functools.lru_cache(maxsize=size)
            def f(x, y=None): return fresh()
            for i in range(9): f(i, y=i)
            f.extra = fresh(); keep.append(f)
        class C(object):
            @functools.lru_cache(maxsize=3)
            def m(self, a): return [a]
        c = C(); [c.m(i) for i in range(5)]; keep.extend([c, C.__dict__["m"], c.m])
        keep.append(functools.cmp_to_key(lambda a, b: 0)(fresh()))
    p = functools.partial(fresh, 1, a=fresh()); p.attr = fresh(); keep.append(p)
    class P(functools.partial): pass
    q = P(fresh, 2); q.z = fresh(); keep.extend([q, P])
attempt(functools_used)
def deques():
    d = collections.deque([fresh() for _ in range(200)], 150); d.rotate(7); keep.extend([d, iter(d), reversed(d), collections.defaultdict(list, a=fresh())])
    o = collections.OrderedDict((i, fresh()) for i in range(30)); del o[3]; keep.extend([o, iter(o), o.keys(), o.items(), o.values()])
    class D(collections.deque): pass
    e = D([fresh()]); e.x = fresh(); keep.extend([e, D])
    d = {1: fresh(), 2: 3}; keep.extend([d, iter(d), d.keys(), d.items(), iter(d.items()), iter(d.values()), set([fresh()]), iter(set([fresh(), 1])), iter((fresh(),)), iter([fresh()]), iter(bytearray(b"ab")), types.MappingProxyType(d) if not two else Node.__dict__])
attempt(deques)
def elements():
    import xml.etree.ElementTree as E
    e = E.fromstring("<a x='1'>t<b>" + "<c>x</c>tail" * 9 + "</b>tail</a>")
    if two:
        import xml.etree.cElementTree as E
        e = E.fromstring("<a x='1'>t<b>" + "<c>x</c>tail" * 9 + "</b>tail</a>")
    keep.extend([e, e[0], e[0][0], E.Element("empty"), E.TreeBuilder(), e.iter(), E.XMLParser()])
    it = e.iter(); next(it); next(it); next(it); keep.append(it)
    b = E.TreeBuilder(); b.start("a", {"k": "v"}); b.data("x"); b.data("y"); b.start("b", {}); keep.append(b)
    class Sub(E.Element if not two else Node): pass
    if not two:
        s = Sub("n"); s.z = fresh(); s.append(e); keep.extend([s, Sub])
        p = E.XMLPullParser(["start", "end"]); p.feed("<a><b>"); keep.extend([p, p._parser])
    if two:
        e.text = "x"
attempt(elements)
def tasks():
    import asyncio
    loop = asyncio.new_event_loop(); keep.append(loop)
    f = asyncio.Future(loop=loop); f.add_done_callback(lambda _: 1); f.add_done_callback(functools.partial(fresh, f)); f.add_done_callback(print); keep.append(f)
    g = asyncio.Future(loop=loop); g.set_result(fresh()); keep.append(g)
    h = asyncio.Future(loop=loop)
    try: raise ValueError(h)
    except ValueError as e: h.set_exception(e)
    keep.append(h)
    ns = {}
    exec("async def co(f):\n    return await f\nasync def agen():\n    x = []\n    yield x\n    yield 2\n", ns)
    t = loop.create_task(ns["co"](f)); keep.append(t)
    for _ in range(3):
        loop.call_soon(loop.stop); loop.run_forever()
    keep.append(iter(f))
    a = ns["agen"](); keep.extend([a, a.__anext__(), a.asend(fresh()), a.aclose()])
    c = ns["co"](f); w = c.__await__(); keep.extend([c, w])
    class F(asyncio.Future): pass
    s = F(loop=loop); s.x = fresh(); s.add_done_callback(fresh); keep.extend([s, F])
    class T(asyncio.Task): pass
    s = T(ns["co"](f), loop=loop); s.y = fresh(); keep.extend([s, T])
    loop.call_soon(loop.stop); loop.run_forever()
attempt(tasks)
def databases():
    import sqlite3
    c = sqlite3.connect(":memory:"); keep.append(c)
    c.row_factory = sqlite3.Row; c.create_function("f", 1, lambda x: x); c.set_trace_callback(lambda s: None) if not two else 0
    c.execute("create table t (a, b)"); c.execute("insert into t values (1, 'x')")
    u = c.execute("select * from t"); keep.extend([u, u.fetchone(), c.cursor(), c.iterdump() if not two else 0])
    v = c.execute("select * from t"); keep.append(v)
    if hasattr(c, "blobopen"):
        c.execute("create table b (x blob)"); c.execute("insert into b values (zeroblob(9))"); keep.append(c.blobopen("b", "x", 1))
    class C(sqlite3.Connection): pass
    class U(sqlite3.Cursor): pass
    d = sqlite3.connect(":memory:", factory=C); d.x = fresh(); w = d.cursor(U); w.z = fresh(); keep.extend([d, w, C, U])
attempt(databases)
def files():
    r = io.BufferedReader(io.BytesIO(b"ab" * 9)); t = io.TextIOWrapper(io.BytesIO(b"x\ny\n")); t.readline(); w = io.BufferedWriter(io.BytesIO()); w.write(b"z"); p = io.BufferedRWPair(io.BytesIO(), io.BytesIO())
    f = io.open(os.devnull, "rb", 0); b = io.BytesIO(b"q"); b.extra = fresh(); s = io.StringIO(u"x"); s.more = fresh(); x = io.open(os.devnull, "w+" if not two else "r")
    keep.extend([r, t, w, p, f, b, s, x, io.BufferedRandom(io.BytesIO()), io.IncrementalNewlineDecoder(None, True), b.getbuffer() if not two else 0])
    class B(io.BytesIO): pass
    class R(io.RawIOBase): pass
    class I(io.TextIOWrapper): pass
    y = B(b"1"); y.q = fresh(); z = R(); z.q = fresh(); i = I(io.BytesIO()); i.q = fresh(); keep.extend([y, z, i, B, R, I])
attempt(files)
def numbers():
    import decimal
    keep.extend([decimal.Context(), decimal.localcontext(), decimal.Decimal(1), decimal.getcontext().flags if not two else 0])
    import contextvars
    v = contextvars.ContextVar("v", default=fresh()); tok = v.set(fresh()); c = contextvars.copy_context()
    vs = [contextvars.ContextVar("v%d" % i) for i in range(70)]
    for w in vs: w.set(fresh())
    d = contextvars.copy_context(); keep.extend([v, tok, c, vs, d, contextvars.Context(), iter(d), d.items(), d.keys(), d.values()])
    e = contextvars.Token.MISSING; keep.append(e)
attempt(numbers)
def queues():
    import _queue
    q = _queue.SimpleQueue(); [q.put(fresh()) for _ in range(20)]; [q.get() for _ in range(13)]; [q.put(fresh()) for _ in range(9)]; keep.extend([q, _queue.SimpleQueue()])
attempt(queues)
def ctypes_objects():
    import ctypes as c
    class S(c.Structure): pass
    S._fields_ = [("a", c.c_int), ("p", c.POINTER(S)), ("s", c.c_char_p), ("o", c.py_object)]
    s = S(); t = S(); s.p = c.pointer(t); s.s = b"xyz"; s.o = fresh()
    F = c.CFUNCTYPE(c.c_int, c.c_int); f = F(lambda x: x)
    A = S * 3; a = A(); a[1].s = b"q"; l = c.CDLL(None); g = l.getpid; g.restype = c.c_int; g.argtypes = [c.c_int]; g.errcheck = lambda *a: 1
    keep.extend([s, t, s.p, f, F, A, a, a[0], l, g, S, S.a, c.c_int(3), c.pointer(c.c_int(4)), c.byref(t), c.c_char_p(b"z"), c.create_string_buffer(9), c.POINTER(S), c.py_object(fresh())])
attempt(ctypes_objects)
def texts():
    p = re.compile("a(b)(?P<x>c)?"); m = p.match("abc"); keep.extend([p, m, p.finditer("abcabc"), p.scanner("abc"), struct.Struct("ii"), struct.iter_unpack("i", b"1234" * 3) if not two else 0, struct.Struct("i").iter_unpack(b"1234") if not two else 0])
    import csv, json, pickle
    keep.extend([csv.reader(iter(["a,b"])), csv.writer(io.StringIO()), csv.get_dialect("excel")])
    k = pickle.Pickler(io.BytesIO(), 2) if not two else 0; k and k.dump([fresh() if False else 1, [2]]); u = pickle.Unpickler(io.BytesIO(pickle.dumps([1, [2, (3,)]]))); keep.extend([k, k and k.memo, u, u.load(), u.memo if not two else 0])
    import _json
    keep.extend([json.JSONDecoder().scan_once, _json.make_scanner(json.JSONDecoder()), json.encoder.c_make_encoder(None, fresh, fresh, None, ":", ",", False, False, False)])
    keep.extend([m.expand, "a".join, memoryview(b"abc"), memoryview(bytearray(b"abc"))[1:], array.array("i", [1, 2]), iter(array.array("i", [1])), bytearray(b"zz")])
attempt(texts)
def hashes_and_sockets():
    import socket, select, ssl, zlib, bz2
    a, b = socket.socketpair(); keep.extend([a, b, getattr(a, "_sock", None)])
    c = ssl.SSLContext(ssl.PROTOCOL_TLS if hasattr(ssl, "PROTOCOL_TLS") else ssl.PROTOCOL_SSLv23); c.set_servername_callback(lambda *a: 1); keep.append(c)
    keep.append(c.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()) if not two else 0)
    keep.extend([select.poll(), select.epoll(), zlib.compressobj(), zlib.decompressobj(), bz2.BZ2Compressor(), bz2.BZ2Decompressor()])
    import lzma, hashlib, hmac, random
    keep.extend([lzma.LZMACompressor(), lzma.LZMADecompressor(), hashlib.sha256(), hashlib.new("md5"), random.Random()])
attempt(hashes_and_sockets)
def others():
    import datetime, threading, time, unicodedata
    class TZ(datetime.tzinfo):
        def utcoffset(self, d): return datetime.timedelta(0)
    z = TZ(); z.x = fresh(); keep.extend([z, datetime.datetime.now(z), TZ])
    l = threading.local(); l.a = fresh(); keep.extend([l, threading.Lock(), threading.RLock(), threading.Condition(), weakref.WeakValueDictionary(), weakref.ref(z, lambda r: fresh()), weakref.proxy(z, print), threading.current_thread()])
    keep.extend([operator.attrgetter("a.b", "c"), operator.itemgetter(1, fresh()), operator.methodcaller("x", fresh(), k=fresh()), property(lambda s: 1, doc="x"), classmethod(fresh), staticmethod(fresh), super(TZ, z), slice(fresh(), 1, [2]), range(1 << 70) if not two else xrange(3)])
    f = fresh; f.attr = fresh(); keep.extend([f, f.__code__, f.__class__, z.utcoffset, [].append, "".join, dict.fromkeys, object.__init__, Node().__init__, list.__add__, type.__dict__["__abstractmethods__"], Node.__dict__["__dict__"], fresh().__class__.__subclasses__])
    def cell(x):
        def inner(): return x
        return inner
    i = cell(fresh()); keep.extend([i, i.__closure__, iter(lambda: 1, 2), iter(i.__closure__)])
    class It(object):
        def __getitem__(self, n): return n
        def __len__(self): return 3
    keep.extend([iter(It()), reversed(It())])
    for make in (lambda: {}["k"], lambda: [][1], lambda: open("/nonexistent"), lambda: __import__("nothing_here"), lambda: fresh().nothing, lambda: nothing, lambda: b"\xff".decode("ascii"), lambda: next(gen()) and 1 // 0, lambda: int("x" * 3), lambda: sys.exit(fresh()), lambda: compile("(", "f", "exec")):
        try: make()
        except BaseException as e:
            e.note = fresh() ; keep.append(e); keep.append(sys.exc_info()[2])
    try:
        try: 1 // 0
        except ZeroDivisionError: raise ValueError(fresh())
    except ValueError as e: keep.append(e)
    s = StopIteration(fresh()); keep.append(s)
    if "ExceptionGroup" in dir(__import__("builtins" if not two else "__builtin__")): keep.append(ExceptionGroup("g", [ValueError(1), KeyError(fresh())]))
    if not two:
        keep.extend([types.SimpleNamespace(a=fresh()), types.DynamicClassAttribute(fresh), sys.flags, sys.implementation, os.stat("/"), time.localtime(), os.scandir("/") if False else 0])
    if sys.version_info >= (3, 9): keep.extend([list[int], dict[str, Node]])
    if sys.version_info >= (3, 10): keep.extend([int | str, anext(agen_of(), 1) if False else 0])
    if sys.version_info >= (3, 12):
        ns = {}
        exec("class G[T: int, *Ts, **P]:\n    def m[U](self, x: U) -> T: pass\ntype A[X] = list[X]\n", ns); keep.extend([ns["G"].__type_params__, ns["A"], ns["G"].m.__type_params__, ns["A"].__type_params__, A_of(ns)])
    import zoneinfo
    keep.append(zoneinfo.ZoneInfo("UTC"))
def A_of(ns): return ns["A"][int]
attempt(others)
def parsers():
    import pyexpat
    p = pyexpat.ParserCreate(); p.StartElementHandler = lambda *a: fresh(); p.buffer_text = True; p.returns_unicode = True if two else None; keep.append(p)
attempt(parsers)
if two:
    class Old:
        def m(self): pass
    o = Old(); o.x = fresh(); keep.extend([Old, o, o.m, buffer(b"abc"), xrange(3), iter(xrange(3)), u"x".join])
    import cStringIO, cPickle
    keep.extend([cStringIO.StringIO(), cPickle.Pickler(), cPickle.Unpickler(cStringIO.StringIO("i"))])
class HalfSlots(object):
    __slots__ = ("a", "b", "__weakref__")
class Err(KeyError): pass
class Fn(type(sys)): pass
h = HalfSlots(); h.a = fresh(); e = Err(fresh()); e.q = fresh(); m = Fn("m"); m.q = fresh()
keep.extend([h, e, m])

seen, count = set(), {}
objects = []
def take(o):
    t = type(o)
    if id(o) in seen or o is seen or o is count or o is objects or o is keep or count.get(t, 0) >= 6:
        return
    seen.add(id(o)); count[t] = count.get(t, 0) + 1
    objects.append(o)
def pick():
    for o in list(keep):
        take(o)
    for o in list(keep):
        for r in gc.get_referents(o):
            if type(r).__flags__ & HAVE_GC: take(r)
    import random
    rest = gc.get_objects(); random.Random(1).shuffle(rest)
    for o in rest: take(o)
    del rest
    # frames that run and this module's own namespace change under the eyes
    frame = type(sys._getframe()); skip = (frame,)
    # static types have no collector's header
    objects[:] = [o for o in objects if not (issubclass(type(o), type) and not type.__dict__["__flags__"].__get__(o) & HEAP) and not issubclass(type(o), skip) and o is not globals() and type(o).__flags__ & HAVE_GC and o is not threading.current_thread()]
pick()
del pick, take
texts = (str, u"".__class__, bytes)
lines = []
out = sys.stdout
def show():
    pre = "%x %s:"
    for o in objects:
        r = gc.get_referents(o)
        lines.append("%x\t%s.%s\t%s" % (id(o), type(o).__module__, type(o).__name__, " ".join(["%x%s" % (id(x), "s" if type(x) in texts else "") for x in r])))
        r = None
o = r = t = a = None
show()
for i in range(0, len(lines)):
    out.write(lines[i] + "\n")
out.write("ready\n")
out.flush()
time.sleep(600)
