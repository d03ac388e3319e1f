/* What a Python heap wastes, as facts: strings, bytes and tuples that are there several times, and the slack of containers. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"
#include "analyzer/runtimes/cpython/values.h"

enum { MAX_GROUPS = 1 << 24, MAX_TEXT = 1 << 20, MAX_TUPLE = 64, MAX_ITEM = 256 };

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

/* All bytes of [addr, addr + n) take part; false when the image lacks some. */
static bool hash_bytes(const struct hr_py *py, uint64_t addr, uint64_t n, uint64_t *h)
{
    while (n) {
        struct hr_span b = hr_image_peek(py->img, addr, n);
        if (!b.n)
            return false;
        size_t i = 0, have = hr_min(b.n, n);
        for (; i + 8 <= have; i += 8) {
            uint64_t w;
            memcpy(&w, b.p + i, 8);
            *h = mix(*h, w);
        }
        for (; i < have; i++)
            *h = mix(*h, b.p[i] + 256u);
        addr += have;
        n -= have;
    }
    return true;
}

/* Items of a tuple: numbers and short texts by value, everything else by identity. */
static uint64_t hash_item(struct hr_py *py, uint64_t addr)
{
    struct hr_py_text_place p;
    uint32_t ti = addr ? hr_py_object_type(py, addr) : HR_NONE;
    uint64_t n = 0, h;
    if (ti == HR_NONE)
        return addr;
    const struct hr_py_type *t = hr_py_type(py, ti);
    h = mix(t->addr, 1);
    if (t->kind == HR_PK_FLOAT && hash_bytes(py, addr + (uint64_t)py->c->at[HR_PY_FLOAT_VALUE], 8, &h))
        return h;
    if (t->kind == HR_PK_INT2 && hash_bytes(py, addr + (uint64_t)py->c->at[HR_PY_INT_IVAL], py->img->word, &h))
        return h;
    if (t->kind == HR_PK_INT) {
        h = mix(h, (uint64_t)hr_py_int_digits(py, addr, &n));
        if (n <= MAX_ITEM && hash_bytes(py, addr + (uint64_t)py->c->at[HR_PY_LONG_DIGITS], 4 * n, &h))
            return h;
    }
    if (t->kind == HR_PK_STR && hr_py_text_place(py, addr, &p) && p.length <= MAX_ITEM) {
        h = mix(mix(h, p.width), p.length);
        if (hash_bytes(py, p.data, p.length * p.width, &h))
            return h;
    }
    if (t->kind == HR_PK_BYTES && (n = hr_py_len(py, addr, t)) <= MAX_ITEM) {
        h = mix(h, n);
        if (hash_bytes(py, addr + (uint64_t)py->c->at[HR_PY_BYTES_VALUE], n, &h))
            return h;
    }
    return addr;
}

static bool hash_tuple(struct hr_py *py, uint64_t items, uint64_t n, uint64_t *h)
{
    uint64_t v;
    for (uint64_t i = 0; i < n; i++) {
        if (!hr_image_word(py->img, items + i * py->img->word, &v))
            return false;
        *h = mix(*h, hash_item(py, v));
    }
    return true;
}

/* Equal objects have equal hashes, and 64 bits are taken for the object itself. */
static bool hash_object(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, uint64_t *ret)
{
    struct hr_py_text_place p;
    uint64_t n = hr_py_len(py, addr, t), h = mix(t->addr, n);
    if (t->kind == HR_PK_STR && hr_py_text_place(py, addr, &p) && p.length <= MAX_TEXT) {
        h = mix(h, p.width);
        if (!hash_bytes(py, p.data, p.length * p.width, &h))
            return false;
    } else if (t->kind == HR_PK_BYTES && n <= MAX_TEXT) {
        if (!hash_bytes(py, addr + (uint64_t)py->c->at[HR_PY_BYTES_VALUE], n, &h))
            return false;
    } else if (t->kind == HR_PK_TUPLE && n && n <= MAX_TUPLE) { 
        if (!hash_tuple(py, addr + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS], n, &h))
            return false;
    } else {
        return false;
    }
    *ret = h ? h : 1;
    return true;
}

