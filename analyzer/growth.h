/* Growth: what several images of one program hold, by type, side by side.
 *
 * Every image but the first is read in a process of its own, which is confined as any other analysis and answers with a summary that
 * is believed no more than a dump is. */
#ifndef HR_GROWTH_H
#define HR_GROWTH_H

#include "analyzer/session.h"

enum { HR_GROWTH_MAX = 32 /* images compared at once: a line of a table holds no more */ };

struct hr_growth_cell { uint64_t count, bytes, leaked_count, leaked_bytes; };

struct hr_growth_row {
    hr_str key;                 /* type, or "untyped, 48 bytes" */
    bool typed;
};
HR_VEC(hr_growth_rowvec, struct hr_growth_row)
HR_VEC(hr_growth_cellvec, struct hr_growth_cell)

struct hr_growth_image {
    const char *path;           /* as given */
    char error[512];            /* why it could not be read, "" fine */
    char arch[32];
    bool ok, complete, roots_complete, has_heap;
    enum hr_status status;
    struct hr_growth_cell total;
    uint64_t free_bytes, mapped;
};

struct hr_growth {
    struct hr_strs *strs;
    uint32_t n;                 /* images */
    struct hr_growth_image image[HR_GROWTH_MAX];
    struct hr_growth_rowvec rows;
    struct hr_growth_cellvec cells; /* rows.n * n */
    struct hr_map index;        /* key -> row */
};

enum hr_status hr_growth_create(uint32_t n, struct hr_growth **ret) HR_MUST;
void hr_growth_destroy(struct hr_growth *g);
/* Adds what image i holds, in a child process: call before this process has given up its rights. The child ends before this returns. */
enum hr_status hr_growth_child(struct hr_growth *g, uint32_t i, const struct heapray_options *opt) HR_MUST;
/* The same from a session of this process. */
enum hr_status hr_growth_add(struct hr_growth *g, uint32_t i, struct hr_session *s) HR_MUST;

static inline const struct hr_growth_cell *hr_growth_at(const struct hr_growth *g, size_t row, uint32_t i)
{
    return &g->cells.v[row * g->n + i];
}
/* Never less than before, and more at the end than at the start. */
bool hr_growth_monotonic(const struct hr_growth *g, size_t row);

#endif
