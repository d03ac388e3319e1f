/* Heaps whose main_arena is not in the image: a core cut short loses libc's data first, since libraries lie above the heap.
 *
 * The chunks stand by themselves: anonymous memory that begins with a chain of sound chunks is main_arena's; arenas in heaps
 * of their own have their headers with them. What only main_arena knows is lost: where top is (the last chunk, if the
 * memory's end is there), its fastbins, the count of mmapped chunks. */
#include "analyzer/allocators/glibc.h"

enum { ENOUGH = 24 }; /* chunks in a row, as for finding the way again */

static bool is_heap_segment(const struct glibc *g, const struct hr_segment *s)
{
    return s->flags & HR_SEG_W && !(s->flags & (HR_SEG_DEVICE | HR_SEG_STACK)) && s->module == HR_NONE &&
           s->bytes.n > 2u * g->l.word && s->bytes.n <= s->msize;
}

static uint64_t first_chunk(const struct glibc *g, const struct hr_segment *s)
{
    return glibc_up(s->addr + 2 * g->l.word, g->l.align) - 2 * g->l.word;
}

/* Does the segment begin with a chain of chunks? The first has nothing before it: its previous one counts as in use. */
static bool begins_with_chunks(struct glibc *g, const struct hr_segment *s, uint64_t *head_ret)
{
    uint64_t p = first_chunk(g, s), at;
    return glibc_word(g, p + g->l.word, head_ret) && (*head_ret & GLIBC_FLAGS) == GLIBC_PREV_INUSE &&
           hr_glibc_chain(g, p, 0, s->addr + s->msize, false, ENOUGH, 0, NULL, 0, &at) == GLIBC_CHAIN_LONG;
}

/* Without a version, the main thread's tcache tells: it is the first chunk. 0: no heap begins here under that layout. */
static unsigned fits(struct glibc *g, const struct hr_segment *s)
{
    uint64_t head;
    if (!begins_with_chunks(g, s, &head))
        return 0;
    return g->l.tc_chunk && (head & ~(uint64_t)GLIBC_FLAGS) == g->l.tc_chunk ? 2 : 1;
}

static bool vote(struct glibc *g)
{
    unsigned best = 0, minor = 0;
    for (const uint8_t *e = hr_glibc_epochs; *e; e++) {
        hr_glibc_layout(&g->l, g->img->word, hr_glibc_align(g->img, *e), *e);
        unsigned score = 0;
        for (size_t i = 0; i < g->img->segs.n; i++)
            if (is_heap_segment(g, &g->img->segs.v[i]))
                score = (unsigned)hr_max(score, fits(g, &g->img->segs.v[i]));
        if (score && score >= best && *e != 42) { /* of equals the newest; 2.42's tcache has a size of its own */
            best = score;
            minor = *e;
        } else if (score > best) {
            best = score;
            minor = *e;
        }
    }
    if (!best)
        return false;
    hr_glibc_layout(&g->l, g->img->word, hr_glibc_align(g->img, minor), minor);
    return true;
}

enum hr_status hr_glibc_orphans(struct glibc *g)
{
    if (!g->img->arch || (hr_glibc_find_libc(g) != HR_OK && !vote(g)))
        return HR_ABSENT;
    g->found_by = "chains of chunks, as main_arena is not in the image";
    if (!g->layout_by)
        g->layout_by = "the shape of the heap";
    g->arenas.max = 1 << 16;
    HR_TRY(glibc_arenavec_push(&g->arenas, (struct glibc_arena){.main = true}));
    HR_TRY(hr_glibc_stray_arenas(g));
    uint64_t head;
    bool any = g->arenas.n > 1;
    for (size_t i = 0; i < g->img->segs.n && !any; i++)
        any = is_heap_segment(g, &g->img->segs.v[i]) && begins_with_chunks(g, &g->img->segs.v[i], &head);
    if (!any)
        return HR_ABSENT;
    hr_note(g->notes, HR_NOTE_DEGRADED, "heap.main-arena-missing",
            "malloc's own records (main_arena) are not in the image: the heap was found by its chunks, freed blocks in "
            "fastbins cannot be told from live ones");
    return HR_OK;
}

enum hr_status hr_glibc_orphan_regions(struct glibc *g)
{
    for (size_t i = 0; i < g->img->segs.n; i++) {
        const struct hr_segment *s = &g->img->segs.v[i];
        uint64_t head;
        if (!is_heap_segment(g, s) || hr_map_get(&g->seen, s->addr) != HR_NONE || !begins_with_chunks(g, s, &head))
            continue;
        HR_TRY(glibc_regionvec_push(&g->regions,
                                    (struct glibc_region){.addr = s->addr, .end = s->addr + s->msize,
                                                          .first = first_chunk(g, s), .arena = 0, .kind = GLIBC_MAIN}));
    }
    return HR_OK;
}
