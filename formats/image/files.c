/* The files behind modules: which may be opened, are they the right ones, and what they tell that the dump left out. */
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/mem.h"
#include "formats/image/core.h"
#include "formats/image/file.h"

static char *hex(char *buf, const uint8_t *id, unsigned n)
{
    for (unsigned i = 0; i < n && i < 32; i++)
        sprintf(buf + 2 * i, "%02x", id[i]);
    buf[2 * n] = 0;
    return buf;
}

static enum hr_status map_elf(int fd, struct hr_elf **ret)
{
    struct hr_span s;
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

/* Is this the file the process had mapped? By build-id; where the core knows none, by the header page. */
static enum hr_module_state judge(const struct hr_image *img, const struct hr_module *m, const struct hr_elf *f)
{
    if (f->word != img->word || f->big != img->big)
        return HR_MOD_MISMATCH;
    if (m->build_id_len || (m->elf && f->build_id_len))
        return m->build_id_len == f->build_id_len && !memcmp(m->build_id, f->build_id, m->build_id_len) ? HR_MOD_OK
                                                                                                        : HR_MOD_MISMATCH;
    if (!m->elf)
        return HR_MOD_UNPROVEN;
    size_t n = (size_t)hr_min(hr_min(m->elf->file.n, f->file.n), 4096);
    return memcmp(m->elf->file.p, f->file.p, n) ? HR_MOD_MISMATCH : HR_MOD_UNPROVEN;
}

/* The path without what the kernel appends when the file was replaced since. */
static void plain_path(const struct hr_image *img, const struct hr_module *m, char *buf, size_t cap)
{
    static const char deleted[] = " (deleted)";
    snprintf(buf, cap, "%s", hr_strs_get(img->strs, m->path));
    size_t n = strlen(buf), d = sizeof deleted - 1;
    if (n > d && !strcmp(buf + n - d, deleted))
        buf[n - d] = 0;
}

static enum hr_status try_file(struct hr_image *img, struct hr_module *m, int fd, const char *shown, struct hr_elf **ret,
                               enum hr_module_state *state)
{
    struct hr_elf *f = NULL;
    if (fd < 0)
        return HR_ABSENT;
    enum hr_status st = map_elf(fd, &f);
    if (st != HR_OK)
        return st == HR_NOMEM ? st : HR_ABSENT;
    *state = judge(img, m, f);
    if (*state == HR_MOD_MISMATCH) {
        char core[65], file[65], name[300];
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.module_mismatch",
                "%s is of another build (core %.12s, file %.12s) and is not used: give the right one with --exe or --sysroot",
                hr_escz(name, sizeof name, shown), m->build_id_len ? hex(core, m->build_id, m->build_id_len) : "unknown",
                f->build_id_len ? hex(file, f->build_id, f->build_id_len) : "unknown");
        hr_elf_destroy(f);
        return HR_ABSENT;
    }
    st = hr_strs_addz(img->strs, shown, &m->file);
    if (st != HR_OK)
        hr_elf_destroy(f);
    else
        *ret = f;
    return st;
}

/* --exe, then --sysroot, then the running system. */
static enum hr_status find_file(struct hr_image *img, struct hr_module *m, const struct hr_open_options *opt,
                                struct hr_elf **ret, enum hr_module_state *state)
{
    char path[4096], shown[4200];
    const char *why;
    plain_path(img, m, path, sizeof path);
    if (m->main_exe && opt->exe)
        return try_file(img, m, hr_fd_regular(opt->exe, &why), opt->exe, ret, state);
    if (path[0] != '/')
        return HR_ABSENT;
    if (opt->sysroot) {
        snprintf(shown, sizeof shown, "%s%s", opt->sysroot, path);
        return try_file(img, m, hr_fd_beneath(opt->sysroot, path, &why), shown, ret, state);
    }
    /* A name out of the dump is opened on this system only when there is something to compare the file with. */
    if (opt->no_host_files || (!m->build_id_len && !m->elf))
        return HR_ABSENT;
    return try_file(img, m, hr_fd_regular(path, &why), path, ret, state);
}

static enum hr_status open_module(struct hr_image *img, struct hr_module *m, const struct hr_open_options *opt)
{
    struct hr_elf *f = NULL;
    if (m->state == HR_MOD_OK)
        return HR_OK;
    enum hr_module_state state = HR_MOD_MISSING;
    enum hr_status st = find_file(img, m, opt, &f, &state);
    m->state = state;
    if (st != HR_OK)
        return st == HR_ABSENT ? HR_OK : st;
    hr_elf_destroy(m->elf);
    m->elf = f;
    if (!m->build_id_len) {
        m->build_id_len = f->build_id_len;
        memcpy(m->build_id, f->build_id, sizeof m->build_id);
    }
    hr_module_set_layout(m);
    return HR_OK;
}

enum hr_status hr_modules_open(struct hr_image *img, const struct hr_open_options *opt)
{
    for (size_t i = 0; i < img->modules.n; i++)
        HR_TRY(open_module(img, &img->modules.v[i], opt));
    return hr_image_arrange(img);
}

/* The segment's absent tail from the file. */
static enum hr_status fill(struct hr_image *img, struct hr_segment *s, const struct hr_module *m)
{
    uint64_t have = s->bytes.n, off = s->file_off + have;
    if (have == s->msize || off >= m->elf->file.n || s->flags & HR_SEG_CUT)
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
    for (size_t i = 0, n = img->segs.n; i < n; i++) {
        struct hr_segment *s = &img->segs.v[i];
        if (s->module == HR_NONE)
            continue;
        const struct hr_module *m = &img->modules.v[s->module];
        if (m->file && m->elf && (m->state == HR_MOD_OK || m->state == HR_MOD_UNPROVEN))
            HR_TRY(fill(img, s, m));
    }
    return hr_image_arrange(img);
}
