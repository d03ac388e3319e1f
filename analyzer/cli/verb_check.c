/* `check`: rules over the model, several reports in one run, exit status for CI. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/cli/cli.h"
#include "analyzer/cli/rules_cli.h"
#include "analyzer/model.h"

enum { MAX_REPORTS = 8 };

struct run {
    struct hr_cli *c;
    struct hr_rules *rules;
    struct hr_session_model *model;
    struct hr_findings findings;
    enum hr_severity fail_on;
    struct { const struct hr_report *how; const char *file; FILE *f; int why; } report[MAX_REPORTS];
    size_t nreports;
    struct hr_cli_baseline baseline;
};

size_t hr_cli_rule_errors(const struct hr_rules *rules)
{
    const struct hr_ruleerrvec *e = hr_rules_errors(rules);
    size_t errors = 0;
    for (size_t i = 0; i < e->n; i++) {
        char buf[2048];
        hr_rules_format_error(&e->v[i], buf, sizeof buf);
        fprintf(stderr, "%s\n", buf); /* the engine escapes what it quotes */
        errors += !e->v[i].warning;
    }
    return errors;
}

static int print_rule_errors(struct run *r)
{
    size_t n = hr_cli_rule_errors(r->rules);
    return n ? hr_cli_error(HR_EXIT_USAGE, "%zu error%s in the rules", n, n == 1 ? "" : "s") : -1;
}

int hr_cli_rules(struct hr_cli *c, struct hr_rules **ret)
{
    struct hr_rules *rules;
    if (hr_rules_create(&rules) != HR_OK)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    *ret = rules;
    struct run r = {.c = c, .rules = rules};
    enum hr_status st = hr_rules_add_builtin(rules);
    for (size_t i = 0; i < c->rules.n && (st == HR_OK || st == HR_USAGE); i++) {
        enum hr_status one = hr_rules_add_file(rules, c->rules.v[i]);
        st = st == HR_OK ? one : st;
    }
    for (size_t i = 0; i < c->set.n && st == HR_OK; i++)
        st = hr_rules_set(rules, c->set.v[i]);
    hr_rules_show_contents(rules, c->show_contents);
    if (st != HR_OK && hr_rules_errors(rules)->n)
        return print_rule_errors(&r);
    if (st == HR_NOMEM)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory (reading rules)");
    if (st != HR_OK)
        return hr_cli_error(HR_EXIT_USAGE, "rules: %s", hr_status_name(st));
    return -1;
}

/* "sarif=out.sarif,junit=out.xml,text=-" */
static int choose_reports(struct run *r)
{
    struct hr_cli *c = r->c;
    static _Thread_local char copy[HR_CLI_MAX][1024];
    for (size_t i = 0; i < c->formats.n; i++) {
        if (strlen(c->formats.v[i]) >= sizeof copy[i])
            return hr_cli_error(HR_EXIT_USAGE, "--format is too long");
        strcpy(copy[i], c->formats.v[i]);
        char *rest = copy[i];
        for (char *one; (one = strsep(&rest, ","));) {
            char *file = strchr(one, '=');
            if (file)
                *file++ = 0;
            const struct hr_report *how = hr_report_find(one);
            if (!how)
                return hr_cli_error(HR_EXIT_USAGE, "there is no report format '%s' (text, json, sarif, junit)", one);
            if (r->nreports == MAX_REPORTS)
                return hr_cli_error(HR_EXIT_USAGE, "at most %d reports in one run", MAX_REPORTS);
            r->report[r->nreports].how = how;
            r->report[r->nreports++].file = file && strcmp(file, "-") ? file : NULL;
        }
    }
    if (!r->nreports) {
        r->report[0].how = hr_report_find(c->ndjson ? "ndjson" : c->json ? "json" : "text");
        r->nreports = 1;
    }
    return -1;
}

static int choose_level(struct run *r)
{
    const char *l = r->c->fail_on ? r->c->fail_on : "error";
    for (int s = HR_SEV_NOTE; s <= HR_SEV_ERROR; s++)
        if (!strcmp(l, hr_severity_name((enum hr_severity)s))) {
            r->fail_on = (enum hr_severity)s;
            return -1;
        }
    return hr_cli_error(HR_EXIT_USAGE, "--fail-on takes note, warning or error, not '%s'", l);
}

/* Reports may be written beside each other, never over the input.
 * Before the analysis, when files can still be opened; what was in them goes only when there is something to write. */
static void open_reports(struct run *r)
{
    for (size_t i = 0; i < r->nreports; i++) {
        if (!r->report[i].file)
            continue;
        r->report[i].f = hr_cli_create(r->c, r->report[i].file);
        r->report[i].why = errno;
    }
}

static int write_report(struct run *r, size_t i, const struct hr_report_in *in)
{
    const char *file = r->report[i].file;
    FILE *f = r->report[i].f;
    r->report[i].f = NULL;
    if (!f)
        return hr_cli_error(HR_EXIT_USAGE, "cannot write %s: %s", file, strerror(r->report[i].why));
    struct hr_out o;
    hr_out_init(&o, f, "never");
    o.bytes = r->c->bytes;
    o.width = 0;
    errno = 0;
    bool bad = ftruncate(fileno(f), 0) && errno != EINVAL; /* a pipe or a terminal has no length */
    r->report[i].how->print(&o, in);
    if (fclose(f) || o.failed || bad)
        return hr_cli_error(HR_EXIT_USAGE, "writing %s failed: %s", file, strerror(errno));
    return -1;
}

