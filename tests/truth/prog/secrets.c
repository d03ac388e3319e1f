/* Keeps a secret in every place a report might copy from; the test looks for it in all output. Freed and leaked memory too. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct account {
    struct account *next;
    char name[64];
    char *password;
    const char **history;
    void *cookie; /* no pointer, whatever its type says */
};

static struct account *accounts;
static char banner[64];
static __thread char per_thread[64];

static char *secret(unsigned i)
{
    char *s = malloc(64 + i % 100);
    snprintf(s, 64, "%s%s-%u", "CANARY", "4711", i); /* in pieces: the program's own text is no secret */
    return s;
}

static void *wait_here(void *arg)
{
    char local[64];
    memcpy(local, arg, 64);
    memcpy(per_thread, arg, 64);
    __asm__ volatile("" : : "r"(local), "r"(per_thread) : "memory");
    for (;;)
        pause();
    return NULL;
}

int main(void)
{
    for (unsigned i = 0; i < 500; i++) {
        struct account *a = calloc(1, sizeof *a);
        char *s = secret(i);
        memcpy(a->name, s, 64);
        a->password = s;
        a->history = calloc(4, sizeof *a->history);
        a->history[0] = secret(i + 1000);
        memcpy(&a->cookie, s, sizeof a->cookie);
        a->next = accounts;
        accounts = a;
        free(secret(i + 2000));
        if (i % 5 == 0)
            a->history[0] = NULL; /* leaks the secret */
    }
    memcpy(banner, accounts->name, 64);
    char *raw = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(raw, banner, 64);
    pthread_t t;
    if (pthread_create(&t, NULL, wait_here, banner))
        return 1;
    usleep(50000);
    if (write(1, "ready\n", 6) == 6)
        pause();
    return 0;
}
