/* A small MicroPython, written byte by byte from the headers (py/obj.h and others) of 1.9 and 1.27: ROM with names and types, the state, a heap of a few objects, in
 * any representation of object words, word size and byte order. For unit tests, the fuzz target and the sweep; the readers' own structures are not used. */
#ifndef HR_TESTS_MP_WORLD_H
#define HR_TESTS_MP_WORLD_H

#include <string.h>

#include "analyzer/allocators/allocators.h"
#include "analyzer/runtimes/micropython/mp.h"
#include "tests/make/mk.h"

enum { MPW_ROM = 0x8000, MPW_RAM = 0x20000000, MPW_BLOCKS = 256 };
static const char *const mpw_names[] = {"", "__main__", "__name__", "__init__", "type", "tuple", "list", "dict", "str", "int", "function", "module", "set",
                                        "closure", "generator", "bytearray", "bound_method", "float", "BaseException", "ValueError", "Point", "x", "__module__"};
enum { MPW_NAMES = sizeof mpw_names / sizeof *mpw_names, Q_MAIN = 2, Q_NAME, Q_INIT, Q_TYPE, Q_TUPLE, Q_LIST, Q_DICT, Q_STR, Q_INT, Q_FUNCTION, Q_MODULE, Q_SET,
       Q_CLOSURE, Q_GENERATOR, Q_ARRAY, Q_BOUND, Q_FLOAT, Q_BASE, Q_VALUE, Q_POINT, Q_X, Q_MODULE_NAME, Q_NTYPES = Q_VALUE - Q_TYPE + 1 };

struct mpw {
    unsigned word;
    bool big, recent; /* 1.20 and later */
    char repr;        /* 'A' to 'D' */
    bool i386;        /* 8 bytes lie at any word */
    unsigned digit;   /* bytes of a big integer's digits; 0: one number */
    unsigned real;    /* bytes of a float */
    bool nameless;    /* no table says __name__ */
    unsigned block;   /* of the heap; 0: four object words */
    unsigned ow;
    uint64_t floats, big_int, words; /* a float object, an int object, a list with one word of each kind */
    struct mk rom, ram;
    uint64_t pool[2], type[32]; /* of names; types by name */
    uint64_t heap, table;
    unsigned next;    /* free block */
};

static uint64_t mpw_name(const struct mpw *m, uint64_t q)
{
    switch (m->repr) {
    case 'A': return m->recent ? q << 3 | 2 : q << 2 | 2;
    case 'B': return m->recent ? q << 3 | 3 : q << 2 | 3;
    case 'C': return m->recent ? q << 4 | 6 : q << 3 | 6;
    default: return 2ull << 48 | q << 1 | 1;
    }
}

static uint64_t mpw_int(const struct mpw *m, int64_t i)
{
    uint64_t u = (uint64_t)i;
    return m->repr == 'D' ? 1ull << 48 | (u & 0x7fffffffffff) << 1 | 1 : m->repr == 'B' ? u << 2 | 1 : u << 1 | 1;
}

/* None as a word: 1.13 and later; before it is no word, and a name stands here for it. */
static uint64_t mpw_none(const struct mpw *m) { return !m->recent ? mpw_name(m, Q_X) : m->repr == 'A' ? 6 : m->repr == 'B' ? 7 : m->repr == 'C' ? 14 : 3ull << 48; }

/* A number as a word, where words can be numbers. */
static uint64_t mpw_real(const struct mpw *m, double v)
{
    float f = (float)v;
    uint32_t narrow;
    uint64_t wide;
    memcpy(&narrow, &f, 4);
    memcpy(&wide, &v, 8);
    return m->repr == 'D' ? wide + 0x8004000000000000 : ((narrow & ~3u) | 2) + 0x80800000u;
}

/* Bit fields of a size_t: `flag` is the first of them, `n` bits in front of `rest`. */
static uint64_t mpw_bits(const struct mpw *m, uint64_t first, unsigned wide, unsigned n, uint64_t rest)
{
    return m->big ? (wide ? first << (8 * m->word - wide) : 0) | rest : rest << n | first;
}
static uint64_t mpw_used(const struct mpw *m, uint64_t used) { return mpw_bits(m, 1, 1, 3, used); }

static unsigned mpw_hash(const char *s)
{
    unsigned h = 5381;
    for (; *s; s++)
        h = (h * 33 ^ (uint8_t)*s) & 0xffff;
    return h ? h : 1;
}

