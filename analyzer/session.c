#include "analyzer/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/limits.h"
#include "analyzer/owners.h"
#include "analyzer/runtimes/native_api.h"
#include "analyzer/runtimes/rtos/rtos.h"
#include "analyzer/sandbox.h"
#include "analyzer/survey.h"
#include "rules/engine/model.h"

/* Says why in s->error unless a deeper stage already did. */
static enum hr_status fail(struct hr_session *s, enum hr_status st, const char *what)
{
    if (st == HR_NOMEM)
        snprintf(s->error, sizeof s->error, "out of memory (%s)%s", what,
                 s->opt.max_memory ? ": more may be allowed with --max-memory" : "");
    else if (st != HR_OK && !s->error[0]) {
        /* the last damage note is the best explanation there is */
        const char *why = NULL;
        for (size_t i = s->notes.list.n; i-- > 0 && !why;)
            if (s->notes.list.v[i].level != HR_NOTE_INFO)
                why = s->notes.list.v[i].text;
        if (why)
            snprintf(s->error, sizeof s->error, "%s", why);
        else
            snprintf(s->error, sizeof s->error, "%s: %s", what, hr_status_name(st));
    }
    return st;
}

static enum hr_status open_files(struct hr_session *s)
{
    const struct heapray_options *o = &s->opt;
    enum hr_status st = hr_file_open(o->image, &s->open_opt, &s->notes, &s->files[0]);
    if (st != HR_OK)
        return fail(s, st, o->image);
    s->nfiles = 1;
    for (size_t i = 0; i < o->nwith; i++) {
        if (s->nfiles == sizeof s->files / sizeof *s->files) {
            snprintf(s->error, sizeof s->error, "at most 16 --with images");
            return HR_USAGE;
        }
        st = hr_file_open(o->with[i], &s->open_opt, &s->notes, &s->files[s->nfiles]);
        if (st != HR_OK)
            return fail(s, st, o->with[i]);
        s->nfiles++;
    }
    return HR_OK;
}

static void bound_memory(const struct hr_session *s, uint64_t most)
{
    if (s->opt.sandbox || s->opt.max_memory)
        hr_sandbox_memory(most);
}

/* Nothing is opened or started any more: what follows is computing on what the input claims. */
static void gate(struct hr_session *s)
{
    if (!s->opt.sandbox || s->gated)
        return;
    s->gated = true;
    if (!hr_sandbox_enter(s->replaces_file ? HR_SANDBOX_REPLACE : HR_SANDBOX_READ))
        hr_note(&s->notes, HR_NOTE_INFO, "sandbox.none", "the system offers no filter for system calls: the analysis ran with all rights");
}

static enum hr_status open_image(struct hr_session *s)
{
    bound_memory(s, 0);
    hr_image_init(&s->image, s->strs, &s->notes);
    s->have_image = true;
    enum hr_status st = hr_image_load(s->files, s->nfiles, &s->open_opt, &s->image);
    if (st != HR_OK)
        return fail(s, st, s->opt.image);
    bound_memory(s, s->opt.max_memory); /* all inputs are mapped now */
    st = hr_types_create(&s->image, &s->types);
    return fail(s, st, "type table");
}

enum hr_status hr_session_open(const struct heapray_options *opt, bool want_types, struct hr_session **ret)
{
    struct hr_session *s = hr_zalloc(1, sizeof *s);
    *ret = s;
    if (!s)
        return HR_NOMEM;
    s->opt = *opt;
    s->want_types = want_types && !opt->no_types;
    hr_notes_init(&s->notes);
    s->open_opt = (struct hr_open_options){
        .exe = opt->exe,
        .sysroot = opt->sysroot,
        .debug_dirs = (const char **)opt->debug_dirs,
        .ndebug_dirs = opt->ndebug_dirs,
        .regs = opt->regs,
        .arch = opt->arch,
        .endian = opt->endian,
        .no_host_files = opt->no_host_files,
        .no_debug_files = opt->no_debug_files,
    };
    s->dwarf_opt = (struct hr_dwarf_options){.no_cache = opt->no_cache, .max_memory = opt->max_memory};
    s->hist.max = HR_MAX_TYPES;
    s->cycles.max = HR_MAX_BLOCKS;
    s->cycle_members.max = HR_MAX_BLOCKS;
    enum hr_status st = hr_strs_create(&s->strs);
    if (st == HR_OK)
        st = open_files(s);
    if (st == HR_OK)
        st = open_image(s);
    return st;
}

