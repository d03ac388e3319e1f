/* What the sweeps over written heaps share: bytes changed one by one, each reading of the result timed. */
#ifndef HR_SWEEP_BYTES_H
#define HR_SWEEP_BYTES_H

#include <time.h>

#include "tests/make/mk.h"

struct tally { uint64_t reads, failed; double slowest; };
typedef bool read_fn(const void *world); /* false: not answered as it has to be */

static inline void read_once(read_fn *read, const void *world, struct tally *t)
{
    clock_t t0 = clock();
    t->failed += !read(world);
    double s = (double)(clock() - t0) / CLOCKS_PER_SEC;
    t->slowest = s > t->slowest ? s : t->slowest;
    t->reads++;
}

/* Every step-th byte of `part`, which belongs to the world, takes a few values in turn. */
static inline void sweep(read_fn *read, const void *world, struct mk *part, size_t step, struct tally *t)
{
    static const uint8_t values[] = {0x00, 0xff, 0x41, 0x01 /* stands for the lowest bit turned */};
    for (size_t at = 0; at < part->n; at += step)
        for (size_t i = 0; i < sizeof values; i++) {
            uint8_t was = part->p[at];
            part->p[at] = i + 1 < sizeof values ? values[i] : was ^ 1;
            if (part->p[at] != was)
                read_once(read, world, t);
            part->p[at] = was;
        }
}

#endif
