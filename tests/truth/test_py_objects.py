#!/usr/bin/env python3
"""Objects of every built-in type: type, sys.getsizeof, len, value and reference count of each, as the living process said them
(in JSON, before it was dumped), in every CPython that is here."""
import glob, json, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

PROGRAM = r"""
import array, collections, ctypes, functools, gc, itertools, json, mmap, sys, time, types, weakref
gc.disable()
two = sys.version_info[0] == 2
if two:
    range_, text = xrange, unicode
else:
    range_, text, long, unichr = range, str, int, chr
N = collections.OrderedDict()

class Plain(object):
    def __init__(self): self.a = 1; self.b = 'bee'
    def method(self): return self.a
class Empty(object): pass
class Slots(object):
    __slots__ = ('x', 'y')
class SlotsToo(Slots):
    __slots__ = ('z', '__weakref__')
class Both(Slots):
    def __init__(self): self.x = 1; self.more = 2
class SubInt(int): pass
class SubLong(long): pass
class SubFloat(float): pass
class SubStr(str): pass
class SubText(text): pass
class SubBytes(bytes): pass
class SubList(list): pass
class SubTuple(tuple): pass
class SubDict(dict): pass
class SubSet(set): pass
class SlotList(list):
    __slots__ = ('extra',)
class Meta(type): pass
Made = Meta('Made', (object,), {'attr': 3})
class Outer(object):
    class Inner(object): pass
class Failure(Exception):
    def __init__(self, *a): Exception.__init__(self, *a); self.note_ = 1
Point = collections.namedtuple('Point', 'x y')
class Fields(ctypes.Structure):
    _fields_ = [('a', ctypes.c_int), ('b', ctypes.c_double)]

for name, v in [('zero', 0), ('one', 1), ('minus', -1), ('small', 1000), ('d30', 2**30), ('m30', -2**30), ('d31', 2**31 - 1), ('d60', 2**60),
                ('m60', -2**60 + 1), ('d63', 2**63 - 1), ('d64', 2**64 + 5), ('big', 3**200), ('mbig', -7**300), ('huge', 2**4000 + 12345)]:
    N['int_' + name] = v + long(0) if name == 'big' else v
N['true'] = True; N['false'] = False
for i, f in enumerate([0.0, -0.0, 1.5, 0.1, 1/3.0, 1e100, 1e16, 123456789012345680.0, 1e15, 1e-4, 1.25e-5, 5e-324, 1.7976931348623157e308, float('inf'),
                       -float('inf'), float('nan'), 2.5e-300, 9007199254740993.0, 100.0, -3.75]):
    N['float%d' % i] = f
N['complex1'] = complex(1.5, -2); N['complex2'] = complex(0.0, 3e20); N['complex3'] = complex(-0.0, -1)
N['ascii'] = 'hello ' + str(len(N)); N['ascii_empty'] = ''; N['quote'] = "it's" + str(1); N['quotes'] = 'a\'b"c\\\n\t\x01\x7f' + str(1)
N['latin1'] = unichr(0xe9) * 10; N['latin_one'] = unichr(0xe9); N['ucs2'] = unichr(0x20ac) * 10 + text('x'); N['long_text'] = 'abc' * 50
N['ucs4'] = text('x') + (b'\xf0\x9f\x98\x80'.decode('utf-8')) * 3
N['interned'] = (intern if two else sys.intern)('interned_' + str(len(N)))
if not two:
    import ctypes as _c
    u8 = 'caf\xe9' * 4
    f = _c.pythonapi.PyUnicode_AsUTF8; f.argtypes = [_c.py_object]; f.restype = _c.c_char_p; f(u8)
    N['cached_utf8'] = u8
N['bytes'] = b'by' + str(7).encode('ascii'); N['bytes0'] = b''; N['bytes_bin'] = bytes(bytearray(range(256)))
ba = bytearray(b'x' * 10); ba.extend(b'y' * 100); N['bytearray'] = ba; N['bytearray0'] = bytearray()
ba = bytearray(b'0123456789' * 10); del ba[:30]; N['bytearray_front'] = ba
l = []
for i in range(17): l.append(i)
N['list'] = l; N['list0'] = []; N['list_lit'] = [1, 'two', 3.0]; N['nested'] = [[1, [2, [3]]], (4,)]
l = list(range(100)); del l[10:]; N['list_cut'] = l; N['self_list'] = []; N['self_list'].append(N['self_list'])
N['tuple'] = (1, 2, 3.5); N['tuple0'] = (); N['tuple1'] = (str(5),)
N['dict'] = {1: 2, 3: 4, 5.5: 'x'}; N['dict0'] = {}; N['dict_unicode'] = dict((str(i) + 'k', i) for i in range(20))
d = dict((i, i) for i in range(50))
for i in range(40): del d[i]
N['dict_deleted'] = d; N['dict_big'] = dict((i, str(i)) for i in range(5000)); N['dict_lit'] = {'a': 1, 'b': 2}
p1 = Plain(); p2 = Plain(); N['instance'] = p1; N['instance_dict'] = p2.__dict__; N['instance2'] = p2
p3 = Plain(); p3.later = 1; N['instance3'] = p3; N['instance_empty'] = Empty(); e = Empty(); e.__dict__; N['instance_dict_empty'] = e
d = dict(p3.__dict__); N['dict_copy'] = d
N['set'] = set(range(3)); N['set0'] = set(); N['set_big'] = set(range(1000)); N['frozenset'] = frozenset([1, 2, 'a']); N['frozenset_big'] = frozenset(range(100))
s = set(range(30)); s -= set(range(25)); N['set_removed'] = s
N['deque'] = collections.deque(range(5)); N['deque_big'] = collections.deque(range(500)); N['deque_max'] = collections.deque([1, 2], 10)
N['deque0'] = collections.deque()
od = collections.OrderedDict((str(i), i) for i in range(10)); del od['3']; N['odict'] = od; N['odict0'] = collections.OrderedDict()
N['odict_big'] = collections.OrderedDict((i, i) for i in range(300)); od = collections.OrderedDict((i, i) for i in 'abc')
dd = collections.defaultdict(list); dd['x'].append(1); N['defaultdict'] = dd; N['counter'] = collections.Counter('hello')
N['range'] = range_(5); N['range3'] = range_(1, 100, 7); N['range_neg'] = range_(10, 0, -2); N['slice'] = slice(1, 2); N['slice3'] = slice(None, 5, 2)
N['iter_list'] = iter([1, 2]); N['iter_tuple'] = iter((1, 2)); N['iter_dict'] = iter({1: 2}); N['iter_set'] = iter(set([1])); N['iter_str'] = iter('abc')
N['enumerate'] = enumerate([1]); N['zip'] = zip([1], [2]); N['map'] = map(str, [1]); N['filter'] = filter(None, [1]); N['reversed'] = reversed([1, 2])
N['count'] = itertools.count(3); N['chain'] = itertools.chain([1]); N['islice'] = itertools.islice([1], 1); N['product'] = itertools.product([1], [2])
N['call_iter'] = iter(lambda: 1, 2); N['iter_range'] = iter(range_(4))
def func(a, b=2, *c): return a
def outer():
    x = [1]
    def inner(): return x
    return inner
N['function'] = func; N['closure'] = outer(); N['cell'] = N['closure'].__closure__[0]; N['lambda'] = lambda: 0
N['method'] = p1.method; N['builtin'] = len; N['builtin_method'] = [].append; N['unbound'] = Plain.method; N['slot_wrapper'] = object.__repr__
N['method_wrapper'] = (1).__add__; N['method_descr'] = list.append; N['member'] = Slots.x; N['getset'] = type.__dict__['__dict__']
N['staticmethod'] = staticmethod(func); N['classmethod'] = classmethod(func); N['property'] = property(func); N['super'] = super(Both, Both())
N['partial'] = functools.partial(func, 1, b=3)
N['code'] = func.__code__; N['module'] = sys; N['module2'] = types.ModuleType('made_up'); N['module3'] = json
try:
    raise Failure('x', 1)
except Failure as e_:
    N['exception'] = e_; N['traceback'] = sys.exc_info()[2]; N['frame'] = N['traceback'].tb_frame
try:
    open('/nonexistent/file')
except EnvironmentError as e_:
    N['oserror'] = e_
N['valueerror'] = ValueError('bad'); N['keyerror'] = KeyError(1); N['stopiter'] = StopIteration(5); N['unicodeerror'] = UnicodeDecodeError('ascii', b'x', 0, 1, 'r')
N['weakref'] = weakref.ref(p1); N['weakref_cb'] = weakref.ref(p2, lambda r: None); N['proxy'] = weakref.WeakValueDictionary(); N['weakset'] = weakref.WeakSet()
def gen(n):
    x = yield n
    yield x
N['generator'] = gen(1); g = gen(2); next(g); N['generator_started'] = g; N['genexpr'] = (i for i in [1, 2])
g = gen(3); list(g); N['generator_done'] = g
N['memoryview'] = memoryview(bytearray(b'abcdef')); N['memoryview_slice'] = memoryview(b'abcdef')[1:3]
N['array'] = array.array('i', range(10)); N['array_d'] = array.array('d', [1.5]); a = array.array('b')
for i in range(20): a.append(i)
N['array_grown'] = a
N['mmap'] = mmap.mmap(-1, 4096)
N['c_int'] = ctypes.c_int(5); N['c_struct'] = Fields(1, 2.0); N['c_array'] = (ctypes.c_int * 10)(); N['c_pointer'] = ctypes.pointer(ctypes.c_int(3))
N['c_buffer'] = ctypes.create_string_buffer(100); N['c_char_p'] = ctypes.c_char_p(b'hi'); N['c_big'] = (ctypes.c_double * 1000)()
N['struct_time'] = time.gmtime(0); N['version_info'] = sys.version_info; import os; N['stat'] = os.stat('/')
N['namedtuple'] = Point(1, 2)
sl = Slots(); sl.x = 1; N['slots'] = sl; N['slots_too'] = SlotsToo(); N['both'] = Both(); b = Both(); b.__dict__; N['both_dict'] = b
for n_, c in [('SubInt', SubInt(5)), ('SubFloat', SubFloat(2.5)), ('SubStr', SubStr('sub')), ('SubText', SubText('subtext')), ('SubBytes', SubBytes(b'subb')),
             ('SubList', SubList([1, 2])), ('SubTuple', SubTuple((1, 2, 3))), ('SubDict', SubDict(a=1)), ('SubSet', SubSet([1])), ('SlotList', SlotList([1]))]:
    N[n_] = c
N['SubIntBig'] = (SubLong if two else SubInt)(2**100); N['SubIntZero'] = SubInt(0); N['SubText_attr'] = SubText('with'); N['SubText_attr'].attr = 1
N['class'] = Plain; N['class_slots'] = SlotsToo; N['class_made'] = Made; N['made'] = Made(); N['meta'] = Meta; N['inner'] = Outer.Inner(); N['class_inner'] = Outer.Inner
N['failure_class'] = Failure; N['type_list'] = SubList; N['object'] = object(); N['static_type'] = int; N['static_error'] = ValueError; N['none'] = None; N['ellipsis'] = Ellipsis; N['file'] = open('/dev/null'); N['getter'] = __import__('operator').itemgetter(1)
N['lock'] = __import__('threading').Lock(); N['rlock'] = __import__('threading').RLock(); N['re'] = __import__('re').compile('a+b'); N['random'] = __import__('random').Random(1)
N['struct'] = __import__('struct').Struct('<ii'); N['stringio'] = __import__('io').StringIO(); N['bytesio'] = __import__('io').BytesIO(b'x' * 1000)
N['dictview'] = {1: 2}.keys() if not two else {1: 2}.viewkeys(); N['datetime'] = __import__('datetime').datetime(2020, 1, 2); N['date'] = __import__('datetime').date(2020, 1, 2)
N['timedelta'] = __import__('datetime').timedelta(5); N['decimal'] = __import__('decimal').Decimal('1.5'); N['fraction'] = __import__('fractions').Fraction(1, 3)
if two:
    exec("class Old: pass\nclass OldBase(Old): x = 1\nN['old'] = Old(); N['old'].q = 1; N['oldclass'] = Old; N['oldsub'] = OldBase(); N['long'] = 5L; N['buffer'] = buffer('abc')")
else:
    exec("import enum\nclass Color(enum.Enum):\n  RED = 1\n  BLUE = 2\nN['enum'] = Color.RED; N['enum_class'] = Color\nclass Flag(enum.IntFlag):\n  A = 1\nN['flag'] = Flag.A")
    exec("async def co(): pass\nasync def ag(): yield 1\nN['coroutine'] = co(); N['asyncgen'] = ag()\nN['mappingproxy'] = Plain.__dict__; N['namespace'] = types.SimpleNamespace(a=1)")
    import asyncio, contextlib
    N['lru'] = functools.lru_cache(maxsize=5)(func); N['lru'](1); N['lru'](2)
    if sys.version_info >= (3, 7):
        exec("import dataclasses, contextvars\n@dataclasses.dataclass\nclass Data:\n  a: int = 1\n  b: str = 'x'\nN['dataclass'] = Data()\nN['contextvar'] = contextvars.ContextVar('cv'); N['context'] = contextvars.copy_context()")
    if sys.version_info >= (3, 10):
        exec("@dataclasses.dataclass(slots=True)\nclass DataS:\n  a: int = 1\nN['dataclass_slots'] = DataS()\nN['union'] = int | str; N['alias'] = list[int]")

exact = (int, long, float, complex, bool, text, bytes, str, list, tuple, dict, set, frozenset)
def value(o):
    if type(o) is bool or o is None: return repr(o)
    if type(o) in (int, long): return str(o)
    if type(o) in exact: return repr(o)
    return None
def show(k):
    o = N[k]; t = type(o)
    module, name = t.__module__, getattr(t, '__qualname__', t.__name__)
    full = name if module in ('builtins', '__builtin__') else module + '.' + name
    try: n = len(o)
    except Exception: n = None
    return [k, id(o), full, n, value(o)]
rows = [show(k) for k in N]
for r in rows: r.append(sys.getsizeof(N[r[0]]))
for r in rows: r.append(sys.getrefcount(N[r[0]]) - 1)
out = '\n'.join(json.dumps(r) for r in rows)
del rows
for again in (1, 2): # the first time makes what the second counts
    census = {}
    for o in gc.get_objects():
        t = type(o)
        k = t.__module__ + '.' + getattr(t, '__qualname__', t.__name__)
        census[k] = census.get(k, 0) + 1
    said = json.dumps(census)
del o, t, k
print(out)
print('census ' + said)
print('ready')
sys.stdout.flush()
time.sleep(300)
"""
# What a test outside cannot make equal: the frames are running, and what the last lines of the program do changes their own.
MOVING = {"frame", "module", "module3", "int_zero", "int_one", "int_minus", "tuple0", "method_descr", "static_type", "none"}
FEW = 2


