/* Small CircuitPythons, written byte by byte from the headers (py/mpstate.h, py/gc.c, py/obj.h, py/qstr.h, lib/tlsf) of 6, 8, 9 and 10: ROM with names and types, the
 * state, a heap of a few objects with what only that version has; that of 9 and 10 within a TLSF pool, if asked for. */
#ifndef HR_TESTS_CP_WORLD_H
#define HR_TESTS_CP_WORLD_H

#include <string.h>

#include "analyzer/allocators/allocators.h"
#include "analyzer/runtimes/micropython/mp.h"
#include "tests/make/mk.h"

enum cpw_kind { CPW_6, CPW_8, CPW_9, CPW_10, CPW_NKINDS };
enum { CPW_ROM = 0x8000, CPW_RAM = 0x20000000, CPW_BLOCKS = 128, CPW_STACK = 0x70 /* of RAM, below the state */, CPW_DISPLAY = 0x80 /* a driver's variable */ };
static const char *const cpw_names[] = {"", "__main__", "__name__", "__init__", "circuitpython", "x", "y", "Point", "__module__", "supervisor", "board", "microcontroller",
                                        "type", "tuple", "list", "dict", "str", "bytearray", "BaseException", "ValueError", "traceback"};
enum { CPW_NAMES = sizeof cpw_names / sizeof *cpw_names, CQ_MAIN = 2, CQ_NAME, CQ_INIT, CQ_CIRCUIT, CQ_X, CQ_Y, CQ_POINT, CQ_MODULE,
       CQ_TYPE = 13, CQ_TUPLE, CQ_LIST, CQ_DICT, CQ_STR, CQ_ARRAY, CQ_BASE, CQ_VALUE, CQ_TRACE };

struct cpw {
    unsigned word;
    bool big, banner, nested;
    enum cpw_kind kind;
    struct mk rom, ram;
    uint64_t pool, type[CQ_TRACE + 1];
    uint64_t table, heap, end, finalisers, scanned; /* of the heap; scanned: 0 none */
    unsigned next, top;                             /* free blocks: [next, top) */
    uint64_t outer, host, host_size;                /* TLSF's control block, the block that the heap lies in */
    uint64_t dict, failure, traceback, permanent, kept, shown, freed[4];
    unsigned nfreed;
};

static uint64_t cpw_name(const struct cpw *m, uint64_t q) { return m->kind == CPW_6 ? q << 2 | 2 : q << 3 | 2; }
static void cpw_set(struct cpw *m, uint64_t addr, uint64_t v, unsigned bytes) { mk_set(&m->ram, (size_t)(addr - CPW_RAM), v, bytes); }

static unsigned cpw_hash(const char *s)
{
    unsigned h = 5381;
    for (; *s; s++)
        h = h * 33 ^ (uint8_t)*s;
    return h & 0xff ? h & 0xff : 1;
}

/* `n` bits, `at` others in front of them in a size_t. */
static uint64_t cpw_bits(const struct cpw *m, uint64_t v, unsigned at, unsigned n) { return v << (m->big ? 8 * m->word - at - n : at); }
static uint64_t cpw_map_used(const struct cpw *m, uint64_t used, unsigned all_names)
{
    unsigned flags = m->kind <= CPW_8 ? 4 : 3;
    return cpw_bits(m, all_names, 0, 1) | cpw_bits(m, used, flags, 8 * m->word - flags);
}

/* ---- ROM ---- */
static void cpw_texts(struct cpw *m, uint64_t *text)
{
    for (unsigned i = 0; i <= CPW_NAMES; i++) {
        const char *s = i ? cpw_names[i - 1] : "";
        text[i] = CPW_ROM + m->rom.n;
        if (m->kind == CPW_6) {
            mk_uint(&m->rom, i ? cpw_hash(s) : 0, 1);
            mk_uint(&m->rom, strlen(s), 1);
        }
        mk_str(&m->rom, s);
    }
    mk_align(&m->rom, 8);
}

