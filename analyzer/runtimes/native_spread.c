/* Votes, the work list, and the rounds of classify. */
#include "analyzer/runtimes/native_spread.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_ELEMENTS = 4 << 20, /* array elements followed before their array is known: a bound on memory, the rest waits */
    ROUNDS = 24,      /* decide-and-follow rounds per level; each decides at least one block or is the last */
    LEVELS = 4,
};

/* ---- reading ---- */

bool hr_rd_slow(struct hr_spread *s, uint64_t addr, uint64_t *ret)
{
    unsigned w = s->n->img->word;
    const struct hr_segment *g = hr_image_find(s->n->img, addr, NULL);
    if (g && g->bytes.n >= w && addr - g->addr <= g->bytes.n - w) {
        s->seg = g->bytes.p;
        s->seg_lo = g->addr;
        s->seg_n = g->bytes.n - w + 1;
        return hr_rd(s, addr, ret);
    }
    return hr_image_word(s->n->img, addr, ret); /* across a seam, or absent */
}

/* ---- candidates ---- */

static struct hr_cand *cand(struct hr_spread *s, hr_id id, unsigned slot)
{
    struct hr_cand *v;
    unsigned n = hr_cands(s, id, &v);
    return &v[slot < n ? slot : 0];
}

/* Makes room for several. */
static bool widen(struct hr_spread *s, hr_id id)
{
    if (s->cand[id].type == HR_CAND_MORE)
        return true;
    size_t at = s->more.n;
    if (hr_candvec_reserve(&s->more, at + HR_CANDS) != HR_OK) {
        s->failed = true;
        return false;
    }
    s->more.n += HR_CANDS;
    s->more.v[at] = s->cand[id];
    for (size_t i = 1; i < HR_CANDS; i++)
        s->more.v[at + i] = (struct hr_cand){0};
    s->cand[id] = (struct hr_cand){.type = HR_CAND_MORE, .off = (uint32_t)(at / HR_CANDS)};
    return true;
}

static void touch(struct hr_spread *s, hr_id id)
{
    hr_bits_set(&s->dirty, id);
    s->tried[id] = 0;
}

static void enqueue(struct hr_spread *s, hr_id id, unsigned slot)
{
    struct hr_cand *c = cand(s, id, slot);
    c->flags |= HR_CAND_SPREAD;
    if (hr_u64vec_push(&s->queue, (uint64_t)id << 8 | slot) != HR_OK)
        s->failed = true;
}

/* One more vote for a candidate that is there. */
static void again(struct hr_spread *s, hr_id id, unsigned slot, uint8_t strength)
{
    struct hr_cand *c = cand(s, id, slot);
    c->votes += c->votes < UINT16_MAX;
    if (strength <= c->strength)
        return;
    c->strength = strength;
    touch(s, id);
    if (strength >= HR_VOTE_LOCAL)
        enqueue(s, id, slot);
}

/* A third place of a type, whole multiples of its size apart: elements of an array. Only the lowest is kept. */
static bool as_element(struct hr_spread *s, hr_id id, unsigned slot, uint64_t off, uint8_t strength)
{
    struct hr_cand *c = cand(s, id, slot);
    uint64_t size = hr_type_get(s->n->types, c->type)->size, d = off > c->off ? off - c->off : c->off - off;
    if (!size || d % size)
        return false;
    c->votes += c->votes < UINT16_MAX;
    if (!(c->flags & HR_CAND_ARRAY) || off < c->off)
        touch(s, id);
    c->flags |= HR_CAND_ARRAY;
    if (off < c->off)
        c->off = (uint32_t)off;
    /* It is followed though it gets no place of its own: the block may be a pool and never be decided. Once each. */
    uint64_t addr = hr_block_addr(s->h, id) + off;
    uint32_t *slot_of;
    bool was = true;
    if (strength >= HR_VOTE_LOCAL && s->elements.n < MAX_ELEMENTS &&
        hr_map_slot(&s->elements, hr_mix(addr) ^ c->type, 1, &slot_of, &was) == HR_OK && !was)
        hr_follow(s, addr, 1, c->type, hr_min(strength, HR_VOTE_POINTER), id);
    return true;
}

