/* Clauses of a rule, and texts with {placeholders}. */
#include "rules/engine/internal.h"

static bool c_severity(struct lexer *l, struct rule *rule)
{
    static const char *const words[] = {"note", "warning", "error"};
    for (int i = 0; i < 3; i++)
        if (hr_lex_is(l, words[i])) {
            rule->severity = (enum hr_severity)i;
            rule->has_severity = true;
            hr_lex_next(l);
            return true;
        }
    hr_syntax(l, "note, warning or error");
    return false;
}

static bool c_tags(struct lexer *l, struct rule *rule)
{
    rule->tags = hr_parse_id(l, "a tag");
    while (rule->tags && l->t.kind == ',') {
        hr_lex_next(l);
        const char *more = hr_parse_id(l, "a tag");
        rule->tags = more ? hr_rules_printf(l->r, "%s, %s", rule->tags, more) : NULL;
    }
    if (rule->tags)
        return true;
    rule->tags = "";
    return false;
}

static bool c_precision(struct lexer *l, struct rule *rule)
{
    uint32_t pos = l->t.pos;
    const char *z = hr_parse_id(l, "high, medium or low");
    if (z && strcmp(z, "high") && strcmp(z, "medium") && strcmp(z, "low"))
        hr_rules_error(l->r, l->src, pos, NULL, "precision is high, medium or low");
    if (z)
        rule->precision = z;
    return z != NULL;
}

static bool c_title(struct lexer *l, struct rule *rule) { return hr_parse_template(l, &rule->title); }
static bool c_help(struct lexer *l, struct rule *rule) { return hr_parse_template(l, &rule->help); }
static bool c_remedy(struct lexer *l, struct rule *rule) { return hr_parse_template(l, &rule->remedy); }
static bool c_next(struct lexer *l, struct rule *rule) { return hr_parse_template(l, &rule->next); }

/* match [ID | cycle ID] in SOURCE [where EXPR]; without a name, attributes stand alone. */
static bool c_match(struct lexer *l, struct rule *rule)
{
    rule->has_match = true; /* even when it is wrong: one error is enough */
    if (hr_lex_is(l, "cycle"))
        hr_lex_next(l);
    rule->var = "it";
    if (!hr_lex_is(l, "in") && !(rule->var = hr_parse_id(l, "a name, as in `match o in objects`")))
        return false;
    if (!hr_lex_is(l, "in")) {
        hr_syntax(l, "`in` and a source");
        return false;
    }
    hr_lex_next(l);
    if (!hr_parse_source(l, &rule->source))
        return false;
    if (hr_lex_is(l, "where")) {
        hr_lex_next(l);
        return (rule->where = hr_parse_expr(l)) != NULL;
    }
    return true;
}

static bool list(struct lexer *l, struct node ***ret, uint32_t *n_ret)
{
    struct node *v[8];
    uint32_t n = 0;
    do {
        if (n)
            hr_lex_next(l);
        if (n == 8) {
            hr_rules_error(l->r, l->src, l->t.pos, NULL, "more than 8 keys");
            return false;
        }
        if (!(v[n++] = hr_parse_expr(l)))
            return false;
    } while (l->t.kind == ',');
    *ret = hr_rules_take(l->r, n * sizeof **ret);
    if (!*ret)
        return false;
    memcpy(*ret, v, n * sizeof *v);
    *n_ret = n;
    return true;
}

static bool word(struct lexer *l, const char *w, const char *what)
{
    if (!hr_lex_is(l, w)) {
        hr_syntax(l, what);
        return false;
    }
    hr_lex_next(l);
    return true;
}

static bool c_group(struct lexer *l, struct rule *rule)
{
    return word(l, "by", "`by` after `group`") && list(l, &rule->group, &rule->ngroup);
}

static bool c_fingerprint(struct lexer *l, struct rule *rule)
{
    return word(l, "by", "`by` after `fingerprint`") && list(l, &rule->key, &rule->nkey);
}

static bool c_report(struct lexer *l, struct rule *rule)
{
    return word(l, "if", "`if` after `report`") && (rule->report_if = hr_parse_expr(l));
}

static bool c_trace(struct lexer *l, struct rule *rule)
{
    if (!(rule->trace = hr_parse_expr(l)))
        return false;
    if (hr_lex_is(l, "suspects")) {
        rule->suspects = true;
        hr_lex_next(l);
    }
    return true;
}

static bool c_count(struct lexer *l, struct rule *rule) { return (rule->count = hr_parse_expr(l)) != NULL; }

/* bytes EXPR: summed over the group; bytes max EXPR: of the heaviest row, for what contains each other (retained sizes). */
static bool c_bytes(struct lexer *l, struct rule *rule)
{
    rule->bytes_max = hr_lex_is(l, "max") && l->at < l->end && l->src->text[l->at] != '(';
    if (rule->bytes_max)
        hr_lex_next(l);
    return (rule->bytes = hr_parse_expr(l)) != NULL;
}

static bool c_redact(struct lexer *l, struct rule *rule)
{
    (void)l;
    return rule->redact = true;
}

