/* glibc's malloc (ptmalloc), 2.23 to 2.42. */
#include "analyzer/allocators/glibc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *code, *says;
} damages[] = {
    [GLIBC_BAD_TOP] = {"heap.corrupt.top-size", "malloc(): corrupted top size"},
    [GLIBC_BAD_SIZE] = {"heap.corrupt.size", "free(): invalid size"},
    [GLIBC_BAD_NEXT_FAST] = {"heap.corrupt.next-size-fast", "free(): invalid next size (fast)"},
    [GLIBC_BAD_NEXT] = {"heap.corrupt.next-size", "free(): invalid next size (normal)"},
    [GLIBC_BAD_PREV_SIZE] = {"heap.corrupt.prev-size", "corrupted size vs. prev_size"},
    [GLIBC_BAD_LINK] = {"heap.corrupt.double-linked-list", "corrupted double-linked list"},
    [GLIBC_BAD_UNSORTED] = {"heap.corrupt.unsorted-list", "malloc(): unsorted double linked list corrupted"},
    [GLIBC_BAD_SMALL] = {"heap.corrupt.smallbin-list", "malloc(): smallbin double linked list corrupted"},
    [GLIBC_BAD_BIN_SIZE] = {"heap.corrupt.bin-size", "free(): chunks in smallbin corrupted"},
    [GLIBC_BAD_BIN_INUSE] = {"heap.corrupt.bin-in-use", "double free or corruption (!prev)"},
    [GLIBC_BAD_FAST_ALIGN] = {"heap.corrupt.fastbin-unaligned", "malloc(): unaligned fastbin chunk detected"},
    [GLIBC_BAD_FAST] = {"heap.corrupt.fastbin", "malloc(): memory corruption (fast)"},
    [GLIBC_BAD_FAST_TWICE] = {"heap.corrupt.fastbin-double-free", "double free or corruption (fasttop)"},
    [GLIBC_BAD_TCACHE_ALIGN] = {"heap.corrupt.tcache-unaligned", "malloc(): unaligned tcache chunk detected"},
    [GLIBC_BAD_TCACHE] = {"heap.corrupt.tcache", "free(): unaligned chunk detected in tcache 2"},
    [GLIBC_BAD_TCACHE_TWICE] = {"heap.corrupt.tcache-double-free", "free(): double free detected in tcache 2"},
    [GLIBC_BAD_TCACHE_MANY] = {"heap.corrupt.tcache-count", "free(): too many chunks detected in tcache"},
    [GLIBC_BAD_ARENA] = {"heap.corrupt.arena", "the arena contradicts itself"},
};

void hr_glibc_damage(const struct glibc *g, enum glibc_damage d, uint64_t addr, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    hr_note_at(g->notes, HR_NOTE_DAMAGE, damages[d].code, addr, "%s: %s", damages[d].says, text);
}

/* ---- open ---- */

static enum hr_status add_row(struct glibc *g, uint64_t addr, uint64_t system, uint32_t *row, const char *fmt, ...)
    HR_PRINTF(5, 6);
