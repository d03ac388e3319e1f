/* The marker's hot loop: words -> candidates -> blocks -> words.
 *
 * Each hop touches memory that is in no cache: the line of start bits, the block's byte of `reach`, the block's own bytes. So
 * each is only asked for (prefetch) and put into a ring; the work is done when the ring comes round. The stack is bounded; what
 * does not fit is a bit, found again by a sweep. Every sweep follows at least cap / 2 pushes and the stack is n / 16, so all
 * sweeps together read the bits at most 32 times. */
#include "analyzer/heap/marker.h"

#define INLINE static inline __attribute__((always_inline))

static void push(struct hr_marker *m, struct hr_mark_item it)
{
    if (m->nstack < m->cap) {
        m->stack[m->nstack++] = it;
    } else {
        hr_bits_set(&m->pending, it.id);
        m->overflow = true;
    }
}

/* A block whose bytes and length are found when it is scanned. */
static struct hr_mark_item look_up(hr_id id)
{
    return (struct hr_mark_item){(const uint8_t *)"", id, HR_MARK_LOOK};
}

void hr_mark_reach(struct hr_marker *m, hr_id id, bool start)
{
    if (m->h->reach[id] < HR_MARK_OPEN)
        return;
    if (m->starts_only && !start) {
        hr_bits_set(&m->weak, id);
        return;
    }
    m->h->reach[id] = m->class;
    push(m, look_up(id));
}

/* Not a start: into block `id`, or an outer one, or a tag, or nothing. */
static void resolve_inner(struct hr_marker *m, const struct hr_mark_cand *c, hr_id id)
{
    const struct hr_heap *h = m->h;
    const struct hr_piece *p = &h->pieces.v[c->piece];
    uint64_t into = c->addr - p->addr - ((uint64_t)h->granule[id] << p->shift);
    bool start = h->handle && into == h->handle[id];
    if (into > h->size[id] || h->size[id] == UINT32_MAX)
        id = hr_refs_target(&m->refs, c->addr, &start);
    if (id != HR_NONE)
        hr_mark_reach(m, id, start);
}

INLINE void settle(struct hr_marker *m, struct hr_mark_item it)
{
    uint8_t r = m->h->reach[it.id];
    if (r < HR_MARK_OPEN)
        return;
    m->h->reach[it.id] = m->class;
    it.words = r == HR_MARK_LOOK ? HR_MARK_LOOK : r - HR_MARK_OPEN;
    push(m, it);
}

INLINE void resolve(struct hr_marker *m, const struct hr_mark_cand *c)
{
    const struct hr_where_line *l = c->line;
    hr_id id = hr_where_rank((struct hr_where_at){l, c->bit}) - 1;
    if (__builtin_expect(!(c->may_start && l->bits[c->bit >> 6] >> (c->bit & 63) & 1), 0)) {
        if (m->special || m->h->reach[id] >= HR_MARK_OPEN) /* special: it may be past the end of id, in a host around it */
            resolve_inner(m, c, id);
        return;
    }
    __builtin_prefetch(&m->h->reach[id], 1);
    struct hr_mark_item *f = &m->found[m->nfound++ % HR_MARK_FOUND], old = *f;
    *f = (struct hr_mark_item){(const uint8_t *)(uintptr_t)(m->bias[c->piece] + c->addr), id, 0};
    if (old.p)
        settle(m, old);
}

static bool change_piece(struct hr_marker *m, uint64_t w)
{
    uint32_t i = hr_where_piece(m->h, w);
    if (i == HR_NONE)
        return false;
    const struct hr_piece *p = &m->h->pieces.v[i];
    m->piece = i;
    m->piece_addr = p->addr;
    m->piece_len = p->last - p->addr;
    m->piece_line = m->h->where.line + p->line0;
    m->piece_last = p->last_start;
    m->piece_shift = p->shift;
    return true;
}

INLINE void candidate(struct hr_marker *m, uint64_t w, bool plain)
{
    uint64_t off = w - m->piece_addr;
    if (__builtin_expect(off > m->piece_len, 0)) {
        if (!change_piece(m, w)) {
            if (!(w & m->refs.tag) || !change_piece(m, w & ~m->refs.tag))
                return;
            w &= ~m->refs.tag;
            plain = false;
        }
        off = w - m->piece_addr;
    }
    uint64_t g = off >> m->piece_shift;
    bool may_start = plain && g << m->piece_shift == off && g <= m->piece_last;
    if (g > m->piece_last)
        g = m->piece_last;
    const struct hr_where_line *line = m->piece_line + (uint32_t)g / HR_WHERE_BITS;
    __builtin_prefetch(line);
    struct hr_mark_cand *c = &m->cand[m->ncand++ % HR_MARK_CANDS], old = *c;
    *c = (struct hr_mark_cand){line, w, m->piece, (uint16_t)((uint32_t)g % HR_WHERE_BITS), may_start};
    if (old.line)
        resolve(m, &old);
}

static bool flush_rings(struct hr_marker *m)
{
    bool any = false;
    for (unsigned i = 0; i < HR_MARK_CANDS; i++) {
        struct hr_mark_cand *c = &m->cand[m->ncand++ % HR_MARK_CANDS], old = *c;
        if (!old.line)
            continue;
        c->line = NULL;
        resolve(m, &old);
        any = true;
    }
    for (unsigned i = 0; i < HR_MARK_FOUND; i++) {
        struct hr_mark_item *f = &m->found[m->nfound++ % HR_MARK_FOUND], old = *f;
        if (!old.p)
            continue;
        f->p = NULL;
        settle(m, old);
        any = true;
    }
    return any;
}

