/* Bytes of a small written MicroPython changed one by one, and lengths its memory can be cut to: no crash, no hang, answers that hold. */
#include "tests/make/mp_world.h"
#include "tests/sweep/bytes.h"
#include "tests/tap.h"

static bool answered(const void *world)
{
    struct mpw_read got;
    return mpw_read(world, &got);
}

int main(void)
{
    static const struct mpw worlds[] = {
        {.word = 4, .repr = 'A', .digit = 2, .real = 8}, {.word = 4, .big = true, .repr = 'C', .digit = 2}, {.word = 8, .repr = 'A', .digit = 4, .real = 8},
        {.word = 4, .recent = true, .repr = 'D', .digit = 2}, {.word = 4, .big = true, .recent = true, .repr = 'B', .digit = 2, .real = 4},
        {.word = 8, .recent = true, .repr = 'A', .digit = 0, .real = 8},
    };
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        struct mpw m = worlds[i];
        struct mpw_read got;
        struct tally t = {0};
        unsigned boxed = m.repr == 'A' || m.repr == 'B';
        mpw_build(&m);
        bool read = mpw_read(&m, &got);
        OK(read && got.heap && got.state && got.objects == 17 + 2 * boxed && got.garbage == 1 + boxed && !got.damaged,
           "%u bits, %s endian, %s, representation %c: %u objects, %u of them garbage, state%s found, %s", 8 * m.word, m.big ? "big" : "little",
           m.recent ? "1.27" : "1.9", m.repr, got.objects, got.garbage, got.state ? "" : " not", got.damaged ? "damaged" : "sound");
        sweep(answered, &m, &m.ram, 7, &t);
        sweep(answered, &m, &m.rom, 29, &t);
        size_t whole = m.ram.n;
        for (m.ram.n = 0x40; m.ram.n < whole; m.ram.n += 61)
            read_once(answered, &m, &t);
        m.ram.n = whole;
        OK(t.reads && !t.failed && t.slowest < 2, "%" PRIu64 " reads of it changed or cut: each is answered, none took long", t.reads);
        mpw_end(&m);
    }
    return tap_done();
}
