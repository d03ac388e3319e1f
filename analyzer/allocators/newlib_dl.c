/* newlib's full malloc: Doug Lea's 2.6.
 *
 * __malloc_av_ holds the bins as pairs of list words: av_[2] is the top chunk, list i hangs at av_[2i+2] and lies as if a
 * chunk began two words before it. A chunk: size of the one before (only when that is free), own size with PREV_INUSE in bit
 * 0, then what malloc returned; free: fd, bk. Chunks follow each other from __malloc_sbrk_base to the end of top.
 * Layout: newlib/libc/stdlib/mallocr.c; checked against images of newlib 3.3. */
#include <stdlib.h>

#include "analyzer/allocators/embedded.h"

enum {
    PREV_INUSE = 1, FLAGS = 3, NAV = 128,
    FAR = 16 << 20, /* no microcontroller has that much RAM in one piece */
};

struct dl {
    const struct hr_image *img;
    struct hr_notes *notes;
    uint64_t av, base, top, end;
    struct hr_u64vec free;      /* chunk addresses, ascending, top not among them */
    uint32_t arena;
    bool corrupt, unread;       /* unread: not all free chunks are in `free` */
};

static const char *const own_names[] = {
    "__malloc_av_", "__malloc_sbrk_base", "__malloc_top_pad", "__malloc_trim_threshold", "__malloc_current_mallinfo",
    "__malloc_max_sbrked_mem", "__malloc_max_total_mem", NULL,
};

static void damage(struct dl *a, const char *code, uint64_t at, const char *what)
{
    a->corrupt = true;
    hr_note_at(a->notes, HR_NOTE_DAMAGE, code, at, "newlib heap: %s at 0x%llx", what, (unsigned long long)at);
}

static uint64_t word_at(const struct dl *a, uint64_t at)
{
    uint64_t v = 0;
    return hr_image_word(a->img, at, &v) ? v : 0;
}
static uint64_t size_at(const struct dl *a, uint64_t chunk) { return word_at(a, chunk + a->img->word) & ~(uint64_t)FLAGS; }

/* Chunk sizes are multiples of two words; those of fenceposts (where somebody else called sbrk) are one. */
static bool sane(const struct dl *a, uint64_t chunk, uint64_t size)
{
    uint64_t w = a->img->word;
    return size >= w && !(size & (w - 1)) && size <= a->top - chunk;
}

/* On a list: both neighbours lead back. (A program's own ring holds what malloc returned, not chunks.) */
static bool linked(const struct dl *a, uint64_t chunk)
{
    uint64_t w = a->img->word, fd = word_at(a, chunk + 2 * w), bk = word_at(a, chunk + 3 * w);
    return fd && bk && word_at(a, fd + 3 * w) == chunk && word_at(a, bk + 2 * w) == chunk;
}

/* The next chunk says it; if that one is smashed or not captured, the lists do. */
static bool is_free(const struct dl *a, uint64_t chunk, uint64_t size)
{
    uint64_t next = chunk + size, head;
    if (!hr_image_word(a->img, next + a->img->word, &head) || (next < a->top && !sane(a, next, head & ~(uint64_t)FLAGS)))
        return linked(a, chunk);
    return !(head & PREV_INUSE);
}

/* A bin's chunks, each linked back to the one before it. */
static enum hr_status read_bin(struct dl *a, unsigned bin)
{
    uint64_t w = a->img->word, head = a->av + 2 * w * bin, prev = head, at;
    if (!hr_image_word(a->img, head + 2 * w, &at)) {
        a->unread = true;
        return HR_OK;
    }
    for (; at != head && a->free.n < HR_EMB_MAX_CHUNKS; at = word_at(a, at + 2 * w)) {
        if (!hr_image_peek(a->img, at, 1).n && at > a->base && at < a->top && !(at & (2 * w - 1))) {
            a->unread = true;
            return HR_OK;
        }
        if (at < a->base || at >= a->top || at & (w - 1) || word_at(a, at + 3 * w) != prev) {
            damage(a, "heap.corrupt.double-linked-list", at, "a list of free chunks is not linked back or leads out of the heap");
            a->unread = true;
            return HR_OK;
        }
        HR_TRY(hr_u64vec_push(&a->free, at)); /* led back to: no chunk comes twice */
        prev = at;
    }
    return HR_OK;
}

static int ascending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static enum hr_status read_bins(struct dl *a)
{
    for (unsigned i = 1; i < NAV; i++)
        HR_TRY(read_bin(a, i));
    if (a->free.n > 1)
        qsort(a->free.v, a->free.n, sizeof *a->free.v, ascending);
    return HR_OK;
}

