/* The type table by hand: names, lookup, offsets, merging; the child process; names of C++ types. */
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "analyzer/types/child.h"
#include "analyzer/types/table.h"

static struct hr_strs *strs;
static struct hr_notes notes;

static struct hr_types table(void)
{
    struct hr_types t;
    if (hr_types_init(&t, strs, &notes) != HR_OK)
        abort();
    return t;
}

static hr_str str(const char *z)
{
    hr_str s;
    if (hr_strs_addz(strs, z, &s) != HR_OK)
        abort();
    return s;
}

static hr_type add(struct hr_types *t, struct hr_type_row r)
{
    if (hr_rowvec_push(&t->rows, r) != HR_OK)
        abort();
    return (hr_type)(t->rows.n - 1);
}

/* Fields have to be added right after their struct. */
static void field(struct hr_types *t, hr_type to, const char *name, hr_type type, uint32_t off, uint16_t flags)
{
    struct hr_type_row *r = &t->rows.v[to];
    if (!r->nfields)
        r->field0 = (uint32_t)t->fields.n;
    if (hr_fieldvec_push(&t->fields, (struct hr_field){.name = str(name), .type = type, .off = off, .flags = flags}) != HR_OK)
        abort();
    r->nfields++;
}

static hr_type merged(struct hr_types *into, const struct hr_types *from, uint32_t module, hr_type id)
{
    struct hr_u32vec map;
    if (hr_types_merge(into, from, module, 0x1000, &map) != HR_OK)
        return 0;
    hr_type r = map.v[id];
    hr_u32vec_deinit(&map);
    return r;
}

#define IS(got, want, ...)                                                                                             \
    do {                                                                                                               \
        const char *is_g_ = (got), *is_w_ = (want);                                                                    \
        OK(!strcmp(is_g_, is_w_), __VA_ARGS__);                                                                        \
        if (strcmp(is_g_, is_w_))                                                                                      \
            printf("#   got \"%s\", wanted \"%s\"\n", is_g_, is_w_);                                                   \
    } while (0)

/* What C calls these declarators. */
static void names(void)
{
    struct hr_types t = table();
    char buf[200], tiny[8];
    hr_type i = add(&t, (struct hr_type_row){.kind = HR_T_INT, .name = str("int"), .size = 4});
    hr_type s = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("node"), .size = 16});
    hr_type c = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("ns::Foo"), .flags = HR_TF_CXX, .size = 16});
    hr_type a = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .size = 16});
    hr_type p, pp, arr, ap, pa, f, pf, apf, v, vp, m;
    if (hr_types_pointer_to(&t, s, &p) != HR_OK || hr_types_pointer_to(&t, p, &pp) != HR_OK ||
        hr_types_array_of(&t, i, 3, &arr) != HR_OK || hr_types_array_of(&t, arr, 2, &m) != HR_OK ||
        hr_types_array_of(&t, p, 4, &ap) != HR_OK || hr_types_pointer_to(&t, arr, &pa) != HR_OK)
        abort();
    f = add(&t, (struct hr_type_row){.kind = HR_T_FUNC, .target = i});
    v = add(&t, (struct hr_type_row){.kind = HR_T_FUNC});
    if (hr_types_pointer_to(&t, f, &pf) != HR_OK || hr_types_array_of(&t, pf, 5, &apf) != HR_OK ||
        hr_types_pointer_to(&t, 0, &vp) != HR_OK)
        abort();
    hr_type r = add(&t, (struct hr_type_row){.kind = HR_T_REF, .target = c, .size = 8});
    hr_type fl = add(&t, (struct hr_type_row){.kind = HR_T_ARRAY, .target = i});
    IS(hr_type_name(&t, s, buf, sizeof buf), "struct node", "a struct");
    IS(hr_type_name(&t, c, buf, sizeof buf), "ns::Foo", "a class");
    IS(hr_type_name(&t, a, buf, sizeof buf), "struct {...}", "an anonymous struct");
    IS(hr_type_name(&t, p, buf, sizeof buf), "struct node *", "a pointer");
    IS(hr_type_name(&t, pp, buf, sizeof buf), "struct node **", "a pointer to a pointer");
    IS(hr_type_name(&t, arr, buf, sizeof buf), "int [3]", "an array");
    IS(hr_type_name(&t, m, buf, sizeof buf), "int [2][3]", "an array of arrays");
    IS(hr_type_name(&t, ap, buf, sizeof buf), "struct node *[4]", "an array of pointers");
    IS(hr_type_name(&t, pa, buf, sizeof buf), "int (*)[3]", "a pointer to an array");
    IS(hr_type_name(&t, pf, buf, sizeof buf), "int (*)()", "a pointer to a function");
    IS(hr_type_name(&t, apf, buf, sizeof buf), "int (*[5])()", "an array of those");
    IS(hr_type_name(&t, v, buf, sizeof buf), "void ()", "a function that gives nothing");
    IS(hr_type_name(&t, vp, buf, sizeof buf), "void *", "an untyped pointer");
    IS(hr_type_name(&t, r, buf, sizeof buf), "ns::Foo &", "a reference");
    IS(hr_type_name(&t, fl, buf, sizeof buf), "int []", "an array of unknown length");
    IS(hr_type_name(&t, 0, buf, sizeof buf), "?", "nothing");
    IS(hr_type_name(&t, 0xffffff, buf, sizeof buf), "?", "a row that is not there");
    IS(hr_type_name(&t, s, tiny, sizeof tiny), "struct ", "cut to the buffer");
    hr_type again;
    OK(hr_types_pointer_to(&t, s, &again) == HR_OK && again == p, "a pointer type is made once");
    OK(hr_types_array_of(&t, i, 4, &again) == HR_OK && again != arr, "arrays of other lengths are others");
    OK(hr_types_array_of(&t, s, UINT64_MAX / 4, &again) == HR_LIMIT, "an array larger than memory is refused");
    OK(hr_types_add_runtime(&t, "list", 40, &again) == HR_OK && hr_type_find(&t, "list") == again, "a type of a runtime is found");
    hr_types_deinit(&t);
}

