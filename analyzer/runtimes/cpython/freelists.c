/* The interpreter's free lists: objects that were freed and kept for reuse. To pymalloc their blocks are in use; to the program they
 * are not. Nothing alive has a count of zero, so most are known by their own header (the lists leave the type where it was): lists,
 * tuples, dicts, frames, methods, contexts, slices … of every version. Two kinds lose their header: floats, chained through the type
 * word, and keys tables of dicts; these are followed from the interpreter (3.10 on), or from the statics called free_list. */
#include <string.h>

#include "analyzer/heap/builder.h"
#include "analyzer/runtimes/cpython/py.h"

enum { MAX_CHAIN = 4096, MAX_KEYS = 1024 };

static enum hr_status cached(struct hr_py *py, hr_id id, const char *name)
{
    hr_str s;
    HR_TRY(hr_strs_addz(py->img->strs, name, &s));
    /* What malloc handed out stays in use in malloc's own accounts, which equal its statistics. */
    const struct hr_arena *a = &py->heap->arenas.v[hr_block_arena(py->heap, id)];
    if (!strcmp(py->heap->allocators.v[a->allocator].name, "pymalloc"))
        hr_heap_relabel(py->heap, id, HR_CACHED);
    for (size_t i = 0; i < py->freelists.n; i++)
        if (py->freelists.v[i].name == s) {
            py->freelists.v[i].count++;
            py->freelists.v[i].bytes += hr_block_size(py->heap, id);
            return HR_OK;
        }
    return hr_pyfreevec_push(&py->freelists, (struct hr_py_freelist){s, 1, hr_block_size(py->heap, id)});
}

/* Type of the dead object in a block that nobody owns; HR_NONE when there is none. */
static uint32_t dead_object(struct hr_py *py, const uint8_t *p, uint64_t size)
{
    unsigned word = py->img->word, gc = (unsigned)py->c->at[HR_PYS_GC_HEAD], starts[3] = {0, gc, gc + 2 * word};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t at = starts[i] + (uint64_t)py->c->at[HR_PY_OB_REFCNT], type_at = starts[i] + (uint64_t)py->c->at[HR_PY_OB_TYPE];
        if (starts[i] + (uint64_t)py->c->at[HR_PYS_OBJECT] > size || hr_word_load(p + at, word, py->img->big))
            continue;
        uint64_t type = hr_word_load(p + type_at, word, py->img->big);
        uint32_t t = type && !(type & (word - 1)) ? hr_py_type_at(py, type) : HR_NONE;
        if (t != HR_NONE && hr_py_type(py, t)->pre == starts[i] && starts[i] + hr_py_type(py, t)->basicsize <= size + word)
            return t;
    }
    return HR_NONE;
}

uint32_t hr_py_dead_object(struct hr_py *py, hr_id id)
{
    uint64_t size = hr_py_usable(py, id);
    struct hr_span b = hr_image_peek(py->img, hr_block_addr(py->heap, id) + hr_py_guard(py, id), hr_min(size, 64));
    return size >= (uint64_t)py->c->at[HR_PYS_OBJECT] && b.n >= hr_min(size, 64) ? dead_object(py, b.p, size) : HR_NONE;
}

static enum hr_status dead_objects(struct hr_py *py)
{
    const struct hr_heap *h = py->heap;
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it), size = hr_block_size(h, id);
        if (h->state[id] != HR_USED || py->object[id] != HR_NONE || py->owner[id] != HR_NONE || hr_bits_get(&py->covered, id) || size < (uint64_t)py->c->at[HR_PYS_OBJECT])
            continue;
        addr += hr_py_guard(py, id);
        size = hr_py_usable(py, id);
        struct hr_span b = hr_image_peek(py->img, addr, hr_min(size, 64));
        uint32_t t = b.n >= hr_min(size, 64) ? dead_object(py, b.p, size) : HR_NONE;
        if (t == HR_NONE)
            continue;
        HR_TRY(cached(py, id, hr_strs_get(py->img->strs, hr_py_type(py, t)->name)));
        if (hr_py_type(py, t)->kind == HR_PK_FRAME)
            HR_TRY(hr_u32vec_push(&py->dead, id));
    }
    return HR_OK;
}

