/* What is kept longer than people think: exceptions with their frames, unbounded caches, dead weak references, interned strings. */
#include "analyzer/base/fuel.h"
#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/stacks.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"
#include "analyzer/runtimes/cpython/waste.h"

#include <string.h>

enum { MAX_ROWS = 1 << 28, MAX_TRACEBACK = 1 << 20 };

static uint8_t kind_at(struct hr_py *py, uint64_t addr)
{
    uint32_t t = addr ? hr_py_object_type(py, addr) : HR_NONE;
    return t == HR_NONE ? HR_PK_NONE : hr_py_type(py, t)->kind;
}

/* ---- exceptions ---- */
static uint64_t frame_code(const struct hr_py *py, uint64_t frame)
{
    if (hr_py_has(py->c, HR_PY_FRAME_IFRAME))
        return hr_py_word(py->c, hr_py_word(py->c, frame, HR_PY_FRAME_IFRAME), HR_PY_IFRAME_CODE);
    return hr_py_word(py->c, frame, HR_PY_FRAME_CODE);
}

/* The innermost frame is where it was raised. */
static void raised_where(struct hr_py_walk *w, struct hr_fuel *fuel, struct hr_py_raised *r)
{
    struct hr_py *py = w->py;
    uint64_t tb = r->traceback, last = 0;
    for (; tb && r->frames < MAX_TRACEBACK && hr_burn(fuel, 1) && kind_at(py, tb) == HR_PK_TRACEBACK; r->frames++) {
        last = tb;
        tb = hr_py_word(py->c, tb, HR_PY_TB_NEXT);
    }
    uint64_t code = last ? frame_code(py, hr_py_word(py->c, last, HR_PY_TB_FRAME)) : 0;
    if (kind_at(py, code) != HR_PK_CODE)
        return;
    int32_t line = (int32_t)hr_py_uint(py->c, last, HR_PY_TB_LINENO, 4);
    r->code = code;
    r->line = line > 0 ? (uint32_t)line : hr_py_code_line(w, code, (int32_t)hr_py_uint(py->c, last, HR_PY_TB_LASTI, 4));
}

enum hr_status hr_py_raised(struct hr_py *py, struct hr_pyraisedvec *ret)
{
    struct hr_py_walk w;
    struct hr_fuel fuel = hr_fuel(4ull * py->heap->n + 1000); /* chains share their tails */
    ret->max = MAX_ROWS;
    if (!hr_py_has(py->c, HR_PY_EXC_TRACEBACK) || !hr_py_has(py->c, HR_PY_TB_NEXT))
        return HR_OK; /* 2.7: exceptions know no traceback */
    hr_py_walk_init(&w, py);
    for (hr_id id = 0; id < py->heap->n; id++) {
        if (py->object[id] == HR_NONE || py->types.v[py->object[id]].kind != HR_PK_EXCEPTION)
            continue;
        struct hr_py_raised r = {.addr = hr_py_addr(py, id), .node = id, .type = py->object[id]};
        r.traceback = hr_py_word(py->c, r.addr, HR_PY_EXC_TRACEBACK);
        if (kind_at(py, r.traceback) != HR_PK_TRACEBACK)
            continue;
        raised_where(&w, &fuel, &r);
        HR_TRY(hr_pyraisedvec_push(ret, r));
    }
    return HR_OK;
}