static void add_candidate(struct hr_spread *s, hr_id id, hr_type type, uint64_t off, uint8_t strength)
{
    struct hr_cand *v;
    unsigned same = 0, nc = hr_cands(s, id, &v);
    int slot = -1, first = -1;
    if (s->h->evidence[id] == HR_EV_RUNTIME) /* a managed runtime knows better */
        return;
    for (unsigned i = 0; i < nc; i++) {
        if (v[i].type == type && v[i].off == off) {
            again(s, id, i, strength);
            return;
        }
        if (v[i].type == type && !same++)
            first = (int)i;
        if (!v[i].type && slot < 0)
            slot = (int)i;
    }
    bool scalar = hr_type_is_scalar(s->n, type);
    if ((same >= 2 || (same && scalar)) && as_element(s, id, (unsigned)first, off, strength))
        return;
    if (slot < 0 && nc == 1 && widen(s, id))
        slot = 1;
    nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc && slot < 0; i++) /* full: the weakest makes room for a stronger one */
        if (v[i].strength < strength || (hr_type_is_scalar(s->n, v[i].type) && !scalar && v[i].strength <= strength))
            slot = (int)i;
    if (slot < 0)
        return;
    v[slot] = (struct hr_cand){.type = type, .off = (uint32_t)off, .votes = 1, .strength = strength};
    touch(s, id);
    if (strength >= HR_VOTE_LOCAL)
        enqueue(s, id, (unsigned)slot);
}

/* Could a `type` lie at `into` of the block at all? */
static bool room(const struct hr_spread *s, hr_id id, const struct hr_type_row *r, uint64_t into)
{
    uint64_t usable = hr_block_size(s->h, id), size = r->size;
    if (into >= usable || into >= UINT32_MAX)
        return false;
    if (r->flags & HR_TF_FLEX && r->nfields) /* may be allocated shorter than sizeof: up to its tail */
        size = s->n->types->fields.v[r->field0 + r->nfields - 1].off;
    return size <= usable - into;
}

/* A pointer to what may be an array: the smallest integer beside it is the most elements that are surely in use (its count;
 * a zero that is something else only makes the votes of the elements weaker). */
static void note_limit(struct hr_spread *s, hr_id id)
{
    const struct hr_type_row *r = hr_type_get(s->n->types, s->inst_type);
    uint64_t least = UINT32_MAX - 1, v;
    bool any = false;
    for (uint32_t i = 0; i < r->nfields && i < 64 && r->kind == HR_T_STRUCT; i++) {
        const struct hr_field *f = &s->n->types->fields.v[r->field0 + i];
        const struct hr_type_row *fr = hr_type_get(s->n->types, hr_type_strip(s->n->types, f->type));
        if ((fr->kind != HR_T_INT && fr->kind != HR_T_UINT) || fr->size < 2 || fr->size > 8 || f->flags & HR_FF_BITFIELD ||
            !hr_image_uint(s->n->img, s->inst + f->off, (unsigned)fr->size, &v))
            continue;
        least = hr_min(least, v);
        any = true;
    }
    uint32_t *slot;
    bool was;
    if (!any || s->limits.n >= MAX_ELEMENTS || hr_map_slot(&s->limits, id, (uint32_t)least, &slot, &was) != HR_OK)
        return;
    if (was && *slot < least)
        *slot = (uint32_t)least;
}

void hr_vote(struct hr_spread *s, uint64_t addr, hr_type type, uint8_t strength, hr_id src)
{
    uint64_t into;
    (void)src;
    if (addr - s->h->lo > s->h->hi - s->h->lo)
        return;
    hr_id id = hr_heap_at(s->h, addr, &into);
    if (id == HR_NONE || !hr_spread_live(s, id))
        return;
    type = hr_type_strip(s->n->types, type);
    const struct hr_type_row *r = hr_type_get(s->n->types, type);
    if (!type || r->kind == HR_T_VOID || r->kind == HR_T_FUNC || r->kind == HR_T_NONE)
        return;
    if (r->kind == HR_T_ARRAY && r->count) { /* pointer to array: to its elements */
        type = hr_type_strip(s->n->types, r->target);
        r = hr_type_get(s->n->types, type);
    }
    if (r->kind == HR_T_STRUCT && r->flags & HR_TF_POLYMORPHIC) {
        int64_t top;
        hr_type d = hr_cxx_dynamic(s, addr + r->vptr_off, &top);
        uint64_t obj = addr + r->vptr_off + (uint64_t)top;
        const struct hr_type_row *dr = hr_type_get(s->n->types, d);
        if (d && obj >= addr - into && dr->size && room(s, id, dr, obj - (addr - into))) {
            type = d, into = obj - (addr - into), r = dr;
            if (strength >= HR_VOTE_LOCAL)
                strength = HR_VOTE_VTABLE;
        }
    }
    if (!room(s, id, r, into))
        return;
    add_candidate(s, id, type, into, strength);
    if (!into && s->inst_type && r->size && r->kind != HR_T_CHAR && hr_block_size(s->h, id) >= 2 * r->size &&
        strength >= HR_VOTE_ARRAY)
        note_limit(s, id);
}

