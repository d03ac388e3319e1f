/* Tables of what a Python heap keeps too long or could keep smaller: slots, tracebacks, caches, module_data, weakrefs, interned,
 * pymalloc, source_lines. Each is computed when a rule asks for it first. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/model_get.h"
#include "analyzer/runtimes/cpython/stacks.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"
#include "analyzer/runtimes/cpython/waste.h"

#define NUM(name_, doc_, get_) {name_, HR_V_NUM, HR_COST_OBJECT, 0, doc_, get_, NULL, 0, NULL}
#define BOOL(name_, doc_, get_) {name_, HR_V_BOOL, HR_COST_OBJECT, 0, doc_, get_, NULL, 0, NULL}
#define STR(name_, doc_, get_) {name_, HR_V_STR, HR_COST_OBJECT, 0, doc_, get_, NULL, 0, NULL}

enum { MAX_INTERPRETER_DICTS = 64, MAX_PINS_NAMED = 3 };

static struct hr_py *python(struct hr_session *s) { return s->runtimes ? hr_runtimes_self(s->runtimes, "cpython") : NULL; }

/* The facts of the session's Python; NULL without one. */
static struct hr_py_facts *facts(struct hr_session *s)
{
    struct hr_py *py = python(s);
    if (py && !py->facts)
        py->facts = hr_zalloc(1, sizeof *py->facts);
    return py ? py->facts : NULL;
}

static const char *type_name(struct hr_session *s, uint32_t t) { return hr_strs_get(s->strs, hr_py_type(python(s), t)->name); }
static bool subject(struct hr_session *s, uint64_t at, uint32_t type, uint64_t *addr, char *buf, size_t cap)
{
    *addr = at;
    snprintf(buf, cap, "%s", type_name(s, type));
    return true;
}
/* Bytes that would go with a node; unknown without dominators. */
static void retained(struct hr_session *s, hr_id node, struct hr_value *ret)
{
    if (s->retained && node != HR_NONE)
        num(ret, s->retained[node]);
    else
        ret->kind = HR_V_UNKNOWN;
}

/* A vector of facts, made once; what cannot be made is empty. */
#define ROWS(name_, have_, vec_, make_)                                                                                \
    static uint64_t name_(void *ctx)                                                                                   \
    {                                                                                                                  \
        struct hr_py_facts *f = facts(S);                                                                              \
        if (f && !f->have_) {                                                                                          \
            f->have_ = true;                                                                                           \
            if ((make_) != HR_OK)                                                                                      \
                f->vec_.n = 0;                                                                                         \
        }                                                                                                              \
        return f ? f->vec_.n : 0;                                                                                      \
    }

