#!/usr/bin/env python3
"""Damaged images of MicroPython: the memory of a real micro:bit, changed in one known way each. Expected: the fault by its name, at its
address; all objects it does not touch still there with their right types and lengths; nothing else called damaged.

Where things lie comes from the board: id() of objects, mem_info(1) for the pool, and the words of the memory itself."""
import os, re, shutil, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mp"))
import hr
import test_micropython as tm
from scenarios import COMMON, SCENARIOS

BASE = 0x20000000


class Ram:
    def __init__(self, data):
        self.b = bytearray(data)

    def word(self, at):
        return struct.unpack_from("<I", self.b, at - BASE)[0]

    def put(self, at, value):
        struct.pack_into("<I", self.b, at - BASE, value & 0xffffffff)

    def kind(self, table, block, value):
        at = table - BASE + block // 4
        self.b[at] = self.b[at] & ~(3 << 2 * (block % 4)) | value << 2 * (block % 4)


def hex_image(path):
    """An Intel HEX file as {address: bytes}."""
    out, high, at = {}, 0, None
    for line in open(path):
        b = bytes.fromhex(line.strip()[1:])
        n, low, kind = b[0], b[1] << 8 | b[2], b[3]
        if kind == 4:
            high = (b[4] << 8 | b[5]) << 16
        elif kind == 0:
            if at is None or high + low != at + len(out[at]):
                at = high + low
                out[at] = bytearray()
            out[at] += b[4:4 + n]
    return out


def other_build():
    """The same firmware linked elsewhere: all of it 0x400 higher, its own addresses too."""
    parts = {a: b for a, b in hex_image(tm.FIRMWARE).items() if a < 0x100000}
    lo, hi = min(parts), max(a + len(b) for a, b in parts.items())
    flash = bytearray(b"\xff" * (hi - lo))
    for a, b in parts.items():
        flash[a - lo:a - lo + len(b)] = b
    for off in range(0, len(flash) - 3, 4):
        w = struct.unpack_from("<I", flash, off)[0]
        if lo + 0x1000 <= w < hi:
            struct.pack_into("<I", flash, off, w + 0x400)
    path = hr.path("other.bin")
    with open(path, "wb") as f:
        f.write(flash)
    return f"{path}@{lo + 0x400:#x}"


