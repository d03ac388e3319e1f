/* For images whose code cannot be run (plan.c): C types whose references are more, or fewer, than the words of their fixed part that are objects.
 * Where it can, only what is borrowed and which blocks are owned is taken from here. What is borrowed, and what
 * hangs on other structures, is read from each type's definition and tp_traverse (Modules/ and Objects/ of 2.7 to 3.13). */
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"

enum { MAX_LINKS = 1 << 26, MAX_CTYPE_BASES = 64 };
#define W(n_) (1ull << (n_))

static const struct { const char *name; uint8_t extension; uint64_t borrowed, unvisited; unsigned until; } extensions[] = {
    {"collections.OrderedDict", HR_PX_ODICT, 0, 0, 0},
    {"functools._lru_cache_wrapper", HR_PX_LRU_CACHE, W(2) | W(3), 0, 0},    /* links of the ring it is the head of */
    {"functools._lru_list_elem", HR_PX_NONE, W(2) | W(3), 0, 0},
    {"xml.etree.ElementTree.Element", HR_PX_ELEMENT, W(3) | W(4) | W(5), 0, 0}, /* text and tail tagged in the low bit, extra */
    {"Element", HR_PX_ELEMENT, W(3) | W(4) | W(5), 0, 0},                    /* 2.7's name of it */
    {"_elementtree._element_iterator", HR_PX_ELEMENT_ITERATOR, 0, 0, 0},
    {"itertools._tee_dataobject", HR_PX_TEE, UINT64_MAX << 5, 0, 0},   /* 57 places, of which only the first `numread` were ever set */
    {"itertools.tee_dataobject", HR_PX_TEE, UINT64_MAX << 5, 0, 0},    /* 2.7's name of it */
    {"_queue.SimpleQueue", HR_PX_SIMPLE_QUEUE, 0, 0, 0},
    {"_thread._local", HR_PX_NONE, 0, W(7), 0x030d},                   /* the callback of its weak references */
    {"thread._local", HR_PX_NONE, 0, W(7), 0},
    {"ContextVar", HR_PX_NONE, W(4), 0, 0},                                  /* the cached value */
    {"_contextvars.ContextVar", HR_PX_NONE, W(4), 0, 0},
    {"itertools.groupby", HR_PX_NONE, W(7), 0, 0},                           /* the current group, which holds us */
    {"memoryview", HR_PX_NONE, W(7) | W(8), 0, 0},                           /* view.buf; view.obj, which the managed buffer holds (buffers.c) */
    {"_ctypes._CData", HR_PX_NONE, W(2) | W(9) | W(10), 0, 0},               /* the C value itself and the pointer to it */
};

