/* The address space as a picture: blocks on a terminal, an SVG file for everything else. */
#include "analyzer/cli/map.h"

#include <string.h>

static const struct look {
    const char *unicode;
    char ascii;
    uint8_t style;
    const char *color;  /* in SVG; distinct in lightness too, for those who do not see colours */
} looks[HR_MAP_MARKS] = {
    [HR_MAP_STATIC] = {"█", 'S', HR_CYAN, "#2b6cb0"},
    [HR_MAP_USED] = {"▓", 'H', HR_YELLOW, "#dd8a1f"},
    [HR_MAP_FREE] = {"░", 'h', HR_GREEN, "#f6dfb5"},
    [HR_MAP_STACK] = {"▚", 'K', HR_RED, "#9b2c5b"},
    [HR_MAP_STACK_UNUSED] = {"╌", 'k', HR_RED, "#edc6d8"},
    [HR_MAP_UNUSED] = {"·", '.', HR_DIM, "#eeeeee"},
    [HR_MAP_OTHER] = {"▒", '?', HR_PLAIN, "#8a8a8a"},
    [HR_MAP_CODE] = {"▤", 'C', HR_DIM, "#4a5568"},
};

static void mark(struct hr_out *o, unsigned m)
{
    hr_out_style(o, looks[m].style);
    if (o->unicode)
        hr_outf(o, "%s", looks[m].unicode);
    else
        hr_outf(o, "%c", looks[m].ascii);
    hr_out_style(o, HR_PLAIN);
}

static void legend(struct hr_cli *c, const struct hr_map_strip *s)
{
    struct hr_out *o = &c->out;
    bool seen[HR_MAP_MARKS] = {0};
    int width = o->width ? o->width : 80, at = 2;
    for (uint32_t i = 0; i < s->ncells; i++)
        seen[s->mark[i]] = true;
    hr_outf(o, "  ");
    for (unsigned m = 0; m < HR_MAP_MARKS; m++) {
        if (!seen[m])
            continue;
        int n = (int)strlen(hr_map_mark_name(m)) + 4;
        if (at + n > width) {
            hr_outf(o, "\n  ");
            at = 2;
        }
        mark(o, m);
        hr_outf(o, " %s  ", hr_map_mark_name(m));
        at += n;
    }
    hr_outf(o, "\n  one character: %s\n", hr_cli_bytes(c, s->cell));
}

void hr_map_terminal(struct hr_cli *c, const struct hr_survey *v)
{
    struct hr_out *o = &c->out;
    int digits = v->s->image.word == 8 ? 12 : 8, width = o->width ? (int)hr_min((uint64_t)o->width, 120) : 80;
    uint32_t columns = 8;
    while ((int)columns * 2 + digits + 4 <= width)
        columns *= 2;
    struct hr_map_strip s;
    if (hr_map_strip(v, columns, 32, &s) != HR_OK)
        return;
    for (size_t i = 0; i < s.rows.n; i++) {
        const struct hr_map_row *r = &s.rows.v[i];
        if (r->hole) {
            hr_out_style(o, HR_DIM);
            hr_outf(o, "  %*s  [%s left out]\n", digits, o->unicode ? "⋮" : ":", hr_cli_bytes(c, r->hole));
            hr_out_style(o, HR_PLAIN);
        }
        hr_outf(o, "  %0*llx  ", digits, (unsigned long long)r->addr);
        for (uint32_t k = 0; k < r->ncells; k++)
            mark(o, s.mark[r->cell0 + k]);
        hr_outf(o, "\n");
    }
    if (s.rows.n)
        legend(c, &s);
    hr_map_strip_deinit(&s);
}

/* ---- SVG ---- */

enum { CELL_W = 8, CELL_H = 14, HOLE_H = 20, LEFT = 110, TOP = 40, COLUMNS = 96, ROWS = 40 };

