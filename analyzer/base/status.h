/* Status of a fallible operation. Base room: calls nothing of ours, may be called by everybody.
 *
 * Three-way answers everywhere: HR_OK, HR_ABSENT (asked for something that is not there; no fault), and the faults.
 * Functions that can fail return one of these and set their *_ret outputs only on HR_OK. */
#ifndef HR_BASE_STATUS_H
#define HR_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hr_status {
    HR_OK = 0,
    HR_ABSENT,      /* not there; not a fault */
    HR_CORRUPT,     /* the input contradicts itself */
    HR_LIMIT,       /* a bound of limits.h or a budget was reached; what was done so far is valid */
    HR_UNSUPPORTED, /* understood, but not something we read */
    HR_IO,          /* the operating system refused */
    HR_NOMEM,
    HR_USAGE,       /* the caller's (user's) arguments do not fit */
};

#define HR_MUST __attribute__((warn_unused_result))
#define HR_PRINTF(fmt_, args_) __attribute__((format(printf, fmt_, args_)))
#define HR_NONE UINT32_MAX /* "no id" for every u32 id of the project */

/* Return `expr`'s status from the calling function unless it is HR_OK. */
#define HR_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        enum hr_status hr_try_ = (expr);                                                                               \
        if (hr_try_ != HR_OK)                                                                                          \
            return hr_try_;                                                                                            \
    } while (0)

/* A short lower-case English phrase for a status, never NULL. */
const char *hr_status_name(enum hr_status s);

static inline bool hr_add(uint64_t a, uint64_t b, uint64_t *ret) { return !__builtin_add_overflow(a, b, ret); }
static inline bool hr_mul(uint64_t a, uint64_t b, uint64_t *ret) { return !__builtin_mul_overflow(a, b, ret); }
/* a + b, stopping at UINT64_MAX. */
static inline uint64_t hr_sat_add(uint64_t a, uint64_t b)
{
    uint64_t r;
    return hr_add(a, b, &r) ? r : UINT64_MAX;
}
static inline uint64_t hr_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t hr_max(uint64_t a, uint64_t b) { return a > b ? a : b; }

#endif
