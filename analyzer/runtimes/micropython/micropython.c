/* The runtime itself: finds everything in turn. What is not found weakens the answers and is said. */
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/runtimes/micropython/mp.h"

hr_id hr_mp_head(const struct hr_mp *mp, uint64_t addr)
{
    uint64_t into;
    hr_id id = hr_heap_at(mp->heap, addr, &into);
    return id != HR_NONE && !into && mp->heap->state[id] == HR_USED && hr_mpy_area_at(&mp->m, addr) ? id : HR_NONE;
}

bool hr_mp_scanned(const struct hr_mp *mp, uint64_t head)
{
    const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, head);
    return !a || hr_mpy_is_scanned(&mp->m, a, (head - a->pool) / a->block);
}

static void mp_close(void *self)
{
    struct hr_mp *mp = self;
    if (!mp)
        return;
    hr_mptypevec_deinit(&mp->types);
    hr_map_deinit(&mp->type_at);
    hr_map_deinit(&mp->weak);
    hr_free(mp->object);
    hr_free(mp->role);
    hr_free(mp->owner);
    hr_free(mp);
}

/* Nothing in RAM names the firmware's interned strings, and hardly an allocation one of its types: where a word equals a type's address it
 * does so by chance. */
static void refuse_foreign(struct hr_mp *mp)
{
    enum { FEW = 20 };
    uint64_t heads = 0, typed = 0;
    if (mp->vm || !mp->type_type)
        return;
    for (hr_id i = 0; i < mp->heap->n; i++)
        heads += mp->heap->state[i] == HR_USED;
    for (size_t i = 0; i < mp->types.n; i++)
        typed += mp->types.v[i].heads;
    bool foreign = typed * FEW < heads;
    hr_note_at(mp->in.notes, HR_NOTE_DEGRADED, foreign ? "mp.other_firmware" : "mp.no_state", mp->pool[mp->npools - 1].addr,
               foreign ? "the memory refers neither to the interned strings at 0x%llx nor to the types of the firmware given: it is another build's, "
                         "objects are not typed" : "nothing names the newest interned strings (at 0x%llx): the interpreter's state was not found",
               (unsigned long long)mp->pool[mp->npools - 1].addr);
    if (!foreign)
        return;
    hr_map_deinit(&mp->type_at);
    hr_map_init(&mp->type_at, 1 << 17);
    mp->types.n = 0;
    mp->type_type = 0;
}

static enum hr_status find_all(struct hr_mp *mp)
{
    enum hr_status st = hr_mp_find_pools(mp);
    hr_mp_find_flavour(mp);
    if (st == HR_OK) {
        hr_mp_find_version(mp);
        hr_mp_find_repr(mp);
        st = hr_mp_find_types(mp);
    }
    if (st == HR_OK)
        hr_mp_find_numbers(mp);
    if (st == HR_ABSENT)
        hr_note(mp->in.notes, HR_NOTE_DEGRADED, "mp.no_names", mp->npools ? "no object of this MicroPython is its own type: objects are not typed"
                : "no table of interned strings was found: give the firmware with --with FILE; without it no object can be named");
    else if (st != HR_OK)
        return st;
    hr_mp_find_version(mp);
    HR_TRY(hr_mp_settle_functions(mp));
    mp->rounds_floats = hr_mp_at_least(mp, 1, 26);
    HR_TRY(hr_mp_find_state(mp));
    refuse_foreign(mp);
    return hr_mp_find_objects(mp);
}

/* The allocator has looked already: searching all memory again for what is not there would cost as much as marking it. */
static bool has_heap(const struct hr_heap *h)
{
    for (size_t i = 0; i < h->allocators.n; i++)
        if (!strcmp(h->allocators.v[i].name, "micropython"))
            return true;
    return false;
}

static enum hr_status mp_open(struct hr_runtime_in *in, void **self_ret, char *version, size_t vcap, char *evidence, size_t ecap)
{
    if (!has_heap(in->heap))
        return HR_ABSENT;
    struct hr_mp *mp = hr_zalloc(1, sizeof *mp);
    if (!mp)
        return HR_NOMEM;
    mp->in = *in;
    mp->img = in->image;
    mp->heap = in->heap;
    mp->word = mp->ow = in->image->word;
    mp->wide_align = strcmp(in->image->arch->name, "i386") ? 8 : 4;
    hr_map_init(&mp->type_at, 1 << 17);
    hr_map_init(&mp->weak, (uint64_t)in->heap->n + 1);
    enum hr_status st = hr_mpy_find(in->image, true, &mp->m);
    if (st == HR_OK)
        st = find_all(mp);
    if (st != HR_OK) {
        mp_close(mp);
        return st;
    }
    snprintf(version, vcap, "%s%s", mp->circuit ? "CircuitPython " : "", mp->version);
    snprintf(evidence, ecap, "%u qstr pools from 0x%llx with %llu names, mp_type_type at 0x%llx, %zu types, representation %s", mp->npools,
             (unsigned long long)mp->pool[0].addr, (unsigned long long)mp->nqstr, (unsigned long long)mp->type_type, mp->types.n,
             hr_mp_repr_name(mp->repr) ? hr_mp_repr_name(mp->repr) : "unknown");
    *self_ret = mp;
    return HR_OK;
}

