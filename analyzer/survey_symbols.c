/* Variables and the source files they come from. A file is named by DWARF (the compile unit), else by the symbol
 * table, in which the local symbols of a file follow a symbol with its name; global symbols stand apart there, so without DWARF
 * one belongs to a file only when the locals on both sides of it in memory do: linkers place one file's variables together. */
#include "analyzer/survey.h"

#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"

enum { STT_OBJECT_ = 1, STT_FILE_ = 4, SHN_UNDEF_ = 0, SHN_ABS_ = 0xfff1 };

/* Address of a local variable -> its file, by the symbol table. */
static enum hr_status files_of(struct hr_survey *v, const struct hr_module *m, const struct hr_elf *e, struct hr_map *files)
{
    hr_str file = 0;
    uint32_t n = hr_elf_nsyms(e, false);
    for (uint32_t i = 1; i < n; i++) {
        struct hr_elf_sym s;
        if (!hr_elf_sym(e, false, i, &s))
            continue;
        if ((s.info & 15) == STT_FILE_)
            HR_TRY(hr_strs_addz(v->s->strs, s.name, &file));
        else if (s.info >> 4)
            break; /* globals: behind all locals, of no file */
        else if ((s.info & 15) == STT_OBJECT_ && file && s.shndx != SHN_UNDEF_ && s.shndx != SHN_ABS_)
            HR_TRY(hr_map_put(files, s.value + m->bias, file));
    }
    return HR_OK;
}

static const struct hr_var *var_at(const struct hr_types *t, uint64_t addr)
{
    size_t lo = 0, hi = t->vars.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->vars.v[mid].kind != HR_VAR_TLS && t->vars.v[mid].addr < addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    const struct hr_var *best = NULL;
    for (; lo < t->vars.n && t->vars.v[lo].kind != HR_VAR_TLS && t->vars.v[lo].addr == addr; lo++)
        if (!best || (!best->unit && t->vars.v[lo].unit))
            best = &t->vars.v[lo];
    return best;
}

static const struct hr_survey_region *region_at(const struct hr_survey *v, uint64_t addr)
{
    size_t lo = 0, hi = v->regions.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->regions.v[mid].addr + v->regions.v[mid].size <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->regions.n && v->regions.v[lo].addr <= addr ? &v->regions.v[lo] : NULL;
}

static enum hr_status add(struct hr_survey *v, uint64_t addr, uint64_t size, const char *name, hr_str file, uint64_t *end)
{
    const struct hr_survey_region *r = region_at(v, addr);
    if (!r || r->kind == HR_SV_CODE || r->kind == HR_SV_FILE) /* constants; flash */
        return HR_OK;
    struct hr_survey_symbol y = {.addr = addr, .size = size, .kind = r->kind, .file = file};
    const struct hr_var *var = var_at(v->s->types, addr);
    if (var) {
        y.type = var->type;
        y.file = var->unit ? var->unit : file ? file : var->decl_file;
    }
    uint64_t last = hr_sat_add(addr, size), from = hr_max(addr, *end);
    y.own = last > from ? last - from : 0;
    *end = hr_max(*end, last);
    HR_TRY(hr_strs_addz(v->s->strs, name, &y.name));
    return hr_survey_symbolvec_push(&v->symbols, y);
}

/* Symbols are sorted by address, the best name of an address last, the longest among those. */
static enum hr_status from_symbols(struct hr_survey *v, const struct hr_map *files)
{
    const struct hr_symvec *y = &v->s->types->syms;
    uint64_t end = 0;
    for (size_t i = 0; i < y->n; i++) {
        const struct hr_sym *s = &y->v[i], *next = i + 1 < y->n ? s + 1 : NULL;
        if (s->kind != HR_SYM_DATA || !s->size || (next && next->kind == HR_SYM_DATA && next->addr == s->addr && next->size))
            continue;
        uint32_t file = hr_map_get(files, s->addr);
        HR_TRY(add(v, s->addr, s->size, s->name, file == HR_NONE ? 0 : file, &end));
    }
    return HR_OK;
}

static enum hr_status from_dwarf(struct hr_survey *v)
{
    const struct hr_types *t = v->s->types;
    uint64_t end = 0;
    for (size_t i = 0; i < t->vars.n; i++) {
        const struct hr_var *var = &t->vars.v[i];
        uint64_t size = hr_type_get(t, hr_type_strip(t, var->type))->size;
        if (var->kind != HR_VAR_TLS && size && var->addr >= end)
            HR_TRY(add(v, var->addr, size, hr_strs_get(v->s->strs, var->name), 0, &end));
    }
    return HR_OK;
}

