/* Where MicroPython's heap lies in an image: what the allocator and the runtime share.
 *
 * Allocators room. An area is a table of two bits per block, perhaps a bit table of finalisers, and a pool of equal blocks.
 * Consecutive words of its description satisfy `pool_end - pool_start == table length * 4 * block size`, which is what finds
 * them without any symbol. CircuitPython 10 has one more bit table, of the allocations that are scanned for references; 4 to 8 place
 * what lives long at the pool's end, and say behind `pool_end` where that begins. Layout: py/gc.c and py/mpstate.h, read from
 * 1.9.2 to 1.28 and of CircuitPython 4 to 10. */
#ifndef HR_ALLOCATORS_MPY_H
#define HR_ALLOCATORS_MPY_H

#include "analyzer/image/image.h"

enum { HR_MPY_MAX_AREAS = 64 }; /* a split heap has one per memory bank, or grows by doubling */
enum hr_mpy_kind { HR_MPY_FREE, HR_MPY_HEAD, HR_MPY_TAIL, HR_MPY_MARK, HR_MPY_UNKNOWN /* its table byte was not captured */ };

struct hr_mpy_area {
    uint64_t at;               /* of the description: the word that holds the table's address */
    uint64_t table, table_len; /* allocation table, bytes */
    uint64_t finalisers;       /* bit table, 0 none */
    uint64_t scanned;          /* bit table: a clear bit's allocation is not scanned (CircuitPython 10), 0 none */
    uint64_t long_lived;       /* from here to `end` lies what lives long (CircuitPython 4 to 8), 0: no such part */
    uint64_t weakrefs;         /* bit table of the objects that have weak references (1.29), 0 none */
    uint64_t pool, end;
    uint32_t block;            /* bytes of a block */
    uint64_t mended;           /* address of the one word of the description that the others prove wrong, 0 none */
    bool gap;                  /* a byte between the tables: 1.20 and later */
};

struct hr_mpy {
    const struct hr_image *image;
    struct hr_mpy_area area[HR_MPY_MAX_AREAS]; /* by address of the pool */
    uint32_t n;
};

/* HR_ABSENT: no area in this image. Where only big segments could hold one, or a damaged description, a thorough search is needed:
 * it reads every writable word. */
enum hr_status hr_mpy_find(const struct hr_image *img, bool thorough, struct hr_mpy *ret) HR_MUST;
static inline uint64_t hr_mpy_blocks(const struct hr_mpy_area *a) { return a->table_len * 4; }
enum hr_mpy_kind hr_mpy_kind(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t block);
/* Does the collector look for references in the allocation that begins at this block? */
bool hr_mpy_is_scanned(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t block);
/* The area whose pool holds addr, or NULL. */
const struct hr_mpy_area *hr_mpy_area_at(const struct hr_mpy *m, uint64_t addr);
/* Blocks of the allocation that begins at block b: its HEAD and the TAILs behind. */
uint64_t hr_mpy_extent(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t b);

#endif
