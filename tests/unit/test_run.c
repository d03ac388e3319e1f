/* The machine that runs functions of an image, against the processor: this program's own functions, run both ways over the same memory,
 * have to hand the same values to their callback. And code that must not get far. */
#include "analyzer/types/run.h"
#include "tests/tap.h"

enum { MOST = 1 << 16, STEPS = 1 << 20 };
struct seen { uint64_t v[MOST]; size_t n; };
static struct seen native, run;

typedef int visit_fn(void *what, void *arg);
typedef int traverse_fn(void *self, visit_fn *visit, void *arg);
struct numbers { uint64_t a, b; int32_t c; uint16_t d; int8_t e; uint64_t out[64]; };

static int record(void *what, void *arg)
{
    struct seen *s = arg;
    if (s->n < MOST)
        s->v[s->n++] = (uint64_t)what;
    return 0;
}

#define SHOW(x) visit((void *)(uint64_t)(x), arg)
#define HERE __attribute__((noinline, noclone, used))

/* ---- what is run both ways ---- */
static HERE int arithmetic(void *self, visit_fn *visit, void *arg)
{
    const struct numbers *n = self;
    uint64_t a = n->a, b = n->b;
    SHOW(a + b); SHOW(a - b); SHOW(a * b); SHOW(a & b); SHOW(a | b); SHOW(a ^ b); SHOW(~a); SHOW(-a);
    SHOW(a << (b & 63)); SHOW(a >> (b & 63)); SHOW((int64_t)a >> (b & 63)); SHOW(a << 3); SHOW(a >> 9); SHOW(a * 24); SHOW(a * 37 + 5);
    SHOW((uint32_t)a + (uint32_t)b); SHOW((int32_t)a - (int32_t)b); SHOW((uint32_t)a >> (b & 31)); SHOW((int32_t)a >> (b & 31)); SHOW((uint32_t)a * (uint32_t)b);
    SHOW((int64_t)(int32_t)a); SHOW((int64_t)(int16_t)a); SHOW((int64_t)(int8_t)a); SHOW((uint16_t)a); SHOW((uint8_t)(a + b)); SHOW((int16_t)(a - b));
    SHOW(n->c); SHOW((int64_t)n->c); SHOW(n->d); SHOW((int64_t)n->e); SHOW(n->c + n->d * n->e);
    SHOW(a >> (b & 15) | a << (64 - (b & 15) - 1) << 1); SHOW((uint32_t)a >> 7 | (uint32_t)a << 25); SHOW(__builtin_bswap64(a)); SHOW(__builtin_bswap32((uint32_t)a));
    return 0;
}

static HERE int division(void *self, visit_fn *visit, void *arg)
{
    const struct numbers *n = self;
    uint64_t a = n->a, b = n->b | 1;
    SHOW(a / b); SHOW(a % b); SHOW((uint32_t)a / (uint32_t)b); SHOW((uint32_t)a % (uint32_t)b); SHOW(a / 10); SHOW(a % 1000 == 7);
    if ((int64_t)b != -1 && (int32_t)b != -1) {
        SHOW((int64_t)a / (int64_t)b); SHOW((int64_t)a % (int64_t)b); SHOW((int32_t)a / (int32_t)b); SHOW((int32_t)a % (int32_t)b);
    }
    SHOW((int64_t)a / 8); SHOW((int32_t)a / 16);
    return 0;
}

static HERE int comparisons(void *self, visit_fn *visit, void *arg)
{
    const struct numbers *n = self;
    uint64_t a = n->a, b = n->b;
    int64_t x = (int64_t)a, y = (int64_t)b;
    int32_t p = (int32_t)a, q = (int32_t)b;
    if (a < b) SHOW(1);
    if (a <= b) SHOW(2);
    if (a == b) SHOW(3);
    if (x < y) SHOW(4);
    if (x <= y) SHOW(5);
    if (x > 0) SHOW(6);
    if (x >= 0) SHOW(7);
    if (p < q) SHOW(8);
    if (p > q) SHOW(9);
    if ((uint32_t)p < (uint32_t)q) SHOW(10);
    if ((int8_t)a < (int8_t)b) SHOW(11);
    if ((uint8_t)a > (uint8_t)b) SHOW(12);
    if (a & 1) SHOW(13);
    if ((a & b) == 0) SHOW(14);
    if (a >> 17 & 1) SHOW(15);
    if (a + b < a) SHOW(16);
    if (__builtin_add_overflow_p(x, y, (int64_t)0)) SHOW(17);
    if (__builtin_sub_overflow_p(p, q, (int32_t)0)) SHOW(18);
    if (a - 1 < 10) SHOW(19);
    if ((a & 0x200) && n->e < 0) SHOW(20);
    SHOW(a < b ? a : b); SHOW(x < y ? x : y); SHOW(p > q ? p : q); SHOW((a < b) - (a > b)); SHOW(a ? b : 0); SHOW(x < 0 ? -x : x);
    return 0;
}

