/* What other rooms may ask the native runtime beyond struct hr_runtime. `self` = hr_runtimes_self(r, "native"). */
#ifndef HR_RUNTIMES_NATIVE_API_H
#define HR_RUNTIMES_NATIVE_API_H

#include "analyzer/heap/heap.h"

struct hr_native;

/* After classify: the unknown group whose naming would explain the most. */
struct hr_reach_hint {
    hr_type group;             /* row of the unnamed group */
    hr_id example;             /* a block of it: --assume ADDR=TYPE names them all */
    uint64_t count, bytes;     /* the group's own */
    uint64_t reach_blocks, reach_bytes; /* unknown blocks reachable from it through unknown blocks, itself included */
};
enum hr_status hr_native_reach_hint(void *self, struct hr_reach_hint *ret) HR_MUST; /* HR_ABSENT: nothing is unknown */

#endif
