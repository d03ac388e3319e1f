#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/cli/py_object.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"

enum { MAX_FIELDS = 400, MAX_REFERRERS = 200 };

/* One scalar of a block, found by walking its type without recursion. */
struct leaf {
    char name[256];
    uint64_t off;
    hr_type type;
};
HR_VEC(leafvec, struct leaf)

static enum hr_status push_leaf(struct leafvec *v, const char *prefix, const char *name, uint64_t off, hr_type type)
{
    struct leaf l = {.off = off, .type = type};
    snprintf(l.name, sizeof l.name, "%s%s%s", prefix, *prefix && *name && *name != '[' ? "." : "", name);
    return leafvec_push(v, l);
}

static bool splits(const struct hr_types *t, hr_type type)
{
    const struct hr_type_row *r = hr_type_get(t, hr_type_strip(t, type));
    if (r->kind == HR_T_ARRAY) {
        const struct hr_type_row *e = hr_type_get(t, hr_type_strip(t, r->target));
        return r->count && r->count <= 16 && e->kind != HR_T_CHAR && e->kind != HR_T_UINT;
    }
    return (r->kind == HR_T_STRUCT || r->kind == HR_T_UNION || r->kind == HR_T_RUNTIME) && r->nfields;
}

/* Replaces v[i] by its members. */
static enum hr_status split(struct hr_session *s, struct leafvec *v, size_t i)
{
    struct leafvec parts = {.max = MAX_FIELDS};
    const struct leaf l = v->v[i];
    const struct hr_type_row *r = hr_type_get(s->types, hr_type_strip(s->types, l.type));
    enum hr_status st = HR_OK;
    if (r->kind == HR_T_ARRAY) {
        uint64_t each = hr_type_get(s->types, hr_type_strip(s->types, r->target))->size;
        for (uint64_t k = 0; k < r->count && st == HR_OK; k++) {
            char name[32];
            snprintf(name, sizeof name, "[%llu]", (unsigned long long)k);
            st = push_leaf(&parts, l.name, name, l.off + k * each, r->target);
        }
    }
    for (uint32_t k = 0; r->kind != HR_T_ARRAY && k < r->nfields && st == HR_OK; k++) {
        const struct hr_field *f = &s->types->fields.v[r->field0 + k];
        if (!(f->flags & HR_FF_VIRTUAL))
            st = push_leaf(&parts, l.name, hr_strs_get(s->strs, f->name), l.off + f->off, f->type);
    }
    if (st == HR_OK && v->n - 1 + parts.n > v->max)
        st = HR_LIMIT;
    if (st == HR_OK)
        st = leafvec_reserve(v, v->n + parts.n);
    if (st == HR_OK) {
        memmove(v->v + i + parts.n, v->v + i + 1, (v->n - i - 1) * sizeof *v->v);
        memcpy(v->v + i, parts.v, parts.n * sizeof *v->v);
        v->n += parts.n - 1;
    }
    leafvec_deinit(&parts);
    return st;
}

static enum hr_status leaves_of(struct hr_session *s, hr_type type, struct leafvec *v)
{
    HR_TRY(push_leaf(v, "", "", 0, type));
    unsigned splits_left = MAX_FIELDS;
    for (size_t i = 0; i < v->n;) {
        if (splits(s->types, v->v[i].type) && splits_left) {
            splits_left--;
            enum hr_status st = split(s, v, i);
            if (st == HR_LIMIT)
                i++;
            else if (st != HR_OK)
                return st;
        } else {
            i++;
        }
    }
    return HR_OK;
}

/* Without a type: one leaf per word. */
static enum hr_status words_of(struct hr_session *s, uint64_t size, struct leafvec *v)
{
    for (uint64_t off = 0; off + s->image.word <= size && v->n < 64; off += s->image.word) {
        char name[32];
        snprintf(name, sizeof name, "+%llu", (unsigned long long)off);
        HR_TRY(push_leaf(v, "", name, off, 0));
    }
    return HR_OK;
}

static char *text_at(struct hr_cli *c, uint64_t addr, uint64_t max, char *buf, size_t cap)
{
    struct hr_span b = hr_image_peek(&c->s->image, addr, max);
    size_t n = b.n ? strnlen((const char *)b.p, b.n) : 0;
    if (!c->show_contents)
        snprintf(buf, cap, "<%zu bytes of text>", n);
    else
        snprintf(buf, cap, "\"%.*s\"", (int)(n > 200 ? 200 : n), n ? (const char *)b.p : "");
    return buf;
}