/* ---- caches ---- */
enum hr_status hr_py_lru_caches(struct hr_py *py, struct hr_pylruvec *ret)
{
    ret->max = MAX_ROWS;
    if (!hr_py_has(py->c, HR_PY_LRU_CACHE) || !hr_py_has(py->c, HR_PY_LRU_MAXSIZE))
        return HR_OK;
    for (hr_id id = 0; id < py->heap->n; id++) {
        if (py->object[id] == HR_NONE)
            continue;
        const struct hr_py_type *t = &py->types.v[py->object[id]];
        if (t->kind != HR_PK_OBJECT || t->basicsize < (uint64_t)py->c->at[HR_PYS_LRU] ||
            strcmp(hr_strs_get(py->img->strs, t->name), "functools._lru_cache_wrapper"))
            continue;
        struct hr_py_lru r = {.addr = hr_py_addr(py, id), .node = id};
        uint64_t cache = hr_py_word(py->c, r.addr, HR_PY_LRU_CACHE), max = hr_py_word(py->c, r.addr, HR_PY_LRU_MAXSIZE);
        r.func = hr_py_word(py->c, r.addr, HR_PY_LRU_FUNC);
        r.maxsize = py->img->word == 4 ? (int32_t)max : (int64_t)max;
        r.hits = hr_py_word(py->c, r.addr, HR_PY_LRU_HITS);
        r.misses = hr_py_word(py->c, r.addr, HR_PY_LRU_MISSES);
        uint32_t ct = hr_py_object_type(py, cache);
        if (ct == HR_NONE || hr_py_type(py, ct)->kind != HR_PK_DICT)
            continue;
        r.cache = hr_py_node(py, cache);
        r.len = hr_py_len(py, cache, hr_py_type(py, ct));
        if (r.len != UINT64_MAX)
            HR_TRY(hr_pylruvec_push(ret, r));
    }
    return HR_OK;
}

/* ---- weak references ---- */
enum hr_status hr_py_weakrefs(struct hr_py *py, struct hr_pyweakvec *ret)
{
    ret->max = MAX_ROWS;
    for (hr_id id = 0; id < py->heap->n; id++) {
        if (py->object[id] == HR_NONE || py->types.v[py->object[id]].kind != HR_PK_WEAKREF)
            continue;
        struct hr_py_weak r = {.addr = hr_py_addr(py, id), .node = id, .type = py->object[id]};
        uint64_t to = hr_py_word(py->c, r.addr, HR_PY_WEAKREF_OBJECT);
        uint32_t t = to ? hr_py_object_type(py, to) : HR_NONE;
        r.dead = t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_NONE; /* None itself cannot be referred to weakly */
        r.callback = hr_py_word(py->c, r.addr, HR_PY_WEAKREF_CALLBACK) != 0;
        HR_TRY(hr_pyweakvec_push(ret, r));
    }
    return HR_OK;
}

/* ---- interned strings ---- */
/* 0 no, 1 mortal, 2 immortal, 3 immortal and static (3.12 on). */
static unsigned interned_state(const struct hr_py *py, uint64_t addr)
{
    if (py->minor < 0x0300)
        return (unsigned)hr_py_uint(py->c, addr, HR_PY_BYTES_STATE, 1);
    uint64_t state = hr_py_uint(py->c, addr, HR_PY_UNICODE_STATE, 4);
    return (unsigned)(py->minor >= 0x030f ? state & 0xff : state & 3);
}

enum hr_status hr_py_interned(struct hr_py *py, struct hr_pyinternedvec *ret)
{
    uint8_t kind = py->minor < 0x0300 ? HR_PK_BYTES : HR_PK_STR;
    ret->max = MAX_ROWS;
    for (hr_id id = 0; id < py->heap->n; id++) {
        if (py->object[id] == HR_NONE || py->types.v[py->object[id]].kind != kind)
            continue;
        uint64_t addr = hr_py_addr(py, id);
        unsigned state = interned_state(py, addr);
        if (state)
            HR_TRY(hr_pyinternedvec_push(ret, (struct hr_py_interned){addr, id, state >= 2 || hr_py_immortal(py, addr)}));
    }
    return HR_OK;
}

