#!/usr/bin/env python3
"""Core dumps as ESP-IDF writes them, made here from the RAM and registers of the sample firmware on a RISC-V: the flash image, the
console's base64, the ELF alone; with every checksum; block by block; and what is said of damaged ones."""
import base64, hashlib, re, struct, zlib

import firmware
import hr
from hr import eq, ok, skip

RISCV, XTENSA, CHIP = 243, 94, {243: 5, 94: 0}
NAMES = ["pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(2, 12)), "t3", "t4", "t5", "t6"]
REACH = {"direct": "leaked_direct", "indirect": "leaked_indirect", "cycle": "leaked_cycle"}


def registers(run):
    """pc, x1 to x31 from QEMU's text."""
    text = open(run.regs).read()
    return [int(re.search(rf"\b(?:x\d+/)?{n} +([0-9a-f]+)", text)[1], 16) for n in NAMES]


def note(name, kind, desc):
    name = name.encode() + b"\0"
    return struct.pack("<3I", len(name), len(desc), kind) + name.ljust(-(-len(name) // 4) * 4, b"\0") + desc.ljust(-(-len(desc) // 4) * 4, b"\0")


def prstatus(task, regs, machine=RISCV):
    if machine == RISCV:
        body = struct.pack("<32I", *regs)
    else:  # pc, ps, lbeg, lend, lcount, sar, windowstart, windowbase, 56 spare, 64 address registers
        body = struct.pack("<128I", regs[0], *[0] * 7, *[0] * 56, *regs[1:17], *[0] * 48)
    return note("CORE", 1, bytes(24) + struct.pack("<I", task) + bytes(44) + body + bytes(4))


def elf(loads, tasks, failed, machine=RISCV, sha="", panic=""):
    """loads: (address, bytes); tasks: (address of the TCB, registers)."""
    notes = b"".join(prstatus(t, r, machine) for t, r in tasks)
    extra = struct.pack("<I", failed) + (struct.pack("<IIIII", 232, 28, 238, 0xdead0, 0) if machine == XTENSA else bytes(4))
    more = note("ESP_CORE_DUMP_INFO", 0x204a, struct.pack("<I", 0x104) + (sha or "0123456789abcdef").encode().ljust(20, b"\0")) + note("ESP_EXTRA_INFO", 0x2a5, extra)
    if panic:
        more += note("ESP_PANIC_DETAILS", 0x2a7, panic.encode())
    heads = [(4, 0, notes)] + [(1, a, b) for a, b in loads] + [(4, 0, more)]
    off = 52 + 32 * len(heads)
    out = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 4, machine, 1, 0, 52, 0, 0, 52, 32, len(heads), 40, 0, 0)
    for kind, addr, data in heads:
        out += struct.pack("<8I", kind, off, addr, addr, len(data), len(data), 6, 0)
        off += len(data)
    return out + b"".join(d for _, _, d in heads)


def flash(body, version, machine=RISCV):
    head = {0x100: 20, 0x101: 20, 0x102: 24, 0x103: 24, 0x104: 12}[version]
    trail = 4 if version in (0x100, 0x102) else 32
    words = [head + len(body) + trail, CHIP[machine] << 16 | version, *([3, 340, 9, 101] if head == 24 else [3, 340, 9] if head == 20 else [101])]
    out = struct.pack(f"<{len(words)}I", *words) + body
    return out + (struct.pack("<I", zlib.crc32(out)) if trail == 4 else hashlib.sha256(out).digest())


def console(dump, markers=True, prefix=""):
    lines, at = [], 0
    for size in [12 if dump[12:16] == b"\x7fELF" else 24, *[48] * (len(dump) // 48 + 1)]:  # the header is written for itself
        if dump[at:at + size]:
            lines.append(prefix + base64.b64encode(dump[at:at + size]).decode())
        at += size
    if markers:
        lines = ["I (2345) esp_core_dump_uart: Print core dump to uart...", "================= CORE DUMP START =================", *lines,
                 "================= CORE DUMP END =================", "Rebooting..."]
    return "\r\n".join(lines) + "\r\n"


def write(name, data):
    with open(hr.path(name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return hr.path(name)


def answers(image, *args):
    head, rows = hr.heapray("blocks", "--ndjson", image, *args).ndjson()
    found = hr.heapray("check", "--json", image, *args).json()["findings"]
    for f in found:
        f.pop("fingerprint", None)
    return list(rows), [f["title"] for f in found]


def same_ram():
    """The whole RAM in every form gives what the raw image gives."""
    why = firmware.missing("rv32", "pico")
    if why:
        return skip("ESP-IDF's containers", why)
    r = firmware.run("rv32", "pico")
    regs, ram = registers(r), open(r.ram, "rb").read()
    want = answers(r.image, "--elf", r.elf, "--regs", r.regs)
    sha = hashlib.sha256(open(r.elf, "rb").read()).hexdigest()[:16]
    body = elf([(r.base, ram)], [(r.base + 0x100, regs)], r.base + 0x100, sha=sha)
    eq(answers(write("esp.elf", body), "--elf", r.elf), want, "the ELF alone: the same blocks and findings as the raw image")
    for version in (0x100, 0x101, 0x102, 0x103, 0x104):
        dump = flash(body, version)
        eq(answers(write("esp.bin", dump), "--elf", r.elf), want, f"flash image, version {version:#x}")
        notes = hr.heapray("info", "--json", hr.path("esp.bin")).json()["notes"]
        ok(not any(n["code"] == "core.checksum" for n in notes), f"flash image, version {version:#x}: its checksum fits", notes)
        eq(answers(write("esp.log", console(dump)), "--elf", r.elf), want, f"console, version {version:#x}")
    eq(answers(write("esp.b64", console(dump, markers=False)), "--elf", r.elf), want, "base64 without markers")
    eq(answers(write("esp.log", console(dump, prefix="[12:00:01.002] ")), "--elf", r.elf), want, "base64 behind a logger's prefix")
    eq(answers(write("esp.bin", dump + b"\xff" * 4096), "--elf", r.elf), want, "a partition that is larger than the dump")

    def codes(data, *args):
        return [n["code"] for n in hr.heapray("info", "--json", write("bad.bin", data), *args).json()["notes"]]

    hurt = bytearray(dump)
    hurt[len(hurt) // 2] ^= 1
    ok("core.checksum" in codes(bytes(hurt)), "a byte changed: the checksum says so")
    ok("core.truncated" in codes(dump[:-5000]), "cut short: said")
    log = console(dump)
    ok("core.truncated" in codes(log[:len(log) // 2]), "a log that ends before the dump: said")
    ok("esp.bad_line" in codes(log.replace(log.splitlines()[40], "W (99) wifi: something else!")), "a foreign line in the dump: said")
    other = elf([(r.base, ram)], [(r.base + 0x100, regs)], r.base + 0x100, sha="feedfacefeedface")
    ok("core.module_mismatch" in codes(other, "--elf", r.elf), "a program of another hash is not used")


def blocks_only():
    """CONFIG_ESP_COREDUMP_CAPTURE_DRAM: one segment for each block in use, TCBs and stacks for themselves; three tasks."""
    why = firmware.missing("rv32", "pico")
    if why:
        return skip("ESP-IDF's dump of used blocks", why)
    heap = 0x80104000
    r = firmware.Run("rv32", "pico", name="-esp", extra=[f"{hr.TOP}/tests/truth/prog/plain_heap.c", f"-DARENA={heap:#x}", "-Dmalloc=own_malloc", "-Dfree=own_free", "-Dmallinfo=own_mallinfo"])
    ram, regs, heap_end = open(r.ram, "rb").read(), registers(r), heap + 20000

    def at(lo, hi):
        return ram[lo - r.base:hi - r.base]

    tcb = heap_end - 2000
    stacks = [heap_end - 1600, heap_end - 1000]
    idle = [[0x80000000, 0, s + 100, *[0] * 29] for s in stacks]  # two tasks that hold nothing
    tasks = [(tcb, regs), (tcb + 100, idle[0]), (tcb + 200, idle[1])]
    kernel = {t: 96 for t, _ in tasks} | {s: 480 for s in stacks}  # their TCBs and stacks are blocks, too
    blocks = {**r.alive, **kernel}
    loads = [(t, bytes(88)) for t, _ in tasks]                     # TCBs are saved for themselves first
    loads += [(r.base, at(r.base, heap)), (regs[2] & ~63, at(regs[2] & ~63, r.base + r.size))]
    loads += [(r.base + 0x20000, struct.pack("<9I", 0x1804, 2, 8, heap, heap_end, 0xb33fffff, 0, heap, 0))]
    loads += [(a, (at(a, a + n) if a in r.alive else bytes(n)).ljust(-(-n // 4) * 4, b"\0")) for a, n in blocks.items()]
    sha = hashlib.sha256(open(r.elf, "rb").read()).hexdigest()[:9]
    image = write("parts.bin", flash(elf(loads, tasks, tcb + 100, sha=sha, panic="assert failed: weather"), 0x104))
    head, rows = hr.heapray("blocks", "--ndjson", image, "--elf", r.elf).ndjson()
    got = {int(b["addr"], 16): b for b in rows}
    eq({a: b["size"] for a, b in got.items()}, {a: -(-n // 4) * 4 for a, n in blocks.items()}, "the blocks are the segments of the dump that lie in a registered heap")
    lost = {a: REACH[k] for a, k in r.lost.items()}
    eq({a: b["reach"] for a, b in got.items() if a in r.alive and (b["reach"] or "").startswith("leaked")}, lost, "what was lost is leaked, and nothing else of the program's")
    threads = hr.heapray("threads", "--json", image, "--elf", r.elf).json()["threads"]
    eq([t["tid"] for t in threads], [tcb + 100, tcb, tcb + 200], "the task that failed is the first thread")
    info = hr.heapray("info", "--json", image, "--elf", r.elf).json()
    name = info["allocators"][0]["arenas"][0]["name"]
    ok("8BIT" in name and "INTERNAL" in name, "capabilities are named", name)
    codes = {n["code"] for n in head["notes"]}
    ok({"heap.used_only", "esp.panic"} <= codes, "that free blocks are not in the dump is said, and the panic's text", codes)


def xtensa():
    """Registers out of the window: a1 is the stack pointer; the failed task goes first; the address it could not read."""
    stack = struct.pack("<64I", *range(64))
    regs = [0x400d1234, 0x800d5678, 0x3ffb1010, *range(100, 114), *[0] * 15]
    image = write("xt.bin", flash(elf([(0x3ffb1000, stack), (0x3ffb8000, bytes(340))], [(0x3ffb8000, regs), (0x3ffb9000, regs)], 0x3ffb9000, machine=XTENSA), 0x103, XTENSA))
    info = hr.heapray("info", "--json", image).json()
    eq((info["image"]["arch"], info["image"]["format"], info["image"]["word_bits"]), ("xtensa", "esp-core", 32), "Xtensa: named")
    threads = hr.heapray("threads", "--json", image).json()["threads"]
    eq([(t["tid"], int(t["frames"][0]["pc"], 16)) for t in threads], [(0x3ffb9000, 0x400d1234), (0x3ffb8000, 0x400d1234)], "Xtensa: registers, order")
    notes = hr.heapray("blocks", "--ndjson", image).ndjson()[0]["notes"]
    ok(not any(n["code"] == "roots.no_stack" for n in notes), "Xtensa: a1 is the stack pointer", notes)


def binary():
    """The form of IDF 3.x to 5.0 without an ELF inside."""
    for version, extra in ((1, b""), (2, struct.pack("<I", 0))):
        out = b""
        for i in range(3):
            out += struct.pack("<3I", 0x3ffb8000 + 400 * i, 0x3ffb1000 + 1024 * i + 96 * i, 0x3ffb1400 + 1024 * i) + bytes([i]) * 360 + bytes(1024 - 96 * i)
        out = struct.pack("<4I", 16 + len(extra) + len(out) + 4, version, 3, 360) + extra + out
        out += struct.pack("<I", zlib.crc32(out))
        for name, data in (("old.bin", out), ("old.log", console(out))):
            info = hr.heapray("info", "--json", write(name, data)).json()
            eq((info["image"]["format"], info["image"]["arch"]), ("esp-core", "xtensa"), f"binary dump {version}, {name}: read")
            threads = hr.heapray("threads", "--json", hr.path(name)).json()["threads"]
            eq([t["tid"] for t in threads], [0x3ffb8000 + 400 * i for i in range(3)], f"binary dump {version}, {name}: tasks")
            notes = hr.heapray("blocks", "--ndjson", hr.path(name)).ndjson()[0]["notes"]
            ok(not any(n["code"] == "roots.no_stack" for n in notes), f"binary dump {version}, {name}: their stacks", notes)
            ok(not any(n["code"] == "core.checksum" for n in info["notes"]), f"binary dump {version}, {name}: checksum")


hr.main([same_ram, blocks_only, xtensa, binary])
