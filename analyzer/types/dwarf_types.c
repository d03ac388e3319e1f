/* Type DIEs to raw rows. Runs in the child only. */
#include <string.h>

#include "analyzer/types/dwarf.h"

bool hr_dw_is_type(Dwarf_Half tag)
{
    switch (tag) {
    case DW_TAG_base_type: case DW_TAG_unspecified_type: case DW_TAG_pointer_type: case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type: case DW_TAG_ptr_to_member_type: case DW_TAG_structure_type: case DW_TAG_class_type:
    case DW_TAG_interface_type: case DW_TAG_union_type: case DW_TAG_enumeration_type: case DW_TAG_array_type:
    case DW_TAG_subroutine_type: case DW_TAG_typedef: case DW_TAG_template_alias: case DW_TAG_const_type:
    case DW_TAG_volatile_type: case DW_TAG_restrict_type: case DW_TAG_atomic_type: case DW_TAG_packed_type:
    case DW_TAG_shared_type: case DW_TAG_immutable_type: case DW_TAG_subrange_type: case DW_TAG_string_type:
    case DW_TAG_set_type: case DW_TAG_file_type: case DW_TAG_dynamic_type: case DW_TAG_coarray_type:
        return true;
    default:
        return false;
    }
}

static uint8_t base_kind(const struct hr_dw_attrs *a)
{
    const char *name = a->name ? a->name : "";
    switch (a->encoding) {
    case DW_ATE_boolean: return HR_T_BOOL;
    case DW_ATE_address: return HR_T_PTR;
    case DW_ATE_signed_char:
    case DW_ATE_unsigned_char: return a->size == 1 ? HR_T_CHAR : HR_T_UINT;
    case DW_ATE_UTF: return a->size == 1 ? HR_T_CHAR : HR_T_WCHAR;
    case DW_ATE_float:
    case DW_ATE_complex_float:
    case DW_ATE_imaginary_float:
    case DW_ATE_decimal_float: return HR_T_FLOAT;
    case DW_ATE_signed: return !strcmp(name, "wchar_t") ? HR_T_WCHAR : HR_T_INT;
    case DW_ATE_signed_fixed: return HR_T_INT;
    case DW_ATE_unsigned:
    case DW_ATE_unsigned_fixed: return !strcmp(name, "wchar_t") ? HR_T_WCHAR : HR_T_UINT;
    default: return HR_T_OTHER;
    }
}

/* The children of a DIE, one after the other. Start with child = NULL; the last one is given back by the walker. */
static bool each_child(struct hr_dw *d, Dwarf_Die parent, Dwarf_Die *child, Dwarf_Half *tag_ret)
{
    Dwarf_Die next = NULL;
    Dwarf_Error err = NULL;
    int r = *child ? dwarf_siblingof_b(d->cur->dbg, *child, d->space != HR_DW_TYPES, &next, &err)
                   : dwarf_child(parent, &next, &err);
    if (*child)
        dwarf_dealloc(d->cur->dbg, *child, DW_DLA_DIE);
    *child = NULL;
    if (r == DW_DLV_ERROR)
        d->flags |= HR_BLOB_DAMAGED;
    if (r != DW_DLV_OK)
        return false;
    if (!hr_burn(&d->fuel, 1)) {
        d->flags |= HR_BLOB_BUDGET;
        dwarf_dealloc(d->cur->dbg, next, DW_DLA_DIE);
        return false;
    }
    *child = next;
    return dwarf_tag(next, tag_ret, &err) == DW_DLV_OK;
}

/* Elements of one dimension; 0 unknown or flexible. */
static uint64_t dimension(struct hr_dw *d, const struct hr_dw_attrs *a)
{
    if (a->has & HR_AT_COUNT)
        return a->count == UINT64_MAX ? 0 : a->count;
    if (!(a->has & HR_AT_UPPER))
        return 0;
    bool from1 = d->lang == DW_LANG_Fortran77 || d->lang == DW_LANG_Fortran90 || d->lang == DW_LANG_Fortran95 ||
                 d->lang == DW_LANG_Fortran03 || d->lang == DW_LANG_Fortran08 || d->lang == DW_LANG_Ada83 ||
                 d->lang == DW_LANG_Ada95;
    uint64_t low = a->has & HR_AT_LOWER ? a->lower : from1;
    /* [0] is written as upper bound -1, in as many bytes as the compiler liked */
    if (a->upper == UINT64_MAX || a->upper == UINT32_MAX || (int64_t)a->upper < (int64_t)low)
        return 0;
    return a->upper - low + 1;
}

