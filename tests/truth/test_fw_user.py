#!/usr/bin/env python3
"""What a new user of firmware images meets: healthy programs give no finding, one cause gives one finding with the way to it, and a wrong
address, an empty file or a missing program is answered with what helps."""
import os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import firmware
import hr
import test_micropython as mp
from test_fw_requests import board

HEALTHY = {
    "ring buffer": '''import gc
temps = [0] * 16
idx = 0
def tick():
    global idx
    temps[idx % 16] = idx; idx += 1
for i in range(100): tick()
print("@DONE")
while True: pass
''',
    "sprites": '''from microbit import *
class Sprite:
    def __init__(s, x, y, img): s.x = x; s.y = y; s.img = img
sprites = {}
for i in range(12): sprites["enemy%d" % i] = Sprite(i % 5, i // 5, Image(5, 5))
def draw():
    text = "Score: " + str([(1, 2), (3, 4)])
    print("@DONE")
    while True: pass
draw()
''',
    "generators": '''def producer(n):
    buf = bytearray(32)
    for i in range(n): yield buf
pipes = [producer(5) for i in range(8)]
for p in pipes: next(p)
def counter():
    c = [0]
    def inc(): c[0] += 1; return c[0]
    return inc
counters = [counter() for i in range(8)]
print("@DONE")
while True: pass
'''}
REGISTRY = '''import gc
class Button:
    registry = []
    def __init__(s, name):
        s.name = name; s.handlers = []
        Button.registry.append(s)
    def on(s, f): s.handlers.append(f)
def screen(n):
    b = Button("btn%d" % n)
    def h(): return b.name + str(n)
    b.on(h)
for i in range(30): screen(i)
gc.collect()
print("@DONE")
while True: pass
'''


def programs():
    if not shutil.which("qemu-system-arm") or not os.path.exists(mp.FIRMWARE):
        return hr.skip("micro:bit", "qemu-system-arm or firmware-microbit-micropython is not installed")
    for name, code in HEALTHY.items():
        said, args = board(name.replace(" ", "-"), code)
        hr.eq([f["title"] for f in mp.ask("check", *args)["findings"]], [], f"{name}: a healthy program gives no finding")
    said, args = board("registry", REGISTRY)
    found = mp.ask("check", *args)["findings"]
    hr.ok(len(found) == 1 and found[0]["rule"] == "firmware.oversized" and "['Button']" in found[0]["title"] and "['registry']" in found[0]["title"],
          "a registry that grows is one finding, with the way to it", found)
    rows = mp.ask("tree", *args)["tree"]
    hr.ok(rows[0]["name"] == "__main__", "tree: the globals of the program stand at the top under their name", rows[0]["name"])
    names = [n["name"] for n in rows[0]["children"][0]["children"]]
    hr.ok("['Button']: type" in names, "and each global below", names)


def webassembly():
    at = shutil.which("node") and mp.package("1.27.0")
    if not at:
        return hr.skip("WebAssembly", "no node, or the npm package cannot be fetched")
    script, out = hr.path("healthy.py"), hr.path("healthy")
    with open(script, "w") as f:
        f.write("log = []\nfor i in range(40): log.append({'id': i, 'msg': 'event %d' % i})\n#---\n#snap one\n")
    subprocess.run(["node", os.path.join(hr.HERE, "mp", "dump.mjs"), at, script, out], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=True)
    doc = mp.ask("check", out + ".one@0", "--arch", "wasm32")
    hr.eq([f["title"] for f in doc["findings"]], [], "WebAssembly: what JavaScript may hold is no leak, a healthy program gives no finding")
    hr.ok(not any(n["code"] == "roots.no_registers" for n in doc["notes"]), "and no registers are asked for", doc["notes"])


def questions():
    why = firmware.missing("stm32vl", "nano")
    if why:
        return hr.skip("stm32vl-nano", why)
    r = firmware.run("stm32vl", "nano")
    notes = lambda *args: {n["code"]: n for n in hr.heapray("info", "--json", *args).json()["notes"]}
    said = notes(r.ram + "@0x10000000", "--elf", r.elf)
    hr.ok("core.elsewhere" in said and f"FILE@{r.base:#x}" in said["core.elsewhere"]["text"], "a wrong address: where the variables are is said", said)
    hr.ok("core.elsewhere" not in notes(r.image, "--elf", r.elf), "the right one: nothing is")
    blank = hr.path("blank.bin")
    with open(blank, "wb") as f:
        f.write(bytes(range(256)) * 32)
    hr.ok("--elf" in notes(blank + "@0x20000000", "--arch", "arm")["heap.none"]["text"], "no program: what it is good for is said")
    hr.ok("is that the program" in notes(r.ram + "@0x10000000", "--elf", r.elf)["heap.none"]["text"], "no heap with a program: is it the right one")
    empty = hr.path("empty.bin")
    open(empty, "w").close()
    for image, words in ((empty + "@0x20000000", "is empty"), (r.ram + "@0xffffffffffffff00", "beyond the end of memory")):
        got = hr.heapray("info", image)
        hr.ok(got.rc == 3 and words in got.err, words, got)
    for args in (["mp"], ["py"]):
        got = hr.heapray(*args)
        hr.ok(got.rc == 2 and f"{args[0]} gc" in got.err and got.out == "", f"heapray {args[0]}: what there is", got)
    got = hr.heapray("mp", "--help")
    hr.ok(got.rc == 0 and "mp info" in got.out and "py gc" not in got.out, "heapray mp --help", got)


if __name__ == "__main__":
    hr.main([programs, webassembly, questions])
