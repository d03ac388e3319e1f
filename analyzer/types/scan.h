/* Code read from end to end, without knowing where its functions begin: which variables does it name, which runs of words does it
 * go through? Types room; scan*.c.
 *
 * What registers hold is followed in a straight line, over branches, up to the next function's first push. That is right for how
 * compilers set such addresses up and wrong now and then: whoever asks has to hold the answers against memory. ARM (Thumb, A32) and
 * x86-64 by capstone, RISC-V (which capstone 4 does not know) and Xtensa's l32r by a few lines of our own. To add a processor: a
 * function of struct hr_scanner that handles one instruction, and its line in scan.c. */
#ifndef HR_TYPES_SCAN_H
#define HR_TYPES_SCAN_H

#include "analyzer/base/fuel.h"
#include "analyzer/image/image.h"

struct hr_scan {
    void (*ref)(void *ctx, uint64_t at, uint64_t addr);            /* the instruction at `at` names this address of writable memory */
    void (*run)(void *ctx, uint64_t at, uint64_t lo, uint64_t hi); /* code at `at` reads the words [lo, hi), or passes lo and their number on */
    void (*called)(void *ctx, uint64_t target);                    /* a function, by a direct call */
    void *ctx;
};

/* Reads [lo, hi). HR_UNSUPPORTED: not a processor that can be read; HR_LIMIT: out of fuel (a unit for each instruction). */
enum hr_status hr_scan_code(const struct hr_image *img, uint64_t lo, uint64_t hi, const struct hr_scan *to, struct hr_fuel *fuel) HR_MUST;

#endif
