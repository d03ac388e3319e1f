/* A server that loses memory on its error path, and knows the type of each block that is left: types_lost TRUTH
 *
 * A line of TRUTH is "ADDRESS HOW TYPE" as types.cc writes it. What is lost has the same types as what is still held, and old
 * bytes all over: blocks are given back and handed out again for something else, nothing is cleared. HOW "guess": a type that
 * is never held, or memory with no type; both may stay unnamed. The table of what is allocated lies outside the heap, its
 * addresses are disguised. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PEOPLE = 900, CACHE = 200, REQUESTS = 6000, SLOTS = 1 << 17, THREADS = 3 };
#define DISGUISE 0x5a5a5a5a5a5a5a5aull

struct slot { uint64_t at; const char *how, *type; };
static struct slot *table;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct slot *slot_of(void *p)
{
    uint64_t key = (uintptr_t)p ^ DISGUISE, i = ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15ull >> 47;
    while (table[i % SLOTS].at && table[i % SLOTS].at != key)
        i++;
    return &table[i % SLOTS];
}

static void *note(void *p, const char *how, const char *type)
{
    *slot_of(p) = (struct slot){(uintptr_t)p ^ DISGUISE, how, type};
    return p;
}

static void give(void *p)
{
    if (p)
        slot_of(p)->how = NULL;
    free(p);
}
#define NEW(T) ((struct T *)note(malloc(sizeof(struct T)), "object", #T))

static char *text(const char *s) { return note(strdup(s), "array", "char"); }

struct bytes { char *data; size_t len, cap; };
struct attribute { struct attribute *next; char *name, *value; };
struct timer { struct timer *older; double when; struct session *of; long period; };           /* 32 bytes: blocks of 40 */
struct header { char *line; unsigned short code, flags; struct header *below; char *raw; };  /* the same */
struct upload { char *name; struct bytes body; struct upload *next; struct attribute *meta; int state; };
struct session {
    struct session *chain, *newer, *older;
    char *user;
    struct bytes in, out;
    struct attribute *attributes;
    struct header *headers;
    struct upload *uploads;
    struct timer *timer;
    unsigned key, requests;
};
struct ghost { struct ghost *left, *right; double weight[4]; int n; };                         /* never held */
struct plain { int a, b; double c[5]; };

static struct session *bucket[64], *newest, *oldest;
static struct timer *timers;
static unsigned held;

static void add(struct bytes *b, const char *s, size_t n)
{
    if (b->len + n > b->cap) {
        if (b->data)
            slot_of(b->data)->how = NULL;
        b->cap = (b->len + n) * 2;
        b->data = note(realloc(b->data, b->cap), "array", "char");
    }
    memcpy(b->data + b->len, s, n);
    b->len += n;
}

static void set(struct attribute **at, const char *name, const char *value)
{
    struct attribute *a = NEW(attribute);
    a->name = text(name);
    a->value = text(value);
    a->next = *at;
    *at = a;
}

static void give_attributes(struct attribute *a)
{
    for (struct attribute *next; a; a = next) {
        next = a->next;
        give(a->name);
        give(a->value);
        give(a);
    }
}

static void stop_timer(struct session *s)
{
    struct timer **at = &timers;
    while (*at && *at != s->timer)
        at = &(*at)->older;
    if (*at)
        *at = s->timer->older;
}

static void session_close(struct session *s)
{
    stop_timer(s);
    if (s->key % 4 == 3) { /* the fault: all that hangs on it is lost; the timer leads to what is gone */
        give(s);
        return;
    }
    give_attributes(s->attributes);
    for (struct header *h = s->headers, *next; h; h = next) {
        next = h->below;
        give(h->line);
        give(h->raw);
        give(h);
    }
    for (struct upload *u = s->uploads, *next; u; u = next) {
        next = u->next;
        give(u->name);
        give(u->body.data);
        give_attributes(u->meta);
        give(u);
    }
    give(s->timer);
    give(s->user);
    give(s->in.data);
    give(s->out.data);
    give(s);
}

static void unlink_session(struct session *s)
{
    *(s->newer ? &s->newer->older : &newest) = s->older;
    *(s->older ? &s->older->newer : &oldest) = s->newer;
}

