/* ThreadX: byte pools and block pools.
 *
 * A pool's control block begins with an id ("BYTE", "BLOC") and its name, and sits in a ring of all pools of its kind. In a byte
 * pool each block begins with the next block's address and a word that is 0xffffeeee while it is free and the pool's address
 * while it is in use; the last one leads back to the start. In a block pool each block has one word in front: the next free
 * block, or the pool while it is in use.
 * Layout: tx_api.h, tx_byte_*.c and tx_block_*.c of ThreadX 5 to 6.4; ULONG is 32 bits in some 64-bit ports. */
#include <stdio.h>

#include "analyzer/allocators/embedded.h"

enum {
    BYTE_ID = 0x42595445, BLOCK_ID = 0x424c4f43,
    MAX_POOLS = 256,       /* applications have a handful */
};
#define FREE_MARK 0xffffeeeeu

struct pool {
    uint64_t at, size_of;  /* the control block */
    uint64_t start, size, avail, list;
    uint64_t each, count;  /* block pool: bytes of a block without its word, how many */
    bool blocks;
    uint32_t arena;
};

struct threadx {
    const struct hr_image *img;
    struct hr_notes *notes;
    struct pool *pool;     /* MAX_POOLS */
    uint32_t n;
    bool dropped;
    struct hr_fuel look;   /* ids that are looked at: text and tables may have them */
};

static void damage(struct threadx *t, struct hr_arena *row, const char *code, uint64_t at, const char *what)
{
    row->corrupt = true;
    hr_note_at(t->notes, HR_NOTE_DAMAGE, code, at, "ThreadX %s: %s at 0x%llx", hr_strs_get(t->img->strs, row->name), what, (unsigned long long)at);
}

/* ---- byte pools ---- */

/* What the word behind a block's link says: 1 in use, 0 free, -1 neither. */
static int owner(const struct threadx *t, const struct pool *p, uint64_t at)
{
    uint64_t v;
    if (!hr_image_word(t->img, at + t->img->word, &v))
        return -1;
    return (v & 0xffffffff) == FREE_MARK ? 0 : v == p->at ? 1 : -1;
}

static bool header(const struct threadx *t, const struct pool *p, uint64_t at, uint64_t *next_ret)
{
    uint64_t w = t->img->word, last = p->start + p->size - 2 * w;
    return hr_image_word(t->img, at, next_ret) && *next_ret >= at + 2 * w && *next_ret <= last && !(*next_ret & (w - 1)) && owner(t, p, at) >= 0;
}

static uint64_t recover(const struct threadx *t, const struct pool *p, uint64_t at)
{
    uint64_t w = t->img->word, last = p->start + p->size - 2 * w, next, after;
    for (at += 2 * w; at < last; at += w)
        if (header(t, p, at, &next) && (next == last || header(t, p, next, &after)))
            return at;
    return last;
}

static enum hr_status walk_bytes(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct threadx *t = self;
    const struct pool *p = &t->pool[cookie];
    struct hr_arena *row = hr_builder_arena_at(b, p->arena);
    uint64_t w = t->img->word, last = p->start + p->size - 2 * w, sum = 0, next;
    bool gap = false;
    struct hr_fuel fuel = hr_fuel(hr_min(16 * p->size, HR_EMB_SEARCH) + 4096);
    for (uint64_t at = p->start; at < last; at = next) {
        if (!header(t, p, at, &next)) {
            if (hr_emb_missing(t->img, t->notes, "ThreadX", at))
                gap = true;
            else
                damage(t, row, "heap.corrupt.size", at, owner(t, p, at) < 0 ? "the owner is neither TX_BYTE_BLOCK_FREE nor the pool (an overrun of the block before it?): the block" : "the next pointer leads nowhere: the block");
            next = hr_burn(&fuel, last - at) ? recover(t, p, at) : last;
            HR_TRY(hr_emit_unknown(b, at, next - at));
            continue;
        }
        bool is_free = !owner(t, p, at);
        if (is_free)
            sum += next - at;
        if (next > at + 2 * w)
            HR_TRY(hr_emit(b, at + 2 * w, next - at - 2 * w, is_free ? HR_FREE : HR_USED));
    }
    if (hr_image_word(t->img, last, &next) && (next != p->start || owner(t, p, last) != 1))
        damage(t, row, "heap.corrupt.end", last, "the pool's last block does not lead back to its start:");
    if (!row->corrupt && !gap && sum != p->avail)
        damage(t, row, "heap.corrupt.free-bytes", p->at, "tx_byte_pool_available is not the sum of the free blocks: the pool");
    return HR_OK;
}

