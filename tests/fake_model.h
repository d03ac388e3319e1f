/* A model made of plain arrays, for tests of the rules: what it answers is known without the engine. */
#ifndef HR_TESTS_FAKE_MODEL_H
#define HR_TESTS_FAKE_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/finding/finding.h"
#include "analyzer/heap/heap.h"
#include "rules/engine/model.h"

enum { FAKE_TYPES = 7 };
static const char *const fake_type[FAKE_TYPES] = {
    "", "struct node", "struct session", "std::vector<int, std::allocator<int> >", "node", "tls_ctx", "char[64]",
};
static const char *const fake_state[] = {"used", "cached", "free"};
static const char *const fake_reach[] = {NULL, "reachable", "interior", "register", "dead_stack", "cached",
                                         "leaked_direct", "leaked_indirect", "leaked_cycle"};

struct fake {
    uint64_t n, *addr, *retained;
    uint32_t *size, *type, *owner;
    uint8_t *state, *reach, *surety;
    uint64_t asked;            /* how often a name of a type was asked for */
    uint64_t used;
    struct hr_table tables[8];
    struct hr_global globals[8];
    bool cut;                  /* the image lacks memory */
    int64_t shared;
    struct hr_attr objects[20];
    struct hr_model model;
};

static inline void fake_str(struct hr_value *v, uint8_t kind, const char *z)
{
    *v = (struct hr_value){.kind = z ? kind : HR_V_UNKNOWN, .s = z, .n = z ? strlen(z) : 0};
}
static inline void fake_num(struct hr_value *v, int64_t i) { *v = (struct hr_value){.kind = HR_V_NUM, .i = i}; }

static uint64_t fake_count(void *c) { return ((struct fake *)c)->n; }
static void fake_get_type(void *c, uint64_t row, struct hr_value *v)
{
    struct fake *f = c;
    f->asked++;
    fake_str(v, HR_V_TYPE, f->type[row] ? fake_type[f->type[row]] : "untyped");
    v->type = f->type[row];
}
static void fake_get_live(void *c, uint64_t row, struct hr_value *v)
{
    struct fake *f = c;
    *v = f->reach[row] ? (struct hr_value){.kind = HR_V_BOOL, .b = f->reach[row] == 1} : (struct hr_value){0};
}
static void fake_get_text(void *c, uint64_t row, struct hr_value *v)
{
    static char buf[32]; /* one buffer: a second question spoils the first answer, as the contract allows */
    (void)c;
    snprintf(buf, sizeof buf, "text %llu", (unsigned long long)(row % 10));
    fake_str(v, HR_V_STR, buf);
}
static void fake_get_name(void *c, uint64_t row, struct hr_value *v)
{
    static char buf[32];
    (void)c;
    snprintf(buf, sizeof buf, "n%llu", (unsigned long long)(row % 5));
    fake_str(v, HR_V_STR, buf);
}
static void fake_get_fill(void *c, uint64_t row, struct hr_value *v)
{
    struct fake *f = c;
    *v = (struct hr_value){.kind = HR_V_NUM, .is_float = 1, .f = (double)(f->size[row] % 100) / 100};
}
static void fake_field(void *c, uint64_t row, const char *name, struct hr_value *v)
{
    if (!strcmp(name, "refs"))
        fake_num(v, (int64_t)(row % 4));
    else if (!strcmp(name, "secret"))
        fake_str(v, HR_V_STR, "hunter2");
    (void)c;
}
static bool fake_subject(void *c, uint64_t row, uint64_t *addr, char *type, size_t cap)
{
    struct fake *f = c;
    *addr = f->addr[row];
    snprintf(type, cap, "%s", fake_type[f->type[row]]);
    return true;
}

