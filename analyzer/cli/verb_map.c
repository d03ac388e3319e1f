/* `map`: where the RAM went. Regions, stacks with high-water marks, static memory by source file and variable, a picture. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/cli/map.h"

static const char *str(struct hr_cli *c, hr_str id) { return id ? hr_strs_get(c->s->strs, id) : NULL; }

static void num_or_null(struct hr_json *j, const char *key, uint64_t n)
{
    if (n == HR_NONE64)
        hr_json_null(j, key);
    else
        hr_json_num(j, key, n);
}

/* ---- JSON ---- */

/* files: what was read from mapped files (or flash from the ELF), which is no part of the dump. */
static void json_regions(struct hr_cli *c, struct hr_json *j, const struct hr_survey *v, bool files)
{
    hr_json_arr(j, files ? "file_regions" : "regions");
    for (size_t i = 0; i < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        if ((r->kind == HR_SV_FILE) != files)
            continue;
        hr_json_obj(j, NULL);
        hr_json_addr(j, "addr", r->addr);
        hr_json_num(j, "size", r->size);
        hr_json_str(j, "kind", hr_survey_kind_name(r->kind));
        hr_json_str(j, "name", str(c, r->name));
        num_or_null(j, "used", r->used);
        if (r->kind == HR_SV_HEAP)
            hr_json_num(j, "free", r->free);
        hr_json_bool(j, "captured", r->captured);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_symbols(struct hr_cli *c, struct hr_json *j, const struct hr_survey *v)
{
    char type[1024];
    hr_json_arr(j, "symbols");
    for (size_t i = 0; i < v->symbols.n; i++) {
        const struct hr_survey_symbol *y = &v->symbols.v[i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "name", str(c, y->name));
        hr_json_addr(j, "addr", y->addr);
        hr_json_num(j, "size", y->size);
        hr_json_str(j, "module", str(c, y->module));
        hr_json_str(j, "file", str(c, y->file));
        hr_json_str(j, "kind", hr_survey_kind_name(y->kind));
        hr_json_str(j, "type", y->type ? hr_type_name(c->s->types, y->type, type, sizeof type) : NULL);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_arr(j, "modules");
    for (size_t i = 0; i < v->modules.n; i++) {
        const struct hr_survey_module *m = &v->modules.v[i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "module", str(c, m->name));
        hr_json_num(j, "symbols", m->symbols);
        hr_json_num(j, "bytes", m->bytes);
        hr_json_num(j, "static", m->stat);
        hr_json_num(j, "heap", m->heap);
        hr_json_num(j, "stack", m->stack);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_stacks(struct hr_cli *c, struct hr_json *j, const struct hr_survey *v)
{
    static const char *const how[] = {NULL, "fill", "zeros"};
    hr_json_arr(j, "stacks");
    for (size_t i = 0; i < v->stacks.n; i++) {
        const struct hr_survey_stack *t = &v->stacks.v[i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "task", str(c, t->name));
        hr_json_num(j, "tid", c->s->image.threads.v[t->thread].tid);
        hr_json_addr(j, "addr", t->lo);
        hr_json_num(j, "size", t->hi - t->lo);
        num_or_null(j, "high_water", t->unused == HR_NONE64 ? HR_NONE64 : t->hi - t->lo - t->unused);
        num_or_null(j, "never_used", t->unused);
        if (t->sp)
            hr_json_addr(j, "sp", t->sp);
        else
            hr_json_null(j, "sp");
        num_or_null(j, "in_use", t->sp >= t->lo && t->sp <= t->hi ? t->hi - t->sp : HR_NONE64);
        hr_json_str(j, "by", how[t->how]);
        if (t->how)
            hr_json_addr(j, "fill", t->fill);
        hr_json_bool(j, "limit", t->limit);
        hr_json_bool(j, "overflow", t->overflow);
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void map_json(struct hr_cli *c, const struct hr_survey *v)
{
    struct hr_json j;
    hr_cli_json_begin(c, &j);
    hr_json_num(&j, "captured_bytes", v->captured);
    hr_json_num(&j, "not_captured_bytes", v->absent);
    hr_json_obj(&j, "by_kind");
    for (unsigned k = 0; k < HR_SV_KINDS; k++)
        hr_json_num(&j, hr_survey_kind_name(k), v->kind_bytes[k]);
    hr_json_end(&j);
    json_regions(c, &j, v, false);
    json_regions(c, &j, v, true);
    json_symbols(c, &j, v);
    json_stacks(c, &j, v);
    hr_json_end(&j);
}

/* ---- text ---- */

static const char *const kind_words[HR_SV_KINDS] = {
    "static variables", "heap", "stacks", "never written", "other", "code and constants", "mapped files (not in the dump)", "not captured",
};

static const struct hr_survey_region *region_at(const struct hr_survey *v, uint64_t addr)
{
    size_t lo = 0, hi = v->regions.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->regions.v[mid].addr > addr)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo && addr - v->regions.v[lo - 1].addr < v->regions.v[lo - 1].size ? &v->regions.v[lo - 1] : NULL;
}

/* Stacks of tasks that lie in a heap. */
static uint64_t heap_stacks(const struct hr_survey *v)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < v->stacks.n; i++) {
        const struct hr_survey_region *r = region_at(v, v->stacks.v[i].lo);
        if (r && r->kind == HR_SV_HEAP)
            sum += v->stacks.v[i].hi - v->stacks.v[i].lo;
    }
    return sum;
}

static void text_sums(struct hr_cli *c, const struct hr_survey *v)
{
    static const char *const heads[] = {"bytes", "share", "what"};
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrl", 3);
    uint64_t ram = v->captured - (v->s->image.bare ? v->kind_bytes[HR_SV_CODE] : 0), heap_used = 0, heap_free = 0, in_heap = heap_stacks(v), deep = 0;
    bool known = true;
    for (size_t i = 0; i < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        heap_used += r->kind == HR_SV_HEAP ? r->used : 0;
        heap_free += r->kind == HR_SV_HEAP ? r->free : 0;
        known &= r->kind != HR_SV_STACK || r->used != HR_NONE64;
        deep += r->kind == HR_SV_STACK && r->used != HR_NONE64 ? r->used : 0;
    }
    for (unsigned k = 0; k < HR_SV_KINDS; k++) {
        bool in = k != HR_SV_FILE && k != HR_SV_ABSENT && !(k == HR_SV_CODE && v->s->image.bare);
        if (!v->kind_bytes[k] || (k == HR_SV_FILE && v->s->image.bare))
            continue;
        hr_tab_cell(t, hr_cli_bytes(c, v->kind_bytes[k]));
        hr_tab_cell(t, in ? hr_cli_pct(v->kind_bytes[k], ram) : "");
        if (k == HR_SV_HEAP)
            hr_tab_cellf(t, "heap: %s in use, %s free", hr_cli_bytes(c, heap_used), hr_cli_bytes(c, heap_free));
        else if (k == HR_SV_STACK && known)
            hr_tab_cellf(t, "stacks: %s once used, %s never", hr_cli_bytes(c, deep), hr_cli_bytes(c, v->kind_bytes[k] - hr_min(deep, v->kind_bytes[k])));
        else
            hr_tab_cell(t, k == HR_SV_OTHER ? "written, and nothing says by whom" : kind_words[k]);
        if (k == HR_SV_HEAP && in_heap) {
            hr_tab_cell(t, hr_cli_bytes(c, in_heap));
            hr_tab_cell(t, hr_cli_pct(in_heap, ram));
            hr_tab_cell(t, "  of that in use: stacks of tasks");
        }
    }
    hr_tab_print(t, 2);
}

static void text_regions(struct hr_cli *c, const struct hr_survey *v)
{
    enum { SHOWN = 40 };
    static const char *const heads[] = {"from", "bytes", "used", "kind", "name"};
    bool narrow = c->out.width && c->out.width < 60;
    size_t most = c->all ? SIZE_MAX : c->limit ? c->limit : SHOWN, hidden = 0, shown = 0;
    hr_outf(&c->out, "\nRegions\n");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "lrrll", narrow ? 4 : 5);
    for (size_t i = 0; i < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        if (v->s->image.bare && r->kind == HR_SV_FILE)
            continue; /* flash, from the ELF */
        if (!c->all && (r->kind == HR_SV_FILE || (r->kind == HR_SV_CODE && !v->s->image.bare)))
            continue;
        if (shown == most) {
            hidden++;
            continue;
        }
        shown++;
        hr_tab_cellf(t, "%0*llx", v->s->image.word == 8 ? 12 : 8, (unsigned long long)r->addr);
        hr_tab_cell(t, hr_cli_bytes(c, r->size));
        hr_tab_cell(t, r->kind == HR_SV_ABSENT ? "" : r->used == HR_NONE64 ? "?" : hr_cli_bytes(c, r->used));
        hr_tab_cell(t, r->kind == HR_SV_ABSENT ? "not captured" : hr_survey_kind_name(r->kind));
        if (!narrow)
            hr_tab_cell(t, r->name ? str(c, r->name) : "");
    }
    hr_tab_print(t, 2);
    if (hidden)
        hr_outf(&c->out, "  [%s other regions: --all]\n", hr_cli_count(c, hidden));
}

static const char *fill_word(const struct hr_survey_stack *t)
{
    return t->overflow ? "OVERFLOWED" : t->how == HR_FILL_PATTERN ? "fill" : t->how == HR_FILL_ZERO ? "zeros" : "no fill";
}

static void text_stacks(struct hr_cli *c, const struct hr_survey *v)
{
    enum { SHOWN = 30 };
    static const char *const heads[] = {"size", "deepest", "stack of", "left", "now", "by"};
    bool narrow = c->out.width && c->out.width < 60;
    size_t most = c->all ? SIZE_MAX : c->limit ? c->limit : SHOWN;
    bool guess = false, open = false;
    if (!v->stacks.n)
        return;
    hr_outf(&c->out, "\nStacks\n");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rrlrrl", narrow ? 3 : 6);
    for (size_t i = 0; i < v->stacks.n && i < most; i++) {
        const struct hr_survey_stack *k = &v->stacks.v[i];
        bool known = k->unused != HR_NONE64;
        hr_tab_cellf(t, "%s%s", k->limit ? "" : "<= ", hr_cli_bytes(c, k->hi - k->lo));
        hr_tab_cell(t, known ? hr_cli_bytes(c, k->hi - k->lo - k->unused) : "?");
        hr_tab_cell(t, str(c, k->name));
        guess |= k->how == HR_FILL_ZERO;
        open |= !k->limit;
        if (narrow)
            continue;
        hr_tab_cell(t, known ? hr_cli_bytes(c, k->unused) : "?");
        hr_tab_cell(t, k->sp >= k->lo && k->sp <= k->hi ? hr_cli_bytes(c, k->hi - k->sp) : "?");
        hr_tab_cell(t, fill_word(k));
    }
    hr_tab_print(t, 2);
    if (v->stacks.n > most)
        hr_outf(&c->out, "  [%s other stacks: --all]\n", hr_cli_count(c, v->stacks.n - most));
    if (guess)
        hr_out_wrap(&c->out, 2, "  by zeros: what was never written is taken to be zero; a stack that holds zeros may have been deeper.");
    if (open)
        hr_out_wrap(&c->out, 2, "  <=: nothing marks where this stack ends; it may grow down to what lies below it.");
}

static void text_modules(struct hr_cli *c, const struct hr_survey *v)
{
    enum { SHOWN = 12 };
    static const char *const heads[] = {"static", "source file", "symbols", "heap", "stacks"};
    bool narrow = c->out.width && c->out.width < 60;
    size_t most = c->all ? SIZE_MAX : c->limit ? c->limit : SHOWN;
    if (!v->modules.n)
        return;
    hr_outf(&c->out, "\nStatic memory by source file\n");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rlrrr", narrow ? 2 : 5);
    for (size_t i = 0; i < v->modules.n && i < most; i++) {
        const struct hr_survey_module *m = &v->modules.v[i];
        hr_tab_cell(t, hr_cli_bytes(c, m->stat));
        hr_tab_cell(t, m->name ? str(c, m->name) : m->symbols ? "(file unknown)" : "(no symbol)");
        if (narrow)
            continue;
        hr_tab_cell(t, hr_cli_count(c, m->symbols));
        hr_tab_cell(t, m->heap ? hr_cli_bytes(c, m->heap) : "");
        hr_tab_cell(t, m->stack ? hr_cli_bytes(c, m->stack) : "");
    }
    hr_tab_print(t, 2);
    if (v->modules.n > most)
        hr_outf(&c->out, "  [%s other files: --all]\n", hr_cli_count(c, v->modules.n - most));
}

struct place { uint32_t at; uint64_t size; };
HR_VEC(placevec, struct place)
static int by_size(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void text_symbols(struct hr_cli *c, const struct hr_survey *v)
{
    enum { SHOWN = 15 };
    static const char *const heads[] = {"bytes", "address", "variable", "kind", "source file"};
    bool narrow = c->out.width && c->out.width < 60;
    size_t most = c->all ? SIZE_MAX : c->limit ? c->limit : SHOWN;
    struct placevec p = {.max = HR_MAX_SYMBOLS};
    for (size_t i = 0; i < v->symbols.n; i++)
        if (placevec_push(&p, (struct place){(uint32_t)i, v->symbols.v[i].size}) != HR_OK)
            break;
    if (p.n) {
        qsort(p.v, p.n, sizeof *p.v, by_size);
        hr_outf(&c->out, "\nLargest variables\n");
        struct hr_tab *t = hr_tab_create(&c->out, heads, "rllll", narrow ? 3 : 5);
        for (size_t i = 0; i < p.n && i < most; i++) {
            const struct hr_survey_symbol *y = &v->symbols.v[p.v[i].at];
            hr_tab_cell(t, hr_cli_bytes(c, y->size));
            hr_tab_cellf(t, "%llx", (unsigned long long)y->addr);
            hr_tab_cell(t, str(c, y->name));
            if (narrow)
                continue;
            hr_tab_cell(t, hr_survey_kind_name(y->kind));
            hr_tab_cell(t, y->module ? str(c, y->module) : "");
        }
        hr_tab_print(t, 2);
        if (p.n > most)
            hr_outf(&c->out, "  [%s other variables: --all]\n", hr_cli_count(c, p.n - most));
    }
    placevec_deinit(&p);
}

static void map_text(struct hr_cli *c, const struct hr_survey *v)
{
    struct hr_out *o = &c->out;
    char head[1024];
    snprintf(head, sizeof head, "%s: %s captured%s%s%s", hr_base_name(c->opt.image), hr_cli_bytes(c, v->captured), v->absent ? ", " : "",
             v->absent ? hr_cli_bytes(c, v->absent) : "", v->absent ? " not captured" : "");
    hr_out_wrap(o, 0, head);
    hr_outf(o, "\n");
    text_sums(c, v);
    hr_outf(o, "\n");
    hr_map_terminal(c, v);
    text_stacks(c, v);
    text_modules(c, v);
    text_symbols(c, v);
    text_regions(c, v);
    hr_cli_text_notes(c);
}

/* ---- the verb ---- */

static int write_svg(struct hr_cli *c, const struct hr_survey *v, FILE *f)
{
    struct hr_out o;
    hr_out_init(&o, f, "never");
    o.unicode = true;
    errno = 0;
    bool bad = ftruncate(fileno(f), 0) && errno != EINVAL;
    hr_map_svg(&o, v, hr_base_name(c->opt.image));
    if (fclose(f) || o.failed || bad)
        return hr_cli_error(HR_EXIT_USAGE, "writing %s failed: %s", c->svg, strerror(errno));
    return -1;
}

static int run(struct hr_cli *c)
{
    FILE *f = NULL;
    if (c->svg && !(f = hr_cli_create(c, c->svg)))
        return hr_cli_error(HR_EXIT_USAGE, "cannot write %s: %s", c->svg, strerror(errno));
    enum hr_status st = hr_session_survey(c->s);
    const struct hr_survey *v = c->s->survey;
    if (!hr_cli_ok(c, st)) {
        if (f)
            fclose(f);
        return hr_cli_exit_of(st);
    }
    if (c->json || c->ndjson)
        map_json(c, v);
    else
        map_text(c, v);
    int code = f ? write_svg(c, v, f) : -1;
    return code >= 0 ? code : hr_cli_exit(c);
}

const struct hr_verb hr_verb_map = {
    .name = "map", .args = "", .summary = "the whole memory: variables, stacks, heaps, never written",
    .help = "What every byte of the image's memory is used for: static variables by source file and symbol, stacks and how deep they "
            "ever were, heaps, memory never written, memory that was not captured. As a table and as a picture of the address "
            "space; --svg FILE writes the picture to a file. --all shows every row.",
    .needs_image = true, .types = true, .run = run,
};
