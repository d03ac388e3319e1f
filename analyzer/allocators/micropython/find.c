/* Finds MicroPython's heap areas by the relations between the words that describe them. */
#include "analyzer/allocators/micropython/mpy.h"

#include <string.h>

enum { MIN_TABLE = 16 /* 64 blocks: a heap of 1 KiB */, SLACK = 16 /* words that may stay unused between tables and pool */ };

/* Words 0.. at `w`: table, length, [finaliser table, [another bit table]], pool, end. `extra` bit tables. */
static bool relations(const struct hr_image *img, const uint64_t *w, unsigned extra, struct hr_mpy_area *a)
{
    uint64_t pool = w[2 + extra], end = w[3 + extra], n = w[1], size, tables;
    if (n < MIN_TABLE || pool <= w[0] || end <= pool || n > (1ull << 40))
        return false;
    size = (end - pool) / (n * 4);
    if ((size != 16 && size != 32 && size != 64 && size != 128) || end - pool != n * 4 * size || pool & (size - 1) || size < 2u * img->word)
        return false;
    tables = w[0] + n;
    for (unsigned i = 0; i < extra; i++) {
        uint64_t bits = (n * 4 + 7) / 8;
        if (w[2 + i] < tables || w[2 + i] > tables + 1)
            return false;
        tables = w[2 + i] + bits;
    }
    *a = (struct hr_mpy_area){.table = w[0], .table_len = n, .finalisers = extra ? w[2] : 0, .weakrefs = extra > 1 ? w[3] : 0, .pool = pool, .end = end,
                              .block = (uint32_t)size, .gap = extra && w[2] == w[0] + n + 1};
    return tables <= pool && pool - tables <= size * 4 + SLACK * img->word;
}

static bool bit(const struct hr_image *img, uint64_t table, uint64_t block)
{
    uint64_t byte;
    return hr_image_uint(img, table + block / 8, 1, &byte) && byte >> (block % 8) & 1;
}

/* CircuitPython 10 sets a bit for every allocation but buffers; few objects have finalisers or weak references. */
static bool mostly_set(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t table)
{
    enum { LOOK = 4096 };
    uint64_t heads = 0, set = 0;
    for (uint64_t b = 0; b < hr_mpy_blocks(a) && heads < LOOK; b++)
        if (hr_mpy_kind(m, a, b) == HR_MPY_HEAD) {
            heads++;
            set += bit(m->image, table, b);
        }
    return set * 2 > heads;
}

/* What else describes the area: the last bit table, and the word behind `pool_end`, which in CircuitPython up to 8 is an address in the
 * pool or its end; all others keep a small number or a flag there. */
static void settle(const struct hr_mpy *m, struct hr_mpy_area *a, const uint64_t *w, unsigned extra)
{
    uint64_t next, last = extra ? w[1 + extra] : 0;
    if (last && mostly_set(m, a, last)) {
        a->scanned = last;
        a->weakrefs = 0;
        a->finalisers = extra > 1 ? w[2] : 0;
    }
    if (extra < 2 && hr_image_word(m->image, a->at + (4ull + extra) * m->image->word, &next) && next >= a->pool && next <= a->end && !(next & (a->block - 1)))
        a->long_lived = next;
}

static bool table_plausible(const struct hr_image *img, const struct hr_mpy_area *a)
{
    struct hr_span s = hr_image_peek(img, a->table, a->table_len);
    return s.n && (s.p[0] & 3) != HR_MPY_TAIL && hr_image_find(img, a->pool, NULL);
}

static void keep(struct hr_mpy *m, const struct hr_mpy_area *a)
{
    uint32_t at = 0;
    while (at < m->n && m->area[at].pool < a->pool)
        at++;
    if (m->n == HR_MPY_MAX_AREAS || (at < m->n && a->end > m->area[at].table) || (at && m->area[at - 1].end > a->table))
        return; /* a copy of a description, or one across another: the first seen stays */
    memmove(&m->area[at + 1], &m->area[at], (m->n - at) * sizeof *m->area);
    m->area[at] = *a;
    m->n++;
}

