/* Which blocks hold objects, and of which type. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/py.h"

/* Counts are numbers, and small ones. A large one that is itself the address of an object is no count but the first of two pointers
 * (programs that are not position-independent lie within the first gigabytes). */
static bool is_pointer(struct hr_py *py, uint64_t count)
{
    enum { LOWEST_ADDRESS = 1 << 16 }; /* vm.mmap_min_addr */
    return count >= LOWEST_ADDRESS && !(count & (py->img->word - 1u)) && hr_py_type_at(py, hr_py_word(py->c, count, HR_PY_OB_TYPE)) != HR_NONE;
}

/* Where the object of type t would start in a block depends on t alone; where its type word would be, on where it starts. */
static uint32_t object_in(struct hr_py *py, const uint8_t *p, uint64_t size)
{
    unsigned word = py->img->word, gc = (unsigned)py->c->at[HR_PYS_GC_HEAD];
    unsigned starts[3] = {0, gc, gc + 2 * word};
    uint64_t type_off = (uint64_t)py->c->at[HR_PY_OB_TYPE], head = (uint64_t)py->c->at[HR_PYS_OBJECT];
    uint64_t seen = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (starts[i] + head > size)
            break;
        uint64_t type = hr_word_load(p + starts[i] + type_off, word, py->img->big);
        if (!type || type & (word - 1) || type == seen)
            continue;
        seen = type;
        uint32_t t = hr_py_type_at(py, type);
        if (t == HR_NONE || hr_py_type(py, t)->pre != starts[i])
            continue;
        uint64_t count = hr_word_load(p + starts[i] + (uint64_t)py->c->at[HR_PY_OB_REFCNT], word, py->img->big);
        if (starts[i] + hr_py_type(py, t)->basicsize > size + head && hr_py_type(py, t)->kind != HR_PK_STR && hr_py_type(py, t)->kind != HR_PK_INT)
            continue; /* str and int are often smaller than their basicsize says */
        if (!count || (py->minor < 0x030e && count >> 40) || is_pointer(py, count))
            continue;
        return t;
    }
    return HR_NONE;
}

static enum hr_status guarded(struct hr_py *py, hr_id id, unsigned guard)
{
    if (!py->guards.front && !(py->guards.front = hr_zalloc((size_t)py->heap->n + 1, 1)))
        return HR_NOMEM;
    py->guards.front[id] = (uint8_t)guard;
    return HR_OK;
}

/* A small block that is malloc's holds an object only where pymalloc is not used: rather something of C, with what an object left behind
 * it. Instances of Python classes are tracked as long as they live. */
static bool left_behind(struct hr_py *py, uint32_t region, uint64_t obj, uint64_t size, const struct hr_py_type *t)
{
    enum { PYMALLOC_MOST = 512 };
    const struct hr_heap *h = py->heap;
    if (size > PYMALLOC_MOST || !(t->flags & HR_PYF_GC) || !strcmp(h->allocators.v[h->arenas.v[h->regions.v[region].arena].allocator].name, "pymalloc"))
        return false;
    return hr_py_is_tracked(py, obj) ? !hr_py_is_linked(py, obj) : (t->flags & HR_PYF_HEAPTYPE) != 0;
}

enum hr_status hr_py_find_objects(struct hr_py *py)
{
    const struct hr_heap *h = py->heap;
    py->object = hr_alloc(((size_t)h->n + 1) * sizeof *py->object);
    if (!py->object)
        return HR_NOMEM;
    bool pymalloc = false; /* not in every build, and not with PYTHONMALLOC=malloc */
    for (size_t i = 0; i < h->allocators.n; i++)
        pymalloc |= !strcmp(h->allocators.v[i].name, "pymalloc");
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it), size = hr_block_size(h, id);
        py->object[id] = HR_NONE;
        if (h->state[id] != HR_USED || size < (uint64_t)py->c->at[HR_PYS_OBJECT])
            continue;
        enum { HEADERS = 96 }; /* two guards, pre-header, collector's head, object's head */
        struct hr_span b = hr_image_peek(py->img, addr, hr_min(size, HEADERS));
        if (b.n < hr_min(size, HEADERS))
            continue;
        unsigned guard = hr_py_guard_in(py, b.p, size, addr);
        if (guard)
            HR_TRY(guarded(py, id, guard));
        uint32_t t = object_in(py, b.p + guard, guard ? hr_py_usable(py, id) : size);
        if (t == HR_NONE || !pymalloc || !left_behind(py, it.region, addr + guard + py->types.v[t].pre, size, hr_py_type(py, t)))
            py->object[id] = t;
    }
    return HR_OK;
}

hr_id hr_py_node(const struct hr_py *py, uint64_t addr)
{
    uint64_t into;
    hr_id id = hr_py_block_at(py, addr, &into);
    if (id == HR_NONE || py->object[id] == HR_NONE || py->types.v[py->object[id]].pre != into)
        return HR_NONE;
    return id;
}

