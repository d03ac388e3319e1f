/* Modules out of labelled segments: grouping, headers out of the image's own memory, the vdso. */
#include <stdio.h>

#include "analyzer/base/limits.h"
#include "formats/image/core.h"

/* Consecutive mappings of one file. */
struct group {
    size_t first, last; /* segments, last inclusive */
    bool x;             /* some part may be executed */
};

static bool elf_at(const struct hr_image *img, uint64_t addr)
{
    uint8_t magic[4];
    return hr_image_read(img, addr, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4);
}

/* All bytes that lie together in the image from addr on, as far as the segments follow each other in one file mapping. */
static struct hr_span together(const struct hr_image *img, uint64_t addr)
{
    return hr_image_peek(img, addr, UINT64_MAX);
}

/* Bias from the program header whose file range holds the mapping's offset. */
bool hr_elf_bias(const struct hr_elf *e, uint64_t addr, uint64_t file_off, uint64_t page, uint64_t *ret)
{
    uint64_t mask = ~((page ? page : 4096) - 1);
    for (uint32_t i = 0; i < e->nph; i++) {
        const struct hr_phdr *p = &e->ph[i];
        uint64_t lo = p->off & mask;
        if (p->type == HR_PT_LOAD && p->filesz && file_off >= lo && file_off - lo < (p->off - lo) + p->filesz) {
            *ret = addr - (p->vaddr - (p->off - lo) + (file_off - lo));
            return true;
        }
    }
    return false;
}

/* Build-id out of the image, for notes that do not lie in the header's own page run. */
static bool take_id(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    struct hr_module *m = ctx;
    if (type != 3 || name.n < 3 || memcmp(name.p, "GNU", 3) || !desc.n)
        return true;
    m->build_id_len = (uint8_t)hr_min(desc.n, sizeof m->build_id);
    memcpy(m->build_id, desc.p, m->build_id_len);
    return false;
}

static void build_id(const struct hr_image *img, struct hr_module *m)
{
    const struct hr_elf *e = m->elf;
    for (uint32_t i = 0; i < e->nph && !m->build_id_len; i++)
        if (e->ph[i].type == HR_PT_NOTE && e->ph[i].filesz < 65536) {
            struct hr_span s = hr_image_peek(img, m->bias + e->ph[i].vaddr, e->ph[i].filesz);
            hr_elf_notes(s, img->big, (unsigned)hr_min(e->ph[i].align, 16), take_id, m);
        }
}

void hr_module_set_layout(struct hr_module *m)
{
    const struct hr_elf *e = m->elf;
    uint64_t hi = 0;
    for (uint32_t i = 0; i < e->nph; i++) {
        const struct hr_phdr *p = &e->ph[i];
        uint64_t at = m->bias + p->vaddr;
        if (e->word == 4)
            at &= UINT32_MAX;
        switch (p->type) {
        case HR_PT_LOAD:
            if (at >= m->lo)
                hi = hr_max(hi, hr_sat_add(at, p->memsz));
            break;
        case HR_PT_TLS:
            m->tls_size = p->memsz;
            m->tls_align = p->align;
            m->tls_file_addr = p->vaddr;
            break;
        case HR_PT_DYNAMIC: m->dynamic = at; break;
        case HR_PT_GNU_EH_FRAME:
            m->eh_frame_hdr = at;
            m->eh_frame_hdr_size = p->memsz;
            break;
        }
    }
    hi = hi > UINT64_MAX - 4095 ? hi : (hi + 4095) & ~(uint64_t)4095;
    if (hi) /* what of the file is mapped elsewhere, as data, is none of the module's */
        m->hi = hr_max(hi, m->lo + 1);
}

/* Headers as the process had them. HR_ABSENT when they are not in the dump. */
static enum hr_status read_headers(struct hr_image *img, struct hr_module *m, uint64_t addr, uint64_t file_off)
{
    if (!elf_at(img, addr))
        return HR_ABSENT;
    HR_TRY(hr_elf_create(together(img, addr), &m->elf, NULL));
    if (m->elf->word != img->word || m->elf->big != img->big || !hr_elf_bias(m->elf, addr, file_off, img->page, &m->bias)) {
        hr_elf_destroy(m->elf);
        m->elf = NULL;
        return HR_ABSENT;
    }
    if (img->word == 4)
        m->bias &= UINT32_MAX;
    build_id(img, m);
    hr_module_set_layout(m);
    return HR_OK;
}

static bool looks_like_module(const struct hr_image *img, const struct hr_module *m, bool x)
{
    const char *path = hr_strs_get(img->strs, m->path), *base = strrchr(path, '/');
    const char *so = strstr(base ? base : path, ".so");
    if (!strncmp(path, "/memfd:", 7) || !strncmp(path, "/SYSV", 5) || path[0] != '/') /* code of a JIT compiler, shared memory */
        return false;
    return x || (so && (!so[3] || so[3] == '.')) || (img->auxv_entry >= m->lo && img->auxv_entry < m->hi);
}

/* Was the file mapped by a loader, or read as data? A loader puts the writable part (else the executable one) where its
 * program header says; a file mapped in one piece has something else there, or the wrong rights. */
