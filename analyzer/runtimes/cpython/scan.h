/* Inside the cpython runtime: one pass over every place that may refer to an object, counted or not. scan_objects.c has what the
 * interpreter's layouts say, scan_memory.c the words of everything else. */
#ifndef HR_RUNTIMES_CPYTHON_SCAN_H
#define HR_RUNTIMES_CPYTHON_SCAN_H

#include "analyzer/runtimes/cpython/audit.h"

/* index: of the object that is referred to, as in hr_py_audit. holder: address of the object that refers, or of the word. */
typedef void hr_py_found_fn(void *ctx, uint32_t index, enum hr_py_finder who, uint64_t holder);

struct hr_py_scan {
    struct hr_py *py;
    hr_py_found_fn *fn;
    void *ctx;
    enum hr_status st;
    const struct hr_map *numbers;  /* 2.7: addresses of ints and floats; NULL: there are none */
    /* the object at hand */
    const struct hr_py_type *t;
    uint64_t holder;
    uint32_t sure_from;            /* words at this offset and behind are slots of a Python class */
    enum hr_py_finder who;
    bool stale;                    /* what it holds may be left from an earlier use */
    /* known while the pass runs */
    uint64_t dealloc;              /* subtype_dealloc: what instances of Python classes have */
    struct hr_map keys;            /* shared keys tables already seen */
    struct hr_map gen_frames;      /* up to 3.10: frames that generators hold */
    struct hr_u64vec tops;         /* what the thread's registers and C stack hold, sorted: how far value stacks reach */
    struct hr_bits threads;        /* native threads whose stacks were read */
    uint64_t left;                 /* words of value stacks that may still be read */
    struct hr_u32vec slots_from;   /* per type index: sure_from, 0 not known yet */
    struct hr_rangevec quiet;      /* memory whose words count nothing; sorted, disjoint */
    struct hr_bits quiet_block;    /* the same, by block */
};
enum hr_status hr_py_scan(struct hr_py_scan *s) HR_MUST;
/* Is `into` where the characters begin of the str or bytes in a block? */
bool hr_py_text_begins(const struct hr_py *py, hr_id id, uint64_t into);
/* Calls fn if there is an object at `target`; false: there is none. */
bool hr_py_scan_give(const struct hr_py_scan *s, uint64_t target, enum hr_py_finder who, uint64_t holder);
uint32_t hr_py_scan_index(const struct hr_py *py, const struct hr_map *numbers, uint64_t addr);

uint64_t hr_py_subtype_dealloc(const struct hr_py *py);
/* scan_objects.c */
void hr_py_scan_objects(struct hr_py_scan *s);
void hr_py_scan_frames(struct hr_py_scan *s);
/* scan_tops.c */
enum hr_status hr_py_scan_tops(struct hr_py_scan *s, uint32_t native) HR_MUST;
/* End of what may be in use of a value stack [from, end). `instruction`: that the frame is at. `running`: it says so itself. */
uint64_t hr_py_scan_top(const struct hr_py_scan *s, uint64_t from, uint64_t end, uint64_t instruction, bool running);
/* scan_memory.c */
enum hr_status hr_py_scan_quiet(struct hr_py_scan *s) HR_MUST;
void hr_py_scan_memory(struct hr_py_scan *s);
void hr_py_scan_range(struct hr_py_scan *s, uint64_t lo, uint64_t hi, enum hr_py_finder who);
void hr_py_scan_plain(struct hr_py_scan *s, uint64_t lo, uint64_t hi, enum hr_py_finder who); /* quiet memory, too */
/* The numbers that 2.7 carves out of blocks of its own. index: address -> place in addr, plus `first`; the blocks' own addresses ->
 * HR_PY_NUMBER_BLOCK. */
enum { HR_PY_NUMBER_BLOCK = UINT32_MAX - 1 };
enum hr_status hr_py_find_numbers(struct hr_py *py, uint32_t first, struct hr_map *index, struct hr_u64vec *addr) HR_MUST;

#endif
