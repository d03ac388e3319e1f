#include <zlib.h>
#include <zstd.h>

#include "analyzer/base/mem.h"
#include "analyzer/image/elf.h"
#include "tests/make/mk.h"
#include "tests/tap.h"

static const uint8_t id[20] = {0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
enum { BIG_N = 50000 };
static char text[BIG_N]; /* what the compressed sections hold */

/* Sections 1..: text, symtab, strtab, dynsym, note, debuglink, .debug_str compressed by zlib, .debug_line by zstd,
 * .zdebug_abbrev, .bss */
struct parts {
    struct mk sym, str, note, link, zl, zs, zd;
};

static void chdr(struct mk *m, unsigned type)
{
    mk_uint(m, type, 4);
    if (m->word == 8)
        mk_uint(m, 0, 4);
    mk_word(m, BIG_N);
    mk_word(m, 1);
}

static void make_parts(struct parts *p, unsigned word, bool big)
{
    static uint8_t z[BIG_N * 2];
    struct mk *all[] = {&p->sym, &p->str, &p->note, &p->link, &p->zl, &p->zs, &p->zd};
    for (size_t i = 0; i < 7; i++)
        *all[i] = mk_new(word, big);
    mk_sym(&p->sym, 0, 0, 0, 0, 0);
    mk_sym(&p->sym, 1, 0x401000, 0x20, 0x12, 1);
    mk_sym(&p->sym, 6, 0x402000, 8, 0x11, 0xfff1);
    mk_sym(&p->sym, 9999, 1, 1, 0x11, 1); /* a name outside */
    mk_bytes(&p->str, "\0main\0table\0", 12);
    mk_note(&p->note, "XYZ", 1, "other", 5);
    mk_note(&p->note, "GNU", 3, id, sizeof id);
    mk_str(&p->link, "foo.debug");
    mk_align(&p->link, 4);
    mk_uint(&p->link, 0x12345678, 4);
    uLongf zn = sizeof z;
    compress(z, &zn, (const Bytef *)text, BIG_N);
    chdr(&p->zl, 1);
    mk_bytes(&p->zl, z, zn);
    mk_bytes(&p->zd, "ZLIB\0\0\0\0\0\0\xc3\x50", 12);
    mk_bytes(&p->zd, z, zn);
    size_t n = ZSTD_compress(z, sizeof z, text, BIG_N, 3);
    chdr(&p->zs, 2);
    mk_bytes(&p->zs, z, n);
}

static struct mk make(const struct parts *p, unsigned word, bool big, bool extended)
{
    struct mk_sec s[] = {
        {".text", 1, 6, 0x401000, "code code code code!", 20},
        {".symtab", 2, 0, 0, p->sym.p, p->sym.n, 3},
        {".strtab", 3, 0, 0, p->str.p, p->str.n},
        {".dynsym", 11, 2, 0x400300, p->sym.p, p->sym.n * 2 / 4, 3},
        {".note.gnu.build-id", 7, 2, 0x400200, p->note.p, p->note.n},
        {".gnu_debuglink", 1, 0, 0, p->link.p, p->link.n},
        {".debug_str", 1, 0x800, 0, p->zl.p, p->zl.n},
        {".debug_line", 1, 0x800, 0, p->zs.p, p->zs.n},
        {".zdebug_abbrev", 1, 0, 0, p->zd.p, p->zd.n},
        {".bss", 8, 3, 0x403000, NULL, 0x5000},
    };
    struct mk_ph h[] = {
        {1, 5, 0x400000, 0x2000, 0x1000, 0x1000, -1}, {4, 4, 0x400200, p->note.n, p->note.n, 4, 4}, {7, 4, 0x402f00, 0x30, 0x10, 8, 0}};
    return mk_elf(&(struct mk_elf){word, big, 2, 62, 0x401000, h, 3, s, 10, extended});
}

static bool unpacks(const struct hr_elf *e, const char *name)
{
    const struct hr_section *s = hr_elf_section(e, name);
    struct hr_span out = {0};
    void *own = NULL;
    bool ok = s && s->compressed && hr_elf_section_bytes(e, s, BIG_N, &out, &own) == HR_OK && own && out.n == BIG_N &&
              !memcmp(out.p, text, BIG_N);
    hr_free(own);
    return ok && hr_elf_section_bytes(e, s, BIG_N - 1, &out, &own) == HR_LIMIT;
}

static void test_whole(const struct mk *m, const char *what)
{
    struct hr_elf *e;
    uint64_t cut = 99;
    if (hr_elf_create((struct hr_span){m->p, m->n}, &e, &cut) != HR_OK) {
        OK(false, "%s: opens", what);
        return;
    }
    EQ(cut, 0, "%s: nothing missing", what);
    OK(e->word == m->word && e->big == m->big && e->type == 2 && e->machine == 62 && e->entry == 0x401000, "%s: header", what);
    OK(e->nph == 3 && e->ph[0].vaddr == 0x400000 && e->ph[0].memsz == 0x2000 && e->ph[0].filesz == 0x1000 && e->ph[0].flags == 5 &&
           e->ph[2].type == HR_PT_TLS && e->ph[2].align == 8,
       "%s: program headers", what);
    EQ(e->nsec, 12, "%s: sections", what);
    const struct hr_section *s = hr_elf_section(e, ".text");
    OK(s && s->addr == 0x401000 && s->bytes.n == 20 && !memcmp(s->bytes.p, "code", 4), "%s: .text", what);
    s = hr_elf_section(e, ".bss");
    OK(s && s->size == 0x5000 && !s->bytes.n, "%s: .bss has size and no bytes", what);
    OK(!hr_elf_section(e, ".nope"), "%s: no such section", what);
    EQ(hr_elf_nsyms(e, false), 4, "%s: symbols", what);
    EQ(hr_elf_nsyms(e, true), 2, "%s: dynamic symbols", what);
    struct hr_elf_sym y;
    OK(hr_elf_sym(e, false, 1, &y) && !strcmp(y.name, "main") && y.value == 0x401000 && y.size == 0x20 && y.info == 0x12 && y.shndx == 1,
       "%s: a symbol", what);
    OK(hr_elf_sym(e, false, 2, &y) && !strcmp(y.name, "table") && y.shndx == 0xfff1, "%s: another", what);
    OK(hr_elf_sym(e, false, 3, &y) && !strcmp(y.name, ""), "%s: a name outside the table is empty", what);
    OK(!hr_elf_sym(e, false, 4, &y) && !hr_elf_sym(e, true, 2, &y), "%s: no symbol behind the last", what);
    OK(e->build_id_len == 20 && !memcmp(e->build_id, id, 20), "%s: build-id", what);
    OK(!strcmp(e->debuglink, "foo.debug") && e->debuglink_crc == 0x12345678, "%s: debuglink", what);
    OK(unpacks(e, ".debug_str"), "%s: zlib section, and its bound", what);
    OK(unpacks(e, ".debug_line"), "%s: zstd section, and its bound", what);
    OK(unpacks(e, ".debug_abbrev"), "%s: .zdebug section by its new name, and its bound", what);
    hr_elf_destroy(e);
}

/* Every length: opens or says why not; what is missing adds up; no span reaches outside. */
static void test_cut(const struct mk *m, const char *what)
{
    int bad = 0, opened = 0;
    for (size_t n = 0; n < m->n; n++) {
        struct hr_elf *e;
        uint64_t cut = 0;
        uint8_t *copy = malloc(n + 1);
        memcpy(copy, m->p, n);
        enum hr_status st = hr_elf_create((struct hr_span){copy, n}, &e, &cut);
        if (st != HR_OK) {
            bad += n >= 64;
            free(copy);
            continue;
        }
        opened++;
        bad += cut != m->n - n;
        for (uint32_t i = 0; i < e->nsec; i++)
            bad += e->sec[i].bytes.n && (e->sec[i].bytes.p < copy || e->sec[i].bytes.p + e->sec[i].bytes.n > copy + n);
        hr_elf_destroy(e);
        free(copy);
    }
    EQ(bad, 0, "%s: every truncation clips and counts what is missing", what);
    OK(opened > 1000, "%s: %d lengths opened", what, opened);
}

static bool count_notes(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    uint64_t *sum = ctx;
    *sum = *sum * 100 + name.n * 10 + desc.n + type;
    return true;
}

static void test_notes(unsigned word, bool big)
{
    struct mk m = mk_new(word, big);
    mk_note(&m, "A", 1, "12345", 5);
    mk_note(&m, "", 2, "", 0);
    mk_note(&m, "LONG", 0, "1234", 4);
    uint64_t sum = 0;
    hr_elf_notes((struct hr_span){m.p, m.n}, big, 4, count_notes, &sum);
    EQ(sum, (26ull * 100 + 12) * 100 + 54, "notes with odd sizes follow each other");
    sum = 0;
    hr_elf_notes((struct hr_span){m.p, m.n - 2}, big, 4, count_notes, &sum);
    EQ(sum, (26ull * 100 + 12) * 100 + 52, "the last one cut gives what is there");
    mk_set(&m, 0, 0xfffffff0, 4);
    sum = 0;
    hr_elf_notes((struct hr_span){m.p, m.n}, big, 4, count_notes, &sum);
    EQ(sum, 0, "a name larger than the note ends the walk");
    mk_free(&m);
}

static void test_bad(void)
{
    struct hr_elf *e;
    OK(hr_elf_create((struct hr_span){(const uint8_t *)"hello, I am no ELF file", 23}, &e, NULL) == HR_ABSENT, "not ELF");
    OK(hr_elf_create((struct hr_span){(const uint8_t *)"\177ELF\7\7\1.............", 20}, &e, NULL) == HR_CORRUPT, "bad class");
    OK(hr_elf_create((struct hr_span){NULL, 0}, &e, NULL) == HR_ABSENT, "nothing");
}

/* A section that promises 4 GiB out of 30 bytes. */
static void test_bomb(void)
{
    struct mk c = mk_new(8, false);
    mk_uint(&c, 1, 4);
    mk_uint(&c, 0, 4);
    mk_uint(&c, 1ull << 32, 8);
    mk_uint(&c, 1, 8);
    mk_bytes(&c, "\x78\x9c\x03\x00\x00\x00\x00\x01", 8);
    struct mk m = mk_elf(&(struct mk_elf){8, false, 2, 62, 0, NULL, 0, &(struct mk_sec){".debug_info", 1, 0x800, 0, c.p, c.n}, 1, false});
    struct hr_elf *e;
    struct hr_span out;
    void *own;
    if (hr_elf_create((struct hr_span){m.p, m.n}, &e, NULL) == HR_OK) {
        EQ(hr_elf_section_bytes(e, hr_elf_section(e, ".debug_info"), 1ull << 40, &out, &own), HR_LIMIT, "a bomb is not unpacked");
        hr_elf_destroy(e);
    }
    mk_free(&m);
    mk_free(&c);
}

/* Firmware in one piece of RAM: code, constants and variables share a segment, the sections tell them apart. */
static void test_mixed(unsigned word, bool big)
{
    static const struct mk_ph ph[] = {{HR_PT_LOAD, 7, 0x8000, 0x100, 28, 8, 0}, {HR_PT_LOAD, 7, 0x9000, 0x10, 0, 8, -1}};
    static const struct mk_sec s[] = {{".text", 1, 6, 0x8000, "code code code code!", 20}, {".data", 1, 3, 0x8014, "data data", 8}, {".bss", 8, 3, 0x801c, NULL, 0xe4}};
    struct mk m = mk_elf(&(struct mk_elf){word, big, 2, 40, 0x8000, ph, 2, s, 3, false});
    struct hr_elf *e;
    if (hr_elf_create((struct hr_span){m.p, m.n}, &e, NULL) == HR_OK) {
        const struct hr_phdr *p = e->ph;
        OK(e->nph == 3 && p[0].flags == 5 && p[0].vaddr == 0x8000 && p[0].memsz == 20 && p[0].filesz == 20, "the code of a mixed segment is read-only");
        OK(e->nph == 3 && p[1].flags == 6 && p[1].vaddr == 0x8014 && p[1].filesz == 8 && p[1].memsz == 0xec && p[1].off == p[0].off + 20, "its variables follow");
        OK(e->nph == 3 && p[2].flags == 7 && p[2].vaddr == 0x9000 && p[2].memsz == 0x10, "a segment whose sections say nothing stays as it is");
        hr_elf_destroy(e);
    }
    mk_free(&m);
}

int main(void)
{
    for (unsigned i = 0; i < BIG_N; i++)
        text[i] = (char)(i * i / 7 + i / 1000);
    for (int k = 0; k < 8; k++) {
        unsigned word = k & 1 ? 8 : 4;
        bool big = k & 2, extended = k & 4;
        char what[64];
        snprintf(what, sizeof what, "%u-bit %s%s", word * 8, big ? "big" : "little", extended ? " extended" : "");
        struct parts p;
        make_parts(&p, word, big);
        struct mk m = make(&p, word, big, extended);
        test_whole(&m, what);
        if (!extended)
            test_cut(&m, what);
        mk_free(&m);
        struct mk *all[] = {&p.sym, &p.str, &p.note, &p.link, &p.zl, &p.zs, &p.zd};
        for (size_t i = 0; i < 7; i++)
            mk_free(all[i]);
        if (!extended)
            test_notes(word, big), test_mixed(word, big);
    }
    test_bad();
    test_bomb();
    return tap_done();
}
