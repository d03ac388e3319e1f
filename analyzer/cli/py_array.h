/* Arrays and buffers of a Python object in `objects` and `show`. */
#ifndef HR_CLI_PY_ARRAY_H
#define HR_CLI_PY_ARRAY_H

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/cpython/py.h"

/* Member "array" of an ndarray, "buffer" of other objects with memory behind them; nothing for the rest. */
void hr_cli_array_json(struct hr_json *j, struct hr_py *py, uint64_t addr, const struct hr_py_type *t);

#endif
