#include <string.h>

#include "analyzer/cli/cli.h"

static void top_json(struct hr_cli *c, size_t shown)
{
    struct hr_json j;
    const struct hr_session *s = c->s;
    char name[2048];
    struct hr_typerow others = {0};
    hr_cli_json_begin(c, &j);
    hr_json_arr(&j, "types");
    for (size_t i = 0; i < s->hist.n; i++) {
        const struct hr_typerow *r = &s->hist.v[i];
        if (i >= shown) {
            others.count += r->count;
            others.bytes += r->bytes;
            continue;
        }
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "type", r->type || r->group != HR_NONE ? hr_hist_name(s, r, name, sizeof name) : NULL);
        hr_json_num(&j, "count", r->count);
        hr_json_num(&j, "bytes", r->bytes);
        if (s->retained)
            hr_json_num(&j, "retained", r->retained);
        else
            hr_json_null(&j, "retained");
        hr_json_str(&j, "typed_by", r->evidence ? hr_evidence_name(r->evidence) : NULL);
        hr_json_num(&j, "leaked_count", r->leaked_count);
        hr_json_num(&j, "leaked_bytes", r->leaked_bytes);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_obj(&j, "others");
    hr_json_num(&j, "count", others.count);
    hr_json_num(&j, "bytes", others.bytes);
    hr_json_end(&j);
    hr_json_end(&j);
}

static void top_text(struct hr_cli *c, size_t shown)
{
    struct hr_out *o = &c->out;
    const struct hr_session *s = c->s;
    struct heapray_totals tot = hr_session_totals(s);
    static const char *const heads[] = {"bytes", "share", "count", "retained", "known by", "type"};
    struct hr_tab *t = hr_tab_create(o, heads, "rrrrll", 6);
    struct hr_typerow others = {0};
    char name[2048];
    for (size_t i = 0; i < s->hist.n; i++) {
        const struct hr_typerow *r = &s->hist.v[i];
        if (i >= shown) {
            others.count += r->count;
            others.bytes += r->bytes;
            continue;
        }
        hr_tab_cell(t, hr_cli_bytes(c, r->bytes));
        hr_tab_cell(t, hr_cli_pct(r->bytes, tot.used_bytes));
        hr_tab_cell(t, hr_cli_count(c, r->count));
        hr_tab_cell(t, s->retained ? hr_cli_bytes(c, r->retained) : "-");
        hr_tab_cell(t, r->type ? hr_evidence_name(r->evidence) : "-");
        hr_tab_cell(t, hr_hist_name(s, r, name, sizeof name));
    }
    if (others.count) {
        hr_tab_cell(t, hr_cli_bytes(c, others.bytes));
        hr_tab_cell(t, hr_cli_pct(others.bytes, tot.used_bytes));
        hr_tab_cell(t, hr_cli_count(c, others.count));
        hr_tab_cell(t, "");
        hr_tab_cell(t, "");
        hr_tab_cellf(t, "[%s others]", hr_cli_count(c, s->hist.n - shown));
    }
    hr_tab_print(t, 0);
    hr_outf(o, "%s in %s blocks in use\n", hr_cli_bytes(c, tot.used_bytes), hr_cli_count(c, tot.used_blocks));
    hr_cli_text_notes(c);
}

static int run(struct hr_cli *c)
{
    static const char *const keys[] = {"type", "line", "file", "traceback"};
    bool known = !c->by;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !known; i++)
        known = !strcmp(c->by, keys[i]);
    if (!known)
        return hr_cli_error(HR_EXIT_USAGE, "--by takes type, line, file or traceback, not '%s'", c->by);
    if (c->by && strcmp(c->by, "type"))
        return hr_cli_top_sites(c);
    enum hr_status st = hr_session_type_retained(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    bool machine = c->json || c->ndjson;
    size_t shown = c->all || (machine && !c->limit) ? c->s->hist.n : c->limit ? c->limit : 20;
    if (machine)
        top_json(c, shown);
    else
        top_text(c, shown);
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_top = {
    .name = "top", .args = "", .summary = "what fills the heap: types by bytes, with retained sizes",
    .help = "Types by the bytes of their blocks in use, with what all blocks of a type together retain (what would go if they "
            "went) and how their type is known. --by line, file or traceback: where a Python allocated what is live, "
            "when tracemalloc ran in it. The rows add up to the heap. --limit N shows N rows, --all all of them.",
    .needs_image = true, .types = true, .run = run,
};
