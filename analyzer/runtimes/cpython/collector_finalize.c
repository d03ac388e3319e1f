/* What happens between finding the garbage and counting it: callbacks of weak references run and finalizers are called, and what
 * they let go of dies by its reference count before it is counted (Modules/gcmodule.c, handle_weakrefs() and finalize_garbage();
 * Objects/genobject.c, _PyGen_Finalize()). Only what is known without running code is foretold: suspended generators are closed,
 * which clears their frames, and the weak containers of the standard library forget their dead entries. */
#include <string.h>

#include "analyzer/runtimes/cpython/collector.h"
#include "analyzer/runtimes/cpython/refs.h"

struct dying {
    struct hr_py *py;
    const struct hr_bits *garbage; /* by block */
    uint32_t *dropped;      /* per block: references gone */
    struct hr_bits dead, closed;
    struct hr_u32vec todo;
    struct hr_u32vec kept;  /* generators whose frames live on in frame objects */
    struct hr_bits revived;
    uint32_t from;          /* while closing: only references at this offset and beyond; while killing: only those before */
    bool closing, failed;
};

static void drop(struct dying *d, uint64_t target)
{
    hr_id id = hr_py_node(d->py, target);
    if (id == HR_NONE || hr_py_immortal(d->py, target) || d->dropped[id] == UINT32_MAX)
        return;
    if (++d->dropped[id] >= (uint64_t)hr_py_refcount(d->py, target) && hr_bits_claim(&d->dead, id) && hr_u32vec_push(&d->todo, id) != HR_OK)
        d->failed = true;
}

static void drop_ref(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct dying *d = ctx;
    (void)surety;
    bool counted = kind == HR_PR_STRONG || kind == HR_PR_UNVISITED || kind == HR_PR_TYPE || kind == HR_PR_COUNTED;
    bool in_frame = off != UINT32_MAX && off >= d->from;
    if (counted && in_frame == d->closing)
        drop(d, target);
}

/* ---- generators ---- */
/* Offset from which on a generator's references go when it is closed; UINT32_MAX when closing drops nothing. */
static uint32_t closes_from(struct hr_py *py, uint64_t gen, const char *type)
{
    const struct hr_cpython *c = py->c;
    bool coroutine = !strcmp(type, "coroutine");
    if (py->minor < 0x030b) {
        uint64_t frame = hr_py_word(c, gen, HR_PY_GEN_FRAME);
        bool fresh, live;
        if (!frame || py->minor < 0x0300)
            return UINT32_MAX;
        if (hr_py_has(c, HR_PY_FRAME_STATE)) {
            int8_t state = (int8_t)hr_py_uint(c, frame, HR_PY_FRAME_STATE, 1);
            live = state < 0;
            fresh = state == -2;
        } else {
            live = hr_py_word(c, frame, HR_PY_FRAME_STACKTOP) != 0;
            fresh = (int32_t)hr_py_uint(c, frame, HR_PY_FRAME_LASTI, 4) == -1;
        }
        return live && !(fresh && coroutine) ? (uint32_t)c->at[HR_PY_GEN_FRAME] : UINT32_MAX;
    }
    int8_t state = (int8_t)hr_py_uint(c, gen, HR_PY_GEN_FRAME_STATE, 1), created = py->minor >= 0x030d ? -3 : -2;
    uint64_t frame = gen + (uint64_t)c->at[HR_PY_GEN_IFRAME];
    if (state >= 0 || (state == created && (coroutine || py->minor >= 0x030c)))
        return UINT32_MAX;
    uint64_t instruction = hr_py_has(c, HR_PY_IFRAME_INSTR_PTR) ? hr_py_word(c, frame, HR_PY_IFRAME_INSTR_PTR) : 0, units;
    enum { RESUME_OUTSIDE_TRY = 4 }; /* in RESUME's argument, 3.13: no code has to run, and the function stays in the frame (3.14 clears it, too) */
    if (py->minor == 0x030d && hr_image_uint(py->img, instruction, 2, &units) && units >> 8 & RESUME_OUTSIDE_TRY)
        return (uint32_t)(c->at[HR_PY_GEN_IFRAME] + c->at[HR_PY_IFRAME_LOCALSPLUS]);
    return (uint32_t)c->at[HR_PY_GEN_IFRAME];
}

/* Somebody else has the frame object: it takes the frame over when the generator is closed, and only the value stack goes. */
static bool outlives(struct hr_py *py, uint64_t gen)
{
    const struct hr_cpython *c = py->c;
    if (py->minor < 0x030b)
        return hr_py_refcount(py, hr_py_word(c, gen, HR_PY_GEN_FRAME)) > 1;
    uint64_t frame = hr_py_word(c, gen + (uint64_t)c->at[HR_PY_GEN_IFRAME], HR_PY_IFRAME_FRAME_OBJ);
    return frame && hr_py_refcount(py, frame) > 1;
}

