/* Programs over rows. Truth has three values: what is not known makes a condition unknown, and unknown is never reported. */
#include <stdio.h>

#include "rules/engine/internal.h"

enum hr_status hr_vm_init(struct vm *m, struct hr_rules *r, const struct hr_model *model)
{
    uint32_t most = 1;
    for (size_t i = 0; i < r->progs.n; i++)
        if (r->progs.v[i]->nregs > most)
            most = r->progs.v[i]->nregs;
    m->r = r;
    m->model = model;
    m->nregs = most + 1;
    m->regs = hr_zalloc(m->nregs, sizeof *m->regs);
    m->globals = hr_zalloc(model->nglobals, sizeof *m->globals);
    m->global_known = hr_zalloc(model->nglobals, sizeof *m->global_known);
    m->used = 0;
    m->fuel = 0;
    m->out_of_fuel = m->redact = false;
    m->g[0] = m->g[1] = m->g[2] = 0;
    m->aggs = NULL;
    return m->regs && m->globals && m->global_known ? HR_OK : HR_NOMEM;
}

void hr_vm_deinit(struct vm *m)
{
    hr_free(m->regs);
    hr_free(m->globals);
    hr_free(m->global_known);
    m->regs = m->globals = NULL;
    m->global_known = NULL;
}

bool hr_vm_true(const struct hr_value *v) { return v->kind == HR_V_BOOL && v->b; }

double hr_vm_num(const struct hr_value *v) { return v->is_float ? v->f : (double)v->i; }

static inline void set_bool(struct hr_value *v, bool b)
{
    v->kind = HR_V_BOOL;
    v->b = b;
}

static void set_unknown(struct hr_value *v) { v->kind = HR_V_UNKNOWN; }

static const char *keep(struct vm *m, const char *p, size_t n)
{
    if (n > HR_MAX_STRING || m->used + n > VM_SCRATCH)
        return NULL;
    memcpy(m->scratch + m->used, p, n);
    m->used += n;
    return m->scratch + m->used - n;
}

/* Text of a type of which only the id is loaded; asked for when it is needed. */
const char *hr_vm_text(struct vm *m, const struct prog *p, const struct hr_value *v, size_t *n_ret)
{
    if (v->kind != HR_V_STR && v->kind != HR_V_TYPE)
        return NULL;
    if (v->s) {
        *n_ret = v->n;
        return v->s;
    }
    if (v->kind != HR_V_TYPE || v->table >= p->sites.n)
        return NULL;
    const struct site *s = &p->sites.v[v->table];
    struct hr_value got = {0};
    if (!s->attr->get)
        return NULL;
    s->attr->get(s->table->ctx, v->row, &got);
    if ((got.kind != HR_V_STR && got.kind != HR_V_TYPE) || !got.s)
        return NULL;
    *n_ret = got.n;
    return s->copy ? keep(m, got.s, got.n) : got.s;
}

static void op_attr(struct vm *m, const struct prog *p, const struct insn *in)
{
    const struct site *s = &p->sites.v[in->k];
    struct hr_value *v = &m->regs[in->dst];
    uint64_t row = m->regs[in->a].row;
    if (m->regs[in->a].kind != HR_V_ROW) {
        set_unknown(v);
        return;
    }
    *v = (struct hr_value){0};
    s->attr->get(s->table->ctx, row, v);
    bool text = v->kind == HR_V_STR || v->kind == HR_V_TYPE;
    if (text && !v->s)
        set_unknown(v);
    else if (text && s->copy && !(v->s = keep(m, v->s, v->n)))
        set_unknown(v);
}

static inline void op_col(struct vm *m, const struct prog *p, const struct insn *in)
{
    const struct hr_attr *a = p->sites.v[in->k].attr;
    struct hr_value *v = &m->regs[in->dst];
    const struct hr_value *row = &m->regs[in->a];
    if (__builtin_expect(row->kind != HR_V_ROW, 0)) {
        set_unknown(v);
        return;
    }
    uint64_t x = hr_vm_load(a, row->row);
    v->kind = a->kind;
    v->is_float = 0;
    if (a->kind == HR_V_BOOL)
        v->b = x != 0;
    else if (a->kind == HR_V_ROW)
        v->row = x, v->kind = x == (a->width == 8 ? UINT64_MAX : (1ull << 8 * a->width) - 1) ? HR_V_UNKNOWN : HR_V_ROW;
    else
        v->i = x > INT64_MAX ? INT64_MAX : (int64_t)x;
}

