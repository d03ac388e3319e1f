/* Symbols of all modules, by address and by name. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"
#include "analyzer/types/table.h"

enum {
    EM_ARM_ = 40,
    STT_NOTYPE_ = 0, STT_OBJECT_ = 1, STT_FUNC_ = 2, STT_COMMON_ = 5, STT_TLS_ = 6, STT_IFUNC_ = 10,
    SHF_ALLOC_ = 2, SHF_EXEC_ = 4,
    SHN_UNDEF_ = 0, SHN_ABS_ = 0xfff1,
    BACK = 64,      /* symbols looked back for one that covers an address: nested ones are rare and few */
    SAME = 4096,    /* symbols of one name looked at */
};

/* GCC for ARM names zeroed local variables without a type when it does not optimise; what has a size and no code around it is data. */
static bool untyped_data(const struct hr_elf *e, const struct hr_elf_sym *s)
{
    return s->size && s->shndx < e->nsec && (e->sec[s->shndx].flags & (SHF_ALLOC_ | SHF_EXEC_)) == SHF_ALLOC_;
}

static bool kind_of(const struct hr_elf *e, const struct hr_elf_sym *s, uint8_t *ret)
{
    switch (s->info & 15) {
    case STT_OBJECT_:
    case STT_COMMON_: *ret = HR_SYM_DATA; return true;
    case STT_FUNC_:
    case STT_IFUNC_: *ret = HR_SYM_FUNC; return true;
    case STT_TLS_: *ret = HR_SYM_TLS; return true;
    case STT_NOTYPE_: *ret = untyped_data(e, s) ? HR_SYM_DATA : HR_SYM_OTHER; return true;
    default: return false; /* sections, files */
    }
}

static enum hr_status add_table(struct hr_types *t, const struct hr_elf *e, bool dyn, uint32_t module)
{
    const struct hr_module *m = &t->image->modules.v[module];
    uint32_t n = hr_elf_nsyms(e, dyn);
    for (uint32_t i = 1; i < n; i++) {
        struct hr_elf_sym s;
        struct hr_sym y = {.module = module};
        if (!hr_elf_sym(e, dyn, i, &s) || s.shndx == SHN_UNDEF_ || s.shndx == SHN_ABS_ || !*s.name || !kind_of(e, &s, &y.kind))
            continue;
        if (y.kind == HR_SYM_OTHER && *s.name == '$') /* ARM's mapping symbols */
            continue;
        y.addr = y.kind == HR_SYM_TLS ? s.value : s.value + m->bias;
        if (e->machine == EM_ARM_ && y.kind == HR_SYM_FUNC)
            y.addr &= ~1ull; /* the Thumb bit */
        if (e->word == 4)
            y.addr = (uint32_t)y.addr;
        y.size = s.size;
        y.name = s.name;
        y.global = s.info >> 4 != 0;
        HR_TRY(hr_symvec_push(&t->syms, y));
    }
    return HR_OK;
}

/* .symtab of the file or its debug file holds what .dynsym does. */
static enum hr_status add_module(struct hr_types *t, uint32_t module)
{
    const struct hr_module *m = &t->image->modules.v[module];
    if (m->elf && hr_elf_nsyms(m->elf, false))
        return add_table(t, m->elf, false, module);
    if (m->debug && hr_elf_nsyms(m->debug, false)) {
        HR_TRY(add_table(t, m->debug, false, module));
        /* A debug file may be made without data symbols; .dynsym then has the exported ones. Repeats do no harm. */
    }
    return m->elf ? add_table(t, m->elf, true, module) : HR_OK;
}

static int by_addr(const void *a, const void *b)
{
    const struct hr_sym *x = a, *y = b;
    bool xt = x->kind == HR_SYM_TLS, yt = y->kind == HR_SYM_TLS;
    if (xt != yt)
        return xt - yt;
    if (x->addr != y->addr)
        return x->addr < y->addr ? -1 : 1;
    /* The best name of an address last, where a search for the last one not above it ends */
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->global != y->global)
        return x->global - y->global;
    return strcmp(y->name, x->name);
}

/* Bytes of the name before what the compiler (.lto_priv.0) or the linker (@@GLIBC_2.2.5) added; 0: nothing added. */
static size_t stem(const char *name)
{
    static const char *const added[] = {".lto_priv", ".constprop", ".isra", ".part", ".cold", ".llvm."};
    const char *at = strchr(name, '@');
    if (at && at > name)
        return (size_t)(at - name);
    const char *dot = strchr(name, '.');
    for (size_t i = 0; dot && i < sizeof added / sizeof *added; i++)
        if (!strncmp(dot, added[i], strlen(added[i])) && strcmp(added[i], ".cold"))
            return (size_t)(dot - name);
    return 0;
}

