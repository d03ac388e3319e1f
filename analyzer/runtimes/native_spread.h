/* Spreading types: shared state of native_spread.c (votes), native_ops.c (reading instances), native_decide.c (choosing),
 * native_embed.c (what contains what), native_cxx.c (containers), native_shape.c and native_content.c (what is left).
 *
 * A candidate says "a T lies at offset o of this block". Every candidate that comes from a typed pointer is followed at once,
 * whatever the block as a whole will turn out to be: an embedded T is a T. What the *block* is, is decided when all that is
 * known has been followed, by its size (nearly exact, from the allocator's rounding), by which types contain the candidates at
 * their offsets, and by its content. Decisions make new instances, which are followed again, until nothing changes. */
#ifndef HR_RUNTIMES_NATIVE_SPREAD_H
#define HR_RUNTIMES_NATIVE_SPREAD_H

#include "analyzer/base/fuel.h"
#include "analyzer/runtimes/native_layout.h"

/* Why a candidate is believed; order = strength. */
enum {
    HR_VOTE_NONE,
    HR_VOTE_UNION,     /* pointer inside a union: may be another member's bytes. Not followed until chosen */
    HR_VOTE_LOCAL,     /* from a local variable, which may not be set yet, or what hangs on one */
    HR_VOTE_ARRAY,     /* from an element of an array whose used length is not known: the end may be stale */
    HR_VOTE_POINTER,
    HR_VOTE_VTABLE,
    HR_VOTE_CONTAINER, /* whole block, invariants of the container checked */
    HR_VOTE_ASSUMED,
};
enum { HR_CAND_ARRAY = 1 /* seen at several multiples of its size */, HR_CAND_SPREAD = 2 /* followed with this strength */ };
enum { HR_CANDS = 3 };
#define HR_CAND_MORE HR_NONE

struct hr_cand {
    hr_type type;
    uint32_t off;
    uint16_t votes;
    uint8_t strength, flags;
};

HR_VEC(hr_candvec, struct hr_cand)

/* Instances to read: `count` of `type`, `stride` apart. */
struct hr_frame_of {
    uint64_t addr, count;
    hr_type type;
    uint32_t stride;
    hr_id src;             /* node they lie in */
    uint8_t strength;
};
HR_VEC(hr_workvec, struct hr_frame_of)

HR_VEC(hr_groupvec, struct hr_group)
struct hr_functor { hr_type type; uint32_t next; };
HR_VEC(hr_functorvec, struct hr_functor)

struct hr_spread {
    struct hr_native *n;
    struct hr_heap *h;
    struct hr_cand *cand;      /* per block; most have one. type HR_CAND_MORE: `off` is the index of HR_CANDS in `more` */
    struct hr_candvec more;
    struct hr_bits dirty;      /* blocks with candidates since they were last decided */
    uint8_t *tried;            /* per block: levels below this one had no answer for these candidates */
    struct hr_u64vec queue;    /* id << 8 | slot: candidates to follow */
    struct hr_workvec work;
    struct hr_fuel fuel;
    uint64_t mod_lo, mod_hi;
    const uint8_t *seg;        /* the bytes the last word was read from, */
    uint64_t seg_lo, seg_n;    /* where they lie, and how many places for a word they have */
    struct hr_map vtables;     /* vptr -> type + 1 (0: none), and its offset-to-top in vtop */
    struct hr_map vtop;
    struct hr_map elements;    /* instances followed that have no candidate's place */
    struct hr_map limits;      /* block that may be an array -> elements in use, by the integers beside the pointer to it */
    uint64_t inst;             /* the instance whose pointers are being followed */
    hr_type inst_type;
    struct hr_map nodes;       /* (node template, value type) -> row */
    struct hr_map by_signature; /* function type -> first of its functors */
    struct hr_functorvec functors;
    uint32_t *parent0;         /* per type: first of its containers in `parents`; n + 1 */
    struct hr_embed *parents;
    uint32_t *group_of;        /* per block, index into groups; NULL until hr_shape_classify */
    struct hr_groupvec groups;
    bool proposing;            /* what is decided now rests on a proposal */
    bool failed;               /* out of memory or fuel: what is known is kept */
};
struct hr_embed { hr_type in; uint32_t off, count, stride; };

/* native_spread.c */
void hr_vote(struct hr_spread *s, uint64_t addr, hr_type type, uint8_t strength, hr_id src);
/* The whole block is `type`, by a container's word. False when it was known before or does not fit. */
bool hr_vote_whole(struct hr_spread *s, uint64_t addr, uint64_t bytes, hr_type type, hr_id src);
void hr_follow(struct hr_spread *s, uint64_t addr, uint64_t count, hr_type type, uint8_t strength, hr_id src);
void hr_spread_drain(struct hr_spread *s);
void hr_spread_rounds(struct hr_spread *s);
void hr_spread_destroy(struct hr_spread *s);

static inline bool hr_spread_live(const struct hr_spread *s, hr_id id)
{
    return s->h->state[id] == HR_USED || s->h->state[id] == HR_HOST;
}
static inline unsigned hr_cands(struct hr_spread *s, hr_id id, struct hr_cand **ret)
{
    bool more = s->cand[id].type == HR_CAND_MORE;
    *ret = more ? &s->more.v[(size_t)s->cand[id].off * HR_CANDS] : &s->cand[id];
    return more ? HR_CANDS : 1;
}
/* One word of the image, the segment kept for the next. */
bool hr_rd_slow(struct hr_spread *s, uint64_t addr, uint64_t *ret);
static inline bool hr_rd(struct hr_spread *s, uint64_t addr, uint64_t *ret)
{
    uint64_t o = addr - s->seg_lo;
    if (o >= s->seg_n)
        return hr_rd_slow(s, addr, ret);
    *ret = hr_word_load(s->seg + o, s->n->img->word, s->n->img->big);
    return true;
}
/* Does the word lead into a module (and not into the heap between two)? */
static inline bool hr_spread_module(const struct hr_spread *s, uint64_t v)
{
    return v - s->mod_lo < s->mod_hi - s->mod_lo && hr_image_module_at(s->n->img, v) != HR_NONE;
}
/* A block or root (the container) that owns a block as a part. */
void hr_spread_own(struct hr_spread *s, hr_id part, hr_id owner);
static inline uint64_t hr_spread_size_of(const struct hr_spread *s, hr_type t)
{
    return hr_type_get(s->n->types, hr_type_strip(s->n->types, t))->size;
}

