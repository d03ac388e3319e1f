/* The flat form of a type table: little endian, fixed records, strings at the end. Written by the child, read by the
 * parent and kept in the cache; the reader believes nothing.
 *
 *   magic "HRTYPES\0", u32 version, u32 flags, u64 × {rows, fields, tparams, vars, strings, string bytes}, u64 checksum
 *   row 48: kind u8, flags u8, 0 u16, name, nfields, ntparams, target, decl_file, decl_line, vptr_off u32; size, count u64
 *   field 16, tparam 20, var 36, then the strings in order of id, each with its NUL */
#include <string.h>

#include "analyzer/types/child.h"
#include "analyzer/types/table.h"

enum { HEAD = 8 + 4 + 4 + 7 * 8, ROW = 48, FIELD = 16, TPARAM = 20, VAR = 36 };
static const uint8_t magic[8] = "HRTYPES";

static uint8_t *st(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        *p++ = (uint8_t)(v >> 8 * i);
    return p;
}

static enum hr_status write_rows(const struct hr_types *t, struct hr_child_out *out)
{
    for (size_t i = 0; i < t->rows.n; i++) {
        const struct hr_type_row *r = &t->rows.v[i];
        uint8_t b[ROW], *p = st(st(st(b, r->kind, 1), r->flags, 1), 0, 2);
        p = st(st(st(st(p, r->name, 4), r->nfields, 4), r->ntparams, 4), r->target, 4);
        p = st(st(st(p, r->decl_file, 4), r->decl_line, 4), r->vptr_off, 4);
        st(st(p, r->size, 8), r->count, 8);
        HR_TRY(hr_child_put(out, b, ROW));
    }
    return HR_OK;
}

/* Fields and parameters follow in the order of their rows, so rows need only say how many. */
static enum hr_status write_fields(const struct hr_types *t, struct hr_child_out *out)
{
    for (size_t i = 0; i < t->rows.n; i++)
        for (uint32_t k = 0; k < t->rows.v[i].nfields; k++) {
            const struct hr_field *f = &t->fields.v[t->rows.v[i].field0 + k];
            uint8_t b[FIELD], *p = st(st(st(b, f->name, 4), f->type, 4), f->off, 4);
            st(st(st(p, f->bit_off, 1), f->bit_size, 1), f->flags, 2);
            HR_TRY(hr_child_put(out, b, FIELD));
        }
    for (size_t i = 0; i < t->rows.n; i++)
        for (uint32_t k = 0; k < t->rows.v[i].ntparams; k++) {
            const struct hr_tparam *q = &t->tparams.v[t->rows.v[i].tparam0 + k];
            uint8_t b[TPARAM];
            st(st(st(st(b, q->name, 4), q->type, 4), (uint64_t)q->value, 8), q->is_value, 4);
            HR_TRY(hr_child_put(out, b, TPARAM));
        }
    return HR_OK;
}

static enum hr_status write_vars(const struct hr_types *t, struct hr_child_out *out)
{
    for (size_t i = 0; i < t->vars.n; i++) {
        const struct hr_var *v = &t->vars.v[i];
        uint8_t b[VAR], *p = st(st(st(b, v->name, 4), v->type, 4), v->addr, 8);
        st(st(st(st(st(p, v->kind, 4), v->decl_file, 4), v->decl_line, 4), v->func, 4), v->unit, 4);
        HR_TRY(hr_child_put(out, b, VAR));
    }
    return HR_OK;
}

enum hr_status hr_blob_write(const struct hr_types *t, uint32_t flags, struct hr_child_out *out)
{
    uint64_t nf = 0, np = 0, bytes = 0, ns = hr_strs_count(t->strs);
    for (size_t i = 0; i < t->rows.n; i++) {
        nf += t->rows.v[i].nfields;
        np += t->rows.v[i].ntparams;
    }
    for (uint32_t i = 0; i < ns; i++)
        bytes += strlen(hr_strs_get(t->strs, i)) + 1;
    size_t start = out->n;
    uint8_t b[HEAD] = {0}, *p = b + 8;
    memcpy(b, magic, 8);
    p = st(st(p, HR_BLOB_VERSION, 4), flags, 4);
    p = st(st(st(p, t->rows.n, 8), nf, 8), np, 8);
    st(st(st(p, t->vars.n, 8), ns, 8), bytes, 8);
    HR_TRY(hr_child_put(out, b, HEAD));
    HR_TRY(write_rows(t, out));
    HR_TRY(write_fields(t, out));
    HR_TRY(write_vars(t, out));
    for (uint32_t i = 0; i < ns; i++) {
        const char *z = hr_strs_get(t->strs, i);
        HR_TRY(hr_child_put(out, z, strlen(z) + 1));
    }
    uint64_t sum = hr_hash_bytes(out->p + start + HEAD, out->n - start - HEAD, HR_BLOB_VERSION);
    st(out->p + start + HEAD - 8, sum, 8);
    return HR_OK;
}

