/* Texts with placeholders, and fingerprints. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "rules/engine/internal.h"

enum { PLACEHOLDER_MAX = 160 }; /* bytes a value may take in a sentence: template names run to thousands */

struct line {
    char buf[4 * HR_MAX_RULE_TEXT];
    size_t n;
    bool cut;
};

static void put(struct line *l, const char *p, size_t n)
{
    for (size_t i = 0; i < n && !l->cut; i++) {
        if (l->n + 4 >= sizeof l->buf)
            l->cut = true;
        else if (p[i] != ' ' || (l->n && l->buf[l->n - 1] != ' ')) /* no space twice, none first */
            l->buf[l->n++] = p[i];
    }
}

static void put_value(struct line *l, struct vm *m, const struct prog *p, const struct hr_value *v, bool contents)
{
    char num[48];
    size_t n = 0;
    switch (v->kind) {
    case HR_V_NUM:
        hr_vm_number_text(v, num, sizeof num);
        put(l, num, strlen(num));
        return;
    case HR_V_BOOL:
        put(l, v->b ? "yes" : "no", v->b ? 3 : 2);
        return;
    default: break;
    }
    const char *z = hr_vm_text(m, p, v, &n);
    if (!z) {
        put(l, "unknown", 7);
        return;
    }
    if (contents && (m->redact || !m->r->show_contents)) {
        snprintf(num, sizeof num, "(%zu bytes, not shown)", n);
        put(l, num, strlen(num));
        return;
    }
    size_t cut = n;
    if (n > PLACEHOLDER_MAX)
        for (cut = PLACEHOLDER_MAX - 3; cut && ((unsigned char)z[cut] & 0xc0) == 0x80; cut--)
            ;
    put(l, z, cut);
    if (cut < n)
        put(l, "...", 3);
}

/* As it is, blanks too: what may not be changed is already as a shell needs it. */
static void put_command(struct line *l, const char *z)
{
    for (; *z && !l->cut; z++) {
        if (l->n + 4 >= sizeof l->buf)
            l->cut = true;
        else
            l->buf[l->n++] = *z;
    }
}

static const char *global_text(struct vm *m, const char *name)
{
    const struct hr_global *g = hr_model_global(m->model, name);
    struct hr_value v = {0};
    if (g)
        g->get(g->ctx, &v);
    return g && v.kind == HR_V_STR && v.s && v.n ? v.s : NULL; /* globals' texts end in 0 */
}

/* `{image}` in a command: the path as a shell needs it. */
static void put_image(struct line *l, struct vm *m)
{
    char word[HR_MAX_RULE_TEXT] = "";
    const char *path = global_text(m, "image.path");
    put_command(l, path && hr_shell_word(word, sizeof word, path) ? word : "CORE");
}

/* What the command needs besides, to see what this one saw. */
static void put_options(struct line *l, struct vm *m)
{
    const char *options = global_text(m, "image.options");
    if (options && l->n + strlen(options) + 5 < sizeof l->buf) {
        put_command(l, " ");
        put_command(l, options);
    }
}

bool hr_is_image(const struct node *e) { return e && e->orig == N_NAME && !strcmp(e->text, "image"); }

char *hr_render(struct vm *m, const struct tmpl *t, struct prog *const *progs, const struct hr_table *table, uint64_t row)
{
    struct line l;
    bool command = false;
    l.n = 0;
    l.cut = false;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct piece *x = &t->v[i];
        if (x->text) {
            put(&l, x->text, strlen(x->text));
        } else if (hr_is_image(x->expr)) {
            put_image(&l, m);
            command = true;
        } else if (progs[i])
            put_value(&l, m, progs[i], hr_vm_run(m, progs[i], table, row), x->contents);
    }
    while (l.n && l.buf[l.n - 1] == ' ')
        l.n--;
    if (command)
        put_options(&l, m);
    if (l.cut) {
        memcpy(l.buf + l.n, "...", 3);
        l.n += 3;
    }
    return hr_strndup(l.buf, l.n);
}

/* What differs between two runs of the same program must not count: numbers that stand alone (indices, offsets, addresses,
 * arena numbers) become x, directories go. Digits within names (uint32_t, sha256_ctx) stay. */
uint64_t hr_print_text(uint64_t seed, const char *z, size_t n)
{
    char buf[HR_MAX_STRING + 1];
    size_t w = 0;
    for (size_t i = 0; i < n && w < HR_MAX_STRING; i++) {
        bool in_name = i && (isalnum((unsigned char)z[i - 1]) || z[i - 1] == '_');
        if (isdigit((unsigned char)z[i]) && !in_name) {
            buf[w++] = 'x';
            while (i + 1 < n && isalnum((unsigned char)z[i + 1]))
                i++;
        } else if (z[i] == '/') {
            while (w && !isspace((unsigned char)buf[w - 1]) && buf[w - 1] != '(' && buf[w - 1] != '"')
                w--;
        } else {
            buf[w++] = z[i];
        }
    }
    return hr_hash_bytes(buf, w, seed);
}

uint64_t hr_print_trace(uint64_t seed, const struct hr_hopvec *trace)
{
    for (size_t i = 0; i < trace->n; i++) {
        const struct hr_hop *h = &trace->v[i];
        const char *type = h->type ? h->type : "?", *field = h->field ? h->field : "";
        seed = hr_print_text(seed, type, strlen(type));
        seed = hr_print_text(seed, field, strlen(field));
    }
    return seed;
}
