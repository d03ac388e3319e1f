/* The rule engine: lexer, parser, checker, bytecode, evaluation. The only user of PCRE2.
 * Calls graph, heap, types, finding, base; never image. */
#ifndef HR_RULES_RULES_H
#define HR_RULES_RULES_H

#include "analyzer/base/notes.h"
#include "analyzer/finding/finding.h"
#include "rules/engine/model.h"

struct hr_rules;
struct hr_rule_error {
    uint32_t line, column;     /* from 1, columns in characters */
    char *file, *text, *source_line, *hint; /* owned, unescaped; hint NULL when none */
    bool warning;              /* does not make the rules unusable */
};
HR_VEC(hr_ruleerrvec, struct hr_rule_error)

enum hr_status hr_rules_create(struct hr_rules **ret) HR_MUST;
void hr_rules_destroy(struct hr_rules *r);
/* Parses a pack; all errors, not the first, are collected. HR_USAGE when there were any. `name` is for messages. Includes
 * are resolved relative to the file's directory, depth 8, only for files the user named. A later rule of the same name
 * replaces an earlier one, `let NAME = …` overrides an earlier let: that is how thresholds are changed. */
enum hr_status hr_rules_add(struct hr_rules *r, const char *name, const char *text, size_t n) HR_MUST;
enum hr_status hr_rules_add_builtin(struct hr_rules *r) HR_MUST; /* all packs of rules/packs/; add them first */
enum hr_status hr_rules_add_file(struct hr_rules *r, const char *path) HR_MUST;
/* Sets a `let` from the command line (--set leak_min_bytes=64), or a rule's severity (--set leak.cycle.severity=note, or
 * off). The same can be written in a rule file: let leak.cycle.severity = note. */
enum hr_status hr_rules_set(struct hr_rules *r, const char *assignment) HR_MUST;
/* Resolves names against the model, compiles to bytecode and regexes. */
enum hr_status hr_rules_check(struct hr_rules *r, const struct hr_model *m) HR_MUST;
const struct hr_ruleerrvec *hr_rules_errors(const struct hr_rules *r);
/* "file:3:14: error: unknown attribute `o.reachble`; did you mean `reachable`?" with the line and a caret. */
void hr_rules_format_error(const struct hr_rule_error *e, char *buf, size_t cap);
/* Contents of memory may appear in findings (--show-contents); otherwise only their length does. */
void hr_rules_show_contents(struct hr_rules *r, bool show);
void hr_rules_today(struct hr_rules *r, uint32_t yyyymmdd); /* for `allow … expires`; without it, the clock is asked */
/* Judges `diff` statements instead of rules: over the table "growth" of several images. Before hr_rules_only(). */
void hr_rules_diffs(struct hr_rules *r, bool diffs);
/* Glob over rule names ("leak.*"; several by comma); NULL = all. Returns how many are chosen. */
size_t hr_rules_only(struct hr_rules *r, const char *pattern);
/* HR_NEED_* of the chosen rules. */
uint32_t hr_rules_needs(const struct hr_rules *r);
/* The tables' needs must have been computed. */
enum hr_status hr_rules_run(struct hr_rules *r, const struct hr_model *m, struct hr_findings *out) HR_MUST;
/* The built-in packs, embedded at build time from rules/packs/. */
size_t hr_rules_builtin(size_t i, const char **name_ret, const char **text_ret); /* length; 0 past the last */
struct hr_rule_info {
    const char *name, *title, *help, *remedy, *pack;
    const char *tags, *precision; /* "leak, ci"; "" none */
    enum hr_severity severity;
    uint32_t needs;
    bool chosen;
};
size_t hr_rules_list(const struct hr_rules *r, size_t i, struct hr_rule_info *ret); /* number of rules */

#endif
