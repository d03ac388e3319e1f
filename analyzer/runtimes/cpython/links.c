#include "analyzer/runtimes/cpython/links.h"

#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"

enum { MAX_STATICS = 1 << 24, LOOK_BACK = 16 };

struct reader {
    struct hr_py *py;
    hr_id node;
    size_t first;       /* link of the node */
    bool full;          /* more than can be kept: only parts are still looked for */
    enum hr_status st;
    uint64_t recent[1 << HR_PY_RECENT_BITS]; /* objects in no block, met last */
};

static void keep(struct reader *r, hr_id to, uint8_t how)
{
    struct hr_py_links *l = &r->py->links;
    if (r->full || r->st != HR_OK)
        return;
    r->st = hr_u32vec_push(&l->to, to);
    if (r->st == HR_OK)
        r->st = hr_u8vec_push(&l->how, how);
    if (r->st == HR_LIMIT) {
        r->full = true;
        r->st = HR_OK;
    }
}

/* What lies in no block is looked at by hr_py_statics(), if anybody asks. */
static void keep_static(struct reader *r, uint64_t target)
{
    uint64_t *recent = &r->recent[hr_py_recent_slot(target)];
    struct hr_py_links *l = &r->py->links;
    uint32_t *slot;
    bool was;
    if (*recent == target || r->st != HR_OK)
        return;
    *recent = target;
    enum hr_status st = hr_map_slot(&l->static_seen, target, 1, &slot, &was);
    if (st == HR_OK && !was)
        st = hr_u64vec_push(&l->statics, target);
    if (st == HR_NOMEM)
        r->st = st; /* a limit: a damaged image, what was found is enough */
}

static void record(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct reader *r = ctx;
    struct hr_py *py = r->py;
    uint64_t into;
    (void)off;
    if (kind == HR_PR_TYPE)
        return;
    hr_id to = hr_py_block_at(py, target, &into);
    if (to == HR_NONE) {
        if (kind != HR_PR_PART)
            keep_static(r, target);
        return;
    }
    uint32_t object = py->object[to];
    bool start = into == (object == HR_NONE ? 0 : py->types.v[object].pre);
    if (kind == HR_PR_PART)
        hr_py_note_part(py, r->node, to, into, surety);
    else if (py->minor < 0x0300 && !start)
        keep_static(r, target); /* its numbers lie many to a block */
    keep(r, to, (uint8_t)(kind | surety << HR_PL_SURETY_SHIFT | (start ? HR_PL_START : 0)));
}

static void record_raw(void *ctx, hr_id to, uint32_t off, uint8_t surety)
{
    struct reader *r = ctx;
    const struct hr_u32vec *v = &r->py->links.to;
    (void)off;
    for (size_t i = v->n, stop = hr_max(r->first, v->n < LOOK_BACK ? 0 : v->n - LOOK_BACK); i-- > stop;)
        if (v->v[i] == to)
            return;
    keep(r, to, (uint8_t)(HR_PL_RAW | surety << HR_PL_SURETY_SHIFT));
}

static enum hr_status read_all(struct reader *r)
{
    struct hr_py *py = r->py;
    struct hr_py_links *l = &py->links;
    struct hr_block_iter it = hr_block_iter(py->heap, 0);
    while (it.id < py->heap->n && r->st == HR_OK) {
        r->node = it.id;
        r->first = l->to.n;
        l->row[it.id] = (uint32_t)l->to.n;
        uint64_t addr = hr_block_next(&it);
        if (py->object[r->node] == HR_NONE)
            continue;
        py->own = (struct hr_py_near){addr, hr_block_size(py->heap, r->node), r->node};
        const struct hr_py_type t = py->types.v[py->object[r->node]]; /* a copy: reading references may add types */
        hr_py_refs(py, addr + hr_py_guard(py, r->node) + t.pre, &t, record, r);
        hr_py_raw_edges(py, r->node, record_raw, r);
    }
    l->row[py->heap->n] = (uint32_t)l->to.n;
    py->own = (struct hr_py_near){.id = HR_NONE};
    return r->st;
}

/* C types keep what they like in their fields: any word that leads into a block is an edge there, as it is in C. What leads to an
 * object is left out: hr_py_refs() gave it, or knows that it is none (weak, borrowed). */
