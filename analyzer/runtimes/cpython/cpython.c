/* The runtime itself: opens, claims objects and the blocks they own, gives exact edges, types blocks. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/audit.h"
#include "analyzer/runtimes/cpython/links.h"
#include "analyzer/runtimes/cpython/plan.h"
#include "analyzer/runtimes/cpython/stacks.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"
#include "analyzer/runtimes/cpython/waste.h"

static void py_close(void *self)
{
    struct hr_py *py = self;
    if (!py)
        return;
    hr_pytypevec_deinit(&py->types);
    hr_py_links_deinit(&py->links);
    hr_pyfreevec_deinit(&py->freelists);
    hr_u32vec_deinit(&py->dead);
    hr_pysamevec_deinit(&py->same);
    hr_pycontainervec_deinit(&py->containers);
    hr_py_arrays_free(py->arrays);
    hr_map_deinit(&py->type_index);
    hr_map_deinit(&py->module_dicts);
    hr_free(py->object);
    hr_free(py->owner);
    hr_bits_deinit(&py->covered);
    hr_py_plans_close(py);
    hr_py_audit_free(py->audit);
    hr_py_tracing_free(py->tracing);
    hr_py_facts_free(py->facts);
    hr_free(py->guards.front);
    hr_free(py->c);
    hr_free(py);
}

/* ---- parts: blocks that objects own (list items, keys tables …) ---- */
void hr_py_note_part(struct hr_py *py, hr_id owner, hr_id id, uint64_t into, uint8_t surety)
{
    if (into || py->heap->state[id] != HR_USED)
        return;
    if (py->object[id] != HR_NONE) {
        if (surety != HR_SURE_EXACT || id == owner || py->types.v[py->object[id]].pre)
            return;
        py->object[id] = HR_NONE; /* a short text in a block whose second word is left from an object */
    }
    /* who merely points at it (a buffer's exporter is not its views) gives way to who says that it owns it */
    if (py->owner[id] == HR_NONE || (surety == HR_SURE_EXACT && !hr_bits_get(&py->covered, id)))
        py->owner[id] = owner;
    if (surety == HR_SURE_EXACT)
        hr_bits_set(&py->covered, id);
}

static enum hr_status find_parts(struct hr_py *py)
{
    const struct hr_heap *h = py->heap;
    py->owner = hr_alloc(((size_t)h->n + 1) * sizeof *py->owner);
    if (!py->owner)
        return HR_NOMEM;
    memset(py->owner, 0xff, (size_t)h->n * sizeof *py->owner);
    HR_TRY(hr_bits_init(&py->covered, (uint64_t)h->n + 1));
    return hr_py_read_links(py);
}

static enum hr_status set_handles(struct hr_py *py)
{
    struct hr_heap *h = py->heap;
    if (!h->handle)
        h->handle = hr_zalloc((size_t)h->n + 1, 1);
    if (!h->handle)
        return HR_NOMEM;
    for (hr_id i = 0; i < h->n; i++)
        h->handle[i] = (uint8_t)(hr_py_guard(py, i) + (py->object[i] != HR_NONE ? py->types.v[py->object[i]].pre : 0));
    return HR_OK;
}

static enum hr_status prepare(struct hr_py *py)
{
    HR_TRY(hr_py_find_objects(py));
    hr_py_check_guards(py);
    HR_TRY(hr_py_plans_open(py));
    hr_py_find_interned(py);
    HR_TRY(find_parts(py));
    HR_TRY(hr_py_find_freelists(py));
    HR_TRY(hr_py_close(py));
    for (size_t i = 0; i < py->dead.n; i++)
        hr_bits_set(&py->covered, py->dead.v[i]); /* read by us, and without references: not as C */
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
    if (kind == HR_PR_WEAK || kind == HR_PR_VISITED || kind == HR_PR_COUNTED)
        return;
    hr_id id = hr_heap_at(e->py->heap, target, &into);
    if (id == HR_NONE || id == e->node)
        return;
    /* The block's own extent begins in front of the object: offsets are counted from the block's start. */
    uint32_t pre = hr_py_guard(e->py, e->node) + e->py->types.v[e->py->object[e->node]].pre;
    hr_edge_push(e->out, id, off == UINT32_MAX ? off : off + pre, surety);
}

static void push_raw(void *ctx, hr_id to, uint32_t off, uint8_t surety) { hr_edge_push(ctx, to, off, surety); }

static void py_edges(void *self, hr_id node, struct hr_edgebuf *out)
{
    struct hr_py *py = self;
    if (py->object[node] == HR_NONE)
        return; /* a part: its owner gives what is in it */
    struct edge_ctx e = {py, out, node};
    const struct hr_py_type t = py->types.v[py->object[node]];
    hr_py_refs(py, hr_py_addr(py, node), &t, push_edge, &e);
    hr_py_raw_edges(py, node, push_raw, out);
}

static bool py_links(void *self, hr_id node, hr_link_fn *emit, void *ctx)
{
    const struct hr_py *py = self;
    const uint32_t *to;
    const uint8_t *how;
    if (!py->links.row)
        return false;
    if (py->object[node] == HR_NONE)
        return true;
    uint32_t n = hr_py_links_of(py, node, &to, &how), type = py->types.v[py->object[node]].node;
    if (type != HR_NONE && type != node)
        emit(ctx, type, HR_SURE_EXACT);
    for (uint32_t i = 0; i < n; i++) {
        unsigned kind = how[i] & HR_PL_KIND;
        if (to[i] != node && kind != HR_PR_WEAK && kind != HR_PR_VISITED && kind != HR_PR_COUNTED)
            emit(ctx, to[i], how[i] >> HR_PL_SURETY_SHIFT & HR_PL_SURETY);
    }
    return true;
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
    case HR_PK_NDARRAY: case HR_PK_NPVOID: return "array data";
    case HR_PK_ARRAY: return "array.array items";
    case HR_PK_DTYPE: return "dtype parts";
    case HR_PK_STR: return "string data";
    default: return "instance attributes";
    }
}

static enum hr_status py_classify(void *self)
{
    struct hr_py *py = self;
    struct hr_heap *h = py->heap;
    HR_TRY(hr_heap_type_columns(h));
    HR_TRY(hr_heap_owner_column(h));
    hr_type parts[HR_PK_OPAQUE + 1] = {0}; /* by kind of the owner */
    for (hr_id i = 0; i < h->n; i++) {
        hr_type row = 0;
        if (py->object[i] != HR_NONE)
            row = py->types.v[py->object[i]].row;
        else if (py->owner[i] != HR_NONE && hr_bits_get(&py->covered, i)) {
            hr_type *part = &parts[py->types.v[py->object[py->owner[i]]].kind];
            if (!*part)
                HR_TRY(hr_types_add_runtime(py->in.types, part_name(py, py->owner[i]), 0, part));
            row = *part;
        } else if (hr_bits_get(&py->covered, i)) {
            HR_TRY(hr_types_add_runtime(py->in.types, "NumPy cached block", 0, &row));
        }
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
    .links = py_links,
    .close = py_close,
};
