/* Line tables of code objects, in their three forms: pairs of deltas (co_lnotab), ranges (PEP 626, 3.10), locations (PEP 657, 3.11). */
#include "analyzer/runtimes/cpython/stacks.h"

struct table {
    const struct hr_image *img;
    uint64_t at, end;
    const uint8_t *p;       /* what lies together from at on */
    size_t n;
};

static bool next_byte(struct table *t, uint8_t *ret)
{
    if (t->at >= t->end)
        return false;
    if (!t->n) {
        struct hr_span b = hr_image_peek(t->img, t->at, t->end - t->at);
        if (!b.n)
            return false;
        t->p = b.p;
        t->n = b.n;
    }
    *ret = *t->p++;
    t->n--;
    t->at++;
    return true;
}

static bool open_table(struct hr_py_walk *w, uint64_t code, struct table *ret)
{
    struct hr_py *py = w->py;
    uint64_t bytes = hr_py_word(py->c, code, HR_PY_CODE_LINETABLE), n = hr_py_word(py->c, bytes, HR_PY_OB_SIZE);
    if (!bytes || n > HR_PY_MAX_LINETABLE || n > w->budget)
        return false;
    w->budget -= n;
    uint64_t at = bytes + (uint64_t)py->c->at[HR_PY_BYTES_VALUE];
    *ret = (struct table){.img = py->img, .at = at, .end = at + n};
    return true;
}

/* Up to 3.9: (bytes of code, lines), the lines signed from 3.6 on. */
static int64_t by_lnotab(struct table *t, int64_t line, int64_t lasti, bool is_signed)
{
    uint8_t a, d;
    for (int64_t addr = 0; next_byte(t, &a) && next_byte(t, &d);) {
        addr += a;
        if (addr > lasti)
            break;
        line += is_signed ? (int8_t)d : d;
    }
    return line;
}

/* 3.10: (length of the range, lines to add before it); -128: the range has no line. */
static int64_t by_ranges(struct table *t, int64_t line, int64_t lasti)
{
    uint8_t n, d;
    for (int64_t end = 0; next_byte(t, &n) && next_byte(t, &d);) {
        end += n;
        bool none = d == 0x80;
        if (!none)
            line += (int8_t)d;
        if (end > lasti)
            return none ? 0 : line;
    }
    return 0;
}

static int64_t signed_varint(struct table *t)
{
    uint64_t v = 0;
    uint8_t b = 0x40;
    for (unsigned shift = 0; b & 0x40 && shift < 36 && next_byte(t, &b); shift += 6)
        v |= (uint64_t)(b & 0x3f) << shift;
    return v & 1 ? -(int64_t)(v >> 1) : (int64_t)(v >> 1);
}

/* From 3.11 on: entries start with a byte that has bit 7; bits 3-6 are the form, bits 0-2 the length in code units less one. */
static int64_t by_locations(struct table *t, int64_t line, int64_t lasti)
{
    enum { ONE_LINE0 = 10, ONE_LINE2 = 12, NO_COLUMNS = 13, LONG = 14, NONE = 15 };
    uint8_t b;
    for (int64_t end = 0; next_byte(t, &b);) {
        if (!(b & 0x80))
            continue; /* columns of the entry before */
        unsigned form = b >> 3 & 15;
        end += 2 * ((b & 7) + 1);
        if (form >= ONE_LINE0 && form <= ONE_LINE2)
            line += form - ONE_LINE0;
        else if (form == NO_COLUMNS || form == LONG)
            line += signed_varint(t);
        if (end > lasti)
            return form == NONE ? 0 : line;
    }
    return 0;
}

uint32_t hr_py_code_line(struct hr_py_walk *w, uint64_t code, int64_t lasti)
{
    struct hr_py *py = w->py;
    struct table t;
    int64_t first = (int32_t)hr_py_uint(py->c, code, HR_PY_CODE_FIRSTLINENO, 4), line = first;
    if (w->last_code == code && w->last_lasti == lasti)
        return w->last_line;
    if (lasti >= 0) {
        if (!open_table(w, code, &t))
            return 0;
        if (py->minor >= 0x030b)
            line = by_locations(&t, first, lasti);
        else if (py->minor == 0x030a)
            line = by_ranges(&t, first, lasti);
        else
            line = by_lnotab(&t, first, lasti, py->minor >= 0x0306);
    }
    w->last_code = code;
    w->last_lasti = lasti;
    w->last_line = line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
    return w->last_line;
}
