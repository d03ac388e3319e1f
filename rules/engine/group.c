/* group by: rows with equal keys, what they weigh together, the worst of them and a few examples. */
#include <stdlib.h>

#include "analyzer/heap/heap.h"
#include "rules/engine/internal.h"

enum hr_status hr_groups_init(struct groups *g, uint32_t nkeys, uint32_t nagg, uint32_t max_members)
{
    *g = (struct groups){.nkeys = nkeys, .nagg = nagg, .max_members = max_members};
    g->list.max = HR_MAX_RULE_GROUPS;
    g->members.max = (size_t)HR_MAX_RULE_GROUPS * HR_MAX_MEMBERS;
    g->aggs.max = (size_t)HR_MAX_RULE_GROUPS * 16;
    g->keys.max = g->kinds.max = (size_t)HR_MAX_RULE_GROUPS * 8;
    g->type_text.max = HR_MAX_TYPES;
    hr_map_init(&g->index, HR_MAX_RULE_GROUPS);
    return hr_strs_create(&g->strs);
}

void hr_groups_deinit(struct groups *g)
{
    groupvec_deinit(&g->list);
    memvec_deinit(&g->members);
    aggvec_deinit(&g->aggs);
    hr_u64vec_deinit(&g->keys);
    hr_u8vec_deinit(&g->kinds);
    hr_u32vec_deinit(&g->type_text);
    hr_map_deinit(&g->index);
    hr_strs_destroy(g->strs);
}

/* Types compare by name: two rows of the type table called "node" are one group. The name is looked up once per type. */
static enum hr_status type_key(struct groups *g, struct vm *m, const struct prog *p, const struct hr_value *v, hr_str *ret)
{
    bool cache = v->type && v->type < g->type_text.max;
    if (cache && v->type < g->type_text.n && g->type_text.v[v->type]) {
        *ret = g->type_text.v[v->type] - 1;
        return HR_OK;
    }
    size_t n = 0;
    const char *z = hr_vm_text(m, p, v, &n);
    if (!z)
        return HR_ABSENT;
    HR_TRY(hr_strs_add(g->strs, z, n, ret));
    if (!cache)
        return HR_OK;
    HR_TRY(hr_u32vec_reserve(&g->type_text, v->type + 1ul));
    while (g->type_text.n <= v->type)
        g->type_text.v[g->type_text.n++] = 0;
    g->type_text.v[v->type] = *ret + 1;
    return HR_OK;
}

enum hr_status hr_group_key(struct groups *g, struct vm *m, const struct prog *p, const struct hr_value *v, uint64_t *key_ret,
                            uint8_t *kind_ret)
{
    hr_str text = 0;
    size_t n = 0;
    enum hr_status st = HR_OK;
    *kind_ret = v->kind;
    *key_ret = 0;
    switch (v->kind) {
    case HR_V_BOOL: *key_ret = v->b; break;
    case HR_V_NUM:
        *key_ret = (uint64_t)v->i; /* a float's bits are as good */
        break;
    case HR_V_ROW: *key_ret = v->row; break;
    case HR_V_STR: {
        const char *z = hr_vm_text(m, p, v, &n);
        st = z ? hr_strs_add(g->strs, z, n, &text) : HR_ABSENT;
        *key_ret = text;
        break;
    }
    case HR_V_TYPE:
        st = type_key(g, m, p, v, &text);
        *key_ret = text;
        *kind_ret = HR_V_STR;
        break;
    default: break;
    }
    if (st == HR_ABSENT) {
        *kind_ret = HR_V_UNKNOWN;
        return HR_OK;
    }
    return st;
}

static bool same_keys(const struct groups *g, uint32_t id, const uint64_t *keys, const uint8_t *kinds)
{
    size_t at = (size_t)id * g->nkeys;
    return !memcmp(g->keys.v + at, keys, g->nkeys * sizeof *keys) && !memcmp(g->kinds.v + at, kinds, g->nkeys);
}

