/* The runtime itself: opens, claims objects and the blocks they own, gives exact edges, types blocks. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/py.h"
#include "analyzer/runtimes/cpython/stacks.h"

static void py_close(void *self)
{
    struct hr_py *py = self;
    if (!py)
        return;
    hr_pytypevec_deinit(&py->types);
    hr_pyfreevec_deinit(&py->freelists);
    hr_pysamevec_deinit(&py->same);
    hr_pycontainervec_deinit(&py->containers);
    hr_map_deinit(&py->type_index);
    hr_map_deinit(&py->module_dicts);
    hr_free(py->object);
    hr_free(py->owner);
    hr_bits_deinit(&py->covered);
    hr_free(py->c);
    hr_free(py);
}

/* ---- parts: blocks that objects own (list items, keys tables …) ---- */
struct part_ctx { struct hr_py *py; hr_id owner; };

static void note_part(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct part_ctx *c = ctx;
    (void)off;
    if (kind != HR_PR_PART)
        return;
    uint64_t into;
    hr_id id = hr_heap_at(c->py->heap, target, &into);
    if (id == HR_NONE || into || c->py->object[id] != HR_NONE || c->py->heap->state[id] != HR_USED)
        return;
    if (c->py->owner[id] == HR_NONE)
        c->py->owner[id] = c->owner;
    if (surety == HR_SURE_EXACT)
        hr_bits_set(&c->py->covered, id);
}

static enum hr_status find_parts(struct hr_py *py)
{
    const struct hr_heap *h = py->heap;
    py->owner = hr_alloc(((size_t)h->n + 1) * sizeof *py->owner);
    if (!py->owner)
        return HR_NOMEM;
    memset(py->owner, 0xff, (size_t)h->n * sizeof *py->owner);
    HR_TRY(hr_bits_init(&py->covered, (uint64_t)h->n + 1));
    struct part_ctx c = {.py = py};
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        c.owner = it.id;
        uint64_t addr = hr_block_next(&it);
        if (py->object[c.owner] == HR_NONE)
            continue;
        const struct hr_py_type t = py->types.v[py->object[c.owner]]; /* a copy: reading references may add types */
        hr_py_refs(py, addr + t.pre, &t, note_part, &c);
    }
    return HR_OK;
}

static enum hr_status set_handles(struct hr_py *py)
{
    struct hr_heap *h = py->heap;
    if (!h->handle)
        h->handle = hr_zalloc((size_t)h->n + 1, 1);
    if (!h->handle)
        return HR_NOMEM;
    for (hr_id i = 0; i < h->n; i++)
        if (py->object[i] != HR_NONE)
            h->handle[i] = py->types.v[py->object[i]].pre;
    return HR_OK;
}

static enum hr_status prepare(struct hr_py *py)
{
    HR_TRY(hr_py_find_objects(py));
    HR_TRY(find_parts(py));
    HR_TRY(hr_py_find_freelists(py));
    return set_handles(py);
}

static enum hr_status py_open(struct hr_runtime_in *in, void **self_ret, char *version, size_t vcap, char *evidence, size_t ecap)
{
    struct hr_py *py = hr_zalloc(1, sizeof *py);
    if (!py)
        return HR_NOMEM;
    py->in = *in;
    py->img = in->image;
    py->heap = in->heap;
    py->types.max = 1 << 24;
    hr_map_init(&py->type_index, 1 << 26);
    hr_map_init(&py->module_dicts, 1 << 22);
    enum hr_status st = hr_cpython_find(in->image, in->types, in->notes, &py->c);
    if (st == HR_OK) {
        py->minor = hr_py_minor(py->c);
        st = prepare(py);
    }
    if (st != HR_OK) {
        py_close(py);
        return st == HR_UNSUPPORTED ? HR_ABSENT : st; /* the note is made; the rest is read as C */
    }
    snprintf(version, vcap, "%s", py->c->version);
    snprintf(evidence, ecap, "%s", py->c->evidence);
    *self_ret = py;
    return HR_OK;
}

static bool py_claims(void *self, hr_id node)
{
    struct hr_py *py = self;
    return node < py->heap->n && (py->object[node] != HR_NONE || hr_bits_get(&py->covered, node));
}

struct edge_ctx { struct hr_py *py; struct hr_edgebuf *out; hr_id node; };

