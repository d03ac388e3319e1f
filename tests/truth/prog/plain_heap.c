/* A heap without any structure, for the sample firmware: what it hands out is known from its own words only. */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>

static uint8_t *const arena = (uint8_t *)ARENA; /* memory that no variable lies in */
static size_t top = 64;                         /* in front: nothing that a dump would have */

void *own_malloc(size_t n);
void *own_malloc(size_t n)
{
    void *p = arena + top;
    top += ((n + 3) & ~(size_t)3) + 4; /* as far apart as blocks with a header would be */
    return p;
}

void own_free(void *p);
void own_free(void *p) { (void)p; }

struct mallinfo own_mallinfo(void);
struct mallinfo own_mallinfo(void) { return (struct mallinfo){.fordblks = (int)top}; }
