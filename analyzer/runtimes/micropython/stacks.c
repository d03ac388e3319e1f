/* What the collector finds on C stacks and in registers. Of the interpreter's own thread it scans the general registers and its
 * stack up to stack_top (shared/runtime/gchelper_generic.c); of every other thread of the unix port the same, up to the stack_top of
 * the thread's own state, which lies on that stack (py/modthread.c), and the arguments the thread was started with, which a list
 * of malloc()ed {pthread_t, ready, arguments, next} holds (ports/unix/mpthreadport.c). */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { STATE_WORDS = 24 /* of a thread's state */, BEFORE = 8 /* words of it in front of dict_locals */, STACK_MAX = 1 << 20, TCB_MAX = 4096 };

/* May v, read from the state, be the top of the stack that the interpreter runs on? */
static bool is_top(const struct hr_mp *mp, uint64_t v, uint64_t nlr)
{
    const struct hr_image *img = mp->img;
    if (v <= nlr || (nlr && v - nlr >= STACK_MAX))
        return false;
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_segment *s = hr_image_find(img, img->threads.v[i].sp, NULL);
        if (s && v > img->threads.v[i].sp && v - s->addr <= s->msize)
            return true;
    }
    const struct hr_segment *s = img->threads.n ? NULL : hr_image_find(img, nlr, NULL);
    return s && v - s->addr <= s->msize && !(v & (mp->word - 1u));
}

void hr_mp_find_stack(struct hr_mp *mp)
{
    if (mp->wide_name) {
        mp->stack_top = hr_mp_field(mp, mp->root_lo, 3); /* dict_locals, dict_globals, nlr_top, stack_top */
        return;
    }
    uint64_t nlr = hr_mp_field(mp, mp->root_lo, 2); /* lies in the stack */
    for (unsigned i = 1; i <= BEFORE; i++) {
        uint64_t v = hr_mp_word(mp, mp->root_lo - (uint64_t)i * mp->word);
        if (is_top(mp, v, nlr)) /* unix: the address of a local int, not always that of a word */
            mp->stack_top = hr_max(mp->stack_top, v);
    }
}

/* [start, end, now) of MICROPY_ENABLE_PYSTACK, in front of dict_locals. */
void hr_mp_mark_pystack(struct hr_mp_marker *k, uint64_t dict_locals)
{
    const struct hr_mp *mp = k->mp;
    for (unsigned i = 3; i <= BEFORE && !mp->wide_name; i++) {
        uint64_t at = dict_locals - (uint64_t)i * mp->word;
        uint64_t lo = hr_mp_word(mp, at), hi = hr_mp_field(mp, at, 1), now = hr_mp_field(mp, at, 2);
        if (lo && lo < hi && now >= lo && now <= hi && hi - lo <= STACK_MAX && !((lo | now) & (mp->word - 1u)) && hr_image_find(mp->img, lo, NULL) &&
            lo >= 4096) {
            hr_mp_mark_words(k, lo, now);
            return;
        }
    }
}

/* Without a stack pointer the stack's used part is not known: all that may be stack counts. */
uint64_t hr_mp_stack_floor(const struct hr_mp *mp)
{
    const struct hr_segment *seg = hr_image_find(mp->img, mp->stack_top - 1, NULL);
    uint64_t lo = seg ? seg->addr : mp->stack_top;
    for (uint32_t i = 0; i < mp->m.n; i++) {
        if (mp->m.area[i].end <= mp->stack_top)
            lo = hr_max(lo, mp->m.area[i].end);
        if (mp->m.area[i].at < mp->stack_top)
            lo = hr_max(lo, mp->m.area[i].at);
    }
    return mp->stack_top - lo > STACK_MAX ? mp->stack_top - STACK_MAX : lo;
}

static void mark_registers(struct hr_mp_marker *k, const struct hr_thread *t)
{
    for (unsigned i = 0; i < HR_MAX_REGS; i++)
        if (t->reg_valid >> i & 1)
            hr_mp_mark_word(k, t->reg[i]);
}

/* From what is live below the stack pointer to `top`. */
static void mark_stack(struct hr_mp_marker *k, const struct hr_thread *t, uint64_t top)
{
    const struct hr_arch *a = k->mp->img->arch;
    uint64_t red = a && !k->mp->img->bare ? a->red_zone : 0;
    hr_mp_mark_words(k, t->sp - hr_min(t->sp, red), top);
}

