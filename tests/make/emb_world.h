/* A written heap (mk_emb.h) as the image of a bare machine, read by all allocators. */
#ifndef HR_TESTS_EMB_WORLD_H
#define HR_TESTS_EMB_WORLD_H

#include "analyzer/allocators/allocators.h"
#include "tests/make/mk_emb.h"
#include "tests/tap.h"

struct emb_world {
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types *types;
    struct hr_heap *heap;
};

static bool emb_read(struct emb_world *w, const struct mk_emb *e)
{
    *w = (struct emb_world){0};
    hr_notes_init(&w->notes);
    if (hr_strs_create(&w->strs) != HR_OK)
        return false;
    hr_image_init(&w->img, w->strs, &w->notes);
    w->img.arch = hr_arch_by_name(e->word == 8 ? (e->big ? "ppc64" : "riscv64") : e->big ? "ppc" : "arm");
    w->img.word = (uint8_t)e->word;
    w->img.big = e->big;
    w->img.bare = true;
    w->img.format = "raw";
    struct hr_segment s = {.addr = MK_EMB_BASE, .msize = e->m.n, .bytes = {e->m.p, e->m.n}, .flags = HR_SEG_R | HR_SEG_W | HR_SEG_X, .module = HR_NONE};
    return hr_image_add(&w->img, s) == HR_OK && hr_image_seal(&w->img) == HR_OK && hr_types_create(&w->img, &w->types) == HR_OK &&
           hr_heap_build(&w->img, w->types, &w->heap) == HR_OK;
}

__attribute__((unused)) static void emb_forget(struct emb_world *w)
{
    hr_heap_destroy(w->heap);
    hr_types_destroy(w->types);
    hr_image_deinit(&w->img);
    hr_notes_deinit(&w->notes);
    hr_strs_destroy(w->strs);
}

/* What holds of any heap, however damaged. */
__attribute__((unused)) static bool emb_sane(const struct emb_world *w)
{
    bool ok = true;
    for (uint32_t i = 0; i < w->heap->arenas.n; i++) {
        const struct hr_arena *a = &w->heap->arenas.v[i];
        ok &= a->used_bytes + a->cached_bytes + a->free_bytes + a->own_bytes + a->overhead_bytes == a->mapped && a->overhead_bytes <= a->mapped;
    }
    struct hr_block_iter it = hr_block_iter(w->heap, 0);
    uint64_t last = 0;
    for (hr_id i = 0; i < w->heap->n; i++) {
        uint64_t addr = hr_block_next(&it);
        ok &= !i || addr > last;
        last = addr;
    }
    return ok;
}

/* Are the heap's blocks those written? */
__attribute__((unused)) static bool emb_same(const struct emb_world *w, const struct mk_emb *e)
{
    unsigned shown = 0;
    if (w->heap->n != e->nblocks)
        printf("# %u blocks, written %u\n", w->heap->n, e->nblocks);
    for (unsigned i = 0; i < e->nblocks && shown < 5; i++) {
        const struct mk_emb_block *b = &e->block[i];
        uint64_t into = 1;
        hr_id id = hr_heap_at(w->heap, b->addr, &into);
        if (id == HR_NONE || into || hr_block_size(w->heap, id) != b->size || w->heap->state[id] != (b->used ? HR_USED : HR_FREE)) {
            shown++;
            printf("# block 0x%" PRIx64 " size %" PRIu64 " used %d: got size %" PRIu64 " state %d\n", b->addr, b->size, b->used,
                   id == HR_NONE ? 0 : hr_block_size(w->heap, id), id == HR_NONE ? -1 : w->heap->state[id]);
        }
    }
    return !shown && w->heap->n == e->nblocks;
}

__attribute__((unused)) static bool emb_quiet(const struct emb_world *w)
{
    bool quiet = true;
    for (size_t i = 0; i < w->notes.list.n; i++) {
        quiet = false;
        printf("# %s: %s\n", w->notes.list.v[i].code, w->notes.list.v[i].text);
    }
    return quiet;
}

__attribute__((unused)) static bool emb_sums(const struct emb_world *w)
{
    bool ok = w->heap->arenas.n > 0;
    for (uint32_t i = 0; i < w->heap->arenas.n; i++) {
        const struct hr_arena *a = &w->heap->arenas.v[i];
        ok &= a->used_bytes + a->cached_bytes + a->free_bytes + a->own_bytes + a->overhead_bytes == a->mapped && !a->corrupt;
    }
    return ok;
}

/* Is there a note with that code, at that address? All notes are printed when not. */
__attribute__((unused)) static bool emb_says(const struct emb_world *w, const char *code, uint64_t addr)
{
    for (size_t i = 0; i < w->notes.list.n; i++)
        if (!strcmp(w->notes.list.v[i].code, code) && w->notes.list.v[i].has_addr && w->notes.list.v[i].addr == addr)
            return true;
    printf("# wanted %s at 0x%" PRIx64 "\n", code, addr);
    emb_quiet(w);
    return false;
}

/* Is no block claimed in [lo, hi) that was not written, and are all written ones outside of it there? */
__attribute__((unused)) static bool emb_rest(const struct emb_world *w, const struct mk_emb *e, uint64_t lo, uint64_t hi)
{
    unsigned lost = 0, extra = 0;
    for (unsigned i = 0; i < e->nblocks; i++) {
        uint64_t into = 1;
        hr_id id = hr_heap_at(w->heap, e->block[i].addr, &into);
        bool there = id != HR_NONE && !into && hr_block_size(w->heap, id) == e->block[i].size;
        lost += !there && (e->block[i].addr < lo || e->block[i].addr >= hi);
    }
    struct hr_block_iter it = hr_block_iter(w->heap, 0);
    for (hr_id k = 0; k < w->heap->n; k++) {
        uint64_t addr = hr_block_next(&it);
        bool written = false;
        for (unsigned i = 0; i < e->nblocks && !written; i++)
            written = e->block[i].addr == addr && e->block[i].size == hr_block_size(w->heap, k);
        extra += !written;
    }
    if (lost || extra)
        printf("# %u lost, %u that were never written\n", lost, extra);
    return !lost && !extra;
}

#endif
