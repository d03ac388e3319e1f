/* The tables rules may ask, each a thin view over what the session has computed. */
#include "analyzer/model.h"
#include "analyzer/model_get.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/finding/finding.h"
#include "analyzer/runtimes/cpython/waste.h"
#include "analyzer/runtimes/micropython/mp.h"

/* Answers live in these buffers until the next question to the same attribute (one session, one thread). */
#define ANSWER_TEXT(ret_, n_, ...)                                                                                     \
    do {                                                                                                               \
        static _Thread_local char text_[n_];                                                                           \
        snprintf(text_, sizeof text_, __VA_ARGS__);                                                                    \
        (ret_)->kind = HR_V_STR;                                                                                       \
        (ret_)->s = text_;                                                                                             \
        (ret_)->n = strlen(text_);                                                                                     \
    } while (0)

static void type_value(struct hr_session *s, hr_type t, hr_id node, struct hr_value *ret)
{
    static _Thread_local char buf[1024];
    if (t)
        hr_type_name(s->types, t, buf, sizeof buf);
    else
        hr_describe_type(s, node, buf, sizeof buf);
    ret->kind = HR_V_TYPE;
    ret->type = t;
    ret->s = buf;
    ret->n = strlen(buf);
}

static bool node_subject(struct hr_session *s, hr_id id, uint64_t *addr_ret, char *buf, size_t cap)
{
    *addr_ret = hr_node_addr(s->heap, id);
    hr_describe_type(s, id, buf, cap);
    return true;
}

/* ---- objects: blocks in use ---- */
static uint64_t objects_count(void *ctx) { return S->heap->n; }
GET(o_addr) { num(ret, hr_block_addr(S->heap, (hr_id)row)); }
GET(o_size) { num(ret, hr_block_size(S->heap, (hr_id)row)); }
GET(o_type)
{
    hr_type t = hr_node_type(S->heap, (hr_id)row);
    type_value(S, t, (hr_id)row, ret);
}
GET(o_state) { text(ret, hr_state_name(S->heap->state[row])); }
static uint8_t reach_of(struct hr_session *s, uint64_t row) { return s->heap->reach ? s->heap->reach[row] : HR_REACH_UNKNOWN; }
GET(o_reach)
{
    uint8_t r = reach_of(S, row);
    if (r == HR_REACH_UNKNOWN)
        ret->kind = HR_V_UNKNOWN;
    else
        text(ret, hr_reach_name(r));
}
GET(o_reachable)
{
    uint8_t r = reach_of(S, row);
    if (r == HR_REACH_UNKNOWN)
        ret->kind = HR_V_UNKNOWN;
    else
        boolean(ret, r == HR_REACHABLE);
}
GET(o_leaked) { boolean(ret, reach_of(S, row) >= HR_LEAKED_DIRECT); }
GET(o_interior_only) { boolean(ret, reach_of(S, row) == HR_REACH_INTERIOR); }
GET(o_arena) { text(ret, hr_strs_get(S->strs, S->heap->arenas.v[hr_block_arena(S->heap, (hr_id)row)].name)); }
GET(o_surety) { num(ret, S->heap->evidence ? hr_evidence_surety(S->heap->evidence[row]) : HR_SURE_CONSERVATIVE); }
GET(o_evidence) { text(ret, S->heap->evidence ? hr_evidence_name(S->heap->evidence[row]) : "none"); }
GET(o_retained)
{
    if (S->retained)
        num(ret, S->retained[row]);
    else
        ret->kind = HR_V_UNKNOWN;
}
GET(o_heaviest)
{
    known(ret, S->retained ? hr_session_heaviest(S, (hr_id)row) : HR_NONE64);
}
GET(o_held_by)
{
    char b[1024];
    hr_session_way(S, (hr_id)row, b, sizeof b);
    ANSWER_TEXT(ret, 1024, "%s", b);
}
GET(o_contents)
{
    char b[256];
    hr_describe_shape(S, (hr_id)row, b, sizeof b);
    ANSWER_TEXT(ret, 256, "%s", b);
}
GET(o_interpreter)
{
    struct hr_py *py = S->runtimes ? hr_runtimes_self(S->runtimes, "cpython") : NULL;
    struct hr_mp *mp = S->runtimes ? hr_runtimes_self(S->runtimes, "micropython") : NULL;
    boolean(ret, (py && (hr_map_get(&py->module_dicts, hr_py_addr(py, (hr_id)row)) != HR_NONE || hr_py_is_own_table(py, (hr_id)row))) ||
                 (mp && hr_mp_is_namespace(mp, (hr_id)row)));
}
GET(o_allocated_at) { hr_model_allocated_at(S, (hr_id)row, ret); }
static bool o_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return node_subject(S, (hr_id)row, addr, buf, cap);
}

