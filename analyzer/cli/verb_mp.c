/* Verbs of a MicroPython image: `mp info`, `mp gc`. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/micropython/mp.h"

static struct hr_mp *micropython(struct hr_cli *c, int *code)
{
    enum hr_status st = hr_session_roots(c->s);
    if (!hr_cli_ok(c, st)) {
        *code = hr_cli_exit_of(st);
        return NULL;
    }
    struct hr_mp *mp = hr_runtimes_self(c->s->runtimes, "micropython");
    if (!mp)
        *code = hr_cli_error(HR_EXIT_INPUT, "there is no MicroPython heap in %s (heapray info says what there is)", c->opt.image);
    return mp;
}

/* ---- mp info ---- */
static enum hr_status letters(const struct hr_mp *mp, const struct hr_mpy_area *a, struct hr_u8vec *out)
{
    for (uint64_t b = 0; b < hr_mpy_blocks(a); b++)
        HR_TRY(hr_u8vec_push(out, (uint8_t)hr_mp_letter(mp, a, b)));
    return hr_u8vec_push(out, 0);
}

static void area_json(struct hr_json *j, const struct hr_mp *mp, const struct hr_mpy_area *a, const char *map)
{
    struct hr_mp_info n;
    hr_mp_area_info(mp, a, &n);
    hr_json_obj(j, NULL);
    hr_json_addr(j, "pool", a->pool);
    hr_json_num(j, "blocks", n.blocks);
    hr_json_num(j, "block_size", a->block);
    hr_json_num(j, "used", n.used * a->block);
    hr_json_num(j, "free", n.free * a->block);
    hr_json_num(j, "one_block", n.one);
    hr_json_num(j, "two_blocks", n.two);
    hr_json_num(j, "max_block", n.max_block);
    hr_json_num(j, "max_free_run", n.max_free);
    hr_json_num(j, "used_blocks", n.used);
    hr_json_num(j, "free_blocks", n.free);
    hr_json_addr(j, "table", a->table);
    if (a->finalisers)
        hr_json_addr(j, "finalisers", a->finalisers);
    else
        hr_json_null(j, "finalisers");
    if (a->scanned)
        hr_json_addr(j, "scanned", a->scanned);
    if (a->long_lived)
        hr_json_addr(j, "long_lived", a->long_lived);
    if (a->weakrefs) {
        hr_json_addr(j, "weakref_table", a->weakrefs);
        hr_json_num(j, "weakref_objects", hr_mp_weak_objects(mp, a));
    }
    hr_json_str(j, "map", map);
    hr_json_end(j);
}

/* Where the interpreter's state is, what the collector scans of it, and how that is known. */
static void state_json(struct hr_json *j, const struct hr_mp *mp)
{
    const struct hr_mp_code *c = &mp->code;
    if (!mp->vm) {
        hr_json_null(j, "state");
        return;
    }
    hr_json_obj(j, "state");
    hr_json_addr(j, "roots", mp->root_lo);
    hr_json_num(j, "root_words", (mp->root_hi - mp->root_lo) / mp->word);
    hr_json_str(j, "roots_by", c->hi ? "code" : "memory");
    hr_json_num(j, "root_words_by_memory", (c->mem_hi - c->mem_lo) / mp->word);
    if (c->hi)
        hr_json_addr(j, "collector", c->collector);
    else
        hr_json_null(j, "collector");
    if (c->loads)
        hr_json_addr(j, "named", c->state);
    else
        hr_json_null(j, "named");
    hr_json_num(j, "named_by", c->loads);
    hr_json_num(j, "fields_by", c->fields);
    if (c->next_loads)
        hr_json_addr(j, "next", c->next);
    else
        hr_json_null(j, "next");
    hr_json_num(j, "next_by", c->next_loads);
    hr_json_str(j, "code", c->why_not);
    hr_json_end(j);
}

