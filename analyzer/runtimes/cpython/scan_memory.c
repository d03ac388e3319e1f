/* Words outside of objects that are an object's address: static data, stacks, memory of C code. Known places whose words count nothing
 * are left out: what freed objects and old calls left behind, and what the interpreter keeps without counting. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/scan.h"
#include "analyzer/runtimes/cpython/stacks.h"

enum {
    FREELIST = 80,        /* places of each array of freed objects: PyList_MAXFREELIST and its like, 2.7 to 3.13 */
    CACHE = 4096,         /* entries of the method cache (3.3 on; 1024 before) and of 3.13's cache of functions */
    MAX_CHUNKS = 1 << 16, /* of a thread's data stack */
    BUFFER = 4096,        /* bytes from which what an _io object owns is a buffer: 8192 unless the program says otherwise */
    LARGE = 1 << 20       /* bytes from which an array of numbers is not read word by word */
};

/* C code that keeps the characters of a string has to keep the string: numpy's documentation is such. */
static void give_text(const struct hr_py_scan *s, uint64_t v, enum hr_py_finder who, uint64_t at)
{
    const struct hr_py *py = s->py;
    uint64_t into;
    hr_id id = hr_py_block_at(py, v, &into);
    if (id != HR_NONE && py->object[id] == HR_NONE)
        id = into ? HR_NONE : py->owner[id]; /* its UTF-8 */
    else if (id != HR_NONE && !hr_py_text_begins(py, id, into))
        id = HR_NONE;
    uint8_t kind = id == HR_NONE || py->object[id] == HR_NONE ? HR_PK_NONE : hr_py_type(py, py->object[id])->kind;
    if (kind == HR_PK_STR || kind == HR_PK_BYTES)
        s->fn(s->ctx, id, who, at);
}

/* The words of [lo, hi), aligned, that may lead into the heap. */
void hr_py_scan_plain(struct hr_py_scan *s, uint64_t lo, uint64_t hi, enum hr_py_finder who)
{
    unsigned word = s->py->img->word;
    bool big = s->py->img->big;
    while (lo < hi) {
        struct hr_span b = hr_image_peek(s->py->img, lo, hi - lo);
        uint64_t n = b.n / word;
        if (!n)
            return;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t v = hr_word_load(b.p + i * word, word, big);
            if (v - s->py->heap->lo > s->py->heap->hi - s->py->heap->lo)
                continue;
            if (!hr_py_scan_give(s, v, who, lo + i * word) && who != HR_PF_STACK)
                give_text(s, v, who, lo + i * word);
        }
        lo += n * word;
    }
}

/* ---- quiet memory ---- */
static void quiet(struct hr_py_scan *s, uint64_t addr, uint64_t size)
{
    if (addr && size && s->st == HR_OK)
        s->st = hr_rangevec_push(&s->quiet, (struct hr_range){addr, size});
}

