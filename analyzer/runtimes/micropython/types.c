/* Types. mp_type_type is the one object whose type is itself; every word equal to its address begins a type. Names come from
 * the qstr pools, so a type that is none is not believed. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_TYPES = 1 << 16, MAX_CLASSES = 2000 /* whose module is looked up: thousands do not fit such heaps */, MAX_SELF = 4096 /* self-pointing words: empty list heads are some too */ };

static uint64_t name_index(const struct hr_mp *mp, uint64_t type, bool wide)
{
    uint64_t q = 0;
    if (wide)
        return hr_mp_field(mp, type, 1);
    return hr_image_uint(mp->img, type + mp->word + 2, 2, &q) ? q : 0;
}

static bool type_name(const struct hr_mp *mp, uint64_t type, char *buf, size_t cap)
{
    uint64_t q = name_index(mp, type, mp->wide_name);
    return q && hr_mp_qstr(mp, q, buf, cap) && (*buf || q == 1);
}

static bool find_type_type(struct hr_mp *mp)
{
    const struct hr_image *img = mp->img;
    unsigned w = mp->word, tried = 0;
    char buf[32];
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + 4u * w <= seg->bytes.n; off += w) {
            uint64_t at = seg->addr + off;
            if (hr_word_load(seg->bytes.p + off, w, img->big) != at || !at || tried++ > MAX_SELF)
                continue;
            for (int wide = 0; wide < 2; wide++) {
                uint64_t q = name_index(mp, at, wide);
                if (q < mp->nqstr && hr_mp_qstr(mp, q, buf, sizeof buf) && !strcmp(buf, "type")) {
                    mp->type_type = at;
                    mp->wide_name = wide;
                    return true;
                }
            }
        }
    }
    return false;
}

/* 1.20 and later: twelve bytes, each 0 or the number of a slot, each number once. */
static bool has_slots(const struct hr_mp *mp, uint64_t type)
{
    struct hr_span s = hr_image_peek(mp->img, type + mp->word + 4, HR_MPS_N);
    uint32_t seen = 0;
    for (unsigned i = 0; i < HR_MPS_N; i++) {
        if (s.n < HR_MPS_N || s.p[i] > HR_MPS_N || (s.p[i] && seen >> s.p[i] & 1))
            return false;
        seen |= 1u << s.p[i];
    }
    return seen > 1;
}

uint64_t hr_mp_slot(const struct hr_mp *mp, uint64_t type, unsigned slot)
{
    /* Before: base, name, then one word each; iteration had two (getiter, iternext). */
    static const uint8_t fixed[HR_MPS_N] = {3, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14};
    /* CircuitPython 7 and 8: what few types have comes last, and only when a flag says so. */
    static const uint8_t reordered[HR_MPS_N] = {3, 4, 7, 8, 9, 5, 10, 11, 13, 14, 6, 2};
    enum { FIXED = 7 /* fields */, EXTENDED = 0x80 };
    uint64_t index = 0;
    if (mp->pair_names) {
        uint64_t flags = 0;
        bool there = reordered[slot] < FIXED || (hr_image_uint(mp->img, type + mp->word, 2, &flags) && flags & EXTENDED);
        return there ? hr_mp_field(mp, type, reordered[slot]) : 0;
    }
    if (!mp->slots)
        return hr_mp_field(mp, type, fixed[slot]);
    hr_image_uint(mp->img, type + mp->word + 4 + slot, 1, &index);
    uint64_t slots = type + ((mp->word + 4u + HR_MPS_N + mp->word - 1) & ~(mp->word - 1u));
    return index ? hr_mp_word(mp, slots + (index - 1) * mp->word) : 0;
}

struct builtin { const char *name; uint8_t kind; char letter; };
static const struct builtin builtins[] = {
    {"type", HR_MPK_TYPE, 'h'},         {"tuple", HR_MPK_TUPLE, 'T'},      {"list", HR_MPK_LIST, 'L'},     {"dict", HR_MPK_DICT, 'D'},
    {"OrderedDict", HR_MPK_DICT, 'h'},  {"set", HR_MPK_SET, 'h'},          {"frozenset", HR_MPK_SET, 'h'}, {"str", HR_MPK_STR, 'S'},
    {"bytes", HR_MPK_STR, 'S'},         {"int", HR_MPK_INT, 'h'},          {"float", HR_MPK_FLOAT, 'F'},   {"complex", HR_MPK_COMPLEX, 'h'},
    {"bytearray", HR_MPK_ARRAY, 'A'},   {"array", HR_MPK_ARRAY, 'A'},      {"memoryview", HR_MPK_MEMORYVIEW, 'h'},
    {"closure", HR_MPK_CLOSURE, 'h'},   {"function", HR_MPK_FUNCTION, 'h'}, {"generator", HR_MPK_GENERATOR, 'h'},
    {"module", HR_MPK_MODULE, 'M'},     {"bound_method", HR_MPK_BOUND, 'h'}, {"range", HR_MPK_RANGE, 'h'}, {"slice", HR_MPK_SLICE, 'h'},      {"deque", HR_MPK_DEQUE, 'h'}, {"utimeq", HR_MPK_TIMEQ, 'h'}, {"dict_view", HR_MPK_VIEW, 'h'}, {"traceback", HR_MPK_TRACEBACK, 'h'}, {"NoneType", HR_MPK_NONE, 'h'}, {"bool", HR_MPK_BOOL, 'h'},
    {"ref", HR_MPK_REF, 'h'},          {"finalize", HR_MPK_REF, 'h'},
};

