/* A C program that knows the type of each of its blocks: types_c TRUTH
 *
 * A line of TRUTH is "ADDRESS HOW TYPE" as types.cc writes it; HOW "guess" marks blocks only an untyped pointer leads to: they
 * may stay without a type, but a type that is given has to be right. HOW "any" is memory with no one type. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Variables have external linkage, so that the compiler cannot drop those that are only written. */

static FILE *truth;
static void *note(void *p, const char *how, const char *type)
{
    fprintf(truth, "%p %s %s\n", p, how, type);
    return p;
}
#define NOTE note
#define NEW(T) ((struct T *)NOTE(calloc(1, sizeof(struct T)), "object", #T))
#define MANY(T, n) ((struct T *)NOTE(calloc(n, sizeof(struct T)), "array", #T))

static char *text(const char *fmt, int i)
{
    char *s = NULL;
    if (asprintf(&s, fmt, i) < 0)
        abort();
    char *copy = strdup(s); /* asprintf's own block is larger than its text */
    free(s);
    return NOTE(copy, "array", "char");
}

/* ---- lists, trees, hash tables ---- */
struct node { struct node *next; int key; double weight; };
struct tree { struct tree *left, *right, *up; char *label; int depth; };
struct entry { struct entry *chain; char *key; long value; unsigned hash; };
struct table { struct entry **bucket; size_t n, used; };

struct node *nodes;
struct tree *root;
struct table dictionary;

static void lists(void)
{
    for (int i = 0; i < 300; i++) {
        struct node *n = NEW(node);
        n->key = i;
        n->next = nodes;
        nodes = n;
    }
    for (int i = 0; i < 200; i++) {
        struct tree *t = NEW(tree), **at = &root, *up = NULL;
        t->label = text("label of tree number %d which is long", i);
        for (unsigned h = (unsigned)i * 2654435761u; *at; h <<= 1) {
            up = *at;
            at = h >> 31 ? &up->right : &up->left;
        }
        t->up = up;
        *at = t;
    }
    dictionary.n = 64;
    dictionary.bucket = NOTE(calloc(64, sizeof *dictionary.bucket), "pointers", "entry");
    for (int i = 0; i < 250; i++) {
        struct entry *e = NEW(entry);
        e->key = text("key %d", i);
        e->chain = dictionary.bucket[i % 64];
        dictionary.bucket[i % 64] = e;
    }
}

/* ---- intrusive lists: only the embedded links are pointed at ---- */
struct link { struct link *next, *prev; };
struct owner { char *name; struct owner *boss; };
struct task { int id, state; char what[24]; struct link all; struct owner *by; };       /* link at 32 */
struct job { struct link all; double cost[3]; struct link mine; struct owner *by; long n[5]; }; /* links at 0 and 40 */
struct link tasks = {&tasks, &tasks}, jobs = {&jobs, &jobs};
struct { struct link mine; int n; } account = {{&account.mine, &account.mine}, 0};

static void hook(struct link *head, struct link *l)
{
    l->next = head->next;
    l->prev = head;
    head->next->prev = l;
    head->next = l;
}

static void intrusive(void)
{
    struct owner *o = NULL;
    for (int i = 0; i < 200; i++) {
        struct task *t = NEW(task);
        hook(&tasks, &t->all);
        struct job *j = NEW(job);
        hook(&jobs, &j->all);
        hook(&account.mine, &j->mine);
        if (i % 10 == 0) {
            struct owner *b = NEW(owner);
            b->name = text("owner of many things %d", i);
            b->boss = o;
            o = b;
        }
        t->by = o;
        j->by = i % 2 ? o : NULL;
        memset(t->what, 'w', 20);
    }
}

/* ---- arrays, flexible arrays ---- */
struct item { char *name; int count; float price; struct owner *maker; };
struct list_of_items { struct item *items; size_t n, cap; };
struct message { struct message *next; size_t len; char data[]; };
struct polygon { int n; struct polygon *next; struct { double x, y; } at[]; };
struct matrix { double **row; double *sum; int n; struct matrix *next; };
struct list_of_items stock[20];
struct message *mail;
struct polygon *shapes;
struct matrix *matrices;

static void arrays(void)
{
    for (int i = 0; i < 20; i++) {
        stock[i].cap = (size_t)(4 + 3 * i);
        stock[i].n = (size_t)(2 + 2 * i);
        stock[i].items = MANY(item, stock[i].cap);
        for (size_t k = 0; k < stock[i].n; k++)
            stock[i].items[k] = (struct item){text("an item in stock, number %d", (int)k), 1, 2, NULL};
    }
    for (int i = 0; i < 100; i++) {
        struct message *m = NOTE(calloc(1, sizeof *m + (size_t)i * 5), "object", "message");
        m->len = (size_t)i * 5;
        memset(m->data, 'm', m->len);
        m->next = mail;
        mail = m;
        struct polygon *p = NOTE(calloc(1, sizeof *p + (size_t)(i % 9) * 16), "object", "polygon");
        p->n = i % 9;
        p->next = shapes;
        shapes = p;
    }
    for (int i = 0; i < 10; i++) {
        struct matrix *m = NEW(matrix);
        m->n = 8 + i;
        m->row = NOTE(malloc((size_t)m->n * sizeof *m->row), "pointers", "double");
        m->sum = NOTE(calloc((size_t)m->n, sizeof(double)), "array", "double");
        for (int k = 0; k < m->n; k++) {
            m->row[k] = NOTE(calloc((size_t)m->n, sizeof(double)), "array", "double");
            for (int c = 0; c < m->n; c++)
                m->row[k][c] = c * 1.5 + k;
        }
        m->next = matrices;
        matrices = m;
    }
}

