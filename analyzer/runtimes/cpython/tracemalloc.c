/* Reads tracemalloc's tables: every trace, each traceback once, sums by traceback and by line. */
#include "analyzer/runtimes/cpython/tracemalloc.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/base/fuel.h"
#include "analyzer/runtimes/cpython/refs.h"

enum {
    MAX_TRACES = 1 << 30,      /* one per block at most */
    MAX_FRAMES = 1 << 28,      /* of all tracebacks together */
    MAX_NFRAME = 65535,        /* of one: its counter has 16 bits */
    CONFIG_TRACING = 4,        /* struct _PyTraceMalloc_Config: initialized, tracing, max_nframe: ints, the same since 3.4 */
    CONFIG_LIMIT = 8,
};

struct reader {
    struct hr_py *py;
    struct hr_py_tracing *t;
    struct hr_map sites;       /* address of a traceback -> index */
    struct hr_map files;       /* address of a str -> hr_str */
    struct hr_map lines;       /* file << 32 | line -> index */
    struct hr_fuel fuel;
    uint64_t promised, bad;
};

static enum hr_status file_name(struct reader *r, uint64_t addr, hr_str *ret)
{
    char name[HR_MAX_STRING];
    uint32_t known = hr_map_get(&r->files, addr);
    if (known != HR_NONE) {
        *ret = known;
        return HR_OK;
    }
    if (!hr_py_text(r->py, addr, name, sizeof name) || !name[0])
        snprintf(name, sizeof name, "<unknown>");
    HR_TRY(hr_strs_addz(r->py->img->strs, name, ret));
    return hr_map_put(&r->files, addr, *ret);
}

static enum hr_status line_of(struct reader *r, const struct hr_py_traceframe *f, uint32_t *ret)
{
    bool was;
    uint32_t *slot;
    HR_TRY(hr_map_slot(&r->lines, (uint64_t)f->file << 32 | f->line, (uint32_t)r->t->lines.n, &slot, &was));
    *ret = *slot;
    return was ? HR_OK : hr_pylinevec_push(&r->t->lines, (struct hr_py_line){.at = *f});
}

/* The traceback at addr, read on first sight; HR_NONE: it is none. */
static enum hr_status site_of(struct reader *r, uint64_t addr, uint32_t *ret)
{
    const struct hr_py *py = r->py;
    uint64_t n, total, line, each = (uint64_t)py->c->at[HR_PYS_TRACEFRAME];
    unsigned wide = hr_py_has(py->c, HR_PY_TRACEBACK_TOTAL) ? 2 : 4;
    *ret = hr_map_get(&r->sites, addr);
    if (*ret != HR_NONE || !addr || !hr_image_uint(py->img, addr + (uint64_t)py->c->at[HR_PY_TRACEBACK_NFRAME], wide, &n) || !n || n > MAX_NFRAME)
        return HR_OK;
    total = wide == 2 ? hr_py_uint(py->c, addr, HR_PY_TRACEBACK_TOTAL, 2) : n;
    struct hr_py_site s = {.addr = addr, .frame0 = (uint32_t)r->t->frames.n, .nframe = (uint32_t)n, .total = (uint32_t)hr_max(total, n)};
    for (uint64_t i = 0; i < n; i++) {
        uint64_t f = addr + (uint64_t)py->c->at[HR_PY_TRACEBACK_FRAMES] + i * each;
        struct hr_py_traceframe frame = {0};
        if (!hr_burn(&r->fuel, 1) || !hr_image_uint(py->img, f + (uint64_t)py->c->at[HR_PY_TRACEFRAME_LINE], 4, &line)) {
            s.nframe = (uint32_t)i;
            break;
        }
        frame.line = (uint32_t)line;
        HR_TRY(file_name(r, hr_py_word(py->c, f, HR_PY_TRACEFRAME_FILE), &frame.file));
        HR_TRY(hr_pytraceframevec_push(&r->t->frames, frame));
    }
    if (!s.nframe)
        return HR_OK;
    HR_TRY(line_of(r, &r->t->frames.v[s.frame0], &s.line));
    *ret = (uint32_t)r->t->sites.n;
    HR_TRY(hr_map_put(&r->sites, addr, *ret));
    return hr_pysitevec_push(&r->t->sites, s);
}

static enum hr_status add_trace(struct reader *r, const struct hr_py_hashentry *e, uint32_t domain)
{
    uint64_t trace = hr_py_trace_of(r->py, e), tb = hr_py_word(r->py->c, trace, HR_PY_TRACE_TRACEBACK);
    struct hr_py_trace t = {e->key, hr_py_word(r->py->c, trace, HR_PY_TRACE_SIZE), HR_NONE, e->has_domain ? (uint32_t)e->domain : domain};
    HR_TRY(site_of(r, tb, &t.site));
    if (t.site == HR_NONE) {
        r->bad++;
        return HR_OK;
    }
    struct hr_py_site *s = &r->t->sites.v[t.site];
    s->count++;
    s->bytes += t.size;
    r->t->lines.v[s->line].count++;
    r->t->lines.v[s->line].bytes += t.size;
    return hr_pytracevec_push(&r->t->traces, t);
}

