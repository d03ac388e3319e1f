/* Location expressions: results computed by hand from DWARF 5 section 2.5, in four layouts; and the bounds. */
#include "analyzer/types/locexpr.h"

#include "analyzer/base/limits.h"
#include "tests/tap.h"

static const struct hr_arch arch64 = {.name = "t64", .elf_machine = 62, .word_bits = 64, .nregs = 17, .sp = 7, .pc = 16, .ra = 16};
static const struct hr_arch arch32 = {.name = "t32", .elf_machine = 3, .word_bits = 32, .nregs = 9, .sp = 4, .pc = 8, .ra = 8};

static struct hr_image img;
static struct hr_notes notes;
static struct hr_strs *strs;
static uint8_t mem[64];
static uint64_t regs[HR_MAX_REGS];
static struct hr_locctx ctx;

static void setup(bool big, uint8_t word)
{
    hr_image_init(&img, strs, &notes);
    img.arch = word == 8 ? &arch64 : &arch32;
    img.big = big;
    img.word = word;
    for (unsigned i = 0; i < 64; i++)
        mem[i] = (uint8_t)(i + 1);
    struct hr_segment s = {.addr = 0x5000, .msize = 64, .bytes = {mem, 64}, .flags = HR_SEG_R, .module = HR_NONE};
    if (hr_image_add(&img, s) != HR_OK || hr_image_seal(&img) != HR_OK)
        abort();
    regs[3] = 0x5010;
    regs[5] = 77;
    ctx = (struct hr_locctx){.img = &img, .reg = regs, .reg_valid = 1 << 3 | 1 << 5, .cfa = 0x5040, .cfa_valid = true,
                             .bias = 0x1000};
}

static struct hr_loc loc;
static enum hr_status run(const char *e, size_t n) { return hr_locexpr(&ctx, (struct hr_span){(const uint8_t *)e, n}, NULL, &loc); }
#define RUN(e) run(e, sizeof(e) - 1)
#define VALUE(e, want, ...) OK(RUN(e "\x9f") == HR_OK && loc.kind == HR_LOC_VALUE && loc.v == (want), __VA_ARGS__)

static uint64_t mem_word(unsigned off, unsigned n) { return hr_load(mem + off, n, img.big); }

static void test_places(void)
{
    OK(RUN("\x73\x08") == HR_OK && loc.kind == HR_LOC_MEM && loc.v == 0x5018, "breg3+8 (%d/%d)", img.big, img.word);
    OK(RUN("\x73\x78") == HR_OK && loc.v == 0x5008, "breg3-8");
    OK(RUN("\x55") == HR_OK && loc.kind == HR_LOC_REG && loc.reg == 5 && loc.v == 77, "reg5");
    OK(RUN("\x90\x05") == HR_OK && loc.kind == HR_LOC_REG && loc.v == 77, "regx");
    OK(RUN("\x92\x03\x01") == HR_OK && loc.v == 0x5011, "bregx");
    EQ(RUN("\x50"), HR_ABSENT, "a register that is not known");
    EQ(RUN("\x70\x00"), HR_ABSENT, "a base that is not known");
    OK(RUN("\x9c") == HR_OK && loc.kind == HR_LOC_MEM && loc.v == 0x5040, "CFA");
    ctx.frame_base = (struct hr_span){(const uint8_t *)"\x9c", 1};
    OK(RUN("\x91\x60") == HR_OK && loc.v == 0x5020, "fbreg over the CFA");
    ctx.frame_base = (struct hr_span){(const uint8_t *)"\x53", 1};
    OK(RUN("\x91\x04") == HR_OK && loc.v == 0x5014, "fbreg over a register");
    ctx.frame_base = (struct hr_span){(const uint8_t *)"\x91\0", 2};
    EQ(RUN("\x91\x04"), HR_CORRUPT, "a frame base made of itself");
    uint8_t a[9] = {3};
    for (unsigned i = 0; i < img.word; i++)
        a[1 + i] = (uint8_t)(0x4000ull >> 8 * (img.big ? img.word - 1 - i : i));
    OK(run((char *)a, 1 + img.word) == HR_OK && loc.v == 0x5000, "addr is moved by the bias");
    OK(RUN("\x55\x93\x04\x93\x04") == HR_OK && loc.kind == HR_LOC_NONE, "pieces");
    OK(RUN("\x50\x93\x04") == HR_OK && loc.kind == HR_LOC_NONE, "pieces of unknown registers");
    OK(RUN("") == HR_OK && loc.kind == HR_LOC_NONE, "empty: optimised out");
    OK(RUN("\x9e\x02\x01\x02") == HR_OK && loc.kind == HR_LOC_VALUE && loc.v == mem_word(0, 2), "implicit value");
    OK(RUN("\xf2\1\2\3\4\5") == HR_OK && loc.kind == HR_LOC_NONE, "implicit pointer");
    EQ(RUN("\x55\x55"), HR_CORRUPT, "two places");
    uint64_t top = 0x5004;
    OK(hr_locexpr(&ctx, (struct hr_span){(const uint8_t *)"\x23\x04", 2}, &top, &loc) == HR_OK && loc.v == 0x5008, "initial value");
}

