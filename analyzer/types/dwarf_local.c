/* Writing down one pc's functions, locals and call site. Runs in the child only. */
#include "analyzer/types/dwarf_pc.h"

#include <string.h>

static enum hr_status put(struct hr_pcw *w, const void *p, size_t n)
{
    HR_TRY(hr_u8vec_reserve(&w->buf, w->buf.n + n));
    if (n)
        memcpy(w->buf.v + w->buf.n, p, n);
    w->buf.n += n;
    return HR_OK;
}
static enum hr_status put8(struct hr_pcw *w, uint8_t v) { return put(w, &v, 1); }
static enum hr_status put32(struct hr_pcw *w, uint32_t v) { return put(w, &v, 4); }
static enum hr_status put64(struct hr_pcw *w, uint64_t v) { return put(w, &v, 8); }
static enum hr_status put_bytes(struct hr_pcw *w, struct hr_span s)
{
    HR_TRY(put32(w, (uint32_t)hr_min(s.n, UINT32_MAX)));
    return put(w, s.p, hr_min(s.n, UINT32_MAX));
}
static enum hr_status put_str(struct hr_pcw *w, const char *z)
{
    return put_bytes(w, (struct hr_span){(const uint8_t *)z, z ? hr_min(strlen(z), HR_MAX_STRING) : 0});
}

/* ---- attributes along a chain of abstract origins ---- */

struct facts {
    const char *name;
    hr_type type;
    hr_str file;
    uint32_t line, has;
    int64_t value;
};

static void merge_facts(struct hr_pcw *w, const struct hr_dw_attrs *a, bool same_unit, struct facts *f)
{
    f->name = f->name ? f->name : a->name;
    f->type = f->type ? f->type : hr_dw_type_of(&w->d, a);
    if (!f->line && a->decl_line) {
        f->line = a->decl_line;
        f->file = same_unit ? hr_dw_file_name(&w->d, a->decl_file) : 0;
    }
    if (a->has & HR_AT_CONST && !(f->has & HR_AT_CONST))
        f->value = a->value;
    f->has |= a->has;
}

static struct facts facts_of(struct hr_pcw *w, Dwarf_Die die)
{
    struct hr_dw *d = &w->d;
    const struct hr_dw_file *cur = d->cur;
    enum hr_dw_space space = d->space;
    struct facts f = {0};
    Dwarf_Off unit = 0, len = 0, off = 0;
    Dwarf_Error err = NULL;
    (void)dwarf_die_CU_offset_range(d->cu, &unit, &len, &err);
    bool same = true;
    for (int hop = 0; hop < 4 && die; hop++) {
        struct hr_dw_attrs a;
        if (hr_dw_attrs(d, die, &a) != HR_OK)
            break;
        merge_facts(w, &a, same, &f);
        if (!(a.has & HR_AT_ORIGIN))
            break;
        off = a.origin & (UINT64_MAX >> 4);
        d->space = (enum hr_dw_space)(a.origin >> 60);
        d->cur = &d->file[d->space == HR_DW_ALT ? HR_DW_ALT_FILE : HR_DW_MAIN_FILE];
        same = same && d->space == space && off >= unit && off - unit < len;
        die = NULL;
        if (!d->cur->dbg || dwarf_offdie_b(d->cur->dbg, off, d->space != HR_DW_TYPES, &die, &err) != DW_DLV_OK)
            break;
    }
    d->cur = cur;
    d->space = space;
    return f;
}

/* ---- expressions ---- */

/* An address by index becomes the address itself: the parent has no .debug_addr. Only at the start, where compilers put
 * it: nothing before it can branch over it. */
