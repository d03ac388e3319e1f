/* Values of objects: text, numbers, lengths. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/buffers.h"
#include "analyzer/runtimes/cpython/values.h"

int64_t hr_py_ssize(const struct hr_py *py, uint64_t base, enum hr_py_fact f)
{
    uint64_t v = hr_py_word(py->c, base, f);
    return py->img->word == 4 ? (int32_t)v : (int64_t)v;
}

static uint64_t word_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t v;
    return hr_image_word(py->img, addr, &v) ? v : 0;
}

/* ---- str ---- */
/* 3.6 to 3.13: interned 2 bits, kind 3, compact, ascii, ready/static; from 3.14 interned has 16 bits. */
bool hr_py_text_place(const struct hr_py *py, uint64_t addr, struct hr_py_text_place *ret)
{
    int64_t n = hr_py_ssize(py, addr, HR_PY_UNICODE_LENGTH);
    if (n < 0)
        return false;
    *ret = (struct hr_py_text_place){.length = (uint64_t)n, .width = 4};
    if (py->minor < 0x0300) {
        ret->data = hr_py_word(py->c, addr, HR_PY_UNICODE2_STR);
        return ret->data != 0;
    }
    uint64_t state = hr_py_uint(py->c, addr, HR_PY_UNICODE_STATE, 4) >> (py->minor >= 0x030f ? 16 : 2);
    unsigned kind = state & 7;
    ret->compact = state >> 3 & 1;
    ret->ascii = state >> 4 & 1;
    if (kind != 1 && kind != 2 && kind != 4)
        return false;
    ret->width = (uint8_t)kind;
    if (ret->compact)
        ret->data = addr + (uint64_t)(ret->ascii ? py->c->at[HR_PYS_ASCII] : py->c->at[HR_PYS_COMPACT]);
    else
        ret->data = hr_py_word(py->c, addr, HR_PY_UNICODE_DATA);
    return ret->data != 0;
}

uint32_t hr_py_char(const struct hr_py *py, const struct hr_py_text_place *p, uint64_t i)
{
    uint64_t cp;
    return hr_image_uint(py->img, p->data + i * p->width, p->width, &cp) && cp <= 0x10ffff ? (uint32_t)cp : 0xfffd;
}

size_t hr_py_utf8(uint8_t b[4], uint32_t cp)
{
    static const uint8_t head[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; cp >>= 6)
        b[i] = (uint8_t)(0x80 | (cp & 0x3f));
    b[0] = (uint8_t)(head[n] | cp);
    return n;
}

bool hr_py_text(struct hr_py *py, uint64_t addr, char *buf, size_t cap)
{
    uint64_t type = hr_py_word(py->c, addr, HR_PY_OB_TYPE), flags = hr_py_word(py->c, type, HR_PY_TP_FLAGS);
    struct hr_py_text_place p;
    buf[0] = 0;
    if (!addr || !type)
        return false;
    if (py->minor < 0x0300 && flags & HR_PYF_BYTES_SUBCLASS) {
        int64_t n = hr_py_ssize(py, addr, HR_PY_OB_SIZE);
        p = (struct hr_py_text_place){.data = addr + (uint64_t)py->c->at[HR_PY_BYTES_VALUE], .length = n < 0 ? 0 : (uint64_t)n, .width = 1};
    } else if (!(flags & HR_PYF_UNICODE_SUBCLASS) || !hr_py_text_place(py, addr, &p)) {
        return false;
    }
    size_t at = 0;
    for (uint64_t i = 0; i < p.length && at + 5 < cap; i++) {
        uint64_t cp;
        if (!hr_image_uint(py->img, p.data + i * p.width, p.width, &cp))
            return i > 0;
        uint8_t b[4];
        size_t k = hr_py_utf8(b, cp > 0x10ffff || !cp ? 0xfffd : (uint32_t)cp);
        memcpy(buf + at, b, k);
        at += k;
    }
    buf[at] = 0;
    return true;
}

