/* What is a block, given its candidates? Size first: the allocator rounds to few sizes, so "would malloc(sizeof T) have given
 * this block" is a sharp question. */
#include "analyzer/runtimes/native_spread.h"

enum { MAX_PARENTS = 16 };

int hr_fit(const struct hr_spread *s, hr_id id, uint64_t addr, uint64_t bytes)
{
    uint64_t usable = hr_block_size(s->h, id), w = s->n->img->word;
    if (!bytes || bytes > usable)
        return HR_FIT_NO;
    (void)addr;
    /* glibc: chunk = request + one word, rounded to 2 words (16 bytes at least on newer i386), at least 4 words; usable =
     * chunk - one word. Others round less: their blocks pass as well. A remainder too small for a chunk of its own stays
     * with the block. */
    uint64_t g = s->n->img->word == 4 && usable % 16 == 12 ? 16 : 2 * w;
    uint64_t round = ((bytes + w + g - 1) & ~(g - 1)) - w;
    if (round < 3 * w)
        round = 3 * w;
    if (usable == round || usable == bytes)
        return HR_FIT_EXACT;
    uint64_t page = s->n->img->page ? s->n->img->page : 4096;
    if (bytes >= 16 * page && usable == ((bytes + 2 * w + page - 1) & ~(page - 1)) - 2 * w)
        return HR_FIT_EXACT; /* a mapping of its own */
    return usable == round + g || (usable > bytes && usable - bytes < g) ? HR_FIT_SLACK : HR_FIT_NO;
}

static uint64_t size_of(const struct hr_spread *s, hr_type t)
{
    return hr_type_get(s->n->types, hr_type_strip(s->n->types, t))->size;
}

static hr_type array_of(struct hr_spread *s, hr_type el)
{
    hr_type t = 0;
    if (hr_types_array_of(s->n->types, el, 0, &t) != HR_OK)
        s->failed = true;
    return t;
}

static struct hr_choice choice(hr_type t, uint8_t ev) { return (struct hr_choice){t, t ? ev : HR_EV_NONE}; }

/* ---- exact size ---- */

/* May the candidate's instance be there? What hangs on a local or on the end of an array may be anything, so it has to look
 * right; the rest may be not filled in yet, but must not look wrong. */
static bool possible(struct hr_spread *s, uint64_t addr, const struct hr_cand *c)
{
    if (c->strength >= HR_VOTE_VTABLE)
        return true;
    struct hr_looks l = hr_ops_looks(s, addr + c->off, c->type);
    if (c->strength <= HR_VOTE_LOCAL)
        return !l.bad;
    return c->strength == HR_VOTE_ARRAY ? hr_looks_clean(l) : !hr_looks_wrong(l);
}

/* Is a better than b, both of them possible as the whole block? */
static bool better(struct hr_spread *s, hr_id id, uint64_t addr, const struct hr_cand *a, const struct hr_cand *b)
{
    if (hr_embed_has(s, a->type, b->type, 0))
        return true;
    if (hr_embed_has(s, b->type, a->type, 0))
        return false;
    struct hr_looks la = hr_ops_looks(s, addr, a->type), lb = hr_ops_looks(s, addr, b->type);
    int pa = hr_looks_score(la), pb = hr_looks_score(lb);
    if (hr_looks_clean(la) != hr_looks_clean(lb))
        return hr_looks_clean(la);
    if (a->strength != b->strength)
        return a->strength > b->strength;
    hr_type now = s->h->type[id]; /* what was certain earlier rests on less */
    if ((now == a->type) != (now == b->type))
        return now == a->type;
    if (a->votes != b->votes)
        return a->votes > b->votes;
    return pa != pb ? pa > pb : a->type < b->type;
}

static struct hr_choice exact(struct hr_spread *s, hr_id id, uint64_t addr, uint8_t least, int fit)
{
    const struct hr_cand *best = NULL;
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (!c->type || c->off || c->strength < least || !hr_type_is_struct(s->n, c->type))
            continue;
        if (hr_fit(s, id, addr, size_of(s, c->type)) < fit || !possible(s, addr, c))
            continue;
        if (!best || better(s, id, addr, c, best))
            best = c;
    }
    return best ? choice(best->type, best->strength == HR_VOTE_VTABLE ? HR_EV_VTABLE : HR_EV_POINTER) : choice(0, 0);
}

/* ---- a part of something larger ---- */

/* Do all structural candidates fit into this type at their places? */
static bool explains(struct hr_spread *s, hr_id id, hr_type whole)
{
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (c->type && c->strength >= HR_VOTE_POINTER && hr_type_is_struct(s->n, c->type) &&
            !hr_embed_has(s, whole, c->type, c->off))
            return false;
    }
    return true;
}

