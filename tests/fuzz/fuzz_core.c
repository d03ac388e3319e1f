/* Any bytes as a memory image in any of the formats: the ELF core reader first of all. */
#include "tests/fuzz/load_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    volatile uint64_t keep = load_core(data, size);
    (void)keep;
    return 0;
}