/* ---- int ---- */
/* Sign and number of digits; digits have 30 bits (15 where a pointer has 4 bytes and the build says so: not met). */
int hr_py_int_digits(const struct hr_py *py, uint64_t addr, uint64_t *n_ret)
{
    if (hr_py_has(py->c, HR_PY_LONG_TAG)) {
        uint64_t tag = hr_py_word(py->c, addr, HR_PY_LONG_TAG);
        *n_ret = tag >> 3;
        return (tag & 3) == 2 ? -1 : (tag & 3) == 1 ? 0 : 1;
    }
    int64_t n = hr_py_ssize(py, addr, HR_PY_OB_SIZE);
    *n_ret = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    return n < 0 ? -1 : n > 0;
}

/* ---- lengths ---- */
/* 3.x: start, stop, step, length as ints; 2.7: start, step, length as machine words. */
static uint64_t range_len(const struct hr_py *py, uint64_t addr)
{
    unsigned word = py->img->word;
    uint64_t at = addr + (uint64_t)py->c->at[HR_PYS_OBJECT], n, digit;
    if (py->minor < 0x0300)
        return word_at(py, at + 2 * word);
    at = word_at(py, at + 3 * word);
    int sign = hr_py_int_digits(py, at, &n);
    if (sign <= 0)
        return sign ? UINT64_MAX : 0;
    uint64_t v = 0;
    for (uint64_t i = hr_min(n, 2); i-- > 0;)
        v = v << 30 | (hr_image_uint(py->img, at + (uint64_t)py->c->at[HR_PY_LONG_DIGITS] + 4 * i, 4, &digit) ? digit : 0);
    return n > 2 ? UINT64_MAX : v;
}

uint64_t hr_py_array_allocated(const struct hr_py *py, uint64_t addr)
{
    return word_at(py, addr + (uint64_t)py->c->at[HR_PYS_VAROBJECT] + py->img->word);
}

uint64_t hr_py_array_itemsize(const struct hr_py *py, uint64_t addr)
{
    uint64_t descr = word_at(py, addr + (uint64_t)py->c->at[HR_PYS_VAROBJECT] + 2 * py->img->word), size;
    return descr && hr_image_uint(py->img, descr + 4, 4, &size) && size <= 16 ? size : 0; /* a char, then an int */
}

uint64_t hr_py_len(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    struct hr_py_text_place p;
    int64_t n;
    switch (t->kind) {
    case HR_PK_STR:
        return hr_py_text_place(py, addr, &p) ? p.length : UINT64_MAX;
    case HR_PK_BYTES: case HR_PK_BYTEARRAY: case HR_PK_LIST: case HR_PK_TUPLE: case HR_PK_ARRAY:
        n = hr_py_ssize(py, addr, HR_PY_OB_SIZE);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    case HR_PK_DICT: case HR_PK_ODICT:
        n = hr_py_ssize(py, addr, HR_PY_DICT_USED);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    case HR_PK_SET:
        n = hr_py_ssize(py, addr, HR_PY_SET_USED);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    case HR_PK_DEQUE: /* 2.7's is no variable object: links, indices, length behind the head */
        n = py->minor < 0x0300 ? (int64_t)word_at(py, addr + (uint64_t)py->c->at[HR_PYS_OBJECT] + 4 * py->img->word) : hr_py_ssize(py, addr, HR_PY_OB_SIZE);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    case HR_PK_RANGE: return range_len(py, addr);
    default: return hr_py_buffer_len(py, addr, t);
    }
}

struct lookup { struct hr_py *py; const char *key; uint64_t value; };

static bool look_up(void *ctx, uint64_t key, uint64_t value)
{
    struct lookup *l = ctx;
    char text[128];
    if (!hr_py_text(l->py, key, text, sizeof text) || strcmp(text, l->key))
        return true;
    l->value = value;
    return false;
}

uint64_t hr_py_dict_get(struct hr_py *py, uint64_t dict, const char *key)
{
    struct lookup l = {py, key, 0};
    if (dict)
        hr_py_dict_items(py, dict, look_up, &l);
    return l.value;
}
