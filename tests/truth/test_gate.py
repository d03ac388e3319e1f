#!/usr/bin/env python3
"""The gate, from outside: what heapray asks of the kernel once its inputs are read (strace's word), that its answers are the same
with and without the gate, and that memory ends where it is told to."""
import json, os, re, resource, shutil, subprocess, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

SAMPLES = {"inventory": "inventory.cc", "scene_rings": "scene_rings.c", "token_frag": "token_frag.c", "scribble": "scribble.c"}
# What a hostile dump could want of us, were it to run our code. Everything else is memory and descriptors that are open.
RIGHTS = {"open", "openat", "openat2", "creat", "socket", "connect", "bind", "sendto", "sendmsg", "execve", "execveat", "fork", "vfork",
          "clone", "clone3", "ptrace", "kill", "mount", "chmod", "link", "symlink", "mkdir", "stat", "readlink", "access"}
NEEDS = {"read", "write", "writev", "pread64", "lseek", "close", "fstat", "newfstatat", "fcntl", "ioctl", "ftruncate", "mmap", "munmap", "mremap",
         "mprotect", "brk", "madvise", "exit_group", "futex", "clock_gettime", "getrandom", "rt_sigaction", "rt_sigprocmask"}
REPLACES = {"fchmod", "rename", "renameat", "renameat2"}


def run(*argv, gate=True, trace=None, **kw):
    argv = [hr.HEAPRAY, *argv] + ([] if gate else ["--no-sandbox"])
    if trace:
        argv = ["strace", "-f", "-o", trace, *argv]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, **kw)


def cores():
    for name, source in SAMPLES.items():
        subprocess.run(["g++" if source.endswith("cc") else "gcc", "-O1", "-g", "-o", hr.path(name), f"{hr.TOP}/samples/{source}", "-lpthread"],
                       check=True)
        core = hr.path(name + ".core")
        r = subprocess.run([f"{hr.TOP}/samples/dump", hr.path(name), core], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if r.returncode == 0:
            yield name, core
        else:
            hr.skip(name, "no core to be had: " + r.stdout.strip().replace("\n", " / ")[-100:])
    p, _ = hr.start([sys.executable, "-c", "import time, sys; a = [{i: str(i)} for i in range(3000)]; a.append(a); print('ready', flush=True); time.sleep(600)"])
    core = hr.gcore(p.pid, "python.core")
    p.kill()
    if core:
        yield "python", core
    else:
        hr.skip("python", "no core to be had")


def verbs(name, core):
    """Command lines of every verb there is, with an address of the dump for those that take one."""
    blocks = [json.loads(l) for l in run("blocks", core, "--ndjson", "--limit", "300").stdout.splitlines()[1:]]
    used = [b["addr"] for b in blocks if b.get("state") == "used"]
    at = used[len(used) // 2]
    listed = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?= {2,}| ADDR| \[| [A-Z])", re.split("verbs:|options:", subprocess.run(
        [hr.HEAPRAY, "--help"], capture_output=True, text=True).stdout)[1], re.M)
    hr.ok({"check", "show", "path", "frag", "top", "blocks"} <= set(listed), "verbs of --help", listed)
    yield [core]
    yield ["check", core]
    if name not in ("inventory", "scribble", "python"):
        return
    yield ["frag", core, "--no-types"]
    yield ["check", core, "--json", "--show-contents"]
    yield ["check", core, "--ndjson"]
    yield ["check", core, "--only", "frag.*", "--no-types"]
    yield ["top", core, "--retained"]
    for v in listed:
        if v in ("rules", "check"):
            continue
        more = [at] if v in ("show", "path") else []
        for form in ([], ["--json"], ["--ndjson"]) if name == "scribble" else ([],):
            yield [*v.split(), core, *more, *form]


def after_gate(trace):
    """(call, rest of its line) of what was asked for after the filter was in place, or None where it never was."""
    calls, gated = [], None
    pids = set()
    for line in open(trace, errors="replace"):
        m = re.match(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed)(.*)", line)
        if not m:
            continue
        pids.add(m[1])
        if m[1] == min(pids, key=int) and "SECCOMP_MODE_FILTER" in line and line.rstrip().endswith("= 0"):
            calls, gated = [], m[1]
        elif gated:
            calls.append((m[2], m[3]))
    return calls if gated else None


def every_verb():
    trace = shutil.which("strace")
    asked, gateless, opened, refused, differ, lines = set(), [], [], [], [], 0
    for name, core in cores():
        for argv in verbs(name, core):
            log = hr.path("trace")
            with_gate = run(*argv, trace=log if trace else None)
            without = run(*argv, gate=False)
            lines += 1
            said = " ".join(argv).replace(core, name)
            if (with_gate.returncode, with_gate.stdout, with_gate.stderr) != (without.returncode, without.stdout, without.stderr):
                differ.append(said)
            if not trace:
                continue
            calls = after_gate(log)
            if calls is None:
                gateless.append((said, with_gate.returncode))
                continue
            asked |= {c for c, _ in calls}
            opened += [(said, *c) for c in calls if c[0] in RIGHTS]
            refused += [(said, *c) for c in calls if "EPERM" in c[1]]
    hr.ok(lines > 40 and not differ, f"{lines} command lines say the same with and without the gate", differ)
    if not trace:
        return hr.skip("what is asked for after the gate", "no strace")
    hr.ok(not [g for g in gateless if g[1] in (0, 1, 4)], "all that answer went through the gate", gateless)
    hr.eq(opened, [], "nothing is opened, connected to or started after it")
    hr.eq(refused, [], "nothing was asked for in vain")
    hr.ok(asked and asked <= NEEDS, "calls after it are memory and descriptors", sorted(asked - NEEDS), sorted(asked))


