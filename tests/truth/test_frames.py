#!/usr/bin/env python3
"""Stacks: what dumpstacks says of a core, compared with what the program said of itself, and with gdb's backtraces."""
import json, os, resource, shutil, subprocess, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
from foreign import as_the_kernel, FOREIGN

TOOL = os.path.join(os.environ.get("HR_BUILD", f"{hr.TOP}/build"), "tests/tools/dumpstacks")
PROG = f"{hr.TOP}/tests/truth/prog"
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)


def compile(name, source, *flags, cc="gcc"):
    out = hr.path(name)
    r = subprocess.run([cc, "-D_GNU_SOURCE", "-w", "-o", out, f"{PROG}/{source}", *flags, "-lpthread"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode:
        print("# " + r.stdout[-500:].replace("\n", "\n# "))
        return None
    return out


def words(said):
    """What the program said: {tid: chain}, [(tid, func, var, addr, value)], [(tid, func, var, value)], [(tid, func, n)]."""
    chains, local, kept, depth = {}, [], [], []
    for line in said.splitlines():
        w = line.split()
        if w and w[0] == "chain":
            chains[int(w[1])] = w[2:]
        elif w and w[0] == "local":
            local.append((int(w[1]), w[2], w[3], int(w[4], 16), int(w[5])))
        elif w and w[0] == "kept":
            kept.append((int(w[1]), w[2], w[3], int(w[4])))
        elif w and w[0] == "depth":
            depth.append((int(w[1]), w[2], int(w[3])))
    return chains, local, kept, depth


def live_core(exe, name):
    p, said = hr.start([exe])
    core = hr.gcore(p.pid, name)
    p.kill()
    p.wait()
    return core, said


def abort_core(exe, name):
    where = tempfile.mkdtemp(dir=hr.SCRATCH)
    p, said = hr.start([exe, "abort"], cwd=where)
    p.wait(60)
    found = [f for f in os.listdir(where) if f.startswith("core")]
    if not found:
        return None, said
    os.rename(os.path.join(where, found[0]), hr.path(name))
    return hr.path(name), said


def stacks(core, *args):
    r = subprocess.run([TOOL, *args, core], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    if r.returncode:
        raise RuntimeError(f"dumpstacks exit {r.returncode}: {r.stderr.decode(errors='replace')[-1500:]}")
    return json.loads(r.stdout.decode("utf-8", "replace"))


def gdb(core, exe):
    r = subprocess.run(["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "set backtrace past-main on", "-ex", "set print frame-arguments none",
                        "-x", f"{hr.HERE}/gdb_frames.py", exe, core], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       errors="replace", timeout=300)
    for line in r.stdout.splitlines():
        if line.startswith("JSON "):
            return {t["tid"]: t["frames"] for t in json.loads(line[5:])}
    raise RuntimeError(r.stdout[-1000:] + r.stderr[-1000:])


def base(func):
    """gcc's clones and C++ signatures do not count: f.part.0, f.isra.0, ns::f(int). Nor does which of libc's aliases it is
    (gdb prefers linkage names: __GI___select)."""
    func = func.split("operator()")[0] + "operator" if "operator()" in func else func
    func = func.split("(anonymous namespace)")[-1] if func.startswith("(") else func
    depth, plain = 0, ""
    for c in func:  # template arguments and parameters go
        depth += (c in "<(") - (c in ">)")
        plain += c if depth == 0 and c not in ">)" else ""
    func = plain.split("::")[-1].split(".")[0].split("@")[0].strip()
    return func[5:].strip("_") if func.startswith("__GI_") else func.strip("_")


def is_subsequence(want, have):
    it = iter(have)
    return all(any(w == h for h in it) for w in want)


def value_of(l):
    """The value in memory or register as a signed number of its size (dumpstacks prints the memory word)."""
    n = min(l["size"] or 8, 8)
    v = l["value"] & ((1 << 8 * n) - 1)
    return v - (1 << 8 * n) if v >> (8 * n - 1) else v


def same_value(l, want):
    n = min(l["size"] or 8, 8)
    return (value_of(l) - want) % (1 << 8 * n) == 0


def one_place(frames, func, var):
    """Locals called var (or the struct that holds var's field) in frames of func."""
    name = var.split(".")[0]
    return [l for f in frames if base(f["func"]) == func for l in f["locals"] if l["name"] == name]


def check_chains(what, got, chains, inline_known):
    bad = []
    for tid, chain in chains.items():
        have = [base(f["func"]) for f in got.get(tid, {"frames": []})["frames"]]
        want = chain if inline_known else [n for n in chain if "inline" not in n]
        if not is_subsequence(want, have):
            bad.append(f"{tid}: wanted {want}, have {have[:14]}")
    hr.ok(not bad and chains, f"{what}: the {len(chains)} threads' own chains of calls", *bad)
    part = [f"{t['tid']}: {[f['func'] for f in t['frames']][-3:]} {t['frames'][-1]['trust']}" for t in got.values() if not t["complete"]]
    hr.ok(not part, f"{what}: every stack is followed to its first function", *part)


def check_locals(what, got, local, kept, all_known):
    bad, seen = [], 0
    for tid, func, var, addr, value in local:
        places = one_place(got[tid]["frames"], func, var)
        # a field's address lies within its struct
        hit = [l for l in places if l["where"] == "memory" and l["addr"] <= addr < l["addr"] + max(l["size"], 1)]
        seen += bool(hit)
        if not hit and not all_known and all(l["where"] == "none" or same_value(l, value) for l in places):
            continue  # clang -O2 keeps a copy in a register, or nothing
        if not hit or ("." not in var and 0 < hit[0]["size"] <= 8 and not same_value(hit[0], value)):
            bad.append(f"{tid} {func}.{var} at {addr:#x} = {value}: {places}")
    if local:
        hr.ok(seen and not bad, f"{what}: {len(local)} addresses of locals", *bad)
    bad, known = [], 0
    for tid, func, var, value in kept:
        places = [l for l in one_place(got[tid]["frames"], func, var)]
        right = [l for l in places if l["where"] != "none" and same_value(l, value)]
        wrong = [l for l in places if l["where"] != "none" and not same_value(l, value)]
        known += bool(right)
        if wrong or not places or (all_known and not right):
            bad.append(f"{tid} {func}.{var} = {value}: {places}")
    hr.ok(not bad and (known or not all_known), f"{what}: {known} of {len(kept)} kept values known, none wrong", *bad)


def against_gdb(what, got, theirs, exact_lines):
    """Same functions and lines, frame by frame."""
    bad = []
    for tid, want in theirs.items():
        have = got.get(tid, {"frames": []})["frames"]
        if len(want) >= 400:
            have = have[:len(want)]
        w = [("<signal>" if f["signal"] else base(f["func"]), f["pc"]) for f in want]
        h = [("<signal>" if f["signal"] else base(f["func"]), f["pc"]) for f in have]
        # without debug information an address has several names (raise, gsignal): either will do
        h = [w[i] if i < len(w) and not want[i]["line"] and x[1] == w[i][1] and x[0] else x for i, x in enumerate(h)]
        if w != h:
            bad.append(f"{tid}: gdb {w[:12]} have {h[:12]}")
        elif exact_lines:
            lw = [(f["func"], f["line"]) for f in want if f["line"] and not f["signal"]]
            lh = [(f["func"], f["line"]) for f, g in zip(have, want) if g["line"] and not g["signal"]]
            if [l for _, l in lw] != [l for _, l in lh]:
                bad.append(f"{tid}: lines gdb {lw[:8]} have {lh[:8]}")
    hr.ok(theirs and not bad, f"{what}: gdb sees the same frames" + (" and lines" if exact_lines else ""), *bad)


def locals_against_gdb(what, got, theirs):
    """Every local of every frame, libc's too: what we say must be what gdb says. Registers that a call may have overwritten are
    unknown to us where gdb shows what is left in them; a place in memory has to be known to both."""
    bad, same, fewer, more = [], 0, 0, 0
    for tid, want in theirs.items():
        for g, f in zip(want[:60], got.get(tid, {"frames": []})["frames"]):
            ours = {}
            for l in f["locals"]:
                ours.setdefault(l["name"], []).append(l)
            for l in g["locals"]:
                mine = ours.get(l["name"])
                known = l["addr"] is not None or l["value"] is not None
                if not mine or len(mine) > 1:  # two of one name (shadowed, or inlined twice): told apart by nothing
                    if not mine and known:  # gdb also lists what only the abstract function has
                        bad.append(f"{tid} {g['func']}: no {l['name']}")
                    continue
                m = mine[0]
                if m["where"] == "none":
                    fewer += known
                    if l["addr"] is not None:
                        bad.append(f"{tid} {g['func']}: {l} but {m}")
                elif not known:
                    more += 1
                    print(f"#   more: {g['func']} {m}") if os.environ.get("MORE") else None
                elif (m["where"] == "memory" and l["addr"] not in (None, m["addr"])) or (
                        l["value"] is not None and (m["value"] - l["value"]) % (1 << 8 * min(l["size"], 8))):
                    bad.append(f"{tid} {g['func']}: {l} but {m}")
                elif m["size"] != l["size"] and m["size"] and l["size"]:
                    bad.append(f"{tid} {g['func']}: size of {l} but {m}")
                else:
                    same += 1
    print(f"# {what}: {same} locals as gdb has them, {fewer} fewer, {more} more")
    hr.ok(same and not bad and more * 10 <= same, f"{what}: gdb sees the same locals", *bad[:20])


def variant(what, *flags, cc="gcc", how="gcore", all_known=True, lines=True, source="frames.c", locals=True, with_gdb=True):
    if not shutil.which(cc):
        return hr.skip(what, f"no {cc}")
    exe = compile("frames-" + "".join(c if c.isalnum() else "_" for c in what), source, *flags, cc=cc)
    if not exe:
        return hr.skip(what, "cannot be compiled here")
    if how == "abort" and not hr.kernel_cores():
        return hr.skip(what, "the kernel leaves no core files here")
    core, said = live_core(exe, exe + ".core") if how == "gcore" else abort_core(exe, exe + ".core")
    if not core:
        return hr.skip(what, "no core")
    chains, local, kept, depth = words(said)
    got = {t["tid"]: t for t in stacks(core)["threads"]}
    check_chains(what, got, chains, locals)
    for tid, func, n in depth:
        hr.eq(sum(base(f["func"]) == func for f in got[tid]["frames"]), n, f"{what}: depth of the recursion")
    if locals:
        check_locals(what, got, local, kept, all_known)
    if with_gdb:
        theirs = gdb(core, exe)
        against_gdb(what, got, theirs, lines)
        if locals:
            locals_against_gdb(what, got, theirs)
    os.unlink(core)


def test_gcc():
    variant("gcc -O0", "-O0", "-g")
    variant("gcc -O2", "-O2", "-g")
    variant("gcc -O2 abort", "-O2", "-g", how="abort")
    variant("gcc -O3 no frame pointer, -fno-plt", "-O3", "-g", "-fomit-frame-pointer", "-fno-plt")
    variant("gcc -Og position-dependent", "-Og", "-g", "-no-pie", "-fno-pie", how="abort")


def test_formats():
    variant("DWARF 2", "-O2", "-gdwarf-2", all_known=False)
    variant("DWARF 3", "-O1", "-gdwarf-3", all_known=False)
    variant("DWARF 4", "-O2", "-gdwarf-4")
    variant("DWARF 5, compressed", "-O2", "-gdwarf-5", "-gz=zlib")
    variant("type units", "-O2", "-g", "-fdebug-types-section")
    variant(".debug_frame only", "-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", how="abort")


def test_clang():
    variant("clang -O0", "-O0", "-g", cc="clang")
    variant("clang -O2", "-O2", "-g", cc="clang", all_known=False, how="abort")
    variant("clang -O1 DWARF 4", "-O1", "-gdwarf-4", cc="clang", all_known=False)


def test_cxx():
    variant("g++ -O0", "-O0", "-g", cc="g++", source="frames.cc")
    variant("g++ -O2", "-O2", "-g", cc="g++", source="frames.cc")
    variant("clang++ -O1", "-O1", "-g", cc="clang++", source="frames.cc", all_known=False)


def test_other_shapes():
    variant("static", "-O2", "-g", "-static", how="abort")
    variant("static-pie", "-O2", "-g", "-static-pie", how="abort")
    variant("-m32 -O2", "-m32", "-O2", "-g", how="abort")
    variant("-m32 -O0", "-m32", "-O0", "-g")
    variant("no debug information", "-O2", locals=False, lines=False)


def test_without_cfi():
    """No call-frame information in the program (libc has its own): frame pointers, or return addresses on the stack."""
    none = ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
    variant("frame pointers only", "-O1", *none, "-fno-omit-frame-pointer", locals=False, lines=False)
    variant("nothing to go by, -O2", "-O2", *none, "-fomit-frame-pointer", locals=False, with_gdb=False)
    variant("nothing to go by, -m32", "-m32", "-O2", *none, "-fomit-frame-pointer", locals=False, with_gdb=False)


OVERFLOW = """
#include <pthread.h>
#include <string.h>
volatile long opaque = 1;
__attribute__((noinline)) long runaway(long n) { char frame[200]; memset(frame, (int)n, 200); return opaque ? runaway(n + 1) + frame[n & 127] : 0; }
static void *thread(void *a) { return (void *)runaway((long)a); }
int main(int argc, char **argv)
{
    pthread_t t;
    if (argc > 1 && !pthread_create(&t, NULL, thread, NULL)) pthread_join(t, NULL);
    return (int)runaway(0);
}
"""
JUMP = """
#include <stdlib.h>
volatile long opaque = 1;
static void (*volatile nowhere)(long);
__attribute__((noinline)) static long calls_it(long n) { long kept = n * 11; nowhere(n); return kept + opaque; }
__attribute__((noinline)) static long outer(long n) { return calls_it(n + 1) + n; }
int main(int argc, char **argv) { nowhere = (void (*)(long))(argc > 1 ? strtoul(argv[1], NULL, 0) : 0); return (int)outer(opaque); }
"""


def crash(name, text, *args):
    """The innermost thread's frames of a program that dies by itself, ours and gdb's."""
    src = hr.path(name + ".c")
    open(src, "w").write(text)
    exe = hr.path(name)
    subprocess.run(["gcc", "-O1", "-g", "-w", "-fno-optimize-sibling-calls", "-o", exe, src, "-lpthread"], check=True)
    core = hr.kernel_core([exe, *args], name + ".core")
    if not core:
        return None, None
    ours, theirs = stacks(core)["threads"][0], gdb(core, exe)
    os.unlink(core)
    return ours, theirs[ours["tid"]]


def test_crashes():
    if not hr.kernel_cores():
        return hr.skip("crashes", "the kernel leaves no core files here")
    for what, args in (("overflow of the main stack", ()), ("overflow of a thread's stack", ("thread",))):
        ours, theirs = crash("overflow", OVERFLOW, *args)
        mine, want = [(f["func"], f["pc"]) for f in ours["frames"][:390]], [(f["func"], f["pc"]) for f in theirs[:390]]
        hr.ok(mine == want and len(mine) == 390, f"{what}: gdb's first 390 frames", mine[:5], want[:5])
        hr.ok(len(ours["frames"]) == 4096 and not ours["complete"], f"{what}: and it ends at the bound", len(ours["frames"]))
    for what, args in (("a call through NULL", ()), ("a call to nowhere", ("0x1234567890",)), ("a call into data", ("0x7fff00000000",))):
        ours, theirs = crash("jump", JUMP, *args)
        mine, want = [f["func"] for f in ours["frames"]], [f["func"] for f in theirs]
        hr.ok(mine[1:4] == ["calls_it", "outer", "main"] and ours["complete"], f"{what}: the caller is known", mine, want)
        kept = [l for l in ours["frames"][1]["locals"] if l["name"] == "kept"]
        hr.ok(len(kept) == 1 and same_value(kept[0], 22) and kept[0]["where"] != "none", f"{what}: and its local", kept)


def test_missing():
    """No files, or half of the core: what is left, no guesses."""
    exe = compile("frames-missing", "frames.c", "-O2", "-g")
    core, said = live_core(exe, exe + ".core")
    chains = words(said)[0]
    got = {t["tid"]: t for t in stacks(core, "--no-host-files")["threads"]}
    ok = all(t["frames"] and t["frames"][0]["trust"] == "regs" for t in got.values())
    hr.ok(ok and set(chains) <= set(got), "without any file: every thread has its innermost frame")
    full = {t["tid"]: [f["pc"] for f in t["frames"] if not f["inlined"]] for t in stacks(core)["threads"]}
    wrong = [(tid, t["frames"]) for tid, t in got.items() if [f["pc"] for f in t["frames"]] != full[tid][:len(t["frames"])]]
    hr.ok(not wrong, "without any file: what is told is a part of the truth", wrong[:1])
    hr.ok(not any(t["complete"] and len(t["frames"]) < len(full[tid]) for tid, t in got.items()), "without any file: and not called complete")
    size = os.path.getsize(core)
    for percent in (90, 50, 20):
        os.truncate(core, size * percent // 100)
        r = subprocess.run([TOOL, core], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if r.returncode:
            hr.ok(r.returncode == 1 and r.stderr, f"cut to {percent} %: said so")
            continue
        d = json.loads(r.stdout.decode("utf-8", "replace"))
        wrong = [t["tid"] for t in d["threads"]
                 if not is_prefix([f["pc"] for f in t["frames"] if not f["inlined"]], full[t["tid"]])]
        hr.ok(not wrong and any(n["code"] == "core.truncated" for n in d["notes"]), f"cut to {percent} %: a part of the truth", wrong)


def is_prefix(a, b):
    return a == b[:len(a)]


def foreign(machine, triplet):
    what, cc, qemu = f"{machine} under qemu", f"{triplet}-gcc", f"qemu-{machine}-static"
    if not shutil.which(cc) or not shutil.which(qemu):
        return hr.skip(what, f"no {cc} or {qemu}")
    exe = compile(f"frames-{machine}", "frames.c", "-O2", "-g", "-static", cc=cc)
    if not exe:
        return hr.skip(what, "cannot be compiled here")
    where = tempfile.mkdtemp(dir=hr.SCRATCH)
    out = subprocess.run([qemu, exe, "abort"], cwd=where, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120)
    found = [f for f in os.listdir(where) if f.startswith("qemu_")]
    if not found:
        return hr.skip(what, "no core")
    core = os.path.join(where, found[0])
    as_the_kernel(core, exe)
    chains, local, kept, depth = words(out.stdout)
    if machine == "aarch64":  # gcc 12 says by_value lies at x19 throughout, and uses x19 for something else half-way
        local = [l for l in local if l[2] != "by_value.id"]
    got = {t["tid"]: t for t in stacks(core, "--exe", exe)["threads"]}
    check_chains(what, got, chains, True)
    for tid, func, n in depth:
        hr.eq(sum(base(f["func"]) == func for f in got[tid]["frames"]), n, f"{what}: depth of the recursion")
    check_locals(what, got, local, kept, True)
    shutil.rmtree(where)


def test_foreign():
    for machine, triplet in FOREIGN:
        foreign(machine, triplet)


if not os.path.exists(TOOL):
    print("1..0 # SKIP build/tests/tools/dumpstacks is not built")
    sys.exit(0)
hr.main([test_gcc, test_formats, test_clang, test_cxx, test_other_shapes, test_without_cfi, test_crashes, test_missing, test_foreign])
