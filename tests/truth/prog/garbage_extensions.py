"""Garbage in rings through objects of C extensions (_elementtree, _asyncio, _decimal, _sqlite3, _queue, _ctypes, pyexpat ... and lxml and numpy
where they are), for test_py_gc.py: says ready, waits to be dumped, then says what the collector found. Any Python from 2.7 on."""
import gc, sys, warnings
warnings.simplefilter("ignore")
two = sys.version_info[0] == 2
live = []
made = []

def through(name, make):
    """A ring: a list, the object that make() made of it, and back."""
    for held in (False, True):
        hold = [name]
        try:
            o = make(hold)
        except Exception:
            return
        hold.append(o)
        if not any(r is hold for r in gc.get_referents(o)):
            hold.append(hold)  # the object leads there by way of others, or not at all
        if held:
            live.append(hold)
    made.append(name)

class Holder(object):
    def __init__(self, hold): self.hold = hold
    def call(self, *a): return 0
    def __iter__(self): return iter([1])

def etree(E):
    def element(h): e = E.Element("a"); e.text = "t"; e.set("k", Str(h)); E.SubElement(e, "b").tail = "x"; return e
    def sub(h):
        class S(E.Element if isinstance(E.Element, type) else object): pass
        s = S("q") if isinstance(E.Element, type) else S(); s.h = h; return s
    def many(h):
        e = E.Element("r")
        for i in range(20): E.SubElement(e, "c%d" % i).append(E.Element(Str2(h, i)))
        return e
    def walking(h): e = element(h); i = e.iter(); next(i); next(i); return i
    def builder(h): b = E.TreeBuilder(lambda t, a: Holder(h)); b.start("a", {}); b.data("x"); return b
    def parser(h): p = E.XMLParser(target=Holder(h)); return p
    for f in (element, sub, many, walking, builder, parser):
        through(E.__name__ + "." + f.__name__, f)
class Str(str):
    def __new__(cls, h): s = str.__new__(cls, "v"); s.h = h; return s
class Str2(str):
    def __new__(cls, h, i): s = str.__new__(cls, "v%d" % i); s.h = h; return s

def futures():
    import asyncio
    loop = asyncio.new_event_loop(); live.append(loop)
    def future(h): f = asyncio.Future(loop=loop); f.add_done_callback(h.append); return f
    def callbacks(h):
        f = asyncio.Future(loop=loop)
        for i in range(5): f.add_done_callback(Holder(h).call)
        return f
    def done(h): f = asyncio.Future(loop=loop); f.set_result(h); return f
    def sub(h):
        class F(asyncio.Future): pass
        f = F(loop=loop); f.h = h; return f
    ns = {}
    exec("async def wait(f, h): await f\n", ns)
    def task(h): t = loop.create_task(ns["wait"](future(h), h)); loop.call_soon(loop.stop); loop.run_forever(); return t
    def waiting(h): return iter(future(h))
    for f in (future, callbacks, done, sub, waiting, task):
        through("asyncio." + f.__name__, f)

def databases():
    import sqlite3
    def connection(h): c = sqlite3.connect(":memory:"); c.row_factory = Holder(h).call; return c
    def function(h): c = sqlite3.connect(":memory:"); c.create_function("f", 1, Holder(h).call); return c
    def cursor(h): c = connection(h); return c.execute("select 1, 2")
    def row(h): c = sqlite3.connect(":memory:"); c.row_factory = sqlite3.Row; r = c.execute("select 1, 2").fetchone(); h.append(c); return r
    def sub(h):
        class C(sqlite3.Connection): pass
        class U(sqlite3.Cursor): pass
        c = C(":memory:"); c.h = h; u = c.cursor(U); u.c = h; h.append(u); return c
    for f in (connection, function, cursor, row, sub):
        through("sqlite3." + f.__name__, f)

def queues():
    import _queue
    def simple(h):
        q = _queue.SimpleQueue()
        for i in range(11): q.put(h if i == 7 else [i])
        for i in range(6): q.get()
        for i in range(9): q.put((h, i))
        return q
    through("_queue.SimpleQueue", simple)

def decimals():
    import decimal
    def context(h): c = decimal.Context(traps=[]); c2 = decimal.Context(); h.append(c2); return c
    def sub(h):
        class D(decimal.Decimal): pass
        d = D("1.5"); d.h = h; return d
    def subcontext(h):
        class C(decimal.Context): pass
        c = C(); c.h = h; return c
    for f in (context, sub, subcontext):
        through("decimal." + f.__name__, f)

