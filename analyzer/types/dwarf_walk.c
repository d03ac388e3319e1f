/* Over all DIEs of a unit, with an explicit stack of bounded depth. Runs in the child only. */
#include <string.h>

#include "analyzer/types/dwarf.h"

struct level {
    Dwarf_Die die;     /* current DIE of this level */
    hr_str scope;      /* "ns::Class" around it */
    Dwarf_Die func;    /* enclosing function or NULL */
    bool in_struct;
};

static enum hr_dw_space space_of(enum hr_dw_source src, bool types)
{
    return src == HR_DW_ALT_FILE ? HR_DW_ALT : types ? HR_DW_TYPES : HR_DW_INFO;
}

/* Languages whose structs are printed with their keyword and have no scopes. */
static bool c_like(uint16_t lang)
{
    switch (lang) {
    case DW_LANG_C89:
    case DW_LANG_C:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case 0x2c: /* DW_LANG_C17 */
    case DW_LANG_Mips_Assembler:
    case DW_LANG_UPC:
    case DW_LANG_ObjC:
        return true;
    default:
        return false;
    }
}

static void unit_language(struct hr_dw *d)
{
    Dwarf_Attribute at = NULL;
    Dwarf_Error err = NULL;
    Dwarf_Unsigned lang = 0;
    d->has_lang = dwarf_attr(d->cu, DW_AT_language, &at, &err) == DW_DLV_OK && dwarf_formudata(at, &lang, &err) == DW_DLV_OK;
    if (d->has_lang) {
        d->lang = (uint16_t)lang;
        d->cxx = !c_like(d->lang);
    }
    Dwarf_Half tag = 0;
    Dwarf_Bool dwo = 0;
    (void)dwarf_tag(d->cu, &tag, &err);
    if (tag == DW_TAG_skeleton_unit || (dwarf_hasattr(d->cu, DW_AT_GNU_dwo_name, &dwo, &err) == DW_DLV_OK && dwo))
        d->flags |= HR_BLOB_SPLIT;
}

/* A type unit's type is known by its signature: whoever asked for it already has a row. */
static void bind_signature(struct hr_dw *d, const Dwarf_Sig8 *sig, uint64_t type_off)
{
    Dwarf_Off cu_off = 0;
    Dwarf_Off cu_len = 0;
    Dwarf_Error err = NULL;
    hr_type row = hr_dw_sig(d, sig);
    if (!row || dwarf_die_CU_offset_range(d->cu, &cu_off, &cu_len, &err) != DW_DLV_OK)
        return;
    uint64_t off;
    uint32_t *slot;
    bool was;
    if (!hr_add(cu_off, type_off, &off) || off >> 60)
        return;
    if (hr_map_slot(&d->row_of, (uint64_t)d->space << 60 | off, row, &slot, &was) == HR_OK && was && *slot != row) {
        /* met by its offset before: the signature's row stands for it */
        d->raw.rows.v[row] = (struct hr_type_row){.kind = HR_T_ALIAS, .target = *slot};
    }
}

enum hr_status hr_dw_next_unit(struct hr_dw *d, enum hr_dw_source src, bool types)
{
    Dwarf_Unsigned len, type_off = 0, next;
    Dwarf_Half version, addr_size, len_size, ext_size, unit_type = 0;
    Dwarf_Off abbrev;
    Dwarf_Sig8 sig = {{0}};
    Dwarf_Error err = NULL;
    d->cur = &d->file[src];
    d->space = space_of(src, types);
    int r = dwarf_next_cu_header_d(d->cur->dbg, !types, &len, &version, &abbrev, &addr_size, &len_size, &ext_size, &sig,
                                   &type_off, &next, &unit_type, &err);
    if (r == DW_DLV_NO_ENTRY)
        return HR_ABSENT;
    if (r != DW_DLV_OK || !hr_burn(&d->fuel, 1))
        return HR_CORRUPT;
    d->version = version;
    d->type_unit = types || unit_type == DW_UT_type || unit_type == DW_UT_split_type;
    d->addr_size = (uint8_t)addr_size;
    d->files_read = false;
    d->unit_read = false;
    d->cu = NULL;
    r = dwarf_siblingof_b(d->cur->dbg, NULL, !types, &d->cu, &err);
    if (r != DW_DLV_OK)
        return d->cu = NULL, HR_OK; /* a unit of nothing: go on with the next */
    if (d->type_unit)
        bind_signature(d, &sig, type_off);
    unit_language(d);
    return HR_OK;
}

