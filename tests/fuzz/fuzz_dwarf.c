/* Any bytes as .debug_* sections, through libdwarf and our reader to a blob, and that into a table. In-process, so that a
 * sanitizer sees what the child would only die of.
 *
 * Input: byte 0: bit 0 big endian, bit 1 64-bit; then records: byte = index of the section's name below, u16 length (little
 * endian, cut at the end of the input), the bytes. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"
#include "analyzer/types/load.h"
#include "analyzer/types/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {".debug_info", ".debug_types", ".debug_abbrev", ".debug_str", ".debug_line",
                                    ".debug_line_str", ".debug_str_offsets", ".debug_addr"};
enum { NSEC = sizeof names / sizeof *names, OUT = 4 << 20 };

/* What every user of the table relies on. */
static void check(const struct hr_types *t)
{
    char buf[256];
    for (uint32_t i = 0; i < t->rows.n; i++) {
        const struct hr_type_row *r = &t->rows.v[i];
        if (r->target >= t->rows.n || (uint64_t)r->field0 + r->nfields > t->fields.n ||
            (uint64_t)r->tparam0 + r->ntparams > t->tparams.n)
            __builtin_trap();
        for (uint32_t k = 0; k < r->nfields; k++) {
            const struct hr_field *f = &t->fields.v[r->field0 + k];
            if (f->type >= t->rows.n)
                __builtin_trap();
            bool whole = r->kind != HR_T_ENUM && !(f->flags & (HR_FF_VIRTUAL | HR_FF_BITFIELD | HR_FF_BASE)) && r->size;
            if (whole && f->type && (f->off > r->size || hr_type_get(t, f->type)->size > r->size - f->off))
                __builtin_trap();
        }
        (void)hr_type_name(t, i, buf, sizeof buf);
        (void)hr_type_at(t, i, r->size / 2, buf, sizeof buf);
    }
    for (size_t i = 0; i < t->vars.n; i++)
        if (t->vars.v[i].type >= t->rows.n)
            __builtin_trap();
}

static void into_table(struct hr_span blob)
{
    struct hr_strs *strs = NULL;
    struct hr_notes notes;
    struct hr_types part, all;
    uint32_t flags;
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK || hr_types_init(&part, strs, &notes) != HR_OK ||
        hr_types_init(&all, strs, &notes) != HR_OK)
        __builtin_trap();
    if (hr_blob_read(blob, &part, &flags) != HR_OK) /* what the child writes, the parent takes */
        __builtin_trap();
    if (hr_types_merge(&all, &part, 0, 0, NULL) == HR_OK) {
        size_t n = all.rows.n;
        check(&all);
        if (hr_types_merge(&all, &part, 1, 0, NULL) == HR_OK && all.rows.n != n) /* a second module with the same types adds none */
            __builtin_trap();
    }
    hr_types_deinit(&part);
    hr_types_deinit(&all);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hr_section sec[NSEC] = {{0}};
    if (size < 1 || size > 1 << 16)
        return 0;
    struct hr_elf elf = {.big = data[0] & 1, .word = data[0] & 2 ? 8 : 4, .sec = sec, .type = 2};
    uint8_t *copy[NSEC];
    for (size_t at = 1; at + 3 <= size && elf.nsec < NSEC;) {
        size_t n = data[at + 1] | (size_t)data[at + 2] << 8;
        const char *name = names[data[at] % NSEC];
        at += 3;
        n = n < size - at ? n : size - at;
        copy[elf.nsec] = malloc(n + 1); /* of its own, so that reading past it is seen */
        memcpy(copy[elf.nsec], data + at, n);
        copy[elf.nsec] = realloc(copy[elf.nsec], n ? n : 1);
        sec[elf.nsec] = (struct hr_section){.name = name, .type = 1, .size = n, .bytes = {copy[elf.nsec], n}};
        elf.nsec++;
        at += n;
    }
    static uint8_t room[OUT];
    struct hr_child_out out = {room, 0, OUT};
    if (hr_dwarf_to_blob(&elf, NULL, NULL, &out) == HR_OK)
        into_table((struct hr_span){out.p, out.n});
    for (uint32_t i = 0; i < elf.nsec; i++)
        free(copy[i]);
    return 0;
}
