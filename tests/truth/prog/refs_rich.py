"""All sorts of objects of the standard library, none of which has leaked a reference. Says ready within an exception handler."""
from __future__ import print_function
import sys, gc, re, json, threading, time, os
import collections, weakref, functools, itertools, array, struct, decimal, sqlite3, xml.etree.ElementTree as ET, logging, ctypes, io, subprocess, unittest, email, string, operator, random, datetime, copy, pickle, heapq, bisect, tempfile, socket, select, zlib, hashlib, base64, csv, textwrap, traceback, inspect, types, codecs, locale, contextlib, optparse, argparse, shutil, glob, fnmatch, calendar, pprint
two = sys.version_info[0] == 2
if not two:
    import asyncio, enum, typing, http.client, urllib.request, html.parser, configparser, selectors, concurrent.futures, ipaddress, pathlib, statistics, secrets, fractions, queue, importlib, ast, tokenize, dis
    import email.message, email.mime.text
if sys.version_info >= (3, 7):
    import dataclasses, contextvars
keep = []
class A(object):
    def __init__(self, i): self.i = i; self.x = [i]; self.s = 'a%d' % i
class S(object):
    __slots__ = ('a', 'b', '__weakref__')
    def __init__(self, i): self.a = i; self.b = 'q%d' % i
class D(dict): pass
class L(list): pass
class T(tuple): pass
class I(int): pass
class Str(str): pass
class E(Exception):
    def __init__(self, *a): Exception.__init__(self, *a); self.extra = 5
keep += [A(i) for i in range(200)] + [S(i) for i in range(200)] + [D(a=1), L([1,2,'x']), T((1,2)), I(77777), Str('xyzzy')]
for a in keep[:50]: a.__dict__
for a in keep[50:60]: a.__dict__['new%d' % a.i] = a
for a in keep[60:70]: del a.x
keep.append(collections.OrderedDict((i, str(i)) for i in range(40)))
keep.append(collections.deque(range(1000, 1300)))
keep.append(collections.defaultdict(list, {1: [2]}))
keep.append(collections.Counter('hello world'))
NT = collections.namedtuple('NT', 'x y')
keep += [NT(i, str(i)) for i in range(1000, 1020)]
keep.append(weakref.WeakValueDictionary({i: keep[i] for i in range(10)}))
keep.append([weakref.ref(k) for k in keep[:10]] + [weakref.proxy(keep[3]), weakref.ref(keep[4], lambda r: None)])
keep.append(functools.partial(A, 5))
keep += [iter([1,2,3]), iter((1,2)), iter({1:2}), iter({1,2}), iter('abc'), enumerate(keep), zip([1],[2]), map(str,[1]), reversed([1,2]), iter(range(5)), itertools.count(), itertools.chain([1],[2]), itertools.cycle('ab'), itertools.tee([1,2,3])]
c = keep[-1][0]; next(c)
g = itertools.groupby('aabb'); keep.append(g); keep.append(next(g))
keep.append(array.array('d', [1.5]*10)); keep.append(bytearray(b'abc')); keep.append(memoryview(bytearray(b'xyz'))); keep.append(memoryview(b'xyz')[1:])
keep.append(struct.Struct('<iq'))
keep.append(decimal.Decimal('1.25')); keep.append(decimal.getcontext())
con = sqlite3.connect(':memory:'); con.execute('create table t(a,b)'); con.executemany('insert into t values(?,?)', [(i, str(i)) for i in range(50)])
con.create_function('f', 1, lambda x: x); cur = con.execute('select * from t'); keep.append(cur.fetchone()); keep.append(cur)
con.row_factory = sqlite3.Row; keep.append(con.execute('select * from t').fetchall())
root = ET.fromstring('<a><b x="1">text<c/>tail</b><d/></a>'); keep.append(root); keep.append(root.iter()); next(keep[-1])
log = logging.getLogger('rich'); log.addHandler(logging.StreamHandler(io.StringIO() if not two else None)); log.warning(u'hello %s', 5) if not two else None
keep.append(ctypes.c_int(5)); keep.append((ctypes.c_char * 10)()); keep.append(ctypes.POINTER(ctypes.c_int)(keep[-2])); 
class St(ctypes.Structure): _fields_ = [('a', ctypes.c_int), ('p', ctypes.c_char_p), ('o', ctypes.py_object)]
st = St(1, b'hello', keep); keep.append(st)
CB = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int); keep.append(CB(lambda x: x))
def gen(n):
    try:
        for i in range(n): x = yield i
    finally: pass
gs = [gen(5) for _ in range(5)]
for g in gs[:3]: next(g)
list(gs[3])
keep += gs
def deep(n):
    if n == 0: raise E('deep', n)
    deep(n-1)
