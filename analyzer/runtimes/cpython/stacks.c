/* Thread states, frame chains, local variables. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/stacks.h"

static uint64_t word_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t v;
    return hr_image_word(py->img, addr, &v) ? v : 0;
}

void hr_py_walk_init(struct hr_py_walk *w, struct hr_py *py)
{
    *w = (struct hr_py_walk){.py = py, .budget = 1ull << 30};
}

/* ---- threads ---- */
/* Up to 3.11 the runtime knows the running thread state; later each GIL knows who took it last, and whether it is taken. */
static bool holds_gil(const struct hr_py *py, uint64_t interp, uint64_t tstate)
{
    uint64_t v = 0;
    if (py->minor >= 0x030c) {
        uint64_t gil = hr_py_word(py->c, interp, HR_PY_IS_GIL);
        return gil && (int32_t)hr_py_uint(py->c, gil, HR_PY_GIL_LOCKED, 4) > 0 && hr_py_word(py->c, gil, HR_PY_GIL_LAST_HOLDER) == tstate;
    }
    if (py->c->runtime)
        return hr_py_word(py->c, py->c->runtime, HR_PY_RT_TSTATE_CURRENT) == tstate;
    uint64_t at = hr_py_symbol(py->c, "_PyThreadState_Current");
    return at && hr_image_word(py->img, at, &v) && v == tstate;
}

static void find_native(const struct hr_py *py, struct hr_py_thread *t)
{
    uint64_t native = hr_py_word(py->c, t->tstate, HR_PY_TS_NATIVE_ID);
    t->native = HR_NONE;
    t->tid = native <= UINT32_MAX ? (uint32_t)native : 0;
    for (size_t i = 0; i < py->img->threads.n; i++) {
        const struct hr_thread *n = &py->img->threads.v[i];
        /* pthread_self() is the thread pointer where TLS lies below it */
        if ((native && n->tid == native) || (!native && n->tp_valid && n->tp == t->ident)) {
            t->native = (uint32_t)i;
            t->tid = n->tid;
            return;
        }
    }
}

bool hr_py_next_thread(struct hr_py_walk *w, uint64_t interp, uint64_t *cursor, struct hr_py_thread *ret)
{
    const struct hr_py *py = w->py;
    uint64_t at = *cursor ? hr_py_word(py->c, *cursor, HR_PY_TS_NEXT) : hr_py_word(py->c, interp, HR_PY_IS_THREADS);
    if (!at || at & (py->img->word - 1u) || hr_py_word(py->c, at, HR_PY_TS_INTERP) != interp)
        return false;
    *cursor = at;
    *ret = (struct hr_py_thread){.tstate = at, .ident = hr_py_word(py->c, at, HR_PY_TS_THREAD_ID), .current = holds_gil(py, interp, at)};
    find_native(py, ret);
    return true;
}

/* ---- frames ---- */
static bool is_code(struct hr_py *py, uint64_t addr)
{
    uint32_t t = hr_py_object_type(py, addr);
    return t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_CODE;
}

static uint64_t first_instruction(const struct hr_py *py, uint64_t code)
{
    if (py->minor >= 0x030b)
        return code + (uint64_t)py->c->at[HR_PY_CODE_CODE];
    return hr_py_word(py->c, code, HR_PY_CODE_CODE) + (uint64_t)py->c->at[HR_PY_BYTES_VALUE];
}

/* Byte offset of the last instruction that was begun. 3.10 counts two-byte units; 3.11 and 3.12 have a pointer to the unit before
 * the next, 3.13 to the instruction itself. */
static int64_t last_instruction(const struct hr_py *py, const struct hr_py_frame *f)
{
    if (py->minor >= 0x030b) {
        enum hr_py_fact at = hr_py_has(py->c, HR_PY_IFRAME_INSTR_PTR) ? HR_PY_IFRAME_INSTR_PTR : HR_PY_IFRAME_PREV_INSTR;
        return (int64_t)(hr_py_word(py->c, f->addr, at) - first_instruction(py, f->code));
    }
    int64_t lasti = (int32_t)hr_py_uint(py->c, f->addr, HR_PY_FRAME_LASTI, 4);
    return py->minor == 0x030a && lasti > 0 ? lasti * 2 : lasti;
}

uint64_t hr_py_instruction(const struct hr_py *py, const struct hr_py_frame *f)
{
    int64_t last = last_instruction(py, f);
    return last < 0 ? 0 : first_instruction(py, f->code) + (uint64_t)last;
}

/* C code that calls Python puts a record between; a frame that has not come to its first line is not shown by Python either. */
static bool shown(const struct hr_py *py, const struct hr_py_frame *f)
{
    enum { GENERATOR = 1, C_STACK = 3 };
    unsigned owner = (unsigned)hr_py_uint(py->c, f->addr, HR_PY_IFRAME_OWNER, 1);
    if (owner == GENERATOR)
        return true;
    int64_t traceable = (int32_t)hr_py_uint(py->c, f->code, HR_PY_CODE_FIRSTTRACEABLE, 4);
    return owner < C_STACK && last_instruction(py, f) >= traceable * 2;
}

