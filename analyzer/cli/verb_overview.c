/* Bare `heapray CORE`: one screen. What this is, what filled it, the top suspects as sentences, the next commands. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/rules_cli.h"
#include "analyzer/domtree.h"
#include "analyzer/model.h"
#include "analyzer/owners.h"
#include "analyzer/runtimes/micropython/mp.h"
#include "analyzer/runtimes/native_api.h"

enum { TOP_TYPES = 8, TOP_SUSPECTS = 3, TOP_HOLDERS = 4 };

struct view {
    struct hr_findings findings;
    struct hr_rules *rules;
    struct hr_session_model *model;
    const struct hr_group *hint; /* unnamed group, NULL none */
};

static enum hr_status compute(struct hr_cli *c, struct view *v)
{
    struct hr_session *s = c->s;
    HR_TRY(hr_session_type_retained(s));
    HR_TRY(hr_session_frag(s));
    if (hr_runtimes_managed(s->runtimes))
        HR_TRY(hr_session_owners(s));
    hr_model_init(v->model, s);
    HR_TRY(hr_rules_check(v->rules, &v->model->model));
    HR_TRY(hr_session_need(s, hr_rules_needs(v->rules)));
    hr_model_refresh(v->model, s);
    HR_TRY(hr_rules_run(v->rules, &v->model->model, &v->findings));
    void *native = hr_runtimes_self(s->runtimes, "native");
    if (!native || hr_native_reach_hint(native, &v->hint) != HR_OK)
        v->hint = NULL;
    return HR_OK;
}

static uint64_t typed_bytes(const struct hr_session *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->hist.n; i++)
        if (s->hist.v[i].evidence)
            n += s->hist.v[i].bytes;
    return n;
}

