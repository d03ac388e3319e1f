#include "tests/make/mk_glibc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mk_glibc_facts facts[] = {
    {64, 16, 23, 8, 88, 104, 2152, 2176, 2184, 2192, 32, 40, 56, 64, 80, 88, 0, 0},
    {64, 16, 24, 8, 88, 104, 2152, 2176, 2184, 2192, 32, 40, 56, 64, 72, 80, 0, 0},
    {64, 16, 26, 8, 88, 104, 2152, 2176, 2184, 2192, 32, 40, 56, 64, 72, 112, 64, 592},
    {64, 16, 27, 16, 96, 112, 2160, 2184, 2192, 2200, 32, 40, 56, 64, 72, 112, 64, 592},
    {64, 16, 30, 16, 96, 112, 2160, 2184, 2192, 2200, 32, 40, 56, 64, 72, 112, 128, 656},
    {64, 16, 35, 16, 96, 112, 2160, 2184, 2192, 2200, 48, 60, 80, 88, 96, 136, 128, 656},
    {64, 16, 42, 16, 96, 112, 2160, 2184, 2192, 2200, 48, 60, 80, 88, 96, 136, 152, 768},
    {32, 8, 23, 8, 48, 56, 1088, 1100, 1104, 1108, 16, 20, 36, 40, 48, 52, 0, 0},
    {32, 8, 24, 8, 48, 56, 1088, 1100, 1104, 1108, 16, 20, 36, 40, 44, 48, 0, 0},
    {32, 8, 26, 8, 48, 56, 1088, 1100, 1104, 1108, 16, 20, 36, 40, 44, 64, 64, 328},
    {32, 8, 27, 12, 52, 60, 1092, 1104, 1108, 1112, 16, 20, 36, 40, 44, 64, 64, 328},
    {32, 8, 30, 12, 52, 60, 1092, 1104, 1108, 1112, 16, 20, 36, 40, 44, 64, 128, 392},
    {32, 8, 35, 12, 52, 60, 1092, 1104, 1108, 1112, 24, 32, 48, 52, 56, 76, 128, 392},
    {32, 8, 42, 12, 52, 60, 1092, 1104, 1108, 1112, 24, 32, 48, 52, 56, 76, 152, 464},
    {32, 16, 26, 8, 52, 60, 1092, 1104, 1108, 1112, 24, 20, 36, 40, 44, 64, 64, 336},
    {32, 16, 27, 12, 56, 64, 1096, 1108, 1112, 1116, 24, 20, 36, 40, 44, 64, 64, 336},
    {32, 16, 30, 12, 56, 64, 1096, 1108, 1112, 1116, 24, 20, 36, 40, 44, 64, 128, 400},
    {32, 16, 35, 12, 56, 64, 1096, 1108, 1112, 1116, 24, 32, 48, 52, 56, 76, 128, 400},
    {32, 16, 42, 12, 56, 64, 1096, 1108, 1112, 1116, 24, 32, 48, 52, 56, 76, 152, 464},
};

const struct mk_glibc_facts *mk_glibc_facts(unsigned bits, unsigned align, unsigned minor)
{
    const struct mk_glibc_facts *best = NULL;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (facts[i].bits == bits && facts[i].align == align && facts[i].minor <= minor)
            best = &facts[i];
    return best;
}

/* ---- one arena's memory ---- */

enum { NBINS = 128, TC_MAX = 76, FAST_MAX = 12, LIST_MAX = 4096 };

struct arena {
    struct mk_glibc *m;
    const struct mk_glibc_facts *f;
    struct mk_part *part;   /* holds the chunks */
    struct mk_part *home;   /* holds the malloc_state */
    uint64_t state;         /* its address */
    uint64_t tcache;        /* user address, 0 none */
    uint64_t bin[NBINS][64];
    unsigned nbin[NBINS];
    uint64_t tc[TC_MAX], tc_head[TC_MAX];
    unsigned ntc[TC_MAX];
    uint64_t fast[FAST_MAX];
    bool non_main;
};

static uint64_t rnd(struct mk_glibc *m)
{
    m->seed ^= m->seed << 13;
    m->seed ^= m->seed >> 7;
    return m->seed ^= m->seed << 17;
}

