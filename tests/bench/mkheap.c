/* Makes a large heap and dies, for its core: mkheap BLOCKS small|large
 *
 * small: 43 bytes a block on average with headers, as in servers full of list and tree nodes; large: three blocks in seven have
 * 0.5 to 1.5 KB. 64 lists in parallel, so that neighbours in memory are not neighbours in a list; every eighth block also
 * points at a random older one. 10,000 blocks are dropped: leaks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTS = 64, LEAKS = 10000, OLDER = 1 << 16 };

struct node {
    struct node *next, *other;
    uint64_t payload;
};

static struct node *list[LISTS];
static uint64_t state = 88172645463325252ull;

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static size_t pick(int large, uint64_t r)
{
    if (large && r % 7 < 3)
        return 512 + (r >> 8) % 1024;
    unsigned d = (unsigned)((r >> 20) % 10);
    return d < 5 ? 24 : d < 8 ? 40 : 56;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    uint64_t n = strtoull(argv[1], NULL, 0), every = n / LEAKS + 1;
    int large = strcmp(argv[2], "large") == 0;
    struct node **older = calloc(OLDER, sizeof *older);
    if (!older)
        return 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t r = rnd();
        size_t size = pick(large, r);
        struct node *p = malloc(size);
        if (!p)
            return 1;
        memset(p, 0x11, size);
        p->next = p->other = NULL;
        if (i % every == 7)
            continue; /* dropped */
        p->next = list[r % LISTS];
        list[r % LISTS] = p;
        if (r >> 60 < 2)
            p->other = older[(r >> 30) % OLDER];
        older[(r >> 14) % OLDER] = p;
    }
    abort();
}
