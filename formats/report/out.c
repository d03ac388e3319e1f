#include "formats/report/out.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/limits.h"
#include "analyzer/base/mem.h"
#include "formats/report/put.h"

static bool env_set(const char *name)
{
    const char *v = getenv(name);
    return v && *v;
}

static bool want_color(FILE *f, const char *option)
{
    if (option && !strcmp(option, "always"))
        return true;
    if (option && !strcmp(option, "never"))
        return false;
    const char *force = getenv("CLICOLOR_FORCE"), *term = getenv("TERM");
    if (env_set("NO_COLOR"))
        return false;
    if (force && *force && strcmp(force, "0"))
        return true;
    return term && *term && strcmp(term, "dumb") && isatty(fileno(f));
}

/* The locale's answer without setlocale(), which would change the decimal point of every printf of the program. */
static bool want_unicode(void)
{
    const char *v = env_set("LC_ALL") ? getenv("LC_ALL") : env_set("LC_CTYPE") ? getenv("LC_CTYPE") : getenv("LANG");
    return v && (strcasestr(v, "utf-8") || strcasestr(v, "utf8"));
}

static int want_width(FILE *f)
{
    const char *v = getenv("COLUMNS");
    long n = v ? strtol(v, NULL, 10) : 0;
    if (n >= 40 && n <= 10000)
        return (int)n;
    if (!isatty(fileno(f)))
        return 0;
    int tty = hr_tty_width(fileno(f));
    return tty >= 40 && tty <= 10000 ? tty : 80;
}

void hr_out_init(struct hr_out *o, FILE *f, const char *color_option)
{
    *o = (struct hr_out){.f = f, .color = want_color(f, color_option), .unicode = want_unicode(), .width = want_width(f)};
}

void hr_put(struct hr_out *o, const char *p, size_t n)
{
    if (!o->failed && n && fwrite_unlocked(p, 1, n, o->f) != n)
        o->failed = true;
}

void hr_putz(struct hr_out *o, const char *z) { hr_put(o, z, strlen(z)); }

void hr_put_pad(struct hr_out *o, int n)
{
    static const char spaces[] = "                                                                ";
    for (; n > 0; n -= (int)sizeof spaces - 1)
        hr_put(o, spaces, (size_t)n < sizeof spaces - 1 ? (size_t)n : sizeof spaces - 1);
}

/* What our own words use beyond ASCII, for terminals that cannot show it. */
static const struct { const char *utf8, *ascii; } plain[] = {
    {"×", "x"}, {"…", "..."}, {"→", "->"}, {"–", "-"}, {"—", "-"}, {"’", "'"}, {"“", "\""}, {"”", "\""},
    {"·", "-"}, {"≥", ">="}, {"≤", "<="}, {"├", "+"}, {"│", "|"}, {"╰", "`"}, {"─", "-"}, {"┬", "+"}, {"↓", "v"},
};

/* Escaped text for this output: bytes above 0x7f only where they can be shown. */
void hr_put_escaped(struct hr_out *o, const char *p, size_t n)
{
    size_t run = 0;
    for (size_t i = 0; i < n;) {
        if (o->unicode || (unsigned char)p[i] < 0x80) {
            i++;
            continue;
        }
        hr_put(o, p + run, i - run);
        size_t len = hr_utf8_ok((const uint8_t *)p + i, n - i), k = 0;
        while (k < sizeof plain / sizeof *plain && (strlen(plain[k].utf8) != len || memcmp(plain[k].utf8, p + i, len)))
            k++;
        if (k < sizeof plain / sizeof *plain)
            hr_putz(o, plain[k].ascii);
        else
            for (size_t b = 0; b < (len ? len : 1); b++) {
                char hex[8];
                snprintf(hex, sizeof hex, "\\x%02x", (unsigned char)p[i + b]);
                hr_putz(o, hex);
            }
        i += len ? len : 1;
        run = i;
    }
    hr_put(o, p + run, n - run);
}

void hr_outf(struct hr_out *o, const char *fmt, ...)
{
    char small[512], *text = small;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof small) {
        text = hr_alloc((size_t)n + 1);
        if (!text) {
            text = small;
            n = (int)sizeof small - 1;
        } else {
            va_start(ap, fmt);
            vsnprintf(text, (size_t)n + 1, fmt, ap);
            va_end(ap);
        }
    }
    hr_put_escaped(o, text, (size_t)n);
    if (text != small)
        hr_free(text);
}

void hr_out_esc(struct hr_out *o, const char *z)
{
    char buf[HR_MAX_STRING * 4 + 4];
    hr_escz(buf, sizeof buf, z ? z : "");
    hr_put_escaped(o, buf, strlen(buf));
}

void hr_out_style(struct hr_out *o, enum hr_style s)
{
    static const char *const code[] = {"\033[0m",  "\033[1m",  "\033[2m", "\033[31m",
                                       "\033[33m", "\033[32m", "\033[36m"};
    if (o->color)
        hr_putz(o, code[s]);
}

/* Columns on a terminal: one per character. Double-width characters are rare enough in names to be left out. */
int hr_columns(const struct hr_out *o, const char *p, size_t n)
{
    int w = 0;
    for (size_t i = 0; i < n;) {
        size_t len = hr_utf8_ok((const uint8_t *)p + i, n - i);
        w += o->unicode || len < 2 ? 1 : 4 * (int)len;
        i += len ? len : 1;
    }
    return w;
}

/* `at` columns of the first line are taken; later lines start at `indent`. */
static void wrap(struct hr_out *o, int at, int indent, const char *text)
{
    int limit = o->width ? o->width : 100, fresh = !at;
    const char *p = text ? text : "";
    while (*p) {
        p += strspn(p, " \t\n\r");
        size_t n = strcspn(p, " \t\n\r");
        if (!n)
            break;
        char word[HR_MAX_STRING * 4 + 4];
        hr_esc(word, sizeof word, p, n);
        int w = hr_columns(o, word, strlen(word));
        if (!fresh && at + 1 + w > limit) {
            hr_putz(o, "\n");
            fresh = 1;
        }
        if (fresh) {
            hr_put_pad(o, indent);
            at = indent;
        } else if (at && p > text) {
            hr_putz(o, " ");
            at++;
        }
        fresh = 0;
        hr_put_escaped(o, word, strlen(word));
        at += w;
        p += n;
    }
    hr_putz(o, "\n");
}

void hr_out_wrap(struct hr_out *o, int indent, const char *text) { wrap(o, 0, indent, text); }

void hr_out_hang(struct hr_out *o, enum hr_style style, const char *head, const char *text)
{
    hr_out_style(o, style);
    hr_put_escaped(o, head, strlen(head));
    hr_out_style(o, HR_PLAIN);
    int w = hr_columns(o, head, strlen(head));
    wrap(o, w, w, text);
}

static char *raw_number(char *buf, size_t cap, uint64_t n)
{
    snprintf(buf, cap, "%llu", (unsigned long long)n);
    return buf;
}

char *hr_out_count(const struct hr_out *o, char *buf, size_t cap, uint64_t n)
{
    if (o->bytes || cap < 27)
        return raw_number(buf, cap, n);
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), w = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf[w++] = ',';
        buf[w++] = digits[i];
    }
    buf[w] = 0;
    return buf;
}

char *hr_out_bytes(const struct hr_out *o, char *buf, size_t cap, uint64_t n)
{
    return o->bytes ? raw_number(buf, cap, n) : hr_human(buf, cap, n);
}
