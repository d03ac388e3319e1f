/* Containers that live as long as the program does: globals of modules, attributes of classes, and attributes of objects that are
 * globals. Each container once, under the first name met. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/stacks.h"
#include "analyzer/runtimes/cpython/waste.h"

enum { MAX_ROWS = 1 << 22, MAX_MODULES = 1 << 20, MAX_NAME = 200, MAX_GLOBALS = 1 << 24 };

struct keeping {
    struct hr_py *py;
    struct hr_pykeptvec *ret;
    struct hr_map seen;            /* addresses of containers, classes and objects looked at */
    char module[MAX_NAME], holder[2 * MAX_NAME];
    unsigned left;                 /* globals that may still be looked at */
    enum hr_status st;
};

static bool first_time(struct keeping *k, uint64_t addr)
{
    uint32_t *slot;
    bool was = true;
    if (k->st == HR_OK)
        k->st = hr_map_slot(&k->seen, addr, 1, &slot, &was);
    return k->st == HR_OK && !was;
}

static bool is_container(uint8_t kind)
{
    return kind == HR_PK_LIST || kind == HR_PK_DICT || kind == HR_PK_ODICT || kind == HR_PK_SET || kind == HR_PK_DEQUE;
}

/* Keeps it when it is a container in a block. */
static bool container(struct keeping *k, const char *holder, const char *name, uint64_t addr)
{
    struct hr_py *py = k->py;
    hr_id id = hr_py_node(py, addr);
    if (id == HR_NONE || !is_container(py->types.v[py->object[id]].kind))
        return false;
    if (!first_time(k, addr) || k->st != HR_OK)
        return true;
    struct hr_py_kept r = {.addr = addr, .node = id, .type = py->object[id], .len = hr_py_len(py, addr, hr_py_type(py, py->object[id]))};
    if (r.len == UINT64_MAX)
        return true;
    k->st = hr_strs_addf(py->img->strs, &r.name, "%s.%s", holder, name);
    if (k->st == HR_OK)
        k->st = hr_pykeptvec_push(k->ret, r);
    return true;
}

static bool attribute(void *ctx, const char *name, uint64_t value)
{
    struct keeping *k = ctx;
    container(k, k->holder, name, value);
    return k->st == HR_OK && k->left && k->left--;
}

static bool class_item(void *ctx, uint64_t key, uint64_t value)
{
    struct keeping *k = ctx;
    char name[MAX_NAME];
    if (hr_py_text(k->py, key, name, sizeof name))
        container(k, k->holder, name, value);
    return k->st == HR_OK && k->left && k->left--;
}

static bool global(void *ctx, uint64_t key, uint64_t value)
{
    struct keeping *k = ctx;
    struct hr_py *py = k->py;
    char name[MAX_NAME];
    if (!k->left || k->st != HR_OK)
        return false;
    k->left--;
    uint32_t ti = hr_py_object_type(py, value);
    if (ti == HR_NONE || !hr_py_text(py, key, name, sizeof name) || container(k, k->module, name, value))
        return true;
    const struct hr_py_type t = py->types.v[ti]; /* a copy: reading attributes may add types */
    bool class = t.kind == HR_PK_TYPE, object = t.kind == HR_PK_OBJECT && t.flags & HR_PYF_HEAPTYPE;
    if ((!class && !object) || hr_py_node(py, value) == HR_NONE || !first_time(k, value))
        return true;
    snprintf(k->holder, sizeof k->holder, "%s.%s", k->module, name);
    if (class)
        hr_py_dict_items(py, hr_py_word(py->c, value, HR_PY_TP_DICT), class_item, k);
    else
        hr_py_attributes(py, value, &t, attribute, k);
    return true;
}

static bool module(void *ctx, uint64_t key, uint64_t value)
{
    struct keeping *k = ctx;
    struct hr_py *py = k->py;
    uint32_t t = hr_py_object_type(py, value);
    if (t == HR_NONE || hr_py_type(py, t)->kind != HR_PK_MODULE || !hr_py_text(py, key, k->module, sizeof k->module))
        return true;
    uint64_t dict = hr_py_word(py->c, value, HR_PY_MODULE_DICT);
    t = dict ? hr_py_object_type(py, dict) : HR_NONE;
    if (t != HR_NONE && hr_py_type(py, t)->kind == HR_PK_DICT && first_time(k, dict))
        hr_py_dict_items(py, dict, global, k);
    return k->st == HR_OK && k->left;
}

enum hr_status hr_py_module_data(struct hr_py *py, struct hr_pykeptvec *ret)
{
    struct keeping k = {.py = py, .ret = ret, .left = MAX_GLOBALS};
    ret->max = MAX_ROWS;
    hr_map_init(&k.seen, MAX_GLOBALS);
    for (uint32_t i = 0; i < py->c->ninterp && k.st == HR_OK; i++)
        hr_py_dict_items(py, hr_py_word(py->c, py->c->interp[i], HR_PY_IS_MODULES), module, &k);
    hr_map_deinit(&k.seen);
    return k.st == HR_LIMIT ? HR_OK : k.st;
}