/* A global between two locals of one file is that file's. */
static void between(struct hr_survey *v)
{
    hr_str before = 0;
    size_t gap = 0;
    for (size_t i = 0; i < v->symbols.n; i++) {
        if (!v->symbols.v[i].file)
            continue;
        if (before && v->symbols.v[i].file == before)
            for (size_t k = gap; k < i; k++)
                v->symbols.v[k].file = before;
        before = v->symbols.v[i].file;
        gap = i + 1;
    }
}

/* ---- modules ---- */

static int by_bytes(const void *a, const void *b)
{
    const struct hr_survey_module *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->name < y->name ? -1 : x->name > y->name;
}

/* Its own bytes by the regions they lie in: an array may be a heap but for its first, unaligned bytes. */
static void count(const struct hr_survey *v, struct hr_survey_module *m, struct hr_survey_symbol *y)
{
    uint64_t at = y->addr + (y->size - y->own), end = y->addr + y->size, most = 0;
    m->symbols++;
    m->bytes += y->own;
    for (const struct hr_survey_region *r = region_at(v, at), *last = v->regions.v + v->regions.n; r && r < last && r->addr < end; r++) {
        uint64_t n = hr_min(end, r->addr + r->size) - hr_max(at, r->addr);
        *(r->kind == HR_SV_STATIC ? &m->stat : r->kind == HR_SV_HEAP ? &m->heap : r->kind == HR_SV_STACK ? &m->stack : &m->other) += n;
        if (n > most) {
            most = n;
            y->kind = r->kind;
        }
    }
}

static enum hr_status modules(struct hr_survey *v)
{
    struct hr_map rows;
    hr_map_init(&rows, HR_MAX_SYMBOLS);
    uint64_t named = 0;
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < v->symbols.n && st == HR_OK; i++) {
        struct hr_survey_symbol *y = &v->symbols.v[i];
        uint32_t *slot;
        bool was;
        if (y->file)
            st = hr_strs_addz(v->s->strs, hr_base_name(hr_strs_get(v->s->strs, y->file)), &y->module);
        if (st == HR_OK)
            st = hr_map_slot(&rows, y->module, (uint32_t)v->modules.n, &slot, &was);
        if (st == HR_OK && !was)
            st = hr_survey_modulevec_push(&v->modules, (struct hr_survey_module){.name = y->module});
        if (st != HR_OK)
            break;
        uint64_t before = v->modules.v[*slot].stat;
        count(v, &v->modules.v[*slot], y);
        named += v->modules.v[*slot].stat - before;
    }
    uint32_t *slot;
    bool was;
    if (st == HR_OK && v->kind_bytes[HR_SV_STATIC] > named) /* padding, and what has no symbol */
        st = hr_map_slot(&rows, 0, (uint32_t)v->modules.n, &slot, &was);
    if (st == HR_OK && v->kind_bytes[HR_SV_STATIC] > named) {
        if (!was)
            st = hr_survey_modulevec_push(&v->modules, (struct hr_survey_module){.name = 0});
        if (st == HR_OK) {
            v->modules.v[*slot].bytes += v->kind_bytes[HR_SV_STATIC] - named;
            v->modules.v[*slot].stat += v->kind_bytes[HR_SV_STATIC] - named;
        }
    }
    hr_map_deinit(&rows);
    if (v->modules.n > 1)
        qsort(v->modules.v, v->modules.n, sizeof *v->modules.v, by_bytes);
    return st;
}

enum hr_status hr_survey_symbols(struct hr_survey *v)
{
    const struct hr_image *img = &v->s->image;
    struct hr_map files;
    hr_map_init(&files, HR_MAX_SYMBOLS);
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < img->modules.n && st == HR_OK; i++) {
        const struct hr_module *m = &img->modules.v[i];
        const struct hr_elf *e = m->elf && hr_elf_nsyms(m->elf, false) ? m->elf : m->debug;
        if (e)
            st = files_of(v, m, e, &files);
    }
    if (st == HR_OK)
        st = hr_types_load_symbols(v->s->types) == HR_OK ? from_symbols(v, &files) : from_dwarf(v);
    hr_map_deinit(&files);
    HR_TRY(st);
    between(v);
    return modules(v);
}
