/* Any bytes as an image in any of the formats, put at an address.
 *
 * Input: byte 0: bit 0 whether an address is given, the rest which one; then the file. */
#include "tests/fuzz/load_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t where[] = {0x20000000, 0, UINT64_MAX, UINT64_MAX - 31, 0xfffffff0, 0x7fffffffffffffff};
    if (!size)
        return 0;
    volatile uint64_t keep = load_at(data + 1, size - 1, data[0] & 1, where[(data[0] >> 1) % (sizeof where / sizeof *where)]);
    (void)keep;
    return 0;
}
