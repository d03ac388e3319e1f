/* gzip, zstd and lz4 around a dump, as systemd-coredump and people's scripts make them. The output goes into a file that has
 * no name (in TMPDIR), not into memory: it may be larger than memory, and the kernel can drop what is not looked at. */
#include <errno.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "analyzer/base/mem.h"
#include "formats/image/file.h"

enum {
    CHUNK = 1 << 20,
    /* Dumps of sparse memory compress a thousandfold and more; a bomb of this ratio still has to be RATIO times smaller than
     * the room it asks for. With no limit given by the user, what is free in TMPDIR is the other bound. */
    RATIO = 100000,
};

struct sink {
    int fd;
    uint64_t n, max;
};

/* Zeros are left as holes: dumps have many, and a hole costs nothing. */
static enum hr_status put(struct sink *s, const uint8_t *p, size_t n)
{
    static const uint8_t zero[4096];
    if (n > s->max - s->n)
        return HR_LIMIT;
    for (size_t done = 0; done < n;) {
        size_t part = hr_min(n - done, sizeof zero);
        if (memcmp(p + done, zero, part)) {
            ssize_t w = pwrite(s->fd, p + done, part, (off_t)(s->n + done));
            if (w <= 0 && errno == EINTR)
                continue;
            if (w <= 0)
                return errno == ENOSPC ? HR_LIMIT : HR_IO;
            part = (size_t)w;
        }
        done += part;
    }
    s->n += n;
    return HR_OK;
}

/* Each unpacker: HR_OK at the end of the stream, HR_ABSENT when the input ended before it, HR_CORRUPT. */
static enum hr_status gunzip(struct hr_span in, struct sink *out, uint8_t *buf)
{
    z_stream z = {.next_in = (Bytef *)in.p};
    if (inflateInit2(&z, 15 + 32) != Z_OK) /* 32: gzip or zlib by the header */
        return HR_NOMEM;
    enum hr_status st = HR_OK;
    int r = Z_OK;
    const uint8_t *end = in.p + in.n;
    while (st == HR_OK) {
        z.avail_in = (uInt)hr_min((uint64_t)(end - z.next_in), 1u << 30);
        z.next_out = buf;
        z.avail_out = CHUNK;
        r = inflate(&z, Z_NO_FLUSH);
        st = put(out, buf, CHUNK - z.avail_out);
        if (r == Z_STREAM_END && end - z.next_in > 2 && z.next_in[0] == 0x1f && z.next_in[1] == 0x8b) {
            inflateReset(&z); /* members follow each other (pigz, appended files) */
            continue;
        }
        if (r == Z_STREAM_END || st != HR_OK)
            break;
        if (r == Z_BUF_ERROR || (r == Z_OK && z.next_in == end && z.avail_out))
            st = HR_ABSENT;
        else if (r != Z_OK)
            st = r == Z_MEM_ERROR ? HR_NOMEM : HR_CORRUPT;
    }
    inflateEnd(&z);
    return st;
}

static enum hr_status unzstd(struct hr_span in, struct sink *out, uint8_t *buf)
{
    ZSTD_DStream *d = ZSTD_createDStream();
    if (!d)
        return HR_NOMEM;
    /* the window is memory: 128 MiB is what the command line tool allows by default, too */
    ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 27);
    ZSTD_inBuffer i = {in.p, in.n, 0};
    enum hr_status st = HR_OK;
    size_t r = 1;
    while (st == HR_OK && (i.pos < i.size || r)) {
        ZSTD_outBuffer o = {buf, CHUNK, 0};
        size_t before = i.pos;
        r = ZSTD_decompressStream(d, &o, &i);
        if (ZSTD_isError(r)) {
            st = HR_CORRUPT;
            break;
        }
        st = put(out, buf, o.pos);
        if (st == HR_OK && r && i.pos == before && !o.pos)
            st = HR_ABSENT;
    }
    ZSTD_freeDStream(d);
    return st;
}

static enum hr_status unlz4(struct hr_span in, struct sink *out, uint8_t *buf)
{
    LZ4F_dctx *d = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)))
        return HR_NOMEM;
    enum hr_status st = HR_OK;
    size_t at = 0, r = 1;
    while (st == HR_OK && (at < in.n || r)) {
        size_t src = in.n - at, dst = CHUNK;
        r = LZ4F_decompress(d, buf, &dst, in.p + at, &src, NULL);
        if (LZ4F_isError(r)) {
            st = HR_CORRUPT;
            break;
        }
        at += src;
        st = put(out, buf, dst);
        if (st == HR_OK && r && !src && !dst)
            st = HR_ABSENT;
    }
    LZ4F_freeDecompressionContext(d);
    return st;
}

static const struct wrapper {
    const char *name;
    uint8_t magic[4], nmagic;
    enum hr_status (*unpack)(struct hr_span in, struct sink *out, uint8_t *buf);
} wrappers[] = {
    {"gzip", {0x1f, 0x8b, 0x08}, 3, gunzip},          /* RFC 1952 */
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unzstd},    /* RFC 8878 */
    {"lz4", {0x04, 0x22, 0x4d, 0x18}, 4, unlz4},      /* LZ4 frame format 1.6 */
};

static const struct wrapper *which(struct hr_span in)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (in.n > wrappers[i].nmagic && !memcmp(in.p, wrappers[i].magic, wrappers[i].nmagic))
            return &wrappers[i];
    return NULL;
}

static int nameless(void)
{
    const char *dir = getenv("TMPDIR");
    if (!dir || dir[0] != '/')
        dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    char path[4096];
    if (snprintf(path, sizeof path, "%s/heapray-XXXXXX", dir) >= (int)sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static uint64_t bound(int fd, uint64_t in, uint64_t max)
{
    struct statfs fs;
    uint64_t room = UINT64_MAX, ratio = hr_mul(in, RATIO, &ratio) ? ratio : UINT64_MAX;
    if (!fstatfs(fd, &fs))
        room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize / 10 * 9; /* leave some to the others */
    return max ? hr_min(max, ratio) : hr_min(room, hr_min(ratio, INT64_MAX));
}

/* What was written, mapped; the descriptor is closed in any case. */
static enum hr_status map_out(struct sink *out, struct hr_span *ret)
{
    enum hr_status st = ftruncate(out->fd, (off_t)out->n) ? HR_IO : HR_OK; /* a hole at the end counts, too */
    return st == HR_OK ? hr_fd_map(out->fd, ret) : (close(out->fd), st);
}

enum hr_status hr_unwrap(struct hr_span in, uint64_t max, const char **wrapper_ret, struct hr_span *ret, bool *cut_ret)
{
    const struct wrapper *w = which(in);
    if (!w)
        return HR_ABSENT;
    *wrapper_ret = w->name;
    HR_AUTOFREE uint8_t *buf = hr_alloc(CHUNK);
    struct sink out = {.fd = nameless()};
    if (!buf || out.fd < 0) {
        if (out.fd >= 0)
            close(out.fd);
        return buf ? HR_IO : HR_NOMEM;
    }
    out.max = bound(out.fd, in.n, max);
    enum hr_status st = w->unpack(in, &out, buf);
    *cut_ret = st == HR_ABSENT || (st == HR_CORRUPT && out.n);
    if (st != HR_OK && !*cut_ret) {
        close(out.fd);
        return st;
    }
    return out.n ? map_out(&out, ret) : (close(out.fd), HR_CORRUPT);
}
