/* References of objects, by kind. What no kind explains are the words of the fixed part: an aligned word that is exactly the
 * address of an object is a reference (conservative, but next to never wrong: block start, collector head and type all fit). */
#include <string.h>

#include "analyzer/runtimes/cpython/ndarray.h"
#include "analyzer/runtimes/cpython/plan.h"

void hr_py_give(const struct hr_py_out *o, uint64_t target, uint64_t at, enum hr_py_ref kind, uint8_t surety)
{
    if (target)
        o->fn(o->ctx, target, at >= o->obj && at - o->obj < UINT32_MAX ? (uint32_t)(at - o->obj) : UINT32_MAX, kind, surety);
}

uint64_t hr_py_word_at(const struct hr_py *py, uint64_t addr)
{
    uint64_t v;
    return hr_image_word(py->img, addr, &v) ? v : 0;
}

enum { MAX_DEQUE_BLOCKS = 1 << 26, MAX_STATIC_KEYS = 4096 };

/* n words from addr, each NULL or an object. Bounded by what lies together in the image. */
void hr_py_give_array(const struct hr_py_out *o, uint64_t addr, uint64_t n, uint8_t surety)
{
    unsigned word = o->py->img->word;
    while (n) {
        struct hr_span b = hr_image_peek(o->py->img, addr, n > UINT64_MAX / word ? UINT64_MAX : n * word);
        uint64_t have = b.n / word;
        if (!have)
            return;
        for (uint64_t i = 0; i < have; i++)
            hr_py_give(o, hr_word_load(b.p + i * word, word, o->py->img->big), addr + i * word, HR_PR_STRONG, surety);
        addr += have * word;
        n -= have;
    }
}

/* Words of [from, to) that are exactly objects; `skip` (two addresses) are not looked at. */
void hr_py_scan_words(const struct hr_py_out *o, uint64_t from, uint64_t to, const uint64_t skip[2])
{
    unsigned word = o->py->img->word;
    for (uint64_t a = from; a + word <= to; a += word) {
        uint64_t nth = (a - o->obj) / word;
        if (a == skip[0] || a == skip[1] || (nth < 64 && o->borrowed >> nth & 1) || (o->seen && o->seen[nth / 64] >> nth % 64 & 1))
            continue;
        uint64_t v = hr_py_word_at(o->py, a), into;
        if (!v || v & (word - 1u))
            continue;
        if (hr_py_object_type(o->py, v) != HR_NONE) {
            hr_py_give(o, v, a, o->seen || (nth < 64 && o->unvisited >> nth & 1) ? HR_PR_UNVISITED : HR_PR_STRONG, HR_SURE_CONSERVATIVE);
            continue;
        }
        hr_id id = hr_py_block_at(o->py, v, &into);
        if (id != HR_NONE && !into && o->py->object[id] == HR_NONE)
            hr_py_give(o, v, a, HR_PR_PART, HR_SURE_CONSERVATIVE); /* a buffer of its own */
    }
}

/* Bytes of the block that holds addr, from addr on; 0 when it is in none (static). */
uint64_t hr_py_block_left(const struct hr_py *py, uint64_t addr)
{
    uint64_t into;
    hr_id id = hr_py_block_at(py, addr, &into);
    if (id == HR_NONE)
        return 0;
    uint64_t size = hr_py_usable(py, id);
    if (!py->guards.front && id != py->own.id && py->heap->state[id] == HR_USED) /* hosts have other blocks in them */
        ((struct hr_py *)py)->last = (struct hr_py_near){addr - into, size, id};
    return into < size ? size - into : 0;
}

/* ---- dict ---- */
bool hr_py_read_keys(const struct hr_py *py, uint64_t at, struct hr_py_keys *k)
{
    unsigned word = py->img->word;
    uint64_t head = (uint64_t)py->c->at[HR_PY_KEYS_INDICES], index;
    if (!at)
        return false;
    k->each = 3u * word;
    k->key_off = word;
    k->n = hr_py_word(py->c, at, HR_PY_KEYS_NENTRIES);
    if (hr_py_has(py->c, HR_PY_KEYS_LOG2_SIZE)) {
        uint64_t log2 = hr_py_uint(py->c, at, HR_PY_KEYS_LOG2_INDEX, 1);
        if (log2 > 44)
            return false;
        index = 1ull << log2;
        if (hr_py_uint(py->c, at, HR_PY_KEYS_KIND, 1)) {
            k->each = 2u * word;
            k->key_off = 0;
        }
    } else {
        uint64_t size = hr_py_word(py->c, at, HR_PY_KEYS_SIZE);
        if (!size || size > 1ull << 44)
            return false;
        index = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8);
    }
    k->value_off = k->key_off + word;
    k->entries = at + head + index;
    uint64_t left = hr_py_block_left(py, at);
    if (left && (head + index > left || k->n > (left - head - index) / k->each))
        return false;
    return left || k->n <= MAX_STATIC_KEYS; /* static keys tables are those of empty dicts and of frozen modules */
}

