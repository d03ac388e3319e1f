/* The cyclic collector, redone: what gc.collect() would free. For every tracked object of all generations, its count less the
 * visits of the others; what is left above zero is held from outside, and so is all that these visit; the rest is garbage.
 * (Modules/gcmodule.c of each version; Python/gc.c from 3.13 on.) */
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/bits.h"
#include "analyzer/runtimes/cpython/collector.h"
#include "analyzer/runtimes/cpython/links.h"
#include "analyzer/runtimes/cpython/plan.h"

enum { MAX_TRACKED = 1u << 30, NOT_ASKED = UINT32_MAX - 1, OTHERS = UINT32_MAX - 2 };

struct gc {
    struct hr_py *py;
    struct hr_u32vec node;     /* tracked objects: their blocks */
    struct hr_u64vec addr;
    uint32_t *index;           /* block -> index in node, HR_NONE */
    int64_t *refs;
    struct hr_bits alive;
    struct hr_u32vec todo;
    uint64_t tuple;            /* that type, when it was looked for */
    size_t untracked;
    bool planned;              /* the object under way says by itself whether its type is visited */
    uint32_t *type_at;         /* per type: index of its object where instances visit it, HR_NONE, or NOT_ASKED */
    bool broken, out_of_memory;
    bool outside;              /* a tracked object is in no block that we know */
};

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