static enum hr_status fresh(struct groups *g, const uint64_t *keys, const uint8_t *kinds, uint32_t *ret)
{
    for (uint32_t i = 0; i < g->nkeys; i++) {
        HR_TRY(hr_u64vec_push(&g->keys, keys[i]));
        HR_TRY(hr_u8vec_push(&g->kinds, kinds[i]));
    }
    for (uint32_t i = 0; g->nkeys && i < g->nagg; i++)
        HR_TRY(aggvec_push(&g->aggs, (struct aggval){0}));
    *ret = (uint32_t)g->list.n;
    return groupvec_push(&g->list, (struct group){.same = HR_NONE, .member = HR_NONE});
}

enum hr_status hr_groups_find(struct groups *g, const uint64_t *keys, const uint8_t *kinds, uint32_t *ret)
{
    *ret = HR_NONE;
    bool full = g->list.n >= HR_MAX_RULE_GROUPS;
    if (!g->nkeys)
        return full ? HR_OK : fresh(g, NULL, NULL, ret);
    uint64_t hash = hr_hash_bytes(keys, g->nkeys * sizeof *keys, hr_hash_bytes(kinds, g->nkeys, 0));
    uint32_t head = hr_map_get(&g->index, hash);
    for (uint32_t id = head; id != HR_NONE; id = g->list.v[id].same)
        if (same_keys(g, id, keys, kinds)) {
            *ret = id;
            return HR_OK;
        }
    if (full)
        return HR_OK;
    HR_TRY(fresh(g, keys, kinds, ret));
    g->list.v[*ret].same = head;
    return hr_map_put(&g->index, hash, *ret);
}

/* The heaviest few, the first of equals. The least of a full list is remembered: most rows are lighter than it. */
static enum hr_status keep_member(struct groups *g, struct group *x, const struct row_facts *f)
{
    if (x->nmember < g->max_members) {
        HR_TRY(memvec_push(&g->members, (struct member){f->row, f->bytes, x->member}));
        x->member = (uint32_t)g->members.n - 1;
        x->nmember++;
        x->least = 0;
        return HR_OK;
    }
    if (!x->nmember || f->bytes <= x->least)
        return HR_OK;
    uint32_t least = x->member, second = HR_NONE;
    for (uint32_t i = g->members.v[x->member].next; i != HR_NONE; i = g->members.v[i].next) {
        const struct member *a = &g->members.v[i], *b = &g->members.v[least];
        if (a->bytes < b->bytes || (a->bytes == b->bytes && a->row > b->row)) {
            second = least;
            least = i;
        } else if (second == HR_NONE || a->bytes < g->members.v[second].bytes) {
            second = i;
        }
    }
    struct member *m = &g->members.v[least];
    if (m->bytes < f->bytes) {
        m->row = f->row;
        m->bytes = f->bytes;
    }
    x->least = second == HR_NONE ? m->bytes : hr_min(m->bytes, g->members.v[second].bytes);
    return HR_OK;
}

enum hr_status hr_groups_add(struct groups *g, uint32_t id, const struct row_facts *f)
{
    struct group *x = &g->list.v[id];
    bool first = !x->rows++;
    x->things = hr_sat_add(x->things, f->things);
    x->bytes = g->bytes_max ? hr_max(x->bytes, f->bytes) : hr_sat_add(x->bytes, f->bytes);
    if (first || f->bytes > x->worst_bytes) {
        x->worst = f->row;
        x->worst_bytes = f->bytes;
    }
    if (f->surety > x->surety)
        x->surety = f->surety;
    return g->nkeys ? keep_member(g, x, f) : HR_OK;
}

static int heavier(const void *pa, const void *pb)
{
    const struct group *a = pa, *b = pb;
    return a->bytes != b->bytes ? (a->bytes > b->bytes ? -1 : 1) : a->worst < b->worst ? -1 : a->worst > b->worst;
}

enum hr_status hr_groups_trim(struct groups *g)
{
    if (g->nkeys || g->list.n < HR_MAX_RULE_GROUPS)
        return HR_OK;
    qsort(g->list.v, g->list.n, sizeof *g->list.v, heavier);
    g->dropped += g->list.n / 2;
    g->list.n -= g->list.n / 2;
    return HR_OK;
}
