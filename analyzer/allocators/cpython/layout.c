#include "analyzer/allocators/cpython/layout.h"

#include <stdio.h>
#include <string.h>

struct fact { const char *types, *paths; bool size; };
static const struct fact facts[] = {
#define PYF(id_, types_, paths_) {types_, paths_, false},
#define PYS(id_, types_) {types_, NULL, true},
#include "analyzer/allocators/cpython/facts.def"
#undef PYF
#undef PYS
};

struct table { uint32_t hexversion; uint8_t word; const char *version; int32_t at[HR_PY_NFACTS]; };
static const struct table tables[] = {
#include "analyzer/allocators/cpython/tables.inc"
};
enum { NTABLES = sizeof tables / sizeof *tables };

/* The n-th of alternatives "a|b|c", copied; false past the last. */
static bool alternative(const char *list, unsigned n, char *buf, size_t cap)
{
    for (; n; n--) {
        list = strchr(list, '|');
        if (!list)
            return false;
        list++;
    }
    size_t len = strcspn(list, "|");
    snprintf(buf, cap, "%.*s", (int)len, list);
    return true;
}

static int32_t from_dwarf(const struct hr_types *t, const struct fact *f)
{
    char type[64], path[64];
    for (unsigned i = 0; alternative(f->types, i, type, sizeof type); i++) {
        if (f->size) {
            const struct hr_type_row *r = hr_type_get(t, hr_type_strip(t, hr_type_find(t, type)));
            if (r->size && r->size < INT32_MAX)
                return (int32_t)r->size;
            continue;
        }
        uint64_t off;
        for (unsigned k = 0; alternative(f->paths, k, path, sizeof path); k++)
            if (hr_type_offset(t, type, path, &off) && off < INT32_MAX)
                return (int32_t)off;
    }
    return HR_PY_ABSENT;
}

/* A type object of the interpreter says how large its instances are: that has to agree with the layout. */
static bool agrees(const struct hr_cpython *p, const char *type_symbol, enum hr_py_fact size)
{
    uint64_t type = hr_py_symbol(p, type_symbol);
    return !type || !hr_py_has(p, size) || hr_py_word(p, type, HR_PY_TP_BASICSIZE) == (uint64_t)p->at[size];
}

static bool checks(const struct hr_cpython *p)
{
    /* PyType_Type is its own type, and its instances are heap types. */
    if (!hr_py_has(p, HR_PY_OB_TYPE) || hr_py_word(p, p->type_type, HR_PY_OB_TYPE) != p->type_type)
        return false;
    return agrees(p, "PyType_Type", HR_PYS_HEAPTYPE) && agrees(p, "PyDict_Type", HR_PYS_DICT) &&
           agrees(p, "PyUnicode_Type", HR_PYS_UNICODE) && agrees(p, "PyList_Type", HR_PYS_LIST) && agrees(p, "PySet_Type", HR_PYS_SET) &&
           agrees(p, "PyModule_Type", HR_PYS_MODULE) && agrees(p, "PyFunction_Type", HR_PYS_FUNCTION);
}

static bool try_dwarf(struct hr_cpython *p, char *source, size_t cap)
{
    if (p->module == HR_NONE)
        return false;
    if (hr_types_load_module(p->types, p->module, NULL) != HR_OK)
        return false;
    for (unsigned i = 0; i < HR_PY_NFACTS; i++)
        p->at[i] = from_dwarf(p->types, &facts[i]);
    if (!hr_py_has(p, HR_PY_TP_BASICSIZE) || !hr_py_has(p, HR_PYS_ARENA) || !checks(p))
        return false;
    p->exact_layout = true;
    snprintf(source, cap, "its own debug information");
    return true;
}

/* Tables by distance: the same version, the same minor's nearest, nothing else. */
static bool try_tables(struct hr_cpython *p, char *source, size_t cap)
{
    bool tried[NTABLES] = {false};
    for (;;) {
        size_t best = NTABLES;
        uint32_t least = UINT32_MAX;
        for (size_t i = 0; i < NTABLES; i++) {
            if (tried[i] || tables[i].word != p->image->word || tables[i].hexversion >> 16 != p->hexversion >> 16)
                continue;
            uint32_t far = tables[i].hexversion > p->hexversion ? tables[i].hexversion - p->hexversion : p->hexversion - tables[i].hexversion;
            if (far < least) {
                least = far;
                best = i;
            }
        }
        if (best == NTABLES)
            return false;
        tried[best] = true;
        memcpy(p->at, tables[best].at, sizeof p->at);
        if (checks(p)) {
            p->exact_layout = !least;
            snprintf(source, cap, "the table of %s", tables[best].version);
            return true;
        }
    }
}

/* 3.14, of which no build was at hand: its own offsets over the table of 3.13. */
static bool try_offsets(struct hr_cpython *p, char *source, size_t cap)
{
    const struct table *base = NULL;
    for (size_t i = 0; i < NTABLES; i++)
        if (tables[i].word == p->image->word && tables[i].hexversion >> 16 == 0x030d)
            base = &tables[i];
    if (!base)
        return false;
    memcpy(p->at, base->at, sizeof p->at);
    for (unsigned i = 0; i < HR_PY_NFACTS; i++) /* states change with every version: nothing of them is taken over */
        if (strstr(facts[i].types, "InterpreterState") || strstr(facts[i].types, "RuntimeState") || strstr(facts[i].types, "PyThreadState"))
            p->at[i] = HR_PY_ABSENT;
    if (!hr_py_offsets_apply(p) || !checks(p))
        return false;
    p->exact_layout = false;
    snprintf(source, cap, "its own _Py_DebugOffsets and the table of %s", base->version);
    return true;
}

enum hr_status hr_py_choose_layout(struct hr_cpython *p, char *source, size_t cap)
{
    _Static_assert(sizeof facts / sizeof *facts == HR_PY_NFACTS, "a row per fact");
    if (try_dwarf(p, source, cap) || try_tables(p, source, cap) || try_offsets(p, source, cap))
        return HR_OK;
    return HR_UNSUPPORTED;
}
