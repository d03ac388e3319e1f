/* Any bytes as the flat type table (what a child that was taken over, or somebody in the cache folder, could hand us). The
 * checksum is put right, so that what is behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/types/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOB_HEAD = 72 };

static void use(const struct hr_types *t)
{
    char buf[300];
    uint64_t off;
    for (uint32_t i = 0; i < t->rows.n; i++) {
        const struct hr_type_row *r = &t->rows.v[i];
        if (r->target >= t->rows.n || (uint64_t)r->field0 + r->nfields > t->fields.n ||
            (uint64_t)r->tparam0 + r->ntparams > t->tparams.n)
            __builtin_trap();
        (void)hr_type_name(t, i, buf, sizeof buf);
        (void)hr_type_at(t, i, 0, buf, sizeof buf);
        (void)hr_type_at(t, i, r->size - 1, buf, sizeof buf);
        (void)hr_type_field(t, i, "next", &off);
        (void)hr_type_find(t, hr_strs_get(t->strs, r->name));
        for (uint32_t k = 0; k < r->nfields; k++)
            if (t->fields.v[r->field0 + k].type >= t->rows.n)
                __builtin_trap();
    }
}

/* No type may contain itself: users walk members by value. */
static void walk_by_value(const struct hr_types *t)
{
    for (uint32_t i = 0; i < t->rows.n; i++) {
        hr_type id = i;
        for (unsigned depth = 0; id; depth++) {
            const struct hr_type_row *r = hr_type_get(t, id);
            if (depth > t->rows.n)
                __builtin_trap();
            bool inner = r->kind == HR_T_STRUCT || r->kind == HR_T_UNION;
            id = r->kind == HR_T_ARRAY ? r->target : inner && r->nfields ? t->fields.v[r->field0 + depth % r->nfields].type : 0;
            if (r->kind == HR_T_TYPEDEF)
                id = r->target;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hr_strs *strs = NULL;
    struct hr_notes notes;
    struct hr_types part, all;
    uint32_t flags;
    if (size < BLOB_HEAD || size > 1 << 16)
        return 0;
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    uint64_t sum = hr_hash_bytes(copy + BLOB_HEAD, size - BLOB_HEAD, HR_BLOB_VERSION);
    for (unsigned i = 0; i < 8; i++)
        copy[BLOB_HEAD - 8 + i] = (uint8_t)(sum >> 8 * i);
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK || hr_types_init(&part, strs, &notes) != HR_OK ||
        hr_types_init(&all, strs, &notes) != HR_OK)
        __builtin_trap();
    if (hr_blob_read((struct hr_span){copy, size}, &part, &flags) == HR_OK &&
        hr_types_merge(&all, &part, 0, 0x1000, NULL) == HR_OK) {
        hr_types_sort_vars(&all);
        use(&all);
        walk_by_value(&all);
        (void)!hr_types_merge(&all, &part, 1, 0x2000, NULL);
        use(&all);
    }
    hr_types_deinit(&part);
    hr_types_deinit(&all);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    free(copy);
    return 0;
}
