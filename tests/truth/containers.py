"""The same RAM in every container that debuggers and crash handlers write, and whether heapray says the same of each.

ram: what has .ram (a file), .base and .regs (QEMU's text); keep: the stretches [(from, to)] that a container holds."""
import re, struct, subprocess

import hr

# what is asked of each container: text and JSON
ASKED = [[], ["--json"], ["check"], ["check", "--json"], ["top"], ["top", "--json"], ["tree"], ["tree", "--json"], ["blocks", "--ndjson"], ["map"], ["map", "--json"]]


def ihex(path, ram, keep):
    _objcopy("ihex", path, ram)


def srec(path, ram, keep):
    _objcopy("srec", path, ram)


def _objcopy(form, path, ram):
    subprocess.run(["objcopy", "-I", "binary", "-O", form, "--change-addresses", f"{ram.base:#x}", ram.ram, path], check=True)


def sparse_ihex(path, ram, keep):
    """Only the stretches that were in use, as a debugger's script saves them."""
    _srec_cat("-intel", path, ram, keep)


def sparse_srec(path, ram, keep):
    """srec_cat ends it by a count of records, without an end record."""
    _srec_cat("-motorola", path, ram, keep)


def _srec_cat(form, path, ram, keep):
    cut = [x for lo, hi in keep for x in (f"{lo:#x}", f"{hi:#x}")]
    subprocess.run(["srec_cat", ram.ram, "-binary", "-offset", f"{ram.base:#x}", "-crop", *cut, "-o", path, form], check=True)


def uf2(path, ram, keep):
    data = open(ram.ram, "rb").read()
    parts = [data[i:i + 256] for i in range(0, len(data), 256)]
    with open(path, "wb") as f:
        for i, part in enumerate(parts):
            head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0, ram.base + 256 * i, len(part), i, len(parts), 0)
            f.write(head + part.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30))


RISCV = ["ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(2, 12)), "t3", "t4", "t5", "t6"]


def riscv(ram):
    """32 or 64 for one of these machines, else 0."""
    return {"rv32": 32, "rv64": 64}.get(getattr(ram, "board", ""), 0)


def registers(ram):
    """R0 to R15 and the status word from QEMU's text; of a RISC-V x0 to x31 and pc."""
    text = open(ram.regs).read()
    if riscv(ram):
        return [0, *(int(re.search(rf"\b(?:x\d+/)?{n} +([0-9a-f]+)", text)[1], 16) for n in [*RISCV, "pc"])]
    return [int(re.search(rf"R{i:02}=([0-9a-f]+)", text)[1], 16) for i in range(16)] + [int(re.search(r"XPSR=([0-9a-f]+)", text)[1], 16)]


def zephyr_bytes(ram, keep):
    r, data = registers(ram), open(ram.ram, "rb").read()
    if riscv(ram):
        word = "<Q" if riscv(ram) == 64 else "<I"
        regs = struct.pack(f"<33{word[1]}", *r)
        out = b"ZE" + struct.pack("<HHBBI", 1, 4, riscv(ram).bit_length() - 1, 0, 0) + b"A" + struct.pack("<HH", 2 if word == "<I" else 3, len(regs)) + regs
        return out + b"".join(b"M" + struct.pack("<H2" + word[1], 1, lo, hi) + data[lo - ram.base:hi - ram.base] for lo, hi in keep)
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
    """As a Cortex-M0's: others add their fault status registers, which are no RAM."""
    r, data = registers(ram), open(ram.ram, "rb").read()
    out = b"cC\x03\x00" + struct.pack("<I", 0) + struct.pack("<20I", *r, r[13], 0, r[16])
    for lo, hi in keep:
        out += struct.pack("<II", lo, hi) + data[lo - ram.base:hi - ram.base]
    return out


def crash_catcher(path, ram, keep):
    open(path, "wb").write(crash_catcher_bytes(ram, keep))


def crash_catcher_hex(path, ram, keep):
    dump = crash_catcher_bytes(ram, keep).hex().upper()
    head, rest = dump[:8], dump[8:]
    open(path, "w").write("\r\n".join([head, *(rest[i:i + 32] for i in range(0, len(rest), 32))]) + "\r\n")


def elf_core(path, ram, keep):
    """As gdb and Linux write it: registers in a note, the stretches as segments."""
    r, data, wide = registers(ram), open(ram.ram, "rb").read(), riscv(ram) == 64
    regs = struct.pack("<32Q" if wide else "<32I", r[32], *r[1:32])
    status = bytes(32 if wide else 24) + struct.pack("<I", 1) + bytes(76 if wide else 44) + regs + bytes(8 if wide else 4)  # gdb's thread 1
    note = struct.pack("<3I", 5, len(status), 1) + b"CORE\0\0\0\0" + status
    head, each = (64, 56) if wide else (52, 32)
    off, loads, body = head + each * (len(keep) + 1), [], b""
    for kind, at, part in [(4, 0, note), *((1, lo, data[lo - ram.base:hi - ram.base]) for lo, hi in keep)]:
        loads.append(struct.pack("<2I6Q", kind, 6, off, at, at, len(part), len(part) * (kind == 1), 1) if wide else
                     struct.pack("<8I", kind, off, at, at, len(part), len(part) * (kind == 1), 6, 1))
        off += len(part)
        body += part
    with open(path, "wb") as f:
        f.write(b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9) + struct.pack("<HHI3QI6H" if wide else "<HHI3II6H", 4, 243, 1, 0, head, 0, 0, head, each, len(loads), 0, 0, 0))
        f.write(b"".join(loads) + body)


