/* Tables of a microcontroller's memory that rules may ask: stacks, regions, variables, source files, requests that would fail. */
#include <stdio.h>
#include <string.h>

#include "analyzer/model.h"
#include "analyzer/model_get.h"
#include "analyzer/place.h"
#include "analyzer/runtimes/rtos/rtos.h"
#include "analyzer/survey.h"

#define OBJ HR_COST_OBJECT

static const struct hr_survey *survey(struct hr_session *s)
{
    return s->image.bare && hr_session_survey(s) == HR_OK ? s->survey : NULL;
}

static const char *no_machine(void *ctx) { return S->image.bare ? NULL : "the image is of a process, not of a machine without processes"; }

static const char *str(void *ctx, hr_str id) { return hr_strs_get(S->strs, id); }
static void name(struct hr_value *v, const char *z) { text(v, *z ? z : NULL); }

/* ---- stacks ---- */
static const struct hr_survey_stack *stack(void *ctx, uint64_t row) { return &survey(S)->stacks.v[row]; }
static uint64_t stacks_count(void *ctx) { return survey(S) ? survey(S)->stacks.n : 0; }
GET(k_task) { name(ret, str(ctx, stack(ctx, row)->name)); }
GET(k_addr) { num(ret, stack(ctx, row)->lo); }
GET(k_size) { num(ret, stack(ctx, row)->hi - stack(ctx, row)->lo); }
GET(k_left) { known(ret, stack(ctx, row)->unused); }
GET(k_high)
{
    const struct hr_survey_stack *k = stack(ctx, row);
    known(ret, k->unused == HR_NONE64 ? HR_NONE64 : k->hi - k->lo - k->unused);
}
GET(k_now)
{
    const struct hr_survey_stack *k = stack(ctx, row);
    known(ret, k->sp >= k->lo && k->sp <= k->hi ? k->hi - k->sp : HR_NONE64);
}
GET(k_fill) { boolean(ret, stack(ctx, row)->how == HR_FILL_PATTERN); }
GET(k_bounded) { boolean(ret, stack(ctx, row)->limit); }
GET(k_overflow) { boolean(ret, stack(ctx, row)->overflow); }
GET(k_state)
{
    const struct hr_task *t = hr_rtos_of_thread(S->rtos, stack(ctx, row)->thread);
    text(ret, t ? hr_task_state_name(t->state) : NULL);
}
static bool k_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = stack(ctx, row)->lo;
    snprintf(buf, cap, "stack of %s", str(ctx, stack(ctx, row)->name));
    return true;
}
static const struct hr_attr stack_attrs[] = {
    {"task", HR_V_STR, OBJ, 0, "whose stack it is", k_task, NULL, 0, NULL},
    {"addr", HR_V_NUM, OBJ, 0, "its lowest address", k_addr, NULL, 0, NULL},
    {"size", HR_V_NUM, OBJ, 0, "its bytes", k_size, NULL, 0, NULL},
    {"never_used", HR_V_NUM, OBJ, 0, "bytes that were never written, unknown without a fill", k_left, NULL, 0, NULL},
    {"high_water", HR_V_NUM, OBJ, 0, "the most bytes that were ever in use", k_high, NULL, 0, NULL},
    {"in_use", HR_V_NUM, OBJ, 0, "bytes in use now", k_now, NULL, 0, NULL},
    {"filled", HR_V_BOOL, OBJ, 0, "it was filled before use: what is never used is known, not guessed from zeros", k_fill, NULL, 0, NULL},
    {"bounded", HR_V_BOOL, OBJ, 0, "something says where it ends", k_bounded, NULL, 0, NULL},
    {"overflow", HR_V_BOOL, OBJ, 0, "it was used to its last byte or beyond", k_overflow, NULL, 0, NULL},
    {"state", HR_V_STR, OBJ, 0, "state of the task: running, ready, blocked, suspended, deleted", k_state, NULL, 0, NULL},
};

