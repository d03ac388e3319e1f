/* libdwarf over our sections, and what we ask of a DIE. Runs in the child only. */
#include "analyzer/types/dwarf.h"

#include <string.h>

#include "analyzer/types/child.h"
#include "analyzer/types/linehead.h"

/* ---- the object libdwarf sees: section 0 is empty, then the .debug_* sections, decompressed when asked for ---- */

/* Compilers' sections shrink to a tenth at best; a bomb does not get more than this. */
static uint64_t most(const struct hr_section *s)
{
    uint64_t n;
    return hr_mul(s->bytes.n, 100, &n) ? hr_min(n + (1 << 20), HR_DW_MAX_SECTION) : HR_DW_MAX_SECTION;
}

/* Bytes of section i, decompressed once: libdwarf points into them until the end. */
struct hr_span hr_dw_section_bytes(const struct hr_dw_file *f, uint32_t i)
{
    struct hr_span *s = &f->data[i];
    if (!s->p && hr_elf_section_bytes(f->elf, f->sec[i], most(f->sec[i]), s, &f->own[i]) != HR_OK) {
        *s = (struct hr_span){0};
        f->own[i] = NULL;
    }
    return *s;
}

static int get_section_info(void *obj, Dwarf_Half i, Dwarf_Obj_Access_Section *ret, int *error)
{
    const struct hr_dw_file *f = obj;
    *ret = (Dwarf_Obj_Access_Section){.name = "", .type = 0};
    (void)error;
    if (i > f->nsec)
        return DW_DLV_NO_ENTRY;
    if (i) {
        ret->name = f->name[i - 1];
        ret->type = 1; /* SHT_PROGBITS */
        ret->size = hr_dw_section_bytes(f, i - 1u).n;
    }
    return DW_DLV_OK;
}

static Dwarf_Endianness get_byte_order(void *obj)
{
    return ((const struct hr_dw_file *)obj)->elf->big ? DW_OBJECT_MSB : DW_OBJECT_LSB;
}

static Dwarf_Small get_length_size(void *obj)
{
    (void)obj;
    return 4; /* of the length of a 32-bit DWARF unit; libdwarf finds 64-bit units by their escape */
}

static Dwarf_Small get_pointer_size(void *obj) { return ((const struct hr_dw_file *)obj)->elf->word; }

static Dwarf_Unsigned get_section_count(void *obj) { return ((const struct hr_dw_file *)obj)->nsec + 1; }

static int load_section(void *obj, Dwarf_Half i, Dwarf_Small **ret, int *error)
{
    const struct hr_dw_file *f = obj;
    (void)error;
    if (!i || i > f->nsec)
        return DW_DLV_NO_ENTRY;
    struct hr_span s = hr_dw_section_bytes(f, i - 1u);
    *ret = (Dwarf_Small *)(uintptr_t)s.p; /* libdwarf's type has no const; it does not write without relocations */
    return s.n ? DW_DLV_OK : DW_DLV_NO_ENTRY;
}

static const Dwarf_Obj_Access_Methods methods = {
    .get_section_info = get_section_info,
    .get_byte_order = get_byte_order,
    .get_length_size = get_length_size,
    .get_pointer_size = get_pointer_size,
    .get_section_count = get_section_count,
    .load_section = load_section,
};

static const char *const wanted[] = {
    ".debug_info", ".debug_types", ".debug_abbrev", ".debug_str", ".debug_line", ".debug_line_str", ".debug_str_offsets",
    ".debug_addr", ".debug_ranges", ".debug_rnglists", ".debug_loclists", ".debug_loc",
};
/* The last four are ours alone (dwarf_list.c): libdwarf of 2021 frees twice on damaged .debug_rnglists when it sees them. */
enum { NWANTED = sizeof wanted / sizeof *wanted, NDATA = 8 };

