#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/image/elf.h"
#include "formats/image/format.h"
#include "tests/make/mk.h"
#include "tests/tap.h"

/* One session over bytes: written to a file because formats take files. */
struct session {
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_file *file;
    enum hr_status st;
};
static char dir[] = "/tmp/test_elf_core.XXXXXX";
static const struct hr_open_options no_host = {.no_host_files = true};

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void save(const char *name, const void *p, size_t n)
{
    unlink(in_dir(name)); /* truncating would make ext4 write it out at once */
    FILE *f = fopen(in_dir(name), "wb");
    if (!f || fwrite(p, 1, n, f) != n)
        abort();
    fclose(f);
}

static void begin(struct session *s, const void *p, size_t n, const struct hr_open_options *opt)
{
    memset(s, 0, sizeof *s);
    save("core", p, n);
    if (hr_strs_create(&s->strs) != HR_OK)
        abort();
    hr_notes_init(&s->notes);
    hr_image_init(&s->img, s->strs, &s->notes);
    s->st = hr_file_open(in_dir("core"), opt, &s->notes, &s->file);
    if (s->st == HR_OK)
        s->st = hr_image_load(&s->file, 1, opt, &s->img);
}

static void end(struct session *s)
{
    hr_image_deinit(&s->img);
    hr_file_close(s->file);
    hr_notes_deinit(&s->notes);
    hr_strs_destroy(s->strs);
}

static const char *note_text(const struct session *s, const char *code)
{
    for (size_t i = 0; i < s->notes.list.n; i++)
        if (!strcmp(s->notes.list.v[i].code, code))
            return s->notes.list.v[i].text;
    return "";
}

/* ---- registers: slots in the kernel's order (ptrace.h of each architecture), expectations by DWARF number ---- */
static const struct machine {
    const char *name;
    unsigned word, machine, nslots;
    bool big;
    int pc_slot, sp_slot, tp_slot; /* -1: none */
    int dwarf[6][2]; /* DWARF number, slot */
    bool narrow;
} machines[] = {
    {"x86-64", 8, 62, 27, false, 16, 19, 21, {{0, 10}, {3, 5}, {6, 4}, {7, 19}, {15, 0}, {16, 16}}},
    {"i386", 4, 3, 17, false, 12, 15, -1, {{0, 6}, {1, 1}, {3, 0}, {4, 15}, {5, 5}, {8, 12}}, true},
    {"aarch64", 8, 183, 34, false, 32, 31, -1, {{0, 0}, {19, 19}, {29, 29}, {30, 30}, {31, 31}, {32, 32}}},
    {"arm", 4, 40, 18, false, 15, 13, -1, {{0, 0}, {4, 4}, {11, 11}, {13, 13}, {14, 14}, {15, 15}}, true},
    {"arm", 4, 40, 18, true, 15, 13, -1, {{0, 0}, {4, 4}, {11, 11}, {13, 13}, {14, 14}, {15, 15}}, true},
    {"riscv64", 8, 243, 32, false, 0, 2, 4, {{1, 1}, {2, 2}, {8, 8}, {10, 10}, {31, 31}, {32, 0}}},
    {"riscv32", 4, 243, 32, false, 0, 2, 4, {{1, 1}, {2, 2}, {8, 8}, {10, 10}, {31, 31}, {32, 0}}},
    {"ppc64", 8, 21, 48, true, 32, 1, 13, {{1, 1}, {13, 13}, {31, 31}, {32, 36}, {33, 32}, {2, 2}}},
    {"ppc64", 8, 21, 48, false, 32, 1, 13, {{1, 1}, {13, 13}, {31, 31}, {32, 36}, {33, 32}, {2, 2}}},
    {"ppc", 4, 20, 48, true, 32, 1, 2, {{1, 1}, {13, 13}, {31, 31}, {32, 36}, {33, 32}, {2, 2}}},
};

static const uint8_t bytes[0x400] = {[0] = 1, [0x3ff] = 9};

