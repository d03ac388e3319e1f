/* How numbers lie in memory, which options of the build decide: floats of one or two words' precision and where in the object, big
 * integers as digits of 8, 16 or 32 bits or as one number of 64 bits (MICROPY_FLOAT_IMPL, MPZ_DIG_SIZE, MICROPY_LONGINT_IMPL).
 *
 * ROM gives them away: math.e and math.pi are float objects (py/objfloat.c), sys.maxsize is the largest mp_int_t, as an int object
 * (py/objint.c). Without these the objects of the heap are asked: what lies behind the number of an allocation is zero (gc_alloc()
 * clears it). What nobody shows stays unknown. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

struct form { uint8_t at, bytes; };
struct forms { struct form v[3]; unsigned n; };

/* Where a float's number can be: a float behind the type, a double behind it as the machine aligns it (for i386 both ways). */
static struct forms forms_of(const struct hr_mp *mp)
{
    uint8_t w = (uint8_t)mp->word, wide = (uint8_t)hr_mp_align(mp, w, 8);
    struct forms f = {.v = {{w, 4}, {wide, 8}, {wide == 8 ? 4 : 8, 8}}, .n = mp->word == 8 ? 2 : 3};
    return f;
}

static bool well_known(uint64_t bits, unsigned bytes)
{
    static const uint64_t wide[] = {0x4005bf0a8b145769, 0x400921fb54442d18}, narrow[] = {0x402df854, 0x40490fdb}; /* e, pi */
    const uint64_t *k = bytes == 8 ? wide : narrow;
    return bits == k[0] || bits == k[1];
}

/* An int object outside the heap that is the largest mp_int_t: digits one by one all ones, but for the top bit; or that very number. */
static bool is_maxsize(struct hr_mp *mp, uint64_t at)
{
    uint64_t v = 0, flags = hr_mp_field(mp, at, 1), len = hr_mp_field(mp, at, 2), digits = hr_mp_field(mp, at, 3), alloc;
    uint64_t most = mp->ow == 8 ? INT64_MAX : INT32_MAX;
    unsigned wide = hr_mp_align(mp, mp->word, 8);
    alloc = hr_mp_bitfield(mp, flags, 2, 8 * mp->word - 2);
    for (unsigned each = 1; each <= 4; each *= 2) {
        bool all = len * each == mp->ow && alloc == len;
        for (uint64_t i = 0; all && i < len; i++)
            all = hr_image_uint(mp->img, digits + i * each, each, &v) && v == (UINT64_MAX >> (64 - 8 * each) >> (i + 1 == len));
        if (all) {
            mp->digit_bytes = (uint8_t)each;
            return true;
        }
    }
    if (!hr_image_uint(mp->img, at + wide, 8, &v) || v != most)
        return false;
    mp->digit_bytes = 0;
    return true;
}

struct search { struct hr_mp *mp; uint64_t float_type, int_type; bool floats, ints; };

static void see_static(struct search *s, uint64_t at, uint64_t word)
{
    struct hr_mp *mp = s->mp;
    uint64_t bits;
    struct forms f = forms_of(mp);
    for (unsigned i = 0; word == s->float_type && word && !s->floats && i < f.n; i++)
        if (hr_image_uint(mp->img, at + f.v[i].at, f.v[i].bytes, &bits) && well_known(bits, f.v[i].bytes)) {
            mp->float_at = f.v[i].at;
            mp->float_bytes = f.v[i].bytes;
            s->floats = true;
        }
    if (word == s->int_type && word && !s->ints)
        s->ints = is_maxsize(mp, at);
}

static void search_static(struct search *s)
{
    const struct hr_mp *mp = s->mp;
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *seg = &img->segs.v[i];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + w <= seg->bytes.n && !(s->floats && s->ints); off += w) {
            uint64_t at = seg->addr + off, word = hr_word_load(seg->bytes.p + off, w, img->big);
            const struct hr_mpy_area *a = word == s->float_type || word == s->int_type ? hr_mpy_area_at(&mp->m, at) : NULL;
            if (a)
                off += (size_t)hr_min(a->end - at - w, seg->bytes.n - off - w);
            else
                see_static(s, at, word);
        }
    }
}

/* ---- the heap's own objects ---- */
struct votes {
    uint32_t narrow, wide[3], beside; /* floats; beside: neither reading leaves zeros behind it */
    uint32_t digits[3], number;       /* ints by bytes of a digit (1, 2, 4), and as one number */
};

static bool zeros(const struct hr_mp *mp, uint64_t lo, uint64_t hi)
{
    struct hr_span s = hr_image_peek(mp->img, lo, hi - lo);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i])
            return false;
    return s.n == hi - lo;
}

static void vote_float(const struct hr_mp *mp, struct votes *v, uint64_t at, uint64_t size)
{
    struct forms f = forms_of(mp);
    if (zeros(mp, at + mp->word, at + size))
        return; /* 0.0 in any form */
    unsigned fit = f.n;
    for (unsigned i = 0; i < f.n && fit == f.n; i++) /* the shortest that leaves only zeros behind it */
        if (zeros(mp, at + f.v[i].at + f.v[i].bytes, at + size))
            fit = i;
    if (fit < f.n && f.n == 3 && f.v[fit].bytes == 8 && f.v[fit].at == 8 && f.v[1].at == 4)
        fit = f.n; /* i386 aligns a double to four bytes: that reading leaves something over, so clearing is off */
    if (fit == f.n)
        v->beside++;
    else if (!fit)
        v->narrow++;
    else
        v->wide[fit]++;
}

