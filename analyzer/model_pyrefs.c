/* The table `refcounts` that rules may ask: objects of a Python whose reference count is not what refers to them. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/model_get.h"
#include "analyzer/runtimes/cpython/audit.h"

static struct hr_py *python(struct hr_session *s) { return s->runtimes ? hr_runtimes_self(s->runtimes, "cpython") : NULL; }

static const struct hr_py_audit *audit(struct hr_session *s)
{
    const struct hr_py_audit *a;
    struct hr_py *py = python(s);
    return py && hr_py_audit(py, &a) == HR_OK ? a : NULL;
}

static const struct hr_py_count *at(void *ctx, uint64_t row)
{
    const struct hr_py_audit *a = audit(S);
    return row < a->surplus.n ? &a->surplus.v[row] : &a->deficit.v[row - a->surplus.n];
}

static uint64_t rows(void *ctx)
{
    const struct hr_py_audit *a = audit(S);
    return a ? a->surplus.n + a->deficit.n : 0;
}

static const char *type_name(void *ctx, uint64_t row) { return hr_strs_get(S->strs, hr_py_type(python(S), at(ctx, row)->type)->name); }

GET(r_addr) { num(ret, at(ctx, row)->addr); }
GET(r_type) { text(ret, type_name(ctx, row)); }
/* Without a thread of the system there is no C stack: what running C code holds may be nowhere in memory (WebAssembly's locals). */
GET(r_kind) { text(ret, at(ctx, row)->difference < 0 ? "deficit" : S->image.threads.n ? "surplus" : "unproven"); }
GET(r_count) { num(ret, (uint64_t)at(ctx, row)->refcount); }
GET(r_found) { num(ret, at(ctx, row)->found); }
GET(r_wrong) { num(ret, (uint64_t)(at(ctx, row)->difference > 0 ? at(ctx, row)->difference : -at(ctx, row)->difference)); }
GET(r_culprit) { text(ret, at(ctx, row)->culprit ? hr_strs_get(S->strs, at(ctx, row)->culprit) : NULL); }
GET(r_bytes)
{
    hr_id id = hr_heap_at(S->heap, at(ctx, row)->addr, NULL);
    num(ret, id == HR_NONE ? 0 : hr_block_size(S->heap, id));
}
static bool subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = at(ctx, row)->addr;
    snprintf(buf, cap, "%s", type_name(ctx, row));
    return true;
}

static const struct hr_attr attrs[] = {
    {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address", r_addr, NULL, 0, NULL},
    {"type", HR_V_STR, HR_COST_OBJECT, 0, "its type", r_type, NULL, 0, NULL},
    {"kind", HR_V_STR, HR_COST_OBJECT, 0, "surplus, deficit; unproven: a surplus in an image without C stacks", r_kind, NULL, 0, NULL},
    {"refcount", HR_V_NUM, HR_COST_OBJECT, 0, "the count stored in it", r_count, NULL, 0, NULL},
    {"found", HR_V_NUM, HR_COST_OBJECT, 0, "references found to it", r_found, NULL, 0, NULL},
    {"wrong", HR_V_NUM, HR_COST_OBJECT, 0, "references too many, or missing", r_wrong, NULL, 0, NULL},
    {"culprit", HR_V_STR, HR_COST_OBJECT, 0, "a guess at the extension module that did it", r_culprit, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_OBJECT, 0, "bytes of its own block", r_bytes, NULL, 0, NULL},
};

size_t hr_model_pyrefs(struct hr_table *t, struct hr_session *s)
{
    t[0] = (struct hr_table){.name = "refcounts", .doc = "objects of a Python whose reference count is not what refers to them",
                             .needs = HR_NEED_REACH, .count = rows, .attrs = attrs, .nattrs = sizeof attrs / sizeof *attrs, .ctx = s,
                             .absent = hr_model_no_python, .subject = subject};
    return 1;
}
