/* A cache: a hash table with chains and a list by age through the same entries, values in arenas carved from pools, a queue whose
 * links carry a mark in bit 0, a tree of routes. What it loses it says. */
#include "fw_say.h"

struct arena { struct arena *older; uint32_t used; _Alignas(void *) uint8_t body[232]; };
struct value { uint32_t len; char *spill; uint8_t bytes[8]; };          /* lies in an arena */
struct entry { struct entry *chain, *newer, *older; uint32_t key; struct value *value; };
struct table { uint32_t n, mask; struct entry *bucket[]; };
struct route { struct route *child[2]; uint8_t prefix; void *hop; };
struct job { uintptr_t next; uint32_t nr; };
struct stats { uint64_t hits, misses; };

static struct table *cache;
static struct arena *arenas;
static struct entry *newest, *oldest;
static struct route *routes;
static uintptr_t jobs;                      /* bit 0: urgent */
static struct stats *volatile stats;

static __attribute__((noinline)) struct value *carve(struct arena **list)
{
    if (!*list || (*list)->used + sizeof(struct value) > sizeof (*list)->body) {
        struct arena *a = TAKE(arena);
        a->older = *list;
        *list = a;
    }
    struct value *v = (struct value *)((*list)->body + (*list)->used);
    (*list)->used += sizeof *v;
    return v;
}

static __attribute__((noinline)) void grow(void)
{
    uint32_t n = cache ? 2 * (cache->mask + 1) : 4;
    struct table *t = (struct table *)fw_take(sizeof *t + n * sizeof *t->bucket, "table"), *was = cache;
    t->mask = n - 1;
    for (uint32_t i = 0; was && i <= was->mask; i++)
        for (struct entry *e = was->bucket[i], *next; e; e = next) {
            next = e->chain;
            e->chain = t->bucket[e->key & t->mask];
            t->bucket[e->key & t->mask] = e;
            t->n++;
        }
    cache = t;
    if (was)
        fw_give(was);
}

static __attribute__((noinline)) void put(uint32_t key, int spill)
{
    if (!cache || cache->n > cache->mask)
        grow();
    struct entry *e = TAKE(entry);
    e->key = key * 2654435761u >> 7;
    e->value = carve(&arenas);
    e->value->len = key;
    if (spill)
        e->value->spill = TAKE_N(char, 24);
    e->chain = cache->bucket[e->key & cache->mask];
    cache->bucket[e->key & cache->mask] = e;
    cache->n++;
    e->older = newest;
    if (newest)
        newest->newer = e;
    else
        oldest = e;
    newest = e;
}

/* Evicts; forgets what the value had elsewhere, and sometimes the entry. */
static __attribute__((noinline)) void evict(int careless)
{
    struct entry *e = oldest, **at = &cache->bucket[e->key & cache->mask];
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    cache->n--;
    oldest = e->newer;
    oldest->older = NULL;
    if (e->value->spill)
        LOST("direct", e->value->spill);
    memset(e->value, 0, sizeof *e->value);
    if (careless) {
        memset(e, 0, sizeof *e);
        LOST("direct", e);
    } else {
        fw_give(e);
    }
}

static __attribute__((noinline)) struct route *route(struct route *a, struct route *b, uint8_t prefix)
{
    struct route *r = TAKE(route);
    r->child[0] = a;
    r->child[1] = b;
    r->prefix = prefix;
    return r;
}

/* A second cache's arenas, whose head is on a stack that is gone. */
static __attribute__((noinline)) void side_cache(void)
{
    struct arena *list = NULL;
    for (int i = 0; i < 20; i++) {
        struct value *v = carve(&list);
        if (i % 10 == 3)
            v->spill = TAKE_N(char, 12);
    }
    for (struct arena *a = list; a; a = a->older) {
        fw_tell(a == list ? "lost direct" : "lost indirect", (uintptr_t)a, 0, 1, NULL);
        for (uint32_t i = 0; i < a->used; i += sizeof(struct value))
            if (((struct value *)(a->body + i))->spill)
                LOST("indirect", ((struct value *)(a->body + i))->spill);
    }
}

static __attribute__((noinline)) void work(void)
{
    stats = TAKE(stats);
    for (uint32_t i = 0; i < 34; i++) {
        put(i, i % 5 == 0);
        if (i % 6 == 5)
            evict(i % 12 == 5);
        if (i % 4 == 0) {
            struct job *j = TAKE(job);
            j->nr = i;
            j->next = jobs;
            jobs = (uintptr_t)j | (i % 8 == 0);
        }
    }
    routes = route(route(NULL, route(NULL, NULL, 3), 1), route(NULL, NULL, 2), 0);
    routes->hop = routes->child[1];
    LOST("direct", routes->child[0]); /* cut off below */
    LOST("indirect", routes->child[0]->child[1]);
    routes->child[0] = NULL;
    struct route *x = route(NULL, NULL, 9), *y = route(x, NULL, 8), *z = route(y, NULL, 7);
    x->child[1] = z;
    x->hop = TAKE_N(char, 30);
    LOST("cycle", x);
    LOST("cycle", y);
    LOST("cycle", z);
    LOST("indirect", x->hop);
    side_cache();
}

int main(void)
{
    work();
    fw_rest();
    return 0;
}
