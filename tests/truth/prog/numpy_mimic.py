# Arrays in the layout that the module was compiled for; says of each what it is, then waits.
import json, struct, sys, random
import mimic

R = random.Random(1)
def dt(letters, num, size, objects=0, fields=None, names=None): return mimic.dtype(letters, num, size, objects, fields, names)
C, F, OWN, ALIGNED, WRITE = 1, 2, 4, 0x100, 0x400
def strides(shape, size, fortran=False):
    out, step = [0] * len(shape), size
    for i in (range(len(shape)) if fortran else reversed(range(len(shape)))):
        out[i] = step; step *= shape[i]
    return tuple(out)
class Keep(object): pass
rows, keep = [], []
def make(name, d, dtype, size, shape, data=b'', flags=C | F | OWN | ALIGNED | WRITE, st=None, base=None, offset=0, fields=None, text=None):
    st = strides(shape, size) if st is None else st
    a = mimic.array(d, shape, st, flags, base, offset, data)
    n = size
    for s in shape: n *= s
    keep.append(a)
    rows.append([name, id(a), list(shape), list(st), dtype, n, mimic.where(a), None if base is None else id(base), bool(flags & OWN), type(a).__basicsize__ + 16 * len(shape) + (n if flags & OWN else 0), fields, text])
    return a
f8, i4, big, i8 = dt('fd=', 12, 8), dt('ii=', 5, 4), dt('ii>', 5, 4), dt('il=', 7, 8)
if len(sys.argv) > 1: # the first dtype met says nothing of its layout: a text, or a structure
    keep.insert(0, make('text', dt('SS|', 18, 3), '|S3', 3, (2,), b'abcde\0'))
b = make('b', f8, '<f8', 8, (3, 4), struct.pack('<12d', *range(12)), C | OWN, text='[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, ...]')
make('view', f8, '<f8', 8, (2, 2), None, 0, (32, -16), b, 24, text='[3.0, 1.0, 7.0, 5.0]')
make('i4', i4, '<i4', 4, (5,), struct.pack('<5i', 5, -1, 0, 7, 2**31 - 1), text='[5, -1, 0, 7, 2147483647]'); make('big', big, '>i4', 4, (2,), struct.pack('>2i', 5, -6), text='[5, -6]')
make('0d', f8, '<f8', 8, (), struct.pack('<d', 2.5), text='2.5'); make('empty', f8, '<f8', 8, (0, 7)); make('fortran', f8, '<f8', 8, (3, 5), b'\0' * 120, F | OWN, strides((3, 5), 8, True))
make('bool', dt('b?|', 0, 1), '|b1', 1, (3,), b'\1\0\1', text='[True, False, True]'); make('str', dt('UU<', 19, 8), '<U2', 8, (1,), u'hi'.encode('utf-32-le'), text="['hi']")
K = [Keep() for i in range(3)]
O = dt('OO|', 17, 8, 1)
make('object', O, '|O', 8, (3,), [K[0], None, 'x'])
make('record', dt('VV|', 20, 12, 0, {'x': (i4, 0), 'y': (f8, 4)}, ('x', 'y')), '|V12', 12, (1,), struct.pack('<id', 3, 1.5), fields=[['x', '<i4', 0], ['y', '<f8', 4]], text='[(3, 1.5)]')
make('orecord', dt('VV|', 20, 16, 1, {'o': (O, 0), 'p': (O, 8)}, ('o', 'p')), '|V16', 16, (1,), [K[1], K[2]], fields=[['o', '|O', 0], ['p', '|O', 8]])
make('narrow', i8, '<i8', 8, (40000,), struct.pack('<40000q', *[R.randrange(100, 30000) for i in range(40000)]))
kept = [id(k) for k in K]
del K
print(json.dumps(rows)); print(json.dumps(kept)); print('ready'); sys.stdout.flush()
sys.stdin.readline()
