#include "tests/make/mk_emb.h"

#include <stdlib.h>
#include <string.h>

uint64_t mk_emb_random(struct mk_emb *e)
{
    e->seed ^= e->seed << 13;
    e->seed ^= e->seed >> 7;
    e->seed ^= e->seed << 17;
    return e->seed;
}

/* ---- the model ---- */

static void drop(struct mk_emb *e, unsigned i)
{
    memmove(&e->chunk[i], &e->chunk[i + 1], (e->nchunks - i - 1) * sizeof *e->chunk);
    e->nchunks--;
}

static void take(struct mk_emb *e, uint64_t want)
{
    uint64_t need = (want + e->head + e->unit - 1) / e->unit * e->unit;
    if (need < e->least)
        need = e->least;
    for (unsigned i = 0; i < e->nchunks && e->nchunks < MK_EMB_MAX; i++) {
        struct mk_chunk *c = &e->chunk[i];
        if (c->want || c->size < need)
            continue;
        if (c->size - need >= e->least) {
            memmove(c + 2, c + 1, (e->nchunks - i - 1) * sizeof *c);
            c[1] = (struct mk_chunk){c->at + need, c->size - need, 0};
            c->size = need;
            e->nchunks++;
        }
        c->want = want;
        return;
    }
}

static void give(struct mk_emb *e, unsigned i)
{
    e->chunk[i].want = 0;
    if (e->apart)
        return;
    if (i + 1 < e->nchunks && !e->chunk[i + 1].want) {
        e->chunk[i].size += e->chunk[i + 1].size;
        drop(e, i + 1);
    }
    if (i && !e->chunk[i - 1].want) {
        e->chunk[i - 1].size += e->chunk[i].size;
        drop(e, i);
    }
}

void mk_emb_model(struct mk_emb *e, unsigned steps)
{
    e->nchunks = 1;
    e->chunk[0] = (struct mk_chunk){0, e->total, 0};
    while (steps--) {
        uint64_t r = mk_emb_random(e);
        unsigned i = (unsigned)(r >> 20) % e->nchunks;
        if (r % 5 < 3)
            take(e, 1 + (r >> 40) % (r & 64 ? 200 : 24));
        else if (e->chunk[i].want)
            give(e, i);
    }
}

/* ---- the image ---- */

void mk_emb_begin(struct mk_emb *e, size_t before)
{
    e->m = mk_new(e->word, e->big);
    e->nblocks = 0;
    while (e->m.n < before) {
        uint64_t r = mk_emb_random(e);
        mk_word(&e->m, r % 7 < 3 ? 0 : r % 7 == 3 ? r >> 50 : r % 7 == 4 ? MK_EMB_BASE + (r >> 40) % 8192 : r % 7 == 5 ? 1 : r >> 33);
    }
}

void mk_emb_end(struct mk_emb *e) { mk_free(&e->m); }

static void reach(struct mk_emb *e, uint64_t addr, size_t n)
{
    uint64_t off = addr - MK_EMB_BASE;
    if (off + n > e->m.n)
        mk_zero(&e->m, (size_t)(off + n - e->m.n));
}

void mk_emb_set(struct mk_emb *e, uint64_t addr, uint64_t v, unsigned bytes)
{
    reach(e, addr, bytes);
    mk_set(&e->m, (size_t)(addr - MK_EMB_BASE), v, bytes);
}

uint64_t mk_emb_get(const struct mk_emb *e, uint64_t addr, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | e->m.p[addr - MK_EMB_BASE + (e->big ? i : bytes - 1 - i)];
    return v;
}

void mk_emb_fill(struct mk_emb *e, uint64_t addr, uint8_t v, size_t n)
{
    reach(e, addr, n);
    memset(e->m.p + (addr - MK_EMB_BASE), v, n);
}

/* Also puts something of the program's into it. */
void mk_emb_expect(struct mk_emb *e, uint64_t addr, uint64_t size, bool used)
{
    e->block[e->nblocks++] = (struct mk_emb_block){addr, size, used};
    reach(e, addr, (size_t)size);
    for (uint64_t at = addr; used && at < addr + size; at++)
        e->m.p[at - MK_EMB_BASE] = (uint8_t)(mk_emb_random(e) >> 30 & (mk_emb_random(e) & 32 ? 0xff : 1));
}

unsigned mk_emb_free(struct mk_emb *e, unsigned *index)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->nchunks; i++)
        if (!e->chunk[i].want)
            index[n++] = i;
    for (unsigned i = n; i > 1; i--) {
        unsigned k = (unsigned)(mk_emb_random(e) >> 20) % i, was = index[k];
        index[k] = index[i - 1];
        index[i - 1] = was;
    }
    return n;
}
