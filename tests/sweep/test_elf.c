/* Small ELF files in four layouts: every length, and two bytes changed at every offset to eight values; first read alone, then as
 * the program of a core, whose build-id most changes leave alone. */
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/fuzz/load_core.h"
#include "tests/fuzz/load_elf.h"
#include "tests/make/mk.h"
#include "tests/tap.h"

static const unsigned values[] = {0x0000, 0xffff, 0x7fff, 0x8000, 0x0001, 0x0100, 0x00ff, 0x4141};
typedef void try_fn(const uint8_t *p, size_t n, void *ctx);

static unsigned long sweep(struct mk *m, try_fn *fn, void *ctx)
{
    unsigned long tried = 0;
    for (size_t n = 0; n <= m->n; n++, tried++)
        fn(m->p, n, ctx);
    for (size_t at = 0; at + 2 <= m->n; at++) {
        uint8_t a = m->p[at], b = m->p[at + 1];
        for (unsigned v = 0; v < 8; v++, tried++) {
            m->p[at] = (uint8_t)(values[v] >> 8);
            m->p[at + 1] = (uint8_t)values[v];
            fn(m->p, m->n, ctx);
        }
        m->p[at] = a;
        m->p[at + 1] = b;
    }
    return tried;
}

static void alone(const uint8_t *p, size_t n, void *ctx)
{
    (void)ctx;
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    load_elf(copy, n);
    free(copy);
}

struct world {
    struct mk core;
    char path[64];
    unsigned long used;
};

/* The file is mapped, so what is read too far is caught by the page's end only: the sizes of the sweep reach that, too. */
static void as_program(const uint8_t *p, size_t n, void *ctx)
{
    struct world *w = ctx;
    FILE *f = fopen(w->path, "wb");
    if (!f || fwrite(p, 1, n, f) != n)
        abort();
    fclose(f);
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    if (hr_strs_create(&strs) != HR_OK)
        abort();
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    struct hr_file file = {.path = "core", .bytes = {w->core.p, w->core.n}}, *files[] = {&file};
    struct hr_open_options opt = {.no_host_files = true, .exe = w->path};
    MUST(hr_image_load(files, 1, &opt, &img) == HR_OK);
    volatile uint64_t keep = look_segments(&img) + look_modules(&img) + look_threads(&img);
    (void)keep;
    w->used += img.modules.n && img.modules.v[0].file;
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    unlink(w->path);
}

/* Sections of every kind the reader knows. */
static struct mk sections(unsigned word, bool big)
{
    uint8_t z[200];
    uLongf zn = sizeof z;
    compress(z, &zn, (const Bytef *)"compressed compressed compressed", 32);
    struct mk sym = mk_new(word, big), note = mk_new(word, big), link = mk_new(word, big), c = mk_new(word, big), zd = mk_new(word, big);
    mk_sym(&sym, 0, 0, 0, 0, 0);
    mk_sym(&sym, 1, 0x1000, 8, 0x12, 1);
    mk_note(&note, "GNU", 3, "12345678", 8);
    mk_str(&link, "x.debug");
    mk_uint(&link, 77, 4);
    mk_uint(&c, 1, 4);
    if (word == 8)
        mk_uint(&c, 0, 4);
    mk_word(&c, 32);
    mk_word(&c, 1);
    mk_bytes(&c, z, zn);
    mk_bytes(&zd, "ZLIB\0\0\0\0\0\0\0\40", 12);
    mk_bytes(&zd, z, zn);
    struct mk_sec s[] = {{".text", 1, 6, 0x1000, "code", 4}, {".symtab", 2, 0, 0, sym.p, sym.n, 3}, {".strtab", 3, 0, 0, "\0main", 6},
                         {".note", 7, 2, 0, note.p, note.n}, {".gnu_debuglink", 1, 0, 0, link.p, link.n}, {".debug_info", 1, 0x800, 0, c.p, c.n},
                         {".zdebug_str", 1, 0, 0, zd.p, zd.n}, {".dynsym", 11, 2, 0, sym.p, sym.n, 3}};
    struct mk_ph h[] = {{1, 5, 0x1000, 0x100, 4, 16, 0}, {4, 4, 0x200, note.n, note.n, 4, 3}};
    struct mk m = mk_elf(&(struct mk_elf){word, big, 3, 62, 0x1000, h, 2, s, 8, false});
    struct mk *all[] = {&sym, &note, &link, &c, &zd};
    for (size_t i = 0; i < 5; i++)
        mk_free(all[i]);
    return m;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned k = 0; k < 4; k++) {
        struct mk_process p = {.word = k & 1 ? 8 : 4, .big = k & 2};
        char what[64];
        snprintf(what, sizeof what, "%u-bit %s endian", p.word * 8, p.big ? "big" : "little");
        struct mk m = sections(p.word, p.big);
        unsigned long n = sweep(&m, alone, NULL);
        OK(n > 8 * m.n, "%s file: %lu ways", what, n);
        mk_free(&m);
        struct world w = {.core = mk_process(&p)};
        const char *tmp = getenv("TMPDIR");
        snprintf(w.path, sizeof w.path, "%.40s/exe-%d", tmp ? tmp : "/tmp", (int)getpid());
        m = mk_process_exe(&p);
        n = sweep(&m, as_program, &w);
        OK(n > 8 * m.n && w.used > 4 * m.n, "%s file as a core's program: %lu ways, used in %lu of them", what, n, w.used);
        mk_free(&m);
        mk_free(&w.core);
    }
    return tap_done();
}
