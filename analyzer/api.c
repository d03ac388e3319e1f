/* The public library calls over a session. */
#include <stdio.h>
#include <string.h>

#include "analyzer/session.h"

struct heapray_session {
    struct hr_session *s;
    struct hr_block_iter it; /* so that reading blocks in order costs no search */
};

_Static_assert((int)HEAPRAY_USAGE == (int)HR_USAGE && (int)HEAPRAY_NOMEM == (int)HR_NOMEM, "the same statuses in and out");

enum heapray_status heapray_open(const struct heapray_options *opt, struct heapray_session **ret, char **error_ret)
{
    struct heapray_session *h = hr_zalloc(1, sizeof *h);
    if (error_ret)
        *error_ret = NULL;
    if (!h || !opt || !opt->image) {
        hr_free(h);
        return h ? HEAPRAY_USAGE : HEAPRAY_NOMEM;
    }
    enum hr_status st = hr_session_open(opt, !opt->no_types, &h->s);
    if (st == HR_OK)
        st = hr_session_heap(h->s);
    if (st != HR_OK) {
        if (error_ret && h->s)
            *error_ret = hr_strdup(h->s->error[0] ? h->s->error : hr_status_name(st));
        heapray_close(h);
        return (enum heapray_status)st;
    }
    h->it = hr_block_iter(h->s->heap, 0);
    *ret = h;
    return HEAPRAY_OK;
}

void heapray_close(struct heapray_session *h)
{
    if (h)
        hr_session_close(h->s);
    hr_free(h);
}

void heapray_free_string(char *s) { hr_free(s); }

enum heapray_status heapray_get_totals(struct heapray_session *h, struct heapray_totals *ret)
{
    *ret = hr_session_totals(h->s);
    return HEAPRAY_OK;
}

uint64_t heapray_block_count(struct heapray_session *h) { return h->s->heap->n; }

enum heapray_status heapray_get_block(struct heapray_session *h, uint64_t i, struct heapray_block *ret)
{
    const struct hr_heap *heap = h->s->heap;
    if (i >= heap->n)
        return HEAPRAY_ABSENT;
    enum hr_status st = hr_session_reach(h->s);
    if (st != HR_OK)
        return (enum heapray_status)st;
    if (h->it.id != i)
        h->it = hr_block_iter(heap, (hr_id)i);
    ret->addr = hr_block_next(&h->it);
    ret->size = hr_block_size(heap, (hr_id)i);
    ret->state = hr_state_name(heap->state[i]);
    ret->reach = heap->state[i] == HR_USED && heap->reach[i] ? hr_reach_name(heap->reach[i]) : NULL;
    return HEAPRAY_OK;
}

enum heapray_status heapray_get_leaks(struct heapray_session *h, struct heapray_leak_totals *ret)
{
    enum hr_status st = hr_session_reach(h->s);
    if (st != HR_OK)
        return (enum heapray_status)st;
    const struct hr_leaks *l = h->s->leaks;
    *ret = (struct heapray_leak_totals){l->list.n, l->blocks, l->bytes, h->s->heap->roots_complete};
    return HEAPRAY_OK;
}
