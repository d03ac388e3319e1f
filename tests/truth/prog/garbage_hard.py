"""Garbage of the awkward kinds: C types of the standard library, generators in every state, weak references, classes, for test_py_gc.py: says ready, waits to be dumped, then says what the collector found. Any Python from 2.7 on."""
import gc, sys, weakref, itertools, functools, collections, types, abc
two = sys.version_info[0] == 2
gc.collect(); gc.collect()
gc.disable()
live = []
class Node(object):
    def __init__(self, *refs): self.refs = list(refs)
    def method(self): return self
def knot(*things):
    n = Node(*things); n.refs.append(n); return n

def containers():
    for n in (1, 5, 30, 700):
        d = {}; d['self'] = d
        for i in range(n): d[i] = (i, [d])
        l = []; l.extend([l] * n); l.append(tuple([l, (1, 2), [3]]))
        s = knot(); s.refs.append(set([s, 1, (2, 3)])); s.refs.append(frozenset([s, 'x']))
        q = collections.deque([1] * n); q.append(q); q.appendleft([q]); q.rotate(n // 3)
        q2 = collections.deque(maxlen=3); q2.extend([q2, [1], [2], [q2]])
        od = collections.OrderedDict((i, [i]) for i in range(n)); od['od'] = od; od.pop(0)
        class Key(object): pass
        k = Key(); od2 = collections.OrderedDict(); od2[k] = 1; k.od = od2
        class OD(collections.OrderedDict): pass
        od3 = OD(); od3.attr = od3; od3[k] = od3
        dd = collections.defaultdict(list); dd[1].append(dd)
        c = collections.Counter('abc'); c.me = c
    P = collections.namedtuple('P', 'a b')
    l = []; l.append(P(l, 1))
    class T(tuple):
        pass
    t = T([1, 2]); t.me = t
    class I(int): pass
    i = I(7); i.me = i
    i = I(-2 ** 70); i.me = i
    class S(str): pass
    x = S('x'); x.me = x
    class F(float): __slots__ = ('a', '__weakref__')
    f = F(1); f.a = [f]
    class B(bytearray): pass
    b = B(b'q'); b.b = b

def slots():
    class A(object): __slots__ = ('a',)
    class B(A): __slots__ = ('b', '__dict__', '__weakref__')
    class C(B): pass
    class L(list): __slots__ = ('x', 'y')
    class D(dict): __slots__ = ('x',)
    for cls in (A, B, C, L, D):
        o = cls()
        for name in 'abxy':
            try: setattr(o, name, [o])
            except AttributeError: pass
        try: live.append(weakref.ref(o))
        except TypeError: pass

def classes():
    class Meta(type):
        def __new__(mcs, name, bases, ns):
            c = type.__new__(mcs, name, bases, ns); c.made = [c]; return c
    M = Meta('M', (object,), {})
    class N(M): pass
    N.inst = N(); N.inst.x = 1
    A = abc.ABCMeta('A', (object,), {}); A.register(M); isinstance(N(), A); issubclass(dict, A)
    class X(Exception): pass
    X.y = X('text'); X.sup = super(N, N())
    class Desc(object):
        def __get__(self, o, t): return self
        __slots__ = ('v',)
    class Y(object):
        d = Desc()
        __slots__ = ('z',)
    Y.d.v = Y

def functions():
    def outer(a, b=[1], **kw):
        def inner(c=a): return inner, outer2, kw
        return inner
    outer2 = outer
    f = outer(knot(), x=[1]); f.attr = f
    n = knot(); n.refs += [n.method, Node.method, functools.partial(n.method, n, k=[n]), [].append, n.refs.append, n.__init__]
    n.refs.append(functools.partial(Node)); n.refs.append(n.refs.__len__); n.refs.append(classmethod(n)); n.refs.append(property(n)); n.refs.append(staticmethod(n.refs))
    n.refs.append(slice(n, 1)); n.refs.append(getattr(n, '__eq__', n)); n.refs.append(types.MethodType(functions2, n))
def functions2(x): return x

def iterators():
    n = knot(); r = n.refs
    r += [iter([n]), iter((n,)), iter({1: n}.items()), iter(set([n])), iter({'n': n}), enumerate([n]), reversed([n]), zip([n], r), map(str, r), filter(None, r)]
    r += [itertools.chain(r, [n]), itertools.chain.from_iterable([r]), itertools.cycle(r), itertools.islice(r, 2), itertools.starmap(n.method, r), itertools.repeat(n)]
    r += [itertools.takewhile(n.method, r), itertools.product(r, r), itertools.permutations(r[:3]), itertools.combinations(r[:3], 2), itertools.count(3)]
    a, b = itertools.tee(iter([1, n, 2])); next(a); r += [a, b]
    g = itertools.groupby([n, n, 1]); k, sub = next(g); next(sub); r += [g, sub]
    c = itertools.cycle([n, 1]); next(c); r.append(c)
    p = itertools.product([n], [1, n]); next(p); r.append(p)
    q = collections.deque([n]); r += [iter(q), reversed(q)]
    r += [iter(n.method, 3), iter(collections.OrderedDict([(1, n)])), iter(bytearray(b'abc'))]
    d = {1: n}; r += [d.keys(), d.values(), d.items()]
    r.append(iter(range(3))); r.append(iter(collections.defaultdict(list, {3: n}).values()))

def generators():
    def g0(x):
        yield x
        yield me
    me = g0([1]); next(me)
    def g1(x):
        try:
            for i in range(3): yield x
        finally:
            x = None
    b = []; g = g1(b); next(g); b.append(g)
    b = []; g = g1(b); b.append(g)           # never started
    b = []; g = (i for i in [b, b]); next(g); b.append(g)
    b = []; g = g1(b); b.append(g); list(g)  # finished
    n = knot()
    def g3(n):
        with_list = [n, [n]]
        for i in [1, 2]:
            yield i
    n.g = g3(n); next(n.g); n.more = [(n.g,), [n.g]]
    n = knot(); g = g3(n); next(g); n.frame = g.gi_frame; n.g = g

def weak():
    wd = weakref.WeakValueDictionary(); ws = weakref.WeakSet(); wk = weakref.WeakKeyDictionary()
    for i in range(4):
        n = knot(); wd[i] = n; ws.add(n); wk[n] = [i]
        n.self_ref = weakref.ref(n); n.cb = weakref.ref(n, functions2); n.proxy = weakref.proxy(n)
        live.append(weakref.ref(n, functions2))
    live.extend([wd, ws, wk])
    n = knot(); n.wd = weakref.WeakValueDictionary(); n.wd[1] = n; n.ws = weakref.WeakSet([n])
    class R(weakref.ref): __slots__ = ('x',)
    n = knot(); r = R(n); r.x = r; n.r = r

def exceptions():
    def fail(n):
        local = [n]
        try: n.missing
        except AttributeError as e: e.keep = local; raise
    n = knot()
    try: fail(n)
    except AttributeError as e:
        n.err = e; n.tb = sys.exc_info()[2]
    if two: sys.exc_clear()
    n = knot()
    try:
        try: int('q')
        except ValueError as e: raise OSError(2, 'no', 'file')
    except OSError as e: n.err = e; n.frame = sys.exc_info()[2].tb_frame
    if two: sys.exc_clear()
    n = knot(); n.err = [UnicodeDecodeError('utf-8', b'x', 0, 1, 'r'), StopIteration(n), SystemExit(n), SyntaxError('m', ('f', 1, 2, 't')), KeyError(n), ImportError(n)]

def buffers():
    b = bytearray(b'xyz'); m = memoryview(b); l = [m, m[1:]]; l.append(l)
    import array, ctypes, io, struct
    class Arr(array.array): pass
    a = Arr('i', [1, 2]); a.me = a; l.append(memoryview(a) if not two else a)
    class St(ctypes.Structure): _fields_ = [('p', ctypes.c_void_p), ('o', ctypes.py_object)]
    s = St(); s.o = l; s.x = s; l.append(s); l.append(ctypes.pointer(s)); l.append((ctypes.py_object * 2)(l, s))
    CB = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int); f = CB(lambda x: s and x); s.f = f
    f = io.BytesIO(b'text'); f.me = f; f2 = io.StringIO(u'text'); f2.me = [f2]; t = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b'a\nb'))); t.me = t; t.readline()
    t2 = io.BufferedReader(io.FileIO(sys.executable)); t2.me = t2; t2.read(10)
    struct.Struct('ii')

