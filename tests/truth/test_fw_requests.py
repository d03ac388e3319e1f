#!/usr/bin/env python3
"""Why a request fails although more is free. On the micro:bit a program breaks its heap up, asks for 1 KiB, is refused, and prints
mem_info(1): the place that a naive search over that map finds is the one that heapray names, with who holds what lies there. On C
firmware the blocks in the way are those that the program says it holds there."""
import os, re, shlex, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import firmware
import hr
import test_micropython as mp

FRAG = '''import gc, micropython
keep = []
drop = []
gc.collect()
try:
    while True:
        drop.append(bytearray(120)); keep.append("k%03d" % len(keep))
except MemoryError:
    pass
del drop
gc.collect()
print("@FREE", gc.mem_free())
try:
    z = bytearray(1024); print("@FITS")
except MemoryError as e:
    print("@FAILS", e)
micropython.mem_info(1)
print("@DONE")
while True: pass
'''
FULL = '''import gc, micropython
keep = []
for i in range(24): keep.append(bytearray(240))
gc.collect()
try:
    z = bytearray(4096); print("@FITS")
except MemoryError as e:
    print("@FAILS", e)
micropython.mem_info(1)
print("@DONE")
while True: pass
'''


def board(name, code):
    b = mp.Board(name)
    b.send(code.encode() + b"\x04")
    said = b.until(b"@DONE")
    image = b.save("ram.bin")
    b.close()
    return said, (image + "@0x20000000", "--with", mp.FIRMWARE, "--regs", image + ".regs")


def best_place(cells, dead, want):
    """The fewest live cells among all runs of whole allocations that span `want` cells at least. cells: the unfolded map."""
    starts = [i for i, c in enumerate(cells) if c != "="] + [len(cells)]
    live = [0 if cells[a] == "." or a in dead else b - a for a, b in zip(starts, starts[1:])]
    best = None
    for i in range(len(live)):
        j, alive = i, 0
        while j < len(live) and starts[j] - starts[i] < want:
            alive += live[j]
            j += 1
        if starts[j] - starts[i] >= want and (best is None or alive < best):
            best = alive
    return best


def longest(cells, dead):
    best = now = 0
    for i, c in enumerate(cells):
        gone = c == "." or i in dead or (c == "=" and now and cells[max(k for k in range(i) if cells[k] != "=")] != "." and
                                         max(k for k in range(i) if cells[k] != "=") in dead)
        now = now + 1 if gone else 0
        best = max(best, now)
    return best


def refused():
    if not shutil.which("qemu-system-arm") or not os.path.exists(mp.FIRMWARE):
        return hr.skip("micro:bit", "qemu-system-arm or firmware-microbit-micropython is not installed")
    said, args = board("frag", FRAG)
    truth = mp.truth_of(said)
    asked = int(re.search(r"@FAILS .*allocating (\d+) bytes", said).group(1))
    r = mp.ask("frag", *args)["request"]
    hr.eq((r["known_from"], r["bytes"], r["fits"], r["free"], r["longest"]), ("memory_error", asked, False, truth["free"], truth["max_free_run"] * 16),
          "the request that the board refused, its free bytes and its longest run")
    dead = {(int(g["addr"], 16) - truth["pool"]) // 16 for g in mp.ask("mp gc", *args)["garbage"]}
    want = (asked + 15) // 16
    hr.eq(r["longest_after_collection"], longest(truth["map"], dead) * 16, "longest run behind gc.collect()")
    hr.eq(r["in_the_way"], best_place(truth["map"], dead, want) * 16, "no place has fewer bytes in the way than the one named")
    pins = r["in_the_way_of_it"]
    hr.ok(pins and all(p["held_by"].startswith("__main__['keep']") for p in pins), "what lies there is held by the list that breaks the heap up", pins)
    text = hr.heapray("frag", *args, env={"COLUMNS": "80"}).out
    hr.ok("A request of 1,024 bytes" in text and "fails" in text and "__main__['keep'].items[" in text, "as text", text)
    check = mp.ask("check", *args)
    found = [f for f in check["findings"] if f["rule"] == "micropython.fragmentation"]
    hr.ok(len(found) == 1 and "1,024 bytes failed (MemoryError at 0x" in found[0]["title"] and "__main__['keep']" in found[0]["remedy"], "a finding says so", found)
    fits = mp.ask("frag", args[0], "64", *args[1:])["request"]
    hr.ok(fits["known_from"] == "asked" and fits["fits"] and "place" not in fits, "a small request fits", fits)
    hr.eq([hr.heapray("frag", args[0], z, *args[1:]).rc for z in ("0", "1x", "-1", "x", "1k1", "0x")], [2] * 6, "no number of bytes: usage error")
    hr.eq(mp.ask("frag", args[0], "1k", *args[1:])["request"]["bytes"], 1024, "1k is a number of bytes")
    for f in check["findings"]: # what is printed to be run next is complete: it sees what this one saw
        words = shlex.split(f["next"])
        again = subprocess.run([hr.HEAPRAY, *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        hr.ok(words[0] == "heapray" and again.returncode == 0 and "no_registers" not in again.stdout and "--with FILE" not in again.stdout,
              f"next command of {f['rule']}", f["next"], again.stdout[-500:])


def exhausted():
    if not shutil.which("qemu-system-arm") or not os.path.exists(mp.FIRMWARE):
        return hr.skip("micro:bit", "qemu-system-arm or firmware-microbit-micropython is not installed")
    said, args = board("full", FULL)
    hr.ok("@FAILS" in said, "the board refuses 4 KiB", said)
    found = {f["rule"]: f for f in mp.ask("check", *args)["findings"]}
    hr.ok("micropython.exhausted" in found and "micropython.fragmentation" not in found and "4,096 bytes" in found["micropython.exhausted"]["title"],
          "more is asked for than would be free: that is no fragmentation", found)


def c_heap(board_name, libc):
    why = firmware.missing(board_name, libc)
    if why:
        return hr.skip(f"{board_name}-{libc}", why)
    r = firmware.run(board_name, libc)
    args = (r.image, "--elf", r.elf, "--regs", r.regs)
    base = hr.heapray("frag", *args, "--json").json()["arenas"][0]
    ask = min(base["largest_free"] + 400, base["mapped"])
    q = hr.heapray("frag", args[0], str(ask), *args[1:], "--json").json()["request"]
    if q["fits"]: # newlib and picolibc may grow into what was never written
        return hr.ok(q["room_to_grow"] >= ask, f"{r.name}: {ask} bytes fit because the heap can grow", q)
    lo, hi = int(q["place"], 16), int(q["place"], 16) + q["place_bytes"]
    hr.ok(q["place_bytes"] >= ask > q["longest"], f"{r.name}: the place is large enough, no free piece is", q)
    hr.eq(sorted(int(p["addr"], 16) for p in q["in_the_way_of_it"]), sorted(a for a in r.alive if lo <= a < hi),
          f"{r.name}: in the way is what the program holds there")
    lost = {a for a in r.lost if lo <= a < hi}
    ways = {int(p["addr"], 16): p["held_by"] for p in q["in_the_way_of_it"]}
    hr.eq({a for a, w in ways.items() if w == "nothing holds it"}, lost, f"{r.name}: and held from somewhere, but for what it lost")


if __name__ == "__main__":
    hr.main([refused, exhausted, lambda: c_heap("stm32vl", "nano"), lambda: c_heap("microbit", "pico"), lambda: c_heap("mps2", "newlib")])
