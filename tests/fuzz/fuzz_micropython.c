/* A written MicroPython with any bytes changed.
 *
 * Input: byte 0: bit 0 big endian, bit 1 64-bit, bit 2 1.20 and later, bit 3 RAM cut short, bits 4 and 5 the representation, bit 6 numbers in
 * one piece; byte 1: where; then changes of 3 bytes: offset (16 bit, the top
 * bit: in ROM), value. */
#include "tests/make/mp_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct mpw m;
    struct mpw_read got;
    mpw_make(&m, data[0] & 2 ? 8 : 4, data[0] & 1, data[0] & 4);
    if (data[0] & 0x70) {
        mpw_end(&m);
        m.repr = "ABCD"[data[0] >> 4 & 3];
        m.word = m.repr == 'C' ? 4 : m.word;
        m.digit = data[0] & 0x40 ? 0 : 2;
        m.block = 0;
        mpw_build(&m);
    }
    for (size_t i = 2; i + 3 <= size; i += 3) {
        struct mk *part = data[i + 1] & 0x80 ? &m.rom : &m.ram;
        part->p[(data[i] | (data[i + 1] & 0x7f) << 8) % part->n] = data[i + 2];
    }
    if (data[0] & 8)
        m.ram.n = 0x40 + data[1] * (m.ram.n - 0x40) / 256;
    if (!mpw_read(&m, &got))
        __builtin_trap();
    mpw_end(&m);
    return 0;
}