static int by_waste(const void *a, const void *b)
{
    const struct hr_py_same *x = a, *y = b;
    return x->waste != y->waste ? (x->waste < y->waste ? 1 : -1) : x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The groups of one, which nobody asks for, go. */
static void keep_several(struct hr_pysamevec *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        if (v->v[i].count > 1)
            v->v[n++] = v->v[i];
    v->n = n;
    if (n)
        qsort(v->v, n, sizeof *v->v, by_waste);
}

static uint32_t line_of(const struct hr_py *py, hr_id id)
{
    const struct hr_py_trace *t = hr_py_trace_at(py, id);
    return t ? py->tracing->sites.v[t->site].line : HR_NONE;
}

/* Boyer and Moore's vote: a line that most come from is the one that is left. */
static void vote(const struct hr_py *py, struct hr_py_same *s, hr_id id)
{
    uint32_t line = line_of(py, id);
    if (line == HR_NONE)
        return;
    if (!s->votes) {
        s->traced = id;
        s->votes = 1;
    } else if (line_of(py, s->traced) == line) {
        s->votes++;
    } else {
        s->votes--;
    }
}

static enum hr_status add_same(struct hr_py *py, struct hr_map *index, hr_id id, uint64_t h)
{
    uint64_t addr = hr_py_addr(py, id);
    const struct hr_py_type *t = &py->types.v[py->object[id]];
    uint64_t size = hr_block_size(py->heap, id);
    uint32_t at = hr_map_get(index, h);
    if (at != HR_NONE) {
        py->same.v[at].count++;
        py->same.v[at].waste += size;
        vote(py, &py->same.v[at], id);
        return HR_OK;
    }
    HR_TRY(hr_map_put(index, h, (uint32_t)py->same.n));
    struct hr_py_same fresh = {.addr = addr, .type = py->object[id], .kind = t->kind, .count = 1, .bytes = size, .traced = HR_NONE};
    vote(py, &fresh, id);
    return hr_pysamevec_push(&py->same, fresh);
}

/* Blocks of 64 items (2.7: 62), one at least; from 3.11 on up to 16 emptied blocks stay with the deque. */
static bool deque_room(struct hr_py *py, uint64_t addr, struct hr_py_container *ret)
{
    bool two = py->minor < 0x0300;
    uint64_t word = py->img->word, items = two ? 62 : 64, head = (uint64_t)py->c->at[two ? HR_PYS_OBJECT : HR_PYS_VAROBJECT];
    uint64_t first = hr_py_word_at(py, addr + head + 2 * word), spare = 0;
    if (first > items || ret->used > 1ull << 40)
        return false;
    if (py->minor >= 0x030b) /* left, right block and index, state, maxlen, numfreeblocks */
        spare = hr_min(hr_py_word_at(py, addr + head + 6 * word), 16);
    uint64_t blocks = hr_max((first + ret->used + items - 1) / items, 1);
    ret->capacity = blocks * items;
    ret->slack = (ret->capacity - ret->used) * word + spare * (items + 2) * word;
    return true;
}

bool hr_py_container_at(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, struct hr_py_container *ret)
{
    uint64_t word = py->img->word, index, slots, each;
    *ret = (struct hr_py_container){.addr = addr, .kind = t->kind, .used = hr_py_len(py, addr, t)};
    switch (t->kind) {
    case HR_PK_LIST:
        ret->capacity = hr_py_word(py->c, addr, HR_PY_LIST_ALLOCATED);
        each = word;
        break;
    case HR_PK_BYTEARRAY:
        ret->capacity = hr_py_word(py->c, addr, HR_PY_BYTEARRAY_ALLOC);
        each = 1;
        break;
    case HR_PK_SET:
        slots = hr_py_word(py->c, addr, HR_PY_SET_MASK) + 1;
        ret->capacity = slots * 3 / 5; /* it grows when three fifths are taken */
        each = 2 * word;
        break;
    case HR_PK_DEQUE:
        if (!deque_room(py, addr, ret))
            return false;
        return ret->used != UINT64_MAX;
    case HR_PK_DICT: case HR_PK_ODICT:
        if (py->minor < 0x0300) {
            ret->capacity = (hr_py_word(py->c, addr, HR_PY_DICT_MASK) + 1) * 2 / 3;
            each = 3 * word;
            break;
        }
        if (hr_py_word(py->c, addr, HR_PY_DICT_VALUES)) /* its keys are shared, with all empty dicts in 3.8 to 3.10 */
            return !ret->used;
        slots = hr_py_keys_slots(py, hr_py_word(py->c, addr, HR_PY_DICT_KEYS), &index);
        ret->capacity = slots * 2 / 3;
        each = hr_py_has(py->c, HR_PY_KEYS_KIND) && hr_py_uint(py->c, hr_py_word(py->c, addr, HR_PY_DICT_KEYS), HR_PY_KEYS_KIND, 1) ? 2 * word : 3 * word;
        break;
    default: return false;
    }
    if (ret->used == UINT64_MAX || ret->capacity > 1ull << 40)
        return false;
    ret->slack = ret->capacity > ret->used ? (ret->capacity - ret->used) * each : 0;
    return true;
}

/* Most values are there once. A hash of which no other has the low bits is alone; only the others are worth a place in a map. */
struct values {
    struct hr_u32vec node;
    struct hr_u64vec hash;
    struct hr_bits seen; /* two bits each: once, again */
};

static uint64_t seen_bit(const struct values *v, uint64_t hash) { return 2 * hash & (v->seen.nbits - 1); }

static enum hr_status note_value(struct values *v, hr_id id, uint64_t h)
{
    HR_TRY(hr_u32vec_push(&v->node, id));
    return hr_u64vec_push(&v->hash, h);
}

static enum hr_status count_values(struct values *v)
{
    enum { AHEAD = 16, FEWEST_BITS = 1 << 16, MOST_BITS = 1 << 30 };
    uint64_t bits = FEWEST_BITS;
    while (bits < MOST_BITS && bits < 16 * (uint64_t)v->hash.n)
        bits *= 2;
    HR_TRY(hr_bits_init(&v->seen, bits));
    for (size_t i = 0; i < v->hash.n; i++) {
        if (i + AHEAD < v->hash.n)
            __builtin_prefetch(&v->seen.w[seen_bit(v, v->hash.v[i + AHEAD]) >> 6], 1);
        uint64_t bit = seen_bit(v, v->hash.v[i]);
        if (!hr_bits_claim(&v->seen, bit))
            hr_bits_set(&v->seen, bit + 1);
    }
    return HR_OK;
}

static enum hr_status look_at_all(struct hr_py *py, struct values *v)
{
    struct hr_block_iter it = hr_block_iter(py->heap, 0);
    while (it.id < py->heap->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it), h;
        if (py->object[id] == HR_NONE)
            continue;
        const struct hr_py_type type = py->types.v[py->object[id]], *t = &type; /* a copy: the items of tuples may add types */
        struct hr_py_container c;
        addr += t->pre;
        if (hr_py_container_at(py, addr, t, &c)) {
            c.node = id;
            HR_TRY(hr_pycontainervec_push(&py->containers, c));
        } else if (hash_object(py, addr, t, &h)) {
            HR_TRY(note_value(v, id, h));
        }
    }
    return HR_OK;
}

