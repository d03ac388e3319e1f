/* Memory, registers, flags and arithmetic of the machine. */
#include <string.h>

#include "analyzer/types/imports.h"
#include "analyzer/types/run_state.h"

/* ---- memory ---- */


static bool read_image(struct hr_run *r, uint64_t addr, unsigned size, uint64_t *ret)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct hr_segment *s = r->seg[i];
        if (s && addr >= s->addr && addr - s->addr < s->bytes.n && s->bytes.n - (addr - s->addr) >= 8) {
            uint64_t w;
            memcpy(&w, s->bytes.p + (addr - s->addr), 8);
            *ret = w & hr_run_ones(size); /* little-endian machines only, on one: hr_uops_known() */
            return true;
        }
    }
    r->seg[1] = r->seg[0];
    r->seg[0] = hr_image_find(r->img, addr, NULL);
    return hr_image_uint(r->img, addr, size, ret);
}

static uint64_t *written(struct hr_run *r, uint64_t word_addr)
{
    for (unsigned i = 0; i < r->nwrites; i++)
        if (r->write[i].addr == word_addr)
            return &r->write[i].word;
    return NULL;
}

/* What an imagined word holds. */
static bool imagine(struct hr_run *r, uint64_t addr, unsigned size, uint64_t *ret, uint64_t *from_ret)
{
    uint32_t in = (uint32_t)((addr - IMAGINED) / IMAGINED_EACH), n;
    int64_t off = (int64_t)(addr - hr_run_imagined(in));
    if (in >= r->nimagined)
        return hr_run_stop(r, HR_RUN_ABSENT);
    *ret = size == 4 ? 3 : 1;
    if (size < 8)
        return true;
    *from_ret = addr;
    *ret = !in && (uint64_t)off == r->type_off ? r->type : 2;
    if (!in && ((uint64_t)off == r->type_off || (uint64_t)off == r->size_off))
        return true;
    for (n = 1; n < r->nimagined && (r->imagined[n].in != in || r->imagined[n].off != off); n++)
        ;
    if (n == MAX_IMAGINED)
        return hr_run_stop(r, HR_RUN_TOO_LONG);
    if (n == r->nimagined) {
        r->imagined[n].in = in;
        r->imagined[n].off = off;
        r->nimagined++;
    }
    *ret = hr_run_imagined(n);
    return true;
}

bool hr_run_load(struct hr_run *r, unsigned size, uint64_t addr, uint64_t pointer_from, uint64_t *ret, uint64_t *from_ret)
{
    *from_ret = 0;
    if (hr_run_on_stack(addr)) {
        uint64_t i = (addr - STACK_LO) / 8, shift = addr % 8 * 8, w = r->stack[i];
        if (shift + 8 * size > 64) {
            if (i + 1 >= STACK_BYTES / 8)
                return hr_run_stop(r, HR_RUN_ABSENT);
            w = w >> shift | r->stack[i + 1] << (64 - shift);
        } else {
            w >>= shift;
            *from_ret = size == 8 ? r->stack_from[i] : 0;
        }
        *ret = w & hr_run_ones(size);
        return true;
    }
    if (addr - IMAGINED < MAX_IMAGINED * IMAGINED_EACH)
        return imagine(r, addr, size, ret, from_ret);
    if (r->nwrites) {
        const uint64_t *w = written(r, addr & ~7ull);
        if (w) {
            if (addr % 8 + size > 8)
                return hr_run_stop(r, HR_RUN_UNKNOWN);
            *ret = *w >> addr % 8 * 8 & hr_run_ones(size);
            return true;
        }
    }
    if (!read_image(r, addr, size, ret))
        return hr_run_stop(r, HR_RUN_ABSENT);
    *from_ret = size == 8 ? addr : 0;
    if (r->calls->read && addr - r->calls->quiet_lo >= r->calls->quiet_hi - r->calls->quiet_lo)
        r->calls->read(r->calls->ctx, addr, pointer_from);
    return true;
}