/* An asynchronous generator that knows its loop is handed to that, not closed. */
static bool handed_over(struct hr_py *py, uint64_t gen, const char *type, uint64_t basicsize)
{
    if (strcmp(type, "async_generator"))
        return false;
    uint64_t from = gen + (uint64_t)py->c->at[HR_PY_GEN_QUALNAME] + py->img->word;
    uint64_t to = py->minor >= 0x030b ? gen + (uint64_t)py->c->at[HR_PY_GEN_IFRAME] : gen + basicsize;
    for (; from < to; from += py->img->word)
        if (hr_py_node(py, hr_py_word_at(py, from)) != HR_NONE)
            return true;
    return false;
}

static void walk(struct dying *d, hr_id id, uint32_t from, bool closing)
{
    const struct hr_py_type t = d->py->types.v[d->py->object[id]];
    d->from = from;
    d->closing = closing;
    hr_py_refs(d->py, hr_py_addr(d->py, id), &t, drop_ref, d);
}

static void drop_words(struct dying *d, uint64_t from, uint64_t to)
{
    enum { MAX_STACK = 1 << 16 };
    for (uint32_t i = 0; from < to && i < MAX_STACK; i++, from += d->py->img->word)
        if (d->py->minor < 0x030e || !(hr_py_word_at(d->py, from) & 1))
            drop(d, hr_py_untag(d->py, hr_py_word_at(d->py, from)));
}

/* The exception that closes it pops the value stack; locals stay with the frame. */
static void pop_stack(struct dying *d, uint64_t gen)
{
    const struct hr_cpython *c = d->py->c;
    unsigned word = d->py->img->word;
    if (d->py->minor >= 0x030b) {
        uint64_t frame = gen + (uint64_t)c->at[HR_PY_GEN_IFRAME], plus = frame + (uint64_t)c->at[HR_PY_IFRAME_LOCALSPLUS];
        uint64_t locals = hr_py_uint(c, hr_py_word(c, frame, HR_PY_IFRAME_CODE), HR_PY_CODE_NLOCALSPLUS, 4);
        int64_t top = hr_py_iframe_top(d->py, frame);
        if (top > 0)
            drop_words(d, plus + locals * word, plus + (uint64_t)top * word);
        return;
    }
    uint64_t frame = hr_py_word(c, gen, HR_PY_GEN_FRAME), stack = hr_py_word(c, frame, HR_PY_FRAME_VALUESTACK);
    if (hr_py_has(c, HR_PY_FRAME_STACKDEPTH))
        drop_words(d, stack, stack + hr_py_uint(c, frame, HR_PY_FRAME_STACKDEPTH, 4) * word);
    else
        drop_words(d, stack, hr_py_word(c, frame, HR_PY_FRAME_STACKTOP));
}

/* Before 3.11 the frame is one word of the generator; what follows it stays. */
static void close_generator(struct dying *d, hr_id id, uint32_t from)
{
    uint64_t gen = hr_py_addr(d->py, id);
    bool kept = outlives(d->py, gen), locals_only = d->py->minor >= 0x030b && from != (uint32_t)d->py->c->at[HR_PY_GEN_IFRAME];
    if (kept && !locals_only) {
        pop_stack(d, gen);
        if (d->py->minor >= 0x030b && hr_u32vec_push(&d->kept, id) != HR_OK)
            d->failed = true;
        return;
    }
    hr_bits_set(&d->closed, id);
    if (d->py->minor < 0x030b)
        drop(d, hr_py_word(d->py->c, gen, HR_PY_GEN_FRAME));
    else
        walk(d, id, from, true);
}

static void kill(struct dying *d, hr_id id)
{
    const struct hr_py_type *t = &d->py->types.v[d->py->object[id]];
    uint32_t from = UINT32_MAX;
    if (t->kind == HR_PK_GENERATOR && hr_bits_get(&d->closed, id))
        from = closes_from(d->py, hr_py_addr(d->py, id), hr_strs_get(d->py->img->strs, t->name));
    walk(d, id, from, false);
}

static enum hr_status close_all(struct dying *d, const struct hr_u64vec *garbage)
{
    struct hr_py *py = d->py;
    for (size_t i = 0; i < garbage->n; i++) {
        hr_id id = hr_py_node(py, garbage->v[i]);
        const struct hr_py_type *t = &py->types.v[py->object[id]];
        const char *name = hr_strs_get(py->img->strs, t->name);
        if (t->kind != HR_PK_GENERATOR || handed_over(py, garbage->v[i], name, t->basicsize) || hr_bits_get(&d->dead, id))
            continue;
        uint32_t from = closes_from(py, garbage->v[i], name);
        if (from != UINT32_MAX)
            close_generator(d, id, from);
        while (d->todo.n && !d->failed)
            kill(d, d->todo.v[--d->todo.n]);
    }
    return d->failed ? HR_NOMEM : HR_OK;
}

/* A frame object of 3.11 on is not tracked before it owns its frame: once it does, the collector sees what it holds as held from
 * outside, and puts all that back. */
static void revive_ref(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct dying *d = ctx;
    hr_id id = hr_py_node(d->py, target);
    (void)surety;
    if (id == HR_NONE || kind == HR_PR_PART || kind == HR_PR_WEAK || kind == HR_PR_UNVISITED || kind == HR_PR_COUNTED || (d->closing && off < d->from))
        return;
    if (hr_bits_get(d->garbage, id) && hr_bits_claim(&d->revived, id) && hr_u32vec_push(&d->todo, id) != HR_OK)
        d->failed = true;
}