/* A header's struct `B`, declared in one module and defined in another. */
static struct hr_types declares(hr_type *b, hr_type *a)
{
    struct hr_types t = table();
    *b = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("B"), .flags = HR_TF_DECLARATION | HR_TF_UNSIZED});
    hr_type p = add(&t, (struct hr_type_row){.kind = HR_T_PTR, .target = *b, .size = 8});
    hr_type td = add(&t, (struct hr_type_row){.kind = HR_T_TYPEDEF, .target = *b, .name = str("B_t")});
    (void)td;
    *a = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("A"), .size = 8, .decl_line = 3, .decl_file = str("/x/a.h")});
    field(&t, *a, "b", p, 0, 0);
    return t;
}

static struct hr_types defines(hr_type *b, hr_type *a, uint64_t size)
{
    struct hr_types t = table();
    hr_type p = add(&t, (struct hr_type_row){.kind = HR_T_PTR, .target = 2, .size = 8});
    *b = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("B"), .size = size, .decl_line = 9});
    field(&t, *b, "next", p, 0, 0);
    *a = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("A"), .size = 8, .decl_line = 3, .decl_file = str("/y/a.h")});
    field(&t, *a, "b", p, 0, 0);
    return t;
}

static void merging(void)
{
    for (int order = 0; order < 2; order++) {
        hr_type db, da, b, a;
        struct hr_types dec = declares(&db, &da), def = defines(&b, &a, 24), all = table();
        hr_type b1, b2;
        if (order) {
            b2 = merged(&all, &def, 0, b);
            b1 = merged(&all, &dec, 1, db);
        } else {
            b1 = merged(&all, &dec, 0, db);
            OK(hr_type_find(&all, "B") == 0, "a declaration alone is not found");
            b2 = merged(&all, &def, 1, b);
        }
        const char *how = order ? "definition first" : "declaration first";
        OK(b1 && b1 == b2, "%s: one row", how);
        EQ(hr_type_get(&all, b1)->size, 24, "%s: with the size of the definition", how);
        EQ(hr_type_get(&all, hr_type_find(&all, "B_t"))->size, 24, "%s: and so the typedef", how);
        OK(hr_type_find(&all, "struct B") == b1 && hr_type_find(&all, "B") == b1, "%s: found by name", how);
        OK(!hr_type_find(&all, "union B") && !hr_type_find(&all, "struct B_t"), "%s: not as what it is not", how);
        size_t n = all.rows.n;
        OK(merged(&all, &def, 2, b) == b1 && merged(&all, &dec, 3, db) == b1 && all.rows.n == n, "%s: again adds no row", how);
        EQ(merged(&all, &dec, 3, da), hr_type_find(&all, "A"), "%s: a struct of the same header in two folders is one", how);
        struct hr_types other = defines(&b, &a, 32);
        hr_type b3 = merged(&all, &other, 4, b);
        OK(b3 && b3 != b1 && hr_type_get(&all, b3)->size == 32, "%s: another struct of that name is another row", how);
        OK(hr_type_find(&all, "B") == b1, "%s: the first keeps the name", how);
        hr_types_deinit(&dec);
        hr_types_deinit(&def);
        hr_types_deinit(&other);
        hr_types_deinit(&all);
    }
}

