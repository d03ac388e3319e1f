/* umm_malloc, lwIP's mem.c and ThreadX's pools as bytes. */
#include "tests/make/mk_emb.h"

/* Blocks of `body` bytes, numbers of 16 bits: {next | 0x8000 free, previous}, then {next free, previous free}. */
void mk_umm(struct mk_emb *e)
{
    uint64_t base = e->heap = MK_EMB_BASE + 0x480, last = e->total / e->body + 1;
    unsigned order[MK_EMB_MAX], n = mk_emb_free(e, order);
    mk_emb_begin(e, 0x480);
    if (!e->flavour) {
        uint64_t at = MK_EMB_BASE + 0x100;
        mk_emb_set(e, at, base, e->word);
        mk_emb_set(e, at + e->word, (last + 1) * e->body, e->word);
        mk_emb_set(e, at + 2 * e->word, last + 1, 2);
    }
    mk_emb_set(e, base + last * e->body, 0, 2);
    mk_emb_fill(e, base, 0, 8);
    mk_emb_set(e, base, 1, 2);
    uint64_t prev = 0;
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        uint64_t nr = 1 + c->at / e->body, next = nr + c->size / e->body, at = base + nr * e->body;
        mk_emb_set(e, at, next | (c->want ? 0 : 0x8000), 2);
        mk_emb_set(e, at + 2, prev, 2);
        prev = nr;
        uint64_t user = at + 4, room = c->size - 4;
        if (c->want && e->poison) {
            uint64_t pad = e->poison + 4;
            mk_emb_expect(e, user + pad, c->want, true);
            mk_emb_set(e, user, c->want + pad + 4, e->poison);
            mk_emb_fill(e, user + e->poison, 0xa5, 4);
            mk_emb_fill(e, user + pad + c->want, 0xa5, 4);
        } else {
            mk_emb_expect(e, user, room, c->want);
        }
    }
    mk_emb_set(e, base + last * e->body, 0, 2);
    mk_emb_set(e, base + last * e->body + 2, prev, 2);
    mk_emb_fill(e, base + last * e->body + 4, 0, e->body - 4);
    for (unsigned i = 0; i <= n; i++) { /* the ring of free blocks begins and ends at block 0 */
        uint64_t a = i ? 1 + e->chunk[order[i - 1]].at / e->body : 0, b = i < n ? 1 + e->chunk[order[i]].at / e->body : 0;
        mk_emb_set(e, base + a * e->body + 4, b, 2);
        mk_emb_set(e, base + b * e->body + 6, a, 2);
    }
    mk_emb_fill(e, base + (last + 1) * e->body, 0, 64);
}

/* {next, previous} offsets, used byte, [requested size]; the end block names itself. */
void mk_lwip(struct mk_emb *e)
{
    uint64_t base = e->heap = MK_EMB_BASE + 0x480, last = 0;
    unsigned w = e->width;
    mk_emb_begin(e, 0x480);
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        uint64_t at = base + c->at, user = at + e->head - (e->poison ? 32 : 0);
        if (c->want && e->poison) {
            mk_emb_expect(e, user + 16, c->want, true);
            mk_emb_fill(e, user, 0xcd, 16);
            mk_emb_fill(e, user + 16 + c->want, 0xcd, 16);
            mk_emb_set(e, at + (w == 2 ? 6 : 12), c->want, w);
        } else {
            mk_emb_expect(e, user, at + c->size - user, c->want);
        }
        mk_emb_set(e, at, c->at + c->size, w);
        mk_emb_set(e, at + w, last, w);
        mk_emb_set(e, at + 2 * w, c->want != 0, 1);
        last = c->at;
    }
    uint64_t end = base + e->total;
    mk_emb_set(e, end, e->total, w);
    mk_emb_set(e, end + w, e->total, w);
    mk_emb_set(e, end + 2 * w, 1, 1);
    mk_emb_fill(e, end + 2 * w + 1, 0, 96);
    if (e->flavour) {
        mk_emb_set(e, MK_EMB_BASE + 0x100, end, e->word);
        mk_emb_set(e, MK_EMB_BASE + 0x100 + e->word, base, e->word);
        unsigned i = 0;
        while (i < e->nchunks && e->chunk[i].want)
            i++;
        mk_emb_set(e, MK_EMB_BASE + 0x100 + 2 * e->word, i < e->nchunks ? base + e->chunk[i].at : end, e->word);
    }
}