static void op_coltype(struct vm *m, const struct prog *p, const struct insn *in)
{
    struct hr_value *v = &m->regs[in->dst];
    const struct hr_value *row = &m->regs[in->a];
    if (row->kind != HR_V_ROW) {
        set_unknown(v);
        return;
    }
    uint64_t r = row->row;
    v->kind = HR_V_TYPE;
    v->type = (uint32_t)hr_vm_load(p->sites.v[in->k].attr, r);
    v->row = r;
    v->s = NULL;
    v->table = (uint16_t)in->k;
}

static void op_colname(struct vm *m, const struct prog *p, const struct insn *in)
{
    const struct hr_attr *a = p->sites.v[in->k].attr;
    struct hr_value *v = &m->regs[in->dst];
    if (m->regs[in->a].kind != HR_V_ROW) {
        set_unknown(v);
        return;
    }
    uint64_t x = hr_vm_load(a, m->regs[in->a].row);
    v->s = x < a->nnames ? a->names[x] : NULL;
    v->kind = v->s ? HR_V_STR : HR_V_UNKNOWN;
    v->n = v->s ? strlen(v->s) : 0;
}

static inline bool ordered(uint8_t op, int64_t a, int64_t b)
{
    switch (op) {
    case B_EQ: return a == b;
    case B_NE: return a != b;
    case B_LT: return a < b;
    case B_LE: return a <= b;
    case B_GT: return a > b;
    default: return a >= b;
    }
}

static inline void op_colcmp(struct vm *m, const struct prog *p, const struct insn *in)
{
    const struct hr_attr *a = p->sites.v[in->k].attr;
    struct hr_value *v = &m->regs[in->dst];
    const struct hr_value *row = &m->regs[in->a];
    if (__builtin_expect(row->kind != HR_V_ROW, 0)) {
        set_unknown(v);
        return;
    }
    uint64_t x = hr_vm_load(a, row->row);
    if (in->op != OP_COLCMP && (x >= a->nnames || !a->names[x]))
        set_unknown(v);
    else if (in->op == OP_COLMASK)
        set_bool(v, p->consts.v[in->k2].i >> x & 1);
    else
        set_bool(v, ordered(in->x, x > INT64_MAX ? INT64_MAX : (int64_t)x, p->consts.v[in->k2].i));
}

void hr_vm_compare_numbers(struct hr_value *v, uint8_t op, const struct hr_value *a, const struct hr_value *b)
{
    if (!a->is_float && !b->is_float) {
        set_bool(v, ordered(op, a->i, b->i));
        return;
    }
    /* 64-bit integers are exact in a long double here */
    long double x = a->is_float ? (long double)a->f : (long double)a->i, y = b->is_float ? (long double)b->f : (long double)b->i;
    if (x != x || y != y)
        set_unknown(v);
    else
        set_bool(v, ordered(op, x > y ? 1 : x < y ? -1 : 0, 0));
}

/* A type of which only the number is loaded, and that is 0: an untyped block. */
static bool untyped(const struct hr_value *v) { return v->kind == HR_V_TYPE && !v->type && !v->s; }

static void op_cmp(struct vm *m, const struct prog *p, const struct insn *in)
{
    const struct hr_value *a = &m->regs[in->a], *b = &m->regs[in->b];
    struct hr_value *v = &m->regs[in->dst];
    if (a->kind == HR_V_NUM && b->kind == HR_V_NUM) {
        hr_vm_compare_numbers(v, in->x, a, b);
        return;
    }
    bool equality = in->x == B_EQ || in->x == B_NE, same;
    size_t an = 0, bn = 0;
    if (!equality || a->kind == HR_V_UNKNOWN || b->kind == HR_V_UNKNOWN || untyped(a) || untyped(b)) {
        set_unknown(v);
        return;
    }
    if (a->kind == HR_V_BOOL && b->kind == HR_V_BOOL) {
        same = a->b == b->b;
    } else if (a->kind == HR_V_ROW && b->kind == HR_V_ROW) {
        same = a->row == b->row;
    } else {
        const char *x = hr_vm_text(m, p, a, &an);
        x = x ? keep(m, x, an) : NULL; /* the next question may be to the same attribute */
        const char *y = x ? hr_vm_text(m, p, b, &bn) : NULL;
        if (!y) {
            set_unknown(v);
            return;
        }
        same = a->kind == HR_V_TYPE || b->kind == HR_V_TYPE ? hr_same_type_name(x, an, y, bn) : an == bn && !memcmp(x, y, an);
    }
    set_bool(v, same == (in->x == B_EQ));
}