static struct hr_choice part_of(struct hr_spread *s, hr_id id, uint64_t addr, uint8_t least)
{
    hr_type found[MAX_PARENTS], one = 0;
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (!c->type || c->strength < least || !hr_type_is_struct(s->n, c->type))
            continue;
        size_t n = hr_embed_find(s, id, addr, c->type, c->off, found, MAX_PARENTS);
        int top = -1;
        bool tie = false;
        for (size_t k = 0; k < n; k++) {
            struct hr_looks l = hr_ops_looks(s, addr, found[k]);
            int p = hr_looks_score(l);
            if (!hr_looks_clean(l) || !explains(s, id, found[k]))
                continue;
            if (one && hr_embed_has(s, one, found[k], 0))
                continue; /* the one we have contains this one and has the same size */
            if (one && hr_embed_has(s, found[k], one, 0)) {
                one = found[k], top = p;
            } else if (p > top) {
                one = found[k], top = p, tie = false;
            } else if (p == top) {
                tie = true;
            }
        }
        if (tie)
            one = 0;
        if (one)
            return choice(one, c->strength == HR_VOTE_VTABLE ? HR_EV_VTABLE : HR_EV_POINTER);
    }
    return choice(0, 0);
}

/* ---- arrays ---- */

enum { LOOK_AT = 256 /* elements whose content is looked at */ };

/* An array of `el` fills this block: the size says so, and its elements look like it. strict: all of them. */
static bool is_array(struct hr_spread *s, hr_id id, uint64_t addr, hr_type el, uint64_t head, bool strict)
{
    uint64_t each = size_of(s, el), usable = hr_block_size(s->h, id) - head;
    uint64_t n = each ? usable / each : 0;
    if (n < 1 + !head || hr_fit(s, id, addr, n * each + head) != HR_FIT_EXACT)
        return false;
    uint64_t bad = 0, seen = 0;
    for (uint64_t i = 0; i < n && seen < LOOK_AT; i++, seen++) {
        bool clean = hr_looks_clean(hr_ops_looks(s, addr + head + i * each, el));
        if (!clean && !i)
            return false;
        bad += !clean;
    }
    return !bad || (!strict && each > 32 && bad <= seen / 2);
}

static struct hr_choice array(struct hr_spread *s, hr_id id, uint64_t addr, uint8_t least)
{
    uint64_t w = s->n->img->word, count;
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (!c->type || c->strength < least || !hr_type_is_struct(s->n, c->type))
            continue;
        uint64_t each = size_of(s, c->type);
        uint8_t ev = c->strength == HR_VOTE_VTABLE ? HR_EV_VTABLE : HR_EV_ARRAY;
        /* new T[n] with a cookie: n in the word before the first element */
        if (each && c->off == w && hr_rd(s, addr, &count) && count &&
            count <= (hr_block_size(s->h, id) - w) / each && hr_fit(s, id, addr, count * each + w))
            return choice(array_of(s, c->type), ev);
        if (c->off && !(c->flags & HR_CAND_ARRAY && each && c->off % each == 0))
            continue;
        if (is_array(s, id, addr, c->type, 0, true))
            return choice(array_of(s, c->type), ev);
    }
    return choice(0, 0);
}

/* ---- the rest ---- */

static struct hr_choice flexible(struct hr_spread *s, hr_id id, uint8_t least)
{
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        const struct hr_type_row *r = hr_type_get(s->n->types, c->type);
        if (c->type && !c->off && c->strength >= least && r->flags & HR_TF_FLEX)
            return choice(c->type, HR_EV_POINTER);
    }
    return choice(0, 0);
}

/* Does something else lie behind a `type` at the block's start? Then the block is a pool, not a `type` with a tail. */
static bool shared(struct hr_spread *s, hr_id id, hr_type type)
{
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (c->type && c->strength >= HR_VOTE_LOCAL && hr_type_is_struct(s->n, c->type) &&
            (c->off >= size_of(s, type) || c->flags & HR_CAND_ARRAY))
            return true;
    }
    return false;
}

/* Larger than the type and no array: the type with something behind it. */
static struct hr_choice prefix(struct hr_spread *s, hr_id id, uint64_t addr)
{
    const struct hr_cand *best = NULL;
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        const struct hr_type_row *r = hr_type_get(s->n->types, c->type);
        bool structural = hr_type_is_struct(s->n, c->type) || r->kind == HR_T_OTHER || r->kind == HR_T_RUNTIME;
        if (!c->type || c->off || c->strength < HR_VOTE_LOCAL || !structural)
            continue;
        if ((c->strength == HR_VOTE_LOCAL && !r->size) || !possible(s, addr, c))
            continue;
        if (!best || c->strength > best->strength ||
            (c->strength == best->strength && (hr_embed_has(s, c->type, best->type, 0) || c->votes > best->votes)))
            best = c;
    }
    if (!best)
        return choice(0, 0);
    if (best->strength != HR_VOTE_VTABLE && size_of(s, best->type) && is_array(s, id, addr, best->type, 0, false))
        return choice(array_of(s, best->type), HR_EV_ARRAY);
    if (shared(s, id, best->type))
        return choice(0, 0);
    return choice(best->type, best->strength == HR_VOTE_VTABLE ? HR_EV_VTABLE : HR_EV_POINTER);
}

