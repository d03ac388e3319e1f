/* Verbs of a Python image: `objects`, `py gc`. */
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/cli/py_rings.h"
#include "analyzer/runtimes/cpython/py.h"

static int no_python(struct hr_cli *c)
{
    return hr_cli_error(HR_EXIT_INPUT, "there is no CPython in %s that heapray can read (heapray info says what there is)", c->opt.image);
}

/* The runtime, after the stage it needs; NULL: printed why, code in *code. */
static struct hr_py *python(struct hr_cli *c, enum hr_status st, int *code)
{
    if (!hr_cli_ok(c, st)) {
        *code = hr_cli_exit_of(st);
        return NULL;
    }
    struct hr_py *py = hr_runtimes_self(c->s->runtimes, "cpython");
    if (!py)
        *code = no_python(c);
    return py;
}

static bool in_sorted(const struct hr_u64vec *v, uint64_t x)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->v[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->n && v->v[lo] == x;
}

/* ---- objects ---- */
struct listing {
    struct hr_cli *c;
    struct hr_py *py;
    struct hr_py_gc gc;
    struct hr_u64vec statics;
    uint8_t *generation;   /* per block: 0-2, 3 frozen, 0xff not tracked */
    unsigned current;
};

static void note_generation(void *ctx, uint64_t obj)
{
    struct listing *l = ctx;
    hr_id id = hr_py_node(l->py, obj);
    if (id != HR_NONE)
        l->generation[id] = (uint8_t)l->current;
}

static void json_gc(struct listing *l, struct hr_json *j, hr_id id, const struct hr_py_type *t)
{
    if (id == HR_NONE || !(t->flags & HR_PYF_GC)) {
        hr_json_null(j, "gc");
        return;
    }
    hr_json_obj(j, "gc");
    hr_json_bool(j, "tracked", l->generation[id] != 0xff);
    if (l->generation[id] < 3)
        hr_json_num(j, "generation", l->generation[id]);
    else
        hr_json_null(j, "generation");
    hr_json_end(j);
}

static void json_object(struct listing *l, struct hr_json *j, uint64_t addr, const struct hr_py_type *t)
{
    struct hr_py *py = l->py;
    const struct hr_heap *h = py->heap;
    uint64_t n = hr_py_len(py, addr, t);
    hr_id id = hr_py_node(py, addr), block = id != HR_NONE ? id : hr_heap_at(h, addr, NULL);
    char value[HR_PY_REPR];
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", addr);
    hr_json_str(j, "type", hr_strs_get(l->c->s->strs, t->name));
    hr_json_num(j, "size", hr_py_sizeof(py, addr, t));
    if (block != HR_NONE) {
        hr_json_addr(j, "block", hr_block_addr(h, block));
        hr_json_num(j, "block_size", hr_block_size(h, block));
    } else {
        hr_json_null(j, "block");
        hr_json_null(j, "block_size");
    }
    hr_json_bool(j, "static", block == HR_NONE);
    if (hr_py_immortal(py, addr))
        hr_json_str(j, "refcount", "immortal");
    else
        hr_json_int(j, "refcount", hr_py_refcount(py, addr));
    hr_json_null(j, "refs_found");
    json_gc(l, j, id, t);
    hr_json_str(j, "reach", id != HR_NONE && h->reach && h->reach[id] ? hr_reach_name(h->reach[id]) : NULL);
    hr_json_bool(j, "garbage", in_sorted(&l->gc.garbage, addr));
    hr_json_str(j, "value", hr_py_repr(py, addr, l->c->show_contents, value, sizeof value));
    if (n != UINT64_MAX)
        hr_json_num(j, "len", n);
    else
        hr_json_null(j, "len");
    hr_json_null(j, "allocated");
    hr_json_end(j);
}

static void text_object(struct listing *l, uint64_t addr, const struct hr_py_type *t, const char *name)
{
    struct hr_cli *c = l->c;
    char value[400];
    hr_outf(&c->out, "0x%-14llx %8llu %s%lld ", (unsigned long long)addr, (unsigned long long)hr_py_sizeof(l->py, addr, t),
            in_sorted(&l->gc.garbage, addr) ? "garbage " : "", (long long)hr_py_refcount(l->py, addr));
    hr_out_esc(&c->out, name);
    hr_outf(&c->out, " ");
    hr_out_esc(&c->out, hr_py_repr(l->py, addr, c->show_contents, value, sizeof value));
    hr_outf(&c->out, "\n");
}

/* One object; j NULL: as text. False when it is not wanted. */
static bool list_object(struct listing *l, struct hr_json *j, uint64_t addr)
{
    uint32_t ti = hr_py_object_type(l->py, addr);
    if (ti == HR_NONE)
        return false;
    const struct hr_py_type t = l->py->types.v[ti]; /* a copy: reading values may add types */
    const char *name = hr_strs_get(l->c->s->strs, t.name);
    if (l->c->type && !strstr(name, l->c->type))
        return false;
    if (j)
        json_object(l, j, addr, &t);
    else
        text_object(l, addr, &t, name);
    return true;
}

