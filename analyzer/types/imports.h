/* Calls into other modules: by which name, and what the few do that are better not run (libc's use whatever vector instructions the
 * machine has). Inside the types room. */
#ifndef HR_TYPES_IMPORTS_H
#define HR_TYPES_IMPORTS_H

#include "analyzer/types/types.h"

enum hr_import { HR_IMPORT_OTHER, HR_IMPORT_STRLEN, HR_IMPORT_STRCMP, HR_IMPORT_STRNCMP, HR_IMPORT_MEMCMP, HR_IMPORT_MEMSET, HR_IMPORT_MEMCPY, HR_IMPORT_TLS };

/* Which of them the slot of a global offset table leads to: by the relocation that fills it. */
enum hr_import hr_import_at(const struct hr_image *img, uint64_t slot);
/* Does the jump at `at` to `pc` go to the dynamic linker's resolver? Its address is the third word of the table of the module
 * that holds `at` (psABI). */
bool hr_import_lazy(const struct hr_image *img, uint64_t at, uint64_t pc);
/* The function that the resolver would find: relocation `number` of the module whose link_map is given. 0: not found. */
uint64_t hr_import_resolve(const struct hr_image *img, struct hr_types *types, uint64_t link_map, uint64_t number);
/* What __tls_get_addr() returns for {module, offset} at `index`, for the first thread whose variable is not zero there: of what only the
 * running thread has, that is the running thread's. If it is zero in all, *zero_ret is set. 0: no thread has it. */
uint64_t hr_import_tls(const struct hr_image *img, uint64_t index, bool *zero_ret);
/* The same for a variable at tp + offset. */
uint64_t hr_import_tp(const struct hr_image *img, int64_t offset, bool *zero_ret);

#endif
