/* `diff`: what grew from one image of a program to the next, by type; `diff` statements of the rules judge it. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/rules_cli.h"
#include "analyzer/growth.h"
#include "analyzer/model.h"
#include "analyzer/sandbox.h"

enum side { GREW, SHRANK, APPEARED, GONE, SIDES };
static const char *const side_names[SIDES] = {"grew", "shrank", "appeared", "gone"};

struct line { uint32_t row; int64_t delta; uint8_t side; };
HR_VEC(linevec, struct line)

struct diff {
    struct hr_cli *c;
    struct hr_growth *g;
    struct linevec lines;      /* what changed, largest change first */
    struct hr_rules *rules;
    struct hr_session_model *model;
    struct hr_findings findings;
    enum hr_severity fail_on;
};

/* ---- what changed ---- */

static int by_change(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    uint64_t p = x->delta < 0 ? -(uint64_t)x->delta : (uint64_t)x->delta, q = y->delta < 0 ? -(uint64_t)y->delta : (uint64_t)y->delta;
    if (p != q)
        return p < q ? 1 : -1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static enum hr_status sort_out(struct diff *d)
{
    const struct hr_growth *g = d->g;
    for (size_t r = 0; r < g->rows.n; r++) {
        const struct hr_growth_cell *a = hr_growth_at(g, r, 0), *b = hr_growth_at(g, r, g->n - 1);
        struct line l = {.row = (uint32_t)r, .delta = (int64_t)(b->bytes - a->bytes)};
        if (!a->count && !b->count)
            continue; /* only in between */
        l.side = !a->count ? APPEARED : !b->count ? GONE : b->bytes > a->bytes || (b->bytes == a->bytes && b->count > a->count) ? GREW : SHRANK;
        if (a->count != b->count || a->bytes != b->bytes)
            HR_TRY(linevec_push(&d->lines, l));
    }
    if (d->lines.n > 1)
        qsort(d->lines.v, d->lines.n, sizeof *d->lines.v, by_change);
    return HR_OK;
}

/* ---- JSON ---- */

static void json_numbers(const struct diff *d, struct hr_json *j, const char *key, size_t row, size_t off)
{
    hr_json_arr(j, key);
    for (uint32_t i = 0; i < d->g->n; i++) {
        uint64_t v;
        const struct hr_growth_cell *c = row == SIZE_MAX ? &d->g->image[i].total : hr_growth_at(d->g, row, i);
        memcpy(&v, (const char *)c + off, sizeof v);
        hr_json_num(j, NULL, v);
    }
    hr_json_end(j);
}

static void json_cells(const struct diff *d, struct hr_json *j, size_t row)
{
    json_numbers(d, j, "count", row, offsetof(struct hr_growth_cell, count));
    json_numbers(d, j, "bytes", row, offsetof(struct hr_growth_cell, bytes));
    json_numbers(d, j, "leaked_count", row, offsetof(struct hr_growth_cell, leaked_count));
    json_numbers(d, j, "leaked_bytes", row, offsetof(struct hr_growth_cell, leaked_bytes));
}

static void json_images(const struct diff *d, struct hr_json *j)
{
    hr_json_arr(j, "images");
    for (uint32_t i = 0; i < d->g->n; i++) {
        const struct hr_growth_image *im = &d->g->image[i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "path", im->path);
        hr_json_str(j, "arch", im->arch);
        hr_json_bool(j, "complete", im->complete);
        hr_json_bool(j, "roots_complete", im->roots_complete);
        hr_json_num(j, "mapped_bytes", im->mapped);
        hr_json_num(j, "free_bytes", im->free_bytes);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void diff_json(struct diff *d, int code)
{
    struct hr_json j;
    hr_cli_json_begin(d->c, &j);
    json_images(d, &j);
    hr_json_obj(&j, "total");
    json_cells(d, &j, SIZE_MAX);
    hr_json_end(&j);
    for (unsigned s = 0; s < SIDES; s++) {
        hr_json_arr(&j, side_names[s]);
        for (size_t i = 0; i < d->lines.n; i++) {
            const struct line *l = &d->lines.v[i];
            if (l->side != s)
                continue;
            hr_json_obj(&j, NULL);
            hr_json_str(&j, "key", hr_strs_get(d->g->strs, d->g->rows.v[l->row].key));
            hr_json_bool(&j, "typed", d->g->rows.v[l->row].typed);
            json_cells(d, &j, l->row);
            hr_json_bool(&j, "monotonic", hr_growth_monotonic(d->g, l->row));
            hr_json_end(&j);
        }
        hr_json_end(&j);
    }
    hr_json_arr(&j, "findings");
    for (size_t i = 0; i < d->findings.list.n; i++)
        hr_json_finding(&j, &d->findings.list.v[i]);
    hr_json_end(&j);
    hr_json_int(&j, "exit", code);
    hr_json_end(&j);
}

/* ---- text ---- */

static const char *bytes_change(struct hr_cli *c, uint64_t from, uint64_t to, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s%s", to < from ? "-" : to > from ? "+" : "", hr_cli_bytes(c, to < from ? from - to : to - from));
    return buf;
}

static const char *count_change(struct hr_cli *c, uint64_t from, uint64_t to, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s%s", to < from ? "-" : to > from ? "+" : "", hr_cli_count(c, to < from ? from - to : to - from));
    return buf;
}

static void text_images(struct diff *d)
{
    struct hr_cli *c = d->c;
    static const char *const heads[] = {"in use", "blocks", "leaked", "free", "image"};
    bool narrow = c->out.width && c->out.width < 60;
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrrrl", 5);
    for (uint32_t i = 0; i < d->g->n; i++) {
        const struct hr_growth_image *im = &d->g->image[i];
        hr_tab_cell(t, hr_cli_bytes(c, im->total.bytes));
        hr_tab_cell(t, hr_cli_count(c, im->total.count));
        hr_tab_cell(t, im->roots_complete ? hr_cli_bytes(c, im->total.leaked_bytes) : "?");
        hr_tab_cell(t, hr_cli_bytes(c, im->free_bytes));
        hr_tab_cellf(t, "%s%s", narrow ? hr_base_name(im->path) : im->path, im->complete ? "" : " (cut)");
    }
    hr_tab_print(t, 2);
}

static void text_lines(struct diff *d)
{
    enum { SHOWN = 25 };
    struct hr_cli *c = d->c;
    static const char *const heads[] = {"bytes", "blocks", "now", "leaked", "type"};
    size_t most = c->all ? SIZE_MAX : c->limit ? c->limit : SHOWN;
    char a[48], b[48], l[48];
    if (!d->lines.n) {
        hr_outf(&c->out, "\nNo type has more or fewer blocks than before.\n");
        return;
    }
    hr_outf(&c->out, "\nChanges from the first to the last\n");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrrrl", 5);
    for (size_t i = 0; i < d->lines.n && i < most; i++) {
        const struct line *x = &d->lines.v[i];
        const struct hr_growth_cell *from = hr_growth_at(d->g, x->row, 0), *to = hr_growth_at(d->g, x->row, d->g->n - 1);
        hr_tab_cell(t, bytes_change(c, from->bytes, to->bytes, a, sizeof a));
        hr_tab_cell(t, count_change(c, from->count, to->count, b, sizeof b));
        hr_tab_cell(t, hr_cli_bytes(c, to->bytes));
        hr_tab_cell(t, from->leaked_bytes || to->leaked_bytes ? bytes_change(c, from->leaked_bytes, to->leaked_bytes, l, sizeof l) : "");
        hr_tab_cellf(t, "%s%s%s", hr_strs_get(d->g->strs, d->g->rows.v[x->row].key), x->side == APPEARED ? " (new)" : x->side == GONE ? " (gone)" : "",
                     d->g->n > 2 && hr_growth_monotonic(d->g, x->row) ? " (every time)" : "");
    }
    hr_tab_print(t, 2);
    if (d->lines.n > most)
        hr_outf(&c->out, "  [%s other types: --all]\n", hr_cli_count(c, d->lines.n - most));
}

static void text_findings(struct diff *d)
{
    struct hr_out *o = &d->c->out;
    for (size_t i = 0; i < d->findings.list.n; i++) {
        const struct hr_finding *f = &d->findings.list.v[i];
        char head[64];
        snprintf(head, sizeof head, "%s: ", hr_severity_name(f->severity));
        hr_outf(o, "%s", i ? "" : "\n");
        hr_out_hang(o, f->severity == HR_SEV_ERROR ? HR_RED : f->severity == HR_SEV_WARNING ? HR_YELLOW : HR_DIM, head, f->title);
    }
}

/* ---- the verb ---- */

static int choose_level(struct diff *d)
{
    const char *l = d->c->fail_on ? d->c->fail_on : "error";
    for (int s = HR_SEV_NOTE; s <= HR_SEV_ERROR; s++)
        if (!strcmp(l, hr_severity_name((enum hr_severity)s))) {
            d->fail_on = (enum hr_severity)s;
            return -1;
        }
    return hr_cli_error(HR_EXIT_USAGE, "--fail-on takes note, warning or error, not '%s'", l);
}

static int read_rules(struct diff *d)
{
    int code = hr_cli_rules(d->c, &d->rules);
    if (code >= 0)
        return code;
    hr_rules_diffs(d->rules, true);
    if (!hr_rules_only(d->rules, d->c->only) && d->c->only)
        return hr_cli_error(HR_EXIT_USAGE, "no `diff` of the rules matches '%s'", d->c->only);
    return -1;
}

/* All images but the first in processes of their own, before this one has given up its rights. */
static int read_images(struct diff *d)
{
    struct hr_cli *c = d->c;
    for (uint32_t i = 1; i < d->g->n; i++) {
        struct heapray_options o = c->opt;
        o.image = c->args.v[i];
        o.regs = i < c->regs.n ? c->regs.v[i] : NULL;
        enum hr_status st = hr_growth_child(d->g, i, &o);
        if (st != HR_OK)
            return hr_cli_error(hr_cli_exit_of(st), "%s: %s", o.image, hr_status_name(st));
        if (!d->g->image[i].ok)
            return hr_cli_error(hr_cli_exit_of(d->g->image[i].status), "%s: %s", o.image, d->g->image[i].error);
    }
    c->opt.image = c->args.v[0];
    enum hr_status st = hr_session_open(&c->opt, true, &c->s);
    if (st == HR_OK)
        st = hr_growth_add(d->g, 0, c->s);
    return hr_cli_ok(c, st) ? -1 : hr_cli_exit_of(st);
}

static enum hr_status judge(struct diff *d)
{
    hr_model_init(d->model, d->c->s);
    hr_model_compare(d->model, d->g);
    HR_TRY(hr_rules_check(d->rules, &d->model->model));
    return hr_rules_run(d->rules, &d->model->model, &d->findings);
}

static int exit_code(struct diff *d)
{
    for (size_t i = 0; i < d->findings.list.n; i++)
        if (d->findings.list.v[i].severity >= d->fail_on && hr_finding_counts(&d->findings.list.v[i]))
            return HR_EXIT_FINDINGS;
    for (uint32_t i = 0; i < d->g->n; i++)
        if (!d->g->image[i].complete || !d->g->image[i].has_heap || !d->g->image[i].roots_complete)
            return HR_EXIT_DEGRADED;
    return hr_cli_exit(d->c);
}

static int diff(struct diff *d)
{
    struct hr_cli *c = d->c;
    int code = choose_level(d);
    if (code < 0)
        code = read_rules(d);
    if (code < 0)
        code = read_images(d);
    if (code >= 0)
        return code;
    enum hr_status st = sort_out(d);
    if (st == HR_OK)
        st = judge(d);
    if (st == HR_USAGE && hr_cli_rule_errors(d->rules))
        return HR_EXIT_USAGE;
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    code = exit_code(d);
    if (c->json || c->ndjson) {
        diff_json(d, code);
        return code;
    }
    text_images(d);
    text_lines(d);
    text_findings(d);
    hr_cli_text_notes(c);
    return code;
}

static int run(struct hr_cli *c)
{
    struct diff d = {.c = c, .lines.max = HR_MAX_TYPES, .model = hr_zalloc(1, sizeof *d.model)};
    if (!d.model)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    if (c->args.n > HR_GROWTH_MAX || c->regs.n > c->args.n) {
        hr_free(d.model);
        return c->regs.n > c->args.n ? hr_cli_error(HR_EXIT_USAGE, "more --regs than images: one for each, in their order")
                                     : hr_cli_error(HR_EXIT_USAGE, "at most %d images", HR_GROWTH_MAX);
    }
    c->opt.sandbox = !c->no_sandbox;
    if (c->opt.sandbox)
        hr_sandbox_start();
    hr_findings_init(&d.findings);
    int code = hr_growth_create((uint32_t)c->args.n, &d.g) == HR_OK ? diff(&d) : hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    hr_findings_deinit(&d.findings);
    hr_rules_destroy(d.rules);
    linevec_deinit(&d.lines);
    hr_growth_destroy(d.g);
    hr_free(d.model);
    return code;
}

const struct hr_verb hr_verb_diff = {
    .name = "diff", .args = "IMAGE IMAGE...", .summary = "what grew from one image to the next, by type",
    .help = "Compares what two or more images of one program hold, by type (by size where there is none): what grew, shrank, appeared "
            "and is gone, and how much of it leaked. The `diff` statements of the rules judge it: exit status 1 when one finds "
            "something at or above --fail-on. --elf, --with and the like hold for all images; --regs is given once for each, in their order.",
    .min_args = 2, .max_args = HR_GROWTH_MAX, .types = true, .run = run,
};
