#!/usr/bin/env python3
"""`diff`: images of one program at several moments; what it kept, lost and gave back in between is known."""
import json, os, subprocess, sys

import firmware
import hr
from hr import eq, ok, skip

ROUNDS = 0x2000c000


def sides(doc):
    return {s: {x["key"]: x for x in doc[s]} for s in ("grew", "shrank", "appeared", "gone")}


def totals(args, image):
    """Of one image by itself: blocks in use, bytes, leaked blocks."""
    _, rows = hr.heapray("blocks", "--ndjson", image, *args).ndjson()
    used = [b for b in rows if b["state"] == "used"]
    return len(used), sum(b["size"] for b in used), sum((b["reach"] or "").startswith("leaked") for b in used)


def judge(name, images, rounds, args, event, ticket_size):
    """3 events kept and 2 tickets lost a round, nothing else."""
    x = hr.heapray("diff", *images, "--json", *args)
    doc = x.json()
    got = sides(doc)
    eq([(k, v["count"]) for k, v in got["grew"].items() if k == event] or [(k, v["count"]) for k, v in got["appeared"].items()],
       [(event, [3 * r for r in rounds])], f"{name}: the list that grows", got)
    lost = [v for s in ("grew", "appeared") for k, v in got[s].items() if k != event]
    # allocators round the same request up differently: what has no type is told apart by size
    more = [sum(v["leaked_count"][i] - v["leaked_count"][0] for v in lost) for i in range(len(rounds))]
    eq(more, [2 * (r - rounds[0]) for r in rounds], f"{name}: what is lost each round", got)
    ok(all(v["bytes"][i] - v["bytes"][0] >= v["count"][i] * ticket_size - v["count"][0] * (ticket_size + 16) for v in lost for i in range(len(rounds))),
       f"{name}: its bytes", lost)
    eq((got["shrank"], got["gone"]), ({}, {}), f"{name}: nothing else changed")
    want = [totals(args, i) for i in images]
    eq(list(zip(doc["total"]["count"], doc["total"]["bytes"], doc["total"]["leaked_count"])), want, f"{name}: totals are those of each image by itself")
    found = {(f["rule"], f["severity"]) for f in doc["findings"]}
    ok(("growth.leaked", "error") in found and ("growth.by_type", "warning") in found, f"{name}: judged", found)
    eq(x.rc, 1, f"{name}: growing leaks fail")
    back = sides(hr.heapray("diff", *images[::-1], "--json", *args).json())
    eq((len(back["grew"]) + len(back["appeared"]), len(back["shrank"]) + len(back["gone"])), (0, 2), f"{name}: the other way round it shrinks")
    same = hr.heapray("diff", images[0], images[0], "--json", *args)
    eq((same.rc, [len(v) for v in sides(same.json()).values()], same.json()["findings"]), (0, [0, 0, 0, 0], []), f"{name}: an image is equal to itself")
    text = hr.heapray("diff", *images, *args, env={"COLUMNS": "60", "LC_ALL": "C"})
    ok(text.out.isascii() and event in text.out and "error" in text.out, f"{name}: as text", text)
    return doc


def board():
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("firmware", why)
    rounds, runs = [1, 4, 9], []
    for n in rounds:
        runs.append(firmware.Run("lm3s", "nano", name=f"-round{n}", poke=(ROUNDS, n), elf=runs[0].elf if runs else None,
                                 extra=[f"{hr.TOP}/tests/truth/prog/growth.c", f"-DROUNDS={ROUNDS:#x}", "-Dmallinfo=late_mallinfo"]))
    args = ("--elf", runs[0].elf)
    doc = judge("firmware", [r.image for r in runs], rounds, args, "struct event", 88)
    eq({x["monotonic"] for x in doc["grew"] + doc["appeared"]}, {True}, "firmware: each time more")
    regs = [x for r in runs for x in ("--regs", r.regs)]
    doc = hr.heapray("diff", *[r.image for r in runs], *args, *regs, "--json").json()
    eq([i["roots_complete"] for i in doc["images"]], [True] * 3, "firmware: each image with its registers")
    eq(list(zip(doc["total"]["count"], doc["total"]["bytes"], doc["total"]["leaked_count"])), [totals((*args, "--regs", r.regs), r.image) for r in runs],
       "firmware: totals with registers are those of each image with its own")
    eq([n - doc["total"]["leaked_count"][0] for n in doc["total"]["leaked_count"]], [2 * (r - rounds[0]) for r in rounds], "firmware: and all that was lost is known")
    eq((hr.heapray("diff", *[r.image for r in runs[:2]], *args, *regs).rc, hr.heapray("check", runs[0].image, *args, *regs).rc), (2, 2),
       "firmware: more registers than images are refused")
    rules = hr.path("growth.rules")
    open(rules, "w").write('diff growth.events { severity error title "{t.name} {signed(t.delta.count)}" match t in types where t.name ~ /event/ and t.delta.count > 20 '
                           'and t.images == 3 fingerprint by t.name }\n')
    x = hr.heapray("diff", *[r.image for r in runs], *args, "--rules", rules, "--only", "growth.events", "--json")
    eq([f["title"] for f in x.json()["findings"]], ["struct event +24"], "firmware: a rule of one's own", x)
    eq(x.rc, 1, "firmware: which fails")
    x = hr.heapray("check", runs[0].image, *args, "--rules", rules, "--json")
    ok(not any(f["rule"].startswith("growth") for f in x.json()["findings"] + x.json()["skipped_rules"]), "firmware: one image is not judged by it, nor called unjudged", x)


