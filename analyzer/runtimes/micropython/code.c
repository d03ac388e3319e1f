/* What the firmware's code says of the interpreter's state: which variable it names most often, and the words that its collector goes
 * through (gc_collect_start of py/gc.c: from dict_locals to qstr_last_chunk, as a pointer and a count, or as a loop where the compiler
 * put the helper in line). The machine code of the collector is the last word on what it scans; memory has to agree that it is that. */
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"
#include "analyzer/types/scan.h"

enum { STATE_MAX = 2048, THREAD_WORDS = 20, BEHIND = 40 /* words of `mem` */, MAX_CODE = 8 << 20, MAX_CALLED = 1 << 17, MAX_NAMED = 1 << 18, MAX_FOUND = 1 << 16 };

struct found { uint64_t at, lo, hi; };
HR_VEC(foundvec, struct found)

struct reading {
    struct hr_mp *mp;
    uint64_t mem;             /* description of the first area, where the state is known to end */
    struct hr_map named;      /* address -> instructions */
    struct hr_u64vec called;
    struct foundvec found;
    enum hr_status st;
};

static void on_ref(void *ctx, uint64_t at, uint64_t addr)
{
    struct reading *r = ctx;
    uint32_t *n;
    bool was;
    (void)at;
    if (r->st == HR_OK)
        r->st = hr_map_slot(&r->named, addr, 0, &n, &was);
    if (r->st == HR_OK)
        ++*n;
}

static void on_called(void *ctx, uint64_t target)
{
    struct reading *r = ctx;
    if (r->st == HR_OK && r->called.n < MAX_CALLED)
        r->st = hr_u64vec_push(&r->called, target);
}

/* Does [lo, hi) look like the roots: dict_locals and dict_globals first, the newest names in it, in front of `mem`? */
static bool fits(const struct hr_mp *mp, uint64_t mem, uint64_t lo, uint64_t hi)
{
    bool far = mp->vm && (lo > mp->vm || hi <= mp->vm || mp->vm - lo > THREAD_WORDS * mp->word);
    if (far || hi > mem || mem - hi > STATE_MAX * mp->word)
        return false;
    return hr_mp_is_dict(mp, hr_mp_word(mp, lo)) && hr_mp_is_dict(mp, hr_mp_field(mp, lo, 1));
}

static void on_run(void *ctx, uint64_t at, uint64_t lo, uint64_t hi)
{
    struct reading *r = ctx;
    bool ok = false;
    for (uint32_t i = 0; i < r->mp->m.n && !ok; i++)
        ok = (!r->mem || r->mem == r->mp->m.area[i].at) && fits(r->mp, r->mp->m.area[i].at, lo, hi);
    if (ok && r->st == HR_OK && r->found.n < MAX_FOUND)
        r->st = foundvec_push(&r->found, (struct found){at, lo, hi});
}

/* Code: what may not be written. Of a process, its program alone. */
static bool is_code(const struct hr_mp *mp, const struct hr_segment *s, bool flat)
{
    const struct hr_image *img = mp->img;
    if (s->flags & HR_SEG_DEVICE || !s->bytes.n)
        return false;
    if (img->bare)
        return flat || !(s->flags & HR_SEG_W);
    return s->flags & HR_SEG_X && !(s->flags & HR_SEG_W) && s->module != HR_NONE && img->modules.v[s->module].main_exe;
}

/* Between the heaps: in a dump of RAM that holds the code, too, there is none in them. */
static enum hr_status scan(struct reading *r, const struct hr_segment *s, const struct hr_scan *to, struct hr_fuel *fuel)
{
    const struct hr_mpy *m = &r->mp->m;
    uint64_t at = s->addr, end = s->addr + s->bytes.n;
    for (uint32_t i = 0; i <= m->n && at < end; i++) {
        uint64_t stop = i < m->n ? hr_min(m->area[i].table, end) : end;
        if (stop > at)
            HR_TRY(hr_scan_code(r->mp->img, at, stop, to, fuel));
        at = i < m->n ? hr_max(at, m->area[i].end) : end;
    }
    return HR_OK;
}

