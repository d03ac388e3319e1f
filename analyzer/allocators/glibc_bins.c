/* Are the free chunks in the bins, and are the bins' chunks free? Bounded by one claim bit per block. */
#include "analyzer/allocators/glibc.h"

static void damage(struct glibc *g, struct hr_heap *h, const struct glibc_arena *a, enum glibc_damage d, uint64_t p,
                   unsigned bin)
{
    h->arenas.v[a->row].corrupt = true;
    hr_glibc_damage(g, d, p, "at the chunk 0x%llx in bin %u of the arena at 0x%llx", (unsigned long long)p, bin,
                    (unsigned long long)a->addr);
}

static enum glibc_damage link_damage(unsigned bin)
{
    return bin == 1 ? GLIBC_BAD_UNSORTED : bin < 64 ? GLIBC_BAD_SMALL : GLIBC_BAD_LINK;
}

/* Bins 2..63 are for one chunk size each: bin * 16 on 64-bit; with an alignment above two words they are one further. */
static bool size_fits(const struct glibc *g, unsigned bin, uint64_t chunk)
{
    unsigned width = g->l.align, up = g->l.align > 2 * g->l.word ? 1 : 0;
    uint64_t min_large = (64u - up) * width;
    if (bin == 1)
        return true;
    if (bin < 64)
        return chunk < min_large && chunk / width + up == bin;
    return chunk >= min_large;
}

static void walk_bin(struct glibc *g, struct hr_heap *h, struct glibc_arena *a, unsigned bin, struct hr_bits *seen)
{
    const unsigned w = g->l.word;
    uint64_t head = a->addr + g->l.bins + 2ull * (bin - 1) * w - 2 * w, prev = head, p, back;
    if (!glibc_word(g, head + 2 * w, &p) || !p)
        return;
    while (p != head) {
        uint64_t into;
        if (glibc_missing(g, p))
            return;
        hr_id id = hr_heap_at(h, p + 2 * w, &into);
        if (id == HR_NONE || into || !glibc_word(g, p + 3 * w, &back) || back != prev) {
            damage(g, h, a, link_damage(bin), p, bin);
            return;
        }
        if (h->state[id] != HR_FREE)
            damage(g, h, a, GLIBC_BAD_BIN_INUSE, p, bin);
        else if (!size_fits(g, bin, hr_block_size(h, id) + w))
            damage(g, h, a, GLIBC_BAD_BIN_SIZE, p, bin);
        if (!hr_bits_claim(seen, id)) {
            damage(g, h, a, link_damage(bin), p, bin);
            return;
        }
        a->in_bins++;
        prev = p;
        if (!glibc_word(g, p + 2 * w, &p))
            return;
    }
}

enum hr_status hr_glibc_check_bins(struct glibc *g, struct hr_heap *h)
{
    struct hr_bits seen = {0};
    if (!h->n)
        return HR_OK;
    HR_TRY(hr_bits_init(&seen, h->n));
    for (size_t i = 0; i < g->arenas.n; i++) {
        struct glibc_arena *a = &g->arenas.v[i];
        if (!a->addr)
            continue;
        for (unsigned bin = 1; bin < GLIBC_NBINS; bin++)
            walk_bin(g, h, a, bin, &seen);
        const struct hr_arena *row = &h->arenas.v[a->row];
        uint64_t want = row->free_blocks - (row->top_bytes != 0);
        if (a->in_bins != want && !row->corrupt) /* a thread may have stopped inside malloc: no damage by itself */
            hr_note_at(g->notes, HR_NOTE_INFO, "heap.bins", a->addr,
                       "%llu free chunks lie in the arena at 0x%llx, %llu are in its bins", (unsigned long long)want,
                       (unsigned long long)a->addr, (unsigned long long)a->in_bins);
    }
    hr_bits_deinit(&seen);
    return HR_OK;
}
