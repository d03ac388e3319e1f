# NumPy arrays and other buffers of every kind; says of each what it is, then waits.
import array, ctypes, gc, json, mmap, sys, tempfile
import numpy as np

N = {}
base = np.arange(60, dtype='f8').reshape(3, 4, 5)
N['base'] = base
N['whole'] = np.arange(24, dtype='i4'); N['c'] = np.ones((3, 5)); N['f'] = np.asfortranarray(np.arange(12.).reshape(3, 4)); N['t'] = base.T
N['slice'] = base[::2, ::-1, 1:4]; N['negative'] = np.arange(10)[::-3]; N['zero_d'] = np.array(7.5); N['empty'] = np.zeros((0, 3)); N['none'] = np.zeros(0)
N['broadcast'] = np.broadcast_to(np.arange(3), (4, 3)); N['flat'] = base.ravel(); N['many'] = np.zeros((1,) * 20 + (2,)); N['newaxis'] = base[0, :, None]
N['stride0'] = np.lib.stride_tricks.as_strided(np.arange(4), (3, 2), (8, 0)); N['big'] = np.zeros(300000); N['ones'] = np.ones(1000, 'i1')
for c in '?bBhHiIlLqQefdgFDG':
    N['type_' + c] = np.array([0, 1, 3], dtype=c)
for c in '><':
    for k in ('i2', 'i4', 'i8', 'u8', 'f4', 'f8', 'c16', 'f2'):
        N['order_' + c + k] = np.arange(5).astype(c + k)
N['str'] = np.array(['abc', 'de', '']); N['str_big'] = np.array(['\u00e9t\u00e9'], dtype='>U5'); N['bytes'] = np.array([b'abc', b'd']); N['void'] = np.zeros(3, 'V7')
for u in ('Y', 'M', 'W', 'D', 'h', 'm', 's', 'ms', 'us', 'ns', 'ps', '25s', '7D'):
    N['date_' + u] = np.array(['1969-07-20', '2021-03-04', 'NaT'], dtype='M8[%s]' % u)
    N['span_' + u] = np.array([5, -7], dtype='m8[%s]' % u)
N['generic'] = np.array([1, 2], dtype='m8')
N['record'] = np.array([(1, 2.5, b'ab'), (3, 4.5, b'c')], dtype=[('x', 'i4'), ('y', '>f8'), ('name', 'S3')])
N['nested'] = np.zeros(2, dtype=[('p', [('x', 'f4'), ('y', 'f4', (2, 2))]), ('q', 'i1')]); N['titled'] = np.zeros(2, dtype=[(('a title', 'x'), 'i4'), ('y', 'i2')])
N['aligned'] = np.zeros(2, dtype=np.dtype([('a', 'i1'), ('b', 'f8')], align=True)); N['field'] = N['record']['y']
N['recarray'] = np.rec.array([(1, 'a'), (2, 'b')]); N['matrix'] = np.matrix([[1, 2], [3, 4]]); N['masked'] = np.ma.array([1., 2., 3.], mask=[0, 1, 0])
class Keep(object): pass
class Sub(np.ndarray): pass
class Slotted(np.ndarray):
    __slots__ = ('extra', 'more')
K = [Keep() for i in range(12)]
s = np.arange(5).view(Sub); s.info = K[0]; N['sub'] = s
s = np.arange(5).view(Slotted); s.extra = K[1]; s.more = [1]; N['slotted'] = s
o = np.empty((2, 3), dtype=object); o[:] = [[1, 'two', None], [K[2], [K[3]], 3.5]]; N['object'] = o; N['object_view'] = o[1]
o = np.empty(3, dtype=object); N['object_empty'] = o; o = np.array(K[4], dtype=object); N['object_0d'] = o
r = np.zeros(2, dtype=[('n', 'i4'), ('o', object), ('d', [('a', object), ('b', 'i2')]), ('two', object, (2,))])
r[0] = (1, K[5], (K[6], 2), [K[7], K[8]]); N['object_record'] = r
file = tempfile.NamedTemporaryFile(); file.write(b'\0' * 4096); file.flush()
N['memmap'] = np.memmap(file.name, dtype='i4', mode='r+', shape=(16, 16)); N['from_bytes'] = np.frombuffer(b'x' * 64, dtype='i4'); raw = bytearray(128)
N['from_bytearray'] = np.frombuffer(raw, dtype='u1'); N['from_array'] = np.asarray(memoryview(array.array('d', [1, 2]))); N['from_ctypes'] = np.ctypeslib.as_array((ctypes.c_int * 4)())
N['readonly'] = np.arange(3); N['readonly'].flags.writeable = False
N['exported'] = np.arange(6).reshape(2, 3); exported_view = memoryview(N['exported'])
S = {'f64': np.float64(1.5), 'f32': np.float32(0.1), 'f16': np.float16(0.333), 'i8': np.int8(-3), 'u64': np.uint64(2**64 - 1), 'ld': np.longdouble(2.25), 'c64': np.complex64(1 + 2j),
     'c128': np.complex128(-1j), 'bool': np.bool_(True), 'str': np.str_('abc'), 'bytes': np.bytes_(b'abcd'), 'void': np.void(b'abcd'), 'date': np.datetime64('2020-02-29T12:34:56'),
     'span': np.timedelta64(90, 'm'), 'nat': np.datetime64('NaT'), 'rec': N['record'][1], 'orec': r[0], 'll': np.longlong(7), 'intc': np.intc(-9), 'cld': np.clongdouble(1), 'inf': np.float32('inf'), 'sub': N['recarray'][0]}
