/* Trees to programs. Registers are handed out like a stack: an expression for register d uses d and above. */
#include "rules/engine/internal.h"

struct bind { uint32_t id; uint16_t reg; };
struct gen {
    struct hr_rules *r;
    struct prog *p;
    struct bind bind[64];
    unsigned nbind;
    bool failed;
};

static void gen(struct gen *g, const struct node *n, uint16_t dst);

static uint32_t emit(struct gen *g, enum op op, uint16_t dst, uint16_t a, uint16_t b, uint32_t k)
{
    struct prog *p = g->p;
    uint16_t top = dst > a ? dst : a;
    if (b > top)
        top = b;
    if (top + 1u > p->nregs)
        p->nregs = top + 1u;
    if (p->code.n >= HR_MAX_RULE_CODE || top > 8000)
        p->too_large = true;
    if (p->too_large || insnvec_push(&p->code, (struct insn){(uint8_t)op, 0, dst, a, b, k, 0}) != HR_OK) {
        g->failed = true;
        return 0;
    }
    return (uint32_t)p->code.n - 1;
}

static struct insn *last(struct gen *g)
{
    static struct insn spare; /* nothing is emitted any more */
    return g->failed ? &spare : &g->p->code.v[g->p->code.n - 1];
}

static void patch(struct gen *g, uint32_t at)
{
    if (!g->failed)
        g->p->code.v[at].k = (uint32_t)g->p->code.n;
}

static uint32_t constant(struct gen *g, struct hr_value v)
{
    if (valuevec_push(&g->p->consts, v) != HR_OK)
        g->failed = true;
    return (uint32_t)g->p->consts.n - 1;
}

static struct hr_value text_value(const char *z) { return (struct hr_value){.kind = HR_V_STR, .s = z, .n = strlen(z)}; }

static uint32_t site(struct gen *g, const struct hr_attr *a, const struct hr_table *t)
{
    bool again = false;
    for (size_t i = 0; i < g->p->sites.n; i++)
        if (g->p->sites.v[i].attr == a)
            again = g->p->sites.v[i].copy = true;
    if (g->p->sites.n > UINT16_MAX || sitevec_push(&g->p->sites, (struct site){a, t, again}) != HR_OK)
        g->failed = true;
    return (uint32_t)g->p->sites.n - 1;
}

static uint16_t var_reg(struct gen *g, uint32_t id)
{
    for (unsigned i = g->nbind; i-- > 0;)
        if (g->bind[i].id == id)
            return g->bind[i].reg;
    g->failed = true;
    return 0;
}

static void bind(struct gen *g, uint32_t id, uint16_t reg)
{
    if (g->nbind == sizeof g->bind / sizeof *g->bind) {
        g->failed = g->p->too_large = true;
        return;
    }
    g->bind[g->nbind++] = (struct bind){id, reg};
}

/* The register of the row an attribute is asked of. */
static uint16_t row_of(struct gen *g, const struct node *n, uint16_t dst)
{
    if (n->kind == N_VAR)
        return var_reg(g, n->id);
    gen(g, n, dst);
    return dst;
}

static void load_attr(struct gen *g, const struct hr_attr *a, const struct hr_table *t, uint16_t row, uint16_t dst)
{
    enum op op = !a->col ? OP_ATTR : a->kind == HR_V_TYPE ? OP_COLTYPE : a->names ? OP_COLNAME : OP_COL;
    emit(g, op, dst, row, 0, site(g, a, t));
}

static bool is_column(const struct node *n)
{
    return n->kind == N_ATTR && n->attr->col && n->a->table && (n->attr->kind == HR_V_NUM || n->attr->names);
}

/* Column against a number or a word of an enumeration: one instruction, no values in between. */
static bool gen_column_compare(struct gen *g, const struct node *n, uint16_t dst)
{
    static const uint8_t mirrored[] = {[B_EQ] = B_EQ, [B_NE] = B_NE, [B_LT] = B_GT, [B_LE] = B_GE, [B_GT] = B_LT, [B_GE] = B_LE};
    const struct node *col = n->a, *lit = n->b;
    uint8_t op = n->op;
    if (!is_column(col)) {
        col = n->b, lit = n->a;
        op = mirrored[op];
    }
    while (lit->kind == N_LET)
        lit = lit->b;
    if (!is_column(col) || (col->attr->names ? lit->kind != N_STR : lit->kind != N_NUM || lit->is_float))
        return false;
    int64_t want = lit->i;
    if (col->attr->names) {
        want = -1;
        for (uint32_t i = 0; i < col->attr->nnames && want < 0; i++)
            if (col->attr->names[i] && !strcmp(col->attr->names[i], lit->text))
                want = i;
    }
    uint16_t row = row_of(g, col->a, dst);
    emit(g, col->attr->names ? OP_COLENUM : OP_COLCMP, dst, row, 0, site(g, col->attr, col->a->table));
    last(g)->x = op;
    last(g)->k2 = constant(g, (struct hr_value){.kind = HR_V_NUM, .i = want});
    return true;
}

