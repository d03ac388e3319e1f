/* Which classes __slots__ would shrink, and by how much: the instances as they are, against a twin of the class that has a slot for
 * each attribute that any of them has, and __weakref__ only if one of them is weakly referenced. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/stacks.h"
#include "analyzer/runtimes/cpython/values.h"
#include "analyzer/runtimes/cpython/waste.h"

enum {
    MAX_BASES = 64,
    MAX_NAMES = 64,          /* a class with more attributes is a dict in disguise */
    MAX_NAME_ENTRIES = 1 << 24,
    MAX_ENTRIES = 1 << 16,   /* of one instance's dict */
    SMALL = 512,             /* pymalloc's largest request */
};

struct class {
    bool fits;
    bool own_weakref;        /* the class, not the C type below, made room for weak references */
    bool weakrefs;           /* an instance is weakly referenced */
    uint64_t shared;         /* bit i: the i-th of the shared keys has a value somewhere */
    uint64_t names, count, now, addr;
    uint64_t twin;           /* bytes of the twin's instance, without names and weak reference */
};

struct counting {
    struct hr_py *py;
    struct class *of;        /* by type, n of them */
    size_t n;
    struct hr_map names;     /* type and key */
    uint64_t dealloc;        /* subtype_dealloc: classes made by `class` have it */
    enum hr_status st;
};

/* The tp_dealloc that most classes have is that of classes made in Python; C types bring their own. */
static uint64_t python_dealloc(struct hr_py *py)
{
    uint64_t best = 0;
    uint32_t most = 0, *slot;
    struct hr_map counts;
    hr_map_init(&counts, 1 << 24);
    for (size_t i = 0; i < py->types.n; i++) {
        if (!(py->types.v[i].flags & HR_PYF_HEAPTYPE))
            continue;
        bool was;
        uint64_t d = hr_py_word(py->c, py->types.v[i].addr, HR_PY_TP_DEALLOC);
        if (hr_map_slot(&counts, d, 0, &slot, &was) != HR_OK)
            break;
        if (++*slot > most) {
            most = *slot;
            best = d;
        }
    }
    hr_map_deinit(&counts);
    return best;
}

