/* umm_malloc (R. Hempel): heaps of up to 32,767 equal blocks, as on the ESP8266.
 *
 * A block begins with two 16-bit numbers of blocks: the next one, with the top bit set while this one is free, and the one
 * before. Behind them is what umm_malloc returned, or the numbers of the next and the previous free block. Block 0 is the head
 * of the list of free blocks, the last one has no next. With UMM_POISON_CHECK a length (16 bits; 32 in the ESP8266's copy)
 * counts itself, four bytes 0xa5, what the program asked for, and four more.
 * Layout: umm_malloc.c and umm_poison.c of 1.0 to 1.1.2; the structure {heap, bytes, blocks} is umm_heap_config's. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/embedded.h"

enum {
    FREE = 0x8000, NUMBER = 0x7fff,
    MAX_HEAPS = 8,         /* several are a compile-time choice; the ESP8266 has three at most */
    MAX_BODY = 256,        /* UMM_BLOCK_BODY_SIZE: 8 unless configured, powers of two in practice */
    POISON = 0xa5, SIDE = 4, /* UMM_POISON_SIZE_BEFORE and _AFTER */
};

struct heap {
    uint64_t base, config;
    uint32_t blocks, body, arena;
    unsigned len;          /* bytes of the poison's length field, 0: no poison */
};

struct umm {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct heap heap[MAX_HEAPS];
    uint32_t n;
    uint8_t listed[FREE / 8]; /* bit per block: on the list of free blocks */
    bool list_broken, quiet;
    uint32_t faults;
    struct hr_fuel fuel, look; /* look: steps along what only looks like a heap */
};

static uint64_t place(const struct heap *h, uint32_t c) { return h->base + (uint64_t)c * h->body; }

/* Field 0 next, 1 previous, 2 next free, 3 previous free. A block number out of the heap when it is not in the image. */
static uint32_t field(const struct umm *a, const struct heap *h, uint32_t c, unsigned nr)
{
    uint64_t v;
    return hr_image_uint(a->img, place(h, c) + 2 * nr, 2, &v) ? (uint32_t)v : NUMBER;
}
static uint32_t next_of(const struct umm *a, const struct heap *h, uint32_t c) { return field(a, h, c, 0) & NUMBER; }

static void damage(struct umm *a, const char *code, uint64_t at, const char *what)
{
    a->faults++;
    if (!a->quiet)
        hr_note_at(a->notes, HR_NOTE_DAMAGE, code, at, "umm_malloc: %s would fail: %s at 0x%llx", strcmp(code, "heap.corrupt.canary") ? "umm_integrity_check()" : "umm_poison_check()", what, (unsigned long long)at);
}

static void read_list(struct umm *a, const struct heap *h)
{
    memset(a->listed, 0, sizeof a->listed);
    a->list_broken = false;
    for (uint32_t prev = 0, cur, n = 0; n <= h->blocks && (cur = field(a, h, prev, 2)); prev = cur, n++) {
        a->list_broken = cur >= h->blocks || field(a, h, cur, 3) != prev || a->listed[cur / 8] >> (cur & 7) & 1;
        if (a->list_broken) {
            damage(a, "heap.corrupt.free-list", place(h, prev), cur >= h->blocks ? "too large next free num in the block" : "free links don't match in the block");
            return;
        }
        a->listed[cur / 8] |= (uint8_t)(1u << (cur & 7));
    }
}

/* Does a block begin at c, as far as its own links say? */
static bool sound(const struct umm *a, const struct heap *h, uint32_t c)
{
    uint32_t next = next_of(a, h, c);
    return c + 1 == h->blocks ? !next : next > c && next < h->blocks && field(a, h, next, 1) == c;
}

