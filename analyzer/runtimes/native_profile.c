/* What the known instances of a type have in common beyond its declaration: the numbers they hold. A block whose counters,
 * states and codes lie where those of its supposed brothers do is likelier to be one, and one whose numbers are far
 * from theirs is not: it may have been lost in a state the living are not in, but states are near each other. */
#include "analyzer/runtimes/native_spread.h"

enum {
    SAMPLES = 64,      /* instances of a type that are looked at */
    LEAST_SAMPLES = 8, /* fewer say nothing */
    FIELDS = 64,
    NARROW = 1 << 16,  /* a range as wide is no habit: addresses, hashes, old bytes; of 2 bytes 1/256 of that */
    NEAR = 16,         /* further outside than this, and than the range is wide, is far */
};

void hr_profiles_init(struct hr_profiles *p)
{
    hr_map_init(&p->of, HR_MAX_TYPES);
    p->v.max = HR_MAX_TYPES;
}

void hr_profiles_deinit(struct hr_profiles *p)
{
    hr_map_deinit(&p->of);
    hr_profilevec_deinit(&p->v);
}

static struct hr_profile start(const struct hr_spread *s, hr_type type)
{
    const struct hr_type_row *r = hr_type_get(s->n->types, type);
    struct hr_profile p = {0};
    for (uint32_t i = 0; i < r->nfields && i < FIELDS && p.n < HR_PROFILE_NUMBERS && r->kind == HR_T_STRUCT; i++) {
        const struct hr_field *f = &s->n->types->fields.v[r->field0 + i];
        const struct hr_type_row *fr = hr_type_get(s->n->types, hr_type_strip(s->n->types, f->type));
        bool number = fr->kind == HR_T_INT || fr->kind == HR_T_UINT || fr->kind == HR_T_ENUM;
        if (number && fr->size >= 2 && fr->size <= 8 && !(f->flags & HR_FF_BITFIELD))
            p.v[p.n++] = (struct hr_profile_number){f->off, (uint32_t)fr->size, UINT64_MAX, 0};
    }
    return p;
}

enum hr_status hr_profile_add(struct hr_profiles *ps, struct hr_spread *s, hr_type type, uint64_t addr)
{
    uint32_t *slot;
    bool was;
    uint64_t v;
    HR_TRY(hr_map_slot(&ps->of, type, (uint32_t)ps->v.n, &slot, &was));
    if (!was)
        HR_TRY(hr_profilevec_push(&ps->v, start(s, type)));
    struct hr_profile *p = &ps->v.v[*slot];
    if (p->samples >= SAMPLES)
        return HR_OK;
    p->samples++;
    for (uint32_t i = 0; i < p->n; i++)
        if (hr_image_uint(s->n->img, addr + p->v[i].off, p->v[i].size, &v)) {
            p->v[i].lo = hr_min(p->v[i].lo, v);
            p->v[i].hi = hr_max(p->v[i].hi, v);
        }
    return HR_OK;
}

int hr_profile_agrees(const struct hr_profiles *ps, struct hr_spread *s, hr_type type, uint64_t addr)
{
    uint32_t at = hr_map_get(&ps->of, type);
    const struct hr_profile *p = at == HR_NONE ? NULL : &ps->v.v[at];
    unsigned good = 0, outside = 0;
    uint64_t v;
    if (!p || p->samples < LEAST_SAMPLES)
        return 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct hr_profile_number *k = &p->v[i];
        uint64_t span = k->hi - k->lo, near = span + NEAR;
        if (k->lo > k->hi || span >= (k->size == 2 ? NARROW >> 8 : NARROW) ||
            !hr_image_uint(s->n->img, addr + k->off, k->size, &v))
            continue;
        if ((v < k->lo && k->lo - v > near) || (v > k->hi && v - k->hi > near))
            return -1;
        outside += v < k->lo || v > k->hi;
        good += v != 0;
    }
    return good && !outside;
}
