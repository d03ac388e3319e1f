/* Marking in phases. Each phase starts from its roots and runs to the end before the next, so a block gets the strongest class
 * that holds. Only phase 1 tells start references from others: it notes in `weak` what the others point at, which is where
 * phase 2 starts; nothing is scanned twice. */
#include <string.h>

#include "analyzer/heap/marker.h"

enum { STACK_MIN = 4096 }; /* blocks; more than n / 16 for small heaps, which then never overflow */

static bool can_be_reached(uint8_t state) { return state == HR_USED || state == HR_HOST; }

static enum hr_status init(struct hr_marker *m, struct hr_heap *h, const struct hr_mark_options *opt)
{
    *m = (struct hr_marker){.h = h, .opt = opt, .word = hr_mark_word_fn(), .piece_len = 0, .piece_addr = UINT64_MAX};
    HR_TRY(hr_refs_init(&m->refs, h, opt));
    HR_TRY(hr_bits_init(&m->seen, h->n));
    HR_TRY(hr_bits_init(&m->before, h->n));
    HR_TRY(hr_bits_init(&m->weak, h->n));
    HR_TRY(hr_bits_init(&m->pending, h->n));
    m->cap = hr_max(h->n / 16, STACK_MIN);
    m->stack = hr_alloc(m->cap * sizeof *m->stack);
    if (!h->reach)
        h->reach = hr_alloc(h->n);
    if (!m->stack || !h->reach)
        return HR_NOMEM;
    bool hosts = false;
    for (uint64_t i = 0; i < h->n; i += 64) {
        uint64_t not = 0;
        for (uint64_t k = i; k < hr_min(i + 64, h->n); k++) {
            not |= (uint64_t)!can_be_reached(h->state[k]) << (k & 63);
            hosts |= h->state[k] == HR_HOST;
        }
        m->seen.w[i / 64] = m->before.w[i / 64] = not;
    }
    for (size_t i = 0; i < h->pieces.n; i++)
        m->unaligned |= ((1u << h->pieces.v[i].shift) | h->pieces.v[i].addr) & m->refs.tag;
    m->special = hosts || m->unaligned || opt->claims;
    memset(h->reach, HR_REACH_UNKNOWN, h->n);
    return HR_OK;
}

static void deinit(struct hr_marker *m)
{
    hr_refs_deinit(&m->refs);
    hr_bits_deinit(&m->seen);
    hr_bits_deinit(&m->before);
    hr_bits_deinit(&m->weak);
    hr_bits_deinit(&m->pending);
    hr_free(m->stack);
}

/* Everything newly seen is of this class. */
static void end_phase(struct hr_marker *m, enum hr_reach class)
{
    hr_mark_drain(m);
    for (uint64_t i = 0; i * 64 < m->h->n; i++) {
        for (uint64_t fresh = m->seen.w[i] & ~m->before.w[i]; fresh; fresh &= fresh - 1)
            m->h->reach[i * 64 + (unsigned)__builtin_ctzll(fresh)] = (uint8_t)class;
        m->before.w[i] = m->seen.w[i];
    }
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

static void scan_roots(struct hr_marker *m, enum hr_reach class)
{
    const struct hr_heap *h = m->h;
    const struct hr_mark_options *o = m->opt;
    for (size_t i = 0; i < h->roots.n; i++) {
        const struct hr_root *r = &h->roots.v[i];
        if (class_of(r) != class)
            continue;
        bool start;
        hr_id id;
        if (o->claims && o->claims(o->ctx, h->n + (hr_id)i))
            o->edges(o->ctx, h->n + (hr_id)i, hr_mark_edge, m);
        else if (r->size)
            hr_refs_range(&m->refs, r->addr, r->size, m->word, m);
        else if ((id = hr_refs_target(&m->refs, r->addr, &start)) != HR_NONE)
            hr_mark_reach(m, id, start);
    }
}

static void scan_weak(struct hr_marker *m)
{
    for (uint64_t i = 0; i * 64 < m->h->n; i++) {
        for (uint64_t w = m->weak.w[i] & ~m->seen.w[i]; w; w &= w - 1)
            hr_mark_reach(m, (hr_id)(i * 64 + (unsigned)__builtin_ctzll(w)), false);
    }
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
        hr_refs_range(&m->refs, hr_block_addr(h, id) + links, hr_block_size(h, id) - links, m->word, m);
    }
}

static void rest(struct hr_marker *m, struct hr_heap *h)
{
    if (m->refs.absent && h->roots_complete) {
        h->roots_complete = false;
        hr_note(h->notes, HR_NOTE_DEGRADED, "reach.absent",
                "memory that may hold pointers is not in the image: what nothing else points at is not called leaked");
    }
    if (!h->roots_complete)
        return;
    for (uint64_t i = 0; i * 64 < h->n; i++) {
        uint64_t left = ~m->seen.w[i];
        if (h->n - i * 64 < 64)
            left &= (1ull << (h->n - i * 64)) - 1;
        for (; left; left &= left - 1)
            h->reach[i * 64 + (unsigned)__builtin_ctzll(left)] = HR_LEAKED_DIRECT;
    }
}

enum hr_status hr_mark(struct hr_heap *h, const struct hr_mark_options *opt)
{
    static const struct hr_mark_options none;
    struct hr_marker m;
    enum hr_status s = init(&m, h, opt ? opt : &none);
    if (s == HR_OK && h->n) {
        m.starts_only = true;
        scan_roots(&m, HR_REACHABLE);
        end_phase(&m, HR_REACHABLE);
        m.starts_only = false;
        scan_weak(&m);
        end_phase(&m, HR_REACH_INTERIOR);
        scan_roots(&m, HR_REACH_REGISTER);
        end_phase(&m, HR_REACH_REGISTER);
        scan_roots(&m, HR_REACH_DEAD_STACK);
        end_phase(&m, HR_REACH_DEAD_STACK);
        scan_cached(&m);
        end_phase(&m, HR_REACH_CACHED);
        rest(&m, h);
    }
    deinit(&m);
    return s;
}
