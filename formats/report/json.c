/* JSON: one document, or one object a line. The names are fixed (schema heapray/1): members may be added, none renamed. */
#include <string.h>

#include "formats/report/report.h"

static void subject(struct hr_json *j, const struct hr_finding *f)
{
    if (!f->has_subject) {
        hr_json_null(j, "subject");
        return;
    }
    hr_json_obj(j, "subject");
    hr_json_addr(j, "addr", f->subject_addr);
    hr_json_str(j, "type", f->subject_type);
    hr_json_end(j);
}

static void trace(struct hr_json *j, const struct hr_finding *f)
{
    hr_json_arr(j, "trace");
    for (size_t i = 0; i < f->trace.n; i++) {
        const struct hr_hop *h = &f->trace.v[i];
        hr_json_obj(j, NULL);
        hr_json_addr(j, "addr", h->addr);
        hr_json_str(j, "type", h->type);
        hr_json_str(j, "field", h->field);
        hr_json_bool(j, "suspect", h->suspect);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void members(struct hr_json *j, const struct hr_finding *f)
{
    hr_json_arr(j, "members");
    for (size_t i = 0; i < f->members.n; i++) {
        hr_json_obj(j, NULL);
        hr_json_addr(j, "addr", f->members.v[i].addr);
        hr_json_str(j, "type", f->members.v[i].type);
        hr_json_num(j, "bytes", f->members.v[i].bytes);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void hex(struct hr_json *j, const char *key, uint64_t v)
{
    char buf[24];
    snprintf(buf, sizeof buf, "%016llx", (unsigned long long)v);
    hr_json_str(j, key, buf);
}

void hr_json_finding(struct hr_json *j, const struct hr_finding *f)
{
    hr_json_obj(j, NULL);
    hr_json_str(j, "rule", f->rule);
    hr_json_str(j, "severity", hr_severity_name(f->severity));
    hex(j, "fingerprint", f->fingerprint);
    hr_json_str(j, "title", f->title);
    hr_json_num(j, "count", f->count);
    hr_json_num(j, "bytes", f->bytes);
    hr_json_str(j, "surety", hr_finding_surety(f));
    subject(j, f);
    trace(j, f);
    members(j, f);
    hr_json_str(j, "help", f->help);
    hr_json_str(j, "remedy", f->remedy);
    hr_json_str(j, "next", f->next);
    hr_json_str(j, "location", f->location);
    hr_json_str(j, "state", f->state ? f->state : "new");
    hr_json_str(j, "label", f->label);
    hr_json_end(j);
}

static void date(struct hr_json *j, const char *key, uint32_t d)
{
    char buf[48];
    snprintf(buf, sizeof buf, "%04u-%02u-%02u", d / 10000, d / 100 % 100, d % 100);
    hr_json_str(j, key, buf);
}

static void tail(struct hr_json *j, const struct hr_report_in *in)
{
    const struct hr_findings *f = in->findings;
    hr_json_num(j, "findings_dropped", f->dropped);
    hr_json_arr(j, "allowances");
    for (size_t i = 0; i < f->allowances.n; i++) {
        const struct hr_allowance *a = &f->allowances.v[i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "name", a->name);
        hr_json_str(j, "reason", a->reason);
        date(j, "expires", a->expires);
        hr_json_num(j, "used", a->used);
        if (a->max_count)
            hr_json_num(j, "max_count", a->max_count);
        else
            hr_json_null(j, "max_count");
        hr_json_str(j, "state", a->state);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_arr(j, "fixed");
    for (size_t i = 0; i < f->fixed.n; i++) {
        hr_json_obj(j, NULL);
        hr_json_str(j, "rule", f->fixed.v[i].rule);
        hex(j, "fingerprint", f->fixed.v[i].fingerprint);
        hr_json_num(j, "count", f->fixed.v[i].count);
        hr_json_num(j, "bytes", f->fixed.v[i].bytes);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_arr(j, "skipped_rules");
    for (size_t i = 0; i < f->skipped.n; i++) {
        hr_json_obj(j, NULL);
        hr_json_str(j, "rule", f->skipped.v[i].rule);
        hr_json_str(j, "why", f->skipped.v[i].why);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_arr(j, "rules");
    for (size_t i = 0; i < in->nrules; i++)
        hr_json_str(j, NULL, in->rules[i].name);
    hr_json_end(j);
    hr_json_int(j, "exit", in->exit_code);
}

static void print_json(struct hr_out *o, const struct hr_report_in *in)
{
    struct hr_json j;
    hr_json_init(&j, o, true);
    hr_json_obj(&j, NULL);
    hr_json_head(&j, in->head);
    hr_json_arr(&j, "findings");
    for (size_t i = 0; i < in->findings->list.n; i++)
        hr_json_finding(&j, &in->findings->list.v[i]);
    hr_json_end(&j);
    tail(&j, in);
    hr_json_end(&j);
}

/* The header, a finding a line, and what belongs to the whole. */
static void print_ndjson(struct hr_out *o, const struct hr_report_in *in)
{
    struct hr_json j;
    hr_json_init(&j, o, false);
    hr_json_obj(&j, NULL);
    hr_json_head(&j, in->head);
    hr_json_end(&j);
    for (size_t i = 0; i < in->findings->list.n; i++)
        hr_json_finding(&j, &in->findings->list.v[i]);
    hr_json_obj(&j, NULL);
    tail(&j, in);
    hr_json_end(&j);
}

const struct hr_report hr_report_json = {"json", print_json};
const struct hr_report hr_report_ndjson = {"ndjson", print_ndjson};
