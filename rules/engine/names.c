/* What a name means: variable, group word, let, attribute, attribute of the image. And what was meant when nothing. */
#include <stdio.h>

#include "rules/engine/internal.h"

const struct hr_attr *hr_table_attr(const struct hr_table *t, const char *name)
{
    for (size_t i = 0; t && i < t->nattrs; i++)
        if (!strcmp(t->attrs[i].name, name))
            return &t->attrs[i];
    return NULL;
}

/* `match i in image`: one row, for rules about the whole. */
static uint64_t one(void *ctx)
{
    (void)ctx;
    return 1;
}
static const struct hr_table image_table = {.name = "image", .doc = "the image as a whole: one row", .count = one};

const struct hr_table *hr_model_table(const struct hr_model *m, const char *name)
{
    if (name && !strcmp(name, "image"))
        return &image_table;
    for (size_t i = 0; name && i < m->ntables; i++)
        if (!strcmp(m->tables[i].name, name))
            return &m->tables[i];
    return NULL;
}

const struct hr_global *hr_model_global(const struct hr_model *m, const char *name)
{
    for (size_t i = 0; i < m->nglobals; i++)
        if (!strcmp(m->globals[i].name, name))
            return &m->globals[i];
    return NULL;
}

struct let *hr_find_let(struct hr_rules *r, const char *name)
{
    for (size_t i = 0; i < r->sets_given.n; i++)
        if (!strcmp(r->sets_given.v[i]->name, name))
            return r->sets_given.v[i];
    for (size_t i = 0; i < r->lets.n; i++)
        if (!strcmp(r->lets.v[i]->name, name))
            return r->lets.v[i];
    return NULL;
}

struct set *hr_find_set(struct hr_rules *r, const char *name)
{
    for (size_t i = r->sets.n; i-- > 0;)
        if (!strcmp(r->sets.v[i]->name, name))
            return r->sets.v[i];
    return NULL;
}

const char *hr_type_alias(struct hr_rules *r, const char *name)
{
    for (size_t i = r->aliases.n; i-- > 0;)
        if (!strcmp(r->aliases.v[i].name, name))
            return r->aliases.v[i].type;
    return NULL;
}

bool hr_type_known(struct hr_rules *r, const char *name)
{
    const struct hr_model *m = r->model;
    if (m->type_known)
        return m->type_known(m->names_ctx, name);
    const struct hr_table *t = hr_model_table(m, "types");
    const struct hr_attr *a = hr_table_attr(t, "name");
    if (!a || !a->get)
        return true; /* nobody can say */
    for (uint64_t i = 0, n = t->count(t->ctx); i < n; i++) {
        struct hr_value v = {0};
        a->get(t->ctx, i, &v);
        if (v.s && hr_same_type_name(v.s, v.n, name, strlen(name)))
            return true;
    }
    return false;
}

/* "struct node" and "node" are the same type to people. */
bool hr_same_type_name(const char *a, size_t an, const char *b, size_t bn)
{
    static const char *const words[] = {"struct ", "class ", "union ", "enum "};
    for (size_t i = 0; i < 4; i++) {
        size_t w = strlen(words[i]);
        if (an > w && !memcmp(a, words[i], w))
            a += w, an -= w;
        if (bn > w && !memcmp(b, words[i], w))
            b += w, bn -= w;
    }
    return an == bn && !memcmp(a, b, an);
}

const char *hr_vk_name(uint8_t vk)
{
    static const char *const names[] = {
        [HR_V_UNKNOWN] = "anything", [HR_V_BOOL] = "a truth value", [HR_V_NUM] = "a number",
        [HR_V_STR] = "a text",       [HR_V_TYPE] = "a type",        [HR_V_ROW] = "a thing",
    };
    return vk < sizeof names / sizeof *names ? names[vk] : "nothing";
}

static const struct var *find_var(const struct scope *s, const char *name)
{
    for (unsigned i = s->nvars; i-- > 0;)
        if (!strcmp(s->vars[i].name, name))
            return &s->vars[i];
    return NULL;
}

static void become_var(struct node *n, const struct var *v)
{
    n->kind = N_VAR;
    n->vk = HR_V_ROW;
    n->id = v->id;
    n->table = v->table;
}

static bool become_group(struct scope *s, struct node *n, const char *word)
{
    static const char *const words[] = {"count", "bytes", "waste"};
    for (uint32_t i = 0; s->group && i < 3; i++)
        if (!strcmp(word, words[i]) || (i == G_BYTES && !strcmp(word, "total"))) {
            n->kind = N_GROUP;
            n->vk = HR_V_NUM;
            n->id = i;
            return true;
        }
    return false;
}

static bool become_let(struct scope *s, struct node *n, const char *name)
{
    struct let *l = hr_find_let(s->r, name);
    if (!l)
        return false;
    hr_check_let(s->r, l);
    n->kind = N_LET;
    n->b = l->expr;
    if (l->depth > s->depth)
        s->depth = l->depth;
    n->vk = l->expr->vk;
    n->table = NULL;
    s->needs |= l->needs;
    if (l->skip)
        s->skip = l->skip;
    return true;
}

static bool become_global(struct scope *s, struct node *n, const char *name)
{
    const struct hr_global *g = hr_model_global(s->r->model, name);
    if (!g)
        return false;
    n->kind = N_GLOBAL;
    n->vk = g->kind;
    n->global = g;
    s->needs |= g->needs;
    return true;
}

