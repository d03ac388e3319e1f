#include "tests/make/mk.h"

#include <stdlib.h>
#include <string.h>

struct mk mk_new(unsigned word, bool big) { return (struct mk){.word = word, .big = big}; }

void mk_free(struct mk *m)
{
    free(m->p);
    *m = (struct mk){0};
}

static uint8_t *room(struct mk *m, size_t n)
{
    if (m->n + n > m->cap) {
        m->cap = (m->n + n) * 2;
        m->p = realloc(m->p, m->cap);
        if (!m->p)
            abort();
    }
    m->n += n;
    return m->p + m->n - n;
}

static void store(uint8_t *p, uint64_t v, unsigned bytes, bool big)
{
    for (unsigned i = 0; i < bytes; i++)
        p[big ? bytes - 1 - i : i] = (uint8_t)(v >> 8 * i);
}

void mk_uint(struct mk *m, uint64_t v, unsigned bytes) { store(room(m, bytes), v, bytes, m->big); }
void mk_word(struct mk *m, uint64_t v) { mk_uint(m, v, m->word); }
void mk_set(struct mk *m, size_t at, uint64_t v, unsigned bytes) { store(m->p + at, v, bytes, m->big); }

void mk_bytes(struct mk *m, const void *p, size_t n)
{
    if (n)
        memcpy(room(m, n), p, n);
}

void mk_zero(struct mk *m, size_t n)
{
    if (n)
        memset(room(m, n), 0, n);
}

void mk_str(struct mk *m, const char *z) { mk_bytes(m, z, strlen(z) + 1); }

void mk_field(struct mk *m, const char *z, size_t n)
{
    size_t have = strlen(z);
    mk_bytes(m, z, have < n ? have : n);
    mk_zero(m, have < n ? n - have : 0);
}

void mk_align(struct mk *m, size_t to) { mk_zero(m, (to - m->n % to) % to); }