static enum hr_status group_values(struct hr_py *py, const struct values *v)
{
    struct hr_map index;
    enum hr_status st = HR_OK;
    hr_map_init(&index, 2 * MAX_GROUPS);
    for (size_t i = 0; i < v->node.n && st == HR_OK; i++)
        if (hr_bits_get(&v->seen, seen_bit(v, v->hash.v[i]) + 1))
            st = add_same(py, &index, v->node.v[i], v->hash.v[i]);
    hr_map_deinit(&index);
    return st;
}

enum hr_status hr_py_waste(struct hr_py *py)
{
    if (py->wasted)
        return HR_OK;
    py->wasted = true;
    HR_TRY(hr_py_tracemalloc(py));
    py->same.max = MAX_GROUPS;
    py->containers.max = 1u << 30;
    struct values v = {.node.max = HR_MAX_BLOCKS, .hash.max = HR_MAX_BLOCKS};
    enum hr_status st = look_at_all(py, &v);
    if (st == HR_OK)
        st = count_values(&v);
    if (st == HR_OK)
        st = group_values(py, &v);
    hr_bits_deinit(&v.seen);
    hr_u32vec_deinit(&v.node);
    hr_u64vec_deinit(&v.hash);
    keep_several(&py->same);
    if (st == HR_LIMIT) {
        hr_note(py->in.notes, HR_NOTE_DEGRADED, "python.waste", "there are more different strings than heapray compares: some duplicates are not found");
        st = HR_OK;
    }
    return st;
}