static hr_str namespace_scope(struct hr_dw *d, Dwarf_Die die, hr_str scope)
{
    char *z = NULL;
    Dwarf_Error err = NULL;
    const char *name = dwarf_diename(die, &z, &err) == DW_DLV_OK && *z && strncmp(z, "<DW_FORM_", 9) ? z : "(anonymous namespace)";
    return hr_dw_qualify(d, scope, name);
}

/* dwz's partial units have no language: it is that of who imports them. */
static enum hr_status import(struct hr_dw *d, Dwarf_Die die)
{
    struct hr_dw_attrs a;
    uint32_t *slot;
    bool was;
    if (hr_dw_attrs(d, die, &a) != HR_OK || !(a.has & HR_AT_ORIGIN))
        return HR_OK;
    return hr_map_slot(&d->imports, a.origin, d->lang, &slot, &was);
}

/* What to do with one DIE; *down_ret: its children are to be met with the scope and function of *in. */
static enum hr_status meet(struct hr_dw *d, const struct level *at, Dwarf_Half tag, struct level *in, bool *down_ret)
{
    *in = *at;
    *down_ret = false;
    if (hr_dw_is_type(tag)) {
        in->in_struct = true;
        return hr_dw_type(d, at->die, tag, at->scope, &in->scope, down_ret);
    }
    switch (tag) {
    case DW_TAG_member: /* a static member before DWARF 5; the others were read with their struct */
        if (!at->in_struct)
            break;
        /* fall through */
    case DW_TAG_variable:
        return hr_dw_variable(d, at->die, at->scope, at->func, at->in_struct);
    case DW_TAG_namespace:
    case DW_TAG_module:
        in->scope = namespace_scope(d, at->die, at->scope);
        in->in_struct = false;
        *down_ret = true;
        break;
    case DW_TAG_imported_unit:
        return import(d, at->die);
    case DW_TAG_subprogram:
        if (at->scope && d->cxx) {
            hr_dw_key key = hr_dw_die_key(d, at->die);
            if (key != HR_DW_NO_KEY)
                HR_TRY(hr_map_put(&d->fscope, key, at->scope));
        }
        if (at->in_struct) /* declarations: no body, no types */
            break;
        in->func = at->die;
        in->scope = 0;
        *down_ret = true;
        break;
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
    case DW_TAG_common_block:
        *down_ret = true;
        break;
    default:
        break;
    }
    return HR_OK;
}

static void drop(struct hr_dw *d, Dwarf_Die die)
{
    if (die && die != d->cu)
        dwarf_dealloc(d->cur->dbg, die, DW_DLA_DIE);
}

/* Moves the top level to its next sibling; false at the end of the level or when it cannot be read. */
static bool next_sibling(struct hr_dw *d, struct level *top)
{
    Dwarf_Die next = NULL;
    Dwarf_Error err = NULL;
    int r = dwarf_siblingof_b(d->cur->dbg, top->die, d->space != HR_DW_TYPES, &next, &err);
    if (r == DW_DLV_ERROR)
        d->flags |= HR_BLOB_DAMAGED;
    drop(d, top->die);
    top->die = NULL;
    if (r != DW_DLV_OK)
        return false;
    top->die = next;
    return true;
}

static bool first_child(struct hr_dw *d, Dwarf_Die die, Dwarf_Die *ret)
{
    Dwarf_Error err = NULL;
    int r = dwarf_child(die, ret, &err);
    if (r == DW_DLV_ERROR)
        d->flags |= HR_BLOB_DAMAGED;
    return r == DW_DLV_OK;
}

