/* Variables with a fixed place: globals, statics, thread-locals, static members. Runs in the child only. */
#include <string.h>

#include "analyzer/types/dwarf.h"

enum { LOC_STACK = 16, LOC_OPS = 64 }; /* of an address expression; compilers use 3 */

struct loc {
    uint64_t v[LOC_STACK];
    unsigned n;
    bool address; /* some operand was an address */
    bool tls;
};

static bool push(struct loc *l, uint64_t v)
{
    if (l->n == LOC_STACK)
        return false;
    l->v[l->n++] = v;
    return true;
}

static bool indexed(Dwarf_Die die, struct hr_cursor *c, uint64_t *ret)
{
    Dwarf_Addr addr = 0;
    Dwarf_Error err = NULL;
    uint64_t i = hr_cur_uleb(c);
    if (c->bad || dwarf_debug_addr_index_to_addr(die, i, &addr, &err) != DW_DLV_OK)
        return false;
    *ret = addr;
    return true;
}

static int64_t sext(uint64_t v, unsigned bytes)
{
    unsigned s = 64 - 8 * bytes;
    return (int64_t)(v << s) >> s;
}

/* One operator; false when it is none that a fixed place needs. */
static bool step(struct loc *l, Dwarf_Die die, struct hr_cursor *c, uint8_t op)
{
    static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 8, 8}; /* const1u, const1s, const2u … */
    uint64_t v;
    if (op >= DW_OP_lit0 && op <= DW_OP_lit31)
        return push(l, op - DW_OP_lit0);
    if (op >= DW_OP_const1u && op <= DW_OP_const8s) {
        unsigned w = width[op - DW_OP_const1u];
        v = hr_cur_uint(c, w);
        return push(l, (op - DW_OP_const1u) & 1 ? (uint64_t)sext(v, w) : v);
    }
    switch (op) {
    case DW_OP_addr:
        l->address = true;
        return push(l, hr_cur_addr(c));
    case DW_OP_addrx:
    case DW_OP_GNU_addr_index:
        l->address = true;
        return indexed(die, c, &v) && push(l, v);
    case DW_OP_constx:
    case DW_OP_GNU_const_index: return indexed(die, c, &v) && push(l, v);
    case DW_OP_constu: return push(l, hr_cur_uleb(c));
    case DW_OP_consts: return push(l, (uint64_t)hr_cur_sleb(c));
    case DW_OP_plus_uconst:
        v = hr_cur_uleb(c);
        if (!l->n)
            return false;
        l->v[l->n - 1] += v;
        return true;
    case DW_OP_plus:
    case DW_OP_minus:
        if (l->n < 2)
            return false;
        l->n--;
        l->v[l->n - 1] += op == DW_OP_plus ? l->v[l->n] : -l->v[l->n];
        return true;
    case DW_OP_form_tls_address:
    case DW_OP_GNU_push_tls_address:
        l->tls = true;
        return l->n > 0;
    case DW_OP_nop:
    case DW_OP_GNU_uninit: return true;
    default: return false;
    }
}

static bool fixed_place(struct hr_dw *d, Dwarf_Die die, const struct hr_dw_attrs *a, uint64_t *addr_ret, bool *tls_ret)
{
    struct hr_cursor c = hr_cursor((struct hr_span){a->loc, a->loc_len}, d->cur->elf->big, d->addr_size);
    struct loc l = {.n = 0};
    for (int i = 0; hr_cur_left(&c); i++) {
        uint8_t op = hr_cur_u8(&c);
        if (i == LOC_OPS || !step(&l, die, &c, op) || c.bad)
            return false;
    }
    if (l.n != 1 || !(l.address || l.tls))
        return false;
    *addr_ret = d->addr_size == 4 ? (uint32_t)l.v[0] : l.v[0];
    *tls_ret = l.tls;
    return true;
}

/* Addresses of variables that the linker threw away are 0, -1 or -2. */
static bool plausible(const struct hr_dw *d, uint64_t addr)
{
    if (!addr || addr >= UINT64_MAX - 1)
        return false;
    bool any = false;
    for (uint32_t i = 0; d->exec && i < d->exec->nph; i++) {
        const struct hr_phdr *p = &d->exec->ph[i];
        if (p->type != 1 /* PT_LOAD */)
            continue;
        any = true;
        if (addr >= p->vaddr && addr - p->vaddr < p->memsz)
            return true;
    }
    return !any;
}

hr_str hr_dw_func_name(struct hr_dw *d, Dwarf_Die func)
{
    hr_str name = 0, scope = 0;
    Dwarf_Die die = func;
    for (int hop = 0; hop < 4 && die; hop++) {
        struct hr_dw_attrs a;
        if (hr_dw_attrs(d, die, &a) != HR_OK)
            break;
        hr_dw_key key = hr_dw_die_key(d, die);
        uint32_t s = key == HR_DW_NO_KEY ? HR_NONE : hr_map_get(&d->fscope, key);
        scope = s != HR_NONE ? s : scope;
        name = name ? name : hr_dw_str(d, a.name);
        if (die != func)
            dwarf_dealloc(d->cur->dbg, die, DW_DLA_DIE);
        die = NULL;
        Dwarf_Error err = NULL;
        if (a.has & HR_AT_ORIGIN && a.origin >> 60 == d->space &&
            dwarf_offdie_b(d->cur->dbg, a.origin & (UINT64_MAX >> 4), d->space != HR_DW_TYPES, &die, &err) != DW_DLV_OK)
            die = NULL;
    }
    if (die && die != func)
        dwarf_dealloc(d->cur->dbg, die, DW_DLA_DIE);
    return name && scope ? hr_dw_qualify(d, scope, hr_strs_get(d->strs, name)) : name;
}

