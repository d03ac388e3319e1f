/* ELF by the System V gABI, chapters 4 and 5. */
#include <string.h>

#include "tests/make/mk.h"

void mk_note_begin(struct mk *m, const char *name, uint32_t type, size_t *mark)
{
    *mark = m->n;
    mk_uint(m, strlen(name) + 1, 4);
    mk_uint(m, 0, 4);
    mk_uint(m, type, 4);
    mk_str(m, name);
    mk_align(m, 4);
}

void mk_note_end(struct mk *m, size_t mark)
{
    size_t name = 0;
    for (size_t i = 0; i < 4; i++)
        name |= (size_t)m->p[mark + i] << 8 * (m->big ? 3 - i : i);
    mk_set(m, mark + 4, m->n - (mark + 12 + (name + 3) / 4 * 4), 4);
    mk_align(m, 4);
}

void mk_note(struct mk *m, const char *name, uint32_t type, const void *desc, size_t n)
{
    size_t mark;
    mk_note_begin(m, name, type, &mark);
    mk_bytes(m, desc, n);
    mk_note_end(m, mark);
}

void mk_sym(struct mk *m, uint32_t name, uint64_t value, uint64_t size, uint8_t info, uint16_t shndx)
{
    mk_uint(m, name, 4);
    if (m->word == 4) {
        mk_uint(m, value, 4);
        mk_uint(m, size, 4);
    }
    mk_uint(m, info, 1);
    mk_uint(m, 0, 1);
    mk_uint(m, shndx, 2);
    if (m->word == 8) {
        mk_uint(m, value, 8);
        mk_uint(m, size, 8);
    }
}

struct ehdr {
    unsigned type, machine, phnum, shnum, shstrndx;
    uint64_t entry, phoff, shoff;
};

static void ehdr(struct mk *m, const struct ehdr *h)
{
    mk_bytes(m, "\177ELF", 4);
    mk_uint(m, m->word == 8 ? 2 : 1, 1); /* EI_CLASS */
    mk_uint(m, m->big ? 2 : 1, 1);       /* EI_DATA */
    mk_uint(m, 1, 1);                    /* EI_VERSION */
    mk_zero(m, 9);
    mk_uint(m, h->type, 2);
    mk_uint(m, h->machine, 2);
    mk_uint(m, 1, 4);
    mk_word(m, h->entry);
    mk_word(m, h->phoff);
    mk_word(m, h->shoff);
    mk_uint(m, 0, 4);
    mk_uint(m, m->word == 8 ? 64 : 52, 2);
    mk_uint(m, m->word == 8 ? 56 : 32, 2);
    mk_uint(m, h->phnum, 2);
    mk_uint(m, m->word == 8 ? 64 : 40, 2);
    mk_uint(m, h->shnum, 2);
    mk_uint(m, h->shstrndx, 2);
}

struct phdr {
    uint32_t type, flags;
    uint64_t off, vaddr, paddr, filesz, memsz, align;
};

static void phdr(struct mk *m, const struct phdr *p)
{
    mk_uint(m, p->type, 4);
    if (m->word == 8)
        mk_uint(m, p->flags, 4);
    mk_word(m, p->off);
    mk_word(m, p->vaddr);
    mk_word(m, p->paddr);
    mk_word(m, p->filesz);
    mk_word(m, p->memsz);
    if (m->word == 4)
        mk_uint(m, p->flags, 4);
    mk_word(m, p->align);
}

static void shdr(struct mk *m, uint32_t name, const struct mk_sec *s, uint64_t off)
{
    mk_uint(m, name, 4);
    mk_uint(m, s->type, 4);
    mk_word(m, s->flags);
    mk_word(m, s->addr);
    mk_word(m, off);
    mk_word(m, s->size);
    mk_uint(m, s->link, 4);
    mk_uint(m, s->info, 4);
    mk_word(m, 1);
    mk_word(m, 0);
}

static unsigned ehsize(unsigned word) { return word == 8 ? 64 : 52; }
static unsigned phsize(unsigned word) { return word == 8 ? 56 : 32; }

