/* A small core of the machine's own Python with any words changed, looked at with one verb. Without an interpreter that can be traced
 * it does nothing.
 *
 * Input: byte 0: the verb; byte 1: bit 0: the file is cut; bytes 2, 3: its share that is left, or which pointer is shown; then changes of 5 bytes: kind
 * (py_damage.h), which word (16 bit of the share of all), other (16 bit). */
#include "tests/make/py_damage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 2000 };
static struct damage world;
static bool tried, there;
static int silent = -1;

static void end(void) { damage_close(&world); }

static void prepare(void)
{
    static char path[1][512];
    tried = true;
    there = mk_pythons(path, 1) && damage_open(&world, path[0]);
    silent = open("/dev/null", O_WRONLY);
    atexit(end);
    if (!there)
        printf("# no interpreter that can be traced: nothing is tried\n");
}

static void quiet(unsigned verb, uint32_t which)
{
    fflush(stdout);
    int out = dup(1), err = dup(2);
    dup2(silent, 1);
    int code = damage_look(&world, verb, which);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    if (!damage_fine(code, verb))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!tried)
        prepare();
    if (!there || size < 4)
        return 0;
    static uint32_t at[MOST];
    unsigned n = 0;
    for (size_t i = 4; i + 5 <= size && n < MOST; i += 5, n++) {
        uint32_t which = (uint32_t)(data[i + 1] | data[i + 2] << 8), other = (uint32_t)(data[i + 3] | data[i + 4] << 8);
        at[n] = damage_word(&world, data[i], which * 40503u, other * 40503u);
    }
    if (data[1] & 1 && ftruncate(world.fd, (off_t)(1 + world.core.n * (uint64_t)(data[2] | data[3] << 8) / 65536)))
        return 0;
    quiet(data[0] % DAMAGE_VERBS, (uint32_t)(data[2] | data[3] << 8) * 40503u);
    if (data[1] & 1 && (ftruncate(world.fd, (off_t)world.core.n) || pwrite(world.fd, world.core.p, world.core.n, 0) != (ssize_t)world.core.n))
        __builtin_trap();
    while (n)
        damage_heal(&world, at[--n]);
    return 0;
}
