"""Rings that differ only in what hangs below them: things the collector does not track and frees by reference count alone."""
import gc, sys
gc.disable()


class Node(object):
    def __init__(self, payload):
        self.other, self.payload = None, payload


def ring(payload):
    a, b = Node(payload), Node(None)
    a.other, b.other = b, a
    print("ring %d %x" % (size, id(a)))


kept = bytes(bytearray(400))
shared = []
size = -9
for _ in range(40):
    ring(None)                                                 # the first instances of a class have larger attribute tables
for size in 0, 100, 300, 450:
    ring(bytes(bytearray(size + 1)) if size else None)         # goes with its ring
size = -1
ring(kept)                                                     # somebody else holds it, too
size = -2
ring((bytes(bytearray(201)), (bytes(bytearray(301)), len(shared) + 2.5, None, 10 ** (30 + len(shared)))))  # nested, all untracked or tuples
size = -3
ring([1])                                                      # a list and its items
print("sizes %d %d %d" % (sys.getsizeof(b"") - 1, sys.getsizeof(10 ** 30), sys.getsizeof(2.5)))
sys.stdout.flush()
print("ready")
sys.stdout.flush()
sys.stdin.readline()