static bool c_members(struct lexer *l, struct rule *rule)
{
    if (l->t.kind == T_NUM)
        rule->members = l->t.i < HR_MAX_MEMBERS ? (uint32_t)l->t.i : HR_MAX_MEMBERS;
    return hr_expect(l, T_NUM, "a number of examples");
}

static bool c_unsupported(struct lexer *l, struct rule *rule)
{
    (void)rule;
    hr_rules_error(l->r, l->src, l->t.pos, NULL, "verdicts are not supported yet");
    return false;
}

static const struct { const char *word; bool (*parse)(struct lexer *, struct rule *); } clauses[] = {
    {"severity", c_severity}, {"tags", c_tags}, {"precision", c_precision}, {"title", c_title}, {"help", c_help},
    {"remedy", c_remedy}, {"next", c_next}, {"match", c_match}, {"group", c_group}, {"fingerprint", c_fingerprint},
    {"report", c_report}, {"trace", c_trace}, {"count", c_count}, {"bytes", c_bytes}, {"redact", c_redact},
    {"members", c_members}, {"verdict", c_unsupported},
};
enum { NCLAUSES = sizeof clauses / sizeof *clauses };

bool hr_clause_word(const struct lexer *l)
{
    for (size_t i = 0; i < NCLAUSES; i++)
        if (hr_lex_is(l, clauses[i].word))
            return true;
    return false;
}

bool hr_parse_clause(struct lexer *l, struct rule *rule)
{
    for (size_t i = 0; i < NCLAUSES; i++)
        if (hr_lex_is(l, clauses[i].word)) {
            hr_lex_next(l);
            return clauses[i].parse(l, rule);
        }
    if (l->t.kind == T_ID) {
        static const char *const inner[] = {"where", "by", "in", "and", "or"}; /* right in their places only */
        struct suggest s = {hr_rules_keep(l->r, l->src->text + l->t.pos, l->t.len)};
        for (size_t i = 0; s.word && i < NCLAUSES; i++)
            hr_suggest(&s, clauses[i].word);
        for (size_t i = 0; s.word && i < sizeof inner / sizeof *inner; i++)
            hr_suggest(&s, inner[i]);
        if (s.best) {
            hr_rules_error(l->r, l->src, l->t.pos, s.best, "unknown clause `%s`", s.word);
            hr_lex_next(l);
            return false;
        }
    }
    hr_syntax(l, "a clause like `match` or `title`, or `}`");
    if (l->t.kind != '}' && l->t.kind != T_END)
        hr_lex_next(l);
    return false;
}

/* ---- templates ---- */
enum { MAX_PIECES = 64 };

/* Where the text up to the next `{` ends. */
static uint32_t plain_end(const struct src *src, uint32_t at, uint32_t end)
{
    while (at < end && src->text[at] != '{')
        at += src->text[at] == '\\' ? 2 : 1;
    return at < end ? at : end;
}

static bool placeholder(struct lexer *outer, uint32_t *at, uint32_t end, struct piece *ret)
{
    const struct src *src = outer->src;
    uint32_t close = *at + 1;
    while (close < end && src->text[close] != '}')
        close++;
    if (close == end) {
        hr_rules_error(outer->r, src, *at, NULL, "this `{` has no `}`; a brace that is only text is written \\{");
        return false;
    }
    struct lexer l;
    hr_lex_start(&l, outer->r, outer->src, *at + 1, close);
    ret->expr = hr_parse_expr(&l);
    if (ret->expr && l.t.kind != T_END) {
        hr_syntax(&l, "`}`");
        ret->expr = NULL;
    }
    *at = close + 1;
    return ret->expr != NULL;
}

bool hr_parse_template(struct lexer *l, struct tmpl *ret)
{
    if (l->t.kind != T_STR) {
        hr_syntax(l, "a text in quotes");
        return false;
    }
    bool raw = l->t.quote == 3, ok = true;
    uint32_t at = l->t.pos + l->t.quote, end = l->t.pos + l->t.len - l->t.quote;
    struct piece v[MAX_PIECES];
    *ret = (struct tmpl){.plain = hr_lex_text(l->r, l->src, at, end, raw)};
    while (at < end && ok) {
        if (ret->n == MAX_PIECES) {
            hr_rules_error(l->r, l->src, at, NULL, "more than %d pieces in this text", MAX_PIECES);
            ok = false;
        } else if (l->src->text[at] == '{') {
            v[ret->n] = (struct piece){0};
            ok = placeholder(l, &at, end, &v[ret->n++]);
        } else {
            uint32_t to = plain_end(l->src, at, end);
            v[ret->n++] = (struct piece){.text = hr_lex_text(l->r, l->src, at, to, raw)};
            at = to;
        }
    }
    hr_lex_next(l);
    ret->v = hr_rules_take(l->r, (ret->n + 1) * sizeof *v);
    if (ret->v && ret->n)
        memcpy(ret->v, v, ret->n * sizeof *v);
    return ret->v && ok;
}
