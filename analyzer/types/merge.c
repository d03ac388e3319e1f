/* Merging one type table into another: units into a module's table (in the child), modules into the session's.
 *
 * Two rows are one type when their structural keys agree: kind, name, size, place of declaration, fields with offsets and
 * the names of the fields' types. What a field points to is not followed, so cycles cost nothing and `struct B` seen by
 * one unit as a declaration does not split everything that points to it. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/types/table.h"

enum { UNMAPPED = 0xfffffffe, BUSY = 0xfffffffd, AMBIGUOUS = 0xfffffffc };

struct merge {
    struct hr_types *into;
    const struct hr_types *from;
    struct hr_u32vec map;   /* row of from -> row of into */
    struct hr_u32vec fresh; /* rows of from whose fields are to be copied (new or completing) */
    struct hr_map defs;     /* name key -> defining row of from, or AMBIGUOUS */
    struct hr_map strs;     /* string of from -> string of into */
    uint32_t module;
};

static uint64_t mix2(uint64_t h, uint64_t x) { return hr_mix(h ^ hr_mix(x + 0x9e3779b97f4a7c15ull)); }

static uint64_t str_hash(const struct hr_types *t, hr_str s)
{
    const char *z = hr_strs_get(t->strs, s);
    return hr_hash_bytes(z, strlen(z), 7);
}

/* Only the last component: one header has different paths in units compiled in different folders. */
static uint64_t file_hash(const struct hr_types *t, hr_str s)
{
    const char *z = hr_strs_get(t->strs, s), *slash = strrchr(z, '/');
    z = slash ? slash + 1 : z;
    return hr_hash_bytes(z, strlen(z), 9);
}

static bool tagged(const struct hr_type_row *r)
{
    return r->kind == HR_T_STRUCT || r->kind == HR_T_UNION || r->kind == HR_T_ENUM;
}

uint64_t hr_types_name_hash(const struct hr_types *t, hr_type id)
{
    uint64_t h = 1;
    for (int i = 0; i < 16; i++) {
        const struct hr_type_row *r = hr_type_get(t, id);
        if (r->kind == HR_T_ALIAS) {
            id = r->target;
            continue;
        }
        h = mix2(h, r->kind);
        if (r->name) /* a declaration and its definition have to give the same: no size */
            return mix2(h, str_hash(t, r->name));
        if (tagged(r))
            return mix2(mix2(mix2(h, r->size), r->nfields), mix2(r->decl_line, file_hash(t, r->decl_file)));
        h = mix2(h, r->count);
        id = r->target;
    }
    return h;
}

static uint64_t def_key(const struct hr_types *t, const struct hr_type_row *r)
{
    uint64_t h = mix2(r->kind, str_hash(t, r->name));
    h = mix2(mix2(h, r->size), (uint64_t)r->decl_line << 32 | r->nfields);
    h = mix2(mix2(h, file_hash(t, r->decl_file)), r->flags & HR_TF_DECLARATION);
    if (r->kind == HR_T_MEMBERPTR || r->kind == HR_T_ENUM)
        h = mix2(h, hr_types_name_hash(t, r->target));
    for (uint32_t i = 0; i < r->nfields; i++) {
        const struct hr_field *f = &t->fields.v[r->field0 + i];
        h = mix2(mix2(h, str_hash(t, f->name)), f->off);
        h = mix2(h, (uint64_t)f->flags << 16 | f->bit_off << 8 | f->bit_size);
        h = mix2(h, f->type ? hr_types_name_hash(t, f->type) : 0);
    }
    for (uint32_t i = 0; i < r->ntparams; i++) {
        const struct hr_tparam *p = &t->tparams.v[r->tparam0 + i];
        h = mix2(mix2(h, (uint64_t)p->value), hr_types_name_hash(t, p->type));
    }
    return h;
}

static enum hr_status move_str(struct merge *m, hr_str s, hr_str *ret)
{
    uint32_t *slot;
    bool was;
    if (!s) {
        *ret = 0;
        return HR_OK;
    }
    HR_TRY(hr_map_slot(&m->strs, s, 0, &slot, &was));
    if (!was) {
        hr_str id;
        HR_TRY(hr_strs_addz(m->into->strs, hr_strs_get(m->from->strs, s), &id));
        *slot = id;
    }
    *ret = *slot;
    return HR_OK;
}

static enum hr_status copy_row(struct merge *m, const struct hr_type_row *r, struct hr_type_row *ret)
{
    *ret = *r;
    ret->module = (uint16_t)hr_min(m->module, 0xffff);
    ret->field0 = ret->nfields = ret->tparam0 = ret->ntparams = 0;
    ret->target = 0;
    HR_TRY(move_str(m, r->name, &ret->name));
    return move_str(m, r->decl_file, &ret->decl_file);
}

static enum hr_status add_row(struct merge *m, const struct hr_type_row *r, hr_type *ret)
{
    struct hr_type_row n;
    HR_TRY(copy_row(m, r, &n));
    *ret = (hr_type)m->into->rows.n;
    return hr_rowvec_push(&m->into->rows, n);
}

