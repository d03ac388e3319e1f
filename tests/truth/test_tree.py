#!/usr/bin/env python3
"""`heapray tree`: what each root alone holds, against sums that the program made while it allocated; and the tree's own arithmetic."""
import os, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr


def nodes(tree):
    todo = list(tree)
    while todo:
        n = todo.pop()
        yield n
        todo += n["children"]


def native():
    p, said = hr.start([hr.build("tree.c", "tree")])
    core = hr.gcore(p.pid, "tree.core")
    if not core:
        return hr.skip("tree of a C program", "no gcore here")
    told = {k: int(v) for k, v in (line.split() for line in said.splitlines() if line.startswith("g_"))}
    doc = hr.heapray("tree", core, "--all", "--json").json()
    top = {n["name"].split()[1]: n for n in doc["tree"] if n["name"].startswith("global g_")}
    for name in "g_list", "g_table", "g_shared":
        # what three roots lead to is at the top by itself
        shared = [n["retained"] for n in doc["tree"] if n.get("type") == "struct leaf"]
        seen = sum(shared) if name == "g_shared" else top[name]["retained"]
        hr.eq(seen, told[name], f"{name} retains what was allocated for it")
    items = [n for n in nodes([top["g_table"]]) if n.get("type") == "struct item"]
    hr.ok(any(n["count"] == told["g_table_items"] for n in items), "items of the table, side by side and one below the other, are one row", [n["count"] for n in items])
    items = [n for n in nodes([top["g_list"]]) if n.get("type") == "struct item"]
    hr.eq([n["count"] for n in items], [told["g_list_items"]], "a linked list is one row")
    hr.ok(all(sum(c["retained"] for c in n["children"]) + n["bytes"] <= n["retained"] for n in nodes(doc["tree"])), "no row is less than its parts")
    hr.ok(sum(n["retained"] for n in doc["tree"]) <= doc["bytes"], "the rows at the top are no more than the heap")
    used = [b for b in hr.heapray("blocks", core, "--ndjson", "--state", "used").ndjson()[1]]
    hr.eq(doc["bytes"], sum(b["size"] for b in used), "the whole is what is in use")

    one = top["g_table"]["children"][0]
    below = hr.heapray("tree", core, one["addr"], "--json")
    hr.eq(below.json()["bytes"], one["retained"], "from an address on: the same bytes")
    text = hr.heapray("tree", core, env={"COLUMNS": "60"})
    hr.ok(text.rc == 0 and "global g_list" in text.out and max(map(len, text.out.splitlines())) <= 60, "as text, in 60 columns", text)
    hr.eq(hr.heapray("tree", core, "0x10").rc, 2, "an address that is no block: usage error")
    p.kill()


hr.main([native])
