/* What the content of a block proves for a type: native_propose.c weighs the answers.
 *
 * A pointer proves something when it leads to what it is declared to: a block of just the pointed-to type (known, proposed, or
 * of fitting size and content), a variable that has one there, code where a function is pointed at, text where char is;
 * containers whose invariants hold. Null proves nothing. Whatever cannot be, a heap address in a number, a pointer to
 * something else, an enum without such a value, speaks against the type as a whole. */
#include "analyzer/runtimes/native_spread.h"

#include "analyzer/base/esc.h"

enum {
    FIELDS = 128, /* fields of a type that are compared */
    TEXT_LOOK = 64,
    TEXT_LEAST = 2,
    TAGS = 3,     /* low bits of a pointer that may be marks */
};

static bool looks_like_text(struct hr_spread *s, uint64_t addr)
{
    struct hr_span sp = hr_image_peek(s->n->img, addr, TEXT_LOOK);
    uint64_t w = s->n->img->word, v;
    size_t i = 0;
    while (i < sp.n && sp.p[i]) {
        size_t k = sp.p[i] == '\n' || sp.p[i] == '\t' || sp.p[i] == '\r' ? 1 : hr_utf8_ok(sp.p + i, sp.n - i);
        if (!k)
            return i >= TEXT_LOOK - 4; /* a sequence cut by our own limit */
        i += k;
    }
    if (i < w && hr_rd(s, addr, &v) && !(v & (w - 1)) && hr_heap_at(s->h, v, NULL) != HR_NONE)
        return false; /* a pointer whose low bytes happen to print */
    return i >= TEXT_LEAST;
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

/* A pointer to `to` that leads into a block nobody knows. */
static int proof_unknown(struct hr_spread *s, hr_type to, uint64_t v, hr_id id, uint64_t into)
{
    const struct hr_type_row *r = hr_type_get(s->n->types, to);
    if (r->size > hr_block_size(s->h, id) - into && !(r->flags & HR_TF_FLEX))
        return -1;
    if (!hr_type_is_struct(s->n, to))
        return 0;
    if (r->size && into % r->size && s->parent0[to] == s->parent0[to + 1])
        return -1; /* neither an element of an array nor a part of anything */
    /* larger is no contradiction: an array, a tail */
    if (into || hr_fit(s, id, v, r->size) != HR_FIT_EXACT)
        return 0;
    return hr_looks_clean(hr_ops_looks(s, v, to)) ? 1 : -1;
}

static int proof_text(struct hr_spread *s, uint64_t v)
{
    uint64_t into = 0;
    hr_id id = hr_heap_at(s->h, v, &into);
    if (looks_like_text(s, v))
        return into ? 1 : 2; /* half a stale pointer leads anywhere */
    if (id == HR_NONE)
        return 0;
    if (into) /* the end of a text, an empty one */
        return s->h->type[id] ? 0 : -1;
    bool known = s->h->type[id] && s->h->evidence[id] < HR_EV_SHAPE;
    return known && hr_layout(s->n, s->h->type[id]) ? -1 : 0; /* what holds pointers is not text; bytes may be anything */
}

/* What a pointer to `to` with value v proves: below 0 it cannot be one. */
static int proof_pointer(struct hr_spread *s, hr_type to, uint64_t v)
{
    to = hr_type_strip(s->n->types, to);
    const struct hr_type_row *r = hr_type_get(s->n->types, to);
    uint64_t into;
    if (!v || r->kind == HR_T_VOID || !to)
        return 0;
    if (r->kind == HR_T_FUNC) {
        const struct hr_segment *g = hr_image_find(s->n->img, v, NULL);
        return g && g->flags & HR_SEG_X ? 2 : -1;
    }
    if (hr_type_is_char(s->n, to))
        return proof_text(s, v);
    hr_id id = hr_heap_at(s->h, v, &into);
    if (id == HR_NONE)
        return proof_variable(s, to, v);
    const struct hr_layout *l = hr_layout(s->n, to);
    if (!hr_spread_live(s, id) || (l && !l->unaligned && (v & (s->n->img->word - 1)) > TAGS))
        return -1;
    hr_type t = s->h->type[id];
    if (!t)
        return proof_unknown(s, to, v, id, into);
    if (hr_type_get(s->n->types, hr_type_strip(s->n->types, t))->kind == HR_T_RUNTIME)
        return l && s->h->evidence[id] == HR_EV_CONTENT ? -1 : 0; /* a name without members says nothing */
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

/* How well `type` explains the block at addr. */
struct hr_proof hr_proof(struct hr_spread *s, uint64_t addr, hr_type type)
{
    static const struct hr_proof no = {.points = -1};
    const struct hr_layout *l = hr_layout(s->n, type);
    const struct hr_type_row *r = hr_type_get(s->n->types, type);
    struct hr_proof sum = {0};
    uint64_t v;
    if (!l || !hr_looks_clean(hr_ops_looks(s, addr, type)))
        return no;
    for (uint32_t i = 0; i < r->nfields && i < FIELDS; i++)
        if (!scalar_agrees(s, &s->n->types->fields.v[r->field0 + i], addr + s->n->types->fields.v[r->field0 + i].off))
            return no;
    struct hr_layout lay = *hr_layout(s->n, type); /* asking about others may have moved the table */
    for (uint32_t i = 0; i < lay.nops && i < FIELDS; i++) {
        struct hr_layop op = hr_layout_ops(s->n, &lay)[i];
        if (op.flags & HR_LOF_UNION || !hr_rd(s, addr + op.off, &v))
            continue;
        int k = op.kind == HR_LOP_PTR ? proof_pointer(s, op.type, v) : hr_cxx_proof(s, addr, &op);
        if (k < 0)
            return no;
        sum.points += k;
        sum.pointers += k > 0;
    }
    return sum;
}