/* ROM: texts, their table, types. A name's number is its place + 1; number 0 is the null one. */
static void mpw_rom(struct mpw *m)
{
    struct mk *r = &m->rom;
    uint64_t text[MPW_NAMES + 1], hashes = 0, lengths = 0;
    mk_str(r, "MicroPython v1.27.0 on some board" + (m->recent ? 0 : 5));
    for (unsigned i = 0; i <= MPW_NAMES; i++) {
        const char *s = i ? mpw_names[i - 1] : "";
        mk_align(r, 2);
        text[i] = MPW_ROM + r->n;
        if (!m->recent) {
            mk_uint(r, i ? mpw_hash(s) & 0xff : 0, 1); /* bytes, low one first, whatever the machine */
            mk_uint(r, i ? mpw_hash(s) >> 8 : 0, 1);
            mk_uint(r, strlen(s), 1);
        }
        mk_str(r, s);
    }
    mk_align(r, 8);
    if (m->recent) {
        hashes = MPW_ROM + r->n;
        for (unsigned i = 0; i <= MPW_NAMES; i++)
            mk_uint(r, i ? mpw_hash(mpw_names[i - 1]) : 0, 2);
        lengths = MPW_ROM + r->n;
        for (unsigned i = 0; i <= MPW_NAMES; i++)
            mk_uint(r, i ? strlen(mpw_names[i - 1]) : 0, 1);
        mk_align(r, 8);
    }
    m->pool[0] = MPW_ROM + r->n;
    uint64_t head[] = {0, 0, 10, MPW_NAMES + 1};
    for (unsigned i = 0; i < 4; i++)
        mk_word(r, head[i]);
    if (m->recent) {
        mk_word(r, hashes);
        mk_word(r, lengths);
    }
    for (unsigned i = 0; i <= MPW_NAMES; i++)
        mk_word(r, text[i]);
    for (unsigned q = Q_TYPE; q <= Q_POINT; q++)
        m->type[q] = q == Q_POINT ? 0 : MPW_ROM + r->n + (q - Q_TYPE) * 16ull * m->word;
    for (unsigned q = Q_TYPE; q < Q_POINT; q++) {
        size_t at = r->n;
        mk_word(r, m->type[Q_TYPE]);
        if (m->recent) {
            mk_uint(r, 0, 2);
            mk_uint(r, q, 2);
            mk_uint(r, 1, 1);
            mk_zero(r, 9);
            mk_uint(r, q == Q_VALUE ? 2 : 0, 1); /* its parent, and locals */
            mk_zero(r, 1);
            mk_align(r, m->word);
            mk_word(r, MPW_ROM + 1);
            mk_word(r, q == Q_VALUE ? m->type[Q_BASE] : 0);
        } else {
            mk_word(r, q);
            mk_word(r, 0);
            mk_word(r, MPW_ROM + 1);
        }
        mk_zero(r, at + 16ull * m->word - r->n);
    }
}

/* An allocation of so many bytes. */
static uint64_t mpw_room(struct mpw *m, size_t bytes)
{
    unsigned blocks = (unsigned)((bytes + m->block - 1) / m->block), b = m->next;
    m->next += blocks + b % 3 / 2; /* a hole now and then */
    for (unsigned i = 0; i < blocks; i++) {
        size_t t = (size_t)(m->table - MPW_RAM) + (b + i) / 4;
        m->ram.p[t] |= (uint8_t)((i ? 2 : 1) << 2 * ((b + i) % 4));
    }
    return m->heap + b * (uint64_t)m->block;
}

/* An allocation with fields as `form` says: p a pointer's word, o an object's, d a number of 8 bytes; n more of the last. */
static uint64_t mpw_new(struct mpw *m, const char *form, size_t n, const uint64_t *v)
{
    size_t at[64], size[64], to = 0;
    for (size_t i = 0; i < n; i++) {
        char c = form[i < strlen(form) ? i : strlen(form) - 1];
        size[i] = c == 'o' ? m->ow : c == 'd' ? 8 : c == 'f' ? 4 : m->word;
        size_t to_align = size[i] == 8 && m->i386 ? 4 : size[i];
        at[i] = to = (to + to_align - 1) & ~(to_align - 1);
        to += size[i];
    }
    uint64_t addr = mpw_room(m, to);
    for (size_t i = 0; i < n; i++)
        mk_set(&m->ram, (size_t)(addr - MPW_RAM) + at[i], v[i], (unsigned)size[i]);
    return addr;
}
#define MPW_FORM(m, form, ...) mpw_new(m, form, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (uint64_t[]){__VA_ARGS__})
#define MPW_NEW(m, ...) MPW_FORM(m, "p", __VA_ARGS__)
#define MPW_OBJS(m, ...) MPW_FORM(m, "o", __VA_ARGS__)

