#include "analyzer/image/elf.h"

#include "analyzer/base/limits.h"
#include "analyzer/base/mem.h"

/* Sizes of the records of the ELF specification (gABI chapter 4 and 5), 32- and 64-bit. */
enum { EHDR32 = 52, EHDR64 = 64, PHDR32 = 32, PHDR64 = 56, SHDR32 = 40, SHDR64 = 64, SYM32 = 16, SYM64 = 24 };
enum { PN_XNUM = 0xffff, SHN_XINDEX = 0xffff, SHF_COMPRESSED = 0x800, NT_GNU_BUILD_ID = 3 };

struct tables { /* where the header says the tables are */
    uint64_t phoff, shoff;
    uint32_t phnum, phent, shnum, shent, shstrndx;
};

static struct hr_span part(struct hr_span f, uint64_t off, uint64_t n)
{
    if (off >= f.n)
        return (struct hr_span){0};
    return (struct hr_span){f.p + off, (size_t)hr_min(n, f.n - off)};
}

static enum hr_status read_header(struct hr_elf *e, struct tables *t)
{
    struct hr_span f = e->file;
    if (f.n < 16 || memcmp(f.p, "\177ELF", 4))
        return HR_ABSENT;
    if (f.p[4] < 1 || f.p[4] > 2 || f.p[5] < 1 || f.p[5] > 2)
        return HR_CORRUPT;
    e->word = f.p[4] == 2 ? 8 : 4;
    e->big = f.p[5] == 2;
    struct hr_cursor c = hr_cursor(f, e->big, e->word);
    hr_cur_seek(&c, 16);
    e->type = hr_cur_u16(&c);
    e->machine = hr_cur_u16(&c);
    hr_cur_u32(&c); /* e_version */
    e->entry = hr_cur_addr(&c);
    t->phoff = hr_cur_addr(&c);
    t->shoff = hr_cur_addr(&c);
    e->flags = hr_cur_u32(&c);
    hr_cur_u16(&c); /* e_ehsize */
    t->phent = hr_cur_u16(&c);
    t->phnum = hr_cur_u16(&c);
    t->shent = hr_cur_u16(&c);
    t->shnum = hr_cur_u16(&c);
    t->shstrndx = hr_cur_u16(&c);
    return c.bad ? HR_CORRUPT : HR_OK;
}

struct shdr {
    uint64_t flags, addr, off, size;
    uint32_t name, type, link, info;
};

static bool read_shdr(const struct hr_elf *e, uint64_t off, struct shdr *ret)
{
    struct hr_cursor c = hr_cursor(part(e->file, off, SHDR64), e->big, e->word);
    ret->name = hr_cur_u32(&c);
    ret->type = hr_cur_u32(&c);
    ret->flags = hr_cur_addr(&c);
    ret->addr = hr_cur_addr(&c);
    ret->off = hr_cur_addr(&c);
    ret->size = hr_cur_addr(&c);
    ret->link = hr_cur_u32(&c);
    ret->info = hr_cur_u32(&c);
    return !c.bad;
}

/* Counts too large for the header's 16 bits stand in section header 0 (gABI, "extended numbering"). */
static void extend(const struct hr_elf *e, struct tables *t)
{
    struct shdr s0;
    if (!t->shoff || !read_shdr(e, t->shoff, &s0))
        return;
    if (t->phnum == PN_XNUM)
        t->phnum = s0.info;
    if (t->shnum == 0)
        t->shnum = (uint32_t)hr_min(s0.size, UINT32_MAX);
    if (t->shstrndx == SHN_XINDEX)
        t->shstrndx = s0.link;
}

/* Entries of a table that are wholly in the file. */
static uint32_t entries_there(const struct hr_elf *e, uint64_t off, uint32_t n, uint32_t each)
{
    if (off >= e->file.n || !each)
        return 0;
    return (uint32_t)hr_min(n, (e->file.n - off) / each);
}

static void read_phdr(const struct hr_elf *e, uint64_t off, struct hr_phdr *p)
{
    struct hr_cursor c = hr_cursor(part(e->file, off, PHDR64), e->big, e->word);
    p->type = hr_cur_u32(&c);
    if (e->word == 8)
        p->flags = hr_cur_u32(&c);
    p->off = hr_cur_addr(&c);
    p->vaddr = hr_cur_addr(&c);
    p->paddr = hr_cur_addr(&c);
    p->filesz = hr_cur_addr(&c);
    p->memsz = hr_cur_addr(&c);
    if (e->word == 4)
        p->flags = hr_cur_u32(&c);
    p->align = hr_cur_addr(&c);
}