enum hr_status hr_dw_walk_unit(struct hr_dw *d)
{
    struct level stack[HR_DW_DEPTH];
    unsigned n = 0;
    if (!d->cu)
        return HR_OK;
    stack[0] = (struct level){0};
    if (first_child(d, d->cu, &stack[0].die))
        n = 1;
    while (n) {
        if (!hr_burn(&d->fuel, 1)) {
            d->flags |= HR_BLOB_BUDGET;
            return HR_LIMIT;
        }
        Dwarf_Half tag = 0;
        Dwarf_Error err = NULL;
        struct level in;
        bool down;
        (void)dwarf_tag(stack[n - 1].die, &tag, &err);
        HR_TRY(meet(d, &stack[n - 1], tag, &in, &down));
        if (down && n == HR_DW_DEPTH)
            d->flags |= HR_BLOB_DEEP;
        else if (down && first_child(d, stack[n - 1].die, &in.die)) {
            stack[n++] = in;
            continue;
        }
        while (n && !next_sibling(d, &stack[n - 1]))
            n--;
    }
    return HR_OK;
}

enum which { ALL_UNITS, TYPE_UNITS, OTHER_UNITS };
enum {
    LANG_DONE = 0x10000,  /* in hr_dw.imports: the unit has been read */
    IMPORT_ROUNDS = 16,   /* partial units import others; dwz makes chains of 2 or 3 */
};

static enum hr_status walk_source(struct hr_dw *d, enum hr_dw_source src, bool types, enum which which)
{
    enum hr_status st;
    while ((st = hr_dw_next_unit(d, src, types)) == HR_OK)
        if (which == ALL_UNITS || (d->type_unit ? which == TYPE_UNITS : which == OTHER_UNITS && d->has_lang))
            HR_TRY(hr_dw_walk_unit(d));
    if (st == HR_CORRUPT)
        d->flags |= HR_BLOB_DAMAGED;
    return st == HR_ABSENT || st == HR_CORRUPT ? HR_OK : st;
}

/* Reads the units without a language that somebody imports (`all`: nobody imports any, so no dwz made them; each is
 * read). */
static enum hr_status walk_imported(struct hr_dw *d, enum hr_dw_source src, bool all, bool *any_ret)
{
    enum hr_status st;
    while ((st = hr_dw_next_unit(d, src, false)) == HR_OK) {
        if (!d->cu || d->has_lang || d->type_unit)
            continue;
        hr_dw_key key = hr_dw_die_key(d, d->cu);
        uint32_t lang = key == HR_DW_NO_KEY ? HR_NONE : hr_map_get(&d->imports, key);
        bool stray = all && lang == HR_NONE && key != HR_DW_NO_KEY;
        if (lang == LANG_DONE || (lang == HR_NONE && !stray))
            continue;
        d->lang = (uint16_t)(stray ? 0 : lang);
        d->cxx = !stray && !c_like(d->lang);
        HR_TRY(hr_map_put(&d->imports, key, LANG_DONE));
        HR_TRY(hr_dw_walk_unit(d));
        *any_ret = true;
    }
    return st == HR_ABSENT || st == HR_CORRUPT ? HR_OK : st;
}

static enum hr_status walk_partial(struct hr_dw *d)
{
    bool any = true, all = !d->imports.n;
    for (int round = 0; any && round < IMPORT_ROUNDS; round++) {
        any = false;
        HR_TRY(walk_imported(d, HR_DW_MAIN_FILE, all, &any));
        if (d->file[HR_DW_ALT_FILE].dbg)
            HR_TRY(walk_imported(d, HR_DW_ALT_FILE, false, &any));
    }
    return HR_OK;
}

/* Type units first: the others name what is inside a type by the name that is there. */
enum hr_status hr_dw_walk_all(struct hr_dw *d)
{
    enum hr_status st = walk_source(d, HR_DW_MAIN_FILE, true, ALL_UNITS);
    if (st == HR_OK)
        st = walk_source(d, HR_DW_MAIN_FILE, false, TYPE_UNITS);
    if (st == HR_OK)
        st = walk_source(d, HR_DW_MAIN_FILE, false, OTHER_UNITS);
    if (st == HR_OK)
        st = walk_partial(d);
    return st == HR_LIMIT ? HR_OK : st; /* what was read before the budget ended is valid */
}