static void put(struct mk_part *p, uint64_t addr, uint64_t v, unsigned bytes) { mk_set(&p->bytes, addr - p->addr, v, bytes); }
static void word(struct arena *a, struct mk_part *p, uint64_t addr, uint64_t v) { put(p, addr, v, a->m->word); }

static void grow_to(struct mk_part *p, uint64_t end)
{
    if (end > p->addr + p->bytes.n)
        mk_zero(&p->bytes, end - p->addr - p->bytes.n);
}

static void block(struct mk_glibc *m, uint64_t addr, uint64_t size, enum mk_state state)
{
    m->block = realloc(m->block, (m->nblocks + 1) * sizeof *m->block);
    m->block[m->nblocks++] = (struct mk_block){addr, size, state};
}

static uint64_t link_to(struct arena *a, uint64_t at, uint64_t to) { return a->m->minor >= 32 ? at >> 12 ^ to : to; }

static unsigned small_bin(struct arena *a, uint64_t size)
{
    unsigned w = a->m->word, al = a->m->align;
    return (unsigned)(size / al) + (al > 2 * w ? 1 : 0);
}

/* Picks what a chunk of `size` may be; previous free ones forbid another one. */
static enum mk_state pick(struct arena *a, uint64_t size, bool after_free, unsigned *list_ret)
{
    unsigned w = a->m->word, min = 4 * w > a->m->align ? 4 * w : a->m->align, k = (unsigned)(rnd(a->m) % 16);
    unsigned tc = (unsigned)((size - min) / a->m->align), fast = (unsigned)((size >> (w == 8 ? 4 : 3)) - 2);
    *list_ret = 0;
    if (k < 3 && a->tcache && tc < 64 && a->ntc[tc] < 7) {
        *list_ret = 1 + tc;
        return MK_CACHED;
    }
    if (k < 6 && size <= 16 * w && fast < FAST_MAX) {
        *list_ret = 1000 + fast;
        return MK_CACHED;
    }
    unsigned bin = rnd(a->m) & 1 ? 1 : small_bin(a, size);
    if (k < 9 && !after_free && bin < 62 && a->nbin[bin] < 64) {
        *list_ret = bin;
        return MK_FREE;
    }
    return MK_USED;
}

static void enlist(struct arena *a, uint64_t p, enum mk_state state, unsigned list)
{
    unsigned w = a->m->word;
    uint64_t user = p + 2 * w;
    if (state == MK_FREE) {
        a->bin[list][a->nbin[list]++] = p;
    } else if (list >= 1000) {
        word(a, a->part, user, link_to(a, user, a->fast[list - 1000]));
        a->fast[list - 1000] = p;
    } else {
        word(a, a->part, user, link_to(a, user, a->tc_head[list - 1]));
        if (a->m->minor >= 29)
            word(a, a->part, user + w, a->m->minor >= 34 ? 0x1234567 : a->tcache);
        a->tc_head[list - 1] = user;
        a->ntc[list - 1]++;
    }
}

/* Chunks from p on and top behind them, to a page's end; returns that end. */
static uint64_t chunks(struct arena *a, uint64_t p, uint64_t *top_ret)
{
    struct mk_glibc *m = a->m;
    unsigned w = m->word, min = 4 * w > m->align ? 4 * w : m->align, list;
    bool after_free = false;
    for (unsigned i = 0; i <= m->chunks; i++) {
        bool tcache = i == 0 && a->f->tc_chunk;
        uint64_t size = tcache ? a->f->tc_chunk : min + rnd(m) % 40 * m->align;
        grow_to(a->part, p + size + 2 * w);
        uint64_t flags = (after_free ? 0 : 1) | (a->non_main ? 4 : 0);
        enum mk_state state = MK_OWN;
        if (tcache)
            a->tcache = p + 2 * w, list = 0;
        else
            state = pick(a, size, after_free || i == m->chunks, &list); /* free ones merge with top */
        if (state != MK_OWN)
            for (uint64_t at = p + 2 * w; at < p + size + w; at += w)
                word(a, a->part, at, rnd(m) * 2 + 1); /* data: no chunk header by chance */
        word(a, a->part, p + w, size | (state == MK_FREE ? flags & 1 : flags));
        if (state == MK_CACHED || state == MK_FREE)
            enlist(a, p, state, list);
        after_free = state == MK_FREE;
        if (after_free)
            word(a, a->part, p + size, size);
        block(m, p + 2 * w, size - w, state);
        p += size;
    }
    uint64_t end = (p + 0x400 + 4095) & ~4095ull;
    grow_to(a->part, end);
    word(a, a->part, p + w, (end - p) | 1);
    block(m, p + 2 * w, end - p - 2 * w, MK_FREE);
    *top_ret = p;
    return end;
}

