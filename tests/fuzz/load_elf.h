/* Any bytes as an ELF file: read everything of it. For the fuzz target and the sweep. */
#ifndef HR_TESTS_LOAD_ELF_H
#define HR_TESTS_LOAD_ELF_H

#include "analyzer/base/mem.h"
#include "analyzer/image/elf.h"

static bool count(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    *(uint64_t *)ctx += name.n + type + desc.n;
    return true;
}

static uint64_t symbols(const struct hr_elf *e, bool dyn)
{
    uint64_t sum = 0;
    struct hr_elf_sym y;
    uint32_t n = hr_elf_nsyms(e, dyn);
    for (uint32_t i = 0; i < n && i < 1000; i++)
        if (hr_elf_sym(e, dyn, i, &y))
            sum += y.value + strlen(y.name);
    return sum + hr_elf_sym(e, dyn, n, &y);
}

static void load_elf(const uint8_t *data, size_t size)
{
    struct hr_elf *e;
    uint64_t cut, sum = 0;
    if (hr_elf_create((struct hr_span){data, size}, &e, &cut) != HR_OK)
        return;
    for (uint32_t i = 0; i < e->nsec && i < 200; i++) {
        const struct hr_section *s = &e->sec[i];
        struct hr_span out;
        void *own;
        sum += strlen(s->name);
        if (s->bytes.n && (s->bytes.p < data || s->bytes.p + s->bytes.n > data + size))
            __builtin_trap();
        if (hr_elf_section_bytes(e, s, 1 << 20, &out, &own) == HR_OK) {
            if (out.n > 1 << 20 && own)
                __builtin_trap();
            sum += out.n ? out.p[0] + out.p[out.n - 1] : 0;
            hr_free(own);
        }
        if (s->type == HR_SHT_NOTE)
            hr_elf_notes(s->bytes, e->big, 4, count, &sum);
    }
    for (uint32_t i = 0; i < e->nph && i < 200; i++)
        hr_elf_notes(hr_elf_ph_bytes(e, &e->ph[i]), e->big, (unsigned)e->ph[i].align & 15, count, &sum);
    sum += symbols(e, false) + symbols(e, true) + strlen(e->debuglink);
    hr_elf_destroy(e);
    volatile uint64_t keep = sum;
    (void)keep;
}

#endif
