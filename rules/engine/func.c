/* Functions of the language: one line in the table, one case below. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "analyzer/base/esc.h"
#include "rules/engine/internal.h"

const struct func hr_funcs[] = {
    [F_MAX] = {"max", "nn", HR_V_NUM},
    [F_MIN] = {"min", "nn", HR_V_NUM},
    [F_ABS] = {"abs", "n", HR_V_NUM},
    [F_BYTES] = {"bytes", "n", HR_V_STR},         /* "1.5 MiB" */
    [F_PCT] = {"pct", "n", HR_V_STR},             /* 0.37 is "37%" */
    [F_QUOTE] = {"quote", "tN", HR_V_STR},        /* text in quotes, cut to N characters */
    [F_SIGNED] = {"signed", "n", HR_V_STR},       /* "+12" */
    [F_ADDR] = {"addr", "n", HR_V_STR},           /* "0x7f12…" */
    [F_LEN] = {"len", "t", HR_V_NUM},
    [F_PLURAL] = {"plural", "ntT", HR_V_STR},     /* plural(n, "block"): "1 block", "2,345 blocks" */
    [F_IF] = {"if", "bvv", K_ANY},
    [F_KNOWN] = {"known", "v", HR_V_BOOL},
    [F_DEFAULT] = {"default", "vv", K_ANY},       /* the first unless it is unknown */
    [F_LOWER] = {"lower", "t", HR_V_STR},
    [F_CONTAINS] = {"contains", "tt", HR_V_BOOL},
    [F_STARTS] = {"starts", "tt", HR_V_BOOL},
    [F_JOIN] = {"join", "vv", HR_V_STR},          /* texts and numbers, one after the other */
    [F_SUM] = {"sum", "n", HR_V_NUM, true},
    [F_AVG] = {"avg", "n", HR_V_NUM, true},
    [F_AMAX] = {"max", "n", HR_V_NUM, true},
    [F_AMIN] = {"min", "n", HR_V_NUM, true},
    [F_COUNT] = {"count", "B", HR_V_NUM, true},
    [F_ANY] = {"any", "b", HR_V_BOOL, true},
    [F_ROOT_PATH] = {"root_path", "v", K_ANY},
};

static void HR_PRINTF(3, 4) text(struct vm *m, struct hr_value *v, const char *fmt, ...)
{
    size_t room = VM_SCRATCH - m->used;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(m->scratch + m->used, room, fmt, ap);
    va_end(ap);
    v->kind = HR_V_UNKNOWN;
    if (n < 0 || (size_t)n >= room)
        return;
    v->kind = HR_V_STR;
    v->s = m->scratch + m->used;
    v->n = (size_t)n;
    m->used += (size_t)n;
}

static void grouped(char *buf, size_t cap, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    size_t w = 0;
    for (int i = 0; i < len && w + 2 < cap; i++) {
        if (i && (len - i) % 3 == 0)
            buf[w++] = ',';
        buf[w++] = digits[i];
    }
    buf[w] = 0;
}

