#include "analyzer/base/strs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/base/limits.h"

enum { CHUNK = 256 << 10 };

struct chunk {
    struct chunk *next;
    size_t used, cap;
    char data[];
};

HR_VEC(ptrvec, const char *)

struct hr_strs {
    struct chunk *chunks; /* newest first */
    struct ptrvec text;   /* id -> text */
    struct hr_map index;  /* hash -> newest id with that hash */
    struct hr_u32vec same; /* id -> next id of the same hash */
};

static char *chunk_take(struct hr_strs *s, size_t n)
{
    if (!s->chunks || s->chunks->cap - s->chunks->used < n) {
        size_t cap = n > CHUNK ? n : CHUNK;
        struct chunk *c = hr_alloc(sizeof *c + cap);
        if (!c)
            return NULL;
        *c = (struct chunk){.next = s->chunks, .cap = cap};
        s->chunks = c;
    }
    char *p = s->chunks->data + s->chunks->used;
    s->chunks->used += n;
    return p;
}

static hr_str lookup(const struct hr_strs *s, uint64_t hash, const char *p, size_t n)
{
    for (hr_str id = hr_map_get(&s->index, hash); id != HR_NONE; id = s->same.v[id])
        if (!strncmp(s->text.v[id], p, n) && !s->text.v[id][n])
            return id;
    return HR_NONE;
}

enum hr_status hr_strs_add(struct hr_strs *s, const char *p, size_t n, hr_str *ret)
{
    n = strnlen(p, n < HR_MAX_STRING ? n : HR_MAX_STRING);
    uint64_t hash = hr_hash_bytes(p, n, 0);
    hr_str id = lookup(s, hash, p, n);
    if (id == HR_NONE) {
        HR_TRY(ptrvec_reserve(&s->text, s->text.n + 1));
        char *copy = chunk_take(s, n + 1);
        if (!copy)
            return HR_NOMEM;
        memcpy(copy, p, n);
        copy[n] = 0;
        uint32_t *slot;
        bool was;
        HR_TRY(hr_u32vec_push(&s->same, HR_NONE));
        id = (hr_str)s->text.n;
        enum hr_status st = hr_map_slot(&s->index, hash, id, &slot, &was);
        if (st != HR_OK) {
            s->same.n--;
            return st;
        }
        if (was)
            s->same.v[id] = *slot;
        *slot = id;
        s->text.v[s->text.n++] = copy;
    }
    *ret = id;
    return HR_OK;
}

enum hr_status hr_strs_addz(struct hr_strs *s, const char *z, hr_str *ret) { return hr_strs_add(s, z, strlen(z), ret); }

enum hr_status hr_strs_addf(struct hr_strs *s, hr_str *ret, const char *fmt, ...)
{
    char buf[HR_MAX_STRING + 1];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    return hr_strs_addz(s, buf, ret);
}

hr_str hr_strs_find(const struct hr_strs *s, const char *z)
{
    size_t n = strlen(z);
    return lookup(s, hr_hash_bytes(z, n, 0), z, n);
}

const char *hr_strs_get(const struct hr_strs *s, hr_str id) { return id < s->text.n ? s->text.v[id] : ""; }

uint32_t hr_strs_count(const struct hr_strs *s) { return (uint32_t)s->text.n; }

enum hr_status hr_strs_create(struct hr_strs **ret)
{
    struct hr_strs *s = hr_zalloc(1, sizeof *s);
    if (!s)
        return HR_NOMEM;
    s->text.max = s->same.max = HR_MAX_STRINGS;
    hr_map_init(&s->index, HR_MAX_STRINGS);
    hr_str empty;
    enum hr_status st = hr_strs_add(s, "", 0, &empty);
    if (st != HR_OK) {
        hr_strs_destroy(s);
        return st;
    }
    *ret = s;
    return HR_OK;
}

void hr_strs_destroy(struct hr_strs *s)
{
    if (!s)
        return;
    for (struct chunk *c = s->chunks, *next; c; c = next) {
        next = c->next;
        hr_free(c);
    }
    ptrvec_deinit(&s->text);
    hr_u32vec_deinit(&s->same);
    hr_map_deinit(&s->index);
    hr_free(s);
}
