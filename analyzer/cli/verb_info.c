#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/owners.h"
#include "analyzer/runtimes/rtos/rtos.h"

static uint64_t explained(const struct hr_session *s, uint64_t by[HR_EV_COUNT])
{
    const struct hr_heap *h = s->heap;
    uint64_t heap = 0;
    memset(by, 0, HR_EV_COUNT * sizeof *by);
    for (hr_id i = 0; i < h->n; i++) {
        if (h->state[i] != HR_USED)
            continue;
        uint64_t size = hr_block_size(h, i);
        heap += size;
        by[h->evidence ? h->evidence[i] : HR_EV_NONE] += size;
    }
    return heap;
}

static void json_threads(struct hr_cli *c, struct hr_json *j)
{
    hr_json_arr(j, "threads");
    for (size_t i = 0; i < c->s->image.threads.n; i++) {
        const struct hr_thread *t = &c->s->image.threads.v[i];
        if (hr_rtos_no_task(c->s->rtos, &c->s->image, (uint32_t)i))
            continue;
        hr_json_obj(j, NULL);
        hr_json_num(j, "tid", t->tid);
        if (t->signal)
            hr_json_int(j, "signal", t->signal);
        else
            hr_json_null(j, "signal");
        hr_json_addr(j, "pc", t->pc);
        hr_json_addr(j, "sp", t->sp);
        hr_json_str(j, "name", t->name ? hr_strs_get(c->s->strs, t->name) : NULL);
        hr_cli_json_task(c, j, (uint32_t)i);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_sums(struct hr_json *j, const struct hr_arena *a)
{
    hr_json_num(j, "mapped", a->mapped);
    hr_json_num(j, "mapped_bytes", a->mapped);
    hr_json_num(j, "used_blocks", a->used_blocks);
    hr_json_num(j, "used_bytes", a->used_bytes);
    hr_json_num(j, "cached_blocks", a->cached_blocks);
    hr_json_num(j, "cached_bytes", a->cached_bytes);
    hr_json_num(j, "free_blocks", a->free_blocks);
    hr_json_num(j, "free_bytes", a->free_bytes);
    hr_json_num(j, "overhead_bytes", a->overhead_bytes + a->own_bytes); /* used + cached + free + overhead = mapped */
    hr_json_num(j, "own_blocks", a->own_blocks); /* the allocator's own blocks, a part of the overhead */
    hr_json_num(j, "own_bytes", a->own_bytes);
}

static void add_arena(struct hr_arena *sum, const struct hr_arena *a)
{
    sum->mapped += a->mapped;
    sum->used_blocks += a->used_blocks, sum->used_bytes += a->used_bytes;
    sum->cached_blocks += a->cached_blocks, sum->cached_bytes += a->cached_bytes;
    sum->free_blocks += a->free_blocks, sum->free_bytes += a->free_bytes;
    sum->own_blocks += a->own_blocks, sum->own_bytes += a->own_bytes;
    sum->overhead_bytes += a->overhead_bytes;
}

static void json_arena(struct hr_cli *c, struct hr_json *j, const struct hr_arena *a)
{
    hr_json_obj(j, NULL);
    hr_json_str(j, "name", hr_strs_get(c->s->strs, a->name));
    if (a->addr)
        hr_json_addr(j, "addr", a->addr);
    else
        hr_json_null(j, "addr");
    json_sums(j, a);
    hr_json_num(j, "top_bytes", a->top_bytes);
    if (a->system_bytes)
        hr_json_num(j, "system_bytes", a->system_bytes);
    else
        hr_json_null(j, "system_bytes");
    hr_json_num(j, "largest_free", a->largest_free);
    hr_json_bool(j, "corrupt", a->corrupt);
    hr_json_end(j);
}

static void json_allocators(struct hr_cli *c, struct hr_json *j)
{
    const struct hr_heap *h = c->s->heap;
    hr_json_arr(j, "allocators");
    for (uint32_t k = 0; k < h->allocators.n; k++) {
        const struct hr_allocator_info *a = &h->allocators.v[k];
        struct hr_arena sum = {0};
        uint64_t regions = 0;
        for (size_t i = 0; i < h->regions.n; i++)
            regions += h->arenas.v[h->regions.v[i].arena].allocator == k;
        for (size_t i = 0; i < h->arenas.n; i++)
            if (h->arenas.v[i].allocator == k)
                add_arena(&sum, &h->arenas.v[i]);
        hr_json_obj(j, NULL);
        hr_json_str(j, "name", a->name);
        hr_json_str(j, "version", a->version[0] ? a->version : NULL);
        hr_json_str(j, "evidence", a->evidence);
        hr_json_num(j, "regions", regions);
        json_sums(j, &sum);
        hr_json_arr(j, "arenas");
        for (size_t i = 0; i < h->arenas.n; i++)
            if (h->arenas.v[i].allocator == k)
                json_arena(c, j, &h->arenas.v[i]);
        hr_json_end(j);
        hr_json_end(j);
    }
    hr_json_end(j);
}

/* used_bytes = explained_bytes + by_owner.unexplained; by_owner adds up to used_bytes. */
static void json_owners(struct hr_cli *c, struct hr_json *j)
{
    const struct hr_owners *w = c->s->owners;
    hr_json_arr(j, "by_allocator");
    for (uint16_t a = 0; w && a < w->nallocators; a++) {
        uint64_t all = hr_owners_used(w, a);
        hr_json_obj(j, NULL);
        hr_json_str(j, "allocator", c->s->heap->allocators.v[a].name);
        hr_json_num(j, "used_bytes", all);
        hr_json_num(j, "explained_bytes", all - w->bytes[a][HR_OWNED_NOT]);
        hr_json_obj(j, "by_owner");
        for (unsigned k = 0; k < HR_OWNED_CLASSES; k++)
            hr_json_num(j, hr_owned_name(k), w->bytes[a][k]);
        hr_json_end(j);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_explained(struct hr_cli *c, struct hr_json *j)
{
    uint64_t by[HR_EV_COUNT], heap = explained(c->s, by);
    hr_json_obj(j, "explained");
    hr_json_num(j, "heap_bytes", heap);
    hr_json_num(j, "typed_bytes", heap - by[HR_EV_NONE]);
    hr_json_obj(j, "by_evidence");
    for (unsigned e = HR_EV_NONE + 1; e < HR_EV_COUNT; e++)
        if (by[e])
            hr_json_num(j, hr_evidence_name(e), by[e]);
    hr_json_end(j);
    json_owners(c, j);
    hr_json_end(j);
}

static void info_json(struct hr_cli *c)
{
    struct hr_json j;
    const struct hr_image *img = &c->s->image;
    hr_cli_json_begin(c, &j);
    json_threads(c, &j);
    if (img->signal)
        hr_json_int(&j, "signal", img->signal);
    else
        hr_json_null(&j, "signal");
    if (img->has_fault_addr)
        hr_json_addr(&j, "fault_addr", img->fault_addr);
    else
        hr_json_null(&j, "fault_addr");
    hr_json_str(&j, "command_line", img->args ? hr_strs_get(c->s->strs, img->args) : NULL);
    json_allocators(c, &j);
    const struct hr_runtime_info *r;
    size_t n = hr_runtimes_list(c->s->runtimes, &r);
    hr_json_arr(&j, "runtimes");
    for (size_t i = 0; i < n; i++) {
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "name", r[i].name);
        hr_json_str(&j, "version", r[i].version[0] ? r[i].version : NULL);
        hr_json_str(&j, "evidence", r[i].evidence);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    json_explained(c, &j);
    hr_json_end(&j);
}

static void text_tasks(struct hr_cli *c)
{
    const struct hr_rtos *r = c->s->rtos;
    static const char *const heads[] = {"task", "state", "prio", "stack", "in use", "control block"};
    if (!r || !r->tasks.n)
        return;
    hr_outf(&c->out, "\nTasks (%s)\n", r->kernel);
    struct hr_tab *t = hr_tab_create(&c->out, heads, "llrrrl", 6);
    size_t most = c->all ? SIZE_MAX : c->limit ? c->limit : 40;
    for (size_t i = 0; i < r->tasks.n && i < most; i++) {
        const struct hr_task *k = &r->tasks.v[i];
        hr_tab_cell(t, k->name ? hr_strs_get(c->s->strs, k->name) : "?");
        hr_tab_cell(t, hr_task_state_name(k->state) ? hr_task_state_name(k->state) : "?");
        if (k->has_priority)
            hr_tab_cellf(t, "%lld", (long long)k->priority);
        else
            hr_tab_cell(t, "?");
        hr_tab_cell(t, hr_cli_bytes(c, k->stack_hi - k->stack_lo));
        hr_tab_cell(t, k->overflow ? "OVERFLOW" : k->sp >= k->stack_lo && k->sp <= k->stack_hi ? hr_cli_bytes(c, k->stack_hi - k->sp) : "?");
        hr_tab_cellf(t, "0x%llx", (unsigned long long)k->tcb);
    }
    hr_tab_print(t, 2);
}

static void text_modules(struct hr_cli *c)
{
    struct hr_out *o = &c->out;
    const struct hr_report_head *h = hr_cli_head(c);
    if (!h->nmodules)
        return;
    hr_outf(o, "\nModules\n");
    static const char *const heads[] = {"from", "to", "debug", "build-id", "file"};
    struct hr_tab *t = hr_tab_create(o, heads, "lllll", 5);
    for (size_t i = 0; i < h->nmodules; i++) {
        const struct hr_module *m = &c->s->image.modules.v[i];
        hr_tab_cellf(t, "0x%llx", (unsigned long long)m->lo);
        hr_tab_cellf(t, "0x%llx", (unsigned long long)m->hi);
        hr_tab_cell(t, h->modules[i].debug);
        hr_tab_cellf(t, "%.12s", h->modules[i].build_id[0] ? h->modules[i].build_id : "-");
        hr_tab_cell(t, h->modules[i].path);
    }
    hr_tab_print(t, 2);
}

static void text_arenas(struct hr_cli *c)
{
    struct hr_out *o = &c->out;
    const struct hr_heap *h = c->s->heap;
    for (uint32_t k = 0; k < h->allocators.n; k++) {
        const struct hr_allocator_info *a = &h->allocators.v[k];
        hr_outf(o, "\nAllocator ");
        hr_out_style(o, HR_BOLD);
        hr_out_esc(o, a->name);
        hr_outf(o, " %s", a->version);
        hr_out_style(o, HR_PLAIN);
        hr_outf(o, " (");
        hr_out_esc(o, a->evidence);
        hr_outf(o, ")\n");
        static const char *const heads[] = {"mapped", "in use", "blocks", "cached", "free", "overhead", "arena"};
        struct hr_tab *t = hr_tab_create(o, heads, "rrrrrrl", 7);
        size_t shown = 0, hidden = 0;
        for (size_t i = 0; i < h->arenas.n; i++) {
            const struct hr_arena *r = &h->arenas.v[i];
            if (r->allocator != k || (!c->all && shown >= 24 && ++hidden))
                continue;
            shown++;
            hr_tab_cell(t, hr_cli_bytes(c, r->mapped));
            hr_tab_cell(t, hr_cli_bytes(c, r->used_bytes));
            hr_tab_cell(t, hr_cli_count(c, r->used_blocks));
            hr_tab_cell(t, hr_cli_bytes(c, r->cached_bytes));
            hr_tab_cell(t, hr_cli_bytes(c, r->free_bytes));
            hr_tab_cell(t, hr_cli_bytes(c, r->overhead_bytes + r->own_bytes));
            hr_tab_cellf(t, "%s%s", hr_strs_get(c->s->strs, r->name), r->corrupt ? " (corrupt)" : "");
        }
        hr_tab_print(t, 2);
        if (hidden)
            hr_outf(o, "  [%s other arenas: --all]\n", hr_cli_count(c, hidden));
    }
}

static void text_explained(struct hr_cli *c)
{
    uint64_t by[HR_EV_COUNT], heap = explained(c->s, by);
    struct hr_out *o = &c->out;
    if (!heap)
        return;
    hr_outf(o, "\nTypes: %s of %s in use are typed (%s)\n", hr_cli_bytes(c, heap - by[HR_EV_NONE]), hr_cli_bytes(c, heap),
            hr_cli_pct(heap - by[HR_EV_NONE], heap));
    for (unsigned e = HR_EV_NONE + 1; e < HR_EV_COUNT; e++)
        if (by[e])
            hr_outf(o, "  %10s  %6s  by %s\n", hr_cli_bytes(c, by[e]), hr_cli_pct(by[e], heap), hr_evidence_name(e));
}

/* For each allocator, whose its blocks in use are. */
static void text_owners(struct hr_cli *c)
{
    const struct hr_owners *w = c->s->owners;
    for (uint16_t a = 0; w && a < w->nallocators; a++) {
        uint64_t all = hr_owners_used(w, a);
        if (!all)
            continue;
        hr_outf(&c->out, "\nOwners: %s of %s in use of %s have one\n", hr_cli_pct(all - w->bytes[a][HR_OWNED_NOT], all), hr_cli_bytes(c, all),
                c->s->heap->allocators.v[a].name);
        for (unsigned k = 0; k < HR_OWNED_CLASSES; k++)
            if (w->blocks[a][k])
                hr_outf(&c->out, "  %10s  %6s  %s\n", hr_cli_bytes(c, w->bytes[a][k]), hr_cli_pct(w->bytes[a][k], all), hr_owned_phrase(k));
    }
}

static void info_text(struct hr_cli *c)
{
    struct hr_out *o = &c->out;
    const struct hr_image *img = &c->s->image;
    const struct hr_report_head *h = hr_cli_head(c);
    hr_out_esc(o, h->image_path);
    hr_outf(o, ": %s, %s, %u-bit %s-endian%s\n", h->format ? h->format : "?", h->arch ? h->arch : "unknown processor", h->word_bits,
            h->endian, img->by_gcore ? ", written by a debugger" : "");
    if (img->args) {
        hr_outf(o, "command: ");
        hr_out_esc(o, hr_strs_get(c->s->strs, img->args));
        hr_outf(o, "\n");
    }
    if (img->signal)
        hr_outf(o, "signal: %d (%s)\n", img->signal, strsignal(img->signal));
    if (img->has_fault_addr)
        hr_outf(o, "fault address: 0x%llx\n", (unsigned long long)img->fault_addr);
    hr_outf(o, "%s segment%s, %s in the dump, %zu thread%s", hr_cli_count(c, img->segs.n), img->segs.n == 1 ? "" : "s",
            hr_cli_bytes(c, img->dumped_bytes), img->threads.n, img->threads.n == 1 ? "" : "s");
    if (img->missing_bytes)
        hr_outf(o, ", %s missing", hr_cli_bytes(c, img->missing_bytes));
    hr_outf(o, "\n");
    const struct hr_runtime_info *r;
    size_t n = hr_runtimes_list(c->s->runtimes, &r);
    for (size_t i = 0; i < n; i++) {
        hr_outf(o, "runtime: %s %s", r[i].name, r[i].version);
        if (r[i].evidence[0]) {
            hr_outf(o, " (");
            hr_out_esc(o, r[i].evidence);
            hr_outf(o, ")");
        }
        hr_outf(o, "\n");
    }
    text_arenas(c);
    text_tasks(c);
    text_explained(c);
    text_owners(c);
    text_modules(c);
    hr_cli_text_notes(c);
}

static int run(struct hr_cli *c)
{
    enum hr_status st = hr_session_types(c->s);
    if (st == HR_OK && hr_runtimes_managed(c->s->runtimes))
        st = hr_session_owners(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (c->json || c->ndjson)
        info_json(c);
    else
        info_text(c);
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_info = {
    .name = "info", .args = "", .summary = "what the image is: threads, modules, allocators, share typed",
    .help = "Prints what the image is and how much of it heapray understands: format, processor, threads, modules with "
            "their debug information, allocators with every arena's sums, runtimes, and the share of the heap whose type "
            "is known, by evidence. Where there is a Python or MicroPython, also whose each allocator's memory is.",
    .needs_image = true, .types = true, .run = run,
};