struct reader {
    struct hr_cursor c;
    struct hr_types *t;
    hr_str *str;            /* string of the blob -> string of the pool */
    uint64_t nrows, nfields, ntparams, nvars, nstr, bytes;
};

/* `count` records of `each` bytes are there. */
static bool fits(struct reader *r, uint64_t count, uint64_t each, uint64_t *left)
{
    uint64_t n;
    if (!hr_mul(count, each, &n) || n > *left)
        return false;
    *left -= n;
    (void)r;
    return true;
}

static enum hr_status read_head(struct reader *r, struct hr_span blob, uint32_t *flags_ret)
{
    struct hr_span m = hr_cur_bytes(&r->c, 8);
    uint32_t version = hr_cur_u32(&r->c);
    *flags_ret = hr_cur_u32(&r->c);
    r->nrows = hr_cur_u64(&r->c);
    r->nfields = hr_cur_u64(&r->c);
    r->ntparams = hr_cur_u64(&r->c);
    r->nvars = hr_cur_u64(&r->c);
    r->nstr = hr_cur_u64(&r->c);
    r->bytes = hr_cur_u64(&r->c);
    uint64_t sum = hr_cur_u64(&r->c), left = hr_cur_left(&r->c);
    if (r->c.bad || memcmp(m.p, magic, 8) || version != HR_BLOB_VERSION)
        return HR_CORRUPT;
    if (sum != hr_hash_bytes(blob.p + HEAD, blob.n - HEAD, HR_BLOB_VERSION))
        return HR_CORRUPT;
    bool ok = fits(r, r->nrows, ROW, &left) && fits(r, r->nfields, FIELD, &left) && fits(r, r->ntparams, TPARAM, &left) &&
              fits(r, r->nvars, VAR, &left) && r->bytes == left && r->nstr <= r->bytes && r->nrows && r->nstr;
    return ok && r->nrows <= HR_MAX_TYPES && r->nfields <= HR_MAX_FIELDS ? HR_OK : HR_CORRUPT;
}

static enum hr_status read_strings(struct reader *r, struct hr_span s)
{
    if (s.n && s.p[s.n - 1])
        return HR_CORRUPT;
    size_t at = 0;
    for (uint64_t i = 0; i < r->nstr; i++) {
        if (at >= s.n)
            return HR_CORRUPT;
        const char *z = (const char *)s.p + at;
        size_t n = strlen(z);
        if ((i == 0) != (n == 0))
            return HR_CORRUPT; /* id 0 is the empty string and nothing else is */
        HR_TRY(hr_strs_add(r->t->strs, z, n, &r->str[i]));
        at += n + 1;
    }
    return at == s.n ? HR_OK : HR_CORRUPT;
}

static bool string(struct reader *r, hr_str *ret)
{
    uint32_t i = hr_cur_u32(&r->c);
    *ret = i < r->nstr ? r->str[i] : 0;
    return i < r->nstr;
}

static bool type_id(struct reader *r, hr_type *ret)
{
    *ret = hr_cur_u32(&r->c);
    return *ret < r->nrows;
}

static bool row_ok(const struct hr_type_row *r)
{
    const uint8_t known = HR_TF_DECLARATION | HR_TF_POLYMORPHIC | HR_TF_UNSIZED | HR_TF_CXX | HR_TF_FLEX | HR_TF_TYPEDEF_NAME;
    bool has_fields = r->kind == HR_T_STRUCT || r->kind == HR_T_UNION || r->kind == HR_T_ENUM;
    bool has_target = (r->kind >= HR_T_ENUM && r->kind <= HR_T_MEMBERPTR) || (r->kind >= HR_T_ARRAY && r->kind <= HR_T_TYPEDEF);
    return r->kind <= HR_T_LAST && r->kind != HR_T_RUNTIME && !(r->flags & ~known) && (has_fields || !r->nfields) &&
           (has_target || !r->target) && (r->kind == HR_T_ARRAY || !r->count) &&
           (!(r->flags & HR_TF_DECLARATION) || !r->nfields);
}

