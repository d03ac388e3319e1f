# Arrays and sequences that waste memory, and ones that look so but do not. Says what each change would save, as NumPy itself counts it.
import array, gc, json, sys
try:
    import numpy as np
except ImportError:
    np = None

keep, expect = [], {}
def want(rule, title, saved, count=1):
    e = expect.setdefault(rule + ' ' + title, [0, 0]); e[0] += saved; e[1] += count
two = sys.version_info < (3,)
def block(x): # 2.7 keeps its ints and floats side by side
    if two and type(x) in (int, float): return 24
    n = sys.getsizeof(x) - (16 if gc.is_tracked(x) else 0); return (n + 15) // 16 * 16
def places(l):
    n = sys.getsizeof(l) - sys.getsizeof([])
    return (n + 15) // 16 * 16 if n <= 512 else (n + 8 + 15) // 16 * 16 - 8

if np:
    rng = np.random.RandomState(3)
    def narrow(a, small):
        b = a.astype(small)
        assert (b.astype(a.dtype) == a).all() or a.dtype.kind == 'f'
        want('narrow', '%s %s' % (a.dtype.str, b.dtype.str), a.nbytes - b.nbytes)
        keep.append(a)
    narrow(rng.randint(-100, 100, 50000).astype('i8'), 'i1'); narrow(rng.randint(0, 250, 50000).astype('i8'), 'u1')
    narrow(rng.randint(-30000, 30000, (300, 400)).astype('i8'), 'i2'); narrow(np.asfortranarray(rng.randint(-2**31, 2**31 - 1, (200, 300), dtype='i8')), 'i4')
    narrow(rng.randint(-2**31, 2**31 - 1, 70000, dtype='i8').astype('>i8'), '>i4'); narrow(rng.randint(0, 60000, 70000).astype('u8'), 'u2')
    narrow(rng.randint(-128, 127, 90000).astype('i4'), 'i1'); narrow(rng.rand(60000).astype('f4').astype('f8'), 'f4'); narrow(np.append(rng.randint(0, 9, 60000).astype('f8'), [np.nan, np.inf]), 'f4')
    narrow((rng.rand(50000) + 1j * rng.rand(50000)).astype('c8').astype('c16'), 'c8'); narrow(np.array([str(i) for i in rng.randint(0, 10**6, 20000)]).astype('U40'), 'U6')
    narrow(np.array([b'%d' % i for i in rng.randint(10**4, 10**5, 20000)]).astype('S30'), 'S5')
    # no smaller dtype holds these
    keep += [rng.rand(60000), rng.randint(-2**62, 2**62, 60000, dtype='i8'), np.append(rng.randint(-5, 5, 60000), 2**40).astype('i8'), rng.rand(60000).astype('f4'), np.append(np.arange(60000.), [0.1]),
             np.append(np.arange(60000.), [1e300]), rng.randint(0, 2, 90000).astype('?'), np.arange(60000).astype('M8[s]'), rng.rand(30000) + 1j, np.append(np.arange(60000.), [2.**24 + 1])]
    # a small one counts with its group only
    narrow(rng.randint(-5, 5, 100).astype('i8'), 'i1'); keep.append(rng.randint(-5, 5, 100).astype('>i2'))
    # copies
    a = rng.rand(30000).reshape(100, 300); keep.append(a)
    for i in range(3): keep.append(a.copy()); want('copies', '30000 <f8', a.nbytes)
    keep.append(a.reshape(300, 100).copy()); want('copies', '30000 <f8', a.nbytes)
    keep += [a.T, a[:], a.copy(order='F'), a + 1e-9]; b = a.copy(); b[99, 299] += 1; keep.append(b)
    # constant
    z = np.zeros((200, 300)); z[:] = 0; keep.append(z); want('constant', '<f8', z.nbytes - 8)
    o = np.full(80000, 7.25); keep.append(o); want('constant', '<f8', o.nbytes - 8)
    s = np.full(80000, 3, 'i4'); keep.append(s); want('constant', '<i4', s.nbytes - 4)
    l = np.full(80000, 7.25); l[-1] = 0.1; keep.append(l); l = np.full(80000, 0.1); l[0] = 1; keep.append(l)
    # views that pin
    big = rng.rand(500000); keep.append(big[1000:1010]); want('view_pins', 'numpy.ndarray', big.nbytes - 80); del big
    big = rng.rand(400, 1000); v = big[3:5]; keep += [v[0], v[1, :100]]; want('view_pins', 'numpy.ndarray', big.nbytes - 8000 - 800); del big, v
    raw = bytes(bytearray(rng.randint(0, 255, 300000).astype('u1'))); keep.append(np.frombuffer(raw, 'u1', 100, 1000)); want('view_pins', 'bytes', len(raw) - 100); del raw
    raw = bytearray(200000); keep.append(np.frombuffer(raw, 'u1', 100)); want('view_pins', 'bytearray', 200000 - 100 + 1); del raw
    big = rng.rand(200000); keep.append(big[::100]); want('strided', 'numpy.ndarray', big.nbytes - 2000 * 8); del big
    big = np.zeros(30000, dtype=[('x', 'i4'), ('y', 'f8', (4,))]); big['x'] = rng.randint(0, 9, 30000); big['y'] = rng.rand(30000, 4); keep.append(big['x']); want('strided', 'numpy.ndarray', big.nbytes - 30000 * 4); del big
    # held otherwise, or used in all
    big = rng.rand(300000); keep += [big, big[:10]]; del big
    big = rng.rand(300000); keep += [big[:290000], {'x': big[5:9]}]; del big
    big = rng.rand(1000); keep += [np.broadcast_to(big, (500, 1000))]; del big
    big = rng.rand(300000); keep += [[big], big[::2]]; del big
    keep.append(np.broadcast_to(rng.rand(50), (10000, 50)))
    # object arrays
    x = np.empty(5000, dtype=object); x[:] = [float(f) for f in rng.rand(5000)]; want('object_array', '<f8', 5000 * 32); keep.append(x)
    x = np.empty(9000, dtype=object); x[:] = [10**6 + int(i) for i in rng.randint(0, 10**8, 9000)]; want('object_array', '<i8', 9000 * 32); keep.append(x)
    x = np.empty(5000, dtype=object); x[:] = [float(f) for f in rng.rand(5000)]; x[4999] = None; keep.append(x)
    x = np.empty(5000, dtype=object); x[:] = [2**70 + i for i in range(5000)]; keep.append(x)
    # lists of NumPy's own scalars
    l = list(rng.rand(6000)); want('number_list', 'list <f8', places(l) + 6000 * 32 - 6000 * 8); keep.append(l)

