/* Roots of a native process. Works from segments and registers alone; variables, locals and thread-local variables name and
 * type parts of it where symbols or DWARF are there.
 *
 * Layers, each laid over the last: writable segments (STATIC of a module, MAPPING otherwise) < heap regions (carved out) <
 * dead stack < live stack < thread-local blocks < variables < tasks' stacks < locals < allocators' bookkeeping (carved out). */
#include "analyzer/runtimes/native.h"

#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"

enum {
    PT_LOAD_ = 1,
    PF_W_ = 2,
    BY_SYMBOL = 0xff, /* surety of an item whose name is symbol `frame`'s: interned only if it becomes a root */
};

enum hr_status hr_native_add_root(struct hr_native *n, const struct hr_root *r)
{
    return hr_rootvec_push(&n->heap->roots, *r);
}

/* ---- segments ---- */

static bool in_region(const struct hr_native *n, uint64_t addr)
{
    const struct hr_regionvec *r = &n->heap->regions;
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->v[mid].addr <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && addr - r->v[lo - 1].addr < r->v[lo - 1].size;
}

/* Memory the program can have put a pointer into: whatever is writable; and what the dump itself (not a file) holds and is
 * no code: pages made read-only or inaccessible after they were filled. */
static bool holds_pointers(const struct hr_native *n, const struct hr_segment *s)
{
    if (!s->bytes.n || s->flags & HR_SEG_DEVICE)
        return false;
    /* What an arena has reserved behind its end and not used yet: inaccessible, zero, and in a debugger's core in full (and
     * called readable there). */
    if (!(s->flags & HR_SEG_W) && s->addr && in_region(n, s->addr - 1))
        return false;
    /* The read-only first pages of a file (headers, symbol hashes: random words) are dumped for its build-id's sake only. */
    if (!(s->flags & HR_SEG_W) && s->module != HR_NONE && !s->file_off)
        return false;
    return s->flags & HR_SEG_W || !(s->flags & (HR_SEG_X | HR_SEG_FROM_FILE));
}

/* Where modules' program headers say writable data lies, up to the page's end: anonymous memory there is .bss. */
static enum hr_status data_ranges(struct hr_native *n, struct hr_itemvec *out)
{
    uint64_t page = n->img->page ? n->img->page : 4096;
    for (size_t i = 0; i < n->img->modules.n; i++) {
        const struct hr_module *m = &n->img->modules.v[i];
        for (uint32_t k = 0; m->elf && k < m->elf->nph; k++) {
            const struct hr_phdr *p = &m->elf->ph[k];
            uint64_t lo = m->bias + p->vaddr, hi = hr_sat_add(lo, p->memsz);
            struct hr_item it = {.lo = lo, .hi = hi > UINT64_MAX - page ? hi : (hi + page - 1) & ~(page - 1),
                                 .module = (uint32_t)i};
            if (p->type == PT_LOAD_ && p->flags & PF_W_ && p->memsz)
                HR_TRY(hr_itemvec_push(out, it));
        }
    }
    return hr_items_tidy(out);
}

static uint32_t bss_module(const struct hr_itemvec *data, uint64_t addr, uint64_t *end_ret)
{
    size_t lo = 0, hi = data->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (data->v[mid].hi <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == data->n || data->v[lo].lo > addr)
        return HR_NONE;
    *end_ret = data->v[lo].hi;
    return data->v[lo].module;
}

static enum hr_status add_segment(struct hr_native *n, size_t i, const struct hr_itemvec *data, struct hr_itemvec *out)
{
    const struct hr_segment *s = &n->img->segs.v[i];
    struct hr_item it = {.lo = s->addr, .hi = s->addr + s->bytes.n, .module = s->module, .thread = HR_NONE,
                         .frame = HR_NONE, .kind = HR_ROOT_STATIC, .name = s->name};
    if (s->module != HR_NONE)
        return hr_itemvec_push(out, it);
    uint64_t end = 0;
    it.module = bss_module(data, s->addr, &end);
    if (it.module == HR_NONE && i) { /* no program headers: anonymous memory right behind a module's is its .bss */
        const struct hr_segment *p = s - 1;
        if (p->module != HR_NONE && p->flags & HR_SEG_W && p->addr + p->msize == s->addr) {
            it.module = p->module;
            end = it.hi;
        }
    }
    uint64_t hi = it.hi;
    if (it.module != HR_NONE) {
        it.hi = hr_min(end, hi);
        HR_TRY(hr_itemvec_push(out, it));
        it.lo = it.hi;
    }
    it.hi = hi;
    it.module = HR_NONE;
    it.kind = HR_ROOT_MAPPING;
    return it.lo < it.hi ? hr_itemvec_push(out, it) : HR_OK;
}

