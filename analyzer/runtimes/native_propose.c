/* Proposals for blocks no typed pointer leads to: leaked ones, and what hangs on void *. Said as proposals, never as facts.
 *
 * By first word: blocks that begin with the same address of a module (a table of functions, a descriptor) and have the same
 * size are the same thing, if all typed ones among them are. By shape: of the types whose size the allocator would have
 * rounded to this block, the one whose every field agrees with the content, with enough pointers that prove something: to
 * blocks of just the pointed-to type, to code where a function is pointed at, to text where char is; containers whose
 * invariants hold. What a proposed block leads to is followed like anything else, and proposed in its turn. */
#include "analyzer/runtimes/native_spread.h"

#include "analyzer/base/esc.h"

enum {
    AMBIGUOUS = 0,
    TYPES_PER_SIZE = 64,  /* types of one size that are tried on a block */
    FIELDS = 128,         /* fields of a type that are compared */
    ENOUGH = 4,           /* points that make a proposal, see points() */
    LEAD = 2,             /* ... and by how much it has to beat the next */
    SEEN_BONUS = 1,       /* a type that has instances already is likelier than one that has none */
    PASSES = 3,
    GIVE_UP = 512,        /* blocks of one size tried without one hit in HIT_RATE: the size is given up */
    HIT_RATE = 64,
};

/* ---- first word ---- */

static uint64_t first_word(struct hr_spread *s, uint64_t addr)
{
    uint64_t v;
    return hr_rd(s, addr, &v) && hr_spread_module(s, v) ? v : 0;
}

static enum hr_status by_first_word(struct hr_spread *s, struct hr_map *seen)
{
    for (int pass = 0; pass < 2; pass++) {
        struct hr_block_iter it = hr_block_iter(s->h, 0);
        for (hr_id id = 0; id < s->h->n; id++) {
            uint64_t addr = hr_block_next(&it);
            bool wanted = pass ? !s->h->type[id] : s->h->type[id] && s->h->evidence[id] < HR_EV_SHAPE;
            uint64_t v = wanted && hr_spread_live(s, id) ? first_word(s, addr) : 0;
            if (!v)
                continue;
            uint64_t key = hr_mix(v) ^ hr_block_size(s->h, id);
            if (pass) {
                uint32_t t = hr_map_get(seen, key);
                if (t == HR_NONE || t == AMBIGUOUS)
                    continue;
                s->h->type[id] = t;
                s->h->evidence[id] = HR_EV_FIRST_WORD;
            } else {
                uint32_t *slot;
                bool was;
                HR_TRY(hr_map_slot(seen, key, s->h->type[id], &slot, &was));
                if (was && *slot != s->h->type[id])
                    *slot = AMBIGUOUS;
            }
        }
    }
    return HR_OK;
}

/* ---- shape ---- */

struct propose {
    struct hr_spread *s;
    struct hr_map head;   /* usable size -> first type of that size */
    uint32_t *next;       /* per type: the next of the same size */
    uint8_t *seen;        /* per type: has instances */
    size_t ntypes;
    struct hr_map tries;  /* usable size -> index into tried/hit */
    struct hr_u32vec tried, hit;
};

static uint64_t usable_of(const struct hr_spread *s, uint64_t size)
{
    uint64_t w = s->n->img->word, g = 2 * w, u = ((size + w + g - 1) & ~(g - 1)) - w;
    return u < 3 * w ? 3 * w : u;
}

static enum hr_status index_types(struct propose *p)
{
    struct hr_spread *s = p->s;
    const struct hr_types *t = s->n->types;
    for (hr_id id = 0; id < s->h->n; id++)
        if (s->h->type[id] && s->h->type[id] < p->ntypes && s->h->evidence[id] < HR_EV_SHAPE)
            p->seen[s->h->type[id]] = 1;
    for (int seen = 0; seen < 2; seen++) /* those with instances come to stand first */
        for (hr_type i = (hr_type)p->ntypes; i-- > 1;) {
            const struct hr_type_row *r = &t->rows.v[i];
            if (p->seen[i] != seen || r->kind != HR_T_STRUCT || !r->size || r->size > UINT32_MAX || !hr_layout(s->n, i))
                continue;
            uint64_t key = usable_of(s, r->size);
            p->next[i] = hr_map_get(&p->head, key);
            HR_TRY(hr_map_put(&p->head, key, i));
        }
    return HR_OK;
}

