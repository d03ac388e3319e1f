#!/usr/bin/env python3
"""The image of a core against what the process itself said (image_prog.c), /proc/PID/maps, and gdb: kernel's and gcore's cores,
64 and 32 bit, PIE, not PIE and static. tests/tools/imginfo prints what heapray makes of the core."""
import os, re, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

IMGINFO = os.environ.get("IMGINFO", f"{os.path.dirname(hr.HEAPRAY)}/tests/tools/imginfo")


class Image:
    """imginfo's output."""
    def __init__(self, core, *options, peek=()):
        argv = [IMGINFO, *options] + [x for a in peek for x in ("--peek", f"{a:x}")] + [core]
        self.text = subprocess.run(argv, capture_output=True, text=True, errors="replace").stdout
        self.segs, self.mods, self.threads, self.regs, self.notes, self.peeked = [], [], [], {}, [], {}
        for line in self.text.splitlines():
            w = line.split(" ")
            if w[0] == "format":
                self.head = dict(zip(w[0::2], w[1::2]))
            elif w[0] == "command":
                self.command, self.args = re.match(r"command (.*) args (.*)$", line).groups()
            elif w[0] == "auxv":
                self.auxv = [int(x, 16) for x in w[1:]]
            elif w[0] == "seg":
                self.segs.append(dict(lo=int(w[1], 16), hi=int(w[2], 16), flags=w[3], have=int(w[5], 16), mod=int(w[7]), off=int(w[9], 16), name=" ".join(w[10:])))
            elif w[0] == "mod":
                m = dict(lo=int(w[2], 16), hi=int(w[3], 16))
                m.update(zip(w[4:-2:2], w[5:-2:2]))
                m["path"] = line.split(" path ", 1)[1]
                self.mods.append(m)
            elif w[0] == "thread":
                self.threads.append(dict(tid=int(w[1]), sig=int(w[3]), pc=int(w[5], 16), sp=int(w[7], 16), tp=int(w[9], 16), tp_valid=w[10], lo=int(w[12], 16), hi=int(w[13], 16)))
            elif w[0] == "reg":
                self.regs[int(w[1]), int(w[2])] = (w[3] == "1", int(w[4], 16))
            elif w[0] == "peek":
                self.peeked[int(w[1], 16)] = None if w[2] == "-" else int(w[2], 16)
            elif w[0] == "note":
                self.notes.append(line)

    def seg(self, addr):
        return next((s for s in self.segs if s["lo"] <= addr < s["hi"]), None)


class Said:
    """What the process said."""
    def __init__(self, text):
        self.threads, self.locals, self.words, self.modules, self.maps, self.tls = {}, {}, {}, {}, [], {}
        for line in text.splitlines():
            w = line.split()
            if not w:
                continue
            if w[0] == "thread":
                self.threads[int(w[1])] = tuple(int(x, 16) for x in w[2:5])
            elif w[0] == "local":
                self.locals[int(w[1])] = int(w[2], 16)
            elif w[0] == "tls":
                self.tls[int(w[1])] = int(w[3], 16)
            elif w[0] == "word":
                self.words[int(w[1], 16)] = int(w[2], 16)
            elif w[0] == "module":
                self.modules.setdefault(int(w[4]), []).append((int(w[1], 16), int(w[2]), int(w[3], 16), w[5]))
            elif w[0] == "auxv":
                self.auxv = [int(x, 16) for x in w[1:6]]
            elif w[0] == "pid":
                self.pid = int(w[1])
            elif w[0] == "untouched":
                self.untouched = int(w[1], 16)
            elif w[0] == "map":
                m = re.match(r"map ([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) \S+ \d+ *(.*)", line)
                self.maps.append((int(m[1], 16), int(m[2], 16), m[3], int(m[4], 16), m[5]))


def gdb_regs(core, exe, regs, mask):
    """{tid: (register, …)} by gdb from the same core."""
    fmt = " ".join(["%lx"] * len(regs))
    cmd = f'thread apply all printf "R {fmt}\\n", {", ".join(regs)}'
    out = subprocess.run(["gdb", "-nx", "-batch", "-ex", cmd, exe, core], capture_output=True, text=True, errors="replace").stdout
    found, tid = {}, None
    for line in out.splitlines():
        m = re.match(r"Thread \d+ \(.*?(?:LWP |process )(\d+)\)", line)
        if m:
            tid = int(m[1])
        if line.startswith("R "):
            found[tid] = tuple(int(x, 16) & mask for x in line.split()[1:])
    return found


