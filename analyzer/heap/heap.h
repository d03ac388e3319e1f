/* The heap: every allocator block of the image as columns, ids in address order; address -> block; roots.
 *
 * Heap room: calls types, image, base. Allocators fill it through the builder, runtimes and rules read it.
 *
 * NODES. One id space for the graph: [0, heap.n) are blocks in address order, [heap.n, heap.n + roots.n) are roots
 * (variables, stack slots, registers, raw mappings, static objects of a runtime). hr_node_* work on both. */
#ifndef HR_HEAP_HEAP_H
#define HR_HEAP_HEAP_H

#include "analyzer/base/bits.h"
#include "analyzer/base/limits.h"
#include "analyzer/base/vec.h"
#include "analyzer/image/image.h"
#include "analyzer/types/types.h"

typedef uint32_t hr_id; /* node id; HR_NONE = none */

enum hr_state {
    HR_USED,    /* handed out to the program */
    HR_CACHED,  /* given back, kept by the allocator as if in use (tcache, fastbin, a runtime's free list) */
    HR_FREE,
    HR_OWN,     /* the allocator's own (arena headers, pymalloc arena inside malloc, tcache struct) */
    HR_HOST,    /* used, and another allocator's region lies inside it: its parts are blocks of their own */
};

enum hr_reach {                /* order = strength; a block has the strongest that holds */
    HR_REACH_UNKNOWN,          /* not analysed, or not a used block, or roots are missing from the image */
    HR_REACHABLE,
    HR_REACH_INTERIOR,         /* only through a pointer into the middle, tagged, or one past the end */
    HR_REACH_REGISTER,         /* only from a register */
    HR_REACH_DEAD_STACK,       /* only from stack below sp, or a free'd frame's slot */
    HR_REACH_CACHED,           /* only from a cached (tcache/fastbin) block's stale bytes */
    HR_LEAKED_DIRECT,          /* nothing points at it */
    HR_LEAKED_INDIRECT,        /* held only by leaked blocks */
    HR_LEAKED_CYCLE,           /* member of a ring that nothing else holds */
};

enum hr_surety { HR_SURE_NONE, HR_SURE_EXACT, HR_SURE_INFERRED, HR_SURE_CONSERVATIVE, HR_SURE_INTERIOR };

/* How a block got its type. Order = strength, strongest first after NONE. */
enum hr_evidence {
    HR_EV_NONE,
    HR_EV_RUNTIME,     /* the runtime's own header says so */
    HR_EV_VTABLE,      /* virtual table pointer in the block */
    HR_EV_POINTER,     /* a typed pointer leads here (DWARF) and the size fits */
    HR_EV_CONTAINER,   /* element/node type of a container by template arguments */
    HR_EV_ARRAY,       /* array of a pointed-to type, by size */
    HR_EV_ASSUMED,     /* --assume or a rules file */
    HR_EV_SHAPE,       /* same size and pointer shape as typed blocks: proposed */
    HR_EV_FIRST_WORD,  /* same first word (function table, constant) as typed blocks: proposed */
    HR_EV_CONTENT,     /* text, by looking at the bytes: proposed */
    HR_EV_COUNT
};

/* A run of addresses one allocator manages contiguously (a heap segment, an mmapped chunk, a pymalloc arena). */
struct hr_region {
    uint64_t addr, size;
    hr_id block0, nblocks;     /* its blocks (nested regions' blocks are within the same id range) */
    uint32_t arena;            /* index into hr_heap.arenas */
    uint32_t parent;           /* region it is nested in, or HR_NONE */
    hr_id host;                /* the HR_HOST block of `parent` around it, or HR_NONE */
};
HR_VEC(hr_regionvec, struct hr_region)

/* One arena = one row of statistics: glibc main_arena/arena N, "mmapped", one per pymalloc, a FreeRTOS heap, … */
struct hr_arena {
    hr_str name;               /* "main", "arena 3 (0x7f…)", "mmapped" */
    uint16_t allocator;        /* index into hr_heap.allocators */
    uint64_t addr;             /* of its header (malloc_state), 0 none */
    uint64_t mapped;           /* bytes of its regions: always used + cached + free + own + overhead */
    uint64_t used_blocks, used_bytes;     /* HR_USED and HR_HOST; usable bytes */
    uint64_t cached_blocks, cached_bytes;
    uint64_t fast_blocks, fast_bytes;     /* of cached: in the arena's own quick lists (fastbins), not a thread's */
    uint64_t free_blocks, free_bytes;     /* usable bytes, top included */
    uint64_t own_blocks, own_bytes;       /* HR_OWN: in use, but by the allocator itself */
    uint64_t overhead_bytes;   /* what is left of mapped: headers, arena structures, alignment, unusable remainders */
    uint64_t top_bytes;        /* of free_bytes: the top chunk */
    uint64_t system_bytes;     /* what the allocator itself records as obtained from the system, 0 unknown */
    uint64_t largest_free;
    uint64_t middle;           /* 0, or: blocks from here on were placed from the end downwards, the free bytes in front are between two parts that grow */
    bool collecting;           /* its collector was at work when the image was taken */
    bool corrupt;              /* some check failed in here; counts are what could be established */
};
HR_VEC(hr_arenavec, struct hr_arena)

