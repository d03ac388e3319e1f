/* ESP-IDF's multi_heap as bytes: TLSF with tables in the control block or of a fixed size, and the ordered list before it; with
 * both kinds of poisoning and task tracking. */
#include "tests/make/mk_emb.h"

static unsigned fls_of(uint64_t x)
{
    unsigned n = 0;
    while (x >>= 1)
        n++;
    return n;
}

/* What the program asked for, wrapped as heap_caps_malloc() does. mem: what the bare heap would return. */
static void used(struct mk_emb *e, uint64_t mem, uint64_t size, uint64_t want)
{
    uint64_t task = e->flavour & 4 ? 4 : 0, owner = e->flavour & 8 ? 4 : 0;
    if (!e->poison) {
        mk_emb_expect(e, mem + task, size - task, true);
    } else {
        mk_emb_expect(e, mem + 8 + owner + task, want, true);
        mk_emb_set(e, mem, 0xabba1234, 4);
        mk_emb_set(e, mem + 4 + owner, want + task, 4);
        mk_emb_set(e, mem + 8 + owner + task + want, 0xbaad5678, 4);
        if (owner)
            mk_emb_set(e, mem + 4, MK_EMB_BASE + 0x40, 4);
    }
    if (task)
        mk_emb_set(e, mem + (e->poison ? 8 : 0), mk_emb_random(e) & 4 ? MK_EMB_BASE + 0x40 : MK_EMB_BASE + 0x80, 4);
}

static void registered(struct mk_emb *e, uint64_t info, uint64_t end)
{
    uint64_t at = MK_EMB_BASE + 0x200;
    const uint64_t words[] = {0x1804, 0x2, 0x8, info, end, 0xb33fffff, 0, info, 0};
    for (unsigned i = 0; i < 9; i++)
        mk_emb_set(e, at + 4 * i, words[i], 4);
}

void mk_esp_tlsf(struct mk_emb *e)
{
    uint64_t info = MK_EMB_BASE + 0x480, control = info + 20, fixed = e->flavour & 1;
    unsigned log2_sl = fixed ? 5 : 3, nsl = 1u << log2_sl, shift = log2_sl + 2, order[MK_EMB_MAX], n = mk_emb_free(e, order);
    unsigned nfl = fixed ? e->width : fls_of(e->total + 600) + 1 - shift + 1;
    uint64_t sl = control + (fixed ? 20 : 36), lists = sl + 4 * nfl, first = lists + 4ull * nfl * nsl, end = first + e->total + 4, free = 0;
    uint64_t bits[32] = {0}, top = 0, prev_free = 0;
    bool bare = e->flavour & 16; /* Espressif's TLSF alone */
    mk_emb_begin(e, 0x480);
    e->heap = first;
    mk_emb_fill(e, info, 0, (size_t)(first - info));
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        uint64_t at = first + c->at, mem = at + 4, size = c->size - 4;
        if (c->want) {
            used(e, mem, size, c->want);
        } else {
            mk_emb_expect(e, mem, size, false);
            mk_emb_fill(e, mem, e->poison == 2 ? 0xfe : 0x33, size);
            mk_emb_set(e, mem + size - 4, at - 4, 4);
            free += size;
        }
        mk_emb_set(e, at, size | !c->want | prev_free << 1, 4);
        prev_free = !c->want;
    }
    mk_emb_set(e, end - 4, prev_free << 1, 4);
    mk_emb_fill(e, end, 0, 64);
    for (unsigned i = 0; i < nfl * nsl; i++)
        mk_emb_set(e, lists + 4ull * i, control, 4);
    mk_emb_set(e, control + 8, control, 4);
    mk_emb_set(e, control + 12, control, 4);
    for (unsigned i = 0; i < n; i++) { /* at the list's front, one after the other */
        uint64_t size = e->chunk[order[i]].size - 4, block = first + e->chunk[order[i]].at - 4;
        unsigned fl = size < 1u << shift ? 0 : fls_of(size) - shift + 1;
        unsigned k = size < 1u << shift ? (unsigned)size / ((1u << shift) / nsl) : (unsigned)(size >> (fls_of(size) - log2_sl)) ^ nsl;
        uint64_t slot = lists + 4ull * (fl * nsl + k), was = mk_emb_get(e, slot, 4);
        mk_emb_set(e, block + 8, was, 4);
        mk_emb_set(e, block + 12, control, 4);
        mk_emb_set(e, was + 12, block, 4); /* of the null block, too */
        mk_emb_set(e, slot, block, 4);
        bits[fl] |= 1ull << k;
        top |= 1ull << fl;
    }
    for (unsigned i = 0; i < nfl; i++)
        mk_emb_set(e, sl + 4ull * i, bits[i], 4);
    mk_emb_set(e, fixed ? control + 16 : control + 24, top, 4);
    if (!fixed) {
        uint64_t fields[][2] = {{nfl, 5}, {shift, 3}, {nfl + shift - 1, 6}, {nsl, 6}, {log2_sl, 3}, {1u << shift, 8}}, word = 0;
        unsigned at = 0;
        for (unsigned i = 0; i < 6; i++) {
            word |= fields[i][0] << (e->big ? 32 - at - fields[i][1] : at);
            at += (unsigned)fields[i][1];
        }
        mk_emb_set(e, control + 16, word, 4);
        mk_emb_set(e, control + 20, first - control, 4);
        mk_emb_set(e, control + 28, sl, 4);
        mk_emb_set(e, control + 32, lists, 4);
    }
    if (bare)
        return;
    mk_emb_set(e, info + 4, free, 4);
    mk_emb_set(e, info + 8, free / 2, 4);
    mk_emb_set(e, info + 12, end - control, 4);
    mk_emb_set(e, info + 16, control, 4);
    registered(e, info, end);
}

void mk_esp_old(struct mk_emb *e)
{
    uint64_t info = MK_EMB_BASE + 0x480, first = e->heap = info + 24, last = first + e->total, free = 0, link = info + 20;
    mk_emb_begin(e, 0x480);
    mk_emb_fill(e, info, 0, 24);
    mk_emb_set(e, info + 16, first | 1, 4);
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        uint64_t at = first + c->at, mem = at + 4, size = c->size - 4;
        if (c->want) {
            used(e, mem, size, c->want);
        } else {
            mk_emb_expect(e, mem, size, false);
            mk_emb_fill(e, mem, e->poison == 2 ? 0xfe : 0x33, size);
            mk_emb_set(e, link, at, 4);
            link = mem;
            free += size;
        }
        mk_emb_set(e, at, (at + c->size) | !c->want, 4);
    }
    mk_emb_set(e, link, last, 4);
    mk_emb_set(e, last, 1, 4);
    mk_emb_set(e, last + 4, 0, 4);
    mk_emb_fill(e, last + 8, 0, 64);
    mk_emb_set(e, info + 4, free, 4);
    mk_emb_set(e, info + 8, free / 2, 4);
    mk_emb_set(e, info + 12, last, 4);
    registered(e, info, last + 8);
}
