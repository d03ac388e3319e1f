/* Statements. After an error the parser goes on at the next statement, so that all errors are told, not the first. */
#include <stdio.h>

#include "rules/engine/internal.h"

static const char *const statements[] = {"pack", "include", "let", "type", "set", "rule", "budget", "diff", "allow",
                                         "verdict", "test"};
enum { NSTATEMENTS = sizeof statements / sizeof *statements };

void hr_syntax(struct lexer *l, const char *what)
{
    if (l->t.kind == T_BAD || l->gave_up)
        return; /* told already */
    if (l->t.kind == T_END)
        hr_rules_error(l->r, l->src, l->t.pos, NULL, "expected %s, found the end", what);
    else
        hr_rules_error(l->r, l->src, l->t.pos, NULL, "expected %s, found `%.*s%s`", what,
                       l->t.len > 40 ? 40 : (int)l->t.len, l->src->text + l->t.pos, l->t.len > 40 ? "..." : "");
}

bool hr_expect(struct lexer *l, int kind, const char *what)
{
    if (l->t.kind != kind) {
        hr_syntax(l, what);
        return false;
    }
    hr_lex_next(l);
    return true;
}

const char *hr_parse_id(struct lexer *l, const char *what)
{
    if (l->t.kind != T_ID) {
        hr_syntax(l, what);
        return NULL;
    }
    const char *z = hr_rules_keep(l->r, l->src->text + l->t.pos, l->t.len);
    hr_lex_next(l);
    return z;
}

const char *hr_parse_string(struct lexer *l, const char *what)
{
    if (l->t.kind != T_STR) {
        hr_syntax(l, what);
        return NULL;
    }
    uint32_t q = l->t.quote;
    const char *z = hr_lex_text(l->r, l->src, l->t.pos + q, l->t.pos + l->t.len - q, q == 3);
    hr_lex_next(l);
    return z;
}

const char *hr_parse_dotted(struct lexer *l)
{
    const char *z = hr_parse_id(l, "a name");
    while (z && l->t.kind == '.') {
        hr_lex_next(l);
        const char *more = hr_parse_id(l, "a name after the dot");
        z = more ? hr_rules_printf(l->r, "%s.%s", z, more) : NULL;
    }
    return z;
}

/* Skips to what can start a statement; braces in between are balanced as far as they can be. */
static void recover(struct lexer *l, unsigned depth)
{
    while (l->t.kind != T_END) {
        if (l->t.kind == T_ID && (l->t.line_start || l->prev == '}'))
            for (size_t i = 0; i < NSTATEMENTS; i++)
                if (hr_lex_is(l, statements[i]) && (!depth || l->src->text[l->t.pos - (l->t.pos > 0)] == '\n'))
                    return;
        if (l->t.kind == '{')
            depth++;
        if (l->t.kind == '}' && depth && !--depth) {
            hr_lex_next(l);
            return;
        }
        hr_lex_next(l);
    }
}

#define FULL(l_, vec_, what_)                                                                                          \
    ((vec_).n >= HR_MAX_RULES &&                                                                                       \
     (hr_rules_error((l_)->r, (l_)->src, (l_)->t.pos, NULL, "more than %d %s", HR_MAX_RULES, what_), true))

/* Pushing fails only for want of memory: the bound was looked at before. */
static bool kept(struct lexer *l, enum hr_status st)
{
    l->r->no_memory |= st != HR_OK;
    return st == HR_OK;
}

static bool parse_let(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    const char *name = hr_parse_dotted(l);
    if (!name || !hr_expect(l, '=', "`=`"))
        return false;
    struct node *e = hr_parse_expr(l);
    struct let *let = e ? hr_rules_take(l->r, sizeof *let) : NULL;
    if (!let || FULL(l, l->r->lets, "lets"))
        return false;
    *let = (struct let){.name = name, .expr = e, .src = l->src, .pos = pos};
    return kept(l, hr_let_keep(l->r, let));
}