struct mk mk_elf(const struct mk_elf *e)
{
    struct mk m = mk_new(e->word, e->big), names = mk_new(e->word, e->big);
    uint64_t off[64] = {0}, at = ehsize(e->word) + e->nph * phsize(e->word);
    uint32_t name[64] = {0};
    mk_str(&names, "");
    for (size_t i = 0; i < e->nsec; i++) {
        name[i] = (uint32_t)names.n;
        mk_str(&names, e->sec[i].name);
        off[i] = at = (at + 15) / 16 * 16;
        at += e->sec[i].type == 8 ? 0 : e->sec[i].size;
    }
    uint32_t shstr_name = (uint32_t)names.n;
    mk_str(&names, ".shstrtab");
    uint64_t shstr = at, shoff = (at + names.n + 15) / 16 * 16;
    unsigned shnum = e->nsec ? (unsigned)e->nsec + 2 : 0;
    ehdr(&m, &(struct ehdr){e->type, e->machine, (unsigned)e->nph, e->extended ? 0 : shnum,
                            !shnum ? 0 : e->extended ? 0xffff : shnum - 1, e->entry, e->nph ? ehsize(e->word) : 0,
                            shnum ? shoff : 0});
    for (size_t i = 0; i < e->nph; i++) {
        const struct mk_ph *p = &e->ph[i];
        phdr(&m, &(struct phdr){p->type, p->flags, p->section < 0 ? 0 : off[p->section], p->vaddr, p->vaddr, p->filesz,
                                p->memsz, p->align});
    }
    for (size_t i = 0; i < e->nsec; i++)
        if (e->sec[i].type != 8) {
            mk_zero(&m, off[i] - m.n);
            mk_bytes(&m, e->sec[i].bytes, e->sec[i].size);
        }
    if (shnum) {
        mk_zero(&m, shstr - m.n);
        mk_bytes(&m, names.p, names.n);
        mk_zero(&m, shoff - m.n);
        struct mk_sec none = {.size = e->extended ? shnum : 0, .link = e->extended ? shnum - 1 : 0};
        shdr(&m, 0, &none, 0);
        for (size_t i = 0; i < e->nsec; i++)
            shdr(&m, name[i], &e->sec[i], off[i]);
        shdr(&m, shstr_name, &(struct mk_sec){.type = 3, .size = names.n}, shstr);
    }
    mk_free(&names);
    return m;
}

/* ---- cores: core(5), the kernel's fs/binfmt_elf.c and include/uapi/linux/elfcore.h ---- */
static void prstatus(struct mk *m, const struct mk_core *c, const struct mk_thread *t)
{
    size_t mark;
    mk_note_begin(m, "CORE", 1, &mark);
    size_t start = m->n;
    mk_uint(m, (uint32_t)t->signal, 4); /* si_signo, si_code, si_errno */
    mk_uint(m, 0, 4);
    mk_uint(m, 0, 4);
    mk_uint(m, (uint16_t)t->signal, 2); /* pr_cursig */
    mk_zero(m, 2);
    mk_word(m, 0); /* pr_sigpend, pr_sighold */
    mk_word(m, 0);
    mk_uint(m, t->tid, 4);
    mk_uint(m, 1, 4);
    mk_uint(m, c->pid, 4);
    mk_uint(m, c->pid, 4);
    for (int i = 0; i < 8; i++) /* four times of two longs */
        mk_word(m, 7);
    for (unsigned i = 0; i < c->nslots; i++)
        mk_word(m, t->slot[i]);
    mk_uint(m, 1, 4); /* pr_fpvalid */
    while ((m->n - start) % m->word)
        mk_uint(m, 0, 1);
    mk_note_end(m, mark);
}

static void prpsinfo(struct mk *m, const struct mk_core *c)
{
    size_t mark;
    mk_note_begin(m, "CORE", 3, &mark);
    mk_bytes(m, "\0R\0\0", 4); /* state, name, zombie, nice */
    if (c->word == 8)
        mk_zero(m, 4);
    mk_word(m, 0x400600);
    unsigned id = c->narrow_ids ? 2 : 4;
    mk_uint(m, 1000, id);
    mk_uint(m, 1000, id);
    for (int i = 0; i < 4; i++)
        mk_uint(m, c->pid + (unsigned)i, 4); /* pid, ppid, pgrp, sid */
    mk_field(m, c->command, 16);
    mk_field(m, c->args, 80);
    mk_note_end(m, mark);
}

static void siginfo(struct mk *m, const struct mk_core *c)
{
    size_t mark;
    mk_note_begin(m, "CORE", 0x53494749, &mark);
    size_t start = m->n;
    mk_uint(m, (uint32_t)c->signo, 4);
    mk_uint(m, 0, 4);
    mk_uint(m, (uint32_t)c->code, 4);
    if (c->word == 8)
        mk_zero(m, 4);
    mk_word(m, c->fault);
    mk_zero(m, 128 - (m->n - start));
    mk_note_end(m, mark);
}

