#!/usr/bin/env python3
"""Planted leaks: each block that prog/planted.c says something about, compared with what heapray says, block for block.
LONG=1 takes two million live blocks and 10,000 leaks."""
import bisect, collections, os, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from planted import CACHED, FREED, is_leak, read_truth

LIVE, LEAKS, ARENAS = (2000000, 10000, 6) if hr.LONG else (50000, 1000, 6)

# gcc-multilib would bring /usr/include/asm, but cannot be installed beside cross compilers.
M32 = ["-m32", "-isystem", "/usr/include/x86_64-linux-gnu"]

# kind: name, the answers that are right (a `reach` of json.md). enum kind of planted.c.
KINDS = {
    0: ("plain pointer", {"reachable"}),
    1: ("interior pointer", {"interior"}),
    2: ("low-tagged pointer", {"interior"}),
    3: ("one-past-end pointer", {"interior"}),
    4: ("static TLS", {"reachable"}),
    5: ("TLS of a dlopened library", {"reachable", "interior"}),
    6: ("callee-saved register", {"register"}),
    7: ("raw mmap", {"reachable"}),
    8: ("live stack", {"reachable"}),
    9: ("pthread_setspecific, in the thread", {"reachable", "interior"}),
    10: ("pthread_setspecific, second level", {"reachable", "interior"}),
    11: ("data of a dlopened library", {"reachable"}),
    12: ("child of such a block", {"reachable", "interior", "register"}),
    13: ("dead stack", {"dead_stack"}),
    14: ("stale word of a cached block", {"cached"}),
    20: ("leaked: nothing points at it", {"leaked_direct"}),
    21: ("leaked: held by leaked blocks", {"leaked_indirect"}),
    22: ("leaked: ring", {"leaked_cycle"}),
    23: ("leaked: points at itself", {"leaked_direct", "leaked_cycle"}),
}

def stale_words(core, truth):
    """Independent check of the truth itself: words of the core that equal a leaked address, outside leaked blocks, and not malloc's own
    mangled links (the first two words of a block given back), which look like any address of a low heap."""
    leaked = {r.addr: r for r in truth if is_leak(r)}
    spans = sorted((r.addr, r.addr + r.usable) for r in leaked.values())
    links = {r.addr + k for r in truth if r.kind in (CACHED, FREED) for k in (0, hr.word_size(core))}
    def inside(at):
        if at in links:
            return True
        i = bisect.bisect_right(spans, (at, 1 << 64)) - 1
        return i >= 0 and spans[i][0] <= at < spans[i][1]
    return [(hex(at), hex(w), KINDS[leaked[w].kind][0]) for at, w in hr.words_that_are(core, leaked.keys())
            if not inside(at)]


def compare(core, truth, extra, label):
    r = hr.heapray("blocks", core, "--ndjson", *extra)
    if not hr.ok(r.rc == 0, f"{label}: heapray blocks succeeds", r):
        return
    head, lines = r.ndjson()
    hr.eq(head.get("schema"), "heapray/1", f"{label}: header line first")
    said = {int(b["addr"], 16): b for b in lines}
    missing, sizes, state = [], [], []
    wrong = collections.defaultdict(list)
    count = collections.Counter()
    leaked = set()
    given_again = {t.addr for t in truth if t.kind != FREED}
    for t in truth:
        b = said.get(t.addr)
        if t.kind == FREED:
            if b and b["state"] == "used" and t.addr not in given_again:
                state.append((hex(t.addr), b))
            continue
        if not b:
            missing.append((hex(t.addr), t))
            continue
        if b["size"] != t.usable:
            sizes.append((t, b))
        if t.kind == CACHED:
            if b["state"] != "cached" or b["reach"] is not None:
                state.append((t, b))
            continue
        if b["state"] != "used":
            state.append((t, b))
        name, right = KINDS[t.kind]
        count[t.kind] += 1
        if b["reach"] not in right:
            wrong[t.kind].append((hex(t.addr), t, b))
        if is_leak(t):
            leaked.add(t.addr)
    def few(bad):
        return (f"{len(bad)} wrong", *bad[:8])
    hr.ok(not missing, f"{label}: every block that was handed out is listed", *few(missing))
    hr.ok(not sizes, f"{label}: sizes equal malloc_usable_size", *few(sizes))
    hr.ok(not state, f"{label}: used, cached and free as in the process", *few(state))
    for kind, (name, _) in KINDS.items():
        if count[kind]:
            hr.ok(not wrong[kind], f"{label}: {count[kind]} blocks, {name}", *few(wrong[kind]))
    more = [b for a, b in said.items() if (b["reach"] or "").startswith("leaked") and a not in leaked]
    hr.ok(not more, f"{label}: nothing else is called leaked", *few(more))