/* ---- slots: classes that __slots__ would shrink ---- */
ROWS(slots_count, have_slots, slots, hr_py_slots(python(S), &f->slots))
static const struct hr_py_slotted *slot(void *ctx, uint64_t row) { return &facts(S)->slots.v[row]; }
GET(s_type) { text(ret, type_name(S, slot(ctx, row)->type)); }
GET(s_addr) { num(ret, slot(ctx, row)->addr); }
GET(s_count) { num(ret, slot(ctx, row)->count); }
GET(s_names) { num(ret, slot(ctx, row)->names); }
GET(s_now) { num(ret, slot(ctx, row)->now); }
GET(s_then) { num(ret, slot(ctx, row)->then); }
GET(s_saved) { num(ret, slot(ctx, row)->now - slot(ctx, row)->then); }
GET(s_each) { num(ret, (slot(ctx, row)->now - slot(ctx, row)->then) / slot(ctx, row)->count); }
GET(s_weakrefs) { boolean(ret, slot(ctx, row)->weakrefs); }
static bool s_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, slot(ctx, row)->addr, slot(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr slot_attrs[] = {
    STR("type", "the class", s_type),
    NUM("addr", "address of an instance", s_addr),
    NUM("count", "its instances", s_count),
    NUM("names", "different attributes that they have", s_names),
    NUM("now", "bytes of all instances with their dicts and values", s_now),
    NUM("with_slots", "bytes they would take with a slot for each attribute", s_then),
    NUM("saved", "the difference", s_saved),
    NUM("bytes", "the same", s_saved),
    NUM("each", "bytes saved per instance, on average", s_each),
    BOOL("weakrefs", "some are weakly referenced: \"__weakref__\" has to be one of the slots", s_weakrefs),
};

/* ---- tracebacks: exceptions that keep their frames ---- */
/* What lies below another traceback in the dominator tree goes with that one, and is counted there. */
static enum hr_status mark_nested(struct hr_session *s, struct hr_pyraisedvec *v)
{
    enum { FREE = 1, BELOW = 2, HEAD = 3 };
    uint32_t n = s->graph->n;
    HR_AUTOFREE uint8_t *state = hr_zalloc((size_t)n + 1, 1);
    if (!state)
        return HR_NOMEM;
    state[n] = FREE;
    for (size_t i = 0; i < v->n; i++) {
        hr_id tb = hr_py_node(python(s), v->v[i].traceback);
        if (tb != HR_NONE)
            state[tb] = HEAD;
    }
    for (size_t i = 0; i < v->n; i++) {
        hr_id tb = hr_py_node(python(s), v->v[i].traceback), at;
        if (tb == HR_NONE || s->idom[tb] == HR_NONE)
            continue;
        for (at = s->idom[tb]; at < n && !state[at]; at = s->idom[at])
            ;
        uint8_t found = at > n || state[at] == FREE ? FREE : BELOW;
        for (hr_id k = s->idom[tb]; k < n && !state[k]; k = s->idom[k])
            state[k] = found;
        v->v[i].nested = found == BELOW;
    }
    return HR_OK;
}

static enum hr_status make_raised(struct hr_session *s, struct hr_pyraisedvec *v)
{
    HR_TRY(hr_py_raised(python(s), v));
    return s->idom && s->graph ? mark_nested(s, v) : HR_OK;
}

ROWS(raised_count, have_raised, raised, make_raised(S, &f->raised))
static const struct hr_py_raised *raised(void *ctx, uint64_t row) { return &facts(S)->raised.v[row]; }
GET(e_addr) { num(ret, raised(ctx, row)->addr); }
GET(e_type) { text(ret, type_name(S, raised(ctx, row)->type)); }
GET(e_frames) { num(ret, raised(ctx, row)->frames); }
GET(e_retained)
{
    if (raised(ctx, row)->nested)
        num(ret, 0);
    else
        retained(S, hr_py_node(python(S), raised(ctx, row)->traceback), ret);
}
static void raised_where(void *ctx, uint64_t row, bool function, struct hr_value *ret)
{
    static _Thread_local char b[2][1400];
    const struct hr_py_raised *r = raised(ctx, row);
    char name[256], file[1024];
    ret->kind = HR_V_UNKNOWN;
    if (!r->code)
        return;
    hr_py_code_names(python(S), r->code, name, sizeof name, file, sizeof file);
    if (function)
        snprintf(b[0], sizeof b[0], "%s", name);
    else
        snprintf(b[1], sizeof b[1], "%s:%u", file, r->line);
    text(ret, b[!function]);
}
GET(e_raised_at) { raised_where(ctx, row, false, ret); }
GET(e_function) { raised_where(ctx, row, true, ret); }
static bool e_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, raised(ctx, row)->addr, raised(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr raised_attrs[] = {
    NUM("addr", "address of the exception", e_addr),
    STR("type", "its class", e_type),
    NUM("frames", "frames of its traceback", e_frames),
    NUM("retained", "bytes that its traceback alone keeps; 0 where another one in the table keeps it", e_retained),
    NUM("bytes", "the same", e_retained),
    STR("raised_at", "file and line where it was raised", e_raised_at),
    STR("location", "the same", e_raised_at),
    STR("function", "the function that raised it", e_function),
};

/* ---- caches ---- */
ROWS(lru_count, have_lru, lru, hr_py_lru_caches(python(S), &f->lru))
static const struct hr_py_lru *lru(void *ctx, uint64_t row) { return &facts(S)->lru.v[row]; }
GET(c_addr) { num(ret, lru(ctx, row)->addr); }
GET(c_len) { num(ret, lru(ctx, row)->len); }
GET(c_hits) { num(ret, lru(ctx, row)->hits); }
GET(c_misses) { num(ret, lru(ctx, row)->misses); }
GET(c_retained) /* a pointer that a free list forgot may lead to the dict, and then the function does not hold it alone */
{
    hr_id node = lru(ctx, row)->node, cache = lru(ctx, row)->cache;
    retained(S, S->retained && cache != HR_NONE && S->retained[cache] > S->retained[node] ? cache : node, ret);
}
GET(c_unbounded) { boolean(ret, lru(ctx, row)->maxsize < 0); }
GET(c_maxsize)
{
    if (lru(ctx, row)->maxsize < 0)
        ret->kind = HR_V_UNKNOWN;
    else
        num(ret, (uint64_t)lru(ctx, row)->maxsize);
}
GET(c_name)
{
    static _Thread_local char b[512];
    struct hr_py *py = python(S);
    uint64_t func = lru(ctx, row)->func;
    uint32_t t = hr_py_object_type(py, func);
    bool function = t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_FUNCTION;
    uint64_t name = function ? hr_py_word(py->c, func, hr_py_has(py->c, HR_PY_FUNC_QUALNAME) ? HR_PY_FUNC_QUALNAME : HR_PY_FUNC_NAME) : 0;
    if (!name || !hr_py_text(py, name, b, sizeof b))
        snprintf(b, sizeof b, "a %s", t == HR_NONE ? "callable" : type_name(S, t));
    text(ret, b);
}
GET(c_location)
{
    static _Thread_local char b[1400];
    struct hr_py *py = python(S);
    char name[256], file[1024];
    uint64_t func = lru(ctx, row)->func;
    uint32_t t = hr_py_object_type(py, func);
    ret->kind = HR_V_UNKNOWN;
    if (t == HR_NONE || hr_py_type(py, t)->kind != HR_PK_FUNCTION)
        return;
    uint64_t code = hr_py_word(py->c, func, HR_PY_FUNC_CODE);
    hr_py_code_names(py, code, name, sizeof name, file, sizeof file);
    snprintf(b, sizeof b, "%s:%u", file, (unsigned)hr_py_uint(py->c, code, HR_PY_CODE_FIRSTLINENO, 4));
    text(ret, b);
}
static bool c_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = lru(ctx, row)->addr;
    snprintf(buf, cap, "functools._lru_cache_wrapper");
    return true;
}
static const struct hr_attr lru_attrs[] = {
    NUM("addr", "address of the cached function", c_addr),
    STR("name", "qualified name of the function", c_name),
    STR("location", "file and line of the function", c_location),
    NUM("len", "results in it", c_len),
    NUM("maxsize", "how many there may be; unknown when there is no bound", c_maxsize),
    BOOL("unbounded", "maxsize is None", c_unbounded),
    NUM("hits", "calls answered from it", c_hits),
    NUM("misses", "calls that were not", c_misses),
    NUM("retained", "bytes that would go with it", c_retained),
    NUM("bytes", "the same", c_retained),
};

/* ---- module_data ---- */
ROWS(kept_count, have_kept, kept, hr_py_module_data(python(S), &f->kept))
static const struct hr_py_kept *kept(void *ctx, uint64_t row) { return &facts(S)->kept.v[row]; }
GET(d_addr) { num(ret, kept(ctx, row)->addr); }
GET(d_name) { text(ret, hr_strs_get(S->strs, kept(ctx, row)->name)); }
GET(d_type) { text(ret, type_name(S, kept(ctx, row)->type)); }
GET(d_len) { num(ret, kept(ctx, row)->len); }
GET(d_retained) { retained(S, kept(ctx, row)->node, ret); }
static bool d_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, kept(ctx, row)->addr, kept(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr kept_attrs[] = {
    NUM("addr", "address of the container", d_addr),
    STR("name", "where it is: app.cache, app.Class.instances, app.registry.items", d_name),
    STR("type", "its type", d_type),
    NUM("len", "items in it", d_len),
    NUM("retained", "bytes that would go with it", d_retained),
    NUM("bytes", "the same", d_retained),
};

/* ---- weakrefs ---- */
ROWS(weak_count, have_weak, weak, hr_py_weakrefs(python(S), &f->weak))
static const struct hr_py_weak *weak(void *ctx, uint64_t row) { return &facts(S)->weak.v[row]; }
GET(w_addr) { num(ret, weak(ctx, row)->addr); }
GET(w_type) { text(ret, type_name(S, weak(ctx, row)->type)); }
GET(w_dead) { boolean(ret, weak(ctx, row)->dead); }
GET(w_callback) { boolean(ret, weak(ctx, row)->callback); }
GET(w_size) { num(ret, hr_block_size(S->heap, weak(ctx, row)->node)); }
static hr_id referrer(struct hr_session *s, hr_id node)
{
    uint32_t n;
    if (!s->rev && hr_session_reverse(s) != HR_OK)
        return HR_NONE;
    const uint32_t *from = hr_graph_out(s->rev, node, &n);
    for (uint32_t i = 0; i < n; i++)
        if (from[i] < s->heap->n && from[i] != node)
            return from[i];
    return HR_NONE;
}
/* Containers say little: whose they are says more. */
GET(w_held_by)
{
    static _Thread_local char b[600];
    struct hr_py *py = python(S);
    hr_id by = referrer(S, weak(ctx, row)->node), owner = by;
    ret->kind = HR_V_UNKNOWN;
    if (by == HR_NONE || py->object[by] == HR_NONE)
        return;
    for (int i = 0; i < 3 && owner != HR_NONE && py->object[owner] != HR_NONE; i++) {
        const struct hr_py_type *t = hr_py_type(py, py->object[owner]);
        if (t->flags & HR_PYF_HEAPTYPE)
            break;
        owner = referrer(S, owner);
    }
    const char *name = type_name(S, py->object[by]);
    if (owner == by || owner == HR_NONE || py->object[owner] == HR_NONE || !(hr_py_type(py, py->object[owner])->flags & HR_PYF_HEAPTYPE))
        snprintf(b, sizeof b, "%s", name);
    else
        snprintf(b, sizeof b, "%s of %s", name, type_name(S, py->object[owner]));
    text(ret, b);
}
static bool w_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return subject(S, weak(ctx, row)->addr, weak(ctx, row)->type, addr, buf, cap);
}
static const struct hr_attr weak_attrs[] = {
    NUM("addr", "address of the weak reference", w_addr),
    STR("type", "weakref, a class derived from it, or a proxy", w_type),
    BOOL("dead", "what it referred to is gone", w_dead),
    BOOL("callback", "a callback waits for that", w_callback),
    NUM("size", "bytes of its block", w_size),
    {"held_by", HR_V_STR, HR_COST_EDGE, HR_NEED_GRAPH, "type of what holds it, and of the object that has that", w_held_by, NULL, 0, NULL},
};

/* ---- interned ---- */
static enum hr_status make_interned(struct hr_session *s, struct hr_pyinternedvec *v)
{
    struct hr_py *py = python(s);
    hr_id table[MAX_INTERPRETER_DICTS];
    struct hr_bits held = {0};
    HR_TRY(hr_py_interned(py, v));
    size_t n = hr_py_interned_dicts(py, table, MAX_INTERPRETER_DICTS);
    if (!n || !s->graph)
        return HR_OK; /* nothing is said of who else holds them */
    HR_TRY(hr_bits_init(&held, (uint64_t)s->graph->n + 1));
    for (uint32_t node = 0; node < s->graph->n; node++) {
        bool is_table = false;
        for (size_t i = 0; i < n; i++)
            is_table |= table[i] == node;
        uint32_t m = 0;
        const uint32_t *to = is_table ? NULL : hr_graph_out(s->graph, node, &m);
        for (uint32_t i = 0; i < m; i++)
            hr_bits_set(&held, to[i]);
    }
    for (size_t i = 0; i < v->n; i++)
        v->v[i].alone = !hr_bits_get(&held, v->v[i].node);
    hr_bits_deinit(&held);
    return HR_OK;
}
ROWS(interned_count, have_interned, interned, make_interned(S, &f->interned))
static const struct hr_py_interned *interned(void *ctx, uint64_t row) { return &facts(S)->interned.v[row]; }
GET(i_addr) { num(ret, interned(ctx, row)->addr); }
GET(i_size) { num(ret, hr_block_size(S->heap, interned(ctx, row)->node)); }
GET(i_alone) { boolean(ret, interned(ctx, row)->alone); }
GET(i_immortal) { boolean(ret, interned(ctx, row)->immortal); }
GET(i_length) { num(ret, hr_py_len(python(S), interned(ctx, row)->addr, hr_py_type(python(S), python(S)->object[interned(ctx, row)->node]))); }
GET(i_text)
{
    static _Thread_local char b[256];
    text(ret, hr_py_repr(python(S), interned(ctx, row)->addr, true, b, sizeof b));
}
static bool i_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = interned(ctx, row)->addr;
    snprintf(buf, cap, "str");
    return true;
}
static const struct hr_attr interned_attrs[] = {
    NUM("addr", "address", i_addr),
    NUM("size", "bytes of its block", i_size),
    NUM("length", "characters", i_length),
    BOOL("alone", "only the table of interned strings leads to it", i_alone),
    BOOL("immortal", "it stays when nothing else holds it", i_immortal),
    {"text", HR_V_STR, HR_COST_OBJECT, HR_NEED_STRINGS, "what it says", i_text, NULL, 0, NULL},
};

