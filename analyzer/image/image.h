/* The image: the address space that was saved. Segments, modules, threads; reads across seams.
 *
 * Image room: calls base only; everybody but rules, printers and the graph may call it. It never opens a file (formats
 * do, and hand over spans). Segments are sorted, disjoint and frozen by hr_image_seal(); after that all reads are
 * thread-safe. Absent bytes are absent: a read gives less, never zeros. */
#ifndef HR_IMAGE_IMAGE_H
#define HR_IMAGE_IMAGE_H

#include "analyzer/base/cursor.h"
#include "analyzer/base/notes.h"
#include "analyzer/base/strs.h"
#include "analyzer/image/arch.h"

enum {
    HR_SEG_X = 1,
    HR_SEG_W = 2,
    HR_SEG_R = 4,
    HR_SEG_FROM_FILE = 8,   /* bytes come from a mapped file (build-id checked), not from the dump */
    HR_SEG_STACK = 16,      /* holds some thread's stack */
    HR_SEG_CUT = 32,        /* the dump promised bytes here and ended early: unknown, not absent by design */
    HR_SEG_DEVICE = 64,     /* memory-mapped device or special kernel mapping */
    HR_SEG_WITH = 128,      /* of a file that was given beside the dump (--with): flash, or more memory */
};

struct hr_segment {
    uint64_t addr, msize;   /* msize > 0; addr + msize does not wrap (may reach 2^64 - 1) */
    struct hr_span bytes;   /* bytes.n <= msize; the rest is absent */
    uint32_t flags;
    uint32_t module;        /* index of the module mapped here, or HR_NONE (anonymous) */
    hr_str name;            /* mapped file or "[heap]"-like label; 0 unknown */
    uint64_t file_off;      /* offset within the mapped file where module != HR_NONE */
};
HR_VEC(hr_segvec, struct hr_segment)

/* A section of a module's ELF file, as data; `bytes` is still compressed when `compressed` is set. */
struct hr_section {
    const char *name;       /* points into the ELF's string table span copy; NUL-terminated */
    uint64_t addr, size;    /* file address (before load bias), memory size */
    struct hr_span bytes;   /* empty for NOBITS */
    uint32_t type, flags;   /* sh_type, sh_flags */
    uint32_t link, info;
    bool compressed;        /* SHF_COMPRESSED or .zdebug_ */
};

struct hr_elf;              /* analyzer/image/elf.h */

enum hr_module_state {
    HR_MOD_UNSEEN,          /* no file looked for */
    HR_MOD_OK,              /* file opened and build-id equal to the core's (or given by the user and matching) */
    HR_MOD_UNPROVEN,        /* file opened and it fits, but there is no build-id in the core to compare with */
    HR_MOD_MISMATCH,        /* a file is there but of another build: not used */
    HR_MOD_MISSING,
};

struct hr_module {
    hr_str path;            /* as the core names it */
    uint64_t lo, hi;        /* mapped extent [lo, hi) */
    uint64_t bias;          /* run-time address = file address + bias */
    uint8_t build_id[32];
    uint8_t build_id_len;
    enum hr_module_state state;
    bool main_exe;
    bool by_user;           /* the file was named by the user (--exe) */
    bool header_seen;       /* the dump holds this module's ELF header, and the file opened agrees with it */
    struct hr_elf *elf;     /* the mapped file (or the image's own copy of its headers), NULL if none */
    struct hr_elf *debug;   /* separate debug file, NULL if none */
    hr_str file, debug_file; /* host paths actually opened; 0 none */
    uint64_t tls_size, tls_align, tls_file_addr; /* PT_TLS */
    uint32_t tls_modid;     /* dynamic TLS module number (1 = executable), 0 unknown */
    int64_t tls_offset;     /* static TLS: a thread's block lies at tp - tls_offset (variant 2) or tp + tls_offset (1) */
    bool tls_offset_known;  /* read from the dynamic loader's own record; never set for dynamically allocated blocks */
    uint64_t dynamic;       /* run-time address of PT_DYNAMIC, 0 none */
    uint64_t eh_frame_hdr, eh_frame_hdr_size; /* run-time */
};
HR_VEC(hr_modvec, struct hr_module)

struct hr_thread {
    uint32_t tid;
    int32_t signal;         /* the signal this thread stopped with, 0 none */
    uint64_t reg[HR_MAX_REGS]; /* by DWARF number */
    uint64_t reg_valid;     /* bit i: reg[i] known */
    uint64_t pc, sp;
    uint64_t tp;            /* thread pointer (fs base on x86-64, tpidr on aarch64), 0 unknown */
    bool tp_valid;
    uint64_t stack_lo, stack_hi; /* the mapping that holds sp; live part is [sp - red zone, stack_hi) */
    bool own_stack;         /* stack_lo and stack_hi are of a kernel's own record: just this stack */
    bool saved;             /* it was not running: its registers are on its stack, those here were read there */
    hr_str name;            /* thread name when the dump has one */
};
HR_VEC(hr_threadvec, struct hr_thread)

/* Reads of a heap jump between its segments: one guess per 128 KiB, kept for 256 MiB, finds nearly all without a search. */
enum { HR_IMAGE_NEAR = 2048, HR_IMAGE_NEAR_SHIFT = 17 };