uint64_t hr_py_addr(const struct hr_py *py, hr_id node)
{
    if (node >= py->heap->n || py->object[node] == HR_NONE)
        return 0;
    return hr_block_addr(py->heap, node) + hr_py_guard(py, node) + py->types.v[py->object[node]].pre;
}

/* 2.7 carves its ints and floats out of blocks of a thousand bytes: they start no block. */
static uint32_t number_in_block(struct hr_py *py, uint64_t addr)
{
    uint32_t t = py->minor < 0x0300 ? hr_py_type_at(py, hr_py_word(py->c, addr, HR_PY_OB_TYPE)) : HR_NONE;
    if (t == HR_NONE || hr_py_type(py, t)->flags & HR_PYF_HEAPTYPE)
        return HR_NONE;
    return hr_py_type(py, t)->kind == HR_PK_INT2 || hr_py_type(py, t)->kind == HR_PK_FLOAT ? t : HR_NONE;
}

uint32_t hr_py_object_type(struct hr_py *py, uint64_t addr)
{
    hr_id id = hr_py_node(py, addr);
    if (id != HR_NONE)
        return py->object[id];
    if (!addr || addr & (py->img->word - 1u))
        return HR_NONE;
    if (hr_heap_at(py->heap, addr, NULL) != HR_NONE)
        return number_in_block(py, addr);
    return hr_py_type_at(py, hr_py_word(py->c, addr, HR_PY_OB_TYPE)); /* a static object */
}

/* ---- objects in no block of their own ---- */
struct statics {
    struct hr_py *py;
    struct hr_map seen;
    struct hr_u64vec *list;
    enum hr_status st;
};

static void static_target(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct statics *s = ctx;
    (void)off, (void)surety;
    if (s->st != HR_OK || kind == HR_PR_PART || hr_py_node(s->py, target) != HR_NONE || hr_map_get(&s->seen, target) != HR_NONE)
        return;
    if (hr_py_object_type(s->py, target) == HR_NONE)
        return;
    s->st = hr_map_put(&s->seen, target, 1);
    if (s->st == HR_OK)
        s->st = hr_u64vec_push(s->list, target);
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void from_objects(struct statics *s)
{
    struct hr_py *py = s->py;
    struct hr_block_iter it = hr_block_iter(py->heap, 0);
    while (it.id < py->heap->n && s->st == HR_OK) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (py->object[id] == HR_NONE)
            continue;
        const struct hr_py_type t = py->types.v[py->object[id]];
        hr_py_refs(py, addr + hr_py_guard(py, id) + t.pre, &t, static_target, s);
    }
}

static void from_links(struct statics *s)
{
    struct hr_py *py = s->py;
    for (size_t i = 0; i < py->links.statics.n; i++)
        static_target(s, py->links.statics.v[i], UINT32_MAX, HR_PR_STRONG, HR_SURE_EXACT);
    for (size_t i = 0; i < py->types.n; i++)
        static_target(s, py->types.v[i].addr, UINT32_MAX, HR_PR_TYPE, HR_SURE_EXACT);
}

enum hr_status hr_py_statics(struct hr_py *py, struct hr_u64vec *ret)
{
    struct statics s = {.py = py, .list = ret};
    enum { MAX_STATICS = 1 << 24 };
    hr_map_init(&s.seen, 2 * MAX_STATICS);
    ret->max = MAX_STATICS;
    if (py->links.row)
        from_links(&s);
    else
        from_objects(&s);
    for (size_t i = 0; i < ret->n && s.st == HR_OK; i++) { /* grows as it is read; each address once */
        const struct hr_py_type t = py->types.v[hr_py_object_type(py, ret->v[i])];
        hr_py_refs(py, ret->v[i], &t, static_target, &s);
    }
    hr_map_deinit(&s.seen);
    if (s.st == HR_LIMIT)
        s.st = HR_OK; /* a damaged image: what was found is enough */
    if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, by_address);
    return s.st;
}

int64_t hr_py_refcount(const struct hr_py *py, uint64_t addr)
{
    uint64_t v = hr_py_word(py->c, addr, HR_PY_OB_REFCNT);
    if (py->minor >= 0x030e || py->img->word == 4)
        return (int32_t)v;
    return (int64_t)v;
}

bool hr_py_immortal(const struct hr_py *py, uint64_t addr)
{
    uint64_t v = hr_py_word(py->c, addr, HR_PY_OB_REFCNT);
    if (py->minor >= 0x030c)
        return py->img->word == 8 ? (int32_t)v < 0 || (uint32_t)v >= 0xc0000000u : (uint32_t)v >= 0x3fffffffu;
    return py->minor == 0x030b && v >= 999999999 / 2 && v <= 999999999u * 2ull;
}
