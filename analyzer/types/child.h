/* A child process for code that is not ours and reads what is not ours (libdwarf on .debug_* bytes).
 *
 * The child inherits the mapped sections by fork, has no descriptors, a fixed amount of memory and CPU, and (on Linux
 * where seccomp is there) may do nothing but compute, allocate and exit. Its answer comes back through one shared
 * mapping, copied by the parent after the child's death; the parent treats it as hostile input. Fork before the sandbox. */
#ifndef HR_TYPES_CHILD_H
#define HR_TYPES_CHILD_H

#include "analyzer/base/vec.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HR_SANITIZED 1 /* they map terabytes, open files and count leaks: no limits, no filter, everything freed */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HR_SANITIZED 1
#endif
#endif
#ifndef HR_SANITIZED
#define HR_SANITIZED 0
#endif

struct hr_child_limits {
    uint64_t memory;   /* bytes on top of what the parent has mapped; 0: default */
    unsigned seconds;  /* of CPU; 0: default */
    uint64_t output;   /* bytes of the answer; 0: default */
};
enum {
    HR_CHILD_SECONDS = 120, /* libstdc++'s and Chromium-sized debug files: measured about 1 s per 100 MB of .debug_info */
};
#define HR_CHILD_MEMORY (4ull << 30) /* tables of a 1 GB .debug_info fit; a bomb does not take the machine */
#define HR_CHILD_OUTPUT (1ull << 30) /* 1,000,000 types are about 200 MB */

/* Where the child writes its answer. */
struct hr_child_out {
    uint8_t *p;
    size_t n, cap;
};
/* Appends; HR_LIMIT when full. */
enum hr_status hr_child_put(struct hr_child_out *o, const void *bytes, size_t n) HR_MUST;

/* Runs in the child. Its status becomes hr_child_run's. */
typedef enum hr_status hr_child_fn(void *ctx, struct hr_child_out *out);

/* Runs fn(ctx) in a child and gives its answer in *ret (hr_u8vec_deinit it). When the child died or could not be made:
 * HR_CORRUPT / HR_LIMIT / HR_IO and a sentence in why ("crashed (signal 11)", "used more than 120 s of CPU"). */
enum hr_status hr_child_run(hr_child_fn *fn, void *ctx, const struct hr_child_limits *lim, struct hr_u8vec *ret, char *why,
                            size_t cap) HR_MUST;

#endif
