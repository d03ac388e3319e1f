/* Rules, lets, sets and allowances against the model. */
#include <stdio.h>

#include "rules/engine/internal.h"

static bool too_deep(struct hr_rules *r, const struct src *src, uint32_t pos, uint32_t depth)
{
    if (depth > MAX_NAMED_DEPTH)
        hr_rules_error(r, src, pos, NULL, "lets and sets are within each other more than %d deep", MAX_NAMED_DEPTH);
    return depth > MAX_NAMED_DEPTH;
}

void hr_check_let(struct hr_rules *r, struct let *l)
{
    if (l->checked)
        return;
    if (l->checking) {
        hr_rules_error(r, l->src, l->pos, NULL, "`%s` is defined by itself", l->name);
        l->expr->vk = K_BAD;
        return;
    }
    if (too_deep(r, l->src, l->pos, r->resolving))
        return;
    l->checking = true;
    r->resolving++;
    struct scope s = {.r = r, .src = l->src};
    hr_check_expr(&s, l->expr);
    r->resolving--;
    l->depth = s.depth + 1;
    too_deep(r, l->src, l->pos, l->depth);
    l->needs = s.needs;
    l->skip = s.skip;
    l->checked = true;
    l->checking = false;
}

void hr_check_set(struct hr_rules *r, struct set *set)
{
    if (set->checked)
        return;
    if (set->checking) {
        hr_rules_error(r, set->src, set->pos, NULL, "the set `%s` is defined by itself", set->name);
        set->bad = true;
        return;
    }
    if (too_deep(r, set->src, set->pos, r->resolving)) {
        set->bad = true;
        return;
    }
    set->checking = true;
    r->resolving++;
    struct scope s = {.r = r, .src = set->src, .implicit = true};
    set->bad |= !hr_check_source(&s, &set->source);
    if (!set->bad && set->where) {
        s.vars[s.nvars++] = (struct var){set->var, set->var_id, set->source.table};
        hr_check_want(&s, set->where, HR_V_BOOL, "the condition");
        set->bad |= set->where->vk == K_BAD;
    }
    r->resolving--;
    set->depth = s.depth + 1;
    set->bad |= too_deep(r, set->src, set->pos, set->depth);
    set->needs = s.needs;
    set->skip = s.skip;
    set->checked = true;
    set->checking = false;
}

static bool unknown_source(struct scope *s, const struct source *src)
{
    if (s->src && s->src->lenient) {
        s->skip = hr_rules_printf(s->r, "this image's model has no table `%s`", src->name);
        return false;
    }
    struct suggest g = {src->name};
    for (size_t i = 0; i < s->r->model->ntables; i++)
        hr_suggest(&g, s->r->model->tables[i].name);
    for (size_t i = 0; i < s->r->sets.n; i++)
        hr_suggest(&g, s->r->sets.v[i]->name);
    hr_rules_error(s->r, s->src, src->pos, g.best, "unknown source `%s`", src->name);
    return false;
}

static bool check_of(struct scope *s, struct source *src)
{
    const struct hr_attr *a = hr_table_attr(src->table, "type");
    if (!a) {
        hr_rules_error(s->r, s->src, src->of_pos, NULL, "%s have no type", src->name);
        return false;
    }
    if (!src->of_quoted) {
        const char *type = hr_type_alias(s->r, src->of);
        if (!type) {
            struct suggest g = {src->of};
            for (size_t i = 0; i < s->r->aliases.n; i++)
                hr_suggest(&g, s->r->aliases.v[i].name);
            hr_rules_error(s->r, s->src, src->of_pos, g.best, "unknown type `%s`; write it in quotes, or name it with `type %s = \"…\"`",
                           src->of, src->of);
            return false;
        }
        src->of = type;
        src->of_quoted = true;
    }
    s->needs |= a->needs | HR_NEED_TYPES;
    if (!hr_type_known(s->r, src->of))
        s->skip = hr_rules_printf(s->r, "the program has no type \"%s\"", src->of);
    return true;
}

bool hr_check_source(struct scope *s, struct source *src)
{
    src->set = hr_find_set(s->r, src->name);
    if (src->set) {
        hr_check_set(s->r, src->set);
        s->needs |= src->set->needs;
        if (src->set->depth > s->depth)
            s->depth = src->set->depth;
        if (src->set->skip)
            s->skip = src->set->skip;
        if (src->set->bad)
            return false;
        src->table = src->set->source.table;
    } else {
        src->table = hr_model_table(s->r->model, src->name);
    }
    if (!src->table)
        return unknown_source(s, src);
    s->needs |= src->table->needs;
    return !src->of || check_of(s, src);
}

