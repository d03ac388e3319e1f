/* Locals of frames with every allocation failing in turn, and all from one on: an answer or none, no crash, no leak. */
#include "tests/fuzz/pc.h"
#include "tests/tap.h"

#include "analyzer/base/mem.h"

static uint8_t file[1 << 16];

static size_t load(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(file, 1, sizeof file, f) : 0;
    if (f)
        fclose(f);
    return n;
}

int main(void)
{
    static const char *const seeds[] = {"tests/fuzz/corpus/fuzz_pc/l5", "tests/fuzz/corpus/fuzz_pc/c5"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        size_t n = load(seeds[i]);
        OK(n, "%s is there", seeds[i]);
        hr_mem_fail(0, false);
        pc_target(file, n);
        uint64_t all = hr_mem_count(), step = all / 400 + 1;
        for (uint64_t k = 1; k <= all; k += step)
            for (int after = 0; after < 2; after++) {
                hr_mem_fail(k, after);
                pc_target(file, n);
            }
        hr_mem_fail(0, false);
        OK(all > 20, "%llu allocations, every %llu. failed, once and from then on", (unsigned long long)all, (unsigned long long)step);
    }
    return tap_done();
}
