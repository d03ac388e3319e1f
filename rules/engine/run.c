/* Evaluation: rows that match, groups, what is reported of them. */
#include <stdio.h>
#include <stdlib.h>

#include "analyzer/base/esc.h"
#include "analyzer/heap/heap.h"
#include "rules/engine/internal.h"

enum { FUEL = 400000000 }; /* turns of nested `exists` loops per rule: some seconds */

struct run {
    struct hr_rules *r;
    struct vm *m;
    struct rule *rule;
    const struct hr_table *t;
    const struct hr_attr *bytes, *surety, *location;
    struct groups g;
    uint64_t rows, unknown, matched;
};

static uint64_t number_of(const struct hr_table *t, const struct hr_attr *a, uint64_t row)
{
    struct hr_value v = {0};
    if (!a)
        return 0;
    if (a->col && a->kind == HR_V_NUM)
        return hr_vm_load(a, row);
    if (!a->get)
        return 0;
    a->get(t->ctx, row, &v);
    return v.kind != HR_V_NUM ? 0 : v.is_float ? (v.f > 0 && v.f < 1e19 ? (uint64_t)v.f : 0) : v.i > 0 ? (uint64_t)v.i : 0;
}

static uint64_t evaluated(struct run *x, const struct prog *p, uint64_t row, uint64_t otherwise)
{
    const struct hr_value *v = hr_vm_run(x->m, p, x->t, row);
    if (v->kind != HR_V_NUM)
        return otherwise;
    double d = hr_vm_num(v);
    return d <= 0 ? 0 : v->is_float ? (d < 1.8e19 ? (uint64_t)d : UINT64_MAX) : (uint64_t)v->i;
}

static struct row_facts facts_of(struct run *x, uint64_t row)
{
    uint64_t surety = number_of(x->t, x->surety, row);
    return (struct row_facts){
        .row = row,
        .bytes = x->rule->p_bytes ? evaluated(x, x->rule->p_bytes, row, 0) : number_of(x->t, x->bytes, row),
        .things = x->rule->p_count ? evaluated(x, x->rule->p_count, row, 1) : 1,
        .surety = surety <= HR_SURE_INTERIOR ? (uint8_t)surety : 0,
    };
}

static void aggregate(struct aggval *a, unsigned f, const struct hr_value *v)
{
    if (f == F_COUNT || f == F_ANY) {
        a->i += hr_vm_true(v);
        a->n++;
        return;
    }
    if (v->kind != HR_V_NUM)
        return;
    double d = hr_vm_num(v);
    bool more = !a->n || (f == F_AMAX ? d > (a->is_float ? a->f : (double)a->i) : d < (a->is_float ? a->f : (double)a->i));
    if (f == F_AMAX || f == F_AMIN) {
        if (more)
            *a = (struct aggval){v->is_float ? 0 : v->i, v->is_float ? v->f : 0, v->is_float, a->n};
    } else if (v->is_float || a->is_float || __builtin_add_overflow(a->i, v->i, &a->i)) {
        a->f = (a->is_float ? a->f : (double)a->i) + d;
        a->is_float = true;
    }
    a->n++;
}

static void aggregate_row(struct run *x, struct aggval *aggs, uint64_t row)
{
    static const struct hr_value yes = {.kind = HR_V_BOOL, .b = true};
    for (uint32_t i = 0; i < x->rule->nagg; i++) {
        const struct prog *p = x->rule->p_agg[i];
        aggregate(&aggs[i], x->rule->agg[i]->op, p ? hr_vm_run(x->m, p, x->t, row) : &yes);
    }
}

static enum hr_status add_row(struct run *x, uint64_t row)
{
    uint64_t keys[8];
    uint8_t kinds[8];
    for (uint32_t i = 0; i < x->rule->ngroup; i++) {
        const struct prog *p = x->rule->p_group[i];
        HR_TRY(hr_group_key(&x->g, x->m, p, hr_vm_run(x->m, p, x->t, row), &keys[i], &kinds[i]));
    }
    HR_TRY(hr_groups_trim(&x->g));
    uint32_t id;
    HR_TRY(hr_groups_find(&x->g, keys, kinds, &id));
    if (id == HR_NONE) {
        x->g.dropped++;
        return HR_OK;
    }
    struct row_facts f = facts_of(x, row);
    if (x->g.nkeys && x->g.nagg)
        aggregate_row(x, &x->g.aggs.v[(size_t)id * x->g.nagg], row);
    return hr_groups_add(&x->g, id, &f);
}