/* Integers stay integers while they fit, then become floating point; a division is a ratio. */
static void op_arith(struct vm *m, const struct insn *in)
{
    const struct hr_value *a = &m->regs[in->a], *b = &m->regs[in->b];
    struct hr_value *v = &m->regs[in->dst];
    if (a->kind != HR_V_NUM || b->kind != HR_V_NUM) {
        set_unknown(v);
        return;
    }
    double x = hr_vm_num(a), y = hr_vm_num(b);
    int64_t i = 0;
    bool whole = !a->is_float && !b->is_float;
    switch (in->x) {
    case B_ADD: whole = whole && !__builtin_add_overflow(a->i, b->i, &i); x += y; break;
    case B_SUB: whole = whole && !__builtin_sub_overflow(a->i, b->i, &i); x -= y; break;
    case B_MUL: whole = whole && !__builtin_mul_overflow(a->i, b->i, &i); x *= y; break;
    default:
        if (y == 0) {
            set_unknown(v);
            return;
        }
        whole = false;
        x /= y;
    }
    v->kind = HR_V_NUM;
    v->is_float = !whole;
    if (whole)
        v->i = i;
    else
        v->f = x;
}

static int cache_get(const struct tcache *c, uint64_t id) { return id < c->n ? (int)(c->w[id >> 5] >> (id & 31) * 2 & 3) : 0; }

static void cache_put(struct tcache *c, uint64_t id, int answer)
{
    if (id >= c->n) {
        uint64_t n = id + 1 > c->n * 2 ? id + 1 : c->n * 2;
        n = (n + 63) & ~(uint64_t)31;
        uint64_t *w = n <= HR_MAX_TYPES + 64ull ? hr_realloc(c->w, n / 4) : NULL;
        if (!w)
            return; /* only slower */
        memset(w + c->n / 32, 0, (n - c->n) / 4);
        c->w = w;
        c->n = n;
    }
    c->w[id >> 5] |= (uint64_t)answer << (id & 31) * 2;
}

/* A question about a text; for types it is asked once per type, not once per object. */
static void op_text_test(struct vm *m, const struct prog *p, const struct insn *in)
{
    struct hr_value *v = &m->regs[in->dst];
    const struct hr_value *a = &m->regs[in->a];
    bool type = a->kind == HR_V_TYPE;
    int known = type && a->type ? cache_get(&p->caches[in->k2], a->type) : 0;
    if (untyped(a))
        known = 3; /* nobody can say */
    if (!known) {
        size_t n = 0;
        const char *z = hr_vm_text(m, p, a, &n);
        const struct hr_value *want = in->op == OP_TYPEIS ? &p->consts.v[in->k] : NULL;
        int rc = !z ? -1 : want ? hr_same_type_name(z, n, want->s, want->n) : hr_regex_match(m->r, in->k, z, n);
        known = rc < 0 ? 3 : rc ? 2 : 1;
        if (type && a->type)
            cache_put(&p->caches[in->k2], a->type, known);
    }
    if (known == 3)
        set_unknown(v);
    else
        set_bool(v, (known == 2) != (in->x != 0));
}

/* not, and, or of three values */
static void op_logic(struct vm *m, const struct insn *in)
{
    struct hr_value *v = &m->regs[in->dst];
    const struct hr_value *a = &m->regs[in->a], *b = &m->regs[in->b];
    if (in->op == OP_NOT) {
        if (a->kind == HR_V_BOOL)
            set_bool(v, !a->b);
        else
            set_unknown(v);
        return;
    }
    bool stop = in->op == OP_OR; /* the value that decides alone */
    if ((a->kind == HR_V_BOOL && a->b == stop) || (b->kind == HR_V_BOOL && b->b == stop))
        set_bool(v, stop);
    else if (a->kind != HR_V_BOOL || b->kind != HR_V_BOOL)
        set_unknown(v);
    else
        set_bool(v, !stop);
}

static void op_neg(struct vm *m, const struct insn *in)
{
    struct hr_value *v = &m->regs[in->dst];
    const struct hr_value *a = &m->regs[in->a];
    if (a->kind != HR_V_NUM) {
        set_unknown(v);
        return;
    }
    v->kind = HR_V_NUM;
    v->is_float = a->is_float;
    if (a->is_float)
        v->f = -a->f;
    else
        v->i = a->i == INT64_MIN ? INT64_MAX : -a->i;
}

static void op_agg(struct vm *m, const struct insn *in)
{
    struct hr_value *v = &m->regs[in->dst];
    const struct aggval *g = m->aggs ? &m->aggs[in->k] : NULL;
    v->kind = g && (g->n || in->x == F_SUM || in->x == F_COUNT || in->x == F_ANY) ? HR_V_NUM : HR_V_UNKNOWN;
    if (v->kind == HR_V_UNKNOWN)
        return;
    if (in->x == F_ANY) {
        set_bool(v, g->i > 0);
        return;
    }
    v->is_float = g->is_float || in->x == F_AVG;
    if (in->x == F_AVG)
        v->f = (g->is_float ? g->f : (double)g->i) / (double)g->n;
    else if (v->is_float)
        v->f = g->f;
    else
        v->i = g->i;
}

