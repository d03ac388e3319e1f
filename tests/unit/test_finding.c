/* Findings: order and ownership. */
#include "analyzer/finding/finding.h"
#include "analyzer/heap/heap.h"
#include "tests/tap.h"

int main(void)
{
    struct hr_findings f;
    hr_findings_init(&f);
    static const struct { enum hr_severity sev; uint64_t bytes, print; const char *title; } in[] = {
        {HR_SEV_NOTE, 1000, 1, "n"},   {HR_SEV_ERROR, 10, 9, "small"}, {HR_SEV_ERROR, 10, 3, "same size, lower print"},
        {HR_SEV_WARNING, 50, 1, "w"}, {HR_SEV_ERROR, 99, 5, "big"},
    };
    bool ok = true;
    for (size_t i = 0; i < 5; i++) {
        struct hr_finding x = {.severity = in[i].sev, .bytes = in[i].bytes, .fingerprint = in[i].print,
                               .title = hr_strdup(in[i].title), .rule = hr_strdup("r")};
        x.members.max = 1;
        ok &= hr_membervec_push(&x.members, (struct hr_member){1, hr_strdup("t"), 2}) == HR_OK;
        ok &= hr_findingvec_push(&f.list, x) == HR_OK;
    }
    hr_findings_sort(&f);
    static const char *const want[] = {"big", "same size, lower print", "small", "w", "n"};
    for (size_t i = 0; i < 5; i++)
        ok &= !strcmp(f.list.v[i].title, want[i]);
    OK(ok, "severity, then bytes, then fingerprint");
    struct hr_finding *x = &f.list.v[0];
    OK(hr_finding_counts(x), "a new finding counts");
    x->state = hr_strdup("allowed");
    OK(!hr_finding_counts(x), "an allowed one does not");
    x->surety = HR_SURE_CONSERVATIVE;
    OK(!strcmp(hr_finding_surety(x), "conservative"), "surety in json.md's words");
    x->surety = HR_SURE_NONE;
    OK(!hr_finding_surety(x) && hr_finding_evidence(x), "no surety is null");
    EQ(hr_findings_skip(&f, "a.rule", "no such type"), HR_OK, "skipped");
    OK(f.skipped.n == 1 && !strcmp(f.skipped.v[0].why, "no such type"), "with its reason");
    hr_findings_deinit(&f);
    EQ(f.list.n, 0, "emptied");
    return tap_done();
}
