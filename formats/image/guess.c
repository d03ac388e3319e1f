/* What raw memory does not say of itself: word size, byte order, processor, and where it was. Memory that a program worked in is full of
 * addresses of itself; they tell the first two and the place, and code (if the image has any) tells the processor. Everything that is
 * guessed is said, with what speaks for it; what nothing speaks for is not guessed. */
#include "formats/image/guess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/mem.h"

enum {
    MAX_WORDS = 1 << 20,   /* looked at for the place; of larger images evenly spread pages */
    FEW_WORDS = 1 << 14,   /* for word size and byte order */
    SAMPLE = 4096,         /* bytes of such a page */
    LOWEST = 4096,         /* smaller values are counts and sizes more often than addresses */
    MIN_HITS = 16,         /* different addresses, for a guess */
};
HR_VEC(hr_guesswords, uint64_t)
struct shape { unsigned word; bool big; };

/* ---- words ---- */
static enum hr_status take_words(struct hr_guesswords *v, struct hr_span s, unsigned word, bool big, size_t skip)
{
    for (size_t page = 0; page < s.n; page += SAMPLE * skip)
        for (size_t off = page; off + word <= s.n && off < page + SAMPLE && v->n < v->max; off += word) {
            uint64_t w = hr_word_load(s.p + off, word, big);
            if (w >= LOWEST && w != (word == 4 ? UINT32_MAX : UINT64_MAX))
                HR_TRY(hr_guesswords_push(v, w));
        }
    return HR_OK;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_unique(struct hr_guesswords *v)
{
    size_t n = 0;
    if (v->n)
        qsort(v->v, v->n, sizeof *v->v, by_value);
    for (size_t i = 0; i < v->n; i++)
        if (!n || v->v[n - 1] != v->v[i])
            v->v[n++] = v->v[i];
    v->n = n;
}

/* The different values of the words of `own` and of all segments, sorted. */
static enum hr_status gather(const struct hr_image *img, struct hr_span own, struct shape shape, size_t most, struct hr_guesswords *ret)
{
    uint64_t all = own.n;
    for (size_t i = 0; i < img->segs.n; i++)
        all += img->segs.v[i].bytes.n;
    size_t skip = (size_t)(all / shape.word / most + 1);
    *ret = (struct hr_guesswords){.max = most + SAMPLE};
    enum hr_status st = take_words(ret, own, shape.word, shape.big, skip);
    for (size_t i = 0; st == HR_OK && i < img->segs.n; i++)
        st = take_words(ret, img->segs.v[i].bytes, shape.word, shape.big, skip);
    if (st == HR_OK)
        sort_unique(ret);
    else
        hr_guesswords_deinit(ret);
    return st;
}

static bool in_segments(const struct hr_image *img, uint64_t addr)
{
    for (size_t i = 0; i < img->segs.n; i++)
        if (addr - img->segs.v[i].addr < img->segs.v[i].msize)
            return true;
    return false;
}

/* ---- word size and byte order ---- */
static const struct shape shapes[] = {{4, false}, {4, true}, {8, false}, {8, true}};

/* A span of `n` bytes of address space that as many of the values as possible lie in. */
struct window { uint64_t lo, hi; size_t hits; };

static struct window best_window(const struct hr_guesswords *v, uint64_t n, struct window not)
{
    struct window best = {0};
    for (size_t lo = 0, hi = 0; lo < v->n; lo++) {
        hi = hr_max(hi, lo);
        while (hi < v->n && v->v[hi] - v->v[lo] <= n)
            hi++;
        uint64_t last = v->v[hi - 1];
        if (hi - lo > best.hits && (!not.hits || last < not.lo || v->v[lo] > not.hi))
            best = (struct window){v->v[lo], last, hi - lo};
    }
    return best;
}

static void drop_known(const struct hr_image *img, struct hr_guesswords *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        if (!in_segments(img, v->v[i]))
            v->v[n++] = v->v[i];
    v->n = n;
}

/* How many different words of this shape lead into the image; with a file whose place is unknown: into one window of its size. */
static enum hr_status count_shape(const struct hr_image *img, struct hr_span own, struct shape s, size_t *hits_ret)
{
    struct hr_guesswords v;
    HR_TRY(gather(img, own, s, own.n ? MAX_WORDS : FEW_WORDS, &v));
    *hits_ret = 0;
    for (size_t i = 0; i < v.n; i++)
        *hits_ret += in_segments(img, v.v[i]);
    drop_known(img, &v);
    if (own.n)
        *hits_ret += best_window(&v, own.n, (struct window){0}).hits;
    hr_guesswords_deinit(&v);
    return HR_OK;
}

static enum hr_status guess_shape(const struct hr_image *img, struct hr_span own, struct shape *ret, size_t *hits_ret)
{
    size_t hits[4], best = 0;
    for (size_t i = 0; i < 4; i++)
        HR_TRY(count_shape(img, own, shapes[i], &hits[i]));
    for (size_t i = 1; i < 4; i++)
        if (hits[i] > hits[best])
            best = i;
    /* The lower half of a 64-bit address below 4 GiB is an address to a 32-bit machine; the other way round two in a row are none. */
    if (best < 2 && hits[best + 2] * 10 >= hits[best] * 9 && hits[best] >= MIN_HITS)
        best += 2;
    *ret = shapes[best];
    *hits_ret = hits[best];
    return HR_OK;
}

/* ---- processor ---- */
/* What compilers write at every function's end or beginning, as bytes in memory. */
struct mark { const char *arch; uint8_t word, big, n, step; uint8_t byte[4]; };
static const struct mark marks[] = {
    {"arm", 4, 0, 2, 2, {0x70, 0x47}},       {"arm", 4, 0, 2, 2, {0x10, 0xbd}},       {"arm", 4, 0, 2, 2, {0x70, 0xbd}},
    {"arm", 4, 0, 2, 2, {0xf0, 0xbd}},       {"arm", 4, 0, 2, 2, {0x10, 0xb5}},       {"arm", 4, 0, 2, 2, {0x70, 0xb5}},
    {"arm", 4, 0, 4, 4, {0x1e, 0xff, 0x2f, 0xe1}}, {"arm", 4, 1, 4, 4, {0xe1, 0x2f, 0xff, 0x1e}},
    {"riscv32", 4, 0, 2, 2, {0x82, 0x80}},   {"riscv32", 4, 0, 2, 2, {0x41, 0x11}},   {"riscv32", 4, 0, 4, 2, {0x67, 0x80, 0, 0}},
    {"riscv64", 8, 0, 2, 2, {0x82, 0x80}},   {"riscv64", 8, 0, 2, 2, {0x41, 0x11}},   {"riscv64", 8, 0, 4, 2, {0x67, 0x80, 0, 0}},
    {"xtensa", 4, 0, 2, 1, {0x1d, 0xf0}},    {"xtensa", 4, 0, 3, 1, {0x36, 0x41, 0}}, {"xtensa", 4, 0, 3, 1, {0x36, 0x61, 0}},
    {"i386", 4, 0, 3, 1, {0x55, 0x89, 0xe5}}, {"i386", 4, 0, 4, 1, {0xf3, 0x0f, 0x1e, 0xfb}},
    {"x86-64", 8, 0, 4, 1, {0x55, 0x48, 0x89, 0xe5}}, {"x86-64", 8, 0, 4, 1, {0xf3, 0x0f, 0x1e, 0xfa}},
    {"aarch64", 8, 0, 4, 4, {0xc0, 0x03, 0x5f, 0xd6}},
    {"ppc", 4, 1, 4, 4, {0x4e, 0x80, 0, 0x20}}, {"ppc64", 8, 1, 4, 4, {0x4e, 0x80, 0, 0x20}},
};

/* How often a mark is there beyond what chance puts into so many bytes. */
static double surplus(const struct mark *m, struct hr_span s)
{
    double by_chance = (double)s.n / m->step, found = 0;
    for (unsigned i = 0; i < m->n; i++)
        by_chance /= 256;
    for (size_t off = 0; off + m->n <= s.n; off += m->step)
        found += s.p[off] == m->byte[0] && s.p[off + 1] == m->byte[1] && !memcmp(s.p + off + 2, m->byte + 2, m->n - 2u);
    return found > 4 * by_chance ? found : 0;
}

static const char *guess_code(const struct hr_image *img, struct hr_span own, struct shape s, unsigned *found_ret)
{
    enum { ENOUGH = 12, LOOK = 4 << 20 };
    double sum[sizeof marks / sizeof *marks] = {0}; /* at the first mark of each processor */
    size_t best = 0;
    for (size_t i = 0, first = 0; i < sizeof marks / sizeof *marks; i++) {
        if (strcmp(marks[i].arch, marks[first].arch))
            first = i;
        if (marks[i].word != s.word || marks[i].big != s.big)
            continue;
        sum[first] += surplus(&marks[i], (struct hr_span){own.p, hr_min(own.n, LOOK)});
        for (size_t k = 0; k < img->segs.n; k++)
            sum[first] += surplus(&marks[i], (struct hr_span){img->segs.v[k].bytes.p, hr_min(img->segs.v[k].bytes.n, LOOK)});
        if (sum[first] > sum[best])
            best = first;
    }
    *found_ret = (unsigned)sum[best];
    return sum[best] >= ENOUGH ? marks[best].arch : NULL;
}

/* Where a microcontroller has its RAM tells a little, too. */
static const char *guess_by_place(struct shape s, uint64_t ram)
{
    if (s.big)
        return NULL;
    if (s.word == 8)
        return ram >> 28 == 8 ? "riscv64" : NULL;
    return ram >> 28 == 2 || ram >> 28 == 1 ? "arm" : ram >> 28 == 8 ? "riscv32" : ram >> 20 == 0x3ff ? "xtensa" : NULL;
}

static void set_shape(struct hr_image *img, const char *arch, struct shape s)
{
    img->arch = arch ? hr_arch_by_name(arch) : hr_arch_unknown(s.word * 8);
    img->word = (uint8_t)s.word;
    img->big = s.big;
}

enum hr_status hr_guess_arch(struct hr_image *img, struct hr_span own, bool fixed, bool quiet)
{
    struct shape s = {4, false};
    size_t hits = 0;
    unsigned marks_found = 0;
    if (!fixed)
        HR_TRY(guess_shape(img, own, &s, &hits));
    else
        s = (struct shape){img->word, img->big};
    if (hits < MIN_HITS)
        s = fixed ? s : (struct shape){4, false};
    const char *arch = guess_code(img, own, s, &marks_found), *by = "its code";
    if (!arch && img->segs.n) {
        arch = guess_by_place(s, img->segs.v[img->segs.n - 1].addr);
        by = "where its memory lies";
    }
    set_shape(img, arch, s);
    if (quiet)
        return HR_OK;
    char why[96] = "";
    if (hits >= MIN_HITS)
        snprintf(why, sizeof why, " (%zu different words lead into it)", hits);
    hr_note(img->notes, HR_NOTE_INFO, "arch.guessed", "the image does not say its processor: taken for %u-bit %s-endian%s, %s%s%s; --arch NAME tells, --elf FILE too",
            s.word * 8, s.big ? "big" : "little", why, arch ? arch : "of a processor not known", arch ? " by " : "", arch ? by : "");
    return HR_OK;
}

/* ---- place ---- */
static size_t below(const struct hr_guesswords *v, uint64_t limit)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->v[mid] < limit)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Memories begin at round addresses: the roundest one from which the file covers (nearly) as many values as the window. */
static uint64_t roundest(const struct hr_guesswords *v, struct window w, uint64_t n)
{
    for (unsigned zeros = 40; zeros > 4; zeros--)
        for (unsigned up = 0; up < 2; up++) {
            uint64_t at = ((w.lo >> zeros) + up) << zeros;
            if (at <= w.hi && (below(v, at + n + 1) - below(v, at)) * 33 >= w.hits * 32)
                return at;
        }
    return w.lo & ~15ull;
}

