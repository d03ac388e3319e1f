#!/usr/bin/env python3
"""CPython where it has no name: linked statically into another program (position-independent or not) and stripped of all symbols, and
stripped shared libraries of several versions. Objects and garbage as the living process said them."""
import glob, json, os, shutil, struct, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
import test_py_gc, test_py_interpreters, test_py_objects

MAIN = "#include <Python.h>\nint main(int argc, char **argv) { return Py_BytesMain(argc, argv); }\n"
PYENV = os.path.expanduser("~/.pyenv/versions")
# name, archive, headers, flags, home
STATIC = [("server", "/usr/lib/x86_64-linux-gnu/libpython3.11.a", "/usr/include/python3.11", ["-no-pie", "-lz", "-lexpat"], "/usr"),
          ("worker", f"{PYENV}/3.12.1/lib/python3.12/config-3.12-x86_64-linux-gnu/libpython3.12.a", f"{PYENV}/3.12.1/include/python3.12", ["-pie"],
           f"{PYENV}/3.12.1")]


def builtin_only(exe, home, label):
    """What needs no extension module: those cannot be loaded by a program that exports nothing."""
    flag = hr.path("flag" + label)
    p, said = hr.start([exe, "-c", test_py_interpreters.BODY.replace("NUMBER", "0").replace("FLAG", repr(flag))], env={"PYTHONHOME": home}, ready=b"\n@0 ")
    core = hr.gcore(p.pid, "static")
    if not core:
        return hr.skip(label, "no gcore here")
    doc = hr.heapray("py", "gc", core, "--json").json()
    objects = {int(o["addr"], 16): o for o in hr.heapray("objects", core, "--ndjson", "--show-contents").ndjson()[1]}
    os.unlink(core)
    rows, nodes, _ = json.loads(test_py_interpreters.said(p, b"\n@0 ")[0])
    for what, bad in test_py_objects.compare([r for r in rows if r[0] not in ("module", "function")], objects).items():
        hr.ok(not bad, f"{label}: {what} of {len(rows)} objects", *bad)
    hr.eq(sum(o["type"] == "__main__.Node" for o in objects.values()), nodes, f"{label}: objects of that class")
    open(flag + "0", "w").close()
    n = int(test_py_interpreters.said(p, b"\n@0 collected ")[0].split()[1])
    # whether it is exact depends on every tp_traverse being runnable, which a stripped program need not allow
    hr.eq(doc["collect_returns"], n, f"{label}: gc.collect() returned {n}")


def static(name, archive, headers, flags, home):
    if not os.path.exists(archive):
        return hr.skip(f"static {name}", f"no {archive}")
    with open(hr.path("main.c"), "w") as f:
        f.write(MAIN)
    exe = hr.path(name)
    for more, label in (((), "nothing exported"), (("-rdynamic",), "exported")):
        subprocess.run(["gcc", "-O1", hr.path("main.c"), f"-I{headers}", archive, "-o", exe, *flags, *more, "-lm", "-ldl", "-lpthread", "-lutil"], check=True)
        subprocess.run(["strip", exe], check=True)
        label = f" {name} static, stripped, {label}"
        builtin_only(exe, home, label)
        if more:
            test_py_objects.one(exe, {"PYTHONHOME": home}, label)
            test_py_gc.one(exe, "garbage_hard", {"PYTHONHOME": home}, label, without=False, whole=False)


def stripped(python):
    version = os.path.basename(os.path.dirname(os.path.dirname(python)))
    libs = glob.glob(f"{PYENV}/{version}/lib/libpython?.*.so.1.0")
    where = hr.path("lib" + version)
    os.mkdir(where)
    for lib in libs:
        subprocess.run(["strip", lib, "-o", os.path.join(where, os.path.basename(lib))], check=True)
    env = {"LD_LIBRARY_PATH": where}
    test_py_objects.one(python, env, f" {version} stripped")
    test_py_gc.one(python, "garbage_hard", env, f" {version} stripped", without=False)


def core_alone():
    """Only the dump: what is missing is said, and what to pass; with it, everything is there again."""
    python = next((p for p in test_py_objects.interpreters() if "/3.10" in p), "/usr/bin/python3")
    p, _ = hr.start([python, "-c", "import sys, time\nclass A: pass\nkeep = [A() for i in range(50)]\nprint('ready'); sys.stdout.flush(); time.sleep(100)"])
    core = hr.gcore(p.pid, "alone")
    if not core:
        return hr.skip("core alone", "no gcore here")
    r = hr.heapray("objects", core, "--no-host-files")
    hr.ok(r.rc != 0 and ("libpython" in r.err + r.out or "python3" in r.err + r.out) and "--sysroot" in r.err + r.out, "a core alone: says which file is missing, and how to give it", r)
    r = hr.heapray("objects", core, "--no-host-files", "--sysroot", "/", "--type", "__main__.A")
    hr.eq(r.out.count("__main__.A <"), 50, "with the files by --sysroot: all objects", r)
    other = next((q for q in test_py_objects.interpreters() if q != python and "/3.12" in q), None)
    if other:
        r = hr.heapray("objects", core, "--no-host-files", "--exe", os.path.realpath(other))
        hr.ok(r.rc != 0 and "build" in r.err + r.out, "the executable of another version is refused", r)
    os.unlink(core)


def free_threaded():
    """Memory as a free-threaded build has it: a longer object head, or the flag in its own offsets. Said, not guessed at."""
    for word, arch, form in ((8, "x86-64", "Q"), (4, "wasm32", "I")):
        for head in (True, False):
            base, mem = 0x10000, bytearray(0x4000)
            at, kind = 0x1000, (24 if word == 8 else 16) if head else word

            def put(off, v, form=form):
                struct.pack_into("<" + form, mem, off, v)
            mem[0x800:0x805] = b"type\0"
            put(at + kind, base + at)
            put(at + kind + 2 * word, base + 0x800)
            mem[0x2000:0x2008] = b"xdebugpy"
            put(0x2008, 0x030d01f0, "Q")
            put(0x2010, 1, "Q")
            with open(hr.path("free.bin"), "wb") as f:
                f.write(mem)
            for verb in (("objects",), ("py", "gc")):
                r = hr.heapray(*verb, hr.path("free.bin") + "@0x10000", "--arch", arch)
                hr.ok(r.rc == 3 and "free-threaded CPython 3.13.1" in r.err, f"free-threaded, {8 * word} bits, {'by its head' if head else 'by its offsets'}: {verb[-1]} says so", r)


if __name__ == "__main__":
    todo = [core_alone] + [lambda s=s: static(*s) for s in STATIC] if shutil.which("gcc") else [core_alone]
    todo += [lambda p=p: stripped(p) for p in test_py_objects.interpreters() if any(v in p for v in ("/2.7.", "/3.6.", "/3.9.", "/3.13."))]
    hr.main(todo + [free_threaded])
