# Objects that are held in one way each; the ways as expressions. 2.7 and 3.x.
import collections, functools, sys, time


class Buf(object):
    __slots__ = ("data", "rest")


class Session(object):
    def __init__(self, n):
        self.name = "s%d" % n
        self._buf = Buf()
        self._buf.data = bytearray(7000 + n)
        self._buf.rest = [None, None, None, bytearray(8000 + n)]


class Holder(object):
    kept = {}

    def __init__(self):
        self.items = collections.deque([1, 2, bytearray(9001)])


cache = {}
for i in range(30):
    cache["u%d" % i] = Session(i)
numbers = {42: bytearray(11)}
Holder.kept["k"] = (0, bytearray(9002))
h = Holder()


def closure():
    cell = bytearray(9003)

    def inner():
        return cell
    return inner


fn = closure()
part = functools.partial(len, bytearray(9004))
what = ['cache["u17"]._buf.data', 'cache["u3"]._buf.rest[3]', 'h.items[2]', 'Holder.kept["k"][1]', 'fn.__closure__[0].cell_contents',
        'part.args[0]', 'numbers[42]', 'cache["u29"]._buf', 'cache']


def gen():
    kept = bytearray(9005)
    print("gen %x" % id(kept))
    yield 1
    kept.append(1)


g = gen()
next(g)


def handle(secret):
    rows = [bytearray(9006)]
    for w in what:  # as text: an int of 2.7 holds any address
        print("%s %x" % (w, id(eval(w))))
    print("local %x" % id(rows[0]))
    print("ready")
    sys.stdout.flush()
    time.sleep(300)  # MAIN


def outer():
    handle(secret="a text that is no name")


outer()
