/* The only malloc of the project, so there is one place to inject failures and to count bytes.
 *
 * Sizes are bytes. Memory from hr_alloc/hr_zalloc/hr_realloc is owned by the caller and given back with hr_free(). */
#ifndef HR_BASE_MEM_H
#define HR_BASE_MEM_H

#include "analyzer/base/status.h"

void *hr_alloc(size_t n) HR_MUST;            /* NULL when out of memory or injected; n==0 gives a unique pointer */
void *hr_zalloc(size_t count, size_t each) HR_MUST; /* zeroed, overflow-checked */
void *hr_realloc(void *p, size_t n) HR_MUST; /* NULL leaves p valid */
void hr_free(void *p);                       /* accepts NULL */
char *hr_strdup(const char *s) HR_MUST;      /* NULL in gives NULL out */
char *hr_strndup(const char *s, size_t n) HR_MUST;

/* Fault injection for the torture tests: allocation number `nth` (from 1) fails, and all later ones too if `and_after`.
 * 0 switches it off. Counts restart at each call. */
void hr_mem_fail(uint64_t nth, bool and_after);
uint64_t hr_mem_count(void); /* allocations asked for since the last hr_mem_fail() */

/* Bytes of address space this process has mapped now; 0 when the system does not say. For limits that have to lie above it. */
uint64_t hr_mem_mapped(void);

/* Releases *(void **)p; for __attribute__((cleanup)). */
void hr_free_cleanup(void *p);
#define HR_AUTOFREE __attribute__((cleanup(hr_free_cleanup)))

#endif
