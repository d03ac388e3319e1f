/* The gate, in child processes of this one: what is still allowed, and what is not. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "analyzer/sandbox.h"
#include "analyzer/types/child.h"
#include "tests/tap.h"

enum { NO_FILTER = 77, DONE = 88 };
static char dir[] = "/tmp/hr-gate-XXXXXX", from[64], to[64];
static int kept; /* a descriptor that was open before */

/* Exit status of fn() in a child that went through the gate. */
static int behind(enum hr_sandbox_mode mode, int (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        hr_sandbox_start();
        _exit(hr_sandbox_enter(mode) ? fn() : NO_FILTER);
    }
    int ws = 0;
    return pid > 0 && waitpid(pid, &ws, 0) == pid ? (WIFEXITED(ws) ? WEXITSTATUS(ws) : 1000 + WTERMSIG(ws)) : -1;
}

/* errno of a call that has to fail, DONE when it did not. */
static int why(long r) { return r == -1 ? errno : DONE; }
static int do_open(void) { return why(open("/dev/null", O_RDONLY)); }
static int do_openat(void) { return why(openat(AT_FDCWD, to, O_WRONLY | O_CREAT, 0600)); }
static int do_socket(void) { return why(socket(AF_INET, SOCK_STREAM, 0)); }
static int do_connect(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return why(connect(kept, (struct sockaddr *)&a, sizeof a));
}
static int do_exec(void)
{
    char *argv[] = {(char *)"true", NULL};
    return why(execv("/bin/true", argv));
}
static int do_fork(void)
{
    pid_t p = fork();
    if (p == 0)
        _exit(0);
    return why(p);
}
static int do_kill(void) { return why(kill(getppid(), 0)); }
static int do_stat(void)
{
    struct stat sb;
    return why(stat("/etc/passwd", &sb));
}
static int do_rename(void) { return why(rename(from, to)); }
static int do_unlink(void) { return why(unlink(from)); }
static int do_prctl(void) { return why(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int do_exec_memory(void) { return why((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }
static int do_exec_protect(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return why(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int do_steal_input(void) /* put characters into our terminal's queue */
{
    char c = 'x';
    return why(ioctl(0, TIOCSTI, &c));
}

/* What the program goes on doing. */
static int work(void)
{
    struct stat sb;
    char back[3] = "";
    FILE *f = fdopen(kept, "w+");
    if (!f || fstat(kept, &sb) || lseek(kept, 0, SEEK_SET) || fputs("ab", f) < 0 || fflush(f) || pread(kept, back, 2, 0) != 2 || strcmp(back, "ab"))
        return 1;
    if (ftruncate(kept, 1) || lseek(kept, 0, SEEK_END) != 1)
        return 2;
    char *p = malloc(64 << 20), *q = p ? realloc(p, 128 << 20) : NULL;
    if (!q)
        return 3;
    memset(q, 1, 128 << 20);
    free(q);
    return DONE;
}
static int die(void)
{
    abort();
    return DONE;
}

static int replace(void) { return rename(from, to) || open(to, O_RDONLY) != -1 || errno != EPERM || unlink(to) ? errno : DONE; }

/* A file's worth of memory more than is allowed: malloc has to say no, and the stack has to be there still. */
static int memory(void)
{
    volatile char stack[256 << 10];
    hr_sandbox_memory(64 << 20);
    void *small = malloc(16 << 20), *large = malloc(256 << 20);
    if (!small || large)
        return 1;
    while (malloc(4096))
        ;
    for (size_t i = 0; i < sizeof stack; i += 512)
        stack[i] = 1;
    return DONE;
}

static void forbidden(void)
{
    static const struct { const char *name; int (*fn)(void); } all[] = {
        {"open", do_open}, {"openat, to create", do_openat}, {"socket", do_socket}, {"connect", do_connect}, {"execve", do_exec},
        {"fork", do_fork}, {"kill", do_kill}, {"stat of a name", do_stat}, {"rename", do_rename}, {"unlink", do_unlink},
        {"prctl", do_prctl}, {"memory with code", do_exec_memory}, {"memory turned into code", do_exec_protect},
        {"putting words into the terminal's mouth", do_steal_input},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        EQ(behind(HR_SANDBOX_READ, all[i].fn), EPERM, "behind the gate: no %s", all[i].name);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(from, sizeof from, "%s/from", dir);
    snprintf(to, sizeof to, "%s/to", dir);
    kept = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (HR_SANITIZED || behind(HR_SANDBOX_READ, work) == NO_FILTER) {
        SKIP("no gate here: a sanitizer, or a kernel without system call filters");
    } else {
        forbidden();
        EQ(behind(HR_SANDBOX_READ, work), DONE, "files that are open, and memory, are there");
        EQ(behind(HR_SANDBOX_READ, die), 1000 + SIGABRT, "abort() still ends it");
        EQ(behind(HR_SANDBOX_REPLACE, do_open), EPERM, "replacing a file: no open either");
        EQ(behind(HR_SANDBOX_REPLACE, do_socket), EPERM, "replacing a file: no socket either");
        EQ(behind(HR_SANDBOX_REPLACE, replace), DONE, "replacing a file: rename and unlink");
        fflush(stdout);
        int ws = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(memory());
        waitpid(pid, &ws, 0);
        EQ(WIFEXITED(ws) ? WEXITSTATUS(ws) : 1000 + WTERMSIG(ws), DONE, "memory ends where it was said to, and the stack is not what it takes");
    }
    close(kept);
    unlink(from);
    unlink(to);
    OK(!rmdir(dir), "nothing is left behind");
    return tap_done();
}
