/* Words about nodes: types, roots, edges, shapes, addresses. All text is unescaped; printers escape. */
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/session.h"

static const char *const root_kinds[] = {
    [HR_ROOT_GLOBAL] = "global",         [HR_ROOT_STATIC] = "static data",   [HR_ROOT_TLS] = "thread-local",
    [HR_ROOT_LOCAL] = "local",           [HR_ROOT_STACK] = "stack",          [HR_ROOT_REGISTER] = "register",
    [HR_ROOT_DEAD_STACK] = "dead stack", [HR_ROOT_MAPPING] = "mapping",      [HR_ROOT_OBJECT] = "object",
    [HR_ROOT_HANDLE] = "handle",
};

const char *hr_root_kind_name(unsigned kind)
{
    return kind < sizeof root_kinds / sizeof *root_kinds ? root_kinds[kind] : "root";
}

const char *hr_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

char *hr_describe_type(struct hr_session *s, hr_id node, char *buf, size_t cap)
{
    if (hr_node_is_root(s->heap, node))
        return hr_describe_root(s, hr_node_root(s->heap, node), buf, cap);
    hr_type t = hr_node_type(s->heap, node);
    if (t)
        return hr_type_name(s->types, t, buf, cap);
    snprintf(buf, cap, "untyped %llu bytes", (unsigned long long)hr_block_size(s->heap, node));
    return buf;
}

static void append(char *buf, size_t cap, const char *fmt, ...) HR_PRINTF(3, 4);
static void append(char *buf, size_t cap, const char *fmt, ...)
{
    size_t n = strnlen(buf, cap);
    __builtin_va_list ap;
    __builtin_va_start(ap, fmt);
    vsnprintf(buf + n, cap - n, fmt, ap);
    __builtin_va_end(ap);
}

static void append_thread(struct hr_session *s, const struct hr_root *r, char *buf, size_t cap)
{
    if (r->thread < s->image.threads.n && s->image.threads.n > 1)
        append(buf, cap, " (thread %u)", s->image.threads.v[r->thread].tid);
}

static void append_frame(struct hr_session *s, const struct hr_root *r, char *buf, size_t cap)
{
    if (!s->stacks || r->frame >= s->stacks->frames.n)
        return;
    const struct hr_frame *f = &s->stacks->frames.v[r->frame];
    if (f->func)
        append(buf, cap, " of %s()", hr_strs_get(s->strs, f->func));
    if (f->file)
        append(buf, cap, " at %s:%u", hr_base_name(hr_strs_get(s->strs, f->file)), f->line);
}

char *hr_describe_root(struct hr_session *s, const struct hr_root *r, char *buf, size_t cap)
{
    const char *name = hr_strs_get(s->strs, r->name);
    if (r->kind == HR_ROOT_MAPPING && s->image.bare) { /* its label is that of a format */
        snprintf(buf, cap, "other RAM");
        return buf;
    }
    snprintf(buf, cap, "%s%s%s", hr_root_named(r) ? "" : hr_root_kind_name(r->kind), *name && !hr_root_named(r) ? " " : "", name);
    switch (r->kind) {
    case HR_ROOT_LOCAL:
    case HR_ROOT_STACK:
        append_frame(s, r, buf, cap);
        append_thread(s, r, buf, cap);
        break;
    case HR_ROOT_TLS:
    case HR_ROOT_REGISTER:
    case HR_ROOT_DEAD_STACK:
        append_thread(s, r, buf, cap);
        break;
    case HR_ROOT_HANDLE:
        break;
    default:
        if (r->module < s->image.modules.n && !(s->image.bare && s->image.modules.n == 1 && *name))
            append(buf, cap, "%s%s", *name ? " in " : " of ",
                   hr_base_name(hr_strs_get(s->strs, s->image.modules.v[r->module].path)));
    }
    return buf;
}

/* A root that a runtime made and named: "__main__", "frame f() at app.py:3, local rows". */
static bool named_handle(struct hr_session *s, hr_id node)
{
    return hr_node_is_root(s->heap, node) && hr_root_named(hr_node_root(s->heap, node));
}

struct edge_search {
    hr_id to;
    struct hr_edge found;
    bool has;
};

static void edge_search_flush(struct hr_edgebuf *b, void *ctx)
{
    struct edge_search *e = ctx;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->v[i].to == e->to && (!e->has || b->v[i].surety < e->found.surety)) {
            e->found = b->v[i];
            e->has = true;
        }
    b->n = 0;
}

