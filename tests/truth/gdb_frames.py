"""Runs inside gdb: prints every thread's frames as JSON, for comparison (an independent reader of the same core)."""
import gdb, json


def place(sym, f):
    """Address, value, or neither, of a local as gdb sees it."""
    try:
        v = sym.value(f)
        if v.is_optimized_out:
            return None, None
        if v.type.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
            return None, int(v.referenced_value().address)  # the reference's value; gdb hides where it lies itself
        if v.address is not None:
            return int(v.address), None
        return None, int(v) if v.type.strip_typedefs().code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_ENUM) else None
    except (gdb.error, OverflowError, TypeError):
        return None, None


def locals_of(f):
    try:
        b = f.block()
    except RuntimeError:
        return
    while b is not None and not b.is_global and not b.is_static:
        for sym in b:
            if (sym.is_variable or sym.is_argument) and sym.addr_class != gdb.SYMBOL_LOC_STATIC:
                addr, value = place(sym, f)
                yield {"name": sym.name, "addr": addr, "value": value, "size": sym.type.strip_typedefs().sizeof}
        if b.function is not None:
            return
        b = b.superblock


def frames():
    f = gdb.newest_frame()
    while f is not None and f.is_valid() and f.level() < 400:
        if f.type() == gdb.TAILCALL_FRAME:  # made up from call sites: nothing of it is on the stack
            f = f.older()
            continue
        sal = f.find_sal()
        yield {"pc": f.pc(), "func": f.name() or "", "line": sal.line, "file": sal.symtab.filename if sal.symtab else "",
               "locals": list(locals_of(f)), "inlined": f.type() == gdb.INLINE_FRAME, "signal": f.type() == gdb.SIGTRAMP_FRAME}
        try:
            f = f.older()
        except gdb.error:
            break


out = []
for t in gdb.selected_inferior().threads():
    t.switch()
    out.append({"tid": t.ptid[1], "frames": list(frames())})
print("JSON " + json.dumps(out))
