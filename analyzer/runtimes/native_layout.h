/* What a type says about the words of its instances, compiled once per type: which are pointers, to what, and which belong to
 * a C++ container whose elements are known. Native runtime only. */
#ifndef HR_RUNTIMES_NATIVE_LAYOUT_H
#define HR_RUNTIMES_NATIVE_LAYOUT_H

#include "analyzer/runtimes/native.h"

enum hr_lop {
    HR_LOP_PTR,      /* pointer to `type` */
    HR_LOP_ARR,      /* `count` elements of `type` (0: up to the end of the block) that hold pointers themselves */
    HR_LOP_VECTOR,   /* begin, end, end of storage; elements of `type` */
    HR_LOP_STRING,   /* pointer to characters of `type`; local buffer `aux` bytes behind it */
    HR_LOP_LIST,     /* ring head: next, prev; nodes of `type` */
    HR_LOP_TREE,     /* red-black header: parent (root), left, right; nodes of `type` */
    HR_LOP_HASH,     /* buckets, count, first node; nodes of `type` */
    HR_LOP_CHAIN,    /* first node of a null-terminated chain; nodes of `type` */
    HR_LOP_NODE,     /* pointer to another node of the same container: `type`, or null */
    HR_LOP_DEQUE,    /* map, map size, start iterator, finish iterator; elements of `type` */
    HR_LOP_MAYBE,    /* byte at `aux` from here not 0: a value of `type` lies here */
    HR_LOP_VARIANT,  /* `type` is the variant; its index lies `aux` bytes from here, the value here */
    HR_LOP_CALLABLE, /* std::function, std::any: manager function at `aux` from here, the storage here */
    HR_LOP_UNKNOWN,  /* a member whose type is only declared: anything may be here, up to the next operation */
    HR_LOP_VBASE,    /* virtual base number `count` of the object whose vptr lies here */
};
enum { HR_LOF_UNION = 1 /* inside a union: may be something else */ };

struct hr_layop {
    uint32_t off;
    uint8_t kind, flags;
    uint16_t pad;
    hr_type type;
    uint32_t count, stride;
    int32_t aux;
};
HR_VEC(hr_layopvec, struct hr_layop)

struct hr_layout {
    hr_type type;      /* stripped */
    uint32_t op0, nops; /* sorted by offset */
    uint64_t size;
    bool unaligned;    /* some pointer is not word-aligned (packed) */
};

enum hr_status hr_layouts_create(struct hr_native *n, struct hr_layouts **ret) HR_MUST;
void hr_layouts_destroy(struct hr_layouts *l);
/* The layout of a type, compiled on first use; NULL when it says nothing (no pointers, unknown). Valid until the next call. */
const struct hr_layout *hr_layout(struct hr_native *n, hr_type type);
const struct hr_layop *hr_layout_ops(const struct hr_native *n, const struct hr_layout *l);
/* Is the word at `off` of a block or variable of this type (arrays: of its elements) a typed pointer? MAYBE: in a union, a
 * variant, a member whose type is only declared. */
enum { HR_PTR_NO, HR_PTR_MAYBE, HR_PTR_TYPED };
int hr_layout_ptr(struct hr_native *n, hr_type type, uint64_t off);
/* Bytes before the first element of a block that is an array of `type` (C++ array cookie), else 0. */
uint64_t hr_layout_cookie(struct hr_native *n, hr_type type, uint64_t addr, uint64_t size);
/* Pushes the references of pointer fields that are not word-aligned. */
void hr_layout_unaligned(struct hr_native *n, hr_type type, uint64_t addr, uint64_t size, struct hr_edgebuf *out);
/* A scalar that text is made of; a base type, enum or pointer; a struct, class or union. */
bool hr_type_is_char(const struct hr_native *n, hr_type t);
bool hr_type_is_scalar(const struct hr_native *n, hr_type t);
bool hr_type_is_struct(const struct hr_native *n, hr_type t);

/* native_cxx.c: when `type` (a stripped struct) is a container it knows, its operations (offsets from the start of the
 * struct) are put into ops[cap]. *inline_ret: a type that lies inside it at *inline_off though no field says so, or 0.
 * Returns the number of operations, -1 when it is no container. */
int hr_cxx_container(struct hr_native *n, hr_type type, struct hr_layop *ops, int cap, hr_type *inline_ret,
                     uint32_t *inline_off);

#endif
