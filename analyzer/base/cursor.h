/* Bounded cursor over input bytes. Reading past the end sets `bad` and gives 0; check once at the end of a group. */
#ifndef HR_BASE_CURSOR_H
#define HR_BASE_CURSOR_H

#include <string.h>

#include "analyzer/base/status.h"

/* Bytes we may read, owned by somebody else (a mapped file, a buffer). */
struct hr_span {
    const uint8_t *p;
    size_t n;
};

struct hr_cursor {
    const uint8_t *p, *end, *start;
    bool big;      /* byte order of the input */
    uint8_t word;  /* bytes of an address: 4 or 8 */
    bool bad;
};

static inline struct hr_cursor hr_cursor(struct hr_span s, bool big, uint8_t word)
{
    return (struct hr_cursor){s.p, s.n ? s.p + s.n : s.p, s.p, big, word, false}; /* NULL + 0 is undefined, too */
}
static inline size_t hr_cur_left(const struct hr_cursor *c) { return (size_t)(c->end - c->p); }
static inline size_t hr_cur_off(const struct hr_cursor *c) { return (size_t)(c->p - c->start); }
/* n bytes as they lie, or an empty span and bad. */
struct hr_span hr_cur_bytes(struct hr_cursor *c, uint64_t n);
void hr_cur_seek(struct hr_cursor *c, uint64_t off); /* from the start; past the end sets bad */
uint64_t hr_cur_uint(struct hr_cursor *c, unsigned bytes); /* 1..8 */
static inline uint8_t hr_cur_u8(struct hr_cursor *c) { return (uint8_t)hr_cur_uint(c, 1); }
static inline uint16_t hr_cur_u16(struct hr_cursor *c) { return (uint16_t)hr_cur_uint(c, 2); }
static inline uint32_t hr_cur_u32(struct hr_cursor *c) { return (uint32_t)hr_cur_uint(c, 4); }
static inline uint64_t hr_cur_u64(struct hr_cursor *c) { return hr_cur_uint(c, 8); }
static inline uint64_t hr_cur_addr(struct hr_cursor *c) { return hr_cur_uint(c, c->word); }
uint64_t hr_cur_uleb(struct hr_cursor *c);
int64_t hr_cur_sleb(struct hr_cursor *c);
/* A NUL-terminated string as a span without the NUL; unterminated sets bad. */
struct hr_span hr_cur_cstr(struct hr_cursor *c);

/* Loads without a cursor; p must have the bytes. */
static inline uint64_t hr_load(const uint8_t *p, unsigned bytes, bool big)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * (big ? bytes - 1 - i : i);
    return v;
}
static inline uint64_t hr_load64(const uint8_t *p, bool big)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return big ? __builtin_bswap64(v) : v;
}
static inline uint32_t hr_load32(const uint8_t *p, bool big)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return big ? __builtin_bswap32(v) : v;
}

#endif