static void scan(struct hr_mpy *m, const struct hr_segment *s)
{
    const struct hr_image *img = m->image;
    unsigned word = img->word;
    size_t skew = (size_t)(-s->addr & (word - 1u));
    for (size_t off = skew; off + 4u * word <= s->bytes.n; off += word) {
        uint64_t w[6] = {0};
        const uint8_t *p = s->bytes.p + off;
        w[1] = hr_word_load(p + word, word, img->big);
        if (w[1] < MIN_TABLE || w[1] > UINT32_MAX)
            continue;
        w[0] = hr_word_load(p, word, img->big);
        w[2] = hr_word_load(p + 2 * word, word, img->big);
        if (w[2] < w[0] + w[1] || w[2] - w[0] - w[1] > w[1] + 8192)
            continue;
        unsigned have = (unsigned)hr_min(6, (s->bytes.n - off) / word);
        for (unsigned i = 3; i < have; i++)
            w[i] = hr_word_load(p + (size_t)i * word, word, img->big);
        for (unsigned extra = 0; extra + 4 <= have; extra++) {
            struct hr_mpy_area a;
            if (!relations(img, w, extra, &a) || !table_plausible(img, &a))
                continue;
            a.at = s->addr + off;
            settle(m, &a, w, extra);
            keep(m, &a);
            break;
        }
    }
}

/* ---- damaged descriptions ---- */
static bool mentioned(const struct hr_image *img)
{
    for (size_t i = 0; i < img->segs.n; i++) {
        struct hr_span b = img->segs.v[i].bytes;
        if (b.n && (memmem(b.p, b.n, "MicroPython", 11) || memmem(b.p, b.n, "CircuitPython", 13)))
            return true;
    }
    return false;
}

/* A table as a collector leaves it: something is allocated, and no TAIL follows a FREE block. */
static bool table_sound(const struct hr_mpy *m, const struct hr_mpy_area *a)
{
    enum { LOOK = 4096 };
    uint64_t heads = 0;
    enum hr_mpy_kind last = HR_MPY_FREE;
    for (uint64_t b = 0; b < hr_min(LOOK, hr_mpy_blocks(a)); b++) {
        enum hr_mpy_kind k = hr_mpy_kind(m, a, b);
        if (k == HR_MPY_UNKNOWN || (k == HR_MPY_TAIL && last == HR_MPY_FREE))
            return false;
        heads += k == HR_MPY_HEAD;
        last = k;
    }
    return heads > 8;
}

/* Bits of a bit table that belong to no block that begins an allocation. */
static uint64_t strays(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t table)
{
    enum { LOOK = 4096 };
    uint64_t n = 0;
    for (uint64_t b = 0; b < hr_min(LOOK, hr_mpy_blocks(a)); b++)
        n += bit(m->image, table, b) && hr_mpy_kind(m, a, b) == HR_MPY_FREE;
    return n;
}

/* A bit table's place as the other words have it. */
static uint64_t bits_at(const uint64_t *w, unsigned extra, unsigned i)
{
    uint64_t bits = (w[1] * 4 + 7) / 8;
    return extra == 1 ? w[0] + w[1] : i == 3 ? w[2] + bits : w[3] - bits;
}

/* In front of the only bit table is a byte since 1.20: where its bits fit the blocks better. */
static void settle_gap(const struct hr_mpy *m, uint64_t *w, struct hr_mpy_area *a)
{
    if (strays(m, a, w[2] + 1) > strays(m, a, w[2]))
        return;
    w[2]++;
    struct hr_mpy_area with;
    if (relations(m->image, w, 1, &with))
        *a = with;
}

/* Words that fit each other but for one, which follows from the others: the length, the second table, the pool's start, its end. */
/* The words as they have to be take the place of those given. */
static bool mend(const struct hr_mpy *m, uint64_t *given, unsigned extra, struct hr_mpy_area *a, unsigned *wrong)
{
    uint64_t each = 16ull * m->image->word; /* bytes of pool for a byte of table, with blocks of four words */
    unsigned pool = 2 + extra, end = 3 + extra;
    for (unsigned i = 1; i <= end; i++) {
        uint64_t w[6];
        memcpy(w, given, sizeof w);
        if (i == 1)
            w[1] = (w[end] - w[pool]) / each;
        else if (i == end)
            w[end] = w[pool] + w[1] * each;
        else if (i == pool)
            w[pool] = w[end] - w[1] * each;
        else
            w[i] = bits_at(w, extra, i);
        if (w[i] != given[i] && relations(m->image, w, extra, a) && hr_image_find(m->image, a->end - 1, NULL) && table_plausible(m->image, a) &&
            table_sound(m, a)) {
            *wrong = i;
            if (extra == 1 && i == 2)
                settle_gap(m, w, a);
            memcpy(given, w, sizeof w);
            return true;
        }
    }
    return false;
}

