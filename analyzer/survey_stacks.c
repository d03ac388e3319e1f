/* Stacks: where each lies, and how deep it ever was. A stack that was filled with one word before it was used still has that word
 * where it never came to; memory that was cleared has zeros there, which is a guess, for a program may have written them. */
#include "analyzer/survey.h"

#include <string.h>

#include "analyzer/image/elf.h"
#include "analyzer/runtimes/rtos/rtos.h"

/* Names that linker scripts give to where the heap may grow to or the stack down to. */
static const char *const limit_names[] = {
    "__StackLimit", "_sstack", "__stack_start__", "__stack_limit", "_stack_limit", "__STACK_LIMIT", "_Stack_Limit",
    "__heap_end", "__HeapLimit", "_heap_end", "__heap_end__", "_eheap", "__heap_limit", "__HEAP_END",
};

/* Looked up in the table itself: what a linker script computes is often absolute, which the type room's symbols leave out. */
static bool limit_symbol(const struct hr_module *m, struct hr_survey_stack *t)
{
    bool found = false;
    uint32_t n = m->elf ? hr_elf_nsyms(m->elf, false) : 0;
    for (uint32_t i = 1; i < n; i++) {
        struct hr_elf_sym s;
        if (!hr_elf_sym(m->elf, false, i, &s) || s.value < t->lo || s.value >= t->hi || (t->sp && s.value > t->sp))
            continue;
        for (size_t k = 0; k < sizeof limit_names / sizeof *limit_names; k++)
            if (!strcmp(s.name, limit_names[k])) {
                t->lo = s.value;
                found = true;
            }
    }
    return found;
}

static bool own_border(struct hr_survey *v, struct hr_survey_stack *t)
{
    uint64_t off;
    const struct hr_image *img = &v->s->image;
    const struct hr_sym *s = hr_sym_at(v->s->types, t->lo, &off);
    if (s && s->kind == HR_SYM_DATA && s->addr == t->lo && s->size && t->hi - t->lo <= s->size)
        return true;
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        if (limit_symbol(m, t))
            return true;
        for (uint32_t k = 0; m->elf && k < m->elf->nsec; k++)
            if (m->elf->sec[k].addr + m->bias == t->lo && m->elf->sec[k].size && strstr(m->elf->sec[k].name, "stack"))
                return true;
    }
    return false;
}

/* Nothing marks where the stack ends: the longest run of one word below the stack pointer is what lies between it and whatever is
 * below it, be that variables or a heap. */
static bool longest_run(const struct hr_image *img, struct hr_survey_stack *t)
{
    enum { LEAST = 64 };
    uint64_t at = (t->lo + 3) & ~3ull, best = 0, end = t->sp ? t->sp : t->hi;
    while (at + 4 <= end) {
        struct hr_span s = hr_image_peek(img, at, end - at);
        size_t n = 4;
        if (s.n < 4)
            break;
        while (n + 4 <= s.n && hr_load32(s.p + n, img->big) == hr_load32(s.p, img->big))
            n += 4;
        if (n >= LEAST && n > best) {
            best = n;
            t->lo = at;
            t->unused = n;
            t->fill = hr_load32(s.p, img->big);
        }
        at += n;
    }
    if (best)
        t->how = t->fill ? HR_FILL_PATTERN : HR_FILL_ZERO;
    return best > 0;
}

/* What the kernel says of the task whose stack it is. */
static void task(const struct hr_survey *v, uint32_t thread, struct hr_survey_stack *t)
{
    for (size_t i = 0; v->s->rtos && i < v->s->rtos->tasks.n; i++) {
        const struct hr_task *k = &v->s->rtos->tasks.v[i];
        if (k->thread != thread)
            continue;
        t->sp = k->sp;
        t->overflow |= k->overflow;
        if (k->overflow && (t->how != HR_FILL_PATTERN || t->unused > k->stack_hi - k->stack_lo)) {
            t->unused = 0; /* no fill where others have one: it was used to the end */
            t->how = HR_FILL_PATTERN;
        }
    }
}

static enum hr_status name_stack(struct hr_survey *v, uint32_t thread, struct hr_survey_stack *t)
{
    const struct hr_thread *th = &v->s->image.threads.v[thread];
    t->name = th->name;
    if (!t->name && v->s->image.bare && v->s->image.threads.n > 1)
        HR_TRY(hr_strs_addf(v->s->strs, &t->name, th->tid > 0xffff ? "task 0x%x" : "task %u", th->tid));
    else if (!t->name && v->s->image.bare)
        HR_TRY(hr_strs_addz(v->s->strs, "main stack", &t->name));
    else if (!t->name)
        HR_TRY(hr_strs_addf(v->s->strs, &t->name, "thread %u", th->tid));
    return hr_survey_stackvec_push(&v->stacks, *t);
}

static enum hr_status one(struct hr_survey *v, uint32_t i)
{
    const struct hr_image *img = &v->s->image;
    const struct hr_thread *th = &img->threads.v[i];
    struct hr_survey_stack t = {.lo = th->stack_lo, .hi = th->stack_hi, .sp = th->sp, .unused = HR_NONE64, .thread = i, .block = HR_NONE};
    if (t.lo >= t.hi)
        return HR_OK;
    uint64_t into;
    hr_id block = hr_heap_at(v->s->heap, th->sp ? th->sp : t.lo, &into);
    if (block != HR_NONE && v->s->heap->state[block] == HR_USED)
        t.block = block;
    t.limit = th->own_stack || t.block != HR_NONE || !img->bare || own_border(v, &t);
    bool known;
    t.unused = hr_rtos_fill(img, t.lo, t.hi, &t.fill, &known);
    if (!t.limit && longest_run(img, &t))
        return name_stack(v, i, &t);
    t.how = t.unused == HR_NONE64 ? HR_FILL_NONE : t.fill ? HR_FILL_PATTERN : HR_FILL_ZERO;
    /* What lies above the stack pointer is in use, whatever it says. A task that has not run yet has unwritten places in the context
     * its kernel made for it; the kernel's own count of what is left has them, so ours does, too. */
    if (t.unused != HR_NONE64 && t.sp >= t.lo && t.sp - t.lo < t.unused && !(known && th->saved))
        t.unused = t.sp - t.lo;
    t.overflow = t.sp && t.sp < t.lo;
    task(v, i, &t);
    return name_stack(v, i, &t);
}

enum hr_status hr_survey_stacks(struct hr_survey *v)
{
    for (uint32_t i = 0; i < v->s->image.threads.n; i++)
        HR_TRY(one(v, i));
    return HR_OK;
}
