#!/usr/bin/env python3
"""NumPy arrays, dtypes, scalars and other buffers: shape, strides, dtype, flags, base, data and sizes as the process itself said."""
import json, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from numpies import numpies

MOVING = {"bool", "dtype", "dtype_object", "ufunc", "inner"}  # shared, or their counts change while the program speaks


def said_rows(said, kind):
    return [r[1:] for r in (json.loads(line) for line in said.splitlines() if line.startswith("[")) if r[0] == kind]


def dump(python, name):
    p, said = hr.start([python, os.path.join(hr.TOP, "tests/truth/prog/arrays.py")], say=b"")
    core = hr.gcore(p.pid, name)
    if not core:
        return None, None, None
    p.stdin.write(b"\n")
    p.stdin.flush()
    said = hr.wait_for(p, b"collected ")
    objects = {int(o["addr"], 16): o for o in hr.heapray("objects", core, "--ndjson", "--show-contents").ndjson()[1]}
    blocks = {int(b["addr"], 16): b for b in hr.heapray("blocks", core, "--ndjson").ndjson()[1]}
    return core, said, (objects, blocks)


def compare(rows, objects):
    bad = []
    for name, addr, kind, size, count, length, *_ in rows:
        o = objects.get(addr)
        if not o:
            bad.append(f"{name} ({kind}): not found")
            continue
        for what, got, want in (("type", o["type"], kind), ("size", o["size"], size), ("refcount", o["refcount"], count)):
            if got != want and not (what == "refcount" and (name in MOVING or got == "immortal" or count > 1 << 28)):
                bad.append(f"{name} ({kind}): {what} is {got!r}, wanted {want!r}")
        if o["len"] is not None and o["len"] != length or o["len"] is None and length is not None and "array" in o:
            bad.append(f"{name} ({kind}): len is {o['len']!r}, wanted {length!r}")
    return bad


def compare_arrays(rows, objects):
    bad = []
    for name, addr, _, _, _, _, shape, strides, dtype, flags, nbytes, data, base, descr, fields, _ in rows:
        a = objects.get(addr, {}).get("array")
        if not a:
            bad.append(f"{name}: no array")
            continue
        wanted = {"shape": shape, "strides": strides, "dtype": dtype, "flags": flags, "nbytes": nbytes, "data": hex(data), "base": base and hex(base), "descr": hex(descr),
                  "fields": fields and [{"name": n, "dtype": d, "offset": at} for n, d, at in fields]}
        bad += [f"{name}: {k} is {a[k]!r}, wanted {w!r}" for k, w in wanted.items() if a[k] != w]
    return bad


def owned(rows, objects, blocks):
    """The data block and the dimensions belong to the array that frees them; views own dimensions only."""
    bad = []
    for name, addr, _, _, _, _, shape, _, _, flags, nbytes, data, *_ in rows:
        block = blocks.get(data)
        if flags["owndata"]:
            if not block:
                bad.append(f"{name}: its data starts no block")
            elif block["owner"] != objects[addr]["addr"] or block["type"] != "array data" or block["size"] < nbytes or block["reach"] != "reachable":
                bad.append(f"{name}: {block} is owned by {hex(addr)}")
        elif block and block["owner"] == objects[addr]["addr"]:
            bad.append(f"{name}: a view owns {block}")
        dims = [b for b in blocks.values() if b["owner"] == objects[addr]["addr"] and b["addr"] != hex(data)]
        if len(shape) and not any(b["size"] >= 16 * len(shape) for b in dims):
            bad.append(f"{name}: dimensions are owned by nobody: {dims}")
    return bad


