/* `tree`: what holds the memory, from the roots down: the dominator tree with siblings of one kind put together. */
#include <stdio.h>
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/domtree.h"

enum { MAX_DEPTH = 12, TREE_DEPTH = 5, TREE_ROWS = 8 };

struct walk {
    struct hr_cli *c;
    struct hr_domtree tree;
    struct hr_tab *tab;       /* text */
    struct hr_json *j;        /* or JSON */
    uint64_t whole, least;    /* bytes of all; what is worth a row */
    size_t rows;              /* at most, per level */
    /* The levels on the way down, and how far each is printed. */
    struct hr_domlevel level[MAX_DEPTH];
    size_t at[MAX_DEPTH], shown[MAX_DEPTH];
    unsigned depth, deepest;
    uint32_t start;           /* tree.n, or the block it starts at */
    struct hr_domgroup root;  /* that block */
};

static void row_text(struct walk *w, uint64_t retained, uint64_t own, const char *name)
{
    static const char blanks[] = "                        ";
    hr_tab_cell(w->tab, hr_cli_bytes(w->c, retained));
    hr_tab_cell(w->tab, hr_cli_pct(retained, w->whole));
    hr_tab_cell(w->tab, own == UINT64_MAX ? "" : hr_cli_bytes(w->c, own));
    hr_tab_cellf(w->tab, "%.*s%s", (int)(2 * w->depth), blanks, name);
}

static void open_group(struct walk *w, const struct hr_domgroup *g, const char *name)
{
    struct hr_session *s = w->c->s;
    char type[1024];
    if (!w->j) {
        row_text(w, g->retained, hr_node_is_root(s->heap, g->node) ? UINT64_MAX : g->bytes, name);
        return;
    }
    bool root = hr_node_is_root(s->heap, g->node);
    hr_json_obj(w->j, NULL);
    hr_json_str(w->j, "name", name);
    hr_json_str(w->j, root ? "root" : "type", hr_describe_type(s, g->node, type, sizeof type));
    hr_json_bool(w->j, "leaked", g->leaked);
    hr_json_num(w->j, "count", g->count);
    hr_json_num(w->j, "bytes", g->bytes);
    hr_json_num(w->j, "retained", g->retained);
    hr_json_addr(w->j, "addr", hr_node_addr(s->heap, g->node));
    hr_json_arr(w->j, "children");
}

static void close_group(struct walk *w)
{
    if (!w->j)
        return;
    hr_json_end(w->j);
    hr_json_end(w->j);
}

/* How many groups of the level are worth a row, and one row for the rest. */
static size_t worth(const struct walk *w, const struct hr_domlevel *l)
{
    size_t n = 0;
    while (n < l->group.n && n < w->rows && l->group.v[n].retained >= w->least)
        n++;
    return n;
}

static void others(struct walk *w)
{
    const struct hr_domlevel *l = &w->level[w->depth];
    uint64_t bytes = 0, count = 0;
    char name[64];
    for (size_t i = w->shown[w->depth]; i < l->group.n; i++) {
        bytes += l->group.v[i].retained;
        count += l->group.v[i].count;
    }
    if (w->j || bytes < w->least)
        return;
    snprintf(name, sizeof name, "[%s others]", hr_cli_count(w->c, count));
    row_text(w, bytes, UINT64_MAX, name);
}

static enum hr_status descend(struct walk *w, const uint32_t *nodes, size_t n, uint64_t above)
{
    struct hr_domlevel *l = &w->level[w->depth];
    enum hr_status st = hr_domlevel_of(w->c->s, &w->tree, nodes, n, above, l);
    w->at[w->depth] = 0;
    w->shown[w->depth] = st == HR_OK ? worth(w, l) : 0;
    return st;
}

/* Depth first, an explicit stack of levels. */
static enum hr_status walk(struct walk *w)
{
    enum hr_status st = descend(w, &w->start, 1, 0);
    char name[2048];
    while (st == HR_OK) {
        struct hr_domlevel *l = &w->level[w->depth];
        if (w->at[w->depth] == w->shown[w->depth]) {
            others(w);
            hr_domlevel_deinit(l);
            if (!w->depth)
                return HR_OK;
            w->depth--;
            close_group(w);
            continue;
        }
        const struct hr_domgroup *g = &l->group.v[w->at[w->depth]++], *parent = w->start == w->tree.n ? NULL : &w->root;
        if (w->depth)
            parent = &w->level[w->depth - 1].group.v[w->at[w->depth - 1] - 1];
        open_group(w, g, hr_domgroup_name(w->c->s, &w->tree, g, parent, hr_cli_count(w->c, g->count), name, sizeof name));
        if (w->depth + 1 >= w->deepest) {
            close_group(w);
            continue;
        }
        w->depth++;
        st = descend(w, l->member.v + g->first, g->count, g->key);
    }
    for (unsigned d = 0; d <= w->depth; d++)
        hr_domlevel_deinit(&w->level[d]);
    return st;
}

static enum hr_status print_tree(struct walk *w)
{
    static const char *const heads[] = {"retained", "share", "own", "what holds it"};
    struct hr_json j;
    bool machine = w->c->json || w->c->ndjson;
    if (machine) {
        hr_cli_json_begin(w->c, &j);
        hr_json_num(&j, "bytes", w->whole);
        hr_json_arr(&j, "tree");
        w->j = &j;
    } else
        w->tab = hr_tab_create(&w->c->out, heads, "rrrl", 4);
    enum hr_status st = walk(w);
    if (machine && st == HR_OK) {
        hr_json_end(&j);
        hr_json_end(&j);
    } else if (!machine) {
        hr_tab_print(w->tab, 0);
        hr_cli_text_notes(w->c);
    }
    return st;
}

static int run(struct hr_cli *c)
{
    struct hr_session *s = c->s;
    enum hr_status st = hr_session_hist(s);
    if (st == HR_OK)
        st = hr_session_dominators(s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    struct walk w = {.c = c, .rows = c->all ? 64 : c->limit ? c->limit : TREE_ROWS, .deepest = c->all ? MAX_DEPTH : TREE_DEPTH};
    w.start = s->graph->n;
    w.whole = hr_session_totals(s).used_bytes;
    if (c->args.n) {
        uint64_t addr;
        if (!hr_cli_address(c, c->args.v[0], &addr))
            return HR_EXIT_USAGE;
        w.start = hr_heap_at(s->heap, addr, NULL);
        if (w.start == HR_NONE)
            return hr_cli_error(HR_EXIT_USAGE, "0x%llx is no heap block", (unsigned long long)addr);
        w.whole = s->retained[w.start];
        w.root = (struct hr_domgroup){.node = w.start, .count = 1};
    }
    w.least = c->all ? 1 : hr_max(w.whole / 100, 1);
    st = hr_domtree_init(&w.tree, s->idom, s->graph->n);
    if (st == HR_OK)
        st = hr_domtree_names(&w.tree, s);
    if (st == HR_OK)
        st = print_tree(&w);
    hr_domtree_deinit(&w.tree);
    return hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
}

const struct hr_verb hr_verb_tree = {
    .name = "tree", .args = "[ADDR]", .summary = "what holds the memory, from the roots down, with retained sizes",
    .help = "The dominator tree from the roots down, or from the block at ADDR: below each thing what would go with it, largest first. "
            "Things of one kind side by side are one row. Directly at the top stand roots, leaked blocks, and blocks that several roots hold at once. Rows of "
            "less than a hundredth are summed up; --all shows every one, and deeper; --limit N at most N side by side.",
    .max_args = 1, .needs_image = true, .types = true, .run = run,
};
