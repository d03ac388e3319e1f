/* Arrays and dtype objects of NumPy: reading them, and what they refer to. None of the types has a tp_traverse, in any version: the
 * collector does not see what they hold, though all of it is counted. */
#include <string.h>

#include "analyzer/runtimes/cpython/ndarray.h"

enum { W_DATA, W_ND, W_DIMS, W_STRIDES, W_BASE, W_DESCR, W_FLAGS, W_WEAK, W_BUFFER, W_HANDLER }; /* words behind the head */
enum { MAX_BASES = 8, MAX_BUFFER_INFOS = 64 };
#define MAX_ITEM (1ull << 40)

static uint64_t head(const struct hr_py *py) { return (uint64_t)py->c->at[HR_PYS_OBJECT]; }

/* ---- dtype ---- */
/* Item size of the letters that have a fixed one; 0: it has none, or it depends on the machine. */
static unsigned known_size(char letter)
{
    static const char letters[] = "?bBhHiIqQefdFDMm";
    static const uint8_t sizes[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8, 8, 16, 8, 8};
    const char *at = letter ? strchr(letters, letter) : NULL;
    return at ? sizes[at - letters] : 0;
}

/* PyArray_Descr: typeobj, kind, type, byteorder, a char, type_num are where they were. 1.x: flags are that char; elsize, alignment (int),
 * subarray, fields, names, f, metadata, c_metadata. 2.x: flags (64 bits), elsize, alignment (words), metadata, hash, two spare words;
 * then, for the types of old, subarray, fields, names, c_metadata. */
static uint64_t elsize_at(const struct hr_py *py, unsigned major)
{
    uint64_t word = py->img->word, at = head(py) + word + 8;
    if (major == 1)
        return at;
    return word == 8 ? at + 8 : ((at + 7) & ~7ull) + 8; /* 32-bit: as on ARM and WebAssembly, where 64 bits are aligned */
}

static uint64_t elsize(const struct hr_py *py, uint64_t addr, unsigned major)
{
    uint64_t v;
    return hr_image_uint(py->img, addr + elsize_at(py, major), major == 1 ? 4 : py->img->word, &v) ? v : UINT64_MAX;
}

static char char_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t v;
    return hr_image_uint(py->img, addr, 1, &v) ? (char)v : 0;
}

/* The type numpy.dtype that a dtype's class derives from; 0: it is no dtype. */
static uint64_t dtype_root(const struct hr_py *py, uint64_t type)
{
    for (int i = 0; i < MAX_BASES && type; i++) {
        char name[32];
        if (hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name) && !strcmp(name, "numpy.dtype"))
            return type;
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return 0;
}

static unsigned major_of(struct hr_py *py, uint64_t addr)
{
    uint64_t class = hr_py_word(py->c, addr, HR_PY_OB_TYPE), root;
    if (py->numpy && class && class == py->numpy_class)
        return py->numpy; /* most arrays of a process have one of few dtypes */
    root = dtype_root(py, class);
    unsigned size = known_size(char_at(py, addr + head(py) + py->img->word + 1)), major = 0;
    if (!root)
        return 0;
    py->numpy_class = class;
    if (py->numpy)
        return py->numpy;
    if (size && (elsize(py, addr, 1) == size) != (elsize(py, addr, 2) == size)) {
        major = elsize(py, addr, 1) == size ? 1 : 2;
        py->numpy = (uint8_t)major;
        return major;
    }
    /* 2.x's classes of old hold more than the root of all dtypes does */
    return hr_py_word(py->c, class, HR_PY_TP_BASICSIZE) == hr_py_word(py->c, root, HR_PY_TP_BASICSIZE) ? 1 : 2;
}

unsigned hr_py_numpy_major(const struct hr_py *py) { return py->numpy; }

