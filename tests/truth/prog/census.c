/* LD_PRELOAD: counts what a program, any program, has in use, and says so upon SIGUSR2: the truth for ordinary programs.
 *
 * Wraps the malloc family around glibc's own and keeps, per arena, the blocks and usable bytes handed out and not given back.
 * The arena is read from the living chunk's own header. SIGUSR2 (to an idle program) appends one line an arena to the file named
 * in $CENSUS, "arena ADDRESS BLOCKS BYTES" (0 main, 1 mmapped), then malloc_info's XML to $CENSUS.xml, then makes $CENSUS.done. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENAS = 256, HEAP_MAX = 64 << 20, MMAPPED = 2, NON_MAIN = 4 };

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static struct { _Atomic uintptr_t id; atomic_long blocks, bytes; } arena[ARENAS];
static char name[4096];
static FILE *xml;
static char xml_buffer[1 << 20];

static unsigned arena_of(void *p)
{
    size_t word = ((size_t *)p)[-1];
    uintptr_t id = word & MMAPPED ? 1 : word & NON_MAIN ? *(uintptr_t *)((uintptr_t)p & ~(uintptr_t)(HEAP_MAX - 1)) : 0;
    for (unsigned i = 0; i < ARENAS; i++) {
        uintptr_t here = atomic_load(&arena[i].id), none = 0;
        if (here == id + 2 || (!here && (atomic_compare_exchange_strong(&arena[i].id, &none, id + 2) || none == id + 2)))
            return i;
    }
    return ARENAS - 1;
}

static void count(void *p, int sign)
{
    if (!p)
        return;
    int before = errno;
    unsigned i = arena_of(p);
    atomic_fetch_add(&arena[i].blocks, sign);
    atomic_fetch_add(&arena[i].bytes, sign * (long)malloc_usable_size(p));
    errno = before;
}

static void *counted(void *p)
{
    count(p, 1);
    return p;
}

void *malloc(size_t n) { return counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }
void *memalign(size_t to, size_t n) { return counted(__libc_memalign(to, n)); }
void *aligned_alloc(size_t to, size_t n) { return counted(__libc_memalign(to, n)); }
void *valloc(size_t n) { return counted(__libc_memalign(4096, n)); }

int posix_memalign(void **ret, size_t to, size_t n)
{
    void *p = counted(__libc_memalign(to, n));
    if (!p)
        return ENOMEM;
    *ret = p;
    return 0;
}

void free(void *p)
{
    count(p, -1);
    __libc_free(p);
}

void *realloc(void *p, size_t n)
{
    count(p, -1);
    void *q = __libc_realloc(p, n);
    if (q)
        return counted(q);
    if (n)
        count(p, 1); /* failed: p is still there */
    return NULL;
}

static size_t put(char *to, const char *text, unsigned long v, int base)
{
    char digits[32];
    size_t n = strlen(text), d = sizeof digits;
    memcpy(to, text, n);
    do
        digits[--d] = "0123456789abcdef"[v % (unsigned)base];
    while (v /= (unsigned)base);
    memcpy(to + n, digits + d, sizeof digits - d);
    return n + sizeof digits - d;
}

static void tell(int signal_number)
{
    (void)signal_number;
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (unsigned i = 0; i < ARENAS && atomic_load(&arena[i].id); i++) {
        char line[200];
        size_t n = put(line, "arena ", atomic_load(&arena[i].id) - 2, 16);
        n += put(line + n, " ", (unsigned long)atomic_load(&arena[i].blocks), 10);
        n += put(line + n, " ", (unsigned long)atomic_load(&arena[i].bytes), 10);
        line[n++] = '\n';
        if (write(fd, line, n) < 0)
            break;
    }
    close(fd);
    malloc_info(0, xml);
    fflush(xml);
    strcat(name, ".done");
    close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

__attribute__((constructor)) static void begin(void)
{
    const char *to = getenv("CENSUS");
    if (!to || strlen(to) > sizeof name - 10)
        return;
    strcpy(name, to);
    strcat(name, ".xml");
    xml = fopen(name, "we");
    strcpy(name, to);
    if (!xml)
        return;
    setvbuf(xml, xml_buffer, _IOFBF, sizeof xml_buffer);
    unsetenv("LD_PRELOAD"); /* not for its children */
    signal(SIGUSR2, tell);
}
