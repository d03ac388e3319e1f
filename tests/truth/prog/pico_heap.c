/* A heap laid out in memory as picolibc lays out its own, for the sample firmware: an independent writer. LINK 1: lists lead to the
 * word behind the size (1.8.7); FLAG 1: bit 0 of the size is set while a chunk is free, and chunks of 24 and 40 bytes lie on lists
 * of their own, unsorted (2026). */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

enum { ALIGN = 8, HEAD = 4, LEAST = 16 };

static uint8_t area[7000];
uint8_t *__malloc_sbrk_start, *__malloc_sbrk_top;
void *__malloc_free_list;
#if FLAG
void *__malloc_bucket_list[2];
static int bucket(size_t size) { return size == 24 ? 0 : size == 40 ? 1 : -1; }
#else
static int bucket(size_t size) { (void)size; return -1; }
#define __malloc_bucket_list (&__malloc_free_list)
#endif

static size_t *size_of(void *user) { return (size_t *)((uint8_t *)user - HEAD); }
static void *user_of(void *link) { return link && !LINK ? (uint8_t *)link + HEAD : link; }
static void *link_of(void *user) { return user && !LINK ? (uint8_t *)user - HEAD : user; }
static void *next_of(void *user) { return user_of(*(void **)user); }
static uint8_t *after(void *user) { return (uint8_t *)user + (*size_of(user) & ~(size_t)1); }

void *own_malloc(size_t n);
void *own_malloc(size_t n)
{
    n = (n + HEAD + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    n = n < LEAST ? LEAST : n;
    if (!__malloc_sbrk_start)
        __malloc_sbrk_start = __malloc_sbrk_top = (uint8_t *)(((uintptr_t)area + HEAD + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1)) - HEAD;
    int b = bucket(n);
    void **at = b < 0 ? &__malloc_free_list : &__malloc_bucket_list[b], *u;
    for (; (u = user_of(*at)); at = u) {
        size_t have = *size_of(u) & ~(size_t)1;
        if (have < n)
            continue;
        *at = link_of(next_of(u));
        *size_of(u) = have;
        if (b < 0 && have - n >= LEAST && bucket(have - n) < 0) {
            void *rest = (uint8_t *)u + n;
            *size_of(u) = n;
            *size_of(rest) = (have - n) | FLAG;
            *(void **)rest = *at;
            *at = link_of(rest);
        }
        return u;
    }
    u = __malloc_sbrk_top + HEAD;
    __malloc_sbrk_top += n;
    *size_of(u) = n;
    return u;
}

void own_free(void *u);
void own_free(void *u)
{
    int b = bucket(*size_of(u));
    void **at = b < 0 ? &__malloc_free_list : &__malloc_bucket_list[b], *v;
    *size_of(u) |= FLAG;
    if (b < 0)
        for (; (v = user_of(*at)) && v < u; at = v)
            if (after(v) == (uint8_t *)u) {
                *size_of(v) += *size_of(u) & ~(size_t)1;
                u = v;
                break;
            }
    if (u != v || b >= 0) {
        *(void **)u = *at;
        *at = link_of(u);
    }
    v = next_of(u);
    if (b < 0 && v && after(u) == (uint8_t *)v) {
        *size_of(u) += *size_of(v) & ~(size_t)1;
        *(void **)u = *(void **)v;
    }
}

struct mallinfo own_mallinfo(void);
struct mallinfo own_mallinfo(void)
{
    size_t free = 0;
    for (void *u = user_of(__malloc_free_list); u; u = next_of(u))
        free += *size_of(u) & ~(size_t)1;
#if FLAG
    for (int b = 0; b < 2; b++)
        for (void *u = __malloc_bucket_list[b]; u; u = next_of(u))
            free += *size_of(u) & ~(size_t)1;
#endif
    return (struct mallinfo){.fordblks = (int)free};
}