static HERE int bits(void *self, visit_fn *visit, void *arg)
{
    const struct numbers *n = self;
    uint64_t a = n->a, b = n->b;
    if (a) { SHOW(__builtin_ctzll(a)); SHOW(__builtin_clzll(a)); }
    if ((uint32_t)b) { SHOW(__builtin_ctz((uint32_t)b)); SHOW(__builtin_clz((uint32_t)b)); }
    for (uint64_t w = a & b; w; w &= w - 1) SHOW(__builtin_ctzll(w));
    for (int i = 0; i < 64; i += 5) if (b >> i & 1) SHOW(i);
    return 0;
}

static HERE int memory(void *self, visit_fn *visit, void *arg)
{
    struct numbers *n = self;
    struct numbers copy = *n;
    struct { uint64_t x, y; char text[24]; } s = {copy.b, copy.a, "a text that is longer"};
    uint16_t half[8];
    for (int i = 0; i < 8; i++) half[i] = (uint16_t)(copy.a >> i);
    for (int i = 0; i < 64; i++) copy.out[i] = n->out[63 - i] + (uint64_t)i;
    for (int i = 0; i < 64; i += 3) SHOW(copy.out[i]);
    for (int i = 0; i < 8; i++) SHOW(half[7 - i]);
    for (int i = 0; i < 24; i += 2) SHOW(s.text[i]);
    n->out[0]++; /* kept aside */
    SHOW(n->out[0]); SHOW(s.x); SHOW(s.y); SHOW(copy.c); SHOW(copy.e);
    n->out[0]--;
    return 0;
}

static HERE int through(uint64_t depth, visit_fn *visit, void *arg) { if (depth > 1) through(depth - 1, visit, arg); return SHOW(depth * 3); }
static HERE int table(void *self, visit_fn *visit, void *arg)
{
    const struct numbers *n = self;
    switch (n->a % 11) {
    case 0: SHOW(100); break;
    case 1: SHOW(n->b); break;
    case 2: SHOW(n->b + 1); /* fall through */
    case 3: SHOW(n->c); break;
    case 4: through(n->d & 15, visit, arg); break;
    case 5: return SHOW(5);
    case 7: for (unsigned i = 0; i < n->d % 50u; i++) SHOW(i); break;
    case 9: { visit_fn *volatile v = visit; v((void *)(n->a ^ n->b), arg); break; }
    default: SHOW(n->a % 11);
    }
    return 0;
}

/* ---- the image: this process ---- */
static struct hr_strs *strs;
static struct hr_notes notes;

static bool open_self(struct hr_image *img)
{
    hr_image_init(img, strs, &notes);
    img->arch = hr_arch_by_name("x86-64");
    img->word = 8;
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512], perm[8];
    uint64_t lo, hi;
    bool ok = f != NULL;
    while (ok && fgets(line, sizeof line, f))
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &lo, &hi, perm) == 3 && perm[0] == 'r' && !strstr(line, "[v")) {
            struct hr_segment s = {.addr = lo, .msize = hi - lo, .bytes = {(const uint8_t *)lo, hi - lo}, .flags = HR_SEG_R | (perm[2] == 'x' ? HR_SEG_X : 0), .module = HR_NONE};
            ok = hr_image_add(img, s) == HR_OK;
        }
    if (f)
        fclose(f);
    return ok && hr_image_seal(img) == HR_OK;
}

static void visited(void *ctx, uint64_t value, uint64_t from)
{
    (void)ctx, (void)from;
    if (run.n < MOST)
        run.v[run.n++] = value;
}

static uint64_t next(uint64_t *x) { *x ^= *x << 13; *x ^= *x >> 7; *x ^= *x << 17; return *x; }

static void both(struct hr_run *r, traverse_fn *f, const char *name)
{
    static struct numbers n;
    const struct hr_run_calls calls = {.visit = visited};
    uint64_t x = 88172645463325252ull;
    unsigned differ = 0, ended = 0;
    for (int i = 0; i < 2000; i++) {
        unsigned small = (unsigned)next(&x) & 3; /* small numbers, equal ones, and any */
        n.a = next(&x) >> (small == 1 ? 56 : small == 2 ? 33 : 0);
        n.b = small == 3 ? n.a : next(&x) >> (i % 5 ? 0 : 60);
        n.c = (int32_t)next(&x); n.d = (uint16_t)next(&x); n.e = (int8_t)next(&x);
        for (int k = 0; k < 64; k++) n.out[k] = next(&x);
        native.n = run.n = 0;
        f(&n, record, &native);
        struct hr_fuel fuel = hr_fuel(STEPS);
        enum hr_run_end end = hr_run_visit(r, (uint64_t)f, (uint64_t)&n, &calls, &fuel);
        if (end != HR_RUN_DONE && !ended++)
            printf("# %s at %s+%#llx\n", hr_run_end_name(end), name, (unsigned long long)(hr_run_stopped_at(r) - (uint64_t)f));
        if (native.n != run.n || memcmp(native.v, run.v, native.n * 8))
            differ++;
    }
    OK(!ended, "%s: run to the end (%u not)", name, ended);
    OK(!differ, "%s: the same values (%u not)", name, differ);
}

