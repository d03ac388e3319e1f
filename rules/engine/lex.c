/* Tokens of the rule language. */
#include <ctype.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "rules/engine/internal.h"

void hr_lex_start(struct lexer *l, struct hr_rules *r, struct src *src, uint32_t from, uint32_t to)
{
    *l = (struct lexer){.r = r, .src = src, .at = from, .end = to};
    hr_lex_next(l);
}

bool hr_lex_is(const struct lexer *l, const char *word)
{
    return l->t.kind == T_ID && strlen(word) == l->t.len && !memcmp(l->src->text + l->t.pos, word, l->t.len);
}

static int peek(const struct lexer *l, uint32_t ahead)
{
    return l->at + ahead < l->end ? (unsigned char)l->src->text[l->at + ahead] : -1;
}

static void bad(struct lexer *l, uint32_t pos, const char *what)
{
    hr_rules_error(l->r, l->src, pos, NULL, "%s", what);
    l->t.kind = T_BAD;
}

/* White space and comments: # and // to the end of the line, and C's. */
static void skip_space(struct lexer *l)
{
    l->t.line_start = l->at == 0;
    for (;;) {
        int c = peek(l, 0);
        if (c == '\n')
            l->t.line_start = true;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            l->at++;
        } else if (c == '#' || (c == '/' && peek(l, 1) == '/' && l->prev != '~' && l->prev != T_NOMATCH)) {
            while (l->at < l->end && l->src->text[l->at] != '\n')
                l->at++;
        } else if (c == '/' && peek(l, 1) == '*' && l->prev != '~' && l->prev != T_NOMATCH) {
            uint32_t from = l->at;
            for (l->at += 2; l->at < l->end && !(peek(l, 0) == '*' && peek(l, 1) == '/'); l->at++)
                ;
            if (l->at >= l->end)
                bad(l, from, "this comment is not closed");
            else
                l->at += 2;
        } else {
            return;
        }
    }
}

static void lex_string(struct lexer *l)
{
    const char *p = l->src->text;
    char q = p[l->at];
    uint32_t from = l->at;
    bool triple = peek(l, 1) == q && peek(l, 2) == q;
    l->t.kind = T_STR;
    l->t.quote = triple ? 3 : 1;
    for (l->at += l->t.quote; l->at < l->end; l->at++) {
        if (p[l->at] == q && (!triple || (peek(l, 1) == q && peek(l, 2) == q))) {
            l->at += l->t.quote;
            return;
        }
        if (!triple && p[l->at] == '\n')
            break;
        if (p[l->at] == '\\' && !triple)
            l->at++;
    }
    if (l->at > l->end)
        l->at = l->end;
    bad(l, from, triple ? "this text is not closed with \"\"\"" : "this text is not closed before the end of the line");
}

static void lex_regex(struct lexer *l)
{
    uint32_t from = l->at++;
    bool set = false;
    for (; l->at < l->end && l->src->text[l->at] != '\n'; l->at++) {
        char c = l->src->text[l->at];
        if (c == '\\')
            l->at++;
        else if (c == '[' || c == ']')
            set = c == '[';
        else if (c == '/' && !set)
            break;
    }
    if (l->at >= l->end || l->src->text[l->at] != '/') {
        l->at = l->at > l->end ? l->end : l->at;
        bad(l, from, "this pattern is not closed with /");
        return;
    }
    l->t.kind = T_REGEX;
    l->t.i = ++l->at - 1; /* where the pattern ends */
    for (; isalpha(peek(l, 0)); l->at++) {
        static const struct { char c; uint32_t flag; } flags[] = {
            {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE}, {'s', PCRE2_DOTALL}, {'x', PCRE2_EXTENDED},
            {'u', PCRE2_UTF | PCRE2_MATCH_INVALID_UTF},
        };
        size_t k = 0;
        while (k < 5 && flags[k].c != peek(l, 0))
            k++;
        if (k == 5)
            bad(l, l->at, "a pattern's flags are i, m, s, x and u");
        else
            l->t.flags |= flags[k].flag;
    }
}

static double unit_scale(const struct lexer *l, uint32_t at, uint32_t *len_ret)
{
    static const struct { const char *word; double scale; } units[] = {
        {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}, {"B", 1},
        {"kB", 1e3},   {"KB", 1e3},      {"MB", 1e6},           {"GB", 1e9},              {"TB", 1e12},
    };
    uint32_t n = at;
    while (n < l->end && (isalnum((unsigned char)l->src->text[n]) || l->src->text[n] == '_'))
        n++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].word) == n - at && !memcmp(units[i].word, l->src->text + at, n - at)) {
            *len_ret = n - at;
            return units[i].scale;
        }
    return 0;
}

/* 64 KiB and 64KiB, 30% and 30 %. */
static void lex_unit(struct lexer *l)
{
    uint32_t at = l->at, len = 0;
    while (at < l->end && l->src->text[at] == ' ')
        at++;
    if (at < l->end && l->src->text[at] == '%') {
        l->t.percent = l->t.is_float = true;
        l->t.f /= 100;
        l->at = at + 1;
        return;
    }
    double scale = unit_scale(l, at, &len);
    if (scale == 0) {
        if (isalpha(peek(l, 0)) || peek(l, 0) == '_')
            bad(l, l->at, "unknown unit; known are B, KiB, MiB, GiB, TiB, kB, MB, GB, TB and %");
        return;
    }
    l->at = at + len;
    int64_t whole;
    if (!l->t.is_float && !__builtin_mul_overflow(l->t.i, (int64_t)scale, &whole)) {
        l->t.i = whole;
    } else if (l->t.f * scale < 9e18) {
        l->t.i = (int64_t)(l->t.f * scale);
        l->t.is_float = false;
    } else {
        bad(l, l->t.pos, "this number is too large");
    }
    l->t.f = (double)l->t.i;
}

