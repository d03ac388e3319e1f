#!/usr/bin/env python3
"""The type table against the compiler's own word: programs print sizes, offsets, bits and addresses of their types and
variables (prog/layout.*), compiled with gcc and clang in every DWARF version and dress; the table has to say the same."""
import json, os, re, shutil, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

DUMP = os.path.join(os.environ.get("HR_BUILD", f"{hr.TOP}/build"), "tests/tools/dumptypes")
PROG = f"{hr.TOP}/tests/truth/prog"
# gcc-multilib would bring /usr/include/asm, but cannot be installed beside cross compilers.
M32 = ["-m32", "-isystem", "/usr/include/x86_64-linux-gnu"]
FLEX, POLY, BITFIELD, ANON, BASE, VIRTUAL = 16, 2, 8, 32, 1, 2


def compile(cc, name, sources, *flags):
    r = subprocess.run([cc, *(["-D_GNU_SOURCE", "-w"] if cc != "rustc" else []), "-o", hr.path(name), *[f"{PROG}/{s}" for s in sources], *flags], capture_output=True,
                       text=True, cwd=hr.SCRATCH)
    return hr.path(name) if r.returncode == 0 else None


class Table:
    def __init__(self, *files):
        r = subprocess.run([DUMP, *files], capture_output=True, text=True)
        self.rc, self.err, self.files = r.returncode, r.stderr, files
        lines = [json.loads(l) for l in r.stdout.splitlines()]
        self.types = {l["t"]: l for l in lines if "t" in l}
        self.vars = [l for l in lines if "v" in l]
        self.notes = {l["n"] for l in lines if "n" in l}

    def ask(self, questions):
        r = subprocess.run([DUMP, *self.files, "--ask"], input="\n".join(questions) + "\n", capture_output=True, text=True)
        return [json.loads(l) for l in r.stdout.splitlines()]

    def var(self, name, func=""):
        return [v for v in self.vars if v["name"] == name and v["func"] == func]


def said_by(binary, runner=()):
    r = subprocess.run([*runner, binary], capture_output=True, text=True)
    return [l.split("|") for l in r.stdout.splitlines() if "|" in l]


def base_of(binary, nm="nm"):
    for l in subprocess.run([nm, binary], capture_output=True, text=True).stdout.splitlines():
        if l.endswith(" __executable_start"):
            return int(l.split()[0], 16)
    raise RuntimeError("no __executable_start")


def union_path(path):
    return "anon" in path or path.startswith(("u", "l.", "text"))


def compare(label, table, facts, base, tls=True):
    """Each line the program said is one comparison; reported as one test per kind."""
    wrong, count = {}, {}

    def check(kind, good, what):
        count[kind] = count.get(kind, 0) + 1
        if not good:
            wrong.setdefault(kind, []).append(what)

    def funcs(name): # clang -O2 leaves statics of an inlined function in a function without a name
        return (name, "") if "clang -O2" in label else (name,)

    asked = [("type " + f[1]) if f[0] in "SBE" else f"offset {f[1]}|{f[2]}" if f[0] == "F" else "type int" for f in facts]
    answers = table.ask(asked)
    inner = table.ask([f"at {f[1]}|{f[3]}" if f[0] == "F" else "type int" for f in facts])
    for f, a, at in zip(facts, answers, inner):
        k = f[0]
        if k == "S":
            check("sizes", a["size"] == int(f[2]), (f, a["size"]))
        elif k == "F":
            check("offsets", a == int(f[3]), (f, a))
            if int(f[4]) and not union_path(f[2]):
                check("member at an offset", at["path"].startswith(f[2]), (f, at))
        elif k == "B":
            got = [(m["off"] * 8 + m["bo"], m["bs"]) for m in a["fields"] if m["name"] == f[2] and m["flags"] & BITFIELD]
            check("bit-fields", got == [(int(f[3]), int(f[4]))], (f, got))
        elif k == "E":
            got = [m["off"] for m in a["fields"] if m["name"] == f[2]]
            check("enumerators", got == [int(f[3]) & 0xffffffff], (f, got))
        elif k == "I":
            row = table.ask([f"type {f[1]}"])[0]
            got = [m["off"] for m in row["fields"] if m["flags"] & BASE and m["name"] == f[2].split("::")[-1]]
            check("base classes", got == [int(f[3])], (f, got))
        elif k in "GM":
            got = [v for v in table.var(f[1]) if v["v"] == base + int(f[2])]
            check("addresses of globals", len(got) == 1 and (k == "G" or v_kind(got[0], f[1])), (f, table.var(f[1])))
        elif k == "L":
            got = [v["v"] - base for v in table.vars if v["name"] == f[2] and v["kind"] == 1 and v["func"] in funcs(f[1])]
            check("static locals", int(f[3]) in got and len(got) == len(set(got)), (f, got))
        elif k == "T" and tls:
            got = [v["v"] for v in table.var(f[1]) if v["kind"] == 2]
            check("thread-locals", got == [int(f[2])], (f, got))
    for kind in count:
        hr.ok(kind not in wrong, f"{label}: {count[kind]} {kind}", *wrong.get(kind, []))
    return count


