/* Kinds of expressions. A sub-expression that was wrong has kind K_BAD and silences what is above it. */
#include <stdio.h>

#include "rules/engine/internal.h"

static bool texty(uint8_t k) { return k == HR_V_STR || k == HR_V_TYPE; }

static bool fits(uint8_t have, uint8_t want)
{
    return have == K_BAD || have == K_ANY || want == K_ANY || have == want || (texty(have) && texty(want));
}

void hr_check_want(struct scope *s, struct node *n, uint8_t kind, const char *what)
{
    uint8_t k = hr_check_expr(s, n);
    if (!fits(k, kind)) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "%s has to be %s, this is %s", what, hr_vk_name(kind), hr_vk_name(k));
        n->vk = K_BAD;
    }
}

/* A literal compared with an enumerated attribute has to be one of its words. */
static void check_word(struct scope *s, const struct node *attr, const struct node *lit)
{
    if (attr->kind != N_ATTR || !attr->attr->names || lit->kind != N_STR)
        return;
    struct suggest g = {lit->text};
    for (uint32_t i = 0; i < attr->attr->nnames; i++) {
        const char *z = attr->attr->names[i];
        if (z && !strcmp(z, lit->text))
            return;
        if (z)
            hr_suggest(&g, z);
    }
    hr_rules_error(s->r, lit->src, lit->pos, g.best, "`%s` is never \"%s\"", attr->text, lit->text);
}

static uint8_t check_compare(struct scope *s, struct node *n)
{
    uint8_t a = hr_check_expr(s, n->a), b = hr_check_expr(s, n->b);
    if (a == K_BAD || b == K_BAD)
        return K_BAD;
    bool order = n->op != B_EQ && n->op != B_NE;
    if (!fits(a, b)) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "this compares %s with %s", hr_vk_name(a), hr_vk_name(b));
        return K_BAD;
    }
    if (order && ((a != K_ANY && a != HR_V_NUM) || (b != K_ANY && b != HR_V_NUM))) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "only numbers are larger or smaller, not %s", hr_vk_name(a == HR_V_NUM ? b : a));
        return K_BAD;
    }
    check_word(s, n->a, n->b);
    check_word(s, n->b, n->a);
    return HR_V_BOOL;
}

static uint8_t check_binary(struct scope *s, struct node *n)
{
    bool soft = s->soft;
    switch (n->op) {
    case B_OR:
    case B_AND:
        s->soft |= n->op == B_OR;
        hr_check_want(s, n->a, HR_V_BOOL, n->op == B_OR ? "what `or` joins" : "what `and` joins");
        hr_check_want(s, n->b, HR_V_BOOL, n->op == B_OR ? "what `or` joins" : "what `and` joins");
        s->soft = soft;
        break;
    case B_MATCH:
    case B_NOMATCH:
        hr_check_want(s, n->a, HR_V_STR, "what a pattern is matched with");
        if (!hr_regex_add(s->r, n->b))
            return K_BAD;
        return n->a->vk == K_BAD ? K_BAD : HR_V_BOOL;
    case B_ADD:
    case B_SUB:
    case B_MUL:
    case B_DIV:
        hr_check_want(s, n->a, HR_V_NUM, "what is reckoned with");
        hr_check_want(s, n->b, HR_V_NUM, "what is reckoned with");
        return n->a->vk == K_BAD || n->b->vk == K_BAD ? K_BAD : HR_V_NUM;
    default:
        return check_compare(s, n);
    }
    return n->a->vk == K_BAD || n->b->vk == K_BAD ? K_BAD : HR_V_BOOL;
}

/* `x is Session`, `x is "struct session"`; x may be a type, or a thing that has one. */
static uint8_t check_is(struct scope *s, struct node *n)
{
    uint8_t k = hr_check_expr(s, n->a);
    const char *type = n->b->text;
    if (n->b->orig == N_NAME && !(type = hr_type_alias(s->r, n->b->text))) {
        struct suggest g = {n->b->text};
        for (size_t i = 0; i < s->r->aliases.n; i++)
            hr_suggest(&g, s->r->aliases.v[i].name);
        hr_rules_error(s->r, n->b->src, n->b->pos, g.best, "unknown type `%s`; write it in quotes, or name it with `type %s = \"…\"`",
                       n->b->text, n->b->text);
        return K_BAD;
    }
    if (k == K_BAD)
        return K_BAD;
    if (k == HR_V_ROW) {
        const struct hr_attr *a = hr_table_attr(n->a->table, "type");
        if (!a) {
            hr_rules_error(s->r, n->src, n->pos, NULL, "%s have no type", n->a->table ? n->a->table->name : "these");
            return K_BAD;
        }
        s->needs |= a->needs;
        n->attr = a;
    } else {
        n->attr = NULL;
        if (!texty(k) && k != K_ANY) {
            hr_rules_error(s->r, n->src, n->pos, NULL, "%s is of no type", hr_vk_name(k));
            return K_BAD;
        }
    }
    n->text = type;
    s->needs |= HR_NEED_TYPES;
    if (!n->negated && !s->soft && s->rule && !hr_type_known(s->r, type))
        s->skip = hr_rules_printf(s->r, "the program has no type \"%s\"", type);
    return HR_V_BOOL;
}