/* The C type whose layout the class builds on: its dict and its items nobody can take away. */
static bool base_allows(const struct counting *c, const struct hr_py_type *t, bool *own_weakref)
{
    const struct hr_py *py = c->py;
    uint64_t type = t->addr;
    for (int i = 0; i < MAX_BASES && type; i++) {
        uint64_t flags = hr_py_word(py->c, type, HR_PY_TP_FLAGS);
        if (!(flags & HR_PYF_HEAPTYPE) || hr_py_word(py->c, type, HR_PY_TP_DEALLOC) != c->dealloc) {
            *own_weakref = !hr_py_word(py->c, type, HR_PY_TP_WEAKLISTOFFSET);
            return i && !hr_py_word(py->c, type, HR_PY_TP_DICTOFFSET) && !(py->minor >= 0x030b && flags & HR_PYF_MANAGED_DICT);
        }
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return false;
}

static void consider(struct counting *c, uint32_t i)
{
    const struct hr_py *py = c->py;
    const struct hr_py_type *t = &py->types.v[i];
    struct class *k = &c->of[i];
    unsigned word = py->img->word;
    bool managed = t->flags & HR_PYF_MANAGED_DICT, weak_inside = t->weaklistoffset > 0 && !(t->flags & HR_PYF_MANAGED_WEAKREF);
    if (!(t->flags & HR_PYF_HEAPTYPE) || t->itemsize || t->kind == HR_PK_TYPE || t->kind == HR_PK_EXCEPTION || (!managed && t->dictoffset <= 0))
        return;
    k->fits = base_allows(c, t, &k->own_weakref);
    k->twin = t->basicsize - (managed ? 0 : word) - (weak_inside && k->own_weakref ? word : 0);
}

static void name_used(struct counting *c, uint32_t type, uint64_t key)
{
    uint32_t *slot;
    bool was;
    if (c->st != HR_OK || c->of[type].names > MAX_NAMES)
        return;
    c->st = hr_map_slot(&c->names, key ^ (uint64_t)type << 48, 1, &slot, &was);
    c->of[type].names += c->st == HR_OK && !was;
}

struct dict_names { struct counting *c; uint32_t type; unsigned left; };

static bool dict_name(void *ctx, uint64_t key, uint64_t value)
{
    struct dict_names *d = ctx;
    (void)value;
    name_used(d->c, d->type, key);
    return d->left-- > 0 && d->c->of[d->type].names <= MAX_NAMES;
}

static uint64_t block_bytes(const struct hr_py *py, uint64_t addr)
{
    hr_id id = addr ? hr_heap_at(py->heap, addr, NULL) : HR_NONE;
    return id == HR_NONE ? 0 : hr_block_size(py->heap, id);
}

/* The bytes of a dict that one instance alone has: object, values, and the table unless it is shared. */
static uint64_t dict_bytes(const struct hr_py *py, uint64_t dict)
{
    uint64_t size = block_bytes(py, dict);
    if (py->minor < 0x0300) {
        uint64_t table = hr_py_word(py->c, dict, HR_PY_DICT_TABLE);
        return size + (table == dict + (uint64_t)py->c->at[HR_PY_DICT_SMALLTABLE] ? 0 : block_bytes(py, table));
    }
    uint64_t values = hr_py_word(py->c, dict, HR_PY_DICT_VALUES), keys = hr_py_word(py->c, dict, HR_PY_DICT_KEYS);
    if (!values)
        return size + (hr_py_word(py->c, keys, HR_PY_KEYS_REFCNT) == 1 ? block_bytes(py, keys) : 0);
    bool inside = hr_py_has(py->c, HR_PY_VALUES_EMBEDDED) && hr_py_uint(py->c, values, HR_PY_VALUES_EMBEDDED, 1) == 1;
    return size + (inside ? 0 : block_bytes(py, values));
}

static bool weakly_referenced(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    if (t->flags & HR_PYF_MANAGED_WEAKREF)
        return hr_py_word_at(py, addr - 4 * py->img->word) != 0;
    return t->weaklistoffset > 0 && hr_py_word_at(py, addr + (uint64_t)t->weaklistoffset);
}

/* Values without a dict: the i-th belongs to the i-th of the class's shared keys. */
static void values_used(struct counting *c, uint32_t type, const struct hr_py_keys *k, uint64_t values, uint64_t most)
{
    struct hr_py *py = c->py;
    for (uint64_t i = 0; i < hr_min(k->n, hr_min(most, 64)); i++)
        if (hr_py_word_at(py, values + i * py->img->word))
            c->of[type].shared |= 1ull << i;
}

static void instance(struct counting *c, hr_id id, uint32_t type)
{
    struct hr_py *py = c->py;
    const struct hr_py_type t = py->types.v[type];
    struct class *k = &c->of[type];
    struct hr_py_keys keys;
    uint64_t addr = hr_py_addr(py, id), most = 0, values = hr_py_instance_values(py, addr, &t, &most);
    uint64_t dict = t.flags & HR_PYF_MANAGED_DICT || !values ? hr_py_instance_dict(py, addr, &t) : 0;
    k->count++;
    k->now += hr_block_size(py->heap, id);
    if (!k->addr)
        k->addr = addr;
    k->weakrefs |= weakly_referenced(py, addr, &t);
    if (values) {
        if (py->minor <= 0x030c)
            k->now += block_bytes(py, values);
        if (hr_py_read_keys(py, hr_py_word(py->c, t.addr, HR_PY_HT_CACHED_KEYS), &keys))
            values_used(c, type, &keys, values, most);
    }
    uint32_t kind = dict ? hr_py_object_type(py, dict) : HR_NONE;
    if (kind == HR_NONE || hr_py_type(py, kind)->kind != HR_PK_DICT)
        return;
    if (hr_py_refcount(py, dict) == 1)
        k->now += dict_bytes(py, dict); /* else somebody keeps it anyway */
    struct dict_names d = {c, type, MAX_ENTRIES};
    hr_py_dict_items(py, dict, dict_name, &d);
}

static void shared_names(struct counting *c, uint32_t type)
{
    struct hr_py *py = c->py;
    struct hr_py_keys k;
    if (!c->of[type].shared || !hr_py_read_keys(py, hr_py_word(py->c, py->types.v[type].addr, HR_PY_HT_CACHED_KEYS), &k))
        return;
    for (unsigned i = 0; i < hr_min(k.n, 64); i++)
        if (c->of[type].shared >> i & 1)
            name_used(c, type, hr_py_word_at(py, k.entries + i * k.each + k.key_off));
}

/* What the allocator hands out for a request. */
static uint64_t rounded(const struct hr_py *py, uint64_t n, bool pymalloc)
{
    uint64_t unit = py->img->word == 8 ? 16 : 8, word = py->img->word;
    if (pymalloc && n <= SMALL)
        return (n + unit - 1) & ~(unit - 1);
    return hr_max(((n + word + 2 * word - 1) & ~(2 * word - 1)) - word, 3 * word); /* malloc's chunk, less its header */
}

static bool has_pymalloc(const struct hr_py *py)
{
    for (size_t i = 0; i < py->heap->allocators.n; i++)
        if (!strcmp(py->heap->allocators.v[i].name, "pymalloc"))
            return true;
    return false;
}

static enum hr_status report(struct counting *c, struct hr_pyslottedvec *ret)
{
    const struct hr_py *py = c->py;
    bool pymalloc = has_pymalloc(py);
    for (uint32_t i = 0; i < c->n && c->st == HR_OK; i++) {
        struct class *k = &c->of[i];
        if (!k->count)
            continue;
        shared_names(c, i);
        if (k->names > MAX_NAMES || !k->names)
            continue;
        unsigned word = py->img->word;
        bool weak = k->weakrefs && k->own_weakref, managed = py->minor >= 0x030c;
        uint64_t pre = (uint64_t)py->c->at[HR_PYS_GC_HEAD] + (weak && managed ? 2u * word : 0);
        uint64_t each = rounded(py, pre + k->twin + k->names * word + (weak && !managed ? word : 0), pymalloc);
        if (each * k->count < k->now)
            HR_TRY(hr_pyslottedvec_push(ret, (struct hr_py_slotted){i, weak, k->addr, k->count, k->names, k->now, each * k->count}));
    }
    return c->st;
}

static int by_saving(const void *a, const void *b)
{
    const struct hr_py_slotted *x = a, *y = b;
    uint64_t p = x->now - x->then, q = y->now - y->then;
    return p != q ? (p < q ? 1 : -1) : x->type < y->type ? -1 : x->type > y->type;
}

enum hr_status hr_py_slots(struct hr_py *py, struct hr_pyslottedvec *ret)
{
    struct counting c = {.py = py, .n = py->types.n};
    ret->max = 1 << 24;
    if (py->guards.front) /* the debug hooks make every block larger: no figures of a normal run */
        return HR_OK;
    c.of = hr_zalloc(c.n + 1, sizeof *c.of);
    if (!c.of)
        return HR_NOMEM;
    c.dealloc = python_dealloc(py);
    hr_map_init(&c.names, MAX_NAME_ENTRIES);
    for (uint32_t i = 0; i < c.n; i++)
        consider(&c, i);
    for (hr_id id = 0; id < py->heap->n && c.st == HR_OK; id++)
        if (py->object[id] < c.n && c.of[py->object[id]].fits)
            instance(&c, id, py->object[id]);
    enum hr_status st = c.st == HR_OK ? report(&c, ret) : c.st;
    if (st == HR_LIMIT)
        st = HR_OK; /* more names than classes have: what is there stands */
    if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, by_saving);
    hr_map_deinit(&c.names);
    hr_free(c.of);
    return st;
}