static enum hr_status read_rows(struct reader *r)
{
    uint64_t fields = 0, params = 0;
    HR_TRY(hr_rowvec_reserve(&r->t->rows, r->nrows));
    for (uint64_t i = 0; i < r->nrows; i++) {
        struct hr_type_row w = {.kind = hr_cur_u8(&r->c), .flags = hr_cur_u8(&r->c), .module = 0xffff};
        bool ok = !hr_cur_u16(&r->c) && string(r, &w.name);
        w.nfields = hr_cur_u32(&r->c);
        w.ntparams = hr_cur_u32(&r->c);
        ok = type_id(r, &w.target) && ok && string(r, &w.decl_file);
        w.decl_line = hr_cur_u32(&r->c);
        w.vptr_off = hr_cur_u32(&r->c);
        w.size = hr_cur_u64(&r->c);
        w.count = hr_cur_u64(&r->c);
        w.field0 = (uint32_t)fields;
        w.tparam0 = (uint32_t)params;
        fields += w.nfields;
        params += w.ntparams;
        if (!ok || !row_ok(&w) || fields > r->nfields || params > r->ntparams || (!i && w.kind != HR_T_NONE))
            return HR_CORRUPT;
        if (i)
            HR_TRY(hr_rowvec_push(&r->t->rows, w));
    }
    return fields == r->nfields && params == r->ntparams ? HR_OK : HR_CORRUPT;
}

static enum hr_status read_fields(struct reader *r)
{
    HR_TRY(hr_fieldvec_reserve(&r->t->fields, r->nfields));
    for (uint64_t i = 0; i < r->nfields; i++) {
        struct hr_field f = {0};
        bool ok = string(r, &f.name);
        ok = type_id(r, &f.type) && ok;
        f.off = hr_cur_u32(&r->c);
        f.bit_off = hr_cur_u8(&r->c);
        f.bit_size = hr_cur_u8(&r->c);
        f.flags = hr_cur_u16(&r->c);
        if (!ok || f.bit_off > 7 || f.bit_size > 64 || f.flags >= HR_FF_ANON * 2)
            return HR_CORRUPT;
        HR_TRY(hr_fieldvec_push(&r->t->fields, f));
    }
    HR_TRY(hr_tparamvec_reserve(&r->t->tparams, r->ntparams));
    for (uint64_t i = 0; i < r->ntparams; i++) {
        struct hr_tparam p = {0};
        bool ok = string(r, &p.name);
        ok = type_id(r, &p.type) && ok;
        p.value = (int64_t)hr_cur_u64(&r->c);
        uint32_t is = hr_cur_u32(&r->c);
        p.is_value = is != 0;
        if (!ok || is > 1)
            return HR_CORRUPT;
        HR_TRY(hr_tparamvec_push(&r->t->tparams, p));
    }
    return HR_OK;
}

static enum hr_status read_vars(struct reader *r)
{
    HR_TRY(hr_varvec_reserve(&r->t->vars, r->nvars));
    for (uint64_t i = 0; i < r->nvars; i++) {
        struct hr_var v = {0};
        bool ok = string(r, &v.name);
        ok = type_id(r, &v.type) && ok;
        v.addr = hr_cur_u64(&r->c);
        uint32_t kind = hr_cur_u32(&r->c);
        ok = string(r, &v.decl_file) && ok;
        v.decl_line = hr_cur_u32(&r->c);
        ok = string(r, &v.func) && ok && kind <= HR_VAR_MEMBER;
        ok = string(r, &v.unit) && ok;
        v.kind = (uint8_t)kind;
        if (!ok)
            return HR_CORRUPT;
        HR_TRY(hr_varvec_push(&r->t->vars, v));
    }
    return HR_OK;
}

enum hr_status hr_blob_read(struct hr_span blob, struct hr_types *t, uint32_t *flags_ret)
{
    struct reader r = {.c = hr_cursor(blob, false, 8), .t = t};
    uint32_t flags;
    HR_TRY(read_head(&r, blob, &flags));
    HR_AUTOFREE hr_str *str = hr_alloc(r.nstr * sizeof *str);
    if (!str)
        return HR_NOMEM;
    r.str = str;
    HR_TRY(read_strings(&r, (struct hr_span){blob.p + (blob.n - r.bytes), r.bytes}));
    HR_TRY(read_rows(&r));
    HR_TRY(read_fields(&r));
    HR_TRY(read_vars(&r));
    if (r.c.bad)
        return HR_CORRUPT;
    *flags_ret = flags;
    return HR_OK;
}
