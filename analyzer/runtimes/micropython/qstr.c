/* Interned strings. The first pool of a build lies in flash: {0, 0, alloc, len, …}; each later one names the one before.
 * Until 1.18 an entry leads to [hash][length][text], since 1.19 hashes and lengths are arrays of their own; CircuitPython 7 and 8 have
 * one array of {hash, length}. Every string carries
 * its hash (h = 5381; h = h * 33 ^ c, 0 becomes 1; py/qstr.c), which proves that what was found is a pool. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { MIN_LEN = 20, MAX_LEN = 1 << 16, MAX_TEXT = 512, CHECKED = 40, MAX_TRIES = 100000 /* words that look like a first pool; real images have a handful */,
       MAX_COPIES = 8 /* each costs a search of all memory for who names it */ };

static uint64_t hash_of(const uint8_t *p, size_t n, unsigned bytes)
{
    uint64_t h = 5381, mask = bytes == 1 ? 0xff : 0xffff;
    for (size_t i = 0; i < n; i++)
        h = h * 33 ^ p[i];
    return h & mask ? h & mask : 1;
}

/* Until 1.18 hash and length are bytes, the low one first on every machine. */
static bool low_first(const struct hr_mp *mp, uint64_t at, unsigned bytes, uint64_t *ret)
{
    struct hr_span s = hr_image_peek(mp->img, at, bytes);
    *ret = 0;
    for (unsigned i = 0; i < bytes && s.n == bytes; i++)
        *ret |= (uint64_t)s.p[i] << 8 * i;
    return s.n == bytes;
}

/* Where entry i's text lies and how long it is. */
static bool entry(const struct hr_mp *mp, const struct hr_mp_pool *p, uint64_t i, uint64_t *text, uint64_t *len, uint64_t *hash)
{
    uint64_t at;
    if (!hr_image_word(mp->img, p->texts + i * mp->word, &at))
        return false;
    *hash = 0;
    if (mp->split_names) {
        *text = at;
        if (mp->hash_bytes && !hr_image_uint(mp->img, p->hashes + i * mp->hash_bytes, mp->hash_bytes, hash))
            return false;
        return hr_image_uint(mp->img, p->lengths + i * mp->len_bytes, mp->len_bytes, len);
    }
    if (mp->pair_names) {
        unsigned wide = (unsigned)hr_max(mp->hash_bytes, mp->len_bytes), behind = mp->hash_bytes > mp->len_bytes ? mp->hash_bytes : wide;
        uint64_t pair = p->hashes + i * 2ull * wide;
        *text = at;
        return hr_image_uint(mp->img, pair, mp->hash_bytes, hash) && hr_image_uint(mp->img, pair + behind, mp->len_bytes, len);
    }
    *text = at + mp->hash_bytes + mp->len_bytes;
    return low_first(mp, at, mp->hash_bytes, hash) && low_first(mp, at + mp->hash_bytes, mp->len_bytes, len);
}

static bool entry_ok(const struct hr_mp *mp, const struct hr_mp_pool *p, uint64_t i, bool *strong)
{
    uint64_t text, len, hash;
    if (!entry(mp, p, i, &text, &len, &hash) || len > MAX_TEXT)
        return false;
    struct hr_span s = hr_image_peek(mp->img, text, len + 1);
    if (s.n != len + 1 || s.p[len] || (!mp->hash_bytes && memchr(s.p, 0, (size_t)len)))
        return false;
    *strong = len > 0;
    return !len || !mp->hash_bytes || hash == hash_of(s.p, (size_t)len, mp->hash_bytes);
}

static bool pool_ok(const struct hr_mp *mp, const struct hr_mp_pool *p)
{
    unsigned good = 0, want = (unsigned)hr_min(p->len, CHECKED);
    uint64_t step = hr_max(p->len / CHECKED, 1);
    for (unsigned i = 0; i < want; i++) {
        bool strong = false;
        if (!entry_ok(mp, p, i * step, &strong))
            return false;
        good += strong;
    }
    return good + 3 >= want; /* two of the first are empty */
}

static struct hr_mp_pool read_pool(const struct hr_mp *mp, uint64_t at)
{
    unsigned w = mp->word;
    struct hr_mp_pool p = {.addr = at, .base = hr_mp_field(mp, at, 1), .alloc = hr_mp_field(mp, at, 2), .len = hr_mp_field(mp, at, 3)};
    if (mp->sorted_bit || !mp->img->big) /* 1.22 and later: is_sorted behind it; on little-endian machines the high bit, 0 before */
        p.base = hr_mp_bitfield(mp, p.base, 0, 8 * w - 1);
    unsigned i = 4;
    if (mp->pair_names || (mp->split_names && mp->hash_bytes))
        p.hashes = hr_mp_field(mp, at, i++);
    if (mp->split_names)
        p.lengths = hr_mp_field(mp, at, i++);
    p.texts = at + (uint64_t)i * w;
    return p;
}