bool hr_vote_whole(struct hr_spread *s, uint64_t addr, uint64_t bytes, hr_type type, hr_id src)
{
    uint64_t into;
    hr_id id = hr_heap_at(s->h, addr, &into);
    if (id == HR_NONE || into || !hr_spread_live(s, id) || !hr_fit(s, id, addr, bytes))
        return false;
    struct hr_cand *c = cand(s, id, 0);
    if (c->strength >= HR_VOTE_CONTAINER)
        return false;
    *c = (struct hr_cand){.type = type, .votes = 1, .strength = HR_VOTE_CONTAINER};
    touch(s, id);
    if (src < s->h->n && s->h->owner && s->h->owner[src] != HR_NONE) {
        const struct hr_cand *from = cand(s, src, 0);
        if (from->strength == HR_VOTE_CONTAINER && from->type == type)
            src = s->h->owner[src]; /* a node's neighbour belongs to the container, not to the node */
    }
    hr_spread_own(s, id, src);
    return true;
}

void hr_follow(struct hr_spread *s, uint64_t addr, uint64_t count, hr_type type, uint8_t strength, hr_id src)
{
    type = hr_type_strip(s->n->types, type);
    uint64_t size = hr_type_get(s->n->types, type)->size;
    if (!count || !size || size > UINT32_MAX || !hr_layout(s->n, type))
        return;
    struct hr_frame_of f = {.addr = addr, .count = count, .type = type, .stride = (uint32_t)size, .src = src,
                            .strength = strength};
    if (hr_workvec_push(&s->work, f) != HR_OK)
        s->failed = true;
}

/* Follows candidates and instances until nothing is left. Instances first: they are short-lived, candidates may be many. */
void hr_spread_drain(struct hr_spread *s)
{
    while (!s->failed) {
        if (s->work.n) {
            struct hr_frame_of *f = &s->work.v[s->work.n - 1], one = *f;
            f->addr += f->stride;
            if (!--f->count)
                s->work.n--;
            hr_ops_run(s, one.addr, one.type, one.strength, one.src);
        } else if (s->queue.n) {
            uint64_t q = s->queue.v[--s->queue.n];
            hr_id id = (hr_id)(q >> 8);
            const struct hr_cand c = *cand(s, id, q & 0xff);
            if (c.type && c.strength >= HR_VOTE_LOCAL && c.strength != HR_VOTE_CONTAINER)
                hr_ops_run(s, hr_block_addr(s->h, id) + c.off, c.type, hr_min(c.strength, HR_VOTE_POINTER), id);
        } else {
            return;
        }
    }
}

/* ---- seeds ---- */

static void seed_roots(struct hr_spread *s, bool locals)
{
    s->inst_type = 0;
    for (size_t i = 0; i < s->h->roots.n && !s->failed; i++) {
        const struct hr_root *r = &s->h->roots.v[i];
        bool local = r->kind == HR_ROOT_LOCAL;
        hr_id node = s->h->n + (hr_id)i;
        if (!r->type || local != locals)
            continue;
        hr_type t = hr_type_strip(s->n->types, r->type);
        const struct hr_type_row *row = hr_type_get(s->n->types, t);
        uint8_t strength = local ? HR_VOTE_LOCAL : HR_VOTE_POINTER;
        if (!r->size && (row->kind == HR_T_PTR || row->kind == HR_T_REF))
            hr_vote(s, r->addr, row->target, strength, node);
        else if (r->size && row->kind == HR_T_ARRAY && row->count)
            hr_follow(s, r->addr, row->count, row->target, strength, node);
        else if (r->size)
            hr_follow(s, r->addr, 1, t, strength, node);
        hr_spread_drain(s);
    }
}

/* Objects give themselves away by their first word (or the one after an array cookie). */
static void seed_vtables(struct hr_spread *s)
{
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    uint64_t w = s->n->img->word, v;
    for (hr_id id = 0; id < s->h->n && !s->failed; id++) {
        uint64_t addr = hr_block_next(&it);
        if (!hr_spread_live(s, id) || s->h->evidence[id] == HR_EV_RUNTIME || hr_block_size(s->h, id) < 2 * w)
            continue;
        for (unsigned k = 0; k < 2; k++) {
            int64_t top;
            if (!hr_rd(s, addr + k * w, &v))
                break;
            hr_type t = v - s->mod_lo < s->mod_hi - s->mod_lo ? hr_cxx_dynamic(s, addr + k * w, &top) : 0;
            if (t && !top && room(s, id, hr_type_get(s->n->types, t), k * w))
                add_candidate(s, id, t, k * w, HR_VOTE_VTABLE);
            if (t || !v || v > hr_block_size(s->h, id)) /* no cookie */
                break;
        }
    }
    hr_spread_drain(s);
}

