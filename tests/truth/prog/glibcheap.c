/* Makes a rich glibc heap and says what is in it: argv are the things to do, in order.
 *
 *     mix N       N random malloc/calloc/realloc/memalign/free of all sizes     threads T N   the same in T threads, kept alive
 *     gone T N    T threads that end                                            sbrk N        somebody else's sbrk of N bytes
 *     nobrk       a mapping right behind the heap: sbrk fails from now on       mmap N        N mmapped blocks, memalign'ed ones too
 *     decoy N     N raw mappings that look like mmapped chunks                  opt P V       mallopt(P, V)
 *     big N SIZE  N live blocks of SIZE                                         fork          goes on in a child
 *     trim        malloc_trim(0)                                                zero N        N live zeroed blocks of 640 bytes
 *     die         abort() at the end instead of waiting
 *
 * Prints: "L addr usable" live, "F addr usable" freed, "I" mallinfo's fields, then malloc_info between lines. Its own lists are in
 * mapped memory, so that keeping them is not seen in the heap. */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX = 400000 };
struct item {
    void *p;
    size_t size;
};
struct list {
    struct item *live, *freed;
    size_t nlive, nfreed;
    uint64_t seed;
};
static struct list lists[64];
static unsigned nlists;
static char out_buffer[1 << 16], info_buffer[1 << 16];
static pthread_barrier_t barrier;

static void *raw(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        _exit(9);
    /* A page of our own behind it, so that it never merges with a mapping malloc makes. */
    return p;
}

static struct list *new_list(void)
{
    struct list *l = &lists[nlists++];
    l->live = raw(MAX * sizeof *l->live);
    l->freed = raw(MAX * sizeof *l->freed);
    l->seed = 88172645463325252ull + nlists * 7919;
    return l;
}
static uint64_t rnd(struct list *l)
{
    l->seed ^= l->seed << 13;
    l->seed ^= l->seed >> 7;
    return l->seed ^= l->seed << 17;
}
static void keep(struct list *l, void *p)
{
    if (p && l->nlive < MAX)
        l->live[l->nlive++] = (struct item){p, malloc_usable_size(p)};
}
static void drop(struct list *l, size_t i)
{
    if (l->nfreed < MAX)
        l->freed[l->nfreed++] = l->live[i];
    free(l->live[i].p);
    l->live[i] = l->live[--l->nlive];
}
static size_t some_size(struct list *l)
{
    switch (rnd(l) % 8) {
    case 0: return rnd(l) % 24;
    case 1: case 2: case 3: return rnd(l) % 200;
    case 4: case 5: return rnd(l) % 1200;
    case 6: return rnd(l) % 9000;
    default: return rnd(l) % 40 ? rnd(l) % 60000 : 130000 + rnd(l) % 300000;
    }
}

static void mix(struct list *l, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned what = rnd(l) % 16;
        if (l->nlive && what < 7) {
            drop(l, rnd(l) % l->nlive);
        } else if (l->nlive && what == 7) {
            size_t k = rnd(l) % l->nlive;
            void *p = realloc(l->live[k].p, some_size(l) + 1);
            if (p)
                l->live[k] = (struct item){p, malloc_usable_size(p)};
        } else if (what == 8) {
            keep(l, memalign((size_t)32 << rnd(l) % 8, some_size(l)));
        } else if (what == 9) {
            keep(l, calloc(1, some_size(l)));
        } else {
            size_t s = some_size(l);
            char *p = malloc(s);
            memset(p, (int)rnd(l), s < 64 ? s : 64);
            keep(l, p);
        }
    }
    for (size_t i = 0; i < l->nlive && i < 300; i += 2) /* leave full tcache bins and fastbins behind */
        drop(l, rnd(l) % l->nlive);
}

struct job {
    struct list *l;
    unsigned n;
    int stays;
};
static void *thread(void *arg)
{
    struct job *j = arg;
    mix(j->l, j->n);
    if (!j->stays)
        return NULL;
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
}
static void threads(unsigned t, unsigned n, int stay)
{
    static struct job jobs[64];
    static pthread_t id[64];
    if (stay)
        pthread_barrier_init(&barrier, NULL, t + 1);
    for (unsigned i = 0; i < t; i++) {
        jobs[i] = (struct job){new_list(), n, stay};
        pthread_create(&id[i], NULL, thread, &jobs[i]);
    }
    if (stay)
        pthread_barrier_wait(&barrier);
    else
        for (unsigned i = 0; i < t; i++)
            pthread_join(id[i], NULL);
}

