#!/usr/bin/env python3
"""glibc malloc against what the living process says of itself: mallinfo2 and malloc_info per arena, the state and the size of
every address the program handed out or gave back. 64 and 32 bit, dynamic and static, gdb's cores and the kernel's, with libc's
debug symbols, without them, and without any symbols or files at all."""
import json, os, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

DUMPHEAP = os.environ.get("HR_BUILD", f"{hr.TOP}/build") + "/tests/tools/dumpheap"
WAYS = {"with debug files": [], "without debug files": ["--no-debug"], "without symbols": ["--no-symbols"],
        "without any file": ["--no-host", "--no-symbols"]}
FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "fsmblks", "uordblks", "fordblks", "keepcost"]


class Said:
    """What the program printed."""
    def __init__(self, text):
        lines, self.live, self.freed, self.info = text.splitlines(), {}, {}, None
        for i, line in enumerate(lines):
            w = line.split()
            if w[:1] == ["I"]:
                self.info = dict(zip(FIELDS, map(int, w[1:])))
            elif w[:1] == ["L"]:
                self.live[int(w[1], 16)] = int(w[2])
            elif w[:1] == ["F"]:
                self.freed[int(w[1], 16)] = int(w[2])
            elif line == "XML":
                with open(hr.path("info.xml"), "w") as f:
                    f.write("\n".join(lines[i + 1:lines.index("ready")]))
                self.arenas = hr.malloc_info(hr.path("info.xml"))
                break