static void become_attr(struct scope *s, struct node *n, const struct hr_attr *a)
{
    n->kind = N_ATTR;
    n->vk = a->kind;
    n->attr = a;
    s->needs |= a->needs;
    /* n->table is the table of the value when it is a row; where the attribute lives follows from n->a */
    n->table = a->kind == HR_V_ROW && a->row_table ? hr_model_table(s->r->model, a->row_table) : NULL;
    if (n->table)
        s->needs |= n->table->needs;
}

static bool become_implicit(struct scope *s, struct node *n, const char *name)
{
    const struct hr_attr *a = s->implicit && s->nvars ? hr_table_attr(s->vars[0].table, name) : NULL;
    struct node *v = a ? hr_rules_take(s->r, sizeof *v) : NULL;
    if (!v)
        return false;
    *v = (struct node){.kind = N_VAR, .orig = N_VAR, .pos = n->pos, .src = n->src, .depth = 1};
    become_var(v, &s->vars[0]);
    n->a = v;
    become_attr(s, n, a);
    return true;
}

static void unknown_name(struct scope *s, struct node *n, const char *name)
{
    n->vk = K_BAD;
    struct suggest g = {name};
    for (unsigned i = 0; i < s->nvars; i++)
        hr_suggest(&g, s->vars[i].name);
    for (size_t i = 0; i < s->r->lets.n; i++)
        hr_suggest(&g, s->r->lets.v[i]->name);
    for (size_t i = 0; i < s->r->model->nglobals; i++)
        hr_suggest(&g, s->r->model->globals[i].name);
    for (size_t i = 0; s->implicit && s->nvars && i < s->vars[0].table->nattrs; i++)
        hr_suggest(&g, s->vars[0].table->attrs[i].name);
    if (s->group)
        for (int i = 0; i < 3; i++)
            hr_suggest(&g, (const char *const[]){"count", "total", "waste"}[i]);
    if (n->src->lenient && strchr(name, '.')) {
        s->skip = hr_rules_printf(s->r, "this image's model has no `%s`", name);
        return;
    }
    const struct node *base = n;
    while (base->orig == N_ATTR)
        base = base->a;
    bool aggregate = !strcmp(name, "count") || !strcmp(name, "total") || !strcmp(name, "group");
    hr_rules_error(s->r, n->src, base->pos, g.best, aggregate ? "`%s` means something only after `group by` and in texts" : "unknown name `%s`", name);
}

void hr_resolve_name(struct scope *s, struct node *n)
{
    const struct var *v = find_var(s, n->text);
    if (v)
        become_var(n, v);
    else if (!become_group(s, n, n->text) && !become_let(s, n, n->text) && !become_implicit(s, n, n->text) &&
             !become_global(s, n, n->text))
        unknown_name(s, n, n->text);
}

/* "heap.used" when the node is a chain of plain names, else NULL. */
static const char *dotted(struct hr_rules *r, const struct node *n)
{
    const char *z = "";
    for (unsigned steps = 0; n->orig == N_ATTR && steps < 8; n = n->a, steps++)
        z = hr_rules_printf(r, ".%s%s", n->text, z ? z : "");
    return n->orig == N_NAME && z ? hr_rules_printf(r, "%s%s", n->text, z) : NULL;
}

static void unknown_attr(struct scope *s, struct node *n, const struct hr_table *t)
{
    n->vk = K_BAD;
    if (n->src->lenient) {
        s->skip = hr_rules_printf(s->r, "this image's model has no `%s.%s`", t->name, n->text);
        return;
    }
    struct suggest g = {n->text};
    for (size_t i = 0; i < t->nattrs; i++)
        hr_suggest(&g, t->attrs[i].name);
    hr_rules_error(s->r, n->src, n->pos, g.best, "%s have no attribute `%s`", t->name, n->text);
}

static bool resolve_path(struct scope *s, struct node *n)
{
    const struct node *base = n->a;
    while (base->orig == N_ATTR)
        base = base->a;
    if (base->orig != N_NAME || find_var(s, base->text))
        return false;
    const char *path = dotted(s->r, n);
    if (!path)
        return false;
    if (n->a->orig == N_NAME && !strcmp(base->text, "group") && become_group(s, n, n->text))
        return true;
    if (become_let(s, n, path) || become_global(s, n, path))
        return true;
    if (s->implicit && s->nvars && hr_table_attr(s->vars[0].table, base->text))
        return false;
    if (hr_find_let(s->r, base->text))
        return false;
    unknown_name(s, n, path);
    return true;
}

void hr_resolve_attr(struct scope *s, struct node *n)
{
    if (resolve_path(s, n))
        return;
    uint8_t k = hr_check_expr(s, n->a);
    if (k == K_BAD) {
        n->vk = K_BAD;
        return;
    }
    const struct hr_table *t = n->a->table;
    const struct hr_attr *a = hr_table_attr(t, n->text);
    if (a) {
        become_attr(s, n, a);
    } else if (t && k == HR_V_ROW) {
        unknown_attr(s, n, t);
    } else {
        n->vk = K_BAD;
        hr_rules_error(s->r, n->src, n->pos, NULL, "%s has no attributes", hr_vk_name(k));
    }
}
