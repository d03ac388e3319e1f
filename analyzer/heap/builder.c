/* The builder: see builder.h. Regions are visited in pre-order (outer before inner, by address); an inner walk runs from
 * within the outer's hr_emit(), so the stack of walks is HR_MAX_NEST deep at most. */
#include "analyzer/heap/builder.h"

#include <stdlib.h>
#include <string.h>

#include "analyzer/base/fuel.h"
#include "analyzer/heap/where.h"

struct declared {
    struct hr_region r;
    hr_walk_fn *walk;
    void *self;
    uint64_t cookie;
    uint32_t order;     /* of declaration: settles equal extents */
    uint32_t stop;      /* first region after it that does not lie in it */
    uint8_t shift;
};
HR_VEC(declaredvec, struct declared)

struct frame {          /* a walk in progress */
    uint32_t region;
    uint64_t end;       /* of its last block */
    uint64_t limit;     /* of the region */
    uint32_t piece;     /* open piece, HR_NONE: the next block begins one */
};

struct hr_builder {
    const struct hr_image *img;
    struct hr_allocinfovec allocators;
    struct hr_u8vec shifts; /* per allocator */
    struct hr_arenavec arenas;
    struct declaredvec regions;
    struct hr_rangevec own, unknown;
    uint32_t next;      /* first region not yet visited or dropped */
    uint64_t next_addr; /* its address, UINT64_MAX none */
    struct frame stack[HR_MAX_NEST + 1];
    unsigned depth;
    struct hr_u32vec granule, size;
    struct hr_u8vec state;
    struct hr_map big;
    struct hr_u64vec big_size;
    struct hr_piecevec pieces;
    uint64_t dropped;
    bool running;
};

enum hr_status hr_builder_create(const struct hr_image *img, struct hr_builder **ret)
{
    struct hr_builder *b = hr_zalloc(1, sizeof *b);
    if (!b)
        return HR_NOMEM;
    b->img = img;
    b->allocators.max = b->shifts.max = UINT16_MAX;
    b->arenas.max = b->regions.max = HR_MAX_REGIONS;
    b->own.max = HR_MAX_REGIONS;
    b->unknown.max = HR_MAX_BLOCKS;
    b->granule.max = b->size.max = b->state.max = HR_MAX_BLOCKS;
    b->big_size.max = HR_MAX_BLOCKS;
    hr_map_init(&b->big, HR_MAX_BLOCKS);
    b->pieces.max = HR_MAX_PIECES;
    *ret = b;
    return HR_OK;
}

void hr_builder_destroy(struct hr_builder *b)
{
    if (!b)
        return;
    hr_allocinfovec_deinit(&b->allocators);
    hr_u8vec_deinit(&b->shifts);
    hr_arenavec_deinit(&b->arenas);
    declaredvec_deinit(&b->regions);
    hr_rangevec_deinit(&b->own);
    hr_rangevec_deinit(&b->unknown);
    hr_u32vec_deinit(&b->granule);
    hr_u32vec_deinit(&b->size);
    hr_u8vec_deinit(&b->state);
    hr_map_deinit(&b->big);
    hr_u64vec_deinit(&b->big_size);
    hr_piecevec_deinit(&b->pieces);
    hr_free(b);
}

enum hr_status hr_builder_allocator(struct hr_builder *b, const struct hr_allocator_info *info, uint8_t granule_shift,
                                    uint16_t *ret)
{
    HR_TRY(hr_u8vec_push(&b->shifts, granule_shift > 16 ? 16 : granule_shift));
    HR_TRY(hr_allocinfovec_push(&b->allocators, *info));
    *ret = (uint16_t)(b->allocators.n - 1);
    return HR_OK;
}

enum hr_status hr_builder_arena(struct hr_builder *b, const struct hr_arena *a, uint32_t *ret)
{
    if (a->allocator >= b->allocators.n)
        return HR_CORRUPT;
    HR_TRY(hr_arenavec_push(&b->arenas, *a));
    *ret = (uint32_t)(b->arenas.n - 1);
    return HR_OK;
}

struct hr_arena *hr_builder_arena_at(struct hr_builder *b, uint32_t arena) { return &b->arenas.v[arena]; }

