/* Every truncation of small debug sections of real compilers, and every byte of them set to extremes: the reader gives a
 * valid table or refuses; nothing else. Likewise for the flat table it hands back. (In-process: see fuzz_dwarf.c.) */
#define LLVMFuzzerTestOneInput dwarf_input
#include "tests/fuzz/fuzz_dwarf.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput blob_input
#include "tests/fuzz/fuzz_blob.c"
#include "tests/tap.h"

enum { MAX = 1 << 16 };

static size_t read_seed(const char *kind, const char *name, uint8_t *buf)
{
    char path[256];
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", kind, name);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(buf, 1, MAX, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static void sweep(const char *kind, const char *name, int (*run)(const uint8_t *, size_t), size_t step)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    static uint8_t seed[MAX], work[MAX];
    size_t n = read_seed(kind, name, seed), runs = 0;
    OK(n > 200, "%s %s: there is a seed", kind, name);
    for (size_t cut = 0; cut <= n; cut += step, runs++)
        run(seed, cut);
    OK(runs >= n / step, "%s %s: cut at every length", kind, name);
    memcpy(work, seed, n);
    for (size_t i = 0; i < n; i += step)
        for (size_t k = 0; k < sizeof values; k++, runs++) {
            work[i] = values[k];
            if (i + 1 < n && k & 1)
                work[i + 1] = values[k];
            run(work, n);
            memcpy(work, seed, n);
        }
    OK(runs > n / step * 6, "%s %s: every byte set to extremes, %zu runs", kind, name, runs);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    sweep("fuzz_dwarf", "gcc-c-2", dwarf_input, 1);
    sweep("fuzz_dwarf", "gcc-c-be64", dwarf_input, 1);
    sweep("fuzz_dwarf", "clang-c-5", dwarf_input, 1);
    sweep("fuzz_dwarf", "gcc-cxx-units-4", dwarf_input, 3);
    sweep("fuzz_dwarf", "gcc-cxx-units-5", dwarf_input, 3);
    sweep("fuzz_blob", "table1", blob_input, 1);
    sweep("fuzz_blob", "table2", blob_input, 1);
    return tap_done();
}