static void seed_assumed(struct hr_spread *s)
{
    for (size_t i = 0; i < s->n->in.n_assume; i++) {
        const char *a = s->n->in.assume[i];
        char *end;
        uint64_t addr = strtoull(a, &end, 16), into;
        hr_type t = *end == '=' ? hr_type_find(s->n->types, end + 1) : 0;
        hr_id id = hr_heap_at(s->h, addr, &into);
        if (!t || id == HR_NONE || into) {
            hr_note(s->n->in.notes, HR_NOTE_DEGRADED, "assume.unusable",
                    "an assumption was not used: %s", !t ? "no such type" : "no block starts at that address");
            continue;
        }
        *cand(s, id, 0) = (struct hr_cand){.type = hr_type_strip(s->n->types, t), .votes = 1, .strength = HR_VOTE_ASSUMED};
        touch(s, id);
        enqueue(s, id, 0);
    }
    hr_spread_drain(s);
}

/* ---- rounds ---- */

/* The block's type is now known as a whole: what no candidate has shown yet is followed. */
static void settle(struct hr_spread *s, hr_id id, uint64_t addr, struct hr_choice c)
{
    s->h->type[id] = c.type;
    bool sure = !s->proposing || c.evidence == HR_EV_VTABLE || c.evidence == HR_EV_ASSUMED;
    s->h->evidence[id] = sure ? c.evidence : HR_EV_SHAPE;
    if (c.evidence == HR_EV_CONTAINER)
        return; /* the container followed its elements, and only those in use */
    uint64_t size = hr_block_size(s->h, id);
    const struct hr_type_row *r = hr_type_get(s->n->types, c.type);
    hr_type el = hr_type_strip(s->n->types, r->target);
    uint64_t each = r->kind == HR_T_ARRAY ? hr_type_get(s->n->types, el)->size : 0;
    if (each) {
        uint64_t head = hr_layout_cookie(s->n, c.type, addr, size);
        uint64_t n = (size - head) / each, used = head ? n : 1; /* the first one is; all when the array has a cookie */
        uint32_t limit = hr_map_get(&s->limits, id);
        uint8_t weak = s->proposing ? HR_VOTE_LOCAL : HR_VOTE_ARRAY, strong = s->proposing ? HR_VOTE_LOCAL : HR_VOTE_POINTER;
        if (limit != HR_NONE)
            used = hr_min(limit, n);
        hr_follow(s, addr + head + used * each, n - used, el, weak, id);
        hr_follow(s, addr + head, used, el, strong, id);
        return;
    }
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++)
        if (v[i].type == c.type && !v[i].off && v[i].flags & HR_CAND_SPREAD)
            return;
    hr_follow(s, addr, 1, c.type, HR_VOTE_POINTER, id);
}

/* One pass over the blocks that are not decided, or have new candidates. Returns how many (re)decisions there were. */
static uint64_t decide_dirty(struct hr_spread *s, int level)
{
    uint64_t decided = 0;
    for (uint64_t i = hr_bits_next(&s->dirty, 0); i < s->h->n && !s->failed; i = hr_bits_next(&s->dirty, i + 1)) {
        hr_id id = (hr_id)i;
        if (s->tried[id] > level)
            continue;
        s->tried[id] = (uint8_t)(level + 1);
        if (s->proposing && s->h->type[id] && s->h->evidence[id] < HR_EV_SHAPE)
            continue; /* known already, and better */
        uint64_t addr = hr_block_addr(s->h, id);
        struct hr_choice c = hr_decide(s, id, addr, level);
        if (!c.type)
            continue; /* stays dirty for the next level */
        hr_bits_clear(&s->dirty, i);
        if (c.type == s->h->type[id])
            continue;
        decided++;
        settle(s, id, addr, c);
        hr_spread_drain(s);
    }
    return decided;
}

static void rounds(struct hr_spread *s, int top)
{
    for (int level = 0; level <= top; level++)
        for (int r = 0; r < ROUNDS && !s->failed; r++) {
            uint64_t n = 0;
            for (int l = 0; l <= level && !n; l++) /* what became certain goes first */
                n = decide_dirty(s, l);
            if (!n)
                break;
        }
}

void hr_spread_rounds(struct hr_spread *s) { rounds(s, LEVELS - 1); }