try: deep(5)
except E as e: ex = e
keep.append(ex)
keep.append(re.compile(r'(\w+)-(\d+)')); keep.append(keep[-1].match('ab-12')); keep.append(keep[-2].finditer('a-1 b-2')); next(keep[-1])
keep.append(json.loads('{"a":[1,2,{"b":null}],"c":"d"}')); keep.append(json.JSONEncoder()); 
keep.append(io.BytesIO(b'abc')); keep.append(io.StringIO(u'abc')); keep.append(open(os.devnull)); keep.append(io.open(os.devnull,'rb'))
keep.append(datetime.datetime.now()); keep.append(datetime.timedelta(1)); keep.append(random.Random(1)); keep.append(hashlib.md5(b'x')); keep.append(zlib.compressobj())
keep.append(operator.itemgetter(1,2)); keep.append(operator.attrgetter('a.b')); keep.append(operator.methodcaller('foo', 1, x=2))
keep.append(socket.socket()); keep.append(threading.Lock()); keep.append(threading.RLock()); keep.append(threading.local()); keep[-1].x = [1]
keep.append(property(lambda s: 1)); keep.append(classmethod(len)); keep.append(staticmethod(len)); keep.append(slice(1,'a',None)); keep.append(super(A, keep[0])); keep.append(keep[0].__init__); keep.append([].append); keep.append(A.__dict__); keep.append(types.ModuleType('foo'))
keep.append(complex(1,2)); keep.append(10**50); keep.append(1.5e300); keep.append(u'\u1234\U00012345'); keep.append(frozenset([1,'a',(2,)])); keep.append(set('abcdefghijklmnop'))
s = set(range(1000,1100)); [s.discard(i) for i in range(1000,1050)]; keep.append(s)
d = {('k%d'%i): [i] for i in range(300)}; [d.pop('k%d'%i) for i in range(100)]; keep.append(d)
PY3 = r'''
if True:
    @functools.lru_cache(maxsize=32)
    def cached(x): return [x]
    [cached(str(i)) for i in range(50)]
    @functools.lru_cache(maxsize=None)
    def cached2(x): return [x]
    [cached2(str(i)) for i in range(50)]
    @functools.singledispatch
    def sd(x): return 1
    sd.register(int)(lambda x: 2); sd(5); sd('a')
    class Color(enum.Enum): R = 1; G = 2
    class F(enum.IntFlag): A = 1; B = 2
    keep.append(F.A | F.B)
    def gf(x: typing.List[int], y: typing.Optional[str] = None) -> typing.Dict[str, int]: pass
    keep.append(typing.get_type_hints(gf)); keep.append(typing.Union[int, str]); 
    msg = email.message_from_string('From: a@b\nSubject: x\n\nbody'); keep.append(msg)
    keep.append(pathlib.Path('/tmp/x')); keep.append(list(pathlib.Path('/usr').glob('l*')))
    keep.append(ipaddress.ip_network(u'10.0.0.0/8')); keep.append(fractions.Fraction(1,3)); keep.append(ast.parse('x = [1, 2, f(y)]')); keep.append(compile('a+b','x','eval'))
    keep.append(types.SimpleNamespace(a=1)); keep.append(types.MappingProxyType({}))
    keep.append(contextlib.ExitStack()); keep.append(queue.Queue()); keep.append(queue.SimpleQueue() if hasattr(queue,'SimpleQueue') else 0)
    q = keep[-1]
    if q: [q.put([i]) for i in range(10)]; q.get()
    pool = concurrent.futures.ThreadPoolExecutor(2); keep.append(pool.submit(lambda: [5])); keep[-1].result()
if sys.version_info >= (3, 7):
    @dataclasses.dataclass
    class DC:
        a: int
        b: list = dataclasses.field(default_factory=list)
    keep += [DC(i) for i in range(20)]
    cv = contextvars.ContextVar('cv', default=[]); cv.set({'a': 1}); ctx = contextvars.copy_context(); ctx.run(cv.set, 5); cv.get(); keep.append(ctx)
'''
if not two: exec(PY3)
lock = threading.Lock(); lock.acquire()
def worker(n):
    local = ['w', n]
    lock.acquire()
for n in range(3):
    t = threading.Thread(target=worker, args=(n,)); t.daemon = True; t.start()
pr = subprocess.Popen(['sleep', '0']); pr.wait(); keep.append(pr)
gc.collect() if len(sys.argv) < 2 else None
def inner(x, y):
    try:
        raise KeyError(x)
    except KeyError:
        print("ready"); sys.stdout.flush()
        sys.stdin.readline()
inner('abc', [1,2])
os._exit(0)
