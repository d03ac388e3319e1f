#include "analyzer/base/mem.h"
#include "analyzer/types/child.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#endif

enum { MIN_OUTPUT = 4096 };

enum hr_status hr_child_put(struct hr_child_out *o, const void *bytes, size_t n)
{
    if (n > o->cap - o->n)
        return HR_LIMIT;
    if (n)
        memcpy(o->p + o->n, bytes, n);
    o->n += n;
    return HR_OK;
}

/* Memory, time, exit; what malloc and abort of libc use besides. Anything else fails with EPERM. */
static void filter(void)
{
#ifdef OUR_ARCH
    static const int allowed[] = {
        __NR_munmap, __NR_mremap, __NR_mprotect, __NR_brk, __NR_madvise, __NR_exit, __NR_exit_group, __NR_rt_sigreturn,
        __NR_rt_sigprocmask, __NR_futex, __NR_clock_gettime, __NR_getpid, __NR_gettid, __NR_tgkill, __NR_getrandom,
#ifdef __NR_mmap
        __NR_mmap,
#endif
#ifdef __NR_mmap2
        __NR_mmap2,
#endif
    };
    enum { N = sizeof allowed / sizeof *allowed };
    struct sock_filter code[N * 2 + 6];
    unsigned n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < N; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog prog = {(unsigned short)n, code};
    if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0); /* best effort: old kernels, nested sandboxes */
#endif
}

/* If memory runs out after all, it is the child that has to go. */
static void first_to_die(void)
{
    FILE *f = fopen("/proc/self/oom_score_adj", "w");
    if (f) {
        fputs("1000", f);
        fclose(f);
    }
}

static void limit(int what, uint64_t value)
{
    struct rlimit old, want = {value, value};
    if (!getrlimit(what, &old) && old.rlim_max < value)
        want.rlim_cur = want.rlim_max = old.rlim_max;
    (void)setrlimit(what, &want);
}

static void confine(const struct hr_child_limits *lim, uint64_t mapped)
{
    static const int sigs[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGXCPU, SIGTERM, SIGINT, SIGQUIT, SIGALRM};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    limit(RLIMIT_CORE, 0);
    struct rlimit cpu = {lim->seconds, lim->seconds + 1}; /* SIGXCPU says why; SIGKILL if it does not listen */
    (void)setrlimit(RLIMIT_CPU, &cpu);
    if (HR_SANITIZED)
        return;
    first_to_die();
    for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
        signal(sigs[i], SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    uint64_t as;
    if (mapped && hr_add(mapped, lim->memory, &as) && as < RLIM_INFINITY)
        limit(RLIMIT_AS, as);
#ifdef __NR_close_range
    (void)syscall(__NR_close_range, 0u, ~0u, 0u);
#endif
    limit(RLIMIT_NOFILE, 0);
    filter();
}

struct shared {
    uint64_t n; /* bytes of answer that follow the page */
};

static _Noreturn void child(hr_child_fn *fn, void *ctx, const struct hr_child_limits *lim, struct shared *sh, size_t page,
                            uint64_t mapped)
{
    confine(lim, mapped);
    struct hr_child_out out = {(uint8_t *)sh + page, 0, (size_t)lim->output};
    enum hr_status st = fn(ctx, &out);
    sh->n = out.n;
    _exit((int)st);
}

static enum hr_status ended(int ws, const struct hr_child_limits *lim, char *why, size_t cap)
{
    if (WIFEXITED(ws)) {
        enum hr_status st = (enum hr_status)WEXITSTATUS(ws);
        if (st > HR_USAGE) {
            snprintf(why, cap, "ended with status %d", (int)st);
            return HR_CORRUPT;
        }
        snprintf(why, cap, "%s", hr_status_name(st));
        return st;
    }
    int sig = WIFSIGNALED(ws) ? WTERMSIG(ws) : 0;
    if (sig == SIGXCPU || sig == SIGKILL) {
        snprintf(why, cap, sig == SIGXCPU ? "used more than %u s of CPU" : "was killed (limit %u s of CPU, or out of memory)",
                 lim->seconds);
        return HR_LIMIT;
    }
    snprintf(why, cap, "crashed (signal %d)", sig);
    return HR_CORRUPT;
}

/* Copies the answer out; nobody else maps it any more. */
static enum hr_status collect(const struct shared *sh, size_t page, const struct hr_child_limits *lim, struct hr_u8vec *ret)
{
    uint64_t n = sh->n;
    if (n > lim->output)
        return HR_CORRUPT;
    struct hr_u8vec v = {.max = lim->output};
    HR_TRY(hr_u8vec_reserve(&v, n));
    if (n)
        memcpy(v.v, (const uint8_t *)sh + page, n);
    v.n = n;
    *ret = v;
    return HR_OK;
}

/* Room for the answer, less of it under `ulimit -v` or strict overcommitment. */
static struct shared *share(size_t page, uint64_t *output)
{
    for (; *output >= MIN_OUTPUT; *output /= 2) {
        void *p = mmap(NULL, page + (size_t)*output, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p != MAP_FAILED)
            return p;
    }
    return NULL;
}

enum hr_status hr_child_run(hr_child_fn *fn, void *ctx, const struct hr_child_limits *given, struct hr_u8vec *ret, char *why,
                            size_t cap)
{
    struct hr_child_limits lim = given ? *given : (struct hr_child_limits){0};
    lim.memory = lim.memory ? lim.memory : HR_CHILD_MEMORY;
    lim.seconds = lim.seconds ? lim.seconds : HR_CHILD_SECONDS;
    lim.output = lim.output ? lim.output : sizeof(void *) == 8 ? HR_CHILD_OUTPUT : HR_CHILD_OUTPUT / 8;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct shared *sh = share(page, &lim.output);
    if (!sh) {
        snprintf(why, cap, "had no memory for its answer");
        return HR_NOMEM;
    }
    uint64_t mapped = hr_mem_mapped();
    enum hr_status st = HR_IO;
    pid_t pid = fork();
    if (pid == 0)
        child(fn, ctx, &lim, sh, page, mapped);
    int ws = 0;
    if (pid < 0) {
        snprintf(why, cap, "could not be started");
    } else {
        pid_t got;
        while ((got = waitpid(pid, &ws, 0)) < 0 && errno == EINTR)
            ;
        if (got == pid)
            st = ended(ws, &lim, why, cap);
        else
            snprintf(why, cap, "was lost");
    }
    if (st == HR_OK)
        st = collect(sh, page, &lim, ret);
    munmap(sh, page + (size_t)lim.output);
    return st;
}