static bool parse_type(struct lexer *l)
{
    const char *name = hr_parse_id(l, "a name for the type");
    if (!name || !hr_expect(l, '=', "`=`"))
        return false;
    const char *type = hr_parse_string(l, "the type's name in quotes");
    if (!type || FULL(l, l->r->aliases, "types"))
        return false;
    return kept(l, aliasvec_push(&l->r->aliases, (struct alias){name, type}));
}

bool hr_parse_source(struct lexer *l, struct source *ret)
{
    *ret = (struct source){.pos = l->t.pos};
    if (!(ret->name = hr_parse_id(l, "a source like `objects`")))
        return false;
    if (!strcmp(ret->name, "scc") && l->t.kind == '(') { /* scc(strong): the rings */
        hr_lex_next(l);
        ret->name = "cycles";
        if (!hr_lex_is(l, "strong")) {
            hr_syntax(l, "`strong`");
            return false;
        }
        hr_lex_next(l);
        if (!hr_expect(l, ')', "`)`"))
            return false;
    } else if (l->t.kind == '(') {
        hr_rules_error(l->r, l->src, ret->pos, NULL, "sources with arguments, like `%s(…)`, are not supported yet", ret->name);
        return false;
    }
    if (!hr_lex_is(l, "of"))
        return true;
    hr_lex_next(l);
    ret->of_pos = l->t.pos;
    ret->of_quoted = l->t.kind == T_STR;
    ret->of = ret->of_quoted ? hr_parse_string(l, "a type") : hr_parse_id(l, "a type");
    return ret->of != NULL;
}

static bool parse_set(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    const char *name = hr_parse_id(l, "a name for the set");
    struct set *s = name ? hr_rules_take(l->r, sizeof *s) : NULL;
    if (!s || !hr_expect(l, '=', "`=`"))
        return false;
    *s = (struct set){.name = name, .var = "it", .pos = pos, .src = l->src, .var_id = l->r->next_var++};
    if (!hr_parse_source(l, &s->source))
        return false;
    if (hr_lex_is(l, "where")) {
        hr_lex_next(l);
        if (!(s->where = hr_parse_expr(l)))
            return false;
    }
    return !FULL(l, l->r->sets, "sets") && kept(l, setvec_push(&l->r->sets, s));
}

/* A statement's word in the first column: if we are within braces, one was forgotten. */
static bool at_statement(const struct lexer *l)
{
    if (l->t.kind == T_ID && l->t.line_start && (!l->t.pos || l->src->text[l->t.pos - 1] == '\n'))
        for (size_t i = 0; i < NSTATEMENTS; i++)
            if (hr_lex_is(l, statements[i]))
                return true;
    return false;
}

/* Skips to the next clause, or to the `}`. False at the end of the file or where a statement starts: the brace is missing. */
static bool next_clause(struct lexer *l)
{
    unsigned depth = 0;
    for (; l->t.kind != T_END; hr_lex_next(l)) {
        if (!depth && (l->t.kind == '}' || hr_clause_word(l)))
            return true;
        if (l->t.kind == '{')
            depth++;
        if (l->t.kind == '}')
            depth--;
        if (at_statement(l))
            return false;
    }
    return false;
}

static void required(struct lexer *l, const struct rule *rule, bool have, const char *what, const char *why)
{
    if (!have)
        hr_rules_error(l->r, l->src, rule->pos, NULL, "rule %s has no `%s`: %s", rule->name, what, why);
}

static bool rule_or_diff(struct lexer *l, bool diff)
{
    uint32_t pos = l->t.pos;
    const char *name = hr_parse_dotted(l);
    struct rule *rule = name ? hr_rules_take(l->r, sizeof *rule) : NULL;
    if (!rule || !hr_expect(l, '{', "`{`") || FULL(l, l->r->rules, "rules"))
        return false;
    *rule = (struct rule){.name = name, .src = l->src, .pos = pos, .tags = "", .precision = "", .chosen = !diff, .diff = diff,
                          .members = HR_MAX_MEMBERS, .var_id = l->r->next_var++};
    size_t errors = l->r->errors.n;
    while (l->t.kind != '}') {
        if (at_statement(l) || (!hr_parse_clause(l, rule) && !next_clause(l))) {
            hr_rules_error(l->r, l->src, pos, NULL, "the `{` of rule %s is not closed", name);
            return true; /* the next statement can be read where we stand */
        }
    }
    hr_lex_next(l);
    if (l->r->errors.n == errors) {
        required(l, rule, rule->has_severity, "severity", "write note, warning or error");
        required(l, rule, rule->title.n, "title", "the sentence a reader sees");
        required(l, rule, rule->has_match, "match", "what to look at");
    }
    if (diff && rule->has_match) {
        if (rule->source.name && strcmp(rule->source.name, "types") && strcmp(rule->source.name, "growth"))
            hr_rules_error(l->r, l->src, rule->pos, NULL, "a diff looks at `types`: what else there is belongs to one image");
        else
            rule->source.name = "growth"; /* types of several images, side by side */
    }
    return kept(l, hr_rule_keep(l->r, rule));
}

