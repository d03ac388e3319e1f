/* Verbs of a Python image: `py stacks`, `py tasks`. */
#include <stdio.h>
#include <string.h>

#include "analyzer/cli/py_cli.h"
#include "analyzer/runtimes/cpython/stacks.h"

enum { NAME_CAP = 1024, PATH_CAP = 4096, TEXT_FRAMES = 40 };

static const char *type_of(struct hr_py *py, uint64_t addr)
{
    uint32_t t = hr_py_object_type(py, addr);
    return t == HR_NONE ? NULL : hr_strs_get(py->img->strs, hr_py_type(py, t)->name);
}

/* What prints frames: JSON when j is there, else text. */
struct printer {
    struct hr_cli *c;
    struct hr_json *j;
    struct hr_py_walk w;
};

static bool local_json(void *ctx, uint64_t name, uint64_t value, uint64_t slot)
{
    struct printer *p = ctx;
    char text[NAME_CAP];
    hr_json_obj(p->j, NULL);
    hr_json_str(p->j, "name", hr_py_text(p->w.py, name, text, sizeof text) ? text : NULL);
    hr_json_addr(p->j, "addr", value);
    hr_json_str(p->j, "type", type_of(p->w.py, value));
    hr_json_str(p->j, "value", hr_py_repr(p->w.py, value, p->c->show_contents, text, sizeof text));
    if (slot)
        hr_json_addr(p->j, "slot", slot);
    hr_json_end(p->j);
    return !p->c->out.failed;
}

static bool local_text(void *ctx, uint64_t name, uint64_t value, uint64_t slot)
{
    struct printer *p = ctx;
    char text[NAME_CAP];
    const struct hr_out *o = &p->c->out;
    (void)slot;
    hr_outf(&p->c->out, "         0x%llx  ", (unsigned long long)value);
    hr_out_esc(&p->c->out, hr_py_text(p->w.py, name, text, sizeof text) ? text : "?");
    hr_outf(&p->c->out, " = ");
    size_t room = p->c->all ? sizeof text : o->width ? (size_t)hr_max(o->width - 45, 40) : 200;
    hr_out_esc(&p->c->out, hr_py_repr(p->w.py, value, p->c->show_contents, text, hr_min(room, sizeof text)));
    hr_outf(&p->c->out, "\n");
    return !p->c->out.failed;
}

static void frame_head_json(struct printer *p, const struct hr_py_frame *f)
{
    char function[NAME_CAP], file[PATH_CAP];
    uint32_t line = hr_py_frame_line(&p->w, f);
    hr_py_code_names(p->w.py, f->code, function, sizeof function, file, sizeof file);
    hr_json_obj(p->j, NULL);
    hr_json_str(p->j, "function", function);
    hr_json_str(p->j, "file", file);
    if (line)
        hr_json_num(p->j, "line", line);
    else
        hr_json_null(p->j, "line");
}

static void frame_head_text(struct printer *p, uint32_t k, const struct hr_py_frame *f)
{
    char function[NAME_CAP], file[PATH_CAP];
    hr_py_code_names(p->w.py, f->code, function, sizeof function, file, sizeof file);
    hr_outf(&p->c->out, "  #%-3u ", k);
    hr_out_esc(&p->c->out, function);
    hr_outf(&p->c->out, " at ");
    hr_out_esc(&p->c->out, p->c->all ? file : hr_base_name(file));
    hr_outf(&p->c->out, ":%u\n", hr_py_frame_line(&p->w, f));
}

/* ---- the native frames between the Python ones ---- */
struct native { const struct hr_stack_of *stack; uint32_t next; bool inside; /* of an evaluation loop that has more Python frames */ };

static struct native native_of(const struct printer *p, const struct hr_py_thread *t)
{
    const struct hr_stacks *s = p->c->s->stacks;
    return (struct native){s && t->native < s->n ? &s->of[t->native] : NULL, 0, false};
}