static void state_text(struct hr_out *o, const struct hr_mp *mp)
{
    const struct hr_mp_code *c = &mp->code;
    unsigned long long words = (mp->root_hi - mp->root_lo) / mp->word;
    if (!mp->vm)
        return;
    hr_outf(o, "State at 0x%llx", (unsigned long long)(c->loads ? c->state : mp->root_lo));
    if (c->loads)
        hr_outf(o, ": named by %llu instructions, its other words by %llu; elsewhere at most %llu name one word", (unsigned long long)c->loads,
                (unsigned long long)c->fields, (unsigned long long)c->next_loads);
    else if (c->why_not)
        hr_outf(o, " (%s)", c->why_not);
    hr_outf(o, "\nRoots: 0x%llx words from 0x%llx, %s", words, (unsigned long long)mp->root_lo, c->hi ? "" : "by the shape of the fields around them\n");
    if (!c->hi)
        return;
    hr_outf(o, "by the code of the collector at 0x%llx\n", (unsigned long long)c->collector);
    if (c->mem_hi && (c->mem_lo != c->lo || c->mem_hi != c->hi))
        hr_outf(o, "  memory looks like 0x%llx words from 0x%llx: the code is believed, it is what runs\n",
                (unsigned long long)((c->mem_hi - c->mem_lo) / mp->word), (unsigned long long)c->mem_lo);
}

static enum hr_status info_json(struct hr_cli *c, const struct hr_mp *mp)
{
    struct hr_u8vec all = {.max = HR_MAX_TABLE_BYTES};
    size_t at = 0;
    for (uint32_t i = 0; i < mp->m.n; i++)
        if (letters(mp, &mp->m.area[i], &all) != HR_OK)
            break;
    if (hr_u8vec_push(&all, 0) != HR_OK) {
        hr_u8vec_deinit(&all);
        return HR_NOMEM;
    }
    struct hr_json j;
    hr_cli_json_begin(c, &j);
    hr_json_arr(&j, "areas");
    for (uint32_t i = 0; i < mp->m.n && at < all.n; i++) {
        area_json(&j, mp, &mp->m.area[i], (const char *)all.v + at);
        at += strlen((const char *)all.v + at) + 1;
    }
    hr_json_end(&j);
    size_t to = 0;
    for (size_t i = 0; i + 1 < all.n; i++)
        if (all.v[i])
            all.v[to++] = all.v[i];
    all.v[to] = 0;
    hr_json_str(&j, "map", (const char *)all.v);
    hr_json_str(&j, "repr", hr_mp_repr_name(mp->repr));
    hr_json_str(&j, "implementation", mp->circuit ? "circuitpython" : "micropython");
    hr_json_str(&j, "version", mp->version);
    state_json(&j, mp);
    hr_json_end(&j);
    hr_u8vec_deinit(&all);
    return HR_OK;
}

enum { ROW = 64 };

static bool free_row(const struct hr_mp *mp, const struct hr_mpy_area *a, uint64_t b)
{
    for (uint64_t i = b; i < b + ROW && i < hr_mpy_blocks(a); i++)
        if (hr_mpy_kind(&mp->m, a, i) != HR_MPY_FREE)
            return false;
    return b + ROW <= hr_mpy_blocks(a);
}

/* As mem_info(1): rows of 64, two and more that are wholly free folded. */
static void map_text(struct hr_cli *c, const struct hr_mp *mp, const struct hr_mpy_area *a)
{
    uint64_t n = hr_mpy_blocks(a);
    for (uint64_t b = 0; b < n && !c->out.failed;) {
        uint64_t rows = 0;
        while (free_row(mp, a, b + rows * ROW))
            rows++;
        if (rows >= 2) {
            hr_outf(&c->out, "       (%llu lines all free)\n", (unsigned long long)rows);
            b += rows * ROW;
            continue;
        }
        char row[ROW + 1] = {0};
        for (unsigned i = 0; i < ROW && b + i < n; i++)
            row[i] = hr_mp_letter(mp, a, b + i);
        hr_outf(&c->out, "%0*llx: %s\n", mp->slots ? 8 : 5, (unsigned long long)(b * a->block), row);
        b += ROW;
    }
}

/* CircuitPython up to 8: two parts that grow towards each other, so that the longest free run is the gap between them. */
static void long_lived_text(struct hr_cli *c, const struct hr_mp *mp, const struct hr_mpy_area *a)
{
    uint64_t from = (a->long_lived - a->pool) / a->block, n = hr_mpy_blocks(a), gap = 0, used = 0;
    while (gap < from && hr_mpy_kind(&mp->m, a, from - 1 - gap) == HR_MPY_FREE)
        gap++;
    for (uint64_t b = from; b < n; b++)
        used += hr_mpy_kind(&mp->m, a, b) != HR_MPY_FREE;
    hr_outf(&c->out, "what lives long: at the end from 0x%llx on, %llu blocks, %llu in use; in front of it a gap of %llu\n", (unsigned long long)a->long_lived,
            (unsigned long long)(n - from), (unsigned long long)used, (unsigned long long)gap);
}

