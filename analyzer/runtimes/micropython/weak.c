/* Weak references (1.29, MICROPY_PY_WEAKREF; extmod/modweakref.c): a bit for each object that has some, and a map in the state from
 * object to its list of ref and finalize objects. The map's keys, and ref objects in the lists, are disguised as small integers, half the
 * address, so that the collector does not follow them; finalize objects are held. */
#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_LIST = 1 << 20 };

/* The address that a small integer is made of, 0: none. */
static uint64_t disguised(const struct hr_mp *mp, uint64_t word)
{
    struct hr_mp_value v = hr_mp_decode(mp, word);
    uint64_t mask = mp->word == 8 ? UINT64_MAX : UINT32_MAX;
    return v.what == HR_MPW_INT ? ((uint64_t)v.i << 1) & mask : 0;
}

uint64_t hr_mp_weak_target(const struct hr_mp *mp, uint64_t ref) { return disguised(mp, hr_mp_obj(mp, ref + hr_mp_obj_at(mp, 1))); }

bool hr_mp_has_weak(const struct hr_mp *mp, const struct hr_mpy_area *a, uint64_t block)
{
    uint64_t byte;
    return a->weakrefs && hr_image_uint(mp->img, a->weakrefs + block / 8, 1, &byte) && byte >> (block % 8) & 1;
}

static bool is_key(const struct hr_mp *mp, uint64_t word)
{
    uint64_t at = disguised(mp, word);
    const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, at);
    return a && hr_mp_head(mp, at) != HR_NONE && hr_mp_has_weak(mp, a, (at - a->pool) / a->block);
}

/* {flags and count, places, table}, of which every entry in use has such a key. */
static bool is_map(const struct hr_mp *mp, uint64_t at)
{
    uint64_t used = hr_mp_word(mp, at) >> 3, alloc = hr_mp_field(mp, at, 1), table = hr_mp_field(mp, at, 2), n = 0;
    hr_id id = used && used <= alloc ? hr_mp_head(mp, table) : HR_NONE;
    if (id == HR_NONE || alloc > hr_block_size(mp->heap, id) / (2u * mp->ow))
        return false;
    for (uint64_t i = 0; i < alloc; i++)
        n += is_key(mp, hr_mp_obj(mp, table + 2 * i * mp->ow));
    return n > 0 && n <= used && used - n <= 1; /* one may be about to go */
}

/* How many refs and finalizes lead to the object of an entry. */
static uint32_t list_length(const struct hr_mp *mp, uint64_t word)
{
    uint32_t n = 0;
    for (; n < MAX_LIST; n++) {
        uint64_t at = disguised(mp, word);
        at = at ? at : hr_mp_head(mp, word) != HR_NONE ? word : 0;
        if (!at || hr_mp_head(mp, at) == HR_NONE)
            break;
        word = hr_mp_obj(mp, at + hr_mp_obj_at(mp, 0));
    }
    return n;
}

static enum hr_status read_map(struct hr_mp *mp, uint64_t map)
{
    uint64_t alloc = hr_mp_field(mp, map, 1), table = hr_mp_field(mp, map, 2), steps = 0;
    hr_id id = hr_mp_head(mp, table);
    mp->role[id] = HR_MPR_WEAK;
    mp->object[id] = HR_NONE;
    for (uint64_t i = 0; i < alloc && steps < mp->heap->n * 2ull; i++) {
        uint64_t key = hr_mp_obj(mp, table + 2 * i * mp->ow);
        if (!is_key(mp, key))
            continue;
        uint32_t n = list_length(mp, hr_mp_obj(mp, table + (2 * i + 1) * mp->ow));
        steps += n;
        HR_TRY(hr_map_put(&mp->weak, hr_mp_head(mp, disguised(mp, key)), n));
    }
    return HR_OK;
}

enum hr_status hr_mp_find_weak(struct hr_mp *mp)
{
    for (uint64_t at = mp->vm; mp->vm && mp->m.area[0].weakrefs && at + 3u * mp->word <= mp->root_hi; at += mp->word)
        if (is_map(mp, at))
            return read_map(mp, at);
    return HR_OK;
}

uint32_t hr_mp_weak_count(const struct hr_mp *mp, hr_id id)
{
    uint32_t n = hr_map_get(&mp->weak, id);
    return n == HR_NONE ? 0 : n;
}

uint64_t hr_mp_weak_objects(const struct hr_mp *mp, const struct hr_mpy_area *a)
{
    uint64_t n = 0;
    for (uint64_t b = 0; a->weakrefs && b < hr_mpy_blocks(a); b++)
        n += hr_mpy_kind(&mp->m, a, b) == HR_MPY_HEAD && hr_mp_has_weak(mp, a, b);
    return n;
}
