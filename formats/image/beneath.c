/* Paths below a root (--sysroot) that come from the input. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/image/file.h"

/* The kernel resolves as if root were "/": what a container's own symbolic links mean (openat2(2), Linux 5.6). */
static int open_in_root(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* Without openat2: part by part, refusing "..", never through a symbolic link. Less than the kernel does, never more. */
static int walk(int root, const char *path)
{
    int at = dup(root);
    while (at >= 0 && *path) {
        while (*path == '/')
            path++;
        const char *end = path;
        while (*end && *end != '/')
            end++;
        if (end == path)
            break;
        char part[NAME_MAX + 1];
        size_t n = (size_t)(end - path);
        int next = -1;
        errno = ENAMETOOLONG;
        if (n <= NAME_MAX) {
            memcpy(part, path, n);
            part[n] = 0;
            errno = ENOENT;
            if (strcmp(part, ".."))
                next = openat(at, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        }
        int e = errno;
        close(at);
        errno = e;
        at = next;
        path = end;
    }
    return at;
}

int hr_fd_beneath(const char *root, const char *path, const char **why_ret)
{
    *why_ret = "cannot be opened below the given root";
    int r = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r < 0)
        return -1;
    int pathfd = open_in_root(r, path);
    if (pathfd < 0 && (errno == ENOSYS || errno == EPERM))
        pathfd = walk(r, path);
    int fd = hr_fd_reopen(pathfd, why_ret);
    int e = errno;
    close(r);
    errno = e;
    return fd;
}
