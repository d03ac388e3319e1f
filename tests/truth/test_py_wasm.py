#!/usr/bin/env python3
"""CPython in 32 bits, without symbols, debug information or any file: the memory of Pyodide (npm) while it stands still in node. Objects,
census and garbage as the living interpreter said them."""
import json, os, re, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_gc import same_rings, same_set, saved
from test_py_objects import FEW, PROGRAM, compare

ARCH = ("--arch", "wasm32")
# what is not there, and what a running interpreter of this kind changes of itself
NOT_HERE = [("import array, collections, ctypes, functools, gc, itertools, json, mmap, sys", "import array, collections, functools, gc, itertools, json, sys"),
            ("class Fields(ctypes.Structure):\n    _fields_ = [('a', ctypes.c_int), ('b', ctypes.c_double)]\n", ""),
            ("print('ready')", "print('@SNAP one')"), ("time.sleep(300)", "pass")]
VERSIONS = [("0.27.7", "3.12.7"), ("0.29.4", "3.13.2"), ("314.0.7", "3.14.2")]


def program():
    text = PROGRAM
    for old, new in NOT_HERE:
        assert old in text, old
        text = text.replace(old, new)
    return "\n".join(line for line in text.split("\n") if "ctypes" not in line and "mmap" not in line and "_c.pythonapi" not in line)


def garbage_program():
    text = open(os.path.join(hr.TOP, "tests/truth/prog/garbage_plain.py")).read()
    text = text.replace("sys.stdout.write('ready\\n'); sys.stdout.flush()\nsys.stdin.readline()", "print('@SNAP one')", 1)
    assert "@SNAP" in text
    return text.replace("sys.stdin.readline()", "pass")


def package(version):
    """The npm package, fetched once into the build folder; None when there is none to be had."""
    top = os.path.join(hr.TOP, "build", "npm", "pyodide-" + version)
    at = os.path.join(top, "package")
    if not os.path.exists(os.path.join(at, "pyodide.asm.wasm")):
        os.makedirs(top, exist_ok=True)
        try:
            subprocess.run(["npm", "pack", "--silent", f"pyodide@{version}"], cwd=top, timeout=90, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            subprocess.run(["tar", "xzf", f"pyodide-{version}.tgz"], cwd=top, timeout=60, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            return None
    return at if os.path.exists(os.path.join(at, "pyodide.asm.wasm")) else None


def run(at, text):
    script, out = hr.path("script.py"), hr.path("memory")
    with open(script, "w") as f:
        f.write(text)
    r = subprocess.run(["node", os.path.join(hr.HERE, "mp", "pyodide.mjs"), at, script, out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    said = r.stdout.decode(errors="replace")
    if not os.path.exists(out + ".one"):
        raise RuntimeError(f"pyodide did not get there: {said[-1500:]}")
    return out + ".one@0", said


def objects_of(at, tag):
    image, said = run(at, program())
    lines = said.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("[")]
    census = json.loads(next(line for line in lines if line.startswith("census "))[7:])
    objects, tracked = {}, {}
    for o in hr.heapray("objects", image, *ARCH, "--ndjson", "--show-contents").ndjson()[1]:
        objects[int(o["addr"], 16)] = o
        if o["gc"] and o["gc"]["tracked"] and o["gc"]["generation"] is not None:
            tracked[o["type"]] = tracked.get(o["type"], 0) + 1
    for what, bad in compare(rows, objects).items():
        hr.ok(not bad, f"{tag}: {what} of {len(rows)} objects", *bad)
    wanted = {}
    for k, n in census.items():
        k = k.split(".", 1)[1] if k.split(".", 1)[0] == "builtins" else k
        wanted[k] = wanted.get(k, 0) + n
    off = {k: (tracked.get(k, 0), wanted.get(k, 0)) for k in set(tracked) | set(wanted) if abs(tracked.get(k, 0) - wanted.get(k, 0)) > FEW}
    hr.ok(not off, f"{tag}: census of {sum(wanted.values())} tracked objects in {len(wanted)} types", f"(got, wanted): {off}")
    info = hr.heapray("info", image, *ARCH, "--json").json()
    hr.ok(any(a["name"] == "dlmalloc" and a["version"] for a in info["allocators"]), f"{tag}: allocator is named", info["allocators"])


def garbage_of(at, tag):
    image, said = run(at, garbage_program())
    keeps, returned = saved(said)
    doc = hr.heapray("py", "gc", image, *ARCH, "--json").json()
    hr.ok(len(keeps) > 200, f"{tag}: the program made garbage", len(keeps))
    hr.eq(doc["collect_returns"], returned, f"{tag}: gc.collect() returned {returned}")
    hr.ok(doc["exact"], f"{tag}: the lists are whole")
    same_set(doc, keeps, f"{tag}: the same objects")
    same_rings(doc, said, tag)


def one(version, python):
    at = package(version)
    if not at:
        return hr.skip(f"pyodide {version}", "npm does not give it")
    objects_of(at, f"pyodide {python}")
    garbage_of(at, f"pyodide {python}")


if __name__ == "__main__":
    if not shutil.which("node") or not shutil.which("npm"):
        hr.skip("pyodide", "no node here")
        hr.done()
    hr.main([lambda v=v: one(*v) for v in VERSIONS if not sys.argv[1:] or any(a in v for a in sys.argv[1:])])
