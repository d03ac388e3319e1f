/* The table of interned strings is a dict (Objects/unicodeobject.c; stringobject.c in 2.7) whose references are not counted: a string
 * leaves it when nobody else has it any more. Only strings interned for good are held by it. */
#include "analyzer/runtimes/cpython/refs.h"

enum { PROOF = 64, FOR_GOOD = 2 /* SSTATE_INTERNED_IMMORTAL; 3 from 3.12 on: static as well */ };

/* 0 not interned, 1 mortal, 2 and 3 for good. */
static unsigned interned_state(const struct hr_py *py, uint64_t str)
{
    if (py->minor < 0x0300)
        return (unsigned)hr_py_uint(py->c, str, HR_PY_BYTES_STATE, 4);
    return (unsigned)hr_py_uint(py->c, str, HR_PY_UNICODE_STATE, 4) & (py->minor >= 0x030e ? 0xffff : 3);
}

struct proof { struct hr_py *py; uint32_t seen; bool ok; };

static bool own_value(void *ctx, uint64_t key, uint64_t value)
{
    struct proof *p = ctx;
    uint32_t t = key == value ? hr_py_object_type(p->py, key) : HR_NONE;
    uint8_t want = p->py->minor < 0x0300 ? HR_PK_BYTES : HR_PK_STR;
    p->ok = t != HR_NONE && p->py->types.v[t].kind == want && interned_state(p->py, key);
    return p->ok && ++p->seen < PROOF;
}

/* A dict of interned strings that are their own values. */
static bool looks_interned(struct hr_py *py, uint64_t dict)
{
    hr_id id = dict ? hr_py_node(py, dict) : HR_NONE;
    struct proof p = {.py = py};
    if (id == HR_NONE || py->types.v[py->object[id]].kind != HR_PK_DICT)
        return false;
    hr_py_dict_items(py, dict, own_value, &p);
    return p.ok;
}

static void add(struct hr_py *py, uint64_t dict)
{
    if (py->ninterned < HR_PY_MAX_INTERPRETERS && looks_interned(py, dict))
        py->interned[py->ninterned++] = dict;
}

/* All interned strings are in it, so it is the largest of its kind. */
static uint64_t largest(struct hr_py *py)
{
    uint64_t most = 0, best = 0;
    for (hr_id id = 0; id < py->heap->n; id++) {
        uint64_t addr, used;
        if (py->object[id] == HR_NONE || py->types.v[py->object[id]].kind != HR_PK_DICT)
            continue;
        addr = hr_py_addr(py, id);
        used = hr_py_word(py->c, addr, HR_PY_DICT_USED);
        if (used <= most || !looks_interned(py, addr))
            continue;
        most = used;
        best = addr;
    }
    return best;
}

void hr_py_find_interned(struct hr_py *py)
{
    uint64_t dict = 0, at = hr_py_symbol(py->c, "interned");
    py->ninterned = 0;
    for (uint32_t i = 0; hr_py_has(py->c, HR_PY_IS_INTERNED) && i < py->c->ninterp; i++)
        add(py, hr_py_word(py->c, py->c->interp[i], HR_PY_IS_INTERNED));
    if (!py->ninterned && at && hr_image_word(py->img, at, &dict))
        add(py, dict);
    if (!py->ninterned)
        add(py, largest(py));
}

bool hr_py_interned_dict(const struct hr_py *py, uint64_t dict)
{
    for (uint32_t i = 0; i < py->ninterned; i++)
        if (py->interned[i] == dict)
            return true;
    return false;
}

enum hr_py_ref hr_py_interned_ref(const struct hr_py *py, uint64_t str)
{
    return interned_state(py, str) >= FOR_GOOD || hr_py_immortal(py, str) ? HR_PR_STRONG : HR_PR_WEAK;
}
