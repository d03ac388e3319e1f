#!/usr/bin/env python3
"""What holds for every verb on any core: valid JSON with the promised header, the same bytes twice, nothing secret, nothing a terminal
would obey, no file written, the same answer from a compressed core or from a container's root."""
import gzip, json, os, re, shutil, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")
VERBS = [[], ["info"], ["check"], ["top"], ["frag"], ["blocks"], ["threads"], ["show", None], ["path", None]]


def argv(verb, core, addr, *extra):
    return [*verb[:1], core, *([addr] if len(verb) > 1 else []), *extra]


def name_of(verb):
    return verb[0] if verb else "overview"


def some_block(core, **want):
    for b in hr.heapray("blocks", core, "--ndjson").ndjson()[1]:
        if all((b[k] == v) for k, v in want.items()):
            return b["addr"]


def header(core):
    addr = some_block(core, reach="reachable")
    for verb in VERBS:
        r = hr.heapray(*argv(verb, core, addr, "--json"))
        if not hr.ok(r.rc in (0, 1), f"{name_of(verb)} --json: exit {r.rc}", r):
            continue
        doc = r.json()
        image = doc.get("image", {})
        modules = image.get("modules", [])
        hr.eq((doc.get("schema"), doc.get("command"), image.get("format"), image.get("word_bits"), image.get("endian"), image.get("complete"),
               image.get("missing_bytes"), image.get("arch")),
              ("heapray/1", name_of(verb), "elf-core", 64, "little", True, 0, "x86-64"), f"{name_of(verb)}: header", image)
        hr.ok(any(m["path"].endswith("/secrets") and re.fullmatch("[0-9a-f]{40}", m["build_id"] or "") for m in modules),
              f"{name_of(verb)}: the module with its build-id", modules[:3])
    build_id = re.search(r"Build ID: (\w+)", subprocess.run(["readelf", "-n", hr.path("secrets")], stdout=subprocess.PIPE, text=True).stdout)[1]
    hr.ok(any(m["build_id"] == build_id for m in modules), "the build-id is the one readelf prints", build_id, modules[:3])


def twice(core):
    addr = some_block(core, reach="reachable")
    for verb in VERBS:
        a = hr.heapray(*argv(verb, core, addr, "--json", "--no-cache"), text=False)
        b = hr.heapray(*argv(verb, core, addr, "--json", "--no-cache"), text=False)
        c = hr.heapray(*argv(verb, core, addr, "--json"), text=False)
        d = hr.heapray(*argv(verb, core, addr, "--json"), text=False)
        hr.ok(a.out == b.out and a.out == c.out == d.out, f"{name_of(verb)}: same bytes again, with and without the cache")


def terminal_and_secrets(core):
    addr, leak = some_block(core, reach="reachable"), some_block(core, reach="leaked_direct")
    hr.ok(leak, "there are leaked secrets")
    for verb in VERBS:
        for extra in ([], ["--json"], ["--ndjson"], ["--all"], ["--color", "always"]):
            r = hr.heapray(*argv(verb, core, leak or addr, *extra))
            said = r.out + r.err
            hr.ok("CANARY" not in said and b"CANARY4711".hex() not in said.lower() and "0x" + b"CANARY47"[::-1].hex() not in said.lower(),
                  f"{name_of(verb)} {' '.join(extra)}: no contents", *[line for line in said.splitlines() if "CANARY" in line][:5])
            if "always" not in extra:
                hr.ok(not CONTROL.search(said), f"{name_of(verb)} {' '.join(extra)}: nothing a terminal obeys")
    shown = hr.heapray("show", core, leak, "--show-contents")
    hr.ok("CANARY" in shown.out, "show --show-contents: contents when asked for", shown)


def evil_name():
    evil = hr.path("ev\x1b[31mil\n\u202eexe")
    shutil.copy(hr.path("secrets"), evil)
    p, _ = hr.start([evil, "arg\x1b]0;owned\x07"])
    core = hr.gcore(p.pid, "evil.core")
    if not core:
        return hr.skip("evil name", "tracing is not allowed here")
    addr = some_block(core, reach="reachable")
    for verb in VERBS:
        for extra in ([], ["--json"]):
            r = hr.heapray(*argv(verb, core, addr, *extra))
            hr.ok(r.rc in (0, 1) and not CONTROL.search(r.out + r.err), f"program with an evil name, {name_of(verb)} {' '.join(extra)}: escaped", r)
            if extra and r.out:
                json.loads(r.out)