bool hr_run_store(struct hr_run *r, uint64_t addr, unsigned size, uint64_t v, uint64_t from)
{
    uint64_t shift = addr % 8 * 8, mask = hr_run_ones(size) << shift, *w, old;
    if (shift + 8 * size > 64)
        return hr_run_stop(r, HR_RUN_UNKNOWN); /* across two words: not seen in such functions */
    if (hr_run_on_stack(addr)) {
        uint64_t i = (addr - STACK_LO) / 8;
        r->stack[i] = (r->stack[i] & ~mask) | (v << shift & mask);
        r->stack_from[i] = size == 8 ? from : 0;
        if (addr < r->stack_used)
            r->stack_used = addr & ~7ull;
        return true;
    }
    w = written(r, addr & ~7ull);
    if (!w) {
        if (r->nwrites == MAX_WRITES)
            return hr_run_stop(r, HR_RUN_TOO_LONG);
        if (addr - IMAGINED < MAX_IMAGINED * IMAGINED_EACH)
            return true; /* and is forgotten */
        if (!read_image(r, addr & ~7ull, 8, &old))
            return hr_run_stop(r, HR_RUN_ABSENT);
        r->write[r->nwrites].addr = addr & ~7ull;
        w = &r->write[r->nwrites++].word;
        *w = old;
    }
    *w = (*w & ~mask) | (v << shift & mask);
    return true;
}

/* ---- registers and flags ---- */
void hr_run_set(struct hr_run *r, uint8_t d, unsigned size, uint64_t v, uint64_t from)
{
    if (d >= R_COUNT || d == R_ZERO)
        return;
    if (size >= 4) {
        r->v[d] = size == 4 ? (uint32_t)v : v;
        r->from[d] = size == 8 ? from : 0;
    } else {
        r->v[d] = (r->v[d] & ~hr_run_ones(size)) | (v & hr_run_ones(size));
        r->from[d] = 0;
    }
}

static int64_t sign(uint64_t v, unsigned size)
{
    unsigned shift = size >= 8 ? 0 : 64 - 8 * size;
    return (int64_t)(v << shift) >> shift;
}

static void flags(struct hr_run *r, enum flags_of of, unsigned size, uint64_t a, uint64_t b, uint64_t result, bool no_carry)
{
    r->fl_of = (uint8_t)of;
    r->fl_size = (uint8_t)size;
    r->fl_a = a & hr_run_ones(size);
    r->fl_b = b & hr_run_ones(size);
    r->fl_r = result & hr_run_ones(size);
    r->fl_no_carry = no_carry;
}

/* Carry (borrow after a subtraction) and overflow; false when they are not known. */
static bool carry_overflow(const struct hr_run *r, bool *carry, bool *overflow)
{
    int64_t a = sign(r->fl_a, r->fl_size), b = sign(r->fl_b, r->fl_size), res = sign(r->fl_r, r->fl_size);
    *carry = *overflow = false;
    switch ((enum flags_of)r->fl_of) {
    case FL_SUB:
        *carry = r->fl_a < r->fl_b;
        *overflow = (a < 0) != (b < 0) && (res < 0) != (a < 0);
        break;
    case FL_ADD:
        *carry = r->fl_r < r->fl_a;
        *overflow = (a < 0) == (b < 0) && (res < 0) != (a < 0);
        break;
    case FL_LOGIC: break;
    case FL_LITERAL:
        *carry = r->fl_literal >> 1 & 1;
        *overflow = r->fl_literal & 1;
        break;
    default: return false;
    }
    return !r->fl_no_carry;
}

/* 1, 0, or -1: not known. */
int hr_run_holds(const struct hr_run *r, uint8_t cc)
{
    bool zero = !r->fl_r, neg = sign(r->fl_r, r->fl_size) < 0, carry, overflow;
    if (r->fl_of == FL_LITERAL) {
        zero = r->fl_literal >> 2 & 1;
        neg = r->fl_literal >> 3 & 1;
    }
    if (cc == CC_ALWAYS)
        return 1;
    if (r->fl_of == FL_NONE)
        return -1;
    if (r->fl_of == FL_BIT) /* only the carry is defined */
        return cc == CC_ULT ? r->fl_r != 0 : cc == CC_UGE ? r->fl_r == 0 : -1;
    switch (cc) {
    case CC_EQ: return zero;
    case CC_NE: return !zero;
    case CC_NEG: return neg;
    case CC_POS: return !neg;
    }
    bool known = carry_overflow(r, &carry, &overflow);
    bool unsigned_cc = cc == CC_ULT || cc == CC_UGE || cc == CC_ULE || cc == CC_UGT;
    if (!known && (unsigned_cc || !r->fl_no_carry))
        return -1;
    switch (cc) {
    case CC_ULT: return carry;
    case CC_UGE: return !carry;
    case CC_ULE: return carry || zero;
    case CC_UGT: return !carry && !zero;
    case CC_SLT: return neg != overflow;
    case CC_SGE: return neg == overflow;
    case CC_SLE: return zero || neg != overflow;
    case CC_SGT: return !zero && neg == overflow;
    case CC_OV: return overflow;
    case CC_NOV: return !overflow;
    default: return -1;
    }
}