static uint8_t check_in(struct scope *s, struct node *n)
{
    uint8_t k = hr_check_expr(s, n->a);
    if (n->args) {
        for (uint32_t i = 0; i < n->nargs; i++) {
            uint8_t e = hr_check_expr(s, n->args[i]);
            if (k != K_BAD && e != K_BAD && !fits(e, k)) {
                hr_rules_error(s->r, n->args[i]->src, n->args[i]->pos, NULL, "%s is looked for among %s", hr_vk_name(k), hr_vk_name(e));
                return K_BAD;
            }
            check_word(s, n->a, n->args[i]);
        }
        return k == K_BAD ? K_BAD : HR_V_BOOL;
    }
    n->set = hr_find_set(s->r, n->text);
    if (!n->set) {
        struct suggest g = {n->text};
        for (size_t i = 0; i < s->r->sets.n; i++)
            hr_suggest(&g, s->r->sets.v[i]->name);
        hr_rules_error(s->r, n->src, n->pos, g.best, "unknown set `%s`", n->text);
        return K_BAD;
    }
    hr_check_set(s->r, n->set);
    s->needs |= n->set->needs;
    if (n->set->depth > s->depth)
        s->depth = n->set->depth;
    if (n->set->skip)
        s->skip = n->set->skip;
    if (k == K_BAD || n->set->bad)
        return K_BAD;
    if (k != HR_V_ROW || n->a->table != n->set->source.table) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "`%s` holds %s, this is %s", n->set->name, n->set->source.table->name,
                       k == HR_V_ROW && n->a->table ? n->a->table->name : hr_vk_name(k));
        return K_BAD;
    }
    return HR_V_BOOL;
}

static uint8_t check_exists(struct scope *s, struct node *n)
{
    if (!hr_check_source(s, n->source))
        return K_BAD;
    const struct hr_table *t = n->source->table, *all = s->r->model->tables;
    if (t < all || t >= all + s->r->model->ntables) {
        hr_rules_error(s->r, n->src, n->source->pos, NULL, "`%s` always exists", n->source->name);
        return K_BAD;
    }
    if (s->nvars == sizeof s->vars / sizeof *s->vars) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "more than 9 `exists` within each other");
        return K_BAD;
    }
    n->id = s->r->next_var++;
    s->vars[s->nvars++] = (struct var){n->text, n->id, n->source->table};
    if (n->a)
        hr_check_want(s, n->a, HR_V_BOOL, "the condition");
    s->nvars--;
    return n->a && n->a->vk == K_BAD ? K_BAD : HR_V_BOOL;
}

static int find_func(const struct node *n, bool group)
{
    int found = -1;
    for (int i = 0; i < F_N; i++)
        if (!strcmp(hr_funcs[i].name, n->text)) {
            /* max(a, b) is a function, max(e) is over the group */
            bool one = n->nargs <= 1;
            if (found < 0 || (hr_funcs[i].aggregate && one && group))
                found = i;
            if (hr_funcs[i].aggregate && one && found >= 0 && !hr_funcs[found].aggregate)
                found = i;
        }
    return found;
}

static uint8_t check_aggregate(struct scope *s, struct node *n)
{
    if (!s->group || s->aggregate) {
        hr_rules_error(s->r, n->src, n->pos, NULL, s->group ? "`%s` is inside another sum over the group"
                       : "`%s` of one thing is over a group; it belongs in `report if` or a text", n->text);
        return K_BAD;
    }
    s->aggregate = true;
    uint8_t k = n->nargs ? hr_check_expr(s, n->args[0]) : HR_V_NUM;
    s->aggregate = false;
    bool truth = n->id == F_COUNT || n->id == F_ANY;
    if (k == K_BAD)
        return K_BAD;
    if (n->nargs && !fits(k, truth ? HR_V_BOOL : HR_V_NUM)) {
        hr_rules_error(s->r, n->args[0]->src, n->args[0]->pos, NULL, "`%s` goes over %s, this is %s", n->text,
                       truth ? "conditions" : "numbers", hr_vk_name(k));
        return K_BAD;
    }
    struct rule *rule = s->rule;
    struct node **more = rule && rule->nagg < 16 ? hr_rules_take(s->r, (rule->nagg + 1) * sizeof *more) : NULL;
    if (!more) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "more than 16 sums over the group in one rule");
        return K_BAD;
    }
    if (rule->nagg)
        memcpy(more, rule->agg, rule->nagg * sizeof *more);
    more[rule->nagg] = n;
    rule->agg = more;
    n->op = (uint8_t)n->id;
    n->i = rule->nagg++;
    return n->op == F_ANY ? HR_V_BOOL : HR_V_NUM;
}

