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
/* --baseline and its kin: sets the findings' states and writes what is asked for. Returns -1, or an exit status after printing why. */
int hr_cli_baseline(struct hr_cli *c, const struct hr_rules *rules, struct hr_findings *f);

#endif
