#!/usr/bin/env python3
"""C heaps of microcontrollers: the sample firmware under QEMU says what it allocated, freed and lost, and what mallinfo() says.
heapray has RAM, registers and ELF, and must say the same."""
import shutil, struct, subprocess

import containers as boxes
import firmware
import hr
from hr import eq, ok, skip

BUILDS = [("lm3s", "nano"), ("mps2", "nano"), ("stm32vl", "nano"), ("microbit", "nano"), ("mps2", "newlib"), ("netduino", "newlib"),
          ("lm3s", "pico"), ("microbit", "pico"), ("rv32", "pico"), ("rv64", "pico")]
BOXED = [("lm3s", "nano"), ("microbit", "pico"), ("netduino", "newlib"), ("rv32", "pico"), ("rv64", "pico")]
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
    r = firmware.run(board, libc)
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


def containers(board, libc):
    """The same RAM in every container gives the same report, byte for byte but for the image's name and format."""
    name = f"{board}-{libc}"
    why = firmware.missing(board, libc) or next((f"no {t}" for t in ("objcopy", "srec_cat") if not shutil.which(t)), None)
    if why:
        return skip(f"{name}: containers", why)
    r = firmware.run(board, libc)
    heap_end = (max(a + n for a, n in r.alive.items()) + 1024) & ~255
    keep = [(r.base, heap_end), (boxes.registers(r)[2 if boxes.riscv(r) else 13] & ~63, r.base + r.size)]
    want = boxes.agree(name, r, keep, ["--elf", r.elf])
    found = sum(text.count('"reach":"leaked') for verb, _, text in want if verb.startswith("blocks"))
    eq(found, len(r.lost), f"{name}, whole: as many leaks as were lost")
    if r.core:  # it has the flash, too
        rom = hr.path("rom.bin")
        with open(r.core, "rb") as f:
            at, offset, size = next(s for s in hr.segments(r.core) if s[0] < r.base)
            f.seek(offset)
            open(rom, "wb").write(f.read(size))
        want = boxes.says(r.image, "--with", f"{rom}@{at:#x}", "--elf", r.elf, "--regs", r.regs)
        boxes.same(boxes.says(r.core, "--elf", r.elf), want, f"{name}, QEMU's ELF core with its own registers")


def flash(r):
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", r.elf, hr.path("flash.bin")], check=True)
    return hr.path("flash.bin") + "@0"


def doubts():
    """An ELF of another build is not used; without registers the answer says what that costs; what is not there is not zero."""
    why = firmware.missing("lm3s", "nano") or firmware.missing("lm3s", "newlib")
    if why:
        return skip("doubts", why)
    r, other = firmware.run("lm3s", "nano"), firmware.run("lm3s", "newlib")

    def codes(*args):
        return [n["code"] for n in blocks(*args)[0]["notes"]]

    ok("core.module_mismatch" in codes(r.image, "--with", flash(r), "--elf", other.elf, "--regs", r.regs), "the flash shows that the ELF is another build's")
    ok("core.module_mismatch" not in codes(r.image, "--with", flash(r), "--elf", r.elf, "--regs", r.regs), "and that it is the right one")
    ok("roots.no_registers" in codes(r.image, "--elf", r.elf), "no registers: said")
    data = open(r.ram, "rb").read()
    open(hr.path("late.bin"), "wb").write(data[0xa0:])
    ok("roots.not_captured" in codes(f"{hr.path('late.bin')}@{r.base + 0xa0:#x}", "--elf", r.elf, "--regs", r.regs), "variables not in the image: said")


