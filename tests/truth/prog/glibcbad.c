/* Makes an orderly glibc heap, scribbles on it in one way, says what was there, and dies: argv[1] is the way.
 *
 * Prints "L addr usable" for every live block, "C addr usable" for freed ones that caches hold, "B addr" for the place that is
 * damaged, "X addr" for blocks whose own record is the damaged one (their size or state cannot be known). */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N = 3000 };
static char *block[N];
static char out_buffer[1 << 16];
static const size_t W = sizeof(size_t);

static size_t *head_of(void *p) { return (size_t *)((char *)p - W); }
static char *next_of(void *p) { return (char *)p + (*head_of(p) & ~(size_t)7); }
static void bad(void *p) { printf("B %zx\n", (size_t)p); }
static void own(void *p) { printf("X %zx\n", (size_t)p); }
static size_t mangle(void *at, void *to) { return (size_t)at >> 12 ^ (size_t)to; }

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    setvbuf(stdout, out_buffer, _IOFBF, sizeof out_buffer);
    char *free1[20], *hole[8], *spread[8];
    for (int i = 0; i < 8; i++) { /* freed later: unsorted, then sorted into bins */
        hole[i] = malloc(2000 + 64 * i);
        spread[i] = malloc(40);
    }
    for (int i = 0; i < N; i++) {
        block[i] = malloc(24 + i % 37 * 16);
        memset(block[i], 0xa5, malloc_usable_size(block[i]));
    }
    for (int i = 0; i < 20; i++)
        free1[i] = malloc(56);
    char *last = malloc(100);
    for (int i = 0; i < 4; i++)
        free(hole[i]);
    void *big = malloc(100000); /* sorts them */
    for (int i = 4; i < 8; i++)
        free(hole[i]);
    for (int i = 0; i < 20; i++)
        free(free1[i]); /* 7 to the tcache, 13 to a fastbin */
    for (int i = 0; i < 20; i++)
        printf("C %zx %zu\n", (size_t)free1[i], (size_t)56 / (2 * W) * 2 * W + W);
    for (int i = 0; i < N; i++)
        printf("L %zx %zu\n", (size_t)block[i], malloc_usable_size(block[i]));
    for (int i = 0; i < 8; i++)
        printf("L %zx %zu\n", (size_t)spread[i], malloc_usable_size(spread[i]));
    printf("L %zx %zu\nL %zx %zu\n", (size_t)last, malloc_usable_size(last), (size_t)big, malloc_usable_size(big));
    char *b = block[1000];
    if (!strcmp(way, "overflow")) { /* past the end of b, over the next header */
        bad(next_of(b) - 2 * W);
        memset(b, 'A', malloc_usable_size(b) + W);
    } else if (!strcmp(way, "overflow-two")) {
        bad(next_of(b) - 2 * W);
        memset(b, 'A', malloc_usable_size(b) + W);
        bad(next_of(block[2000]) - 2 * W);
        memset(block[2000], 'B', malloc_usable_size(block[2000]) + W);
    } else if (!strcmp(way, "overflow-long")) { /* over the next four blocks */
        bad(next_of(b) - 2 * W);
        for (int i = 1; i < 5; i++)
            own(block[1000 + i]);
        memset(b, 'A', (size_t)(block[1004] - b) + 10);
    } else if (!strcmp(way, "grown")) {
        bad(block[1001] - 2 * W), own(block[1001]), own(block[1002]);
        *head_of(block[1001]) += 0x30;
    } else if (!strcmp(way, "null-byte")) { /* off by one with a NUL: the next size loses its low byte */
        char *v = block[1000 + 35 - 1000 % 37]; /* the one after has size 0x2?1 or more */
        bad(next_of(v) - 2 * W), own(v), own(next_of(v));
        ((char *)next_of(v))[-(long)W] = 0;
    } else if (!strcmp(way, "top")) {
        char *top = next_of(big);
        bad(top - 2 * W);
        *head_of(top) = (size_t)-1;
    } else if (!strcmp(way, "foot")) {
        bad(next_of(hole[2]) - 2 * W);
        *(size_t *)(next_of(hole[2]) - 2 * W) ^= 0x500;
    } else if (!strcmp(way, "bin-list")) {
        bad(hole[2] - 2 * W);
        ((size_t *)hole[2])[1] = (size_t)0x4141414141414141ull;
    } else if (!strcmp(way, "unsorted-list")) {
        bad(hole[5] - 2 * W);
        ((size_t *)hole[5])[1] ^= 0x800;
    } else if (!strcmp(way, "tcache-next")) { /* written after free */
        bad((void *)(size_t)0x4141414141414141ull);
        *(size_t *)free1[6] = mangle(free1[6], (void *)(size_t)0x4141414141414141ull);
    } else if (!strcmp(way, "tcache-twice")) {
        bad(free1[6]);
        *(size_t *)free1[5] = mangle(free1[5], free1[6]);
    } else if (!strcmp(way, "fastbin-next")) {
        bad((void *)(size_t)0x4141414141414141ull);
        *(size_t *)free1[19] = mangle(free1[19], (void *)(size_t)0x4141414141414141ull);
    } else if (!strcmp(way, "fastbin-twice")) {
        bad(free1[19] - 2 * W);
        *(size_t *)free1[18] = mangle(free1[18], free1[19] - 2 * W);
    } else if (!strcmp(way, "everything")) {
        for (int i = 100; i < N; i += 100)
            memset(next_of(block[i]) - W, 0xee, W), bad(next_of(block[i]) - 2 * W);
    }
    puts("ready");
    fflush(stdout);
    abort();
}
