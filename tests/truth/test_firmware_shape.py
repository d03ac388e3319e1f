#!/usr/bin/env python3
"""C heaps of microcontrollers without the program: RAM alone, and RAM with flash. The program itself says what it allocated and what its allocator
counts; the heap is found by its shape, the guess is said with what it rests on; and where there is no heap none is found."""
import os, random, subprocess

import firmware
import hr
from hr import eq, ok, skip

T = f"{hr.TOP}/tests/truth/prog"
OWN = ["-Dmalloc=own_malloc", "-Dfree=own_free", "-Dmallinfo=own_mallinfo"]
ARCH = {"rv32": "riscv32", "rv64": "riscv64"}
CXX = ["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-lstdc++"]


def rtos(heap, canary=0, opt="-O1"):
    return [f"{T}/rtos_heap.c", f"-DHEAP={heap}", f"-DCANARY={canary:#x}", opt, *OWN]


# name, board, C library, allocator it is, bytes of a free block's head, more for the compiler, program
HEAPS = [(f"heap_{h}{o}{c and ' protected' or ''}", "lm3s", "nano", "FreeRTOS", 8, rtos(h, c, o), None)
         for h, c, o in ((2, 0, "-O1"), (4, 0, "-Os"), (5, 0, "-O0"), (4, 0x5a17c3d9, "-O2"), (5, 0x12345679, "-Os"))]
HEAPS += [(f"heap_{h} rv32{c and ' protected' or ''}", "rv32", "pico", "FreeRTOS", 16, rtos(h, c), None) for h, c in ((4, 0), (5, 0x5a17c3d9))]
HEAPS += [(f"{p} {b}", b, c, {"nano": "newlib-nano", "pico": "picolibc"}[c], 8 if b == "rv64" else 4, [o, "-I", f"{hr.TOP}/samples/firmware", *(CXX if p == "rover" else [])],
           f"{T}/fw_{p}.{'cc' if p == 'rover' else 'c'}")
          for p, b, c, o in (("logger", "lm3s", "nano", "-Os"), ("rover", "lm3s", "nano", "-O2"), ("cache", "rv32", "pico", "-O2"), ("cache", "rv64", "pico", "-Os"),
                             ("logger", "lm3s", "pico", "-O0"), ("cache", "mps2", "nano", "-O0"))]
HEAPS += [("heap_2 rv32", "rv32", "pico", "FreeRTOS", 16, rtos(2), None), ("heap_5 full", "lm3s", "nano", "FreeRTOS", 8, [*rtos(5), "-DLEFT_OUT"], None),
          ("heap_5 full protected", "lm3s", "nano", "FreeRTOS", 8, [*rtos(5, 0x1234abcd), "-DLEFT_OUT"], None)]
HEAPS += [(f"TLSF {n} {b}", b, "nano" if b == "lm3s" else "pico", "TLSF", 0, [f"{T}/tlsf_heap.c", f"-DPOOLS={n}", *OWN], None) for n, b in ((1, "lm3s"), (2, "lm3s"), (2, "rv32"))]
HEAPS += [(f"weather {b}", b, c, {"nano": "newlib-nano", "pico": "picolibc"}[c], 4, [], None) for b, c in (("microbit", "nano"), ("stm32vl", "nano"), ("microbit", "pico"), ("rv32", "pico"))]


