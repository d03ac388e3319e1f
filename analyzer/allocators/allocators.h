/* The allocators' registry. To add one: analyzer/allocators/NAME.c with `const struct hr_allocator hr_allocator_NAME`,
 * and HR_ALLOCATOR(NAME) in allocators.def (order = who looks first; nested allocators after their hosts). */
#ifndef HR_ALLOCATORS_ALLOCATORS_H
#define HR_ALLOCATORS_ALLOCATORS_H

#include "analyzer/heap/builder.h"

#define HR_ALLOCATOR(name_) extern const struct hr_allocator hr_allocator_##name_;
#include "analyzer/allocators/allocators.def"
#undef HR_ALLOCATOR

/* Opens every registered allocator on the image and builds the heap. An image without any gives an empty heap (n = 0) and
 * a note. */
enum hr_status hr_heap_build(struct hr_image *img, struct hr_types *types, struct hr_heap **ret) HR_MUST;

/* What mallinfo2() would say of one arena (glibc), from the blocks:
 *   arena     system_bytes                       ordblks   free chunks in bins, and top
 *   smblks    chunks in fastbins                 fsmblks   their bytes, headers included
 *   fordblks  free chunks, top, fastbins; with headers
 *   uordblks  arena - fordblks: so used, own (tcache structs), chunks cached in tcaches, their headers, the arena's own
 *             headers, fenceposts and foreign sbrk areas
 *   keepcost  top with its header                hblks, hblkhd   of the "mmapped" row: chunks, and bytes of their mappings
 * mallinfo2() itself adds up all arenas. malloc_info()'s "rest" sizes add each binned chunk's flag bits on top;
 * before 2.31 it left top out. */
struct hr_mallinfo {
    uint64_t arena, ordblks, smblks, hblks, hblkhd, fsmblks, uordblks, fordblks, keepcost;
};
void hr_glibc_mallinfo(const struct hr_heap *h, uint32_t arena, struct hr_mallinfo *ret);

#endif
