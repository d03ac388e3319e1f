/* The marker's state, between mark.c (phases) and drain.c (the hot loop). Heap room, internal. */
#ifndef HR_HEAP_MARKER_H
#define HR_HEAP_MARKER_H

#include "analyzer/heap/refs.h"

enum {
    HR_MARK_CANDS = 8,  /* words between fetching a line of start bits and reading it; 4 to 16 measured the same */
    HR_MARK_FOUND = 8,  /* blocks between fetching their byte of `reach` and reading it */
    HR_MARK_ITEMS = 16, /* blocks between fetching their bytes and scanning them; 32 and 64 measured slower */
};

/* While marking, heap->reach[id] is a class only for blocks that are reached or cannot be, or HR_MARK_CLOSED for those that words do
 * not reach, only their runtime's own references. Any other value is
 * HR_MARK_OPEN + the block's words, or HR_MARK_LOOK when it takes more than a number to scan it. So one byte, fetched ahead,
 * answers both "reached before?" and "how long?". */
enum { HR_MARK_CLOSED = HR_LEAKED_CYCLE + 1, HR_MARK_OPEN, HR_MARK_LOOK = 255 };

/* A word that points into a piece; its line of start bits is on the way to the cache. */
struct hr_mark_cand {
    const struct hr_where_line *line;
    uint64_t addr;
    uint32_t piece;
    uint16_t bit;
    bool may_start;        /* plain, on a granule, not behind the last start */
};
/* A block. p: its bytes, unless words is HR_MARK_LOOK. */
struct hr_mark_item {
    const uint8_t *p;      /* NULL: empty place in a ring */
    hr_id id;
    uint32_t words;
};

struct hr_marker {
    struct hr_refs refs;
    struct hr_heap *h;
    const struct hr_mark_options *opt;
    uint64_t *bias;         /* per piece: host address of its bytes = bias + address, if they lie together */
    struct hr_bits weak;    /* phase 1: something other than a start reference points here */
    struct hr_bits pending; /* reached, to be scanned, no room on the stack */
    uint8_t class;          /* of this phase */
    bool starts_only;       /* phase 1 */
    bool special;           /* there are hosts or claimed blocks */
    bool overflow;          /* pending has bits */
    hr_refs_fn *word;       /* hr_mark_word_fn() */
    struct hr_mark_item *stack;
    size_t nstack, cap;
    struct hr_mark_cand cand[HR_MARK_CANDS];
    struct hr_mark_item found[HR_MARK_FOUND];
    struct hr_mark_item item[HR_MARK_ITEMS];
    unsigned ncand, nfound; /* written so far */
    /* The piece of the last word: most words point where the one before did. */
    uint64_t piece_addr, piece_len;
    const struct hr_where_line *piece_line;
    uint32_t piece, piece_last;
    unsigned piece_shift;
};

/* A reference to block id, found by other means than a candidate. */
void hr_mark_reach(struct hr_marker *m, hr_id id, bool start);
/* What to call for a word that may refer to a block, with the marker as ctx. */
hr_refs_fn *hr_mark_word_fn(void);
/* A managed runtime's edge, with the marker as ctx. */
void hr_mark_edge(void *marker, hr_id to, uint8_t surety);
/* Scans until nothing reached is left to scan. */
void hr_mark_drain(struct hr_marker *m);

#endif
