/* Counted references that the interpreter's own layouts tell of: those of objects, shared keys tables, and running frames. */
#include "analyzer/runtimes/cpython/links.h"
#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/scan.h"
#include "analyzer/runtimes/cpython/stacks.h"

enum { MAX_BASES = 64 };

/* ---- whose words are sure ---- */
/* Where the slots of a Python class begin: behind the nearest base that C made. UINT32_MAX: it has none. */
static uint32_t slots_from(struct hr_py_scan *s, const struct hr_py_type *t)
{
    struct hr_py *py = s->py;
    uint64_t type = t->addr;
    if (!(t->flags & HR_PYF_HEAPTYPE) || !s->dealloc)
        return UINT32_MAX;
    for (int i = 0; i < MAX_BASES && type; i++) {
        if (!(hr_py_word(py->c, type, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE) || hr_py_word(py->c, type, HR_PY_TP_DEALLOC) != s->dealloc)
            return (uint32_t)hr_min(hr_py_word(py->c, type, HR_PY_TP_BASICSIZE), UINT32_MAX);
        type = hr_py_word(py->c, type, HR_PY_TP_BASE);
    }
    return UINT32_MAX;
}

static uint32_t cached_slots_from(struct hr_py_scan *s, uint32_t index, const struct hr_py_type *t)
{
    while (s->slots_from.n <= index && s->st == HR_OK)
        s->st = hr_u32vec_push(&s->slots_from, 0);
    if (s->st != HR_OK)
        return UINT32_MAX;
    if (!s->slots_from.v[index])
        s->slots_from.v[index] = slots_from(s, t);
    return s->slots_from.v[index];
}

/* Types of C whose fields only their code explains: an address in one may be borrowed. */
static bool of_unknown_layout(uint8_t kind) { return kind == HR_PK_OBJECT || kind == HR_PK_NDARRAY || kind == HR_PK_ARRAY; }

static void found(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct hr_py_scan *s = ctx;
    if (kind == HR_PR_PART || kind == HR_PR_WEAK || kind == HR_PR_VISITED)
        return;
    if (kind == HR_PR_TYPE && !(s->t->flags & HR_PYF_HEAPTYPE))
        return; /* instances of static types do not count them */
    bool sure = surety == HR_SURE_EXACT || !of_unknown_layout(s->t->kind) || (off >= s->sure_from && off != UINT32_MAX);
    if (kind == HR_PR_TYPE)
        sure = s->t->kind != HR_PK_TYPE; /* C code sets metaclasses without counting */
    hr_py_scan_give(s, target, sure && !s->stale ? s->who : HR_PF_FIELD, s->holder);
}

/* ---- objects ---- */
/* The keys of a shared table are counted once, however many dicts and values use it. */
static void shared_keys(struct hr_py_scan *s, uint64_t at)
{
    struct hr_py_keys k;
    if (!at || s->st != HR_OK || hr_map_get(&s->keys, at) != HR_NONE)
        return;
    s->st = hr_map_put(&s->keys, at, 1);
    if (s->st != HR_OK || !hr_py_read_keys(s->py, at, &k))
        return;
    for (uint64_t i = 0; i < k.n; i++)
        hr_py_scan_give(s, hr_py_word_at(s->py, k.entries + i * k.each + k.key_off), HR_PF_OBJECT, s->holder);
}

/* Up to 3.8, C code kept the argument tuple of one call for the next (cached_args of property_descr_get and others): untracked, one item,
 * which is not counted once the call is over. */
static bool cached_arguments(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    return py->minor <= 0x0308 && t->kind == HR_PK_TUPLE && hr_py_word(py->c, addr, HR_PY_OB_SIZE) == 1 && hr_py_refcount(py, addr) == 1 &&
           !hr_py_is_tracked(py, addr);
}

/* The dict of interned strings counts neither keys nor values. 2.7's marks removed entries with a string, which is counted. */
static void interned_dummies(struct hr_py_scan *s, uint64_t dict)
{
    struct hr_py *py = s->py;
    unsigned word = py->img->word;
    if (py->minor >= 0x0300)
        return;
    uint64_t table = hr_py_word(py->c, dict, HR_PY_DICT_TABLE), left = hr_py_block_left(py, table) / (3 * word);
    uint64_t n = hr_min(hr_py_word(py->c, dict, HR_PY_DICT_MASK) + 1, left);
    for (uint64_t i = 0; i < n; i++)
        if (!hr_py_word_at(py, table + i * 3 * word + 2 * word))
            hr_py_scan_give(s, hr_py_word_at(py, table + i * 3 * word + word), HR_PF_OBJECT, dict);
}

static bool of_text(const struct hr_py *py, hr_id id)
{
    uint8_t kind = hr_py_type(py, py->object[id])->kind;
    return kind == HR_PK_STR || kind == HR_PK_BYTES;
}

/* From the table of links, where there is one: it has all but the type, and not the places, so that of a Python class upon a C type
 * no word is sure. */
static bool from_links(struct hr_py_scan *s, hr_id node, const struct hr_py_type *t)
{
    struct hr_py *py = s->py;
    const uint32_t *to;
    const uint8_t *how;
    if (!py->links.row || py->minor < 0x0300 || s->stale) /* 2.7's numbers are in no link */
        return false;
    bool sure = !of_unknown_layout(t->kind) || s->sure_from == (uint32_t)py->c->at[HR_PYS_OBJECT];
    uint32_t n = hr_py_links_of(py, node, &to, &how);
    for (uint32_t i = 0; i < n; i++) {
        unsigned kind = how[i] & HR_PL_KIND;
        if (kind == HR_PL_RAW && py->object[to[i]] != HR_NONE && of_text(py, to[i]))
            s->fn(s->ctx, to[i], HR_PF_FIELD, s->holder); /* a char * into it */
        if (!(how[i] & HR_PL_START) || (kind != HR_PR_STRONG && kind != HR_PR_UNVISITED && kind != HR_PR_COUNTED) || py->object[to[i]] == HR_NONE)
            continue;
        bool exact = (how[i] >> HR_PL_SURETY_SHIFT & HR_PL_SURETY) == HR_SURE_EXACT;
        s->fn(s->ctx, to[i], exact || sure ? HR_PF_OBJECT : HR_PF_FIELD, s->holder);
    }
    if (t->flags & HR_PYF_HEAPTYPE)
        hr_py_scan_give(s, t->addr, t->kind == HR_PK_TYPE ? HR_PF_FIELD : HR_PF_OBJECT, s->holder); /* C code sets metaclasses without counting */
    return true;
}

static void one_object(struct hr_py_scan *s, uint64_t addr, hr_id node)
{
    struct hr_py *py = s->py;
    const struct hr_py_type t = py->types.v[py->object[node]]; /* a copy: reading references may add types */
    s->t = &t;
    s->holder = addr;
    s->who = HR_PF_OBJECT;
    s->stale = cached_arguments(py, addr, &t);
    s->sure_from = t.kind == HR_PK_OBJECT ? cached_slots_from(s, py->object[node], &t) : 0;
    if (hr_py_interned_dict(py, addr)) {
        interned_dummies(s, addr);
        return;
    }
    if (!from_links(s, node, &t))
        hr_py_refs(py, addr, &t, found, s);
    s->stale = false;
    if (t.kind == HR_PK_GENERATOR && hr_py_has(py->c, HR_PY_GEN_FRAME) && s->st == HR_OK)
        s->st = hr_map_put(&s->gen_frames, hr_py_word(py->c, addr, HR_PY_GEN_FRAME), 1);
    if (py->minor < 0x0300)
        return;
    if (t.kind == HR_PK_TYPE && hr_py_word(py->c, addr, HR_PY_TP_FLAGS) & HR_PYF_HEAPTYPE && hr_py_has(py->c, HR_PY_HT_CACHED_KEYS))
        shared_keys(s, hr_py_word(py->c, addr, HR_PY_HT_CACHED_KEYS));
    if ((t.kind == HR_PK_DICT || t.kind == HR_PK_ODICT) && hr_py_word(py->c, addr, HR_PY_DICT_VALUES))
        shared_keys(s, hr_py_word(py->c, addr, HR_PY_DICT_KEYS));
}

void hr_py_scan_objects(struct hr_py_scan *s)
{
    struct hr_py *py = s->py;
    struct hr_block_iter it = hr_block_iter(py->heap, 0);
    while (it.id < py->heap->n && s->st == HR_OK) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (py->object[id] != HR_NONE)
            one_object(s, addr + hr_py_guard(py, id) + py->types.v[py->object[id]].pre, id);
    }
    s->t = NULL;
}

