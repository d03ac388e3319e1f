/* The sweep, and what is known of registers; the instructions are in scan_cs.c and scan_own.c. */
#include <string.h>

#include "analyzer/types/scan_state.h"

enum { EM_ARM = 40, EM_X86_64 = 62, EM_XTENSA = 94, EM_RISCV = 243, MAX_RUN = 1 << 16, EMPTY = 32 /* zeros in a row are no code */ };

bool hr_scan_is_data(const struct hr_scanner *s, uint64_t addr)
{
    const struct hr_segment *seg = hr_image_find(s->img, addr, NULL);
    return seg && seg->flags & HR_SEG_W;
}

void hr_scan_forget(struct hr_scanner *s, unsigned reg)
{
    if (reg < HR_SCAN_NONE)
        s->r[reg].known = s->r[reg].loaded = false;
}

void hr_scan_forget_all(struct hr_scanner *s)
{
    for (unsigned i = 0; i < HR_SCAN_NONE; i++)
        hr_scan_forget(s, i);
}

void hr_scan_learn(struct hr_scanner *s, unsigned reg, uint64_t v)
{
    if (reg < HR_SCAN_NONE)
        s->r[reg] = (struct hr_scan_reg){.val = s->word == 4 ? (uint32_t)v : v, .known = true};
}

void hr_scan_ref(struct hr_scanner *s, uint64_t at, uint64_t addr)
{
    if (s->word == 4)
        addr = (uint32_t)addr;
    if (at != s->last_ref && hr_scan_is_data(s, addr)) {
        s->last_ref = at;
        s->to->ref(s->to->ctx, at, addr);
    }
}

void hr_scan_advance(struct hr_scanner *s, unsigned reg, uint64_t by)
{
    struct hr_scan_reg old = s->r[reg < HR_SCAN_NREG ? reg : HR_SCAN_NONE];
    if (!hr_scan_knows(s, reg))
        return;
    hr_scan_learn(s, reg, old.val + by);
    s->r[reg].load = old.load;
    s->r[reg].loaded = old.loaded;
}

void hr_scan_load(struct hr_scanner *s, unsigned reg, uint64_t off)
{
    if (!hr_scan_knows(s, reg) || s->r[reg].loaded)
        return;
    s->r[reg].loaded = true;
    s->r[reg].load = s->word == 4 ? (uint32_t)(s->r[reg].val + off) : s->r[reg].val + off;
}

static void report(struct hr_scanner *s, uint64_t at, uint64_t lo, uint64_t hi)
{
    if (hi > lo && hi - lo <= MAX_RUN && !((hi | lo) & (s->word - 1u)) && hr_scan_is_data(s, lo))
        s->to->run(s->to->ctx, at, lo, hi);
}

/* for (p = lo; p != end; p++) read(*p): one turn has been seen in a straight line. The first word read is where the run begins; from
 * where the pointer is at the comparison it goes on to the other register's value, a word each turn, and has then read one more. */
void hr_scan_compare(struct hr_scanner *s, uint64_t at, unsigned a, unsigned b)
{
    for (unsigned k = 0; k < 2; k++) {
        unsigned p = k ? b : a, e = k ? a : b;
        if (hr_scan_knows(s, p) && hr_scan_knows(s, e) && s->r[p].loaded && s->r[e].val > s->r[p].val)
            report(s, at, s->r[p].load, s->r[p].load + (s->r[e].val - s->r[p].val) + s->word);
    }
}

/* for (i = 0, p = lo; i < number; i++, p++) read(*p), again after one turn. */
void hr_scan_count(struct hr_scanner *s, uint64_t at, unsigned reg, uint64_t number)
{
    if (!hr_scan_knows(s, reg) || s->r[reg].loaded || s->r[reg].val > 1 || number < 2 || number > MAX_RUN / s->word)
        return;
    for (unsigned p = 0; p < HR_SCAN_NONE; p++)
        if (s->r[p].known && s->r[p].loaded)
            report(s, at, s->r[p].load, s->r[p].load + (number - s->r[reg].val + 1) * s->word);
}