def damages(ram, pool, table, desc, obj, cells):
    """(name, change, code, address, objects that it touches)"""
    lst, items, dct, tup, text = obj["list"], ram.word(obj["list"] + 12), obj["dict"], obj["tuple"], obj["str"]
    free = next(i for i in range(20, len(cells) - 2) if cells[i:i + 2] == "..")
    heads = [i for i, c in enumerate(cells) if c not in ".="]
    gap = pool + 16 * (free + 1)
    yield "nothing", lambda r: None, None, None, []
    yield "TAIL behind FREE", lambda r: r.kind(table, free + 1, 2), "tail", gap, []
    yield "first word no type", lambda r: r.put(obj["Child"], 0xdeadbeec), "type", obj["Child"], [obj["Child"]]
    yield "first word is code", lambda r: r.put(obj["Child"], 0x1001), "type", obj["Child"], [obj["Child"]]
    yield "list longer than allocated", lambda r: r.put(lst + 8, 1000), "length", lst, [lst]
    yield "list allocated beyond its items", lambda r: r.put(lst + 4, 4000), "length", lst + 12, [lst]
    yield "items in the middle of an allocation", lambda r: r.put(lst + 12, items + 16), "pointer", lst + 12, [lst]
    yield "items in free blocks", lambda r: r.put(lst + 12, gap), "pointer", lst + 12, [lst]
    yield "item in free blocks", lambda r: r.put(items + 4, gap), "pointer", items + 4, [lst]
    yield "no such interned string", lambda r: r.put(items + 12, 0x3ff0 << 3 | 6), "qstr", items + 12, [lst]
    yield "dict with more entries than places", lambda r: r.put(dct + 4, 4000 << 3), "length", dct + 4, [dct]
    yield "table of a dict no allocation", lambda r: r.put(dct + 12, ram.word(dct + 12) + 16), "pointer", dct + 12, [dct]
    yield "dict with a huge table", lambda r: r.put(dct + 8, 0x7fffffff), "length", dct + 12, [dct]
    yield "tuple longer than its allocation", lambda r: r.put(tup + 4, 0x40000001), "length", tup, [tup]
    yield "text longer than its allocation", lambda r: r.put(text + 8, 100000), "length", text, [text]
    yield "end of the pool", lambda r: r.put(desc + 12, 0x41414141), "area", desc + 12, []
    yield "start of the pool", lambda r: r.put(desc + 8, 0), "area", desc + 8, []
    yield "length of the table", lambda r: r.put(desc + 4, 0xffffffff), "area", desc + 4, []

    def marks(r):
        for i in heads[3:9]:
            r.kind(table, i, 3)
    yield "dump taken inside the collector", marks, "heap.collecting", pool + 16 * heads[3], []

    def cut(at):
        def do(r):
            del r.b[at - BASE:]
        return do
    length = ram.word(desc + 4)
    yield "allocation table cut", cut(table + length // 2), "heap.not_captured", table, None
    yield "memory cut short in the pool", cut(pool + 16 * 300), "core.truncated", pool + 16 * 300, None
    yield "memory cut short before the table", cut(table - 4), "heap.not_captured", table, None


def board():
    if not shutil.which("qemu-system-arm") or not os.path.exists(tm.FIRMWARE):
        return hr.skip("damaged images", "qemu-system-arm or firmware-microbit-micropython is not installed")
    b = tm.Board("damage")
    b.send((COMMON + SCENARIOS["kinds"] + 'micropython.mem_info(1)\nprint("@DONE")\nwhile True: pass\n').encode() + b"\x04")
    said = b.until(b"@DONE")
    image = b.save("ram.bin")
    b.close()
    told = [(int(a), t, None if n == "None" else int(n)) for a, t, n in re.findall(r"^(?:OK)?@OBJ (\d+) (\S+) (\S+)", said, re.M)]
    obj = {}
    for a, t, _ in told:
        obj.setdefault(t, a)
    want = tm.truth_of(said)
    with open(image, "rb") as f:
        ram = Ram(f.read())
    pool, end = want["pool"], want["pool"] + want["total"]
    desc = next(BASE + o - 8 for o in range(8, len(ram.b) - 8, 4) if struct.unpack_from("<III", ram.b, o - 4) == (want["total"] // 64, pool, end))
    table = ram.word(desc)
    for name, change, code, addr, touched in damages(ram, pool, table, desc, obj, want["map"]):
        r = Ram(bytes(ram.b))
        change(r)
        path = hr.path("bad.bin")
        with open(path, "wb") as f:
            f.write(r.b)
        args = (f"{path}@{BASE:#x}", "--with", tm.FIRMWARE, "--regs", image + ".regs")
        run = hr.heapray("mp", "info", *args, "--json")
        hr.ok(run.rc in (0, 4), f"{name}: answered", run)
        info = run.json()
        notes = info["notes"]
        corrupt = [(n["code"], n.get("addr")) for n in notes if n["code"].startswith("heap.corrupt")]
        if code is None:
            hr.eq(corrupt, [], f"{name}: nothing is called damaged")
        elif "." in code:
            hr.ok((code, hex(addr)) in [(n["code"], n.get("addr")) for n in notes], f"{name}: {code} at {addr:#x}", notes)
            hr.eq(corrupt, [], f"{name}: nothing is called damaged")
        else:
            hr.eq(corrupt, [("heap.corrupt.micropython_" + code, hex(addr))], f"{name}: {code} at {addr:#x}, and nothing else", notes)
        if touched is not None:
            seen = {int(o["addr"], 16): (o["type"].split(".")[-1], o["len"]) for o in tm.ask("objects", *args)["objects"]}
            wrong = {hex(a): (t, n, seen.get(a)) for a, t, n in told if a not in touched and seen.get(a) != (t, n)}
            hr.eq(wrong, {}, f"{name}: all objects that it does not touch are right")
        if code and "." not in code:
            check = hr.heapray("check", *args, "--json")
            hr.ok(check.rc not in (0, 2, 3) and any(hex(addr) in str(f) and "corrupt" in f["rule"] for f in check.json()["findings"]),
                  f"{name}: a finding at its address", check)
        for verb in (("mp", "gc"), ("tree",), ("blocks",)):
            run = hr.heapray(*verb, *args)
            hr.ok(run.rc in (0, 1, 3, 4), f"{name}: {' '.join(verb)} answers", run)
    foreign(image, told)


def foreign(image, told):
    args = (f"{image}@{BASE:#x}", "--with", other_build())
    info = tm.ask("mp info", *args)
    hr.ok(any(n["code"] == "mp.other_firmware" for n in info["notes"]), "firmware of another build: said", info["notes"])
    hr.eq([n["code"] for n in info["notes"] if n["code"].startswith("heap.corrupt")], [], "firmware of another build: nothing is called damaged")
    hr.eq(tm.ask("objects", *args)["objects"], [], "firmware of another build: no object is named by its types")


hr.main([board])