/* Where addresses lead there is something: how many of the values lead to a word that is not zero. */
static size_t landed(const struct hr_guesswords *v, struct hr_span own, unsigned word, uint64_t base)
{
    size_t n = 0, from = below(v, base), to = below(v, base + own.n - word + 1);
    uint64_t zero = 0;
    for (size_t i = from; i < to; i++) {
        uint64_t off = v->v[i] - base;
        n += off % word == 0 && memcmp(own.p + off, &zero, word) != 0;
    }
    return n;
}

static bool mostly_zero_free(struct hr_span own)
{
    size_t zeros = 0;
    for (size_t i = 0; i < own.n; i += 16)
        zeros += !own.p[i];
    return zeros * 16 * 8 < own.n;
}

/* The roundest address, unless the values land better from another: a part of a memory was saved. Of a dozen real images every one landed
 * best where it was, and nearly as well only 32 bytes beside it. Where hardly a byte is zero, as in code, all land everywhere. */
static uint64_t settle(const struct hr_guesswords *v, struct hr_span own, unsigned word, struct window w)
{
    enum { BUDGET = 1 << 24 /* values looked at */, FINEST = 16 };
    uint64_t base = roundest(v, w, own.n), best = base, step = FINEST;
    uint64_t lowest = w.lo > own.n ? w.lo - own.n : 0, highest = w.lo + own.n / 2;
    size_t most = landed(v, own, word, base), enough;
    if (mostly_zero_free(own))
        return base;
    while ((highest - lowest) / step > BUDGET / w.hits)
        step *= 2;
    lowest = (lowest + step - 1) / step * step;
    for (uint64_t at = lowest; at <= highest; at += step)
        most = hr_max(most, landed(v, own, word, at));
    if (landed(v, own, word, base) + 2 >= most - most / 10)
        return base;
    enough = most - most / 32 - 1;
    for (uint64_t at = lowest, zeros = 0; at <= highest; at += step)
        if ((at & -at) > zeros && landed(v, own, word, at) >= enough) {
            zeros = at & -at;
            best = at;
        }
    return best;
}