struct put {
    struct mk_emb *e;
    uint64_t at;
};
static void put(struct put *p, uint64_t v, unsigned size)
{
    p->at = (p->at + size - 1) & ~(uint64_t)(size - 1);
    mk_emb_set(p->e, p->at, v, size);
    p->at += size;
}

enum { POOL = 0x100, NAME = 0x40 };

/* Control block, then {next, 0xffffeeee or pool} in front of every block. */
void mk_threadx(struct mk_emb *e)
{
    uint64_t pool = MK_EMB_BASE + POOL, base = e->heap = MK_EMB_BASE + 0x480, w = e->word, free = 0;
    mk_emb_begin(e, 0x480);
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        mk_emb_set(e, base + c->at, base + c->at + c->size, e->word);
        mk_emb_set(e, base + c->at + w, c->want ? pool : 0xffffeeee, e->word);
        mk_emb_expect(e, base + c->at + 2 * w, c->size - 2 * w, c->want);
        free += c->want ? 0 : c->size;
    }
    mk_emb_set(e, base + e->total, base, e->word);
    mk_emb_set(e, base + e->total + w, pool, e->word);
    mk_emb_fill(e, base + e->total + 2 * w, 0, 64);
    mk_bytes(&e->m, "", 0);
    for (unsigned i = 0; i < 6; i++)
        mk_emb_set(e, MK_EMB_BASE + NAME + i, (uint8_t)"main\0"[i < 5 ? i : 4], 1);
    struct put p = {e, pool};
    put(&p, 0x42595445, e->width);
    put(&p, MK_EMB_BASE + NAME, e->word);
    put(&p, free, e->width);
    put(&p, e->nchunks + 1, 4);
    put(&p, base, e->word);
    put(&p, base, e->word);
    put(&p, base, e->word);
    put(&p, e->total + 2 * w, e->width);
    put(&p, 0, e->word);
    put(&p, 0, e->word);
    put(&p, 0, 4);
    put(&p, pool, e->word);
    put(&p, pool, e->word);
}

/* Equal blocks with a word in front; of the model's chunks only "in use or not" counts. */
void mk_threadx_blocks(struct mk_emb *e)
{
    uint64_t pool = MK_EMB_BASE + POOL, base = e->heap = MK_EMB_BASE + 0x480, each = 24, step = each + e->word;
    unsigned order[MK_EMB_MAX], n = mk_emb_free(e, order);
    mk_emb_begin(e, 0x480);
    for (unsigned i = 0; i < e->nchunks; i++) {
        mk_emb_set(e, base + i * step, pool, e->word);
        mk_emb_expect(e, base + i * step + e->word, each, e->chunk[i].want);
    }
    for (unsigned i = 0; i < n; i++)
        mk_emb_set(e, base + order[i] * step, i + 1 < n ? base + order[i + 1] * step : 0, e->word);
    mk_emb_fill(e, base + e->nchunks * step, 0, 64);
    struct put p = {e, pool};
    put(&p, 0x424c4f43, e->width);
    put(&p, 0, e->word);
    put(&p, n, 4);
    put(&p, e->nchunks, 4);
    put(&p, n ? base + order[0] * step : 0, e->word);
    put(&p, base, e->word);
    put(&p, e->nchunks * step + 4, e->width);
    put(&p, each, 4);
    put(&p, 0, e->word);
    put(&p, 0, 4);
    put(&p, pool, e->word);
    put(&p, pool, e->word);
}
