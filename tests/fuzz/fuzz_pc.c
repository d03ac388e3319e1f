/* See pc.h. */
#include "tests/fuzz/pc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return pc_target(data, size); }