/* The form most of them say; a double whose low half is zero looks like a float on big-endian machines, so that one clear double decides. */
static void count_floats(struct hr_mp *mp, const struct votes *v)
{
    struct forms f = forms_of(mp);
    unsigned best = v->wide[2] > v->wide[1] ? 2 : 1;
    if (v->wide[best] * 4 > v->narrow + v->beside)
        mp->float_at = f.v[best].at, mp->float_bytes = 8;
    else if (v->narrow > v->beside && !mp->img->big)
        mp->float_at = f.v[0].at, mp->float_bytes = 4;
}

static void vote_int(const struct hr_mp *mp, struct votes *v, uint64_t at)
{
    uint64_t flags = hr_mp_field(mp, at, 1), len = hr_mp_field(mp, at, 2), digits = hr_mp_field(mp, at, 3), d;
    uint64_t alloc = hr_mp_bitfield(mp, flags, 2, 8 * mp->word - 2);
    hr_id id = len && len <= alloc && alloc < 1u << 24 ? hr_mp_head(mp, digits) : HR_NONE;
    if (id == HR_NONE) {
        v->number += len || (flags && !digits); /* what has allocated digits has their address */
        return;
    }
    uint64_t end = digits + hr_block_size(mp->heap, id);
    for (unsigned i = 0; i < 3; i++) { /* the shortest digits whose last is not zero, with nothing behind the allocated ones */
        unsigned each = 1u << i;
        if (digits + alloc * each > end || !zeros(mp, digits + alloc * each, end))
            continue;
        v->digits[i] += hr_image_uint(mp->img, digits + (len - 1) * each, each, &d) && d && zeros(mp, digits + len * each, digits + alloc * each);
        return;
    }
}

static void count_ints(struct hr_mp *mp, const struct votes *v)
{
    uint32_t best = 0, all = v->digits[0] + v->digits[1] + v->digits[2];
    if (v->number > all) {
        mp->digit_bytes = 0;
        mp->digits_known = true;
        return;
    }
    for (unsigned i = 0; i < 3; i++)
        if (v->digits[i] > best) {
            best = v->digits[i];
            mp->digit_bytes = (uint8_t)(1u << i);
            mp->digits_known = best * 2 > all;
        }
}

static void ask_heap(struct hr_mp *mp, const struct search *s)
{
    struct votes v = {0};
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it), word;
        if (mp->heap->state[id] != HR_USED || !hr_mpy_area_at(&mp->m, at) || !(word = hr_mp_word(mp, at)))
            continue;
        if (word == s->float_type && !s->floats)
            vote_float(mp, &v, at, hr_block_size(mp->heap, id));
        else if (word == s->int_type && !s->ints)
            vote_int(mp, &v, at);
    }
    if (!s->floats)
        count_floats(mp, &v);
    if (!s->ints)
        count_ints(mp, &v);
}

static uint64_t type_of_kind(const struct hr_mp *mp, unsigned kind, const char *name)
{
    for (size_t i = 0; i < mp->types.n; i++)
        if (mp->types.v[i].kind == kind && !strcmp(hr_strs_get(mp->img->strs, mp->types.v[i].name), name))
            return mp->types.v[i].addr;
    return 0;
}

void hr_mp_find_numbers(struct hr_mp *mp)
{
    struct search s = {.mp = mp, .float_type = type_of_kind(mp, HR_MPK_FLOAT, "float"), .int_type = type_of_kind(mp, HR_MPK_INT, "int")};
    mp->digit_bytes = mp->word == 8 ? 4 : 2; /* py/mpz.h where the build says nothing */
    if (mp->repr == HR_MP_C_OLD || mp->repr == HR_MP_C)
        mp->float_at = (uint8_t)mp->word, mp->float_bytes = 4; /* parts of complex numbers */
    else if (mp->repr == HR_MP_D)
        mp->float_at = (uint8_t)hr_mp_align(mp, mp->word, 8), mp->float_bytes = 8;
    s.floats = mp->float_bytes || !s.float_type;
    s.ints = !s.int_type;
    search_static(&s);
    mp->digits_known = s.ints && s.int_type;
    if (!s.floats || !s.ints)
        ask_heap(mp, &s);
}

bool hr_mp_float_at(const struct hr_mp *mp, uint64_t at, double *ret)
{
    uint64_t bits;
    if (!mp->float_bytes || !hr_image_uint(mp->img, at, mp->float_bytes, &bits))
        return false;
    if (mp->float_bytes == 8) {
        memcpy(ret, &bits, 8);
        return true;
    }
    float f;
    uint32_t low = (uint32_t)bits;
    memcpy(&f, &low, 4);
    *ret = f;
    return true;
}

void hr_mp_float_text(double v, bool single, char *buf, size_t cap)
{
    int most = single ? 9 : 17;
    for (int digits = single ? 6 : 15; digits <= most; digits++) {
        snprintf(buf, cap, "%.*g", digits, v);
        double back = strtod(buf, NULL);
        if (isnan(v) || (single ? (float)back == (float)v : back == v))
            break;
    }
    if (isnan(v))
        snprintf(buf, cap, "nan"); /* its sign says nothing */
}