static void print_objects(struct listing *l)
{
    struct hr_cli *c = l->c;
    struct hr_json j;
    bool machine = c->json || c->ndjson;
    uint64_t left = c->limit ? c->limit : UINT64_MAX;
    if (machine) {
        hr_cli_json_begin(c, &j);
        if (c->ndjson)
            hr_json_end(&j);
        else
            hr_json_arr(&j, "objects");
    }
    for (hr_id id = 0; id < l->py->heap->n && left && !c->out.failed; id++)
        if (l->py->object[id] != HR_NONE)
            left -= list_object(l, machine ? &j : NULL, hr_py_addr(l->py, id));
    for (size_t i = 0; i < l->statics.n && left && !c->out.failed; i++)
        left -= list_object(l, machine ? &j : NULL, l->statics.v[i]);
    if (machine && !c->ndjson) {
        hr_json_end(&j);
        hr_json_end(&j);
    }
}

static int run_objects(struct hr_cli *c)
{
    int code = 0;
    struct listing l = {.c = c};
    if (hr_session_roots(c->s) == HR_OK && hr_runtimes_self(c->s->runtimes, "micropython"))
        return hr_cli_mp_objects(c);
    l.py = python(c, hr_session_reach(c->s), &code);
    if (!l.py)
        return code;
    l.generation = hr_alloc((size_t)l.py->heap->n + 1);
    enum hr_status st = l.generation ? hr_py_gc_predict(l.py, &l.gc) : HR_NOMEM;
    if (st == HR_OK)
        st = hr_py_statics(l.py, &l.statics);
    if (st == HR_OK) {
        memset(l.generation, 0xff, (size_t)l.py->heap->n + 1);
        for (l.current = 0; l.current < 4; l.current++)
            hr_py_gc_list(l.py, l.current, note_generation, &l);
        print_objects(&l);
    }
    code = hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
    hr_py_gc_deinit(&l.gc);
    hr_u64vec_deinit(&l.statics);
    hr_free(l.generation);
    return code;
}

const struct hr_verb hr_verb_objects = {
    .name = "objects", .args = "", .summary = "every object of a Python or MicroPython image: type, size, references, value",
    .help = "Lists every object of the managed runtime in the image: address, type, size as the runtime itself reports it, the block it "
            "lies in, reference count, collector state, whether the collector would free it, and its value, cut where long. Static objects of the "
            "interpreter and its modules follow, as far as listed ones lead to them. --type TEXT chooses; "
            "text from the dump is shown only with --show-contents.",
    .needs_image = true, .types = false, .run = run_objects,
};

/* ---- py gc ---- */
static void addr_list(struct hr_json *j, const char *key, const struct hr_u64vec *v)
{
    hr_json_arr(j, key);
    for (size_t i = 0; i < v->n; i++)
        hr_json_addr(j, NULL, v->v[i]);
    hr_json_end(j);
}

static const char *type_name(struct hr_py *py, uint64_t addr)
{
    uint32_t t = hr_py_object_type(py, addr);
    return t == HR_NONE ? "?" : hr_strs_get(py->img->strs, py->types.v[t].name);
}

static void rings_json(struct hr_json *j, struct hr_py *py, const struct hr_py_rings *r)
{
    hr_json_arr(j, "rings");
    for (size_t i = 0; i + 1 < r->first.n; i++) {
        hr_json_obj(j, NULL);
        hr_json_arr(j, "addrs");
        for (uint64_t k = r->first.v[i]; k < r->first.v[i + 1]; k++)
            hr_json_addr(j, NULL, r->addr.v[k]);
        hr_json_end(j);
        hr_json_arr(j, "types"); /* of the addrs, in their order */
        for (uint64_t k = r->first.v[i]; k < r->first.v[i + 1]; k++)
            hr_json_str(j, NULL, type_name(py, r->addr.v[k]));
        hr_json_end(j);
        hr_json_num(j, "bytes", r->bytes.v[i]);
        hr_json_num(j, "retained", r->retained.v[i]);
        hr_json_end(j);
    }
    hr_json_end(j);
}