static enum hr_status put_expr(struct hr_pcw *w, struct hr_span e)
{
    if (!e.n || (e.p[0] != DW_OP_addrx && e.p[0] != DW_OP_GNU_addr_index))
        return put_bytes(w, e);
    struct hr_cursor c = hr_cursor(e, w->d.cur->elf->big, w->d.addr_size);
    Dwarf_Addr addr = 0;
    Dwarf_Error err = NULL;
    hr_cur_u8(&c);
    uint64_t i = hr_cur_uleb(&c);
    if (c.bad || dwarf_debug_addr_index_to_addr(w->d.cu, i, &addr, &err) != DW_DLV_OK)
        return put_bytes(w, (struct hr_span){0});
    uint8_t head[9] = {DW_OP_addr};
    unsigned word = w->d.addr_size == 4 ? 4 : 8;
    for (unsigned k = 0; k < word; k++)
        head[1 + k] = (uint8_t)(addr >> 8 * (c.big ? word - 1 - k : k));
    HR_TRY(put32(w, (uint32_t)(1 + word + hr_cur_left(&c))));
    HR_TRY(put(w, head, 1 + word));
    return put(w, c.p, hr_cur_left(&c));
}

/* Statics and thread-locals have a fixed place: they are variables of the module, not of the frame. */
static bool fixed_place(struct hr_span e)
{
    if (!e.n || e.p[e.n - 1] == DW_OP_stack_value)
        return false;
    uint8_t op = e.p[0], last = e.p[e.n - 1];
    return op == DW_OP_addr || op == DW_OP_addrx || op == DW_OP_GNU_addr_index ||
           (last == DW_OP_form_tls_address && e.n > 1) || (last == DW_OP_GNU_push_tls_address && e.n > 1);
}

/* ---- one local ---- */

static enum hr_status write_local(struct hr_pcw *w, Dwarf_Die die, uint64_t pc, uint32_t *count)
{
    Dwarf_Half tag = 0;
    Dwarf_Error err = NULL;
    struct hr_span e = {0};
    (void)dwarf_tag(die, &tag, &err);
    struct facts f = facts_of(w, die);
    bool placed = hr_dw_location(&w->d, &w->unit, die, DW_AT_location, pc, &e);
    if (!f.name || !*f.name || (placed && fixed_place(e)))
        return HR_OK;
    if (!(f.has & HR_AT_ANY_LOCATION) && f.has & (HR_AT_DECLARATION | HR_AT_EXTERNAL))
        return HR_OK;
    HR_TRY(put_str(w, f.name));
    HR_TRY(hr_u32vec_push(&w->type_at, (uint32_t)w->buf.n));
    HR_TRY(put32(w, f.type));
    HR_TRY(put8(w, tag == DW_TAG_formal_parameter));
    HR_TRY(put_str(w, hr_strs_get(w->d.strs, f.file)));
    HR_TRY(put32(w, f.line));
    HR_TRY(put8(w, f.has & HR_AT_CONST && !placed));
    HR_TRY(put64(w, (uint64_t)f.value));
    HR_TRY(put_expr(w, placed ? e : (struct hr_span){0}));
    ++*count;
    return HR_OK;
}

/* ---- one level ---- */

static uint64_t unsigned_attr(Dwarf_Die die, Dwarf_Half what)
{
    Dwarf_Attribute at = NULL;
    Dwarf_Error err = NULL;
    Dwarf_Unsigned u = 0;
    if (dwarf_attr(die, what, &at, &err) != DW_DLV_OK || dwarf_formudata(at, &u, &err) != DW_DLV_OK)
        return 0;
    return u;
}

static enum hr_status write_level(struct hr_pcw *w, uint32_t level, uint64_t pc)
{
    struct hr_dw *d = &w->d;
    Dwarf_Die die = w->level[level];
    Dwarf_Addr entry = 0;
    Dwarf_Error err = NULL;
    struct hr_span fb = {0};
    uint64_t file = unsigned_attr(die, DW_AT_call_file), line = unsigned_attr(die, DW_AT_call_line);
    HR_TRY(put8(w, level > 0));
    HR_TRY(put_str(w, hr_strs_get(d->strs, hr_dw_func_name(d, die))));
    HR_TRY(put_str(w, level && file < HR_DW_MAX_FILES ? hr_strs_get(d->strs, hr_dw_file_name(d, (uint32_t)file)) : ""));
    HR_TRY(put32(w, level && line < UINT32_MAX ? (uint32_t)line : 0));
    if (level || dwarf_lowpc(die, &entry, &err) != DW_DLV_OK)
        entry = 0;
    HR_TRY(put64(w, entry));
    if (!level && !hr_dw_location(d, &w->unit, die, DW_AT_frame_base, pc, &fb))
        fb = (struct hr_span){0};
    HR_TRY(put_bytes(w, fb));
    size_t at = w->buf.n;
    uint32_t n = 0;
    HR_TRY(put32(w, 0));
    for (size_t i = 0; i < w->locals.n; i++)
        if (w->locals.v[i].level == level)
            HR_TRY(write_local(w, w->locals.v[i].die, pc, &n));
    memcpy(w->buf.v + at, &n, 4);
    return HR_OK;
}