static bool looks_like_text(struct hr_spread *s, uint64_t addr)
{
    struct hr_span sp = hr_image_peek(s->n->img, addr, 64);
    size_t i = 0;
    while (i < sp.n && sp.p[i]) {
        size_t k = sp.p[i] == '\n' || sp.p[i] == '\t' ? 1 : hr_utf8_ok(sp.p + i, sp.n - i);
        if (!k)
            return i >= 60;
        i += k;
    }
    return i >= 2;
}

/* A pointer into a variable: its type is known for certain. */
static int proof_variable(struct hr_spread *s, hr_type to, uint64_t v)
{
    const struct hr_varvec *vars = &s->n->types->vars;
    size_t lo = 0, hi = vars->n;
    while (lo < hi) { /* last that begins at or before v; thread-local ones are sorted behind */
        size_t mid = lo + (hi - lo) / 2;
        if (vars->v[mid].kind != HR_VAR_TLS && vars->v[mid].addr <= v)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo || v - vars->v[lo - 1].addr >= hr_spread_size_of(s, vars->v[lo - 1].type) || !hr_type_is_struct(s->n, to))
        return 0;
    return hr_embed_has(s, vars->v[lo - 1].type, to, v - vars->v[lo - 1].addr) ? 3 : -1;
}

/* What a pointer to `to` with value v proves: below 0 it cannot be one. */
static int proof(struct hr_spread *s, hr_type to, uint64_t v)
{
    const struct hr_type_row *r = hr_type_get(s->n->types, to);
    uint64_t into;
    if (!v || r->kind == HR_T_VOID || !to)
        return 0;
    if (r->kind == HR_T_FUNC) {
        const struct hr_segment *g = hr_image_find(s->n->img, v, NULL);
        return g && g->flags & HR_SEG_X ? 2 : -1;
    }
    if (hr_type_is_char(s->n, to))
        return looks_like_text(s, v) ? 2 : 0;
    hr_id id = hr_heap_at(s->h, v, &into);
    if (id == HR_NONE)
        return proof_variable(s, to, v);
    if (!hr_spread_live(s, id))
        return -1;
    hr_type t = s->h->type[id];
    if (!t && r->size > hr_block_size(s->h, id) - into && !(r->flags & HR_TF_FLEX))
        return -1;
    if (!t) /* larger is no contradiction: an array, a tail */
        return !into && hr_fit(s, id, v, r->size) == HR_FIT_EXACT && hr_type_is_struct(s->n, to);
    if (hr_type_get(s->n->types, hr_type_strip(s->n->types, t))->kind == HR_T_RUNTIME)
        return s->h->evidence[id] == HR_EV_CONTENT ? -1 : 0; /* a name without members says nothing */
    return hr_embed_has(s, t, to, into) ? (s->h->evidence[id] < HR_EV_SHAPE ? 3 : 2) : -1;
}

static bool scalar_agrees(struct hr_spread *s, const struct hr_field *f, uint64_t at)
{
    const struct hr_type_row *r = hr_type_get(s->n->types, hr_type_strip(s->n->types, f->type));
    uint64_t v;
    if (f->flags & HR_FF_BITFIELD || r->size < 1 || r->size > 8 || !hr_image_uint(s->n->img, at, (unsigned)r->size, &v))
        return true;
    if (r->kind == HR_T_BOOL)
        return v <= 1;
    if (r->kind == HR_T_FLOAT && r->size == 8) { /* 0, or between about 1e-30 and 1e30 */
        unsigned e = v >> 52 & 0x7ff;
        return !(v << 1) || (e > 1023 - 100 && e < 1023 + 100) || e == 0x7ff;
    }
    if (r->kind != HR_T_ENUM || !r->nfields)
        return true;
    uint64_t all = 0;
    for (uint32_t i = 0; i < r->nfields && i < FIELDS; i++) {
        uint32_t x = s->n->types->fields.v[r->field0 + i].off;
        if (x == (uint32_t)v)
            return true;
        all |= x;
    }
    return !(v & ~all); /* flags that are or-ed together */
}

