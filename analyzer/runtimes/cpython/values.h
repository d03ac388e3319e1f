/* Where the values of objects lie: shared by values.c, sizes.c and repr.c only. */
#ifndef HR_RUNTIMES_CPYTHON_VALUES_H
#define HR_RUNTIMES_CPYTHON_VALUES_H

#include "analyzer/runtimes/cpython/py.h"

struct hr_py_text_place { uint64_t data, length; uint8_t width; bool compact, ascii; };
/* Characters of a str, or of 2.7's unicode; false when it is none. */
bool hr_py_text_place(const struct hr_py *py, uint64_t addr, struct hr_py_text_place *ret);
int64_t hr_py_ssize(const struct hr_py *py, uint64_t base, enum hr_py_fact f);
/* Sign and number of 30-bit digits. */
int hr_py_int_digits(const struct hr_py *py, uint64_t addr, uint64_t *n_ret);
/* Slots of a keys table and bytes of its index (3.6 on). */
uint64_t hr_py_keys_slots(const struct hr_py *py, uint64_t keys, uint64_t *index_bytes_ret);
/* array.array, whose layout no version has changed: items, allocated, descriptor behind the head. */
uint64_t hr_py_array_allocated(const struct hr_py *py, uint64_t addr);
uint64_t hr_py_array_itemsize(const struct hr_py *py, uint64_t addr);
/* Characters one by one; 0xfffd where the image has none. */
uint32_t hr_py_char(const struct hr_py *py, const struct hr_py_text_place *p, uint64_t i);
/* `cp` as UTF-8 into b[4]; returns the bytes. */
size_t hr_py_utf8(uint8_t b[4], uint32_t cp);
/* ---- numbers.c ---- */
void hr_py_int_text(const struct hr_py *py, uint64_t addr, char *buf, size_t cap);
/* As repr() of a float; dot_0: "1.0", not "1". */
void hr_py_double_text(double d, bool dot_0, char *buf, size_t cap);

#endif