/* Hashes and lengths: with the texts (6), in pairs (8), apart (9 and later). */
static void cpw_pool(struct cpw *m)
{
    uint64_t text[CPW_NAMES + 1], attrs[2] = {0};
    unsigned arrays = m->kind == CPW_6 ? 0 : m->kind == CPW_8 ? 1 : 2;
    cpw_texts(m, text);
    for (unsigned k = 0; k < arrays; k++) {
        attrs[k] = CPW_ROM + m->rom.n;
        for (unsigned i = 0; i <= CPW_NAMES; i++) {
            const char *s = i ? cpw_names[i - 1] : "";
            if (k == 0)
                mk_uint(&m->rom, i ? cpw_hash(s) : 0, 1);
            if (k == 1 || arrays == 1)
                mk_uint(&m->rom, strlen(s), 1);
        }
        mk_align(&m->rom, 8);
    }
    m->pool = CPW_ROM + m->rom.n;
    const uint64_t head[] = {0, 0, 10, CPW_NAMES + 1};
    for (unsigned i = 0; i < 4; i++)
        mk_word(&m->rom, head[i]);
    for (unsigned k = 0; k < arrays; k++)
        mk_word(&m->rom, attrs[k]);
    for (unsigned i = 0; i <= CPW_NAMES; i++)
        mk_word(&m->rom, text[i]);
}

/* The words and halves of a type, all of one size here: in slots since 9; locals first in 8, last in 6. */
static void cpw_type(struct mk *to, const struct cpw *m, uint64_t type, unsigned name, uint64_t parent, uint64_t locals)
{
    size_t start = to->n;
    mk_word(to, type);
    mk_uint(to, 0, 2);
    mk_uint(to, name, 2);
    if (m->kind >= CPW_9) {
        mk_uint(to, 1, 1);
        mk_zero(to, 9);
        mk_uint(to, parent ? 2 : 0, 1);
        mk_uint(to, locals ? 3 : 0, 1);
        mk_align(to, m->word);
        const uint64_t slots[] = {CPW_ROM + 1, parent, locals};
        for (unsigned i = 0; i < 3; i++)
            mk_word(to, slots[i]);
    } else {
        const uint64_t eight[] = {locals, CPW_ROM + 1, 0, 0, parent}, six[] = {0, CPW_ROM + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, parent, locals};
        mk_align(to, m->word);
        for (unsigned i = 0; i < (m->kind == CPW_8 ? 5 : 13); i++)
            mk_word(to, m->kind == CPW_8 ? eight[i] : six[i]);
    }
    mk_zero(to, start + 16ull * m->word - to->n);
}

static void cpw_rom(struct cpw *m)
{
    static const char *const banner[] = {"6.3.0", "8.2.10", "9.2.9", "10.0.3"};
    mk_str(&m->rom, "This board does not run MicroPython v1.27.0, and no CircuitPython 3.1.2 either");
    if (m->banner) {
        mk_bytes(&m->rom, "Adafruit CircuitPython ", 23);
        mk_bytes(&m->rom, banner[m->kind], strlen(banner[m->kind]));
        mk_str(&m->rom, " on 2024-09-01; some board");
    }
    mk_align(&m->rom, 8);
    cpw_pool(m);
    mk_align(&m->rom, 8);
    for (unsigned q = CQ_TYPE; q <= CQ_TRACE; q++)
        m->type[q] = CPW_ROM + m->rom.n + (q - CQ_TYPE) * 16ull * m->word;
    for (unsigned q = CQ_TYPE; q <= CQ_TRACE; q++)
        cpw_type(&m->rom, m, m->type[CQ_TYPE], q, q == CQ_VALUE ? m->type[CQ_BASE] : 0, 0);
}

/* ---- heap ---- */
enum { CPW_LEAF = 1 /* the collector need not look into it */, CPW_TOP = 2 /* lives long: from the end, where the version does so */ };

