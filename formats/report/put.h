/* Inside the report room only: the bytes below out.h's functions. */
#ifndef HR_REPORT_PUT_H
#define HR_REPORT_PUT_H

#include "formats/report/out.h"

void hr_put(struct hr_out *o, const char *p, size_t n);          /* as they are */
void hr_putz(struct hr_out *o, const char *z);
void hr_put_pad(struct hr_out *o, int n);                        /* n spaces; none when n <= 0 */
void hr_put_escaped(struct hr_out *o, const char *p, size_t n);  /* already escaped; made ASCII when it has to be */
int hr_columns(const struct hr_out *o, const char *p, size_t n); /* columns the escaped text takes */
int hr_tty_width(int fd);                                        /* 0 unknown */

#endif
