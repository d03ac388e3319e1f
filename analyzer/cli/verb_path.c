#include <string.h>

#include "analyzer/cli/cli.h"

enum { MAX_PATH = 256, MAX_PATHS = 16, MAX_LINES = 40 };

struct found {
    uint32_t node[MAX_PATHS][MAX_PATH], len[MAX_PATHS], n;
    uint32_t left_out[MAX_PATHS]; /* of a longer path, in the middle */
};

/* Shortest first; every further one shares no inner block with those before (roots may be shared). */
static enum hr_status find_paths(struct hr_cli *c, hr_id target, uint32_t most, struct found *f)
{
    struct hr_session *s = c->s;
    struct hr_bits banned;
    HR_TRY(hr_session_reverse(s));
    HR_TRY(hr_bits_init(&banned, hr_node_count(s->heap)));
    enum hr_status st = HR_OK;
    while (f->n < most && st == HR_OK) {
        uint32_t len;
        st = hr_session_path(s, target, &banned, f->node[f->n], MAX_PATH, &len);
        if (st == HR_LIMIT) { /* a long list: its beginning and its end are there */
            f->left_out[f->n] = len - MAX_PATH;
            len = MAX_PATH;
            st = HR_OK;
        }
        if (st != HR_OK)
            break;
        f->len[f->n] = len;
        for (uint32_t i = 0; i + 1 < len; i++)
            hr_bits_set(&banned, f->node[f->n][i]);
        f->n++;
    }
    hr_bits_deinit(&banned);
    return st == HR_ABSENT ? HR_OK : st;
}

/* Whether the step from node i of path p leads over nodes that were left out. */
static bool is_gap(const struct found *f, uint32_t p, uint32_t i)
{
    return f->left_out[p] && i + 1 == MAX_PATH - MAX_PATH / 2;
}

