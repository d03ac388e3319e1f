/* Bytes of a small written MicroPython changed one by one, and lengths its memory can be cut to: no crash, no hang, answers that hold. */
#include <time.h>

#include "tests/make/mp_world.h"
#include "tests/tap.h"

static const uint8_t values[] = {0x00, 0xff, 0x41, 0x01};
struct tally { uint64_t reads, failed; double slowest; };

static void read_once(const struct mpw *m, struct tally *t)
{
    struct mpw_read got;
    clock_t t0 = clock();
    t->failed += !mpw_read(m, &got);
    double s = (double)(clock() - t0) / CLOCKS_PER_SEC;
    t->slowest = s > t->slowest ? s : t->slowest;
    t->reads++;
}

static void sweep(struct mpw *m, struct mk *part, size_t step, struct tally *t)
{
    for (size_t at = 0; at < part->n; at += step)
        for (size_t i = 0; i < sizeof values; i++) {
            uint8_t was = part->p[at];
            part->p[at] = i + 1 < sizeof values ? values[i] : was ^ 1;
            if (part->p[at] != was)
                read_once(m, t);
            part->p[at] = was;
        }
}

int main(void)
{
    for (unsigned i = 0; i < 6; i++) {
        struct mpw m;
        struct mpw_read got;
        struct tally t = {0};
        bool big = i == 1 || i == 4, recent = i >= 3;
        mpw_make(&m, i % 3 == 2 ? 8 : 4, big, recent);
        bool read = mpw_read(&m, &got);
        OK(read && got.heap && got.state && got.objects == 16 && got.garbage == 1 && !got.damaged,
           "%u bits, %s endian, %s: %u objects, %u of them garbage, state%s found, %s", 8 * m.word, big ? "big" : "little", recent ? "1.27" : "1.9", got.objects,
           got.garbage, got.state ? "" : " not", got.damaged ? "damaged" : "sound");
        sweep(&m, &m.ram, 7, &t);
        sweep(&m, &m.rom, 29, &t);
        size_t whole = m.ram.n;
        for (m.ram.n = 0x40; m.ram.n < whole; m.ram.n += 61)
            read_once(&m, &t);
        m.ram.n = whole;
        OK(t.reads && !t.failed && t.slowest < 2, "%" PRIu64 " reads of it changed or cut: each is answered, none took long", t.reads);
        mpw_end(&m);
    }
    return tap_done();
}