void hr_session_close(struct hr_session *s)
{
    if (!s)
        return;
    hr_survey_destroy(s->survey);
    hr_frag_destroy(s->frag);
    hr_owners_destroy(s->owners);
    hr_free(s->place);
    hr_typerowvec_deinit(&s->hist);
    hr_cyclevec_deinit(&s->cycles);
    hr_u32vec_deinit(&s->cycle_members);
    hr_free(s->retained);
    hr_free(s->heaviest);
    hr_free(s->idom);
    hr_free(s->entries);
    hr_graph_destroy(s->rev);
    hr_graph_destroy(s->graph);
    hr_leaks_destroy(s->leaks);
    if (s->runtimes)
        hr_runtimes_close(s->runtimes);
    hr_stacks_destroy(s->stacks);
    hr_rtos_destroy(s->rtos);
    hr_heap_destroy(s->heap);
    hr_types_destroy(s->types);
    if (s->have_image)
        hr_image_deinit(&s->image);
    for (size_t i = 0; i < s->nfiles; i++)
        hr_file_close(s->files[i]);
    hr_notes_deinit(&s->notes);
    hr_strs_destroy(s->strs);
    hr_free(s);
}

enum hr_status hr_session_heap(struct hr_session *s)
{
    if (s->heap)
        return HR_OK;
    HR_TRY(fail(s, hr_heap_build(&s->image, s->types, &s->heap), "walking the heap"));
    if (!s->want_types)
        gate(s);
    return HR_OK;
}

/* A runtime or allocator that is not there is no failure; only memory is. */
enum hr_status hr_session_roots(struct hr_session *s)
{
    if (s->runtimes)
        return HR_OK;
    HR_TRY(hr_session_heap(s));
    if (s->want_types) {
        enum hr_status st = hr_types_load_all(s->types, &s->dwarf_opt);
        if (st == HR_NOMEM)
            return fail(s, st, "reading types");
    }
    enum hr_status st = hr_rtos_find(&s->image, s->types, s->heap, &s->notes, &s->rtos);
    if (st != HR_OK && st != HR_ABSENT)
        return fail(s, st, "finding tasks");
    st = hr_stacks_create(s->types, s->want_types, &s->dwarf_opt, &s->stacks);
    if (st != HR_OK) {
        s->stacks = NULL;
        hr_note(&s->notes, HR_NOTE_DEGRADED, "stacks.none", "stacks could not be unwound (%s): whole stacks count as roots",
                hr_status_name(st));
    }
    s->rin = (struct hr_runtime_in){
        .image = &s->image,
        .types = s->types,
        .heap = s->heap,
        .rtos = s->rtos,
        .stacks = s->stacks,
        .dwarf = &s->dwarf_opt,
        .assume = s->opt.assume,
        .n_assume = s->opt.nassume,
        .notes = &s->notes,
    };
    gate(s);
    HR_TRY(fail(s, hr_runtimes_open(&s->rin, &s->runtimes), "finding roots"));
    s->native = hr_runtimes_self(s->runtimes, "native");
    return HR_OK;
}

static bool claims(void *ctx, hr_id node)
{
    struct hr_session *s = ctx;
    return hr_runtimes_claims(s->runtimes, node);
}

static void mark_edges(void *ctx, hr_id node, void (*emit)(void *emit_ctx, hr_id to, uint8_t surety), void *emit_ctx)
{
    struct hr_session *s = ctx;
    hr_runtimes_links(s->runtimes, node, emit, emit_ctx);
}

enum hr_status hr_session_reach(struct hr_session *s)
{
    if (s->marked)
        return HR_OK;
    HR_TRY(hr_session_roots(s));
    struct hr_mark_options mo = {.ctx = s};
    if (hr_runtimes_managed(s->runtimes)) {
        mo.claims = claims;
        mo.edges = mark_edges;
    }
    HR_TRY(fail(s, hr_mark(s->heap, &mo), "marking"));
    HR_TRY(fail(s, hr_leaks_find(s->heap, &mo, &s->leaks), "sorting leaks"));
    s->marked = true;
    return HR_OK;
}

