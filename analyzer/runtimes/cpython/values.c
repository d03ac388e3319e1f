/* Values of objects: text, numbers, lengths, short representations, sizes as sys.getsizeof() says. */
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/runtimes/cpython/py.h"

static int64_t ssize(const struct hr_py *py, uint64_t base, enum hr_py_fact f)
{
    uint64_t v = hr_py_word(py->c, base, f);
    return py->img->word == 4 ? (int32_t)v : (int64_t)v;
}

/* ---- str ---- */
struct text_place { uint64_t data, length; unsigned width; };

/* 3.6 to 3.13: interned 2 bits, kind 3, compact, ascii, ready/static; from 3.14 interned has 16 bits. */
static bool str_place(const struct hr_py *py, uint64_t addr, struct text_place *ret)
{
    int64_t n = ssize(py, addr, HR_PY_UNICODE_LENGTH);
    if (n < 0)
        return false;
    ret->length = (uint64_t)n;
    if (py->minor < 0x0300) {
        ret->data = hr_py_word(py->c, addr, HR_PY_UNICODE2_STR);
        ret->width = 4;
        return ret->data != 0;
    }
    uint64_t state = hr_py_uint(py->c, addr, HR_PY_UNICODE_STATE, 4) >> (py->minor >= 0x030e ? 16 : 2);
    unsigned kind = state & 7, compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (kind != 1 && kind != 2 && kind != 4)
        return false;
    ret->width = kind;
    if (compact)
        ret->data = addr + (uint64_t)(ascii ? py->c->at[HR_PYS_ASCII] : py->c->at[HR_PYS_COMPACT]);
    else
        ret->data = hr_py_word(py->c, addr, HR_PY_UNICODE_DATA);
    return ret->data != 0;
}

static size_t put_utf8(char *buf, size_t cap, uint32_t cp)
{
    uint8_t b[4];
    size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t head[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; cp >>= 6)
        b[i] = (uint8_t)(0x80 | (cp & 0x3f));
    b[0] = (uint8_t)(head[n] | cp);
    if (n + 1 > cap)
        return 0;
    memcpy(buf, b, n);
    return n;
}

bool hr_py_text(struct hr_py *py, uint64_t addr, char *buf, size_t cap)
{
    uint64_t type = hr_py_word(py->c, addr, HR_PY_OB_TYPE), flags = hr_py_word(py->c, type, HR_PY_TP_FLAGS);
    struct text_place p;
    buf[0] = 0;
    if (!addr || !type)
        return false;
    if (py->minor < 0x0300 && flags & HR_PYF_BYTES_SUBCLASS) {
        int64_t n = ssize(py, addr, HR_PY_OB_SIZE);
        p = (struct text_place){addr + (uint64_t)py->c->at[HR_PY_BYTES_VALUE], n < 0 ? 0 : (uint64_t)n, 1};
    } else if (!(flags & HR_PYF_UNICODE_SUBCLASS) || !str_place(py, addr, &p)) {
        return false;
    }
    size_t at = 0;
    for (uint64_t i = 0; i < p.length && at + 5 < cap; i++) {
        uint64_t cp;
        if (!hr_image_uint(py->img, p.data + i * p.width, p.width, &cp))
            return i > 0;
        at += put_utf8(buf + at, cap - at, cp > 0x10ffff || !cp ? 0xfffd : (uint32_t)cp);
    }
    buf[at] = 0;
    return true;
}

/* ---- int ---- */
/* Sign and number of digits; digits have 30 bits (15 where a pointer has 4 bytes and the build says so: not met). */
static int int_digits(const struct hr_py *py, uint64_t addr, uint64_t *n_ret)
{
    if (hr_py_has(py->c, HR_PY_LONG_TAG)) {
        uint64_t tag = hr_py_word(py->c, addr, HR_PY_LONG_TAG);
        *n_ret = tag >> 3;
        return (tag & 3) == 2 ? -1 : (tag & 3) == 1 ? 0 : 1;
    }
    int64_t n = ssize(py, addr, HR_PY_OB_SIZE);
    *n_ret = (uint64_t)(n < 0 ? -n : n);
    return n < 0 ? -1 : n > 0;
}

static void int_repr(struct hr_py *py, uint64_t addr, char *buf, size_t cap)
{
    uint64_t n, digit;
    int sign = int_digits(py, addr, &n);
    unsigned __int128 v = 0;
    if (n > 4) {
        snprintf(buf, cap, "%s~2**%llu", sign < 0 ? "-" : "", (unsigned long long)(n * 30));
        return;
    }
    for (uint64_t i = n; i-- > 0;) {
        if (!hr_image_uint(py->img, addr + (uint64_t)py->c->at[HR_PY_LONG_DIGITS] + 4 * i, 4, &digit)) {
            snprintf(buf, cap, "?");
            return;
        }
        v = v << 30 | (digit & 0x3fffffff);
    }
    char rev[48];
    size_t k = 0;
    do
        rev[k++] = (char)('0' + (int)(v % 10));
    while ((v /= 10) && k < sizeof rev);
    size_t at = 0;
    if (sign < 0 && at + 1 < cap)
        buf[at++] = '-';
    while (k && at + 1 < cap)
        buf[at++] = rev[--k];
    buf[at] = 0;
}

