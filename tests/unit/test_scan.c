/* Code of two functions as gcc 12 makes it for each processor, linked at 0x10000 with `state` at 0x20000100:
 *     void collect(void) { state[60] = 0; for (unsigned i = 0; i < 39; i++) { long p = state[3 + i]; if (!(p & 15)) one(p); } }
 *     void call(void) { state[60] = 0; helper(state + 3, 39); state[61] = 1; }
 * Both go through the words 3 to 41 of `state`. Is that what the scan says? And what does it say of nonsense? */
#include <string.h>

#include "analyzer/base/mem.h"
#include "analyzer/types/scan.h"
#include "tests/tap.h"

enum { CODE = 0x10000, CALL = 0x10900, RAM = 0x20000000, STATE = RAM + 0x100 };
#include "tests/unit/scan_code.inc"

struct seen { uint64_t at[8], lo[8], hi[8]; unsigned runs, refs, in_state; bool helper; };

static void on_ref(void *ctx, uint64_t at, uint64_t addr)
{
    struct seen *s = ctx;
    s->refs++;
    s->in_state += addr >= STATE && addr < STATE + 0x400;
    OK(at >= CODE && at < CODE + 0x1000 && addr >= RAM && addr < RAM + 0x1000, "a reference lies in memory, its instruction in code");
}
static void on_run(void *ctx, uint64_t at, uint64_t lo, uint64_t hi)
{
    struct seen *s = ctx;
    if (s->runs < 8)
        s->at[s->runs] = at, s->lo[s->runs] = lo, s->hi[s->runs++] = hi;
}
static void on_called(void *ctx, uint64_t target) { ((struct seen *)ctx)->helper |= target == CALL; }

static struct seen scan(const char *arch, const uint8_t *code, size_t n, uint64_t fuel, enum hr_status *st)
{
    static uint8_t ram[0x1000];
    struct seen s = {0};
    struct hr_image img;
    struct hr_fuel f = hr_fuel(fuel);
    hr_image_init(&img, NULL, NULL);
    img.arch = hr_arch_by_name(arch);
    img.word = img.arch->word_bits / 8;
    struct hr_segment text = {.addr = CODE, .msize = n, .bytes = {code, n}, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment data = {.addr = RAM, .msize = sizeof ram, .bytes = {ram, sizeof ram}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    if (hr_image_add(&img, text) != HR_OK || hr_image_add(&img, data) != HR_OK || hr_image_seal(&img) != HR_OK)
        abort();
    *st = hr_scan_code(&img, CODE, CODE + n, &(struct hr_scan){on_ref, on_run, on_called, &s}, &f);
    hr_image_deinit(&img);
    return s;
}

static void test(const char *what, const char *arch, const uint8_t *code, size_t n, uint64_t second)
{
    enum hr_status st;
    unsigned w = hr_arch_by_name(arch)->word_bits / 8, loop = 0, pass = 0, wrong = 0;
    struct seen s = scan(arch, code, n, 1000, &st);
    for (unsigned i = 0; i < s.runs; i++) {
        bool right = s.lo[i] == STATE + 3 * w && s.hi[i] == STATE + 42 * w;
        loop += right && s.at[i] < CODE + second;
        pass += right && s.at[i] >= CODE + second;
        wrong += !right;
    }
    OK(st == HR_OK && loop && pass && !wrong, "%s: the loop and the call go through the same words", what);
    OK(s.helper, "%s: the helper is called", what);
    OK(s.in_state >= 2 && s.refs == s.in_state, "%s: state is named, and nothing else", what);
    (void)scan(arch, code, n, 3, &st);
    OK(st == HR_LIMIT, "%s: fuel ends it", what);
    for (size_t cut = 1; cut < n; cut++)
        (void)scan(arch, code, cut, 1000, &st);
    for (size_t off = 1; off < 16; off++)
        (void)scan(arch, code + off, n - off, 1000, &st);
}

/* l32r a2, 0x10000; the constant is in front of it. */
static void test_xtensa(void)
{
    static const uint8_t code[] = {0x00, 0x01, 0x00, 0x20, 0x36, 0x41, 0x00, 0x21, 0xfe, 0xff, 0x1d, 0xf0};
    enum hr_status st;
    struct seen s = scan("xtensa", code, sizeof code, 1000, &st);
    OK(st == HR_OK && s.refs == 1 && s.in_state == 1, "xtensa: l32r");
}

int main(void)
{
    enum hr_status st;
    test("Thumb", "arm", t1, sizeof t1, 0x28);
    test("Thumb-2", "arm", t2, sizeof t2, 0x24);
    test("A32", "arm", a32, sizeof a32, 0x38);
    test("RV32", "riscv32", rv32, sizeof rv32, 0x3c);
    test("RV64", "riscv64", rv64, sizeof rv64, 0x40);
    test("x86-64", "x86-64", x64, sizeof x64, 0x50);
    test_xtensa();
    (void)scan("i386", x64, sizeof x64, 1000, &st);
    OK(st == HR_UNSUPPORTED, "a processor that is not read");
    return tap_done();
}