static int by_address(const void *a, const void *b)
{
    const struct hr_range *x = a, *y = b;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The method cache: version, name (counted), value (borrowed). */
static void method_cache(struct hr_py_scan *s, uint64_t at, uint64_t bytes)
{
    unsigned word = s->py->img->word;
    for (uint64_t i = 0; i < bytes / (3 * word); i++)
        hr_py_scan_plain(s, at + (3 * i + 1) * word, at + (3 * i + 2) * word, HR_PF_STATIC);
    quiet(s, at, bytes);
}

static void quiet_state(struct hr_py_scan *s, uint64_t interp)
{
    static const enum hr_py_fact arrays[] = {HR_PY_IS_FREE_LISTS, HR_PY_IS_FREE_DICTS, HR_PY_IS_FREE_AGEN_VALUES, HR_PY_IS_FREE_AGEN_SENDS};
    const struct hr_cpython *c = s->py->c;
    unsigned word = s->py->img->word;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (hr_py_has(c, arrays[i]))
            quiet(s, interp + (uint64_t)c->at[arrays[i]], FREELIST * word);
    if (hr_py_has(c, HR_PY_IS_FUNC_CACHE)) /* pairs of a function and its code, neither counted */
        quiet(s, interp + (uint64_t)c->at[HR_PY_IS_FUNC_CACHE], 2 * CACHE * word);
    if (hr_py_has(c, HR_PY_IS_TYPE_CACHE))
        method_cache(s, interp + (uint64_t)c->at[HR_PY_IS_TYPE_CACHE], 3 * CACHE * word);
}

/* Up to 3.9 (the cache), 3.10 (the lists) they are static variables. */
static void quiet_statics(struct hr_py_scan *s)
{
    const struct hr_types *t = s->py->c->types;
    for (size_t i = 0; s->py->minor < 0x030b && i < t->syms.n; i++) {
        const struct hr_sym *y = &t->syms.v[i];
        if (y->module != s->py->c->module || y->kind != HR_SYM_DATA)
            continue;
        bool array = y->size == FREELIST * s->py->img->word; /* tuples have lists by size, the first of which is () itself, counted */
        if (array && (!strncmp(y->name, "free_list", 9) || !strncmp(y->name, "value_freelist", 14) || !strncmp(y->name, "asend_freelist", 14)))
            quiet(s, y->addr, y->size);
        else if (!strncmp(y->name, "method_cache", 12) && y->size >= 1024 && y->size <= 3 * CACHE * s->py->img->word)
            method_cache(s, y->addr, y->size);
    }
}

/* Data stacks (3.11 on): the frames in use are read as such. */
static void quiet_chunks(struct hr_py_scan *s, uint64_t tstate)
{
    struct hr_py *py = s->py;
    uint64_t at = hr_py_word(py->c, tstate, HR_PY_TS_DATASTACK);
    for (uint32_t i = 0; at && i < MAX_CHUNKS && s->st == HR_OK; i++) {
        uint64_t size = hr_py_word_at(py, at + py->img->word);
        if (size > 1ull << 32)
            return;
        quiet(s, at, size);
        at = hr_py_word_at(py, at);
    }
}

/* libc and the dynamic loader know no objects: what lies in their blocks was there before. */
static bool of_libc(const struct hr_py_scan *s, uint32_t module)
{
    static const char *const names[] = {"ld-linux", "ld-musl", "ld-2.", "ld.so", "libc.so", "libc-2.", "libpthread"};
    if (module == HR_NONE)
        return false;
    const char *path = hr_strs_get(s->py->img->strs, s->py->img->modules.v[module].path), *slash = strrchr(path, '/');
    path = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(path, names[i], strlen(names[i])))
            return true;
    return false;
}

static void quiet_libc(struct hr_py_scan *s)
{
    const struct hr_heap *h = s->py->heap;
    unsigned word = s->py->img->word;
    for (size_t i = 0; i < h->roots.n; i++) {
        const struct hr_root *r = &h->roots.v[i];
        if ((r->kind != HR_ROOT_GLOBAL && r->kind != HR_ROOT_STATIC) || !of_libc(s, r->module))
            continue;
        for (uint64_t a = r->addr; a + word <= r->addr + r->size; a += word) {
            uint64_t v = hr_py_word_at(s->py, a);
            hr_id id = v ? hr_heap_at(h, v, NULL) : HR_NONE;
            if (id != HR_NONE && h->state[id] == HR_USED && s->py->object[id] == HR_NONE)
                hr_bits_set(&s->quiet_block, id);
        }
    }
}

enum hr_status hr_py_scan_quiet(struct hr_py_scan *s)
{
    struct hr_py *py = s->py;
    struct hr_py_walk w;
    hr_py_walk_init(&w, py);
    for (uint32_t i = 0; i < py->c->ninterp; i++) {
        struct hr_py_thread t;
        uint64_t at = 0;
        quiet_state(s, py->c->interp[i]);
        for (uint32_t k = 0; k < HR_PY_MAX_THREADS && hr_py_next_thread(&w, py->c->interp[i], &at, &t); k++)
            quiet_chunks(s, t.tstate);
    }
    quiet_statics(s);
    quiet_libc(s);
    if (s->quiet.n)
        qsort(s->quiet.v, s->quiet.n, sizeof *s->quiet.v, by_address);
    return s->st;
}

/* ---- words ---- */
/* The words of [lo, hi), but for what is quiet in it. */
void hr_py_scan_range(struct hr_py_scan *s, uint64_t lo, uint64_t hi, enum hr_py_finder who)
{
    uint64_t word = s->py->img->word;
    size_t a = 0, z = s->quiet.n;
    while (a < z) {
        size_t mid = a + (z - a) / 2;
        if (s->quiet.v[mid].addr + s->quiet.v[mid].size <= lo)
            a = mid + 1;
        else
            z = mid;
    }
    lo = (lo + word - 1) & ~(word - 1);
    for (; a < s->quiet.n && s->quiet.v[a].addr < hi && lo < hi; a++) {
        hr_py_scan_plain(s, lo, s->quiet.v[a].addr, who);
        lo = hr_max(lo, (s->quiet.v[a].addr + s->quiet.v[a].size + word - 1) & ~(word - 1));
    }
    hr_py_scan_plain(s, lo, hi, who);
}