/* native_ops.c: reads one instance. */
void hr_ops_run(struct hr_spread *s, uint64_t addr, hr_type type, uint8_t strength, hr_id src);
/* How the content of the bytes at addr agrees with an instance of `type`. */
struct hr_looks {
    int good;   /* pointers that lead to mapped memory; 2 for the start of a block */
    int null;
    int bad;    /* pointer fields that cannot be pointers, or are absent */
    int stray;  /* starts of blocks where the type has no pointer */
};
struct hr_looks hr_ops_looks(struct hr_spread *s, uint64_t addr, hr_type type);
/* The same for a block taken as an array of scalars or pointers. */
bool hr_ops_scalars(struct hr_spread *s, hr_id id, uint64_t addr, hr_type el);
/* No contradiction at all; and a number to compare possibilities by. */
static inline bool hr_looks_clean(struct hr_looks l) { return !l.bad && !l.stray; }
static inline int hr_looks_score(struct hr_looks l) { return l.good - 8 * l.bad - 4 * l.stray; }
/* More wrong pointers than right ones: not even an instance that is not filled in yet. */
static inline bool hr_looks_wrong(struct hr_looks l) { return l.bad > l.good + l.null; }

/* native_decide.c */
struct hr_choice { hr_type type; uint8_t evidence; };
struct hr_choice hr_decide(struct hr_spread *s, hr_id id, uint64_t addr, int level);
enum { HR_FIT_NO, HR_FIT_SLACK, HR_FIT_EXACT };
/* Would the allocator have handed out this block for a request of `bytes`? */
int hr_fit(const struct hr_spread *s, hr_id id, uint64_t addr, uint64_t bytes);

/* native_embed.c */
enum hr_status hr_embed_build(struct hr_spread *s) HR_MUST;
/* Does a `whole` have a `part` at offset off? */
bool hr_embed_has(struct hr_spread *s, hr_type whole, hr_type part, uint64_t off);
/* Types of which `part` is a member at exactly `off` (arrays, nested) and that fit the block: up to cap. */
size_t hr_embed_find(struct hr_spread *s, hr_id id, uint64_t addr, hr_type part, uint64_t off, hr_type *ret, size_t cap);

/* native_cxx.c */
void hr_cxx_complete(struct hr_native *n);
enum hr_status hr_cxx_index_nodes(struct hr_spread *s) HR_MUST;
/* The dynamic class of the object whose vptr lies at `at`, 0 unknown; *top_ret: offset from `at` to the object. */
hr_type hr_cxx_dynamic(struct hr_spread *s, uint64_t at, int64_t *top_ret);
/* Do the container's own invariants hold? Below 0: no; 0: empty or not known; else points for a proposal. */
int hr_cxx_proof(struct hr_spread *s, uint64_t addr, const struct hr_layop *op);
void hr_cxx_run(struct hr_spread *s, uint64_t addr, const struct hr_layop *op, uint8_t strength, hr_id src);

/* native_callable.c: std::function, std::any. */
enum hr_status hr_callable_index(struct hr_spread *s) HR_MUST;
void hr_callable_run(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src);

/* native_known.c: objects of the C and C++ libraries that need no debug information. native_content.c: text. */
enum hr_status hr_known_classify(struct hr_spread *s) HR_MUST;
/* sure: only blocks that are text to their end. */
enum hr_status hr_content_classify(struct hr_spread *s, bool sure) HR_MUST;
/* native_proof.c: how well a type explains the block at addr; points below 0: not at all. `pointers`: how many prove it. */
struct hr_proof { int points, pointers; };
struct hr_proof hr_proof(struct hr_spread *s, uint64_t addr, hr_type type);
/* native_propose.c: types proposed for blocks no typed pointer leads to, by first word and by shape. */
enum hr_status hr_propose_classify(struct hr_spread *s) HR_MUST;
/* native_profile.c: the numbers that known instances of a type hold. */
enum { HR_PROFILE_NUMBERS = 8 /* fields of a type that are looked at */ };
struct hr_profile {
    uint32_t samples, n;
    struct hr_profile_number { uint32_t off, size; uint64_t lo, hi; } v[HR_PROFILE_NUMBERS];
};
HR_VEC(hr_profilevec, struct hr_profile)
struct hr_profiles { struct hr_map of; /* type -> row */ struct hr_profilevec v; };
void hr_profiles_init(struct hr_profiles *p);
void hr_profiles_deinit(struct hr_profiles *p);
enum hr_status hr_profile_add(struct hr_profiles *ps, struct hr_spread *s, hr_type type, uint64_t addr) HR_MUST;
/* 1: all numbers that known instances keep within a narrow range lie in it here, and one of them is not 0. Below 0: one is far
 * from it. */
int hr_profile_agrees(const struct hr_profiles *ps, struct hr_spread *s, hr_type type, uint64_t addr);
/* native_shape.c: unnamed groups. */
enum hr_status hr_shape_classify(struct hr_spread *s) HR_MUST;

#endif
