/* Says where its own things lie, as the compiler that laid them out sees it. For test_dwarf.py.
 *
 *   S|type|size   F|type|path|offset|size   B|type|field|first bit|bits (in memory order)   E|enum|name|value
 *   G|name|address from the image's base|size   T|name|offset in the TLS block   L|function|name|address */
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "layout2.h"

struct list { struct list *next, *prev; };
struct node { struct node *next; int value; char name[13]; short tail; };
typedef struct { char c; struct node *n; union { int i; double d; char text[9]; } u; long double ld; } Thing;
typedef struct node node_t;
struct outer {
    char first;
    struct { int x; struct { short y; long z; } deep; } in;
    struct { int anon_a; union { char anon_b; long anon_c; }; };
    struct list link;
    struct node nodes[3];
    int grid[2][3][4];
    void (*call)(int, const char *);
    void (*table[4])(void);
    const volatile struct node *const cv;
    _Atomic int at;
    _Bool flag;
    float _Complex cplx;
    enum color { RED, GREEN = 7, BLUE = -3 } color;
} __attribute__((aligned(16)));
struct packed { char a; int b; long c; } __attribute__((packed));
struct bits { unsigned a : 3, b : 5; unsigned c : 20; unsigned long long d : 33; signed char e : 2; int f; unsigned g : 1; };
struct bits2 { char pad[3]; unsigned short a : 9; unsigned short b : 7; unsigned : 0; uint64_t c : 60; uint64_t d : 4; };
struct flex { int n; char data[]; };
struct flex0 { long n; struct list items[0]; };
struct flex1 { int n; int data[1]; };
struct notflex { int data[1]; int n; };
union mix { int i; double d; struct list l; char text[20]; };
struct empty {};
struct with_empty { struct empty e; int i; };
struct opaque; /* defined in layout2.c */
enum big { HUGE_ONE = 0x7fffffff, ZERO = 0 };

struct outer g_outer;
static struct node s_node;
struct opaque *g_opaque;
node_t *g_list;
union mix g_mix[5];
static Thing s_things[4];
static struct list *(*s_fp)(struct node *, int);
const char *const g_names[] = {"a", "b"};
__thread int t_int = 5;
static __thread struct node t_node;
struct bits g_bits; struct bits2 g_bits2; struct packed g_packed; struct flex *g_flex; struct flex0 *g_flex0;
struct flex1 *g_flex1; struct notflex *g_notflex; struct with_empty g_we; enum big g_big;
int g_vla_user;
extern char __executable_start;

#define S(t) printf("S|%s|%zu\n", #t, sizeof(t))
#define F(t, f) printf("F|%s|%s|%zu|%zu\n", #t, #f, offsetof(t, f), sizeof(((t *)0)->f))
#define G(v) printf("G|%s|%zu|%zu\n", #v, (size_t)((char *)&v - &__executable_start), sizeof v)
#define E(t, v) printf("E|%s|%s|%lld\n", #t, #v, (long long)v)
#define B(t, f)                                                                                                        \
    do {                                                                                                               \
        t b_;                                                                                                          \
        memset(&b_, 0, sizeof b_);                                                                                     \
        b_.f = ~b_.f;                                                                                                  \
        say_bits(#t, #f, &b_, sizeof b_);                                                                              \
    } while (0)

static void say_bits(const char *t, const char *f, const void *p, size_t n)
{
    const unsigned char *b = p;
    size_t first = n * 8, count = 0;
    const int one = 1;
    for (size_t i = 0; i < n * 8; i++) {
        int bit = *(const char *)&one ? b[i / 8] >> (i % 8) & 1 : b[i / 8] >> (7 - i % 8) & 1;
        first = bit && i < first ? i : first;
        count += (size_t)bit;
    }
    printf("B|%s|%s|%zu|%zu\n", t, f, first, count);
}

static int tls_block(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    if (!*(void **)data)
        *(void **)data = info->dlpi_tls_data;
    return 0;
}

static int counter(int n)
{
    static int calls;
    static struct node *cache[6];
    calls += n;
    cache[n % 6] = &s_node;
    printf("L|counter|calls|%zu\nL|counter|cache|%zu\n", (size_t)((char *)&calls - &__executable_start),
           (size_t)((char *)cache - &__executable_start));
    return calls;
}

int main(int argc, char **argv)
{
    void *tls = NULL;
    (void)argv;
    S(struct list); S(struct node); S(Thing); S(node_t); S(struct outer); S(struct packed); S(struct bits); S(struct bits2);
    S(struct flex); S(struct flex0); S(struct flex1); S(struct notflex); S(union mix); S(struct with_empty); S(enum big);
    S(enum color); S(struct opaque2); S(shared_t);
    F(struct list, prev); F(struct node, value); F(struct node, name); F(struct node, tail);
    F(Thing, c); F(Thing, n); F(Thing, u); F(Thing, u.text); F(Thing, ld);
    F(struct outer, in); F(struct outer, in.x); F(struct outer, in.deep.y); F(struct outer, in.deep.z);
    F(struct outer, anon_a); F(struct outer, anon_b); F(struct outer, anon_c); F(struct outer, link.prev);
    F(struct outer, nodes); F(struct outer, grid); F(struct outer, call); F(struct outer, table); F(struct outer, cv);
    F(struct outer, at); F(struct outer, flag); F(struct outer, cplx); F(struct outer, color);
    F(struct packed, b); F(struct packed, c); F(struct bits, f); F(struct with_empty, i);
    F(union mix, l.prev); F(union mix, text); F(struct flex1, data); F(shared_t, b); F(struct opaque2, self);
    F(struct notflex, n);
    B(struct bits, a); B(struct bits, b); B(struct bits, c); B(struct bits, d); B(struct bits, e); B(struct bits, g);
    B(struct bits2, a); B(struct bits2, b); B(struct bits2, c); B(struct bits2, d);
    E(enum color, RED); E(enum color, GREEN); E(enum color, BLUE); E(enum big, HUGE_ONE);
    G(g_outer); G(s_node); G(g_opaque); G(g_list); G(g_mix); G(s_things); G(s_fp); G(g_names); G(g_bits); G(g_flex);
    dl_iterate_phdr(tls_block, &tls);
    if (tls)
        printf("T|t_int|%zu\nT|t_node|%zu\n", (size_t)((char *)&t_int - (char *)tls), (size_t)((char *)&t_node - (char *)tls));
    s_fp = NULL;
    layout2_say();
    return counter(argc) < 0 && t_node.value && s_things[1].c && g_we.i && g_big && g_packed.b && g_notflex->n && g_vla_user &&
           g_bits2.c && g_flex0->n && g_flex1->n;
}
