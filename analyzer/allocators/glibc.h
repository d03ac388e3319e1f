/* What the glibc files share. Allocators room, private.
 *
 *     glibc.c          the adapter: open (find, declare), finish, close; hr_glibc_mallinfo
 *     glibc_layout.c   where fields lie, by word size, alignment and version: one table of differences
 *     glibc_find.c     libc's version and main_arena: by symbol, by code, by voting
 *     glibc_mp.c       mp_, malloc's parameters
 *     glibc_orphan.c   heaps whose main_arena is not in the image
 *     glibc_arena.c    the ring of arenas, their heaps, main_arena's stretches: the regions
 *     glibc_mmap.c     mmapped chunks
 *     glibc_chain.c    is this a chunk, does a chain of them lead anywhere
 *     glibc_walk.c     the walk over a region's chunks
 *     glibc_cache.c    fastbins and tcaches: chunks in use by their flags, free by the lists
 *     glibc_bins.c     are the free chunks where the bins say
 *
 * Layout facts are from glibc's malloc/malloc.c and malloc/arena.c at the release tags 2.23 to 2.42. */
#ifndef HR_ALLOCATORS_GLIBC_H
#define HR_ALLOCATORS_GLIBC_H

#include "analyzer/allocators/allocators.h"
#include "analyzer/base/fuel.h"

enum glibc_tcache_kind {
    GLIBC_TC_NONE,
    GLIBC_TC_U8,    /* 2.26: counts are bytes */
    GLIBC_TC_U16,   /* 2.30: counts are 16 bits */
    GLIBC_TC_SLOTS, /* 2.42: 16 bits that say how many more fit; 12 bins of large chunks */
};

struct glibc_layout {
    uint8_t word;          /* SIZE_SZ */
    uint8_t align;         /* MALLOC_ALIGNMENT */
    uint8_t minor;         /* of 2.x that it is the layout of */
    uint8_t nfast;         /* NFASTBINS */
    uint16_t minsize;      /* MINSIZE */
    bool safe_link;        /* 2.32: list pointers are xor'ed with their own place >> 12 */
    uint16_t flags, fast, top, bins, next, attached, system, max_system, state_size; /* malloc_state */
    uint16_t hi_size;      /* sizeof (heap_info); ar_ptr, prev, size are its first three words */
    uint8_t tc_kind;       /* enum glibc_tcache_kind */
    uint8_t tc_bins;
    uint16_t tc_entries, tc_chunk; /* offset of entries; chunk size of a tcache */
    uint16_t mp_mmap_threshold, mp_hp_pagesize /* 0 none */, mp_n_mmaps, mp_n_mmaps_max, mp_max_n_mmaps, mp_mmapped_mem,
        mp_max_mmapped_mem, mp_sbrk_base, mp_tcache_bins /* 0 none */, mp_size;
};
enum { GLIBC_NBINS = 127, GLIBC_MINOR_MIN = 23, GLIBC_MINOR_MAX = 42 };

void hr_glibc_layout(struct glibc_layout *l, unsigned word, unsigned align, unsigned minor);
/* MALLOC_ALIGNMENT of an architecture at a version. */
unsigned hr_glibc_align(const struct hr_image *img, unsigned minor);
/* Versions whose layouts differ, oldest first, 0 ends: what voting tries. */
extern const uint8_t hr_glibc_epochs[];

struct glibc_arena {
    uint64_t addr;
    uint64_t top, top_size; /* as recorded; size 0: unreadable */
    uint64_t system;
    uint32_t row;           /* hr_arena */
    bool main, noncontiguous;
    uint64_t in_bins;       /* chunks found in its bins */
};
HR_VEC(glibc_arenavec, struct glibc_arena)

enum glibc_region_kind { GLIBC_MAIN, GLIBC_HEAP, GLIBC_MMAPPED };
struct glibc_region {
    uint64_t addr, end;
    uint64_t first;  /* first chunk */
    uint64_t top;    /* the arena's top if it lies here, else 0 */
    uint32_t arena;  /* index into glibc.arenas, HR_NONE: mmapped */
    uint8_t kind;
};
HR_VEC(glibc_regionvec, struct glibc_region)

