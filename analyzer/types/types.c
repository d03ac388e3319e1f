/* The type table: creation, lookup by name, derived rows. */
#include "analyzer/types/types.h"

#include <string.h>

#include "analyzer/types/table.h"

static bool wordchar(char c)
{
    return c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The next character of a name that counts, skipping blanks that separate no words. */
static char next_char(const char *start, const char **p)
{
    while (**p == ' ' && !(*p > start && wordchar((*p)[-1]) && wordchar((*p)[1])))
        ++*p;
    return **p ? *(*p)++ : 0;
}

uint64_t hr_types_name_key(enum hr_name_class c, const char *name)
{
    uint64_t h = 0xcbf29ce484222325ull + c;
    char ch;
    for (const char *p = name; (ch = next_char(name, &p));)
        h = (h ^ (uint8_t)ch) * 0x100000001b3ull;
    return hr_mix(h);
}

static bool same_name(const char *a, const char *b)
{
    const char *pa = a, *pb = b;
    for (;;) {
        char ca = next_char(a, &pa), cb = next_char(b, &pb);
        if (ca != cb)
            return false;
        if (!ca)
            return true;
    }
}

enum hr_name_class hr_types_class(const struct hr_type_row *r)
{
    switch (r->kind) {
    case HR_T_STRUCT:
    case HR_T_UNION:
    case HR_T_ENUM:
        return r->flags & HR_TF_TYPEDEF_NAME ? HR_NC_PLAIN : HR_NC_TAG;
    case HR_T_RUNTIME:
        return HR_NC_RUNTIME;
    default:
        return HR_NC_PLAIN;
    }
}

hr_type hr_types_lookup(const struct hr_types *t, enum hr_name_class c, const char *name)
{
    uint32_t id = hr_map_get(&t->by_name, hr_types_name_key(c, name));
    return id != HR_NONE && same_name(hr_strs_get(t->strs, hr_type_get(t, id)->name), name) ? id : 0;
}

enum hr_status hr_types_index(struct hr_types *t, hr_type id)
{
    const struct hr_type_row *r = hr_type_get(t, id);
    if (!r->name)
        return HR_OK;
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(&t->by_name, hr_types_name_key(hr_types_class(r), hr_strs_get(t->strs, r->name)), id, &slot, &was));
    if (was && (hr_type_get(t, *slot)->flags & HR_TF_DECLARATION) && !(r->flags & HR_TF_DECLARATION))
        *slot = id;
    return HR_OK;
}

enum hr_status hr_types_init(struct hr_types *t, struct hr_strs *strs, struct hr_notes *notes)
{
    *t = (struct hr_types){.strs = strs, .notes = notes};
    t->rows.max = HR_MAX_TYPES;
    t->fields.max = HR_MAX_FIELDS;
    t->tparams.max = HR_MAX_FIELDS;
    t->vars.max = HR_MAX_ROOTS;
    t->syms.max = (size_t)HR_MAX_SYMBOLS * 4;
    hr_map_init(&t->by_name, HR_MAX_TYPES);
    struct hr_types_priv *p = t->priv = hr_zalloc(1, sizeof *p);
    if (!p)
        return HR_NOMEM;
    hr_map_init(&p->by_def, HR_MAX_TYPES);
    hr_map_init(&p->ptr_of, HR_MAX_TYPES);
    hr_map_init(&p->vtable, HR_MAX_TYPES);
    hr_map_init(&p->classes, HR_MAX_TYPES);
    hr_map_init(&p->sym_by_name, (size_t)HR_MAX_SYMBOLS * 4);
    p->sym_next.max = (size_t)HR_MAX_SYMBOLS * 4;
    enum hr_status st = hr_rowvec_push(&t->rows, (struct hr_type_row){.flags = HR_TF_UNSIZED, .module = 0xffff});
    if (st != HR_OK) {
        hr_types_deinit(t);
        *t = (struct hr_types){0}; /* to be given up, with or without another deinit */
    }
    return st;
}

void hr_types_deinit(struct hr_types *t)
{
    struct hr_types_priv *p = t->priv;
    hr_rowvec_deinit(&t->rows);
    hr_fieldvec_deinit(&t->fields);
    hr_tparamvec_deinit(&t->tparams);
    hr_varvec_deinit(&t->vars);
    hr_symvec_deinit(&t->syms);
    hr_map_deinit(&t->by_name);
    hr_free(t->module_typed);
    if (p) {
        hr_map_deinit(&p->by_def);
        hr_map_deinit(&p->ptr_of);
        hr_map_deinit(&p->vtable);
        hr_map_deinit(&p->classes);
        hr_map_deinit(&p->sym_by_name);
        hr_u32vec_deinit(&p->sym_next);
        hr_free(p);
    }
    *t = (struct hr_types){0};
}

