#include "analyzer/base/mem.h"
#include "analyzer/sandbox.h"

#include "analyzer/types/child.h"

#if !defined(__linux__) || HR_SANITIZED
void hr_sandbox_start(void) {}
bool hr_sandbox_enter(enum hr_sandbox_mode mode) { return (void)mode, false; }
void hr_sandbox_memory(uint64_t most) { (void)most; }
#else
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__i386__)
#define OUR_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH AUDIT_ARCH_RISCV64
#endif

void hr_sandbox_start(void)
{
    struct rlimit none = {0, 0};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
}

/* ---- memory ---- */
/* Beyond four times the inputs: a small input's types, and the room a child's answer is given while it is read (NORESERVE, but
 * it counts). Measured need is below 1 time the input for blocks of 64 bytes on average, 3 times for the smallest. */
#define SPARE (2ull << 30)

/* The stack grows on demand, and no room for that is a crash where no memory for malloc is an answer. */
static __attribute__((noinline)) void claim_stack(void)
{
    volatile char room[512 << 10];
    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = 0;
}

void hr_sandbox_memory(uint64_t most)
{
    static bool known;
    static rlim_t given; /* by whoever started us */
    struct rlimit r;
    uint64_t mapped = hr_mem_mapped(), want;
    if (!mapped || getrlimit(RLIMIT_AS, &r))
        return;
    claim_stack();
    if (!known)
        given = r.rlim_cur;
    known = true;
    bool fits = most ? hr_add(mapped, most, &want) : hr_mul(mapped, 4, &want) && hr_add(want, SPARE + HR_CHILD_OUTPUT, &want);
    if (!fits || want >= RLIM_INFINITY)
        return;
    r.rlim_cur = want < given ? (rlim_t)want : given;
    (void)setrlimit(RLIMIT_AS, &r); /* the soft one: children that read debug information have their own */
}

/* ---- files: Landlock, by number, since the headers and libc of many machines do not know it yet ---- */
enum { LANDLOCK_CREATE_RULESET = 444, LANDLOCK_RESTRICT_SELF = 446 };
#define LANDLOCK_ASK_VERSION 1u
struct landlock_rights { uint64_t fs, net, scoped; };
enum { REMOVE_FILE = 1 << 5, MAKE_REG = 1 << 8 };

static void deny_files(enum hr_sandbox_mode mode)
{
    static const struct { int abi; unsigned fs_bits, net_bits, scoped_bits; size_t size; } versions[] = {
        {6, 16, 2, 2, 24}, {5, 16, 2, 0, 16}, {4, 15, 2, 0, 16}, {3, 15, 0, 0, 8}, {2, 14, 0, 0, 8}, {1, 13, 0, 0, 8},
    };
    long abi = syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_ASK_VERSION);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        if (abi < versions[i].abi)
            continue;
        struct landlock_rights deny = {(1ull << versions[i].fs_bits) - 1, (1ull << versions[i].net_bits) - 1,
                                       (1ull << versions[i].scoped_bits) - 1};
        if (mode == HR_SANDBOX_REPLACE)
            deny.fs &= ~(uint64_t)(REMOVE_FILE | MAKE_REG); /* both are asked for by rename() */
        long fd = syscall(LANDLOCK_CREATE_RULESET, &deny, versions[i].size, 0);
        if (fd < 0)
            return;
        (void)syscall(LANDLOCK_RESTRICT_SELF, (int)fd, 0);
        close((int)fd);
        return;
    }
}

/* ---- system calls ---- */
struct call {
    long nr;
    enum { ALWAYS, WHEN_EQUAL, UNLESS_BIT } rule;
    unsigned arg;
    uint32_t a, b;
};