/* Where the values of a split table start; 0: combined. */
static uint64_t split_values(const struct hr_py *py, uint64_t dict)
{
    uint64_t values = hr_py_word(py->c, dict, HR_PY_DICT_VALUES);
    if (!values)
        return 0;
    return values + (hr_py_has(py->c, HR_PY_VALUES_VALUES) && py->c->at[HR_PY_VALUES_VALUES] > 0 ? (uint64_t)py->c->at[HR_PY_VALUES_VALUES] : 0);
}

static void items2(struct hr_py *py, uint64_t dict, hr_py_pair_fn *fn, void *ctx)
{
    unsigned word = py->img->word;
    uint64_t table = hr_py_word(py->c, dict, HR_PY_DICT_TABLE), n = hr_py_word(py->c, dict, HR_PY_DICT_MASK) + 1;
    bool small = table == dict + (uint64_t)py->c->at[HR_PY_DICT_SMALLTABLE];
    uint64_t left = small ? 8 * 3 * word : hr_py_block_left(py, table);
    /* in no block: no size but what the dict says of itself, and that is believed no further than of a static table */
    n = hr_min(n, left ? left / (3u * word) : MAX_STATIC_KEYS);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t key = hr_py_word_at(py, table + i * 3 * word + word), value = hr_py_word_at(py, table + i * 3 * word + 2 * word);
        if (key && value && !fn(ctx, key, value))
            return;
    }
}

void hr_py_dict_items(struct hr_py *py, uint64_t dict, hr_py_pair_fn *fn, void *ctx)
{
    struct hr_py_keys k;
    if (!dict)
        return;
    if (py->minor < 0x0300) {
        items2(py, dict, fn, ctx);
        return;
    }
    if (!hr_py_read_keys(py, hr_py_word(py->c, dict, HR_PY_DICT_KEYS), &k))
        return;
    uint64_t values = split_values(py, dict);
    for (uint64_t i = 0; i < k.n; i++) {
        uint64_t key = hr_py_word_at(py, k.entries + i * k.each + k.key_off);
        uint64_t value = values ? hr_py_word_at(py, values + i * py->img->word) : hr_py_word_at(py, k.entries + i * k.each + k.value_off);
        if (key && value && !fn(ctx, key, value))
            return;
    }
}

