/* What the parts of the ELF core reader share (elf_core.c, core_notes.c, mapped.c), and what load.c asks of modules.c. */
#ifndef HR_FORMATS_CORE_H
#define HR_FORMATS_CORE_H

#include "analyzer/image/elf.h"
#include "formats/image/format.h"

/* One mapping of a file, as NT_FILE lists them. */
struct hr_mapped {
    uint64_t lo, hi, file_off;
    hr_str path;
};
HR_VEC(hr_mappedvec, struct hr_mapped)

struct hr_core {
    struct hr_image *img;
    struct hr_elf *elf;
    struct hr_mappedvec files;
    struct hr_span auxv;    /* NT_AUXV as it is */
    bool gdb_note;
    uint32_t gs;            /* i386: selector of the thread read last */
    uint32_t failed_task;   /* ESP-IDF: the task that crashed, 0 unknown */
    enum hr_status failed;  /* of an allocation inside a note callback */
};

/* The bytes of an ELF core, wherever they come from. */
enum hr_status hr_elf_core_load(struct hr_span bytes, struct hr_image *img) HR_MUST;

/* ESP-IDF (esp_notes.c): takes its own notes; puts the task that failed first; is this a core that it wrote? */
bool hr_esp_note(struct hr_core *c, struct hr_span name, uint32_t type, struct hr_span desc);
void hr_esp_order(struct hr_core *c);
bool hr_esp_elf(const struct hr_elf *e);

/* Threads, signal, process, auxv and mapped files out of all PT_NOTE segments. */
enum hr_status hr_core_notes(struct hr_core *c) HR_MUST;
/* Splits and labels the (arranged) segments by the mapped files, and adds those mappings that the dump has no segment for. */
enum hr_status hr_core_label(struct hr_core *c) HR_MUST;

/* The whole command line out of the main thread's stack; pr_psargs has 80 bytes of it, gcore's only the program. */
enum hr_status hr_core_args(struct hr_core *c) HR_MUST;

/* Thread pointers found by the look of the thread's control block, where no note tells them. */
void hr_core_find_tp(struct hr_image *img);

/* Groups labelled segments to modules and reads their headers from the image. The image must be arranged. */
enum hr_status hr_modules_find(struct hr_image *img) HR_MUST;
/* Adds a module whose ELF header may lie at addr (file offset file_off there), and names its segments' module. *nr_ret:
 * its index until the next hr_image_arrange, HR_NONE when there are no headers and `insist` is false. */
enum hr_status hr_module_add(struct hr_image *img, struct hr_module m, uint64_t file_off, bool insist, uint32_t *nr_ret) HR_MUST;
/* The load bias by the program header whose file range holds the offset that is mapped at addr. */
bool hr_elf_bias(const struct hr_elf *e, uint64_t addr, uint64_t file_off, uint64_t page, uint64_t *ret);
/* Makes a segment without a name the module's (which is about to be pushed) where a program header says so. */
void hr_segment_claim(const struct hr_image *img, struct hr_segment *s, const struct hr_module *m);
/* --exe for an image in which no program was found: by the entry point, else where it was linked to. Gives the image its
 * processor when its format does not tell it, and the read-only parts that the image does not hold. */
enum hr_status hr_modules_exe(struct hr_image *img, const struct hr_open_options *opt) HR_MUST;
/* Once the program is known: memory that its program headers or the processor's memory map call read-only is not writable,
 * whatever the container says (an image of flash holds no references to the heap). */
enum hr_status hr_flash_protect(struct hr_image *img) HR_MUST;
void hr_bare_check_place(struct hr_image *img);
/* Of the read-only bytes that both the program and the image have: how many are equal, how many differ. */
void hr_exe_compare(const struct hr_image *img, const struct hr_module *m, uint64_t *same_ret, uint64_t *differ_ret);
/* --regs: one thread out of a text file. Needs the processor, so after hr_modules_exe. */
enum hr_status hr_regs_load(struct hr_image *img, const struct hr_open_options *opt) HR_MUST;
/* The dynamic loader's list (r_debug): modules that NT_FILE does not tell, the main program. */
enum hr_status hr_modules_linked(struct hr_image *img) HR_MUST;
/* Its TLS numbers and offsets; after the files are open, because PT_TLS may be known from there only. */
enum hr_status hr_modules_tls(struct hr_image *img) HR_MUST;
/* Separate debug files, for modules without debug information of their own. */
enum hr_status hr_modules_debug(struct hr_image *img, const struct hr_open_options *opt) HR_MUST;
/* Maps the file behind fd (may be -1: HR_ABSENT) and reads its headers. */
enum hr_status hr_elf_map(int fd, struct hr_elf **ret) HR_MUST;
/* The module's path without " (deleted)", which the kernel appends when the file was replaced since. */
void hr_module_path(const struct hr_image *img, const struct hr_module *m, char *buf, size_t cap);
/* Extent, TLS, dynamic section and unwind table out of m->elf's program headers. */
void hr_module_set_layout(struct hr_module *m);
/* Opens the modules' files and debug files, compares build-ids, notes what is missing. */
enum hr_status hr_modules_open(struct hr_image *img, const struct hr_open_options *opt) HR_MUST;
/* Gives segments the bytes that the dump left out and the proven file has. */
enum hr_status hr_modules_fill(struct hr_image *img) HR_MUST;

#endif
