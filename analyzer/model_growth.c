/* The table that `diff` statements ask: types over several images. Empty, and said to be, where there is one image. */
#include <string.h>

#include "analyzer/growth.h"
#include "analyzer/model.h"
#include "analyzer/model_get.h"

#define G ((const struct hr_growth *)ctx)
#define OBJ HR_COST_TYPE

static const char *one_image(void *ctx) { return ctx ? NULL : "it compares several images: heapray diff"; }

static void change(struct hr_value *v, uint64_t from, uint64_t to)
{
    bool less = to < from;
    num(v, less ? from - to : to - from);
    v->i = less ? -v->i : v->i;
}

static uint64_t rows(void *ctx) { return G ? G->rows.n : 0; }
static const struct hr_growth_cell *first(void *ctx, uint64_t row) { return hr_growth_at(G, row, 0); }
static const struct hr_growth_cell *last(void *ctx, uint64_t row) { return hr_growth_at(G, row, G->n - 1); }

GET(w_name)
{
    const char *z = hr_strs_get(G->strs, G->rows.v[row].key);
    *ret = (struct hr_value){.kind = HR_V_STR, .s = z, .n = strlen(z)};
}
GET(w_typed) { *ret = (struct hr_value){.kind = HR_V_BOOL, .b = G->rows.v[row].typed}; }
GET(w_count) { num(ret, last(ctx, row)->count); }
GET(w_bytes) { num(ret, last(ctx, row)->bytes); }
GET(w_first_count) { num(ret, first(ctx, row)->count); }
GET(w_first_bytes) { num(ret, first(ctx, row)->bytes); }
GET(w_leaked) { num(ret, last(ctx, row)->leaked_bytes); }
GET(w_monotonic) { *ret = (struct hr_value){.kind = HR_V_BOOL, .b = hr_growth_monotonic(G, row)}; }
GET(w_images)
{
    (void)row;
    num(ret, G->n);
}
GET(w_delta)
{
    (void)ctx;
    *ret = (struct hr_value){.kind = HR_V_ROW, .row = row};
}
GET(d_count) { change(ret, first(ctx, row)->count, last(ctx, row)->count); }
GET(d_bytes) { change(ret, first(ctx, row)->bytes, last(ctx, row)->bytes); }
GET(d_leaked) { change(ret, first(ctx, row)->leaked_bytes, last(ctx, row)->leaked_bytes); }
GET(d_leaked_count) { change(ret, first(ctx, row)->leaked_count, last(ctx, row)->leaked_count); }

static const struct hr_attr growth_attrs[] = {
    {"name", HR_V_STR, OBJ, 0, "the type, or size of what has none", w_name, NULL, 0, NULL},
    {"typed", HR_V_BOOL, OBJ, 0, "it is a type", w_typed, NULL, 0, NULL},
    {"count", HR_V_NUM, OBJ, 0, "blocks of it in the last image", w_count, NULL, 0, NULL},
    {"bytes", HR_V_NUM, OBJ, 0, "their bytes", w_bytes, NULL, 0, NULL},
    {"first_count", HR_V_NUM, OBJ, 0, "blocks in the first image", w_first_count, NULL, 0, NULL},
    {"first_bytes", HR_V_NUM, OBJ, 0, "their bytes", w_first_bytes, NULL, 0, NULL},
    {"leaked", HR_V_NUM, OBJ, 0, "bytes of them leaked in the last image", w_leaked, NULL, 0, NULL},
    {"monotonic", HR_V_BOOL, OBJ, 0, "bytes never fell from image to image, and rose", w_monotonic, NULL, 0, NULL},
    {"images", HR_V_NUM, OBJ, 0, "how many images are compared", w_images, NULL, 0, NULL},
    {"delta", HR_V_ROW, OBJ, 0, "last image less the first: .count .bytes .leaked .leaked_count", w_delta, NULL, 0, "growth_delta"},
};
static const struct hr_attr delta_attrs[] = {
    {"count", HR_V_NUM, OBJ, 0, "more blocks than at first", d_count, NULL, 0, NULL},
    {"bytes", HR_V_NUM, OBJ, 0, "more bytes than at first", d_bytes, NULL, 0, NULL},
    {"leaked", HR_V_NUM, OBJ, 0, "more leaked bytes than at first", d_leaked, NULL, 0, NULL},
    {"leaked_count", HR_V_NUM, OBJ, 0, "more leaked blocks than at first", d_leaked_count, NULL, 0, NULL},
};

size_t hr_model_growth(struct hr_table *t, const struct hr_growth *g)
{
    union { const struct hr_growth *c; void *p; } u = {.c = g};
    t[0] = (struct hr_table){.name = "growth", .doc = "types over several images (of a `diff`: `types`)", .count = rows, .attrs = growth_attrs,
                             .nattrs = sizeof growth_attrs / sizeof *growth_attrs, .ctx = u.p, .absent = one_image};
    t[1] = (struct hr_table){.name = "growth_delta", .doc = "what changed from the first image to the last", .count = rows, .attrs = delta_attrs,
                             .nattrs = sizeof delta_attrs / sizeof *delta_attrs, .ctx = u.p, .absent = one_image};
    return 2;
}

void hr_model_compare(struct hr_session_model *m, const struct hr_growth *g)
{
    for (size_t i = 0; i + 1 < m->model.ntables; i++)
        if (!strcmp(m->tables[i].name, "growth"))
            (void)hr_model_growth(m->tables + i, g);
}