/* ---- inheritance in C, tables of functions, unions with a tag, opaque data ---- */
struct shape;
struct shape_ops { double (*area)(struct shape *); void (*move)(struct shape *, double); };
struct shape { const struct shape_ops *ops; struct shape *next; int colour; };
struct circle { struct shape base; double r; struct owner *of; };                       /* 40 bytes */
struct text_box { struct shape base; char *caption; struct item *shown; double w, h; };  /* 56 bytes */
static double area_c(struct shape *s) { return ((struct circle *)s)->r; }
static double area_t(struct shape *s) { return ((struct text_box *)s)->w; }
static void move(struct shape *s, double d) { s->colour = (int)d; }
static const struct shape_ops circle_ops = {area_c, move}, box_ops = {area_t, move};
struct shape *drawing;

struct vobject { char *class_name; struct value *members; int n; };
struct varray { struct value *v; size_t n, cap; double scale; };
struct value { int tag; union { long i; double d; struct vobject *o; struct varray *a; } u; };
struct value globals_of_script[16];

struct secret_a { char *name; struct owner *who; long a[4]; };
struct secret_b { double d[10]; struct item *first; };
struct widget { void *data; void (*act)(void *); struct widget *next; };
struct widget *widgets;
static void act(void *p) { (void)p; }

struct connection { int fd; struct connection *next; char *peer; }; /* allocated with private bytes behind it */
struct connection *connections;

static void objects(void)
{
    for (int i = 0; i < 120; i++) {
        struct shape *s;
        if (i % 2) {
            struct circle *c = NEW(circle);
            c->r = i;
            s = &c->base;
            s->ops = &circle_ops;
        } else {
            struct text_box *b = NEW(text_box);
            b->caption = text("caption of the box number %d in the drawing", i);
            s = &b->base;
            s->ops = &box_ops;
        }
        s->next = drawing;
        drawing = s;
    }
    for (int i = 0; i < 16; i++) {
        struct value *v = &globals_of_script[i];
        v->tag = i % 4;
        if (v->tag == 2) {
            v->u.o = NEW(vobject);
            v->u.o->class_name = text("class %d of the script", i);
        } else if (v->tag == 3) {
            v->u.a = NEW(varray);
            v->u.a->n = v->u.a->cap = 7;
            v->u.a->v = MANY(value, 7);
        } else {
            v->u.i = i;
        }
    }
    for (int i = 0; i < 60; i++) {
        struct widget *w = NEW(widget);
        w->act = act;
        if (i % 2) {
            struct secret_a *a = NOTE(calloc(1, sizeof *a), "guess", "secret_a");
            a->name = text("a secret with the number %d", i);
            w->data = a;
        } else {
            w->data = NOTE(calloc(1, sizeof(struct secret_b)), "guess", "secret_b");
        }
        w->next = widgets;
        widgets = w;
        struct connection *c = NOTE(malloc(sizeof *c + 100), "object", "connection");
        memset(c, 0x5a, sizeof *c + 100);
        *c = (struct connection){i, connections, text("peer %d", i)};
        connections = c;
    }
}

/* ---- a pool: one large block with objects of several types in it ---- */
struct pool_a { struct pool_a *next; int n; };
struct pool_b { struct pool_b *left, *right; double d[4]; };
struct pool_a *pool_as;
struct pool_b *pool_bs;
static void pools(void)
{
    char *pool = NOTE(malloc(8192), "any", "");
    size_t at = 0;
    for (int i = 0; i < 60; i++) {
        struct pool_a *a = (struct pool_a *)(pool + at);
        at += sizeof *a;
        *a = (struct pool_a){pool_as, i};
        pool_as = a;
        struct pool_b *b = (struct pool_b *)(pool + at);
        at += sizeof *b;
        *b = (struct pool_b){pool_bs, NULL, {1, 2, 3, 4}};
        pool_bs = b;
    }
}

/* ---- threads: what only locals and thread-local variables hold ---- */
struct session { int id; struct owner *user; char *cookie; struct session *peer; double times[6]; };
struct errbuf { struct errbuf *older; int code; char *what; };
__thread struct errbuf *errors;
static pthread_barrier_t ready;

static void *serve(void *arg)
{
    struct session *volatile s = arg;
    for (int i = 0; i < 5; i++) {
        struct errbuf *e = NEW(errbuf);
        e->older = errors;
        errors = e;
    }
    pthread_barrier_wait(&ready);
    pause();
    return s->cookie;
}

int main(int argc, char **argv)
{
    truth = argc == 2 ? fopen(argv[1], "w") : NULL;
    if (!truth)
        return 2;
    lists();
    intrusive();
    arrays();
    objects();
    pools();
    if (getenv("LOSE")) { /* every other kind is leaked as a whole: no typed pointer leads there */
        nodes = NULL;
        dictionary = (struct table){0};
        jobs = (struct link){&jobs, &jobs};
        account.mine = jobs;
        mail = NULL;
        memset(stock, 0, sizeof stock);
        drawing = NULL;
        memset(globals_of_script, 0, sizeof globals_of_script);
    }
    pthread_barrier_init(&ready, NULL, 4);
    for (int i = 0; i < 3; i++) {
        struct session *s = NEW(session), *p = NEW(session);
        s->peer = p;
        s->cookie = text("a cookie for the session %d", i);
        pthread_t t;
        pthread_create(&t, NULL, serve, s);
    }
    pthread_barrier_wait(&ready);
    fclose(truth);
    if (write(1, "ready\n", 6) == 6)
        pause();
}