/* The row that a declaration stands for, in `from` first, then in `into`; 0 when nobody defines it. */
static hr_type defined_as(struct merge *m, const struct hr_type_row *r, uint32_t *from_ret)
{
    const char *name = hr_strs_get(m->from->strs, r->name);
    uint32_t d = hr_map_get(&m->defs, hr_types_name_key(HR_NC_TAG, name));
    *from_ret = d;
    if (d != HR_NONE)
        return 0;
    return hr_types_lookup(m->into, HR_NC_TAG, name);
}

/* A row with a name of its own or fields: everything but derived rows. */
static enum hr_status place_nominal(struct merge *m, uint32_t i, hr_type *ret)
{
    const struct hr_type_row *r = hr_type_get(m->from, i);
    struct hr_types_priv *p = m->into->priv;
    bool declared = tagged(r) && r->flags & HR_TF_DECLARATION;
    if (declared && r->name) {
        uint32_t d;
        hr_type there = defined_as(m, r, &d);
        if (there) {
            *ret = there;
            return HR_OK;
        }
    }
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(&p->by_def, def_key(m->from, r), 0, &slot, &was));
    if (was && *slot) {
        *ret = *slot;
        return HR_OK;
    }
    hr_type old = r->name && tagged(r) && !declared
                      ? hr_types_lookup(m->into, hr_types_class(r), hr_strs_get(m->from->strs, r->name))
                      : 0;
    if (old && hr_type_get(m->into, old)->flags & HR_TF_DECLARATION) {
        HR_TRY(copy_row(m, r, &m->into->rows.v[old])); /* the definition at last: what points to the row now has it */
        p->completed = true;
    } else {
        HR_TRY(add_row(m, r, &old));
    }
    *slot = old;
    *ret = old;
    HR_TRY(hr_types_index(m->into, old));
    return hr_u32vec_push(&m->fresh, i);
}

static bool derived(const struct hr_type_row *r)
{
    return r->kind == HR_T_PTR || r->kind == HR_T_REF || r->kind == HR_T_ARRAY || r->kind == HR_T_FUNC ||
           r->kind == HR_T_TYPEDEF;
}

static enum hr_status place_derived(struct merge *m, const struct hr_type_row *r, hr_type target, hr_type *ret)
{
    struct hr_types_priv *p = m->into->priv;
    uint64_t key = hr_mix(hr_mix(hr_mix(r->kind) ^ target) ^ r->count); /* as in types.c derived() */
    if (r->name)
        key = mix2(key, str_hash(m->from, r->name));
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(&p->ptr_of, key, 0, &slot, &was));
    if (was && *slot) {
        *ret = *slot;
        return HR_OK;
    }
    HR_TRY(add_row(m, r, slot));
    *ret = *slot;
    m->into->rows.v[*ret].target = target;
    return hr_types_index(m->into, *ret);
}

/* The next row that row i needs placed before itself, or UNMAPPED when none. */
static uint32_t needs(struct merge *m, uint32_t i)
{
    const struct hr_type_row *r = hr_type_get(m->from, i);
    uint32_t d = UNMAPPED;
    if (derived(r) || r->kind == HR_T_ALIAS)
        return r->target < m->map.n ? r->target : 0;
    if (tagged(r) && r->flags & HR_TF_DECLARATION && r->name) {
        (void)defined_as(m, r, &d);
        if (d == HR_NONE || d == AMBIGUOUS)
            d = UNMAPPED;
    }
    return d;
}

/* Places row i and, before it, the chain of rows it is derived from. A chain that meets itself ends in row 0. */
static enum hr_status place(struct merge *m, struct hr_u32vec *stack, uint32_t first)
{
    stack->n = 0;
    HR_TRY(hr_u32vec_push(stack, first));
    while (stack->n) {
        uint32_t i = stack->v[stack->n - 1];
        uint32_t dep = needs(m, i);
        if (dep != UNMAPPED && m->map.v[dep] == UNMAPPED && m->map.v[i] != BUSY) {
            m->map.v[i] = BUSY;
            HR_TRY(hr_u32vec_push(stack, dep));
            continue;
        }
        const struct hr_type_row *r = hr_type_get(m->from, i);
        hr_type target = dep == UNMAPPED || m->map.v[dep] == UNMAPPED || m->map.v[dep] == BUSY ? 0 : m->map.v[dep], id = 0;
        if (r->kind == HR_T_ALIAS || (dep != UNMAPPED && !derived(r)))
            id = target;
        else if (derived(r))
            HR_TRY(place_derived(m, r, target, &id));
        else if (r->kind != HR_T_NONE)
            HR_TRY(place_nominal(m, i, &id));
        m->map.v[i] = id;
        stack->n--;
    }
    return HR_OK;
}