char *hr_describe_edge(struct hr_session *s, hr_id from, hr_id to, char *buf, size_t cap, uint8_t *surety_ret)
{
    struct edge_search e = {.to = to};
    struct hr_edgebuf b = {.flush = edge_search_flush, .ctx = &e};
    hr_runtimes_edges(s->runtimes, from, &b);
    buf[0] = 0;
    if (surety_ret)
        *surety_ret = e.has ? e.found.surety : HR_SURE_NONE;
    if (!e.has || (hr_node_is_root(s->heap, from) && hr_node_root(s->heap, from)->kind == HR_ROOT_REGISTER))
        return buf;
    bool spelled = hr_runtimes_spell(s->runtimes, from, to, buf, cap);
    if (!spelled)
        buf[0] = 0;
    if (spelled || named_handle(s, from)) { /* the runtime's own word for it */
        if (surety_ret)
            *surety_ret = HR_SURE_EXACT;
        return buf;
    }
    if (e.found.off != UINT32_MAX && hr_runtimes_field(s->runtimes, from, e.found.off, buf, cap))
        return buf;
    hr_type t = hr_node_type(s->heap, from);
    if (t && e.found.off != UINT32_MAX) {
        char field[512];
        hr_type at = hr_type_at(s->types, t, e.found.off, field, sizeof field);
        if (at && field[0]) {
            snprintf(buf, cap, "%s%s", field[0] == '[' ? "" : ".", field);
            return buf;
        }
        if (at && hr_node_size(s->heap, from) <= s->image.word)
            return buf; /* the pointer variable itself */
    }
    if (e.found.off == UINT32_MAX)
        snprintf(buf, cap, "+?");
    else if (e.found.off || !hr_node_is_root(s->heap, from))
        snprintf(buf, cap, "+%u", e.found.off);
    return buf;
}

/* What the words of a block look like, without showing them. */
struct shape {
    uint32_t pointers, code, zeros, small, text_bytes, other;
};

static bool looks_text(const uint8_t *p, size_t n)
{
    size_t len = strnlen((const char *)p, n), good = 0;
    for (size_t i = 0; i < len;) {
        size_t u = p[i] == '\n' || p[i] == '\t' || p[i] == '\r' ? 1 : hr_utf8_ok(p + i, len - i);
        if (!u)
            return false;
        good += u;
        i += u;
    }
    return good >= 4;
}

char *hr_describe_shape(struct hr_session *s, hr_id block, char *buf, size_t cap)
{
    const struct hr_image *img = &s->image;
    uint64_t addr = hr_node_addr(s->heap, block), size = hr_node_size(s->heap, block);
    struct hr_span b = hr_image_peek(img, addr, hr_min(size, 4096));
    if (!b.n) {
        snprintf(buf, cap, "contents not in the image");
        return buf;
    }
    if (looks_text(b.p, b.n)) {
        snprintf(buf, cap, "text, %zu bytes", strnlen((const char *)b.p, b.n));
        return buf;
    }
    struct shape sh = {0};
    for (size_t i = 0; i + img->word <= b.n; i += img->word) {
        uint64_t w = hr_word_load(b.p + i, img->word, img->big);
        const struct hr_segment *seg;
        if (!w)
            sh.zeros++;
        else if (w < 65536)
            sh.small++;
        else if (hr_heap_at(s->heap, w, NULL) != HR_NONE)
            sh.pointers++;
        else if ((seg = hr_image_find(img, w, NULL)) && seg->flags & HR_SEG_X)
            sh.code++;
        else
            sh.other++;
    }
    if (!sh.pointers && !sh.code && !sh.small && !sh.other) {
        snprintf(buf, cap, "zeros");
        return buf;
    }
    buf[0] = 0;
    const struct { uint32_t n; const char *one, *many; } parts[] = {
        {sh.pointers, "pointer", "pointers"},
        {sh.code, "code address", "code addresses"},
        {sh.small, "small integer", "small integers"},
        {sh.zeros, "zero", "zeros"},
        {sh.other, "other word", "other words"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].n)
            append(buf, cap, "%s%u %s", *buf ? ", " : "", parts[i].n, parts[i].n == 1 ? parts[i].one : parts[i].many);
    if (size > b.n)
        append(buf, cap, " in its first %zu bytes", b.n);
    return buf;
}

char *hr_describe_addr(struct hr_session *s, uint64_t addr, char *buf, size_t cap)
{
    uint64_t into;
    hr_id id = s->heap ? hr_heap_at(s->heap, addr, &into) : HR_NONE;
    char name[512];
    if (id != HR_NONE) {
        hr_describe_type(s, id, name, sizeof name);
        snprintf(buf, cap, "%s block of %llu bytes, %s", hr_state_name(s->heap->state[id]),
                 (unsigned long long)hr_block_size(s->heap, id), name);
        if (into)
            append(buf, cap, ", %llu bytes into it", (unsigned long long)into);
        return buf;
    }
    const struct hr_segment *seg = hr_image_find(&s->image, addr, NULL);
    uint64_t off;
    const struct hr_sym *sym = hr_types_load_symbols(s->types) == HR_OK ? hr_sym_at(s->types, addr, &off) : NULL;
    if (sym && seg)
        snprintf(buf, cap, "%s %s + %llu", sym->kind == HR_SYM_FUNC ? "code of" : "data of", sym->name, (unsigned long long)off);
    else if (!seg)
        snprintf(buf, cap, "not in the image");
    else if (seg->flags & HR_SEG_STACK)
        snprintf(buf, cap, "on a thread's stack");
    else if (seg->name)
        snprintf(buf, cap, "%s of %s", seg->flags & HR_SEG_X ? "code" : seg->flags & HR_SEG_W ? "writable data" : "data",
                 hr_base_name(hr_strs_get(s->strs, seg->name)));
    else
        snprintf(buf, cap, "in an anonymous %s mapping", seg->flags & HR_SEG_W ? "writable" : "read-only");
    return buf;
}
