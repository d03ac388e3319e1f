/* Records of (address, bytes) in any order, put together into segments: what the text formats have in common. */
#ifndef HR_FORMATS_SPARSE_H
#define HR_FORMATS_SPARSE_H

#include "formats/image/format.h"

struct hr_sparse_run {
    uint64_t addr;
    uint64_t off, n;     /* place in data */
    uint32_t order;      /* records are numbered: of two on the same address the later one counts */
};
HR_VEC(hr_sparserunvec, struct hr_sparse_run)

struct hr_sparse {
    struct hr_sparserunvec runs;
    struct hr_u8vec data;
};
/* max: bytes of data that can be there at the most (the input's size is a bound for every text format). */
void hr_sparse_init(struct hr_sparse *s, size_t max);
void hr_sparse_deinit(struct hr_sparse *s);
/* Appends; a record that follows its predecessor in memory joins it. HR_LIMIT beyond max, HR_CORRUPT beyond 2^64. */
enum hr_status hr_sparse_add(struct hr_sparse *s, uint64_t addr, const uint8_t *p, size_t n) HR_MUST;
/* Adds the segments to the image, which takes the bytes over. */
enum hr_status hr_sparse_finish(struct hr_sparse *s, struct hr_image *img, const char *name) HR_MUST;

/* ---- lines of text formats ---- */
struct hr_lines {
    const uint8_t *p, *end;
    uint32_t number;     /* of the line last given, from 1 */
};
/* The next line without its end and without blanks around it; false at the end. */
bool hr_lines_next(struct hr_lines *l, struct hr_span *ret);
/* Two hex digits at p; -1 when they are none. */
int hr_hex_byte(const uint8_t *p);
/* All of a span's hex digits to bytes; number of bytes, or -1 (odd count, a non-digit, more than cap). */
long hr_hex_bytes(struct hr_span text, uint8_t *out, size_t cap);
/* Processor, word size and byte order of an image format that does not say: --arch; else for the time being 32-bit little-endian ARM, which
 * hr_guess_arch() looks into once all files are loaded. */
enum hr_status hr_raw_arch(struct hr_image *img, const struct hr_open_options *opt) HR_MUST;

#endif