static void info_text(struct hr_cli *c, const struct hr_mp *mp)
{
    struct hr_out *o = &c->out;
    const char *repr = hr_mp_repr_name(mp->repr);
    hr_outf(o, "%s ", hr_mp_flavour(mp));
    hr_out_esc(o, mp->version);
    hr_outf(o, ", object representation %s\n", repr ? repr : "unknown");
    state_text(o, mp);
    for (uint32_t i = 0; i < mp->m.n; i++) {
        const struct hr_mpy_area *a = &mp->m.area[i];
        struct hr_mp_info n;
        hr_mp_area_info(mp, a, &n);
        hr_outf(o, "\nArea at 0x%llx: total %llu, used %llu, free %llu bytes; blocks of %u%s\n", (unsigned long long)a->pool,
                (unsigned long long)(n.blocks * a->block), (unsigned long long)(n.used * a->block), (unsigned long long)(n.free * a->block), a->block,
                a->finalisers && a->scanned ? "; with finalisers and a collect table" : a->scanned ? "; with a collect table" : a->finalisers ? "; with finalisers" : "");
        if (a->weakrefs)
            hr_outf(o, "objects with weak references: %llu\n", (unsigned long long)hr_mp_weak_objects(mp, a));
        hr_outf(o, "1-blocks: %llu, 2-blocks: %llu, largest: %llu blocks, longest free run: %llu blocks\n", (unsigned long long)n.one,
                (unsigned long long)n.two, (unsigned long long)n.max_block, (unsigned long long)n.max_free);
        if (a->long_lived)
            long_lived_text(c, mp, a);
        map_text(c, mp, a);
    }
    hr_cli_text_notes(c);
}

static int run_info(struct hr_cli *c)
{
    int code = 0;
    struct hr_mp *mp = micropython(c, &code);
    if (!mp)
        return code;
    if (!c->json && !c->ndjson) {
        info_text(c, mp);
        return hr_cli_exit(c);
    }
    enum hr_status st = info_json(c, mp);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_mp_info = {
    .name = "mp info", .args = "", .summary = "MicroPython's heap as micropython.mem_info(1) shows it",
    .help = "Every area of MicroPython's heap with the numbers of gc_info() and the map that micropython.mem_info(1) prints, a letter for "
            "each block; the version and how objects are represented. No symbols are needed; the firmware (--with) gives names and types.",
    .needs_image = true, .types = false, .run = run_info,
};

/* ---- mp gc ---- */
static const char *what(const struct hr_mp *mp, hr_id id)
{
    if (mp->object[id] != HR_NONE)
        return hr_strs_get(mp->img->strs, mp->types.v[mp->object[id]].full);
    return mp->role[id] ? hr_mp_role_name(mp->role[id]) : NULL;
}

typedef void each_fn(struct hr_cli *c, const struct hr_mp *mp, hr_id id, uint64_t addr, uint64_t blocks, void *ctx);

static void each_garbage(struct hr_cli *c, const struct hr_mp *mp, const struct hr_mp_gc *g, each_fn *fn, void *ctx)
{
    uint64_t left = c->limit && !c->all ? c->limit : UINT64_MAX;
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n && left) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, addr);
        if (!a || mp->heap->state[id] != HR_USED || hr_bits_get(&g->live, id))
            continue;
        fn(c, mp, id, addr, hr_block_size(mp->heap, id) / a->block, ctx);
        left--;
    }
}

static void garbage_json(struct hr_cli *c, const struct hr_mp *mp, hr_id id, uint64_t addr, uint64_t blocks, void *j)
{
    (void)c;
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", addr);
    hr_json_num(j, "blocks", blocks);
    hr_json_str(j, "type", what(mp, id));
    hr_json_end(j);
}

static void garbage_text(struct hr_cli *c, const struct hr_mp *mp, hr_id id, uint64_t addr, uint64_t blocks, void *ctx)
{
    (void)ctx;
    hr_outf(&c->out, "  0x%llx %4llu block%s ", (unsigned long long)addr, (unsigned long long)blocks, blocks == 1 ? " " : "s");
    hr_out_esc(&c->out, what(mp, id) ? what(mp, id) : "untyped words");
    hr_outf(&c->out, "\n");
}

/* Garbage of one type or role. */
struct mp_kind { const char *name; uint64_t count, bytes; };
struct mp_kinds { struct mp_kind v[200]; size_t n; };

