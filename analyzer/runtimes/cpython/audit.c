/* Counting what is found, and comparing it with what is stored. Two passes: one over all references with a counter per object; and where
 * counts differ, another that notes who refers to those few objects. */
#include "analyzer/runtimes/cpython/audit.h"

#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/scan.h"
#include "analyzer/runtimes/cpython/values.h"

enum { MANY = 255, MAX_REPORTED = 1 << 24 };

const char *hr_py_finder_name(unsigned finder)
{
    static const char *const names[] = {"objects", "frames", "c_fields", "statics", "c_stacks", "c_memory"};
    return finder < HR_PF_COUNT ? names[finder] : "?";
}

const char *hr_py_skip_name(unsigned why)
{
    static const char *const names[] = {"immortal", "static", "fragment", "made_once", "memory_missing", "too_many_possible"};
    return why < HR_PS_COUNT ? names[why] : "?";
}

/* ---- counting ---- */
static void count(void *ctx, uint32_t i, enum hr_py_finder who, uint64_t holder)
{
    struct hr_py_audit *a = ctx;
    (void)holder;
    if (who == HR_PF_OBJECT || who == HR_PF_FRAME)
        a->sure[i]++;
    else if (who == HR_PF_STACK)
        a->on_stack[i] += a->on_stack[i] < MANY;
    else
        a->possible[i] += a->possible[i] < MANY;
}

uint64_t hr_py_found(struct hr_py *py, const struct hr_py_audit *a, uint64_t addr)
{
    uint32_t i = hr_py_scan_index(py, a->number.n ? &a->numbers : NULL, addr);
    if (i == HR_NONE || hr_py_immortal(py, addr))
        return UINT64_MAX;
    int64_t missing = hr_py_refcount(py, addr) - (int64_t)a->sure[i];
    uint64_t possible = a->possible[i] + (missing > a->possible[i] + a->on_stack[i] ? 0u : a->on_stack[i]);
    return a->sure[i] + (missing > 0 ? hr_min((uint64_t)missing, possible) : 0);
}

/* ---- deciding ---- */
/* Does the content fit an object of this type in this block? What nothing refers to may be a text in a block that once held one. */
static bool whole(struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    uint64_t left = hr_py_block_left(py, addr), word = py->img->word, n = hr_py_word(py->c, addr, HR_PY_OB_SIZE), digits;
    struct hr_py_text_place p;
    struct hr_py_keys k;
    if (t->flags & HR_PYF_GC && hr_py_is_tracked(py, addr) && !hr_py_is_linked(py, addr))
        return false;
    switch (t->kind) {
    case HR_PK_STR:
        return hr_py_text_place(py, addr, &p) && (p.data < addr || p.data - addr > left || p.length <= (left - (p.data - addr)) / p.width);
    case HR_PK_BYTES: return n <= left;
    case HR_PK_TUPLE: return n <= left / word;
    case HR_PK_INT:
        hr_py_int_digits(py, addr, &digits);
        return digits <= left / 4;
    case HR_PK_LIST: return !n || n <= hr_py_block_left(py, hr_py_word(py->c, addr, HR_PY_LIST_ITEMS)) / word;
    case HR_PK_DICT: return py->minor < 0x0300 || hr_py_read_keys(py, hr_py_word(py->c, addr, HR_PY_DICT_KEYS), &k);
    default: return true;
    }
}

/* Up to 3.11, what is interned for ever has a reference of its own (SSTATE_INTERNED_IMMORTAL). */
static bool kept_for_ever(const struct hr_py *py, uint64_t addr, const struct hr_py_type *t)
{
    enum { INTERNED = 3, IMMORTAL = 2 };
    if (py->minor < 0x0300)
        return t->kind == HR_PK_BYTES && hr_py_uint(py->c, addr, HR_PY_BYTES_STATE, 4) == IMMORTAL;
    return py->minor < 0x030c && t->kind == HR_PK_STR && (hr_py_uint(py->c, addr, HR_PY_UNICODE_STATE, 4) & INTERNED) == IMMORTAL;
}