def v_kind(v, name):
    return v["kind"] == (3 if "::shared" in name or "::made" in name else 0)


def c_shape(label, t):
    """What the program does not print: names, flags, one row for what two units share."""
    named = lambda n, **kw: [r for r in t.types.values() if r["name"] == n and all(r[k] == v for k, v in kw.items())]
    hr.eq(len(named("opaque")), 1, f"{label}: a declaration and its definition elsewhere are one row")
    hr.eq([r["size"] > 0 for r in named("opaque")], [True], f"{label}: the row is the definition")
    hr.eq(len(named("shared_t", kind=16)), 1, f"{label}: a header's type in two units is one row")
    hr.eq(len(named("opaque2")), 1, f"{label}: a header's struct in two units is one row")
    for n, want in (("flex", FLEX), ("flex0", FLEX), ("flex1", FLEX), ("notflex", 0), ("node", 0)):
        hr.eq([r["flags"] & FLEX for r in named(n)], [want], f"{label}: struct {n}: flexible or not")
    types = {v["name"]: v["type"] for v in t.vars}
    for n, want in (("g_outer", "struct outer"), ("g_opaque", "struct opaque *"), ("g_list", "node_t *"), ("g_mix", "union mix [5]"),
                    ("s_things", "Thing [4]"), ("s_fp", "struct list *(*)()"), ("g_names", "char *[2]"), ("t_int", "int")):
        hr.eq(re.sub(r" (?=\(\*\))", "", types.get(n, "")), want, f"{label}: type of {n}")
    outer = named("outer")[0]
    got = {m["name"]: re.sub(r" (?=\(\*\))", "", m["tname"]) for m in outer["fields"]}
    for n, want in (("grid", "int [2][3][4]"), ("call", "void(*)()"), ("table", "void(*[4])()"), ("cv", "struct node *"), ("flag", "_Bool"),
                    ("nodes", "struct node [3]"), ("color", "enum color")):
        hr.eq(re.sub(r" (?=\(\*)", "", got.get(n, "")), want, f"{label}: type of outer.{n}")
    hr.eq(len([m for m in outer["fields"] if m["flags"] & ANON]), 1, f"{label}: the anonymous struct is a member without a name")
    two = sorted((v["type"], os.path.basename(v["file"])) for v in t.vars if v["name"] == "s_node")
    hr.eq(two, [("struct local", "layout2.c"), ("struct node", "layout.c")], f"{label}: statics of one name in two units")
    line = 1 + open(f"{PROG}/layout.c").read().split("struct outer g_outer;")[0].count("\n")
    hr.eq([(v["line"], os.path.basename(v["file"])) for v in t.var("g_outer")], [(line, "layout.c")], f"{label}: place of declaration")


C = ["layout.c", "layout2.c"]
DRESS = [(f"{cc} -gdwarf-{v}", cc, ["-g", f"-gdwarf-{v}"]) for cc in ("gcc", "clang") for v in (2, 3, 4, 5)] + [
    ("gcc strict DWARF 3", "gcc", ["-g", "-gdwarf-3", "-gstrict-dwarf"]),
    ("gcc type units 4", "gcc", ["-g", "-gdwarf-4", "-fdebug-types-section"]),
    ("gcc type units 5", "gcc", ["-g", "-gdwarf-5", "-fdebug-types-section"]),
    ("clang type units", "clang", ["-g", "-gdwarf-5", "-fdebug-types-section"]),
    ("gcc -gz", "gcc", ["-g", "-gz"]), ("gcc -gz=zlib-gnu", "gcc", ["-g", "-gz=zlib-gnu"]),
    ("gcc -O2", "gcc", ["-g", "-O2"]), ("gcc -O2 -flto", "gcc", ["-g", "-O2", "-flto"]), ("clang -O2", "clang", ["-g", "-O2"]),
    ("gcc 64-bit DWARF", "gcc", ["-g", "-gdwarf64"]),
    ("gcc -no-pie", "gcc", ["-g", "-no-pie"]), ("gcc static", "gcc", ["-g", "-static"]),
    ("gcc -m32", "gcc", ["-g", *M32]), ("gcc -m32 DWARF 2", "gcc", ["-g", "-gdwarf-2", "-gstrict-dwarf", *M32])]