static void dict_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    struct hr_py_keys k;
    bool interned = hr_py_interned_dict(py, o->obj);
    if (py->minor < 0x0300) {
        unsigned word = py->img->word;
        uint64_t table = hr_py_word(py->c, o->obj, HR_PY_DICT_TABLE), n = hr_py_word(py->c, o->obj, HR_PY_DICT_MASK) + 1;
        bool small = table == o->obj + (uint64_t)py->c->at[HR_PY_DICT_SMALLTABLE];
        uint64_t left = small ? 8 * 3 * word : hr_py_block_left(py, table);
        if (!small)
            hr_py_give(o, table, o->obj + (uint64_t)py->c->at[HR_PY_DICT_TABLE], HR_PR_PART, HR_SURE_EXACT);
        for (uint64_t i = 0; i < n && (i + 1) * 3 * word <= left; i++) {
            uint64_t key = hr_py_word_at(py, table + i * 3 * word + word), value = hr_py_word_at(py, table + i * 3 * word + 2 * word);
            hr_py_give(o, key, UINT64_MAX, interned ? hr_py_interned_ref(py, key) : HR_PR_STRONG, HR_SURE_EXACT);
            hr_py_give(o, value, UINT64_MAX, interned ? HR_PR_WEAK : HR_PR_STRONG, HR_SURE_EXACT);
        }
        return;
    }
    uint64_t keys = hr_py_word(py->c, o->obj, HR_PY_DICT_KEYS), values = split_values(py, o->obj);
    hr_py_give(o, keys, o->obj + (uint64_t)py->c->at[HR_PY_DICT_KEYS], HR_PR_PART, HR_SURE_EXACT);
    if (!hr_py_read_keys(py, keys, &k))
        return;
    if (values && hr_py_has(py->c, HR_PY_VALUES_EMBEDDED) && hr_py_uint(py->c, hr_py_word(py->c, o->obj, HR_PY_DICT_VALUES), HR_PY_VALUES_EMBEDDED, 1) == 1)
        return; /* they lie in the instance, which visits them */
    if (values) {
        hr_py_give(o, hr_py_word(py->c, o->obj, HR_PY_DICT_VALUES), o->obj + (uint64_t)py->c->at[HR_PY_DICT_VALUES], HR_PR_PART, HR_SURE_EXACT);
        hr_py_give_array(o, values, k.n, HR_SURE_EXACT);
        return; /* the keys belong to the table, which the type owns */
    }
    for (uint64_t i = 0; i < k.n; i++) {
        uint64_t e = k.entries + i * k.each, value = hr_py_word_at(py, e + k.value_off);
        if (!value)
            continue;
        hr_py_give(o, hr_py_word_at(py, e + k.key_off), e + k.key_off, interned ? hr_py_interned_ref(py, value) : HR_PR_STRONG, HR_SURE_EXACT);
        hr_py_give(o, value, e + k.value_off, interned ? HR_PR_WEAK : HR_PR_STRONG, HR_SURE_EXACT);
    }
}

static void set_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    uint64_t table = hr_py_word(py->c, o->obj, HR_PY_SET_TABLE), n = hr_py_word(py->c, o->obj, HR_PY_SET_MASK) + 1;
    uint64_t key_off = py->minor < 0x0300 ? word : 0; /* 2.7: (hash, key); later (key, hash) */
    bool small = table == o->obj + (uint64_t)py->c->at[HR_PY_SET_SMALLTABLE];
    uint64_t left = small ? 8 * 2 * word : hr_py_block_left(py, table);
    if (!small)
        hr_py_give(o, table, o->obj + (uint64_t)py->c->at[HR_PY_SET_TABLE], HR_PR_PART, HR_SURE_EXACT);
    /* 2.7 counts what it has removed: a string that stands for it is the key then */
    uint64_t used = hr_py_word(py->c, o->obj, py->minor < 0x0300 ? HR_PY_SET_FILL : HR_PY_SET_USED), seen = 0;
    for (uint64_t i = 0; i < n && (i + 1) * 2 * word <= left && seen < used; i++) {
        uint64_t key = hr_py_word_at(py, table + i * 2 * word + key_off), hash = hr_py_word_at(py, table + i * 2 * word + (word - key_off));
        /* a removed entry's key is a static dummy object; its hash is -1 from 3.6 on */
        if (!key || (py->minor >= 0x0300 && hash == (word == 8 ? UINT64_MAX : UINT32_MAX)))
            continue;
        seen++;
        hr_py_give(o, key, UINT64_MAX, HR_PR_STRONG, HR_SURE_EXACT);
    }
}

static void list_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    uint64_t items = hr_py_word(py->c, o->obj, HR_PY_LIST_ITEMS), n = hr_py_word(py->c, o->obj, HR_PY_OB_SIZE), left = hr_py_block_left(py, items);
    hr_py_give(o, items, o->obj + (uint64_t)py->c->at[HR_PY_LIST_ITEMS], HR_PR_PART, HR_SURE_EXACT);
    hr_py_give_array(o, items, hr_min(n, left / py->img->word), HR_SURE_EXACT);
}

/* ---- frames ---- */
int64_t hr_py_iframe_top(const struct hr_py *py, uint64_t frame)
{
    if (hr_py_has(py->c, HR_PY_IFRAME_STACKTOP))
        return (int32_t)hr_py_uint(py->c, frame, HR_PY_IFRAME_STACKTOP, 4);
    uint64_t top = hr_py_word(py->c, frame, HR_PY_IFRAME_STACKPOINTER), plus = frame + (uint64_t)py->c->at[HR_PY_IFRAME_LOCALSPLUS];
    return top >= plus && top - plus < 1ull << 30 ? (int64_t)((top - plus) / py->img->word) : -1;
}

