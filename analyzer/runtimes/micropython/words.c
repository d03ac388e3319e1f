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
    if (mp->rounds_floats)
        bits |= bits >> 2 & 3;
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
    case HR_MP_REPR_UNKNOWN:
    case HR_MP_NREPR:
        return hr_mpy_area_at(&mp->m, w) ? pointer(w) : (struct hr_mp_value){.what = w ? HR_MPW_UNKNOWN : HR_MPW_NULL, .u = w};
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

/* Is this the key __name__ of a table, in representation r, with an interned string as its value behind it? */
static bool is_name_entry(const struct hr_mp *mp, const struct hr_segment *seg, size_t off, enum hr_mp_repr r, uint64_t q)
{
    char text[64];
    unsigned ow = r == HR_MP_D ? 8 : mp->word;
    if (off + 2u * ow > seg->bytes.n || hr_word_load(seg->bytes.p + off, ow, mp->img->big) != encode_name(r, q))
        return false;
    struct hr_mp as = *mp; /* large: only for a word that is the key */
    as.repr = r;
    as.ow = ow;
    struct hr_mp_value v = hr_mp_decode(&as, hr_word_load(seg->bytes.p + off + ow, ow, mp->img->big));
    return v.what == HR_MPW_QSTR && v.u && v.u < mp->nqstr && hr_mp_qstr(mp, v.u, text, sizeof text) && *text;
}

/* A name's word of the older form is that of another name in the newer one, so that a version that the image states decides: they
 * changed with 1.13. Pools of 1.19 had the newer one in any case. */
static bool of_version(const struct hr_mp *mp, enum hr_mp_repr r)
{
    bool old = r == HR_MP_A_OLD || r == HR_MP_B_OLD || r == HR_MP_C_OLD, recent = r == HR_MP_A || r == HR_MP_B || r == HR_MP_C;
    if (mp->split_names)
        return !old;
    return !mp->version_said || !(hr_mp_at_least(mp, 1, 13) ? old : recent);
}

/* Every module's table has the key __name__ with a name as its value, in ROM too: in which representation is that there most often? */
void hr_mp_find_repr(struct hr_mp *mp)
{
    uint64_t q = hr_mp_qstr_find(mp, "__name__"), best = 0;
    uint32_t n[HR_MP_NREPR] = {0};
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    for (size_t s = 0; q && s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); off + w <= seg->bytes.n; off += w)
            for (unsigned r = HR_MP_A_OLD; r < HR_MP_NREPR; r++)
                if (w == 4 || (r != HR_MP_C_OLD && r != HR_MP_C)) /* C is for 32 bits alone */
                    n[r] += is_name_entry(mp, seg, off, r, q);
    }
    for (unsigned r = HR_MP_A_OLD; r < HR_MP_NREPR; r++)
        if (n[r] > best && of_version(mp, r)) {
            best = n[r];
            mp->repr = r;
        }
    mp->ow = mp->repr == HR_MP_D ? 8 : mp->word;
    if (!mp->repr)
        hr_note(mp->in.notes, HR_NOTE_DEGRADED, "mp.no_representation", "no table of names shows how this build represents object words: small integers, "
                "names and values kept in words are not decoded (maps, numbers, types and garbage do not depend on it)");
}

const char *hr_mp_repr_name(enum hr_mp_repr r)
{
    static const char *const names[] = {NULL, "A", "A", "B", "B", "C", "C", "D"};
    return names[r];
}