/* The same code twice: ranks are population counts, and the x86-64 baseline calls a library function for each. */
static void word_plain(void *marker, uint64_t word, bool plain) { candidate(marker, word, plain); }
#if defined(__x86_64__) && !defined(__POPCNT__)
#define POPCNT_TWICE __attribute__((target("popcnt")))
POPCNT_TWICE static void word_popcnt(void *marker, uint64_t word, bool plain) { candidate(marker, word, plain); }
hr_refs_fn *hr_mark_word_fn(void) { return __builtin_cpu_supports("popcnt") ? word_popcnt : word_plain; }
#else
hr_refs_fn *hr_mark_word_fn(void) { return word_plain; }
#endif

void hr_mark_edge(void *ctx, hr_id to, uint8_t surety)
{
    struct hr_marker *m = ctx;
    if (to < m->h->n && m->h->reach[to] == HR_MARK_CLOSED && surety == HR_SURE_EXACT) {
        m->h->reach[to] = m->class;
        push(m, look_up(to));
    } else if (to < m->h->n)
        hr_mark_reach(m, to, surety != HR_SURE_INTERIOR && surety != HR_SURE_NONE);
}

/* A reached block also reaches the host it lies in: the inner allocator holds that. False: an ordinary block. */
static bool scan_special(struct hr_marker *m, hr_id id)
{
    const struct hr_mark_options *o = m->opt;
    hr_id host = m->h->regions.v[hr_block_region(m->h, id)].host;
    if (host != HR_NONE)
        hr_mark_reach(m, host, true);
    if (o->claims && o->claims(o->ctx, id))
        o->edges(o->ctx, id, hr_mark_edge, m);
    else if (m->h->state[id] == HR_HOST)
        hr_refs_host(&m->refs, id, m->word, m);
    else
        return false;
    return true;
}

INLINE void scan(struct hr_marker *m, const struct hr_mark_item *it, unsigned word, bool big)
{
    if (m->special && scan_special(m, it->id))
        return;
    if (__builtin_expect(it->words == HR_MARK_LOOK, 0)) {
        hr_refs_block(&m->refs, hr_block_addr(m->h, it->id), hr_block_size(m->h, it->id), m->word, m);
        return;
    }
    uint64_t lo = m->h->lo, width = m->h->hi - lo + m->refs.tag;
    bool decode = m->refs.mask != 0;
    for (const uint8_t *p = it->p, *end = p + it->words * word; p < end; p += word) {
        uint64_t w = hr_word_load(p, word, big);
        if (w - lo <= width)
            candidate(m, w, true);
        else if (decode && hr_refs_decode(&m->refs, w) - lo <= width)
            candidate(m, hr_refs_decode(&m->refs, w), false);
    }
}

INLINE void drain(struct hr_marker *m, unsigned word, bool big)
{
    unsigned head = 0, tail = 0; /* blocks whose bytes are on the way */
    for (;;) {
        /* By halves, because a prefetch waits for its page table walk, and only walks asked for one after the other overlap:
         * 2.5*10^7 blocks in random order take 2.1 s so, 3.7 s with one block in for one out. */
        bool refill = head - tail <= HR_MARK_ITEMS / 2;
        while (refill && head - tail < HR_MARK_ITEMS && m->nstack) {
            struct hr_mark_item it = m->stack[--m->nstack];
            __builtin_prefetch(it.p);
            __builtin_prefetch(it.p + it.words * word - 1); /* most small blocks lie on two lines */
            for (unsigned k = 64; k < it.words * word && k < 512; k += 64)
                __builtin_prefetch(it.p + k); /* more than the processor fetches by itself in time; 256 and 1024 were slower */
            m->item[head++ % HR_MARK_ITEMS] = it;
        }
        if (head != tail)
            scan(m, &m->item[tail++ % HR_MARK_ITEMS], word, big);
        else if (!flush_rings(m))
            break;
    }
}

static void drain_plain(struct hr_marker *m)
{
#define DRAIN(W, B) drain(m, W, B)
    HR_SPECIALISE(m->h->image, DRAIN);
}
#ifdef POPCNT_TWICE
POPCNT_TWICE static void drain_popcnt(struct hr_marker *m) { HR_SPECIALISE(m->h->image, DRAIN); }
static void drain_best(struct hr_marker *m) { (m->word == word_popcnt ? drain_popcnt : drain_plain)(m); }
#else
static void drain_best(struct hr_marker *m) { drain_plain(m); }
#endif

/* Blocks that did not fit on the stack, in address order. */
static void sweep(struct hr_marker *m)
{
    m->overflow = false;
    for (uint64_t i = 0; i <= m->pending.nbits / 64; i++) {
        while (m->pending.w[i]) {
            hr_id id = (hr_id)(i * 64 + (unsigned)__builtin_ctzll(m->pending.w[i]));
            m->pending.w[i] &= m->pending.w[i] - 1;
            push(m, look_up(id));
            if (m->nstack > m->cap / 2)
                drain_best(m);
        }
    }
}

void hr_mark_drain(struct hr_marker *m)
{
    drain_best(m);
    while (m->overflow) {
        sweep(m);
        drain_best(m);
    }
}
