/* Objects as Python prints them, bounded: how deep, how long. Text of the dumped program only where it may be shown. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/buffers.h"
#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/values.h"

enum { MAX_DEPTH = 4, MAX_CONTAINER = 1200, MAX_DEQUE = 4096 };

struct writer {
    struct hr_py *py;
    char *buf;
    size_t cap, at;
    bool contents, full;
    unsigned depth;
    uint64_t inside[MAX_DEPTH + 1]; /* the containers around */
};

static void put(struct writer *w, const char *s, size_t n)
{
    if (w->full || n + 4 >= w->cap - w->at) {
        if (!w->full && w->cap - w->at >= 4)
            memcpy(w->buf + w->at, "...", 4), w->at += 3;
        w->full = true;
        return;
    }
    memcpy(w->buf + w->at, s, n);
    w->at += n;
    w->buf[w->at] = 0;
}
static void puts_(struct writer *w, const char *s) { put(w, s, strlen(s)); }

static uint64_t word_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t v;
    return hr_image_word(py->img, addr, &v) ? v : 0;
}

/* ---- text ---- */
/* Characters that str.isprintable() denies, near enough: controls, separators, surrogates, private use. */
static bool unprintable(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad || (c >= 0x2000 && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f) ||
           (c >= 0x205f && c <= 0x206f) || c == 0x3000 || (c >= 0xd800 && c <= 0xf8ff) || c == 0xfeff || (c >= 0xfff0 && c <= 0xfffb) ||
           c >= 0xe0000;
}

static void put_char(struct writer *w, uint32_t c, char quote, bool ascii_only)
{
    char b[16];
    const char *named = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '\\' ? "\\\\" : NULL;
    if (named)
        snprintf(b, sizeof b, "%s", named);
    else if (c == (unsigned char)quote)
        snprintf(b, sizeof b, "\\%c", quote);
    else if (c < 0x7f && c >= 0x20)
        snprintf(b, sizeof b, "%c", (int)c);
    else if (c >= 0x80 && !ascii_only && !unprintable(c))
        b[hr_py_utf8((uint8_t *)b, c)] = 0;
    else
        snprintf(b, sizeof b, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    puts_(w, b);
}

static void put_text(struct writer *w, const struct hr_py_text_place *p, const char *prefix, bool ascii_only)
{
    bool single = false, twice = false;
    uint64_t most = hr_min(p->length, w->cap);
    for (uint64_t i = 0; i < most; i++) {
        uint32_t c = hr_py_char(w->py, p, i);
        single |= c == '\'';
        twice |= c == '"';
    }
    char quote = single && !twice ? '"' : '\'', q[2] = {quote, 0};
    puts_(w, prefix);
    puts_(w, q);
    for (uint64_t i = 0; i < p->length && !w->full; i++)
        put_char(w, hr_py_char(w->py, p, i), quote, ascii_only);
    puts_(w, q);
}

static void text_object(struct writer *w, uint64_t addr, const struct hr_py_type *t, const char *name)
{
    bool two = w->py->minor < 0x0300, bytes = t->kind == HR_PK_BYTES;
    struct hr_py_text_place p = {.width = 1};
    uint64_t n = hr_py_len(w->py, addr, t);
    char b[300];
    if (bytes)
        p = (struct hr_py_text_place){.data = addr + (uint64_t)w->py->c->at[HR_PY_BYTES_VALUE], .length = n == UINT64_MAX ? 0 : n, .width = 1};
    if (!w->contents || (!bytes && !hr_py_text_place(w->py, addr, &p))) {
        snprintf(b, sizeof b, "<%.250s of %llu>", name, (unsigned long long)n);
        puts_(w, b);
        return;
    }
    put_text(w, &p, bytes && !two ? "b" : !bytes && two ? "u" : "", bytes || two);
}

/* ---- numbers ---- */
static double double_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t bits;
    double d = 0;
    if (hr_image_uint(py->img, addr, 8, &bits))
        memcpy(&d, &bits, 8);
    return d;
}

