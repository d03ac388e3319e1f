#!/usr/bin/env python3
"""Makes analyzer/allocators/cpython/tables.inc from the DWARF of real CPython builds.

    tests/tools/pylayouts.py BUILD/tests/tools/dumptypes LIBPYTHON…  > analyzer/allocators/cpython/tables.inc

One row per build: its full version, word size, and the value of every fact of facts.def (-1: the build has no such thing).
The version comes from the file itself: CPython's PY_VERSION stands in its read-only data.

A second row per version is of a 32-bit build: pylayouts.h is compiled against the headers beside the library, for 32 bits and with
8-byte alignment of 8-byte numbers, as WebAssembly and ARM have it. Compiled for 64 bits the same way, it has to agree with the library's own
debug information in every fact that both have; else the row is refused.
"""
import json, os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FACTS = re.findall(r'^PY([FS])\((\w+), "([^"]*)"(?:, "([^"]*)")?\)', open(f"{HERE}/analyzer/allocators/cpython/facts.def").read(), re.M)
STRUCT, UNION, TYPEDEF = 12, 13, 16
BASE, ANON = 1, 32


def load(dumptypes, lib):
    types, index = {}, {}
    for line in subprocess.run([dumptypes, lib], capture_output=True, check=True).stdout.splitlines():
        row = json.loads(line)
        if "t" in row:
            types[row["t"]] = row
    for i, row in types.items():
        if row["name"] and (row["kind"] == TYPEDEF or row["kind"] in (STRUCT, UNION) and row["fields"]):
            index.setdefault(row["name"], i)
    return types, index


def strip(types, i):
    for _ in range(30):
        if types.get(i, {}).get("kind") != TYPEDEF:
            break
        i = types[i]["target"]
    return i


def member(types, i, path):
    off = 0
    for part in path.split("."):
        todo, hit = [(strip(types, i), 0)], None
        while todo and not hit:
            t, o = todo.pop()
            for f in types.get(t, {}).get("fields", []):
                if f["name"] == part:
                    hit = f["type"], o + f["off"]
                    break
                if f["flags"] & (BASE | ANON) or not f["name"]:
                    todo.append((strip(types, f["type"]), o + f["off"]))
        if not hit:
            return None
        i, off = hit[0], off + hit[1]
    return off


def value(types, index, kind, names, paths):
    for name in names.split("|"):
        i = index.get(name.replace("struct ", ""))
        if i is None:
            continue
        if kind == "S":
            size = types[strip(types, i)]["size"]
            if size:
                return size
            continue
        for path in paths.split("|"):
            off = member(types, i, path)
            if off is not None:
                return off
    return None


def version(lib):
    data = open(lib, "rb").read()
    want = re.search(r"python(\d)\.(\d+)", os.path.basename(lib))
    found = set(re.findall(rb"(?<![\d.])(%s\.%s\.\d+(?:(?:a|b|rc)\d+)?\+?)\0" % (want[1].encode(), want[2].encode()), data))
    if len(found) != 1:
        sys.exit(f"{lib}: versions found: {sorted(found)}")
    text = found.pop().decode()
    m = re.match(r"(\d+)\.(\d+)\.(\d+)(?:(a|b|rc)(\d+))?", text)
    level, serial = {"a": 0xA, "b": 0xB, "rc": 0xC, None: 0xF}[m[4]], int(m[5] or 0)
    return text, int(m[1]) << 24 | int(m[2]) << 16 | int(m[3]) << 8 | level << 4 | serial


SIZES_32 = {"VOID_P": 4, "LONG": 4, "SIZE_T": 4, "UINTPTR_T": 4, "PTHREAD_T": 4, "PTHREAD_KEY_T": 4, "TIME_T": 8, "WCHAR_T": 4}


def compiled(dumptypes, lib, bits, scratch):
    """The facts of a build of that version with the given word size, by its headers; None where they cannot be compiled."""
    name = re.search(r"lib(python[\d.]+m?)\.so", lib)[1]
    inc = os.path.join(os.path.dirname(os.path.dirname(lib)), "include", name)
    if not os.path.exists(inc):
        return None
    shutil.rmtree(f"{scratch}/inc", ignore_errors=True)
    shutil.copytree(inc, f"{scratch}/inc")
    if bits == 32:
        with open(f"{scratch}/inc/pyconfig.h", "a") as f:
            f.write("".join(f"#undef SIZEOF_{k}\n#define SIZEOF_{k} {v}\n" for k, v in SIZES_32.items()))
            f.write("#undef ALIGNOF_LONG\n#define ALIGNOF_LONG 4\n#undef ALIGNOF_SIZE_T\n#define ALIGNOF_SIZE_T 4\n#undef HAVE_GCC_UINT128_T\n")
    out = f"{scratch}/{bits}.so"
    r = subprocess.run(["gcc", f"-m{bits}", "-malign-double", "-g", "-O0", "-shared", "-nostdlib", "-fPIC", "-fno-eliminate-unused-debug-types",
                        f"-I{scratch}/inc", f"-I{scratch}/inc/internal", "-I/usr/include/x86_64-linux-gnu", "-x", "c", f"{HERE}/tests/tools/pylayouts.h", "-o", out],
                       capture_output=True, text=True)
    if r.returncode:
        print(f"{lib}: {r.stderr[:400]}", file=sys.stderr)
        return None
    types, index = load(dumptypes, out)
    return [value(types, index, *f[:1], f[2], f[3]) for f in FACTS]


def narrow(dumptypes, lib, wide):
    """The 32-bit row, None if there is none."""
    with tempfile.TemporaryDirectory() as scratch:
        again = compiled(dumptypes, lib, 64, scratch)
        wrong = [(f[1], a, b) for f, a, b in zip(FACTS, wide, again or []) if b is not None and a != b]
        if wrong or not again:
            print(f"{lib}: no 32-bit row: {wrong}", file=sys.stderr)
            return None
        return compiled(dumptypes, lib, 32, scratch)


def main():
    dumptypes, libs = sys.argv[1], sys.argv[2:]
    print("/* Generated by tests/tools/pylayouts.py from the DWARF of these builds. Do not edit. */")
    rows = []
    for lib in libs:
        types, index = load(dumptypes, lib)
        text, hexv = version(lib)
        word = types[strip(types, index["PyObject"])]["size"] // 2
        facts = [value(types, index, *f[:1], f[2], f[3]) for f in FACTS]
        rows.append((hexv, word, text, facts))
        small = narrow(dumptypes, lib, facts)
        if small:
            rows.append((hexv, 4, text, small))
    for hexv, word, text, facts in sorted(rows, key=lambda r: (r[0], -r[1])):
        print(f'{{0x{hexv:08x}, {word}, "{text}", {{')
        for k in range(0, len(facts), 16):
            print("    " + ", ".join("-1" if v is None else str(v) for v in facts[k:k + 16]) + ",")
        print("}},")


main()
