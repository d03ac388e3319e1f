/* A written heap of a microcontroller with any bytes changed.
 *
 * Input: byte 0: which kind; byte 1: bit 0 big endian, bit 1 64-bit; byte 2: seed and steps; then changes of 3 bytes: offset (16 bit),
 * value. */
#include "tests/make/emb_kinds.h"
#include "tests/make/emb_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct kind *k = &kinds[data[0] % NKINDS];
    struct mk_emb e = emb_make(k, k->set.word ? k->set.word : data[1] & 2 ? 8 : 4, data[1] & 1, data[2] >> 6, 1200, 8 + (data[2] & 63));
    for (size_t i = 3; i + 3 <= size; i += 3)
        e.m.p[(data[i] | data[i + 1] << 8) % e.m.n] = data[i + 2];
    struct emb_world w;
    if (emb_read(&w, &e)) {
        if (!emb_sane(&w))
            __builtin_trap();
        emb_forget(&w);
    }
    mk_emb_end(&e);
    return 0;
}