/* A line put together piece by piece, then wrapped to the terminal. */
struct line { char text[2048]; size_t n; };
static void put(struct line *l, const char *fmt, ...) HR_PRINTF(2, 3);
static void put(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(l->text + l->n, sizeof l->text - l->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        l->n = hr_min(l->n + (size_t)n, sizeof l->text - 1);
}

/* Where the thread that was stopped by a signal stood: its innermost frame in the program itself, else the innermost at all. */
static void put_place(struct hr_cli *c, struct line *l)
{
    const struct hr_session *s = c->s;
    const struct hr_frame *best = NULL;
    if (!s->stacks || !s->stacks->n)
        return;
    for (uint32_t i = 0; i < s->stacks->of[0].nframes; i++) {
        const struct hr_frame *f = &s->stacks->frames.v[s->stacks->of[0].frame0 + i];
        bool own = f->module < s->image.modules.n && s->image.modules.v[f->module].main_exe;
        if (f->func && (own || !best)) {
            best = f;
            if (own)
                break;
        }
    }
    if (!best)
        return;
    put(l, ", in %s()", hr_strs_get(s->strs, best->func));
    if (best->file)
        put(l, " at %s:%u", hr_base_name(hr_strs_get(s->strs, best->file)), best->line);
}

static void print_what(struct hr_cli *c)
{
    struct hr_out *o = &c->out;
    const struct hr_session *s = c->s;
    const struct hr_image *img = &s->image;
    struct line l = {.n = 0};
    char head[300];
    put(&l, "%s, %s", img->args ? hr_strs_get(s->strs, img->args) : img->format ? img->format : "an image",
        img->arch ? img->arch->name : "unknown processor");
    if (!img->bare)
        put(&l, ", %zu thread%s", img->threads.n, img->threads.n == 1 ? "" : "s");
    else if (s->rtos)
        put(&l, ", %zu task%s", img->threads.n, img->threads.n == 1 ? "" : "s");
    else if (!img->arch || strcmp(img->arch->name, "wasm32")) /* which has none that could be saved */
        put(&l, img->threads.n ? ", registers known" : ", no registers (--regs FILE gives them)");
    if (img->signal) {
        put(&l, ", stopped by signal %d (%s)", img->signal, strsignal(img->signal));
        if (img->has_fault_addr && (img->signal == 11 || img->signal == 7))
            put(&l, " at address 0x%llx", (unsigned long long)img->fault_addr);
        put_place(c, &l);
    }
    snprintf(head, sizeof head, "%s: ", hr_base_name(c->opt.image));
    hr_out_style(o, HR_BOLD);
    hr_out_esc(o, head);
    hr_out_style(o, HR_PLAIN);
    hr_out_wrap(o, 0, l.text);
    if (!img->complete) {
        l.n = 0;
        put(&l, "This dump is cut: %s are missing. What lies there is unknown, and so is what it held.", hr_cli_bytes(c, img->missing_bytes));
        hr_out_style(o, HR_RED);
        hr_out_wrap(o, 0, l.text);
        hr_out_style(o, HR_PLAIN);
    }
}

/* "micropython 1.9.2": where a language brought the allocator, its version says more. */
static void put_allocator(struct hr_cli *c, struct line *l, const struct hr_allocator_info *a, size_t i)
{
    struct hr_mp *mp = strcmp(a->name, "micropython") ? NULL : hr_runtimes_self(c->s->runtimes, "micropython");
    const char *version = mp && mp->version[0] ? mp->version : a->version;
    put(l, "%s%s%s%s", i ? ", " : "", mp ? "MicroPython" : a->name, version[0] ? " " : "", version);
}

static void put_largest(struct hr_cli *c, struct line *l)
{
    uint64_t most = 0;
    for (size_t i = 0; i < c->s->heap->arenas.n; i++)
        most = hr_max(hr_max(most, c->s->heap->arenas.v[i].largest_free),
                      hr_max(c->s->frag->arenas.v[i].largest_run, c->s->frag->arenas.v[i].top_bytes));
    put(l, " (the largest piece %s) of %s", hr_cli_bytes(c, most), hr_cli_bytes(c, hr_session_totals(c->s).mapped));
}

static void print_heap(struct hr_cli *c)
{
    const struct hr_session *s = c->s;
    struct heapray_totals t = hr_session_totals(s);
    struct line l = {.n = 0};
    if (!s->heap->allocators.n) {
        hr_out_wrap(&c->out, 0, "No heap was found in it; the notes below say what may be missing.");
        return;
    }
    put(&l, "Heap (");
    for (size_t i = 0; i < s->heap->allocators.n; i++)
        put_allocator(c, &l, &s->heap->allocators.v[i], i);
    put(&l, "): %s in use in %s block%s, ", hr_cli_bytes(c, t.used_bytes), hr_cli_count(c, t.used_blocks), t.used_blocks == 1 ? "" : "s");
    if (t.cached_bytes || !s->image.bare)
        put(&l, "%s cached, ", hr_cli_bytes(c, t.cached_bytes));
    put(&l, "%s free", hr_cli_bytes(c, t.free_bytes));
    if (s->image.bare)
        put_largest(c, &l);
    else
        put(&l, ", %s mapped in %zu arena%s", hr_cli_bytes(c, t.mapped), s->heap->arenas.n, s->heap->arenas.n == 1 ? "" : "s");
    hr_out_wrap(&c->out, 0, l.text);
    l.n = 0;
    put(&l, "%s of the bytes in use have a type", hr_cli_pct(typed_bytes(s), t.used_bytes));
    if (s->leaks && s->heap->roots_complete && s->heap->allocators.n == 1 && !strcmp(s->heap->allocators.v[0].name, "micropython"))
        put(&l, "; %s in %s block%s (%s) %s garbage that gc.collect() would free", hr_cli_bytes(c, s->leaks->bytes),
            hr_cli_count(c, s->leaks->blocks), s->leaks->blocks == 1 ? "" : "s", hr_cli_pct(s->leaks->bytes, t.used_bytes),
            s->leaks->blocks == 1 ? "is" : "are");
    else if (s->leaks && s->heap->roots_complete)
        put(&l, "; %s in %s block%s %s %s (%s)%s", hr_cli_bytes(c, s->leaks->bytes), hr_cli_count(c, s->leaks->blocks),
            s->leaks->blocks == 1 ? "" : "s", s->leaks->blocks == 1 ? "is" : "are", hr_runtimes_managed(s->runtimes) ? "unreachable" : "leaked",
            hr_cli_pct(s->leaks->bytes, t.used_bytes), hr_runtimes_managed(s->runtimes) ? ", garbage of the runtime included" : "");
    else if (s->leaks)
        put(&l, "; what is leaked cannot be known, memory that may hold pointers is missing");
    for (uint16_t a = 0; s->owners && !s->image.bare && a < s->owners->nallocators; a++) {
        uint64_t all = hr_owners_used(s->owners, a), not = s->owners->bytes[a][HR_OWNED_NOT];
        if (all)
            put(&l, "; %s of %s's bytes belong to somebody known", hr_cli_pct(all - not, all), s->heap->allocators.v[a].name);
    }
    hr_out_wrap(&c->out, 0, l.text);
}

static void print_types(struct hr_cli *c)
{
    const struct hr_session *s = c->s;
    struct heapray_totals tot = hr_session_totals(s);
    static const char *const heads[] = {"bytes", "share", "count", "retained", "what fills it"};
    char name[1024];
    uint64_t count = 0, bytes = 0;
    if (!s->hist.n)
        return;
    hr_outf(&c->out, "\n");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrrrl", 5);
    for (size_t i = 0; i < s->hist.n; i++) {
        const struct hr_typerow *r = &s->hist.v[i];
        if (i >= TOP_TYPES) {
            count += r->count;
            bytes += r->bytes;
            continue;
        }
        hr_tab_cell(t, hr_cli_bytes(c, r->bytes));
        hr_tab_cell(t, hr_cli_pct(r->bytes, tot.used_bytes));
        hr_tab_cell(t, hr_cli_count(c, r->count));
        hr_tab_cell(t, hr_cli_bytes(c, r->retained));
        hr_tab_cell(t, hr_hist_name(s, r, name, sizeof name));
    }
    if (count) {
        hr_tab_cell(t, hr_cli_bytes(c, bytes));
        hr_tab_cell(t, hr_cli_pct(bytes, tot.used_bytes));
        hr_tab_cell(t, hr_cli_count(c, count));
        hr_tab_cell(t, "");
        hr_tab_cellf(t, "[%s others]", hr_cli_count(c, s->hist.n - TOP_TYPES));
    }
    hr_tab_print(t, 2);
}

/* The roots, and what several roots share, that hold most: the first level of `heapray tree`. */
static void print_holders(struct hr_cli *c)
{
    struct hr_session *s = c->s;
    static const char *const heads[] = {"retained", "share", "what holds it"};
    uint64_t whole = hr_session_totals(s).used_bytes;
    struct hr_domtree tree = {0};
    struct hr_domlevel top = {0};
    enum hr_status st = s->retained ? hr_domtree_init(&tree, s->idom, s->graph->n) : HR_ABSENT;
    if (st == HR_OK)
        st = hr_domtree_names(&tree, s);
    if (st == HR_OK)
        st = hr_domlevel_of(s, &tree, &s->graph->n, 1, 0, &top);
    if (st == HR_OK && top.group.n && top.group.v[0].retained >= whole / 20) {
        struct hr_tab *t = hr_tab_create(&c->out, heads, "rrl", 3);
        hr_outf(&c->out, "\n");
        for (size_t i = 0; i < top.group.n && i < TOP_HOLDERS && top.group.v[i].retained >= whole / 20; i++) {
            char name[2048];
            hr_tab_cell(t, hr_cli_bytes(c, top.group.v[i].retained));
            hr_tab_cell(t, hr_cli_pct(top.group.v[i].retained, whole));
            hr_tab_cell(t, hr_domgroup_name(s, &tree, &top.group.v[i], NULL, hr_cli_count(c, top.group.v[i].count), name, sizeof name));
        }
        hr_tab_print(t, 2);
    }
    hr_domlevel_deinit(&top);
    hr_domtree_deinit(&tree);
}

/* Findings of one fingerprint are one suspect: a hundred rings of one shape are one mistake in the program. */
struct suspect {
    const struct hr_finding *f;
    uint64_t alike, bytes;
};
HR_VEC(suspectvec, struct suspect)

static int by_weight(const void *a, const void *b)
{
    const struct suspect *x = a, *y = b;
    if (x->f->severity != y->f->severity)
        return x->f->severity < y->f->severity ? 1 : -1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->f->fingerprint < y->f->fingerprint ? -1 : x->f->fingerprint > y->f->fingerprint;
}

static enum hr_status collect_suspects(const struct view *v, struct suspectvec *out)
{
    struct hr_map index;
    enum hr_status st = HR_OK;
    *out = (struct suspectvec){.max = v->findings.list.n + 1};
    hr_map_init(&index, v->findings.list.n + 1);
    for (size_t i = 0; i < v->findings.list.n && st == HR_OK; i++) {
        const struct hr_finding *f = &v->findings.list.v[i];
        uint32_t *at;
        bool was;
        st = hr_map_slot(&index, f->fingerprint, (uint32_t)out->n, &at, &was);
        if (st == HR_OK && !was)
            st = suspectvec_push(out, (struct suspect){.f = f});
        if (st == HR_OK) {
            out->v[*at].alike++;
            out->v[*at].bytes += f->bytes;
        }
    }
    hr_map_deinit(&index);
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, by_weight);
    return st;
}

