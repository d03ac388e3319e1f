#!/usr/bin/env python3
"""Fails on any #include that the house does not allow, and on a circle of rooms (style: architecture page)."""
import re, subprocess, sys

MAY = {
    "base": set(),
    "image": {"base"},
    "formats/image": {"image", "base"},
    "types": {"image", "base"},
    "heap": {"types", "image", "base", "graph"},
    "allocators": {"heap", "types", "image", "base"},
    "runtimes": {"heap", "types", "image", "base", "allocators"},
    "graph": {"base"},
    "rules": {"graph", "heap", "types", "finding", "base"},
    "finding": {"heap", "types", "base"},
    "formats/report": {"finding", "base"},
    "formats/export": {"graph", "heap", "types", "finding", "base"},
}

def room(path):
    p = path.split("/")
    if p[0] == "analyzer":
        return p[1] if len(p) > 2 and p[1] in MAY else "top"
    if p[0] == "formats":
        return p[0] + "/" + p[1]
    if p[0] == "rules":
        return "rules"
    return "outside"

bad, arrows = [], {}
files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h", "*.def"], text=True).split()
for f in files:
    r = room(f)
    if r in ("top", "outside"):
        continue
    for line in open(f, errors="replace"):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        t = room(m.group(1))
        if t == r:
            continue
        arrows.setdefault(r, {}).setdefault(t, f)
        if t not in MAY[r]:
            bad.append(f"{f}: room '{r}' may not include '{m.group(1)}' ({t})")
    if r != "types" and re.search(r'#\s*include\s+[<"](libdwarf|capstone)', open(f, errors="replace").read()):
        bad.append(f"{f}: libdwarf and capstone belong to the types room")

def circle(r, trail):
    if r in trail:
        return trail[trail.index(r):] + [r]
    for t in arrows.get(r, {}):
        c = circle(t, trail + [r]) if t in MAY else None
        if c:
            return c
    return None

for r in list(arrows):
    c = circle(r, [])
    if c:
        bad.append("circle: " + " -> ".join(c))
        break
print("\n".join(sorted(set(bad))) or f"layers: {len(files)} files, no wrong arrow, no circle")
sys.exit(bool(bad))
