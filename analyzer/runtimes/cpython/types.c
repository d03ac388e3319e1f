/* Type objects: found lazily, checked against each other, never trusted. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/plan.h"

enum { MAX_META = 6, MAX_BASES = 64, MAX_BASICSIZE = 1 << 20 };

static const struct { const char *name; uint8_t kind; } builtin_kinds[] = {
    {"object", HR_PK_OBJECT}, {"type", HR_PK_TYPE}, {"NoneType", HR_PK_NONE}, {"float", HR_PK_FLOAT}, {"complex", HR_PK_COMPLEX},
    {"bytearray", HR_PK_BYTEARRAY}, {"list", HR_PK_LIST}, {"tuple", HR_PK_TUPLE}, {"dict", HR_PK_DICT}, {"set", HR_PK_SET},
    {"frozenset", HR_PK_SET}, {"function", HR_PK_FUNCTION}, {"code", HR_PK_CODE}, {"cell", HR_PK_CELL}, {"frame", HR_PK_FRAME},
    {"generator", HR_PK_GENERATOR}, {"coroutine", HR_PK_GENERATOR}, {"async_generator", HR_PK_GENERATOR}, {"module", HR_PK_MODULE},
    {"weakref", HR_PK_WEAKREF}, {"weakref.ReferenceType", HR_PK_WEAKREF}, {"weakproxy", HR_PK_WEAKREF}, {"weakref.ProxyType", HR_PK_WEAKREF},
    {"weakcallableproxy", HR_PK_WEAKREF}, {"weakref.CallableProxyType", HR_PK_WEAKREF}, {"instance", HR_PK_CLASSIC_INSTANCE},
    {"classobj", HR_PK_CLASSIC_CLASS}, {"collections.deque", HR_PK_DEQUE}, {"collections.OrderedDict", HR_PK_ODICT},
    {"memoryview", HR_PK_MEMORYVIEW}, {"array.array", HR_PK_ARRAY}, {"numpy.ndarray", HR_PK_NDARRAY}, {"BaseException", HR_PK_EXCEPTION},
    {"exceptions.BaseException", HR_PK_EXCEPTION}, {"traceback", HR_PK_TRACEBACK}, {"builtin_function_or_method", HR_PK_BUILTIN_METHOD},
    {"range", HR_PK_RANGE}, {"xrange", HR_PK_RANGE}, {"slice", HR_PK_SLICE}, {"numpy.dtype", HR_PK_DTYPE}, {"numpy.generic", HR_PK_NPSCALAR},
    {"numpy.void", HR_PK_NPVOID}, {"mmap.mmap", HR_PK_MMAP}, {"_ctypes._CData", HR_PK_CDATA}, {"managedbuffer", HR_PK_MANAGED_BUFFER},
};

static uint8_t kind_by_name(const struct hr_py *py, const char *name)
{
    bool two = py->minor < 0x0300;
    if (!strcmp(name, "int"))
        return two ? HR_PK_INT2 : HR_PK_INT;
    if (!strcmp(name, "long"))
        return HR_PK_INT;
    if (!strcmp(name, "str"))
        return two ? HR_PK_BYTES : HR_PK_STR;
    if (!strcmp(name, "unicode"))
        return HR_PK_STR;
    if (!strcmp(name, "bytes"))
        return HR_PK_BYTES;
    for (size_t i = 0; i < sizeof builtin_kinds / sizeof *builtin_kinds; i++)
        if (!strcmp(name, builtin_kinds[i].name))
            return builtin_kinds[i].kind;
    return HR_PK_OBJECT;
}

static bool sane_name(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > 255)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

/* Is the chain of metatypes from `addr` one that ends in `type`? Needs no type to be known before. */
static bool chain_ends_in_type(const struct hr_py *py, uint64_t addr)
{
    for (int i = 0; i < MAX_META; i++) {
        uint64_t meta = hr_py_word(py->c, addr, HR_PY_OB_TYPE);
        if (meta == py->c->type_type)
            return true;
        if (!meta || meta & (py->img->word - 1u) || !(hr_py_word(py->c, meta, HR_PY_TP_FLAGS) & HR_PYF_TYPE_SUBCLASS))
            return false;
        addr = meta;
    }
    return false;
}

