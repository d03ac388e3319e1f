/* Cost of marking per block and per word, in units of summing the words: bench_mark [blocks [shape ...]]
 *
 * The heap is made in memory as glibc lays it out (16-byte granules, 32 to 64 bytes a chunk, its size before each block). Shapes:
 * lists: 64 lists in parallel, each in order of allocation; shuffled: the same in random order of memory; tree: a binary tree in
 * random order; array: one array of pointers to all; chain: a single list in random order (no two misses can overlap); lost:
 * lists that nothing points at, so all of it is leaked; large: lists of which three blocks in seven have 0.5 to 1.5 KB. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "analyzer/base/map.h"
#include "analyzer/heap/builder.h"
#include "analyzer/heap/mark.h"

static uint8_t *mem;
static uint64_t base = 0x555555560000, size;
static uint32_t n, *off; /* granule of each block */
static bool large;

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void put(uint32_t block, int word, uint64_t v) { memcpy(mem + 16ull * off[block] + 8 * word, &v, 8); }
static uint64_t addr(uint32_t block) { return base + 16ull * off[block]; }

static void lay_out(bool array)
{
    off = malloc(sizeof *off * n);
    uint64_t at = array ? (n + 2) * 8ull / 16 * 16 + 16 : 32;
    for (uint32_t i = 0; off && i < n; i++) {
        uint64_t mix = hr_mix(i);
        unsigned r = (unsigned)(mix % 10);
        off[i] = (uint32_t)(at / 16);
        if (large && mix >> 40 & 7 && (mix >> 40 & 7) <= 3)
            at += 528 + (mix >> 50) % 1024 / 16 * 16;
        else
            at += i || !array ? (r < 5 ? 32 : r < 8 ? 48 : 64) : 32;
    }
    size = at;
    mem = calloc(1, size + 64);
    if (!off || !mem)
        exit(1);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t chunk = (i + 1 < n ? 16ull * off[i + 1] : size) - 16ull * off[i];
        memcpy(mem + 16ull * off[i] - 8, &chunk, 8);
        memset(mem + 16ull * off[i], 0x11, chunk - 8);
    }
}

static uint32_t *permutation(bool shuffle)
{
    uint32_t *p = malloc(sizeof *p * n);
    for (uint32_t i = 0; p && i < n; i++)
        p[i] = i;
    for (uint32_t i = n; p && shuffle && i > 1; i--) {
        uint32_t k = (uint32_t)(hr_mix(i) % i), t = p[i - 1];
        p[i - 1] = p[k], p[k] = t;
    }
    if (!p)
        exit(1);
    return p;
}

/* Returns how many roots; their values are the first words of the memory that is the root. */
static uint32_t link_up(const char *shape, uint64_t *root)
{
    bool array = !strcmp(shape, "array"), tree = !strcmp(shape, "tree");
    uint32_t lists = !strcmp(shape, "chain") || tree ? 1 : 64, *p = permutation(strcmp(shape, "lists") && strcmp(shape, "lost") && !large);
    if (array) {
        for (uint32_t i = 0; i < n; i++)
            memcpy(mem + 8 * (i + 1), &(uint64_t){addr(p[i])}, 8);
        root[0] = base;
        lists = 1;
    } else if (tree) {
        for (uint32_t i = 0; i < n; i++)
            for (int k = 1; k <= 2; k++)
                put(p[i], k - 1, 2 * (uint64_t)i + k < n ? addr(p[2 * i + k]) : 0);
        root[0] = addr(p[0]);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            put(p[i], 0, i >= lists ? addr(p[i - lists]) : 0);
            put(p[i], 1, hr_mix(i ^ 99) % 8 ? 0 : addr(p[hr_mix(i) % (i + 1)]));
        }
        for (uint32_t i = 0; i < lists; i++)
            root[i] = addr(p[n - 1 - i]);
    }
    free(p);
    return lists;
}

static enum hr_status walk(void *self, uint64_t array, struct hr_builder *b)
{
    (void)self;
    if (array)
        HR_TRY(hr_emit(b, base, 8ull * (n + 1), HR_USED));
    for (uint64_t at = 16ull * off[0]; at < size;) {
        uint64_t chunk = hr_load64(mem + at - 8, false);
        HR_TRY(hr_emit(b, base + at, chunk - 8, HR_USED));
        at += chunk;
    }
    return HR_OK;
}

static struct hr_heap *build(struct hr_image *img, bool array)
{
    static const struct hr_allocator_info info = {.name = "bench"};
    struct hr_builder *b;
    struct hr_heap *h;
    uint16_t a;
    uint32_t arena;
    if (hr_builder_create(img, &b) != HR_OK || hr_builder_allocator(b, &info, 4, &a) != HR_OK ||
        hr_builder_arena(b, &(struct hr_arena){.allocator = a}, &arena) != HR_OK ||
        hr_builder_region(b, base, size, arena, walk, NULL, array) != HR_OK || hr_builder_run(b, &h) != HR_OK)
        exit(1);
    hr_builder_destroy(b);
    return h;
}

static void bench(const char *shape)
{
    static uint64_t root[64];
    bool array = !strcmp(shape, "array");
    large = !strcmp(shape, "large");
    lay_out(array);
    uint32_t roots = link_up(shape, root);
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        exit(1);
    hr_image_init(&img, strs, &notes);
    img.word = 8;
    if (hr_image_add(&img, (struct hr_segment){base, size, {mem, size}, HR_SEG_W, HR_NONE, 0, 0}) != HR_OK ||
        hr_image_add(&img, (struct hr_segment){0x1000, 512, {(uint8_t *)root, 512}, HR_SEG_W, HR_NONE, 0, 0}) != HR_OK ||
        hr_image_seal(&img) != HR_OK)
        exit(1);
    double t0 = cpu();
    uint64_t sum = 0;
    for (uint64_t i = 0; i + 8 <= size; i += 8)
        sum += hr_load64(mem + i, false);
    double t1 = cpu();
    struct hr_heap *h = build(&img, array);
    double t2 = cpu();
    if (strcmp(shape, "lost") && hr_rootvec_push(&h->roots, (struct hr_root){.addr = 0x1000, .size = 8ull * roots, .kind = HR_ROOT_STATIC}) != HR_OK)
        exit(1);
    h->roots_complete = true;
    struct hr_leaks *l;
    if (hr_mark(h, NULL) != HR_OK)
        exit(1);
    double t3 = cpu();
    if (hr_leaks_find(h, NULL, &l) != HR_OK)
        exit(1);
    double t4 = cpu();
    double s = t1 - t0;
    printf("%9u %-9s sum %.3f s (%" PRIx64 ")  build %.3f s %5.1f ns/block  mark %.3f s %5.1f ns/block %5.2f ns/word %5.1f x sum  "
           "leaks %.3f s (%" PRIu64 " blocks)\n", n, shape, s, sum & 15, t2 - t1, (t2 - t1) * 1e9 / n, t3 - t2, (t3 - t2) * 1e9 / n,
           (t3 - t2) * 8e9 / (double)size, (t3 - t2) / s, t4 - t3, l->blocks);
    fflush(stdout);
    hr_leaks_destroy(l);
    hr_heap_destroy(h);
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    free(off);
    free(mem);
}

int main(int argc, char **argv)
{
    static const char *const all[] = {"lists", "shuffled", "tree", "array", "chain", "lost", "large"};
    n = argc > 1 ? (uint32_t)atof(argv[1]) : 10000000;
    for (int i = 2; i < argc; i++)
        bench(argv[i]);
    for (int i = 0; argc < 3 && i < 7; i++)
        bench(all[i]);
    return 0;
}
