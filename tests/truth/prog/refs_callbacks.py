"""Stops within forty callbacks that C code makes, each in the other: none leaks a reference. Says ready."""
from __future__ import print_function
import sys, gc, time, pickle, copy, collections, contextlib, weakref, os, io, types, operator, tempfile
two = sys.version_info[0] == 2
def stop():
    print("ready"); sys.stdout.flush(); time.sleep(600)
chain = []
def nxt(*a):
    chain.pop(0)()
    return 0
def c_gc():
    class X(object):
        def __del__(self): nxt()
    if two: x = X(); del x; return
    x = X(); x.me = [x]; del x; gc.collect()
def c_weak():
    class X(object): pass
    x = X(); r = weakref.ref(x, lambda r: nxt()); del x
def c_import():
    d = tempfile.mkdtemp(); open(os.path.join(d, 'zz_mod.py'), 'w').write('import __main__\nclass Q(object):\n    y = [1]\n    __main__.nxt()\n')
    sys.path.insert(0, d); import zz_mod
def c_meta():
    class M(type):
        def __new__(m, n, b, d): nxt(); return type.__new__(m, n, b, d)
    M('K', (object,), {'a': [1]})
def c_gen():
    def g():
        try: yield [1]
        except ValueError as e: nxt(); yield 2
    x = g(); next(x); x.throw(ValueError(['thrown']))
def c_ctx():
    @contextlib.contextmanager
    def cm():
        try: yield ['cm']
        finally: nxt()
    with cm() as v: pass
def c_setattr():
    class X(object):
        def __setattr__(self, n, v): nxt()
    X().foo = [1]
def c_desc():
    class Dd(object):
        def __get__(self, o, t): nxt(); return 1
    class X(object): d = Dd()
    X().d
def c_index():
    class X(object):
        def __index__(self): return nxt()
    [1, 2, 3][X()]
def c_max(): max([[1], [2]], key=nxt)
def c_comp(): {i: [nxt() for j in (1,)] for i in ['k']}
def c_format():
    class X(object):
        def __format__(self, s): nxt(); return ''
    '{0:>5} {1}'.format('abc', X())
def c_str():
    class X(object):
        def __str__(self): nxt(); return ''
    '%s %s' % ('abc', X())
def c_pickle():
    class X(object):
        def __reduce__(self): nxt(); return (int, ())
    pickle.dumps([{'a': [1]}, X()], 2)
def c_deep():
    class X(object):
        def __deepcopy__(self, m): nxt(); return self
    copy.deepcopy([{'a': [1]}, X()])
def c_hash():
    class X(object):
        def __hash__(self): nxt(); return 1
    {'a': 1}.get(X())
def c_cmp():
    class X(object):
        def __eq__(self, o): nxt(); return True
        __hash__ = None
    [[1], X()].index(5)
def c_dd(): collections.defaultdict(nxt)['missing']
def c_iter(): list(iter(nxt, 0))
def c_len():
    class X(object):
        def __len__(self): return nxt()
    bool(X())
def c_write():
    class W(object):
        def write(self, s): nxt()
    print('text', file=W())
def c_exec(): exec("x = [1]\nnxt()", {'nxt': nxt, 'z': [2]})
def c_bytes():
    class R(io.RawIOBase):
        def readable(self): return True
        def readinto(self, b): return nxt()
    io.BufferedReader(R()).read(10)
def c_zip():
    def g(): yield [1]; nxt()
    list(zip([1, 2], g()))
def c_dictupd():
    class X(object):
        def keys(self): nxt(); return []
        def __getitem__(self, k): return k
    d = {'q': [1]}; d.update(X())
def c_star(): 
    def f(*a, **k): nxt()
    f(*[[1], [2]], **{'x': [3]})
def c_trace():
    sys.setprofile(lambda f, e, a: None); 
    try: nxt()
    finally: sys.setprofile(None)
def c_fin():
    try:
        try: raise KeyError(['outer'])
        finally: nxt()
    except KeyError: pass
def c_exc2():
    try: raise KeyError(['one'])
    except KeyError:
        try: raise ValueError(['two'])
        except ValueError as e: nxt(e)
def c_unpack():
    class X(object):
        def __iter__(self): nxt(); return iter([1, 2])
    a, b = X()
def c_cmpchain():
    class X(object):
        def __lt__(self, o): nxt(); return True
    [0] < [X()] if False else 1 < 2 < X() if False else X() < 5 < 6
def c_yf(): 
    if two: return nxt()
    exec('''
def inner():
    yield [1]
    nxt()
    yield 2
def outer():
    x = yield from inner()
g = outer(); next(g); next(g)
async def co():
    async with AC() as z: pass
class AC:
    async def __aenter__(self): nxt2(); return [1]
    async def __aexit__(self, *a): pass
''', dict(globals(), nxt2=nxt))
    
chain = [c_gc, c_weak, c_import, c_meta, c_gen, c_ctx, c_setattr, c_desc, c_index, c_max, c_comp, c_format, c_str, c_pickle, c_deep, c_hash, c_cmp, c_dd, c_iter, c_len, c_write, c_exec, c_bytes, c_zip, c_dictupd, c_star, c_trace, c_fin, c_exc2, c_unpack, c_cmpchain, c_yf, stop]
nxt()
