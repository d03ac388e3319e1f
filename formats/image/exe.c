/* --exe for images that name no program: dumps of microcontrollers, of QEMU, and cores without NT_FILE and header pages. */
#include <stdio.h>

#include "analyzer/base/esc.h"
#include "formats/image/core.h"
#include "formats/image/file.h"
#include "formats/image/sha256.h"

static bool has_main(const struct hr_image *img)
{
    for (size_t i = 0; i < img->modules.n; i++)
        if (img->modules.v[i].main_exe)
            return true;
    return false;
}

/* Raw memory says nothing of its processor; the program does. --arch has the last word. */
static void adopt(struct hr_image *img, const struct hr_open_options *opt, const struct hr_elf *e)
{
    const struct hr_arch *a = hr_arch_by_elf(e->machine, e->word * 8u);
    if (!strcmp(img->format, "elf-core") || opt->arch || img->threads.n || !a)
        return;
    img->arch = a;
    img->word = e->word;
    img->big = e->big;
}

static uint64_t bias_of(const struct hr_image *img, const struct hr_elf *e)
{
    const struct hr_phdr *p = hr_elf_ph(e, HR_PT_PHDR);
    uint64_t b = img->auxv_phdr && p ? img->auxv_phdr - p->vaddr : img->auxv_entry && e->entry ? img->auxv_entry - e->entry : 0;
    return img->word == 4 ? b & UINT32_MAX : b;
}

static bool take_id(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    struct hr_module *m = ctx;
    if (type != 3 || name.n < 3 || memcmp(name.p, "GNU", 3) || !desc.n)
        return true;
    m->build_id_len = (uint8_t)hr_min(desc.n, sizeof m->build_id);
    memcpy(m->build_id, desc.p, m->build_id_len);
    return false;
}

/* Without a build-id: the code itself, if the image holds any of it. A debugger's breakpoints may differ. */
static enum hr_module_state judge_code(const struct hr_image *img, const struct hr_module *m)
{
    enum { MIN_SAME = 64, BREAKPOINTS = 32 };
    uint64_t same, differ;
    hr_exe_compare(img, m, &same, &differ);
    if (differ > BREAKPOINTS && differ > same / 256)
        return HR_MOD_MISMATCH;
    return same >= MIN_SAME ? HR_MOD_OK : HR_MOD_UNPROVEN;
}

