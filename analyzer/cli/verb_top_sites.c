/* `top --by line`, file, traceback: where the live bytes of a Python were allocated, as tracemalloc wrote it down. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"

enum { SHOWN = 20, SHOWN_TYPES = 3, SHOWN_FRAMES = 8, MAX_ROWS = 1 << 28 };
enum by { BY_LINE, BY_FILE, BY_TRACEBACK };

/* id: of the line, the file's first line, or the traceback. What lives there: kinds [kind0, kind0 + nkinds), the largest first. */
struct row { uint32_t id, kind0, nkinds; uint64_t count, bytes; };
HR_VEC(rowvec, struct row)
struct kind { uint32_t row; hr_type type; uint64_t count, bytes; };
HR_VEC(kindvec, struct kind)

struct sites {
    struct hr_cli *c;
    struct hr_py *py;
    const struct hr_py_tracing *t;
    enum by by;
    uint32_t *row_of;      /* line, or by traceback site, -> row */
    struct rowvec rows;
    struct kindvec kinds;
};

static uint32_t row_of(const struct sites *s, const struct hr_py_trace *t)
{
    return s->row_of[s->by == BY_TRACEBACK ? t->site : s->t->sites.v[t->site].line];
}

/* What makes one row: the line, the file, or the same frames (tracemalloc keeps tracebacks of other lengths before the cut apart). */
static uint64_t row_key(const struct sites *s, uint32_t i)
{
    if (s->by != BY_TRACEBACK)
        return s->by == BY_LINE ? i : s->t->lines.v[i].at.file;
    const struct hr_py_site *site = &s->t->sites.v[i];
    return hr_hash_bytes(&s->t->frames.v[site->frame0], site->nframe * sizeof *s->t->frames.v, site->nframe);
}

static enum hr_status make_rows(struct sites *s)
{
    bool stacks = s->by == BY_TRACEBACK;
    size_t n = stacks ? s->t->sites.n : s->t->lines.n;
    enum hr_status st = HR_OK;
    struct hr_map index;
    s->rows.max = MAX_ROWS;
    s->row_of = hr_zalloc(n + 1, sizeof *s->row_of);
    if (!s->row_of)
        return HR_NOMEM;
    hr_map_init(&index, MAX_ROWS);
    for (uint32_t i = 0; i < n && st == HR_OK; i++) {
        uint32_t *slot;
        bool was;
        st = hr_map_slot(&index, row_key(s, i), (uint32_t)s->rows.n, &slot, &was);
        if (st != HR_OK)
            break;
        uint32_t at = s->row_of[i] = *slot;
        if (!was)
            st = rowvec_push(&s->rows, (struct row){.id = i});
        if (st != HR_OK)
            break;
        s->rows.v[at].count += stacks ? s->t->sites.v[i].count : s->t->lines.v[i].count;
        s->rows.v[at].bytes += stacks ? s->t->sites.v[i].bytes : s->t->lines.v[i].bytes;
    }
    hr_map_deinit(&index);
    return st;
}

static int by_row(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->type < y->type ? -1 : x->type > y->type;
}

/* The types of the blocks of each row. */
static enum hr_status make_kinds(struct sites *s)
{
    const struct hr_heap *h = s->py->heap;
    struct hr_map index;
    enum hr_status st = HR_OK;
    s->kinds.max = MAX_ROWS;
    hr_map_init(&index, MAX_ROWS);
    for (hr_id id = 0; id < h->n && st == HR_OK; id++) {
        const struct hr_py_trace *t = hr_py_trace_at(s->py, id);
        if (!t || h->state[id] != HR_USED)
            continue;
        hr_type type = h->type ? h->type[id] : 0;
        uint32_t row = row_of(s, t), *slot;
        bool was;
        st = hr_map_slot(&index, (uint64_t)row << 32 | type, (uint32_t)s->kinds.n, &slot, &was);
        uint32_t k = st == HR_OK ? *slot : 0;
        if (st == HR_OK && !was)
            st = kindvec_push(&s->kinds, (struct kind){.row = row, .type = type});
        if (st != HR_OK)
            break;
        s->kinds.v[k].count++;
        s->kinds.v[k].bytes += t->size;
    }
    hr_map_deinit(&index);
    if (s->kinds.n)
        qsort(s->kinds.v, s->kinds.n, sizeof *s->kinds.v, by_row);
    for (uint32_t i = 0; i < s->kinds.n; i++) {
        struct row *r = &s->rows.v[s->kinds.v[i].row];
        if (!r->nkinds++)
            r->kind0 = i;
    }
    return st;
}

static int by_bytes(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->count != y->count ? (x->count < y->count ? 1 : -1) : x->id < y->id ? -1 : x->id > y->id;
}

static const struct hr_py_traceframe *first_frame(const struct sites *s, const struct row *r)
{
    return s->by == BY_TRACEBACK ? &s->t->frames.v[s->t->sites.v[r->id].frame0] : &s->t->lines.v[r->id].at;
}