/* 3.14: a reference that is not counted is somebody else's. */
static void give_tagged(const struct hr_py_out *o, uint64_t at, enum hr_py_ref kind)
{
    uint64_t v = hr_py_word_at(o->py, at), object = hr_py_untag(o->py, v);
    if (object)
        hr_py_give(o, object, at, o->py->minor >= 0x030e && v & 1 ? HR_PR_WEAK : kind, HR_SURE_EXACT);
}

/* Locals, cells and value stack of an interpreter frame (3.11 on), up to its stack top. */
static void interpreter_frame(const struct hr_py_out *o, uint64_t f)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    static const enum hr_py_fact strong[] = {HR_PY_IFRAME_CODE, HR_PY_IFRAME_FUNC, HR_PY_IFRAME_LOCALS, HR_PY_IFRAME_FRAME_OBJ};
    for (size_t i = 0; i < sizeof strong / sizeof *strong; i++)
        if (hr_py_has(py->c, strong[i]))
            hr_py_give(o, hr_py_word(py->c, f, strong[i]), f + (uint64_t)py->c->at[strong[i]], HR_PR_STRONG, HR_SURE_EXACT);
    uint64_t code = hr_py_word(py->c, f, HR_PY_IFRAME_CODE), plus = f + (uint64_t)py->c->at[HR_PY_IFRAME_LOCALSPLUS];
    int64_t top = hr_py_iframe_top(py, f);
    uint64_t most = hr_py_uint(py->c, code, HR_PY_CODE_NLOCALSPLUS, 4) + hr_py_uint(py->c, code, HR_PY_CODE_STACKSIZE, 4);
    uint64_t n = top >= 0 ? (uint64_t)top : hr_py_uint(py->c, code, HR_PY_CODE_NLOCALSPLUS, 4); /* -1: it is running */
    uint64_t left = hr_py_block_left(py, plus);
    if (n > most)
        n = most;
    if (left && n > left / word)
        n = left / word;
    for (uint64_t i = 0; i < n; i++) /* running: counted, but its traversal stops at the stack's top, which is not kept */
        give_tagged(o, plus + i * word, top < 0 ? HR_PR_UNVISITED : HR_PR_STRONG);
}

void hr_py_iframe_refs(struct hr_py *py, uint64_t frame, hr_py_ref_fn *fn, void *ctx)
{
    interpreter_frame(&(struct hr_py_out){py, fn, ctx, frame, 0, 0}, frame);
}

static void frame_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    if (py->minor >= 0x030b) {
        uint64_t f = hr_py_word(py->c, o->obj, HR_PY_FRAME_IFRAME), left = hr_py_block_left(py, o->obj);
        hr_py_give(o, hr_py_word(py->c, o->obj, HR_PY_FRAME_BACK), o->obj + (uint64_t)py->c->at[HR_PY_FRAME_BACK], HR_PR_STRONG, HR_SURE_EXACT);
        uint64_t iframe = o->obj + (uint64_t)py->c->at[HR_PY_FRAME_IFRAME]; /* behind it: f_trace, flags, extra locals */
        hr_py_scan_words(o, iframe + word, hr_py_frame_end(py, o->obj), (const uint64_t[2]){0, 0});
        if (f > o->obj && f < o->obj + left) /* it owns its data: the function has returned */
            interpreter_frame(o, f);
        return;
    }
    uint64_t plus = o->obj + (uint64_t)py->c->at[HR_PY_FRAME_LOCALSPLUS], stack = hr_py_word(py->c, o->obj, HR_PY_FRAME_VALUESTACK);
    uint64_t none[2] = {0, 0}, back = o->obj + (uint64_t)py->c->at[HR_PY_FRAME_BACK];
    /* f_back, code, builtins, globals, locals; then valuestack, stacktop, trace and what saves exceptions */
    hr_py_scan_words(o, back, o->obj + (uint64_t)py->c->at[HR_PY_FRAME_VALUESTACK], none);
    uint64_t mid = o->obj + (uint64_t)py->c->at[HR_PY_FRAME_VALUESTACK] + word, end = o->obj + (uint64_t)py->c->at[HR_PY_FRAME_LASTI];
    uint64_t gen = hr_py_has(py->c, HR_PY_FRAME_GEN) ? o->obj + (uint64_t)py->c->at[HR_PY_FRAME_GEN] : 0; /* borrowed */
    hr_py_scan_words(o, mid, end, (const uint64_t[2]){gen, 0});
    uint64_t left = hr_py_block_left(py, plus), n = stack > plus && stack - plus <= left ? (stack - plus) / word : 0, depth = 0;
    if (hr_py_has(py->c, HR_PY_FRAME_STACKDEPTH)) {
        int64_t d = (int32_t)hr_py_uint(py->c, o->obj, HR_PY_FRAME_STACKDEPTH, 4);
        depth = d > 0 ? (uint64_t)d : 0;
    } else {
        uint64_t top = hr_py_word(py->c, o->obj, HR_PY_FRAME_STACKTOP);
        depth = top > stack ? (top - stack) / word : 0; /* NULL while it runs */
    }
    hr_py_give_array(o, plus, n, HR_SURE_EXACT);
    if (stack >= plus && stack - plus < left)
        hr_py_give_array(o, stack, hr_min(depth, (left - (stack - plus)) / word), HR_SURE_EXACT);
}

