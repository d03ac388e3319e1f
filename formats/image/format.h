/* Input formats: file(s) -> image. One file per format, one line in formats.def.
 *
 * To add a format: write formats/image/NAME.c with `const struct hr_format hr_format_NAME`, add the line HR_FORMAT(NAME)
 * to formats.def in priority order (most specific probe first), add a writer to tests/make and a sweep. */
#ifndef HR_FORMATS_IMAGE_FORMAT_H
#define HR_FORMATS_IMAGE_FORMAT_H

#include "analyzer/image/image.h"

/* A file opened read-only and mapped whole (regular files only). */
struct hr_file {
    const char *path;       /* as the user gave it */
    struct hr_span bytes;   /* after unwrapping gzip/zstd/lz4 */
    bool has_addr;
    uint64_t addr;          /* FILE@ADDR */
    const char *wrapper;    /* "gzip", "zstd", "lz4" or NULL */
    bool cut;               /* the compressed stream ended early: `bytes` are the beginning */
    void *priv;             /* mapping bookkeeping, see file.h */
};

/* What the user allows us to open, and what he named. */
struct hr_open_options {
    const char *exe;        /* --exe / --elf */
    const char *sysroot;    /* --sysroot */
    const char **debug_dirs;
    size_t ndebug_dirs;
    const char *regs;       /* --regs */
    const char *arch;       /* --arch, for formats that do not say */
    const char *endian;     /* --endian little|big, likewise */
    bool no_debug_files;    /* open no separate debug files */
    bool no_host_files;     /* do not look at the running system's files at all */
    uint64_t max_memory;    /* bytes for decompression, 0 = default */
};

struct hr_format {
    const char *name;
    /* 0 = not this; higher = surer. Looks at the first bytes only. */
    int (*probe)(const struct hr_file *f);
    /* Adds segments, modules, threads. Does not seal. */
    enum hr_status (*load)(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img);
};

#define HR_FORMAT(name_) extern const struct hr_format hr_format_##name_;
#include "formats/image/formats.def"
#undef HR_FORMAT

/* Opens and maps `path` ("FILE" or "FILE@ADDR"); directory, FIFO, device, unreadable: HR_IO with a note that says so. */
enum hr_status hr_file_open(const char *path, const struct hr_open_options *opt, struct hr_notes *notes,
                            struct hr_file **ret) HR_MUST;
void hr_file_close(struct hr_file *f);
/* Probes and loads the first file, then adds the others (--with), finds and opens the modules' files and debug files
 * (build-id checked), fills in absent pages from them, seals. Notes say everything that is missing. */
enum hr_status hr_image_load(struct hr_file *const *files, size_t nfiles, const struct hr_open_options *opt,
                             struct hr_image *img) HR_MUST;

#endif
