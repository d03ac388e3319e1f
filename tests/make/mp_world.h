/* A small MicroPython, written byte by byte from the headers (py/obj.h and others) of 1.9 and 1.27: ROM with names and types, the state, a heap of a few objects.
 * For the fuzz target and the sweep; the readers' own structures are not used. */
#ifndef HR_TESTS_MP_WORLD_H
#define HR_TESTS_MP_WORLD_H

#include <string.h>

#include "analyzer/allocators/allocators.h"
#include "analyzer/runtimes/micropython/mp.h"
#include "tests/make/mk.h"

enum { MPW_ROM = 0x8000, MPW_RAM = 0x20000000, MPW_BLOCKS = 256 };
static const char *const mpw_names[] = {"", "__main__", "__name__", "__init__", "type", "tuple", "list", "dict", "str", "int", "function", "module", "set",
                                        "closure", "generator", "bytearray", "bound_method", "BaseException", "ValueError", "Point", "x", "__module__"};
enum { MPW_NAMES = sizeof mpw_names / sizeof *mpw_names, Q_MAIN = 2, Q_NAME, Q_INIT, Q_TYPE, Q_TUPLE, Q_LIST, Q_DICT, Q_STR, Q_INT, Q_FUNCTION, Q_MODULE, Q_SET,
       Q_CLOSURE, Q_GENERATOR, Q_ARRAY, Q_BOUND, Q_BASE, Q_VALUE, Q_POINT, Q_X, Q_NTYPES = Q_VALUE - Q_TYPE + 1 };

struct mpw {
    unsigned word;
    bool big, recent; /* 1.20 and later */
    struct mk rom, ram;
    uint64_t pool[2], type[32]; /* of names; types by name */
    uint64_t heap, table;
    unsigned next;    /* free block */
};

static uint64_t mpw_name(const struct mpw *m, uint64_t q) { return m->recent ? q << 3 | 2 : q << 2 | 2; }

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
            mk_uint(r, i ? mpw_hash(s) : 0, 2);
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

/* An allocation of so many words; its contents follow. */
static uint64_t mpw_new(struct mpw *m, unsigned words, const uint64_t *w)
{
    unsigned blocks = (words + 3) / 4, b = m->next;
    uint64_t at = m->heap + b * 4ull * m->word;
    m->next += blocks + b % 3 / 2; /* a hole now and then */
    for (unsigned i = 0; i < blocks; i++) {
        size_t t = (size_t)(m->table - MPW_RAM) + (b + i) / 4;
        m->ram.p[t] |= (uint8_t)((i ? 2 : 1) << 2 * ((b + i) % 4));
    }
    for (unsigned i = 0; w && i < words; i++)
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + (size_t)i * m->word, w[i], m->word);
    return at;
}
#define MPW_NEW(m, ...) mpw_new(m, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (uint64_t[]){__VA_ARGS__})

static uint64_t mpw_objects(struct mpw *m)
{
    const uint64_t *t = m->type, one = 3;
    uint64_t text = MPW_NEW(m, 0x64636261, 0), str = MPW_NEW(m, t[Q_STR], 77, 4, text);
    uint64_t list_items = MPW_NEW(m, str, one, 0, mpw_name(m, Q_X), 0, 0), list = MPW_NEW(m, t[Q_LIST], 6, 4, list_items);
    uint64_t tuple = MPW_NEW(m, t[Q_TUPLE], 3, list, one, str);
    uint64_t set_table = MPW_NEW(m, one, 5, 0, 0), set = MPW_NEW(m, t[Q_SET], 4, 2, set_table);
    uint64_t digits = MPW_NEW(m, 0x12345678, 0x9abc), big = MPW_NEW(m, t[Q_INT], 8, 3, digits);
    uint64_t buffer = MPW_NEW(m, 0, 0, 0), array = MPW_NEW(m, t[Q_ARRAY], 'B' | 2 << 8, 3 * m->word - 2, buffer);
    uint64_t locals_table = MPW_NEW(m, mpw_name(m, 22), mpw_name(m, Q_MAIN), 0, 0), locals = MPW_NEW(m, t[Q_DICT], 1 << 3 | 1, 2, locals_table);
    uint64_t cls = m->recent ? mpw_new(m, 12, NULL) : MPW_NEW(m, t[Q_TYPE], Q_POINT, 0, MPW_ROM + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, locals);
    if (m->recent) {
        size_t at = (size_t)(cls - MPW_RAM);
        mk_set(&m->ram, at, t[Q_TYPE], m->word);
        mk_set(&m->ram, at + m->word + 2, Q_POINT, 2);
        mk_set(&m->ram, at + m->word + 4, 1, 1);
        mk_set(&m->ram, at + m->word + 15, 2, 1);
        size_t slots = at + ((m->word + 16u + m->word - 1) & ~(size_t)(m->word - 1));
        mk_set(&m->ram, slots, MPW_ROM + 1, m->word);
        mk_set(&m->ram, slots + m->word, locals, m->word);
    }
    uint64_t members = MPW_NEW(m, mpw_name(m, Q_X), tuple, 0, 0), point = MPW_NEW(m, cls, 1 << 3, 2, members);
    uint64_t code = MPW_NEW(m, 1, 2, 3, 4, 5), raw = MPW_NEW(m, code, 0, 0), children = MPW_NEW(m, raw), constants = MPW_NEW(m, big, one);
    uint64_t context = MPW_NEW(m, t[Q_MODULE], locals, constants, constants), function = MPW_NEW(m, t[Q_FUNCTION], context, children, code);
    uint64_t closure = MPW_NEW(m, t[Q_CLOSURE], function, 2, list, set), bound = MPW_NEW(m, t[Q_BOUND], function, point);
    uint64_t trace = MPW_NEW(m, mpw_name(m, Q_X), 1, 2), failure = MPW_NEW(m, t[Q_VALUE], 3, trace, tuple);
    uint64_t generator = MPW_NEW(m, t[Q_GENERATOR], 0, function, code, 0, 0, list);
    MPW_NEW(m, t[Q_LIST], 0, 0, 0); /* garbage */
    return MPW_NEW(m, mpw_name(m, Q_NAME), mpw_name(m, Q_MAIN), mpw_name(m, Q_X), point, str, array, one, closure, 5, bound, 7, failure, 9, generator, 0, 0);
}

