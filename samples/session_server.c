/* A multi-threaded server with a session cache, and a leak on one error path.
 *
 * Four workers take requests from a queue. A request belongs to a session; sessions live in a hash table and in a
 * least-recently-used list, and the oldest is evicted when the table is full. Evicting writes what is still unsent.
 *
 * THE FAULT is in session_close(): when the last write fails, it returns early. The session itself is freed, its two
 * buffers, its user name and its attributes are not. Nothing points at them any more.
 *
 * There is no network here: the requests are made up, so that every run has something to find. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 4, REQUESTS = 60000, PEOPLE = 9000, CACHE_MAX = 2000, BUCKETS = 1024, QUEUE = 64 };

struct buffer {
    char *data;
    size_t len, cap;
};

struct attribute {
    struct attribute *next;
    char *name, *value;
};

struct session {
    struct session *hash_next;
    struct session *newer, *older; /* the LRU list */
    char *user;
    struct buffer in, out;
    struct attribute *attributes;
    unsigned key, requests;
};

struct cache {
    pthread_mutex_t lock;
    struct session *bucket[BUCKETS];
    struct session *newest, *oldest;
    size_t count;
};

struct request {
    unsigned person;
    char *text;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, drained;
    struct request item[QUEUE];
    size_t head, count;
    int closed;
};

static struct cache cache = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct queue queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, {{0}}, 0, 0, 0};
static unsigned long lost_sessions, lost_blocks; /* the truth, for the reader; under cache.lock */

static void *must(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

/* ---- buffers ---- */
static void buffer_add(struct buffer *b, const char *text, size_t n)
{
    if (b->len + n > b->cap) {
        b->cap = (b->len + n) * 2;
        b->data = must(realloc(b->data, b->cap));
    }
    memcpy(b->data + b->len, text, n);
    b->len += n;
}

/* Pretends to write to the peer; one peer in seven has gone away without a word. */
static int buffer_flush(struct buffer *b, unsigned key)
{
    if (key % 7 == 3)
        return -1;
    b->len = 0;
    return 0;
}

/* ---- sessions ---- */
static struct session *session_open(unsigned key)
{
    struct session *s = must(calloc(1, sizeof *s));
    char user[32];
    snprintf(user, sizeof user, "user-%06u@example.org", key);
    s->key = key;
    s->user = must(strdup(user));
    return s;
}

static void session_set(struct session *s, const char *name, const char *value)
{
    struct attribute *a = must(malloc(sizeof *a));
    a->name = must(strdup(name));
    a->value = must(strdup(value));
    a->next = s->attributes;
    s->attributes = a;
}

static unsigned session_blocks(const struct session *s)
{
    unsigned n = 1 + (s->in.data != NULL) + (s->out.data != NULL);
    for (const struct attribute *a = s->attributes; a; a = a->next)
        n += 3;
    return n;
}

static void session_close(struct session *s)
{
    if (buffer_flush(&s->out, s->key) < 0) {
        lost_sessions++;
        lost_blocks += session_blocks(s);
        free(s); /* THE FAULT: what s owns is still allocated */
        return;
    }
    for (struct attribute *a = s->attributes, *next; a; a = next) {
        next = a->next;
        free(a->name);
        free(a->value);
        free(a);
    }
    free(s->user);
    free(s->in.data);
    free(s->out.data);
    free(s);
}

/* ---- the cache; the caller holds its lock ---- */
static void lru_remove(struct session *s)
{
    *(s->newer ? &s->newer->older : &cache.newest) = s->older;
    *(s->older ? &s->older->newer : &cache.oldest) = s->newer;
    s->newer = s->older = NULL;
}

static void lru_push(struct session *s)
{
    s->older = cache.newest;
    *(cache.newest ? &cache.newest->newer : &cache.oldest) = s;
    cache.newest = s;
}

static void cache_evict(void)
{
    struct session *s = cache.oldest, **at = &cache.bucket[s->key % BUCKETS];
    while (*at != s)
        at = &(*at)->hash_next;
    *at = s->hash_next;
    lru_remove(s);
    cache.count--;
    session_close(s);
}

static struct session *cache_get(unsigned key)
{
    struct session **at = &cache.bucket[key % BUCKETS];
    for (struct session *s = *at; s; s = s->hash_next)
        if (s->key == key) {
            lru_remove(s);
            lru_push(s);
            return s;
        }
    if (cache.count == CACHE_MAX)
        cache_evict();
    struct session *s = session_open(key);
    s->hash_next = *at;
    *at = s;
    lru_push(s);
    cache.count++;
    return s;
}

/* ---- workers ---- */
static void serve(const struct request *r)
{
    char reply[200];
    size_t n = (size_t)snprintf(reply, sizeof reply, "200 %s: %u bytes for you\n", r->text, r->person % 400);
    pthread_mutex_lock(&cache.lock);
    struct session *s = cache_get(r->person);
    buffer_add(&s->in, r->text, strlen(r->text));
    buffer_add(&s->out, reply, n);
    if (s->requests++ == 0)
        session_set(s, "language", r->person % 2 ? "de" : "en");
    else if (s->requests == 3)
        session_set(s, "basket", "apples, pears");
    pthread_mutex_unlock(&cache.lock);
}

static void *worker(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&queue.lock);
        while (!queue.count && !queue.closed)
            pthread_cond_wait(&queue.filled, &queue.lock);
        while (queue.closed && !queue.count) /* idle, as servers are at night */
            pthread_cond_wait(&queue.filled, &queue.lock);
        struct request r = queue.item[queue.head];
        queue.head = (queue.head + 1) % QUEUE;
        queue.count--;
        pthread_cond_signal(&queue.drained);
        pthread_mutex_unlock(&queue.lock);
        serve(&r);
        free(r.text);
    }
    return NULL;
}

static void ask(unsigned person)
{
    char text[64];
    snprintf(text, sizeof text, "GET /shelf/%u?page=%u", person % 977, person % 13);
    pthread_mutex_lock(&queue.lock);
    while (queue.count == QUEUE)
        pthread_cond_wait(&queue.drained, &queue.lock);
    queue.item[(queue.head + queue.count++) % QUEUE] = (struct request){person, must(strdup(text))};
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
}

int main(void)
{
    pthread_t thread[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&thread[i], NULL, worker, NULL))
            return 1;
    unsigned seed = 1;
    for (int i = 0; i < REQUESTS; i++) {
        seed = seed * 1103515245 + 12345;
        ask(seed / 65536 % PEOPLE);
    }
    sleep(1); /* let the workers drain the queue */
    pthread_mutex_lock(&cache.lock);
    printf("%zu sessions cached; lost: %lu sessions, %lu blocks\nready\n", cache.count, lost_sessions, lost_blocks);
    pthread_mutex_unlock(&cache.lock);
    fflush(stdout);
    pause();
    return 0;
}