def extensions():
    import decimal, sqlite3
    n = knot(); n.refs.append(decimal.Decimal('1.5'))
    class D(decimal.Decimal): pass
    d = D('2.5'); d.me = d
    ctx = decimal.Context(); n.refs.append(ctx)
    c = sqlite3.connect(':memory:'); cur = c.cursor(); cur.execute('create table t(x)'); cur.execute('insert into t values (1)')
    n.refs += [cur]; n.refs.append(cur.execute('select * from t'))
    class Row(sqlite3.Row): pass
    c.row_factory = lambda *a: n
    try:
        import xml.etree.cElementTree as ET
    except ImportError:
        import xml.etree.ElementTree as ET
    e = ET.fromstring('<a k="v">t<b>u<c/></b>tail<d/><d/><d/><d/><d/></a>'); n2 = knot(e)
    e.append(ET.SubElement(e, 'z', {'q': 'r'}))
    try: e[0].append(e); e.text = 'x'
    except Exception: pass
    if not two: e.attrib['me'] = n2; it = e.iter(); next(it); n2.refs.append(it); n2.refs.append(ET.XMLParser(target=n2)) 
    import threading
    t = threading.Thread(target=n2.method); n2.t = t; lk = threading.Lock(); n2.lk = [lk, threading.RLock(), threading.local()]
    try:
        import queue
        q = queue.SimpleQueue(); n3 = knot(q); q.put(n3)
        for i in range(20): q.put([q])
        for i in range(9): q.get()
        for i in range(6): q.put([q])
    except (ImportError, AttributeError): pass
    import re, datetime, random, operator
    n4 = knot(re.compile('a(b)'), re.match('(a)', 'a'), re.finditer('a', 'aaa'), random.Random(3), operator.itemgetter(1), operator.attrgetter('x'), operator.methodcaller('f', n2))
    class DT(datetime.date): pass
    x = DT(2000, 1, 1); x.me = x
    import hashlib, zlib, json, csv, select, socket, pickle
    import io
    p = pickle.Pickler(io.BytesIO()) if not two else None; n5 = knot(p)
    if p: p.persistent_id = n5.method; p.dump([1]); 
    n6 = knot(json.JSONEncoder(default=n5.method), json.JSONDecoder(object_hook=n5.method), csv.writer(io.BytesIO() if two else io.StringIO()), zlib.compressobj(), hashlib.md5())
    n6.refs.append(csv.reader(n6.refs)); n6.refs.append(collections.deque([n6]))