uint64_t hr_py_innermost(const struct hr_py *py, uint64_t tstate)
{
    if (hr_py_has(py->c, HR_PY_TS_FRAME))
        return hr_py_word(py->c, tstate, HR_PY_TS_FRAME);
    if (hr_py_has(py->c, HR_PY_TS_CURRENT_FRAME))
        return hr_py_word(py->c, tstate, HR_PY_TS_CURRENT_FRAME);
    return hr_py_word(py->c, hr_py_word(py->c, tstate, HR_PY_TS_CFRAME), HR_PY_CFRAME_CURRENT);
}

bool hr_py_next_frame(struct hr_py_walk *w, uint64_t tstate, struct hr_py_frame *f)
{
    struct hr_py *py = w->py;
    bool records = py->minor >= 0x030b;
    uint64_t at = f->addr ? hr_py_word(py->c, f->addr, records ? HR_PY_IFRAME_PREVIOUS : HR_PY_FRAME_BACK) : hr_py_innermost(py, tstate);
    for (uint32_t skipped = 0; at && !(at & (py->img->word - 1u)) && skipped < HR_PY_MAX_FRAMES; skipped++) {
        f->addr = at;
        f->code = hr_py_word(py->c, at, records ? HR_PY_IFRAME_CODE : HR_PY_FRAME_CODE);
        bool code = is_code(py, f->code);
        if (code && (!records || shown(py, f)))
            return true;
        if (!records)
            return false; /* damaged */
        at = hr_py_word(py->c, at, HR_PY_IFRAME_PREVIOUS);
    }
    return false;
}

uint32_t hr_py_frame_line(struct hr_py_walk *w, const struct hr_py_frame *f)
{
    struct hr_py *py = w->py;
    uint64_t kept = hr_py_uint(py->c, f->addr, HR_PY_FRAME_LINENO, 4);
    /* f_lineno is kept up to date only while the frame is traced; in 3.10 it is 0 when it is not */
    if (py->minor < 0x030a && hr_py_word(py->c, f->addr, HR_PY_FRAME_TRACE) && kept)
        return (uint32_t)kept;
    if (py->minor == 0x030a && (int32_t)kept > 0)
        return (uint32_t)kept;
    return hr_py_code_line(w, f->code, last_instruction(py, f));
}

void hr_py_code_names(struct hr_py *py, uint64_t code, char *function, size_t fcap, char *file, size_t cap)
{
    if (!hr_py_text(py, hr_py_word(py->c, code, HR_PY_CODE_NAME), function, fcap))
        snprintf(function, fcap, "?");
    if (!hr_py_text(py, hr_py_word(py->c, code, HR_PY_CODE_FILENAME), file, cap))
        snprintf(file, cap, "?");
}

/* ---- local variables ---- */
struct locals {
    struct hr_py *py;
    hr_py_local_fn *fn;
    void *ctx;
    uint64_t slot;      /* address of the next value */
};

static uint64_t tuple_size(const struct hr_py *py, uint64_t tuple)
{
    return hr_min(hr_py_word(py->c, tuple, HR_PY_OB_SIZE), HR_PY_MAX_LOCALS);
}

static uint64_t tuple_item(const struct hr_py *py, uint64_t tuple, uint64_t i)
{
    return word_at(py, tuple + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS] + i * py->img->word);
}

static uint64_t through_cell(struct hr_py *py, uint64_t v)
{
    uint32_t t = v ? hr_py_object_type(py, v) : HR_NONE;
    if (t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_CELL)
        return hr_py_word(py->c, v, HR_PY_CELL_REF);
    return v;
}

/* The variables that a tuple of the code object names, in the slots from l->slot on. */
static bool named(struct locals *l, uint64_t names, uint64_t most, bool cells)
{
    uint64_t n = hr_min(tuple_size(l->py, names), most);
    for (uint64_t i = 0; i < n; i++, l->slot += l->py->img->word) {
        uint64_t v = word_at(l->py, l->slot);
        if (cells)
            v = through_cell(l->py, v);
        if (v && !l->fn(l->ctx, tuple_item(l->py, names, i), v, l->slot))
            return false;
    }
    return true;
}

