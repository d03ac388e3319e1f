/* Type tables kept on disk under the module's build-id. Inside the types room only. */
#ifndef HR_TYPES_CACHE_H
#define HR_TYPES_CACHE_H

#include "analyzer/image/elf.h"
#include "analyzer/types/types.h"

/* The file name for a module whose DWARF is in `elf`; false: no build-id, not cacheable. The name also holds a hash of the
 * DWARF itself, so that a file that lies about its build-id poisons nobody else's entry. */
bool hr_cache_name(const struct hr_module *m, const struct hr_elf *elf, const struct hr_elf *alt, char *buf, size_t cap);
/* Reads an entry (hr_u8vec_deinit it). HR_ABSENT when there is none, or it is not a private regular file of ours. */
enum hr_status hr_cache_get(const struct hr_dwarf_options *opt, const char *name, struct hr_u8vec *ret) HR_MUST;
/* Writes an entry, atomically; failure is of no consequence. */
void hr_cache_put(const struct hr_dwarf_options *opt, const char *name, struct hr_span blob);

#endif
