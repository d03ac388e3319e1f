/* The native runtime's own header: C and C++. Roots from memory and threads, edges from words, types spread along pointers.
 * Private to analyzer/runtimes/native*.c; what others may call is hr_native_* in native_api.h. */
#ifndef HR_RUNTIMES_NATIVE_H
#define HR_RUNTIMES_NATIVE_H

#include "analyzer/runtimes/native_api.h"
#include "analyzer/runtimes/runtime.h"

/* A run of root memory while roots are collected; [lo, hi). SKIP carves memory out without making a root. */
enum { HR_ITEM_SKIP = 0xff };
struct hr_item {
    uint64_t lo, hi;
    hr_type type;
    hr_str name;
    uint32_t module, thread, frame;
    uint8_t kind, surety;
};
HR_VEC(hr_itemvec, struct hr_item)

/* How a thread finds its dynamic thread vector, per architecture. */
struct hr_tls_thread {
    uint32_t thread;
    uint64_t dtv;          /* address of dtv[0] (the generation), 0 unknown */
    uint64_t nslots;
};
HR_VEC(hr_tlsvec, struct hr_tls_thread)

struct hr_layouts;
struct hr_native {
    struct hr_runtime_in in;
    const struct hr_image *img;
    struct hr_heap *heap;
    struct hr_types *types;
    uint32_t *modid_module; /* TLS module number -> module index (HR_NONE none) */
    uint32_t nmodid;
    struct hr_layouts *layouts; /* compiled layouts of types, made on first use */
    struct hr_spread *spread;   /* while and after classify */
};

/* native_roots.c */
enum hr_status hr_native_roots(struct hr_native *n) HR_MUST;
enum hr_status hr_native_add_root(struct hr_native *n, const struct hr_root *r) HR_MUST;
/* native_bare.c: narrows [*lo, *hi) around sp to the stack of a machine without processes; says what its image lacks. */
void hr_native_bare_stack(struct hr_native *n, uint64_t sp, uint64_t *lo, uint64_t *hi);
void hr_native_bare_notes(struct hr_native *n);
/* native_other.c: is the given program another build than the one that ran? Says so, and then no leak is certain. */
void hr_native_doubt_program(struct hr_native *n);
/* native_items.c: sorts by lo and makes disjoint (the first, longer, typed one wins). */
enum hr_status hr_items_tidy(struct hr_itemvec *v) HR_MUST;
/* Lays `top` over `*base` (both tidy). clip: parts of top where base has nothing, or SKIP, are left out. */
enum hr_status hr_items_overlay(struct hr_itemvec *base, const struct hr_itemvec *top, bool clip) HR_MUST;
/* native_tls.c: variables of every thread's TLS blocks, and handles to TLS blocks in the heap. */
enum hr_status hr_native_tls(struct hr_native *n, struct hr_itemvec *ranges, struct hr_itemvec *vars) HR_MUST;
/* native_words.c */
const char *hr_native_reg_name(const struct hr_arch *arch, unsigned reg, char *buf, size_t cap);

/* Bytes from `addr` (absent) to the next word that may be present; a multiple of `word`. */
uint64_t hr_native_gap(const struct hr_image *img, uint64_t addr, uint64_t word);

/* native_spread.c */
enum hr_status hr_native_classify(struct hr_native *n) HR_MUST;

/* native_edges.c */
void hr_native_edges(struct hr_native *n, hr_id node, struct hr_edgebuf *out);

#endif
