/* Expressions: operators by precedence. Recursion is bounded by HR_MAX_RULE_DEPTH. */
#include <stdio.h>

#include "rules/engine/internal.h"

static struct node *binary(struct lexer *l, int min);

static struct node *make(struct lexer *l, enum node_kind kind, uint32_t pos, struct node *a, struct node *b)
{
    struct node *n = hr_rules_take(l->r, sizeof *n);
    if (!n)
        return NULL;
    uint16_t da = a ? a->depth : 0, db = b ? b->depth : 0;
    *n = (struct node){.kind = (uint8_t)kind, .orig = (uint8_t)kind, .pos = pos, .src = l->src, .a = a, .b = b, .depth = (uint16_t)((da > db ? da : db) + 1)};
    if (n->depth > HR_MAX_RULE_DEPTH) {
        hr_rules_error(l->r, l->src, pos, NULL, "this expression is too deep (%d levels); name parts of it with `let` or `set`",
                       HR_MAX_RULE_DEPTH);
        return NULL;
    }
    return n;
}

static struct node *text_node(struct lexer *l, enum node_kind kind, struct node *a, uint32_t pos, const char *text)
{
    struct node *n = text ? make(l, kind, pos, a, NULL) : NULL;
    if (n)
        n->text = text;
    return n;
}

/* ( e, e, … ) or [ e, e, … ] after the opening sign. */
static bool arguments(struct lexer *l, struct node *n, int close)
{
    struct node *first[64];
    uint32_t count = 0;
    while (l->t.kind != close) {
        if (count == 64) {
            hr_rules_error(l->r, l->src, l->t.pos, NULL, "more than 64 items in one list");
            return false;
        }
        struct node *e = binary(l, 1);
        if (!e)
            return false;
        if (e->depth >= n->depth)
            n->depth = (uint16_t)(e->depth + 1);
        first[count++] = e;
        if (l->t.kind != ',')
            break;
        hr_lex_next(l);
    }
    if (!hr_expect(l, close, close == ')' ? "`)`" : "`]`"))
        return false;
    n->args = hr_rules_take(l->r, count * sizeof *n->args);
    n->nargs = count;
    if (n->args && count)
        memcpy(n->args, first, count * sizeof *first);
    return n->args != NULL;
}

static struct node *exists(struct lexer *l)
{
    struct node *n = make(l, N_EXISTS, l->t.pos, NULL, NULL);
    hr_lex_next(l);
    struct source *s = hr_rules_take(l->r, sizeof *s);
    if (!n || !s || !(n->text = hr_parse_id(l, "a name for the thing looked for")))
        return NULL;
    n->source = s;
    if (!hr_lex_is(l, "in")) {
        hr_syntax(l, "`in` and a source");
        return NULL;
    }
    hr_lex_next(l);
    if (!hr_parse_source(l, s))
        return NULL;
    if (hr_lex_is(l, "where")) {
        hr_lex_next(l);
        if (!(n->a = binary(l, 1)))
            return NULL;
        n->depth = (uint16_t)(n->a->depth + 1);
    }
    return n;
}

static struct node *number(struct lexer *l)
{
    struct node *n = make(l, N_NUM, l->t.pos, NULL, NULL);
    if (n) {
        n->i = l->t.i;
        n->f = l->t.f;
        n->is_float = l->t.is_float;
        n->percent = l->t.percent;
        if (!n->is_float)
            n->f = (double)n->i;
    }
    hr_lex_next(l);
    return n;
}

