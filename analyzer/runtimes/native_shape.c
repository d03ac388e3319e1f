/* What is left after all proposals: unnamed groups of untyped blocks, and how much hangs on each. */
#include "analyzer/runtimes/native_spread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHAPE_WORDS = 32,    /* words of a block that are looked at to count its pointers */
    SHAPE_SAMPLE = 64,   /* blocks of a group that are looked at */
    REACH_GROUPS = 16,   /* largest groups whose reach is computed: one walk over the unknown blocks each */
};

static uint64_t first_word(struct hr_spread *s, uint64_t addr)
{
    uint64_t v;
    return hr_rd(s, addr, &v) && hr_spread_module(s, v) ? v : 0;
}

/* ---- groups ---- */

static int by_bytes(const void *a, const void *b)
{
    const struct hr_group *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->example < y->example ? -1 : x->example > y->example;
}

static enum hr_status collect(struct hr_spread *s, struct hr_map *index)
{
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it);
        if (s->h->state[id] != HR_USED || s->h->type[id])
            continue;
        uint64_t size = hr_block_size(s->h, id), v = first_word(s, addr);
        uint32_t *slot;
        bool was;
        if (s->groups.n >= HR_MAX_GROUPS && hr_map_get(index, hr_mix(v) ^ size) == HR_NONE)
            continue;
        HR_TRY(hr_map_slot(index, hr_mix(v) ^ size, (uint32_t)s->groups.n, &slot, &was));
        if (!was)
            HR_TRY(hr_groupvec_push(&s->groups, (struct hr_group){.example = id, .first_word = v}));
        s->group_of[id] = *slot;
        s->groups.v[*slot].count++;
        s->groups.v[*slot].bytes += size;
    }
    return HR_OK;
}

/* Sorts the groups by bytes and renumbers the blocks' column. */
static enum hr_status rank(struct hr_spread *s)
{
    uint32_t n = (uint32_t)s->groups.n, *to = hr_alloc((n + 1u) * sizeof *to);
    if (!to)
        return HR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        s->groups.v[i].reach_blocks = i;
    if (n > 1)
        qsort(s->groups.v, n, sizeof *s->groups.v, by_bytes);
    for (uint32_t i = 0; i < n; i++) {
        to[s->groups.v[i].reach_blocks] = i;
        s->groups.v[i].reach_blocks = 0;
    }
    for (hr_id id = 0; id < s->h->n; id++)
        if (s->group_of[id] != HR_NONE)
            s->group_of[id] = to[s->group_of[id]];
    hr_free(to);
    return HR_OK;
}

/* Words that are pointers into the heap in at least half of the blocks looked at. */
static enum hr_status name_groups(struct hr_spread *s)
{
    struct tally { uint16_t seen, ptr[SHAPE_WORDS]; } *t = hr_zalloc(s->groups.n + 1, sizeof *t);
    if (!t)
        return HR_NOMEM;
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    uint64_t w = s->n->img->word, v;
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it);
        uint32_t g = s->group_of[id];
        if (g == HR_NONE || t[g].seen >= SHAPE_SAMPLE)
            continue;
        t[g].seen++;
        for (unsigned k = 0; k < SHAPE_WORDS && (k + 1) * w <= hr_block_size(s->h, id); k++)
            t[g].ptr[k] += hr_rd(s, addr + k * w, &v) && hr_heap_at(s->h, v, NULL) != HR_NONE;
    }
    for (uint32_t g = 0; g < s->groups.n; g++) {
        unsigned n = 0;
        for (unsigned k = 0; k < SHAPE_WORDS; k++)
            n += t[g].ptr[k] * 2u >= t[g].seen && t[g].ptr[k];
        snprintf(s->groups.v[g].name, sizeof s->groups.v[g].name, "untyped#%u (%llu bytes, %u pointer%s)", g + 1,
                 (unsigned long long)hr_block_size(s->h, s->groups.v[g].example), n, n == 1 ? "" : "s");
    }
    hr_free(t);
    return HR_OK;
}

struct walk {
    struct hr_spread *s;
    struct hr_bits *seen;
    struct hr_u32vec todo;
    enum hr_status st;
};

static void step(struct hr_edgebuf *b, void *ctx)
{
    struct walk *k = ctx;
    for (uint32_t i = 0; i < b->n && k->st == HR_OK; i++)
        if (k->s->group_of[b->v[i].to] != HR_NONE && hr_bits_claim(k->seen, b->v[i].to))
            k->st = hr_u32vec_push(&k->todo, b->v[i].to);
    b->n = 0;
}

/* Bytes of unknown blocks that hang on group g. */
static enum hr_status reach(struct hr_spread *s, uint32_t g, struct hr_bits *seen)
{
    struct walk k = {.s = s, .seen = seen, .todo = {.max = s->h->n + 1u}};
    struct hr_edgebuf b = {.flush = step, .ctx = &k};
    memset(seen->w, 0, (seen->nbits + 63) / 64 * sizeof *seen->w);
    for (hr_id id = 0; id < s->h->n && k.st == HR_OK; id++)
        if (s->group_of[id] == g) {
            hr_bits_set(seen, id);
            k.st = hr_u32vec_push(&k.todo, id);
        }
    while (k.todo.n && k.st == HR_OK) {
        hr_id id = k.todo.v[--k.todo.n];
        s->groups.v[g].reach_blocks++;
        s->groups.v[g].reach_bytes += hr_block_size(s->h, id);
        hr_native_edges(s->n, id, &b);
        step(&b, &k);
    }
    hr_u32vec_deinit(&k.todo);
    return k.st;
}

static enum hr_status groups(struct hr_spread *s, struct hr_map *index)
{
    size_t n = s->h->n ? s->h->n : 1;
    s->group_of = hr_alloc(n * sizeof *s->group_of);
    if (!s->group_of)
        return HR_NOMEM;
    memset(s->group_of, 0xff, n * sizeof *s->group_of);
    HR_TRY(collect(s, index));
    HR_TRY(rank(s));
    return name_groups(s);
}

enum hr_status hr_shape_classify(struct hr_spread *s)
{
    struct hr_map m;
    hr_map_init(&m, HR_MAX_BLOCKS);
    enum hr_status st = groups(s, &m);
    hr_map_deinit(&m);
    return st;
}

/* ---- what others ask ---- */

size_t hr_native_groups(void *self, const struct hr_group **ret)
{
    struct hr_native *n = self;
    if (!n || !n->spread)
        return 0;
    *ret = n->spread->groups.v;
    return n->spread->groups.n;
}

uint32_t hr_native_group_of(void *self, hr_id id)
{
    struct hr_native *n = self;
    return n && n->spread && n->spread->group_of && id < n->heap->n ? n->spread->group_of[id] : HR_NONE;
}

enum hr_status hr_native_reach_hint(void *self, const struct hr_group **ret)
{
    struct hr_native *n = self;
    struct hr_spread *s = n ? n->spread : NULL;
    if (!s || !s->groups.n)
        return HR_ABSENT;
    struct hr_bits seen;
    HR_TRY(hr_bits_init(&seen, n->heap->n));
    enum hr_status st = HR_OK;
    uint32_t best = 0;
    for (uint32_t g = 0; g < s->groups.n && g < REACH_GROUPS && st == HR_OK; g++) {
        if (!s->groups.v[g].reach_blocks)
            st = reach(s, g, &seen);
        if (s->groups.v[g].reach_bytes > s->groups.v[best].reach_bytes)
            best = g;
    }
    hr_bits_deinit(&seen);
    HR_TRY(st);
    *ret = &s->groups.v[best];
    return HR_OK;
}