static bool holds_top(const struct hr_mp *mp, const struct hr_thread *t)
{
    if (!t->sp || t->sp >= mp->stack_top)
        return false;
    if (mp->img->bare)
        return mp->stack_top - t->sp <= STACK_MAX;
    const struct hr_segment *s = hr_image_find(mp->img, t->sp, NULL);
    return s && mp->stack_top - s->addr <= s->msize;
}

/* ---- other threads of a process ---- */
/* The state of a thread on its own stack: dict_locals and dict_globals, and stack_top that leads right behind the state, or to its
 * beginning. 0: none is there. */
static uint64_t own_top(const struct hr_mp *mp, const struct hr_thread *t, uint64_t end, uint64_t *locals_ret)
{
    unsigned w = mp->word;
    uint64_t top = 0;
    for (uint64_t at = (t->sp + w - 1) & ~(w - 1ull); at + 2u * w <= end; at += w) {
        if (!hr_mp_is_dict(mp, hr_mp_word(mp, at)) || !hr_mp_is_dict(mp, hr_mp_field(mp, at, 1)))
            continue;
        for (int i = -BEFORE; i <= 4; i++) {
            uint64_t p = at + (uint64_t)((int64_t)i * w), v = hr_mp_word(mp, p);
            if (p >= t->sp && v > at && v <= end && v - p <= STATE_WORDS * w) {
                top = v;
                *locals_ret = at;
            }
        }
    }
    return top;
}

/* Where a thread's stack ends at the latest: behind its control block, and in front of what else the mapping holds. */
static uint64_t stack_end(const struct hr_mp *mp, const struct hr_thread *t)
{
    uint64_t end = t->stack_hi;
    if (t->tp_valid && t->tp > t->sp && t->tp < end)
        end = hr_min(end, t->tp + TCB_MAX);
    for (uint32_t i = 0; i < mp->m.n; i++)
        if (mp->m.area[i].table > t->sp)
            end = hr_min(end, mp->m.area[i].table);
    return end - t->sp > STACK_MAX * 64ull ? t->sp + STACK_MAX * 64ull : end;
}

/* Threads are few; the words of their stacks are those of the image. */
static void mark_other(struct hr_mp_marker *k, const struct hr_thread *t)
{
    uint64_t locals = 0, end = t->sp && t->sp < t->stack_hi ? stack_end(k->mp, t) : 0;
    if (!end)
        return;
    uint64_t top = own_top(k->mp, t, end, &locals);
    mark_registers(k, t);
    mark_stack(k, t, top ? top : end);
    if (top)
        hr_mp_mark_pystack(k, locals);
}

static bool is_thread_id(const struct hr_image *img, uint64_t v)
{
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        if (v == t->tp && t->tp_valid)
            return true;
        if (t->sp && v > t->sp && v < t->stack_hi && v - t->sp < STACK_MAX * 64ull && !(v & 15))
            return true; /* pthread_t is not the thread pointer on all machines, but lies above the stack */
    }
    return false;
}

/* The list of threads: what a thread was started with lives as long as it. */
static void mark_arguments(struct hr_mp_marker *k)
{
    const struct hr_mp *mp = k->mp;
    const struct hr_image *img = mp->img;
    unsigned w = mp->word;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (size_t off = (size_t)(-seg->addr & (w - 1u)); seg->flags & HR_SEG_W && off + 4u * w <= seg->bytes.n; off += w) {
            uint64_t arg = hr_word_load(seg->bytes.p + off + 2 * w, w, img->big);
            const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, seg->addr + off);
            if (a)
                off += (size_t)(a->end - seg->addr - off) - w;
            else if (hr_mpy_area_at(&mp->m, arg) && hr_load32(seg->bytes.p + off + w, img->big) <= 1 &&
                     is_thread_id(img, hr_word_load(seg->bytes.p + off, w, img->big)))
                hr_mp_mark_word(k, arg);
        }
    }
}

static const char *mark_threads(struct hr_mp_marker *k, const struct hr_thread *own)
{
    const struct hr_image *img = k->mp->img;
    if (img->bare || img->threads.n < 2)
        return "registers and the C stack from the stack pointer";
    for (size_t i = 0; i < img->threads.n; i++)
        if (&img->threads.v[i] != own)
            mark_other(k, &img->threads.v[i]);
    mark_arguments(k);
    return "registers and the C stacks of all threads";
}

