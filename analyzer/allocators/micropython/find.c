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
    if ((size != 16 && size != 32 && size != 64) || end - pool != n * 4 * size || pool & (size - 1) || size < 4u * img->word)
        return false;
    tables = w[0] + n;
    for (unsigned i = 0; i < extra; i++) {
        uint64_t bits = (n * 4 + 7) / 8;
        if (w[2 + i] < tables || w[2 + i] > tables + 1)
            return false;
        tables = w[2 + i] + bits;
    }
    *a = (struct hr_mpy_area){.table = w[0], .table_len = n, .finalisers = extra ? w[2] : 0, .pool = pool, .end = end,
                              .block = (uint32_t)size, .gap = extra && w[2] == w[0] + n + 1};
    return tables <= pool && pool - tables <= size * 4 + SLACK * img->word;
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
            keep(m, &a);
            break;
        }
    }
}

enum hr_status hr_mpy_find(const struct hr_image *img, struct hr_mpy *ret)
{
    *ret = (struct hr_mpy){.image = img};
    for (size_t i = 0; i < img->segs.n; i++)
        if (img->segs.v[i].flags & HR_SEG_W)
            scan(ret, &img->segs.v[i]);
    return ret->n ? HR_OK : HR_ABSENT;
}

enum hr_mpy_kind hr_mpy_kind(const struct hr_mpy *m, const struct hr_mpy_area *a, uint64_t block)
{
    struct hr_span s = hr_image_peek(m->image, a->table + block / 4, 1);
    return s.n ? (enum hr_mpy_kind)(s.p[0] >> (2 * (block & 3)) & 3) : HR_MPY_UNKNOWN;
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
