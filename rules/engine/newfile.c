#include "rules/engine/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/base/mem.h"

struct hr_newfile {
    char *path, *tmp; /* tmp is NULL where there is no such file (any more) */
    FILE *f;
    mode_t mode;
};

static enum hr_status say(enum hr_status st, char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s", what);
    return st;
}

void hr_newfile_destroy(struct hr_newfile *f)
{
    if (!f)
        return;
    if (f->f)
        fclose(f->f);
    if (f->tmp)
        unlink(f->tmp);
    hr_free(f->tmp);
    hr_free(f->path);
    hr_free(f);
}

static enum hr_status create(const char *path, struct hr_newfile *f, char *why, size_t cap)
{
    size_t n = strlen(path) + 8;
    char *tmp = hr_alloc(n);
    f->path = hr_strdup(path);
    if (!tmp || !f->path) {
        hr_free(tmp);
        return say(HR_NOMEM, why, cap, "out of memory");
    }
    snprintf(tmp, n, "%s.XXXXXX", path);
    int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        hr_free(tmp);
        return say(HR_IO, why, cap, strerror(errno));
    }
    f->tmp = tmp;
    f->f = fdopen(fd, "w");
    if (!f->f) {
        close(fd);
        return say(HR_IO, why, cap, strerror(errno));
    }
    mode_t mask = umask(0);
    umask(mask);
    f->mode = 0666 & ~mask;
    return HR_OK;
}

enum hr_status hr_newfile_create(const char *path, struct hr_newfile **ret, char *why, size_t cap)
{
    struct hr_newfile *f = hr_zalloc(1, sizeof *f);
    enum hr_status st = f ? create(path, f, why, cap) : say(HR_NOMEM, why, cap, "out of memory");
    if (st == HR_OK)
        *ret = f;
    else
        hr_newfile_destroy(f);
    return st;
}

enum hr_status hr_newfile_commit(struct hr_newfile *f, const char *text, char *why, size_t cap)
{
    FILE *to = f->f;
    f->f = NULL;
    errno = 0;
    fputs(text, to);
    bool bad = fchmod(fileno(to), f->mode) != 0 || ferror(to);
    if ((fclose(to) != 0) | bad || rename(f->tmp, f->path))
        return say(HR_IO, why, cap, errno ? strerror(errno) : "it cannot be written");
    hr_free(f->tmp);
    f->tmp = NULL;
    return HR_OK;
}
