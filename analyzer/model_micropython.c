/* The table of a MicroPython heap that rules may ask: one row, what gc.collect() would change, and what stands in the way. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/runtimes/micropython/mp.h"

#define S ((struct hr_session *)ctx)
#define GET(name_) static void name_(void *ctx, uint64_t row, struct hr_value *ret)
#define AFTER(name_, field_)                                                                                                             \
    GET(name_)                                                                                                                           \
    {                                                                                                                                    \
        struct hr_mp_after a;                                                                                                            \
        (void)row;                                                                                                                       \
        ret->kind = HR_V_UNKNOWN;                                                                                                        \
        if (after(S, &a))                                                                                                                \
            *ret = (struct hr_value){.kind = HR_V_NUM, .i = a.field_ > INT64_MAX ? INT64_MAX : (int64_t)a.field_};                      \
    }

static struct hr_mp *micropython(struct hr_session *s) { return s->runtimes ? hr_runtimes_self(s->runtimes, "micropython") : NULL; }

static const char *no_micropython(void *ctx) { return micropython(S) ? NULL : "there is no MicroPython in the image"; }

static bool after(struct hr_session *s, struct hr_mp_after *ret)
{
    struct hr_mp *mp = micropython(s);
    return mp && hr_mp_after(mp, ret) == HR_OK;
}

static uint64_t rows(void *ctx)
{
    struct hr_mp_after a;
    return after(S, &a);
}

AFTER(m_total, total)
AFTER(m_free, free_now)
AFTER(m_longest, longest_now)
AFTER(m_free_after, free_then)
AFTER(m_longest_after, longest_then)
AFTER(m_garbage, garbage)
AFTER(m_finalisers, finalisers)
AFTER(m_request, request)
AFTER(m_in_the_way, window_live)
AFTER(m_window, window)

GET(m_exact)
{
    struct hr_mp_after a;
    (void)row;
    *ret = (struct hr_value){.kind = HR_V_BOOL, .i = after(S, &a) && a.exact};
}

/* "list at 0x20000a10, 2 x str, ...": what keeps the place from being free. */
GET(m_pins)
{
    enum { NAMED = 5 };
    static _Thread_local char b[700];
    struct hr_mp_after a;
    hr_id id;
    unsigned n = 0;
    (void)row;
    b[0] = 0;
    if (after(S, &a))
        for (uint64_t at = a.window; (id = hr_mp_pin(micropython(S), &a, &at)) != HR_NONE;) {
            char type[200];
            size_t used = strlen(b);
            if (n++ < NAMED)
                snprintf(b + used, sizeof b - used, "%s%.80s at 0x%llx", n > 1 ? ", " : "", hr_describe_type(S, id, type, sizeof type),
                         (unsigned long long)hr_block_addr(S->heap, id));
        }
    size_t used = strlen(b);
    if (n > NAMED)
        snprintf(b + used, sizeof b - used, " and %u more", n - NAMED);
    *ret = (struct hr_value){.kind = HR_V_STR, .s = b, .n = strlen(b)};
}

static const struct hr_attr attrs[] = {
    {"total", HR_V_NUM, 0, 0, "bytes of all pools", m_total, NULL, 0, NULL},
    {"free", HR_V_NUM, 0, 0, "free bytes", m_free, NULL, 0, NULL},
    {"longest", HR_V_NUM, 0, 0, "largest free piece", m_longest, NULL, 0, NULL},
    {"free_after", HR_V_NUM, 0, 0, "free bytes behind gc.collect()", m_free_after, NULL, 0, NULL},
    {"longest_after", HR_V_NUM, 0, 0, "largest free piece behind gc.collect()", m_longest_after, NULL, 0, NULL},
    {"garbage", HR_V_NUM, 0, 0, "bytes that gc.collect() would free", m_garbage, NULL, 0, NULL},
    {"finalisers", HR_V_NUM, 0, 0, "pieces of garbage with a finaliser (files, sockets, classes with __del__)", m_finalisers, NULL, 0, NULL},
    {"request", HR_V_NUM, 0, 0, "size of the largest allocation alive: what the program is known to ask for", m_request, NULL, 0, NULL},
    {"in_the_way", HR_V_NUM, 0, 0, "live bytes in the place where such a request would fit best", m_in_the_way, NULL, 0, NULL},
    {"place", HR_V_NUM, 0, 0, "address of that place", m_window, NULL, 0, NULL},
    {"pins", HR_V_STR, 0, 0, "the live allocations there, by type and address", m_pins, NULL, 0, NULL},
    {"exact", HR_V_BOOL, 0, 0, "the roots are those of the collector itself", m_exact, NULL, 0, NULL},
};

size_t hr_model_micropython(struct hr_table *t, struct hr_session *s)
{
    t[0] = (struct hr_table){.name = "micropython", .doc = "the MicroPython heap as a whole, before and behind gc.collect()", .needs = HR_NEED_REACH,
                             .count = rows, .attrs = attrs, .nattrs = sizeof attrs / sizeof *attrs, .ctx = s, .absent = no_micropython};
    return 1;
}
