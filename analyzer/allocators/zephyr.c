/* Zephyr's sys_heap: k_heap, k_malloc's _system_heap, and heaps of the program's own.
 *
 * Chunks are counted in units of 8 bytes from struct z_heap, which is chunk 0 itself. A chunk begins with the size of its left
 * neighbour and its own size << 1 | in use; a free one goes on with the previous and the next chunk of its bucket's ring. These
 * are 16-bit numbers in heaps of less than 256 KiB on 32-bit machines, else 32-bit. A chunk of size 0, in use, ends the heap.
 * z_heap: chunk 0's header (8 bytes), number of the end chunk, bits of the buckets that are not empty, with
 * CONFIG_SYS_HEAP_RUNTIME_STATS three sums, then the buckets: the first chunk of those of 2^i to 2^(i+1)-1 usable units.
 * k_malloc() puts the address of its k_heap in front of what it returns; with CONFIG_SYS_HEAP_CANARIES (4.4) a unit at the end of
 * every chunk is the heap's own. malloc() asks for the alignment of the largest type, and behind a header of 4 bytes that is 4 bytes
 * further on (lib/libc/minimal, lib/libc/common).
 * Layout: lib/heap/heap.h of Zephyr 2.5 to 4.x; up to 2.4 (lib/os/heap.h) the two sizes are the other way round. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/embedded.h"

enum {
    UNIT = 8, MAX_HEAPS = 64,
    MAX_CHUNKS = 1 << 25, /* 256 MiB */
    LEFT, SIZE, PREV, NEXT,
};

struct zheap {
    uint64_t base, owner;  /* owner: struct sys_heap, 0 not found */
    uint32_t end, buckets_at, nbuckets;
    bool wide, swapped, stats, malloc; /* malloc: the C library's */
    uint32_t trail;        /* units at a chunk's end that are the heap's own: 1 with canaries */
    uint32_t arena;
};

struct zephyr {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct hr_types *types; /* during open only */
    struct zheap heap[MAX_HEAPS];
    uint32_t n;
    struct hr_fuel look;
};

static uint64_t place(const struct zheap *h, uint32_t c) { return h->base + (uint64_t)c * UNIT; }
static uint32_t header(const struct zheap *h) { return h->wide ? 8 : 4; }

/* A field of a chunk; UINT32_MAX when it is not in the image. */
static uint32_t field(const struct zephyr *z, const struct zheap *h, uint32_t c, unsigned f)
{
    unsigned width = h->wide ? 4 : 2, nr = h->swapped && f <= SIZE ? SIZE - f : f - LEFT;
    uint64_t v;
    return hr_image_uint(z->img, place(h, c) + nr * width, width, &v) ? (uint32_t)v : UINT32_MAX;
}
static uint32_t size_of(const struct zephyr *z, const struct zheap *h, uint32_t c) { return field(z, h, c, SIZE) >> 1; }

/* Does a chunk begin at c that its right neighbour knows? */
static bool sound(const struct zephyr *z, const struct zheap *h, uint32_t c)
{
    uint32_t size = size_of(z, h, c);
    return size && size <= h->end - c && field(z, h, c + size, LEFT) == size;
}

static void damage(const struct zephyr *z, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(z->notes, HR_NOTE_DAMAGE, code, at, "Zephyr %s: sys_heap_validate() would fail: %s at 0x%llx", hr_strs_get(z->img->strs, row->name), what, (unsigned long long)at);
}

/* ---- buckets ---- */

static uint32_t least(const struct zheap *h) { return (h->wide ? 2 : 1) + h->trail; }
static int bucket_of(const struct zheap *h, uint32_t size)
{
    uint32_t usable = size - least(h) + 1;
    return usable ? 31 - __builtin_clz(usable) : -1;
}