/* ---- lengths and sizes ---- */
uint64_t hr_py_len(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    struct text_place p;
    int64_t n;
    switch (t->kind) {
    case HR_PK_STR:
        return str_place(py, addr, &p) ? p.length : UINT64_MAX;
    case HR_PK_BYTES: case HR_PK_BYTEARRAY: case HR_PK_LIST: case HR_PK_TUPLE: case HR_PK_DEQUE: case HR_PK_ARRAY:
        n = ssize(py, addr, HR_PY_OB_SIZE);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    case HR_PK_DICT: case HR_PK_ODICT:
        n = ssize(py, addr, HR_PY_DICT_USED);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    case HR_PK_SET:
        n = ssize(py, addr, HR_PY_SET_USED);
        return n < 0 ? UINT64_MAX : (uint64_t)n;
    default:
        return UINT64_MAX;
    }
}

static uint64_t keys_bytes(struct hr_py *py, uint64_t keys)
{
    uint64_t head = (uint64_t)py->c->at[HR_PYS_KEYS], size, index, entry = 3u * py->img->word, usable;
    if (!keys)
        return 0;
    if (hr_py_has(py->c, HR_PY_KEYS_LOG2_SIZE)) {
        uint64_t log2 = hr_py_uint(py->c, keys, HR_PY_KEYS_LOG2_SIZE, 1), li = hr_py_uint(py->c, keys, HR_PY_KEYS_LOG2_INDEX, 1);
        if (log2 > 40 || li > 44)
            return 0;
        size = 1ull << log2;
        index = 1ull << li;
        if (hr_py_uint(py->c, keys, HR_PY_KEYS_KIND, 1))
            entry = 2u * py->img->word;
    } else {
        size = hr_py_word(py->c, keys, HR_PY_KEYS_SIZE);
        if (size > 1ull << 40)
            return 0;
        index = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8);
    }
    usable = (size << 1) / 3;
    return head + index + usable * entry;
}

static bool static_object(const struct hr_py *py, uint64_t addr)
{
    const struct hr_module *m = &py->img->modules.v[py->c->module];
    return addr >= m->lo && addr < m->hi;
}

static uint64_t dict_size(struct hr_py *py, uint64_t addr, uint64_t base)
{
    if (py->minor < 0x0300) {
        uint64_t table = hr_py_word(py->c, addr, HR_PY_DICT_TABLE), mask = hr_py_word(py->c, addr, HR_PY_DICT_MASK);
        bool small = table == addr + (uint64_t)py->c->at[HR_PY_DICT_SMALLTABLE];
        return base + (small ? 0 : (mask + 1) * 3 * py->img->word);
    }
    uint64_t keys = hr_py_word(py->c, addr, HR_PY_DICT_KEYS), values = hr_py_word(py->c, addr, HR_PY_DICT_VALUES), word = py->img->word;
    uint64_t size = base;
    if (values) {
        uint64_t n;
        if (hr_py_has(py->c, HR_PY_KEYS_LOG2_SIZE)) {
            n = ((1ull << (hr_py_uint(py->c, keys, HR_PY_KEYS_LOG2_SIZE, 1) & 31)) << 1) / 3;
            size += n * word;
        } else {
            n = ((hr_py_word(py->c, keys, HR_PY_KEYS_SIZE) & 0xffffffff) << 1) / 3;
            size += n * word;
        }
    }
    /* shared keys are counted with their type only: a split table's dict holds one of several references */
    if (keys && !values && !static_object(py, keys) && hr_py_word(py->c, keys, HR_PY_KEYS_REFCNT) == 1)
        size += keys_bytes(py, keys);
    return size;
}

static uint64_t str_size(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    struct text_place p;
    if (!str_place(py, addr, &p))
        return t->basicsize;
    if (py->minor < 0x0300)
        return t->basicsize + (p.length + 1) * p.width;
    uint64_t state = hr_py_uint(py->c, addr, HR_PY_UNICODE_STATE, 4) >> (py->minor >= 0x030e ? 16 : 2), size;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (compact)
        size = (uint64_t)(ascii ? py->c->at[HR_PYS_ASCII] : py->c->at[HR_PYS_COMPACT]) + (p.length + 1) * p.width;
    else
        size = (uint64_t)py->c->at[HR_PYS_UNICODE] + (p.length + 1) * p.width;
    /* a cached UTF-8 form, and the wchar_t form of the old API, where they are separate */
    if (!(compact && ascii)) {
        uint64_t utf8 = hr_py_word(py->c, addr, HR_PY_UNICODE_UTF8);
        if (utf8 && utf8 != p.data)
            size += hr_py_word(py->c, addr, HR_PY_UNICODE_UTF8_LENGTH) + 1;
    }
    return size;
}