static bool lex_date(struct lexer *l)
{
    for (uint32_t i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? peek(l, i) != '-' : !isdigit(peek(l, i)))
            return false;
    if (isalnum(peek(l, 10)))
        return false;
    const char *p = l->src->text + l->at;
    int64_t y = atoi(p), m = atoi(p + 5), d = atoi(p + 8);
    l->t.i = y * 10000 + m * 100 + d;
    l->t.kind = T_DATE;
    l->at += 10;
    if (m < 1 || m > 12 || d < 1 || d > 31)
        bad(l, l->t.pos, "no such day; a date is YEAR-MONTH-DAY");
    return true;
}

static void lex_number(struct lexer *l)
{
    if (lex_date(l))
        return;
    l->t.kind = T_NUM;
    char digits[40];
    size_t n = 0;
    bool hex = peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X'), fits = true;
    l->at += hex ? 2 : 0;
    for (int c; c = peek(l, 0), c == '_' || (hex ? isxdigit(c) : isdigit(c)) ||
                (!hex && c == '.' && !l->t.is_float && isdigit(peek(l, 1))); l->at++) {
        l->t.is_float |= c == '.';
        if (c != '_' && n < sizeof digits - 1)
            digits[n++] = (char)c;
        else if (c != '_')
            fits = false;
    }
    digits[n] = 0;
    unsigned long long u = strtoull(digits, NULL, hex ? 16 : 10);
    l->t.i = (int64_t)u;
    l->t.f = l->t.is_float ? strtod(digits, NULL) : (double)u;
    if (!n)
        bad(l, l->t.pos, "a number needs digits");
    else if (!fits || (!l->t.is_float && u > INT64_MAX) || l->t.f >= 9.2e18)
        bad(l, l->t.pos, "this number is too large");
    else
        lex_unit(l);
}

static void lex_punct(struct lexer *l)
{
    static const struct { const char *z; uint16_t kind; } two[] = {
        {"==", T_EQ}, {"!=", T_NE}, {"<=", T_LE}, {">=", T_GE}, {"!~", T_NOMATCH}, {"->", T_ARROW},
    };
    const char *p = l->src->text + l->at;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (l->end - l->at >= 2 && !memcmp(two[i].z, p, 2)) {
            l->t.kind = two[i].kind;
            l->at += 2;
            return;
        }
    if (*p && strchr("{}()[],.=<>+-*/~:;", *p)) {
        l->t.kind = (unsigned char)*p;
        l->at++;
        return;
    }
    uint32_t from = l->at++;
    while (l->at < l->end && ((unsigned char)l->src->text[l->at] & 0xc0) == 0x80)
        l->at++;
    bad(l, from, *p == '&' ? "unknown sign `&`; write `and`" : *p == '|' ? "unknown sign `|`; write `or`"
        : *p == '!' ? "unknown sign `!`; write `not`" : "this sign means nothing here");
}

static void lex_path(struct lexer *l)
{
    uint32_t from = l->at++;
    while (l->at < l->end && l->src->text[l->at] != '`')
        l->at++;
    l->t.kind = T_PATH;
    if (l->at < l->end)
        l->at++;
    else
        bad(l, from, "this path is not closed with `");
}

void hr_lex_next(struct lexer *l)
{
    l->prev_end = l->at;
    l->prev = l->t.kind;
    l->t = (struct tok){.kind = T_END};
    skip_space(l);
    if (l->r->errors.n >= HR_MAX_RULE_ERRORS || l->r->no_memory) {
        l->at = l->end;
        l->gave_up = true;
    }
    l->t.pos = l->at;
    l->t.kind = T_END;
    int c = peek(l, 0);
    if (c < 0)
        return;
    if (isalpha(c) || c == '_') {
        l->t.kind = T_ID;
        while (isalnum(peek(l, 0)) || peek(l, 0) == '_')
            l->at++;
    } else if (isdigit(c)) {
        lex_number(l);
    } else if (c == '"' || c == '\'') {
        lex_string(l);
    } else if (c == '`') {
        lex_path(l);
    } else if (c == '/' && (l->prev == '~' || l->prev == T_NOMATCH)) {
        lex_regex(l);
    } else {
        lex_punct(l);
    }
    l->t.len = l->at - l->t.pos;
}

const char *hr_lex_text(struct hr_rules *r, const struct src *src, uint32_t from, uint32_t to, bool raw)
{
    char *z = hr_rules_take(r, (size_t)(to - from) + 1), *w = z;
    if (!z)
        return NULL;
    for (uint32_t i = from; i < to; i++) {
        char c = src->text[i];
        if (raw && isspace((unsigned char)c)) {
            if (i == from || !isspace((unsigned char)src->text[i - 1]))
                *w++ = ' ';
            continue;
        }
        if (c == '\\' && i + 1 < to && (!raw || src->text[i + 1] == '{' || src->text[i + 1] == '}')) {
            char e = src->text[++i];
            c = e == 'n' ? '\n' : e == 't' ? '\t' : e;
        }
        if (c)
            *w++ = c;
    }
    *w = 0;
    return z;
}