static enum hr_status base_layer(struct hr_native *n, struct hr_itemvec *out)
{
    struct hr_itemvec data = {.max = HR_MAX_ROOTS};
    enum hr_status st = data_ranges(n, &data);
    for (size_t i = 0; i < n->img->segs.n && st == HR_OK; i++)
        if (holds_pointers(n, &n->img->segs.v[i]))
            st = add_segment(n, i, &data, out);
    hr_itemvec_deinit(&data);
    HR_TRY(st);
    return hr_items_tidy(out);
}

static enum hr_status skip(uint64_t addr, uint64_t size, struct hr_itemvec *out)
{
    struct hr_item it = {.lo = addr, .hi = hr_sat_add(addr, size), .kind = HR_ITEM_SKIP,
                         .module = HR_NONE, .thread = HR_NONE, .frame = HR_NONE};
    return size ? hr_itemvec_push(out, it) : HR_OK;
}

/* All of a heap but the stretches that could not be read: what lies there may hold pointers. */
static enum hr_status skip_known(const struct hr_heap *h, const struct hr_region *r, size_t *next, struct hr_itemvec *out)
{
    uint64_t at = r->addr, end = r->addr + r->size;
    for (; *next < h->unknown.n && h->unknown.v[*next].addr < end; ++*next) {
        const struct hr_range *u = &h->unknown.v[*next];
        if (u->addr + u->size <= at)
            continue;
        HR_TRY(skip(at, u->addr > at ? u->addr - at : 0, out));
        at = u->addr + u->size;
    }
    return at < end ? skip(at, end - at, out) : HR_OK;
}

static enum hr_status heap_layer(struct hr_native *n, struct hr_itemvec *out)
{
    size_t unknown = 0; /* regions and stretches ascend */
    for (size_t i = 0; i < n->heap->regions.n; i++) {
        const struct hr_region *r = &n->heap->regions.v[i];
        if (r->parent == HR_NONE)
            HR_TRY(skip_known(n->heap, r, &unknown, out));
    }
    return hr_items_tidy(out);
}

/* The allocators' bookkeeping, which is no root, and what a managed runtime has made roots of already. */
static enum hr_status own_layer(struct hr_native *n, struct hr_itemvec *out)
{
    const struct hr_heap *h = n->heap;
    for (size_t i = 0; i < h->own.n; i++)
        HR_TRY(skip(h->own.v[i].addr, h->own.v[i].size, out));
    for (size_t i = 0; i < h->roots.n; i++)
        if (h->roots.v[i].size && h->roots.v[i].kind == HR_ROOT_GLOBAL)
            HR_TRY(skip(h->roots.v[i].addr, h->roots.v[i].size, out));
    return hr_items_tidy(out);
}

/* ---- stacks ---- */

/* The stack's own extent inside the mapping, as the thread library notes it in the thread's descriptor (struct pthread:
 * stackblock, stackblock_size): page-aligned start and size with sp and tp inside. Its place differs by version, its shape
 * does not. A mapping may have grown together with its neighbours, so this is sharper than the mapping. */
static void stack_block(const struct hr_native *n, const struct hr_thread *t, uint64_t *lo, uint64_t *hi)
{
    enum { DESCRIPTOR = 0x900 };
    uint64_t w = n->img->word, page = n->img->page ? n->img->page : 4096, a, size;
    if (!t->tp_valid || t->tp < *lo || t->tp >= *hi)
        return;
    uint64_t from = n->img->arch->tls_variant == 1 ? t->tp - DESCRIPTOR : t->tp;
    for (uint64_t off = 0; off < DESCRIPTOR; off += w) {
        if (!hr_image_word(n->img, from + off, &a) || a & (page - 1) || !a || a > t->sp)
            continue;
        if (hr_image_word(n->img, from + off + w, &size) && !(size & (page - 1)) && a + size > t->tp && a + size > a &&
            a >= *lo && a + size <= *hi) {
            *lo = a;
            *hi = a + size;
            return;
        }
    }
}

struct stack {
    uint64_t lo, sp, hi; /* sp: red zone taken off */
    uint32_t thread;
};
HR_VEC(stackvec, struct stack)

