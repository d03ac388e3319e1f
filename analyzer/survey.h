/* The survey: what every byte of the image's memory is used for. Regions are disjoint and in address order; those that are
 * `captured` add up to the bytes the dump itself holds.
 *
 * On top of the session: reads image, symbols, heap and stacks; changes none of them. */
#ifndef HR_SURVEY_H
#define HR_SURVEY_H

#include "analyzer/session.h"

enum hr_survey_kind {
    HR_SV_STATIC,   /* variables: .data, .bss, by program headers or sections */
    HR_SV_HEAP,     /* an allocator's region or its tables */
    HR_SV_STACK,
    HR_SV_UNUSED,   /* one word over and over: never written since it was cleared or filled */
    HR_SV_OTHER,    /* written, and nothing in the image or the program says by whom */
    HR_SV_CODE,     /* read-only: flash, or code in RAM */
    HR_SV_FILE,     /* read from a mapped file, not from the dump */
    HR_SV_ABSENT,   /* not captured */
    HR_SV_KINDS
};
const char *hr_survey_kind_name(enum hr_survey_kind k);

struct hr_survey_region {
    uint64_t addr, size;
    uint64_t used;             /* heap: bytes in use; stack: ever used; HR_NONE64: unknown */
    uint64_t free;             /* heap: free bytes; else 0 */
    hr_str name;
    uint8_t kind;
    bool captured;             /* its bytes are in the dump */
    uint32_t region, stack;    /* heap region, row of `stacks`; HR_NONE */
};
HR_VEC(hr_survey_regionvec, struct hr_survey_region)

struct hr_survey_symbol {
    uint64_t addr, size;
    uint64_t own;              /* of size: bytes no symbol before it has */
    hr_str name, module, file; /* module: last part of file; file 0: unknown */
    hr_type type;
    uint8_t kind;              /* of the region it begins in */
};
HR_VEC(hr_survey_symbolvec, struct hr_survey_symbol)

struct hr_survey_module {
    hr_str name;               /* 0: bytes that no symbol or no source file explains */
    uint64_t symbols;
    uint64_t bytes;            /* own bytes of its symbols: stat + heap + stack + other */
    uint64_t stat, heap, stack, other; /* by the kind of region they lie in */
};
HR_VEC(hr_survey_modulevec, struct hr_survey_module)

enum hr_fill { HR_FILL_NONE, HR_FILL_PATTERN, HR_FILL_ZERO };
struct hr_survey_stack {
    uint64_t lo, hi, sp;       /* sp 0: not known */
    uint64_t unused;           /* never written, from lo on; HR_NONE64: not known */
    uint64_t fill;             /* the word it was filled with */
    uint8_t how;               /* enum hr_fill */
    bool limit;                /* lo is a border of its own, not just where the next thing ends */
    bool overflow;             /* something was written over its end */
    uint32_t thread;           /* of the image */
    hr_id block;               /* it lies in this block of the heap; HR_NONE */
    hr_str name;
};
HR_VEC(hr_survey_stackvec, struct hr_survey_stack)

struct hr_survey {
    struct hr_session *s;
    struct hr_survey_regionvec regions;
    struct hr_survey_symbolvec symbols; /* variables in writable memory, by address, aliases left out */
    struct hr_survey_modulevec modules; /* by bytes; the row without a name is what is left of the static regions */
    struct hr_survey_stackvec stacks;
    uint64_t kind_bytes[HR_SV_KINDS];
    uint64_t captured, absent;
};

/* Needs the roots (stacks have their borders then). */
enum hr_status hr_survey_create(struct hr_session *s, struct hr_survey **ret) HR_MUST;
void hr_survey_destroy(struct hr_survey *v);

/* ---- between survey*.c ---- */
enum hr_status hr_survey_stacks(struct hr_survey *v) HR_MUST;
enum hr_status hr_survey_symbols(struct hr_survey *v) HR_MUST;
/* Lays rows (any order; overlaps: the first wins) over the regions whose kind is in the mask of 1 << kind. */
enum hr_status hr_survey_lay(struct hr_survey *v, struct hr_survey_regionvec *top, uint32_t over) HR_MUST;

#endif
