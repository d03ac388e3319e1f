/* Proposals for blocks no typed pointer leads to: leaked ones, and what hangs on void *. Said as proposals, never as facts.
 *
 * By first word: blocks that begin with the same address of a module (a table of functions, a descriptor) and have the same
 * size are the same thing, if all typed ones among them are. By shape: of the types whose size the allocator would have
 * rounded to this block, the one whose every field agrees with the content, with enough pointers that prove something
 * (native_proof.c). Types that this very heap is known to hold are likelier than those it never showed; of the latter only
 * the program's own are tried: the C library's internals fit anything. What a proposed block leads to is followed like
 * anything else, and proposed in its turn. */
#include "analyzer/runtimes/native_spread.h"

#include <string.h>

enum {
    AMBIGUOUS = 0,
    TYPES_PER_SIZE = 64,  /* types of one size that are tried on a block */
    ENOUGH_SEEN = 3,      /* points that make a proposal of a type that has instances already, see hr_proof */
    ENOUGH = 4,           /* ... of one that has none; */
    POINTERS = 2,         /* and so many of its pointers have to prove something */
    LEAD = 2,             /* by how much it has to beat the next, */
    HABIT_BONUS = 1,      /* numbers like those of the instances, */
    HABIT_PENALTY = 3,    /* and far from them: a chain of proofs outweighs it, a stale pointer or two do not */
    SEEN_BONUS = 1,       /* when a type has instances, */
    MANY_BONUS = 2, MANY = 64, /* and when it has many */
    PASSES = 8,           /* the last one finds nothing, except in chains made to go on for ever */
    GIVE_UP = 512,        /* blocks of one size tried with fewer than one hit in HIT_RATE: only one of SAMPLE is tried */
    HIT_RATE = 64,
    SAMPLE = 32,
};

/* ---- first word ---- */

static uint64_t first_word(struct hr_spread *s, uint64_t addr)
{
    uint64_t v;
    return hr_rd(s, addr, &v) && hr_spread_module(s, v) ? v : 0;
}

static enum hr_status by_first_word(struct hr_spread *s, struct hr_map *seen)
{
    for (int pass = 0; pass < 2; pass++) {
        struct hr_block_iter it = hr_block_iter(s->h, 0);
        for (hr_id id = 0; id < s->h->n; id++) {
            uint64_t addr = hr_block_next(&it);
            bool wanted = pass ? !s->h->type[id] : s->h->type[id] && s->h->evidence[id] < HR_EV_SHAPE && s->h->evidence[id] != HR_EV_RUNTIME;
            uint64_t v = wanted && hr_spread_live(s, id) ? first_word(s, addr) : 0;
            if (!v)
                continue;
            uint64_t key = hr_mix(v) ^ hr_block_size(s->h, id);
            if (pass) {
                uint32_t t = hr_map_get(seen, key);
                if (t == HR_NONE || t == AMBIGUOUS)
                    continue;
                s->h->type[id] = t;
                s->h->evidence[id] = HR_EV_FIRST_WORD;
            } else {
                uint32_t *slot;
                bool was;
                HR_TRY(hr_map_slot(seen, key, s->h->type[id], &slot, &was));
                if (was && *slot != s->h->type[id])
                    *slot = AMBIGUOUS;
            }
        }
    }
    return HR_OK;
}

/* ---- shape ---- */

struct propose {
    struct hr_spread *s;
    struct hr_map head;   /* usable size -> first type of that size */
    uint32_t *next;       /* per type: the next of the same size */
    uint32_t *seen;       /* per type: instances known by more than a proposal */
    size_t ntypes;
    struct hr_profiles habits;
    struct hr_map tries;  /* usable size -> index into tried/hit */
    struct hr_u32vec tried, hit;
};

static uint64_t usable_of(const struct hr_spread *s, uint64_t size)
{
    uint64_t w = s->n->img->word, g = 2 * w, u = ((size + w + g - 1) & ~(g - 1)) - w;
    return u < 3 * w ? 3 * w : u;
}

/* The C and C++ runtimes: what they keep for themselves is no likely content of a block nobody knows. */
static bool is_system(const struct hr_spread *s, uint16_t module)
{
    static const char *const prefix[] = {"libc.", "libc-", "ld-", "ld.", "libpthread", "libstdc++", "libgcc_s", "libm.", "libm-",
                                         "libdl", "librt.", "librt-", "libresolv", "libnss_", "libc++", "linux-vdso"};
    if (module >= s->n->img->modules.n)
        return false;
    const char *path = hr_strs_get(s->n->img->strs, s->n->img->modules.v[module].path), *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++)
        if (!strncmp(name, prefix[i], strlen(prefix[i])))
            return true;
    return false;
}

