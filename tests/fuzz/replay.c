/* Runs one fuzz target over files instead of libFuzzer: every file of the corpus is one TAP result. Linked with each
 * tests/fuzz/NAME.c (a libFuzzer target: LLVMFuzzerTestOneInput) into build/tests/fuzz/NAME. Also tries the empty input. */
#include "tests/tap.h"

#include <dirent.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An exact-size heap copy, so that a sanitizer sees the first byte read too far. */
static int one_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    uint8_t *data = size > 0 ? malloc((size_t)size) : NULL;
    int bad = size < 0 || (size && (!data || fread(data, 1, (size_t)size, f) != (size_t)size));
    fclose(f);
    if (!bad)
        LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return bad ? -1 : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void folder(const char *path)
{
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
            printf("# %s\n", file);
            fflush(stdout);
            OK(one_file(file) == 0, "%s", names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    OK(1, "the empty input");
    for (int i = 1; i < argc; i++)
        folder(argv[i]);
    return tap_done();
}
