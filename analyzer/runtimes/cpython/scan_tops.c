/* How far the value stack of a running frame reaches. The interpreter keeps that in a variable of its own, which is in a register or on
 * the C stack while it has called something; what lies above is left from earlier statements. */
#include <stdlib.h>

#include "analyzer/runtimes/cpython/scan.h"

enum {
    MAX_WORDS = 1 << 22, /* 32 MiB of C stack: four times the usual limit of a main thread */
    ABOVE = 3            /* values that an instruction takes off before it calls: BINARY_SUBSCR two, STORE_SUBSCR three */
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static enum hr_status keep(struct hr_py_scan *s, const struct hr_thread *t, uint64_t v)
{
    if (v < 65536 || v & (s->py->img->word - 1u) || (v >= t->sp && v < t->stack_hi))
        return HR_OK;
    return hr_u64vec_push(&s->tops, v);
}

/* What a native thread's registers and stack hold, sorted. */
enum hr_status hr_py_scan_tops(struct hr_py_scan *s, uint32_t native)
{
    const struct hr_image *img = s->py->img;
    s->tops.n = 0;
    s->tops.max = MAX_WORDS;
    if (native >= img->threads.n)
        return HR_OK;
    const struct hr_thread *t = &img->threads.v[native];
    enum hr_status st = HR_OK;
    for (unsigned k = 0; k < HR_MAX_REGS && st == HR_OK; k++)
        if (t->reg_valid >> k & 1)
            st = keep(s, t, t->reg[k]);
    uint64_t at = t->sp & ~(uint64_t)(img->word - 1u);
    while (at < t->stack_hi && st == HR_OK) {
        struct hr_span b = hr_image_peek(img, at, t->stack_hi - at);
        for (size_t i = 0; i + img->word <= b.n && st == HR_OK; i += img->word)
            st = keep(s, t, hr_word_load(b.p + i, img->word, img->big));
        if (b.n < img->word)
            break;
        at += b.n & ~(uint64_t)(img->word - 1u);
    }
    if (s->tops.n)
        qsort(s->tops.v, s->tops.n, sizeof *s->tops.v, by_value);
    if (st == HR_LIMIT)
        s->tops.n = 0; /* then nothing is known of how far stacks reach */
    return st == HR_LIMIT ? HR_OK : st;
}

/* End of what may be in use of a value stack [from, end). `calling`: arguments that the instruction at hand may pass. */
uint64_t hr_py_scan_top(const struct hr_py_scan *s, uint64_t from, uint64_t end, uint64_t calling)
{
    size_t lo = 0, hi = s->tops.n;
    while (lo < hi) { /* the first above end */
        size_t mid = lo + (hi - lo) / 2;
        if (s->tops.v[mid] <= end)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo || s->tops.v[lo - 1] < from)
        return end;
    return hr_min(end, s->tops.v[lo - 1] + (ABOVE + calling) * s->py->img->word);
}
