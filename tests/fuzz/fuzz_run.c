/* Any bytes as a function that is run, with the same bytes as its object and memory. Input: code from its first byte on. */
#include "analyzer/types/run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CODE = 0x10000, DATA = 0x20000, STEPS = 20000 };

static uint64_t visits;
static void visit(void *ctx, uint64_t value, uint64_t from)
{
    (void)ctx, (void)value;
    if (from && (from < CODE || from >= DATA + 0x10000))
        __builtin_trap(); /* values come from the image, or from nowhere */
    visits++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 0x10000)
        return 0;
    struct hr_image img;
    hr_image_init(&img, NULL, NULL);
    img.arch = hr_arch_by_name("x86-64");
    img.word = 8;
    struct hr_span b = {data, size};
    struct hr_segment code = {.addr = CODE, .msize = size, .bytes = b, .flags = HR_SEG_R | HR_SEG_X, .module = HR_NONE};
    struct hr_segment more = {.addr = DATA, .msize = 0x10000, .bytes = b, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    struct hr_run *r = NULL;
    if (hr_image_add(&img, code) == HR_OK && hr_image_add(&img, more) == HR_OK && hr_image_seal(&img) == HR_OK && hr_run_create(&img, NULL, &r) == HR_OK) {
        bool known = false;
        const struct hr_run_calls calls = {.visit = visit, .known = CODE + 1, .known_called = &known, .own_thread = DATA};
        for (int i = 0; i < 2; i++) {
            struct hr_fuel fuel = hr_fuel(STEPS);
            visits = 0;
            enum hr_run_end end = hr_run_visit(r, CODE, DATA + 8 * (unsigned)i, &calls, &fuel);
            if (visits > STEPS || (fuel.left && end == HR_RUN_TOO_LONG && !*hr_run_end_name(end)))
                __builtin_trap();
        }
    }
    hr_run_destroy(r);
    hr_image_deinit(&img);
    return 0;
}
