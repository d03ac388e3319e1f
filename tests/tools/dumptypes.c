/* dumptypes FILE [DEBUGFILE] [--cache DIR] [--quiet] [--ask]: types, variables and notes as JSON lines, for tests.
 *
 * FILE is an ELF executable or library (taken as one module at bias 0) or a core. One JSON object per line: {"t":…} a type,
 * {"v":…} a variable, {"n":…} a note. --ask reads questions from standard input instead, one answer line each:
 *   type NAME | offset TYPE|PATH | at TYPE|OFFSET | class ADDRESS | name ADDRESS | sym NAME | symat ADDRESS */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/image/elf.h"
#include "analyzer/types/types.h"
#include "formats/image/format.h"

static void jstr(const char *z)
{
    putchar('"');
    for (; *z; z++)
        if (*z == '"' || *z == '\\')
            printf("\\%c", *z);
        else if ((unsigned char)*z < 32)
            printf("\\u%04x", *z);
        else
            putchar(*z);
    putchar('"');
}

static void jkey(const char *key, const char *z)
{
    printf(",\"%s\":", key);
    jstr(z);
}

static void dump_type(const struct hr_types *t, hr_type id)
{
    const struct hr_type_row *r = hr_type_get(t, id);
    char buf[HR_MAX_STRING + 300];
    printf("{\"t\":%u,\"kind\":%u,\"flags\":%u,\"size\":%llu,\"count\":%llu,\"target\":%u,\"line\":%u,\"vptr\":%u", id, r->kind,
           r->flags, (unsigned long long)r->size, (unsigned long long)r->count, r->target, r->decl_line, r->vptr_off);
    jkey("name", hr_strs_get(t->strs, r->name));
    jkey("full", hr_type_name(t, id, buf, sizeof buf));
    jkey("file", hr_strs_get(t->strs, r->decl_file));
    printf(",\"fields\":[");
    for (uint32_t i = 0; i < r->nfields; i++) {
        const struct hr_field *f = &t->fields.v[r->field0 + i];
        printf("%s{\"off\":%u,\"bo\":%u,\"bs\":%u,\"flags\":%u,\"type\":%u", i ? "," : "", f->off, f->bit_off, f->bit_size,
               f->flags, f->type);
        jkey("name", hr_strs_get(t->strs, f->name));
        jkey("tname", hr_type_name(t, f->type, buf, sizeof buf));
        printf("}");
    }
    printf("],\"params\":[");
    for (uint32_t i = 0; i < r->ntparams; i++) {
        const struct hr_tparam *p = &t->tparams.v[r->tparam0 + i];
        printf("%s{\"value\":%lld,\"is\":%d", i ? "," : "", (long long)p->value, p->is_value);
        jkey("name", hr_strs_get(t->strs, p->name));
        jkey("tname", hr_type_name(t, p->type, buf, sizeof buf));
        printf("}");
    }
    printf("]}\n");
}

static void dump_var(const struct hr_types *t, const struct hr_var *v)
{
    char buf[HR_MAX_STRING + 300];
    printf("{\"v\":%llu,\"kind\":%u,\"line\":%u,\"module\":%u", (unsigned long long)v->addr, v->kind, v->decl_line, v->module);
    jkey("name", hr_strs_get(t->strs, v->name));
    jkey("type", hr_type_name(t, v->type, buf, sizeof buf));
    jkey("file", hr_strs_get(t->strs, v->decl_file));
    jkey("func", hr_strs_get(t->strs, v->func));
    printf("}\n");
}

static struct hr_elf *open_elf(const char *path)
{
    struct stat sb;
    struct hr_elf *e = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &sb))
        return NULL;
    void *p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED || hr_elf_create((struct hr_span){p, (size_t)sb.st_size}, &e, NULL) != HR_OK)
        return NULL;
    return e;
}

static void answer_sym(const struct hr_sym *s, uint64_t off)
{
    if (!s) {
        printf("null\n");
        return;
    }
    printf("{\"addr\":%llu,\"size\":%llu,\"kind\":%u,\"off\":%llu", (unsigned long long)s->addr, (unsigned long long)s->size,
           s->kind, (unsigned long long)off);
    jkey("name", s->name);
    printf("}\n");
}

