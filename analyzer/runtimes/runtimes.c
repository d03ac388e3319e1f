/* The registry of runtimes: opens those that find themselves in the image, asks them in order. */
#include "analyzer/runtimes/runtime.h"

#include <string.h>

static const struct hr_runtime *const all[] = {
#define HR_RUNTIME(name_) &hr_runtime_##name_,
#include "analyzer/runtimes/runtimes.def"
#undef HR_RUNTIME
};
enum { N_ALL = sizeof all / sizeof *all };

struct hr_runtimes {
    const struct hr_runtime *rt[N_ALL];
    void *self[N_ALL];
    struct hr_runtime_info info[N_ALL];
    size_t n;
    int native;            /* who speaks for what nobody claims, -1 none */
    bool managed, classified;
};

static enum hr_status open_one(struct hr_runtimes *r, const struct hr_runtime *rt, struct hr_runtime_in *in)
{
    size_t i = r->n;
    struct hr_runtime_info *info = &r->info[i];
    info->name = rt->name;
    enum hr_status st = rt->open(in, &r->self[i], info->version, sizeof info->version, info->evidence,
                                 sizeof info->evidence);
    if (st == HR_ABSENT)
        return HR_OK;
    if (st != HR_OK) {
        hr_note(in->notes, HR_NOTE_DEGRADED, "runtime.failed", "runtime %s could not be read: %s", rt->name,
                hr_status_name(st));
        return st == HR_NOMEM ? st : HR_OK;
    }
    r->rt[i] = rt;
    r->n++;
    if (rt->claims)
        r->managed = true;
    if (!strcmp(rt->name, "native"))
        r->native = (int)i;
    return HR_OK;
}

enum hr_status hr_runtimes_open(struct hr_runtime_in *in, struct hr_runtimes **ret)
{
    struct hr_runtimes *r = hr_zalloc(1, sizeof *r);
    if (!r)
        return HR_NOMEM;
    r->native = -1;
    for (size_t i = 0; i < N_ALL; i++) {
        enum hr_status st = open_one(r, all[i], in);
        if (st != HR_OK) {
            hr_runtimes_close(r);
            return st;
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        enum hr_status st = r->rt[i]->roots ? r->rt[i]->roots(r->self[i]) : HR_OK;
        if (st == HR_NOMEM) {
            hr_runtimes_close(r);
            return st;
        }
        if (st != HR_OK) {
            in->heap->roots_complete = false;
            hr_note(in->notes, HR_NOTE_DEGRADED, "roots.partial", "not all roots of runtime %s could be read: %s",
                    r->rt[i]->name, hr_status_name(st));
        }
    }
    *ret = r;
    return HR_OK;
}

void hr_runtimes_close(struct hr_runtimes *r)
{
    if (!r)
        return;
    for (size_t i = r->n; i-- > 0;)
        r->rt[i]->close(r->self[i]);
    hr_free(r);
}

size_t hr_runtimes_list(const struct hr_runtimes *r, const struct hr_runtime_info **ret)
{
    *ret = r->info;
    return r->n;
}

void *hr_runtimes_self(const struct hr_runtimes *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->rt[i]->name, name))
            return r->self[i];
    return NULL;
}

bool hr_runtimes_managed(const struct hr_runtimes *r) { return r->managed; }

static int claimer(const struct hr_runtimes *r, hr_id node)
{
    for (size_t i = 0; r->managed && i < r->n; i++)
        if (r->rt[i]->claims && r->rt[i]->claims(r->self[i], node))
            return (int)i;
    return -1;
}

bool hr_runtimes_claims(const struct hr_runtimes *r, hr_id node) { return claimer(r, node) >= 0; }

bool hr_runtimes_field(const struct hr_runtimes *r, hr_id node, uint32_t off, char *buf, size_t cap)
{
    int i = claimer(r, node);
    return i >= 0 && r->rt[i]->field && r->rt[i]->field(r->self[i], node, off, buf, cap);
}

enum hr_status hr_runtimes_classify(struct hr_runtimes *r)
{
    if (r->classified)
        return HR_OK;
    for (size_t i = 0; i < r->n; i++)
        if (r->rt[i]->classify)
            HR_TRY(r->rt[i]->classify(r->self[i]));
    r->classified = true;
    return HR_OK;
}

void hr_runtimes_edges(struct hr_runtimes *r, hr_id node, struct hr_edgebuf *out)
{
    int i = claimer(r, node);
    if (i < 0)
        i = r->native;
    if (i >= 0 && !out->stop)
        r->rt[i]->edges(r->self[i], node, out);
    if (out->n)
        out->flush(out, out->ctx);
}

struct relay {
    struct hr_edgebuf buf;
    hr_link_fn *emit;
    void *ctx;
};

static void relay_flush(struct hr_edgebuf *b, void *ctx)
{
    struct relay *r = ctx;
    for (uint32_t i = 0; i < b->n; i++)
        r->emit(r->ctx, b->v[i].to, b->v[i].surety);
    b->n = 0;
}

void hr_runtimes_links(struct hr_runtimes *r, hr_id node, hr_link_fn *emit, void *ctx)
{
    int i = claimer(r, node);
    if (i >= 0 && r->rt[i]->links && r->rt[i]->links(r->self[i], node, emit, ctx))
        return;
    struct relay relay; /* not initialised as a whole: its buffer is 6 KiB, and this runs once per node */
    relay.buf.n = 0;
    relay.buf.stop = false;
    relay.buf.flush = relay_flush;
    relay.buf.ctx = &relay;
    relay.emit = emit;
    relay.ctx = ctx;
    if (i < 0)
        i = r->native;
    if (i >= 0)
        r->rt[i]->edges(r->self[i], node, &relay.buf);
    relay_flush(&relay.buf, &relay);
}

bool hr_runtimes_spell(struct hr_runtimes *r, hr_id from, hr_id to, char *buf, size_t cap)
{
    int i = claimer(r, from);
    return i >= 0 && r->rt[i]->spell && r->rt[i]->spell(r->self[i], from, to, buf, cap);
}
