/* Call-frame information written by hand, in four layouts. What each row must be follows from DWARF 5 section 6.4. */
#include "analyzer/types/cfi.h"
#include "tests/tap.h"

struct w {
    uint8_t b[8192];
    size_t n;
    bool big;
    uint8_t word;
};

static void u(struct w *w, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        w->b[w->n++] = (uint8_t)(v >> 8 * (w->big ? bytes - 1 - i : i));
}
static void bytes(struct w *w, const char *s, size_t n)
{
    memcpy(w->b + w->n, s, n);
    w->n += n;
}
static void patch(struct w *w, size_t at, uint64_t v, unsigned n)
{
    size_t keep = w->n;
    w->n = at;
    u(w, v, n);
    w->n = keep;
}

enum { SECTION = 0x10000, CODE = 0x40000, HDR = 0xf000 };
static const struct hr_arch arch64 = {.name = "t64", .elf_machine = 62, .word_bits = 64, .nregs = 17, .sp = 7, .pc = 16, .ra = 16};
static const struct hr_arch arch32 = {.name = "t32", .elf_machine = 3, .word_bits = 32, .nregs = 9, .sp = 4, .pc = 8, .ra = 8};

static size_t open_entry(struct w *w, bool wide)
{
    if (wide)
        u(w, 0xffffffff, 4);
    size_t at = w->n;
    u(w, 0, wide ? 8 : 4);
    return at;
}
static void close_entry(struct w *w, size_t at, bool wide)
{
    while (w->n % 4)
        u(w, 0, 1); /* DW_CFA_nop */
    patch(w, at, w->n - at - (wide ? 8 : 4), wide ? 8 : 4);
}

/* CIE of .eh_frame: "zRS"-like, code alignment 1, data alignment -word; CFA = r4 + word, return address at CFA - word. */
static size_t eh_cie(struct w *w, const char *aug, const char *data, size_t ndata)
{
    size_t off = w->n, at = open_entry(w, false);
    u(w, 0, 4);
    u(w, 1, 1);
    bytes(w, aug, strlen(aug) + 1);
    u(w, 1, 1);
    u(w, (uint8_t)(-(int)w->word) & 0x7f, 1);
    u(w, w->word == 8 ? 16 : 8, 1);
    if (aug[0] == 'z') {
        u(w, ndata, 1);
        bytes(w, data, ndata);
    }
    bytes(w, "\x0c\x04", 2);
    u(w, w->word, 1);
    u(w, 0x80 | (w->word == 8 ? 16 : 8), 1);
    u(w, 1, 1);
    close_entry(w, at, false);
    return off;
}

static size_t eh_fde(struct w *w, size_t cie, uint64_t lo, uint64_t len, const char *insn, size_t n)
{
    size_t off = w->n, at = open_entry(w, false);
    u(w, w->n - cie, 4);
    u(w, lo - (SECTION + w->n), 4); /* pcrel sdata4 */
    u(w, len, 4);
    u(w, 0, 1);
    bytes(w, insn, n);
    close_entry(w, at, false);
    return off;
}

static struct hr_cfi_table table(const struct w *w, bool eh)
{
    return (struct hr_cfi_table){.bytes = {w->b, w->n}, .addr = eh ? SECTION : 0, .eh = eh, .big = w->big, .word = w->word,
                                 .arch = w->word == 8 ? &arch64 : &arch32};
}

static bool row(struct hr_cfi_table *t, uint64_t pc, struct hr_cfi_row *r)
{
    struct hr_cfi_fde f;
    return hr_cfi_find(t, pc, &f) == HR_OK && hr_cfi_row(t, &f, pc, r) == HR_OK;
}

/* push; sub; remember; epilogue; restore state */
static const char prologue[] = "\x41\x0e\x10"         /* +1: CFA offset 16 */
                               "\x86\x02"             /*     r6 at cfa - 2w */
                               "\x02\x03\x0e\x20"     /* +4: CFA offset 32 */
                               "\x44\x0a\x0e\x08\xc6" /* +8: remember, offset 8, restore r6 */
                               "\x41\x0b";            /* +9: restore state */