static int by_stack(const void *a, const void *b)
{
    const struct stack *x = a, *y = b;
    return x->sp != y->sp ? (x->sp < y->sp ? -1 : 1) : x->thread < y->thread ? -1 : x->thread > y->thread;
}

static enum hr_status find_stack(struct hr_native *n, uint32_t i, struct stackvec *out)
{
    const struct hr_thread *t = &n->img->threads.v[i];
    struct stack s = {.lo = t->stack_lo, .hi = t->stack_hi, .thread = i};
    uint64_t red = n->img->arch->red_zone, into;
    hr_id block = hr_heap_at(n->heap, t->sp, &into);
    if (t->own_stack) { /* a task's: the kernel knows */
    } else if (block != HR_NONE) { /* a stack the program itself allocated: the rest of its block */
        s.lo = t->sp - into;
        s.hi = s.lo + hr_block_size(n->heap, block);
    } else if (n->img->bare) {
        hr_native_bare_stack(n, t->sp, &s.lo, &s.hi);
    } else {
        stack_block(n, t, &s.lo, &s.hi);
    }
    bool empty = t->own_stack && t->sp == s.hi; /* nothing on it: an interrupt stack while a task runs */
    if (t->sp < s.lo || t->sp > s.hi || (!empty && !hr_image_peek(n->img, t->sp, 1).n)) {
        n->heap->roots_complete = false;
        hr_note(n->in.notes, HR_NOTE_DEGRADED, "roots.no_stack",
                "the stack of thread %u is not in the image: what only its locals hold cannot be known", t->tid);
        return HR_OK;
    }
    s.sp = t->sp - s.lo < red ? s.lo : t->sp - red;
    if (n->img->bare) { /* not the mapping, which is all of the RAM: others ask for the stack itself */
        n->in.image->threads.v[i].stack_lo = s.lo;
        n->in.image->threads.v[i].stack_hi = s.hi;
    }
    return stackvec_push(out, s);
}

/* tasks: those of a real-time kernel, which may lie in variables; else all others. */
static enum hr_status stack_layers(struct hr_native *n, bool tasks, struct hr_itemvec *dead, struct hr_itemvec *live)
{
    struct stackvec v = {.max = HR_MAX_THREADS};
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < n->img->threads.n && st == HR_OK; i++)
        if (n->img->threads.v[i].own_stack == tasks)
            st = find_stack(n, (uint32_t)i, &v);
    if (v.n > 1)
        qsort(v.v, v.n, sizeof *v.v, by_stack);
    uint64_t prev = 0; /* live end of the stack below, in case several share a mapping */
    for (size_t i = 0; i < v.n && st == HR_OK; i++) {
        const struct stack *s = &v.v[i];
        struct hr_item it = {.lo = hr_max(s->lo, prev), .hi = s->sp, .kind = HR_ROOT_DEAD_STACK, .module = HR_NONE,
                             .thread = s->thread, .frame = HR_NONE};
        if (n->img->threads.v[s->thread].saved || n->img->bare) /* a machine without red zones, or the kernel saved everything: nobody's, not even a leaf function's */
            it.kind = HR_ITEM_SKIP;
        bool heap = hr_heap_at(n->heap, s->sp, NULL) != HR_NONE;
        if (it.lo < it.hi && !heap)
            st = hr_itemvec_push(dead, it);
        it.lo = s->sp;
        it.hi = s->hi;
        it.kind = HR_ROOT_STACK;
        if (st == HR_OK)
            st = hr_itemvec_push(live, it);
        prev = hr_max(prev, s->hi);
    }
    stackvec_deinit(&v);
    HR_TRY(st);
    HR_TRY(hr_items_tidy(dead));
    return hr_items_tidy(live);
}

/* ---- variables ---- */

static enum hr_status dwarf_vars(struct hr_native *n, struct hr_itemvec *out)
{
    for (size_t i = 0; i < n->types->vars.n; i++) {
        const struct hr_var *v = &n->types->vars.v[i];
        uint64_t size = hr_type_get(n->types, hr_type_strip(n->types, v->type))->size;
        if (v->kind == HR_VAR_TLS || !size)
            continue;
        struct hr_item it = {.lo = v->addr, .hi = hr_sat_add(v->addr, size), .type = v->type, .name = v->name,
                             .module = v->module, .thread = HR_NONE, .frame = HR_NONE, .kind = HR_ROOT_GLOBAL,
                             .surety = HR_SURE_EXACT};
        HR_TRY(hr_itemvec_push(out, it));
    }
    return hr_items_tidy(out);
}

