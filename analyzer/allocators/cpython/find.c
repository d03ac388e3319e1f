#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/allocators/cpython/layout.h"
#include "analyzer/base/esc.h"

uint64_t hr_py_uint(const struct hr_cpython *p, uint64_t base, enum hr_py_fact f, unsigned bytes)
{
    uint64_t v;
    return base && hr_py_has(p, f) && hr_image_uint(p->image, base + (uint64_t)p->at[f], bytes, &v) ? v : 0;
}

uint64_t hr_py_symbol(const struct hr_cpython *p, const char *name)
{
    uint64_t at = p->form.type_type ? hr_py_form_type(&p->form, name) : 0;
    if (at || p->module == HR_NONE)
        return at;
    const struct hr_sym *s = hr_sym_find(p->types, name, p->module);
    return s && s->kind != HR_SYM_TLS ? s->addr : 0;
}

/* "3.11.2", "3.14.0rc1" at text[0..n): its PY_VERSION_HEX and length; 0 when it is no version of an interpreter we read. */
static uint32_t parse_version(const uint8_t *text, size_t n, size_t *len_ret)
{
    unsigned v[3] = {0};
    size_t i = 0;
    for (int part = 0; part < 3; part++) {
        size_t from = i;
        if (part && (i >= n || text[i++] != '.'))
            return 0;
        from = i;
        while (i < n && isdigit(text[i]) && i - from < 3)
            v[part] = v[part] * 10 + (text[i++] - '0');
        if (i == from)
            return 0;
    }
    if (!(v[0] == 2 && v[1] == 7) && !(v[0] == 3 && v[1] >= 6 && v[1] < 20))
        return 0;
    uint32_t level = 0xf, serial = 0;
    if (i + 1 < n && (text[i] == 'a' || text[i] == 'b' || (text[i] == 'r' && text[i + 1] == 'c'))) {
        level = text[i] == 'a' ? 0xa : text[i] == 'b' ? 0xb : 0xc;
        i += text[i] == 'r' ? 2 : 1;
        while (i < n && isdigit(text[i]) && serial < 16)
            serial = serial * 10 + (text[i++] - '0');
    }
    *len_ret = i;
    return v[0] << 24 | v[1] << 16 | (v[2] & 0xff) << 8 | level << 4 | (serial & 15);
}

/* sys.version is put together in a static buffer: "3.11.2 (main, …". 2.7 to 3.10 have no better place. */
static uint32_t version_in_data(const struct hr_image *img, uint64_t lo, uint64_t hi)
{
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        if (!(s->flags & HR_SEG_W) || s->addr + s->msize <= lo || s->addr >= hi)
            continue;
        const uint8_t *p = s->bytes.p, *end = p + s->bytes.n;
        while (p && (p = memchr(p, '(', (size_t)(end - p)))) {
            /* back over " " and the version to its first digit */
            const uint8_t *from = p;
            for (unsigned back = 0; from > s->bytes.p && from[-1] && back < 24; back++)
                from--;
            size_t len;
            uint32_t v = parse_version(from, (size_t)(p - from), &len);
            if (v && len < (size_t)(p - from) && (from[len] == ' ' || from[len] == '+'))
                return v;
            p++;
        }
    }
    return 0;
}

static uint32_t find_version(struct hr_cpython *p)
{
    uint64_t at, v;
    /* 3.13 and later: the offsets' cookie, then the version. */
    uint8_t cookie[16];
    if (p->runtime && hr_image_read(p->image, p->runtime, cookie, 16) == 16 && !memcmp(cookie, "xdebugpy", 8)) {
        v = hr_load64(cookie + 8, p->image->big);
        p->free_threaded = hr_image_uint(p->image, p->runtime + 16, 8, &at) && at == 1;
        return (uint32_t)v;
    }
    at = hr_py_symbol(p, "Py_Version"); /* 3.11 and later */
    if (at && hr_image_uint(p->image, at, p->image->word, &v) && v >> 24 == 3)
        return (uint32_t)v;
    return version_in_data(p->image, p->data_lo, p->data_hi);
}

static void spell_version(struct hr_cpython *p)
{
    uint32_t h = p->hexversion, level = h >> 4 & 15;
    int n = snprintf(p->version, sizeof p->version, "%u.%u.%u", h >> 24, h >> 16 & 255, h >> 8 & 255);
    if (level != 0xf)
        snprintf(p->version + n, sizeof p->version - (size_t)n, "%s%u", level == 0xa ? "a" : level == 0xb ? "b" : "rc", h & 15);
}

