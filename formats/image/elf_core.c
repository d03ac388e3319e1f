/* ELF cores of the kernel, of gdb's gcore, and of others (QEMU, drivers of microcontrollers). */
#include "formats/image/core.h"

#include <stdio.h>
#include <stdlib.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/limits.h"
#include "analyzer/base/mem.h"

static int probe(const struct hr_file *f)
{
    if (f->bytes.n < 20 || memcmp(f->bytes.p, "\177ELF", 4))
        return 0;
    return hr_load(f->bytes.p + 16, 2, f->bytes.p[5] == 2) == HR_ET_CORE ? 100 : 0;
}

/* QEMU's dump-guest-memory gives physical addresses only: every p_vaddr is 0. */
static bool physical(const struct hr_elf *e)
{
    uint32_t loads = 0;
    bool paddr = false;
    for (uint32_t i = 0; i < e->nph; i++)
        if (e->ph[i].type == HR_PT_LOAD) {
            if (e->ph[i].vaddr)
                return false;
            paddr |= e->ph[i].paddr != 0;
            loads++;
        }
    return loads > 1 && paddr;
}

/* It gives no rights either: nothing is readable, which is never true. */
static bool no_rights(const struct hr_elf *e)
{
    for (uint32_t i = 0; i < e->nph; i++)
        if (e->ph[i].type == HR_PT_LOAD && e->ph[i].flags & (HR_SEG_X | HR_SEG_W | HR_SEG_R))
            return false;
    return true;
}

static void arch_of(struct hr_image *img, const struct hr_elf *e)
{
    img->word = e->word;
    img->big = e->big;
    img->arch = hr_arch_by_elf(e->machine, e->word * 8u);
    if (!img->arch) {
        img->arch = hr_arch_unknown(e->word * 8u);
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.machine",
                "processor type %u is not known: memory is analysed, registers and stacks are not", e->machine);
    }
}

/* One PT_LOAD. What the file no longer has of it is cut: unknown, which is not the same as left out by design. */
static enum hr_status add_load(struct hr_image *img, const struct hr_elf *e, const struct hr_phdr *p, bool phys, bool all)
{
    uint64_t space = e->word == 4 ? 1ull << 32 : UINT64_MAX, addr = phys ? p->paddr : p->vaddr;
    uint64_t msize = hr_max(p->memsz, p->filesz);
    if (!msize || addr >= space)
        return HR_OK;
    msize = hr_min(msize, space - addr);
    struct hr_segment s = {.addr = addr, .msize = msize, .bytes = hr_elf_ph_bytes(e, p), .module = HR_NONE};
    s.flags = p->flags & (HR_SEG_X | HR_SEG_W | HR_SEG_R); /* the same bits as PF_X, PF_W, PF_R */
    if (all)
        s.flags |= HR_SEG_R | HR_SEG_W | HR_SEG_X;
    if (s.bytes.n < p->filesz) {
        s.flags |= HR_SEG_CUT;
        img->missing_bytes = hr_sat_add(img->missing_bytes, p->filesz - s.bytes.n);
    }
    s.bytes.n = (size_t)hr_min(s.bytes.n, msize);
    img->dumped_bytes = hr_sat_add(img->dumped_bytes, s.bytes.n);
    return hr_image_add(img, s);
}

static int by_extent(const void *a, const void *b)
{
    const struct hr_phdr *x = a, *y = b;
    bool xl = x->type == HR_PT_LOAD, yl = y->type == HR_PT_LOAD;
    if (xl != yl)
        return xl - yl;
    if (x->vaddr != y->vaddr)
        return x->vaddr < y->vaddr ? -1 : 1;
    return x->filesz > y->filesz ? -1 : x->filesz < y->filesz;
}

/* ESP-IDF saves TCBs and stacks for themselves, and once more inside the variables and heap blocks that hold them. The whole block
 * is what counts: one segment is one block of the heap there. */
static void drop_parts(struct hr_elf *e)
{
    uint64_t end = 0;
    qsort(e->ph, e->nph, sizeof *e->ph, by_extent);
    for (uint32_t i = 0; i < e->nph; i++) {
        struct hr_phdr *p = &e->ph[i];
        if (p->type != HR_PT_LOAD)
            continue;
        uint64_t hi = hr_sat_add(p->vaddr, p->filesz);
        if (hi <= end && hr_elf_ph_bytes(e, p).n == p->filesz)
            p->type = 0;
        end = hr_max(end, hi);
    }
}

/* The bytes that the headers promise and the file does not have, said once. */
static void say_cut(struct hr_image *img, uint64_t cut)
{
    if (!cut)
        return;
    char missing[24], have[24];
    img->complete = false;
    img->missing_bytes = hr_max(img->missing_bytes, cut);
    hr_note(img->notes, HR_NOTE_DAMAGE, "core.truncated",
            "the dump was cut short: %llu bytes (%s) are missing behind %s that are there; what lies in them is unknown",
            (unsigned long long)img->missing_bytes, hr_human(missing, sizeof missing, img->missing_bytes),
            hr_human(have, sizeof have, img->dumped_bytes));
}

static enum hr_status load_segments(struct hr_core *c, uint64_t cut)
{
    struct hr_image *img = c->img;
    bool phys = physical(c->elf), all = phys || no_rights(c->elf);
    if (hr_esp_elf(c->elf))
        drop_parts(c->elf);
    for (uint32_t i = 0; i < c->elf->nph; i++)
        if (c->elf->ph[i].type == HR_PT_LOAD)
            HR_TRY(add_load(img, c->elf, &c->elf->ph[i], phys, all));
    say_cut(img, cut);
    if (!img->segs.n)
        hr_note(img->notes, HR_NOTE_DAMAGE, "core.empty", "the dump describes no memory at all%s",
                cut ? ": it was cut before its first segment" : "");
    return HR_OK;
}

/* The kernel aligns every segment to a page and puts its notes first; gcore appends a note of its own and packs tightly. */
static bool by_debugger(const struct hr_core *c)
{
    const struct hr_phdr *note = hr_elf_ph(c->elf, HR_PT_NOTE), *load = hr_elf_ph(c->elf, HR_PT_LOAD);
    return c->gdb_note || (note && load && note->off > load->off);
}

static enum hr_status load_core(struct hr_core *c, uint64_t cut)
{
    arch_of(c->img, c->elf);
    HR_TRY(load_segments(c, cut));
    HR_TRY(hr_core_notes(c));
    c->img->by_gcore = by_debugger(c);
    HR_TRY(hr_image_arrange(c->img));
    hr_core_find_tp(c->img);
    HR_TRY(hr_core_args(c));
    HR_TRY(hr_core_label(c));
    return hr_modules_find(c->img);
}

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    (void)opt;
    return hr_elf_core_load(f->bytes, img);
}

enum hr_status hr_elf_core_load(struct hr_span bytes, struct hr_image *img)
{
    struct hr_core c = {.img = img, .files.max = HR_MAX_SEGMENTS};
    uint64_t cut = 0;
    img->format = "elf-core";
    enum hr_status st = hr_elf_create(bytes, &c.elf, &cut);
    if (st == HR_OK)
        st = load_core(&c, cut);
    hr_elf_destroy(c.elf);
    hr_mappedvec_deinit(&c.files);
    return st;
}

const struct hr_format hr_format_elf_core = {"elf-core", probe, load};
