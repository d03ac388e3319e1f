/* CPython's small-object allocator: arenas of pools of equal blocks.
 *
 * An arena (256 KiB of 4 KiB pools; from 3.10 on 64-bit 1 MiB of 16 KiB) is cut into pools up to `pool_address`; a pool serves
 * one size class. A block is in use when it lies below the pool's nextoffset and not on its free chain. What the interpreter's
 * own free lists hold is in use here: the cpython runtime knows better. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/allocators.h"
#include "analyzer/allocators/cpython/cpython.h"

enum { MAX_ARENAS = 1 << 20, MAX_POOL_BLOCKS = 16384 / 8, STRUCTURAL_MIN = 1 };

struct pymalloc {
    struct hr_cpython *py;
    struct hr_notes *notes;
    uint64_t arena_size, pool_size;
    uint32_t arena;             /* its row of statistics */
    uint8_t shift;              /* log2 of the block alignment */
    uint64_t states[HR_PY_MAX_INTERPRETERS + 1]; /* `arenas` arrays read, so that shared ones are read once */
    uint32_t nstates;
    uint32_t narenas;
    const char *how;            /* they were found */
};

/* ---- one pool ---- */
struct pool {
    uint64_t addr, size, next, max; /* block size; offsets: first never used, last possible */
    uint32_t count, cap;
    uint64_t free[MAX_POOL_BLOCKS / 64 + 1]; /* bit per block: on the free chain */
};

static uint64_t header_size(const struct pymalloc *a)
{
    uint64_t unit = 1ull << a->shift;
    return ((uint64_t)a->py->at[HR_PYS_POOL] + unit - 1) & ~(unit - 1);
}

static bool read_pool(const struct pymalloc *a, uint64_t addr, struct pool *p)
{
    memset(p, 0, sizeof *p);
    p->addr = addr;
    p->count = (uint32_t)hr_py_uint(a->py, addr, HR_PY_POOL_COUNT, 4);
    p->next = hr_py_uint(a->py, addr, HR_PY_POOL_NEXTOFFSET, 4);
    p->max = hr_py_uint(a->py, addr, HR_PY_POOL_MAXNEXTOFFSET, 4);
    uint64_t szidx = hr_py_uint(a->py, addr, HR_PY_POOL_SZIDX, 4), head = header_size(a);
    if (p->max >= a->pool_size || p->max < head)
        return false;
    p->size = a->pool_size - p->max;
    if (p->size != (szidx + 1) << a->shift || p->size > 512)
        return false;
    p->cap = (uint32_t)((a->pool_size - head) / p->size);
    return p->cap <= MAX_POOL_BLOCKS && p->count <= p->cap && p->next >= head && p->next <= a->pool_size && (p->next - head) % p->size == 0;
}

/* Marks the blocks of the free chain; false when it leaves the pool, loops, or does not fit the count. */
static bool read_free_chain(const struct pymalloc *a, struct pool *p)
{
    uint64_t head = header_size(a), at = hr_py_word(a->py, p->addr, HR_PY_POOL_FREEBLOCK);
    uint32_t handed_out = (uint32_t)((p->next - head) / p->size), chained = 0;
    while (at) {
        uint64_t off = at - p->addr;
        if (at < p->addr || off < head || off >= p->next || (off - head) % p->size)
            return false;
        uint64_t i = (off - head) / p->size;
        if (p->free[i >> 6] >> (i & 63) & 1)
            return false;
        p->free[i >> 6] |= 1ull << (i & 63);
        chained++;
        if (!hr_image_word(a->py->image, at, &at))
            return false;
    }
    return handed_out - chained == p->count;
}

static enum hr_status emit_pool(struct pymalloc *a, uint64_t addr, struct hr_builder *b)
{
    struct pool p;
    uint64_t head = header_size(a);
    if (!hr_py_uint(a->py, addr, HR_PY_POOL_COUNT, 4)) /* wholly free: its header may be of another life */
        return hr_emit(b, addr + head, a->pool_size - head, HR_FREE);
    if (!read_pool(a, addr, &p)) {
        hr_note_at(a->notes, HR_NOTE_DAMAGE, "heap.corrupt.pymalloc_pool", addr, "the pymalloc pool at 0x%llx contradicts itself: its blocks are not read",
                   (unsigned long long)addr);
        hr_builder_arena_at(b, a->arena)->corrupt = true;
        return HR_OK;
    }
    if (!read_free_chain(a, &p)) {
        hr_note_at(a->notes, HR_NOTE_DAMAGE, "heap.corrupt.pymalloc_chain", addr,
                   "the free chain of the pymalloc pool at 0x%llx is broken: some of its free blocks may count as used", (unsigned long long)addr);
        hr_builder_arena_at(b, a->arena)->corrupt = true;
    }
    for (uint32_t i = 0; i < p.cap; i++) {
        uint64_t off = head + i * p.size;
        bool is_free = off >= p.next || p.free[i >> 6] >> (i & 63) & 1;
        HR_TRY(hr_emit(b, addr + off, p.size, is_free ? HR_FREE : HR_USED));
    }
    return HR_OK;
}

