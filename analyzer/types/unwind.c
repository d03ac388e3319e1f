/* Unwinding with call-frame information. */
#include "analyzer/types/unwind.h"

#include <string.h>

#include "analyzer/image/elf.h"
#include "analyzer/types/locexpr.h"

enum {
    PT_GNU_EH_FRAME_ = 0x6474e550,
    MAX_TABLE_COPY = 64 << 20,   /* an .eh_frame that lies across seams is copied; Chromium's has about 30 MiB */
    MAX_DEBUG_FRAME = 256 << 20,
    MAX_GUARD = 2 << 20,         /* between sp and the stack it fell off: guard pages (glibc 4 KiB, Java 80 KiB) and one frame */
    TASK_ARGUMENTS = 128,        /* Zephyr's first frame: what a thread was created with and what is kept for it */
    TASK_TOP = 16,               /* what kernels leave above a task's first frame: alignment */
    VDSO_BYTES = 64 << 10,       /* the kernel's is 4 to 20 KiB */
};

/* ---- tables ---- */

/* Bytes at a run-time address in one piece: as they lie, or copied when they lie across a seam. */
static struct hr_span mem_span(const struct hr_image *img, uint64_t addr, uint64_t want, void **own)
{
    struct hr_span s = hr_image_peek(img, addr, want);
    uint64_t next;
    if (!s.n || s.n >= want || !hr_add(addr, s.n, &next) || !hr_image_peek(img, next, 1).n)
        return s;
    want = hr_min(want, MAX_TABLE_COPY);
    uint8_t *buf = hr_alloc(want);
    if (!buf)
        return s;
    *own = buf;
    return (struct hr_span){buf, hr_image_read(img, addr, buf, want)};
}

static void table_common(const struct hr_unwinder *u, struct hr_cfi_table *t)
{
    t->img = u->img;
    t->arch = u->img->arch;
    t->big = u->img->big;
    t->word = u->img->word;
}

/* .eh_frame out of memory, found through a header whose extent is known. */
static void open_from_memory(struct hr_unwinder *u, struct hr_unwind_mod *um, uint64_t hdr, uint64_t hdr_size, uint64_t end)
{
    struct hr_span h = mem_span(u->img, hdr, hdr_size, &um->own[1]);
    uint64_t frame;
    if (!h.n || !hr_cfi_hdr_frame(h, hdr, u->img->big, u->img->word, &frame) || frame >= end)
        return;
    um->eh.bytes = mem_span(u->img, frame, end - frame, &um->own[0]);
    um->eh.addr = frame;
    um->eh.eh = true;
    table_common(u, &um->eh);
    hr_cfi_table_init(&um->eh, h, hdr);
}

/* .eh_frame out of the module's file: one piece, and its length is known. */
static bool open_from_file(struct hr_unwinder *u, struct hr_unwind_mod *um, const struct hr_module *m)
{
    const struct hr_section *s = m->elf ? hr_elf_section(m->elf, ".eh_frame") : NULL;
    if (!s || !s->bytes.n || s->compressed || !s->addr)
        return false;
    um->eh.bytes = s->bytes;
    um->eh.addr = s->addr + m->bias;
    um->eh.bias = m->bias;
    um->eh.eh = true;
    table_common(u, &um->eh);
    const struct hr_section *h = hr_elf_section(m->elf, ".eh_frame_hdr");
    struct hr_span hs = h && !h->compressed ? h->bytes : (struct hr_span){0};
    hr_cfi_table_init(&um->eh, hs, hs.n ? h->addr + m->bias : 0);
    return true;
}

static void open_eh(struct hr_unwinder *u, size_t i)
{
    struct hr_unwind_mod *um = &u->mods[i];
    um->tried_eh = true;
    if (i < u->img->modules.n) {
        const struct hr_module *m = &u->img->modules.v[i];
        if (!open_from_file(u, um, m) && m->eh_frame_hdr)
            open_from_memory(u, um, m->eh_frame_hdr, hr_max(m->eh_frame_hdr_size, 12), m->hi);
        return;
    }
    struct hr_elf *e;
    struct hr_span s = hr_image_peek(u->img, u->vdso_lo, VDSO_BYTES);
    if (hr_elf_create(s, &e, NULL) != HR_OK)
        return;
    uint64_t base = 0;
    for (uint32_t k = e->nph; k-- > 0;)
        if (e->ph[k].type == 1)
            base = u->vdso_lo - (e->ph[k].vaddr - e->ph[k].off);
    for (uint32_t k = 0; k < e->nph; k++)
        if (e->ph[k].type == PT_GNU_EH_FRAME_)
            open_from_memory(u, um, base + e->ph[k].vaddr, e->ph[k].memsz, u->vdso_hi);
    hr_elf_destroy(e);
}

