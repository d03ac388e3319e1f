/* `objects`: every object of a Python image. */
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/cli/py_object.h"
#include "analyzer/cli/py_cli.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"
#include "analyzer/runtimes/cpython/audit.h"

/* With what may be the reason: files that are missing, a version or build that is not read. */
static int no_python(struct hr_cli *c)
{
    int code = hr_cli_error(HR_EXIT_INPUT, "there is no CPython in %s that heapray can read (heapray info says what there is)", c->opt.image);
    for (size_t i = 0; i < c->s->notes.list.n; i++) {
        const struct hr_note *n = &c->s->notes.list.v[i];
        if (n->level != HR_NOTE_INFO && (!strncmp(n->code, "python.", 7) || !strncmp(n->code, "core.module", 11)))
            hr_cli_error(code, "note: %s", n->text);
    }
    return code;
}

struct hr_py *hr_cli_python(struct hr_cli *c, enum hr_status st, int *code)
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
    const struct hr_py_audit *audit;
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
    uint64_t found = hr_py_found(py, l->audit, addr);
    if (found != UINT64_MAX)
        hr_json_num(j, "refs_found", found);
    else
        hr_json_null(j, "refs_found");
    json_gc(l, j, id, t);
    uint8_t reach = block == HR_NONE ? HR_REACHABLE : id != HR_NONE && h->reach ? h->reach[id] : HR_REACH_UNKNOWN; /* static: by itself */
    hr_json_str(j, "reach", reach ? hr_reach_name(reach) : NULL);
    hr_json_bool(j, "garbage", in_sorted(&l->gc.garbage, addr));
    hr_json_str(j, "value", hr_py_repr(py, addr, l->c->show_contents, value, sizeof value));
    if (n != UINT64_MAX)
        hr_json_num(j, "len", n);
    else
        hr_json_null(j, "len");
    hr_cli_array_json(j, py, addr, t);
    hr_cli_json_allocated(j, py, id);
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
    l.py = hr_cli_python(c, hr_session_reach(c->s), &code);
    if (!l.py)
        return code;
    l.generation = hr_alloc((size_t)l.py->heap->n + 1);
    enum hr_status st = l.generation ? hr_py_gc_predict(l.py, &l.gc) : HR_NOMEM;
    if (st == HR_OK)
        st = hr_py_statics(l.py, &l.statics);
    if (st == HR_OK && (c->json || c->ndjson))
        st = hr_py_audit(l.py, &l.audit);
    if (st == HR_OK)
        st = hr_py_tracemalloc(l.py);
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