static uint8_t check_call(struct scope *s, struct node *n)
{
    int f = find_func(n, s->group);
    if (f < 0) {
        struct suggest g = {n->text};
        for (int i = 0; i < F_N; i++)
            hr_suggest(&g, hr_funcs[i].name);
        hr_rules_error(s->r, n->src, n->pos, g.best, "unknown function `%s`", n->text);
        return K_BAD;
    }
    n->id = (uint32_t)f;
    const struct func *fn = &hr_funcs[f];
    size_t most = strlen(fn->args), least = 0;
    while (least < most && fn->args[least] >= 'a')
        least++;
    bool many = f == F_MAX || f == F_MIN || f == F_JOIN;
    if (n->nargs < least || (n->nargs > most && !many)) {
        hr_rules_error(s->r, n->src, n->pos, NULL, least == most ? "`%s` takes %zu argument%s, not %u" : "`%s` takes at least %zu argument%s, not %u",
                       n->text, least, least == 1 ? "" : "s", n->nargs);
        return K_BAD;
    }
    if (fn->aggregate)
        return check_aggregate(s, n);
    bool ok = true;
    for (uint32_t i = 0; i < n->nargs; i++) {
        char c = fn->args[i < most ? i : most - 1] | 32;
        uint8_t want = c == 'n' ? HR_V_NUM : c == 't' ? HR_V_STR : c == 'b' ? HR_V_BOOL : K_ANY;
        char what[64];
        snprintf(what, sizeof what, "argument %u of `%.30s`", i + 1, n->text);
        hr_check_want(s, n->args[i], want, what);
        ok &= n->args[i]->vk != K_BAD;
    }
    if (!ok)
        return K_BAD;
    if (f == F_ROOT_PATH) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "`root_path` belongs in a `trace` clause");
        return K_BAD;
    }
    return fn->result != K_ANY ? fn->result : f == F_IF ? n->args[1]->vk : n->args[0]->vk;
}

static uint8_t check_enum(struct scope *s, struct node *n)
{
    const struct hr_model *m = s->r->model;
    n->is_float = false;
    s->needs |= HR_NEED_TYPES;
    if (m->enum_value && m->enum_value(m->names_ctx, n->text, &n->i))
        return HR_V_NUM;
    s->skip = hr_rules_printf(s->r, "the program has no enumerator \"%s\"", n->text);
    n->i = 0;
    return HR_V_NUM;
}

static uint8_t check_field(struct scope *s, struct node *n)
{
    uint8_t k = hr_check_expr(s, n->a);
    if (k == K_BAD)
        return K_BAD;
    if (k != HR_V_ROW || !n->a->table || !n->a->table->field) {
        hr_rules_error(s->r, n->src, n->pos, NULL, "%s have no fields of the program; `.` asks for attributes",
                       k == HR_V_ROW && n->a->table ? n->a->table->name : "these");
        return K_BAD;
    }
    s->needs |= HR_NEED_TYPES;
    return K_ANY;
}

static uint8_t check_kind(struct scope *s, struct node *n)
{
    switch (n->kind) {
    case N_NUM: return HR_V_NUM;
    case N_STR: return HR_V_STR;
    case N_BOOL: return HR_V_BOOL;
    case N_NAME: hr_resolve_name(s, n); return n->vk;
    case N_ATTR: hr_resolve_attr(s, n); return n->vk;
    case N_FIELD: return check_field(s, n);
    case N_CALL: return check_call(s, n);
    case N_BIN: return check_binary(s, n);
    case N_IN: return check_in(s, n);
    case N_IS: return check_is(s, n);
    case N_EXISTS: return check_exists(s, n);
    case N_ENUM: return check_enum(s, n);
    case N_NEG:
        hr_check_want(s, n->a, HR_V_NUM, "what is negated with `-`");
        return n->a->vk == K_BAD ? K_BAD : HR_V_NUM;
    case N_NOT: {
        bool soft = s->soft;
        s->soft = true;
        hr_check_want(s, n->a, HR_V_BOOL, "what `not` turns round");
        s->soft = soft;
        return n->a->vk == K_BAD ? K_BAD : HR_V_BOOL;
    }
    default: return n->vk; /* made by the checker */
    }
}

uint8_t hr_check_expr(struct scope *s, struct node *n)
{
    n->kind = n->orig;
    uint8_t k = check_kind(s, n); /* becomes n->vk only now: resolving a name changes the node */
    return n->vk = k;
}