def finals():
    class Old(object):
        def __del__(self): pass
    for i in range(3):
        o = Old(); o.me = o; o.tail = [[i]]
    o = Old(); n = knot(o, [o])              # hangs below a ring
    class Slot(object):
        __slots__ = ('x',)
        def __del__(self): pass
    s = Slot(); s.x = [s, knot()]
PY2 = '''
class Classic:
    def __init__(self): self.me = self; self.l = [1, [2]]
class ClassicDel(Classic):
    def __del__(self): pass
class ClassicSub(ClassicDel): pass
def old():
    for c in Classic, ClassicDel, ClassicSub: c(); x = c(); x.y = knot(x)
    class Local: pass
    Local.x = Local()
'''
PY3 = '''
import contextvars, asyncio, enum, dataclasses
def new():
    def g(n):
        x = yield from inner(n)
    def inner(n):
        yield n
        yield n
    n = knot(); n.g = g(n); next(n.g)
    async def co(n): await aw(n); return n
    @types.coroutine
    def aw(n): yield n
    n = knot(); n.c = co(n); n.c.send(None)
    n = knot(); n.c = co(n)
    async def ag(n):
        yield n
        yield n
    n = knot(); n.a = ag(n)
    n = knot(); n.a = ag(n); n.s = n.a.asend(None)
    try: n.s.send(None)
    except StopIteration: pass
    @functools.lru_cache(maxsize=5)
    def cached(x): return [x, cached]
    for i in range(8): cached(i)
    @functools.lru_cache(maxsize=None)
    def cached2(x): return [x, cached2]
    for i in range(8): cached2(i)
    @functools.lru_cache(maxsize=100)
    def cached3(x): return x
    n = knot(); cached3(n); n.c = cached3
    v = contextvars.ContextVar('v', default=[1]); ctx = contextvars.copy_context()
    def run(): v.set([ctx, v]); 
    ctx.run(run); n = knot(ctx)
    vs = [contextvars.ContextVar('v%d' % i) for i in range(40)]; ctx = contextvars.copy_context()
    def run():
        for w in vs: w.set([ctx])
        live_token = vs[0].set(ctx); vs[1].set(live_token)
    ctx.run(run); del vs, run
    loop = asyncio.new_event_loop()
    f = loop.create_future(); f.me = f; f.add_done_callback(functools.partial(print, f))
    f2 = loop.create_future(); f2.set_result([f2]); n = knot(f2); f2.add_done_callback(n.method)
    async def waiter(n, f): await f; return n
    n = knot(); n.t = loop.create_task(waiter(n, loop.create_future())); loop.call_soon(loop.stop); loop.run_forever()
    loop.close(); live.append(loop)
    class E(enum.Enum): A = 1; B = [2]
    @dataclasses.dataclass
    class DC:
        x: object
        y: int = 3
    d = DC(1); d.x = d
    @dataclasses.dataclass(frozen=True)
    class DF:
        x: object
    l = []; l.append(DF(l))
    ns = types.SimpleNamespace(a=1); ns.me = ns
    n = knot(types.MappingProxyType({1: n}), types.ModuleType('m')); n.refs[-2].n = n; n.refs[-1]
    m = types.ModuleType('m'); m.m = m; exec('def f(): return f', m.__dict__)
    # dicts of instances: shared keys, materialised, deleted attributes, many attributes
    class Many: pass
    for i in range(4):
        o = Many(); o.me = o
        for j in range(i * 12): setattr(o, 'a%d' % j, [j])
        if i > 1: o.__dict__['x'] = [o]
        if i > 2: del o.a3
    o = Many(); o.__dict__ = {'o': o}
    o = Many(); d = o.__dict__; d['d'] = d
    o = Many(); o.me = o; vars(o); o.me2 = [o]
    class Gen(types.GenericAlias if hasattr(types, 'GenericAlias') else object): pass
    import typing
    class TG(typing.Generic[typing.TypeVar('T')]): pass
    TG.x = TG()
'''
try: exec(PY2 if two else PY3)
except ImportError: pass
steps = [containers, slots, classes, functions, iterators, generators, weak, exceptions, buffers, extensions, finals] + ([old] if two else []) + ([new] if 'new' in globals() else [])
for s in steps:
    if len(sys.argv) > 1 and s.__name__ not in sys.argv[1:]: continue
    try: s()
    except Exception as e: sys.stdout.write('# %s: %r\n' % (s.__name__, e)); del e
if two: sys.exc_clear()
s = None
sys.stdout.write('ready\n'); sys.stdout.flush()
sys.stdin.readline()
def truth():
    gc.set_debug(gc.DEBUG_SAVEALL)
    n = gc.collect()
    sys.stdout.write('SAVED\n' + ''.join('%x %s\n' % (id(o), type(o).__name__) for o in gc.garbage) + 'END\ncollected %d\n' % n)
    sys.stdout.flush()
truth()
sys.stdin.readline()