/* The block behind c, whose own word for it is wrong: the one that says it comes after c, else the next that is sound. */
static uint32_t recover(struct umm *a, const struct heap *h, uint32_t c, bool *sure_ret)
{
    *sure_ret = true;
    for (uint32_t k = c + 1; k < h->blocks && hr_burn(&a->fuel, 1); k++)
        if (field(a, h, k, 1) == c && sound(a, h, k))
            return k;
    *sure_ret = false;
    for (uint32_t k = c + 1; k < h->blocks && hr_burn(&a->fuel, 1); k++)
        if (sound(a, h, k) && (k + 1 == h->blocks || sound(a, h, next_of(a, h, k))))
            return k;
    return h->blocks - 1;
}

/* Is there a block that says it comes after `next`? Then `next` is a block's start, whatever is written there now. */
static bool followed(struct umm *a, const struct heap *h, uint32_t next)
{
    for (uint32_t k = next + 1; k < h->blocks && hr_burn(&a->fuel, 1); k++)
        if (field(a, h, k, 1) == next && sound(a, h, k))
            return true;
    return false;
}

/* Used block with poison: what the program asked for, and what is wrong around it. */
static void unpoison(struct umm *a, const struct heap *h, uint64_t *at, uint64_t *size)
{
    uint64_t len, bad, pad = h->len + SIDE;
    if (!hr_image_uint(a->img, *at, h->len, &len) || len < pad + SIDE || len > *size) {
        damage(a, "heap.corrupt.canary", *at, "the length in front of the poison makes no sense");
        len = *size + SIDE; /* all of the block */
    } else {
        if (!hr_emb_filled(a->img, *at + h->len, SIDE, POISON, &bad))
            damage(a, "heap.corrupt.canary", bad, "no poison before the block: an underrun");
        if (!hr_emb_filled(a->img, *at + len - SIDE, SIDE, POISON, &bad)) {
            char what[120];
            snprintf(what, sizeof what, "no poison after the block: an overrun of the %llu bytes at 0x%llx", (unsigned long long)(len - pad - SIDE), (unsigned long long)(*at + pad));
            damage(a, "heap.corrupt.canary", bad, what);
        }
    }
    *at += pad;
    *size = len - pad - SIDE;
}

/* torn: the block's own number is damaged, so that the list alone knows whether it is free. */
static enum hr_status one(struct umm *a, const struct heap *h, uint32_t c, uint32_t end, bool torn, struct hr_builder *b)
{
    bool listed = a->listed[c / 8] >> (c & 7) & 1, is_free = torn ? listed : field(a, h, c, 0) & FREE;
    if (torn && a->list_broken)
        return b ? hr_emit_unknown(b, place(h, c), (uint64_t)(end - c) * h->body) : HR_OK;
    uint64_t at = place(h, c) + 4, size = (uint64_t)(end - c) * h->body - 4;
    if (listed != is_free && (listed || !a->list_broken))
        damage(a, "heap.corrupt.free-list", place(h, c), listed ? "mask wrong: a block in use is on the list of free blocks," : "mask wrong: a free block is not on the list");
    if (h->len && !is_free)
        unpoison(a, h, &at, &size);
    return b && size ? hr_emit(b, at, size, is_free ? HR_FREE : HR_USED) : HR_OK;
}

/* b NULL: only counts the faults. */
static enum hr_status run(struct umm *a, const struct heap *h, struct hr_builder *b)
{
    a->faults = 0;
    a->fuel = hr_fuel(64ull * h->blocks);
    read_list(a, h);
    for (uint32_t c = 1, next; c + 1 < h->blocks; c = next) {
        bool sure = true, torn = false;
        next = next_of(a, h, c);
        if (next <= c || next >= h->blocks || field(a, h, next, 1) != c) {
            bool range = next <= c || next >= h->blocks;
            if (a->quiet || !hr_emb_missing(a->img, a->notes, "umm_malloc", place(h, range ? c : next)))
                damage(a, "heap.corrupt.size", place(h, range ? c : next), range ? "the next block num makes no sense in the block" : "block links don't match: an overrun of the block before it, or another size there,");
            uint32_t kept = next;
            torn = range;
            next = recover(a, h, c, &sure);
            if (!sure && !range && (sound(a, h, kept) || followed(a, h, kept))) {
                next = kept;
                sure = true;
            }
        }
        if (sure)
            HR_TRY(one(a, h, c, next, torn, b));
        else if (b)
            HR_TRY(hr_emit_unknown(b, place(h, c), (uint64_t)(next - c) * h->body));
    }
    return HR_OK;
}

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct umm *a = self;
    enum hr_status st = run(a, &a->heap[cookie], b);
    hr_builder_arena_at(b, a->heap[cookie].arena)->corrupt |= a->faults > 0;
    return st;
}

