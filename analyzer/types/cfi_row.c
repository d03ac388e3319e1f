/* Running the DW_CFA instructions of an FDE up to a pc. DWARF 5 section 6.4.2, and the GNU and AArch64 additions. */
#include "analyzer/types/cfi.h"

enum {
    CFA_NOP = 0x00, CFA_SET_LOC = 0x01, CFA_ADVANCE1 = 0x02, CFA_ADVANCE2 = 0x03, CFA_ADVANCE4 = 0x04,
    CFA_OFFSET_EXT = 0x05, CFA_RESTORE_EXT = 0x06, CFA_UNDEFINED = 0x07, CFA_SAME = 0x08, CFA_REGISTER = 0x09,
    CFA_REMEMBER = 0x0a, CFA_RESTORE_STATE = 0x0b, CFA_DEF_CFA = 0x0c, CFA_DEF_REG = 0x0d, CFA_DEF_OFF = 0x0e,
    CFA_DEF_EXPR = 0x0f, CFA_EXPR = 0x10, CFA_OFFSET_EXT_SF = 0x11, CFA_DEF_CFA_SF = 0x12, CFA_DEF_OFF_SF = 0x13,
    CFA_VAL_OFFSET = 0x14, CFA_VAL_OFFSET_SF = 0x15, CFA_VAL_EXPR = 0x16, CFA_MIPS_ADVANCE8 = 0x1d,
    CFA_AARCH64_NEGATE_PC = 0x2c, CFA_NEGATE_RA = 0x2d, CFA_ARGS_SIZE = 0x2e, CFA_NEG_OFFSET_EXT = 0x2f,
    CFA_ADVANCE = 0x40, CFA_OFFSET = 0x80, CFA_RESTORE = 0xc0, /* high two bits */
    MAX_REMEMBERED = 16, /* compilers nest one or two deep */
};

struct machine {
    const struct hr_cfi_table *t;
    const struct hr_cfi_fde *fde;
    struct hr_cursor c;
    uint64_t loc, pc;
    const struct hr_cfi_row *initial; /* what restore goes back to; NULL while running the CIE */
    struct hr_cfi_row *row;
    struct hr_cfi_row saved[MAX_REMEMBERED];
    unsigned nsaved;
    struct hr_cfi_rule nowhere; /* for registers we do not keep (vectors): written, never read */
    bool done;
};

static struct hr_cfi_rule *rule_of(struct machine *m, uint64_t column)
{
    uint32_t r = hr_cfi_column(m->t->arch, column);
    return r == HR_NONE ? &m->nowhere : &m->row->reg[r];
}

static void set(struct machine *m, uint64_t column, uint8_t kind, int64_t off)
{
    *rule_of(m, column) = (struct hr_cfi_rule){.kind = kind, .off = off};
}

static int64_t scaled(struct machine *m, int64_t n)
{
    return (int64_t)((uint64_t)n * (uint64_t)m->fde->cie.data_align);
}

static void set_expr(struct machine *m, struct hr_cfi_rule *r, uint8_t kind)
{
    struct hr_span e = hr_cur_bytes(&m->c, hr_cur_uleb(&m->c));
    *r = (struct hr_cfi_rule){.kind = kind, .expr = e};
}

static void def_cfa(struct machine *m, uint64_t column, int64_t off)
{
    uint32_t r = hr_cfi_column(m->t->arch, column);
    m->row->cfa = (struct hr_cfi_rule){.kind = r == HR_NONE ? HR_CFI_UNDEF : HR_CFI_REG, .reg = r, .off = off};
}

static void restore(struct machine *m, uint64_t column)
{
    uint32_t r = hr_cfi_column(m->t->arch, column);
    if (r == HR_NONE)
        return;
    m->row->reg[r] = m->initial ? m->initial->reg[r] : (struct hr_cfi_rule){0};
}

static void advance(struct machine *m, uint64_t delta)
{
    uint64_t to = m->loc + delta * m->fde->cie.code_align;
    if (to > m->pc || to < m->loc)
        m->done = true;
    else
        m->loc = to;
}

static void remember(struct machine *m, bool back)
{
    if (!back && m->nsaved < MAX_REMEMBERED) {
        m->saved[m->nsaved++] = *m->row;
    } else if (back && m->nsaved) {
        *m->row = m->saved[--m->nsaved];
    } else {
        m->c.bad = true;
    }
}

static void step_location(struct machine *m, uint8_t op)
{
    struct hr_cursor *c = &m->c;
    if (op == CFA_SET_LOC) {
        uint64_t at = m->t->addr + (uint64_t)(c->p - m->t->bytes.p);
        m->loc = hr_cfi_pointer(m->t, c, m->fde->cie.fde_enc, at);
        m->done = m->loc > m->pc;
    } else {
        advance(m, hr_cur_uint(c, op == CFA_ADVANCE1 ? 1 : op == CFA_ADVANCE2 ? 2 : op == CFA_ADVANCE4 ? 4 : 8));
    }
}

