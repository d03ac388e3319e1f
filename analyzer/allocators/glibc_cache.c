/* Chunks that count as in use by their flags but were freed: fastbins (per arena) and tcaches (per thread).
 *
 * Runs over the finished heap: every list entry must be exactly a block, used so far; relabelling it is the claim that
 * ends cycles. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/glibc.h"

static uint64_t reveal(const struct glibc *g, uint64_t at, uint64_t v) { return g->l.safe_link ? v ^ at >> 12 : v; }

/* The block whose user address is exactly addr. */
static hr_id exactly(const struct hr_heap *h, uint64_t addr)
{
    uint64_t into;
    hr_id id = hr_heap_at(h, addr, &into);
    return id != HR_NONE && !into && hr_block_addr(h, id) == addr ? id : HR_NONE;
}

/* ---- fastbins ---- */

static void arena_damage(struct glibc *g, struct hr_heap *h, const struct glibc_arena *a, enum glibc_damage d, uint64_t at,
                         const char *what)
{
    h->arenas.v[a->row].corrupt = true;
    hr_glibc_damage(g, d, at, "%s, at 0x%llx in a fastbin of the arena at 0x%llx", what, (unsigned long long)at,
                    (unsigned long long)a->addr);
}

static void fastbin(struct glibc *g, struct hr_heap *h, const struct glibc_arena *a, unsigned i)
{
    const struct glibc_layout *l = &g->l;
    struct hr_arena *row = &h->arenas.v[a->row];
    uint64_t p, link;
    if (!glibc_word(g, a->addr + l->fast + (uint64_t)i * l->word, &p))
        return;
    /* Bounded: each step relabels a block that was used. */
    while (p) {
        uint64_t user = p + 2 * l->word;
        if (glibc_missing(g, p))
            return;
        if (user & (l->align - 1u)) {
            arena_damage(g, h, a, GLIBC_BAD_FAST_ALIGN, p, "misaligned entry");
            return;
        }
        hr_id id = exactly(h, user);
        if (id == HR_NONE || h->state[id] == HR_FREE) {
            arena_damage(g, h, a, GLIBC_BAD_FAST, p, "an entry that is no chunk in use");
            return;
        }
        if (h->state[id] != HR_USED) {
            arena_damage(g, h, a, GLIBC_BAD_FAST_TWICE, p, "a chunk is in two lists or twice in one");
            return;
        }
        uint64_t size = hr_block_size(h, id);
        if (((size + l->word) >> (l->word == 8 ? 4 : 3)) - 2 != i)
            arena_damage(g, h, a, GLIBC_BAD_FAST, p, "a chunk of another size");
        hr_heap_relabel(h, id, HR_CACHED);
        row->fast_blocks++;
        row->fast_bytes += size;
        if (!glibc_word(g, user, &link))
            return;
        p = reveal(g, user, link);
    }
}

enum hr_status hr_glibc_fastbins(struct glibc *g, struct hr_heap *h)
{
    for (size_t i = 0; i < g->arenas.n; i++)
        for (unsigned k = 0; k < g->l.nfast && g->arenas.v[i].addr; k++)
            fastbin(g, h, &g->arenas.v[i], k);
    return HR_OK;
}

/* ---- tcache ---- */

static unsigned tc_count(const struct glibc *g, uint64_t tc, unsigned i, bool *ok)
{
    unsigned each = g->l.tc_kind == GLIBC_TC_U8 ? 1 : 2;
    uint64_t v;
    *ok = hr_image_uint(g->img, tc + (uint64_t)i * each, each, &v);
    return *ok ? (unsigned)v : 0;
}

static bool tc_entry(const struct glibc *g, uint64_t tc, unsigned i, uint64_t *ret)
{
    return glibc_word(g, tc + g->l.tc_entries + (uint64_t)i * g->l.word, ret);
}

/* Chunk sizes of bin i: exact for the small ones, a range for 2.42's large ones. */
static bool tc_size_fits(const struct glibc *g, unsigned i, uint64_t chunk)
{
    uint64_t small = (uint64_t)g->l.minsize + (uint64_t)i * g->l.align;
    return i < 64 ? chunk == small : chunk >= (uint64_t)g->l.minsize + 64u * g->l.align;
}

