/* Which interpreter this is: MicroPython or CircuitPython, and its version. The banner says so ("MicroPython v1.27.0 on 2025-12-09",
 * "Adafruit CircuitPython 9.2.9 on ..."); where it is not in the image, the structures tell what they can. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

/* Does the heap's description allow this major version of CircuitPython? Until 8 it says where what lives long begins; the boards' 10
 * has a table of what is scanned. */
static bool circuit_fits(const struct hr_mp *mp, unsigned major)
{
    const struct hr_mpy_area *a = &mp->m.area[0];
    if (mp->pair_names)
        return major == 7 || major == 8;
    return a->long_lived ? major >= 2 && major <= 6 : major >= (a->scanned ? 10 : 9) && major < 100;
}

/* The first text in the image that follows `mark` and is a version that may be. */
static bool find_banner(struct hr_mp *mp, const char *mark, bool circuit)
{
    const struct hr_image *img = mp->img;
    size_t marked = strlen(mark);
    for (size_t s = 0; s < img->segs.n; s++) {
        struct hr_span b = img->segs.v[s].bytes;
        const uint8_t *p = b.n ? memmem(b.p, b.n, mark, marked) : NULL;
        for (; p; p = memmem(p + 1, (size_t)(b.p + b.n - p - 1), mark, marked)) {
            size_t n = 0, left = (size_t)(b.p + b.n - p) - marked;
            const char *v = (const char *)p + marked;
            unsigned major = 0;
            while (n < left && n < sizeof mp->version - 1 && v[n] > ' ' && v[n] < 127 && v[n] != ';')
                n++;
            if (n < 3 || v[0] < '1' || v[0] > '9' || (v[1] != '.' && v[2] != '.'))
                continue;
            for (size_t i = 0; i < 2 && v[i] >= '0' && v[i] <= '9'; i++)
                major = major * 10 + (unsigned)(v[i] - '0');
            if (circuit && (!circuit_fits(mp, major) || left - n < 5 || memcmp(v + n, " on 2", 5)))
                continue; /* what somebody wrote about another one */
            memcpy(mp->version, v, n);
            mp->version[n] = 0;
            return true;
        }
    }
    return false;
}

/* sys.implementation.name is a name of the build's own pools, which lie outside of the heap. */
static bool is_circuit(const struct hr_mp *mp)
{
    const struct hr_mpy_area *a = &mp->m.area[0];
    if (a->long_lived || a->scanned || mp->pair_names)
        return true;
    uint64_t q = hr_mp_qstr_find(mp, "circuitpython");
    for (uint32_t i = 0; q && i < mp->npools; i++)
        if (q - mp->pool[i].base < mp->pool[i].len && q >= mp->pool[i].base)
            return !hr_mpy_area_at(&mp->m, mp->pool[i].addr);
    return false;
}

void hr_mp_find_flavour(struct hr_mp *mp)
{
    mp->circuit = is_circuit(mp);
    mp->map_flags = mp->m.area[0].long_lived ? 4 : 3;
    mp->args_first = mp->pair_names || (mp->circuit && mp->split_names);
}

void hr_mp_find_version(struct hr_mp *mp)
{
    const struct hr_mpy_area *a = &mp->m.area[0];
    if (mp->circuit) {
        snprintf(mp->version, sizeof mp->version, "%s", mp->pair_names ? "7 or 8" : a->long_lived ? "8 or earlier" : a->scanned ? "10 or later" : "9 or later");
        mp->version_said = find_banner(mp, "Adafruit CircuitPython ", true) || find_banner(mp, "CircuitPython ", true) ||
                           find_banner(mp, "MicroPython ", true); /* its unix port until 8 */
        return;
    }
    snprintf(mp->version, sizeof mp->version, "%s", mp->slots || a->gap ? "1.20 or later" : mp->split_names ? "1.19" : "1.18 or earlier");
    mp->version_said = find_banner(mp, "MicroPython v", false);
}

const char *hr_mp_flavour(const struct hr_mp *mp) { return mp->circuit ? "CircuitPython" : "MicroPython"; }

bool hr_mp_at_least(const struct hr_mp *mp, unsigned major, unsigned minor)
{
    /* the MicroPython that each CircuitPython follows */
    static const struct { uint8_t major, minor, follows; } base[] = {{2, 0, 8}, {3, 0, 9}, {7, 0, 17}, {7, 2, 18}, {9, 0, 21}, {9, 2, 23}, {10, 0, 25}, {10, 2, 27}};
    unsigned a = 0, b = 0, n = (unsigned)sscanf(mp->version, "%u.%u", &a, &b);
    if (mp->circuit && n >= 1) {
        unsigned follows = 0;
        for (size_t i = 0; i < sizeof base / sizeof *base; i++)
            if (a > base[i].major || (a == base[i].major && b >= base[i].minor))
                follows = base[i].follows;
        return major < 1 || (major == 1 && follows >= minor);
    }
    return n == 2 && (a > major || (a == major && b >= minor));
}
