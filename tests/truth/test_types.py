#!/usr/bin/env python3
"""Types of blocks of a C++ program with debug information, without any hint: every type that heapray names is the one the compiler
gave the object there (prog/types.cc writes the list), and at least 95 % of the live bytes have one."""
import bisect, collections, os, re, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr


def plain(name):
    """One spelling for a type: DWARF and the demangler differ in spaces, ABI tags, literals and the names of integers."""
    name = name.replace("std::__cxx11::", "std::").replace("struct ", "").replace("class ", "")
    name = re.sub(r"\bbasic_string<char, std::char_traits<char>, std::allocator<char> >", "string", name)
    name = re.sub(r"\b(short|long) (unsigned )?int\b", lambda m: (m.group(2) or "") + m.group(1), name)
    name = re.sub(r"\bconst\b", "", name)  # `const T` here is `T const` there
    name = re.sub(r"(\d)[uUlL]+\b", r"\1", name)
    return name.replace(" ", "")


# What the block's type has to be, given what lies in it. {} is the element's type.
HOW = {
    "object": lambda t: re.escape(t),
    "array": lambda t: re.escape(t) + r"(\[\d*\])?|" + (r"(text\()?char.*|std::string.*" if t == "char" else r"(?!)"),
    "rbnode": lambda t: r"(std::)?_Rb_tree_node<" + re.escape(t) + r">",
    "listnode": lambda t: r"(std::)?_List_node<" + re.escape(t) + r">",
    "fwdnode": lambda t: r"(std::)?_Fwd_list_node<" + re.escape(t) + r">",
    "hashnode": lambda t: r"(std::__detail::)?_Hash_node<" + re.escape(t) + r",(true|false)>",
    "cookie": lambda t: re.escape(t) + r"\[\d*\]",
    "pointers": lambda t: re.escape(t) + r"\*\[\d*\]",
    "guess": lambda t: re.escape(t),
    "any": lambda t: r"",
    "inplace": lambda t: r"(std::)?_Sp_counted_ptr_inplace<" + re.escape(t) + r",.*>",
}


def read_truth(path):
    for line in open(path):
        addr, how, name = line.rstrip("\n").split(" ", 2)
        yield int(addr, 16), how, plain(name)


def check(source, least, *flags, lose=False, stale=0):
    hr.build(source, "types", *flags)
    if "-m32" in flags:
        source += ", i386"
    p, _ = hr.start([hr.path("types"), hr.path("types.truth")], env={"LOSE": "1"} if lose else None)
    if lose:
        source += ", leaked"
    core = hr.gcore(p.pid, "types.core")
    if not core:
        return hr.skip(source, "tracing is not allowed here")
    r = hr.heapray("blocks", core, "--ndjson", "--no-cache", seconds=120)
    if not hr.ok(r.rc == 0, "blocks succeeds", r):
        return
    used = sorted((int(b["addr"], 16), b) for b in r.ndjson()[1] if b["state"] == "used")
    starts = [a for a, _ in used]
    right, wrong, untyped = collections.Counter(), collections.defaultdict(list), collections.Counter()
    seen = set()
    for addr, how, name in read_truth(hr.path("types.truth")):
        i = bisect.bisect_right(starts, addr) - 1
        start, block = used[i]
        if addr >= start + block["size"]:
            wrong[how].append(f"{addr:#x} {name}: no used block there")
            continue
        seen.add(start)
        if not block["type"]:
            untyped[how, name] += 1
        elif re.fullmatch(HOW[how](name), plain(block["type"])):
            right[how] += 1
        else:
            wrong[how].append(f"{addr:#x} +{addr - start} of {block['size']}: {how} {name}; heapray: {block['type']} ({block['surety']})")
    for how in [h for h in HOW if right[h] or wrong[h]]:
        kinds = collections.Counter(re.sub(r"^\S+ \+\d+ of \d+: ", "", w) for w in wrong[how]).most_common(12)
        hr.ok(len(wrong[how]) <= stale * (right[how] + len(wrong[how])), f"{source}: types of {how}: {right[how]} right, {len(wrong[how])} wrong",
              *[f"{n} x {k}" for k, n in kinds], *wrong[how][:3])
    total = sum(b["size"] for _, b in used)
    typed = sum(b["size"] for _, b in used if b["type"])
    loose = collections.Counter()
    for a, b in used:
        if not b["type"]:
            loose[b["size"]] += b["size"]
    hr.ok(typed >= least * total, f"{source}: {100 * typed / total:.1f} % of {total} live bytes typed (at least {100 * least:.0f} %)",
          "untyped by block size: " + str(loose.most_common(8)), "untyped by kind: " + str(untyped.most_common(12)))
    info = hr.heapray("info", core, "--json", "--no-cache", seconds=120).json()["explained"]
    hr.eq((info["heap_bytes"], info["typed_bytes"]), (total, typed), "info's line on what is explained is that of the blocks", info)
    hr.ok(sum(info["by_evidence"].values()) == typed, "the evidence adds up", info)


def cxx():
    check("types.cc", 0.95, "-std=c++17", "-O1")


def more_cxx():
    """Virtual and multiple inheritance, bases without virtual functions, pimpl, adapters, arrays with a cookie."""
    check("types_more.cc", 0.95, "-std=c++17", "-O1")


def c():
    """Lists, trees, intrusive links, flexible arrays, tagged unions, pools; 7 % of its bytes lie behind void * or are a pool."""
    check("types_c.c", 0.90, "-O1")


def churn():
    """Stale bytes everywhere: unused ends of arrays and frames point at what other types have become. One in a thousand may be
    taken for what it was."""
    check("types_churn.cc", 0.95, "-std=c++17", "-O1", stale=0.001)


def leaked():
    """What nobody points at is proposed by its shape, or left alone; never wrong."""
    check("types.cc", 0.80, "-std=c++17", "-O1", lose=True)
    check("types_c.c", 0.55, "-O1", lose=True)


def lost():
    """A server's error path: what is lost has the same types as what is held, with old bytes all over: one in a thousand may be
    taken for what it was."""
    check("types_lost.c", 0.88, "-O1", stale=0.001)
    try:
        check("types_lost.c", 0.88, "-O1", "-m32", stale=0.001)
    except subprocess.CalledProcessError:
        hr.skip("types_lost.c for i386", "no 32-bit C library here")


hr.main([cxx, more_cxx, c, churn, leaked, lost])
