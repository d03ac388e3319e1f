/* The small mallocs: newlib-nano's and picolibc's, which came from it.
 *
 * A chunk is a size word (the whole chunk) and what malloc returned, aligned to two words. newlib-nano may leave one word of
 * padding in between, which then holds minus its own distance from the size word. Free chunks are linked through the word
 * behind the size, in ascending order; whatever is not on that list is in use. Chunks follow each other from
 * __malloc_sbrk_start to the program break. picolibc keeps the break in __malloc_sbrk_top; with nano it is the program's own
 * variable. From picolibc 1.8.7 on the list leads to the word behind the size instead of to the size; since 2026 bit 0 of
 * the size is set while the chunk is free, and small ones may lie on lists of their own, one for each power of two, unsorted.
 * Layout: newlib/libc/stdlib/nano-mallocr.c, picolibc's libc/stdlib/malloc.c; checked against images of newlib 3.3, picolibc 1.8,
 * 1.8.10 and of August 2026. */
#include <stdio.h>
#include <stdlib.h>

#include "analyzer/allocators/newlib_nano.h"

struct nano {
    const struct hr_image *img;
    struct hr_notes *notes;
    bool pico;
    uint64_t start, end;
    uint64_t link;              /* what list pointers are beyond the chunk's start */
    bool flagged;               /* bit 0 of sizes: free */
    uint64_t buckets, nbuckets; /* __malloc_bucket_list */
    struct hr_u64vec free;      /* chunk addresses, ascending */
    uint32_t arena;
    bool corrupt;
    bool broken;                /* the free list does not come to its end */
    uint64_t beyond;            /* chunk on it that lies behind the end of what was captured */
};

static const char *const own_names[] = {
    "__malloc_free_list", "__malloc_sbrk_start", "__malloc_sbrk_top", "__malloc_current_mallinfo", "__malloc_max_sbrked_mem",
    "__malloc_max_total_mem", "__malloc_block", "__malloc_bucket_list", NULL,
};

static const char *name_of(const struct nano *a) { return a->pico ? "picolibc" : "newlib-nano"; }

static void damage(struct nano *a, const char *code, uint64_t at, const char *what)
{
    a->corrupt = true;
    hr_note_at(a->notes, HR_NOTE_DAMAGE, code, at, "%s heap: %s at 0x%llx", name_of(a), what, (unsigned long long)at);
}

/* A free chunk not far behind the end of the captured memory that the heap begins in: RAM was cut short, the list is good. */
static bool beyond_capture(const struct nano *a, uint64_t chunk)
{
    enum { FAR = 16 << 20 }; /* no microcontroller has that much RAM in one piece */
    const struct hr_segment *s = hr_image_find(a->img, a->start, NULL);
    uint64_t end = s ? s->addr + s->bytes.n : 0;
    return s && !(chunk & (a->img->word - 1)) && chunk >= end && chunk - end < FAR && !hr_image_find(a->img, chunk, NULL);
}

/* The free list: ascending, so a list that does not ascend is smashed or a loop. */
static enum hr_status read_free(struct nano *a, uint64_t head)
{
    uint64_t w = a->img->word, at = head, next, last = 0;
    while (at && a->free.n < HR_EMB_MAX_CHUNKS) {
        uint64_t chunk = at - a->link;
        if (chunk > last && beyond_capture(a, chunk)) {
            hr_note_at(a->notes, HR_NOTE_DEGRADED, "heap.not_captured", chunk, "%s heap: it goes on at 0x%llx, which the image does not hold",
                       name_of(a), (unsigned long long)chunk);
            a->beyond = chunk;
            return HR_OK;
        }
        if (chunk < a->start || chunk <= last || !hr_image_word(a->img, chunk + w, &next)) {
            damage(a, "heap.corrupt.free-list", at, "the free list leads out of order");
            a->broken = true;
            return HR_OK;
        }
        HR_TRY(hr_u64vec_push(&a->free, chunk));
        last = chunk;
        at = next;
    }
    return HR_OK;
}