struct tc_look {
    bool sound;      /* every first entry is a fitting block, counts agree with the lists */
    unsigned lists;  /* non-empty ones */
    unsigned other;  /* counts that are not 0 */
};

/* Does the block at `tc` look like a tcache? */
static struct tc_look look(const struct glibc *g, const struct hr_heap *h, uint64_t tc)
{
    struct tc_look r = {.sound = true};
    for (unsigned i = 0; i < g->l.tc_bins && r.sound; i++) {
        uint64_t e;
        unsigned n = tc_count(g, tc, i, &r.sound);
        if (!r.sound || !tc_entry(g, tc, i, &e)) {
            r.sound = false;
            break;
        }
        r.other += n != 0;
        if (!e) {
            r.sound = g->l.tc_kind == GLIBC_TC_SLOTS || !n;
            continue;
        }
        r.lists++;
        if (glibc_missing(g, e) && !(e & (g->l.align - 1u)))
            continue;
        hr_id id = exactly(h, e);
        r.sound = (g->l.tc_kind == GLIBC_TC_SLOTS || n) && id != HR_NONE && h->state[id] != HR_FREE &&
                  tc_size_fits(g, i, hr_block_size(h, id) + g->l.word);
    }
    return r;
}

static void tc_damage(const struct glibc *g, enum glibc_damage d, uint64_t tc, uint64_t at, const char *what)
{
    hr_glibc_damage(g, d, at, "%s, at 0x%llx in the thread cache at 0x%llx", what, (unsigned long long)at,
                    (unsigned long long)tc);
}

static void tc_list(struct glibc *g, struct hr_heap *h, uint64_t tc, unsigned i)
{
    const struct glibc_layout *l = &g->l;
    uint64_t e, link;
    bool ok;
    unsigned want = tc_count(g, tc, i, &ok), n = 0;
    if (!tc_entry(g, tc, i, &e))
        return;
    /* Bounded: each step relabels a block that was used. */
    for (; e; n++) {
        if (glibc_missing(g, e))
            return;
        if (e & (l->align - 1u)) {
            tc_damage(g, GLIBC_BAD_TCACHE_ALIGN, tc, e, "misaligned entry");
            return;
        }
        hr_id id = exactly(h, e);
        if (id == HR_NONE || h->state[id] == HR_FREE) {
            tc_damage(g, GLIBC_BAD_TCACHE, tc, e, "an entry that is no chunk in use");
            return;
        }
        if (h->state[id] != HR_USED) {
            tc_damage(g, GLIBC_BAD_TCACHE_TWICE, tc, e, "a chunk is in two lists or twice in one");
            return;
        }
        if (!tc_size_fits(g, i, hr_block_size(h, id) + l->word))
            tc_damage(g, GLIBC_BAD_TCACHE, tc, e, "a chunk of another size");
        hr_heap_relabel(h, id, HR_CACHED);
        if (!glibc_word(g, e, &link))
            return;
        e = reveal(g, e, link);
    }
    if (l->tc_kind != GLIBC_TC_SLOTS && n != want)
        tc_damage(g, n > want ? GLIBC_BAD_TCACHE_MANY : GLIBC_BAD_TCACHE, tc, tc + l->tc_entries + (uint64_t)i * l->word,
                  n > want ? "more chunks than counted" : "fewer chunks than counted");
}

static void take(struct glibc *g, struct hr_heap *h, hr_id id)
{
    uint64_t tc = hr_block_addr(h, id);
    if (h->state[id] != HR_USED)
        return;
    hr_heap_relabel(h, id, HR_OWN);
    for (unsigned i = 0; i < g->l.tc_bins; i++)
        tc_list(g, h, tc, i);
}

/* A chunk whose rest would have been smaller than a chunk is handed out whole, so it may be up to that larger. */
static bool tc_sized(const struct glibc *g, const struct hr_heap *h, hr_id id)
{
    return h->size[id] + (uint32_t)g->l.word - g->l.tc_chunk < g->l.minsize;
}