struct hr_image {
    const char *format;     /* "elf-core", "raw", … static string */
    hr_str path;            /* of the dump, for reports */
    const struct hr_arch *arch;
    bool big;               /* byte order */
    uint8_t word;           /* bytes of a pointer: 4 or 8 */
    uint64_t page;          /* page size, 0 unknown */
    struct hr_segvec segs;
    struct hr_modvec modules;
    struct hr_threadvec threads; /* [0] is the one that crashed */
    struct hr_strs *strs;   /* the session's pool, borrowed */
    struct hr_notes *notes; /* the session's notes, borrowed */
    int32_t signal;         /* 0 none */
    int32_t si_code;
    uint64_t fault_addr;
    bool has_fault_addr;
    uint32_t pid;
    hr_str command, args;   /* pr_fname, pr_psargs */
    hr_str program_sha;     /* SHA-256 of the program's file in hex, or its beginning, as the dump names it; 0 unknown */
    bool complete;          /* nothing the dump promised is missing */
    uint64_t missing_bytes; /* promised and cut off */
    uint64_t dumped_bytes;  /* bytes that come from the dump itself */
    uint64_t auxv_entry, auxv_phdr, auxv_base, auxv_sysinfo_ehdr, auxv_random; /* 0 unknown */
    uint32_t auxv_phnum;
    bool by_gcore;          /* written by a debugger, not the kernel */
    bool bare;              /* no operating system's process: a microcontroller's memory, stack and statics in one segment */
    void **owned;           /* memory behind segments that came from no mapped file; freed with the image */
    size_t nowned;
    bool arch_unsaid;       /* neither the format nor the user says what processor it is: to be guessed */
    bool sealed;
    uint32_t near[HR_IMAGE_NEAR]; /* index of the segment last found for addresses of this hash: a guess that is checked */
};

void hr_image_init(struct hr_image *img, struct hr_strs *strs, struct hr_notes *notes);
void hr_image_deinit(struct hr_image *img);
/* The image takes `mem` (of hr_alloc) over and frees it at the end; on failure it is freed at once. */
enum hr_status hr_image_keep(struct hr_image *img, void *mem) HR_MUST;
/* Adds one segment; overlaps are settled at seal (first added wins, later is trimmed, noted). */
enum hr_status hr_image_add(struct hr_image *img, struct hr_segment seg) HR_MUST;
/* The piece [lo, hi) of a segment, which must lie inside it. */
struct hr_segment hr_segment_part(const struct hr_segment *s, uint64_t lo, uint64_t hi);
/* Sorts and trims overlaps, so that reads work while the image is still being built. May be called again after more adds. */
enum hr_status hr_image_arrange(struct hr_image *img) HR_MUST;
/* Arranges, marks stacks, freezes. */
enum hr_status hr_image_seal(struct hr_image *img) HR_MUST;

/* The segment holding addr, or NULL. O(log n), with a one-entry cache in *hint when hint is not NULL. */
const struct hr_segment *hr_image_find(const struct hr_image *img, uint64_t addr, uint32_t *hint);
/* Index of the first segment that ends above addr (it may hold addr or lie wholly above); segs.n when there is none. */
uint32_t hr_image_seg_above(const struct hr_image *img, uint64_t addr);
/* Bytes from addr without a copy: as many as lie together, at most `want`; n = 0 when addr is absent. */
struct hr_span hr_image_peek(const struct hr_image *img, uint64_t addr, uint64_t want);
/* Copies up to n bytes across seams; returns how many were there from the start on. */
size_t hr_image_read(const struct hr_image *img, uint64_t addr, void *buf, size_t n);
/* Fixed-size loads in the image's byte order; false when any byte is absent. */
bool hr_image_uint(const struct hr_image *img, uint64_t addr, unsigned bytes, uint64_t *ret);
static inline bool hr_image_word(const struct hr_image *img, uint64_t addr, uint64_t *ret);
/* Reads a NUL-terminated string of at most max-1 bytes; false when absent. Cut strings are still terminated. */
bool hr_image_cstr(const struct hr_image *img, uint64_t addr, char *buf, size_t max);
/* The module whose extent holds addr, or HR_NONE. */
uint32_t hr_image_module_at(const struct hr_image *img, uint64_t addr);

/* Load one pointer-sized word at p, specialised by the caller on (word, big). */
static inline uint64_t hr_word_load(const uint8_t *p, unsigned word, bool big)
{
    return word == 8 ? hr_load64(p, big) : hr_load32(p, big);
}

/* A guess at the segment of addr; threads may race for the guesses. */
static inline uint32_t *hr_image_guess(const struct hr_image *img, uint64_t addr)
{
    return &((struct hr_image *)img)->near[addr >> HR_IMAGE_NEAR_SHIFT & (HR_IMAGE_NEAR - 1)];
}

static inline bool hr_image_word(const struct hr_image *img, uint64_t addr, uint64_t *ret)
{
    uint32_t i = __atomic_load_n(hr_image_guess(img, addr), __ATOMIC_RELAXED);
    if (__builtin_expect(i < img->segs.n, 1)) {
        const struct hr_segment *s = &img->segs.v[i];
        uint64_t off = addr - s->addr;
        if (__builtin_expect(off < s->bytes.n && s->bytes.n - off >= 8, 1)) {
            *ret = hr_word_load(s->bytes.p + off, img->word, img->big);
            return true;
        }
    }
    return hr_image_uint(img, addr, img->word, ret);
}

/* Runs BODY (an always-inline function of (ctx…, const uint8_t *p, size_t nwords, unsigned word, bool big)) specialised
 * four ways, so that word size and byte order are decided once per scan and not once per word. */
#define HR_SPECIALISE(img_, CALL)                                                                                      \
    do {                                                                                                               \
        if ((img_)->word == 8 && !(img_)->big) {                                                                       \
            CALL(8, false);                                                                                            \
        } else if ((img_)->word == 8) {                                                                                \
            CALL(8, true);                                                                                             \
        } else if (!(img_)->big) {                                                                                     \
            CALL(4, false);                                                                                            \
        } else {                                                                                                       \
            CALL(4, true);                                                                                             \
        }                                                                                                              \
    } while (0)

#endif