/* Small tables, written out: leaks, arenas, size classes, types, corruptions. */
struct fake_leak {
    const char *kind, *type, *types, *contents, *unused;
    int64_t length, blocks, bytes;
    uint64_t addr;
};
static const struct fake_leak fake_leaks[] = {
    {"direct", "struct node", "struct node", "3 pointers", "certain", 1, 4, 200, 0x1000},
    {"direct", "struct node", "struct node", "3 pointers", "certain", 1, 1, 48, 0x2000},
    {"direct", "untyped 100 bytes", "", "text", "certain", 1, 1, 100, 0x3000},
    {"cycle", "struct session", "struct session -> struct node", "", "certain", 2, 5, 960, 0x4000},
    {"cycle", "struct self", "struct self", "", "certain", 1, 1, 64, 0x5000},
};
#define FAKE_LEAK(field_, set_)                                                                                        \
    static void fake_leak_##field_(void *c, uint64_t row, struct hr_value *v)                                          \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        set_;                                                                                                          \
    }
FAKE_LEAK(kind, fake_str(v, HR_V_STR, fake_leaks[row].kind))
FAKE_LEAK(type, fake_str(v, HR_V_TYPE, fake_leaks[row].type))
FAKE_LEAK(types, fake_str(v, HR_V_STR, fake_leaks[row].types))
FAKE_LEAK(contents, fake_str(v, HR_V_STR, fake_leaks[row].contents))
FAKE_LEAK(length, fake_num(v, fake_leaks[row].length))
FAKE_LEAK(blocks, fake_num(v, fake_leaks[row].blocks))
FAKE_LEAK(bytes, fake_num(v, fake_leaks[row].bytes))
FAKE_LEAK(addr, fake_num(v, (int64_t)fake_leaks[row].addr))
FAKE_LEAK(surety, fake_num(v, row == 1 ? HR_SURE_CONSERVATIVE : HR_SURE_EXACT))
static void fake_leak_managed(void *ctx, uint64_t row, struct hr_value *ret)
{
    (void)ctx, (void)row;
    ret->kind = HR_V_BOOL;
    ret->b = false;
}
static const struct hr_attr fake_leak_attrs[] = {
    {"kind", HR_V_STR, 0, HR_NEED_REACH, "", fake_leak_kind},
    {"type", HR_V_TYPE, 0, HR_NEED_TYPES, "", fake_leak_type},
    {"types", HR_V_STR, 0, HR_NEED_TYPES, "", fake_leak_types},
    {"contents", HR_V_STR, 0, 0, "", fake_leak_contents},
    {"length", HR_V_NUM, 0, 0, "", fake_leak_length},
    {"blocks", HR_V_NUM, 0, 0, "", fake_leak_blocks},
    {"bytes", HR_V_NUM, 0, 0, "", fake_leak_bytes},
    {"addr", HR_V_NUM, 0, 0, "", fake_leak_addr},
    {"own_size", HR_V_NUM, 0, 0, "", fake_leak_bytes},
    {"managed", HR_V_BOOL, 0, 0, "", fake_leak_managed},
    {"surety", HR_V_NUM, 0, 0, "", fake_leak_surety},
};
static uint64_t fake_leak_count(void *c)
{
    (void)c;
    return sizeof fake_leaks / sizeof *fake_leaks;
}
static bool fake_leak_subject(void *c, uint64_t row, uint64_t *addr, char *type, size_t cap)
{
    (void)c;
    *addr = fake_leaks[row].addr;
    snprintf(type, cap, "%s", fake_leaks[row].type ? fake_leaks[row].type : "");
    return true;
}

struct fake_arena {
    const char *name, *pin_type;
    int64_t mapped, free_bytes, largest_free, free_runs, top_bytes, pin_count, cached;
};
static const struct fake_arena fake_arenas[] = {
    {"main", "struct pin", 100 << 20, 50 << 20, 1 << 20, 5000, 1 << 20, 1, 0},
    {"arena 1 (0x7f0000000020)", NULL, 100 << 20, 10 << 20, 9 << 20, 2, 9 << 20, 0, 20 << 20},
    {"tiny", NULL, 4096, 4000, 16, 100, 0, 0, 4000},
};
#define FAKE_ARENA(field_, set_)                                                                                       \
    static void fake_arena_##field_(void *c, uint64_t row, struct hr_value *v)                                         \
    {                                                                                                                  \
        const struct fake_arena *a = &fake_arenas[row];                                                                \
        (void)c, (void)a;                                                                                              \
        set_;                                                                                                          \
    }
