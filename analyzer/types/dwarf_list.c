#include "analyzer/types/dwarf_list.h"

#include <string.h>

static struct hr_span section(const struct hr_dw *d, const char *name)
{
    const struct hr_dw_file *f = d->cur;
    for (uint32_t i = 0; i < f->nall; i++)
        if (!strcmp(f->name[i], name))
            return hr_dw_section_bytes(f, i);
    return (struct hr_span){0};
}

static bool at_section(const struct hr_dw *d, const char *name, uint64_t off, struct hr_cursor *ret)
{
    *ret = hr_cursor(section(d, name), d->cur->elf->big, d->addr_size);
    hr_cur_seek(ret, off);
    return !ret->bad && hr_cur_left(ret);
}

/* A section offset in whatever form the versions wrote it. */
static bool offset_attr(Dwarf_Die die, Dwarf_Half what, uint64_t *ret, Dwarf_Half *form_ret)
{
    Dwarf_Attribute at = NULL;
    Dwarf_Error err = NULL;
    Dwarf_Off off;
    Dwarf_Unsigned u;
    *form_ret = 0;
    if (dwarf_attr(die, what, &at, &err) != DW_DLV_OK || dwarf_whatform(at, form_ret, &err) != DW_DLV_OK)
        return false;
    if (*form_ret == DW_FORM_sec_offset || *form_ret == DW_FORM_data4 || *form_ret == DW_FORM_data8) {
        if (dwarf_global_formref(at, &off, &err) == DW_DLV_OK) {
            *ret = off;
            return true;
        }
    }
    if (dwarf_formudata(at, &u, &err) != DW_DLV_OK)
        return false;
    *ret = u;
    return true;
}

void hr_dw_unit_bases(struct hr_dw *d, struct hr_dw_unit *ret)
{
    Dwarf_Addr lo;
    Dwarf_Error err = NULL;
    Dwarf_Half form, version = 0, osize = 4;
    *ret = (struct hr_dw_unit){.offset_size = 4};
    if (!d->cu)
        return;
    if (dwarf_get_version_of_die(d->cu, &version, &osize) == DW_DLV_OK && osize == 8)
        ret->offset_size = 8;
    if (dwarf_lowpc(d->cu, &lo, &err) == DW_DLV_OK)
        ret->low_pc = lo;
    if (!offset_attr(d->cu, DW_AT_rnglists_base, &ret->rnglists_base, &form))
        ret->rnglists_base = ret->offset_size == 8 ? 20 : 12; /* behind the first header */
    if (!offset_attr(d->cu, DW_AT_loclists_base, &ret->loclists_base, &form))
        ret->loclists_base = ret->offset_size == 8 ? 20 : 12;
}

/* Entry i of the offset table at `base`: lists are relative to it. */
static bool indexed(const struct hr_dw *d, const struct hr_dw_unit *u, const char *name, uint64_t base, uint64_t i, uint64_t *ret)
{
    struct hr_cursor c;
    uint64_t at;
    if (!hr_mul(i, u->offset_size, &at) || !hr_add(at, base, &at) || !at_section(d, name, at, &c))
        return false;
    return hr_add(hr_cur_uint(&c, u->offset_size), base, ret) && !c.bad;
}

static uint64_t addrx(struct hr_dw *d, struct hr_cursor *c)
{
    Dwarf_Addr a = 0;
    Dwarf_Error err = NULL;
    uint64_t i = hr_cur_uleb(c);
    if (c->bad || dwarf_debug_addr_index_to_addr(d->cu, i, &a, &err) != DW_DLV_OK)
        c->bad = true;
    return a;
}