/* All entries of a table. fn: what to do with one. */
typedef enum hr_status entry_fn(struct reader *r, const struct hr_py_hashentry *e, uint32_t domain);
static enum hr_status each_entry(struct reader *r, uint64_t addr, uint32_t domain, entry_fn *fn)
{
    struct hr_py_hashtable t;
    struct hr_py_hashentry e;
    uint64_t at, seen = 0;
    if (!hr_py_hashtable_at(r->py, addr, &t))
        return HR_OK;
    for (uint64_t i = 0; i < t.nbuckets; i++) {
        if (!hr_burn(&r->fuel, 1) || !hr_image_word(r->py->img, t.buckets + i * r->py->img->word, &at))
            break;
        for (; at && hr_burn(&r->fuel, 1) && hr_py_hashentry_at(r->py, &t, at, &e); at = hr_py_word_at(r->py, at)) {
            if (seen++ == t.nentries)
                goto out; /* more than it says: a loop, or another thread was at it */
            HR_TRY(fn(r, &e, domain));
        }
    }
out:
    r->bad += t.nentries > seen ? t.nentries - seen : seen > t.nentries;
    return HR_OK;
}

static enum hr_status add_domain(struct reader *r, const struct hr_py_hashentry *e, uint32_t domain)
{
    (void)domain;
    return each_entry(r, hr_py_domain_table(r->py, e), (uint32_t)e->key, add_trace);
}

/* What blocks have which trace. Python's own domain is 0 and wins. */
static enum hr_status index_blocks(struct reader *r)
{
    const struct hr_heap *h = r->py->heap;
    struct hr_py_tracing *t = r->t;
    if (!t->traces.n)
        return HR_OK;
    t->of = hr_alloc(((size_t)h->n + 1) * sizeof *t->of);
    if (!t->of)
        return HR_NOMEM;
    memset(t->of, 0xff, ((size_t)h->n + 1) * sizeof *t->of);
    for (size_t i = 0; i < t->traces.n; i++) {
        uint64_t into;
        hr_id id = hr_py_block_at(r->py, t->traces.v[i].ptr, &into);
        if (id != HR_NONE && !into && (t->of[id] == HR_NONE || !t->traces.v[i].domain))
            t->of[id] = (uint32_t)i;
    }
    return HR_OK;
}

static enum hr_status read_tables(struct reader *r)
{
    struct hr_py_tracetables at;
    struct hr_py_tracing *t = r->t;
    uint64_t v;
    if (!hr_py_tracetables_find(r->py, &at))
        return HR_OK;
    t->known = true;
    if (at.traces)
        HR_TRY(each_entry(r, at.traces, 0, add_trace));
    if (at.domains)
        HR_TRY(each_entry(r, at.domains, 0, add_domain));
    t->tracing = at.config ? hr_image_uint(r->py->img, at.config + CONFIG_TRACING, 4, &v) && v == 1 : t->traces.n > 0;
    if (at.config && hr_image_uint(r->py->img, at.config + CONFIG_LIMIT, 4, &v) && v <= MAX_NFRAME)
        t->limit = (uint32_t)v;
    if (at.traced)
        t->traced = hr_py_word_at(r->py, at.traced);
    if (at.peak)
        t->peak = hr_py_word_at(r->py, at.peak);
    if (r->bad)
        hr_note(r->py->in.notes, HR_NOTE_DEGRADED, "python.tracemalloc", "%llu of tracemalloc's entries cannot be read: the sums by line lack them",
                (unsigned long long)r->bad);
    return index_blocks(r);
}

enum hr_status hr_py_tracemalloc(struct hr_py *py)
{
    if (py->tracing)
        return HR_OK;
    struct hr_py_tracing *t = hr_zalloc(1, sizeof *t);
    if (!t)
        return HR_NOMEM;
    struct reader r = {.py = py, .t = t};
    uint64_t bytes = 1 << 20; /* every entry and every frame takes some bytes of the image */
    for (size_t i = 0; i < py->img->segs.n; i++)
        bytes += py->img->segs.v[i].bytes.n;
    r.fuel = hr_fuel(bytes);
    t->traces.max = MAX_TRACES;
    t->frames.max = MAX_FRAMES;
    t->sites.max = t->lines.max = MAX_FRAMES;
    hr_map_init(&r.sites, 2 * (size_t)MAX_FRAMES);
    hr_map_init(&r.files, 1 << 24);
    hr_map_init(&r.lines, 2 * (size_t)MAX_FRAMES);
    enum hr_status st = read_tables(&r);
    hr_map_deinit(&r.sites);
    hr_map_deinit(&r.files);
    hr_map_deinit(&r.lines);
    if (st == HR_LIMIT) {
        hr_note(py->in.notes, HR_NOTE_DEGRADED, "python.tracemalloc", "tracemalloc's tables are larger than heapray reads: the sums by line are partial");
        st = index_blocks(&r);
    }
    if (st != HR_OK) {
        hr_py_tracing_free(t);
        return st;
    }
    py->tracing = t;
    return HR_OK;
}

void hr_py_tracing_free(struct hr_py_tracing *t)
{
    if (!t)
        return;
    hr_pytraceframevec_deinit(&t->frames);
    hr_pysitevec_deinit(&t->sites);
    hr_pylinevec_deinit(&t->lines);
    hr_pytracevec_deinit(&t->traces);
    hr_free(t->of);
    hr_free(t);
}

const struct hr_py_trace *hr_py_trace_at(const struct hr_py *py, hr_id id)
{
    const struct hr_py_tracing *t = py->tracing;
    return t && t->of && id < py->heap->n && t->of[id] != HR_NONE ? &t->traces.v[t->of[id]] : NULL;
}

char *hr_py_allocated_at(const struct hr_py *py, hr_id id, char *buf, size_t cap)
{
    const struct hr_py_trace *t = hr_py_trace_at(py, id);
    if (!t)
        return NULL;
    const struct hr_py_traceframe *f = &py->tracing->frames.v[py->tracing->sites.v[t->site].frame0];
    snprintf(buf, cap, "%s:%u", hr_strs_get(py->img->strs, f->file), f->line);
    return buf;
}
