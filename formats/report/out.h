/* Output: a bounded-error stream, a JSON writer, and text helpers (tables, colour, width). Printers see findings and cells,
 * never the model. Every string that may come from the input goes through here and is escaped here. */
#ifndef HR_REPORT_OUT_H
#define HR_REPORT_OUT_H

#include <stdio.h>

#include "analyzer/base/status.h"

struct hr_out {
    FILE *f;
    bool color, unicode, bytes; /* bytes: print raw byte counts instead of KiB */
    int width;                  /* columns, 0 = unlimited */
    bool failed;                /* a write failed (EPIPE, ENOSPC): stop quietly, exit accordingly */
};
/* Decides colour (NO_COLOR, CLICOLOR_FORCE, TERM=dumb, --color), width (COLUMNS, tty) and UTF-8 (locale). */
void hr_out_init(struct hr_out *o, FILE *f, const char *color_option);
void hr_outf(struct hr_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* our own words only */
void hr_out_esc(struct hr_out *o, const char *z);       /* a string of the input */
enum hr_style { HR_PLAIN, HR_BOLD, HR_DIM, HR_RED, HR_YELLOW, HR_GREEN, HR_CYAN };
void hr_out_style(struct hr_out *o, enum hr_style s);
void hr_out_wrap(struct hr_out *o, int indent, const char *text); /* escaped, word-wrapped to the width, with newline */
/* `head` (our own words, styled), then the text (escaped) behind it, its further lines indented by head's width. */
void hr_out_hang(struct hr_out *o, enum hr_style style, const char *head, const char *text);
/* "1.5 MiB" or, with o->bytes, "1572864"; counts as 1,234,567. Both return buf (32 bytes are enough). */
char *hr_out_bytes(const struct hr_out *o, char *buf, size_t cap, uint64_t n);
char *hr_out_count(const struct hr_out *o, char *buf, size_t cap, uint64_t n);

/* Text tables: right-aligned numbers, last column cut to the width (never the numbers). */
struct hr_tab;
struct hr_tab *hr_tab_create(struct hr_out *o, const char *const *heads, const char *align /* "rrl" */, size_t ncols);
void hr_tab_cell(struct hr_tab *t, const char *text);   /* escaped when printed; row ends by itself after ncols */
void hr_tab_cellf(struct hr_tab *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hr_tab_print(struct hr_tab *t, int indent);        /* and destroys it */

/* Streaming JSON: commas, escaping and nesting (at most 32) are the writer's business. pretty=false: one line (NDJSON). */
struct hr_json {
    struct hr_out *o;
    int depth;
    bool pretty;
    uint8_t state[33];
};
void hr_json_init(struct hr_json *j, struct hr_out *o, bool pretty);
void hr_json_obj(struct hr_json *j, const char *key);   /* key NULL inside arrays and at the top */
void hr_json_arr(struct hr_json *j, const char *key);
void hr_json_end(struct hr_json *j);                    /* closes the innermost; a newline after the outermost */
void hr_json_str(struct hr_json *j, const char *key, const char *z); /* z NULL = null; controls as \u00XX, bytes that are no UTF-8 as U+FFFD */
void hr_json_num(struct hr_json *j, const char *key, uint64_t n);
void hr_json_int(struct hr_json *j, const char *key, int64_t n);
void hr_json_real(struct hr_json *j, const char *key, double v);
void hr_json_addr(struct hr_json *j, const char *key, uint64_t addr); /* "0x7f12…" */
void hr_json_bool(struct hr_json *j, const char *key, bool v);
void hr_json_null(struct hr_json *j, const char *key);

#endif
