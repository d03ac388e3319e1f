#include "analyzer/runtimes/cpython/plan.h"

#include <string.h>

#include "analyzer/types/run.h"

enum {
    MAX_PLANS = 1 << 20,
    MAX_VISITS = 1 << 28,
    MAX_HEAVY = 1 << 24,
    MAX_DEPTH = 64,       /* bases of a type */
    STEPS = 1024,         /* operations for any object; most take fewer than 100 */
    STEPS_A_WORD = 32,    /* and for each word of its block */
    POOL_A_WORD = 16,     /* what all objects together may take beyond that: long lists and arrays behind pointers */
    SEEN_WORDS = 1024,    /* words of an object that are told apart as visited or not */
    IMAGINED_STEPS = 1 << 16,
    NPARTS = 8,           /* blocks of one object that are followed at a time */
};
#define POOL (16u << 20)

/* One tp_traverse. */
struct hr_py_plan {
    uint64_t function;
    uint64_t known;       /* tp_traverse of the built-in base that a reader here knows, 0: none */
    uint64_t runs, whole; /* how often, and how often to the end */
    uint8_t why;          /* enum hr_run_end of the last that did not get there */
    uint64_t stopped_at;
};
HR_VEC(planvec, struct hr_py_plan)

struct visit { uint64_t value, from; };
HR_VEC(visitvec, struct visit)

struct part { hr_id block; uint64_t addr, size, last; uint32_t reads, visits; };

struct hr_py_plans {
    struct hr_run *run;
    struct planvec plans;
    struct hr_map by_function;
    uint64_t subtype_traverse;
    uint64_t thread, thread_at; /* a PyThreadState: the collector runs with one; where the interpreter keeps it, while nobody runs */
    struct hr_map heavy;      /* object -> 1 it may take as long as it takes, 0 it may not */
    struct hr_fuel pool;
    /* the run under way */
    struct visitvec visits;
    struct hr_py *py;
    uint64_t block, block_end; /* of the object */
    struct part part[NPARTS];
    unsigned nparts;
    bool known_called;
    bool out_of_memory;
};

/* ---- opening ---- */
/* subtype_traverse, what classes made by Python have, has no symbol where the interpreter is stripped: it is what most heap types have. */
static uint64_t find_subtype_traverse(struct hr_py *py)
{
    uint64_t candidate[8] = {0};
    uint32_t votes[8] = {0}, best = 0;
    for (size_t i = 0; i < py->types.n; i++) {
        const struct hr_py_type *t = &py->types.v[i];
        if (!(t->flags & HR_PYF_HEAPTYPE) || !(t->flags & HR_PYF_GC))
            continue;
        uint64_t traverse = hr_py_word(py->c, t->addr, HR_PY_TP_TRAVERSE);
        unsigned k = 0;
        while (k < 7 && candidate[k] && candidate[k] != traverse)
            k++;
        candidate[k] = traverse;
        if (++votes[k] > votes[best])
            best = k;
    }
    return candidate[best];
}

/* While all threads sleep none is the running one. The collector is run by one all the same: the main interpreter's newest. */
static void find_thread(const struct hr_py *py, struct hr_py_plans *p)
{
    const struct hr_cpython *c = py->c;
    uint64_t at = 0, now;
    if (!c->ninterp)
        return;
    p->thread = hr_py_word(c, c->interp[c->ninterp - 1], HR_PY_IS_THREADS);
    if (c->runtime && hr_py_has(c, HR_PY_RT_TSTATE_CURRENT))
        at = c->runtime + (uint64_t)c->at[HR_PY_RT_TSTATE_CURRENT];
    else if (!c->runtime)
        at = hr_py_symbol(c, "_PyThreadState_Current");
    if (at && at % 8 == 0 && hr_image_word(py->img, at, &now) && !now)
        p->thread_at = at;
}

