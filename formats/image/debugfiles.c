/* Separate debug files: by build-id below the debug directories, then by .gnu_debuglink (gdb's manual, "Separate Debug
 * Files", tells the places). */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "formats/image/core.h"
#include "formats/image/file.h"

enum { PATH_CAP = 4096 };

/* One place to look at. `beneath`: the path is the dump's word and stays below the sysroot. */
struct place {
    char path[2 * PATH_CAP];
    const char *beneath;
};

static bool crc_fits(const struct hr_elf *f, uint32_t want)
{
    uLong crc = crc32(0, NULL, 0);
    for (size_t at = 0; at < f->file.n; at += 1u << 30)
        crc = crc32(crc, f->file.p + at, (uInt)hr_min(f->file.n - at, 1u << 30));
    return crc == want;
}

static bool fits(const struct hr_module *m, const struct hr_elf *f)
{
    if (f->word != m->elf->word || f->big != m->elf->big || f->machine != m->elf->machine)
        return false;
    if (m->build_id_len && f->build_id_len)
        return m->build_id_len == f->build_id_len && !memcmp(m->build_id, f->build_id, m->build_id_len);
    return m->elf->debuglink[0] && crc_fits(f, m->elf->debuglink_crc);
}

/* HR_OK: this is it; HR_ABSENT: go on looking. */
static enum hr_status try_place(struct hr_image *img, struct hr_module *m, const struct place *p)
{
    const char *why;
    struct hr_elf *f = NULL;
    enum hr_status st = hr_elf_map(p->beneath ? hr_fd_beneath(p->beneath, p->path, &why) : hr_fd_regular(p->path, &why), &f);
    if (st != HR_OK)
        return st == HR_NOMEM ? st : HR_ABSENT;
    bool useful = hr_elf_section(f, ".debug_info") || hr_elf_nsyms(f, false);
    st = useful && fits(m, f) ? HR_OK : HR_ABSENT;
    if (st == HR_OK)
        st = hr_strs_addf(img->strs, &m->debug_file, "%s%s%s", p->beneath ? p->beneath : "", p->beneath ? "/" : "", p->path);
    if (st == HR_OK)
        m->debug = f;
    else
        hr_elf_destroy(f);
    return st;
}

static enum hr_status by_id(struct hr_image *img, struct hr_module *m, const char *dir, const char *beneath)
{
    struct place p = {.beneath = beneath};
    if (m->build_id_len < 2)
        return HR_ABSENT;
    int n = snprintf(p.path, sizeof p.path, "%.4000s/.build-id/%02x/", dir, m->build_id[0]);
    for (unsigned i = 1; i < m->build_id_len; i++)
        n += snprintf(p.path + n, sizeof p.path - (size_t)n, "%02x", m->build_id[i]);
    snprintf(p.path + n, sizeof p.path - (size_t)n, ".debug");
    return try_place(img, m, &p);
}

static void dir_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(path, 2, ".");
}

/* dir/link, dir/.debug/link; a link is a plain file name, whatever a hostile file says. */
static enum hr_status beside(struct hr_image *img, struct hr_module *m, const char *dir, const char *name, const char *beneath)
{
    struct place p = {.beneath = beneath};
    snprintf(p.path, sizeof p.path, "%.4000s/%.255s", dir, name);
    enum hr_status st = try_place(img, m, &p);
    if (st != HR_ABSENT)
        return st;
    snprintf(p.path, sizeof p.path, "%.4000s/.debug/%.255s", dir, name);
    return try_place(img, m, &p);
}

/* A debug directory: the tree by build-id, the tree by path, and the file itself for people who copied one there. */
static enum hr_status in_dir(struct hr_image *img, struct hr_module *m, const char *dir, const char *beneath)
{
    enum hr_status st = by_id(img, m, dir, beneath);
    const char *link = m->elf->debuglink;
    if (st != HR_ABSENT || !link[0] || strchr(link, '/'))
        return st;
    char path[PATH_CAP], sub[2 * PATH_CAP];
    hr_module_path(img, m, path, sizeof path);
    dir_of(path);
    if (path[0] == '/' && !strstr(path, "/..")) { /* a path of the dump below a directory of the user's */
        snprintf(sub, sizeof sub, "%.4000s%.4000s", dir, path);
        st = beside(img, m, sub, link, beneath);
    }
    return st == HR_ABSENT ? beside(img, m, dir, link, beneath) : st;
}

static enum hr_status search(struct hr_image *img, struct hr_module *m, const struct hr_open_options *opt)
{
    enum hr_status st = HR_ABSENT;
    const char *link = m->elf->debuglink;
    for (size_t i = 0; i < opt->ndebug_dirs && st == HR_ABSENT; i++)
        st = in_dir(img, m, opt->debug_dirs[i], NULL);
    if (st == HR_ABSENT && opt->sysroot)
        st = in_dir(img, m, "/usr/lib/debug", opt->sysroot);
    char dir[PATH_CAP];
    bool linked = link[0] && !strchr(link, '/');
    if (st == HR_ABSENT && linked && opt->sysroot && !(m->main_exe && opt->exe)) {
        hr_module_path(img, m, dir, sizeof dir);
        dir_of(dir);
        st = beside(img, m, dir, link, opt->sysroot);
    } else if (st == HR_ABSENT && linked && m->file) {
        snprintf(dir, sizeof dir, "%s", hr_strs_get(img->strs, m->file));
        dir_of(dir);
        st = beside(img, m, dir, link, NULL);
    }
    if (st == HR_ABSENT && !opt->no_host_files)
        st = in_dir(img, m, "/usr/lib/debug", NULL);
    return st;
}

enum hr_status hr_modules_debug(struct hr_image *img, const struct hr_open_options *opt)
{
    for (size_t i = 0; i < img->modules.n; i++) {
        struct hr_module *m = &img->modules.v[i];
        if (!m->elf || m->debug || hr_elf_section(m->elf, ".debug_info"))
            continue;
        enum hr_status st = search(img, m, opt);
        if (st != HR_OK && st != HR_ABSENT)
            return st;
    }
    return HR_OK;
}