static void complex_object(struct writer *w, uint64_t addr)
{
    uint64_t at = addr + (uint64_t)w->py->c->at[HR_PY_COMPLEX_VALUE];
    double re = double_at(w->py, at), im = double_at(w->py, at + 8);
    char a[40], b[40], text[100];
    hr_py_double_text(re, false, a, sizeof a);
    hr_py_double_text(im, false, b, sizeof b);
    if (re == 0 && !signbit(re))
        snprintf(text, sizeof text, "%sj", b);
    else
        snprintf(text, sizeof text, "(%s%s%sj)", a, b[0] == '-' ? "" : "+", b);
    puts_(w, text);
}

/* ---- containers ---- */
static void object(struct writer *w, uint64_t addr);
static void other(struct writer *w, uint64_t addr, const struct hr_py_type *t, const char *name);

static bool enter(struct writer *w, uint64_t addr, const char *again)
{
    for (unsigned i = 0; i < w->depth; i++)
        if (w->inside[i] == addr) {
            puts_(w, again);
            return false;
        }
    if (w->depth >= MAX_DEPTH) {
        puts_(w, again);
        return false;
    }
    w->inside[w->depth++] = addr;
    return true;
}

/* n words from `at`: objects. */
static void items(struct writer *w, uint64_t at, uint64_t n)
{
    for (uint64_t i = 0; i < n && !w->full; i++) {
        if (i)
            puts_(w, ", ");
        object(w, word_at(w->py, at + i * w->py->img->word));
    }
}

static void set_items(struct writer *w, uint64_t addr)
{
    struct hr_py *py = w->py;
    unsigned word = py->img->word;
    uint64_t table = hr_py_word(py->c, addr, HR_PY_SET_TABLE), used = hr_py_word(py->c, addr, HR_PY_SET_USED), seen = 0;
    uint64_t n = hr_py_word(py->c, addr, HR_PY_SET_MASK) + 1, key_off = py->minor < 0x0300 ? word : 0;
    for (uint64_t i = 0; i < hr_min(n, 1 << 20) && seen < used && !w->full; i++) {
        uint64_t key = word_at(py, table + i * 2 * word + key_off), hash = word_at(py, table + i * 2 * word + (word - key_off));
        if (!key || (py->minor >= 0x0300 && hash == (word == 8 ? UINT64_MAX : UINT32_MAX)))
            continue;
        /* 2.7's dummy is a string object of the interpreter with no hash of its own to tell it by: it reads '<dummy key>' */
        char text[16];
        if (py->minor < 0x0300 && hr_py_text(py, key, text, sizeof text) && !strncmp(text, "<dummy key", 10))
            continue;
        if (seen++)
            puts_(w, ", ");
        object(w, key);
    }
}

struct pairs { struct writer *w; bool some; };
static bool pair(void *ctx, uint64_t key, uint64_t value)
{
    struct pairs *p = ctx;
    if (p->some)
        puts_(p->w, ", ");
    p->some = true;
    object(p->w, key);
    puts_(p->w, ": ");
    object(p->w, value);
    return !p->w->full;
}

