/* Small cores of the interpreters of this machine, damaged at random (pointers that go elsewhere, into the middle of objects or in
 * circles, sizes of 2^60, zeros) and cut short: every Python verb ends by itself, in time, with an exit status that means something. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/make/py_damage.h"
#include "tests/tap.h"

enum { PYTHONS = 16, SECONDS = 40, LEAST = 5, LIMIT = 60 }; /* all together; looks at each; seconds for one */

static long slowest; /* seconds of a processor, one look */
static uint64_t state = 88172645463325252ull;
static uint32_t rnd(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static void tell(const char *path)
{
    char line[512];
    FILE *f = fopen(path, "r");
    for (int i = 0; f && i < 60 && fgets(line, sizeof line, f); i++)
        printf("#   %s", line);
    if (f)
        fclose(f);
}

/* In a process of its own: what dies there is one failure here. */
static bool look(const struct damage *d, unsigned verb, const char *said)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY), err = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(null, 1);
        dup2(err, 2);
        alarm(LIMIT);
        _exit(damage_look(d, verb, (uint32_t)state));
    }
    int st = 0;
    struct rusage used = {0};
    if (pid < 0 || wait4(pid, &st, 0, &used) != pid)
        return false;
    if (used.ru_utime.tv_sec > slowest)
        slowest = used.ru_utime.tv_sec;
    int code = WIFEXITED(st) ? WEXITSTATUS(st) : -1;
    bool ok = WIFEXITED(st) && damage_fine(code, verb);
    if (!ok) {
        printf("# %s %s: %s %d\n", damage_verbs[verb][0], damage_verbs[verb][1] ? damage_verbs[verb][1] : "", WIFSIGNALED(st) ? "signal" : "status",
               WIFSIGNALED(st) ? WTERMSIG(st) : code);
        tell(said);
    }
    return ok;
}

static bool once(struct damage *d, unsigned verb, unsigned words, bool cut, const char *said)
{
    static uint32_t at[4096];
    uint64_t seed = state;
    unsigned bias = rnd();
    for (unsigned i = 0; i < words; i++) {
        uint32_t kind = rnd(), which = rnd(), other = rnd();
        if (bias & 1)
            kind %= 5;
        if (bias & 2) /* close together: all of a few objects, types or tables */
            which = bias / 4 + which % (2 * words);
        at[i] = damage_word(d, kind, which, other);
    }
    if (cut && ftruncate(d->fd, (off_t)(1 + rnd() % d->core.n)))
        return false;
    bool ok = look(d, verb, said);
    if (!ok)
        printf("# seed %" PRIu64 ", %u words%s\n", seed, words, cut ? ", cut" : "");
    if (cut) {
        if (ftruncate(d->fd, (off_t)d->core.n) || pwrite(d->fd, d->core.p, d->core.n, 0) != (ssize_t)d->core.n)
            return false;
    }
    for (unsigned i = 0; i < words; i++)
        damage_heal(d, at[i]);
    return ok;
}

static void sweep(const char *python, double seconds, const char *said)
{
    static const unsigned many[] = {1, 10, 100, 1000, 4000};
    struct damage d;
    if (!damage_open(&d, python)) {
        damage_close(&d);
        SKIP("an interpreter cannot be started or traced here");
        return;
    }
    unsigned looks = 0, bad = 0, first = rnd();
    struct timespec t0, t;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    do {
        bad += !once(&d, (first + looks) % DAMAGE_VERBS, looks ? many[rnd() % 5] : 0, looks % 8 == 7, said);
        looks++;
        clock_gettime(CLOCK_MONOTONIC, &t);
    } while ((looks < LEAST || (double)(t.tv_sec - t0.tv_sec) < seconds) && bad < 3);
    OK(!bad, "%s (%zu KiB): %u looks at damaged cores", python, d.core.n >> 10, looks);
    printf("# the slowest took %ld s of a processor\n", slowest);
    damage_close(&d);
}

int main(void)
{
    static char path[PYTHONS][512];
    const char *tmp = getenv("TMPDIR"), *only = getenv("PY"), *more = getenv("SWEEP_SECONDS"), *seed = getenv("SWEEP_SEED");
    char said[256];
    snprintf(said, sizeof said, "%s/said-%d", tmp ? tmp : "/tmp", (int)getpid());
    if (seed)
        state ^= strtoull(seed, NULL, 10) * 0x9e3779b97f4a7c15ull;
    unsigned n = mk_pythons(path, PYTHONS);
    for (unsigned i = 0; i < n; i++)
        if (!only || strstr(path[i], only))
            sweep(path[i], (more ? atof(more) : SECONDS) / (only ? 1 : n), said);
    if (!n)
        SKIP("there is no interpreter here");
    unlink(said);
    return tap_done();
}
