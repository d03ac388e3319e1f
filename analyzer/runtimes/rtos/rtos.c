/* What the kernels have in common: tasks become threads of the image, with the borders of their stacks. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"

const struct hr_task *hr_rtos_of_thread(const struct hr_rtos *r, uint32_t thread)
{
    for (size_t i = 0; r && i < r->tasks.n; i++)
        if (r->tasks.v[i].thread == thread)
            return &r->tasks.v[i];
    return NULL;
}

bool hr_rtos_no_task(const struct hr_rtos *r, const struct hr_image *img, uint32_t thread)
{
    return r && img->threads.v[thread].saved && !hr_rtos_of_thread(r, thread);
}

const char *hr_task_state_name(enum hr_task_state s)
{
    static const char *const names[] = {NULL, "running", "ready", "blocked", "suspended", "deleted"};
    return s <= HR_TASK_DELETED ? names[s] : NULL;
}

/* ---- help for the kernels ---- */

uint64_t hr_rtos_symbol(const struct hr_rtos *r, const char *name, uint64_t *size_ret)
{
    const struct hr_sym *s = hr_sym_find(r->types, name, HR_NONE);
    if (!s || (s->kind != HR_SYM_DATA && s->kind != HR_SYM_OTHER))
        return 0;
    if (size_ret)
        *size_ret = s->size;
    return s->addr;
}

bool hr_rtos_word(const struct hr_rtos *r, const char *name, uint64_t *ret)
{
    uint64_t at = hr_rtos_symbol(r, name, NULL);
    return at && hr_image_word(r->image, at, ret);
}

bool hr_rtos_text(const struct hr_rtos *r, uint64_t addr, unsigned max, hr_str *ret)
{
    char buf[128];
    if (!addr || !hr_image_cstr(r->image, addr, buf, hr_min(max + 1, sizeof buf)) || !buf[0])
        return false;
    for (const char *p = buf; *p; p++)
        if (*p < ' ' || *p > '~')
            return false;
    return hr_strs_addz(r->image->strs, buf, ret) == HR_OK;
}

uint64_t hr_rtos_offset(const struct hr_rtos *r, const char *type, const char *path, uint64_t other)
{
    uint64_t off;
    return hr_type_offset(r->types, type, path, &off) ? off : other;
}

struct hr_task *hr_rtos_task(const struct hr_rtos *r, uint64_t tcb)
{
    for (size_t i = 0; i < r->tasks.n; i++)
        if (r->tasks.v[i].tcb == tcb)
            return &r->tasks.v[i];
    return NULL;
}

enum hr_status hr_rtos_add(struct hr_rtos *r, struct hr_task t)
{
    if (hr_rtos_task(r, t.tcb))
        return HR_ABSENT;
    t.thread = t.stack_block = t.tcb_block = HR_NONE;
    if (!t.name) /* its name lies in flash that was not saved, or it has none */
        HR_TRY(hr_strs_addf(r->image->strs, &t.name, "0x%llx", (unsigned long long)t.tcb));
    return hr_taskvec_push(&r->tasks, t);
}

hr_id hr_rtos_block(const struct hr_rtos *r, uint64_t addr)
{
    uint64_t into = 1;
    hr_id id = hr_heap_at(r->heap, addr, &into);
    return id != HR_NONE && !into && r->heap->state[id] == HR_USED ? id : HR_NONE;
}

uint64_t hr_rtos_stack_end(const struct hr_rtos *r, uint64_t lo)
{
    uint64_t off;
    hr_id b = hr_rtos_block(r, lo);
    if (b != HR_NONE)
        return lo + hr_block_size(r->heap, b);
    const struct hr_sym *s = hr_sym_at(r->types, lo, &off);
    return s && s->kind == HR_SYM_DATA && s->addr == lo && s->size ? lo + s->size : HR_NONE64;
}

