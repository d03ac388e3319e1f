#include <string.h>

#include "tests/make/mk.h"

static unsigned machine_of(unsigned word, bool big) { return word == 8 ? (big ? 21 : 62) : big ? 20 : 3; } /* ppc, x86 */

/* One page of ELF headers: PT_LOAD of itself, PT_LOAD of the data page, PT_NOTE, PT_DYNAMIC, PT_TLS. */
static struct mk header_page(const struct mk_process *p, uint64_t base, uint8_t id, uint64_t tls, bool data)
{
    struct mk note = mk_new(p->word, p->big);
    uint8_t ident[6] = {id, id, 1, 2, 3, id};
    mk_note(&note, "GNU", 3, ident, sizeof ident);
    uint64_t hdr = (p->word == 8 ? 64 : 52) + 5 * (p->word == 8 ? 56 : 32);
    struct mk_sec s[] = {{".note.gnu.build-id", 7, 2, 0, note.p, note.n}};
    struct mk_ph h[] = {{1, 4, base, 512, 512, 512, -1}, {4, 4, base + (hdr + 15) / 16 * 16, note.n, note.n, 4, 0},
                        {data ? 1 : 0, 6, base + 512, 1024, 512, 512, -1}, {2, 6, base + 512, 64, 64, 8, -1}, {tls ? 7 : 0, 4, base + 512, tls, 16, 16, -1}};
    struct mk m = mk_elf(&(struct mk_elf){p->word, p->big, base ? 2 : 3, machine_of(p->word, p->big), base + 0x40, h, 5, s, 1, false});
    for (int i = 2; i < 5; i++) /* these lie behind the header page */
        mk_set(&m, (p->word == 8 ? 64u : 52u) + (unsigned)i * (p->word == 8 ? 56u : 32u) + (p->word == 8 ? 8 : 4), 512, p->word);
    if (m.n < 512)
        mk_zero(&m, 512 - m.n);
    m.n = 512;
    mk_free(&note);
    return m;
}

static void put(struct mk *m, uint64_t addr, uint64_t v) { mk_set(m, addr - MK_P_EXE - 512, v, m->word); }

/* link_map: l_addr l_name l_ld l_next l_prev … and glibc's TLS record 12 words in */
static void link_map(struct mk *m, uint64_t at, uint64_t bias, uint64_t name, uint64_t ld, uint64_t next)
{
    uint64_t v[] = {bias, name, ld, next};
    for (unsigned i = 0; i < 4; i++)
        put(m, at + i * m->word, v[i]);
}

static void tls_record(struct mk *m, uint64_t at, uint64_t init, uint64_t size, uint64_t offset, uint64_t modid)
{
    uint64_t v[] = {init, 16, size, 16, 0, offset, modid};
    for (unsigned i = 0; i < 7; i++)
        put(m, at + (5 + i) * m->word, v[i]);
}

static struct mk data_page(const struct mk_process *p)
{
    struct mk m = mk_new(p->word, p->big);
    mk_zero(&m, 512);
    unsigned w = p->word;
    uint64_t page = MK_P_EXE + 512, name = page + 0x20 + 4 * w, map1 = page + 0x100, map2 = map1 + 14 * w;
    put(&m, page, 1); /* DT_NEEDED */
    put(&m, page + w, 5);
    put(&m, page + 2 * w, 21); /* DT_DEBUG */
    put(&m, page + 3 * w, MK_P_RDEBUG);
    memcpy(m.p + (name - page), "/lib/libx.so.1", 15);
    mk_set(&m, MK_P_RDEBUG - page, 1, 4); /* r_version */
    put(&m, MK_P_RDEBUG + w, map1);
    link_map(&m, map1, 0, name + 14, page, map2); /* the program's name is "" */
    tls_record(&m, map1, MK_P_EXE + 512, 0x30, 0x30, 1);
    link_map(&m, map2, MK_P_LIB, name, MK_P_LIB + 512, p->circle ? map1 : 0);
    tls_record(&m, map2, MK_P_LIB + 512, 0x18, MK_P_TLS_OFFSET, 2);
    return m;
}