static enum hr_status open_file(struct hr_dw_file *f, const struct hr_elf *elf, bool code)
{
    f->elf = elf;
    f->sec = hr_zalloc(NWANTED, sizeof *f->sec);
    f->name = hr_zalloc(NWANTED, sizeof *f->name);
    f->data = hr_zalloc(NWANTED, sizeof *f->data);
    f->own = hr_zalloc(NWANTED, sizeof *f->own);
    if (!f->sec || !f->name || !f->data || !f->own)
        return HR_NOMEM;
    for (unsigned i = 0; i < (code ? NWANTED : NDATA); i++) {
        const struct hr_section *s = hr_elf_section(elf, wanted[i]);
        if (!s || !s->bytes.n) {
            if (i == 0)
                return HR_ABSENT;
            continue;
        }
        f->sec[f->nall] = s;
        f->name[f->nall++] = wanted[i];
        f->nsec += i < NDATA;
        if (i < 2)
            f->info_bytes += hr_dw_section_bytes(f, f->nall - 1).n;
    }
    f->iface = (Dwarf_Obj_Access_Interface){f, &methods};
    Dwarf_Error err = NULL;
    int r = dwarf_object_init_b(&f->iface, NULL, NULL, DW_GROUPNUMBER_ANY, &f->dbg, &err);
    return r == DW_DLV_OK ? HR_OK : r == DW_DLV_NO_ENTRY ? HR_ABSENT : HR_CORRUPT;
}

enum hr_status hr_dw_open(struct hr_dw *d, const struct hr_elf *elf, const struct hr_elf *alt, const struct hr_elf *exec,
                          bool code)
{
    *d = (struct hr_dw){.exec = exec};
    hr_notes_init(&d->notes);
    HR_TRY(hr_strs_create(&d->strs));
    HR_TRY(hr_types_init(&d->raw, d->strs, &d->notes));
    hr_map_init(&d->row_of, HR_MAX_TYPES);
    hr_map_init(&d->sig_row, HR_MAX_TYPES);
    hr_map_init(&d->fscope, HR_MAX_TYPES);
    hr_map_init(&d->decl_of, HR_MAX_TYPES);
    hr_map_init(&d->imports, HR_MAX_TYPES);
    d->decls.max = d->vars.max = HR_MAX_ROOTS;
    d->files.max = HR_DW_MAX_FILES;
    dwarf_set_de_alloc_flag(HR_SANITIZED); /* the child's memory goes all at once: no bookkeeping per allocation */
    HR_TRY(open_file(&d->file[HR_DW_MAIN_FILE], elf, code));
    if (alt && open_file(&d->file[HR_DW_ALT_FILE], alt, code) == HR_OK) {
        Dwarf_Error err = NULL;
        (void)dwarf_set_tied_dbg(d->file[HR_DW_MAIN_FILE].dbg, d->file[HR_DW_ALT_FILE].dbg, &err);
    }
    uint64_t bytes = d->file[0].info_bytes + d->file[1].info_bytes;
    d->fuel = hr_fuel(hr_sat_add(bytes, bytes) + 100000); /* a DIE has a byte at least; some are met twice */
    return HR_OK;
}

void hr_dw_close(struct hr_dw *d)
{
    for (int i = 1; i >= 0; i--) {
        Dwarf_Error err = NULL;
        if (d->file[i].dbg)
            (void)dwarf_object_finish(d->file[i].dbg, &err);
        hr_free(d->file[i].sec);
        hr_free(d->file[i].name);
        hr_free(d->file[i].data);
        for (uint32_t k = 0; d->file[i].own && k < d->file[i].nall; k++)
            hr_free(d->file[i].own[k]);
        hr_free(d->file[i].own);
    }
    hr_types_deinit(&d->raw);
    hr_strs_destroy(d->strs);
    hr_notes_deinit(&d->notes);
    hr_map_deinit(&d->row_of);
    hr_map_deinit(&d->sig_row);
    hr_map_deinit(&d->fscope);
    hr_map_deinit(&d->decl_of);
    hr_map_deinit(&d->imports);
    hr_dwdeclvec_deinit(&d->decls);
    hr_dwvarvec_deinit(&d->vars);
    hr_u32vec_deinit(&d->files);
}

/* ---- names ---- */

hr_str hr_dw_str(struct hr_dw *d, const char *z)
{
    hr_str s;
    if (!z)
        return 0;
    size_t n = strlen(z); /* many DIEs may name one string of a megabyte */
    if (!hr_burn(&d->fuel, n / 256)) {
        d->flags |= HR_BLOB_BUDGET;
        return 0;
    }
    return hr_strs_add(d->strs, z, n, &s) == HR_OK ? s : 0;
}

hr_str hr_dw_qualify(struct hr_dw *d, hr_str scope, const char *name)
{
    hr_str s;
    if (!name || !*name)
        return 0;
    if (!scope || !d->cxx)
        return hr_dw_str(d, name);
    return hr_strs_addf(d->strs, &s, "%s::%s", hr_strs_get(d->strs, scope), name) == HR_OK ? s : 0;
}