static enum hr_status scan(struct run *x)
{
    const struct hr_table *t = x->t;
    struct quick quick = {0};
    bool first = true;
    for (uint64_t row = 0, n = t->count(t->ctx); row < n && !x->m->out_of_fuel; row++) {
        if (quick.attr || quick.never) {
            uint64_t to = hr_quick_next(&quick, row, n);
            x->rows += to - row;
            if ((row = to) == n)
                break;
        }
        if (t->live_col && t->live_col[row] != t->live_val)
            continue;
        x->rows++;
        const struct hr_value *v = hr_vm_run(x->m, x->rule->p_where, x->t, row);
        bool unknown = v->kind != HR_V_BOOL, matches = !unknown && v->b;
        if (first)
            quick = hr_quick(x->m, x->rule->p_where, x->t, row);
        first = false;
        x->unknown += unknown;
        if (matches) {
            x->matched++;
            HR_TRY(add_row(x, row));
        }
    }
    return HR_OK;
}

static int heavier(const void *pa, const void *pb, void *ctx)
{
    const struct group *g = ctx, *a = &g[*(const uint32_t *)pa], *b = &g[*(const uint32_t *)pb];
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return a->worst < b->worst ? -1 : a->worst > b->worst;
}

static int heavier_member(const void *pa, const void *pb)
{
    const struct member *a = pa, *b = pb;
    return a->bytes != b->bytes ? (a->bytes > b->bytes ? -1 : 1) : a->row < b->row ? -1 : a->row > b->row;
}

static enum hr_status fill_members(struct run *x, const struct group *g, struct hr_finding *f)
{
    struct member v[HR_MAX_MEMBERS];
    uint32_t n = 0;
    if (!x->rule->ngroup && x->rule->members)
        v[n++] = (struct member){g->worst, g->worst_bytes, 0};
    for (uint32_t i = g->member; i != HR_NONE && n < HR_MAX_MEMBERS; i = x->g.members.v[i].next)
        v[n++] = x->g.members.v[i];
    qsort(v, n, sizeof *v, heavier_member);
    f->members.max = HR_MAX_MEMBERS;
    for (uint32_t i = 0; i < n; i++) {
        char type[HR_MAX_STRING + 1] = "";
        struct hr_member mem = {.bytes = v[i].bytes};
        if (!x->t->subject || !x->t->subject(x->t->ctx, v[i].row, &mem.addr, type, sizeof type))
            continue;
        mem.type = *type ? hr_strdup(type) : NULL;
        if ((*type && !mem.type) || hr_membervec_push(&f->members, mem) != HR_OK) {
            hr_free(mem.type);
            return HR_NOMEM;
        }
    }
    return HR_OK;
}

static enum hr_status fill_trace(struct run *x, uint64_t row, struct hr_finding *f)
{
    const struct hr_model *mod = x->r->model;
    f->trace.max = HR_MAX_HOPS;
    if (!x->rule->trace || !mod->trace)
        return HR_OK;
    enum hr_status st = mod->trace(mod->trace_ctx, x->t->name, row, &f->trace);
    if (st == HR_NOMEM)
        return st;
    bool marked = false;
    for (size_t i = 0; i < f->trace.n; i++)
        marked |= f->trace.v[i].suspect;
    if (x->rule->suspects && !marked && f->trace.n > 1)
        f->trace.v[f->trace.n - 2].suspect = true; /* the reference that holds it */
    return HR_OK;
}

/* heapPath/v1: the rule, and what it says it is about; else the keys of the group; else the path; else the type. */
static uint64_t fingerprint(struct run *x, uint32_t id, const struct hr_finding *f)
{
    static const char version[] = "heapPath/v1";
    uint64_t h = hr_hash_bytes(version, sizeof version, 0);
    h = hr_hash_bytes(x->rule->name, strlen(x->rule->name), h);
    for (uint32_t i = 0; i < x->rule->nkey; i++) {
        size_t n = 0;
        const struct hr_value *v = hr_vm_run(x->m, x->rule->p_key[i], x->t, x->g.list.v[id].worst);
        const char *z = hr_vm_text(x->m, x->rule->p_key[i], v, &n);
        h = z ? hr_print_text(h, z, n) : hr_hash_bytes(&v->i, v->kind == HR_V_NUM ? sizeof v->i : 0, h);
    }
    if (x->rule->nkey)
        return h;
    for (uint32_t i = 0; i < x->g.nkeys; i++) {
        size_t at = (size_t)id * x->g.nkeys + i;
        const char *z = hr_strs_get(x->g.strs, (hr_str)x->g.keys.v[at]);
        h = x->g.kinds.v[at] == HR_V_STR ? hr_print_text(h, z, strlen(z)) : hr_hash_bytes(&x->g.keys.v[at], 8, h);
    }
    if (x->g.nkeys)
        return h;
    if (f->trace.n)
        return hr_print_trace(h, &f->trace);
    return f->subject_type ? hr_print_text(h, f->subject_type, strlen(f->subject_type)) : h;
}