enum hr_status hr_builder_region(struct hr_builder *b, uint64_t addr, uint64_t size, uint32_t arena, hr_walk_fn *walk,
                                 void *self, uint64_t cookie)
{
    uint64_t end;
    if (!size || !hr_add(addr, size, &end) || arena >= b->arenas.n || b->running)
        return HR_CORRUPT;
    struct declared d = {
        .r = {.addr = addr, .size = size, .arena = arena, .parent = HR_NONE, .host = HR_NONE},
        .walk = walk,
        .self = self,
        .cookie = cookie,
        .order = (uint32_t)b->regions.n,
        .shift = b->shifts.v[b->arenas.v[arena].allocator],
    };
    return declaredvec_push(&b->regions, d);
}

enum hr_status hr_builder_own(struct hr_builder *b, uint64_t addr, uint64_t size)
{
    uint64_t end;
    if (!size || !hr_add(addr, size, &end))
        return HR_CORRUPT;
    return hr_rangevec_push(&b->own, (struct hr_range){addr, size});
}

enum hr_status hr_builder_unknown(struct hr_builder *b, uint64_t addr, uint64_t size)
{
    uint64_t end;
    if (!size || !hr_add(addr, size, &end))
        return HR_CORRUPT;
    return hr_rangevec_push(&b->unknown, (struct hr_range){addr, size});
}

