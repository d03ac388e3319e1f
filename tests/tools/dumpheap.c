/* Developer's tool: what the allocators room makes of a dump, as JSON. Not installed.
 *
 *     dumpheap CORE [--no-debug] [--no-host] [--no-symbols] [--exe F] [--sysroot D] [--debug-dir D] [--at FILE] [--blocks] [--sums]
 *
 * --at: hexadecimal addresses, one a line; for each the block that holds it. --sums: per arena the sums over all blocks. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/allocators.h"
#include "formats/image/format.h"

#define U PRIu64

static void put_string(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20)
            printf("\\u%04x", (unsigned char)*s);
        else
            putchar(*s);
    putchar('"');
}

static void put_arena(const struct hr_heap *h, uint32_t i)
{
    const struct hr_arena *a = &h->arenas.v[i];
    struct hr_mallinfo m;
    hr_glibc_mallinfo(h, i, &m);
    printf("{\"name\": ");
    put_string(hr_strs_get(h->strs, a->name));
    printf(", \"allocator\": \"%s\", \"addr\": %" U ", \"mapped\": %" U ", \"system\": %" U ", \"corrupt\": %s,\n",
           h->allocators.v[a->allocator].name, a->addr, a->mapped, a->system_bytes, a->corrupt ? "true" : "false");
    printf("   \"used\": [%" U ", %" U "], \"cached\": [%" U ", %" U "], \"fast\": [%" U ", %" U "], \"free\": [%" U ", %" U
           "], \"own\": [%" U ", %" U "], \"overhead\": %" U ", \"top\": %" U ",\n",
           a->used_blocks, a->used_bytes, a->cached_blocks, a->cached_bytes, a->fast_blocks, a->fast_bytes, a->free_blocks,
           a->free_bytes, a->own_blocks, a->own_bytes, a->overhead_bytes, a->top_bytes);
    printf("   \"mallinfo\": {\"arena\": %" U ", \"ordblks\": %" U ", \"smblks\": %" U ", \"hblks\": %" U ", \"hblkhd\": %" U
           ", \"fsmblks\": %" U ", \"uordblks\": %" U ", \"fordblks\": %" U ", \"keepcost\": %" U "}}",
           m.arena, m.ordblks, m.smblks, m.hblks, m.hblkhd, m.fsmblks, m.uordblks, m.fordblks, m.keepcost);
}

static void put_block(const struct hr_heap *h, hr_id id)
{
    printf("[%" U ", %" U ", \"%s\", %u]", hr_block_addr(h, id), hr_block_size(h, id), hr_state_name(h->state[id]),
           hr_block_arena(h, id));
}

static void put_at(const struct hr_heap *h, const char *file)
{
    FILE *f = fopen(file, "r");
    uint64_t addr;
    const char *sep = "";
    printf(", \"at\": [");
    while (f && fscanf(f, "%" SCNx64, &addr) == 1) {
        hr_id id = hr_heap_at(h, addr, NULL);
        printf("%s\n  ", sep);
        if (id == HR_NONE)
            printf("null");
        else
            put_block(h, id);
        sep = ",";
    }
    if (f)
        fclose(f);
    printf("]");
}

/* Sums over the columns themselves, so that a test can hold the rows against them. */
static void put_sums(const struct hr_heap *h)
{
    const char *sep = "";
    printf(", \"sums\": [");
    for (uint32_t a = 0; a < h->arenas.n; a++, sep = ", ") {
        uint64_t n[5] = {0}, bytes[5] = {0};
        for (hr_id i = 0; i < h->n; i++)
            if (hr_block_arena(h, i) == a) {
                n[h->state[i]]++;
                bytes[h->state[i]] += hr_block_size(h, i);
            }
        printf("%s[", sep);
        for (int s = 0; s < 5; s++)
            printf("%s[%" U ", %" U "]", s ? ", " : "", n[s], bytes[s]);
        printf("]");
    }
    printf("]");
}