/* The block at addr, if it is one of a tcache's size, in use, that looks like one. */
static hr_id candidate(const struct glibc *g, const struct hr_heap *h, uint64_t addr, struct tc_look *look_ret)
{
    if (addr & (g->l.align - 1u))
        return HR_NONE;
    hr_id id = exactly(h, addr);
    if (id == HR_NONE || !tc_sized(g, h, id) || h->state[id] != HR_USED)
        return HR_NONE;
    *look_ret = look(g, h, addr);
    return look_ret->sound ? id : HR_NONE;
}

/* ---- by thread: libc's thread-local `tcache` lies at one distance from every thread pointer ---- */

enum {
    TLS_WINDOW = 256 << 10, /* static TLS searched on either side of the thread pointer of a few threads */
    TLS_SAMPLE = 8,
    TLS_DELTAS = 64,
};
struct delta {
    int64_t d;
    unsigned threads, lists;
};

static void vote(struct delta *v, unsigned *n, int64_t d, unsigned lists)
{
    for (unsigned i = 0; i < *n; i++)
        if (v[i].d == d) {
            v[i].threads++;
            v[i].lists += lists;
            return;
        }
    if (*n < TLS_DELTAS)
        v[(*n)++] = (struct delta){d, 1, lists};
}

static void sample_thread(const struct glibc *g, const struct hr_heap *h, uint64_t tp, struct delta *v, unsigned *n)
{
    const unsigned w = g->l.word;
    /* Static TLS lies below the thread pointer (x86), above it (arm, riscv), or from 0x7000 below on (ppc). */
    uint64_t from = tp - hr_min(tp, TLS_WINDOW), to = hr_sat_add(tp, TLS_WINDOW), word;
    struct glibc_win win = {.img = g->img};
    const struct hr_segment *s = hr_image_find(g->img, tp, NULL);
    if (!s)
        s = hr_image_find(g->img, tp - 1, NULL);
    if (!s)
        return;
    from = hr_max(from, s->addr);
    to = hr_min(to, s->addr + s->bytes.n);
    for (uint64_t a = glibc_up(from, w); a + w <= to && a >= from; a += w) {
        struct tc_look l;
        if (glibc_load(&win, a, w, g->img->big, &word) && word && candidate(g, h, word, &l) != HR_NONE)
            vote(v, n, (int64_t)(a - tp), l.lists);
    }
}

/* The distance most threads agree on; of equals the one with more lists behind it. Returns how many threads agree. */
static unsigned find_delta(const struct glibc *g, const struct hr_heap *h, int64_t *ret)
{
    struct delta v[TLS_DELTAS];
    unsigned n = 0, sampled = 0, best = 0;
    for (size_t t = 0; t < g->img->threads.n && sampled < TLS_SAMPLE; t++)
        if (g->img->threads.v[t].tp_valid && g->img->threads.v[t].tp) {
            sampled++;
            sample_thread(g, h, g->img->threads.v[t].tp, v, &n);
        }
    for (unsigned i = 1; i < n; i++)
        if (v[i].threads > v[best].threads || (v[i].threads == v[best].threads && v[i].lists > v[best].lists))
            best = i;
    if (n)
        *ret = v[best].d;
    return n ? v[best].threads : 0;
}

static unsigned by_threads(struct glibc *g, struct hr_heap *h)
{
    int64_t d;
    unsigned found = 0;
    if (!find_delta(g, h, &d))
        return 0;
    for (size_t t = 0; t < g->img->threads.n; t++) {
        const struct hr_thread *th = &g->img->threads.v[t];
        uint64_t tc;
        if (!th->tp_valid || !glibc_word(g, th->tp + (uint64_t)d, &tc) || !tc)
            continue;
        hr_id id = exactly(h, tc);
        /* At the right place and of the right size: taken even if its content is damaged, which is then noted. */
        if (id != HR_NONE && tc_sized(g, h, id) && h->state[id] == HR_USED) {
            take(g, h, id);
            found++;
        }
    }
    return found;
}

/* ---- by shape: threads whose TLS is unknown ---- */

/* A user's zeroed block of that size looks like an empty tcache; only an arena's first chunk is taken for one. */
static bool first_chunk(const struct glibc *g, const struct hr_heap *h, hr_id id)
{
    uint64_t chunk = hr_block_addr(h, id) - 2 * g->l.word;
    for (size_t i = 0; i < g->regions.n; i++)
        if (g->regions.v[i].first == chunk && g->regions.v[i].kind != GLIBC_MMAPPED)
            return true;
    return false;
}