static enum hr_status array_type(struct hr_dw *d, Dwarf_Die die, hr_type id, const struct hr_dw_attrs *a)
{
    uint64_t dims[HR_DW_MAX_DIMS];
    unsigned n = 0;
    Dwarf_Die child = NULL;
    Dwarf_Half tag;
    while (each_child(d, die, &child, &tag)) {
        struct hr_dw_attrs s;
        if (tag != DW_TAG_subrange_type && tag != DW_TAG_enumeration_type && tag != DW_TAG_generic_subrange)
            continue;
        HR_TRY(hr_dw_attrs(d, child, &s));
        if (n < HR_DW_MAX_DIMS)
            dims[n++] = dimension(d, &s);
    }
    hr_type at = id;
    for (unsigned i = 0; i < n || i == 0; i++) {
        struct hr_type_row r = {.kind = HR_T_ARRAY, .count = n ? dims[i] : 0, .flags = d->cxx ? HR_TF_CXX : 0};
        if (i + 1 < n) {
            r.target = (hr_type)d->raw.rows.n;
            HR_TRY(hr_rowvec_push(&d->raw.rows, (struct hr_type_row){0}));
        } else {
            r.target = hr_dw_type_of(d, a);
        }
        d->raw.rows.v[at] = r;
        at = r.target;
    }
    return HR_OK;
}

/* Where the bits of a bit-field are, in memory order (see struct hr_field). DWARF 4 counts from the start of the struct;
 * DWARF 2 gives a storage unit and counts from its most significant bit. */
static void bit_place(struct hr_dw *d, const struct hr_dw_attrs *a, struct hr_field *f)
{
    uint64_t bits = a->member_loc * 8;
    if (a->has & HR_AT_DATA_BIT_OFFSET) {
        bits += a->data_bit_offset;
    } else if (a->has & HR_AT_BIT_OFFSET) {
        uint64_t unit = a->has & HR_AT_SIZE ? a->size : hr_type_get(&d->raw, hr_dw_type_of(d, a))->size;
        bits += d->cur->elf->big ? a->bit_offset : unit * 8 - a->bit_offset - a->bit_size;
    }
    if (bits / 8 > UINT32_MAX || a->bit_size > 64)
        return;
    f->off = (uint32_t)(bits / 8);
    f->bit_off = (uint8_t)(bits % 8);
    f->bit_size = (uint8_t)a->bit_size;
    f->flags |= HR_FF_BITFIELD;
}

static enum hr_status member(struct hr_dw *d, Dwarf_Half tag, const struct hr_dw_attrs *a, struct hr_type_row *row)
{
    struct hr_field f = {.type = hr_dw_type_of(d, a), .name = hr_dw_str(d, a->name)};
    if (a->member_loc > UINT32_MAX)
        return HR_OK;
    f.off = (uint32_t)a->member_loc;
    if (a->has & HR_AT_ARTIFICIAL)
        f.flags |= HR_FF_ARTIFICIAL;
    if (a->has & (HR_AT_BIT_SIZE | HR_AT_DATA_BIT_OFFSET) && a->bit_size)
        bit_place(d, a, &f);
    if (tag == DW_TAG_inheritance) {
        f.name = 0; /* the base may come later: hr_dw_finish() */
        f.flags |= HR_FF_BASE;
        if (a->has & HR_AT_VIRTUAL) {
            f.flags |= HR_FF_VIRTUAL;
            f.off = 0;
            row->flags |= HR_TF_POLYMORPHIC; /* virtual bases are found through the virtual table, at offset 0 */
        }
    } else if (!f.name && !(f.flags & HR_FF_BITFIELD)) {
        f.flags |= HR_FF_ANON;
    }
    if (a->name && !strncmp(a->name, "_vptr", 5) && f.flags & HR_FF_ARTIFICIAL) {
        row->flags |= HR_TF_POLYMORPHIC;
        row->vptr_off = f.off;
    }
    row->nfields++;
    return hr_fieldvec_push(&d->raw.fields, f);
}

static enum hr_status template_parameter(struct hr_dw *d, Dwarf_Half tag, const struct hr_dw_attrs *a,
                                         struct hr_type_row *row)
{
    struct hr_tparam p = {.name = hr_dw_str(d, a->name), .type = hr_dw_type_of(d, a), .value = a->value};
    p.is_value = tag == DW_TAG_template_value_parameter;
    row->ntparams++;
    return hr_tparamvec_push(&d->raw.tparams, p);
}

static enum hr_status parameter_pack(struct hr_dw *d, Dwarf_Die pack, struct hr_type_row *row)
{
    Dwarf_Die child = NULL;
    Dwarf_Half tag;
    while (each_child(d, pack, &child, &tag)) {
        struct hr_dw_attrs a;
        if (tag != DW_TAG_template_type_parameter && tag != DW_TAG_template_value_parameter)
            continue;
        HR_TRY(hr_dw_attrs(d, child, &a));
        HR_TRY(template_parameter(d, tag, &a, row));
    }
    return HR_OK;
}