static struct session *session_get(unsigned key)
{
    struct session **at = &bucket[key % 64], *s;
    for (s = *at; s; s = s->chain)
        if (s->key == key)
            return s;
    if (held == CACHE) {
        struct session *o = oldest, **of = &bucket[o->key % 64];
        while (*of != o)
            of = &(*of)->chain;
        *of = o->chain;
        unlink_session(o);
        session_close(o);
        held--;
    }
    s = NEW(session);
    memset(s, 0, sizeof *s);
    s->key = key;
    char user[40];
    snprintf(user, sizeof user, "user-%u@example.org", key);
    s->user = text(user);
    s->timer = NEW(timer);
    *s->timer = (struct timer){timers, key * 0.25, s, key % 3 * 1000};
    timers = s->timer;
    s->chain = bucket[key % 64];
    bucket[key % 64] = s;
    s->older = newest;
    *(newest ? &newest->newer : &oldest) = s;
    newest = s;
    held++;
    return s;
}

static void serve(unsigned person)
{
    char line[200];
    struct session *s = session_get(person);
    int n = snprintf(line, sizeof line, "GET /shelf/%u?page=%u", person % 97, person % 13);
    add(&s->in, line, (size_t)n);
    n = snprintf(line, sizeof line, "200 OK: %u bytes for you, \"%s\"\n", person, s->user);
    add(&s->out, line, (size_t)n);
    s->requests++;
    if (s->requests == 1)
        set(&s->attributes, "language", person % 2 ? "de" : "en");
    else if (s->requests % 3 == 0)
        set(&s->attributes, s->requests % 2 ? "basket" : "k", "apples, pears and a long list of other fruit");
    if (s->requests % 2) {
        struct header *h = NEW(header);
        h->line = text("accept: text/html");
        h->code = (unsigned short)(200 + person % 5); /* flags stay as they are */
        h->below = s->headers;
        h->raw = person % 7 ? NULL : text("");
        s->headers = h;
    }
    if (person % 5 == 0) {
        struct upload *u = NEW(upload);
        memset(u, 0, sizeof *u);
        u->name = text("picture.png");
        add(&u->body, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\1\2\3\4\5\6\7", 23);
        u->next = s->uploads;
        if (person % 2)
            set(&u->meta, "camera", "none");
        u->state = (int)(person % 3);
        s->uploads = u;
    }
}

static struct ghost *ghosts(int depth)
{
    struct ghost *g = note(calloc(1, sizeof *g), "guess", "ghost");
    if (depth) {
        g->left = ghosts(depth - 1);
        g->right = ghosts(depth - 1);
    }
    g->weight[0] = depth;
    return g;
}

/* Memory with no type that looks like one: two texts and a number, a chain, words that lead anywhere. */
static void decoys(void)
{
    void **last = NULL;
    for (int i = 0; i < 200; i++) {
        void **p = note(malloc(24), "guess", "(nothing)");
        p[0] = text("a decoy's name");
        p[1] = (void *)(uintptr_t)(i * 3);
        p[2] = text("a decoy's value");
        void **q = note(malloc(40), "guess", "(nothing)");
        q[0] = last;
        q[1] = p;
        q[2] = q;
        q[3] = (void *)decoys;
        q[4] = NULL;
        last = q;
        void **r = note(calloc(1, 40), "guess", "(nothing)"); /* a header's pointers, but no header's number */
        r[0] = text("accept: nothing");
        r[1] = (void *)(uintptr_t)(i * 1000 + 7);
        struct plain *n = note(calloc(1, sizeof *n), "guess", "plain");
        n->c[0] = i;
    }
}

static void *work(void *seed_of)
{
    unsigned seed = (unsigned)(uintptr_t)seed_of;
    for (int i = 0; i < REQUESTS / THREADS; i++) {
        seed = seed * 1103515245 + 12345;
        pthread_mutex_lock(&lock);
        serve(seed / 65536 % PEOPLE);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    table = mmap(NULL, SLOTS * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (argc != 2 || table == MAP_FAILED)
        return 2;
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    ghosts(6);
    decoys();
    FILE *truth = fopen(argv[1], "w");
    if (!truth)
        return 2;
    for (int i = 0; i < SLOTS; i++)
        if (table[i].how)
            fprintf(truth, "0x%llx %s %s\n", (unsigned long long)(table[i].at ^ DISGUISE), table[i].how, table[i].type);
    fclose(truth);
    if (write(1, "ready\n", 6) == 6)
        pause();
}