/* ESP-IDF's dumps name the program's file by its hash. */
static enum hr_module_state judge_sha(const struct hr_image *img, const struct hr_elf *e)
{
    const char *want = hr_strs_get(img->strs, img->program_sha);
    uint8_t sum[32];
    char hex[65];
    hr_sha256(e->file, sum);
    for (unsigned i = 0; i < 32; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", sum[i]);
    return strncasecmp(hex, want, strlen(want)) ? HR_MOD_MISMATCH : HR_MOD_OK;
}

/* The build-id where the program would have it in memory, if the image holds that. */
static enum hr_module_state judge(const struct hr_image *img, struct hr_module *m, const struct hr_elf *e)
{
    if (img->program_sha)
        return judge_sha(img, e);
    for (uint32_t i = 0; i < e->nph && !m->build_id_len; i++)
        if (e->ph[i].type == HR_PT_NOTE)
            hr_elf_notes(hr_image_peek(img, m->bias + e->ph[i].vaddr, hr_min(e->ph[i].filesz, 4096)), img->big,
                         (unsigned)hr_min(e->ph[i].align, 16), take_id, m);
    if (!m->build_id_len || !e->build_id_len)
        return judge_code(img, m);
    return m->build_id_len == e->build_id_len && !memcmp(m->build_id, e->build_id, e->build_id_len) ? HR_MOD_OK : HR_MOD_MISMATCH;
}

/* The parts of a read-only program header that no segment covers: the flash of a RAM dump. */
static enum hr_status add_missing(struct hr_image *img, const struct hr_module *m, const struct hr_phdr *p)
{
    struct hr_span bytes = hr_elf_ph_bytes(m->elf, p);
    uint64_t at = m->bias + p->vaddr, end = hr_sat_add(at, bytes.n);
    struct hr_segment whole = {.addr = at, .msize = end - at, .bytes = bytes, .module = (uint32_t)img->modules.n,
                               .name = m->path, .file_off = p->off, .flags = HR_SEG_R | HR_SEG_FROM_FILE};
    whole.flags |= p->flags & 1 ? HR_SEG_X : 0;
    size_t n = img->segs.n; /* what is added goes behind the sorted ones, which alone are looked at */
    for (uint32_t i = hr_image_seg_above(img, at); at < end; i++) {
        uint64_t next = i < n ? hr_min(img->segs.v[i].addr, end) : end;
        if (next > at)
            HR_TRY(hr_image_add(img, hr_segment_part(&whole, at, next)));
        at = i < n ? hr_max(at, img->segs.v[i].addr + img->segs.v[i].msize) : end;
    }
    return HR_OK;
}

static enum hr_status add_exe(struct hr_image *img, struct hr_module *m)
{
    enum { PF_W = 2, MAX_LOADS = 64 /* linker scripts make a dozen */ };
    uint64_t lo = UINT64_MAX;
    for (uint32_t i = 0; i < m->elf->nph; i++)
        if (m->elf->ph[i].type == HR_PT_LOAD && m->elf->ph[i].memsz)
            lo = hr_min(lo, m->bias + m->elf->ph[i].vaddr);
    m->lo = m->hi = lo == UINT64_MAX ? 0 : lo & ~((img->page ? img->page : 1) - 1);
    hr_module_set_layout(m);
    size_t n = img->segs.n;
    for (size_t i = hr_image_seg_above(img, m->lo); i < n && img->segs.v[i].addr < m->hi; i++)
        if (!img->segs.v[i].name)
            hr_segment_claim(img, &img->segs.v[i], m);
    for (uint32_t i = 0; i < m->elf->nph && i < MAX_LOADS; i++) {
        const struct hr_phdr *p = &m->elf->ph[i];
        if (p->type != HR_PT_LOAD || !p->filesz || (p->flags & PF_W && !hr_elf_ph_is_code(m->elf, p)))
            continue;
        HR_TRY(add_missing(img, m, p));
        HR_TRY(hr_image_arrange(img));
    }
    return hr_modvec_push(&img->modules, *m);
}

enum hr_status hr_modules_exe(struct hr_image *img, const struct hr_open_options *opt)
{
    const char *why = "is no ELF file";
    char name[300];
    if (!opt->exe || has_main(img))
        return HR_OK;
    struct hr_module m = {.main_exe = true, .by_user = true};
    enum hr_status st = hr_elf_map(hr_fd_regular(opt->exe, &why), &m.elf);
    hr_escz(name, sizeof name, opt->exe);
    if (st != HR_OK) {
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.exe_unreadable", "%s, given with --exe or --elf, %s", name, why);
        return st == HR_NOMEM ? st : HR_OK;
    }
    adopt(img, opt, m.elf);
    m.bias = bias_of(img, m.elf);
    m.state = m.elf->word != img->word || m.elf->big != img->big ? HR_MOD_MISMATCH : judge(img, &m, m.elf);
    if (m.state == HR_MOD_MISMATCH) {
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.module_mismatch", "%s is not the program of this image and is not used: give the right one with --exe", name);
        hr_elf_destroy(m.elf);
        return HR_OK;
    }
    st = hr_strs_addz(img->strs, opt->exe, &m.file);
    m.path = m.file;
    memcpy(m.build_id, m.elf->build_id, sizeof m.build_id);
    m.build_id_len = m.elf->build_id_len;
    if (st == HR_OK)
        st = add_exe(img, &m);
    if (st != HR_OK)
        hr_elf_destroy(m.elf);
    return st == HR_OK ? hr_image_arrange(img) : st;
}
