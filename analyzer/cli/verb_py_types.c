/* `py types`: the types of a Python image, and how the references of their objects are known. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/py_cli.h"
#include "analyzer/runtimes/cpython/plan.h"

enum { SHOWN_TYPES = 40 };

struct row { uint32_t type; uint64_t objects, bytes; };

static const char *name_of(const struct hr_py *py, uint32_t type) { return hr_strs_get(py->img->strs, hr_py_type(py, type)->name); }

/* traverse: its own code is run; layout: built in, read as this version lays it out; class: made by Python; words: unknown, every word that
 * is an object's address is taken for a reference. */
static const char *known_by(const struct hr_py *py, const struct hr_py_type *t)
{
    if (t->plan != HR_NONE)
        return "traverse";
    if (t->kind != HR_PK_OBJECT)
        return "layout";
    return t->flags & HR_PYF_HEAPTYPE && hr_py_word(py->c, t->addr, HR_PY_TP_TRAVERSE) && hr_py_visits_type(py, t->addr) ? "class" : "words";
}

static const char *surety_of(const struct hr_py *py, const struct hr_py_type *t, bool all)
{
    struct hr_py_plan_info p;
    if (!hr_py_plan_info(py, t, &p))
        return strcmp(known_by(py, t), "words") ? "exact" : "conservative";
    return p.runs ? (p.whole == p.runs ? "exact" : p.whole ? "partly" : "conservative") : all ? "exact" : "partly";
}

static int by_bytes(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->type < y->type ? -1 : x->type > y->type;
}

/* The types whose names have --type in them, the largest sum of blocks first. */
static struct row *collect(const struct hr_cli *c, const struct hr_py *py, size_t *n_ret)
{
    size_t types = py->types.n, n = 0;
    struct row *r = hr_zalloc(types + 1, sizeof *r);
    if (!r)
        return NULL;
    for (uint32_t i = 0; i < types; i++)
        r[i].type = i;
    for (hr_id id = 0; id < py->heap->n; id++)
        if (py->object[id] != HR_NONE && py->object[id] < types) {
            r[py->object[id]].objects++;
            r[py->object[id]].bytes += hr_block_size(py->heap, id);
        }
    for (size_t i = 0; i < types; i++)
        if (!c->type || strstr(name_of(py, r[i].type), c->type))
            r[n++] = r[i];
    if (n)
        qsort(r, n, sizeof *r, by_bytes);
    *n_ret = n;
    return r;
}

static void json_place(void *ctx, const char *place) { hr_json_str(ctx, NULL, place); }

static void json_type(struct hr_cli *c, struct hr_json *j, struct hr_py *py, const struct row *r)
{
    const struct hr_py_type t = *hr_py_type(py, r->type);
    struct hr_py_plan_info p = {0};
    uint64_t off = 0;
    bool planned = hr_py_plan_info(py, &t, &p), all = false;
    const struct hr_sym *s = planned ? hr_sym_at(c->s->types, p.function, &off) : NULL;
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", t.addr);
    hr_json_str(j, "type", name_of(py, r->type));
    hr_json_num(j, "basicsize", t.basicsize);
    hr_json_num(j, "objects", r->objects);
    hr_json_num(j, "bytes", r->bytes);
    hr_json_str(j, "references", known_by(py, &t));
    if (planned) {
        hr_json_addr(j, "traverse", p.function);
        hr_json_str(j, "function", s && !off ? s->name : NULL);
        hr_json_num(j, "runs", p.runs);
        hr_json_num(j, "whole", p.whole);
        hr_json_str(j, "stopped", *p.why ? p.why : NULL);
        hr_json_arr(j, "visits");
        all = hr_py_plan_places(py, &t, json_place, j);
        hr_json_end(j);
        hr_json_bool(j, "visits_all", all);
    }
    hr_json_str(j, "surety", surety_of(py, &t, all));
    hr_json_end(j);
}

struct line { struct hr_out *o; unsigned n; };

static void text_place(void *ctx, const char *place)
{
    struct line *l = ctx;
    enum { MOST = 24 };
    if (l->n++ < MOST)
        hr_outf(l->o, "%s%s", l->n == 1 ? "    shows the collector " : ", ", place);
    else if (l->n == MOST + 1)
        hr_outf(l->o, ", ...");
}

static void text_type(struct hr_cli *c, struct hr_py *py, const struct row *r)
{
    const struct hr_py_type t = *hr_py_type(py, r->type);
    struct hr_py_plan_info p;
    struct line l = {&c->out, 0};
    hr_out_esc(&c->out, name_of(py, r->type));
    hr_outf(&c->out, ": %s objects, by %s, %s\n", hr_cli_count(c, r->objects), known_by(py, &t), surety_of(py, &t, true));
    if (!hr_py_plan_info(py, &t, &p))
        return;
    bool all = hr_py_plan_places(py, &t, text_place, &l);
    if (l.n)
        hr_outf(&c->out, "%s\n", all ? "" : " (and more)");
    if (p.runs > p.whole)
        hr_outf(&c->out, "    of %s objects %s not to the end: %s\n", hr_cli_count(c, p.runs), hr_cli_count(c, p.runs - p.whole), p.why);
}

static void print_text(struct hr_cli *c, struct hr_py *py, const struct row *r, size_t n)
{
    size_t most = c->all ? n : c->limit ? c->limit : SHOWN_TYPES;
    for (size_t i = 0; i < n && i < most && !c->out.failed; i++)
        text_type(c, py, &r[i]);
    if (n > most)
        hr_outf(&c->out, "[%s more types: --all, or --type TEXT]\n", hr_cli_count(c, n - most));
    hr_cli_text_notes(c);
}

static int run_types(struct hr_cli *c)
{
    int code = 0;
    size_t n = 0;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    if (!py)
        return code;
    struct row *r = collect(c, py, &n);
    if (!r)
        return hr_cli_ok(c, HR_NOMEM) ? 0 : hr_cli_exit_of(HR_NOMEM);
    if (c->json || c->ndjson) {
        struct hr_json j;
        hr_cli_json_begin(c, &j);
        hr_json_arr(&j, "types");
        for (size_t i = 0; i < n && !c->out.failed; i++)
            json_type(c, &j, py, &r[i]);
        hr_json_end(&j);
        hr_json_end(&j);
    } else {
        print_text(c, py, r, n);
    }
    hr_free(r);
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_py_types = {
    .name = "py types", .args = "", .summary = "Python's types, and how their references are known",
    .help = "Lists the types with how many objects they have and how the references of those are known: by traverse (the type's own tp_traverse, run on the "
            "image; with the places it visits), by layout (built-in types), by class (made by Python), or by words that look like references. --type TEXT chooses "
            "types, --all lists all.",
    .needs_image = true, .types = false, .run = run_types,
};
