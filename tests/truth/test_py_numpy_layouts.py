#!/usr/bin/env python3
"""Layouts of NumPy's arrays and dtypes, 1.16 to 2.x, told apart from the image: a module makes objects that lie as each version's do.

Where a real NumPy is, test_py_numpy asks it. This is for the versions that are not, and runs in several CPythons."""
import json, os, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from test_py_objects import interpreters

LAYOUTS = ((1, 8), (1, 9), (1, 10), (2, 10))


def build(python, major, words):
    where = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])"], stdout=subprocess.PIPE).stdout.decode().strip()
    if not os.path.exists(where + "/Python.h"):
        return None
    out = hr.path(f"mimic_{major}_{words}_{python.replace('/', '_')}")
    os.makedirs(out, exist_ok=True)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", f"-DMAJOR={major}", f"-DWORDS={words}", "-I", where, "-o", out + "/mimic.so",
                    os.path.join(hr.TOP, "tests/truth/prog/numpy_mimic.c")], check=True, stderr=subprocess.DEVNULL)
    return out


def one(python, major, words, first):
    version = f"CPython {os.path.basename(os.path.dirname(os.path.dirname(python)))}, NumPy {major} with {words} words{', a text first' if first else ''}"
    out = build(python, major, words)
    if not out:
        return hr.skip(version, "no Python.h")
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/numpy_mimic.py"), *first], env={"PYTHONPATH": out}, say=b"")
    core = hr.gcore(p.pid, "mimic")
    if not core:
        return hr.skip(version, "no gcore here")
    rows, kept = (json.loads(line) for line in said.splitlines()[:2])
    objects = {int(o["addr"], 16): o for o in hr.heapray("objects", core, "--ndjson", "--show-contents").ndjson()[1]}
    blocks = {int(b["addr"], 16): b for b in hr.heapray("blocks", core, "--ndjson").ndjson()[1]}
    bad = []
    for name, addr, shape, strides, dtype, nbytes, data, base, own, size, fields, text in rows:
        o = objects.get(addr, {})
        a = o.get("array")
        if not a:
            bad.append(f"{name}: no array: {o}")
            continue
        wanted = {"shape": shape, "strides": strides, "dtype": dtype, "nbytes": nbytes, "data": hex(data), "base": base and hex(base),
                  "fields": fields and [{"name": n, "dtype": d, "offset": at} for n, d, at in fields]}
        bad += [f"{name}: {k} is {a[k]!r}, wanted {w!r}" for k, w in wanted.items() if a[k] != w]
        if o["size"] != size or a["flags"]["owndata"] != own or (text and not o["value"].endswith(f" {text}>")):
            bad.append(f"{name}: size {o['size']} wanted {size}, value {o['value']} wanted {text}")
        if own and blocks.get(data, {}).get("owner") != o["block"]:
            bad.append(f"{name}: its data belong to {blocks.get(data)}")
    bad += [f"{hex(k)}, which an array holds, is {objects.get(k, {}).get('reach')}" for k in kept if objects.get(k, {}).get("reach") != "reachable"]
    narrow = [f["title"] for f in hr.heapray("check", core, "--json", "--only", "numpy.narrow").json()["findings"]]
    if len(narrow) != 1 or "<i8 whose values fit <i2" not in narrow[0]:
        bad.append(f"numpy.narrow: {narrow}")
    hr.ok(not bad, f"{version}: {len(rows)} arrays", *bad)
    os.unlink(core)


if __name__ == "__main__":
    some = [p for p in interpreters() if any(f"/{v}." in p for v in ("3.6", "3.13"))]
    tests = [lambda p=p, l=l: one(p, *l, []) for p in some for l in LAYOUTS] + [lambda l=l: one(some[-1], *l, ["first"]) for l in LAYOUTS[-2:] if some]
    for t in tests:
        t.__name__ = "layouts"
    hr.main(tests or [lambda: hr.skip("layouts", "no CPython with headers")])