enum hr_status hr_py_plans_open(struct hr_py *py)
{
    struct hr_py_plans *p = hr_zalloc(1, sizeof *p);
    if (!p)
        return HR_NOMEM;
    py->plans = p;
    p->py = py;
    p->plans.max = MAX_PLANS;
    p->visits.max = MAX_VISITS;
    hr_map_init(&p->by_function, MAX_PLANS);
    hr_map_init(&p->heavy, MAX_HEAVY);
    p->subtype_traverse = find_subtype_traverse(py);
    find_thread(py, p);
    uint64_t bytes = 0;
    for (size_t i = 0; i < py->img->segs.n; i++)
        bytes += py->img->segs.v[i].bytes.n;
    p->pool = hr_fuel(POOL + bytes / py->img->word * POOL_A_WORD);
    enum hr_status st = hr_run_create(py->img, py->in.types, &p->run);
    if (st == HR_UNSUPPORTED)
        return HR_OK; /* another machine: as before */
    HR_TRY(st);
    for (size_t i = 0; i < py->types.n; i++)
        hr_py_plan_type(py, &py->types.v[i]);
    return HR_OK;
}

void hr_py_plans_close(struct hr_py *py)
{
    struct hr_py_plans *p = py->plans;
    if (!p)
        return;
    hr_run_destroy(p->run);
    planvec_deinit(&p->plans);
    visitvec_deinit(&p->visits);
    hr_map_deinit(&p->by_function);
    hr_map_deinit(&p->heavy);
    hr_free(p);
    py->plans = NULL;
}

/* ---- types ---- */
/* tp_traverse of the built-in type whose layout is read by hand; 0: it is read by words, so its code is better. */
static uint64_t known_traverse(const struct hr_py *py, const struct hr_py_type *t)
{
    switch (t->kind) {
    case HR_PK_TYPE: return hr_py_word(py->c, py->c->type_type, HR_PY_TP_TRAVERSE);
    case HR_PK_LIST: case HR_PK_TUPLE: case HR_PK_DICT: case HR_PK_SET: case HR_PK_FRAME: case HR_PK_GENERATOR: case HR_PK_WEAKREF:
    case HR_PK_DEQUE: case HR_PK_ODICT: return hr_py_word(py->c, t->known_base, HR_PY_TP_TRAVERSE);
    default: return 0;
    }
}

/* Classes made by Python upon nothing of C need no plan: slots and attributes are all they have. Upon a type of C that is not tracked they
 * do: its fields are counted, but nobody visits them. */
void hr_py_plan_type(struct hr_py *py, struct hr_py_type *t)
{
    struct hr_py_plans *p = py->plans;
    if (!p || !p->run || !(t->flags & HR_PYF_GC))
        return;
    uint64_t own = hr_py_word(py->c, t->addr, HR_PY_TP_TRAVERSE), base = t->addr, f = own, known = known_traverse(py, t);
    for (int i = 0; i < MAX_DEPTH && base && f == p->subtype_traverse; i++) {
        base = hr_py_word(py->c, base, HR_PY_TP_BASE);
        f = base ? hr_py_word(py->c, base, HR_PY_TP_TRAVERSE) : 0;
    }
    bool fields = base && hr_py_word(py->c, base, HR_PY_TP_BASICSIZE) > (uint64_t)py->c->at[HR_PYS_OBJECT];
    if (f == p->subtype_traverse || (f && f == known) || (!f && (t->kind != HR_PK_OBJECT || !fields || own != p->subtype_traverse)))
        return;
    uint32_t i = hr_map_get(&p->by_function, own ^ hr_mix(known));
    if (i == HR_NONE) {
        i = (uint32_t)p->plans.n;
        if (planvec_push(&p->plans, (struct hr_py_plan){.function = own, .known = known}) != HR_OK ||
            hr_map_put(&p->by_function, own ^ hr_mix(known), i) != HR_OK)
            return;
    }
    t->plan = i;
}

