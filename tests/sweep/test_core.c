/* Small reference cores in four layouts, by the kernel and by gcore: every length, and two bytes changed at every offset to eight
 * values. Nothing may crash, hang or break a promise; built with ASan and UBSan by `make sweep`. */
#include <time.h>

#include "tests/fuzz/load_core.h"
#include "tests/make/mk.h"
#include "tests/tap.h"

static double slowest;

/* An exact-size copy, so that the first byte read too far is seen. */
static void once(const uint8_t *p, size_t n)
{
    struct timespec a, b;
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    volatile uint64_t keep = load_core(copy, n);
    (void)keep;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    slowest = s > slowest ? s : slowest;
    free(copy);
}

static void lengths(const struct mk *m, const char *what)
{
    slowest = 0;
    for (size_t n = 0; n <= m->n; n++)
        once(m->p, n);
    OK(slowest < 1, "%s: %zu lengths, slowest %.1f ms", what, m->n + 1, slowest * 1e3);
}

static void corruption(struct mk *m, const char *what)
{
    static const unsigned values[] = {0x0000, 0xffff, 0x7fff, 0x8000, 0x0001, 0x0100, 0x00ff, 0x4141};
    unsigned long tried = 0;
    slowest = 0;
    for (size_t at = 0; at + 2 <= m->n; at++) {
        uint8_t a = m->p[at], b = m->p[at + 1];
        for (unsigned v = 0; v < 8; v++) {
            m->p[at] = (uint8_t)(values[v] >> 8);
            m->p[at + 1] = (uint8_t)values[v];
            if (m->p[at] == a && m->p[at + 1] == b)
                continue;
            once(m->p, m->n);
            tried++;
        }
        m->p[at] = a;
        m->p[at + 1] = b;
    }
    OK(tried > 4 * m->n && slowest < 1, "%s: two bytes changed, %lu ways, slowest %.1f ms", what, tried, slowest * 1e3);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned k = 0; k < 12; k++) {
        struct mk_process p = {.word = k & 1 ? 8 : 4, .big = k & 2, .gcore = k & 4, .unlisted = k & 8, .circle = true};
        struct mk m = mk_process(&p);
        char what[80];
        snprintf(what, sizeof what, "%u-bit %s endian %score%s", p.word * 8, p.big ? "big" : "little", p.gcore ? "g" : "", p.unlisted ? " without NT_FILE" : "");
        lengths(&m, what);
        corruption(&m, what);
        mk_free(&m);
    }
    return tap_done();
}
