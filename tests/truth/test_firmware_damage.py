#!/usr/bin/env python3
"""Damaged images of C heaps: the firmware says what it allocated, the damage is done to its saved RAM by hand. The fault has to be
said where it is; what is not damaged stands; nothing is claimed that is not so: no block that malloc did not return, no leak that
is none. (tests/unit/test_embedded does this for umm_malloc, lwIP, ThreadX, Zephyr and ESP-IDF.)"""
import functools, struct, subprocess

import firmware
import hr
from hr import eq, ok, skip


class Ram:
    """A copy of a run's memory to be damaged."""

    def __init__(self, r):
        self.r, self.data = r, bytearray(open(r.ram, "rb").read())
        names = subprocess.run(["nm", r.elf], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.symbol = {w[2]: int(w[0], 16) for w in map(str.split, names.splitlines()) if len(w) == 3}

    def get(self, at):
        return struct.unpack_from("<I", self.data, at - self.r.base)[0]

    def put(self, at, *words):
        struct.pack_into(f"<{len(words)}I", self.data, at - self.r.base, *words)
        return self

    def save(self):
        path = hr.path(self.r.name + ".hurt")
        open(path, "wb").write(self.data)
        return f"{path}@{self.r.base:#x}"

    def chain(self, head, link=4, key=0):
        """The chunks of a singly linked list, as long as they lie in RAM."""
        out, at = [], self.get(head) ^ key
        while at and self.r.base <= at < self.r.base + self.r.size and at not in out:
            out.append(at)
            at = self.get(at + link) ^ key
        return out


def ask(image, r, *args):
    res = hr.heapray("blocks", "--ndjson", image, "--elf", r.elf, "--regs", r.regs, *args, seconds=20)
    head, rows = res.ndjson()
    return res, head["notes"], {int(b["addr"], 16): b for b in rows}


def judge(name, ram, codes, where, hidden=(), image=None, args=()):
    """codes, where: what has to be said, and the addresses of which one has to be named. hidden: blocks that need not be found."""
    r = ram.r
    res, notes, got = ask(image or ram.save(), r, *args)
    said = [(n["code"], n.get("addr")) for n in notes]
    ok(res.rc in (0, 4) and any(c in codes and (not where or a and int(a, 16) in where) for c, a in said), f"{r.name}: {name}: said where it is",
       f"exit {res.rc}, wanted {codes} at {[hex(w) for w in where]}", said)
    used = {a for a, b in got.items() if b["state"] == "used"}
    eq([hex(a) for a in sorted(used - set(r.alive))], [], f"{r.name}: {name}: no block that malloc did not return")
    eq([hex(a) for a in sorted(set(r.alive) - used - set(hidden))], [], f"{r.name}: {name}: the others stand")
    eq([hex(a) for a, b in got.items() if (b["reach"] or "").startswith("leaked") and a not in r.lost], [], f"{r.name}: {name}: no leak that is none")
    return got, said


def run(board, libc, **more):
    why = firmware.missing(board, libc)
    if why:
        skip(f"{board}-{libc}", why)
        return None
    return firmware.Run(board, libc, **more) if more else firmware.run(board, libc)


def beyond(r, at):
    return [a for a in r.alive if a >= at]


def nano():
    """{size, next free}: the list is in address order and ends in 0."""
    r = run("lm3s", "nano")
    if not r:
        return
    free = Ram(r).chain(Ram(r).symbol["__malloc_free_list"])
    ok(len(free) >= 3, "newlib-nano: enough free chunks to damage", free)
    a, b, c = free[:3]
    judge("a loop in the free list", Ram(r).put(c + 4, a), ["heap.corrupt.free-list"], [a, b, c, c + 4], beyond(r, c))
    judge("a free chunk that leads to itself", Ram(r).put(b + 4, b), ["heap.corrupt.free-list"], [b, b + 4], beyond(r, b))
    judge("a link out of memory", Ram(r).put(b + 4, 0x41414141), ["heap.corrupt.free-list"], [b, b + 4, 0x41414141], beyond(r, b))
    judge("a free chunk's size", Ram(r).put(b, 0xfffffff0), ["heap.corrupt.size", "heap.corrupt.free-list"], [b], beyond(r, b))
    victim = next(v for v in sorted(r.alive)[20:] if Ram(r).get(v - 4) < 0x1000)  # else padding lies between size and block
    for size in 0xaaaaaaaa, 0, 0x7fffffff:
        judge(f"a used chunk's size {size:#x}", Ram(r).put(victim - 4, size), ["heap.corrupt.size"], [victim - 4, victim - 8], beyond(r, victim))


def newlib():
    """{size of the one before, size | flags}, doubly linked bins."""
    r = run("netduino", "newlib")
    if not r:
        return
    order = sorted(r.alive)
    for size in 0x41414141, 1, 0xfffffff1:
        victim = order[20]
        judge(f"a size of {size:#x}", Ram(r).put(victim - 4, size), ["heap.corrupt.size"], [victim - 8, victim - 4], beyond(r, victim))
    _, _, got = ask(r.image, r)
    free = sorted(a for a, b in got.items() if b["state"] == "free" and any(u > a for u in r.alive))
    f = free[0]
    judge("a free chunk's forward link", Ram(r).put(f, 0x41414141), ["heap.corrupt.double-linked-list", "heap.corrupt.bins"], [f - 8, f, 0x41414141])
    after = f + got[f]["size"] - 4  # where the next chunk keeps this one's size
    judge("the size before a chunk", Ram(r).put(after, 0x00ffff00), ["heap.corrupt.prev-size"], [f - 8, after - 8, after, after - 4, after + 4], ())


def pico():
    """{size} user {next free}"""
    r = run("lm3s", "pico")
    if not r:
        return
    ram = Ram(r)
    head = ram.symbol.get("__malloc_free_list", ram.symbol.get("free_list"))
    free = ram.chain(head)
    if len(free) < 3:
        return ok(False, "picolibc: enough free chunks", free)
    a, b, c = free[:3]
    judge("a loop in the free list", Ram(r).put(c + 4, a), ["heap.corrupt.free-list"], [a, b, c, c + 4], beyond(r, c))
    judge("a link out of memory", Ram(r).put(b + 4, 0x41414141), ["heap.corrupt.free-list"], [b, b + 4, 0x41414141], beyond(r, b))
    victim = sorted(r.alive)[20]
    judge("an overrun into a size", Ram(r).put(victim - 4, 0xaaaaaaaa), ["heap.corrupt.size"], [victim - 4, victim - 8], beyond(r, victim))


def freertos():
    """{next free ^ canary, size | in use}"""
    for canary in 0, 0x5a17c3d9:
        r = run("lm3s", "nano", name=f"-hurt{canary:x}", extra=[f"{hr.TOP}/tests/truth/prog/rtos_heap.c", "-DHEAP=4", f"-DCANARY={canary:#x}",
                                                                 "-Dmalloc=own_malloc", "-Dfree=own_free", "-Dmallinfo=own_mallinfo"])
        if not r:
            return
        free = Ram(r).chain(Ram(r).symbol["xStart"], link=0, key=canary)
        a, b, c = free[:3]
        judge("FreeRTOS: a loop in the free list", Ram(r).put(c, a ^ canary), ["heap.corrupt.free-list"], [a, b, c])
        judge("FreeRTOS: a link out of memory", Ram(r).put(b, 0x41414141), ["heap.corrupt.free-list", "heap.corrupt.link"], [b, 0x41414141, 0x41414141 ^ canary])
        victim = sorted(r.alive)[20]
        judge("FreeRTOS: an overrun into a header", Ram(r).put(victim - 8, 0x61616161, 0x61616161), ["heap.corrupt.size"], [victim - 8], beyond(r, victim))
        judge("FreeRTOS: a free block's size", Ram(r).put(b + 4, 0x10), ["heap.corrupt.size", "heap.corrupt.free-bytes", "heap.corrupt.free-list"], [b, b + 0x10], beyond(r, b))


def captured():
    """RAM that ends within the heap, RAM with a hole in it, the RAM of one build with the ELF of another."""
    r = run("lm3s", "nano")
    if not r:
        return
    order, data = sorted(r.alive), open(r.ram, "rb").read()
    edge = order[30] + 4
    open(hr.path("cut.bin"), "wb").write(data[:edge - r.base])
    got, said = judge("RAM cut short", Ram(r), ["core.truncated", "heap.not_captured", "roots.not_captured", "heap.absent"], [], beyond(r, order[30]),
                      image=f"{hr.path('cut.bin')}@{r.base:#x}")
    eq([hex(a) for a in got if a >= edge], [], f"{r.name}: RAM cut short: nothing is claimed past its end")
    lo, hi = order[25] + 4, order[40] + 4
    open(hr.path("low.bin"), "wb").write(data[:lo - r.base])
    open(hr.path("high.bin"), "wb").write(data[hi - r.base:])
    got, said = judge("a hole in the heap", Ram(r), ["core.truncated", "heap.not_captured", "heap.corrupt.size", "heap.absent"], [], beyond(r, order[25]),
                      image=f"{hr.path('low.bin')}@{r.base:#x}", args=("--with", f"{hr.path('high.bin')}@{hi:#x}"))
    eq([hex(a) for a in got if lo <= a < hi], [], f"{r.name}: a hole in the heap: nothing is claimed in it")


OWN = ["-Dmalloc=own_malloc", "-Dfree=own_free", "-Dmallinfo=own_mallinfo"]
RTOS, SMALL = f"{hr.TOP}/tests/truth/prog/rtos_heap.c", f"{hr.TOP}/tests/truth/prog/small_heaps.c"
HEAPS = {"newlib-nano": {}, "picolibc": {"libc": "pico"}, "newlib": {"board": "netduino", "libc": "newlib"},
         **{f"FreeRTOS heap_{k}": {"extra": [RTOS, f"-DHEAP={k}", *OWN]} for k in (2, 4, 5)},
         "FreeRTOS, protected": {"extra": [RTOS, "-DHEAP=4", "-DCANARY=0x5a17c3d9", *OWN]},
         **{k: {"extra": [SMALL, f"-DKIND={n}", *OWN]} for n, k in enumerate(("umm_malloc", "lwIP", "ThreadX"), 1)},
         **{f"TLSF, {n} pools": {"extra": [f"{hr.TOP}/tests/truth/prog/tlsf_heap.c", f"-DPOOLS={n}", *OWN]} for n in (1, 2)}}


@functools.cache
def build(kind):
    more = dict(HEAPS[kind])
    board, libc = more.pop("board", "lm3s"), more.pop("libc", "nano")
    return run(board, libc, **({"name": "-sweep-" + kind.replace(" ", "-").replace(",", ""), **more} if more else {}))


def no_lies(r, name, notes, got, absent=(0, 0)):
    """Whatever is broken: no block that malloc did not return, none that is not in the image, no leak that is none."""
    used = {a for a, b in got.items() if b["state"] == "used"}
    lies = [hex(a) for a in used - set(r.alive)] + [hex(a) for a in used if absent[0] <= a < absent[1]]
    lies += ["leak " + hex(a) for a, b in got.items() if (b["reach"] or "").startswith("leaked") and a not in r.lost]
    return [f"{name}: {x}" for x in lies]


def overruns(kind):
    """Some blocks' heads are written over, one at a time, as an overrun of the block before does it."""
    r = build(kind)
    if not r:
        return
    order, wrong, unsaid, lost = sorted(r.alive), [], [], []
    for i, victim in enumerate(order[3::len(order) // 8]):
        word = (0x41414141, 0, 0xffffffff, 0x20202020)[i % 4]
        ram = Ram(r)
        ram.put(victim - 8, word, word)
        _, notes, got = ask(ram.save(), r)
        name = f"{victim:#x}, {word:#x}"
        wrong += no_lies(r, name, notes, got)
        near = [n for n in notes if n["code"].startswith("heap.corrupt") and victim - 16 <= int(n.get("addr", "0"), 16) <= victim]
        unsaid += [] if near else [name, [(n["code"], n.get("addr")) for n in notes]]
        below = {a for a in order[:order.index(victim) - 1]}
        lost += [f"{name}: {hex(a)}" for a in sorted(below - {a for a, b in got.items() if b["state"] == "used"})]
    eq(wrong, [], f"{r.name}: heads written over: no lie")
    eq(unsaid, [], f"{r.name}: heads written over: said, at the head")
    eq(lost, [], f"{r.name}: heads written over: what lies before it stands")


def holes(kind):
    """Stretches of the heap that were not captured, and RAM that ends in the heap while the variables and the stack are there."""
    r = build(kind)
    if not r:
        return
    data, order, wrong, unsaid = open(r.ram, "rb").read(), sorted(r.alive), [], []
    n = len(order)
    for lo, hi in [(order[n // 4] + 4, order[n // 3]), (order[n // 2] - 8, order[n // 2 + 2] - 8), (order[n - 9] + 2, r.base + r.size - 1024), (max(order[0] - 64, r.base + 16), order[2] + 1)]:
        parts = [(r.base, data[:lo - r.base]), (hi, data[hi - r.base:])]
        for k, (at, part) in enumerate(parts):
            open(hr.path(f"part{k}"), "wb").write(part)
        _, notes, got = ask(f"{hr.path('part0')}@{parts[0][0]:#x}", r, "--with", f"{hr.path('part1')}@{parts[1][0]:#x}")
        name = f"{lo:#x} to {hi:#x}"
        wrong += no_lies(r, name, notes, got, (lo, hi))
        said = [c for c in (n["code"] for n in notes) if c in ("heap.not_captured", "roots.not_captured", "reach.absent", "heap.none")]
        unsaid += [] if said else [name, [(n["code"], n.get("addr")) for n in notes]]
    eq(wrong, [], f"{r.name}: holes: no lie")
    eq(unsaid, [], f"{r.name}: holes: said")


def tlsf_lists():
    """{size | flags} {next free, previous free}: each member of a list leads back."""
    r = build("TLSF, 2 pools")
    if not r:
        return
    _, _, got = ask(r.image, r)
    free = sorted(a for a, b in got.items() if b["state"] == "free")
    f, g = free[0], free[1]
    null = Ram(r).symbol["heap"]
    broken = ["heap.corrupt.free-list"]
    judge("a free block that leads to itself", Ram(r).put(f, f - 8), broken, [f - 4, f])
    judge("a loop over two lists", Ram(r).put(f, g - 8).put(g, f - 8), broken, [f - 4, g - 4])
    judge("a link out of memory", Ram(r).put(f, 0x41414141), broken, [f - 4, 0x41414145])
    judge("a link back to another", Ram(r).put(f + 4, g - 8), broken, [f - 4])
    judge("a free block's size", Ram(r).put(f - 4, 0x13), ["heap.corrupt.size", "heap.corrupt.prev-status", "heap.corrupt.free-list"], range(f - 4, f + 32), beyond(r, f))
    used = sorted(a for a in r.alive if a > f)[1]
    judge("a block in use is on a list", Ram(r).put(f, used - 8), broken, [used - 4])
    judge("a list's head", Ram(r).put(null + 16 + 4 + 96 + 4 * 40, 0x20000001), ["heap.none", "heap.corrupt.free-list"], [], r.alive)


def other_build():
    """The ELF of another build of the same program, and of another program: doubted, and no leak is claimed; that of the right one never is."""
    logger = {"program": f"{hr.TOP}/tests/truth/prog/fw_logger.c"}
    more = ["-I", f"{hr.TOP}/samples/firmware"]
    for board, libc in (("lm3s", "nano"), ("lm3s", "pico"), ("rv32", "pico")):
        if firmware.missing(board, libc):
            skip(f"{board}-{libc}: other builds", firmware.missing(board, libc))
            continue
        builds = [firmware.Run(board, libc, name=f"-other-{k}{o}", extra=[o, *more], **(logger if k == "logger" else {})) for k in ("weather", "logger") for o in ("-O1", "-Os", "-O0")]
        wrong, quiet = [], []
        for r in builds:
            for e in builds:
                head, rows = hr.heapray("blocks", "--ndjson", r.image, "--elf", e.elf, "--regs", r.regs).ndjson()
                codes = {n["code"] for n in head["notes"]}
                said = codes & {"core.module_doubtful", "core.module_mismatch", "heap.none"} or any(c.startswith("heap.corrupt") for c in codes)
                leaks = [b["addr"] for b in rows if (b["reach"] or "").startswith("leaked")]
                if r is e:
                    wrong += [f"{r.name}: the right program is doubted"] if "core.module_doubtful" in codes else []
                else:
                    quiet += [] if said else [f"{r.name} with {e.name}"]
                    wrong += [f"{r.name} with {e.name}: leak {a}" for a in leaks if int(a, 16) not in r.lost]
        eq(wrong, [], f"{board}-{libc}: other builds: nothing is claimed that is not so")
        eq(quiet, [], f"{board}-{libc}: other builds: said")


hr.main([nano, newlib, pico, freertos, captured, tlsf_lists, other_build] + [lambda k=k, f=f: f(k) for k in HEAPS for f in (overruns, holes)])