static enum hr_status read_phdrs(struct hr_elf *e, const struct tables *t)
{
    if (t->phent < (e->word == 8 ? PHDR64 : PHDR32))
        return HR_OK;
    uint32_t n = entries_there(e, t->phoff, t->phnum, t->phent);
    if (n > HR_MAX_SEGMENTS)
        n = HR_MAX_SEGMENTS;
    e->ph = hr_zalloc(n, sizeof *e->ph);
    if (!e->ph)
        return HR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        read_phdr(e, t->phoff + (uint64_t)i * t->phent, &e->ph[i]);
    e->nph = n;
    return HR_OK;
}

/* A name in a string table: "" unless it lies inside and ends there. */
static const char *name_in(struct hr_span tab, uint64_t off)
{
    if (off >= tab.n || !memchr(tab.p + off, 0, tab.n - off))
        return "";
    return (const char *)tab.p + off;
}

static void set_section(const struct hr_elf *e, const struct shdr *h, struct hr_section *s)
{
    s->addr = h->addr;
    s->size = h->size;
    s->type = h->type;
    s->flags = (uint32_t)h->flags;
    s->link = h->link;
    s->info = h->info;
    s->bytes = h->type == HR_SHT_NOBITS || !h->type ? (struct hr_span){0} : part(e->file, h->off, h->size);
    s->compressed = h->flags & SHF_COMPRESSED;
    s->name = "";
}

static enum hr_status read_sections(struct hr_elf *e, const struct tables *t, uint64_t *end)
{
    if (!t->shoff || t->shent < (e->word == 8 ? SHDR64 : SHDR32))
        return HR_OK;
    uint32_t n = entries_there(e, t->shoff, t->shnum, t->shent);
    if (n > HR_MAX_SECTIONS)
        n = HR_MAX_SECTIONS;
    e->sec = hr_zalloc(n, sizeof *e->sec);
    uint32_t *names = hr_zalloc(n, sizeof *names);
    if (!e->sec || !names) {
        hr_free(names);
        return HR_NOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct shdr h;
        if (!read_shdr(e, t->shoff + (uint64_t)i * t->shent, &h))
            break;
        set_section(e, &h, &e->sec[i]);
        names[i] = h.name;
        if (h.type != HR_SHT_NOBITS && h.type)
            *end = hr_max(*end, hr_sat_add(h.off, h.size));
        e->nsec = i + 1;
    }
    struct hr_span strs = t->shstrndx < e->nsec ? e->sec[t->shstrndx].bytes : (struct hr_span){0};
    for (uint32_t i = 0; i < e->nsec; i++) {
        struct hr_section *s = &e->sec[i];
        s->name = name_in(strs, names[i]);
        if (!strncmp(s->name, ".zdebug_", 8))
            s->compressed = true;
        int which = s->type == HR_SHT_SYMTAB ? 0 : s->type == HR_SHT_DYNSYM ? 1 : -1;
        if (which >= 0 && e->symtab[which] == HR_NONE)
            e->symtab[which] = i;
    }
    hr_free(names);
    return HR_OK;
}

/* Where the first section of the segment that may be written begins, if code lies in front of it; 0 otherwise. */
static uint64_t end_of_code(const struct hr_elf *e, const struct hr_phdr *p)
{
    enum { WRITE = 1, ALLOC = 2, EXECINSTR = 4 };
    uint64_t data = UINT64_MAX, code = UINT64_MAX;
    for (uint32_t i = 0; i < e->nsec; i++) {
        const struct hr_section *c = &e->sec[i];
        if (!(c->flags & ALLOC) || !c->size || c->addr - p->vaddr >= p->memsz)
            continue;
        if (c->flags & WRITE)
            data = hr_min(data, c->addr);
        else if (c->flags & EXECINSTR)
            code = hr_min(code, c->addr);
    }
    return data != UINT64_MAX && code < data && data - p->vaddr <= p->filesz ? data : 0;
}

/* Programs for bare metal that lie in one piece of RAM come as one segment of code, constants and variables: its sections tell which
 * is which, as two segments would. Nothing that runs under an operating system is touched. */
