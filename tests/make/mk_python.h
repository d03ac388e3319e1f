/* A small core of a real CPython: its writable memory, its threads' registers, names of its files. Made from the living process
 * through /proc and ptrace, without address randomisation, so that the same interpreter gives (nearly) the same bytes. */
#ifndef HR_TESTS_MK_PYTHON_H
#define HR_TESTS_MK_PYTHON_H

#include "tests/make/mk.h"

/* Interpreters of this machine, the system's first: one of each version, at most `cap`. */
unsigned mk_pythons(char (*path)[512], unsigned cap);
/* Runs tests/make/py_things.py (the current directory is the top of the tree). False: cannot be started or traced here. */
bool mk_python_core(const char *python, struct mk *ret);

#endif
