/* What the dynamic loader wrote down: r_debug and its list of link_map (<link.h>; System V ABI, "Dynamic Linking"). */
#include "analyzer/base/limits.h"
#include "analyzer/base/map.h"
#include "analyzer/base/mem.h"
#include "formats/image/core.h"

enum { DT_NULL = 0, DT_DEBUG = 21, MAX_DYN = 4096 };

/* A dynamic section's value for a tag, from the image. */
static bool dyn_value(const struct hr_image *img, uint64_t dyn, uint64_t tag, uint64_t *ret)
{
    for (unsigned i = 0; i < MAX_DYN; i++) {
        uint64_t t, v, at = dyn + 2ull * i * img->word;
        if (!hr_image_word(img, at, &t) || t == DT_NULL || !hr_image_word(img, at + img->word, &v))
            return false;
        if (t == tag) {
            *ret = v;
            return true;
        }
    }
    return false;
}

struct link {
    uint64_t at, addr, name, ld, next;
    bool known;
};
HR_VEC(linkvec, struct link)

static bool read_link(const struct hr_image *img, uint64_t at, struct link *l)
{
    unsigned w = img->word;
    *l = (struct link){.at = at};
    return at && hr_image_word(img, at, &l->addr) && hr_image_word(img, at + w, &l->name) &&
           hr_image_word(img, at + 2 * w, &l->ld) && hr_image_word(img, at + 3 * w, &l->next);
}

static uint32_t module_of(const struct hr_image *img, const struct link *l)
{
    uint32_t m = l->ld ? hr_image_module_at(img, l->ld) : HR_NONE;
    return m;
}

/* Where a library that NT_FILE does not tell begins: at its bias when it was linked to address 0, as all but the oldest are. */
static enum hr_status add_linked(struct hr_image *img, const struct link *l)
{
    char path[4096];
    struct hr_module m = {.bias = l->addr};
    const struct hr_segment *s = hr_image_find(img, l->addr, NULL);
    if (!s || !hr_image_cstr(img, l->name, path, sizeof path) || !path[0])
        return HR_OK;
    HR_TRY(hr_strs_addz(img->strs, path, &m.path));
    m.lo = l->addr;
    m.hi = s->addr + s->msize;
    uint32_t nr;
    return hr_module_add(img, m, 0, false, &nr);
}

/* glibc keeps, some way into its private half of link_map, the PT_TLS it used: l_tls_initimage, _initimage_size,
 * _blocksize, _align, then _firstbyte_offset, _offset and _modid (include/link.h, the same order since 2.3). The four known
 * words find the place in any version. */
static void tls_record(const struct hr_image *img, const struct link *l, struct hr_module *m, uint64_t filesz)
{
    enum { REACH = 0x600 };
    unsigned w = img->word;
    uint64_t want[4] = {m->bias + m->tls_file_addr, filesz, m->tls_size, m->tls_align};
    if (w == 4)
        want[0] &= UINT32_MAX;
    for (uint64_t at = l->at + 5 * w; at < l->at + REACH; at += w) {
        uint64_t v;
        unsigned k = 0;
        while (k < 4 && hr_image_word(img, at + k * w, &v) && v == want[k])
            k++;
        uint64_t off, modid;
        if (k < 4 || !hr_image_word(img, at + 5 * w, &off) || !hr_image_word(img, at + 6 * w, &modid))
            continue;
        if (!modid || modid > HR_MAX_MODULES)
            continue;
        m->tls_modid = (uint32_t)modid;
        int64_t o = w == 4 ? (int32_t)off : (int64_t)off;
        /* 0, -1 and -2 say "none" and "always dynamic" (sysdeps/generic/ldsodefs.h, NO_TLS_OFFSET) */
        if (o > 0) {
            m->tls_offset = img->arch->tcb_size < 0 ? o + img->arch->tcb_size : o; /* ppc counts from tp - 0x7000 */
            m->tls_offset_known = true;
        }
        return;
    }
}

static void linked_tls(const struct hr_image *img, const struct link *l, struct hr_module *m, uint32_t *order)
{
    const struct hr_phdr *p = m->tls_size && m->elf ? hr_elf_ph(m->elf, HR_PT_TLS) : NULL;
    if (!p)
        return;
    tls_record(img, l, m, p->filesz);
    ++*order;
    if (!m->tls_modid) /* not glibc: numbers are given in list order */
        m->tls_modid = *order;
}

static enum hr_status tell_link(struct hr_image *img, const struct link *l, bool first)
{
    uint32_t nr = module_of(img, l);
    if (nr == HR_NONE)
        return HR_OK;
    struct hr_module *m = &img->modules.v[nr];
    char name[4096];
    if (!m->path && hr_image_cstr(img, l->name, name, sizeof name) && name[0])
        HR_TRY(hr_strs_addz(img->strs, name, &m->path));
    if (first) { /* of the base namespace: the program, even when it was started as an argument of the loader */
        for (size_t i = 0; i < img->modules.n; i++)
            img->modules.v[i].main_exe = i == nr;
    }
    return HR_OK;
}