static int print_reports(struct run *r, int code)
{
    struct hr_rule_meta *meta = NULL;
    struct hr_rule_info info;
    size_t n = hr_rules_list(r->rules, 0, &info), used = 0;
    meta = hr_zalloc(n + 1, sizeof *meta);
    if (!meta)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        hr_rules_list(r->rules, i, &info);
        if (!info.chosen)
            continue;
        meta[used] = (struct hr_rule_meta){info.name, info.title, info.help, info.severity, true, NULL, info.remedy, info.tags, info.precision};
        for (size_t k = 0; k < r->findings.skipped.n; k++)
            if (!strcmp(r->findings.skipped.v[k].rule, info.name)) {
                meta[used].ran = false;
                meta[used].skipped = r->findings.skipped.v[k].why;
            }
        used++;
    }
    struct hr_report_in in = {.head = hr_cli_head(r->c), .findings = &r->findings, .rules = meta, .nrules = used,
                              .exit_code = code, .show_contents = r->c->show_contents};
    for (size_t i = 0; i < r->nreports; i++) {
        if (!r->report[i].file) {
            r->report[i].how->print(&r->c->out, &in);
            continue;
        }
        int wrong = write_report(r, i, &in);
        code = wrong >= 0 ? wrong : code;
    }
    hr_free(meta);
    return code;
}

static int exit_code(struct run *r)
{
    for (size_t i = 0; i < r->findings.list.n; i++)
        if (r->findings.list.v[i].severity >= r->fail_on && hr_finding_counts(&r->findings.list.v[i]))
            return HR_EXIT_FINDINGS;
    return hr_cli_exit(r->c);
}

/* Typing the whole heap costs more than all the leak rules together; above this many blocks, rules that ask for types only to
 * name what they found get what the blocks themselves tell. */
enum { TYPED_NAMES_MOST = 4000000 };

static enum hr_status evaluate(struct run *r)
{
    struct hr_session *s = r->c->s;
    uint32_t needs = hr_rules_needs(r->rules);
    HR_TRY(hr_session_heap(s));
    if (!(needs & HR_NEED_TYPES) && s->heap->n > TYPED_NAMES_MOST)
        s->want_types = false; /* before roots are made: debug information is not even read */
    HR_TRY(hr_session_need(s, needs));
    if (!(needs & HR_NEED_TYPES) && s->want_types && s->heap->n <= TYPED_NAMES_MOST)
        HR_TRY(hr_session_types(s));
    hr_model_refresh(r->model, s);
    return hr_rules_run(r->rules, &r->model->model, &r->findings);
}

static int check(struct run *r)
{
    struct hr_cli *c = r->c;
    int code = choose_reports(r);
    if (code < 0)
        code = choose_level(r);
    if (code < 0)
        code = hr_cli_rules(c, &r->rules);
    if (code >= 0)
        return code;
    if (!hr_rules_only(r->rules, c->only))
        return hr_cli_error(HR_EXIT_USAGE, "no rule matches '%s' (see heapray rules)", c->only ? c->only : "*");
    hr_model_init(r->model, c->s);
    enum hr_status st = hr_rules_check(r->rules, &r->model->model);
    if (hr_rules_errors(r->rules)->n && (code = print_rule_errors(r)) >= 0)
        return code;
    code = hr_cli_baseline_open(c, &r->baseline);
    if (code >= 0)
        return code;
    open_reports(r);
    if (st == HR_OK)
        st = evaluate(r);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    code = hr_cli_baseline_apply(c, &r->baseline, r->rules, &r->findings);
    if (code >= 0)
        return code;
    code = exit_code(r);
    return print_reports(r, code);
}

static int run(struct hr_cli *c)
{
    struct run r = {.c = c, .model = hr_zalloc(1, sizeof *r.model)};
    if (!r.model)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    hr_findings_init(&r.findings);
    int code = check(&r);
    hr_cli_baseline_close(&r.baseline);
    for (size_t i = 0; i < r.nreports; i++)
        if (r.report[i].f)
            fclose(r.report[i].f);
    hr_findings_deinit(&r.findings);
    hr_rules_destroy(r.rules);
    hr_free(r.model);
    return code;
}

const struct hr_verb hr_verb_check = {
    .name = "check", .args = "", .summary = "run the rules: leaks, cycles, fragmentation, oversized, damage",
    .help = "Runs the built-in rules and those of --rules FILE and prints what they find, worst first, each with its evidence, "
            "what to do and the next command. --only 'leak.*' chooses rules, --set NAME=VALUE changes a threshold, --fail-on "
            "LEVEL says from which severity on the exit status is 1, --format sarif=FILE,junit=FILE,text writes several "
            "reports in one run, --baseline FILE lets only new or grown findings fail.",
    .needs_image = true, .types = true, .run = run,
};
