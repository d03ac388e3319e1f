/* From a module to its types: cache or child, checked, merged into the session's table. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/base/esc.h"
#include "analyzer/types/cache.h"
#include "analyzer/types/child.h"
#include "analyzer/types/dwarf.h"
#include "analyzer/types/load.h"

enum { UNTRIED, TYPED, NOTHING };

const struct hr_elf *hr_dwarf_elf(const struct hr_module *m)
{
    if (m->debug && hr_elf_section(m->debug, ".debug_info"))
        return m->debug;
    return m->elf && hr_elf_section(m->elf, ".debug_info") ? m->elf : NULL;
}

/* ---- dwz's common file ---- */

/* Only below the system's debug directory, only by the part of the link after ".dwz/", only with the build-id it says. */
static bool alt_path(struct hr_span link, char *buf, size_t cap, struct hr_span *id_ret)
{
    const uint8_t *nul = memchr(link.p, 0, link.n);
    if (!nul)
        return false;
    const char *name = (const char *)link.p, *dwz = strstr(name, ".dwz/");
    *id_ret = (struct hr_span){nul + 1, link.n - (size_t)(nul + 1 - link.p)};
    if (!dwz || strstr(dwz, "..") || id_ret->n < 8 || id_ret->n > 32)
        return false;
    return (size_t)snprintf(buf, cap, "/usr/lib/debug/%s", dwz) < cap;
}

static struct hr_elf *open_elf(const char *path)
{
    struct stat sb;
    struct hr_elf *e = NULL;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    void *p = MAP_FAILED;
    if (!fstat(fd, &sb) && S_ISREG(sb.st_mode) && sb.st_size > 0)
        p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return NULL;
    if (hr_elf_create((struct hr_span){p, (size_t)sb.st_size}, &e, NULL) != HR_OK) {
        munmap(p, (size_t)sb.st_size);
        return NULL;
    }
    e->owned = p;
    e->owned_mapped = (size_t)sb.st_size;
    return e;
}

struct hr_elf *hr_dwarf_alt(const struct hr_elf *elf)
{
    const struct hr_section *s = hr_elf_section(elf, ".gnu_debugaltlink");
    char path[4096];
    struct hr_span id;
    if (!s || s->compressed || !alt_path(s->bytes, path, sizeof path, &id))
        return NULL;
    struct hr_elf *e = open_elf(path);
    if (e && (e->build_id_len != id.n || memcmp(e->build_id, id.p, id.n))) {
        hr_elf_destroy(e);
        return NULL;
    }
    return e;
}

/* ---- the child ---- */

struct job {
    const struct hr_elf *elf, *alt, *exec;
};

static enum hr_status tables(struct hr_dw *d, struct hr_child_out *out)
{
    struct hr_types t;
    struct hr_strs *strs;
    struct hr_notes notes;
    hr_notes_init(&notes);
    HR_TRY(hr_strs_create(&strs));
    enum hr_status st = hr_types_init(&t, strs, &notes);
    if (st == HR_OK)
        st = hr_types_merge(&t, &d->raw, 0, 0, NULL);
    if (st == HR_OK) {
        hr_types_sort_vars(&t);
        st = hr_blob_write(&t, d->flags, out);
    }
    hr_types_deinit(&t);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return st;
}

enum hr_status hr_dwarf_to_blob(const struct hr_elf *elf, const struct hr_elf *alt, const struct hr_elf *exec,
                                struct hr_child_out *out)
{
    struct hr_dw d;
    enum hr_status st = hr_dw_open(&d, elf, alt, exec, false);
    if (st == HR_OK)
        st = hr_dw_walk_all(&d);
    if (st == HR_OK)
        st = hr_dw_finish(&d);
    if (st == HR_OK)
        st = tables(&d, out);
    hr_dw_close(&d);
    return st;
}

static enum hr_status in_child(void *ctx, struct hr_child_out *out)
{
    const struct job *j = ctx;
    return hr_dwarf_to_blob(j->elf, j->alt, j->exec, out);
}

/* ---- the parent ---- */

static const char *module_name(const struct hr_types *t, const struct hr_module *m, char *buf, size_t cap)
{
    return hr_escz(buf, cap, hr_strs_get(t->strs, m->path));
}

static void say(struct hr_types *t, const struct hr_module *m, uint32_t flags)
{
    static const struct {
        uint32_t bit;
        const char *code, *text;
    } what[] = {
        {HR_BLOB_SPLIT, "dwarf.split", "has split debug information; the types in its .dwo files are not read"},
        {HR_BLOB_NO_ALT, "dwarf.alt", "refers to a shared (dwz) debug file that was not found; some types are unknown"},
        {HR_BLOB_DEEP, "dwarf.deep", "has debug information nested too deep; cut there"},
        {HR_BLOB_DAMAGED, "dwarf.damaged", "has damaged debug information; what could be read is used"},
        {HR_BLOB_BUDGET, "dwarf.budget", "has more debug information than the budget; cut there"},
    };
    char name[256];
    for (size_t i = 0; i < sizeof what / sizeof *what; i++)
        if (flags & what[i].bit)
            hr_note(t->notes, HR_NOTE_DEGRADED, what[i].code, "%s %s", module_name(t, m, name, sizeof name), what[i].text);
}

/* Checks a blob and adds it to the session's table. */
static enum hr_status accept(struct hr_types *t, uint32_t module, struct hr_span blob, uint32_t *flags_ret)
{
    const struct hr_module *m = &t->image->modules.v[module];
    struct hr_types part;
    HR_TRY(hr_types_init(&part, t->strs, t->notes));
    enum hr_status st = hr_blob_read(blob, &part, flags_ret);
    if (st == HR_OK)
        st = hr_types_merge(t, &part, module, m->bias, NULL);
    hr_types_deinit(&part);
    return st;
}

