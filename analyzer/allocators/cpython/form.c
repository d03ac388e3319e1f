/* A CPython without symbols: stripped and linked statically, or memory without any file (WebAssembly, a microcontroller).
 *
 * `type` is the one object that is its own type: a word that holds the address of the object it lies in, and a name "type" two words
 * behind. From there the other static types are known by their type and name; the runtime is found by its cookie (3.13), or by its
 * first interpreter, which leads to a thread that leads back. */
#include <string.h>

#include "analyzer/allocators/cpython/layout.h"

enum { UNICODE = 1 /* of statics[] */ };
enum { SLACK = 4 << 20 /* .bss lies behind the file's mappings, without a name */ };

/* ---- the words where an interpreter's data may be ---- */
struct words {
    const struct hr_image *img;
    uint64_t lo, hi;
    size_t seg, off;
    struct hr_span now;    /* of the segment, from .. */
    uint64_t addr;
};

static bool next_segment(struct words *w)
{
    for (; w->seg < w->img->segs.n; w->seg++) {
        const struct hr_segment *s = &w->img->segs.v[w->seg];
        uint64_t end = s->addr + s->bytes.n;
        if (!(s->flags & HR_SEG_W) || end <= w->lo || s->addr >= w->hi)
            continue;
        uint64_t from = hr_max(s->addr, w->lo), to = hr_min(end, w->hi), unit = w->img->word;
        from = (from + unit - 1) & ~(unit - 1);
        if (from + unit > to)
            continue;
        w->now = (struct hr_span){s->bytes.p + (from - s->addr), to - from};
        w->addr = from;
        w->off = 0;
        w->seg++;
        return true;
    }
    return false;
}

static bool next_word(struct words *w, uint64_t *addr, uint64_t *v)
{
    unsigned unit = w->img->word;
    while (w->off + unit > w->now.n)
        if (!next_segment(w))
            return false;
    *addr = w->addr + w->off;
    *v = hr_word_load(w->now.p + w->off, unit, w->img->big);
    w->off += unit;
    return true;
}

static struct words words(const struct hr_image *img, uint64_t lo, uint64_t hi)
{
    return (struct words){.img = img, .lo = lo, .hi = hi};
}

/* ---- types ---- */
static bool named(const struct hr_image *img, uint64_t at, const char *name)
{
    char text[16];
    uint64_t v;
    return hr_image_word(img, at, &v) && v && hr_image_cstr(img, v, text, sizeof text) && !strcmp(text, name);
}

/* PyType_Type in [lo, hi): its head is count, type, size; that of a free-threaded build has the type in its fourth word of 64 bits,
 * its sixth of 32 (thread, flags, mutex and bits, local and shared count: Include/object.h). */
static bool find_type_type(const struct hr_image *img, uint64_t lo, uint64_t hi, struct hr_py_form *ret)
{
    struct words w = words(img, lo, hi);
    uint64_t addr, v, word = img->word, free_off = word == 8 ? 24 : 16;
    while (next_word(&w, &addr, &v)) {
        if (v == addr - word && named(img, addr + 2 * word, "type")) {
            *ret = (struct hr_py_form){.type_type = v};
            return true;
        }
        if (v == addr - free_off && named(img, addr + 2 * word, "type")) {
            *ret = (struct hr_py_form){.type_type = v, .free_threaded = true};
            return true;
        }
    }
    return false;
}

static const struct { const char *symbol, *name; } statics[HR_PY_NSTATICS] = {
    {"PyDict_Type", "dict"},     {"PyUnicode_Type", "str"},       {"PyList_Type", "list"},    {"PyTuple_Type", "tuple"}, {"PySet_Type", "set"},
    {"PyModule_Type", "module"}, {"PyFunction_Type", "function"}, {"PyFloat_Type", "float"},  {"PyCell_Type", "cell"},   {"PyGen_Type", "generator"},
    {"PyLong_Type", "int"},      {"PyCode_Type", "code"},
};

static void find_statics(const struct hr_image *img, struct hr_py_form *s)
{
    struct words w = words(img, s->lo, s->hi);
    uint64_t addr, v, word = img->word;
    while (next_word(&w, &addr, &v)) {
        char text[16];
        uint64_t name;
        if (v != s->type_type || !hr_image_word(img, addr + 2 * word, &name) || !name || !hr_image_cstr(img, name, text, sizeof text))
            continue;
        for (unsigned i = 0; i < HR_PY_NSTATICS; i++)
            if ((!s->types[i] && !strcmp(text, statics[i].name)) || (i == UNICODE && !strcmp(text, "unicode"))) /* that of 2.7 */
                s->types[i] = addr - word;
    }
    for (unsigned i = 0; i < HR_PY_NSTATICS; i++)
        s->statics_hi = hr_max(s->statics_hi, s->types[i] + 4096);
}

