/* The cyclic collector, redone: what gc.collect() would free. For every tracked object of all generations, its count less the
 * visits of the others; what is left above zero is held from outside, and so is all that these visit; the rest is garbage.
 * (Modules/gcmodule.c of each version; Python/gc.c from 3.13 on.) */
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/bits.h"
#include "analyzer/runtimes/cpython/collector.h"
#include "analyzer/runtimes/cpython/links.h"

enum { MAX_TRACKED = 1u << 30, NOT_ASKED = UINT32_MAX - 1 };

struct gc {
    struct hr_py *py;
    struct hr_u32vec node;     /* tracked objects: their blocks */
    struct hr_u64vec addr;
    uint32_t *index;           /* block -> index in node, HR_NONE */
    int64_t *refs;
    struct hr_bits alive;
    struct hr_u32vec todo;
    uint64_t subtype_traverse;
    uint32_t *type_at;         /* per type: index of its object where instances visit it, HR_NONE, or NOT_ASKED */
    bool broken, out_of_memory;
    bool outside;              /* a tracked object is in no block that we know */
};

/* ---- lists ---- */
static uint64_t collector_state(const struct hr_py *py, uint32_t interpreter)
{
    const struct hr_cpython *c = py->c;
    if (hr_py_has(c, HR_PY_IS_GC))
        return interpreter < c->ninterp ? c->interp[interpreter] + (uint64_t)c->at[HR_PY_IS_GC] : 0;
    if (interpreter)
        return 0;
    return c->runtime && hr_py_has(c, HR_PY_RT_GC) ? c->runtime + (uint64_t)c->at[HR_PY_RT_GC] : 0;
}

/* Address of a generation's record (3 = permanent); 0 when there is none. */
static uint64_t generation_at(const struct hr_py *py, uint32_t interpreter, unsigned g)
{
    const struct hr_cpython *c = py->c;
    uint64_t state = collector_state(py, interpreter);
    if (state && g == 3)
        return hr_py_has(c, HR_PY_GC_PERMANENT) ? state + (uint64_t)c->at[HR_PY_GC_PERMANENT] : 0;
    uint64_t first = 0;
    if (state && hr_py_has(c, HR_PY_GC_GENERATIONS))
        first = state + (uint64_t)c->at[HR_PY_GC_GENERATIONS];
    else if (!state && !interpreter && g < 3)
        first = hr_py_symbol(c, "generations"); /* a static of gcmodule.c up to 3.6 */
    return first ? first + g * (uint64_t)c->at[HR_PYS_GENERATION] : 0;
}

static bool walk_list(const struct hr_py *py, uint64_t head, void (*fn)(void *ctx, uint64_t obj), void *ctx)
{
    uint64_t at = hr_py_word(py->c, head, HR_PY_GC_NEXT), mask = py->minor >= 0x0308 ? ~3ull : ~0ull;
    for (uint32_t n = 0; n < MAX_TRACKED; n++) {
        at &= mask;
        if (at == head)
            return true;
        if (!at || !hr_image_find(py->img, at, NULL))
            return false;
        fn(ctx, at + (uint64_t)py->c->at[HR_PYS_GC_HEAD]);
        at = hr_py_word(py->c, at, HR_PY_GC_NEXT);
    }
    return false;
}

bool hr_py_gc_list(struct hr_py *py, unsigned generation, void (*fn)(void *ctx, uint64_t obj), void *ctx)
{
    bool ok = true, any = false;
    for (uint32_t i = 0; i < (py->c->ninterp ? py->c->ninterp : 1); i++) {
        uint64_t head = generation_at(py, i, generation);
        if (!head)
            continue;
        any = true;
        ok &= walk_list(py, head, fn, ctx);
    }
    return any && ok;
}

static void count_one(void *ctx, uint64_t obj)
{
    (void)obj;
    ++*(uint64_t *)ctx;
}

static void track(void *ctx, uint64_t obj)
{
    struct gc *g = ctx;
    hr_id id = hr_py_node(g->py, obj);
    if (id == HR_NONE) {
        g->outside = true;
        return;
    }
    if (g->index[id] != HR_NONE) { /* on two lists, or a loop that is not the whole list */
        g->broken = true;
        return;
    }
    g->index[id] = (uint32_t)g->node.n;
    if (hr_u32vec_push(&g->node, id) != HR_OK || hr_u64vec_push(&g->addr, obj) != HR_OK)
        g->out_of_memory = true;
}

/* ---- arithmetic ---- */
static uint32_t tracked_index(const struct gc *g, uint64_t target)
{
    hr_id id = hr_py_node(g->py, target);
    return id == HR_NONE ? HR_NONE : g->index[id];
}

