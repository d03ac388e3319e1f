/* An event-driven sensor logger: a ring of pointers to events that overruns, handlers linked by a member in their middle, samples in
 * one growing array, log pages in both directions, names kept once. What it loses it says. */
#include "fw_say.h"

struct link { struct link *next; };
struct context { struct handler *owner; char *topic; int32_t limit; };
struct handler { uint32_t mask; struct context *ctx; struct link on; void (*run)(struct handler *, uint32_t); uint32_t hits; };
struct payload { uint16_t len; uint8_t body[14]; };
struct event { uint32_t kind, stamp; struct payload *data; };
struct sample { int16_t value; uint16_t flags; };
struct sensor { const char *name; struct sample *ring; uint16_t used, room; struct sensor *peer; };
struct page { struct page *prev, *next; uint16_t fill; char text[50]; };
struct name { struct name *next; char text[]; };

enum { RING = 8 };
static struct { struct event *slot[RING]; uint32_t head; } queue;
static struct link handlers;               /* leads to members, not to blocks */
static struct sensor *sensors[3];
static struct page *newest;                /* the pages before it hang on prev */
static struct name *names;
static struct context *volatile current;

static __attribute__((noinline)) const char *intern(const char *text)
{
    for (struct name *n = names; n; n = n->next)
        if (!strcmp(n->text, text))
            return n->text;
    struct name *n = (struct name *)fw_take(sizeof *n + strlen(text) + 1, "name");
    strcpy(n->text, text);
    n->next = names;
    names = n;
    return n->text;
}

static __attribute__((noinline)) void count(struct handler *h, uint32_t kind) { h->hits += kind; }

static __attribute__((noinline)) struct handler *subscribe(uint32_t mask, const char *topic)
{
    struct handler *h = TAKE(handler);
    h->ctx = TAKE(context);
    h->ctx->owner = h;
    h->ctx->topic = TAKE_N(char, strlen(topic) + 1);
    strcpy(h->ctx->topic, topic);
    h->mask = mask;
    h->run = count;
    h->on.next = handlers.next;
    handlers.next = &h->on;
    return h;
}

/* Takes the last one off the list and forgets it: handler and context hold each other. */
static __attribute__((noinline)) void unsubscribe_last(void)
{
    struct link *before = &handlers;
    while (before->next->next)
        before = before->next;
    struct handler *h = (struct handler *)((char *)before->next - offsetof(struct handler, on));
    before->next = NULL;
    LOST("cycle", h);
    LOST("cycle", h->ctx);
    LOST("indirect", h->ctx->topic);
}

static __attribute__((noinline)) void post(uint32_t kind, int with)
{
    struct event *e = TAKE(event), **slot = &queue.slot[queue.head++ % RING];
    e->kind = kind;
    if (with) {
        e->data = TAKE(payload);
        e->data->len = (uint16_t)kind;
    }
    if (*slot) { /* overrun: nobody took it */
        LOST("direct", *slot);
        if ((*slot)->data)
            LOST("indirect", (*slot)->data);
    }
    *slot = e;
}

static __attribute__((noinline)) void take_event(uint32_t at)
{
    struct event *e = queue.slot[at % RING];
    queue.slot[at % RING] = NULL;
    if (e->data)
        fw_give(e->data);
    fw_give(e);
}

static __attribute__((noinline)) void measure(struct sensor *s, int16_t v)
{
    if (s->used == s->room) {
        uint16_t room = (uint16_t)(s->room * 2 + 4);
        struct sample *more = TAKE_N(struct sample, room);
        if (s->ring) {
            memcpy(more, s->ring, s->used * sizeof *more);
            fw_give(s->ring);
        }
        s->ring = more;
        s->room = room;
    }
    s->ring[s->used++].value = v;
}

static __attribute__((noinline)) void log_line(const char *text)
{
    if (!newest || newest->fill + strlen(text) + 1 > sizeof newest->text) {
        struct page *p = TAKE(page);
        p->prev = newest;
        if (newest)
            newest->next = p;
        newest = p;
    }
    strcpy(newest->text + newest->fill, text);
    newest->fill = (uint16_t)(newest->fill + strlen(text) + 1);
}

static __attribute__((noinline)) void work(void)
{
    static const char *const topics[] = {"door", "wind/speed", "battery"};
    for (int i = 0; i < 3; i++) {
        sensors[i] = TAKE(sensor);
        sensors[i]->name = intern(topics[i]);
        sensors[i]->peer = i ? sensors[i - 1] : NULL;
    }
    for (int i = 0; i < 4; i++)
        subscribe(1u << i, topics[i % 3]);
    for (int i = 0; i < 60; i++) {
        measure(sensors[i % 3], (int16_t)(i * 7));
        if (i % 4 == 0)
            post((uint32_t)i, i % 8 == 0);
        if (i % 12 == 8)
            take_event(queue.head - 1);
        if (i % 9 == 0)
            log_line(i % 2 ? "sample stored in flash" : "battery low, radio off");
    }
    unsubscribe_last();
    current = ((struct handler *)((char *)handlers.next - offsetof(struct handler, on)))->ctx;
}

int main(void)
{
    char *volatile here = TAKE_N(char, 20); /* only this frame knows it */
    strcpy(here, "console line");
    work();
    fw_rest();
    return here[0];
}