/* C lets two files have a `struct B` of their own: who only declares one means neither for sure. C++ does not. */
static void ambiguous(void)
{
    for (int cxx = 0; cxx < 2; cxx++) {
        struct hr_types t = table(), all = table();
        uint8_t flag = cxx ? HR_TF_CXX : 0;
        hr_type one = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("B"), .size = 8, .flags = flag, .decl_line = 1});
        hr_type two = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("B"), .size = 16, .flags = flag, .decl_line = 2});
        hr_type d = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("B"), .flags = HR_TF_DECLARATION | HR_TF_UNSIZED | flag});
        struct hr_u32vec map;
        if (hr_types_merge(&all, &t, 0, 0, &map) != HR_OK)
            abort();
        OK(map.v[one] != map.v[two] && map.v[one] && map.v[two], "two definitions of one name are two rows");
        const struct hr_type_row *r = hr_type_get(&all, map.v[d]);
        OK(!!(r->flags & HR_TF_DECLARATION) == !cxx, cxx ? "a C++ declaration is the first" : "a C declaration is left open");
        hr_u32vec_deinit(&map);
        hr_types_deinit(&t);
        hr_types_deinit(&all);
    }
}

/* Types no compiler writes. */
static void impossible(void)
{
    struct hr_types t = table(), all = table();
    hr_type s = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("S"), .size = 8});
    field(&t, s, "u", 2, 0, 0);
    hr_type u = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("U"), .size = 8});
    field(&t, u, "s", s, 0, 0);
    hr_type td = add(&t, (struct hr_type_row){.kind = HR_T_TYPEDEF, .name = str("loop"), .target = 3});
    hr_type big = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("Big"), .size = 4});
    field(&t, big, "out", s, 2, 0);
    hr_type z = add(&t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = str("Z"), .size = 0});
    field(&t, z, "self", z, 0, 0);
    hr_type arr = add(&t, (struct hr_type_row){.kind = HR_T_ARRAY, .target = s, .count = UINT64_MAX / 2});
    OK(hr_types_merge(&all, &t, 0, 0, NULL) == HR_OK, "merges");
    char path[64];
    const struct hr_type_row *rs = hr_type_get(&all, hr_type_find(&all, "S")), *ru = hr_type_get(&all, hr_type_find(&all, "U"));
    OK(!all.fields.v[rs->field0].type || !all.fields.v[ru->field0].type, "two structs in each other: cut");
    EQ(hr_type_strip(&all, hr_type_find(&all, "loop")), 0, "a typedef of itself is nothing");
    EQ(all.fields.v[hr_type_get(&all, hr_type_find(&all, "Big"))->field0].type, 0, "a member past the end has no type");
    EQ(all.fields.v[hr_type_get(&all, hr_type_find(&all, "Z"))->field0].type, 0, "an empty struct in itself: cut");
    for (uint32_t i = 0; i < all.rows.n; i++)
        if (all.rows.v[i].kind == HR_T_ARRAY)
            EQ(all.rows.v[i].size, 0, "an array larger than memory has no size");
    EQ(hr_type_at(&all, hr_type_find(&all, "S"), 99, path, sizeof path), 0, "nothing lies past the end");
    (void)td;
    (void)arr;
    hr_types_deinit(&t);
    hr_types_deinit(&all);
}

