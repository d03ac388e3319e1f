/* check --baseline, --write-baseline, --prune-baseline. */
#include <string.h>
#include <unistd.h>

#include "analyzer/base/esc.h"
#include "analyzer/cli/rules_cli.h"
#include "rules/engine/baseline.h"

struct ran { const struct hr_rules *rules; const struct hr_findings *f; };

/* A rule that did not run, or could not judge, has fixed nothing. */
static bool ran(void *ctx, const char *rule)
{
    const struct ran *r = ctx;
    struct hr_rule_info info;
    size_t n = hr_rules_list(r->rules, 0, &info);
    for (size_t i = 0; i < r->f->skipped.n; i++)
        if (!strcmp(r->f->skipped.v[i].rule, rule))
            return false;
    for (size_t i = 0; i < n; i++) {
        hr_rules_list(r->rules, i, &info);
        if (!strcmp(info.name, rule))
            return info.chosen;
    }
    return true; /* the rule is gone, and with it what it said */
}

static int failed(const char *what, const char *path, const char *why)
{
    char a[300], b[300];
    return hr_cli_error(HR_EXIT_USAGE, "baseline %s %s: %s", hr_escz(a, sizeof a, path), what, hr_escz(b, sizeof b, why));
}

int hr_cli_baseline(struct hr_cli *c, const struct hr_rules *rules, struct hr_findings *f)
{
    char why[300] = "";
    struct hr_baseline *b = NULL;
    struct ran ctx = {rules, f};
    int code = -1;
    if (c->prune_baseline && !c->baseline)
        return hr_cli_error(HR_EXIT_USAGE, "--prune-baseline needs --baseline FILE");
    /* The first run of `--baseline B --write-baseline B` has nothing to read yet. */
    bool first = c->baseline && c->write_baseline && !strcmp(c->baseline, c->write_baseline) && access(c->baseline, F_OK);
    if (c->baseline && !first) {
        if (hr_baseline_read(c->baseline, &b, why, sizeof why) != HR_OK)
            return failed("cannot be used", c->baseline, why);
        if (hr_baseline_apply(b, f, ran, &ctx) != HR_OK)
            code = hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    }
    if (code < 0 && c->prune_baseline && b && hr_baseline_prune(c->baseline, b, f, why, sizeof why) != HR_OK)
        code = failed("cannot be written", c->baseline, why);
    if (code < 0 && c->write_baseline && hr_baseline_write(c->write_baseline, f, why, sizeof why) != HR_OK)
        code = failed("cannot be written", c->write_baseline, why);
    hr_baseline_destroy(b);
    return code;
}
