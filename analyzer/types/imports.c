#include "analyzer/types/imports.h"

#include <string.h>

#include "analyzer/image/elf.h"

enum {
    DT_NULL_, DT_PLTRELSZ_ = 2, DT_PLTGOT_ = 3, DT_STRTAB_ = 5, DT_SYMTAB_ = 6, DT_RELA_ = 7, DT_RELASZ_ = 8, DT_JMPREL_ = 23,
    MAX_DYNAMIC = 256, MAX_RELOCATIONS = 1 << 20, /* libpython has 20,000 */
    L_LD = 16, RELA_BYTES = 24, SYM_BYTES = 24, DTV_BYTES = 16, MAX_TLS_MODULES = 1 << 16,
};

static uint64_t dynamic(const struct hr_image *img, const struct hr_module *m, uint64_t tag)
{
    uint64_t at = m->dynamic, t, v;
    for (int i = 0; at && i < MAX_DYNAMIC; i++, at += 16) {
        if (!hr_image_word(img, at, &t) || !hr_image_word(img, at + 8, &v) || t == DT_NULL_)
            return 0;
        if (t == tag)
            return v;
    }
    return 0;
}

/* A pointer of the dynamic section; most machines' linkers relocate it in place. */
static uint64_t table(const struct hr_image *img, const struct hr_module *m, uint64_t tag)
{
    uint64_t v = dynamic(img, m, tag);
    return v && v < m->bias ? v + m->bias : v;
}

bool hr_import_lazy(const struct hr_image *img, uint64_t at, uint64_t pc)
{
    uint32_t from = hr_image_module_at(img, at), to = hr_image_module_at(img, pc);
    uint64_t got, resolver;
    if (from == HR_NONE || from == to)
        return false;
    got = table(img, &img->modules.v[from], DT_PLTGOT_);
    return got && hr_image_word(img, got + 16, &resolver) && resolver == pc;
}

/* The name that relocation `rel` asks for. */
static bool name_of(const struct hr_image *img, const struct hr_module *m, uint64_t rel, char *buf, size_t cap)
{
    uint64_t sym = table(img, m, DT_SYMTAB_), str = table(img, m, DT_STRTAB_), info, name;
    return sym && str && hr_image_word(img, rel + 8, &info) && info >> 32 && hr_image_uint(img, sym + (info >> 32) * SYM_BYTES, 4, &name) &&
           hr_image_cstr(img, str + name, buf, cap);
}

uint64_t hr_import_resolve(const struct hr_image *img, struct hr_types *types, uint64_t link_map, uint64_t number)
{
    uint64_t ld;
    char name[512];
    if (!types || !hr_image_word(img, link_map + L_LD, &ld) || number > MAX_RELOCATIONS)
        return 0;
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        if (!m->dynamic || m->dynamic != ld)
            continue;
        uint64_t rel = table(img, m, DT_JMPREL_);
        if (!rel || !name_of(img, m, rel + number * RELA_BYTES, name, sizeof name) || hr_types_load_symbols(types) != HR_OK)
            return 0;
        const struct hr_sym *s = hr_sym_find(types, name, HR_NONE);
        return s && s->kind == HR_SYM_FUNC ? s->addr : 0;
    }
    return 0;
}

static enum hr_import by_name(const char *name)
{
    static const struct { const char *name; enum hr_import is; } known[] = {
        {"strlen", HR_IMPORT_STRLEN}, {"strcmp", HR_IMPORT_STRCMP}, {"strncmp", HR_IMPORT_STRNCMP}, {"memcmp", HR_IMPORT_MEMCMP}, {"bcmp", HR_IMPORT_MEMCMP},
        {"memset", HR_IMPORT_MEMSET}, {"memcpy", HR_IMPORT_MEMCPY}, {"memmove", HR_IMPORT_MEMCPY}, {"__tls_get_addr", HR_IMPORT_TLS},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name))
            return known[i].is;
    return HR_IMPORT_OTHER;
}

enum hr_import hr_import_at(const struct hr_image *img, uint64_t slot)
{
    static const uint64_t tables[2][2] = {{DT_JMPREL_, DT_PLTRELSZ_}, {DT_RELA_, DT_RELASZ_}};
    uint32_t in = hr_image_module_at(img, slot);
    if (in == HR_NONE)
        return HR_IMPORT_OTHER;
    const struct hr_module *m = &img->modules.v[in];
    for (unsigned k = 0; k < 2; k++) {
        uint64_t rel = table(img, m, tables[k][0]), n = dynamic(img, m, tables[k][1]) / RELA_BYTES, at;
        for (uint64_t i = 0; rel && i < n && i < MAX_RELOCATIONS; i++) {
            char name[64];
            if (!hr_image_word(img, rel + i * RELA_BYTES, &at))
                break;
            if (at + m->bias == slot)
                return name_of(img, m, rel + i * RELA_BYTES, name, sizeof name) ? by_name(name) : HR_IMPORT_OTHER;
        }
    }
    return HR_IMPORT_OTHER;
}

/* Is `at` a better place than the one found before? A word that is not zero is; anything is better than nothing. */
static bool better(const struct hr_image *img, uint64_t at, uint64_t *found, bool *zero)
{
    uint64_t v;
    if (!hr_image_word(img, at, &v) || (*found && !v))
        return false;
    *found = at;
    *zero = !v;
    return v != 0;
}

uint64_t hr_import_tp(const struct hr_image *img, int64_t offset, bool *zero_ret)
{
    uint64_t found = 0;
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        if (t->tp_valid && better(img, t->tp + (uint64_t)offset, &found, zero_ret))
            break;
    }
    return found;
}

/* x86-64: the thread's record begins with a pointer to itself, then one to its table of modules' blocks. */
uint64_t hr_import_tls(const struct hr_image *img, uint64_t index, bool *zero_ret)
{
    uint64_t module, offset, dtv, block, found = 0;
    if (!hr_image_word(img, index, &module) || !hr_image_word(img, index + 8, &offset) || module > MAX_TLS_MODULES)
        return 0;
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        if (t->tp_valid && hr_image_word(img, t->tp + 8, &dtv) && hr_image_word(img, dtv + module * DTV_BYTES, &block) && block + 1 > 1 &&
            better(img, block + offset, &found, zero_ret))
            break;
    }
    return found;
}