/* Behind a chunk that cannot be read: the next one that a list of free chunks knows, or the top. */
static enum hr_status skip_unread(struct dl *a, struct hr_builder *b, uint64_t at, uint64_t *next_ret)
{
    uint64_t w = a->img->word;
    *next_ret = hr_emb_above(&a->free, at, a->top);
    if (!hr_emb_missing(a->img, a->notes, "newlib", at + w))
        damage(a, "heap.corrupt.size", at, "the size of the chunk makes no sense; up to the next free chunk nothing is known,");
    return hr_emit_unknown(b, at + w, *next_ret - at);
}

static enum hr_status walk_chunks(struct dl *a, struct hr_builder *b)
{
    uint64_t w = a->img->word, size, next, foot;
    size_t met = 0;
    bool all = true;
    for (uint64_t at = a->base; at < a->top; at = next) {
        size = size_at(a, at);
        if (!sane(a, at, size)) {
            HR_TRY(skip_unread(a, b, at, &next));
            all = false;
            continue;
        }
        next = at + size;
        bool is = is_free(a, at, size);
        met += is && hr_emb_has(&a->free, at);
        if (is && hr_image_word(a->img, next, &foot) && foot != size)
            damage(a, "heap.corrupt.prev-size", at, "the size at the end of the free chunk is another one,");
        if (is && !a->unread && !hr_emb_has(&a->free, at))
            damage(a, "heap.corrupt.bins", at, "a free chunk is on no list,");
        if (!is && hr_emb_has(&a->free, at))
            damage(a, "heap.corrupt.bins", at, "a chunk in use is on a list of free chunks (freed twice?),");
        if (size >= 4 * w) /* smaller: a fencepost */
            HR_TRY(hr_emit(b, at + 2 * w, size - w, is ? HR_FREE : HR_USED));
    }
    if (all && met != a->free.n && !a->corrupt)
        damage(a, "heap.corrupt.bins", a->av, "a list of free chunks leads into other chunks,");
    return HR_OK;
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct dl *a = self;
    uint64_t w = a->img->word, size = a->end - a->top;
    (void)cookie;
    HR_TRY(walk_chunks(a, b));
    if (size > 2 * w)
        HR_TRY(hr_emit(b, a->top + 2 * w, size - 2 * w, HR_FREE));
    struct hr_arena *row = hr_builder_arena_at(b, a->arena);
    row->corrupt |= a->corrupt;
    row->top_bytes = size > 2 * w ? size - 2 * w : 0;
    return HR_OK;
}

static enum hr_status settle(struct dl *a, struct hr_allocator_in *in)
{
    uint64_t w = a->img->word, mask = 2 * w - 1, arena = 0, size;
    a->base = (a->base + mask) & ~mask;
    size = size_at(a, a->top);
    if (a->top < a->base)
        return HR_ABSENT; /* nothing was allocated yet: top is a bin of av_ itself */
    uint64_t brk = 0;
    const struct hr_segment *s = hr_image_find(a->img, a->top, NULL);
    if (!s && (a->top - a->base > FAR || a->top & mask || !hr_image_find(a->img, a->base, NULL)))
        return HR_ABSENT;
    if (s && size > s->addr + s->msize - a->top) {
        damage(a, "heap.corrupt.top-size", a->top, "the size of the top chunk makes no sense,");
        size = 0;
    }
    a->end = a->top + (s ? hr_max(size, 2 * w) : 0); /* else the captured memory ends below the top */
    HR_TRY(read_bins(a));
    HR_TRY(hr_emb_declare(in, "newlib", "", "__malloc_av_ and __malloc_sbrk_base by symbol", (uint8_t)__builtin_ctzll(2 * w), a->av, &a->arena));
    if (hr_emb_word(in, "__malloc_current_mallinfo", &arena)) /* its first word is what sbrk() gave in all */
        hr_builder_arena_at(in->builder, a->arena)->system_bytes = (uint32_t)arena;
    HR_TRY(hr_emb_own(in, own_names));
    const struct hr_sym *var = hr_emb_break(in, &(struct hr_u64vec){.v = &a->end, .n = 1}, own_names, &brk);
    if (var)
        HR_TRY(hr_builder_own(in->builder, var->addr, var->size));
    return hr_builder_region(in->builder, a->base, a->end - a->base, a->arena, walk, a, 0);
}

static void close(void *self)
{
    struct dl *a = self;
    hr_u64vec_deinit(&a->free);
    hr_free(a);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    uint64_t av = hr_emb_symbol(in, "__malloc_av_", NULL), base, top, w = in->image->word;
    if (!av || !hr_emb_word(in, "__malloc_sbrk_base", &base) || !hr_image_word(in->image, av + 2 * w, &top) || base + 1 == 0)
        return HR_ABSENT;
    struct dl *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    *a = (struct dl){.img = in->image, .notes = in->notes, .av = av, .base = base, .top = top, .free.max = HR_EMB_MAX_CHUNKS};
    enum hr_status st = settle(a, in);
    if (st != HR_OK) {
        close(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_newlib_dl = {.name = "newlib", .open = open, .close = close};
