/* Every allocation of loading a core fails once, alone and with all that follow: no crash, no leak (under LeakSanitizer), and an
 * answer that is an error or a weaker image, never a broken one. */
#include <unistd.h>

#include "analyzer/base/mem.h"
#include "tests/fuzz/load_core.h"
#include "tests/make/mk.h"
#include "tests/tap.h"

struct world {
    struct mk core, exe;
    char path[100];
};

static enum hr_status load(const struct world *w)
{
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_open_options opt = {.exe = w->path, .no_host_files = true};
    HR_TRY(hr_strs_create(&strs));
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    struct hr_file f = {.path = "core", .bytes = {w->core.p, w->core.n}}, *files[] = {&f};
    enum hr_status st = hr_image_load(files, 1, &opt, &img);
    if (st == HR_OK) {
        volatile uint64_t keep = look_segments(&img) + look_modules(&img) + look_threads(&img);
        (void)keep;
    }
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return st;
}

static void torture(const struct world *w, bool after, const char *what)
{
    uint64_t failed = 0, strange = 0;
    hr_mem_fail(0, false);
    OK(load(w) == HR_OK, "%s: loads", what);
    uint64_t n = hr_mem_count();
    for (uint64_t i = 1; i <= n; i++) {
        hr_mem_fail(i, after);
        enum hr_status st = load(w);
        failed += st == HR_NOMEM;
        strange += st != HR_NOMEM && st != HR_OK;
    }
    hr_mem_fail(0, false);
    OK(failed && !strange, "%s: %" PRIu64 " allocations, each failed once%s: %" PRIu64 " said out of memory, the others did without", what, n,
       after ? " with all behind it" : "", failed);
}

int main(void)
{
    for (unsigned k = 0; k < 16; k++) {
        struct mk_process p = {.word = k & 1 ? 8 : 4, .big = k & 2, .gcore = k & 4, .unlisted = k & 8};
        struct world w = {mk_process(&p), mk_process_exe(&p)};
        char what[64];
        const char *tmp = getenv("TMPDIR");
        snprintf(w.path, sizeof w.path, "%.60s/exe-%d", tmp ? tmp : "/tmp", (int)getpid());
        FILE *f = fopen(w.path, "wb");
        if (!f || fwrite(w.exe.p, 1, w.exe.n, f) != w.exe.n)
            return 1;
        fclose(f);
        snprintf(what, sizeof what, "%u-bit %s endian %score%s", p.word * 8, p.big ? "big" : "little", p.gcore ? "g" : "", p.unlisted ? " without NT_FILE" : "");
        torture(&w, false, what);
        torture(&w, true, what);
        unlink(w.path);
        mk_free(&w.core);
        mk_free(&w.exe);
    }
    return tap_done();
}
