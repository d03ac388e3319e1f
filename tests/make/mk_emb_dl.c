/* Doug Lea's malloc 2.8 as bytes. */
#include "tests/make/mk_emb.h"

/* State: small map, tree map; then words: size of dv, of top, least address, dv, top, trim check, release checks, magic, 66 small bins,
 * 32 tree bins, footprint, most, limit, flags, segment {base, size, next, flags}. Chunks: previous size, own size | 1 previous in use | 2 in use. */
void mk_dlmalloc(struct mk_emb *e)
{
    uint64_t w = e->word, state = MK_EMB_BASE + 0x100, base = MK_EMB_BASE + 0x600, top_size = 24 * w, foot = 10 * w;
    e->heap = base + (e->flavour ? 2 * w : 0); /* flavour 1: what malloc returns is aligned to four words */
    uint64_t top = e->heap + e->total, end = top + top_size + foot, field[116] = {0};
    mk_emb_begin(e, 0x600);
    mk_emb_fill(e, base, 0, 4 * w);
    bool before = true;
    for (unsigned i = 0; i < e->nchunks; i++) {
        const struct mk_chunk *c = &e->chunk[i];
        mk_emb_set(e, e->heap + c->at + w, c->size | (before ? 1 : 0) | (c->want ? 2 : 0), e->word);
        mk_emb_expect(e, e->heap + c->at + 2 * w, c->size - w, c->want);
        if (!c->want)
            mk_emb_set(e, e->heap + c->at + c->size, c->size, e->word);
        before = c->want != 0;
    }
    mk_emb_set(e, top + w, top_size | 1, e->word);
    mk_emb_expect(e, top + 2 * w, top_size - 2 * w, false);
    mk_emb_set(e, top + top_size + w, foot, e->word);
    mk_emb_fill(e, end, 0, 64);
    field[1] = top_size;
    field[2] = base;
    field[4] = top;
    field[5] = 0xffffffff;
    field[6] = 0xfff;
    field[7] = 0x55d32558;
    field[106] = field[107] = end - base;
    field[110] = base;
    field[111] = end - base;
    mk_emb_fill(e, state, 0, 8);
    for (unsigned i = 0; i < 116; i++)
        mk_emb_set(e, state + 8 + i * w, field[i], e->word);
    for (unsigned i = 0; i < 32; i++) /* empty bins lead to themselves, as if they were chunks */
        for (unsigned k = 2; k < 4; k++)
            mk_emb_set(e, state + 8 + (8 + 2 * i + k) * w, state + 8 + (8 + 2 * i) * w, e->word);
}
