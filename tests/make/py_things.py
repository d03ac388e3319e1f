# Objects of many kinds, a few garbage cycles, two threads, asyncio tasks, a deep stack: for mk_python.c. Says "ready" and waits. Python 2.7 and 3.
import sys, gc, collections, itertools, weakref, types, threading, time, array
gc.disable()
try:
    import asyncio
except ImportError: asyncio=None
class A(object):
    def __init__(s,n): s.n=n; s.text='text %d'%n; s.l=[n]*5
class S(object):
    __slots__=('x','y')
class M(type): pass
B=M('B',(A,),{})
keep=[]
for i in range(40):
    a=A(i); a.me=a; keep.append(a); b=B(i); keep.append(b); s=S(); s.x=b; keep.append(s)
keep.append({i:'v%d'%i for i in range(60)}); keep.append(set(range(40))); keep.append(frozenset('abcdef'))
keep.append(collections.OrderedDict((str(i),i) for i in range(20))); keep.append(collections.deque(range(200)))
keep.append(bytearray(b'x'*500)); keep.append(array.array('d',range(50))); keep.append(3**500); keep.append(u'\u20ac'*50)
def gen():
    x='in gen'
    yield x
g=gen(); next(g); keep.append(g)
keep.append(weakref.ref(a)); keep.append(weakref.WeakValueDictionary({1:a})); keep.append(collections.defaultdict(list)); keep.append(itertools.chain([1],[2]))
keep.append(types.ModuleType('mod')); keep.append(memoryview(b'abc')); keep.append(lambda q=5:(q,a)); keep.append(1.5); keep.append(2j); keep.append(slice(1,2)); keep.append(range(5))
keep.append(a.__init__); keep.append(['dup']*10); keep.append([('same',i%3) for i in range(50)])
for i in range(20): keep.append('a duplicated string of some length '+str(i%2))
try: 1/0
except Exception as e: keep.append(e)
for i in range(5):
    c=A(100+i); c.o=A(200); c.o.o=c   # garbage cycles
del c
if sys.version_info>=(3,6):
    exec("""
import tracemalloc
async def sub(): await asyncio.sleep(1000)
async def co(n): 
    x=n
    await sub()
async def main():
    keep.append([asyncio.ensure_future(co(i)) for i in range(3)])
    await asyncio.sleep(.1); deep(5)
""")
def deep(n):
    v={'n':n}
    if n: return deep(n-1)
    print('ready'); sys.stdout.flush(); time.sleep(1000)
t=threading.Thread(target=lambda: time.sleep(1000)); t.daemon=True; t.start()
if 'main' in globals(): asyncio.new_event_loop().run_until_complete(main())
else: deep(5)