enum hr_status hr_session_types(struct hr_session *s)
{
    if (s->classified)
        return HR_OK;
    HR_TRY(hr_session_roots(s));
    HR_TRY(fail(s, hr_runtimes_classify(s->runtimes), "typing blocks"));
    s->classified = true;
    return HR_OK;
}

bool hr_root_strong(const struct hr_root *r) { return !r->weak && r->kind != HR_ROOT_DEAD_STACK; }

struct graph_source {
    struct hr_session *s;
    hr_graph_emit_fn *emit;
    void *emit_ctx;
    bool counts, handle;       /* the node's exact references are counted by its runtime; it is a reference that its runtime knows */
};

static bool alive(uint8_t state) { return state == HR_USED || state == HR_HOST || state == HR_OWN; }

/* Pointers at blocks that were given back are stale: no edges of the object graph. */
static void graph_link(void *ctx, hr_id to, uint8_t surety)
{
    struct graph_source *g = ctx;
    const struct hr_heap *h = g->s->heap;
    if (to < h->n && h->closed.nbits && hr_bits_get(&h->closed, to) && !g->handle && (!g->counts || surety != HR_SURE_EXACT))
        return;
    if (to >= h->n || alive(h->state[to]))
        g->emit(g->emit_ctx, to);
}


static void graph_edges(void *ctx, uint32_t node, hr_graph_emit_fn *emit, void *emit_ctx)
{
    struct graph_source *g = ctx;
    const struct hr_heap *h = g->s->heap;
    if (node < h->n ? !alive(h->state[node]) : !hr_root_strong(hr_node_root(h, node)))
        return;
    g->emit = emit;
    g->emit_ctx = emit_ctx;
    g->handle = hr_node_is_root(h, node) && hr_node_root(h, node)->kind == HR_ROOT_HANDLE;
    g->counts = h->closed.nbits && !g->handle && hr_runtimes_claims(g->s->runtimes, node);
    hr_runtimes_links(g->s->runtimes, node, graph_link, g);
}

enum hr_status hr_session_graph(struct hr_session *s)
{
    if (s->graph)
        return HR_OK;
    /* Typed edges where there are types: an interior pointer that a typed field explains is an exact edge. */
    HR_TRY(s->want_types ? hr_session_types(s) : hr_session_roots(s));
    struct graph_source g = {.s = s};
    HR_TRY(fail(s, hr_graph_build(hr_node_count(s->heap), graph_edges, &g, &s->graph), "building the graph"));
    uint32_t n = 0;
    s->entries = hr_alloc((s->heap->roots.n + 1) * sizeof *s->entries);
    if (!s->entries)
        return fail(s, HR_NOMEM, "roots");
    for (size_t i = 0; i < s->heap->roots.n; i++)
        if (hr_root_strong(&s->heap->roots.v[i]))
            s->entries[n++] = s->heap->n + (hr_id)i;
    s->nentries = n;
    return HR_OK;
}

enum hr_status hr_session_reverse(struct hr_session *s)
{
    if (s->rev)
        return HR_OK;
    HR_TRY(hr_session_graph(s));
    return fail(s, hr_graph_reverse(s->graph, &s->rev), "reversing the graph");
}

static uint64_t weigh(void *ctx, uint32_t node)
{
    const struct hr_heap *h = ctx;
    return node < h->n && alive(h->state[node]) ? hr_block_size(h, node) : 0;
}

/* Words of live stacks and registers that no variable covers: mostly remains of earlier calls, where debug information says what the
 * variables are. They keep blocks alive, but do not share the retained size of what something surer holds. */
static bool unsure_root(const struct hr_session *s, hr_id node)
{
    unsigned kind = hr_node_root(s->heap, node)->kind;
    return kind == HR_ROOT_STACK || kind == HR_ROOT_REGISTER;
}

