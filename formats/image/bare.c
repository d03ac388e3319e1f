/* Bare machines: what of an image is flash, and does the given program fit what the image holds of it. */
#include "analyzer/base/esc.h"
#include "formats/image/core.h"

enum { PF_W = 2 };

/* Nobody's process: raw memory, or a core that lists no files and no auxiliary vector (QEMU's, a debug probe's). */
static bool is_bare(const struct hr_image *img)
{
    if (strcmp(img->format, "elf-core"))
        return true;
    if (img->auxv_phdr || img->auxv_entry || img->pid)
        return false;
    for (size_t i = 0; i < img->segs.n; i++)
        if (img->segs.v[i].name && img->segs.v[i].module == HR_NONE)
            return false;
    return true;
}

/* Splits segments so that [lo, hi) is a segment of its own there, and takes the right to write. */
static enum hr_status protect(struct hr_image *img, uint64_t lo, uint64_t hi)
{
    size_t n = img->segs.n;
    for (size_t i = 0; i < n; i++) {
        struct hr_segment s = img->segs.v[i];
        uint64_t a = hr_max(lo, s.addr), b = hr_min(hi, s.addr + s.msize);
        if (a >= b || !(s.flags & HR_SEG_W))
            continue;
        img->segs.v[i] = hr_segment_part(&s, a, b);
        img->segs.v[i].flags &= ~(uint32_t)HR_SEG_W;
        img->segs.v[i].flags |= HR_SEG_X; /* code or constants: no place where a program could have put a pointer */
        if (s.addr < a)
            HR_TRY(hr_image_add(img, hr_segment_part(&s, s.addr, a)));
        if (b < s.addr + s.msize)
            HR_TRY(hr_image_add(img, hr_segment_part(&s, b, s.addr + s.msize)));
    }
    return hr_image_arrange(img);
}

static const struct hr_module *main_module(const struct hr_image *img)
{
    for (size_t i = 0; i < img->modules.n; i++)
        if (img->modules.v[i].main_exe && img->modules.v[i].elf)
            return &img->modules.v[i];
    return NULL;
}

/* Does the program put data into [lo, hi)? Then it is memory, whatever the map says (tightly coupled memory at 0). */
static bool has_data(const struct hr_module *m, uint64_t lo, uint64_t hi)
{
    for (uint32_t i = 0; m && i < m->elf->nph; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        if (p->type == HR_PT_LOAD && p->flags & PF_W && !hr_elf_ph_is_code(m->elf, p) && p->memsz && p->vaddr < hi && hr_sat_add(p->vaddr, p->memsz) > lo)
            return true;
    }
    return false;
}

enum hr_status hr_flash_protect(struct hr_image *img)
{
    enum { CODE_END = 0x10000000 /* Cortex-M: code below; from here on some parts have core-coupled RAM */ };
    img->bare = is_bare(img);
    if (!img->bare)
        return HR_OK;
    const struct hr_module *m = main_module(img);
    for (uint32_t i = 0; m && i < m->elf->nph && i < 64; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        if (p->type == HR_PT_LOAD && (!(p->flags & PF_W) || hr_elf_ph_is_code(m->elf, p)) && p->memsz)
            HR_TRY(protect(img, m->bias + p->vaddr, hr_sat_add(m->bias + p->vaddr, p->memsz)));
    }
    if (strcmp(img->arch->name, "arm"))
        return HR_OK;
    bool memory = false; /* is there any left? A program needs some: boards whose RAM lies at 0 exist */
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        memory |= s->flags & HR_SEG_W && (s->addr + s->msize > CODE_END || has_data(m, s->addr, s->addr + s->msize));
    }
    for (size_t i = 0; i < img->segs.n; i++) {
        struct hr_segment *s = &img->segs.v[i];
        if (s->addr + s->msize <= CODE_END && !has_data(m, s->addr, s->addr + s->msize) && (memory || s->flags & HR_SEG_WITH)) {
            s->flags &= ~(uint32_t)HR_SEG_W;
            s->flags |= HR_SEG_X;
        }
    }
    return HR_OK;
}

/* Has the program variables, and the image none of the memory they lie in? Then it was given at another address. */
void hr_bare_check_place(struct hr_image *img)
{
    const struct hr_module *m = main_module(img);
    uint64_t lo = UINT64_MAX, hi = 0;
    char name[300];
    for (uint32_t i = 0; m && i < m->elf->nph && i < 64; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        if (p->type != HR_PT_LOAD || !(p->flags & PF_W) || hr_elf_ph_is_code(m->elf, p) || !p->memsz)
            continue;
        lo = hr_min(lo, m->bias + p->vaddr);
        hi = hr_max(hi, hr_sat_add(m->bias + p->vaddr, p->memsz));
    }
    if (!img->bare || lo >= hi)
        return;
    uint32_t k = hr_image_seg_above(img, lo);
    if (hr_image_find(img, lo, NULL) || (k < img->segs.n && img->segs.v[k].addr < hi))
        return;
    hr_note_at(img->notes, HR_NOTE_DEGRADED, "core.elsewhere", lo, "the variables of %s lie from 0x%llx to 0x%llx, where this image has nothing: give the "
               "address it was read from (FILE@0x%llx), or the missing memory with --with", hr_escz(name, sizeof name, hr_strs_get(img->strs, m->path)),
               (unsigned long long)lo, (unsigned long long)hi, (unsigned long long)(lo & ~0xfffull));
}

/* Bytes of read-only program headers that the image holds too, and how many of them differ. */
void hr_exe_compare(const struct hr_image *img, const struct hr_module *m, uint64_t *same_ret, uint64_t *differ_ret)
{
    *same_ret = *differ_ret = 0;
    for (uint32_t i = 0; i < m->elf->nph && i < 64; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        if (p->type != HR_PT_LOAD || (p->flags & PF_W && !hr_elf_ph_is_code(m->elf, p)))
            continue;
        struct hr_span f = hr_elf_ph_bytes(m->elf, p);
        for (uint64_t off = 0; off < f.n;) {
            uint64_t at = m->bias + p->vaddr + off;
            struct hr_span d = hr_image_peek(img, at, f.n - off);
            if (!d.n) {
                uint32_t k = hr_image_seg_above(img, at);
                if (k >= img->segs.n || img->segs.v[k].addr <= at)
                    break;
                off += img->segs.v[k].addr - at;
                continue;
            }
            for (size_t b = 0; b < d.n; b++)
                ++*(d.p[b] == f.p[off + b] ? same_ret : differ_ret);
            off += d.n;
        }
    }
}