/* The static built-in that decides the layout: the first base that is no heap type and has a kind. */
static uint8_t kind_of(const struct hr_py *py, uint64_t type, uint64_t *base_ret)
{
    *base_ret = 0;
    for (int i = 0; i < MAX_BASES && type; i++) {
        char name[256];
        uint64_t flags = hr_py_word(py->c, type, HR_PY_TP_FLAGS);
        if (type == py->c->type_type || flags & HR_PYF_TYPE_SUBCLASS)
            return HR_PK_TYPE;
        /* some C types are heap types: deque from 3.12, array from 3.10; users' classes of that name have another tp_name */
        if (hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name)) {
            uint8_t k = kind_by_name(py, name);
            bool dotted = strchr(name, '.') != NULL;
            if (k != HR_PK_OBJECT && (!(flags & HR_PYF_HEAPTYPE) || dotted)) {
                *base_ret = type;
                return k;
            }
        }
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return HR_PK_OBJECT;
}

struct want { const char *key; uint64_t value; struct hr_py *py; };

static bool find_key(void *ctx, uint64_t key, uint64_t value)
{
    struct want *w = ctx;
    char text[64];
    if (!hr_py_text(w->py, key, text, sizeof text) || strcmp(text, w->key))
        return true;
    w->value = value;
    return false;
}

/* "module.qualname": heap types keep the module in their dict and the name in ht_qualname; static ones have "module.name". */
static void full_name(struct hr_py *py, uint64_t type, uint64_t flags, char *buf, size_t cap)
{
    char name[256] = "?", module[256] = "";
    hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name);
    if (flags & HR_PYF_HEAPTYPE) {
        char qual[256];
        if (hr_py_text(py, hr_py_word(py->c, type, HR_PY_HT_QUALNAME), qual, sizeof qual) && sane_name(qual)) {
            struct want w = {"__module__", 0, py};
            hr_py_dict_items(py, hr_py_word(py->c, type, HR_PY_TP_DICT), find_key, &w);
            if (w.value && hr_py_text(py, w.value, module, sizeof module) && sane_name(module)) {
                if (!strcmp(module, "builtins"))
                    snprintf(buf, cap, "%s", qual);
                else
                    snprintf(buf, cap, "%s.%s", module, qual);
                return;
            }
            if (!strchr(name, '.'))
                snprintf(name, sizeof name, "%s", qual);
        } else if (py->minor < 0x0300) {
            struct want w = {"__module__", 0, py};
            hr_py_dict_items(py, hr_py_word(py->c, type, HR_PY_TP_DICT), find_key, &w);
            if (w.value && hr_py_text(py, w.value, module, sizeof module) && sane_name(module) && strcmp(module, "__builtin__")) {
                snprintf(buf, cap, "%s.%s", module, name);
                return;
            }
        }
    }
    snprintf(buf, cap, "%s", name);
}

static uint8_t pre_bytes(const struct hr_py *py, uint64_t flags)
{
    unsigned pre = flags & HR_PYF_GC ? (unsigned)py->c->at[HR_PYS_GC_HEAD] : 0, word = py->img->word;
    if (py->minor == 0x030b && flags & HR_PYF_MANAGED_DICT)
        pre += 2 * word;
    if (py->minor >= 0x030c && flags & (HR_PYF_MANAGED_DICT | HR_PYF_MANAGED_WEAKREF))
        pre += 2 * word;
    return (uint8_t)pre;
}

