"""Reads what prog/planted.c wrote of itself."""
import collections, struct

MASK = 0x9e3779b97f4a7c15
CACHED, FREED = 30, 31
Record = collections.namedtuple("Record", "addr usable kind arena ring group")


def read_truth(path):
    with open(path, "rb") as f:
        return [Record(m ^ MASK, u, k, a, r, g) for m, u, k, a, r, g, _ in struct.iter_unpack("<QIBBHII", f.read())]


def is_leak(record):
    return 20 <= record.kind < 30