/* One line a ring: what it retains, how many objects, the types of its first members. */
static void rings_text(struct hr_cli *c, struct hr_py *py, const struct hr_py_rings *r)
{
    size_t n = r->first.n - 1, most = c->all ? n : c->limit ? c->limit : 10;
    enum { SHOWN = 6 };
    hr_outf(&c->out, "%s ring%s of objects that hold each other:\n", hr_cli_count(c, n), n == 1 ? "" : "s");
    for (size_t i = 0; i < n && i < most; i++) {
        uint64_t first = r->first.v[i], end = r->first.v[i + 1];
        hr_outf(&c->out, "  0x%llx %s, retains %s: ", (unsigned long long)r->addr.v[first], hr_cli_count(c, end - first), hr_cli_bytes(c, r->retained.v[i]));
        for (uint64_t k = first; k < end && k < first + SHOWN; k++) {
            hr_outf(&c->out, k > first ? ", " : "");
            hr_out_esc(&c->out, type_name(py, r->addr.v[k]));
        }
        hr_outf(&c->out, end - first > SHOWN ? ", ...\n" : "\n");
    }
    if (n > most)
        hr_outf(&c->out, "  [%s other rings: --all]\n", hr_cli_count(c, n - most));
}

static void gc_json(struct hr_cli *c, struct hr_py *py, const struct hr_py_gc *g, const struct hr_py_rings *r)
{
    struct hr_json j;
    hr_cli_json_begin(c, &j);
    hr_json_bool(&j, "enabled", g->enabled);
    hr_json_bool(&j, "collecting", g->collecting);
    hr_json_arr(&j, "thresholds");
    for (int i = 0; i < 3; i++)
        hr_json_num(&j, NULL, g->threshold[i]);
    hr_json_end(&j);
    hr_json_arr(&j, "counts");
    for (int i = 0; i < 3; i++)
        hr_json_num(&j, NULL, g->count[i]);
    hr_json_end(&j);
    hr_json_arr(&j, "generations");
    for (int i = 0; i < 3; i++)
        hr_json_num(&j, NULL, g->members[i]);
    hr_json_end(&j);
    hr_json_num(&j, "frozen", g->frozen);
    hr_json_bool(&j, "exact", g->exact);
    hr_json_num(&j, "collect_returns", g->collect_returns);
    addr_list(&j, "garbage", &g->garbage);
    addr_list(&j, "uncollectable", &g->uncollectable);
    addr_list(&j, "died_early", &g->died_early);
    hr_json_num(&j, "weakrefs_freed", g->weakrefs_freed);
    rings_json(&j, py, r);
    hr_json_end(&j);
}

static void gc_text(struct hr_cli *c, struct hr_py *py, const struct hr_py_gc *g, const struct hr_py_rings *r)
{
    struct hr_out *o = &c->out;
    hr_outf(o, "collector %s%s; thresholds %u/%u/%u, counts %u/%u/%u\n", g->enabled ? "enabled" : "disabled",
            g->collecting ? ", in the middle of a collection" : "", g->threshold[0], g->threshold[1], g->threshold[2], g->count[0],
            g->count[1], g->count[2]);
    hr_outf(o, "tracked: %s + %s + %s in generations 0, 1, 2; %s frozen\n", hr_cli_count(c, g->members[0]), hr_cli_count(c, g->members[1]),
            hr_cli_count(c, g->members[2]), hr_cli_count(c, g->frozen));
    hr_outf(o, "gc.collect() would return %s: %s objects to free, %s uncollectable%s\n", hr_cli_count(c, g->collect_returns),
            hr_cli_count(c, g->garbage.n), hr_cli_count(c, g->uncollectable.n), g->exact ? "" : " (not exact: the lists are damaged)");
    size_t most = c->all ? g->garbage.n : c->limit ? c->limit : 20;
    for (size_t i = 0; i < g->garbage.n && i < most; i++) {
        char value[300];
        hr_outf(o, "  0x%llx ", (unsigned long long)g->garbage.v[i]);
        hr_out_esc(o, hr_py_repr(py, g->garbage.v[i], c->show_contents, value, sizeof value));
        hr_outf(o, "\n");
    }
    if (g->garbage.n > most)
        hr_outf(o, "  [%s others: --all]\n", hr_cli_count(c, g->garbage.n - most));
    if (r->first.n > 1)
        rings_text(c, py, r);
    hr_cli_text_notes(c);
}

static int run_gc(struct hr_cli *c)
{
    int code = 0;
    struct hr_py_gc g;
    struct hr_py *py = python(c, hr_session_roots(c->s), &code);
    if (!py)
        return code;
    struct hr_py_rings r = {0};
    enum hr_status st = hr_py_gc_predict(py, &g);
    if (st == HR_OK)
        st = hr_py_rings_find(py, &g, &r);
    if (st == HR_OK && (c->json || c->ndjson))
        gc_json(c, py, &g, &r);
    else if (st == HR_OK)
        gc_text(c, py, &g, &r);
    hr_py_rings_deinit(&r);
    hr_py_gc_deinit(&g);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_py_gc = {
    .name = "py gc", .args = "", .summary = "Python's collector: generations, and what gc.collect() would free",
    .help = "The state of CPython's cyclic collector, and the objects that gc.collect() would free or find uncollectable, by redoing the "
            "collector's own arithmetic over the image.",
    .needs_image = true, .types = false, .run = run_gc,
};