def dumpheap(core, *options):
    r = subprocess.run([DUMPHEAP, core, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    if r.returncode:
        raise RuntimeError(f"dumpheap {core} {options}: {r.returncode} {r.stderr[-500:]!r}")
    return json.loads(r.stdout)


def check(core, said, name, options, spare=8):
    """One core read in one way. spare: blocks in use that are not the program's own (stdio, thread vectors)."""
    addrs = list(said.live) + list(said.freed)
    with open(hr.path("at"), "w") as f:
        f.write("\n".join(f"{a:x}" for a in addrs))
    got = dumpheap(core, "--sums", "--at", hr.path("at"), *options)
    rows = [a for a in got["arenas"] if a["addr"]]
    why = json.dumps(got["notes"])[:1500], json.dumps(got["allocators"]), json.dumps(got["arenas"])[:3000]
    total = {k: sum(a["mallinfo"][k] for a in got["arenas"]) for k in FIELDS}
    total["keepcost"] = rows[0]["mallinfo"]["keepcost"] if rows else 0
    hr.eq(total, said.info, f"{name}: mallinfo2", *why)
    mine = [{"fast": (a["mallinfo"]["smblks"], a["mallinfo"]["fsmblks"]),
             "rest": (a["mallinfo"]["ordblks"], a["mallinfo"]["fordblks"] - a["mallinfo"]["fsmblks"]), "system": a["system"]}
            for a in rows]
    hr.eq(mine, said.arenas, f"{name}: malloc_info of each of {len(mine)} arenas", *why)
    hr.eq([a["mapped"] for a in rows], [a["system"] for a in said.arenas], f"{name}: regions hold what malloc got")
    sums = all(a["used"] == [s[0][0] + s[4][0], s[0][1] + s[4][1]] and a["cached"] == s[1] and a["free"] == s[2] and
               a["own"] == s[3] and
               a["used"][1] + a["cached"][1] + a["free"][1] + a["own"][1] + a["overhead"] == a["mapped"]
               for a, s in zip(got["arenas"], got["sums"]))
    hr.ok(sums, f"{name}: used + cached + free + own + overhead = mapped, and the rows are the blocks' sums", *why)
    at = dict(zip(addrs, got["at"]))
    wrong = [(hex(a), n, at[a]) for a, n in said.live.items() if not at[a] or at[a][:3] != [a, n, "used"]]
    hr.ok(not wrong, f"{name}: {len(said.live)} live blocks are used and of the right size", wrong[:5], len(wrong), *why)
    used = sum(a["used"][0] for a in got["arenas"])
    hr.ok(len(said.live) <= used <= len(said.live) + spare, f"{name}: nothing else is used",
          f"{used} used, {len(said.live)} live", *why)
    # What was freed may lie in a live block again, or in one of the few of others.
    back = {at[a][0] for a in said.freed if at[a] and at[a][2] == "used" and at[a][0] not in said.live}
    hr.ok(len(back) <= used - len(said.live), f"{name}: {len(said.freed)} freed blocks are cached or free", sorted(back)[:5], *why)
    hr.eq([n for n in got["notes"] if n["code"].startswith("heap.") and n["code"] != "heap.foreign-sbrk"], [],
          f"{name}: nothing contradicts itself")
    return got


def scenario(name, things, env=None, builds=("64",), ways=tuple(WAYS), kernel=True, spare=8):
    for b in builds:
        out, flags = BUILDS[b]
        if not os.path.exists(hr.path(out)):
            hr.build("glibcheap.c", out, *flags)
        if kernel:
            text = hr.path("said")
            core = hr.kernel_core(["sh", "-c", f"exec {hr.path(out)} {things} die > {text}"], "kcore", env)
            if core:
                said = Said(open(text).read())
                for w in ways:
                    check(core, said, f"{name}, {b}, kernel's core {w}", WAYS[w], spare)
                os.unlink(core)
                continue
        p, text = hr.start([hr.path(out), *things.split()], env)
        core = hr.gcore(p.pid, "gcore")
        p.kill()
        if not core:
            hr.skip(f"{name}, {b}", "no core to be had here")
            continue
        for w in ways:
            check(core, Said(text), f"{name}, {b}, gcore {w}", WAYS[w], spare)
        os.unlink(core)


BUILDS = {"64": ("gh64", []), "32": ("gh32", ["-m32"]), "64 static": ("gh64s", ["-static"]), "32 static": ("gh32s", ["-m32", "-static"])}
ALL = tuple(BUILDS)


def test_mix():
    scenario("a bit of everything", "mix 20000 mmap 10", builds=ALL, ways=tuple(WAYS))
    scenario("a bit of everything", "mix 20000 mmap 10", builds=("64", "32"), kernel=False)


def test_threads():
    scenario("threads with arenas of their own", "mix 3000 threads 5 6000 gone 2 3000", builds=("64", "32", "64 static"), spare=30)
    scenario("two arenas for five threads", "opt -8 2 mix 3000 threads 5 4000", builds=("64",), spare=30)
    scenario("many heaps in an arena", "threads 2 60000", builds=("32",), spare=30)


def test_sbrk():
    scenario("somebody else's sbrk", "mix 2000 sbrk 5000 mix 4000 big 3000 3000 sbrk 200016 big 3000 900 mix 2000", builds=("64", "32"))
    scenario("sbrk cut off", "mix 3000 nobrk mix 3000 big 3000 2000 mix 4000", builds=("64", "32"))
    scenario("sbrk cut off from the start", "nobrk big 500 3000 mix 3000 mmap 5", builds=("64",))


def test_mmapped():
    scenario("mmapped and memalign'ed", "mmap 60 mix 500", builds=ALL[:3])
    scenario("with decoys", "decoy 2 mmap 20 decoy 3 mix 500", builds=("64",))
    scenario("everything mmapped", "opt -3 4000 mix 2000", builds=("64", "32"))


def test_options():
    scenario("no tcache", "mix 20000", {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}, builds=("64", "32"))
    scenario("large fastbins", "opt 1 160 mix 20000", {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=3"})
    scenario("top padded", "opt -2 1048576 mix 5000 trim", builds=("64",))
    scenario("zeroed blocks of a tcache's size", "zero 500 mix 1000 threads 2 1000", builds=("64",), spare=20)
    scenario("after fork", "mix 5000 fork mix 3000", builds=("64",))
    scenario("huge pages", "mix 5000 threads 2 1000", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, spare=20)


def present(core):
    """[(from, to)] of the memory whose bytes a cut core still has."""
    size = os.path.getsize(core)
    return [(v, v + min(n, size - off)) for v, off, n in hr.segments(core) if off < size]


def test_cut():
    """A core cut short loses libc's data first. What is still there has to be told as in the whole one."""
    hr.build("glibcheap.c", "ghcut")
    text = hr.path("said")
    things = "mix 8000 threads 3 4000 mmap 12 big 2000 500"
    core = hr.kernel_core(["sh", "-c", f"exec {hr.path('ghcut')} {things} die > {text}"], "whole")
    if not core:
        hr.skip("cut cores", "the kernel writes no core file here")
        return
    said, whole = Said(open(text).read()), dumpheap(core, "--blocks")
    state = {b[0]: b[:3] for b in whole["list"]}
    size = os.path.getsize(core)
    for percent in (95, 90, 70, 50, 30, 15):
        cut = hr.path("cut")
        with open(core, "rb") as f, open(cut, "wb") as g:
            g.write(f.read(size * percent // 100))
        there = present(cut)
        for way in ("with debug files", "without any file"):
            got = dumpheap(cut, "--blocks", *WAYS[way])
            mine = {b[0]: b[:3] for b in got["list"]}
            have = lambda a, n: any(lo <= a - 16 and a + n + 16 <= hi for lo, hi in there)
            wrong = [(state[a], mine.get(a)) for a, n in said.live.items() if have(a, n) and mine.get(a) != state[a]]
            hr.ok(not wrong, f"cut to {percent} %, {way}: every live block that is there is known", wrong[:5], len(wrong), got["notes"])
            new = [b for b in mine.values() if b[2] == "used" and have(b[0], b[1]) and state.get(b[0]) != b]
            # fastbins hang on main_arena; a tcache that is cut off takes its lists along
            lost = [b for b in new if state.get(b[0], [0, 0, ""])[2] != "cached"]
            hr.ok(not lost, f"cut to {percent} %, {way}: nothing free is taken for live", lost[:5], len(lost))
            hr.ok(len(new) <= 150 or percent < 50, f"cut to {percent} %, {way}: few cached blocks are taken for live", len(new))
            hr.ok(all(a["used"][1] + a["cached"][1] + a["free"][1] + a["own"][1] + a["overhead"] == a["mapped"] for a in got["arenas"]),
                  f"cut to {percent} %, {way}: sums")
            hr.eq([n for n in got["notes"] if n["code"].startswith("heap.corrupt")], [], f"cut to {percent} %, {way}: cut is not damaged")


if __name__ == "__main__":
    hr.main([test_mix, test_threads, test_sbrk, test_mmapped, test_options, test_cut])
