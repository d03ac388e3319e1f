/* The JSON writer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "formats/report/put.h"

enum { IN_OBJECT = 1, NOT_EMPTY = 2, MAX_DEPTH = 32 };

void hr_json_init(struct hr_json *j, struct hr_out *o, bool pretty)
{
    *j = (struct hr_json){.o = o, .pretty = pretty};
}

/* Deeper than the writer can remember is our own mistake; what is inside is left out and the document stays valid. */
static bool too_deep(const struct hr_json *j) { return j->depth > MAX_DEPTH; }

static void newline(struct hr_json *j)
{
    if (j->pretty) {
        hr_putz(j->o, "\n");
        hr_put_pad(j->o, j->depth * 2);
    }
}

/* The code point of a well-formed sequence that hr_utf8_ok() found harmful, and its length; 0 when not well-formed. */
static size_t decode_harmful(const uint8_t *p, size_t n, uint32_t *cp_ret)
{
    size_t len = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (!len || len > n)
        return 0;
    uint32_t cp = len > 1 ? p[0] & (0x7fu >> len) : p[0];
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (cp < least[len] || (cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff)
        return 0;
    *cp_ret = cp;
    return len;
}

static void put_u(struct hr_out *o, uint32_t cp)
{
    char buf[16];
    if (cp > 0xffff)
        snprintf(buf, sizeof buf, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + ((cp - 0x10000) & 0x3ff));
    else
        snprintf(buf, sizeof buf, "\\u%04x", cp);
    hr_putz(o, buf);
}

static void put_string(struct hr_out *o, const char *z)
{
    size_t n = strlen(z), run = 0;
    hr_putz(o, "\"");
    for (size_t i = 0; i < n;) {
        const uint8_t *p = (const uint8_t *)z + i;
        size_t len = hr_utf8_ok(p, n - i);
        if (len && *p != '"' && *p != '\\') {
            i += len;
            continue;
        }
        hr_put(o, z + run, i - run);
        uint32_t cp = 0xfffd;
        if (*p == '"' || *p == '\\') {
            hr_putz(o, *p == '"' ? "\\\"" : "\\\\");
            len = 1;
        } else {
            len = decode_harmful(p, n - i, &cp);
            put_u(o, cp);
        }
        i += len ? len : 1;
        run = i;
    }
    hr_put(o, z + run, n - run);
    hr_putz(o, "\"");
}

/* Comma, line break and key before a value; false when the value has to be left out. */
static bool before(struct hr_json *j, const char *key)
{
    if (too_deep(j))
        return false;
    if (!j->depth)
        return true;
    uint8_t *s = &j->state[j->depth];
    if (*s & NOT_EMPTY)
        hr_putz(j->o, ",");
    *s |= NOT_EMPTY;
    newline(j);
    if (*s & IN_OBJECT) {
        put_string(j->o, key ? key : "");
        hr_putz(j->o, j->pretty ? ": " : ":");
    }
    return true;
}

static void after(struct hr_json *j)
{
    if (!j->depth)
        hr_putz(j->o, "\n");
}

static void open_nest(struct hr_json *j, const char *key, uint8_t state)
{
    bool shown = before(j, key);
    if (shown && j->depth == MAX_DEPTH)
        hr_putz(j->o, "null");
    else if (shown)
        hr_putz(j->o, state & IN_OBJECT ? "{" : "[");
    if (++j->depth <= MAX_DEPTH)
        j->state[j->depth] = state;
}

void hr_json_obj(struct hr_json *j, const char *key) { open_nest(j, key, IN_OBJECT); }

void hr_json_arr(struct hr_json *j, const char *key) { open_nest(j, key, 0); }

void hr_json_end(struct hr_json *j)
{
    if (!j->depth)
        return;
    if (too_deep(j)) {
        j->depth--;
        return;
    }
    uint8_t s = j->state[j->depth--];
    if (s & NOT_EMPTY)
        newline(j);
    hr_putz(j->o, s & IN_OBJECT ? "}" : "]");
    after(j);
}

static void scalar(struct hr_json *j, const char *key, const char *text)
{
    if (before(j, key)) {
        hr_putz(j->o, text);
        after(j);
    }
}

void hr_json_str(struct hr_json *j, const char *key, const char *z)
{
    if (!z) {
        scalar(j, key, "null");
    } else if (before(j, key)) {
        put_string(j->o, z);
        after(j);
    }
}

/* snprintf costs more than the rest of a line of `blocks --ndjson`. */
static char *digits(char buf[24], uint64_t n, unsigned base)
{
    char *p = buf + 23;
    *p = 0;
    do {
        *--p = "0123456789abcdef"[n % base];
    } while (n /= base);
    return p;
}

void hr_json_num(struct hr_json *j, const char *key, uint64_t n)
{
    char buf[24];
    scalar(j, key, digits(buf, n, 10));
}

void hr_json_int(struct hr_json *j, const char *key, int64_t n)
{
    char buf[24], *p = digits(buf, n < 0 ? 0 - (uint64_t)n : (uint64_t)n, 10);
    if (n < 0)
        *--p = '-';
    scalar(j, key, p);
}

void hr_json_real(struct hr_json *j, const char *key, double v)
{
    char buf[40];
    if (!isfinite(v)) {
        scalar(j, key, "null");
        return;
    }
    snprintf(buf, sizeof buf, "%.15g", v);
    if (strtod(buf, NULL) != v)
        snprintf(buf, sizeof buf, "%.17g", v);
    for (char *p = buf; *p; p++) /* a caller's locale must not make it another number */
        if (*p == ',')
            *p = '.';
    scalar(j, key, buf);
}

void hr_json_addr(struct hr_json *j, const char *key, uint64_t addr)
{
    char num[24], buf[32];
    char *p = digits(num, addr, 16);
    size_t n = strlen(p);
    memcpy(buf, "\"0x", 3);
    memcpy(buf + 3, p, n);
    memcpy(buf + 3 + n, "\"", 2);
    scalar(j, key, buf);
}

void hr_json_bool(struct hr_json *j, const char *key, bool v) { scalar(j, key, v ? "true" : "false"); }

void hr_json_null(struct hr_json *j, const char *key) { scalar(j, key, "null"); }