static enum hr_status split_mixed(struct hr_elf *e)
{
    enum { X = 1, W = 2, PT_INTERP = 3, MAX_SPLIT = 16 };
    if (e->type != HR_ET_EXEC || hr_elf_ph(e, PT_INTERP) || hr_elf_ph(e, HR_PT_DYNAMIC) || !e->nph)
        return HR_OK;
    struct hr_phdr *ph = hr_alloc(((size_t)e->nph + MAX_SPLIT) * sizeof *ph);
    if (!ph)
        return HR_NOMEM;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->nph; i++) {
        struct hr_phdr p = e->ph[i];
        uint64_t at = p.type == HR_PT_LOAD && p.flags & W && p.flags & X ? end_of_code(e, &p) : 0, by = at - p.vaddr;
        if (at && by && n < i + MAX_SPLIT) {
            ph[n] = p;
            ph[n].flags &= ~(uint32_t)W;
            ph[n].filesz = ph[n].memsz = by;
            n++;
            p.flags &= ~(uint32_t)X;
            p.off += by, p.vaddr += by, p.paddr += by, p.filesz -= by, p.memsz -= by;
        }
        ph[n++] = p;
    }
    hr_free(e->ph);
    e->ph = ph;
    e->nph = n;
    return HR_OK;
}

static bool take_build_id(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    struct hr_elf *e = ctx;
    if (type != NT_GNU_BUILD_ID || name.n < 3 || memcmp(name.p, "GNU", 3) || !desc.n)
        return true;
    e->build_id_len = (uint8_t)hr_min(desc.n, sizeof e->build_id);
    memcpy(e->build_id, desc.p, e->build_id_len);
    return false;
}

/* Sections first: the program headers of a separate debug file point at what the stripped file had. */
static void find_identity(struct hr_elf *e)
{
    for (uint32_t i = 0; i < e->nsec && !e->build_id_len; i++)
        if (e->sec[i].type == HR_SHT_NOTE)
            hr_elf_notes(e->sec[i].bytes, e->big, 4, take_build_id, e);
    for (uint32_t i = 0; i < e->nph && !e->build_id_len && e->type != HR_ET_CORE; i++)
        if (e->ph[i].type == HR_PT_NOTE)
            hr_elf_notes(hr_elf_ph_bytes(e, &e->ph[i]), e->big, (unsigned)hr_min(e->ph[i].align, 8), take_build_id, e);
    const struct hr_section *l = hr_elf_section(e, ".gnu_debuglink");
    struct hr_cursor c = hr_cursor(l ? l->bytes : (struct hr_span){0}, e->big, e->word);
    struct hr_span z = hr_cur_cstr(&c);
    hr_cur_seek(&c, (z.n + 4) & ~(uint64_t)3); /* name, padding to 4, crc */
    uint32_t crc = hr_cur_u32(&c);
    if (!c.bad && z.n && z.n < sizeof e->debuglink) {
        memcpy(e->debuglink, z.p, z.n);
        e->debuglink_crc = crc;
    }
}

enum hr_status hr_elf_create(struct hr_span file, struct hr_elf **ret, uint64_t *cut_ret)
{
    struct hr_elf *e = hr_zalloc(1, sizeof *e);
    if (!e)
        return HR_NOMEM;
    *e = (struct hr_elf){.file = file, .symtab = {HR_NONE, HR_NONE}};
    struct tables t = {0};
    uint64_t end = 0;
    enum hr_status st = read_header(e, &t);
    if (st == HR_OK) {
        extend(e, &t);
        st = read_phdrs(e, &t);
    }
    if (st == HR_OK)
        st = read_sections(e, &t, &end);
    if (st == HR_OK)
        st = split_mixed(e);
    if (st != HR_OK) {
        hr_elf_destroy(e);
        return st;
    }
    for (uint32_t i = 0; i < e->nph; i++)
        end = hr_max(end, hr_sat_add(e->ph[i].off, e->ph[i].filesz));
    if (t.phnum && t.phent)
        end = hr_max(end, hr_sat_add(t.phoff, (uint64_t)t.phnum * t.phent));
    if (t.shoff)
        end = hr_max(end, hr_sat_add(t.shoff, (uint64_t)t.shnum * t.shent));
    find_identity(e);
    if (cut_ret)
        *cut_ret = end > file.n ? end - file.n : 0;
    *ret = e;
    return HR_OK;
}

struct hr_span hr_elf_ph_bytes(const struct hr_elf *e, const struct hr_phdr *ph) { return part(e->file, ph->off, ph->filesz); }