/* ---- regions ---- */
static const struct hr_survey_region *region(void *ctx, uint64_t row) { return &survey(S)->regions.v[row]; }
static uint64_t regions_count(void *ctx) { return survey(S) ? survey(S)->regions.n : 0; }
GET(r_addr) { num(ret, region(ctx, row)->addr); }
GET(r_size) { num(ret, region(ctx, row)->size); }
GET(r_kind) { text(ret, hr_survey_kind_name(region(ctx, row)->kind)); }
GET(r_name) { name(ret, str(ctx, region(ctx, row)->name)); }
GET(r_used) { known(ret, region(ctx, row)->used); }
static const struct hr_attr region_attrs[] = {
    {"addr", HR_V_NUM, OBJ, 0, "where it begins", r_addr, NULL, 0, NULL},
    {"size", HR_V_NUM, OBJ, 0, "its bytes", r_size, NULL, 0, NULL},
    {"kind", HR_V_STR, OBJ, 0, "static, heap, stack, unused, other, code, absent", r_kind, NULL, 0, NULL},
    {"name", HR_V_STR, OBJ, 0, "section, arena, task", r_name, NULL, 0, NULL},
    {"used", HR_V_NUM, OBJ, 0, "bytes in use, unknown where not captured", r_used, NULL, 0, NULL},
};

/* ---- variables ---- */
static const struct hr_survey_symbol *symbol(void *ctx, uint64_t row) { return &survey(S)->symbols.v[row]; }
static uint64_t symbols_count(void *ctx) { return survey(S) ? survey(S)->symbols.n : 0; }
GET(y_name) { name(ret, str(ctx, symbol(ctx, row)->name)); }
GET(y_module) { name(ret, str(ctx, symbol(ctx, row)->module)); }
GET(y_file) { name(ret, str(ctx, symbol(ctx, row)->file)); }
GET(y_addr) { num(ret, symbol(ctx, row)->addr); }
GET(y_size) { num(ret, symbol(ctx, row)->size); }
GET(y_kind) { text(ret, hr_survey_kind_name(symbol(ctx, row)->kind)); }
static bool y_subject(void *ctx, uint64_t row, uint64_t *addr, char *buf, size_t cap)
{
    *addr = symbol(ctx, row)->addr;
    snprintf(buf, cap, "%s", str(ctx, symbol(ctx, row)->name));
    return true;
}
static const struct hr_attr symbol_attrs[] = {
    {"name", HR_V_STR, OBJ, 0, "of the variable", y_name, NULL, 0, NULL},
    {"module", HR_V_STR, OBJ, 0, "its source file, without directories", y_module, NULL, 0, NULL},
    {"file", HR_V_STR, OBJ, 0, "its source file", y_file, NULL, 0, NULL},
    {"addr", HR_V_NUM, OBJ, 0, "its address", y_addr, NULL, 0, NULL},
    {"size", HR_V_NUM, OBJ, 0, "its bytes", y_size, NULL, 0, NULL},
    {"kind", HR_V_STR, OBJ, 0, "static; heap or stack when it is the array that holds one", y_kind, NULL, 0, NULL},
};

/* ---- source files ---- */
static const struct hr_survey_module *module(void *ctx, uint64_t row) { return &survey(S)->modules.v[row]; }
static uint64_t modules_count(void *ctx) { return survey(S) ? survey(S)->modules.n : 0; }
GET(m_name) { name(ret, str(ctx, module(ctx, row)->name)); }
GET(m_static) { num(ret, module(ctx, row)->stat); }
GET(m_bytes) { num(ret, module(ctx, row)->bytes); }
GET(m_symbols) { num(ret, module(ctx, row)->symbols); }
static const struct hr_attr module_attrs[] = {
    {"name", HR_V_STR, OBJ, 0, "source file, unknown for what has none", m_name, NULL, 0, NULL},
    {"static", HR_V_NUM, OBJ, 0, "bytes of its variables, without heaps and stacks in them", m_static, NULL, 0, NULL},
    {"bytes", HR_V_NUM, OBJ, 0, "bytes of its variables", m_bytes, NULL, 0, NULL},
    {"symbols", HR_V_NUM, OBJ, 0, "how many there are", m_symbols, NULL, 0, NULL},
};

/* ---- requests that would fail ---- */

