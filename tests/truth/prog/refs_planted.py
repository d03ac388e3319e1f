"""Plants references that nobody holds, on 254 objects of eleven kinds, and takes counted references away from 33 others: says
"leak ADDR HOW-MANY TYPE" and "lack ..." for each, then ready. Any Python from 2.7 on."""
from __future__ import print_function
import ctypes, json, sys
increase, decrease = ctypes.pythonapi.Py_IncRef, ctypes.pythonapi.Py_DecRef
increase.argtypes = decrease.argtypes = [ctypes.py_object]
increase.restype = decrease.restype = None

class Inst(object):
    def __init__(self, i): self.i = i; self.name = 'inst%d' % i
class Slotted(object):
    __slots__ = ('a', 'b')
    def __init__(self, i): self.a = i; self.b = str(i)

def function(i):
    def f(): return i
    return f

makers = [
    lambda i: [i, i + 1], lambda i: {'k%d' % i: i}, lambda i: (i, 'x%d' % i), Inst, Slotted, lambda i: 'text %d' % i,
    lambda i: ('bytes %d' % i).encode(), lambda i: 10**20 + i, lambda i: 1.5 + i, lambda i: set([i, 'y%d' % i]), function]
held = []

def leaks():
    for i in range(254):
        o = makers[i % len(makers)](i + 1000)
        times = 1 + i % 7
        for _ in range(times): increase(o)
        print("leak 0x%x %d %s" % (id(o), times, type(o).__name__))
        if i % 3: held.append(o)
        if i % 5 == 0: held.append([o, {'again': o}])

def lacks():
    for i in range(33):
        o = makers[i % len(makers)](i + 2000)
        times = 1 + i % 2
        held.extend([o, (o, i), {i: o}])
        for _ in range(times): decrease(o)
        print("lack 0x%x %d %s" % (id(o), times, type(o).__name__))

leaks()
lacks()
json.loads(json.dumps([{'a': [1, 2, {'b': str(i)}]} for i in range(200)], indent=1, sort_keys=True))  # other use of the stack
print("ready"); sys.stdout.flush()
sys.stdin.readline()
