/* NumPy's own small-block cache (multiarray/alloc.c, 1.9 to 2.x): freed data of less than 1024 bytes and freed dimensions are kept in two
 * static tables of buckets, {how many, up to seven pointers}, one bucket per byte (or per word of dimensions). malloc counts these
 * blocks as used; nobody uses them, and what they hold is stale.
 *
 * The tables have no symbol in a stripped NumPy. They are found by what they must be: bucket i holds blocks whose size malloc gives
 * to a request of i bytes. Each filled bucket votes for where its table would begin; a start is believed if all 1024 fit. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/heap/builder.h"
#include "analyzer/runtimes/cpython/py.h"

enum { BUCKETS = 1024, DIM_BUCKETS = 16, PLACES = 7, UNSURE = 16, MOST_DIMS = 2 * 64 + 4, MAX_DATA = 16 << 20, MAX_VOTES = 1 << 20, MAX_TRIES = 4096, FEW_FILLED = 3 };

struct search {
    struct hr_py *py;
    const struct hr_segment *seg;
    uint64_t lo;             /* nothing begins before it */
    struct hr_u64vec votes;
};

/* Usable size of the used block that begins at addr; 0: none does, or it is part of something alive. */
static uint64_t idle_block(const struct hr_py *py, uint64_t addr, hr_id *ret)
{
    uint64_t into;
    hr_id id = addr ? hr_py_block_at(py, addr, &into) : HR_NONE;
    if (id == HR_NONE || into || py->heap->state[id] != HR_USED || py->object[id] != HR_NONE || (py->owner && py->owner[id] != HR_NONE))
        return 0;
    *ret = id;
    return hr_py_usable(py, id);
}

/* Blocks of the bucket at `at`, and the sizes of the smallest and largest; -1: it is none, 0: it is empty. */
static int bucket(const struct hr_py *py, uint64_t at, hr_id ids[PLACES], uint64_t size[2])
{
    unsigned word = py->img->word;
    struct hr_span b = hr_image_peek(py->img, at, 8 * word);
    if (b.n < 8 * word)
        return -1;
    uint64_t n = hr_word_load(b.p, word, py->img->big);
    if (n > PLACES)
        return -1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t have = idle_block(py, hr_word_load(b.p + (i + 1) * word, word, py->img->big), &ids[i]);
        if (!have)
            return -1;
        size[0] = i ? hr_min(size[0], have) : have;
        size[1] = i ? hr_max(size[1], have) : have;
    }
    return (int)n;
}

/* malloc rounds a request up to an odd number of words, three at least, and hands out two more where they would not do for a chunk of
 * their own. With debug hooks the size asked for is known itself. */
static bool served(const struct hr_py *py, uint64_t size, uint64_t request)
{
    uint64_t word = py->img->word, step = 2 * word;
    uint64_t rounded = hr_max(((request + word + step - 1) & ~(step - 1)) - word, 3 * word);
    return size >= request && size <= rounded + step;
}

/* Dimensions may have been more when they were asked for: an axis that is removed leaves the block as it is. */
static bool in_bucket(const struct hr_py *py, uint64_t size, uint64_t i, bool dims)
{
    unsigned word = py->img->word;
    return dims ? size >= i * word && size <= MOST_DIMS * word : served(py, size, i);
}

static enum hr_status vote(struct search *s, uint64_t at, const uint64_t size[2])
{
    unsigned each = 8 * s->py->img->word;
    for (uint64_t i = size[0]; i != UINT64_MAX && served(s->py, size[1], i); i--)
        if (i < BUCKETS && at >= s->lo + i * each)
            HR_TRY(hr_u64vec_push(&s->votes, at - i * each));
    return HR_OK;
}