static bool has_locals(const struct hr_session *s)
{
    for (size_t i = 0; i < s->heap->roots.n; i++)
        if (s->heap->roots.v[i].kind == HR_ROOT_LOCAL)
            return true;
    return false;
}

struct entries { uint32_t *v, sure, n; }; /* first the sure ones */

/* Leaked blocks are dominated too: the leak heads are entries of their own, so "retained" of a leak is what it holds; but what they still
 * point at of the living is not theirs. */
static enum hr_status dominator_entries(struct hr_session *s, struct entries *ret)
{
    HR_TRY(hr_session_reach(s));
    bool locals = has_locals(s);
    uint32_t n = 0;
    uint32_t *e = hr_alloc((s->nentries + s->leaks->list.n + 1) * sizeof *e);
    if (!e)
        return HR_NOMEM;
    for (uint32_t i = 0; i < s->nentries; i++)
        if (!locals || !unsure_root(s, s->entries[i]))
            e[n++] = s->entries[i];
    ret->sure = n;
    for (size_t i = 0; i < s->leaks->list.n; i++)
        e[n++] = s->leaks->list.v[i].head;
    for (uint32_t i = 0; locals && i < s->nentries; i++)
        if (unsure_root(s, s->entries[i]))
            e[n++] = s->entries[i];
    ret->v = e;
    ret->n = n;
    return HR_OK;
}

/* What only unsure entries and leaks reach, by itself: edges from there to what is surely held do not count. */
static enum hr_status dominate_rest(struct hr_session *s, const struct entries *e)
{
    if (e->n == e->sure)
        return HR_OK;
    struct hr_bits rest = {0};
    HR_AUTOFREE uint32_t *idom = hr_alloc(((size_t)s->graph->n + 1) * sizeof *idom);
    enum hr_status st = idom ? hr_bits_init(&rest, (uint64_t)s->graph->n + 1) : HR_NOMEM;
    for (uint32_t i = 0; st == HR_OK && i < s->graph->n; i++)
        if (s->idom[i] == HR_NONE)
            hr_bits_set(&rest, i);
    if (st == HR_OK)
        st = hr_graph_dominators(s->graph, e->v + e->sure, e->n - e->sure, &rest, idom);
    for (uint32_t i = 0; st == HR_OK && i < s->graph->n; i++)
        if (s->idom[i] == HR_NONE)
            s->idom[i] = idom[i];
    hr_bits_deinit(&rest);
    return st;
}

enum hr_status hr_session_dominators(struct hr_session *s)
{
    if (s->retained)
        return HR_OK;
    HR_TRY(hr_session_graph(s));
    struct entries e = {0};
    HR_TRY(fail(s, dominator_entries(s, &e), "roots"));
    HR_AUTOFREE uint32_t *entries = e.v;
    s->idom = hr_alloc(((size_t)s->graph->n + 1) * sizeof *s->idom);
    if (!s->idom)
        return fail(s, HR_NOMEM, "dominators");
    HR_TRY(fail(s, hr_graph_dominators(s->graph, entries, e.sure, NULL, s->idom), "dominators"));
    HR_TRY(fail(s, dominate_rest(s, &e), "dominators"));
    uint64_t *retained = hr_zalloc((size_t)s->graph->n + 1, sizeof *retained);
    if (!retained)
        return fail(s, HR_NOMEM, "retained sizes");
    enum hr_status st = hr_graph_retained(s->idom, s->graph->n, weigh, s->heap, retained);
    if (st == HR_OK)
        s->retained = retained;
    else
        hr_free(retained);
    return fail(s, st, "retained sizes");
}

static int by_cycle_bytes(const void *a, const void *b)
{
    const struct hr_cycle *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->member0 < y->member0 ? -1 : x->member0 > y->member0;
}