/* Which names `from` itself defines; a name with two different definitions of C (file-local structs) is ambiguous. */
static enum hr_status find_defs(struct merge *m)
{
    for (uint32_t i = 1; i < m->from->rows.n; i++) {
        const struct hr_type_row *r = &m->from->rows.v[i];
        if (!tagged(r) || !r->name || r->flags & (HR_TF_DECLARATION | HR_TF_TYPEDEF_NAME))
            continue;
        uint32_t *slot;
        bool was;
        uint64_t key = hr_types_name_key(HR_NC_TAG, hr_strs_get(m->from->strs, r->name));
        HR_TRY(hr_map_slot(&m->defs, key, i, &slot, &was));
        if (!was || *slot == AMBIGUOUS || r->flags & HR_TF_CXX) /* C++ has one definition of a name, or means harm */
            continue;
        const struct hr_type_row *o = hr_type_get(m->from, *slot);
        if (o->size != r->size || o->nfields != r->nfields || def_key(m->from, o) != def_key(m->from, r))
            *slot = AMBIGUOUS;
    }
    return HR_OK;
}

static enum hr_status copy_fields(struct merge *m, const struct hr_type_row *r, struct hr_type_row *n)
{
    n->field0 = (uint32_t)m->into->fields.n;
    n->nfields = r->nfields;
    for (uint32_t i = 0; i < r->nfields; i++) {
        struct hr_field f = m->from->fields.v[r->field0 + i];
        f.type = f.type < m->map.n ? m->map.v[f.type] : 0;
        HR_TRY(move_str(m, f.name, &f.name));
        HR_TRY(hr_fieldvec_push(&m->into->fields, f));
    }
    n->tparam0 = (uint32_t)m->into->tparams.n;
    n->ntparams = r->ntparams;
    for (uint32_t i = 0; i < r->ntparams; i++) {
        struct hr_tparam p = m->from->tparams.v[r->tparam0 + i];
        p.type = p.type < m->map.n ? m->map.v[p.type] : 0;
        HR_TRY(move_str(m, p.name, &p.name));
        HR_TRY(hr_tparamvec_push(&m->into->tparams, p));
    }
    n->target = r->target < m->map.n ? m->map.v[r->target] : 0;
    return HR_OK;
}

static enum hr_status copy_vars(struct merge *m, uint64_t bias)
{
    for (size_t i = 0; i < m->from->vars.n; i++) {
        struct hr_var v = m->from->vars.v[i];
        v.type = v.type < m->map.n ? m->map.v[v.type] : 0;
        v.module = m->module;
        v.addr += v.kind == HR_VAR_TLS ? 0 : bias;
        HR_TRY(move_str(m, v.name, &v.name));
        HR_TRY(move_str(m, v.decl_file, &v.decl_file));
        HR_TRY(move_str(m, v.func, &v.func));
        HR_TRY(move_str(m, v.unit, &v.unit));
        HR_TRY(hr_varvec_push(&m->into->vars, v));
    }
    return HR_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct hr_var *x = a, *y = b;
    bool xt = x->kind == HR_VAR_TLS, yt = y->kind == HR_VAR_TLS;
    if (xt != yt)
        return xt - yt;
    if (xt && x->module != y->module)
        return x->module < y->module ? -1 : 1;
    if (x->addr != y->addr)
        return x->addr < y->addr ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

void hr_types_sort_vars(struct hr_types *t)
{
    struct hr_varvec *v = &t->vars;
    if (!v->n)
        return;
    qsort(v->v, v->n, sizeof *v->v, by_place);
    size_t n = 1;
    for (size_t i = 1; i < v->n; i++)
        if (by_place(&v->v[n - 1], &v->v[i]))
            v->v[n++] = v->v[i];
    v->n = n;
}

static enum hr_status run(struct merge *m, struct hr_u32vec *stack, uint64_t bias)
{
    HR_TRY(hr_u32vec_reserve(&m->map, m->from->rows.n));
    for (; m->map.n < m->from->rows.n; m->map.n++)
        m->map.v[m->map.n] = UNMAPPED;
    m->map.v[0] = 0;
    HR_TRY(find_defs(m));
    for (uint32_t i = 1; i < m->from->rows.n; i++)
        if (m->map.v[i] == UNMAPPED)
            HR_TRY(place(m, stack, i));
    for (size_t k = 0; k < m->fresh.n; k++) {
        uint32_t i = m->fresh.v[k];
        HR_TRY(copy_fields(m, hr_type_get(m->from, i), &m->into->rows.v[m->map.v[i]]));
    }
    HR_TRY(copy_vars(m, bias));
    return hr_types_settle(m->into);
}

enum hr_status hr_types_merge(struct hr_types *into, const struct hr_types *from, uint32_t module, uint64_t bias,
                              struct hr_u32vec *map_ret)
{
    struct merge m = {.into = into, .from = from, .module = module};
    struct hr_u32vec stack = {.max = HR_MAX_TYPES};
    m.map.max = m.fresh.max = HR_MAX_TYPES;
    hr_map_init(&m.defs, HR_MAX_TYPES);
    hr_map_init(&m.strs, HR_MAX_STRINGS);
    enum hr_status st = run(&m, &stack, bias);
    hr_u32vec_deinit(&stack);
    hr_u32vec_deinit(&m.fresh);
    hr_map_deinit(&m.defs);
    hr_map_deinit(&m.strs);
    if (st == HR_OK && map_ret)
        *map_ret = m.map;
    else
        hr_u32vec_deinit(&m.map);
    return st;
}
