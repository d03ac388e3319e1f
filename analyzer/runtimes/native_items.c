/* Runs of addresses laid over each other: how roots are carved out of the image without overlap. Linear merges. */
#include "analyzer/runtimes/native.h"

#include <stdlib.h>

static int by_lo(const void *a, const void *b)
{
    const struct hr_item *x = a, *y = b;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    if (x->hi != y->hi)
        return x->hi > y->hi ? -1 : 1; /* the longer first: an array before its alias of one element */
    if (!x->type != !y->type)
        return x->type ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

enum hr_status hr_items_tidy(struct hr_itemvec *v)
{
    if (v->n > 1)
        qsort(v->v, v->n, sizeof *v->v, by_lo);
    size_t k = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < v->n; i++) {
        struct hr_item it = v->v[i];
        if (it.lo < end && k) {
            it.lo = end;
            it.type = 0;
        }
        if (it.lo >= it.hi)
            continue;
        end = it.hi;
        v->v[k++] = it;
    }
    v->n = k;
    return HR_OK;
}

/* The part [lo, hi) of an item; a part that does not begin where the item does has lost its type. */
static enum hr_status put(struct hr_itemvec *out, const struct hr_item *it, uint64_t lo, uint64_t hi)
{
    if (lo >= hi)
        return HR_OK;
    struct hr_item p = *it;
    if (lo != it->lo)
        p.type = 0;
    p.lo = lo;
    p.hi = hi;
    return hr_itemvec_push(out, p);
}

/* Base items up to (not including) address `to`, from *i on; *at = how far base item *i is used up. */
static enum hr_status base_until(const struct hr_itemvec *b, size_t *i, uint64_t *at, uint64_t to,
                                 struct hr_itemvec *out)
{
    for (; *i < b->n; (*i)++) {
        const struct hr_item *it = &b->v[*i];
        uint64_t lo = hr_max(it->lo, *at);
        if (lo >= to)
            break;
        HR_TRY(put(out, it, lo, hr_min(it->hi, to)));
        if (it->hi > to)
            break;
    }
    *at = hr_max(*at, to);
    return HR_OK;
}

/* `t` where base is present and no SKIP. */
static enum hr_status clipped(const struct hr_itemvec *b, size_t i, const struct hr_item *t, struct hr_itemvec *out)
{
    for (; i < b->n && b->v[i].lo < t->hi; i++) {
        uint64_t lo = hr_max(b->v[i].lo, t->lo), hi = hr_min(b->v[i].hi, t->hi);
        if (lo < hi)
            HR_TRY(put(out, b->v[i].kind == HR_ITEM_SKIP ? &b->v[i] : t, lo, hi));
    }
    return HR_OK;
}

enum hr_status hr_items_overlay(struct hr_itemvec *base, const struct hr_itemvec *top, bool clip)
{
    struct hr_itemvec out = {.max = base->max};
    size_t i = 0;
    uint64_t at = 0;
    enum hr_status st = HR_OK;
    for (size_t k = 0; k < top->n && st == HR_OK; k++) {
        const struct hr_item *t = &top->v[k];
        st = base_until(base, &i, &at, t->lo, &out);
        if (st == HR_OK)
            st = clip ? clipped(base, i, t, &out) : put(&out, t, t->lo, t->hi);
        at = t->hi;
        while (i < base->n && base->v[i].hi <= at)
            i++;
    }
    if (st == HR_OK)
        st = base_until(base, &i, &at, UINT64_MAX, &out);
    if (st != HR_OK) {
        hr_itemvec_deinit(&out);
        return st;
    }
    hr_itemvec_deinit(base);
    *base = out;
    return HR_OK;
}