static uint64_t cpw_new(struct cpw *m, unsigned how, unsigned words, const uint64_t *w)
{
    unsigned blocks = (words + 3) / 4, b = m->next;
    if (how & CPW_TOP && m->kind <= CPW_8)
        b = m->top -= blocks;
    else
        m->next += blocks;
    uint64_t at = m->heap + b * 4ull * m->word;
    for (unsigned i = 0; i < blocks; i++)
        m->ram.p[m->table - CPW_RAM + (b + i) / 4] |= (uint8_t)((i ? 2 : 1) << 2 * ((b + i) % 4));
    if (m->scanned && !(how & CPW_LEAF))
        m->ram.p[m->scanned - CPW_RAM + b / 8] |= (uint8_t)(1 << b % 8);
    for (unsigned i = 0; w && i < words; i++)
        cpw_set(m, at + (uint64_t)i * m->word, w[i], m->word);
    return at;
}
#define CPW_NEW(m, how, ...) cpw_new(m, how, sizeof((uint64_t[]){__VA_ARGS__}) / 8, (uint64_t[]){__VA_ARGS__})

static uint64_t cpw_class(struct cpw *m)
{
    const uint64_t *t = m->type;
    uint64_t table = CPW_NEW(m, CPW_TOP, cpw_name(m, CQ_MODULE), cpw_name(m, CQ_MAIN), 0, 0), locals = CPW_NEW(m, CPW_TOP, t[CQ_DICT], cpw_map_used(m, 1, 1), 2, table);
    uint64_t at = cpw_new(m, CPW_TOP, 16, NULL);
    struct mk type = mk_new(m->word, m->big);
    cpw_type(&type, m, t[CQ_TYPE], CQ_POINT, 0, locals);
    memcpy(m->ram.p + (at - CPW_RAM), type.p, type.n);
    mk_free(&type);
    return at;
}

static uint64_t cpw_failure(struct cpw *m)
{
    uint64_t half = 4u * m->word, one = 3, data = CPW_NEW(m, CPW_LEAF, CQ_X, 7, CQ_Y), args = CPW_NEW(m, 0, m->type[CQ_TUPLE], 1, one);
    uint64_t count = cpw_bits(m, 3, 0, (unsigned)half) | cpw_bits(m, 3, (unsigned)half, (unsigned)half);
    if (m->kind == CPW_6)
        return CPW_NEW(m, 0, m->type[CQ_VALUE], count, data, args);
    m->traceback = CPW_NEW(m, 0, m->type[CQ_TRACE], count, data);
    return CPW_NEW(m, 0, m->type[CQ_VALUE], args, m->traceback);
}

/* The table of __main__. What is not held by it: garbage, what only a buffer's bytes name, what is never to be freed. */
static uint64_t cpw_objects(struct cpw *m)
{
    const uint64_t *t = m->type, one = 3;
    uint64_t text = CPW_NEW(m, CPW_LEAF, 0), str = CPW_NEW(m, 0, t[CQ_STR], 77, 3, text);
    memcpy(m->ram.p + (text - CPW_RAM), "abc", 3);
    uint64_t items = CPW_NEW(m, 0, str, one, 0, 0), list = CPW_NEW(m, 0, t[CQ_LIST], 4, 2, items);
    uint64_t table = CPW_NEW(m, 0, cpw_name(m, CQ_X), list, 0, 0, cpw_name(m, CQ_Y), one, 5, str);
    m->dict = CPW_NEW(m, 0, t[CQ_DICT], cpw_map_used(m, 3, 0), 4, table);
    uint64_t hidden = CPW_NEW(m, 0, t[CQ_LIST], 0, 0, 0), buffer = CPW_NEW(m, CPW_LEAF, 0, hidden, 0, 0);
    uint64_t array = CPW_NEW(m, 0, t[CQ_ARRAY], cpw_bits(m, 'B', 0, 8), 4u * m->word, buffer);
    uint64_t cls = cpw_class(m), members = CPW_NEW(m, 0, cpw_name(m, CQ_X), m->dict, 0, 0);
    uint64_t point = CPW_NEW(m, 0, cls, cpw_map_used(m, 1, 1), 2, members);
    uint64_t lost_items = CPW_NEW(m, 0, one, one), lost = CPW_NEW(m, 0, t[CQ_LIST], 2, 2, lost_items), kept = CPW_NEW(m, CPW_TOP, t[CQ_LIST], 0, 0, 0);
    m->freed[m->nfreed++] = lost_items;
    m->freed[m->nfreed++] = lost;
    if (m->scanned)
        m->freed[m->nfreed++] = hidden;
    m->kept = kept;
    if (m->kind <= CPW_8)
        m->permanent = CPW_NEW(m, CPW_TOP, 0, kept, 0, 0);
    else
        m->freed[m->nfreed++] = kept;
    m->failure = cpw_failure(m);
    return CPW_NEW(m, 0, cpw_name(m, CQ_NAME), cpw_name(m, CQ_MAIN), cpw_name(m, CQ_X), m->dict, cpw_name(m, CQ_Y), array, cpw_name(m, CQ_INIT), point, 9, m->failure, 0, 0);
}