void hr_vm_number_text(const struct hr_value *v, char *buf, size_t cap)
{
    double d = hr_vm_num(v);
    bool whole = !v->is_float || (fabs(d) < 9e15 && d == floor(d));
    if (!whole) {
        snprintf(buf, cap, fabs(d) < 10 ? "%.2f" : "%.1f", d);
        return;
    }
    int64_t i = v->is_float ? (int64_t)d : v->i;
    *buf = '-';
    grouped(buf + (i < 0), cap - (i < 0), i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
}

static void f_extreme(struct hr_value *a, unsigned n, bool most)
{
    unsigned best = 0;
    for (unsigned i = 0; i < n; i++)
        if (a[i].kind != HR_V_NUM) {
            a->kind = HR_V_UNKNOWN;
            return;
        }
    for (unsigned i = 1; i < n; i++) {
        bool whole = !a[i].is_float && !a[best].is_float;
        bool more = whole ? a[i].i > a[best].i : hr_vm_num(&a[i]) > hr_vm_num(&a[best]);
        bool less = whole ? a[i].i < a[best].i : hr_vm_num(&a[i]) < hr_vm_num(&a[best]);
        if (most ? more : less)
            best = i;
    }
    a[0] = a[best];
}

static void f_number(struct vm *m, unsigned f, struct hr_value *a)
{
    char buf[40];
    if (a->kind != HR_V_NUM) {
        a->kind = HR_V_UNKNOWN;
        return;
    }
    double d = hr_vm_num(a);
    switch (f) {
    case F_ABS:
        if (a->is_float)
            a->f = fabs(a->f);
        else if (a->i < 0)
            a->i = a->i == INT64_MIN ? INT64_MAX : -a->i;
        break;
    case F_BYTES:
        hr_human(buf, sizeof buf, d < 0 ? 0 : a->is_float ? d < 1.8e19 ? (uint64_t)d : UINT64_MAX : (uint64_t)a->i);
        text(m, a, "%s", buf);
        break;
    case F_PCT:
        d *= 100;
        text(m, a, d != 0 && fabs(d) < 9.95 ? "%.1f%%" : "%.0f%%", d);
        break;
    case F_SIGNED:
        hr_vm_number_text(a, buf, sizeof buf);
        text(m, a, "%s%s", d > 0 ? "+" : "", buf);
        break;
    default: /* F_ADDR */
        text(m, a, "0x%llx", (unsigned long long)(a->is_float ? 0 : a->i));
    }
}

/* Contents of memory: shown only when the user allows it, and cut on a character's border. */
static void f_quote(struct vm *m, const struct prog *p, struct hr_value *a, unsigned nargs)
{
    size_t n = 0, most = nargs > 1 && a[1].kind == HR_V_NUM && a[1].i >= 0 && a[1].i < 1000 ? (size_t)a[1].i : 80;
    const char *z = hr_vm_text(m, p, a, &n);
    if (!z) {
        a->kind = HR_V_UNKNOWN;
        return;
    }
    if (!m->r->show_contents || m->redact) {
        text(m, a, "(%zu bytes, not shown)", n);
        return;
    }
    size_t cut = n;
    if (n > most)
        for (cut = most; cut && ((unsigned char)z[cut] & 0xc0) == 0x80; cut--)
            ;
    text(m, a, "\"%.*s\"%s", (int)cut, z, cut < n ? "..." : "");
}

static void f_plural(struct vm *m, const struct prog *p, struct hr_value *a, unsigned nargs)
{
    char number[40];
    size_t n = 0, pn = 0;
    if (a->kind != HR_V_NUM) {
        a->kind = HR_V_UNKNOWN;
        return;
    }
    hr_vm_number_text(a, number, sizeof number);
    bool one = hr_vm_num(a) == 1;
    const char *z = hr_vm_text(m, p, &a[1], &n), *many = nargs > 2 ? hr_vm_text(m, p, &a[2], &pn) : NULL;
    if (!z)
        a->kind = HR_V_UNKNOWN;
    else if (!one && many)
        text(m, a, "%s %.*s", number, (int)pn, many);
    else
        text(m, a, "%s %.*s%s", number, (int)n, z, one ? "" : "s");
}

static void f_text(struct vm *m, const struct prog *p, unsigned f, struct hr_value *a)
{
    size_t n = 0, k = 0;
    const char *z = hr_vm_text(m, p, &a[0], &n), *what = f == F_CONTAINS || f == F_STARTS ? hr_vm_text(m, p, &a[1], &k) : "";
    if (!z || !what) {
        a->kind = HR_V_UNKNOWN;
        return;
    }
    if (f == F_LEN) {
        *a = (struct hr_value){.kind = HR_V_NUM, .i = (int64_t)n};
    } else if (f == F_LOWER) {
        text(m, a, "%.*s", (int)n, z);
        for (size_t i = 0; a->kind == HR_V_STR && i < a->n; i++)
            ((char *)m->scratch)[a->s - m->scratch + (ptrdiff_t)i] = (char)tolower((unsigned char)a->s[i]);
    } else {
        bool yes = f == F_STARTS ? n >= k && !memcmp(z, what, k) : memmem(z, n, what, k) != NULL;
        *a = (struct hr_value){.kind = HR_V_BOOL, .b = yes};
    }
}

static void f_join(struct vm *m, const struct prog *p, struct hr_value *a, unsigned nargs)
{
    char all[1024];
    size_t at = 0;
    for (unsigned i = 0; i < nargs && at < sizeof all; i++) {
        char number[48];
        size_t n = 0;
        const char *z = hr_vm_text(m, p, &a[i], &n);
        if (!z && a[i].kind == HR_V_NUM) {
            hr_vm_number_text(&a[i], number, sizeof number);
            z = number;
            n = strlen(number);
        }
        if (z)
            at += (size_t)snprintf(all + at, sizeof all - at, "%.*s", (int)hr_min(n, sizeof all), z);
    }
    text(m, a, "%s", all);
}

void hr_vm_call(struct vm *m, const struct prog *p, const struct insn *in)
{
    struct hr_value *a = &m->regs[in->dst];
    switch (in->k) {
    case F_MAX:
    case F_MIN: f_extreme(a, in->x, in->k == F_MAX); break;
    case F_QUOTE: f_quote(m, p, a, in->x); break;
    case F_JOIN: f_join(m, p, a, in->x); break;
    case F_PLURAL: f_plural(m, p, a, in->x); break;
    case F_IF:
        if (a->kind == HR_V_BOOL)
            a[0] = a->b ? a[1] : a[2];
        break;
    case F_KNOWN: *a = (struct hr_value){.kind = HR_V_BOOL, .b = a->kind != HR_V_UNKNOWN}; break;
    case F_DEFAULT:
        if (a->kind == HR_V_UNKNOWN)
            a[0] = a[1];
        break;
    case F_LEN:
    case F_LOWER:
    case F_CONTAINS:
    case F_STARTS: f_text(m, p, in->k, a); break;
    default: f_number(m, in->k, a); break;
    }
}
