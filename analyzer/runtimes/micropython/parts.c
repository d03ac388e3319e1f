/* Objects, and the allocations that have no type word but an owner: list items, tables, text … More than half of all
 * allocations are such. An allocation that an object owns as its part is none itself, whatever its first word looks like. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

const char *hr_mp_role_name(enum hr_mp_role r)
{
    static const char *const names[HR_MPR_NROLES] = {
        [HR_MPR_NONE] = "untyped words", [HR_MPR_ITEMS] = "list items", [HR_MPR_TABLE] = "dict table", [HR_MPR_SET_TABLE] = "set table",
        [HR_MPR_TEXT] = "str data", [HR_MPR_DIGITS] = "int digits", [HR_MPR_BUFFER] = "array buffer", [HR_MPR_MEMBERS] = "instance attributes",
        [HR_MPR_TRACEBACK] = "traceback", [HR_MPR_CODE] = "bytecode", [HR_MPR_NATIVE] = "native code", [HR_MPR_CONSTANTS] = "constants", [HR_MPR_POOL] = "qstr pool",
        [HR_MPR_CHUNK] = "qstr data", [HR_MPR_CONTEXT] = "module context", [HR_MPR_RAW_CODE] = "raw code",
        [HR_MPR_FRAME] = "frame", [HR_MPR_ARGUMENTS] = "thread arguments", [HR_MPR_MOUNT] = "mount", [HR_MPR_REGION] = "machine code region",
        [HR_MPR_PART] = "part of an object", [HR_MPR_WEAK] = "weakref table", [HR_MPR_STATE] = "interpreter data",
    };
    return names[r];
}

enum { MAX_CODE_DEPTH = 16 /* functions within functions */ };

struct claims { struct hr_mp *mp; hr_id owner; bool sure; };

/* The allocation at `at` is a part of the owner, of `need` bytes at least (a container's size: then it has to fit closely). */
static void claim(struct claims *c, uint64_t at, uint64_t need, bool closely, enum hr_mp_role role)
{
    struct hr_mp *mp = c->mp;
    hr_id id = at ? hr_mp_head(mp, at) : HR_NONE;
    if (id == HR_NONE || id == c->owner || mp->role[id] != HR_MPR_NONE)
        return;
    uint64_t size = hr_block_size(mp->heap, id);
    if (need > size || (closely && size >= need + 2 * hr_mpy_area_at(&mp->m, at)->block))
        return;
    if (!closely && mp->object[id] != HR_NONE)
        return; /* a weak claim does not unmake an object */
    mp->role[id] = role;
    mp->owner[id] = c->owner;
    mp->object[id] = HR_NONE;
}

static void claim_map(struct claims *c, uint64_t map, enum hr_mp_role role)
{
    uint64_t n = hr_mp_field(c->mp, map, 1);
    if (n && n < 1u << 24)
        claim(c, hr_mp_field(c->mp, map, 2), n * 2 * c->mp->ow, true, role);
}

static void claim_array(struct claims *c, uint64_t o)
{
    static const char letters[] = "bBhHiIlLqQfdOPS\1", sizes[] = {1, 1, 2, 2, 4, 4, 0, 0, 8, 8, 4, 8, 16, 0, 0, 1}; /* 0: a pointer's; 16: an object word's */
    uint64_t w = hr_mp_field(c->mp, o, 1), len = hr_mp_field(c->mp, o, 2);
    uint64_t code = hr_mp_bitfield(c->mp, w, 0, 8) & 0x7f, spare = hr_mp_bitfield(c->mp, w, 8, 8 * c->mp->word - 8);
    const char *p = code ? strchr(letters, (int)code) : NULL;
    uint64_t size = p ? (uint64_t)sizes[p - letters] : 1, each = !size ? c->mp->word : size == 16 ? c->mp->ow : size;
    if (len < 1u << 28 && spare < 1u << 28)
        claim(c, hr_mp_field(c->mp, o, 3), hr_max((len + spare) * each, 1), true, HR_MPR_BUFFER);
}

/* A str's length and where its text lies. */
static void claim_text(struct claims *c, uint64_t at)
{
    uint64_t len = hr_mp_word(c->mp, at);
    if (len < 1u << 28)
        claim(c, hr_mp_field(c->mp, at, 1), len + 1, true, HR_MPR_TEXT);
}

