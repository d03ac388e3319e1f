#include "analyzer/growth.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ROWS = 1 << 20 /* types and sizes of one comparison: Chromium has about 200,000 types */ };

enum hr_status hr_growth_create(uint32_t n, struct hr_growth **ret)
{
    struct hr_growth *g = hr_zalloc(1, sizeof *g);
    if (!g)
        return HR_NOMEM;
    g->n = n;
    g->rows.max = MAX_ROWS;
    g->cells.max = (size_t)MAX_ROWS * n;
    hr_map_init(&g->index, MAX_ROWS);
    enum hr_status st = hr_strs_create(&g->strs);
    if (st != HR_OK) {
        hr_growth_destroy(g);
        return st;
    }
    *ret = g;
    return HR_OK;
}

void hr_growth_destroy(struct hr_growth *g)
{
    if (!g)
        return;
    hr_growth_rowvec_deinit(&g->rows);
    hr_growth_cellvec_deinit(&g->cells);
    hr_map_deinit(&g->index);
    hr_strs_destroy(g->strs);
    hr_free(g);
}

static enum hr_status row_of(struct hr_growth *g, const char *key, bool typed, size_t *ret)
{
    hr_str id;
    uint32_t *slot;
    bool was;
    HR_TRY(hr_strs_addz(g->strs, key, &id));
    HR_TRY(hr_map_slot(&g->index, (uint64_t)id << 1 | typed, (uint32_t)g->rows.n, &slot, &was));
    *ret = *slot;
    if (was)
        return HR_OK;
    for (uint32_t i = 0; i < g->n; i++)
        HR_TRY(hr_growth_cellvec_push(&g->cells, (struct hr_growth_cell){0}));
    return hr_growth_rowvec_push(&g->rows, (struct hr_growth_row){.key = id, .typed = typed});
}

static void sum(struct hr_growth_cell *to, const struct hr_growth_cell *c)
{
    to->count = hr_sat_add(to->count, c->count);
    to->bytes = hr_sat_add(to->bytes, c->bytes);
    to->leaked_count = hr_sat_add(to->leaked_count, c->leaked_count);
    to->leaked_bytes = hr_sat_add(to->leaked_bytes, c->leaked_bytes);
}

static enum hr_status put(struct hr_growth *g, uint32_t i, const char *key, bool typed, const struct hr_growth_cell *c)
{
    size_t row;
    HR_TRY(row_of(g, key, typed, &row));
    sum(&g->cells.v[row * g->n + i], c);
    sum(&g->image[i].total, c);
    return HR_OK;
}

bool hr_growth_monotonic(const struct hr_growth *g, size_t row)
{
    for (uint32_t i = 1; i < g->n; i++)
        if (hr_growth_at(g, row, i)->bytes < hr_growth_at(g, row, i - 1)->bytes)
            return false;
    return hr_growth_at(g, row, g->n - 1)->bytes > hr_growth_at(g, row, 0)->bytes;
}

/* ---- one image ---- */

/* Blocks of one type, or of no type and one size: what groups of one image are called means nothing in another. */
typedef enum hr_status emit_fn(void *ctx, const char *key, bool typed, const struct hr_growth_cell *c);

static enum hr_status collect(struct hr_session *s, struct hr_map *index, struct hr_u64vec *keys, struct hr_growth_cellvec *cells)
{
    const struct hr_heap *h = s->heap;
    for (hr_id i = 0; i < h->n; i++) {
        if (h->state[i] != HR_USED)
            continue;
        hr_type t = h->type ? h->type[i] : 0;
        uint64_t size = hr_block_size(h, i), key = t ? t : 1ull << 63 | size;
        bool leaked = h->reach && h->reach[i] >= HR_LEAKED_DIRECT, was;
        uint32_t *slot;
        HR_TRY(hr_map_slot(index, key, (uint32_t)keys->n, &slot, &was));
        if (!was) {
            HR_TRY(hr_u64vec_push(keys, key));
            HR_TRY(hr_growth_cellvec_push(cells, (struct hr_growth_cell){0}));
        }
        sum(&cells->v[*slot], &(struct hr_growth_cell){1, size, leaked, leaked ? size : 0});
    }
    return HR_OK;
}

static enum hr_status summarise(struct hr_session *s, emit_fn *emit, void *ctx)
{
    char name[HR_MAX_STRING];
    struct hr_map index;
    struct hr_u64vec keys = {.max = MAX_ROWS};
    struct hr_growth_cellvec cells = {.max = MAX_ROWS};
    hr_map_init(&index, MAX_ROWS);
    enum hr_status st = collect(s, &index, &keys, &cells);
    for (size_t i = 0; i < keys.n && st == HR_OK; i++) {
        bool typed = !(keys.v[i] >> 63);
        if (typed)
            hr_type_name(s->types, (hr_type)keys.v[i], name, sizeof name);
        else
            snprintf(name, sizeof name, "untyped, %llu bytes", (unsigned long long)(keys.v[i] & ~(1ull << 63)));
        st = emit(ctx, name, typed, &cells.v[i]);
    }
    hr_map_deinit(&index);
    hr_u64vec_deinit(&keys);
    hr_growth_cellvec_deinit(&cells);
    return st;
}

