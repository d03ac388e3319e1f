/* Thread-local storage. Layout: the ELF TLS ABI (variant 1: blocks above the thread pointer, variant 2: below) and glibc's
 * dynamic thread vector: dtv[0] is the generation, dtv[-1] the number of slots, dtv[id] = {block, to_free}; a block of
 * all-ones is not allocated yet. Blocks of dlopen'ed modules and the vector itself come from malloc, and the only pointer to
 * them is the thread's own: so they are given roots here. */
#include "analyzer/runtimes/native.h"

#include <string.h>

enum {
    DT_NULL_ = 0,
    DT_DEBUG_ = 21,
    MAX_LINK_MAPS = HR_MAX_MODULES,
    MAX_DTV = HR_MAX_MODULES, /* one slot per module with TLS */
    STATIC_TLS = 1 << 20,     /* a block farther than this from tp is none of the static ones */
    TCB_SHOWN = 0x900,        /* bytes of the thread descriptor that are called TLS in reports; x86-64 glibc: 2304 */
};

static uint64_t dynamic_value(const struct hr_image *img, uint64_t dynamic, uint64_t tag)
{
    uint64_t w = img->word, k, v;
    for (uint64_t i = 0; i < 256; i++) { /* dynamic sections have about 35 entries */
        if (!hr_image_word(img, dynamic + 2 * w * i, &k) || k == DT_NULL_ ||
            !hr_image_word(img, dynamic + 2 * w * i + w, &v))
            return 0;
        if (k == tag)
            return v;
    }
    return 0;
}

/* TLS module numbers are given in link-map order, starting with 1, to modules that have a TLS segment (after a dlclose a hole
 * may be reused: then sizes do not fit and variables are left untyped, see block_fits). */
static enum hr_status number_modules(struct hr_native *n)
{
    const struct hr_image *img = n->img;
    uint64_t w = img->word, map = 0, dyn;
    uint32_t next = 1;
    for (size_t i = 0; i < img->modules.n && !map; i++)
        if (img->modules.v[i].dynamic && img->modules.v[i].main_exe)
            map = dynamic_value(img, img->modules.v[i].dynamic, DT_DEBUG_);
    if (!map || !hr_image_word(img, map + w, &map)) /* r_debug: int version (padded), r_map */
        map = 0;
    n->nmodid = (uint32_t)img->modules.n + 2;
    n->modid_module = hr_alloc(n->nmodid * sizeof *n->modid_module);
    if (!n->modid_module)
        return HR_NOMEM;
    memset(n->modid_module, 0xff, n->nmodid * sizeof *n->modid_module);
    for (unsigned k = 0; map && k < MAX_LINK_MAPS; k++) {
        /* link_map: l_addr, l_name, l_ld, l_next, l_prev */
        if (hr_image_word(img, map + 2 * w, &dyn))
            for (size_t i = 0; dyn && i < img->modules.n; i++)
                if (img->modules.v[i].dynamic == dyn && img->modules.v[i].tls_size && next < n->nmodid)
                    n->modid_module[next++] = (uint32_t)i;
        if (!hr_image_word(img, map + 3 * w, &map))
            break;
    }
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        if (m->tls_modid && m->tls_modid < n->nmodid)
            n->modid_module[m->tls_modid] = (uint32_t)i;
        else if (next == 1 && m->main_exe && m->tls_size)
            n->modid_module[1] = (uint32_t)i;
    }
    return HR_OK;
}

/* dtv of a thread: x86 keeps it in the second word at tp; variant 1 in the first word of the head below or at tp. */
static uint64_t find_dtv(const struct hr_native *n, const struct hr_thread *t, uint64_t *nslots)
{
    const struct hr_image *img = n->img;
    uint64_t w = img->word, at, dtv;
    if (img->arch->tls_variant == 2)
        at = t->tp + w;
    else if (img->arch->tcb_size)
        at = t->tp;
    else
        at = t->tp - 2 * w; /* riscv: the head lies below tp */
    if (!hr_image_word(img, at, &dtv) || dtv & (w - 1) || !hr_image_word(img, dtv - 2 * w, nslots))
        return 0;
    return *nslots && *nslots <= MAX_DTV ? dtv : 0;
}

static bool block_fits(const struct hr_native *n, const struct hr_thread *t, uint32_t id, uint64_t block)
{
    if (id >= n->nmodid || n->modid_module[id] == HR_NONE)
        return false;
    const struct hr_module *m = &n->img->modules.v[n->modid_module[id]];
    uint64_t align = m->tls_align ? m->tls_align : 1, into;
    if (align & (align - 1))
        return false;
    hr_id b = hr_heap_at(n->heap, block, &into);
    if (b != HR_NONE)
        return hr_block_size(n->heap, b) - into >= m->tls_size;
    if (n->img->arch->tls_variant == 2 && block < t->tp && t->tp - block > (64 << 20))
        return false;
    return hr_image_peek(n->img, block, 1).n > 0;
}

