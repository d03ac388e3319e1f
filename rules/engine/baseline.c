#include "rules/engine/baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/base/limits.h"
#include "analyzer/base/map.h"

enum { MAX_FILE = 64 << 20 }; /* HR_MAX_FINDINGS entries are about 10 MiB */

struct entry {
    uint64_t fingerprint, count, bytes;
    uint64_t now_count, now_bytes; /* while it is applied */
    char *rule;
};
HR_VEC(entryvec, struct entry)
struct hr_baseline {
    struct entryvec list;      /* sorted by fingerprint */
    struct hr_map index;
};

void hr_baseline_prepare(void) { json_object_seed(0); }

void hr_baseline_destroy(struct hr_baseline *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->list.n; i++)
        hr_free(b->list.v[i].rule);
    entryvec_deinit(&b->list);
    hr_map_deinit(&b->index);
    hr_free(b);
}

static struct hr_baseline *create(void)
{
    struct hr_baseline *b = hr_zalloc(1, sizeof *b);
    if (b) {
        b->list.max = HR_MAX_FINDINGS;
        hr_map_init(&b->index, HR_MAX_FINDINGS);
    }
    return b;
}

static enum hr_status add(struct hr_baseline *b, uint64_t fingerprint, const char *rule, uint64_t count, uint64_t bytes)
{
    uint32_t at = hr_map_get(&b->index, fingerprint);
    if (at != HR_NONE) {
        b->list.v[at].count = hr_sat_add(b->list.v[at].count, count);
        b->list.v[at].bytes = hr_sat_add(b->list.v[at].bytes, bytes);
        return HR_OK;
    }
    struct entry e = {.fingerprint = fingerprint, .count = count, .bytes = bytes, .rule = hr_strdup(rule)};
    if (!e.rule)
        return HR_NOMEM;
    enum hr_status st = hr_map_put(&b->index, fingerprint, (uint32_t)b->list.n);
    if (st == HR_OK)
        st = entryvec_push(&b->list, e);
    if (st != HR_OK)
        hr_free(e.rule);
    return st;
}

/* ---- reading ---- */
static enum hr_status say(enum hr_status st, char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "%s", what);
    return st;
}

static enum hr_status slurp(const char *path, char **ret, size_t *n_ret, char *why, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat sb;
    if (fd < 0)
        return say(HR_IO, why, cap, strerror(errno));
    enum hr_status st = HR_OK;
    if (fstat(fd, &sb))
        st = say(HR_IO, why, cap, strerror(errno));
    else if (!S_ISREG(sb.st_mode))
        st = say(HR_IO, why, cap, "this is not a regular file");
    else if (sb.st_size > MAX_FILE)
        st = say(HR_LIMIT, why, cap, "this is larger than 64 MiB, so it is not a baseline");
    char *buf = st == HR_OK ? hr_alloc((size_t)sb.st_size) : NULL;
    size_t n = 0;
    ssize_t got = 1;
    while (buf && n < (size_t)sb.st_size && (got = read(fd, buf + n, (size_t)sb.st_size - n)) > 0)
        n += (size_t)got;
    close(fd);
    if (st == HR_OK && !buf)
        st = say(HR_NOMEM, why, cap, "out of memory");
    if (st == HR_OK && got < 0)
        st = say(HR_IO, why, cap, "it cannot be read");
    if (st != HR_OK) {
        hr_free(buf);
        return st;
    }
    *ret = buf;
    *n_ret = n;
    return HR_OK;
}

static bool natural(const json_t *o, const char *key, uint64_t *ret)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

static enum hr_status fill(struct hr_baseline *b, json_t *doc, char *why, size_t cap)
{
    const char *schema = json_string_value(json_object_get(doc, "schema")), *key;
    json_t *findings = json_object_get(doc, "findings"), *e;
    if (!schema || strcmp(schema, "heapray-baseline/1"))
        return say(HR_CORRUPT, why, cap, "this is no baseline of this version (\"schema\": \"heapray-baseline/1\")");
    if (!json_is_object(findings))
        return say(HR_CORRUPT, why, cap, "\"findings\" is missing");
    json_object_foreach(findings, key, e) {
        char *end;
        uint64_t fingerprint = strtoull(key, &end, 16), count, bytes;
        const char *rule = json_string_value(json_object_get(e, "rule"));
        if (strlen(key) != 16 || *end || !rule || !natural(e, "count", &count) || !natural(e, "bytes", &bytes))
            return say(HR_CORRUPT, why, cap, "an entry is not {\"rule\", \"count\", \"bytes\"} under 16 hexadecimal digits");
        enum hr_status st = add(b, fingerprint, rule, count, bytes);
        if (st != HR_OK)
            return say(st, why, cap, st == HR_LIMIT ? "too many entries" : "out of memory");
    }
    return HR_OK;
}

enum hr_status hr_baseline_read(const char *path, struct hr_baseline **ret, char *why, size_t cap)
{
    char *text = NULL;
    size_t n = 0;
    HR_TRY(slurp(path, &text, &n, why, cap));
    json_error_t err;
    json_t *doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, &err);
    hr_free(text);
    if (!doc) {
        snprintf(why, cap, "line %d: %s", err.line, err.text);
        return HR_CORRUPT;
    }
    struct hr_baseline *b = create();
    enum hr_status st = b ? fill(b, doc, why, cap) : say(HR_NOMEM, why, cap, "out of memory");
    json_decref(doc);
    if (st != HR_OK) {
        hr_baseline_destroy(b);
        return st;
    }
    *ret = b;
    return HR_OK;
}