/* cookie: address of the arena_object. */
static enum hr_status walk(void *self, uint64_t record, struct hr_builder *b)
{
    struct pymalloc *a = self;
    uint64_t addr = hr_py_word(a->py, record, HR_PY_ARENA_ADDRESS), end = addr + a->arena_size;
    uint64_t used = hr_py_word(a->py, record, HR_PY_ARENA_POOL_ADDRESS);
    uint64_t first = (addr + a->pool_size - 1) & ~(a->pool_size - 1);
    if (used < first || used > end)
        used = end;
    for (uint64_t p = first; p + a->pool_size <= used; p += a->pool_size)
        HR_TRY(emit_pool(a, p, b));
    uint64_t last = end & ~(a->pool_size - 1); /* what lies behind the last whole pool is overhead */
    return used < last ? hr_emit(b, used, last - used, HR_FREE) : HR_OK;
}

/* ---- finding the arenas ---- */
static bool arena_record_ok(const struct pymalloc *a, uint64_t record, uint32_t index, bool *live)
{
    uint64_t addr = hr_py_word(a->py, record, HR_PY_ARENA_ADDRESS);
    *live = addr != 0;
    if (!addr)
        return true;
    uint64_t pool = hr_py_word(a->py, record, HR_PY_ARENA_POOL_ADDRESS), first = (addr + a->pool_size - 1) & ~(a->pool_size - 1);
    uint32_t nfree = (uint32_t)hr_py_uint(a->py, record, HR_PY_ARENA_NFREEPOOLS, 4);
    uint32_t total = (uint32_t)hr_py_uint(a->py, record, HR_PY_ARENA_NTOTALPOOLS, 4);
    if (total != (a->arena_size - (first - addr)) / a->pool_size || nfree > total || pool < first || pool > addr + a->arena_size ||
        (pool & (a->pool_size - 1)) || !hr_image_find(a->py->image, addr, NULL))
        return false;
    return pool == first || hr_py_uint(a->py, first, HR_PY_POOL_ARENAINDEX, 4) == index || !hr_py_uint(a->py, first, HR_PY_POOL_COUNT, 4);
}

static enum hr_status declare(struct pymalloc *a, struct hr_builder *b)
{
    struct hr_allocator_info info = {.name = "pymalloc", .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    uint16_t id;
    snprintf(info.version, sizeof info.version, "%.31s", a->py->version);
    snprintf(info.evidence, sizeof info.evidence, "%s", a->how);
    HR_TRY(hr_builder_allocator(b, &info, a->shift, &id));
    hr_str name;
    HR_TRY(hr_strs_addz(a->py->image->strs, "pymalloc", &name));
    return hr_builder_arena(b, &(struct hr_arena){.name = name, .allocator = id}, &a->arena);
}

/* Reads an `arenas` array. max 0: unknown, goes on while records make sense. */
static enum hr_status read_arenas(struct pymalloc *a, uint64_t arenas, uint64_t max, struct hr_builder *b)
{
    uint64_t each = (uint64_t)a->py->at[HR_PYS_ARENA];
    for (uint32_t i = 0; i < a->nstates; i++)
        if (a->states[i] == arenas)
            return HR_OK;
    if (a->nstates < HR_PY_MAX_INTERPRETERS + 1)
        a->states[a->nstates++] = arenas;
    for (uint64_t i = 0; i < hr_min(max ? max : MAX_ARENAS, MAX_ARENAS); i++) {
        bool live;
        uint64_t record = arenas + i * each, probe;
        if (!hr_image_word(a->py->image, record, &probe))
            break;
        if (!arena_record_ok(a, record, (uint32_t)i, &live)) {
            if (!max)
                break;
            hr_note_at(a->notes, HR_NOTE_DAMAGE, "heap.corrupt.pymalloc_arena", record, "the pymalloc arena record at 0x%llx contradicts itself",
                       (unsigned long long)record);
            continue;
        }
        if (!live)
            continue;
        if (!a->narenas)
            HR_TRY(declare(a, b));
        HR_TRY(hr_builder_region(b, hr_py_word(a->py, record, HR_PY_ARENA_ADDRESS), a->arena_size, a->arena, walk, a, record));
        a->narenas++;
    }
    return HR_OK;
}

/* Without symbols (LTO, stripped): a word of the interpreter's writable data that leads to an array of arena records. */
static uint64_t search_arenas(const struct pymalloc *a, uint64_t *max_ret)
{
    const struct hr_image *img = a->py->image;
    uint64_t lo = a->py->data_lo, hi = a->py->data_hi;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        if (!(seg->flags & HR_SEG_W) || seg->addr + seg->msize <= lo || seg->addr >= hi)
            continue;
        for (size_t off = 0; off + img->word <= seg->bytes.n; off += img->word) {
            uint64_t at = hr_word_load(seg->bytes.p + off, img->word, img->big);
            bool live = false;
            if (!at || at & (img->word - 1u) || (a->py->module != HR_NONE && at >= lo && at < img->modules.v[a->py->module].hi) || !hr_image_find(img, at, NULL))
                continue;
            uint64_t first_addr;
            if (!hr_image_word(img, at, &first_addr) || !first_addr || first_addr & 0xfff)
                continue;
            if (!arena_record_ok(a, at, 0, &live) || !live)
                continue;
            *max_ret = 0;
            return at;
        }
    }
    return 0;
}