static void test_machine(const struct machine *a, bool gcore, bool xnum)
{
    char what[64];
    snprintf(what, sizeof what, "%s %s%s%s", a->name, a->big ? "big" : "little", gcore ? " gcore" : "", xnum ? " xnum" : "");
    struct mk_load loads[] = {{0x10000, 0x400, bytes, 0x400, MK_R | MK_W}, {0x20000, 0x1000, NULL, 0, MK_R | MK_X}, {0x30000, 0x800, bytes, 0x400, MK_R}};
    struct mk_thread t[2] = {{.tid = 4711, .signal = 11, .tls = a->tp_slot < 0 ? 0xbeef0 : 0}, {.tid = 4712, .tls = a->tp_slot < 0 ? 0xcafe0 : 0}};
    for (unsigned i = 0; i < a->nslots; i++) {
        t[0].slot[i] = 0x1000 + i;
        t[1].slot[i] = 0x2000 + i;
    }
    t[0].slot[a->sp_slot] = 0x10100;
    if (a->machine == 3)
        t[0].slot[10] = t[1].slot[10] = 13 << 3 | 3; /* gs selects the middle descriptor */
    static const uint64_t aux[][2] = {{3, 0x40}, {4, 56}, {5, 9}, {6, 65536}, {7, 0x77000}, {9, 0x1234}, {25, 0x10080}, {33, 0}};
    struct mk_core c = {.word = a->word, .big = a->big, .machine = a->machine, .nslots = a->nslots, .loads = loads, .nloads = 3, .threads = t,
                        .nthreads = 2, .auxv = aux, .nauxv = 8, .command = "prog", .args = "prog -x  1 ", .pid = 4711, .signo = 11, .code = 1,
                        .fault = 0x5678, .gcore = gcore, .xnum = xnum, .narrow_ids = a->narrow};
    struct mk m = mk_core(&c);
    struct session s;
    begin(&s, m.p, m.n, &no_host);
    EQ(s.st, HR_OK, "%s: loads", what);
    const struct hr_image *img = &s.img;
    OK(!strcmp(img->arch->name, a->name) && img->word == a->word && img->big == a->big, "%s: architecture", what);
    OK(img->segs.n == 3 && img->segs.v[0].bytes.n == 0x400 && img->segs.v[0].flags == (HR_SEG_R | HR_SEG_W | HR_SEG_STACK) &&
           img->segs.v[1].bytes.n == 0 && img->segs.v[1].flags == (HR_SEG_R | HR_SEG_X) && img->segs.v[2].msize == 0x800 &&
           img->segs.v[2].bytes.n == 0x400,
       "%s: segments", what);
    uint64_t v;
    OK(hr_image_uint(img, 0x103ff, 1, &v) && v == 9 && !hr_image_uint(img, 0x30400, 1, &v) && hr_image_uint(img, 0x303ff, 1, &v), "%s: contents", what);
    OK(img->complete && !img->missing_bytes && img->dumped_bytes == 0x800 && img->by_gcore == gcore, "%s: complete", what);
    OK(img->signal == 11 && img->si_code == 1 && img->has_fault_addr && img->fault_addr == 0x5678 && img->pid == 4711, "%s: signal", what);
    OK(!strcmp(hr_strs_get(s.strs, img->command), "prog") && !strcmp(hr_strs_get(s.strs, img->args), "prog -x  1"), "%s: command", what);
    OK(img->auxv_phdr == 0x40 && img->auxv_phnum == 9 && img->page == 65536 && img->auxv_base == 0x77000 && img->auxv_entry == 0x1234 &&
           img->auxv_random == 0x10080,
       "%s: auxv", what);
    OK(img->threads.n == 2 && img->threads.v[0].tid == 4711 && img->threads.v[1].tid == 4712 && img->threads.v[0].signal == 11, "%s: threads", what);
    for (int i = 0; i < 2 && img->threads.n == 2; i++) {
        const struct hr_thread *th = &img->threads.v[i];
        bool ok = th->pc == t[i].slot[a->pc_slot] && th->sp == t[i].slot[a->sp_slot];
        for (int r = 0; r < 6; r++)
            ok &= th->reg[a->dwarf[r][0]] == t[i].slot[a->dwarf[r][1]] && th->reg_valid >> a->dwarf[r][0] & 1;
        OK(ok, "%s: registers of thread %d", what, i);
        OK(th->tp_valid && th->tp == (a->tp_slot < 0 ? t[i].tls : t[i].slot[a->tp_slot]), "%s: thread pointer %d", what, i);
    }
    OK(img->threads.v[0].stack_lo == 0x10000 && img->threads.v[0].stack_hi == 0x10400, "%s: stack", what);
    end(&s);
    mk_free(&m);
}