/* One entry of either list; the two number their kinds alike but for a default location. */
enum kind { K_END, K_BASEX, K_STARTX_ENDX, K_STARTX_LEN, K_OFFSETS, K_BASE, K_START_END, K_START_LEN, K_DEFAULT };
static enum kind entry5(struct hr_dw *d, struct hr_cursor *c, bool loc, uint64_t *base, uint64_t *lo, uint64_t *hi)
{
    static const enum kind of_loc[] = {K_END, K_BASEX, K_STARTX_ENDX, K_STARTX_LEN, K_OFFSETS, K_DEFAULT, K_BASE, K_START_END, K_START_LEN};
    static const enum kind of_rng[] = {K_END, K_BASEX, K_STARTX_ENDX, K_STARTX_LEN, K_OFFSETS, K_BASE, K_START_END, K_START_LEN, K_END};
    uint8_t op = hr_cur_u8(c);
    enum kind k = c->bad || op > 8 ? K_END : loc ? of_loc[op] : of_rng[op];
    switch (k) {
    case K_BASEX: *base = addrx(d, c); break;
    case K_BASE: *base = hr_cur_addr(c); break;
    case K_STARTX_ENDX: *lo = addrx(d, c), *hi = addrx(d, c); break;
    case K_STARTX_LEN: *lo = addrx(d, c), *hi = *lo + hr_cur_uleb(c); break;
    case K_OFFSETS: *lo = *base + hr_cur_uleb(c), *hi = *base + hr_cur_uleb(c); break;
    case K_START_END: *lo = hr_cur_addr(c), *hi = hr_cur_addr(c); break;
    case K_START_LEN: *lo = hr_cur_addr(c), *hi = *lo + hr_cur_uleb(c); break;
    default: *lo = 0, *hi = UINT64_MAX; break;
    }
    return k;
}

/* Each step takes a byte at least. */
static void ranges5(struct hr_dw *d, struct hr_cursor c, uint64_t base, hr_dw_range_fn *fn, void *ctx)
{
    uint64_t lo = 0, hi = 0;
    for (;;) {
        enum kind k = entry5(d, &c, false, &base, &lo, &hi);
        if (k == K_END || c.bad || !hr_burn(&d->fuel, 1))
            return;
        if (k != K_BASE && k != K_BASEX && lo < hi && !fn(ctx, lo, hi))
            return;
    }
}

/* DWARF 2 to 4: pairs of words; the largest word first means a new base. */
static bool pair4(struct hr_dw *d, struct hr_cursor *c, uint64_t *base, uint64_t *lo, uint64_t *hi, bool *is_base)
{
    uint64_t max = d->addr_size == 4 ? UINT32_MAX : UINT64_MAX;
    uint64_t a = hr_cur_addr(c), b = hr_cur_addr(c);
    if (c->bad || (!a && !b) || !hr_burn(&d->fuel, 1))
        return false;
    *is_base = a == max;
    if (*is_base)
        *base = b;
    *lo = a + *base;
    *hi = b + *base;
    return true;
}

static void ranges4(struct hr_dw *d, struct hr_cursor c, uint64_t base, hr_dw_range_fn *fn, void *ctx)
{
    uint64_t lo, hi;
    bool is_base;
    while (pair4(d, &c, &base, &lo, &hi, &is_base))
        if (!is_base && lo < hi && !fn(ctx, lo, hi))
            return;
}

bool hr_dw_ranges(struct hr_dw *d, const struct hr_dw_unit *u, Dwarf_Die die, hr_dw_range_fn *fn, void *ctx)
{
    Dwarf_Addr lo, hi;
    Dwarf_Error err = NULL;
    Dwarf_Half form = 0;
    enum Dwarf_Form_Class cls;
    uint64_t off;
    struct hr_cursor c;
    if (offset_attr(die, DW_AT_ranges, &off, &form)) {
        if (d->version < 5) {
            if (at_section(d, ".debug_ranges", off, &c))
                ranges4(d, c, u->low_pc, fn, ctx);
        } else if (form != DW_FORM_rnglistx || indexed(d, u, ".debug_rnglists", u->rnglists_base, off, &off)) {
            if (at_section(d, ".debug_rnglists", off, &c))
                ranges5(d, c, u->low_pc, fn, ctx);
        }
        return true;
    }
    if (dwarf_lowpc(die, &lo, &err) != DW_DLV_OK || dwarf_highpc_b(die, &hi, &form, &cls, &err) != DW_DLV_OK)
        return false;
    if (cls != DW_FORM_CLASS_ADDRESS)
        hi += lo;
    if (lo < hi)
        fn(ctx, lo, hi);
    return true;
}