bool hr_py_descr(struct hr_py *py, uint64_t addr, struct hr_py_descr *ret)
{
    uint64_t word = py->img->word, chars = addr + head(py) + word, v;
    unsigned major = addr && !(addr & (word - 1)) ? major_of(py, addr) : 0;
    *ret = (struct hr_py_descr){.addr = addr};
    if (!major || !hr_image_uint(py->img, chars + 4, 4, &v))
        return false;
    ret->kind = char_at(py, chars);
    ret->type = char_at(py, chars + 1);
    ret->order = char_at(py, chars + 2);
    ret->type_num = (int32_t)v;
    ret->itemsize = elsize(py, addr, major);
    if (ret->itemsize > MAX_ITEM || (known_size(ret->type) && ret->itemsize != known_size(ret->type)))
        return false;
    uint64_t at = addr + elsize_at(py, major), flags = 0, class = hr_py_word(py->c, addr, HR_PY_OB_TYPE);
    if (major == 1) {
        uint64_t words = at + 8; /* an int for the size, one for the alignment */
        flags = (uint8_t)char_at(py, chars + 3);
        ret->subarray = hr_py_word_at(py, words);
        ret->fields = hr_py_word_at(py, words + word);
        ret->names = hr_py_word_at(py, words + 2 * word);
        ret->metadata = hr_py_word_at(py, words + 4 * word);
        ret->c_metadata = hr_py_word_at(py, words + 5 * word);
    } else {
        hr_image_uint(py->img, at - 8, 8, &flags);
        ret->metadata = hr_py_word_at(py, at + 2 * word);
        uint64_t old = at + 6 * word; /* hash and two spare words lie between */
        if (ret->type_num >= 0 && ret->type != 'T' && hr_py_word(py->c, class, HR_PY_TP_BASICSIZE) >= old + 4 * word - addr) {
            ret->subarray = hr_py_word_at(py, old);
            ret->fields = hr_py_word_at(py, old + word);
            ret->names = hr_py_word_at(py, old + 2 * word);
            ret->c_metadata = hr_py_word_at(py, old + 3 * word);
        }
    }
    ret->objects = flags & 1; /* NPY_ITEM_REFCOUNT */
    char native = py->img->big ? '>' : '<';
    if (ret->order == '=')
        ret->order = native;
    ret->swapped = ret->order == (native == '<' ? '>' : '<');
    return true;
}

/* ---- the parts of an item ---- */
struct todo { uint64_t descr, off; };
struct expand {
    struct hr_py *py;
    struct todo list[HR_NP_LEAVES];
    unsigned n;
    uint64_t off; /* of the structure whose fields are listed */
};

/* A number in the image that is no larger than one digit: an offset in an item. */
static bool small_int(const struct hr_py *py, uint64_t addr, uint64_t *ret)
{
    uint64_t digits = 0;
    *ret = 0;
    if (py->minor < 0x0300) {
        *ret = hr_py_word(py->c, addr, HR_PY_INT_IVAL);
        return true;
    }
    digits = hr_py_has(py->c, HR_PY_LONG_TAG) ? hr_py_word(py->c, addr, HR_PY_LONG_TAG) >> 3 : hr_py_word(py->c, addr, HR_PY_OB_SIZE);
    return !digits || (digits == 1 && hr_image_uint(py->img, addr + (uint64_t)py->c->at[HR_PY_LONG_DIGITS], 4, ret));
}

struct fields { struct hr_py *py; hr_py_field_fn *fn; void *ctx; };

/* A field: (descr, offset) or (descr, offset, title); a title is a key of its own for the same field. */
static bool field(void *ctx, uint64_t key, uint64_t value)
{
    struct fields *f = ctx;
    struct hr_py *py = f->py;
    uint64_t word = py->img->word, items = value + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS], off;
    uint64_t n = hr_py_word(py->c, value, HR_PY_OB_SIZE);
    if (n < 2 || n > 3 || (n == 3 && hr_py_word_at(py, items + 2 * word) == key) || !small_int(py, hr_py_word_at(py, items + word), &off))
        return true;
    return f->fn(f->ctx, key, hr_py_word_at(py, items), off);
}

static bool is_dict(struct hr_py *py, uint64_t addr)
{
    uint32_t t = hr_py_object_type(py, addr);
    return t != HR_NONE && (hr_py_type(py, t)->kind == HR_PK_DICT || hr_py_type(py, t)->kind == HR_PK_ODICT);
}

bool hr_py_fields(struct hr_py *py, const struct hr_py_descr *d, hr_py_field_fn *fn, void *ctx)
{
    struct fields f = {py, fn, ctx};
    if (!d->names || d->kind != 'V' || !is_dict(py, d->fields))
        return false;
    hr_py_dict_items(py, d->fields, field, &f);
    return true;
}

static bool add_field(void *ctx, uint64_t name, uint64_t descr, uint64_t off)
{
    struct expand *x = ctx;
    (void)name;
    if (x->n < HR_NP_LEAVES)
        x->list[x->n++] = (struct todo){descr, x->off + off};
    return x->n < HR_NP_LEAVES;
}