FAKE_ARENA(name, fake_str(v, HR_V_STR, a->name))
FAKE_ARENA(allocator, fake_str(v, HR_V_STR, "glibc"))
FAKE_ARENA(mapped, fake_num(v, a->mapped))
FAKE_ARENA(free_bytes, fake_num(v, a->free_bytes))
FAKE_ARENA(largest_free, fake_num(v, a->largest_free))
FAKE_ARENA(free_runs, fake_num(v, a->free_runs))
FAKE_ARENA(top_bytes, fake_num(v, a->top_bytes))
FAKE_ARENA(pin_count, fake_num(v, a->pin_count))
FAKE_ARENA(pin_type, fake_str(v, HR_V_TYPE, a->pin_type))
FAKE_ARENA(cached, fake_num(v, a->cached))
FAKE_ARENA(run_bytes, fake_num(v, a->free_bytes - a->top_bytes))
FAKE_ARENA(below_pin, fake_num(v, a->pin_count ? a->free_bytes - a->top_bytes : 0))
FAKE_ARENA(pinned_by, fake_str(v, HR_V_STR, "17 x struct pin"))
FAKE_ARENA(pin_addr, fake_num(v, 0x7000))
static const struct hr_attr fake_arena_attrs[] = {
    {"name", HR_V_STR, 0, 0, "", fake_arena_name},
    {"allocator", HR_V_STR, 0, 0, "", fake_arena_allocator},
    {"mapped", HR_V_NUM, 0, 0, "", fake_arena_mapped},
    {"free_bytes", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_free_bytes},
    {"largest_free", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_largest_free},
    {"free_runs", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_free_runs},
    {"top_bytes", HR_V_NUM, 0, 0, "", fake_arena_top_bytes},
    {"pin_count", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_pin_count},
    {"top_pin_type", HR_V_TYPE, 0, HR_NEED_FRAG, "", fake_arena_pin_type},
    {"top_pin_addr", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_pin_addr},
    {"below_pin", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_below_pin},
    {"whole_pages", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_below_pin},
    {"run_bytes", HR_V_NUM, 0, HR_NEED_FRAG, "", fake_arena_run_bytes},
    {"pinned_by", HR_V_STR, 0, HR_NEED_FRAG, "", fake_arena_pinned_by},
    {"cached", HR_V_NUM, 0, 0, "", fake_arena_cached},
};
static uint64_t fake_arena_count(void *c)
{
    (void)c;
    return sizeof fake_arenas / sizeof *fake_arenas;
}

static void fake_types_name(void *c, uint64_t row, struct hr_value *v)
{
    (void)c;
    fake_str(v, HR_V_TYPE, fake_type[row + 1]);
}
static void fake_types_bytes(void *c, uint64_t row, struct hr_value *v)
{
    (void)c;
    fake_num(v, row == 0 ? 40 << 20 : 1000);
}
static void fake_types_count(void *c, uint64_t row, struct hr_value *v)
{
    (void)c;
    fake_num(v, row == 0 ? 12345 : 1);
}
static const struct hr_attr fake_types_attrs[] = {
    {"name", HR_V_TYPE, 0, HR_NEED_TYPES, "", fake_types_name},
    {"bytes", HR_V_NUM, 0, HR_NEED_TYPES, "", fake_types_bytes},
    {"count", HR_V_NUM, 0, HR_NEED_TYPES, "", fake_types_count},
    {"largest", HR_V_NUM, 0, HR_NEED_TYPES, "", fake_types_bytes},
};
static uint64_t fake_types_rows(void *c)
{
    (void)c;
    return FAKE_TYPES - 1;
}