/* ---- the outer heap: a control block, a used block, the one around the heap, a free one ---- */
static unsigned cpw_log2(uint64_t x)
{
    unsigned n = 0;
    while (x >>= 1)
        n++;
    return n;
}

/* Where the interpreter's heap begins. */
static uint64_t cpw_outer(struct cpw *m, uint64_t at, uint64_t size)
{
    unsigned w = m->word, nsl = 8, shift = 5, nfl = (cpw_log2(size) + 2 - shift + 1) & ~1u;
    uint64_t sl = at + 9ull * w, lists = sl + 4ull * nfl, first = lists + (uint64_t)nfl * nsl * w, spare = 60, used = 44;
    uint64_t after = first + w + used + w + size, last = after + w + spare, block = after - w;
    const uint64_t fields[][2] = {{nfl, 5}, {shift, 3}, {nfl + shift - 1, 6}, {nsl, 6}, {3, 3}, {1u << shift, 8}};
    uint64_t word = 0, bit = 0;
    m->outer = at;
    m->host = first + 2ull * w + used;
    m->host_size = size;
    for (unsigned i = 0; i < 6; i++) {
        word |= fields[i][0] << (m->big ? 32 - bit - fields[i][1] : bit);
        bit += fields[i][1];
    }
    for (unsigned i = 0; i < nfl * nsl; i++)
        cpw_set(m, lists + (uint64_t)i * w, at, w);
    unsigned fl = cpw_log2(spare) - shift + 1, k = (unsigned)(spare >> (cpw_log2(spare) - 3)) ^ nsl;
    cpw_set(m, lists + (fl * nsl + k) * (uint64_t)w, block, w);
    cpw_set(m, sl + 4ull * fl, 1u << k, 4);
    cpw_set(m, at + 2ull * w, at, w);
    cpw_set(m, at + 3ull * w, block, w);
    cpw_set(m, at + 4ull * w, word, 4);
    cpw_set(m, at + 5ull * w, first - at, w);
    cpw_set(m, at + 6ull * w, 1u << fl, 4);
    cpw_set(m, at + 7ull * w, sl, w);
    cpw_set(m, at + 8ull * w, lists, w);
    cpw_set(m, first, used, w);
    cpw_set(m, first + w + used, size, w);
    cpw_set(m, after, spare | 1, w);
    cpw_set(m, block + 2ull * w, at, w);
    cpw_set(m, block + 3ull * w, at, w);
    cpw_set(m, last - w, block, w);
    cpw_set(m, last, 2, w);
    return m->host;
}

/* ---- all of it ---- */
static void cpw_layout(struct cpw *m, uint64_t start)
{
    uint64_t bits = CPW_BLOCKS / 8, block = 4ull * m->word, at = start + CPW_BLOCKS / 4 + (m->kind > CPW_6);
    m->table = start;
    m->finalisers = at;
    at += bits;
    if (m->kind == CPW_10) {
        m->scanned = at;
        at += bits;
    }
    m->heap = (at + block - 1) & ~(block - 1);
    m->end = m->heap + CPW_BLOCKS * block;
    m->top = CPW_BLOCKS;
}