/* RAM: thread, roots, the heap's description, stack, tables, pool. */
static void mpw_make(struct mpw *m, unsigned word, bool big, bool recent)
{
    *m = (struct mpw){.word = word, .big = big, .recent = recent, .rom = mk_new(word, big), .ram = mk_new(word, big)};
    uint64_t vm = 0x80, main = vm + 4 * word, mem = main + 12 * word, tables = (mem + 64 * word + 256 + 15) & ~15ull, bits = MPW_BLOCKS / 8;
    mpw_rom(m);
    m->table = MPW_RAM + tables;
    m->heap = (m->table + MPW_BLOCKS / 4 + recent + bits + 4 * word - 1) & ~(4ull * word - 1);
    mk_zero(&m->ram, (size_t)(m->heap - MPW_RAM) + MPW_BLOCKS * 4u * word);
    uint64_t table = mpw_objects(m);
    uint64_t names = MPW_NEW(m, m->pool[0], MPW_NAMES + 1, 10, 1, 0, 0, 0, 0), text = MPW_NEW(m, 0, 0, 0, 0), at = text;
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
        mk_set(&m->ram, (size_t)(at - MPW_RAM), mpw_hash("a"), 2);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 2, 1, 1);
        mk_set(&m->ram, (size_t)(at - MPW_RAM) + 3, 'a', 1);
    }
    uint64_t state[][2] = {{vm - 6 * word, stack + 32}, {vm - 5 * word, 0}, {vm - 4 * word, MPW_RAM + main}, {vm - 3 * word, MPW_RAM + main}, {vm - 2 * word, stack + 8},
                           {vm, names}, {main, m->type[Q_DICT]}, {main + word, 8 << 3}, {main + 2 * word, 8}, {main + 3 * word, table},
                           {mem, m->table}, {mem + word, MPW_BLOCKS / 4}, {mem + 2 * word, m->table + MPW_BLOCKS / 4 + recent}, {mem + 3 * word, m->heap},
                           {mem + 4 * word, m->heap + MPW_BLOCKS * 4ull * word}};
    for (size_t i = 0; i < sizeof state / sizeof *state; i++)
        mk_set(&m->ram, (size_t)state[i][0], state[i][1], word);
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

/* Reads it with all allocators and MicroPython's runtime; uses every answer. False: out of memory. */
static bool mpw_read_as(const struct mpw *m, mpw_dress *dress, void *ctx, struct mpw_read *ret)
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
    img.arch = hr_arch_by_name(m->word == 8 ? (m->big ? "ppc64" : "riscv64") : m->big ? "ppc" : "arm");
    img.word = (uint8_t)m->word;
    img.big = m->big;
    img.bare = true;
    img.format = "raw";
    struct hr_segment rom = {.addr = MPW_ROM, .msize = m->rom.n, .bytes = {m->rom.p, m->rom.n}, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment ram = {.addr = MPW_RAM, .msize = m->ram.n, .bytes = {m->ram.p, m->ram.n}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    bool ok = hr_image_add(&img, rom) == HR_OK && hr_image_add(&img, ram) == HR_OK && (!dress || dress(&img, ctx)) && hr_image_seal(&img) == HR_OK && hr_types_create(&img, &types) == HR_OK &&
              hr_heap_build(&img, types, &heap) == HR_OK;
    struct hr_runtime_in in = {.image = &img, .types = types, .heap = heap, .notes = &notes};
    const struct hr_runtime *rt = &hr_runtime_micropython;
    if (ok && rt->open(&in, &self, version, sizeof version, evidence, sizeof evidence) == HR_OK) {
        ret->heap = true;
        ok = rt->roots(self) == HR_OK && rt->classify(self) == HR_OK;
        mpw_use(self, ret);
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
static inline bool mpw_read(const struct mpw *m, struct mpw_read *ret) { return mpw_read_as(m, NULL, NULL, ret); }

#endif