static void print_suspect(struct hr_cli *c, const struct suspect *s)
{
    struct hr_out *o = &c->out;
    const struct hr_finding *f = s->f;
    char head[64], title[2048];
    snprintf(head, sizeof head, "%s: ", hr_severity_name(f->severity));
    snprintf(title, sizeof title, "%s", f->title);
    if (s->alike > 1)
        snprintf(title, sizeof title, "%s. %s more of this shape: %s in all", f->title, hr_cli_count(c, s->alike - 1),
                 hr_cli_bytes(c, s->bytes));
    hr_out_hang(o, f->severity == HR_SEV_ERROR ? HR_RED : f->severity == HR_SEV_WARNING ? HR_YELLOW : HR_CYAN, head, title);
    if (f->remedy)
        hr_out_hang(o, HR_DIM, "  fix:  ", f->remedy);
    hr_out_style(o, HR_DIM);
    hr_outf(o, "  next: ");
    hr_out_style(o, HR_PLAIN);
    snprintf(head, sizeof head, "--only '%.50s'", f->rule);
    hr_out_esc(o, f->next ? f->next : hr_session_command(c->s, "check", head, title, sizeof title));
    hr_outf(o, "\n");
}

static void print_suspects(struct hr_cli *c, const struct view *v)
{
    struct hr_out *o = &c->out;
    struct suspectvec s;
    char next[4096];
    hr_outf(o, "\n");
    if (collect_suspects(v, &s) != HR_OK)
        hr_outf(o, "out of memory for the findings\n");
    else if (!s.n && c->s->heap->n) {
        hr_out_style(o, HR_GREEN);
        hr_outf(o, "No rule found anything wrong.\n");
        hr_out_style(o, HR_PLAIN);
    }
    for (size_t i = 0; i < s.n && i < TOP_SUSPECTS; i++)
        print_suspect(c, &s.v[i]);
    if (s.n > TOP_SUSPECTS) {
        hr_outf(o, "[%s more kind%s of findings: ", hr_cli_count(c, s.n - TOP_SUSPECTS), s.n - TOP_SUSPECTS == 1 ? "" : "s");
        hr_out_esc(o, hr_session_command(c->s, "check", "", next, sizeof next));
        hr_outf(o, "]\n");
    }
    suspectvec_deinit(&s);
}

