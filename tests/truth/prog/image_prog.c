/* Says what a core of it must hold: its mappings, modules, threads, thread-local addresses, and words all over its memory.
 * argv: mode (wait, abort, segv, overflow) and a library to load. */
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

__thread int tls_small = 3;
__thread char tls_text[100] __attribute__((aligned(64))) = "thread";
static int data[4000] = {1, 2, 3}, bss[20000], touched[3000];
static const int rodata[3000] = {11, 12, 13};
static long *(*lib_here)(void);
static pthread_barrier_t all, again;
static pthread_mutex_t out = PTHREAD_MUTEX_INITIALIZER;

/* The first word at the base of fs or gs is that base itself (the x86 TLS ABI asks for it). */
static uintptr_t thread_pointer(void)
{
    uintptr_t p = 0;
#if defined __x86_64__
    __asm__("mov %%fs:0, %0" : "=r"(p));
#elif defined __i386__
    __asm__("mov %%gs:0, %0" : "=r"(p));
#else
    p = (uintptr_t)__builtin_thread_pointer();
#endif
    return p;
}

static void word(const void *p)
{
    unsigned v;
    memcpy(&v, p, 4);
    printf("word %" PRIxPTR " %x\n", (uintptr_t)p, v);
}

static int module(struct dl_phdr_info *i, size_t size, void *tid)
{
    (void)size;
    printf("module %" PRIxPTR " %zu %" PRIxPTR " %d %s\n", (uintptr_t)i->dlpi_addr, (size_t)i->dlpi_tls_modid, (uintptr_t)i->dlpi_tls_data, *(int *)tid,
           i->dlpi_name[0] ? i->dlpi_name : "-");
    return 0;
}

static void tell(const int *here)
{
    int tid = gettid();
    pthread_attr_t a;
    void *stack;
    size_t size, guard;
    pthread_getattr_np(pthread_self(), &a);
    pthread_attr_getstack(&a, &stack, &size);
    pthread_attr_getguardsize(&a, &guard);
    pthread_mutex_lock(&out);
    printf("thread %d %" PRIxPTR " %" PRIxPTR " %" PRIxPTR "\n", tid, thread_pointer(), (uintptr_t)stack, (uintptr_t)stack + size);
    printf("local %d %" PRIxPTR "\n", tid, (uintptr_t)here);
    printf("tls %d 0 %" PRIxPTR "\n", tid, (uintptr_t)&tls_small);
    word(&tls_small);
    word(tls_text);
    word(here);
    if (lib_here)
        word(lib_here());
    dl_iterate_phdr(module, &tid);
    pthread_attr_destroy(&a);
    pthread_mutex_unlock(&out);
}

static void *run(void *nr)
{
    volatile int here = 5000 + (int)(intptr_t)nr;
    tls_small = 1000 + (int)(intptr_t)nr;
    tell((int *)&here);
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&again); /* for ever */
    return (void *)(intptr_t)here;
}

static void mapped_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    long page = sysconf(_SC_PAGESIZE);
    unsigned char *p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    p[page] = 99;
    word(p + page);
    /* a part of the program behind its header, as self-extracting programs read what is packed into them */
    p = mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, page);
    volatile unsigned char sum = p[0];
    printf("payload %" PRIxPTR " %x\n", (uintptr_t)p, sum);
}

static void jit(void)
{
    int fd = memfd_create("jit", 0);
    long page = sysconf(_SC_PAGESIZE);
    if (ftruncate(fd, page))
        return;
    unsigned *p = mmap(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, fd, 0);
    p[5] = 0xc3c3c3c3;
    word(p + 5);
}

static int deep(int n)
{
    if (n == -1)
        return 0;
    volatile char room[5000];
    room[0] = (char)n;
    return n + deep(n + 1) + room[0];
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "wait";
#ifndef STATIC
    void *lib = dlopen(argv[2], RTLD_NOW);
    lib_here = (long *(*)(void))dlsym(lib, "lib_here");
#endif
    pthread_barrier_init(&all, NULL, 4);
    pthread_barrier_init(&again, NULL, 100);
    tls_small = 1000;
    touched[1000] = 4711;
    for (intptr_t i = 1; i < 4; i++) {
        pthread_t t;
        pthread_create(&t, NULL, run, (void *)i);
    }
    pthread_barrier_wait(&all);
    volatile int here = 5000;
    tell((int *)&here);
    int *heap = malloc(4000), *large = malloc(1 << 20);
    heap[7] = 0x1234567;
    large[100000] = 0x7654321;
    word(heap + 7), word(large + 100000), word(data + 2), word(data + 3000), word(touched + 1000), word(rodata + 1), word(rodata + 2500);
    word((void *)main), word((void *)printf);
#ifndef STATIC
    word(dlsym(lib, "lib_data")), word(dlsym(lib, "lib_rodata")), word((char *)dlsym(lib, "lib_here") + 1);
#endif
    word(argv[0]), word(getenv("PATH")), word((void *)getauxval(AT_RANDOM));
    printf("untouched %" PRIxPTR "\n", (uintptr_t)(bss + 10000));
    mapped_file(argv[0]);
    jit();
    printf("auxv %lx %lx %lx %lx %lx\n", getauxval(AT_PHDR), getauxval(AT_ENTRY), getauxval(AT_BASE), getauxval(AT_SYSINFO_EHDR), getauxval(AT_RANDOM));
    printf("pid %d\n", getpid());
    fflush(stdout);
    char maps[65536];
    int fd = open("/proc/self/maps", O_RDONLY);
    for (ssize_t n; (n = read(fd, maps, sizeof maps)) > 0;)
        for (char *l = maps, *e; (e = memchr(l, '\n', maps + n - l)) != NULL; l = e + 1)
            printf("map %.*s\n", (int)(e - l), l);
    printf("ready\n");
    fflush(stdout);
    if (!strcmp(mode, "abort"))
        abort();
    if (!strcmp(mode, "segv"))
        *(volatile int *)0x123458 = 1;
    if (!strcmp(mode, "overflow"))
        return deep(here);
    pause();
    return here;
}
