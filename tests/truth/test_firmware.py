#!/usr/bin/env python3
"""C heaps of microcontrollers: the sample firmware under QEMU says what it allocated, freed and lost, and what mallinfo() says.
heapray has RAM, registers and ELF, and must say the same."""
import re, shutil, struct, subprocess

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


def ihex(path, ram, keep):
    subprocess.run(["objcopy", "-I", "binary", "-O", "ihex", "--change-addresses", f"{ram.base:#x}", ram.ram, path], check=True)


def srec(path, ram, keep):
    subprocess.run(["objcopy", "-I", "binary", "-O", "srec", "--change-addresses", f"{ram.base:#x}", ram.ram, path], check=True)


def sparse_ihex(path, ram, keep):
    """Only the stretches that were in use, as a debugger's script saves them."""
    cut = [x for lo, hi in keep for x in (f"{lo:#x}", f"{hi:#x}")]
    subprocess.run(["srec_cat", ram.ram, "-binary", "-offset", f"{ram.base:#x}", "-crop", *cut, "-o", path, "-intel"], check=True)


def sparse_srec(path, ram, keep):
    cut = [x for lo, hi in keep for x in (f"{lo:#x}", f"{hi:#x}")]
    subprocess.run(["srec_cat", ram.ram, "-binary", "-offset", f"{ram.base:#x}", "-crop", *cut, "-o", path, "-motorola"], check=True)


def uf2(path, ram, keep):
    data = open(ram.ram, "rb").read()
    parts = [data[i:i + 256] for i in range(0, len(data), 256)]
    with open(path, "wb") as f:
        for i, part in enumerate(parts):
            head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0, ram.base + 256 * i, len(part), i, len(parts), 0)
            f.write(head + part.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30))


def registers(ram):
    """R0 to R15 and the status word from QEMU's text."""
    text = open(ram.regs).read()
    return [int(re.search(rf"R{i:02}=([0-9a-f]+)", text)[1], 16) for i in range(16)] + [int(re.search(r"XPSR=([0-9a-f]+)", text)[1], 16)]


def zephyr_bytes(ram, keep):
    r, data = registers(ram), open(ram.ram, "rb").read()
    regs = struct.pack("<17I", *r[0:4], r[12], r[14], r[15], r[16], r[13], *r[4:12])
    out = b"ZE" + struct.pack("<HHBBI", 1, 3, 5, 0, 0) + b"A" + struct.pack("<HH", 2, len(regs)) + regs
    for lo, hi in keep:
        out += b"M" + struct.pack("<HII", 1, lo, hi) + data[lo - ram.base:hi - ram.base]
    return out


def zephyr(path, ram, keep):
    open(path, "wb").write(zephyr_bytes(ram, keep))


def zephyr_log(path, ram, keep):
    dump = zephyr_bytes(ram, keep).hex()
    with open(path, "w") as f:
        f.write("*** Booting Zephyr OS ***\n[00:00:00.250,000] <err> coredump: #CD:BEGIN#\n")
        for i in range(0, len(dump), 128):
            f.write(f"[00:00:00.250,000] <err> coredump: #CD:{dump[i:i + 128]}\n")
        f.write("[00:00:00.250,000] <err> coredump: #CD:END#\n")


def crash_catcher_bytes(ram, keep):
    r, data = registers(ram), open(ram.ram, "rb").read()
    out = b"cC\x03\x00" + struct.pack("<I", 0) + struct.pack("<20I", *r, r[13], 0, r[16])
    for lo, hi in keep:
        out += struct.pack("<II", lo, hi) + data[lo - ram.base:hi - ram.base]
    return out + struct.pack("<II", 0xe000ed28, 0xe000ed3c) + bytes(20)


def crash_catcher(path, ram, keep):
    open(path, "wb").write(crash_catcher_bytes(ram, keep))


def crash_catcher_hex(path, ram, keep):
    dump = crash_catcher_bytes(ram, keep).hex().upper()
    head, rest = dump[:8], dump[8:]
    open(path, "w").write("\r\n".join([head, *(rest[i:i + 32] for i in range(0, len(rest), 32))]) + "\r\n")


def containers():
    """The same RAM in every container gives the same blocks and the same findings."""
    why = firmware.missing("lm3s", "nano") or next((f"no {t}" for t in ("objcopy", "srec_cat") if not shutil.which(t)), None)
    if why:
        return skip("containers", why)
    r = firmware.run("lm3s", "nano")
    sp, top = registers(r)[13], r.base + r.size
    heap_end = (max(a + n for a, n in r.alive.items()) + 1024) & ~255
    keep = [(r.base, heap_end), (sp & ~63, top)]
    regs = ["--regs", r.regs]

    def answers(image, *more):
        _, rows = hr.heapray("blocks", "--ndjson", image, "--elf", r.elf, *more).ndjson()
        found = hr.heapray("check", "--json", image, "--elf", r.elf, *more).json()["findings"]
        for f in found:
            f.pop("fingerprint", None)
        return list(rows), [f["title"] for f in found]

    want = answers(r.image, *regs)
    eq(sum((b["reach"] or "").startswith("leaked") for b in want[0]), len(r.lost), "raw: as many leaks as were lost")
    for name, write in CONTAINERS:
        write(hr.path(name), r, keep)
        got = answers(hr.path(name), *([] if name.startswith(("zephyr", "crash")) else regs))
        eq(got, want, f"{name}: the same blocks and findings as the raw image")
    eq(answers(r.core), want, "QEMU's ELF core: the same, with its own registers")
    eq(answers(r.image, *regs, "--with", flash(r)), want, "with the flash: the same")


def flash(r):
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", r.elf, hr.path("flash.bin")], check=True)
    return hr.path("flash.bin") + "@0"


CONTAINERS = [("full.hex", ihex), ("full.srec", srec), ("sparse.hex", sparse_ihex), ("sparse.srec", sparse_srec), ("full.uf2", uf2),
              ("zephyr.bin", zephyr), ("zephyr.log", zephyr_log), ("crash.bin", crash_catcher), ("crash.txt", crash_catcher_hex)]


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
    eq(sorted(a for a in got), sorted([*used, *free])[:sorted([*used, *free]).index(sorted(used)[2])], "TLSF: nothing is claimed past it")


hr.main([containers, doubts, freertos, picolibc, small_heaps, tlsf] + [lambda b=b: one(*b) for b in BUILDS])
