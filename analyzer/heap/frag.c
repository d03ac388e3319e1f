#include "analyzer/heap/frag.h"

#include <stdlib.h>

/* The run that is open in one region; nested regions interleave with their parent, so each has its own. */
struct open_run {
    uint64_t start, last_end, free_before;
    uint32_t blocks;
    hr_id before;
};

struct work {
    const struct hr_heap *h;
    struct hr_frag *f;
    struct open_run *open;     /* per region */
    struct hr_map pin_index;   /* hash(arena, type/size) -> pins index */
    struct hr_map class_index; /* hash(arena, size) -> classes index */
    uint64_t page;
    uint64_t smallest_kept;
};

/* Keeps the HR_MAX_RUNS largest: a full list is halved by dropping the smaller half. */
static int by_size_desc(const void *a, const void *b)
{
    const struct hr_run *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static enum hr_status keep_run(struct work *w, struct hr_run r)
{
    if (r.size < w->smallest_kept)
        return HR_OK;
    struct hr_runvec *v = &w->f->runs;
    if (v->n == v->max) {
        qsort(v->v, v->n, sizeof *v->v, by_size_desc);
        v->n /= 2;
        w->smallest_kept = v->v[v->n - 1].size;
    }
    return hr_runvec_push(v, r);
}

static enum hr_status count_pin(struct work *w, uint32_t arena, hr_id pin, uint64_t run_bytes)
{
    const struct hr_heap *h = w->h;
    hr_type type = h->type ? h->type[pin] : 0;
    uint64_t size = type ? 0 : hr_block_size(h, pin);
    uint64_t key = hr_mix(hr_mix(arena * 0x9e3779b97f4a7c15ull ^ type) + size);
    uint32_t *slot;
    bool was;
    enum hr_status st = hr_map_slot(&w->pin_index, key, (uint32_t)w->f->pins.n, &slot, &was);
    if (st == HR_LIMIT)
        return HR_OK; /* beyond the bound only the sums are kept */
    HR_TRY(st);
    if (!was)
        HR_TRY(hr_pinvec_push(&w->f->pins, (struct hr_pin){.arena = arena, .type = type, .size = size, .example = pin}));
    struct hr_pin *p = &w->f->pins.v[*slot];
    p->count++;
    p->bytes += run_bytes;
    return HR_OK;
}

/* That the allocator could give back to the system: 0 where it never does. */
static uint64_t whole_pages(const struct work *w, uint32_t arena, uint64_t from, uint64_t to)
{
    if (!w->h->allocators.v[w->h->arenas.v[arena].allocator].gives_back)
        return 0;
    uint64_t a = (from + w->page - 1) / w->page * w->page, b = to / w->page * w->page;
    return b > a ? b - a : 0;
}

static enum hr_status close_run(struct work *w, uint32_t region, uint64_t end, hr_id after)
{
    struct open_run *o = &w->open[region];
    if (!o->blocks)
        return HR_OK;
    uint32_t arena = w->h->regions.v[region].arena;
    struct hr_frag_arena *a = &w->f->arenas.v[arena];
    uint64_t middle = w->h->arenas.v[arena].middle;
    bool gap = after != HR_NONE && o->start < middle && middle <= end;
    struct hr_run r = {.addr = o->start, .size = end - o->start, .arena = arena, .blocks = o->blocks,
                       .before = o->before, .after = after, .top = after == HR_NONE || gap};
    if (gap) {
        a->gap_bytes += r.size;
    } else if (r.top) {
        a->top_bytes += r.size;
        a->releasable += whole_pages(w, arena, o->start, end);
        a->top_pin = o->before;
        a->below_pin += o->free_before;
    } else {
        a->free_runs++;
        a->run_bytes += r.size;
        a->whole_pages += whole_pages(w, arena, o->start, end);
        if (r.size > a->largest_run)
            a->largest_run = r.size;
        o->free_before += r.size;
        HR_TRY(count_pin(w, arena, after, r.size));
    }
    o->blocks = 0;
    return keep_run(w, r);
}

static enum hr_status count_class(struct work *w, uint32_t arena, uint64_t size, uint8_t state)
{
    uint32_t *slot;
    bool was;
    uint64_t key = hr_mix(size * 0x9e3779b97f4a7c15ull + arena);
    enum hr_status st = hr_map_slot(&w->class_index, key, (uint32_t)w->f->classes.n, &slot, &was);
    if (st == HR_LIMIT)
        return HR_OK;
    HR_TRY(st);
    if (!was)
        HR_TRY(hr_classvec_push(&w->f->classes, (struct hr_size_class){.arena = arena, .size = size}));
    struct hr_size_class *c = &w->f->classes.v[*slot];
    c->used += state == HR_USED || state == HR_HOST;
    c->cached += state == HR_CACHED;
    c->free += state == HR_FREE;
    return HR_OK;
}

static enum hr_status walk(struct work *w)
{
    const struct hr_heap *h = w->h;
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it), size = hr_block_size(h, id);
        uint32_t region = it.region;
        struct open_run *o = &w->open[region];
        uint8_t state = h->state[id];
        if (state != HR_OWN)
            HR_TRY(count_class(w, h->regions.v[region].arena, size, state));
        if (state == HR_FREE || state == HR_CACHED) {
            if (!o->blocks)
                o->start = addr;
            o->blocks++;
        } else {
            HR_TRY(close_run(w, region, addr, id));
            o->before = id;
        }
        o->last_end = addr + size;
    }
    for (uint32_t i = 0; i < h->regions.n; i++)
        HR_TRY(close_run(w, i, h->regions.v[i].addr + h->regions.v[i].size, HR_NONE));
    return HR_OK;
}

