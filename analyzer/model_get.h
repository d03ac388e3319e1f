/* How a column of a table answers: what every model*.c is written with. Included by those only, for their one context, the session. */
#ifndef HR_MODEL_GET_H
#define HR_MODEL_GET_H

#include <string.h>

#include "rules/engine/model.h"

#define S ((struct hr_session *)ctx)
#define GET(name_) static void name_(void *ctx, uint64_t row, struct hr_value *ret)

static inline void unknown(struct hr_value *v) { v->kind = HR_V_UNKNOWN; }
static inline void num(struct hr_value *v, uint64_t n) { *v = (struct hr_value){.kind = HR_V_NUM, .i = n > INT64_MAX ? INT64_MAX : (int64_t)n}; }
static inline void boolean(struct hr_value *v, bool b) { *v = (struct hr_value){.kind = HR_V_BOOL, .b = b}; }
/* HR_NONE64 is unknown. */
static inline void known(struct hr_value *v, uint64_t n)
{
    if (n == HR_NONE64)
        unknown(v);
    else
        num(v, n);
}
/* NULL is unknown. The text is not copied. */
static inline void text(struct hr_value *v, const char *z)
{
    if (z)
        *v = (struct hr_value){.kind = HR_V_STR, .s = z, .n = strlen(z)};
    else
        unknown(v);
}

#endif
