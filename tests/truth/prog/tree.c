/* Structures of which the program itself says what each root alone holds: usable sizes, added up as they are made. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct leaf { char text[40]; };
struct item { struct item *next; struct leaf *leaf; struct leaf *both; };
struct table { struct item **slots; int n; };

struct item *g_list;
struct table *g_table;
struct leaf *g_shared;   /* items of both structures point at it, too */

static size_t sum;
static void *get(size_t n)
{
    void *p = calloc(1, n);
    sum += malloc_usable_size(p);
    return p;
}

static struct item *item(struct item *next, int with_leaf)
{
    struct item *i = get(sizeof *i);
    i->next = next;
    i->both = g_shared;
    if (with_leaf)
        strcpy((i->leaf = get(sizeof *i->leaf))->text, "leaf");
    return i;
}

/* Each in a function of its own: what a register of main() still holds is a root, too. */
static __attribute__((noinline)) void make_shared(void) { g_shared = get(sizeof *g_shared); }

static __attribute__((noinline)) void make_list(void)
{
    for (int i = 0; i < 700; i++)
        g_list = item(g_list, i % 7 == 0);
}

static __attribute__((noinline)) void make_table(void)
{
    g_table = get(sizeof *g_table);
    g_table->n = 300;
    g_table->slots = get(300 * sizeof *g_table->slots);
    for (int i = 0; i < 300; i++)
        g_table->slots[i] = item(i % 3 ? NULL : item(NULL, 0), 1);
}

static __attribute__((noinline)) void say(const char *name)
{
    static size_t before;
    printf("%s %zu\n", name, sum - before);
    before = sum;
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    make_shared();
    say("g_shared");
    make_list();
    say("g_list");
    make_table();
    say("g_table");
    printf("g_table_items %d\ng_list_items %d\nready\n", 300 + 100, 700);
    pause();
    return 0;
}
