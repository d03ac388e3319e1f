/* heapray: X-rays for the heap of a program that is dead, far away, or too small to run a debugger.
 *
 * The one public header of libheapray.a. Everything is opaque but the plain records below. A session is used by one thread
 * at a time. Strings returned are owned by the session and may hold any bytes of the input: escape before printing. */
#ifndef HEAPRAY_H
#define HEAPRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAPRAY_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* Results of fallible calls. */
enum heapray_status {
    HEAPRAY_OK = 0,
    HEAPRAY_ABSENT,
    HEAPRAY_CORRUPT,
    HEAPRAY_LIMIT,
    HEAPRAY_UNSUPPORTED,
    HEAPRAY_IO,
    HEAPRAY_NOMEM,
    HEAPRAY_USAGE,
};

/* What to open and how. Zero-initialise; NULL members mean "default". Borrowed until heapray_close(). */
struct heapray_options {
    const char *image;             /* FILE or FILE@ADDR */
    const char *const *with;       /* more images (flash, second RAM) */
    size_t nwith;
    const char *exe;               /* the executable, when the core's own name for it does not lead to it */
    const char *sysroot;           /* look for mapped files beneath this directory */
    const char *const *debug_dirs; /* directories with separate debug files */
    size_t ndebug_dirs;
    const char *regs;              /* register file for images without registers */
    const char *endian;            /* byte order of an image that does not say: "little", "big"; NULL: guessed */
    const char *arch;
    const char *const *assume;     /* "ADDR=TYPE" */
    size_t nassume;
    bool no_debug_files;           /* use no separate debug files */
    bool no_host_files;            /* open nothing but what is named here */
    bool no_cache;                 /* do not read or write the type cache */
    bool no_types;                 /* do not read debug information */
    bool sandbox;                  /* once all is read, give up the rights of this thread for good: it can open nothing more */
    uint64_t max_memory;           /* bytes of address space for the analysis; 0: with `sandbox` a bound after the inputs' size */
};

struct heapray_session;

/* Opens the image and walks its allocators. On failure *error_ret (may be NULL) gets a sentence, to be free()d by
 * heapray_free_string(). */
enum heapray_status heapray_open(const struct heapray_options *opt, struct heapray_session **ret, char **error_ret);
void heapray_close(struct heapray_session *s);
void heapray_free_string(char *s);

struct heapray_totals {            /* bytes; used + cached + free + overhead + own = mapped */
    uint64_t blocks, mapped;
    uint64_t used_blocks, used_bytes, cached_blocks, cached_bytes, free_blocks, free_bytes, overhead_bytes, own_bytes;
};
enum heapray_status heapray_get_totals(struct heapray_session *s, struct heapray_totals *ret);

struct heapray_block {
    uint64_t addr, size;           /* of the usable bytes */
    const char *state;             /* "used", "cached", "free", "own" */
    const char *reach;             /* names of `heapray blocks`; NULL when not used or unknown */
};
uint64_t heapray_block_count(struct heapray_session *s);
/* Block number i (address order). HEAPRAY_ABSENT past the end. The first call computes reachability. */
enum heapray_status heapray_get_block(struct heapray_session *s, uint64_t i, struct heapray_block *ret);
struct heapray_leak_totals { uint64_t leaks, blocks, bytes; bool certain; };
enum heapray_status heapray_get_leaks(struct heapray_session *s, struct heapray_leak_totals *ret);

/* The whole command line. Returns the exit status: 0 fine, 1 findings, 2 usage, 3 unreadable input, 4 degraded. */
int heapray_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