static void container(struct writer *w, uint64_t addr, const struct hr_py_type *t, const char *name)
{
    struct hr_py *py = w->py;
    uint64_t n = hr_py_len(py, addr, t);
    bool two = py->minor < 0x0300, frozen = !strcmp(name, "frozenset");
    switch (t->kind) {
    case HR_PK_LIST:
        if (!enter(w, addr, "[...]"))
            return;
        puts_(w, "[");
        items(w, hr_py_word(py->c, addr, HR_PY_LIST_ITEMS), n);
        puts_(w, "]");
        break;
    case HR_PK_TUPLE:
        if (!enter(w, addr, "(...)"))
            return;
        puts_(w, "(");
        items(w, addr + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS], n);
        puts_(w, n == 1 ? ",)" : ")");
        break;
    case HR_PK_DICT: {
        struct pairs p = {.w = w};
        if (!enter(w, addr, "{...}"))
            return;
        puts_(w, "{");
        hr_py_dict_items(py, addr, pair, &p);
        puts_(w, "}");
        break;
    }
    default: /* sets */
        if (!enter(w, addr, "{...}"))
            return;
        if (!n || two || frozen || strcmp(name, "set")) {
            puts_(w, name);
            puts_(w, !n && !two ? "(" : two ? "([" : "({");
            set_items(w, addr);
            puts_(w, !n && !two ? ")" : two ? "])" : "})");
        } else {
            puts_(w, "{");
            set_items(w, addr);
            puts_(w, "}");
        }
    }
    w->depth--;
}

static void sequence3(struct writer *w, uint64_t addr, const char *name, bool all)
{
    uint64_t at = addr + (uint64_t)w->py->c->at[HR_PYS_OBJECT];
    unsigned word = w->py->img->word;
    char step[16] = "";
    puts_(w, name);
    puts_(w, "(");
    object(w, word_at(w->py, at));
    puts_(w, ", ");
    object(w, word_at(w->py, at + word));
    if (!all)
        hr_py_int_text(w->py, word_at(w->py, at + 2 * word), step, sizeof step);
    if (strcmp(step, "1")) {
        puts_(w, ", ");
        object(w, word_at(w->py, at + 2 * word));
    }
    puts_(w, ")");
}

/* ---- NumPy ---- */
static void array_text(struct writer *w, const struct hr_py_descr *d, uint64_t at)
{
    char b[80];
    if (d->kind == 'O') {
        object(w, word_at(w->py, at));
    } else if (hr_py_item_text(w->py, d, at, b, sizeof b)) {
        puts_(w, b);
    } else if ((d->kind == 'U' || d->kind == 'S') && w->contents && !d->swapped) {
        struct hr_py_text_place p = {.data = at, .length = d->kind == 'U' ? d->itemsize / 4 : d->itemsize, .width = d->kind == 'U' ? 4 : 1};
        while (p.length && !hr_py_char(w->py, &p, p.length - 1))
            p.length--; /* shorter ones are filled with zeros */
        put_text(w, &p, d->kind == 'S' ? "b" : "", d->kind == 'S');
    } else {
        puts_(w, "?");
    }
}

static void array_item(struct writer *w, const struct hr_py_leaf *leaves, unsigned n, bool record, uint64_t at)
{
    enum { MAX_SHOWN = 16 };
    if (record)
        puts_(w, "(");
    for (unsigned i = 0; i < n && i < MAX_SHOWN && !w->full; i++) {
        if (i)
            puts_(w, ", ");
        array_text(w, &leaves[i].d, at + leaves[i].off);
    }
    if (n > MAX_SHOWN)
        puts_(w, ", ...");
    if (record)
        puts_(w, ")");
}

/* Address of the n-th item in C order. */
static uint64_t item_at(const struct hr_py_ndarray *a, uint64_t n)
{
    uint64_t at = a->data;
    for (uint32_t i = a->nd; i-- > 0;) {
        at += (n % a->shape[i]) * (uint64_t)a->stride[i];
        n /= a->shape[i];
    }
    return at;
}