static enum hr_status scan_all(struct reading *r)
{
    const struct hr_image *img = r->mp->img;
    struct hr_scan to = {on_ref, on_run, on_called, r};
    struct hr_fuel fuel = hr_fuel(MAX_CODE / 2);
    bool flat = true;
    for (size_t i = 0; i < img->segs.n; i++)
        flat &= !is_code(r->mp, &img->segs.v[i], false);
    enum hr_status st = HR_ABSENT;
    for (size_t i = 0; i < img->segs.n; i++) {
        if (!is_code(r->mp, &img->segs.v[i], flat))
            continue;
        st = scan(r, &img->segs.v[i], &to, &fuel);
        if (st != HR_OK)
            return st;
    }
    return r->st == HR_OK ? st : r->st;
}

/* How often the state is named, where most often, and which other address comes next. */
static void tally(struct reading *r, struct hr_mp_code *c)
{
    const struct hr_mp *mp = r->mp;
    uint64_t lo = mp->root_lo - THREAD_WORDS / 2 * mp->word, hi = r->mem + BEHIND * mp->word;
    for (size_t i = 0; mp->vm && i < r->named.cap; i++) {
        uint64_t at = r->named.key[i];
        uint32_t n = r->named.val[i];
        if (n == HR_NONE)
            continue;
        bool inside = at >= lo && at < hi;
        if (inside)
            c->fields += n;
        if (inside && (n > c->loads || (n == c->loads && at < c->state))) {
            c->loads = n;
            c->state = at;
        }
        if (!inside && (n > c->next_loads || (n == c->next_loads && at < c->next))) {
            c->next_loads = n;
            c->next = at;
        }
    }
    c->fields -= c->loads;
}

/* The longest run is the collector's: others read parts of it. */
static void collector(struct reading *r, struct hr_mp_code *c)
{
    const struct found *best = NULL;
    for (size_t i = 0; i < r->found.n; i++)
        if (!best || r->found.v[i].hi - r->found.v[i].lo > best->hi - best->lo)
            best = &r->found.v[i];
    if (!best)
        return;
    c->lo = best->lo, c->hi = best->hi;
    for (size_t i = 0; i < r->called.n; i++)
        if (r->called.v[i] <= best->at && r->called.v[i] > c->collector)
            c->collector = r->called.v[i];
    if (!c->collector || best->at - c->collector > 4096)
        c->collector = best->at; /* nothing calls it directly: the instruction itself */
}

/* The collector scans what its code says. Memory tells it by the shape of the field behind, which may have been empty or look like others. */
static void believe(struct reading *r, struct hr_mp_code *c)
{
    struct hr_mp *mp = r->mp;
    c->mem_lo = mp->root_lo, c->mem_hi = mp->root_hi;
    if (!c->hi)
        return;
    for (uint32_t i = 0; i < mp->m.n && !r->mem; i++)
        r->mem = fits(mp, mp->m.area[i].at, c->lo, c->hi) ? mp->m.area[i].at : 0;
    c->alone = !mp->vm;
    mp->vm = mp->vm ? mp->vm : c->lo;
    mp->root_lo = c->lo, mp->root_hi = c->hi;
}

enum hr_status hr_mp_read_code(struct hr_mp *mp, uint64_t mem)
{
    struct hr_mp_code *c = &mp->code;
    struct reading r = {.mp = mp, .mem = mem, .called.max = MAX_CALLED, .found.max = MAX_FOUND};
    if (mp->img->arch && !strcmp(mp->img->arch->name, "wasm32")) {
        c->why_not = "the code of WebAssembly is not in its memory";
        return HR_OK;
    }
    hr_map_init(&r.named, MAX_NAMED);
    enum hr_status st = scan_all(&r);
    c->why_not = st == HR_LIMIT ? "it was not read to its end" : st == HR_ABSENT ? "the image holds no code" : st == HR_UNSUPPORTED ? "the code of this processor is not read" : NULL;
    if (st == HR_OK || st == HR_LIMIT) {
        c->read = true;
        collector(&r, c);
        believe(&r, c);
        tally(&r, c);
    }
    hr_map_deinit(&r.named);
    hr_u64vec_deinit(&r.called);
    foundvec_deinit(&r.found);
    return st == HR_NOMEM ? st : HR_OK;
}