WHOLE = [("full.hex", ihex), ("full.srec", srec), ("full.uf2", uf2)]
EITHER = [("sparse.hex", sparse_ihex), ("sparse.srec", sparse_srec), ("zephyr.bin", zephyr), ("zephyr.log", zephyr_log), ("crash.bin", crash_catcher),
          ("crash.txt", crash_catcher_hex)]


def says(image, *args, asked=ASKED):
    """What is answered, with the image's name and format left out, all that may differ. Errors too."""
    name, out = image.rsplit("/", 1)[-1], []
    for verb in asked:
        r = hr.heapray(*verb, image, *args)
        form = re.search(r'"format": ?"([^"]+)"', hr.heapray("info", "--json", image, *args).out)[1] if verb == asked[0] else form
        text = (r.out + r.err).replace(image, "IMAGE").replace(name, "IMAGE")
        text = re.sub(r"(heapray [^\n\"]*?IMAGE[^\n\"]*?)((?: --(?:with|regs) [^\s\"\]]+)+)", r"\1", text) # the next command repeats how the image was given
        text = re.sub(r'("format": ?)"' + form + '"', r'\1"FORMAT"', text)
        text = re.sub(rf"^IMAGE: {form}, ", "IMAGE: FORMAT, ", text, flags=re.M)
        out.append((" ".join(verb) or "overview", r.rc, text))
    return out


def same(got, want, name):
    """Byte for byte."""
    import difflib
    for g, w in zip(got, want):
        if g != w:
            return hr.ok(False, f"{name}: {g[0]} says the same", f"exit {g[1]}, {w[1]}", *list(difflib.unified_diff(w[2].splitlines(), g[2].splitlines(), lineterm="", n=0))[:30])
    return hr.ok(len(got) == len(want), f"{name}: {len(want)} answers are the same, byte for byte")


def in_use(path, ram, keep):
    """The stretches as plain files: the reference for containers that hold no more. (image, more arguments)"""
    data, images = open(ram.ram, "rb").read(), []
    for i, (lo, hi) in enumerate(keep):
        open(f"{path}{i}", "wb").write(data[lo - ram.base:hi - ram.base])
        images.append(f"{path}{i}@{lo:#x}")
    return images[0], [x for i in images[1:] for x in ("--with", i)]


def agree(name, ram, keep, args, asked=ASKED, also=()):
    """Every container of the whole RAM against the plain file, every container of the stretches `keep` against plain files of them.
    args: for all of them; registers are given where a container has none. Returns what is said of the whole RAM."""
    regs, top = ["--regs", ram.regs], ram.base + ram.size
    want = says(f"{ram.ram}@{ram.base:#x}", *args, *regs, asked=asked)
    part, more = in_use(hr.path("part"), ram, keep)
    less = says(part, *more, *args, *regs, asked=asked)
    for kind, stretches, reference in (("whole", [(ram.base, top)], want), ("in use", keep, less)):
        either = [*(x for x in EITHER if "crash" not in x[0]), ("elf.core", elf_core)] if riscv(ram) else EITHER  # CrashCatcher is for Cortex-M
        for file, write in (*WHOLE, *either) if kind == "whole" else either:
            write(hr.path(file), ram, stretches)
            own = file.startswith(("zephyr", "crash", "elf"))
            same(says(hr.path(file), *args, *([] if own else regs), asked=asked), reference, f"{name}, {kind}, {file}")
    return want