static bool is_exception(const struct hr_mp *mp, uint64_t type)
{
    char buf[32];
    for (unsigned depth = 0; depth < 16 && type; depth++) {
        if (type_name(mp, type, buf, sizeof buf) && !strcmp(buf, "BaseException"))
            return true;
        type = hr_mp_slot(mp, type, HR_MPS_PARENT);
        if (hr_mp_word(mp, type) != mp->type_type)
            return false; /* none, or a tuple of several */
    }
    return false;
}

static void settle_kind(const struct hr_mp *mp, struct hr_mp_type *t, const char *name)
{
    t->kind = t->in_heap ? HR_MPK_INSTANCE : HR_MPK_OBJECT;
    t->letter = 'h';
    if (t->in_heap) {
        char parent[32];
        uint64_t up = hr_mp_slot(mp, t->addr, HR_MPS_PARENT);
        if (!hr_mp_slot(mp, t->addr, HR_MPS_LOCALS) && hr_mp_word(mp, up) == mp->type_type && type_name(mp, up, parent, sizeof parent) && !strcmp(parent, "tuple"))
            t->kind = HR_MPK_TUPLE; /* of namedtuple(): a class statement always makes a table of its names */
        return;
    }
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (!strcmp(builtins[i].name, name)) {
            t->kind = builtins[i].kind;
            t->letter = builtins[i].letter;
        }
    if (t->kind == HR_MPK_TUPLE && !hr_mp_slot(mp, t->addr, HR_MPS_MAKE_NEW))
        t->letter = 'h'; /* attrtuple calls itself tuple, too */
    if (t->kind == HR_MPK_GENERATOR && hr_mp_slot(mp, t->addr, HR_MPS_CALL))
        t->kind = HR_MPK_FUNCTION; /* what makes generators is called generator, too */
    if (t->kind == HR_MPK_OBJECT && is_exception(mp, t->addr))
        t->kind = HR_MPK_EXCEPTION;
}

/* "__main__.Point" where the class says its module. */
static enum hr_status full_name(struct hr_mp *mp, struct hr_mp_type *t, const char *name)
{
    uint64_t dict = hr_mp_slot(mp, t->addr, HR_MPS_LOCALS), w;
    char module[128], qual[256];
    t->full = t->name;
    if (!t->in_heap || !dict || mp->types.n > MAX_CLASSES || !hr_mp_map_get(mp, dict + mp->word, "__module__", &w))
        return HR_OK;
    struct hr_mp_value v = hr_mp_decode(mp, w);
    if (v.what != HR_MPW_QSTR || !hr_mp_qstr(mp, v.u, module, sizeof module))
        return HR_OK;
    snprintf(qual, sizeof qual, "%s", name);
    return hr_strs_addf(mp->img->strs, &t->full, "%s.%s", module, qual);
}

static enum hr_status add_type(struct hr_mp *mp, uint64_t at)
{
    char name[256];
    struct hr_mp_type t = {.addr = at, .in_heap = hr_mpy_area_at(&mp->m, at) != NULL};
    if (hr_map_get(&mp->type_at, at) != HR_NONE || (t.in_heap && hr_mp_head(mp, at) == HR_NONE) || !type_name(mp, at, name, sizeof name))
        return HR_OK;
    if (!mp->wide_name && mp->slots && !has_slots(mp, at) && at != mp->type_type && hr_image_peek(mp->img, at + mp->word + 4, HR_MPS_N).n == HR_MPS_N &&
        hr_image_peek(mp->img, at + mp->word + 4, HR_MPS_N).p[0] > HR_MPS_N)
        return HR_OK; /* a word that names `type` but begins no type */
    settle_kind(mp, &t, name);
    if (!*name && !t.in_heap)
        t.kind = HR_MPK_CELL;
    HR_TRY(hr_strs_addz(mp->img->strs, *name ? name : "cell", &t.name));
    HR_TRY(full_name(mp, &t, name));
    HR_TRY(hr_map_put(&mp->type_at, at, (uint32_t)mp->types.n));
    return hr_mptypevec_push(&mp->types, t);
}

