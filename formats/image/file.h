/* Opening files: only regular ones, read-only, mapped. The only place of the project that opens what it is to read. */
#ifndef HR_FORMATS_FILE_H
#define HR_FORMATS_FILE_H

#include "formats/image/format.h"

/* A read-only descriptor of the regular file `path`, -1 otherwise with *why_ret a sentence part ("is a directory"). Nothing
 * but a regular file is ever opened for reading: opening a device can act on it, opening a FIFO waits. */
int hr_fd_regular(const char *path, const char **why_ret);
/* The same for a path below `root` that may come from the input: never leaves root, by ".." or by symbolic links. */
int hr_fd_beneath(const char *root, const char *path, const char **why_ret);
/* From an O_PATH descriptor (which it closes; may be -1 with errno set) to one for reading, regular files only. */
int hr_fd_reopen(int pathfd, const char **why_ret);
/* Maps a whole file; an empty file gives an empty span. Closes fd in any case. */
enum hr_status hr_fd_map(int fd, struct hr_span *ret) HR_MUST;
void hr_fd_unmap(struct hr_span s);

/* Compressed dumps. HR_ABSENT: not compressed. Otherwise the bytes, which lie in a mapping to be given back with hr_fd_unmap.
 * `max` bounds the output; *cut_ret: the stream ended early and the bytes are its beginning. */
enum hr_status hr_unwrap(struct hr_span in, uint64_t max, const char **wrapper_ret, struct hr_span *ret, bool *cut_ret) HR_MUST;

#endif