/* Poison is everywhere or nowhere; one damaged block does not hide it. */
static unsigned poison(const struct umm *a, const struct heap *h)
{
    for (unsigned len = 2; len <= 4; len += 2) {
        uint32_t yes = 0, no = 0;
        for (uint32_t c = 1, next; c + 1 < h->blocks && (next = next_of(a, h, c)) > c && next < h->blocks; c = next) {
            uint64_t n, at = place(h, c) + 4;
            if (field(a, h, c, 0) & FREE)
                continue;
            if (hr_emb_filled(a->img, at + len, SIDE, POISON, NULL) && hr_image_uint(a->img, at, len, &n) && n >= len + 2 * SIDE && n <= (uint64_t)(next - c) * h->body - 4)
                yes++;
            else
                no++;
        }
        if (yes > 3 * no)
            return len;
    }
    return 0;
}

static bool known(const struct umm *a, uint64_t base)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (base - a->heap[i].base < (uint64_t)a->heap[i].blocks * a->heap[i].body)
            return true;
    return false;
}

static void take(struct umm *a, struct heap h)
{
    if (a->n == MAX_HEAPS || known(a, h.base))
        return;
    h.len = poison(a, &h);
    a->heap[a->n++] = h;
}

/* The first and the last block are where their numbers are known whatever the program wrote in between. */
static bool ends(const struct umm *a, const struct heap *h)
{
    uint32_t last = h->blocks - 1;
    return field(a, h, 0, 0) == 1 && field(a, h, 0, 1) == 0 && field(a, h, 1, 1) == 0 &&
           field(a, h, last, 0) == 0 && field(a, h, last, 1) < last && field(a, h, 0, 2) < last;
}

/* {heap, bytes, number of blocks} at p. */
static bool config(const struct umm *a, const uint8_t *p, struct heap *h)
{
    unsigned w = a->img->word;
    uint64_t bytes = hr_word_load(p + w, w, a->img->big);
    h->base = hr_word_load(p, w, a->img->big);
    h->blocks = (uint32_t)hr_load(p + 2 * w, 2, a->img->big);
    if (h->base & 3 || !h->base || h->blocks < 3 || h->blocks > NUMBER || bytes < 8ull * h->blocks || bytes > (uint64_t)MAX_BODY * (h->blocks + 1))
        return false;
    h->body = (uint32_t)(bytes / h->blocks) & ~3u;
    return h->body >= 8 && h->body <= MAX_BODY && bytes / h->body == h->blocks && ends(a, h);
}

/* Do blocks that know each other make up most of it? */
static bool coherent(struct umm *a, const struct heap *h)
{
    uint32_t good = 0, covered = 0, c = 1;
    a->fuel = hr_fuel(4ull * h->blocks);
    while (c + 1 < h->blocks && hr_burn(&a->fuel, 1)) {
        bool sure, ok = sound(a, h, c);
        uint32_t next = ok ? next_of(a, h, c) : recover(a, h, c, &sure);
        good += ok;
        covered += ok ? next - c : 0;
        c = next;
    }
    return 2 * covered >= h->blocks && (good >= 4 || covered + 2 >= h->blocks);
}

static uint64_t look_config(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct umm *a = ctx;
    struct heap h = {.config = at};
    (void)n;
    if (config(a, p, &h) && coherent(a, &h))
        take(a, h);
    return 0;
}

