/* `py memory`: what sys._debugmallocstats() says, from the image, and which survivors keep sparse arenas from being given back. */
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/cpython/arenas.h"

enum { SHOWN_PINS = 12, MAX_MAP_POOLS = 256 };

static const char *pin_name(struct hr_cli *c, hr_type t, char *buf, size_t cap)
{
    return t ? (hr_type_name(c->s->types, t, buf, cap), buf) : "untyped";
}

static void json(struct hr_cli *c, const struct hr_py *py, const struct hr_py_memory *m)
{
    struct hr_json j;
    char name[600];
    hr_cli_json_begin(c, &j);
    hr_json_num(&j, "arenas", m->arenas.n);
    hr_json_num(&j, "arena_size", m->arena_size);
    hr_json_num(&j, "pools", m->pools);
    hr_json_num(&j, "unused_pools", m->unused);
    hr_json_num(&j, "pool_size", m->pool_size);
    hr_json_arr(&j, "classes");
    for (unsigned k = 0; k < HR_PY_POOL_CLASSES; k++) {
        const struct hr_py_pclass *p = &m->classes[k];
        if (!p->pools)
            continue;
        hr_json_obj(&j, NULL);
        hr_json_num(&j, "size", (k + 1ull) << m->shift);
        hr_json_num(&j, "pools", p->pools);
        hr_json_num(&j, "blocks_in_use", p->used + p->cached);
        hr_json_num(&j, "blocks_cached", p->cached);
        hr_json_num(&j, "blocks_free", p->free);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_arr(&j, "freelists");
    for (size_t i = 0; i < py->freelists.n; i++) {
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "type", hr_strs_get(c->s->strs, py->freelists.v[i].name));
        hr_json_num(&j, "count", py->freelists.v[i].count);
        hr_json_num(&j, "bytes", py->freelists.v[i].bytes);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    if (py->guards.front) {
        hr_json_obj(&j, "debug_hooks");
        hr_json_num(&j, "raw", py->guards.blocks[0]);
        hr_json_num(&j, "mem", py->guards.blocks[1]);
        hr_json_num(&j, "object", py->guards.blocks[2]);
        hr_json_num(&j, "requested", py->guards.requested);
        hr_json_num(&j, "blocks_bytes", py->guards.held);
        hr_json_num(&j, "damaged", py->guards.damaged);
        hr_json_end(&j);
    } else
        hr_json_null(&j, "debug_hooks");
    hr_json_num(&j, "releasable_arenas", m->releasable);
    hr_json_num(&j, "sparse_arenas", m->sparse);
    hr_json_num(&j, "arenas_needed", m->need);
    hr_json_num(&j, "sparse_bytes", m->sparse_bytes);
    hr_json_arr(&j, "arena_list");
    for (size_t i = 0; i < m->arenas.n; i++) {
        const struct hr_py_arena *a = &m->arenas.v[i];
        hr_json_obj(&j, NULL);
        hr_json_addr(&j, "addr", a->addr);
        hr_json_num(&j, "size", a->size);
        hr_json_num(&j, "pools_in_use", a->pools_used);
        hr_json_num(&j, "blocks_in_use", a->blocks_used);
        hr_json_num(&j, "bytes_in_use", a->used_bytes);
        hr_json_num(&j, "blocks_cached", a->blocks_cached);
        hr_json_num(&j, "bytes_cached", a->cached_bytes);
        hr_json_bool(&j, "sparse", a->sparse);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_arr(&j, "pinned_by");
    for (size_t i = 0; i < m->pins.n; i++) {
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "type", pin_name(c, m->pins.v[i].type, name, sizeof name));
        hr_json_num(&j, "count", m->pins.v[i].count);
        hr_json_num(&j, "bytes", m->pins.v[i].bytes);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_end(&j);
}

/* One row per arena, one character per pool: how full it is. */
static void map(struct hr_cli *c, const struct hr_py_memory *m)
{
    static const char density[] = ".:-=+*%#@@@";
    size_t most = c->all ? m->arenas.n : hr_min(m->arenas.n, c->limit ? c->limit : 64);
    hr_outf(&c->out, "\narenas, a character per pool: '.' nearly empty to '@' full, ' ' unused\n");
    for (size_t i = 0; i < most && !c->out.failed; i++) {
        const struct hr_py_arena *a = &m->arenas.v[i];
        char row[MAX_MAP_POOLS + 1];
        uint32_t n = (uint32_t)hr_min(a->npools, MAX_MAP_POOLS);
        for (uint32_t p = 0; p < n; p++) {
            uint8_t f = m->fill.v[a->pool0 + p];
            row[p] = f > 100 ? ' ' : density[f / 10];
        }
        row[n] = 0;
        hr_outf(&c->out, "  0x%-14llx %6s |%s|%s\n", (unsigned long long)a->addr, hr_cli_pct(a->used_bytes + a->cached_bytes, a->size), row,
                !a->blocks_used ? " free lists only" : a->sparse ? " sparse" : "");
    }
    if (most < m->arenas.n)
        hr_outf(&c->out, "  [%s more arenas: --all]\n", hr_cli_count(c, m->arenas.n - most));
}

static void guards_text(struct hr_cli *c, const struct hr_py *py)
{
    uint64_t n = py->guards.blocks[0] + py->guards.blocks[1] + py->guards.blocks[2];
    if (py->guards.front) {
        hr_outf(&c->out, "\nallocators' debug hooks: %s guarded blocks (%s object, ", hr_cli_count(c, n), hr_cli_count(c, py->guards.blocks[2]));
        hr_outf(&c->out, "%s mem, %s raw); %s asked for", hr_cli_count(c, py->guards.blocks[1]), hr_cli_count(c, py->guards.blocks[0]),
                hr_cli_bytes(c, py->guards.requested));
        hr_outf(&c->out, " in blocks of %s; %s damaged guards\n", hr_cli_bytes(c, py->guards.held), hr_cli_count(c, py->guards.damaged));
    }
}

static void text(struct hr_cli *c, const struct hr_py *py, const struct hr_py_memory *m)
{
    struct hr_out *o = &c->out;
    char name[600];
    if (!m->arenas.n)
        hr_outf(o, "pymalloc is not in use (PYTHONMALLOC=malloc, or built without it): objects lie in the blocks of the C allocator\n");
    hr_outf(o, "%s arenas of %s; %s pools of %s in use, %s unused; what is in use would fit in %s arenas\n", hr_cli_count(c, m->arenas.n),
            hr_cli_bytes(c, m->arena_size), hr_cli_count(c, m->pools), hr_cli_bytes(c, m->pool_size), hr_cli_count(c, m->unused),
            hr_cli_count(c, m->need));
    hr_outf(o, "\n%8s %10s %12s %12s %12s\n", "size", "pools", "in use", "of them kept", "free");
    for (unsigned k = 0; k < HR_PY_POOL_CLASSES; k++) {
        const struct hr_py_pclass *p = &m->classes[k];
        if (p->pools)
            hr_outf(o, "%8llu %10s %12s %12s %12s\n", (k + 1ull) << m->shift, hr_cli_count(c, p->pools), hr_cli_count(c, p->used + p->cached),
                    hr_cli_count(c, p->cached), hr_cli_count(c, p->free));
    }
    if (py->freelists.n)
        hr_outf(o, "\nkept for reuse by the interpreter:");
    for (size_t i = 0; i < py->freelists.n; i++) {
        hr_outf(o, "%s %s ", i ? "," : "", hr_cli_count(c, py->freelists.v[i].count));
        hr_out_esc(o, hr_strs_get(c->s->strs, py->freelists.v[i].name));
    }
    if (py->freelists.n)
        hr_outf(o, "\n");
    guards_text(c, py);
    if (m->arenas.n)
        map(c, m);
    if (m->sparse)
        hr_outf(o, "\n%s arenas are less than %d%% full and cannot be given back, because of:\n", hr_cli_count(c, m->sparse), HR_PY_SPARSE_PERCENT);
    for (size_t i = 0; i < hr_min(m->pins.n, SHOWN_PINS); i++) {
        hr_outf(o, "  %8s %10s  ", hr_cli_count(c, m->pins.v[i].count), hr_cli_bytes(c, m->pins.v[i].bytes));
        hr_out_esc(o, pin_name(c, m->pins.v[i].type, name, sizeof name));
        hr_outf(o, "\n");
    }
    hr_cli_text_notes(c);
}

static int run(struct hr_cli *c)
{
    struct hr_py_memory m = {0};
    enum hr_status st = hr_session_types(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    struct hr_py *py = hr_runtimes_self(c->s->runtimes, "cpython");
    if (!py)
        return hr_cli_error(HR_EXIT_INPUT, "there is no CPython in %s that heapray can read (heapray info says what there is)", c->opt.image);
    st = hr_py_memory_measure(&m, py);
    if (st == HR_OK && (c->json || c->ndjson))
        json(c, py, &m);
    else if (st == HR_OK)
        text(c, py, &m);
    hr_py_memory_deinit(&m);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_py_memory = {
    .name = "py memory", .args = "", .summary = "Python's small-object memory: arenas, size classes, free lists, what pins arenas",
    .help = "pymalloc's arenas and pools as sys._debugmallocstats() counts them, what the interpreter's free lists keep, a map of the arenas, "
            "and the types of the objects that keep sparse arenas from being given back.",
    .needs_image = true, .types = false, .run = run,
};
