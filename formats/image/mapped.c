/* Which file lies where: NT_FILE laid over the segments. */
#include <stdlib.h>

#include "analyzer/base/limits.h"
#include "formats/image/core.h"

static int by_lo(const void *a, const void *b)
{
    const struct hr_mapped *x = a, *y = b;
    return x->lo != y->lo ? (x->lo < y->lo ? -1 : 1) : (x->hi > y->hi) - (x->hi < y->hi);
}

/* Sorted and disjoint, whatever the note says. */
static void tidy(struct hr_mappedvec *m)
{
    qsort(m->v, m->n, sizeof *m->v, by_lo);
    size_t o = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct hr_mapped x = m->v[i];
        if (o && m->v[o - 1].hi > x.lo) {
            uint64_t skip = m->v[o - 1].hi - x.lo;
            x.lo += skip;
            x.file_off += skip;
        }
        if (x.lo < x.hi)
            m->v[o++] = x;
    }
    m->n = o;
}

static bool device(const char *path)
{
    return (!strncmp(path, "/dev/", 5) && strncmp(path, "/dev/shm/", 9) && strcmp(path, "/dev/zero")) ||
           !strncmp(path, "anon_inode:", 11);
}

static void label(const struct hr_image *img, struct hr_segment *s, const struct hr_mapped *m)
{
    s->name = m->path;
    s->file_off = m->file_off + (s->addr - m->lo);
    if (device(hr_strs_get(img->strs, m->path)))
        s->flags |= HR_SEG_DEVICE;
}

/* One step of the sweep at address `at`: the next piece of a segment, of a mapping without one, or of both. */
static enum hr_status step(struct hr_image *img, const struct hr_segment *s, const struct hr_mapped *m, uint64_t *at,
                           struct hr_segvec *out)
{
    bool in_s = s && s->addr <= *at, in_m = m && m->lo <= *at;
    uint64_t to = UINT64_MAX;
    if (s)
        to = hr_min(to, in_s ? s->addr + s->msize : s->addr);
    if (m)
        to = hr_min(to, in_m ? m->hi : m->lo);
    if (in_s || in_m) {
        struct hr_segment p = {.addr = *at, .msize = to - *at, .flags = HR_SEG_R, .module = HR_NONE};
        if (in_s)
            p = hr_segment_part(s, *at, to);
        if (in_m)
            label(img, &p, m);
        HR_TRY(hr_segvec_push(out, p));
    }
    *at = to;
    return HR_OK;
}

enum hr_status hr_core_label(struct hr_core *c)
{
    struct hr_image *img = c->img;
    if (!c->files.n)
        return HR_OK;
    tidy(&c->files);
    struct hr_segvec out = {.max = img->segs.max};
    enum hr_status st = HR_OK;
    uint64_t at = 0;
    for (size_t i = 0, j = 0; st == HR_OK && (i < img->segs.n || j < c->files.n);) {
        const struct hr_segment *s = i < img->segs.n ? &img->segs.v[i] : NULL;
        const struct hr_mapped *m = j < c->files.n ? &c->files.v[j] : NULL;
        st = step(img, s, m, &at, &out);
        i += s && s->addr + s->msize <= at;
        j += m && m->hi <= at;
    }
    if (st != HR_OK) {
        hr_segvec_deinit(&out);
        return st;
    }
    hr_segvec_deinit(&img->segs);
    img->segs = out;
    return HR_OK;
}
