/* Every byte of the metadata of small written glibc heaps (main_arena, mp_, the other arena's header, chunk headers and links,
 * the thread's cache), changed to several values: no crash, no hang, sums that hold, blocks that do not overlap. Then every
 * length the heap can be cut to. */
#include <time.h>

#include "tests/make/glibc_world.h"
#include "tests/tap.h"

static const uint8_t values[] = {0x00, 0xff, 0x41, 0x10, 0x02};
enum { XORS = 3 };
static const uint8_t xors[XORS] = {0x01, 0x08, 0x80};

struct tally {
    uint64_t reads, insane, failed;
    double slowest;
};

static void read_once(struct world *w, struct tally *t)
{
    clock_t t0 = clock();
    bool ok = world_read(w);
    double s = (double)(clock() - t0) / CLOCKS_PER_SEC;
    t->reads++;
    t->failed += !ok;
    if (ok && !world_sane(w))
        t->insane++;
    if (s > t->slowest)
        t->slowest = s;
    world_forget(w);
}

static void change(struct world *w, struct mk_part *p, size_t at, struct tally *t)
{
    uint8_t was = p->bytes.p[at];
    for (size_t i = 0; i < sizeof values + XORS; i++) {
        p->bytes.p[at] = i < sizeof values ? values[i] : was ^ xors[i - sizeof values];
        if (p->bytes.p[at] != was)
            read_once(w, t);
    }
    p->bytes.p[at] = was;
}

static void report(const struct tally *t, const char *what, const char *name)
{
    OK(t->reads && !t->failed && !t->insane, "%s, %s: %" PRIu64 " reads, sums and order hold in each", name, what, t->reads);
    OK(t->slowest < 2, "%s, %s: none took long (%.3f s)", name, what, t->slowest);
}

/* step: 1 every byte; more: a sample. */
static void sweep(unsigned word, unsigned align, bool big, unsigned minor, size_t step)
{
    struct world w = {.m = {.word = word, .align = align, .big = big, .minor = minor, .says_version = minor & 1, .chunks = 24,
                            .seed = 88172645463325252ull + minor}};
    char name[80];
    snprintf(name, sizeof name, "2.%u, %u bits, %s", minor, word * 8, big ? "big" : "little");
    world_write(&w);
    struct mk_part *data = &w.m.part[MK_PART_DATA];
    struct tally t = {0};
    for (size_t at = w.m.main_arena - data->addr; at < w.m.mp + 160 - data->addr; at += step)
        if (at < w.m.main_arena - data->addr + 2300 || at >= w.m.mp - data->addr)
            change(&w, data, at, &t);
    report(&t, "main_arena and mp_", name);
    t = (struct tally){0};
    struct mk_part *arena = &w.m.part[MK_PART_ARENA];
    for (size_t at = 0; at < 2300 && at < arena->bytes.n; at += step)
        change(&w, arena, at, &t);
    report(&t, "an arena's header", name);
    t = (struct tally){0};
    for (unsigned i = 0; i < w.m.nblocks; i++) /* header, first two words */
        for (int part = 0; part < MK_PARTS; part++) {
            struct mk_part *p = &w.m.part[part];
            uint64_t off = w.m.block[i].addr - 2 * word - p->addr;
            for (size_t k = 0; k < 4 * word && off + k < p->bytes.n; k += step)
                change(&w, p, off + k, &t);
        }
    report(&t, "chunk headers and links", name);
    t = (struct tally){0};
    struct mk_part *heap = &w.m.part[MK_PART_HEAP];
    size_t full = heap->bytes.n;
    for (size_t n = 0; n <= full; n += step < 4 ? 16 : 240) {
        heap->bytes.n = n; /* bytes there; the segment keeps its size below */
        if (n)
            read_once(&w, &t);
    }
    heap->bytes.n = full;
    report(&t, "cut short", name);
    world_end(&w);
}

int main(void)
{
    sweep(8, 16, false, 36, 1);
    sweep(8, 16, true, 31, 3);
    sweep(4, 16, false, 36, 3);
    sweep(4, 8, true, 27, 3);
    sweep(8, 16, false, 42, 5);
    sweep(4, 8, false, 23, 5);
    return tap_done();
}
