"""Classes with and without __slots__: what N instances of each take, by the interpreter's own tracemalloc (2.7: getsizeof).

Prints: class, instances, attributes, bytes of all blocks now, bytes of a twin with slots, whether it needs __weakref__."""
import datetime, gc, itertools, sys, time
try:
    import _tracemalloc
except ImportError:
    _tracemalloc = None
import weakref

N = 3000
CLASSES = '''
import datetime
class Plain(object):
    def __init__(self): self.a = 1; self.b = None; self.c = 'c'
class One(object):
    def __init__(self): self.only = 1
class Many(object):
    def __init__(self):
        self.a = self.b = self.c = self.d = self.e = self.f = self.g = self.h = self.i = self.j = self.k = self.l = 1
class Base(object):
    __slots__ = ('q',)
class Derived(Base):
    def __init__(self): self.q = 1; self.x = 2; self.y = 3
class Weak(object):
    def __init__(self): self.a = 1; self.b = 2; self.c = 3; self.d = 4
class OfList(list):
    def __init__(self): self.name = 'n'; self.age = 3
class Touched(object):
    def __init__(self): self.a = 1; self.b = 2; vars(self)
class Late(object):
    def __init__(self):
        self.__dict__['k1'] = 1
        self.k2 = 2
        del self.k1
class Parent(object):
    def __init__(self): self.one = 1
class Child(Parent):
    def __init__(self): Parent.__init__(self); self.two = 2; self.three = 3
class OfDate(datetime.date):
    def __new__(cls): return datetime.date.__new__(cls, 2020, 1, 2)
    def __init__(self): self.name = 'n'; self.other = 1
class OfFloat(float):
    def __init__(self): self.unit = 'kg'
class OfSet(set):
    def __init__(self): self.unit = 'kg'
class Grand(Derived):
    def __init__(self): Derived.__init__(self); self.more = 1; self.than = 2
class Wide(object):
    def __init__(self):
        for i in range(40): setattr(self, 'attr%d' % i, 1)
state = {'p': 1, 'q': 2}
class Borg(object):
    def __init__(self): self.__dict__ = state
class Slim(object):
    __slots__ = ('a', 'b', '__weakref__')
    def __init__(self): self.a = self.b = 1
class Failure(Exception):
    def __init__(self): self.code = 5
class Number(int):
    pass
class Meta(type):
    pass
def twin(cls, bases, names, weak):
    def __init__(self):
        for n in names: setattr(self, n, 1)
    return type('Twin' + cls.__name__, bases, {'__slots__': tuple(names) + (('__weakref__',) if weak else ()), '__init__': __init__})
def twindate(cls, bases, names, weak):
    t = twin(cls, bases, names, weak)
    t.__new__ = staticmethod(lambda c: datetime.date.__new__(c, 2020, 1, 2))
    return t
def make(cls): return cls()
def number(): n = Number(5); n.tag = 1; return n
'''
space = {"__name__": "__main__"}
exec(compile(CLASSES, "/planted/classes.py", "exec"), space)
globals().update(space)


def block(n):
    if n <= 512:
        return (n + 15) & ~15
    return max(((n + 8 + 15) & ~15) - 8, 24)


def dict_blocks(d):
    """2.7: the object, which has room for 8 entries, and its table."""
    object_size = sys.getsizeof({})
    return block(object_size) + (block(sys.getsizeof(d) - object_size) if sys.getsizeof(d) > object_size else 0)


def measured(make_one):
    hold = [{i: i} for i in range(300)] + [{} for i in range(300)]  # nothing comes from free lists
    warm = [make_one() for k in itertools.repeat(None, 5)]
    del warm
    hold += [{} for i in range(100)]
    if _tracemalloc is None:
        out = [make_one() for k in itertools.repeat(None, N)]
        size = sum(block(sys.getsizeof(o)) + (dict_blocks(vars(o)) if hasattr(o, "__dict__") else 0) for o in out)
        return out, size
    _tracemalloc.start(1)
    out = [make_one() for k in itertools.repeat(None, N)]
    traces = _tracemalloc._get_traces()
    _tracemalloc.stop()
    return out, sum(block(t[1]) for t in traces if t[2][0][0] == "/planted/classes.py")


gc.disable()
kept = []
cases = [(Plain, (object,), "abc", False), (One, (object,), ["only"], False), (Many, (object,), "abcdefghijkl", False),
         (Derived, (Base,), "xy", False), (Weak, (object,), "abcd", True), (OfList, (list,), ["name", "age"], False),
         (Touched, (object,), "ab", False), (Late, (object,), ["k2"], False), (Child, (object,), ["one", "two", "three"], False),
         (OfDate, (datetime.date,), ["name", "other"], False), (OfFloat, (float,), ["unit"], False), (OfSet, (set,), ["unit"], False),
         (Grand, (Base,), ["x", "y", "more", "than"], False), (Wide, (object,), ["attr%d" % i for i in range(40)], False)]
kept.append([Borg() for i in range(N)])
for cls, bases, names, weak in cases:
    out, now = measured(lambda: make(cls))
    slim, then = measured(lambda c=(twindate if cls is OfDate else twin)(cls, bases, list(names), weak): make(c))
    kept += [out, slim]
    if weak:
        kept.append(weakref.ref(out[7]))
    print("class %s %d %d %d %d %d" % (cls.__name__, N, len(names), now, then, weak))
kept += [[Slim() for i in range(N)], [Failure() for i in range(N)], [number() for i in range(N)], [Meta("M%d" % i, (object,), {}) for i in range(50)]]
print("ready")
sys.stdout.flush()
time.sleep(300)