static bool evaluates(const struct printer *p, const struct hr_frame *f)
{
    const char *name = f->func ? hr_strs_get(p->c->s->strs, f->func) : "";
    return !strcmp(name, "_PyEval_EvalFrameDefault") || !strcmp(name, "PyEval_EvalFrameEx") || !strcmp(name, "_PyEval_EvalFrameDefault.cold");
}

/* The next native frame that lies above Python frame f, NULL when the loop that runs it is reached. */
static const struct hr_frame *above(const struct printer *p, struct native *n, const struct hr_py_frame *f)
{
    if (!n->stack || n->inside || n->next >= n->stack->nframes) {
        n->inside = n->inside && !hr_py_entered_from_c(p->w.py, f);
        return NULL;
    }
    const struct hr_frame *r = &p->c->s->stacks->frames.v[n->stack->frame0 + n->next++];
    if (!evaluates(p, r))
        return r;
    n->inside = !hr_py_entered_from_c(p->w.py, f);
    return NULL;
}

static const char *name_or_null(const struct printer *p, hr_str id) { return id ? hr_strs_get(p->c->s->strs, id) : NULL; }

static void native_json(struct printer *p, struct native *n, const struct hr_py_frame *f)
{
    const struct hr_frame *r;
    const struct hr_image *img = p->w.py->img;
    hr_json_arr(p->j, "native");
    while ((r = above(p, n, f))) {
        hr_json_obj(p->j, NULL);
        hr_json_addr(p->j, "pc", r->pc);
        hr_json_str(p->j, "function", name_or_null(p, r->func));
        hr_json_str(p->j, "module", r->module < img->modules.n ? hr_strs_get(p->c->s->strs, img->modules.v[r->module].path) : NULL);
        hr_json_end(p->j);
    }
    hr_json_end(p->j);
}

static void native_text(struct printer *p, struct native *n, const struct hr_py_frame *f, bool show)
{
    const struct hr_frame *r;
    struct hr_out *o = &p->c->out;
    const struct hr_image *img = p->w.py->img;
    while ((r = above(p, n, f))) {
        if (!show)
            continue;
        hr_out_style(o, HR_DIM);
        hr_outf(o, "   C   ");
        hr_out_esc(o, r->func ? hr_strs_get(p->c->s->strs, r->func) : "?");
        if (r->module < img->modules.n) {
            hr_outf(o, " in ");
            hr_out_esc(o, hr_base_name(hr_strs_get(p->c->s->strs, img->modules.v[r->module].path)));
        }
        hr_outf(o, "\n");
        hr_out_style(o, HR_PLAIN);
    }
}

