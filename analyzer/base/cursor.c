#include "analyzer/base/cursor.h"

struct hr_span hr_cur_bytes(struct hr_cursor *c, uint64_t n)
{
    if (n > hr_cur_left(c)) {
        c->bad = true;
        c->p = c->end;
        return (struct hr_span){0};
    }
    struct hr_span s = {c->p, (size_t)n};
    c->p += n;
    return s;
}

void hr_cur_seek(struct hr_cursor *c, uint64_t off)
{
    if (off > (size_t)(c->end - c->start)) {
        c->bad = true;
        c->p = c->end;
    } else {
        c->p = off ? c->start + off : c->start; /* NULL + 0 is undefined */
    }
}

uint64_t hr_cur_uint(struct hr_cursor *c, unsigned bytes)
{
    struct hr_span s = hr_cur_bytes(c, bytes);
    return s.n ? hr_load(s.p, bytes, c->big) : 0;
}

uint64_t hr_cur_uleb(struct hr_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (c->p >= c->end || shift > 70) {
            c->bad = true;
            return 0;
        }
        uint8_t b = *c->p++;
        if (shift < 64)
            v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
}

int64_t hr_cur_sleb(struct hr_cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (c->p >= c->end || shift > 70) {
            c->bad = true;
            return 0;
        }
        uint8_t b = *c->p++;
        if (shift < 64)
            v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            if (shift + 7 < 64 && b & 0x40)
                v |= ~0ull << (shift + 7);
            return (int64_t)v;
        }
    }
}

struct hr_span hr_cur_cstr(struct hr_cursor *c)
{
    const uint8_t *z = hr_cur_left(c) ? memchr(c->p, 0, hr_cur_left(c)) : NULL;
    if (!z) {
        c->bad = true;
        c->p = c->end;
        return (struct hr_span){0};
    }
    struct hr_span s = {c->p, (size_t)(z - c->p)};
    c->p = z + 1;
    return s;
}
