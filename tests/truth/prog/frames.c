/* Threads that block in known places and say so: their chain of functions, and addresses and values of locals.
 *     frames [abort]
 * Lines: "chain TID name name …" (innermost first), "local TID FUNC NAME ADDRESS VALUE", "kept TID FUNC NAME VALUE" (a
 * variable that is needed after the blocking call, wherever the compiler keeps it), "depth TID FUNC N", then "ready". */
#include <alloca.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static pthread_mutex_t print_lock = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t cond_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t started;
static sem_t sem;
static int pipes[2];
volatile long opaque = 1; /* the compiler cannot know what it holds */
volatile long sink;

static long tid(void) { return gettid(); }

NOINLINE static void say(const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&print_lock);
    puts(buf);
    fflush(stdout);
    pthread_mutex_unlock(&print_lock);
}
#define LOCAL(var) say("local %ld %s %s %#lx %ld", tid(), __func__, #var, (unsigned long)&(var), (long)(var))
#define KEPT(var) say("kept %ld %s %s %ld", tid(), __func__, #var, (long)(var))
#define CHAIN(names) say("chain %ld " names, tid())

struct node { struct node *next; int id; char tag[12]; };

/* ---- one blocking function per way to wait ---- */
NOINLINE static long in_read(struct node *head, int n)
{
    char c = 0;
    long keep = n * opaque + 1000;
    struct node here = {head, n, "here"};
    LOCAL(here.id);
    KEPT(keep);
    CHAIN("in_read reader thread_read");
    pthread_barrier_wait(&started);
    if (read(pipes[0], &c, 1) == 1)
        sink = c;
    return keep + here.id + c;
}
NOINLINE static long reader(int n)
{
    struct node head = {NULL, n + 7, "head"};
    long mine = opaque * 31;
    LOCAL(head.id);
    KEPT(mine);
    long r = in_read(&head, n);
    return r + mine + head.id;
}
static void *thread_read(void *arg)
{
    long kept_arg = (long)arg;
    long r = reader((int)opaque + 4);
    sink = r + kept_arg;
    return NULL;
}

NOINLINE static int in_cond(int count)
{
    int spin = count + (int)opaque;
    LOCAL(spin);
    CHAIN("in_cond thread_cond");
    pthread_barrier_wait(&started);
    pthread_mutex_lock(&cond_lock);
    while (opaque)
        pthread_cond_wait(&never, &cond_lock);
    return spin;
}
static void *thread_cond(void *arg)
{
    sink = in_cond(40);
    return arg;
}

/* Inlined twice into the function that blocks. */
static inline __attribute__((always_inline)) long inner_inline(long depth_in)
{
    long in_inner = depth_in * 3 + opaque;
    KEPT(in_inner);
    CHAIN("inner_inline outer_inline in_sleep thread_sleep");
    pthread_barrier_wait(&started);
    struct timespec ts = {100000, 0};
    nanosleep(&ts, NULL);
    return in_inner + sink;
}
static inline __attribute__((always_inline)) long outer_inline(long x)
{
    long in_outer = x + opaque * 100;
    long r = inner_inline(x);
    sink = in_outer;
    return r + in_outer;
}
NOINLINE static long in_sleep(long x)
{
    long base = x * opaque + 5;
    KEPT(base);
    long r = outer_inline(base);
    return r + base;
}
static void *thread_sleep(void *arg)
{
    sink = in_sleep(17);
    return arg;
}

/* A variable-length array and alloca. */
NOINLINE static long in_poll(int n)
{
    int vla[n];
    vla[0] = 0;
    char *block = (char *)alloca((size_t)n * 3);
    for (int i = 0; i < n; i++)
        vla[i] = i * 2 + (int)opaque;
    memset(block, 'x', (size_t)n * 3);
    say("local %ld in_poll vla %#lx %d", tid(), (unsigned long)vla, vla[0]);
    say("kept %ld in_poll block %ld", tid(), (long)block);
    CHAIN("in_poll thread_poll");
    pthread_barrier_wait(&started);
    poll(NULL, 0, -1);
    for (int i = 0; i < n; i++)
        sink += vla[i] + block[i];
    return sink;
}
static void *thread_poll(void *arg)
{
    sink = in_poll(10 + (int)opaque);
    return arg;
}