/* 3.11 on: one tuple of names, and a byte each that says what they are. */
static void record_locals(struct locals *l, uint64_t frame, uint64_t code)
{
    enum { HIDDEN = 0x10, CELL = 0x40, FREE = 0x80 };
    struct hr_py *py = l->py;
    uint64_t names = hr_py_word(py->c, code, HR_PY_CODE_LOCALSPLUSNAMES), kinds = hr_py_word(py->c, code, HR_PY_CODE_LOCALSPLUSKINDS);
    uint64_t n = hr_min(tuple_size(py, names), hr_py_uint(py->c, code, HR_PY_CODE_NLOCALSPLUS, 4)), kind;
    l->slot = frame + (uint64_t)py->c->at[HR_PY_IFRAME_LOCALSPLUS];
    for (uint64_t i = 0; i < n; i++, l->slot += py->img->word) {
        uint64_t v = hr_py_untag(py, word_at(py, l->slot));
        if (!hr_image_uint(py->img, kinds + (uint64_t)py->c->at[HR_PY_BYTES_VALUE] + i, 1, &kind))
            return;
        if (kind & (CELL | FREE))
            v = through_cell(py, v);
        if (v && !(kind & HIDDEN) && !l->fn(l->ctx, tuple_item(py, names, i), v, l->slot))
            return;
    }
}

struct pairs { hr_py_local_fn *fn; void *ctx; };

static bool dict_local(void *ctx, uint64_t key, uint64_t value)
{
    struct pairs *p = ctx;
    return p->fn(p->ctx, key, value, 0);
}

/* A class body keeps its names in a dict of its own; a module's are the globals, which are no locals here. */
static void dict_locals(const struct locals *l, uint64_t frame)
{
    struct hr_py *py = l->py;
    bool records = py->minor >= 0x030b;
    uint64_t locals = hr_py_word(py->c, frame, records ? HR_PY_IFRAME_LOCALS : HR_PY_FRAME_LOCALS);
    uint64_t globals = hr_py_word(py->c, frame, records ? HR_PY_IFRAME_GLOBALS : HR_PY_FRAME_GLOBALS);
    uint32_t t = locals && locals != globals ? hr_py_object_type(py, locals) : HR_NONE;
    struct pairs p = {l->fn, l->ctx};
    if (t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_DICT)
        hr_py_dict_items(py, locals, dict_local, &p);
}

void hr_py_frame_locals(struct hr_py_walk *w, const struct hr_py_frame *f, hr_py_local_fn *fn, void *ctx)
{
    enum { OPTIMIZED = 1 }; /* co_flags: variables in slots; without it they are in f_locals */
    struct hr_py *py = w->py;
    struct locals l = {.py = py, .fn = fn, .ctx = ctx};
    if (!(hr_py_uint(py->c, f->code, HR_PY_CODE_FLAGS, 4) & OPTIMIZED)) {
        dict_locals(&l, f->addr);
        return;
    }
    if (py->minor >= 0x030b) {
        record_locals(&l, f->addr, f->code);
        return;
    }
    l.slot = f->addr + (uint64_t)py->c->at[HR_PY_FRAME_LOCALSPLUS];
    if (named(&l, hr_py_word(py->c, f->code, HR_PY_CODE_VARNAMES), hr_py_uint(py->c, f->code, HR_PY_CODE_NLOCALS, 4), false) &&
        named(&l, hr_py_word(py->c, f->code, HR_PY_CODE_CELLVARS), HR_PY_MAX_LOCALS, true))
        named(&l, hr_py_word(py->c, f->code, HR_PY_CODE_FREEVARS), HR_PY_MAX_LOCALS, true);
}

/* tstate: datastack_chunk, datastack_top, datastack_limit; a chunk: previous, its size, … (Include/cpython/pystate.h, 3.11 on) */
enum hr_status hr_py_dead_stack(struct hr_py *py, uint64_t tstate)
{
    enum { MOST = 1 << 30 };
    const struct hr_cpython *c = py->c;
    uint64_t word = py->img->word, chunk = hr_py_word(c, tstate, HR_PY_TS_DATASTACK);
    if (py->minor < 0x030b || !chunk)
        return HR_OK;
    uint64_t top = 0, limit = 0, size = hr_py_word_at(py, chunk + word), at = tstate + (uint64_t)c->at[HR_PY_TS_DATASTACK];
    if (!hr_image_word(py->img, at + word, &top) || !hr_image_word(py->img, at + 2 * word, &limit))
        return HR_OK;
    if (size > MOST || limit != chunk + size || top <= chunk || top >= limit || hr_heap_at(py->heap, top, NULL) != HR_NONE)
        return HR_OK; /* not what it should be: all of it stays a root */
    enum hr_status st = hr_rangevec_push(&py->heap->own, (struct hr_range){top, limit - top});
    return st == HR_LIMIT ? HR_OK : st;
}

bool hr_py_entered_from_c(const struct hr_py *py, const struct hr_py_frame *f)
{
    if (py->minor < 0x030b)
        return true;
    if (py->minor == 0x030b) /* is_entry, the byte in front of owner (pycore_frame.h of 3.11) */
        return hr_py_uint(py->c, f->addr - 1, HR_PY_IFRAME_OWNER, 1) != 0;
    uint64_t previous = hr_py_word(py->c, f->addr, HR_PY_IFRAME_PREVIOUS); /* from 3.12 on a frame of C's own stack lies between */
    return !previous || hr_py_uint(py->c, previous, HR_PY_IFRAME_OWNER, 1) >= 3; /* FRAME_OWNED_BY_CSTACK */
}