struct hr_allocator_info {     /* one allocator found in the image */
    const char *name;          /* "glibc" … static */
    char version[32];          /* "2.36", "" unknown */
    char evidence[160];        /* how it was found, a phrase: "main_arena from libc's symbols" */
    bool gives_back;           /* trims: whole free pages can go back to the system */
    uint8_t cached_links;      /* leading bytes of a cached block that are the allocator's own links, not stale data */
    /* The allocator's own totals as the image records them, for self-checks and reports (HR_NONE64 unknown). */
    uint64_t stat_in_use, stat_free;
};
HR_VEC(hr_allocinfovec, struct hr_allocator_info)
#define HR_NONE64 UINT64_MAX

enum hr_root_kind {
    HR_ROOT_GLOBAL,        /* a variable with static storage (DWARF or symbol) */
    HR_ROOT_STATIC,        /* bytes of a module's writable data no variable covers */
    HR_ROOT_TLS,           /* a thread-local variable, or a thread's TLS block/TCB bytes no variable covers */
    HR_ROOT_LOCAL,         /* a local or parameter of a frame (memory) */
    HR_ROOT_STACK,         /* live stack bytes no local covers */
    HR_ROOT_REGISTER,      /* value held in a register of a thread */
    HR_ROOT_DEAD_STACK,    /* stack below sp */
    HR_ROOT_MAPPING,       /* writable memory nobody explains (raw mmap, shared memory) */
    HR_ROOT_OBJECT,        /* a static object of a runtime (type object, small int, interned constant) */
    HR_ROOT_HANDLE,        /* known to a runtime otherwise (kernel object, finaliser table …) */
};

struct hr_root {
    uint64_t addr, size;       /* the bytes it spans; size 0: `addr` itself is the reference (a register's value, a handle) */
    hr_type type;              /* 0 unknown */
    hr_str name;               /* variable name, "rax", label of a mapping; 0 none */
    uint32_t module;           /* or HR_NONE */
    uint32_t thread;           /* index into image.threads, or HR_NONE */
    uint32_t frame;            /* index into hr_stacks.frames, or HR_NONE */
    uint8_t kind;              /* enum hr_root_kind */
    uint8_t surety;            /* of its type */
    uint8_t reg;               /* REGISTER: DWARF number */
    uint8_t weak : 1;          /* does not keep anything alive (shown in paths only) */
    uint8_t space : 1;         /* a namespace of the program in its runtime: __main__ */
};
HR_VEC(hr_rootvec, struct hr_root)

struct hr_range { uint64_t addr, size; };
HR_VEC(hr_rangevec, struct hr_range)

/* A run of blocks of one region that are neighbours in id order and not far apart: its addresses begin with its first block
 * and reach to the next piece, or one past the end of what its last block (or the hosts around it) spans. Sorted by address,
 * disjoint. A block's place in its piece fits 32 bits; what lies between pieces costs nothing. Index over them: where.h. */
struct hr_piece {
    uint64_t addr, last;       /* holds [addr, last] */
    uint64_t line0;            /* its first line of the start bitmap */
    uint32_t last_start;       /* granule of its last block's start */
    hr_id block0;              /* id of its first block */
    uint32_t region;
    uint8_t shift;             /* log2 of a granule */
};
HR_VEC(hr_piecevec, struct hr_piece)

/* Start bitmap with ranks: one cache line per 448 granules (7 words of bits and a u32 rank). */
struct hr_where_line {
    uint64_t bits[7];
    uint32_t rank;             /* id of the first start in or after this line */
    uint32_t spare;
};
enum { HR_WHERE_BITS = 448, HR_WHERE_IDS = 64 };

/* Address -> piece: a hash of 1 MiB slots; a slot that many pieces share has a table of its 4 KiB pages. */
struct hr_where_slot {
    uint64_t key;              /* address >> 20 */
    uint32_t lo, hi;           /* the pieces in it; lo HR_NONE: empty slot */
    uint32_t pages;            /* index into `page` of its 257 entries, HR_NONE: none needed */
    uint32_t spare;
};
struct hr_where {
    struct hr_where_slot *slot;
    uint64_t nslots;           /* power of two */
    struct hr_u32vec page;     /* per page: last piece of the slot that begins at or before it, else the first */
    struct hr_u32vec wide;     /* pieces with a last block too long for slots: searched when no slot is found */
    struct hr_u32vec of_id;    /* per 64 ids: the piece of the first of them (and one entry behind) */
    struct hr_where_line *line;
    uint64_t nlines;
    void *line_mem;            /* what `line` is aligned in */
};