static enum hr_status one(struct hr_py *py, struct hr_py_audit *a, uint32_t i, uint64_t addr, uint32_t type)
{
    if (hr_py_immortal(py, addr)) {
        a->skipped[HR_PS_IMMORTAL]++;
        return HR_OK;
    }
    struct hr_py_count c = {.addr = addr, .index = i, .type = type, .refcount = hr_py_refcount(py, addr)};
    a->sure[i] += kept_for_ever(py, addr, hr_py_type(py, type));
    int64_t missing = c.refcount - (int64_t)a->sure[i];
    if (missing < 0) {
        c.difference = missing;
        a->audited++;
        return hr_pycountvec_push(&a->deficit, c);
    }
    if (missing > 0 && (a->possible[i] == MANY || a->on_stack[i] == MANY)) {
        a->skipped[HR_PS_MANY]++;
        return HR_OK;
    }
    if (missing > a->possible[i] + a->on_stack[i]) {
        if (!a->sure[i] && !a->possible[i] && !a->on_stack[i] && !whole(py, addr, hr_py_type(py, type))) {
            a->skipped[HR_PS_FRAGMENT]++;
            if (i < py->heap->n)
                py->object[i] = HR_NONE; /* what it leads to, it does not hold */
            return HR_OK;
        }
        if (!py->heap->roots_complete || !py->img->threads.n) {
            a->skipped[HR_PS_MISSING]++;
            return HR_OK;
        }
        c.difference = missing - a->possible[i]; /* leaked for sure: what stacks hold is borrowed or left over rather than one's own */
        c.least = c.difference - a->on_stack[i];
        a->audited++;
        return hr_pycountvec_push(&a->surplus, c);
    }
    a->explained_by_possible += missing > 0;
    a->audited++;
    return HR_OK;
}

static enum hr_status decide(struct hr_py *py, struct hr_py_audit *a)
{
    enum hr_status st = HR_OK;
    struct hr_block_iter it = hr_block_iter(py->heap, 0);
    while (it.id < py->heap->n && st == HR_OK) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        uint32_t t = py->object[id];
        if (t != HR_NONE)
            st = one(py, a, id, addr + hr_py_guard(py, id) + hr_py_type(py, t)->pre, t);
    }
    for (size_t i = 0; i < a->number.n && st == HR_OK; i++) {
        uint64_t addr = a->number.v[i];
        uint32_t t = hr_py_object_type(py, addr);
        if (t != HR_NONE)
            st = one(py, a, py->heap->n + (uint32_t)i, addr, t);
    }
    return st == HR_LIMIT ? HR_OK : st; /* a damaged image: what was found is enough */
}

/* ---- who refers to what is reported ---- */
struct naming {
    struct hr_map at;          /* index -> place in surplus, or behind them in deficit */
    struct hr_map c_dicts;
    struct hr_py_audit *a;
};

static struct hr_py_count *reported(struct naming *n, uint32_t index)
{
    uint32_t i = hr_map_get(&n->at, index);
    if (i == HR_NONE)
        return NULL;
    return i < n->a->surplus.n ? &n->a->surplus.v[i] : &n->a->deficit.v[i - n->a->surplus.n];
}

static void note_holder(void *ctx, uint32_t index, enum hr_py_finder who, uint64_t holder)
{
    struct naming *n = ctx;
    struct hr_py_count *c = reported(n, index);
    if (!c)
        return;
    c->in_c_dict |= who == HR_PF_OBJECT && hr_map_get(&n->c_dicts, holder) != HR_NONE;
    c->by[who]++;
    if (c->nholders < HR_PY_HOLDERS)
        c->holder[c->nholders++] = (struct hr_py_holder){holder, (uint8_t)who};
}

static enum hr_status pass(struct hr_py *py, struct hr_py_audit *a, hr_py_found_fn *fn, void *ctx)
{
    struct hr_py_scan s = {.py = py, .fn = fn, .ctx = ctx, .numbers = a->number.n ? &a->numbers : NULL};
    return hr_py_scan(&s);
}

