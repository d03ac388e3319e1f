/* The machine of run.c: its state, and what its files share. Inside the types room. */
#ifndef HR_TYPES_RUN_STATE_H
#define HR_TYPES_RUN_STATE_H

#include "analyzer/base/map.h"
#include "analyzer/types/run.h"
#include "analyzer/types/uop.h"

enum {
    MAX_IMAGINED = 512,     /* structures */
    TURNS = 6,              /* of a loop that is imagined */
    BRANCHES = 4096,
    STACK_BYTES = 16 << 10, /* of one run: traverse functions use a few hundred bytes, those of dicts in dicts a few thousand */
    MAX_WRITES = 64,        /* words written outside the stack: kept aside */
    MAX_IMPORTS = 1 << 20,
    NOT_LAZY = 16,          /* indirect jumps known not to go to the dynamic linker */
};
/* Addresses that no process has (not canonical on either machine): our stack, the callback, the place to return to. */
#define STACK_LO 0x00e1000000000000ull
#define SP_START (STACK_LO + STACK_BYTES - 512)
#define VISITOR 0x00e2000000000000ull
#define HOME 0x00e3000000000000ull
#define ARGUMENT 0x00e4000000000000ull
#define IMAGINED 0x00e5000000000000ull
#define IMAGINED_EACH (1ull << 24) /* of one structure; its address is in the middle */

enum flags_of { FL_NONE, FL_SUB, FL_ADD, FL_LOGIC, FL_RESULT /* zero and sign only */, FL_BIT, FL_LITERAL };

struct hr_run {
    const struct hr_image *img;
    struct hr_types *types;
    struct hr_uops *code;
    const struct hr_run_calls *calls;
    bool x86;
    uint8_t arg0, sp;
    uint64_t self;
    enum hr_run_end end;
    uint64_t stopped;
    const struct hr_segment *seg[2]; /* read last */
    /* flags of the operation done last */
    uint8_t fl_of, fl_size, fl_literal;
    bool fl_no_carry;
    uint64_t fl_a, fl_b, fl_r;
    uint64_t v[R_COUNT], from[R_COUNT];
    uint64_t stack_used;             /* lowest address written in this run */
    uint64_t stack[STACK_BYTES / 8], stack_from[STACK_BYTES / 8];
    struct { uint64_t addr, word; } write[MAX_WRITES];
    unsigned nwrites;
    uint64_t not_lazy[NOT_LAZY];     /* from ^ to */
    struct hr_map import;            /* slot -> enum hr_import */
    uint32_t searches;
    struct { uint32_t in; int64_t off; } imagined[MAX_IMAGINED]; /* the n-th structure is what the word there leads to */
    uint32_t nimagined;              /* 0: nothing is */
    uint64_t type_off, type, size_off;
    uint8_t turns[BRANCHES];
};


static inline bool hr_run_stop(struct hr_run *r, enum hr_run_end why)
{
    r->end = why;
    return false;
}
/* A mask of so many bytes. */
static inline uint64_t hr_run_ones(unsigned size) { return size >= 8 ? UINT64_MAX : (1ull << 8 * size) - 1; }
static inline bool hr_run_on_stack(uint64_t addr) { return addr - STACK_LO < STACK_BYTES; }

/* ---- run_data.c ---- All return false when the run has to end; r->end says why. */
bool hr_run_load(struct hr_run *r, unsigned size, uint64_t addr, uint64_t pointer_from, uint64_t *ret, uint64_t *from_ret);
static inline uint64_t hr_run_imagined(uint32_t n) { return IMAGINED + n * IMAGINED_EACH + IMAGINED_EACH / 2; }
bool hr_run_store(struct hr_run *r, uint64_t addr, unsigned size, uint64_t v, uint64_t from);
void hr_run_set(struct hr_run *r, uint8_t d, unsigned size, uint64_t v, uint64_t from);
/* Does the condition hold? 1, 0, or -1: not known. */
int hr_run_holds(const struct hr_run *r, uint8_t cc);
/* Any operation but those of flow. */
bool hr_run_data(struct hr_run *r, const struct hr_uop *u);

/* ---- run_import.c ---- */
/* Which function of another module is jumped to by way of the slot that the address was loaded from: HR_IMPORT_OTHER is to be run. */
uint8_t hr_run_import_at(struct hr_run *r, uint64_t slot);
/* Does what the function does. */
bool hr_run_import(struct hr_run *r, uint8_t which);
/* A thread's own variable at `at`; zero: in every thread, so it is what the caller says. */
uint64_t hr_run_own(struct hr_run *r, uint64_t at, bool zero);

#endif
