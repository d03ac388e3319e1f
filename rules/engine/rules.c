/* The engine's face: everything that rules.h promises and no other file is about. */
#include "rules/engine/rules.h"

#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "rules/engine/internal.h"

enum hr_status hr_rules_create(struct hr_rules **ret)
{
    struct hr_rules *r = hr_zalloc(1, sizeof *r);
    if (!r)
        return HR_NOMEM;
    r->errors.max = HR_MAX_RULE_ERRORS;
    r->rules.max = r->lets.max = r->sets_given.max = r->sets.max = r->aliases.max = r->allows.max = HR_MAX_RULES;
    r->regexes.max = 16 * HR_MAX_RULES;
    r->progs.max = 64 * HR_MAX_RULES;
    hr_allow_table(r);
    *ret = r;
    return HR_OK;
}

static void forget_programs(struct hr_rules *r)
{
    for (size_t i = 0; i < r->progs.n; i++)
        hr_prog_free(r->progs.v[i]);
    r->progs.n = 0;
}

static void forget_regexes(struct hr_rules *r)
{
    for (size_t i = 0; i < r->regexes.n; i++)
        hr_regex_free(r->regexes.v[i]);
    r->regexes.n = 0;
}

void hr_rules_destroy(struct hr_rules *r)
{
    if (!r)
        return;
    forget_programs(r);
    forget_regexes(r);
    for (size_t i = 0; i < r->errors.n; i++) {
        hr_free(r->errors.v[i].file);
        hr_free(r->errors.v[i].text);
        hr_free(r->errors.v[i].hint);
        hr_free(r->errors.v[i].source_line);
    }
    hr_ruleerrvec_deinit(&r->errors);
    rulevec_deinit(&r->rules);
    letvec_deinit(&r->lets);
    letvec_deinit(&r->sets_given);
    setvec_deinit(&r->sets);
    aliasvec_deinit(&r->aliases);
    allowvec_deinit(&r->allows);
    regexvec_deinit(&r->regexes);
    progvec_deinit(&r->progs);
    pcre2_match_context_free(r->match_ctx);
    hr_rules_arena_free(r);
    hr_free(r);
}

enum hr_status hr_let_keep(struct hr_rules *r, struct let *let)
{
    struct letvec *v = r->setting ? &r->sets_given : &r->lets;
    for (size_t i = 0; i < v->n; i++)
        if (!strcmp(v->v[i]->name, let->name)) {
            v->v[i] = let;
            return HR_OK;
        }
    return letvec_push(v, let);
}

enum hr_status hr_rule_keep(struct hr_rules *r, struct rule *rule)
{
    for (size_t i = 0; i < r->rules.n; i++)
        if (!strcmp(r->rules.v[i]->name, rule->name)) {
            if (r->rules.v[i]->src == rule->src)
                hr_rules_warn(r, rule->src, rule->pos, "a second rule `%s` in this file replaces the first", rule->name);
            r->rules.v[i] = rule;
            return HR_OK;
        }
    return rulevec_push(&r->rules, rule);
}

void hr_rules_show_contents(struct hr_rules *r, bool show) { r->show_contents = show; }

void hr_rules_diffs(struct hr_rules *r, bool diffs) { r->diffs = diffs; }

void hr_rules_today(struct hr_rules *r, uint32_t yyyymmdd) { r->today = yyyymmdd; }

