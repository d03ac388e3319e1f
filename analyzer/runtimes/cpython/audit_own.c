/* What of the surplus the interpreter's own start explains, and a guess at who leaked the rest. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/audit.h"
#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/scan.h"

/* ---- once ---- */
/* 2.7 does not say; built-in ones have no file, others a shared object. */
static bool c_module_2(struct hr_py *py, uint64_t module)
{
    char file[1024];
    uint64_t at = hr_py_dict_get(py, hr_py_word(py->c, module, HR_PY_MODULE_DICT), "__file__");
    size_t n = at && hr_py_text(py, at, file, sizeof file) ? strlen(file) : 0;
    return !at || (n > 3 && !strcmp(file + n - 3, ".so"));
}

static bool c_module(struct hr_py *py, uint64_t module)
{
    if (py->minor < 0x0300)
        return c_module_2(py, module);
    return hr_py_word_at(py, module + (uint64_t)py->c->at[HR_PY_MODULE_DICT] + py->img->word) != 0; /* md_def */
}

static bool c_type(const struct hr_py *py, uint64_t dealloc, uint64_t type)
{
    return !(hr_py_word(py->c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE) || hr_py_word(py->c, type, HR_PY_TP_DEALLOC) != dealloc;
}

static enum hr_status note_dict(struct hr_py *py, uint64_t dealloc, uint64_t addr, uint32_t type, struct hr_map *dicts)
{
    const struct hr_py_type *t = type == HR_NONE ? NULL : hr_py_type(py, type);
    uint64_t dict = 0;
    if (t && t->kind == HR_PK_MODULE && c_module(py, addr))
        dict = hr_py_word(py->c, addr, HR_PY_MODULE_DICT);
    else if (t && t->kind == HR_PK_TYPE && c_type(py, dealloc, addr))
        dict = hr_py_word(py->c, addr, HR_PY_TP_DICT);
    return dict ? hr_map_put(dicts, dict, 1) : HR_OK;
}

enum hr_status hr_py_c_dicts(struct hr_py *py, struct hr_map *dicts)
{
    struct hr_u64vec statics = {0};
    uint64_t dealloc = hr_py_subtype_dealloc(py);
    enum hr_status st = hr_py_statics(py, &statics);
    for (size_t i = 0; i < statics.n && st == HR_OK; i++)
        st = note_dict(py, dealloc, statics.v[i], hr_py_object_type(py, statics.v[i]), dicts);
    for (hr_id id = 0; id < py->heap->n && st == HR_OK; id++) {
        uint8_t kind = py->object[id] == HR_NONE ? HR_PK_NONE : hr_py_type(py, py->object[id])->kind;
        if (kind == HR_PK_MODULE || kind == HR_PK_TYPE)
            st = note_dict(py, dealloc, hr_py_addr(py, id), py->object[id], dicts);
    }
    hr_u64vec_deinit(&statics);
    return st;
}

static bool is_atom(uint8_t kind)
{
    return kind == HR_PK_STR || kind == HR_PK_BYTES || kind == HR_PK_INT || kind == HR_PK_INT2 || kind == HR_PK_FLOAT;
}

/* Strings of the interpreter's own that it holds twice: the name by which it looks its main module up (Modules/main.c), what a warning
 * compares frames' files with (is_internal_frame() of Python/_warnings.c). */
static const struct { unsigned from, to; const char *text; } texts[] = {
    {0x0307, 0x0308, "__main__"}, {0x0303, 0x030a, "importlib"}, {0x0303, 0x030a, "_bootstrap"},
};

static bool ends(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && !strcmp(s + n - k, tail);
}

static bool has_cython(const struct hr_py *py)
{
    for (size_t i = 0; i < py->types.n; i++)
        if (strstr(hr_strs_get(py->img->strs, hr_py_type(py, (uint32_t)i)->name), "cython_function_or_method"))
            return true;
    return false;
}

/* Cython keeps the code objects of its functions, and the tuples of their variables' names, in static variables that nothing reads, so
 * that the compiler leaves them out: one reference each, in nobody's hands. */
static bool of_cython(struct hr_py *py, const struct hr_py_count *c, bool cython)
{
    enum { INTERNED = 3, NAMES = 256 };
    char file[256];
    uint8_t kind = hr_py_type(py, c->type)->kind;
    if (kind == HR_PK_CODE)
        return hr_py_text(py, hr_py_word(py->c, c->addr, HR_PY_CODE_FILENAME), file, sizeof file) &&
               (ends(file, ".pyx") || ends(file, ".pxd") || ends(file, ".pxi") || ends(file, "stringsource"));
    if (kind != HR_PK_TUPLE || c->found || py->minor < 0x0300 || !cython)
        return false;
    uint64_t n = hr_py_word(py->c, c->addr, HR_PY_OB_SIZE), item = c->addr + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS];
    for (uint64_t i = 0; i < n; i++, item += py->img->word) {
        uint64_t name = hr_py_word_at(py, item);
        uint32_t t = hr_py_object_type(py, name);
        if (n > NAMES || t == HR_NONE || hr_py_type(py, t)->kind != HR_PK_STR || !(hr_py_uint(py->c, name, HR_PY_UNICODE_STATE, 4) & INTERNED))
            return false;
    }
    return n > 0;
}

