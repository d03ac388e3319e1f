/* Runtimes: who says what lies inside blocks. native.c is the one for C and C++ (DWARF types, conservative words); managed
 * ones (CPython, MicroPython) take the blocks they know and leave the rest to native.
 *
 * To add one: analyzer/runtimes/NAME.c (or a folder) with `const struct hr_runtime hr_runtime_NAME`, and HR_RUNTIME(NAME)
 * in runtimes.def; managed ones before native. */
#ifndef HR_RUNTIMES_RUNTIME_H
#define HR_RUNTIMES_RUNTIME_H

#include "analyzer/heap/heap.h"

struct hr_edge {
    hr_id to;
    uint32_t off;      /* offset of the word within the source node (bytes, UINT32_MAX if beyond) */
    uint8_t surety;    /* enum hr_surety: EXACT typed pointer, CONSERVATIVE word, INTERIOR into/tagged/past the end */
};
/* Where a node's edges are collected. `v` has `cap` places; a full buffer is handed to `flush` (never NULL) and emptied. */
struct hr_edgebuf {
    struct hr_edge v[512];
    uint32_t n;
    bool stop;         /* set by flush: no more edges wanted from this node */
    void (*flush)(struct hr_edgebuf *b, void *ctx);
    void *ctx;
};
static inline void hr_edge_push(struct hr_edgebuf *b, hr_id to, uint32_t off, uint8_t surety)
{
    if (b->n == sizeof b->v / sizeof *b->v)
        b->flush(b, b->ctx);
    b->v[b->n++] = (struct hr_edge){to, off, surety};
}

typedef void hr_link_fn(void *ctx, hr_id to, uint8_t surety);

struct hr_runtime_in {
    struct hr_image *image;
    struct hr_types *types;
    struct hr_heap *heap;
    struct hr_rtos *rtos;              /* a real-time kernel's tasks (rtos/rtos.h), NULL: none */
    struct hr_stacks *stacks;          /* NULL: no unwinding was wanted or possible */
    const struct hr_dwarf_options *dwarf;
    const char *const *assume;         /* "ADDR=TYPE", n_assume of them */
    size_t n_assume;
    struct hr_notes *notes;
};

struct hr_runtime {
    const char *name;
    /* HR_ABSENT when not in the image. Fills version/evidence phrases. */
    enum hr_status (*open)(struct hr_runtime_in *in, void **self_ret, char *version, size_t vcap, char *evidence, size_t ecap);
    /* Adds its roots (hr_roots_*). Called once, before any edge is asked for; root order = id order. */
    enum hr_status (*roots)(void *self);
    /* Types blocks (heap->type, evidence, owner). Needs types; may be expensive; only called when asked for. */
    enum hr_status (*classify)(void *self);
    /* Does this runtime speak for the node (its references are exact and complete)? NULL: for none. */
    bool (*claims)(void *self, hr_id node);
    /* Pushes all references out of a node it claims. Must give the same edges each time. */
    void (*edges)(void *self, hr_id node, struct hr_edgebuf *out);
    /* Optional: the same edges without their places, where the runtime keeps them; for passes over the whole heap. May leave out
     * repeated ones. False: it does not keep them. */
    bool (*links)(void *self, hr_id node, hr_link_fn *emit, void *ctx);
    /* Optional: the program's own word for the place `off` bytes into a node it claims ("['key']", ".name", "[3]"); false: none. */
    bool (*field)(void *self, hr_id node, uint32_t off, char *buf, size_t cap);
    /* Optional, asked first: how the language spells the reference from one node to another, where it is kept in a part of its own (the
     * table of a dict) and not at a place in the node; false: it has no word for it. */
    bool (*spell)(void *self, hr_id from, hr_id to, char *buf, size_t cap);
    void (*close)(void *self);
};

#define HR_RUNTIME(name_) extern const struct hr_runtime hr_runtime_##name_;
#include "analyzer/runtimes/runtimes.def"
#undef HR_RUNTIME

/* The opened runtimes of one image. */
struct hr_runtimes;
struct hr_runtime_info { const char *name; char version[64]; char evidence[200]; };
enum hr_status hr_runtimes_open(struct hr_runtime_in *in, struct hr_runtimes **ret) HR_MUST;
void hr_runtimes_close(struct hr_runtimes *r);
size_t hr_runtimes_list(const struct hr_runtimes *r, const struct hr_runtime_info **ret);
void *hr_runtimes_self(const struct hr_runtimes *r, const char *name); /* NULL when not opened */
/* Is there a managed runtime (one that claims nodes)? Does one claim this node? */
bool hr_runtimes_managed(const struct hr_runtimes *r);
bool hr_runtimes_claims(const struct hr_runtimes *r, hr_id node);
/* What the runtime that claims the node calls the place `off` bytes into it; false: nobody has a word for it. */
bool hr_runtimes_field(const struct hr_runtimes *r, hr_id node, uint32_t off, char *buf, size_t cap);
/* Classify with every runtime (managed first, native last); idempotent. */
enum hr_status hr_runtimes_classify(struct hr_runtimes *r) HR_MUST;
/* All references out of a node: from the runtime that claims it, else native's (typed where typed, conservative words
 * elsewhere). Flushes into out at the end. */
void hr_runtimes_edges(struct hr_runtimes *r, hr_id node, struct hr_edgebuf *out);
/* The same without places, and quicker where a runtime keeps them. */
void hr_runtimes_links(struct hr_runtimes *r, hr_id node, hr_link_fn *emit, void *ctx);
/* The reference as the language of the node's runtime spells it; false: it does not. */
bool hr_runtimes_spell(struct hr_runtimes *r, hr_id from, hr_id to, char *buf, size_t cap);

#endif
