/* Columns: growable arrays with a mandatory maximum. One macro makes a typed vector.
 *
 *     HR_VEC(hr_u32vec, uint32_t)
 *     struct hr_u32vec v = { .max = HR_MAX_FOO };
 *     HR_TRY(hr_u32vec_push(&v, 7));      // HR_LIMIT at max, HR_NOMEM
 *     hr_u32vec_deinit(&v);
 *
 * `max` counts elements and has to be set before the first push (0 means nothing may be pushed). */
#ifndef HR_BASE_VEC_H
#define HR_BASE_VEC_H

#include "analyzer/base/mem.h"

enum hr_status hr_vec_grow(void **v, size_t *cap, size_t max, size_t need, size_t each) HR_MUST;

#define HR_VEC(NAME, T)                                                                                                \
    struct NAME {                                                                                                      \
        T *v;                                                                                                          \
        size_t n, cap, max;                                                                                            \
    };                                                                                                                 \
    __attribute__((unused)) static inline enum hr_status NAME##_reserve(struct NAME *c, size_t need)                  \
    {                                                                                                                  \
        return need <= c->cap ? HR_OK : hr_vec_grow((void **)&c->v, &c->cap, c->max, need, sizeof(T));                 \
    }                                                                                                                  \
    __attribute__((unused)) HR_MUST static inline enum hr_status NAME##_push(struct NAME *c, T x)                      \
    {                                                                                                                  \
        if (__builtin_expect(c->n == c->cap, 0))                                                                       \
            HR_TRY(NAME##_reserve(c, c->n + 1));                                                                       \
        c->v[c->n++] = x;                                                                                              \
        return HR_OK;                                                                                                  \
    }                                                                                                                  \
    __attribute__((unused)) static inline void NAME##_deinit(struct NAME *c)                                          \
    {                                                                                                                  \
        hr_free(c->v);                                                                                                 \
        c->v = NULL;                                                                                                   \
        c->n = c->cap = 0;                                                                                             \
    }

HR_VEC(hr_u8vec, uint8_t)
HR_VEC(hr_u32vec, uint32_t)
HR_VEC(hr_u64vec, uint64_t)

#endif
