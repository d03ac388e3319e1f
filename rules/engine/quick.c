/* Most rows fail their rule's condition at the first column. Where the whole condition is one column compared with what no row
 * changes, a plain loop finds the rows worth a run of the program. */
#include "rules/engine/internal.h"

/* Operations whose result is the same for each row when their operands are. */
static bool row_free(const struct insn *in)
{
    switch (in->op) {
    case OP_CONST: case OP_GLOBAL: case OP_NEG: case OP_ARITH: case OP_CALL: return true;
    default: return false;
    }
}

static struct quick from_compare(const struct vm *m, const struct prog *p)
{
    const struct insn *in = p->code.v;
    size_t n = p->code.n, i = 1;
    struct quick none = {0};
    while (i + 2 < n && row_free(&in[i]) && in[i].dst != in[0].dst)
        i++;
    const struct insn *cmp = &in[i];
    if (i + 2 != n || cmp->op != OP_CMP || cmp->a != in[0].dst || cmp->b == cmp->dst || in[i + 1].op != OP_RET || in[i + 1].a != cmp->dst)
        return none;
    const struct hr_value *bound = &m->regs[cmp->b]; /* of the row that was run */
    const struct hr_attr *a = p->sites.v[in[0].k].attr;
    if (bound->kind != HR_V_NUM || a->kind != HR_V_NUM || !a->col)
        return none;
    return (struct quick){.attr = a, .cmp = cmp->x, .bound = *bound};
}

struct quick hr_quick(const struct vm *m, const struct prog *p)
{
    const struct insn *in = p->code.v;
    if (p->code.n >= 3 && in[0].op == OP_COL && in[0].a == 0)
        return from_compare(m, p);
    if (p->code.n == 2 && in[0].op == OP_COLMASK && in[0].a == 0 && in[1].op == OP_RET && in[1].a == in[0].dst && p->sites.v[in[0].k].attr->width == 1)
        return (struct quick){.attr = p->sites.v[in[0].k].attr, .masked = true, .mask = (uint64_t)p->consts.v[in[0].k2].i};
    return (struct quick){0};
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
    return q->masked ? next_in_mask(q, row, n) : next_compared(q, row, n);
}