static bool loaded(const struct hr_image *img, const struct hr_module *m)
{
    const struct hr_phdr *w = NULL, *x = NULL;
    for (uint32_t i = 0; i < m->elf->nph; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        if (p->type == HR_PT_LOAD && p->filesz && p->flags & 2)
            w = w ? w : p;
        else if (p->type == HR_PT_LOAD && p->filesz && p->flags & 1)
            x = x ? x : p;
    }
    const struct hr_phdr *p = w ? w : x;
    if (!p)
        return true;
    uint64_t mask = (img->page ? img->page : 4096) - 1, off = p->off & ~mask;
    uint64_t space = img->word == 4 ? UINT32_MAX : UINT64_MAX, at = (m->bias + p->vaddr) & ~mask & space;
    const struct hr_segment *s = hr_image_find(img, at, NULL);
    if (!s || s->name != m->path || s->file_off + (at - s->addr) != off)
        return false;
    s = x ? hr_image_find(img, (m->bias + x->vaddr) & space, NULL) : NULL;
    return !s || s->name != m->path || (img->by_gcore && !s->bytes.n) || s->flags & HR_SEG_X;
}

/* Segments of a module that were not told by NT_FILE get their file offset from the program headers; .bss has none, and a
 * segment that goes on behind the file's bytes is memory of more kinds than one. */
void hr_segment_claim(const struct hr_image *img, struct hr_segment *s, const struct hr_module *m)
{
    if (!s->name) {
        const struct hr_phdr *hit = NULL;
        uint64_t page = img->page ? img->page : 4096, at = s->addr - m->bias;
        for (uint32_t i = 0; m->elf && i < m->elf->nph && !hit; i++) {
            const struct hr_phdr *p = &m->elf->ph[i];
            uint64_t lo = p->vaddr & ~(page - 1);
            if (p->type == HR_PT_LOAD && p->filesz && at >= lo && at - lo < hr_sat_add(p->vaddr - lo, p->filesz))
                hit = p;
        }
        if (!hit || s->msize > ((hr_sat_add(hit->vaddr, hit->filesz) + page - 1) & ~(page - 1)) - at)
            return;
        s->file_off = hit->off + (at - hit->vaddr);
        s->name = m->path;
    }
    s->module = (uint32_t)img->modules.n;
}

enum hr_status hr_module_add(struct hr_image *img, struct hr_module m, uint64_t file_off, bool insist, uint32_t *nr_ret)
{
    enum hr_status st = read_headers(img, &m, m.lo, file_off);
    *nr_ret = HR_NONE;
    if (st != HR_OK && (st == HR_NOMEM || !insist))
        return st == HR_NOMEM ? st : HR_OK;
    size_t i = hr_image_seg_above(img, m.lo);
    bool listed = i < img->segs.n && img->segs.v[i].name; /* then NT_FILE tells all: what has no name is anonymous */
    if (m.elf && listed && !m.main_exe && m.state == HR_MOD_UNSEEN && !loaded(img, &m)) {
        hr_elf_destroy(m.elf);
        return HR_OK;
    }
    for (; i < img->segs.n && img->segs.v[i].addr < m.hi; i++)
        if (img->segs.v[i].name ? img->segs.v[i].name == m.path : !listed)
            hr_segment_claim(img, &img->segs.v[i], &m);
    *nr_ret = (uint32_t)img->modules.n;
    st = hr_modvec_push(&img->modules, m);
    if (st != HR_OK)
        hr_elf_destroy(m.elf);
    return st;
}

static enum hr_status add_group(struct hr_image *img, const struct group *g)
{
    const struct hr_segment *a = &img->segs.v[g->first], *b = &img->segs.v[g->last];
    struct hr_module m = {.path = a->name, .lo = a->addr, .hi = b->addr + b->msize, .bias = a->addr - a->file_off};
    uint32_t nr;
    if (a->flags & HR_SEG_DEVICE)
        return HR_OK;
    m.main_exe = img->auxv_phdr ? img->auxv_phdr >= m.lo && img->auxv_phdr < m.hi
                                : img->auxv_entry >= m.lo && img->auxv_entry < m.hi;
    /* with its first bytes in the dump it is ELF or a data file; without them only its looks are left */
    bool insist = !a->bytes.n && looks_like_module(img, &m, g->x);
    return hr_module_add(img, m, a->file_off, insist, &nr);
}

/* The kernel's own library: no file, but wholly in the dump. */
static enum hr_status add_vdso(struct hr_image *img)
{
    uint64_t at = img->auxv_sysinfo_ehdr;
    const struct hr_segment *s = at ? hr_image_find(img, at, NULL) : NULL;
    if (!s || hr_image_module_at(img, at) != HR_NONE)
        return HR_OK;
    struct hr_module m = {.lo = at, .hi = s->addr + s->msize, .state = HR_MOD_OK};
    HR_TRY(hr_strs_addz(img->strs, "[vdso]", &m.path));
    uint32_t nr;
    return hr_module_add(img, m, 0, false, &nr);
}

enum hr_status hr_modules_find(struct hr_image *img)
{
    struct group g = {0};
    bool open = false;
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        if (!s->name)
            continue;
        /* offset 0 anew is the file mapped once more, unless it is the rest of a piece */
        bool same = open && img->segs.v[g.first].name == s->name && s->file_off &&
                    s->file_off >= img->segs.v[g.first].file_off;
        if (open && !same)
            HR_TRY(add_group(img, &g));
        if (!same)
            g = (struct group){.first = i};
        open = true;
        g.last = i;
        g.x |= (s->flags & HR_SEG_X) != 0;
    }
    if (open)
        HR_TRY(add_group(img, &g));
    HR_TRY(hr_image_arrange(img));
    HR_TRY(add_vdso(img));
    HR_TRY(hr_image_arrange(img));
    return hr_modules_linked(img);
}
