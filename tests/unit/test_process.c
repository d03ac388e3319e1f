/* A whole small process written by tests/make: what the loader's list, the vdso and the main stack tell, in four layouts. */
#include "analyzer/image/elf.h"
#include "formats/image/format.h"
#include "tests/make/mk.h"
#include "tests/tap.h"

static void check(const struct hr_image *img, const struct mk_process *p, const char *what)
{
    OK(img->complete && img->threads.n == 1 && img->threads.v[0].stack_lo == MK_P_STACK && img->threads.v[0].sp == MK_P_SP, "%s: thread", what);
    OK(!strcmp(hr_strs_get(img->strs, img->args), "prog -x a  long"), "%s: arguments from the stack", what);
    EQ(img->modules.n, 3, "%s: modules", what);
    if (img->modules.n != 3)
        return;
    const struct hr_module *e = &img->modules.v[0], *l = e + 1, *v = e + 2;
    OK(e->lo == MK_P_EXE && e->bias == 0 && e->main_exe && e->hi >= MK_P_EXE + 1536 && e->dynamic == MK_P_EXE + 512 && e->build_id_len == 6 && e->build_id[0] == 0xaa,
       "%s: the program", what);
    OK(!strcmp(hr_strs_get(img->strs, e->path), p->unlisted ? "prog" : "/bin/prog"), "%s: its name", what);
    OK(l->lo == MK_P_LIB && l->bias == MK_P_LIB && !l->main_exe && l->build_id_len == 6 && l->build_id[0] == 0xbb && !strcmp(hr_strs_get(img->strs, l->path), "/lib/libx.so.1"),
       "%s: the library", what);
    OK(v->lo == MK_P_VDSO && v->bias == MK_P_VDSO && v->state == HR_MOD_OK && !strcmp(hr_strs_get(img->strs, v->path), "[vdso]"), "%s: the vdso", what);
    OK(e->state == HR_MOD_MISSING && l->state == HR_MOD_MISSING, "%s: files are missing", what);
    int64_t ppc = p->big ? 0x7000 : 0; /* the writer's big endian machines count from 0x7000 below the thread pointer */
    OK(e->tls_size == 0x30 && e->tls_modid == 1 && e->tls_offset_known && e->tls_offset == 0x30 - ppc, "%s: TLS of the program", what);
    OK(l->tls_size == 0x18 && l->tls_modid == 2 && l->tls_offset_known && l->tls_offset == MK_P_TLS_OFFSET - ppc, "%s: TLS of the library", what);
    const struct hr_segment *s = hr_image_find(img, MK_P_LIB + 512, NULL);
    OK(s && s->module == 1 && s->file_off == 512 && !s->bytes.n && s->msize == 512, "%s: a page that no file gave stays absent", what);
}

int main(void)
{
    for (unsigned k = 0; k < 32; k++) {
        struct mk_process p = {.word = k & 1 ? 8 : 4, .big = k & 2, .gcore = k & 4, .unlisted = k & 8, .circle = k & 16};
        char what[80];
        snprintf(what, sizeof what, "%u-bit %s%s%s%s", p.word * 8, p.big ? "big" : "little", p.gcore ? " gcore" : "", p.unlisted ? " unlisted" : "",
                 p.circle ? " circle" : "");
        struct mk m = mk_process(&p);
        struct hr_strs *strs;
        struct hr_notes notes;
        struct hr_image img;
        if (hr_strs_create(&strs) != HR_OK)
            return 1;
        hr_notes_init(&notes);
        hr_image_init(&img, strs, &notes);
        struct hr_file f = {.path = "core", .bytes = {m.p, m.n}}, *files[] = {&f};
        EQ(hr_image_load(files, 1, &(struct hr_open_options){.no_host_files = true}, &img), HR_OK, "%s: loads (%zu bytes)", what, m.n);
        check(&img, &p, what);
        hr_image_deinit(&img);
        hr_notes_deinit(&notes);
        hr_strs_destroy(strs);
        mk_free(&m);
    }
    return tap_done();
}
