/* How far the value stack of a running frame reaches. The interpreter keeps that in a variable of its own, which is in a register or on
 * the C stack while it has called something; what lies above is left from earlier statements. */
#include <stdlib.h>

#include "analyzer/runtimes/cpython/scan.h"

enum {
    MAX_WORDS = 1 << 22, /* 32 MiB of C stack: four times the usual limit of a main thread */
    ABOVE = 3            /* values that an instruction takes off before it calls: BINARY_SUBSCR two, STORE_SUBSCR three */
};

/* The instructions that call, with their argument as the number of values passed: opmap of each version's opcode module, specialised
 * forms included (_all_opmap of dis in 3.11 and 3.12, _specialized_opmap in 3.13). */
static const struct { uint16_t minor; uint8_t first, last; } calls[] = {
    {0x0207, 131, 131}, {0x0306, 131, 131}, {0x0307, 131, 131}, {0x0307, 161, 161}, {0x0308, 131, 131}, {0x0308, 161, 161},
    {0x0309, 131, 131}, {0x0309, 161, 161}, {0x030a, 131, 131}, {0x030a, 161, 161}, {0x030b, 22, 24}, {0x030b, 64, 67},
    {0x030b, 72, 73}, {0x030b, 76, 81}, {0x030b, 113, 113}, {0x030b, 121, 121}, {0x030b, 127, 127}, {0x030b, 141, 141},
    {0x030b, 143, 143}, {0x030b, 166, 166}, {0x030b, 171, 171}, {0x030c, 23, 24}, {0x030c, 28, 29}, {0x030c, 34, 34},
    {0x030c, 38, 48}, {0x030c, 56, 56}, {0x030c, 171, 171}, {0x030d, 53, 53}, {0x030d, 57, 57}, {0x030d, 162, 181},
};

/* How many values may be in use above what the interpreter remembers as the stack's top. Up to 3.10 a call leaves the top in memory;
 * later only where the arguments begin may be kept, and they may begin with a bound self. */
static uint64_t slack(const struct hr_py *py, uint64_t at)
{
    uint64_t op, argument;
    if (!at || !hr_image_uint(py->img, at, 1, &op) || !hr_image_uint(py->img, at + 1, 1, &argument))
        return 255;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].minor == py->minor && op >= calls[i].first && op <= calls[i].last)
            return py->minor < 0x030b ? 0 : argument + 1;
    return ABOVE;
}

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
    if (native >= img->threads.n || native >= s->threads.nbits || !hr_bits_claim(&s->threads, native))
        return HR_OK; /* two Python threads on one stack are damage */
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

uint64_t hr_py_scan_top(const struct hr_py_scan *s, uint64_t from, uint64_t end, uint64_t instruction, bool running)
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
        return running ? end : from;
    return hr_min(end, s->tops.v[lo - 1] + slack(s->py, instruction) * s->py->img->word);
}
