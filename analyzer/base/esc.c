#include "analyzer/base/esc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool harmful(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0x061c || (cp >= 0x200b && cp <= 0x200f) ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff ||
           (cp >= 0xfff0 && cp <= 0xfffb) || (cp >= 0xd800 && cp <= 0xdfff) || (cp >= 0xe0000 && cp <= 0xe0fff) ||
           cp > 0x10ffff;
}

size_t hr_utf8_ok(const uint8_t *p, size_t n)
{
    if (!n)
        return 0;
    uint32_t cp = p[0];
    size_t len = cp < 0x80 ? 1 : (cp & 0xe0) == 0xc0 ? 2 : (cp & 0xf0) == 0xe0 ? 3 : (cp & 0xf8) == 0xf0 ? 4 : 0;
    if (!len || len > n)
        return 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (len > 1)
        cp &= 0x7fu >> len;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (p[i] & 0x3f);
    }
    return cp < least[len] || harmful(cp) ? 0 : len;
}

char *hr_esc(char *buf, size_t cap, const void *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *p = bytes;
    size_t o = 0, i = 0;
    while (i < n) {
        char piece[4];
        size_t len = hr_utf8_ok(p + i, n - i), out = len, used = len ? len : 1;
        if (len)
            memcpy(piece, p + i, len);
        if (p[i] == '\\') {
            memcpy(piece, "\\\\", 2);
            out = 2;
        } else if (!len) {
            piece[0] = '\\', piece[1] = 'x', piece[2] = hex[p[i] >> 4], piece[3] = hex[p[i] & 15];
            out = 4;
        }
        /* keep room for "..." unless this is the last piece */
        if (o + out + 1 + (i + used < n ? 3 : 0) > cap) {
            for (int d = 0; d < 3 && o + 1 < cap; d++)
                buf[o++] = '.';
            break;
        }
        memcpy(buf + o, piece, out);
        o += out;
        i += used;
    }
    if (cap)
        buf[o] = 0;
    return buf;
}

char *hr_escz(char *buf, size_t cap, const char *z) { return hr_esc(buf, cap, z, strlen(z)); }

char *hr_human(char *buf, size_t cap, uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned u = 0;
    double v = (double)bytes;
    while (v >= 1023.95 && u < 6) {
        v /= 1024;
        u++;
    }
    snprintf(buf, cap, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v, unit[u]);
    return buf;
}

bool hr_shell_word(char *buf, size_t cap, const char *z)
{
    size_t start = strlen(buf), at = start;
    bool plain = *z && *z != '-';
    for (const char *p = z; *p; p++)
        plain &= isalnum((unsigned char)*p) || strchr("_@%+=:,./-", *p);
    if (start)
        at += (size_t)snprintf(buf + at, cap - at, " ");
    if (!plain && at < cap)
        at += (size_t)snprintf(buf + at, cap - at, "'");
    for (const char *p = z; *p && at < cap; p++)
        at += (size_t)snprintf(buf + at, cap - at, !plain && *p == '\'' ? "'\\''" : "%c", *p);
    if (!plain && at < cap)
        at += (size_t)snprintf(buf + at, cap - at, "'");
    if (at >= cap)
        buf[start] = 0;
    return at < cap;
}
