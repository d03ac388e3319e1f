#include "analyzer/base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const status_names[] = {
    [HR_OK] = "ok",           [HR_ABSENT] = "not there",          [HR_CORRUPT] = "corrupt input",
    [HR_LIMIT] = "limit reached", [HR_UNSUPPORTED] = "not supported", [HR_IO] = "input/output error",
    [HR_NOMEM] = "out of memory", [HR_USAGE] = "wrong arguments",
};

const char *hr_status_name(enum hr_status s)
{
    return (unsigned)s < sizeof status_names / sizeof *status_names ? status_names[s] : "unknown status";
}

/* The one exception to "no globals": fault injection has to reach every call without a parameter in every signature. */
static atomic_ullong alloc_count;
static uint64_t fail_nth;
static bool fail_after;

void hr_mem_fail(uint64_t nth, bool and_after)
{
    fail_nth = nth;
    fail_after = and_after;
    atomic_store(&alloc_count, 0);
}

uint64_t hr_mem_count(void) { return atomic_load(&alloc_count); }

static bool injected(void)
{
    uint64_t n = atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed) + 1;
    return fail_nth && (n == fail_nth || (fail_after && n > fail_nth));
}

void *hr_alloc(size_t n) { return injected() ? NULL : malloc(n ? n : 1); }

void *hr_zalloc(size_t count, size_t each)
{
    return injected() ? NULL : calloc(count ? count : 1, each ? each : 1);
}

void *hr_realloc(void *p, size_t n) { return injected() ? NULL : realloc(p, n ? n : 1); }

void hr_free(void *p) { free(p); }

void hr_free_cleanup(void *p) { hr_free(*(void **)p); }

char *hr_strndup(const char *s, size_t n)
{
    char *r = hr_alloc(n + 1);
    if (!r)
        return NULL;
    memcpy(r, s, n);
    r[n] = 0;
    return r;
}

char *hr_strdup(const char *s) { return s ? hr_strndup(s, strlen(s)) : NULL; }

uint64_t hr_mem_mapped(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%llu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