/* A scalar member of the block's type, read from the image. */
static void node_field(struct hr_session *s, hr_id id, const char *name, struct hr_value *ret)
{
    ret->kind = HR_V_UNKNOWN;
    uint64_t off, v;
    hr_type t = hr_node_type(s->heap, id);
    const struct hr_field *f = t ? hr_type_field(s->types, t, name, &off) : NULL;
    if (!f)
        return;
    const struct hr_type_row *r = hr_type_get(s->types, hr_type_strip(s->types, f->type));
    if (!r->size || r->size > 8 || off + r->size > hr_node_size(s->heap, id) ||
        !hr_image_uint(&s->image, hr_node_addr(s->heap, id) + off, (unsigned)r->size, &v))
        return;
    bool is_signed = r->kind == HR_T_INT;
    if (f->flags & HR_FF_BITFIELD && f->bit_size && f->bit_size < 64) {
        v = v >> f->bit_off & ((1ull << f->bit_size) - 1);
        if (is_signed && v >> (f->bit_size - 1))
            v |= ~0ull << f->bit_size;
    } else if (is_signed && r->size < 8 && v >> (8 * r->size - 1)) {
        v |= ~0ull << 8 * r->size;
    }
    ret->is_float = 0;
    switch (r->kind) {
    case HR_T_FLOAT:
        if (r->size == 8) {
            ret->is_float = 1;
            memcpy(&ret->f, &v, 8);
        } else if (r->size == 4) {
            uint32_t w = (uint32_t)v;
            float f4;
            memcpy(&f4, &w, 4);
            ret->is_float = 1;
            ret->f = (double)f4;
        } else {
            return;
        }
        ret->kind = HR_V_NUM;
        break;
    case HR_T_BOOL:
        boolean(ret, v != 0);
        break;
    case HR_T_INT: case HR_T_UINT: case HR_T_CHAR: case HR_T_WCHAR: case HR_T_ENUM: case HR_T_PTR: case HR_T_REF:
        ret->kind = HR_V_NUM;
        ret->i = (int64_t)v;
    }
}
static void o_field(void *ctx, uint64_t row, const char *name, struct hr_value *ret) { node_field(S, (hr_id)row, name, ret); }

#define OBJ HR_COST_OBJECT
/* hr_reach_name() as a table: rules compare the column's bytes with the number of a word. */
static const char *const reach_words[] = {
    [HR_REACHABLE] = "reachable",         [HR_REACH_INTERIOR] = "interior", [HR_REACH_REGISTER] = "register",
    [HR_REACH_DEAD_STACK] = "dead_stack", [HR_REACH_CACHED] = "cached",     [HR_LEAKED_DIRECT] = "leaked_direct",
    [HR_LEAKED_INDIRECT] = "leaked_indirect", [HR_LEAKED_CYCLE] = "leaked_cycle",
};
static const struct hr_attr object_attrs[] = {
    {"addr", HR_V_NUM, OBJ, 0, "address of the block", o_addr, NULL, 0, NULL},
    {"size", HR_V_NUM, OBJ, 0, "usable bytes of the block", o_size, NULL, 0, NULL},
    {"type", HR_V_TYPE, HR_COST_TYPE, HR_NEED_TYPES, "its type", o_type, NULL, 0, NULL},
    {"state", HR_V_STR, OBJ, 0, "used, cached or free", o_state, NULL, 0, NULL},
    {"reach", HR_V_STR, OBJ, HR_NEED_REACH, "how it is reachable, or in which way it is leaked", o_reach, NULL, 1, NULL, reach_words,
     sizeof reach_words / sizeof *reach_words},
    {"reachable", HR_V_BOOL, OBJ, HR_NEED_REACH, "a root leads here through pointers at starts of blocks", o_reachable, NULL, 0, NULL},
    {"leaked", HR_V_BOOL, OBJ, HR_NEED_REACH, "nothing leads here", o_leaked, NULL, 0, NULL},
    {"interior_only", HR_V_BOOL, OBJ, HR_NEED_REACH, "only pointers into the middle, tagged or past the end lead here", o_interior_only, NULL, 0, NULL},
    {"arena", HR_V_STR, OBJ, 0, "name of its arena", o_arena, NULL, 0, NULL},
    {"surety", HR_V_NUM, OBJ, HR_NEED_TYPES, "surety of its type", o_surety, NULL, 0, NULL},
    {"evidence", HR_V_STR, OBJ, HR_NEED_TYPES, "how its type is known", o_evidence, NULL, 0, NULL},
    {"retained", HR_V_NUM, OBJ, HR_NEED_DOMINATORS, "bytes that would go if it went", o_retained, NULL, 0, NULL},
    {"heaviest", HR_V_NUM, OBJ, HR_NEED_DOMINATORS, "the most that one of the things it alone holds retains: near retained, that thing is the cause", o_heaviest, NULL, 0, NULL},
    {"held_by", HR_V_STR, OBJ, HR_NEED_REACH, "the way to it from a root, in a line", o_held_by, NULL, 0, NULL},
    {"contents", HR_V_STR, OBJ, 0, "a phrase on what its bytes look like", o_contents, NULL, 0, NULL},
    {"allocated_at", HR_V_STR, OBJ, 0, "file and line that allocated it, where tracemalloc ran", o_allocated_at, NULL, 0, NULL},
    {"interpreter", HR_V_BOOL, OBJ, 0, "a language's interpreter made it for itself: the namespace of a module, Python's table of interned strings, tracemalloc's tables", o_interpreter, NULL, 0, NULL},
};

