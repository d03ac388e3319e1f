/* Stacks: where each lies, and how deep it ever was. A stack that was filled with one word before it was used still has that word
 * where it never came to; memory that was cleared has zeros there, which is a guess, for a program may have written them. */
#include "analyzer/survey.h"

#include <string.h>

#include "analyzer/image/elf.h"

enum { LEAST = 16 /* bytes of one word over and over that count as never written */ };

/* What kernels fill stacks with: FreeRTOS, Zephyr, ThreadX; common in start-up code. */
static const uint32_t fills[] = {0xa5a5a5a5, 0xaaaaaaaa, 0xefefefef, 0xcdcdcdcd, 0xdeadbeef, 0xcccccccc, 0x55555555, 0xc5c5c5c5, 0x5a5a5a5a};
enum { SENTINEL = 0xf0f0f0f0 /* Zephyr's CONFIG_STACK_SENTINEL, in the lowest word */ };

static bool word_at(const struct hr_image *img, uint64_t at, uint64_t hi, uint32_t *ret)
{
    uint64_t v;
    if (at + 4 > hi || !hr_image_uint(img, at, 4, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* How far one 32-bit word goes on from `at`. */
static uint64_t run_of(const struct hr_image *img, uint64_t at, uint64_t hi)
{
    uint32_t first, v;
    uint64_t from = at;
    if (!word_at(img, at, hi, &first))
        return 0;
    while (at + 4 <= hi) {
        struct hr_span s = hr_image_peek(img, at, hi - at);
        size_t n = 0;
        while (n + 4 <= s.n && hr_load32(s.p + n, img->big) == first)
            n += 4;
        at += n;
        if (n + 4 <= s.n || !word_at(img, at, hi, &v) || v != first)
            break;
        at += 4;
    }
    return at - from;
}

uint64_t hr_survey_unused(const struct hr_image *img, uint64_t lo, uint64_t hi, uint64_t *fill_ret, uint8_t *how_ret)
{
    uint32_t first = 0;
    uint64_t base = (lo + 3) & ~3ull, skip = base - lo;
    *how_ret = HR_FILL_NONE;
    *fill_ret = 0;
    if (!word_at(img, base, hi, &first))
        return HR_NONE64;
    if (first == SENTINEL && word_at(img, base + 4, hi, &first)) {
        base += 4;
        skip += 4;
    }
    uint64_t n = run_of(img, base, hi);
    bool known = false;
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++)
        known |= first == fills[i];
    if (n < (known ? 4 : LEAST))
        return HR_NONE64;
    *fill_ret = first;
    *how_ret = first ? HR_FILL_PATTERN : HR_FILL_ZERO;
    return n + skip;
}

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
    t.limit = t.block != HR_NONE || !img->bare || own_border(v, &t);
    t.unused = hr_survey_unused(img, t.lo, t.hi, &t.fill, &t.how);
    if (t.unused != HR_NONE64 && t.sp >= t.lo && t.sp - t.lo < t.unused)
        t.unused = t.sp - t.lo; /* what lies above the stack pointer is in use, whatever it says */
    t.overflow = t.sp && t.sp < t.lo;
    t.name = th->name;
    if (!t.name && img->bare)
        HR_TRY(hr_strs_addz(v->s->strs, "main stack", &t.name));
    else if (!t.name)
        HR_TRY(hr_strs_addf(v->s->strs, &t.name, "thread %u", th->tid));
    return hr_survey_stackvec_push(&v->stacks, t);
}

enum hr_status hr_survey_stacks(struct hr_survey *v)
{
    for (uint32_t i = 0; i < v->s->image.threads.n; i++)
        HR_TRY(one(v, i));
    return HR_OK;
}
