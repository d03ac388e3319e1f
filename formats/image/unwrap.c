/* gzip, zstd and lz4 around a dump, as systemd-coredump and people's scripts make them. */
#include <lz4frame.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "analyzer/base/mem.h"
#include "formats/image/file.h"

enum hr_status hr_unwrap(struct hr_span in, uint64_t max, const char **wrapper_ret, struct hr_span *ret, bool *cut_ret)
{
    (void)in, (void)max, (void)wrapper_ret, (void)ret, (void)cut_ret;
    return HR_ABSENT;
}
