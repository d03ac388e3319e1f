#include "formats/image/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/mem.h"

static const char *kind_of(mode_t m)
{
    return S_ISDIR(m) ? "is a directory" : S_ISFIFO(m) ? "is a FIFO, which cannot be mapped: copy it to a file first"
           : S_ISCHR(m) || S_ISBLK(m) ? "is a device" : S_ISSOCK(m) ? "is a socket" : "is not a regular file";
}

static const char *errno_words(int e)
{
    switch (e) {
    case ENOENT: return "does not exist";
    case EACCES: case EPERM: return "may not be read by this user";
    case ENOTDIR: return "does not exist (a part of the path is not a directory)";
    case ELOOP: return "has too many symbolic links in its path";
    case ENAMETOOLONG: return "has too long a name";
    case EMFILE: case ENFILE: return "cannot be opened: too many open files";
    default: return "cannot be opened";
    }
}

/* O_PATH looks without opening; only what proves regular is opened, through its own descriptor so that it cannot change. */
int hr_fd_reopen(int pathfd, const char **why_ret)
{
    struct stat st;
    if (pathfd < 0) {
        *why_ret = errno_words(errno);
        return -1;
    }
    int fd = -1;
    if (fstat(pathfd, &st)) {
        *why_ret = errno_words(errno);
    } else if (!S_ISREG(st.st_mode)) {
        *why_ret = kind_of(st.st_mode);
    } else {
        char self[64];
        snprintf(self, sizeof self, "/proc/self/fd/%d", pathfd);
        fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            *why_ret = errno_words(errno);
    }
    close(pathfd);
    return fd;
}

int hr_fd_regular(const char *path, const char **why_ret)
{
    int fd = hr_fd_reopen(open(path, O_PATH | O_CLOEXEC), why_ret);
    struct stat st;
    if (fd < 0 && access("/proc/self/fd", F_OK) && !stat(path, &st) && S_ISREG(st.st_mode)) { /* no /proc here */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            *why_ret = errno_words(errno);
    }
    return fd;
}

enum hr_status hr_fd_map(int fd, struct hr_span *ret)
{
    struct stat st;
    enum hr_status status = HR_IO;
    if (!fstat(fd, &st) && st.st_size >= 0) {
        void *p = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
        if (p != MAP_FAILED) {
            *ret = (struct hr_span){p, (size_t)st.st_size};
            status = HR_OK;
        }
    }
    close(fd);
    return status;
}

void hr_fd_unmap(struct hr_span s)
{
    if (s.n)
        munmap((void *)s.p, s.n);
}

/* What a hr_file keeps to give back. */
struct priv {
    char *path;
    struct hr_span mapped, unwrapped;
};

/* "FILE@ADDR": an existing file of the whole name wins, so that names with an @ still work. */
static bool split_addr(char *path, uint64_t *addr_ret)
{
    char *at = strrchr(path, '@'), *end;
    if (!at || at == path || !at[1] || access(path, F_OK) == 0 || at[1] == '-' || at[1] == '+' || at[1] == ' ')
        return false;
    errno = 0;
    uint64_t v = strtoull(at + 1, &end, 0);
    if (*end || errno)
        return false;
    *at = 0;
    *addr_ret = v;
    return true;
}

static enum hr_status open_into(struct hr_file *f, struct priv *p, const struct hr_open_options *opt, struct hr_notes *notes)
{
    char name[512];
    hr_escz(name, sizeof name, p->path);
    const char *why = "";
    int fd = hr_fd_regular(p->path, &why);
    if (fd < 0) {
        hr_note(notes, HR_NOTE_DAMAGE, "file.unreadable", "%s %s", name, why);
        return HR_IO;
    }
    if (hr_fd_map(fd, &p->mapped) != HR_OK) {
        hr_note(notes, HR_NOTE_DAMAGE, "file.unreadable", "%s cannot be mapped", name);
        return HR_IO;
    }
    f->bytes = p->mapped;
    bool cut = false;
    enum hr_status st = hr_unwrap(p->mapped, opt->max_memory, &f->wrapper, &p->unwrapped, &cut);
    if (st == HR_ABSENT)
        return HR_OK;
    if (st == HR_LIMIT)
        hr_note(notes, HR_NOTE_DAMAGE, "file.too_large", "%s is larger than allowed once decompressed (%s): decompress it yourself, or point TMPDIR to a file system with more room", name, f->wrapper);
    else if (st != HR_OK)
        hr_note(notes, HR_NOTE_DAMAGE, "file.damaged", "%s is damaged: it cannot be decompressed (%s)", name, f->wrapper);
    HR_TRY(st);
    f->cut = cut;
    if (cut)
        hr_note(notes, HR_NOTE_DAMAGE, "file.cut", "%s ends in the middle of its %s stream: only the first %zu bytes of the dump are there", name, f->wrapper, p->unwrapped.n);
    f->bytes = p->unwrapped;
    hr_fd_unmap(p->mapped);
    p->mapped = (struct hr_span){0};
    return HR_OK;
}

enum hr_status hr_file_open(const char *path, const struct hr_open_options *opt, struct hr_notes *notes, struct hr_file **ret)
{
    static const struct hr_open_options none;
    struct hr_file *f = hr_zalloc(1, sizeof *f);
    struct priv *p = hr_zalloc(1, sizeof *p);
    if (!f || !p || !(p->path = hr_strdup(path))) {
        hr_free(f);
        hr_free(p);
        return HR_NOMEM;
    }
    f->has_addr = split_addr(p->path, &f->addr);
    f->path = p->path;
    f->priv = p;
    enum hr_status st = open_into(f, p, opt ? opt : &none, notes);
    if (st != HR_OK) {
        hr_file_close(f);
        return st;
    }
    *ret = f;
    return HR_OK;
}

void hr_file_close(struct hr_file *f)
{
    if (!f)
        return;
    struct priv *p = f->priv;
    if (p) {
        hr_fd_unmap(p->mapped);
        hr_fd_unmap(p->unwrapped);
        hr_free(p->path);
        hr_free(p);
    }
    hr_free(f);
}
