#include "analyzer/allocators/allocators.h"

#include "analyzer/base/esc.h"

static const struct hr_allocator *const registry[] = {
#define HR_ALLOCATOR(name_) &hr_allocator_##name_,
#include "analyzer/allocators/allocators.def"
#undef HR_ALLOCATOR
};
enum { NREGISTRY = sizeof registry / sizeof *registry };

/* Opens all of them in turn; *found_ret counts those that are there. One that fails is noted and left out. */
static enum hr_status open_all(struct hr_allocator_in *in, void **self, unsigned *found_ret)
{
    *found_ret = 0;
    for (unsigned i = 0; i < NREGISTRY; i++) {
        enum hr_status st = registry[i]->open(in, &self[i]);
        if (st == HR_NOMEM)
            return st;
        if (st == HR_OK)
            (*found_ret)++;
        else if (st != HR_ABSENT)
            hr_note(in->notes, HR_NOTE_DEGRADED, "heap.allocator.failed", "the %s heap could not be read: %s",
                    registry[i]->name, hr_status_name(st));
    }
    return HR_OK;
}

/* Allocators that we know by name only. Their exported functions tell them, whatever the file is called. */
static void name_others(struct hr_image *img, struct hr_types *types)
{
    static const struct { const char *symbol, *name; } others[] = {
        {"mallctl", "jemalloc"}, {"je_mallctl", "jemalloc"}, {"MallocExtension_GetStats", "tcmalloc"}, {"tc_malloc", "tcmalloc"},
        {"mi_malloc", "mimalloc"}, {"__malloc_context", "musl's mallocng"},
    };
    for (size_t i = 0; types && i < sizeof others / sizeof *others; i++) {
        const struct hr_sym *s = hr_sym_find(types, others[i].symbol, HR_NONE);
        char path[512];
        if (!s || !s->global) /* libpython carries mimalloc for its free-threaded build: hidden, and idle in others */
            continue;
        hr_note(img->notes, HR_NOTE_DEGRADED, "heap.other_allocator",
                "the program has %s (in %s), whose blocks heapray does not read yet: what it handed out is in no count here, and its memory counts as "
                "roots", others[i].name, hr_escz(path, sizeof path, hr_strs_get(img->strs, img->modules.v[s->module].path)));
        return;
    }
}

/* What a microcontroller's image lacks most often. */
static const char *what_helps(const struct hr_image *img)
{
    if (!img->bare)
        return "";
    for (size_t i = 0; i < img->modules.n; i++)
        if (img->modules.v[i].main_exe)
            return ": is that the program it ran, and does it begin where FILE@ADDR says?";
    return ": --elf FILE gives symbols, by which more heaps are found; MicroPython wants its whole RAM, and its flash by --with FILE";
}

enum hr_status hr_heap_build(struct hr_image *img, struct hr_types *types, struct hr_heap **ret)
{
    struct hr_builder *b;
    HR_TRY(hr_builder_create(img, &b));
    struct hr_allocator_in in = {.image = img, .types = types, .builder = b, .notes = img->notes};
    void *self[NREGISTRY] = {0};
    unsigned found;
    struct hr_heap *heap = NULL;
    enum hr_status st = open_all(&in, self, &found);
    if (st == HR_OK && !found)
        hr_note(img->notes, HR_NOTE_DEGRADED, "heap.none", "no allocator that heapray knows was found in this image%s", what_helps(img));
    if (st == HR_OK)
        name_others(img, types);
    if (st == HR_OK)
        st = hr_builder_run(b, &heap);
    for (unsigned i = 0; i < NREGISTRY && st == HR_OK; i++)
        if (self[i] && registry[i]->finish)
            st = registry[i]->finish(self[i], heap);
    for (unsigned i = 0; i < NREGISTRY; i++)
        if (self[i])
            registry[i]->close(self[i]);
    hr_builder_destroy(b);
    if (st != HR_OK) {
        hr_heap_destroy(heap);
        return st;
    }
    *ret = heap;
    return HR_OK;
}