static struct node *name(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    if (hr_lex_is(l, "exists"))
        return exists(l);
    if (hr_lex_is(l, "true") || hr_lex_is(l, "false")) {
        struct node *n = make(l, N_BOOL, pos, NULL, NULL);
        if (n)
            n->i = hr_lex_is(l, "true");
        hr_lex_next(l);
        return n;
    }
    if (hr_lex_is(l, "enum")) {
        hr_lex_next(l);
        return text_node(l, N_ENUM, NULL, pos, hr_parse_id(l, "the name of an enumerator"));
    }
    static const char *const reserved[] = {"and", "or", "in", "is", "of", "where"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (hr_lex_is(l, reserved[i])) {
            hr_syntax(l, "an expression");
            return NULL;
        }
    static const char *const starts[] = {"rule", "let", "budget", "allow", "include", "pack"};
    for (size_t i = 0; l->t.line_start && i < sizeof starts / sizeof *starts; i++)
        if (hr_lex_is(l, starts[i])) {
            hr_syntax(l, "an expression");
            return NULL;
        }
    const char *z = hr_parse_id(l, "a name");
    if (l->t.kind != '(')
        return text_node(l, N_NAME, NULL, pos, z);
    struct node *n = text_node(l, N_CALL, NULL, pos, z);
    hr_lex_next(l);
    return n && arguments(l, n, ')') ? n : NULL;
}

static struct node *primary(struct lexer *l)
{
    struct node *n;
    switch (l->t.kind) {
    case T_NUM:
        return number(l);
    case T_ID:
        return name(l);
    case T_STR:
        n = make(l, N_STR, l->t.pos, NULL, NULL);
        if (n)
            n->text = hr_parse_string(l, "a text");
        return n && n->text ? n : NULL;
    case '(':
        hr_lex_next(l);
        n = binary(l, 1);
        return n && hr_expect(l, ')', "`)`") ? n : NULL;
    case T_PATH:
        hr_rules_error(l->r, l->src, l->t.pos, NULL, "paths are not supported yet");
        return NULL;
    default:
        hr_syntax(l, "an expression");
        return NULL;
    }
}

static struct node *postfix(struct lexer *l)
{
    struct node *n = primary(l);
    while (n && (l->t.kind == '.' || l->t.kind == T_ARROW || l->t.kind == '[')) {
        uint16_t kind = l->t.kind;
        if (kind == '[') {
            hr_rules_error(l->r, l->src, l->t.pos, NULL, "indexing is not supported yet");
            return NULL;
        }
        hr_lex_next(l);
        uint32_t pos = l->t.pos;
        const char *z = hr_parse_id(l, kind == '.' ? "an attribute" : "a field");
        n = text_node(l, kind == '.' ? N_ATTR : N_FIELD, n, pos, z);
        if (n && kind == '.' && l->t.kind == '(') {
            hr_rules_error(l->r, l->src, pos, NULL, "methods like `.%s(…)` are not supported yet", n->text);
            return NULL;
        }
    }
    return n;
}

static struct node *prefix_op(struct lexer *l)
{
    uint32_t pos = l->t.pos;
    bool no = hr_lex_is(l, "not");
    if (!no && l->t.kind != '-')
        return postfix(l);
    hr_lex_next(l);
    struct node *a = binary(l, no ? 4 : 7);
    return a ? make(l, no ? N_NOT : N_NEG, pos, a, NULL) : NULL;
}

static struct node *prefix(struct lexer *l)
{
    if (++l->nest > HR_MAX_RULE_DEPTH) {
        if (l->nest == HR_MAX_RULE_DEPTH + 1) /* once, not at each level on the way out */
            hr_rules_error(l->r, l->src, l->t.pos, NULL, "this expression is nested too deep");
        l->nest--;
        return NULL;
    }
    struct node *n = prefix_op(l);
    l->nest--;
    return n;
}

enum { OP_IS = 100, OP_IN, OP_NOT_IN, OP_OF };

/* The operator at the token looked at, and its precedence; 0 when there is none. */
static int operator_at(const struct lexer *l, const struct node *left, int *op_ret)
{
    static const struct { uint16_t tok; uint8_t op, prec; } signs[] = {
        {T_EQ, B_EQ, 4}, {T_NE, B_NE, 4}, {'<', B_LT, 4}, {T_LE, B_LE, 4}, {'>', B_GT, 4}, {T_GE, B_GE, 4},
        {'~', B_MATCH, 4}, {T_NOMATCH, B_NOMATCH, 4}, {'+', B_ADD, 5}, {'-', B_SUB, 5}, {'*', B_MUL, 6}, {'/', B_DIV, 6},
        {'=', B_EQ, 4},
    };
    static const struct { const char *word; uint8_t op, prec; } words[] = {
        {"or", B_OR, 1}, {"and", B_AND, 2}, {"is", OP_IS, 4}, {"in", OP_IN, 4}, {"not", OP_NOT_IN, 4},
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (l->t.kind == signs[i].tok) {
            *op_ret = signs[i].op;
            return signs[i].prec;
        }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (hr_lex_is(l, words[i].word)) {
            *op_ret = words[i].op;
            return words[i].prec;
        }
    *op_ret = OP_OF;
    return left->kind == N_NUM && left->percent && hr_lex_is(l, "of") ? 6 : 0;
}

static struct node *is_test(struct lexer *l, struct node *left, uint32_t pos)
{
    bool negated = hr_lex_is(l, "not");
    if (negated)
        hr_lex_next(l);
    struct node *right = NULL;
    if (l->t.kind == T_STR || l->t.kind == T_ID)
        right = l->t.kind == T_STR ? primary(l) : text_node(l, N_NAME, NULL, l->t.pos, hr_parse_id(l, "a type"));
    else
        hr_syntax(l, "a type's name");
    struct node *n = right ? make(l, N_IS, pos, left, right) : NULL;
    if (n)
        n->negated = negated;
    return n;
}

static struct node *in_test(struct lexer *l, struct node *left, uint32_t pos, bool negated)
{
    struct node *n = make(l, N_IN, pos, left, NULL);
    if (!n)
        return NULL;
    n->negated = negated;
    if (l->t.kind == '(' || l->t.kind == '[') {
        int close = l->t.kind == '(' ? ')' : ']';
        hr_lex_next(l);
        return arguments(l, n, close) ? n : NULL;
    }
    n->text = hr_parse_id(l, "a list or the name of a set");
    return n->text ? n : NULL;
}

static struct node *match_test(struct lexer *l, struct node *left, uint32_t pos, int op)
{
    struct node *n = make(l, N_BIN, pos, left, NULL);
    if (l->t.kind == T_PATH) {
        hr_rules_error(l->r, l->src, l->t.pos, NULL, "paths are not supported yet");
        return NULL;
    }
    if (l->t.kind != T_REGEX) {
        hr_syntax(l, "a pattern like /^node/");
        return NULL;
    }
    struct node *re = make(l, N_REGEX, l->t.pos, NULL, NULL);
    if (!n || !re)
        return NULL;
    re->text = hr_rules_keep(l->r, l->src->text + l->t.pos + 1, (size_t)l->t.i - l->t.pos - 1);
    re->i = l->t.flags;
    n->b = re;
    n->op = (uint8_t)op;
    hr_lex_next(l);
    return re->text ? n : NULL;
}

static struct node *with_right(struct lexer *l, struct node *left, int op, int prec, uint32_t pos)
{
    switch (op) {
    case OP_IS: return is_test(l, left, pos);
    case OP_IN: return in_test(l, left, pos, false);
    case OP_NOT_IN:
        if (!hr_lex_is(l, "in")) {
            hr_syntax(l, "`in` after `not`");
            return NULL;
        }
        hr_lex_next(l);
        return in_test(l, left, pos, true);
    case B_MATCH:
    case B_NOMATCH: return match_test(l, left, pos, op);
    default: break;
    }
    struct node *right = binary(l, prec + 1);
    struct node *n = right ? make(l, N_BIN, pos, left, right) : NULL;
    if (n)
        n->op = op == OP_OF ? B_MUL : (uint8_t)op;
    return n;
}

static struct node *binary(struct lexer *l, int min)
{
    struct node *n = prefix(l);
    bool compared = false;
    while (n) {
        int op, prec = operator_at(l, n, &op);
        if (!prec || prec < min)
            break;
        uint32_t pos = l->t.pos;
        if (l->t.kind == '=') {
            hr_rules_error(l->r, l->src, pos, "==", "`=` names things, it does not compare them");
            return NULL;
        }
        if (prec == 4 && compared) {
            hr_rules_error(l->r, l->src, pos, NULL, "comparisons do not chain; join them with `and`");
            return NULL;
        }
        compared = prec == 4 || (compared && prec > 4);
        hr_lex_next(l);
        n = with_right(l, n, op, prec, pos);
    }
    return n;
}

struct node *hr_parse_expr(struct lexer *l) { return binary(l, 1); }