def files_of_reports():
    """Reports and baselines come out whole, from behind the gate."""
    if not os.path.exists(hr.path("inventory.core")):
        return hr.skip("reports into files", "no core")
    core, kinds = hr.path("inventory.core"), ("text", "json", "sarif", "junit")
    made = {}
    for gate in (True, False):
        where = hr.path(f"gate{gate}")
        os.mkdir(where)
        with open(f"{where}/sarif", "w") as f:
            f.write("x" * 1000000)  # longer than the report that takes its place
        log = hr.path("trace") if gate and shutil.which("strace") else None
        base = ["--fail-on", "note", "--baseline", "base", "--write-baseline", "base"]
        first = run("check", core, *base, "--format", ",".join(f"{k}={k}" for k in kinds), gate=gate, cwd=where, trace=log)
        second = run("check", core, *base, "--prune-baseline", gate=gate, cwd=where)
        made[gate] = (first.returncode, first.stdout, first.stderr, second.returncode, second.stdout, second.stderr,
                      {f: open(f"{where}/{f}", "rb").read() for f in sorted(os.listdir(where))})
        hr.eq(sorted(made[gate][-1]), sorted([*kinds, "base"]), f"gate {gate}: the files asked for and no others")
        if log:
            calls = after_gate(log) or []
            hr.ok(calls and {c for c, _ in calls} <= NEEDS | REPLACES, "a baseline is put in its place and nothing else", calls[-20:])
            hr.eq([c for c in calls if "EPERM" in c[1]], [], "with all the rights that takes")
    hr.eq(made[True][:6], made[False][:6], "reports: what is said is the same with and without the gate")
    hr.ok(made[True][6] == made[False][6], "and what is written")
    hr.eq((made[True][0], made[True][3]), (1, 0), "findings are new first and known then")
    json.loads(made[True][6]["sarif"]), json.loads(made[True][6]["json"]), json.loads(made[True][6]["base"])
    r = run("check", core, "--format", "json=/nonexistent/x,text")
    hr.ok(r.returncode == 2 and b"cannot write /nonexistent/x" in r.stderr and r.stdout, "a report that cannot be written", r)
    before = os.stat(core)
    r = run("check", core, "--format", f"json={core}")
    after = os.stat(core)
    hr.ok(r.returncode == 2 and b"cannot write" in r.stderr and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns),
          "no report over the dump", r)
    r = run("check", core, "--write-baseline", "/nonexistent/x")
    hr.ok(r.returncode == 2 and b"cannot be written" in r.stderr, "a baseline that cannot be written", r)
    where = hr.path("stopped")
    os.mkdir(where)
    run("check", core, "--write-baseline", f"{where}/b", "--max-memory", "1M")
    hr.eq(os.listdir(where), [], "an analysis that fails leaves no half baseline")


def status_of_the_living():
    """The kernel's word on a heapray that waits for the reader of its output."""
    if not os.path.exists(hr.path("token_frag.core")):
        return hr.skip("status while it runs", "no core")
    p = subprocess.Popen([hr.HEAPRAY, "blocks", hr.path("token_frag.core"), "--ndjson"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    status, end = {}, time.monotonic() + 60
    while time.monotonic() < end and p.poll() is None:
        status = dict(l.split(":\t", 1) for l in open(f"/proc/{p.pid}/status").read().splitlines() if ":\t" in l)
        wchan = open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()[0]
        if status.get("Seccomp") == "2" and wchan == "S":
            break
        time.sleep(0.02)
    limits = open(f"/proc/{p.pid}/limits").read() if p.poll() is None else ""
    p.stdout.close()
    p.wait(60)
    hr.eq((status.get("Seccomp"), status.get("NoNewPrivs")), ("2", "1"), "Seccomp and NoNewPrivs")
    hr.ok(re.search(r"Max core file size +0 +0", limits), "no core file of it", limits)
    hr.ok(re.search(r"Max address space +\d+ +unlimited", limits) or resource.getrlimit(resource.RLIMIT_AS)[1] != -1, "a bound on memory", limits)


def memory():
    if not os.path.exists(hr.path("inventory.core")):
        return hr.skip("memory", "no core")
    core = hr.path("inventory.core")
    plenty = run("check", core)
    same = ended = 0
    other = []
    for amount in ("1", "64K", "256K", "1M", "2M", "3M", "4M", "5M", "6M", "8M", "10M", "12M", "16M", "32M", "64M", "1G"):
        r = run("check", core, "--max-memory", amount)
        if r.returncode == 5 and r.stderr.startswith(b"heapray: ") and b"out of memory" in r.stderr and r.stderr.count(b"\n") == 1:
            ended += 1
        elif (r.returncode, r.stdout) == (plenty.returncode, plenty.stdout):
            same += 1
        elif r.returncode not in (1, 4) or b"note:" not in r.stdout and b"damage:" not in r.stdout:
            other.append((amount, r.returncode, r.stderr[-200:], r.stdout[-300:]))  # weakened, without a word on it
    hr.eq(other, [], "with little memory: a sentence and exit 5, or an answer that says what it lacks, or the whole answer")
    hr.ok(ended >= 3 and same >= 2, f"both ends are met ({ended} out of memory, {same} as with plenty)")
    for wrong in ("", "0", "-1", "5 M", "7X", "99999999999999999999"):
        r = run("info", core, "--max-memory", wrong)
        hr.ok(r.returncode == 2 and b"--max-memory" in r.stderr, f"--max-memory '{wrong}' is refused", r)


hr.main([every_verb, files_of_reports, status_of_the_living, memory])
