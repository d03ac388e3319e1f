"""Runs inside gdb: prints every thread's frames as JSON, for comparison (an independent reader of the same core)."""
import gdb, json


def frames():
    f = gdb.newest_frame()
    while f is not None and f.is_valid() and f.level() < 400:
        if f.type() == gdb.TAILCALL_FRAME:  # made up from call sites: nothing of it is on the stack
            f = f.older()
            continue
        sal = f.find_sal()
        yield {"pc": f.pc(), "func": f.name() or "", "line": sal.line, "file": sal.symtab.filename if sal.symtab else "",
               "inlined": f.type() == gdb.INLINE_FRAME, "signal": f.type() == gdb.SIGTRAMP_FRAME}
        try:
            f = f.older()
        except gdb.error:
            break


out = []
for t in gdb.selected_inferior().threads():
    t.switch()
    out.append({"tid": t.ptid[1], "frames": list(frames())})
print("JSON " + json.dumps(out))