void hr_py_extension_of(const struct hr_py *py, struct hr_py_type *t)
{
    uint64_t type = t->addr;
    for (int i = 0; i < MAX_CTYPE_BASES && type; i++) {
        char name[64];
        bool heap = hr_py_word(py->c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE;
        if (hr_image_cstr(py->img, hr_py_word(py->c, type, HR_PY_TP_NAME), name, sizeof name) && (!heap || strchr(name, '.')))
            for (size_t k = 0; k < sizeof extensions / sizeof *extensions; k++)
                if (!strcmp(name, extensions[k].name) && (!extensions[k].until || py->minor < extensions[k].until)) {
                    t->extension = extensions[k].extension;
                    t->borrowed = extensions[k].borrowed;
                    t->unvisited = extensions[k].unvisited;
                    if (py->minor < 0x0300 && t->kind == HR_PK_MEMORYVIEW)
                        t->borrowed = 0; /* 2.7's counts both its base and view.obj */
                    return;
                }
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
}

/* Behind the dict: first, last, hash table of nodes, its size … A node is key, hash, next, previous. */
static void odict_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    uint64_t mine = o->obj + (uint64_t)py->c->at[HR_PYS_DICT], node = hr_py_word_at(py, mine);
    hr_py_give(o, hr_py_word_at(py, mine + 2 * word), mine + 2 * word, HR_PR_PART, HR_SURE_EXACT);
    uint64_t used = hr_py_word(py->c, o->obj, HR_PY_DICT_USED), before = 0;
    for (uint64_t i = 0; node && i < used && i < MAX_LINKS; i++) {
        if (hr_py_block_left(py, node) < 4 * word || hr_py_word_at(py, node + 3 * word) != before)
            return; /* a node has one predecessor: no list is walked twice, whatever the image says */
        before = node;
        hr_py_give(o, node, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
        hr_py_give(o, hr_py_word_at(py, node), UINT64_MAX, HR_PR_STRONG, HR_SURE_EXACT);
        node = hr_py_word_at(py, node + 2 * word);
    }
}

/* The ring's links belong to the cache's dict; the wrapper visits what they hold in their stead. From 3.11 on also their type. */
static void lru_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    uint64_t link = hr_py_word_at(py, o->obj + 3 * word), before = o->obj;
    for (uint64_t i = 0; link && link != o->obj && i < MAX_LINKS; i++) {
        if (hr_py_node(py, link) == HR_NONE || hr_py_word_at(py, link + 2 * word) != before)
            return;
        before = link;
        hr_py_give(o, link, UINT64_MAX, HR_PR_COUNTED, HR_SURE_EXACT); /* the ring's own, beside that of the dict */
        hr_py_give(o, hr_py_word_at(py, link + 5 * word), UINT64_MAX, HR_PR_VISITED, HR_SURE_EXACT);
        hr_py_give(o, hr_py_word_at(py, link + 6 * word), UINT64_MAX, HR_PR_VISITED, HR_SURE_EXACT);
        if (py->minor >= 0x030b)
            hr_py_give(o, hr_py_word(py->c, link, HR_PY_OB_TYPE), UINT64_MAX, HR_PR_VISITED, HR_SURE_EXACT);
        link = hr_py_word_at(py, link + 3 * word);
    }
}

static void element_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    for (unsigned i = 3; i < 5; i++) /* bit 0: a list to be joined */
        hr_py_give(o, hr_py_word_at(py, o->obj + i * word) & ~1ull, o->obj + i * word, HR_PR_STRONG, HR_SURE_EXACT);
    uint64_t extra = hr_py_word_at(py, o->obj + 5 * word);
    if (hr_py_block_left(py, extra) < 4 * word)
        return;
    hr_py_give(o, extra, o->obj + 5 * word, HR_PR_PART, HR_SURE_EXACT);
    hr_py_give(o, hr_py_word_at(py, extra), UINT64_MAX, HR_PR_STRONG, HR_SURE_EXACT);
    uint64_t n = hr_py_word_at(py, extra + word), children = hr_py_word_at(py, extra + 3 * word);
    if (children != extra + 4 * word)
        hr_py_give(o, children, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
    hr_py_give_array(o, children, hr_min(n, hr_py_block_left(py, children) / word), HR_SURE_EXACT);
}

static void tee_refs(const struct hr_py_out *o)
{
    unsigned word = o->py->img->word;
    uint64_t n = 0, items = o->obj + 5 * word;
    enum { TEE_PLACES = 57 };
    if (hr_image_uint(o->py->img, o->obj + 3 * word, 4, &n))
        hr_py_give_array(o, items, hr_min(hr_min(n, TEE_PLACES), hr_py_block_left(o->py, items) / word), HR_SURE_EXACT);
}

/* A stack of (parent, child index). */
static void element_iterator_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    uint64_t stack = hr_py_word_at(py, o->obj + 2 * word), n = hr_py_word_at(py, o->obj + 3 * word), left = hr_py_block_left(py, stack);
    hr_py_give(o, left ? stack : 0, o->obj + 2 * word, HR_PR_PART, HR_SURE_EXACT);
    for (uint64_t i = 0; i < n && (i + 1) * 2 * word <= left; i++)
        hr_py_give(o, hr_py_word_at(py, stack + i * 2 * word), UINT64_MAX, HR_PR_STRONG, HR_SURE_EXACT);
}

