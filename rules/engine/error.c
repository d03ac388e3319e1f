/* Errors of rule files: where, what, and what was probably meant. */
#include <stdarg.h>
#include <stdio.h>

#include "analyzer/base/esc.h"
#include "rules/engine/internal.h"

enum { LINE_SHOWN = 1000, LOOK_BACK = 200 };

/* Line and column (from 1, in characters) of a position, and the text of the line around it: a "line" of a megabyte is
 * shown from LOOK_BACK characters before the position on, so the caret is never further right than that. */
static char *locate(const struct src *src, uint32_t pos, uint32_t *line_ret, uint32_t *col_ret)
{
    size_t start = 0, at = pos < src->n ? pos : src->n;
    uint32_t line = 1, col = 1;
    for (size_t i = 0; i < at; i++)
        if (src->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    for (size_t i = start; i < at; i++)
        col += ((unsigned char)src->text[i] & 0xc0) != 0x80;
    for (uint32_t left = col - 1; left > LOOK_BACK; left--)
        do
            start++;
        while (((unsigned char)src->text[start] & 0xc0) == 0x80);
    size_t end = start;
    while (end < src->n && src->text[end] != '\n' && src->text[end] != '\r' && end - start < LINE_SHOWN)
        end++;
    *line_ret = line;
    *col_ret = col;
    char *z = hr_strndup(src->text + start, end - start);
    for (char *p = z; p && *p; p++)
        if (*p == '\t')
            *p = ' ';
    return z;
}

static void add(struct hr_rules *r, const struct src *src, uint32_t pos, const char *hint, const char *text, bool warning)
{
    if (r->no_memory)
        return; /* what is missing then was never read */
    r->has_errors |= !warning;
    if (r->errors.n >= HR_MAX_RULE_ERRORS)
        return;
    struct hr_rule_error e = {.warning = warning};
    if (src)
        e.source_line = locate(src, pos, &e.line, &e.column);
    e.file = hr_strdup(src ? src->name : "rules");
    e.text = hr_strdup(text);
    e.hint = hr_strdup(hint);
    if (!e.file || !e.text || hr_ruleerrvec_push(&r->errors, e) != HR_OK) {
        hr_free(e.file);
        hr_free(e.text);
        hr_free(e.hint);
        hr_free(e.source_line);
        r->no_memory = true;
    }
}

void hr_rules_error(struct hr_rules *r, const struct src *src, uint32_t pos, const char *hint, const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    add(r, src, pos, hint, buf, false);
}

void hr_rules_warn(struct hr_rules *r, const struct src *src, uint32_t pos, const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    add(r, src, pos, NULL, buf, true);
}

const struct hr_ruleerrvec *hr_rules_errors(const struct hr_rules *r) { return &r->errors; }

void hr_rules_format_error(const struct hr_rule_error *e, char *buf, size_t cap)
{
    char file[256], text[1200], hint[300], line[LINE_SHOWN * 4 + 4];
    hr_escz(file, sizeof file, e->file);
    hr_escz(text, sizeof text, e->text);
    size_t o = 0;
#define PUT(...) do { if (o < cap) o += (size_t)snprintf(buf + o, cap - o, __VA_ARGS__); } while (0)
    if (e->line)
        PUT("%s:%u:%u: %s: %s", file, e->line, e->column, e->warning ? "warning" : "error", text);
    else
        PUT("%s: %s: %s", file, e->warning ? "warning" : "error", text);
    if (e->hint)
        PUT("; did you mean `%s`?", hr_escz(hint, sizeof hint, e->hint));
    if (!e->source_line || !e->line)
        return;
    PUT("\n%5u | %s\n      | ", e->line, hr_escz(line, sizeof line, e->source_line));
    /* The caret goes under the character, wherever escaping has moved it. */
    size_t i = 0, n = strlen(e->source_line);
    for (uint32_t col = 1; col < e->column && col <= LOOK_BACK && i < n; col++)
        do
            i++;
        while (i < n && ((unsigned char)e->source_line[i] & 0xc0) == 0x80);
    hr_esc(line, sizeof line, e->source_line, i);
    for (size_t k = 0; line[k]; k++)
        if (((unsigned char)line[k] & 0xc0) != 0x80)
            PUT(" ");
    PUT("^");
#undef PUT
}

/* Optimal string alignment: insertions, deletions, changes, and swapped neighbours count one. */
static unsigned distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return 99;
    uint8_t d[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (uint8_t)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1u < best)
                best = d[i - 1][j] + 1u;
            if (d[i][j - 1] + 1u < best)
                best = d[i][j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1u < best)
                best = d[i - 2][j - 2] + 1u;
            d[i][j] = (uint8_t)best;
        }
    return d[n][m];
}

void hr_suggest(struct suggest *s, const char *candidate)
{
    size_t n = strlen(s->word);
    unsigned most = n <= 2 ? 1 : n <= 5 ? 2 : 3, d = distance(s->word, candidate);
    if (d && d <= most && d < n && (!s->best || d < s->distance)) {
        s->best = candidate;
        s->distance = d;
    }
}
