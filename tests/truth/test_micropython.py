#!/usr/bin/env python3
"""MicroPython without symbols: the shipped micro:bit firmware under QEMU, and the npm package for WebAssembly.

Before its memory is saved each interpreter prints its own mem_info(1); after gc.collect() memory is saved again. The map has to
agree in every cell, the numbers have to be equal, and what was really freed has to be what was predicted."""
import os, re, shutil, socket, struct, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mp"))
import containers
import hr
from scenarios import BROKEN, COMMON, SCENARIOS, SPLIT, WEAK

def ask(verb, image, *args):
    return hr.heapray(*verb.split(), image, *args, "--json").json()


FIRMWARE = "/usr/share/firmware-microbit-micropython/firmware.hex"
PACKAGE = "@micropython/micropython-webassembly-pyscript"


class Board:
    """The firmware, driven over the raw REPL of its serial line; the monitor saves its memory."""

    def __init__(self, name):
        self.dir = os.path.join(hr.SCRATCH, name)
        os.mkdir(self.dir)
        ends = [os.path.join(self.dir, n) for n in ("serial", "monitor")]
        self.p = subprocess.Popen(["qemu-system-arm", "-M", "microbit", "-device", "loader,file=" + FIRMWARE, "-display", "none",
                                   "-serial", f"unix:{ends[0]},server=on,wait=on", "-monitor", f"unix:{ends[1]},server=on,wait=off"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hr._started.append(self.p)
        self.serial, self.monitor = [self.connect(e) for e in ends]
        self.ask()
        self.until(b">>> ")
        self.send(b"\x01")
        self.until(b"CTRL-B to exit\r\n>")

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        for _ in range(200):
            try:
                s.connect(path)
                s.settimeout(.05 if path.endswith("serial") else 5)
                return s
            except OSError:
                time.sleep(.02)
        raise OSError(f"no {path}")

    def ask(self, command=None):
        if command:
            self.monitor.sendall(command.encode() + b"\n")
        out = b""
        while not out.rstrip().endswith(b"(qemu)"):
            out += self.monitor.recv(65536)
        return out.decode(errors="replace")

    def send(self, data): # the UART has a small buffer and no flow control
        for i in range(0, len(data), 16):
            self.serial.sendall(data[i:i + 16])
            time.sleep(.004)

    def until(self, mark):
        out, end = b"", time.time() + 20
        while mark not in out:
            if time.time() > end:
                raise TimeoutError(f"no {mark!r} in {out[-300:]!r}")
            try:
                out += self.serial.recv(65536)
            except TimeoutError:
                pass
        return out.decode(errors="replace").replace("\r", "")

    def save(self, name):
        path = os.path.join(self.dir, name)
        self.ask("stop")
        with open(path + ".regs", "w") as f:
            f.write(self.ask("info registers"))
        self.ask(f'memsave 0x20000000 0x4000 "{path}"')
        self.ask("cont")
        return path

    def close(self):
        self.p.kill()
        self.p.wait()


def truth_of(text):
    """The numbers and the unfolded map that mem_info(1) printed."""
    t = dict(zip(("total", "used", "free"), map(int, re.search(r"total: (\d+), used: (\d+), free: (\d+)", text).groups())))
    t.update(zip(("one_block", "two_blocks", "max_block", "max_free_run"),
                 map(int, re.search(r"1-blocks: (\d+), 2-blocks: (\d+), max blk sz: (\d+), max free sz: (\d+)", text).groups())))
    t["pool"] = int(re.search(r"layout; from ([0-9a-f]+)", text).group(1), 16)
    rows = re.findall(r"^(?:[0-9a-f]{5,8}: (\S+)|\s+\((\d+) lines all free\))", text, re.M)
    t["map"] = "".join(row or "." * 64 * int(n) for row, n in rows)
    return t


def check_map(name, image, args, want):
    got = ask("mp info", image, *args)
    areas = got["areas"]
    seen = {"pool": int(areas[0]["pool"], 16), "total": sum(a["blocks"] * a["block_size"] for a in areas)}
    for key, over in dict(used=sum, free=sum, one_block=sum, two_blocks=sum, max_block=max, max_free_run=max).items():
        seen[key] = over(a[key] for a in areas)
    hr.eq(seen, {k: v for k, v in want.items() if k != "map"}, f"{name}: numbers of gc_info(), {len(areas)} areas")
    hr.eq(got["map"], want["map"], f"{name}: map of mem_info(1), cell for cell")
    hr.eq([n for n in got["notes"] if n["code"].startswith("heap.corrupt")], [], f"{name}: nothing is called damaged in a sound heap")
    return got


def check_objects(name, image, args, said):
    told = {int(a): (t, None if n == "None" else int(n)) for a, t, n in re.findall(r"^(?:OK)?@OBJ (\d+) (\S+) (\S+)", said, re.M)}
    if told:
        seen = {int(o["addr"], 16): (o["type"].split(".")[-1], o["len"]) for o in ask("objects", image, *args)["objects"]}
        hr.eq({a: seen.get(a) for a in told}, told, f"{name}: types and lengths of {len(told)} objects")


def check_path(name, image, args, said):
    """The global that holds the list of the scenario is named on the way to it."""
    node = re.search(r"^(?:OK)?@OBJ (\d+) list ", said, re.M)
    if node:
        paths = ask("path", image, hex(int(node.group(1))), *args)["paths"]
        ways = [[(step.get("root") or step.get("type") or "", step.get("field") or "") for step in p] for p in paths]
        hr.ok(any("__main__" in w[0][0] and any("['a_list']" in field for _, field in w) for w in ways), f"{name}: path names the global", ways)


def allocations(info):
    return {int(a["pool"], 16) + i * a["block_size"] for a in info["areas"] for i, c in enumerate(a["map"]) if c not in ".="}


def check_freed(name, before, after, gc):
    freed = allocations(before) - allocations(after)
    hr.ok(len(freed) > 3, f"{name}: the collector freed something")
    hr.eq({int(g["addr"], 16) for g in gc["garbage"]}, freed, f"{name}: predicted to be freed = freed ({len(freed)} allocations)")


def check_unreachable(name, image, args, gc):
    """What the collector would free is what no root leads to, for `blocks` and `check` as well."""
    lost = {b["addr"] for b in hr.heapray("blocks", image, *args, "--ndjson", "--state", "used").ndjson()[1] if (b["reach"] or "").startswith("leaked")}
    hr.eq(lost, {g["addr"] for g in gc["garbage"]}, f"{name}: unreachable is what the collector would free")


def check_after(name, before, after, gc):
    """The free bytes and the largest free piece behind the collection, against the map of then. What was allocated meanwhile is taken
    away from it."""
    if allocations(after) - allocations(before):
        return
    areas = after["areas"]
    hr.eq((gc["free_after"], gc["longest_free_after"]), (sum(a["free"] for a in areas), max(a["max_free_run"] * a["block_size"] for a in areas)),
          f"{name}: free and largest piece behind gc.collect()")


def cut_short(name, image, args):
    """RAM that was not saved to its end: said, and not counted as free or as zeros."""
    cut = os.path.join(hr.SCRATCH, "cut.bin")
    with open(image, "rb") as f, open(cut, "wb") as g:
        g.write(f.read()[:0x1800])
    r = hr.heapray("mp", "info", cut + "@0x20000000", *args, "--json")
    hr.ok(r.rc == 4 and any(n["code"] == "core.truncated" and n.get("addr") == "0x20001800" for n in r.json()["notes"]),
          f"{name}: what was not captured is said, with its address", r)


class Saved:
    """What containers.py puts into its containers."""
    def __init__(self, image):
        self.ram, self.regs, self.base, self.size = image, image + ".regs", 0x20000000, 0x4000


def boxed(image, args):
    """The same RAM in every container gives the same report, byte for byte; also where it comes in two pieces."""
    ram = Saved(image)
    if not shutil.which("srec_cat") or not shutil.which("objcopy"):
        return hr.skip("micro:bit in containers", "no srec_cat or no objcopy")
    keep = [(ram.base, ram.base + 0x2310), (ram.base + 0x2310, ram.base + ram.size)]
    containers.agree("micro:bit", ram, keep, [*args, "--arch", "arm"], asked=[[], ["check"], ["top", "--json"], ["map"], ["blocks", "--ndjson"], ["mp", "info", "--json"], ["mp", "gc", "--json"]])


def flash_of(path):
    """The bytes of an Intel HEX file below 1 MiB, by a reader of this test's own."""
    base, mem = 0, bytearray(b"\xff" * (1 << 20))
    for line in open(path):
        b = bytes.fromhex(line.strip()[1:])
        if b[3] in (2, 4):
            base = int.from_bytes(b[4:6], "big") << (16 if b[3] == 4 else 4)
        elif b[3] == 0 and base < len(mem):
            at = base + int.from_bytes(b[1:3], "big")
            mem[at:at + b[0]] = b[4:4 + b[0]]
    return mem


def naive_loads(mem, lo, hi):
    """address: number of Thumb instructions ldr rN, [pc, #n] that load it, for all addresses in RAM."""
    n = {}
    for at in range(0, len(mem) - 1, 2):
        if mem[at + 1] >> 3 == 9:
            pool = (at + 4 & ~3) + 4 * mem[at]
            v = int.from_bytes(mem[pool:pool + 4], "little")
            if lo <= v < hi:
                n[v] = n.get(v, 0) + 1
    return n


def naive_collector(mem, lo, hi):
    """{(first root, words)} where mov r1, #n stands between the load of an address and the call, within 32 bytes behind a push."""
    found = set()
    for at in range(0, len(mem) - 64, 2):
        if mem[at + 1] != 0xb5: # push {.., lr}
            continue
        code = [int.from_bytes(mem[i:i + 2], "little") for i in range(at, at + 40, 2)]
        r0 = [int.from_bytes(mem[p:p + 4], "little") for i, h in enumerate(code) if h >> 8 == 0x48 for p in [(at + 2 * i + 4 & ~3) + 4 * (h & 255)]]
        r1 = [h & 255 for h in code if h >> 8 == 0x21]
        if len(r0) == 1 and len(r1) == 1 and lo <= r0[0] < hi and any(h >> 11 == 30 for h in code) and code[3] >> 9 == 0x2d and 0x3301 in code:
            found.add((r0[0], r1[0])) # ldrh r3, [r0, r2]; adds r3, #1: gc_lock_depth
    return found


def check_code(name, state):
    """What the firmware's code says of the state, against a search for bit patterns."""
    mem = flash_of(FIRMWARE)
    loads = naive_loads(mem, 0x20000000, 0x20004000)
    named = int(state["named"], 16)
    hr.eq((state["named_by"], loads[int(state["next"], 16)]), (loads[named], max(n for a, n in loads.items() if not named <= a < named + 0x200)),
          f"{name}: the state is loaded by so many instructions, the next best by fewer or more")
    hr.eq({(int(state["roots"], 16), state["root_words"])}, naive_collector(mem, 0x20000000, 0x20004000), f"{name}: the roots, from the collector's code")
    hr.eq((state["roots_by"], state["root_words_by_memory"]), ("code", state["root_words"]), f"{name}: memory says the same")


def microbit():
    if not shutil.which("qemu-system-arm") or not os.path.exists(FIRMWARE):
        return hr.skip("micro:bit", "qemu-system-arm or firmware-microbit-micropython is not installed")
    for name, code in SCENARIOS.items():
        b = Board(name)
        b.send((COMMON + code + '''
import microbit
def snap():
    local = Node("local")
    micropython.mem_info(1)
    print("@ONE")
    t = microbit.running_time()
    while microbit.running_time() - t < 300: pass
    gc.collect()
    print("@TWO")
    while True: pass
snap()
''').encode() + b"\x04")
        said = b.until(b"@ONE")
        one = b.save("one.bin")
        b.until(b"@TWO")
        two = b.save("two.bin")
        b.close()
        args = ("--with", FIRMWARE)
        before = check_map(f"micro:bit {name}", one + "@0x20000000", args, truth_of(said))
        check_objects(f"micro:bit {name}", one + "@0x20000000", args, said)
        check_path(f"micro:bit {name}", one + "@0x20000000", (*args, "--regs", one + ".regs"), said)
        check = ask("check", one + "@0x20000000", *args, "--regs", one + ".regs")
        hr.eq([f["rule"] for f in check["findings"] if f["rule"].startswith("leak.") and f["severity"] == "error"], [],
              f"micro:bit {name}: garbage that waits for its collector is no leak")
        cut_short(f"micro:bit {name}", one, args)
        if name == next(iter(SCENARIOS)):
            boxed(one, args)
            check_code("micro:bit", before["state"])
        after = ask("mp info", two + "@0x20000000", *args)
        gc = ask("mp gc", one + "@0x20000000", *args, "--regs", one + ".regs")
        check_freed(f"micro:bit {name}", before, after, gc)
        check_unreachable(f"micro:bit {name}", one + "@0x20000000", (*args, "--regs", one + ".regs"), gc)
        check_after(f"micro:bit {name}", before, after, gc)
        hr.eq((before["repr"], before["version"][:5]), ("C", "1.9.2"), f"micro:bit {name}: representation and version")


ASSEMBLER = """
def plain(x): return x
exec('@micropython.asm_thumb\\ndef asm(r0, r1):\\n  add(r0, r0, r1)\\n' * 12)
keep = [asm]
print("@FUN", id(asm), id(plain), asm(3, 4))
micropython.mem_info(1)
"""


def machine_code():
    """Inline assembler: such functions are told from those of bytecode (which alone mem_info(1) shows as B), and own their code."""
    if not shutil.which("qemu-system-arm") or not os.path.exists(FIRMWARE):
        return hr.skip("machine code", "qemu-system-arm or firmware-microbit-micropython is not installed")
    b = Board("assembler")
    b.send((COMMON + ASSEMBLER + 'print("@DONE")\nwhile True: pass\n').encode() + b"\x04")
    said = b.until(b"@DONE")
    image = b.save("ram.bin")
    b.close()
    args = ("--with", FIRMWARE, "--regs", image + ".regs")
    check_map("machine code", image + "@0x20000000", args, truth_of(said))
    asm, plain, seven = map(int, re.search(r"@FUN (\d+) (\d+) (\d+)", said).groups())
    values = {int(o["addr"], 16): (o["type"], o["value"]) for o in ask("objects", image + "@0x20000000", *args)["objects"]}
    hr.eq((seven, values[asm], values[plain]), (7, ("function", "assembler"), ("function", None)), "machine code: which function is which")
    blocks = [b for b in hr.heapray("blocks", image + "@0x20000000", *args, "--ndjson", "--state", "used").ndjson()[1] if b["owner"] == hex(asm)]
    hr.eq([b["type"] for b in blocks], ["native code"], "machine code: its code is the function's")
    with open(image, "rb") as f:
        f.seek(int(blocks[0]["addr"], 16) - 0x20000000)
        hr.ok(struct.pack("<H", 0x1840) in f.read(blocks[0]["size"]), "machine code: adds r0, r0, r1 is in it")


def broken():
    """A request that really failed although more was free is found, with what stands in the way; where it fits, nothing is said."""
    if not shutil.which("qemu-system-arm") or not os.path.exists(FIRMWARE):
        return hr.skip("broken up heap", "qemu-system-arm or firmware-microbit-micropython is not installed")
    whole = BROKEN.replace("keep.append(bytearray(20))", "pass").replace("bytearray(700)", "bytearray(400)").replace("ASKED", "1")
    for name, code in ("broken", BROKEN.replace("ASKED", "9")), ("whole", whole):
        b = Board(name)
        b.send((COMMON + code + 'print("@DONE")\nwhile True: pass\n').encode() + b"\x04")
        said = b.until(b"@DONE")
        image = b.save("ram.bin")
        b.close()
        fails = "@FAILS" in said
        hr.eq(fails, name == "broken", f"{name}: the request {'fails' if name == 'broken' else 'fits'} on the board", said)
        args = (image + "@0x20000000", "--with", FIRMWARE, "--regs", image + ".regs")
        found = [f for f in ask("check", *args)["findings"] if f["rule"] == "micropython.fragmentation"]
        hr.eq(len(found), int(fails), f"{name}: micropython.fragmentation", found)
        gc = ask("mp gc", *args)
        free = int(re.search(r"@FREE (\d+)", said).group(1))
        hr.ok(gc["longest_free_after"] < 700 < free if fails else gc["longest_free_after"] >= 400, f"{name}: the largest piece behind gc.collect()",
              gc["longest_free_after"], free)
        if fails:
            hr.ok("array buffer" in str(found[0]) and "__main__['keep']" in str(found[0]), f"{name}: what stands in the way is named", found)


def package(version):
    """The npm package, fetched once into the build folder; None when there is none to be had."""
    top = os.path.join(hr.TOP, "build", "npm", version)
    at = os.path.join(top, "node_modules", PACKAGE)
    if not os.path.exists(os.path.join(at, "micropython.wasm")):
        os.makedirs(top, exist_ok=True)
        try:
            subprocess.run(["npm", "i", "--silent", "--no-audit", "--no-fund", "--prefix", top, f"{PACKAGE}@{version}"], timeout=60,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return None
    return at if os.path.exists(os.path.join(at, "micropython.wasm")) else None


def run_package(at, name, code, heap):
    """Runs a program in the package; where its memory was saved, and what it said. Saved: with the map just printed, when nothing runs, behind
    gc.collect(), and behind one more call into it."""
    script, out = os.path.join(hr.SCRATCH, "script.py"), os.path.join(hr.SCRATCH, name)
    with open(script, "w") as f:
        f.write(COMMON + code + 'micropython.mem_info(1)\nprint("@SNAP map")\n#---\n#snap one\n#---\ngc.collect()\n#---\n#snap two\n#---\n#poke\n#---\n#snap three\n')
    said = subprocess.run(["node", os.path.join(hr.HERE, "mp", "dump.mjs"), at, script, out, str(heap)], stdout=subprocess.PIPE, timeout=60,
                          text=True, check=True).stdout.replace("\r", "")
    return out, said


def check_package_gc(name, version, out, said, args):
    """What is predicted from memory when no Python runs is what the collector frees: at once (1.27 and later), with the next call into the package
    (1.23 to 1.26, which put it off), or but for what its own stack holds (1.20 to 1.22)."""
    if "@NOGC" in said:
        gc = ask("mp gc", out + ".one@0", *args)
        hr.ok(not gc["exact"], f"{name}: this package cannot collect, and the answer does not claim to be exact", gc)
        return
    one, two, three = (ask("mp info", f"{out}.{n}@0", *args) for n in ("one", "two", "three"))
    put_off = not allocations(one) - allocations(two)
    hr.eq(put_off, version.startswith(("1.23", "1.24", "1.25", "1.26")), f"{name}: is the collection put off?")
    before, after, gc = (two, three, ask("mp gc", out + ".two@0", *args)) if put_off else (one, two, ask("mp gc", out + ".one@0", *args))
    if gc["exact"]:
        check_freed(name, before, after, gc)
        check_unreachable(name, out + (".two@0" if put_off else ".one@0"), args, gc)
        check_after(name, before, after, gc)
        return
    hr.ok(version < "1.23", f"{name}: only what scans a stack is not exact", gc["stack"])
    freed, said_so = allocations(before) - allocations(after), {int(g["addr"], 16) for g in gc["garbage"]}
    hr.ok(freed <= said_so and len(said_so - freed) <= 10, f"{name}: nothing that was freed is missing", len(freed), len(said_so))


def check_weak(name, image, args, said, gc):
    """Which objects have weak references, how many each, and which lose their object."""
    told = {int(a): int(n) for a, n in re.findall(r"^@WEAK (\d+) (\d+)", said, re.M)}
    objects = ask("objects", image, *args)["objects"]
    seen = {int(o["addr"], 16): o["weakrefs"] for o in objects if o["weakrefs"]}
    hr.eq({a: seen.get(a) for a in told}, told, f"{name}: weak references to {len(told)} objects")
    info = ask("mp info", image, *args)
    hr.eq(sum(a["weakref_objects"] for a in info["areas"]), len(seen), f"{name}: objects whose bit is set are those of the table")
    hr.eq(gc["weakrefs"], int(re.search(r"@DYING (\d+)", said).group(1)), f"{name}: how many will call back")
    dead = [o for o in objects if o["type"] == "ref" and o["value"] == "dead"]
    hr.ok(all(o["value"].startswith("to <") for o in objects if o["type"] in ("ref", "finalize") and o not in dead), f"{name}: where each leads")


# Packages, and the programs that each runs. 1.20's heap does not grow.
PACKAGES = {"1.20.0-239": ("kinds",), "1.22.0-380": ("rings", "kinds", "shapes", "shrunk", "split"), "1.24.1": ("kinds", "shrunk", "split"),
            "1.26.0": ("kinds", "split"), "1.27.0": ("rings", "kinds", "shapes", "shrunk", "split"), "1.29.0-6": ("kinds", "weak", "split")}


def webassembly():
    if not shutil.which("node"):
        return hr.skip("WebAssembly", "node is not installed")
    for version, names in PACKAGES.items():
        at = package(version)
        if not at:
            hr.skip(f"WebAssembly {version}", "the npm package cannot be fetched")
            continue
        for name in names:
            out, said = run_package(at, f"{version}-{name}", {**SCENARIOS, "split": SPLIT, "weak": WEAK}[name], 64 * 1024)
            args, name = ("--arch", "wasm32"), f"wasm {version} {name}"
            got = check_map(name, out + ".map@0", args, truth_of(said))
            hr.eq((got["repr"], got["state"]["roots_by"], bool(got["state"]["code"])), ("A", "memory", True), f"{name}: representation; its code is not in memory")
            check_objects(name, out + ".map@0", args, said)
            check_path(name, out + ".map@0", args, said)
            check_package_gc(name, version, out, said, args)
            if name.endswith("weak"):
                check_weak(name, out + ".one@0", args, said, ask("mp gc", out + ".one@0", *args))


if __name__ == "__main__":
    hr.main([microbit, machine_code, broken, webassembly])