/* A word that is neither an address in the image nor small may be text or a key: it is shown on demand only. */
enum { SMALL_WORD = 4096 };
static void word_value(struct hr_cli *c, uint64_t v, uint64_t size, char *buf, size_t cap)
{
    bool near_null = v < SMALL_WORD || v > (size == 4 ? UINT32_MAX : UINT64_MAX) - SMALL_WORD;
    if (c->show_contents || near_null || hr_image_find(&c->s->image, v, NULL))
        snprintf(buf, cap, "0x%llx", (unsigned long long)v);
    else
        snprintf(buf, cap, "<%llu bytes, no address>", (unsigned long long)size);
}

/* Value of a scalar as text (unescaped) and, for pointers, where it leads. */
static void leaf_value(struct hr_cli *c, uint64_t base, const struct leaf *l, char *buf, size_t cap, bool *is_ptr, uint64_t *target)
{
    const struct hr_session *s = c->s;
    const struct hr_type_row *r = hr_type_get(s->types, hr_type_strip(s->types, l->type));
    uint64_t v, size = l->type ? r->size : s->image.word;
    *is_ptr = !l->type || r->kind == HR_T_PTR || r->kind == HR_T_REF;
    buf[0] = 0;
    if (l->type && r->kind == HR_T_ARRAY) {
        const struct hr_type_row *e = hr_type_get(s->types, hr_type_strip(s->types, r->target));
        if (e->kind == HR_T_CHAR)
            text_at(c, base + l->off, hr_min(r->count ? r->count : 256, 256), buf, cap);
        return;
    }
    if (!size || size > 8 || !hr_image_uint(&s->image, base + l->off, (unsigned)size, &v)) {
        snprintf(buf, cap, size && size <= 8 ? "not in the image" : "");
        *is_ptr = false;
        return;
    }
    *target = v;
    if (*is_ptr) {
        word_value(c, v, size, buf, cap);
    } else if (r->kind == HR_T_CHAR && !c->show_contents) {
        snprintf(buf, cap, "<%llu byte%s of text>", (unsigned long long)size, size == 1 ? "" : "s");
    } else if (r->kind == HR_T_FLOAT && (size == 8 || size == 4)) {
        double d;
        float f;
        uint32_t w = (uint32_t)v;
        memcpy(&d, &v, 8);
        memcpy(&f, &w, 4);
        snprintf(buf, cap, "%g", size == 8 ? d : (double)f);
    } else if (r->kind == HR_T_BOOL) {
        snprintf(buf, cap, "%s", v ? "true" : "false");
    } else if (r->kind == HR_T_INT) {
        snprintf(buf, cap, "%lld", (long long)(v << (64 - 8 * size)) >> (64 - 8 * size));
    } else {
        snprintf(buf, cap, "%llu", (unsigned long long)v);
    }
}

struct shown {
    hr_id node;
    uint64_t addr, base, size, into;
    struct leafvec leaves;
    const uint32_t *refs;
    uint32_t nrefs;
    struct hr_py *python;
    uint64_t object;        /* of the Python in the block, 0 none */
};