/* 20015998343868, which is 0x123456789abc. */
static uint64_t mpw_big(struct mpw *m, bool negative)
{
    const uint64_t value = 0x123456789abc, *t = m->type;
    if (!m->digit)
        return MPW_FORM(m, "pd", t[Q_INT], negative ? 0 - value : value);
    uint64_t at = mpw_room(m, 8), len = (6 + m->digit - 1) / m->digit;
    for (uint64_t i = 0; i < len; i++)
        mk_set(&m->ram, (size_t)(at - MPW_RAM + i * m->digit), value >> 8 * m->digit * i & ((1ull << 8 * m->digit) - 1), m->digit);
    return MPW_NEW(m, t[Q_INT], mpw_bits(m, negative, 1, 2, len), len, at);
}

static uint64_t mpw_float(struct mpw *m, double v)
{
    float f = (float)v;
    uint32_t narrow;
    uint64_t wide;
    memcpy(&narrow, &f, 4);
    memcpy(&wide, &v, 8);
    return MPW_FORM(m, m->real == 8 ? "pd" : "pf", m->type[Q_FLOAT], m->real == 8 ? wide : narrow);
}

static uint64_t mpw_class(struct mpw *m, uint64_t locals)
{
    const uint64_t *t = m->type;
    if (!m->recent)
        return MPW_NEW(m, t[Q_TYPE], Q_POINT, 0, MPW_ROM + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, locals);
    uint64_t cls = mpw_room(m, 12u * m->word);
    size_t at = (size_t)(cls - MPW_RAM), slots = at + ((m->word + 16u + m->word - 1) & ~(size_t)(m->word - 1));
    mk_set(&m->ram, at, t[Q_TYPE], m->word);
    mk_set(&m->ram, at + m->word + 2, Q_POINT, 2);
    mk_set(&m->ram, at + m->word + 4, 1, 1);
    mk_set(&m->ram, at + m->word + 15, 2, 1);
    mk_set(&m->ram, slots, MPW_ROM + 1, m->word);
    mk_set(&m->ram, slots + m->word, locals, m->word);
    return cls;
}

/* ROM is not needed to see how floats lie: these do. */
static void mpw_numbers(struct mpw *m)
{
    const uint64_t *t = m->type;
    bool boxed = m->repr == 'A' || m->repr == 'B';
    m->floats = boxed ? mpw_float(m, -2.3) : 0;
    if (boxed)
        mpw_float(m, 1e30);
    m->big_int = mpw_big(m, true);
    uint64_t items = MPW_OBJS(m, mpw_name(m, Q_X), mpw_int(m, -5), boxed ? m->floats : mpw_real(m, 0.1), mpw_none(m));
    m->words = MPW_NEW(m, t[Q_LIST], 4, 4, items);
}

static uint64_t mpw_objects(struct mpw *m)
{
    const uint64_t *t = m->type, one = mpw_int(m, 1);
    uint64_t text = MPW_NEW(m, 0x64636261, 0), str = MPW_FORM(m, m->recent ? "pppp" : "popp", t[Q_STR], 77, 4, text);
    uint64_t list_items = MPW_OBJS(m, str, one, 0, mpw_name(m, Q_X), 0, 0), list = MPW_NEW(m, t[Q_LIST], 6, 4, list_items);
    uint64_t tuple = MPW_FORM(m, "ppo", t[Q_TUPLE], 3, list, one, str);
    uint64_t set_table = MPW_OBJS(m, one, mpw_int(m, 2), 0, 0), set = MPW_NEW(m, t[Q_SET], 4, 2, set_table);
    mpw_numbers(m);
    uint64_t buffer = mpw_room(m, 3u * m->word), array = MPW_NEW(m, t[Q_ARRAY], mpw_bits(m, 'B', 8, 8, 2), 3 * m->word - 2, buffer);
    uint64_t locals_table = MPW_OBJS(m, mpw_name(m, Q_MODULE_NAME), mpw_name(m, Q_MAIN), 0, 0), locals = MPW_NEW(m, t[Q_DICT], mpw_used(m, 1), 2, locals_table);
    uint64_t cls = mpw_class(m, locals);
    uint64_t members = MPW_OBJS(m, mpw_name(m, Q_X), tuple, 0, 0), point = MPW_NEW(m, cls, mpw_used(m, 1), 2, members);
    uint64_t code = MPW_NEW(m, 1, 2, 3, 4, 5), raw = MPW_NEW(m, code, 0, 0), children = MPW_NEW(m, raw), constants = MPW_OBJS(m, m->big_int, one);
    uint64_t context = MPW_NEW(m, t[Q_MODULE], locals, constants, constants), function = MPW_NEW(m, t[Q_FUNCTION], context, children, code);
    uint64_t closure = MPW_FORM(m, "popo", t[Q_CLOSURE], function, 2, list, set), bound = MPW_FORM(m, "po", t[Q_BOUND], function, point);
    uint64_t trace = MPW_NEW(m, 2, 1, 2), failure = MPW_NEW(m, t[Q_VALUE], 3, trace, tuple);
    uint64_t generator = MPW_FORM(m, "poppppo", t[Q_GENERATOR], 0, function, code, 0, 0, list);
    MPW_NEW(m, t[Q_LIST], 0, 0, 0); /* garbage */
    return MPW_OBJS(m, mpw_name(m, m->nameless ? Q_INIT : Q_NAME), mpw_name(m, Q_MAIN), mpw_name(m, Q_X), point, str, array, one, closure, mpw_int(m, 2), bound, mpw_int(m, 3), failure,
                    mpw_int(m, 4), generator, mpw_int(m, 5), m->words);
}

