/* Any text as a rule file: parsed, checked against a small model, and run when it is right. */
#include "rules/engine/rules.h"
#include "tests/fake_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_errors(const struct hr_rules *r)
{
    const struct hr_ruleerrvec *e = hr_rules_errors(r);
    for (size_t i = 0; i < e->n; i++) {
        char buf[700];
        hr_rules_format_error(&e->v[i], buf, sizeof buf);
        for (const char *p = buf; *p; p++)
            if ((unsigned char)*p < 0x20 && *p != '\n')
                __builtin_trap(); /* a control byte of the file on its way to the terminal */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake fake;
    if (!fake.n)
        fake_init(&fake, 200, 42);
    struct hr_rules *r;
    if (hr_rules_create(&r) != HR_OK)
        return 0;
    enum hr_status st = hr_rules_add(r, "fuzz", (const char *)data, size);
    if (st == HR_OK)
        st = hr_rules_check(r, &fake.model);
    if ((st == HR_USAGE) && !hr_rules_errors(r)->n)
        __builtin_trap(); /* refused, and nobody knows why */
    print_errors(r);
    if (st == HR_OK) {
        struct hr_findings f;
        hr_findings_init(&f);
        (void)hr_rules_run(r, &fake.model, &f);
        hr_findings_deinit(&f);
    }
    hr_rules_destroy(r);
    return 0;
}
