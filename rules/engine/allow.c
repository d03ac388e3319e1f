/* allow: findings somebody has decided to live with, until a day. Used ones are listed, and so are the others. */
#include <stdio.h>
#include <time.h>

#include "rules/engine/internal.h"

static const struct hr_finding *finding(void *ctx, uint64_t row)
{
    struct hr_rules *r = ctx;
    return &r->findings->list.v[row];
}

static void answer(struct hr_value *ret, uint8_t kind, const char *z)
{
    *ret = (struct hr_value){.kind = z ? kind : HR_V_UNKNOWN, .s = z, .n = z ? strlen(z) : 0};
}

static void number(struct hr_value *ret, uint64_t n)
{
    *ret = (struct hr_value){.kind = HR_V_NUM, .i = n > INT64_MAX ? INT64_MAX : (int64_t)n};
}

static void get_rule(void *c, uint64_t row, struct hr_value *ret) { answer(ret, HR_V_STR, finding(c, row)->rule); }
static void get_type(void *c, uint64_t row, struct hr_value *ret) { answer(ret, HR_V_TYPE, finding(c, row)->subject_type); }
static void get_title(void *c, uint64_t row, struct hr_value *ret) { answer(ret, HR_V_STR, finding(c, row)->title); }
static void get_location(void *c, uint64_t row, struct hr_value *ret) { answer(ret, HR_V_STR, finding(c, row)->location); }
static void get_bytes(void *c, uint64_t row, struct hr_value *ret) { number(ret, finding(c, row)->bytes); }
static void get_count(void *c, uint64_t row, struct hr_value *ret) { number(ret, finding(c, row)->count); }
static uint64_t count(void *c) { return ((struct hr_rules *)c)->findings->list.n; }

static const struct hr_attr attrs[] = {
    {"rule", HR_V_STR, HR_COST_TYPE, 0, "name of the rule", get_rule},
    {"type", HR_V_TYPE, HR_COST_TYPE, 0, "type of what it is about", get_type},
    {"title", HR_V_STR, HR_COST_TYPE, 0, "the sentence", get_title},
    {"location", HR_V_STR, HR_COST_TYPE, 0, "file and line", get_location},
    {"bytes", HR_V_NUM, HR_COST_TYPE, 0, "bytes it stands for", get_bytes},
    {"count", HR_V_NUM, HR_COST_TYPE, 0, "things it stands for", get_count},
};

void hr_allow_table(struct hr_rules *r)
{
    r->findings_table = (struct hr_table){.name = "findings", .doc = "what the rules found", .count = count, .attrs = attrs,
                                          .nattrs = sizeof attrs / sizeof *attrs, .ctx = r};
}

static uint32_t day(const struct tm *t) { return (uint32_t)((t->tm_year + 1900) * 10000 + (t->tm_mon + 1) * 100 + t->tm_mday); }

static uint32_t day_after(uint32_t today, int days)
{
    struct tm t = {.tm_year = (int)(today / 10000) - 1900, .tm_mon = (int)(today / 100 % 100) - 1, .tm_mday = (int)(today % 100) + days,
                   .tm_hour = 12};
    return timegm(&t) == (time_t)-1 ? today : day(&t);
}

static uint32_t today_of(const struct hr_rules *r)
{
    time_t now = time(NULL);
    struct tm t;
    return r->today ? r->today : gmtime_r(&now, &t) ? day(&t) : 0;
}

static bool about(struct vm *m, struct hr_rules *r, const struct allow *a, size_t i)
{
    bool named = false;
    for (uint32_t k = 0; k < a->nrules; k++)
        named |= !strcmp(a->rules[k], r->findings->list.v[i].rule);
    return named && (!a->prog || hr_vm_true(hr_vm_run(m, a->prog, &r->findings_table, i)));
}

static enum hr_status mark(struct hr_finding *f, const char *state, const char *label)
{
    char *s = hr_strdup(state), *l = hr_strdup(label);
    if ((state && !s) || !l) {
        hr_free(s);
        hr_free(l);
        return HR_NOMEM;
    }
    hr_free(f->label);
    f->label = l;
    if (state) {
        hr_free(f->state);
        f->state = s;
    }
    return HR_OK;
}

static enum hr_status apply(struct hr_rules *r, struct vm *m, const struct allow *a, uint32_t today, struct hr_allowance *w)
{
    char label[400], until[16];
    snprintf(until, sizeof until, "%04u-%02u-%02u", a->expires / 10000, a->expires / 100 % 100, a->expires % 100);
    bool expired = today > a->expires;
    for (size_t i = 0; i < r->findings->list.n; i++) {
        struct hr_finding *f = &r->findings->list.v[i];
        if (!about(m, r, a, i))
            continue;
        bool over = a->max_count && (f->count > a->max_count || w->used > a->max_count - f->count);
        w->used = hr_sat_add(w->used, f->count);
        if (expired)
            snprintf(label, sizeof label, "the allowance \"%.80s\" expired on %s", a->name, until);
        else if (over)
            snprintf(label, sizeof label, "the allowance \"%.80s\" covers %llu, and there are more", a->name, (unsigned long long)a->max_count);
        else
            snprintf(label, sizeof label, "allowed until %s by \"%.80s\": %.200s", until, a->name, a->reason);
        if (over)
            w->state = "exceeded";
        HR_TRY(mark(f, expired || over ? NULL : "allowed", label));
    }
    if (expired)
        w->state = "expired";
    else if (!w->state)
        w->state = !w->used ? "unused" : day_after(today, 14) >= a->expires ? "expires soon" : "used";
    return HR_OK;
}

/* With --only, an allowance of rules that did not run is not "unused". */
static bool concerned(const struct hr_rules *r, const struct allow *a)
{
    for (uint32_t k = 0; k < a->nrules; k++)
        for (size_t i = 0; i < r->rules.n; i++)
            if (!strcmp(r->rules.v[i]->name, a->rules[k]) && r->rules.v[i]->chosen && !r->rules.v[i]->off)
                return true;
    return false;
}

enum hr_status hr_run_allows(struct hr_rules *r, struct vm *m, struct hr_findings *out)
{
    uint32_t today = today_of(r);
    r->findings = out;
    m->fuel = 100000000;
    m->out_of_fuel = false;
    for (size_t i = 0; i < r->allows.n; i++) {
        const struct allow *a = r->allows.v[i];
        if (!concerned(r, a))
            continue;
        struct hr_allowance w = {.name = hr_strdup(a->name), .reason = hr_strdup(a->reason), .expires = a->expires, .max_count = a->max_count};
        enum hr_status st = w.name && w.reason ? apply(r, m, a, today, &w) : HR_NOMEM;
        if (st == HR_OK)
            st = hr_allowancevec_push(&out->allowances, w);
        if (st != HR_OK) {
            hr_free(w.name);
            hr_free(w.reason);
            return st;
        }
    }
    return HR_OK;
}