static bool parse_rule(struct lexer *l) { return rule_or_diff(l, false); }
static bool parse_diff(struct lexer *l) { return rule_or_diff(l, true); }

/* budget heap.used { severity error  heap.used <= 24 KiB  when target == "stm32f4" } */
static bool parse_budget(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    const char *name = hr_parse_dotted(l);
    struct rule *rule = name ? hr_rules_take(l->r, sizeof *rule) : NULL;
    if (!rule || !hr_expect(l, '{', "`{`") || FULL(l, l->r->rules, "rules"))
        return false;
    *rule = (struct rule){.name = hr_rules_printf(l->r, "budget.%s", name), .src = l->src, .pos = pos, .budget = true,
                          .tags = "budget", .precision = "", .chosen = true, .severity = HR_SEV_ERROR};
    while (l->t.kind != '}') {
        bool when = hr_lex_is(l, "when");
        if (hr_clause_word(l) && !when) {
            if (!hr_parse_clause(l, rule))
                return false;
            continue;
        }
        if (when)
            hr_lex_next(l);
        struct node **to = when ? &rule->when : &rule->where;
        if (*to)
            hr_rules_error(l->r, l->src, l->t.pos, NULL, "a second %s in this budget", when ? "`when`" : "limit");
        if (!(*to = hr_parse_expr(l)))
            return false;
    }
    hr_lex_next(l);
    const struct node *e = rule->where;
    rule->group = hr_rules_take(l->r, 2 * sizeof *rule->group); /* what is measured, and the limit */
    if (e && rule->group && e->kind == N_BIN) {
        rule->group[0] = e->a;
        rule->group[1] = e->b;
        rule->ngroup = 2;
    }
    if (!e || e->kind != N_BIN || e->op < B_LT || e->op > B_GE)
        hr_rules_error(l->r, l->src, e ? e->pos : pos, NULL, "a budget is a comparison like `heap.used <= 24 KiB`");
    else
        return kept(l, hr_rule_keep(l->r, rule));
    return true;
}

static bool allow_item(struct lexer *l, struct allow *a)
{
    if (hr_lex_is(l, "rule")) {
        hr_lex_next(l);
        const char *rule = hr_parse_dotted(l);
        const char **more = rule ? hr_rules_take(l->r, (a->nrules + 1) * sizeof *more) : NULL;
        if (!more)
            return false;
        if (a->nrules)
            memcpy(more, a->rules, a->nrules * sizeof *more);
        more[a->nrules++] = rule;
        a->rules = more;
        if (!hr_lex_is(l, "where"))
            return true;
        hr_lex_next(l);
        return (a->where = hr_parse_expr(l)) != NULL;
    }
    if (hr_lex_is(l, "max")) {
        hr_lex_next(l);
        if (!hr_lex_is(l, "count")) {
            hr_syntax(l, "`count` and a number");
            return false;
        }
        hr_lex_next(l);
        a->max_count = l->t.i > 0 ? (uint64_t)l->t.i : 0;
        return hr_expect(l, T_NUM, "a number");
    }
    if (hr_lex_is(l, "expires")) {
        hr_lex_next(l);
        a->expires = (uint32_t)l->t.i;
        return hr_expect(l, T_DATE, "a date like 2026-12-31");
    }
    if (hr_lex_is(l, "reason")) {
        hr_lex_next(l);
        return (a->reason = hr_parse_string(l, "the reason in quotes")) != NULL;
    }
    hr_syntax(l, "`rule`, `max count`, `expires` or `reason`");
    return false;
}