static enum hr_status collect_votes(struct search *s)
{
    unsigned word = s->py->img->word;
    hr_id ids[PLACES];
    uint64_t size[2];
    for (uint64_t off = 0; off + 8 * word <= hr_min(s->seg->bytes.n, MAX_DATA); off += word) {
        uint64_t n = hr_word_load(s->seg->bytes.p + off, word, s->py->img->big);
        if (n && n <= PLACES && bucket(s->py, s->seg->addr + off, ids, size) > 0)
            HR_TRY(vote(s, s->seg->addr + off, size));
    }
    return HR_OK;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* How many buckets are filled if a table (of data, or of dimensions) begins at `at`; 0: none does. Calls `keep` for its blocks when that
 * is asked for. */
static unsigned table_at(struct search *s, uint64_t at, bool dims, hr_py_cached_fn *keep,
                     enum hr_status *st)
{
    unsigned filled = 0, each = 8 * s->py->img->word, n = dims ? DIM_BUCKETS : BUCKETS;
    for (unsigned i = 0; i < n; i++) {
        hr_id ids[PLACES];
        uint64_t size[2];
        int k = bucket(s->py, at + i * each, ids, size);
        if (k < 0 || (k && (!in_bucket(s->py, size[0], i, dims) || !in_bucket(s->py, size[1], i, dims))))
            return 0;
        filled += k > 0;
        for (int j = 0; keep && j < k && *st == HR_OK; j++)
            *st = keep(s->py, ids[j], dims ? "NumPy dimensions cache" : "NumPy data cache");
    }
    return dims || filled >= FEW_FILLED ? filled : 0;
}

/* The start that most buckets vote for, of those where a whole table fits; 0: none. A block's size leaves some 16 starts open, so that
 * wrong ones have nearly as many votes. */
static uint64_t winner(struct search *s)
{
    enum hr_status st = HR_OK;
    uint64_t best = 0;
    size_t most = FEW_FILLED - 1;
    unsigned tries = 0;
    if (s->votes.n)
        qsort(s->votes.v, s->votes.n, sizeof *s->votes.v, ascending);
    for (size_t i = 0, next; i < s->votes.n && tries < MAX_TRIES; i = next) {
        for (next = i + 1; next < s->votes.n && s->votes.v[next] == s->votes.v[i]; next++)
            ;
        if (next - i <= most)
            continue;
        tries++;
        if (table_at(s, s->votes.v[i], false, NULL, &st)) {
            most = next - i;
            best = s->votes.v[i];
        }
    }
    return best;
}

/* The table of dimensions is the neighbour of the other: static variables of one file. Where that one begins is known to a few buckets. */
static enum hr_status keep_dims(struct search *s, uint64_t data, hr_py_cached_fn *keep)
{
    unsigned each = 8 * s->py->img->word, most = 0, filled;
    uint64_t where[] = {data - DIM_BUCKETS * each, data + BUCKETS * each}, best = 0;
    enum hr_status st = HR_OK;
    for (unsigned i = 0; i < 2; i++)
        for (int near = -UNSURE; near <= UNSURE; near++) {
            uint64_t at = where[i] + (uint64_t)(int64_t)(near * (int)each);
            filled = table_at(s, at, true, NULL, &st);
            if (filled > most) {
                most = filled;
                best = at;
            }
        }
    if (best)
        table_at(s, best, true, keep, &st);
    return st;
}

static enum hr_status search_segment(struct hr_py *py, const struct hr_segment *seg, uint64_t lo, hr_py_cached_fn *keep)
{
    struct search s = {.py = py, .seg = seg, .lo = lo, .votes.max = MAX_VOTES};
    enum hr_status st = collect_votes(&s);
    uint64_t data = st == HR_OK || st == HR_LIMIT ? winner(&s) : 0;
    if (data) {
        st = HR_OK;
        table_at(&s, data, false, keep, &st);
        if (st == HR_OK)
            st = keep_dims(&s, data, keep);
    }
    hr_u64vec_deinit(&s.votes);
    return st == HR_LIMIT ? HR_OK : st;
}

enum hr_status hr_py_find_numpy_cache(struct hr_py *py, hr_py_cached_fn *keep)
{
    for (size_t i = 0; i < py->img->modules.n; i++) {
        const struct hr_module *m = &py->img->modules.v[i];
        if (!strstr(hr_strs_get(py->img->strs, m->path), "_multiarray_umath"))
            continue;
        for (size_t k = 0; k < py->img->segs.n; k++) {
            const struct hr_segment *s = &py->img->segs.v[k];
            bool its = s->addr >= m->lo && s->addr <= m->hi; /* the zeroed part may lie in an anonymous mapping right behind */
            if (its && s->flags & HR_SEG_W)
                HR_TRY(search_segment(py, s, m->lo, keep));
        }
    }
    return HR_OK;
}
