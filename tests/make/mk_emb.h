/* Heaps of microcontrollers, written byte by byte from their descriptions, in any word size and byte order.
 *
 * First a naive model: one stretch of memory, random requests and releases, first fit. Then a writer lays the resulting
 * chunks out as one allocator would, and notes which blocks a reader has to find. Writers know nothing of the readers. */
#ifndef HR_TESTS_MK_EMB_H
#define HR_TESTS_MK_EMB_H

#include "tests/make/mk.h"

enum { MK_EMB_MAX = 600 };
#define MK_EMB_BASE 0x20000000u

struct mk_chunk {
    uint64_t at, size; /* from the heap's start; all of the chunk */
    uint64_t want;     /* in use: what was asked for; 0: free */
};
struct mk_emb_block {
    uint64_t addr, size;
    bool used;
};

struct mk_emb {
    unsigned word;
    bool big;
    uint64_t seed;
    /* model */
    uint64_t unit, least, head; /* chunks are multiples of unit, `least` at least; head: bytes of a chunk that are not the program's */
    uint64_t total;             /* bytes to hand out */
    bool apart;                 /* free neighbours stay apart */
    struct mk_chunk chunk[MK_EMB_MAX];
    unsigned nchunks;
    /* image: RAM from MK_EMB_BASE on, and what lies in it */
    struct mk m;
    struct mk_emb_block block[MK_EMB_MAX];
    unsigned nblocks;
    uint64_t heap;              /* where the first chunk lies */
    /* variants, as the writers understand them */
    unsigned width, body, poison, flavour;
};

uint64_t mk_emb_random(struct mk_emb *e);
void mk_emb_model(struct mk_emb *e, unsigned steps);
/* Start of an image: `before` bytes of what programs keep in RAM (small numbers, text, pointers at nothing). */
void mk_emb_begin(struct mk_emb *e, size_t before);
void mk_emb_set(struct mk_emb *e, uint64_t addr, uint64_t v, unsigned bytes);
uint64_t mk_emb_get(const struct mk_emb *e, uint64_t addr, unsigned bytes);
void mk_emb_fill(struct mk_emb *e, uint64_t addr, uint8_t v, size_t n);
void mk_emb_expect(struct mk_emb *e, uint64_t addr, uint64_t size, bool used);
/* The free chunks' indexes, shuffled. */
unsigned mk_emb_free(struct mk_emb *e, unsigned *index);
void mk_emb_end(struct mk_emb *e);

void mk_dlmalloc(struct mk_emb *e); /* flavour 1: aligned to four words */
void mk_umm(struct mk_emb *e);      /* body; poison: bytes of its length field; flavour 1: no umm_heap_config */
void mk_lwip(struct mk_emb *e);     /* width 2 or 4; poison: MEM_OVERFLOW_CHECK; flavour 1: ram, ram_end, lfree as variables */
void mk_threadx(struct mk_emb *e);  /* width of ULONG */
void mk_threadx_blocks(struct mk_emb *e);
void mk_zephyr(struct mk_emb *e);   /* width 2 or 4; flavour bit 0: sums, bit 1: a k_heap in front, bit 2: sizes swapped (2.4), bit 3: canaries */
/* ESP-IDF; poison 1 light, 2 comprehensive; flavour bit 2: the task in front of the program's bytes (5.1), bit 3: in the poison (5.0) */
void mk_esp_tlsf(struct mk_emb *e); /* flavour bit 0: `width` first-level lists, as with 4.3 to 5.0; bit 4: TLSF without multi_heap */
void mk_esp_old(struct mk_emb *e);
void mk_zephyr_slab(struct mk_emb *e); /* flavour 0: since 3.5, 1: before; width: words of the lock */

#endif