/* ---- leaks: what one free() would give back ---- */
static const struct hr_leak *leak(void *ctx, uint64_t row) { return &S->leaks->list.v[row]; }
static uint64_t leaks_count(void *ctx) { return S->leaks->list.n; }
GET(l_kind) { text(ret, leak(ctx, row)->members > 1 || reach_of(S, leak(ctx, row)->head) == HR_LEAKED_CYCLE ? "cycle" : "direct"); }
GET(l_type) { type_value(S, hr_node_type(S->heap, leak(ctx, row)->head), leak(ctx, row)->head, ret); }
GET(l_types)
{
    const struct hr_leak *l = leak(ctx, row);
    static _Thread_local char b[1024];
    uint32_t head = l->head;
    if (l->members > 1 && l->member0 + l->members <= S->leaks->ring.n)
        text(ret, hr_ring_types(S, S->leaks->ring.v + l->member0, l->members, b, sizeof b));
    else
        text(ret, hr_ring_types(S, &head, 1, b, sizeof b));
}
GET(l_length) { num(ret, leak(ctx, row)->members); }
GET(l_blocks) { num(ret, leak(ctx, row)->blocks); }
GET(l_bytes) { num(ret, leak(ctx, row)->bytes); }
GET(l_own) { num(ret, hr_block_size(S->heap, leak(ctx, row)->head)); }
GET(l_addr) { num(ret, hr_block_addr(S->heap, leak(ctx, row)->head)); }
GET(l_contents)
{
    char b[256];
    hr_describe_shape(S, leak(ctx, row)->head, b, sizeof b);
    ANSWER_TEXT(ret, 256, "%s", b);
}
GET(l_arena) { text(ret, hr_strs_get(S->strs, S->heap->arenas.v[hr_block_arena(S->heap, leak(ctx, row)->head)].name)); }
/* That nothing leads here rests on every word of memory having been looked at, whatever its type. */
/* Of a collected heap the collector's own rule decides, and its references are known. */
GET(l_surety) { num(ret, S->heap->closed.nbits && hr_runtimes_claims(S->runtimes, leak(ctx, row)->head) ? HR_SURE_EXACT : HR_SURE_CONSERVATIVE); }
GET(l_runtime)
{
    if (!S->runtimes || !hr_runtimes_claims(S->runtimes, leak(ctx, row)->head))
        text(ret, "");
    else
        text(ret, hr_runtimes_self(S->runtimes, "micropython") ? "micropython" : "cpython");
}
GET(l_managed) { boolean(ret, S->runtimes && hr_runtimes_claims(S->runtimes, leak(ctx, row)->head)); }
GET(l_allocated_at) { hr_model_allocated_at(S, leak(ctx, row)->head, ret); }
static bool l_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return node_subject(S, leak(ctx, row)->head, addr, buf, cap);
}
static void l_field(void *ctx, uint64_t row, const char *name, struct hr_value *ret) { node_field(S, leak(ctx, row)->head, name, ret); }
static const struct hr_attr leak_attrs[] = {
    {"kind", HR_V_STR, OBJ, 0, "direct (nothing points at it) or cycle (a ring nothing else holds)", l_kind, NULL, 0, NULL},
    {"type", HR_V_TYPE, HR_COST_TYPE, 0, "type of the block to free", l_type, NULL, 0, NULL},
    {"types", HR_V_STR, OBJ, 0, "types around the ring", l_types, NULL, 0, NULL},
    {"length", HR_V_NUM, OBJ, 0, "blocks in the ring, 1 for a direct leak", l_length, NULL, 0, NULL},
    {"blocks", HR_V_NUM, OBJ, 0, "blocks it alone holds, itself included", l_blocks, NULL, 0, NULL},
    {"bytes", HR_V_NUM, OBJ, 0, "bytes it alone holds, itself included", l_bytes, NULL, 0, NULL},
    {"own_size", HR_V_NUM, OBJ, 0, "its own usable bytes", l_own, NULL, 0, NULL},
    {"addr", HR_V_NUM, OBJ, 0, "its address", l_addr, NULL, 0, NULL},
    {"runtime", HR_V_STR, OBJ, 0, "whose garbage it is: cpython, micropython; empty: no runtime's", l_runtime, NULL, 0, NULL},
    {"managed", HR_V_BOOL, OBJ, 0, "it belongs to a runtime with a garbage collector, which may free it yet", l_managed, NULL, 0, NULL},
    {"heaviest", HR_V_NUM, OBJ, HR_NEED_DOMINATORS, "the most that one of the things it alone holds retains: near retained, that thing is the cause", o_heaviest, NULL, 0, NULL},
    {"held_by", HR_V_STR, OBJ, HR_NEED_REACH, "the way to it from a root, in a line", o_held_by, NULL, 0, NULL},
    {"contents", HR_V_STR, OBJ, 0, "a phrase on what its bytes look like", l_contents, NULL, 0, NULL},
    {"arena", HR_V_STR, OBJ, 0, "name of its arena", l_arena, NULL, 0, NULL},
    {"surety", HR_V_NUM, OBJ, 0, "what the claim rests on", l_surety, NULL, 0, NULL},
    {"allocated_at", HR_V_STR, OBJ, 0, "file and line that allocated the block to free, where tracemalloc ran", l_allocated_at, NULL, 0, NULL},
};

