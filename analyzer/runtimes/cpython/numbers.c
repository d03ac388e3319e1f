/* Numbers as Python prints them: ints of any length we allow, floats with the fewest digits that read back the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/values.h"

enum { MAX_DIGITS = 140, CHUNK = 1000000000 }; /* 30-bit digits of a little over 4096 bits */

void hr_py_int_text(const struct hr_py *py, uint64_t addr, char *buf, size_t cap)
{
    uint64_t n, digit;
    uint32_t v[MAX_DIGITS], dec[MAX_DIGITS * 30 / 29 + 2];
    int sign = hr_py_int_digits(py, addr, &n);
    if (n > MAX_DIGITS) {
        snprintf(buf, cap, "%s~2**%llu", sign < 0 ? "-" : "", (unsigned long long)(n * 30));
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!hr_image_uint(py->img, addr + (uint64_t)py->c->at[HR_PY_LONG_DIGITS] + 4 * i, 4, &digit)) {
            snprintf(buf, cap, "?");
            return;
        }
        v[i] = digit & 0x3fffffff;
    }
    size_t k = 0;
    do { /* a division by 10^9 takes nine digits off at the end */
        uint64_t rest = 0;
        for (uint64_t i = n; i-- > 0;) {
            rest = rest << 30 | v[i];
            v[i] = (uint32_t)(rest / CHUNK);
            rest %= CHUNK;
        }
        while (n && !v[n - 1])
            n--;
        dec[k++] = (uint32_t)rest;
    } while (n && k < sizeof dec / sizeof *dec);
    size_t at = (size_t)snprintf(buf, cap, "%s%u", sign < 0 ? "-" : "", dec[--k]);
    while (k-- && at + 10 < cap)
        at += (size_t)snprintf(buf + at, cap - at, "%09u", dec[k]);
}

/* The shortest decimal digits that read back as d (finite, positive), and the exponent of the first. */
static void shortest(double d, char digits[20], int *exp10_ret)
{
    char text[40];
    for (int p = 0; p < 17; p++) {
        snprintf(text, sizeof text, "%.*e", p, d);
        char *e = strchr(text, 'e');
        for (int turn = 0; turn < 2; turn++) {
            if (p == 16 || strtod(text, NULL) == d) {
                size_t k = 0;
                for (char *c = text; c < e; c++)
                    if (*c != '.')
                        digits[k++] = *c;
                while (k > 1 && digits[k - 1] == '0')
                    k--;
                digits[k] = 0;
                *exp10_ret = atoi(e + 1);
                return;
            }
            /* at a power of two the gap below is half the gap above: the nearest of p digits may lie too far down */
            if (e[-1] < '0' || e[-1] >= '9')
                break;
            e[-1]++;
        }
    }
}

void hr_py_double_text(double d, bool dot_0, char *buf, size_t cap)
{
    char digits[20] = "0", *sign = signbit(d) ? "-" : "";
    int e = 0;
    if (isnan(d) || isinf(d)) {
        snprintf(buf, cap, "%s", isnan(d) ? "nan" : signbit(d) ? "-inf" : "inf");
        return;
    }
    if (d != 0)
        shortest(fabs(d), digits, &e);
    int n = (int)strlen(digits);
    if (e < -4 || e >= 16)
        snprintf(buf, cap, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1, e < 0 ? '-' : '+', abs(e));
    else if (e < 0)
        snprintf(buf, cap, "%s0.%.*s%s", sign, -e - 1, "0000", digits);
    else if (n <= e + 1)
        snprintf(buf, cap, "%s%s%.*s%s", sign, digits, e + 1 - n, "0000000000000000", dot_0 ? ".0" : "");
    else
        snprintf(buf, cap, "%s%.*s.%s", sign, e + 1, digits, digits + e + 1);
}