static enum hr_status fill_subject(struct run *x, uint64_t row, struct hr_finding *f)
{
    char type[HR_MAX_STRING + 1] = "";
    f->has_subject = x->t->subject && x->t->subject(x->t->ctx, row, &f->subject_addr, type, sizeof type);
    if (f->has_subject && *type && !(f->subject_type = hr_strdup(type)))
        return HR_NOMEM;
    struct hr_value v = {0};
    if (x->location && x->location->get)
        x->location->get(x->t->ctx, row, &v);
    if (v.kind == HR_V_STR && v.s && v.n && !(f->location = hr_strndup(v.s, v.n)))
        return HR_NOMEM;
    return HR_OK;
}

static enum hr_status fill(struct run *x, uint32_t id, struct hr_finding *f)
{
    const struct group *g = &x->g.list.v[id];
    const struct rule *rule = x->rule;
    f->severity = rule->severity;
    f->surety = g->surety;
    f->count = g->things;
    f->bytes = g->bytes;
    f->rule = hr_strdup(rule->name);
    f->title = hr_render(x->m, &rule->title, rule->p_title, x->t, g->worst);
    f->help = rule->help.n ? hr_render(x->m, &rule->help, rule->p_help, x->t, g->worst) : NULL;
    f->remedy = rule->remedy.n ? hr_render(x->m, &rule->remedy, rule->p_remedy, x->t, g->worst) : NULL;
    f->next = rule->next.n ? hr_render(x->m, &rule->next, rule->p_next, x->t, g->worst) : NULL;
    if (!f->rule || !f->title || (rule->help.n && !f->help) || (rule->remedy.n && !f->remedy) || (rule->next.n && !f->next))
        return HR_NOMEM;
    HR_TRY(fill_subject(x, g->worst, f));
    HR_TRY(fill_members(x, g, f));
    HR_TRY(fill_trace(x, g->worst, f));
    f->fingerprint = fingerprint(x, id, f);
    return HR_OK;
}

static enum hr_status report(struct run *x, uint32_t id, size_t *made, struct hr_findings *out)
{
    const struct group *g = &x->g.list.v[id];
    struct aggval alone[16] = {{0}};
    if (!x->g.nkeys)
        aggregate_row(x, alone, g->worst);
    x->m->aggs = x->g.nkeys && x->g.nagg ? x->g.aggs.v + (size_t)id * x->g.nagg : alone;
    x->m->g[G_COUNT] = g->things;
    x->m->g[G_BYTES] = g->bytes;
    x->m->g[G_WASTE] = g->bytes - g->worst_bytes;
    enum hr_status st = HR_OK;
    if (!x->rule->p_report || hr_vm_true(hr_vm_run(x->m, x->rule->p_report, x->t, g->worst))) {
        struct hr_finding f = {0};
        if (*made >= MAX_RULE_FINDINGS || out->list.n >= HR_MAX_FINDINGS) {
            out->dropped++;
        } else {
            st = fill(x, id, &f);
            if (st == HR_OK)
                st = hr_findingvec_push(&out->list, f);
            if (st != HR_OK)
                hr_finding_deinit(&f);
            else
                ++*made;
        }
    }
    x->m->aggs = NULL;
    return st;
}

static enum hr_status report_all(struct run *x, size_t *made, struct hr_findings *out)
{
    size_t n = x->g.list.n;
    if (!n)
        return HR_OK;
    uint32_t *order = hr_zalloc(n, sizeof *order);
    if (!order)
        return HR_NOMEM;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, n, sizeof *order, heavier, x->g.list.v);
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < n && st == HR_OK; i++)
        st = report(x, order[i], made, out);
    hr_free(order);
    return st;
}