/* Does the text show what was in memory? Numbers made of it do not; quote() sees to it itself. */
static bool shows_contents(const struct node *n)
{
    if (!n)
        return false;
    if (n->kind == N_FIELD || (n->kind == N_ATTR && n->attr && (n->attr->needs & HR_NEED_STRINGS)))
        return true;
    if (n->kind == N_LET)
        return shows_contents(n->b);
    if (n->kind == N_CALL) {
        static const uint8_t harmless[] = {F_BYTES, F_PCT, F_QUOTE, F_SIGNED, F_ADDR, F_LEN, F_PLURAL, F_KNOWN, F_SUM, F_AVG,
                                           F_AMAX, F_AMIN, F_COUNT};
        if (memchr(harmless, (int)n->id, sizeof harmless))
            return false;
        for (uint32_t i = 0; i < n->nargs; i++)
            if (shows_contents(n->args[i]))
                return true;
    }
    return n->kind == N_ATTR ? shows_contents(n->a) : false;
}

static void check_template(struct scope *s, const struct tmpl *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        struct node *e = t->v[i].expr;
        if (hr_is_image(e))
            continue;
        if (e)
            t->v[i].contents = hr_check_expr(s, e) != K_BAD && shows_contents(e);
        if (e && e->vk == HR_V_ROW)
            hr_rules_error(s->r, e->src, e->pos, NULL, "a whole thing cannot be written; name one of its attributes");
    }
}

static void check_trace(struct scope *s, struct rule *rule)
{
    struct node *n = rule->trace;
    if (!n)
        return;
    struct node *of = n->kind == N_CALL && !strcmp(n->text, "root_path") && n->nargs == 1 ? n->args[0] : n;
    if (of->orig != N_NAME || strcmp(of->text, rule->var))
        hr_rules_error(s->r, n->src, n->pos, NULL, "a trace is `root_path(%s)`", rule->var);
    s->needs |= HR_NEED_GRAPH | HR_NEED_REACH;
}

/* let leak.cycle.severity = note */
static void override_severity(struct hr_rules *r, struct rule *rule)
{
    char name[256];
    snprintf(name, sizeof name, "%s.severity", rule->name);
    struct let *l = hr_find_let(r, name);
    if (!l)
        return;
    const struct node *e = l->expr;
    const char *z = e->orig == N_NAME || e->orig == N_STR ? e->text : "";
    rule->off = !strcmp(z, "off");
    if (!strcmp(z, "note") || !strcmp(z, "warning") || !strcmp(z, "error"))
        rule->severity = *z == 'n' ? HR_SEV_NOTE : *z == 'w' ? HR_SEV_WARNING : HR_SEV_ERROR;
    else if (!rule->off)
        hr_rules_error(r, l->src, l->expr->pos, NULL, "a severity is note, warning, error or off");
}

static void check_budget(struct scope *s, struct rule *rule)
{
    hr_check_want(s, rule->where, HR_V_BOOL, "the budget");
    if (rule->when)
        hr_check_want(s, rule->when, HR_V_BOOL, "the condition");
    for (uint32_t i = 0; i < rule->ngroup; i++)
        hr_check_want(s, rule->group[i], HR_V_NUM, "a budget");
}

void hr_check_rule(struct hr_rules *r, struct rule *rule)
{
    struct scope s = {.r = r, .rule = rule, .src = rule->src};
    rule->nagg = 0;
    rule->agg = NULL;
    override_severity(r, rule);
    if (rule->budget) {
        check_budget(&s, rule);
    } else if (hr_check_source(&s, &rule->source)) {
        s.vars[s.nvars++] = (struct var){rule->var, rule->var_id, rule->source.table};
        s.implicit = !strcmp(rule->var, "it");
        if (rule->where)
            hr_check_want(&s, rule->where, HR_V_BOOL, "the condition");
        if (rule->count)
            hr_check_want(&s, rule->count, HR_V_NUM, "`count`");
        if (rule->bytes)
            hr_check_want(&s, rule->bytes, HR_V_NUM, "`bytes`");
        for (uint32_t i = 0; i < rule->ngroup; i++)
            hr_check_expr(&s, rule->group[i]);
        for (uint32_t i = 0; i < rule->nkey; i++)
            hr_check_expr(&s, rule->key[i]);
        s.group = true;
        if (rule->report_if)
            hr_check_want(&s, rule->report_if, HR_V_BOOL, "the condition");
        check_template(&s, &rule->title);
        check_template(&s, &rule->help);
        check_template(&s, &rule->remedy);
        check_template(&s, &rule->next);
        check_trace(&s, rule);
    }
    rule->needs = s.needs;
    rule->skip = s.skip;
}

void hr_check_allow(struct hr_rules *r, struct allow *a, const struct hr_table *findings)
{
    for (uint32_t i = 0; i < a->nrules; i++) {
        bool known = false;
        struct suggest g = {a->rules[i]};
        for (size_t k = 0; k < r->rules.n; k++) {
            known |= !strcmp(r->rules.v[k]->name, a->rules[i]);
            hr_suggest(&g, r->rules.v[k]->name);
        }
        if (!known)
            hr_rules_error(r, a->src, a->pos, g.best, "this allow is about `%s`, and there is no such rule", a->rules[i]);
    }
    if (!a->where)
        return;
    struct scope s = {.r = r, .src = a->src, .implicit = true};
    a->var_id = r->next_var++;
    s.vars[s.nvars++] = (struct var){"it", a->var_id, findings};
    hr_check_want(&s, a->where, HR_V_BOOL, "the condition");
}
