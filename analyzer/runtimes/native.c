/* The runtime for C and C++: always there, speaks for everything no managed runtime claims. */
#include "analyzer/runtimes/native.h"

#include <stdio.h>

#include "analyzer/runtimes/native_spread.h"

static void native_close(void *self)
{
    struct hr_native *n = self;
    hr_spread_destroy(n->spread);
    hr_layouts_destroy(n->layouts);
    hr_free(n->modid_module);
    hr_free(n);
}

static enum hr_status native_open(struct hr_runtime_in *in, void **self_ret, char *version, size_t vcap, char *evidence,
                                  size_t ecap)
{
    struct hr_native *n = hr_zalloc(1, sizeof *n);
    if (!n)
        return HR_NOMEM;
    n->in = *in;
    n->img = in->image;
    n->heap = in->heap;
    n->types = in->types;
    enum hr_status st = hr_layouts_create(n, &n->layouts);
    if (st != HR_OK) {
        native_close(n);
        return st;
    }
    if (vcap)
        version[0] = 0;
    snprintf(evidence, ecap, "%s", in->types->vars.n ? "variables from debug information" : "memory and registers");
    *self_ret = n;
    return HR_OK;
}

static enum hr_status native_roots(void *self) { return hr_native_roots(self); }
static enum hr_status native_classify(void *self) { return hr_native_classify(self); }
static void native_edges(void *self, hr_id node, struct hr_edgebuf *out) { hr_native_edges(self, node, out); }

const struct hr_runtime hr_runtime_native = {
    .name = "native",
    .open = native_open,
    .roots = native_roots,
    .classify = native_classify,
    .edges = native_edges,
    .close = native_close,
};
