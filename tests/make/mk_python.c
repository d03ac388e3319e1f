#include "tests/make/mk_python.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_MAPS = 512, MOST_THREADS = 16, MOST_AUXV = 64, MOST_BYTES = 8 << 20, STACK_BYTES = 64 << 10, SP_SLOT = 19, FS_SLOT = 21 };

struct living {
    pid_t pid;
    int said;
    struct mk_load load[MOST_MAPS];
    struct mk_file file[MOST_MAPS];
    struct mk_thread thread[MOST_THREADS];
    uint64_t auxv[MOST_AUXV][2];
    size_t nloads, nfiles, nthreads, nauxv;
};

unsigned mk_pythons(char (*path)[512], unsigned cap)
{
    unsigned n = 0;
    char pattern[512];
    const char *home = getenv("HOME");
    if (n < cap && !access("/usr/bin/python3", X_OK))
        strcpy(path[n++], "/usr/bin/python3");
    snprintf(pattern, sizeof pattern, "%s/.pyenv/versions/*/bin/python", home ? home : "/root");
    glob_t g;
    if (glob(pattern, 0, NULL, &g) == 0)
        for (size_t i = 0; i < g.gl_pathc && n < cap; i++)
            snprintf(path[n++], sizeof path[0], "%s", g.gl_pathv[i]);
    globfree(&g);
    return n;
}

static bool start(struct living *l, const char *python)
{
    int fd[2];
    if (pipe(fd))
        return false;
    l->pid = fork();
    if (l->pid == 0) {
        dup2(fd[1], 1);
        close(fd[0]);
        personality(ADDR_NO_RANDOMIZE);
        alarm(120); /* whatever becomes of the test */
        static char *env[] = {"PYTHONHASHSEED=0", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
        execle(python, "python", "-S", "-E", "tests/make/py_things.py", (char *)NULL, env);
        _exit(127);
    }
    close(fd[1]);
    l->said = fd[0];
    char word[6] = "";
    size_t n = 0;
    ssize_t got;
    while (l->pid > 0 && n < 5 && (got = read(fd[0], word + n, 5 - n)) > 0)
        n += (size_t)got;
    usleep(20000); /* to fall asleep */
    return !strcmp(word, "ready");
}

static void attach(struct living *l)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", l->pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) && l->nthreads < MOST_THREADS;) {
        pid_t tid = atoi(e->d_name);
        struct user_regs_struct r;
        if (tid <= 0 || ptrace(PTRACE_ATTACH, tid, NULL, NULL) || waitpid(tid, NULL, __WALL) != tid || ptrace(PTRACE_GETREGS, tid, NULL, &r))
            continue;
        struct mk_thread *t = &l->thread[l->nthreads++];
        t->tid = (uint32_t)tid;
        memcpy(t->slot, &r, sizeof r); /* the kernel's order is that of pr_reg */
    }
    if (d)
        closedir(d);
}

/* How much of a mapping to leave out in front: stacks are kept from the stack pointer on. */
static uint64_t unused_front(const struct living *l, uint64_t lo, uint64_t hi)
{
    for (size_t i = 0; i < l->nthreads; i++) {
        uint64_t sp = l->thread[i].slot[SP_SLOT];
        if (sp >= lo && sp < hi)
            return ((sp - lo) & ~4095ull) >= 4096 ? ((sp - lo) & ~4095ull) - 4096 : 0;
    }
    return 0;
}

static void one_map(struct living *l, int mem, const char *line)
{
    unsigned long lo, hi, off, inode;
    char perm[8], path[512] = "";
    if (sscanf(line, "%lx-%lx %7s %lx %*s %lu %511s", &lo, &hi, perm, &off, &inode, path) < 5 || l->nloads == MOST_MAPS || !strcmp(path, "[vsyscall]"))
        return;
    if (inode && path[0] == '/')
        l->file[l->nfiles++] = (struct mk_file){lo, hi, off / 4096, strdup(path)};
    struct mk_load *s = &l->load[l->nloads];
    *s = (struct mk_load){.addr = lo, .memsz = hi - lo, .flags = (perm[0] == 'r' ? MK_R : 0) | (perm[1] == 'w' ? MK_W : 0) | (perm[2] == 'x' ? MK_X : 0)};
    uint64_t front = unused_front(l, lo, hi), n = hi - lo - front;
    bool header = inode && !off; /* the first page of a file: build-id */
    n = header ? 4096 : n;
    if ((perm[1] == 'w' || header) && n <= MOST_BYTES) {
        uint8_t *p = calloc(1, n);
        s->addr += front;
        s->memsz -= front;
        if (p && pread(mem, p, n, (off_t)s->addr) == (ssize_t)n) {
            s->bytes = p;
            s->filesz = n;
        } else
            free(p);
    }
    l->nloads++;
}

static void maps(struct living *l)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/mem", l->pid);
    int mem = open(path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%d/maps", l->pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        one_map(l, mem, line);
    if (f)
        fclose(f);
    snprintf(path, sizeof path, "/proc/%d/auxv", l->pid);
    f = fopen(path, "r");
    while (f && l->nauxv < MOST_AUXV && fread(l->auxv[l->nauxv], 16, 1, f) == 1 && l->auxv[l->nauxv][0])
        l->nauxv++;
    if (f)
        fclose(f);
    if (mem >= 0)
        close(mem);
}

bool mk_python_core(const char *python, struct mk *ret)
{
    struct living *l = calloc(1, sizeof *l);
    bool ok = l && start(l, python);
    if (ok)
        attach(l);
    ok = ok && l->nthreads;
    if (ok) {
        maps(l);
        *ret = mk_core(&(struct mk_core){.word = 8, .machine = 62, .nslots = 27, .loads = l->load, .nloads = l->nloads, .threads = l->thread, .nthreads = l->nthreads,
            .files = l->file, .nfiles = l->nfiles, .auxv = l->auxv, .nauxv = l->nauxv, .command = "python", .args = "python", .pid = (uint32_t)l->pid, .signo = 6});
    }
    if (l && l->pid > 0) {
        kill(l->pid, SIGKILL);
        while (waitpid(-1, NULL, __WALL) > 0)
            ;
        close(l->said);
    }
    for (size_t i = 0; l && i < l->nloads; i++)
        free((void *)l->load[i].bytes);
    for (size_t i = 0; l && i < l->nfiles; i++)
        free((void *)l->file[i].path);
    free(l);
    return ok;
}
