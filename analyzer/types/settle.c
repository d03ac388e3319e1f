/* What follows from the rows once their targets are known. */
#include "analyzer/types/table.h"

/* Product of array counts down to something with a size of its own; typedefs are as large as their target. */
static void settle_size(struct hr_types *t, struct hr_type_row *r)
{
    uint64_t size = 1;
    const struct hr_type_row *at = r;
    bool ok = true;
    for (int i = 0; i < HR_T_HOPS && (at->kind == HR_T_TYPEDEF || at->kind == HR_T_ARRAY); i++) {
        if (at->kind == HR_T_ARRAY)
            ok = ok && hr_mul(size, at->count, &size);
        at = hr_type_get(t, at->target);
    }
    ok = ok && at->kind != HR_T_TYPEDEF && at->kind != HR_T_ARRAY && hr_mul(size, at->size, &size);
    r->size = ok ? size : 0;
    r->flags = (uint8_t)(r->size ? r->flags & ~HR_TF_UNSIZED : r->flags | HR_TF_UNSIZED);
}

static const struct hr_type_row *bare(const struct hr_types *t, hr_type id)
{
    return hr_type_get(t, hr_type_strip(t, id));
}

static void settle_fields(struct hr_types *t, struct hr_type_row *r)
{
    if (r->kind == HR_T_ENUM || !r->nfields || r->flags & HR_TF_DECLARATION)
        return;
    for (uint32_t i = 0; i < r->nfields; i++) {
        struct hr_field *f = &t->fields.v[r->field0 + i];
        const struct hr_type_row *ft = hr_type_get(t, f->type);
        bool last = i == r->nfields - 1 && r->kind == HR_T_STRUCT && i > 0;
        const struct hr_type_row *b = bare(t, f->type);
        if (last && b->kind == HR_T_ARRAY && !(f->flags & HR_FF_BITFIELD)) {
            uint64_t each = hr_type_get(t, b->target)->size;
            bool tail1 = b->count == 1 && each && f->off < r->size && r->size - f->off < 2 * each + 8;
            if (!b->count || tail1) {
                f->flags |= HR_FF_FLEX;
                r->flags |= HR_TF_FLEX;
            }
        }
        if (f->flags & (HR_FF_VIRTUAL | HR_FF_BITFIELD))
            continue;
        bool outside = f->off > r->size || ft->size > r->size || (!(f->flags & HR_FF_BASE) && ft->size > r->size - f->off);
        if (outside)
            f->type = 0;
    }
}

/* A class whose first base with a virtual table has it, has it. */
static enum hr_status inherit_vptr(struct hr_types *t, uint32_t first)
{
    struct hr_u32vec todo = {.max = HR_MAX_TYPES};
    enum hr_status st = HR_OK;
    for (uint32_t i = first; i < t->rows.n && st == HR_OK; i++) {
        const struct hr_type_row *r = &t->rows.v[i];
        for (uint32_t k = 0; r->kind == HR_T_STRUCT && k < r->nfields; k++)
            if (t->fields.v[r->field0 + k].flags & HR_FF_BASE) {
                st = hr_u32vec_push(&todo, i);
                break;
            }
    }
    bool again = true;
    for (int pass = 0; again && pass < HR_T_HOPS; pass++) {
        again = false;
        for (size_t k = 0; k < todo.n; k++) {
            struct hr_type_row *r = &t->rows.v[todo.v[k]];
            for (uint32_t j = 0; j < r->nfields; j++) {
                const struct hr_field *f = &t->fields.v[r->field0 + j];
                const struct hr_type_row *b = bare(t, f->type);
                if (!(f->flags & HR_FF_BASE) || f->flags & HR_FF_VIRTUAL || !(b->flags & HR_TF_POLYMORPHIC))
                    continue;
                uint32_t off = f->off + b->vptr_off;
                if (r->flags & HR_TF_POLYMORPHIC && r->vptr_off <= off)
                    continue;
                r->flags |= HR_TF_POLYMORPHIC;
                r->vptr_off = off;
                again = true;
            }
        }
    }
    hr_u32vec_deinit(&todo);
    return st;
}

struct visit {
    uint32_t row, next;
};
HR_VEC(visitvec, struct visit)
enum { NEW, OPEN, DONE };

/* The row that member k of row r holds by value, or 0. */
static hr_type by_value(const struct hr_types *t, const struct hr_type_row *r, uint32_t k, struct hr_field **f_ret)
{
    *f_ret = NULL;
    if (r->kind == HR_T_ARRAY || r->kind == HR_T_TYPEDEF)
        return k == 0 ? r->target : 0;
    struct hr_field *f = &t->fields.v[r->field0 + k];
    *f_ret = f;
    return f->type;
}

static uint32_t members(const struct hr_type_row *r)
{
    if (r->kind == HR_T_ARRAY || r->kind == HR_T_TYPEDEF)
        return 1;
    return r->kind == HR_T_STRUCT || r->kind == HR_T_UNION || r->kind == HR_T_RUNTIME ? r->nfields : 0;
}

static enum hr_status cut_from(struct hr_types *t, uint8_t *state, struct visitvec *stack, uint32_t first)
{
    state[first] = OPEN;
    HR_TRY(visitvec_push(stack, (struct visit){first, 0}));
    while (stack->n) {
        struct visit *v = &stack->v[stack->n - 1];
        struct hr_type_row *r = &t->rows.v[v->row];
        if (v->next == members(r)) {
            state[v->row] = DONE;
            stack->n--;
            continue;
        }
        struct hr_field *f;
        hr_type to = by_value(t, r, v->next++, &f);
        if (!to || to >= t->rows.n || state[to] == DONE)
            continue;
        if (state[to] == OPEN) { /* contains itself: cut here */
            if (f)
                f->type = 0;
            else
                r->target = 0;
            continue;
        }
        state[to] = OPEN;
        HR_TRY(visitvec_push(stack, (struct visit){to, 0}));
    }
    return HR_OK;
}

static enum hr_status cut_cycles(struct hr_types *t, uint32_t from)
{
    HR_AUTOFREE uint8_t *state = hr_zalloc(t->rows.n, 1);
    struct visitvec stack = {.max = HR_MAX_TYPES};
    enum hr_status st = state ? HR_OK : HR_NOMEM;
    for (uint32_t i = from; st == HR_OK && i < t->rows.n; i++)
        if (state[i] == NEW)
            st = cut_from(t, state, &stack, i);
    visitvec_deinit(&stack);
    return st;
}

enum hr_status hr_types_settle(struct hr_types *t)
{
    struct hr_types_priv *p = t->priv;
    uint32_t from = p->completed ? 1 : p->settled;
    for (uint32_t i = from; i < t->rows.n; i++)
        if (t->rows.v[i].kind == HR_T_TYPEDEF || t->rows.v[i].kind == HR_T_ARRAY)
            settle_size(t, &t->rows.v[i]);
    for (uint32_t i = from; i < t->rows.n; i++)
        if (t->rows.v[i].kind == HR_T_STRUCT || t->rows.v[i].kind == HR_T_UNION)
            settle_fields(t, &t->rows.v[i]);
    HR_TRY(inherit_vptr(t, from));
    HR_TRY(cut_cycles(t, from));
    p->settled = (uint32_t)t->rows.n;
    if (p->completed) /* what vtable.c found, or did not find, may be different now */
        p->classes_seen = p->vtable_rows = 0;
    p->completed = false;
    return HR_OK;
}