/* RAM: thread, roots, the heap's description, stack, tables, pool. */
static void mpw_build(struct mpw *m)
{
    unsigned word = m->word;
    bool big = m->big, recent = m->recent;
    m->ow = m->repr == 'D' ? 8 : word;
    m->block = m->block ? m->block : 4 * m->ow;
    m->rom = mk_new(word, big);
    m->ram = mk_new(word, big);
    m->next = 0;
    uint64_t vm = 0x80, main = vm + 4 * word, mem = main + 12 * word, tables = (mem + 64 * word + 256 + 15) & ~15ull, bits = MPW_BLOCKS / 8;
    mpw_rom(m);
    m->table = MPW_RAM + tables;
    m->heap = (m->table + MPW_BLOCKS / 4 + recent + bits + m->block - 1) & ~(m->block - 1ull);
    mk_zero(&m->ram, (size_t)(m->heap - MPW_RAM) + MPW_BLOCKS * (size_t)m->block);
    uint64_t table = mpw_objects(m), before = recent ? mpw_bits(m, 0, 0, 0, (MPW_NAMES + 1) << (big ? 1 : 0)) : MPW_NAMES + 1; /* is_sorted is the last bit field there */
    uint64_t names = MPW_NEW(m, m->pool[0], before, 10, 1, 0, 0, 0, 0), text = MPW_NEW(m, 0, 0, 0, 0), at = text;
    uint64_t stack = m->table - 64;
    if (recent) { /* its arrays and text: "a" has the hash 5381 * 33 ^ 'a' */
        mk_set(&m->ram, (size_t)(names - MPW_RAM) + 4u * word, text, word);
        mk_set(&m->ram, (size_t)(names - MPW_RAM) + 5u * word, text + 2, word);
        mk_set(&m->ram, (size_t)(names - MPW_RAM) + 6u * word, text + 4, word);
        mk_set(&m->ram, (size_t)(at - MPW_RAM), mpw_hash("a"), 2);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 2, 1, 1);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 4, 'a', 1);
    } else {
        mk_set(&m->ram, (size_t)(names - MPW_RAM) + 4u * word, text, word);
        mk_set(&m->ram, (size_t)(at - MPW_RAM), mpw_hash("a") & 0xff, 1);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 1, mpw_hash("a") >> 8, 1);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 2, 1, 1);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 3, 'a', 1);
    }
    uint64_t state[][2] = {{vm - 6 * word, stack + 32}, {vm - 5 * word, 0}, {vm - 4 * word, MPW_RAM + main}, {vm - 3 * word, MPW_RAM + main}, {vm - 2 * word, stack + 8},
                           {vm, names}, {main, m->type[Q_DICT]}, {main + word, mpw_bits(m, 0, 0, 3, 8)}, {main + 2 * word, 8}, {main + 3 * word, table},
                           {mem, m->table}, {mem + word, MPW_BLOCKS / 4}, {mem + 2 * word, m->table + MPW_BLOCKS / 4 + recent}, {mem + 3 * word, m->heap},
                           {mem + 4 * word, m->heap + MPW_BLOCKS * (uint64_t)m->block}};
    for (size_t i = 0; i < sizeof state / sizeof *state; i++)
        mk_set(&m->ram, (size_t)state[i][0], state[i][1], word);
}