REGS = {"x86-64": (["$pc", "$sp", "$rax", "$rbx", "$rbp", "$r12", "$r15"], [16, 7, 0, 3, 6, 12, 15]),
        "i386": (["$pc", "$sp", "$eax", "$ebx", "$ebp", "$esi", "$edi"], [8, 4, 0, 3, 5, 6, 7])}


def check_segments(img, said, kind, label, gone):
    """Each mapping is there, with its rights, offset and name. gone: mappings that gcore leaves out of the core wholly."""
    bad = []
    for lo, hi, rights, off, name in said.maps:
        if name in ("[vsyscall]", "[vvar]", "[vvar_vclock]"):
            continue
        at = lo
        while at < hi:
            s = img.seg(at)
            if not s:
                if not gone(rights, name):
                    bad.append(f"{at:x} of {lo:x}-{hi:x} {rights} {name}: not there")
                break
            flags = "".join(c if f in s["flags"] else "-" for c, f in (("r", "R"), ("w", "W"), ("x", "X")))
            if kind == "kernel" and flags != rights[:3]:
                bad.append(f"{at:x} {rights} {name}: flags {s['flags']}")
            if kind == "gcore" and (("w" in flags) != (rights[1] == "w") or (rights[2] == "x" and "x" not in flags)):
                bad.append(f"{at:x} {rights} {name}: flags {s['flags']}")
            if name.startswith("/") and (s["name"] != name or s["off"] != off + at - lo):
                bad.append(f"{at:x} {name} {off:x}: is {s['name']} {s['off']:x}")
            if not name.startswith("/") and s["name"].startswith("/"):
                bad.append(f"{at:x} {name}: is {s['name']}")
            at = s["hi"]
    hr.ok(not bad, f"{label}: every mapping of /proc/PID/maps, its rights, offset and file", *bad)
    inside = [s for s in img.segs if not any(lo <= s["lo"] and s["hi"] <= hi for lo, hi, *_ in said.maps)]
    inside = [s for s in inside if not any(n == "[stack]" and s["hi"] == hi for lo, hi, _, _, n in said.maps)] # it has grown since
    hr.ok(not inside, f"{label}: no segment that is no mapping", *inside)


def check_modules(img, said, exe, label):
    for tid, mods in said.modules.items():
        tp = said.threads[tid][0]
        bad = []
        for bias, modid, block, name in mods:
            vdso = name.startswith("linux-")
            real = exe if name == "-" else "[vdso]" if vdso else os.path.realpath(name)
            m = next((m for m in img.mods if m["path"] == real), None)
            if not m:
                bad.append(f"{name} is not there")
                continue
            if int(m["bias"], 16) != bias:
                bad.append(f"{name}: bias {m['bias']}, not {bias:x}")
            size, nr = m["tls"].split("/")
            if int(nr) != modid and int(size, 16):
                bad.append(f"{name}: TLS module {nr}, not {modid}")
            if m["tlsoff"] != "-" and block and tp - int(m["tlsoff"]) != block:
                bad.append(f"{name}: TLS block at {tp - int(m['tlsoff']):x}, not {block:x}")
            if m["tlsoff"] == "-" and name == "-":
                bad.append("no TLS offset of the program")
            # a program without build-id can only be compared by its header page
            if (m["exe"] == "1") != (name == "-") or m["state"] != ("2" if name == "-" and exe.endswith("/noid64") else "1"):
                bad.append(f"{name}: main {m['exe']}, state {m['state']}")
        hr.ok(not bad, f"{label}: the modules of dl_iterate_phdr in thread {list(said.modules).index(tid)}: bias, TLS number, static TLS block", *bad)
    over = [(m["path"], n) for m in img.mods for lo, hi, _, _, n in said.maps if n in ("[heap]", "[stack]") and m["lo"] < hi and lo < m["hi"]]
    hr.ok(not over, f"{label}: no module lies over the heap or the stack", *over)
    n = len(next(iter(said.modules.values())))
    hr.eq(len(img.mods), n, f"{label}: and no others", *img.mods)