static bool visited(const struct gc *g, uint64_t target, enum hr_py_ref kind)
{
    return kind == HR_PR_STRONG || kind == HR_PR_VISITED || (kind == HR_PR_TYPE && !g->planned && hr_py_visits_type(g->py, target));
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
        const struct hr_py_type *t = &g->py->types.v[type];
        uint64_t addr = t->addr;
        g->type_at[type] = t->plan == HR_NONE && hr_py_visits_type(g->py, addr) ? tracked_index(g, addr) : HR_NONE;
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
        g->planned = t.plan != HR_NONE;
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

/* Nobody's visit counts for an object whose type says that it is none of the collector's (a suspended greenlet). */
static bool left_alone(const struct gc *g, uint32_t i)
{
    return !hr_py_is_gc(g->py, g->addr.v[i], &g->py->types.v[g->py->object[g->node.v[i]]]);
}

static enum hr_status divide(struct gc *g, struct hr_py_gc *ret)
{
    uint32_t n = (uint32_t)g->node.n;
    for (uint32_t i = 0; i < n; i++)
        g->refs[i] = hr_py_refcount(g->py, g->addr.v[i]);
    for (uint32_t i = 0; i < n; i++)
        traverse(g, i, subtract);
    for (uint32_t i = 0; i < n; i++)
        if ((g->refs[i] > 0 || left_alone(g, i)) && hr_bits_claim(&g->alive, i))
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

static void sort(struct hr_u64vec *v)
{
    if (v->n)
        qsort(v->v, v->n, sizeof *v->v, by_value);
}

static void leave_out(void *ctx, uint64_t obj)
{
    struct gc *g = ctx;
    hr_id id = hr_py_node(g->py, obj);
    if (id != HR_NONE)
        g->index[id] = OTHERS;
}

static void track_unless_left_out(void *ctx, uint64_t obj)
{
    struct gc *g = ctx;
    hr_id id = hr_py_node(g->py, obj);
    if (id == HR_NONE || g->index[id] != OTHERS)
        track(ctx, obj);
}

/* While it collects, what it tracks is on lists of its own somewhere on a C stack: what is on nobody else's is taken to be its. */
static void track_running(struct gc *g, uint32_t interpreter, struct hr_py_gc_state *state)
{
    for (uint32_t i = 0; i < hr_py_gc_collectors(g->py); i++)
        for (unsigned gen = 0; gen < 3 && i != interpreter; gen++)
            hr_py_gc_list_of(g->py, i, gen, leave_out, g);
    hr_py_gc_list(g->py, 3, leave_out, g);
    hr_py_gc_tracked(g->py, track_unless_left_out, g);
    state->tracked = g->node.n;
    for (hr_id id = 0; id < g->py->heap->n; id++)
        if (g->index[id] == OTHERS)
            g->index[id] = HR_NONE;
}

static void forget(struct gc *g)
{
    for (size_t i = 0; i < g->node.n; i++)
        g->index[g->node.v[i]] = HR_NONE;
    g->node.n = g->addr.n = g->todo.n = 0;
    hr_free(g->refs);
    g->refs = NULL;
    hr_bits_deinit(&g->alive);
}

static enum hr_status append(struct hr_u64vec *to, const struct hr_u64vec *from)
{
    for (size_t i = 0; i < from->n; i++)
        HR_TRY(hr_u64vec_push(to, from->v[i]));
    return HR_OK;
}

/* May the collector ever track it? Objects of collected types, but for types that are static, and tuples that it let go of. */
static bool may_be_tracked(struct gc *g, uint64_t obj)
{
    uint32_t t = obj ? hr_py_object_type(g->py, obj) : HR_NONE;
    if (t == HR_NONE || !(hr_py_type(g->py, t)->flags & HR_PYF_GC))
        return false;
    if (hr_py_type(g->py, t)->kind == HR_PK_TYPE)
        return hr_py_word(g->py->c, obj, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE;
    return hr_py_type(g->py, t)->addr != g->tuple || tracked_index(g, obj) != HR_NONE;
}

/* 3.14 lets go of the young tuples that can be in no cycle before it looks for garbage; before, only of those that it had found alive. */
static void untrack_tuple(void *ctx, uint64_t obj)
{
    enum { MOST = 1 << 24 };
    struct gc *g = ctx;
    const struct hr_py *py = g->py;
    uint32_t i = tracked_index(g, obj);
    uint64_t n = hr_min(hr_py_word(py->c, obj, HR_PY_OB_SIZE), MOST), item;
    if (i == HR_NONE || hr_py_type(py, py->object[g->node.v[i]])->addr != g->tuple)
        return;
    for (uint64_t k = 0; k < n; k++)
        if (!hr_image_word(py->img, obj + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS] + k * py->img->word, &item) || may_be_tracked(g, item))
            return;
    g->index[g->node.v[i]] = HR_NONE;
    g->untracked++;
}

static void untrack_tuples(struct gc *g, uint32_t interpreter)
{
    for (size_t i = 0; i < g->py->types.n && !g->tuple; i++) {
        const struct hr_py_type *t = &g->py->types.v[i];
        if (t->kind == HR_PK_TUPLE && !strcmp(hr_strs_get(g->py->img->strs, t->name), "tuple"))
            g->tuple = t->addr;
    }
    hr_py_gc_list_of(g->py, interpreter, 0, untrack_tuple, g);
    size_t n = 0;
    for (size_t i = 0; g->untracked && i < g->node.n; i++)
        if (g->index[g->node.v[i]] != HR_NONE) {
            g->index[g->node.v[i]] = (uint32_t)n;
            g->addr.v[n] = g->addr.v[i];
            g->node.v[n++] = g->node.v[i];
        }
    if (g->untracked)
        g->node.n = g->addr.n = n;
    g->untracked = 0;
}

/* What one interpreter's gc.collect() would do. */
static enum hr_status predict(struct gc *g, uint32_t interpreter, struct hr_py_gc_state *state, struct hr_py_gc *ret)
{
    struct hr_py *py = g->py;
    hr_py_gc_read_state(py, interpreter, state);
    ret->exact &= !state->broken && !state->collecting;
    if (state->collecting) {
        hr_note(py->in.notes, HR_NOTE_DEGRADED, "python.collecting",
                "Python's collector was running when the dump was taken: what it holds as unreachable is on its way out, and generations are in its hands");
        track_running(g, interpreter, state);
    }
    for (unsigned gen = 0; gen < 3 && !state->collecting; gen++)
        hr_py_gc_list_of(py, interpreter, gen, track, g);
    if (py->minor >= 0x030e)
        untrack_tuples(g, interpreter);
    g->refs = g->out_of_memory ? NULL : hr_zalloc(g->node.n + 1, sizeof *g->refs);
    if (!g->refs || hr_bits_init(&g->alive, g->node.n + 1) != HR_OK)
        return HR_NOMEM;
    for (size_t i = 0; i < py->types.n; i++)
        g->type_at[i] = NOT_ASKED;
    return divide(g, ret);
}

/* The same for each, added up. */
static enum hr_status predict_all(struct gc *g, struct hr_py_gc *ret)
{
    enum hr_status st = HR_OK;
    ret->ncollectors = hr_py_gc_collectors(g->py);
    for (uint32_t i = 0; i < ret->ncollectors && st == HR_OK; i++) {
        struct hr_py_gc_state *state = &ret->of[i];
        struct hr_py_gc one = {.garbage.max = MAX_TRACKED, .uncollectable.max = MAX_TRACKED, .died_early.max = MAX_TRACKED, .exact = ret->exact};
        st = predict(g, i, state, &one);
        state->garbage = one.garbage.n;
        state->uncollectable = one.uncollectable.n;
        state->collect_returns = one.collect_returns;
        if (st == HR_OK)
            st = append(&ret->garbage, &one.garbage);
        if (st == HR_OK)
            st = append(&ret->uncollectable, &one.uncollectable);
        if (st == HR_OK)
            st = append(&ret->died_early, &one.died_early);
        ret->weakrefs_freed += one.weakrefs_freed;
        ret->exact = one.exact;
        hr_py_gc_deinit(&one);
        forget(g);
    }
    ret->collect_returns = ret->of[0].collect_returns;
    ret->exact &= !g->broken && !g->outside && hr_py_plans_whole(g->py);
    return st;
}

enum hr_status hr_py_gc_predict(struct hr_py *py, struct hr_py_gc *ret)
{
    *ret = (struct hr_py_gc){.garbage.max = MAX_TRACKED, .uncollectable.max = MAX_TRACKED, .died_early.max = MAX_TRACKED, .exact = true};
    struct gc g = {.py = py, .node.max = MAX_TRACKED, .addr.max = MAX_TRACKED, .todo.max = MAX_TRACKED};
    g.index = hr_alloc(((size_t)py->heap->n + 1) * sizeof *g.index);
    g.type_at = hr_alloc((py->types.n + 1) * sizeof *g.type_at);
    enum hr_status st = g.index && g.type_at ? HR_OK : HR_NOMEM;
    if (st == HR_OK) {
        memset(g.index, 0xff, ((size_t)py->heap->n + 1) * sizeof *g.index);
        st = predict_all(&g, ret);
    }
    sort(&ret->garbage);
    sort(&ret->died_early);
    sort(&ret->uncollectable);
    forget(&g);
    hr_free(g.index);
    hr_free(g.type_at);
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
