"""Garbage of every plain kind, for test_py_gc.py: says ready, waits to be dumped, then says what the collector found. Any Python from 2.7 on."""
import gc, sys, weakref
gc.collect(); gc.collect()
gc.disable()
two = sys.version_info[0] == 2

class Node(object):
    def __init__(self, *refs): self.refs = list(refs); self.name = 'n%d' % len(refs)
class Slotted(object):
    __slots__ = ('a', 'b', '__weakref__')
class SubDict(dict): pass
class SubList(list): pass
class Final(object):
    if not two:
        def __del__(self): pass

live = []
def ring(cls, n):
    objs = [cls() for _ in range(n)]
    for i, o in enumerate(objs):
        if cls is Node: o.refs.append(objs[(i + 1) % n])
        elif cls is Slotted: o.a = objs[(i + 1) % n]; o.b = [i]
        elif cls is SubDict: o['next'] = objs[(i + 1) % n]
        elif cls is SubList: o.append(objs[(i + 1) % n])
        else: o.next = objs[(i + 1) % n]
    return objs

def closure():
    def f(): return g
    def g(): return f
    return f

def generator():
    box = []
    def gen():
        x = box
        yield x
        yield g
    g = gen(); next(g); box.append(g)

def exception():
    try:
        raise ValueError('x')
    except ValueError as e:
        err = e
        tb = sys.exc_info()[2]
    err_holder = [err, tb]
    err_holder.append(err_holder)

def tail():
    n = Node(); n.refs.append(n); n.data = dict((str(i), (i, [i])) for i in range(10)); n.s = set([(1, 2), frozenset([3])])

def weak():
    n = Node(); n.refs.append(n)
    w = weakref.ref(n); n.w = w
    n.cb = weakref.ref(n, lambda r: None)

def kept():
    n = Node(); n.refs.append(n); live.append(n); return n

def local_class():
    class Local(object): pass
    Local.me = Local()

def build():
    for c in (Node, Slotted, SubDict, SubList, Final): sys.stdout.write('ring %s\n' % ' '.join('%x' % id(o) for o in ring(c, 7)))
    for i in range(5): closure(); generator(); tail(); weak(); kept(); local_class()
    exception()
    l = []; l.append(l)
    d = {}; d['d'] = d
    t = ([],); t[0].append(t)
    import collections, functools
    q = collections.deque(); q.append(q)
    od = collections.OrderedDict(); od[1] = od; od['k'] = []
    dd = collections.defaultdict(list); dd['x'].append(dd)
    n = Node(); n.refs.append(functools.partial(Node, n))
    n = Node(); n.refs.append(n.__init__)
    b = bytearray(b'abc'); m = memoryview(b); l2 = [m]; l2.append(l2)
    it = iter([1]); l3 = [it]; l3.append(l3); z = zip(l3, l3); l3.append(z)
    import itertools
    l4 = []; l4.append(itertools.chain(l4, l4)); l4.append(enumerate(l4)); l4.append(map(str, l4)); l4.append(reversed(l4))
    class P(object):
        @property
        def p(self): return self
        @staticmethod
        def s(): return P
        @classmethod
        def c(cls): return P
    P.inst = P()
build()
live.append(build)
sys.stdout.write('ready\n'); sys.stdout.flush()
sys.stdin.readline()
def truth():
    gc.set_debug(gc.DEBUG_SAVEALL)
    n = gc.collect()
    sys.stdout.write('SAVED\n' + ''.join('%x %s\n' % (id(o), type(o).__name__) for o in gc.garbage) + 'END\ncollected %d\n' % n)
    sys.stdout.flush()
truth()
sys.stdin.readline()
