/* `dups`: equal strings, bytes and tuples of a Python image, and what one of each would save. `strings`: the largest strings. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/py_cli.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"

enum { SHOWN = 25 };

static void row(struct hr_cli *c, struct hr_py *py, struct hr_json *j, const struct hr_py_same *d)
{
    char value[400];
    const char *name = hr_strs_get(c->s->strs, hr_py_type(py, d->type)->name);
    uint64_t n = hr_py_len(py, d->addr, hr_py_type(py, d->type));
    hr_py_repr(py, d->addr, c->show_contents, value, j ? sizeof value : 100);
    if (!j) {
        hr_outf(&c->out, "%10s %10s %10s  ", hr_cli_count(c, d->count), hr_cli_bytes(c, d->bytes), hr_cli_bytes(c, d->waste));
        hr_out_esc(&c->out, name);
        hr_outf(&c->out, " ");
        hr_out_esc(&c->out, value);
        hr_outf(&c->out, " at 0x%llx", (unsigned long long)d->addr);
        if (hr_py_allocated_at(py, d->traced, value, sizeof value)) {
            hr_outf(&c->out, ", allocated at ");
            hr_out_esc(&c->out, value);
        }
        hr_outf(&c->out, "\n");
        return;
    }
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", d->addr);
    hr_json_str(j, "type", name);
    hr_json_num(j, "len", n);
    hr_json_num(j, "count", d->count);
    hr_json_num(j, "bytes", d->bytes);
    hr_json_num(j, "wasted", d->waste);
    hr_json_str(j, "value", value);
    hr_json_str(j, "allocated_at", hr_py_allocated_at(py, d->traced, value, sizeof value));
    hr_json_end(j);
}

static void table(struct hr_cli *c, struct hr_py *py, const struct hr_pysamevec *v, const char *key)
{
    struct hr_json j;
    bool machine = c->json || c->ndjson;
    size_t most = c->all ? v->n : hr_min(v->n, c->limit ? c->limit : machine ? v->n : SHOWN);
    uint64_t waste = 0;
    for (size_t i = 0; i < v->n; i++)
        waste += v->v[i].waste;
    if (machine) {
        hr_cli_json_begin(c, &j);
        hr_json_num(&j, "count", v->n);
        hr_json_num(&j, "wasted", waste);
        if (c->ndjson)
            hr_json_end(&j);
        else
            hr_json_arr(&j, key);
    } else {
        hr_outf(&c->out, "%s %s; copies beyond the first take %s\n%10s %10s %10s\n", hr_cli_count(c, v->n), key, hr_cli_bytes(c, waste), "count", "each", "wasted");
    }
    for (size_t i = 0; i < most && !c->out.failed; i++)
        row(c, py, machine ? &j : NULL, &v->v[i]);
    if (machine && !c->ndjson) {
        hr_json_end(&j);
        hr_json_end(&j);
    }
    if (!machine && most < v->n)
        hr_outf(&c->out, "[%s more: --all]\n", hr_cli_count(c, v->n - most));
    if (!machine)
        hr_cli_text_notes(c);
}

static int run_dups(struct hr_cli *c)
{
    int code;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    if (!py)
        return code;
    enum hr_status st = hr_py_waste(py);
    if (st == HR_OK)
        table(c, py, &py->same, "groups");
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_dups = {
    .name = "dups", .args = "", .summary = "equal strings, bytes and tuples of a Python image, and what they waste",
    .help = "Groups of equal str, bytes and tuple objects, the most wasteful first: how many there are, and the bytes that all but one take. "
            "Tuples are equal when they hold the same objects or equal numbers and texts. Text is shown only with --show-contents.",
    .needs_image = true, .types = false, .run = run_dups,
};

static int by_bytes(const void *a, const void *b)
{
    const struct hr_py_same *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int run_strings(struct hr_cli *c)
{
    int code;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    struct hr_pysamevec v = {.max = 1u << 30};
    enum hr_status st = HR_OK;
    if (!py)
        return code;
    for (hr_id id = 0; id < py->heap->n && st == HR_OK; id++) {
        uint32_t t = py->object[id];
        uint8_t kind = t == HR_NONE ? HR_PK_NONE : hr_py_type(py, t)->kind;
        if (kind == HR_PK_STR || kind == HR_PK_BYTES)
            st = hr_pysamevec_push(&v, (struct hr_py_same){.addr = hr_py_addr(py, id), .type = t, .kind = kind, .count = 1,
                                                            .bytes = hr_py_sizeof(py, hr_py_addr(py, id), hr_py_type(py, t)), .traced = HR_NONE});
    }
    if (v.n)
        qsort(v.v, v.n, sizeof *v.v, by_bytes);
    if (st == HR_OK)
        table(c, py, &v, "strings");
    hr_pysamevec_deinit(&v);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_strings = {
    .name = "strings", .args = "", .summary = "the strings and bytes objects of a Python image, the largest first",
    .help = "Every str and bytes object with its length and size, the largest first. Text is shown only with --show-contents.",
    .needs_image = true, .types = false, .run = run_strings,
};