/* ---- code by hand, at 0x10000; data at 0x20000 ---- */
static enum hr_run_end by_hand(const char *code, size_t n, uint64_t steps, uint64_t *used_ret)
{
    static const uint64_t data[4] = {1, 0x20000, 0x20008, 0};
    struct hr_image img;
    struct hr_run *r;
    hr_image_init(&img, strs, &notes);
    img.arch = hr_arch_by_name("x86-64");
    img.word = 8;
    struct hr_segment c = {.addr = 0x10000, .msize = n, .bytes = {(const uint8_t *)code, n}, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment d = {.addr = 0x20000, .msize = 32, .bytes = {(const uint8_t *)data, 32}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    if (hr_image_add(&img, c) != HR_OK || hr_image_add(&img, d) != HR_OK || hr_image_seal(&img) != HR_OK || hr_run_create(&img, NULL, &r) != HR_OK)
        abort();
    struct hr_fuel fuel = hr_fuel(steps);
    const struct hr_run_calls calls = {.visit = visited};
    run.n = 0;
    enum hr_run_end end = hr_run_visit(r, 0x10000, 0x20000, &calls, &fuel);
    *used_ret = steps - fuel.left;
    hr_run_destroy(r);
    hr_image_deinit(&img);
    return end;
}
#define HAND(code, steps) by_hand(code, sizeof code - 1, steps, &used)

static void hostile(void)
{
    uint64_t used;
    EQ(HAND("\xc3", 10), HR_RUN_DONE, "a return");
    EQ(HAND("\xeb\xfe", 1000), HR_RUN_TOO_LONG, "a jump to itself ends with the fuel");
    EQ(used, 1000, "and takes no more than that");
    EQ(HAND("\xe8\xfb\xff\xff\xff", 100000), HR_RUN_TOO_LONG, "so does recursion, with the stack");
    OK(used < 10000, "before the fuel is gone (%llu)", (unsigned long long)used);
    EQ(HAND("\x0f\x0b", 10), HR_RUN_UNKNOWN, "ud2");
    EQ(HAND("\x0f\x05\xc3", 10), HR_RUN_UNKNOWN, "a system call is not run");
    EQ(HAND("\x90", 10), HR_RUN_UNKNOWN, "code that is cut off");
    EQ(HAND("\x48\x8b\x3f\x48\x8b\x3f\xc3", 10), HR_RUN_ABSENT, "a pointer that leads nowhere");
    EQ(HAND("\xff\xe7", 10), HR_RUN_NO_CODE, "a jump into data");
    EQ(HAND("\x48\xc7\x07\x05\x00\x00\x00\x48\x8b\x3f\xff\xe6", 10), HR_RUN_DONE, "a store, then a tail call of the callback");
    OK(run.n == 1 && run.v[0] == 5, "what was stored is read");
    EQ(HAND("\x48\x89\x27\xc3", 10), HR_RUN_DONE, "the stack's address, stored");
    EQ(HAND("\x48\x81\xec\x00\x00\x10\x00\x50\xc3", 10), HR_RUN_ABSENT, "a frame of a megabyte");
    EQ(HAND("\xb9\xff\xff\xff\x7f\xf3\x48\xab\xc3", 100), HR_RUN_TOO_LONG, "a string instruction of two thousand million words");
    EQ(HAND("\x48\x31\xd2\x48\xf7\xf2\xc3", 10), HR_RUN_UNKNOWN, "a division by zero");
    EQ(HAND("\x48\x8b\x7f\x08\xff\xd6\x48\x8b\x7f\x08\xff\xd6\xc3", 20), HR_RUN_DONE, "two calls of the callback");
    OK(run.n == 2 && run.v[0] == 0x20000 && run.v[1] == 0x20000, "which leaves its argument's register alone");
}

int main(void)
{
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        return 1;
#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__
    struct hr_image img;
    struct hr_run *r;
    if (open_self(&img) && hr_run_create(&img, NULL, &r) == HR_OK) {
        both(r, arithmetic, "arithmetic");
        both(r, division, "division");
        both(r, comparisons, "comparisons");
        both(r, bits, "bits");
        both(r, memory, "memory");
        both(r, table, "table");
        hr_run_destroy(r);
    } else {
        SKIP("this process's memory cannot be read");
    }
    hr_image_deinit(&img);
#else
    SKIP("not the machine that is run");
#endif
    hostile();
    hr_strs_destroy(strs);
    return tap_done();
}