def freertos():
    """heap_2, 4, 5 as an independent writer lays them out (the originals were compared by hand: see the commit)."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("FreeRTOS", why)
    for heap, canary in ((2, 0), (4, 0), (5, 0), (4, 0x5a17c3d9), (5, 0x12345679)):
        name = f"heap_{heap}{' protected' if canary else ''}"
        r = firmware.Run("lm3s", "nano", name="-" + name.replace(" ", "-"),
                         extra=[f"{hr.TOP}/tests/truth/prog/rtos_heap.c", f"-DHEAP={heap}", f"-DCANARY={canary:#x}", "-Dmalloc=own_malloc", "-Dfree=own_free",
                                "-Dmallinfo=own_mallinfo"])
        args = (r.image, "--elf", r.elf, "--regs", r.regs)
        head, got = blocks(*args)
        used = {a: b for a, b in got.items() if b["state"] == "used"}
        eq({b["allocator"] for b in got.values()}, {"FreeRTOS"}, f"{name}: found")
        eq(sorted(used), sorted(r.alive), f"{name}: the blocks in use")
        eq(sum(b["size"] + 8 for b in got.values() if b["state"] == "free"), r.free, f"{name}: free bytes are xFreeBytesRemaining")
        eq({a: b["reach"] for a, b in used.items() if b["reach"].startswith("leaked")}, {a: REACH[k] for a, k in r.lost.items()}, f"{name}: the leaks")
        eq([n for n in head["notes"] if n["code"].startswith(("heap.", "roots."))], [], f"{name}: no complaint")
    smashed(r)


def picolibc():
    """The layouts of picolibc's versions, by an independent writer."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("picolibc's versions", why)
    for name, link, flag in (("1.8", 0, 0), ("1.8.7", 1, 0), ("2026", 1, 1)):
        r = firmware.Run("lm3s", "nano", name="-pico-" + name,
                         extra=[f"{hr.TOP}/tests/truth/prog/pico_heap.c", f"-DLINK={link}", f"-DFLAG={flag}", "-Dmalloc=own_malloc", "-Dfree=own_free",
                                "-Dmallinfo=own_mallinfo"])
        args = (r.image, "--elf", r.elf, "--regs", r.regs)
        head, got = blocks(*args)
        used = {a: b for a, b in got.items() if b["state"] == "used"}
        eq(sorted(used), sorted(r.alive), f"picolibc {name}: the blocks in use")
        eq(sum(b["size"] + 4 for b in got.values() if b["state"] == "free"), r.free, f"picolibc {name}: free bytes")
        eq({a: b["reach"] for a, b in used.items() if b["reach"].startswith("leaked")}, {a: REACH[k] for a, k in r.lost.items()}, f"picolibc {name}: the leaks")
        eq([n for n in head["notes"] if n["code"].startswith(("heap.", "roots."))], [], f"picolibc {name}: no complaint")
    data = bytearray(open(r.ram, "rb").read())
    first = sorted(a for a, b in got.items() if b["state"] == "free")[1]
    data[first - 4 - r.base] &= 0xfe
    open(hr.path("twice.bin"), "wb").write(data)
    head, _ = blocks(f"{hr.path('twice.bin')}@{r.base:#x}", "--elf", r.elf, "--regs", r.regs)
    ok(any(n["code"] == "heap.corrupt.free-list" and int(n["addr"], 16) == first - 4 for n in head["notes"]), "picolibc 2026: a chunk in use on a list is said", head["notes"])


