/* Rule files: bounded reading, includes. Only regular files, only those the user named or their includes name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/engine/internal.h"

static enum hr_status refuse(struct hr_rules *r, const struct src *from, uint32_t pos, const char *path, const char *why)
{
    struct src whole = {.name = path, .text = "", .n = 0};
    if (from) {
        hr_rules_error(r, from, pos, NULL, "cannot include %s: %s", path, why);
    } else {
        size_t n = r->errors.n;
        hr_rules_error(r, &whole, 0, NULL, "%s", why);
        if (r->errors.n > n)
            r->errors.v[n].line = 0; /* about the file, not a place in it */
    }
    return HR_IO;
}

static enum hr_status read_all(struct hr_rules *r, int fd, size_t size, const char **text_ret, size_t *n_ret)
{
    char *buf = hr_rules_take(r, size + 1);
    size_t n = 0;
    ssize_t got = 0;
    while (buf && n < size && (got = read(fd, buf + n, size - n)) > 0)
        n += (size_t)got;
    if (!buf)
        return HR_NOMEM;
    *text_ret = buf;
    *n_ret = n;
    return got < 0 ? HR_IO : HR_OK;
}

static enum hr_status open_regular(struct hr_rules *r, const struct src *from, uint32_t pos, const char *path, int *fd_ret,
                                   struct stat *sb)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not make us wait */
    if (fd < 0)
        return refuse(r, from, pos, path, strerror(errno));
    const char *why = NULL;
    if (fstat(fd, sb))
        why = strerror(errno);
    else if (S_ISDIR(sb->st_mode))
        why = "this is a directory; name the rule files in it";
    else if (!S_ISREG(sb->st_mode))
        why = "this is not a regular file";
    else if (sb->st_size > HR_MAX_RULE_FILE)
        why = "this is larger than 4 MiB, so it is not a rule file";
    if (why) {
        close(fd);
        return refuse(r, from, pos, path, why);
    }
    *fd_ret = fd;
    return HR_OK;
}

static enum hr_status parsed(struct hr_rules *r, struct src *src, size_t errors)
{
    hr_parse(r, src);
    if (r->no_memory)
        return HR_NOMEM;
    for (size_t i = errors; i < r->errors.n; i++)
        if (!r->errors.v[i].warning)
            return HR_USAGE;
    return r->errors.n >= HR_MAX_RULE_ERRORS ? HR_USAGE : HR_OK;
}

static enum hr_status add_path(struct hr_rules *r, const char *path, const struct src *from, uint32_t pos)
{
    int fd = -1;
    struct stat sb;
    size_t errors = r->errors.n;
    HR_TRY(open_regular(r, from, pos, path, &fd, &sb));
    struct src *src = hr_rules_take(r, sizeof *src);
    enum hr_status st = HR_NOMEM;
    if (src) {
        *src = (struct src){.name = hr_rules_keep(r, path, strlen(path)), .parent = from, .dev = sb.st_dev, .ino = sb.st_ino,
                            .depth = from ? from->depth + 1 : 0};
        src->path = src->name;
        st = src->name ? read_all(r, fd, (size_t)sb.st_size, &src->text, &src->n) : HR_NOMEM;
    }
    close(fd);
    if (st == HR_IO)
        return refuse(r, from, pos, path, "it cannot be read");
    HR_TRY(st);
    for (const struct src *s = from; s; s = s->parent)
        if (s->path && s->dev == src->dev && s->ino == src->ino)
            return refuse(r, from, pos, path, "it includes itself");
    return parsed(r, src, errors);
}

enum hr_status hr_rules_add_file(struct hr_rules *r, const char *path) { return add_path(r, path, NULL, 0); }

enum hr_status hr_rules_include(struct hr_rules *r, const struct src *from, uint32_t pos, const char *name)
{
    if (!from->path)
        return refuse(r, from, pos, name, "only a rule file can include others");
    if (from->depth + 1 > HR_MAX_RULE_NESTING)
        return refuse(r, from, pos, name, "includes are nested more than 8 deep");
    if (++r->nincludes > HR_MAX_RULE_INCLUDES)
        return refuse(r, from, pos, name, "there are more than 256 includes");
    const char *slash = strrchr(from->path, '/');
    const char *path = *name == '/' || !slash ? name
                       : hr_rules_printf(r, "%.*s/%s", (int)(slash - from->path), from->path, name);
    return path ? add_path(r, path, from, pos) : HR_NOMEM;
}

static enum hr_status add_text(struct hr_rules *r, const char *name, const char *text, size_t n, bool lenient)
{
    size_t errors = r->errors.n;
    struct src *src = hr_rules_take(r, sizeof *src);
    if (!src)
        return HR_NOMEM;
    *src = (struct src){.name = hr_rules_keep(r, name, strlen(name)), .n = n, .lenient = lenient, .text = ""};
    if (!src->name)
        return HR_NOMEM;
    if (n > HR_MAX_RULE_FILE) {
        src->n = 0;
        hr_rules_error(r, src, 0, NULL, "this is larger than 4 MiB, so it is not a rule file");
        return HR_USAGE;
    }
    src->text = hr_rules_keep(r, text, n);
    return src->text ? parsed(r, src, errors) : HR_NOMEM;
}

enum hr_status hr_rules_add(struct hr_rules *r, const char *name, const char *text, size_t n)
{
    return add_text(r, name, text, n, false);
}

enum hr_status hr_rules_add_builtin(struct hr_rules *r)
{
    const char *name, *text;
    for (size_t i = 0, n; (n = hr_rules_builtin(i, &name, &text)); i++)
        HR_TRY(add_text(r, name, text, n, true));
    return HR_OK;
}

enum hr_status hr_rules_set(struct hr_rules *r, const char *assignment)
{
    if (strlen(assignment) > 4096 || !strchr(assignment, '=')) {
        hr_rules_error(r, NULL, 0, NULL, "--set takes NAME=VALUE, for example leak_min_bytes=64");
        return HR_USAGE;
    }
    char text[4200];
    int n = snprintf(text, sizeof text, "let %s", assignment);
    r->setting = true;
    enum hr_status st = hr_rules_add(r, "--set", text, (size_t)n);
    r->setting = false;
    return st;
}