unsigned hr_py_leaves(struct hr_py *py, const struct hr_py_descr *d, struct hr_py_leaf *leaves)
{
    struct expand x = {.py = py};
    unsigned n = 0;
    struct hr_py_descr sub;
    x.list[x.n++] = (struct todo){d->addr, 0};
    for (unsigned steps = 0; x.n && n < HR_NP_LEAVES && steps < HR_NP_LEAVES * HR_NP_DEPTH; steps++) {
        struct todo t = x.list[--x.n];
        struct hr_py_descr at;
        if (!hr_py_descr(py, t.descr, &at) || t.off > d->itemsize || at.itemsize > d->itemsize - t.off)
            continue;
        if (at.subarray) {
            uint64_t base = hr_py_word_at(py, at.subarray), times = hr_py_descr(py, base, &sub) && sub.itemsize ? at.itemsize / sub.itemsize : 0;
            for (uint64_t i = hr_min(times, HR_NP_LEAVES); i-- > 0 && x.n < HR_NP_LEAVES;)
                x.list[x.n++] = (struct todo){base, t.off + i * sub.itemsize};
            continue;
        }
        unsigned first = x.n;
        x.off = t.off;
        if (hr_py_fields(py, &at, add_field, &x)) {
            for (unsigned i = first, k = x.n; i + 1 < k; i++) { /* the first comes off the end first */
                struct todo swap = x.list[i];
                x.list[i] = x.list[--k];
                x.list[k] = swap;
            }
        } else {
            leaves[n++] = (struct hr_py_leaf){t.off, at};
        }
    }
    return n;
}

/* ---- ndarray ---- */
bool hr_py_ndarray(struct hr_py *py, uint64_t addr, struct hr_py_ndarray *ret)
{
    uint64_t word = py->img->word, at = addr + head(py), nd, flags, strides;
    memset(ret, 0, sizeof *ret);
    if (!hr_image_uint(py->img, at + W_ND * word, 4, &nd) || nd > HR_NP_DIMS || !hr_image_uint(py->img, at + W_FLAGS * word, 4, &flags) ||
        !hr_py_descr(py, hr_py_word_at(py, at + W_DESCR * word), &ret->d))
        return false;
    ret->data = hr_py_word_at(py, at + W_DATA * word);
    ret->dims = hr_py_word_at(py, at + W_DIMS * word);
    ret->base = hr_py_word_at(py, at + W_BASE * word);
    ret->nd = (uint32_t)nd;
    ret->flags = (uint32_t)flags;
    strides = hr_py_word_at(py, at + W_STRIDES * word);
    uint64_t items = 1;
    for (uint32_t i = 0; i < nd; i++) {
        uint64_t n, s;
        if (!hr_image_word(py->img, ret->dims + i * word, &n) || !hr_image_word(py->img, strides + i * word, &s))
            return false;
        ret->shape[i] = n;
        ret->stride[i] = word == 4 ? (int32_t)s : (int64_t)s;
        if (__builtin_mul_overflow(items, n, &items))
            return false;
    }
    ret->items = items;
    return !__builtin_mul_overflow(items, ret->d.itemsize, &ret->nbytes) && ret->nbytes < 1ull << 56;
}