static void xml(struct hr_out *o, const char *z)
{
    char one[2] = {0};
    for (; *z; z++) {
        const char *as = *z == '<' ? "&lt;" : *z == '>' ? "&gt;" : *z == '&' ? "&amp;" : *z == '"' ? "&quot;" : NULL;
        one[0] = *z >= ' ' && *z < 0x7f ? *z : '?';
        hr_outf(o, "%s", as ? as : one);
    }
}

/* Where row i begins: holes before it take room. */
static uint64_t svg_y(const struct hr_map_strip *s, size_t i)
{
    uint64_t y = TOP + i * (CELL_H + 2);
    for (size_t k = 0; k <= i && k < s->rows.n; k++)
        y += s->rows.v[k].hole ? HOLE_H : 0;
    return y;
}

/* Cells of one kind side by side are one rectangle. */
static void svg_row(struct hr_out *o, const struct hr_map_strip *s, size_t i)
{
    const struct hr_map_row *r = &s->rows.v[i];
    uint64_t y = svg_y(s, i);
    if (r->hole)
        hr_outf(o, "<text x=\"%d\" y=\"%llu\" fill=\"#888\">%llu bytes left out</text>\n", LEFT, (unsigned long long)(y - 5), (unsigned long long)r->hole);
    hr_outf(o, "<text x=\"%d\" y=\"%llu\" text-anchor=\"end\">%08llx</text>\n", LEFT - 8, (unsigned long long)(y + CELL_H - 3), (unsigned long long)r->addr);
    for (uint32_t k = 0; k < r->ncells;) {
        uint8_t m = s->mark[r->cell0 + k];
        uint32_t n = 1;
        while (k + n < r->ncells && s->mark[r->cell0 + k + n] == m)
            n++;
        hr_outf(o, "<rect x=\"%u\" y=\"%llu\" width=\"%u\" height=\"%d\" fill=\"%s\"><title>%08llx: %s</title></rect>\n", LEFT + k * CELL_W,
                (unsigned long long)y, n * CELL_W, CELL_H, looks[m].color, (unsigned long long)s->addr[r->cell0 + k], hr_map_mark_name(m));
        k += n;
    }
}

static void svg_legend(struct hr_out *o, const struct hr_map_strip *s, const struct hr_survey *v)
{
    uint64_t y = svg_y(s, s->rows.n) + 20;
    int x = LEFT;
    for (unsigned m = 0; m < HR_MAP_MARKS; m++) {
        if (m == HR_MAP_CODE && v->s->image.bare)
            continue;
        hr_outf(o, "<rect x=\"%d\" y=\"%llu\" width=\"12\" height=\"12\" fill=\"%s\" stroke=\"#999\"/><text x=\"%d\" y=\"%llu\">%s</text>\n", x,
                (unsigned long long)y, looks[m].color, x + 17, (unsigned long long)(y + 11), hr_map_mark_name(m));
        x += 34 + 7 * (int)strlen(hr_map_mark_name(m));
        if (x > LEFT + COLUMNS * CELL_W - 120) {
            x = LEFT;
            y += 20;
        }
    }
}

void hr_map_svg(struct hr_out *o, const struct hr_survey *v, const char *title)
{
    struct hr_map_strip s;
    if (hr_map_strip(v, COLUMNS, ROWS, &s) != HR_OK)
        return;
    unsigned long long h = svg_y(&s, s.rows.n) + 90;
    int w = LEFT + COLUMNS * CELL_W + 20;
    hr_outf(o, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%llu\" viewBox=\"0 0 %d %llu\" font-family=\"monospace\" font-size=\"12\">\n",
            w, h, w, h);
    hr_outf(o, "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n<text x=\"%d\" y=\"24\" font-size=\"15\">", LEFT);
    xml(o, title);
    hr_outf(o, ": %llu bytes captured, one cell is %llu bytes</text>\n", (unsigned long long)v->captured, (unsigned long long)s.cell);
    for (size_t i = 0; i < s.rows.n; i++)
        svg_row(o, &s, i);
    svg_legend(o, &s, v);
    hr_outf(o, "</svg>\n");
    hr_map_strip_deinit(&s);
}
