#!/usr/bin/env python3
"""Three firmware programs that have nothing in common but a heap: an event-driven logger in C, a rover in C++, a cache. Each knows
what it allocated, what it lost and how; heapray has its RAM, registers and ELF: with debug information, with symbols alone."""
import subprocess

import firmware
import hr
from hr import eq, ok, skip

REACH = {"direct": "leaked_direct", "indirect": "leaked_indirect", "cycle": "leaked_cycle"}
CXX = ["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-lstdc++"]
BUILDS = [("logger", "c", "lm3s", "nano", "-Os"), ("logger", "c", "netduino", "newlib", "-O0"), ("logger", "c", "lm3s", "pico", "-O2"),
          ("cache", "c", "rv32", "pico", "-Os"), ("cache", "c", "rv64", "pico", "-O0"), ("cache", "c", "lm3s", "nano", "-O2"), ("cache", "c", "rv32", "pico", "-O3"),
          ("rover", "cc", "lm3s", "nano", "-Os"), ("rover", "cc", "netduino", "newlib", "-O2"), ("rover", "cc", "lm3s", "nano", "-O0")]


def ask(r, *args):
    head, rows = hr.heapray("blocks", "--ndjson", r.image, "--regs", r.regs, *args).ndjson()
    return head, {int(b["addr"], 16): b for b in rows}


def plain(name):
    if "char [" in (name or ""):
        return "char"
    return (name or "").removeprefix("struct ").split("<")[0].split(" [")[0].split("[")[0].strip()


def same(r, head, got, name):
    used = {a: b for a, b in got.items() if b["state"] == "used"}
    used = {a: b for a, b in used.items() if a in r.alive or b["reach"] != "reachable" or a > min(r.alive)}  # before main(): the C++ library's pool for exceptions
    eq(sorted(map(hex, used)), sorted(map(hex, r.alive)), f"{name}: the blocks in use")
    ok(all(used[a]["size"] >= n for a, n in r.alive.items() if a in used), f"{name}: each has the bytes that were asked for")
    word = 8 if r.board == "rv64" else 4
    free = [b["size"] for b in got.values() if b["state"] == "free"]
    eq(sum(free) + word * (len(free) + ("newlib" in r.name)), r.free, f"{name}: free bytes are mallinfo's fordblks")
    leaked = {hex(a): b["reach"] for a, b in used.items() if b["reach"].startswith("leaked")}
    lost = {hex(a): REACH[k] for a, k in r.lost.items() if a in r.alive}
    eq(leaked, lost, f"{name}: the leaks, {len(lost)} of {len(used)}", *[f"{a}: {b['reach']} {b['type']}" for a, b in used.items() if (hex(a) in lost) != (hex(a) in leaked)])
    eq([n for n in head["notes"] if n["code"].startswith(("heap.", "roots."))], [], f"{name}: no complaint")


def one(program, suffix, board, libc, opt):
    why = firmware.missing(board, libc)
    if why:
        return skip(f"{program} {board}-{libc} {opt}", why)
    r = firmware.Run(board, libc, name=f"-{program}{opt}", program=f"{hr.TOP}/tests/truth/prog/fw_{program}.{suffix}",
                     extra=[opt, "-I", f"{hr.TOP}/samples/firmware", *(CXX if suffix == "cc" else [])])
    head, got = ask(r, "--elf", r.elf)
    same(r, head, got, r.name)
    wrong = [f"{a:#x} is {want}, not {got[a]['type']}" for a, want in r.types.items()
             if a in r.alive and a in got and got[a]["type"] and want not in ("", "?") and plain(got[a]["type"]) != plain(want)]
    eq(wrong, [], f"{r.name}: no type is wrong")
    held = [a for a in r.alive if a not in r.lost and r.types[a] not in ("?", "job")]  # a job's only pointers are numbers
    known = [a for a in held if a in got and got[a]["type"]]
    ok(len(known) * 10 >= len(held) * 9, f"{r.name}: nine of ten that are held have a type", f"{len(known)} of {len(held)}", *[f"{a:#x} {r.types[a]}" for a in held if a not in known])
    bare = hr.path(r.name + ".syms")
    subprocess.run(["riscv64-unknown-elf-objcopy" if board.startswith("rv") else "arm-none-eabi-objcopy", "-g", r.elf, bare], check=True)
    head, got = ask(r, "--elf", bare)
    same(r, head, got, f"{r.name}, symbols only")


if hr.LONG:
    BUILDS = [("rover", "cc", b, c, o) for b, c in (("lm3s", "nano"), ("netduino", "newlib")) for o in ("-O0", "-Os", "-O1", "-O2", "-O3")]
    BUILDS += [(p, "c", b, c, o) for p in ("logger", "cache") for b, c in (("lm3s", "nano"), ("netduino", "newlib"), ("lm3s", "pico"), ("rv32", "pico"), ("rv64", "pico"))
               for o in ("-O0", "-Os", "-O1", "-O2", "-O3")]
hr.main([lambda b=b: one(*b) for b in BUILDS])
