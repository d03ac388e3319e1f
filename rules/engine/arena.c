/* Memory of the rules' texts and trees: taken in small pieces, given back at once. */
#include <stdarg.h>
#include <stdio.h>

#include "rules/engine/internal.h"

enum { CHUNK = 64 << 10 };

struct hr_rules_chunk {
    struct hr_rules_chunk *next;
    size_t used, cap;
    _Alignas(16) char data[];
};

void *hr_rules_take(struct hr_rules *r, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (r->no_memory || n > HR_MAX_RULE_BYTES - r->used_bytes)
        goto none;
    if (!r->chunks || r->chunks->cap - r->chunks->used < n) {
        size_t cap = n > CHUNK ? n : CHUNK;
        struct hr_rules_chunk *c = hr_alloc(sizeof *c + cap);
        if (!c)
            goto none;
        *c = (struct hr_rules_chunk){.next = r->chunks, .cap = cap};
        r->chunks = c;
    }
    void *p = r->chunks->data + r->chunks->used;
    r->chunks->used += n;
    r->used_bytes += n;
    return memset(p, 0, n);
none:
    r->no_memory = true;
    return NULL;
}

const char *hr_rules_keep(struct hr_rules *r, const char *p, size_t n)
{
    char *z = hr_rules_take(r, n + 1);
    if (z)
        memcpy(z, p, n);
    return z;
}

const char *hr_rules_printf(struct hr_rules *r, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    return hr_rules_keep(r, buf, strlen(buf));
}

void hr_rules_arena_free(struct hr_rules *r)
{
    for (struct hr_rules_chunk *c = r->chunks, *next; c; c = next) {
        next = c->next;
        hr_free(c);
    }
    r->chunks = NULL;
}