/* A heap that the image ends in front of: the words fit, what they describe is not there. */
static bool missing(const struct hr_mpy *m, const uint64_t *w, struct hr_mpy_area *a)
{
    return (relations(m->image, w, 1, a) || relations(m->image, w, 2, a) || relations(m->image, w, 0, a)) && !hr_image_find(m->image, a->pool, NULL);
}

static void scan_damaged(struct hr_mpy *m, const struct hr_segment *s)
{
    static const uint8_t order[] = {1, 2, 0}; /* bit tables, the usual number first */
    unsigned word = m->image->word, wrong, extra = 0;
    size_t skew = (size_t)(-s->addr & (word - 1u));
    for (size_t off = skew; off + 5u * word <= s->bytes.n; off += word) {
        uint64_t w[6] = {0};
        for (unsigned i = 0; i < 6 && off + (i + 1) * word <= s->bytes.n; i++)
            w[i] = hr_word_load(s->bytes.p + off + (size_t)i * word, word, m->image->big);
        struct hr_mpy_area a;
        wrong = 0;
        bool found = w[0] && missing(m, w, &a), gone = found;
        for (unsigned i = 0; i < 3 && w[0] && !found; i++)
            found = mend(m, w, extra = order[i], &a, &wrong);
        if (!found)
            continue;
        a.at = s->addr + off;
        if (!gone)
            settle(m, &a, w, extra);
        a.mended = wrong ? a.at + (uint64_t)wrong * word : 0;
        keep(m, &a);
    }
}

/* The description is in the program's data; only further areas of a split heap describe themselves in memory that was allocated.
 * So a big segment is read once a small one has led to a heap, or by a thorough search. */
static void scan_segments(struct hr_mpy *m, bool big)
{
    enum { DATA_OF_A_PROGRAM = 8 << 20 };
    for (size_t i = 0; i < m->image->segs.n; i++) {
        const struct hr_segment *s = &m->image->segs.v[i];
        if (s->flags & HR_SEG_W && (s->bytes.n > DATA_OF_A_PROGRAM) == big)
            scan(m, s);
    }
}

enum hr_status hr_mpy_find(const struct hr_image *img, bool thorough, struct hr_mpy *ret)
{
    *ret = (struct hr_mpy){.image = img};
    scan_segments(ret, false);
    if (ret->n || thorough)
        scan_segments(ret, true);
    for (size_t i = 0; !ret->n && thorough && i < img->segs.n && (i || mentioned(img)); i++)
        if (img->segs.v[i].flags & HR_SEG_W)
            scan_damaged(ret, &img->segs.v[i]);
    return ret->n ? HR_OK : HR_ABSENT;
}

enum hr_mpy_kind hr_mpy_kind(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t block)
{
    struct hr_span s = hr_image_peek(m->image, a->table + block / 4, 1);
    return s.n ? (enum hr_mpy_kind)(s.p[0] >> (2 * (block & 3)) & 3) : HR_MPY_UNKNOWN;
}

bool hr_mpy_is_scanned(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t block)
{
    return !a->scanned || !hr_image_peek(m->image, a->scanned + block / 8, 1).n || bit(m->image, a->scanned, block);
}

const struct hr_mpy_area *hr_mpy_area_at(const struct hr_mpy *m, uint64_t addr)
{
    uint32_t lo = 0, hi = m->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->area[mid].end <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < m->n && addr >= m->area[lo].pool ? &m->area[lo] : NULL;
}

uint64_t hr_mpy_extent(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t b)
{
    uint64_t n = 1, all = hr_mpy_blocks(a);
    while (b + n < all && hr_mpy_kind(m, a, b + n) == HR_MPY_TAIL)
        n++;
    return n;
}
