/* Reporters of findings: text, json, sarif, junit (one file each, one line in reports.def). They see findings and the header
 * facts given here, nothing else. To add one: formats/report/NAME.c with `const struct hr_report hr_report_NAME`. */
#ifndef HR_REPORT_REPORT_H
#define HR_REPORT_REPORT_H

#include "analyzer/base/notes.h"
#include "analyzer/finding/finding.h"
#include "formats/report/out.h"

struct hr_report_module { const char *path; char build_id[65]; const char *debug; /* "dwarf", "symbols", "none", "missing", "mismatch" */ };
struct hr_report_head {
    const char *command, *tool_version;
    const char *image_path, *format, *arch;
    unsigned word_bits;
    const char *endian;        /* "little" / "big" */
    bool complete;
    uint64_t missing_bytes;
    const struct hr_report_module *modules;
    size_t nmodules;
    const struct hr_notes *notes;
};
struct hr_rule_meta {
    const char *name, *title, *help;
    enum hr_severity severity;
    bool ran;
    const char *skipped;       /* why it did not run, or not wholly; NULL when it did */
    const char *remedy, *tags, *precision; /* as the rule writes them; NULL or "" none */
};
struct hr_report_in {
    const struct hr_report_head *head;
    const struct hr_findings *findings;
    const struct hr_rule_meta *rules; /* all chosen rules, so that passes can be counted */
    size_t nrules;
    int exit_code;
    bool show_contents;
};
struct hr_report {
    const char *name;
    void (*print)(struct hr_out *o, const struct hr_report_in *in);
};
#define HR_REPORT(name_) extern const struct hr_report hr_report_##name_;
#include "formats/report/reports.def"
#undef HR_REPORT
const struct hr_report *hr_report_find(const char *name);
/* "path/file.c:120" into path and line (1 when there is none); false when there is no path. */
bool hr_report_location(const char *location, char *path, size_t cap, unsigned *line_ret);
/* One finding as an object within an array. */
void hr_json_finding(struct hr_json *j, const struct hr_finding *f);
/* The members every JSON document starts with (json.md); the outermost object must be open. */
void hr_json_head(struct hr_json *j, const struct hr_report_head *h);

#endif