def of_c():
    for label, cc, flags in DRESS:
        if not shutil.which(cc):
            hr.skip(label, f"no {cc}")
            continue
        exe = compile(cc, "c", C, *flags)
        if not exe:
            hr.skip(label, "cannot be compiled here")
            continue
        t = Table(exe)
        kinds = compare(label, t, said_by(exe), base_of(exe))
        optimised = "-O2" in flags
        hr.ok(len(kinds) >= (7 if optimised else 8), f"{label}: everything was compared", kinds)
        if not optimised and "static" not in label:
            c_shape(label, t)


def other_machines():
    """Big endian and other word sizes, run by emulators."""
    for triple, runner in (("powerpc64-linux-gnu", "qemu-ppc64-static"), ("aarch64-linux-gnu", "qemu-aarch64-static"),
                           ("arm-linux-gnueabihf", "qemu-arm-static")):
        cc = f"{triple}-gcc"
        if not shutil.which(cc) or not shutil.which(runner):
            hr.skip(triple, "no cross compiler or emulator")
            continue
        for dwarf in ("-gdwarf-5", "-gdwarf-2 -gstrict-dwarf"):
            exe = compile(cc, "x", C, "-static", "-g", *dwarf.split())
            if not exe:
                hr.skip(triple, "cannot be compiled here")
                continue
            t = Table(exe)
            # gcc writes no place of thread-locals for these machines with strict DWARF
            compare(f"{triple} {dwarf}", t, said_by(exe, [runner]), base_of(exe, f"{triple}-nm"), tls=False)


def separate_files():
    exe = compile("gcc", "sep", C, "-g")
    want = Table(exe)
    facts, base = said_by(exe), base_of(exe)
    subprocess.run(["objcopy", "--only-keep-debug", exe, exe + ".debug"], check=True)
    subprocess.run(["strip", "-o", exe + ".stripped", exe], check=True)
    t = Table(exe + ".stripped", exe + ".debug")
    compare("separate debug file", t, facts, base)
    hr.eq(len(t.types), len(want.types), "separate debug file: as many types")
    if shutil.which("dwz"):
        a, b = compile("gcc", "dwz1", C, "-g"), compile("gcc", "dwz2", C, "-g", "-DSECOND")
        subprocess.run(["dwz", a], check=True)
        compare("dwz", Table(a), said_by(a), base_of(a))
        a = compile("gcc", "dwz1", C, "-g")
        subprocess.run(["dwz", "-m", hr.path("common.dwz"), a, b], check=True, cwd=hr.SCRATCH)
        t = Table(a)
        hr.eq(t.rc, 0, "dwz with a common file that is not found: no crash")
        hr.ok("dwarf.alt" in t.notes, "dwz with a common file that is not found: a note", t.notes)
        hr.ok(not any("<" in v["name"] for v in t.vars), "dwz with a common file that is not found: no made-up names", t.vars)
    else:
        hr.skip("dwz", "not installed")
    exe = compile("gcc", "split", C, "-g", "-gsplit-dwarf")
    t = Table(exe)
    hr.eq(t.rc, 0, "split DWARF: no crash")
    hr.ok("dwarf.split" in t.notes, "split DWARF: a note", t.notes)


CXX = [("g++ -gdwarf-5", "g++", ["-g"]), ("g++ -gdwarf-4", "g++", ["-g", "-gdwarf-4"]), ("g++ -gdwarf-2", "g++", ["-g", "-gdwarf-2"]),
       ("g++ type units 4", "g++", ["-g", "-gdwarf-4", "-fdebug-types-section"]),
       ("g++ type units 5", "g++", ["-g", "-gdwarf-5", "-fdebug-types-section"]),
       ("g++ -O2 -gz", "g++", ["-g", "-O2", "-gz"]), ("clang++ -gdwarf-5", "clang++", ["-g", "-gdwarf-5"]),
       ("clang++ -gdwarf-4 -fstandalone-debug", "clang++", ["-g", "-gdwarf-4", "-fstandalone-debug"]),
       ("g++ -m32", "g++", ["-g", *M32])]