void hr_scan_jump(struct hr_scanner *s, uint64_t at, uint64_t to)
{
    enum { NEAR = 512 };
    if (to <= at || to - at > NEAR)
        return;
    s->join = to;
    memcpy(s->joined, s->r, sizeof s->r);
}

void hr_scan_call(struct hr_scanner *s, uint64_t at, unsigned arg0, unsigned arg1)
{
    if (hr_scan_knows(s, arg0) && hr_scan_knows(s, arg1) && s->r[arg1].val > 1 && s->r[arg1].val < MAX_RUN / s->word)
        report(s, at, s->r[arg0].val, s->r[arg0].val + s->r[arg1].val * s->word);
}

/* Machine code of A32 has the condition "always" in most words; Thumb code has not. */
static bool looks_thumb(const struct hr_image *img, uint64_t lo, uint64_t hi)
{
    uint64_t all = 0, always = 0;
    struct hr_span b = hr_image_peek(img, lo, hi - lo);
    for (size_t i = (size_t)(-lo & 3); i + 4 <= b.n; i += 4) {
        uint32_t w = (uint32_t)hr_load(b.p + i, 4, img->big);
        all += w != 0;
        always += w >> 28 == 14;
    }
    return always * 3 < all;
}

static size_t one(struct hr_scanner *s, hr_scan_cs *cs, uint64_t at, struct hr_span code)
{
    switch (s->machine) {
    case EM_RISCV: return hr_scan_riscv_one(s, at, code);
    case EM_XTENSA: return hr_scan_xtensa_one(s, at, code);
    default: return hr_scan_cs_one(s, cs, at, code);
    }
}

/* Bytes of zeros from p on, if there are many. */
static size_t empty(const uint8_t *p, size_t n)
{
    size_t k = 0;
    while (k < n && !p[k])
        k++;
    return k >= EMPTY ? k : 0;
}

static enum hr_status sweep(struct hr_scanner *s, hr_scan_cs *cs, uint64_t lo, struct hr_span code, struct hr_fuel *fuel)
{
    size_t step = s->machine == EM_X86_64 || s->machine == EM_XTENSA ? 1 : s->machine == EM_ARM && !s->thumb ? 4 : 2;
    for (size_t at = 0; at < code.n;) {
        size_t zeros = code.p[at] ? 0 : empty(code.p + at, code.n - at);
        if (zeros) {
            at += hr_max(zeros / step * step, step);
            continue;
        }
        if (s->literal_end > lo + at && s->literal_at <= lo + at) {
            at = (size_t)(s->literal_end - lo);
            continue;
        }
        if (s->join && s->join <= lo + at) {
            if (s->join == lo + at)
                memcpy(s->r, s->joined, sizeof s->r);
            s->join = 0;
        }
        size_t n = one(s, cs, lo + at, (struct hr_span){code.p + at, code.n - at});
        at += n ? n : step;
        if (!hr_burn(fuel, 1))
            return HR_LIMIT;
    }
    return HR_OK;
}

enum hr_status hr_scan_code(const struct hr_image *img, uint64_t lo, uint64_t hi, const struct hr_scan *to, struct hr_fuel *fuel)
{
    struct hr_scanner s = {.img = img, .to = to, .word = img->word, .machine = img->arch ? img->arch->elf_machine : 0, .last_ref = UINT64_MAX};
    hr_scan_cs *cs = NULL;
    struct hr_span code = hr_image_peek(img, lo, hi - lo);
    if (s.machine == EM_ARM)
        s.thumb = looks_thumb(img, lo, hi);
    if (s.machine == EM_ARM || s.machine == EM_X86_64)
        HR_TRY(hr_scan_cs_open(&s, &cs));
    else if ((s.machine != EM_RISCV && s.machine != EM_XTENSA) || img->big)
        return HR_UNSUPPORTED;
    if (s.machine == EM_RISCV)
        s.gp = hr_scan_riscv_gp(&s, lo, code);
    enum hr_status st = sweep(&s, cs, lo, code, fuel);
    hr_scan_cs_close(cs);
    return st;
}
