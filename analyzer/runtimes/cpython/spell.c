/* References spelled as Python would: .attr, ["key"], [3], frame handle() at app.py:31, local rows. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/stacks.h"

enum { MAX_KEY = 32, MAX_ITEMS = 1 << 24, MAX_NAME = 256 };

struct search {
    struct hr_py *py;
    uint64_t target;
    char *buf;
    size_t cap;
    bool module, found;
    uint64_t at;
};

/* Keys are contents: only short ones that could be names are shown. */
static bool is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    return n && n <= MAX_KEY;
}

static bool pair(void *ctx, uint64_t key, uint64_t value)
{
    struct search *s = ctx;
    char text[MAX_NAME];
    if (key != s->target && value != s->target)
        return true;
    bool name = hr_py_text(s->py, key, text, sizeof text) && is_name(text);
    s->found = true;
    if (value != s->target)
        snprintf(s->buf, s->cap, " key");
    else if (name && s->module)
        snprintf(s->buf, s->cap, ".%s", text);
    else if (name)
        snprintf(s->buf, s->cap, "[\"%s\"]", text);
    else
        snprintf(s->buf, s->cap, "[%s]", hr_py_repr(s->py, key, false, text, sizeof text));
    return false;
}

static bool attribute(void *ctx, const char *name, uint64_t value)
{
    struct search *s = ctx;
    if (value != s->target)
        return true;
    snprintf(s->buf, s->cap, ".%s", name);
    s->found = true;
    return false;
}

static bool item(struct search *s, uint64_t items, uint64_t n)
{
    unsigned word = s->py->img->word;
    n = hr_min(hr_min(n, hr_py_block_left(s->py, items) / word), MAX_ITEMS);
    for (uint64_t i = 0; i < n; i++)
        if (hr_py_word_at(s->py, items + i * word) == s->target) {
            snprintf(s->buf, s->cap, "[%llu]", (unsigned long long)i);
            return true;
        }
    return false;
}

static void counted(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct search *s = ctx;
    (void)off;
    (void)surety;
    if (s->found || kind != HR_PR_STRONG)
        return;
    s->found = target == s->target;
    s->at += !s->found;
}

static bool local(void *ctx, uint64_t name, uint64_t value, uint64_t slot)
{
    struct search *s = ctx;
    char text[MAX_NAME];
    if (value != s->target && (!slot || hr_py_word_at(s->py, slot) != s->target))
        return true;
    if (!hr_py_text(s->py, name, text, sizeof text))
        return false;
    size_t n = strlen(s->buf);
    snprintf(s->buf + n, s->cap - n, ", local %s", text);
    s->found = true;
    return false;
}

char *hr_py_spell_frame(struct hr_py_walk *w, const struct hr_py_frame *f, char *buf, size_t cap)
{
    char function[MAX_NAME], file[1024];
    hr_py_code_names(w->py, f->code, function, sizeof function, file, sizeof file);
    const char *slash = strrchr(file, '/');
    snprintf(buf, cap, "frame %s() at %s:%u", function, slash ? slash + 1 : file, hr_py_frame_line(w, f));
    return buf;
}

static bool in_frame(struct search *s, const struct hr_py_frame *f, bool say_frame)
{
    struct hr_py_walk w;
    hr_py_walk_init(&w, s->py);
    if (s->cap < 64)
        return false;
    s->buf[0] = ' ';
    hr_py_spell_frame(&w, f, s->buf + 1, s->cap - 1);
    if (!say_frame)
        memmove(s->buf + 1, s->buf + 7, strlen(s->buf + 7) + 1); /* the object is called a frame already */
    hr_py_frame_locals(&w, f, local, s);
    return true;
}