static enum hr_status symbol_vars(struct hr_native *n, struct hr_itemvec *out)
{
    for (size_t i = 0; i < n->types->syms.n; i++) {
        const struct hr_sym *s = &n->types->syms.v[i];
        if (s->kind != HR_SYM_DATA || !s->size)
            continue;
        struct hr_item it = {.lo = s->addr, .hi = hr_sat_add(s->addr, s->size), .module = s->module,
                             .thread = HR_NONE, .frame = (uint32_t)i, .kind = HR_ROOT_GLOBAL, .surety = BY_SYMBOL};
        HR_TRY(hr_itemvec_push(out, it));
    }
    return hr_items_tidy(out);
}

static enum hr_status add_local(struct hr_native *n, uint32_t thread, uint32_t frame, const struct hr_local *l,
                                struct hr_itemvec *out)
{
    const struct hr_type_row *row = hr_type_get(n->types, hr_type_strip(n->types, l->type));
    if (l->where == 0 && row->size) {
        struct hr_item it = {.lo = l->addr, .hi = hr_sat_add(l->addr, row->size), .type = l->type, .name = l->name,
                             .module = n->in.stacks->frames.v[frame].module, .thread = thread, .frame = frame,
                             .kind = HR_ROOT_LOCAL, .surety = HR_SURE_EXACT};
        return hr_itemvec_push(out, it);
    }
    if (l->where == 1 && hr_heap_at(n->heap, l->value, NULL) != HR_NONE) {
        struct hr_root r = {.addr = l->value, .type = l->type, .name = l->name, .thread = thread, .frame = frame,
                            .module = n->in.stacks->frames.v[frame].module, .kind = HR_ROOT_LOCAL,
                            .surety = HR_SURE_EXACT, .reg = 0xff};
        return hr_native_add_root(n, &r);
    }
    return HR_OK;
}

static enum hr_status local_layer(struct hr_native *n, struct hr_itemvec *out)
{
    const struct hr_stacks *s = n->in.stacks;
    for (uint32_t t = 0; s && t < s->n; t++)
        for (uint32_t f = s->of[t].frame0; f < s->of[t].frame0 + s->of[t].nframes && f < s->frames.n; f++) {
            const struct hr_frame *fr = &s->frames.v[f];
            for (uint32_t k = fr->local0; k < fr->local0 + fr->nlocals && k < s->locals.n; k++)
                HR_TRY(add_local(n, t, f, &s->locals.v[k], out));
        }
    return hr_items_tidy(out);
}

/* ---- registers ---- */

static enum hr_status registers(struct hr_native *n)
{
    bool none = false;
    for (size_t i = 0; i < n->img->threads.n; i++) {
        const struct hr_thread *t = &n->img->threads.v[i];
        none |= !t->reg_valid && !n->img->bare; /* of a bare machine see hr_native_bare_notes() */
        for (unsigned k = 0; k < n->img->arch->nregs && k < HR_MAX_REGS; k++) {
            if (t->saved || !(t->reg_valid >> k & 1) || (k && k == n->img->arch->gp) || hr_heap_at(n->heap, t->reg[k], NULL) == HR_NONE)
                continue;
            char name[16];
            struct hr_root r = {.addr = t->reg[k], .module = HR_NONE, .thread = (uint32_t)i, .frame = HR_NONE,
                                .kind = HR_ROOT_REGISTER, .reg = (uint8_t)k};
            HR_TRY(hr_strs_addz(n->heap->strs, hr_native_reg_name(n->img->arch, k, name, sizeof name), &r.name));
            HR_TRY(hr_native_add_root(n, &r));
        }
    }
    if (none) {
        n->heap->roots_complete = false;
        hr_note(n->in.notes, HR_NOTE_DEGRADED, "roots.no_registers", "a thread's registers are not in the image");
    }
    return HR_OK;
}

/* ---- all ---- */

/* What is missing from the image that could have held a pointer. Memory that is absent as a whole and by design was never
 * written (the kernel leaves it out), so it holds none. */
