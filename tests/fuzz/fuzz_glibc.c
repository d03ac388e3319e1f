/* A glibc heap with any bytes changed.
 *
 * Input: byte 0: bit 0 big endian, bit 1 64-bit, bit 2 alignment 16, bit 3 says its version; byte 1: version; byte 2: chunks;
 * then changes of 4 bytes: part, offset (16 bit), value. What is left over of a change is appended to the heap. */
#include "tests/make/glibc_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct world w = {.m = {.word = data[0] & 2 ? 8 : 4, .big = data[0] & 1, .says_version = data[0] & 8, .chunks = data[2] % 64,
                            .seed = 88172645463325252ull}};
    w.m.minor = 23 + data[1] % 20;
    w.m.align = data[0] & 2 || (data[0] & 4 && w.m.minor >= 26) ? 16 : 8;
    world_write(&w);
    for (size_t i = 3; i + 4 <= size; i += 4) {
        struct mk_part *p = &w.m.part[data[i] % MK_PARTS];
        p->bytes.p[(data[i + 1] | data[i + 2] << 8) % p->bytes.n] = data[i + 3];
    }
    if (world_read(&w) && !world_sane(&w))
        __builtin_trap();
    world_end(&w);
    return 0;
}