def small_heaps():
    """Five allocators as an independent writer lays them out (the originals were compared by hand): by symbols, with leaks; and the
    same bytes without the ELF."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("small heaps", why)
    for kind, name in ((1, "umm_malloc"), (2, "lwIP"), (3, "ThreadX"), (4, "lwIP pools"), (5, "Zephyr slabs")):
        r = firmware.Run("lm3s", "nano", name=f"-small{kind}",
                         extra=[f"{hr.TOP}/tests/truth/prog/small_heaps.c", f"-DKIND={kind}", "-Dmalloc=own_malloc", "-Dfree=own_free", "-Dmallinfo=own_mallinfo"])
        args = (r.image, "--elf", r.elf, "--regs", r.regs)
        head, got = blocks(*args)
        used = {a: b for a, b in got.items() if b["state"] == "used"}
        eq({b["allocator"] for b in got.values()}, {name}, f"{name}: found, and nothing else")
        eq(sorted(used), sorted(r.alive), f"{name}: the blocks in use")
        ok(all(used[a]["size"] >= n for a, n in r.alive.items() if a in used), f"{name}: each has the bytes that were asked for")
        eq(sum(b["size"] for b in got.values() if b["state"] == "free"), r.free, f"{name}: free bytes")
        eq({a: b["reach"] for a, b in used.items() if b["reach"].startswith("leaked")}, {a: REACH[k] for a, k in r.lost.items()}, f"{name}: the leaks")
        eq([n for n in head["notes"] if n["code"].startswith(("heap.", "roots."))], [], f"{name}: no complaint")
        if kind != 4:  # its descriptors are in the program's flash
            _, bare = blocks(r.image, "--arch", "arm")
            eq({a: (b["size"], b["state"]) for a, b in bare.items()}, {a: (b["size"], b["state"]) for a, b in got.items()}, f"{name}: the same without the ELF")


def smashed(r):
    """An overrun that writes over the next block's link is said, at that block, and what lies behind is still read."""
    data = bytearray(open(r.ram, "rb").read())
    victim = sorted(r.alive)[40]
    data[victim - 8 - r.base:victim - r.base] = b"\xaa" * 8
    open(hr.path("smashed.bin"), "wb").write(data)
    head, got = blocks(f"{hr.path('smashed.bin')}@{r.base:#x}", "--elf", r.elf, "--regs", r.regs)
    ok(any(n["code"] == "heap.corrupt.size" and int(n["addr"], 16) == victim - 8 for n in head["notes"]), "smashed: said at the block", head["notes"])
    ok(victim not in got and sorted(r.alive)[39] in got, "smashed: nothing is claimed of it, and what is before it stands")


def tlsf():
    """A pool written word by word, without ELF or symbols: found by the shape of its control block."""
    base, null, w = 0x20000000, 0x20000100, 4
    ram = bytearray(0x4000)
    sizes = [24, 40, 12, 128, 60, 200, 16, 1000]
    states = [1, 0, 1, 1, 0, 1, 0, 1]  # 1: in use
    heads, used, free = {}, {}, {}

    def put(at, value):
        struct.pack_into("<I", ram, at - base, value)

    at, before = null + 116 + 24 * 32 * 4, 1
    for size, state in zip(sizes, states):
        put(at, size | (not state) | (not before) << 1)
        (used if state else free)[at + w] = size
        if not state:
            fl, sl = (0, size // 4) if size < 128 else (size.bit_length() - 7, size >> (size.bit_length() - 6) & 31)
            heads.setdefault((fl, sl), at - w)
            put(at + w, null), put(at + 2 * w, null)
            put(at + size, at - w)  # prev_phys of the next block
        at, before = at + w + size, state
    put(at, (not before) << 1)
    bits = [0] * 24
    for fl in range(24):
        for sl in range(32):
            put(null + 116 + (fl * 32 + sl) * 4, heads.get((fl, sl), null))
            bits[fl] |= ((fl, sl) in heads) << sl
        put(null + 20 + 4 * fl, bits[fl])
    put(null + 16, sum(bool(b) << i for i, b in enumerate(bits)))
    open(hr.path("tlsf.bin"), "wb").write(ram)
    head, got = blocks(f"{hr.path('tlsf.bin')}@{base:#x}")
    eq({a: b["size"] for a, b in got.items() if b["state"] == "used"}, used, "TLSF: the blocks in use, without symbols")
    eq({a: b["size"] for a, b in got.items() if b["state"] == "free"}, free, "TLSF: the free ones")
    eq({b["allocator"] for b in got.values()}, {"TLSF"}, "TLSF: named")
    put(sorted(used)[2] - 4, 0xfffffff0)
    open(hr.path("tlsf.bin"), "wb").write(ram)
    head, got = blocks(f"{hr.path('tlsf.bin')}@{base:#x}")
    ok(any(n["code"] == "heap.corrupt.size" and int(n["addr"], 16) == sorted(used)[2] - 4 for n in head["notes"]), "TLSF: a smashed size is said", head["notes"])
    every = sorted([*used, *free])
    gone = [a for a in every[every.index(sorted(used)[2]):] if a < min(f for f in free if f > sorted(used)[2])]
    eq(sorted(got), [a for a in every if a not in gone], "TLSF: nothing is claimed up to the next free block, which proves itself")


hr.main([lambda b=b: containers(*b) for b in BOXED] + [doubts, freertos, picolibc, small_heaps, tlsf] + [lambda b=b: one(*b) for b in BUILDS])