static void gen_type_is(struct gen *g, uint16_t dst, const char *name, bool negated)
{
    emit(g, OP_TYPEIS, dst, dst, 0, constant(g, text_value(name)));
    last(g)->x = negated;
    last(g)->k2 = g->p->ncaches++;
}

static void gen_compare(struct gen *g, const struct node *n, uint16_t dst)
{
    if (gen_column_compare(g, n, dst))
        return;
    const struct node *type = n->a->vk == HR_V_TYPE ? n->a : n->b, *lit = type == n->a ? n->b : n->a;
    if (type->vk == HR_V_TYPE && lit->kind == N_STR && (n->op == B_EQ || n->op == B_NE)) {
        gen(g, type, dst);
        gen_type_is(g, dst, lit->text, n->op == B_NE);
        return;
    }
    gen(g, n->a, dst);
    gen(g, n->b, (uint16_t)(dst + 1));
    emit(g, OP_CMP, dst, dst, (uint16_t)(dst + 1), 0);
    last(g)->x = n->op;
}

static void gen_binary(struct gen *g, const struct node *n, uint16_t dst)
{
    uint32_t jump;
    switch (n->op) {
    case B_AND:
    case B_OR:
        gen(g, n->a, dst);
        jump = emit(g, n->op == B_AND ? OP_JF : OP_JT, 0, dst, 0, 0);
        gen(g, n->b, (uint16_t)(dst + 1));
        emit(g, n->op == B_AND ? OP_AND : OP_OR, dst, dst, (uint16_t)(dst + 1), 0);
        patch(g, jump);
        break;
    case B_MATCH:
    case B_NOMATCH:
        gen(g, n->a, dst);
        emit(g, OP_MATCH, dst, dst, 0, n->b->id);
        last(g)->x = n->op == B_NOMATCH;
        last(g)->k2 = g->p->ncaches++;
        break;
    case B_ADD:
    case B_SUB:
    case B_MUL:
    case B_DIV:
        gen(g, n->a, dst);
        gen(g, n->b, (uint16_t)(dst + 1));
        emit(g, OP_ARITH, dst, dst, (uint16_t)(dst + 1), 0);
        last(g)->x = n->op;
        break;
    default:
        gen_compare(g, n, dst);
    }
}

/* The conditions a source itself brings: of its set, of its type. Joined into dst; false when there are none. */
static bool gen_source(struct gen *g, const struct source *src, uint16_t row, uint16_t dst, bool have)
{
    if (src->set) {
        have = gen_source(g, &src->set->source, row, dst, have);
        if (src->set->where) {
            uint16_t to = (uint16_t)(dst + have);
            bind(g, src->set->var_id, row);
            gen(g, src->set->where, to);
            g->nbind--;
            if (have)
                emit(g, OP_AND, dst, dst, to, 0);
            have = true;
        }
    }
    if (src->of) {
        uint16_t to = (uint16_t)(dst + have);
        load_attr(g, hr_table_attr(src->table, "type"), src->table, row, to);
        gen_type_is(g, to, src->of, false);
        if (have)
            emit(g, OP_AND, dst, dst, to, 0);
        have = true;
    }
    return have;
}

/* Source's conditions and then n (may be NULL) into dst. */
static void gen_condition(struct gen *g, const struct source *src, const struct node *n, uint16_t row, uint16_t dst)
{
    bool have = src && gen_source(g, src, row, dst, false);
    uint32_t jump = have && n ? emit(g, OP_JF, 0, dst, 0, 0) : 0;
    if (n)
        gen(g, n, (uint16_t)(dst + have));
    else if (!have)
        emit(g, OP_CONST, dst, 0, 0, constant(g, (struct hr_value){.kind = HR_V_BOOL, .b = true}));
    if (have && n) {
        emit(g, OP_AND, dst, dst, (uint16_t)(dst + 1), 0);
        patch(g, jump);
    }
}