/* ---- block pools ---- */

static enum hr_status walk_blocks(void *self, uint64_t cookie, struct hr_builder *b)
{
    struct threadx *t = self;
    const struct pool *p = &t->pool[cookie];
    struct hr_arena *row = hr_builder_arena_at(b, p->arena);
    uint64_t w = t->img->word, step = p->each + w, v, free = 0;
    HR_AUTOFREE uint8_t *listed = hr_zalloc((size_t)(p->count / 8 + 1), 1);
    if (!listed)
        return HR_NOMEM;
    uint64_t n, bad;
    if (!hr_emb_pool_free(t->img, &(struct hr_emb_pool){p->start, step, p->count, p->list}, listed, &n, &bad))
        damage(t, row, "heap.corrupt.free-list", bad, "the list of available blocks leaves the pool or is a loop");
    for (uint64_t i = 0, at = p->start; i < p->count; i++, at += step) {
        bool is_free = hr_emb_bit(listed, i);
        free += is_free;
        if (!is_free && hr_image_word(t->img, at, &v) && v != p->at)
            damage(t, row, "heap.corrupt.link", at, "a block that is not available does not name its pool (an overrun of the block before it?)");
        HR_TRY(hr_emit(b, at + w, p->each, is_free ? HR_FREE : HR_USED));
    }
    if (!row->corrupt && free != p->avail)
        damage(t, row, "heap.corrupt.free-bytes", p->at, "tx_block_pool_available is not the number of available blocks: the pool");
    return HR_OK;
}

/* ---- finding ---- */

struct fields {
    const struct threadx *t;
    uint64_t at, off;
    bool bad;
};
static uint64_t field(struct fields *f, unsigned size)
{
    uint64_t v = 0;
    f->off = (f->off + size - 1) & ~(uint64_t)(size - 1);
    f->bad |= !hr_image_uint(f->t->img, f->at + f->off, size, &v);
    f->off += size;
    return v;
}

/* The control block, with ULONGs of `u` bytes: its ring closes beside it and its memory is where memory is. */
static bool control(const struct threadx *t, uint64_t at, unsigned u, struct pool *p)
{
    unsigned w = t->img->word;
    struct fields f = {.t = t, .at = at};
    uint64_t id = field(&f, u), next, prev, v;
    *p = (struct pool){.at = at, .blocks = id == BLOCK_ID};
    field(&f, w); /* name */
    if (p->blocks) {
        p->avail = field(&f, 4);
        p->count = field(&f, 4);
        p->list = field(&f, w);
        p->start = field(&f, w);
        p->size = field(&f, u);
        p->each = field(&f, 4);
    } else {
        p->avail = field(&f, u);
        field(&f, 4); /* fragments */
        p->list = field(&f, w);
        field(&f, w); /* where the next search begins */
        p->start = field(&f, w);
        p->size = field(&f, u);
        field(&f, w); /* owner of a search */
    }
    field(&f, w); /* who waits */
    field(&f, 4);
    next = field(&f, w);
    prev = field(&f, w);
    p->size_of = f.off;
    if (f.bad || (id != BYTE_ID && id != BLOCK_ID) || !p->size || p->size & 3 || p->start & (w - 1) || p->size > 64 << 20 || !hr_emb_ram(t->img, p->start, w))
        return false;
    if (p->blocks ? p->avail > p->count || !p->each || p->each > p->size || p->count != p->size / (p->each + w) : p->size < 4 * w || p->list != p->start)
        return false;
    /* previous of the next one, next of the previous one: this one */
    return hr_image_word(t->img, next + (f.off - w), &v) && v == at && hr_image_word(t->img, prev + (f.off - 2 * w), &v) && v == at;
}

