/* What the Python verbs of the command line share. */
#ifndef HR_CLI_PY_CLI_H
#define HR_CLI_PY_CLI_H

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/cpython/py.h"

/* The Python runtime, after the stage of the session that the verb needs; NULL: printed why, exit status in *code. */
struct hr_py *hr_cli_python(struct hr_cli *c, enum hr_status st, int *code);

#endif