static int by_arena_bytes(const void *a, const void *b)
{
    const struct hr_pin *x = a, *y = b;
    if (x->arena != y->arena)
        return x->arena < y->arena ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->example < y->example ? -1 : x->example > y->example;
}

static int by_arena_size(const void *a, const void *b)
{
    const struct hr_size_class *x = a, *y = b;
    if (x->arena != y->arena)
        return x->arena < y->arena ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* The example of a group is the pin behind its largest kept run. */
static void choose_examples(struct work *w)
{
    for (size_t i = w->f->runs.n; i-- > 0;) {
        const struct hr_run *r = &w->f->runs.v[i];
        if (r->after == HR_NONE)
            continue;
        hr_type type = w->h->type ? w->h->type[r->after] : 0;
        uint64_t size = type ? 0 : hr_block_size(w->h, r->after);
        uint32_t at = hr_map_get(&w->pin_index, hr_mix(hr_mix(r->arena * 0x9e3779b97f4a7c15ull ^ type) + size));
        if (at != HR_NONE)
            w->f->pins.v[at].example = r->after;
    }
}

static void finish(struct work *w)
{
    struct hr_frag *f = w->f;
    if (f->runs.n)
        qsort(f->runs.v, f->runs.n, sizeof *f->runs.v, by_size_desc);
    choose_examples(w);
    if (f->pins.n)
        qsort(f->pins.v, f->pins.n, sizeof *f->pins.v, by_arena_bytes);
    if (f->classes.n)
        qsort(f->classes.v, f->classes.n, sizeof *f->classes.v, by_arena_size);
    for (uint32_t i = 0; i < f->pins.n; i++) {
        struct hr_frag_arena *a = &f->arenas.v[f->pins.v[i].arena];
        if (!a->npins++)
            a->pin0 = i;
    }
}

enum hr_status hr_frag_create(const struct hr_heap *h, uint64_t page, struct hr_frag **ret)
{
    struct hr_frag *f = hr_zalloc(1, sizeof *f);
    if (!f)
        return HR_NOMEM;
    struct work w = {.h = h, .f = f, .page = page ? page : 4096};
    f->runs.max = HR_MAX_RUNS;
    f->pins.max = f->classes.max = HR_MAX_PIN_GROUPS;
    f->arenas.max = h->arenas.n + 1;
    hr_map_init(&w.pin_index, HR_MAX_PIN_GROUPS);
    hr_map_init(&w.class_index, HR_MAX_PIN_GROUPS);
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < h->arenas.n && st == HR_OK; i++)
        st = hr_fragarenavec_push(&f->arenas, (struct hr_frag_arena){.top_pin = HR_NONE});
    w.open = hr_zalloc(h->regions.n, sizeof *w.open);
    if (!w.open)
        st = HR_NOMEM;
    for (size_t i = 0; st == HR_OK && i < h->regions.n; i++)
        w.open[i].before = HR_NONE;
    if (st == HR_OK)
        st = walk(&w);
    if (st == HR_OK)
        finish(&w);
    hr_free(w.open);
    hr_map_deinit(&w.pin_index);
    hr_map_deinit(&w.class_index);
    if (st != HR_OK)
        hr_frag_destroy(f);
    else
        *ret = f;
    return st;
}

void hr_frag_destroy(struct hr_frag *f)
{
    if (!f)
        return;
    hr_runvec_deinit(&f->runs);
    hr_pinvec_deinit(&f->pins);
    hr_fragarenavec_deinit(&f->arenas);
    hr_classvec_deinit(&f->classes);
    hr_free(f);
}
