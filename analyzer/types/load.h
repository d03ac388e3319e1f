/* Inside the types room: where a module's DWARF is. */
#ifndef HR_TYPES_LOAD_H
#define HR_TYPES_LOAD_H

#include "analyzer/image/elf.h"
#include "analyzer/types/child.h"
#include "analyzer/types/types.h"

/* The file of the module that has .debug_info (the separate one first), or NULL. */
const struct hr_elf *hr_dwarf_elf(const struct hr_module *m);
/* dwz's common file that elf refers to, when it is there and has the right build-id (hr_elf_destroy it), or NULL. */
struct hr_elf *hr_dwarf_alt(const struct hr_elf *elf);
/* What a child may use for these files: what the options say, else in proportion to their debug sections. */
struct hr_child_limits hr_dwarf_limits(const struct hr_elf *elf, const struct hr_elf *alt, const struct hr_dwarf_options *opt);
/* The child's work, callable in-process by fuzzers and tests: all types and variables as a blob (hr_blob_read). `exec` says
 * which addresses are plausible (NULL: any). */
enum hr_status hr_dwarf_to_blob(const struct hr_elf *elf, const struct hr_elf *alt, const struct hr_elf *exec,
                                struct hr_child_out *out) HR_MUST;

#endif
