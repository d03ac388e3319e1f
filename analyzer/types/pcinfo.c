/* The parent's side of asking DWARF about pcs. */
#include "analyzer/types/pcinfo.h"

enum hr_status hr_pcinfo_fill(struct hr_types *t, const struct hr_dwarf_options *opt, struct hr_stacks *s)
{
    (void)t, (void)opt, (void)s;
    return HR_OK;
}