static void test_arithmetic(void)
{
    uint64_t m1 = img.word == 8 ? UINT64_MAX : UINT32_MAX;
    VALUE("\x08\xff", 255, "const1u");
    VALUE("\x09\xff", m1, "const1s");
    VALUE("\x11\x7f", m1, "consts");
    VALUE("\x73\0\x06", mem_word(16, img.word), "deref");
    VALUE("\x73\0\x94\x02", mem_word(16, 2), "deref_size");
    VALUE("\x37\x33\x1c", 4, "minus");
    VALUE("\x09\xf8\x33\x1b", m1 - 1, "signed division: -8 / 3 = -2");
    VALUE("\x09\xf8\x09\xff\x1b", 8, "division by -1");
    VALUE("\x37\x33\x1d", 1, "mod");
    VALUE("\x09\xf8\x19", 8, "abs");
    VALUE("\x31\x08\x41\x24", 0, "a shift beyond the word gives 0");
    VALUE("\x09\xf0\x32\x26", m1 - 3, "arithmetic shift right: -16 >> 2 = -4");
    VALUE("\x09\xff\x31\x2d", 1, "-1 < 1");
    VALUE("\x09\xff\x31\x2b", 0, "-1 > 1");
    VALUE("\x31\x32\x33\x17", 2, "rot: the second is on top");
    VALUE("\x31\x32\x33\x17\x13", 1, "rot: then the third");
    VALUE("\x31\x32\x33\x17\x13\x13", 3, "rot: the former top is last");
    VALUE("\x31\x32\x16", 1, "swap");
    VALUE("\x31\x32\x33\x15\x02", 1, "pick");
    VALUE("\x31\x28\0\0\x32", 2, "bra over nothing");
    uint8_t skip[] = {0x31, 0x2f, img.big ? 0 : 1, img.big ? 1 : 0, 0x37, 0x9f};
    OK(run((char *)skip, sizeof skip) == HR_OK && loc.v == 1, "skip");
    VALUE("\xa8\x00\x31\xf7\x10", 1, "conversions keep integers");
    VALUE("\xf5\x05\x10", 77, "typed register");
}

static void test_bounds(void)
{
    EQ(RUN("\x22"), HR_CORRUPT, "empty pop");
    EQ(RUN("\x31\x22"), HR_CORRUPT, "one operand short");
    EQ(RUN("\x12"), HR_CORRUPT, "dup of nothing");
    EQ(RUN("\x31\x15\x05"), HR_CORRUPT, "pick too deep");
    EQ(RUN("\x31\x30\x1b"), HR_CORRUPT, "division by zero");
    EQ(RUN("\x30\x06"), HR_ABSENT, "reading what is not there");
    EQ(RUN("\x73\0\x94\x09"), HR_CORRUPT, "a load of nine bytes");
    EQ(RUN("\x0c\x01"), HR_CORRUPT, "a constant cut short");
    EQ(RUN("\x01"), HR_UNSUPPORTED, "unknown operation");
    uint8_t loop[] = {0x2f, img.big ? 0xff : 0xfd, img.big ? 0xfd : 0xff};
    EQ(run((char *)loop, 3), HR_LIMIT, "a loop ends");
    uint8_t out[] = {0x2f, img.big ? 0xff : 0x00, img.big ? 0x00 : 0xff};
    EQ(run((char *)out, 3), HR_CORRUPT, "a jump before the start");
    uint8_t many[HR_LOC_SLOTS + 1];
    memset(many, 0x31, sizeof many);
    EQ(run((char *)many, HR_LOC_SLOTS), HR_OK, "64 slots");
    EQ(run((char *)many, HR_LOC_SLOTS + 1), HR_LIMIT, "the 65th");
    EQ(RUN("\xa3\x01\x55\x9f"), HR_ABSENT, "entry value without a caller");
    bool ok = true;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            char e[] = {0x31, 0x32, (char)a, (char)b, (char)a};
            enum hr_status st = run(e, sizeof e);
            ok &= st == HR_OK ? loc.kind <= HR_LOC_VALUE : st <= HR_USAGE;
        }
    OK(ok, "every pair of operations ends with an answer");
}

static bool entry_answer(void *c, struct hr_span e, uint64_t *ret)
{
    *ret = *(uint64_t *)c + e.n;
    return true;
}

int main(void)
{
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        return 1;
    for (int i = 0; i < 4; i++) {
        setup(i & 1, i & 2 ? 8 : 4);
        test_places();
        test_arithmetic();
        test_bounds();
        uint64_t base = 40;
        ctx.entry = entry_answer;
        ctx.entry_ctx = &base;
        VALUE("\xa3\x02\x55\x55", 42, "entry value");
        hr_image_deinit(&img);
    }
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return tap_done();
}