static enum hr_status analyse(struct hr_session *s)
{
    HR_TRY(hr_session_types(s));
    return hr_session_reach(s);
}

static void describe(const struct hr_session *s, struct hr_growth_image *im)
{
    struct heapray_totals t = hr_session_totals(s);
    im->complete = s->image.complete;
    im->roots_complete = s->heap->roots_complete;
    im->has_heap = s->heap->allocators.n > 0;
    im->free_bytes = t.free_bytes;
    im->mapped = t.mapped;
    snprintf(im->arch, sizeof im->arch, "%s", s->image.arch ? s->image.arch->name : "");
    im->ok = true;
}

struct into { struct hr_growth *g; uint32_t i; };
static enum hr_status into_rows(void *ctx, const char *key, bool typed, const struct hr_growth_cell *c)
{
    struct into *to = ctx;
    return put(to->g, to->i, key, typed, c);
}

enum hr_status hr_growth_add(struct hr_growth *g, uint32_t i, struct hr_session *s)
{
    struct into to = {g, i};
    g->image[i].path = s->opt.image;
    HR_TRY(analyse(s));
    describe(s, &g->image[i]);
    return summarise(s, into_rows, &to);
}

/* ---- in a child ---- */

struct record { uint32_t key_len; uint32_t typed; struct hr_growth_cell cell; };

static enum hr_status to_pipe(void *ctx, const char *key, bool typed, const struct hr_growth_cell *c)
{
    FILE *f = ctx;
    struct record r = {.key_len = (uint32_t)strlen(key), .typed = typed, .cell = *c};
    return fwrite(&r, sizeof r, 1, f) == 1 && fwrite(key, 1, r.key_len, f) == r.key_len ? HR_OK : HR_IO;
}

/* The answer is the rows, then the image's description behind a record with key_len UINT32_MAX. */
static void child(int fd, struct hr_growth_image *im, const struct heapray_options *opt)
{
    FILE *f = fdopen(fd, "w");
    struct hr_session *s = NULL;
    if (!f)
        _exit(1);
    enum hr_status st = hr_session_open(opt, true, &s);
    if (st == HR_OK)
        st = analyse(s);
    if (st == HR_OK)
        st = summarise(s, to_pipe, f);
    if (st == HR_OK)
        describe(s, im);
    im->status = st;
    if (st != HR_OK)
        snprintf(im->error, sizeof im->error, "%s", s && s->error[0] ? s->error : hr_status_name(st));
    struct record end = {.key_len = UINT32_MAX};
    bool good = fwrite(&end, sizeof end, 1, f) == 1 && fwrite(im, sizeof *im, 1, f) == 1 && !fflush(f);
    _exit(good ? 0 : 1); /* memory and mappings go with the process */
}

static enum hr_status receive(struct hr_growth *g, uint32_t i, FILE *f)
{
    char key[HR_MAX_STRING + 1];
    struct record r;
    struct hr_growth_image im;
    while (fread(&r, sizeof r, 1, f) == 1) {
        if (r.key_len == UINT32_MAX) {
            if (fread(&im, sizeof im, 1, f) != 1)
                return HR_CORRUPT;
            im.path = g->image[i].path; /* what the child says of itself is text and numbers; pointers are ours */
            im.total = g->image[i].total;
            im.error[sizeof im.error - 1] = im.arch[sizeof im.arch - 1] = 0;
            g->image[i] = im;
            return HR_OK;
        }
        if (r.key_len > HR_MAX_STRING || r.typed > 1 || fread(key, 1, r.key_len, f) != r.key_len)
            return HR_CORRUPT;
        key[r.key_len] = 0;
        HR_TRY(put(g, i, key, r.typed, &r.cell));
    }
    return HR_CORRUPT;
}

enum hr_status hr_growth_child(struct hr_growth *g, uint32_t i, const struct heapray_options *opt)
{
    int fd[2];
    struct hr_growth_image *im = &g->image[i];
    im->path = opt->image;
    if (pipe(fd))
        return HR_IO;
    fflush(NULL); /* nothing of ours is to be printed twice */
    pid_t pid = fork();
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return HR_IO;
    }
    if (!pid) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        close(fd[0]);
        child(fd[1], im, opt);
    }
    close(fd[1]);
    FILE *f = fdopen(fd[0], "r");
    enum hr_status st = f ? receive(g, i, f) : HR_NOMEM;
    if (f)
        fclose(f);
    else
        close(fd[0]);
    int how = 0;
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
        ;
    if (st == HR_CORRUPT || (st == HR_OK && (!WIFEXITED(how) || WEXITSTATUS(how)))) {
        im->ok = false;
        im->status = HR_CORRUPT;
        snprintf(im->error, sizeof im->error, "the analysis of this image ended early");
        return HR_OK;
    }
    return st;
}
