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

static int prepare(const char *path, struct hr_newfile **ret)
{
    char why[300] = "";
    return hr_newfile_create(path, ret, why, sizeof why) == HR_OK ? -1 : failed("cannot be written", path, why);
}

int hr_cli_baseline_open(struct hr_cli *c, struct hr_cli_baseline *b)
{
    char why[300] = "";
    int code = -1;
    if (c->prune_baseline && !c->baseline)
        return hr_cli_error(HR_EXIT_USAGE, "--prune-baseline needs --baseline FILE");
    if (c->baseline || c->write_baseline)
        hr_baseline_prepare();
    /* The first run of `--baseline B --write-baseline B` has nothing to read yet. */
    bool first = c->baseline && c->write_baseline && !strcmp(c->baseline, c->write_baseline) && access(c->baseline, F_OK);
    if (c->baseline && !first && hr_baseline_read(c->baseline, &b->old, why, sizeof why) != HR_OK)
        return failed("cannot be used", c->baseline, why);
    if (c->prune_baseline && b->old)
        code = prepare(c->baseline, &b->pruned);
    if (code < 0 && c->write_baseline)
        code = prepare(c->write_baseline, &b->written);
    c->s->replaces_file = b->pruned || b->written;
    return code;
}

int hr_cli_baseline_apply(struct hr_cli *c, struct hr_cli_baseline *b, const struct hr_rules *rules, struct hr_findings *f)
{
    char why[300] = "";
    struct ran ctx = {rules, f};
    if (b->old && hr_baseline_apply(b->old, f, ran, &ctx) != HR_OK)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    if (b->pruned && hr_baseline_prune(b->pruned, b->old, f, why, sizeof why) != HR_OK)
        return failed("cannot be written", c->baseline, why);
    if (b->written && hr_baseline_write(b->written, f, why, sizeof why) != HR_OK)
        return failed("cannot be written", c->write_baseline, why);
    return -1;
}

void hr_cli_baseline_close(struct hr_cli_baseline *b)
{
    hr_newfile_destroy(b->pruned);
    hr_newfile_destroy(b->written);
    hr_baseline_destroy(b->old);
}