static void garbage_sum(struct hr_cli *c, const struct hr_mp *mp, hr_id id, uint64_t addr, uint64_t blocks, void *ctx)
{
    struct mp_kinds *k = ctx;
    const char *name = what(mp, id) ? what(mp, id) : "untyped words";
    size_t i = 0, most = sizeof k->v / sizeof *k->v;
    (void)c, (void)addr, (void)blocks;
    while (i < k->n && strcmp(k->v[i].name, name))
        i++;
    if (i == k->n && k->n < most)
        k->v[k->n++].name = name;
    i = hr_min(i, most - 1); /* more types than that: the rest goes with the last */
    k->v[i].count++;
    k->v[i].bytes += hr_block_size(mp->heap, id);
}

static int by_mp_bytes(const void *a, const void *b)
{
    const struct mp_kind *x = a, *y = b;
    return x->bytes != y->bytes ? x->bytes < y->bytes ? 1 : -1 : strcmp(x->name, y->name);
}

static void garbage_kinds(struct hr_cli *c, const struct hr_mp *mp, const struct hr_mp_gc *g)
{
    static const char *const heads[] = {"count", "bytes", "type"};
    HR_AUTOFREE struct mp_kinds *k = hr_zalloc(1, sizeof *k);
    if (!k)
        return;
    each_garbage(c, mp, g, garbage_sum, k);
    if (!k->n)
        return;
    qsort(k->v, k->n, sizeof *k->v, by_mp_bytes);
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrl", 3);
    for (size_t i = 0; i < k->n; i++) {
        hr_tab_cell(t, hr_cli_count(c, k->v[i].count));
        hr_tab_cell(t, hr_cli_bytes(c, k->v[i].bytes));
        hr_tab_cell(t, k->v[i].name);
    }
    hr_tab_print(t, 2);
    hr_outf(&c->out, "each allocation: --all, or --json\n");
}

static void after_text(struct hr_cli *c, const struct hr_mp_after *a)
{
    if (a->total)
        hr_outf(&c->out, "behind it %s would be free (now %s), the largest piece %s (now %s)\n", hr_cli_bytes(c, a->free_then),
                hr_cli_bytes(c, a->free_now), hr_cli_bytes(c, a->longest_then), hr_cli_bytes(c, a->longest_now));
    if (a->finalisers)
        hr_outf(&c->out, "%s of them with a finaliser that has yet to run\n", hr_cli_count(c, a->finalisers));
    if (a->weakrefs)
        hr_outf(&c->out, "%s of them with weak references, which call back then\n", hr_cli_count(c, a->weakrefs));
}

static void gc_print(struct hr_cli *c, struct hr_mp *mp, const struct hr_mp_gc *g)
{
    struct hr_mp_after after;
    if (hr_mp_after(mp, &after) != HR_OK)
        after = (struct hr_mp_after){0};
    if (!c->json && !c->ndjson) {
        hr_outf(&c->out, "gc.collect() would free %s allocations, %s%s\nroots: %llu words of the state at 0x%llx, %s\n", hr_cli_count(c, g->count),
                hr_cli_bytes(c, g->freed_bytes), g->exact ? "" : g->bound,
                (unsigned long long)((mp->root_hi - mp->root_lo) / mp->word), (unsigned long long)mp->root_lo, g->stack);
        after_text(c, &after);
        if (c->all || c->limit)
            each_garbage(c, mp, g, garbage_text, NULL);
        else
            garbage_kinds(c, mp, g);
        hr_cli_text_notes(c);
        return;
    }
    struct hr_json j;
    hr_cli_json_begin(c, &j);
    hr_json_arr(&j, "garbage");
    each_garbage(c, mp, g, garbage_json, &j);
    hr_json_end(&j);
    hr_json_num(&j, "freed_bytes", g->freed_bytes);
    hr_json_num(&j, "freed_blocks", g->freed_blocks);
    hr_json_num(&j, "free_after", after.free_then);
    hr_json_num(&j, "longest_free_after", after.longest_then);
    hr_json_num(&j, "finalisers", after.finalisers);
    hr_json_num(&j, "weakrefs", after.weakrefs);
    hr_json_bool(&j, "exact", g->exact);
    hr_json_str(&j, "stack", g->stack);
    hr_json_addr(&j, "roots", mp->root_lo);
    hr_json_num(&j, "root_words", (mp->root_hi - mp->root_lo) / mp->word);
    hr_json_end(&j);
}

