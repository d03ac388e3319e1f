/* The command line: one file per verb, one line in verbs.def. Calls everything below it.
 *
 * To add a verb: analyzer/cli/verb_NAME.c with `const struct hr_verb hr_verb_NAME`, HR_VERB(NAME) in verbs.def, a page in
 * cli/man. The JSON members of each verb are a contract with scripts: members are added, never renamed or removed. */
#ifndef HR_CLI_CLI_H
#define HR_CLI_CLI_H

#include "analyzer/session.h"
#include "formats/report/report.h"

enum { HR_EXIT_OK = 0, HR_EXIT_FINDINGS = 1, HR_EXIT_USAGE = 2, HR_EXIT_INPUT = 3, HR_EXIT_DEGRADED = 4, HR_EXIT_INTERNAL = 5 };
enum { HR_CLI_MAX = 64 };     /* of each repeatable option */

struct hr_list { const char *v[HR_CLI_MAX]; size_t n; };

struct hr_cli {
    struct heapray_options opt;
    const struct hr_verb *verb;
    struct hr_list args;      /* after IMAGE */
    struct hr_list with, debug_dirs, assume, rules, set, formats;
    struct hr_list regs;        /* opt.regs is the first; `diff` takes one for each image */
    const char *svg;         /* map: file for the picture */
    const char *only, *fail_on, *baseline, *write_baseline, *color, *state, *type, *by;
    bool json, ndjson, bytes, show_contents, strict, retained, prune_baseline, all, help, no_sandbox;
    uint64_t limit;           /* 0: the verb's own default */
    struct hr_out out;
    struct hr_session *s;
    struct hr_report_head head;
    struct hr_report_module *head_modules;
};

struct hr_verb {
    const char *name;
    const char *args;         /* "ADDR", "" */
    const char *summary;      /* one line for --help */
    const char *help;         /* what it prints and its own options, a paragraph */
    size_t min_args, max_args;
    bool needs_image, types;  /* types: reads debug information unless --no-types */
    int (*run)(struct hr_cli *c);
};
#define HR_VERB(name_) extern const struct hr_verb hr_verb_##name_;
#include "analyzer/cli/verbs.def"
#undef HR_VERB

/* `objects` of a MicroPython image. */
int hr_cli_mp_objects(struct hr_cli *c);
/* `top --by line`, file, traceback: sites that tracemalloc wrote down. */
int hr_cli_top_sites(struct hr_cli *c);
/* The member `allocated`: size and traceback of the block by tracemalloc, or null. The object in it as text: lines behind `indent`. */
struct hr_py;
void hr_cli_json_allocated(struct hr_json *j, const struct hr_py *py, hr_id block);
void hr_cli_text_allocated(struct hr_cli *c, const struct hr_py *py, hr_id block);
/* state, priority, stack … of a thread that is a task of a real-time kernel (verb_threads.c). */
void hr_cli_json_task(struct hr_cli *c, struct hr_json *j, uint32_t thread);
/* An error in one sentence on stderr: "heapray: …". Returns `code`. */
int hr_cli_error(int code, const char *fmt, ...) HR_PRINTF(2, 3);
/* Prints why a stage failed, if it did; true when it did not. */
bool hr_cli_ok(struct hr_cli *c, enum hr_status st);
int hr_cli_exit_of(enum hr_status st);
/* Opens the outermost JSON object with the header members; all notes made so far are in it, so compute first. */
void hr_cli_json_begin(struct hr_cli *c, struct hr_json *j);
/* The facts every report starts with. */
const struct hr_report_head *hr_cli_head(struct hr_cli *c);
/* The notes, as text, after the main part: damage and degradation always, the rest with --all. */
void hr_cli_text_notes(struct hr_cli *c);
/* Exit status when nothing else is wrong: 4 when the image is cut, or degraded under --strict; else 0. */
int hr_cli_exit(struct hr_cli *c);
/* "0x…", decimal, or a symbol/variable name; false: printed why. */
bool hr_cli_address(struct hr_cli *c, const char *text, uint64_t *ret);
/* Opens a file for a report, before the analysis (no file can be opened after it) and never an input; what was in it stays until
 * it is cut off (ftruncate) before writing. NULL: errno says why, EEXIST that it is an input. */
FILE *hr_cli_create(struct hr_cli *c, const char *path);
/* Bytes and counts for text cells, in rotating static buffers (8). */
const char *hr_cli_bytes(struct hr_cli *c, uint64_t n);
const char *hr_cli_count(struct hr_cli *c, uint64_t n);
/* "12.3%" of a whole. */
const char *hr_cli_pct(uint64_t part, uint64_t whole);

#endif