def findings(core, truth, extra, label):
    """One finding's worth per ring; the totals of all leak findings are the planted ones."""
    r = hr.heapray("check", core, "--json", "--only", "leak.*", *extra)
    hr.eq(r.rc, 1, f"{label}: check exits 1", r)
    doc = r.json()
    want_blocks = sum(1 for t in truth if is_leak(t))
    want_bytes = sum(t.usable for t in truth if is_leak(t))
    leaks = [f for f in doc["findings"] if f["rule"].startswith("leak.")]
    hr.ok(leaks and all(f["fingerprint"] and f["title"] and f["severity"] for f in leaks), f"{label}: findings are filled in", r)
    print(f"# {label}: {want_blocks} blocks, {want_bytes} bytes leaked; findings:",
          [(f["rule"], f["count"], f["bytes"]) for f in leaks[:10]])


def arenas(core, info, extra, label):
    r = hr.heapray("info", core, "--json", *extra)
    if not hr.ok(r.rc == 0, f"{label}: heapray info succeeds", r):
        return
    mine = [a for a in r.json()["allocators"] if a["name"].startswith("glibc")]
    hr.eq(len(mine), 1, f"{label}: one glibc malloc", r)
    got = [a for a in mine[0]["arenas"] if a["name"] != "mmapped"]
    hr.eq(len(got), len(info), f"{label}: number of arenas")
    hr.eq(sorted(a["system_bytes"] for a in got), sorted(i["system"] for i in info), f"{label}: system bytes of each arena")
    # malloc_info's "rest" counts free chunks, top among them, with their headers; its "fast" are among our cached ones.
    word = hr.word_size(core)
    hr.eq(sorted((a["system_bytes"], a["free_blocks"], hr.free_with_headers(a, word)) for a in got),
          sorted((i["system"], *i["rest"]) for i in info), f"{label}: free chunks and bytes of each arena", got, info)
    for a in got:
        hr.eq(a["used_bytes"] + a["cached_bytes"] + a["free_bytes"] + a["overhead_bytes"], a["mapped_bytes"],
              f"{label}: {a['name'].split(' (')[0]} sums to its regions", a)


def run(mode, prog="planted", lib="tlslib.so", size=(LIVE, LEAKS, ARENAS)):
    truth, info = hr.path(f"{prog}.truth.{mode}"), hr.path(f"{prog}.info.{mode}")
    return [hr.path(prog), "20261120", *map(str, size), truth, info, hr.path(lib) if lib else "-", mode], truth, info


def everything(core, truth_file, info_file, label, extra=()):
    truth = read_truth(truth_file)
    if not hr.LONG:
        stale = stale_words(core, truth)
        hr.ok(not stale, f"{label}: the truth holds: no word outside leaked blocks is a leaked address", *stale[:10])
    compare(core, truth, extra, label)
    arenas(core, hr.malloc_info(info_file), extra, label)
    findings(core, truth, extra, label)


def with_gcore():
    argv, truth, info = run("stop")
    p, _ = hr.start(argv)
    core = hr.gcore(p.pid, "stop.core")
    if not core:
        return hr.skip("gcore", "tracing is not allowed here")
    everything(core, truth, info, "gcore")
    everything(core, truth, info, "gcore, no debug files", ("--no-debug-files",))


def with_kernel_core():
    if not hr.kernel_cores():
        return hr.skip("kernel core", "core_pattern is no plain name")
    argv, truth, info = run("abort")
    core = hr.kernel_core(argv, "abort.core")
    if not core:
        return hr.skip("kernel core", "the kernel left none")
    everything(core, truth, info, "kernel core")


def another_build(label, flags, dynamic=True, extra=()):
    """The same program built otherwise, smaller."""
    prog, lib = f"planted.{label}", f"tlslib.{label}.so" if dynamic else None
    try:
        hr.build("planted.c", prog, *flags)
        if lib:
            hr.build("tlslib.c", lib, "-shared", "-fPIC", *(M32 if "-m32" in flags else []))
    except subprocess.CalledProcessError:
        return hr.skip(label, "cannot be built here")
    argv, truth, info = run("stop", prog, lib, (6000, 300, 3))
    p, _ = hr.start(argv)
    core = hr.gcore(p.pid, f"{label}.core")
    if not core:
        return hr.skip(label, "tracing is not allowed here")
    everything(core, truth, info, label, extra)


hr.build("planted.c", "planted", "-rdynamic")
hr.build("tlslib.c", "tlslib.so", "-shared", "-fPIC")
hr.main([with_gcore, with_kernel_core,
         lambda: another_build("stripped", ["-s"], extra=("--no-debug-files",)),
         lambda: another_build("O0-nopie", ["-O0", "-no-pie"]),
         lambda: another_build("i386", M32),
         lambda: another_build("i386-stripped", M32 + ["-s"], extra=("--no-debug-files",)),
         lambda: another_build("static", ["-static"], dynamic=False),
         lambda: another_build("static-stripped", ["-static", "-s"], dynamic=False, extra=("--no-debug-files",))])