static void fake_corrupt_what(void *c, uint64_t row, struct hr_value *v)
{
    (void)c, (void)row;
    fake_str(v, HR_V_STR, "corrupted size vs. prev_size");
}
static void fake_corrupt_addr(void *c, uint64_t row, struct hr_value *v)
{
    (void)c;
    fake_num(v, 0x9000 + (int64_t)row);
}
static void fake_corrupt_arena(void *c, uint64_t row, struct hr_value *v)
{
    (void)c, (void)row;
    fake_str(v, HR_V_STR, "main");
}
static const struct hr_attr fake_corrupt_attrs[] = {
    {"what", HR_V_STR, 0, 0, "", fake_corrupt_what},
    {"addr", HR_V_NUM, 0, 0, "", fake_corrupt_addr},
    {"code", HR_V_STR, 0, 0, "", fake_corrupt_arena},
};
static uint64_t fake_corrupt_count(void *c)
{
    (void)c;
    return 3;
}

static void fake_heap_used(void *c, struct hr_value *v) { fake_num(v, (int64_t)((struct fake *)c)->used); }
static void fake_target(void *c, struct hr_value *v)
{
    (void)c;
    fake_str(v, HR_V_STR, "linux");
}
static void fake_path(void *c, struct hr_value *v)
{
    (void)c;
    fake_str(v, HR_V_STR, "/tmp/my core");
}
static void fake_nothing(void *c, struct hr_value *v)
{
    (void)c;
    *v = (struct hr_value){0};
}

static void fake_process(void *ctx, struct hr_value *ret)
{
    (void)ctx;
    *ret = (struct hr_value){.kind = HR_V_BOOL};
}

static void fake_whole(void *c, struct hr_value *v) { *v = (struct hr_value){.kind = HR_V_BOOL, .b = !((struct fake *)c)->cut}; }
static void fake_shared(void *c, struct hr_value *v) { fake_num(v, ((struct fake *)c)->shared); }

/* global g_app -> .list -> .[3] -> the row */
static enum hr_status fake_trace(void *ctx, const char *table, uint64_t row, void *hopvec)
{
    struct fake *f = ctx;
    struct hr_hopvec *v = hopvec;
    const struct hr_hop hops[] = {
        {0x601000, hr_strdup("global g_app"), hr_strdup(".list"), false},
        {0x7e0000, hr_strdup("struct list"), hr_strdup("[3]"), false},
        {strcmp(table, "objects") ? 0 : f->addr[row], hr_strdup("struct node"), NULL, false},
    };
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < 3; i++) {
        if (st == HR_OK)
            st = hr_hopvec_push(v, hops[i]);
        if (st != HR_OK) {
            hr_free(hops[i].type);
            hr_free(hops[i].field);
        }
    }
    return st;
}

static inline uint64_t fake_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

