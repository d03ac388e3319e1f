#!/usr/bin/env python3
"""Tasks of real-time kernels: what a firmware wrote into its memory as FreeRTOS, Zephyr and ThreadX do, and said of it. (Real kernels
were compared by hand: see the commits.)"""
import re, subprocess

import os, shutil
import containers
import firmware
import hr
from hr import eq, ok, skip

STATES = ["running", "ready", "blocked", "suspended", "deleted", "blocked", "blocked"]
KINDS = {"inbox": "FreeRTOS queue inbox", "-": "FreeRTOS mutex", "timer": "FreeRTOS timer lazy", "stream": "FreeRTOS stream buffer (50 bytes)",
         "message": "FreeRTOS message buffer (64 bytes)"}
KERNELS = {1: "FreeRTOS", 2: "Zephyr", 3: "ThreadX"}


def build(kernel, name, *flags, board="lm3s"):
    heap = [f"{hr.TOP}/tests/truth/prog/rtos_heap.c", "-DHEAP=4", "-Dmalloc=own_malloc", "-Dfree=own_free"] if kernel == 1 else []
    r = firmware.Run(board, "pico" if board.startswith("rv") else "nano", name=name, extra=[f"{hr.TOP}/tests/truth/prog/rtos_tasks.c", f"-DKERNEL={kernel}", "-Dmallinfo=late_mallinfo",
                                                       *heap, *flags])
    r.tasks, r.queues = {}, {}
    for line in r.log.splitlines():
        w = line.split()
        if w[0] == "task":
            r.tasks[w[1]] = dict(zip(("tcb", "state", "priority", "stack", "size", "unused"), (int(x, 16) for x in w[2:])))
        elif w[0] == "queue":
            r.queues[int(w[2], 16)] = w[1]
    return r




def patched_listen(self):
    """`alloc - ADDRESS SIZE` as well as the sample's own lines."""
    self.log = re.sub(r"^freed - ", "free ", re.sub(r"^alloc - ", "alloc ", self.log, flags=re.M), flags=re.M)
    original(self)


original = firmware.Run._listen
firmware.Run._listen = patched_listen


