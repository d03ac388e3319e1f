"""What the end-to-end tests share: TAP, building and dumping real programs, running heapray, reading a core independently.

The numbers a test expects come from the living process or from the few lines here, never from heapray."""
import array, json, os, resource, shutil, signal, struct, subprocess, sys, tempfile, time
import xml.etree.ElementTree as xml

TOP = os.environ.get("HR_TOP", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HERE = os.path.dirname(os.path.abspath(__file__))
HEAPRAY = os.environ.get("HEAPRAY", f"{TOP}/build/heapray")
LONG = bool(os.environ.get("LONG"))
SCRATCH = tempfile.mkdtemp(prefix="truth-")
_started = []
_n = _bad = 0


# ---- TAP ----
def ok(good, name, *remarks):
    global _n, _bad
    _n += 1
    _bad += not good
    print(f"{'' if good else 'not '}ok {_n} - {name}")
    if not good:
        for r in remarks:
            for line in str(r).splitlines()[:40]:
                print(f"#   {line}")
    sys.stdout.flush()
    return bool(good)


def eq(got, want, name, *remarks):
    return ok(got == want, name, f"got    {got!r}", f"wanted {want!r}", *remarks)


def skip(name, why):
    global _n
    _n += 1
    print(f"ok {_n} - {name} # SKIP {why}")


def done():
    clean_up()
    print(f"1..{_n}")
    sys.exit(1 if _bad else 0)


def clean_up():
    for p in _started:
        if p.poll() is None:
            p.kill()
            p.wait()
    shutil.rmtree(SCRATCH, ignore_errors=True)


def main(tests):
    """Runs the functions; an exception is a failure of its test, not the end of the others."""
    for t in tests:
        try:
            t()
        except Exception as e:
            import traceback
            ok(False, f"{t.__name__}: {type(e).__name__}: {e}", traceback.format_exc())
        for p in _started:
            if p.poll() is None:
                p.kill()
                p.wait()
        del _started[:]
    done()


# ---- programs and cores ----
def path(*names):
    return os.path.join(SCRATCH, *names)


def build(source, out, *flags):
    """Compiles tests/truth/prog/SOURCE (or a path below the top) with debug information."""
    where = source if "/" in source else f"tests/truth/prog/{source}"
    cc = "g++" if where.endswith(".cc") else "gcc"
    subprocess.run([cc, "-O2", "-g", "-D_GNU_SOURCE", "-Wall", "-o", path(out), os.path.join(TOP, where), *flags, "-lpthread", "-ldl"],
                   check=True)
    return path(out)


def start(argv, env=None, ready=b"ready", seconds=120, cwd=None, say=None):
    """Starts a program and waits until it has said it is ready. Returns (process, what it printed). say: bytes for its standard
    input, which stays open."""
    name = path(f"out{len(os.listdir(SCRATCH))}")
    open(name, "wb").close()
    out = open(name, "a+b")  # appending: reading here moves the offset that the program writes at, too
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL if say is None else subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, cwd=cwd or SCRATCH,
                         env=dict(os.environ, **(env or {})))
    _started.append(p)
    p.out = out
    if say is not None:
        p.stdin.write(say)
        p.stdin.flush()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        out.seek(0)
        said = out.read()
        if ready in said:
            time.sleep(0.05)
            return p, said.decode(errors="replace")
        if p.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError(f"{argv[0]} did not get ready ({p.poll()}): {said[-500:]!r}")


