/* FreeRTOS' heaps: what freertos.c (symbols, walking) and freertos_shape.c (an image without symbols) share. */
#ifndef HR_ALLOCATORS_FREERTOS_H
#define HR_ALLOCATORS_FREERTOS_H

#include "analyzer/allocators/embedded.h"

enum { HR_FREERTOS_RUNS = 64 /* regions of heap_5: parts have three or four kinds of RAM */ };

struct hr_freertos {
    struct hr_allocator_in *in; /* during open only */
    const struct hr_image *img;
    struct hr_notes *notes;
    int kind;                   /* heap_N */
    uint64_t head;              /* bytes of a block's link */
    uint64_t used_bit, canary;
    struct hr_range run[HR_FREERTOS_RUNS];
    uint32_t nruns;
    uint32_t arena;
    struct hr_u64vec free;      /* blocks on the free list, ascending once read */
    uint64_t free_bytes, free_says;
    bool corrupt, broken;       /* broken: the free list does not come to its end */
    bool gap;                   /* not all of it was captured */
};

/* heap_2, 4 and 5 in an image without symbols: kind, canary, runs, free, free_says; the variables become the allocator's own. `how`
 * says by what it was found. HR_ABSENT: there is none. */
enum hr_status hr_freertos_by_shape(struct hr_freertos *a, char *how, size_t cap) HR_MUST;
/* Blocks on the free list from the link at `start` to `end` (or a null link), into a->free, ascending. */
enum hr_status hr_freertos_read_free(struct hr_freertos *a, uint64_t start, uint64_t end) HR_MUST;

#endif