#ifdef OUR_ARCH
static const struct call calls[] = {
    {__NR_read}, {__NR_pread64}, {__NR_write}, {__NR_writev}, {__NR_lseek}, {__NR_close}, {__NR_fstat}, {__NR_ftruncate},
    {__NR_munmap}, {__NR_mremap}, {__NR_brk}, {__NR_madvise}, {__NR_exit}, {__NR_exit_group}, {__NR_restart_syscall},
    {__NR_rt_sigreturn}, {__NR_rt_sigaction}, {__NR_rt_sigprocmask}, {__NR_sigaltstack}, {__NR_futex}, {__NR_clock_gettime},
    {__NR_gettimeofday}, {__NR_getrandom}, {__NR_getpid}, {__NR_gettid},
#ifdef __NR_time
    {__NR_time},
#endif
#ifdef __NR__llseek
    {__NR__llseek}, {__NR_fstat64}, {__NR_ftruncate64}, {__NR_clock_gettime64}, {__NR_futex_time64},
#endif
#ifdef __NR_newfstatat /* fstat() of newer libcs; without a name it is about an open descriptor (or the current directory) */
    {__NR_newfstatat, WHEN_EQUAL, 3, AT_EMPTY_PATH, AT_EMPTY_PATH},
#endif
    {__NR_fcntl, WHEN_EQUAL, 1, F_GETFL, F_GETFD},
    {__NR_ioctl, WHEN_EQUAL, 1, TCGETS, TIOCGWINSZ},
#ifdef __NR_mmap2
    {__NR_mmap2, UNLESS_BIT, 2, PROT_EXEC},
#else
    {__NR_mmap, UNLESS_BIT, 2, PROT_EXEC},
#endif
    {__NR_mprotect, UNLESS_BIT, 2, PROT_EXEC},
};
static const struct call replacing[] = {
    {__NR_fchmod}, {__NR_unlinkat},
#ifdef __NR_rename
    {__NR_rename}, {__NR_unlink},
#endif
#ifdef __NR_renameat
    {__NR_renameat},
#endif
#ifdef __NR_renameat2
    {__NR_renameat2},
#endif
};

struct program {
    struct sock_filter v[512];
    unsigned n;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    if (p->n < sizeof p->v / sizeof *p->v)
        p->v[p->n++] = (struct sock_filter){code, yes, no, k};
}

/* Each: skip to the next unless it is this call; then the answer. The lower half of an argument is what the kernel looks at in
 * those asked for here. */
static void put_call(struct program *p, const struct call *c)
{
    enum { JEQ = BPF_JMP | BPF_JEQ | BPF_K, JSET = BPF_JMP | BPF_JSET | BPF_K, LOAD = BPF_LD | BPF_W | BPF_ABS, RET = BPF_RET | BPF_K };
    uint32_t low = (uint32_t)(offsetof(struct seccomp_data, args) + 8 * c->arg +
                              (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0));
    put(p, JEQ, (uint32_t)c->nr, 0, c->rule == ALWAYS ? 1 : c->rule == WHEN_EQUAL ? 5 : 4);
    if (c->rule != ALWAYS)
        put(p, LOAD, low, 0, 0);
    if (c->rule == WHEN_EQUAL) {
        put(p, JEQ, c->a, 1, 0);
        put(p, JEQ, c->b, 0, 1);
    } else if (c->rule == UNLESS_BIT) {
        put(p, JSET, c->a, 1, 0);
    }
    put(p, RET, SECCOMP_RET_ALLOW, 0, 0);
    if (c->rule != ALWAYS)
        put(p, RET, SECCOMP_RET_ERRNO | EPERM, 0, 0);
}

static bool filter_calls(enum hr_sandbox_mode mode)
{
    struct program p = {.n = 0};
    /* abort() of libc: a signal to ourselves and to nobody else */
    const struct call die = {__NR_tgkill, WHEN_EQUAL, 0, (uint32_t)getpid(), (uint32_t)getpid()};
    put(&p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    put(&p, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    put(&p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0); /* the numbers below mean something else there */
    put(&p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        put_call(&p, &calls[i]);
    for (size_t i = 0; mode == HR_SANDBOX_REPLACE && i < sizeof replacing / sizeof *replacing; i++)
        put_call(&p, &replacing[i]);
    put_call(&p, &die);
    put(&p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
    struct sock_fprog prog = {(unsigned short)p.n, p.v};
    return !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}
#else
static bool filter_calls(enum hr_sandbox_mode mode) { return (void)mode, false; }
#endif

static int by_byte(const void *a, const void *b) { return *(const unsigned char *)a - *(const unsigned char *)b; }

/* What libc opens or asks the kernel the first time it is used, and remembers. */
static void warm_up(void)
{
    mbstate_t state = {0};
    wchar_t wide;
    char narrow[MB_LEN_MAX], many[4096] = {0};
    (void)mbrtowc(&wide, "a", 1, &state);  /* the locale's character set may be a module to load */
    (void)wcrtomb(narrow, L'a', &state);
    tzset();                               /* the time zone: gmtime_r() asks for it, too */
    qsort(many, sizeof many, 1, by_byte);  /* how much memory there is */
    (void)strerror(EPERM);
}

bool hr_sandbox_enter(enum hr_sandbox_mode mode)
{
    warm_up();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return false;
    deny_files(mode); /* first: its calls are not among the allowed ones */
    return filter_calls(mode);
}
#endif