import random
R = random.Random(5)
r = bytearray(R.getrandbits(8) for i in range(150000)); keep.append(memoryview(r)[10:20]); want('memoryview_pins', 'bytearray', sys.getsizeof(r) - sys.getsizeof(bytearray()) - 10); del r
if not two: r = array.array('d', [R.random() for i in range(30000)]); m = memoryview(r); keep.append(m[5:6]); want('memoryview_pins', 'array.array', r.buffer_info()[1] * 8 - 8); del r, m
r = bytes(bytearray(R.getrandbits(8) for i in range(150000))); keep += [r, memoryview(r)[:10]]; del r
r = bytearray(150000); keep += [memoryview(r)[:140000], memoryview(r)[:10]]; del r
l = [R.random() for i in range(20000)]; want('number_list', 'list <f8', places(l) + 20000 * block(l[0]) - 20000 * 8); keep.append(l)
l = [R.randrange(10**5, 10**9) for i in range(20000)]; want('number_list', 'list <i8', places(l) + 20000 * block(l[0]) - 20000 * 8); keep.append(l)
l = tuple(R.random() for i in range(10000)); want('number_list', 'tuple <f8', 10000 * block(l[0])); keep.append(l)
l = [R.random() < .5 for i in range(50000)]; want('number_list', 'list |b1', places(l) - 50000); keep.append(l)
l = [complex(R.random(), 1) for i in range(10000)]; want('number_list', 'list <c16', places(l) + 10000 * block(l[0]) - 160000); keep.append(l)
l = list(range(1000, 31000)); want('range_list', 'list 1', places(l) + 30000 * block(l[0]) - 48); keep.append(l)
l = list(range(10**7, -1000, -500)); want('range_list', 'list -500', places(l) + sum(block(x) for x in l if x > 256 or x < -5) - 48); keep.append(l)
# shared with others: the numbers stay; no numbers only; too large for a dtype; steps that change at the end
words = [R.random() for i in range(8000)]; keep.append({x: 1 for x in words}); keep.append([[x] for x in words]); del words
l = [R.random() for i in range(20000)]; l[10000] = 'x'; keep.append(l)
l = [2**64 + R.randrange(100) for i in range(20000)]; keep.append(l)
l = [R.random() for i in range(20000)]; l[-1] = None; keep.append(l)
l = [R.randrange(10**5, 10**9) for i in range(9999)] + [2**62]; want('number_list', 'list <i8', places(l) + sum(block(x) for x in l) - 80000); keep.append(l)
l = list(range(1000, 31000)); l[-1] = 5000; want('number_list', 'list <i8', places(l) + 29999 * block(l[0]) + block(l[-1]) - 240000); keep.append(l)
del l
gc.collect()
print(json.dumps(expect))
print('ready'); sys.stdout.flush()
sys.stdin.readline()
