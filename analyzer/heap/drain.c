/* The marker's hot loop: words -> candidates -> blocks -> words.
 *
 * Each hop touches memory that is in no cache: the line of start bits, then the block's bytes. So both are only asked for
 * (prefetch) and put into a ring; the work is done when the ring comes round. Measured on 2.5*10^7 blocks of 24-32 bytes:
 * see tests/bench/bench_mark.c. The stack is bounded; what does not fit is a bit, found again by a sweep. Every sweep follows at
 * least cap / 2 pushes and the stack is n / 16, so all sweeps together read the bits at most 32 times. */
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

/* The bytes of a block if they lie together and need no second look. */
static struct hr_mark_item item_of(const struct hr_marker *m, hr_id id, uint32_t piece)
{
    const struct hr_piece *p = &m->h->pieces.v[piece];
    uint64_t off = (uint64_t)m->h->granule[id] << p->shift;
    const struct hr_span *s = &m->refs.bytes[piece];
    return (struct hr_mark_item){off < s->n ? s->p + off : NULL, id, piece};
}

void hr_mark_reach(struct hr_marker *m, hr_id id, bool start)
{
    if (m->starts_only && !start) {
        if (!hr_bits_get(&m->seen, id))
            hr_bits_set(&m->weak, id);
    } else if (hr_bits_claim(&m->seen, id)) {
        push(m, item_of(m, id, hr_block_piece(m->h, id)));
    }
}

/* Not a start: into block `id`, or an outer one, or a tag or nothing. */
static void resolve_inner(struct hr_marker *m, const struct hr_mark_cand *c, hr_id id)
{
    const struct hr_heap *h = m->h;
    const struct hr_piece *p = &h->pieces.v[c->piece];
    uint64_t into = c->addr - p->addr - ((uint64_t)h->granule[id] << p->shift);
    if (into <= h->size[id] && h->size[id] != UINT32_MAX) {
        if (m->starts_only)
            hr_bits_set(&m->weak, id);
        else if (hr_bits_claim(&m->seen, id))
            push(m, item_of(m, id, c->piece));
        return;
    }
    bool start;
    id = hr_refs_target(&m->refs, c->addr, &start);
    if (id != HR_NONE)
        hr_mark_reach(m, id, false);
}

INLINE void resolve(struct hr_marker *m, const struct hr_mark_cand *c)
{
    const struct hr_where_line *l = c->line;
    hr_id id = hr_where_rank((struct hr_where_at){l, c->bit}) - 1;
    bool seen = hr_bits_get(&m->seen, id);
    if (__builtin_expect(c->may_start && l->bits[c->bit >> 6] >> (c->bit & 63) & 1, 1)) {
        if (seen)
            return;
        hr_bits_set(&m->seen, id);
        uint64_t off = c->addr - m->h->pieces.v[c->piece].addr;
        const struct hr_span *s = &m->refs.bytes[c->piece];
        push(m, (struct hr_mark_item){off < s->n ? s->p + off : NULL, id, c->piece});
    } else if (!seen || m->special) {
        resolve_inner(m, c, id); /* special: even if id is seen, the word may be past its end, in a host around it */
    }
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

static bool flush_candidates(struct hr_marker *m)
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

static void scan_range(struct hr_marker *m, hr_id id)
{
    hr_refs_range(&m->refs, hr_block_addr(m->h, id), hr_block_size(m->h, id), m->word, m);
}

void hr_mark_edge(void *ctx, hr_id to, uint8_t surety)
{
    struct hr_marker *m = ctx;
    if (to < m->h->n)
        hr_mark_reach(m, to, surety != HR_SURE_INTERIOR && surety != HR_SURE_NONE);
}

/* Blocks whose words are not simply read one after the other. A reached block also reaches the host it lies in: the inner
 * allocator holds that. */
static bool scan_special(struct hr_marker *m, const struct hr_mark_item *it)
{
    const struct hr_mark_options *o = m->opt;
    hr_id host = m->h->regions.v[m->h->pieces.v[it->piece].region].host;
    if (host != HR_NONE)
        hr_mark_reach(m, host, true);
    if (o->claims && o->claims(o->ctx, it->id))
        o->edges(o->ctx, it->id, hr_mark_edge, m);
    else if (m->h->state[it->id] == HR_HOST)
        hr_refs_host(&m->refs, it->id, m->word, m);
    else if (m->unaligned)
        scan_range(m, it->id);
    else
        return false;
    return true;
}

INLINE void scan(struct hr_marker *m, const struct hr_mark_item *it, unsigned word, bool big)
{
    if (m->special && scan_special(m, it))
        return;
    uint64_t size = m->h->size[it->id];
    const struct hr_span *s = &m->refs.bytes[it->piece];
    if (__builtin_expect(!it->p || size == UINT32_MAX || size > s->n - (size_t)(it->p - s->p), 0)) {
        scan_range(m, it->id);
        return;
    }
    uint64_t lo = m->h->lo, width = m->h->hi - lo + m->refs.tag;
    bool decode = m->refs.mask != 0;
    for (const uint8_t *p = it->p, *end = p + size / word * word; p < end; p += word) {
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
        while (head - tail < HR_MARK_ITEMS && m->nstack) {
            struct hr_mark_item it = m->stack[--m->nstack];
            __builtin_prefetch(it.p);
            __builtin_prefetch(&m->h->size[it.id]);
            m->item[head++ % HR_MARK_ITEMS] = it;
        }
        if (head != tail)
            scan(m, &m->item[tail++ % HR_MARK_ITEMS], word, big);
        else if (!flush_candidates(m))
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
            push(m, item_of(m, id, hr_block_piece(m->h, id)));
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
