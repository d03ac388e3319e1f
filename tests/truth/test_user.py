#!/usr/bin/env python3
"""Ordinary programs of the distribution, without debug information: what heapray says of them is what they say of themselves.

The truth is prog/census.c, loaded into the living program: blocks and bytes handed out per arena, and malloc_info."""
import bisect, os, re, shutil, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

PROGRAMS = {
    "python3": (["/usr/bin/python3", "-c", """
import json, threading, time
keep = [{"n": i, "text": str(i) * 40} for i in range(3000)]
blob = [bytes(5000 + i) for i in range(300)]
def work():
    mine = [bytearray(600 + i) for i in range(200)]
    time.sleep(1000)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("ready", flush=True)
time.sleep(1000)
"""], None),
    "bash": (["/bin/bash", "-c", """
for i in {1..3000}; do declare "variable_$i=$i $i $i $i"; list+=("element $i"); done
unset variable_{100..900}
echo ready
read -r line
"""], b""),
    "sqlite3": (["/usr/bin/sqlite3", "-batch", ":memory:"], b"""
create table t(a integer primary key, b text, c blob);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 20000) insert into t select i, 'row ' || i, zeroblob(i % 200) from n;
create index tb on t(b);
delete from t where a % 3 = 0;
.print ready
"""),
    "gdb": (["/usr/bin/gdb", "-q", "-nx", "-ex", "info functions ^main$", "-ex", r"echo ready\n", "/usr/bin/gdb"], b""),
    "perl": (["/usr/bin/perl", "-e", r"""
$| = 1; my %h; $h{"key $_"} = [$_, "value $_" x 3] for 1 .. 20000; delete $h{"key $_"} for 500 .. 9000; print "ready\n"; sleep 1000 while 1;
"""], None),
}


def contradicted(core, blocks, threads):
    """Words that hold the start of a block said to be leaked directly, where they should keep it alive: neither in memory given
    back, nor in leaked blocks, nor below a thread's stack pointer."""
    claimed = {int(b["addr"], 16) for b in blocks if b["reach"] == "leaked_direct"}
    dead = sorted((int(b["addr"], 16), int(b["addr"], 16) + b["size"]) for b in blocks
                  if b["state"] != "used" or (b["reach"] or "").startswith("leaked"))
    starts = [d[0] for d in dead]
    sps = [int(t["sp"], 16) for t in threads if t.get("sp")]
    bad = []
    for at, word in hr.words_that_are(core, claimed):
        i = bisect.bisect_right(starts, at) - 1
        if i >= 0 and at < dead[i][1]:
            continue
        if any(sp - (1 << 20) < at < sp for sp in sps):
            continue
        bad.append((hex(at), hex(word)))
    return bad


def one(name):
    argv, say = PROGRAMS[name]
    if not shutil.which(argv[0]):
        return hr.skip(name, f"no {argv[0]} here")
    p, _ = hr.start(argv, env=dict(hr.census_env(name + ".census"), PYTHONMALLOC="malloc", TERM="dumb"), say=say)
    truth, info = hr.census(p, name + ".census")
    core = hr.gcore(p.pid, name + ".core")
    if not core:
        return hr.skip(name, "tracing is not allowed here")
    r = hr.heapray("info", core, "--json", "--no-debug-files")
    if not hr.ok(r.rc == 0, f"{name}: info succeeds", r):
        return
    doc = r.json()
    glibc = [a for a in doc["allocators"] if a["name"].startswith("glibc")]
    if not hr.eq(len(glibc), 1, f"{name}: glibc malloc found", r):
        return
    got = glibc[0]
    hr.eq((got["used_blocks"], got["used_bytes"]), (sum(n for n, _ in truth.values()), sum(b for _, b in truth.values())),
          f"{name}: blocks and bytes in use", got, truth)
    arenas = [a for a in got["arenas"] if a["name"] != "mmapped"]
    hr.eq(sorted((a["used_blocks"], a["used_bytes"]) for a in arenas), sorted(v for k, v in truth.items() if k != 1),
          f"{name}: each arena", got, truth)
    hr.eq(sorted((a["free_blocks"], hr.free_with_headers(a, 8)) for a in arenas), sorted(i["rest"] for i in info),
          f"{name}: free chunks of each arena as malloc_info counts them", got, info)

    r = hr.heapray("blocks", core, "--ndjson", "--no-debug-files")
    blocks = list(r.ndjson()[1])
    hr.eq(sum(b["state"] == "used" for b in blocks), sum(n for n, _ in truth.values()), f"{name}: as many blocks are listed as used")
    bad = contradicted(core, blocks, doc["threads"])
    hr.ok(not bad, f"{name}: no block called leaked has a pointer to it in living memory", *bad[:10])
    print(f"# {name}: {sum((b['reach'] or '').startswith('leaked') for b in blocks)} of {len(blocks)} blocks called leaked")

    r = hr.heapray(core, "--no-debug-files")
    hr.ok(r.rc in (0, 1), f"{name}: bare heapray exits 0 or 1", r)
    hr.ok(name in r.out and len(r.out.splitlines()) <= 60, f"{name}: the screen names the program and is one screen", r)
    hr.ok(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", r.out), f"{name}: no control characters", r)


hr.main([lambda n=n: one(n) for n in PROGRAMS])