def check_threads(img, said, core, exe, label, overflow=False):
    hr.eq(sorted(t["tid"] for t in img.threads), sorted(said.threads), f"{label}: thread ids")
    bad = []
    for t in img.threads:
        tp, lo, hi = said.threads.get(t["tid"], (0, 0, 0))
        if t["tp_valid"] != "1" or t["tp"] != tp:
            bad.append(f"{t['tid']}: thread pointer {t['tp']:x}, not {tp:x}")
        here = said.locals[t["tid"]]
        if not t["lo"] <= here < t["hi"] or (not overflow and not t["lo"] <= t["sp"] <= here):
            bad.append(f"{t['tid']}: stack {t['lo']:x}-{t['hi']:x}, a local at {here:x}, sp {t['sp']:x}")
        maps = next(m for m in said.maps if m[0] <= here < m[1])
        if t["hi"] != maps[1] or (maps[4] != "[stack]" and t["lo"] != maps[0]):
            bad.append(f"{t['tid']}: stack {t['lo']:x}-{t['hi']:x}, mapping {maps}")
    hr.ok(not bad, f"{label}: thread pointers and stacks", *bad)
    names, numbers = REGS[img.head["arch"]]
    want = gdb_regs(core, exe, names, (1 << 8 * int(img.head["word"])) - 1)
    if not want:
        hr.skip(f"{label}: registers", "gdb says nothing")
        return
    got = {t["tid"]: tuple(img.regs[t["tid"], n][1] for n in numbers) for t in img.threads}
    hr.eq(got, want, f"{label}: registers as gdb reads them")


def check_core(core, said, exe, argv, kind, label, signal, fault=None, gone=lambda r, n: False):
    img = Image(core, peek=list(said.words) + [said.untouched])
    if not hr.ok("status ok" in img.text, f"{label}: loads", img.text[-2000:]):
        return img
    hr.eq((img.head["complete"], img.head["missing"], img.head["gcore"]), ("1", "0", "1" if kind == "gcore" else "0"), f"{label}: complete", *img.notes)
    hr.eq((int(img.head["pid"]), int(img.head["signal"])), (said.pid, signal), f"{label}: pid and signal")
    if fault is not None:
        hr.eq(int(img.head["fault"], 16), fault, f"{label}: fault address")
    hr.eq(img.command, os.path.basename(exe)[:15], f"{label}: command")
    hr.eq(img.args, " ".join(argv), f"{label}: arguments")
    hr.eq(img.auxv, said.auxv, f"{label}: auxiliary vector")
    hr.eq(img.threads[0]["tid"], said.pid, f"{label}: the thread that stopped is first")
    wrong = [f"{a:x}: {img.peeked.get(a)!r}, not {v:x}" for a, v in said.words.items() if img.peeked.get(a) != v]
    hr.ok(not wrong, f"{label}: {len(said.words)} words: text, rodata, data, bss, heap, stacks, TLS, library", *wrong)
    hr.ok(img.peeked.get(said.untouched) in (0, None), f"{label}: bss nobody touched is zero or unknown")
    check_segments(img, said, kind, label, gone)
    check_modules(img, said, exe, label)
    check_threads(img, said, core, exe, label, overflow=fault is None and signal == 11)
    return img


def library(name, flags):
    lib = hr.path(name + "_lib.so")
    mode32 = [f for f in flags if f == "-m32"]
    subprocess.run(["gcc", "-O1", "-g", "-shared", "-fPIC", *mode32, "-o", lib, f"{hr.TOP}/tests/truth/prog/image_lib.c"], check=True)
    return lib


def one(flags, name):
    exe, lib = hr.build("image_prog.c", name, *flags), library(name, flags)
    argv = [exe, "wait", lib]
    p, text = hr.start(argv)
    said = Said(text)
    core = hr.gcore(p.pid, name + ".gcore")
    if core:
        # gcore writes what it can read; a mapping without rights, or of a file nobody changed, has no segment
        check_core(core, said, exe, argv, "gcore", f"{name} gcore", 0, gone=lambda r, n: r[0] == "-" or n.startswith("["))
        os.unlink(core)
    else:
        hr.skip(f"{name}: gcore", "not allowed to trace")
    p.kill()
    for mode, signal, fault in (("abort", 6, None), ("segv", 11, 0x123458), ("overflow", 11, None)):
        if not hr.kernel_cores():
            hr.skip(f"{name}: kernel core by {mode}", "core_pattern")
            continue
        core, text, argv = kernel(exe, mode, lib, f"{name}.{mode}")
        if not core:
            hr.skip(f"{name}: kernel core by {mode}", "none was written")
            continue
        check_core(core, Said(text), exe, argv, "kernel", f"{name} {mode}", signal, fault)
        os.unlink(core)


def kernel(exe, mode, lib, name):
    script = hr.path("run.sh")
    with open(script, "w") as f: # the program's output has to be kept, which kernel_core() does not do
        f.write(f'#!/bin/sh\nexec "{exe}" {mode} "{lib}" >"{hr.path(name + ".txt")}"\n')
    os.chmod(script, 0o700)
    core = hr.kernel_core([script], name)
    return core, open(hr.path(name + ".txt")).read(), [exe, mode, lib]