static uint64_t look(void *ctx, uint64_t at, const uint8_t *p, size_t n)
{
    struct threadx *t = ctx;
    struct pool q;
    uint32_t a = hr_load32(p, t->img->big), b = n >= 8 && t->img->word == 8 ? hr_load32(p + 4, t->img->big) : 0;
    if ((a != BYTE_ID && a != BLOCK_ID && b != BYTE_ID && b != BLOCK_ID) || !hr_burn(&t->look, 1))
        return 0;
    for (unsigned u = t->img->word; u >= 4; u -= 4)
        if (control(t, at, u, &q)) {
            if (t->n == MAX_POOLS) {
                t->dropped = true;
                return 0;
            }
            t->pool[t->n++] = q;
            return q.size_of;
        }
    return 0;
}

static void by_ring(struct threadx *t, struct hr_allocator_in *in, const char *head)
{
    uint64_t first, at;
    if (!hr_emb_word(in, head, &first))
        return;
    at = first;
    for (uint32_t i = 0; at && i < MAX_POOLS; i++) {
        struct hr_span s = hr_image_peek(t->img, at, 16);
        uint32_t before = t->n;
        if (s.n < 16 || !look(t, at, s.p, s.n) || t->n == before || !hr_image_word(t->img, at + t->pool[t->n - 1].size_of - 2ull * t->img->word, &at) || at == first)
            return;
    }
}

static enum hr_status declare(struct threadx *t, struct hr_allocator_in *in)
{
    static const char *const own[] = {"_tx_byte_pool_created_ptr", "_tx_block_pool_created_ptr", NULL};
    char how[160], text[48];
    uint16_t id;
    snprintf(how, sizeof how, "TX_%s_POOL at 0x%llx by its id; the ring of pools closes", t->pool[0].blocks ? "BLOCK" : "BYTE", (unsigned long long)t->pool[0].at);
    HR_TRY(hr_emb_allocator(in, "ThreadX", "", how, (uint8_t)__builtin_ctz(t->img->word), &id));
    HR_TRY(hr_emb_own(in, own));
    for (uint32_t i = 0; i < t->n; i++) {
        struct pool *p = &t->pool[i];
        uint64_t name = 0;
        char line[96];
        hr_image_word(t->img, p->at + t->img->word, &name);
        bool named = name && hr_image_cstr(t->img, name, text, sizeof text) && *text;
        snprintf(line, sizeof line, "%s pool %.40s", p->blocks ? "block" : "byte", named ? text : "");
        if (!named)
            snprintf(line, sizeof line, "%s pool (0x%llx)", p->blocks ? "block" : "byte", (unsigned long long)p->at);
        HR_TRY(hr_emb_arena(in, id, p->at, line, &p->arena));
        HR_TRY(hr_builder_own(in->builder, p->at, p->size_of));
        HR_TRY(hr_builder_region(in->builder, p->start, p->size, p->arena, p->blocks ? walk_blocks : walk_bytes, t, i));
    }
    if (t->dropped)
        hr_note(in->notes, HR_NOTE_DEGRADED, "heap.many_pools", "ThreadX: more than %d pools; the others are not read", MAX_POOLS);
    return HR_OK;
}

static void close(void *self)
{
    struct threadx *t = self;
    hr_free(t->pool);
    hr_free(t);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    struct threadx *t = hr_zalloc(1, sizeof *t);
    if (!t || !(t->pool = hr_zalloc(MAX_POOLS, sizeof *t->pool))) {
        hr_free(t);
        return HR_NOMEM;
    }
    t->img = in->image;
    t->notes = in->notes;
    t->look = hr_fuel(1 << 18);
    if (t->img->bare) {
        hr_emb_search(t->img, t->img->word, 16, look, t);
    } else {
        by_ring(t, in, "_tx_byte_pool_created_ptr");
        by_ring(t, in, "_tx_block_pool_created_ptr");
    }
    enum hr_status st = t->n ? declare(t, in) : HR_ABSENT;
    if (st != HR_OK) {
        close(t);
        return st;
    }
    *self_ret = t;
    return HR_OK;
}

const struct hr_allocator hr_allocator_threadx = {.name = "ThreadX", .open = open, .close = close};