struct glibc_mp {
    uint64_t addr; /* 0: not found, nothing below is known */
    uint64_t n_mmaps, mmapped_mem, sbrk_base, hp_pagesize;
};

struct glibc {
    struct hr_image *img;
    struct hr_types *types;
    struct hr_builder *builder;
    struct hr_notes *notes;
    struct glibc_layout l;
    unsigned minor;         /* as libc says of itself; 0 unknown: l.minor was voted */
    char version[32];
    const char *found_by, *layout_by;
    uint64_t page;          /* at least 4096 */
    uint64_t heap_max;      /* HEAP_MAX_SIZE */
    uint64_t bins;          /* of main_arena, from the search */
    struct glibc_mp mp;
    struct glibc_arenavec arenas; /* [0] is main_arena */
    struct glibc_regionvec regions;
    struct hr_map seen;     /* addresses of arenas and of heaps already taken, so that hostile rings cost nothing */
    uint32_t mmapped_row;
    uint16_t allocator;
    struct hr_bits tried;   /* addresses from which no chain leads anywhere, of region `tried_region` */
    uint32_t tried_region;
};

/* ---- reading ---- */

/* A window on the image for reads that move forward; refilled at segment seams only. */
struct glibc_win {
    const struct hr_image *img;
    const uint8_t *p;
    uint64_t addr, n;
};
static inline bool glibc_load(struct glibc_win *w, uint64_t addr, unsigned word, bool big, uint64_t *ret)
{
    uint64_t off = addr - w->addr;
    if (__builtin_expect(w->n < word || off > w->n - word, 0)) {
        struct hr_span s = hr_image_peek(w->img, addr, UINT64_MAX - addr);
        if (s.n < word)
            return false;
        w->p = s.p;
        w->addr = addr;
        w->n = s.n;
        off = 0;
    }
    *ret = hr_word_load(w->p + off, word, big);
    return true;
}
/* Fetches the memory some way behind addr, as much as was just passed. Where the next chunk's header lies is known only when
 * this one's is read, so over large chunks each header would be a full cache miss: 7*10^6 of 450 bytes take a third so. */
enum { GLIBC_AHEAD = 2048 };
static inline void glibc_fetch_ahead(const struct glibc_win *w, uint64_t addr, uint64_t passed)
{
    uint64_t off = addr - w->addr + GLIBC_AHEAD, stop = off + (passed < GLIBC_AHEAD ? passed : GLIBC_AHEAD);
    for (; off < stop && off < w->n; off += 64)
        __builtin_prefetch(w->p + off);
}
static inline bool glibc_word(const struct glibc *g, uint64_t addr, uint64_t *ret)
{
    return hr_image_word(g->img, addr, ret);
}
static inline uint64_t glibc_up(uint64_t v, uint64_t to) { return (v + to - 1) & ~(to - 1); }
enum { GLIBC_PREV_INUSE = 1, GLIBC_IS_MMAPPED = 2, GLIBC_NON_MAIN = 4, GLIBC_FLAGS = 7 };

/* Memory of the process whose bytes are not in the image: a list that leads there is not damaged. */
static inline bool glibc_missing(const struct glibc *g, uint64_t addr)
{
    const struct hr_segment *s = hr_image_find(g->img, addr, NULL);
    return s && addr - s->addr >= s->bytes.n;
}

/* ---- glibc_find.c ---- */
/* Finds main_arena and the layout; HR_ABSENT: no glibc heap here. */
enum hr_status hr_glibc_find(struct glibc *g) HR_MUST;
enum hr_status hr_glibc_find_libc(struct glibc *g) HR_MUST;
/* glibc_mp.c: mp_, by symbol or by looking for it in the module's data; needs main_arena's top and system_mem. */
void hr_glibc_find_mp(struct glibc *g);
/* How many of the 127 bin heads at `bins` are sound: linked to themselves or to chunks that link back. */
unsigned hr_glibc_sound_bins(const struct glibc *g, uint64_t bins);

