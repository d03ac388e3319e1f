/* The kernels as runtimes: control blocks and stacks of tasks are alive and have names. A block that is a stack holds no references
 * of its own: the live part of the stack is a root of the native runtime's, the rest is old. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdio.h>
#include <string.h>

struct self {
    struct hr_runtime_in in;
    struct hr_rtos *r;
    struct hr_map stack;    /* block -> task */
};

static void rtos_close(void *self)
{
    struct self *s = self;
    hr_map_deinit(&s->stack);
    hr_free(s);
}

enum hr_status hr_rtos_open(const char *kernel, struct hr_runtime_in *in, void **self_ret, char *version, size_t vcap, char *evidence, size_t ecap)
{
    if (!in->rtos || strcmp(in->rtos->kernel, kernel))
        return HR_ABSENT;
    struct self *s = hr_zalloc(1, sizeof *s);
    if (!s)
        return HR_NOMEM;
    s->in = *in;
    s->r = in->rtos;
    hr_map_init(&s->stack, HR_RTOS_MAX_TASKS);
    for (size_t i = 0; i < s->r->tasks.n; i++) {
        const struct hr_task *t = &s->r->tasks.v[i];
        /* The stack of a running task without registers is scanned as any block: nobody knows where it lives. */
        if (t->stack_block != HR_NONE && t->thread != HR_NONE && hr_map_put(&s->stack, t->stack_block, (uint32_t)i) != HR_OK) {
            rtos_close(s);
            return HR_NOMEM;
        }
    }
    snprintf(version, vcap, "%s", s->r->version);
    snprintf(evidence, ecap, "%s", s->r->evidence);
    *self_ret = s;
    return HR_OK;
}

static enum hr_status handle(struct self *s, hr_id block, const struct hr_task *t, const char *what)
{
    struct hr_root root = {.addr = block == HR_NONE ? 0 : hr_block_addr(s->in.heap, block), .module = HR_NONE, .thread = HR_NONE, .frame = HR_NONE,
                           .kind = HR_ROOT_HANDLE, .reg = 0xff};
    if (block == HR_NONE)
        return HR_OK;
    HR_TRY(hr_strs_addf(s->in.image->strs, &root.name, "%s %s", what, hr_strs_get(s->in.image->strs, t->name)));
    return hr_rootvec_push(&s->in.heap->roots, root);
}

static enum hr_status rtos_roots(void *self)
{
    struct self *s = self;
    s->in.heap->roots.max = HR_MAX_ROOTS;
    for (size_t i = 0; i < s->r->tasks.n; i++) {
        const struct hr_task *t = &s->r->tasks.v[i];
        HR_TRY(handle(s, t->tcb_block, t, "task"));
        HR_TRY(handle(s, t->stack_block, t, "stack of task"));
    }
    return HR_OK;
}

/* `like` (0 none): a type of the program whose members the block has. */
static enum hr_status name_block(struct self *s, hr_id block, hr_str name, hr_type like)
{
    hr_type t;
    if (block == HR_NONE)
        return HR_OK;
    HR_TRY(hr_types_add_runtime(s->in.types, hr_strs_get(s->in.image->strs, name), 0, &t));
    if (like && t < s->in.types->rows.n) {
        const struct hr_type_row *from = hr_type_get(s->in.types, like);
        s->in.types->rows.v[t].field0 = from->field0;
        s->in.types->rows.v[t].nfields = from->nfields;
        s->in.types->rows.v[t].size = from->size;
    }
    s->in.heap->type[block] = t;
    s->in.heap->evidence[block] = HR_EV_RUNTIME;
    return HR_OK;
}

static enum hr_status rtos_classify(void *self)
{
    struct self *s = self;
    HR_TRY(hr_heap_type_columns(s->in.heap));
    for (size_t i = 0; i < s->r->objects.n; i++)
        HR_TRY(name_block(s, s->r->objects.v[i].block, s->r->objects.v[i].name, s->r->objects.v[i].like));
    for (size_t i = 0; i < s->r->tasks.n; i++) {
        const struct hr_task *t = &s->r->tasks.v[i];
        const char *task = hr_strs_get(s->in.image->strs, t->name);
        hr_str name;
        HR_TRY(hr_strs_addf(s->in.image->strs, &name, "control block of task %s", task));
        HR_TRY(name_block(s, t->tcb_block, name, s->r->tcb_type));
        HR_TRY(hr_strs_addf(s->in.image->strs, &name, "stack of task %s", task));
        HR_TRY(name_block(s, t->stack_block, name, 0));
    }
    return HR_OK;
}

static bool rtos_claims(void *self, hr_id node)
{
    struct self *s = self;
    return hr_map_get(&s->stack, node) != HR_NONE;
}

static void rtos_edges(void *self, hr_id node, struct hr_edgebuf *out)
{
    (void)self;
    (void)node;
    (void)out;
}

#define KERNEL(id_, name_)                                                                                                          \
    static enum hr_status open_##id_(struct hr_runtime_in *in, void **self, char *v, size_t vcap, char *e, size_t ecap)             \
    {                                                                                                                               \
        return hr_rtos_open(name_, in, self, v, vcap, e, ecap);                                                                     \
    }                                                                                                                               \
    const struct hr_runtime hr_runtime_##id_ = {.name = name_, .open = open_##id_, .roots = rtos_roots, .classify = rtos_classify,  \
                                                .claims = rtos_claims, .edges = rtos_edges, .close = rtos_close}
KERNEL(freertos, "FreeRTOS");
KERNEL(zephyr, "Zephyr");
KERNEL(threadx, "ThreadX");
