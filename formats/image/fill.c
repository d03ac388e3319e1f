/* What the dump left out because a file has it. The kernel (coredump_filter) and gcore leave out file pages nobody wrote to. */
#include "formats/image/core.h"

/* Does the dump hold private memory at all? With an unusual coredump_filter it does not, and then pages of .data that are
 * absent may well have been written to. */
static bool private_dumped(const struct hr_image *img)
{
    for (size_t i = 0; i < img->threads.n; i++) {
        uint32_t s = hr_image_seg_above(img, img->threads.v[i].sp);
        if (s < img->segs.n && img->segs.v[s].bytes.n)
            return true;
    }
    return false;
}

static const struct hr_phdr *load_at(const struct hr_image *img, const struct hr_module *m, uint64_t addr)
{
    uint64_t page = img->page ? img->page : 4096, at = addr - m->bias;
    if (img->word == 4)
        at &= UINT32_MAX;
    for (uint32_t i = 0; i < m->elf->nph; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        uint64_t lo = p->vaddr & ~(page - 1);
        if (p->type == HR_PT_LOAD && p->filesz && at >= lo && at - lo < hr_sat_add(p->vaddr - lo, p->filesz))
            return p;
    }
    return NULL;
}

enum { PF_X = 1, PF_W = 2, PF_R = 4 };

/* The segment's absent tail from the file. Writable pages only where the loader mapped them (privately, by a program
 * header): of a shared mapping the file may have changed since. */
static enum hr_status fill(struct hr_image *img, struct hr_segment *s, const struct hr_module *m, bool writable_too)
{
    uint64_t have = s->bytes.n, off = s->file_off + have;
    const struct hr_phdr *p = load_at(img, m, s->addr);
    if (p && !have && img->by_gcore && !(s->flags & (HR_SEG_X | HR_SEG_W))) /* gcore has no segment for it: no flags */
        s->flags |= (p->flags & PF_X ? HR_SEG_X : 0) | (p->flags & PF_W ? HR_SEG_W : 0);
    if (have == s->msize || off >= m->elf->file.n || s->flags & (HR_SEG_CUT | HR_SEG_DEVICE))
        return HR_OK;
    bool loaded = p && s->file_off - p->off == s->addr - m->bias - p->vaddr;
    if ((s->flags & HR_SEG_W || (p && p->flags & PF_W)) && (!writable_too || !loaded || !(p->flags & PF_W)))
        return HR_OK;
    struct hr_segment tail = hr_segment_part(s, s->addr + have, s->addr + s->msize);
    tail.bytes = (struct hr_span){m->elf->file.p + off, (size_t)hr_min(tail.msize, m->elf->file.n - off)};
    tail.flags |= HR_SEG_FROM_FILE;
    if (!have) {
        *s = tail;
        return HR_OK;
    }
    s->msize = have;
    return hr_image_add(img, tail); /* moves the segments: s is stale from here */
}

enum hr_status hr_modules_fill(struct hr_image *img)
{
    bool writable_too = private_dumped(img);
    for (size_t i = 0, n = img->segs.n; i < n; i++) {
        struct hr_segment *s = &img->segs.v[i];
        if (s->module == HR_NONE)
            continue;
        const struct hr_module *m = &img->modules.v[s->module];
        if (m->file && (m->state == HR_MOD_OK || m->header_seen || m->by_user))
            HR_TRY(fill(img, s, m, writable_too));
    }
    return hr_image_arrange(img);
}
