"""Programs for both MicroPythons. Each makes some live data and some garbage of other kinds."""
COMMON = '''import gc, micropython
gc.disable()
class Node:
    def __init__(self, v):
        self.v = v
class Child(Node):
    pass
def obj(x):
    try:
        n = len(x)
    except TypeError:
        n = None
    print("@OBJ", id(x), str(type(x)).split("'")[1], n)
'''
SCENARIOS = {
    "rings": '''
keep = []
def work():
    for i in range(6):
        r = Child(i); r.me = r; r.data = bytearray(20); keep.append([i, str(i)])
work()
r = None
''',
    "kinds": '''
a_list = [1, "two%d" % 2, 3.5, None, True]
a_tuple = (1, a_list, 2.25)
a_dict = {"k%d" % i: i for i in range(5)}
a_set = set([1, 2, 3])
a_bytes = bytes([1, 2, 3, 4])
an_array = bytearray(40)
big = 1 << 90
def outer(x):
    def inner():
        return x
    return inner
closure = outer([7])
def gen():
    yield 1
g = gen(); next(g)
node = Child("text" * 5)
method = node.__init__
try:
    raise ValueError("bad")
except ValueError as e:
    failure = e
for x in (a_list, a_list[1], a_tuple, a_dict, a_set, a_bytes, an_array, big, outer, closure, g, node, method, failure, Node, Child):
    obj(x)
''',
    "shapes": '''
try:
    from collections import namedtuple
except ImportError:
    from ucollections import namedtuple
P = namedtuple("P", ("aa", "bb"))
point = P([1], "y" * 9)
table = {"a": 1, "bb": point}
table[3] = table
a_list = [1, 2, point, 4][1:3]
for x in (point, P(1, 2), range(2, 11, 3), range(9, 0, -4), range(3, 3), table, a_list):
    obj(x)
x = None
gone = [point]; gone.append(gone); gone = [[i] for i in range(5)]; gone = None
''',
    "shrunk": '''
table = {}
for i in range(20):
    table[i] = [i] * 3
for i in range(0, 20, 2):
    del table[i]
text = "".join(["abc%d" % i for i in range(10)])
''',
}
# Long-lived objects between short-lived ones until a request fails that the free bytes would be enough for.
BROKEN = '''
def fill():
    keep, drop = [], []
    try:
        while True:
            drop.append(bytearray(180))
            keep.append(bytearray(20))
    except MemoryError:
        pass
    return keep
big = bytearray(700)
gc.enable()
keep = fill()
others = []
try:
    for i in range(ASKED):
        others.append(bytearray(700))
    print("@FITS")
except MemoryError:
    print("@FAILS")
gc.collect()
print("@FREE", gc.mem_free())
'''
SPLIT = '''
many = []
for i in range(4000):
    many.append(str(i) + "x")
r = None
for i in range(50):
    r = Child(i); r.me = r
r = None
'''
# Weak references of every kind; callbacks that allocate nothing, so that what was freed stays free.
WEAK = '''
import weakref
class Sub(Node):
    pass
many = [Sub(i) for i in range(24)]
refs = [weakref.ref(x) for x in many]
some = [weakref.ref(x, bool) for x in many[::3]]
ends = [weakref.finalize(x, bool, [i]) for i, x in enumerate(many[::4])]
alone = [1, 2]
twice = [weakref.ref(alone), weakref.ref(alone), weakref.ref({1: 2})]
weakref.finalize(Node(55), bool, "gone")
lost = weakref.ref(Node(56), bool)
for i, x in enumerate(many):
    print("@WEAK", id(x), 1 + (i % 3 == 0) + (i % 4 == 0))
print("@WEAK", id(alone), 2)
obj(refs[0]); obj(ends[0]); obj(twice[0]); obj(lost)
many = many[:9]
x = None
print("@DYING", 24 - 9 + 3)
'''