/* The stack's top is not known, the stacks are: all of each. */
static bool mark_whole(struct hr_mp_marker *k)
{
    const struct hr_image *img = k->mp->img;
    bool any = false;
    for (size_t i = 0; i < img->threads.n && !img->bare; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        if (!t->sp || t->sp >= t->stack_hi)
            continue;
        mark_registers(k, t);
        mark_stack(k, t, stack_end(k->mp, t));
        any = true;
    }
    if (any && img->threads.n > 1)
        mark_arguments(k);
    return any;
}

/* ---- machine code ---- */
/* Is this allocation {start, bytes, next} of a mapping for machine code (ports/unix/alloc.c)? */
bool hr_mp_is_region(const struct hr_mp *mp, uint64_t at)
{
    uint64_t start = hr_mp_word(mp, at), len = hr_mp_field(mp, at, 1), next = hr_mp_field(mp, at, 2);
    const struct hr_segment *s = start && !(start & 4095) ? hr_image_find(mp->img, start, NULL) : NULL;
    return s && s->flags & HR_SEG_X && s->flags & HR_SEG_W && len && len <= s->msize - (start - s->addr) && (!next || hr_mp_head(mp, next) != HR_NONE);
}

/* Until 1.23 the unix port scanned the machine code it had made, too: a list of regions that one word of the state leads to. */
void hr_mp_mark_regions(struct hr_mp_marker *k)
{
    const struct hr_mp *mp = k->mp;
    for (uint64_t at = mp->vm; !mp->img->bare && at < mp->root_hi && !hr_mp_at_least(mp, 1, 24); at += mp->word) {
        uint64_t r = hr_mp_word(mp, at), seen = 0;
        while (r && seen++ < mp->heap->n && hr_mp_head(mp, r) != HR_NONE && hr_mp_is_region(mp, r)) {
            uint64_t start = hr_mp_word(mp, r);
            hr_mp_mark_words(k, start, start + hr_mp_field(mp, r, 1));
            r = hr_mp_field(mp, r, 2);
        }
    }
}

static void say_none(struct hr_mp *mp, const char *what)
{
    if (!mp->said_no_registers)
        hr_note(mp->in.notes, HR_NOTE_DEGRADED, "mp.no_registers", "%s", what);
    mp->said_no_registers = true;
}

/* Since 1.23.0-preview.383 WebAssembly collects only where no Python runs, and scans no stack; before, it scanned its shadow stack. */
static bool collects_idle(const struct hr_mp *mp)
{
    unsigned preview;
    return hr_mp_at_least(mp, 1, 23) && (sscanf(mp->version, "1.23.0-preview.%u", &preview) != 1 || preview >= 383);
}

static void mark_wasm(struct hr_mp *mp, struct hr_mp_gc *g)
{
    g->exact = collects_idle(mp);
    g->bound = " (at most: see the notes)";
    g->stack = g->exact ? "no C stack is scanned in WebAssembly" : "no C stack: where WebAssembly keeps it is unknown";
    if (!g->exact)
        say_none(mp, "this version scans the stack when it collects, which is not known: what only the stack holds is called garbage here");
}

void hr_mp_mark_stacks(struct hr_mp_marker *k, struct hr_mp_gc *g)
{
    struct hr_mp *mp = k->mp;
    const struct hr_image *img = mp->img;
    g->exact = true;
    if (img->arch && !strcmp(img->arch->name, "wasm32")) {
        mark_wasm(mp, g);
        return;
    }
    for (size_t i = 0; i < img->threads.n; i++) {
        const struct hr_thread *t = &img->threads.v[i];
        if ((img->bare && i) || !holds_top(mp, t))
            continue;
        mark_registers(k, t);
        mark_stack(k, t, mp->stack_top);
        g->stack = mark_threads(k, t);
        return;
    }
    g->exact = false;
    g->bound = mp->stack_top || (img->threads.n && !img->bare) ? " (at least: see the notes)" : " (at most: see the notes)";
    if (mark_whole(k)) {
        g->stack = "registers and all of the C stacks: where the interpreter's begins is unknown";
        return;
    }
    if (img->threads.n)
        mark_registers(k, &img->threads.v[0]);
    if (mp->stack_top)
        hr_mp_mark_words(k, hr_mp_stack_floor(mp), mp->stack_top);
    g->stack = mp->stack_top ? "all memory that may be C stack" : "no C stack: its place is unknown";
    say_none(mp, mp->stack_top ?
             "the image has no registers (--regs FILE gives them): all memory below the top of the stack counts as stack, dead words too, "
             "so that some garbage may be missed" : "neither registers nor the stack are known: what only the stack holds is called garbage here");
}