static void generator_refs(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py *py = o->py;
    uint64_t weak = t->weaklistoffset > 0 ? o->obj + (uint64_t)t->weaklistoffset : 0;
    uint64_t first = o->obj + (uint64_t)py->c->at[HR_PYS_OBJECT];
    if (py->minor < 0x030b) {
        uint64_t running = o->obj + (uint64_t)py->c->at[HR_PY_GEN_FRAME] + py->img->word; /* a char before gi_code: the rest of its word is never set */
        bool has_running = py->c->at[HR_PY_GEN_CODE] == py->c->at[HR_PY_GEN_FRAME] + 2 * (int32_t)py->img->word;
        hr_py_scan_words(o, first, o->obj + t->basicsize, (const uint64_t[2]){weak, has_running ? running : 0});
        return;
    }
    uint64_t frame = o->obj + (uint64_t)py->c->at[HR_PY_GEN_IFRAME];
    /* where a coroutine came from, or an asynchronous generator's finalizer; a plain generator never sets it */
    uint64_t origin = strcmp(hr_strs_get(py->img->strs, t->name), "generator") ? 0 : frame - 2 * py->img->word;
    hr_py_scan_words(o, first, frame, (const uint64_t[2]){weak, origin});
    int8_t state = (int8_t)hr_py_uint(py->c, o->obj, HR_PY_GEN_FRAME_STATE, 1);
    if (state < 4) /* FRAME_CLEARED */
        interpreter_frame(o, frame);
    else if (py->minor >= 0x030c) /* which leaves the code to the generator's end, and out of sight */
        hr_py_give(o, hr_py_word(py->c, frame, HR_PY_IFRAME_CODE), frame + (uint64_t)py->c->at[HR_PY_IFRAME_CODE], HR_PR_UNVISITED, HR_SURE_EXACT);
}

