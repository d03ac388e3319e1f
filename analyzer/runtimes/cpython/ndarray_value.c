/* What arrays and NumPy's scalars say: dtype strings, numbers, dates. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/values.h"

/* NPY_DATETIMEUNIT (numpy/ndarraytypes.h); 3 is unused since 1.7, 14 is "generic" */
enum { UNIT_Y, UNIT_M, UNIT_W, UNIT_D = 4, UNIT_H, UNIT_MIN, UNIT_S, UNIT_MS, UNIT_US, UNIT_NS, UNIT_GENERIC = 14 };
static const char *const units[] = {"Y", "M", "W", "", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"};

/* Unit and how many of it a count means: behind the four words of NpyAuxData. */
static bool date_unit(const struct hr_py *py, uint64_t meta, uint64_t *unit, uint64_t *times)
{
    return meta && hr_image_uint(py->img, meta, 4, unit) && hr_image_uint(py->img, meta + 4, 4, times) && *unit < UNIT_GENERIC && *unit != 3 && *times;
}

char *hr_py_dtype_str(const struct hr_py *py, const struct hr_py_descr *d, char *buf, size_t cap)
{
    uint64_t unit, times;
    char order = d->order == '<' || d->order == '>' ? d->order : '|';
    char kind = d->kind > 0x20 && d->kind < 0x7f ? d->kind : '?';
    if (kind == 'O')
        snprintf(buf, cap, "|O");
    else if (kind == 'U')
        snprintf(buf, cap, "%cU%llu", order, (unsigned long long)d->itemsize / 4);
    else if ((kind == 'M' || kind == 'm') && date_unit(py, d->c_metadata ? d->c_metadata + 4 * py->img->word : 0, &unit, &times))
        snprintf(buf, cap, times == 1 ? "%c%c8[%.0llu%s]" : "%c%c8[%llu%s]", order, kind, times == 1 ? 0ull : (unsigned long long)times, units[unit]);
    else
        snprintf(buf, cap, "%c%c%llu", order, kind, (unsigned long long)d->itemsize);
    return buf;
}

/* ---- numbers ---- */
static bool load(const struct hr_py *py, const struct hr_py_descr *d, uint64_t at, uint8_t b[16], unsigned n)
{
    uint8_t raw[16];
    if (n > 16 || hr_image_read(py->img, at, raw, n) != n)
        return false;
    bool big = py->img->big != d->swapped;
    for (unsigned i = 0; i < n; i++) /* least significant byte first */
        b[i] = raw[big ? n - 1 - i : i];
    return true;
}

static uint64_t number(const uint8_t *b, unsigned n)
{
    uint64_t v = 0;
    while (n--)
        v = v << 8 | b[n];
    return v;
}

static double half(unsigned h)
{
    unsigned e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, (int)e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

/* The shortest decimal that is nearer to v than the neighbours of its precision. */
static void short_text(double v, double step, bool dot_0, char *buf, size_t cap)
{
    char b[40];
    for (int digits = 1; digits <= 17 && isfinite(v); digits++) {
        snprintf(b, sizeof b, "%.*g", digits, v);
        if (fabs(strtod(b, NULL) - v) < step / 2) {
            v = strtod(b, NULL);
            break;
        }
    }
    hr_py_double_text(v, dot_0, buf, cap);
}

static void extended_text(const uint8_t *b, char *buf, size_t cap)
{
    unsigned e = (unsigned)number(b + 8, 2);
    long double v = ldexpl((long double)number(b, 8), (int)(e & 0x7fff) - 16383 - 63);
    if ((e & 0x7fff) == 0x7fff)
        v = number(b, 8) << 1 ? (long double)NAN : (long double)INFINITY;
    if (e & 0x8000)
        v = -v;
    for (int digits = 1; digits <= 21; digits++) {
        snprintf(buf, cap, "%.*Lg", digits, v);
        if (strtold(buf, NULL) == v)
            break;
    }
    if (isfinite(v) && !strpbrk(buf, ".e") && strlen(buf) + 3 < cap)
        memcpy(buf + strlen(buf), ".0", 3);
}

static bool float_text(const uint8_t *b, unsigned n, bool dot_0, char *buf, size_t cap)
{
    uint64_t bits = number(b, n > 8 ? 8 : n);
    if (n == 8) {
        double d;
        memcpy(&d, &bits, 8);
        hr_py_double_text(d, dot_0, buf, cap);
    } else if (n == 4) {
        float f;
        uint32_t w = (uint32_t)bits;
        memcpy(&f, &w, 4);
        short_text(f, isfinite(f) ? (double)nextafterf(fabsf(f), INFINITY) - (double)fabsf(f) : 1, dot_0, buf, cap);
    } else if (n == 2) {
        double v = half((unsigned)bits);
        int e = 0;
        frexp(v, &e);
        short_text(v, ldexp(1, (e < -13 ? -13 : e) - 11), dot_0, buf, cap);
    } else if (n == 16 || n == 12) {
        extended_text(b, buf, cap);
    } else {
        return false;
    }
    return true;
}

static bool complex_text(const struct hr_py *py, const struct hr_py_descr *d, uint64_t at, char *buf, size_t cap)
{
    uint8_t b[16];
    char re[64], im[64];
    unsigned n = (unsigned)d->itemsize / 2;
    if (d->itemsize > 32 || !load(py, d, at, b, n) || !float_text(b, n, false, re, sizeof re))
        return false;
    if (!load(py, d, at + n, b, n) || !float_text(b, n, false, im, sizeof im))
        return false;
    if (!strcmp(re, "0"))
        snprintf(buf, cap, "%sj", im);
    else
        snprintf(buf, cap, "(%s%s%sj)", re, im[0] == '-' ? "" : "+", im);
    return true;
}

/* ---- dates ---- */
/* Day number to year, month, day: the era arithmetic of the Gregorian calendar. */
static void civil(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
    days += 719468; /* from the first of March of year 0 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned in_era = (unsigned)(days - era * 146097), year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned of_year = in_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    *d = of_year - (153 * month + 2) / 5 + 1;
    *m = month < 10 ? month + 3 : month - 9;
    *y = (int64_t)year + era * 400 + (*m <= 2);
}

static void date_text(int64_t v, uint64_t unit, char *buf, size_t cap)
{
    static const int64_t per_day[] = {[UNIT_D] = 1, [UNIT_H] = 24, [UNIT_MIN] = 1440, [UNIT_S] = 86400, [UNIT_MS] = 86400000,
                                      [UNIT_US] = 86400000000, [UNIT_NS] = 86400000000000};
    int64_t y, per = unit >= UNIT_D ? per_day[unit] : 1;
    unsigned m, d;
    if (unit == UNIT_Y || unit == UNIT_M) {
        int64_t months = unit == UNIT_Y ? v * 12 : v, year = 1970 + (months >= 0 ? months : months - 11) / 12;
        snprintf(buf, cap, unit == UNIT_Y ? "%04lld" : "%04lld-%02lld", (long long)year, (long long)(months - (year - 1970) * 12 + 1));
        return;
    }
    if (unit == UNIT_W)
        v *= 7;
    int64_t days = v / per - (v % per < 0), rest = v - days * per;
    civil(days, &y, &m, &d);
    int n = snprintf(buf, cap, "%04lld-%02u-%02u", (long long)y, m, d);
    if (unit < UNIT_H || n < 0 || (size_t)n + 24 > cap)
        return;
    static const int64_t second[] = {[UNIT_H] = 0, [UNIT_MIN] = 0, [UNIT_S] = 1, [UNIT_MS] = 1000, [UNIT_US] = 1000000, [UNIT_NS] = 1000000000};
    int64_t hours = rest * 24 / per;
    if (unit >= UNIT_S)
        hours = rest / second[unit] / 3600;
    n += snprintf(buf + n, cap - (size_t)n, "T%02lld", (long long)hours);
    if (unit == UNIT_MIN)
        snprintf(buf + n, cap - (size_t)n, ":%02lld", (long long)(rest % 60));
    if (unit < UNIT_S)
        return;
    int64_t s = rest / second[unit];
    n += snprintf(buf + n, cap - (size_t)n, ":%02lld:%02lld", (long long)(s / 60 % 60), (long long)(s % 60));
    if (unit > UNIT_S)
        snprintf(buf + n, cap - (size_t)n, ".%0*lld", unit == UNIT_MS ? 3 : unit == UNIT_US ? 6 : 9, (long long)(rest % second[unit]));
}

/* MOST: of units of a day and more, what can be made days without a thought of overflow. */
#define MOST (INT64_MAX / 16)
static void when_text(const struct hr_py *py, char kind, uint64_t meta, int64_t v, char *buf, size_t cap)
{
    uint64_t unit = UNIT_GENERIC, times = 1;
    int64_t all;
    bool known = date_unit(py, meta, &unit, &times);
    if (v == INT64_MIN)
        snprintf(buf, cap, "NaT");
    else if (kind == 'M' && known && unit <= UNIT_NS && !__builtin_mul_overflow(v, (int64_t)times, &all) &&
             (unit > UNIT_D || (all < MOST && all > -MOST)))
        date_text(all, unit, buf, cap);
    else if (known && !__builtin_mul_overflow(v, (int64_t)times, &all))
        snprintf(buf, cap, "%lld %s", (long long)all, units[unit]);
    else
        snprintf(buf, cap, "%lld", (long long)v);
}

bool hr_py_item_text(const struct hr_py *py, const struct hr_py_descr *d, uint64_t at, char *buf, size_t cap)
{
    uint8_t b[16];
    unsigned n = (unsigned)hr_min(d->itemsize, 64);
    if (d->kind == 'c')
        return complex_text(py, d, at, buf, cap);
    if (!d->kind || !strchr("biufMm", d->kind) || !n || !load(py, d, at, b, n))
        return false;
    if (d->kind == 'f')
        return float_text(b, n, true, buf, cap);
    if (n > 8)
        return false;
    uint64_t v = number(b, n);
    int64_t s = (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n);
    if (d->kind == 'b')
        snprintf(buf, cap, v ? "True" : "False");
    else if (d->kind == 'u')
        snprintf(buf, cap, "%llu", (unsigned long long)v);
    else if (d->kind == 'i')
        snprintf(buf, cap, "%lld", (long long)s);
    else
        when_text(py, d->kind, d->c_metadata ? d->c_metadata + 4 * py->img->word : 0, s, buf, cap);
    return true;
}

/* ---- scalars ---- */
/* The name of the C type says what is behind the head: "float64" has the size in it, a few have not. */
static bool scalar_name(const struct hr_py *py, const char *name, struct hr_py_descr *d)
{
    static const struct { const char *name; char kind, size; } sized[] = {
        {"bool", 'b', 1}, {"bool_", 'b', 1}, {"byte", 'i', 1}, {"ubyte", 'u', 1}, {"short", 'i', 2}, {"ushort", 'u', 2}, {"intc", 'i', 4},
        {"uintc", 'u', 4}, {"int_", 'i', 0}, {"uint", 'u', 0}, {"long", 'i', 0}, {"ulong", 'u', 0}, {"longlong", 'i', 8}, {"ulonglong", 'u', 8},
        {"longdouble", 'f', 16}, {"clongdouble", 'c', 32},
    };
    static const struct { const char *stem; char kind; } stems[] = {
        {"int", 'i'}, {"uint", 'u'}, {"float", 'f'}, {"complex", 'c'}, {"datetime", 'M'}, {"timedelta", 'm'},
    };
    for (size_t i = 0; i < sizeof sized / sizeof *sized; i++)
        if (!strcmp(name, sized[i].name)) {
            d->kind = sized[i].kind;
            d->itemsize = sized[i].size ? (uint64_t)sized[i].size : py->img->word;
            return true;
        }
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        size_t n = strlen(stems[i].stem);
        char *end;
        unsigned long bits = strncmp(name, stems[i].stem, n) ? 0 : strtoul(name + n, &end, 10);
        if (bits && !*end && bits % 8 == 0 && bits <= 256) {
            d->kind = stems[i].kind;
            d->itemsize = bits / 8;
            return true;
        }
    }
    return false;
}

bool hr_py_scalar(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_descr *d, uint64_t *at)
{
    enum { MAX_BASES = 16 };
    uint64_t type = t->addr, head = (uint64_t)py->c->at[HR_PYS_OBJECT];
    *d = (struct hr_py_descr){.order = py->img->big ? '>' : '<'};
    for (int i = 0; i < MAX_BASES && type; i++) {
        char name[64];
        if (!(hr_py_word(py->c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE) &&
            hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name) && !strncmp(name, "numpy.", 6) &&
            scalar_name(py, name + 6, d)) {
            uint64_t align = hr_min(d->kind == 'c' ? d->itemsize / 2 : d->itemsize, 16);
            *at = addr + ((head + align - 1) & ~(align - 1));
            return true;
        }
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return false;
}
