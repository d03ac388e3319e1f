/* The gate: once every input is open and read, the process gives up its rights, so that what a hostile dump makes of the rest
 * of the program can open, connect to and start nothing.
 *
 * All of it is best effort: a kernel that refuses (old, or a sandbox around us) leaves the program running as before. Nothing of
 * it under the sanitizers, which open files themselves. Linux only; elsewhere these do nothing. */
#ifndef HR_SANDBOX_H
#define HR_SANDBOX_H

#include "analyzer/base/status.h"

/* At the start: no new privileges, no core of ours (it would hold the dump), no attaching. */
void hr_sandbox_start(void);

enum hr_sandbox_mode {
    HR_SANDBOX_READ,    /* descriptors that are open, and memory */
    HR_SANDBOX_REPLACE, /* and putting a file that was written in the place of another (--write-baseline) */
};
/* Irreversible, for all that this thread starts from now on. Everything not allowed fails with EPERM: a call nobody thought of
 * weakens an answer, it does not end the program. False: the kernel has no system call filter for us. */
bool hr_sandbox_enter(enum hr_sandbox_mode mode);

/* Bounds the address space: to what is mapped now and `most` bytes, or without `most` to something generous in proportion to
 * what is mapped, which are the inputs. Never raises a limit set from outside; may be called again. */
void hr_sandbox_memory(uint64_t most);

#endif