/* Stripped builds up to 3.11: the dict where every key is its own value and is interned. */
static hr_id search_interned(struct hr_py *py)
{
    enum { PROBES = 8, MIN_INTERNED = 500 };
    hr_id best = HR_NONE;
    uint64_t most = MIN_INTERNED;
    struct hr_py_keys k;
    for (hr_id id = 0; id < py->heap->n; id++) {
        if (py->object[id] == HR_NONE || py->types.v[py->object[id]].kind != HR_PK_DICT)
            continue;
        uint64_t dict = hr_py_addr(py, id), used = hr_py_word(py->c, dict, HR_PY_DICT_USED), probed = 0;
        if (used <= most || used > 1ull << 40 || hr_py_word(py->c, dict, HR_PY_DICT_VALUES) || !hr_py_read_keys(py, hr_py_word(py->c, dict, HR_PY_DICT_KEYS), &k))
            continue;
        bool all = true;
        for (uint64_t i = 0; i < k.n && probed < PROBES && all; i += 1 + k.n / PROBES) {
            uint64_t key = hr_py_word_at(py, k.entries + i * k.each + k.key_off), value = hr_py_word_at(py, k.entries + i * k.each + k.value_off);
            if (!value)
                continue;
            all = key == value && kind_at(py, key) == HR_PK_STR && interned_state(py, key);
            probed++;
        }
        if (all && probed) {
            best = id;
            most = used;
        }
    }
    return best;
}

size_t hr_py_interned_dicts(struct hr_py *py, hr_id *ret, size_t cap)
{
    size_t n = 0;
    if (hr_py_has(py->c, HR_PY_IS_INTERNED)) {
        for (uint32_t i = 0; i < py->c->ninterp && n < cap; i++) {
            hr_id id = hr_py_node(py, hr_py_word(py->c, py->c->interp[i], HR_PY_IS_INTERNED));
            if (id != HR_NONE)
                ret[n++] = id;
        }
        return n;
    }
    uint64_t at = hr_py_symbol(py->c, "interned");
    hr_id id = at ? hr_py_node(py, hr_py_word_at(py, at)) : py->minor >= 0x0300 ? search_interned(py) : HR_NONE;
    if (id != HR_NONE && n < cap)
        ret[n++] = id;
    return n;
}

static void tracemalloc_tables(struct hr_py *py, struct hr_py_facts *f)
{
    struct hr_py_tracetables at;
    struct hr_py_hashtable t;
    if (!hr_py_tracetables_find(py, &at))
        return;
    uint64_t tables[] = {at.traces, at.domains, at.tracebacks};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (!hr_py_hashtable_at(py, tables[i], &t))
            continue;
        f->tables[f->ntables++] = hr_heap_at(py->heap, tables[i], NULL);
        f->tables[f->ntables++] = hr_heap_at(py->heap, t.buckets, NULL);
    }
}

bool hr_py_is_own_table(struct hr_py *py, hr_id id)
{
    struct hr_py_facts *f = py->facts;
    if (!f && !(f = py->facts = hr_zalloc(1, sizeof *f)))
        return false;
    if (!f->have_tables) {
        f->have_tables = true;
        f->ntables = hr_py_interned_dicts(py, f->tables, HR_PY_MAX_INTERPRETERS);
        for (size_t i = 0, n = f->ntables; i < n; i++) {
            enum hr_py_fact table = py->minor < 0x0300 ? HR_PY_DICT_TABLE : HR_PY_DICT_KEYS;
            f->tables[f->ntables++] = hr_heap_at(py->heap, hr_py_word(py->c, hr_py_addr(py, f->tables[i]), table), NULL);
        }
        tracemalloc_tables(py, f);
    }
    for (size_t i = 0; i < f->ntables; i++)
        if (f->tables[i] == id)
            return true;
    return false;
}

void hr_py_facts_free(struct hr_py_facts *f)
{
    if (!f)
        return;
    hr_pyslottedvec_deinit(&f->slots);
    hr_pyraisedvec_deinit(&f->raised);
    hr_pylruvec_deinit(&f->lru);
    hr_pyweakvec_deinit(&f->weak);
    hr_pyinternedvec_deinit(&f->interned);
    hr_pykeptvec_deinit(&f->kept);
    hr_py_memory_deinit(&f->memory);
    hr_free(f);
}