static bool convincing(const struct hr_guesswords *v, struct window w, struct window next, uint64_t n, unsigned word)
{
    double by_chance = word == 4 ? (double)v->n * (double)n / 4294967296.0 : 0;
    return w.hits >= MIN_HITS && (double)w.hits > 4 * by_chance + MIN_HITS / 2 && w.hits * 2 >= next.hits * 3;
}

enum hr_status hr_guess_base(struct hr_image *img, const struct hr_file *f, uint64_t *ret)
{
    struct hr_guesswords v;
    char name[512];
    if (f->bytes.n < 64)
        return HR_ABSENT;
    HR_TRY(gather(img, f->bytes, (struct shape){img->word, img->big}, MAX_WORDS, &v));
    drop_known(img, &v);
    struct window w = best_window(&v, f->bytes.n, (struct window){0}), next = best_window(&v, f->bytes.n, w);
    enum { COUNTERS = 1 << 20 }; /* small numbers look like addresses near 0: only code says that they are */
    bool good = (w.hi >= COUNTERS || img->arch->nregs) && convincing(&v, w, next, f->bytes.n, img->word);
    hr_escz(name, sizeof name, f->path);
    if (good) {
        *ret = settle(&v, f->bytes, img->word, w);
        hr_note(img->notes, HR_NOTE_DEGRADED, "raw.base_guessed", "%s does not say where it was: taken to lie at 0x%llx, %zu different words lead there (next best %zu); "
                "FILE@ADDR tells", name, (unsigned long long)*ret, w.hits, next.hits);
    } else if (w.hits >= MIN_HITS && w.hi >= COUNTERS) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "raw.no_base", "%s does not say where it was: its words lead to 0x%llx (%zu) and to 0x%llx (%zu); say FILE@ADDR", name,
                (unsigned long long)roundest(&v, w, f->bytes.n), w.hits, (unsigned long long)roundest(&v, next, f->bytes.n), next.hits);
    }
    hr_guesswords_deinit(&v);
    return good ? HR_OK : w.hits >= MIN_HITS && w.hi >= COUNTERS ? HR_USAGE : HR_ABSENT;
}