/* A deque's blocks: 64 items between the links to both neighbours; 2.7 has no ob_size, 62 items, and the links behind them. */
static void deque_refs(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    bool two = py->minor < 0x0300;
    uint64_t items = two ? 62 : 64, n, word = py->img->word;
    uint64_t head = o->obj + (uint64_t)py->c->at[two ? HR_PYS_OBJECT : HR_PYS_VAROBJECT];
    uint64_t block = hr_py_word_at(py, head), right = hr_py_word_at(py, head + word);
    uint64_t left_i = hr_py_word_at(py, head + 2 * word), right_i = hr_py_word_at(py, head + 3 * word);
    n = two ? hr_py_word_at(py, head + 4 * word) : hr_py_word(py->c, o->obj, HR_PY_OB_SIZE);
    if (left_i >= items || right_i >= items || n > 1ull << 40)
        return;
    for (uint64_t i = 0, seen = 0, before = 0; block && i < MAX_DEQUE_BLOCKS && seen <= n + items; i++) {
        uint64_t from = i ? 0 : left_i, to = block == right ? right_i + 1 : items;
        uint64_t left_link = hr_py_word_at(py, block + (two ? items + 1 : 0) * word);
        if (hr_py_block_left(py, block) < (items + 2u) * word || (i && left_link != before))
            return; /* a block has one left neighbour: no chain is walked twice */
        before = block;
        hr_py_give(o, block, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
        if (n > seen && to > from)
            hr_py_give_array(o, block + (two ? 0 : word) + from * word, hr_min(to - from, n - seen), HR_SURE_EXACT);
        seen += to > from ? to - from : 0;
        if (block == right)
            return;
        block = hr_py_word_at(py, block + (two ? items : items + 1) * word);
    }
}

static void str_parts(const struct hr_py_out *o)
{
    struct hr_py *py = o->py;
    uint64_t state = hr_py_uint(py->c, o->obj, HR_PY_UNICODE_STATE, 4) >> (py->minor >= 0x030f ? 16 : 2);
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (hr_py_has(py->c, HR_PY_UNICODE_WSTR))
        hr_py_give(o, hr_py_word(py->c, o->obj, HR_PY_UNICODE_WSTR), o->obj + (uint64_t)py->c->at[HR_PY_UNICODE_WSTR], HR_PR_PART, HR_SURE_EXACT);
    if (!(compact && ascii))
        hr_py_give(o, hr_py_word(py->c, o->obj, HR_PY_UNICODE_UTF8), o->obj + (uint64_t)py->c->at[HR_PY_UNICODE_UTF8], HR_PR_PART, HR_SURE_EXACT);
    if (!compact)
        hr_py_give(o, hr_py_word(py->c, o->obj, HR_PY_UNICODE_DATA), o->obj + (uint64_t)py->c->at[HR_PY_UNICODE_DATA], HR_PR_PART, HR_SURE_EXACT);
}

/* ---- instances ---- */
static uint64_t inline_values_count(const struct hr_py *py, const struct hr_py_type *t)
{
    uint64_t keys = hr_py_word(py->c, t->addr, HR_PY_HT_CACHED_KEYS);
    return keys ? hr_py_word(py->c, keys, HR_PY_KEYS_NENTRIES) : 0;
}

static void managed_dict(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py *py = o->py;
    unsigned word = py->img->word;
    uint64_t n = hr_min(inline_values_count(py, t), 1 << 16);
    if (py->minor == 0x030b) {
        uint64_t values = hr_py_word_at(py, o->obj - 4 * word), dict = hr_py_word_at(py, o->obj - 3 * word);
        hr_py_give(o, dict, UINT64_MAX, HR_PR_STRONG, HR_SURE_EXACT);
        if (values) {
            uint64_t into = 0;
            hr_id block = hr_py_block_at(py, values, &into);
            if (block != HR_NONE) {
                hr_py_give(o, values - into, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
                hr_py_give_array(o, values, hr_min(n, hr_py_block_left(py, values) / word), HR_SURE_EXACT);
            }
        }
    } else if (py->minor == 0x030c) {
        uint64_t v = hr_py_word_at(py, o->obj - 3 * word);
        if (v & 1) {
            uint64_t into = 0;
            v++; /* one less than the address is stored */
            hr_id block = hr_py_block_at(py, v, &into);
            if (block != HR_NONE) {
                hr_py_give(o, v - into, UINT64_MAX, HR_PR_PART, HR_SURE_EXACT);
                hr_py_give_array(o, v, hr_min(n, hr_py_block_left(py, v) / word), HR_SURE_EXACT);
            }
        } else {
            hr_py_give(o, v, UINT64_MAX, HR_PR_STRONG, HR_SURE_EXACT);
        }
    } else {
        uint64_t dict = hr_py_word_at(py, o->obj - 3 * word), values = o->obj + t->basicsize;
        bool valid = t->flags & HR_PYF_INLINE_VALUES && hr_py_uint(py->c, values, HR_PY_VALUES_VALID, 1) == 1;
        /* PyObject_VisitManagedDict() returns after the values: a dict that shares them is left out */
        hr_py_give(o, dict, UINT64_MAX, valid ? HR_PR_UNVISITED : HR_PR_STRONG, HR_SURE_EXACT);
        if (valid) {
            uint64_t cap = hr_py_uint(py->c, values, HR_PY_VALUES_CAPACITY, 1);
            hr_py_give_array(o, values + (uint64_t)py->c->at[HR_PY_VALUES_VALUES], hr_min(cap, hr_py_block_left(py, values) / word), HR_SURE_EXACT);
        }
    }
}

/* The dict pointer of variable-size instances counts from their end (negative offset, up to 3.11). */
uint64_t hr_py_dict_slot(const struct hr_py *py, uint64_t obj, const struct hr_py_type *t)
{
    if (t->dictoffset > 0)
        return obj + (uint64_t)t->dictoffset;
    if (!t->dictoffset || t->flags & HR_PYF_MANAGED_DICT)
        return 0;
    uint64_t n = hr_py_word(py->c, obj, HR_PY_OB_SIZE), word = py->img->word;
    int64_t items = word == 4 ? (int32_t)n : (int64_t)n;
    if (t->kind == HR_PK_INT && hr_py_has(py->c, HR_PY_LONG_TAG))
        items = (int64_t)(n >> 3);
    if (items > 1 << 28 || items < -(1 << 28))
        return 0;
    items = items < 0 ? -items : items;
    uint64_t size = (t->basicsize + (uint64_t)items * t->itemsize + word - 1) & ~(word - 1);
    return obj + size + (uint64_t)t->dictoffset;
}

/* The part of an instance that its kind explains; what lies behind up to basicsize are slots and C fields. */
uint64_t hr_py_fixed_by_kind(const struct hr_py *py, const struct hr_py_type *t)
{
    const int32_t *at = py->c->at;
    switch (t->kind) {
    case HR_PK_LIST: return (uint64_t)at[HR_PY_LIST_ALLOCATED] + py->img->word;
    case HR_PK_DICT: return (uint64_t)at[HR_PYS_DICT];
    case HR_PK_SET: return (uint64_t)at[HR_PY_SET_WEAKREFS] + py->img->word;
    case HR_PK_TUPLE: return t->basicsize;
    case HR_PK_STR: return (uint64_t)at[HR_PYS_UNICODE];
    case HR_PK_INT: case HR_PK_BYTES: return t->basicsize;
    case HR_PK_FLOAT: case HR_PK_INT2: return (uint64_t)at[HR_PY_FLOAT_VALUE] + 8;
    case HR_PK_COMPLEX: return (uint64_t)at[HR_PY_COMPLEX_VALUE] + 16;
    case HR_PK_BYTEARRAY: return (uint64_t)(hr_py_has(py->c, HR_PY_BYTEARRAY_EXPORTS) ? at[HR_PYS_VAROBJECT] : 0) + 4 * py->img->word;
    case HR_PK_FRAME: case HR_PK_GENERATOR: case HR_PK_NONE: return t->basicsize;
    case HR_PK_TYPE: return (uint64_t)at[HR_PYS_HEAPTYPE];
    case HR_PK_WEAKREF: return (uint64_t)at[HR_PY_WEAKREF_CALLBACK] + 4 * py->img->word;
    case HR_PK_DEQUE: return (uint64_t)at[py->minor < 0x0300 ? HR_PYS_OBJECT : HR_PYS_VAROBJECT] + 4 * py->img->word;
    case HR_PK_ODICT: return (uint64_t)at[HR_PYS_DICT] + 6 * py->img->word; /* first, last, table, its size, keys, state */
    case HR_PK_DTYPE: /* NumPy 2's classes of old add four words to the root's, which hr_py_dtype_refs() knows */
        return t->basicsize == t->known + 4 * py->img->word ? t->basicsize : hr_min(t->known, t->basicsize);
    case HR_PK_NDARRAY: case HR_PK_NPSCALAR: case HR_PK_NPVOID: case HR_PK_MMAP: case HR_PK_ARRAY:
    case HR_PK_MANAGED_BUFFER: return hr_min(t->known, t->basicsize);
    case HR_PK_MEMORYVIEW: return py->minor < 0x0300 ? (uint64_t)at[HR_PYS_OBJECT] : t->basicsize;
    default: return (uint64_t)at[HR_PYS_OBJECT];
    }
}

void hr_py_kind_refs(const struct hr_py_out *o, const struct hr_py_type *t)
{
    struct hr_py *py = o->py;
    uint64_t addr = o->obj;
    switch (t->kind) {
    case HR_PK_LIST: list_refs(o); break;
    case HR_PK_TUPLE: {
        uint64_t n = hr_py_word(py->c, addr, HR_PY_OB_SIZE), items = addr + (uint64_t)py->c->at[HR_PY_TUPLE_ITEMS], left = hr_py_block_left(py, items);
        hr_py_give_array(o, items, left ? hr_min(n, left / py->img->word) : hr_min(n, 4096), HR_SURE_EXACT);
        break;
    }
    case HR_PK_ODICT: case HR_PK_DICT: dict_refs(o); break;
    case HR_PK_SET: set_refs(o); break;
    case HR_PK_FRAME: frame_refs(o); break;
    case HR_PK_GENERATOR: generator_refs(o, t); break;
    case HR_PK_DEQUE: deque_refs(o); break;
    case HR_PK_WEAKREF:
        hr_py_give(o, hr_py_word(py->c, addr, HR_PY_WEAKREF_OBJECT), addr + (uint64_t)py->c->at[HR_PY_WEAKREF_OBJECT], HR_PR_WEAK, HR_SURE_EXACT);
        hr_py_give(o, hr_py_word(py->c, addr, HR_PY_WEAKREF_CALLBACK), addr + (uint64_t)py->c->at[HR_PY_WEAKREF_CALLBACK], HR_PR_STRONG, HR_SURE_EXACT);
        break;
    case HR_PK_STR: /* the UTF-8 and wchar_t forms, and the data of strings made the old way, where they are blocks */
        if (py->minor < 0x0300)
            hr_py_give(o, hr_py_word(py->c, addr, HR_PY_UNICODE2_STR), addr + (uint64_t)py->c->at[HR_PY_UNICODE2_STR], HR_PR_PART, HR_SURE_EXACT);
        else
            str_parts(o);
        break;
    case HR_PK_BYTEARRAY:
        hr_py_give(o, hr_py_word(py->c, addr, HR_PY_BYTEARRAY_BYTES), addr + (uint64_t)py->c->at[HR_PY_BYTEARRAY_BYTES], HR_PR_PART, HR_SURE_EXACT);
        break;
    case HR_PK_NDARRAY: hr_py_ndarray_refs(o, t); break;
    case HR_PK_DTYPE: hr_py_dtype_refs(o); break;
    case HR_PK_NPVOID: hr_py_void_refs(o); break;
    case HR_PK_ARRAY: case HR_PK_MEMORYVIEW: case HR_PK_MANAGED_BUFFER: case HR_PK_CDATA: hr_py_buffer_refs(o, t); break;
    case HR_PK_TYPE: hr_py_type_refs(o, addr); break;
    default: break;
    }
}

void hr_py_refs(struct hr_py *py, uint64_t addr, const struct hr_py_type *t, hr_py_ref_fn *fn, void *ctx)
{
    struct hr_py_out o = {py, fn, ctx, addr, t->borrowed, t->unvisited, NULL};
    uint64_t weak = t->weaklistoffset > 0 && !(t->flags & HR_PYF_MANAGED_WEAKREF) ? addr + (uint64_t)t->weaklistoffset : 0;
    uint64_t dict = hr_py_dict_slot(py, addr, t);
    hr_py_give(&o, t->addr, addr + (uint64_t)py->c->at[HR_PY_OB_TYPE], HR_PR_TYPE, HR_SURE_EXACT);
    if (t->plan != HR_NONE && hr_py_plan_refs(&o, t))
        return;
    uint64_t end = addr + t->basicsize, left = hr_py_block_left(py, addr);
    if (left && end > addr + left)
        end = addr + left;
    if (t->kind == HR_PK_TYPE) {
        hr_py_type_refs(&o, end);
        return;
    }
    hr_py_kind_refs(&o, t);
    if (t->itemsize == py->img->word && t->kind == HR_PK_OBJECT) { /* C types that end in an array of references */
        uint64_t n = hr_py_word(py->c, addr, HR_PY_OB_SIZE);
        if (left && n < left / py->img->word)
            end = hr_min(addr + left, end + n * py->img->word);
    }
    hr_py_scan_words(&o, addr + hr_py_fixed_by_kind(py, t), end, (const uint64_t[2]){weak, dict});
    hr_py_extension_refs(&o, t);
    if (dict)
        hr_py_give(&o, hr_py_word_at(py, dict), dict, HR_PR_STRONG, HR_SURE_EXACT);
    if (t->flags & HR_PYF_MANAGED_DICT)
        managed_dict(&o, t);
}