static enum hr_status index_types(struct propose *p)
{
    struct hr_spread *s = p->s;
    const struct hr_types *t = s->n->types;
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it);
        hr_type i = s->h->type[id];
        if (!i || i >= p->ntypes || s->h->evidence[id] >= HR_EV_SHAPE || s->h->evidence[id] == HR_EV_RUNTIME || s->h->state[id] != HR_USED)
            continue;
        if (p->seen[i]++ < MANY)
            HR_TRY(hr_profile_add(&p->habits, s, i, addr));
    }
    for (int seen = 0; seen < 2; seen++) /* those with instances come to stand first */
        for (hr_type i = (hr_type)p->ntypes; i-- > 1;) {
            const struct hr_type_row *r = &t->rows.v[i];
            if (!!p->seen[i] != seen || r->kind != HR_T_STRUCT || !r->size || r->size > UINT32_MAX || !hr_layout(s->n, i))
                continue;
            if (!seen && is_system(s, r->module))
                continue;
            uint64_t key = usable_of(s, r->size);
            p->next[i] = hr_map_get(&p->head, key);
            HR_TRY(hr_map_put(&p->head, key, i));
        }
    return HR_OK;
}

/* Types that no content can tell apart: pointers at the same places, to text or not. */
static bool twins(struct hr_spread *s, hr_type a, hr_type b)
{
    const struct hr_layout *l = hr_layout(s->n, a);
    struct hr_layout la = l ? *l : (struct hr_layout){0};
    const struct hr_layout *lb = hr_layout(s->n, b);
    if (!lb || la.nops != lb->nops)
        return false;
    const struct hr_layop *x = hr_layout_ops(s->n, &la), *y = hr_layout_ops(s->n, lb);
    for (uint32_t i = 0; i < la.nops; i++)
        if (x[i].off != y[i].off || x[i].kind != y[i].kind || hr_type_is_char(s->n, x[i].type) != hr_type_is_char(s->n, y[i].type))
            return false;
    return true;
}

struct best {
    hr_type type;
    struct hr_proof proof;
    int shape;         /* points of the content alone, */
    int top, second;   /* and with what is known of the types beforehand */
    bool twin;
};

static void contend(struct propose *p, struct best *b, hr_type t, struct hr_proof k, uint64_t addr)
{
    int habit = k.points && p->seen[t] ? hr_profile_agrees(&p->habits, p->s, t, addr) : 0;
    int shape = k.points + (habit > 0 ? HABIT_BONUS : habit < 0 ? -HABIT_PENALTY : 0);
    int n = shape + (shape <= 0 || !p->seen[t] ? 0 : p->seen[t] < MANY ? SEEN_BONUS : MANY_BONUS);
    if (b->type && k.points == b->proof.points && k.points && twins(p->s, t, b->type))
        b->twin = true;
    if (n > b->top) {
        if (b->type && !hr_embed_has(p->s, t, b->type, 0))
            b->second = b->top;
        b->twin = b->twin && k.points == b->proof.points;
        b->type = t, b->top = n, b->proof = k, b->shape = shape;
    } else if (n > b->second && !hr_embed_has(p->s, b->type, t, 0)) {
        b->second = n;
    }
}

/* A type's bucket is what 64-bit glibc would hand out for it. Other allocators round to more (glibc on i386: 16 bytes for
 * words of 4) or to less: the bucket of a block of theirs and the one below hold all types that may fit. */
static unsigned buckets(const struct hr_spread *s, uint64_t size, uint64_t key[2])
{
    uint64_t w = s->n->img->word;
    key[0] = usable_of(s, size);
    key[1] = key[0] - 2 * w;
    return (w == 4 || key[0] != size) && key[0] >= 5 * w ? 2 : 1;
}

static bool any_types(const struct propose *p, uint64_t size)
{
    uint64_t key[2];
    unsigned n = buckets(p->s, size, key);
    return hr_map_get(&p->head, key[0]) != HR_NONE || (n == 2 && hr_map_get(&p->head, key[1]) != HR_NONE);
}

/* Tries all types of a bucket that fit the block that well. */
static void try_bucket(struct propose *p, hr_id id, uint64_t addr, uint64_t key, int fit, struct best *b)
{
    int tried = 0;
    for (uint32_t t = hr_map_get(&p->head, key); t != HR_NONE && tried < TYPES_PER_SIZE; t = p->next[t]) {
        tried++;
        if (!hr_burn(&p->s->fuel, 1))
            return;
        if (hr_fit(p->s, id, addr, hr_type_get(p->s->n->types, t)->size) != fit)
            continue;
        struct hr_proof k = hr_proof(p->s, addr, t);
        if (k.points >= 0)
            contend(p, b, t, k, addr);
    }
}