/* ---- a program that is mapped: header page in the core, the rest in a file below a sysroot ---- */
enum { BASE = 0x550000, FILE_PAGES = 4 };
static const uint8_t id[8] = {0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4};

/* Page 0 headers and note, page 1 text, page 2 data (writable), page 3 data */
static struct mk program(unsigned word, bool big, const uint8_t *build_id)
{
    static uint8_t body[4][4096];
    struct mk note = mk_new(word, big);
    if (build_id)
        mk_note(&note, "GNU", 3, build_id, 8);
    else
        mk_note(&note, "ABC", 9, "12345678", 8);
    for (int i = 0; i < 4; i++)
        memset(body[i], 'a' + i, 4096);
    struct mk_sec s[] = {{".note.gnu.build-id", 7, 2, 0, note.p, note.n}, {".pad", 1, 0, 0, body[0], 4096}};
    struct mk_ph h[] = {{1, 4, 0, 4096, 4096, 4096, -1}, {4, 4, 0, note.n, note.n, 4, 0}, {1, 5, 4096, 4096, 4096, 4096, -1}, {1, 6, 8192, 12288, 8192, 4096, -1},
                        {7, 4, 8192, 0x100, 0x40, 16, -1}};
    size_t hdr = (word == 8 ? 64 : 52) + 5 * (word == 8 ? 56 : 32);
    s[0].addr = (hdr + 15) / 16 * 16;
    h[1].vaddr = s[0].addr;
    s[1].size = 4096 - (s[0].addr + (note.n + 15) / 16 * 16);
    struct mk m = mk_elf(&(struct mk_elf){word, big, 3, word == 8 ? (big ? 21u : 62u) : (big ? 20u : 3u), 0x1010, h, 5, s, 2, false});
    /* offsets of text and data: as if the sections lay in the pages */
    size_t ph0 = word == 8 ? 64 : 52, each = word == 8 ? 56 : 32, off_at = word == 8 ? 8 : 4;
    mk_set(&m, ph0 + 2 * each + off_at, 4096, word);
    mk_set(&m, ph0 + 3 * each + off_at, 8192, word);
    mk_set(&m, ph0 + 4 * each + off_at, 8192, word);
    struct mk out = mk_new(word, big);
    mk_bytes(&out, m.p, 4096);
    mk_bytes(&out, body[1], 4096);
    mk_bytes(&out, body[2], 4096);
    mk_bytes(&out, body[3], 4096);
    mk_free(&m);
    mk_free(&note);
    return out;
}

struct world {
    struct mk prog, core;
    struct mk_load loads[8];
    struct mk_file files[4];
    struct mk_thread thread;
    uint64_t aux[4][2];
    struct mk_core c;
};

static uint8_t stack[256];

