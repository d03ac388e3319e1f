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

#endif
