/* Zephyr threads: _kernel.threads is a list of all of them (CONFIG_THREAD_MONITOR). Layout by DWARF (z_kernel, k_thread), else by
 * _kernel_thread_info_offsets[] (CONFIG_DEBUG_THREAD_INFO; kernel/thread_info.c), which the kernel keeps for debuggers: version,
 * current thread, threads, entry, next thread, state, options, priority, stack pointer, name, …
 *
 * On Cortex-M the stack pointer of a thread that does not run leads to the frame the processor pushed, r4 to r11 are in the
 * thread's own structure. States: include/zephyr/kernel_structs.h; before 4.1 one that sleeps is called suspended, and only its timeout,
 * which is active, tells it apart. Where a stack lies is in stack_info {start, size, delta}, which the offsets leave out: it is at the one
 * place where all threads have a range that their stack pointers lie in. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdio.h>
#include <string.h>

enum {
    NAME_MOST = 64,
    DUMMY = 1, PENDING = 2, SLEEPING = 4 /* before 4.x: not started */, DEAD = 8, SUSPENDED = 16, ABORTING = 32,
    STACK_INFO_MOST = 1024, STACK_LEAST = 64, STACK_MOST = 64 << 20, R4_TO_R11 = 32,
    I_CURRENT = 1, I_THREADS = 2, I_NEXT = 4, I_STATE = 5, I_PRIO = 7, I_SP = 8, I_NAME = 9, I_COUNT = 10,
};

struct layout {
    uint64_t current, threads;                 /* in _kernel */
    uint64_t next, state, prio, sp, name;      /* in a thread; name HR_NONE64: none are kept */
    uint64_t start, size;                      /* of its stack_info; HR_NONE64 */
    uint64_t timeout;                          /* the list node of its timeout; HR_NONE64 */
    uint64_t ncpus, cpu_size;
    uint64_t pended_on;                        /* the wait queue; HR_NONE64 */
    uint64_t callee, total;                    /* r4 on Cortex-M */
    bool dwarf;
};

static bool by_dwarf(const struct hr_rtos *r, struct layout *l)
{
    const char *t = "k_thread", *k = "z_kernel";
    uint64_t none = HR_NONE64, cpus = hr_rtos_offset(r, k, "cpus", none);
    l->threads = hr_rtos_offset(r, k, "threads", none);
    l->current = cpus != none ? cpus + hr_rtos_offset(r, "_cpu", "current", 0) : hr_rtos_offset(r, k, "current", none);
    l->next = hr_rtos_offset(r, t, "next_thread", none);
    l->state = hr_rtos_offset(r, t, "base.thread_state", none);
    l->prio = hr_rtos_offset(r, t, "base.prio", none);
    l->sp = hr_rtos_offset(r, t, "callee_saved.psp", hr_rtos_offset(r, t, "callee_saved.sp", hr_rtos_offset(r, t, "switch_handle", none)));
    l->name = hr_rtos_offset(r, t, "name", none);
    l->start = hr_rtos_offset(r, t, "stack_info.start", none);
    l->size = hr_rtos_offset(r, t, "stack_info.size", none);
    l->timeout = hr_rtos_offset(r, t, "base.timeout.node", none);
    l->pended_on = hr_rtos_offset(r, t, "base.pended_on", none);
    l->callee = hr_rtos_offset(r, t, "callee_saved.v1", none);
    hr_type cpu = hr_type_strip(r->types, hr_type_find(r->types, "_cpu"));
    const struct hr_field *f = hr_type_field(r->types, hr_type_strip(r->types, hr_type_find(r->types, k)), "cpus", &none);
    l->cpu_size = cpu ? hr_type_get(r->types, cpu)->size : 0;
    l->ncpus = f && l->cpu_size ? hr_type_get(r->types, hr_type_strip(r->types, f->type))->size / l->cpu_size : 1;
    hr_type id = hr_type_strip(r->types, hr_type_find(r->types, t));
    none = HR_NONE64;
    l->total = id ? hr_type_get(r->types, id)->size : 0;
    l->dwarf = true;
    return l->threads != none && l->next != none && l->sp != none && l->total;
}

