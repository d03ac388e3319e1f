/* Writers of test inputs, byte by byte and in any byte order and word size. They share nothing with the readers: every number
 * here was taken from the format's own specification, so that a reader's mistake is not repeated.
 *
 *     struct mk m = mk_new(8, true);          // 64-bit, big endian
 *     mk_word(&m, 0x1000); mk_str(&m, "x"); … m.p, m.n …
 *     mk_free(&m); */
#ifndef HR_TESTS_MK_H
#define HR_TESTS_MK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mk {
    uint8_t *p;
    size_t n, cap;
    unsigned word; /* 4 or 8 */
    bool big;
};

struct mk mk_new(unsigned word, bool big);
void mk_free(struct mk *m);
void mk_uint(struct mk *m, uint64_t v, unsigned bytes);
void mk_word(struct mk *m, uint64_t v);
void mk_bytes(struct mk *m, const void *p, size_t n);
void mk_zero(struct mk *m, size_t n);
void mk_str(struct mk *m, const char *z);            /* with its NUL */
void mk_field(struct mk *m, const char *z, size_t n); /* exactly n bytes, NUL-padded */
void mk_align(struct mk *m, size_t to);
void mk_set(struct mk *m, size_t at, uint64_t v, unsigned bytes); /* overwrites */

/* ---- ELF cores ---- */
enum { MK_X = 1, MK_W = 2, MK_R = 4 };

struct mk_load {
    uint64_t addr, memsz;
    const void *bytes; /* filesz bytes of contents */
    uint64_t filesz;
    unsigned flags;
};
struct mk_thread {
    uint32_t tid;
    int signal;
    uint64_t slot[64]; /* pr_reg in the kernel's order */
    uint64_t tls;      /* NT_386_TLS / NT_ARM_TLS when not 0 */
};
struct mk_file {
    uint64_t lo, hi, page_off;
    const char *path;
};
struct mk_core {
    unsigned word;
    bool big;
    unsigned machine, nslots;
    const struct mk_load *loads;
    size_t nloads;
    const struct mk_thread *threads;
    size_t nthreads;
    const struct mk_file *files;
    size_t nfiles;
    const uint64_t (*auxv)[2]; /* without the AT_NULL */
    size_t nauxv;
    const char *command, *args;
    uint32_t pid;
    int signo, code;
    uint64_t fault;
    bool xnum;         /* count of program headers in section header 0, as kernels do above 65,534 */
    bool gcore;        /* notes behind the memory, a GDB note, nothing aligned */
    bool narrow_ids;   /* 32-bit with 16-bit uid/gid in prpsinfo (i386, arm) */
    bool physical;     /* QEMU: addresses in p_paddr, p_vaddr 0 */
    uint64_t page;     /* 0: 4096 */
};
struct mk mk_core(const struct mk_core *c);

/* ---- ELF files ---- */
struct mk_ph {
    uint32_t type, flags;
    uint64_t vaddr, memsz, filesz, align;
    int section;       /* the file offset is that of this section, -1: offset 0 */
};
struct mk_sec {
    const char *name;
    uint32_t type;
    uint64_t flags, addr;
    const void *bytes;
    uint64_t size;
    uint32_t link, info;
};
struct mk_elf {
    unsigned word;
    bool big;
    unsigned type, machine;
    uint64_t entry;
    const struct mk_ph *ph;
    size_t nph;
    const struct mk_sec *sec; /* [0] is the first real one: number 1 in the file; .shstrtab is added last */
    size_t nsec;
    bool extended;     /* e_shnum 0, e_shstrndx 0xffff: numbers in section header 0 */
};
struct mk mk_elf(const struct mk_elf *e);
/* Contents for sections. */
void mk_sym(struct mk *m, uint32_t name, uint64_t value, uint64_t size, uint8_t info, uint16_t shndx);
void mk_note(struct mk *m, const char *name, uint32_t type, const void *desc, size_t n);
void mk_note_begin(struct mk *m, const char *name, uint32_t type, size_t *mark);
void mk_note_end(struct mk *m, size_t mark);

/* ---- a small process, whole: a program and a library with headers, build-ids and TLS, the loader's list with glibc's TLS
 * record, a vdso, and a main stack with arguments; pages of 512 bytes. ---- */
enum {
    MK_P_PAGE = 512,
    MK_P_EXE = 0x400000,   /* header page; data page behind it, with PT_DYNAMIC, r_debug and the link_maps */
    MK_P_LIB = 0x500000,   /* header page; data page left out of the dump */
    MK_P_VDSO = 0x600000,
    MK_P_STACK = 0x7ff000, /* 512 bytes */
    MK_P_RDEBUG = MK_P_EXE + 0x2c0,
    MK_P_SP = 0x7ff010,
    MK_P_TLS_OFFSET = 0x40, /* of the library */
};
struct mk_process {
    unsigned word;
    bool big, gcore;
    bool unlisted; /* no NT_FILE: everything has to come from the loader's list */
    bool circle;   /* the loader's list closes */
};
struct mk mk_process(const struct mk_process *p);
struct mk mk_process_exe(const struct mk_process *p); /* the program's file */

#endif