/* What has neither a member nor a name of its own in a dict. */
static const struct { uint8_t kind; enum hr_py_fact at; const char *name; } fields[] = {
    {HR_PK_FUNCTION, HR_PY_FUNC_CODE, ".__code__"}, {HR_PK_FUNCTION, HR_PY_FUNC_GLOBALS, ".__globals__"},
    {HR_PK_MODULE, HR_PY_MODULE_DICT, ".__dict__"}, {HR_PK_CELL, HR_PY_CELL_REF, ".cell_contents"},
    {HR_PK_TYPE, HR_PY_TP_DICT, ".__dict__"},       {HR_PK_TYPE, HR_PY_TP_BASES, ".__bases__"},
    {HR_PK_TYPE, HR_PY_TP_MRO, ".__mro__"},         {HR_PK_TYPE, HR_PY_TP_BASE, ".__base__"},
    {HR_PK_CLASSIC_INSTANCE, HR_PY_INSTANCE_CLASS, ".__class__"}, {HR_PK_CLASSIC_CLASS, HR_PY_CLASS_DICT, ".__dict__"},
};

static bool in_array(struct search *s, uint64_t obj)
{
    struct hr_py_ndarray a;
    char number[40];
    if (!hr_py_ndarray(s->py, obj, &a))
        return false;
    if (a.base == s->target || a.d.addr == s->target) {
        snprintf(s->buf, s->cap, a.base == s->target ? ".base" : ".dtype");
        return true;
    }
    if (a.d.type != 'O' || !(a.flags & HR_NPF_OWNDATA) || !item(s, a.data, a.items))
        return false;
    if (a.nd == 1)
        return true;
    snprintf(number, sizeof number, "%s", s->buf); /* several indices are not worth the room */
    snprintf(s->buf, s->cap, ".flat%s", number);
    return true;
}

static bool by_kind(struct search *s, uint64_t obj, const struct hr_py_type *t)
{
    struct hr_py *py = s->py;
    struct hr_py_frame f = {obj, 0};
    switch (t->kind) {
    case HR_PK_LIST:
        return item(s, hr_py_word(py->c, obj, HR_PY_LIST_ITEMS), hr_py_word(py->c, obj, HR_PY_OB_SIZE));
    case HR_PK_TUPLE:
        return item(s, obj + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS], hr_py_word(py->c, obj, HR_PY_OB_SIZE));
    case HR_PK_DICT: case HR_PK_ODICT:
        s->module = hr_map_get(&py->module_dicts, obj) != HR_NONE;
        hr_py_dict_items(py, obj, pair, s);
        return s->found;
    case HR_PK_DEQUE: case HR_PK_SET:
        hr_py_refs(py, obj, t, counted, s);
        if (s->found && t->kind == HR_PK_DEQUE)
            snprintf(s->buf, s->cap, "[%llu]", (unsigned long long)s->at);
        else if (s->found)
            snprintf(s->buf, s->cap, " item");
        return s->found;
    case HR_PK_NDARRAY: return in_array(s, obj);
    case HR_PK_GENERATOR:
        return py->minor >= 0x030b && hr_py_generator_frame(py, obj, &f) && in_frame(s, &f, true); /* else by way of gi_frame */
    case HR_PK_FRAME:
        if (py->minor >= 0x030b)
            f.addr = hr_py_word(py->c, obj, HR_PY_FRAME_IFRAME);
        f.code = hr_py_word(py->c, f.addr, py->minor >= 0x030b ? HR_PY_IFRAME_CODE : HR_PY_FRAME_CODE);
        return in_frame(s, &f, false);
    default:
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (fields[i].kind == t->kind && hr_py_word(py->c, obj, fields[i].at) == s->target) {
                snprintf(s->buf, s->cap, "%s", fields[i].name);
                return true;
            }
        return false;
    }
}

bool hr_py_spell(struct hr_py *py, hr_id from, hr_id to, char *buf, size_t cap)
{
    uint64_t obj = hr_py_addr(py, from), target = hr_py_addr(py, to);
    if (!obj || !target || !cap)
        return false;
    struct hr_py_type t = *hr_py_type(py, py->object[from]);
    struct search s = {.py = py, .target = target, .buf = buf, .cap = cap};
    buf[0] = 0;
    if (by_kind(&s, obj, &t))
        return true;
    hr_py_attributes(py, obj, &t, attribute, &s);
    if (s.found)
        return true;
    buf[0] = 0;
    if (t.addr == target)
        snprintf(buf, cap, ".__class__");
    else if (hr_py_instance_dict(py, obj, &t) == target)
        snprintf(buf, cap, ".__dict__");
    return buf[0] != 0;
}