static enum hr_status find_static_arenas(struct pymalloc *a, struct hr_builder *b)
{
    uint64_t var = hr_py_symbol(a->py, "arenas"), max_var = hr_py_symbol(a->py, "maxarenas"), arenas = 0, max = 0;
    a->how = "arenas by symbol";
    if (var && hr_image_word(a->py->image, var, &arenas) && arenas)
        hr_image_uint(a->py->image, max_var, 4, &max);
    else if (!var) {
        arenas = search_arenas(a, &max);
        a->how = "arenas by the shape of their records";
    }
    HR_TRY(arenas ? read_arenas(a, arenas, max, b) : HR_ABSENT);
    return a->narenas ? HR_OK : HR_ABSENT; /* PYTHONMALLOC=malloc, or built without it */
}

static enum hr_status find_interpreter_arenas(struct pymalloc *a, struct hr_builder *b)
{
    for (uint32_t i = 0; i < a->py->ninterp; i++) {
        uint64_t state = a->py->interp[i] + (uint64_t)a->py->at[HR_PY_IS_OBMALLOC];
        if (hr_py_minor(a->py) >= 0x030d && !hr_image_word(a->py->image, state, &state))
            continue;
        uint64_t arenas = hr_py_word(a->py, state, HR_PY_OBMALLOC_MGMT_ARENAS);
        uint64_t max = hr_py_uint(a->py, state, HR_PY_OBMALLOC_MGMT_MAXARENAS, 4);
        if (arenas && max)
            HR_TRY(read_arenas(a, arenas, max, b));
    }
    return a->narenas ? HR_OK : HR_ABSENT;
}

static void set_geometry(struct pymalloc *a)
{
    bool large = hr_py_minor(a->py) >= 0x030a && a->py->image->word == 8; /* with the radix tree of 3.10 */
    a->arena_size = large ? 1 << 20 : 256 << 10;
    a->pool_size = large ? 16 << 10 : 4 << 10;
    a->shift = a->py->image->word == 8 ? 4 : 3;
}

static enum hr_status open_with(struct pymalloc *a, struct hr_builder *b)
{
    set_geometry(a);
    bool per_interpreter = hr_py_has(a->py, HR_PY_IS_OBMALLOC) && hr_py_minor(a->py) >= 0x030c;
    a->how = "obmalloc state of the interpreters";
    return per_interpreter ? find_interpreter_arenas(a, b) : find_static_arenas(a, b);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    struct pymalloc *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    a->notes = in->notes;
    enum hr_status st = hr_cpython_find(in->image, in->types, in->notes, &a->py);
    if (st == HR_OK)
        st = open_with(a, in->builder);
    if (st != HR_OK) {
        hr_free(a->py);
        hr_free(a);
        return st == HR_UNSUPPORTED ? HR_ABSENT : st;
    }
    *self_ret = a;
    return HR_OK;
}

static void close(void *self)
{
    struct pymalloc *a = self;
    hr_free(a->py);
    hr_free(a);
}

const struct hr_allocator hr_allocator_pymalloc = {.name = "pymalloc", .open = open, .close = close};