static void gen_exists(struct gen *g, const struct node *n, uint16_t dst)
{
    uint16_t row = (uint16_t)(dst + 1), cond = (uint16_t)(dst + 2);
    const struct hr_table *t = n->source->table;
    emit(g, OP_CONST, dst, 0, 0, constant(g, (struct hr_value){.kind = HR_V_BOOL}));
    emit(g, OP_ROW0, row, 0, 0, 0);
    uint32_t loop = emit(g, OP_LOOP, 0, row, 0, 0);
    last(g)->k2 = (uint32_t)(t - g->r->model->tables);
    bind(g, n->id, row);
    gen_condition(g, n->source, n->a, row, cond);
    if (g->nbind)
        g->nbind--;
    emit(g, OP_OR, dst, dst, cond, 0);
    uint32_t found = emit(g, OP_JT, 0, dst, 0, 0);
    emit(g, OP_INC, dst, row, 0, loop);
    patch(g, loop);
    patch(g, found);
}

/* A word of an enumeration among words: one bit each. */
static bool gen_mask(struct gen *g, const struct node *n, uint16_t dst)
{
    if (n->set || !is_column(n->a) || !n->a->attr->names || n->a->attr->nnames > 63)
        return false;
    int64_t mask = 0;
    for (uint32_t i = 0; i < n->nargs; i++) {
        if (n->args[i]->kind != N_STR)
            return false;
        for (uint32_t k = 0; k < n->a->attr->nnames; k++)
            if (n->a->attr->names[k] && !strcmp(n->a->attr->names[k], n->args[i]->text))
                mask |= 1ll << k;
    }
    uint16_t row = row_of(g, n->a->a, dst);
    emit(g, OP_COLMASK, dst, row, 0, site(g, n->a->attr, n->a->a->table));
    last(g)->k2 = constant(g, (struct hr_value){.kind = HR_V_NUM, .i = mask});
    return true;
}

static void gen_in(struct gen *g, const struct node *n, uint16_t dst)
{
    uint16_t one = (uint16_t)(dst + 1);
    if (gen_mask(g, n, dst)) {
        ;
    } else if (n->set) {
        gen(g, n->a, one);
        struct source src = {.set = n->set, .table = n->set->source.table};
        if (!gen_source(g, &src, one, dst, false))
            emit(g, OP_CONST, dst, 0, 0, constant(g, (struct hr_value){.kind = HR_V_BOOL, .b = true}));
    } else {
        emit(g, OP_CONST, dst, 0, 0, constant(g, (struct hr_value){.kind = HR_V_BOOL}));
        for (uint32_t i = 0; i < n->nargs; i++) {
            struct node eq = {.kind = N_BIN, .op = B_EQ, .a = n->a, .b = n->args[i]};
            gen_compare(g, &eq, one);
            emit(g, OP_OR, dst, dst, one, 0);
        }
    }
    if (n->negated)
        emit(g, OP_NOT, dst, dst, 0, 0);
}

static void gen_call(struct gen *g, const struct node *n, uint16_t dst)
{
    if (hr_funcs[n->id].aggregate) {
        emit(g, OP_AGG, dst, 0, 0, (uint32_t)n->i);
        last(g)->x = (uint8_t)n->id;
        return;
    }
    for (uint32_t i = 0; i < n->nargs; i++)
        gen(g, n->args[i], (uint16_t)(dst + i));
    emit(g, OP_CALL, dst, dst, 0, n->id);
    last(g)->x = (uint8_t)n->nargs;
}

static void gen(struct gen *g, const struct node *n, uint16_t dst)
{
    if (g->failed)
        return;
    switch (n->kind) {
    case N_NUM:
    case N_ENUM:
        emit(g, OP_CONST, dst, 0, 0,
             constant(g, n->is_float ? (struct hr_value){.kind = HR_V_NUM, .is_float = 1, .f = n->f}
                                     : (struct hr_value){.kind = HR_V_NUM, .i = n->i}));
        break;
    case N_STR: emit(g, OP_CONST, dst, 0, 0, constant(g, text_value(n->text))); break;
    case N_BOOL: emit(g, OP_CONST, dst, 0, 0, constant(g, (struct hr_value){.kind = HR_V_BOOL, .b = n->i != 0})); break;
    case N_LET: gen(g, n->b, dst); break;
    case N_VAR: emit(g, OP_CONST, dst, 0, 0, constant(g, (struct hr_value){0})); last(g)->op = OP_ROW0; last(g)->a = var_reg(g, n->id); last(g)->x = 1; break;
    case N_ATTR: load_attr(g, n->attr, n->a->table, row_of(g, n->a, dst), dst); break;
    case N_GLOBAL: emit(g, OP_GLOBAL, dst, 0, 0, (uint32_t)(n->global - g->r->model->globals)); break;
    case N_FIELD:
        emit(g, OP_FIELD, dst, row_of(g, n->a, dst), 0, constant(g, text_value(n->text)));
        last(g)->k2 = (uint32_t)(n->a->table - g->r->model->tables);
        break;
    case N_GROUP: emit(g, OP_GROUP, dst, 0, 0, n->id); break;
    case N_NOT:
    case N_NEG:
        gen(g, n->a, dst);
        emit(g, n->kind == N_NOT ? OP_NOT : OP_NEG, dst, dst, 0, 0);
        break;
    case N_BIN: gen_binary(g, n, dst); break;
    case N_CALL: gen_call(g, n, dst); break;
    case N_IN: gen_in(g, n, dst); break;
    case N_EXISTS: gen_exists(g, n, dst); break;
    case N_IS:
        if (n->attr)
            load_attr(g, n->attr, n->a->table, row_of(g, n->a, dst), dst);
        else
            gen(g, n->a, dst);
        gen_type_is(g, dst, n->text, n->negated);
        break;
    default: g->failed = true;
    }
}

