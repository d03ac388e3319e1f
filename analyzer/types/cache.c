#include "analyzer/types/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/types/child.h"
#include "analyzer/types/table.h"

enum {
    HASH_HEAD = 16 << 20, /* of each section: enough to tell files apart, cheap beside reading them */
    HASH_TAIL = 1 << 20,
    MIN_ID = 8,           /* shorter build-ids are no identity */
};

static uint64_t hash_section(const struct hr_elf *e, const char *name, uint64_t h)
{
    const struct hr_section *s = hr_elf_section(e, name);
    if (!s)
        return hr_mix(h + 1);
    size_t head = (size_t)hr_min(s->bytes.n, HASH_HEAD), tail = (size_t)hr_min(s->bytes.n - head, HASH_TAIL);
    h = hr_hash_bytes(s->bytes.p, head, h ^ s->bytes.n);
    return hr_hash_bytes(s->bytes.p + (s->bytes.n - tail), tail, h);
}

bool hr_cache_name(const struct hr_module *m, const struct hr_elf *elf, const struct hr_elf *alt, char *buf, size_t cap)
{
    const uint8_t *id = m->build_id_len ? m->build_id : elf->build_id;
    uint8_t n = m->build_id_len ? m->build_id_len : elf->build_id_len;
    if (n < MIN_ID || n > 32 || cap < 128)
        return false;
    size_t at = 0;
    for (uint8_t i = 0; i < n; i++)
        at += (size_t)snprintf(buf + at, cap - at, "%02x", id[i]);
    uint64_t h = HR_BLOB_VERSION;
    static const char *const secs[] = {".debug_info", ".debug_types", ".debug_abbrev", ".debug_str"};
    for (size_t i = 0; i < sizeof secs / sizeof *secs; i++)
        h = hash_section(elf, secs[i], h);
    if (alt)
        h = hash_section(alt, ".debug_info", h);
    snprintf(buf + at, cap - at, "-%016llx.types", (unsigned long long)h);
    return true;
}

/* The directory, opened; made when `make` is set. -1 when there is none. Only absolute paths count as a home. */
static int open_dir(const struct hr_dwarf_options *opt, bool make)
{
    char path[4096];
    const char *dir = opt ? opt->cache_dir : NULL, *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (dir)
        n = snprintf(path, sizeof path, "%s", dir);
    else if (xdg && *xdg == '/')
        n = snprintf(path, sizeof path, "%s/heapray", xdg);
    else if (home && *home == '/')
        n = snprintf(path, sizeof path, "%s/.cache/heapray", home);
    else
        return -1;
    if (n <= 0 || (size_t)n >= sizeof path)
        return -1;
    if (make)
        for (char *p = path + 1; *p; p++)
            if (*p == '/') {
                *p = 0;
                (void)mkdir(path, 0700);
                *p = '/';
            }
    if (make)
        (void)mkdir(path, 0700);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat sb;
    /* a directory that others may write to is no cache */
    if (fd >= 0 && (fstat(fd, &sb) || (sb.st_uid != geteuid() && sb.st_uid != 0) || sb.st_mode & (S_IWGRP | S_IWOTH))) {
        close(fd);
        return -1;
    }
    return fd;
}

static enum hr_status read_all(int fd, size_t n, struct hr_u8vec *ret)
{
    struct hr_u8vec v = {.max = n};
    HR_TRY(hr_u8vec_reserve(&v, n));
    while (v.n < n) {
        ssize_t k = read(fd, v.v + v.n, n - v.n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        v.n += (size_t)k;
    }
    if (v.n < n) {
        hr_u8vec_deinit(&v);
        return HR_ABSENT;
    }
    *ret = v;
    return HR_OK;
}

enum hr_status hr_cache_get(const struct hr_dwarf_options *opt, const char *name, struct hr_u8vec *ret)
{
    int dir = open_dir(opt, false);
    if (dir < 0)
        return HR_ABSENT;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    close(dir);
    if (fd < 0)
        return HR_ABSENT;
    struct stat sb;
    enum hr_status st = HR_ABSENT;
    if (!fstat(fd, &sb) && S_ISREG(sb.st_mode) && sb.st_uid == geteuid() && !(sb.st_mode & 077) && sb.st_size > 0 &&
        (uint64_t)sb.st_size <= HR_CHILD_OUTPUT)
        st = read_all(fd, (size_t)sb.st_size, ret);
    close(fd);
    return st;
}

static bool write_all(int fd, struct hr_span s)
{
    while (s.n) {
        ssize_t k = write(fd, s.p, s.n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        s.p += k;
        s.n -= (size_t)k;
    }
    return true;
}

void hr_cache_put(const struct hr_dwarf_options *opt, const char *name, struct hr_span blob)
{
    char tmp[192];
    int dir = open_dir(opt, true);
    if (dir < 0)
        return;
    snprintf(tmp, sizeof tmp, ".%s.%ld", name, (long)getpid());
    int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        bool ok = write_all(fd, blob);
        ok = !close(fd) && ok;
        if (!ok || renameat(dir, tmp, dir, name))
            (void)unlinkat(dir, tmp, 0);
    }
    close(dir);
}