/* ---- glibc_arena.c ---- */
enum hr_status hr_glibc_arenas(struct glibc *g) HR_MUST;
enum hr_status hr_glibc_stray_arenas(struct glibc *g) HR_MUST;
enum hr_status hr_glibc_regions(struct glibc *g) HR_MUST;
/* Is [addr, end) free of regions found so far? */
bool hr_glibc_unclaimed(const struct glibc *g, uint64_t addr, uint64_t end, uint64_t *claim_end_ret);

/* ---- glibc_orphan.c ---- */
/* Finds heaps without main_arena (a core that was cut, or without libc's data): the layout, arenas[0] standing in for
 * main_arena with address 0, and its regions. HR_ABSENT: none. */
enum hr_status hr_glibc_orphans(struct glibc *g) HR_MUST;
enum hr_status hr_glibc_orphan_regions(struct glibc *g) HR_MUST;

/* ---- glibc_mmap.c ---- */
enum hr_status hr_glibc_mmapped(struct glibc *g) HR_MUST;
enum hr_status hr_glibc_walk_mmapped(void *self, uint64_t cookie, struct hr_builder *b) HR_MUST;

/* ---- glibc_chain.c ---- */
enum glibc_chain_end {
    GLIBC_CHAIN_BROKEN,
    GLIBC_CHAIN_LONG,  /* as many chunks as asked for, all sound */
    GLIBC_CHAIN_TOP,
    GLIBC_CHAIN_FENCE, /* fenceposts */
};
/* Follows chunks from p within [.., limit). avoid: an address that is no chunk; a chain that leads there is broken, and one
 * is long only behind it. tried (may be NULL): addresses that led nowhere before. *at_ret: where it ended. */
enum glibc_chain_end hr_glibc_chain(struct glibc *g, uint64_t p, uint64_t top, uint64_t limit, bool non_main,
                                    uint64_t max_steps, uint64_t avoid, struct hr_bits *tried, uint64_t tried_base,
                                    uint64_t *at_ret);
/* The next address at or after `from` in the region from which a chain leads on, or 0. */
uint64_t hr_glibc_resync(struct glibc *g, const struct glibc_region *r, uint64_t from, uint64_t avoid);
/* Two fenceposts in a row at p, as a main arena leaves them where it could not grow on: the address behind them, or 0. */
uint64_t hr_glibc_fence(const struct glibc *g, uint64_t p, uint64_t limit);

/* ---- glibc_walk.c ---- */
enum hr_status hr_glibc_walk(void *self, uint64_t cookie, struct hr_builder *b) HR_MUST;

/* ---- corruption, under the names malloc itself dies with ---- */
enum glibc_damage {
    GLIBC_BAD_TOP,
    GLIBC_BAD_SIZE,
    GLIBC_BAD_NEXT_FAST,
    GLIBC_BAD_NEXT,
    GLIBC_BAD_PREV_SIZE,
    GLIBC_BAD_LINK,
    GLIBC_BAD_UNSORTED,
    GLIBC_BAD_SMALL,
    GLIBC_BAD_BIN_SIZE,
    GLIBC_BAD_BIN_INUSE,
    GLIBC_BAD_FAST_ALIGN,
    GLIBC_BAD_FAST,
    GLIBC_BAD_FAST_TWICE,
    GLIBC_BAD_TCACHE_ALIGN,
    GLIBC_BAD_TCACHE,
    GLIBC_BAD_TCACHE_TWICE,
    GLIBC_BAD_TCACHE_MANY,
    GLIBC_BAD_ARENA,
};
void hr_glibc_damage(const struct glibc *g, enum glibc_damage d, uint64_t addr, const char *fmt, ...) HR_PRINTF(4, 5);

/* ---- glibc_cache.c, glibc_bins.c: after the walk, over the finished heap ---- */
/* Settles l.safe_link by the lists' first entries. */
void hr_glibc_vote_links(struct glibc *g, const struct hr_heap *h);
enum hr_status hr_glibc_fastbins(struct glibc *g, struct hr_heap *h) HR_MUST;
enum hr_status hr_glibc_tcaches(struct glibc *g, struct hr_heap *h) HR_MUST;
enum hr_status hr_glibc_check_bins(struct glibc *g, struct hr_heap *h) HR_MUST;

#endif
