/* Reads one instance of a type and votes for what its pointers lead to; and asks whether bytes can be an instance at all. */
#include "analyzer/runtimes/native_spread.h"

enum { SCALARS_LOOKED_AT = 512, FIELDS_LOOKED_AT = 64 };

void hr_ops_run(struct hr_spread *s, uint64_t addr, hr_type type, uint8_t strength, hr_id src)
{
    const struct hr_layout *l = hr_layout(s->n, type);
    if (!l)
        return;
    uint64_t v, w = s->n->img->word;
    struct hr_layout lay = *l; /* following may compile further layouts and move the table */
    s->inst = addr;
    s->inst_type = lay.type;
    for (uint32_t i = 0; i < lay.nops; i++) {
        struct hr_layop op = hr_layout_ops(s->n, &lay)[i];
        if (!hr_burn(&s->fuel, 1)) {
            s->failed = true;
            return;
        }
        if (op.kind == HR_LOP_PTR) {
            if (!hr_rd(s, addr + op.off, &v) || !v)
                continue;
            if (v & (w - 1) && hr_type_is_struct(s->n, op.type))
                v &= ~(w - 1); /* low bits carry marks (red-black colours, locks) */
            hr_vote(s, v, op.type, op.flags & HR_LOF_UNION ? HR_VOTE_UNION : strength, src);
        } else if (op.kind == HR_LOP_ARR) {
            if (op.count && !(op.flags & HR_LOF_UNION))
                hr_follow(s, addr + op.off, op.count, op.type, strength, src);
            else if (!op.count && !hr_node_is_root(s->h, src)) { /* flexible: up to the end of the block */
                uint64_t end = hr_block_addr(s->h, src) + hr_block_size(s->h, src);
                if (addr + op.off < end && op.stride)
                    hr_follow(s, addr + op.off, (end - addr - op.off) / op.stride, op.type, HR_VOTE_LOCAL, src);
            }
        } else if (!(op.flags & HR_LOF_UNION)) {
            hr_cxx_run(s, addr, &op, strength, src);
        }
    }
}

/* A word a pointer field may hold: null, or memory that was mapped, or a small mark such as (void *)-1. */
static int pointer_like(struct hr_spread *s, uint64_t v)
{
    if (!v)
        return 0;
    if (v - s->h->lo <= s->h->hi - s->h->lo) {
        uint64_t into;
        hr_id b = hr_heap_at(s->h, v, &into);
        return b == HR_NONE ? -1 : into ? 1 : 2;
    }
    static const uint64_t mark = 4096;
    if (v >= (s->n->img->word == 8 ? UINT64_MAX : UINT32_MAX) - mark)
        return 0;
    return hr_image_find(s->n->img, v, NULL) ? 1 : -1;
}

/* Heap pointers where the type has none speak against it: bytes of the instance that hold exact block starts. */
static int stray_pointers(struct hr_spread *s, uint64_t addr, hr_type type, uint64_t size)
{
    uint64_t w = s->n->img->word, v, into;
    int stray = 0;
    for (uint64_t off = 0; off + w <= size && off < 64 * w; off += w) {
        if (!hr_rd(s, addr + off, &v) || v - s->h->lo > s->h->hi - s->h->lo)
            continue;
        hr_id b = hr_heap_at(s->h, v, &into);
        if (b != HR_NONE && !into && s->h->state[b] == HR_USED && hr_layout_ptr(s->n, type, off) == HR_PTR_NO)
            stray++;
    }
    return stray;
}

struct hr_looks hr_ops_looks(struct hr_spread *s, uint64_t addr, hr_type type)
{
    const struct hr_layout *l = hr_layout(s->n, type);
    uint64_t v, size = hr_type_get(s->n->types, hr_type_strip(s->n->types, type))->size;
    struct hr_looks r = {.stray = stray_pointers(s, addr, type, size)};
    if (!l)
        return r;
    struct hr_layout lay = *l;
    for (uint32_t i = 0; i < lay.nops && i < FIELDS_LOOKED_AT; i++) {
        const struct hr_layop *op = &hr_layout_ops(s->n, &lay)[i];
        if (op->flags & HR_LOF_UNION || op->kind == HR_LOP_ARR || op->kind == HR_LOP_MAYBE || op->kind == HR_LOP_VARIANT ||
            op->kind == HR_LOP_CALLABLE || op->kind == HR_LOP_UNKNOWN || op->kind == HR_LOP_VBASE)
            continue;
        int p = hr_rd(s, addr + op->off, &v) ? pointer_like(s, v) : -1;
        r.bad += p < 0;
        r.null += !p;
        r.good += p > 0 ? p : 0;
    }
    return r;
}

bool hr_ops_scalars(struct hr_spread *s, hr_id id, uint64_t addr, hr_type el)
{
    uint64_t w = s->n->img->word, usable = hr_block_size(s->h, id), v, into;
    uint8_t kind = hr_type_get(s->n->types, hr_type_strip(s->n->types, el))->kind;
    unsigned starts = 0, bad = 0, seen = 0;
    for (uint64_t off = 0; off + w <= usable && seen < SCALARS_LOOKED_AT; off += w, seen++) {
        if (!hr_rd(s, addr + off, &v))
            break;
        hr_id b = v - s->h->lo <= s->h->hi - s->h->lo ? hr_heap_at(s->h, v, &into) : HR_NONE;
        starts += b != HR_NONE && !into && s->h->state[b] == HR_USED;
        bad += pointer_like(s, v) < 0;
    }
    if (kind == HR_T_PTR || kind == HR_T_REF)
        return bad <= seen / 2;
    /* Numbers and characters: one word that happens to be a block's start is chance or a stale byte, several are no numbers. */
    return starts <= 1 + seen / 64;
}
