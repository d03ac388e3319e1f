/* Attributes of instances by name: __dict__ in its four forms, __slots__, members of C types. */
#include <stdio.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/stacks.h"

enum { MAX_BASES = 64, MAX_MEMBERS = 1024, MAX_NAME = 256 };

struct give {
    struct hr_py *py;
    hr_py_attribute_fn *fn;
    void *ctx;
    bool stop;
};

static bool give_pair(void *ctx, uint64_t key, uint64_t value)
{
    struct give *g = ctx;
    char name[MAX_NAME];
    if (!hr_py_text(g->py, key, name, sizeof name))
        return true;
    g->stop = !g->fn(g->ctx, name, value);
    return !g->stop;
}

/* Values without a dict: the names are those of the type's shared keys. */
static void give_values(struct give *g, uint64_t values, uint64_t most, const struct hr_py_type *t)
{
    struct hr_py *py = g->py;
    struct hr_py_keys k;
    if (!hr_py_read_keys(py, hr_py_word(py->c, t->addr, HR_PY_HT_CACHED_KEYS), &k))
        return;
    for (uint64_t i = 0; i < k.n && i < most && !g->stop; i++) {
        uint64_t key = hr_py_word_at(py, k.entries + i * k.each + k.key_off), value = hr_py_word_at(py, values + i * py->img->word);
        if (key && value)
            give_pair(g, key, value);
    }
}

/* Where the values of an instance without a dict start; 0: it has a dict, or nothing. See cpython-layouts.md, section 5. */
uint64_t hr_py_instance_values(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t, uint64_t *most_ret)
{
    unsigned word = py->img->word;
    uint64_t v;
    if (!(t->flags & HR_PYF_MANAGED_DICT))
        return 0;
    if (py->minor == 0x030b || py->minor == 0x030c) {
        v = hr_py_word_at(py, addr - (py->minor == 0x030b ? 4 : 3) * word);
        if (py->minor == 0x030c)
            v = v & 1 ? v + 1 : 0;
        *most_ret = hr_py_block_left(py, v) / word;
        return v;
    }
    v = addr + t->basicsize;
    if (!(t->flags & HR_PYF_INLINE_VALUES) || hr_py_uint(py->c, v, HR_PY_VALUES_VALID, 1) != 1)
        return 0;
    *most_ret = hr_py_uint(py->c, v, HR_PY_VALUES_CAPACITY, 1);
    return v + (uint64_t)py->c->at[HR_PY_VALUES_VALUES];
}

uint64_t hr_py_instance_dict(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    if (t->kind == HR_PK_CLASSIC_INSTANCE)
        return hr_py_word(py->c, addr, HR_PY_INSTANCE_DICT);
    if (t->flags & HR_PYF_MANAGED_DICT) {
        uint64_t v = hr_py_word_at(py, addr - 3 * py->img->word);
        return v & 1 ? 0 : v;
    }
    uint64_t slot = hr_py_dict_slot(py, addr, t);
    return slot ? hr_py_word_at(py, slot) : 0;
}

/* PyMemberDef {name, type, offset, flags, doc}: what is an object (T_OBJECT, T_OBJECT_EX) of the instance. */
static void give_members(struct give *g, uint64_t addr, uint64_t type)
{
    enum { T_OBJECT = 6, T_OBJECT_EX = 16 };
    struct hr_py *py = g->py;
    unsigned word = py->img->word;
    uint64_t m = hr_py_word(py->c, type, HR_PY_TP_MEMBERS), kind;
    for (int i = 0; m && i < MAX_MEMBERS && !g->stop; i++, m += 5 * word) {
        char name[MAX_NAME];
        uint64_t text = hr_py_word_at(py, m), off = hr_py_word_at(py, m + 2 * word);
        if (!text || !hr_image_uint(py->img, m + word, 4, &kind) || !hr_image_cstr(py->img, text, name, sizeof name))
            return;
        if ((kind != T_OBJECT && kind != T_OBJECT_EX) || off > 1 << 20)
            continue;
        uint64_t v = hr_py_word_at(py, addr + off);
        if (v)
            g->stop = !g->fn(g->ctx, name, v);
    }
}

void hr_py_attributes(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, hr_py_attribute_fn *fn, void *ctx)
{
    struct give g = {.py = py, .fn = fn, .ctx = ctx};
    uint64_t most = 0, values = hr_py_instance_values(py, addr, t, &most), dict = values ? 0 : hr_py_instance_dict(py, addr, t);
    uint32_t kind = dict ? hr_py_object_type(py, dict) : HR_NONE;
    struct hr_py_type own = *t; /* names of types that are met on the way may move the table */
    if (values)
        give_values(&g, values, most, &own);
    else if (kind != HR_NONE && (hr_py_type(py, kind)->kind == HR_PK_DICT || hr_py_type(py, kind)->kind == HR_PK_ODICT))
        hr_py_dict_items(py, dict, give_pair, &g);
    uint64_t type = own.addr;
    for (int i = 0; i < MAX_BASES && type && !g.stop; i++) {
        give_members(&g, addr, type);
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
}
