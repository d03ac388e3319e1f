/* Written CircuitPythons of 6, 8, 9 and 10, in all word sizes and byte orders: which version it is and why, what gc.collect() would free, what only
 * that version's objects look like, and the heap within the heap. */
#include "tests/make/cp_world.h"
#include "tests/tap.h"

static const char *type_name(const struct cpw_world *w, uint64_t at)
{
    static char name[100];
    uint64_t into;
    hr_id id = hr_heap_at(w->heap, at, &into);
    return id == HR_NONE || into || !w->heap->type[id] ? "" : hr_type_name(w->types, w->heap->type[id], name, sizeof name);
}

/* Exactly those that the writer says, and the collector's own count. What a driver holds is none of them, and said. */
static bool freed_are(const struct cpw_world *w, const struct cpw *m)
{
    struct hr_mp_gc gc;
    bool same = hr_mp_collect(w->mp, &gc) == HR_OK && gc.count == m->nfreed;
    for (unsigned i = 0; i < m->nfreed && same; i++) {
        hr_id id = hr_mp_head(w->mp, m->freed[i]);
        same = id != HR_NONE && !hr_bits_get(&gc.live, id);
    }
    same = same && !gc.exact && hr_bits_get(&gc.live, hr_mp_head(w->mp, m->shown));
    for (size_t i = 0, said = 0; i < w->notes.list.n && same; i++) {
        said += !strcmp(w->notes.list.v[i].code, "mp.statics");
        same = said || i + 1 < w->notes.list.n;
    }
    printf("# %u allocations freed, expected %u\n", (unsigned)gc.count, m->nfreed);
    hr_mp_gc_deinit(&gc);
    return same;
}

static void check_objects(const struct cpw_world *w, const struct cpw *m, const char *name)
{
    char text[200];
    uint32_t dict = hr_mp_type_of(w->mp, m->dict), failure = hr_mp_type_of(w->mp, m->failure);
    OK(dict != HR_NONE && hr_mp_len(w->mp, m->dict, dict) == 3, "%s: length of a dict", name);
    OK(failure != HR_NONE && strstr(hr_mp_repr_text(w->mp, m->failure, failure, true, text, sizeof text), "<tuple"), "%s: arguments of an exception: %s", name, text);
    OK(!m->traceback || !strcmp(type_name(w, m->traceback), "traceback"), "%s: a traceback is an object", name);
    unsigned damaged = 0;
    for (size_t i = 0; i < w->notes.list.n; i++)
        damaged += !strncmp(w->notes.list.v[i].code, "heap.corrupt", 12);
    OK(!damaged, "%s: nothing is called damaged", name);
}

static void check_area(const struct cpw_world *w, const struct cpw *m, const char *name)
{
    const struct hr_mpy_area *a = &w->mp->m.area[0];
    OK(w->mp->m.n == 1 && a->pool == m->heap && a->end == m->end && a->finalisers == m->finalisers && a->scanned == m->scanned, "%s: the heap and its tables", name);
    OK(a->long_lived == (m->kind <= CPW_8 ? m->heap + m->top * 4ull * m->word : 0), "%s: where what lives long begins", name);
    static const char *const told[] = {"6.3.0", "8.2.10", "9.2.9", "10.0.3"}, *const guessed[] = {"8 or earlier", "7 or 8", "9 or later", "10 or later"};
    OK(w->mp->circuit && !strcmp(w->mp->version, (m->banner ? told : guessed)[m->kind]), "%s: it is CircuitPython %s", name, w->mp->version);
}

/* Outer heap: three blocks, the middle one is the heap's, and no byte counts twice. */
static void check_nested(const struct cpw_world *w, const struct cpw *m, const char *name)
{
    uint64_t into, outer = 0, inner = 0;
    hr_id id = hr_heap_at(w->heap, m->host, &into);
    OK(id != HR_NONE && !into && w->heap->state[id] == HR_HOST && hr_block_size(w->heap, id) == m->host_size && !strcmp(type_name(w, m->host), "CircuitPython heap"),
       "%s: the block that the heap lies in says so", name);
    for (size_t i = 0; i < w->heap->arenas.n; i++) {
        const struct hr_arena *a = &w->heap->arenas.v[i];
        bool tlsf = !strcmp(w->heap->allocators.v[a->allocator].name, "TLSF");
        *(tlsf ? &outer : &inner) += a->used_blocks + a->free_blocks;
        OK(!tlsf || (a->addr == m->outer && a->used_blocks == 2 && a->free_blocks == 1 && a->free_bytes == 60), "%s: blocks of the outer heap", name);
    }
    OK(w->heap->allocators.n == 2 && outer == 3 && outer + inner == w->heap->n, "%s: each block belongs to one heap", name);
}

static void check(enum cpw_kind kind, unsigned word, bool big, bool banner, bool nested)
{
    static const char *const kinds[] = {"6", "8", "9", "10"};
    char name[100];
    struct cpw m;
    struct cpw_world w;
    snprintf(name, sizeof name, "%s, %u bits, %s endian%s%s", kinds[kind], 8 * word, big ? "big" : "little", banner ? "" : ", no banner", nested ? ", nested" : "");
    cpw_make(&m, kind, word, big, banner, nested);
    bool read = cpw_read(&w, &m);
    OK(read && w.mp && w.mp->vm, "%s: heap and state are found", name);
    if (read && w.mp) {
        check_area(&w, &m, name);
        check_objects(&w, &m, name);
        OK(freed_are(&w, &m), "%s: what gc.collect() would free", name);
        if (nested)
            check_nested(&w, &m, name);
    }
    cpw_forget(&w);
    cpw_end(&m);
}

int main(void)
{
    for (unsigned i = 0; i < CPW_NKINDS * 4; i++) {
        enum cpw_kind kind = (enum cpw_kind)(i / 4);
        unsigned word = i & 1 ? 8 : 4;
        bool big = i & 2;
        check(kind, word, big, true, false);
        check(kind, word, big, false, false);
        if (kind >= CPW_9)
            check(kind, word, big, true, true);
    }
    return tap_done();
}