/* ---- operations ---- */
static void arithmetic(struct hr_run *r, const struct hr_uop *u)
{
    uint64_t a = r->v[u->a], b = u->b == R_NO ? (uint64_t)u->imm : r->v[u->b], res = 0, from = 0;
    unsigned bits = 8u * u->size, count = (unsigned)(b & (u->size == 8 ? 63 : 31));
    enum flags_of of = FL_LOGIC;
    switch (u->op) {
    case U_ADD: res = a + b; of = FL_ADD; break;
    case U_SUB: res = a - b; of = FL_SUB; break;
    case U_AND: res = a & b; break;
    case U_OR: res = a | b; break;
    case U_XOR: res = a ^ b; break;
    case U_MUL: res = a * b; of = FL_RESULT; break;
    case U_BIT: res = a >> (b & (bits - 1)) & 1; of = FL_BIT; break;
    default:
        if (!count)
            return (void)hr_run_set(r, u->d, u->size, a, r->from[u->a]); /* flags stay */
        of = FL_RESULT;
        a &= hr_run_ones(u->size);
        if (u->op == U_ROL || u->op == U_ROR) { /* a left turn by the rest is a right turn */
            count = (u->op == U_ROL ? count : bits - count % bits) % bits;
            res = count ? a << count | a >> (bits - count) : a;
            hr_run_set(r, u->d, u->size, res, 0);
            r->fl_no_carry = true;
            return;
        }
        res = count >= bits ? 0 : u->op == U_SHL ? a << count : a >> count;
        if (u->op == U_SAR)
            res = (uint64_t)(sign(a, u->size) >> (count >= bits ? bits - 1 : count));
    }
    /* taking a tag off leaves the field that it came from: a small difference, or a mask */
    if (u->size == 8 && (u->op == U_AND || (of != FL_RESULT && (res ^ a) < 16)))
        from = r->from[u->a] ? r->from[u->a] : u->op == U_AND && u->b != R_NO ? r->from[u->b] : 0;
    if (u->flags)
        flags(r, u->to == 2 ? FL_RESULT : of, u->size, a, b, res, u->to == 1);
    if (u->d != R_NO)
        hr_run_set(r, u->d, u->size, res, from);
}

static void count_bits(struct hr_run *r, const struct hr_uop *u)
{
    uint64_t a = r->v[u->a] & hr_run_ones(u->size), res;
    unsigned bits = 8u * u->size;
    switch (u->op) {
    case U_CTZ: res = a ? (uint64_t)__builtin_ctzll(a) : bits; break;
    case U_CLZ: res = a ? (uint64_t)__builtin_clzll(a) - (64 - bits) : bits; break;
    case U_POP: res = (uint64_t)__builtin_popcountll(a); break;
    default: res = __builtin_bswap64(a) >> (64 - bits); break;
    }
    if (u->to && u->op == U_CLZ) /* bsr gives the number of the bit */
        res = bits - 1 - res;
    if (u->flags) { /* of tzcnt and lzcnt: carry, there is none; zero, the result. bsf, bsr: zero, there is none */
        r->fl_of = FL_LITERAL;
        r->fl_literal = (uint8_t)((u->to || u->op == U_POP ? !a : !res) << 2 | (!u->to && u->op != U_POP && !a) << 1);
        r->fl_no_carry = false;
    }
    if (!u->to || a)
        hr_run_set(r, u->d, u->size, res, 0);
}

static bool repeat(struct hr_run *r, const struct hr_uop *u)
{
    enum { AX, CX, SI = 6, DI = 7, MOST = 1 << 12 };
    uint64_t n = u->to ? r->v[CX] : 1, v = r->v[AX], from = 0;
    if (n > MOST)
        return hr_run_stop(r, HR_RUN_TOO_LONG);
    for (uint64_t i = 0; i < n; i++) {
        if (u->op == U_MOVS && !hr_run_load(r, u->size, r->v[SI], r->from[SI], &v, &from))
            return false;
        if (!hr_run_store(r, r->v[DI], u->size, v, from))
            return false;
        if (u->op == U_MOVS)
            r->v[SI] += u->size;
        r->v[DI] += u->size;
    }
    if (u->to)
        r->v[CX] = 0;
    return true;
}

static void multiply(struct hr_run *r, const struct hr_uop *u)
{
    uint64_t a = r->v[0], b = r->v[u->a];
    unsigned __int128 n;
    if (u->op == U_WIDE)
        n = (unsigned __int128)(a & hr_run_ones(u->size)) * (b & hr_run_ones(u->size));
    else
        n = (unsigned __int128)((__int128)sign(a, u->size) * sign(b, u->size));
    hr_run_set(r, 0, u->size, (uint64_t)n, 0);
    hr_run_set(r, 2, u->size, (uint64_t)(n >> 8 * u->size), 0);
    r->fl_of = FL_NONE;
}