/* ---- the call ---- */

static enum hr_status write_parameter(struct hr_pcw *w, Dwarf_Die die, uint64_t pc, uint32_t *count)
{
    struct hr_span where, value;
    if (!hr_dw_location(&w->d, &w->unit, die, DW_AT_location, pc, &where))
        return HR_OK;
    if (!hr_dw_location(&w->d, &w->unit, die, DW_AT_call_value, pc, &value) &&
        !hr_dw_location(&w->d, &w->unit, die, DW_AT_GNU_call_site_value, pc, &value))
        return HR_OK;
    HR_TRY(put_bytes(w, where));
    HR_TRY(put_expr(w, value));
    ++*count;
    return HR_OK;
}

static enum hr_status write_callee(struct hr_pcw *w, uint64_t pc)
{
    static const Dwarf_Half origins[] = {DW_AT_call_origin, DW_AT_abstract_origin};
    static const Dwarf_Half targets[] = {DW_AT_call_target, DW_AT_GNU_call_site_target};
    struct hr_dw *d = &w->d;
    Dwarf_Die callee = NULL;
    Dwarf_Error err = NULL;
    struct hr_span target = {0};
    for (int k = 0; k < 2 && !callee; k++) {
        Dwarf_Attribute at = NULL;
        Dwarf_Off off;
        if (dwarf_attr(w->call_site, origins[k], &at, &err) != DW_DLV_OK || dwarf_global_formref(at, &off, &err) != DW_DLV_OK ||
            dwarf_offdie_b(d->cur->dbg, off, 1, &callee, &err) != DW_DLV_OK)
            callee = NULL;
    }
    for (int k = 0; k < 2 && !target.n; k++)
        if (!hr_dw_location(d, &w->unit, w->call_site, targets[k], pc, &target))
            target = (struct hr_span){0};
    HR_TRY(put_str(w, callee ? hr_strs_get(d->strs, hr_dw_func_name(d, callee)) : ""));
    return put_expr(w, target);
}

static enum hr_status write_call(struct hr_pcw *w, uint64_t pc)
{
    size_t at = w->buf.n;
    uint32_t n = 0;
    HR_TRY(put32(w, 0));
    if (!w->call_site)
        return HR_OK;
    HR_TRY(write_callee(w, pc));
    Dwarf_Die die = NULL, next;
    Dwarf_Error err = NULL;
    if (dwarf_child(w->call_site, &die, &err) != DW_DLV_OK)
        die = NULL;
    while (die && hr_burn(&w->d.fuel, 1)) {
        HR_TRY(write_parameter(w, die, pc, &n));
        next = NULL;
        if (dwarf_siblingof_b(w->d.cur->dbg, die, 1, &next, &err) != DW_DLV_OK)
            break;
        die = next;
    }
    if (!n)
        w->buf.n = at + 4; /* the callee is said only when parameters follow */
    memcpy(w->buf.v + at, &n, 4);
    return HR_OK;
}

enum hr_status hr_pc_write(struct hr_pcw *w, size_t i)
{
    uint64_t pc = w->q->ask[i].pc;
    size_t start = w->buf.n;
    HR_TRY(put_str(w, w->line[i].file));
    HR_TRY(put32(w, w->line[i].line));
    HR_TRY(put32(w, w->nlevels));
    for (uint32_t l = w->nlevels; l-- > 0;)
        HR_TRY(write_level(w, l, pc));
    HR_TRY(write_call(w, pc));
    w->part[i] = (struct hr_pc_part){start, w->buf.n - start};
    return HR_OK;
}