/* A block of the parser's arena: its size, how much is used, the next, where the memory starts. What the tree in it refers to belongs to
 * the arena's list of objects. (struct _block of Python/pyarena.c) */
static bool parser_arena(const struct hr_py *py, uint64_t addr, uint64_t size)
{
    unsigned word = py->img->word;
    uint64_t total = hr_py_word_at(py, addr), used = hr_py_word_at(py, addr + word), mem = hr_py_word_at(py, addr + 3 * word);
    return size >= 8192 && total >= 8192 - 64 && total <= size && used <= total && mem >= addr + 4 * word && mem - addr <= 8 * word;
}

/* A short text fills its block but for the end of the last 16 bytes, where anything may be left. */
static bool short_text(const struct hr_py *py, uint64_t addr, uint64_t size)
{
    enum { TEXT_MOST = 256, STEP = 16 };
    char text[TEXT_MOST];
    uint64_t first = hr_py_word_at(py, addr);
    if (size >= TEXT_MOST || !hr_image_cstr(py->img, addr, text, sizeof text) || (!(first & (py->img->word - 1u)) && hr_heap_at(py->heap, first, NULL) != HR_NONE))
        return false;
    uint64_t n = 0;
    while (text[n] >= ' ' && text[n] < 0x7f)
        n++;
    return n && !text[n] && n + 1 + STEP > size;
}

static bool counts_nothing(struct hr_py_scan *s, hr_id id, uint64_t addr, uint64_t size)
{
    struct hr_py *py = s->py;
    hr_id owner = py->owner[id];
    addr += hr_py_guard(py, id);
    if (hr_bits_get(&s->quiet_block, id) || parser_arena(py, addr, size) || short_text(py, addr, size) || hr_py_dead_object(py, id) != HR_NONE)
        return true;
    if (owner == HR_NONE || py->object[owner] == HR_NONE)
        return false;
    const struct hr_py_type *t = hr_py_type(py, py->object[owner]);
    uint64_t obj = hr_py_addr(py, owner);
    if (t->kind == HR_PK_CODE && hr_py_has(py->c, HR_PY_CODE_OPCACHE) && hr_py_word(py->c, obj, HR_PY_CODE_OPCACHE) == addr)
        return true; /* caches of globals and attributes, borrowed */
    if ((t->kind == HR_PK_ARRAY || t->kind == HR_PK_NDARRAY) && size >= LARGE)
        return true;
    return size >= BUFFER && !strncmp(hr_strs_get(py->img->strs, t->name), "_io.", 4);
}

/* The collector's view of it leaves out strings and numbers, which are counted all the same. */
static bool module_state(const struct hr_py *py, hr_id id)
{
    hr_id owner = py->owner[id];
    return owner != HR_NONE && py->object[owner] != HR_NONE && hr_py_type(py, py->object[owner])->kind == HR_PK_MODULE;
}

void hr_py_scan_memory(struct hr_py_scan *s)
{
    struct hr_py *py = s->py;
    const struct hr_heap *h = py->heap;
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n && s->st == HR_OK) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it), size = hr_block_size(h, id);
        if (h->state[id] != HR_USED || py->object[id] != HR_NONE || (hr_bits_get(&py->covered, id) && !module_state(py, id)) ||
            counts_nothing(s, id, addr, size))
            continue;
        if (!s->numbers || hr_map_get(s->numbers, addr) == HR_NONE)
            hr_py_scan_range(s, addr, addr + size, HR_PF_RAW);
    }
    for (size_t i = 0; i < h->roots.n && s->st == HR_OK; i++) {
        const struct hr_root *r = &h->roots.v[i];
        switch (r->kind) {
        case HR_ROOT_GLOBAL: case HR_ROOT_STATIC: case HR_ROOT_TLS:
            if (!of_libc(s, r->module))
                hr_py_scan_range(s, r->addr, r->addr + r->size, HR_PF_STATIC);
            break;
        case HR_ROOT_STACK: case HR_ROOT_LOCAL:
            hr_py_scan_range(s, r->addr, r->addr + r->size, HR_PF_STACK);
            break;
        case HR_ROOT_REGISTER:
            hr_py_scan_give(s, r->addr, HR_PF_STACK, 0);
            break;
        case HR_ROOT_MAPPING:
            hr_py_scan_range(s, r->addr, r->addr + r->size, HR_PF_RAW);
            break;
        default:
            break;
        }
    }
}