static bool by_offsets(const struct hr_rtos *r, struct layout *l)
{
    uint64_t size = 0, at = hr_rtos_symbol(r, "_kernel_thread_info_offsets", &size), w = 4, v[I_COUNT];
    uint64_t width = hr_rtos_symbol(r, "_kernel_thread_info_size_t_size", NULL), n;
    if (!at)
        at = hr_rtos_symbol(r, "_kernel_openocd_offsets", &size);
    if (width && hr_image_uint(r->image, width, 1, &n) && n == 8)
        w = 8;
    for (unsigned i = 0; i < I_COUNT; i++)
        if (!at || (size && size < (i + 1) * w) || !hr_image_uint(r->image, at + i * w, (unsigned)w, &v[i]))
            return false;
    for (unsigned i = 1; i < I_NAME; i++)
        if (v[i] >= 4096) /* 0xffffffff: this build has none */
            return false;
    *l = (struct layout){.current = v[I_CURRENT], .threads = v[I_THREADS], .next = v[I_NEXT], .state = v[I_STATE], .prio = v[I_PRIO], .sp = v[I_SP],
                         .name = v[I_NAME] < 4096 ? v[I_NAME] : HR_NONE64, .start = HR_NONE64, .size = HR_NONE64, .timeout = HR_NONE64, .pended_on = HR_NONE64, .callee = HR_NONE64};
    if (!strcmp(r->image->arch->name, "arm") && l->sp > R4_TO_R11)
        l->callee = l->sp - R4_TO_R11; /* struct _callee_saved {v1 to v8, psp} */
    return true;
}

/* Is its timeout in the kernel's list of those? */
static bool has_timeout(const struct hr_rtos *r, const struct layout *l, uint64_t tcb)
{
    uint64_t head = hr_rtos_symbol(r, "timeout_list", NULL), at;
    if (l->timeout != HR_NONE64)
        return hr_image_word(r->image, tcb + l->timeout, &at) && at;
    if (!head || !hr_image_word(r->image, head, &at))
        return false;
    for (unsigned i = 0; at != head && i < HR_RTOS_MAX_TASKS; i++) {
        if (at - tcb < l->sp) /* base, of which it is the last member, comes before the saved registers */
            return true;
        if (!hr_image_word(r->image, at, &at))
            break;
    }
    return false;
}

static uint8_t state_of(const struct hr_rtos *r, const struct layout *l, uint64_t tcb, uint64_t v)
{
    if (v & (DEAD | ABORTING))
        return HR_TASK_DELETED;
    if (v & SUSPENDED)
        return has_timeout(r, l, tcb) ? HR_TASK_BLOCKED : HR_TASK_SUSPENDED;
    return v & (PENDING | SLEEPING) ? HR_TASK_BLOCKED : HR_TASK_READY;
}

/* The stack from its sp alone: the variable or block that holds it. */
static void stack_around(const struct hr_rtos *r, struct hr_task *t)
{
    uint64_t off, into;
    const struct hr_sym *s = hr_sym_at(r->types, t->sp, &off);
    hr_id b = hr_heap_at(r->heap, t->sp, &into);
    if (b != HR_NONE && r->heap->state[b] == HR_USED) {
        t->stack_lo = t->sp - into;
        t->stack_hi = t->stack_lo + hr_block_size(r->heap, b);
    } else if (s && s->kind == HR_SYM_DATA && off < s->size) {
        t->stack_lo = s->addr;
        t->stack_hi = s->addr + s->size;
    }
}

