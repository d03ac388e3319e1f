#!/usr/bin/env python3
"""C heaps of microcontrollers: the sample firmware under QEMU says what it allocated, freed and lost, and what mallinfo() says.
heapray has RAM, registers and ELF, and must say the same."""
import firmware
import hr
from hr import eq, ok, skip

BUILDS = [("lm3s", "nano"), ("mps2", "nano"), ("stm32vl", "nano"), ("microbit", "nano"), ("mps2", "newlib"), ("netduino", "newlib"),
          ("lm3s", "pico"), ("microbit", "pico"), ("rv32", "pico"), ("rv64", "pico")]
REACH = {"direct": "leaked_direct", "indirect": "leaked_indirect", "cycle": "leaked_cycle"}


def blocks(*args):
    head, rows = hr.heapray("blocks", "--ndjson", *args).ndjson()
    return head, {int(r["addr"], 16): r for r in rows}


def headers(libc, word, base, free):
    """Bytes of chunks that are not usable, for the free chunks alone: a size word; and two for newlib's top, which ends the heap."""
    return word * (len(free) + (libc == "newlib"))


def one(board, libc):
    why = firmware.missing(board, libc)
    if why:
        return skip(f"{board}-{libc}", why)
    r = firmware.Run(board, libc)
    args = (r.image, "--elf", r.elf, "--regs", r.regs)
    word = 8 if board == "rv64" else 4
    head, got = blocks(*args)
    used = {a: b for a, b in got.items() if b["state"] == "used"}
    free = {a: b for a, b in got.items() if b["state"] == "free"}
    eq(sorted(used), sorted(r.alive), f"{r.name}: the blocks in use are those that malloc returned")
    ok(all(used[a]["size"] >= n for a, n in r.alive.items() if a in used), f"{r.name}: each has the bytes that were asked for")
    eq(sum(b["size"] for b in free.values()) + headers(libc, word, r.base, free), r.free, f"{r.name}: free bytes are mallinfo's fordblks")
    info = hr.heapray("info", "--json", *args).json()
    arena = info["allocators"][0]["arenas"][0]
    eq(arena["mapped_bytes"] - sum(b["size"] for b in free.values()) - headers(libc, word, r.base, free), r.in_use,
       f"{r.name}: the rest is mallinfo's uordblks")
    leaked = {a: b["reach"] for a, b in used.items() if b["reach"].startswith("leaked")}
    eq({hex(a): k for a, k in leaked.items()}, {hex(a): REACH[k] for a, k in r.lost.items()},
       f"{r.name}: what was lost is leaked, in the way it was lost, and nothing else")
    typed = sum(1 for b in used.values() if b["type"])
    ok(typed * 2 > len(used), f"{r.name}: most blocks have their type", f"{typed} of {len(used)}")
    eq([n for n in head["notes"] if n["code"].startswith(("heap.", "roots."))], [], f"{r.name}: no complaint")


hr.main([lambda b=b: one(*b) for b in BUILDS])
