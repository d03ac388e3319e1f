/* Building: sorting segments and modules, settling overlaps, marking stacks. */
#include <stdlib.h>

#include "analyzer/image/elf.h"
#include "analyzer/image/image.h"

/* A segment with its number of arrival, which decides overlaps: first added wins. */
struct item {
    uint64_t addr, end;
    uint32_t nr;
};

static int by_addr(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->addr != y->addr ? (x->addr < y->addr ? -1 : 1) : (x->nr > y->nr) - (x->nr < y->nr);
}

struct hr_segment hr_segment_part(const struct hr_segment *s, uint64_t lo, uint64_t hi)
{
    struct hr_segment r = *s;
    uint64_t skip = lo - s->addr;
    r.addr = lo;
    r.msize = hi - lo;
    r.bytes.p = skip < s->bytes.n ? s->bytes.p + skip : NULL;
    r.bytes.n = skip < s->bytes.n ? (size_t)hr_min(s->bytes.n - skip, r.msize) : 0;
    r.file_off = s->file_off + skip;
    return r;
}

/* Binary heap of indices into `it`, lowest arrival number on top. */
struct heap {
    uint32_t *v;
    size_t n;
};

static void heap_push(struct heap *h, const struct item *it, uint32_t x)
{
    size_t i = h->n++;
    for (; i && it[h->v[(i - 1) / 2]].nr > it[x].nr; i = (i - 1) / 2)
        h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = x;
}

static void heap_pop(struct heap *h, const struct item *it)
{
    uint32_t x = h->v[--h->n];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < h->n; i = c) {
        if (c + 1 < h->n && it[h->v[c + 1]].nr < it[h->v[c]].nr)
            c++;
        if (it[x].nr < it[h->v[c]].nr)
            break;
        h->v[i] = h->v[c];
    }
    h->v[i] = x;
}

/* Adds [lo, hi) of segment s to out, glued to the last piece when that is the same segment going on. */
static enum hr_status emit(struct hr_segvec *out, uint32_t *last_nr, const struct hr_segment *s, uint32_t nr, uint64_t lo,
                           uint64_t hi)
{
    struct hr_segment *l = out->n ? &out->v[out->n - 1] : NULL;
    if (l && *last_nr == nr && l->addr + l->msize == lo) {
        *l = hr_segment_part(s, l->addr, hi);
        return HR_OK;
    }
    *last_nr = nr;
    return hr_segvec_push(out, hr_segment_part(s, lo, hi));
}

/* Sweep over the starts; between two of them the oldest segment that is still open wins. O(n log n) for any input. */
static enum hr_status settle(const struct hr_segvec *in, const struct item *it, struct heap *h, struct hr_segvec *out)
{
    uint32_t last_nr = HR_NONE;
    uint64_t at = 0;
    for (size_t i = 0; i < in->n || h->n;) {
        while (h->n && it[h->v[0]].end <= at)
            heap_pop(h, it);
        if (!h->n) {
            if (i >= in->n)
                break;
            at = hr_max(at, it[i].addr);
        }
        for (; i < in->n && it[i].addr <= at; i++)
            if (it[i].end > at)
                heap_push(h, it, (uint32_t)i);
        if (!h->n)
            continue;
        const struct item *top = &it[h->v[0]];
        uint64_t to = i < in->n ? hr_min(top->end, it[i].addr) : top->end;
        HR_TRY(emit(out, &last_nr, &in->v[top->nr], top->nr, at, to));
        at = to;
    }
    return HR_OK;
}

static enum hr_status arrange_segments(struct hr_image *img)
{
    size_t n = img->segs.n;
    bool sorted = true, overlap = false;
    for (size_t i = 1; i < n; i++) {
        const struct hr_segment *p = &img->segs.v[i - 1], *s = p + 1;
        sorted &= p->addr <= s->addr;
        overlap |= p->addr + p->msize > s->addr;
    }
    if (sorted && !overlap)
        return HR_OK;
    HR_AUTOFREE struct item *it = hr_zalloc(n, sizeof *it);
    HR_AUTOFREE uint32_t *room = hr_zalloc(n, sizeof *room);
    struct hr_segvec out = {.max = img->segs.max};
    if (!it || !room || hr_segvec_reserve(&out, n) != HR_OK)
        return HR_NOMEM;
    for (size_t i = 0; i < n; i++)
        it[i] = (struct item){img->segs.v[i].addr, img->segs.v[i].addr + img->segs.v[i].msize, (uint32_t)i};
    qsort(it, n, sizeof *it, by_addr);
    overlap = false;
    for (size_t i = 1; i < n && !overlap; i++)
        if (it[i - 1].end > it[i].addr) {
            overlap = true;
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "image.overlap", it[i].addr,
                       "the dump describes memory at 0x%llx more than once; the first description is used",
                       (unsigned long long)it[i].addr);
        }
    struct heap h = {room, 0};
    enum hr_status st = settle(&img->segs, it, &h, &out);
    if (st != HR_OK) {
        hr_segvec_deinit(&out);
        return st;
    }
    hr_segvec_deinit(&img->segs);
    img->segs = out;
    return HR_OK;
}