/* How well `type` explains the block; below 0: not at all. */
static int points(struct hr_spread *s, uint64_t addr, hr_type type)
{
    struct hr_looks looks = hr_ops_looks(s, addr, type);
    const struct hr_layout *l = hr_layout(s->n, type);
    const struct hr_type_row *r = hr_type_get(s->n->types, type);
    uint64_t v;
    int sum = 0;
    if (!hr_looks_clean(looks) || !l)
        return -1;
    for (uint32_t i = 0; i < r->nfields && i < FIELDS; i++)
        if (!scalar_agrees(s, &s->n->types->fields.v[r->field0 + i], addr + s->n->types->fields.v[r->field0 + i].off))
            return -1;
    struct hr_layout lay = *l;
    for (uint32_t i = 0; i < lay.nops && i < FIELDS; i++) {
        struct hr_layop op = hr_layout_ops(s->n, &lay)[i];
        if (op.flags & HR_LOF_UNION || !hr_rd(s, addr + op.off, &v))
            continue;
        int k = op.kind == HR_LOP_PTR ? proof(s, op.type, v) : hr_cxx_proof(s, addr, &op);
        if (k < 0)
            return -1;
        sum += k;
    }
    return sum;
}

static hr_type shape_of(struct propose *p, hr_id id, uint64_t addr)
{
    struct hr_spread *s = p->s;
    hr_type best = 0;
    int top = 0, second = 0, tried = 0;
    for (uint32_t t = hr_map_get(&p->head, hr_block_size(s->h, id)); t != HR_NONE && tried < TYPES_PER_SIZE; t = p->next[t]) {
        tried++;
        if (!hr_burn(&s->fuel, 1))
            return 0;
        int n = points(s, addr, t);
        n += n > 0 && p->seen[t] ? SEEN_BONUS : 0;
        if (n > top) {
            if (best && !hr_embed_has(s, t, best, 0))
                second = top;
            best = t, top = n;
        } else if (n > second && !hr_embed_has(s, best, t, 0)) {
            second = n;
        }
    }
    return top >= ENOUGH && top >= second + LEAD ? best : 0;
}

/* Sizes where nothing is ever found are not tried for each of a million blocks. */
static enum hr_status counter(struct propose *p, uint64_t size, uint32_t *ret)
{
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(&p->tries, size, (uint32_t)p->tried.n, &slot, &was));
    *ret = *slot;
    if (was)
        return HR_OK;
    HR_TRY(hr_u32vec_push(&p->tried, 0));
    return hr_u32vec_push(&p->hit, 0);
}

static enum hr_status pass(struct propose *p, uint64_t *found_ret)
{
    struct hr_spread *s = p->s;
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    *found_ret = 0;
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it), size = hr_block_size(s->h, id);
        uint32_t c;
        if (s->h->state[id] != HR_USED || s->h->type[id] || hr_map_get(&p->head, size) == HR_NONE)
            continue;
        HR_TRY(counter(p, size, &c));
        if (p->tried.v[c] >= GIVE_UP && p->hit.v[c] < p->tried.v[c] / HIT_RATE)
            continue;
        hr_type t = shape_of(p, id, addr);
        p->tried.v[c]++;
        if (!t)
            continue;
        p->hit.v[c]++;
        ++*found_ret;
        s->h->type[id] = t;
        s->h->evidence[id] = HR_EV_SHAPE;
        hr_follow(s, addr, 1, t, HR_VOTE_LOCAL, id);
        hr_spread_drain(s);
    }
    return HR_OK;
}

static enum hr_status by_shape(struct hr_spread *s)
{
    struct propose p = {.s = s, .ntypes = s->n->types->rows.n, .tried = {.max = HR_MAX_BLOCKS}, .hit = {.max = HR_MAX_BLOCKS}};
    hr_map_init(&p.head, HR_MAX_TYPES);
    hr_map_init(&p.tries, HR_MAX_BLOCKS);
    p.next = hr_alloc(p.ntypes * sizeof *p.next);
    p.seen = hr_zalloc(p.ntypes, 1);
    enum hr_status st = p.next && p.seen ? index_types(&p) : HR_NOMEM;
    uint64_t found = 1;
    s->proposing = true;
    for (int i = 0; i < PASSES && found && st == HR_OK; i++) {
        st = pass(&p, &found);
        hr_spread_rounds(s);
    }
    hr_map_deinit(&p.head);
    hr_map_deinit(&p.tries);
    hr_free(p.next);
    hr_free(p.seen);
    hr_u32vec_deinit(&p.tried);
    hr_u32vec_deinit(&p.hit);
    return st;
}

enum hr_status hr_propose_classify(struct hr_spread *s)
{
    struct hr_map m;
    hr_map_init(&m, HR_MAX_BLOCKS);
    enum hr_status st = by_first_word(s, &m);
    hr_map_deinit(&m);
    return st == HR_OK ? by_shape(s) : st;
}