/* ---- py stacks ---- */
static void thread_json(struct printer *p, const struct hr_py_thread *t, int64_t interpreter)
{
    struct hr_json *j = p->j;
    struct hr_py_frame f = {0, 0};
    struct native n = native_of(p, t);
    hr_json_obj(j, NULL);
    if (t->tid)
        hr_json_num(j, "tid", t->tid);
    else
        hr_json_null(j, "tid");
    hr_json_num(j, "ident", t->ident);
    hr_json_int(j, "interpreter", interpreter);
    hr_json_bool(j, "current", t->current);
    hr_json_arr(j, "frames");
    for (uint32_t k = 0; k < HR_PY_MAX_FRAMES && !p->c->out.failed && hr_py_next_frame(&p->w, t->tstate, &f); k++) {
        frame_head_json(p, &f);
        hr_json_arr(j, "locals");
        hr_py_frame_locals(&p->w, &f, local_json, p);
        hr_json_end(j);
        native_json(p, &n, &f);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_end(j);
}

static void thread_text(struct printer *p, const struct hr_py_thread *t, int64_t interpreter)
{
    struct hr_cli *c = p->c;
    struct hr_py_frame f = {0, 0};
    uint32_t most = c->all ? HR_PY_MAX_FRAMES : c->limit ? (uint32_t)hr_min(c->limit, HR_PY_MAX_FRAMES) : TEXT_FRAMES, k = 0;
    struct native n = native_of(p, t);
    hr_out_style(&c->out, HR_BOLD);
    hr_outf(&c->out, "thread %u", t->tid);
    hr_out_style(&c->out, HR_PLAIN);
    if (t->native != HR_NONE && p->w.py->img->threads.v[t->native].name) {
        hr_outf(&c->out, " \"");
        hr_out_esc(&c->out, hr_strs_get(c->s->strs, p->w.py->img->threads.v[t->native].name));
        hr_outf(&c->out, "\"");
    }
    hr_outf(&c->out, ", ident %llu%s", (unsigned long long)t->ident, t->current ? ", holds the GIL" : "");
    if (interpreter >= 0)
        hr_outf(&c->out, ", interpreter %lld", (long long)interpreter);
    hr_outf(&c->out, "\n");
    for (; k < HR_PY_MAX_FRAMES && !c->out.failed && hr_py_next_frame(&p->w, t->tstate, &f); k++) {
        native_text(p, &n, &f, k < most);
        if (k >= most)
            continue;
        frame_head_text(p, k, &f);
        hr_py_frame_locals(&p->w, &f, local_text, p);
    }
    if (k > most)
        hr_outf(&c->out, "  [%u more frames: --all]\n", k - most);
    if (!k)
        hr_outf(&c->out, "  (no Python frames)\n");
}

static void all_threads(struct printer *p)
{
    const struct hr_cpython *c = p->w.py->c;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->ninterp; i++) {
        struct hr_py_thread t;
        for (uint64_t at = 0; n < HR_PY_MAX_THREADS && !p->c->out.failed && hr_py_next_thread(&p->w, c->interp[i], &at, &t); n++) {
            if (p->j)
                thread_json(p, &t, hr_py_interp_id(c, i));
            else
                thread_text(p, &t, c->ninterp > 1 ? hr_py_interp_id(c, i) : -1);
        }
    }
}