/* Is it enough to give the type's name to a block? */
static bool enough(struct propose *p, const struct best *b, uint64_t addr)
{
    uint64_t v;
    if (!b->type)
        return false;
    if (p->seen[b->type])
        return b->shape >= ENOUGH_SEEN;
    /* Old pointers behind a short text or half a word of something new are shape enough for some type or other. */
    bool odd = !hr_rd(p->s, addr, &v) || (v >> 4 * p->s->n->img->word && hr_layout_ptr(p->s->n, b->type, 0) == HR_PTR_NO);
    return !odd && b->shape >= ENOUGH && b->proof.pointers >= POINTERS;
}

static hr_type shape_of(struct propose *p, hr_id id, uint64_t addr)
{
    struct best b = {0};
    uint64_t key[2], g = 2 * p->s->n->img->word;
    unsigned n = buckets(p->s, hr_block_size(p->s->h, id), key);
    for (unsigned i = 0; i < n; i++)
        try_bucket(p, id, addr, key[i], HR_FIT_EXACT, &b);
    bool glibc = n == 1 || hr_block_size(p->s->h, id) % 16 == 12;
    for (unsigned i = 0; i < n && !glibc; i++)
        try_bucket(p, id, addr, key[i], HR_FIT_SLACK, &b);
    if (!enough(p, &b, addr))
        return 0;
    hr_type one = b.type;
    /* A remainder too small for a chunk stays with the block, and may hold old bytes. */
    for (unsigned i = glibc ? 1 : n; i <= n + 1 && key[0] > i * g; i++)
        try_bucket(p, id, addr, key[0] - i * g, HR_FIT_SLACK, &b);
    return b.type == one && !b.twin && b.top >= b.second + LEAD ? one : 0;
}

/* Sizes where next to nothing is found are not tried for each of a million blocks. */
static enum hr_status counter(struct propose *p, uint64_t size, uint32_t *ret)
{
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(&p->tries, size, (uint32_t)p->tried.n, &slot, &was));
    *ret = *slot;
    if (was)
        return HR_OK;
    HR_TRY(hr_u32vec_push(&p->tried, 0));
    return hr_u32vec_push(&p->hit, 0);
}

static enum hr_status pass(struct propose *p, uint64_t *found_ret)
{
    struct hr_spread *s = p->s;
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    *found_ret = 0;
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it), size = hr_block_size(s->h, id);
        uint32_t c;
        if (s->h->state[id] != HR_USED || s->h->type[id] || !any_types(p, size))
            continue;
        HR_TRY(counter(p, size, &c));
        if (p->tried.v[c] >= GIVE_UP && p->hit.v[c] < p->tried.v[c] / HIT_RATE && id % SAMPLE)
            continue;
        hr_type t = shape_of(p, id, addr);
        p->tried.v[c]++;
        if (!t)
            continue;
        p->hit.v[c]++;
        ++*found_ret;
        s->h->type[id] = t;
        s->h->evidence[id] = HR_EV_SHAPE;
        hr_follow(s, addr, 1, t, HR_VOTE_LOCAL, id);
        hr_spread_drain(s);
    }
    return HR_OK;
}

static enum hr_status by_shape(struct hr_spread *s)
{
    struct propose p = {.s = s, .ntypes = s->n->types->rows.n, .tried = {.max = HR_MAX_BLOCKS}, .hit = {.max = HR_MAX_BLOCKS}};
    hr_map_init(&p.head, HR_MAX_TYPES);
    hr_map_init(&p.tries, HR_MAX_BLOCKS);
    hr_profiles_init(&p.habits);
    p.next = hr_alloc(p.ntypes * sizeof *p.next);
    p.seen = hr_zalloc(p.ntypes, sizeof *p.seen);
    enum hr_status st = p.next && p.seen ? index_types(&p) : HR_NOMEM;
    uint64_t found = 1;
    s->proposing = true;
    for (int i = 0; i < PASSES && found && st == HR_OK; i++) {
        st = pass(&p, &found);
        hr_spread_rounds(s);
    }
    hr_map_deinit(&p.head);
    hr_map_deinit(&p.tries);
    hr_profiles_deinit(&p.habits);
    hr_free(p.next);
    hr_free(p.seen);
    hr_u32vec_deinit(&p.tried);
    hr_u32vec_deinit(&p.hit);
    return st;
}

enum hr_status hr_propose_classify(struct hr_spread *s)
{
    struct hr_map m;
    hr_map_init(&m, HR_MAX_BLOCKS);
    enum hr_status st = by_first_word(s, &m);
    hr_map_deinit(&m);
    return st == HR_OK ? by_shape(s) : st;
}