static void mmapped(struct list *l, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        size_t size = 140000 + rnd(l) % 900000;
        void *p = i % 3 ? malloc(size) : memalign((size_t)64 << rnd(l) % 9, size);
        if (i % 5 == 0)
            p = realloc(p, size * 2);
        keep(l, p);
        if (i % 4 == 1)
            drop(l, l->nlive - 1);
    }
}

static void decoys(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        size_t size = (size_t)(2 + i) * 65536;
        uintptr_t *p = raw(size);
        p[0] = 0;
        p[1] = size / 2 | 2;
    }
}

static void nobrk(void)
{
    char *end = (char *)(((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095);
    mmap(end, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void tell(void)
{
#if defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 m = mallinfo2();
#else
    struct mallinfo m = mallinfo();
#endif
    FILE *f = tmpfile();
    if (f) {
        setvbuf(f, info_buffer, _IOFBF, sizeof info_buffer);
#if defined __GLIBC__ && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
        m = mallinfo2();
#else
        m = mallinfo();
#endif
        malloc_info(0, f);
        fflush(f);
    }
    printf("I %zu %zu %zu %zu %zu %zu %zu %zu %zu\n", (size_t)m.arena, (size_t)m.ordblks, (size_t)m.smblks, (size_t)m.hblks,
           (size_t)m.hblkhd, (size_t)m.fsmblks, (size_t)m.uordblks, (size_t)m.fordblks, (size_t)m.keepcost);
    for (unsigned i = 0; i < nlists; i++) {
        for (size_t k = 0; k < lists[i].nlive; k++)
            printf("L %zx %zu\n", (size_t)lists[i].live[k].p, lists[i].live[k].size);
        for (size_t k = 0; k < lists[i].nfreed; k++)
            printf("F %zx %zu\n", (size_t)lists[i].freed[k].p, lists[i].freed[k].size);
    }
    if (f) {
        char line[512];
        rewind(f);
        puts("XML");
        while (fgets(line, sizeof line, f))
            fputs(line, stdout);
    }
    puts("ready");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, out_buffer, _IOFBF, sizeof out_buffer);
    struct list *l = new_list();
    int die = 0;
#define ARG ((unsigned)strtoul(argv[++i], NULL, 0))
    for (int i = 1; i < argc; i++) {
        const char *w = argv[i];
        if (!strcmp(w, "mix"))
            mix(l, ARG);
        else if (!strcmp(w, "threads")) {
            unsigned t = ARG, n = ARG;
            threads(t, n, 1);
        } else if (!strcmp(w, "gone")) {
            unsigned t = ARG, n = ARG;
            threads(t, n, 0);
        } else if (!strcmp(w, "sbrk")) {
            unsigned n = ARG;
            memset(sbrk(n), 0x21, n);
        } else if (!strcmp(w, "nobrk"))
            nobrk();
        else if (!strcmp(w, "mmap"))
            mmapped(l, ARG);
        else if (!strcmp(w, "decoy"))
            decoys(ARG);
        else if (!strcmp(w, "opt")) {
            int p = (int)strtol(argv[++i], NULL, 0);
            mallopt(p, (int)ARG);
        } else if (!strcmp(w, "big")) {
            unsigned n = ARG, size = ARG;
            while (n--)
                keep(l, malloc(size));
        } else if (!strcmp(w, "zero")) {
            for (unsigned n = ARG; n--;)
                keep(l, calloc(1, 640));
        } else if (!strcmp(w, "fork")) {
            pid_t child = fork();
            if (child)
                _exit(waitpid(child, NULL, 0) != child);
        } else if (!strcmp(w, "trim"))
            malloc_trim(0);
        else if (!strcmp(w, "die"))
            die = 1;
    }
    tell();
    if (die)
        abort();
    for (;;)
        pause();
}