/* Every link of every namespace (r_version 2 has r_next), each once: a list in a circle ends where it closes. */
static enum hr_status collect(const struct hr_image *img, uint64_t r_debug, struct linkvec *out)
{
    struct hr_map seen;
    hr_map_init(&seen, 2 * HR_MAX_MODULES);
    enum hr_status st = HR_OK;
    while (r_debug && st == HR_OK && hr_map_get(&seen, r_debug) == HR_NONE) {
        uint64_t version, at, next = 0;
        st = hr_map_put(&seen, r_debug, 1);
        if (!hr_image_uint(img, r_debug, 4, &version) || !hr_image_word(img, r_debug + img->word, &at))
            break;
        struct link l;
        while (st == HR_OK && read_link(img, at, &l) && hr_map_get(&seen, at) == HR_NONE) {
            st = hr_map_put(&seen, at, 1);
            if (st == HR_OK)
                st = linkvec_push(out, l);
            at = l.next;
        }
        if (version >= 2 && version < 100 && !hr_image_word(img, r_debug + 5ull * img->word, &next))
            next = 0;
        r_debug = next;
    }
    hr_map_deinit(&seen);
    return st == HR_LIMIT ? HR_OK : st; /* more than there can be: what was read so far will do */
}

/* The main program's DT_DEBUG; any other module's when that is not set (a loader started by hand has it in its argument). */
static uint64_t find_r_debug(const struct hr_image *img)
{
    uint64_t found = 0, v;
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        if (m->dynamic && dyn_value(img, m->dynamic, DT_DEBUG, &v) && v && (m->main_exe || !found))
            found = v;
    }
    return found;
}

/* Without NT_FILE the program is found by the headers that the kernel told it about. */
static enum hr_status add_main(struct hr_image *img)
{
    uint64_t at = img->auxv_phdr & ~((img->page ? img->page : 4096) - 1);
    const struct hr_segment *s = at ? hr_image_find(img, at, NULL) : NULL;
    if (!s || hr_image_module_at(img, at) != HR_NONE)
        return HR_OK;
    struct hr_module m = {.lo = at, .hi = s->addr + s->msize, .main_exe = true, .path = img->command};
    uint32_t nr;
    return hr_module_add(img, m, 0, false, &nr);
}

static enum hr_status tell(struct hr_image *img, const struct linkvec *links)
{
    size_t n = img->modules.n;
    for (size_t i = 1; i < links->n; i++) /* the first is the program; the others are looked up before any is added */
        links->v[i].known = module_of(img, &links->v[i]) != HR_NONE;
    for (size_t i = 1; i < links->n; i++)
        if (!links->v[i].known)
            HR_TRY(add_linked(img, &links->v[i]));
    if (img->modules.n != n)
        HR_TRY(hr_image_arrange(img));
    for (size_t i = 0; i < links->n; i++)
        HR_TRY(tell_link(img, &links->v[i], i == 0));
    return HR_OK;
}

enum hr_status hr_modules_linked(struct hr_image *img)
{
    HR_TRY(add_main(img));
    HR_TRY(hr_image_arrange(img));
    struct linkvec links = {.max = HR_MAX_MODULES};
    enum hr_status st = collect(img, find_r_debug(img), &links);
    if (st == HR_OK)
        st = tell(img, &links);
    linkvec_deinit(&links);
    return st;
}

/* The program's own block has the place the linker gave it: next to tp, aligned as PT_TLS asks (Drepper, "ELF Handling For
 * Thread-Local Storage", variants I and II). */
static void main_tls(const struct hr_image *img, struct hr_module *m)
{
    uint64_t a = m->tls_align ? m->tls_align : 1, size = m->tls_size, mask = a - 1;
    if (!m->main_exe || !size || m->tls_offset_known || a & mask || a > 1 << 20 || size > 1ull << 40)
        return;
    if (!m->tls_modid)
        m->tls_modid = 1;
    if (img->arch->tls_variant == 2)
        m->tls_offset = (int64_t)((size + mask) & ~mask);
    else if (img->arch->tcb_size >= 0)
        m->tls_offset = (int64_t)(((uint64_t)img->arch->tcb_size + mask) & ~mask);
    else
        m->tls_offset = img->arch->tcb_size;
    m->tls_offset_known = img->arch->tls_variant != 0;
}

enum hr_status hr_modules_tls(struct hr_image *img)
{
    struct linkvec links = {.max = HR_MAX_MODULES};
    enum hr_status st = collect(img, find_r_debug(img), &links);
    uint32_t order = 0;
    for (size_t i = 0; i < links.n && st == HR_OK; i++) {
        uint32_t nr = module_of(img, &links.v[i]);
        if (nr != HR_NONE)
            linked_tls(img, &links.v[i], &img->modules.v[nr], &order);
    }
    linkvec_deinit(&links);
    for (size_t i = 0; i < img->modules.n; i++)
        main_tls(img, &img->modules.v[i]);
    return st;
}