/* The code that makes C modules, C types and the constants in their dicts runs once, and the interpreter's own forgets a reference here
 * and there (the module _warnings up to 3.8, SEM_VALUE_MAX of _multiprocessing): one reference to one object, and never more. */
static bool made_once(struct hr_py *py, uint64_t dealloc, bool cython, const struct hr_py_count *c)
{
    char text[16];
    uint8_t kind = hr_py_type(py, c->type)->kind;
    enum { FEW = 3 }; /* a type that its instances leaked would have as many as there were */
    if (c->difference <= FEW && kind == HR_PK_TYPE)
        return c_type(py, dealloc, c->addr);
    if (c->difference != 1)
        return false;
    if (kind == HR_PK_MODULE)
        return c_module(py, c->addr);
    if (kind == HR_PK_CODE || kind == HR_PK_TUPLE)
        return of_cython(py, c, cython);
    if (c->in_c_dict && (is_atom(kind) || (kind == HR_PK_OBJECT && c_type(py, dealloc, hr_py_type(py, c->type)->addr))))
        return true;
    if (kind != HR_PK_STR || !hr_py_text(py, c->addr, text, sizeof text))
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (py->minor >= texts[i].from && py->minor <= texts[i].to && !strcmp(text, texts[i].text))
            return true;
    return false;
}

static void take_out(struct hr_py *py, struct hr_py_audit *a)
{
    uint64_t dealloc = hr_py_subtype_dealloc(py);
    bool cython = has_cython(py);
    size_t kept = 0;
    for (size_t i = 0; i < a->surplus.n; i++) {
        bool once = made_once(py, dealloc, cython, &a->surplus.v[i]);
        a->skipped[HR_PS_ONCE] += once;
        a->audited -= once;
        if (!once)
            a->surplus.v[kept++] = a->surplus.v[i];
    }
    a->surplus.n = kept;
}

/* ---- who ---- */
static const char *base_name(const struct hr_py *py, uint32_t module)
{
    const char *path = hr_strs_get(py->img->strs, py->img->modules.v[module].path), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A shared object that Python has loaded as a module. `foreign`: not one of the standard library's. */
static bool extension(const struct hr_py *py, uint32_t module, bool foreign)
{
    if (module == HR_NONE || module == py->c->module)
        return false;
    const char *path = hr_strs_get(py->img->strs, py->img->modules.v[module].path), *base = base_name(py, module);
    bool standard = strstr(path, "/lib-dynload/") != NULL;
    bool module_like = standard || strstr(base, ".cpython-") || strstr(base, ".abi3.so") || strstr(path, "-packages/");
    return module_like && !(foreign && standard);
}

/* The module whose code an object's type comes from: a static type lies in its data, a heap type has its functions. */
static uint32_t module_of_type(const struct hr_py *py, const struct hr_py_type *t)
{
    uint32_t m = hr_image_module_at(py->img, t->addr);
    if (m == HR_NONE && t->flags & HR_PYF_HEAPTYPE)
        m = hr_image_module_at(py->img, hr_py_word(py->c, t->addr, HR_PY_TP_DEALLOC));
    return m;
}

static uint32_t only_foreign(const struct hr_py *py)
{
    uint32_t only = HR_NONE;
    for (uint32_t m = 0; m < py->img->modules.n; m++) {
        if (!extension(py, m, true))
            continue;
        if (only != HR_NONE)
            return HR_NONE;
        only = m;
    }
    return only;
}

static enum hr_status guess(struct hr_py *py, struct hr_py_count *c, uint32_t alone)
{
    uint32_t m = module_of_type(py, hr_py_type(py, c->type));
    if (extension(py, m, false))
        return hr_strs_addf(py->img->strs, &c->culprit, "%s, whose type it is", base_name(py, m));
    for (uint32_t i = 0; i < c->nholders; i++) {
        uint64_t at = c->holder[i].addr;
        hr_id id = hr_py_node(py, at);
        m = id == HR_NONE ? hr_image_module_at(py->img, at) : module_of_type(py, hr_py_type(py, py->object[id]));
        if (extension(py, m, false))
            return hr_strs_addf(py->img->strs, &c->culprit, "%s, which refers to it", base_name(py, m));
    }
    if (alone != HR_NONE)
        return hr_strs_addf(py->img->strs, &c->culprit, "%s, the only extension that is not Python's own", base_name(py, alone));
    return HR_OK;
}

enum hr_status hr_py_audit_own(struct hr_py *py, struct hr_py_audit *a)
{
    uint32_t alone = only_foreign(py);
    take_out(py, a);
    for (size_t i = 0; i < a->surplus.n; i++)
        HR_TRY(guess(py, &a->surplus.v[i], alone));
    for (size_t i = 0; i < a->deficit.n; i++)
        HR_TRY(guess(py, &a->deficit.v[i], alone));
    return HR_OK;
}