/* ---- cycles: strongly connected groups of two blocks and more ---- */
static const struct hr_cycle *cycle(void *ctx, uint64_t row) { return &S->cycles.v[row]; }
static uint64_t cycles_count(void *ctx) { return S->cycles.n; }
GET(c_length) { num(ret, cycle(ctx, row)->members); }
GET(c_bytes) { num(ret, cycle(ctx, row)->bytes); }
GET(c_leaked) { boolean(ret, cycle(ctx, row)->leaked); }
GET(c_reachable) { boolean(ret, !cycle(ctx, row)->leaked); }
GET(c_types)
{
    const struct hr_cycle *c = cycle(ctx, row);
    static _Thread_local char b[1024];
    text(ret, hr_ring_types(S, S->cycle_members.v + c->member0, c->members, b, sizeof b));
}
GET(c_type)
{
    hr_id id = S->cycle_members.v[cycle(ctx, row)->member0];
    type_value(S, hr_node_type(S->heap, id), id, ret);
}
static bool c_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return node_subject(S, S->cycle_members.v[cycle(ctx, row)->member0], addr, buf, cap);
}
static const struct hr_attr cycle_attrs[] = {
    {"length", HR_V_NUM, OBJ, 0, "blocks in it", c_length, NULL, 0, NULL},
    {"bytes", HR_V_NUM, OBJ, 0, "bytes of its blocks", c_bytes, NULL, 0, NULL},
    {"leaked", HR_V_BOOL, OBJ, 0, "nothing outside holds it", c_leaked, NULL, 0, NULL},
    {"reachable", HR_V_BOOL, OBJ, 0, "something outside holds it", c_reachable, NULL, 0, NULL},
    {"types", HR_V_STR, OBJ, 0, "types in it", c_types, NULL, 0, NULL},
    {"shape", HR_V_STR, OBJ, 0, "the same, for grouping", c_types, NULL, 0, NULL},
    {"type", HR_V_TYPE, OBJ, 0, "type of its first block", c_type, NULL, 0, NULL},
};

/* ---- types ---- */
static const struct hr_typerow *hist(void *ctx, uint64_t row) { return &S->hist.v[row]; }
static uint64_t types_count(void *ctx) { return S->hist.n; }
GET(t_name)
{
    static _Thread_local char b[128];
    if (hist(ctx, row)->type)
        type_value(S, hist(ctx, row)->type, HR_NONE, ret);
    else
        text(ret, hr_hist_name(S, hist(ctx, row), b, sizeof b));
}
GET(t_typed) { boolean(ret, hist(ctx, row)->type != 0); }
GET(t_count) { num(ret, hist(ctx, row)->count); }
GET(t_bytes) { num(ret, hist(ctx, row)->bytes); }
GET(t_retained)
{
    if (S->retained)
        num(ret, hist(ctx, row)->retained);
    else
        ret->kind = HR_V_UNKNOWN;
}
GET(t_leaked_count) { num(ret, hist(ctx, row)->leaked_count); }
GET(t_leaked_bytes) { num(ret, hist(ctx, row)->leaked_bytes); }
GET(t_largest) { num(ret, hist(ctx, row)->largest); }
GET(t_evidence) { text(ret, hr_evidence_name(hist(ctx, row)->evidence)); }
GET(t_surety) { num(ret, hr_evidence_surety(hist(ctx, row)->evidence)); }
static bool t_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    return node_subject(S, hist(ctx, row)->largest_id, addr, buf, cap);
}
static const struct hr_attr type_attrs[] = {
    {"name", HR_V_TYPE, HR_COST_TYPE, 0, "name of the type", t_name, NULL, 0, NULL},
    {"typed", HR_V_BOOL, HR_COST_TYPE, 0, "false for the rows of untyped blocks", t_typed, NULL, 0, NULL},
    {"count", HR_V_NUM, HR_COST_TYPE, 0, "blocks in use of it", t_count, NULL, 0, NULL},
    {"bytes", HR_V_NUM, HR_COST_TYPE, 0, "their usable bytes", t_bytes, NULL, 0, NULL},
    {"retained", HR_V_NUM, HR_COST_TYPE, HR_NEED_DOMINATORS, "bytes that would go if all of them went", t_retained, NULL, 0, NULL},
    {"leaked_count", HR_V_NUM, HR_COST_TYPE, 0, "leaked blocks of it", t_leaked_count, NULL, 0, NULL},
    {"leaked_bytes", HR_V_NUM, HR_COST_TYPE, 0, "bytes of the leaked ones", t_leaked_bytes, NULL, 0, NULL},
    {"largest", HR_V_NUM, HR_COST_TYPE, 0, "bytes of the largest one", t_largest, NULL, 0, NULL},
    {"evidence", HR_V_STR, HR_COST_TYPE, 0, "the weakest evidence among its blocks", t_evidence, NULL, 0, NULL},
    {"surety", HR_V_NUM, HR_COST_TYPE, 0, "the surety of that", t_surety, NULL, 0, NULL},
};