struct hr_heap {
    const struct hr_image *image; /* borrowed */
    struct hr_strs *strs;
    struct hr_notes *notes;
    hr_id n;                   /* blocks */
    uint32_t *granule;         /* start, in granules from its piece's address */
    uint32_t *size;            /* usable bytes; UINT32_MAX: see big */
    uint8_t *state;            /* enum hr_state */
    struct hr_map big;         /* id -> index into big_size, blocks of 4 GiB and more */
    struct hr_u64vec big_size;
    struct hr_regionvec regions; /* sorted by address, a nested one after its parent */
    struct hr_piecevec pieces;
    struct hr_arenavec arenas;
    struct hr_allocinfovec allocators;
    struct hr_rangevec unknown; /* stretches of heaps that nobody could read: damaged, or not in the image. In no number; words there hold what they
                                * point at, and where they are absent no leak is certain */
    struct hr_rangevec own;    /* allocators' bookkeeping outside all regions (main_arena, mp_): pointers there are no roots */
    struct hr_where where;
    uint64_t lo, hi;           /* all pieces lie within [lo, hi] */

    /* Filled by runtimes on demand; NULL until then. */
    hr_type *type;             /* per block */
    uint8_t *evidence;         /* enum hr_evidence per block */
    uint8_t *reach;            /* enum hr_reach per block */
    hr_id *owner;              /* block/root that owns it as a part (list items, hash table …), HR_NONE none */
    uint8_t *handle;           /* per block: bytes from its start to what the program's pointers name (CPython: behind the
                                * collector's head), which counts as its start; NULL: 0 for all */
    struct hr_bits closed;     /* per block, nbits 0: none. Its runtime counts references, and those it knows are all there are: a word
                                * elsewhere that looks like one is a copy that holds nothing */
    struct hr_rootvec roots;
    bool roots_complete;       /* false: memory that may hold pointers is missing from the image: no leak is certain */
};

/* ---- reading ---- */
static inline uint64_t hr_block_size(const struct hr_heap *h, hr_id id)
{
    uint32_t s = h->size[id];
    return __builtin_expect(s != UINT32_MAX, 1) ? s : h->big_size.v[hr_map_get(&h->big, id)];
}
uint32_t hr_block_piece(const struct hr_heap *h, hr_id id);      /* of 64 neighbours at most: next to O(1) */
static inline uint64_t hr_block_addr(const struct hr_heap *h, hr_id id)
{
    const struct hr_piece *p = &h->pieces.v[hr_block_piece(h, id)];
    return p->addr + ((uint64_t)h->granule[id] << p->shift);
}
uint32_t hr_block_region(const struct hr_heap *h, hr_id id);
static inline uint32_t hr_block_arena(const struct hr_heap *h, hr_id id)
{
    return h->regions.v[hr_block_region(h, id)].arena;
}
/* The block whose [start, start + size] holds addr (one-past-end included when no other block starts there), innermost
 * when nested; HR_NONE when none. *into_ret = addr - start (may be NULL). O(1). A hot loop uses where.h's inline parts. */
hr_id hr_heap_at(const struct hr_heap *h, uint64_t addr, uint64_t *into_ret);
/* Sequential reading: the address of each block without a search. */
struct hr_block_iter {
    const struct hr_heap *h;
    hr_id id;                  /* the next one */
    uint32_t piece, region;    /* of the last one returned */
};
struct hr_block_iter hr_block_iter(const struct hr_heap *h, hr_id from);
/* Address of it->id, then advances. Caller stops at h->n. */
static inline uint64_t hr_block_next(struct hr_block_iter *it)
{
    const struct hr_heap *h = it->h;
    if (it->piece + 1 < h->pieces.n && it->id >= h->pieces.v[it->piece + 1].block0)
        it->piece++;
    const struct hr_piece *p = &h->pieces.v[it->piece];
    it->region = p->region;
    return p->addr + ((uint64_t)h->granule[it->id++] << p->shift);
}

static inline hr_id hr_node_count(const struct hr_heap *h) { return h->n + (hr_id)h->roots.n; }
static inline bool hr_node_is_root(const struct hr_heap *h, hr_id node) { return node >= h->n; }
static inline const struct hr_root *hr_node_root(const struct hr_heap *h, hr_id node) { return &h->roots.v[node - h->n]; }
/* A runtime made and named it: the programmer knows it by that name. */
static inline bool hr_root_named(const struct hr_root *r) { return r->name && (r->kind == HR_ROOT_HANDLE || r->space); }
uint64_t hr_node_addr(const struct hr_heap *h, hr_id node);
uint64_t hr_node_size(const struct hr_heap *h, hr_id node);
hr_type hr_node_type(const struct hr_heap *h, hr_id node);

/* Makes the columns `type` and `evidence` (all zero), or `owner` (all HR_NONE), where they are not there yet. */
enum hr_status hr_heap_type_columns(struct hr_heap *h) HR_MUST;
enum hr_status hr_heap_owner_column(struct hr_heap *h) HR_MUST;

const char *hr_state_name(enum hr_state s);       /* names of json.md */
const char *hr_reach_name(enum hr_reach r);
const char *hr_surety_name(enum hr_surety s);
const char *hr_evidence_name(enum hr_evidence e); /* "virtual table", "typed pointer", … */
enum hr_surety hr_evidence_surety(enum hr_evidence e);

void hr_heap_destroy(struct hr_heap *h);

#endif