static enum hr_status collect_cycles(struct hr_session *s, const uint32_t *comp, uint32_t ncomp)
{
    const struct hr_heap *h = s->heap;
    HR_AUTOFREE uint32_t *count = hr_zalloc((size_t)ncomp + 1, sizeof *count);
    if (!count)
        return HR_NOMEM;
    for (hr_id i = 0; i < h->n; i++)
        if (comp[i] != HR_NONE)
            count[comp[i]]++;
    /* count[c] becomes the index of the cycle, HR_NONE for singles; members are placed in address order. */
    uint64_t placed = 0;
    for (uint32_t c = 0; c < ncomp; c++) {
        uint32_t n = count[c];
        count[c] = HR_NONE;
        if (n < 2)
            continue;
        count[c] = (uint32_t)s->cycles.n;
        HR_TRY(hr_cyclevec_push(&s->cycles, (struct hr_cycle){.member0 = (uint32_t)placed, .members = 0}));
        placed += n;
    }
    HR_TRY(hr_u32vec_reserve(&s->cycle_members, placed));
    s->cycle_members.n = placed;
    for (hr_id i = 0; i < h->n; i++) {
        if (comp[i] == HR_NONE || count[comp[i]] == HR_NONE)
            continue;
        struct hr_cycle *c = &s->cycles.v[count[comp[i]]];
        s->cycle_members.v[c->member0 + c->members++] = i;
        c->bytes += hr_block_size(h, i);
        c->leaked |= h->reach && h->reach[i] >= HR_LEAKED_DIRECT;
    }
    qsort(s->cycles.v, s->cycles.n, sizeof *s->cycles.v, by_cycle_bytes);
    return HR_OK;
}

enum hr_status hr_session_cycles(struct hr_session *s)
{
    if (s->have_cycles)
        return HR_OK;
    HR_TRY(hr_session_graph(s));
    HR_TRY(hr_session_reach(s));
    HR_AUTOFREE uint32_t *comp = hr_alloc(((size_t)s->graph->n + 1) * sizeof *comp);
    if (!comp)
        return fail(s, HR_NOMEM, "cycles");
    uint32_t ncomp;
    HR_TRY(fail(s, hr_graph_scc(s->graph, NULL, comp, &ncomp), "cycles"));
    HR_TRY(fail(s, collect_cycles(s, comp, ncomp), "cycles"));
    s->have_cycles = true;
    return HR_OK;
}

static int by_row_bytes(const void *a, const void *b)
{
    const struct hr_typerow *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return x->group < y->group ? -1 : x->group > y->group;
}

uint64_t hr_hist_key(const struct hr_session *s, hr_id id)
{
    hr_type t = s->heap->type ? s->heap->type[id] : 0;
    return t ? t : 1ull << 32 | (s->native ? hr_native_group_of(s->native, id) : HR_NONE);
}

char *hr_hist_name(const struct hr_session *s, const struct hr_typerow *r, char *buf, size_t cap)
{
    const struct hr_group *groups;
    if (r->type)
        return hr_type_name(s->types, r->type, buf, cap);
    if (s->native && r->group < hr_native_groups(s->native, &groups))
        snprintf(buf, cap, "%s", groups[r->group].name);
    else
        snprintf(buf, cap, "untyped");
    return buf;
}

enum hr_status hr_session_hist(struct hr_session *s)
{
    if (s->have_hist)
        return HR_OK;
    HR_TRY(hr_session_types(s));
    HR_TRY(hr_session_reach(s));
    const struct hr_heap *h = s->heap;
    const size_t ntypes = s->types->rows.n;
    HR_AUTOFREE uint32_t *row_of = hr_alloc((ntypes + 1) * sizeof *row_of);
    if (!row_of)
        return fail(s, HR_NOMEM, "type histogram");
    memset(row_of, 0xff, (ntypes + 1) * sizeof *row_of);
    struct hr_map index; /* of the groups of untyped blocks */
    hr_map_init(&index, HR_MAX_TYPES);
    enum hr_status st = HR_OK;
    for (hr_id i = 0; i < h->n && st == HR_OK; i++) {
        if (h->state[i] != HR_USED)
            continue;
        uint64_t key = hr_hist_key(s, i);
        uint32_t *slot = &row_of[hr_min(key, ntypes)];
        bool was = *slot != HR_NONE;
        if (key >> 32)
            st = hr_map_slot(&index, key, (uint32_t)s->hist.n, &slot, &was);
        if (st == HR_OK && !was) {
            struct hr_typerow row = {.type = key >> 32 ? 0 : (hr_type)key, .group = key >> 32 ? (uint32_t)key : HR_NONE, .largest_id = i};
            *slot = (uint32_t)s->hist.n;
            st = hr_typerowvec_push(&s->hist, row);
        }
        if (st != HR_OK)
            break;
        struct hr_typerow *r = &s->hist.v[*slot];
        uint64_t size = hr_block_size(h, i);
        r->count++;
        r->bytes += size;
        if (h->evidence && h->evidence[i] > r->evidence)
            r->evidence = h->evidence[i];
        if (h->reach && h->reach[i] >= HR_LEAKED_DIRECT) {
            r->leaked_count++;
            r->leaked_bytes += size;
        }
        if (size > r->largest) {
            r->largest = size;
            r->largest_id = i;
        }
    }
    hr_map_deinit(&index);
    if (st == HR_OK) {
        if (s->hist.n)
            qsort(s->hist.v, s->hist.n, sizeof *s->hist.v, by_row_bytes);
        s->have_hist = true;
    }
    return fail(s, st, "type histogram");
}