/* All rings: members are free chunks of the bucket's size, linked both ways. Marks them in `listed`; false: some is broken. */
static bool read_buckets(const struct zephyr *z, const struct zheap *h, struct hr_arena *row, uint8_t *listed)
{
    bool good = true;
    uint64_t avail = 0;
    hr_image_uint(z->img, h->base + 12, 4, &avail);
    for (uint32_t i = 0; i < h->nbuckets; i++) {
        uint64_t first = 0, at = h->base + h->buckets_at + 4ull * i;
        hr_image_uint(z->img, at, 4, &first);
        if ((avail >> i & 1) != (first != 0)) {
            damage(z, row, "heap.corrupt.free-list", at, "avail_buckets says otherwise than the bucket");
            good = false;
        }
        for (uint32_t c = (uint32_t)first; c;) {
            uint32_t next = c < h->end ? field(z, h, c, NEXT) : 0;
            if (c >= h->end || listed[c / 8] >> (c & 7) & 1 || next >= h->end || field(z, h, next, PREV) != c) {
                damage(z, row, "heap.corrupt.free-list", c >= h->end ? at : place(h, c), "a bucket's ring of free chunks is broken");
                good = false;
                break;
            }
            listed[c / 8] |= (uint8_t)(1u << (c & 7));
            if (field(z, h, c, SIZE) & 1) {
                damage(z, row, "heap.corrupt.free-list", place(h, c), "a chunk in use is on a bucket's list (freed twice?)");
                good = false;
            } else if (sound(z, h, c) && bucket_of(h, size_of(z, h, c)) != (int)i) {
                damage(z, row, "heap.corrupt.free-list", place(h, c), "a free chunk is in the bucket of another size");
            }
            c = next == first ? 0 : next;
        }
    }
    return good;
}

/* ---- walking ---- */

static uint32_t recover(const struct zephyr *z, const struct zheap *h, uint32_t c)
{
    while (++c < h->end)
        if (sound(z, h, c) && (c + size_of(z, h, c) == h->end || sound(z, h, c + size_of(z, h, c))))
            return c;
    return h->end;
}

/* Is c a chunk's start by what lies to its right, whatever is written in its own header? */
static uint32_t by_right(const struct zephyr *z, const struct zheap *h, uint32_t c)
{
    for (uint32_t k = c + 1; k <= h->end; k++)
        if (field(z, h, k, LEFT) == k - c && (k == h->end || sound(z, h, k)))
            return k - c;
    return 0;
}

static enum hr_status emit(const struct zephyr *z, const struct zheap *h, uint32_t c, uint32_t size, struct hr_builder *b)
{
    bool used = field(z, h, c, SIZE) & 1;
    uint64_t at = place(h, c) + header(h), bytes = (uint64_t)size * UNIT - header(h), v;
    if (used && h->trail && size > h->trail)
        bytes -= (uint64_t)h->trail * UNIT;
    if (used && h->owner && bytes > z->img->word && hr_image_word(z->img, at, &v) && v == h->owner) {
        at += z->img->word; /* k_malloc */
        bytes -= z->img->word;
    } else if (used && h->malloc && !h->wide && bytes > 4) {
        at += 4;
        bytes -= 4;
    }
    return bytes ? hr_emit(b, at, bytes, used ? HR_USED : HR_FREE) : HR_OK;
}

static void sums(const struct zephyr *z, const struct zheap *h, struct hr_arena *row, uint64_t free, uint64_t used, uint64_t nfree, uint64_t nused)
{
    unsigned w = z->img->word;
    uint64_t says_free = 0, says_used = 0, head = header(h) + (uint64_t)h->trail * UNIT;
    hr_image_word(z->img, h->base + 16, &says_free);
    hr_image_word(z->img, h->base + 16 + w, &says_used);
    /* whole chunks until 4.1, without their headers since */
    bool whole = says_free == free && says_used == used, usable = says_free == free - nfree * head && says_used == used - nused * head;
    if (!whole && !usable)
        damage(z, row, "heap.corrupt.free-bytes", h->base, "free_bytes and allocated_bytes are not the sums of the chunks: z_heap");
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    const struct zephyr *z = self;
    const struct zheap *h = &z->heap[cookie];
    struct hr_arena *row = hr_builder_arena_at(b, h->arena);
    HR_AUTOFREE uint8_t *listed = hr_zalloc(h->end / 8 + 1, 1);
    if (!listed)
        return HR_NOMEM;
    bool lists = read_buckets(z, h, row, listed), before = true, gap = false;
    struct hr_fuel fuel = hr_fuel(hr_min(16ull * h->end, HR_EMB_SEARCH / UNIT) + 4096);
    uint64_t free = 0, used = 0, nfree = 0, nused = 0;
    for (uint32_t c = size_of(z, h, 0), size; c < h->end; c += size) {
        size = size_of(z, h, c);
        bool torn = !size || size > h->end - c, is_used = field(z, h, c, SIZE) & 1, linked = !torn && field(z, h, c + size, LEFT) == size;
        if (!linked) {
            bool able = hr_burn(&fuel, 2ull * (h->end - c));
            uint64_t at = torn ? place(h, c) : place(h, c + size);
            if (hr_emb_missing(z->img, z->notes, "Zephyr", at))
                gap = true;
            else
                damage(z, row, "heap.corrupt.size", at, torn ? "the size of the chunk makes no sense" : "left_chunk(right_chunk(c)) == c: corrupted heap bounds (an overrun of the chunk to the left), the chunk");
            if (!able || torn || !(sound(z, h, c + size) || by_right(z, h, c + size))) {
                size = (able ? recover(z, h, c) : h->end) - c;
                HR_TRY(hr_emit_unknown(b, place(h, c), (uint64_t)size * UNIT));
                before = true;
                continue;
            }
        }
        bool on = listed[c / 8] >> (c & 7) & 1, solo = h->wide && size < least(h);
        if (lists && !is_used && !on && !solo)
            damage(z, row, "heap.corrupt.free-list", place(h, c), "a free chunk is in no bucket:");
        if (!before && !is_used && linked)
            damage(z, row, "heap.corrupt.not-merged", place(h, c), "two free chunks side by side");
        before = is_used;
        HR_TRY(emit(z, h, c, size, b));
        free += is_used || solo ? 0 : (uint64_t)size * UNIT;
        nfree += !is_used && !solo;
        used += is_used ? (uint64_t)size * UNIT : 0;
        nused += is_used;
    }
    if (h->stats && !row->corrupt && !gap)
        sums(z, h, row, free, used, nfree, nused);
    return HR_OK;
}

