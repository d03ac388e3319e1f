/* Cost of the graph algorithms per node: CPU and peak memory, 10^5 to 10^7 nodes.
 * bench_graph [nodes ...]; each size and step runs in a child of its own, so that its peak is its own. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "analyzer/base/map.h"
#include "analyzer/graph/graph.h"

/* Like a heap: a random tree of owners (children near their owner or anywhere) and as many cross edges again. */
static void heap_like(void *ctx, uint32_t v, hr_graph_emit_fn *emit, void *e)
{
    uint32_t n = *(uint32_t *)ctx;
    uint64_t r = hr_mix(v + 1);
    if (2 * (uint64_t)v + 1 < n)
        emit(e, 2 * v + 1);
    if (2 * (uint64_t)v + 2 < n)
        emit(e, 2 * v + 2);
    emit(e, (uint32_t)(r % n));
    if (r >> 40 & 1)
        emit(e, (v + (uint32_t)(r >> 44)) % n);
}
static void chain(void *ctx, uint32_t v, hr_graph_emit_fn *emit, void *e)
{
    uint32_t n = *(uint32_t *)ctx;
    emit(e, (v + 1) % n);
    emit(e, v ? v - 1 : 0);
}

static uint64_t one(void *ctx, uint32_t v)
{
    (void)ctx, (void)v;
    return 1;
}
static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static double peak(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024;
}

static void measure(uint32_t n, const char *shape, const char *step)
{
    double base = peak(), t = cpu();
    struct hr_graph *g, *r = NULL;
    uint32_t ncomp, *a = malloc((size_t)n * 4);
    if (!a || hr_graph_build(n, *shape == 'h' ? heap_like : chain, &n, &g) != HR_OK)
        exit(1);
    double built = cpu();
    enum hr_status s = HR_OK;
    if (*step == 'r')
        s = hr_graph_reverse(g, &r);
    else if (*step == 's')
        s = hr_graph_scc(g, NULL, a, &ncomp);
    else if (*step == 'd')
        s = hr_graph_dominators(g, &(uint32_t){0}, 1, NULL, a);
    if (s == HR_OK && *step == 'd') {
        uint64_t *w = malloc((size_t)n * 8);
        if (!w || hr_graph_retained(a, n, one, NULL, w) != HR_OK)
            exit(1);
    }
    double m = (double)g->m / n;
    printf("%9u  %-6s %-10s %5.2f edges/node  %7.1f ns/node (build %.1f)  %5.1f B/node, of it edges %4.1f\n", n, shape, step, m,
           (cpu() - (*step == 'b' ? t : built)) * 1e9 / n, (built - t) * 1e9 / n, (peak() - base) / n, m * 4);
    if (s != HR_OK)
        exit(1);
}

int main(int argc, char **argv)
{
    static const char *const sizes[] = {"100000", "1000000", "10000000"};
    static const char *const steps[] = {"build", "reverse", "scc", "dominators"};
    int count = argc > 1 ? argc - 1 : 3, bad = 0;
    for (int i = 0; i < count; i++) {
        uint32_t n = (uint32_t)atof(argc > 1 ? argv[i + 1] : sizes[i]);
        for (int k = 0; k < 8; k++) {
            fflush(stdout);
            if (fork() == 0) {
                measure(n, k < 4 ? "heap" : "chain", steps[k % 4]);
                return 0;
            }
            int st;
            wait(&st);
            bad |= st;
        }
    }
    return bad != 0;
}
