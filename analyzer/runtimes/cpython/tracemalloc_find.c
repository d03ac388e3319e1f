/* Where tracemalloc keeps its tables: statics of Modules/_tracemalloc.c up to 3.11, _PyRuntime.tracemalloc from 3.12 on. Stripped
 * builds: the words of the interpreter's data that lead to a hash table whose entries are traces. */
#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/tracemalloc.h"

enum { MAX_FRAMES = 65535, PROBED_BUCKETS = 4096, MIN_BUCKETS = 16 };

bool hr_py_hashtable_at(const struct hr_py *py, uint64_t addr, struct hr_py_hashtable *ret)
{
    uint64_t word = py->img->word, last;
    if (!addr || addr & (word - 1) || !hr_py_has(py->c, HR_PY_HASHTABLE_BUCKETS))
        return false;
    ret->buckets = hr_py_word(py->c, addr, HR_PY_HASHTABLE_BUCKETS);
    ret->nbuckets = hr_py_word(py->c, addr, HR_PY_HASHTABLE_NBUCKETS);
    ret->nentries = hr_py_word(py->c, addr, HR_PY_HASHTABLE_NENTRIES);
    ret->key_size = hr_py_has(py->c, HR_PY_HASHTABLE_KEY_SIZE) ? hr_py_word(py->c, addr, HR_PY_HASHTABLE_KEY_SIZE) : 0;
    ret->data_size = hr_py_has(py->c, HR_PY_HASHTABLE_DATA_SIZE) ? hr_py_word(py->c, addr, HR_PY_HASHTABLE_DATA_SIZE) : 0;
    if (ret->nbuckets < MIN_BUCKETS || ret->nbuckets & (ret->nbuckets - 1) || ret->nbuckets > 1ull << 40 || ret->key_size > 16)
        return false;
    return ret->buckets && !(ret->buckets & (word - 1)) && hr_image_word(py->img, ret->buckets + (ret->nbuckets - 1) * word, &last);
}

bool hr_py_hashentry_at(const struct hr_py *py, const struct hr_py_hashtable *t, uint64_t addr, struct hr_py_hashentry *ret)
{
    unsigned word = py->img->word;
    *ret = (struct hr_py_hashentry){.at = addr};
    if (hr_py_has(py->c, HR_PY_HASHENTRY_KEY)) {
        ret->key = hr_py_word(py->c, addr, HR_PY_HASHENTRY_KEY);
        ret->value = hr_py_word(py->c, addr, HR_PY_HASHENTRY_VALUE);
        return hr_image_find(py->img, addr, NULL) != NULL;
    }
    /* up to 3.8 key and data stand behind the entry's head; a key may be a pointer and a domain, packed */
    uint64_t key = addr + (uint64_t)py->c->at[HR_PYS_HASHENTRY];
    ret->value = key + t->key_size;
    ret->has_domain = t->key_size == word + 4u;
    if (ret->has_domain && !hr_image_uint(py->img, key + word, 4, &ret->domain))
        return false;
    return hr_image_uint(py->img, key, t->key_size >= word ? word : 4, &ret->key);
}

uint64_t hr_py_trace_of(const struct hr_py *py, const struct hr_py_hashentry *e)
{
    (void)py;
    return e->value; /* a pointer to the trace, or the place where it stands */
}

uint64_t hr_py_domain_table(const struct hr_py *py, const struct hr_py_hashentry *e)
{
    return hr_py_has(py->c, HR_PY_HASHENTRY_KEY) ? e->value : hr_py_word_at(py, e->value);
}

/* Is it a traceback: its first frame has a file name? */
static bool traceback_fits(struct hr_py *py, uint64_t tb)
{
    char name[8];
    uint64_t n;
    unsigned wide = hr_py_has(py->c, HR_PY_TRACEBACK_TOTAL) ? 2 : 4;
    if (!tb || tb & (py->img->word - 1u) || !hr_image_uint(py->img, tb + (uint64_t)py->c->at[HR_PY_TRACEBACK_NFRAME], wide, &n) || n < 1 ||
        n > MAX_FRAMES)
        return false;
    uint64_t file = hr_py_word(py->c, tb + (uint64_t)py->c->at[HR_PY_TRACEBACK_FRAMES], HR_PY_TRACEFRAME_FILE);
    return file && !(file & (py->img->word - 1u)) && hr_py_text(py, file, name, sizeof name);
}

/* Is it a trace: a size and a traceback? */
static bool trace_fits(struct hr_py *py, uint64_t trace)
{
    return trace && hr_py_word(py->c, trace, HR_PY_TRACE_SIZE) <= 1ull << 48 && traceback_fits(py, hr_py_word(py->c, trace, HR_PY_TRACE_TRACEBACK));
}

static uint64_t trace_size(const struct hr_py *py) { return 2u * py->img->word; }

enum table_kind { NO_TABLE, TRACES, DOMAINS, TRACEBACKS };