static void path_json(struct hr_cli *c, const struct found *f)
{
    struct hr_json j;
    struct hr_session *s = c->s;
    char type[1024], how[600];
    hr_cli_json_begin(c, &j);
    hr_json_arr(&j, "paths");
    for (uint32_t p = 0; p < f->n; p++) {
        hr_json_arr(&j, NULL);
        for (uint32_t i = 0; i < f->len[p]; i++) {
            hr_id node = f->node[p][i];
            bool root = hr_node_is_root(s->heap, node);
            hr_json_obj(&j, NULL);
            hr_json_addr(&j, "addr", hr_node_addr(s->heap, node));
            hr_type t = hr_node_type(s->heap, node);
            hr_json_str(&j, "type", t ? hr_type_name(s->types, t, type, sizeof type) : NULL);
            how[0] = 0;
            if (i + 1 < f->len[p] && !is_gap(f, p, i))
                hr_describe_edge(s, node, f->node[p][i + 1], how, sizeof how, NULL);
            hr_json_str(&j, "field", how[0] ? how : NULL);
            if (is_gap(f, p, i))
                hr_json_num(&j, "left_out_after", f->left_out[p]);
            hr_json_str(&j, "root", root ? hr_describe_root(s, hr_node_root(s->heap, node), type, sizeof type) : NULL);
            hr_json_end(&j);
        }
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_end(&j);
}

static void step_text(struct hr_cli *c, const struct found *f, uint32_t p, uint32_t i)
{
    struct hr_out *o = &c->out;
    char type[1024], how[600] = "";
    hr_id node = f->node[p][i];
    uint8_t surety = HR_SURE_NONE;
    if (i + 1 < f->len[p] && !is_gap(f, p, i))
        hr_describe_edge(c->s, node, f->node[p][i + 1], how, sizeof how, &surety);
    hr_outf(o, "%*s%s", (int)hr_min(2 * i, 40), "", i ? (o->unicode ? "\u21b3 " : "-> ") : "");
    if (!i)
        hr_out_style(o, HR_BOLD);
    hr_out_esc(o, hr_describe_type(c->s, node, type, sizeof type));
    hr_out_style(o, HR_PLAIN);
    hr_out_style(o, HR_CYAN);
    hr_out_esc(o, how);
    hr_out_style(o, HR_PLAIN);
    if (i)
        hr_outf(o, "  0x%llx", (unsigned long long)hr_node_addr(c->s->heap, node));
    hr_outf(o, "%s\n", surety == HR_SURE_CONSERVATIVE ? "  (by a word that looks like a pointer)"
                       : surety == HR_SURE_INTERIOR   ? "  (by an interior or tagged pointer)" : "");
}

/* From a root that its language has a name for: the whole path as an expression. */
static void expression(struct hr_cli *c, const struct found *f, uint32_t p)
{
    struct hr_session *s = c->s;
    char text[1024], how[600];
    hr_id root = f->node[p][0];
    if (!hr_node_is_root(s->heap, root) || !hr_root_named(hr_node_root(s->heap, root)) || f->left_out[p] || f->len[p] > MAX_LINES)
        return;
    hr_out_esc(&c->out, hr_describe_root(s, hr_node_root(s->heap, root), text, sizeof text));
    for (uint32_t i = 1; i + 1 < f->len[p]; i++)
        hr_out_esc(&c->out, hr_describe_edge(s, f->node[p][i], f->node[p][i + 1], how, sizeof how, NULL));
    hr_outf(&c->out, "\n");
}

/* All of a short path; the two ends of a long one. */
static void one_text(struct hr_cli *c, const struct found *f, uint32_t p)
{
    uint32_t len = f->len[p], ends = MAX_LINES / 2;
    expression(c, f, p);
    bool whole = len <= MAX_LINES || (c->all && !f->left_out[p]);
    if (c->all)
        ends = MAX_PATH / 2;
    for (uint32_t i = 0; i < len; i++) {
        if (!whole && i == ends)
            hr_outf(&c->out, "%*s[%s more steps]\n", 40, "", hr_cli_count(c, (uint64_t)len - 2 * ends + f->left_out[p]));
        if (whole || i < ends || i >= len - ends)
            step_text(c, f, p, i);
    }
}

static void path_text(struct hr_cli *c, hr_id target, const struct found *f)
{
    struct hr_out *o = &c->out;
    struct hr_session *s = c->s;
    for (uint32_t p = 0; p < f->n; p++) {
        if (p)
            hr_outf(o, "\n");
        one_text(c, f, p);
    }
    if (!f->n) {
        uint8_t r = target < s->heap->n && s->heap->reach ? s->heap->reach[target] : HR_REACH_UNKNOWN;
        hr_outf(o, "No root leads to 0x%llx", (unsigned long long)hr_node_addr(s->heap, target));
        if (r)
            hr_outf(o, ": it is %s", hr_reach_name(r));
        hr_outf(o, ".\n");
    }
    hr_cli_text_notes(c);
}

static int run(struct hr_cli *c)
{
    uint64_t addr;
    enum hr_status st = hr_session_reach(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (!hr_cli_address(c, c->args.v[0], &addr))
        return HR_EXIT_USAGE;
    hr_id target = hr_heap_at(c->s->heap, addr, NULL);
    if (target == HR_NONE) {
        char what[512];
        return hr_cli_error(HR_EXIT_USAGE, "0x%llx is no heap block: %s", (unsigned long long)addr,
                            hr_describe_addr(c->s, addr, what, sizeof what));
    }
    struct found *f = hr_zalloc(1, sizeof *f);
    if (!f)
        return hr_cli_error(HR_EXIT_INTERNAL, "out of memory");
    uint32_t most = c->limit ? (uint32_t)hr_min(c->limit, MAX_PATHS) : c->all ? MAX_PATHS : 4;
    st = find_paths(c, target, most, f);
    int code = hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
    if (st == HR_OK && (c->json || c->ndjson))
        path_json(c, f);
    else if (st == HR_OK)
        path_text(c, target, f);
    hr_free(f);
    return code;
}

const struct hr_verb hr_verb_path = {
    .name = "path", .args = "ADDR", .summary = "who holds a block: paths from roots",
    .help = "Prints how ADDR is held: the shortest path from a root (global, local of a frame, register, ...) through the "
            "fields on the way, then further paths that share no block with it. --limit N prints up to N of them (at most "
            "16), --all 16.",
    .min_args = 1, .max_args = 1, .needs_image = true, .types = true, .run = run,
};