static bool not_in(void *ctx, uint64_t lo, uint64_t hi)
{
    uint64_t *pc = ctx;
    if (*pc < lo || *pc >= hi)
        return true;
    *pc = UINT64_MAX; /* found */
    return false;
}

bool hr_dw_covers(struct hr_dw *d, const struct hr_dw_unit *u, Dwarf_Die die, uint64_t pc)
{
    uint64_t at = pc;
    return pc != UINT64_MAX && hr_dw_ranges(d, u, die, not_in, &at) && at == UINT64_MAX;
}

/* ---- locations ---- */

static bool list5(struct hr_dw *d, struct hr_cursor c, uint64_t base, uint64_t pc, struct hr_span *ret)
{
    uint64_t lo = 0, hi = 0;
    struct hr_span fallback = {0};
    for (;;) {
        enum kind k = entry5(d, &c, true, &base, &lo, &hi);
        if (k == K_END || c.bad || !hr_burn(&d->fuel, 1))
            break;
        if (k == K_BASE || k == K_BASEX)
            continue;
        struct hr_span e = hr_cur_bytes(&c, hr_cur_uleb(&c));
        if (k == K_DEFAULT)
            fallback = e;
        else if (!c.bad && pc >= lo && pc < hi) {
            *ret = e;
            return true;
        }
    }
    *ret = fallback;
    return fallback.n != 0;
}

static bool list4(struct hr_dw *d, struct hr_cursor c, uint64_t base, uint64_t pc, struct hr_span *ret)
{
    uint64_t lo, hi;
    bool is_base;
    while (pair4(d, &c, &base, &lo, &hi, &is_base)) {
        if (is_base)
            continue;
        struct hr_span e = hr_cur_bytes(&c, hr_cur_u16(&c));
        if (!c.bad && pc >= lo && pc < hi) {
            *ret = e;
            return true;
        }
    }
    return false;
}

static bool expression(Dwarf_Attribute at, Dwarf_Half form, struct hr_span *ret)
{
    Dwarf_Error err = NULL;
    if (form == DW_FORM_exprloc) {
        Dwarf_Unsigned len = 0;
        Dwarf_Ptr p = NULL;
        if (dwarf_formexprloc(at, &len, &p, &err) != DW_DLV_OK)
            return false;
        *ret = (struct hr_span){p, len};
        return true;
    }
    Dwarf_Block *b = NULL;
    if ((form != DW_FORM_block1 && form != DW_FORM_block2 && form != DW_FORM_block4 && form != DW_FORM_block) ||
        dwarf_formblock(at, &b, &err) != DW_DLV_OK)
        return false;
    *ret = (struct hr_span){b->bl_data, b->bl_len};
    return true;
}

bool hr_dw_location(struct hr_dw *d, const struct hr_dw_unit *u, Dwarf_Die die, Dwarf_Half what, uint64_t pc,
                    struct hr_span *ret)
{
    Dwarf_Attribute at = NULL;
    Dwarf_Error err = NULL;
    Dwarf_Half form = 0;
    uint64_t off;
    struct hr_cursor c;
    if (dwarf_attr(die, what, &at, &err) != DW_DLV_OK || dwarf_whatform(at, &form, &err) != DW_DLV_OK)
        return false;
    if (expression(at, form, ret))
        return true;
    if (!offset_attr(die, what, &off, &form))
        return false;
    if (d->version < 5)
        return at_section(d, ".debug_loc", off, &c) && list4(d, c, u->low_pc, pc, ret);
    if (form == DW_FORM_loclistx && !indexed(d, u, ".debug_loclists", u->loclists_base, off, &off))
        return false;
    return at_section(d, ".debug_loclists", off, &c) && list5(d, c, u->low_pc, pc, ret);
}