/* 3.13: a ring buffer {put, first, items, capacity, count}; before, a list among its words. */
static void simple_queue_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    if (py->minor < 0x030d)
        return;
    uint64_t ring = o->obj + 3 * word, at = hr_py_word_at(py, ring + word), items = hr_py_word_at(py, ring + 2 * word);
    uint64_t cap = hr_py_word_at(py, ring + 3 * word), n = hr_py_word_at(py, ring + 4 * word);
    if (!cap || cap > hr_py_block_left(py, items) / word || at >= cap || n > cap)
        return;
    hr_py_give(o, items, ring + 2 * word, HR_PR_PART, HR_SURE_EXACT);
    hr_py_give_array(o, items + at * word, hr_min(n, cap - at), HR_SURE_EXACT);
    if (n > cap - at)
        hr_py_give_array(o, items, n - (cap - at), HR_SURE_EXACT);
}

void hr_py_extension_refs(const struct hr_py_out *o, const struct hr_py_type *t)
{
    switch ((enum hr_py_extension)t->extension) {
    case HR_PX_ODICT: odict_refs(o); break;
    case HR_PX_LRU_CACHE: lru_refs(o); break;
    case HR_PX_ELEMENT: element_refs(o); break;
    case HR_PX_ELEMENT_ITERATOR: element_iterator_refs(o); break;
    case HR_PX_TEE: tee_refs(o); break;
    case HR_PX_SIMPLE_QUEUE: simple_queue_refs(o); break;
    case HR_PX_NONE: break;
    }
}

/* type_traverse visits five fields (and ht_module); names, slots and the subclasses are counted only. The specialising
 * interpreter's cache is borrowed. */
void hr_py_type_refs(const struct hr_py_out *o, uint64_t end)
{
    struct hr_py *py = o->py;
    static const struct { enum hr_py_fact at; enum hr_py_ref kind; bool heap; } field[] = {
        {HR_PY_TP_DICT, HR_PR_STRONG, false}, {HR_PY_TP_CACHE, HR_PR_STRONG, false}, {HR_PY_TP_MRO, HR_PR_STRONG, false},
        {HR_PY_TP_BASES, HR_PR_STRONG, false}, {HR_PY_TP_BASE, HR_PR_STRONG, false}, {HR_PY_TP_SUBCLASSES, HR_PR_UNVISITED, false},
        {HR_PY_HT_MODULE, HR_PR_STRONG, true}, {HR_PY_HT_NAME, HR_PR_UNVISITED, true}, {HR_PY_HT_SLOTS, HR_PR_UNVISITED, true},
        {HR_PY_HT_QUALNAME, HR_PR_UNVISITED, true}, {HR_PY_HT_CACHED_KEYS, HR_PR_PART, true},
    };
    bool heap = hr_py_word(py->c, o->obj, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE;
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (hr_py_has(py->c, field[i].at) && (heap || !field[i].heap))
            hr_py_give(o, hr_py_word(py->c, o->obj, field[i].at), o->obj + (uint64_t)py->c->at[field[i].at], field[i].kind, HR_SURE_EXACT);
    if (heap) /* what a metaclass adds */
        hr_py_scan_words(o, o->obj + (uint64_t)py->c->at[HR_PYS_HEAPTYPE], end, (const uint64_t[2]){0, 0});
}

uint64_t hr_py_frame_end(const struct hr_py *py, uint64_t frame)
{
    /* f_trace and the word of f_lineno; then f_extra_locals and f_locals_cache (3.13), f_overwritten_fast_locals (3.14) */
    unsigned more = py->minor < 0x030d ? 2 : py->minor == 0x030d ? 4 : 5;
    return frame + (uint64_t)py->c->at[HR_PY_FRAME_IFRAME] + (1 + more) * py->img->word;
}
