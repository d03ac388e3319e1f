#!/usr/bin/env python3
"""`map`: every byte of the RAM is one thing. Sizes come from nm and readelf, the heap from mallinfo(), stacks from the bytes themselves."""
import json, os, re, struct, subprocess

import firmware
import hr
from hr import eq, ok, skip

BUILDS = [("lm3s", "nano"), ("microbit", "pico"), ("netduino", "newlib"), ("rv32", "pico"), ("rv64", "pico"), ("stm32vl", "nano")]


def sections(elf):
    """[(name, address, size, flags)] of what is allocated, by readelf."""
    text = subprocess.run(["readelf", "-SW", elf], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = re.findall(r"^\s*\[ *\d+\] (\S+)\s+\S+\s+([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+\s+(\w*)", text, re.M)
    return [(n, int(a, 16), int(s, 16), f) for n, a, s, f in rows if "A" in f and "T" not in f and int(s, 16)]


def variables(elf):
    """{name: (address, size)} of data symbols, by nm."""
    text = subprocess.run(["nm", "-S", elf], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) ([bBdDsSgGvV]) (\S+)$", text, re.M)
    return {n: (int(a, 16), int(s, 16)) for a, s, _, n in rows if int(s, 16)}


def regions(doc):
    return [(int(r["addr"], 16), r["size"], r["kind"], r) for r in doc["regions"]]


def adds_up(doc, captured, name):
    rows = regions(doc)
    ok(all(a + n <= b for (a, n, *_), (b, *_) in zip(rows, rows[1:])), f"{name}: regions are in order and disjoint")
    eq(sum(n for _, n, _, r in rows if r["captured"]), captured, f"{name}: they add up to what was captured")
    eq(sum(n for _, n, k, _ in rows if k != "absent"), captured, f"{name}: all but what is absent")
    eq(doc["captured_bytes"], captured, f"{name}: and so it says")


def one(board, libc):
    why = firmware.missing(board, libc)
    if why:
        return skip(f"{board}-{libc}", why)
    r = firmware.run(board, libc)
    doc = hr.heapray("map", "--json", r.image, "--elf", r.elf, "--regs", r.regs).json()
    rows = regions(doc)
    adds_up(doc, r.size, r.name)
    ram = [s for s in sections(r.elf) if r.base <= s[1] < r.base + r.size]
    eq(sum(n for _, n, k, _ in rows if k == "static"), sum(s[2] for s in ram), f"{r.name}: static memory is the writable sections")
    eq([(a, n) for a, n, k, x in rows if k == "static"], sorted((s[1], s[2]) for s in ram), f"{r.name}: each of them")
    want = {n: v for n, v in variables(r.elf).items() if r.base <= v[0] < r.base + r.size}
    got = {y["name"]: (int(y["addr"], 16), y["size"]) for y in doc["symbols"]}
    eq(got, {n: want[n] for n in got}, f"{r.name}: symbols have nm's addresses and sizes")
    eq({v for v in want.values()}, set(got.values()), f"{r.name}: all of them, one name for each place")
    eq(sum(m["static"] for m in doc["modules"]), sum(s[2] for s in ram), f"{r.name}: modules add up to static memory")
    by = {y["name"].split(".")[0]: y["module"] for y in doc["symbols"]}
    eq({by.get(n) for n in ("kept", "station", "cursor", "history")}, {"heapdemo.c"}, f"{r.name}: variables have their source file")
    mine = [m for m in doc["modules"] if m["module"] == "heapdemo.c"]
    eq([m["static"] for m in mine], [sum(s for n, (a, s) in want.items() if by.get(n.split(".")[0]) == "heapdemo.c")], f"{r.name}: and its sum")
    heap = [x for *_, k, x in rows if k == "heap"]
    ok(abs(sum(x["size"] for x in heap) - r.arena) <= 8, f"{r.name}: the heap is mallinfo's arena", heap, r.arena)
    stack(r, doc, rows)


def stack(r, doc, rows):
    """The main stack begins at the end of RAM; the deepest word that is not zero above the heap is as deep as it ever was."""
    word = 8 if r.board == "rv64" else 4
    data, top = open(r.ram, "rb").read(), r.base + r.size
    heap_end = max(a + n for a, n, k, _ in rows if k == "heap")
    first = next(i for i in range((heap_end - r.base + 7) & ~7, r.size) if data[i]) & ~3
    s = doc["stacks"][0]
    eq((len(doc["stacks"]), s["high_water"], int(s["addr"], 16) + s["size"]), (1, r.size - first, top), f"{r.name}: the stack and how deep it was")
    eq(s["by"], "zeros", f"{r.name}: which is a guess, and is called one")
    ok(s["in_use"] <= s["high_water"] and s["in_use"] % word == 0, f"{r.name}: now it is less deep", s)


def not_captured():
    """What the program has and the image does not is not captured, with its size; nothing of it is counted."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("not captured", why)
    r = firmware.run("lm3s", "nano")
    open(hr.path("late.bin"), "wb").write(open(r.ram, "rb").read()[0xa0:])
    got = hr.heapray("map", "--json", f"{hr.path('late.bin')}@{r.base + 0xa0:#x}", "--elf", r.elf, "--regs", r.regs)
    doc = got.json()
    adds_up(doc, r.size - 0xa0, "not captured")
    eq(sum(x["size"] for x in doc["regions"] if x["kind"] == "absent"), 0xa0, "not captured: as large as it is")
    eq(doc["not_captured_bytes"], 0xa0, "not captured: and so it says")
    eq({x["used"] for x in doc["regions"] if x["kind"] == "absent"}, {None}, "not captured: what is in use there is unknown, not 0")
    ok("not captured" in hr.heapray("map", f"{hr.path('late.bin')}@{r.base + 0xa0:#x}", "--elf", r.elf).out, "not captured: said in the text")


def banks(r, args, svg):
    """Memory in two places, and in very many: every cell says where it is."""
    import xml.etree.ElementTree as xml
    open(hr.path("bank.bin"), "wb").write(bytes(8192))
    x = hr.heapray(*args, "--with", f"{hr.path('bank.bin')}@0x10000000", "--svg", svg, env={"LC_ALL": "C", "COLUMNS": "60"})
    lines = x.out.splitlines()
    at = next(i for i, l in enumerate(lines) if l.startswith(f"  {r.base:08x}  "))
    ok(lines[at - 1].strip() == ": [256 MiB left out]".replace(": ", ":  ") and lines[at - 2].startswith("  1000"), "two banks: the hole between them is said", lines[at - 3:at + 1])
    hexdump = hr.path("many.hex")
    with open(hexdump, "w") as f:
        for i in range(40): # more pieces than a picture gives rows of their own
            a = 0x100 * i
            for type_, addr, data in ((4, 0, bytes([0x10, 0])), (0, a, bytes(range(1, 17)))):
                rec = bytes([len(data), addr >> 8, addr & 255, type_]) + data
                f.write(":" + (rec + bytes([-sum(rec) & 255])).hex().upper() + "\n")
        f.write(":00000001FF\n")
    for more in (f"{hr.path('bank.bin')}@0x10000000", hexdump):
        eq(hr.heapray(*args, "--with", more, "--svg", svg).rc, 0, "banks: drawn")
        titles = [t.text for t in xml.parse(svg).getroot().iter("{http://www.w3.org/2000/svg}title")]
        addr = [int(t.split(":")[0], 16) for t in titles]
        ok(all(0x10000000 <= a < 0x10002000 or r.base <= a < r.base + r.size for a in addr) and addr == sorted(addr), "banks: no cell lies where there is no memory", titles)


def picture():
    """On a narrow terminal without UTF-8, and as SVG."""
    why = firmware.missing("lm3s", "nano")
    if why:
        return skip("picture", why)
    r = firmware.run("lm3s", "nano")
    args = ("map", r.image, "--elf", r.elf, "--regs", r.regs)
    for columns in (40, 80, 132):
        out = hr.heapray(*args, env={"LC_ALL": "C", "COLUMNS": str(columns)}).out
        ok(out.isascii() and max(map(len, out.splitlines())) <= columns, f"{columns} columns, ASCII", out)
    strip = "".join(re.findall(r"^  [0-9a-f]{8}  ([A-Za-z.?]+)$", out, re.M))
    cell = int(re.search(r"one character: (\d+) B", out)[1])
    eq(len(strip) * cell, r.size, "the cells add up to the RAM")
    data = open(r.ram, "rb").read()
    ok(all(strip[i] in "." for i in range(len(strip)) if not any(data[i * cell:(i + 1) * cell]) and i * cell > 0x2000 and strip[i] not in "Kk"),
       "what is all zeros behind the heap is never written")
    ok("█" in hr.heapray(*args, env={"LC_ALL": "C.UTF-8"}).out, "blocks where they can be shown")
    svg = hr.path("map.svg")
    eq(hr.heapray(*args, "--svg", svg).rc, 0, "--svg")
    import xml.etree.ElementTree as xml
    tree = xml.parse(svg)
    cells = [x for x in tree.getroot().iter("{http://www.w3.org/2000/svg}rect") if x.find("{http://www.w3.org/2000/svg}title") is not None]
    ok(len(cells) > 5, "the SVG is XML and has cells")
    banks(r, args, svg)
    eq(hr.heapray(*args, "--svg", r.ram).rc, 2, "never over an input")
    eq(open(r.ram, "rb").read(), data, "which is as it was")


def own_script():
    """picolibc's linker script: .stack and the vector table are sections of unclear flags; they are no variables that were not captured."""
    why = firmware.missing("lm3s", "pico")
    if why:
        return skip("picolibc's linker script", why)
    elf = hr.path("own.elf")
    sizes = [f"-Wl,--defsym={n}" for n in ("__flash=0", "__flash_size=0x40000", "__ram=0x20000000", "__ram_size=0x10000", "__stack_size=0x800")]
    subprocess.run(["arm-none-eabi-gcc", "--specs=picolibc.specs", "-mcpu=cortex-m3", "-mthumb", "-g", "-O1", "-Tpicolibc.ld", *sizes,
                    f"{hr.TOP}/tests/truth/prog/own_script.c", "-o", elf], check=True)
    r = firmware.Run("lm3s", "pico", name="-own", elf=elf)
    doc = hr.heapray("map", "--json", r.image, "--elf", elf, "--regs", r.regs).json()
    adds_up(doc, r.size, "picolibc's linker script")
    ram = [s for s in sections(elf) if r.base <= s[1] < r.base + r.size and s[0] != ".stack"]
    got = [(a, n) for a, n, k, _ in regions(doc) if k == "static"]
    eq(got, sorted((s[1], s[2]) for s in ram), "picolibc's linker script: its variables")
    eq((doc["not_captured_bytes"], [n for n in doc["notes"] if n["code"].startswith("roots.")]), (0, []), "picolibc's linker script: flash is no memory that is missing")
    eq([(s["size"], int(s["addr"], 16)) for s in doc["stacks"]], [(0x800, r.base + r.size - 0x800)], "picolibc's linker script: the stack it reserves")


def sample():
    """samples/firmware/run.py leaves the same memory as the tests' own run of it."""
    why = firmware.missing("stm32vl", "nano")
    if why:
        return skip("the sample", why)
    r = firmware.run("stm32vl", "nano")
    x = subprocess.run([f"{hr.TOP}/samples/firmware/run.py", "stm32vl", "nano", hr.path("station")], stdout=subprocess.PIPE, text=True, timeout=60)
    eq((x.returncode, open(hr.path("station.bin"), "rb").read() == open(r.ram, "rb").read()), (0, True), "the sample runs, and its memory is as here")
    commands = [line.split()[1:] for line in x.stdout.splitlines()]
    eq([hr.heapray(*c).rc for c in commands], [0, 1], "the commands it prints work", x.stdout)


def process():
    """A Linux core: in proportion, and every byte of the dump is somewhere."""
    exe = hr.build("glibcheap.c", "glibcheap")
    p, _ = hr.start([exe])
    core = hr.gcore(p.pid, "core")
    p.kill()
    if not core:
        return skip("a process", "no gcore")
    doc = hr.heapray("map", "--json", core).json()
    adds_up(doc, sum(size for _, _, size in hr.segments(core)), "a process")
    kinds = {r["kind"] for r in doc["regions"]}
    ok({"static", "stack"} <= kinds, "a process: variables and stacks", kinds)
    want = variables(exe)
    got = {y["name"]: (y["size"], y["module"]) for y in doc["symbols"]}
    ok(any(n in got and got[n] == (s, "glibcheap.c") for n, (_, s) in want.items()), "a process: its variables with their file", got)


hr.main([lambda b=b: one(*b) for b in BUILDS] + [not_captured, picture, own_script, sample, process])
