/* What verbs share: header facts, notes, addresses, numbers. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/cli/cli.h"
#include "analyzer/image/elf.h"

static const char *debug_word(const struct hr_session *s, uint32_t m)
{
    const struct hr_module *mod = &s->image.modules.v[m];
    if (s->types && s->types->module_typed && s->types->module_typed[m] == 1)
        return "dwarf";
    switch (mod->state) {
    case HR_MOD_MISSING: return "missing";
    case HR_MOD_MISMATCH: return "mismatch";
    case HR_MOD_UNSEEN: return "none";
    default: break;
    }
    const struct hr_elf *e = mod->debug ? mod->debug : mod->elf;
    if (e && hr_elf_section(e, ".debug_info"))
        return "dwarf";
    return e && (hr_elf_nsyms(e, false) || hr_elf_nsyms(e, true)) ? "symbols" : "none";
}

static void head_modules(struct hr_cli *c)
{
    struct hr_session *s = c->s;
    if (!c->head_modules && s->image.modules.n)
        c->head_modules = hr_zalloc(s->image.modules.n, sizeof *c->head_modules);
    for (size_t i = 0; c->head_modules && i < s->image.modules.n; i++) {
        const struct hr_module *m = &s->image.modules.v[i];
        struct hr_report_module *r = &c->head_modules[i];
        r->path = hr_strs_get(s->strs, m->path);
        for (unsigned b = 0; b < m->build_id_len && b < 32; b++)
            snprintf(r->build_id + (size_t)2 * b, 3, "%02x", m->build_id[b]);
        r->debug = debug_word(s, (uint32_t)i);
    }
    c->head.modules = c->head_modules;
    c->head.nmodules = c->head_modules ? s->image.modules.n : 0;
}

const struct hr_report_head *hr_cli_head(struct hr_cli *c)
{
    struct hr_session *s = c->s;
    c->head = (struct hr_report_head){.command = c->verb->name, .tool_version = HEAPRAY_VERSION};
    if (!s)
        return &c->head;
    c->head.image_path = c->opt.image;
    c->head.format = s->image.format;
    c->head.arch = s->image.arch ? s->image.arch->name : NULL;
    c->head.word_bits = s->image.word * 8u;
    c->head.endian = s->image.big ? "big" : "little";
    c->head.complete = s->image.complete;
    c->head.missing_bytes = s->image.missing_bytes;
    c->head.notes = &s->notes;
    head_modules(c);
    return &c->head;
}

void hr_cli_json_begin(struct hr_cli *c, struct hr_json *j)
{
    hr_json_init(j, &c->out, !c->ndjson);
    hr_json_obj(j, NULL);
    hr_json_head(j, hr_cli_head(c));
}

static void print_note(struct hr_cli *c, const struct hr_note *n)
{
    hr_out_hang(&c->out, n->level == HR_NOTE_INFO ? HR_DIM : HR_YELLOW, n->level == HR_NOTE_DAMAGE ? "damage: " : "note: ", n->text);
}

void hr_cli_text_notes(struct hr_cli *c)
{
    enum { SHOWN = 8 };
    const struct hr_notes *n = &c->s->notes;
    size_t hidden = 0, shown = 0;
    for (size_t i = 0; i < n->list.n; i++) {
        const struct hr_note *o = &n->list.v[i];
        if (!c->all && (o->level == HR_NOTE_INFO || shown >= SHOWN)) {
            hidden += o->level != HR_NOTE_INFO;
            continue;
        }
        if (!shown++)
            hr_outf(&c->out, "\n");
        print_note(c, o);
    }
    if (hidden + n->dropped)
        hr_outf(&c->out, "note: %s more like these%s\n", hr_cli_count(c, hidden + n->dropped), hidden ? " (--all shows them)" : "");
}

int hr_cli_exit(struct hr_cli *c)
{
    if (c->out.failed)
        return HR_EXIT_OK; /* the reader of our pipe left: his business */
    const struct hr_session *s = c->s;
    if (!s->image.complete || (s->heap && !s->heap->allocators.n) || hr_notes_has(&s->notes, "core.machine"))
        return HR_EXIT_DEGRADED; /* these weaken every answer, so nobody has to ask for --strict */
    if (s->heap && s->heap->reach && !s->heap->roots_complete)
        return HR_EXIT_DEGRADED; /* what is leaked was asked and could not be answered: that is no "nothing found" */
    for (size_t i = 0; c->strict && i < s->notes.list.n; i++)
        if (s->notes.list.v[i].level != HR_NOTE_INFO)
            return HR_EXIT_DEGRADED;
    return HR_EXIT_OK;
}

bool hr_cli_address(struct hr_cli *c, const char *text, uint64_t *ret)
{
    char *end;
    *ret = strtoull(text, &end, 0);
    if (*text && !*end)
        return true;
    struct hr_types *t = c->s->types;
    for (size_t i = 0; i < t->vars.n; i++) {
        const struct hr_var *v = &t->vars.v[i];
        if (v->kind != HR_VAR_TLS && !strcmp(hr_strs_get(c->s->strs, v->name), text)) {
            *ret = v->addr;
            return true;
        }
    }
    const struct hr_sym *sym = hr_types_load_symbols(t) == HR_OK ? hr_sym_find(t, text, HR_NONE) : NULL;
    if (!sym) {
        hr_cli_error(0, "'%s' is no address (0x...) and no variable or symbol of this program", text);
        return false;
    }
    *ret = sym->addr;
    return true;
}

static bool is_file(int fd, const char *path)
{
    struct stat a, b;
    return path && !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* IMAGE may be FILE@ADDR. */
static bool is_image(int fd, const char *path)
{
    char plain[4096];
    const char *at = path ? strrchr(path, '@') : NULL;
    if (is_file(fd, path))
        return true;
    if (!at || (size_t)(at - path) >= sizeof plain)
        return false;
    memcpy(plain, path, (size_t)(at - path));
    plain[at - path] = 0;
    return is_file(fd, plain);
}

FILE *hr_cli_create(struct hr_cli *c, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return NULL;
    bool input = is_image(fd, c->opt.image) || is_file(fd, c->opt.exe);
    for (size_t i = 0; i < c->regs.n; i++)
        input |= is_file(fd, c->regs.v[i]);
    for (size_t i = 0; i < c->with.n; i++)
        input |= is_image(fd, c->with.v[i]);
    for (size_t i = 0; i < c->args.n; i++)
        input |= is_image(fd, c->args.v[i]);
    FILE *f = input ? NULL : fdopen(fd, "w");
    if (!f) {
        int why = input ? EEXIST : errno;
        close(fd);
        errno = why;
    }
    return f;
}

/* Eight rotating buffers: as many numbers may stand in one line. */
static char *turn(void)
{
    static _Thread_local char buf[8][40];
    static _Thread_local unsigned at;
    return buf[at++ & 7];
}

const char *hr_cli_bytes(struct hr_cli *c, uint64_t n) { return hr_out_bytes(&c->out, turn(), 40, n); }
const char *hr_cli_count(struct hr_cli *c, uint64_t n) { return hr_out_count(&c->out, turn(), 40, n); }

const char *hr_cli_pct(uint64_t part, uint64_t whole)
{
    char *b = turn();
    double p = whole ? 100.0 * (double)part / (double)whole : 0;
    snprintf(b, 40, p > 0 && p < 0.1 ? "<0.1%%" : p >= 99.95 || p <= 0 ? "%.0f%%" : "%.1f%%", p);
    return b;
}
