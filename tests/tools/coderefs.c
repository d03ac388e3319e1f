/* Developers' tool: what a function's code refers to.
 *   coderefs [--exe FILE] CORE ADDRESS|SYMBOL [BYTES] -> "ref 0x…" and "call 0x…" lines in order */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/types/types.h"
#include "formats/image/format.h"

static void print(struct hr_types *t, const char *what, size_t max)
{
    static uint64_t v[4096];
    uint64_t at = strtoull(what, NULL, 0), off;
    if (!at) {
        const struct hr_sym *s = hr_types_load_symbols(t) == HR_OK ? hr_sym_find(t, what, HR_NONE) : NULL;
        if (!s) {
            printf("no symbol\n");
            return;
        }
        at = s->addr;
        max = s->size && s->size < max ? s->size : max;
    } else if (hr_types_load_symbols(t) == HR_OK && hr_sym_at(t, at, &off)) {
        const struct hr_sym *s = hr_sym_at(t, at, &off);
        max = s->size && s->size < max ? s->size : max;
    }
    size_t n = hr_code_data_refs(t->image, at, max, v, 4096);
    for (size_t i = 0; i < n; i++)
        printf("ref %#llx\n", (unsigned long long)v[i]);
    n = hr_code_calls(t->image, at, max, v, 4096);
    for (size_t i = 0; i < n; i++)
        printf("call %#llx\n", (unsigned long long)v[i]);
}

int main(int argc, char **argv)
{
    struct hr_open_options oo = {0};
    int i = 1;
    if (argc > 2 && !strcmp(argv[1], "--exe")) {
        oo.exe = argv[2];
        i = 3;
    }
    if (argc < i + 2)
        return 2;
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_file *f;
    struct hr_types *t;
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        return 1;
    hr_image_init(&img, strs, &notes);
    if (hr_file_open(argv[i], &oo, &notes, &f) != HR_OK || hr_image_load(&f, 1, &oo, &img) != HR_OK ||
        hr_types_create(&img, &t) != HR_OK)
        return 1;
    print(t, argv[i + 1], argc > i + 2 ? strtoull(argv[i + 2], NULL, 0) : 65536);
    hr_types_destroy(t);
    hr_image_deinit(&img);
    hr_file_close(f);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return 0;
}
