/* How far a stack was never written: the word it was filled with goes on from its far end. */
#include "analyzer/runtimes/rtos/rtos.h"

enum {
    LEAST = 16,             /* bytes of a word that no kernel fills with: fewer may be a variable */
    SENTINEL = 0xf0f0f0f0,  /* Zephyr's CONFIG_STACK_SENTINEL, in the lowest word of a stack */
};

/* What kernels fill stacks with: FreeRTOS, Zephyr, ThreadX; and what is common in start-up code. */
static const uint32_t fills[] = {0xa5a5a5a5, 0xaaaaaaaa, 0xefefefef, 0xcdcdcdcd, 0xdeadbeef, 0xcccccccc, 0x55555555, 0xc5c5c5c5, 0x5a5a5a5a};

static bool word_at(const struct hr_image *img, uint64_t at, uint64_t hi, uint32_t *ret)
{
    uint64_t v;
    if (at > hi || hi - at < 4 || !hr_image_uint(img, at, 4, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* How far one 32-bit word goes on from `at`. */
static uint64_t run_of(const struct hr_image *img, uint64_t at, uint64_t hi, uint32_t word)
{
    uint64_t from = at;
    uint32_t v;
    while (word_at(img, at, hi, &v) && v == word) {
        struct hr_span s = hr_image_peek(img, at, hi - at);
        size_t n = 4; /* at a seam at least the word that was read across it */
        while (n + 4 <= s.n && hr_load32(s.p + n, img->big) == word)
            n += 4;
        at += n;
    }
    return at - from;
}

uint64_t hr_rtos_fill(const struct hr_image *img, uint64_t lo, uint64_t hi, uint64_t *word_ret, bool *known_ret)
{
    uint32_t first = 0;
    uint64_t base = (lo + 3) & ~3ull;
    *word_ret = 0;
    *known_ret = false;
    if (base < lo || !word_at(img, base, hi, &first))
        return HR_NONE64;
    if (first == SENTINEL && word_at(img, base + 4, hi, &first))
        base += 4; /* not counted: Zephyr's own count of what is left does not, either */
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++)
        *known_ret |= first == fills[i];
    uint64_t n = run_of(img, base, hi, first);
    if (n < (*known_ret ? 4 : LEAST))
        return HR_NONE64;
    *word_ret = first;
    return n;
}