/* ---- comparing ---- */
static bool grown(const struct entry *e)
{
    return e->now_count > e->count || e->now_bytes > hr_sat_add(e->bytes, e->bytes / 10);
}

static enum hr_status set_state(struct hr_finding *f, const struct entry *e)
{
    if (f->state && !strcmp(f->state, "allowed"))
        return HR_OK;
    char *state = hr_strdup(!e ? "new" : grown(e) ? "grown" : "known"), *label = NULL;
    if (state && e && grown(e) && !f->label) {
        char text[200];
        snprintf(text, sizeof text, "grown: %llu (%llu bytes) where the baseline has %llu (%llu bytes)", (unsigned long long)e->now_count,
                 (unsigned long long)e->now_bytes, (unsigned long long)e->count, (unsigned long long)e->bytes);
        label = hr_strdup(text);
        f->label = label;
    }
    if (!state)
        return HR_NOMEM;
    hr_free(f->state);
    f->state = state;
    return HR_OK;
}

static enum hr_status note_fixed(const struct hr_baseline *b, struct hr_findings *f, bool (*ran)(void *, const char *), void *ctx)
{
    for (size_t i = 0; i < b->list.n; i++) {
        const struct entry *e = &b->list.v[i];
        if (e->now_count || e->now_bytes || (ran && !ran(ctx, e->rule)))
            continue;
        struct hr_fixed x = {hr_strdup(e->rule), e->fingerprint, e->count, e->bytes};
        enum hr_status st = x.rule ? hr_fixedvec_push(&f->fixed, x) : HR_NOMEM;
        if (st != HR_OK) {
            hr_free(x.rule);
            return st;
        }
    }
    return HR_OK;
}

enum hr_status hr_baseline_apply(const struct hr_baseline *b, struct hr_findings *f, bool (*ran)(void *ctx, const char *rule), void *ctx)
{
    for (size_t i = 0; i < b->list.n; i++)
        b->list.v[i].now_count = b->list.v[i].now_bytes = 0;
    for (size_t i = 0; i < f->list.n; i++) {
        uint32_t at = hr_map_get(&b->index, f->list.v[i].fingerprint);
        if (at == HR_NONE)
            continue;
        struct entry *e = &b->list.v[at];
        e->now_count = hr_sat_add(e->now_count, f->list.v[i].count);
        e->now_bytes = hr_sat_add(e->now_bytes, f->list.v[i].bytes);
    }
    for (size_t i = 0; i < f->list.n; i++) {
        uint32_t at = hr_map_get(&b->index, f->list.v[i].fingerprint);
        HR_TRY(set_state(&f->list.v[i], at == HR_NONE ? NULL : &b->list.v[at]));
    }
    return note_fixed(b, f, ran, ctx);
}

/* ---- writing ---- */
static json_t *entry_json(const struct entry *e)
{
    return json_pack("{s:s, s:I, s:I}", "rule", e->rule, "count", (json_int_t)hr_min(e->count, INT64_MAX), "bytes",
                     (json_int_t)hr_min(e->bytes, INT64_MAX));
}

static enum hr_status write_all(struct hr_newfile *to, const struct hr_baseline *b, const struct hr_map *without, char *why, size_t cap)
{
    json_t *doc = json_object(), *findings = json_object();
    bool ok = doc && findings && !json_object_set_new(doc, "schema", json_string("heapray-baseline/1"));
    for (size_t i = 0; ok && i < b->list.n; i++) {
        const struct entry *e = &b->list.v[i];
        char key[24];
        if (without && hr_map_get(without, e->fingerprint) != HR_NONE)
            continue;
        snprintf(key, sizeof key, "%016llx", (unsigned long long)e->fingerprint);
        ok = !json_object_set_new(findings, key, entry_json(e));
    }
    ok = ok && !json_object_set(doc, "findings", findings);
    char *text = ok ? json_dumps(doc, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(findings);
    json_decref(doc);
    enum hr_status st = HR_NOMEM;
    if (text)
        st = hr_newfile_commit(to, text, why, cap);
    else
        snprintf(why, cap, "out of memory");
    free(text); /* jansson's */
    return st;
}

enum hr_status hr_baseline_write(struct hr_newfile *to, const struct hr_findings *f, char *why, size_t cap)
{
    struct hr_baseline *b = create();
    enum hr_status st = b ? HR_OK : say(HR_NOMEM, why, cap, "out of memory");
    for (size_t i = 0; i < f->list.n && st == HR_OK; i++) {
        const struct hr_finding *x = &f->list.v[i];
        if (!x->state || strcmp(x->state, "allowed")) /* allowed ones have their own date of expiry */
            st = add(b, x->fingerprint, x->rule, x->count, x->bytes);
    }
    if (st == HR_OK)
        st = write_all(to, b, NULL, why, cap);
    hr_baseline_destroy(b);
    return st;
}

enum hr_status hr_baseline_prune(struct hr_newfile *to, const struct hr_baseline *b, const struct hr_findings *f, char *why,
                                 size_t cap)
{
    struct hr_map gone;
    hr_map_init(&gone, HR_MAX_FINDINGS);
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < f->fixed.n && st == HR_OK; i++)
        st = hr_map_put(&gone, f->fixed.v[i].fingerprint, 1);
    if (st == HR_OK)
        st = write_all(to, b, &gone, why, cap);
    else
        snprintf(why, cap, "%s", hr_status_name(st));
    hr_map_deinit(&gone);
    return st;
}