def static64():
    one(["-static", "-DSTATIC"], "static64")


def static_pie64():
    one(["-static-pie", "-DSTATIC"], "staticpie64")


def by_loader():
    """ld.so PROGRAM: the program is main, not the loader that the kernel started."""
    exe, lib = hr.build("image_prog.c", "loaded64"), library("loaded64", [])
    ld = re.search(r"(/\S*ld-linux\S*)", subprocess.run(["ldd", exe], capture_output=True, text=True).stdout)[1]
    argv = [ld, exe, "wait", lib]
    p, text = hr.start(argv)
    core = hr.gcore(p.pid, "loaded64.gcore")
    if core:
        img, said = Image(core), Said(text)
        hr.eq([m["path"] for m in img.mods if m["exe"] == "1"], [exe], "by ld.so: the program is the main module", img.text)
        check_modules(img, said, exe, "by ld.so")
    p.kill()


def read_words(img, said):
    """(right, unknown, [wrong]) of the words the process told."""
    got = [(a, img.peeked.get(a), v) for a, v in said.words.items()]
    return sum(g == v for _, g, v in got), sum(g is None for _, g, _ in got), [f"{a:x}: {g:x}, not {v:x}" for a, g, v in got if g not in (v, None)]


def cut_cores():
    """Whatever the length: unknown or right, never wrong, and the missing bytes are counted."""
    exe, lib = hr.build("image_prog.c", "cut64"), library("cut64", [])
    p, text = hr.start([exe, "wait", lib])
    cores = [("gcore", hr.gcore(p.pid, "cut64.gcore"), Said(text))]
    p.kill()
    if hr.kernel_cores():
        core, text, _ = kernel(exe, "abort", lib, "cut64.kernel")
        cores.append(("kernel", core, Said(text)))
    for kind, core, said in cores:
        if not core:
            hr.skip(f"cut {kind} core", "none")
            continue
        size, short = os.path.getsize(core), hr.path("short")
        last = max(off + n for _, off, n in hr.segments(core))
        for percent in (1, 5, 20, 37, 50, 75, 90, 99):
            n = size * percent // 100
            subprocess.run(["head", "-c", str(n), core], stdout=open(short, "wb"), check=True)
            img = Image(short, peek=said.words)
            right, unknown, wrong = read_words(img, said)
            hr.ok(not wrong and right + unknown == len(said.words), f"{kind} cut at {percent} %: {right} words right, {unknown} unknown, none wrong", *wrong)
            hr.ok(img.head["complete"] == "0" and any("core.truncated" in x for x in img.notes), f"{kind} cut at {percent} %: said", img.text[:500])
            whole = size if kind == "gcore" else last
            hr.eq(int(img.head["missing"]), whole - n, f"{kind} cut at {percent} %: missing bytes")
        os.unlink(core)


def filters():
    """coredump_filter: what is left out is unknown or comes from the file, and is right."""
    if not hr.kernel_cores():
        return hr.skip("coredump_filter", "no kernel cores")
    exe, lib = hr.build("image_prog.c", "filter64", "-no-pie"), library("filter64", [])
    for value in (0x00, 0x01, 0x10, 0x11, 0x33, 0x7f):
        with open("/proc/self/coredump_filter", "w") as f:
            f.write(hex(value))
        core, text, _ = kernel(exe, "abort", lib, f"filter{value:x}")
        said = Said(text)
        img = Image(core, peek=said.words)
        right, unknown, wrong = read_words(img, said)
        hr.ok(not wrong and right >= (4 if value & 0x10 else 0) and (unknown == 0 or not value & 1 or not value & 0x10),
              f"coredump_filter {value:#x}: {right} words right, {unknown} unknown, none wrong", *wrong, img.text[:3000])
        main = [m for m in img.mods if m["exe"] == "1"]
        hr.eq([(m["path"], int(m["bias"], 16)) for m in main], [(exe, 0)], f"coredump_filter {value:#x}: the program and its bias")
        os.unlink(core)
    with open("/proc/self/coredump_filter", "w") as f:
        f.write("0x33")


