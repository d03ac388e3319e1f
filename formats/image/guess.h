/* Guesses for raw memory, each of them noted. */
#ifndef HR_FORMATS_GUESS_H
#define HR_FORMATS_GUESS_H

#include "formats/image/format.h"

/* Word size, byte order (unless `fixed`: known already) and processor of an image that nobody told them, by the addresses and the code in its
 * segments and in `own`, a file whose place is not known yet. quiet: no note (a program will tell). */
enum hr_status hr_guess_arch(struct hr_image *img, struct hr_span own, bool fixed, bool quiet) HR_MUST;
/* The address a raw file was at, by the addresses in it and in the other files. HR_USAGE: there are two answers, noted; HR_ABSENT: nothing
 * speaks for it being memory. */
enum hr_status hr_guess_base(struct hr_image *img, const struct hr_file *f, uint64_t *ret) HR_MUST;

#endif