/* ---- for the graph ---- */
static bool mp_claims(void *self, hr_id node)
{
    struct hr_mp *mp = self;
    return node < mp->heap->n && mp->heap->state[node] == HR_USED && hr_mpy_area_at(&mp->m, hr_block_addr(mp->heap, node)) != NULL;
}

/* The collector's own edges: it knows no others. */
static void mp_edges(void *self, hr_id node, struct hr_edgebuf *out)
{
    struct hr_mp *mp = self;
    unsigned w = mp->word;
    uint64_t addr = hr_block_addr(mp->heap, node);
    struct hr_span s = hr_image_peek(mp->img, addr, hr_block_size(mp->heap, node));
    bool known = mp->object[node] != HR_NONE || mp->role[node];
    if (!hr_mp_scanned(mp, addr))
        return;
    for (size_t off = 0; off + w <= s.n; off += w) {
        uint64_t word = hr_word_load(s.p + off, w, mp->img->big);
        hr_id id = hr_mpy_area_at(&mp->m, word) ? hr_mp_head(mp, word) : HR_NONE;
        if (id != HR_NONE && id != node)
            hr_edge_push(out, id, (uint32_t)off, known ? HR_SURE_EXACT : HR_SURE_CONSERVATIVE);
    }
}

/* A block of another allocator that the heap lies in: CircuitPython 9 and later takes it from the port's own heap. */
static enum hr_status name_hosts(struct hr_mp *mp)
{
    struct hr_heap *h = mp->heap;
    for (size_t i = 0; i < h->regions.n; i++) {
        const struct hr_region *r = &h->regions.v[i];
        if (r->host == HR_NONE || !hr_mpy_area_at(&mp->m, r->addr))
            continue;
        HR_TRY(hr_types_add_runtime(mp->in.types, mp->circuit ? "CircuitPython heap" : "MicroPython heap", 0, &h->type[r->host]));
        h->evidence[r->host] = HR_EV_RUNTIME;
    }
    return HR_OK;
}

static enum hr_status mp_classify(void *self)
{
    struct hr_mp *mp = self;
    struct hr_heap *h = mp->heap;
    HR_TRY(hr_heap_type_columns(h));
    HR_TRY(hr_heap_owner_column(h));
    for (hr_id i = 0; i < h->n; i++) {
        const char *name = mp->object[i] != HR_NONE ? hr_strs_get(mp->img->strs, mp->types.v[mp->object[i]].full)
                           : mp->role[i]            ? hr_mp_role_name(mp->role[i])
                                                    : NULL;
        if (mp->heap->state[i] != HR_USED || !name)
            continue;
        HR_TRY(hr_types_add_runtime(mp->in.types, name, 0, &h->type[i]));
        h->evidence[i] = mp->role[i] == HR_MPR_RAW_CODE && mp->owner[i] == HR_NONE ? HR_EV_SHAPE : HR_EV_RUNTIME; /* nobody's: recognised */
        h->owner[i] = mp->owner[i];
    }
    return name_hosts(mp);
}

/* What the collector would free is held by nothing that counts, whatever words in static data or the C stack's dead part say. */
static enum hr_status close_garbage(struct hr_mp *mp)
{
    struct hr_heap *h = mp->heap;
    struct hr_mp_gc gc;
    enum hr_status st = h->closed.nbits ? HR_ABSENT : hr_mp_collect(mp, &gc);
    if (st != HR_OK)
        return st == HR_ABSENT ? HR_OK : st; /* no state, no collector */
    st = hr_bits_init(&h->closed, (uint64_t)h->n + 1);
    for (hr_id i = 0; st == HR_OK && i < h->n; i++)
        if (h->state[i] == HR_USED && !hr_bits_get(&gc.live, i) && hr_mpy_area_at(&mp->m, hr_block_addr(h, i)))
            hr_bits_set(&h->closed, i);
    hr_mp_gc_deinit(&gc);
    return st;
}

static enum hr_status mp_roots(void *self)
{
    HR_TRY(close_garbage(self));
    hr_mp_check(self);
    return hr_mp_roots(self);
}

static bool mp_field(void *self, hr_id node, uint32_t off, char *buf, size_t cap) { return hr_mp_field_name(self, node, off, buf, cap); }

const struct hr_runtime hr_runtime_micropython = {
    .name = "micropython", .open = mp_open, .roots = mp_roots, .field = mp_field, .classify = mp_classify, .claims = mp_claims, .edges = mp_edges, .close = mp_close,
};
