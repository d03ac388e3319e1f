/* The strip: which part of memory each cell of a picture stands for, and what most of it is. */
#include "analyzer/cli/map.h"

#include <string.h>

static const char *const names[HR_MAP_MARKS] = {"static", "heap, in use", "heap, free", "stack, once used", "stack, never used", "never written", "other", "code"};
const char *hr_map_mark_name(enum hr_map_mark m) { return m < HR_MAP_MARKS ? names[m] : "other"; }

/* A run of memory that is one mark. */
struct part { uint64_t addr, size; uint8_t mark; };
HR_VEC(partvec, struct part)

static enum hr_status put(struct partvec *p, uint64_t lo, uint64_t hi, enum hr_map_mark mark)
{
    if (lo >= hi)
        return HR_OK;
    struct part *last = p->n ? &p->v[p->n - 1] : NULL;
    if (last && last->mark == mark && last->addr + last->size == lo) {
        last->size += hi - lo;
        return HR_OK;
    }
    return partvec_push(p, (struct part){lo, hi - lo, (uint8_t)mark});
}

/* Free and used blocks of a heap; what is between blocks is in use by the allocator. */
static enum hr_status heap(const struct hr_survey *v, const struct hr_survey_region *r, struct hr_block_iter *it, struct partvec *out)
{
    const struct hr_heap *h = v->s->heap;
    uint64_t at = r->addr, end = r->addr + r->size;
    while (it->id < h->n) {
        struct hr_block_iter next = *it;
        hr_id id = it->id;
        uint64_t addr = hr_block_next(&next), to = hr_min(hr_sat_add(addr, hr_block_size(h, id)), end);
        if (addr >= end)
            break;
        *it = next;
        if ((h->state[id] != HR_FREE && h->state[id] != HR_CACHED) || addr < at)
            continue;
        HR_TRY(put(out, at, addr, HR_MAP_USED));
        HR_TRY(put(out, addr, to, HR_MAP_FREE));
        at = hr_max(at, to);
    }
    return put(out, at, end, HR_MAP_USED);
}

static enum hr_status parts(const struct hr_survey *v, struct partvec *out)
{
    struct hr_block_iter it = hr_block_iter(v->s->heap, 0);
    for (size_t i = 0; i < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        uint64_t lo = r->addr, hi = r->addr + r->size;
        if (!r->captured || (r->kind == HR_SV_CODE && v->s->image.bare))
            continue; /* the question is where the RAM went */
        if (r->kind == HR_SV_HEAP) {
            HR_TRY(heap(v, r, &it, out));
        } else if (r->kind == HR_SV_STACK) {
            uint64_t deep = r->used == HR_NONE64 ? lo : hi - hr_min(r->used, r->size);
            HR_TRY(put(out, lo, deep, HR_MAP_STACK_UNUSED));
            HR_TRY(put(out, deep, hi, HR_MAP_STACK));
        } else {
            HR_TRY(put(out, lo, hi, r->kind == HR_SV_STATIC ? HR_MAP_STATIC : r->kind == HR_SV_UNUSED ? HR_MAP_UNUSED :
                       r->kind == HR_SV_CODE ? HR_MAP_CODE : HR_MAP_OTHER));
        }
    }
    return HR_OK;
}

/* A gap begins a new row as long as there are few of them; then memory is drawn as if it lay together. */
enum { MAX_STRETCHES = 12 };

static uint32_t stretches(const struct partvec *p)
{
    uint32_t n = p->n > 0;
    for (size_t i = 1; i < p->n; i++)
        n += p->v[i - 1].addr + p->v[i - 1].size != p->v[i].addr;
    return n;
}

/* What most of the bytes of a cell are. */
static uint8_t major(const uint64_t by[HR_MAP_MARKS])
{
    unsigned best = HR_MAP_OTHER;
    for (unsigned m = 0; m < HR_MAP_MARKS; m++)
        if (by[m] > by[best])
            best = m;
    return (uint8_t)best;
}

struct drawing {
    struct hr_map_strip *s;
    uint32_t columns, cap;
    uint64_t by[HR_MAP_MARKS], filled, addr; /* of the cell being filled: its bytes, where it begins */
    uint64_t hole;                           /* left out before the next cell */
    bool fresh;                              /* the next cell begins a row */
};

static enum hr_status end_cell(struct drawing *d)
{
    if (!d->filled || d->s->ncells == d->cap)
        return HR_OK;
    struct hr_map_row *row = d->s->rows.n ? &d->s->rows.v[d->s->rows.n - 1] : NULL;
    if (d->fresh || !row || row->ncells == d->columns) {
        HR_TRY(hr_map_rowvec_push(&d->s->rows, (struct hr_map_row){.addr = d->addr, .hole = d->hole, .cell0 = d->s->ncells}));
        row = &d->s->rows.v[d->s->rows.n - 1];
        d->s->holes += d->hole != 0;
        d->hole = 0;
        d->fresh = false;
    }
    d->s->addr[d->s->ncells] = d->addr;
    d->s->mark[d->s->ncells++] = major(d->by);
    row->ncells++;
    memset(d->by, 0, sizeof d->by);
    d->filled = 0;
    return HR_OK;
}

static enum hr_status draw(struct drawing *d, const struct partvec *p, bool gaps)
{
    for (size_t i = 0; i < p->n; i++) {
        uint64_t at = p->v[i].addr, left = p->v[i].size;
        if (gaps && (!i || p->v[i - 1].addr + p->v[i - 1].size != at)) {
            HR_TRY(end_cell(d));
            d->hole = i ? at - (p->v[i - 1].addr + p->v[i - 1].size) : 0;
            d->fresh = true;
        }
        while (left) {
            if (!d->filled)
                d->addr = at;
            uint64_t n = hr_min(left, d->s->cell - d->filled);
            d->by[p->v[i].mark] += n;
            d->filled += n;
            at += n;
            left -= n;
            if (d->filled == d->s->cell)
                HR_TRY(end_cell(d));
        }
    }
    return end_cell(d);
}

static enum hr_status strip(const struct partvec *p, uint32_t columns, uint32_t rows, struct hr_map_strip *s)
{
    uint64_t total = 0, cell = 4;
    for (size_t i = 0; i < p->n; i++)
        total = hr_sat_add(total, p->v[i].size);
    bool gaps = stretches(p) <= MAX_STRETCHES;
    while (total / cell >= (uint64_t)columns * rows && cell < 1ull << 62)
        cell *= 2;
    s->cell = cell;
    s->rows.max = HR_MAX_REGIONS;
    struct drawing d = {.s = s, .columns = columns, .cap = (uint32_t)(total / cell) + MAX_STRETCHES + 2};
    s->mark = hr_zalloc(d.cap, 1);
    s->addr = hr_zalloc(d.cap, sizeof *s->addr);
    return s->mark && s->addr ? draw(&d, p, gaps) : HR_NOMEM;
}

enum hr_status hr_map_strip(const struct hr_survey *v, uint32_t columns, uint32_t rows, struct hr_map_strip *ret)
{
    struct partvec p = {.max = HR_MAX_BLOCKS};
    *ret = (struct hr_map_strip){0};
    enum hr_status st = parts(v, &p);
    if (st == HR_OK)
        st = strip(&p, columns, rows, ret);
    partvec_deinit(&p);
    if (st != HR_OK)
        hr_map_strip_deinit(ret);
    return st;
}

void hr_map_strip_deinit(struct hr_map_strip *s)
{
    hr_free(s->mark);
    hr_free(s->addr);
    s->mark = NULL;
    s->addr = NULL;
    hr_map_rowvec_deinit(&s->rows);
}