static int ascending(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

/* One list of a bucket: as many members at most as the heap has room for. */
static enum hr_status read_bucket(struct nano *a, uint64_t head)
{
    uint64_t w = a->img->word, left = (a->end - a->start) / (2 * w), size;
    for (uint64_t at = head, last = head; at; last = at) {
        uint64_t chunk = at - w;
        if (chunk < a->start || chunk >= a->end || !hr_image_word(a->img, chunk, &size) || !(size & 1) || !left--) {
            damage(a, "heap.corrupt.free-list", last, "a bucket's list of free chunks leads to none, or is a loop");
            return HR_OK;
        }
        HR_TRY(hr_u64vec_push(&a->free, chunk));
        if (!hr_image_word(a->img, at, &at))
            return HR_OK;
    }
    return HR_OK;
}

static enum hr_status read_buckets(struct nano *a)
{
    uint64_t head;
    for (uint64_t i = 0; i < a->nbuckets; i++)
        if (hr_image_word(a->img, a->buckets + i * a->img->word, &head))
            HR_TRY(read_bucket(a, head));
    if (!a->nbuckets || a->free.n < 2)
        return HR_OK;
    qsort(a->free.v, a->free.n, sizeof *a->free.v, ascending);
    size_t n = 1;
    for (size_t i = 1; i < a->free.n; i++) {
        if (a->free.v[i] != a->free.v[n - 1])
            a->free.v[n++] = a->free.v[i];
        else
            damage(a, "heap.corrupt.free-list", a->free.v[i], "a chunk is on the lists of free chunks twice (freed twice?)");
    }
    a->free.n = n;
    return HR_OK;
}

static uint64_t alignment(const struct nano *a) { return 2 * (uint64_t)a->img->word; }

/* Size of the chunk at `at`, 0 when it is none. Minimum: size and link word. */
static uint64_t size_at(const struct nano *a, uint64_t at, uint64_t limit)
{
    uint64_t size, w = a->img->word;
    if (!hr_image_word(a->img, at, &size) || (size & ~(uint64_t)a->flagged) < 2 * w || size & (w - 1) & ~(uint64_t)a->flagged || (size & ~(uint64_t)a->flagged) > limit - at)
        return 0;
    size &= ~(uint64_t)a->flagged;
    return size;
}

/* Chunks from the last bound on. */
static enum hr_status follow(const struct nano *a, uint64_t limit, struct hr_u64vec *out)
{
    uint64_t at = out->v[out->n - 1];
    for (uint64_t size; out->n < HR_EMB_MAX_CHUNKS && (size = size_at(a, at, limit)); ) {
        at += size;
        HR_TRY(hr_u64vec_push(out, at));
    }
    return HR_OK;
}

/* Where chunks can begin, from the start on, as long as they make sense. */
static enum hr_status read_bounds(const struct nano *a, uint64_t limit, struct hr_u64vec *out)
{
    uint64_t at = a->start;
    HR_TRY(hr_u64vec_push(out, at));
    return follow(a, limit, out);
}

/* Behind a smashed size the walk goes on at the next free chunk, if the list is good: the heap does not end before it. */
static enum hr_status resume_bounds(const struct nano *a, struct hr_u64vec *out)
{
    for (size_t i = 0; i < a->free.n && !a->broken && out->n < HR_EMB_MAX_CHUNKS; i++) {
        uint64_t at = a->free.v[i];
        const struct hr_segment *s = at > out->v[out->n - 1] ? hr_image_find(a->img, at, NULL) : NULL;
        if (!s || !size_at(a, at, s->addr + s->bytes.n))
            continue;
        HR_TRY(hr_u64vec_push(out, at));
        HR_TRY(follow(a, s->addr + s->bytes.n, out));
    }
    return HR_OK;
}

/* Padding in front of what malloc returned makes a negative offset word there (nano). */
static uint64_t user_of(const struct nano *a, uint64_t chunk)
{
    uint64_t user = chunk + a->img->word, mask = alignment(a) - 1;
    return a->pico ? user : (user + mask) & ~mask;
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct nano *a = self;
    size_t f = 0;
    (void)cookie;
    for (uint64_t at = a->start, size; at < a->end; at += size) {
        while (f < a->free.n && a->free.v[f] < at)
            damage(a, "heap.corrupt.free-list", a->free.v[f++], "a free chunk lies inside another chunk");
        bool is_free = f < a->free.n && a->free.v[f] == at;
        size = size_at(a, at, a->end);
        if (!size) {
            if (!hr_emb_missing(a->img, a->notes, name_of(a), at))
                damage(a, "heap.corrupt.size", at, "the size of the chunk makes no sense; up to the next free chunk nothing is known");
            size = hr_emb_above(&a->free, at, a->end) - at;
            HR_TRY(hr_emit_unknown(b, at, size));
            continue;
        }
        uint64_t word = 0;
        if (a->flagged && hr_image_word(a->img, at, &word) && (word & 1) != is_free)
            damage(a, "heap.corrupt.free-list", at, is_free ? "free: double free: a chunk on a list of free chunks is in use" : "a free chunk is on no list of free chunks");
        is_free |= word & 1;
        uint64_t from = is_free ? at + a->img->word : user_of(a, at);
        f += f < a->free.n && a->free.v[f] == at;
        if (from < at + size)
            HR_TRY(hr_emit(b, from, at + size - from, is_free ? HR_FREE : HR_USED));
    }
    hr_builder_arena_at(b, a->arena)->corrupt |= a->corrupt;
    return HR_OK;
}

/* Are sizes flagged? Then a walk that knows nothing of flags stops at the first free chunk, and one that does comes to the end. */
static enum hr_status decide_flag(struct nano *a, struct hr_allocator_in *in, uint64_t head, uint64_t limit, struct hr_u64vec *bounds)
{
    uint64_t w = a->img->word, size = 0, top, stop = bounds->v[bounds->n - 1], odd = 0;
    a->buckets = hr_emb_symbol(in, "__malloc_bucket_list", &size);
    a->nbuckets = a->buckets ? hr_min(size / w, 16) : 0;
    if (!a->pico || !hr_emb_word(in, "__malloc_sbrk_top", &top) || stop >= top || !hr_image_word(a->img, stop, &size) || !(size & 1))
        return HR_OK;
    a->flagged = true;
    bounds->n = 0;
    HR_TRY(read_bounds(a, limit, bounds));
    bool listed = head && hr_image_word(a->img, head - w, &odd) && odd & 1;
    if (bounds->n && (hr_emb_has(bounds, top) || (listed && bounds->v[bounds->n - 1] > stop))) {
        a->link = w;
        return HR_OK;
    }
    a->flagged = false;
    bounds->n = 0;
    return read_bounds(a, limit, bounds);
}

/* Does the chunk walk meet the list's first member, or the word behind it? */
static void decide_link(struct nano *a, uint64_t head, const struct hr_u64vec *bounds)
{
    if (a->pico && !a->flagged && head && !hr_emb_has(bounds, head) && hr_emb_has(bounds, head - a->img->word))
        a->link = a->img->word;
}

static enum hr_status find_end(struct nano *a, struct hr_allocator_in *in, const struct hr_u64vec *bounds, char *how, size_t cap)
{
    uint64_t end;
    if (a->pico && hr_emb_word(in, "__malloc_sbrk_top", &end) && end > a->start && hr_image_peek(a->img, end - 1, 1).n) {
        a->end = end;
        snprintf(how, cap, "__malloc_free_list and __malloc_sbrk_top by symbol");
        return HR_OK;
    }
    uint64_t least = a->free.n && !a->broken ? a->free.v[a->free.n - 1] : a->start; /* a variable that leads into the heap is no break */
    const struct hr_sym *brk = hr_emb_break(in, bounds, own_names, &end);
    if (brk && end > least) {
        a->end = end;
        snprintf(how, cap, "__malloc_free_list by symbol; program break in %.60s", brk->name);
        return hr_builder_own(in->builder, brk->addr, brk->size);
    }
    a->end = bounds->v[bounds->n - 1];
    snprintf(how, cap, "__malloc_free_list by symbol; the program break is not known, chunks are followed as far as they make sense");
    hr_note(a->notes, HR_NOTE_DEGRADED, "heap.no_break", "%s heap: no variable holds the program break; the heap may be read too far or not far enough",
            name_of(a));
    return HR_OK;
}

/* Only the list says what is free. Where it breaks off nobody can tell used from free any more: what lies behind its last good
 * member is left to the unexplained memory, whose pointers count, so that nothing is called lost that is held from there. */
static void give_up_rest(struct nano *a)
{
    if (!a->broken || a->flagged)
        return;
    uint64_t last = a->free.n ? a->free.v[a->free.n - 1] : a->start, to = last + (a->free.n ? size_at(a, last, a->end) : 0);
    if (to >= a->end)
        return;
    a->end = to;
    hr_note_at(a->notes, HR_NOTE_DEGRADED, "heap.not_read", to, "%s heap: from 0x%llx on used and free chunks cannot be told apart: none are reported there",
               name_of(a), (unsigned long long)to);
}

static enum hr_status settle(struct nano *a, struct hr_allocator_in *in, uint64_t head, struct hr_u64vec *bounds)
{
    char how[160];
    const struct hr_segment *s = hr_image_find(a->img, a->start, NULL);
    if (!s)
        return HR_ABSENT;
    HR_TRY(read_bounds(a, s->addr + s->bytes.n, bounds));
    HR_TRY(decide_flag(a, in, head, s->addr + s->bytes.n, bounds));
    decide_link(a, head, bounds);
    HR_TRY(read_free(a, head));
    HR_TRY(resume_bounds(a, bounds));
    HR_TRY(find_end(a, in, bounds, how, sizeof how));
    HR_TRY(read_buckets(a));
    give_up_rest(a);
    if (a->beyond)
        HR_TRY(hr_builder_unknown(in->builder, s->addr + s->bytes.n, a->beyond + a->img->word - s->addr - s->bytes.n));
    HR_TRY(hr_emb_declare(in, name_of(a), a->flagged ? "2026" : a->link ? "1.8.7+" : "", how, (uint8_t)__builtin_ctz(a->img->word), 0, &a->arena));
    HR_TRY(hr_emb_own(in, own_names));
    if (a->pico) /* picolibc's sbrk(); a program's own of that name is skipped by what it holds */
        HR_TRY(hr_emb_own(in, (const char *const[]){"brk", NULL}));
    return a->end > a->start ? hr_builder_region(in->builder, a->start, a->end - a->start, a->arena, walk, a, 0) : HR_OK;
}

/* Without symbols: the shape of it all. */
static enum hr_status settle_shape(struct nano *a, struct hr_allocator_in *in, const struct hr_nano_shape *s)
{
    char how[160];
    uint64_t w = a->img->word;
    a->end = s->end;
    a->link = s->link;
    a->flagged = s->flagged;
    HR_TRY(read_free(a, s->head));
    snprintf(how, sizeof how, "no symbols: %u chunks from 0x%llx, %u on the list in 0x%llx; break %s 0x%llx%s", s->chunks, (unsigned long long)s->start, s->free,
             (unsigned long long)s->head_at, s->end_at ? "in" : "not held,", (unsigned long long)(s->end_at ? s->end_at : s->end), s->others ? "; ambiguous" : "");
    hr_note_at(a->notes, HR_NOTE_INFO, "heap.guessed", s->start, "%s heap without symbols: %u chunks follow each other from 0x%llx (the word at 0x%llx) to 0x%llx, and the list of free ones "
               "from the word at 0x%llx has %u of them%s%s", name_of(a), s->chunks, (unsigned long long)s->start, (unsigned long long)s->start_at, (unsigned long long)s->end,
               (unsigned long long)s->head_at, s->free, s->end_at ? "" : "; no word holds its end, so it may be read too far or not far enough",
               s->others ? "; other words would do, too: this is the longest" : "");
    HR_TRY(hr_emb_declare(in, name_of(a), a->flagged ? "2026" : a->link ? "1.8.7+" : "", how, (uint8_t)__builtin_ctzll(w), 0, &a->arena));
    HR_TRY(hr_builder_own(in->builder, s->start_at, w));
    HR_TRY(hr_builder_own(in->builder, s->head_at, w));
    if (s->end_at)
        HR_TRY(hr_builder_own(in->builder, s->end_at, w));
    if (s->top_at)
        HR_TRY(hr_builder_own(in->builder, s->top_at, w));
    return hr_builder_region(in->builder, a->start, a->end - a->start, a->arena, walk, a, 0);
}

static void close(void *self)
{
    struct nano *a = self;
    hr_u64vec_deinit(&a->free);
    hr_free(a);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    uint64_t head, start, top;
    struct hr_nano_shape shape = {0};
    bool named = hr_emb_word(in, "__malloc_free_list", &head) && hr_emb_word(in, "__malloc_sbrk_start", &start);
    if (named ? !start : !in->image->bare || hr_emb_symbol(in, "__malloc_sbrk_start", NULL) || hr_emb_symbol(in, "__malloc_av_", NULL) || !hr_nano_by_shape(in->image, &shape))
        return HR_ABSENT;
    struct nano *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    *a = (struct nano){.img = in->image, .notes = in->notes, .start = named ? start : shape.start, .free.max = HR_EMB_MAX_CHUNKS,
                       .pico = named ? hr_emb_word(in, "__malloc_sbrk_top", &top) : shape.pico};
    struct hr_u64vec bounds = {.max = HR_EMB_MAX_CHUNKS + 1};
    enum hr_status st = named ? settle(a, in, head, &bounds) : settle_shape(a, in, &shape);
    hr_u64vec_deinit(&bounds);
    if (st != HR_OK) {
        close(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_newlib_nano = {.name = "newlib-nano", .open = open, .close = close};
