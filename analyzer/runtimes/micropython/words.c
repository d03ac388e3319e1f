/* Object words in the representations of py/mpconfig.h (MICROPY_OBJ_REPR_A to D). */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

static int64_t sign(const struct hr_mp *mp, uint64_t w, unsigned shift)
{
    return mp->ow == 8 ? (int64_t)w >> shift : (int32_t)(uint32_t)w >> shift;
}

static struct hr_mp_value small(const struct hr_mp *mp, uint64_t w, unsigned shift)
{
    return (struct hr_mp_value){.what = HR_MPW_INT, .i = sign(mp, w, shift), .u = w};
}
static struct hr_mp_value name(uint64_t q) { return (struct hr_mp_value){.what = HR_MPW_QSTR, .u = q}; }
static struct hr_mp_value constant(uint64_t i) { return (struct hr_mp_value){.what = HR_MPW_IMM, .u = i}; }
static struct hr_mp_value pointer(uint64_t w) { return (struct hr_mp_value){.what = w ? HR_MPW_PTR : HR_MPW_NULL, .u = w}; }

static struct hr_mp_value decode_c(const struct hr_mp *mp, uint32_t w)
{
    bool old = mp->repr == HR_MP_C_OLD;
    if (w & 1)
        return small(mp, w, 1);
    if (!(w & 3))
        return pointer(w);
    if (old ? (w & 0xff800007u) == 6 : (w & 0xff80000fu) == 6)
        return name(w >> (old ? 3 : 4));
    if (!old && (w & 0xff80000fu) == 14)
        return constant(w >> 4);
    uint32_t bits = (w - 0x80800000u) & ~3u;
    float f;
    memcpy(&f, &bits, 4);
    return (struct hr_mp_value){.what = HR_MPW_FLOAT, .f = f, .u = w};
}

static struct hr_mp_value decode_d(uint64_t w)
{
    if (w & 0xfffc000000000000ull) {
        uint64_t bits = w - 0x8004000000000000ull;
        double f;
        memcpy(&f, &bits, 8);
        return (struct hr_mp_value){.what = HR_MPW_FLOAT, .f = f, .u = w};
    }
    switch (w >> 48) {
    case 1: return (struct hr_mp_value){.what = HR_MPW_INT, .i = (int64_t)(w << 16) >> 17, .u = w};
    case 2: return name((uint32_t)w >> 1);
    case 3: return constant(w >> 46 & 3);
    default: return pointer(w);
    }
}

struct hr_mp_value hr_mp_decode(const struct hr_mp *mp, uint64_t w)
{
    switch (mp->repr) {
    case HR_MP_A_OLD:
        return w & 1 ? small(mp, w, 1) : (w & 3) == 2 ? name(w >> 2) : pointer(w);
    case HR_MP_B_OLD:
        return (w & 3) == 1 ? small(mp, w, 2) : (w & 3) == 3 ? name(w >> 2) : pointer(w);
    case HR_MP_B:
        return (w & 3) == 1 ? small(mp, w, 2) : (w & 7) == 3 ? name(w >> 3) : (w & 7) == 7 ? constant(w >> 3) : pointer(w);
    case HR_MP_C_OLD:
    case HR_MP_C:
        return decode_c(mp, (uint32_t)w);
    case HR_MP_D:
        return decode_d(w);
    default:
        return w & 1 ? small(mp, w, 1) : (w & 7) == 2 ? name(w >> 3) : (w & 7) == 6 ? constant(w >> 3) : pointer(w);
    }
}

static uint64_t encode_name(enum hr_mp_repr r, uint64_t q)
{
    switch (r) {
    case HR_MP_A_OLD: return q << 2 | 2;
    case HR_MP_A: return q << 3 | 2;
    case HR_MP_B_OLD: return q << 2 | 3;
    case HR_MP_B: return q << 3 | 3;
    case HR_MP_C_OLD: return q << 3 | 6;
    case HR_MP_C: return q << 4 | 6;
    default: return q << 1 | 1 | 2ull << 48;
    }
}

/* Every module's table has the key __name__, in ROM too: which representation's word for it is there most often? The build of
 * 64-bit machines is A unless D's words say otherwise. */
void hr_mp_find_repr(struct hr_mp *mp)
{
    uint64_t q = hr_mp_qstr_find(mp, "__name__"), q2 = hr_mp_qstr_find(mp, "__init__"), best = 0;
    uint32_t n[HR_MP_NREPR] = {0};
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    if (!q)
        return;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + 8 <= seg->bytes.n; off += w) {
            uint64_t v = hr_word_load(seg->bytes.p + off, w, img->big), next = w == 4 ? hr_word_load(seg->bytes.p + off + 4, 4, img->big) : 0;
            if (!v)
                continue;
            for (unsigned r = HR_MP_A_OLD; r < HR_MP_D; r++)
                n[r] += v == encode_name(r, q) || (q2 && v == encode_name(r, q2));
            uint64_t wide = w == 8 ? v : img->big ? v << 32 | next : v | next << 32;
            n[HR_MP_D] += wide == encode_name(HR_MP_D, q);
        }
    }
    for (unsigned r = HR_MP_A_OLD; r < HR_MP_NREPR; r++)
        if (n[r] > best && !(mp->split_names && (r == HR_MP_A_OLD || r == HR_MP_B_OLD || r == HR_MP_C_OLD))) { /* 1.19 had the newer ones */
            best = n[r];
            mp->repr = r;
        }
    mp->ow = mp->repr == HR_MP_D ? 8 : mp->word;
}

const char *hr_mp_repr_name(enum hr_mp_repr r)
{
    static const char *const names[] = {NULL, "A", "A", "B", "B", "C", "C", "D"};
    return names[r];
}