static void lists(struct arena *a, uint64_t top, uint64_t system, uint64_t next)
{
    unsigned w = a->m->word;
    uint64_t s = a->state;
    word(a, a->home, s + a->f->top, top);
    for (unsigned i = 0; i < FAST_MAX && a->f->fast + (i + 1) * w <= a->f->top; i++)
        word(a, a->home, s + a->f->fast + (uint64_t)i * w, a->fast[i]);
    for (unsigned b = 1; b < NBINS; b++) {
        uint64_t head = s + a->f->bins + 2ull * (b - 1) * w - 2 * w, prev = head;
        for (unsigned i = 0; i <= a->nbin[b]; i++) {
            uint64_t p = i < a->nbin[b] ? a->bin[b][i] : head;
            word(a, prev == head ? a->home : a->part, prev + 2 * w, p);
            word(a, p == head ? a->home : a->part, p + 3 * w, prev);
            prev = p;
        }
    }
    word(a, a->home, s + a->f->next, next);
    word(a, a->home, s + a->f->system, system);
    word(a, a->home, s + a->f->max_system, system + 4096);
    if (!a->tcache)
        return;
    unsigned each = a->m->minor >= 30 ? 2 : 1, bins = a->m->minor >= 42 ? 76 : 64;
    for (unsigned i = 0; i < bins; i++) {
        put(a->part, a->tcache + i * each, a->m->minor >= 42 ? 7 - a->ntc[i] : a->ntc[i], each);
        word(a, a->part, a->tcache + a->f->tc_entries + (uint64_t)i * w, a->tc_head[i]);
    }
}

/* ---- the whole ---- */

static void mmapped(struct mk_glibc *m, struct arena *a)
{
    struct mk_part *p = a->part = &m->part[MK_PART_MMAPPED];
    unsigned w = m->word, hdr = 2 * w;
    uint64_t off = (hdr + m->align - 1) / m->align * m->align - hdr, at = p->addr;
    /* A plain one, a raw page, one that memalign moved on by a page (its first header stays behind). */
    grow_to(p, at + 0x25000 + 0x1000 + 0x42000);
    word(a, p, at + off, off);
    word(a, p, at + off + w, (0x25000 - off) | 2);
    block(m, at + off + hdr, 0x25000 - off - hdr, MK_USED);
    at += 0x26000;
    word(a, p, at + off, off);
    word(a, p, at + off + w, (0x42000 - off) | 2);
    off = 0x1000 - hdr;
    word(a, p, at + off, off);
    word(a, p, at + off + w, (0x42000 - off) | 2);
    block(m, at + off + hdr, 0x42000 - off - hdr, MK_USED);
    m->n_mmaps = 2;
    m->mmapped_mem = 0x25000 + 0x42000;
}

static void params(struct mk_glibc *m, struct arena *a, uint64_t base)
{
    struct mk_part *d = &m->part[MK_PART_DATA];
    const struct mk_glibc_facts *f = a->f;
    unsigned w = m->word;
    put(d, m->mp + f->n_mmaps, m->n_mmaps, 4);
    put(d, m->mp + f->n_mmaps + 4, 65536, 4);
    put(d, m->mp + f->n_mmaps + 8, m->n_mmaps + 1, 4);
    word(a, d, m->mp + f->mmapped_mem, m->mmapped_mem);
    word(a, d, m->mp + f->max_mmapped_mem, m->mmapped_mem + 4096);
    word(a, d, m->mp + f->sbrk_base, base);
    if (f->tc_chunk) {
        unsigned min = 4 * w > m->align ? 4 * w : m->align;
        word(a, d, m->mp + f->sbrk_base + w, 64);
        word(a, d, m->mp + f->sbrk_base + 2 * w, 63 * m->align + min - w);
        word(a, d, m->mp + f->sbrk_base + 3 * w, 7);
    }
}