/* Rust's enums: the variants lie over each other, so the struct is a union of them. */
static enum hr_status variants(struct hr_dw *d, Dwarf_Die part, struct hr_type_row *row)
{
    Dwarf_Die variant = NULL, child = NULL;
    Dwarf_Half tag;
    row->kind = HR_T_UNION;
    while (each_child(d, part, &variant, &tag)) {
        if (tag != DW_TAG_variant)
            continue;
        for (child = NULL; each_child(d, variant, &child, &tag);) {
            struct hr_dw_attrs a;
            if (tag != DW_TAG_member)
                continue;
            HR_TRY(hr_dw_attrs(d, child, &a));
            HR_TRY(member(d, tag, &a, row));
        }
    }
    return HR_OK;
}

/* Fields, bases and template parameters, which have to lie together in their columns. What else a struct holds (nested
 * types, static members) is left to the walker. */
static enum hr_status members(struct hr_dw *d, Dwarf_Die die, struct hr_type_row *row, bool *more_ret)
{
    Dwarf_Die child = NULL;
    Dwarf_Half tag;
    row->field0 = (uint32_t)d->raw.fields.n;
    row->tparam0 = (uint32_t)d->raw.tparams.n;
    while (each_child(d, die, &child, &tag)) {
        struct hr_dw_attrs a;
        if (tag == DW_TAG_member || tag == DW_TAG_inheritance) {
            HR_TRY(hr_dw_attrs(d, child, &a));
            if (a.has & (HR_AT_EXTERNAL | HR_AT_DECLARATION) && !(a.has & HR_AT_MEMBER_LOC) && tag == DW_TAG_member)
                *more_ret = true; /* a static member before DWARF 5 */
            else
                HR_TRY(member(d, tag, &a, row));
        } else if (tag == DW_TAG_template_type_parameter || tag == DW_TAG_template_value_parameter) {
            HR_TRY(hr_dw_attrs(d, child, &a));
            HR_TRY(template_parameter(d, tag, &a, row));
        } else if (tag == DW_TAG_GNU_template_parameter_pack) {
            HR_TRY(parameter_pack(d, child, row));
        } else if (tag == DW_TAG_variant_part) {
            HR_TRY(variants(d, child, row));
        } else if (hr_dw_is_type(tag) || tag == DW_TAG_variable || tag == DW_TAG_subprogram) {
            *more_ret = true;
        }
    }
    return HR_OK;
}

static enum hr_status enumerators(struct hr_dw *d, Dwarf_Die die, struct hr_type_row *row)
{
    Dwarf_Die child = NULL;
    Dwarf_Half tag;
    row->field0 = (uint32_t)d->raw.fields.n;
    while (each_child(d, die, &child, &tag)) {
        struct hr_dw_attrs a;
        if (tag != DW_TAG_enumerator)
            continue;
        HR_TRY(hr_dw_attrs(d, child, &a));
        HR_TRY(hr_fieldvec_push(&d->raw.fields, (struct hr_field){.name = hr_dw_str(d, a.name), .off = (uint32_t)a.value}));
        row->nfields++;
    }
    return HR_OK;
}

/* struct, class, union, enum */
static enum hr_status tagged(struct hr_dw *d, Dwarf_Die die, Dwarf_Half tag, hr_type id, hr_str scope,
                             const struct hr_dw_attrs *a, hr_str *inner_ret, bool *descend_ret)
{
    uint8_t kind = tag == DW_TAG_union_type ? HR_T_UNION : tag == DW_TAG_enumeration_type ? HR_T_ENUM : HR_T_STRUCT;
    struct hr_type_row r = {.kind = kind, .size = a->size, .decl_line = a->decl_line, .flags = d->cxx ? HR_TF_CXX : 0};
    bool more = false;
    if (a->has & HR_AT_SIG) { /* stands for a type unit's; may hold declarations of members defined in this unit */
        hr_str there = hr_type_get(&d->raw, a->sig_row)->name;
        d->raw.rows.v[id] = (struct hr_type_row){.kind = HR_T_ALIAS, .target = a->sig_row};
        *inner_ret = there ? there : a->name ? hr_dw_qualify(d, scope, a->name) : scope;
        *descend_ret = true;
        return HR_OK;
    }
    r.name = hr_dw_qualify(d, scope, a->name);
    if (a->has & HR_AT_ORIGIN) { /* defined away from its declaration, which has the full name */
        hr_str there = hr_type_get(&d->raw, hr_dw_row(d, a->origin))->name;
        r.name = there ? there : r.name;
    }
    r.decl_file = hr_dw_decl_file(d, a);
    if (!(a->has & HR_AT_SIZE))
        r.flags |= HR_TF_UNSIZED;
    if (a->has & HR_AT_CONTAINING)
        r.flags |= HR_TF_POLYMORPHIC;
    if (a->has & HR_AT_DECLARATION) {
        r.flags |= HR_TF_DECLARATION | HR_TF_UNSIZED;
        more = kind != HR_T_ENUM; /* of a type unit: the skeleton may hold nested declarations */
    } else if (kind == HR_T_ENUM) {
        r.target = hr_dw_type_of(d, a);
        HR_TRY(enumerators(d, die, &r));
    } else {
        HR_TRY(members(d, die, &r, &more));
    }
    d->raw.rows.v[id] = r;
    *inner_ret = r.name ? r.name : scope;
    *descend_ret = more;
    return HR_OK;
}

