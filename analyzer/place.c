#include "analyzer/place.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"
#include "analyzer/survey.h"

uint64_t hr_place_room(struct hr_session *s, uint32_t arena)
{
    const char *name = s->heap->allocators.v[s->heap->arenas.v[arena].allocator].name;
    uint64_t best = 0;
    if (!s->image.bare || (strncmp(name, "newlib", 6) && strncmp(name, "picolibc", 8)) || hr_session_survey(s) != HR_OK)
        return 0;
    const struct hr_survey *v = s->survey;
    for (size_t i = 0; i + 1 < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        if (r->kind == HR_SV_HEAP && r->region != HR_NONE && s->heap->regions.v[r->region].arena == arena && r[1].kind == HR_SV_UNUSED &&
            r[1].addr == r->addr + r->size)
            best = hr_max(best, r[1].size);
    }
    return best;
}

const struct hr_size_class *hr_place_refused(struct hr_session *s, uint32_t arena)
{
    enum { LEAST = 2 };
    const struct hr_size_class *best = NULL;
    const struct hr_arena *a = &s->heap->arenas.v[arena];
    uint64_t more = hr_place_room(s, arena);
    for (size_t i = 0; s->frag && i < s->frag->classes.n; i++) {
        const struct hr_size_class *k = &s->frag->classes.v[i];
        if (k->arena == arena && k->used >= LEAST && k->size > a->largest_free && k->size > more && k->size <= a->free_bytes &&
            (!best || k->size < best->size))
            best = k;
    }
    return best;
}

/* Free now; or free then: garbage that a collector will take. */
static bool is_free(const struct hr_heap *h, hr_id id) { return h->state[id] == HR_FREE || h->state[id] == HR_CACHED; }

static bool is_dying(const struct hr_session *s, hr_id id)
{
    const struct hr_heap *h = s->heap;
    return h->state[id] == HR_USED && h->reach && h->reach[id] >= HR_LEAKED_DIRECT && hr_runtimes_claims(s->runtimes, id);
}

/* A window that is moved over the blocks of one region after the other. */
struct window {
    struct hr_session *s;
    struct hr_place *p;
    struct hr_block_iter left;
    uint64_t lo, live;         /* start of its first block, live bytes in it */
    uint32_t blocks;           /* live ones */
    uint64_t end;              /* of its last block */
    uint64_t now, then;        /* where the run of free blocks that ends here began, UINT64_MAX none */
};

/* Drops the first block. */
static void shrink(struct window *w)
{
    const struct hr_heap *h = w->s->heap;
    hr_id id = w->left.id;
    hr_block_next(&w->left);
    if (!is_free(h, id) && !is_dying(w->s, id)) {
        w->live -= hr_block_size(h, id);
        w->blocks--;
    }
    struct hr_block_iter peek = w->left;
    w->lo = peek.id < h->n ? hr_block_next(&peek) : w->end;
}

static void restart(struct window *w, hr_id id, uint64_t addr)
{
    w->left = hr_block_iter(w->s->heap, id);
    w->lo = addr;
    w->live = w->blocks = 0;
    w->now = w->then = UINT64_MAX;
}

static void grow(struct window *w, hr_id id, uint64_t addr)
{
    const struct hr_heap *h = w->s->heap;
    struct hr_place *p = w->p;
    bool free = is_free(h, id), dying = is_dying(w->s, id);
    w->end = addr + hr_block_size(h, id);
    w->now = free ? hr_min(w->now, addr) : UINT64_MAX;
    w->then = free || dying ? hr_min(w->then, addr) : UINT64_MAX;
    if (free) {
        p->free += w->end - addr;
        p->longest = hr_max(p->longest, w->end - w->now);
    }
    if (free || dying) {
        p->longest_then = hr_max(p->longest_then, w->end - w->then);
    } else {
        w->live += w->end - addr;
        w->blocks++;
    }
    for (struct hr_block_iter next = w->left; w->left.id < id;) { /* as few blocks as will do */
        hr_block_next(&next);
        struct hr_block_iter peek = next;
        if (w->end - hr_block_next(&peek) < p->request)
            break;
        shrink(w);
    }
    if (w->end - w->lo >= p->request && (p->lo == p->hi || w->live < p->live)) {
        p->lo = w->lo;
        p->hi = w->end;
        p->live = w->live;
        p->blocks = w->blocks;
        p->first = w->left.id;
        p->last = id;
    }
}