static enum hr_status from_cache(struct hr_types *t, uint32_t module, const struct hr_dwarf_options *opt, const char *name)
{
    struct hr_u8vec blob;
    uint32_t flags;
    HR_TRY(hr_cache_get(opt, name, &blob));
    enum hr_status st = accept(t, module, (struct hr_span){blob.v, blob.n}, &flags);
    hr_u8vec_deinit(&blob);
    if (st == HR_OK)
        say(t, &t->image->modules.v[module], flags);
    return st == HR_CORRUPT ? HR_ABSENT : st;
}

/* In proportion to the input, so that a small hostile one costs little. Measured: 30 MB of .debug_info a second, 3 bytes
 * of memory for each. */
struct hr_child_limits hr_dwarf_limits(const struct hr_elf *elf, const struct hr_elf *alt, const struct hr_dwarf_options *opt)
{
    static const char *const secs[] = {".debug_info", ".debug_types", ".debug_str", ".debug_line"};
    const struct hr_elf *file[2] = {elf, alt};
    uint64_t bytes = 0;
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; file[i] && k < sizeof secs / sizeof *secs; k++) {
            const struct hr_section *s = hr_elf_section(file[i], secs[k]);
            bytes += s ? s->bytes.n * (s->compressed ? 8u : 1u) : 0;
        }
    uint64_t memory = hr_min((256ull << 20) + hr_min(bytes, 1ull << 32) * 32, HR_CHILD_MEMORY);
    unsigned seconds = (unsigned)hr_min(5 + (bytes >> 20), HR_CHILD_SECONDS);
    return (struct hr_child_limits){opt && opt->max_memory ? opt->max_memory : memory,
                                    opt && opt->max_seconds ? opt->max_seconds : seconds, 0};
}

static enum hr_status from_child(struct hr_types *t, uint32_t module, const struct hr_dwarf_options *opt, struct job *job,
                                 const char *cache_name)
{
    const struct hr_module *m = &t->image->modules.v[module];
    struct hr_child_limits lim = hr_dwarf_limits(job->elf, job->alt, opt);
    struct hr_u8vec blob;
    char why[128] = "", name[256];
    uint32_t flags = 0;
    enum hr_status st = hr_child_run(in_child, job, &lim, &blob, why, sizeof why);
    if (st == HR_ABSENT)
        return st;
    if (st == HR_OK) {
        st = accept(t, module, (struct hr_span){blob.v, blob.n}, &flags);
        if (st == HR_OK && cache_name && !(flags & (HR_BLOB_NO_ALT | HR_BLOB_BUDGET)))
            hr_cache_put(opt, cache_name, (struct hr_span){blob.v, blob.n});
        hr_u8vec_deinit(&blob);
        if (st != HR_OK)
            snprintf(why, sizeof why, "gave a table that is not valid");
    }
    if (st == HR_OK) {
        say(t, m, flags);
        return st;
    }
    hr_note(t->notes, HR_NOTE_DEGRADED, "dwarf.failed", "no types for module %s: the reader of debug information %s",
            module_name(t, m, name, sizeof name), why);
    return HR_ABSENT;
}

static enum hr_status load(struct hr_types *t, uint32_t module, const struct hr_dwarf_options *opt)
{
    const struct hr_module *m = &t->image->modules.v[module];
    const struct hr_elf *elf = hr_dwarf_elf(m);
    if (!elf)
        return HR_ABSENT;
    struct hr_elf *alt = hr_dwarf_alt(elf);
    struct job job = {elf, alt, m->elf && m->elf->nph ? m->elf : elf};
    char name[128];
    bool cached = !(opt && opt->no_cache) && hr_cache_name(m, elf, alt, name, sizeof name);
    enum hr_status st = cached ? from_cache(t, module, opt, name) : HR_ABSENT;
    if (st == HR_ABSENT)
        st = from_child(t, module, opt, &job, cached ? name : NULL);
    hr_elf_destroy(alt);
    return st;
}

static enum hr_status load_once(struct hr_types *t, uint32_t module, const struct hr_dwarf_options *opt, bool *new_ret)
{
    if (!t->image || module >= t->image->modules.n)
        return HR_ABSENT;
    uint8_t *state = &t->module_typed[module];
    if (*state == UNTRIED) {
        *state = NOTHING;
        enum hr_status st = load(t, module, opt);
        if (st == HR_OK)
            *state = TYPED;
        else if (st != HR_ABSENT)
            return st;
        *new_ret = *new_ret || st == HR_OK;
    }
    return *state == TYPED ? HR_OK : HR_ABSENT;
}

enum hr_status hr_types_load_module(struct hr_types *t, uint32_t module, const struct hr_dwarf_options *opt)
{
    bool fresh = false;
    enum hr_status st = load_once(t, module, opt, &fresh);
    if (fresh)
        hr_types_sort_vars(t);
    return st;
}

enum hr_status hr_types_load_all(struct hr_types *t, const struct hr_dwarf_options *opt)
{
    bool fresh = false, any = false;
    for (size_t i = 0; t->image && i < t->image->modules.n; i++) {
        enum hr_status st = load_once(t, (uint32_t)i, opt, &fresh);
        if (st != HR_OK && st != HR_ABSENT)
            return st;
        any = any || st == HR_OK;
    }
    if (fresh)
        hr_types_sort_vars(t);
    return any ? HR_OK : HR_ABSENT;
}