bool hr_dw_has_lines(const struct hr_dw *d)
{
    Dwarf_Error err = NULL;
    Dwarf_Attribute at;
    Dwarf_Off off;
    if (!d->cu || dwarf_attr(d->cu, DW_AT_stmt_list, &at, &err) != DW_DLV_OK || dwarf_global_formref(at, &off, &err) != DW_DLV_OK)
        return false;
    for (uint32_t i = 0; i < d->cur->nsec; i++)
        if (!strcmp(d->cur->name[i], ".debug_line"))
            return hr_line_header_sane(hr_dw_section_bytes(d->cur, i), off, d->cur->elf->big);
    return false;
}

static void read_files(struct hr_dw *d)
{
    Dwarf_Error err = NULL;
    d->files_read = true;
    d->files.n = 0;
    d->srcfiles = NULL;
    d->nsrcfiles = 0;
    if (!hr_dw_has_lines(d))
        return;
    if (dwarf_srcfiles(d->cu, &d->srcfiles, &d->nsrcfiles, &err) != DW_DLV_OK)
        d->nsrcfiles = 0;
    /* gcc writes DWARF 5 units, an assembler without -gdwarf-5 line tables of version 3 (Debian's ppc64) */
    Dwarf_Unsigned version = d->version;
    Dwarf_Small tables;
    Dwarf_Line_Context lc = NULL;
    if (dwarf_srclines_b(d->cu, &version, &tables, &lc, &err) == DW_DLV_OK)
        dwarf_srclines_dealloc_b(lc);
    d->files_from_1 = version < 5;
    d->nsrcfiles = d->nsrcfiles > HR_DW_MAX_FILES ? HR_DW_MAX_FILES : d->nsrcfiles;
    for (Dwarf_Signed i = 0; i < d->nsrcfiles; i++)
        if (hr_u32vec_push(&d->files, 0) != HR_OK)
            d->nsrcfiles = i;
}

hr_str hr_dw_file_name(struct hr_dw *d, uint32_t index)
{
    if (!d->files_read)
        read_files(d);
    if (d->files_from_1) { /* before version 5; 0 is "no file" */
        if (!index)
            return 0;
        index--;
    }
    if (index >= d->files.n)
        return 0;
    if (!d->files.v[index])
        d->files.v[index] = hr_dw_str(d, d->srcfiles[index]) + 1;
    return d->files.v[index] - 1;
}

hr_str hr_dw_decl_file(struct hr_dw *d, const struct hr_dw_attrs *a)
{
    return a->has & HR_AT_DECL_FILE ? hr_dw_file_name(d, a->decl_file) : 0;
}

/* ---- references ---- */

static hr_dw_key key_of(enum hr_dw_space space, uint64_t off)
{
    return off >> 60 ? HR_DW_NO_KEY : (uint64_t)space << 60 | off;
}

hr_dw_key hr_dw_die_key(struct hr_dw *d, Dwarf_Die die)
{
    Dwarf_Off off;
    Dwarf_Error err = NULL;
    return dwarf_dieoffset(die, &off, &err) == DW_DLV_OK ? key_of(d->space, off) : HR_DW_NO_KEY;
}

static hr_type slot_row(struct hr_dw *d, struct hr_map *m, uint64_t key)
{
    uint32_t *slot;
    bool was;
    if (hr_map_slot(m, key, (uint32_t)d->raw.rows.n, &slot, &was) != HR_OK)
        return 0;
    if (!was && hr_rowvec_push(&d->raw.rows, (struct hr_type_row){0}) != HR_OK) {
        *slot = 0;
        return 0;
    }
    return *slot;
}

hr_type hr_dw_row(struct hr_dw *d, hr_dw_key key) { return key == HR_DW_NO_KEY ? 0 : slot_row(d, &d->row_of, key); }

hr_type hr_dw_sig(struct hr_dw *d, const Dwarf_Sig8 *sig)
{
    uint64_t key;
    memcpy(&key, sig->signature, 8);
    return slot_row(d, &d->sig_row, key);
}

hr_type hr_dw_type_of(struct hr_dw *d, const struct hr_dw_attrs *a)
{
    if (!(a->has & HR_AT_TYPE))
        return 0;
    return a->type_row ? a->type_row : hr_dw_row(d, a->type);
}

/* ---- attributes ---- */

