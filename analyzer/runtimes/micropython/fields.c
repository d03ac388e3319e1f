/* How one block holds another, in the program's words: keys of tables, attributes, indices. And roots with names. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

/* The key of a table's entry. Names are identifiers of the program; other text stays unseen. */
static void key_text(const struct hr_mp *mp, uint64_t key, bool attribute, char *buf, size_t cap)
{
    struct hr_mp_value v = hr_mp_decode(mp, key);
    char name[160];
    if (v.what == HR_MPW_QSTR && hr_mp_qstr(mp, v.u, name, sizeof name))
        snprintf(buf, cap, attribute ? ".%s" : "['%s']", name);
    else
        snprintf(buf, cap, "[%s]", hr_mp_value_text(mp, key, false, name, sizeof name));
}

/* A class's own two references: its bases and its names. */
static const char *slot_name(const struct hr_mp *mp, uint64_t type, uint32_t off)
{
    uint64_t w = hr_mp_word(mp, type + off);
    return w && w == hr_mp_slot(mp, type, HR_MPS_LOCALS) ? ".__dict__" : w && w == hr_mp_slot(mp, type, HR_MPS_PARENT) ? ".__bases__" : NULL;
}

static bool object_field(const struct hr_mp *mp, hr_id id, uint32_t off, char *buf, size_t cap)
{
    unsigned kind = mp->types.v[mp->object[id]].kind, field = off / mp->word;
    static const char *const exceptions[] = {NULL, NULL, ".traceback", ".args"};
    static const char *const chained[] = {NULL, ".args", ".__traceback__", ".__cause__", ".__context__"}; /* CircuitPython 7 and later */
    static const char *const functions[] = {NULL, ".context", ".children", ".code"}, *const older[] = {NULL, ".__globals__", ".code", ".constants"};
    const char *name = NULL;
    if (kind == HR_MPK_TUPLE && off >= 2u * mp->word) {
        snprintf(buf, cap, "[%u]", (off - 2 * mp->word) / mp->ow);
        return true;
    }
    if (kind == HR_MPK_LIST || kind == HR_MPK_SET)
        name = field == 3 ? ".items" : NULL;
    else if (kind == HR_MPK_DICT || kind == HR_MPK_INSTANCE)
        name = field == 3 ? (kind == HR_MPK_DICT ? ".table" : ".__dict__") : NULL;
    else if (kind == HR_MPK_EXCEPTION)
        name = mp->args_first ? (field < 5 ? chained[field] : NULL) : field < 4 ? exceptions[field] : NULL;
    else if (kind == HR_MPK_TRACEBACK)
        name = field == 2 ? ".data" : NULL;
    else if (kind == HR_MPK_BOUND)
        name = off >= hr_mp_obj_at(mp, 1) ? ".__self__" : off >= hr_mp_obj_at(mp, 0) ? ".__func__" : NULL;
    else if (kind == HR_MPK_FUNCTION)
        name = hr_mp_code_of(mp, hr_block_addr(mp->heap, id)) == HR_MPF_ASM ? (field == 2 ? ".code" : NULL)
               : field < 4 ? (mp->split_names ? functions : older)[field] : NULL;
    else if (kind == HR_MPK_MODULE)
        name = field == 1 ? ".__dict__" : NULL;
    else if (kind == HR_MPK_STR)
        name = off == hr_mp_str_len_at(mp) + mp->word ? ".data" : NULL;
    else if (kind == HR_MPK_ARRAY || kind == HR_MPK_INT)
        name = field == 3 ? ".data" : NULL;
    else if (kind == HR_MPK_CLOSURE && off >= hr_mp_closed_at(mp)) {
        snprintf(buf, cap, ".closed[%u]", (off - hr_mp_closed_at(mp)) / mp->ow);
        return true;
    }
    else if (kind == HR_MPK_DEQUE)
        name = field == 4 ? ".items" : NULL;
    else if (kind == HR_MPK_TYPE)
        name = slot_name(mp, hr_block_addr(mp->heap, id), off);
    if (kind == HR_MPK_GENERATOR && off >= 2u * mp->word) {
        snprintf(buf, cap, field == 2 ? ".function" : ".frame[%u]", field - 2);
        return true;
    }
    if (kind == HR_MPK_INSTANCE && off >= 4u * mp->word)
        name = ".(base)";
    if (!off)
        name = ".__class__";
    if (name)
        snprintf(buf, cap, "%s", name);
    return name != NULL;
}

bool hr_mp_field_name(const struct hr_mp *mp, hr_id id, uint32_t off, char *buf, size_t cap)
{
    if (mp->object[id] != HR_NONE)
        return object_field(mp, id, off, buf, cap);
    uint64_t at = hr_block_addr(mp->heap, id);
    uint32_t each = mp->ow;
    switch (mp->role[id]) {
    case HR_MPR_ITEMS:
        snprintf(buf, cap, "[%u]", off / each);
        return true;
    case HR_MPR_TABLE:
    case HR_MPR_MEMBERS:
        key_text(mp, hr_mp_obj(mp, at + off / (2 * each) * (2ull * each)), mp->role[id] == HR_MPR_MEMBERS, buf, cap);
        return true;
    default:
        return false;
    }
}

static enum hr_status add_root(struct hr_mp *mp, uint64_t addr, uint64_t size, const char *name, bool space)
{
    struct hr_root r = {.addr = addr, .size = size, .module = HR_NONE, .thread = HR_NONE, .frame = HR_NONE, .kind = HR_ROOT_GLOBAL,
                        .surety = HR_SURE_EXACT, .space = space};
    HR_TRY(hr_strs_addz(mp->img->strs, name, &r.name));
    return hr_rootvec_push(&mp->heap->roots, r);
}

/* The state structure; the dicts that lie in it (globals of __main__, loaded modules) under their own names first. */
/* The state's words as one root, but for its inline dicts, which have names: what these hold, they hold alone. */
enum hr_status hr_mp_roots(struct hr_mp *mp)
{
    uint64_t w, at = mp->root_lo, rest = at;
    for (; mp->vm && at < mp->root_hi; at += mp->word) {
        uint32_t t = hr_mp_type_of(mp, at);
        char name[128] = "sys.modules";
        if (t == HR_NONE || mp->types.v[t].kind != HR_MPK_DICT)
            continue;
        if (hr_mp_map_get(mp, at + mp->word, "__name__", &w)) {
            struct hr_mp_value v = hr_mp_decode(mp, w);
            if (v.what != HR_MPW_QSTR || !hr_mp_qstr(mp, v.u, name, sizeof name))
                continue;
        }
        if (at > rest)
            HR_TRY(add_root(mp, rest, at - rest, "mp_state_ctx", false));
        HR_TRY(add_root(mp, at, 4u * mp->word, name, true));
        rest = at + 4u * mp->word;
        at = rest - mp->word;
    }
    return mp->vm && rest < mp->root_hi ? add_root(mp, rest, mp->root_hi - rest, "mp_state_ctx", false) : HR_OK;
}

bool hr_mp_is_namespace(const struct hr_mp *mp, hr_id id)
{
    uint64_t w;
    if (id >= mp->heap->n || mp->role[id] != HR_MPR_TABLE)
        return false;
    hr_id dict = mp->owner[id];
    return dict == HR_NONE || hr_mp_map_get(mp, hr_block_addr(mp->heap, dict) + mp->word, "__name__", &w);
}