static int run_stacks(struct hr_cli *c)
{
    int code = 0;
    struct hr_json j;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    if (!py)
        return code;
    struct printer p = {.c = c, .j = c->json || c->ndjson ? &j : NULL};
    hr_py_walk_init(&p.w, py);
    if (p.j) {
        hr_cli_json_begin(c, &j);
        hr_json_arr(&j, "threads");
    }
    all_threads(&p);
    if (p.j) {
        hr_json_end(&j);
        hr_json_end(&j);
    } else {
        hr_cli_text_notes(c);
    }
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_py_stacks = {
    .name = "py stacks", .args = "", .summary = "every thread's Python stack: functions, files, lines, local variables",
    .help = "Every thread of every interpreter with its Python frames, innermost first: function, file, line, and the local variables with "
            "their values. Text from the dump is shown only with --show-contents.",
    .needs_image = true, .types = false, .run = run_stacks,
};

/* ---- py tasks ---- */
static void task_name(struct hr_py *py, const struct hr_py_task *t, char *buf, size_t cap)
{
    char number[64];
    buf[0] = 0;
    if (!t->name || hr_py_text(py, t->name, buf, cap))
        return;
    /* 3.12 on: the number of a task that nobody named */
    uint32_t type = hr_py_object_type(py, t->name);
    if (type != HR_NONE && hr_py_type(py, type)->kind == HR_PK_INT)
        snprintf(buf, cap, "Task-%s", hr_py_repr(py, t->name, false, number, sizeof number));
}

static void coroutine_name(struct hr_py *py, uint64_t coro, char *buf, size_t cap)
{
    uint32_t type = coro ? hr_py_object_type(py, coro) : HR_NONE;
    buf[0] = 0;
    if (type != HR_NONE && hr_py_type(py, type)->kind == HR_PK_GENERATOR && hr_py_has(py->c, HR_PY_GEN_QUALNAME))
        hr_py_text(py, hr_py_word(py->c, coro, HR_PY_GEN_QUALNAME), buf, cap);
}

/* The coroutines that wait for each other, outermost first. Returns what the last of them waits for, 0 nothing. */
static uint64_t await_chain(struct printer *p, uint64_t coro)
{
    struct hr_py_frame f;
    for (uint32_t k = 0; coro && k < HR_PY_MAX_CHAIN && !p->c->out.failed && hr_py_generator_frame(p->w.py, coro, &f); k++) {
        if (p->j) {
            frame_head_json(p, &f);
            hr_json_end(p->j);
        } else if (k < TEXT_FRAMES || p->c->all) {
            frame_head_text(p, k, &f);
        }
        coro = hr_py_awaited(&p->w, coro);
    }
    return coro;
}

static void task_json(struct printer *p, const struct hr_py_task *t)
{
    struct hr_json *j = p->j;
    char text[NAME_CAP];
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", t->addr);
    task_name(p->w.py, t, text, sizeof text);
    hr_json_str(j, "name", *text ? text : NULL);
    coroutine_name(p->w.py, t->coro, text, sizeof text);
    hr_json_str(j, "coro", *text ? text : NULL);
    hr_json_str(j, "state", t->state);
    hr_json_arr(j, "awaits");
    uint64_t last = await_chain(p, t->coro);
    hr_json_end(j);
    hr_json_str(j, "waits_for", last ? type_of(p->w.py, last) : NULL);
    hr_json_end(j);
}

static void task_text(struct printer *p, const struct hr_py_task *t)
{
    struct hr_out *o = &p->c->out;
    char text[NAME_CAP];
    task_name(p->w.py, t, text, sizeof text);
    hr_out_style(o, HR_BOLD);
    hr_outf(o, "task 0x%llx", (unsigned long long)t->addr);
    hr_out_style(o, HR_PLAIN);
    if (*text) {
        hr_outf(o, " \"");
        hr_out_esc(o, text);
        hr_outf(o, "\"");
    }
    coroutine_name(p->w.py, t->coro, text, sizeof text);
    hr_outf(o, ", %s, ", t->state ? t->state : "state unknown");
    hr_out_esc(o, *text ? text : "no coroutine");
    hr_outf(o, "\n");
    uint64_t last = await_chain(p, t->coro);
    const char *type = last ? type_of(p->w.py, last) : NULL;
    if (type) {
        hr_outf(o, "  waits for ");
        hr_out_esc(o, type);
        hr_outf(o, " 0x%llx\n", (unsigned long long)last);
    }
}

static int run_tasks(struct hr_cli *c)
{
    int code = 0;
    struct hr_json j;
    struct hr_py *py = hr_cli_python(c, hr_session_roots(c->s), &code);
    if (!py)
        return code;
    struct printer p = {.c = c, .j = c->json || c->ndjson ? &j : NULL};
    uint64_t n = 0, most = p.j || c->all ? UINT64_MAX : c->limit ? c->limit : 200;
    hr_py_walk_init(&p.w, py);
    if (p.j) {
        hr_cli_json_begin(c, &j);
        hr_json_arr(&j, "tasks");
    }
    for (hr_id id = 0; id < py->heap->n && !c->out.failed; id++) {
        struct hr_py_task t;
        if (!hr_py_task_at(py, id, &t) || n++ >= most)
            continue;
        if (p.j)
            task_json(&p, &t);
        else
            task_text(&p, &t);
    }
    if (p.j) {
        hr_json_end(&j);
        hr_json_end(&j);
    } else {
        if (n > most)
            hr_outf(&c->out, "[%s more tasks: --all]\n", hr_cli_count(c, n - most));
        else if (!n)
            hr_outf(&c->out, "no asyncio tasks\n");
        hr_cli_text_notes(c);
    }
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_py_tasks = {
    .name = "py tasks", .args = "", .summary = "asyncio tasks: names, states, and which coroutine waits for which",
    .help = "Every asyncio task that is in the heap, with its name, state and coroutine, and the chain of coroutines and generators that wait "
            "for each other, outermost first, with the line each is at.",
    .needs_image = true, .types = false, .run = run_tasks,
};
