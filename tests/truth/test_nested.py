#!/usr/bin/env python3
"""A heap inside another allocator's block, in a large process without a symbol for it: found, and no byte counted twice."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr


def nested():
    p, said = hr.start([hr.build("nested_heap.c", "nested")])
    core = hr.gcore(p.pid, "nested.core")
    if not core:
        return hr.skip("a heap inside another allocator's block", "no gcore here")
    told = {k: int(v) for k, v in (line.split() for line in said.splitlines() if " " in line)}
    inner = {a["name"]: a for a in hr.heapray("info", core, "--json").json()["allocators"]}
    hr.eq(sorted(inner), ["glibc", "micropython"], "both heaps are found")
    hr.eq((inner["micropython"]["used_blocks"], inner["micropython"]["used_bytes"], inner["micropython"]["mapped_bytes"]),
          (told["heads"], told["used"], told["total"]), "blocks and bytes of the inner one")
    heap = hr.heapray(core, "--json").json()["heap"]
    outer = inner["glibc"]
    hr.ok(outer["used_bytes"] > told["total"], "to malloc all of the inner heap is in use")
    hr.ok(heap["mapped_bytes"] == outer["mapped_bytes"], "what is mapped is counted once", heap, outer)
    hr.ok(told["used"] <= heap["used_bytes"] < told["used"] + 65536, "in use is what the inner heap says, and little else", heap, told)
    used = sum(b["size"] for b in hr.heapray("blocks", core, "--ndjson", "--state", "used").ndjson()[1])
    hr.eq(used, heap["used_bytes"], "the blocks in use add up to that")
    p.kill()


hr.main([nested])