/* ---- pymalloc: one row ---- */
static uint64_t pymalloc_count(void *ctx)
{
    struct hr_py_facts *f = facts(S);
    if (f && !f->have_memory) {
        f->have_memory = true;
        if (hr_py_memory_measure(&f->memory, python(S)) != HR_OK)
            f->memory.arenas.n = 0;
    }
    return f && f->memory.arenas.n;
}
static const struct hr_py_memory *memory(void *ctx) { return &facts(S)->memory; }
GET(m_arenas) { (void)row; num(ret, memory(ctx)->arenas.n); }
GET(m_size) { (void)row; num(ret, memory(ctx)->arena_size); }
GET(m_need) { (void)row; num(ret, memory(ctx)->need); }
GET(m_sparse) { (void)row; num(ret, memory(ctx)->sparse); }
GET(m_releasable) { (void)row; num(ret, memory(ctx)->releasable); }
GET(m_used) { (void)row; num(ret, memory(ctx)->used_bytes); }
GET(m_cached) { (void)row; num(ret, memory(ctx)->cached_bytes); }
GET(m_surplus)
{
    (void)row;
    const struct hr_py_memory *m = memory(ctx);
    num(ret, m->arenas.n > m->need ? (m->arenas.n - m->need) * m->arena_size : 0);
}
GET(m_sparse_bytes) { (void)row; num(ret, memory(ctx)->sparse_bytes); }
static const char *pin_name(struct hr_session *s, const struct hr_py_pin *p, char *buf, size_t cap)
{
    return p->type ? hr_type_name(s->types, p->type, buf, cap) : "untyped";
}
GET(m_pinned_by)
{
    static _Thread_local char b[1200];
    const struct hr_py_memory *m = memory(ctx);
    size_t at = 0;
    char name[300];
    (void)row;
    b[0] = 0;
    for (size_t i = 0; i < m->pins.n && i < MAX_PINS_NAMED; i++)
        at += (size_t)snprintf(b + at, sizeof b - at, "%s%llu x %.200s", at ? ", " : "", (unsigned long long)m->pins.v[i].count,
                               pin_name(S, &m->pins.v[i], name, sizeof name));
    text(ret, b);
}
static bool m_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    const struct hr_py_memory *m = memory(ctx);
    (void)row;
    *addr = m->pins.n ? hr_block_addr(S->heap, m->pins.v[0].example) : m->arenas.v[0].addr;
    if (m->pins.n)
        hr_describe_type(S, m->pins.v[0].example, buf, cap);
    else
        snprintf(buf, cap, "arena");
    return true;
}
static const struct hr_attr pymalloc_attrs[] = {
    NUM("arenas", "arenas that pymalloc has", m_arenas),
    NUM("arena_size", "bytes of each", m_size),
    NUM("needed", "arenas that would hold what is in use", m_need),
    NUM("sparse", "arenas less than a quarter full", m_sparse),
    NUM("sparse_bytes", "bytes of those", m_sparse_bytes),
    NUM("releasable", "arenas with nothing in use but free lists", m_releasable),
    NUM("used", "bytes of blocks in use", m_used),
    NUM("cached", "bytes of blocks on the interpreter's free lists", m_cached),
    NUM("surplus", "bytes of the arenas beyond those needed", m_surplus),
    NUM("bytes", "the same", m_surplus),
    STR("pinned_by", "what lives in the sparse arenas: the types with most bytes", m_pinned_by),
};