static void test_rows(bool big, uint8_t word, bool with_hdr)
{
    struct w w = {.big = big, .word = word}, h = {.big = big, .word = word};
    size_t cie = eh_cie(&w, "zR", "\x1b", 1), sig = eh_cie(&w, "zPLRS", "\x1b\1\2\3\4\x1b\x1b", 7);
    size_t f1 = eh_fde(&w, cie, CODE, 0x20, prologue, sizeof prologue - 1);
    size_t f2 = eh_fde(&w, sig, CODE + 0x40, 0x10, "\x07\x06\x08\x03", 4);
    size_t f3 = eh_fde(&w, cie, CODE + 0x20, 0x10, "\x0d\x06\x0f\x02\x76\x10\x16\x03\x02\x76\x08\x10\x05\x02\x76\x04", 16);
    u(&w, 0, 4);
    struct hr_cfi_table t = table(&w, true);
    if (with_hdr) {
        bytes(&h, "\1\x1b\3\x3b", 4);
        u(&h, (uint64_t)SECTION - (HDR + 4), 4);
        u(&h, 3, 4);
        u(&h, CODE - HDR, 4), u(&h, SECTION + f1 - HDR, 4);
        u(&h, CODE + 0x20 - HDR, 4), u(&h, SECTION + f3 - HDR, 4);
        u(&h, CODE + 0x40 - HDR, 4), u(&h, SECTION + f2 - HDR, 4);
        hr_cfi_table_init(&t, (struct hr_span){h.b, h.n}, HDR);
        EQ(t.search.count, 3, "%d/%d the search table is used", big, word);
        uint64_t fr;
        OK(hr_cfi_hdr_frame((struct hr_span){h.b, h.n}, HDR, big, word, &fr) && fr == SECTION, "header names the section");
    }
    struct hr_cfi_row r;
    uint32_t ra = word == 8 ? 16 : 8;
    OK(row(&t, CODE, &r) && r.cfa.kind == HR_CFI_REG && r.cfa.reg == 4 && r.cfa.off == word, "%d/%d entry: cfa", big, word);
    OK(r.reg[ra].kind == HR_CFI_OFFSET && r.reg[ra].off == -word && r.ra == ra && !r.signal, "entry: return address");
    OK(r.reg[6].kind == HR_CFI_UNSPEC, "entry: nothing said of r6");
    OK(row(&t, CODE + 1, &r) && r.cfa.off == 16 && r.reg[6].kind == HR_CFI_OFFSET && r.reg[6].off == -2 * word, "pushed");
    OK(row(&t, CODE + 3, &r) && r.cfa.off == 16, "not yet the next row");
    OK(row(&t, CODE + 4, &r) && r.cfa.off == 32, "advance_loc1");
    OK(row(&t, CODE + 8, &r) && r.cfa.off == 8 && r.reg[6].kind == HR_CFI_UNSPEC, "epilogue restores the CIE's rule");
    OK(row(&t, CODE + 9, &r) && r.cfa.off == 32 && r.reg[6].off == -2 * word, "restore_state");
    OK(row(&t, CODE + 0x1f, &r) && r.cfa.off == 32, "last byte");
    OK(row(&t, CODE + 0x20, &r) && r.cfa.kind == HR_CFI_VAL_EXPR && r.cfa.expr.n == 2, "next function: CFA by expression");
    OK(r.reg[3].kind == HR_CFI_VAL_EXPR && r.reg[5].kind == HR_CFI_EXPR && r.reg[5].expr.p[1] == 4, "registers by expression");
    OK(!row(&t, CODE + 0x30, &r) && !row(&t, CODE - 1, &r) && !row(&t, CODE + 0x50, &r), "gaps belong to nobody");
    OK(row(&t, CODE + 0x44, &r) && r.signal && r.reg[6].kind == HR_CFI_UNDEF && r.reg[3].kind == HR_CFI_SAME, "signal frame");
    hr_cfi_table_deinit(&t);
}