def wait_for(p, what, seconds=60):
    """All that a started program has printed, once it contains `what` (bytes)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        p.out.seek(0)
        said = p.out.read()
        if what in said:
            return said.decode(errors="replace")
        time.sleep(0.02)
    raise RuntimeError(f"did not say {what!r}: {said[-500:]!r}")


def gcore(pid, name):
    """gdb's core of a living process, or None where tracing is not allowed."""
    r = subprocess.run(["gcore", "-o", path("g"), str(pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    made = path(f"g.{pid}")
    if not os.path.exists(made):
        print("# gcore: " + r.stdout.decode(errors="replace").strip().replace("\n", " / ")[-300:])
        return None
    subprocess.run(["cp", "--sparse=always", made, path(name)], check=True)
    os.unlink(made)
    return path(name)


def kernel_cores():
    """Whether the kernel leaves core files in the current directory."""
    pattern = open("/proc/sys/kernel/core_pattern").read().strip()
    return not pattern.startswith("|") and "/" not in pattern


def kernel_core(argv, name, env=None, seconds=120):
    """Runs a program that dies by itself; returns the kernel's core."""
    where = tempfile.mkdtemp(dir=SCRATCH)

    def unlimited():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    subprocess.run(argv, cwd=where, env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, preexec_fn=unlimited, timeout=seconds)
    cores = [f for f in os.listdir(where) if f.startswith("core")]
    if not cores:
        return None
    os.rename(os.path.join(where, cores[0]), path(name))
    return path(name)


def word_size(core):
    with open(core, "rb") as f:
        return 4 * f.read(5)[4]


def segments(core):
    """(address, offset, size in file) of the PT_LOADs of a little-endian ELF core: an independent reader for the tests."""
    wide = word_size(core) == 8
    with open(core, "rb") as f:
        head = f.read(64)
        phoff, shoff = struct.unpack_from("<QQ", head, 32) if wide else struct.unpack_from("<II", head, 28)
        phentsize, phnum = struct.unpack_from("<HH", head, 54 if wide else 42)
        if phnum == 0xffff:
            f.seek(shoff)
            phnum = struct.unpack_from("<I", f.read(64), 44 if wide else 28)[0]
        f.seek(phoff)
        table = f.read(phentsize * phnum)
    for i in range(phnum):
        if wide:
            kind, _, offset, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", table, i * phentsize)
        else:
            kind, offset, vaddr, _, filesz = struct.unpack_from("<IIIII", table, i * phentsize)
        if kind == 1:
            yield vaddr, offset, filesz


def words_that_are(core, wanted):
    """[(where, word)] of the aligned words of the core that are one of the wanted numbers."""
    size_of = word_size(core)
    found, words = [], array.array("Q" if size_of == 8 else "I")
    with open(core, "rb") as f:
        for vaddr, offset, size in segments(core):
            f.seek(offset)
            del words[:]
            data = f.read(size)
            words.frombytes(data[:len(data) - len(data) % size_of])
            if not wanted.isdisjoint(words):
                found += [(vaddr + size_of * i, w) for i, w in enumerate(words) if w in wanted]
    return found


# ---- what a process says of its own heap ----
def malloc_info(xml_file):
    """Per arena, in malloc_info's order: chunks and bytes with headers of fastbins and of the rest (top among them), system bytes."""
    out = []
    for heap in xml.parse(xml_file).getroot().findall("heap"):
        total = {t.get("type"): (int(t.get("count")), int(t.get("size"))) for t in heap.findall("total")}
        count, size = total["rest"]
        # glibc adds up the size fields of binned chunks with their PREV_INUSE bit; top has none.
        out.append({"fast": total["fast"], "rest": (count, size - (count - 1)),
                    "system": int(heap.find("system[@type='current']").get("size"))})
    return out


def free_with_headers(arena, word):
    """Of heapray's arena row, what malloc_info calls rest: a header word a chunk, two for top, which has no successor to share with."""
    return arena["free_bytes"] + word * (arena["free_blocks"] + 1)


def census(p, name):
    """Asks a process started with census_env(name): ({arena address: (blocks, usable bytes)}, malloc_info). 0 main, 1 mmapped."""
    os.kill(p.pid, signal.SIGUSR2)
    for _ in range(1000):
        if os.path.exists(path(name + ".done")):
            break
        time.sleep(0.01)
    lines = [line.split() for line in open(path(name))]
    return {int(a, 16): (int(n), int(b)) for _, a, n, b in lines}, malloc_info(path(name + ".xml"))


def census_env(name):
    if not os.path.exists(path("census.so")):
        build("census.c", "census.so", "-shared", "-fPIC")
    return {"CENSUS": path(name), "LD_PRELOAD": path("census.so")}


# ---- heapray ----
class Result:
    def __init__(self, argv, rc, out, err):
        self.argv, self.rc, self.out, self.err = argv, rc, out, err

    def json(self):
        return json.loads(self.out)

    def ndjson(self):
        lines = self.out.splitlines()
        return json.loads(lines[0]), (json.loads(line) for line in lines[1:])

    def __str__(self):
        return f"$ heapray {' '.join(self.argv)}\nexit {self.rc}\n{self.out[-3000:]}\n--- stderr\n{self.err[-2000:]}"


def heapray(*argv, seconds=300, env=None, text=True, stdin=subprocess.DEVNULL, preexec_fn=None):
    r = subprocess.run([HEAPRAY, *argv], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds,
                       env=dict(os.environ, **(env or {})), preexec_fn=preexec_fn)
    decode = (lambda b: b.decode("utf-8", "backslashreplace")) if text else (lambda b: b)
    return Result(argv, r.returncode, decode(r.stdout), decode(r.stderr))