NOINLINE static long recurse(int level)
{
    volatile int here = level * 3;
    long r;
    if (level == 0) {
        CHAIN("recurse recurse recurse");
        say("depth %ld recurse %d", tid(), 301);
        pthread_barrier_wait(&started);
        sem_wait(&sem);
        r = 1;
    } else {
        r = recurse(level - 1) + 1;
    }
    sink = r;
    return r + here;
}
static void *thread_deep(void *arg)
{
    sink = recurse(300);
    return arg;
}

NOINLINE static void in_handler(int sig)
{
    int caught = sig + (int)opaque;
    LOCAL(caught);
    pthread_barrier_wait(&started);
    while (opaque)
        select(0, NULL, NULL, NULL, NULL);
    sink = caught;
}
static void handler(int sig) { in_handler(sig); sink++; }
NOINLINE static long raises(long v)
{
    long before = v * 11 * opaque;
    KEPT(before);
    CHAIN("in_handler handler raises thread_signal");
    raise(SIGUSR1);
    return before + sink;
}
static void *thread_signal(void *arg)
{
    sink = raises(3);
    return arg;
}

/* A fault in a leaf function, its handler on another stack. */
NOINLINE static long faults(long *where, long add)
{
    return *where + add;
}
NOINLINE static long calls_fault(long v)
{
    long guard = v * 13 * opaque;
    KEPT(guard);
    CHAIN("in_handler fault_handler faults calls_fault thread_fault");
    long r = faults((long *)(opaque * 8), guard);
    return r + guard;
}
static void fault_handler(int sig, siginfo_t *si, void *uc)
{
    (void)si, (void)uc;
    in_handler(sig);
    sink++;
}
static void *thread_fault(void *arg)
{
    static char other_stack[65536];
    stack_t ss;
    memset(&ss, 0, sizeof ss);
    ss.ss_sp = other_stack;
    ss.ss_size = sizeof other_stack;
    sigaltstack(&ss, NULL);
    sink = calls_fault(9);
    return arg;
}

/* Through a pointer, with many arguments (stack-passed on every architecture). */
NOINLINE static long in_lock(long a, long b, long c, long d, long e, long f, long g, struct node by_value)
{
    long sum = a + b + c + d + e + f + g + by_value.id;
    LOCAL(sum);
    LOCAL(by_value.id);
    CHAIN("in_lock thread_lock");
    pthread_barrier_wait(&started);
    pthread_mutex_lock(&held);
    return sum * 2 + g;
}
static long (*volatile via)(long, long, long, long, long, long, long, struct node) = in_lock;
static void *thread_lock(void *arg)
{
    struct node n = {NULL, 55, "byval"};
    sink = via(1, 2, 3, 4, 5, 6, 7, n);
    return arg;
}

NOINLINE static void finish(int die)
{
    int last = 4711 * (int)opaque;
    LOCAL(last);
    CHAIN("finish main");
    say("ready");
    if (die)
        abort();
    while (opaque)
        pause();
    sink = last;
}

int main(int argc, char **argv)
{
    static void *(*const all[])(void *) = {thread_read, thread_cond, thread_sleep, thread_poll,
                                           thread_deep, thread_signal, thread_fault, thread_lock};
    enum { N = sizeof all / sizeof *all };
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = handler;
    sigaction(SIGUSR1, &sa, NULL);
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = fault_handler;
    sa.sa_flags = SA_ONSTACK | SA_SIGINFO;
    sigaction(SIGSEGV, &sa, NULL);
    sem_init(&sem, 0, 0);
    if (pipe(pipes))
        return 1;
    pthread_mutex_lock(&held);
    pthread_barrier_init(&started, NULL, N + 1);
    pthread_attr_t at;
    pthread_attr_init(&at);
    pthread_attr_setstacksize(&at, 256 << 10);
    pthread_t th;
    for (int i = 0; i < N; i++)
        if (pthread_create(&th, &at, all[i], (void *)(long)(i + 1)))
            return 1;
    pthread_barrier_wait(&started);
    struct timespec ts = {0, 100000000};
    nanosleep(&ts, NULL); /* they have passed the barrier: let them reach their waits */
    finish(argc > 1 && !strcmp(argv[1], "abort"));
    return 0;
}
