#include "analyzer/allocators/allocators.h"

static enum hr_status glibc_open(struct hr_allocator_in *in, void **self_ret)
{
    (void)in, (void)self_ret;
    return HR_ABSENT;
}
static void glibc_close(void *self) { (void)self; }
const struct hr_allocator hr_allocator_glibc = {"glibc", glibc_open, glibc_close};
