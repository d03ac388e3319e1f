/* Why a request fails although more is free: the longest run of free bytes, the place where the request would fit best, and the live
 * blocks in it. analyzer/place.c; works on any heap whose free blocks join with their neighbours. */
#ifndef HR_PLACE_H
#define HR_PLACE_H

#include "analyzer/session.h"

/* How it is known what was asked for. */
enum hr_request_source {
    HR_REQUEST_NONE,
    HR_REQUEST_ASKED,      /* by the user of heapray */
    HR_REQUEST_FAILED,     /* a MemoryError in the heap says so */
    HR_REQUEST_LARGEST,    /* the largest object alive is of that size */
    HR_REQUEST_SIZES,      /* several blocks of that size are in use */
};

struct hr_place {
    uint64_t request;      /* bytes; 0: none is known */
    enum hr_request_source source;
    uint64_t error;        /* FAILED: the exception */
    uint64_t alike;        /* SIZES: how many blocks of that size are in use */
    uint32_t arena;        /* SIZES: the one that refuses; else HR_NONE: any will do */
    uint64_t free, longest, longest_then; /* bytes; then: behind a collection, where there is a collector */
    uint64_t room;         /* bytes that the heap can still grow by */
    bool fits;             /* there is, or would be then, a piece that is large enough */
    uint64_t lo, hi;       /* the place: neighbouring blocks with the fewest live bytes; lo == hi: nowhere */
    uint64_t live;         /* live bytes in it */
    uint32_t blocks;       /* live blocks in it */
    hr_id first, last;     /* its first and last block */
};
/* request 0: what the image knows to have failed, or to be asked for. HR_ABSENT: it knows of nothing. */
enum hr_status hr_place_find(struct hr_session *s, uint64_t request, struct hr_place *ret) HR_MUST;
/* The same, kept: of the request that the image itself tells of. NULL: it tells of none. */
const struct hr_place *hr_session_place(struct hr_session *s);
/* The next live block in the place, from *at on (start with p->first); HR_NONE at its end. */
hr_id hr_place_next(struct hr_session *s, const struct hr_place *p, hr_id *at);
/* "str at 0x20000a10 (__main__['keep'].items[3]) and 2 more": the live blocks of the place. */
char *hr_place_text(struct hr_session *s, const struct hr_place *p, char *buf, size_t cap);

/* Sizes that an arena refuses: the smallest size in use at least twice for which all free bytes would do and no piece does. */
const struct hr_size_class *hr_place_refused(struct hr_session *s, uint32_t arena);
/* Bytes that an arena can still grow by: never written memory right behind it, for heaps that ask for more (newlib, picolibc). */
uint64_t hr_place_room(struct hr_session *s, uint32_t arena);

#endif