def collections_and_iterators():
    import collections, functools, itertools, operator
    def lru(h):
        f = functools.lru_cache(5)(Holder(h).call)
        for i in range(9): f(i)
        f.h = h; return f
    def unbounded(h): f = functools.lru_cache(None)(Holder(h).call); f(1); return f
    def tee(h): a, b = itertools.tee([h] + list(range(100))); [next(a) for _ in range(70)]; return b
    def groups(h): g = itertools.groupby([h, h, 1], id); k, s = next(g); next(s); h.append(g); return s
    def product(h): p = itertools.product([h], [1, h]); next(p); return p
    def factory(h): return collections.defaultdict(Holder(h).call, a=h)
    def deque(h): return collections.deque([h] * 100, 90)
    def ordered(h): return collections.OrderedDict((i, h) for i in range(9))
    def getter(h): return operator.itemgetter(h, 1)
    def method(h): return operator.methodcaller("x", h, k=h)
    def part(h): p = functools.partial(Holder(h).call, h, k=h); p.h = h; return p
    def key(h): return functools.cmp_to_key(Holder(h).call)(h)
    for f in (lru, unbounded, tee, groups, product, factory, deque, ordered, getter, method, part, key):
        through("collections." + f.__name__, f)
    for n in ("chain", "cycle", "starmap", "count", "repeat", "combinations", "permutations", "accumulate", "zip_longest", "compress", "pairwise", "batched"):
        if hasattr(itertools, n):
            T = getattr(itertools, n)
            def one(h, T=T):
                for a in ((Holder(h),), ([h, 1], 2), ([h], [1]), (Holder(h).call, [h])):
                    try: r = T(*a)
                    except TypeError: continue
                    try: next(r)
                    except Exception: pass
                    return r
            through("itertools." + n, one)

def others():
    import csv, ctypes, io, json, pickle, pyexpat, re, ssl, struct, threading, weakref
    try: import contextvars
    except ImportError: contextvars = None
    def context(h): v = contextvars.ContextVar("x%d" % id(h), default=h); c = contextvars.Context(); c.run(v.set, h); return c
    def many(h):
        c = contextvars.Context()
        for i in range(80): c.run(contextvars.ContextVar("y%d" % i).set, h)
        return c
    def reader(h): return csv.reader(Holder(h).__iter__() and iter([h]))
    def writer(h):
        class W(object):
            def write(self, s): pass
        w = W(); w.h = h; return csv.writer(w)
    def text(h):
        class B(io.BytesIO): pass
        b = B(); b.h = h; t = io.TextIOWrapper(b); t.extra = h; return t
    def buffered(h):
        class B(io.BytesIO): pass
        b = B(b"abc"); b.h = h; r = io.BufferedReader(b); r.h = h; return r
    def pickler(h): p = pickle.Pickler(io.BytesIO()); p.persistent_id = Holder(h).call; return p
    def unpickler(h): u = pickle.Unpickler(io.BytesIO()); u.persistent_load = Holder(h).call; return u
    def expat(h): p = pyexpat.ParserCreate(); p.StartElementHandler = Holder(h).call; p.CharacterDataHandler = h.append; return p
    def match(h): class_ = Str(h); return re.match("v", class_)
    def tls(h): c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); c.set_servername_callback(Holder(h).call) if False else 0; c.sni_callback = Holder(h).call; return c
    def scanner(h): import _json; d = json.JSONDecoder(object_hook=Holder(h).call); return _json.make_scanner(d)
    def local(h): l = threading.local(); l.h = h; return l
    def structure(h):
        class S(ctypes.Structure): _fields_ = [("o", ctypes.py_object), ("n", ctypes.c_int)]
        s = S(); s.o = h; return s
    def pointer(h):
        class S(ctypes.Structure): _fields_ = [("o", ctypes.py_object)]
        s = S(h); return ctypes.pointer(s)
    def callback(h): return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(Holder(h).call)
    def error(h): e = OSError(1, "x", "f"); e.h = h; return e
    def stop(h): return StopIteration(h)
    def group(h): return ExceptionGroup("g", [ValueError(h)])
    def namespace(h): import types; return types.SimpleNamespace(h=h)
    def zone(h):
        import datetime
        class Z(datetime.tzinfo): pass
        z = Z(); z.h = h; return datetime.datetime(2020, 1, 1, tzinfo=z)
    def wrapped(h): return Holder(h).__init__
    def slot(h): return h.__add__
    def sup(h): return super(Holder, Holder(h))
    def prop(h): return property(Holder(h).call)
    def dictkeys(h): return {1: h}.items()
    def view(h):
        class B(bytearray): pass
        b = B(b"abc"); b.h = h; return memoryview(b)[1:]
    def ref(h): return weakref.ref(Holder, Holder(h).call)
    for f in (context, many, reader, writer, text, buffered, pickler, unpickler, expat, match, tls, scanner, local, structure, pointer, callback, error, stop, group, namespace, zone, wrapped, slot, sup, prop, dictkeys, view, ref):
        through(f.__name__, f)