/* That of Python classes always did; heap types of C do from 3.9 on (bpo-40217), if the traversal is their own. */
bool hr_py_visits_type(const struct hr_py *py, uint64_t type)
{
    const struct hr_cpython *c = py->c;
    if (!(hr_py_word(c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE))
        return false;
    uint64_t traverse = hr_py_word(c, type, HR_PY_TP_TRAVERSE);
    if (traverse == py->plans->subtype_traverse)
        return true;
    if (py->minor < 0x0309)
        return false;
    for (int i = 0; i < MAX_DEPTH && type && hr_py_word(c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE; i++)
        type = hr_py_word(c, type, HR_PY_TP_BASE);
    return !type || hr_py_word(c, type, HR_PY_TP_TRAVERSE) != traverse;
}

/* ---- a run ---- */
static bool own(const struct hr_py_plans *p, uint64_t addr) { return addr - p->block < p->block_end - p->block; }

/* The block of its own that holds addr and is no object: followed from now on. */
static struct part *part_at(struct hr_py_plans *p, uint64_t addr, bool claim)
{
    unsigned n = p->nparts < NPARTS ? p->nparts : NPARTS;
    for (unsigned i = 0; i < n; i++)
        if (addr - p->part[i].addr < p->part[i].size)
            return &p->part[i];
    uint64_t into;
    hr_id id = claim ? hr_py_block_at(p->py, addr, &into) : HR_NONE;
    if (id == HR_NONE || p->py->object[id] != HR_NONE)
        return NULL;
    struct part *new = &p->part[p->nparts++ % NPARTS];
    *new = (struct part){.block = id, .addr = addr - into, .size = hr_py_usable(p->py, id)};
    return new;
}

static void on_visit(void *ctx, uint64_t value, uint64_t from)
{
    struct hr_py_plans *p = ctx;
    if (visitvec_push(&p->visits, (struct visit){value, from}) != HR_OK)
        p->out_of_memory = true;
    struct part *part = from && !own(p, from) ? part_at(p, from, true) : NULL;
    if (part)
        part->visits++;
}

/* A pointer among the object's own words, or in a block of its own, was followed: there is another block of its own. */
static void on_read(void *ctx, uint64_t addr, uint64_t pointer_from)
{
    struct hr_py_plans *p = ctx;
    struct part *part = part_at(p, addr, pointer_from && (own(p, pointer_from) || part_at(p, pointer_from, false)));
    if (part && part->last != addr && hr_py_word_at(p->py, addr)) {
        part->reads++;
        part->last = addr;
    }
}

static enum hr_run_end run(struct hr_py_plans *p, const struct hr_py_plan *plan, uint64_t obj, struct hr_fuel *fuel)
{
    const struct hr_run_calls calls = {on_visit, on_read, p->block, p->block_end, plan->known, &p->known_called,
                                       p->thread, p->thread_at, p};
    p->visits.n = 0;
    p->known_called = false;
    p->nparts = 0;
    p->out_of_memory = false;
    enum hr_run_end end = hr_run_visit(p->run, plan->function, obj, &calls, fuel);
    return p->out_of_memory ? HR_RUN_TOO_LONG : end;
}

/* Long runs are counted once, against what all objects have together, so that the same objects are read in full every time. */
static enum hr_run_end run_bounded(struct hr_py_plans *p, const struct hr_py_plan *plan, uint64_t obj)
{
    uint32_t known = p->heavy.n ? hr_map_get(&p->heavy, obj) : HR_NONE;
    struct hr_fuel fuel = hr_fuel(known == 1 ? UINT64_MAX : STEPS + (p->block_end - p->block) / p->py->img->word * STEPS_A_WORD);
    enum hr_run_end end = run(p, plan, obj, &fuel);
    if (end != HR_RUN_TOO_LONG || known != HR_NONE || !p->pool.left)
        return end;
    end = run(p, plan, obj, &p->pool);
    if (hr_map_put(&p->heavy, obj, end == HR_RUN_TOO_LONG ? 0 : 1) != HR_OK)
        p->pool.left = 0;
    return end;
}

/* ---- giving what was found ---- */
static void give_visit(const struct hr_py_out *o, const struct hr_py_type *t, struct visit v, uint64_t *seen)
{
    struct hr_py_plans *p = o->py->plans;
    uint64_t into;
    if (own(p, v.from)) {
        uint64_t nth = (v.from - o->obj) / o->py->img->word;
        if (v.from >= o->obj && nth < SEEN_WORDS)
            seen[nth / 64] |= 1ull << nth % 64;
        bool type = v.from == o->obj + (uint64_t)o->py->c->at[HR_PY_OB_TYPE];
        bool ring = t->extension == HR_PX_LRU_CACHE && nth < 64 && t->borrowed >> nth & 1; /* its reader counts the links (3.6 visits them) */
        hr_py_give(o, v.value, v.from >= o->obj ? v.from : UINT64_MAX, type || ring ? HR_PR_VISITED : HR_PR_STRONG, HR_SURE_EXACT);
        return;
    }
    hr_id in = v.from ? hr_py_block_at(o->py, v.from, &into) : HR_NONE;
    bool others = (in != HR_NONE && o->py->object[in] != HR_NONE) || (v.value == t->addr && !v.from);
    hr_py_give(o, v.value, UINT64_MAX, others ? HR_PR_VISITED : HR_PR_STRONG, HR_SURE_EXACT);
}

static void give_parts(const struct hr_py_out *o, const struct hr_py_type *t)
{
    const struct hr_py_plans *p = o->py->plans;
    for (unsigned i = 0; i < p->nparts && i < NPARTS; i++) {
        const struct part *part = &p->part[i];
        /* nothing but references was read there: what lies behind them is room for more; a module's state is a struct of anything */
        bool array = t->kind != HR_PK_MODULE && part->visits > 1 && part->reads == part->visits;
        hr_py_give(o, part->addr, UINT64_MAX, HR_PR_PART, array ? HR_SURE_EXACT : HR_SURE_CONSERVATIVE);
    }
}

/* Of what the readers by hand know, the blocks that objects own: which tp_traverse has no business with. */
struct only_parts { hr_py_ref_fn *fn; void *ctx; };

static void give_part(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    const struct only_parts *p = ctx;
    if (kind == HR_PR_PART || kind == HR_PR_COUNTED)
        p->fn(p->ctx, target, off, kind, surety);
}

/* The words that were not visited. Counted all the same, perhaps, or borrowed: nobody can tell. */
static void give_rest(const struct hr_py_out *o, const struct hr_py_type *t, const uint64_t *seen)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    struct hr_py_out rest = *o;
    rest.seen = seen;
    uint64_t from = o->obj + hr_py_fixed_by_kind(py, t);
    uint64_t end = o->obj + hr_min(t->basicsize, (uint64_t)SEEN_WORDS * word), left = hr_py_block_left(py, o->obj);
    uint64_t weak = t->weaklistoffset > 0 && !(t->flags & HR_PYF_MANAGED_WEAKREF) ? o->obj + (uint64_t)t->weaklistoffset : 0;
    if (left && end > o->obj + left)
        end = o->obj + left;
    hr_py_scan_words(&rest, from, end, (const uint64_t[2]){weak, 0});
}

/* A run that did not get to the end: the object's own words are read as those of unknown types, by others. */
static void give_what_there_is(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py_plans *p = o->py->plans;
    uint64_t seen[SEEN_WORDS / 64] = {0};
    if (hr_py_visits_type(o->py, t->addr))
        hr_py_give(o, t->addr, UINT64_MAX, HR_PR_VISITED, HR_SURE_EXACT);
    if (t->extension || t->flags & HR_PYF_MANAGED_DICT)
        return; /* their readers know what is behind pointers */
    for (size_t i = 0; i < p->visits.n; i++)
        if (!own(p, p->visits.v[i].from) && p->visits.v[i].value != t->addr)
            give_visit(o, t, p->visits.v[i], seen);
    give_parts(o, t);
}

bool hr_py_plan_refs(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py_plans *p = o->py->plans;
    struct hr_py_plan *plan = &p->plans.v[t->plan];
    uint64_t into = 0, seen[SEEN_WORDS / 64] = {0};
    hr_id id = hr_py_block_at(o->py, o->obj, &into);
    p->block = o->obj - into;
    p->block_end = id == HR_NONE ? o->obj + t->basicsize : p->block + hr_py_usable(o->py, id);
    enum hr_run_end end = run_bounded(p, plan, o->obj);
    plan->runs++;
    if (end != HR_RUN_DONE) {
        plan->why = (uint8_t)end;
        plan->stopped_at = hr_run_stopped_at(p->run);
        give_what_there_is(o, t);
        return false;
    }
    plan->whole++;
    for (size_t i = 0; i < p->visits.n; i++)
        give_visit(o, t, p->visits.v[i], seen);
    give_parts(o, t);
    struct only_parts parts = {o->fn, o->ctx};
    struct hr_py_out hand = *o;
    if (!p->known_called) {
        hand.fn = give_part;
        hand.ctx = &parts;
    }
    hr_py_kind_refs(&hand, t);
    hr_py_extension_refs(&hand, t);
    give_rest(o, t, seen);
    return true;
}

bool hr_py_plan_info(const struct hr_py *py, const struct hr_py_type *t, struct hr_py_plan_info *ret)
{
    if (t->plan == HR_NONE)
        return false;
    const struct hr_py_plan *plan = &py->plans->plans.v[t->plan];
    const char *why = plan->runs > plan->whole ? hr_run_end_name(plan->why) : "";
    *ret = (struct hr_py_plan_info){plan->function, plan->runs, plan->whole, why, plan->stopped_at};
    return true;
}

struct places { struct hr_py *py; hr_py_place_fn *fn; void *ctx; uint64_t type, seen[256]; unsigned n; bool more; };

static void on_place(void *ctx, uint64_t value, uint64_t from)
{
    struct places *p = ctx;
    char name[128] = "somewhere else";
    for (unsigned i = 0; i < p->n; i++)
        if (p->seen[i] == from)
            return;
    if (p->n == sizeof p->seen / sizeof *p->seen) {
        p->more = true;
        return;
    }
    p->seen[p->n++] = from;
    if (value == p->type)
        p->fn(p->ctx, "type");
    else if (hr_run_place(p->py->plans->run, from, name, sizeof name) || from)
        p->fn(p->ctx, name);
}

bool hr_py_plan_places(struct hr_py *py, const struct hr_py_type *t, hr_py_place_fn *fn, void *ctx)
{
    struct hr_py_plans *p = py->plans;
    bool known = false;
    struct places places = {.py = py, .fn = fn, .ctx = ctx, .type = t->addr};
    if (t->plan == HR_NONE)
        return false;
    const struct hr_py_plan *plan = &p->plans.v[t->plan];
    const struct hr_run_calls calls = {.visit = on_place, .known = plan->known, .known_called = &known, .own_thread = p->thread, .thread_at = p->thread_at, .ctx = &places};
    struct hr_fuel fuel = hr_fuel(IMAGINED_STEPS);
    uint64_t size_off = t->itemsize ? (uint64_t)py->c->at[HR_PY_OB_SIZE] : UINT64_MAX;
    enum hr_run_end end = hr_run_imagine(p->run, plan->function, (uint64_t)py->c->at[HR_PY_OB_TYPE], t->addr, size_off, &calls, &fuel);
    return end == HR_RUN_DONE && !places.more;
}

bool hr_py_plans_whole(const struct hr_py *py)
{
    for (size_t i = 0; i < py->plans->plans.n; i++)
        if (py->plans->plans.v[i].runs != py->plans->plans.v[i].whole)
            return false;
    return true;
}

static void no_visit(void *ctx, uint64_t value, uint64_t from) { (void)ctx, (void)value, (void)from; }

bool hr_py_is_gc(const struct hr_py *py, uint64_t obj, const struct hr_py_type *t)
{
    uint64_t f = hr_py_word(py->c, t->addr, HR_PY_TP_IS_GC);
    if (!(t->flags & HR_PYF_GC) || !f || t->kind == HR_PK_TYPE || !py->plans->run)
        return t->flags & HR_PYF_GC;
    const struct hr_run_calls calls = {.visit = no_visit, .own_thread = py->plans->thread, .thread_at = py->plans->thread_at};
    struct hr_fuel fuel = hr_fuel(STEPS);
    return hr_run_visit(py->plans->run, f, obj, &calls, &fuel) != HR_RUN_DONE || (uint32_t)hr_run_result(py->plans->run);
}