/* A strong reference to the heap block around `addr`. */
static enum hr_status handle(struct hr_native *n, uint32_t thread, uint64_t addr, const char *what)
{
    uint64_t into;
    if (hr_heap_at(n->heap, addr, &into) == HR_NONE)
        return HR_OK;
    struct hr_root r = {.addr = addr - into, .module = HR_NONE, .thread = thread, .frame = HR_NONE, .kind = HR_ROOT_TLS,
                        .reg = 0xff};
    HR_TRY(hr_strs_addz(n->heap->strs, what, &r.name));
    return hr_native_add_root(n, &r);
}

static enum hr_status block_vars(struct hr_native *n, uint32_t thread, uint32_t module, uint64_t block,
                                 struct hr_itemvec *vars)
{
    for (size_t i = n->types->vars.n; i-- > 0 && n->types->vars.v[i].kind == HR_VAR_TLS;) { /* sorted last */
        const struct hr_var *v = &n->types->vars.v[i];
        uint64_t size = hr_type_get(n->types, hr_type_strip(n->types, v->type))->size;
        if (v->module != module || !size || v->addr >= n->img->modules.v[module].tls_size)
            continue;
        struct hr_item it = {.lo = block + v->addr, .hi = hr_sat_add(block + v->addr, size), .type = v->type,
                             .name = v->name, .module = module, .thread = thread, .frame = HR_NONE,
                             .kind = HR_ROOT_TLS, .surety = HR_SURE_EXACT};
        if (hr_image_peek(n->img, it.lo, 1).n)
            HR_TRY(hr_itemvec_push(vars, it));
    }
    return HR_OK;
}

/* The executable's block has a fixed place, with or without a dtv. */
static uint64_t exe_block(const struct hr_native *n, const struct hr_thread *t, const struct hr_module *m)
{
    uint64_t align = m->tls_align ? m->tls_align : 1, mask = align - 1;
    if (align & mask)
        return 0;
    if (n->img->arch->tls_variant == 1)
        return t->tp + ((n->img->arch->tcb_size + mask) & ~mask);
    /* Variant 2: the block ends at tp or a little below, so that its start is congruent to its file address. */
    uint64_t first = -m->tls_file_addr & mask;
    uint64_t size = m->tls_size > first ? m->tls_size - first : 0;
    return t->tp - (((size + mask) & ~mask) + first);
}

static enum hr_status one_thread(struct hr_native *n, uint32_t i, struct hr_itemvec *ranges, struct hr_itemvec *vars)
{
    const struct hr_thread *t = &n->img->threads.v[i];
    uint64_t nslots = 0, dtv = find_dtv(n, t, &nslots), w = n->img->word;
    bool above = n->img->arch->tls_variant == 1, exe_done = false;
    uint64_t lo = above ? t->tp - TCB_SHOWN : t->tp, hi = above ? t->tp + n->img->arch->tcb_size : t->tp + TCB_SHOWN;
    if (dtv)
        HR_TRY(handle(n, i, dtv, "dynamic thread vector"));
    for (uint32_t id = 1; dtv && id <= nslots; id++) {
        uint64_t block;
        if (!hr_image_word(n->img, dtv + 2 * w * id, &block))
            break;
        if (!block || block == (w == 8 ? UINT64_MAX : UINT32_MAX))
            continue;
        HR_TRY(handle(n, i, block, "thread-local block"));
        if (!block_fits(n, t, id, block))
            continue;
        uint32_t m = n->modid_module[id];
        exe_done |= n->img->modules.v[m].main_exe;
        if (above ? block >= t->tp && block - t->tp < STATIC_TLS : block < t->tp && t->tp - block < STATIC_TLS) {
            lo = hr_min(lo, block);
            hi = hr_max(hi, block + n->img->modules.v[m].tls_size);
        }
        HR_TRY(block_vars(n, i, m, block, vars));
    }
    for (uint32_t m = 0; !exe_done && m < n->img->modules.n; m++) {
        const struct hr_module *mod = &n->img->modules.v[m];
        uint64_t block = mod->main_exe && mod->tls_size ? exe_block(n, t, mod) : 0;
        if (block) {
            lo = hr_min(lo, block);
            HR_TRY(block_vars(n, i, m, block, vars));
        }
    }
    struct hr_item it = {.lo = lo, .hi = hi, .module = HR_NONE, .thread = i, .frame = HR_NONE, .kind = HR_ROOT_TLS};
    return hr_itemvec_push(ranges, it);
}

enum hr_status hr_native_tls(struct hr_native *n, struct hr_itemvec *ranges, struct hr_itemvec *vars)
{
    HR_TRY(number_modules(n));
    for (size_t i = 0; i < n->img->threads.n; i++)
        if (n->img->threads.v[i].tp_valid && n->img->threads.v[i].tp)
            HR_TRY(one_thread(n, (uint32_t)i, ranges, vars));
    HR_TRY(hr_items_tidy(ranges));
    return hr_items_tidy(vars);
}
