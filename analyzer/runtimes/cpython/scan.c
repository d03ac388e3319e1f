/* The pass itself: what has to be known before, then objects, frames, memory. */
#include "analyzer/runtimes/cpython/scan.h"

#include <string.h>

enum { MOST_STACK = 1 << 26 /* words: half a gigabyte of frames */, MAX_KEYS_TABLES = 1 << 28, MAX_QUIET = 1 << 22 };

/* subtype_dealloc has no symbol where the interpreter is stripped: it is what most heap types have. */
uint64_t hr_py_subtype_dealloc(const struct hr_py *py)
{
    enum { KINDS = 32 };
    uint64_t dealloc[KINDS] = {0};
    uint32_t votes[KINDS] = {0}, best = 0;
    for (size_t i = 0; i < py->types.n; i++) {
        const struct hr_py_type *t = hr_py_type(py, (uint32_t)i);
        uint64_t d = t->flags & HR_PYF_HEAPTYPE ? hr_py_word(py->c, t->addr, HR_PY_TP_DEALLOC) : 0;
        unsigned k = 0;
        while (k < KINDS - 1 && dealloc[k] && dealloc[k] != d)
            k++;
        if (!d)
            continue;
        dealloc[k] = d;
        if (++votes[k] > votes[best] && k < KINDS - 1)
            best = k;
    }
    return dealloc[best];
}

uint32_t hr_py_scan_index(const struct hr_py *py, const struct hr_map *numbers, uint64_t addr)
{
    hr_id id = hr_py_node(py, addr);
    if (id != HR_NONE || !numbers)
        return id;
    uint32_t i = hr_map_get(numbers, addr);
    return i == HR_PY_NUMBER_BLOCK ? HR_NONE : i;
}

bool hr_py_scan_give(const struct hr_py_scan *s, uint64_t target, enum hr_py_finder who, uint64_t holder)
{
    uint32_t i = hr_py_scan_index(s->py, s->numbers, target);
    if (i != HR_NONE)
        s->fn(s->ctx, i, who, holder);
    return i != HR_NONE;
}

bool hr_py_text_begins(const struct hr_py *py, hr_id id, uint64_t into)
{
    const struct hr_py_type *t = hr_py_type(py, py->object[id]);
    if (t->kind == HR_PK_BYTES)
        return into == t->pre + (uint64_t)py->c->at[HR_PY_BYTES_VALUE];
    return t->kind == HR_PK_STR && py->minor >= 0x0300 &&
           (into == t->pre + (uint64_t)py->c->at[HR_PYS_ASCII] || into == t->pre + (uint64_t)py->c->at[HR_PYS_COMPACT]);
}

enum hr_status hr_py_scan(struct hr_py_scan *s)
{
    hr_map_init(&s->keys, MAX_KEYS_TABLES);
    hr_map_init(&s->gen_frames, MAX_KEYS_TABLES);
    s->slots_from.max = 1 << 24;
    s->quiet.max = MAX_QUIET;
    s->left = MOST_STACK;
    s->st = hr_bits_init(&s->quiet_block, (uint64_t)s->py->heap->n + 1);
    if (s->st == HR_OK)
        s->st = hr_bits_init(&s->threads, (uint64_t)s->py->img->threads.n + 1);
    if (s->st == HR_OK) {
        s->dealloc = hr_py_subtype_dealloc(s->py);
        s->st = hr_py_scan_quiet(s);
    }
    if (s->st == HR_OK)
        hr_py_scan_objects(s);
    if (s->st == HR_OK)
        hr_py_scan_frames(s);
    if (s->st == HR_OK)
        hr_py_scan_memory(s);
    hr_map_deinit(&s->keys);
    hr_map_deinit(&s->gen_frames);
    hr_u64vec_deinit(&s->tops);
    hr_u32vec_deinit(&s->slots_from);
    hr_rangevec_deinit(&s->quiet);
    hr_bits_deinit(&s->quiet_block);
    hr_bits_deinit(&s->threads);
    return s->st;
}