static unsigned by_shape(struct glibc *g, struct hr_heap *h, bool with_empty)
{
    unsigned found = 0;
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (!tc_sized(g, h, id) || h->state[id] != HR_USED)
            continue;
        struct tc_look l = look(g, h, addr);
        if (l.sound && (l.lists || (with_empty && first_chunk(g, h, id)))) {
            take(g, h, id);
            found++;
        }
    }
    return found;
}

/* ---- do the lists agree with the version? ---- */

struct link_votes {
    unsigned plain, mangled;
};

static void vote_link(const struct glibc *g, const struct hr_heap *h, uint64_t user, unsigned skip, struct link_votes *v)
{
    uint64_t next;
    if (exactly(h, user) == HR_NONE || !glibc_word(g, user, &next))
        return;
    uint64_t m = next ^ user >> 12;
    v->plain += !next || exactly(h, next + skip) != HR_NONE;
    v->mangled += !m || exactly(h, m + skip) != HR_NONE;
}

void hr_glibc_vote_links(struct glibc *g, const struct hr_heap *h)
{
    const unsigned w = g->l.word;
    struct link_votes v = {0};
    uint64_t e;
    for (size_t i = 0; i < g->arenas.n; i++)
        for (unsigned k = 0; k < g->l.nfast && g->arenas.v[i].addr; k++)
            if (glibc_word(g, g->arenas.v[i].addr + g->l.fast + (uint64_t)k * w, &e) && e)
                vote_link(g, h, e + 2 * w, 2 * w, &v);
    for (size_t i = 0; i < g->regions.n && g->l.tc_kind != GLIBC_TC_NONE; i++) {
        const struct glibc_region *r = &g->regions.v[i];
        uint64_t tc = r->first + 2 * w;
        struct tc_look l;
        if (r->kind == GLIBC_MMAPPED || candidate(g, h, tc, &l) == HR_NONE)
            continue;
        for (unsigned k = 0; k < g->l.tc_bins; k++)
            if (tc_entry(g, tc, k, &e) && e)
                vote_link(g, h, e, 0, &v);
    }
    /* Distributions carry changes back: a clear vote beats the version too. */
    if (v.plain != v.mangled && (!g->minor || (v.plain + v.mangled > 2 && !(v.plain && v.mangled))))
        g->l.safe_link = v.mangled > v.plain;
}

static void use_tcache_of(struct glibc_layout *l, unsigned minor)
{
    struct glibc_layout other;
    hr_glibc_layout(&other, l->word, l->align, minor);
    l->tc_kind = other.tc_kind;
    l->tc_bins = other.tc_bins;
    l->tc_entries = other.tc_entries;
    l->tc_chunk = other.tc_chunk;
}

/* The kind of tcache that the version has, unless the threads' caches only make sense as another. */
static void settle_tcache(struct glibc *g, const struct hr_heap *h)
{
    static const uint8_t kinds[] = {26, 30, 42};
    int64_t d;
    if (find_delta(g, h, &d))
        return;
    struct glibc_layout said = g->l, best = g->l;
    unsigned most = 0;
    for (size_t i = 0; i < sizeof kinds; i++) {
        use_tcache_of(&g->l, kinds[i]);
        unsigned n = g->l.tc_kind == said.tc_kind ? 0 : find_delta(g, h, &d);
        if (n > most) {
            most = n;
            best = g->l;
        }
    }
    g->l = best;
}

enum hr_status hr_glibc_tcaches(struct glibc *g, struct hr_heap *h)
{
    settle_tcache(g, h);
    if (g->l.tc_kind == GLIBC_TC_NONE)
        return HR_OK;
    unsigned threads = by_threads(g, h), shape = by_shape(g, h, !threads);
    char *ev = h->allocators.v[g->allocator].evidence;
    size_t cap = sizeof h->allocators.v[g->allocator].evidence, n = strlen(ev);
    if (threads + shape)
        snprintf(ev + n, cap - n, "; %u thread caches by TLS, %u by shape", threads, shape);
    return HR_OK;
}
