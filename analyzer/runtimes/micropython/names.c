/* The name of a function, from the beginning of its bytecode (py/bc.h): packed sizes, the size of what follows, the name. Since
 * 1.19 the name is an index into its module's table of names, or a name itself where there is no table; from 1.12 to 1.18 it is two
 * bytes. */
#include <ctype.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_BYTES = 8 /* of one packed number */ };

static bool next_byte(const struct hr_mp *mp, uint64_t *at, uint64_t *ret) { return hr_image_uint(mp->img, (*at)++, 1, ret); }

/* Bytes that continue have the top bit set. */
static bool skip_packed(const struct hr_mp *mp, uint64_t *at)
{
    uint64_t b = 0x80;
    for (unsigned i = 0; i < MAX_BYTES && b & 0x80; i++)
        if (!next_byte(mp, at, &b))
            return false;
    return !(b & 0x80);
}

static bool packed(const struct hr_mp *mp, uint64_t *at, uint64_t *ret)
{
    uint64_t b = 0x80;
    *ret = 0;
    for (unsigned i = 0; i < MAX_BYTES && b & 0x80; i++) {
        if (!next_byte(mp, at, &b))
            return false;
        *ret = *ret << 7 | (b & 0x7f);
    }
    return !(b & 0x80);
}

static bool looks_named(const char *s)
{
    size_t n = strlen(s);
    if (n > 2 && s[0] == '<' && s[n - 1] == '>')
        return true; /* <lambda>, <genexpr> ... */
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && (unsigned char)s[i] < 128)
            return false;
    return n > 0 && !isdigit((unsigned char)s[0]);
}

bool hr_mp_function_name(const struct hr_mp *mp, uint64_t fun, char *buf, size_t cap)
{
    uint64_t at = hr_mp_field(mp, fun, mp->split_names ? 3 : 2), q, table;
    if (!at || !hr_mp_at_least(mp, 1, 12) || !skip_packed(mp, &at) || !skip_packed(mp, &at))
        return false;
    if (!mp->split_names) {
        uint64_t low, high;
        if (!next_byte(mp, &at, &low) || !next_byte(mp, &at, &high))
            return false;
        q = low | high << 8;
    } else {
        if (!packed(mp, &at, &q))
            return false;
        table = hr_mp_field(mp, hr_mp_field(mp, fun, 1), 2); /* of the context; builds that save no code have the file's name there */
        if (table >= mp->nqstr && (q > UINT16_MAX || !hr_image_uint(mp->img, table + 2 * q, 2, &q)))
            return false;
    }
    return q && hr_mp_qstr(mp, q, buf, cap) && looks_named(buf);
}
