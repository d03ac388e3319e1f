"""A Python heap of a given number of objects, and what the interpreter itself takes to look at all of it: the unit of the bench.

    pyheap.py OBJECTS     prints a line when the heap is there; at a line of input, prints CPU seconds, objects, bytes of getsizeof

Three tenths of the heap's owners are plain instances, slotted ones, and a fifth each dicts, tuples and nodes in rings of two, with
the numbers, strings and lists they hold; NumPy arrays where there is NumPy. Runs on Python 3."""
import gc
import sys
import time

PER_UNIT = 1926000  # objects at 150,000 instances


class Plain:
    def __init__(self, i):
        self.number, self.name, self.rest = i, "name%d" % i, [i]


class Slotted:
    __slots__ = ("a", "b", "c")

    def __init__(self, i):
        self.a, self.b, self.c = i * 1.5, "s%d" % i, None


class Node:
    def __init__(self):
        self.other = None


def build(objects):
    def n(k):
        return max(1, int(k * objects / PER_UNIT))
    heap = [[Plain(i) for i in range(n(150000))], [Slotted(i) for i in range(n(150000))],
            [{"k": i, "v": str(i), i: None} for i in range(n(100000))], [(i, i + 1.5, str(i)) for i in range(n(100000))]]
    for i in range(n(50000)):
        a, b = Node(), Node()
        a.other, b.other = b, a
    try:
        import numpy
        heap.append([numpy.zeros(10) for i in range(n(10000))])
    except ImportError:
        pass
    return heap


def closure():
    """All that the tracked objects lead to, and its size."""
    seen, todo, total, count = {}, gc.get_objects(), 0, 0
    referents, size = gc.get_referents, sys.getsizeof
    while todo:
        after = []
        for o in todo:
            k = id(o)
            if k not in seen:
                seen[k] = 1
                count += 1
                total += size(o)
                after.extend(referents(o))
        todo = after
    return count, total


if __name__ == "__main__":
    gc.disable()
    heap = build(float(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    found = closure()
    print("%.4f %d %d" % ((time.process_time() - began,) + found), flush=True)