/* ---- the whole ---- */

/* What only following and deciding need. */
static void forget(struct hr_spread *s)
{
    hr_free(s->cand);
    hr_free(s->tried);
    s->cand = NULL;
    s->tried = NULL;
    hr_candvec_deinit(&s->more);
    hr_bits_deinit(&s->dirty);
    hr_u64vec_deinit(&s->queue);
    hr_workvec_deinit(&s->work);
    hr_map_deinit(&s->elements);
    hr_map_deinit(&s->limits);
}

void hr_spread_destroy(struct hr_spread *s)
{
    if (!s)
        return;
    forget(s);
    hr_map_deinit(&s->vtables);
    hr_map_deinit(&s->vtop);
    hr_map_deinit(&s->nodes);
    hr_map_deinit(&s->by_signature);
    hr_functorvec_deinit(&s->functors);
    hr_free(s->group_of);
    hr_groupvec_deinit(&s->groups);
    hr_free(s->parent0);
    hr_free(s->parents);
    hr_free(s);
}

/* The column is made for the first part found: C programs seldom have any. */
void hr_spread_own(struct hr_spread *s, hr_id part, hr_id owner)
{
    if (hr_heap_owner_column(s->h) != HR_OK) {
        s->failed = true;
        return;
    }
    if (part != owner)
        s->h->owner[part] = owner;
}

static enum hr_status make(struct hr_native *n, struct hr_spread **ret)
{
    HR_TRY(hr_heap_type_columns(n->heap));
    hr_cxx_complete(n);
    struct hr_spread *s = hr_zalloc(1, sizeof *s);
    if (!s)
        return HR_NOMEM;
    *ret = s;
    n->spread = s;
    s->n = n;
    s->h = n->heap;
    s->queue.max = (size_t)n->heap->n * HR_CANDS * 4 + 1024;
    s->work.max = 1 << 20;
    hr_map_init(&s->vtables, 4 << 20);
    hr_map_init(&s->vtop, 4 << 20);
    hr_map_init(&s->elements, MAX_ELEMENTS);
    hr_map_init(&s->limits, MAX_ELEMENTS);
    hr_map_init(&s->nodes, HR_MAX_TYPES);
    hr_map_init(&s->by_signature, HR_MAX_TYPES);
    s->functors.max = HR_MAX_TYPES;
    s->more.max = (size_t)n->heap->n * HR_CANDS + HR_CANDS;
    s->groups.max = HR_MAX_GROUPS;
    s->fuel = hr_fuel(n->img->dumped_bytes * 8 + (64 << 20)); /* each word a few times, with room for containers */
    s->mod_lo = UINT64_MAX;
    for (size_t i = 0; i < n->img->modules.n; i++) {
        s->mod_lo = hr_min(s->mod_lo, n->img->modules.v[i].lo);
        s->mod_hi = hr_max(s->mod_hi, n->img->modules.v[i].hi);
    }
    if (s->mod_lo > s->mod_hi)
        s->mod_lo = s->mod_hi;
    s->cand = hr_zalloc(n->heap->n ? n->heap->n : 1, sizeof *s->cand);
    s->tried = hr_zalloc(n->heap->n ? n->heap->n : 1, 1);
    if (!s->cand || !s->tried)
        return HR_NOMEM;
    HR_TRY(hr_bits_init(&s->dirty, n->heap->n ? n->heap->n : 1));
    HR_TRY(hr_embed_build(s));
    HR_TRY(hr_callable_index(s));
    return hr_cxx_index_nodes(s);
}

static void spread_all(struct hr_spread *s)
{
    seed_assumed(s);
    seed_vtables(s);
    seed_roots(s, false);
    rounds(s, 1);
    seed_roots(s, true);
    rounds(s, LEVELS - 1);
}

/* Blocks a managed runtime has typed keep their type and give no votes of their own. */
enum hr_status hr_native_classify(struct hr_native *n)
{
    struct hr_spread *s = NULL;
    enum hr_status st = make(n, &s);
    if (st == HR_OK) {
        spread_all(s);
        if (s->failed)
            hr_note(n->in.notes, HR_NOTE_DEGRADED, "types.partial", "types could not be followed to the end");
        st = hr_known_classify(s);
        if (st == HR_OK)
            st = hr_content_classify(s, true);
        if (st == HR_OK)
            st = hr_propose_classify(s);
        forget(s);
        if (st == HR_OK)
            st = hr_content_classify(s, false);
        if (st == HR_OK)
            st = hr_shape_classify(s);
    }
    return st;
}
