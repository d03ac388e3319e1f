/* Threads, frames, locals, tasks of a CPython: walked in the image, never stored. Everything is bounded by `budget`.
 *
 * Frames are PyFrameObjects up to 3.10 and _PyInterpreterFrame records from 3.11 on; the callers need not know. */
#ifndef HR_RUNTIMES_CPYTHON_STACKS_H
#define HR_RUNTIMES_CPYTHON_STACKS_H

#include "analyzer/runtimes/cpython/py.h"

enum {
    HR_PY_MAX_THREADS = 1 << 16,  /* a process of 64-bit Linux has at most 4 million tasks; 65 536 threads in one Python are a damaged list */
    HR_PY_MAX_FRAMES = 1 << 20,   /* sys.setrecursionlimit() of a million needs gigabytes of stack up to 3.10 */
    HR_PY_MAX_LOCALS = 1 << 16,   /* of one frame */
    HR_PY_MAX_CHAIN = 1 << 16,    /* coroutines waiting for each other */
    HR_PY_MAX_LINETABLE = 1 << 24 /* bytes of one code object's table */
};

struct hr_py_walk {
    struct hr_py *py;
    uint64_t budget;          /* bytes of line tables that may still be read: many frames of one huge function stay linear */
    uint64_t last_code;       /* the line found last: recursion asks the same again and again */
    int64_t last_lasti;
    uint32_t last_line;
};

struct hr_py_thread {
    uint64_t tstate, ident;
    uint32_t tid;             /* of the system; 0 unknown */
    uint32_t native;          /* index into the image's threads, HR_NONE */
    bool current;             /* holds the GIL */
};

struct hr_py_frame {
    uint64_t addr, code;      /* addr: of the PyFrameObject or _PyInterpreterFrame */
};

void hr_py_walk_init(struct hr_py_walk *w, struct hr_py *py);
/* Thread states of an interpreter, newest first. cursor starts as 0; false at the end. */
bool hr_py_next_thread(struct hr_py_walk *w, uint64_t interp, uint64_t *cursor, struct hr_py_thread *ret);
/* The frame (object or record) a thread is in; 0: none. */
uint64_t hr_py_innermost(const struct hr_py *py, uint64_t tstate);
/* What lies behind the innermost frame of a thread's data stack is left from frames that are gone: no roots. */
enum hr_status hr_py_dead_stack(struct hr_py *py, uint64_t tstate) HR_MUST;
/* Innermost frame first; f->addr = 0 before the first call. False at the end. */
bool hr_py_next_frame(struct hr_py_walk *w, uint64_t tstate, struct hr_py_frame *f);
/* Was this frame entered from C code, so that a native frame of the evaluation loop ends with it? Up to 3.10 each is. */
bool hr_py_entered_from_c(const struct hr_py *py, const struct hr_py_frame *f);
/* Where the instruction is that a frame began last; 0: none yet. */
uint64_t hr_py_instruction(const struct hr_py *py, const struct hr_py_frame *f);
/* The line a frame is at; 0 unknown. */
uint32_t hr_py_frame_line(struct hr_py_walk *w, const struct hr_py_frame *f);
/* Bound local variables: arguments and locals, then cells and free variables (by what is in the cell). `slot` is where the frame
 * keeps the value (or its cell), 0 when that is a dict. fn returns false to stop. */
typedef bool hr_py_local_fn(void *ctx, uint64_t name, uint64_t value, uint64_t slot);
void hr_py_frame_locals(struct hr_py_walk *w, const struct hr_py_frame *f, hr_py_local_fn *fn, void *ctx);
/* Function name and file of a code object, as UTF-8; "?" when absent. */
void hr_py_code_names(struct hr_py *py, uint64_t code, char *function, size_t fcap, char *file, size_t cap);

/* ---- lines.c ---- */
/* Source line of the instruction at byte offset lasti (-1: not started) of a code object. */
uint32_t hr_py_code_line(struct hr_py_walk *w, uint64_t code, int64_t lasti);

/* ---- attributes.c ---- */
/* The attributes of an instance: of its __dict__ in whichever form, of __slots__, of C members that are objects. */
typedef bool hr_py_attribute_fn(void *ctx, const char *name, uint64_t value);
void hr_py_attributes(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, hr_py_attribute_fn *fn, void *ctx);
/* The dict object of an instance, 0 when it has none (its attributes may be kept as values). */
uint64_t hr_py_instance_dict(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t);
/* Where the values of an instance without a dict start, and how many there may be; 0: it has a dict, or nothing. */
uint64_t hr_py_instance_values(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t, uint64_t *most_ret);

/* ---- tasks.c ---- */
struct hr_py_task {
    uint64_t addr, coro, waiter, name; /* addresses of objects, 0 none */
    const char *state;                 /* "pending", "finished", "cancelled"; NULL unknown */
};
/* Is the object in this block an asyncio task (of any class derived from one)? Fills ret. */
bool hr_py_task_at(struct hr_py *py, hr_id block, struct hr_py_task *ret);
/* The frame of a generator, coroutine or asynchronous generator that has one; false: finished, or none of these. */
bool hr_py_generator_frame(struct hr_py *py, uint64_t gen, struct hr_py_frame *ret);
/* What a suspended generator waits for (cr_await, gi_yieldfrom, ag_await), with what awaits for a coroutine seen through; 0 none. */
uint64_t hr_py_awaited(struct hr_py_walk *w, uint64_t gen);


/* ---- spell.c ---- */
/* How Python would say that one object refers to another: ".attr", "[\"key\"]", "[3]"; false: it would not. */
bool hr_py_spell(struct hr_py *py, hr_id from, hr_id to, char *buf, size_t cap);
/* "frame handle() at app.py:31"; returns buf. */
char *hr_py_spell_frame(struct hr_py_walk *w, const struct hr_py_frame *f, char *buf, size_t cap);
/* Roots that have a name in Python: the dicts of modules, the locals of running frames. */
enum hr_status hr_py_named_roots(struct hr_py *py) HR_MUST;

#endif