static void put_heap(const struct hr_heap *h, const char *at, bool blocks, bool sums)
{
    const char *sep = "";
    printf("{\"blocks\": %u, \"allocators\": [", h->n);
    for (size_t i = 0; i < h->allocators.n; i++, sep = ", ") {
        printf("%s{\"name\": \"%s\", \"version\": \"%s\", \"evidence\": ", sep, h->allocators.v[i].name,
               h->allocators.v[i].version);
        put_string(h->allocators.v[i].evidence);
        printf("}");
    }
    printf("],\n \"arenas\": [");
    for (uint32_t i = 0; i < h->arenas.n; i++) {
        printf("%s\n  ", i ? "," : "");
        put_arena(h, i);
    }
    printf("],\n \"regions\": [");
    for (size_t i = 0; i < h->regions.n; i++)
        printf("%s[%" U ", %" U ", %u, %u]", i ? ", " : "", h->regions.v[i].addr, h->regions.v[i].size, h->regions.v[i].arena,
               h->regions.v[i].nblocks);
    printf("],\n \"notes\": [");
    for (size_t i = 0; i < h->notes->list.n; i++) {
        const struct hr_note *n = &h->notes->list.v[i];
        printf("%s\n  {\"code\": \"%s\", \"level\": %d, \"addr\": %" U ", \"text\": ", i ? "," : "", n->code, n->level, n->addr);
        put_string(n->text);
        printf("}");
    }
    printf("]");
    if (at)
        put_at(h, at);
    if (sums)
        put_sums(h);
    if (blocks) {
        printf(",\n \"list\": [");
        for (hr_id i = 0; i < h->n; i++) {
            printf("%s\n  ", i ? "," : "");
            put_block(h, i);
        }
        printf("]");
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    const char *core = NULL, *at = NULL, *dir[1];
    bool blocks = false, symbols = true, sums = false;
    struct hr_open_options opt = {.debug_dirs = dir};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-debug"))
            opt.no_debug_files = true;
        else if (!strcmp(argv[i], "--no-host"))
            opt.no_host_files = true;
        else if (!strcmp(argv[i], "--no-symbols"))
            symbols = false;
        else if (!strcmp(argv[i], "--blocks"))
            blocks = true;
        else if (!strcmp(argv[i], "--sums"))
            sums = true;
        else if (!strcmp(argv[i], "--exe") && i + 1 < argc)
            opt.exe = argv[++i];
        else if (!strcmp(argv[i], "--sysroot") && i + 1 < argc)
            opt.sysroot = argv[++i];
        else if (!strcmp(argv[i], "--debug-dir") && i + 1 < argc)
            dir[opt.ndebug_dirs++ & 0] = argv[++i];
        else if (!strcmp(argv[i], "--at") && i + 1 < argc)
            at = argv[++i];
        else
            core = argv[i];
    }
    struct hr_file *f;
    struct hr_types *types = NULL;
    struct hr_heap *heap = NULL;
    if (!core || hr_strs_create(&strs) != HR_OK)
        return 2;
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    enum hr_status st = hr_file_open(core, &opt, &notes, &f);
    if (st == HR_OK)
        st = hr_image_load(&f, 1, &opt, &img);
    /* Without symbols: the modules' files are there for their bytes only. */
    struct hr_modvec kept = {.max = HR_MAX_MODULES};
    for (size_t i = 0; !symbols && i < img.modules.n && st == HR_OK; i++) {
        st = hr_modvec_push(&kept, img.modules.v[i]);
        img.modules.v[i].elf = img.modules.v[i].debug = NULL;
    }
    if (st == HR_OK)
        st = hr_types_create(&img, &types);
    if (st == HR_OK)
        st = hr_heap_build(&img, types, &heap);
    if (st != HR_OK) {
        fprintf(stderr, "%s: %s\n", core, hr_status_name(st));
        return 3;
    }
    put_heap(heap, at, blocks, sums);
    hr_heap_destroy(heap);
    hr_types_destroy(types);
    for (size_t i = 0; i < kept.n; i++) {
        img.modules.v[i].elf = kept.v[i].elf;
        img.modules.v[i].debug = kept.v[i].debug;
    }
    hr_modvec_deinit(&kept);
    hr_image_deinit(&img);
    hr_file_close(f);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return 0;
}
