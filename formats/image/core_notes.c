/* The notes of an ELF core: offsets are those of include/uapi/linux/elfcore.h and fs/binfmt_elf.c (see also core(5)). */
#include "formats/image/core.h"

enum {
    NT_PRSTATUS = 1, NT_PRPSINFO = 3, NT_AUXV = 6, NT_386_TLS = 0x200, NT_ARM_TLS = 0x401,
    NT_SIGINFO = 0x53494749, NT_FILE = 0x46494c45,
};
enum { AT_PHDR = 3, AT_PHNUM = 5, AT_PAGESZ = 6, AT_BASE = 7, AT_ENTRY = 9, AT_RANDOM = 25, AT_SYSINFO_EHDR = 33 };
enum { FS_BASE_SLOT = 21, I386_GS_SLOT = 10 };

static struct hr_cursor cur(const struct hr_core *c, struct hr_span s, uint64_t at)
{
    struct hr_cursor k = hr_cursor(s, c->img->big, c->img->word);
    hr_cur_seek(&k, at);
    return k;
}

static void set_reg(struct hr_thread *t, unsigned nr, uint64_t v)
{
    t->reg[nr] = v;
    t->reg_valid |= 1ull << nr;
}

static void read_regs(const struct hr_core *c, struct hr_thread *t, struct hr_span desc)
{
    const struct hr_arch *a = c->img->arch;
    struct hr_cursor k = cur(c, desc, a->prstatus_regs);
    for (unsigned i = 0; a->prstatus_regs && i < a->ngregs; i++) {
        uint64_t v = hr_cur_addr(&k);
        unsigned nr = a->greg_map ? a->greg_map[i] : i;
        if (k.bad)
            break;
        if (nr < a->nregs)
            set_reg(t, nr, v);
        if (i == FS_BASE_SLOT && !strcmp(a->name, "x86-64")) {
            t->tp = v;
            t->tp_valid = v != 0;
        }
    }
    if (!a->nregs)
        return;
    t->pc = t->reg[a->pc];
    t->sp = t->reg[a->sp];
    if (a->tp < a->nregs && t->reg_valid >> a->tp & 1) {
        t->tp = t->reg[a->tp];
        t->tp_valid = t->tp != 0;
    }
}

/* siginfo (12 bytes), cursig, two signal sets of one word each, then pid */
static void prstatus(struct hr_core *c, struct hr_span desc)
{
    struct hr_thread t = {0};
    struct hr_cursor k = cur(c, desc, 12);
    t.signal = (int16_t)hr_cur_u16(&k);
    hr_cur_seek(&k, c->img->word == 8 ? 32 : 24);
    t.tid = hr_cur_u32(&k);
    read_regs(c, &t, desc);
    if (k.bad)
        return;
    if (!c->img->threads.n && !c->img->signal)
        c->img->signal = t.signal;
    c->failed = hr_threadvec_push(&c->img->threads, t);
}

/* 64-bit: flag is a long at 8 and ids are 32 bits; 32-bit with 16-bit ids: 124 bytes (i386, arm), with 32-bit ids: 128. */
static void prpsinfo(struct hr_core *c, struct hr_span desc)
{
    bool wide = c->img->word == 8;
    uint64_t pid_at = wide ? 24 : desc.n >= 128 ? 16 : 12;
    struct hr_cursor k = cur(c, desc, pid_at);
    uint32_t pid = hr_cur_u32(&k);
    hr_cur_bytes(&k, 12); /* ppid, pgrp, sid */
    struct hr_span name = hr_cur_bytes(&k, 16), args = hr_cur_bytes(&k, hr_min(80, hr_cur_left(&k)));
    if (!name.n)
        return;
    c->img->pid = pid;
    while (args.n && (!args.p[args.n - 1] || args.p[args.n - 1] == ' ')) /* the kernel joins with and ends in a space */
        args.n--;
    if (hr_strs_add(c->img->strs, (const char *)name.p, name.n, &c->img->command) != HR_OK ||
        (args.n && hr_strs_add(c->img->strs, (const char *)args.p, args.n, &c->img->args) != HR_OK))
        c->failed = HR_NOMEM;
}

/* signo, errno, code; then, for the faults, si_addr as the first word of the union. */
static void siginfo(struct hr_core *c, struct hr_span desc)
{
    if (c->img->threads.n > 1) /* gcore writes one for each thread: the first is that of the thread that stopped */
        return;
    struct hr_cursor k = cur(c, desc, 0);
    int32_t signo = (int32_t)hr_cur_u32(&k);
    hr_cur_u32(&k);
    int32_t code = (int32_t)hr_cur_u32(&k);
    if (c->img->word == 8)
        hr_cur_u32(&k);
    uint64_t addr = hr_cur_addr(&k);
    enum { STOP = 19 };
    bool attached = signo == STOP && c->img->threads.n && !c->img->threads.v[0].signal;
    if (k.bad || !signo || attached) /* gdb stops what it attaches to: nobody's fault */
        return;
    c->img->signal = signo;
    c->img->si_code = code;
    enum { ILL = 4, TRAP = 5, BUS = 7, FPE = 8, SEGV = 11, KERNEL = 0x80 };
    bool fault = signo == ILL || signo == TRAP || signo == BUS || signo == FPE || signo == SEGV;
    if (fault && code > 0 && code != KERNEL) { /* SI_KERNEL: a general protection fault, whose address the processor hides */
        c->img->fault_addr = addr;
        c->img->has_fault_addr = true;
    }
}

