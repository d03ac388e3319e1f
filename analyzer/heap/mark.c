/* Marking in phases. Each phase starts from its roots and runs to the end before the next, so a block gets the strongest class
 * that holds. Only phase 1 tells start references from others: it notes in `weak` what the others point at, which is where
 * phase 2 starts; nothing is scanned twice. */
#include <string.h>

#include "analyzer/heap/marker.h"

enum { STACK_MIN = 4096 }; /* blocks; more than n / 16 for small heaps, which then never overflow */

/* Marks every block that can be reached as open. Pieces whose bytes are astride segments, partly absent or unaligned are
 * looked up block by block. */
static void open_blocks(struct hr_marker *m)
{
    struct hr_heap *h = m->h;
    unsigned word = h->image->word;
    for (size_t i = 0; i < h->pieces.n; i++) {
        const struct hr_piece *p = &h->pieces.v[i];
        hr_id end = i + 1 < h->pieces.n ? h->pieces.v[i + 1].block0 : h->n;
        uint64_t bytes = ((uint64_t)h->granule[end - 1] << p->shift) + hr_block_size(h, end - 1);
        struct hr_span s = hr_image_peek(h->image, p->addr, bytes);
        bool plain = s.n == bytes && !(((1u << p->shift) | p->addr) & m->refs.tag);
        m->bias[i] = (uintptr_t)(s.p ? s.p : (const uint8_t *)"") - p->addr; /* never makes a NULL */
        for (hr_id id = p->block0; id < end; id++) {
            uint8_t state = h->state[id];
            uint32_t words = h->size[id] / word;
            uint8_t open = plain && words < HR_MARK_LOOK - HR_MARK_OPEN ? (uint8_t)(HR_MARK_OPEN + words) : HR_MARK_LOOK;
            m->special |= state == HR_HOST;
            h->reach[id] = state == HR_USED || state == HR_HOST ? open : HR_REACH_UNKNOWN;
            if (h->closed.nbits && state == HR_USED && hr_bits_get(&h->closed, id))
                h->reach[id] = HR_MARK_CLOSED;
        }
    }
}

static enum hr_status init(struct hr_marker *m, struct hr_heap *h, const struct hr_mark_options *opt)
{
    *m = (struct hr_marker){.h = h, .opt = opt, .word = hr_mark_word_fn(), .piece_addr = UINT64_MAX, .special = opt->claims};
    hr_refs_init(&m->refs, h, opt);
    HR_TRY(hr_bits_init(&m->weak, h->n));
    HR_TRY(hr_bits_init(&m->pending, h->n));
    m->cap = hr_max(h->n / 16, STACK_MIN);
    m->stack = hr_alloc(m->cap * sizeof *m->stack);
    m->bias = hr_alloc(h->pieces.n * sizeof *m->bias);
    if (!h->reach)
        h->reach = hr_alloc(h->n);
    if (!m->stack || !m->bias || !h->reach)
        return HR_NOMEM;
    open_blocks(m);
    return HR_OK;
}

static void deinit(struct hr_marker *m)
{
    hr_bits_deinit(&m->weak);
    hr_bits_deinit(&m->pending);
    hr_free(m->stack);
    hr_free(m->bias);
}

/* The phase a root belongs to, as the class of what it reaches. */
static enum hr_reach class_of(const struct hr_root *r)
{
    if (r->weak)
        return HR_REACH_UNKNOWN;
    switch (r->kind) {
    case HR_ROOT_REGISTER:
        return HR_REACH_REGISTER;
    case HR_ROOT_DEAD_STACK:
        return HR_REACH_DEAD_STACK;
    default:
        return HR_REACHABLE;
    }
}

static void scan_roots(struct hr_marker *m)
{
    const struct hr_heap *h = m->h;
    const struct hr_mark_options *o = m->opt;
    for (size_t i = 0; i < h->roots.n; i++) {
        const struct hr_root *r = &h->roots.v[i];
        if (class_of(r) != m->class)
            continue;
        bool start;
        hr_id id;
        if (o->claims && o->claims(o->ctx, h->n + (hr_id)i))
            o->edges(o->ctx, h->n + (hr_id)i, hr_mark_edge, m);
        else if (r->size)
            hr_refs_range(&m->refs, r->addr, r->size, m->word, m);
        else if ((id = hr_refs_target(&m->refs, r->addr, &start)) != HR_NONE && r->kind == HR_ROOT_HANDLE && start)
            hr_mark_edge(m, id, HR_SURE_EXACT);
        else if (id != HR_NONE)
            hr_mark_reach(m, id, start);
    }
}

static void scan_weak(struct hr_marker *m)
{
    for (uint64_t i = hr_bits_next(&m->weak, 0); i != UINT64_MAX; i = hr_bits_next(&m->weak, i + 1))
        hr_mark_reach(m, (hr_id)i, false);
}

/* Bytes of blocks given back, which the allocator keeps as if in use; but not its own links in them: a mangled one looks like
 * an address of anything in the same heap. */
static void scan_cached(struct hr_marker *m)
{
    const struct hr_heap *h = m->h;
    for (hr_id id = 0; id < h->n; id++) {
        const uint8_t *next = memchr(h->state + id, HR_CACHED, h->n - id);
        if (!next)
            return;
        id = (hr_id)(next - h->state);
        uint32_t allocator = h->arenas.v[hr_block_arena(h, id)].allocator;
        uint64_t links = allocator < h->allocators.n ? h->allocators.v[allocator].cached_links : 0;
        links = hr_min(links, hr_block_size(h, id));
        hr_refs_block(&m->refs, hr_block_addr(h, id) + links, hr_block_size(h, id) - links, m->word, m);
    }
}

static void rest(struct hr_marker *m)
{
    struct hr_heap *h = m->h;
    if (m->refs.absent && h->roots_complete) {
        h->roots_complete = false;
        hr_note(h->notes, HR_NOTE_DEGRADED, "reach.absent",
                "memory that may hold pointers is not in the image: what nothing else points at is not called leaked");
    }
    uint8_t left = h->roots_complete ? HR_LEAKED_DIRECT : HR_REACH_UNKNOWN;
    for (hr_id id = 0; id < h->n; id++)
        h->reach[id] = h->reach[id] >= HR_MARK_CLOSED ? left : h->reach[id];
}

enum hr_status hr_mark(struct hr_heap *h, const struct hr_mark_options *opt)
{
    static const struct hr_mark_options none;
    struct hr_marker m;
    enum hr_status s = init(&m, h, opt ? opt : &none);
    for (m.class = HR_REACHABLE; s == HR_OK && h->n && m.class <= HR_REACH_CACHED; m.class++) {
        m.starts_only = m.class == HR_REACHABLE;
        if (m.class == HR_REACH_INTERIOR)
            scan_weak(&m);
        else if (m.class == HR_REACH_CACHED)
            scan_cached(&m);
        else
            scan_roots(&m);
        hr_mark_drain(&m);
    }
    if (s == HR_OK)
        rest(&m);
    deinit(&m);
    return s;
}
