#!/usr/bin/env python3
"""Raw memory that does not say where it was, nor of what machine: the sample firmware's RAM without its address gives the answers that it gives
with it; and what is no memory is not taken for some."""
import os, re, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import firmware
import hr

BUILDS = [("lm3s", "nano"), ("stm32vl", "nano"), ("mps2", "newlib"), ("microbit", "nano"), ("netduino", "newlib"), ("rv32", "pico"), ("rv64", "pico")]
ARCHS = {"rv32": ("riscv32", 32), "rv64": ("riscv64", 64)}


def write(name, data):
    with open(hr.path(name), "wb") as f:
        f.write(data)
    return hr.path(name)


def guessed(image, *args):
    r = hr.heapray("info", image, *args, "--json")
    if r.rc not in (0, 4):
        return {}, None
    doc = r.json()
    says = [n["text"] for n in doc["notes"] if n["code"] == "raw.base_guessed"]
    at = re.search(r"taken to lie at (0x[0-9a-f]+)", says[0]) if says else None
    return doc["image"], int(at.group(1), 16) if at else None


def builds():
    for board, libc in BUILDS:
        lacks = firmware.missing(board, libc)
        if lacks:
            hr.skip(f"{board}-{libc}", lacks)
            continue
        r = firmware.run(board, libc)
        arch, bits = ARCHS.get(board, ("arm", 32))
        image, at = guessed(r.ram)
        hr.eq((image["arch"], image["word_bits"], image["endian"], at), (arch, bits, "little", r.base), f"{r.name}: processor and place, from RAM alone")
        want, got = (list(hr.heapray("blocks", i, "--elf", r.elf, "--regs", r.regs, "--ndjson").ndjson()[1]) for i in (r.image, r.ram))
        hr.ok(want == got and len(got) > 20, f"{r.name}: the same {len(want)} blocks without the address", len(got))
        data = open(r.ram, "rb").read()
        cut = write(f"{r.name}.upper", data[0x400:])
        hr.ok(guessed(cut)[1] in (None, r.base + 0x400), f"{r.name}: without its first KiB it is at the right place or none", guessed(cut)[1])
        if board == "lm3s":
            swapped = write("swapped.bin", b"".join(data[i:i + 4][::-1] for i in range(0, len(data), 4)))
            image, at = guessed(swapped)
            hr.eq((image["endian"], at), ("big", r.base), "the same with the bytes of each word turned: big-endian")
            hr.eq(guessed(swapped, "--endian", "big")[0]["endian"], "big", "--endian big")
            hr.eq(hr.heapray("info", r.image, "--endian", "middle").rc, 2, "--endian takes little or big")
            flash = hr.path("flash.bin")
            subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", r.elf, flash], check=True)
            image, at = guessed(flash)
            hr.eq((image["arch"], at), ("arm", 0), "code alone: by what compilers write at the ends of functions", image)


def refused():
    import random
    noise = random.Random(5).randbytes(100000)
    for name, data in ("noise", noise), ("zeros", bytes(50000)), ("ones", b"\xff" * 50000), ("counter", b"".join(i.to_bytes(4, "little") for i in range(9000))):
        r = hr.heapray(write(name, data))
        hr.ok(r.rc == 3 and "no memory image" in r.err, f"{name}: no memory", r)
    r = hr.heapray(write("text", b"0x20000000 0x20000004\n" * 900))
    hr.ok(r.rc == 3 and "text file" in r.err, "a text full of addresses: a text", r)


hr.main([builds, refused])