/* ---- arenas ---- */
static const struct hr_arena *arena(void *ctx, uint64_t row) { return &S->heap->arenas.v[row]; }
static const struct hr_frag_arena *farena(void *ctx, uint64_t row) { return &S->frag->arenas.v[row]; }
static uint64_t arenas_count(void *ctx) { return S->heap->arenas.n; }
GET(a_name) { text(ret, hr_strs_get(S->strs, arena(ctx, row)->name)); }
GET(a_allocator) { text(ret, S->heap->allocators.v[arena(ctx, row)->allocator].name); }
GET(a_mapped) { num(ret, arena(ctx, row)->mapped); }
GET(a_used) { num(ret, arena(ctx, row)->used_bytes); }
GET(a_cached) { num(ret, arena(ctx, row)->cached_bytes); }
GET(a_free) { num(ret, arena(ctx, row)->free_bytes); }
GET(a_overhead) { num(ret, arena(ctx, row)->overhead_bytes); }
GET(a_corrupt) { boolean(ret, arena(ctx, row)->corrupt); }
GET(a_runs) { num(ret, farena(ctx, row)->free_runs); }
GET(a_run_bytes) { num(ret, farena(ctx, row)->run_bytes); }
GET(a_largest) { num(ret, hr_max(hr_max(farena(ctx, row)->largest_run, farena(ctx, row)->gap_bytes), farena(ctx, row)->top_bytes)); }
GET(a_top) { num(ret, farena(ctx, row)->top_bytes); }
GET(a_releasable) { num(ret, farena(ctx, row)->releasable); }
GET(a_whole_pages) { num(ret, farena(ctx, row)->whole_pages); }
GET(a_below_pin) { num(ret, farena(ctx, row)->below_pin); }
static const struct hr_pin *first_pin(void *ctx, uint64_t row)
{
    const struct hr_frag_arena *f = farena(ctx, row);
    return f->npins ? &S->frag->pins.v[f->pin0] : NULL;
}
static char *pin_name(struct hr_session *s, const struct hr_pin *p, char *buf, size_t cap)
{
    if (p->type)
        return hr_type_name(s->types, p->type, buf, cap);
    snprintf(buf, cap, "untyped %llu bytes", (unsigned long long)p->size);
    return buf;
}
char *hr_pin_name(struct hr_session *s, const struct hr_pin *p, char *buf, size_t cap) { return pin_name(s, p, buf, cap); }
GET(a_pinned_by)
{
    const struct hr_frag_arena *f = farena(ctx, row);
    static _Thread_local char b[1024];
    size_t at = 0;
    b[0] = 0;
    for (uint32_t i = 0; i < f->npins && i < 3; i++) {
        const struct hr_pin *p = &S->frag->pins.v[f->pin0 + i];
        char t[256];
        at += (size_t)snprintf(b + at, sizeof b - at, "%s%llu x %s", at ? ", " : "", (unsigned long long)p->count,
                               pin_name(S, p, t, sizeof t));
    }
    text(ret, b);
}
GET(a_pin_type)
{
    const struct hr_pin *p = first_pin(ctx, row);
    static _Thread_local char b[512];
    if (p)
        text(ret, pin_name(S, p, b, sizeof b));
    else
        ret->kind = HR_V_UNKNOWN;
}
GET(a_pin_count)
{
    const struct hr_pin *p = first_pin(ctx, row);
    num(ret, p ? p->count : 0);
}
GET(a_top_pin_addr)
{
    if (farena(ctx, row)->top_pin == HR_NONE)
        ret->kind = HR_V_UNKNOWN;
    else
        num(ret, hr_block_addr(S->heap, farena(ctx, row)->top_pin));
}
GET(a_top_pin_type)
{
    hr_id id = farena(ctx, row)->top_pin;
    if (id == HR_NONE)
        ret->kind = HR_V_UNKNOWN;
    else
        type_value(S, hr_node_type(S->heap, id), id, ret);
}
static bool a_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    const struct hr_pin *p = S->frag ? first_pin(ctx, row) : NULL;
    if (p)
        return node_subject(S, p->example, addr, buf, cap);
    if (!arena(ctx, row)->addr)
        return false;
    *addr = arena(ctx, row)->addr;
    snprintf(buf, cap, "arena %s", hr_strs_get(S->strs, arena(ctx, row)->name));
    return true;
}
static const struct hr_attr arena_attrs[] = {
    {"name", HR_V_STR, OBJ, 0, "name", a_name, NULL, 0, NULL},
    {"allocator", HR_V_STR, OBJ, 0, "name of its allocator", a_allocator, NULL, 0, NULL},
    {"mapped", HR_V_NUM, OBJ, 0, "bytes of its regions", a_mapped, NULL, 0, NULL},
    {"used", HR_V_NUM, OBJ, 0, "bytes in use", a_used, NULL, 0, NULL},
    {"cached", HR_V_NUM, OBJ, 0, "bytes given back but kept for the next request of that size", a_cached, NULL, 0, NULL},
    {"free_bytes", HR_V_NUM, OBJ, 0, "free bytes, top included", a_free, NULL, 0, NULL},
    {"overhead", HR_V_NUM, OBJ, 0, "bytes of headers and structures", a_overhead, NULL, 0, NULL},
    {"corrupt", HR_V_BOOL, OBJ, 0, "a check of the allocator failed in it", a_corrupt, NULL, 0, NULL},
    {"largest_free", HR_V_NUM, OBJ, HR_NEED_FRAG, "bytes of the largest free run, top included", a_largest, NULL, 0, NULL},
    {"free_runs", HR_V_NUM, OBJ, HR_NEED_FRAG, "free runs between live blocks", a_runs, NULL, 0, NULL},
    {"run_bytes", HR_V_NUM, OBJ, HR_NEED_FRAG, "bytes of those runs", a_run_bytes, NULL, 0, NULL},
    {"top_bytes", HR_V_NUM, OBJ, HR_NEED_FRAG, "free bytes at the end", a_top, NULL, 0, NULL},
    {"releasable", HR_V_NUM, OBJ, HR_NEED_FRAG, "bytes trimming would give back to the system now", a_releasable, NULL, 0, NULL},
    {"whole_pages", HR_V_NUM, OBJ, HR_NEED_FRAG, "bytes of whole free pages between live blocks", a_whole_pages, NULL, 0, NULL},
    {"below_pin", HR_V_NUM, OBJ, HR_NEED_FRAG, "free bytes kept from being trimmed by the last live block", a_below_pin, NULL, 0, NULL},
    {"top_pin_addr", HR_V_NUM, OBJ, HR_NEED_FRAG, "address of the live block that keeps the end from being trimmed", a_top_pin_addr, NULL, 0, NULL},
    {"top_pin_type", HR_V_TYPE, OBJ, HR_NEED_FRAG, "its type", a_top_pin_type, NULL, 0, NULL},
    {"pinned_by", HR_V_STR, OBJ, HR_NEED_FRAG, "which live blocks pin most of the free runs", a_pinned_by, NULL, 0, NULL},
    {"pin_type", HR_V_STR, OBJ, HR_NEED_FRAG, "type of most of them", a_pin_type, NULL, 0, NULL},
    {"pin_count", HR_V_NUM, OBJ, HR_NEED_FRAG, "how many of that type", a_pin_count, NULL, 0, NULL},
};