const struct hr_phdr *hr_elf_ph(const struct hr_elf *e, uint32_t type)
{
    for (uint32_t i = 0; i < e->nph; i++)
        if (e->ph[i].type == type)
            return &e->ph[i];
    return NULL;
}

const struct hr_section *hr_elf_section(const struct hr_elf *e, const char *name)
{
    for (uint32_t i = 0; i < e->nsec; i++)
        if (!strcmp(e->sec[i].name, name))
            return &e->sec[i];
    if (strncmp(name, ".debug_", 7))
        return NULL;
    for (uint32_t i = 0; i < e->nsec; i++)
        if (!strncmp(e->sec[i].name, ".zdebug_", 8) && !strcmp(e->sec[i].name + 8, name + 7))
            return &e->sec[i];
    return NULL;
}

static unsigned sym_size(const struct hr_elf *e) { return e->word == 8 ? SYM64 : SYM32; }

uint32_t hr_elf_nsyms(const struct hr_elf *e, bool dyn)
{
    uint32_t i = e->symtab[dyn];
    return i == HR_NONE ? 0 : (uint32_t)hr_min(e->sec[i].bytes.n / sym_size(e), HR_MAX_SYMBOLS);
}

bool hr_elf_sym(const struct hr_elf *e, bool dyn, uint32_t i, struct hr_elf_sym *ret)
{
    if (i >= hr_elf_nsyms(e, dyn))
        return false;
    const struct hr_section *s = &e->sec[e->symtab[dyn]];
    struct hr_cursor c = hr_cursor(part(s->bytes, (uint64_t)i * sym_size(e), sym_size(e)), e->big, e->word);
    uint32_t name = hr_cur_u32(&c);
    if (e->word == 4) {
        ret->value = hr_cur_u32(&c);
        ret->size = hr_cur_u32(&c);
    }
    ret->info = hr_cur_u8(&c);
    ret->other = hr_cur_u8(&c);
    ret->shndx = hr_cur_u16(&c);
    if (e->word == 8) {
        ret->value = hr_cur_u64(&c);
        ret->size = hr_cur_u64(&c);
    }
    ret->name = name_in(s->link < e->nsec ? e->sec[s->link].bytes : (struct hr_span){0}, name);
    return !c.bad;
}

void hr_elf_notes(struct hr_span notes, bool big, unsigned align, hr_elf_note_fn *fn, void *ctx)
{
    /* The specification says 8 for 64-bit files, everybody writes 4; 8 is meant only where the header says so. */
    uint64_t mask = align == 8 ? 7 : 3;
    struct hr_cursor c = hr_cursor(notes, big, 4);
    while (hr_cur_left(&c) >= 12) {
        uint64_t namesz = hr_cur_u32(&c), descsz = hr_cur_u32(&c);
        uint32_t type = hr_cur_u32(&c);
        struct hr_span name = hr_cur_bytes(&c, namesz);
        hr_cur_seek(&c, hr_min((hr_cur_off(&c) + mask) & ~mask, notes.n));
        /* a note cut by the end of the file still gives what is there: half an NT_FILE names half the files */
        struct hr_span desc = hr_cur_bytes(&c, hr_min(descsz, hr_cur_left(&c)));
        hr_cur_seek(&c, hr_min((hr_cur_off(&c) + mask) & ~mask, notes.n));
        if (c.bad || !fn(ctx, name, type, desc))
            return;
    }
}

void hr_elf_destroy(struct hr_elf *e)
{
    if (!e)
        return;
    hr_free(e->ph);
    hr_free(e->sec);
    hr_elf_release(e);
    hr_free(e);
}

bool hr_elf_ph_is_code(const struct hr_elf *e, const struct hr_phdr *ph)
{
    enum { PF_X_ = 1, SHF_ALLOC_ = 2, SHF_EXECINSTR_ = 4 };
    bool code = false;
    if (ph->type != HR_PT_LOAD || !(ph->flags & PF_X_) || ph->paddr != ph->vaddr || ph->filesz != ph->memsz)
        return false;
    for (uint32_t i = 0; i < e->nsec; i++) {
        const struct hr_section *c = &e->sec[i];
        if (!(c->flags & SHF_ALLOC_) || c->addr - ph->vaddr >= ph->memsz)
            continue;
        if (!strncmp(c->name, ".data", 5) || !strncmp(c->name, ".bss", 4) || c->type == HR_SHT_NOBITS)
            return false;
        code |= (c->flags & SHF_EXECINSTR_) != 0;
    }
    return code;
}