static void open_debug(struct hr_unwinder *u, size_t i)
{
    struct hr_unwind_mod *um = &u->mods[i];
    um->tried_debug = true;
    if (i >= u->img->modules.n)
        return;
    const struct hr_module *m = &u->img->modules.v[i];
    const struct hr_elf *from[2] = {m->debug, m->elf};
    for (int k = 0; k < 2 && !um->debug.bytes.n; k++) {
        const struct hr_section *s = from[k] ? hr_elf_section(from[k], ".debug_frame") : NULL;
        if (s && s->bytes.n &&
            hr_elf_section_bytes(from[k], s, MAX_DEBUG_FRAME, &um->debug.bytes, &um->own[2]) != HR_OK)
            um->debug.bytes = (struct hr_span){0};
    }
    um->debug.bias = m->bias;
    table_common(u, &um->debug);
}

enum hr_status hr_unwind_init(struct hr_unwinder *u, struct hr_types *t)
{
    *u = (struct hr_unwinder){.types = t, .img = t->image};
    u->nmods = u->img->modules.n;
    uint64_t v = u->img->auxv_sysinfo_ehdr;
    const struct hr_segment *s = v ? hr_image_find(u->img, v, NULL) : NULL;
    if (s && hr_image_module_at(u->img, v) == HR_NONE) {
        u->vdso_lo = v;
        u->vdso_hi = s->addr + s->msize;
        u->nmods++;
    }
    u->mods = hr_zalloc(u->nmods, sizeof *u->mods);
    return u->mods ? HR_OK : HR_NOMEM;
}

void hr_unwind_deinit(struct hr_unwinder *u)
{
    for (size_t i = 0; u->mods && i < u->nmods; i++) {
        hr_cfi_table_deinit(&u->mods[i].eh);
        hr_cfi_table_deinit(&u->mods[i].debug);
        for (int k = 0; k < 3; k++)
            hr_free(u->mods[i].own[k]);
    }
    hr_free(u->mods);
}

/* The rules at pc. HR_ABSENT: nothing covers it. */
static enum hr_status find_row(struct hr_unwinder *u, uint64_t pc, struct hr_cfi_row *row)
{
    size_t i = hr_image_module_at(u->img, pc);
    if (i >= u->img->modules.n) {
        if (pc < u->vdso_lo || pc >= u->vdso_hi)
            return HR_ABSENT;
        i = u->img->modules.n;
    }
    struct hr_unwind_mod *um = &u->mods[i];
    struct hr_cfi_fde fde;
    if (!um->tried_eh)
        open_eh(u, i);
    if (um->eh.bytes.n && hr_cfi_find(&um->eh, pc, &fde) == HR_OK && hr_cfi_row(&um->eh, &fde, pc, row) == HR_OK)
        return HR_OK;
    if (!um->tried_debug)
        open_debug(u, i);
    if (um->debug.bytes.n && hr_cfi_find(&um->debug, pc, &fde) == HR_OK &&
        hr_cfi_row(&um->debug, &fde, pc, row) == HR_OK)
        return HR_OK;
    u->blind += !um->eh.bytes.n && !um->debug.bytes.n;
    return HR_ABSENT;
}

/* ---- one step ---- */

uint64_t hr_unwind_preserved(const struct hr_arch *arch)
{
#define BITS(lo, hi) (((2ull << ((hi) - (lo))) - 1) << (lo))
    switch (arch->elf_machine) {
    case HR_EM_X86_64: return 1ull << 3 | 1ull << 6 | BITS(12, 15);
    case HR_EM_386: return 1ull << 3 | BITS(5, 7);
    case HR_EM_AARCH64: return BITS(19, 29);
    case HR_EM_ARM: return BITS(4, 11);
    case HR_EM_RISCV: return BITS(3, 4) | BITS(8, 9) | BITS(18, 27); /* gp, tp, s0-s11 */
    case HR_EM_PPC64: return 1ull << 2 | BITS(13, 31);
    default: return 0;
    }
#undef BITS
}

static bool eval(const struct hr_unwinder *u, const struct hr_frame *f, struct hr_span e, const uint64_t *cfa, uint64_t *ret)
{
    struct hr_locctx ctx = {.img = u->img, .reg = f->reg, .reg_valid = f->reg_valid};
    struct hr_loc loc;
    if (hr_locexpr(&ctx, e, cfa, &loc) != HR_OK || loc.kind == HR_LOC_NONE)
        return false;
    *ret = loc.v;
    return true;
}

static bool cfa_of(const struct hr_unwinder *u, const struct hr_frame *f, const struct hr_cfi_row *row, uint64_t *ret)
{
    if (row->cfa.kind == HR_CFI_VAL_EXPR)
        return eval(u, f, row->cfa.expr, NULL, ret);
    if (row->cfa.kind != HR_CFI_REG || !(f->reg_valid >> row->cfa.reg & 1))
        return false;
    *ret = f->reg[row->cfa.reg] + (uint64_t)row->cfa.off;
    if (u->img->word == 4)
        *ret = (uint32_t)*ret;
    return true;
}