static bool read_type(struct hr_py *py, uint64_t addr, struct hr_py_type *t)
{
    char name[256];
    if (!addr || addr & (py->img->word - 1u) || !chain_ends_in_type(py, addr))
        return false;
    *t = (struct hr_py_type){.addr = addr, .plan = HR_NONE, .node = hr_heap_at(py->heap, addr, NULL)};
    t->flags = hr_py_word(py->c, addr, HR_PY_TP_FLAGS);
    t->flags &= ~((py->minor < 0x030b ? HR_PYF_MANAGED_DICT : 0) | (py->minor < 0x030c ? HR_PYF_MANAGED_WEAKREF : 0) |
                  (py->minor < 0x030d ? HR_PYF_INLINE_VALUES : 0)); /* older versions use these bits otherwise */
    t->basicsize = hr_py_word(py->c, addr, HR_PY_TP_BASICSIZE);
    t->itemsize = hr_py_word(py->c, addr, HR_PY_TP_ITEMSIZE);
    t->base = hr_py_word(py->c, addr, HR_PY_TP_BASE);
    uint64_t mask = py->img->word == 4 ? 0xffffffff : UINT64_MAX, sign = (mask >> 1) + 1;
    t->dictoffset = (int64_t)hr_py_word(py->c, addr, HR_PY_TP_DICTOFFSET);
    t->weaklistoffset = (int64_t)hr_py_word(py->c, addr, HR_PY_TP_WEAKLISTOFFSET);
    if (py->img->word == 4) {
        t->dictoffset = (int32_t)t->dictoffset;
        t->weaklistoffset = (int32_t)t->weaklistoffset;
    }
    if (t->basicsize < (uint64_t)py->c->at[HR_PYS_OBJECT] || t->basicsize > MAX_BASICSIZE || (t->itemsize & sign) || t->itemsize > 4096)
        return false;
    if (!hr_image_cstr(py->img, hr_py_word(py->c, addr, HR_PY_TP_NAME), name, sizeof name) || !sane_name(name))
        return false;
    t->kind = kind_of(py, addr, &t->known_base);
    t->known = t->known_base ? hr_py_word(py->c, t->known_base, HR_PY_TP_BASICSIZE) : 0;
    hr_py_extension_of(py, t);
    if (t->kind == HR_PK_CODE && py->minor >= 0x030e && hr_py_has(py->c, HR_PY_CODE_FIRSTTRACEABLE)) /* before it an id that only free-threaded builds set */
        t->borrowed |= 1ull << ((uint64_t)py->c->at[HR_PY_CODE_FIRSTTRACEABLE] / py->img->word - 1) % 64;
    t->pre = pre_bytes(py, t->flags);
    hr_py_plan_type(py, t);
    return true;
}

/* Most words that are asked about lead into small blocks: no type object fits there, and nothing need be remembered. */
static bool too_small(const struct hr_py *py, uint64_t addr)
{
    uint64_t into;
    hr_id id = hr_heap_at(py->heap, addr, &into);
    return id != HR_NONE && hr_block_size(py->heap, id) < into + (uint64_t)py->c->at[HR_PYS_TYPEOBJECT];
}

static uint32_t read_at(struct hr_py *py, uint64_t addr)
{
    if (too_small(py, addr))
        return HR_NONE;
    uint32_t at = hr_map_get(&py->type_index, addr);
    if (at != HR_NONE)
        return at == HR_PY_NO_TYPE ? HR_NONE : at;
    struct hr_py_type t;
    if (!read_type(py, addr, &t)) {
        if (hr_map_put(&py->type_index, addr, HR_PY_NO_TYPE) != HR_OK)
            return HR_NONE;
        return HR_NONE;
    }
    at = (uint32_t)py->types.n;
    if (hr_pytypevec_push(&py->types, t) != HR_OK || hr_map_put(&py->type_index, addr, at) != HR_OK)
        return HR_NONE;
    char name[600];
    full_name(py, addr, t.flags, name, sizeof name);
    hr_str id = 0;
    hr_type row = 0;
    if (hr_strs_addz(py->img->strs, name, &id) == HR_OK && hr_types_add_runtime(py->in.types, name, t.itemsize ? 0 : t.basicsize, &row) == HR_OK) {
        py->types.v[at].name = id;
        py->types.v[at].row = row;
    }
    return at;
}

uint32_t hr_py_type_at(struct hr_py *py, uint64_t addr)
{
    struct hr_py_recent *r = &py->recent[hr_py_recent_slot(addr)];
    if (r->addr == addr && addr)
        return r->type;
    uint32_t at = read_at(py, addr);
    if (at != HR_NONE)
        *r = (struct hr_py_recent){addr, at};
    return at;
}