/* ---- size classes ---- */
static const struct hr_size_class *klass(void *ctx, uint64_t row) { return &S->frag->classes.v[row]; }
static uint64_t classes_count(void *ctx) { return S->frag->classes.n; }
GET(k_arena)
{
    uint32_t a = klass(ctx, row)->arena;
    text(ret, a < S->heap->arenas.n ? hr_strs_get(S->strs, S->heap->arenas.v[a].name) : "all arenas");
}
GET(k_size) { num(ret, klass(ctx, row)->size); }
GET(k_used) { num(ret, klass(ctx, row)->used); }
GET(k_cached) { num(ret, klass(ctx, row)->cached); }
GET(k_free) { num(ret, klass(ctx, row)->free); }
static const struct hr_attr class_attrs[] = {
    {"arena", HR_V_STR, OBJ, 0, "name of the arena", k_arena, NULL, 0, NULL},
    {"size", HR_V_NUM, OBJ, 0, "usable bytes of a block", k_size, NULL, 0, NULL},
    {"used", HR_V_NUM, OBJ, 0, "blocks in use", k_used, NULL, 0, NULL},
    {"cached", HR_V_NUM, OBJ, 0, "blocks cached", k_cached, NULL, 0, NULL},
    {"free", HR_V_NUM, OBJ, 0, "blocks free", k_free, NULL, 0, NULL},
};

/* ---- free runs ---- */
static const struct hr_run *run(void *ctx, uint64_t row) { return &S->frag->runs.v[row]; }
static uint64_t runs_count(void *ctx) { return S->frag->runs.n; }
GET(r_addr) { num(ret, run(ctx, row)->addr); }
GET(r_size) { num(ret, run(ctx, row)->size); }
GET(r_top) { boolean(ret, run(ctx, row)->top); }
GET(r_arena) { text(ret, hr_strs_get(S->strs, S->heap->arenas.v[run(ctx, row)->arena].name)); }
static void run_neighbour(struct hr_session *s, hr_id id, struct hr_value *ret)
{
    if (id == HR_NONE)
        ret->kind = HR_V_UNKNOWN;
    else
        type_value(s, hr_node_type(s->heap, id), id, ret);
}
GET(r_before) { run_neighbour(S, run(ctx, row)->before, ret); }
GET(r_after) { run_neighbour(S, run(ctx, row)->after, ret); }
static bool r_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = run(ctx, row)->addr;
    snprintf(buf, cap, "free run");
    return true;
}
static const struct hr_attr run_attrs[] = {
    {"addr", HR_V_NUM, OBJ, 0, "where it starts", r_addr, NULL, 0, NULL},
    {"size", HR_V_NUM, OBJ, 0, "bytes", r_size, NULL, 0, NULL},
    {"top", HR_V_BOOL, OBJ, 0, "it ends its region", r_top, NULL, 0, NULL},
    {"arena", HR_V_STR, OBJ, 0, "name of the arena", r_arena, NULL, 0, NULL},
    {"pin_before_type", HR_V_TYPE, OBJ, HR_NEED_TYPES, "type of the live block in front", r_before, NULL, 0, NULL},
    {"pin_after_type", HR_V_TYPE, OBJ, HR_NEED_TYPES, "type of the live block behind", r_after, NULL, 0, NULL},
};

