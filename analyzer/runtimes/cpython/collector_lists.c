/* Where the collectors keep what they track: statics up to 3.6, one state in the runtime up to 3.8, one in each interpreter since. */
#include <string.h>

#include "analyzer/runtimes/cpython/collector.h"

enum { ELSEWHERE = 1 << 16 /* tracked objects in no block that we know: a list is not longer than all blocks and these */ };

static uint64_t collector_state(const struct hr_py *py, uint32_t interpreter)
{
    const struct hr_cpython *c = py->c;
    if (hr_py_has(c, HR_PY_IS_GC))
        return interpreter < c->ninterp ? c->interp[interpreter] + (uint64_t)c->at[HR_PY_IS_GC] : 0;
    if (interpreter)
        return 0;
    return c->runtime && hr_py_has(c, HR_PY_RT_GC) ? c->runtime + (uint64_t)c->at[HR_PY_RT_GC] : 0;
}

uint32_t hr_py_gc_collectors(const struct hr_py *py)
{
    return hr_py_has(py->c, HR_PY_IS_GC) && py->c->ninterp ? py->c->ninterp : 1;
}

/* Address of a generation's record (3 = permanent); 0 when there is none. */
static uint64_t generation_at(const struct hr_py *py, uint32_t interpreter, unsigned g)
{
    const struct hr_cpython *c = py->c;
    uint64_t state = collector_state(py, interpreter);
    if (state && g == 3)
        return hr_py_has(c, HR_PY_GC_PERMANENT) ? state + (uint64_t)c->at[HR_PY_GC_PERMANENT] : 0;
    uint64_t first = 0;
    if (state && hr_py_has(c, HR_PY_GC_GENERATIONS))
        first = state + (uint64_t)c->at[HR_PY_GC_GENERATIONS];
    else if (!state && !interpreter && g < 3)
        first = c->generations;
    return first ? first + g * (uint64_t)c->at[HR_PYS_GENERATION] : 0;
}

static bool walk_list(const struct hr_py *py, uint64_t head, hr_py_tracked_fn *fn, void *ctx)
{
    uint64_t at = hr_py_word(py->c, head, HR_PY_GC_NEXT), mask = py->minor >= 0x0308 ? ~3ull : ~0ull;
    for (uint64_t n = 0; n < (uint64_t)py->heap->n + ELSEWHERE; n++) {
        at &= mask;
        if (at == head)
            return true;
        if (!at || !hr_image_find(py->img, at, NULL))
            return false;
        fn(ctx, at + (uint64_t)py->c->at[HR_PYS_GC_HEAD]);
        at = hr_py_word(py->c, at, HR_PY_GC_NEXT);
    }
    return false;
}

bool hr_py_gc_list_of(const struct hr_py *py, uint32_t interpreter, unsigned generation, hr_py_tracked_fn *fn, void *ctx)
{
    uint64_t head = generation_at(py, interpreter, generation);
    return head && walk_list(py, head, fn, ctx);
}

bool hr_py_gc_list(struct hr_py *py, unsigned generation, hr_py_tracked_fn *fn, void *ctx)
{
    bool ok = true, any = false;
    for (uint32_t i = 0; i < hr_py_gc_collectors(py); i++)
        if (generation_at(py, i, generation)) {
            any = true;
            ok &= hr_py_gc_list_of(py, i, generation, fn, ctx);
        }
    return any && ok;
}

/* Does the collector's head in front of the object say that it is tracked? True also while it is in the collector's hands. */
bool hr_py_is_tracked(const struct hr_py *py, uint64_t obj)
{
    uint64_t head = obj - (uint64_t)py->c->at[HR_PYS_GC_HEAD];
    if (py->minor >= 0x0308)
        return hr_py_word(py->c, head, HR_PY_GC_NEXT) != 0;
    int64_t refs = (int64_t)hr_py_word(py->c, head, HR_PY_GC_REFS);
    if (py->img->word == 4)
        refs = (int32_t)refs;
    return (py->minor < 0x0300 ? refs : refs >> 1) != -2; /* _PyGC_REFS_UNTRACKED, above the bit "finalized" in 3.x */
}

/* During a collection one of the two links holds a count. */
bool hr_py_is_linked(const struct hr_py *py, uint64_t obj)
{
    uint64_t head = obj - (uint64_t)py->c->at[HR_PYS_GC_HEAD], mask = py->minor >= 0x0308 ? ~3ull : ~0ull;
    uint64_t next = hr_py_word(py->c, head, HR_PY_GC_NEXT) & mask, prev = hr_py_word(py->c, head, HR_PY_GC_PREV) & mask;
    return (hr_py_word(py->c, next, HR_PY_GC_PREV) & mask) == head || (hr_py_word(py->c, prev, HR_PY_GC_NEXT) & mask) == head;
}

void hr_py_gc_tracked(struct hr_py *py, hr_py_tracked_fn *fn, void *ctx)
{
    for (hr_id id = 0; id < py->heap->n; id++)
        if (py->object[id] != HR_NONE && py->types.v[py->object[id]].flags & HR_PYF_GC) {
            uint64_t obj = hr_py_addr(py, id);
            if (hr_py_is_tracked(py, obj))
                fn(ctx, obj);
        }
}

static void count_one(void *ctx, uint64_t obj)
{
    (void)obj;
    ++*(uint64_t *)ctx;
}

static bool flag(const struct hr_py *py, const char *name)
{
    uint64_t sym = hr_py_symbol(py->c, name), v;
    return sym && hr_image_uint(py->img, sym, 4, &v) && v;
}

void hr_py_gc_read_state(const struct hr_py *py, uint32_t interpreter, struct hr_py_gc_state *ret)
{
    uint64_t state = collector_state(py, interpreter);
    *ret = (struct hr_py_gc_state){.id = hr_py_interp_id(py->c, interpreter)};
    ret->enabled = state ? hr_py_uint(py->c, state, HR_PY_GC_ENABLED, 4) != 0 : flag(py, "enabled");
    ret->collecting = state ? hr_py_uint(py->c, state, HR_PY_GC_COLLECTING, 4) != 0 : flag(py, "collecting");
    for (unsigned g = 0; g < 3; g++) {
        uint64_t record = generation_at(py, interpreter, g);
        ret->threshold[g] = (uint32_t)hr_py_uint(py->c, record, HR_PY_GEN_THRESHOLD, 4);
        ret->count[g] = (uint32_t)hr_py_uint(py->c, record, HR_PY_GEN_COUNT, 4);
        if (!hr_py_gc_list_of(py, interpreter, g, count_one, &ret->members[g]))
            ret->broken = true;
    }
    hr_py_gc_list_of(py, interpreter, 3, count_one, &ret->frozen);
}