/* x86: quotient to ax (0), remainder to dx (2). */
static bool divide(struct hr_run *r, const struct hr_uop *u)
{
    uint64_t by = r->v[u->a] & hr_run_ones(u->size), low = r->v[0] & hr_run_ones(u->size), high = r->v[2] & hr_run_ones(u->size);
    unsigned __int128 n = (unsigned __int128)high << 8 * u->size | low;
    if (u->op == U_IDIV) {
        int64_t a = sign(low, u->size), b = sign(by, u->size);
        if (!b || b == -1 || sign(high, u->size) != (a < 0 ? -1 : 0))
            return hr_run_stop(r, HR_RUN_UNKNOWN); /* a real dividend of two words is not seen in such functions */
        hr_run_set(r, 0, u->size, (uint64_t)(a / b), 0);
        hr_run_set(r, 2, u->size, (uint64_t)(a % b), 0);
    } else {
        if (!by || high >= by)
            return hr_run_stop(r, HR_RUN_UNKNOWN);
        hr_run_set(r, 0, u->size, (uint64_t)(n / by), 0);
        hr_run_set(r, 2, u->size, (uint64_t)(n % by), 0);
    }
    r->fl_of = FL_NONE;
    return true;
}

static bool choose(struct hr_run *r, const struct hr_uop *u)
{
    int yes = hr_run_holds(r, u->cc);
    if (yes < 0)
        return hr_run_stop(r, HR_RUN_UNKNOWN);
    if (u->op == U_SETC) {
        hr_run_set(r, u->d, 8, (uint64_t)yes, 0);
    } else if (u->op == U_CSEL) {
        uint8_t from = yes ? u->a : u->b;
        hr_run_set(r, u->d, u->size, r->v[from], r->from[from]);
    } else if (yes) { /* U_CCMP */
        uint64_t b = u->b == R_NO ? (uint64_t)u->imm : r->v[u->b];
        flags(r, FL_SUB, u->size, r->v[u->a], b, r->v[u->a] - b, false);
    } else {
        r->fl_of = FL_LITERAL;
        r->fl_literal = u->to;
        r->fl_no_carry = false;
    }
    return true;
}

bool hr_run_data(struct hr_run *r, const struct hr_uop *u)
{
    uint64_t v, from;
    switch (u->op) {
    case U_IMM: hr_run_set(r, u->d, 8, (uint64_t)u->imm, 0); return true;
    case U_MOV: hr_run_set(r, u->d, u->size, r->v[u->a], r->from[u->a]); return true;
    case U_ZX: hr_run_set(r, u->d, u->to, r->v[u->a] & hr_run_ones(u->size), 0); return true;
    case U_SX: hr_run_set(r, u->d, u->to, (uint64_t)sign(r->v[u->a], u->size), 0); return true;
    case U_CSEL: case U_SETC: case U_CCMP: return choose(r, u);
    case U_WIDE: case U_IWIDE: multiply(r, u); return true;
    case U_DIV: case U_IDIV: return divide(r, u);
    case U_CTZ: case U_CLZ: case U_POP: case U_BSWAP: count_bits(r, u); return true;
    case U_STOS: case U_MOVS: return repeat(r, u);
    case U_LEA: case U_LOAD: case U_STORE: {
        uint64_t at = (u->a == R_NO ? 0 : r->v[u->a]) + (u->b == R_NO ? 0 : r->v[u->b] << u->shift) + (uint64_t)u->imm;
        if (u->op == U_LEA) { /* from: a tag taken off by subtraction */
            bool same = u->a != R_NO && u->b == R_NO && (at ^ r->v[u->a]) < 16;
            hr_run_set(r, u->d, u->size, at, same ? r->from[u->a] : 0);
            return true;
        }
        if (u->to) { /* thread-local */
            bool zero = false;
            at = hr_import_tp(r->img, (int64_t)at, &zero);
            at = hr_run_own(r, at, zero && u->op == U_LOAD && u->size == 8);
            if (!at)
                return hr_run_stop(r, HR_RUN_ABSENT);
        }
        if (u->op == U_STORE)
            return hr_run_store(r, at, u->size, r->v[u->d], r->from[u->d]);
        uint64_t pointer = u->a != R_NO && r->from[u->a] ? r->from[u->a] : u->b != R_NO ? r->from[u->b] : 0;
        if (!hr_run_load(r, u->size, at, pointer, &v, &from))
            return false;
        hr_run_set(r, u->d, 8, v, from);
        return true;
    }
    default: arithmetic(r, u); return true;
    }
}
