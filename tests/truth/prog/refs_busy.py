"""Tasks that run and wait, threads in several kinds of waits, callbacks within callbacks: none leaks a reference. Says ready."""
from __future__ import print_function
import sys, os, threading, time, re, json, functools, itertools, operator
two = sys.version_info[0] == 2
def stop():
    print("ready"); sys.stdout.flush(); time.sleep(600)
class Cmp(object):
    def __init__(self, v): self.v = v
    def __lt__(self, o): 
        if self.v == 3: cb_json()
        return self.v < o.v
def cb_json():
    def default(o):
        cb_re()
        return 1
    json.dumps([1, {'a': object()}], default=default)
def cb_re():
    def repl(m):
        cb_map()
        return m.group(0)
    re.sub('b+', repl, 'aabbcc')
def cb_map():
    def f(x): cb_filter(x); return x
    list(map(f, [('t', 1), ('u', 2)]))
def cb_filter(x):
    def key(v):
        cb_reduce(v); return v
    sorted([[9], [8]], key=key)
def cb_reduce(v):
    def red(a, b):
        cb_gen(); return a
    functools.reduce(red, [{'z': 1}, {'y': 2}, 'w'])
def cb_gen():
    def g():
        for i in range(5):
            cb_attr() if i == 2 else None
            yield [i]
    list(itertools.chain(g(), [1])); 
class P(object):
    def __getattr__(self, n): cb_item(); return 1
    def __getitem__(self, k): cb_call(); return 1
    def __call__(self, *a, **k): cb_with(); return 1
    def __add__(self, o): cb_eq(); return self
    def __enter__(self): cb_iter(); return self
    def __exit__(self, *a): return True
    def __iter__(self): return self
    def __next__(self): cb_add(); raise StopIteration
    next = __next__
    def __eq__(self, o): cb_del(); return True
    def __hash__(self): return 5
    def __del__(self): stop()
def cb_attr(): P.__getattr__(P0, 'q'); getattr(P0, 'some', None)
def cb_item(): P0['key', 1]
def cb_call(): P0(1, 'two', *[3, [4]], **{'kw': {5}})
def cb_with():
    with P0 as q: pass
def cb_iter():
    for x in P0: pass
def cb_add(): P0 + [1, 2]
def cb_eq():
    d = {P0: 1, 'u': 2}
    try: raise ValueError(['exc'])
    except ValueError as e:
        P1 in d
def cb_del():
    x = [P(), 'k']; del x[0]
P0 = P(); P1 = P()
P.__del__ and None
def waiter(ev, extra): 
    loc = {'extra': extra}
    ev.wait()
ev = threading.Event(); cond = threading.Condition()
ts = [threading.Thread(target=waiter, args=(ev, [i])) for i in range(2)]
def condwait():
    with cond: cond.wait()
ts.append(threading.Thread(target=condwait))
def sleeper(): time.sleep(1000)
ts.append(threading.Thread(target=sleeper))
r, w = os.pipe()
def reader(): os.read(r, 10)
ts.append(threading.Thread(target=reader))
if not two:
    exec('''
import asyncio, socket, queue, select
q = queue.Queue()
def getter(): q.get()
ts.append(threading.Thread(target=getter))
async def leaf(n):
    x = [n]
    await asyncio.sleep(1000)
async def mid(n):
    try: await leaf(n)
    finally: pass
async def agen():
    for i in range(10):
        yield i
        await asyncio.sleep(0)
async def consume():
    async for v in agen():
        if v == 3: await asyncio.sleep(1000)
async def main():
    loop = asyncio.get_event_loop()
    tasks = [loop.create_task(mid(i)) for i in range(10)] + [loop.create_task(consume()) for i in range(3)]
    g = asyncio.gather(*[loop.create_task(leaf(i)) for i in range(3)])
    fut = loop.create_future(); fut.add_done_callback(lambda f: None)
    async def exc():
        try: raise KeyError('in task')
        except KeyError: await asyncio.sleep(1000)
    tasks.append(loop.create_task(exc()))
    ev2 = asyncio.Event(); tasks.append(loop.create_task(ev2.wait()))
    lock = asyncio.Lock()
    async with lock:
        tasks.append(loop.create_task(lock.acquire()))
        qq = asyncio.Queue(); tasks.append(loop.create_task(qq.get()))
        rs, ws = socket.socketpair(); rs.setblocking(False)
        tasks.append(loop.create_task(loop.sock_recv(rs, 10)))
        await asyncio.sleep(0.05)
        sorted([Cmp(1), Cmp(3), Cmp(2)])
def runasync(): asyncio.new_event_loop().run_until_complete(main())
''')
for t in ts: t.daemon = True; t.start()
time.sleep(0.2)
if two: sorted([Cmp(1), Cmp(3), Cmp(2)])
else: runasync()