def old():
    import csv, ctypes, io, itertools, operator, re, weakref, pyexpat
    def writer(h): w = Holder(h); w.write = h.append; return csv.writer(w)
    def expat(h): p = pyexpat.ParserCreate(); p.StartElementHandler = Holder(h).call; return p
    def structure(h):
        class S(ctypes.Structure): _fields_ = [("o", ctypes.py_object)]
        s = S(); s.o = h; return s
    def tee(h): a, b = itertools.tee([h] + list(range(100))); [next(a) for _ in range(70)]; return b
    def getter(h): return operator.itemgetter(h, 1)
    def view(h):
        class B(bytearray): pass
        b = B(b"abc"); b.h = h; return memoryview(b)[1:]
    for f in (writer, expat, structure, tee, getter, view):
        through(f.__name__, f)

def numpys():
    import numpy as np
    def objects(h): a = np.empty(5, dtype=object); a[2] = h; return a
    def sub(h):
        class A(np.ndarray): pass
        a = np.zeros(3).view(A); a.h = h; return a
    def ufunc(h): return np.frompyfunc(Holder(h).call, 1, 1)
    def iterator(h):
        class A(np.ndarray): pass
        a = np.zeros((2, 3)).view(A); a.h = h; return a.flat
    def structured(h): d = np.dtype([("a", "O"), ("b", "i4")], metadata={"h": h}); return np.zeros(2, d)
    def vectorized(h): return np.vectorize(Holder(h).call)
    def random(h): r = np.random.default_rng(1); h.append(np.random.RandomState(2)); return r
    for f in (objects, sub, ufunc, iterator, structured, vectorized, random):
        through("numpy." + f.__name__, f)

def lxmls():
    import lxml.etree as L, lxml.objectify, lxml.html
    def tree(h):
        class R(L.ElementBase): pass
        look = L.ElementDefaultClassLookup(element=R); p = L.XMLParser(); p.set_element_class_lookup(look); look.h = h if hasattr(look, "__dict__") else 0; R.h = h
        return p
    def target(h): t = Holder(h); t.start = h.append; t.close = h.append; return L.XMLParser(target=t)
    def xpath(h): return L.XPath("//a", namespaces={"x": "y"}, extensions={(None, "f"): Holder(h).call})
    def extension(h): e = L.XSLTExtension(); return [e, h]
    def elements(h): r = L.fromstring("<a><b/><c x='1'/></a>"); return [r, list(r), r.getroottree(), r.iter(), L.TreeBuilder(element_factory=Holder(h).call), h]
    def iterparse(h): import io; b = io.BytesIO(b"<a><b/></a>"); s = Holder(h); s.read = lambda n: b"<a/>"; return L.iterparse(s)
    def resolver(h):
        class R(L.Resolver): pass
        r = R(); r.h = h; p = L.XMLParser(); p.resolvers.add(r); return p
    def builder(h): return L.TreeBuilder(element_factory=Holder(h).call)
    def evaluator(h): r = L.fromstring("<a><b/></a>"); return L.XPathEvaluator(r, extensions={(None, "f"): Holder(h).call})
    def transform(h):
        x = L.fromstring('<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/"><r/></xsl:template></xsl:stylesheet>')
        return L.XSLT(x, extensions={("n", "f"): Holder(h).call})
    for f in (tree, target, xpath, extension, elements, iterparse, resolver, builder, evaluator, transform):
        through("lxml." + f.__name__, f)

def elements():
    import xml.etree.ElementTree as E
    etree(E)
    if two:
        import xml.etree.cElementTree as C
        etree(C)

def imports():
    """Everything that a first use leaves behind is there before."""
    for n in ("asyncio", "sqlite3", "_queue", "decimal", "collections", "functools", "itertools", "contextvars", "csv", "ctypes", "io", "json", "pickle", "pyexpat", "re", "ssl", "numpy", "lxml.etree",
              "lxml.objectify", "lxml.html", "xml.etree.ElementTree", "xml.etree.cElementTree", "threading", "weakref", "struct", "datetime", "types"):
        try: __import__(n)
        except Exception: pass
imports()
gc.collect(); gc.collect()
gc.disable()
for f in (elements, futures, databases, queues, decimals, collections_and_iterators, others if not two else old, numpys, lxmls):
    try:
        f()
    except ImportError:
        pass
f = None
if not two:
    sys.last_value = sys.last_traceback = None
sys.stdout.write("through %d: %s\n" % (len(made), " ".join(made)))
sys.stdout.write("ready\n"); sys.stdout.flush()
sys.stdin.readline()
def truth():
    gc.set_debug(gc.DEBUG_SAVEALL)
    n = gc.collect()
    sys.stdout.write("SAVED\n" + "".join("%x %s\n" % (id(o), type(o).__name__) for o in gc.garbage) + "END\ncollected %d\n" % n)
    sys.stdout.flush()
truth()
sys.stdin.readline()
