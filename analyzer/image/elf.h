/* The only ELF reader: bounded, over a span, for executables, libraries, debug files and cores alike.
 * Image room. Never trusts a count, an offset or a size; never recurses; borrows the span (which must outlive it). */
#ifndef HR_IMAGE_ELF_H
#define HR_IMAGE_ELF_H

#include "analyzer/base/cursor.h"
#include "analyzer/base/notes.h"
#include "analyzer/image/image.h"

struct hr_phdr {
    uint32_t type, flags;
    uint64_t off, vaddr, paddr, filesz, memsz, align;
};

enum { /* the few of <elf.h> that others need */
    HR_PT_LOAD = 1, HR_PT_DYNAMIC = 2, HR_PT_NOTE = 4, HR_PT_PHDR = 6, HR_PT_TLS = 7, HR_PT_GNU_EH_FRAME = 0x6474e550,
    HR_SHT_SYMTAB = 2, HR_SHT_NOTE = 7, HR_SHT_NOBITS = 8, HR_SHT_DYNSYM = 11,
    HR_ET_EXEC = 2, HR_ET_DYN = 3, HR_ET_CORE = 4,
};

struct hr_elf_sym {
    const char *name;       /* NUL-terminated, borrowed from the file; "" if bad */
    uint64_t value, size;   /* file address (TLS symbols: offset in the TLS block) */
    uint8_t info;           /* st_info: bind << 4 | type */
    uint8_t other;
    uint16_t shndx;
};

struct hr_elf {
    struct hr_span file;
    bool big;
    uint8_t word;           /* 4 or 8 */
    uint16_t type, machine; /* e_type, e_machine */
    uint32_t flags;         /* e_flags */
    uint64_t entry;
    struct hr_phdr *ph;
    uint32_t nph;
    struct hr_section *sec;
    uint32_t nsec;
    uint8_t build_id[32];
    uint8_t build_id_len;
    char debuglink[256];    /* .gnu_debuglink name, "" none */
    uint32_t debuglink_crc;
    uint32_t symtab[2];     /* section index of .symtab [0] and .dynsym [1], HR_NONE when there is none */
    void *owned;            /* memory behind `file` when it is ours (decompressed); freed by hr_elf_destroy */
    size_t owned_mapped;    /* >0: `owned` is an mmap of that many bytes */
};

/* Parses the header, program headers (with PN_XNUM) and sections. HR_ABSENT: not ELF. HR_CORRUPT: header unusable. A
 * file cut short still opens: spans are clipped, and *cut_ret (may be NULL) says how many promised bytes are missing. */
enum hr_status hr_elf_create(struct hr_span file, struct hr_elf **ret, uint64_t *cut_ret) HR_MUST;
void hr_elf_destroy(struct hr_elf *e);
void hr_elf_release(struct hr_elf *e); /* gives back `owned`; part of destroy */
const struct hr_section *hr_elf_section(const struct hr_elf *e, const char *name); /* also finds .zdebug_* for .debug_* */
/* The bytes of a section decompressed (zlib and zstd SHF_COMPRESSED, .zdebug_). *own_ret must be hr_free'd (may be NULL
 * when no copy was needed). Output is bounded by max_out. */
enum hr_status hr_elf_section_bytes(const struct hr_elf *e, const struct hr_section *s, uint64_t max_out,
                                    struct hr_span *ret, void **own_ret) HR_MUST;
/* Number of symbols in .symtab (dyn=false) or .dynsym (dyn=true); 0 when there is none. */
uint32_t hr_elf_nsyms(const struct hr_elf *e, bool dyn);
bool hr_elf_sym(const struct hr_elf *e, bool dyn, uint32_t i, struct hr_elf_sym *ret);
/* The bytes of a program header that are in the file (clipped). */
struct hr_span hr_elf_ph_bytes(const struct hr_elf *e, const struct hr_phdr *ph);
/* The first program header of a type, or NULL. */
const struct hr_phdr *hr_elf_ph(const struct hr_elf *e, uint32_t type);
/* Flash whatever its flags say: code that stays where it was loaded, all of it from the file. Linker scripts that put a vector table of
 * unclear flags in front of .text (picolibc's) make a segment that may be written, and is not. */
bool hr_elf_ph_is_code(const struct hr_elf *e, const struct hr_phdr *ph);
/* Walks the notes of a PT_NOTE/SHT_NOTE span. fn returns false to stop. */
typedef bool hr_elf_note_fn(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc);
void hr_elf_notes(struct hr_span notes, bool big, unsigned align, hr_elf_note_fn *fn, void *ctx);

#endif