/* `*` any run, `?` one character; linear: after a failure only the last star is tried again. */
bool hr_glob(const char *pattern, const char *name)
{
    const char *star = NULL, *back = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            back = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* A pattern chooses the rule itself and, when it names a group ("leak"), everything below ("leak.cycle"). */
static bool chosen(const char *patterns, const char *name)
{
    char one[256];
    while (*patterns) {
        size_t n = strcspn(patterns, ",");
        snprintf(one, sizeof one, "%.*s", (int)(n < 250 ? n : 250), patterns);
        size_t k = strlen(one);
        if (hr_glob(one, name) || (k && strlen(name) > k && !strncmp(one, name, k) && name[k] == '.'))
            return true;
        patterns += n + (patterns[n] == ',');
    }
    return false;
}

size_t hr_rules_only(struct hr_rules *r, const char *pattern)
{
    size_t n = 0;
    for (size_t i = 0; i < r->rules.n; i++) {
        struct rule *x = r->rules.v[i];
        x->chosen = x->diff == r->diffs && (!pattern || chosen(pattern, x->name));
        n += x->chosen;
    }
    return n;
}

static bool severity_name(const char *name, size_t *stem_ret)
{
    size_t n = strlen(name);
    *stem_ret = n > 9 ? n - 9 : 0;
    return n > 9 && !strcmp(name + n - 9, ".severity");
}

static void check_severity_name(struct hr_rules *r, const struct let *l, size_t stem)
{
    struct suggest g = {hr_rules_keep(r, l->name, stem)};
    for (size_t i = 0; g.word && i < r->rules.n; i++) {
        if (!strcmp(r->rules.v[i]->name, g.word))
            return;
        hr_suggest(&g, r->rules.v[i]->name);
    }
    if (g.word)
        hr_rules_error(r, l->src, l->pos, g.best, "there is no rule `%s`", g.word);
}

static void check_lets(struct hr_rules *r, struct letvec *v, bool given)
{
    for (size_t i = 0; i < v->n; i++) {
        struct let *l = v->v[i];
        size_t stem;
        if (severity_name(l->name, &stem)) {
            check_severity_name(r, l, stem);
            continue;
        }
        bool known = !given;
        struct suggest g = {l->name};
        for (size_t k = 0; !known && k < r->lets.n; k++) {
            known = !strcmp(r->lets.v[k]->name, l->name);
            hr_suggest(&g, r->lets.v[k]->name);
        }
        if (!known)
            hr_rules_error(r, l->src, l->pos, g.best, "no rule uses a setting `%s`", l->name);
        l->checked = false;
        hr_check_let(r, l);
    }
}

static void reset_checks(struct hr_rules *r)
{
    for (size_t i = 0; i < r->lets.n; i++)
        r->lets.v[i]->checked = r->lets.v[i]->checking = false;
    for (size_t i = 0; i < r->sets_given.n; i++)
        r->sets_given.v[i]->checked = r->sets_given.v[i]->checking = false;
    for (size_t i = 0; i < r->sets.n; i++)
        r->sets.v[i]->checked = r->sets.v[i]->checking = r->sets.v[i]->bad = false;
}

static bool compile(struct hr_rules *r)
{
    forget_programs(r);
    for (size_t i = 0; i < r->rules.n && !r->has_errors && !r->no_memory; i++) {
        struct rule *x = r->rules.v[i];
        if (x->chosen && !x->skip && !x->off && !hr_compile_rule(r, x))
            return false;
    }
    for (size_t i = 0; i < r->allows.n && !r->has_errors && !r->no_memory; i++) {
        struct allow *a = r->allows.v[i];
        a->prog = a->where ? hr_compile(r, a->where, NULL, a->var_id) : NULL;
    }
    return !r->has_errors && !r->no_memory;
}

enum hr_status hr_rules_check(struct hr_rules *r, const struct hr_model *m)
{
    r->model = m;
    r->checked = false;
    forget_programs(r);
    forget_regexes(r);
    reset_checks(r);
    check_lets(r, &r->sets_given, true);
    check_lets(r, &r->lets, false);
    for (size_t i = 0; i < r->sets.n; i++)
        hr_check_set(r, r->sets.v[i]);
    for (size_t i = 0; i < r->rules.n; i++)
        hr_check_rule(r, r->rules.v[i]);
    for (size_t i = 0; i < r->allows.n; i++)
        hr_check_allow(r, r->allows.v[i], &r->findings_table);
    r->checked = compile(r);
    return r->checked ? HR_OK : r->no_memory ? HR_NOMEM : HR_USAGE;
}

uint32_t hr_rules_needs(const struct hr_rules *r)
{
    uint32_t needs = 0;
    for (size_t i = 0; i < r->rules.n; i++)
        if (r->rules.v[i]->chosen && !r->rules.v[i]->skip && !r->rules.v[i]->off)
            needs |= r->rules.v[i]->needs;
    return needs;
}

enum hr_status hr_rules_run(struct hr_rules *r, const struct hr_model *m, struct hr_findings *out)
{
    if (!r->checked || r->model != m)
        return HR_USAGE;
    if (!compile(r)) /* again: which attributes are columns is known only now that they have been computed */
        return r->no_memory ? HR_NOMEM : HR_USAGE;
    struct vm *vm = hr_alloc(sizeof *vm);
    if (!vm)
        return HR_NOMEM;
    enum hr_status st = hr_vm_init(vm, r, m);
    for (size_t i = 0; i < r->rules.n && st == HR_OK; i++) {
        struct rule *x = r->rules.v[i];
        if (!x->chosen || x->off)
            continue;
        if (x->skip)
            st = hr_findings_skip(out, x->name, x->skip);
        else
            st = x->budget ? hr_run_budget(r, vm, x, out) : hr_run_rule(r, vm, x, out);
    }
    if (st == HR_OK)
        hr_findings_sort(out);
    if (st == HR_OK)
        st = hr_run_allows(r, vm, out);
    hr_vm_deinit(vm);
    hr_free(vm);
    return st;
}

size_t hr_rules_list(const struct hr_rules *r, size_t i, struct hr_rule_info *ret)
{
    if (i < r->rules.n) {
        const struct rule *x = r->rules.v[i];
        *ret = (struct hr_rule_info){
            .name = x->name,
            .title = x->title.plain,
            .help = x->help.plain,
            .remedy = x->remedy.plain,
            .pack = x->src->pack ? x->src->pack : x->src->name,
            .tags = x->tags,
            .precision = x->precision,
            .severity = x->severity,
            .needs = x->needs,
            .chosen = x->chosen && !x->off,
        };
    }
    return r->rules.n;
}
