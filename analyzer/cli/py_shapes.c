/* Rings of garbage put together by what they are made of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/map.h"
#include "analyzer/base/strs.h"
#include "analyzer/cli/py_rings.h"

enum { SHOWN_TYPES = 6 };

struct in_ring { uint32_t type; uint64_t count; };

static int by_type(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The most frequent type is named first. */
static int by_count(const void *a, const void *b)
{
    const struct in_ring *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->type < y->type ? -1 : x->type > y->type;
}

/* "3 x list, 2 x dict, m.Node, 4 more types" of n sorted types; `runs` has room for n. */
static void describe(const struct hr_py *py, const uint32_t *types, size_t n, struct in_ring *runs, char *buf, size_t cap)
{
    size_t k = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!k || runs[k - 1].type != types[i])
            runs[k++] = (struct in_ring){types[i], 0};
        runs[k - 1].count++;
    }
    qsort(runs, k, sizeof *runs, by_count);
    buf[0] = 0;
    for (size_t i = 0; i < k && i < SHOWN_TYPES && at + 1 < cap; i++) {
        const char *name = runs[i].type < py->types.n ? hr_strs_get(py->img->strs, py->types.v[runs[i].type].name) : "?";
        int w = runs[i].count > 1 ? snprintf(buf + at, cap - at, "%s%llu x %s", i ? ", " : "", (unsigned long long)runs[i].count, name)
                                  : snprintf(buf + at, cap - at, "%s%s", i ? ", " : "", name);
        at += w > 0 ? (size_t)w : 0;
    }
    if (k > SHOWN_TYPES && at + 1 < cap)
        snprintf(buf + at, cap - at, ", %zu more types", k - SHOWN_TYPES);
}

static int by_retained(const void *a, const void *b)
{
    const struct hr_py_shape *x = a, *y = b;
    if (x->retained != y->retained)
        return x->retained < y->retained ? 1 : -1;
    return x->example < y->example ? -1 : x->example > y->example;
}

static enum hr_status add_ring(struct hr_py *py, const struct hr_py_rings *r, size_t i, uint32_t *types, struct in_ring *runs,
                               struct hr_map *index, struct hr_strs *strs, struct hr_py_shapes *ret)
{
    uint64_t first = r->first.v[i], n = r->first.v[i + 1] - first;
    char text[1024];
    for (uint64_t k = 0; k < n; k++)
        types[k] = hr_py_object_type(py, r->addr.v[first + k]);
    qsort(types, n, sizeof *types, by_type);
    describe(py, types, n, runs, text, sizeof text);
    hr_str id;
    HR_TRY(hr_strs_add(strs, text, strlen(text), &id));
    uint32_t *at;
    bool was;
    HR_TRY(hr_map_slot(index, id, (uint32_t)ret->list.n, &at, &was));
    if (!was)
        HR_TRY(hr_pyshapevec_push(&ret->list, (struct hr_py_shape){.text = id, .example = r->addr.v[first]}));
    struct hr_py_shape *s = &ret->list.v[*at];
    s->rings++;
    s->members += n;
    s->bytes += r->bytes.v[i];
    s->retained += r->retained.v[i];
    return HR_OK;
}

enum hr_status hr_py_rings_shapes(struct hr_py *py, const struct hr_py_rings *r, struct hr_strs *strs, struct hr_py_shapes *ret)
{
    size_t most = 1, n = r->first.n ? r->first.n - 1 : 0;
    *ret = (struct hr_py_shapes){.list = {.max = n + 1}};
    for (size_t i = 0; i < n; i++)
        most = hr_max(most, (size_t)(r->first.v[i + 1] - r->first.v[i]));
    HR_AUTOFREE uint32_t *types = hr_alloc(most * sizeof *types);
    HR_AUTOFREE struct in_ring *runs = hr_alloc(most * sizeof *runs);
    if (!types || !runs)
        return HR_NOMEM;
    struct hr_map index;
    hr_map_init(&index, n + 1);
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < n && st == HR_OK; i++)
        st = add_ring(py, r, i, types, runs, &index, strs, ret);
    hr_map_deinit(&index);
    if (ret->list.n)
        qsort(ret->list.v, ret->list.n, sizeof *ret->list.v, by_retained);
    return st;
}

void hr_py_shapes_deinit(struct hr_py_shapes *s) { hr_pyshapevec_deinit(&s->list); }