static int by_start(const void *a, const void *b)
{
    const struct hr_range *x = a, *y = b;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* ---- nesting ---- */

static int by_place(const void *a, const void *b)
{
    const struct declared *x = a, *y = b;
    if (x->r.addr != y->r.addr)
        return x->r.addr < y->r.addr ? -1 : 1;
    if (x->r.size != y->r.size)
        return x->r.size > y->r.size ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void note_dropped(struct hr_builder *b, const struct hr_region *r, const char *why)
{
    hr_note_at(b->img->notes, HR_NOTE_DAMAGE, "heap.region.dropped", r->addr,
               "%s region of %llu bytes at 0x%llx %s: its blocks are not listed",
               b->allocators.v[b->arenas.v[r->arena].allocator].name, (unsigned long long)r->size,
               (unsigned long long)r->addr, why);
}

/* Sorts, finds parents, removes what crosses, nests too deep, or lies in a region of the same allocator. */
static void settle(struct hr_builder *b)
{
    struct declared *v = b->regions.v;
    if (b->regions.n)
        qsort(v, b->regions.n, sizeof *v, by_place);
    uint32_t open[HR_MAX_NEST], nopen = 0; /* indices into v */
    size_t n = 0;
    for (size_t i = 0; i < b->regions.n; i++) {
        struct declared d = v[i];
        while (nopen && d.r.addr >= v[open[nopen - 1]].r.addr + v[open[nopen - 1]].r.size)
            v[open[--nopen]].stop = (uint32_t)n;
        if (nopen) {
            const struct declared *o = &v[open[nopen - 1]];
            const char *why = NULL;
            if (d.r.addr + d.r.size > o->r.addr + o->r.size)
                why = "crosses another region's end";
            else if (b->arenas.v[d.r.arena].allocator == b->arenas.v[o->r.arena].allocator)
                why = "overlaps another one of the same allocator";
            else if (nopen == HR_MAX_NEST)
                why = "is nested too deep";
            if (why) {
                note_dropped(b, &d.r, why);
                continue;
            }
            d.r.parent = open[nopen - 1];
        }
        v[n] = d;
        open[nopen++] = (uint32_t)n++;
    }
    while (nopen)
        v[open[--nopen]].stop = (uint32_t)n;
    b->regions.n = n;
}

/* ---- walking ---- */

static void advance(struct hr_builder *b, uint32_t next)
{
    b->next = next;
    b->next_addr = next < b->regions.n ? b->regions.v[next].r.addr : UINT64_MAX;
}

static void drop(struct hr_builder *b, uint32_t r, const char *why)
{
    uint32_t stop = b->regions.v[r].stop;
    for (uint32_t i = r; i < stop; i++) {
        note_dropped(b, &b->regions.v[i].r, why);
        b->regions.v[i].r.block0 = (hr_id)b->granule.n;
    }
    advance(b, stop);
}

static enum hr_status run_region(struct hr_builder *b, uint32_t r, hr_id host)
{
    struct declared *d = &b->regions.v[r];
    d->r.block0 = (hr_id)b->granule.n;
    d->r.host = host;
    b->arenas.v[d->r.arena].mapped += d->r.size;
    b->stack[b->depth++] = (struct frame){r, d->r.addr, d->r.addr + d->r.size, HR_NONE};
    advance(b, r + 1);
    enum hr_status st = d->walk(d->self, d->cookie, b);
    while (st != HR_NOMEM && b->next < d->stop) { /* inside, but in no block: still looked at, on its own */
        enum hr_status s = run_region(b, b->next, HR_NONE);
        st = s == HR_NOMEM || s == HR_LIMIT ? s : st;
    }
    b->depth--;
    d->r.nblocks = (hr_id)b->granule.n - d->r.block0;
    if (st != HR_OK && st != HR_NOMEM && st != HR_LIMIT) {
        b->arenas.v[d->r.arena].corrupt = true;
        return HR_OK;
    }
    return st;
}

/* sign: 1 adds, -1 takes away. */
static void count(struct hr_arena *a, uint64_t size, enum hr_state state, uint64_t sign)
{
    uint64_t bytes = size * sign;
    switch (state) {
    case HR_USED:
    case HR_HOST:
        a->used_blocks += sign;
        a->used_bytes += bytes;
        break;
    case HR_CACHED:
        a->cached_blocks += sign;
        a->cached_bytes += bytes;
        break;
    case HR_FREE:
        a->free_blocks += sign;
        a->free_bytes += bytes;
        a->largest_free = hr_max(a->largest_free, size);
        break;
    case HR_OWN:
        a->own_blocks += sign;
        a->own_bytes += bytes;
        break;
    }
}

/* Where the block goes: the frame's open piece, or a new one when there is none or its last start is far away. */
static enum hr_status place(struct hr_builder *b, struct frame *f, uint64_t addr, uint64_t size, uint32_t *granule_ret)
{
    uint8_t shift = b->regions.v[f->region].shift;
    if (f->piece != HR_NONE) {
        struct hr_piece *p = &b->pieces.v[f->piece];
        uint64_t g = (addr - p->addr) >> shift;
        if (g - p->last_start <= HR_PIECE_GAP && g < 1u << 31) {
            p->last_start = *granule_ret = (uint32_t)g;
            p->last = addr + size;
            return HR_OK;
        }
    }
    HR_TRY(hr_piecevec_push(&b->pieces, (struct hr_piece){.addr = addr, .last = addr + size, .region = f->region,
                                                          .block0 = (hr_id)b->granule.n, .shift = shift}));
    f->piece = (uint32_t)(b->pieces.n - 1);
    *granule_ret = 0;
    return HR_OK;
}

static enum hr_status append(struct hr_builder *b, struct frame *f, uint64_t addr, uint64_t size, enum hr_state state)
{
    uint32_t g, id = (uint32_t)b->granule.n;
    HR_TRY(place(b, f, addr, size, &g));
    uint32_t s = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    if (s == UINT32_MAX) {
        HR_TRY(hr_map_put(&b->big, id, (uint32_t)b->big_size.n));
        HR_TRY(hr_u64vec_push(&b->big_size, size));
    }
    HR_TRY(hr_u32vec_reserve(&b->size, b->size.n + 1));
    HR_TRY(hr_u8vec_reserve(&b->state, b->state.n + 1));
    HR_TRY(hr_u32vec_push(&b->granule, g));
    b->size.v[b->size.n++] = s;
    b->state.v[b->state.n++] = (uint8_t)state;
    f->end = addr + (size ? size : 1); /* no two blocks share a start */
    count(&b->arenas.v[b->regions.v[f->region].r.arena], size, state, 1);
    return HR_OK;
}

void hr_heap_relabel(struct hr_heap *h, hr_id id, enum hr_state state)
{
    struct hr_arena *a = &h->arenas.v[hr_block_arena(h, id)];
    count(a, hr_block_size(h, id), h->state[id], UINT64_MAX);
    count(a, hr_block_size(h, id), state, 1);
    h->state[id] = (uint8_t)state;
}

/* Regions that begin before addr and were in no block so far. */
static enum hr_status run_before(struct hr_builder *b, struct frame *f, uint64_t addr)
{
    uint32_t stop = b->regions.v[f->region].stop;
    while (b->next < stop && b->next_addr < addr) {
        const struct hr_region *r = &b->regions.v[b->next].r;
        if (r->addr + r->size > addr)
            drop(b, b->next, "crosses a block's start");
        else
            HR_TRY(run_region(b, b->next, HR_NONE));
        f->piece = HR_NONE;
    }
    return HR_OK;
}

/* The block just appended spans the start of nested regions. */
static enum hr_status run_inside(struct hr_builder *b, struct frame *f, uint64_t end, enum hr_state state)
{
    hr_id id = (hr_id)b->granule.n - 1;
    uint32_t stop = b->regions.v[f->region].stop;
    while (b->next < stop && b->next_addr < end) {
        const struct hr_region *r = &b->regions.v[b->next].r;
        if (r->addr + r->size > end) {
            drop(b, b->next, "crosses a block's end");
        } else if (state == HR_FREE || state == HR_CACHED) {
            drop(b, b->next, "lies in a block that was freed");
        } else {
            b->state.v[id] = HR_HOST;
            f->piece = HR_NONE;
            HR_TRY(run_region(b, b->next, id));
        }
    }
    return HR_OK;
}

enum hr_status hr_emit(struct hr_builder *b, uint64_t addr, uint64_t size, enum hr_state state)
{
    struct frame *f = &b->stack[b->depth - 1];
    uint64_t mask = (1ull << b->regions.v[f->region].shift) - 1;
    if (__builtin_expect(addr < f->end || addr > f->limit || size > f->limit - addr || addr & mask, 0)) {
        if (b->dropped++ < 4)
            hr_note_at(b->img->notes, HR_NOTE_DAMAGE, "heap.block.dropped", addr,
                       "block of %llu bytes at 0x%llx overlaps another, leaves its region or is misaligned: not listed",
                       (unsigned long long)size, (unsigned long long)addr);
        return HR_OK;
    }
    if (__builtin_expect(b->next_addr < addr, 0))
        HR_TRY(run_before(b, f, addr));
    HR_TRY(append(b, f, addr, size, state));
    if (__builtin_expect(b->next_addr < addr + size, 0))
        HR_TRY(run_inside(b, f, addr + size, state));
    return HR_OK;
}

enum hr_status hr_emit_unknown(struct hr_builder *b, uint64_t addr, uint64_t size)
{
    const struct frame *f = &b->stack[b->depth - 1];
    if (addr < f->end || addr > f->limit || !size)
        return HR_OK;
    size = hr_min(size, f->limit - addr);
    b->arenas.v[b->regions.v[f->region].r.arena].mapped -= size;
    return size ? hr_builder_unknown(b, addr, size) : HR_OK;
}

/* ---- the heap ---- */

static enum hr_status hand_over(struct hr_builder *b, struct hr_heap *h)
{
    h->n = (hr_id)b->granule.n;
    h->granule = b->granule.v, b->granule = (struct hr_u32vec){0};
    h->size = b->size.v, b->size = (struct hr_u32vec){0};
    h->state = b->state.v, b->state = (struct hr_u8vec){0};
    h->big = b->big, b->big = (struct hr_map){0};
    h->big_size = b->big_size, b->big_size = (struct hr_u64vec){0};
    h->pieces = b->pieces, b->pieces = (struct hr_piecevec){0};
    h->arenas = b->arenas, b->arenas = (struct hr_arenavec){0};
    h->allocators = b->allocators, b->allocators = (struct hr_allocinfovec){0};
    h->own = b->own, b->own = (struct hr_rangevec){0};
    if (h->own.n)
        qsort(h->own.v, h->own.n, sizeof *h->own.v, by_start);
    h->unknown = b->unknown, b->unknown = (struct hr_rangevec){0};
    if (h->unknown.n)
        qsort(h->unknown.v, h->unknown.n, sizeof *h->unknown.v, by_start);
    h->regions.max = HR_MAX_REGIONS;
    HR_TRY(hr_regionvec_reserve(&h->regions, b->regions.n));
    for (size_t i = 0; i < b->regions.n; i++)
        HR_TRY(hr_regionvec_push(&h->regions, b->regions.v[i].r));
    for (size_t i = 0; i < h->arenas.n; i++) {
        struct hr_arena *a = &h->arenas.v[i];
        a->overhead_bytes = a->mapped - a->used_bytes - a->cached_bytes - a->free_bytes - a->own_bytes;
    }
    return hr_where_build(h);
}

enum hr_status hr_builder_run(struct hr_builder *b, struct hr_heap **ret)
{
    settle(b);
    b->running = true;
    advance(b, 0);
    enum hr_status st = HR_OK;
    while (b->next < b->regions.n && st == HR_OK)
        st = run_region(b, b->next, HR_NONE);
    if (st == HR_LIMIT)
        hr_note(b->img->notes, HR_NOTE_DEGRADED, "heap.limit", "the heap has more blocks than can be listed");
    else if (st != HR_OK)
        return st;
    struct hr_heap *h = hr_zalloc(1, sizeof *h);
    if (!h)
        return HR_NOMEM;
    h->image = b->img;
    h->strs = b->img->strs;
    h->notes = b->img->notes;
    h->roots.max = HR_MAX_ROOTS;
    st = hand_over(b, h);
    if (st != HR_OK) {
        hr_heap_destroy(h);
        return st;
    }
    *ret = h;
    return HR_OK;
}