enum hr_status hr_session_frag(struct hr_session *s)
{
    if (s->frag)
        return HR_OK;
    HR_TRY(hr_session_heap(s));
    if (s->want_types)
        HR_TRY(hr_session_types(s));
    return fail(s, hr_frag_create(s->heap, s->image.page, &s->frag), "fragmentation");
}

enum hr_status hr_session_need(struct hr_session *s, uint32_t needs)
{
    HR_TRY(hr_session_heap(s));
    if (needs & HR_NEED_REACH)
        HR_TRY(hr_session_reach(s));
    if (needs & HR_NEED_TYPES)
        HR_TRY(hr_session_hist(s));
    if (needs & HR_NEED_GRAPH)
        HR_TRY(hr_session_graph(s));
    if (needs & HR_NEED_DOMINATORS)
        HR_TRY(hr_session_dominators(s));
    if (needs & HR_NEED_DOMINATORS && needs & HR_NEED_TYPES)
        HR_TRY(hr_session_type_retained(s));
    if (needs & HR_NEED_SCC)
        HR_TRY(hr_session_cycles(s));
    if (needs & HR_NEED_FRAG)
        HR_TRY(hr_session_frag(s));
    return HR_OK;
}

/* A heap inside another's block: to the outer allocator all of it is in use, to the program only what the inner one says, and what is left of
 * the block is the inner one's tables. */
static void count_nested_once(const struct hr_heap *h, struct heapray_totals *t)
{
    hr_id last[HR_MAX_NEST + 1];
    memset(last, 0xff, sizeof last);
    for (size_t i = 0; i < h->regions.n; i++) {
        const struct hr_region *r = &h->regions.v[i];
        if (r->host == HR_NONE)
            continue;
        uint64_t block = hr_block_size(h, r->host);
        unsigned depth = 0;
        for (uint32_t up = r->parent; up != HR_NONE && depth < HR_MAX_NEST; up = h->regions.v[up].parent)
            depth++;
        if (last[depth] != r->host) { /* regions are sorted by address: those of one host follow each other */
            t->used_blocks -= hr_min(t->used_blocks, 1);
            t->used_bytes -= hr_min(t->used_bytes, block);
            t->own_bytes += block;
        }
        last[depth] = r->host;
        t->own_bytes -= hr_min(t->own_bytes, r->size);
        t->mapped -= hr_min(t->mapped, r->size);
    }
}

struct heapray_totals hr_session_totals(const struct hr_session *s)
{
    struct heapray_totals t = {.blocks = s->heap->n};
    for (size_t i = 0; i < s->heap->arenas.n; i++) {
        const struct hr_arena *a = &s->heap->arenas.v[i];
        t.mapped += a->mapped;
        t.used_blocks += a->used_blocks, t.used_bytes += a->used_bytes;
        t.cached_blocks += a->cached_blocks, t.cached_bytes += a->cached_bytes;
        t.free_blocks += a->free_blocks, t.free_bytes += a->free_bytes;
        t.overhead_bytes += a->overhead_bytes;
        t.own_bytes += a->own_bytes;
    }
    count_nested_once(s->heap, &t);
    return t;
}
