/* Where the stack of a bare machine begins and ends. Statics, heap and stack lie in one run of RAM without a border between
 * them, so the borders are the nearest things around the stack pointer. */
#include "analyzer/runtimes/native.h"

#include <string.h>

#include "analyzer/image/elf.h"

enum { PF_W = 2 };

/* Names that linker scripts give to the stack's upper end: CMSIS, ST, newlib's and picolibc's, Nordic, NXP, SEGGER, ESP-IDF. */
static const char *const top_names[] = {
    "__StackTop", "_estack", "__stack_top", "__stack", "_stack_top", "__STACK_TOP", "_vStackTop", "__initial_sp", "_stack_start",
    "__stack_end__", "__StackTop__", "_stack_end", "__c_stack_top", "stack_top",
};

static void border(uint64_t sp, uint64_t from, uint64_t to, uint64_t *lo, uint64_t *hi)
{
    if (to <= sp)
        *lo = hr_max(*lo, to);
    else if (from > sp)
        *hi = hr_min(*hi, from);
}

/* The stack is itself a static (a task's stack array, a .stack section). */
static bool inside(struct hr_native *n, const struct hr_module *m, uint64_t sp, uint64_t *lo, uint64_t *hi)
{
    enum { MIN_STACK = 64 };
    uint64_t off;
    const struct hr_sym *s = hr_sym_at(n->types, sp, &off);
    if (s && s->kind == HR_SYM_DATA && s->size >= MIN_STACK && off < s->size) {
        *lo = s->addr;
        *hi = s->addr + s->size;
        return true;
    }
    for (uint32_t i = 0; i < m->elf->nsec; i++) {
        const struct hr_section *c = &m->elf->sec[i];
        if (c->size && sp - (c->addr + m->bias) <= c->size && strstr(c->name, "stack")) {
            *lo = c->addr + m->bias;
            *hi = *lo + c->size;
            return true;
        }
    }
    return false;
}

/* ARM's vector table begins with the stack pointer at reset; it is the first word of the program. */
static uint64_t reset_sp(const struct hr_native *n, const struct hr_module *m)
{
    uint64_t v = 0;
    const struct hr_phdr *p = hr_elf_ph(m->elf, HR_PT_LOAD);
    if (strcmp(n->img->arch->name, "arm") || !p || !hr_image_word(n->img, m->bias + p->vaddr, &v))
        return 0;
    return v;
}

void hr_native_bare_stack(struct hr_native *n, uint64_t sp, uint64_t *lo, uint64_t *hi)
{
    for (size_t i = 0; i < n->heap->regions.n; i++)
        border(sp, n->heap->regions.v[i].addr, n->heap->regions.v[i].addr + n->heap->regions.v[i].size, lo, hi);
    for (size_t i = 0; i < n->img->modules.n; i++) {
        const struct hr_module *m = &n->img->modules.v[i];
        if (!m->elf)
            continue;
        if (inside(n, m, sp, lo, hi))
            return;
        for (uint32_t k = 0; k < m->elf->nph; k++) {
            const struct hr_phdr *p = &m->elf->ph[k];
            if (p->type == HR_PT_LOAD && p->flags & PF_W && p->memsz)
                border(sp, m->bias + p->vaddr, hr_sat_add(m->bias + p->vaddr, p->memsz), lo, hi);
        }
        uint64_t top = reset_sp(n, m);
        if (top > sp && top < *hi)
            *hi = top;
    }
    for (size_t i = 0; i < sizeof top_names / sizeof *top_names; i++) {
        const struct hr_sym *s = hr_sym_find(n->types, top_names[i], HR_NONE);
        if (s && s->addr > sp && s->addr < *hi)
            *hi = s->addr;
    }
}

void hr_native_bare_notes(struct hr_native *n)
{
    bool statics = false;
    for (size_t i = 0; i < n->img->modules.n; i++)
        for (uint32_t k = 0; n->img->modules.v[i].elf && k < n->img->modules.v[i].elf->nph; k++) {
            const struct hr_phdr *p = &n->img->modules.v[i].elf->ph[k];
            uint64_t at = n->img->modules.v[i].bias + p->vaddr;
            if (p->type != HR_PT_LOAD || !(p->flags & PF_W) || !p->memsz || hr_elf_ph_is_code(n->img->modules.v[i].elf, p))
                continue;
            statics = true;
            if (hr_image_peek(n->img, at, p->memsz).n >= p->memsz)
                continue;
            n->heap->roots_complete = false;
            hr_note_at(n->in.notes, HR_NOTE_DEGRADED, "roots.not_captured", at,
                       "%llu bytes of the program's variables at 0x%llx were not captured: what they hold is unknown",
                       (unsigned long long)p->memsz, (unsigned long long)at);
        }
    bool registers = false;
    for (size_t i = 0; i < n->img->threads.n; i++)
        registers |= n->img->threads.v[i].reg_valid && !n->img->threads.v[i].saved;
    if (!registers && n->in.rtos && n->heap->n) /* rtos.running says it */
        return;
    if (n->img->arch && !strcmp(n->img->arch->name, "wasm32")) /* its machine keeps them to itself */
        return;
    if (!registers && n->heap->n && strcmp(n->img->format, "elf-core")) /* a cut core says so already */
        hr_note(n->in.notes, HR_NOTE_DEGRADED, "roots.no_registers",
                "the image has no registers: all memory outside the heap counts as in use, old stack words hide leaks%s; give --regs FILE",
                statics ? "" : ", and without --elf variables have no names");
}
