/* `py gc`: the collector's state, what gc.collect() would free, and the rings in it. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/py_cli.h"
#include "analyzer/cli/py_rings.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"

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

/* Where tracemalloc saw an object allocated; NULL: it did not. */
static const char *site(struct hr_py *py, uint64_t addr, char *buf, size_t cap)
{
    return hr_py_allocated_at(py, hr_py_node(py, addr), buf, cap);
}

static void rings_json(struct hr_json *j, struct hr_py *py, const struct hr_py_rings *r)
{
    char at[600];
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
        hr_json_arr(j, "allocated_at"); /* likewise, where tracemalloc ran */
        for (uint64_t k = r->first.v[i]; py->tracing->of && k < r->first.v[i + 1]; k++)
            hr_json_str(j, NULL, site(py, r->addr.v[k], at, sizeof at));
        hr_json_end(j);
        hr_json_num(j, "bytes", r->bytes.v[i]);
        hr_json_num(j, "retained", r->retained.v[i]);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void state_json(struct hr_json *j, const struct hr_py_gc_state *g)
{
    hr_json_bool(j, "enabled", g->enabled);
    hr_json_bool(j, "collecting", g->collecting);
    hr_json_arr(j, "thresholds");
    for (int i = 0; i < 3; i++)
        hr_json_num(j, NULL, g->threshold[i]);
    hr_json_end(j);
    hr_json_arr(j, "counts");
    for (int i = 0; i < 3; i++)
        hr_json_num(j, NULL, g->count[i]);
    hr_json_end(j);
    hr_json_arr(j, "generations");
    for (int i = 0; i < 3; i++)
        hr_json_num(j, NULL, g->members[i]);
    hr_json_end(j);
    hr_json_num(j, "frozen", g->frozen);
    if (g->collecting)
        hr_json_num(j, "tracked", g->tracked);
}

static void gc_json(struct hr_cli *c, struct hr_py *py, const struct hr_py_gc *g, const struct hr_py_rings *r)
{
    struct hr_json j;
    hr_cli_json_begin(c, &j);
    state_json(&j, &g->of[0]);
    hr_json_bool(&j, "exact", g->exact);
    hr_json_num(&j, "collect_returns", g->collect_returns);
    addr_list(&j, "garbage", &g->garbage);
    addr_list(&j, "uncollectable", &g->uncollectable);
    addr_list(&j, "died_early", &g->died_early);
    hr_json_num(&j, "weakrefs_freed", g->weakrefs_freed);
    hr_json_arr(&j, "interpreters"); /* those with a collector of their own */
    for (uint32_t i = 0; i < g->ncollectors; i++) {
        hr_json_obj(&j, NULL);
        hr_json_int(&j, "id", g->of[i].id);
        state_json(&j, &g->of[i]);
        hr_json_num(&j, "garbage", g->of[i].garbage);
        hr_json_num(&j, "uncollectable", g->of[i].uncollectable);
        hr_json_num(&j, "collect_returns", g->of[i].collect_returns);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    rings_json(&j, py, r);
    hr_json_end(&j);
}

/* ---- as text: what there is by type, rings by shape; every address only with --all ---- */
struct kind { uint32_t type; uint64_t count, bytes; };

static int by_kind_bytes(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->type < y->type ? -1 : x->type > y->type;
}

/* Bytes of the object's block; what it owns besides is its ring's business. */
static uint64_t block_bytes(const struct hr_py *py, uint64_t addr)
{
    hr_id id = hr_py_node(py, addr);
    return id < py->heap->n ? hr_block_size(py->heap, id) : 0;
}

static void kinds_text(struct hr_cli *c, struct hr_py *py, const struct hr_u64vec *v)
{
    static const char *const heads[] = {"count", "bytes", "type"};
    HR_AUTOFREE struct kind *k = hr_zalloc(py->types.n + 1, sizeof *k);
    size_t n = 0, kinds = py->types.n, most = c->limit ? c->limit : 20;
    if (!k || !v->n)
        return;
    for (size_t i = 0; i < v->n; i++) {
        uint32_t t = hr_py_object_type(py, v->v[i]);
        if (t >= kinds)
            continue;
        k[t].type = t;
        k[t].count++;
        k[t].bytes += block_bytes(py, v->v[i]);
    }
    for (size_t i = 0; i < kinds; i++)
        if (k[i].count)
            k[n++] = k[i];
    qsort(k, n, sizeof *k, by_kind_bytes);
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrl", 3);
    for (size_t i = 0; i < n && i < most; i++) {
        hr_tab_cell(t, hr_cli_count(c, k[i].count));
        hr_tab_cell(t, hr_cli_bytes(c, k[i].bytes));
        hr_tab_cell(t, hr_strs_get(py->img->strs, py->types.v[k[i].type].name));
    }
    hr_tab_print(t, 2);
    if (n > most)
        hr_outf(&c->out, "  [%s more types]\n", hr_cli_count(c, n - most));
}

static void objects_text(struct hr_cli *c, struct hr_py *py, const struct hr_u64vec *v)
{
    for (size_t i = 0; i < v->n; i++) {
        char value[300];
        hr_outf(&c->out, "  0x%llx ", (unsigned long long)v->v[i]);
        hr_out_esc(&c->out, hr_py_repr(py, v->v[i], c->show_contents, value, sizeof value));
        hr_outf(&c->out, "\n");
    }
}

static void shapes_text(struct hr_cli *c, struct hr_py *py, const struct hr_py_shapes *s, uint64_t rings)
{
    char at[600];
    static const char *const heads[] = {"rings", "objects", "retained", "example", "made of"};
    size_t most = c->all ? s->list.n : c->limit ? c->limit : 10;
    hr_outf(&c->out, "%s ring%s of objects that hold each other, %s shape%s:\n", hr_cli_count(c, rings), rings == 1 ? "" : "s",
            hr_cli_count(c, s->list.n), s->list.n == 1 ? "" : "s");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrrll", 5);
    for (size_t i = 0; i < s->list.n && i < most; i++) {
        const struct hr_py_shape *h = &s->list.v[i];
        hr_tab_cell(t, hr_cli_count(c, h->rings));
        hr_tab_cell(t, hr_cli_count(c, h->members));
        hr_tab_cell(t, hr_cli_bytes(c, h->retained));
        hr_tab_cellf(t, "0x%llx", (unsigned long long)h->example);
        if (site(py, h->example, at, sizeof at))
            hr_tab_cellf(t, "%s, allocated at %s", hr_strs_get(c->s->strs, h->text), at);
        else
            hr_tab_cell(t, hr_strs_get(c->s->strs, h->text));
    }
    hr_tab_print(t, 2);
    if (s->list.n > most)
        hr_outf(&c->out, "  [%s more shapes: --all]\n", hr_cli_count(c, s->list.n - most));
}

static void one_state_text(struct hr_cli *c, const struct hr_py_gc_state *g)
{
    struct hr_out *o = &c->out;
    hr_outf(o, "collector %s%s; thresholds %u/%u/%u, counts %u/%u/%u\n", g->enabled ? "enabled" : "disabled",
            g->collecting ? ", in the middle of a collection" : "", g->threshold[0], g->threshold[1], g->threshold[2], g->count[0],
            g->count[1], g->count[2]);
    hr_outf(o, "tracked: %s + %s + %s in generations 0, 1, 2; %s frozen\n", hr_cli_count(c, g->members[0]), hr_cli_count(c, g->members[1]),
            hr_cli_count(c, g->members[2]), hr_cli_count(c, g->frozen));
    if (g->collecting)
        hr_outf(o, "         %s by their own heads: the collector has the others in its hands\n", hr_cli_count(c, g->tracked));
}

static void state_text(struct hr_cli *c, const struct hr_py_gc *g)
{
    for (uint32_t i = 0; i < g->ncollectors; i++) {
        const struct hr_py_gc_state *s = &g->of[i];
        if (g->ncollectors > 1)
            hr_outf(&c->out, "interpreter %lld:\n", (long long)s->id);
        one_state_text(c, s);
        if (s->collecting)
            hr_outf(&c->out, "a collection was under way: now %s objects are unreachable, %s more uncollectable (not exact: some may be gone)\n",
                    hr_cli_count(c, s->garbage), hr_cli_count(c, s->uncollectable));
        else
            hr_outf(&c->out, "gc.collect() would return %s: %s objects to free, %s uncollectable%s\n", hr_cli_count(c, s->collect_returns),
                    hr_cli_count(c, s->garbage), hr_cli_count(c, s->uncollectable), g->exact ? "" : " (not exact)");
        if (s->broken && !s->collecting)
            hr_outf(&c->out, "the collector's lists are damaged\n");
    }
}

static enum hr_status gc_text(struct hr_cli *c, struct hr_py *py, const struct hr_py_gc *g, const struct hr_py_rings *r)
{
    struct hr_py_shapes s;
    enum hr_status st = hr_py_rings_shapes(py, r, c->s->strs, &s);
    state_text(c, g);
    if (c->all)
        objects_text(c, py, &g->garbage);
    else
        kinds_text(c, py, &g->garbage);
    if (g->uncollectable.n) {
        hr_outf(&c->out, "uncollectable:\n");
        if (c->all)
            objects_text(c, py, &g->uncollectable);
        else
            kinds_text(c, py, &g->uncollectable);
    }
    if (st == HR_OK && r->first.n > 1)
        shapes_text(c, py, &s, r->first.n - 1);
    if (g->garbage.n && !c->all) {
        char addr[32], next[4096];
        snprintf(addr, sizeof addr, "0x%llx", (unsigned long long)g->garbage.v[0]);
        hr_outf(&c->out, "each object: --all, or --json; what one looks like: ");
        hr_out_esc(&c->out, hr_session_command(c->s, "show", addr, next, sizeof next));
        hr_outf(&c->out, "\n");
    }
    hr_py_shapes_deinit(&s);
    hr_cli_text_notes(c);
    return st;
}

static int run_gc(struct hr_cli *c)
{
    int code = 0;
    struct hr_py_gc g;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    if (!py)
        return code;
    struct hr_py_rings r = {0};
    enum hr_status st = hr_py_gc_predict(py, &g);
    if (st == HR_OK)
        st = hr_py_rings_find(py, &g, &r);
    if (st == HR_OK)
        st = hr_py_tracemalloc(py);
    if (st == HR_OK && (c->json || c->ndjson))
        gc_json(c, py, &g, &r);
    else if (st == HR_OK)
        st = gc_text(c, py, &g, &r);
    hr_py_rings_deinit(&r);
    hr_py_gc_deinit(&g);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_py_gc = {
    .name = "py gc", .args = "", .summary = "Python's collector: generations, and what gc.collect() would free",
    .help = "The state of CPython's cyclic collector, and the objects that gc.collect() would free or find uncollectable, by redoing the "
            "collector's own arithmetic over the image: by type, and the rings in them by shape. --all lists every object and every shape.",
    .needs_image = true, .types = false, .run = run_gc,
};