bool hr_py_form_find(const struct hr_image *img, struct hr_py_form *ret)
{
    bool found = false;
    ret->module = HR_NONE;
    if (!img->modules.n) {
        uint64_t hi = img->segs.n ? UINT64_MAX : 0;
        found = find_type_type(img, 0, hi, ret);
        ret->module = HR_NONE;
        ret->lo = 0;
        ret->hi = hi;
    }
    for (uint32_t i = 0; i < img->modules.n && !found; i++) {
        const struct hr_module *m = &img->modules.v[i];
        uint64_t hi = m->hi + SLACK < m->hi ? UINT64_MAX : m->hi + SLACK;
        found = find_type_type(img, m->lo, hi, ret);
        ret->module = i;
        ret->lo = m->lo;
        ret->hi = hi;
    }
    if (found && !ret->free_threaded)
        find_statics(img, ret);
    return found;
}

uint64_t hr_py_form_type(const struct hr_py_form *s, const char *symbol)
{
    for (unsigned i = 0; i < HR_PY_NSTATICS; i++)
        if (!strcmp(statics[i].symbol, symbol))
            return s->types[i];
    return !strcmp(symbol, "PyType_Type") ? s->type_type : 0;
}

/* ---- the runtime ---- */
uint64_t hr_py_form_cookie(const struct hr_image *img, uint64_t lo, uint64_t hi)
{
    struct words w = words(img, lo, hi);
    uint64_t addr, v, version;
    uint8_t b[8];
    while (next_word(&w, &addr, &v)) {
        if ((img->big ? v >> 8 * (img->word - 1) : v & 0xff) != 'x' || hr_image_read(img, addr, b, 8) < 8)
            continue;
        if (!memcmp(b, "xdebugpy", 8) && hr_image_uint(img, addr + 8, 8, &version) && version >> 24 == 3)
            return addr;
    }
    return 0;
}

/* An interpreter leads to a thread that leads back to it, and to its modules, a dict. */
static bool is_interpreter(const struct hr_cpython *p, uint64_t at)
{
    if (!at || at & (p->image->word - 1u))
        return false;
    uint64_t thread = hr_py_word(p, at, HR_PY_IS_THREADS);
    if (!thread || thread & (p->image->word - 1u) || hr_py_word(p, thread, HR_PY_TS_INTERP) != at)
        return false;
    uint64_t modules = hr_py_word(p, at, HR_PY_IS_MODULES), dict = hr_py_symbol(p, "PyDict_Type");
    return modules && dict && hr_py_word(p, modules, HR_PY_OB_TYPE) == dict;
}

uint64_t hr_py_form_head(const struct hr_cpython *p)
{
    struct words w = words(p->image, p->data_lo, p->data_hi);
    uint64_t addr, v, second;
    while (next_word(&w, &addr, &v)) {
        if (!v || !is_interpreter(p, v))
            continue;
        if (hr_py_minor(p) < 0x0307)
            return addr;
        /* from 3.7 on the main interpreter stands behind the head of the list, from 3.11 on it is part of the runtime */
        uint64_t runtime = addr - (uint64_t)p->at[HR_PY_RT_INTERP_HEAD], current = hr_py_word(p, runtime, HR_PY_RT_TSTATE_CURRENT);
        if (!hr_image_word(p->image, addr + p->image->word, &second) || !is_interpreter(p, second))
            continue;
        /* about there: what lies between has system structures of unknown size */
        uint64_t into = second - runtime, usual = hr_py_has(p, HR_PY_RT_MAIN_INTERP) ? (uint64_t)p->at[HR_PY_RT_MAIN_INTERP] : 0;
        bool inside = !usual || (into > usual / 2 && into < usual * 2);
        if (inside && (!current || is_interpreter(p, hr_py_word(p, current, HR_PY_TS_INTERP))))
            return addr;
    }
    return 0;
}

/* Three generations in a row, each a list that leads back to itself. */
static bool is_list(const struct hr_cpython *p, uint64_t at)
{
    uint64_t next = hr_py_word(p, at, HR_PY_GC_NEXT), prev = hr_py_word(p, at, HR_PY_GC_PREV);
    return next && prev && hr_py_word(p, next, HR_PY_GC_PREV) == at && hr_py_word(p, prev, HR_PY_GC_NEXT) == at;
}

uint64_t hr_py_form_generations(const struct hr_cpython *p)
{
    struct words w = words(p->image, p->data_lo, p->data_hi);
    uint64_t addr, v, each = (uint64_t)p->at[HR_PYS_GENERATION];
    while (next_word(&w, &addr, &v))
        if (v && is_list(p, addr) && is_list(p, addr + each) && is_list(p, addr + 2 * each) && hr_py_uint(p, addr, HR_PY_GEN_THRESHOLD, 4) < 1 << 30)
            return addr;
    return 0;
}