static int run_gc(struct hr_cli *c)
{
    int code = 0;
    struct hr_mp_gc g;
    struct hr_mp *mp = micropython(c, &code);
    if (!mp)
        return code;
    enum hr_status st = hr_mp_collect(mp, &g);
    if (st == HR_OK)
        gc_print(c, mp, &g);
    hr_mp_gc_deinit(&g);
    if (st == HR_ABSENT)
        return hr_cli_error(HR_EXIT_INPUT, "the interpreter's state was not found, so nobody knows what its heap is held by (is the firmware given?)");
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_mp_gc = {
    .name = "mp gc", .args = "", .summary = "what MicroPython's gc.collect() would free",
    .help = "The allocations that gc.collect() would free, by doing its mark phase again over the image: from the interpreter's state, the "
            "registers and the stack (--regs FILE), by its own rule of what a reference is; what would be free behind it, and in pieces how large. By type; "
            "--all lists every allocation.",
    .needs_image = true, .types = false, .run = run_gc,
};

/* ---- objects ---- */
struct listing { struct hr_cli *c; struct hr_mp *mp; struct hr_mp_gc gc; struct hr_json j; bool known; };

static void num_or_null(struct hr_json *j, const char *key, uint64_t n)
{
    if (n == UINT64_MAX)
        hr_json_null(j, key);
    else
        hr_json_num(j, key, n);
}

static void object_json(struct listing *l, hr_id id, uint64_t addr, const char *value)
{
    struct hr_json *j = &l->j;
    uint32_t t = l->mp->object[id];
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", addr);
    hr_json_str(j, "type", what(l->mp, id));
    hr_json_num(j, "size", hr_block_size(l->mp->heap, id)); /* what gc_nbytes() says */
    hr_json_addr(j, "block", addr);
    hr_json_num(j, "block_size", hr_block_size(l->mp->heap, id));
    hr_json_null(j, "refcount");
    hr_json_null(j, "refs_found");
    hr_json_null(j, "gc");
    hr_json_str(j, "reach", !l->known ? NULL : hr_bits_get(&l->gc.live, id) ? hr_reach_name(HR_REACHABLE) : NULL);
    if (l->known)
        hr_json_bool(j, "garbage", !hr_bits_get(&l->gc.live, id));
    else
        hr_json_null(j, "garbage");
    hr_json_str(j, "value", *value ? value : NULL);
    num_or_null(j, "len", hr_mp_len(l->mp, addr, t));
    num_or_null(j, "allocated", hr_mp_allocated(l->mp, addr, t));
    if (l->mp->m.area[0].weakrefs)
        hr_json_num(j, "weakrefs", hr_mp_weak_count(l->mp, id));
    hr_json_end(j);
}

static void list_objects(struct listing *l)
{
    struct hr_cli *c = l->c;
    uint64_t left = c->limit ? c->limit : UINT64_MAX;
    struct hr_block_iter it = hr_block_iter(l->mp->heap, 0);
    while (it.id < l->mp->heap->n && left && !c->out.failed) {
        char value[600];
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (l->mp->object[id] == HR_NONE || (c->type && !strstr(what(l->mp, id), c->type)))
            continue;
        left--;
        hr_mp_repr_text(l->mp, addr, l->mp->object[id], c->show_contents, value, sizeof value);
        if (c->json || c->ndjson) {
            object_json(l, id, addr, value);
            continue;
        }
        hr_outf(&c->out, "0x%llx %6llu %s ", (unsigned long long)addr, (unsigned long long)hr_block_size(l->mp->heap, id),
                l->known && !hr_bits_get(&l->gc.live, id) ? "garbage" : "       ");
        hr_out_esc(&c->out, what(l->mp, id));
        hr_outf(&c->out, " ");
        hr_out_esc(&c->out, value);
        hr_outf(&c->out, "\n");
    }
}

int hr_cli_mp_objects(struct hr_cli *c)
{
    int code = 0;
    struct listing l = {.c = c, .mp = micropython(c, &code)};
    if (!l.mp)
        return code;
    enum hr_status st = hr_mp_collect(l.mp, &l.gc);
    l.known = st == HR_OK;
    if (st == HR_OK || st == HR_ABSENT) {
        st = HR_OK;
        if (c->json || c->ndjson) {
            hr_cli_json_begin(c, &l.j);
            if (c->ndjson)
                hr_json_end(&l.j);
            else
                hr_json_arr(&l.j, "objects");
        }
        list_objects(&l);
        if (c->json && !c->ndjson) {
            hr_json_end(&l.j);
            hr_json_end(&l.j);
        }
    }
    hr_mp_gc_deinit(&l.gc);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}
