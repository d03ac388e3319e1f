/* What other rooms may ask the native runtime beyond struct hr_runtime. `self` = hr_runtimes_self(r, "native"). */
#ifndef HR_RUNTIMES_NATIVE_API_H
#define HR_RUNTIMES_NATIVE_API_H

#include "analyzer/heap/heap.h"

struct hr_native;

/* Unnamed groups: untyped used blocks of one size (and one first word, where that points into a module), biggest first. They
 * have no type; a user may give them one by --assume. */
struct hr_group {
    char name[64];             /* "untyped#7 (48 bytes, 3 pointers)": stable for one image */
    hr_id example;             /* a block of it: --assume ADDR=TYPE */
    uint64_t first_word;       /* 0: not part of the group's mark */
    uint64_t count, bytes;
    uint64_t reach_blocks, reach_bytes; /* untyped blocks reachable from it through untyped blocks, itself included; 0: not
                                         * computed (small groups) */
};
/* After classify; *ret is owned by the runtime. */
size_t hr_native_groups(void *self, const struct hr_group **ret);
/* Index of the group a block is in, or HR_NONE. */
uint32_t hr_native_group_of(void *self, hr_id id);
/* The unnamed group whose naming would explain the most. HR_ABSENT: nothing is unknown. */
enum hr_status hr_native_reach_hint(void *self, const struct hr_group **ret) HR_MUST;

#endif