/* <numpy.ndarray <f8 (3, 4) [0.0, 1.0, ...]>: items in C order. */
static void array_object(struct writer *w, uint64_t addr, const char *name)
{
    enum { MAX_ITEMS = 8 };
    struct hr_py_ndarray a;
    struct hr_py_leaf leaves[HR_NP_LEAVES];
    char b[700], dtype[40];
    if (!hr_py_ndarray(w->py, addr, &a)) {
        snprintf(b, sizeof b, "<%.500s ?>", name);
        puts_(w, b);
        return;
    }
    snprintf(b, sizeof b, "<%.500s %s (", name, hr_py_dtype_str(w->py, &a.d, dtype, sizeof dtype));
    puts_(w, b);
    for (uint32_t i = 0; i < a.nd; i++) {
        snprintf(b, sizeof b, i + 1 < a.nd ? "%llu, " : i ? "%llu" : "%llu,", (unsigned long long)a.shape[i]);
        puts_(w, b);
    }
    puts_(w, a.nd ? ") [" : ") ");
    unsigned n = hr_py_leaves(w->py, &a.d, leaves);
    bool inside = enter(w, addr, "...");
    for (uint64_t i = 0; inside && i < hr_min(a.items, MAX_ITEMS) && !w->full; i++) {
        if (i)
            puts_(w, ", ");
        array_item(w, leaves, n, n != 1 || leaves[0].d.kind != a.d.kind, item_at(&a, i));
    }
    if (inside && a.items > MAX_ITEMS)
        puts_(w, ", ...");
    if (inside)
        w->depth--;
    puts_(w, a.nd ? "]>" : ">");
}

static void scalar_object(struct writer *w, uint64_t addr, const struct hr_py_type *t, const char *name)
{
    struct hr_py_descr d;
    struct hr_py_leaf leaves[HR_NP_LEAVES];
    uint64_t at = addr + (uint64_t)w->py->c->at[HR_PYS_VAROBJECT];
    char b[100];
    if (t->kind == HR_PK_NPVOID && hr_py_descr(w->py, word_at(w->py, at + w->py->img->word), &d) && enter(w, addr, "...")) {
        array_item(w, leaves, hr_py_leaves(w->py, &d, leaves), true, word_at(w->py, at));
        w->depth--;
    } else if (t->kind == HR_PK_NPSCALAR && hr_py_scalar(w->py, addr, t, &d, &at)) {
        uint64_t meta = at + 8; /* of dates: behind the count, laid out as a dtype's, whose head has four words more */
        if (d.kind == 'M' || d.kind == 'm')
            d.c_metadata = meta - 4 * w->py->img->word;
        puts_(w, hr_py_item_text(w->py, &d, at, b, sizeof b) ? b : "?");
    } else {
        other(w, addr, t, name);
    }
}

static void dtype_object(struct writer *w, uint64_t addr, const struct hr_py_type *t, const char *name)
{
    struct hr_py_descr d;
    char b[60], dtype[40];
    if (!hr_py_descr(w->py, addr, &d)) {
        other(w, addr, t, name);
        return;
    }
    snprintf(b, sizeof b, "dtype('%s')", hr_py_dtype_str(w->py, &d, dtype, sizeof dtype));
    puts_(w, b);
}

static void other(struct writer *w, uint64_t addr, const struct hr_py_type *t, const char *name)
{
    char b[700], text[300];
    uint64_t n = hr_py_len(w->py, addr, t), named = 0;
    uint32_t self;
    if (t->kind == HR_PK_TYPE && (self = hr_py_type_at(w->py, addr)) != HR_NONE) {
        snprintf(b, sizeof b, "<class '%s'>", hr_strs_get(w->py->img->strs, hr_py_type(w->py, self)->name));
        puts_(w, b);
        return;
    }
    if (t->kind == HR_PK_FUNCTION)
        named = hr_py_word(w->py->c, addr, hr_py_has(w->py->c, HR_PY_FUNC_QUALNAME) ? HR_PY_FUNC_QUALNAME : HR_PY_FUNC_NAME);
    else if (t->kind == HR_PK_MODULE && hr_py_has(w->py->c, HR_PY_MODULE_NAME))
        named = hr_py_word(w->py->c, addr, HR_PY_MODULE_NAME);
    else if (t->kind == HR_PK_MODULE)
        named = hr_py_dict_get(w->py, hr_py_word(w->py->c, addr, HR_PY_MODULE_DICT), "__name__");
    else if (t->kind == HR_PK_CODE)
        named = hr_py_word(w->py->c, addr, HR_PY_CODE_NAME);
    /* numpy.ufunc: four ints, two pointers, two ints, then the name */
    uint64_t ufunc = strcmp(name, "numpy.ufunc") ? 0 : word_at(w->py, addr + (uint64_t)w->py->c->at[HR_PYS_OBJECT] + 24 + 2 * w->py->img->word);
    if (ufunc && hr_image_cstr(w->py->img, ufunc, text, sizeof text))
        snprintf(b, sizeof b, "<ufunc '%s'>", text);
    else if (named && hr_py_text(w->py, named, text, sizeof text))
        snprintf(b, sizeof b, "<%s %s>", name, text);
    else if (n != UINT64_MAX)
        snprintf(b, sizeof b, "<%.500s of %llu>", name, (unsigned long long)n);
    else
        snprintf(b, sizeof b, "<%.500s at 0x%llx>", name, (unsigned long long)addr);
    puts_(w, b);
}