enum { STEM = 0x57e3 };
static uint64_t name_key(const char *name, size_t n, uint64_t salt) { return hr_hash_bytes(name, n, salt); }

/* by name: newest symbol first, chained through sym_next (entry 2i exact, 2i+1 stem). */
static enum hr_status index_names(struct hr_types *t)
{
    struct hr_types_priv *p = t->priv;
    HR_TRY(hr_u32vec_reserve(&p->sym_next, t->syms.n * 2));
    for (size_t i = 0; i < t->syms.n; i++) {
        const char *name = t->syms.v[i].name;
        size_t n[2] = {strlen(name), stem(name)};
        for (unsigned k = 0; k < 2; k++) {
            uint32_t *slot, next = HR_NONE;
            bool was = false;
            if (n[k]) {
                HR_TRY(hr_map_slot(&p->sym_by_name, name_key(name, n[k], k ? STEM : 0), (uint32_t)i, &slot, &was));
                if (was) {
                    next = *slot;
                    *slot = (uint32_t)i;
                }
            }
            HR_TRY(hr_u32vec_push(&p->sym_next, next));
        }
    }
    return HR_OK;
}

enum hr_status hr_types_load_symbols(struct hr_types *t)
{
    struct hr_types_priv *p = t->priv;
    if (!p->syms_loaded) {
        p->syms_loaded = true;
        enum hr_status st = HR_OK;
        for (size_t i = 0; t->image && st == HR_OK && i < t->image->modules.n; i++)
            st = add_module(t, (uint32_t)i);
        if (st == HR_LIMIT)
            hr_note(t->notes, HR_NOTE_DEGRADED, "symbols.limit", "more than %zu symbols: the rest is not used", t->syms.max);
        else
            HR_TRY(st);
        if (t->syms.n)
            qsort(t->syms.v, t->syms.n, sizeof *t->syms.v, by_addr);
        HR_TRY(index_names(t));
    }
    return t->syms.n ? HR_OK : HR_ABSENT;
}

/* Number of symbols at or below addr, thread-locals not counted. */
static size_t upper(const struct hr_types *t, uint64_t addr)
{
    size_t lo = 0, hi = t->syms.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct hr_sym *s = &t->syms.v[mid];
        if (s->kind == HR_SYM_TLS || s->addr > addr)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

const struct hr_sym *hr_sym_at(struct hr_types *t, uint64_t addr, uint64_t *off_ret)
{
    if (hr_types_load_symbols(t) != HR_OK)
        return NULL;
    size_t end = upper(t, addr);
    const struct hr_sym *open = NULL; /* nearest without a size: reaches to the next symbol, within its module */
    for (size_t i = end, k = 0; i > 0 && k < BACK; i--, k++) {
        const struct hr_sym *s = &t->syms.v[i - 1];
        if (s->size ? addr - s->addr < s->size : s->addr == addr) {
            if (s->size || !open || open->addr != addr)
                open = s;
            if (s->size)
                break;
        } else if (!s->size && !open && i == end) {
            const struct hr_module *m = &t->image->modules.v[s->module];
            open = addr < m->hi ? s : NULL;
        }
    }
    if (open)
        *off_ret = addr - open->addr;
    return open;
}

static const struct hr_sym *find(struct hr_types *t, const char *name, size_t n, unsigned k, uint32_t module)
{
    const struct hr_types_priv *p = t->priv;
    const struct hr_sym *best = NULL;
    uint32_t i = hr_map_get(&p->sym_by_name, name_key(name, n, k ? STEM : 0));
    for (int seen = 0; i != HR_NONE && seen < SAME; i = p->sym_next.v[2 * (size_t)i + k], seen++) {
        const struct hr_sym *s = &t->syms.v[i];
        if (strncmp(s->name, name, n) || (k ? stem(s->name) != n : s->name[n] != 0))
            continue;
        if (module != HR_NONE && s->module != module)
            continue;
        if (!best || s->global > best->global || (s->global == best->global && s->module < best->module))
            best = s;
    }
    return best;
}

const struct hr_sym *hr_sym_find(struct hr_types *t, const char *name, uint32_t module)
{
    if (hr_types_load_symbols(t) != HR_OK)
        return NULL;
    size_t n = strlen(name);
    const struct hr_sym *s = find(t, name, n, 0, module);
    return s ? s : find(t, name, n, 1, module);
}
