/* sys.getsizeof() of each version, from the object's own numbers. Where a type brings a __sizeof__ of its own (Objects/ and Modules/
 * of CPython), the case here redoes it; all others are basicsize and items. tests/truth/test_py_objects.py asks the interpreters. */
#include <string.h>

#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/values.h"

enum { MAX_ITEMS = 1 << 28, ODICT_NODE_WORDS = 4, DEQUE_BLOCK = 64, DEQUE_BLOCK2 = 62 };

static uint64_t word_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t v;
    return hr_image_word(py->img, addr, &v) ? v : 0;
}

uint64_t hr_py_keys_slots(const struct hr_py *py, uint64_t keys, uint64_t *index_bytes_ret)
{
    if (hr_py_has(py->c, HR_PY_KEYS_LOG2_SIZE)) {
        uint64_t log2 = hr_py_uint(py->c, keys, HR_PY_KEYS_LOG2_SIZE, 1), li = hr_py_uint(py->c, keys, HR_PY_KEYS_LOG2_INDEX, 1);
        *index_bytes_ret = li > 44 ? 0 : 1ull << li;
        return log2 > 40 || li > 44 ? 0 : 1ull << log2;
    }
    uint64_t size = hr_py_word(py->c, keys, HR_PY_KEYS_SIZE);
    if (size > 1ull << 40)
        size = 0;
    *index_bytes_ret = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8);
    return size;
}

static uint64_t keys_bytes(const struct hr_py *py, uint64_t keys)
{
    uint64_t index, slots = keys ? hr_py_keys_slots(py, keys, &index) : 0;
    if (!slots)
        return 0;
    bool narrow = hr_py_has(py->c, HR_PY_KEYS_KIND) && hr_py_uint(py->c, keys, HR_PY_KEYS_KIND, 1);
    return (uint64_t)py->c->at[HR_PYS_KEYS] + index + (slots << 1) / 3 * ((narrow ? 2u : 3u) * py->img->word);
}

static bool static_object(const struct hr_py *py, uint64_t addr)
{
    return hr_cpython_owns(py->c, addr);
}

static uint64_t dict_size(const struct hr_py *py, uint64_t addr, uint64_t base)
{
    unsigned word = py->img->word;
    if (py->minor < 0x0300) {
        uint64_t table = hr_py_word(py->c, addr, HR_PY_DICT_TABLE), mask = hr_py_word(py->c, addr, HR_PY_DICT_MASK);
        bool small = table == addr + (uint64_t)py->c->at[HR_PY_DICT_SMALLTABLE];
        return base + (small || mask > 1ull << 40 ? 0 : (mask + 1) * 3 * word);
    }
    uint64_t keys = hr_py_word(py->c, addr, HR_PY_DICT_KEYS), values = hr_py_word(py->c, addr, HR_PY_DICT_VALUES), index;
    if (values && hr_py_has(py->c, HR_PY_KEYS_LOG2_SIZE)) {
        uint64_t n = hr_py_word(py->c, keys, HR_PY_KEYS_USABLE) + hr_py_word(py->c, keys, HR_PY_KEYS_NENTRIES);
        return base + (n < MAX_ITEMS ? n : 0) * word;
    }
    if (values)
        return base + (hr_py_keys_slots(py, keys, &index) << 1) / 3 * word;
    /* shared keys are counted with their type only: a split table's dict holds one of several references */
    if (keys && !static_object(py, keys) && hr_py_word(py->c, keys, HR_PY_KEYS_REFCNT) == 1)
        base += keys_bytes(py, keys);
    return base;
}

static uint64_t str_size(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    struct hr_py_text_place p;
    if (!hr_py_text_place(py, addr, &p))
        return t->basicsize;
    if (py->minor < 0x0300)
        return (uint64_t)py->c->at[HR_PYS_UNICODE] + (p.length + 1) * p.width;
    uint64_t size;
    if (p.compact)
        size = (uint64_t)(p.ascii ? py->c->at[HR_PYS_ASCII] : py->c->at[HR_PYS_COMPACT]) + (p.length + 1) * p.width;
    else
        size = (uint64_t)py->c->at[HR_PYS_UNICODE] + (p.length + 1) * p.width;
    /* a cached UTF-8 form where it is separate */
    if (!(p.compact && p.ascii)) {
        uint64_t utf8 = hr_py_word(py->c, addr, HR_PY_UNICODE_UTF8);
        if (utf8 && utf8 != p.data)
            size += hr_py_word(py->c, addr, HR_PY_UNICODE_UTF8_LENGTH) + 1;
    }
    return size;
}