uint64_t hr_py_sizeof(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    uint64_t size = t->basicsize, n = hr_py_len(py, addr, t), word = py->img->word, table;
    switch (t->kind) {
    case HR_PK_STR:
        size = str_size(py, addr, t);
        break;
    case HR_PK_BYTES: /* basicsize counts the terminating NUL */
    case HR_PK_TUPLE:
        size += (n == UINT64_MAX ? 0 : n) * t->itemsize;
        break;
    case HR_PK_INT:
        int_digits(py, addr, &n);
        if (!n && py->minor >= 0x030c)
            n = 1;
        size = (uint64_t)py->c->at[HR_PY_LONG_DIGITS] + 4 * n;
        if (t->basicsize > (uint64_t)py->c->at[HR_PY_LONG_DIGITS] + 4)
            size = t->basicsize + 4 * n;
        break;
    case HR_PK_LIST:
        if (hr_py_word(py->c, addr, HR_PY_LIST_ITEMS))
            size += hr_py_word(py->c, addr, HR_PY_LIST_ALLOCATED) * word;
        break;
    case HR_PK_BYTEARRAY:
        size += hr_py_word(py->c, addr, HR_PY_BYTEARRAY_ALLOC);
        break;
    case HR_PK_DICT:
        size = dict_size(py, addr, size);
        break;
    case HR_PK_SET:
        table = hr_py_word(py->c, addr, HR_PY_SET_TABLE);
        if (table != addr + (uint64_t)py->c->at[HR_PY_SET_SMALLTABLE])
            size += (hr_py_word(py->c, addr, HR_PY_SET_MASK) + 1) * 2 * word;
        break;
    case HR_PK_TYPE:
        if (!(hr_py_word(py->c, addr, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE)) {
            size = (uint64_t)py->c->at[HR_PYS_TYPEOBJECT];
        } else {
            uint64_t items = (uint64_t)ssize(py, addr, HR_PY_OB_SIZE);
            size += (items < 4096 ? items : 0) * t->itemsize;
            if (py->minor >= 0x0304)
                size += keys_bytes(py, hr_py_word(py->c, addr, HR_PY_HT_CACHED_KEYS));
        }
        break;
    default:
        if (t->itemsize) {
            int64_t items = ssize(py, addr, HR_PY_OB_SIZE);
            items = items < 0 ? -items : items;
            if (items < 1 << 28)
                size += (uint64_t)items * t->itemsize;
        }
    }
    return size + t->pre; /* sys.getsizeof adds what lies before a collected object */
}

char *hr_py_repr(struct hr_py *py, uint64_t addr, bool contents, char *buf, size_t cap)
{
    uint32_t ti = hr_py_object_type(py, addr);
    if (ti == HR_NONE) {
        snprintf(buf, cap, "?");
        return buf;
    }
    const struct hr_py_type *t = hr_py_type(py, ti);
    const char *name = hr_strs_get(py->img->strs, t->name);
    uint64_t n = hr_py_len(py, addr, t), bits;
    double d;
    char text[200];
    switch (t->kind) {
    case HR_PK_NONE:
        snprintf(buf, cap, "None");
        break;
    case HR_PK_INT2:
        snprintf(buf, cap, "%lld", (long long)ssize(py, addr, HR_PY_INT_IVAL));
        break;
    case HR_PK_INT:
        int_repr(py, addr, buf, cap);
        if (!strcmp(name, "bool"))
            snprintf(buf, cap, "%s", strcmp(buf, "0") ? "True" : "False");
        break;
    case HR_PK_FLOAT:
        bits = hr_py_uint(py->c, addr, HR_PY_FLOAT_VALUE, 8);
        memcpy(&d, &bits, 8);
        snprintf(buf, cap, "%.17g", d);
        break;
    case HR_PK_STR: case HR_PK_BYTES:
        if (contents && hr_py_text(py, addr, text, sizeof text))
            snprintf(buf, cap, "'%s'%s", text, n > strlen(text) ? "..." : "");
        else
            snprintf(buf, cap, "<%s of %llu>", name, (unsigned long long)n);
        break;
    default:
        if (n != UINT64_MAX)
            snprintf(buf, cap, "<%s of %llu>", name, (unsigned long long)n);
        else
            snprintf(buf, cap, "<%s at 0x%llx>", name, (unsigned long long)addr);
    }
    return buf;
}
