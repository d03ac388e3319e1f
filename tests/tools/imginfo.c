/* Developer's tool: what the image room makes of a dump. Not installed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"
#include "formats/image/format.h"

static void print_image(const struct hr_image *img)
{
    const char *flag = "XWRFSCD";
    printf("format %s arch %s big %d word %d page %" PRIu64 " signal %d code %d fault %" PRIx64 " pid %u gcore %d complete %d missing %" PRIu64 " dumped %" PRIu64 "\n",
           img->format, img->arch->name, img->big, img->word, img->page, img->signal, img->si_code, img->fault_addr, img->pid, img->by_gcore,
           img->complete, img->missing_bytes, img->dumped_bytes);
    printf("auxv %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", img->auxv_phdr, img->auxv_entry, img->auxv_base,
           img->auxv_sysinfo_ehdr, img->auxv_random);
    printf("command %s args %s\n", hr_strs_get(img->strs, img->command), hr_strs_get(img->strs, img->args));
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        char f[8];
        for (int b = 0; b < 7; b++)
            f[b] = s->flags >> b & 1 ? flag[b] : '-';
        f[7] = 0;
        printf("seg %" PRIx64 " %" PRIx64 " %s have %zx mod %d off %" PRIx64 " %s\n", s->addr, s->addr + s->msize, f, s->bytes.n, (int)s->module,
               s->file_off, hr_strs_get(img->strs, s->name));
    }
    for (size_t i = 0; i < img->modules.n; i++) {
        const struct hr_module *m = &img->modules.v[i];
        printf("mod %zu %" PRIx64 " %" PRIx64 " bias %" PRIx64 " state %d exe %d tls %" PRIx64 "/%u dyn %" PRIx64 " eh %" PRIx64 " id ", i, m->lo, m->hi, m->bias, m->state,
               m->main_exe, m->tls_size, m->tls_modid, m->dynamic, m->eh_frame_hdr);
        for (int k = 0; k < m->build_id_len; k++)
            printf("%02x", m->build_id[k]);
        if (m->tls_offset_known)
            printf(" tlsoff %" PRId64, m->tls_offset);
        else
            printf(" tlsoff -");
        printf(" syms %u/%u sections %u debug %s path %s\n", m->elf ? hr_elf_nsyms(m->elf, false) : 0, m->elf ? hr_elf_nsyms(m->elf, true) : 0,
               m->elf ? m->elf->nsec : 0, hr_strs_get(img->strs, m->debug_file), hr_strs_get(img->strs, m->path));
    }
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        printf("thread %u sig %d pc %" PRIx64 " sp %" PRIx64 " tp %" PRIx64 " %d stack %" PRIx64 " %" PRIx64 " name %s\n", t->tid, t->signal, t->pc, t->sp,
               t->tp, t->tp_valid, t->stack_lo, t->stack_hi, hr_strs_get(img->strs, t->name));
        for (unsigned r = 0; r < img->arch->nregs; r++)
            printf("reg %u %u %d %" PRIx64 "\n", t->tid, r, (int)(t->reg_valid >> r & 1), t->reg[r]);
    }
}

int main(int argc, char **argv)
{
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_open_options opt = {0};
    const char *dirs[16];
    uint64_t peek[256];
    size_t npeek = 0;
    opt.debug_dirs = dirs;
    struct hr_file *f[8];
    size_t nf = 0;
    if (hr_strs_create(&strs) != HR_OK)
        return 3;
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    enum hr_status st = HR_OK;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--exe") && i + 1 < argc)
            opt.exe = argv[++i];
        else if (!strcmp(argv[i], "--sysroot") && i + 1 < argc)
            opt.sysroot = argv[++i];
        else if (!strcmp(argv[i], "--debug-dir") && i + 1 < argc && opt.ndebug_dirs < 16)
            dirs[opt.ndebug_dirs++] = argv[++i];
        else if (!strcmp(argv[i], "--peek") && i + 1 < argc && npeek < 256) /* four bytes at an address */
            peek[npeek++] = strtoull(argv[++i], NULL, 16);
        else if (!strcmp(argv[i], "--no-host"))
            opt.no_host_files = true;
        else if (!strcmp(argv[i], "--regs") && i + 1 < argc)
            opt.regs = argv[++i];
        else if (!strcmp(argv[i], "--arch") && i + 1 < argc)
            opt.arch = argv[++i];
        else if (nf < 8 && st == HR_OK && (st = hr_file_open(argv[i], &opt, &notes, &f[nf])) == HR_OK)
            nf++;
    }
    if (st == HR_OK)
        st = hr_image_load(f, nf, &opt, &img);
    printf("status %s\n", hr_status_name(st));
    print_image(&img);
    for (size_t i = 0; i < npeek; i++) {
        uint64_t v;
        if (hr_image_uint(&img, peek[i], 4, &v))
            printf("peek %" PRIx64 " %" PRIx64 "\n", peek[i], v);
        else
            printf("peek %" PRIx64 " -\n", peek[i]);
    }
    for (size_t i = 0; i < notes.list.n; i++)
        printf("note %d %s: %s\n", notes.list.v[i].level, notes.list.v[i].code, notes.list.v[i].text);
    hr_image_deinit(&img);
    for (size_t i = 0; i < nf; i++)
        hr_file_close(f[i]);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return st != HR_OK;
}