/* A variable without a place: what a definition elsewhere may refer to for its name and type. */
static enum hr_status declared(struct hr_dw *d, Dwarf_Die die, const struct hr_dw_attrs *a, hr_str scope, bool in_struct)
{
    hr_dw_key key = hr_dw_die_key(d, die);
    if (key == HR_DW_NO_KEY || !(a->has & (HR_AT_NAME | HR_AT_ORIGIN)) || a->has & HR_AT_MEMBER_LOC)
        return HR_OK;
    struct hr_dw_decl decl = {.name = hr_dw_qualify(d, scope, a->name), .type = hr_dw_type_of(d, a), .line = a->decl_line,
                              .member = in_struct, .origin = a->origin};
    decl.file = hr_dw_decl_file(d, a);
    HR_TRY(hr_map_put(&d->decl_of, key, (uint32_t)d->decls.n));
    return hr_dwdeclvec_push(&d->decls, decl);
}

/* The source file of the current unit; link-time optimisation leaves units of the name "<artificial>", which is none. */
static hr_str unit_name(struct hr_dw *d)
{
    if (!d->unit_read) {
        char *name = NULL;
        Dwarf_Error err = NULL;
        d->unit_read = true;
        d->unit = d->cu && dwarf_diename(d->cu, &name, &err) == DW_DLV_OK && *name != '<' ? hr_dw_str(d, name) : 0;
    }
    return d->unit;
}

enum hr_status hr_dw_variable(struct hr_dw *d, Dwarf_Die die, hr_str scope, Dwarf_Die func, bool in_struct)
{
    struct hr_dw_attrs a;
    uint64_t addr;
    bool tls;
    if (hr_dw_attrs(d, die, &a) != HR_OK) {
        d->flags |= HR_BLOB_DAMAGED;
        return HR_OK;
    }
    if (!(a.has & HR_AT_ANY_LOCATION))
        return declared(d, die, &a, scope, in_struct);
    if (!(a.has & HR_AT_LOCATION))
        return HR_OK; /* moves about: not a root of fixed place */
    /* A declaration with a place also serves as an origin (gcc's abstract instance of a static local). */
    if (func && !(a.has & HR_AT_ORIGIN) && a.loc_len && *a.loc == DW_OP_fbreg)
        return HR_OK;
    if (!fixed_place(d, die, &a, &addr, &tls) || (!tls && !plausible(d, addr)))
        return HR_OK;
    struct hr_dw_var w = {.origin = a.has & HR_AT_ORIGIN ? a.origin : HR_DW_NO_KEY};
    w.v = (struct hr_var){.addr = addr, .type = hr_dw_type_of(d, &a), .decl_line = a.decl_line};
    w.v.kind = tls ? HR_VAR_TLS : func ? HR_VAR_STATIC_LOCAL : in_struct ? HR_VAR_MEMBER : HR_VAR_GLOBAL;
    w.v.name = func ? hr_dw_str(d, a.name) : hr_dw_qualify(d, scope, a.name);
    w.v.decl_file = hr_dw_decl_file(d, &a);
    w.v.func = func ? hr_dw_func_name(d, func) : 0;
    w.v.unit = unit_name(d);
    return hr_dwvarvec_push(&d->vars, w);
}

/* Takes from a declaration what the variable does not say itself. `extern T a[]` and its definition `T a[4]`: the
 * definition knows more. */
static void inherit(struct hr_var *v, const struct hr_dw_decl *o)
{
    v->name = o->name ? o->name : v->name;
    v->type = v->type ? v->type : o->type;
    v->decl_file = v->decl_file ? v->decl_file : o->file;
    v->decl_line = v->decl_line ? v->decl_line : o->line;
    if (o->member && v->kind == HR_VAR_GLOBAL)
        v->kind = HR_VAR_MEMBER;
}

enum hr_status hr_dw_resolve_vars(struct hr_dw *d)
{
    for (size_t i = 0; i < d->vars.n; i++) {
        struct hr_dw_var *w = &d->vars.v[i];
        hr_dw_key from = w->origin;
        for (int hop = 0; hop < 4 && from != HR_DW_NO_KEY; hop++) { /* link-time optimisation takes two */
            uint32_t k = hr_map_get(&d->decl_of, from);
            if (k == HR_NONE)
                break;
            inherit(&w->v, &d->decls.v[k]);
            from = d->decls.v[k].origin;
        }
        if (w->v.name)
            HR_TRY(hr_varvec_push(&d->raw.vars, w->v));
    }
    return HR_OK;
}