static void completeness(struct hr_native *n)
{
    bool data = false, data_there = false;
    uint64_t cut = 0;
    for (size_t i = 0; i < n->img->segs.n; i++) {
        const struct hr_segment *s = &n->img->segs.v[i];
        if (s->flags & HR_SEG_CUT)
            cut += s->msize - s->bytes.n;
        if (s->module != HR_NONE && s->flags & HR_SEG_W) {
            data = true;
            data_there |= s->bytes.n > 0 && !(s->flags & HR_SEG_FROM_FILE);
        }
    }
    for (size_t i = 0; i < n->heap->unknown.n; i++) {
        const struct hr_range *u = &n->heap->unknown.v[i];
        if (hr_image_peek(n->img, u->addr, u->size).n < u->size)
            n->heap->roots_complete = false;
    }
    if (cut) {
        n->heap->roots_complete = false;
        hr_note(n->in.notes, HR_NOTE_DEGRADED, "roots.cut",
                "%llu bytes of the dump are cut off: pointers there are unknown", (unsigned long long)cut);
    }
    if (data && !data_there) {
        n->heap->roots_complete = false;
        hr_note(n->in.notes, HR_NOTE_DEGRADED, "roots.no_data",
                "no module's writable data is in the dump: pointers in global variables are unknown");
    }
}

static enum hr_status keep(struct hr_native *n, const struct hr_itemvec *v)
{
    uint64_t w = n->img->word;
    for (size_t i = 0; i < v->n; i++) {
        const struct hr_item *it = &v->v[i];
        uint64_t first = (it->lo + w - 1) & ~(w - 1);
        if (it->kind == HR_ITEM_SKIP || first < it->lo || it->hi < w || first > it->hi - w)
            continue; /* no whole word in it */
        bool sym = it->surety == BY_SYMBOL;
        struct hr_root r = {.addr = it->lo, .size = it->hi - it->lo, .type = it->type, .name = it->name,
                            .module = it->module, .thread = it->thread, .frame = sym ? HR_NONE : it->frame, .kind = it->kind,
                            .surety = it->type ? it->surety : HR_SURE_NONE, .reg = 0xff};
        if (sym)
            HR_TRY(hr_strs_addz(n->heap->strs, n->types->syms.v[it->frame].name, &r.name));
        HR_TRY(hr_native_add_root(n, &r));
    }
    return HR_OK;
}

enum { L_BASE, L_HEAP, L_DEAD, L_LIVE, L_TLS, L_SYMS, L_VARS, L_TASK_DEAD, L_TASK_LIVE, L_TLSVARS, L_LOCALS, L_OWN, L_N };

static enum hr_status all_layers(struct hr_native *n, struct hr_itemvec *l)
{
    HR_TRY(base_layer(n, &l[L_BASE]));
    HR_TRY(heap_layer(n, &l[L_HEAP]));
    HR_TRY(stack_layers(n, false, &l[L_DEAD], &l[L_LIVE]));
    HR_TRY(stack_layers(n, true, &l[L_TASK_DEAD], &l[L_TASK_LIVE]));
    HR_TRY(hr_native_tls(n, &l[L_TLS], &l[L_TLSVARS]));
    if (hr_types_load_symbols(n->types) == HR_OK)
        HR_TRY(symbol_vars(n, &l[L_SYMS]));
    HR_TRY(dwarf_vars(n, &l[L_VARS]));
    HR_TRY(local_layer(n, &l[L_LOCALS]));
    HR_TRY(own_layer(n, &l[L_OWN]));
    /* Stacks and TLS blocks may lie in the heap: there they are not clipped. */
    static const bool clip[L_N] = {[L_DEAD] = true, [L_TASK_DEAD] = true, [L_TLS] = true, [L_SYMS] = true, [L_VARS] = true};
    for (int i = 1; i < L_N; i++)
        HR_TRY(hr_items_overlay(&l[L_BASE], &l[i], clip[i]));
    return keep(n, &l[L_BASE]);
}

enum hr_status hr_native_roots(struct hr_native *n)
{
    struct hr_itemvec l[L_N];
    for (int i = 0; i < L_N; i++)
        l[i] = (struct hr_itemvec){.max = HR_MAX_ROOTS};
    n->heap->roots.max = HR_MAX_ROOTS;
    n->heap->roots_complete = true;
    completeness(n);
    if (n->img->bare)
        hr_native_bare_notes(n);
    enum hr_status st = all_layers(n, l);
    if (st == HR_OK)
        st = registers(n);
    if (st == HR_OK && n->img->bare)
        hr_native_doubt_program(n);
    for (int i = 0; i < L_N; i++)
        hr_itemvec_deinit(&l[i]);
    return st;
}