static enum hr_status add_row(struct glibc *g, uint64_t addr, uint64_t system, uint32_t *row, const char *fmt, ...)
{
    char name[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    struct hr_arena a = {.allocator = g->allocator, .addr = addr, .system_bytes = system};
    HR_TRY(hr_strs_addz(g->img->strs, name, &a.name));
    return hr_builder_arena(g->builder, &a, row);
}

static enum hr_status declare_rows(struct glibc *g)
{
    /* Of a block in a tcache: next and key; in a fastbin: fd (and what a tcache left as key). */
    uint8_t links = (uint8_t)(2 * g->img->word);
    struct hr_allocator_info info = {.name = "glibc", .gives_back = true, .cached_links = links, .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    snprintf(info.version, sizeof info.version, "%s", g->version);
    snprintf(info.evidence, sizeof info.evidence, "%s; version by %s%s", g->found_by, g->layout_by,
             g->mp.addr ? "; mp_ found" : "; mp_ not found");
    unsigned shift = (unsigned)__builtin_ctz(g->l.align);
    HR_TRY(hr_builder_allocator(g->builder, &info, (uint8_t)shift, &g->allocator));
    for (size_t i = 0; i < g->arenas.n; i++) {
        struct glibc_arena *a = &g->arenas.v[i];
        if (a->main)
            HR_TRY(add_row(g, a->addr, a->system, &a->row, a->addr ? "main" : "main (its header is not in the image)"));
        else
            HR_TRY(add_row(g, a->addr, a->system, &a->row, "arena %zu (0x%llx)", i, (unsigned long long)a->addr));
    }
    return add_row(g, 0, g->mp.addr ? g->mp.mmapped_mem : 0, &g->mmapped_row, "mmapped");
}

static enum hr_status declare_regions(struct glibc *g)
{
    for (size_t i = 0; i < g->regions.n; i++) {
        const struct glibc_region *r = &g->regions.v[i];
        bool mm = r->kind == GLIBC_MMAPPED;
        HR_TRY(hr_builder_region(g->builder, r->addr, r->end - r->addr, mm ? g->mmapped_row : g->arenas.v[r->arena].row,
                                 mm ? hr_glibc_walk_mmapped : hr_glibc_walk, g, i));
    }
    if (g->arenas.v[0].addr)
        HR_TRY(hr_builder_own(g->builder, g->arenas.v[0].addr, g->l.state_size));
    return g->mp.addr ? hr_builder_own(g->builder, g->mp.addr, g->l.mp_size) : HR_OK;
}

static enum hr_status discover(struct glibc *g)
{
    enum hr_status st = hr_glibc_find(g);
    HR_TRY(st == HR_ABSENT ? hr_glibc_orphans(g) : st == HR_OK ? hr_glibc_arenas(g) : st);
    HR_TRY(declare_rows(g));
    HR_TRY(hr_glibc_regions(g));
    HR_TRY(hr_glibc_mmapped(g));
    return declare_regions(g);
}

static void glibc_close(void *self)
{
    struct glibc *g = self;
    if (!g)
        return;
    glibc_arenavec_deinit(&g->arenas);
    glibc_regionvec_deinit(&g->regions);
    hr_bits_deinit(&g->tried);
    hr_map_deinit(&g->seen);
    hr_free(g);
}

static enum hr_status glibc_open(struct hr_allocator_in *in, void **self_ret)
{
    struct glibc *g = hr_zalloc(1, sizeof *g);
    if (!g)
        return HR_NOMEM;
    g->img = in->image;
    g->types = in->types;
    g->builder = in->builder;
    g->notes = in->notes;
    g->page = in->image->page && !(in->image->page & (in->image->page - 1)) ? hr_max(in->image->page, 4096) : 4096;
    g->tried_region = HR_NONE;
    hr_map_init(&g->seen, HR_MAX_REGIONS);
    enum hr_status st = discover(g);
    if (st != HR_OK) {
        glibc_close(g);
        return st;
    }
    *self_ret = g;
    return HR_OK;
}

static enum hr_status glibc_finish(void *self, struct hr_heap *h)
{
    struct glibc *g = self;
    HR_TRY(hr_glibc_check_bins(g, h));
    hr_glibc_vote_links(g, h);
    HR_TRY(hr_glibc_fastbins(g, h));
    return hr_glibc_tcaches(g, h);
}

const struct hr_allocator hr_allocator_glibc = {"glibc", glibc_open, glibc_close, glibc_finish};

/* ---- as mallinfo2 counts ---- */

void hr_glibc_mallinfo(const struct hr_heap *h, uint32_t arena, struct hr_mallinfo *ret)
{
    const struct hr_arena *a = &h->arenas.v[arena];
    uint64_t w = h->image->word;
    *ret = (struct hr_mallinfo){0};
    if (!a->addr && !strcmp(hr_strs_get(h->strs, a->name), "mmapped")) {
        ret->hblks = a->used_blocks;
        ret->hblkhd = a->mapped;
        return;
    }
    bool top = a->top_bytes != 0;
    ret->arena = a->system_bytes ? a->system_bytes : a->mapped;
    ret->ordblks = a->free_blocks + !top; /* top always counts */
    ret->smblks = a->fast_blocks;
    ret->fsmblks = a->fast_bytes + w * a->fast_blocks;
    ret->keepcost = top ? a->top_bytes + 2 * w : 0;
    ret->fordblks = a->free_bytes + w * a->free_blocks + (top ? w : 0) + ret->fsmblks;
    ret->uordblks = ret->arena - ret->fordblks;
}