bool hr_rtos_in_code(const struct hr_rtos *r, uint64_t pc)
{
    enum { VECTORS = 0x40, FLASH_TOP = 0x10000000 }; /* of a Cortex-M whose flash was not saved */
    const struct hr_segment *s = hr_image_find(r->image, pc & ~1ull, NULL);
    if (s)
        return s->flags & HR_SEG_X;
    for (size_t i = 0; i < r->image->modules.n; i++)
        if (r->image->modules.v[i].elf && pc >= r->image->modules.v[i].lo && pc < r->image->modules.v[i].hi)
            return true;
    return !strcmp(r->image->arch->name, "arm") && pc > VECTORS && pc < FLASH_TOP;
}

enum hr_status hr_rtos_object(struct hr_rtos *r, hr_id block, const char *like, const char *fmt, ...)
{
    char buf[256];
    struct hr_kobject o = {.block = block, .like = like ? hr_type_strip(r->types, hr_type_find(r->types, like)) : 0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    HR_TRY(hr_strs_addz(r->image->strs, buf, &o.name));
    return hr_kobjectvec_push(&r->objects, o);
}

/* ---- what a task waits for ---- */

/* The variable that is the object, or the object in the heap by its name without the kernel's. */
static enum hr_status waits_for(struct hr_rtos *r, const struct hr_map *by_block, struct hr_task *t)
{
    char name[96];
    uint64_t off;
    const struct hr_sym *s = hr_sym_at(r->types, t->waits_in, &off);
    hr_id b = hr_heap_at(r->heap, t->waits_in, NULL);
    uint32_t i = b == HR_NONE ? HR_NONE : hr_map_get(by_block, b);
    if (i != HR_NONE) {
        const char *is = hr_strs_get(r->image->strs, r->objects.v[i].name);
        size_t n = strlen(r->kernel);
        snprintf(name, sizeof name, "%s", !strncmp(is, r->kernel, n) && is[n] == ' ' ? is + n + 1 : is);
    } else if (b == HR_NONE && s && s->kind == HR_SYM_DATA && off < s->size) {
        snprintf(name, sizeof name, "%s", s->name);
    } else {
        return HR_OK;
    }
    return hr_strs_addz(r->image->strs, name, &t->waits);
}

static enum hr_status waits(struct hr_rtos *r)
{
    struct hr_map by_block;
    enum hr_status st = HR_OK;
    hr_map_init(&by_block, HR_MAX_BLOCKS);
    for (size_t i = 0; i < r->objects.n && st == HR_OK; i++)
        st = hr_map_put(&by_block, r->objects.v[i].block, (uint32_t)i);
    for (size_t i = 0; i < r->tasks.n && st == HR_OK; i++)
        if (r->tasks.v[i].waits_in && r->tasks.v[i].state == HR_TASK_BLOCKED)
            st = waits_for(r, &by_block, &r->tasks.v[i]);
    hr_map_deinit(&by_block);
    return st;
}

/* ---- stacks ---- */

static int by_stack(const void *a, const void *b)
{
    const struct hr_task *x = a, *y = b;
    if (x->stack_lo != y->stack_lo)
        return x->stack_lo < y->stack_lo ? -1 : 1;
    return x->tcb < y->tcb ? -1 : x->tcb > y->tcb;
}

/* A stack whose end nobody records reaches at most to the next stack, to the end of its block or variable. */
static void stack_ends(struct hr_rtos *r)
{
    if (r->tasks.n > 1)
        qsort(r->tasks.v, r->tasks.n, sizeof *r->tasks.v, by_stack);
    for (size_t i = 0; i < r->tasks.n; i++) {
        struct hr_task *t = &r->tasks.v[i];
        uint64_t into, off, end = hr_rtos_stack_end(r, t->stack_lo);
        if (end == HR_NONE64 && !t->stack_hi) {
            hr_id b = hr_heap_at(r->heap, t->stack_lo, &into);
            const struct hr_sym *s = hr_sym_at(r->types, t->stack_lo, &off);
            const struct hr_segment *g = hr_image_find(r->image, t->stack_lo, NULL);
            end = g ? g->addr + g->bytes.n : t->stack_lo;
            if (s && s->kind == HR_SYM_DATA && off < s->size)
                end = hr_min(end, s->addr + s->size);
            if (b != HR_NONE)
                end = hr_min(end, t->stack_lo - into + hr_block_size(r->heap, b));
            if (i + 1 < r->tasks.n)
                end = hr_min(end, r->tasks.v[i + 1].stack_lo);
        }
        if (!t->stack_hi || (!t->exact_end && end != HR_NONE64 && end + 16 > t->stack_hi && end < t->stack_hi + 16))
            t->stack_hi = end; /* kernels note the last whole, aligned place: the block or variable knows better */
        t->stack_block = hr_rtos_block(r, t->stack_lo);
        t->tcb_block = hr_rtos_block(r, t->tcb);
    }
}

/* FreeRTOS' own check (configCHECK_FOR_STACK_OVERFLOW 2) wants the last 16 bytes untouched: a frame that goes beyond the end need not
 * write every word of it on the way. */
enum { FILL_LEAST = 16 };

/* Where most tasks have a fill at the far end of their stacks, one that has none has been there. */
static void overflows(struct hr_rtos *r)
{
    size_t filled = 0, n = 0;
    uint64_t word;
    bool known;
    for (size_t i = 0; i < r->tasks.n; i++) {
        struct hr_task *t = &r->tasks.v[i];
        if (t->stack_lo >= t->stack_hi || !hr_image_peek(r->image, t->stack_lo, 1).n)
            continue;
        n++;
        filled += hr_rtos_fill(r->image, t->stack_lo, t->stack_hi, &word, &known) != HR_NONE64 && known;
        t->overflow |= t->sp && t->sp < t->stack_lo;
    }
    for (size_t i = 0; i < r->tasks.n && filled * 2 > n; i++) {
        struct hr_task *t = &r->tasks.v[i];
        if (t->stack_lo >= t->stack_hi || !hr_image_peek(r->image, t->stack_lo, 1).n)
            continue;
        uint64_t left = hr_rtos_fill(r->image, t->stack_lo, t->stack_hi, &word, &known);
        t->overflow |= left == HR_NONE64 || !known || left < FILL_LEAST;
    }
    for (size_t i = 0; i < r->tasks.n; i++)
        if (r->tasks.v[i].overflow)
            hr_note_at(r->notes, HR_NOTE_DAMAGE, "stack.overflow", r->tasks.v[i].stack_lo,
                       "the stack of task %s was used to its last byte or beyond: what lies below 0x%llx may have been written over",
                       hr_strs_get(r->image->strs, r->tasks.v[i].name), (unsigned long long)r->tasks.v[i].stack_lo);
}

/* ---- threads ---- */

/* A thread the image has already (its registers were saved with it) that stands on the task's stack. */
static uint32_t thread_on(const struct hr_rtos *r, const struct hr_task *t)
{
    for (uint32_t i = 0; i < r->image->threads.n; i++) {
        const struct hr_thread *th = &r->image->threads.v[i];
        if (th->sp >= t->stack_lo && th->sp <= t->stack_hi)
            return i;
    }
    return HR_NONE;
}

static void adopt(struct hr_rtos *r, struct hr_task *t, uint32_t i)
{
    struct hr_thread *th = &r->image->threads.v[i];
    t->thread = i;
    t->sp = th->sp;
    th->stack_lo = t->stack_lo;
    th->stack_hi = t->stack_hi;
    th->own_stack = true;
    th->tid = t->number ? t->number : th->tid;
    th->name = t->name ? t->name : th->name;
}

static bool is_current(const struct hr_rtos *r, uint64_t tcb)
{
    for (uint32_t i = 0; i < r->ncurrent; i++)
        if (r->current[i] == tcb)
            return true;
    return false;
}

static enum hr_status new_thread(struct hr_rtos *r, struct hr_task *t, uint32_t tid)
{
    struct hr_thread th = {.tid = tid, .sp = t->sp, .stack_lo = t->stack_lo, .stack_hi = t->stack_hi, .own_stack = true, .name = t->name};
    if (t->state == HR_TASK_DELETED) {
        th.saved = true;
        th.sp = t->stack_hi; /* nothing on it will be used again */
    } else if (is_current(r, t->tcb)) {
        /* What its saved stack pointer says is old. Below its deepest word there is nothing. */
        uint64_t word;
        bool known;
        uint64_t n = hr_rtos_fill(r->image, t->stack_lo, t->stack_hi, &word, &known);
        t->sp = 0;
        th.sp = t->stack_lo + (n == HR_NONE64 || !known ? 0 : n);
    } else {
        th.saved = true;
        hr_rtos_cortex_m(r, r->callee_saved && r->callee_saved != HR_NONE64 ? t->tcb + r->callee_saved : 0, t->sp, &th);
        hr_rtos_riscv(r, t->tcb, t->sp, &th);
    }
    t->thread = (uint32_t)r->image->threads.n;
    return hr_threadvec_push(&r->image->threads, th);
}

static enum hr_status threads(struct hr_rtos *r)
{
    uint32_t next = 1, had = (uint32_t)r->image->threads.n;
    bool running = false;
    for (uint32_t i = 0; i < had; i++)
        next = (uint32_t)hr_max(next, (uint64_t)r->image->threads.v[i].tid + 1);
    for (size_t i = 0; i < r->tasks.n; i++) {
        struct hr_task *t = &r->tasks.v[i];
        uint32_t on = t->stack_lo < t->stack_hi ? thread_on(r, t) : HR_NONE;
        if (on != HR_NONE && on < had) {
            adopt(r, t, on);
            running |= is_current(r, t->tcb);
        } else if (t->stack_lo < t->stack_hi) {
            HR_TRY(new_thread(r, t, t->number ? t->number : next++));
        }
    }
    if (r->ncurrent && !running)
        hr_note(r->notes, HR_NOTE_DEGRADED, "rtos.running", had ?
                "the registers are not the running task's (an interrupt was being handled, perhaps): all of its stack that was ever used counts as in use" :
                "without registers all of the running task's stack that was ever used counts as in use, and what only registers hold is not known");
    return HR_OK;
}

/* ---- the stack of interrupts ---- */

/* Stacks that kernels keep for interrupts: FreeRTOS on RISC-V, Zephyr, Zephyr before 2.3. */
static bool named_stack(const struct hr_rtos *r, uint64_t *lo, uint64_t *hi)
{
    static const char *const names[] = {"xISRStack", "z_interrupt_stacks", "_interrupt_stack"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t size = 0, at = hr_rtos_symbol(r, names[i], &size);
        if (!at || !size)
            continue;
        *lo = at;
        *hi = hr_sat_add(at, size);
        return true;
    }
    return false;
}

/* Cortex-M: from the address at the start of the vector table down, to whatever is below. */
static bool vector_stack(const struct hr_rtos *r, uint64_t *lo, uint64_t *hi)
{
    const struct hr_image *img = r->image;
    uint64_t top = 0, off;
    *lo = 0;
    if (strcmp(img->arch->name, "arm"))
        return false;
    for (size_t i = 0; i < img->modules.n && !top; i++) {
        const struct hr_module *m = &img->modules.v[i];
        const struct hr_phdr *p = m->elf ? hr_elf_ph(m->elf, HR_PT_LOAD) : NULL;
        if (p && !hr_image_word(img, m->bias + p->vaddr, &top))
            top = 0;
        for (uint32_t k = 0; m->elf && k < m->elf->nph; k++) {
            uint64_t end = hr_sat_add(m->bias + m->elf->ph[k].vaddr, m->elf->ph[k].memsz);
            if (m->elf->ph[k].type == HR_PT_LOAD && end <= top)
                *lo = hr_max(*lo, end);
        }
    }
    for (size_t i = 0; i < r->heap->regions.n; i++)
        if (r->heap->regions.v[i].addr + r->heap->regions.v[i].size <= top)
            *lo = hr_max(*lo, r->heap->regions.v[i].addr + r->heap->regions.v[i].size);
    const struct hr_sym *s = top > 4 ? hr_sym_at(r->types, top - 4, &off) : NULL; /* it ends where the next one starts, or is a variable */
    if (s && s->kind == HR_SYM_DATA && s->size)
        *lo = hr_max(*lo, off < s->size ? s->addr : s->addr + s->size);
    const struct hr_segment *g = top ? hr_image_find(img, top - 4, NULL) : NULL;
    *hi = top;
    if (!g || !(g->flags & HR_SEG_W) || top & 3 || *lo >= top)
        return false;
    *lo = hr_max(*lo, g->addr);
    return true;
}

/* Registers that functions must keep (ARM: r4 to r11): a dump without them was written by a handler that may have put them on its own
 * stack. */
static bool callee_saved(const struct hr_rtos *r, const struct hr_thread *th)
{
    enum { R4_TO_R11 = 0xff << 4 };
    return strcmp(r->image->arch->name, "arm") || (th->reg_valid & R4_TO_R11) == R4_TO_R11;
}

/* While a task runs on its own stack no interrupt is being handled, so nothing on the interrupts' stack is alive. */
static enum hr_status interrupt_stack(struct hr_rtos *r)
{
    struct hr_image *img = r->image;
    const struct hr_thread *first = img->threads.n ? &img->threads.v[0] : NULL;
    uint64_t lo, hi;
    if (first && first->reg_valid && !first->saved && !callee_saved(r, first)) {
        hr_note(r->notes, HR_NOTE_DEGRADED, "rtos.registers", "the dump has not all registers of the running task: what only r4 to r11 hold is not known");
        return HR_OK;
    }
    if (!first || !first->own_stack || first->saved || !first->reg_valid || (!named_stack(r, &lo, &hi) && !vector_stack(r, &lo, &hi)))
        return HR_OK;
    for (size_t i = 0; i < img->threads.n; i++)
        if (img->threads.v[i].sp > lo && img->threads.v[i].sp < hi)
            return HR_OK;
    struct hr_thread th = {.tid = 0, .sp = hi, .stack_lo = lo, .stack_hi = hi, .own_stack = true, .saved = true};
    HR_TRY(hr_strs_addz(img->strs, "interrupts", &th.name));
    return hr_threadvec_push(&img->threads, th);
}

/* ---- all ---- */

static enum hr_status (*const kernels[])(struct hr_rtos *) = {hr_freertos_find, hr_threadx_find, hr_zephyr_find};

/* A thread whose stack pointer nobody knows is none: it would say that registers are known, and where its stack is alive is not. */
static void no_stack_pointer(struct hr_image *img)
{
    if (!strcmp(img->format, "zephyr") && img->threads.n == 1 && !img->threads.v[0].sp)
        img->threads.n = 0;
}

static enum hr_status find(struct hr_rtos *r)
{
    enum hr_status st = HR_ABSENT;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels && st == HR_ABSENT; i++)
        st = kernels[i](r);
    if (st == HR_LIMIT)
        hr_note(r->notes, HR_NOTE_DAMAGE, "rtos.tasks", "more than %d tasks: the lists of %s are damaged, perhaps", HR_RTOS_MAX_TASKS, r->kernel);
    else
        HR_TRY(st);
    HR_TRY(waits(r));
    stack_ends(r);
    hr_rtos_cortex_m_sp(r);
    no_stack_pointer(r->image);
    HR_TRY(threads(r));
    HR_TRY(interrupt_stack(r));
    overflows(r);
    return HR_OK;
}

enum hr_status hr_rtos_find(struct hr_image *img, struct hr_types *types, struct hr_heap *heap, struct hr_notes *notes, struct hr_rtos **ret)
{
    if (!img->bare || !img->arch)
        return HR_ABSENT;
    struct hr_rtos *r = hr_zalloc(1, sizeof *r);
    if (!r)
        return HR_NOMEM;
    *r = (struct hr_rtos){.image = img, .types = types, .heap = heap, .notes = notes, .tasks.max = HR_RTOS_MAX_TASKS, .objects.max = HR_MAX_BLOCKS};
    enum hr_status st = find(r);
    if (st != HR_OK) {
        no_stack_pointer(img);
        hr_rtos_destroy(r);
        return st;
    }
    *ret = r;
    return HR_OK;
}

void hr_rtos_destroy(struct hr_rtos *r)
{
    if (!r)
        return;
    hr_taskvec_deinit(&r->tasks);
    hr_kobjectvec_deinit(&r->objects);
    hr_free(r);
}
