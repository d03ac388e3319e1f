/* Any bytes as an executable, library or debug file: headers, sections, symbols, notes, compressed sections. */
#include "tests/fuzz/load_elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_elf(data, size);
    return 0;
}
