/* What contradicts itself in the objects that are alive: lengths beyond what is allocated, tables that are no allocation, words that
 * lead into the middle of one or to what has no type, names that were never interned. Garbage is not looked at: its parts may
 * have been handed out again. */
#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_SAID = 40, FEW = 20 /* one in so many objects without a type is damage; more: the firmware given is not all there is */ };

struct checker {
    struct hr_mp *mp;
    unsigned said;
    bool names;            /* all pools of names are known */
    bool quiet;            /* first pass: count only */
    uint64_t slots, typeless;
};

static void fault(struct checker *c, const char *code, uint64_t at, const char *what, uint64_t value)
{
    if (c->quiet || c->said++ >= MAX_SAID)
        return;
    hr_note_at(c->mp->in.notes, HR_NOTE_DAMAGE, code, at, "MicroPython: at 0x%llx %s (0x%llx)", (unsigned long long)at, what, (unsigned long long)value);
}

static uint64_t end_of(const struct hr_mp *mp, uint64_t head)
{
    hr_id id = hr_mp_head(mp, head);
    return id == HR_NONE ? head : head + hr_block_size(mp->heap, id);
}

/* The allocation a field leads to, of `need` bytes at least. 0: outside of the heap, or wrong and said. */
static uint64_t part(struct checker *c, uint64_t field, uint64_t need)
{
    struct hr_mp *mp = c->mp;
    uint64_t at = hr_mp_word(mp, field);
    if (!hr_mpy_area_at(&mp->m, at))
        return 0;
    if (hr_mp_head(mp, at) == HR_NONE) {
        fault(c, "heap.corrupt.micropython_pointer", field, "the address of a container's places begins no allocation", at);
        return 0;
    }
    if (need > end_of(mp, at) - at) {
        fault(c, "heap.corrupt.micropython_length", field, "a container has more places than its allocation has room for", at);
        return 0;
    }
    return at;
}

/* Is there an object within an allocation (some drivers keep one in another)? */
static bool embedded(const struct hr_mp *mp, uint64_t at) { return hr_mp_type_of(mp, at) != HR_NONE; }

static void slot(struct checker *c, uint64_t at)
{
    struct hr_mp *mp = c->mp;
    uint64_t w = hr_mp_obj(mp, at);
    struct hr_mp_value v = hr_mp_decode(mp, w);
    c->slots++;
    if (v.what == HR_MPW_QSTR && c->names && v.u >= mp->nqstr)
        fault(c, "heap.corrupt.micropython_qstr", at, "is the number of an interned string that there is none of", v.u);
    if (v.what != HR_MPW_PTR || !hr_mpy_area_at(&mp->m, v.u))
        return;
    hr_id id = hr_mp_head(mp, v.u);
    uint64_t first;
    if (id == HR_NONE && !embedded(mp, v.u))
        fault(c, "heap.corrupt.micropython_pointer", at, "is a reference to what begins no allocation", v.u);
    if (id == HR_NONE || mp->object[id] != HR_NONE || mp->role[id] != HR_MPR_NONE || !hr_image_word(mp->img, v.u, &first))
        return;
    c->typeless++;
    fault(c, "heap.corrupt.micropython_type", v.u, "an object's first word is not the address of a type", first);
}

static void slots(struct checker *c, uint64_t at, uint64_t n, unsigned step)
{
    for (uint64_t i = 0; i < n; i++)
        slot(c, at + i * step * c->mp->ow);
}

static void check_map(struct checker *c, uint64_t map)
{
    struct hr_mp *mp = c->mp;
    uint64_t flags = hr_mp_word(mp, map), used = hr_mp_map_used(mp, map), alloc = hr_mp_field(mp, map, 1);
    if (used > alloc) {
        fault(c, "heap.corrupt.micropython_length", map, "a dict has more entries than places", used);
        return;
    }
    uint64_t table = alloc ? part(c, map + 2u * mp->word, alloc > UINT32_MAX ? UINT64_MAX : alloc * 2 * mp->ow) : 0;
    uint64_t n = hr_mp_bitfield(mp, flags, 2, 1) ? used : alloc; /* an ordered one is filled from the front */
    for (uint64_t i = 0; table && i < n; i++) {
        uint64_t at = table + 2 * i * mp->ow, key = hr_mp_obj(mp, at);
        if (!key || (key & ~7ull) == 0)
            continue; /* empty, deleted */
        slots(c, at, 2, 1);
    }
}