static uint64_t type_size(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    if (!(hr_py_word(py->c, addr, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE))
        return py->minor < 0x0300 ? t->basicsize : (uint64_t)py->c->at[HR_PYS_TYPEOBJECT];
    if (py->minor >= 0x0300)
        return (uint64_t)py->c->at[HR_PYS_HEAPTYPE] + keys_bytes(py, hr_py_word(py->c, addr, HR_PY_HT_CACHED_KEYS));
    uint64_t slots = hr_py_word(py->c, addr, HR_PY_OB_SIZE);
    return t->basicsize + (slots < 4096 ? slots : 0) * t->itemsize;
}

/* Words of a function's locals, cells and value stack. */
static uint64_t frame_words(const struct hr_py *py, uint64_t code)
{
    uint64_t n = hr_py_uint(py->c, code, HR_PY_CODE_NLOCALSPLUS, 4) + hr_py_uint(py->c, code, HR_PY_CODE_STACKSIZE, 4);
    return n < MAX_ITEMS ? n : 0;
}

static uint64_t frame_size(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    uint64_t word = py->img->word, n = hr_py_word(py->c, addr, HR_PY_OB_SIZE);
    if (py->minor < 0x030b) /* one word of locals is in the struct already; basicsize lost sight of that */
        return t->basicsize + (n < MAX_ITEMS && n ? n - 1 : 0) * t->itemsize;
    uint64_t f = hr_py_word(py->c, addr, HR_PY_FRAME_IFRAME);
    return t->basicsize + frame_words(py, hr_py_word(py->c, f, HR_PY_IFRAME_CODE)) * word;
}

static uint64_t generator_size(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    if (py->minor < 0x030b)
        return t->basicsize;
    uint64_t frame = (uint64_t)py->c->at[HR_PY_GEN_IFRAME];
    uint64_t code = hr_py_has(py->c, HR_PY_GEN_CODE) ? hr_py_word(py->c, addr, HR_PY_GEN_CODE) : hr_py_word(py->c, addr + frame, HR_PY_IFRAME_CODE);
    return t->basicsize + frame_words(py, code) * py->img->word;
}

static uint64_t deque_size(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    bool two = py->minor < 0x0300; /* 2.7: no variable object, blocks of 62 items behind two links */
    uint64_t word = py->img->word, head = (uint64_t)py->c->at[two ? HR_PYS_OBJECT : HR_PYS_VAROBJECT];
    uint64_t first = word_at(py, addr + head + 2 * word), items = two ? DEQUE_BLOCK2 : DEQUE_BLOCK;
    uint64_t n = two ? word_at(py, addr + head + 4 * word) : hr_py_word(py->c, addr, HR_PY_OB_SIZE);
    if (first > items || n > 1ull << 40)
        return t->basicsize;
    return t->basicsize + (first + n + items - 1) / items * (items + 2) * word;
}

static uint64_t odict_size(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    /* od_first, od_last, od_fast_nodes, od_fast_nodes_size behind the dict, in every version (Objects/odictobject.c) */
    uint64_t word = py->img->word, size = dict_size(py, addr, t->basicsize), dict = (uint64_t)py->c->at[HR_PYS_DICT];
    uint64_t fast = word_at(py, addr + dict + 3 * word), n = hr_py_word(py->c, addr, HR_PY_DICT_USED);
    return size + (fast < 1ull << 40 ? fast * word : 0) + (n < 1ull << 40 ? n * ODICT_NODE_WORDS * word : 0);
}

/* Types known by name only, whose __sizeof__ adds what they own. */
static uint64_t named_extra(struct hr_py *py, uint64_t addr, const char *name)
{
    uint64_t word = py->img->word, first = addr + (uint64_t)py->c->at[HR_PYS_OBJECT], at, n = 0;
    bool two = py->minor < 0x0300;
    if (!two && !strcmp(name, "itertools.product") && (at = word_at(py, first)))
        return hr_min(hr_py_word(py->c, at, HR_PY_OB_SIZE), MAX_ITEMS) * word;
    if (!strcmp(name, "_struct.Struct") || !strcmp(name, "Struct")) { /* codes of four words (2.7: three), an empty one at the end */
        uint64_t each = (two ? 3 : 4) * word;
        at = word_at(py, first + 2 * word);
        while (at && n < 1 << 16 && word_at(py, at + n * each))
            n++;
        return at ? (n + 1) * each : 0;
    }
    if (two && !strcmp(name, "_io.BytesIO"))
        return word_at(py, first) ? hr_min(word_at(py, first + 3 * word), 1ull << 40) : 0;
    if (!strcmp(name, "_io.BytesIO") && (at = word_at(py, first)) && hr_py_refcount(py, at) == 1) {
        uint32_t t = hr_py_object_type(py, at);
        if (t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_BYTES)
            return hr_py_type(py, t)->basicsize + hr_min(hr_py_word(py->c, at, HR_PY_OB_SIZE), 1ull << 40);
    }
    return 0;
}

static uint64_t items_size(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    int64_t size = hr_py_ssize(py, addr, HR_PY_OB_SIZE);
    uint64_t n = size < 0 ? 0 - (uint64_t)size : (uint64_t)size;
    return t->basicsize + (n < MAX_ITEMS ? n * t->itemsize : 0);
}

static bool derives_from(const struct hr_py *py, uint64_t type, const char *wanted)
{
    enum { MAX_BASES = 64 };
    char name[64];
    for (int i = 0; i < MAX_BASES && type; i++) {
        if (hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name) && !strcmp(name, wanted))
            return true;
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return false;
}

/* NumPy's own __sizeof__: dimensions and strides count, data only where they are owned; scalars add what they hold once more. */
static uint64_t numpy_size(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    struct hr_py_ndarray a;
    struct hr_py_descr d;
    uint64_t at;
    if (t->kind == HR_PK_NDARRAY && hr_py_ndarray(py, addr, &a))
        return t->basicsize + 2ull * a.nd * py->img->word + (a.flags & HR_NPF_OWNDATA ? a.nbytes : 0);
    if (t->kind == HR_PK_NPVOID && hr_py_descr(py, word_at(py, addr + (uint64_t)py->c->at[HR_PYS_VAROBJECT] + py->img->word), &d))
        return t->basicsize + d.itemsize;
    if (t->kind == HR_PK_NPSCALAR && hr_py_scalar(py, addr, t, &d, &at))
        return t->basicsize + d.itemsize;
    return t->basicsize;
}

uint64_t hr_py_sizeof(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    uint64_t size = t->basicsize, n = hr_py_len(py, addr, t), word = py->img->word, table;
    const char *name = hr_strs_get(py->img->strs, t->name);
    switch (t->kind) {
    case HR_PK_STR: size = str_size(py, addr, t); break;
    case HR_PK_BYTES: /* basicsize counts the terminating NUL; 2.7 forgets what a subclass adds */
        if (py->minor < 0x0300)
            size = (uint64_t)py->c->at[HR_PY_BYTES_VALUE] + 1;
        size += n == UINT64_MAX ? 0 : n;
        if (n != UINT64_MAX && t->basicsize != (uint64_t)py->c->at[HR_PY_BYTES_VALUE] + 1 && derives_from(py, t->addr, "numpy.bytes_"))
            size += n;
        break;
    case HR_PK_TUPLE: size += (n == UINT64_MAX ? 0 : n) * t->itemsize; break;
    case HR_PK_INT:
        hr_py_int_digits(py, addr, &n);
        if (!n && py->minor >= 0x030b)
            n = 1;
        size = (py->minor < 0x0300 ? t->basicsize : (uint64_t)py->c->at[HR_PY_LONG_DIGITS]) + 4 * n;
        break;
    case HR_PK_LIST:
        if (hr_py_word(py->c, addr, HR_PY_LIST_ITEMS))
            size += hr_py_word(py->c, addr, HR_PY_LIST_ALLOCATED) * word;
        break;
    case HR_PK_BYTEARRAY: size += hr_py_word(py->c, addr, HR_PY_BYTEARRAY_ALLOC); break;
    case HR_PK_DICT: size = dict_size(py, addr, size); break;
    case HR_PK_ODICT: size = odict_size(py, addr, t); break;
    case HR_PK_SET:
        table = hr_py_word(py->c, addr, HR_PY_SET_TABLE);
        if (table != addr + (uint64_t)py->c->at[HR_PY_SET_SMALLTABLE])
            size += (hr_py_word(py->c, addr, HR_PY_SET_MASK) + 1) * 2 * word;
        break;
    case HR_PK_TYPE:
        size = type_size(py, addr, t);
        if (py->minor != 0x030b && py->minor != 0x030c && !(hr_py_word(py->c, addr, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE))
            return size; /* a static type is not collected, though its type says so; 3.11 and 3.12 did not look */
        break;
    case HR_PK_FRAME: size = frame_size(py, addr, t); break;
    case HR_PK_GENERATOR: size = generator_size(py, addr, t); break;
    case HR_PK_DEQUE: size = deque_size(py, addr, t); break;
    case HR_PK_ARRAY:
        size += hr_min(hr_py_array_allocated(py, addr), 1ull << 40) * hr_py_array_itemsize(py, addr);
        break;
    case HR_PK_NDARRAY: case HR_PK_NPSCALAR: case HR_PK_NPVOID: size = numpy_size(py, addr, t); break;
    case HR_PK_CODE:
        size = items_size(py, addr, t);
        if (py->minor >= 0x030b)
            size = (size + word - 1) & ~(word - 1);
        break;
    default: size = (t->itemsize ? items_size(py, addr, t) : size) + named_extra(py, addr, name);
    }
    return size + t->pre; /* sys.getsizeof adds what lies before a collected object */
}