/* What a typed pointer to pointers leads to is an array of them, filled or not; numbers and text must not look like pointers. */
static bool scalars_there(struct hr_spread *s, hr_id id, uint64_t addr, const struct hr_cand *c)
{
    uint8_t kind = hr_type_get(s->n->types, hr_type_strip(s->n->types, c->type))->kind;
    return (kind == HR_T_PTR && c->strength >= HR_VOTE_POINTER) || hr_ops_scalars(s, id, addr, c->type);
}

/* Numbers, characters, pointers: an array of them, unless the content speaks against it. */
static struct hr_choice scalars(struct hr_spread *s, hr_id id, uint64_t addr)
{
    const struct hr_cand *best = NULL;
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (!c->type || c->strength < HR_VOTE_LOCAL || !hr_type_is_scalar(s->n, c->type) || !size_of(s, c->type))
            continue;
        if (c->off && (c->off % size_of(s, c->type) || hr_type_is_char(s->n, c->type)))
            continue;
        bool chars = best && hr_type_is_char(s->n, best->type), c_chars = hr_type_is_char(s->n, c->type);
        if (!best || (chars && !c_chars) || (chars == c_chars && c->votes > best->votes))
            best = c;
    }
    if (!best || !scalars_there(s, id, addr, best))
        return choice(0, 0);
    bool one = !best->off && hr_fit(s, id, addr, size_of(s, best->type)) && size_of(s, best->type) >= 3u * s->n->img->word;
    return one ? choice(best->type, HR_EV_POINTER) : choice(array_of(s, best->type), HR_EV_ARRAY);
}

/* Pointers inside unions: only when exactly one of those that lead here fits. */
static struct hr_choice union_member(struct hr_spread *s, hr_id id, uint64_t addr)
{
    hr_type one = 0;
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (!c->type || c->strength != HR_VOTE_UNION || c->off)
            continue;
        if (!hr_type_is_struct(s->n, c->type))
            return choice(0, 0);
        if (!hr_fit(s, id, addr, size_of(s, c->type)) || !hr_looks_clean(hr_ops_looks(s, addr, c->type)))
            continue;
        if (one)
            return choice(0, 0);
        one = c->type;
    }
    return choice(one, HR_EV_POINTER);
}

/* A typed pointer to pointers or numbers says more than a weaker one to a struct, or one to a struct that does not fit the
 * content. */
static bool rather_scalars(struct hr_spread *s, hr_id id, uint64_t addr, hr_type structure)
{
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    const struct hr_cand *st = NULL, *sc = NULL;
    for (unsigned i = 0; i < nc; i++) {
        if (v[i].type == structure)
            st = &v[i];
        else if (v[i].type && !v[i].off && hr_type_is_scalar(s->n, v[i].type) && !hr_type_is_char(s->n, v[i].type))
            sc = &v[i];
    }
    if (!sc || !st || sc->strength < st->strength || !scalars_there(s, id, addr, sc))
        return false;
    struct hr_looks l = hr_ops_looks(s, addr, structure);
    return sc->strength > st->strength || !hr_looks_clean(l);
}

/* Levels: 0 what is certain by size; 1 structural arrays; 2 unions, locals, types with something behind them; 3 scalars. */
struct hr_choice hr_decide(struct hr_spread *s, hr_id id, uint64_t addr, int level)
{
    struct hr_cand *v;
    unsigned nc = hr_cands(s, id, &v);
    for (unsigned i = 0; i < nc; i++) {
        const struct hr_cand *c = &v[i];
        if (c->type && c->strength >= HR_VOTE_CONTAINER)
            return choice(c->type, c->strength == HR_VOTE_ASSUMED ? HR_EV_ASSUMED : HR_EV_CONTAINER);
    }
    uint8_t least = level < 1 ? HR_VOTE_POINTER : level < 2 ? HR_VOTE_ARRAY : HR_VOTE_LOCAL;
    struct hr_choice c = exact(s, id, addr, least, HR_FIT_EXACT);
    if (c.type && c.evidence != HR_EV_VTABLE && rather_scalars(s, id, addr, c.type))
        return scalars(s, id, addr);
    if (!c.type)
        c = part_of(s, id, addr, least);
    if (!c.type)
        c = flexible(s, id, least);
    if (!c.type && level >= 1) {
        c = array(s, id, addr, least);
        if (c.type && c.evidence == HR_EV_ARRAY && rather_scalars(s, id, addr, hr_type_get(s->n->types, c.type)->target))
            return scalars(s, id, addr);
    }
    if (!c.type && level >= 1) {
        c = exact(s, id, addr, least, HR_FIT_SLACK);
        if (!c.type && level >= 2)
            c = prefix(s, id, addr);
        if (c.type && c.evidence == HR_EV_POINTER && rather_scalars(s, id, addr, c.type))
            return scalars(s, id, addr);
    }
    if (!c.type && level >= 2)
        c = union_member(s, id, addr);
    if (!c.type && level >= 3)
        c = scalars(s, id, addr);
    return c;
}
