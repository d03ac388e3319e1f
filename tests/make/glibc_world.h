/* A written glibc heap (mk_glibc.h) as an image, read by the adapter: for the unit test, the sweep and the fuzz target. */
#ifndef HR_TESTS_GLIBC_WORLD_H
#define HR_TESTS_GLIBC_WORLD_H

#include "analyzer/allocators/allocators.h"
#include "tests/make/mk_glibc.h"

struct world {
    struct mk_glibc m;
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types *types;
    struct hr_heap *heap;
};

static enum hr_status add_parts(struct world *w)
{
    struct hr_module mod = {.lo = w->m.part[MK_PART_RODATA].addr,
                            .hi = w->m.part[MK_PART_DATA].addr + w->m.part[MK_PART_DATA].bytes.n};
    HR_TRY(hr_strs_addz(w->strs, "/lib/libc.so.6", &mod.path));
    HR_TRY(hr_modvec_push(&w->img.modules, mod));
    for (int i = 0; i < MK_PARTS; i++) {
        const struct mk_part *p = &w->m.part[i];
        struct hr_segment s = {.addr = p->addr, .msize = p->bytes.n, .bytes = {p->bytes.p, p->bytes.n},
                               .flags = HR_SEG_R | (p->writable ? HR_SEG_W : 0), .module = p->module ? 0 : HR_NONE};
        HR_TRY(hr_image_add(&w->img, s));
    }
    HR_TRY(hr_threadvec_push(&w->img.threads, (struct hr_thread){.tid = 1, .tp = w->m.tp, .tp_valid = true}));
    return hr_image_seal(&w->img);
}

static const char *arch_of(const struct mk_glibc *m)
{
    return m->word == 8 ? (m->big ? "ppc64" : "x86-64") : m->align == 16 || m->minor < 26 ? "i386" : "arm";
}

/* Between the two, a test may change the parts' bytes. */
__attribute__((unused)) static bool world_write(struct world *w)
{
    mk_glibc(&w->m);
    return true;
}

__attribute__((unused)) static bool world_read(struct world *w)
{
    hr_notes_init(&w->notes);
    if (hr_strs_create(&w->strs) != HR_OK)
        return false;
    hr_image_init(&w->img, w->strs, &w->notes);
    w->img.arch = hr_arch_by_name(arch_of(&w->m));
    w->img.word = (uint8_t)w->m.word;
    w->img.big = w->m.big;
    w->img.page = 4096;
    return add_parts(w) == HR_OK && hr_types_create(&w->img, &w->types) == HR_OK &&
           hr_heap_build(&w->img, w->types, &w->heap) == HR_OK;
}

static void world_forget(struct world *w)
{
    hr_heap_destroy(w->heap);
    hr_types_destroy(w->types);
    w->types = NULL;
    hr_image_deinit(&w->img);
    hr_notes_deinit(&w->notes);
    hr_strs_destroy(w->strs);
    w->heap = NULL;
    w->strs = NULL;
}

__attribute__((unused)) static void world_end(struct world *w)
{
    world_forget(w);
    mk_glibc_free(&w->m);
}

/* What holds of any heap, however damaged. */
__attribute__((unused)) static bool world_sane(const struct world *w)
{
    const struct hr_heap *h = w->heap;
    bool ok = true;
    for (uint32_t i = 0; i < h->arenas.n; i++) {
        const struct hr_arena *a = &h->arenas.v[i];
        ok &= a->used_bytes + a->cached_bytes + a->free_bytes + a->own_bytes + a->overhead_bytes == a->mapped &&
              a->overhead_bytes <= a->mapped && a->fast_bytes <= a->cached_bytes;
    }
    struct hr_block_iter it = hr_block_iter(h, 0);
    uint64_t last = 0;
    for (hr_id i = 0; i < h->n; i++) {
        uint64_t addr = hr_block_next(&it), into = 1;
        ok &= !i || addr > last;
        ok &= hr_heap_at(h, addr, &into) == i && !into;
        last = addr;
    }
    return ok;
}

#endif
