/* A gateway that fragments its heap: nothing leaks, and yet the process stays large.
 *
 * Every request is read into a few large buffers, and while they are in use an access token is issued: a small block that
 * lives for hours. The buffers are freed when the request is done. THE FAULT is the interleaving: each token sits between
 * buffers, so the free memory around it cannot grow together, and the last token, near the end of the heap, keeps the top from
 * being given back to the system. (Tokens should come from a pool of their own.)
 *
 * A few expired tokens are removed, so that some free runs are larger than others. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REQUESTS = 3000, BUCKETS = 256, PARALLEL = 12 };

struct token {
    struct token *next;
    unsigned long id;
    long expires;
    char scope[40];
};

struct request {
    char *headers, *body, *answer;
    size_t body_size;
};

static struct token *table[BUCKETS];
static unsigned long tokens;

static void *must(void *p)
{
    if (!p)
        exit(1);
    return p;
}

static void token_issue(unsigned long id)
{
    struct token *t = must(calloc(1, sizeof *t));
    t->id = id;
    t->expires = 3600 + (long)(id % 100);
    snprintf(t->scope, sizeof t->scope, "read:shelf/%lu", id % 64);
    t->next = table[id % BUCKETS];
    table[id % BUCKETS] = t;
    tokens++;
}

static void token_expire(unsigned long id)
{
    for (struct token **at = &table[id % BUCKETS]; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            struct token *t = *at;
            *at = t->next;
            free(t);
            tokens--;
            return;
        }
}

static struct request request_begin(unsigned number)
{
    struct request r = {.body_size = 3000 + number * 37 % 9000};
    r.headers = must(malloc(1500));
    snprintf(r.headers, 1500, "POST /order/%u HTTP/1.1\r\nContent-Length: %zu\r\n", number, r.body_size);
    r.body = must(malloc(r.body_size));
    memset(r.body, 'b', r.body_size);
    token_issue(number);
    r.answer = must(malloc(2000 + number % 500));
    snprintf(r.answer, 2000, "201 created, %u", number);
    return r;
}

static void request_end(struct request *r)
{
    free(r->headers);
    free(r->body);
    free(r->answer);
    *r = (struct request){0};
}

int main(void)
{
    /* Requests of long-running uploads overlap: with all of them in flight, the heap grows; then they end. */
    struct request *inflight = must(calloc(REQUESTS, sizeof *inflight));
    for (unsigned i = 0; i < REQUESTS; i++)
        inflight[i] = request_begin(i);
    for (unsigned i = 0; i < REQUESTS; i++)
        request_end(&inflight[(i * 7u) % REQUESTS]);
    for (unsigned i = 0; i < REQUESTS; i++) /* 7 and 3000 have no common divisor: all are done, whatever the order */
        if (inflight[i].body)
            request_end(&inflight[i]);
    for (unsigned i = 0; i < REQUESTS; i++)
        if (i % 50 < 3)
            token_expire(i);
    token_issue(REQUESTS); /* the newest token */
    free(inflight);
    malloc_trim(0); /* the operator's hope: returns whole free pages inside, cannot move a single token */

    struct mallinfo2 m = mallinfo2();
    printf("%lu tokens; heap %zu bytes, in use %zu, free %zu\nready\n", tokens, m.arena, m.uordblks, m.fordblks);
    fflush(stdout);
    pause();
    return 0;
}