static void check_list(struct checker *c, uint64_t o, bool set)
{
    struct hr_mp *mp = c->mp;
    uint64_t alloc = hr_mp_field(mp, o, 1), len = hr_mp_field(mp, o, 2);
    if (len > alloc) {
        fault(c, "heap.corrupt.micropython_length", o, set ? "a set has more members than places" : "a list is longer than what is allocated for it", len);
        return;
    }
    uint64_t items = alloc ? part(c, o + 3u * mp->word, alloc > UINT32_MAX ? UINT64_MAX : alloc * mp->ow) : 0;
    if (items && !set)
        slots(c, items, len, 1);
}

static void check_inline(struct checker *c, uint64_t o, uint64_t count, uint64_t first)
{
    struct hr_mp *mp = c->mp;
    uint64_t room = end_of(mp, o) - o;
    if (room < first || count > (room - first) / mp->ow)
        fault(c, "heap.corrupt.micropython_length", o, "an object has more places than its allocation has room for", count);
    else
        slots(c, o + first, count, 1);
}

static void check_str(struct checker *c, uint64_t o)
{
    struct hr_mp *mp = c->mp;
    uint64_t at = o + hr_mp_str_len_at(mp), len = hr_mp_word(mp, at), data = hr_mp_field(mp, at, 1);
    if (hr_mp_head(mp, data) != HR_NONE && len > end_of(mp, data) - data)
        fault(c, "heap.corrupt.micropython_length", o, "text is longer than the allocation that holds it", len);
}

static void check_object(struct checker *c, uint64_t o, uint32_t type)
{
    struct hr_mp *mp = c->mp;
    switch (mp->types.v[type].kind) {
    case HR_MPK_LIST: check_list(c, o, false); break;
    case HR_MPK_SET: check_list(c, o, true); break;
    case HR_MPK_DICT:
    case HR_MPK_INSTANCE: check_map(c, o + mp->word); break;
    case HR_MPK_TUPLE: check_inline(c, o, hr_mp_field(mp, o, 1), 2u * mp->word); break;
    case HR_MPK_CLOSURE: check_inline(c, o, hr_mp_word(mp, o + hr_mp_closed_n_at(mp)), hr_mp_closed_at(mp)); break;
    case HR_MPK_STR: check_str(c, o); break;
    default: break;
    }
}

/* Objects whose words are all there; and the dicts in the state itself: the globals of __main__, the loaded modules. */
static void check_all(struct checker *c)
{
    struct hr_mp *mp = c->mp;
    for (uint64_t at = mp->root_lo; at < mp->root_hi; at += mp->word) {
        uint32_t t = hr_mp_type_of(mp, at);
        if (t != HR_NONE && mp->types.v[t].kind == HR_MPK_DICT && hr_image_peek(mp->img, at, 4u * mp->word).n == 4u * mp->word)
            check_map(c, at + mp->word);
    }
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it), size = hr_block_size(mp->heap, id);
        if (mp->object[id] != HR_NONE && !hr_bits_get(&mp->heap->closed, id) && hr_image_peek(mp->img, at, size).n == size)
            check_object(c, at, mp->object[id]);
    }
}

void hr_mp_check(struct hr_mp *mp)
{
    if (!mp->repr || !mp->vm || mp->code.alone || !mp->npools || !mp->heap->closed.nbits)
        return; /* what is alive is not known, or so much is missing that nothing can be called damaged */
    struct checker c = {.mp = mp, .quiet = true, .names = hr_mp_word(mp, mp->vm) == mp->pool[mp->npools - 1].addr};
    check_all(&c);
    if (c.typeless > FEW && c.typeless > c.slots / FEW) {
        hr_note(mp->in.notes, HR_NOTE_DEGRADED, "mp.types_missing", "%llu of %llu references lead to objects of types that are not in the image: is all of the "
                "firmware given, and of this build?", (unsigned long long)c.typeless, (unsigned long long)c.slots);
        return;
    }
    c.quiet = false;
    check_all(&c);
    if (c.said > MAX_SAID)
        hr_note(mp->in.notes, HR_NOTE_DAMAGE, "heap.corrupt.micropython_more", "MicroPython: %u more faults of this kind", c.said - MAX_SAID);
}