/* Blocks of one size side by side are slots of a pool: they never join. */
static bool is_pool(const struct hr_session *s, uint32_t arena)
{
    size_t n = 0;
    for (size_t i = 0; s->frag && i < s->frag->classes.n; i++)
        n += s->frag->classes.v[i].arena == arena;
    return n == 1 && s->frag->arenas.v[arena].free_runs + s->heap->arenas.v[arena].used_blocks > 8;
}

static void search(struct hr_session *s, struct hr_place *p)
{
    enum { HEADER_MOST = 64 /* between two blocks lies no more than the allocator's words */ };
    const struct hr_heap *h = s->heap;
    struct hr_block_iter it = hr_block_iter(h, 0);
    struct window w = {.s = s, .p = p, .end = UINT64_MAX};
    uint32_t region = HR_NONE, pool_of = HR_NONE;
    bool pool = false;
    restart(&w, 0, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        uint32_t arena = h->regions.v[it.region].arena;
        if (arena != pool_of) {
            pool_of = arena;
            pool = is_pool(s, arena);
        }
        bool fits_not = h->state[id] == HR_OWN || (p->arena != HR_NONE && arena != p->arena) || pool;
        if (fits_not || it.region != region || addr < w.end || addr - w.end > HEADER_MOST)
            restart(&w, fits_not ? it.id : id, addr);
        region = fits_not ? HR_NONE : it.region;
        if (!fits_not)
            grow(&w, id, addr);
    }
}

/* The request that is known best. */
static enum hr_status choose(struct hr_session *s, struct hr_place *p)
{
    struct hr_mp *mp = hr_runtimes_self(s->runtimes, "micropython");
    struct hr_mp_after after;
    if (mp) {
        p->request = hr_mp_failed_request(mp, &p->error);
        p->source = HR_REQUEST_FAILED;
        if (!p->request && hr_mp_after(mp, &after) == HR_OK) {
            p->request = after.largest;
            p->source = HR_REQUEST_LARGEST;
        }
    }
    for (uint32_t i = 0; !p->request && s->image.bare && i < s->heap->arenas.n; i++) {
        const struct hr_size_class *k = hr_place_refused(s, i);
        if (!k)
            continue;
        p->request = k->size;
        p->alike = k->used;
        p->source = HR_REQUEST_SIZES;
        p->arena = i;
    }
    return p->request ? HR_OK : HR_ABSENT;
}

enum hr_status hr_place_find(struct hr_session *s, uint64_t request, struct hr_place *ret)
{
    *ret = (struct hr_place){.request = request, .source = HR_REQUEST_ASKED, .arena = HR_NONE, .first = HR_NONE, .last = HR_NONE};
    HR_TRY(hr_session_reach(s));
    HR_TRY(hr_session_frag(s));
    if (!request)
        HR_TRY(choose(s, ret));
    search(s, ret);
    for (uint32_t i = 0; i < s->heap->arenas.n; i++)
        if (ret->arena == HR_NONE || ret->arena == i)
            ret->room = hr_max(ret->room, hr_place_room(s, i));
    ret->fits = ret->longest_then >= ret->request || ret->room >= ret->request;
    return HR_OK;
}

const struct hr_place *hr_session_place(struct hr_session *s)
{
    if (!s->place && (s->place = hr_zalloc(1, sizeof *s->place)) && hr_place_find(s, 0, s->place) != HR_OK)
        s->place->request = 0;
    return s->place && s->place->request ? s->place : NULL;
}

hr_id hr_place_next(struct hr_session *s, const struct hr_place *p, hr_id *at)
{
    while (*at <= p->last && *at < s->heap->n && p->lo < p->hi) {
        hr_id id = (*at)++;
        if (!is_free(s->heap, id) && !is_dying(s, id))
            return id;
    }
    return HR_NONE;
}

char *hr_place_text(struct hr_session *s, const struct hr_place *p, char *buf, size_t cap)
{
    hr_id at = p->first, id = hr_place_next(s, p, &at);
    char type[200], way[400];
    buf[0] = 0;
    if (id == HR_NONE)
        return buf;
    snprintf(buf, cap, "%.50s at 0x%llx (%.70s)", hr_describe_type(s, id, type, sizeof type), (unsigned long long)hr_block_addr(s->heap, id),
             hr_session_way(s, id, way, sizeof way));
    size_t n = strlen(buf);
    if (p->blocks > 1)
        snprintf(buf + n, cap - n, " and %u more", p->blocks - 1);
    return buf;
}