def nothing_written(core):
    box = hr.path("box")
    os.mkdir(box)
    shutil.copy(core, f"{box}/a.core")
    home = hr.path("home")
    os.mkdir(home)
    for verb in VERBS[:7]:
        hr.heapray(*argv(verb, f"{box}/a.core", None), env={"HOME": home, "XDG_CACHE_HOME": f"{home}/cache", "TMPDIR": box})
    hr.eq(os.listdir(box), ["a.core"], "nothing is written beside the input or into TMPDIR")
    hr.ok(set(os.listdir(home)) <= {"cache"}, "nothing is written into HOME but the cache", os.listdir(home))
    r = hr.heapray("info", f"{box}/a.core", env={"HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/nonexistent"})
    hr.eq(r.rc, 0, "works without a place for the cache", r)


def pipe_closed(core):
    p = subprocess.run(["bash", "-c", f"'{hr.HEAPRAY}' blocks '{core}' --ndjson | head -1 | wc -l"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=60)
    hr.eq((p.stdout.strip(), p.stderr), ("1", ""), "quiet when the reader goes away")


def compressed(core):
    plain = hr.heapray("blocks", core, "--ndjson").out.split("\n", 1)[1]
    packed = {"gz": ["gzip", "-1", "-c", core], "zst": ["zstd", "-q", "-1", "-c", core], "lz4": ["lz4", "-q", "-c", core],
              "xz": ["xz", "-0", "-c", core]}
    for ext in ("gz", "zst", "lz4"):
        if not shutil.which(packed[ext][0]):
            hr.skip(f"core.{ext}", f"no {packed[ext][0]} here")
            continue
        with open(hr.path(f"core.{ext}"), "wb") as f:
            subprocess.run(packed[ext], stdout=f, check=True)
        r = hr.heapray("blocks", hr.path(f"core.{ext}"), "--ndjson")
        hr.ok(r.rc == 0 and r.out.split("\n", 1)[1] == plain, f"core.{ext}: the same blocks", r.err, r.out[:300])


def moved(core):
    """The executable is not where the core says: found by --sysroot and by --exe, and missed politely without."""
    def types(*extra):
        return [(b["addr"], b["type"]) for b in hr.heapray("blocks", core, "--ndjson", "--no-cache", *extra).ndjson()[1]]
    before = types()
    hr.ok(any(t == "struct account" for _, t in before), "types are there to begin with", before[:5])
    root = hr.path("root")
    os.makedirs(root + os.path.dirname(hr.path("secrets")))
    os.rename(hr.path("secrets"), root + hr.path("secrets"))
    hr.ok(not any(t == "struct account" for _, t in types()), "no types from an executable that is gone")
    r = hr.heapray("info", core)
    hr.ok("secrets" in r.out and re.search("missing|not here|not found", r.out + r.err, re.I), "info says what is missing", r)
    hr.ok(types("--exe", root + hr.path("secrets")) == before, "--exe brings them back")
    for lib in set(re.findall(r"(/\S+\.so[.\d]*)", subprocess.run(["ldd", root + hr.path("secrets")], stdout=subprocess.PIPE, text=True).stdout)):
        os.makedirs(os.path.dirname(root + lib), exist_ok=True)
        shutil.copy(os.path.realpath(lib), root + os.path.realpath(lib)) if os.path.isdir(os.path.dirname(root + os.path.realpath(lib))) else None
    hr.ok(any(t == "struct account" for _, t in types("--sysroot", root)), "--sysroot brings them back")


def main():
    hr.build("secrets.c", "secrets")
    p, _ = hr.start([hr.path("secrets")])
    core = hr.gcore(p.pid, "secrets.core")
    if not core:
        print("1..0 # SKIP tracing is not allowed here")
        hr.clean_up()
        return
    hr.main([lambda t=t: t(core) for t in (header, twice, terminal_and_secrets, nothing_written, pipe_closed, compressed)] +
            [evil_name, lambda: moved(core)])


main()