def cxx_shape(label, t):
    row = {n: r for n, r in zip(("ns::Derived", "ns::Diamond", "ns::Array<int,3>", "ns::NoVirtual", "ns::Pack<int, ns::Plain, std::string>",
                                 "ns::Array<ns::Plain, 2>", "Reuse"),
                                t.ask(["type ns::Derived", "type ns::Diamond", "type ns::Array<int,3>", "type ns::NoVirtual",
                                       "type ns::VBase", "type ns::Array<ns::Plain, 2>", "type Reuse"]))}
    for n, want in (("ns::Derived", POLY), ("ns::Diamond", POLY), ("ns::Array<int,3>", POLY), ("ns::NoVirtual", 0), ("Reuse", 0)):
        hr.eq((row[n]["flags"] & POLY, row[n]["vptr"]), (want, 0), f"{label}: {n} has a virtual table or not, at 0")
    hr.eq([(p["name"], p["tname"], p["value"], p["is"]) for p in row["ns::Array<int,3>"]["params"]],
          [("T", "int", 0, 0), ("N", "int", 3, 1)], f"{label}: template parameters")
    hr.eq([(p["name"], p["tname"]) for p in row["ns::Array<ns::Plain, 2>"]["params"]], [("T", "ns::Plain"), ("N", "int")],
          f"{label}: template parameters that are classes")
    pack = [r for r in t.types.values() if r["name"].startswith("ns::Pack<") and r["size"]]
    hr.eq([len(r["params"]) for r in pack], [3], f"{label}: a parameter pack")
    tree = [r for r in t.types.values() if r["name"].startswith("std::_Rb_tree_node<") and r["size"]]
    hr.ok(any(p["tname"].startswith("std::pair<") for r in tree for p in r["params"]), f"{label}: node types keep their arguments", tree)
    fields = {m["name"]: m for m in row["ns::Derived"]["fields"]}
    hr.eq([fields[n]["tname"] for n in ("ref", "rref", "plain")], ["ns::Plain &", "ns::Plain &", "ns::Plain"], f"{label}: references")
    hr.ok("shared" not in fields and "limit" not in fields, f"{label}: static members are no fields", fields)


def of_cxx():
    for label, cc, flags in CXX:
        exe = compile(cc, "cc", ["layout.cc"], "-std=c++17", *flags) if shutil.which(cc) else None
        if not exe:
            hr.skip(label, "cannot be compiled here")
            continue
        t = Table(exe)
        facts = [f for f in said_by(exe) if f[0] != "V"]
        if "-fstandalone-debug" not in flags and cc == "clang++": # members of std::string are in libstdc++'s debug information
            facts = [f for f in facts if "std::string" not in f[1]]
        compare(label, t, facts, base_of(exe))
        cxx_shape(label, t)


def of_rust():
    exe = compile("rustc", "rust", ["layout.rs"], "-g", "-Anon_snake_case", "--crate-name=layout") if shutil.which("rustc") else None
    if not exe:
        hr.skip("rustc", "cannot be compiled here")
        return
    t = Table(exe)
    compare("rustc", t, said_by(exe), 0)
    hr.eq([v["type"] for v in t.var("layout::COUNT")], ["u64"], "rustc: a static")


