"""Run by gdb over a library: for each function named in $NAMES (a file), the offsets of the fields of its first parameter's structure that are
pointers to Python objects: "name offset offset ...". Nothing for functions that take any object."""
import os
import gdb

HEADS = {"ob_base", "ob_refcnt", "_object", "PyObject"}


def is_object(t, depth=0):
    t = t.strip_typedefs()
    if t.code != gdb.TYPE_CODE_STRUCT or depth > 4:
        return False
    if t.tag == "_object" or t.tag == "PyObject":
        return True
    f = t.fields()
    return bool(f) and (f[0].name == "ob_refcnt" or f[0].name == "ob_refcnt_split" or is_object(f[0].type, depth + 1))


def offsets(t, base, depth=0):
    for f in t.strip_typedefs().fields():
        if not hasattr(f, "bitpos"):
            continue
        at, u = base + f.bitpos // 8, f.type.strip_typedefs()
        if u.code == gdb.TYPE_CODE_PTR and is_object(u.target()):
            yield at
        elif u.code == gdb.TYPE_CODE_PTR and u.target().strip_typedefs().code == gdb.TYPE_CODE_VOID:
            yield at
        elif u.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and depth < 4:
            yield from offsets(u, at, depth + 1)
        elif u.code == gdb.TYPE_CODE_ARRAY and u.target().strip_typedefs().code == gdb.TYPE_CODE_PTR and is_object(u.target().strip_typedefs().target()):
            lo, hi = u.range()
            for i in range(max(1, min(hi - lo + 1, 64))):
                yield at + 8 * i


for name in open(os.environ["NAMES"]).read().split():
    try:
        s = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
        p = s.type.fields()[0].type.strip_typedefs().target()
        if p.strip_typedefs().tag not in ("_object", "PyObject", None) or p.name not in ("PyObject", "_object", None):
            print("fields", name, *sorted(set(offsets(p, 0))))
    except Exception:
        pass
