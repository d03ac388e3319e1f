/* Objects of the C and C++ libraries that give themselves away without debug information: they are in every process, and a
 * stripped library would leave them unexplained. */
#include "analyzer/runtimes/native_spread.h"

#include <string.h>

enum {
    FILE_MAGIC = 0xfbad,     /* upper half of FILE._flags (_IO_MAGIC), an ABI constant of glibc */
    FILE_BUF_BASE = 7,       /* words before _IO_buf_base; _IO_buf_end is the next */
    POOL_LEAST = 4096,       /* the emergency pool for exceptions is 72,704 bytes on x86-64, smaller if tuned */
    ROOT_MOST = 64 << 20,    /* static data larger than this is the program's own, not a library's */
};

static enum hr_status name_block(struct hr_spread *s, hr_id id, const char *name, uint8_t evidence)
{
    if (s->h->type[id] || !hr_spread_live(s, id))
        return HR_OK;
    hr_type t;
    HR_TRY(hr_types_add_runtime(s->n->types, name, 0, &t));
    s->h->type[id] = t;
    s->h->evidence[id] = evidence;
    return HR_OK;
}

/* The block that starts at addr, or HR_NONE. */
static hr_id starts(const struct hr_spread *s, uint64_t addr)
{
    uint64_t into;
    hr_id id = hr_heap_at(s->h, addr, &into);
    return id != HR_NONE && !into ? id : HR_NONE;
}

/* The buffer of a stdio stream whose FILE lies at `at`. */
static enum hr_status stream(struct hr_spread *s, uint64_t at, hr_id node)
{
    uint64_t w = s->n->img->word, base, end;
    if (!hr_rd(s, at + FILE_BUF_BASE * w, &base) ||
        !hr_rd(s, at + (FILE_BUF_BASE + 1) * w, &end) || end <= base)
        return HR_OK;
    hr_id id = starts(s, base);
    if (id == HR_NONE || end - base > hr_block_size(s->h, id) || s->h->type[id])
        return HR_OK;
    hr_spread_own(s, id, node);
    return name_block(s, id, "stdio buffer", HR_EV_CONTENT);
}

/* libstdc++'s emergency pool for exceptions (eh_alloc.cc): first free entry, arena, arena size; the entry begins with its
 * size and the next entry. */
static enum hr_status pool(struct hr_spread *s, uint64_t arena, uint64_t at)
{
    uint64_t w = s->n->img->word, first, size, entry;
    hr_id id = starts(s, arena);
    if (id == HR_NONE || s->h->type[id] || hr_block_size(s->h, id) < POOL_LEAST)
        return HR_OK;
    if (!hr_rd(s, at - w, &first) || !hr_rd(s, at + w, &size) ||
        !hr_fit(s, id, arena, size) || first < arena || first >= arena + size ||
        !hr_rd(s, first, &entry) || entry > size || first + entry > arena + size || entry < 2 * w)
        return HR_OK;
    return name_block(s, id, "libstdc++ emergency exception pool", HR_EV_CONTENT);
}

static enum hr_status scan_root(struct hr_spread *s, const struct hr_root *r, hr_id node)
{
    uint64_t w = s->n->img->word, v;
    for (uint64_t at = (r->addr + w - 1) & ~(w - 1); at + w <= r->addr + r->size; at += w) {
        if (!hr_rd(s, at, &v))
            break;
        if ((v & UINT32_MAX) >> 16 == FILE_MAGIC)
            HR_TRY(stream(s, at, node));
        else if (v - s->h->lo <= s->h->hi - s->h->lo)
            HR_TRY(pool(s, v, at));
    }
    return HR_OK;
}

static enum hr_status blocks(struct hr_spread *s)
{
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it), v, w = s->n->img->word;
        if (!hr_spread_live(s, id) || hr_block_size(s->h, id) < 40 * w / 2 || !hr_image_uint(s->n->img, addr, 4, &v) ||
            v >> 16 != FILE_MAGIC)
            continue;
        HR_TRY(name_block(s, id, "FILE", HR_EV_CONTENT));
        HR_TRY(stream(s, addr, id));
    }
    return HR_OK;
}

enum hr_status hr_known_classify(struct hr_spread *s)
{
    HR_TRY(blocks(s));
    for (size_t i = 0; i < s->h->roots.n; i++) {
        const struct hr_root *r = &s->h->roots.v[i];
        if (r->kind == HR_ROOT_TLS && !r->size && r->name) { /* handles made by native_tls.c */
            hr_id id = starts(s, r->addr);
            if (id != HR_NONE)
                HR_TRY(name_block(s, id, hr_strs_get(s->h->strs, r->name), HR_EV_CONTENT));
        } else if ((r->kind == HR_ROOT_STATIC || r->kind == HR_ROOT_GLOBAL) && !r->type && r->size <= ROOT_MOST) {
            HR_TRY(scan_root(s, r, s->h->n + (hr_id)i));
        }
    }
    return HR_OK;
}