/* Flat form and back. */
static void flat(void)
{
    hr_type b, a;
    struct hr_types def = defines(&b, &a, 24), one = table(), two = table();
    static uint8_t room[4096], room2[4096];
    struct hr_child_out out = {room, 0, sizeof room}, out2 = {room2, 0, sizeof room2};
    uint32_t flags = 0;
    if (hr_varvec_push(&def.vars, (struct hr_var){.name = str("v"), .type = b, .addr = 0x40, .kind = HR_VAR_TLS}) != HR_OK ||
        hr_varvec_push(&def.vars, (struct hr_var){.name = str("w"), .type = a, .addr = 0x40, .decl_line = 7}) != HR_OK)
        abort();
    OK(hr_types_merge(&one, &def, 0, 0, NULL) == HR_OK && hr_blob_write(&one, HR_BLOB_DEEP, &out) == HR_OK, "writes");
    OK(hr_blob_read((struct hr_span){room, out.n}, &two, &flags) == HR_OK && flags == HR_BLOB_DEEP, "reads back");
    OK(hr_blob_write(&two, flags, &out2) == HR_OK && out2.n == out.n && !memcmp(room, room2, out.n), "and is the same");
    struct hr_types all = table();
    OK(merged(&all, &two, 5, 1) && all.vars.n == 2, "merges");
    hr_types_sort_vars(&all);
    OK(all.vars.v[0].addr == 0x1040 && all.vars.v[0].module == 5 && all.vars.v[0].decl_line == 7, "a variable moves with its module");
    EQ(all.vars.v[1].addr, 0x40, "a thread-local keeps its offset");
    out.cap = out.n - 1;
    out.n = 0;
    OK(hr_blob_write(&one, 0, &out) == HR_LIMIT, "no room: refused");
    hr_types_deinit(&def);
    hr_types_deinit(&one);
    hr_types_deinit(&two);
    hr_types_deinit(&all);
}

/* ---- the child ---- */

static enum hr_status says(void *ctx, struct hr_child_out *out) { return hr_child_put(out, ctx, strlen(ctx)); }
static enum hr_status dies(void *ctx, struct hr_child_out *out)
{
    (void)out;
    raise(*(int *)ctx);
    return HR_OK;
}
static enum hr_status loops(void *ctx, struct hr_child_out *out)
{
    (void)out;
    for (volatile uint64_t *n = ctx; *n < UINT64_MAX; ++*n)
        ;
    return HR_OK;
}
static enum hr_status eats(void *ctx, struct hr_child_out *out)
{
    (void)ctx;
    (void)out;
    for (int i = 0; i < 1024; i++) {
        char *p = malloc(1 << 20);
        if (!p)
            return HR_NOMEM;
        memset(p, 1, 1 << 20);
    }
    return HR_OK;
}
static enum hr_status refuses(void *ctx, struct hr_child_out *out)
{
    (void)ctx;
    (void)out;
    return HR_ABSENT;
}
static enum hr_status floods(void *ctx, struct hr_child_out *out)
{
    (void)ctx;
    static char block[4096];
    enum hr_status st;
    while ((st = hr_child_put(out, block, sizeof block)) == HR_OK)
        ;
    return st;
}
/* Everything it should not be able to do; answers with a letter for each thing it could. */
static enum hr_status escapes(void *ctx, struct hr_child_out *out)
{
    int fd = open("/etc/passwd", O_RDONLY);
    if (fd >= 0)
        HR_TRY(hr_child_put(out, "o", 1));
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
        HR_TRY(hr_child_put(out, "s", 1));
    if (write(*(int *)ctx, "x", 1) == 1)
        HR_TRY(hr_child_put(out, "w", 1));
    if (unlink("/tmp/no-such-file-of-ours") != 0 && errno != EPERM)
        HR_TRY(hr_child_put(out, "u", 1));
    return hr_child_put(out, ".", 1);
}

static enum hr_status run(hr_child_fn *fn, void *ctx, struct hr_child_limits lim, char *why, char *said)
{
    struct hr_u8vec v = {0};
    *why = *said = 0;
    enum hr_status st = hr_child_run(fn, ctx, &lim, &v, why, 128);
    if (st == HR_OK) {
        memcpy(said, v.v, v.n < 60 ? v.n : 60);
        said[v.n < 60 ? v.n : 60] = 0;
        hr_u8vec_deinit(&v);
    }
    return st;
}