/* ---- frames ---- */
/* What lies on the value stack of a frame that runs: `slots` places from `from` on, as far as they are in use. */
static void running_stack(struct hr_py_scan *s, const struct hr_py_frame *f, uint64_t from, uint64_t slots, bool running)
{
    slots = hr_min(slots, s->left);
    s->left -= slots;
    uint64_t end = from + slots * s->py->img->word;
    hr_py_scan_plain(s, from, hr_py_scan_top(s, from, end, hr_py_instruction(s->py, f), running), HR_PF_STACK);
}

/* Up to 3.10 a frame is an object. The C function that runs it holds it, or the generator does. */
static uint64_t frame_object(struct hr_py_scan *s, uint64_t f)
{
    struct hr_py *py = s->py;
    if (hr_map_get(&s->gen_frames, f) == HR_NONE)
        hr_py_scan_give(s, f, HR_PF_FRAME, f);
    bool runs = hr_py_has(py->c, HR_PY_FRAME_STACKDEPTH) ? (int32_t)hr_py_uint(py->c, f, HR_PY_FRAME_STACKDEPTH, 4) < 0
                                                         : !hr_py_word(py->c, f, HR_PY_FRAME_STACKTOP);
    uint64_t stack = hr_py_word(py->c, f, HR_PY_FRAME_VALUESTACK);
    struct hr_py_frame frame = {f, hr_py_word(py->c, f, HR_PY_FRAME_CODE)};
    if (runs && stack > f)
        running_stack(s, &frame, stack, hr_py_uint(py->c, frame.code, HR_PY_CODE_STACKSIZE, 4), true);
    return hr_py_word(py->c, f, HR_PY_FRAME_BACK);
}