static void fake_init(struct fake *f, uint64_t n, uint64_t seed)
{
    *f = (struct fake){.n = n, .used = 100 << 20};
    f->addr = calloc(n + 1, 8), f->retained = calloc(n + 1, 8), f->size = calloc(n + 1, 4), f->type = calloc(n + 1, 4);
    f->owner = calloc(n + 1, 4), f->state = calloc(n + 1, 1), f->reach = calloc(n + 1, 1), f->surety = calloc(n + 1, 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = fake_random(&seed);
        f->addr[i] = 0x7f0000000000 + i * 0x40;
        f->size[i] = (uint32_t)(x % 4096 + 8);
        f->retained[i] = f->size[i] + (x >> 20) % 100000;
        f->type[i] = (uint32_t)(x >> 40) % FAKE_TYPES;
        f->state[i] = (uint8_t)((x >> 44) % 3);
        f->reach[i] = (uint8_t)((x >> 48) % 9);
        f->surety[i] = (uint8_t)((x >> 52) % 5);
        f->owner[i] = (x >> 56) % 4 ? (uint32_t)(x % n) : UINT32_MAX;
    }
    const struct hr_attr objects[] = {
        {"addr", HR_V_NUM, HR_COST_OBJECT, 0, "address", NULL, f->addr, 8},
        {"size", HR_V_NUM, HR_COST_OBJECT, 0, "usable bytes", NULL, f->size, 4},
        {"retained", HR_V_NUM, HR_COST_DOMINATORS, HR_NEED_DOMINATORS, "bytes", NULL, f->retained, 8},
        {"type", HR_V_TYPE, HR_COST_TYPE, HR_NEED_TYPES, "type", fake_get_type, f->type, 4},
        {"state", HR_V_STR, HR_COST_OBJECT, 0, "state", NULL, f->state, 1, NULL, fake_state, 3},
        {"reach", HR_V_STR, HR_COST_OBJECT, HR_NEED_REACH, "reach", NULL, f->reach, 1, NULL, fake_reach, 9},
        {"surety", HR_V_NUM, HR_COST_OBJECT, 0, "surety", NULL, f->surety, 1},
        {"owner", HR_V_ROW, HR_COST_OBJECT, 0, "owner", NULL, f->owner, 4, "objects"},
        {"reachable", HR_V_BOOL, HR_COST_OBJECT, HR_NEED_REACH, "live", fake_get_live},
        {"text", HR_V_STR, HR_COST_OBJECT, HR_NEED_STRINGS, "contents", fake_get_text},
        {"name", HR_V_STR, HR_COST_OBJECT, 0, "a name", fake_get_name},
        {"fill", HR_V_NUM, HR_COST_OBJECT, 0, "share", fake_get_fill},
    };
    memcpy(f->objects, objects, sizeof objects);
    f->tables[0] = (struct hr_table){"objects", "blocks", 0, fake_count, f->objects, sizeof objects / sizeof *objects, f, NULL, 0, fake_subject, fake_field};
    f->tables[1] = (struct hr_table){"leaks", "", HR_NEED_REACH, fake_leak_count, fake_leak_attrs, sizeof fake_leak_attrs / sizeof *fake_leak_attrs, f, NULL, 0, fake_leak_subject};
    f->tables[2] = (struct hr_table){"arenas", "", 0, fake_arena_count, fake_arena_attrs, sizeof fake_arena_attrs / sizeof *fake_arena_attrs, f};
    f->tables[3] = (struct hr_table){"types", "", HR_NEED_TYPES, fake_types_rows, fake_types_attrs, 4, f};
    f->tables[4] = (struct hr_table){"corruptions", "", 0, fake_corrupt_count, fake_corrupt_attrs, 3, f};
    f->globals[0] = (struct hr_global){"heap.used", HR_V_NUM, 0, "", fake_heap_used, f};
    f->globals[1] = (struct hr_global){"target", HR_V_STR, 0, "", fake_target, f};
    f->globals[2] = (struct hr_global){"image.path", HR_V_STR, 0, "", fake_path, f};
    f->globals[3] = (struct hr_global){"heap.secret", HR_V_NUM, 0, "", fake_nothing, f};
    f->globals[4] = (struct hr_global){"image.roots_complete", HR_V_BOOL, HR_NEED_REACH, "", fake_whole, f};
    f->globals[5] = (struct hr_global){"leak.shared_blocks", HR_V_NUM, HR_NEED_REACH, "", fake_shared, f};
    f->globals[6] = (struct hr_global){"leak.shared_bytes", HR_V_NUM, HR_NEED_REACH, "", fake_shared, f};
    f->globals[7] = (struct hr_global){"image.bare", HR_V_BOOL, 0, "", fake_process, f};
    f->model = (struct hr_model){.tables = f->tables, .ntables = 5, .globals = f->globals, .nglobals = 8, .trace = fake_trace, .trace_ctx = f};
}

__attribute__((unused)) static void fake_deinit(struct fake *f)
{
    void *const all[] = {f->addr, f->retained, f->size, f->type, f->owner, f->state, f->reach, f->surety};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

#endif
