/* std::function and std::any: what they hold is known by their manager function alone. libstdc++: std_function.h keeps a
 * functor in two words when it is small and trivial, else on the heap; any keeps a pointer. The functor's type is a template
 * argument of _Function_handler<Signature, Functor>; lambdas have no name that a symbol could be looked up by, so the
 * handlers of the signature are narrowed down by symbol, size and content, and only a single one left is believed. */
#include "analyzer/runtimes/native_spread.h"

#include <string.h>

enum { TRIED = 256 /* functors of one signature that are compared */, LOCAL_WORDS = 2 };

static const char handler[] = "std::_Function_handler<";

enum hr_status hr_callable_index(struct hr_spread *s)
{
    const struct hr_types *t = s->n->types;
    for (hr_type i = 1; i < t->rows.n; i++) {
        const struct hr_type_row *r = &t->rows.v[i];
        if (r->kind != HR_T_STRUCT || r->ntparams < 2 || strncmp(hr_strs_get(t->strs, r->name), handler, sizeof handler - 1))
            continue;
        hr_type sig = hr_type_strip(t, t->tparams.v[r->tparam0].type), f = hr_type_strip(t, t->tparams.v[r->tparam0 + 1].type);
        uint32_t *slot;
        bool was;
        HR_TRY(hr_map_slot(&s->by_signature, sig, (uint32_t)s->functors.n, &slot, &was));
        HR_TRY(hr_functorvec_push(&s->functors, (struct hr_functor){f, was ? *slot : HR_NONE}));
        *slot = (uint32_t)s->functors.n - 1;
    }
    return HR_OK;
}

/* A lambda is named after its function, "ns::f()::<lambda(int)>": does the symbol of the manager contain that f? */
static bool symbol_agrees(struct hr_spread *s, uint64_t manager, hr_type f)
{
    uint64_t off;
    const struct hr_sym *y = hr_sym_at(s->n->types, manager, &off);
    const char *name = hr_strs_get(s->n->types->strs, hr_type_get(s->n->types, f)->name);
    const char *end = strstr(name, "(");
    if (!end)
        end = name + strlen(name);
    const char *start = end;
    while (start > name && start[-1] != ':' && start[-1] != '<' && start[-1] != ' ')
        start--;
    char word[128];
    size_t n = (size_t)(end - start);
    if (!y || off || !n || n >= sizeof word)
        return true; /* nothing to compare */
    memcpy(word, start, n);
    word[n] = 0;
    return strstr(y->name, word) != NULL;
}

/* The heap block of just this type that `at` points at, 0 none. */
static uint64_t held(struct hr_spread *s, uint64_t at, hr_type t)
{
    uint64_t v, into;
    hr_id id = hr_rd(s, at, &v) ? hr_heap_at(s->h, v, &into) : HR_NONE;
    bool fits = id != HR_NONE && !into && hr_spread_live(s, id) && hr_fit(s, id, v, hr_spread_size_of(s, t)) == HR_FIT_EXACT;
    return fits && !hr_ops_looks(s, v, t).bad ? v : 0;
}

static void function(struct hr_spread *s, uint64_t at, uint64_t manager, hr_type type, uint8_t strength, hr_id src)
{
    const struct hr_types *t = s->n->types;
    const struct hr_type_row *r = hr_type_get(t, type);
    if (!r->ntparams)
        return;
    hr_type sig = hr_type_strip(t, t->tparams.v[r->tparam0].type), one = 0;
    uint64_t block = 0;
    unsigned tried = 0;
    for (uint32_t i = hr_map_get(&s->by_signature, sig); i != HR_NONE && tried++ < TRIED; i = s->functors.v[i].next) {
        hr_type f = s->functors.v[i].type;
        uint64_t size = hr_spread_size_of(s, f), b = held(s, at, f);
        if (!hr_type_is_struct(s->n, f) || f == one || (!b && size > LOCAL_WORDS * s->n->img->word) ||
            !symbol_agrees(s, manager, f))
            continue;
        if (one && (block || !b)) { /* two that could be it; one on the heap is better than one that is not */
            if (!block == !b)
                return;
            continue;
        }
        one = f, block = b;
    }
    if (one && block)
        hr_vote(s, block, one, strength, src);
    else if (one && !hr_ops_looks(s, at, one).bad)
        hr_follow(s, at, 1, one, HR_VOTE_LOCAL, src);
}

/* _ZNSt3any17_Manager_externalI<type>E9_S_manage… says the type itself. */
static void any(struct hr_spread *s, uint64_t at, uint64_t manager, uint8_t strength, hr_id src)
{
    static const char outside[] = "17_Manager_externalI", inside[] = "17_Manager_internalI";
    uint64_t off, v;
    const struct hr_sym *y = hr_sym_at(s->n->types, manager, &off);
    const char *p = y && !off ? strstr(y->name, "17_Manager_") : NULL;
    const char *end = p ? strstr(p, "E9_S_manage") : NULL;
    char mangled[512], name[HR_MAX_STRING];
    bool heap = p && !strncmp(p, outside, sizeof outside - 1);
    if (!end || (!heap && strncmp(p, inside, sizeof inside - 1)))
        return;
    p += sizeof outside - 1;
    if (end <= p || (size_t)(end - p) >= sizeof mangled)
        return;
    memcpy(mangled, p, (size_t)(end - p));
    mangled[end - p] = 0;
    hr_type t = hr_demangle_type(mangled, name, sizeof name) ? hr_type_find(s->n->types, name) : 0;
    if (!t)
        return;
    if (!heap)
        hr_follow(s, at, 1, t, strength, src);
    else if (hr_rd(s, at, &v))
        hr_vote(s, v, t, strength, src);
}

void hr_callable_run(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    uint64_t manager;
    if (!hr_rd(s, at + (uint64_t)(int64_t)op->aux, &manager) || !manager)
        return;
    if (hr_type_get(s->n->types, op->type)->ntparams)
        function(s, at, manager, op->type, strength, src);
    else
        any(s, at, manager, strength, src);
}