/* Since 3.11 it is a record on the thread's data stack, or within a generator or a frame object, which give what it holds. */
static uint64_t frame_record(struct hr_py_scan *s, uint64_t f)
{
    enum { THREAD = 0, FRAME_OBJECT = 2 };
    struct hr_py *py = s->py;
    unsigned owner = (unsigned)hr_py_uint(py->c, f, HR_PY_IFRAME_OWNER, 1);
    static const struct hr_py_type any = {.kind = HR_PK_FRAME, .flags = HR_PYF_HEAPTYPE};
    s->t = &any;
    s->who = HR_PF_FRAME;
    s->holder = f;
    if (owner > FRAME_OBJECT) /* a record on the C stack, of no code */
        return hr_py_word(py->c, f, HR_PY_IFRAME_PREVIOUS);
    uint64_t code = hr_py_word(py->c, f, HR_PY_IFRAME_CODE), locals = hr_py_uint(py->c, code, HR_PY_CODE_NLOCALSPLUS, 4);
    uint64_t most = locals + hr_py_uint(py->c, code, HR_PY_CODE_STACKSIZE, 4);
    if (most > s->left)
        return 0;
    s->left -= most;
    if (owner == THREAD)
        hr_py_iframe_refs(py, f, found, s);
    /* What a frame says of its top may be older than what it does: 3.11 leaves it there after a profile function was called. */
    int64_t top = hr_py_iframe_top(py, f);
    uint64_t known = top > (int64_t)locals ? (uint64_t)top : locals;
    if (known <= most)
        running_stack(s, &(struct hr_py_frame){f, code}, f + (uint64_t)py->c->at[HR_PY_IFRAME_LOCALSPLUS] + known * py->img->word, most - known,
                      top < 0);
    return hr_py_word(py->c, f, HR_PY_IFRAME_PREVIOUS);
}

void hr_py_scan_frames(struct hr_py_scan *s)
{
    struct hr_py *py = s->py;
    struct hr_py_walk w;
    uint32_t left = HR_PY_MAX_FRAMES;
    hr_py_walk_init(&w, py);
    for (uint32_t i = 0; i < py->c->ninterp; i++) {
        struct hr_py_thread t;
        uint64_t at = 0;
        for (uint32_t k = 0; k < HR_PY_MAX_THREADS && s->st == HR_OK && hr_py_next_thread(&w, py->c->interp[i], &at, &t); k++) {
            uint64_t f = hr_py_innermost(py, t.tstate);
            s->st = hr_py_scan_tops(s, t.native);
            while (f && !(f & (py->img->word - 1u)) && left-- && s->st == HR_OK)
                f = py->minor < 0x030b ? frame_object(s, f) : frame_record(s, f);
        }
    }
    s->t = NULL;
}