def one(name, board, libc, allocator, head, extra, program):
    why = firmware.missing(board, libc)
    if why:
        return skip(name, why)
    r = firmware.Run(board, libc, name="-shape-" + name.replace(" ", "-"), extra=extra, program=program)
    rom = hr.path(r.name + ".rom")
    subprocess.run([("riscv64-unknown-elf" if board.startswith("rv") else "arm-none-eabi") + "-objcopy", "-O", "binary", "-j", ".text", r.elf, rom], check=True)
    at = {"rv32": 0x80000000, "rv64": 0x80000000, "stm32vl": 0x08000000, "netduino": 0x08000000}.get(board, 0)
    for what, more in (("RAM alone", []), ("RAM and flash", ["--with", f"{rom}@{at:#x}"]), ("RAM and registers", ["--regs", r.regs])):
        note, rows = hr.heapray("blocks", "--ndjson", r.image, "--arch", ARCH.get(board, "arm"), *more).ndjson()
        got = {int(b["addr"], 16): b for b in rows}
        used = {a for a, b in got.items() if b["state"] == "used"}
        eq(sorted(map(hex, used)), sorted(map(hex, r.alive)), f"{name}, {what}: the blocks in use")
        ok(all(got[a]["size"] >= n for a, n in r.alive.items() if a in got), f"{name}, {what}: each has the bytes that were asked for")
        eq(sum(b["size"] + head for b in got.values() if b["state"] == "free"), r.free, f"{name}, {what}: free bytes are the allocator's own number")
        eq({b["allocator"] for b in got.values()}, {allocator}, f"{name}, {what}: the right allocator")
        said = [n["text"] for n in note["notes"] if n["code"] == "heap.guessed"]
        ok((name.startswith("TLSF 1") and not said) or len(said) == 1 and "0x" in said[0], f"{name}, {what}: the guess is said with its evidence", note["notes"])
    lost = {a for a, b in got.items() if (b["reach"] or "").startswith("leaked")}
    ok(lost <= set(r.lost), f"{name}, RAM and registers: nothing is called leaked that is not", *map(hex, lost - set(r.lost)))


def nothing():
    """No heap in random bytes, in a program's own code, in numbers, in pointers that lead round in data, in a heap that was never used."""
    rnd = random.Random(7)
    images = {"random bytes": rnd.randbytes(32 << 10), "zeros": bytes(16 << 10), "ones": b"\xff" * (16 << 10), "small numbers": bytes(x for i in range(8192) for x in (rnd.randrange(64), 0, 0, 0)),
              "heapray itself": open(hr.HEAPRAY, "rb").read(96 << 10), "multiples of eight": b"".join((8 * rnd.randrange(1, 40)).to_bytes(4, "little") for _ in range(8192)),
              "pointers": b"".join((0x20000000 + 4 * rnd.randrange(8192)).to_bytes(4, "little") for _ in range(8192)),
              "pointers and numbers": b"".join((0x20000000 + 8 * rnd.randrange(4096) if rnd.random() < .5 else 8 * rnd.randrange(16)).to_bytes(4, "little") for _ in range(8192)),
              "pointers and zeros": b"".join((0x20000000 + 8 * rnd.randrange(4096) if rnd.random() < .2 else 0).to_bytes(4, "little") for _ in range(8192)),
              "a list of zeros": b"".join((0x20000000 + 16 * i + 16 if i < 2047 else 0).to_bytes(4, "little") + bytes(12) for i in range(2048)),
              "a table of names": b"".join(w.encode().ljust(16, b"\0") for w in open(__file__).read().split())}
    for name, data in images.items():
        open(hr.path("plain.bin"), "wb").write(data)
        got = hr.heapray("blocks", "--ndjson", f"{hr.path('plain.bin')}@0x20000000", "--arch", "arm", seconds=30)
        eq([b["addr"] for b in got.ndjson()[1]][:3], [], f"{name}: no heap")
    micro = "/usr/share/firmware-microbit-micropython/firmware.hex"
    if os.path.exists(micro):
        got = hr.heapray("blocks", "--ndjson", micro, "--arch", "arm", seconds=30)
        eq([b for b in got.ndjson()[1]][:3], [], "the micro:bit's flash: no heap")


def others():
    """An allocator that is not one of these is not taken for one."""
    if firmware.missing("lm3s", "nano"):
        return skip("other allocators", firmware.missing("lm3s", "nano"))
    for kind, name in ((1, "umm_malloc"), (2, "lwIP"), (3, "ThreadX"), (5, "Zephyr slabs")):
        r = firmware.Run("lm3s", "nano", name=f"-shape-small{kind}", extra=[f"{T}/small_heaps.c", f"-DKIND={kind}", *OWN])
        got = hr.heapray("blocks", "--ndjson", r.image, "--arch", "arm").ndjson()[1]
        eq({b["allocator"] for b in got}, {name}, f"{name}: is that and nothing else")
    r = firmware.Run("lm3s", "newlib", name="-shape-newlib")
    got = hr.heapray("blocks", "--ndjson", r.image, "--arch", "arm").ndjson()[1]
    ok({b["allocator"] for b in got} <= {"newlib"}, "newlib's full malloc: is not taken for another", {b["allocator"] for b in got})


hr.main([nothing, others] + [lambda h=h: one(*h) for h in HEAPS])
