/* What gc.collect() would free: its mark phase again, by its own rule. A word is a reference if, and only if, it is the address
 * of a block that begins an allocation; every word of every allocation reached is looked at. Roots: the state structure from
 * dict_locals to qstr_last_chunk (py/gc.c), the Python stack where there is one, registers and the C stack. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { STATE_MAX = 2048, THREAD_WORDS = 20 };

/* The newest pool of interned strings, or (should that be damaged) an allocation that names the newest one found. */
static bool names_last_pool(const struct hr_mp *mp, uint64_t word)
{
    uint64_t last = mp->pool[mp->npools - 1].addr;
    return word == last || (hr_mpy_area_at(&mp->m, word) && hr_mp_head(mp, word) != HR_NONE && hr_mp_word(mp, word) == last);
}

/* The field that names the newest pool is the first of the structure's `vm` part; `mem`, with the areas, follows: of all such
 * words the one that is closest before an area's description. */
static void find_vm(struct hr_mp *mp, uint64_t *mem_ret)
{
    uint64_t best = UINT64_MAX;
    for (uint32_t i = 0; mp->npools && i < mp->m.n; i++) {
        uint64_t mem = mp->m.area[i].at;
        for (uint64_t d = mp->word; d < STATE_MAX * mp->word && d <= mem && d < best; d += mp->word) {
            uint64_t w;
            if (!hr_image_word(mp->img, mem - d, &w) || hr_mpy_area_at(&mp->m, mem - d))
                break; /* the later areas of a split heap describe themselves in front of their own tables */
            if (!w || !names_last_pool(mp, w))
                continue;
            best = d;
            mp->vm = mem - d;
            *mem_ret = mem;
        }
    }
}

bool hr_mp_is_dict(const struct hr_mp *mp, uint64_t at)
{
    uint32_t t = at ? hr_mp_type_of(mp, at) : HR_NONE;
    return t != HR_NONE && mp->types.v[t].kind == HR_MPK_DICT;
}

/* qstr_last_chunk, its size, what is used of it: the first field that is not scanned. Not allocated yet: three zeros, which
 * are as good as not scanned. */
static uint64_t find_root_end(const struct hr_mp *mp, uint64_t mem)
{
    for (uint64_t at = mem - 3u * mp->word; at > mp->vm; at -= mp->word) {
        uint64_t size = hr_mp_field(mp, at, 1), used = hr_mp_field(mp, at, 2);
        hr_id id = used && used <= size ? hr_mp_head(mp, hr_mp_word(mp, at)) : HR_NONE;
        if (id != HR_NONE && size <= hr_block_size(mp->heap, id) && size + 64 >= hr_block_size(mp->heap, id))
            return at;
    }
    return mem;
}

static void find_roots(struct hr_mp *mp, uint64_t mem)
{
    mp->root_hi = find_root_end(mp, mem);
    mp->root_lo = mp->vm;
    for (unsigned i = 2; i < THREAD_WORDS; i++) {
        uint64_t at = mp->vm - (uint64_t)i * mp->word;
        if (hr_mp_is_dict(mp, hr_mp_word(mp, at)) && hr_mp_is_dict(mp, hr_mp_field(mp, at, 1))) {
            mp->root_lo = at;
            break;
        }
    }
}

enum hr_status hr_mp_find_state(struct hr_mp *mp)
{
    uint64_t mem = 0;
    find_vm(mp, &mem);
    if (mp->vm)
        find_roots(mp, mem);
    HR_TRY(hr_mp_read_code(mp, mem));
    if (mp->vm)
        hr_mp_find_stack(mp);
    return HR_OK;
}

/* ---- mark ---- */
void hr_mp_mark_word(struct hr_mp_marker *k, uint64_t w)
{
    const struct hr_mp *mp = k->mp;
    const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, w);
    if (!a || (w - a->pool) & (a->block - 1u))
        return;
    hr_id id = hr_mp_head(mp, w);
    if (id == HR_NONE || !hr_bits_claim(k->live, id) || k->st != HR_OK)
        return;
    k->st = hr_u32vec_push(&k->todo, id);
}

