/* Every allocation of the DWARF reader, the flat table and the merge fails once, and from it on: a status comes back, nothing
 * leaks (the sanitizer counts), nothing is touched twice. In-process; libdwarf's own allocations are not ours to fail. */
#include "tests/tap.h"

#include "analyzer/image/elf.h"
#include "analyzer/types/load.h"
#include "analyzer/types/table.h"

static const char *const names[] = {".debug_info", ".debug_types", ".debug_abbrev", ".debug_str", ".debug_line",
                                    ".debug_line_str", ".debug_str_offsets", ".debug_addr"};
enum { NSEC = sizeof names / sizeof *names, OUT = 1 << 20, MAX = 1 << 16 };

static uint8_t seed[MAX], room[OUT];
static size_t nseed;
static struct hr_section sec[NSEC];

/* The sections of a seed of fuzz_dwarf (see there). */
static struct hr_elf sections(void)
{
    struct hr_elf e = {.big = seed[0] & 1, .word = seed[0] & 2 ? 8 : 4, .sec = sec, .type = 2};
    for (size_t at = 1; at + 3 <= nseed && e.nsec < NSEC;) {
        size_t n = hr_min(seed[at + 1] | (size_t)seed[at + 2] << 8, nseed - at - 3);
        sec[e.nsec++] = (struct hr_section){.name = names[seed[at] % NSEC], .type = 1, .size = n, .bytes = {seed + at + 3, n}};
        at += 3 + n;
    }
    return e;
}

static enum hr_status into(struct hr_types *all, struct hr_strs *strs, struct hr_notes *notes, struct hr_span blob)
{
    struct hr_types part;
    uint32_t flags;
    enum hr_status st = hr_types_init(&part, strs, notes);
    if (st == HR_OK)
        st = hr_blob_read(blob, &part, &flags);
    if (st == HR_OK)
        st = hr_types_merge(all, &part, 0, 0, NULL);
    hr_types_deinit(&part);
    return st;
}

static enum hr_status whole(const struct hr_elf *e, size_t *rows_ret)
{
    struct hr_child_out out = {room, 0, OUT};
    struct hr_strs *strs = NULL;
    struct hr_notes notes;
    struct hr_types all = {0};
    hr_notes_init(&notes);
    enum hr_status st = hr_dwarf_to_blob(e, NULL, NULL, &out);
    if (st == HR_OK)
        st = hr_strs_create(&strs);
    if (st == HR_OK)
        st = hr_types_init(&all, strs, &notes);
    if (st == HR_OK)
        st = into(&all, strs, &notes, (struct hr_span){room, out.n});
    *rows_ret = all.rows.n;
    hr_types_deinit(&all);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return st;
}

static void torture(const char *name)
{
    char path[256];
    size_t rows, got;
    snprintf(path, sizeof path, "tests/fuzz/corpus/fuzz_dwarf/%s", name);
    FILE *f = fopen(path, "rb");
    nseed = f ? fread(seed, 1, MAX, f) : 0;
    if (f)
        fclose(f);
    struct hr_elf e = sections();
    hr_mem_fail(0, false);
    OK(whole(&e, &rows) == HR_OK && rows > 10, "%s: %zu rows when nothing fails", name, rows);
    uint64_t n = hr_mem_count();
    unsigned failed = 0, wrong = 0;
    for (uint64_t i = 1; i <= n; i++)
        for (int after = 0; after < 2; after++) {
            hr_mem_fail(i, after);
            enum hr_status st = whole(&e, &got);
            failed += st == HR_NOMEM;
            wrong += st != HR_NOMEM && st != HR_OK && st != HR_ABSENT;
        }
    hr_mem_fail(0, false);
    OK(failed > n, "%s: %u of %llu failures are told", name, failed, (unsigned long long)n * 2);
    EQ(wrong, 0, "%s: none is told as something else", name);
    OK(whole(&e, &got) == HR_OK && got == rows, "%s: and afterwards all is as before", name);
}

int main(void)
{
    torture("gcc-c-5");
    torture("gcc-cxx-units-4");
    torture("clang-c-4");
    return tap_done();
}