/* Rows are the arenas: which of them refuse is asked by the rule. */
static uint64_t squeezed_count(void *ctx) { return survey(S) ? S->heap->arenas.n : 0; }
GET(q_arena) { name(ret, str(ctx, S->heap->arenas.v[row].name)); }
GET(q_allocator) { text(ret, S->heap->allocators.v[S->heap->arenas.v[row].allocator].name); }
GET(q_free) { num(ret, S->heap->arenas.v[row].free_bytes); }
GET(q_largest) { num(ret, S->heap->arenas.v[row].largest_free); }
GET(q_mapped) { num(ret, S->heap->arenas.v[row].mapped); }
GET(q_room) { num(ret, hr_place_room(S, (uint32_t)row)); }
GET(q_request)
{
    const struct hr_size_class *k = hr_place_refused(S, (uint32_t)row);
    known(ret, k ? k->size : HR_NONE64);
}
GET(q_blocks)
{
    const struct hr_size_class *k = hr_place_refused(S, (uint32_t)row);
    known(ret, k ? k->used : HR_NONE64);
}
static const struct hr_attr squeezed_attrs[] = {
    {"arena", HR_V_STR, OBJ, 0, "name of the arena", q_arena, NULL, 0, NULL},
    {"allocator", HR_V_STR, OBJ, 0, "name of its allocator", q_allocator, NULL, 0, NULL},
    {"free", HR_V_NUM, OBJ, 0, "free bytes in it", q_free, NULL, 0, NULL},
    {"largest_free", HR_V_NUM, OBJ, 0, "largest free piece", q_largest, NULL, 0, NULL},
    {"mapped", HR_V_NUM, OBJ, 0, "its bytes", q_mapped, NULL, 0, NULL},
    {"room", HR_V_NUM, OBJ, 0, "bytes it can still grow by", q_room, NULL, 0, NULL},
    {"request", HR_V_NUM, OBJ, HR_NEED_FRAG, "smallest size in use at least twice that would not fit now, though as many bytes are free; unknown: none", q_request,
     NULL, 0, NULL},
    {"blocks", HR_V_NUM, OBJ, HR_NEED_FRAG, "how many blocks of that size are in use", q_blocks, NULL, 0, NULL},
};

/* ---- of the whole ---- */
static void kind(void *ctx, enum hr_survey_kind k, struct hr_value *ret) { known(ret, survey(S) ? survey(S)->kind_bytes[k] : HR_NONE64); }
static void g_bare(void *ctx, struct hr_value *ret) { boolean(ret, S->image.bare); }
static void g_ram(void *ctx, struct hr_value *ret) { known(ret, survey(S) ? survey(S)->captured - survey(S)->kind_bytes[HR_SV_CODE] : HR_NONE64); }
static void g_static(void *ctx, struct hr_value *ret) { kind(ctx, HR_SV_STATIC, ret); }
static void g_unused(void *ctx, struct hr_value *ret) { kind(ctx, HR_SV_UNUSED, ret); }
static const struct hr_global globals[] = {
    {"image.bare", HR_V_BOOL, 0, "a machine without processes: a microcontroller", g_bare, NULL},
    {"ram.bytes", HR_V_NUM, HR_NEED_REACH, "captured bytes of a microcontroller's RAM", g_ram, NULL},
    {"ram.static", HR_V_NUM, HR_NEED_REACH, "bytes of its variables", g_static, NULL},
    {"ram.unused", HR_V_NUM, HR_NEED_REACH, "bytes never written, outside heaps and stacks", g_unused, NULL},
};

#define TABLE(name_, doc_, count_, attrs_, subject_)                                                                                     \
    (struct hr_table){.name = name_, .doc = doc_, .needs = HR_NEED_REACH, .count = count_, .attrs = attrs_,                               \
                      .nattrs = sizeof attrs_ / sizeof *attrs_, .ctx = s, .absent = no_machine, .subject = subject_}

size_t hr_model_survey(struct hr_table *t, struct hr_session *s)
{
    t[0] = TABLE("stacks", "stacks of a microcontroller's tasks", stacks_count, stack_attrs, k_subject);
    t[1] = TABLE("regions", "a microcontroller's memory by use", regions_count, region_attrs, NULL);
    t[2] = TABLE("symbols", "a microcontroller's variables", symbols_count, symbol_attrs, y_subject);
    t[3] = TABLE("modules", "its source files with static memory", modules_count, module_attrs, NULL);
    t[4] = TABLE("heaps", "a microcontroller's heaps, and which requests would fail", squeezed_count, squeezed_attrs, NULL);
    return 5;
}

size_t hr_model_survey_globals(struct hr_global *g, struct hr_session *s)
{
    size_t n = sizeof globals / sizeof *globals;
    memcpy(g, globals, sizeof globals);
    for (size_t i = 0; i < n; i++)
        g[i].ctx = s;
    return n;
}