def compare(r, kernel, args, name, states=True):
    doc = hr.heapray("threads", "--json", *args).json()
    got = {t["name"]: t for t in doc["threads"] if t.get("tcb")}
    eq(sorted(got), sorted(r.tasks), f"{name}: the tasks")
    if "--regs" in args:
        eq(len(doc["threads"]), len(r.tasks), f"{name}: and no other thread")
    for n, t in r.tasks.items():
        g = got.get(n)
        if not g:
            continue
        want = (t["tcb"], STATES[t["state"]] if states else None, t["priority"], t["stack"])
        have = (int(g["tcb"], 16), g["state"] if states else None, g["priority"], int(g["stack"]["addr"], 16))
        eq(have, want, f"{name}: {n}: control block, state, priority, stack")
        eq(g["stack"]["size"], t["size"], f"{name}: {n}: size of the stack")
    stacks = {s["task"]: s for s in hr.heapray("map", "--json", *args).json()["stacks"]}
    for n, t in r.tasks.items():
        if n in stacks and n != "greedy":
            eq(stacks[n]["never_used"] // 4, t["unused"] // 4, f"{name}: {n}: how much of the stack was never used, in words")
            eq(stacks[n]["high_water"], stacks[n]["size"] - stacks[n]["never_used"], f"{name}: {n}: the high-water mark")
    return got, stacks


def blocks(args):
    head, rows = hr.heapray("blocks", "--ndjson", *args).ndjson()
    return head, {int(b["addr"], 16): b for b in rows if b["state"] == "used"}


def one(kernel, *flags, board="lm3s"):
    why = firmware.missing(board, "pico" if board.startswith("rv") else "nano")
    if why:
        return skip(KERNELS[kernel], why)
    name = KERNELS[kernel] + "".join(" " + f.lstrip("-D") for f in flags) + ("" if board == "lm3s" else " " + board)
    r = build(kernel, "-" + re.sub("[^A-Za-z0-9]", "-", name), *flags, board=board)
    args = (r.image, "--elf", r.elf, "--regs", r.regs)
    got, stacks = compare(r, kernel, args, name)
    waits = {1: "queue inbox (3 x 8 bytes)", 2: "gate", 3: "queue mailbox"}[kernel]
    eq({n: t["waits_for"] for n, t in got.items() if n in ("reader", "idle")}, {"reader": waits, "idle": None}, f"{name}: what a task waits for")
    info = hr.heapray("info", "--json", *args).json()
    ok(KERNELS[kernel] in [x["name"] for x in info["runtimes"]], f"{name}: named as a runtime", info["runtimes"])
    head, used = blocks(args)
    eq(sorted(used), sorted(r.alive), f"{name}: the blocks in use")
    leaked = {a for a, b in used.items() if (b["reach"] or "").startswith("leaked")}
    last = max(a for a, k in r.lost.items() if a in used and k == "direct")
    if used[last]["reach"] == "dead_stack":  # the running task has only just forgotten the last one
        leaked.add(last)
    eq((sorted(map(hex, leaked - set(r.lost))), sorted(map(hex, set(r.lost) - leaked))), ([], []), f"{name}: what only the dead part of a stack names is lost, what its live part names is not")
    for n, t in r.tasks.items():
        if t["stack"] in used:
            eq(used[t["stack"]]["type"], f"stack of task {n}", f"{name}: the block that is its stack")
        if t["tcb"] in used:
            eq(used[t["tcb"]]["type"], f"control block of task {n}", f"{name}: the block that is its control block")
    for a, q in r.queues.items():
        ok((used[a]["type"] or "").startswith(KINDS[q]), f"{name}: {q} is {KINDS[q]}", used[a])
    if kernel < 3 or board != "lm3s":
        frames = next(t for t in hr.heapray("threads", "--json", *args).json()["threads"] if t["name"] == "reader")["frames"]
        eq([f["function"] for f in frames][:1], ["work"], f"{name}: where a waiting task stands")
    over = {n for n, s in stacks.items() if s["overflow"]}
    eq(over, {"greedy"} & set(r.tasks), f"{name}: overflows")
    ok(("stack.overflow" in [n["code"] for n in head["notes"]]) == bool(over), f"{name}: and said", head["notes"])
    return r


def stripped(kernel):
    """Without debug information, and without any symbol."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip(f"{KERNELS[kernel]} stripped", why)
    r = build(kernel, f"-bare{kernel}")
    compare(r, kernel, (r.image, "--elf", r.elf, "--regs", r.regs, "--no-types"), f"{KERNELS[kernel]}, symbols only")
    if kernel == 2: # its threads are found by symbols alone, and its linker scripts make flash a segment that may be written
        elf = bytearray(open(r.elf, "rb").read())
        at = int.from_bytes(elf[28:32], "little")
        eq((elf[at], elf[at + 24]), (1, 5), "the first program header is the code's")
        elf[at + 24] = 7
        open(hr.path("rwx.elf"), "wb").write(elf)
        return compare(r, kernel, (r.image, "--elf", hr.path("rwx.elf"), "--regs", r.regs, "--no-types"), "Zephyr, code that may be written")
    got = hr.heapray("threads", "--json", r.image, "--regs", r.regs, "--arch", "arm").json()["threads"]
    have = {(t["name"], int(t["tcb"], 16), t["priority"]) for t in got if t.get("tcb")}
    want = {(n, t["tcb"], t["priority"]) for n, t in r.tasks.items()}
    if kernel == 3:  # their names lie in flash, which is not there
        have, want = {x[1:] for x in have}, {x[1:] for x in want}
    eq(have, want, f"{KERNELS[kernel]}, no program at all: the tasks by their shape")


def findings(r, *more):
    x = hr.heapray("check", "--json", r.image, "--elf", r.elf, "--regs", r.regs, *more)
    return x, {(f["rule"], f["severity"]): f["title"] for f in x.json()["findings"]}


def rules():
    """Stacks and fragmentation in the units of a microcontroller: what the firmware ran into itself is found, a healthy one has no such finding."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("rules", why)
    mine = ("stack.overflow", "stack.headroom", "firmware.fragmentation")
    r = build(1, "-healthy")
    x, found = findings(r)
    eq([k for k in found if k[0] in mine], [], "rules: healthy stacks and heap: nothing to say", found)
    eq([s for s in x.json()["skipped_rules"] if s["rule"].startswith(("stack.", "firmware."))], [], "rules: and all of it was judged")
    r = build(1, "-over", "-DOVERRUN=1")
    x, found = findings(r, "--only", "stack.*")
    eq(sorted(found), [("stack.overflow", "error")], "rules: a stack used to its end is an error", found)
    ok("greedy" in found[("stack.overflow", "error")] and x.rc == 1, "rules: of that task, and the exit status says so", found)
    r = build(1, "-tight", "-DTIGHT=1")
    x, found = findings(r, "--only", "stack.*")
    eq(sorted(found), [("stack.headroom", "warning")], "rules: a stack with little left is a warning", found)
    left = r.tasks["tight"]["unused"]
    ok("tight" in found[("stack.headroom", "warning")] and f"{left} B" in found[("stack.headroom", "warning")], "rules: with what the firmware says is left", found)
    eq(findings(r, "--only", "stack.*", "--set", "stack_spare_bytes=8")[1], {("stack.headroom", "warning"): found[("stack.headroom", "warning")]}
       if left < 0.1 * r.tasks["tight"]["size"] else {}, "rules: the threshold can be set")
    r = build(1, "-brim", "-DTIGHT=1", "-DDEEPEST=296")
    eq((r.tasks["tight"]["unused"], sorted(findings(r, "--only", "stack.*")[1])), (8, [("stack.overflow", "error")]),
       "rules: two words of the fill are left: beyond what FreeRTOS itself tolerates")
    r = build(1, "-squeeze", "-DSQUEEZE=1")
    tried = re.search(r"^tried - (\w+) (\w+)$", r.log, re.M)
    eq(int(tried[1], 16), 0, "rules: the firmware asked for 200 bytes and got none")
    _, found = findings(r, "--only", "firmware.fragmentation")
    ok(list(found) == [("firmware.fragmentation", "warning")] and "request of 200 B" in list(found.values())[0], "rules: and that is what is found", found)
    text = """rule budget.modules { severity error title "{m.name} {m.static}" match m in modules where m.name == "rtos_tasks.c" and m.static > 100 fingerprint by m.name }
budget ram.static { severity error ram.static <= 100 when image.bare }
"""
    open(hr.path("budget.rules"), "w").write(text)
    _, found = findings(r, "--rules", hr.path("budget.rules"), "--only", "budget.*,ram.*")
    ok(("budget.modules", "error") in found and len(found) == 2, "rules: budgets for a source file and for all variables", found)


def no_registers():
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("no registers", why)
    r = build(1, "-noregs")
    args = (r.image, "--elf", r.elf)
    got, _ = compare(r, 1, args, "no registers")
    head, used = blocks(args)
    ok("rtos.running" in [n["code"] for n in head["notes"]], "no registers: said", head["notes"])
    leaked = {a for a, b in used.items() if (b["reach"] or "").startswith("leaked")}
    ok(leaked <= set(r.lost), "no registers: nothing is called leaked that is not", leaked - set(r.lost))


def panic():
    """Zephyr's core dump after a panic on a Cortex-M: r0 to r3, r12, lr, pc as the processor pushed them onto the task's stack, no stack pointer."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("panic", why)
    import struct
    r = build(2, "-panic")
    reg, data = containers.registers(r), bytearray(open(r.ram, "rb").read())
    frame = struct.pack("<8I", *reg[0:4], reg[12], reg[14], reg[15], reg[16] & 0xff000000 | 1 << 24)
    data[reg[13] - 32 - r.base:reg[13] - r.base] = frame
    dump = b"ZE" + struct.pack("<HHBBI", 1, 3, 5, 0, 4) + b"A" + struct.pack("<HH", 2, 68) + frame + bytes(36) + \
        b"M" + struct.pack("<HII", 1, r.base, r.base + len(data)) + data
    open(hr.path("panic.bin"), "wb").write(dump)
    args = (hr.path("panic.bin"), "--elf", r.elf)
    compare(r, 2, args, "panic")
    main = next(t for t in hr.heapray("threads", "--json", *args).json()["threads"] if t["name"] == "main")
    eq(int(main["stack"]["sp"], 16), reg[13], "panic: the running task's stack pointer")
    raw = hr.heapray("threads", "--json", r.image, "--elf", r.elf, "--regs", r.regs).json()["threads"]
    eq(main["frames"][0]["function"], next(t for t in raw if t["name"] == "main")["frames"][0]["function"], "panic: and where it stands")
    head, used = blocks(args)
    ok("rtos.running" not in [n["code"] for n in head["notes"]], "panic: its registers are known", head["notes"])
    leaked = {a for a, b in used.items() if (b["reach"] or "").startswith("leaked")}
    old = {a for a, b in used.items() if b["reach"] == "dead_stack"} # held by a register that the dump has not, perhaps
    eq((leaked - set(r.lost) - set(reg[4:12]), set(r.lost) - leaked - old), (set(), set()), "panic: what is lost")
    ok("rtos.registers" in [n["code"] for n in head["notes"]], "panic: that r4 to r11 are missing is said", head["notes"])
    data[reg[13] - 32 - r.base] ^= 1
    open(hr.path("panic2.bin"), "wb").write(dump[:len(dump) - len(data)] + data)
    head, _ = blocks((hr.path("panic2.bin"), "--elf", r.elf))
    ok("rtos.running" in [n["code"] for n in head["notes"]], "panic: not found in the stack: said", head["notes"])


def damaged():
    """A list that leads nowhere, a ring, a name of bytes: some tasks are missing, nothing else."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("damaged", why)
    import struct
    r = build(1, "-damaged")
    data = open(r.ram, "rb").read()
    t = r.tasks["reader"]["tcb"] - r.base
    for what, off, word in (("next of an item", 8, 0x12345678), ("next of an item is itself", 8, r.base + t + 4), ("owner", 16, 0), ("stack", 48, 0xfffffffc),
                            ("saved stack pointer", 0, 3), ("name", 52, 0x1b5b1b5b)):
        broken = bytearray(data)
        struct.pack_into("<I", broken, t + off, word)
        open(hr.path("damaged.bin"), "wb").write(broken)
        for verb in ("threads", "map", "check"):
            x = hr.heapray(verb, f"{hr.path('damaged.bin')}@{r.base:#x}", "--elf", r.elf, "--regs", r.regs)
            ok(x.rc in (0, 1, 4) and "\x1b" not in x.out, f"damaged {what}: {verb}", x)
        said = {n["code"] for n in hr.heapray("threads", "--json", f"{hr.path('damaged.bin')}@{r.base:#x}", "--elf", r.elf, "--regs", r.regs).json()["notes"]}
        want = {"owner": "rtos.list", "stack": "rtos.task"}.get(what)
        ok(want is None or want in said, f"damaged {what}: said", said)


hr.main([lambda: one(1), lambda: one(1, "-O0"), lambda: one(1, "-DHIGH_ADDRESS"), lambda: one(1, "-DOVERRUN=1"), lambda: one(2), lambda: one(2, "-DOVERRUN=1"), lambda: one(3),
         lambda: one(3, "-DOVERRUN=1"), lambda: one(1, board="rv32"), lambda: one(2, board="rv32"), lambda: one(3, board="rv32"),
         lambda: stripped(1), lambda: stripped(2), lambda: stripped(3), rules, no_registers, panic, damaged])