static bool of_c(uint8_t kind)
{
    return kind == HR_PK_OBJECT || kind == HR_PK_MODULE || kind == HR_PK_TYPE || kind == HR_PK_CODE || kind == HR_PK_BUILTIN_METHOD ||
           kind == HR_PK_MMAP || kind == HR_PK_CDATA || kind == HR_PK_ODICT;
}

void hr_py_raw_edges(struct hr_py *py, hr_id node, hr_py_raw_fn *fn, void *ctx)
{
    const struct hr_py_type *t = &py->types.v[py->object[node]];
    if (!of_c(t->kind))
        return;
    unsigned word = py->img->word;
    uint64_t addr = hr_block_addr(py->heap, node), size = hr_block_size(py->heap, node), into, pre = hr_py_guard(py, node) + t->pre;
    if (!t->itemsize)
        size = hr_min(size, pre + t->basicsize); /* what is behind is left from who had the block before */
    struct hr_span b = hr_image_peek(py->img, addr, size);
    for (size_t off = pre; off + word <= b.n; off += word) { /* not the collector's links, which hold nothing */
        uint64_t w = hr_word_load(b.p + off, word, py->img->big);
        hr_id id = w ? hr_py_block_at(py, w, &into) : HR_NONE;
        if (id == HR_NONE || id == node || (py->object[id] != HR_NONE && py->types.v[py->object[id]].pre == into))
            continue;
        fn(ctx, id, (uint32_t)off, into ? HR_SURE_INTERIOR : HR_SURE_CONSERVATIVE);
    }
}

enum hr_status hr_py_read_links(struct hr_py *py)
{
    struct hr_py_links *l = &py->links;
    struct reader *r = hr_zalloc(1, sizeof *r);
    l->to.max = l->how.max = UINT32_MAX - 1;
    l->statics.max = MAX_STATICS;
    hr_map_init(&l->static_seen, MAX_STATICS);
    l->row = hr_alloc(((size_t)py->heap->n + 1) * sizeof *l->row);
    if (!r || !l->row) {
        hr_free(r);
        return HR_NOMEM;
    }
    r->py = py;
    enum hr_status st = read_all(r);
    if (r->full)
        hr_py_links_deinit(l);
    hr_map_deinit(&l->static_seen);
    hr_free(r);
    return st;
}

void hr_py_links_deinit(struct hr_py_links *l)
{
    hr_u32vec_deinit(&l->to);
    hr_u8vec_deinit(&l->how);
    hr_u64vec_deinit(&l->statics);
    hr_map_deinit(&l->static_seen);
    hr_free(l->row);
    l->row = NULL;
}

enum hr_status hr_py_close(struct hr_py *py)
{
    struct hr_heap *h = py->heap;
    if (!py->links.row || h->closed.nbits)
        return HR_OK;
    HR_AUTOFREE uint32_t *found = hr_zalloc((size_t)h->n + 1, sizeof *found);
    if (!found)
        return HR_NOMEM;
    for (hr_id id = 0; id < h->n; id++) {
        const uint32_t *to;
        const uint8_t *how;
        uint32_t n = py->object[id] != HR_NONE && h->state[id] == HR_USED ? hr_py_links_of(py, id, &to, &how) : 0;
        for (uint32_t i = 0; i < n; i++) {
            unsigned kind = how[i] & HR_PL_KIND;
            bool counted = kind == HR_PR_STRONG || kind == HR_PR_UNVISITED;
            found[to[i]] += counted && how[i] & HR_PL_START && (how[i] >> HR_PL_SURETY_SHIFT & HR_PL_SURETY) == HR_SURE_EXACT;
        }
    }
    HR_TRY(hr_bits_init(&h->closed, (uint64_t)h->n + 1));
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        bool part = py->object[id] == HR_NONE;
        if (part && py->owner[id] != HR_NONE && hr_bits_get(&py->covered, id))
            hr_bits_set(&h->closed, id);
        if (part || !found[id])
            continue;
        addr += hr_py_guard(py, id) + py->types.v[py->object[id]].pre;
        int64_t count = hr_py_refcount(py, addr);
        if (count > 0 && count <= found[id] && !hr_py_immortal(py, addr))
            hr_bits_set(&h->closed, id);
    }
    return HR_OK;
}
