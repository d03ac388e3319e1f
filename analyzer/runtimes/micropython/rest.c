/* Allocations that no container claims: frames that were too large for the C stack, what a thread was started with, mounts, mappings
 * for machine code, contexts of code, and whatever a driver's object or another of C holds for itself. Each is known by what its
 * words are, not by its size alone; the last by who holds it. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_DEPTH = 8, /* allocations of one object that lead to each other */
       RAW_KINDS = 0x3c /* py/emitglue.h: bytecode, native, viper, assembler are 2 to 5 */, RAW_FLAGS = 21 /* bits: kind, scope flags, positional arguments */ };

static bool unclaimed(const struct hr_mp *mp, hr_id id)
{
    return id != HR_NONE && mp->object[id] == HR_NONE && mp->role[id] == HR_MPR_NONE;
}

static bool give(struct hr_mp *mp, hr_id id, enum hr_mp_role role, hr_id owner)
{
    if (!unclaimed(mp, id) || id == owner)
        return false;
    mp->role[id] = role;
    mp->owner[id] = owner;
    return true;
}

static const struct hr_mp_type *type_at(const struct hr_mp *mp, uint64_t obj)
{
    uint32_t t = obj ? hr_mp_type_of(mp, obj) : HR_NONE;
    return t == HR_NONE ? NULL : &mp->types.v[t];
}

/* mp_code_state_t: the function, where in its code it is, the top of its stack, which lies in this very allocation. */
static bool is_frame(const struct hr_mp *mp, hr_id id, uint64_t at)
{
    const struct hr_mp_type *t = type_at(mp, hr_mp_word(mp, at));
    uint64_t sp = hr_mp_field(mp, at, 2), size = hr_block_size(mp->heap, id);
    return t && t->kind == HR_MPK_FUNCTION && sp + 2u * mp->word >= at && sp < at + size && hr_mp_field(mp, at, 1) != 0;
}

/* thread_entry_args_t (py/modthread.c): locals, globals, stack size, function, counts, arguments. */
static bool is_arguments(const struct hr_mp *mp, hr_id id, uint64_t at)
{
    uint64_t size = hr_mp_field(mp, at, 2), n = hr_mp_field(mp, at, 4), kw = hr_mp_field(mp, at, 5), room = hr_block_size(mp->heap, id) / mp->word;
    return hr_mp_is_dict(mp, hr_mp_word(mp, at)) && hr_mp_is_dict(mp, hr_mp_field(mp, at, 1)) && size && size < 1u << 30 && type_at(mp, hr_mp_field(mp, at, 3)) &&
           n < room && kw < room && 6 + n + 2 * kw <= room;
}

/* mp_vfs_mount_t: text, its length, the file system, the next. */
static bool is_mount(const struct hr_mp *mp, uint64_t at)
{
    uint64_t next = hr_mp_field(mp, at, 3), len = hr_mp_field(mp, at, 1);
    struct hr_span s = hr_image_peek(mp->img, hr_mp_word(mp, at), len + 1);
    return len && len < 256 && s.n == len + 1 && s.p[0] == '/' && !s.p[len] && type_at(mp, hr_mp_field(mp, at, 2)) && (!next || hr_mp_head(mp, next) != HR_NONE);
}

/* Chains that begin in the state. */
static void claim_chains(struct hr_mp *mp)
{
    for (uint64_t at = mp->vm; mp->vm && at < mp->root_hi; at += mp->word) {
        uint64_t r = hr_mp_word(mp, at);
        hr_id owner = HR_NONE, id;
        while (unclaimed(mp, id = hr_mp_head(mp, r))) {
            bool region = hr_mp_is_region(mp, r);
            if (!region && !is_mount(mp, r))
                break;
            give(mp, id, region ? HR_MPR_REGION : HR_MPR_MOUNT, owner);
            owner = id;
            r = hr_mp_field(mp, r, region ? 2 : 3);
        }
    }
}

