/* Baselines: written, read back, compared. */
#include <unistd.h>

#include "rules/engine/baseline.h"
#include "tests/tap.h"

static char dir[] = "/tmp/baselineXXXXXX", path[64], why[300];

static void add(struct hr_findings *f, const char *rule, uint64_t print, uint64_t count, uint64_t bytes)
{
    struct hr_finding x = {.rule = hr_strdup(rule), .fingerprint = print, .count = count, .bytes = bytes};
    if (hr_findingvec_push(&f->list, x) != HR_OK)
        abort();
}

static bool only_leaks(void *ctx, const char *rule)
{
    (void)ctx;
    return !strncmp(rule, "leak.", 5);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static void refused(const char *text, enum hr_status want, const char *part)
{
    struct hr_baseline *b;
    write_text(text);
    enum hr_status st = hr_baseline_read(path, &b, why, sizeof why);
    OK(st == want && strstr(why, part), "refused: %s", part);
}

static void compare(void)
{
    struct hr_findings old, now;
    struct hr_baseline *b;
    hr_findings_init(&old);
    hr_findings_init(&now);
    add(&old, "leak.a", 1, 10, 1000);
    add(&old, "leak.a", 1, 5, 500); /* the same fingerprint: summed */
    add(&old, "leak.b", 2, 1, 100);
    add(&old, "leak.c", 0xfedcba9876543210, 1, 1000);
    add(&old, "frag.d", 4, 1, 1);
    add(&old, "leak.e", 5, 7, 70);
    struct hr_newfile *file;
    EQ(hr_newfile_create(path, &file, why, sizeof why), HR_OK, "a new file");
    EQ(hr_baseline_write(file, &old, why, sizeof why), HR_OK, "written");
    hr_newfile_destroy(file);
    EQ(hr_baseline_read(path, &b, why, sizeof why), HR_OK, "read back");
    add(&now, "leak.a", 1, 15, 1500);
    add(&now, "leak.b", 2, 2, 100);
    add(&now, "leak.c", 0xfedcba9876543210, 1, 1101);
    add(&now, "leak.new", 9, 1, 1);
    add(&now, "leak.b", 2, 0, 0);
    now.list.v[4].state = hr_strdup("allowed");
    EQ(hr_baseline_apply(b, &now, only_leaks, NULL), HR_OK, "compared");
    static const char *const want[] = {"known", "grown", "grown", "new", "allowed"};
    for (size_t i = 0; i < 5; i++)
        OK(!strcmp(now.list.v[i].state, want[i]), "%s is %s", now.list.v[i].rule, want[i]);
    OK(!hr_finding_counts(&now.list.v[0]) && hr_finding_counts(&now.list.v[1]) && hr_finding_counts(&now.list.v[3]), "known ones do not count");
    OK(strstr(now.list.v[1].label, "2 (100 bytes) where the baseline has 1 (100 bytes)"), "a grown one says by how much");
    OK(now.fixed.n == 1 && now.fixed.v[0].fingerprint == 5 && now.fixed.v[0].count == 7, "fixed is what its rule no longer finds");
    EQ(hr_newfile_create(path, &file, why, sizeof why), HR_OK, "another new file");
    EQ(hr_baseline_prune(file, b, &now, why, sizeof why), HR_OK, "pruned");
    hr_newfile_destroy(file);
    hr_baseline_destroy(b);
    hr_findings_deinit(&now);
    EQ(hr_baseline_read(path, &b, why, sizeof why), HR_OK, "read again");
    EQ(hr_baseline_apply(b, &now, NULL, NULL), HR_OK, "against nothing");
    bool still = false;
    for (size_t i = 0; i < now.fixed.n; i++)
        still |= now.fixed.v[i].fingerprint == 5;
    OK(now.fixed.n == 4 && !still, "pruning drops what is fixed and nothing else");
    hr_baseline_destroy(b);
    hr_findings_deinit(&now);
    hr_findings_deinit(&old);
}

int main(void)
{
    if (!mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/b.json", dir);
    compare();
    refused("", HR_CORRUPT, "line 1");
    refused("{\"schema\": \"heapray/1\"}", HR_CORRUPT, "no baseline");
    refused("{\"schema\": \"heapray-baseline/1\"}", HR_CORRUPT, "findings");
    refused("{\"schema\": \"heapray-baseline/1\", \"findings\": {\"12\": {\"rule\": \"a\", \"count\": 1, \"bytes\": 1}}}", HR_CORRUPT, "16 hexadecimal");
    refused("{\"schema\": \"heapray-baseline/1\", \"findings\": {\"0000000000000012\": {\"rule\": \"a\", \"count\": -1, \"bytes\": 1}}}", HR_CORRUPT, "an entry");
    char deep[20001];
    memset(deep, '[', 20000);
    deep[20000] = 0;
    refused(deep, HR_CORRUPT, "line 1");
    struct hr_baseline *b;
    EQ(hr_baseline_read("/nonexistent", &b, why, sizeof why), HR_IO, "not there");
    EQ(hr_baseline_read(dir, &b, why, sizeof why), HR_IO, "a directory");
    struct hr_newfile *file;
    EQ(hr_newfile_create("/nonexistent/x", &file, why, sizeof why), HR_IO, "cannot be written");
    EQ(hr_newfile_create(path, &file, why, sizeof why), HR_OK, "a file that nothing is written to");
    hr_newfile_destroy(file);
    unlink(path);
    OK(!rmdir(dir), "no file is left behind");
    return tap_done();
}