static enum hr_status name_holders(struct hr_py *py, struct hr_py_audit *a)
{
    struct naming n = {.a = a};
    enum hr_status st = HR_OK;
    hr_map_init(&n.at, 2 * (size_t)MAX_REPORTED);
    hr_map_init(&n.c_dicts, MAX_REPORTED);
    if (a->surplus.n)
        st = hr_py_c_dicts(py, &n.c_dicts);
    for (size_t i = 0; i < a->surplus.n && st == HR_OK; i++)
        st = hr_map_put(&n.at, a->surplus.v[i].index, (uint32_t)i);
    for (size_t i = 0; i < a->deficit.n && st == HR_OK; i++)
        st = hr_map_put(&n.at, a->deficit.v[i].index, (uint32_t)(a->surplus.n + i));
    if (st == HR_OK && n.at.n)
        st = pass(py, a, note_holder, &n);
    hr_map_deinit(&n.at);
    hr_map_deinit(&n.c_dicts);
    for (size_t i = 0; i < a->surplus.n; i++)
        a->surplus.v[i].found = (uint64_t)(a->surplus.v[i].refcount - a->surplus.v[i].difference);
    for (size_t i = 0; i < a->deficit.n; i++)
        a->deficit.v[i].found = (uint64_t)(a->deficit.v[i].refcount - a->deficit.v[i].difference);
    return st;
}

static void start_again(struct hr_py_audit *a, size_t n)
{
    uint64_t fragments = a->skipped[HR_PS_FRAGMENT];
    memset(a->sure, 0, n * sizeof *a->sure);
    memset(a->possible, 0, n);
    memset(a->on_stack, 0, n);
    memset(a->skipped, 0, sizeof a->skipped);
    a->skipped[HR_PS_FRAGMENT] = fragments;
    a->surplus.n = a->deficit.n = 0;
    a->audited = a->explained_by_possible = 0;
}

static enum hr_status audit(struct hr_py *py, struct hr_py_audit *a)
{
    HR_TRY(hr_py_find_numbers(py, py->heap->n, &a->numbers, &a->number));
    size_t n = (size_t)py->heap->n + a->number.n + 1;
    a->sure = hr_zalloc(n, sizeof *a->sure);
    a->possible = hr_zalloc(n, 1);
    a->on_stack = hr_zalloc(n, 1);
    if (!a->sure || !a->possible || !a->on_stack)
        return HR_NOMEM;
    for (uint64_t before = 0, times = 0;; times++) { /* again, while fragments turn out to be no objects */
        HR_TRY(pass(py, a, count, a));
        HR_TRY(decide(py, a));
        if (a->skipped[HR_PS_FRAGMENT] == before || times == 3)
            break;
        before = a->skipped[HR_PS_FRAGMENT];
        start_again(a, n);
    }
    if (!py->img->threads.n && a->surplus.n)
        hr_note(py->in.notes, HR_NOTE_DEGRADED, "python.no_c_stack",
                "the image has no C stacks: references that running C code holds are in no count here, so a reference too many may be one of those");
    HR_TRY(name_holders(py, a));
    return hr_py_audit_own(py, a);
}

enum hr_status hr_py_audit(struct hr_py *py, const struct hr_py_audit **ret)
{
    if (!py->audit) {
        struct hr_py_audit *a = hr_zalloc(1, sizeof *a);
        if (!a)
            return HR_NOMEM;
        a->surplus.max = a->deficit.max = MAX_REPORTED;
        hr_map_init(&a->numbers, 1u << 30);
        enum hr_status st = audit(py, a);
        if (st != HR_OK) {
            hr_py_audit_free(a);
            return st;
        }
        py->audit = a;
    }
    *ret = py->audit;
    return HR_OK;
}

void hr_py_audit_free(struct hr_py_audit *a)
{
    if (!a)
        return;
    hr_free(a->sure);
    hr_free(a->possible);
    hr_free(a->on_stack);
    hr_map_deinit(&a->numbers);
    hr_u64vec_deinit(&a->number);
    hr_pycountvec_deinit(&a->surplus);
    hr_pycountvec_deinit(&a->deficit);
    hr_free(a);
}
