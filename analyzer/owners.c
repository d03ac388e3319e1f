#include "analyzer/owners.h"

#include <string.h>

#include "analyzer/allocators/cpython/cpython.h"
#include "analyzer/runtimes/cpython/py.h"

const char *hr_owned_name(enum hr_owned c)
{
    static const char *const names[] = {"unexplained", "objects", "parts", "internal", "runtime", "modules", "threads"};
    return names[c];
}

const char *hr_owned_phrase(enum hr_owned c)
{
    static const char *const phrases[] = {
        "nobody known leads to it", "objects", "parts of objects: items, tables", "memory behind C fields of objects: buffers, state of C libraries",
        "the interpreter's own: its variables lead to it", "variables of other modules and of the C library lead to it",
        "only a stack or a register leads to it",
    };
    return phrases[c];
}

struct owning {
    struct hr_session *s;
    struct hr_heap *h;
    struct hr_owners *o;
    struct hr_u32vec todo;
    uint32_t runtime_module;
    uint8_t class;
    hr_id owner;
    bool interior, failed;
};

static void reach(void *ctx, hr_id to, uint8_t surety)
{
    struct owning *w = ctx;
    if (to >= w->h->n || w->h->state[to] != HR_USED || w->o->of[to] != HR_OWNED_NOT || (!w->interior && surety == HR_SURE_INTERIOR))
        return;
    w->o->of[to] = w->class;
    w->h->owner[to] = w->owner;
    if (hr_u32vec_push(&w->todo, to) != HR_OK)
        w->failed = true;
}

/* All that `from` leads to. */
static void spread(struct owning *w, hr_id from)
{
    w->owner = from;
    hr_runtimes_links(w->s->runtimes, from, reach, w);
    while (w->todo.n && !w->failed)
        hr_runtimes_links(w->s->runtimes, w->todo.v[--w->todo.n], reach, w);
}

static enum hr_owned class_of(const struct owning *w, const struct hr_root *r)
{
    switch (r->kind) {
    case HR_ROOT_GLOBAL: case HR_ROOT_STATIC: case HR_ROOT_TLS:
        return r->module != HR_NONE && r->module == w->runtime_module ? HR_OWNED_RUNTIME : HR_OWNED_MODULE;
    case HR_ROOT_OBJECT:
        return HR_OWNED_INTERNAL;
    case HR_ROOT_LOCAL: case HR_ROOT_STACK: case HR_ROOT_REGISTER: case HR_ROOT_HANDLE:
        return HR_OWNED_THREAD;
    default:
        return HR_OWNED_NOT;
    }
}

static void from_roots(struct owning *w, enum hr_owned class)
{
    w->class = class;
    for (size_t i = 0; i < w->h->roots.n && !w->failed; i++)
        if (class_of(w, &w->h->roots.v[i]) == class)
            spread(w, w->h->n + (hr_id)i);
}

static void from_objects(struct owning *w)
{
    w->class = HR_OWNED_INTERNAL;
    for (hr_id i = 0; i < w->h->n && !w->failed; i++)
        if (w->o->of[i] == HR_OWNED_OBJECT)
            spread(w, i);
    from_roots(w, HR_OWNED_INTERNAL);
}

static void classify(struct owning *w)
{
    const struct hr_heap *h = w->h;
    for (hr_id i = 0; i < h->n; i++)
        if (h->state[i] == HR_USED && h->evidence[i] == HR_EV_RUNTIME)
            w->o->of[i] = h->owner[i] == HR_NONE ? HR_OWNED_OBJECT : HR_OWNED_PART;
    for (int pass = 0; pass < 2; pass++) {
        w->interior = pass;
        from_roots(w, HR_OWNED_RUNTIME);
        from_objects(w);
        from_roots(w, HR_OWNED_MODULE);
        from_roots(w, HR_OWNED_THREAD);
    }
}

static void add_up(struct owning *w)
{
    const struct hr_heap *h = w->h;
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        hr_block_next(&it);
        uint16_t a = h->arenas.v[h->regions.v[it.region].arena].allocator;
        if (h->state[id] != HR_USED || a >= w->o->nallocators)
            continue;
        w->o->bytes[a][w->o->of[id]] += hr_block_size(h, id);
        w->o->blocks[a][w->o->of[id]]++;
    }
}

static enum hr_status columns(struct owning *w)
{
    struct hr_heap *h = w->h;
    size_t n = (size_t)h->n + 1;
    w->o->nallocators = (uint16_t)h->allocators.n;
    w->o->of = hr_zalloc(n, 1);
    w->o->bytes = hr_zalloc(h->allocators.n + 1, sizeof *w->o->bytes);
    w->o->blocks = hr_zalloc(h->allocators.n + 1, sizeof *w->o->blocks);
    if (!h->owner) {
        h->owner = hr_alloc(n * sizeof *h->owner);
        if (h->owner)
            memset(h->owner, 0xff, n * sizeof *h->owner);
    }
    return w->o->of && w->o->bytes && w->o->blocks && h->owner ? HR_OK : HR_NOMEM;
}

enum hr_status hr_session_owners(struct hr_session *s)
{
    if (s->owners)
        return HR_OK;
    HR_TRY(hr_session_types(s));
    struct owning w = {.s = s, .h = s->heap, .todo.max = HR_MAX_BLOCKS, .runtime_module = HR_NONE};
    w.o = hr_zalloc(1, sizeof *w.o);
    if (!w.o)
        return HR_NOMEM;
    const struct hr_py *py = hr_runtimes_self(s->runtimes, "cpython");
    if (py)
        w.runtime_module = py->c->module;
    enum hr_status st = columns(&w);
    if (st == HR_OK && s->heap->n) {
        classify(&w);
        add_up(&w);
        st = w.failed ? HR_NOMEM : HR_OK;
    }
    hr_u32vec_deinit(&w.todo);
    if (st == HR_OK)
        s->owners = w.o;
    else
        hr_owners_destroy(w.o);
    return st;
}

uint64_t hr_owners_used(const struct hr_owners *o, uint16_t allocator)
{
    uint64_t all = 0;
    for (unsigned k = 0; k < HR_OWNED_CLASSES; k++)
        all += o->bytes[allocator][k];
    return all;
}

uint64_t hr_owner_addr(const struct hr_heap *h, hr_id owner)
{
    return hr_node_addr(h, owner) + (!hr_node_is_root(h, owner) && h->handle ? h->handle[owner] : 0);
}

void hr_owners_destroy(struct hr_owners *o)
{
    if (!o)
        return;
    hr_free(o->of);
    hr_free(o->bytes);
    hr_free(o->blocks);
    hr_free(o);
}