static void cpw_state(struct cpw *m, uint64_t vm, uint64_t mem, uint64_t table)
{
    unsigned w = m->word, n = 0;
    uint64_t main = vm + 4ull * w, words[16];
    uint64_t state[][2] = {{vm - 6ull * w, CPW_RAM + CPW_STACK}, {vm - 5ull * w, 0}, {vm - 4ull * w, main}, {vm - 3ull * w, main}, {vm - 2ull * w, CPW_RAM + 0x40},
                           {vm, m->pool}, {main, m->type[CQ_DICT]}, {main + w, cpw_map_used(m, 5, 0)}, {main + 2ull * w, 6}, {main + 3ull * w, table}};
    for (size_t i = 0; i < sizeof state / sizeof *state; i++)
        cpw_set(m, state[i][0], state[i][1], w);
    words[n++] = m->table;
    words[n++] = CPW_BLOCKS / 4;
    words[n++] = m->finalisers;
    if (m->scanned)
        words[n++] = m->scanned;
    words[n++] = m->heap;
    words[n++] = m->end;
    if (m->kind <= CPW_8)
        words[n++] = m->heap + m->top * 4ull * w;
    for (unsigned i = 0; i < n; i++)
        cpw_set(m, mem + (uint64_t)i * w, words[i], w);
    cpw_set(m, mem + (n + 1 + 64 + 1 + 8 + 2ull) * w, m->permanent, w);
}

static void cpw_make(struct cpw *m, enum cpw_kind kind, unsigned word, bool big, bool banner, bool nested)
{
    *m = (struct cpw){.word = word, .big = big, .banner = banner, .nested = nested, .kind = kind, .rom = mk_new(word, big), .ram = mk_new(word, big)};
    uint64_t vm = CPW_RAM + 0x100, mem = vm + 16ull * word, behind = (mem + 100ull * word + 15) & ~15ull, size = CPW_BLOCKS * (4ull * word + 1) + 44;
    cpw_rom(m);
    mk_zero(&m->ram, (size_t)(behind - CPW_RAM + 2 * size + 200ull * word));
    cpw_layout(m, nested ? cpw_outer(m, behind, size) : behind);
    uint64_t table = cpw_objects(m);
    cpw_state(m, vm, mem, table);
    m->shown = CPW_NEW(m, 0, m->type[CQ_LIST], 0, 0, 0);
    cpw_set(m, CPW_RAM + CPW_DISPLAY, m->shown, word);
}

static void cpw_end(struct cpw *m)
{
    mk_free(&m->rom);
    mk_free(&m->ram);
}

/* ---- read ---- */
struct cpw_world {
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types *types;
    struct hr_heap *heap;
    struct hr_mp *mp;
};

/* With all allocators and MicroPython's runtime. Whatever it returns, cpw_forget() has to follow. */
static bool cpw_read(struct cpw_world *w, const struct cpw *m)
{
    void *self = NULL;
    char version[64] = "", evidence[200] = "";
    memset(w, 0, sizeof *w);
    hr_notes_init(&w->notes);
    if (hr_strs_create(&w->strs) != HR_OK)
        return false;
    hr_image_init(&w->img, w->strs, &w->notes);
    w->img.arch = hr_arch_by_name(m->word == 8 ? (m->big ? "ppc64" : "riscv64") : m->big ? "ppc" : "arm");
    w->img.word = (uint8_t)m->word;
    w->img.big = m->big;
    w->img.bare = true;
    w->img.format = "raw";
    struct hr_segment rom = {.addr = CPW_ROM, .msize = m->rom.n, .bytes = {m->rom.p, m->rom.n}, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment ram = {.addr = CPW_RAM, .msize = m->ram.n, .bytes = {m->ram.p, m->ram.n}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    if (hr_image_add(&w->img, rom) != HR_OK || hr_image_add(&w->img, ram) != HR_OK || hr_image_seal(&w->img) != HR_OK || hr_types_create(&w->img, &w->types) != HR_OK ||
        hr_heap_build(&w->img, w->types, &w->heap) != HR_OK)
        return false;
    struct hr_runtime_in in = {.image = &w->img, .types = w->types, .heap = w->heap, .notes = &w->notes};
    const struct hr_runtime *rt = &hr_runtime_micropython;
    if (rt->open(&in, &self, version, sizeof version, evidence, sizeof evidence) != HR_OK)
        return false;
    w->mp = self;
    return rt->roots(self) == HR_OK && rt->classify(self) == HR_OK;
}

static void cpw_forget(struct cpw_world *w)
{
    if (!w->strs)
        return;
    hr_runtime_micropython.close(w->mp);
    hr_heap_destroy(w->heap);
    hr_types_destroy(w->types);
    hr_image_deinit(&w->img);
    hr_notes_deinit(&w->notes);
    hr_strs_destroy(w->strs);
}

#endif