/* By its own words alone. */
static void claim_known(struct hr_mp *mp)
{
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it);
        if (mp->heap->state[id] != HR_USED || !unclaimed(mp, id) || !hr_mpy_area_at(&mp->m, at))
            continue;
        if (is_frame(mp, id, at))
            give(mp, id, HR_MPR_FRAME, hr_mp_head(mp, hr_mp_word(mp, at)));
        else if (is_arguments(mp, id, at))
            give(mp, id, HR_MPR_ARGUMENTS, HR_NONE);
    }
}

/* Raw code that nobody holds any more (a script's outermost, once it runs), until 1.18: {kind and flags, code, constants}. */
static bool is_raw_code(const struct hr_mp *mp, hr_id id, uint64_t at)
{
    uint64_t first = hr_mp_word(mp, at), w = hr_mp_field(mp, at, 2);
    hr_id code = hr_mp_head(mp, hr_mp_field(mp, at, 1)), constants = w ? hr_mp_head(mp, w) : HR_NONE;
    if (hr_mp_bitfield(mp, first, RAW_FLAGS, 8 * mp->word - RAW_FLAGS) || !(RAW_KINDS >> hr_mp_bitfield(mp, first, 0, 3) & 1) || hr_block_size(mp->heap, id) > 16u * mp->word || code == HR_NONE || code == id)
        return false;
    if (constants == HR_NONE ? w != 0 : mp->object[constants] != HR_NONE)
        return false;
    return mp->role[code] == HR_MPR_CODE || (unclaimed(mp, code) && constants != HR_NONE);
}

static void claim_raw_code(struct hr_mp *mp)
{
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n && !mp->split_names) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it);
        if (mp->heap->state[id] != HR_USED || !unclaimed(mp, id) || !hr_mpy_area_at(&mp->m, at) || !is_raw_code(mp, id, at))
            continue;
        give(mp, id, HR_MPR_RAW_CODE, HR_NONE);
        give(mp, hr_mp_head(mp, hr_mp_field(mp, at, 1)), HR_MPR_CODE, id);
        give(mp, hr_mp_head(mp, hr_mp_field(mp, at, 2)), HR_MPR_CONSTANTS, id);
    }
}

/* What the state leads to and nobody has named. */
static void claim_state(struct hr_mp *mp)
{
    for (uint64_t at = mp->root_lo; mp->vm && at < mp->root_hi; at += mp->word)
        give(mp, hr_mp_head(mp, hr_mp_word(mp, at)), HR_MPR_STATE, HR_NONE);
}

/* Of an object whose layout is not known here, or of a part of one. */
static bool claim_held(struct hr_mp *mp, hr_id id, uint64_t at)
{
    bool more = false;
    for (uint64_t off = mp->word; off + mp->word <= hr_block_size(mp->heap, id); off += mp->word)
        more |= give(mp, hr_mp_head(mp, hr_mp_word(mp, at + off)), HR_MPR_PART, mp->role[id] == HR_MPR_PART ? mp->owner[id] : id);
    if (mp->role[id] == HR_MPR_PART)
        more |= give(mp, hr_mp_head(mp, hr_mp_word(mp, at)), HR_MPR_PART, mp->owner[id]);
    return more;
}

static bool claims_all(const struct hr_mp *mp, hr_id id)
{
    const struct hr_mp_type *t = mp->object[id] == HR_NONE ? NULL : &mp->types.v[mp->object[id]];
    return mp->role[id] == HR_MPR_PART || (t && !t->in_heap && (t->kind == HR_MPK_OBJECT || t->kind == HR_MPK_REF || t->kind == HR_MPK_TIMEQ || t->kind == HR_MPK_MEMORYVIEW || t->kind == HR_MPK_EXCEPTION));
}

void hr_mp_claim_rest(struct hr_mp *mp)
{
    bool more = true;
    claim_chains(mp);
    claim_known(mp);
    claim_raw_code(mp);
    for (unsigned depth = 0; more && depth < MAX_DEPTH; depth++) {
        struct hr_block_iter it = hr_block_iter(mp->heap, 0);
        more = false;
        while (it.id < mp->heap->n) {
            hr_id id = it.id;
            uint64_t at = hr_block_next(&it);
            if (mp->heap->state[id] == HR_USED && claims_all(mp, id))
                more |= claim_held(mp, id, at);
        }
    }
    claim_state(mp);
}