/* ---- finding ---- */

/* Which buckets have members is said twice: by bits, and by their heads. */
static bool buckets_agree(const struct zephyr *z, const struct zheap *h)
{
    uint64_t avail, first;
    if (!hr_image_uint(z->img, h->base + 12, 4, &avail) || (h->nbuckets < 32 && avail >> h->nbuckets))
        return false;
    for (uint32_t i = 0; i < h->nbuckets; i++)
        if (!hr_image_uint(z->img, h->base + h->buckets_at + 4ull * i, 4, &first) || (avail >> i & 1) != (first != 0) || first >= h->end)
            return false;
    return true;
}

/* Chunk 0 holds z_heap and its buckets and nothing else; that tells whether sums and canaries are there. */
static bool layout(const struct zephyr *z, struct zheap *h)
{
    uint32_t first = size_of(z, h, 0);
    struct zheap found = {0};
    if (first >= h->end || !(field(z, h, 0, SIZE) & 1) || field(z, h, 0, LEFT))
        return false;
    for (unsigned k = 0; k < 4; k++) {
        struct zheap t = *h;
        t.stats = k & 1;
        t.trail = k >> 1;
        int last = bucket_of(&t, t.end);
        t.nbuckets = (uint32_t)last + 1;
        t.buckets_at = 16 + (t.stats ? 3u * z->img->word : 0);
        if (last < 0 || (t.buckets_at + 4 * t.nbuckets + UNIT - 1) / UNIT + t.trail != first)
            continue;
        bool agree = buckets_agree(z, &t);
        if (agree || !found.base)
            found = t;
        if (agree)
            break;
    }
    if (!found.base)
        return false;
    *h = found;
    return true;
}

/* The two ends are written by nobody but sys_heap_init() and the neighbours of the last chunk. */
static bool ends(struct zephyr *z, struct zheap *h)
{
    if (!layout(z, h) || field(z, h, h->end, SIZE) != 1)
        return false;
    uint32_t left = field(z, h, h->end, LEFT), c = h->end - left;
    return left && left < h->end && (size_of(z, h, c) == left || c == size_of(z, h, 0));
}