static void places(struct mk_glibc *m)
{
    bool wide = m->word == 8;
    m->part[MK_PART_HEAP].addr = wide ? 0x555500001000 : 0x56001000;
    m->part[MK_PART_MMAPPED].addr = wide ? 0x7d0000001000 : 0xb0001000;
    m->part[MK_PART_ARENA].addr = wide ? 0x7e0000000000 : 0xc0000000;
    m->part[MK_PART_RODATA].addr = wide ? 0x7f0000100000 : 0xf7000000;
    m->part[MK_PART_DATA].addr = wide ? 0x7f0000200000 : 0xf7100000;
    m->part[MK_PART_TLS].addr = wide ? 0x7f0000300000 : 0xf7200000;
    for (int i = 0; i < MK_PARTS; i++) {
        m->part[i].bytes = mk_new(m->word, m->big);
        m->part[i].writable = i != MK_PART_RODATA;
        m->part[i].module = i == MK_PART_RODATA || i == MK_PART_DATA;
    }
}

void mk_glibc(struct mk_glibc *m)
{
    const struct mk_glibc_facts *f = mk_glibc_facts(m->word * 8, m->align, m->minor);
    unsigned w = m->word;
    char text[120];
    places(m);
    struct mk_part *data = &m->part[MK_PART_DATA], *heap = &m->part[MK_PART_HEAP], *other = &m->part[MK_PART_ARENA];
    struct arena *main_a = calloc(1, sizeof *main_a), *sub = calloc(1, sizeof *sub);
    *main_a = (struct arena){.m = m, .f = f, .part = heap, .home = data};
    *sub = (struct arena){.m = m, .f = f, .part = other, .home = other, .non_main = true};
    snprintf(text, sizeof text, "GNU C Library (made up) stable release version 2.%u.\n", m->minor);
    mk_str(&m->part[MK_PART_RODATA].bytes, m->says_version ? text : "no version here");
    mk_zero(&m->part[MK_PART_RODATA].bytes, 4096 - m->part[MK_PART_RODATA].bytes.n);
    grow_to(data, data->addr + 0x2000);
    m->main_arena = main_a->state = data->addr + 0x640;
    m->mp = data->addr + 0x1400;
    grow_to(&m->part[MK_PART_TLS], m->part[MK_PART_TLS].addr + 0x1000);
    m->tp = m->part[MK_PART_TLS].addr + 0x800;
    sub->state = other->addr + f->heap_info;
    grow_to(other, sub->state + f->state_size);

    uint64_t top[2], end, skew = (2u * w + m->align - 1) / m->align * m->align - 2 * w;
    end = chunks(main_a, heap->addr + skew, &top[0]);
    m->system[0] = end - heap->addr;
    mmapped(m, main_a);
    main_a->part = heap;
    uint64_t first = (sub->state + f->state_size + 2 * w + m->align - 1) / m->align * m->align - 2 * w;
    end = chunks(sub, first, &top[1]);
    m->system[1] = end - other->addr;
    word(sub, other, other->addr, sub->state);
    word(sub, other, other->addr + 2 * w, m->system[1]);
    word(sub, other, other->addr + 3 * w, m->system[1]);
    lists(main_a, top[0], m->system[0], sub->state);
    lists(sub, top[1], m->system[1], m->main_arena);
    params(m, main_a, heap->addr);
    word(main_a, &m->part[MK_PART_TLS], m->tp - 6 * w, main_a->tcache);
    free(main_a);
    free(sub);
}

void mk_glibc_free(struct mk_glibc *m)
{
    for (int i = 0; i < MK_PARTS; i++)
        mk_free(&m->part[i].bytes);
    free(m->block);
    m->block = NULL;
}
