/* A file that appears whole or not at all: a baseline cut in the middle would let everything pass. */
#ifndef HR_RULES_NEWFILE_H
#define HR_RULES_NEWFILE_H

#include "analyzer/base/status.h"

struct hr_newfile;
/* Makes a file of another name beside `path`. HR_IO with a reason in `why`. */
enum hr_status hr_newfile_create(const char *path, struct hr_newfile **ret, char *why, size_t cap) HR_MUST;
/* Writes it and puts it in the place of `path`: opens nothing. Once. */
enum hr_status hr_newfile_commit(struct hr_newfile *f, const char *text, char *why, size_t cap) HR_MUST;
/* Removes it unless it is in its place. Accepts NULL. */
void hr_newfile_destroy(struct hr_newfile *f);

#endif