/* Does text count in characters? Then str and bytes are printed by different functions (py/objstrunicode.c), else by one (py/objstr.c). */
static void settle_text(struct hr_mp *mp)
{
    uint64_t print[2] = {0};
    for (uint32_t i = 0; i < mp->types.n; i++)
        if (mp->types.v[i].kind == HR_MPK_STR)
            print[!strcmp(hr_strs_get(mp->img->strs, mp->types.v[i].name), "bytes")] = hr_mp_slot(mp, mp->types.v[i].addr, HR_MPS_PRINT);
    mp->unicode = print[0] && print[1] && print[0] != print[1];
}

static void count_heads(struct hr_mp *mp)
{
    for (uint32_t k = 0; k < mp->m.n; k++) {
        const struct hr_mpy_area *a = &mp->m.area[k];
        for (uint64_t b = 0; b < hr_mpy_blocks(a); b++) {
            uint32_t t = hr_mpy_kind(&mp->m, a, b) == HR_MPY_HEAD ? hr_mp_type_of(mp, a->pool + b * a->block) : HR_NONE;
            if (t != HR_NONE)
                mp->types.v[t].heads++;
        }
    }
}

enum hr_status hr_mp_find_types(struct hr_mp *mp)
{
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    mp->types.max = MAX_TYPES;
    if (!find_type_type(mp))
        return HR_ABSENT;
    mp->slots = !mp->wide_name && !mp->pair_names && has_slots(mp, mp->type_type);
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + w <= seg->bytes.n; off += w)
            if (hr_word_load(seg->bytes.p + off, w, img->big) == mp->type_type && mp->types.n < MAX_TYPES)
                HR_TRY(add_type(mp, seg->addr + off));
    }
    count_heads(mp);
    settle_text(mp);
    return HR_OK;
}

/* A type and those it inherits from, nearest first. */
static unsigned ancestry(const struct hr_mp *mp, uint64_t type, uint64_t *out, unsigned cap)
{
    unsigned n = 1;
    out[0] = type;
    for (unsigned i = 0; i < n; i++) {
        uint64_t up = hr_mp_slot(mp, out[i], HR_MPS_PARENT);
        bool several = up && hr_mp_word(mp, up) != mp->type_type; /* a tuple of them */
        uint64_t count = several ? hr_mp_field(mp, up, 1) : up != 0;
        for (uint64_t k = 0; k < count && n < cap; k++) {
            uint64_t base = several ? hr_mp_obj(mp, up + 2u * mp->word + k * mp->ow) : up;
            if (hr_map_get(&mp->type_at, base) == HR_NONE)
                break;
            out[n++] = base;
        }
    }
    return n;
}
enum { MAX_BASES = 32 };

/* {type, attributes (3 words), object of a base in C}: py/objtype.h. */
uint64_t hr_mp_inner(const struct hr_mp *mp, uint64_t obj, uint32_t type)
{
    uint64_t up[MAX_BASES], at = obj + ((4u * mp->word + mp->ow - 1) & ~(mp->ow - 1u));
    hr_id id = hr_mp_head(mp, obj);
    if (!mp->types.v[type].in_heap || id == HR_NONE || at + mp->ow > obj + hr_block_size(mp->heap, id))
        return 0;
    unsigned n = ancestry(mp, mp->types.v[type].addr, up, MAX_BASES);
    for (unsigned i = 1; i < n; i++) {
        const struct hr_mp_type *base = &mp->types.v[hr_map_get(&mp->type_at, up[i])];
        if (!base->in_heap && strcmp(hr_strs_get(mp->img->strs, base->name), "object"))
            return hr_mp_obj(mp, at);
    }
    return 0;
}

bool hr_mp_has_method(const struct hr_mp *mp, uint64_t type, const char *name)
{
    uint64_t up[MAX_BASES], w;
    unsigned n = ancestry(mp, type, up, MAX_BASES);
    for (unsigned i = 0; i < n; i++) {
        uint64_t dict = hr_mpy_area_at(&mp->m, up[i]) ? hr_mp_slot(mp, up[i], HR_MPS_LOCALS) : 0;
        if (dict && hr_mp_map_get(mp, dict + mp->word, name, &w))
            return true;
    }
    return false;
}

uint32_t hr_mp_type_of(const struct hr_mp *mp, uint64_t obj) { return hr_map_get(&mp->type_at, hr_mp_word(mp, obj)); }

bool hr_mp_map_get(const struct hr_mp *mp, uint64_t map, const char *key, uint64_t *ret)
{
    uint64_t n = hr_mp_field(mp, map, 1), table = hr_mp_field(mp, map, 2);
    char buf[128];
    for (uint64_t i = 0; i < n && i < 4096; i++) {
        struct hr_mp_value k = hr_mp_decode(mp, hr_mp_obj(mp, table + 2 * i * mp->ow));
        if (k.what == HR_MPW_QSTR && hr_mp_qstr(mp, k.u, buf, sizeof buf) && !strcmp(buf, key)) {
            *ret = hr_mp_obj(mp, table + (2 * i + 1) * mp->ow);
            return true;
        }
    }
    return false;
}
