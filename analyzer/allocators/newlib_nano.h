/* newlib-nano's and picolibc's malloc: what newlib_nano.c gets from newlib_shape.c, which looks where there are no symbols. */
#ifndef HR_ALLOCATORS_NEWLIB_NANO_H
#define HR_ALLOCATORS_NEWLIB_NANO_H

#include "analyzer/allocators/embedded.h"

struct hr_nano_shape {
    uint64_t start_at, head_at, end_at; /* addresses of the words; end_at 0: no word holds the break */
    uint64_t top_at;                    /* picolibc: its own copy of the break, else 0 */
    uint64_t start, head, end;          /* what they hold; end: else the last bound */
    uint64_t link;                      /* what list pointers are beyond a chunk's start */
    bool pico, flagged;
    uint32_t chunks, free;              /* how much hangs together */
    uint32_t others;                    /* pairs of words that would do, too */
};
/* False: there is none. */
bool hr_nano_by_shape(const struct hr_image *img, struct hr_nano_shape *ret);

#endif
