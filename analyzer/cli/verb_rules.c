#include <string.h>

#include "analyzer/cli/rules_cli.h"
#include "analyzer/model.h"

static int list(struct hr_cli *c, struct hr_rules *rules)
{
    struct hr_rule_info info;
    size_t n = hr_rules_list(rules, 0, &info);
    static const char *const heads[] = {"severity", "rule", "title"};
    struct hr_tab *t = hr_tab_create(&c->out, heads, "lll", 3);
    for (size_t i = 0; i < n; i++) {
        hr_rules_list(rules, i, &info);
        hr_tab_cell(t, hr_severity_name(info.severity));
        hr_tab_cell(t, info.name);
        hr_tab_cell(t, info.title);
    }
    hr_tab_print(t, 0);
    hr_outf(&c->out, "\nheapray rules show NAME explains one, heapray rules attrs lists what rules can ask,\n"
                     "heapray rules check --rules FILE checks a file without a dump.\n");
    return HR_EXIT_OK;
}

static int show(struct hr_cli *c, struct hr_rules *rules, const char *name)
{
    struct hr_rule_info info;
    size_t n = hr_rules_list(rules, 0, &info);
    for (size_t i = 0; i < n; i++) {
        hr_rules_list(rules, i, &info);
        if (strcmp(info.name, name))
            continue;
        hr_out_style(&c->out, HR_BOLD);
        hr_out_esc(&c->out, info.name);
        hr_out_style(&c->out, HR_PLAIN);
        hr_outf(&c->out, " (%s, pack ", hr_severity_name(info.severity));
        hr_out_esc(&c->out, info.pack ? info.pack : "-");
        hr_outf(&c->out, ")\n");
        hr_out_wrap(&c->out, 2, info.title);
        if (info.help)
            hr_out_wrap(&c->out, 2, info.help);
        return HR_EXIT_OK;
    }
    return hr_cli_error(HR_EXIT_USAGE, "there is no rule '%s' (see heapray rules)", name);
}

static int attrs(struct hr_cli *c)
{
    static const char *const kinds[] = {"?", "yes/no", "number", "text", "type", "row"};
    struct hr_session_model *m = hr_zalloc(1, sizeof *m);
    struct hr_session *none = hr_zalloc(1, sizeof *none);
    if (!m || !none) {
        hr_free(m);
        hr_free(none);
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    }
    hr_model_init(m, none);
    for (size_t i = 0; i < m->model.ntables; i++) {
        const struct hr_table *t = &m->model.tables[i];
        hr_outf(&c->out, "%s: %s\n", t->name, t->doc);
        for (size_t k = 0; k < t->nattrs; k++)
            hr_outf(&c->out, "  %-16s %-7s %s\n", t->attrs[k].name, kinds[t->attrs[k].kind], t->attrs[k].doc);
    }
    hr_outf(&c->out, "the whole image\n");
    for (size_t i = 0; i < m->model.nglobals; i++)
        hr_outf(&c->out, "  %-20s %-7s %s\n", m->model.globals[i].name, kinds[m->model.globals[i].kind], m->model.globals[i].doc);
    hr_free(m);
    hr_free(none);
    return HR_EXIT_OK;
}

static int check(struct hr_cli *c, struct hr_rules *rules)
{
    struct hr_session_model *m = hr_zalloc(1, sizeof *m);
    struct hr_session *none = hr_zalloc(1, sizeof *none);
    int code = HR_EXIT_INTERNAL;
    if (m && none) {
        hr_model_init(m, none);
        enum hr_status st = hr_rules_check(rules, &m->model);
        size_t errors = hr_cli_rule_errors(rules);
        struct hr_rule_info info;
        code = st == HR_OK && !errors ? HR_EXIT_OK : HR_EXIT_USAGE;
        if (!code)
            hr_outf(&c->out, "%zu rules, no errors\n", hr_rules_list(rules, 0, &info));
    }
    hr_free(m);
    hr_free(none);
    return code;
}

static int run(struct hr_cli *c)
{
    const char *what = c->args.n ? c->args.v[0] : "list";
    if (!strcmp(what, "attrs"))
        return attrs(c);
    struct hr_rules *rules = NULL;
    int code = hr_cli_rules(c, &rules);
    if (code < 0 && !strcmp(what, "list"))
        code = list(c, rules);
    else if (code < 0 && !strcmp(what, "check"))
        code = check(c, rules);
    else if (code < 0 && !strcmp(what, "show") && c->args.n == 2)
        code = show(c, rules, c->args.v[1]);
    else if (code < 0)
        code = hr_cli_error(HR_EXIT_USAGE, "usage: heapray rules [list | show NAME | attrs | check]");
    hr_rules_destroy(rules);
    return code;
}

const struct hr_verb hr_verb_rules = {
    .name = "rules", .args = "[list|show NAME|attrs|check]", .summary = "the rules, what they can ask, and checking a rules file",
    .help = "Without a dump: `rules` lists all rules (those of --rules FILE too), `rules show NAME` explains one, `rules attrs` "
            "lists the tables and attributes that rules can ask, `rules check --rules FILE` checks a file and prints all its errors.",
    .min_args = 0, .max_args = 2, .needs_image = false, .types = false, .run = run,
};
