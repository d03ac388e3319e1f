/* Doug Lea's malloc 2.8, as Emscripten and WASI programs have it.
 *
 * Its state is found by its shape: a top chunk of the recorded size that ends, but for a foot, where its segment ends, and small
 * bins whose two links agree where the bitmap calls them empty. A chunk: size of the one before (when that is free), own size with
 * PINUSE in bit 0 and CINUSE in bit 1, then what malloc returned. Chunks of a segment follow each other from its base to the top, or to
 * a fencepost where another segment took over. Layout: malloc.c 2.8.6, struct malloc_state; the same fields at 32 and 64 bits. */
#include <stdio.h>

#include "analyzer/allocators/embedded.h"

enum { PINUSE = 1, CINUSE = 2, FLAGS = 7, NSMALLBINS = 32, MAX_FOOT = 256, MAX_SEGMENTS = 4096 };

struct dl {
    const struct hr_image *img;
    struct hr_notes *notes;
    uint64_t state, top, top_size;
    struct hr_u64vec ends;     /* per segment: base and end */
    uint32_t arena;
};

/* Fields of the state: two 32-bit bitmaps, then words. */
enum { DVSIZE = 0, TOPSIZE = 1, LEAST = 2, TOP = 4, SMALLBINS = 8, FOOTPRINT = 106, SEG_BASE = 110, SEG_SIZE = 111, SEG_NEXT = 112 };

static uint64_t word_at(const struct hr_image *img, uint64_t at)
{
    uint64_t v = 0;
    return hr_image_word(img, at, &v) ? v : 0;
}
static uint64_t field(const struct hr_image *img, uint64_t state, unsigned n) { return word_at(img, state + 8 + (uint64_t)n * img->word); }

static bool bins_agree(const struct hr_image *img, uint64_t state)
{
    uint64_t map = 0, w = img->word;
    if (!hr_image_uint(img, state, 4, &map))
        return false;
    for (unsigned i = 0; i < NSMALLBINS; i++) {
        uint64_t bin = state + 8 + (SMALLBINS + 2 * i) * w, fd = word_at(img, bin + 2 * w), bk = word_at(img, bin + 3 * w);
        if (!fd || !bk || (!(map >> i & 1) && fd != bk)) /* of an emptied bin the last links stay */
            return false;
    }
    return true;
}

/* top: the word where the state would have its top. */
static bool is_state(const struct hr_image *img, uint64_t state, uint64_t top)
{
    uint64_t w = img->word, size = field(img, state, TOPSIZE), base = field(img, state, SEG_BASE), seg = field(img, state, SEG_SIZE);
    if (size < 4 * w || size & FLAGS || (word_at(img, top + w) & ~(uint64_t)CINUSE) != (size | PINUSE))
        return false;
    uint64_t least = field(img, state, LEAST), next = field(img, state, SEG_NEXT), foot = base + seg - (top + size);
    if (!least || least > base || field(img, state, FOOTPRINT) < seg || next & (w - 1))
        return false;
    bool in_first = top >= base && top < base + seg;
    return in_first && foot >= w && foot <= MAX_FOOT && bins_agree(img, state);
}

static uint64_t find_state(const struct hr_image *img)
{
    uint64_t w = img->word;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        if (!(seg->flags & HR_SEG_W) || seg->addr & (w - 1))
            continue;
        for (uint64_t off = 8 + TOP * w; off + w <= seg->bytes.n; off += w) {
            uint64_t top = hr_word_load(seg->bytes.p + off, (unsigned)w, img->big);
            if (!top || top & 7 || top - seg->addr >= seg->msize)
                continue; /* one memory: the heap lies where its state lies */
            uint64_t state = seg->addr + off - 8 - TOP * w;
            if (is_state(img, state, top))
                return state;
        }
    }
    return 0;
}

