/* Any bytes as a dump: load it and look at everything. A broken promise of image.h traps. For the fuzz target and the sweep. */
#ifndef HR_TESTS_LOAD_CORE_H
#define HR_TESTS_LOAD_CORE_H

#include "analyzer/image/elf.h"
#include "formats/image/format.h"

#define MUST(cond)                                                                                                     \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            __builtin_trap();                                                                                          \
    } while (0)

static uint64_t touch(struct hr_span s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s.n; i += 64)
        sum += s.p[i];
    return s.n ? sum + s.p[s.n - 1] : sum;
}

static uint64_t look_segments(const struct hr_image *img)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        MUST(s->msize && s->addr + s->msize > s->addr && s->bytes.n <= s->msize);
        MUST(!i || s[-1].addr + s[-1].msize <= s->addr);
        MUST(s->module == HR_NONE || s->module < img->modules.n);
        MUST(hr_image_find(img, s->addr, NULL) == s && hr_image_find(img, s->addr + s->msize - 1, NULL) == s);
        if (i < 200)
            sum += touch(s->bytes) + *hr_strs_get(img->strs, s->name);
    }
    return sum;
}

static uint64_t look_modules(const struct hr_image *img)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        MUST(m->build_id_len <= sizeof m->build_id && (!i || m[-1].hi <= m->lo || m[-1].hi <= m[-1].lo));
        uint64_t v;
        sum += hr_image_word(img, m->dynamic, &v) + hr_image_module_at(img, m->lo) + *hr_strs_get(img->strs, m->path);
        for (uint32_t k = 0; m->elf && k < m->elf->nsec && k < 64; k++)
            sum += touch(m->elf->sec[k].bytes) + strlen(m->elf->sec[k].name);
        for (uint32_t k = 0; m->elf && k < hr_elf_nsyms(m->elf, true) && k < 64; k++) {
            struct hr_elf_sym y;
            sum += hr_elf_sym(m->elf, true, k, &y) && y.name[0];
        }
    }
    return sum;
}

static uint64_t look_threads(const struct hr_image *img)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        MUST(img->arch->nregs <= HR_MAX_REGS && (!t->stack_hi || t->stack_lo < t->stack_hi));
        uint64_t v = 0;
        sum += hr_image_word(img, t->sp, &v) + v + t->tp_valid;
    }
    return sum;
}

/* Returns something that depends on all that was read, so that nothing is optimised away. */
__attribute__((unused)) static uint64_t load_at(const uint8_t *data, size_t size, bool has_addr, uint64_t addr)
{
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    uint64_t sum = 0;
    if (hr_strs_create(&strs) != HR_OK)
        return 0;
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    struct hr_file f = {.path = "core", .bytes = {data, size}, .has_addr = has_addr, .addr = addr}, *files[] = {&f};
    static const struct hr_open_options none = {.no_host_files = true}; /* no name of the input is to be opened */
    enum hr_status st = hr_image_load(files, 1, &none, &img);
    if (st == HR_OK) {
        MUST(img.sealed && (img.word == 4 || img.word == 8) && img.arch);
        MUST(img.complete || img.missing_bytes || notes.list.n); /* a dump is not incomplete without a word */
        sum = look_segments(&img) + look_modules(&img) + look_threads(&img);
    }
    MUST(notes.list.n <= 200);
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return sum + st;
}

__attribute__((unused)) static uint64_t load_core(const uint8_t *data, size_t size) { return load_at(data, size, false, 0); }

#endif