/* The value register r had in the caller. */
static bool recover(const struct hr_unwinder *u, const struct hr_frame *f, const struct hr_cfi_rule *rule, unsigned r,
                    uint64_t *ret)
{
    uint64_t at = f->cfa + (uint64_t)rule->off;
    switch (rule->kind) {
    case HR_CFI_OFFSET: return hr_image_word(u->img, u->img->word == 4 ? (uint32_t)at : at, ret);
    case HR_CFI_VAL_OFFSET: *ret = at; return true;
    case HR_CFI_REG: *ret = f->reg[rule->reg]; return f->reg_valid >> rule->reg & 1;
    case HR_CFI_EXPR: return eval(u, f, rule->expr, &f->cfa, &at) && hr_image_word(u->img, at, ret);
    case HR_CFI_VAL_EXPR: return eval(u, f, rule->expr, &f->cfa, ret);
    case HR_CFI_SAME: *ret = f->reg[r]; return f->reg_valid >> r & 1;
    default: return false;
    }
}

enum step { STEP_OK, STEP_FIRST, STEP_NO_INFO, STEP_BROKEN };

static enum step by_cfi(struct hr_unwinder *u, struct hr_frame *f, bool inner, struct hr_frame *c)
{
    const struct hr_arch *a = u->img->arch;
    struct hr_cfi_row row;
    if (find_row(u, inner ? f->pc : f->pc - 1, &row) != HR_OK)
        return STEP_NO_INFO;
    f->signal_frame = row.signal;
    /* aarch64's and riscv's own description of the trampoline forgets the link register: read the context instead */
    if (row.signal && hr_unwind_sigreturn(u, f, c))
        return STEP_OK;
    if (row.ra == HR_NONE || !cfa_of(u, f, &row, &f->cfa))
        return STEP_BROKEN;
    if (row.reg[row.ra].kind == HR_CFI_UNDEF)
        return STEP_FIRST;
    uint64_t preserved = hr_unwind_preserved(a) | (row.signal ? ~0ull : 0);
    bool linked = a->ra != a->pc; /* the return address starts out in a register */
    for (unsigned r = 0; r < a->nregs && r < HR_MAX_REGS; r++) {
        struct hr_cfi_rule rule = row.reg[r];
        uint64_t v;
        if (rule.kind == HR_CFI_UNSPEC && (preserved >> r & 1 || (linked && inner && r == row.ra)))
            rule.kind = HR_CFI_SAME;
        if (recover(u, f, &rule, r, &v))
            hr_unwind_set(c, r, v);
    }
    if (!(c->reg_valid >> row.ra & 1))
        return STEP_BROKEN;
    c->pc = c->reg[row.ra];
    if (row.reg[a->sp].kind == HR_CFI_UNSPEC)
        hr_unwind_set(c, a->sp, f->cfa);
    if (linked && row.ra == a->ra && !row.signal)
        c->reg_valid &= ~(1ull << a->ra); /* the call overwrote it */
    c->trust = HR_FRAME_CFI;
    return STEP_OK;
}

/* Pointer authentication codes lie above the address bits, Thumb's mark in bit 0. */
static uint64_t clean_pc(const struct hr_image *img, uint64_t pc)
{
    if (img->arch->elf_machine == HR_EM_AARCH64 && !(pc >> 55 & 1))
        return pc & ((1ull << 48) - 1);
    if (img->arch->elf_machine == HR_EM_ARM)
        return pc & ~1ull;
    return img->word == 4 ? (uint32_t)pc : pc;
}

/* ---- a thread ---- */

struct walk {
    struct hr_unwinder *u;
    uint64_t lo, hi;  /* the stack we are on */
    bool complete;
};

/* The bounds of the stack that sp is on. A stack that overflowed has sp in its guard page or below: the stack is what lies
 * above then. */
static void enter_stack(struct walk *w, const struct hr_thread *th, uint64_t sp)
{
    const struct hr_image *img = w->u->img;
    w->lo = th->stack_lo;
    w->hi = th->stack_hi;
    if (sp >= w->lo && sp < w->hi && hr_image_peek(img, sp, 1).n)
        return;
    uint32_t i = hr_image_seg_above(img, sp);
    while (i + 1 < img->segs.n && !img->segs.v[i].bytes.n && img->segs.v[i].msize <= MAX_GUARD &&
           img->segs.v[i + 1].addr == img->segs.v[i].addr + img->segs.v[i].msize)
        i++;
    const struct hr_segment *s = i < img->segs.n ? &img->segs.v[i] : NULL;
    bool near = s && (s->addr <= sp || s->addr - sp <= MAX_GUARD);
    w->lo = near ? hr_min(s->addr, sp) : 0;
    w->hi = near ? s->addr + s->msize : 0;
}

