"""Cores of other processors: qemu-user's, made into what a kernel would have written."""
import struct

# machine as qemu names it, cross compiler's prefix
FOREIGN = [("aarch64", "aarch64-linux-gnu"), ("arm", "arm-linux-gnueabihf"), ("ppc64", "powerpc64-linux-gnu")]


def elf_layout(b):
    word, e = (8 if b[4] == 2 else 4), ("<" if b[5] == 1 else ">")
    if word == 8:
        at, = struct.unpack_from(e + "Q", b, 32)
        size, n = struct.unpack_from(e + "HH", b, 54)
        rows = [struct.unpack_from(e + "IIQQQQQQ", b, at + i * size) for i in range(n)]
        return word, e, [(at + i * size, r[0], r[2], r[3], r[5]) for i, r in enumerate(rows)]
    at, = struct.unpack_from(e + "I", b, 28)
    size, n = struct.unpack_from(e + "HH", b, 42)
    rows = [struct.unpack_from(e + "IIIIIIII", b, at + i * size) for i in range(n)]
    return word, e, [(at + i * size, r[0], r[1], r[2], r[4]) for i, r in enumerate(rows)]


def as_the_kernel(core, exe):
    """qemu's cores lack NT_FILE and the first page of the program, which the kernel's have: adds them."""
    d, x = bytearray(open(core, "rb").read()), open(exe, "rb").read()
    word, e, heads = elf_layout(d)
    w = "Q" if word == 8 else "I"
    loads = [(va & ~4095, (va + size + 4095) & ~4095, off // 4096) for _, kind, off, va, size in elf_layout(x)[2] if kind == 1]
    desc = struct.pack(e + w * 2, len(loads), 4096) + b"".join(struct.pack(e + w * 3, *r) for r in loads)
    desc += (exe.encode() + b"\0") * len(loads)
    note = struct.pack(e + "III", 5, len(desc), 0x46494c45) + b"CORE\0\0\0\0" + desc + b"\0" * (-len(desc) % 4)
    off_at, size_at = (8, 32) if word == 8 else (4, 16)
    for at, kind, off, va, size in heads:
        more = bytes(d[off:off + size]) + note if kind == 4 else x[:4096] if kind == 1 and va == loads[0][0] and not size else None
        if more:
            struct.pack_into(e + w, d, at + off_at, len(d))
            struct.pack_into(e + w, d, at + size_at, len(more))
            d += more
    open(core, "wb").write(d)