static void answer(struct hr_types *t, char *line)
{
    char *arg = strchr(line, ' '), *bar = strrchr(line, '|'), buf[HR_MAX_STRING + 300], path[1024];
    uint64_t off = 0;
    if (!arg)
        return;
    *arg++ = 0;
    if (bar)
        *bar++ = 0;
    uint64_t addr = strtoull(arg, NULL, 0);
    if (!strcmp(line, "type")) {
        dump_type(t, hr_type_find(t, arg));
    } else if (!strcmp(line, "offset") && bar) {
        bool ok = hr_type_offset(t, arg, bar, &off);
        printf(ok ? "%llu\n" : "null\n", (unsigned long long)off);
    } else if (!strcmp(line, "at") && bar) {
        hr_type id = hr_type_at(t, hr_type_find(t, arg), strtoull(bar, NULL, 0), path, sizeof path);
        printf("{\"id\":%u", id);
        jkey("path", path);
        jkey("type", hr_type_name(t, id, buf, sizeof buf));
        printf("}\n");
    } else if (!strcmp(line, "class")) {
        int64_t top = 0;
        hr_type id = hr_type_of_vtable(t, addr, &top);
        printf("{\"id\":%u,\"top\":%lld", id, (long long)top);
        jkey("type", hr_type_name(t, id, buf, sizeof buf));
        printf("}\n");
    } else if (!strcmp(line, "name")) {
        jstr(hr_vtable_class_name(t, addr, buf, sizeof buf) ? buf : "");
        printf("\n");
    } else if (!strcmp(line, "sym")) {
        answer_sym(hr_sym_find(t, arg, HR_NONE), 0);
    } else if (!strcmp(line, "symat")) {
        const struct hr_sym *s = hr_sym_at(t, addr, &off);
        answer_sym(s, off);
    }
}

static enum hr_status one_module(struct hr_image *img, const char *const *file)
{
    struct hr_module m = {.hi = UINT64_MAX, .elf = open_elf(file[0]), .debug = file[1] ? open_elf(file[1]) : NULL};
    if (!m.elf)
        return HR_ABSENT;
    HR_TRY(hr_strs_addz(img->strs, file[0], &m.path));
    memcpy(m.build_id, m.elf->build_id, sizeof m.build_id);
    m.build_id_len = m.elf->build_id_len;
    img->word = m.elf->word;
    img->big = m.elf->big;
    return hr_modvec_push(&img->modules, m);
}

static bool is_core(const char *path)
{
    struct hr_elf *e = open_elf(path);
    bool core = e && e->type == 4; /* ET_CORE */
    hr_elf_destroy(e);
    return core;
}

static void dump(struct hr_types *t, const struct hr_notes *notes)
{
    for (uint32_t i = 1; i < t->rows.n; i++)
        dump_type(t, i);
    for (size_t i = 0; i < t->vars.n; i++)
        dump_var(t, &t->vars.v[i]);
    for (size_t i = 0; i < notes->list.n; i++) {
        printf("{\"n\":");
        jstr(notes->list.v[i].code);
        jkey("text", notes->list.v[i].text);
        printf("}\n");
    }
}

int main(int argc, char **argv)
{
    struct hr_dwarf_options opt = {.no_cache = true};
    struct hr_open_options open_opt = {0};
    struct hr_file *core = NULL;
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types *t;
    bool quiet = false, ask = false;
    const char *file[2] = {0};
    int nfile = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--cache") && i + 1 < argc) {
            opt.no_cache = false;
            opt.cache_dir = argv[++i];
        } else if (!strcmp(argv[i], "--quiet"))
            quiet = true;
        else if (!strcmp(argv[i], "--ask"))
            ask = true;
        else if (nfile < 2)
            file[nfile++] = argv[i];
    }
    hr_notes_init(&notes);
    if (!nfile || hr_strs_create(&strs) != HR_OK)
        return 2;
    hr_image_init(&img, strs, &notes);
    enum hr_status st;
    if (is_core(file[0])) {
        open_opt.exe = file[1];
        st = hr_file_open(file[0], &open_opt, &notes, &core);
        st = st == HR_OK ? hr_image_load(&core, 1, &open_opt, &img) : st;
    } else {
        st = one_module(&img, file);
    }
    if (st != HR_OK || hr_types_create(&img, &t) != HR_OK)
        return 2;
    st = hr_types_load_all(t, &opt);
    fprintf(stderr, "%s: %zu types, %zu fields, %zu variables\n", hr_status_name(st), t->rows.n - 1, t->fields.n, t->vars.n);
    char line[HR_MAX_STRING + 300];
    while (ask && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        answer(t, line);
    }
    if (!quiet && !ask)
        dump(t, &notes);
    hr_types_destroy(t);
    hr_image_deinit(&img);
    if (core)
        hr_file_close(core);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return 0;
}
