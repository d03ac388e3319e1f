/* Unwinding by .ARM.exidx / .ARM.extab: "Exception Handling ABI for the Arm Architecture", sections 6 and 10. Every byte of
 * instructions is read once, so a table that lies costs its own length and no more. */
#include "analyzer/image/elf.h"
#include "analyzer/types/unwind.h"

#include <string.h>

enum {
    PT_ARM_EXIDX_ = 0x70000001,
    MAX_OPS = 4 + 4 * 255, /* bytes of instructions of one function: a count byte of words */
    R_SP = 13, R_LR = 14, R_PC = 15,
};

struct ops { uint8_t b[MAX_OPS]; unsigned n, at; };

static bool word_at(const struct hr_unwinder *u, uint64_t at, uint32_t *ret)
{
    uint64_t v;
    if (!hr_image_uint(u->img, (uint32_t)at, 4, &v))
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* A 31-bit offset from where it is stored. */
static uint32_t prel31(uint32_t v, uint64_t at) { return (uint32_t)at + (uint32_t)((int32_t)(v << 1) >> 1); }

/* The index entry of pc: the last one that starts at or before it. */
static bool find_entry(const struct hr_unwinder *u, uint64_t pc, uint64_t *at_ret, uint32_t *data_ret)
{
    uint32_t i = hr_image_module_at(u->img, pc), v;
    const struct hr_module *m = i < u->img->modules.n ? &u->img->modules.v[i] : NULL;
    uint64_t base = 0, n = 0;
    for (uint32_t k = 0; m && m->elf && k < m->elf->nph; k++)
        if (m->elf->ph[k].type == PT_ARM_EXIDX_) {
            base = m->elf->ph[k].vaddr + m->bias;
            n = m->elf->ph[k].memsz / 8;
        }
    uint64_t lo = 0, hi = hr_min(n, HR_MAX_FDES);
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (!word_at(u, base + mid * 8, &v))
            return false;
        if (prel31(v, base + mid * 8) <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at_ret = base + (lo - 1) * 8 + 4;
    return lo && word_at(u, *at_ret, data_ret);
}

static void add_word(struct ops *o, uint32_t v, unsigned bytes)
{
    while (bytes-- && o->n < MAX_OPS)
        o->b[o->n++] = (uint8_t)(v >> 8 * bytes);
}

/* The instructions of an entry: in the index itself, or in .ARM.extab. */
static bool load_ops(const struct hr_unwinder *u, uint64_t at, uint32_t v, struct ops *o)
{
    unsigned words = 0;
    if (!(v >> 31)) {
        at = prel31(v, at);
        if (!word_at(u, at, &v))
            return false;
        if (!(v >> 31)) { /* a personality of its own: GNU's keep a count and instructions behind it, like model 1 */
            at += 4;
            if (!word_at(u, at, &v))
                return false;
            words = v >> 24;
            add_word(o, v, 3);
            goto more;
        }
    }
    if ((v >> 24 & 0x7f) > 2)
        return false;
    if (v >> 24 & 0x7f) {
        words = v >> 16 & 0xff;
        add_word(o, v, 2);
    } else {
        add_word(o, v, 3);
    }
more:
    for (; words; words--) {
        at += 4;
        if (!word_at(u, at, &v))
            return false;
        add_word(o, v, 4);
    }
    return true;
}

struct state {
    const struct hr_unwinder *u;
    struct hr_frame *c;
    uint32_t sp;
    bool ok, pc_known;
};

static uint8_t next(struct state *s, struct ops *o)
{
    if (o->at < o->n)
        return o->b[o->at++];
    s->ok = false;
    return 0;
}

/* Pops the registers of a mask whose bit 0 is r`first`. */
static void pop(struct state *s, unsigned mask, unsigned first)
{
    uint32_t sp = s->sp, v;
    bool new_sp = false;
    for (unsigned r = first; mask; mask >>= 1, r++) {
        if (!(mask & 1))
            continue;
        if (!word_at(s->u, sp, &v)) {
            s->ok = false;
            return;
        }
        sp += 4;
        hr_unwind_set(s->c, r, v);
        s->pc_known |= r == R_PC;
        new_sp |= r == R_SP;
    }
    s->sp = new_sp ? (uint32_t)s->c->reg[R_SP] : sp;
}

static void other(struct state *s, struct ops *o, uint8_t b)
{
    if (b == 0xb1) {
        pop(s, next(s, o) & 15, 0);
    } else if (b == 0xb2) {
        uint32_t v = 0;
        uint8_t x;
        unsigned sh = 0;
        do {
            x = next(s, o);
            v |= sh < 32 ? (uint32_t)(x & 0x7f) << sh : 0;
            sh += 7;
        } while (x & 0x80 && s->ok);
        s->sp += 0x204 + (v << 2);
    } else if (b == 0xb3) {
        s->sp += ((next(s, o) & 15) + 1u) * 8 + 4; /* with the format word of FSTMX */
    } else if (b >= 0xb8 && b <= 0xbf) {
        s->sp += ((b & 7) + 1u) * 8 + 4;
    } else if (b == 0xc6 || b == 0xc8 || b == 0xc9) {
        s->sp += ((next(s, o) & 15) + 1u) * 8;
    } else if (b == 0xc7) {
        s->sp += 4u * (unsigned)__builtin_popcount(next(s, o) & 15);
    } else if ((b >= 0xc0 && b <= 0xc5) || (b >= 0xd0 && b <= 0xd7)) {
        s->sp += ((b & 7) + 1u) * 8;
    } else if (b == 0xb4) {
        s->sp += 4; /* return-address authentication code */
    } else {
        s->ok = false;
    }
}

static void run(struct state *s, struct ops *o)
{
    while (s->ok && o->at < o->n) {
        uint8_t b = next(s, o);
        if (b == 0xb0) /* finish */
            return;
        if (b < 0x40) {
            s->sp += (b & 0x3fu) * 4 + 4;
        } else if (b < 0x80) {
            s->sp -= (b & 0x3fu) * 4 + 4;
        } else if (b < 0x90) {
            unsigned mask = (b & 15u) << 8 | next(s, o);
            s->ok = s->ok && mask; /* none: refuses to be unwound */
            pop(s, mask, 4);
        } else if (b < 0xa0) {
            unsigned r = b & 15;
            s->ok = r != R_SP && r != R_PC && s->c->reg_valid >> r & 1;
            s->sp = (uint32_t)s->c->reg[r];
        } else if (b < 0xb0) {
            pop(s, (2u << (b & 7)) - 1, 4);
            if (b & 8)
                pop(s, 1, R_LR);
        } else {
            other(s, o, b);
        }
    }
}

static bool begins_thread(const struct hr_unwinder *u, uint64_t pc)
{
    static const char *const names[] = {"_start", "start_thread", "__clone", "clone", "thread_start", "__libc_start_main"};
    uint64_t off;
    const struct hr_sym *s = hr_sym_at(u->types, pc - 1, &off);
    for (size_t i = 0; s && i < sizeof names / sizeof *names; i++)
        if (!strcmp(s->name, names[i]))
            return true;
    return false;
}

enum hr_status hr_unwind_exidx(const struct hr_unwinder *u, struct hr_frame *f, bool inner, struct hr_frame *c, bool *first_ret)
{
    uint64_t at;
    uint32_t data;
    if (u->img->arch->elf_machine != HR_EM_ARM || !find_entry(u, inner ? f->pc : f->pc - 1, &at, &data))
        return HR_ABSENT;
    if (data == 1) { /* "cannot unwind": where threads begin; but also what never returns, and code without any table */
        *first_ret = begins_thread(u, f->pc);
        return *first_ret ? HR_OK : HR_ABSENT;
    }
    struct ops o;
    o.n = o.at = 0;
    struct state s = {u, c, (uint32_t)f->sp, true, false};
    *c = (struct hr_frame){.module = HR_NONE, .trust = HR_FRAME_CFI};
    for (unsigned r = 0; r < 16; r++) /* r9's meaning is the platform's; on Linux it is preserved like the others */
        if ((hr_unwind_preserved(u->img->arch) >> r & 1 || (r == R_LR && inner)) && f->reg_valid >> r & 1)
            hr_unwind_set(c, r, f->reg[r]);
    if (!load_ops(u, at, data, &o))
        return HR_ABSENT;
    run(&s, &o);
    if (!s.ok || (!s.pc_known && !(c->reg_valid >> R_LR & 1)))
        return HR_ABSENT;
    f->cfa = s.sp;
    hr_unwind_set(c, R_SP, s.sp);
    c->pc = c->reg[s.pc_known ? R_PC : R_LR];
    if (!s.pc_known)
        c->reg_valid &= ~(1ull << R_LR);
    return HR_OK;
}