/* .debug_frame: version, 32- or 64-bit DWARF; addresses absolute, moved by the bias. */
static void test_debug_frame(bool big, uint8_t word, unsigned version, bool wide)
{
    struct w w = {.big = big, .word = word};
    size_t at = open_entry(&w, wide);
    u(&w, wide ? UINT64_MAX : 0xffffffff, wide ? 8 : 4);
    u(&w, version, 1);
    u(&w, 0, 1); /* no augmentation */
    if (version == 4)
        u(&w, word, 1), u(&w, 0, 1);
    u(&w, 4, 1);    /* code alignment */
    u(&w, 0x7c, 1); /* -4 */
    u(&w, word == 8 ? 16 : 8, 1);
    bytes(&w, "\x0c\x04\x00", 3);
    close_entry(&w, at, wide);
    at = open_entry(&w, wide);
    u(&w, 0, wide ? 8 : 4);
    u(&w, 0x1000, word);
    u(&w, 0x100, word);
    bytes(&w, "\x42\x11\x05\x7f" /* +8: offset_extended_sf r5, +4 */
              "\x03", 5);
    u(&w, 4, 2); /* +24: advance_loc2 by 4 units */
    bytes(&w, "\x12\x05\x7e" /* def_cfa_sf r5, +8 */
              "\x14\x02\x03" /* val_offset r2: -12 */
              "\x15\x03\x02" /* val_offset_sf r3: -8 */
              "\x09\x06\x05" /* r6 is in r5 */
              "\x2f\x07\x02" /* negative offset: +8 */
              "\x2e\x10"     /* args size */
              "\x05\x50\x01" /* a vector register: not kept */
              "\x13\x7d", 22);
    close_entry(&w, at, wide);
    struct hr_cfi_table t = table(&w, false);
    t.bias = 0x500000;
    struct hr_cfi_row r;
    OK(row(&t, 0x501000, &r) && r.cfa.off == 0 && r.reg[5].kind == HR_CFI_UNSPEC, "v%u %s %d/%d: entry", version,
       wide ? "DWARF64" : "DWARF32", big, word);
    OK(row(&t, 0x501008, &r) && r.reg[5].kind == HR_CFI_OFFSET && r.reg[5].off == 4, "signed factored offset");
    OK(row(&t, 0x501018, &r) && r.cfa.reg == 5 && r.cfa.off == 12, "def_cfa_sf, def_cfa_offset_sf");
    OK(r.reg[2].kind == HR_CFI_VAL_OFFSET && r.reg[2].off == -12 && r.reg[3].off == -8, "val_offset");
    OK(r.reg[6].kind == HR_CFI_REG && r.reg[6].reg == 5 && r.reg[7].off == 8, "register, negative offset");
    OK(!row(&t, 0x1000, &r), "file addresses are not run-time addresses");
    hr_cfi_table_deinit(&t);
}

/* A CIE whose ra column is 30 on aarch64; PAC state toggles. */
static void test_pac(void)
{
    static const struct hr_arch a64 = {.name = "aarch64", .elf_machine = 183, .word_bits = 64, .nregs = 33, .sp = 31, .pc = 32, .ra = 30};
    struct w w = {.word = 8};
    size_t cie = w.n, at = open_entry(&w, false);
    u(&w, 0, 4);
    bytes(&w, "\1zRB\0\4\x78\x1e\1\x1b\x0c\x1f\0", 13);
    close_entry(&w, at, false);
    eh_fde(&w, cie, CODE, 0x20, "\x41\x2d\x41\x0e\x10\x9d\2\x9e\1\x41\x2d", 11);
    struct hr_cfi_table t = table(&w, true);
    t.arch = &a64;
    struct hr_cfi_row r;
    OK(row(&t, CODE, &r) && !r.ra_signed && r.ra == 30, "aarch64: unsigned at entry");
    OK(row(&t, CODE + 4, &r) && r.ra_signed, "signed after paciasp");
    OK(row(&t, CODE + 8, &r) && r.reg[30].off == -8 && r.reg[29].off == -16, "frame record");
    OK(row(&t, CODE + 12, &r) && !r.ra_signed, "unsigned again");
    hr_cfi_table_deinit(&t);
}

