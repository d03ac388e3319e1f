/* Pictures of the address space for `heapray map`: terminal and SVG. Both see the survey only. */
#ifndef HR_CLI_MAP_H
#define HR_CLI_MAP_H

#include "analyzer/cli/cli.h"
#include "analyzer/survey.h"

/* What a cell of the picture shows. */
enum hr_map_mark { HR_MAP_STATIC, HR_MAP_USED, HR_MAP_FREE, HR_MAP_STACK, HR_MAP_STACK_UNUSED, HR_MAP_UNUSED, HR_MAP_OTHER, HR_MAP_CODE, HR_MAP_MARKS };
const char *hr_map_mark_name(enum hr_map_mark m);

/* The captured memory as one strip, holes left out, cut into cells of equal size. A row begins where a hole is, unless there are many. */
struct hr_map_row {
    uint64_t addr, hole;        /* hole: addresses left out before this row, 0 none */
    uint32_t cell0, ncells;
};
HR_VEC(hr_map_rowvec, struct hr_map_row)
struct hr_map_strip {
    uint64_t cell;              /* bytes of one */
    uint8_t *mark;              /* enum hr_map_mark per cell: what most of its bytes are */
    uint64_t *addr;             /* where each cell begins: what follows in a row need not follow in memory */
    uint32_t ncells, holes;
    struct hr_map_rowvec rows;
};
/* columns: cells of a row; rows: about as many are wanted. */
enum hr_status hr_map_strip(const struct hr_survey *v, uint32_t columns, uint32_t rows, struct hr_map_strip *ret) HR_MUST;
void hr_map_strip_deinit(struct hr_map_strip *s);

void hr_map_terminal(struct hr_cli *c, const struct hr_survey *v);
void hr_map_svg(struct hr_out *o, const struct hr_survey *v, const char *title);

#endif
