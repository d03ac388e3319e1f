/* The one escaper: bytes of the input on their way to a terminal or a file. */
#ifndef HR_BASE_ESC_H
#define HR_BASE_ESC_H

#include "analyzer/base/status.h"

/* Writes at most cap-1 bytes plus NUL: printable ASCII and valid, harmless UTF-8 as they are; controls, C1, bidi and
 * zero-width controls, surrogates, bad UTF-8 and backslash as \xNN (backslash as \\). Cuts with "..." when it does not fit.
 * Returns buf. */
char *hr_esc(char *buf, size_t cap, const void *bytes, size_t n);
char *hr_escz(char *buf, size_t cap, const char *z);
/* Length in bytes (1-4) of the valid UTF-8 sequence at p (n bytes left) that is safe to show, 0 if none. */
size_t hr_utf8_ok(const uint8_t *p, size_t n);
/* Appends z as one word of a shell's command line, quoted where it must be, behind a blank unless it is the first. False: it did not
 * fit, and nothing was added. */
bool hr_shell_word(char *buf, size_t cap, const char *z);
/* "1.5 MiB"; exact below 10 KiB is "1,234 bytes"-style left to callers. Returns buf (24 bytes are enough). */
char *hr_human(char *buf, size_t cap, uint64_t bytes);

#endif