static void find_interpreters(struct hr_cpython *p)
{
    uint64_t at = p->runtime ? hr_py_word(p, p->runtime, HR_PY_RT_INTERP_HEAD) : 0;
    if (!p->runtime) { /* up to 3.6: a static list head; without symbols, the running thread leads to its interpreter */
        uint64_t head = hr_py_symbol(p, "interp_head"), current = hr_py_symbol(p, "_PyThreadState_Current");
        if (!head && p->form.type_type)
            head = hr_py_form_head(p);
        if (head)
            hr_image_word(p->image, head, &at);
        else if (current && hr_image_word(p->image, current, &at) && at)
            at = hr_py_word(p, at, HR_PY_TS_INTERP);
    }
    while (at && p->ninterp < HR_PY_MAX_INTERPRETERS) {
        for (uint32_t i = 0; i < p->ninterp; i++)
            if (p->interp[i] == at)
                return;
        if (!hr_image_find(p->image, at, NULL))
            return;
        p->interp[p->ninterp++] = at;
        at = hr_py_word(p, at, HR_PY_IS_NEXT);
    }
}

/* The list has the newest first. */
static void main_first(struct hr_cpython *p)
{
    for (uint32_t i = 0, k = p->ninterp; i + 1 < k; i++) {
        uint64_t one = p->interp[i];
        p->interp[i] = p->interp[--k];
        p->interp[k] = one;
    }
}

bool hr_cpython_owns(const struct hr_cpython *p, uint64_t addr)
{
    if (p->module == HR_NONE) /* the statics of a linked program lie together, in front of its heap */
        return addr < p->form.statics_hi;
    const struct hr_module *m = &p->image->modules.v[p->module];
    return addr >= m->lo && addr < m->hi;
}

int64_t hr_py_interp_id(const struct hr_cpython *p, uint32_t n)
{
    if (n >= p->ninterp || !hr_py_has(p, HR_PY_IS_ID))
        return n ? -1 : 0;
    return (int64_t)hr_py_uint(p, p->interp[n], HR_PY_IS_ID, 8);
}

/* Is there a ring of collected objects whose head is at `head`? Links carry flags in their low two bits from 3.8 on. */
static bool ring_head(const struct hr_cpython *p, uint64_t head)
{
    uint64_t next = hr_py_word(p, head, HR_PY_GC_NEXT) & ~3ull, prev = hr_py_word(p, head, HR_PY_GC_PREV) & ~3ull;
    return next && prev && (hr_py_word(p, next, HR_PY_GC_PREV) & ~3ull) == head && (hr_py_word(p, prev, HR_PY_GC_NEXT) & ~3ull) == head;
}

static bool collector_at(const struct hr_cpython *p, int32_t shift)
{
    for (unsigned g = 0; g < 3; g++)
        if (!ring_head(p, p->interp[0] + (uint64_t)(p->at[HR_PY_IS_GC] + p->at[HR_PY_GC_GENERATIONS] + shift) + g * (uint64_t)p->at[HR_PYS_GENERATION]))
            return false;
    return true;
}

/* Debian 13's 3.13.5 keeps the collector's lists four bytes before where 3.13.0 has them, at odd words: a table of another build is
 * believed only where the lists are rings. */
static void settle_collector(struct hr_cpython *p)
{
    static const enum hr_py_fact moved[] = {HR_PY_GC_GENERATIONS, HR_PY_GC_PERMANENT, HR_PY_GC_COLLECTING, HR_PY_GC_GARBAGE, HR_PY_GC_CALLBACKS};
    if (p->exact_layout || !p->ninterp || !hr_py_has(p, HR_PY_IS_GC) || !hr_py_has(p, HR_PY_GC_GENERATIONS) || collector_at(p, 0))
        return;
    for (int32_t shift = -16; shift <= 16; shift += 4)
        if (collector_at(p, shift)) {
            for (size_t i = 0; i < sizeof moved / sizeof *moved; i++)
                if (hr_py_has(p, moved[i]))
                    p->at[moved[i]] += shift;
            return;
        }
}