/* Without that structure (before 1.1 they are three variables): a whole heap without a fault. */
static uint64_t look_heap(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct umm *a = ctx;
    bool big = a->img->big;
    if (hr_load(p, 2, big) != 1 || hr_load(p + 2, 2, big))
        return 0;
    for (uint32_t body = 8; body <= MAX_BODY && 3 * body <= n; body *= 2) {
        struct heap h = {.base = at, .body = body, .blocks = FREE};
        uint32_t c = 1, links = 0;
        for (uint32_t next; hr_burn(&a->look, 1) && (uint64_t)c * body + 4 <= n && (next = next_of(a, &h, c)) > c && field(a, &h, next, 1) == c; c = next)
            links++;
        h.blocks = c + 1;
        if (links < (c < 64 ? 12 : 4) || next_of(a, &h, c) || !ends(a, &h) || field(a, &h, c, 0))
            continue;
        if (!hr_burn(&a->look, h.blocks) || run(a, &h, NULL) != HR_OK || a->faults)
            continue;
        take(a, h);
        return (uint64_t)h.blocks * body;
    }
    return 0;
}

/* umm_heap_current of 1.1; umm_heap and umm_numblocks (or heap_context[0]'s first word) before it and on the ESP8266. */
static void by_symbol(struct umm *a, struct hr_allocator_in *in)
{
    uint64_t at = hr_emb_symbol(in, "umm_heap_current", NULL), base;
    struct hr_span s = hr_image_peek(a->img, at, 3ull * a->img->word);
    struct heap h = {.config = at};
    if (at && s.n == 3u * a->img->word && config(a, s.p, &h))
        take(a, h);
    static const char *const names[] = {"umm_heap", "heap_context"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !a->n; i++)
        if (hr_emb_word(in, names[i], &base) && (s = hr_image_peek(a->img, base, (uint64_t)FREE * MAX_BODY)).n >= 32) {
            a->quiet = true;
            look_heap(a, base, s.p, s.n);
            a->quiet = false;
        }
}

static enum hr_status declare(struct umm *a, struct hr_allocator_in *in)
{
    static const char *const own[] = {"umm_heap_current", "umm_heap", "umm_numblocks", "umm_heap_size", "ummHeapInfo", "heap_context", NULL};
    char how[160];
    uint16_t id;
    const struct heap *h = &a->heap[0];
    uint8_t shift = 2;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->heap[i].len == 2)
            shift = 1;
    snprintf(how, sizeof how, "blocks of %u bytes from 0x%llx whose numbers agree%s%s", h->body, (unsigned long long)h->base,
             h->config ? "; umm_heap_config" : "", h->len ? "; UMM_POISON_CHECK" : "");
    HR_TRY(hr_emb_allocator(in, "umm_malloc", "", how, shift, &id));
    HR_TRY(hr_emb_own(in, own));
    for (uint32_t i = 0; i < a->n; i++) {
        char name[40];
        snprintf(name, sizeof name, "umm_malloc (0x%llx)", (unsigned long long)a->heap[i].base);
        HR_TRY(hr_emb_arena(in, id, a->heap[i].base, a->n > 1 ? name : "umm_malloc", &a->heap[i].arena));
        if (a->heap[i].config)
            HR_TRY(hr_builder_own(in->builder, a->heap[i].config, 3ull * a->img->word));
        HR_TRY(hr_builder_region(in->builder, a->heap[i].base, (uint64_t)a->heap[i].blocks * a->heap[i].body, a->heap[i].arena, walk, a, i));
    }
    return HR_OK;
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    struct umm *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    a->img = in->image;
    a->notes = in->notes;
    a->look = hr_fuel(16 << 20);
    by_symbol(a, in);
    hr_emb_search(a->img, a->img->word, 3u * a->img->word, look_config, a);
    a->quiet = true;
    if (!a->n)
        hr_emb_search(a->img, 4, 32, look_heap, a);
    a->quiet = false;
    enum hr_status st = a->n ? declare(a, in) : HR_ABSENT;
    if (st != HR_OK) {
        hr_free(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_umm = {.name = "umm_malloc", .open = open, .close = hr_free};