/* Where the chunks of a segment begin: its base, or half a granule behind, where blocks are aligned to four words. */
static uint64_t first_chunk(const struct dl *a, uint64_t base, uint64_t end)
{
    uint64_t w = a->img->word;
    for (unsigned k = 2; k <= 4; k += 2) {
        uint64_t align = k * w, at = ((base + 2 * w + align - 1) & ~(align - 1)) - 2 * w, first = at, size = 1;
        while (at < end && at != a->top && size) {
            size = word_at(a->img, at + w) & ~(uint64_t)FLAGS;
            if (size <= w || size > end - at)
                break; /* a fencepost, or nonsense */
            at += size;
        }
        if (at == a->top || size == w || at + 8 * w >= end)
            return first;
    }
    return base;
}

static enum hr_status walk(void *self, uint64_t n, struct hr_builder *b)
{
    struct dl *a = self;
    uint64_t w = a->img->word, end = a->ends.v[2 * n + 1], at = first_chunk(a, a->ends.v[2 * n], end), head, size;
    struct hr_arena *row = hr_builder_arena_at(b, a->arena);
    for (; at + 2 * w <= end && at != a->top; at += size) {
        head = word_at(a->img, at + w);
        size = head & ~(uint64_t)FLAGS;
        if (size == w)
            return HR_OK; /* fenceposts: the segment ends here */
        if (size < 4 * w || size > end - at) {
            hr_note_at(a->notes, HR_NOTE_DAMAGE, "heap.corrupt.size", at, "dlmalloc: the size of the chunk at 0x%llx makes no sense: what follows is not known",
                       (unsigned long long)at);
            row->corrupt = true;
            return hr_emit_unknown(b, at, end - at);
        }
        HR_TRY(hr_emit(b, at + 2 * w, size - w, head & CINUSE ? HR_USED : HR_FREE));
    }
    if (at == a->top && a->top_size > 2 * w) {
        HR_TRY(hr_emit(b, a->top + 2 * w, a->top_size - 2 * w, HR_FREE));
        row->top_bytes = a->top_size - 2 * w;
    }
    return HR_OK;
}

static enum hr_status declare(struct dl *a, struct hr_allocator_in *in)
{
    uint64_t w = a->img->word, seg = a->state + 8 + SEG_BASE * w;
    HR_TRY(hr_emb_declare(in, "dlmalloc", "2.8", "malloc_state by its shape", (uint8_t)__builtin_ctzll(2 * w), a->state, &a->arena));
    hr_builder_arena_at(in->builder, a->arena)->system_bytes = field(a->img, a->state, FOOTPRINT);
    HR_TRY(hr_builder_own(in->builder, a->state, 8 + 116 * w));
    for (unsigned n = 0; seg && n < MAX_SEGMENTS; n++) {
        uint64_t base = word_at(a->img, seg), size = word_at(a->img, seg + w);
        const struct hr_segment *s = hr_image_find(a->img, base, NULL);
        bool known = false;
        for (size_t i = 0; i < a->ends.n; i += 2)
            known |= a->ends.v[i] == base;
        if (!s || !size || size > s->addr + s->msize - base || known)
            break; /* the end, or a list that leads in a circle */
        HR_TRY(hr_u64vec_push(&a->ends, base));
        HR_TRY(hr_u64vec_push(&a->ends, base + size));
        HR_TRY(hr_builder_region(in->builder, base, size, a->arena, walk, a, n));
        seg = word_at(a->img, seg + 2 * w);
    }
    return a->ends.n ? HR_OK : HR_ABSENT;
}

static void close(void *self)
{
    struct dl *a = self;
    hr_u64vec_deinit(&a->ends);
    hr_free(a);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    /* a process of an operating system has its own malloc, which is known by name */
    uint64_t state = in->image->modules.n || in->image->threads.n ? 0 : find_state(in->image);
    if (!state)
        return HR_ABSENT;
    struct dl *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    *a = (struct dl){.img = in->image, .notes = in->notes, .state = state, .ends.max = 2 * MAX_SEGMENTS};
    a->top = field(a->img, state, TOP);
    a->top_size = field(a->img, state, TOPSIZE);
    enum hr_status st = declare(a, in);
    if (st != HR_OK) {
        close(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_dlmalloc = {.name = "dlmalloc", .open = open, .close = close};
