/* Bytes of small written heaps of microcontrollers changed one by one, and every length they can be cut to: no crash, no hang, sums
 * that hold, blocks in order. */
#include <time.h>

#include "tests/make/emb_kinds.h"
#include "tests/make/emb_world.h"

static const uint8_t values[] = {0x00, 0xff, 0x41, 0x01};

struct tally {
    uint64_t reads, insane, failed;
    double slowest;
};

static void read_once(const struct mk_emb *e, struct tally *t)
{
    struct emb_world w;
    clock_t t0 = clock();
    bool ok = emb_read(&w, e);
    double s = (double)(clock() - t0) / CLOCKS_PER_SEC;
    t->reads++;
    t->failed += !ok;
    t->insane += ok && !emb_sane(&w);
    t->slowest = s > t->slowest ? s : t->slowest;
    if (ok)
        emb_forget(&w);
}

static void sweep(const struct kind *k, unsigned word, bool big)
{
    struct mk_emb e = emb_make(k, word, big, 3, 1200, 60);
    struct tally t = {0};
    for (size_t at = 0x100; at < e.m.n; at += at >= 0x140 && at < 0x480 ? 37 : 5)
        for (size_t i = 0; i < sizeof values; i++) {
            uint8_t was = e.m.p[at];
            e.m.p[at] = i + 1 < sizeof values ? values[i] : was ^ 1;
            if (e.m.p[at] != was)
                read_once(&e, &t);
            e.m.p[at] = was;
        }
    size_t whole = e.m.n;
    for (e.m.n = 0x480; e.m.n < whole; e.m.n += 61)
        read_once(&e, &t);
    e.m.n = whole;
    OK(t.reads && !t.failed && !t.insane && t.slowest < 2, "%s, %u bits, %s endian: %" PRIu64 " reads, sums and order hold in each, none took long", k->name, 8 * word,
       big ? "big" : "little", t.reads);
    mk_emb_end(&e);
}

int main(void)
{
    for (unsigned i = 0; i < NKINDS; i++) {
        unsigned word = kinds[i].set.word ? kinds[i].set.word : i % 2 ? 8 : 4;
        sweep(&kinds[i], word, i % 3 == 0);
    }
    return tap_done();
}