/* Without debug information there is no type that --assume could name. */
static bool knows_types(const struct hr_session *s)
{
    for (size_t i = 0; s->types && s->types->module_typed && i < s->image.modules.n; i++)
        if (s->types->module_typed[i] == 1)
            return true;
    return false;
}

static void print_hint(struct hr_cli *c, const struct view *v)
{
    if (!v->hint || v->hint->reach_bytes < hr_session_totals(c->s).used_bytes / 50 || !knows_types(c->s))
        return;
    hr_outf(&c->out, "\nuntyped: naming ");
    hr_out_esc(&c->out, v->hint->name);
    hr_outf(&c->out, " (%s block%s, e.g. 0x%llx) would explain most of what is untyped, %s: --assume 0x%llx=TYPE\n",
            hr_cli_count(c, v->hint->count), v->hint->count == 1 ? "" : "s", (unsigned long long)hr_block_addr(c->s->heap, v->hint->example),
            hr_cli_bytes(c, v->hint->reach_bytes), (unsigned long long)hr_block_addr(c->s->heap, v->hint->example));
}

/* What else fits this image. */
static const char *other_verbs(struct hr_cli *c)
{
    if (hr_runtimes_self(c->s->runtimes, "micropython"))
        return "or in place of check: mp info, mp gc, frag, tree, top, map, objects, show ADDR, path ADDR (heapray --help)";
    if (c->s->image.bare)
        return "or in place of check: map, frag, tree, top, threads, show ADDR, path ADDR (heapray --help)";
    return "or in place of check: top, tree, frag, threads, show ADDR, path ADDR (heapray --help)";
}

