/* The files behind modules: which may be opened, and are they the right ones. */
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/mem.h"
#include "formats/image/core.h"
#include "formats/image/file.h"

enum { PATH_CAP = 4096 };

enum hr_status hr_elf_map(int fd, struct hr_elf **ret)
{
    struct hr_span s;
    if (fd < 0)
        return HR_ABSENT;
    HR_TRY(hr_fd_map(fd, &s));
    enum hr_status st = hr_elf_create(s, ret, NULL);
    if (st != HR_OK) {
        hr_fd_unmap(s);
        return st;
    }
    (*ret)->owned = (void *)s.p;
    (*ret)->owned_mapped = s.n;
    return HR_OK;
}

void hr_module_path(const struct hr_image *img, const struct hr_module *m, char *buf, size_t cap)
{
    static const char deleted[] = " (deleted)";
    snprintf(buf, cap, "%s", hr_strs_get(img->strs, m->path));
    size_t n = strlen(buf), d = sizeof deleted - 1;
    if (n > d && !strcmp(buf + n - d, deleted))
        buf[n - d] = 0;
}

/* Without its first page a file can still be told by the cut of its mappings: every one has to begin at a program header's
 * page, be as long, and lie at the same bias. */
static bool same_layout(const struct hr_image *img, const struct hr_module *m, const struct hr_elf *f)
{
    uint64_t mask = (img->page ? img->page : 4096) - 1, bias = 0;
    bool any = false;
    for (uint32_t i = hr_image_seg_above(img, m->lo); i < img->segs.n && img->segs.v[i].addr < m->hi; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        if (!s->name || s->name != m->path)
            continue;
        uint32_t k = 0;
        for (; k < f->nph; k++) {
            const struct hr_phdr *p = &f->ph[k];
            uint64_t lo = p->off & ~mask, hi = (hr_sat_add(p->off, p->filesz) + mask) & ~mask;
            if (p->type != HR_PT_LOAD || s->file_off < lo || s->file_off - lo + s->msize > hi - lo)
                continue;
            uint64_t b = s->addr - (p->vaddr - (p->off - lo) + (s->file_off - lo));
            if (any && b != bias)
                continue;
            bias = b;
            break;
        }
        if (k == f->nph)
            return false;
        any = true;
    }
    return any;
}

/* Is this the file the process had mapped? By build-id; where the core knows none, by the header page. */
static enum hr_module_state judge(const struct hr_image *img, const struct hr_module *m, const struct hr_elf *f, bool named)
{
    if (f->word != img->word || f->big != img->big)
        return HR_MOD_MISMATCH;
    if (m->build_id_len || (m->elf && f->build_id_len))
        return m->build_id_len == f->build_id_len && !memcmp(m->build_id, f->build_id, m->build_id_len) ? HR_MOD_OK
                                                                                                        : HR_MOD_MISMATCH;
    if (!m->elf)
        return same_layout(img, m, f) || (named && !m->path) ? HR_MOD_UNPROVEN : HR_MOD_MISMATCH;
    size_t n = (size_t)hr_min(hr_min(m->elf->file.n, f->file.n), 4096);
    return memcmp(m->elf->file.p, f->file.p, n) ? HR_MOD_MISMATCH : HR_MOD_UNPROVEN;
}

static const char *hex(char *buf, const uint8_t *id, unsigned n)
{
    for (unsigned i = 0; i < n && i < 32; i++)
        sprintf(buf + 2 * i, "%02x", id[i]);
    buf[2 * n] = 0;
    return n ? buf : "none";
}

static void say_mismatch(struct hr_image *img, const struct hr_module *m, const struct hr_elf *f, const char *shown)
{
    char core[65], file[65], name[300];
    hr_escz(name, sizeof name, shown);
    if (f->word != img->word || f->big != img->big)
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.module_mismatch",
                "%s is for another kind of processor than the dump and is not used", name);
    else
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.module_mismatch",
                "%s is of another build (core %.12s, file %.12s) and is not used: give the right one with %s", name,
                m->build_id_len ? hex(core, m->build_id, m->build_id_len) : "without build-id",
                hex(file, f->build_id, f->build_id_len), m->main_exe ? "--exe or --sysroot" : "--sysroot");
}

