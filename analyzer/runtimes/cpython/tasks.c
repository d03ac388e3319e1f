/* asyncio tasks, and what suspended coroutines wait for. */
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/stacks.h"

/* _asyncio.Task, from the debug information of that extension in 3.6.15, 3.7.16, 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0; name is
 * -1 before 3.8. tp_basicsize is the check: another size is another layout. */
static const struct layout { uint16_t minor, basicsize; int16_t state, waiter, coro, name; } layouts[] = {
    {0x0306, 112, 56, 88, 96, -1},    {0x0307, 136, 72, 104, 112, -1},   {0x0308, 144, 72, 104, 112, 120},  {0x0309, 184, 80, 144, 152, 160},
    {0x030a, 192, 88, 152, 160, 168}, {0x030b, 176, 88, 128, 136, 144}, {0x030c, 176, 88, 128, 136, 144}, {0x030d, 144, 96, 112, 120, 128},
};

static const char *type_name(struct hr_py *py, uint32_t t) { return hr_strs_get(py->img->strs, hr_py_type(py, t)->name); }

/* The class of asyncio that a type is or comes from; HR_NONE when it is no task. */
static uint32_t task_base(struct hr_py *py, uint32_t t, bool *in_c)
{
    enum { MAX_BASES = 32 };
    for (int i = 0; i < MAX_BASES && t != HR_NONE; i++) {
        const char *name = type_name(py, t);
        *in_c = !strcmp(name, "_asyncio.Task");
        if (*in_c || !strcmp(name, "asyncio.tasks.Task"))
            return t;
        uint64_t base = hr_py_type(py, t)->base;
        t = base ? hr_py_type_at(py, base) : HR_NONE;
    }
    return HR_NONE;
}

static bool c_task(struct hr_py *py, uint32_t base, struct hr_py_task *ret)
{
    static const char *const states[] = {"pending", "cancelled", "finished"};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const struct layout *l = &layouts[i];
        if (l->minor != py->minor || l->basicsize != hr_py_type(py, base)->basicsize || py->img->word != 8)
            continue;
        uint64_t state = 3;
        if (hr_image_uint(py->img, ret->addr + (uint64_t)l->state, 4, &state) && state < 3)
            ret->state = states[state];
        ret->coro = hr_py_word_at(py, ret->addr + (uint64_t)l->coro);
        ret->waiter = hr_py_word_at(py, ret->addr + (uint64_t)l->waiter);
        ret->name = l->name < 0 ? 0 : hr_py_word_at(py, ret->addr + (uint64_t)l->name);
        return true;
    }
    /* another layout: the coroutine is recognised by its type, its name is the word behind */
    for (uint64_t off = 0; off + py->img->word <= hr_py_type(py, base)->basicsize; off += py->img->word) {
        uint64_t v = hr_py_word_at(py, ret->addr + off);
        uint32_t t = v ? hr_py_object_type(py, v) : HR_NONE;
        if (t == HR_NONE || hr_py_type(py, t)->kind != HR_PK_GENERATOR)
            continue;
        ret->coro = v;
        ret->name = hr_py_word_at(py, ret->addr + off + py->img->word);
        break;
    }
    return true;
}

struct attributes { struct hr_py *py; struct hr_py_task *task; };

static bool attribute(void *ctx, const char *name, uint64_t value)
{
    static const struct { const char *python, *here; } states[] = {{"PENDING", "pending"}, {"CANCELLED", "cancelled"}, {"FINISHED", "finished"}};
    struct attributes *a = ctx;
    char text[32];
    if (!strcmp(name, "_coro"))
        a->task->coro = value;
    else if (!strcmp(name, "_name"))
        a->task->name = value;
    else if (!strcmp(name, "_fut_waiter"))
        a->task->waiter = value;
    else if (!strcmp(name, "_state") && hr_py_text(a->py, value, text, sizeof text))
        for (size_t i = 0; i < 3; i++)
            if (!strcmp(text, states[i].python))
                a->task->state = states[i].here;
    return true;
}

bool hr_py_task_at(struct hr_py *py, hr_id block, struct hr_py_task *ret)
{
    bool in_c;
    uint32_t t = block < py->heap->n ? py->object[block] : HR_NONE, base = t != HR_NONE ? task_base(py, t, &in_c) : HR_NONE;
    if (base == HR_NONE)
        return false;
    *ret = (struct hr_py_task){.addr = hr_py_addr(py, block)};
    if (in_c)
        return c_task(py, base, ret);
    struct attributes a = {py, ret};
    ret->state = "pending"; /* the class attribute: only a change is kept in the instance */
    hr_py_attributes(py, ret->addr, hr_py_type(py, t), attribute, &a);
    return true;
}

/* ---- generators ---- */
static bool is_generator(struct hr_py *py, uint64_t addr)
{
    uint32_t t = addr ? hr_py_object_type(py, addr) : HR_NONE;
    return t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_GENERATOR;
}

