/* Shared by fuzz_pc.c and torture/test_pc.c. Any ELF file's DWARF asked for pcs, in this process: the child's reading, its answer, and what the parent makes of it.
 *
 * Input: byte 0 even: the rest is an ELF file with debug information (the corpus: small shared libraries). Odd: the rest is the
 * child's answer itself, to a parent that asked about a fixed ELF file. */
#ifndef HR_TESTS_FUZZ_PC_H
#define HR_TESTS_FUZZ_PC_H

#include <string.h>

#include "analyzer/image/elf.h"
#include "analyzer/types/pcinfo.h"
#include "analyzer/types/table.h"

/* libdwarf of 2021 loses memory on its error paths; the child that it lives in ends anyway. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libdwarf"; }

enum { NFRAMES = 6, BIAS = 0x10000000, STACK = 0x7000000 };

struct feed {
    struct hr_span answer; /* p NULL: ask DWARF */
};

static enum hr_status asker(void *ctx, struct hr_pc_query *q, struct hr_u8vec *ret, char *why, size_t cap)
{
    const struct feed *f = ctx;
    struct hr_child_out out = {.cap = 4 << 20};
    enum hr_status st = HR_OK;
    (void)why, (void)cap;
    out.p = hr_alloc(out.cap);
    if (!out.p)
        return HR_NOMEM;
    if (f->answer.p)
        st = hr_child_put(&out, f->answer.p, f->answer.n);
    else
        st = hr_dwarf_pc(q, &out);
    *ret = (struct hr_u8vec){.v = out.p, .n = out.n, .cap = out.cap, .max = out.cap};
    if (st != HR_OK) {
        hr_free(out.p);
        *ret = (struct hr_u8vec){0};
    }
    return st;
}

/* Some frames at addresses spread over the file's code. */
static void frames(const struct hr_elf *e, struct hr_stacks *s, const struct hr_image *img)
{
    const struct hr_section *text = hr_elf_section(e, ".text");
    uint64_t lo = text ? text->addr : 0, n = text ? text->size : 4096;
    for (unsigned i = 0; i < NFRAMES; i++) {
        struct hr_frame f = {.pc = BIAS + lo + n / NFRAMES * i + i, .sp = STACK, .cfa = STACK + 64, .trust = HR_FRAME_CFI};
        for (unsigned r = 0; r < img->arch->nregs; r++)
            f.reg[r] = STACK + r * 8;
        f.reg_valid = 0xffff;
        if (hr_framevec_push(&s->frames, f) != HR_OK)
            return;
    }
}

static void ask(struct hr_image *img, struct hr_types *t, struct hr_elf *e, struct feed *feed)
{
    struct hr_stack_of *of = hr_zalloc(1, sizeof *of);
    struct hr_stacks *s = hr_zalloc(1, sizeof *s);
    if (!of || !s) {
        hr_free(of);
        hr_free(s);
        return;
    }
    s->of = of;
    s->n = 1;
    s->frames.max = 64;
    s->locals.max = 10000;
    frames(e, s, img);
    of->nframes = (uint32_t)s->frames.n;
    enum hr_status st = hr_pcinfo_fill_by(t, s, asker, feed);
    if (st > HR_USAGE)
        __builtin_trap();
    for (size_t i = 0; i < s->frames.n; i++) { /* whatever comes out is in range */
        const struct hr_frame *f = &s->frames.v[i];
        if ((uint64_t)f->local0 + f->nlocals > s->locals.n)
            __builtin_trap();
        for (uint32_t k = 0; k < f->nlocals; k++)
            if (s->locals.v[f->local0 + k].type >= t->rows.n)
                __builtin_trap();
    }
    hr_stacks_destroy(s);
}

static struct hr_elf *elf_of(struct hr_span file)
{
    struct hr_elf *e = NULL;
    return hr_elf_create(file, &e, NULL) == HR_OK ? e : NULL;
}

static int pc_target(const uint8_t *data, size_t size)
{
    static const uint8_t stack[4096];
    /* an ELF64 header and a .debug_info of one byte: enough for a module to be asked about */
    static const uint8_t tiny[] = {0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 62, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 56, 0, 0, 0, 64, 0, 3, 0, 2, 0,
        [64 + 64] = 1, 0, 0, 0, 1, [64 + 64 + 24] = 64, [64 + 64 + 32] = 1,
        [64 + 128] = 13, 0, 0, 0, 3, [64 + 128 + 24] = 0, 1, [64 + 128 + 32] = 24,
        [256] = 0, '.', 'd', 'e', 'b', 'u', 'g', '_', 'i', 'n', 'f', 'o', 0, '.', 's', 'h', 's', 't', 'r', 't', 'a', 'b', 0, 0};
    if (size < 2)
        return 0;
    struct feed feed = {0};
    struct hr_span file = {data + 1, size - 1};
    if (data[0] & 1) {
        feed.answer = file;
        file = (struct hr_span){tiny, sizeof tiny};
    }
    struct hr_elf *e = elf_of(file);
    if (!e)
        return 0;
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types t;
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK) {
        hr_elf_destroy(e);
        return 0;
    }
    hr_image_init(&img, strs, &notes);
    img.arch = hr_arch_by_name(e->word == 8 ? "x86-64" : "i386");
    img.word = e->word;
    img.big = e->big;
    struct hr_segment s = {.addr = STACK, .msize = sizeof stack, .bytes = {stack, sizeof stack}, .flags = HR_SEG_R, .module = HR_NONE};
    struct hr_module m = {.lo = BIAS, .hi = BIAS + 0x1000000, .bias = BIAS, .elf = e, .state = HR_MOD_OK};
    if (hr_modvec_push(&img.modules, m) != HR_OK)
        hr_elf_destroy(e);
    else if (hr_image_add(&img, s) == HR_OK && hr_image_seal(&img) == HR_OK && hr_types_init(&t, strs, &notes) == HR_OK) {
        t.image = &img;
        ask(&img, &t, e, &feed);
        hr_types_deinit(&t);
    }
    hr_image_deinit(&img);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return 0;
}

#endif
