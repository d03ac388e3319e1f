/* Names that are known only when all DIEs have been met. Runs in the child only. */
#include "analyzer/types/dwarf.h"

static hr_type through_aliases(const struct hr_dw *d, hr_type id)
{
    for (int hop = 0; hop < HR_T_HOPS && hr_type_get(&d->raw, id)->kind == HR_T_ALIAS; hop++)
        id = hr_type_get(&d->raw, id)->target;
    return id < d->raw.rows.n ? id : 0;
}

/* C's `typedef struct { … } name;` has no name but that. */
static void name_anonymous(struct hr_dw *d)
{
    for (size_t i = 1; i < d->raw.rows.n; i++) {
        const struct hr_type_row *r = &d->raw.rows.v[i];
        if (r->kind != HR_T_TYPEDEF || !r->name)
            continue;
        struct hr_type_row *s = &d->raw.rows.v[through_aliases(d, r->target)];
        if ((s->kind == HR_T_STRUCT || s->kind == HR_T_UNION || s->kind == HR_T_ENUM) && !s->name) {
            s->name = r->name;
            s->flags |= HR_TF_TYPEDEF_NAME;
        }
    }
}

static const char *last_component(const char *z)
{
    const char *best = z;
    int depth = 0;
    for (const char *p = z; *p; p++) {
        depth += (*p == '<' || *p == '(') - (*p == '>' || *p == ')');
        if (!depth && p[0] == ':' && p[1] == ':')
            best = p + 2;
    }
    return best;
}

static void name_bases(struct hr_dw *d)
{
    for (size_t i = 0; i < d->raw.fields.n; i++) {
        struct hr_field *f = &d->raw.fields.v[i];
        if (f->flags & HR_FF_BASE)
            f->name = hr_dw_str(d, last_component(hr_strs_get(d->strs, hr_type_get(&d->raw, through_aliases(d, f->type))->name)));
    }
}

enum hr_status hr_dw_finish(struct hr_dw *d)
{
    name_anonymous(d);
    name_bases(d);
    return hr_dw_resolve_vars(d);
}