/* ---- corruptions: the notes of failed allocator checks ---- */
static const struct hr_note *corruption(struct hr_session *s, uint64_t row)
{
    for (size_t i = 0; i < s->notes.list.n; i++)
        if (!strncmp(s->notes.list.v[i].code, "heap.corrupt", 12) && !row--)
            return &s->notes.list.v[i];
    return NULL;
}
static uint64_t corruptions_count(void *ctx)
{
    uint64_t n = 0;
    while (corruption(S, n))
        n++;
    return n;
}
GET(x_addr)
{
    const struct hr_note *n = corruption(S, row);
    if (n->has_addr)
        num(ret, n->addr);
    else
        ret->kind = HR_V_UNKNOWN;
}
GET(x_what) { text(ret, corruption(S, row)->text); }
GET(x_code) { text(ret, corruption(S, row)->code); }
static bool x_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    const struct hr_note *n = corruption(S, row);
    *addr = n->addr;
    snprintf(buf, cap, "allocator metadata");
    return n->has_addr;
}
static const struct hr_attr corruption_attrs[] = {
    {"addr", HR_V_NUM, OBJ, 0, "where", x_addr, NULL, 0, NULL},
    {"what", HR_V_STR, OBJ, 0, "which check failed", x_what, NULL, 0, NULL},
    {"code", HR_V_STR, OBJ, 0, "the check as a stable word", x_code, NULL, 0, NULL},
};

/* ---- threads ---- */
static uint64_t threads_count(void *ctx) { return S->image.threads.n; }
GET(th_tid) { num(ret, S->image.threads.v[row].tid); }
GET(th_signal) { num(ret, (uint64_t)S->image.threads.v[row].signal); }
GET(th_frames) { num(ret, S->stacks ? S->stacks->of[row].nframes : 0); }
static const struct hr_attr thread_attrs[] = {
    {"tid", HR_V_NUM, OBJ, 0, "thread id", th_tid, NULL, 0, NULL},
    {"signal", HR_V_NUM, OBJ, 0, "signal it stopped with, 0 none", th_signal, NULL, 0, NULL},
    {"frames", HR_V_NUM, OBJ, HR_NEED_REACH, "frames on its stack", th_frames, NULL, 0, NULL},
};

/* ---- globals ---- */
#define G(name_) static void name_(void *ctx, struct hr_value *ret)
G(g_used) { num(ret, hr_session_totals(S).used_bytes); }
G(g_blocks) { num(ret, hr_session_totals(S).used_blocks); }
G(g_free) { num(ret, hr_session_totals(S).free_bytes); }
G(g_cached) { num(ret, hr_session_totals(S).cached_bytes); }
G(g_mapped) { num(ret, hr_session_totals(S).mapped); }
G(g_complete) { boolean(ret, S->image.complete); }
G(g_roots_complete) { boolean(ret, S->heap->roots_complete); }
G(g_leak_bytes) { num(ret, S->leaks ? S->leaks->bytes : 0); }
G(g_leak_blocks) { num(ret, S->leaks ? S->leaks->blocks : 0); }
G(g_leak_count) { num(ret, S->leaks ? S->leaks->list.n : 0); }

/* Between pieces of garbage of a collected heap sharing is usual and no leak: is any leak of another kind? */
static bool leaks_for_good(const struct hr_session *s)
{
    for (size_t i = 0; s->leaks && i < s->leaks->list.n; i++)
        if (!s->runtimes || !hr_runtimes_claims(s->runtimes, s->leaks->list.v[i].head))
            return true;
    return false;
}
G(g_shared_bytes) { num(ret, leaks_for_good(S) ? S->leaks->shared_bytes : 0); }
G(g_shared_blocks) { num(ret, leaks_for_good(S) ? S->leaks->shared_blocks : 0); }
G(g_path) { text(ret, S->opt.image); }
G(g_options)
{
    static _Thread_local char b[2048];
    text(ret, hr_session_options(S, b, sizeof b));
}
G(g_target) { text(ret, S->image.arch ? S->image.arch->name : "unknown"); }
static const struct hr_global session_globals[] = {
    {"heap.used", HR_V_NUM, 0, "bytes in use", g_used, NULL},
    {"heap.blocks", HR_V_NUM, 0, "blocks in use", g_blocks, NULL},
    {"heap.free", HR_V_NUM, 0, "free bytes", g_free, NULL},
    {"heap.cached", HR_V_NUM, 0, "cached bytes", g_cached, NULL},
    {"heap.mapped", HR_V_NUM, 0, "bytes all arenas span", g_mapped, NULL},
    {"image.complete", HR_V_BOOL, 0, "nothing the dump promised is missing", g_complete, NULL},
    {"image.roots_complete", HR_V_BOOL, HR_NEED_REACH, "all memory that may hold pointers is there", g_roots_complete, NULL},
    {"leak.bytes", HR_V_NUM, HR_NEED_REACH, "bytes of all leaked blocks", g_leak_bytes, NULL},
    {"leak.blocks", HR_V_NUM, HR_NEED_REACH, "all leaked blocks", g_leak_blocks, NULL},
    {"leak.count", HR_V_NUM, HR_NEED_REACH, "leaks: what as many calls of free() would give back", g_leak_count, NULL},
    {"leak.shared_bytes", HR_V_NUM, HR_NEED_REACH, "bytes of leaked blocks that several leaks hold, so that no single one does", g_shared_bytes, NULL},
    {"leak.shared_blocks", HR_V_NUM, HR_NEED_REACH, "how many those are", g_shared_blocks, NULL},
    {"image.path", HR_V_STR, 0, "the dump as it was named", g_path, NULL},
    {"image.options", HR_V_STR, 0, "the options that a further command needs to see the same", g_options, NULL},
    {"target", HR_V_STR, 0, "processor architecture", g_target, NULL},
};