/* Whatever byte is changed or cut: an answer or none, never a fault (run under sanitizers too). */
static void test_hostile(void)
{
    struct w w = {.word = 8}, h = {.word = 8};
    size_t cie = eh_cie(&w, "zR", "\x1b", 1);
    size_t f1 = eh_fde(&w, cie, CODE, 0x20, prologue, sizeof prologue - 1);
    u(&w, 0, 4);
    bytes(&h, "\1\x1b\3\x3b", 4);
    u(&h, (uint64_t)SECTION - (HDR + 4), 4);
    u(&h, 0x7fffffff, 4);
    u(&h, CODE - HDR, 4), u(&h, SECTION + f1 - HDR, 4);
    struct hr_cfi_row r;
    unsigned found = 0;
    for (size_t cut = 0; cut <= w.n; cut++) {
        struct w x = w;
        x.n = cut;
        struct hr_cfi_table t = table(&x, true);
        found += row(&t, CODE + 9, &r);
        hr_cfi_table_deinit(&t);
    }
    OK(found >= 1 && found <= 6, "cut sections: %u lengths still hold the whole FDE", found);
    static const uint8_t vals[] = {0, 1, 0x7f, 0x80, 0xff, 0x0b, 0x10, 0x50};
    unsigned runs = 0;
    for (size_t i = 0; i < w.n; i++)
        for (size_t k = 0; k < sizeof vals; k++, runs++) {
            struct w x = w;
            x.b[i] = vals[k];
            struct hr_cfi_table t = table(&x, true);
            if (k & 1)
                hr_cfi_table_init(&t, (struct hr_span){h.b, h.n}, HDR);
            (void)row(&t, CODE + 9, &r);
            hr_cfi_table_deinit(&t);
        }
    OK(runs > 500, "%u corruptions survived", runs);
    struct hr_cfi_table t = table(&w, true);
    hr_cfi_table_init(&t, (struct hr_span){h.b, h.n}, HDR);
    EQ(t.search.count, 1, "a count beyond the header is clipped");
    OK(row(&t, CODE + 9, &r) && r.cfa.off == 32, "and the entry is found");
    patch(&h, h.n - 4, 0x7ffffff0, 4); /* table points outside: the section is scanned instead */
    struct hr_cfi_table t2 = table(&w, true);
    hr_cfi_table_init(&t2, (struct hr_span){h.b, h.n}, HDR);
    OK(row(&t2, CODE + 9, &r) && r.cfa.off == 32 && t2.indexed, "a lying table is replaced by a scan");
    hr_cfi_table_deinit(&t);
    hr_cfi_table_deinit(&t2);
    struct w z = {.word = 8};
    cie = eh_cie(&z, "zR", "\x1b", 1);
    char deep[40];
    memset(deep, 0x0a, sizeof deep);
    eh_fde(&z, cie, CODE, 0x20, deep, sizeof deep);
    struct hr_cfi_table t3 = table(&z, true);
    OK(!row(&t3, CODE, &r), "endless remember_state is refused");
    hr_cfi_table_deinit(&t3);
}

int main(void)
{
    for (int i = 0; i < 4; i++) {
        bool big = i & 1;
        uint8_t word = i & 2 ? 8 : 4;
        test_rows(big, word, false);
        test_rows(big, word, true);
        test_debug_frame(big, word, 1, false);
        test_debug_frame(big, word, 3, true);
        test_debug_frame(big, word, 4, false);
        test_debug_frame(big, word, 4, true);
    }
    test_pac();
    test_hostile();
    return tap_done();
}