static void step_cfa(struct machine *m, uint8_t op)
{
    struct hr_cursor *c = &m->c;
    uint64_t r = op == CFA_DEF_CFA || op == CFA_DEF_REG || op == CFA_DEF_CFA_SF ? hr_cur_uleb(c) : 0;
    switch (op) {
    case CFA_DEF_CFA: def_cfa(m, r, (int64_t)hr_cur_uleb(c)); break;
    case CFA_DEF_CFA_SF: def_cfa(m, r, scaled(m, hr_cur_sleb(c))); break;
    case CFA_DEF_REG: def_cfa(m, r, m->row->cfa.off); break;
    case CFA_DEF_OFF: m->row->cfa.off = (int64_t)hr_cur_uleb(c); break;
    case CFA_DEF_OFF_SF: m->row->cfa.off = scaled(m, hr_cur_sleb(c)); break;
    default: set_expr(m, &m->row->cfa, HR_CFI_VAL_EXPR); break;
    }
}

static void step_register(struct machine *m, uint8_t op)
{
    struct hr_cursor *c = &m->c;
    uint64_t r = hr_cur_uleb(c);
    switch (op) {
    case CFA_OFFSET_EXT: set(m, r, HR_CFI_OFFSET, scaled(m, (int64_t)hr_cur_uleb(c))); break;
    case CFA_OFFSET_EXT_SF: set(m, r, HR_CFI_OFFSET, scaled(m, hr_cur_sleb(c))); break;
    case CFA_NEG_OFFSET_EXT: set(m, r, HR_CFI_OFFSET, scaled(m, (int64_t)(0 - hr_cur_uleb(c)))); break;
    case CFA_VAL_OFFSET: set(m, r, HR_CFI_VAL_OFFSET, scaled(m, (int64_t)hr_cur_uleb(c))); break;
    case CFA_VAL_OFFSET_SF: set(m, r, HR_CFI_VAL_OFFSET, scaled(m, hr_cur_sleb(c))); break;
    case CFA_RESTORE_EXT: restore(m, r); break;
    case CFA_UNDEFINED: set(m, r, HR_CFI_UNDEF, 0); break;
    case CFA_SAME: set(m, r, HR_CFI_SAME, 0); break;
    case CFA_REGISTER: {
        uint32_t from = hr_cfi_column(m->t->arch, hr_cur_uleb(c));
        *rule_of(m, r) = (struct hr_cfi_rule){.kind = from == HR_NONE ? HR_CFI_UNDEF : HR_CFI_REG, .reg = from};
        break;
    }
    case CFA_EXPR: set_expr(m, rule_of(m, r), HR_CFI_EXPR); break;
    default: set_expr(m, rule_of(m, r), HR_CFI_VAL_EXPR); break;
    }
}

static void step_extended(struct machine *m, uint8_t op)
{
    switch (op) {
    case CFA_NOP: break;
    case CFA_SET_LOC:
    case CFA_ADVANCE1:
    case CFA_ADVANCE2:
    case CFA_ADVANCE4:
    case CFA_MIPS_ADVANCE8: step_location(m, op); break;
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_REG:
    case CFA_DEF_OFF:
    case CFA_DEF_OFF_SF:
    case CFA_DEF_EXPR: step_cfa(m, op); break;
    case CFA_REMEMBER: remember(m, false); break;
    case CFA_RESTORE_STATE: remember(m, true); break;
    case CFA_ARGS_SIZE: hr_cur_uleb(&m->c); break; /* matters to exception landing pads only */
    case CFA_AARCH64_NEGATE_PC:
    case CFA_NEGATE_RA: m->row->ra_signed = !m->row->ra_signed; break; /* (SPARC's window save: not an arch of ours) */
    case CFA_OFFSET_EXT:
    case CFA_OFFSET_EXT_SF:
    case CFA_NEG_OFFSET_EXT:
    case CFA_VAL_OFFSET:
    case CFA_VAL_OFFSET_SF:
    case CFA_RESTORE_EXT:
    case CFA_UNDEFINED:
    case CFA_SAME:
    case CFA_REGISTER:
    case CFA_EXPR:
    case CFA_VAL_EXPR: step_register(m, op); break;
    default: m->c.bad = true; break;
    }
}

/* Every instruction takes at least one byte, so the loop ends with the span. */
static bool run(struct machine *m, struct hr_span insns)
{
    m->c = hr_cursor(insns, m->t->big, m->fde->cie.addr_size);
    m->done = false;
    while (!m->done && !m->c.bad && hr_cur_left(&m->c)) {
        uint8_t b = hr_cur_u8(&m->c), low = b & 0x3f;
        switch (b & 0xc0) {
        case CFA_ADVANCE: advance(m, low); break;
        case CFA_OFFSET: set(m, low, HR_CFI_OFFSET, scaled(m, (int64_t)hr_cur_uleb(&m->c))); break;
        case CFA_RESTORE: restore(m, low); break;
        default: step_extended(m, b); break;
        }
    }
    return !m->c.bad;
}

enum hr_status hr_cfi_row(const struct hr_cfi_table *t, const struct hr_cfi_fde *fde, uint64_t pc, struct hr_cfi_row *ret)
{
    struct machine m; /* 20 KiB, and not worth clearing */
    struct hr_cfi_row initial;
    m.t = t;
    m.fde = fde;
    m.loc = fde->lo;
    m.pc = pc;
    m.nsaved = 0;
    m.initial = NULL;
    m.row = ret;
    *ret = (struct hr_cfi_row){.ra = hr_cfi_column(t->arch, fde->cie.ra), .signal = fde->cie.signal};
    if (!run(&m, fde->cie.insns))
        return HR_CORRUPT;
    initial = *ret;
    m.initial = &initial;
    m.nsaved = 0;
    return run(&m, fde->insns) ? HR_OK : HR_CORRUPT;
}