static enum hr_status recognise(struct hr_cpython *p)
{
    char source[96];
    p->hexversion = find_version(p);
    if (!p->hexversion && !p->free_threaded) {
        hr_note(p->notes, HR_NOTE_DEGRADED, "python.no_version", "there is a CPython, but nothing says which version: its objects are not read");
        return HR_UNSUPPORTED;
    }
    spell_version(p);
    if (p->free_threaded) {
        hr_note(p->notes, HR_NOTE_DEGRADED, "python.free_threaded",
                "this is a free-threaded CPython %s: its objects lie in mimalloc heaps, which are not read", p->hexversion ? p->version : "of unknown version");
        return HR_UNSUPPORTED;
    }
    if (hr_py_choose_layout(p, source, sizeof source) != HR_OK) {
        hr_note(p->notes, HR_NOTE_DEGRADED, "python.no_layout",
                "CPython %s: no debug information and no table fits its structures, so its objects are not read", p->version);
        return HR_UNSUPPORTED;
    }
    if (!p->runtime && p->form.type_type && hr_py_minor(p) >= 0x0307) {
        uint64_t head = hr_py_form_head(p);
        p->runtime = head ? head - (uint64_t)p->at[HR_PY_RT_INTERP_HEAD] : 0;
    }
    find_interpreters(p);
    if (hr_py_minor(p) <= 0x0306 && !(p->generations = hr_py_symbol(p, "generations")))
        p->generations = hr_py_form_generations(p); /* a static of gcmodule.c */
    main_first(p);
    settle_collector(p);
    snprintf(p->evidence, sizeof p->evidence, "%s; layout from %s", p->form.type_type ? "the shape of its types, no symbols" : p->runtime ? "_PyRuntime" : "PyType_Type", source);
    return HR_OK;
}

/* By symbols, else by shape; false: there is none. */
static bool locate(struct hr_cpython *p)
{
    const struct hr_sym *type = hr_sym_find(p->types, "PyType_Type", HR_NONE);
    enum { SLACK = 4 << 20 }; /* .bss lies behind the file's mappings, without a name */
    if (type && hr_sym_find(p->types, "Py_Initialize", type->module)) {
        const struct hr_module *m = &p->image->modules.v[type->module];
        p->module = type->module;
        p->type_type = type->addr;
        p->data_lo = m->lo;
        p->data_hi = m->hi + SLACK < m->hi ? UINT64_MAX : m->hi + SLACK;
        p->runtime = hr_py_symbol(p, "_PyRuntime");
        return true;
    }
    if (!hr_py_form_find(p->image, &p->form))
        return false;
    p->module = p->form.module;
    p->type_type = p->form.type_type;
    p->data_lo = p->form.lo;
    p->data_hi = p->form.hi;
    p->free_threaded = p->form.free_threaded;
    p->runtime = hr_py_form_cookie(p->image, p->data_lo, p->data_hi);
    return true;
}

/* Types are known by their names, which lie in read-only data: dumps leave it out. */
static void note_module(const struct hr_image *img, struct hr_notes *notes, const struct hr_module *m, const char *prefix)
{
    const char *path = hr_strs_get(img->strs, m->path), *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char text[512];
    if ((m->state == HR_MOD_MISSING || m->state == HR_MOD_MISMATCH) && !strncmp(base, prefix, strlen(prefix)))
        hr_note(notes, HR_NOTE_DEGRADED, "python.no_file",
                "%s is not here%s: it has the names of Python's types, which a dump leaves out; give it with --sysroot (or --exe, if it is the executable)",
                hr_escz(text, sizeof text, path), m->state == HR_MOD_MISMATCH ? ", but a file of another build" : "");
}

static void note_missing(const struct hr_image *img, struct hr_notes *notes)
{
    static const char *const wanted[] = {"libpython", "python"}; /* where there is a library, the executable has nothing */
    for (size_t k = 0; k < 2 && !hr_notes_has(notes, "python.no_file"); k++)
        for (size_t i = 0; i < img->modules.n; i++)
            note_module(img, notes, &img->modules.v[i], wanted[k]);
}

enum hr_status hr_cpython_find(const struct hr_image *img, struct hr_types *types, struct hr_notes *notes, struct hr_cpython **ret)
{
    if (!types)
        return HR_ABSENT;
    struct hr_cpython *p = hr_zalloc(1, sizeof *p);
    if (!p)
        return HR_NOMEM;
    p->image = img;
    p->types = types;
    p->notes = notes;
    enum hr_status st = HR_ABSENT;
    if (locate(p))
        st = recognise(p);
    else
        note_missing(img, notes);
    if (st != HR_OK)
        hr_free(p);
    else
        *ret = p;
    return st;
}