def buffers(said, objects, blocks):
    bad = []
    for addr, nbytes, exporter in said_rows(said, "view"):
        b = objects[addr].get("buffer")
        if not b or b["nbytes"] != nbytes or b["exporter"] != hex(exporter):
            bad.append(f"{objects[addr]}: wanted {nbytes} bytes of {hex(exporter)}")
    for addr, data, nbytes in said_rows(said, "at"):
        o = objects[addr]
        b = o.get("buffer")
        if not b or b["nbytes"] != nbytes or b["data"] != hex(data):
            bad.append(f"{o}: wanted {nbytes} bytes at {hex(data)}")
        owner = blocks.get(data, {}).get("owner")
        if data in blocks and data != int(o["block"], 16) and owner != o["addr"]:
            bad.append(f"{o['type']}: its data is owned by {owner}")
    return bad


def texts(said, objects):
    bad = []
    for addr, text in said_rows(said, "text"):
        value = objects[addr]["value"]
        got = value[value.index(") ") + 2:-1] if value.startswith("<") else value
        if got != text:
            bad.append(f"{value}: wanted {text}")
    return bad


def one(python, version):
    core, said, found = dump(python, "np")
    if not core:
        return hr.skip(version, "no gcore here")
    objects, blocks = found
    arrays = said_rows(said, "array")
    for what, bad in (("type, size, references and length", compare([r for k in ("array", "scalar", "dtype", "other", "buffer") for r in said_rows(said, k)], objects)),
                      ("shape, strides, dtype, flags, base, data, fields", compare_arrays(arrays, objects)), ("data and dimensions have their owner", owned(arrays, objects, blocks)),
                      ("buffers, and whose they are", buffers(said, objects, blocks)), ("values", texts(said, objects))):
        hr.ok(not bad, f"{version}: {len(arrays)} arrays: {what}", *bad)
    (freed,) = said_rows(said, "freed")[0]
    wrong = [hex(a) for a in freed if blocks.get(a, {}).get("type") != "NumPy cached block" or blocks[a]["owner"] or blocks[a]["reach"] != "reachable"]
    wrong = [(a, blocks.get(int(a, 16))) for a in wrong]
    hr.ok(not wrong, f"{version}: {len(freed)} freed blocks that NumPy keeps are told from used ones", wrong)
    (kept,) = said_rows(said, "kept")[0]
    lost = [hex(k) for k in kept if objects.get(k, {}).get("reach") != "reachable"]
    hr.ok(not lost, f"{version}: what object arrays hold is reached", lost)
    hr.ok(all(r[-1] == 0 for r in arrays if r[2] == "numpy.ndarray"), f"{version}: arrays show the collector nothing")
    masked = next(r for r in arrays if r[0] == "masked")
    o = hr.heapray("show", core, hex(masked[1]), "--json").json()["object"]
    hr.ok(o["array"]["shape"] == masked[6] and o["size"] == masked[3] and {"_mask", "_hardmask"} <= {a["name"] for a in o["attributes"]},
          f"{version}: show tells of the object, its array and its attributes", o)
    fields = [r["field"] for r in hr.heapray("show", core, hex(kept[2]), "--json").json()["referrers"]]
    hr.ok(".flat[3]" in fields, f"{version}: an item of an object array is named", fields)
    doc = hr.heapray("py", "gc", core, "--json").json()
    hr.eq((doc["collect_returns"], doc["exact"]), (int(said.split("collected ")[1]), True), f"{version}: what gc.collect() returns")
    doc = hr.heapray("py", "refs", core, "--json").json()
    mine = {r[1] for k in ("array", "dtype", "scalar", "buffer") for r in said_rows(said, k)} | set(kept)
    wrong = [x for x in doc["surplus"] + doc["deficit"] if int(x["addr"], 16) in mine]
    hr.ok(not doc["deficit"] and not wrong, f"{version}: references of arrays and of what they hold are as many as counted", doc["deficit"], wrong)
    os.unlink(core)


if __name__ == "__main__":
    found = list(numpies())
    tests = [lambda p=p, v=v: one(p, v) for p, v in found]
    for i, t in enumerate(tests):
        t.__name__ = found[i][1]
    hr.main(tests or [lambda: hr.skip("numpy", "no interpreter here has NumPy")])
