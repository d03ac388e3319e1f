"""Objects of the types of odd_traverse.c (argv: where it is built), and of classes derived from them: what the collector is shown of each; then,
once a line came in, what a collection finds of those in cycles that nobody holds."""
from __future__ import print_function
import gc, sys
gc.disable()
sys.path.insert(0, sys.argv[1])
import odd

class Thing(object):
    pass
def things(n):
    r = []
    for i in range(n):
        t = Thing() if i % 2 else [i]
        if i % 2:
            t.me = [t]
        r.append(t)
    return r

keep, lost = [], []
for name in sorted(dir(odd)):
    T = getattr(odd, name)
    if not isinstance(T, type):
        continue
    kinds = [T]
    if name != "Var":  # no room for attributes behind items
        kinds.append(type("Sub" + name, (T,), {}))
        kinds.append(type("Slots" + name, (T,), {"__slots__": ("s1", "s2")}))
    for K in kinds:
        for n in ((50,) if name == "Long" else (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 20)):
            for held in (True, False):
                l = things(n)
                o = K(l)
                if K is not T and K.__name__.startswith("Sub"):
                    o.extra = things(2)
                elif K is not T:
                    o.s2 = things(1)
                l[0].append(o)  # a ring through the object's first reference
                if not held and name == "Pinned":
                    lost.append(o)  # a ring that the collector leaves alone, if it is pinned
                elif held or not any(x is l[0] for x in gc.get_referents(o)):
                    keep.append(o)  # without a ring its count would end it
                else:
                    lost.append(o)
class Dict(odd.Forgetful):
    pass
for held in (True, False):
    f = odd.Forgetful([things(1), things(2)])
    f.attr = [f]
    (keep if held else lost).append(f)
    if hasattr(odd, "Managed"):
        m = odd.Managed([things(2)]); m.x = 1; m.y = [m]
        (keep if held else lost).append(m)
m = f = o = l = T = K = kinds = None
texts = (str, u"".__class__, bytes)
lines = []
def show():
    for o in keep + lost:
        lines.append("%x\t%s\t%s" % (id(o), type(o).__name__, " ".join(["%x%s" % (id(x), "s" if type(x) in texts else "") for x in gc.get_referents(o)])))
show()
sys.stdout.write("\n".join(lines) + "\n")
del lost, lines
print("ready")
sys.stdout.flush()
sys.stdin.readline()
gc.set_debug(gc.DEBUG_SAVEALL)
n = gc.collect()
print("SAVED")
for o in list(gc.garbage):
    print("%x %s" % (id(o), type(o).__name__))
print("END\ncollected %d" % n)
sys.stdout.flush()