static void auxv(struct hr_core *c, struct hr_span desc)
{
    struct hr_image *img = c->img;
    struct hr_cursor k = cur(c, desc, 0);
    c->auxv = desc;
    for (;;) {
        uint64_t type = hr_cur_addr(&k), v = hr_cur_addr(&k);
        if (k.bad || !type)
            return;
        switch (type) {
        case AT_PHDR: img->auxv_phdr = v; break;
        case AT_PHNUM: img->auxv_phnum = (uint32_t)hr_min(v, 0xffff); break;
        case AT_PAGESZ: img->page = v >= 256 && v <= 1 << 24 && !(v & (v - 1)) ? v : 0; break;
        case AT_BASE: img->auxv_base = v; break;
        case AT_ENTRY: img->auxv_entry = v; break;
        case AT_RANDOM: img->auxv_random = v; break;
        case AT_SYSINFO_EHDR: img->auxv_sysinfo_ehdr = v; break;
        }
    }
}

/* count, page size, count × (start, end, offset in pages), then the names one after the other. */
static void mapped_files(struct hr_core *c, struct hr_span desc)
{
    struct hr_cursor k = cur(c, desc, 0);
    uint64_t n = hr_cur_addr(&k), page = hr_cur_addr(&k);
    uint64_t table = hr_cur_off(&k), names_at;
    if (k.bad || !hr_mul(n, 3ull * c->img->word, &names_at) || !hr_add(names_at, table, &names_at) || names_at > desc.n)
        return;
    struct hr_cursor names = cur(c, desc, names_at);
    hr_str last = 0;
    for (uint64_t i = 0; i < n && c->failed == HR_OK; i++) {
        struct hr_mapped m = {.lo = hr_cur_addr(&k), .hi = hr_cur_addr(&k)};
        uint64_t off = hr_cur_addr(&k);
        struct hr_span z = hr_cur_cstr(&names);
        if (names.bad)
            return;
        if (!hr_mul(off, page, &m.file_off) || m.lo >= m.hi)
            continue;
        const char *l = hr_strs_get(c->img->strs, last);
        if (!z.n || strlen(l) != z.n || memcmp(l, z.p, z.n)) /* a file's mappings follow each other */
            c->failed = hr_strs_add(c->img->strs, (const char *)z.p, z.n, &last);
        m.path = last;
        if (c->failed == HR_OK)
            c->failed = hr_mappedvec_push(&c->files, m);
    }
}

/* user_desc entries {number, base, limit, flags}: the one gs selects is the thread pointer. */
static void tls_386(struct hr_core *c, struct hr_thread *t, struct hr_span desc, uint64_t gs)
{
    struct hr_cursor k = cur(c, desc, 0);
    while (hr_cur_left(&k) >= 16) {
        uint32_t nr = hr_cur_u32(&k), base = hr_cur_u32(&k);
        hr_cur_bytes(&k, 8);
        if (base && (nr == gs >> 3 || !t->tp_valid)) {
            t->tp = base;
            t->tp_valid = true;
            if (nr == gs >> 3)
                return;
        }
    }
}

static void thread_pointer(struct hr_core *c, uint32_t type, struct hr_span desc)
{
    struct hr_image *img = c->img;
    if (!img->threads.n)
        return;
    struct hr_thread *t = &img->threads.v[img->threads.n - 1];
    if (type == NT_ARM_TLS) {
        struct hr_cursor k = cur(c, desc, 0);
        t->tp = hr_cur_addr(&k);
        t->tp_valid = !k.bad && t->tp;
    } else {
        tls_386(c, t, desc, c->gs);
    }
}

static bool is(struct hr_span name, const char *z) { return name.n >= strlen(z) && !memcmp(name.p, z, strlen(z)); }

static bool one(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    struct hr_core *c = ctx;
    if (is(name, "GDB"))
        c->gdb_note = true;
    if (is(name, "LINUX") && (type == NT_386_TLS || type == NT_ARM_TLS))
        thread_pointer(c, type, desc);
    if (hr_esp_note(c, name, type, desc))
        return c->failed == HR_OK;
    /* QEMU and ESP-IDF say "CORE" too; a few embedded writers use a name of their own for the same layout */
    if (!is(name, "CORE"))
        return c->failed == HR_OK;
    switch (type) {
    case NT_PRSTATUS:
        c->gs = 0;
        if (c->img->arch->elf_machine == 3) {
            struct hr_cursor k = cur(c, desc, c->img->arch->prstatus_regs + 4 * I386_GS_SLOT);
            c->gs = hr_cur_u32(&k) & 0xffff;
        }
        prstatus(c, desc);
        break;
    case NT_PRPSINFO: prpsinfo(c, desc); break;
    case NT_SIGINFO: siginfo(c, desc); break;
    case NT_AUXV: auxv(c, desc); break;
    case NT_FILE: mapped_files(c, desc); break;
    }
    return c->failed == HR_OK;
}

static void name_main_thread(struct hr_image *img)
{
    for (size_t i = 0; i < img->threads.n; i++)
        if (img->threads.v[i].tid == img->pid && img->pid)
            img->threads.v[i].name = img->command;
}

enum hr_status hr_core_notes(struct hr_core *c)
{
    for (uint32_t i = 0; i < c->elf->nph && c->failed == HR_OK; i++) {
        const struct hr_phdr *p = &c->elf->ph[i];
        if (p->type == HR_PT_NOTE)
            hr_elf_notes(hr_elf_ph_bytes(c->elf, p), c->elf->big, (unsigned)hr_min(p->align, 16), one, c);
    }
    HR_TRY(c->failed);
    hr_esp_order(c);
    name_main_thread(c->img);
    if (!c->img->threads.n)
        hr_note(c->img->notes, HR_NOTE_DEGRADED, "core.no_threads",
                "the dump has no thread registers: stacks are found by their looks only");
    return HR_OK;
}