static bool thread(const struct hr_rtos *r, const struct layout *l, uint64_t at, struct hr_task *t)
{
    const struct hr_image *img = r->image;
    uint64_t v = 0, size = 0;
    *t = (struct hr_task){.tcb = at, .tcb_size = l->total};
    if (at & (img->word - 1u) || !hr_image_word(img, at + l->sp, &t->sp))
        return false;
    if (l->state != HR_NONE64 && hr_image_uint(img, at + l->state, 1, &v))
        t->state = state_of(r, l, at, v);
    if (v & DUMMY)
        return false; /* what ran before there were threads */
    if (l->pended_on != HR_NONE64 && v & PENDING)
        hr_image_word(img, at + l->pended_on, &t->waits_in);
    if (l->prio != HR_NONE64 && hr_image_uint(img, at + l->prio, 1, &v)) {
        t->priority = (uint64_t)(int64_t)(int8_t)v;
        t->has_priority = true;
    }
    if (l->name != HR_NONE64)
        hr_rtos_text(r, at + l->name, NAME_MOST, &t->name);
    if (l->start != HR_NONE64 && hr_image_word(img, at + l->start, &t->stack_lo) && hr_image_word(img, at + l->size, &size) && size < STACK_MOST) {
        t->stack_hi = hr_sat_add(t->stack_lo, size);
        t->exact_end = true;
    } else {
        stack_around(r, t);
    }
    return t->stack_lo < t->stack_hi;
}

/* Do all threads have a stack at `off` that their stack pointer lies in? */
static bool stacks_at(const struct hr_rtos *r, const struct layout *l, uint64_t first, uint64_t off)
{
    uint64_t w = r->image->word, sp, start, size, n = 0, at = first;
    while (at && n < HR_RTOS_MAX_TASKS) {
        if (!hr_image_word(r->image, at + l->sp, &sp) || !hr_image_word(r->image, at + off, &start) || !hr_image_word(r->image, at + off + w, &size) ||
            start > sp || sp - start > size || size < STACK_LEAST || size > STACK_MOST || start & (w - 1) || !hr_image_word(r->image, at + l->next, &at))
            return false;
        n++;
    }
    return n > 1;
}

static void find_stacks(const struct hr_rtos *r, struct layout *l, uint64_t kernel)
{
    uint64_t first, w = r->image->word;
    if (l->start != HR_NONE64 || !hr_image_word(r->image, kernel + l->threads, &first))
        return;
    for (uint64_t off = l->sp + w; off < STACK_INFO_MOST; off += w)
        if (stacks_at(r, l, first, off)) {
            l->start = off;
            l->size = off + w;
            return;
        }
}

static enum hr_status walk(struct hr_rtos *r, const struct layout *l, uint64_t kernel)
{
    uint64_t at;
    if (!hr_image_word(r->image, kernel + l->threads, &at))
        return HR_ABSENT;
    while (at && r->tasks.n < HR_RTOS_MAX_TASKS) {
        struct hr_task t;
        if (thread(r, l, at, &t) && hr_rtos_add(r, t) != HR_OK)
            break; /* a ring: somebody damaged the list */
        if (!hr_image_word(r->image, at + l->next, &at))
            break;
    }
    return r->tasks.n ? HR_OK : HR_ABSENT;
}

enum hr_status hr_zephyr_find(struct hr_rtos *r)
{
    struct layout l = {0};
    uint64_t cur = 0, kernel = hr_rtos_symbol(r, "_kernel", NULL);
    if (!kernel || (!by_dwarf(r, &l) && !by_offsets(r, &l)))
        return HR_ABSENT;
    find_stacks(r, &l, kernel);
    HR_TRY(walk(r, &l, kernel));
    r->kernel = "Zephyr";
    r->callee_saved = l.callee;
    r->tcb_type = l.dwarf ? hr_type_strip(r->types, hr_type_find(r->types, "k_thread")) : 0;
    for (uint64_t cpu = 0; l.current != HR_NONE64 && cpu < hr_max(1, l.ncpus); cpu++)
        if (hr_image_word(r->image, kernel + l.current + cpu * l.cpu_size, &cur) && cur && r->ncurrent < sizeof r->current / sizeof *r->current) {
            struct hr_task *t = hr_rtos_task(r, cur);
            r->current[r->ncurrent++] = cur;
            if (t)
                t->state = HR_TASK_RUNNING;
        }
    snprintf(r->evidence, sizeof r->evidence, "%zu threads on _kernel.threads, laid out by %s", r->tasks.n,
             l.dwarf ? "debug information" : "_kernel_thread_info_offsets");
    return HR_OK;
}
