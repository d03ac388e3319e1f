/* The builder: how allocators put blocks into the heap.
 *
 * Step 1 (open): every allocator declares its arenas and its regions. Step 2 (hr_builder_run): regions are visited in
 * address order, each by its allocator's walk function, which emits its blocks in ascending address order. A region inside
 * another allocator's block is nested: when the outer walk emits the block around it, the block becomes HR_HOST and the
 * inner walk runs there. So all columns are appended once, in global address order, without a sort. */
#ifndef HR_HEAP_BUILDER_H
#define HR_HEAP_BUILDER_H

#include "analyzer/heap/heap.h"

struct hr_builder;

/* Emits region `cookie`'s blocks with hr_emit(). HR_CORRUPT is noted by the walker itself, who resynchronises and goes on;
 * any status but HR_OK ends this region only. */
typedef enum hr_status hr_walk_fn(void *self, uint64_t cookie, struct hr_builder *b);

enum hr_status hr_builder_create(const struct hr_image *img, struct hr_builder **ret) HR_MUST;
void hr_builder_destroy(struct hr_builder *b);
/* granule_shift: log2 of the alignment of this allocator's block addresses (4 for 64-bit glibc). */
enum hr_status hr_builder_allocator(struct hr_builder *b, const struct hr_allocator_info *info, uint8_t granule_shift,
                                    uint16_t *ret) HR_MUST;
enum hr_status hr_builder_arena(struct hr_builder *b, const struct hr_arena *a, uint32_t *ret) HR_MUST;
/* The arena's row, to fill in statistics; valid until the next hr_builder_arena(). */
struct hr_arena *hr_builder_arena_at(struct hr_builder *b, uint32_t arena);
/* Regions of different allocators may nest (HR_MAX_NEST deep), never cross: hr_builder_run() drops a crossing one, and one
 * inside a block that is not in use, with a note. HR_CORRUPT: size 0 or wrapping. Declare an arena before its regions. */
enum hr_status hr_builder_region(struct hr_builder *b, uint64_t addr, uint64_t size, uint32_t arena, hr_walk_fn *walk,
                                 void *self, uint64_t cookie) HR_MUST;
/* Bookkeeping of the allocator outside all regions (glibc's main_arena and mp_): kept in heap->own, sorted by address, so that
 * nobody takes its list pointers for roots. */
enum hr_status hr_builder_own(struct hr_builder *b, uint64_t addr, uint64_t size) HR_MUST;
/* One block: addr must be granule-aligned, not below the end of the last one in this region, within the region (else
 * dropped, noted). Counts into the arena's used/cached/free/own sums; overhead is what is left of `mapped`. */
enum hr_status hr_emit(struct hr_builder *b, uint64_t addr, uint64_t size, enum hr_state state) HR_MUST;
/* For walks: a stretch of the region that cannot be read as blocks, for damage or because the image lacks it. The arena does not count
 * it, and what it points at is not lost. */
enum hr_status hr_emit_unknown(struct hr_builder *b, uint64_t addr, uint64_t size) HR_MUST;
/* The same for memory in no region: the heap goes on there, but the image does not. */
enum hr_status hr_builder_unknown(struct hr_builder *b, uint64_t addr, uint64_t size) HR_MUST;
/* Runs all walks, builds the address index; the builder gives up its content. */
enum hr_status hr_builder_run(struct hr_builder *b, struct hr_heap **ret) HR_MUST;

/* Changes a block's state and the sums of its arena. Only for allocators and runtimes that know better than the walk. */
void hr_heap_relabel(struct hr_heap *h, hr_id id, enum hr_state state);

/* What an allocator gets. */
struct hr_allocator_in {
    struct hr_image *image;
    struct hr_types *types;    /* symbols on demand; DWARF of a module only if the allocator asks for it */
    struct hr_builder *builder;
    struct hr_notes *notes;
};
struct hr_allocator {
    const char *name;
    /* Looks for itself; HR_ABSENT when the image has none of it. Otherwise declares allocator, arenas and regions.
     * *self_ret is handed to `close` after the run. */
    enum hr_status (*open)(struct hr_allocator_in *in, void **self_ret);
    void (*close)(void *self);
    /* Optional: over the finished heap, before close. What only its lists know is said here with hr_heap_relabel(). */
    enum hr_status (*finish)(void *self, struct hr_heap *h);
};

#endif