/* Representation A with doubles and the digits that the word size suggests. */
static inline void mpw_make(struct mpw *m, unsigned word, bool big, bool recent)
{
    *m = (struct mpw){.word = word, .big = big, .recent = recent, .repr = 'A', .digit = word == 8 ? 4 : 2, .real = 8};
    mpw_build(m);
}

static void mpw_end(struct mpw *m)
{
    mk_free(&m->rom);
    mk_free(&m->ram);
}

/* ---- read ---- */
struct mpw_read { unsigned objects, garbage; bool heap, state, damaged; };

static void mpw_use(struct hr_mp *mp, struct mpw_read *ret)
{
    char buf[300];
    struct hr_mp_gc gc;
    struct hr_mp_after after;
    ret->state = mp->vm != 0;
    if (hr_mp_collect(mp, &gc) == HR_OK)
        ret->garbage = (unsigned)gc.count;
    hr_mp_gc_deinit(&gc);
    if (hr_mp_after(mp, &after) == HR_OK && after.free_then < after.free_now)
        __builtin_trap();
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it);
        for (uint32_t off = 0; off < hr_block_size(mp->heap, id) && off < 512; off += mp->word)
            (void)hr_mp_field_name(mp, id, off, buf, sizeof buf);
        if (mp->object[id] == HR_NONE)
            continue;
        ret->objects++;
        hr_mp_repr_text(mp, at, mp->object[id], true, buf, sizeof buf);
        (void)hr_mp_len(mp, at, mp->object[id]);
        (void)hr_mp_allocated(mp, at, mp->object[id]);
    }
    for (uint32_t i = 0; i < mp->m.n; i++) {
        struct hr_mp_info n;
        hr_mp_area_info(mp, &mp->m.area[i], &n);
        if (n.used + n.free > n.blocks)
            __builtin_trap();
        for (uint64_t b = 0; b < n.blocks && b < 5000; b++)
            (void)hr_mp_letter(mp, &mp->m.area[i], b);
    }
}

/* Adds to the image, or makes another machine's of it. */
typedef bool mpw_dress(struct hr_image *img, void *ctx);

/* Looks at what was read of it. */
typedef void mpw_look(struct hr_mp *mp, void *ctx);

/* Reads it with all allocators and MicroPython's runtime; uses every answer. False: out of memory. */
static bool mpw_read_with(const struct mpw *m, mpw_dress *dress, mpw_look *look, void *ctx, struct mpw_read *ret)
{
    struct hr_strs *strs = NULL;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types *types = NULL;
    struct hr_heap *heap = NULL;
    void *self = NULL;
    char version[64] = "", evidence[200] = "";
    *ret = (struct mpw_read){0};
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        return false;
    hr_image_init(&img, strs, &notes);
    img.arch = hr_arch_by_name(m->word == 8 ? (m->big ? "ppc64" : "riscv64") : m->i386 ? "i386" : m->big ? "ppc" : "arm");
    img.word = (uint8_t)m->word;
    img.big = m->big;
    img.bare = true;
    img.format = "raw";
    struct hr_segment rom = {.addr = MPW_ROM, .msize = m->rom.n, .bytes = {m->rom.p, m->rom.n}, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment ram = {.addr = MPW_RAM, .msize = m->ram.n, .bytes = {m->ram.p, m->ram.n}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    bool ok = hr_image_add(&img, rom) == HR_OK && hr_image_add(&img, ram) == HR_OK && (!dress || dress(&img, ctx)) && hr_image_seal(&img) == HR_OK &&
              hr_types_create(&img, &types) == HR_OK && hr_heap_build(&img, types, &heap) == HR_OK;
    struct hr_runtime_in in = {.image = &img, .types = types, .heap = heap, .notes = &notes};
    const struct hr_runtime *rt = &hr_runtime_micropython;
    if (ok && rt->open(&in, &self, version, sizeof version, evidence, sizeof evidence) == HR_OK) {
        ret->heap = true;
        ok = rt->roots(self) == HR_OK && rt->classify(self) == HR_OK;
        mpw_use(self, ret);
        if (look)
            look(self, ctx);
        rt->close(self);
    }
    for (size_t i = 0; i < notes.list.n; i++)
        ret->damaged |= !strncmp(notes.list.v[i].code, "heap.corrupt", 12);
    hr_heap_destroy(heap);
    hr_types_destroy(types);
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return ok;
}

static inline bool mpw_read_as(const struct mpw *m, mpw_dress *dress, void *ctx, struct mpw_read *ret) { return mpw_read_with(m, dress, NULL, ctx, ret); }
static inline bool mpw_read(const struct mpw *m, struct mpw_read *ret) { return mpw_read_as(m, NULL, NULL, ret); }

#endif