static bool parse_allow(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    const char *name = hr_parse_string(l, "a name in quotes");
    struct allow *a = name ? hr_rules_take(l->r, sizeof *a) : NULL;
    if (!a || !hr_expect(l, '{', "`{`") || FULL(l, l->r->allows, "allows"))
        return false;
    *a = (struct allow){.name = name, .pos = pos, .src = l->src};
    while (l->t.kind != '}')
        if (!allow_item(l, a))
            return false;
    hr_lex_next(l);
    if (!a->nrules)
        hr_rules_error(l->r, l->src, pos, NULL, "this allow names no `rule`");
    if (!a->expires)
        hr_rules_error(l->r, l->src, pos, NULL, "this allow has no `expires`: what is tolerated for ever is forgotten");
    if (!a->reason)
        hr_rules_error(l->r, l->src, pos, NULL, "this allow has no `reason`");
    return kept(l, allowvec_push(&l->r->allows, a));
}

static bool parse_pack(struct lexer *l)
{
    l->src->pack = hr_parse_string(l, "the pack's name in quotes");
    if (!l->src->pack || !hr_expect(l, '{', "`{`"))
        return false;
    while (l->t.kind != '}')
        if (!hr_parse_id(l, "a word like `version`, or `}`") || !hr_expect(l, '=', "`=`") ||
            !hr_parse_string(l, "a text in quotes"))
            return false;
    hr_lex_next(l);
    return true;
}

static bool parse_include(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    const char *name = hr_parse_string(l, "a file in quotes");
    if (name && hr_rules_include(l->r, l->src, pos, name) == HR_NOMEM)
        l->r->no_memory = true;
    return name != NULL;
}

/* Read over, so that the rest of the file can be used. */
static bool skip_statement(struct lexer *l, const char *what, uint32_t pos, bool harmless)
{
    if (harmless)
        hr_rules_warn(l->r, l->src, pos, "`%s` is not supported yet and is skipped", what);
    else
        hr_rules_error(l->r, l->src, pos, NULL, "`%s` is not supported yet", what);
    while (l->t.kind != '{' && l->t.kind != T_END)
        hr_lex_next(l);
    recover(l, 0);
    return true;
}

static bool statement(struct lexer *l)
{
    static bool (*const parsers[NSTATEMENTS])(struct lexer *) = {
        parse_pack, parse_include, parse_let, parse_type, parse_set, parse_rule, parse_budget, parse_diff, parse_allow,
    };
    for (size_t i = 0; i < NSTATEMENTS; i++)
        if (hr_lex_is(l, statements[i])) {
            uint32_t pos = l->t.pos;
            hr_lex_next(l);
            return parsers[i] ? parsers[i](l) : skip_statement(l, statements[i], pos, !strcmp(statements[i], "test"));
        }
    if (l->t.kind == T_ID) {
        struct suggest s = {hr_rules_keep(l->r, l->src->text + l->t.pos, l->t.len)};
        for (size_t i = 0; s.word && i < NSTATEMENTS; i++)
            hr_suggest(&s, statements[i]);
        if (s.best) {
            hr_rules_error(l->r, l->src, l->t.pos, s.best, "unknown statement `%s`", s.word);
            return false;
        }
    }
    hr_syntax(l, "a statement like `rule` or `let`");
    return false;
}

void hr_parse(struct hr_rules *r, struct src *src)
{
    struct lexer l;
    hr_lex_start(&l, r, src, 0, (uint32_t)src->n);
    while (l.t.kind != T_END && !l.gave_up) {
        uint32_t at = l.t.pos;
        if (statement(&l))
            continue;
        if (l.t.pos == at)
            hr_lex_next(&l);
        recover(&l, 0);
    }
    if (l.gave_up && !r->no_memory)
        hr_rules_warn(r, src, l.t.pos, "stopped reading after %d errors", HR_MAX_RULE_ERRORS);
}
