/* (stub) */
#include "analyzer/runtimes/native.h"
#include "analyzer/runtimes/native_layout.h"

enum hr_status hr_native_classify(struct hr_native *n)
{
    (void)n;
    return HR_OK;
}
enum hr_status hr_native_reach_hint(void *self, struct hr_reach_hint *ret)
{
    (void)self;
    (void)ret;
    return HR_ABSENT;
}
int hr_cxx_container(struct hr_native *n, hr_type type, struct hr_layop *ops, int cap, hr_type *inline_ret,
                     uint32_t *inline_off)
{
    (void)n, (void)type, (void)ops, (void)cap, (void)inline_ret, (void)inline_off;
    return -1;
}