static enum table_kind table_kind(struct hr_py *py, uint64_t addr, bool nested)
{
    struct hr_py_hashtable t;
    struct hr_py_hashentry e;
    uint64_t at, inner;
    if (!hr_py_hashtable_at(py, addr, &t) || !t.nentries)
        return NO_TABLE;
    for (uint64_t i = 0; i < hr_min(t.nbuckets, PROBED_BUCKETS); i++) {
        if (!hr_image_word(py->img, t.buckets + i * py->img->word, &at) || !at)
            continue;
        if (at & (py->img->word - 1u) || !hr_py_hashentry_at(py, &t, at, &e))
            return NO_TABLE;
        if ((!t.key_size || t.data_size == trace_size(py)) && trace_fits(py, hr_py_trace_of(py, &e)))
            return TRACES;
        if (!nested && traceback_fits(py, e.key))
            return TRACEBACKS;
        inner = nested || e.key > UINT32_MAX || (t.key_size && t.data_size != py->img->word) ? 0 : hr_py_domain_table(py, &e);
        return inner && inner != addr && table_kind(py, inner, true) == TRACES ? DOMAINS : NO_TABLE; /* one level down, no further */
    }
    return NO_TABLE;
}

/* A table is a block of malloc's of its size with hash and comparison functions in the interpreter's code: cheap to ask first. */
static bool may_be_table(const struct hr_py *py, uint64_t at)
{
    if (py->c->module == HR_NONE)
        return false; /* functions have no addresses there */
    const struct hr_module *m = &py->img->modules.v[py->c->module];
    uint64_t hash = hr_py_word(py->c, at, HR_PY_HASHTABLE_HASH), compare = hr_py_word(py->c, at, HR_PY_HASHTABLE_COMPARE);
    return hash >= m->lo && hash < m->hi && compare >= m->lo && compare < m->hi;
}

static bool search(struct hr_py *py, struct hr_py_tracetables *ret)
{
    const struct hr_image *img = py->img;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        /* uninitialised data may be mapped behind the module's own pages */
        if (!(seg->flags & HR_SEG_W) || seg->addr + seg->msize <= py->c->data_lo || seg->addr >= py->c->data_hi)
            continue;
        for (size_t off = 0; off + img->word <= seg->bytes.n && !(ret->traces && ret->domains && ret->tracebacks); off += img->word) {
            uint64_t at = hr_word_load(seg->bytes.p + off, img->word, img->big);
            if (!at || at & (img->word - 1u) || hr_heap_at(py->heap, at, NULL) == HR_NONE || !may_be_table(py, at))
                continue;
            enum table_kind k = table_kind(py, at, false);
            if (k == TRACES && !ret->traces)
                ret->traces = at;
            else if (k == DOMAINS && !ret->domains)
                ret->domains = at;
            else if (k == TRACEBACKS && !ret->tracebacks)
                ret->tracebacks = at;
        }
    }
    return ret->traces || ret->domains;
}

static uint64_t static_word(const struct hr_py *py, const char *name)
{
    uint64_t at = hr_py_symbol(py->c, name);
    return at ? hr_py_word_at(py, at) : 0;
}

bool hr_py_tracetables_find(struct hr_py *py, struct hr_py_tracetables *ret)
{
    *ret = (struct hr_py_tracetables){0};
    if (py->minor < 0x0304 || !hr_py_has(py->c, HR_PY_HASHTABLE_BUCKETS) || !hr_py_has(py->c, HR_PY_TRACE_TRACEBACK) ||
        !hr_py_has(py->c, HR_PY_TRACEFRAME_FILE) || !hr_py_has(py->c, HR_PY_TRACEBACK_FRAMES) || !hr_py_has(py->c, HR_PY_TRACEBACK_NFRAME))
        return false;
    if (py->c->runtime && hr_py_has(py->c, HR_PY_RT_TRACEMALLOC) && hr_py_has(py->c, HR_PY_TRACEMALLOC_TRACES)) {
        uint64_t base = py->c->runtime + (uint64_t)py->c->at[HR_PY_RT_TRACEMALLOC];
        ret->config = base + (uint64_t)py->c->at[HR_PY_TRACEMALLOC_CONFIG];
        ret->traced = base + (uint64_t)py->c->at[HR_PY_TRACEMALLOC_TRACED];
        ret->peak = base + (uint64_t)py->c->at[HR_PY_TRACEMALLOC_PEAK];
        ret->traces = hr_py_word(py->c, base, HR_PY_TRACEMALLOC_TRACES);
        ret->domains = hr_py_word(py->c, base, HR_PY_TRACEMALLOC_DOMAINS);
        /* filenames, traceback, tracebacks, traces, domains follow each other in struct _tracemalloc_runtime_state (3.12, 3.13) */
        ret->tracebacks = hr_py_word_at(py, base + (uint64_t)py->c->at[HR_PY_TRACEMALLOC_TRACES] - py->img->word);
        return ret->traces || ret->domains;
    }
    ret->config = hr_py_symbol(py->c, "_Py_tracemalloc_config");
    if (!ret->config)
        ret->config = hr_py_symbol(py->c, "tracemalloc_config");
    ret->traced = hr_py_symbol(py->c, "tracemalloc_traced_memory");
    ret->peak = hr_py_symbol(py->c, "tracemalloc_peak_traced_memory");
    if (hr_py_symbol(py->c, "tracemalloc_traces")) {
        ret->traces = static_word(py, "tracemalloc_traces");
        ret->domains = static_word(py, "tracemalloc_domains");
        ret->tracebacks = static_word(py, "tracemalloc_tracebacks");
        return ret->traces || ret->domains;
    }
    return search(py, ret);
}