static void claim_function(struct claims *c, uint64_t o)
{
    struct hr_mp *mp = c->mp;
    enum hr_mp_code_of code = hr_mp_code_of(mp, o);
    enum hr_mp_role role = code == HR_MPF_BYTECODE ? HR_MPR_CODE : HR_MPR_NATIVE;
    if (code == HR_MPF_ASM) { /* number of arguments, code, their types */
        claim(c, hr_mp_field(mp, o, 2), 1, false, role);
        return;
    }
    if (mp->split_names) { /* context {module, globals, qstr table, object table}, child table, bytecode */
        uint64_t context = hr_mp_field(mp, o, 1);
        claim(c, context, 4u * mp->word, false, HR_MPR_CONTEXT); /* of code that is no module's: its first word names no type */
        claim(c, hr_mp_field(mp, o, 2), mp->word, false, HR_MPR_CONSTANTS);
        claim(c, hr_mp_field(mp, context, 2), 1, false, HR_MPR_CONSTANTS);
        claim(c, hr_mp_field(mp, context, 3), 1, false, HR_MPR_CONSTANTS);
        claim(c, hr_mp_field(mp, o, 3), 1, false, role);
        return;
    }
    claim(c, hr_mp_field(mp, o, 2), 1, false, role);
    claim(c, hr_mp_field(mp, o, 3), mp->word, false, HR_MPR_CONSTANTS);
}

static void claim_exception(struct claims *c, uint64_t o)
{
    /* traceback_alloc and traceback_len share a word, then traceback_data, then args; CircuitPython 7 and later: args, traceback */
    if (!c->mp->args_first)
        claim(c, hr_mp_field(c->mp, o, 2), c->mp->word, false, HR_MPR_TRACEBACK);
}

static void claim_parts(struct claims *c, uint64_t o, uint32_t type)
{
    struct hr_mp *mp = c->mp;
    uint64_t a = hr_mp_field(mp, o, 1), b = hr_mp_field(mp, o, 2), p = hr_mp_field(mp, o, 3);
    switch (mp->types.v[type].kind) {
    case HR_MPK_LIST:
        if (b <= a && a < 1u << 24)
            claim(c, p, a * mp->ow, true, HR_MPR_ITEMS);
        break;
    case HR_MPK_DICT:
        claim_map(c, o + mp->word, HR_MPR_TABLE);
        break;
    case HR_MPK_INSTANCE:
        claim_map(c, o + mp->word, HR_MPR_MEMBERS);
        break;
    case HR_MPK_DEQUE: /* places, first, behind the last, items */
        if (a < 1u << 24)
            claim(c, hr_mp_field(mp, o, 4), a * mp->ow, true, HR_MPR_ITEMS);
        break;
    case HR_MPK_SET:
        if (b <= a && a < 1u << 24)
            claim(c, p, a * mp->ow, true, HR_MPR_SET_TABLE);
        break;
    case HR_MPK_STR:
        claim_text(c, o + hr_mp_str_len_at(mp));
        break;
    case HR_MPK_INT:
        a = hr_mp_bitfield(mp, a, 2, 8 * mp->word - 2);
        if (mp->digit_bytes && b <= a && a < 1u << 24)
            claim(c, p, mp->digit_bytes * hr_max(a, 1), mp->digits_known, HR_MPR_DIGITS);
        break;
    case HR_MPK_ARRAY:
        claim_array(c, o);
        break;
    case HR_MPK_FUNCTION:
        claim_function(c, o);
        break;
    case HR_MPK_EXCEPTION:
        claim_exception(c, o);
        break;
    case HR_MPK_TRACEBACK: /* alloc and len share a word, then data */
        claim(c, b, mp->word, false, HR_MPR_TRACEBACK);
        break;
    default:
        break;
    }
}

/* Of what kind is the code that raw code names? Its first byte; since 1.25 its third, behind two that tell it from other things. */
static enum hr_mp_role raw_role(const struct hr_mp *mp, uint64_t at)
{
    enum { KINDS = 7, NATIVE_PY = 3 };
    uint64_t kind = 0;
    if (hr_image_uint(mp->img, at, 1, &kind) && !(kind & KINDS))
        hr_image_uint(mp->img, at + 2, 1, &kind);
    return (kind & KINDS) >= NATIVE_PY ? HR_MPR_NATIVE : HR_MPR_CODE;
}

/* Functions not made yet: a function's table of children (until 1.18 its constants, or the bytecode itself) names their raw
 * code, which names its bytecode first and then its own children. */