/* subtype_traverse has no symbol where the interpreter is stripped: it is what most heap types have. */
static void find_subtype_traverse(struct gc *g)
{
    uint64_t candidate[8] = {0};
    uint32_t votes[8] = {0}, best = 0;
    for (size_t i = 0; i < g->py->types.n; i++) {
        const struct hr_py_type *t = &g->py->types.v[i];
        if (!(t->flags & HR_PYF_HEAPTYPE) || !(t->flags & HR_PYF_GC))
            continue;
        uint64_t traverse = hr_py_word(g->py->c, t->addr, HR_PY_TP_TRAVERSE);
        unsigned k = 0;
        while (k < 7 && candidate[k] && candidate[k] != traverse)
            k++;
        candidate[k] = traverse;
        if (++votes[k] > votes[best])
            best = k;
    }
    g->subtype_traverse = candidate[best];
}

/* Does tp_traverse of this type visit the type itself? That of Python classes always did; heap types of C do from 3.9 on
 * (bpo-40217), if the traversal is their own. */
static bool visits_type(const struct gc *g, uint64_t type)
{
    const struct hr_cpython *c = g->py->c;
    if (!(hr_py_word(c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE))
        return false;
    uint64_t traverse = hr_py_word(c, type, HR_PY_TP_TRAVERSE);
    if (traverse == g->subtype_traverse)
        return true;
    if (g->py->minor < 0x0309)
        return false;
    for (int i = 0; i < 64 && type && hr_py_word(c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE; i++)
        type = hr_py_word(c, type, HR_PY_TP_BASE);
    return !type || hr_py_word(c, type, HR_PY_TP_TRAVERSE) != traverse;
}

static bool visited(const struct gc *g, uint64_t target, enum hr_py_ref kind)
{
    return kind == HR_PR_STRONG || kind == HR_PR_VISITED || (kind == HR_PR_TYPE && visits_type(g, target));
}

static void subtract(struct gc *g, uint32_t i) { g->refs[i]--; }

static void revive(struct gc *g, uint32_t i)
{
    if (hr_bits_claim(&g->alive, i) && hr_u32vec_push(&g->todo, i) != HR_OK)
        g->out_of_memory = true;
}

typedef void visit_fn(struct gc *g, uint32_t i);
struct live { struct gc *g; visit_fn *fn; };

static void live_ref(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    const struct live *l = ctx;
    (void)off, (void)surety;
    uint32_t i = visited(l->g, target, kind) ? tracked_index(l->g, target) : HR_NONE;
    if (i != HR_NONE)
        l->fn(l->g, i);
}

/* The index of the type's own object where instances visit it, HR_NONE where they do not. */
static uint32_t visited_type(struct gc *g, uint32_t type)
{
    if (g->type_at[type] == NOT_ASKED) {
        uint64_t addr = g->py->types.v[type].addr;
        g->type_at[type] = visits_type(g, addr) ? tracked_index(g, addr) : HR_NONE;
    }
    return g->type_at[type];
}

/* Calls fn for all tracked objects that the tp_traverse of the i-th visits. */
static void traverse(struct gc *g, uint32_t i, visit_fn *fn)
{
    const struct hr_py *py = g->py;
    hr_id node = g->node.v[i];
    const uint32_t *to;
    const uint8_t *how;
    if (!py->links.row) {
        const struct hr_py_type t = py->types.v[py->object[node]];
        hr_py_refs(g->py, g->addr.v[i], &t, live_ref, &(struct live){g, fn});
        return;
    }
    uint32_t n = hr_py_links_of(py, node, &to, &how), own = visited_type(g, py->object[node]);
    if (own != HR_NONE)
        fn(g, own);
    for (uint32_t k = 0; k < n; k++) {
        unsigned kind = how[k] & HR_PL_KIND;
        if ((kind == HR_PR_STRONG || kind == HR_PR_VISITED) && how[k] & HR_PL_START && g->index[to[k]] != HR_NONE)
            fn(g, g->index[to[k]]);
    }
}

/* Is a suspended generator of 2.7 inside a try or with block? Then closing it may run code (PyGen_NeedsFinalizing). */
static bool needs_finalizing(const struct gc *g, uint64_t gen)
{
    const struct hr_cpython *c = g->py->c;
    enum { SETUP_LOOP = 120, BLOCK_BYTES = 12, MAX_BLOCKS = 20 };
    uint64_t frame = hr_py_word(c, gen, HR_PY_GEN_FRAME), type;
    if (!frame || !hr_py_has(c, HR_PY_FRAME_IBLOCK) || !hr_py_word(c, frame, HR_PY_FRAME_STACKTOP))
        return false;
    uint64_t n = hr_py_uint(c, frame, HR_PY_FRAME_IBLOCK, 4), at = frame + (uint64_t)c->at[HR_PY_FRAME_BLOCKSTACK];
    for (uint64_t i = 0; i < n && i < MAX_BLOCKS; i++)
        if (hr_image_uint(g->py->img, at + i * BLOCK_BYTES, 4, &type) && type != SETUP_LOOP)
            return true;
    return false;
}

struct look { struct hr_py *py; bool found; };

static bool stop_at_del(void *ctx, uint64_t key, uint64_t value)
{
    struct look *look = ctx;
    char name[16];
    (void)value;
    look->found = hr_py_text(look->py, key, name, sizeof name) && !strcmp(name, "__del__");
    return !look->found;
}

/* __del__ in an old-style instance's own dict, its class's, or that of a base. */
static bool classic_del(struct gc *g, uint64_t instance)
{
    struct look look = {g->py, false};
    const struct hr_cpython *c = g->py->c;
    enum { MAX_CLASSES = 64 };
    uint64_t todo[MAX_CLASSES] = {hr_py_word(c, instance, HR_PY_INSTANCE_CLASS)};
    hr_py_dict_items(g->py, hr_py_word(c, instance, HR_PY_INSTANCE_DICT), stop_at_del, &look);
    for (unsigned i = 0, n = 1; i < n && !look.found; i++) {
        hr_py_dict_items(g->py, hr_py_word(c, todo[i], HR_PY_CLASS_DICT), stop_at_del, &look);
        uint64_t bases = 0, base, k;
        if (!hr_image_word(g->py->img, todo[i] + (uint64_t)c->at[HR_PYS_OBJECT], &bases))
            continue; /* cl_bases is the first field */
        k = hr_py_word(c, bases, HR_PY_OB_SIZE);
        for (uint64_t b = 0; b < k && n < MAX_CLASSES; b++)
            if (hr_image_word(g->py->img, bases + (uint64_t)c->at[HR_PY_TUPLE_ITEMS] + b * g->py->img->word, &base))
                todo[n++] = base;
    }
    return look.found;
}

/* tp_del, and __del__ of 2.7's classes, make a cycle uncollectable, and all that it leads to. */
static bool has_legacy_finalizer(struct gc *g, uint32_t i)
{
    const struct hr_py_type *t = &g->py->types.v[g->py->object[g->node.v[i]]];
    bool del = hr_py_word(g->py->c, t->addr, HR_PY_TP_DEL) != 0;
    if (g->py->minor >= 0x0300)
        return del;
    if (t->kind == HR_PK_CLASSIC_INSTANCE)
        return classic_del(g, g->addr.v[i]);
    if (t->flags & HR_PYF_HEAPTYPE)
        return del; /* slot_tp_del */
    return t->kind == HR_PK_GENERATOR && needs_finalizing(g, g->addr.v[i]);
}

static void close_over(struct gc *g)
{
    while (g->todo.n && !g->out_of_memory)
        traverse(g, g->todo.v[--g->todo.n], revive);
}

/* gc.collect() counts what is left after the finalizers since bpo-38379 (3.9, 3.8.1, 3.7.6); before, all garbage. */
static bool counts_late(const struct hr_py *py)
{
    uint32_t v = py->c->hexversion;
    return py->minor >= 0x0309 || (py->minor == 0x0308 && v >= 0x03080100) || (py->minor == 0x0307 && v >= 0x03070600);
}

static enum hr_status count_returned(struct gc *g, struct hr_py_gc *ret)
{
    struct hr_bits garbage;
    HR_TRY(hr_bits_init(&garbage, (uint64_t)g->py->heap->n + 1));
    for (size_t i = 0; i < ret->garbage.n; i++)
        hr_bits_set(&garbage, hr_py_node(g->py, ret->garbage.v[i]));
    ret->weakrefs_freed = hr_py_gc_weakrefs(g->py, &garbage);
    enum hr_status st = hr_py_gc_finalizers(g->py, &garbage, &ret->garbage, &ret->died_early);
    hr_bits_deinit(&garbage);
    HR_TRY(st);
    ret->collect_returns = ret->garbage.n + ret->uncollectable.n + ret->weakrefs_freed - (counts_late(g->py) ? ret->died_early.n : 0);
    return HR_OK;
}

static enum hr_status divide(struct gc *g, struct hr_py_gc *ret)
{
    uint32_t n = (uint32_t)g->node.n;
    find_subtype_traverse(g);
    for (uint32_t i = 0; i < n; i++)
        g->refs[i] = hr_py_refcount(g->py, g->addr.v[i]);
    for (uint32_t i = 0; i < n; i++)
        traverse(g, i, subtract);
    for (uint32_t i = 0; i < n; i++)
        if (g->refs[i] > 0 && hr_bits_claim(&g->alive, i))
            HR_TRY(hr_u32vec_push(&g->todo, i));
    close_over(g);
    /* what is left is unreachable; of that, what legacy finalizers hold is uncollectable */
    struct hr_bits before;
    HR_TRY(hr_bits_init(&before, n + 1));
    memcpy(before.w, g->alive.w, (n / 64 + 1) * 8);
    for (uint32_t i = 0; i < n; i++)
        if (!hr_bits_get(&before, i) && has_legacy_finalizer(g, i) && hr_bits_claim(&g->alive, i) && hr_u32vec_push(&g->todo, i) != HR_OK)
            g->out_of_memory = true;
    close_over(g);
    enum hr_status st = g->out_of_memory ? HR_NOMEM : HR_OK;
    for (uint32_t i = 0; i < n && st == HR_OK; i++) {
        if (!hr_bits_get(&g->alive, i))
            st = hr_u64vec_push(&ret->garbage, g->addr.v[i]);
        else if (!hr_bits_get(&before, i))
            st = hr_u64vec_push(&ret->uncollectable, g->addr.v[i]);
    }
    hr_bits_deinit(&before);
    return st == HR_OK ? count_returned(g, ret) : st;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void read_state(struct hr_py *py, struct hr_py_gc *ret)
{
    uint64_t state = collector_state(py, 0), sym;
    if (state) {
        ret->enabled = hr_py_uint(py->c, state, HR_PY_GC_ENABLED, 4) != 0;
        ret->collecting = hr_py_uint(py->c, state, HR_PY_GC_COLLECTING, 4) != 0;
    } else {
        uint64_t v;
        ret->enabled = (sym = hr_py_symbol(py->c, "enabled")) && hr_image_uint(py->img, sym, 4, &v) && v;
        ret->collecting = (sym = hr_py_symbol(py->c, "collecting")) && hr_image_uint(py->img, sym, 4, &v) && v;
    }
    for (unsigned g = 0; g < 3; g++) {
        uint64_t record = generation_at(py, 0, g);
        ret->threshold[g] = (uint32_t)hr_py_uint(py->c, record, HR_PY_GEN_THRESHOLD, 4);
        ret->count[g] = (uint32_t)hr_py_uint(py->c, record, HR_PY_GEN_COUNT, 4);
        hr_py_gc_list(py, g, count_one, &ret->members[g]);
    }
    hr_py_gc_list(py, 3, count_one, &ret->frozen);
}

enum hr_status hr_py_gc_predict(struct hr_py *py, struct hr_py_gc *ret)
{
    *ret = (struct hr_py_gc){.garbage.max = MAX_TRACKED, .uncollectable.max = MAX_TRACKED, .died_early.max = MAX_TRACKED};
    struct gc g = {.py = py, .node.max = MAX_TRACKED, .addr.max = MAX_TRACKED, .todo.max = MAX_TRACKED};
    read_state(py, ret);
    g.index = hr_alloc(((size_t)py->heap->n + 1) * sizeof *g.index);
    if (!g.index)
        return HR_NOMEM;
    memset(g.index, 0xff, ((size_t)py->heap->n + 1) * sizeof *g.index);
    bool lists = true;
    for (unsigned gen = 0; gen < 3; gen++)
        lists &= hr_py_gc_list(py, gen, track, &g);
    ret->exact = lists && !g.broken && !g.outside && !ret->collecting;
    enum hr_status st = g.out_of_memory ? HR_NOMEM : HR_OK;
    g.refs = st == HR_OK ? hr_zalloc(g.node.n + 1, sizeof *g.refs) : NULL;
    g.type_at = hr_alloc((py->types.n + 1) * sizeof *g.type_at);
    for (size_t i = 0; g.type_at && i < py->types.n; i++)
        g.type_at[i] = NOT_ASKED;
    if (!g.refs || !g.type_at || hr_bits_init(&g.alive, g.node.n + 1) != HR_OK)
        st = HR_NOMEM;
    if (st == HR_OK)
        st = divide(&g, ret);
    if (ret->garbage.n)
        qsort(ret->garbage.v, ret->garbage.n, sizeof *ret->garbage.v, by_value);
    if (ret->died_early.n)
        qsort(ret->died_early.v, ret->died_early.n, sizeof *ret->died_early.v, by_value);
    if (ret->uncollectable.n)
        qsort(ret->uncollectable.v, ret->uncollectable.n, sizeof *ret->uncollectable.v, by_value);
    hr_free(g.index);
    hr_free(g.refs);
    hr_free(g.type_at);
    hr_bits_deinit(&g.alive);
    hr_u32vec_deinit(&g.node);
    hr_u64vec_deinit(&g.addr);
    hr_u32vec_deinit(&g.todo);
    return st;
}

void hr_py_gc_deinit(struct hr_py_gc *g)
{
    hr_u64vec_deinit(&g->garbage);
    hr_u64vec_deinit(&g->uncollectable);
    hr_u64vec_deinit(&g->died_early);
}
