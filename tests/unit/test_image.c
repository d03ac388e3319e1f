#include "analyzer/image/elf.h"
#include "analyzer/image/image.h"
#include "tests/tap.h"

static struct hr_strs *strs;
static struct hr_notes notes;

static struct hr_segment seg(uint64_t addr, uint64_t msize, const uint8_t *p, size_t n, uint32_t flags)
{
    return (struct hr_segment){.addr = addr, .msize = msize, .bytes = {p, n}, .flags = flags, .module = HR_NONE};
}

static bool add(struct hr_image *img, struct hr_segment s) { return hr_image_add(img, s) == HR_OK; }

static void test_reads(unsigned word, bool big)
{
    static const uint8_t a[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, b[4] = {0xaa, 0xbb, 0, 0xdd};
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    img.word = (uint8_t)word;
    img.big = big;
    OK(add(&img, seg(0x2010, 8, b, 4, HR_SEG_R)) && add(&img, seg(0x1000, 16, a, 16, HR_SEG_R)) &&
           add(&img, seg(0x2000, 16, a, 16, HR_SEG_R)),
       "added out of order");
    OK(hr_image_seal(&img) == HR_OK && img.segs.v[0].addr == 0x1000 && img.segs.v[2].addr == 0x2010, "sorted");
    EQ(hr_image_add(&img, seg(0x9000, 1, a, 1, 0)), HR_USAGE, "frozen");
    uint64_t v = 99;
    OK(hr_image_uint(&img, 0x1001, 2, &v) && v == (big ? 0x0203u : 0x0302u), "two bytes in order");
    OK(hr_image_uint(&img, 0x200e, 4, &v) && v == (big ? 0x0f10aabbu : 0xbbaa100fu), "across a seam");
    OK(hr_image_word(&img, 0x1000, &v) && v == (word == 8 ? (big ? 0x0102030405060708u : 0x0807060504030201u)
                                                          : (big ? 0x01020304u : 0x04030201u)),
       "a word");
    OK(!hr_image_uint(&img, 0x2012, 4, &v) && !hr_image_uint(&img, 0x2014, 1, &v) && !hr_image_uint(&img, 0xfff, 2, &v) &&
           !hr_image_uint(&img, 0x100f, 2, &v) && !hr_image_uint(&img, 0, 8, &v) && !hr_image_uint(&img, UINT64_MAX, 8, &v),
       "absent bytes are absent");
    OK(!hr_image_uint(&img, 0x1000, 9, &v) && !hr_image_uint(&img, 0x1000, 0, &v), "no size but 1 to 8");
    EQ(hr_image_peek(&img, 0x1004, 100).n, 12, "peek ends with the segment");
    EQ(hr_image_peek(&img, 0x2011, 100).n, 3, "peek ends with the bytes");
    EQ(hr_image_peek(&img, 0x1010, 1).n, 0, "peek behind the end");
    uint8_t buf[32];
    EQ(hr_image_read(&img, 0x2008, buf, 32), 12, "read goes over the seam and stops at the hole");
    OK(buf[7] == 16 && buf[8] == 0xaa, "its bytes");
    char z[8];
    OK(hr_image_cstr(&img, 0x2010, z, 8) && strlen(z) == 2, "string");
    OK(hr_image_cstr(&img, 0x1000, z, 8) && strlen(z) == 7, "a string too long is cut and ends");
    OK(!hr_image_cstr(&img, 0x5000, z, 8), "no string");
    uint32_t hint = 7;
    OK(hr_image_find(&img, 0x2017, &hint) == &img.segs.v[2] && hint == 2 && hr_image_find(&img, 0x2000, &hint) == &img.segs.v[1] &&
           !hr_image_find(&img, 0x2018, &hint) && !hr_image_find(&img, 0x1fff, NULL),
       "find, with and without a hint");
    EQ(hr_image_seg_above(&img, 0x1500), 1, "the next above a hole");
    EQ(hr_image_seg_above(&img, 0x3000), 3, "none above");
    hr_image_deinit(&img);
}

/* Overlaps against a map of bytes: whoever came first owns the byte. */
enum { SPACE = 200 };
static unsigned rnd_state = 1;
static unsigned rnd(unsigned n) { return (rnd_state = rnd_state * 1103515245 + 12345) / 65536 % n; }

static bool overlap_round(void)
{
    static uint8_t fill[64][SPACE];
    int owner[SPACE], off[SPACE];
    unsigned n = 1 + rnd(12), want_pieces = 0;
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    for (int i = 0; i < SPACE; i++)
        owner[i] = -1;
    bool ok = true;
    for (unsigned s = 0; s < n; s++) {
        unsigned addr = rnd(SPACE - 1), size = 1 + rnd(SPACE - addr - 1 < 60 ? SPACE - addr - 1 : 60), have = rnd(size + 1);
        memset(fill[s], (int)s + 1, SPACE);
        struct hr_segment g = seg(addr, size, fill[s], have, 0);
        g.file_off = 1000 * s;
        ok &= add(&img, g);
        for (unsigned i = 0; i < size; i++)
            if (owner[addr + i] < 0) {
                owner[addr + i] = (int)s;
                off[addr + i] = i < have ? (int)i : -1;
            }
    }
    ok &= hr_image_arrange(&img) == HR_OK;
    for (int i = 0; i < SPACE; i++) {
        const struct hr_segment *s = hr_image_find(&img, (uint64_t)i, NULL);
        ok &= (s != NULL) == (owner[i] >= 0);
        if (!s || owner[i] < 0)
            continue;
        want_pieces += i == 0 || owner[i - 1] != owner[i];
        struct hr_span p = hr_image_peek(&img, (uint64_t)i, 1);
        ok &= s->file_off / 1000 == (unsigned)owner[i] && p.n == (off[i] >= 0);
        ok &= !p.n || p.p == fill[owner[i]] + off[i];
    }
    ok &= img.segs.n == want_pieces;
    for (size_t i = 1; i < img.segs.n; i++)
        ok &= img.segs.v[i - 1].addr + img.segs.v[i - 1].msize <= img.segs.v[i].addr;
    hr_image_deinit(&img);
    return ok;
}

static void test_overlaps(void)
{
    int bad = 0;
    for (int i = 0; i < 20000; i++)
        bad += !overlap_round();
    EQ(bad, 0, "20,000 random overlaps equal the map of bytes");
    OK(hr_notes_has(&notes, "image.overlap"), "and a note says so");
}

/* k long segments under n short, older ones: quadratic if settled pair by pair. */
static void test_many_overlaps(void)
{
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    enum { N = 200000 };
    bool ok = true;
    for (uint64_t i = 0; i < N; i++)
        ok &= add(&img, seg(i * 16, 16, NULL, 0, 0));
    for (uint64_t i = 0; i < N; i++)
        ok &= add(&img, seg(i, 16 * N, NULL, 0, 1));
    OK(ok && hr_image_arrange(&img) == HR_OK, "400,000 segments, all overlapping, settle");
    EQ(img.segs.n, 2 * N - 1, "the old ones as they were, the first long one hidden, a byte of each other one");
    hr_image_deinit(&img);
}

static void test_bounds(void)
{
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    OK(add(&img, seg(UINT64_MAX - 10, 100, NULL, 0, 0)), "a segment over the end of the world");
    EQ(hr_image_add(&img, seg(5, 0, NULL, 0, 0)), HR_USAGE, "no segment without size");
    OK(hr_image_seal(&img) == HR_OK && img.segs.v[0].msize == 10, "ends before it");
    uint64_t v;
    OK(!hr_image_uint(&img, UINT64_MAX - 10, 8, &v), "and reads nothing");
    hr_image_deinit(&img);
    hr_image_init(&img, strs, &notes);
    OK(hr_image_seal(&img) == HR_OK && !hr_image_find(&img, 0, NULL) && hr_image_module_at(&img, 0) == HR_NONE, "nothing at all");
    hr_image_deinit(&img);
}

static void test_modules(void)
{
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    struct hr_segment s = seg(0x5000, 0x100, NULL, 0, 0);
    s.module = 0;
    OK(add(&img, s), "a segment of module 0");
    OK(hr_modvec_push(&img.modules, (struct hr_module){.lo = 0x5000, .hi = 0x6000, .tls_modid = 7}) == HR_OK &&
           hr_modvec_push(&img.modules, (struct hr_module){.lo = 0x1000, .hi = 0x5800, .tls_modid = 9}) == HR_OK &&
           hr_image_seal(&img) == HR_OK,
       "modules out of order and overlapping");
    EQ(img.segs.v[0].module, 1, "the segment follows its module");
    OK(img.modules.v[0].tls_modid == 9 && img.modules.v[1].tls_modid == 7, "nothing is lost on the way");
    EQ(img.modules.v[0].hi, 0x5000, "the lower one is trimmed");
    OK(hr_image_module_at(&img, 0xfff) == HR_NONE && hr_image_module_at(&img, 0x4fff) == 0 && hr_image_module_at(&img, 0x5000) == 1 &&
           hr_image_module_at(&img, 0x6000) == HR_NONE,
       "module at an address");
    hr_image_deinit(&img);
}

static void test_stacks(void)
{
    struct hr_image img;
    hr_image_init(&img, strs, &notes);
    OK(add(&img, seg(0x10000, 0x1000, NULL, 0, 0)) /* guard */ && add(&img, seg(0x11000, 0x4000, NULL, 0, HR_SEG_R | HR_SEG_W)) &&
           add(&img, seg(0x30000, 0x4000, NULL, 0, HR_SEG_R | HR_SEG_W)),
       "guard, stack, another");
    struct hr_thread in = {.tid = 1, .sp = 0x12340}, guard = {.tid = 2, .sp = 0x10ff0}, gap = {.tid = 3, .sp = 0x2fff0}, far = {.tid = 4, .sp = 0x800000};
    OK(hr_threadvec_push(&img.threads, in) == HR_OK && hr_threadvec_push(&img.threads, guard) == HR_OK &&
           hr_threadvec_push(&img.threads, gap) == HR_OK && hr_threadvec_push(&img.threads, far) == HR_OK && hr_image_seal(&img) == HR_OK,
       "threads");
    struct hr_thread *t = img.threads.v;
    OK(t[0].stack_lo == 0x11000 && t[0].stack_hi == 0x15000, "the mapping that holds sp");
    OK(t[1].stack_lo == 0x11000, "sp in the guard page: the stack above it");
    OK(t[2].stack_lo == 0x30000, "sp in the gap below");
    OK(t[3].stack_lo == 0 && t[3].stack_hi == 0, "sp nowhere");
    OK(img.segs.v[1].flags & HR_SEG_STACK && img.segs.v[2].flags & HR_SEG_STACK && !(img.segs.v[0].flags & HR_SEG_STACK), "marked");
    OK(hr_notes_has(&notes, "thread.stack_overflow"), "the overflow is said");
    hr_image_deinit(&img);
}

int main(void)
{
    if (hr_strs_create(&strs) != HR_OK)
        return 1;
    hr_notes_init(&notes);
    test_reads(8, false);
    test_reads(8, true);
    test_reads(4, false);
    test_reads(4, true);
    test_overlaps();
    test_many_overlaps();
    test_bounds();
    test_modules();
    test_stacks();
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return tap_done();
}
