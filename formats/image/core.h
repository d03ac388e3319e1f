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
    bool gdb_note;
    uint32_t gs;            /* i386: selector of the thread read last */
    enum hr_status failed;  /* of an allocation inside a note callback */
};

/* Threads, signal, process, auxv and mapped files out of all PT_NOTE segments. */
enum hr_status hr_core_notes(struct hr_core *c) HR_MUST;
/* Splits and labels the (arranged) segments by the mapped files, and adds those mappings that the dump has no segment for. */
enum hr_status hr_core_label(struct hr_core *c) HR_MUST;

/* Groups labelled segments to modules and reads their headers from the image. The image must be arranged. */
enum hr_status hr_modules_find(struct hr_image *img) HR_MUST;
/* Extent, TLS, dynamic section and unwind table out of m->elf's program headers. */
void hr_module_set_layout(struct hr_module *m);
/* Opens the modules' files and debug files, compares build-ids, notes what is missing. */
enum hr_status hr_modules_open(struct hr_image *img, const struct hr_open_options *opt) HR_MUST;
/* Gives segments the bytes that the dump left out and the proven file has. */
enum hr_status hr_modules_fill(struct hr_image *img) HR_MUST;

#endif
