/* `py refs`: reference counts against the references that are found. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/py_cli.h"
#include "analyzer/runtimes/cpython/audit.h"

enum { SHOWN_TYPES = 20, SHOWN_OBJECTS = 3 };

static const char *type_name(const struct hr_py *py, const struct hr_py_count *x) { return hr_strs_get(py->img->strs, hr_py_type(py, x->type)->name); }

/* ---- JSON ---- */
static void json_holders(struct hr_json *j, struct hr_py *py, const struct hr_py_count *x)
{
    hr_json_obj(j, "found_by");
    for (unsigned k = 0; k < HR_PF_COUNT; k++)
        hr_json_num(j, hr_py_finder_name(k), x->by[k]);
    hr_json_end(j);
    hr_json_arr(j, "holders");
    for (uint32_t i = 0; i < x->nholders; i++) {
        uint32_t t = x->holder[i].finder == HR_PF_OBJECT || x->holder[i].finder == HR_PF_FIELD ? hr_py_object_type(py, x->holder[i].addr) : HR_NONE;
        hr_json_obj(j, NULL);
        hr_json_addr(j, "addr", x->holder[i].addr);
        hr_json_str(j, "type", t == HR_NONE ? NULL : hr_strs_get(py->img->strs, hr_py_type(py, t)->name));
        hr_json_str(j, "kind", hr_py_finder_name(x->holder[i].finder));
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_list(struct hr_cli *c, struct hr_json *j, struct hr_py *py, const char *key, const struct hr_pycountvec *v)
{
    char value[HR_PY_REPR];
    hr_json_arr(j, key);
    for (size_t i = 0; i < v->n && !c->out.failed; i++) {
        const struct hr_py_count *x = &v->v[i];
        if (c->type && !strstr(type_name(py, x), c->type))
            continue;
        hr_json_obj(j, NULL);
        hr_json_addr(j, "addr", x->addr);
        hr_json_str(j, "type", type_name(py, x));
        hr_json_int(j, "refcount", x->refcount);
        hr_json_num(j, "found", x->found);
        hr_json_int(j, key, x->difference < 0 ? -x->difference : x->difference);
        if (x->difference > 0)
            hr_json_int(j, "surplus_at_least", x->least);
        json_holders(j, py, x);
        hr_json_str(j, "value", hr_py_repr(py, x->addr, c->show_contents, value, sizeof value));
        hr_json_str(j, "culprit_guess", x->culprit ? hr_strs_get(py->img->strs, x->culprit) : NULL);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void print_json(struct hr_cli *c, struct hr_py *py, const struct hr_py_audit *a)
{
    struct hr_json j;
    hr_cli_json_begin(c, &j);
    json_list(c, &j, py, "surplus", &a->surplus);
    json_list(c, &j, py, "deficit", &a->deficit);
    hr_json_num(&j, "audited", a->audited);
    hr_json_num(&j, "explained_by_possible", a->explained_by_possible);
    hr_json_obj(&j, "skipped");
    for (unsigned k = 0; k < HR_PS_COUNT; k++)
        if (a->skipped[k])
            hr_json_num(&j, hr_py_skip_name(k), a->skipped[k]);
    hr_json_end(&j);
    hr_json_end(&j);
}

/* ---- text ---- */
struct row { const struct hr_py_count *x; const char *type; uint64_t weight; };

static int by_type(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int d = strcmp(x->type, y->type);
    if (d)
        return d;
    int64_t p = llabs(x->x->difference), q = llabs(y->x->difference);
    return p != q ? (p < q ? 1 : -1) : x->x->addr < y->x->addr ? -1 : x->x->addr > y->x->addr;
}

static int by_weight(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight ? 1 : -1) : by_type(a, b);
}

static void one_text(struct hr_cli *c, struct hr_py *py, const struct hr_py_count *x)
{
    char value[300];
    hr_outf(&c->out, "    0x%llx count %lld, found %llu", (unsigned long long)x->addr, (long long)x->refcount, (unsigned long long)x->found);
    for (unsigned k = 0, n = 0; k < HR_PF_COUNT; k++)
        if (x->by[k])
            hr_outf(&c->out, "%s%llu %s", n++ ? ", " : " (", (unsigned long long)x->by[k], hr_py_finder_name(k));
    hr_outf(&c->out, x->found || x->nholders ? ") " : " ");
    hr_out_esc(&c->out, hr_py_repr(py, x->addr, c->show_contents, value, 80));
    hr_outf(&c->out, "\n");
}

/* Rows lie in by_weight's order: a type's lie together. */
static size_t one_type(struct hr_cli *c, struct hr_py *py, const struct row *r, size_t n, const char *word)
{
    size_t same = 0, most = c->all ? n : c->limit ? c->limit : SHOWN_OBJECTS;
    while (same < n && !strcmp(r[same].type, r[0].type))
        same++;
    hr_outf(&c->out, "  %s reference%s %s: %s object%s of type ", hr_cli_count(c, r[0].weight), r[0].weight == 1 ? "" : "s", word, hr_cli_count(c, same),
            same == 1 ? "" : "s");
    hr_out_esc(&c->out, r[0].type);
    if (r[0].x->culprit) {
        hr_outf(&c->out, "; a guess: ");
        hr_out_esc(&c->out, hr_strs_get(py->img->strs, r[0].x->culprit));
    }
    hr_outf(&c->out, "\n");
    for (size_t i = 0; i < same && i < most; i++)
        one_text(c, py, r[i].x);
    if (same > most)
        hr_outf(&c->out, "    [%s more: --all]\n", hr_cli_count(c, same - most));
    return same;
}

static enum hr_status text_list(struct hr_cli *c, struct hr_py *py, const struct hr_pycountvec *v, const char *word)
{
    struct row *r = hr_alloc((v->n + 1) * sizeof *r);
    size_t n = 0, types = 0;
    if (!r)
        return HR_NOMEM;
    for (size_t i = 0; i < v->n; i++)
        if (!c->type || strstr(type_name(py, &v->v[i]), c->type))
            r[n++] = (struct row){&v->v[i], type_name(py, &v->v[i]), 0};
    if (n)
        qsort(r, n, sizeof *r, by_type);
    for (size_t i = 0, end; i < n; i = end) {
        uint64_t sum = 0;
        for (end = i; end < n && !strcmp(r[end].type, r[i].type); end++)
            sum += (uint64_t)llabs(r[end].x->difference);
        for (size_t k = i; k < end; k++)
            r[k].weight = sum;
    }
    if (n)
        qsort(r, n, sizeof *r, by_weight);
    for (size_t i = 0; i < n && !c->out.failed; types++) {
        if (types == SHOWN_TYPES && !c->all) {
            hr_outf(&c->out, "  [%s objects of other types: --all]\n", hr_cli_count(c, n - i));
            break;
        }
        i += one_type(c, py, r + i, n - i, word);
    }
    hr_free(r);
    return HR_OK;
}

static enum hr_status print_text(struct hr_cli *c, struct hr_py *py, const struct hr_py_audit *a)
{
    static const char *const why[] = {"immortal", "static", "no whole objects", "leaked once by a C module's own start",
                                      "looked leaked, but memory or stacks are missing from the image", "in too many words to tell"};
    struct hr_out *o = &c->out;
    hr_outf(o, "audited %s objects: %s with references nobody holds, %s with fewer than hold them\n", hr_cli_count(c, a->audited),
            hr_cli_count(c, a->surplus.n), hr_cli_count(c, a->deficit.n));
    HR_TRY(text_list(c, py, &a->surplus, "too many"));
    HR_TRY(text_list(c, py, &a->deficit, "missing"));
    if (a->explained_by_possible)
        hr_outf(o, "%s counts are right if fields, data and stacks of C hold what looks like references\n", hr_cli_count(c, a->explained_by_possible));
    for (unsigned k = 0; k < HR_PS_COUNT; k++)
        if (a->skipped[k])
            hr_outf(o, "not audited: %s %s\n", hr_cli_count(c, a->skipped[k]), why[k]);
    if (a->surplus.n + a->deficit.n) {
        char next[4096];
        hr_out_esc(o, hr_session_command(c->s, "path", "ADDR", next, sizeof next));
        hr_outf(o, " says who holds one, heapray show what it is\n");
    }
    hr_cli_text_notes(c);
    return HR_OK;
}

static int run_refs(struct hr_cli *c)
{
    int code = 0;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    const struct hr_py_audit *a;
    if (!py)
        return code;
    enum hr_status st = hr_py_audit(py, &a);
    if (st == HR_OK && (c->json || c->ndjson))
        print_json(c, py, a);
    else if (st == HR_OK)
        st = print_text(c, py, a);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_py_refs = {
    .name = "py refs", .args = "", .summary = "Python's reference counts against the references found: leaks of C code",
    .help = "Compares every object's stored reference count with the references that are found to it: in other objects, frames and value stacks, the "
            "interpreter's own state, static data and memory of C code, C stacks and registers. A surplus is a reference that C code has leaked; a deficit "
            "is a crash to come. --type TEXT chooses types, --all lists every object.",
    .needs_image = true, .types = false, .run = run_refs,
};
