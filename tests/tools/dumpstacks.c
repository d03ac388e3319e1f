/* Developers' tool: the stacks of a core as JSON, for the truth tests.
 *   dumpstacks [--exe FILE] [--no-types] [--no-locals] CORE */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "analyzer/types/types.h"
#include "formats/image/format.h"

static void str(const char *key, const char *z)
{
    printf("\"%s\": \"", key);
    for (; *z; z++)
        if ((unsigned char)*z < 0x20 || *z == '"' || *z == '\\')
            printf("\\u%04x", (unsigned char)*z);
        else
            putchar(*z);
    printf("\"");
}

static void frame(const struct hr_types *t, const struct hr_stacks *s, const struct hr_frame *f)
{
    static const char *const trust[] = {"regs", "cfi", "fp", "scan"}, *const where[] = {"memory", "register", "none"};
    char name[512];
    printf("   {\"pc\": %llu, \"sp\": %llu, \"cfa\": %llu, ", (unsigned long long)f->pc, (unsigned long long)f->sp,
           (unsigned long long)f->cfa);
    str("func", hr_strs_get(t->strs, f->func));
    printf(", ");
    str("file", hr_strs_get(t->strs, f->file));
    printf(", \"line\": %u, \"trust\": \"%s\", \"inlined\": %s, \"signal\": %s, \"locals\": [", f->line, trust[f->trust & 3],
           f->inlined ? "true" : "false", f->signal_frame ? "true" : "false");
    for (uint32_t i = 0; i < f->nlocals; i++) {
        const struct hr_local *l = &s->locals.v[f->local0 + i];
        uint64_t v = l->value, size = hr_type_get(t, hr_type_strip(t, l->type))->size;
        if (l->where == 0 && size && size <= 8 && !hr_image_uint(t->image, l->addr, (unsigned)size, &v))
            v = 0xdead;
        printf("%s\n      {", i ? "," : "");
        str("name", hr_strs_get(t->strs, l->name));
        printf(", ");
        str("type", hr_type_name(t, l->type, name, sizeof name));
        printf(", \"size\": %llu, \"where\": \"%s\", \"param\": %s, \"addr\": %llu, \"value\": %llu, \"line\": %u}",
               (unsigned long long)size, where[l->where % 3], l->param ? "true" : "false",
               (unsigned long long)l->addr, (unsigned long long)v, l->line);
    }
    printf("]}");
}

static void print(const struct hr_image *img, const struct hr_types *t, const struct hr_stacks *s, double secs)
{
    printf("{\"seconds\": %.3f, \"threads\": [\n", secs);
    for (uint32_t i = 0; i < s->n; i++) {
        printf(" {\"tid\": %u, \"complete\": %s, \"frames\": [\n", img->threads.v[i].tid, s->of[i].complete ? "true" : "false");
        for (uint32_t k = 0; k < s->of[i].nframes; k++) {
            frame(t, s, &s->frames.v[s->of[i].frame0 + k]);
            printf("%s\n", k + 1 < s->of[i].nframes ? "," : "");
        }
        printf(" ]}%s\n", i + 1 < s->n ? "," : "");
    }
    printf("], \"notes\": [");
    for (size_t i = 0; i < img->notes->list.n; i++) {
        printf("%s{", i ? ", " : "");
        str("code", img->notes->list.v[i].code);
        printf(", ");
        str("text", img->notes->list.v[i].text);
        printf("}");
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    struct hr_open_options oo = {0};
    struct hr_dwarf_options dw = {.no_cache = true};
    bool locals = true, quiet = false;
    const char *core = NULL, *dirs[1];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--exe") && i + 1 < argc)
            oo.exe = argv[++i];
        else if (!strcmp(argv[i], "--sysroot") && i + 1 < argc)
            oo.sysroot = argv[++i];
        else if (!strcmp(argv[i], "--debug-dir") && i + 1 < argc)
            dirs[0] = argv[++i], oo.debug_dirs = dirs, oo.ndebug_dirs = 1;
        else if (!strcmp(argv[i], "--no-host-files"))
            oo.no_host_files = true;
        else if (!strcmp(argv[i], "--no-locals"))
            locals = false;
        else if (!strcmp(argv[i], "--quiet"))
            quiet = true;
        else
            core = argv[i];
    }
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_file *f;
    struct hr_types *t;
    struct hr_stacks *s;
    hr_notes_init(&notes);
    if (!core || hr_strs_create(&strs) != HR_OK)
        return 2;
    hr_image_init(&img, strs, &notes);
    enum hr_status st = hr_file_open(core, &oo, &notes, &f);
    if (st == HR_OK)
        st = hr_image_load(&f, 1, &oo, &img);
    if (st == HR_OK)
        st = hr_types_create(&img, &t);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (st == HR_OK)
        st = hr_stacks_create(t, locals, &dw, &s);
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (st != HR_OK) {
        fprintf(stderr, "dumpstacks: %s: %s\n", core, hr_status_name(st));
        for (size_t i = 0; i < notes.list.n; i++)
            fprintf(stderr, "  %s\n", notes.list.v[i].text);
        return 1;
    }
    double secs = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    if (quiet)
        printf("%.3f s, %zu frames, %zu locals\n", secs, s->frames.n, s->locals.n);
    else
        print(&img, t, s, secs);
    hr_stacks_destroy(s);
    hr_types_destroy(t);
    hr_image_deinit(&img);
    hr_file_close(f);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return 0;
}
