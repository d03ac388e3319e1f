/* One object of a Python: as `show` prints it, its arrays and buffers also in `objects`. */
#ifndef HR_CLI_PY_OBJECT_H
#define HR_CLI_PY_OBJECT_H

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/cpython/py.h"

/* Member "array" of an ndarray, "buffer" of other objects with memory behind them; nothing for the rest. */
void hr_cli_array_json(struct hr_json *j, struct hr_py *py, uint64_t addr, const struct hr_py_type *t);
/* Address of the object in a block, or of the static object at `addr`; 0: there is none. */
uint64_t hr_cli_object_at(struct hr_py *py, hr_id node, uint64_t addr);
/* Member "object"; null for obj 0. */
void hr_cli_object_json(struct hr_cli *c, struct hr_json *j, struct hr_py *py, uint64_t obj);
void hr_cli_object_text(struct hr_cli *c, struct hr_py *py, uint64_t obj);

#endif
