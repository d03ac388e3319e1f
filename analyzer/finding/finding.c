#include "analyzer/finding/finding.h"

#include <stdlib.h>
#include <string.h>

#include "analyzer/base/limits.h"
#include "analyzer/heap/heap.h"

void hr_finding_deinit(struct hr_finding *f)
{
    char *const owned[] = {f->rule, f->title, f->help, f->remedy, f->next, f->subject_type, f->location, f->state, f->label};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        hr_free(owned[i]);
    for (size_t i = 0; i < f->trace.n; i++) {
        hr_free(f->trace.v[i].type);
        hr_free(f->trace.v[i].field);
    }
    for (size_t i = 0; i < f->members.n; i++)
        hr_free(f->members.v[i].type);
    hr_hopvec_deinit(&f->trace);
    hr_membervec_deinit(&f->members);
    *f = (struct hr_finding){0};
}

void hr_findings_init(struct hr_findings *f)
{
    *f = (struct hr_findings){
        .list.max = HR_MAX_FINDINGS,
        .skipped.max = HR_MAX_SKIPPED,
        .allowances.max = HR_MAX_SKIPPED,
        .fixed.max = HR_MAX_FINDINGS,
    };
}

void hr_findings_deinit(struct hr_findings *f)
{
    for (size_t i = 0; i < f->list.n; i++)
        hr_finding_deinit(&f->list.v[i]);
    for (size_t i = 0; i < f->skipped.n; i++) {
        hr_free(f->skipped.v[i].rule);
        hr_free(f->skipped.v[i].why);
    }
    for (size_t i = 0; i < f->allowances.n; i++) {
        hr_free(f->allowances.v[i].name);
        hr_free(f->allowances.v[i].reason);
    }
    for (size_t i = 0; i < f->fixed.n; i++)
        hr_free(f->fixed.v[i].rule);
    hr_findingvec_deinit(&f->list);
    hr_skippedvec_deinit(&f->skipped);
    hr_allowancevec_deinit(&f->allowances);
    hr_fixedvec_deinit(&f->fixed);
    hr_findings_init(f);
}

/* Worst first. The later keys only make the order the same on every run. */
static int worse(const void *pa, const void *pb)
{
    const struct hr_finding *a = pa, *b = pb;
    if (a->severity != b->severity)
        return a->severity > b->severity ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    if (a->fingerprint != b->fingerprint)
        return a->fingerprint < b->fingerprint ? -1 : 1;
    if (a->subject_addr != b->subject_addr)
        return a->subject_addr < b->subject_addr ? -1 : 1;
    return strcmp(a->title ? a->title : "", b->title ? b->title : "");
}

void hr_findings_sort(struct hr_findings *f)
{
    if (f->list.n > 1)
        qsort(f->list.v, f->list.n, sizeof *f->list.v, worse);
}

const char *hr_severity_name(enum hr_severity s)
{
    return s == HR_SEV_ERROR ? "error" : s == HR_SEV_WARNING ? "warning" : "note";
}

const char *hr_finding_surety(const struct hr_finding *f)
{
    switch (f->surety) {
    case HR_SURE_EXACT: return "exact";
    case HR_SURE_INFERRED: return "inferred";
    case HR_SURE_CONSERVATIVE: return "conservative";
    case HR_SURE_INTERIOR: return "interior";
    default: return NULL;
    }
}

const char *hr_finding_evidence(const struct hr_finding *f)
{
    switch (f->surety) {
    case HR_SURE_EXACT: return "exact: the allocator's or the type's own layout says so";
    case HR_SURE_INFERRED: return "inferred: types follow from other evidence, not from a declaration";
    case HR_SURE_CONSERVATIVE: return "conservative: a word that looks like a pointer counts as one";
    case HR_SURE_INTERIOR: return "interior: only pointers into the middle of blocks were found";
    default: return "not stated";
    }
}

bool hr_finding_counts(const struct hr_finding *f)
{
    return !f->state || (strcmp(f->state, "known") && strcmp(f->state, "allowed"));
}

enum hr_status hr_findings_skip(struct hr_findings *f, const char *rule, const char *why)
{
    struct hr_skipped s = {hr_strdup(rule), hr_strdup(why)};
    enum hr_status st = s.rule && s.why ? hr_skippedvec_push(&f->skipped, s) : HR_NOMEM;
    if (st != HR_OK) {
        hr_free(s.rule);
        hr_free(s.why);
    }
    return st;
}
