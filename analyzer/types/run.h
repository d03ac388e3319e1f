/* Runs a function of the image upon the image's own memory, without touching either: what would it call, and with what?
 *
 * For functions that only look: a visitor of a structure that hands every reference to a callback. Code comes from the image (or
 * the files mapped into it); memory is read from the image; what the function writes is kept aside and forgotten. Everything is
 * bounded by the caller's fuel, and what cannot be run (unknown instructions, absent memory) ends the run with a reason. */
#ifndef HR_TYPES_RUN_H
#define HR_TYPES_RUN_H

#include "analyzer/base/fuel.h"
#include "analyzer/types/types.h"

struct hr_run;

enum hr_run_end {
    HR_RUN_DONE,
    HR_RUN_NO_CODE,  /* code that is not in the image */
    HR_RUN_UNKNOWN,  /* an instruction, or a use of flags, that is not understood */
    HR_RUN_ABSENT,   /* memory that is not in the image */
    HR_RUN_TOO_LONG, /* out of fuel, stack, or memory for what it writes */
};
const char *hr_run_end_name(enum hr_run_end e);

struct hr_run_calls {
    /* The callback was called with `value`; from: where in the image's memory the value was loaded (tag bits may have been taken
     * off since), 0 when it was computed. */
    void (*visit)(void *ctx, uint64_t value, uint64_t from);
    /* Memory outside [quiet_lo, quiet_hi) was read; pointer_from: where the pointer to it was loaded, 0 unknown. May be NULL. */
    void (*read)(void *ctx, uint64_t addr, uint64_t pointer_from);
    uint64_t quiet_lo, quiet_hi;
    /* A function that is not run when it is called upon self: the caller knows what it does. 0: none. */
    uint64_t known;
    bool *known_called;
    /* The language's record of the running thread: what a thread's own variable holds if no thread has it set, and what the word at
     * thread_at holds if it is 0. 0: none. */
    uint64_t own_thread, thread_at;
    void *ctx;
};

/* HR_UNSUPPORTED: no machine that we can run (x86-64 is). types may be NULL; it resolves calls that the dynamic linker
 * has not resolved yet. */
enum hr_status hr_run_create(const struct hr_image *img, struct hr_types *types, struct hr_run **ret) HR_MUST;
void hr_run_destroy(struct hr_run *r);
/* function(self, callback, anything). The callback returns 0. One unit of fuel per operation. */
enum hr_run_end hr_run_visit(struct hr_run *r, uint64_t function, uint64_t self, const struct hr_run_calls *calls, struct hr_fuel *fuel);
/* The same for an object that is imagined: every pointer in it leads somewhere, every count is small, loops end after a few turns. Its word at
 * type_off is `type`, that at size_off is 2. Visits come `from` imagined places, which hr_run_place() names. */
enum hr_run_end hr_run_imagine(struct hr_run *r, uint64_t function, uint64_t type_off, uint64_t type, uint64_t size_off, const struct hr_run_calls *calls,
                               struct hr_fuel *fuel);
/* Is it such a place, and which? Offsets on the way: "+40", "+16 > +0" (behind the pointer at 16); false: no such place. */
bool hr_run_place(const struct hr_run *r, uint64_t from, char *buf, size_t cap);
/* What the function of the last run returned, if DONE. */
uint64_t hr_run_result(const struct hr_run *r);
/* Where the last run ended, if not DONE. */
uint64_t hr_run_stopped_at(const struct hr_run *r);

#endif