static int modules_by_lo(const void *a, const void *b)
{
    const struct hr_module *x = a, *y = b;
    return x->lo != y->lo ? (x->lo < y->lo ? -1 : 1) : (x->hi > y->hi) - (x->hi < y->hi);
}

/* Modules are few; segments that name one by index are renumbered through the old `lo`. */
static enum hr_status arrange_modules(struct hr_image *img)
{
    size_t n = img->modules.n;
    bool sorted = true;
    for (size_t i = 1; i < n; i++)
        sorted &= img->modules.v[i - 1].lo <= img->modules.v[i].lo;
    if (!sorted) {
        HR_AUTOFREE uint32_t *to = hr_zalloc(n, sizeof *to);
        if (!to)
            return HR_NOMEM;
        /* tls_modid is 0 until the modules are arranged for good, so it can carry the old index through the sort */
        HR_AUTOFREE uint32_t *modid = hr_zalloc(n, sizeof *modid);
        if (!modid)
            return HR_NOMEM;
        for (size_t i = 0; i < n; i++) {
            modid[i] = img->modules.v[i].tls_modid;
            img->modules.v[i].tls_modid = (uint32_t)i;
        }
        qsort(img->modules.v, n, sizeof *img->modules.v, modules_by_lo);
        for (size_t i = 0; i < n; i++) {
            to[img->modules.v[i].tls_modid] = (uint32_t)i;
            img->modules.v[i].tls_modid = modid[img->modules.v[i].tls_modid];
        }
        for (size_t i = 0; i < img->segs.n; i++)
            if (img->segs.v[i].module < n)
                img->segs.v[i].module = to[img->segs.v[i].module];
    }
    for (size_t i = 1; i < n; i++)
        if (img->modules.v[i - 1].hi > img->modules.v[i].lo)
            img->modules.v[i - 1].hi = img->modules.v[i].lo;
    return HR_OK;
}

enum hr_status hr_image_arrange(struct hr_image *img)
{
    if (img->sealed)
        return HR_OK;
    HR_TRY(arrange_segments(img));
    return arrange_modules(img);
}

/* A stack that ran over stands in its guard mapping or in the gap below: the stack is then the writable one above. */
enum { STACK_REACH = 1 << 20 };

static struct hr_segment *stack_of(struct hr_image *img, struct hr_thread *t)
{
    uint32_t i = hr_image_seg_above(img, t->sp), first = i;
    for (; i < img->segs.n && i < first + 3; i++) {
        struct hr_segment *s = &img->segs.v[i];
        if (s->addr > t->sp && s->addr - t->sp > STACK_REACH)
            break;
        if (s->flags & HR_SEG_W) {
            if (s->addr > t->sp)
                hr_note_at(img->notes, HR_NOTE_INFO, "thread.stack_overflow", t->sp,
                           "the stack pointer of thread %u is %llu bytes below its stack: the stack has overflowed",
                           t->tid, (unsigned long long)(s->addr - t->sp));
            return s;
        }
    }
    return NULL;
}

static void mark_stacks(struct hr_image *img)
{
    for (size_t i = 0; i < img->threads.n; i++) {
        struct hr_thread *t = &img->threads.v[i];
        struct hr_segment *s = t->sp ? stack_of(img, t) : NULL;
        if (!s)
            continue;
        s->flags |= HR_SEG_STACK;
        t->stack_lo = s->addr;
        t->stack_hi = s->addr + s->msize;
    }
}

enum hr_status hr_image_seal(struct hr_image *img)
{
    HR_TRY(hr_image_arrange(img));
    mark_stacks(img);
    img->sealed = true;
    return HR_OK;
}

void hr_image_deinit(struct hr_image *img)
{
    for (size_t i = 0; i < img->modules.n; i++) {
        hr_elf_destroy(img->modules.v[i].elf);
        hr_elf_destroy(img->modules.v[i].debug);
    }
    hr_segvec_deinit(&img->segs);
    hr_modvec_deinit(&img->modules);
    hr_threadvec_deinit(&img->threads);
    for (size_t i = 0; i < img->nowned; i++)
        hr_free(img->owned[i]);
    hr_free(img->owned);
}

enum hr_status hr_image_keep(struct hr_image *img, void *mem)
{
    void **more = hr_realloc(img->owned, (img->nowned + 1) * sizeof *more);
    if (!more) {
        hr_free(mem);
        return HR_NOMEM;
    }
    img->owned = more;
    img->owned[img->nowned++] = mem;
    return HR_OK;
}