/* How much of the heap hangs together: all, or (after damage) its better part. */
static bool chain(struct zephyr *z, const struct zheap *h)
{
    uint32_t good = 0, bad = 0;
    for (uint32_t c = 0, size; c < h->end; c += size) {
        if (!hr_burn(&z->look, 1))
            return false;
        bool ok = sound(z, h, c);
        size = ok ? size_of(z, h, c) : recover(z, h, c) - c;
        if (!ok && !hr_burn(&z->look, size))
            return false;
        good += ok;
        bad += !ok;
    }
    return good > 3 * bad;
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct zephyr *z = ctx;
    bool big = z->img->big;
    uint32_t end = hr_load32(p + 8, big);
    if (end < 4 || end > MAX_CHUNKS || n < 32)
        return 0;
    for (unsigned k = 0; k < 4; k++) {
        struct zheap h = {.base = at, .end = end, .wide = k & 1, .swapped = k & 2};
        uint32_t first = h.wide ? hr_load32(p + (h.swapped ? 0 : 4), big) : (uint32_t)hr_load(p + (h.swapped ? 0 : 2), 2, big);
        uint32_t left = h.wide ? hr_load32(p + (h.swapped ? 4 : 0), big) : (uint32_t)hr_load(p + (h.swapped ? 2 : 0), 2, big);
        if (left || !(first & 1) || first >> 1 < 3 || first >> 1 > 24 || (!h.wide && end > 0x7fff))
            continue;
        if (!ends(z, &h) || !chain(z, &h) || z->n == MAX_HEAPS)
            continue;
        z->heap[z->n++] = h;
        return (uint64_t)end * UNIT;
    }
    return 0;
}

/* The C library's heap is given its memory by sys_heap_init(), which keeps no more than where it begins. */
static bool is_malloc(struct zephyr *z, uint64_t at)
{
    uint64_t off;
    const struct hr_sym *s = hr_sym_at(z->types, at, &off);
    return s && !off && !strcmp(s->name, "z_malloc_heap");
}

/* struct sys_heap {z_heap, memory, bytes}: who owns which heap. */
static uint64_t look_owner(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct zephyr *z = ctx;
    unsigned w = z->img->word;
    uint64_t base = hr_word_load(p, w, z->img->big), mem = hr_word_load(p + w, w, z->img->big), bytes = hr_word_load(p + 2 * w, w, z->img->big);
    (void)n;
    for (uint32_t i = 0; i < z->n; i++) {
        struct zheap *h = &z->heap[i];
        uint64_t end = (mem + bytes - header(h)) & ~(uint64_t)(UNIT - 1);
        if (base == h->base && base - mem < UNIT && end == place(h, h->end))
            h->owner = at;
        if (base == h->base && is_malloc(z, at)) {
            h->owner = at;
            h->malloc = true;
        }
    }
    return 0;
}

static enum hr_status declare(struct zephyr *z, struct hr_allocator_in *in)
{
    char how[160], name[96];
    uint16_t id;
    const struct zheap *h = &z->heap[0];
    snprintf(how, sizeof how, "a z_heap at 0x%llx whose chunks know their neighbours; %s chunk headers%s", (unsigned long long)h->base, h->wide ? "8-byte" : "4-byte",
             h->stats ? "; CONFIG_SYS_HEAP_RUNTIME_STATS" : h->trail ? "; CONFIG_SYS_HEAP_CANARIES" : "");
    HR_TRY(hr_emb_allocator(in, "Zephyr", "", how, 2, &id));
    for (uint32_t i = 0; i < z->n; i++) {
        h = &z->heap[i];
        uint64_t off = 0;
        const struct hr_sym *s = hr_sym_at(in->types, h->owner ? h->owner : h->base, &off);
        if (s && !off)
            snprintf(name, sizeof name, "sys_heap %.60s", s->name);
        else
            snprintf(name, sizeof name, "sys_heap (0x%llx)", (unsigned long long)h->base);
        HR_TRY(hr_emb_arena(in, id, h->base, name, &z->heap[i].arena));
        if (h->owner)
            HR_TRY(hr_builder_own(in->builder, h->owner, 3ull * z->img->word));
        HR_TRY(hr_builder_region(in->builder, h->base, (uint64_t)h->end * UNIT + header(h), h->arena, walk, z, i));
    }
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    if (!in->image->bare)
        return HR_ABSENT;
    struct zephyr *z = hr_zalloc(1, sizeof *z);
    if (!z)
        return HR_NOMEM;
    z->img = in->image;
    z->notes = in->notes;
    z->types = in->types;
    z->look = hr_fuel(16 << 20);
    hr_emb_search(z->img, UNIT, 32, look, z);
    if (z->n)
        hr_emb_search(z->img, z->img->word, 3u * z->img->word, look_owner, z);
    enum hr_status st = z->n ? declare(z, in) : HR_ABSENT;
    if (st != HR_OK) {
        hr_free(z);
        return st;
    }
    *self_ret = z;
    return HR_OK;
}

const struct hr_allocator hr_allocator_zephyr = {.name = "Zephyr", .open = open, .close = hr_free};