static enum hr_status plain(struct hr_dw *d, Dwarf_Half tag, hr_type id, hr_str scope, const struct hr_dw_attrs *a)
{
    struct hr_type_row r = {.kind = HR_T_OTHER, .size = a->size, .flags = d->cxx ? HR_TF_CXX : 0};
    hr_type target = hr_dw_type_of(d, a);
    switch (tag) {
    case DW_TAG_base_type:
        r.kind = base_kind(a);
        r.name = hr_dw_str(d, a->name);
        break;
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
        r.kind = tag == DW_TAG_pointer_type ? HR_T_PTR : HR_T_REF;
        r.name = d->cxx && d->lang == DW_LANG_Rust ? hr_dw_str(d, a->name) : 0;
        r.size = a->has & HR_AT_SIZE ? a->size : d->addr_size;
        r.target = target;
        break;
    case DW_TAG_ptr_to_member_type: {
        uint8_t to = hr_type_get(&d->raw, target)->kind; /* Itanium ABI: a member function takes two words */
        r.kind = HR_T_MEMBERPTR;
        r.size = a->has & HR_AT_SIZE ? a->size : d->addr_size * (to == HR_T_FUNC ? 2u : 1u);
        r.target = target;
        break;
    }
    case DW_TAG_subroutine_type:
        r.kind = HR_T_FUNC;
        r.size = 0;
        r.target = target;
        break;
    case DW_TAG_typedef:
    case DW_TAG_template_alias:
        r.kind = HR_T_TYPEDEF;
        r.name = hr_dw_qualify(d, scope, a->name);
        r.target = target;
        r.decl_line = a->decl_line;
        r.decl_file = hr_dw_decl_file(d, a);
        break;
    case DW_TAG_subrange_type: /* of Ada and Pascal: a base type with bounds */
    case DW_TAG_const_type: case DW_TAG_volatile_type: case DW_TAG_restrict_type: case DW_TAG_atomic_type:
    case DW_TAG_packed_type: case DW_TAG_shared_type: case DW_TAG_immutable_type:
        r.kind = HR_T_ALIAS;
        r.target = target;
        break;
    case DW_TAG_unspecified_type:
        r.name = hr_dw_str(d, a->name);
        r.kind = a->name && !strcmp(a->name, "void") ? HR_T_VOID : HR_T_OTHER;
        if (a->name && strstr(a->name, "nullptr"))
            r.size = d->addr_size;
        break;
    default:
        r.name = hr_dw_qualify(d, scope, a->name);
        break;
    }
    if (!r.size && r.kind == HR_T_OTHER)
        r.flags |= HR_TF_UNSIZED;
    d->raw.rows.v[id] = r;
    return HR_OK;
}

enum hr_status hr_dw_type(struct hr_dw *d, Dwarf_Die die, Dwarf_Half tag, hr_str scope, hr_str *inner_ret, bool *descend_ret)
{
    struct hr_dw_attrs a;
    hr_dw_key key = hr_dw_die_key(d, die);
    hr_type id = hr_dw_row(d, key);
    *inner_ret = scope;
    *descend_ret = false;
    if (!id || hr_type_get(&d->raw, id)->kind != HR_T_NONE) /* met before: a unit listed twice */
        return id ? HR_OK : HR_LIMIT;
    if (hr_dw_attrs(d, die, &a) != HR_OK) {
        d->flags |= HR_BLOB_DAMAGED;
        return HR_OK;
    }
    switch (tag) {
    case DW_TAG_structure_type: case DW_TAG_class_type: case DW_TAG_interface_type: case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        return tagged(d, die, tag, id, scope, &a, inner_ret, descend_ret);
    case DW_TAG_array_type:
        return array_type(d, die, id, &a);
    default:
        return plain(d, tag, id, scope, &a);
    }
}