void hr_mp_mark_words(struct hr_mp_marker *k, uint64_t lo, uint64_t hi)
{
    unsigned w = k->mp->word;
    lo = (lo + w - 1) & ~(w - 1ull);
    while (lo + w <= hi) {
        struct hr_span s = hr_image_peek(k->mp->img, lo, hi - lo);
        if (s.n < w) { /* not captured: on to what is */
            uint32_t next = hr_image_seg_above(k->mp->img, lo + w);
            if (next == k->mp->img->segs.n || k->mp->img->segs.v[next].addr <= lo)
                return;
            lo = (k->mp->img->segs.v[next].addr + w - 1) & ~(w - 1ull);
            continue;
        }
        for (size_t off = 0; off + w <= s.n; off += w)
            hr_mp_mark_word(k, hr_word_load(s.p + off, w, k->mp->img->big));
        lo += s.n & ~(size_t)(w - 1);
    }
}

static void drain(struct hr_mp_marker *k)
{
    while (k->todo.n && k->st == HR_OK) {
        hr_id id = k->todo.v[--k->todo.n];
        uint64_t at = hr_block_addr(k->mp->heap, id);
        if (hr_mp_scanned(k->mp, at))
            hr_mp_mark_words(k, at, at + hr_block_size(k->mp->heap, id));
    }
}

/* What only static variables outside of the state hold on a board of CircuitPython. */
static void drivers(struct hr_mp_marker *k, struct hr_mp_gc *g)
{
    struct hr_mp *mp = k->mp;
    uint64_t before = hr_bits_count(&g->live), held;
    if (!mp->circuit || !mp->img->bare || k->st != HR_OK)
        return;
    k->st = hr_mp_mark_statics(k);
    drain(k);
    held = hr_bits_count(&g->live) - before;
    if (!held)
        return;
    g->exact = false;
    if (!mp->said_statics)
        hr_note(mp->in.notes, HR_NOTE_DEGRADED, "mp.statics", "%llu allocations are held by static variables outside of the interpreter's state only: they are not called "
                "garbage, since CircuitPython's collector asks displays, callbacks and other drivers, too; some of these words may be stale", (unsigned long long)held);
    mp->said_statics = true;
}

static enum hr_status count(struct hr_mp *mp, struct hr_mp_gc *g)
{
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, hr_block_next(&it));
        if (!a || mp->heap->state[id] != HR_USED || hr_bits_get(&g->live, id))
            continue;
        g->count++;
        g->freed_bytes += hr_block_size(mp->heap, id);
        g->freed_blocks += hr_block_size(mp->heap, id) / a->block;
    }
    return HR_OK;
}

/* A collection was under way: part of what it frees is free already, the rest is what this answer can tell. */
static bool collecting(const struct hr_mp *mp)
{
    for (size_t i = 0; i < mp->heap->arenas.n; i++)
        if (mp->heap->arenas.v[i].collecting)
            return true;
    return false;
}

enum hr_status hr_mp_collect(struct hr_mp *mp, struct hr_mp_gc *ret)
{
    *ret = (struct hr_mp_gc){.stack = ""};
    if (!mp->vm)
        return HR_ABSENT;
    HR_TRY(hr_bits_init(&ret->live, (uint64_t)mp->heap->n + 1));
    struct hr_mp_marker k = {.mp = mp, .live = &ret->live, .todo.max = (size_t)mp->heap->n + 1};
    hr_mp_mark_words(&k, mp->root_lo, mp->root_hi);
    hr_mp_mark_pystack(&k, mp->root_lo);
    hr_mp_mark_regions(&k);
    hr_mp_mark_permanent(&k);
    hr_mp_mark_stacks(&k, ret);
    drain(&k);
    drivers(&k, ret);
    if (ret->exact && collecting(mp)) {
        ret->exact = false;
        ret->bound = " (what the collection under way has yet to free: see the notes)";
    }
    hr_u32vec_deinit(&k.todo);
    return k.st == HR_OK ? count(mp, ret) : k.st;
}

void hr_mp_gc_deinit(struct hr_mp_gc *g) { hr_bits_deinit(&g->live); }
