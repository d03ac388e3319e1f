/* String pool: interned, NUL-terminated, never moves, ids are u32 and 0 is the empty string.
 * Everything in it may come from a hostile input: print through esc.h only. */
#ifndef HR_BASE_STRS_H
#define HR_BASE_STRS_H

#include "analyzer/base/map.h"
#include "analyzer/base/vec.h"

typedef uint32_t hr_str;

struct hr_strs;
enum hr_status hr_strs_create(struct hr_strs **ret) HR_MUST;
void hr_strs_destroy(struct hr_strs *s);
/* Interns n bytes (cut at the first NUL and at HR_MAX_STRING). */
enum hr_status hr_strs_add(struct hr_strs *s, const char *p, size_t n, hr_str *ret) HR_MUST;
enum hr_status hr_strs_addz(struct hr_strs *s, const char *z, hr_str *ret) HR_MUST;
enum hr_status hr_strs_addf(struct hr_strs *s, hr_str *ret, const char *fmt, ...) HR_PRINTF(3, 4) HR_MUST;
/* The id when already interned, else HR_NONE. */
hr_str hr_strs_find(const struct hr_strs *s, const char *z);
/* The text; "" for 0 and for any id never given out. Owned by the pool. */
const char *hr_strs_get(const struct hr_strs *s, hr_str id);
uint32_t hr_strs_count(const struct hr_strs *s);

#endif