D = {'dtype': np.dtype('f8'), 'dtype_rec': N['record'].dtype, 'dtype_nested': N['nested'].dtype, 'dtype_swap': np.dtype('>i4'), 'dtype_sub': np.dtype(('f4', (2, 3))), 'dtype_date': N['date_25s'].dtype,
     'dtype_meta': np.dtype('f8', metadata={'unit': 'm'}), 'dtype_object': np.dtype(object)}
O = {'ufunc': np.add, 'frompyfunc': np.frompyfunc(lambda x: x, 1, 1), 'rng': np.random.default_rng(1), 'state': np.random.RandomState(1), 'bits': np.random.PCG64(1), 'flatiter': base.flat,
     'nditer': np.nditer(base), 'bcast': np.broadcast(base, base), 'vectorize': np.vectorize(abs), 'poly': np.poly1d([1, 2]), 'flags': base.flags, 'finfo': np.finfo('f8')}
B = {'memoryview': memoryview(raw), 'mv_slice': memoryview(raw)[3:50:2], 'mv_cast': memoryview(raw).cast('i'), 'mv_array': memoryview(base), 'mv_bytes': memoryview(b'abcdef'), 'bytearray': bytearray(b'z' * 300),
     'array': array.array('l', range(100)), 'array_d': array.array('d'), 'mmap': mmap.mmap(-1, 8192), 'ctypes': (ctypes.c_double * 100)(), 'small': (ctypes.c_char * 3)(), 'inner': None, 'mv_0d': memoryview(np.array(3)), 'mv_2d': memoryview(np.ones((3, 2)))}
gone = memoryview(b'gone'); gone.release(); B['released'] = gone
cut = bytearray(b'0123456789' * 20); del cut[:150]; B['cut'] = cut
class Pair(ctypes.Structure): _fields_ = [('a', ctypes.c_int), ('b', ctypes.c_long * 20)]
B['struct'] = Pair(1); B['inner'] = B['struct'].b
for i in range(30): B['array_d'].append(i)

# Rings through arrays: an object array's items are not seen by the collector, a subclass' attributes are.
gc.disable()
gc.collect()
for i in range(5):
    o = np.empty(2, dtype=object); o[0] = [o]
    o = np.arange(3).view(Sub); o.me = o
    o = np.matrix([[1]]); o.ring = [o]
    o = np.ma.array([1, 2], mask=[0, 1]); o.ring = {'o': o}
    v = memoryview(np.zeros(3)); o = [v]; o.append(o)
del o, v

def name(t): return t.__qualname__ if t.__module__ == 'builtins' else t.__module__ + '.' + t.__qualname__
def flags(a): return {k.lower(): bool(a.flags[k.upper()]) for k in ('c_contiguous', 'f_contiguous', 'owndata', 'aligned', 'writeable', 'writebackifcopy')}
def dims(x):
    try: return len(x)
    except Exception: return None
def fields(d): return None if d.names is None else [[n, d.fields[n][0].str, d.fields[n][1]] for n in d.names]
def plain(x): return x.item() if isinstance(x, np.generic) else x
rows = []
for k in N:
    rows.append(['array', k, id(N[k]), name(type(N[k])), sys.getsizeof(N[k]), sys.getrefcount(N[k]) - 1, dims(N[k]), list(N[k].shape), list(N[k].strides), N[k].dtype.str, flags(N[k]), N[k].nbytes,
                 N[k].__array_interface__['data'][0], None if N[k].base is None else id(N[k].base), id(N[k].dtype), fields(N[k].dtype), len(gc.get_referents(N[k]))])
for kind, some in (('scalar', S), ('dtype', D), ('other', O), ('buffer', B)):
    for k in some:
        rows.append([kind, k, id(some[k]), name(type(some[k])), sys.getsizeof(some[k]), sys.getrefcount(some[k]) - 1, dims(some[k])])
for k in ('f64', 'f32', 'f16', 'i8', 'u64', 'ld', 'bool', 'date', 'span', 'nat', 'll', 'intc', 'inf'):
    print(json.dumps(['text', id(S[k]), str(S[k]).replace(' minutes', ' m')]))
for k in N:
    if N[k].dtype.kind in 'M' and N[k].dtype.str[-3:] not in ('ps]',):
        print(json.dumps(['text', id(N[k]), '[' + ', '.join(str(x) for x in N[k]) + ']']))
    elif k[:5] in ('type_', 'order') and N[k].dtype.kind in 'iuf':
        print(json.dumps(['text', id(N[k]), '[' + ', '.join(str(x) for x in N[k]) + ']']))
for k in ('memoryview', 'mv_slice', 'mv_cast', 'mv_array', 'mv_bytes'):
    print(json.dumps(['view', id(B[k]), B[k].nbytes, id(B[k].obj)]))
for k in ('bytearray', 'cut'):
    print(json.dumps(['at', id(B[k]), ctypes.addressof((ctypes.c_char * 1).from_buffer(B[k])), len(B[k])]))
for k in ('array', 'array_d'):
    print(json.dumps(['at', id(B[k]), B[k].buffer_info()[0], B[k].buffer_info()[1] * B[k].itemsize]))
for k in ('ctypes', 'small', 'struct', 'inner'):
    print(json.dumps(['at', id(B[k]), ctypes.addressof(B[k]), ctypes.sizeof(B[k])]))
print(json.dumps(['kept', [id(k) for k in K]]))
for r_ in rows:
    print(json.dumps(r_))
freed = []
for size in (777, 333, 1001, 0):
    some = [np.empty(size, 'u1') if size else np.empty((1,) * 7) for i in range(5)]
    freed += [x.__array_interface__['data'][0] if size else ctypes.c_void_p.from_address(id(x) + 32).value for x in some]
    x = None; del some
print(json.dumps(['freed', freed]))
del rows, r_
print('ready'); sys.stdout.flush()

sys.stdin.readline()
print('collected', gc.collect()); sys.stdout.flush()
sys.stdin.readline()