static void revive(struct dying *d)
{
    d->closing = true;
    d->from = (uint32_t)d->py->c->at[HR_PY_GEN_IFRAME];
    for (size_t i = 0; i < d->kept.n; i++) {
        hr_id id = d->kept.v[i];
        const struct hr_py_type t = d->py->types.v[d->py->object[id]];
        hr_py_refs(d->py, hr_py_addr(d->py, id), &t, revive_ref, d);
    }
    d->closing = false;
    while (d->todo.n && !d->failed) {
        hr_id id = d->todo.v[--d->todo.n];
        const struct hr_py_type t = d->py->types.v[d->py->object[id]];
        hr_py_refs(d->py, hr_py_addr(d->py, id), &t, revive_ref, d);
    }
}

/* What is revived leaves the garbage; what died on the way is listed. */
static enum hr_status sort_out(struct dying *d, struct hr_u64vec *garbage, struct hr_u64vec *died_ret)
{
    size_t n = 0;
    for (size_t i = 0; i < garbage->n; i++) {
        hr_id id = hr_py_node(d->py, garbage->v[i]);
        if (hr_bits_get(&d->dead, id))
            HR_TRY(hr_u64vec_push(died_ret, garbage->v[i]));
        else if (hr_bits_get(&d->revived, id))
            continue;
        garbage->v[n++] = garbage->v[i];
    }
    garbage->n = n;
    return HR_OK;
}

enum hr_status hr_py_gc_finalizers(struct hr_py *py, const struct hr_bits *is_garbage, struct hr_u64vec *garbage, struct hr_u64vec *died_ret)
{
    struct dying d = {.py = py, .garbage = is_garbage, .todo.max = 1u << 30, .kept.max = 1u << 30};
    uint64_t nodes = (uint64_t)py->heap->n + 1;
    enum hr_status st = HR_NOMEM;
    d.dropped = hr_zalloc(nodes, sizeof *d.dropped);
    if (d.dropped && hr_bits_init(&d.dead, nodes) == HR_OK && hr_bits_init(&d.closed, nodes) == HR_OK && hr_bits_init(&d.revived, nodes) == HR_OK)
        st = close_all(&d, garbage);
    if (st == HR_OK) {
        revive(&d);
        st = d.failed ? HR_NOMEM : sort_out(&d, garbage, died_ret);
    }
    hr_free(d.dropped);
    hr_bits_deinit(&d.dead);
    hr_bits_deinit(&d.closed);
    hr_bits_deinit(&d.revived);
    hr_u32vec_deinit(&d.kept);
    hr_u32vec_deinit(&d.todo);
    return st;
}

/* ---- weak references with callbacks ---- */
static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* Does this callback drop the weak reference it is called for? Those of the weak containers, of weakref.finalize and of _abc do. */
static bool forgets(struct hr_py *py, uint64_t callback)
{
    uint32_t ti = hr_py_object_type(py, callback);
    char text[512];
    if (ti == HR_NONE)
        return false;
    const struct hr_py_type *t = hr_py_type(py, ti);
    if (t->kind == HR_PK_FUNCTION) {
        uint64_t code = hr_py_word(py->c, callback, HR_PY_FUNC_CODE);
        bool named = hr_py_text(py, hr_py_word(py->c, code, HR_PY_CODE_NAME), text, sizeof text) && (!strcmp(text, "remove") || !strcmp(text, "_remove"));
        return named && hr_py_text(py, hr_py_word(py->c, code, HR_PY_CODE_FILENAME), text, sizeof text) &&
               (ends_with(text, "/weakref.py") || ends_with(text, "/_weakrefset.py"));
    }
    if (t->kind == HR_PK_BUILTIN_METHOD)
        return hr_image_cstr(py->img, hr_py_word_at(py, hr_py_word_at(py, callback + (uint64_t)py->c->at[HR_PYS_OBJECT])), text, sizeof text) &&
               !strcmp(text, "_destroy");
    const char *name = hr_strs_get(py->img->strs, t->name);
    return !strcmp(name, "weakref.finalize") || !strcmp(name, "_ctypes.DictRemover");
}

uint64_t hr_py_gc_weakrefs(struct hr_py *py, const struct hr_bits *garbage)
{
    uint64_t freed = 0;
    for (hr_id id = 0; id < py->heap->n; id++) {
        if (py->object[id] == HR_NONE || py->types.v[py->object[id]].kind != HR_PK_WEAKREF || hr_bits_get(garbage, id))
            continue;
        uint64_t addr = hr_py_addr(py, id), callback = hr_py_word(py->c, addr, HR_PY_WEAKREF_CALLBACK);
        hr_id target = callback ? hr_py_node(py, hr_py_word(py->c, addr, HR_PY_WEAKREF_OBJECT)) : HR_NONE;
        if (target != HR_NONE && hr_bits_get(garbage, target) && hr_py_refcount(py, addr) == 1 && forgets(py, callback))
            freed++;
    }
    return freed;
}
