#!/usr/bin/env python3
"""The samples' faults, as the samples themselves count them, against what heapray says of their cores."""
import os, re, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr

# Lost, too: a stale word in memory given back, or in a frame that is gone, is all that is left.
STALE = {"cached", "dead_stack"}


def dump(name, source):
    subprocess.run(["g++" if source.endswith("cc") else "gcc", "-O1", "-g", "-o", hr.path(name), f"{hr.TOP}/samples/{source}", "-lpthread"],
                   check=True)
    r = subprocess.run([f"{hr.TOP}/samples/dump", hr.path(name), hr.path(name + ".core")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    if r.returncode:
        hr.skip(name, "no core to be had: " + r.stdout.strip().replace("\n", " / ")[-100:])
        return None, None
    return hr.path(name + ".core"), [int(n) for n in re.findall(r"\b\d+\b", r.stdout)]


def blocks(core):
    return list(hr.heapray("blocks", core, "--ndjson").ndjson()[1])


def leaked(said):
    return [b for b in said if (b["reach"] or "").startswith("leaked")]


def check(core, only, rc=1):
    r = hr.heapray("check", core, "--json", "--only", only, "--fail-on", "warning")
    hr.eq(r.rc, rc, f"{os.path.basename(core)}: check --only {only} exits {rc}", r)
    return r.json()["findings"]


def session_server():
    core, told = dump("session_server", "session_server.c")
    if not core:
        return
    cached, _, lost = told
    said = blocks(core)
    gone, stale = leaked(said), [b for b in said if b["reach"] in STALE]
    # Output buffers are reused session blocks and only partly written: their old words still name lost blocks.
    hr.ok(0.85 * lost <= len(gone) <= lost, f"session_server: {lost} blocks lost: {len(gone)} leaked, {len(stale)} more with stale pointers only")
    sessions = [b for b in said if b["state"] == "used" and b["type"] == "struct session"]
    hr.eq(len(sessions), cached, "session_server: typed sessions are those in the cache")
    found = check(core, "leak.*")
    hr.ok(any("attribute" in str(f) or "buffer" in str(f) or "char" in str(f) for f in found), "session_server: findings name a type", found[:3])


def inventory():
    core, told = dump("inventory", "inventory.cc")
    if not core:
        return
    bundles, parts, reports = told
    said = blocks(core)
    gone = leaked(said) + [b for b in said if b["reach"] in STALE]
    names = [b["type"] or "" for b in gone]
    hr.eq(sum("Sp_counted_ptr_inplace<shop::Bundle" in n for n in names), bundles, "inventory: lost bundles", names[:10])
    hr.eq(sum("Sp_counted_ptr_inplace<shop::Perishable" in n for n in names), parts, "inventory: lost parts of bundles", names[:10])
    lost_reports = sum(n == "shop::Report" for n in names)
    hr.ok(reports - 2 <= lost_reports <= reports, f"inventory: {lost_reports} of {reports} forgotten reports (a stale word may name one or two)")
    cycles = [b for b in gone if b["reach"] == "leaked_cycle"]
    hr.ok(len(cycles) >= bundles * 2, f"inventory: rings are called rings ({len(cycles)} blocks)")
    check(core, "leak.*")


def scene_rings():
    core, told = dump("scene_rings", "scene_rings.c")
    if not core:
        return
    _, rings, lost = told
    said = blocks(core)
    stale = [b for b in said if b["reach"] in STALE]
    hr.eq(len(leaked(said)) + len(stale), lost, f"scene_rings: lost blocks, {len(stale)} of them with stale pointers")
    found = check(core, "leak.*")
    told_rings = [f for f in found if "cycle" in f["rule"] or "ring" in f["rule"]]
    hr.ok(len(leaked(said)) <= sum(f["count"] for f in told_rings) <= lost, "scene_rings: the ring findings cover the lost blocks", told_rings[:3])
    # Some dropped scenes are still named by the freed child array of another, or by a frame that is gone.
    hr.ok(0.95 * rings <= len(told_rings) <= rings, f"scene_rings: {rings} rings lost, {len(told_rings)} findings, one a ring")


def token_frag():
    core, told = dump("token_frag", "token_frag.c")
    if not core:
        return
    tokens, arena, in_use, free = told
    hr.eq(leaked(blocks(core)), [], "token_frag: nothing leaked")
    r = hr.heapray("frag", core, "--json")
    hr.eq(r.rc, 0, "token_frag: frag exits 0", r)
    main = max(r.json()["arenas"], key=lambda a: a["mapped"])
    hr.eq(main["mapped"], arena, "token_frag: size of the heap as mallinfo2 says", r)
    hr.ok(abs(main["free"] - free) <= 16 * 6000, f"token_frag: {main['free']} free, mallinfo2 says {free} with headers")
    hr.ok(main["pinned_by"] and main["pinned_by"][0]["type"] == "struct token", "token_frag: tokens pin the free runs", main["pinned_by"][:3])
    check(core, "frag.*")


def scribble():
    core, _ = dump("scribble", "scribble.c")
    if not core:
        return
    r = hr.heapray("check", core, "--json")
    hr.eq(r.rc, 1, "scribble: check exits 1", r)
    found = [f for f in r.json()["findings"] if "corrupt" in f["rule"]]
    hr.ok(found, "scribble: the damaged chunk is found", [f["rule"] for f in r.json()["findings"]])
    said = blocks(core)
    # It died freeing label 129 of 400; the book and two blocks an entry are left.
    hr.ok(sum(b["state"] == "used" for b in said) >= 540, "scribble: the blocks behind the damage are still listed", len(said))


hr.main([session_server, inventory, scene_rings, token_frag, scribble])
