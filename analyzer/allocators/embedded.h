/* What the heaps of microcontrollers have in common: statics found by symbol, one arena, one or few regions. Private to
 * the allocators named in the .c files that include it. */
#ifndef HR_ALLOCATORS_EMBEDDED_H
#define HR_ALLOCATORS_EMBEDDED_H

#include "analyzer/allocators/allocators.h"
#include "analyzer/base/fuel.h"

enum {
    HR_EMB_SEARCH = 64 << 20,     /* bytes looked through for the next sound block, in all of one heap's damage together: a second or so */
    HR_EMB_MAX_CHUNKS = 16 << 20, /* of one heap: 16-byte chunks of 256 MiB, far beyond any such machine */
};

/* Address of a data symbol, 0 when there is none; *size_ret (may be NULL) its size. */
uint64_t hr_emb_symbol(struct hr_allocator_in *in, const char *name, uint64_t *size_ret);
/* The word that a data symbol holds; false when there is no symbol or no memory. */
bool hr_emb_word(struct hr_allocator_in *in, const char *name, uint64_t *ret);
/* Makes the named variables (NULL-terminated list) the allocator's own. */
enum hr_status hr_emb_own(struct hr_allocator_in *in, const char *const *names) HR_MUST;
/* The program's own word that holds one of the (ascending) addresses, the highest that any does: where its sbrk() stands.
 * NULL: none. `skip`: names that are the allocator's. */
const struct hr_sym *hr_emb_break(struct hr_allocator_in *in, const struct hr_u64vec *bounds, const char *const *skip, uint64_t *ret);
/* Declares allocator, arena and (size > 0) its region in one go. */
enum hr_status hr_emb_declare(struct hr_allocator_in *in, const char *name, const char *version, const char *evidence,
                              uint8_t shift, uint64_t header, uint32_t *arena_ret) HR_MUST;
/* Is x in the ascending vector? */
bool hr_emb_has(const struct hr_u64vec *v, uint64_t x);

/* Is there nothing of `at` in the image? Then that is said: of the heap `name` it is not known what is there. */
bool hr_emb_missing(const struct hr_image *img, struct hr_notes *notes, const char *name, uint64_t at);
/* The first of the ascending vector above x, or `end`. */
uint64_t hr_emb_above(const struct hr_u64vec *v, uint64_t x, uint64_t end);

/* Shows every place of a bare machine's writable memory that is aligned to `step` and has `need` bytes behind it: n of them at p.
 * The function returns how many bytes are its own (the search goes on behind them), 0 when there is nothing here. */
typedef uint64_t hr_emb_look_fn(void *ctx, uint64_t at, const uint8_t *p, size_t n);
void hr_emb_search(const struct hr_image *img, unsigned step, size_t need, hr_emb_look_fn *look, void *ctx);
/* Is the address in memory that the machine can write, with `size` bytes behind it in the image? */
bool hr_emb_ram(const struct hr_image *img, uint64_t at, uint64_t size);
/* Equal blocks, the free ones linked from `list` on through their first word. Sets a bit for each free one (`bits`: count / 8 + 1
 * bytes of zeros); false when the list leaves the blocks or comes back, *bad_ret then is the link. */
struct hr_emb_pool {
    uint64_t base, step, count, list;
};
bool hr_emb_pool_free(const struct hr_image *img, const struct hr_emb_pool *p, uint8_t *bits, uint64_t *n_ret, uint64_t *bad_ret);
static inline bool hr_emb_bit(const uint8_t *bits, uint64_t i) { return bits[i / 8] >> (i & 7) & 1; }
/* Do n bytes from `at` all hold v? False when any is absent; *bad_ret (may be NULL): the first that does not. */
bool hr_emb_filled(const struct hr_image *img, uint64_t at, uint64_t n, uint8_t v, uint64_t *bad_ret);
/* One arena of an allocator with several, named and without regions yet. */
enum hr_status hr_emb_arena(struct hr_allocator_in *in, uint16_t allocator, uint64_t header, const char *name, uint32_t *ret) HR_MUST;
/* The allocator alone, without arenas. */
enum hr_status hr_emb_allocator(struct hr_allocator_in *in, const char *name, const char *version, const char *evidence, uint8_t shift,
                                uint16_t *ret) HR_MUST;

#endif