/* Key of the DIE an attribute refers to; a signature gives its row instead. */
static bool reference(struct hr_dw *d, Dwarf_Attribute at, hr_dw_key *key_ret, hr_type *row_ret)
{
    Dwarf_Half form = 0;
    Dwarf_Error err = NULL;
    Dwarf_Off off;
    *key_ret = HR_DW_NO_KEY;
    *row_ret = 0;
    if (dwarf_whatform(at, &form, &err) != DW_DLV_OK)
        return false;
    if (form == DW_FORM_ref_sig8) {
        Dwarf_Sig8 sig;
        return dwarf_formsig8(at, &sig, &err) == DW_DLV_OK && (*row_ret = hr_dw_sig(d, &sig));
    }
    if (dwarf_global_formref(at, &off, &err) != DW_DLV_OK)
        return false;
    enum hr_dw_space space = d->space;
    if (form == DW_FORM_GNU_ref_alt || form == DW_FORM_ref_sup4 || form == DW_FORM_ref_sup8) {
        space = HR_DW_ALT;
        if (!d->file[HR_DW_ALT_FILE].dbg) {
            d->flags |= HR_BLOB_NO_ALT;
            return false;
        }
    } else if (form == DW_FORM_ref_addr && space == HR_DW_TYPES) {
        space = HR_DW_INFO;
    }
    *key_ret = key_of(space, off);
    return *key_ret != HR_DW_NO_KEY;
}

/* A constant of any form; two's complement in 64 bits. false: not a constant (an expression, a reference). */
static bool constant(Dwarf_Attribute at, uint64_t *ret)
{
    Dwarf_Error err = NULL;
    Dwarf_Half form = 0;
    Dwarf_Unsigned u;
    Dwarf_Signed s;
    if (dwarf_whatform(at, &form, &err) != DW_DLV_OK)
        return false;
    if (form == DW_FORM_sdata || form == DW_FORM_implicit_const) {
        if (dwarf_formsdata(at, &s, &err) != DW_DLV_OK)
            return false;
        *ret = (uint64_t)s;
        return true;
    }
    if (dwarf_formudata(at, &u, &err) != DW_DLV_OK)
        return false;
    *ret = u;
    return true;
}

static bool flag(Dwarf_Attribute at)
{
    Dwarf_Bool b = 0;
    Dwarf_Error err = NULL;
    return dwarf_formflag(at, &b, &err) == DW_DLV_OK && b;
}

static bool expression(Dwarf_Attribute at, const uint8_t **p, uint64_t *n)
{
    Dwarf_Error err = NULL;
    Dwarf_Half form = 0;
    if (dwarf_whatform(at, &form, &err) != DW_DLV_OK)
        return false;
    if (form == DW_FORM_exprloc) {
        Dwarf_Unsigned len = 0;
        Dwarf_Ptr ptr = NULL;
        if (dwarf_formexprloc(at, &len, &ptr, &err) != DW_DLV_OK)
            return false;
        *p = ptr;
        *n = len;
        return true;
    }
    if (form != DW_FORM_block1 && form != DW_FORM_block2 && form != DW_FORM_block4 && form != DW_FORM_block)
        return false;
    Dwarf_Block *b = NULL;
    if (dwarf_formblock(at, &b, &err) != DW_DLV_OK)
        return false;
    *p = b->bl_data;
    *n = b->bl_len;
    return true;
}

/* DW_AT_data_member_location: a constant, or DWARF 2's `plus_uconst N`; anything else is a virtual base's. */
static void member_location(struct hr_dw *d, Dwarf_Attribute at, struct hr_dw_attrs *a)
{
    const uint8_t *p;
    uint64_t n;
    if (expression(at, &p, &n)) {
        struct hr_cursor c = hr_cursor((struct hr_span){p, n}, d->cur->elf->big, d->addr_size);
        uint8_t op = hr_cur_u8(&c);
        a->member_loc = op == DW_OP_plus_uconst || op == DW_OP_constu ? hr_cur_uleb(&c) : 0;
        bool simple = (op == DW_OP_plus_uconst || op == DW_OP_constu) && !c.bad;
        a->has |= simple && hr_cur_left(&c) <= 1 ? HR_AT_MEMBER_LOC : HR_AT_VIRTUAL;
    } else if (constant(at, &a->member_loc)) {
        a->has |= HR_AT_MEMBER_LOC;
    }
}

static void want_const(Dwarf_Attribute at, uint32_t bit, uint64_t *where, struct hr_dw_attrs *a)
{
    if (constant(at, where))
        a->has |= bit;
}