static void overview_text(struct hr_cli *c, const struct view *v)
{
    char next[4096];
    print_what(c);
    print_heap(c);
    print_types(c);
    print_holders(c);
    print_suspects(c, v);
    print_hint(c, v);
    hr_cli_text_notes(c);
    hr_outf(&c->out, "\nnext: ");
    hr_out_esc(&c->out, hr_session_command(c->s, "check", "", next, sizeof next));
    hr_outf(&c->out, "\n");
    hr_out_hang(&c->out, HR_DIM, "      ", other_verbs(c));
}

static void overview_json(struct hr_cli *c, const struct view *v)
{
    struct hr_json j;
    const struct hr_session *s = c->s;
    struct heapray_totals t = hr_session_totals(s);
    char name[1024];
    hr_cli_json_begin(c, &j);
    hr_json_obj(&j, "heap");
    hr_json_num(&j, "mapped_bytes", t.mapped);
    hr_json_num(&j, "used_blocks", t.used_blocks);
    hr_json_num(&j, "used_bytes", t.used_bytes);
    hr_json_num(&j, "cached_bytes", t.cached_bytes);
    hr_json_num(&j, "free_bytes", t.free_bytes);
    hr_json_num(&j, "typed_bytes", typed_bytes(s));
    if (s->leaks && s->heap->roots_complete) {
        hr_json_num(&j, "leaked_blocks", s->leaks->blocks);
        hr_json_num(&j, "leaked_bytes", s->leaks->bytes);
    } else {
        hr_json_null(&j, "leaked_blocks");
        hr_json_null(&j, "leaked_bytes");
    }
    hr_json_end(&j);
    hr_json_arr(&j, "types");
    for (size_t i = 0; i < s->hist.n && i < TOP_TYPES; i++) {
        const struct hr_typerow *r = &s->hist.v[i];
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "type", r->type || r->group != HR_NONE ? hr_hist_name(s, r, name, sizeof name) : NULL);
        hr_json_num(&j, "count", r->count);
        hr_json_num(&j, "bytes", r->bytes);
        hr_json_num(&j, "retained", r->retained);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_arr(&j, "suspects");
    for (size_t i = 0; i < v->findings.list.n && i < TOP_SUSPECTS; i++) {
        const struct hr_finding *f = &v->findings.list.v[i];
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "rule", f->rule);
        hr_json_str(&j, "severity", hr_severity_name(f->severity));
        hr_json_str(&j, "title", f->title);
        hr_json_num(&j, "count", f->count);
        hr_json_num(&j, "bytes", f->bytes);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_num(&j, "findings", v->findings.list.n);
    hr_json_end(&j);
}

static int run(struct hr_cli *c)
{
    struct view v = {.model = hr_zalloc(1, sizeof *v.model)};
    if (!v.model)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    hr_findings_init(&v.findings);
    int code = hr_cli_rules(c, &v.rules);
    if (code < 0) {
        hr_rules_only(v.rules, c->only);
        enum hr_status st = compute(c, &v);
        code = hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
        if (st == HR_OK && (c->json || c->ndjson))
            overview_json(c, &v);
        else if (st == HR_OK)
            overview_text(c, &v);
    }
    hr_findings_deinit(&v.findings);
    hr_rules_destroy(v.rules);
    hr_free(v.model);
    return code;
}

const struct hr_verb hr_verb_overview = {
    .name = "overview", .args = "", .summary = "one screen", .help = "",
    .needs_image = true, .types = true, .run = run,
};