static void children(void)
{
    char why[128], said[64], text[] = "an answer";
    int sig = SIGSEGV, fds[2];
    struct hr_child_limits none = {0}, little = {.memory = 64 << 20, .seconds = 1, .output = 1 << 16};
    OK(run(says, text, none, why, said) == HR_OK && !strcmp(said, text), "the answer comes back");
    EQ(run(refuses, NULL, none, why, said), HR_ABSENT, "so does the status");
    EQ(run(floods, NULL, little, why, said), HR_LIMIT, "an answer without end is refused");
    if (HR_SANITIZED) {
        SKIP("a sanitizer forbids limits");
        return;
    }
    EQ(run(dies, &sig, none, why, said), HR_CORRUPT, "a crash is a status");
    IS(why, "crashed (signal 11)", "and a sentence");
    uint64_t n = 0;
    EQ(run(loops, &n, little, why, said), HR_LIMIT, "a loop ends with its CPU time");
    IS(why, "used more than 1 s of CPU", "and a sentence");
    EQ(n, 0, "the parent's memory is untouched");
    EQ(run(eats, NULL, little, why, said), HR_NOMEM, "memory is bounded");
    if (pipe(fds))
        abort();
    EQ(run(escapes, &fds[1], none, why, said), HR_OK, "one that tries to get out ends normally");
    IS(said, ".", "it could open no file, make no socket, write to no descriptor, unlink nothing");
    close(fds[0]);
    close(fds[1]);
}

/* As c++filt (binutils 2.40) prints them. */
static void demangling(void)
{
    static const char *const pairs[][2] = {
        {"3Foo", "Foo"}, {"N2ns3FooE", "ns::Foo"}, {"St6vectorIiSaIiEE", "std::vector<int, std::allocator<int> >"},
        {"N12_GLOBAL__N_13FooE", "(anonymous namespace)::Foo"}, {"3BarIiLi3EE", "Bar<int, 3>"},
        {"N2ns1AIPKcLb1EE1BE", "ns::A<char const*, true>::B"}, {"1AIFivEE", "A<int ()>"}, {"1AIPFviEE", "A<void (*)(int)>"},
        {"1AIA3_iE", "A<int [3]>"}, {"1AIRA3_KiE", "A<int const (&) [3]>"}, {"1AIM1BiE", "A<int B::*>"},
        {"1AIM1BFvvEE", "A<void (B::*)()>"}, {"1AIJiS_IJEEEE", "A<int, A<> >"}, {"Z4mainE5Local", "main::Local"},
        {"Z1fiE5Local_0", "f(int)::Local"}, {"ZN1C1fEvEUlvE_", "C::f()::{lambda()#1}"},
        {"NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"},
        {"St8functionIFvSsEE",
         "std::function<void (std::basic_string<char, std::char_traits<char>, std::allocator<char> >)>"},
        {"1AILm7EE", "A<7ul>"}, {"1AIL5Color1EE", "A<(Color)1>"}, {"1AILin3EE", "A<-3>"}, {"1AIDnE", "A<decltype(nullptr)>"},
        {"1AIKPVS_IiEE", "A<A<int> volatile* const>"}};
    static const char *const bad[] = {"", "N", "N3Foo", "3Fo", "99999999999Foo", "1AI", "S_", "1AIS9_E", "T_", "0", "3FooX", "1AIXadL_Z1fvEEE",
                                      "NE", "Z", "M", "F", "A", "L", "1AILiE", "\xff\xff", "DDDD", "St", "N1AIE"};
    char buf[512], deep[4096];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        IS(hr_demangle_type(pairs[i][0], buf, sizeof buf) ? buf : "(refused)", pairs[i][1], "%s", pairs[i][0]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad - 1; i++)
        OK(!hr_demangle_type(bad[i], buf, sizeof buf), "\"%s\" is no name", i == 19 ? "ff" : bad[i]);
    memset(deep, 'P', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    OK(!hr_demangle_type(deep, buf, sizeof buf), "four thousand pointers are refused");
    /* each argument doubles what stands before it: 2^40 characters if nobody counts */
    char boom[600] = "1AI";
    size_t n = 3;
    n += (size_t)sprintf(boom + n, "1BIiiE");
    for (int i = 0; i < 40; i++)
        n += (size_t)sprintf(boom + n, "S_IS%c_S%c_E", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i % 30], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i % 30]);
    sprintf(boom + n, "E");
    (void)hr_demangle_type(boom, buf, sizeof buf);
    OK(1, "substitutions that double do not run away");
    OK(!hr_demangle_type("N2ns3FooE", buf, 4), "a buffer that is too small is refused");
}

int main(void)
{
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        return 1;
    names();
    merging();
    ambiguous();
    impossible();
    flat();
    children();
    demangling();
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return tap_done();
}