/* ---- source_lines: what tracemalloc knows ---- */
static uint64_t lines_count(void *ctx)
{
    struct hr_py *py = python(S);
    return py && hr_py_tracemalloc(py) == HR_OK ? py->tracing->lines.n : 0;
}
static const struct hr_py_line *line(void *ctx, uint64_t row) { return &python(S)->tracing->lines.v[row]; }
GET(l_file) { text(ret, hr_strs_get(S->strs, line(ctx, row)->at.file)); }
GET(l_line) { num(ret, line(ctx, row)->at.line); }
GET(l_count) { num(ret, line(ctx, row)->count); }
GET(l_bytes) { num(ret, line(ctx, row)->bytes); }
GET(l_location)
{
    static _Thread_local char b[1400];
    snprintf(b, sizeof b, "%s:%u", hr_strs_get(S->strs, line(ctx, row)->at.file), line(ctx, row)->at.line);
    text(ret, b);
}
static const struct hr_attr line_attrs[] = {
    STR("file", "file name", l_file),
    NUM("line", "line number", l_line),
    STR("location", "both: app.py:31", l_location),
    NUM("count", "live blocks that it allocated", l_count),
    NUM("bytes", "their bytes, as asked for", l_bytes),
};

#define TABLE(name_, doc_, needs_, count_, attrs_, subject_)                                                           \
    (struct hr_table){.name = name_, .doc = doc_, .needs = needs_, .count = count_, .attrs = attrs_,                   \
                      .nattrs = sizeof attrs_ / sizeof *attrs_, .ctx = s, .absent = hr_model_no_python, .subject = subject_}

