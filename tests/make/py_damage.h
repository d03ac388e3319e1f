/* The core of mk_python.h as a file that is damaged word by word and looked at with a verb of the command line. */
#ifndef HR_TESTS_PY_DAMAGE_H
#define HR_TESTS_PY_DAMAGE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "analyzer/heapray.h"
#include "tests/make/mk_python.h"

struct damage {
    char path[64];
    int fd;
    struct mk core;     /* as it was */
    uint8_t *p;         /* the file */
    uint32_t *word, *pointer; /* offsets/8 of words that are not 0, and of those that point into the memory */
    uint32_t nwords, npointers;
};

enum { DAMAGE_KINDS = 10 };

static uint64_t damage_get(const uint8_t *p, uint64_t at)
{
    uint64_t v;
    memcpy(&v, p + at, 8);
    return v;
}

/* Walks the program headers of the core that we wrote ourselves. */
static bool damage_list(struct damage *d)
{
    const uint8_t *p = d->core.p;
    uint64_t ph = damage_get(p, 32), n = p[56] | (uint64_t)p[57] << 8, lo = UINT64_MAX, hi = 0;
    d->word = calloc(d->core.n / 8, 4);
    d->pointer = calloc(d->core.n / 8, 4);
    for (int pass = 0; pass < 2 && d->word && d->pointer; pass++)
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t h = ph + 56 * i, off = damage_get(p, h + 8), addr = damage_get(p, h + 16), size = damage_get(p, h + 32);
            if (p[h] != 1 || !size || !(p[h + 4] & 2))
                continue;
            lo = addr < lo ? addr : lo;
            hi = addr + size > hi ? addr + size : hi;
            for (uint64_t k = off; pass && k + 8 <= off + size; k += 8) {
                uint64_t v = damage_get(p, k);
                if (v)
                    d->word[d->nwords++] = (uint32_t)(k / 8);
                if (v >= lo && v < hi)
                    d->pointer[d->npointers++] = (uint32_t)(k / 8);
            }
        }
    return d->nwords && d->npointers;
}

static bool damage_open(struct damage *d, const char *python)
{
    memset(d, 0, sizeof *d);
    d->fd = -1;
    if (!mk_python_core(python, &d->core))
        return false;
    mk_align(&d->core, 8);
    const char *tmp = getenv("TMPDIR");
    snprintf(d->path, sizeof d->path, "%.40s/pycore-XXXXXX", tmp ? tmp : "/tmp");
    d->fd = mkstemp(d->path);
    if (d->fd < 0 || write(d->fd, d->core.p, d->core.n) != (ssize_t)d->core.n || !damage_list(d))
        return false;
    d->p = mmap(NULL, d->core.n, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
    return d->p != MAP_FAILED;
}

__attribute__((unused)) static void damage_close(struct damage *d)
{
    if (d->p && d->p != MAP_FAILED)
        munmap(d->p, d->core.n);
    if (d->fd >= 0) {
        close(d->fd);
        unlink(d->path);
    }
    free(d->word);
    free(d->pointer);
    mk_free(&d->core);
}

/* Changes one word. kind < 5: only a pointer; which, other: any numbers. Returns where, for damage_heal(). */
static uint32_t damage_word(struct damage *d, unsigned kind, uint32_t which, uint32_t other)
{
    kind %= DAMAGE_KINDS;
    uint32_t at = kind < 5 ? d->pointer[which % d->npointers] : d->word[which % d->nwords];
    uint64_t was = damage_get(d->core.p, 8ull * at), near = damage_get(d->core.p, 8ull * d->pointer[(at + other % 97) % d->npointers]);
    uint64_t far = damage_get(d->core.p, 8ull * d->pointer[other % d->npointers]);
    const uint64_t v[DAMAGE_KINDS] = {far, near, was + 16, was - 8, was, 1ull << 60, ~0ull, 0, other % 300, was ^ 1ull << other % 64};
    uint64_t to = kind == 4 ? damage_get(d->core.p, was % d->core.n / 8 * 8) : v[kind];
    memcpy(d->p + 8ull * at, &to, 8);
    return at;
}

static void damage_heal(struct damage *d, uint32_t at) { memcpy(d->p + 8ull * at, d->core.p + 8ull * at, 8); }

static const char *const damage_verbs[][4] = {
    {"py", "gc"}, {"py", "gc", "--json"}, {"py", "refs"}, {"py", "stacks"}, {"py", "tasks"}, {"py", "memory"}, {"py", "types"}, {"objects", "--limit=0", "--show-contents"},
    {"objects", "--json", "--limit=0", "--show-contents"}, {"strings", "--limit=0"}, {"dups"}, {"check"}, {"top", "--retained"}, {"tree"}, {"info"}, {"py", "stacks", "--json"},
    {"py", "memory", "--json"}, {"show", "@"}, {"path", "@"}, {"dups", "--json"}, {"blocks", "--limit=0"}, {"py", "refs", "--json"},
};
enum { DAMAGE_VERBS = sizeof damage_verbs / sizeof damage_verbs[0] };

/* The command line over the file; `which` pointer stands for "@". Returns its exit status. */
static int damage_look(const struct damage *d, unsigned verb, uint32_t which)
{
    char address[24], *argv[16] = {(char *)"heapray"};
    snprintf(address, sizeof address, "0x%llx", (unsigned long long)damage_get(d->core.p, 8ull * d->pointer[which % d->npointers]));
    int n = 1, two = !strcmp(damage_verbs[verb][0], "py") ? 2 : 1;
    for (int i = 0; i < 4 && damage_verbs[verb][i]; i++) {
        argv[n++] = strcmp(damage_verbs[verb][i], "@") ? (char *)damage_verbs[verb][i] : address;
        if (i + 1 == two)
            argv[n++] = (char *)d->path;
    }
    argv[n++] = (char *)"--no-sandbox"; /* a sanitizer needs more than the filter allows */
    argv[n++] = (char *)"--no-types";
    return heapray_main(n, argv);
}

/* Is it a status that says something? An address in no block is a wrong argument. */
static bool damage_fine(int code, unsigned verb)
{
    return code == 0 || code == 1 || code == 3 || code == 4 || (code == 2 && damage_verbs[verb][1] && !strcmp(damage_verbs[verb][1], "@"));
}

#endif