void hr_prog_free(struct prog *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; p->caches && i < p->ncaches; i++)
        hr_free(p->caches[i].w);
    hr_free(p->caches);
    insnvec_deinit(&p->code);
    valuevec_deinit(&p->consts);
    sitevec_deinit(&p->sites);
    hr_free(p);
}

struct prog *hr_compile(struct hr_rules *r, struct node *n, const struct source *src, uint32_t var_id)
{
    struct prog *p = hr_zalloc(1, sizeof *p);
    if (!p || progvec_push(&r->progs, p) != HR_OK) {
        hr_free(p);
        r->no_memory = true;
        return NULL;
    }
    p->code.max = p->consts.max = p->sites.max = HR_MAX_RULE_CODE + 1;
    p->nregs = 1;
    struct gen g = {.r = r, .p = p};
    bind(&g, var_id, 0);
    gen_condition(&g, src, n, 0, 1);
    emit(&g, OP_RET, 0, 1, 0, 0);
    if (!g.failed)
        p->caches = hr_zalloc(p->ncaches, sizeof *p->caches);
    if (!g.failed && p->caches)
        return p;
    if (p->too_large)
        hr_rules_error(r, n ? n->src : NULL, n ? n->pos : 0, NULL, "this expression is too large once its lets and sets are filled in");
    else
        r->no_memory = true;
    return NULL;
}

static struct prog **compile_list(struct hr_rules *r, struct node **v, uint32_t n, uint32_t var_id)
{
    struct prog **p = hr_rules_take(r, (n + 1) * sizeof *p);
    for (uint32_t i = 0; p && i < n; i++)
        p[i] = v[i] ? hr_compile(r, v[i], NULL, var_id) : NULL;
    return p;
}

static struct prog **compile_text(struct hr_rules *r, const struct tmpl *t, uint32_t var_id)
{
    struct prog **p = hr_rules_take(r, (t->n + 1) * sizeof *p);
    for (uint32_t i = 0; p && i < t->n; i++)
        p[i] = t->v[i].expr && !hr_is_image(t->v[i].expr) ? hr_compile(r, t->v[i].expr, NULL, var_id) : NULL;
    return p;
}

bool hr_compile_rule(struct hr_rules *r, struct rule *rule)
{
    uint32_t id = rule->var_id;
    rule->p_where = hr_compile(r, rule->where, rule->budget ? NULL : &rule->source, id);
    rule->p_when = rule->when ? hr_compile(r, rule->when, NULL, id) : NULL;
    rule->p_count = rule->count ? hr_compile(r, rule->count, NULL, id) : NULL;
    rule->p_bytes = rule->bytes ? hr_compile(r, rule->bytes, NULL, id) : NULL;
    rule->p_report = rule->report_if ? hr_compile(r, rule->report_if, NULL, id) : NULL;
    rule->p_group = compile_list(r, rule->group, rule->ngroup, id);
    rule->p_key = compile_list(r, rule->key, rule->nkey, id);
    struct node *args[16] = {0};
    for (uint32_t i = 0; i < rule->nagg; i++)
        args[i] = rule->agg[i]->nargs ? rule->agg[i]->args[0] : NULL;
    rule->p_agg = compile_list(r, args, rule->nagg, id);
    rule->p_title = compile_text(r, &rule->title, id);
    rule->p_help = compile_text(r, &rule->help, id);
    rule->p_remedy = compile_text(r, &rule->remedy, id);
    rule->p_next = compile_text(r, &rule->next, id);
    return !r->no_memory && !r->has_errors;
}