static enum hr_status try_file(struct hr_image *img, struct hr_module *m, int fd, const char *shown, bool named, struct hr_elf **ret)
{
    struct hr_elf *f = NULL;
    enum hr_status st = hr_elf_map(fd, &f);
    if (st != HR_OK)
        return st == HR_NOMEM ? st : HR_ABSENT;
    m->state = judge(img, m, f, named);
    if (m->state == HR_MOD_MISMATCH)
        say_mismatch(img, m, f, shown);
    st = m->state == HR_MOD_MISMATCH ? HR_ABSENT : hr_strs_addz(img->strs, shown, &m->file);
    if (st != HR_OK)
        hr_elf_destroy(f);
    else
        *ret = f;
    return st;
}

/* --exe, then --sysroot, then the running system. A name that the dump tells is opened if it is a regular file, and used
 * only if it proves to be the one that was mapped. */
static enum hr_status find_file(struct hr_image *img, struct hr_module *m, const struct hr_open_options *opt, struct hr_elf **ret)
{
    char path[PATH_CAP], shown[2 * PATH_CAP];
    const char *why = "";
    hr_module_path(img, m, path, sizeof path);
    m->state = HR_MOD_MISSING;
    if (m->main_exe && opt->exe) {
        int fd = hr_fd_regular(opt->exe, &why);
        if (fd < 0)
            hr_note(img->notes, HR_NOTE_DEGRADED, "core.exe_unreadable", "the program given with --exe or --elf %s", why);
        return try_file(img, m, fd, opt->exe, true, ret);
    }
    if (path[0] != '/')
        return HR_ABSENT;
    if (opt->sysroot) {
        snprintf(shown, sizeof shown, "%s%s", opt->sysroot, path);
        return try_file(img, m, hr_fd_beneath(opt->sysroot, path, &why), shown, false, ret);
    }
    return opt->no_host_files ? HR_ABSENT : try_file(img, m, hr_fd_regular(path, &why), path, false, ret);
}

static enum hr_status open_module(struct hr_image *img, struct hr_module *m, const struct hr_open_options *opt)
{
    struct hr_elf *f = NULL;
    if (m->state != HR_MOD_UNSEEN)
        return HR_OK;
    enum hr_status st = find_file(img, m, opt, &f);
    if (st != HR_OK)
        return st == HR_ABSENT ? HR_OK : st;
    m->header_seen = m->elf != NULL;
    m->by_user = m->main_exe && opt->exe;
    uint32_t first = hr_image_seg_above(img, m->lo);
    if (!m->elf && first < img->segs.n && hr_elf_bias(f, m->lo, img->segs.v[first].file_off, img->page, &m->bias) && img->word == 4)
        m->bias &= UINT32_MAX;
    hr_elf_destroy(m->elf);
    m->elf = f;
    if (!m->build_id_len) {
        m->build_id_len = f->build_id_len;
        memcpy(m->build_id, f->build_id, sizeof m->build_id);
    }
    hr_module_set_layout(m);
    return HR_OK;
}

static void say_missing(struct hr_image *img, const struct hr_open_options *opt)
{
    size_t missing = 0, unproven = 0, total = 0;
    char first[300] = "", doubtful[300] = "", id[65], path[PATH_CAP];
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        hr_module_path(img, m, path, sizeof path);
        total += path[0] != '['; /* the vdso has no file */
        if (m->state == HR_MOD_UNPROVEN && !unproven++)
            hr_escz(doubtful, sizeof doubtful, path);
        if (m->state != HR_MOD_MISSING)
            continue;
        if (m->main_exe)
            hr_note(img->notes, HR_NOTE_DEGRADED, "core.exe_missing",
                    "the program %s (build-id %.16s) is not here: give it with --exe, or the root of its system with --sysroot",
                    hr_escz(first, sizeof first, path), hex(id, m->build_id, m->build_id_len));
    }
    for (size_t i = 0; i < img->modules.n; i++)
        if (img->modules.v[i].state == HR_MOD_MISSING && !img->modules.v[i].main_exe && !missing++) {
            hr_module_path(img, &img->modules.v[i], path, sizeof path);
            hr_escz(first, sizeof first, path);
        }
    if (missing)
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.modules_missing",
                "%zu of %zu mapped files are not here, the first %s: %s", missing, total, first,
                opt->sysroot ? "they are not below the root given with --sysroot"
                             : "give the root of the system that made the dump with --sysroot");
    if (unproven)
        hr_note(img->notes, HR_NOTE_INFO, "core.module_unproven",
                "%zu mapped files have no build-id to compare (the first %s): they are used because what can be compared fits",
                unproven, doubtful);
}

enum hr_status hr_modules_open(struct hr_image *img, const struct hr_open_options *opt)
{
    for (size_t i = 0; i < img->modules.n; i++)
        HR_TRY(open_module(img, &img->modules.v[i], opt));
    say_missing(img, opt);
    return hr_image_arrange(img);
}
