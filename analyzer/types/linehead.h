/* Is the header of a line-number program well formed? Asked before libdwarf reads one: that of 2021 takes a file's directory number for
 * granted, and reads names behind the end of its table when the number is too large. */
#ifndef HR_TYPES_LINEHEAD_H
#define HR_TYPES_LINEHEAD_H

#include "analyzer/base/cursor.h"

/* line: .debug_line; off: where the unit's program starts in it. Layout: DWARF 2 to 5, section 6.2.4. */
bool hr_line_header_sane(struct hr_span line, uint64_t off, bool big);

#endif