/* header page dumped, text and one data page not, the other data page dumped and changed; a stack */
static void world(struct world *w, unsigned word, bool big, const uint8_t *build_id)
{
    static uint8_t changed[4096];
    memset(w, 0, sizeof *w);
    memset(changed, 'Z', sizeof changed);
    w->prog = program(word, big, build_id);
    w->loads[0] = (struct mk_load){BASE, 4096, w->prog.p, 4096, MK_R};
    w->loads[1] = (struct mk_load){BASE + 4096, 4096, NULL, 0, MK_R | MK_X};
    w->loads[2] = (struct mk_load){BASE + 8192, 4096, NULL, 0, MK_R | MK_W};
    w->loads[3] = (struct mk_load){BASE + 12288, 4096, changed, 4096, MK_R | MK_W};
    w->loads[4] = (struct mk_load){0x7f0000, 256, stack, 256, MK_R | MK_W};
    for (int i = 0; i < 4; i++)
        w->files[i] = (struct mk_file){BASE + 4096u * i, BASE + 4096u * (i + 1), (uint64_t)i, "/usr/bin/prog"};
    w->thread = (struct mk_thread){.tid = 7, .signal = 6};
    w->thread.slot[word == 8 ? (big ? 1 : 19) : big ? 1 : 15] = 0x7f0080;
    w->aux[0][0] = 3;
    w->aux[0][1] = BASE + (word == 8 ? 64 : 52);
    w->aux[1][0] = 9;
    w->aux[1][1] = BASE + 0x1010;
    w->c = (struct mk_core){.word = word, .big = big, .machine = word == 8 ? (big ? 21 : 62) : (big ? 20 : 3), .nslots = big ? 48 : word == 8 ? 27 : 17,
                            .loads = w->loads, .nloads = 5, .threads = &w->thread, .nthreads = 1, .files = w->files, .nfiles = 4, .auxv = w->aux, .nauxv = 2,
                            .command = "prog", .args = "prog", .pid = 7};
}

static void unworld(struct world *w)
{
    mk_free(&w->prog);
    mk_free(&w->core);
}

static char byte_at(const struct session *s, uint64_t addr)
{
    uint64_t v;
    return hr_image_uint(&s->img, addr, 1, &v) ? (char)v : '-';
}

static void sysroot(struct session *s, struct world *w, const struct mk *prog)
{
    struct hr_open_options opt = {.sysroot = dir};
    save("usr/bin/prog", prog->p, prog->n);
    w->core = mk_core(&w->c);
    begin(s, w->core.p, w->core.n, &opt);
}

