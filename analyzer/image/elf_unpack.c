/* Compressed sections, and the memory behind an ELF file that is ours. */
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include "analyzer/base/mem.h"
#include "analyzer/image/elf.h"

enum { ELFCOMPRESS_ZLIB = 1, ELFCOMPRESS_ZSTD = 2 };

/* A deflate stream expands at most 1032 times (zlib's own figure), so a header that promises more lies; zstd can do more,
 * but sections that gain over 4096 times are zeros nobody compresses. */
enum { MAX_RATIO = 4096 };

static enum hr_status inflate_all(struct hr_span in, uint8_t *out, uint64_t n)
{
    z_stream z = {0};
    if (inflateInit(&z) != Z_OK)
        return HR_NOMEM;
    z.next_in = (Bytef *)in.p;
    z.next_out = out;
    int r = Z_OK;
    uint64_t in_left = in.n, out_left = n;
    do { /* avail_* are 32 bits wide */
        uInt take_in = (uInt)hr_min(in_left, 1u << 30), take_out = (uInt)hr_min(out_left, 1u << 30);
        z.avail_in = take_in;
        z.avail_out = take_out;
        r = inflate(&z, Z_NO_FLUSH);
        in_left -= take_in - z.avail_in;
        out_left -= take_out - z.avail_out;
        if (take_in == z.avail_in && take_out == z.avail_out)
            break;
    } while (r == Z_OK && out_left);
    inflateEnd(&z);
    return out_left ? HR_CORRUPT : HR_OK;
}

static enum hr_status unpack(struct hr_span in, unsigned how, uint64_t size, uint64_t max_out, struct hr_span *ret,
                             void **own_ret)
{
    if (size > max_out || size / MAX_RATIO > in.n)
        return HR_LIMIT;
    uint8_t *out = hr_alloc(size);
    if (!out)
        return HR_NOMEM;
    enum hr_status st = HR_UNSUPPORTED;
    if (how == ELFCOMPRESS_ZLIB)
        st = inflate_all(in, out, size);
    else if (how == ELFCOMPRESS_ZSTD)
        st = ZSTD_decompress(out, size, in.p, in.n) == size ? HR_OK : HR_CORRUPT;
    if (st != HR_OK) {
        hr_free(out);
        return st;
    }
    *ret = (struct hr_span){out, size};
    *own_ret = out;
    return HR_OK;
}

enum hr_status hr_elf_section_bytes(const struct hr_elf *e, const struct hr_section *s, uint64_t max_out,
                                    struct hr_span *ret, void **own_ret)
{
    if (!s->compressed) {
        *ret = s->bytes;
        *own_ret = NULL;
        return HR_OK;
    }
    struct hr_cursor c = hr_cursor(s->bytes, e->big, e->word);
    uint64_t size;
    unsigned how = ELFCOMPRESS_ZLIB;
    if (!strncmp(s->name, ".zdebug_", 8)) { /* "ZLIB", size as 8 bytes, most significant first */
        struct hr_span magic = hr_cur_bytes(&c, 4);
        c.big = true;
        size = hr_cur_u64(&c);
        if (c.bad || memcmp(magic.p, "ZLIB", 4))
            return HR_CORRUPT;
    } else { /* Elf32_Chdr: type, size, align; Elf64_Chdr: type, reserved, size, align */
        how = hr_cur_u32(&c);
        if (e->word == 8)
            hr_cur_u32(&c);
        size = hr_cur_addr(&c);
        hr_cur_addr(&c);
        if (c.bad)
            return HR_CORRUPT;
    }
    return unpack((struct hr_span){c.p, hr_cur_left(&c)}, how, size, max_out, ret, own_ret);
}

void hr_elf_release(struct hr_elf *e)
{
    if (e->owned_mapped)
        munmap(e->owned, e->owned_mapped);
    else
        hr_free(e->owned);
    e->owned = NULL;
    e->owned_mapped = 0;
}