/* Buffer info, tagged with 3 in its low bits: format, ndim, strides, shape, next; the format is a block of its own. */
static void buffer_info(const struct hr_py_out *o, uint64_t at)
{
    struct hr_py *py = o->py;
    uint64_t word = py->img->word, info = hr_py_word_at(py, at);
    if ((info & 7) != 3)
        return;
    info -= 3;
    for (unsigned i = 0; i < MAX_BUFFER_INFOS && hr_py_block_left(py, info) >= 5 * word; i++) {
        hr_py_give(o, info, at, HR_PR_PART, HR_SURE_EXACT);
        hr_py_give(o, hr_py_word_at(py, info), UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
        info = hr_py_word_at(py, info + 4 * word);
    }
}

/* The objects in items that lie one behind the other. */
static void item_refs(const struct hr_py_out *o, const struct hr_py_descr *d, uint64_t data, uint64_t items)
{
    struct hr_py_leaf leaves[HR_NP_LEAVES];
    unsigned n = hr_py_leaves(o->py, d, leaves), kept = 0;
    uint64_t left = hr_py_block_left(o->py, data);
    for (unsigned i = 0; i < n; i++)
        if (leaves[i].d.type == 'O')
            leaves[kept++] = leaves[i];
    if (!d->itemsize || !kept)
        return;
    items = hr_min(items, left / d->itemsize);
    for (uint64_t i = 0; i < items; i++)
        for (unsigned k = 0; k < kept; k++) {
            uint64_t at = data + i * d->itemsize + leaves[k].off;
            hr_py_give(o, hr_py_word_at(o->py, at), at, HR_PR_UNVISITED, HR_SURE_EXACT);
        }
}

/* Memory that an array frees: a block, or within one that a handler has aligned. */
static void give_data(const struct hr_py_out *o, uint64_t data, uint64_t at)
{
    enum { ALIGNED = 128 };
    uint64_t into;
    if (hr_py_block_at(o->py, data, &into) != HR_NONE)
        hr_py_give(o, into <= ALIGNED ? data - into : data, at, HR_PR_PART, HR_SURE_EXACT);
}

void hr_py_ndarray_refs(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py *py = o->py;
    uint64_t word = py->img->word, at = o->obj + head(py), size = t->known;
    struct hr_py_ndarray a;
    hr_py_give(o, hr_py_word_at(py, at + W_BASE * word), at + W_BASE * word, HR_PR_UNVISITED, HR_SURE_EXACT);
    hr_py_give(o, hr_py_word_at(py, at + W_DESCR * word), at + W_DESCR * word, HR_PR_UNVISITED, HR_SURE_EXACT);
    if (head(py) + (W_HANDLER + 1) * word <= size)
        hr_py_give(o, hr_py_word_at(py, at + W_HANDLER * word), at + W_HANDLER * word, HR_PR_UNVISITED, HR_SURE_EXACT);
    if (head(py) + (W_BUFFER + 1) * word <= size)
        buffer_info(o, at + W_BUFFER * word);
    if (!hr_py_ndarray(py, o->obj, &a))
        return;
    hr_py_give(o, a.dims, at + W_DIMS * word, HR_PR_PART, HR_SURE_EXACT);
    if (a.flags & HR_NPF_OWNDATA) {
        give_data(o, a.data, at + W_DATA * word);
        if (a.d.objects)
            item_refs(o, &a.d, a.data, a.items);
    } else if (!a.base) { /* somebody else's memory, which nothing but this word may lead to */
        hr_py_give(o, a.data, at + W_DATA * word, HR_PR_UNVISITED, HR_SURE_CONSERVATIVE);
    }
}

void hr_py_dtype_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    struct hr_py_descr d;
    hr_py_give(o, hr_py_word_at(py, o->obj + head(py)), o->obj + head(py), HR_PR_UNVISITED, HR_SURE_EXACT);
    if (!hr_py_descr(py, o->obj, &d))
        return;
    uint64_t objects[] = {d.fields, d.names, d.metadata};
    for (unsigned i = 0; i < 3; i++)
        hr_py_give(o, objects[i], UINT64_MAX, HR_PR_UNVISITED, HR_SURE_EXACT);
    hr_py_give(o, d.c_metadata, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
    if (d.subarray) {
        hr_py_give(o, d.subarray, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
        hr_py_give(o, hr_py_word_at(py, d.subarray), UINT64_MAX, HR_PR_UNVISITED, HR_SURE_EXACT);
        hr_py_give(o, hr_py_word_at(py, d.subarray + py->img->word), UINT64_MAX, HR_PR_UNVISITED, HR_SURE_EXACT);
    }
}

/* numpy.void: data, descr, flags, base, buffer info behind a variable head. */
void hr_py_void_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    uint64_t word = py->img->word, at = o->obj + (uint64_t)py->c->at[HR_PYS_VAROBJECT], data = hr_py_word_at(py, at), flags = 0;
    struct hr_py_descr d;
    hr_py_give(o, hr_py_word_at(py, at + word), at + word, HR_PR_UNVISITED, HR_SURE_EXACT);
    hr_py_give(o, hr_py_word_at(py, at + 3 * word), at + 3 * word, HR_PR_UNVISITED, HR_SURE_EXACT);
    buffer_info(o, at + 4 * word);
    if (!hr_image_uint(py->img, at + 2 * word, 4, &flags) || !(flags & HR_NPF_OWNDATA))
        return;
    give_data(o, data, at);
    if (hr_py_descr(py, hr_py_word_at(py, at + word), &d) && d.objects)
        item_refs(o, &d, data, 1);
}
