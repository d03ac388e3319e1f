/* ESP-IDF's multi_heap: what its parts (esp_heap.c, esp_lists.c, esp_poison.c) share. */
#ifndef HR_ALLOCATORS_ESP_HEAP_H
#define HR_ALLOCATORS_ESP_HEAP_H

#include "analyzer/allocators/embedded.h"

enum { HR_ESP_MAX_HEAPS = 64, HR_ESP_MAX_LISTS = 32 * 32 };

struct hr_esp_heap {
    uint64_t info, end;      /* struct multi_heap_info; behind the heap's last byte */
    uint64_t control, first; /* TLSF: control_t, first block's size word; before: 0, first block */
    uint64_t bitmap, sl, lists; /* TLSF: addresses of fl_bitmap, sl_bitmap[], blocks[] */
    uint32_t nfl, nsl;
    uint32_t caps;
    char name[64];           /* of heap_t, IDF 6 */
    uint8_t owner;           /* bytes of the owner in the poison's head (IDF up to 5.0) */
    bool poison, slow;       /* CONFIG_HEAP_POISONING_LIGHT, and _COMPREHENSIVE */
    uint8_t tracked;         /* bytes of the owner in front of the program's (CONFIG_HEAP_TASK_TRACKING since 5.1) */
    uint32_t arena;
};

/* What the used blocks look like, and what follows from it: poison, owner and tracked. */
enum { HR_ESP_WORDS = 512 };
struct hr_esp_votes {
    uint32_t used, yes[2], nwords;
    uint64_t word[2][HR_ESP_WORDS]; /* the first word, and the one behind the poison's head */
};

struct hr_esp {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct hr_esp_heap heap[HR_ESP_MAX_HEAPS];
    uint32_t n;
    struct hr_fuel look;
    struct hr_esp_votes *votes; /* scratch */
};

/* A block of the heap: where its own word is, the memory behind it, the next block's word; 0 next: makes no sense. */
struct hr_esp_block {
    uint64_t at, mem, size, next;
    bool free, before_free; /* before_free: the flag of TLSF */
};
bool hr_esp_block(const struct hr_esp *a, const struct hr_esp_heap *h, uint64_t at, struct hr_esp_block *ret);
/* Where the last block's word is: size 0, or a null pointer. */
uint64_t hr_esp_last(const struct hr_esp_heap *h);

void hr_esp_damage(const struct hr_esp *a, struct hr_arena *row, const char *code, uint64_t at, const char *what);
/* Addresses of all blocks on the free lists, ascending; what is wrong with the lists is noted. */
enum hr_status hr_esp_free(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, struct hr_u64vec *out) HR_MUST;
/* Do bitmaps and heads of the lists agree throughout? */
bool hr_esp_lists_agree(const struct hr_esp *a, const struct hr_esp_heap *h);

/* What the used blocks look like, and what follows from it. */
void hr_esp_vote(const struct hr_esp *a, struct hr_esp_votes *v, uint64_t mem, uint64_t size);
void hr_esp_decide(const struct hr_esp *a, const struct hr_esp_votes *v, struct hr_esp_heap *h);
/* All of that for a heap that can be walked, and `slow`. */
void hr_esp_find_poison(const struct hr_esp *a, struct hr_esp_heap *h, struct hr_esp_votes *v);
/* "DMA|INTERNAL" for MALLOC_CAP_* bits. */
void hr_esp_caps(uint32_t caps, char *buf, size_t cap);
/* Reads heap_t, whose start and end lie at `at`: capabilities, name, is it one? */
bool hr_esp_registered(const struct hr_esp *a, uint64_t at, struct hr_esp_heap *h);
/* A used block's poison: narrows mem and size to what the program got. */
void hr_esp_unpoison(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, uint64_t *mem, uint64_t *size);
/* Was a free block written to? */
void hr_esp_check_free(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, const struct hr_esp_block *b);

#endif
