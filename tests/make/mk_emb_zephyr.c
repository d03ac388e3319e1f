/* Zephyr's sys_heap and memory slabs as bytes. */
#include "tests/make/mk_emb.h"

static int log2_of(uint64_t x)
{
    int n = -1;
    for (; x; x >>= 1)
        n++;
    return n;
}

struct z {
    struct mk_emb *e;
    uint64_t base;     /* of z_heap */
};

/* Field 0 left size, 1 size and used, 2 previous, 3 next, of the chunk at unit c. */
static void set(const struct z *z, uint64_t c, unsigned f, uint64_t v)
{
    unsigned w = z->e->width;
    if (z->e->flavour & 4 && f < 2)
        f ^= 1;
    mk_emb_set(z->e, z->base + 8 * c + f * w, v, w);
}

static uint64_t trail(const struct mk_emb *e) { return e->flavour & 8 ? 1 : 0; }
static uint64_t bucket(const struct mk_emb *e, uint64_t units) { return (uint64_t)log2_of(units - (e->width == 4 ? 2 : 1) - trail(e) + 1); }

void mk_zephyr(struct mk_emb *e)
{
    struct z z = {e, MK_EMB_BASE + 0x480};
    uint64_t head = 2 * e->width, at = 16 + (e->flavour & 1 ? 3 * e->word : 0), units = e->total / 8, first = 3, buckets;
    for (unsigned k = 0; k < 8; k++) { /* chunk 0 grows with the number of buckets, which grows with it */
        buckets = bucket(e, units + first) + 1;
        first = (at + 4 * buckets + 7) / 8 + trail(e);
    }
    uint64_t end = units + first, owner = MK_EMB_BASE + 0x100, avail = 0, free = 0, used = 0, last = first;
    unsigned order[MK_EMB_MAX], n = mk_emb_free(e, order);
    e->heap = z.base + 8 * first;
    mk_emb_begin(e, 0x480);
    mk_emb_fill(e, z.base, 0, (size_t)(8 * first));
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        uint64_t nr = first + c->at / 8, user = z.base + 8 * nr + head, size = c->size - head - (c->want ? 8 * trail(e) : 0);
        if (c->want && e->flavour & 2 && i % 2 && size > 2u * e->word) { /* k_malloc */
            mk_emb_set(e, user, owner, e->word);
            mk_emb_expect(e, user + e->word, size - e->word, true);
        } else {
            mk_emb_expect(e, user, size, c->want);
        }
        if (c->want && trail(e))
            mk_emb_set(e, z.base + 8 * nr + c->size - 8, mk_emb_random(e), 8);
        set(&z, nr, 0, last);
        set(&z, nr, 1, c->size / 8 << 1 | (c->want != 0));
        last = c->size / 8;
        *(c->want ? &used : &free) += c->size;
    }
    set(&z, 0, 0, 0);
    set(&z, 0, 1, first << 1 | 1);
    set(&z, end, 0, last);
    set(&z, end, 1, 1);
    mk_emb_fill(e, z.base + 8 * end + head, 0, 64);
    for (uint64_t b = 0; b < buckets; b++) {
        uint64_t ring[MK_EMB_MAX];
        unsigned m = 0;
        for (unsigned i = 0; i < n; i++)
            if (bucket(e, e->chunk[order[i]].size / 8) == b)
                ring[m++] = first + e->chunk[order[i]].at / 8;
        for (unsigned i = 0; i < m; i++) {
            set(&z, ring[i], 3, ring[(i + 1) % m]);
            set(&z, ring[(i + 1) % m], 2, ring[i]);
        }
        mk_emb_set(e, z.base + at + 4 * b, m ? ring[0] : 0, 4);
        avail |= (uint64_t)(m > 0) << b;
    }
    mk_emb_set(e, z.base + 8, end, 4);
    mk_emb_set(e, z.base + 12, avail, 4);
    if (e->flavour & 1) {
        mk_emb_set(e, z.base + 16, free, e->word);
        mk_emb_set(e, z.base + 16 + e->word, used, e->word);
        mk_emb_set(e, z.base + 16 + 2 * e->word, used + 400, e->word);
    }
    if (e->flavour & 2) {
        mk_emb_set(e, owner, z.base, e->word);
        mk_emb_set(e, owner + e->word, z.base, e->word);
        mk_emb_set(e, owner + 2 * e->word, 8 * end + head + 3, e->word);
    }
}

void mk_zephyr_slab(struct mk_emb *e)
{
    uint64_t slab = MK_EMB_BASE + 0x100, base = e->heap = MK_EMB_BASE + 0x480, each = 32, w = e->word;
    unsigned order[MK_EMB_MAX], n = mk_emb_free(e, order);
    mk_emb_begin(e, 0x480);
    for (unsigned i = 0; i < e->nchunks; i++)
        mk_emb_expect(e, base + i * each, each, e->chunk[i].want);
    for (unsigned i = 0; i < n; i++)
        mk_emb_set(e, base + order[i] * each, i + 1 < n ? base + order[i + 1] * each : 0, e->word);
    mk_emb_fill(e, base + e->nchunks * each, 0, 64);
    mk_emb_fill(e, slab, 0, 12 * w);
    mk_emb_set(e, slab, slab, e->word);
    mk_emb_set(e, slab + w, slab, e->word);
    uint64_t at = slab + (2 + e->width) * w, list = n ? base + order[0] * each : 0;
    mk_emb_set(e, at + (e->flavour ? 2 : 0) * w, base, e->word);
    mk_emb_set(e, at + (e->flavour ? 3 : 1) * w, list, e->word);
    mk_emb_set(e, at + (e->flavour ? 0 : 2) * w, e->nchunks, 4);
    mk_emb_set(e, at + (e->flavour ? 1 : 3) * w, each, e->word);
    mk_emb_set(e, at + 4 * w, e->nchunks - n, 4);
}
