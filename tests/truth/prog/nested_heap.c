/* A large process whose malloc'ed block holds another heap: an allocation table and a pool as MicroPython keeps them, described by words in
 * static data. Nothing names it: no symbol, no text. Prints what it put there. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 32, BLOCKS = 3 << 20 /* 96 MiB of pool */ };
static struct {
    uint64_t before;
    uint8_t *table;
    uint64_t table_len;
    uint8_t *finalisers, *pool, *end;
    uint64_t behind;
} area;

int main(void)
{
    uint64_t heads = 0, used = 0, table = BLOCKS / 4, bits = BLOCKS / 8;
    uint8_t *all = calloc(1, table + 1 + bits + BLOCK + (uint64_t)BLOCKS * BLOCK);
    area.table = all;
    area.table_len = table;
    area.finalisers = all + table + 1;
    area.pool = (uint8_t *)(((uintptr_t)area.finalisers + bits + BLOCK - 1) & ~(uintptr_t)(BLOCK - 1));
    area.end = area.pool + (uint64_t)BLOCKS * BLOCK;
    srand(7);
    for (uint64_t b = 0; b < BLOCKS / 2;) {
        uint64_t n = (uint64_t)rand() % 5 + 1;
        if (rand() % 4) {
            area.table[b / 4] |= (uint8_t)(1 << 2 * (b & 3));
            for (uint64_t i = 1; i < n; i++)
                area.table[(b + i) / 4] |= (uint8_t)(2 << 2 * ((b + i) & 3));
            heads++;
            used += n * BLOCK;
        }
        b += n;
    }
    memset(area.pool, 1, (uint64_t)BLOCKS * BLOCK);
    printf("heads %llu\nused %llu\ntotal %llu\nready\n", (unsigned long long)heads, (unsigned long long)used,
           (unsigned long long)BLOCKS * BLOCK);
    fflush(stdout);
    pause();
    return area.before != 0;
}
