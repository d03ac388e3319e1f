/* Between uop.c and the machines' own files: one capstone instruction in, operations out. */
#ifndef HR_TYPES_UOP_DECODE_H
#define HR_TYPES_UOP_DECODE_H

#include <capstone/capstone.h>

#include "analyzer/types/uop.h"

enum { EM_X86_64 = 62 };

struct hr_uop_sink {
    csh cs;
    struct hr_uopvec out;
    const cs_insn *insn;
    void (*lower)(struct hr_uop_sink *s, const cs_insn *i);
    bool full;
    bool failed; /* by lower: what was put for this instruction is taken back */
};

void hr_uop_put(struct hr_uop_sink *s, struct hr_uop u);
/* Puts nothing when the instruction has no form here. */
void hr_uop_x86(struct hr_uop_sink *s, const cs_insn *i);

#endif