static void auxv(struct mk *m, const struct mk_core *c)
{
    size_t mark;
    mk_note_begin(m, "CORE", 6, &mark);
    for (size_t i = 0; i < c->nauxv; i++) {
        mk_word(m, c->auxv[i][0]);
        mk_word(m, c->auxv[i][1]);
    }
    mk_word(m, 0);
    mk_word(m, 0);
    mk_note_end(m, mark);
}

static void files(struct mk *m, const struct mk_core *c)
{
    size_t mark;
    mk_note_begin(m, "CORE", 0x46494c45, &mark);
    mk_word(m, c->nfiles);
    mk_word(m, c->page ? c->page : 4096);
    for (size_t i = 0; i < c->nfiles; i++) {
        mk_word(m, c->files[i].lo);
        mk_word(m, c->files[i].hi);
        mk_word(m, c->files[i].page_off);
    }
    for (size_t i = 0; i < c->nfiles; i++)
        mk_str(m, c->files[i].path);
    mk_note_end(m, mark);
}

static void tls(struct mk *m, const struct mk_core *c, const struct mk_thread *t)
{
    size_t mark;
    mk_note_begin(m, "LINUX", c->machine == 3 ? 0x200 : 0x401, &mark);
    if (c->machine == 3) { /* two empty descriptors around the one that gs selects */
        for (uint32_t i = 0; i < 3; i++) {
            mk_uint(m, 12 + i, 4);
            mk_uint(m, i == (uint32_t)(t->slot[10] >> 3) - 12 ? t->tls : 0, 4);
            mk_uint(m, 0xfffff, 4);
            mk_uint(m, 0x51, 4);
        }
    } else {
        mk_word(m, t->tls);
    }
    mk_note_end(m, mark);
}

static struct mk notes(const struct mk_core *c)
{
    struct mk m = mk_new(c->word, c->big);
    for (size_t i = 0; i < c->nthreads; i++) {
        prstatus(&m, c, &c->threads[i]);
        if (c->threads[i].tls)
            tls(&m, c, &c->threads[i]);
        if (i)
            continue;
        if (c->command)
            prpsinfo(&m, c);
        if (c->signo)
            siginfo(&m, c);
        if (c->nauxv)
            auxv(&m, c);
        if (c->nfiles)
            files(&m, c);
    }
    if (c->gcore)
        mk_note(&m, "GDB", 0xff000000, "<target/>", 10);
    return m;
}

struct mk mk_core(const struct mk_core *c)
{
    struct mk m = mk_new(c->word, c->big), n = notes(c);
    size_t align = c->gcore ? 1 : 64, nph = c->nloads + 1; /* 64 for a page: alignment without the size */
    uint64_t at = ehsize(c->word) + nph * phsize(c->word), note_at = at;
    if (!c->gcore)
        at += n.n;
    uint64_t load_at = at = (at + align - 1) / align * align;
    for (size_t i = 0; i < c->nloads; i++)
        at = (at + c->loads[i].filesz + align - 1) / align * align;
    if (c->gcore) {
        note_at = at;
        at += n.n;
    }
    ehdr(&m, &(struct ehdr){4, c->machine, c->xnum ? 0xffff : (unsigned)nph, c->xnum ? 1 : 0, 0, 0, ehsize(c->word),
                            c->xnum ? at : 0});
    phdr(&m, &(struct phdr){4, 0, note_at, 0, 0, n.n, 0, 4});
    for (size_t i = 0; i < c->nloads; i++) {
        const struct mk_load *l = &c->loads[i];
        phdr(&m, &(struct phdr){1, l->flags, load_at, c->physical ? 0 : l->addr, c->physical ? l->addr : 0, l->filesz,
                                l->memsz, align});
        load_at = (load_at + l->filesz + align - 1) / align * align;
    }
    if (!c->gcore)
        mk_bytes(&m, n.p, n.n);
    mk_align(&m, align);
    for (size_t i = 0; i < c->nloads; i++) {
        mk_bytes(&m, c->loads[i].bytes, c->loads[i].filesz);
        mk_align(&m, align);
    }
    if (c->gcore)
        mk_bytes(&m, n.p, n.n);
    if (c->xnum)
        shdr(&m, 0, &(struct mk_sec){.size = 1, .info = (uint32_t)nph}, 0);
    mk_free(&n);
    return m;
}