def moved():
    """A core from elsewhere: the files are gone from their places and stand below another root; stripped, with debug files."""
    exe, lib = hr.build("image_prog.c", "moved64"), library("moved64", [])
    p, text = hr.start([exe, "wait", lib])
    said, core, root = Said(text), hr.gcore(p.pid, "moved64.gcore"), hr.path("root")
    p.kill()
    if not core:
        return hr.skip("sysroot", "no gcore")
    full = Image(core, peek=said.words)
    for m in full.mods:
        if m["path"].startswith("/"):
            os.makedirs(root + os.path.dirname(m["path"]), exist_ok=True)
            subprocess.run(["cp", m["path"], root + m["path"]], check=True)
    os.unlink(exe)
    img = Image(core, peek=said.words)
    hr.ok(any("core.exe_missing" in n and "moved64" in n for n in img.notes), "the program is gone: said", *img.notes)
    right, unknown, wrong = read_words(img, said)
    hr.ok(not wrong and unknown, f"without the program: {right} words right, {unknown} unknown, none wrong", *wrong)
    img = Image(core, "--sysroot", root, peek=said.words)
    hr.eq((read_words(img, said), img.notes), ((len(said.words), 0, []), []), "below --sysroot: every word, no complaint")
    hr.eq([m["path"] for m in img.mods], [m["path"] for m in full.mods], "and the same modules")
    subprocess.run(["cp", root + exe, exe], check=True)
    img = Image(core, "--exe", exe, peek=said.words)
    hr.eq(read_words(img, said), (len(said.words), 0, []), "by --exe: every word")
    # stripped, and its debug file by debuglink beside it, in a debug directory, and by build-id
    subprocess.run(["objcopy", "--only-keep-debug", exe, exe + ".debug"], check=True)
    subprocess.run(["strip", exe], check=True)
    subprocess.run(["objcopy", "--add-gnu-debuglink=" + exe + ".debug", exe], check=True)

    def debug_of(*options):
        return next(m for m in Image(core, *options).mods if m["exe"] == "1")["debug"]

    hr.eq(debug_of(), exe + ".debug", "debug file beside the program")
    os.makedirs(hr.path("dbg", ".build-id"))
    os.rename(exe + ".debug", hr.path("dbg", os.path.basename(exe) + ".debug"))
    hr.eq(debug_of(), "", "none there: none used")
    hr.eq(debug_of("--debug-dir", hr.path("dbg")), hr.path("dbg", os.path.basename(exe) + ".debug"), "in a directory given with --debug-dir")
    ident = next(m for m in full.mods if m["exe"] == "1")["id"]
    os.makedirs(hr.path("dbg", ".build-id", ident[:2]))
    by_id = hr.path("dbg", ".build-id", ident[:2], ident[2:] + ".debug")
    os.rename(hr.path("dbg", os.path.basename(exe) + ".debug"), by_id)
    hr.eq(debug_of("--debug-dir", hr.path("dbg")), by_id, "by build-id below it")
    other = hr.build("image_prog.c", "moved64", "-DOTHER=1", "-O0")
    hr.ok(any("core.module_mismatch" in n and "--exe" in n for n in Image(core, "--exe", other).notes), "another build given with --exe: said")
    for how in (["gzip", "-1", "-c"], ["zstd", "-q", "-c"], ["lz4", "-q", "-c"]):
        packed = core + "." + how[0]
        if subprocess.run([*how, core], stdout=open(packed, "wb")).returncode:
            hr.skip(f"packed with {how[0]}", "not installed")
            continue
        img = Image(packed, "--sysroot", root, peek=said.words)
        hr.eq(read_words(img, said), (len(said.words), 0, []), f"packed with {how[0]}: every word")
        os.truncate(packed, os.path.getsize(packed) // 2)
        img = Image(packed, "--sysroot", root, peek=said.words)
        right, unknown, wrong = read_words(img, said)
        hr.ok(not wrong and img.head["complete"] == "0" and any("file.cut" in n for n in img.notes), f"half of it: {right} words right, {unknown} unknown, none wrong, said", *wrong, img.text[:300])


def pie64():
    one([], "pie64")


def nopie64():
    one(["-no-pie", "-O0"], "nopie64")


def noid64():
    one(["-Wl,--build-id=none"], "noid64")


def pie32():
    if subprocess.run(["gcc", "-m32", "-xc", "-", "-o", hr.path("try32"), "-lpthread"], input=b"int main(void){return 0;}", capture_output=True).returncode:
        return hr.skip("32 bit", "no gcc -m32")
    one(["-m32"], "pie32")
    one(["-m32", "-no-pie"], "nopie32")


hr.main([pie64, nopie64, noid64, pie32, static64, static_pie64, by_loader, cut_cores, filters, moved])