static enum step next_frame(struct walk *w, struct hr_frame *f, bool inner, struct hr_frame *c)
{
    enum step s = by_cfi(w->u, f, inner, c);
    if (s == STEP_OK || s == STEP_FIRST)
        return s;
    *c = (struct hr_frame){.module = HR_NONE};
    if (s == STEP_NO_INFO && hr_unwind_sigreturn(w->u, f, c)) {
        f->signal_frame = true;
        return STEP_OK;
    }
    bool first = false;
    if (hr_unwind_exidx(w->u, f, inner, c, &first) == HR_OK)
        return first ? STEP_FIRST : STEP_OK;
    if (hr_unwind_guess(w->u, f, inner, c, &first))
        return STEP_OK;
    return first ? STEP_FIRST : STEP_BROKEN;
}

/* The caller must lie further up the same stack, unless a signal switched stacks. */
static bool plausible(struct walk *w, const struct hr_thread *th, const struct hr_frame *f, bool inner, struct hr_frame *c)
{
    const struct hr_arch *a = w->u->img->arch;
    if (!(c->reg_valid >> a->sp & 1))
        return false;
    c->sp = c->reg[a->sp];
    if (f->signal_frame) {
        enter_stack(w, th, c->sp);
        return w->hi != 0;
    }
    if (c->sp < f->sp || (c->sp == f->sp && !(inner && a->ra != a->pc)))
        return false;
    return c->sp <= w->hi;
}

static void finish(struct hr_unwinder *u, struct hr_frame *f)
{
    hr_unwind_set(f, u->img->arch->pc, f->pc);
    f->module = hr_image_module_at(u->img, f->pc);
}

static struct hr_frame start_frame(struct hr_unwinder *u, const struct hr_thread *th)
{
    struct hr_frame f = {.pc = clean_pc(u->img, th->pc), .sp = th->sp, .reg_valid = th->reg_valid,
                         .trust = HR_FRAME_REGS};
    memcpy(f.reg, th->reg, sizeof f.reg);
    finish(u, &f);
    return f;
}

/* What a stack was filled with before it was used: one byte over and over. */
static bool is_fill(const struct hr_unwinder *u, uint64_t pc)
{
    uint64_t b = (pc & 0xff) | 1, all = b * (u->img->word == 4 ? 0x01010101u : 0x0101010101010101ull);
    return b != 0xff && ((pc | 1) == all || pc == (all & ~1ull) || pc == (b - 1) * (all / b));
}

/* A task's function is called by nobody: at the top of its stack it would return to the start of a function that reports that it
 * should not have (FreeRTOS: prvTaskExitError()), or, as the kernel's first function of a thread never returns, to what the stack was
 * filled with. */
static bool no_caller(struct hr_unwinder *u, const struct hr_thread *th, const struct hr_frame *c)
{
    uint64_t off;
    if (is_fill(u, c->pc) && c->sp + TASK_ARGUMENTS >= th->stack_hi && !hr_image_find(u->img, c->pc, NULL))
        return true;
    if (u->img->word == 4 && c->pc >= 0xfffffff0) /* ThreadX: what a new thread returns to is all ones */
        return true;
    if (c->sp < th->stack_hi - hr_min(th->stack_hi, TASK_TOP))
        return false;
    const struct hr_sym *s = hr_sym_at(u->types, c->pc, &off);
    return s && s->kind == HR_SYM_FUNC && !off;
}

enum hr_status hr_unwind_thread(struct hr_unwinder *u, uint32_t tid, size_t max_frames, struct hr_framevec *out,
                                bool *complete_ret)
{
    const struct hr_thread *th = &u->img->threads.v[tid];
    struct walk w = {.u = u};
    struct hr_frame f = start_frame(u, th), c;
    bool inner = true, more = th->reg_valid != 0;
    enter_stack(&w, th, f.sp);
    for (size_t i = 0; more && i < max_frames; i++) {
        bool last = i + 1 == max_frames;
        c = (struct hr_frame){.module = HR_NONE};
        enum step s = last || !w.hi ? STEP_BROKEN : next_frame(&w, &f, inner, &c);
        c.pc = clean_pc(u->img, c.pc);
        w.complete = s == STEP_FIRST || (s == STEP_OK && c.pc == 0);
        more = s == STEP_OK && c.pc && plausible(&w, th, &f, inner, &c);
        if (more && th->own_stack && no_caller(u, th, &c)) {
            w.complete = true;
            more = false;
        }
        HR_TRY(hr_framevec_push(out, f));
        if (!more)
            break;
        inner = f.signal_frame;
        f = c;
        finish(u, &f);
    }
    *complete_ret = w.complete;
    return HR_OK;
}
