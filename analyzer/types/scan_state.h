/* Inside scan*.c: what is known of each register, and what instructions do to it. */
#ifndef HR_TYPES_SCAN_STATE_H
#define HR_TYPES_SCAN_STATE_H

#include "analyzer/types/scan.h"

enum { HR_SCAN_NREG = 33, HR_SCAN_NONE = 32 /* register without facts */ };

struct hr_scan_reg {
    uint64_t val, load; /* load: the first address that was read through it since it was set */
    bool known, loaded, part; /* part: the upper bits of an address (RISC-V) */
};

struct hr_scanner {
    const struct hr_image *img;
    const struct hr_scan *to;
    unsigned word, machine;
    bool thumb;
    unsigned conditional; /* Thumb: instructions that may belong to the last IT */
    uint64_t gp;        /* RISC-V: what the linker made short addresses relative to, 0 unknown */
    uint64_t literal_at, literal_end; /* ARM: constants behind the code, found so far in one run */
    uint64_t last_ref;
    struct hr_scan_reg r[HR_SCAN_NREG];
    uint64_t join;      /* where a jump forward leads, and what was known at it; 0 none */
    struct hr_scan_reg joined[HR_SCAN_NREG];
};

void hr_scan_learn(struct hr_scanner *s, unsigned reg, uint64_t v);
void hr_scan_forget(struct hr_scanner *s, unsigned reg);
void hr_scan_forget_all(struct hr_scanner *s);
static inline bool hr_scan_knows(const struct hr_scanner *s, unsigned reg) { return reg < HR_SCAN_NONE && s->r[reg].known; }
bool hr_scan_is_data(const struct hr_scanner *s, uint64_t addr);
/* A constant was made that may be an address. */
void hr_scan_ref(struct hr_scanner *s, uint64_t at, uint64_t addr);
/* reg += by: a pointer that goes on keeps what it was first used for. */
void hr_scan_advance(struct hr_scanner *s, unsigned reg, uint64_t by);
/* A word is read at reg + off. */
void hr_scan_load(struct hr_scanner *s, unsigned reg, uint64_t off);
/* Two registers are compared: is one of them a pointer on its way to the other? */
void hr_scan_compare(struct hr_scanner *s, uint64_t at, unsigned a, unsigned b);
/* A register is compared with a number: does it count the turns of a loop that reads through a pointer? */
void hr_scan_count(struct hr_scanner *s, uint64_t at, unsigned reg, uint64_t number);
/* A jump that is always taken: loops are entered at their test, or in their middle. */
void hr_scan_jump(struct hr_scanner *s, uint64_t at, uint64_t to);
/* A call, or a jump that may be one: its first two arguments. */
void hr_scan_call(struct hr_scanner *s, uint64_t at, unsigned arg0, unsigned arg1);

/* Each handles the instruction at `at` and returns its length, 0: not understood. */
typedef struct hr_scan_cs hr_scan_cs;
enum hr_status hr_scan_cs_open(const struct hr_scanner *s, hr_scan_cs **ret) HR_MUST;
void hr_scan_cs_close(hr_scan_cs *c);
size_t hr_scan_cs_one(struct hr_scanner *s, hr_scan_cs *c, uint64_t at, struct hr_span code);
size_t hr_scan_riscv_one(struct hr_scanner *s, uint64_t at, struct hr_span code);
uint64_t hr_scan_riscv_gp(const struct hr_scanner *s, uint64_t at, struct hr_span code);
size_t hr_scan_xtensa_one(struct hr_scanner *s, uint64_t at, struct hr_span code);

#endif
