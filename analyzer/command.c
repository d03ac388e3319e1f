/* What is suggested to run next can be copied: the image as it was given, and the options that this answer rests on. */
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/session.h"

/* An option and its value, if it has one; whole or not at all. */
static void option(char *buf, size_t cap, const char *name, const char *value)
{
    size_t before = strlen(buf);
    int n = snprintf(buf + before, cap - before, "%s%s", before ? " " : "", name);
    if (n < 0 || (size_t)n >= cap - before || (value && !hr_shell_word(buf, cap, value)))
        buf[before] = 0;
}

char *hr_session_options(const struct hr_session *s, char *buf, size_t cap)
{
    const struct heapray_options *o = &s->opt;
    buf[0] = 0;
    const struct { const char *name, *value; } named[] = {{"--regs", o->regs}, {"--arch", o->arch}, {"--endian", o->endian}, {"--sysroot", o->sysroot}};
    if (o->exe)
        option(buf, cap, s->image.bare ? "--elf" : "--exe", o->exe);
    for (size_t i = 0; i < o->nwith; i++)
        option(buf, cap, "--with", o->with[i]);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (named[i].value)
            option(buf, cap, named[i].name, named[i].value);
    for (size_t i = 0; i < o->ndebug_dirs; i++)
        option(buf, cap, "--debug-dir", o->debug_dirs[i]);
    for (size_t i = 0; i < o->nassume; i++)
        option(buf, cap, "--assume", o->assume[i]);
    if (o->no_debug_files)
        option(buf, cap, "--no-debug-files", NULL);
    if (o->no_host_files)
        option(buf, cap, "--no-host-files", NULL);
    if (o->no_types)
        option(buf, cap, "--no-types", NULL);
    return buf;
}

char *hr_session_command(const struct hr_session *s, const char *verb, const char *rest, char *buf, size_t cap)
{
    char options[2048];
    size_t n = (size_t)snprintf(buf, cap, "heapray%s%s", *verb ? " " : "", verb);
    if (n >= cap || !hr_shell_word(buf, cap, s->opt.image))
        return buf;
    hr_session_options(s, options, sizeof options);
    n = strlen(buf);
    snprintf(buf + n, cap - n, "%s%s%s%s", *rest ? " " : "", rest, *options ? " " : "", options);
    return buf;
}