static void test_module(unsigned word, bool big)
{
    struct world w;
    struct session s;
    world(&w, word, big, id);
    sysroot(&s, &w, &w.prog);
    const struct hr_module *m = s.img.modules.n == 1 ? &s.img.modules.v[0] : NULL;
    OK(s.st == HR_OK && m && m->state == HR_MOD_OK && m->main_exe && m->bias == BASE && m->lo == BASE && m->hi == BASE + 8192 + 12288, "module found and proven");
    OK(m && m->build_id_len == 8 && !memcmp(m->build_id, id, 8) && m->tls_size == 0x100 && m->tls_align == 16 && m->tls_file_addr == 8192, "build-id and TLS");
    OK(byte_at(&s, BASE + 4096) == 'b' && byte_at(&s, BASE + 8192) == 'c' && byte_at(&s, BASE + 12288) == 'Z', "left-out pages from the file, dumped ones from the dump");
    OK(s.img.segs.v[1].flags == (HR_SEG_R | HR_SEG_X | HR_SEG_FROM_FILE) && s.img.segs.v[2].flags == (HR_SEG_R | HR_SEG_W | HR_SEG_FROM_FILE) &&
           s.img.segs.v[3].flags == (HR_SEG_R | HR_SEG_W),
       "and marked so");
    OK(s.img.segs.v[3].module == 0 && s.img.segs.v[3].file_off == 12288 && s.img.segs.v[4].module == HR_NONE, "labels");
    EQ(s.img.dumped_bytes, 4096 + 4096 + 256, "bytes from files do not count as dumped");
    end(&s);
    unworld(&w);

    static const uint8_t other[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    struct mk wrong = program(word, big, other);
    world(&w, word, big, id);
    sysroot(&s, &w, &wrong);
    OK(s.img.modules.v[0].state == HR_MOD_MISMATCH && byte_at(&s, BASE + 4096) == '-', "another build is not used");
    OK(strstr(note_text(&s, "core.module_mismatch"), "deadbeef0102") && strstr(note_text(&s, "core.module_mismatch"), "--exe"), "and said");
    OK(s.img.modules.v[0].elf && s.img.modules.v[0].bias == BASE, "its headers are known from the dump");
    end(&s);
    unworld(&w);
    mk_free(&wrong);

    world(&w, word, big, NULL);
    sysroot(&s, &w, &w.prog);
    OK(s.img.modules.v[0].state == HR_MOD_UNPROVEN && byte_at(&s, BASE + 4096) == 'b', "no build-id: an equal header page lets the file be used, unproven");
    end(&s);
    unworld(&w);

    world(&w, word, big, NULL);
    struct mk changed = program(word, big, NULL);
    changed.p[400] ^= 1;
    sysroot(&s, &w, &changed);
    OK(s.img.modules.v[0].state == HR_MOD_MISMATCH && byte_at(&s, BASE + 4096) == '-', "and one that differs does not");
    end(&s);
    unworld(&w);
    mk_free(&changed);

    world(&w, word, big, id);
    w.core = mk_core(&w.c);
    begin(&s, w.core.p, w.core.n, &no_host);
    OK(s.img.modules.v[0].state == HR_MOD_MISSING && strstr(note_text(&s, "core.exe_missing"), "--exe") && strstr(note_text(&s, "core.exe_missing"), "/usr/bin/prog"),
       "a missing program is asked for");
    end(&s);
    struct hr_open_options exe = {.no_host_files = true, .exe = "placeholder"};
    char path[300];
    save("elsewhere", w.prog.p, w.prog.n);
    snprintf(path, sizeof path, "%s", in_dir("elsewhere"));
    exe.exe = path;
    begin(&s, w.core.p, w.core.n, &exe);
    OK(s.img.modules.v[0].state == HR_MOD_OK && byte_at(&s, BASE + 4096) == 'b' && !strcmp(hr_strs_get(s.strs, s.img.modules.v[0].file), path), "--exe gives it");
    end(&s);
    unworld(&w);
}

/* Which pages may come from the file, and which may not. */
static void test_fill(void)
{
    struct world w;
    struct session s;
    world(&w, 8, false, id);
    w.loads[4].filesz = 0; /* the dump has no private memory: coredump_filter without bit 0 */
    sysroot(&s, &w, &w.prog);
    OK(byte_at(&s, BASE + 4096) == 'b' && byte_at(&s, BASE + 8192) == '-', "without private memory in the dump, writable pages stay unknown");
    end(&s);
    unworld(&w);

    world(&w, 8, false, id);
    w.files[2].page_off = 3; /* page 2 of the data is a mapping of the program's own making */
    sysroot(&s, &w, &w.prog);
    OK(byte_at(&s, BASE + 8192) == '-', "a writable mapping that is none of the program headers' stays unknown");
    end(&s);
    unworld(&w);

    world(&w, 8, false, id);
    static uint8_t page[4096];
    w.loads[2].bytes = page;
    w.loads[2].filesz = 4096;
    struct mk whole = mk_core(&w.c);
    for (size_t n = 1; n < whole.n; n++) { /* cut in the middle of the data: nothing of it comes from the file */
        if (n % 61 && n + 5000 < whole.n)
            continue;
        struct hr_open_options opt = {.sysroot = dir};
        begin(&s, whole.p, n, &opt);
        bool wrong = false;
        for (uint64_t a = BASE + 8192; a < BASE + 8192 + 4096; a += 512)
            wrong |= byte_at(&s, a) != '-' && byte_at(&s, a) != 0;
        if (wrong || (s.st == HR_OK && s.img.complete)) {
            OK(false, "cut at %zu of %zu: data from the file, or called complete", n, whole.n);
            end(&s);
            break;
        }
        end(&s);
    }
    OK(true, "cut at many places: cut data never comes from the file, never called complete");
    mk_free(&whole);
    unworld(&w);

    /* gcore has no segments for what it leaves out */
    world(&w, 8, false, id);
    w.c.gcore = true;
    w.loads[1] = w.loads[3];
    w.loads[2] = w.loads[4];
    w.c.nloads = 3;
    sysroot(&s, &w, &w.prog);
    OK(s.img.segs.n == 5 && byte_at(&s, BASE + 4096) == 'b' && byte_at(&s, BASE + 8192) == 'c' && byte_at(&s, BASE + 12288) == 'Z', "gcore: mappings without segments");
    OK(s.img.segs.v[1].flags & HR_SEG_X && s.img.segs.v[2].flags & HR_SEG_W, "their rights from the program headers");
    end(&s);
    unworld(&w);
}

/* RAM of a device at an address, and its program: the processor, and the parts that are not RAM, come from the program. */
static void test_exe_of_raw(void)
{
    struct mk note = mk_new(4, true);
    mk_note(&note, "GNU", 3, id, 8);
    struct mk_sec s[] = {{".text", 1, 6, 0x8000, "text text text!!", 16}, {".rodata", 1, 2, 0x9000, "rodata rodata!!!", 16}, {".data", 1, 3, 0x20000000, "data", 4}};
    struct mk_ph h[] = {{1, 5, 0x8000, 16, 16, 4, 0}, {1, 4, 0x9000, 16, 16, 4, 1}, {1, 6, 0x20000000, 0x100, 4, 4, 2}};
    struct mk m = mk_elf(&(struct mk_elf){4, true, 2, 40, 0x8001, h, 3, s, 3, false});
    struct session x = {0};
    char exe[300], raw[300];
    save("fw.elf", m.p, m.n);
    snprintf(exe, sizeof exe, "%s", in_dir("fw.elf"));
    save("ram", bytes, 0x400);
    snprintf(raw, sizeof raw, "%s@0x20000000", in_dir("ram"));
    if (hr_strs_create(&x.strs) != HR_OK)
        abort();
    hr_notes_init(&x.notes);
    hr_image_init(&x.img, x.strs, &x.notes);
    struct hr_open_options opt = {.exe = exe, .no_host_files = true};
    x.st = hr_file_open(raw, &opt, &x.notes, &x.file);
    if (x.st == HR_OK)
        x.st = hr_image_load(&x.file, 1, &opt, &x.img);
    OK(x.st == HR_OK && x.img.word == 4 && x.img.big && !strcmp(x.img.arch->name, "arm"), "raw memory: the processor of --exe");
    OK(x.img.segs.n == 3 && byte_at(&x, 0x8000) == 't' && byte_at(&x, 0x9000) == 'r' && byte_at(&x, 0x20000000) == 1, "its read-only parts, and the RAM as it was dumped");
    OK(x.img.segs.n == 3 && x.img.segs.v[0].flags == (HR_SEG_R | HR_SEG_X | HR_SEG_FROM_FILE) && x.img.segs.v[2].module == HR_NONE, "flags");
    OK(x.img.modules.n == 1 && x.img.modules.v[0].main_exe && x.img.modules.v[0].bias == 0 && x.img.modules.v[0].state == HR_MOD_UNPROVEN, "the module");
    end(&x);
    mk_free(&m);
    mk_free(&note);
}

/* Below 0x10000000 a Cortex-M has its flash, unless that is all the memory the dump shows. */
static void flags_of(const char *what, const char *a, const char *b, unsigned want_a, unsigned want_b)
{
    struct session x = {0};
    struct hr_file *with = NULL;
    char first[300], second[300];
    save("a", bytes, 0x400);
    save("b", bytes + 1, 0x400);
    snprintf(first, sizeof first, "%s%s", in_dir("a"), a);
    snprintf(second, sizeof second, "%s%s", in_dir("b"), b);
    if (hr_strs_create(&x.strs) != HR_OK)
        abort();
    hr_notes_init(&x.notes);
    hr_image_init(&x.img, x.strs, &x.notes);
    struct hr_open_options opt = {.arch = "arm", .no_host_files = true};
    x.st = hr_file_open(first, &opt, &x.notes, &x.file);
    if (x.st == HR_OK)
        x.st = hr_file_open(second, &opt, &x.notes, &with);
    if (x.st == HR_OK)
        x.st = hr_image_load((struct hr_file *[]){x.file, with}, 2, &opt, &x.img);
    const struct hr_segment *p = hr_image_find(&x.img, strtoull(a + 1, NULL, 0), NULL), *q = hr_image_find(&x.img, strtoull(b + 1, NULL, 0), NULL);
    OK(x.st == HR_OK && p && q && (p->flags & HR_SEG_W) == want_a && (q->flags & HR_SEG_W) == want_b, "%s", what);
    end(&x);
    hr_file_close(with);
}

static void test_flash(void)
{
    flags_of("RAM above, flash below", "@0x20000000", "@0", HR_SEG_W, 0);
    flags_of("flash named first", "@0", "@0x20000000", 0, HR_SEG_W);
    flags_of("RAM at low addresses, too: what was given as the dump is memory", "@0x30000", "@0", HR_SEG_W, 0);
}

static void test_cut(void)
{
    struct mk_load loads[] = {{0x10000, 0x400, bytes, 0x400, MK_R | MK_W}, {0x20000, 0x400, bytes, 0x400, MK_R | MK_W}};
    struct mk_thread t = {.tid = 1};
    struct mk m = mk_core(&(struct mk_core){.word = 8, .machine = 62, .nslots = 27, .loads = loads, .nloads = 2, .threads = &t, .nthreads = 1});
    struct session s;
    begin(&s, m.p, m.n - 0x500, &no_host);
    OK(s.st == HR_OK && !s.img.complete && s.img.missing_bytes == 0x500 && s.img.dumped_bytes == 0x300, "cut: counted to the byte");
    OK(s.img.segs.v[0].bytes.n == 0x300 && s.img.segs.v[0].flags & HR_SEG_CUT && s.img.segs.v[1].bytes.n == 0 && s.img.segs.v[1].flags & HR_SEG_CUT, "cut: marked");
    OK(strstr(note_text(&s, "core.truncated"), "1280 bytes"), "cut: said");
    end(&s);
    mk_free(&m);
}

static void test_many(void)
{
    enum { N = 70000 };
    struct mk_load *l = calloc(N, sizeof *l);
    for (uint64_t i = 0; i < N; i++)
        l[i] = (struct mk_load){0x10000 + i * 0x2000, 0x1000, bytes + i % 256, 1, MK_R | MK_W};
    struct mk m = mk_core(&(struct mk_core){.word = 8, .machine = 62, .nslots = 27, .loads = l, .nloads = N, .xnum = true});
    struct session s;
    begin(&s, m.p, m.n, &no_host);
    OK(s.st == HR_OK && s.img.segs.n == N && byte_at(&s, 0x10000 + 256ull * 0x2000) == 1 && s.img.complete, "70,000 segments by PN_XNUM");
    OK(hr_notes_has(&s.notes, "core.no_threads"), "no threads: said");
    end(&s);
    mk_free(&m);
    free(l);
}

static void test_physical(void)
{
    struct mk_load loads[] = {{0x0, 0x400, bytes, 0x400, 0}, {0x20000000, 0x400, bytes, 0x400, 0}};
    struct mk_thread t = {.tid = 1};
    struct mk m = mk_core(&(struct mk_core){.word = 4, .machine = 40, .nslots = 18, .loads = loads, .nloads = 2, .threads = &t, .nthreads = 1, .physical = true});
    struct session s;
    begin(&s, m.p, m.n, &no_host);
    OK(s.st == HR_OK && s.img.segs.n == 2 && s.img.segs.v[1].addr == 0x20000000, "QEMU's dump by physical address");
    end(&s);
    mk_free(&m);
}

/* A path in the dump must not lead out of the sysroot. */
static void test_escape(void)
{
    static const char *const paths[] = {"/../../../../../../../../secret", "/usr/../../../../../../../../secret", "/out", "/usr/bin/up"};
    struct world w;
    char target[300];
    char sub[300];
    snprintf(sub, sizeof sub, "%s/root", dir);
    mkdir(sub, 0700);
    snprintf(target, sizeof target, "%s/root/usr", dir);
    mkdir(target, 0700);
    snprintf(target, sizeof target, "%s/root/usr/bin", dir);
    mkdir(target, 0700);
    int bad = 0;
    for (size_t i = 0; i < 4; i++) {
        struct session s;
        world(&w, 8, false, id);
        save("secret", w.prog.p, w.prog.n);
        char link[300];
        snprintf(target, sizeof target, "%s/secret", dir);
        snprintf(link, sizeof link, "%s/root/out", dir);
        unlink(link);
        bad += symlink(target, link) != 0;
        snprintf(link, sizeof link, "%s/root/usr/bin/up", dir);
        unlink(link);
        bad += symlink("../../../secret", link) != 0;
        for (int k = 0; k < 4; k++)
            w.files[k].path = paths[i];
        w.core = mk_core(&w.c);
        begin(&s, w.core.p, w.core.n, &(struct hr_open_options){.sysroot = sub});
        bad += s.st != HR_OK || s.img.modules.v[0].state != HR_MOD_MISSING;
        end(&s);
        unworld(&w);
    }
    EQ(bad, 0, "no path of the dump leads out of the sysroot");
    /* and a link that stays inside works, as it would in the container */
    struct session s;
    world(&w, 8, false, id);
    save("root/usr/real", w.prog.p, w.prog.n);
    char link[300];
    snprintf(link, sizeof link, "%s/root/usr/bin/prog", dir);
    OK(symlink("/usr/real", link) == 0, "a link");
    w.core = mk_core(&w.c);
    begin(&s, w.core.p, w.core.n, &(struct hr_open_options){.sysroot = sub});
    OK(s.img.modules.v[0].state == HR_MOD_OK, "absolute links are resolved below the sysroot");
    end(&s);
    unworld(&w);
}

static void refuse(const char *path, const char *word)
{
    struct hr_notes notes;
    struct hr_file *f = NULL;
    hr_notes_init(&notes);
    enum hr_status st = hr_file_open(path, NULL, &notes, &f);
    OK(st == HR_IO && notes.list.n == 1 && strstr(notes.list.v[0].text, word), "%s: refused, says \"%s\"", path, word);
    if (st == HR_OK)
        hr_file_close(f);
    hr_notes_deinit(&notes);
}

static void test_files(void)
{
    refuse(dir, "directory");
    refuse("/dev/zero", "device");
    refuse(in_dir("nope"), "does not exist");
    OK(mkfifo(in_dir("fifo"), 0600) == 0, "a FIFO");
    refuse(in_dir("fifo"), "FIFO");
    struct hr_notes notes;
    hr_notes_init(&notes);
    struct hr_file *f = NULL;
    save("a@0x20", "abc", 3);
    save("b", "defg", 4);
    OK(hr_file_open(in_dir("b@0x2000"), NULL, &notes, &f) == HR_OK && f->has_addr && f->addr == 0x2000 && f->bytes.n == 4, "FILE@ADDR");
    hr_file_close(f);
    OK(hr_file_open(in_dir("a@0x20"), NULL, &notes, &f) == HR_OK && !f->has_addr && f->bytes.n == 3, "a name with @ in it");
    hr_file_close(f);
    OK(hr_file_open(in_dir("b@nonsense"), NULL, &notes, &f) == HR_IO, "no address");
    hr_notes_deinit(&notes);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    mkdir(in_dir("usr"), 0700);
    mkdir(in_dir("usr/bin"), 0700);
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        test_machine(&machines[i], false, false);
        test_machine(&machines[i], true, false);
        test_machine(&machines[i], false, true);
    }
    for (int i = 0; i < 4; i++)
        test_module(i & 1 ? 8 : 4, i & 2);
    test_fill();
    test_exe_of_raw();
    test_cut();
    test_flash();
    test_many();
    test_physical();
    test_escape();
    test_files();
    char cmd[300];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return tap_done() | (system(cmd) != 0);
}
