#!/usr/bin/env python3
"""Damaged glibc heaps: a real process scribbles on its own heap in one known way and dies. Expected: malloc's own name for the
damage, at the place; every other block still there with its right size and state; the sums still add up."""
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
import test_glibc as tg

# way: the codes that are right
WAYS = {
    "none": None,
    "overflow": "heap.corrupt.next-size-fast", # the block before it is of a fastbin's size
    "overflow-two": "heap.corrupt.next-size-fast",
    "overflow-long": "heap.corrupt.next-size-fast",
    "grown": "heap.corrupt.size",
    "null-byte": "heap.corrupt.prev-size",
    "top": "heap.corrupt.top-size",
    "foot": "heap.corrupt.prev-size",
    "bin-list": "heap.corrupt.double-linked-list heap.corrupt.smallbin-list",
    "unsorted-list": "heap.corrupt.unsorted-list",
    "tcache-next": "heap.corrupt.tcache-unaligned",
    "tcache-twice": "heap.corrupt.tcache-double-free",
    "fastbin-next": "heap.corrupt.fastbin-unaligned",
    "fastbin-twice": "heap.corrupt.fastbin-double-free",
    "everything": "heap.corrupt.next-size heap.corrupt.next-size-fast",
}


def run(way, exe, bits):
    text = hr.path("said")
    core = hr.kernel_core(["sh", "-c", f"exec {exe} {way} > {text}"], "kcore")
    name = f"{way}, {bits}"
    if not core:
        hr.skip(name, "the kernel writes no core file here")
        return
    live, cached, bad, own = {}, {}, set(), set()
    for line in open(text):
        w = line.split()
        if w[0] == "L":
            live[int(w[1], 16)] = int(w[2])
        elif w[0] == "C":
            cached[int(w[1], 16)] = int(w[2])
        elif w[0] == "B":
            bad.add(int(w[1], 16) & (2 ** bits - 1))
        elif w[0] == "X":
            own.add(int(w[1], 16))
    addrs = list(live) + list(cached)
    with open(hr.path("at"), "w") as f:
        f.write("\n".join(f"{a:x}" for a in addrs))
    for how, options in (("", []), (" without any file", ["--no-host", "--no-symbols"])):
        got = tg.dumpheap(core, "--sums", "--at", hr.path("at"), *options)
        notes = [n for n in got["notes"] if n["code"].startswith("heap.corrupt")]
        why = json.dumps(notes)[:1500]
        if WAYS[way] is None:
            hr.eq(notes, [], f"{name}{how}: no damage where there is none")
        else:
            hr.eq({n["addr"] for n in notes if n["code"] in WAYS[way].split()} & bad, bad, f"{name}{how}: {len(bad)} said where", why, bad)
            hr.ok(all(n["code"] in WAYS[way].split() or n["addr"] in bad or n["code"] == "heap.corrupt.size" for n in notes),
                  f"{name}{how}: nothing else is called damaged", why)
            hr.ok(any(a["corrupt"] for a in got["arenas"]) or "tcache" in WAYS[way], f"{name}{how}: the arena is marked", why)
        at = dict(zip(addrs, got["at"]))
        wrong = [(hex(a), n, at[a]) for a, n in live.items() if a not in own and (not at[a] or at[a][:3] != [a, n, "used"])]
        hr.ok(not wrong, f"{name}{how}: {len(live) - len(own)} live blocks still known exactly", wrong[:5], len(wrong), why)
        lost = [a for a in own if a in at and not at[a]]
        hr.ok(not lost, f"{name}{how}: no damaged block's bytes are unaccounted for", lost, why)
        if not any(x in way for x in ("tcache", "fastbin")):
            wrong = [(hex(a), n, at[a]) for a, n in cached.items() if not at[a] or at[a][:3] != [a, n, "cached"]]
            hr.ok(not wrong, f"{name}{how}: {len(cached)} cached blocks still known", wrong[:5], why)
        hr.ok(all(a["used"][1] + a["cached"][1] + a["free"][1] + a["own"][1] + a["overhead"] == a["mapped"] and
                  a["used"] == [s[0][0] + s[4][0], s[0][1] + s[4][1]] for a, s in zip(got["arenas"], got["sums"])),
              f"{name}{how}: the sums hold")
        extra = sum(a["used"][0] for a in got["arenas"]) - len(live)
        hr.ok(-len(own) <= extra <= 3 + 13 * ("fastbin" in way or "tcache" in way), f"{name}{how}: no made-up blocks", extra)
    os.unlink(core)


def main():
    for bits, flags in ((64, []), (32, ["-m32"])):
        exe = hr.build("glibcbad.c", f"bad{bits}", "-fno-builtin", "-Wno-array-bounds", *flags)
        for way in WAYS:
            run(way, exe, bits)


hr.main([main])
