/* What `check`, `rules` and the overview share about rules. */
#ifndef HR_CLI_RULES_CLI_H
#define HR_CLI_RULES_CLI_H

#include "analyzer/cli/cli.h"
#include "rules/engine/rules.h"

/* The built-in packs, then --rules files, then --set. Returns -1, or an exit status after printing why. *ret is to be
 * destroyed in any case (NULL-safe). */
int hr_cli_rules(struct hr_cli *c, struct hr_rules **ret);

/* Prints errors and warnings; returns how many errors there are. */
size_t hr_cli_rule_errors(const struct hr_rules *rules);
/* --baseline and its kin. Open before the analysis, when files can still be opened; apply sets the findings' states and writes
 * what is asked for. Both return -1, or an exit status after printing why. */
struct hr_cli_baseline {
    struct hr_baseline *old;
    struct hr_newfile *pruned, *written;
};
int hr_cli_baseline_open(struct hr_cli *c, struct hr_cli_baseline *b);
int hr_cli_baseline_apply(struct hr_cli *c, struct hr_cli_baseline *b, const struct hr_rules *rules, struct hr_findings *f);
void hr_cli_baseline_close(struct hr_cli_baseline *b);

#endif
