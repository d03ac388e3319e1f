/* The table of a MicroPython heap that rules may ask: one row, what gc.collect() would change, and what stands in the way. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/model_get.h"
#include "analyzer/place.h"
#include "analyzer/runtimes/micropython/mp.h"

#define AFTER(name_, field_)                                                                                                             \
    GET(name_)                                                                                                                           \
    {                                                                                                                                    \
        struct hr_mp_after a;                                                                                                            \
        (void)row;                                                                                                                       \
        known(ret, after(S, &a) ? a.field_ : HR_NONE64);                                                                                 \
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
#define PLACE(name_, value_)                                                                                                             \
    GET(name_)                                                                                                                           \
    {                                                                                                                                    \
        const struct hr_place *p = hr_session_place(S);                                                                                  \
        (void)row;                                                                                                                       \
        known(ret, p ? (value_) : HR_NONE64);                                                                                            \
    }
PLACE(m_request, p->request)
PLACE(m_failed, p->source == HR_REQUEST_FAILED ? p->request : HR_NONE64)
PLACE(m_error, p->source == HR_REQUEST_FAILED ? p->error : HR_NONE64)
PLACE(m_in_the_way, p->hi ? p->live : HR_NONE64)
PLACE(m_window, p->hi ? p->lo : HR_NONE64)

GET(m_exact)
{
    struct hr_mp_after a;
    (void)row;
    boolean(ret, after(S, &a) && a.exact);
}

GET(m_pins)
{
    static _Thread_local char b[1200];
    const struct hr_place *p = hr_session_place(S);
    (void)row;
    text(ret, p && p->hi ? hr_place_text(S, p, b, sizeof b) : NULL);
}

static const struct hr_attr attrs[] = {
    {"total", HR_V_NUM, 0, 0, "bytes of all pools", m_total, NULL, 0, NULL},
    {"free", HR_V_NUM, 0, 0, "free bytes", m_free, NULL, 0, NULL},
    {"longest", HR_V_NUM, 0, 0, "largest free piece", m_longest, NULL, 0, NULL},
    {"free_after", HR_V_NUM, 0, 0, "free bytes behind gc.collect()", m_free_after, NULL, 0, NULL},
    {"longest_after", HR_V_NUM, 0, 0, "largest free piece behind gc.collect()", m_longest_after, NULL, 0, NULL},
    {"garbage", HR_V_NUM, 0, 0, "bytes that gc.collect() would free", m_garbage, NULL, 0, NULL},
    {"finalisers", HR_V_NUM, 0, 0, "pieces of garbage with a finaliser (files, sockets, classes with __del__)", m_finalisers, NULL, 0, NULL},
    {"request", HR_V_NUM, 0, 0, "what the program is known to ask for: a request that failed, else the size of the largest allocation alive", m_request, NULL, 0, NULL},
    {"failed", HR_V_NUM, 0, 0, "the largest request that failed, as a MemoryError in the heap says; unknown: none", m_failed, NULL, 0, NULL},
    {"error", HR_V_NUM, 0, 0, "address of that MemoryError", m_error, NULL, 0, NULL},
    {"in_the_way", HR_V_NUM, 0, 0, "live bytes in the place where such a request would fit best", m_in_the_way, NULL, 0, NULL},
    {"place", HR_V_NUM, 0, 0, "address of that place", m_window, NULL, 0, NULL},
    {"pins", HR_V_STR, 0, 0, "the live allocations there, by type and address, and who holds them", m_pins, NULL, 0, NULL},
    {"exact", HR_V_BOOL, 0, 0, "the roots are those of the collector itself", m_exact, NULL, 0, NULL},
};

size_t hr_model_micropython(struct hr_table *t, struct hr_session *s)
{
    t[0] = (struct hr_table){.name = "micropython", .doc = "the MicroPython heap as a whole, before and behind gc.collect()", .needs = HR_NEED_REACH | HR_NEED_FRAG,
                             .count = rows, .attrs = attrs, .nattrs = sizeof attrs / sizeof *attrs, .ctx = s, .absent = no_micropython};
    return 1;
}
