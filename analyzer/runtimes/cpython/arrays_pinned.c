/* Buffers that only views hold: a view of ten items keeps all of the array it was cut from. A view refers to what it looks at (an
 * array's base, a memoryview's managed buffer, that one's exporter); an object whose count is just the number of such references has
 * no other use. What the views at the near ends of the chains show is what is needed. */
#include <stdlib.h>

#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/buffers.h"
#include "analyzer/runtimes/cpython/ndarray.h"

enum { MAX_CHAIN = 64, MAX_VIEWS = 1 << 28 };

struct view { uint64_t addr, next, lo, hi, shown; uint32_t type; };
HR_VEC(viewvec, struct view)

struct pins {
    struct hr_py *py;
    struct hr_py_arrays *all;
    struct viewvec views;
    struct hr_map index;    /* address -> view */
    struct hr_map refs;     /* address -> how many views refer to it */
    struct hr_map rows;     /* address -> row in pinned */
    struct hr_u64vec lo, hi;
};

/* The bytes that an array's items lie in, each counted once, and from where to where. */
static void extent(const struct hr_py_ndarray *a, struct view *v)
{
    uint64_t unique = a->d.itemsize;
    v->lo = v->hi = a->data;
    if (!a->items)
        return;
    for (uint32_t i = 0; i < a->nd; i++) {
        int64_t far;
        if (__builtin_mul_overflow((int64_t)hr_min(a->shape[i] - 1, 1ull << 56), a->stride[i], &far) || far > 1ll << 56 || far < -(1ll << 56))
            return;
        if (far < 0)
            v->lo += (uint64_t)far;
        else
            v->hi += (uint64_t)far;
        if (a->stride[i])
            unique *= a->shape[i]; /* no more than nbytes, which was checked */
    }
    v->hi += a->d.itemsize;
    v->shown = hr_min(unique, v->hi - v->lo);
}

static bool view_of(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct view *v)
{
    struct hr_py_buffer b;
    struct hr_py_ndarray a;
    *v = (struct view){.addr = addr};
    if (t->kind == HR_PK_NDARRAY) {
        if (!hr_py_ndarray(py, addr, &a) || a.flags & HR_NPF_OWNDATA || !a.base)
            return false;
        v->next = a.base;
        extent(&a, v);
        return true;
    }
    if ((t->kind != HR_PK_MEMORYVIEW && t->kind != HR_PK_MANAGED_BUFFER) || !hr_py_buffer(py, addr, t, &b) || !b.from)
        return false;
    v->next = t->kind == HR_PK_MEMORYVIEW && py->minor >= 0x0300 ? hr_py_word_at(py, addr + (uint64_t)py->c->at[HR_PYS_VAROBJECT]) : b.from;
    v->lo = b.data;
    v->hi = b.data + b.nbytes;
    v->shown = b.nbytes;
    return true;
}

static enum hr_status find_views(struct pins *p)
{
    struct hr_py *py = p->py;
    for (hr_id id = 0; id < py->heap->n; id++) {
        struct view v;
        if (py->object[id] == HR_NONE)
            continue;
        const struct hr_py_type *t = hr_py_type(py, py->object[id]);
        uint32_t *n, refs = 1;
        bool was;
        if (!view_of(py, hr_py_addr(py, id), t, &v))
            continue;
        v.type = py->object[id];
        HR_TRY(hr_map_put(&p->index, v.addr, (uint32_t)p->views.n));
        HR_TRY(viewvec_push(&p->views, v));
        HR_TRY(hr_map_slot(&p->refs, v.next, 0, &n, &was));
        if (py->minor < 0x0300 && t->kind == HR_PK_MEMORYVIEW && hr_py_word_at(py, v.addr + (uint64_t)py->c->at[HR_PYS_OBJECT]))
            refs++; /* 2.7's memoryview holds view.obj, and its base when it is no slice */
        *n += refs;
    }
    return HR_OK;
}

/* Does anything but views refer to it? */
static bool held_otherwise(const struct pins *p, uint64_t addr)
{
    uint32_t n = hr_map_get(&p->refs, addr);
    return hr_py_immortal(p->py, addr) || hr_py_refcount(p->py, addr) != (n == HR_NONE ? 0 : (int64_t)n);
}

static enum hr_status add_view(struct pins *p, const struct view *v, uint64_t owner)
{
    struct hr_py *py = p->py;
    uint32_t type = hr_py_object_type(py, owner), *row;
    struct hr_py_buffer b;
    bool was;
    if (type == HR_NONE || held_otherwise(p, owner))
        return HR_OK;
    const struct hr_py_type t = *hr_py_type(py, type);
    if (!hr_py_buffer(py, owner, &t, &b))
        return HR_OK;
    HR_TRY(hr_map_slot(&p->rows, owner, (uint32_t)p->all->pinned.n, &row, &was));
    uint32_t at = *row;
    if (!was) {
        HR_TRY(hr_pypinnedvec_push(&p->all->pinned, (struct hr_py_pinned){.addr = owner, .bytes = b.all, .type = type}));
        HR_TRY(hr_u64vec_push(&p->lo, v->lo));
        HR_TRY(hr_u64vec_push(&p->hi, v->hi));
    }
    struct hr_py_pinned *pin = &p->all->pinned.v[at];
    pin->views++;
    if (!pin->view || v->shown > pin->used) { /* near enough: the one that adds most */
        pin->view = v->addr;
        pin->view_type = v->type;
    }
    pin->used = hr_min(pin->used + v->shown, pin->bytes);
    p->lo.v[at] = hr_min(p->lo.v[at], v->lo);
    p->hi.v[at] = hr_max(p->hi.v[at], v->hi);
    pin->span = hr_min(p->hi.v[at] - p->lo.v[at], pin->bytes);
    return HR_OK;
}

static enum hr_status follow(struct pins *p)
{
    for (size_t i = 0; i < p->views.n; i++) {
        const struct view *v = &p->views.v[i];
        uint64_t at = v->next;
        if (!held_otherwise(p, v->addr))
            continue; /* only a link between another view and the buffer */
        for (unsigned steps = 0; steps < MAX_CHAIN; steps++) {
            uint32_t link = hr_map_get(&p->index, at);
            if (link == HR_NONE) {
                HR_TRY(add_view(p, v, at));
                break;
            }
            at = p->views.v[link].next;
        }
    }
    return HR_OK;
}

enum hr_status hr_py_arrays_pinned(struct hr_py *py, struct hr_py_arrays *all)
{
    struct pins p = {.py = py, .all = all, .views.max = MAX_VIEWS, .lo.max = MAX_VIEWS, .hi.max = MAX_VIEWS};
    hr_map_init(&p.index, MAX_VIEWS);
    hr_map_init(&p.refs, MAX_VIEWS);
    hr_map_init(&p.rows, MAX_VIEWS);
    enum hr_status st = find_views(&p);
    if (st == HR_OK)
        st = follow(&p);
    viewvec_deinit(&p.views);
    hr_u64vec_deinit(&p.lo);
    hr_u64vec_deinit(&p.hi);
    hr_map_deinit(&p.index);
    hr_map_deinit(&p.refs);
    hr_map_deinit(&p.rows);
    return st;
}