static void json_frames(struct hr_json *j, const struct hr_py *py, const struct hr_py_site *site)
{
    hr_json_arr(j, "frames"); /* the most recent call first */
    for (uint32_t i = 0; i < site->nframe; i++) {
        const struct hr_py_traceframe *f = &py->tracing->frames.v[site->frame0 + i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "file", hr_strs_get(py->img->strs, f->file));
        hr_json_num(j, "line", f->line);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_num(j, "total_frames", site->total);
}

static void json_row(const struct sites *s, struct hr_json *j, const struct row *r)
{
    const struct hr_py_traceframe *f = first_frame(s, r);
    char name[1024];
    hr_json_obj(j, NULL);
    if (s->by == BY_TRACEBACK) {
        json_frames(j, s->py, &s->t->sites.v[r->id]);
    } else {
        hr_json_str(j, "file", hr_strs_get(s->py->img->strs, f->file));
        if (s->by == BY_LINE)
            hr_json_num(j, "line", f->line);
    }
    hr_json_num(j, "count", r->count);
    hr_json_num(j, "bytes", r->bytes);
    hr_json_arr(j, "types");
    for (uint32_t i = 0; i < r->nkinds; i++) {
        const struct kind *k = &s->kinds.v[r->kind0 + i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "type", k->type ? hr_type_name(s->c->s->types, k->type, name, sizeof name) : NULL);
        hr_json_num(j, "count", k->count);
        hr_json_num(j, "bytes", k->bytes);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_end(j);
}

/* tracemalloc's domains: 0 is Python's own memory, others those of PyTraceMalloc_Track() (NumPy's data: 389047). */
static void json_domains(struct hr_json *j, const struct hr_py_tracing *t)
{
    enum { MOST = 64 };
    struct { uint32_t domain; uint64_t count, bytes; } d[MOST];
    size_t n = 0;
    for (size_t i = 0; i < t->traces.n; i++) {
        size_t k = 0;
        while (k < n && d[k].domain != t->traces.v[i].domain)
            k++;
        if (k == MOST)
            continue;
        if (k == n) {
            d[n].domain = t->traces.v[i].domain;
            d[n].count = d[n].bytes = 0;
            n++;
        }
        d[k].count++;
        d[k].bytes += t->traces.v[i].size;
    }
    hr_json_arr(j, "domains");
    for (size_t k = 0; k < n; k++) {
        hr_json_obj(j, NULL);
        hr_json_num(j, "domain", d[k].domain);
        hr_json_num(j, "count", d[k].count);
        hr_json_num(j, "bytes", d[k].bytes);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json(const struct sites *s, size_t shown)
{
    static const char *const words[] = {"line", "file", "traceback"}, *const keys[] = {"lines", "files", "tracebacks"};
    struct hr_json j;
    struct row others = {0};
    hr_cli_json_begin(s->c, &j);
    hr_json_str(&j, "by", words[s->by]);
    hr_json_bool(&j, "tracing", s->t->tracing);
    hr_json_num(&j, "traces", s->t->traces.n);
    if (s->t->limit)
        hr_json_num(&j, "traceback_limit", s->t->limit);
    else
        hr_json_null(&j, "traceback_limit");
    if (s->t->peak) {
        hr_json_num(&j, "traced_bytes", s->t->traced);
        hr_json_num(&j, "peak_bytes", s->t->peak);
    } else {
        hr_json_null(&j, "traced_bytes");
        hr_json_null(&j, "peak_bytes");
    }
    json_domains(&j, s->t);
    hr_json_arr(&j, keys[s->by]);
    for (size_t i = 0; i < s->rows.n; i++) {
        if (i < shown) {
            json_row(s, &j, &s->rows.v[i]);
            continue;
        }
        others.count += s->rows.v[i].count;
        others.bytes += s->rows.v[i].bytes;
    }
    hr_json_end(&j);
    hr_json_obj(&j, "others");
    hr_json_num(&j, "count", others.count);
    hr_json_num(&j, "bytes", others.bytes);
    hr_json_end(&j);
    hr_json_end(&j);
}

static void text_kinds(const struct sites *s, const struct row *r)
{
    struct hr_out *o = &s->c->out;
    char name[1024];
    if (r->nkinds)
        hr_outf(o, "%32s", "");
    for (uint32_t i = 0; i < r->nkinds && i < SHOWN_TYPES; i++) {
        const struct kind *k = &s->kinds.v[r->kind0 + i];
        hr_outf(o, "%s%s ", i ? ", " : "", hr_cli_count(s->c, k->count));
        hr_out_esc(o, k->type ? hr_type_name(s->c->s->types, k->type, name, sizeof name) : "untyped");
    }
    if (r->nkinds)
        hr_outf(o, "%s\n", r->nkinds > SHOWN_TYPES ? ", ..." : "");
}

static void text_row(const struct sites *s, const struct row *r, uint64_t all)
{
    struct hr_out *o = &s->c->out;
    const struct hr_py_traceframe *f = first_frame(s, r);
    hr_outf(o, "%10s %6s %12s  ", hr_cli_bytes(s->c, r->bytes), hr_cli_pct(r->bytes, all), hr_cli_count(s->c, r->count));
    hr_out_esc(o, hr_strs_get(s->py->img->strs, f->file));
    if (s->by != BY_FILE)
        hr_outf(o, ":%u", f->line);
    hr_outf(o, "\n");
    const struct hr_py_site *site = s->by == BY_TRACEBACK ? &s->t->sites.v[r->id] : NULL;
    for (uint32_t i = 1; site && i < site->nframe && (i < SHOWN_FRAMES || s->c->all); i++) {
        hr_outf(o, "%34s", "");
        hr_out_esc(o, hr_strs_get(s->py->img->strs, f[i].file));
        hr_outf(o, ":%u\n", f[i].line);
    }
    if (site && site->nframe > SHOWN_FRAMES && !s->c->all)
        hr_outf(o, "%34s[%u more frames: --all]\n", "", site->nframe - SHOWN_FRAMES);
    text_kinds(s, r);
}

static void text(const struct sites *s, size_t shown)
{
    struct hr_out *o = &s->c->out;
    uint64_t all = 0;
    for (size_t i = 0; i < s->rows.n; i++)
        all += s->rows.v[i].bytes;
    hr_outf(o, "tracemalloc%s: %s in %s blocks", s->t->tracing ? "" : " (stopped)", hr_cli_bytes(s->c, all), hr_cli_count(s->c, s->t->traces.n));
    if (s->t->peak)
        hr_outf(o, ", %s at the peak", hr_cli_bytes(s->c, s->t->peak));
    if (s->t->limit)
        hr_outf(o, "; tracebacks of up to %u frame%s", s->t->limit, s->t->limit == 1 ? "" : "s");
    hr_outf(o, "\n%10s %6s %12s  %s\n", "bytes", "share", "blocks", s->by == BY_FILE ? "file" : "allocated at");
    for (size_t i = 0; i < shown && i < s->rows.n && !o->failed; i++)
        text_row(s, &s->rows.v[i], all);
    if (shown < s->rows.n)
        hr_outf(o, "[%s others: --all]\n", hr_cli_count(s->c, s->rows.n - shown));
    hr_cli_text_notes(s->c);
}

static enum hr_status compute(struct sites *s)
{
    HR_TRY(make_rows(s));
    HR_TRY(make_kinds(s));
    if (s->rows.n)
        qsort(s->rows.v, s->rows.n, sizeof *s->rows.v, by_bytes);
    return HR_OK;
}

int hr_cli_top_sites(struct hr_cli *c)
{
    struct sites s = {.c = c, .by = !strcmp(c->by, "line") ? BY_LINE : !strcmp(c->by, "file") ? BY_FILE : BY_TRACEBACK};
    bool machine = c->json || c->ndjson;
    enum hr_status st = hr_session_types(c->s);
    s.py = st == HR_OK ? hr_runtimes_self(c->s->runtimes, "cpython") : NULL;
    if (st == HR_OK && !s.py)
        return hr_cli_error(HR_EXIT_INPUT, "there is no CPython in %s, whose tracemalloc would know where blocks come from", c->opt.image);
    if (st == HR_OK)
        st = hr_py_tracemalloc(s.py);
    if (st == HR_OK) {
        s.t = s.py->tracing;
        if (!s.t->traces.n && !s.t->tracing && !machine)
            return hr_cli_error(HR_EXIT_INPUT, "tracemalloc did not run in this process (PYTHONTRACEMALLOC=1 or tracemalloc.start() switch it on)");
        st = compute(&s);
    }
    size_t shown = c->all || (machine && !c->limit) ? s.rows.n : c->limit ? c->limit : SHOWN;
    if (st == HR_OK && machine)
        json(&s, shown);
    else if (st == HR_OK)
        text(&s, shown);
    hr_free(s.row_of);
    rowvec_deinit(&s.rows);
    kindvec_deinit(&s.kinds);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

void hr_cli_json_allocated(struct hr_json *j, const struct hr_py *py, hr_id block)
{
    const struct hr_py_trace *t = hr_py_trace_at(py, block);
    if (!t) {
        hr_json_null(j, "allocated");
        return;
    }
    hr_json_obj(j, "allocated");
    hr_json_num(j, "size", t->size);
    hr_json_num(j, "domain", t->domain);
    json_frames(j, py, &py->tracing->sites.v[t->site]);
    hr_json_end(j);
}

void hr_cli_text_allocated(struct hr_cli *c, const struct hr_py *py, hr_id block)
{
    const struct hr_py_trace *t = hr_py_trace_at(py, block);
    if (!t)
        return;
    const struct hr_py_site *site = &py->tracing->sites.v[t->site];
    for (uint32_t i = 0; i < site->nframe; i++) {
        const struct hr_py_traceframe *f = &py->tracing->frames.v[site->frame0 + i];
        hr_outf(&c->out, "  %s", i ? "     called at " : "allocated at ");
        hr_out_esc(&c->out, hr_strs_get(py->img->strs, f->file));
        hr_outf(&c->out, ":%u\n", f->line);
    }
}