def process():
    exe = hr.build("growth.c", "growth")
    rounds, cores = [2, 5], []
    p, _ = hr.start([exe, *map(str, rounds)], ready=b"round 2", say=b"")
    for n in rounds:
        hr.wait_for(p, b"round %d" % n)
        cores.append(hr.gcore(p.pid, f"core{n}"))
        p.stdin.write(b"\n")
        p.stdin.flush()
    if not all(cores):
        return skip("process", "no gcore")
    judge("process", cores, rounds, (), "struct event", 88)


def python():
    code = ("import os, sys, gc\nclass Session:\n    def __init__(self, n): self.n = n\nall = []\n"
            "for stop in (10, 50):\n    while len(all) < stop: all.append(Session(len(all)))\n    gc.collect()\n    print('at', stop, flush=True)\n    sys.stdin.readline()\n")
    p, _ = hr.start([sys.executable, "-c", code], ready=b"at 10", say=b"")
    cores = []
    for n in (10, 50):
        hr.wait_for(p, b"at %d" % n)
        cores.append(hr.gcore(p.pid, f"py{n}"))
        p.stdin.write(b"\n")
        p.stdin.flush()
    if not all(cores):
        return skip("Python", "no gcore")
    got = sides(hr.heapray("diff", *cores, "--json").json())
    session = [v["count"] for k, v in got["grew"].items() if k.endswith("Session")]
    eq(session, [[10, 50]], "Python: instances of a class", list(got["grew"].items())[:5])


def micropython():
    at = os.path.join(hr.TOP, "build", "npm", "1.27.0", "node_modules", "@micropython/micropython-webassembly-pyscript")
    if not os.path.exists(at):
        return skip("MicroPython", "the npm package is not there")
    script, out = hr.path("script.py"), hr.path("mp")
    open(script, "w").write("import gc\nclass Node:\n    def __init__(self, v):\n        self.v = v\nkeep = [Node(i) for i in range(8)]\ngc.collect()\n#---\n#snap one\n#---\n"
                            "keep.extend(Node(i) for i in range(12))\ngc.collect()\n#---\n#snap two\n")
    subprocess.run(["node", os.path.join(hr.HERE, "mp", "dump.mjs"), at, script, out], stdout=subprocess.PIPE, timeout=60, check=True)
    got = sides(hr.heapray("diff", out + ".one@0", out + ".two@0", "--arch", "wasm32", "--json").json())
    eq([v["count"] for k, v in got["grew"].items() if k.endswith("Node")], [[8, 20]], "MicroPython: instances of a class", got)


def wrong():
    """What cannot be compared is said, by name."""
    exe = hr.build("growth.c", "growth")
    p, _ = hr.start([exe, "1"], ready=b"round 1", say=b"")
    core = hr.gcore(p.pid, "one")
    if not core:
        return skip("wrong", "no gcore")
    eq(hr.heapray("diff", core).rc, 2, "one image: usage")
    for bad, code in ((hr.path("none"), 3), (exe, 3), (hr.SCRATCH, 3)):
        for images in ((core, bad), (bad, core), (core, core, bad)):
            x = hr.heapray("diff", *images)
            ok(x.rc == code and os.path.basename(bad) in x.err, f"{os.path.basename(bad)} in {len(images)} images: said", x)
    data = open(core, "rb").read()
    open(hr.path("cut"), "wb").write(data[:len(data) * 2 // 3])
    x = hr.heapray("diff", core, hr.path("cut"), "--json")
    eq((x.rc, [i["complete"] for i in x.json()["images"]]), (4, [True, False]), "a cut core: weakened answers")


hr.main([board, process, python, micropython, wrong])