/* ---- roots ---- */
struct naming { struct hr_py *py; enum hr_status st; uint32_t left; const char *frame; int64_t interpreter; };

static enum hr_status add_root(struct naming *n, uint64_t addr, const char *name)
{
    struct hr_root r = {.addr = addr, .module = HR_NONE, .thread = HR_NONE, .frame = HR_NONE, .kind = HR_ROOT_HANDLE, .surety = HR_SURE_EXACT};
    if (!n->left)
        return HR_OK;
    n->left--;
    HR_TRY(hr_strs_addz(n->py->img->strs, name, &r.name));
    return hr_rootvec_push(&n->py->heap->roots, r);
}

static bool module(void *ctx, uint64_t key, uint64_t value)
{
    struct naming *n = ctx;
    struct hr_py *py = n->py;
    char name[MAX_NAME];
    uint32_t t = hr_py_object_type(py, value);
    uint64_t dict = t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_MODULE ? hr_py_word(py->c, value, HR_PY_MODULE_DICT) : 0;
    if (!dict || hr_py_node(py, dict) == HR_NONE || !hr_py_text(py, key, name, sizeof name) || hr_map_get(&py->module_dicts, dict) != HR_NONE)
        return true;
    n->st = hr_map_put(&py->module_dicts, dict, 1);
    char whole[MAX_NAME + 40];
    snprintf(whole, sizeof whole, "interpreter %lld: %s", (long long)n->interpreter, name);
    if (n->st == HR_OK)
        n->st = add_root(n, dict, n->interpreter > 0 ? whole : name);
    return n->st == HR_OK;
}

static bool frame_local(void *ctx, uint64_t name, uint64_t value, uint64_t slot)
{
    struct naming *n = ctx;
    char text[MAX_NAME], whole[2 * MAX_NAME + 1100];
    if (!hr_py_text(n->py, name, text, sizeof text))
        return true;
    snprintf(whole, sizeof whole, "%s, local %s", n->frame, text);
    if (hr_py_node(n->py, value) != HR_NONE)
        n->st = add_root(n, value, whole);
    uint64_t cell = slot ? hr_py_word_at(n->py, slot) : 0;
    if (n->st == HR_OK && cell && cell != value && hr_py_node(n->py, cell) != HR_NONE)
        n->st = add_root(n, cell, whole);
    return n->st == HR_OK;
}

static void thread_roots(struct naming *n, struct hr_py_walk *w, uint64_t tstate)
{
    struct hr_py_frame f = {0, 0};
    char text[MAX_NAME + 1100];
    while (n->left && n->st == HR_OK && hr_py_next_frame(w, tstate, &f)) {
        n->left--; /* frames without locals end, too */
        n->frame = hr_py_spell_frame(w, &f, text, sizeof text);
        hr_py_frame_locals(w, &f, frame_local, n);
    }
}

enum hr_status hr_py_named_roots(struct hr_py *py)
{
    enum { MOST = 1 << 20 }; /* a root is 56 bytes; deeper recursion is still found through the frames' own memory */
    struct naming n = {.py = py, .left = MOST};
    struct hr_py_walk w;
    hr_py_walk_init(&w, py);
    for (uint32_t i = 0; i < py->c->ninterp && n.st == HR_OK; i++) {
        struct hr_py_thread t;
        n.interpreter = hr_py_interp_id(py->c, i);
        hr_py_dict_items(py, hr_py_word(py->c, py->c->interp[i], HR_PY_IS_MODULES), module, &n);
        uint64_t at = 0;
        for (uint32_t k = 0; k < HR_PY_MAX_THREADS && n.st == HR_OK && hr_py_next_thread(&w, py->c->interp[i], &at, &t); k++) {
            HR_TRY(hr_py_dead_stack(py, t.tstate));
            thread_roots(&n, &w, t.tstate);
        }
    }
    return n.st;
}
