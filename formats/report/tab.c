/* Text tables and the width of the terminal. */
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/limits.h"
#include "analyzer/base/mem.h"
#include "analyzer/base/vec.h"
#include "formats/report/put.h"

int hr_tty_width(int fd)
{
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) ? 0 : w.ws_col;
}

enum { MAX_COLUMNS = 16 };

HR_VEC(charvec, char)

struct hr_tab {
    struct hr_out *o;
    size_t ncols;
    char align[MAX_COLUMNS];
    int width[MAX_COLUMNS];
    struct charvec text;       /* cells, escaped, NUL-terminated, one after the other */
    struct hr_u32vec cell;     /* offsets into text */
    bool full;                 /* out of memory or bound reached: said at the end */
};

struct hr_tab *hr_tab_create(struct hr_out *o, const char *const *heads, const char *align, size_t ncols)
{
    struct hr_tab *t = ncols && ncols <= MAX_COLUMNS ? hr_zalloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    *t = (struct hr_tab){.o = o, .ncols = ncols, .text.max = HR_MAX_TABLE_BYTES, .cell.max = HR_MAX_TABLE_BYTES / 4};
    for (size_t i = 0; i < ncols; i++)
        t->align[i] = align && strlen(align) > i ? align[i] : 'l';
    for (size_t i = 0; i < ncols; i++)
        hr_tab_cell(t, heads[i]);
    return t;
}

void hr_tab_cell(struct hr_tab *t, const char *text)
{
    if (!t || t->full)
        return;
    char buf[HR_MAX_STRING * 4 + 4];
    hr_escz(buf, sizeof buf, text ? text : "");
    size_t n = strlen(buf) + 1, col = t->cell.n % t->ncols;
    if (charvec_reserve(&t->text, t->text.n + n) != HR_OK || hr_u32vec_push(&t->cell, (uint32_t)t->text.n) != HR_OK) {
        t->full = true;
        return;
    }
    memcpy(t->text.v + t->text.n, buf, n);
    t->text.n += n;
    int w = hr_columns(t->o, buf, n - 1);
    if (w > t->width[col])
        t->width[col] = w;
}

void hr_tab_cellf(struct hr_tab *t, const char *fmt, ...)
{
    char buf[HR_MAX_STRING + 1];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    hr_tab_cell(t, buf);
}

/* Bytes of `text` that fit into `columns`, leaving room for the dots when it has to be cut. */
static size_t fit(const struct hr_out *o, const char *text, int columns, bool *cut_ret)
{
    size_t n = strlen(text), i = 0, at = 0;
    *cut_ret = hr_columns(o, text, n) > columns;
    if (!*cut_ret)
        return n;
    int left = columns - 3;
    while (i < n) {
        size_t len = hr_utf8_ok((const uint8_t *)text + i, n - i);
        int w = hr_columns(o, text + i, len ? len : 1);
        if (w > left)
            break;
        left -= w;
        i += len ? len : 1;
        at = i;
    }
    return at;
}

static void print_row(struct hr_tab *t, size_t row, int indent)
{
    struct hr_out *o = t->o;
    int at = indent;
    hr_put_pad(o, indent);
    for (size_t c = 0; c < t->ncols && row * t->ncols + c < t->cell.n; c++) {
        const char *text = t->text.v + t->cell.v[row * t->ncols + c];
        bool last = c + 1 == t->ncols, cut = false;
        size_t n = strlen(text);
        if (last && t->align[c] == 'l' && o->width && o->width - at >= 8)
            n = fit(o, text, o->width - at, &cut);
        int w = hr_columns(o, text, n);
        if (t->align[c] == 'r')
            hr_put_pad(o, t->width[c] - w);
        hr_put_escaped(o, text, n);
        if (cut)
            hr_putz(o, "...");
        if (!last) {
            hr_put_pad(o, 2 + (t->align[c] == 'r' ? 0 : t->width[c] - w));
            at += t->width[c] + 2;
        }
    }
    hr_putz(o, "\n");
}

void hr_tab_print(struct hr_tab *t, int indent)
{
    if (!t)
        return;
    size_t rows = (t->cell.n + t->ncols - 1) / t->ncols;
    hr_out_style(t->o, HR_BOLD);
    if (rows)
        print_row(t, 0, indent);
    hr_out_style(t->o, HR_PLAIN);
    for (size_t r = 1; r < rows; r++)
        print_row(t, r, indent);
    if (t->full)
        hr_outf(t->o, "%*s(cut here: the table is longer than can be kept)\n", indent, "");
    charvec_deinit(&t->text);
    hr_u32vec_deinit(&t->cell);
    hr_free(t);
}
