/* Most rows fail their rule's condition at the first column. Where the condition, or the first of those that all have to hold, is one
 * column compared with what no row changes, a plain loop finds the rows worth a run of the program. */
#include <string.h>

#include "rules/engine/internal.h"

enum { MAX_LEAD = 32 }; /* instructions of the first condition */

/* Operations whose result is the same for each row when their operands are. */
static bool row_free(const struct insn *in)
{
    switch (in->op) {
    case OP_CONST: case OP_GLOBAL: case OP_NEG: case OP_ARITH: case OP_CALL: return true;
    default: return false;
    }
}

/* Is the whole condition false when register dst is, at instruction i? True at its end, and where jumps lead there. */
static bool decides(const struct prog *p, size_t i, uint16_t dst)
{
    while (i < p->code.n && p->code.v[i].op == OP_JF && p->code.v[i].a == dst && p->code.v[i].k > i)
        i = p->code.v[i].k;
    return i < p->code.n && p->code.v[i].op == OP_RET && p->code.v[i].a == dst;
}

/* Runs the code before `end` on a row, so that the registers hold what it computed. */
static void run_lead(struct vm *m, const struct prog *p, size_t end, const struct hr_table *t, uint64_t row)
{
    struct insn code[MAX_LEAD + 1];
    struct prog lead = *p;
    memcpy(code, p->code.v, end * sizeof *code);
    code[end] = (struct insn){.op = OP_RET, .a = p->code.v[end].a};
    lead.code.v = code;
    lead.code.n = end + 1;
    hr_vm_run(m, &lead, t, row);
}

static struct quick from_compare(struct vm *m, const struct prog *p, const struct hr_table *t, uint64_t row)
{
    const struct insn *in = p->code.v;
    struct quick none = {0};
    size_t i = 1;
    while (i + 1 < p->code.n && i < MAX_LEAD - 1 && row_free(&in[i]) && in[i].dst != in[0].dst)
        i++;
    const struct insn *cmp = &in[i];
    if (i + 1 >= p->code.n || cmp->op != OP_CMP || cmp->a != in[0].dst || cmp->b == cmp->dst || !decides(p, i + 1, cmp->dst))
        return none;
    run_lead(m, p, i + 1, t, row);
    const struct hr_value *bound = &m->regs[cmp->b];
    const struct hr_attr *a = p->sites.v[in[0].k].attr;
    if (bound->kind != HR_V_NUM || a->kind != HR_V_NUM || !a->col)
        return none;
    return (struct quick){.attr = a, .cmp = cmp->x, .bound = *bound};
}

/* What holds for no row, because of what no row changes. */
static bool never(struct vm *m, const struct prog *p, const struct hr_table *t, uint64_t row)
{
    const struct insn *in = p->code.v;
    size_t i = 0;
    while (i + 1 < p->code.n && i < MAX_LEAD && row_free(&in[i]))
        i++;
    if (!i || !decides(p, i, in[i - 1].dst))
        return false;
    run_lead(m, p, i, t, row);
    return m->regs[in[i].a].kind == HR_V_BOOL && !m->regs[in[i].a].b;
}

struct quick hr_quick(struct vm *m, const struct prog *p, const struct hr_table *t, uint64_t row)
{
    const struct insn *in = p->code.v;
    if (p->code.n >= 3 && in[0].op == OP_COL && in[0].a == 0)
        return from_compare(m, p, t, row);
    if (p->code.n >= 2 && in[0].op == OP_COLMASK && in[0].a == 0 && decides(p, 1, in[0].dst) && p->sites.v[in[0].k].attr->width == 1)
        return (struct quick){.attr = p->sites.v[in[0].k].attr, .masked = true, .mask = (uint64_t)p->consts.v[in[0].k2].i};
    return (struct quick){.never = never(m, p, t, row)};
}

static uint64_t next_in_mask(const struct quick *q, uint64_t row, uint64_t n)
{
    const uint8_t *col = q->attr->col;
    while (row < n && col[row] < q->attr->nnames && q->attr->names[col[row]] && col[row] < 64 && !(q->mask >> col[row] & 1))
        row++;
    return row;
}

static uint64_t next_compared(const struct quick *q, uint64_t row, uint64_t n)
{
    struct hr_value x = {.kind = HR_V_NUM}, v;
    for (; row < n; row++) {
        uint64_t u = hr_vm_load(q->attr, row);
        x.i = u > INT64_MAX ? INT64_MAX : (int64_t)u;
        hr_vm_compare_numbers(&v, q->cmp, &x, &q->bound);
        if (v.kind != HR_V_BOOL || v.b)
            break;
    }
    return row;
}

uint64_t hr_quick_next(const struct quick *q, uint64_t row, uint64_t n)
{
    if (q->never)
        return n;
    return q->masked ? next_in_mask(q, row, n) : next_compared(q, row, n);
}