/* From the bottom: argc, argv, 0, envp, 0, auxv; strings; the random bytes. */
static struct mk stack_page(const struct mk_process *p, const uint64_t (*aux)[2], size_t naux)
{
    struct mk m = mk_new(p->word, p->big);
    uint64_t strings = MK_P_STACK + 0x180;
    mk_zero(&m, 0x20);
    uint64_t words[] = {3, strings, strings + 5, strings + 8, 0, strings + 16, 0};
    for (size_t i = 0; i < 7; i++)
        mk_word(&m, words[i]);
    for (size_t i = 0; i < naux; i++) {
        mk_word(&m, aux[i][0]);
        mk_word(&m, aux[i][1]);
    }
    mk_word(&m, 0);
    mk_word(&m, 0);
    mk_zero(&m, 0x180 - m.n);
    mk_bytes(&m, "prog\0-x\0a  long\0HOME=/", 23);
    mk_zero(&m, 512 - m.n);
    return m;
}

struct mk mk_process(const struct mk_process *p)
{
    const uint64_t aux[][2] = {{33, MK_P_VDSO}, {6, MK_P_PAGE}, {3, MK_P_EXE + (p->word == 8 ? 64u : 52u)}, {5, 5}, {9, MK_P_EXE + 0x40},
                               {25, MK_P_STACK + 0x1c0}};
    struct mk exe = header_page(p, MK_P_EXE, 0xaa, 0x30, true), lib = header_page(p, 0, 0xbb, 0x18, true), vdso = header_page(p, 0, 0xcc, 0, false);
    struct mk data = data_page(p), stack = stack_page(p, aux, 6);
    struct mk_load l[] = {{MK_P_EXE, 512, exe.p, 512, MK_R}, {MK_P_EXE + 512, 512, data.p, 512, MK_R | MK_W}, {MK_P_LIB, 512, lib.p, 512, MK_R},
                          {MK_P_LIB + 512, 512, NULL, 0, MK_R | MK_W}, {MK_P_VDSO, 512, vdso.p, 512, MK_R | MK_X}, {MK_P_STACK, 512, stack.p, 512, MK_R | MK_W}};
    struct mk_file f[] = {{MK_P_EXE, MK_P_EXE + 512, 0, "/bin/prog"}, {MK_P_EXE + 512, MK_P_EXE + 1024, 1, "/bin/prog"},
                          {MK_P_LIB, MK_P_LIB + 512, 0, "/lib/libx.so.1"}, {MK_P_LIB + 512, MK_P_LIB + 1024, 1, "/lib/libx.so.1"}};
    struct mk_thread t = {.tid = 42, .signal = 11};
    t.slot[p->big ? 1 : p->word == 8 ? 19 : 15] = MK_P_SP;
    struct mk m = mk_core(&(struct mk_core){.word = p->word, .big = p->big, .machine = machine_of(p->word, p->big), .nslots = p->big ? 48 : p->word == 8 ? 27 : 17,
        .loads = l, .nloads = 6, .threads = &t, .nthreads = 1, .files = f, .nfiles = p->unlisted ? 0 : 4, .auxv = aux, .nauxv = 6, .command = "prog",
        .args = "prog", .pid = 42, .signo = 11, .code = 1, .fault = 0x10, .gcore = p->gcore, .page = MK_P_PAGE, .narrow_ids = p->word == 4 && !p->big});
    struct mk *all[] = {&exe, &lib, &vdso, &data, &stack};
    for (size_t i = 0; i < 5; i++)
        mk_free(all[i]);
    return m;
}

struct mk mk_process_exe(const struct mk_process *p)
{
    struct mk m = header_page(p, MK_P_EXE, 0xaa, 0x30, true), data = data_page(p);
    mk_bytes(&m, data.p, data.n);
    mk_free(&data);
    return m;
}