static void op_rare(struct vm *m, const struct prog *p, const struct insn *in)
{
    struct hr_value *v = &m->regs[in->dst];
    switch (in->op) {
    case OP_GLOBAL: {
        const struct hr_global *g = &m->model->globals[in->k];
        if (m->global_known[in->k]) {
            *v = m->globals[in->k];
            break;
        }
        *v = (struct hr_value){0};
        g->get(g->ctx, v);
        if ((v->kind == HR_V_STR || v->kind == HR_V_TYPE) && (!v->s || !(v->s = keep(m, v->s, v->n))))
            set_unknown(v);
        if (v->kind == HR_V_NUM || v->kind == HR_V_BOOL) {
            m->globals[in->k] = *v;
            m->global_known[in->k] = true;
        }
        break;
    }
    case OP_FIELD: {
        const struct hr_table *t = &m->model->tables[in->k2];
        uint64_t row = m->regs[in->a].row;
        bool is_row = m->regs[in->a].kind == HR_V_ROW;
        *v = (struct hr_value){0};
        if (is_row && t->field)
            t->field(t->ctx, row, p->consts.v[in->k].s, v);
        if ((v->kind == HR_V_STR || v->kind == HR_V_TYPE) && (!v->s || !(v->s = keep(m, v->s, v->n))))
            set_unknown(v);
        break;
    }
    case OP_GROUP:
        v->kind = HR_V_NUM;
        v->is_float = 0;
        v->i = m->g[in->k] > INT64_MAX ? INT64_MAX : (int64_t)m->g[in->k];
        break;
    case OP_ROW0:
        if (in->x) { /* a copy of another row */
            *v = m->regs[in->a];
        } else {
            *v = (struct hr_value){.kind = HR_V_ROW, .n = m->used};
        }
        break;
    default: break;
    }
}

static const struct hr_value *run(struct vm *m, const struct prog *p)
{
    const struct insn *code = p->code.v, *in = code;
    for (;; in++) {
        switch (in->op) {
        case OP_CONST: m->regs[in->dst] = p->consts.v[in->k]; break;
        case OP_ATTR: op_attr(m, p, in); break;
        case OP_COL: op_col(m, p, in); break;
        case OP_COLTYPE: op_coltype(m, p, in); break;
        case OP_COLNAME: op_colname(m, p, in); break;
        case OP_COLCMP:
        case OP_COLMASK:
        case OP_COLENUM: op_colcmp(m, p, in); break;
        case OP_NOT:
        case OP_AND:
        case OP_OR: op_logic(m, in); break;
        case OP_NEG: op_neg(m, in); break;
        case OP_ARITH: op_arith(m, in); break;
        case OP_CMP: op_cmp(m, p, in); break;
        case OP_MATCH:
        case OP_TYPEIS: op_text_test(m, p, in); break;
        case OP_JF:
            if (m->regs[in->a].kind == HR_V_BOOL && !m->regs[in->a].b)
                in = code + in->k - 1;
            break;
        case OP_JT:
            if (hr_vm_true(&m->regs[in->a]))
                in = code + in->k - 1;
            break;
        case OP_CALL: hr_vm_call(m, p, in); break;
        case OP_AGG: op_agg(m, in); break;
        case OP_LOOP: {
            const struct hr_table *t = &m->model->tables[in->k2];
            uint64_t n = t->count(t->ctx), row = m->regs[in->a].row;
            for (; t->live_col && row < n && t->live_col[row] != t->live_val && m->fuel; m->fuel--)
                row++;
            m->regs[in->a].row = row;
            if (row >= n)
                in = code + in->k - 1;
            break;
        }
        case OP_INC:
            m->regs[in->a].row++;
            m->used = m->regs[in->a].n; /* texts of the last turn */
            if (m->fuel < 1) {
                m->out_of_fuel = true;
                set_unknown(&m->regs[in->dst]);
            } else {
                m->fuel--;
                in = code + in->k - 1;
            }
            break;
        case OP_RET: return &m->regs[in->a];
        default: op_rare(m, p, in); break;
        }
    }
}

const struct hr_value *hr_vm_run(struct vm *m, const struct prog *p, const struct hr_table *t, uint64_t row)
{
    m->used = 0;
    m->regs[0] = (struct hr_value){.kind = t ? HR_V_ROW : HR_V_UNKNOWN, .row = row};
    return run(m, p);
}
