/* Names of types for people, and what lies at an offset of a type. */
#include <stdio.h>
#include <string.h>

#include "analyzer/types/table.h"

enum { DECL_MAX = 256 }; /* "*[][4](…)": longer declarators are cut */

static void prepend(char *decl, const char *s)
{
    size_t n = strlen(s), old = strlen(decl);
    if (n + old + 1 > DECL_MAX)
        return;
    memmove(decl + n, decl, old + 1);
    memcpy(decl, s, n);
}

static void append(char *decl, const char *s)
{
    size_t n = strlen(s), old = strlen(decl);
    if (n + old + 1 <= DECL_MAX)
        memcpy(decl + old, s, n + 1);
}

/* Array and function bind tighter than a pointer already written: "(*)[4]". */
static void group(char *decl)
{
    if (*decl == '*' || *decl == '&' || *decl == ':') {
        prepend(decl, "(");
        append(decl, ")");
    }
}

static const char *tag_word(const struct hr_type_row *r)
{
    if (r->flags & (HR_TF_CXX | HR_TF_TYPEDEF_NAME) && r->name)
        return "";
    return r->kind == HR_T_STRUCT ? "struct " : r->kind == HR_T_UNION ? "union " : r->kind == HR_T_ENUM ? "enum " : "";
}

char *hr_type_name(const struct hr_types *t, hr_type id, char *buf, size_t cap)
{
    char decl[DECL_MAX] = "", num[32];
    const struct hr_type_row *r = hr_type_get(t, id);
    bool outer = true;
    for (int i = 0; i < HR_T_HOPS; i++, outer = false) {
        if (r->kind == HR_T_PTR)
            prepend(decl, "*");
        else if (r->kind == HR_T_REF)
            prepend(decl, "&");
        else if (r->kind == HR_T_MEMBERPTR)
            prepend(decl, "::*");
        else if (r->kind == HR_T_FUNC) {
            group(decl);
            append(decl, "()");
        } else if (r->kind == HR_T_ARRAY) {
            group(decl);
            snprintf(num, sizeof num, "[%llu]", (unsigned long long)r->count);
            append(decl, r->count ? num : "[]");
        } else {
            break;
        }
        r = hr_type_get(t, r->target);
    }
    const char *name = hr_strs_get(t->strs, r->name);
    if (!*name)
        name = r->kind == HR_T_STRUCT || r->kind == HR_T_UNION || r->kind == HR_T_ENUM ? "{...}" : outer ? "?" : "void";
    if (r->kind == HR_T_NONE && !outer)
        name = "void";
    snprintf(buf, cap, "%s%s%s%s", tag_word(r), name, *decl ? " " : "", decl);
    return buf;
}

struct todo {
    hr_type id;
    uint64_t off;
};

const struct hr_field *hr_type_field(const struct hr_types *t, hr_type id, const char *name, uint64_t *off_ret)
{
    struct todo stack[HR_T_HOPS];
    unsigned n = 0, steps = 0;
    stack[n++] = (struct todo){id, 0};
    while (n && steps++ < 4096) {
        struct todo at = stack[--n];
        const struct hr_type_row *r = hr_type_get(t, hr_type_strip(t, at.id));
        if (r->kind != HR_T_STRUCT && r->kind != HR_T_UNION && r->kind != HR_T_RUNTIME)
            continue;
        const struct hr_field *f = &t->fields.v[r->field0];
        for (uint32_t i = 0; i < r->nfields; i++)
            if (!(f[i].flags & HR_FF_ANON) && !strcmp(hr_strs_get(t->strs, f[i].name), name)) {
                *off_ret = at.off + f[i].off;
                return &f[i];
            }
        for (uint32_t i = r->nfields; i-- > 0;)
            if (f[i].flags & (HR_FF_ANON | HR_FF_BASE) && !(f[i].flags & HR_FF_VIRTUAL) && n < HR_T_HOPS)
                stack[n++] = (struct todo){f[i].type, at.off + f[i].off};
    }
    return NULL;
}

bool hr_type_offset(const struct hr_types *t, const char *type, const char *path, uint64_t *off_ret)
{
    hr_type id = hr_type_find(t, type);
    uint64_t sum = 0;
    if (!id)
        return false;
    while (*path) {
        char part[HR_MAX_STRING];
        size_t n = strcspn(path, ".");
        uint64_t off;
        if (n >= sizeof part)
            return false;
        memcpy(part, path, n);
        part[n] = 0;
        const struct hr_field *f = hr_type_field(t, id, part, &off);
        if (!f || f->flags & HR_FF_VIRTUAL)
            return false;
        sum += off;
        id = f->type;
        path += n + (path[n] == '.');
    }
    *off_ret = sum;
    return true;
}

static uint64_t field_bytes(const struct hr_types *t, const struct hr_field *f)
{
    if (f->flags & HR_FF_BITFIELD)
        return (f->bit_off + f->bit_size + 7u) / 8;
    return hr_type_get(t, f->type)->size;
}

/* The member that covers byte off: a later one wins over an earlier (a derived class may reuse its base's padding), a
 * named one over a base class; a union's first. */
static const struct hr_field *covering(const struct hr_types *t, const struct hr_type_row *r, uint64_t off)
{
    const struct hr_field *best = NULL;
    for (uint32_t i = 0; i < r->nfields; i++) {
        const struct hr_field *f = &t->fields.v[r->field0 + i];
        if (f->flags & HR_FF_VIRTUAL || off < f->off)
            continue;
        bool in = off - f->off < field_bytes(t, f) || (f->flags & HR_FF_FLEX);
        if (in && !(best && r->kind == HR_T_UNION))
            best = f;
    }
    return best;
}

static size_t put(char *buf, size_t cap, size_t n, const char *s)
{
    int k = snprintf(buf + n, cap - n, "%s", s);
    return k < 0 ? n : hr_min(n + (size_t)k, cap - 1);
}

hr_type hr_type_at(const struct hr_types *t, hr_type id, uint64_t off, char *buf, size_t cap)
{
    size_t n = 0;
    char num[32];
    *buf = 0;
    for (int hops = 0; hops < HR_T_HOPS; hops++) {
        hr_type bare = hr_type_strip(t, id);
        const struct hr_type_row *r = hr_type_get(t, bare);
        if (r->kind == HR_T_ARRAY) {
            uint64_t each = hr_type_get(t, r->target)->size;
            if (!each || (r->count && off / each >= r->count))
                return 0;
            snprintf(num, sizeof num, "[%llu]", (unsigned long long)(off / each));
            n = put(buf, cap, n, num);
            off %= each;
            id = r->target;
        } else if (r->kind == HR_T_STRUCT || r->kind == HR_T_UNION || (r->kind == HR_T_RUNTIME && r->nfields)) {
            const struct hr_field *f = covering(t, r, off);
            if (!f)
                return 0;
            if (!(f->flags & (HR_FF_ANON | HR_FF_BASE))) {
                n = put(buf, cap, n, n ? "." : "");
                n = put(buf, cap, n, hr_strs_get(t->strs, f->name));
            }
            off -= f->off;
            id = f->type;
            if (f->flags & HR_FF_BITFIELD)
                return id;
        } else {
            return r->kind != HR_T_NONE && (!r->size || off < r->size) ? id : 0;
        }
    }
    return 0;
}