def interpreters():
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    if os.path.exists("/usr/bin/python3"):
        yield "/usr/bin/python3"


def compare(rows, objects):
    """Differences per property: {property: ["name: got … wanted …"]}."""
    bad = {"found": [], "type": [], "size": [], "len": [], "value": [], "refcount": []}
    for name, addr, kind, length, value, size, count in rows:
        o = objects.get(addr)
        if not o:
            bad["found"].append(f"{name} {kind}")
            continue

        def want(what, got, wanted):
            if got != wanted:
                bad[what].append(f"{name} ({kind}): got {got!r} wanted {wanted!r}")
        want("type", o["type"], kind)
        want("size", o["size"], size)
        if o["len"] is not None or kind in ("list", "dict", "tuple", "set", "str", "bytes", "range", "xrange"):
            want("len", o["len"], length)
        if value is not None and len(value) < 1150 or (value is not None and kind in ('int', 'long')):
            want("value", o["value"], value)
        if name not in MOVING and o["refcount"] != "immortal" and count < 1 << 28:
            want("refcount", o["refcount"], count)
    return bad


def one(python, env=None, label=""):
    p, said = hr.start([python, "-c", PROGRAM], env=env)
    core = hr.gcore(p.pid, "objects")
    if not core:
        return hr.skip(python, "no gcore here")
    lines = said.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("[")]
    census = json.loads(next(line for line in lines if line.startswith("census "))[7:])
    r = hr.heapray("objects", core, "--ndjson", "--show-contents")
    objects, tracked = {}, {}
    for o in r.ndjson()[1]:
        objects[int(o["addr"], 16)] = o
        if o["gc"] and o["gc"]["tracked"] and o["gc"]["generation"] is not None:
            tracked[o["type"]] = tracked.get(o["type"], 0) + 1
    if os.environ.get("HR_KEEP_CORES"):
        os.rename(core, os.path.join(os.environ["HR_KEEP_CORES"], python.strip("/").replace("/", "_") + ".core"))
    else:
        os.unlink(core)
    version = os.path.basename(os.path.dirname(os.path.dirname(python))) + label
    for what, list_ in compare(rows, objects).items():
        hr.ok(not list_, f"{version}: {what} of {len(rows)} objects", *list_)
    wanted = {}
    for k, n in census.items():
        k = k.split(".", 1)[1] if k.split(".", 1)[0] in ("builtins", "__builtin__") else k
        wanted[k] = wanted.get(k, 0) + n
    off = {k: (tracked.get(k, 0), wanted.get(k, 0)) for k in set(tracked) | set(wanted) if abs(tracked.get(k, 0) - wanted.get(k, 0)) > FEW}
    hr.ok(not off, f"{version}: census of {sum(wanted.values())} tracked objects in {len(wanted)} types", f"(got, wanted): {off}")


if __name__ == "__main__":
    hr.main([lambda p=p: one(p) for p in interpreters() if not sys.argv[1:] or any(a in p for a in sys.argv[1:])])