enum { CREATED_313 = -3, SUSPENDED_YIELD_FROM_313 = -1, SUSPENDED = -1, COMPLETED = 1, CLEARED = 4 }; /* gi_frame_state */

bool hr_py_generator_frame(struct hr_py *py, uint64_t gen, struct hr_py_frame *ret)
{
    if (!is_generator(py, gen))
        return false;
    if (py->minor >= 0x030b) {
        int8_t state = (int8_t)hr_py_uint(py->c, gen, HR_PY_GEN_FRAME_STATE, 1);
        *ret = (struct hr_py_frame){.addr = gen + (uint64_t)py->c->at[HR_PY_GEN_IFRAME]};
        ret->code = hr_py_word(py->c, ret->addr, HR_PY_IFRAME_CODE);
        return state < COMPLETED && ret->code;
    }
    *ret = (struct hr_py_frame){.addr = hr_py_word(py->c, gen, HR_PY_GEN_FRAME)};
    ret->code = hr_py_word(py->c, ret->addr, HR_PY_FRAME_CODE);
    return ret->addr && ret->code;
}

/* 3.11 on: what is awaited lies on top of the stack, when the generator is suspended and goes on at a RESUME that says so (2: after
 * yield from, 3: after await); 3.13 has a state for it. */
static uint64_t awaited_record(struct hr_py *py, uint64_t gen, const struct hr_py_frame *f)
{
    int8_t state = (int8_t)hr_py_uint(py->c, gen, HR_PY_GEN_FRAME_STATE, 1);
    uint64_t arg = 0;
    if (py->minor >= 0x030d ? state != SUSPENDED_YIELD_FROM_313 : state != SUSPENDED)
        return 0;
    if (py->minor < 0x030d && (!hr_image_uint(py->img, hr_py_word(py->c, f->addr, HR_PY_IFRAME_PREV_INSTR) + 3, 1, &arg) || (arg & 3) < 2))
        return 0;
    int64_t top = hr_py_iframe_top(py, f->addr);
    int64_t locals = (int32_t)hr_py_uint(py->c, f->code, HR_PY_CODE_NLOCALSPLUS, 4), stack = (int32_t)hr_py_uint(py->c, f->code, HR_PY_CODE_STACKSIZE, 4);
    if (top <= locals || top > locals + stack)
        return 0;
    return hr_py_untag(py, hr_py_word_at(py, f->addr + (uint64_t)py->c->at[HR_PY_IFRAME_LOCALSPLUS] + (uint64_t)(top - 1) * py->img->word));
}

/* Up to 3.10: the next instruction is YIELD_FROM, which keeps its iterator on top of the stack. */
static uint64_t awaited_frame(struct hr_py *py, const struct hr_py_frame *f)
{
    enum { YIELD_FROM = 72 }; /* the same number from 3.3 to 3.10 */
    int64_t lasti = (int32_t)hr_py_uint(py->c, f->addr, HR_PY_FRAME_LASTI, 4);
    uint64_t top = 0, op = 0, stack = hr_py_word(py->c, f->addr, HR_PY_FRAME_VALUESTACK);
    uint64_t code = hr_py_word(py->c, f->code, HR_PY_CODE_CODE) + (uint64_t)py->c->at[HR_PY_BYTES_VALUE];
    if (lasti < 0 || py->minor < 0x0306)
        return 0;
    if (!hr_image_uint(py->img, code + (uint64_t)(py->minor == 0x030a ? (lasti + 1) * 2 : lasti + 2), 1, &op) || op != YIELD_FROM)
        return 0;
    if (hr_py_has(py->c, HR_PY_FRAME_STACKDEPTH)) {
        int64_t depth = (int32_t)hr_py_uint(py->c, f->addr, HR_PY_FRAME_STACKDEPTH, 4);
        top = depth > 0 ? stack + (uint64_t)depth * py->img->word : 0;
    } else {
        top = hr_py_word(py->c, f->addr, HR_PY_FRAME_STACKTOP); /* NULL while it runs */
    }
    return top > stack ? hr_py_word_at(py, top - py->img->word) : 0;
}

uint64_t hr_py_awaited(struct hr_py_walk *w, uint64_t gen)
{
    static const char *const wrappers[] = {"coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"};
    struct hr_py *py = w->py;
    struct hr_py_frame f;
    if (!hr_py_generator_frame(py, gen, &f))
        return 0;
    uint64_t to = py->minor >= 0x030b ? awaited_record(py, gen, &f) : awaited_frame(py, &f);
    /* what stands between a coroutine and the one that awaits it keeps it as its first member (anext() around another of these) */
    for (int i = 0; i < 4 && to; i++) {
        uint32_t t = hr_py_object_type(py, to);
        bool wraps = false;
        for (size_t k = 0; t != HR_NONE && k < sizeof wrappers / sizeof *wrappers; k++)
            wraps |= !strcmp(type_name(py, t), wrappers[k]);
        if (!wraps)
            break;
        to = hr_py_word_at(py, to + (uint64_t)py->c->at[HR_PYS_OBJECT]);
    }
    return to;
}