enum hr_status hr_types_create(const struct hr_image *img, struct hr_types **ret)
{
    struct hr_types *t = hr_zalloc(1, sizeof *t);
    if (!t)
        return HR_NOMEM;
    enum hr_status st = hr_types_init(t, img->strs, img->notes);
    t->image = img;
    if (st == HR_OK && !(t->module_typed = hr_zalloc(img->modules.n + 1, 1)))
        st = HR_NOMEM;
    if (st != HR_OK) {
        hr_types_destroy(t);
        return st;
    }
    *ret = t;
    return HR_OK;
}

void hr_types_destroy(struct hr_types *t)
{
    if (!t)
        return;
    hr_types_deinit(t);
    hr_free(t);
}

hr_type hr_type_strip(const struct hr_types *t, hr_type id)
{
    for (int i = 0; i < HR_T_HOPS; i++) {
        const struct hr_type_row *r = hr_type_get(t, id);
        if (r->kind != HR_T_TYPEDEF)
            return id;
        id = r->target;
    }
    return 0;
}

/* Bytes after the keyword when name starts with "word ", else 0. */
static size_t keyword(const char *name, const char *word)
{
    size_t n = strlen(word);
    return !strncmp(name, word, n) && name[n] == ' ' ? n + 1 : 0;
}

hr_type hr_type_find(const struct hr_types *t, const char *name)
{
    static const struct {
        const char *word;
        uint8_t kind;
    } tags[] = {{"struct", HR_T_STRUCT}, {"class", HR_T_STRUCT}, {"union", HR_T_UNION}, {"enum", HR_T_ENUM}};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        size_t n = keyword(name, tags[i].word);
        if (!n)
            continue;
        hr_type id = hr_types_lookup(t, HR_NC_TAG, name + n);
        const struct hr_type_row *r = hr_type_get(t, id);
        return r->kind == tags[i].kind && !(r->flags & HR_TF_DECLARATION) ? id : 0;
    }
    for (int c = HR_NC_TAG; c <= HR_NC_RUNTIME; c++) {
        hr_type id = hr_types_lookup(t, c, name);
        if (id && !(hr_type_get(t, id)->flags & HR_TF_DECLARATION))
            return id;
    }
    return 0;
}

enum hr_status hr_types_add_runtime(struct hr_types *t, const char *name, uint64_t size, hr_type *ret)
{
    hr_type id = hr_types_lookup(t, HR_NC_RUNTIME, name);
    if (!id) {
        struct hr_type_row r = {.kind = HR_T_RUNTIME, .module = 0xffff, .size = size, .flags = size ? 0 : HR_TF_UNSIZED};
        HR_TRY(hr_strs_addz(t->strs, name, &r.name));
        id = (hr_type)t->rows.n;
        HR_TRY(hr_rowvec_push(&t->rows, r));
        HR_TRY(hr_types_index(t, id));
    }
    *ret = id;
    return HR_OK;
}

/* A derived row (kind, target, count), shared. */
static enum hr_status derived(struct hr_types *t, struct hr_type_row r, hr_type *ret)
{
    struct hr_types_priv *p = t->priv;
    uint64_t key = hr_mix(hr_mix(hr_mix(r.kind) ^ r.target) ^ r.count);
    uint32_t *slot;
    bool was;
    HR_TRY(hr_map_slot(&p->ptr_of, key, (uint32_t)t->rows.n, &slot, &was));
    if (!was)
        HR_TRY(hr_rowvec_push(&t->rows, r));
    *ret = *slot;
    return HR_OK;
}

enum hr_status hr_types_pointer_to(struct hr_types *t, hr_type target, hr_type *ret)
{
    uint8_t word = t->image ? t->image->word : 8;
    return derived(t, (struct hr_type_row){.kind = HR_T_PTR, .module = 0xffff, .size = word, .target = target}, ret);
}

enum hr_status hr_types_array_of(struct hr_types *t, hr_type elem, uint64_t count, hr_type *ret)
{
    uint64_t size;
    if (!hr_mul(hr_type_get(t, elem)->size, count, &size))
        return HR_LIMIT;
    struct hr_type_row r = {.kind = HR_T_ARRAY, .module = 0xffff, .size = size, .target = elem, .count = count};
    r.flags = size ? 0 : HR_TF_UNSIZED;
    return derived(t, r, ret);
}