static bool claim_code(struct claims *c, hr_id id, uint64_t at)
{
    struct hr_mp *mp = c->mp;
    unsigned role = mp->role[id], seen = 0;
    bool more = false;
    c->owner = id;
    for (uint64_t off = 0; off + mp->word <= hr_block_size(mp->heap, id); off += mp->word) {
        hr_id to = hr_mp_head(mp, hr_mp_word(mp, at + off));
        if (to == HR_NONE || (mp->role[to] == HR_MPR_NONE && mp->object[to] != HR_NONE))
            continue;
        unsigned child = role == HR_MPR_RAW_CODE ? (seen++ ? HR_MPR_CONSTANTS : raw_role(mp, at)) : HR_MPR_RAW_CODE;
        more |= mp->role[to] == HR_MPR_NONE && to != id;
        claim(c, hr_mp_word(mp, at + off), 1, false, child);
    }
    return more;
}

static void claim_codes(struct claims *c)
{
    struct hr_mp *mp = c->mp;
    bool more = true;
    for (unsigned depth = 0; more && depth < MAX_CODE_DEPTH; depth++) {
        struct hr_block_iter it = hr_block_iter(mp->heap, 0);
        more = false;
        while (it.id < mp->heap->n) {
            hr_id id = it.id;
            uint64_t at = hr_block_next(&it);
            if (mp->role[id] == HR_MPR_RAW_CODE || mp->role[id] == HR_MPR_CONSTANTS || (mp->role[id] == HR_MPR_CODE && !mp->split_names))
                more |= claim_code(c, id, at);
        }
    }
}

/* Pools of interned strings and the chunks their texts lie in. */
static void claim_pools(struct claims *c)
{
    struct hr_mp *mp = c->mp;
    for (uint32_t i = 0; i < mp->npools; i++) {
        const struct hr_mp_pool *p = &mp->pool[i];
        claim(c, p->addr, 4u * mp->word, false, HR_MPR_POOL);
        if (!hr_mpy_area_at(&mp->m, p->addr))
            continue;
        for (uint64_t k = 0; k < p->len; k++)
            claim(c, hr_mp_word(mp, p->texts + k * mp->word), 1, false, HR_MPR_CHUNK);
    }
}

/* Objects outside the heap own allocations too: dict_main, sys.path, module tables. */
static void claim_static(struct claims *c)
{
    struct hr_mp *mp = c->mp;
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    c->owner = HR_NONE;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + 4u * w <= seg->bytes.n; off += w) {
            uint64_t at = seg->addr + off;
            const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, at);
            if (a) {
                off += (size_t)(a->end - at) - w;
                continue;
            }
            uint64_t first = hr_word_load(seg->bytes.p + off, w, img->big);
            uint32_t t = first ? hr_map_get(&mp->type_at, first) : HR_NONE;
            if (t != HR_NONE && (mp->types.v[t].kind == HR_MPK_DICT || mp->types.v[t].kind == HR_MPK_LIST))
                claim_parts(c, at, t);
        }
    }
}

static void claim_all(struct hr_mp *mp)
{
    struct claims c = {.mp = mp};
    claim_static(&c);
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        c.owner = it.id;
        uint64_t at = hr_block_next(&it);
        if (mp->object[c.owner] != HR_NONE)
            claim_parts(&c, at, mp->object[c.owner]);
    }
    c.owner = HR_NONE;
    claim_pools(&c);
    claim_codes(&c);
}

enum hr_status hr_mp_find_objects(struct hr_mp *mp)
{
    hr_id n = mp->heap->n;
    mp->object = hr_alloc(((size_t)n + 1) * sizeof *mp->object);
    mp->owner = hr_alloc(((size_t)n + 1) * sizeof *mp->owner);
    mp->role = hr_zalloc((size_t)n + 1, 1);
    if (!mp->object || !mp->owner || !mp->role)
        return HR_NOMEM;
    memset(mp->owner, 0xff, ((size_t)n + 1) * sizeof *mp->owner);
    memset(mp->object, 0xff, ((size_t)n + 1) * sizeof *mp->object);
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it);
        if (mp->heap->state[id] == HR_USED && hr_mpy_area_at(&mp->m, at))
            mp->object[id] = hr_mp_type_of(mp, at);
    }
    /* A part that was taken for an object may have claimed what is not its own: once more with what is left. */
    claim_all(mp);
    memset(mp->owner, 0xff, ((size_t)n + 1) * sizeof *mp->owner);
    memset(mp->role, 0, (size_t)n + 1);
    claim_all(mp);
    HR_TRY(hr_mp_find_weak(mp));
    hr_mp_claim_rest(mp);
    return HR_OK;
}