static void one_attr(struct hr_dw *d, Dwarf_Attribute at, Dwarf_Half what, struct hr_dw_attrs *a)
{
    Dwarf_Error err = NULL;
    uint64_t u = 0;
    char *z;
    hr_type row;
    hr_dw_key key;
    switch (what) {
    case DW_AT_name:
        if (dwarf_formstring(at, &z, &err) != DW_DLV_OK)
            break;
        if (!strncmp(z, "<DW_FORM_", 9)) { /* what libdwarf says instead of a string of a missing dwz file */
            d->flags |= HR_BLOB_NO_ALT;
            break;
        }
        a->name = z;
        a->has |= HR_AT_NAME;
        break;
    case DW_AT_type:
        if (reference(d, at, &a->type, &a->type_row))
            a->has |= HR_AT_TYPE;
        break;
    case DW_AT_import:
    case DW_AT_specification:
    case DW_AT_abstract_origin:
        if (reference(d, at, &a->origin, &row) && a->origin != HR_DW_NO_KEY)
            a->has |= HR_AT_ORIGIN;
        break;
    case DW_AT_signature:
        if (reference(d, at, &key, &a->sig_row) && a->sig_row)
            a->has |= HR_AT_SIG;
        break;
    case DW_AT_byte_size: want_const(at, HR_AT_SIZE, &a->size, a); break;
    case DW_AT_bit_size: want_const(at, HR_AT_BIT_SIZE, &a->bit_size, a); break;
    case DW_AT_bit_offset: want_const(at, HR_AT_BIT_OFFSET, &a->bit_offset, a); break;
    case DW_AT_data_bit_offset: want_const(at, HR_AT_DATA_BIT_OFFSET, &a->data_bit_offset, a); break;
    case DW_AT_upper_bound: want_const(at, HR_AT_UPPER, &a->upper, a); break;
    case DW_AT_lower_bound: want_const(at, HR_AT_LOWER, &a->lower, a); break;
    case DW_AT_count: want_const(at, HR_AT_COUNT, &a->count, a); break;
    case DW_AT_encoding: want_const(at, 0, &a->encoding, a); break;
    case DW_AT_const_value:
        if (constant(at, &u)) {
            a->value = (int64_t)u;
            a->has |= HR_AT_CONST;
        }
        break;
    case DW_AT_decl_file:
        if (constant(at, &u) && u < HR_DW_MAX_FILES) { /* 0 is a file since DWARF 5 */
            a->decl_file = (uint32_t)u;
            a->has |= HR_AT_DECL_FILE;
        }
        break;
    case DW_AT_decl_line: a->decl_line = constant(at, &u) && u < UINT32_MAX ? (uint32_t)u : 0; break;
    case DW_AT_declaration: a->has |= flag(at) ? HR_AT_DECLARATION : 0; break;
    case DW_AT_external: a->has |= flag(at) ? HR_AT_EXTERNAL : 0; break;
    case DW_AT_artificial: a->has |= flag(at) ? HR_AT_ARTIFICIAL : 0; break;
    case DW_AT_containing_type: a->has |= HR_AT_CONTAINING; break;
    case DW_AT_inline: a->has |= HR_AT_INLINE; break;
    case DW_AT_virtuality: a->has |= constant(at, &u) && u ? HR_AT_VIRTUAL : 0; break;
    case DW_AT_data_member_location: member_location(d, at, a); break;
    case DW_AT_location:
        a->has |= HR_AT_ANY_LOCATION;
        if (expression(at, &a->loc, &a->loc_len))
            a->has |= HR_AT_LOCATION;
        break;
    default: break;
    }
}

enum hr_status hr_dw_attrs(struct hr_dw *d, Dwarf_Die die, struct hr_dw_attrs *ret)
{
    Dwarf_Attribute *list = NULL;
    Dwarf_Signed n = 0;
    Dwarf_Error err = NULL;
    *ret = (struct hr_dw_attrs){.type = HR_DW_NO_KEY, .origin = HR_DW_NO_KEY};
    int r = dwarf_attrlist(die, &list, &n, &err);
    if (r == DW_DLV_NO_ENTRY)
        return HR_OK;
    if (r != DW_DLV_OK)
        return HR_CORRUPT;
    for (Dwarf_Signed i = 0; i < n; i++) {
        Dwarf_Half what = 0;
        if (dwarf_whatattr(list[i], &what, &err) == DW_DLV_OK)
            one_attr(d, list[i], what, ret);
        dwarf_dealloc(d->cur->dbg, list[i], DW_DLA_ATTR);
    }
    dwarf_dealloc(d->cur->dbg, list, DW_DLA_LIST);
    return HR_OK;
}
