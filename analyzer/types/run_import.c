/* Functions of libc that are done, not run. */
#include "analyzer/types/imports.h"
#include "analyzer/types/run_state.h"

enum { MAX_TEXT = 1 << 12, MAX_SEARCHES = 4096 }; /* bytes that a string function is followed over; relocations looked up */

uint8_t hr_run_import_at(struct hr_run *r, uint64_t slot)
{
    uint32_t *known;
    bool was;
    if (hr_map_slot(&r->import, slot, HR_IMPORT_OTHER, &known, &was) != HR_OK)
        return HR_IMPORT_OTHER;
    if (!was)
        *known = r->searches++ < MAX_SEARCHES ? hr_import_at(r->img, slot) : HR_IMPORT_OTHER;
    return (uint8_t)*known;
}

static bool byte_at(struct hr_run *r, uint64_t addr, uint64_t *ret)
{
    uint64_t from;
    return hr_run_load(r, 1, addr, 0, ret, &from);
}

/* Bytes of a and b compared, as long as they are equal, at most n; z: a NUL ends both. */
static bool compare(struct hr_run *r, uint64_t a, uint64_t b, uint64_t n, bool z, int64_t *ret)
{
    uint64_t x = 0, y = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (i == MAX_TEXT)
            return hr_run_stop(r, HR_RUN_TOO_LONG);
        if (!byte_at(r, a + i, &x) || !byte_at(r, b + i, &y))
            return false;
        if (x != y || (z && !x))
            break;
    }
    *ret = n ? (int64_t)x - (int64_t)y : 0;
    return true;
}

static bool fill(struct hr_run *r, uint64_t to, uint64_t from, uint64_t byte, uint64_t n)
{
    if (n > MAX_TEXT)
        return hr_run_stop(r, HR_RUN_TOO_LONG);
    for (uint64_t i = 0; i < n; i++)
        if ((from && !byte_at(r, from + i, &byte)) || !hr_run_store(r, to + i, 1, byte, 0))
            return false;
    return true;
}

bool hr_run_import(struct hr_run *r, uint8_t which)
{
    uint64_t a = r->v[r->arg0], b = r->v[r->x86 ? 6 : 1], c = r->v[2], n = 0, byte = 1;
    int64_t diff = 0;
    bool zero = false;
    switch (which) {
    case HR_IMPORT_STRLEN:
        for (; byte && n < MAX_TEXT; n++)
            if (!byte_at(r, a + n, &byte))
                return false;
        hr_run_set(r, 0, 8, n - 1, 0);
        return byte ? hr_run_stop(r, HR_RUN_TOO_LONG) : true;
    case HR_IMPORT_STRCMP: case HR_IMPORT_STRNCMP: case HR_IMPORT_MEMCMP:
        if (!compare(r, a, b, which == HR_IMPORT_STRCMP ? UINT64_MAX : c, which != HR_IMPORT_MEMCMP, &diff))
            return false;
        hr_run_set(r, 0, 4, (uint64_t)diff, 0);
        return true;
    case HR_IMPORT_MEMSET: case HR_IMPORT_MEMCPY:
        hr_run_set(r, 0, 8, a, 0);
        return fill(r, a, which == HR_IMPORT_MEMCPY ? b : 0, b, c);
    default:
        a = hr_import_tls(r->img, a, &zero);
        hr_run_set(r, 0, 8, hr_run_own(r, a, zero), 0);
        return r->v[0] ? true : hr_run_stop(r, HR_RUN_ABSENT);
    }
}

uint64_t hr_run_own(struct hr_run *r, uint64_t at, bool zero)
{
    if (at && zero && r->calls->own_thread && at % 8 == 0 && !hr_run_store(r, at, 8, r->calls->own_thread, 0))
        return 0;
    return at;
}