/* A used block that nobody owns, starts at `addr`, begins with a zero word, and is no object. */
static hr_id loose(const struct hr_py *py, uint64_t addr)
{
    uint64_t into, first;
    hr_id id = addr ? hr_py_block_at(py, addr, &into) : HR_NONE;
    if (id == HR_NONE || into || py->heap->state[id] != HR_USED || py->object[id] != HR_NONE || py->owner[id] != HR_NONE)
        return HR_NONE;
    return hr_image_word(py->img, addr, &first) && !first ? id : HR_NONE;
}

/* Floats from `at` on; false before anything is claimed when the chain is none. */
static enum hr_status float_chain(struct hr_py *py, uint64_t at)
{
    uint64_t size = (uint64_t)py->c->at[HR_PY_FLOAT_VALUE] + 8, walk = at;
    for (unsigned n = 0; walk; n++, walk = hr_py_word(py->c, walk, HR_PY_OB_TYPE)) {
        hr_id id = loose(py, walk);
        if (n == MAX_CHAIN || id == HR_NONE || hr_py_usable(py, id) < size || hr_py_usable(py, id) > 2 * size)
            return HR_OK;
    }
    while (at) {
        uint64_t next = hr_py_word(py->c, at, HR_PY_OB_TYPE);
        HR_TRY(cached(py, hr_heap_at(py->heap, at, NULL), "float"));
        at = next;
    }
    return HR_OK;
}

static enum hr_status keys_tables(struct hr_py *py, uint64_t interp)
{
    unsigned word = py->img->word;
    uint64_t n = hr_py_uint(py->c, interp, HR_PY_IS_FREE_KEYS_N, 4), at;
    for (uint64_t i = 0; i < hr_min(n, MAX_KEYS); i++) {
        if (!hr_image_word(py->img, interp + (uint64_t)py->c->at[HR_PY_IS_FREE_KEYS] + i * word, &at))
            break;
        hr_id id = loose(py, at);
        if (id != HR_NONE)
            HR_TRY(cached(py, id, "dict keys"));
    }
    return HR_OK;
}

/* Up to 3.9 several files have a static `free_list`; the one of floats is told by what it leads to. */
static enum hr_status static_floats(struct hr_py *py)
{
    const struct hr_types *t = py->c->types;
    uint64_t at;
    if (py->minor < 0x0300 || !hr_py_symbol(py->c, "free_list"))
        return HR_OK; /* 2.7's lie in blocks that are never given back */
    for (size_t i = 0; i < t->syms.n; i++) {
        const struct hr_sym *s = &t->syms.v[i];
        if (s->module == py->c->module && s->size == py->img->word && !strncmp(s->name, "free_list", 9) &&
            hr_image_word(py->img, s->addr, &at))
            HR_TRY(float_chain(py, at));
    }
    return HR_OK;
}

/* malloc's blocks stay used in its accounts, but what is in them is stale: covered, though nobody owns them. */
static enum hr_status cached_by_numpy(struct hr_py *py, hr_id id, const char *name)
{
    if (hr_bits_get(&py->covered, id))
        return HR_OK;
    hr_bits_set(&py->covered, id);
    return cached(py, id, name);
}

enum hr_status hr_py_find_freelists(struct hr_py *py)
{
    py->freelists.max = 4096;
    py->dead.max = HR_MAX_BLOCKS;
    HR_TRY(hr_py_find_numpy_cache(py, cached_by_numpy));
    HR_TRY(dead_objects(py));
    if (!hr_py_has(py->c, HR_PY_IS_FREE_FLOATS))
        return static_floats(py);
    for (uint32_t i = 0; i < py->c->ninterp; i++) {
        HR_TRY(float_chain(py, hr_py_word(py->c, py->c->interp[i], HR_PY_IS_FREE_FLOATS)));
        if (hr_py_has(py->c, HR_PY_IS_FREE_KEYS) && hr_py_has(py->c, HR_PY_IS_FREE_KEYS_N))
            HR_TRY(keys_tables(py, py->c->interp[i]));
    }
    return HR_OK;
}