size_t hr_model_python_waste(struct hr_table *t, struct hr_session *s)
{
    size_t n = 0;
    t[n++] = TABLE("slots", "classes of a Python that __slots__ would shrink", HR_NEED_REACH, slots_count, slot_attrs, s_subject);
    t[n++] = TABLE("tracebacks", "exceptions of a Python that keep a traceback", HR_NEED_DOMINATORS, raised_count, raised_attrs, e_subject);
    t[n++] = TABLE("caches", "functools.lru_cache functions of a Python", HR_NEED_DOMINATORS, lru_count, lru_attrs, c_subject);
    t[n++] = TABLE("module_data", "containers that modules, their classes and their global objects keep", HR_NEED_DOMINATORS, kept_count, kept_attrs,
                   d_subject);
    t[n++] = TABLE("weakrefs", "weak references and proxies of a Python", HR_NEED_REACH, weak_count, weak_attrs, w_subject);
    t[n++] = TABLE("interned", "interned strings of a Python, in blocks", HR_NEED_GRAPH, interned_count, interned_attrs, i_subject);
    t[n++] = TABLE("pymalloc", "Python's small-object memory as a whole, one row", HR_NEED_TYPES, pymalloc_count, pymalloc_attrs, m_subject);
    t[n++] = TABLE("source_lines", "lines that allocated what is live, where tracemalloc ran", HR_NEED_REACH, lines_count, line_attrs, NULL);
    return n;
}