static void object(struct writer *w, uint64_t addr)
{
    struct hr_py *py = w->py;
    uint32_t ti = hr_py_object_type(py, addr);
    if (ti == HR_NONE) {
        puts_(w, "?");
        return;
    }
    const struct hr_py_type t = *hr_py_type(py, ti); /* a copy: reading what is in it may add types */
    const char *name = hr_strs_get(py->img->strs, t.name);
    char b[HR_PY_REPR];
    switch (t.kind) {
    case HR_PK_NONE: puts_(w, "None"); break;
    case HR_PK_INT2:
        snprintf(b, sizeof b, "%lld", (long long)hr_py_ssize(py, addr, HR_PY_INT_IVAL));
        puts_(w, strcmp(name, "bool") ? b : strcmp(b, "0") ? "True" : "False");
        break;
    case HR_PK_INT:
        hr_py_int_text(py, addr, b, sizeof b);
        puts_(w, strcmp(name, "bool") ? b : strcmp(b, "0") ? "True" : "False");
        break;
    case HR_PK_FLOAT:
        hr_py_double_text(double_at(py, addr + (uint64_t)py->c->at[HR_PY_FLOAT_VALUE]), true, b, sizeof b);
        puts_(w, b);
        break;
    case HR_PK_COMPLEX: complex_object(w, addr); break;
    case HR_PK_STR: case HR_PK_BYTES: text_object(w, addr, &t, name); break;
    case HR_PK_LIST: case HR_PK_TUPLE: case HR_PK_DICT: case HR_PK_SET: container(w, addr, &t, name); break;
    case HR_PK_RANGE:
        if (py->minor >= 0x0300)
            sequence3(w, addr, name, false);
        else
            other(w, addr, &t, name);
        break;
    case HR_PK_SLICE: sequence3(w, addr, name, true); break;
    case HR_PK_NDARRAY: array_object(w, addr, name); break;
    case HR_PK_NPSCALAR: case HR_PK_NPVOID: scalar_object(w, addr, &t, name); break;
    case HR_PK_DTYPE: dtype_object(w, addr, &t, name); break;
    default: other(w, addr, &t, name);
    }
}

char *hr_py_repr(struct hr_py *py, uint64_t addr, bool contents, char *buf, size_t cap)
{
    uint32_t ti = hr_py_object_type(py, addr);
    uint8_t kind = ti == HR_NONE ? HR_PK_OBJECT : hr_py_type(py, ti)->kind;
    /* a number is useful whole or not at all; of text and containers the beginning will do */
    struct writer w = {.py = py, .buf = buf, .cap = kind == HR_PK_INT ? cap : hr_min(cap, MAX_CONTAINER), .contents = contents};
    buf[0] = 0;
    object(&w, addr);
    return buf;
}