/* What could not be judged is said, so that silence means clean. */
static enum hr_status confess(struct run *x, const uint64_t *gave_up, struct hr_findings *out)
{
    char why[256];
    if (x->m->out_of_fuel) {
        snprintf(why, sizeof why, "stopped: too many combinations to try; what was found until then is reported");
        HR_TRY(hr_findings_skip(out, x->rule->name, why));
    }
    uint64_t now = 0;
    for (size_t i = 0; i < x->r->regexes.n; i++)
        now += x->r->regexes.v[i]->gave_up;
    if (now != *gave_up) {
        snprintf(why, sizeof why, "a pattern gave up on %llu text%s (match limit); write it without nested repetition",
                 (unsigned long long)(now - *gave_up), now - *gave_up == 1 ? "" : "s");
        HR_TRY(hr_findings_skip(out, x->rule->name, why));
    }
    if (x->rows && x->unknown == x->rows) {
        snprintf(why, sizeof why, "could not be judged: the condition is unknown for all %llu %s", (unsigned long long)x->rows, x->t->name);
        HR_TRY(hr_findings_skip(out, x->rule->name, why));
    }
    return HR_OK;
}

enum hr_status hr_run_rule(struct hr_rules *r, struct vm *m, struct rule *rule, struct hr_findings *out)
{
    const struct hr_table *t = rule->source.table;
    const char *absent = t->absent ? t->absent(t->ctx) : NULL;
    if (absent)
        return hr_findings_skip(out, rule->name, absent);
    struct run x = {.r = r, .m = m, .rule = rule, .t = t};
    x.bytes = hr_table_attr(t, "bytes");
    if (!x.bytes)
        x.bytes = hr_table_attr(t, "size");
    x.surety = hr_table_attr(t, "surety");
    x.location = hr_table_attr(t, "location");
    uint64_t gave_up = 0;
    for (size_t i = 0; i < r->regexes.n; i++)
        gave_up += r->regexes.v[i]->gave_up;
    m->fuel = FUEL;
    m->out_of_fuel = false;
    m->redact = rule->redact;
    HR_TRY(hr_groups_init(&x.g, rule->ngroup, rule->nagg, rule->members));
    x.g.bytes_max = rule->bytes_max;
    size_t made = 0;
    enum hr_status st = scan(&x);
    if (st == HR_OK)
        st = report_all(&x, &made, out);
    if (st == HR_OK)
        st = confess(&x, &gave_up, out);
    out->dropped += x.g.dropped;
    hr_groups_deinit(&x.g);
    return st;
}

static void amount(const struct hr_value *v, char *buf, size_t cap)
{
    char num[48], human[24];
    hr_vm_number_text(v, num, sizeof num);
    double d = hr_vm_num(v);
    if (d >= 1024 && d < 9e18)
        snprintf(buf, cap, "%s (%s)", num, hr_human(human, sizeof human, (uint64_t)d));
    else
        snprintf(buf, cap, "%s", num);
}

enum hr_status hr_run_budget(struct hr_rules *r, struct vm *m, struct rule *rule, struct hr_findings *out)
{
    static const char *const words[] = {[B_LT] = "less than", [B_LE] = "at most", [B_GT] = "more than", [B_GE] = "at least"};
    (void)r;
    if (rule->p_when && !hr_vm_true(hr_vm_run(m, rule->p_when, NULL, 0)))
        return hr_findings_skip(out, rule->name, "does not apply: its `when` does not hold here");
    const struct hr_value *v = hr_vm_run(m, rule->p_where, NULL, 0);
    if (v->kind != HR_V_BOOL)
        return hr_findings_skip(out, rule->name, "could not be judged: what it measures is unknown");
    if (v->b)
        return HR_OK;
    char have[96], limit[96], title[300], remedy[] = "Look at what holds the most (heapray top), or raise the budget if the growth is meant.";
    struct hr_value measured = *hr_vm_run(m, rule->p_group[0], NULL, 0);
    amount(&measured, have, sizeof have);
    amount(hr_vm_run(m, rule->p_group[1], NULL, 0), limit, sizeof limit);
    snprintf(title, sizeof title, "Budget %s is broken: %s, and it has to be %s %s", rule->name + 7, have, words[rule->where->op], limit);
    struct hr_finding f = {.severity = rule->severity, .count = 1, .surety = HR_SURE_EXACT};
    f.bytes = measured.is_float || measured.i < 0 ? 0 : (uint64_t)measured.i;
    f.rule = hr_strdup(rule->name);
    f.title = hr_strdup(title);
    f.help = hr_strdup("A budget is a bound on what the image as a whole may use.");
    f.remedy = hr_strdup(remedy);
    f.fingerprint = hr_print_text(hr_hash_bytes("heapPath/v1", 12, 0), rule->name, strlen(rule->name));
    enum hr_status st = f.rule && f.title && f.help && f.remedy ? hr_findingvec_push(&out->list, f) : HR_NOMEM;
    if (st != HR_OK)
        hr_finding_deinit(&f);
    return st;
}