static void push_edge(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct edge_ctx *e = ctx;
    uint64_t into;
    if (kind == HR_PR_WEAK || kind == HR_PR_VISITED)
        return;
    hr_id id = hr_heap_at(e->py->heap, target, &into);
    if (id == HR_NONE || id == e->node)
        return;
    /* The block's own extent begins in front of the object: offsets are counted from the block's start. */
    uint32_t pre = e->py->types.v[e->py->object[e->node]].pre;
    hr_edge_push(e->out, id, off == UINT32_MAX ? off : off + pre, surety);
}

/* C types keep what they like in their fields: any word that leads into a block is an edge there, as it is in C. */
static void raw_edges(struct hr_py *py, hr_id node, struct hr_edgebuf *out)
{
    unsigned word = py->img->word;
    uint64_t addr = hr_block_addr(py->heap, node), into;
    struct hr_span b = hr_image_peek(py->img, addr, hr_block_size(py->heap, node));
    /* not the collector's links, which hold nothing */
    for (size_t off = py->types.v[py->object[node]].pre; off + word <= b.n; off += word) {
        uint64_t w = hr_word_load(b.p + off, word, py->img->big);
        hr_id id = w ? hr_heap_at(py->heap, w, &into) : HR_NONE;
        if (id == HR_NONE || id == node)
            continue;
        bool start = !into || (py->heap->handle && py->heap->handle[id] == into);
        hr_edge_push(out, id, (uint32_t)off, start ? HR_SURE_CONSERVATIVE : HR_SURE_INTERIOR);
    }
}

static bool of_c(uint8_t kind)
{
    return kind == HR_PK_OBJECT || kind == HR_PK_MODULE || kind == HR_PK_TYPE || kind == HR_PK_CODE || kind == HR_PK_BUILTIN_METHOD ||
           kind == HR_PK_NDARRAY || kind == HR_PK_ARRAY || kind == HR_PK_MEMORYVIEW || kind == HR_PK_ODICT;
}

static void py_edges(void *self, hr_id node, struct hr_edgebuf *out)
{
    struct hr_py *py = self;
    if (py->object[node] == HR_NONE)
        return; /* a part: its owner gives what is in it */
    struct edge_ctx e = {py, out, node};
    const struct hr_py_type t = py->types.v[py->object[node]];
    hr_py_refs(py, hr_block_addr(py->heap, node) + t.pre, &t, push_edge, &e);
    if (of_c(t.kind))
        raw_edges(py, node, out);
}

static const char *part_name(const struct hr_py *py, hr_id owner)
{
    switch (py->types.v[py->object[owner]].kind) {
    case HR_PK_LIST: return "list items";
    case HR_PK_DICT: case HR_PK_ODICT: return "dict table";
    case HR_PK_SET: return "set table";
    case HR_PK_BYTEARRAY: return "bytearray buffer";
    case HR_PK_DEQUE: return "deque block";
    case HR_PK_TYPE: return "shared dict keys";
    default: return "instance attributes";
    }
}

static enum hr_status py_classify(void *self)
{
    struct hr_py *py = self;
    struct hr_heap *h = py->heap;
    if (!h->type)
        h->type = hr_zalloc((size_t)h->n + 1, sizeof *h->type);
    if (!h->evidence)
        h->evidence = hr_zalloc((size_t)h->n + 1, 1);
    if (!h->owner) {
        h->owner = hr_alloc(((size_t)h->n + 1) * sizeof *h->owner);
        if (h->owner)
            memset(h->owner, 0xff, ((size_t)h->n + 1) * sizeof *h->owner);
    }
    if (!h->type || !h->evidence || !h->owner)
        return HR_NOMEM;
    for (hr_id i = 0; i < h->n; i++) {
        hr_type row = 0;
        if (py->object[i] != HR_NONE)
            row = py->types.v[py->object[i]].row;
        else if (py->owner[i] != HR_NONE && hr_bits_get(&py->covered, i))
            HR_TRY(hr_types_add_runtime(py->in.types, part_name(py, py->owner[i]), 0, &row));
        if (py->owner[i] != HR_NONE)
            h->owner[i] = py->owner[i];
        if (!row)
            continue;
        h->type[i] = row;
        h->evidence[i] = HR_EV_RUNTIME;
    }
    return HR_OK;
}

static enum hr_status py_roots(void *self) { return hr_py_named_roots(self); }

static bool py_spell(void *self, hr_id from, hr_id to, char *buf, size_t cap) { return hr_py_spell(self, from, to, buf, cap); }

const struct hr_runtime hr_runtime_cpython = {
    .name = "cpython",
    .open = py_open,
    .roots = py_roots,
    .classify = py_classify,
    .spell = py_spell,
    .claims = py_claims,
    .edges = py_edges,
    .close = py_close,
};