static bool type_known(void *ctx, const char *name)
{
    if (!S->types)
        return true; /* checking without a dump: nobody knows */
    if (hr_type_find(S->types, name))
        return true;
    for (size_t i = 0; i < S->hist.n; i++) {
        char b[1024];
        if (S->hist.v[i].type && !strcmp(hr_type_name(S->types, S->hist.v[i].type, b, sizeof b), name))
            return true;
    }
    return false;
}

static bool enum_value(void *ctx, const char *name, int64_t *ret)
{
    hr_str id = S->types ? hr_strs_find(S->strs, name) : HR_NONE;
    for (hr_type t = 0; id != HR_NONE && t < S->types->rows.n; t++) {
        const struct hr_type_row *r = hr_type_get(S->types, t);
        for (uint32_t k = 0; r->kind == HR_T_ENUM && k < r->nfields; k++)
            if (S->types->fields.v[r->field0 + k].name == id) {
                *ret = (int32_t)S->types->fields.v[r->field0 + k].off;
                return true;
            }
    }
    return false;
}

static enum hr_status trace(void *ctx, const char *table, uint64_t row, void *hopvec)
{
    hr_id node = HR_NONE;
    if (!strcmp(table, "objects"))
        node = (hr_id)row;
    else if (!strcmp(table, "types"))
        node = S->hist.v[row].largest_id;
    else if (!strcmp(table, "cycles"))
        node = S->cycle_members.v[S->cycles.v[row].member0];
    return node == HR_NONE ? HR_OK : hr_trace_to(S, node, hopvec);
}

#define TABLE(name_, doc_, needs_, count_, attrs_, subject_, field_)                                                   \
    (struct hr_table){.name = name_, .doc = doc_, .needs = needs_, .count = count_, .attrs = attrs_,                   \
                      .nattrs = sizeof attrs_ / sizeof *attrs_, .ctx = s, .subject = subject_, .field = field_}

void hr_model_init(struct hr_session_model *m, struct hr_session *s)
{
    size_t n = 0;
    memset(m, 0, sizeof *m);
    _Static_assert(sizeof object_attrs <= sizeof m->object_attrs, "room for the objects' attributes");
    memcpy(m->object_attrs, object_attrs, sizeof object_attrs);
    m->tables[n] = TABLE("objects", "blocks in use", 0, objects_count, object_attrs, o_subject, o_field);
    m->tables[n++].attrs = m->object_attrs;
    m->tables[n++] = TABLE("leaks", "what one free() would give back", HR_NEED_REACH, leaks_count, leak_attrs, l_subject, l_field);
    m->tables[n++] = TABLE("cycles", "rings of two blocks and more", HR_NEED_SCC, cycles_count, cycle_attrs, c_subject, NULL);
    m->tables[n++] = TABLE("types", "types of blocks in use", HR_NEED_TYPES, types_count, type_attrs, t_subject, NULL);
    m->tables[n++] = TABLE("arenas", "arenas of all allocators", 0, arenas_count, arena_attrs, a_subject, NULL);
    m->tables[n++] = TABLE("size_classes", "blocks by arena and size", HR_NEED_FRAG, classes_count, class_attrs, NULL, NULL);
    m->tables[n++] = TABLE("free_runs", "free runs, the largest", HR_NEED_FRAG, runs_count, run_attrs, r_subject, NULL);
    m->tables[n++] = TABLE("corruptions", "failed checks of the allocators", 0, corruptions_count, corruption_attrs, x_subject, NULL);
    m->tables[n++] = TABLE("threads", "threads", 0, threads_count, thread_attrs, NULL, NULL);
    n += hr_model_python(m->tables + n, s);
    n += hr_model_numpy(m->tables + n, s);
    n += hr_model_micropython(m->tables + n, s);
    n += hr_model_survey(m->tables + n, s);
    n += hr_model_pyrefs(m->tables + n, s);
    n += hr_model_python_waste(m->tables + n, s);
    n += hr_model_growth(m->tables + n, NULL);
    size_t ng = sizeof session_globals / sizeof *session_globals;
    _Static_assert(sizeof session_globals <= sizeof m->globals, "room for the globals");
    memcpy(m->globals, session_globals, sizeof session_globals);
    for (size_t i = 0; i < ng; i++)
        m->globals[i].ctx = s;
    ng += hr_model_survey_globals(m->globals + ng, s);
    m->model = (struct hr_model){.tables = m->tables, .ntables = n, .globals = m->globals, .nglobals = ng, .trace = trace,
                                 .trace_ctx = s, .type_known = type_known, .enum_value = enum_value, .names_ctx = s};
}

void hr_model_refresh(struct hr_session_model *m, struct hr_session *s)
{
    m->tables[0].live_col = s->heap ? s->heap->state : NULL;
    m->tables[0].live_val = HR_USED;
    for (size_t i = 0; i < m->tables[0].nattrs; i++) {
        struct hr_attr *a = &m->object_attrs[i];
        if (!strcmp(a->name, "retained") && s->retained) {
            a->col = s->retained;
            a->width = 8;
        } else if (!strcmp(a->name, "reach") && s->heap) {
            a->col = s->heap->reach;
            a->width = 1;
        } else if (!strcmp(a->name, "type") && s->heap) {
            a->col = s->heap->type;
            a->width = sizeof *s->heap->type;
        }
    }
}