def dynamic_types():
    """Objects of a core say their class: with DWARF, and stripped."""
    for label, flags, strip in (("g++", ["-g"], False), ("g++ -fno-rtti", ["-g", "-O0"], False), ("stripped", ["-g", "-rdynamic"], True),
                                ("clang++", ["-g"], False)):
        cc = "clang++" if label == "clang++" else "g++"
        exe = compile(cc, "vt", ["layout.cc"], "-std=c++17", *flags) if shutil.which(cc) else None
        if not exe:
            hr.skip(label, "cannot be compiled here")
            continue
        if strip:
            subprocess.run(["strip", exe], check=True)
        core = hr.kernel_core([exe, hr.path("vt.out")], "vt.core")
        if not core:
            hr.skip(label, "the kernel leaves no core here")
            continue
        facts = [l.split("|") for l in open(hr.path("vt.out")).read().splitlines() if l.startswith("V|")]
        hr.ok(len(facts) == 13, f"{label}: the program said its objects", facts)
        memory = {}
        for vaddr, off, size in hr.segments(core):
            with open(core, "rb") as f:
                for _, _, _, sub in facts:
                    if vaddr <= int(sub) < vaddr + size:
                        f.seek(off + int(sub) - vaddr)
                        memory[sub] = int.from_bytes(f.read(8), "little")
        hr.eq(len(memory), len({f[3] for f in facts}), f"{label}: the core has the objects")
        t = Table(core, exe)
        got = t.ask([f"class {memory[f[3]]}" for f in facts])
        names = t.ask([f"name {memory[f[3]]}" for f in facts])
        squeeze = lambda s: s.replace(" ", "").replace("(ns::Kind)-56", "(ns::Kind)200").replace("std::__cxx11::basic_string<char,std::char_traits<char>,std::allocator<char>>", "S") \
            .replace("ns::Kind::Two", "(ns::Kind)200").replace("longunsignedint", "unsignedlong").replace("constchar*", "charconst*").replace("std::string", "S")
        for f, g, n in zip(facts, got, names):
            hr.ok(squeeze(n) == squeeze(f[1]) or (f[1] == "Local" and n.endswith("::Local")), f"{label}: class name of a {f[1]}", n)
            if not strip:
                hr.ok(squeeze(g["type"]).replace("7ul", "7") == squeeze(f[1]), f"{label}: class of a {f[1]}", g)
                hr.eq(int(f[3]) + g["top"], int(f[2]), f"{label}: whole object around a {f[1]}")


def symbols():
    exe = compile("gcc", "sym", C, "-g", "-rdynamic")
    t = Table(exe)
    table = {}
    for l in subprocess.run(["nm", "-S", exe], capture_output=True, text=True).stdout.splitlines():
        p = l.split()
        if len(p) == 4 and p[2] in "TtDdBbRr":
            table.setdefault(p[3], []).append((int(p[0], 16), int(p[1], 16)))
    names = [n for n in table if "." not in n]
    got = t.ask([f"sym {n}" for n in names])
    bad = [(n, g) for n, g in zip(names, got) if not g or (g["addr"], g["size"]) not in table[n]]
    hr.ok(len(names) > 20 and not bad, f"{len(names)} symbols by name", *bad)
    places = [(n, a, s) for n in names for a, s in table[n] if s > 1 and not n.startswith("t_")]
    got = t.ask([f"symat {a + s - 1}" for _, a, s in places])
    bad = [(p, g) for p, g in zip(places, got) if not g or g["addr"] != p[1] or g["off"] != p[2] - 1]
    hr.ok(not bad, f"{len(places)} symbols by their last byte", *bad)


def cache():
    exe = compile("gcc", "cached", C, "-g")
    where = hr.path("cache")
    os.mkdir(where, 0o700)

    def run():
        r = subprocess.run([DUMP, exe, "--cache", where], capture_output=True, text=True)
        return r.stdout
    fresh = subprocess.run([DUMP, exe], capture_output=True, text=True).stdout
    hr.eq(run(), fresh, "the first run with a cache gives what no cache gives")
    files = os.listdir(where)
    hr.eq(len(files), 1, "one file in the cache")
    entry = os.path.join(where, files[0])
    hr.eq(os.stat(entry).st_mode & 0o777, 0o600, "readable by its owner only")
    hr.eq(run(), fresh, "the second run gives the same")
    whole = open(entry, "rb").read()
    for n in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        open(entry, "wb").write(whole[:n])
        hr.eq(run(), fresh, f"a cache file cut at {n} bytes changes nothing")
        hr.eq(open(entry, "rb").read(), whole, "and is written anew")
    os.unlink(entry)
    os.symlink("/etc/passwd", entry)
    hr.eq(run(), fresh, "a symbolic link in the cache is not followed")
    os.chmod(where, 0o777)
    os.unlink(entry)
    hr.eq((run(), os.listdir(where)), (fresh, []), "a directory that others may write to is not used")


hr.main([t for t in (of_c, of_cxx, of_rust, dynamic_types, symbols, separate_files, other_machines, cache)
         if t.__name__ in os.environ.get("ONLY", t.__name__)])
