/* A few lines of TAP for unit tests: OK(cond, "what %s", x) … int main ends with `return tap_done();`. */
#ifndef HR_TESTS_TAP_H
#define HR_TESTS_TAP_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_n, tap_bad;

#define OK(cond, ...)                                                                                                  \
    do {                                                                                                               \
        int tap_ok_ = !!(cond);                                                                                        \
        tap_n++;                                                                                                       \
        tap_bad += !tap_ok_;                                                                                           \
        printf("%sok %d - ", tap_ok_ ? "" : "not ", tap_n);                                                            \
        printf(__VA_ARGS__);                                                                                           \
        printf("\n");                                                                                                  \
        if (!tap_ok_)                                                                                                  \
            printf("#   failed at %s:%d: %s\n", __FILE__, __LINE__, #cond);                                            \
    } while (0)

#define EQ(got, want, ...)                                                                                             \
    do {                                                                                                               \
        uint64_t tap_g_ = (uint64_t)(got), tap_w_ = (uint64_t)(want);                                                  \
        OK(tap_g_ == tap_w_, __VA_ARGS__);                                                                             \
        if (tap_g_ != tap_w_)                                                                                          \
            printf("#   got %" PRIu64 " (0x%" PRIx64 "), wanted %" PRIu64 " (0x%" PRIx64 ")\n", tap_g_, tap_g_,        \
                   tap_w_, tap_w_);                                                                                    \
    } while (0)

#define SKIP(why)                                                                                                      \
    do {                                                                                                               \
        tap_n++;                                                                                                       \
        printf("ok %d # SKIP %s\n", tap_n, why);                                                                       \
    } while (0)

__attribute__((unused)) static int tap_done(void)
{
    printf("1..%d\n", tap_n);
    return tap_bad != 0;
}

#endif
