/* Fragmentation with its cause: the free runs of every arena and the live blocks that pin them.
 * Heap room. A run is a maximal sequence of neighbouring blocks of one region none of which is in use (free and cached ones
 * together, headers between them included). The pin of a run is the live block right behind it: were it freed, the run would
 * merge with what follows. The run at the end of a region that its allocator can give back (top) is no run but `top`. */
#ifndef HR_HEAP_FRAG_H
#define HR_HEAP_FRAG_H

#include "analyzer/heap/heap.h"

struct hr_run {
    uint64_t addr, size;   /* from the first block's start to the pin's start (or the region's end) */
    uint32_t arena;
    uint32_t blocks;
    hr_id before, after;   /* live neighbours, HR_NONE at the region's edges */
    bool top;              /* ends its region: what the allocator could trim; or lies between two parts that grow */
};
HR_VEC(hr_runvec, struct hr_run)

struct hr_pin {            /* live blocks of one type that pin runs of one arena */
    uint32_t arena;
    hr_type type;
    uint64_t size;         /* usable size when type is 0: untyped blocks are grouped by it */
    uint64_t count, bytes; /* pins, and bytes of the runs they pin */
    hr_id example;         /* the one behind the largest run */
};
HR_VEC(hr_pinvec, struct hr_pin)

struct hr_frag_arena {
    uint64_t free_runs;    /* top excluded */
    uint64_t run_bytes;
    uint64_t largest_run;
    uint64_t top_bytes;    /* run at the end */
    uint64_t gap_bytes;    /* run in front of hr_arena.middle, likewise no hole */
    uint64_t releasable;   /* whole pages of top that trimming would give back now; 0 for an allocator that does not trim */
    uint64_t whole_pages;  /* whole free pages inside runs (madvise could give back), likewise */
    hr_id top_pin;         /* the live block right below top (or the region's end), HR_NONE */
    uint64_t below_pin;    /* free bytes below it that it keeps from being trimmed */
    uint32_t pin0, npins;  /* into hr_frag.pins, by bytes */
};
HR_VEC(hr_fragarenavec, struct hr_frag_arena)

struct hr_size_class {
    uint32_t arena;
    uint64_t size;
    uint64_t used, cached, free; /* blocks */
};
HR_VEC(hr_classvec, struct hr_size_class)

struct hr_frag {
    struct hr_runvec runs;       /* by size, largest first; at most HR_MAX_RUNS are kept, the sums cover all */
    struct hr_pinvec pins;
    struct hr_fragarenavec arenas;
    struct hr_classvec classes;  /* by arena, size; all arenas together have arena HR_NONE */
};
/* heap->type is used when it is there. page: bytes of a page (4096 when unknown). */
enum hr_status hr_frag_create(const struct hr_heap *h, uint64_t page, struct hr_frag **ret) HR_MUST;
void hr_frag_destroy(struct hr_frag *f);

#endif