static void json_fields(struct hr_cli *c, struct hr_json *j, const struct shown *w)
{
    hr_json_arr(j, "fields");
    for (size_t i = 0; i < w->leaves.n; i++) {
        const struct leaf *l = &w->leaves.v[i];
        char value[512], type[1024];
        bool is_ptr;
        uint64_t target = 0;
        leaf_value(c, w->base, l, value, sizeof value, &is_ptr, &target);
        hr_json_obj(j, NULL);
        hr_json_str(j, "name", l->name);
        hr_json_num(j, "offset", l->off);
        hr_json_str(j, "type", l->type ? hr_type_name(c->s->types, l->type, type, sizeof type) : NULL);
        hr_json_str(j, "value", value[0] ? value : NULL);
        if (is_ptr && target && hr_heap_at(c->s->heap, target, NULL) != HR_NONE)
            hr_json_addr(j, "target", target);
        else
            hr_json_null(j, "target");
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_block(struct hr_cli *c, struct hr_json *j, const struct shown *w)
{
    const struct hr_session *s = c->s;
    const struct hr_heap *h = s->heap;
    if (w->node == HR_NONE || w->node >= h->n) {
        hr_json_null(j, "block");
        return;
    }
    hr_id id = w->node;
    char name[1024];
    bool used = h->state[id] == HR_USED || h->state[id] == HR_HOST;
    hr_type type = h->type ? h->type[id] : 0;
    hr_json_obj(j, "block");
    hr_json_addr(j, "addr", w->base);
    hr_json_num(j, "size", w->size);
    hr_json_str(j, "state", hr_state_name(h->state[id]));
    hr_json_str(j, "allocator", h->allocators.v[h->arenas.v[hr_block_arena(h, id)].allocator].name);
    hr_json_str(j, "arena", hr_strs_get(s->strs, h->arenas.v[hr_block_arena(h, id)].name));
    hr_json_str(j, "type", type ? hr_type_name(s->types, type, name, sizeof name) : NULL);
    hr_json_str(j, "surety", type ? hr_surety_name(hr_evidence_surety(h->evidence[id])) : NULL);
    hr_json_str(j, "evidence", type ? hr_evidence_name(h->evidence[id]) : NULL);
    hr_json_str(j, "reach", used && h->reach && h->reach[id] ? hr_reach_name(h->reach[id]) : NULL);
    if (s->retained)
        hr_json_num(j, "retained", s->retained[id]);
    else
        hr_json_null(j, "retained");
    hr_json_end(j);
}

static void show_json(struct hr_cli *c, const struct shown *w)
{
    struct hr_json j;
    char what[1024], how[600];
    hr_cli_json_begin(c, &j);
    hr_json_addr(&j, "addr", w->addr);
    hr_json_str(&j, "what", hr_describe_addr(c->s, w->addr, what, sizeof what));
    json_block(c, &j, w);
    if (w->python)
        hr_cli_object_json(c, &j, w->python, w->object);
    else
        hr_json_null(&j, "object");
    if (w->python)
        hr_cli_json_allocated(&j, w->python, w->node);
    json_fields(c, &j, w);
    hr_json_arr(&j, "referrers");
    for (uint32_t i = 0; i < w->nrefs && i < MAX_REFERRERS; i++) {
        uint8_t surety;
        hr_describe_edge(c->s, w->refs[i], w->node, how, sizeof how, &surety);
        hr_json_obj(&j, NULL);
        hr_json_addr(&j, "addr", hr_node_addr(c->s->heap, w->refs[i]));
        hr_json_str(&j, "type", hr_describe_type(c->s, w->refs[i], what, sizeof what));
        hr_json_str(&j, "field", how[0] ? how : NULL);
        hr_json_str(&j, "surety", hr_surety_name(surety));
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_num(&j, "referrer_count", w->nrefs);
    hr_json_end(&j);
}

static void text_fields(struct hr_cli *c, const struct shown *w)
{
    static const char *const heads[] = {"offset", "field", "type", "value", "leads to"};
    struct hr_tab *t = hr_tab_create(&c->out, heads, "rllll", 5);
    for (size_t i = 0; i < w->leaves.n; i++) {
        const struct leaf *l = &w->leaves.v[i];
        char value[512], type[512], where[512] = "";
        bool is_ptr;
        uint64_t target = 0;
        leaf_value(c, w->base, l, value, sizeof value, &is_ptr, &target);
        if (is_ptr && target && hr_image_find(&c->s->image, target, NULL))
            hr_describe_addr(c->s, target, where, sizeof where);
        hr_tab_cellf(t, "%llu", (unsigned long long)l->off);
        hr_tab_cell(t, l->name);
        hr_tab_cell(t, l->type ? hr_type_name(c->s->types, l->type, type, sizeof type) : "-");
        hr_tab_cell(t, value);
        hr_tab_cell(t, where);
    }
    hr_tab_print(t, 2);
    if (!hr_node_type(c->s->heap, w->node) && w->size > 64 * (uint64_t)c->s->image.word)
        hr_outf(&c->out, "  [%s more]\n", hr_cli_bytes(c, w->size - 64 * (uint64_t)c->s->image.word));
}

static void text_block(struct hr_cli *c, const struct shown *w)
{
    const struct hr_heap *h = c->s->heap;
    struct hr_out *o = &c->out;
    char b[1024];
    hr_id id = w->node;
    hr_outf(o, "  %s bytes at 0x%llx in ", hr_cli_count(c, w->size), (unsigned long long)w->base);
    hr_out_esc(o, hr_strs_get(c->s->strs, h->arenas.v[hr_block_arena(h, id)].name));
    hr_outf(o, " (%s)\n", h->allocators.v[h->arenas.v[hr_block_arena(h, id)].allocator].name);
    if (h->state[id] != HR_USED && h->state[id] != HR_HOST)
        return;
    if (h->reach && h->reach[id])
        hr_outf(o, "  reach: %s\n", hr_reach_name(h->reach[id]));
    if (h->type && h->type[id])
        hr_outf(o, "  type known by %s\n", hr_evidence_name(h->evidence[id]));
    hr_outf(o, "  contents: ");
    hr_out_esc(o, hr_describe_shape(c->s, id, b, sizeof b));
    if (c->show_contents && h->evidence && h->evidence[id] == HR_EV_CONTENT) {
        hr_outf(o, ": ");
        hr_out_esc(o, text_at(c, w->base, w->size, b, sizeof b));
    }
    hr_outf(o, "\n  retains %s\n", c->s->retained ? hr_cli_bytes(c, c->s->retained[id]) : "?");
    if (w->python)
        hr_cli_text_allocated(c, w->python, id);
}

static void text_referrers(struct hr_cli *c, const struct shown *w)
{
    struct hr_out *o = &c->out;
    char what[1024], how[600];
    uint32_t most = c->all ? w->nrefs : 12;
    hr_outf(o, "\nReferred to by %s\n", w->nrefs ? "" : "nothing");
    for (uint32_t i = 0; i < w->nrefs && i < most; i++) {
        uint8_t surety;
        hr_describe_edge(c->s, w->refs[i], w->node, how, sizeof how, &surety);
        hr_outf(o, "  0x%llx ", (unsigned long long)hr_node_addr(c->s->heap, w->refs[i]));
        hr_out_esc(o, hr_describe_type(c->s, w->refs[i], what, sizeof what));
        hr_out_esc(o, how);
        hr_outf(o, " (%s)\n", hr_surety_name(surety));
    }
    if (w->nrefs > most)
        hr_outf(o, "  [%s others: --all]\n", hr_cli_count(c, w->nrefs - most));
}

static void show_text(struct hr_cli *c, const struct shown *w)
{
    struct hr_out *o = &c->out;
    char what[1024];
    hr_outf(o, "0x%llx: ", (unsigned long long)w->addr);
    hr_out_style(o, HR_BOLD);
    hr_out_esc(o, hr_describe_addr(c->s, w->addr, what, sizeof what));
    hr_out_style(o, HR_PLAIN);
    hr_outf(o, "\n");
    if (w->node != HR_NONE) {
        if (w->node < c->s->heap->n)
            text_block(c, w);
        if (w->object)
            hr_cli_object_text(c, w->python, w->object);
        else
            text_fields(c, w);
        text_referrers(c, w);
    }
    hr_cli_text_notes(c);
}

/* A block first, else the smallest root that spans the address. */
static hr_id node_at(const struct hr_heap *h, uint64_t addr, uint64_t *into)
{
    hr_id id = hr_heap_at(h, addr, into);
    for (size_t i = 0; id == HR_NONE && i < h->roots.n; i++) {
        const struct hr_root *r = &h->roots.v[i];
        if (r->size && addr >= r->addr && addr - r->addr < r->size) {
            *into = addr - r->addr;
            id = h->n + (hr_id)i;
        }
    }
    return id;
}

static enum hr_status fill(struct hr_cli *c, struct shown *w)
{
    struct hr_session *s = c->s;
    HR_TRY(hr_session_reach(s));
    HR_TRY(hr_session_dominators(s));
    HR_TRY(hr_session_reverse(s));
    w->leaves.max = MAX_FIELDS;
    w->node = node_at(s->heap, w->addr, &w->into);
    if (w->node == HR_NONE)
        return HR_OK;
    w->base = hr_node_addr(s->heap, w->node);
    w->size = hr_node_size(s->heap, w->node);
    hr_type t = hr_node_type(s->heap, w->node);
    w->refs = hr_graph_out(s->rev, w->node, &w->nrefs);
    w->python = hr_runtimes_self(s->runtimes, "cpython");
    if (w->python) {
        HR_TRY(hr_py_tracemalloc(w->python));
        w->object = hr_cli_object_at(w->python, w->node, w->addr);
    }
    enum hr_status st = t && hr_type_get(s->types, t)->size ? leaves_of(s, t, &w->leaves) : words_of(s, w->size, &w->leaves);
    return st == HR_LIMIT ? HR_OK : st;
}

static int run(struct hr_cli *c)
{
    struct shown w = {0};
    enum hr_status st = hr_session_roots(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (!hr_cli_address(c, c->args.v[0], &w.addr))
        return HR_EXIT_USAGE;
    st = fill(c, &w);
    int code = hr_cli_ok(c, st) ? hr_cli_exit(c) : hr_cli_exit_of(st);
    if (st == HR_OK && (c->json || c->ndjson))
        show_json(c, &w);
    else if (st == HR_OK)
        show_text(c, &w);
    leafvec_deinit(&w.leaves);
    return code;
}

const struct hr_verb hr_verb_show = {
    .name = "show", .args = "ADDR", .summary = "one block or variable: type, fields, who refers to it",
    .help = "Shows what lies at ADDR (0x..., or the name of a global): the block it belongs to, its type and how that is "
            "known, its fields with values, what it retains, and everything that refers to it. Text from the dump is shown "
            "only with --show-contents.",
    .min_args = 1, .max_args = 1, .needs_image = true, .types = true, .run = run,
};