/* All forms of a pool in turn. */
static bool try_forms(struct hr_mp *mp, uint64_t at)
{
    enum { FIRST, SPLIT, PAIR };
    static const uint8_t form[][3] = {{FIRST, 1, 1}, {FIRST, 2, 1}, {SPLIT, 1, 1}, {SPLIT, 2, 1}, {FIRST, 2, 2}, {SPLIT, 2, 2}, {FIRST, 1, 2}, {SPLIT, 1, 2}, {PAIR, 1, 1}, {PAIR, 2, 1},
                                      {PAIR, 2, 2}, {SPLIT, 0, 1}, {SPLIT, 0, 2}};
    for (size_t f = 0; f < sizeof form / sizeof *form; f++) {
        mp->split_names = form[f][0] == SPLIT;
        mp->pair_names = form[f][0] == PAIR;
        mp->hash_bytes = form[f][1];
        mp->len_bytes = form[f][2];
        struct hr_mp_pool p = read_pool(mp, at);
        if (!pool_ok(mp, &p))
            continue;
        p.base = 0;
        mp->pool[0] = p;
        mp->npools = 1;
        return true;
    }
    return false;
}

/* Does a word hold this address? The next pool names each pool, the interpreter's state the newest: what nobody names is a copy, such as the
 * beginning of the variables that the last page of the code holds as well. */
static bool named(const struct hr_mp *mp, uint64_t addr)
{
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + w <= seg->bytes.n; off += w)
            if (hr_word_load(seg->bytes.p + off, w, img->big) == addr)
                return true;
    }
    return false;
}

/* The first one found stays when none is named: the image may end in front of who does it. */
struct choice { struct hr_mp best; bool any; unsigned tries; };

static bool settle(struct choice *c, const struct hr_mp *mp, uint64_t addr)
{
    bool sure = c->tries++ >= MAX_COPIES || named(mp, addr);
    if (!c->any || sure)
        c->best = *mp;
    c->any = true;
    return sure;
}

/* {0, 0, small, some, …} at a word of any segment. */
static bool find_root(struct hr_mp *mp)
{
    struct choice c = {.any = false};
    const struct hr_image *img = mp->img;
    unsigned w = mp->word, tries = 0;
    uint64_t sorted = img->big ? 1 : 1ull << (8 * w - 1);
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + 6u * w <= seg->bytes.n; off += w) {
            const uint8_t *p = seg->bytes.p + off;
            uint64_t len = hr_word_load(p + 3 * w, w, img->big);
            if (len < MIN_LEN || len > MAX_LEN || hr_word_load(p, w, img->big) || hr_word_load(p + w, w, img->big) & ~sorted)
                continue;
            uint64_t alloc = hr_word_load(p + 2 * w, w, img->big);
            if (alloc && alloc <= MAX_LEN && tries++ < MAX_TRIES && try_forms(mp, seg->addr + off) && settle(&c, mp, seg->addr + off))
                return true;
        }
    }
    if (c.any)
        *mp = c.best;
    return c.any;
}

/* The pool whose `prev` is the last one found. */
static bool find_next(struct hr_mp *mp)
{
    const struct hr_image *img = mp->img;
    const struct hr_mp_pool *last = &mp->pool[mp->npools - 1];
    unsigned w = mp->word, n = mp->npools;
    struct choice c = {.any = false};
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + 5u * w <= seg->bytes.n; off += w) {
            if (hr_word_load(seg->bytes.p + off, w, img->big) != last->addr)
                continue;
            struct hr_mp_pool p = read_pool(mp, seg->addr + off);
            if (n == 1 && mp->img->big && p.base >> 1 == last->len) {
                mp->sorted_bit = true; /* the second pool tells */
                p.base >>= 1;
            }
            if (p.base != last->base + last->len || p.len > MAX_LEN || (p.len > p.alloc && hr_mpy_area_at(&mp->m, p.addr)) || !p.alloc)
                continue;
            if (hr_mpy_area_at(&mp->m, p.addr) && hr_mp_head(mp, p.addr) == HR_NONE)
                continue; /* stale: a pool of the heap is an allocation */
            bool strong, good = p.len > 0;
            for (uint64_t i = 0; i < p.len && i < CHECKED && good; i++)
                good = entry_ok(mp, &p, i, &strong);
            if (!good)
                continue;
            mp->pool[n] = p;
            mp->npools = n + 1;
            if (settle(&c, mp, p.addr))
                return true;
            mp->npools = n;
        }
    }
    if (c.any)
        *mp = c.best;
    return c.any;
}

enum hr_status hr_mp_find_pools(struct hr_mp *mp)
{
    if (!find_root(mp))
        return HR_ABSENT;
    while (mp->npools < HR_MP_MAX_POOLS && find_next(mp))
        ;
    const struct hr_mp_pool *last = &mp->pool[mp->npools - 1];
    mp->nqstr = last->base + last->len;
    return HR_OK;
}

bool hr_mp_qstr(const struct hr_mp *mp, uint64_t index, char *buf, size_t cap)
{
    uint64_t text, len, hash;
    *buf = 0;
    for (uint32_t i = mp->npools; i-- > 0;) {
        const struct hr_mp_pool *p = &mp->pool[i];
        if (index < p->base)
            continue;
        if (index - p->base >= p->len || !entry(mp, p, index - p->base, &text, &len, &hash))
            return false;
        size_t got = hr_image_read(mp->img, text, buf, (size_t)hr_min(len, cap - 1));
        buf[got] = 0;
        return got == hr_min(len, cap - 1);
    }
    return false;
}

uint64_t hr_mp_qstr_find(const struct hr_mp *mp, const char *text)
{
    char buf[128];
    for (uint64_t i = 1; i < mp->nqstr; i++)
        if (hr_mp_qstr(mp, i, buf, sizeof buf) && !strcmp(buf, text))
            return i;
    return 0;
}
