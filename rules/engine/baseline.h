/* Baselines: what was found when somebody drew the line. Only what is new or has grown since then fails.
 *
 * File: {"schema": "heapray-baseline/1", "findings": {"<fingerprint>": {"rule": …, "count": …, "bytes": …}}}, sorted, so that
 * it can be kept in version control. The counts are sums over the findings of one fingerprint. */
#ifndef HR_RULES_BASELINE_H
#define HR_RULES_BASELINE_H

#include "analyzer/finding/finding.h"
#include "rules/engine/newfile.h"

struct hr_baseline;
/* Before the process gives up opening files: the JSON library wants a random number once. */
void hr_baseline_prepare(void);
/* HR_IO, HR_CORRUPT, HR_LIMIT with a sentence in `why` (unescaped: it may quote the file). */
enum hr_status hr_baseline_read(const char *path, struct hr_baseline **ret, char *why, size_t cap) HR_MUST;
void hr_baseline_destroy(struct hr_baseline *b);
/* Sets the findings' state to "new", "known" or "grown" (allowed ones stay allowed) with a label for the grown, and fills
 * findings->fixed with what is gone. `ran` (NULL: all did) says whether a rule was run: what it found before is gone only then.
 * Grown: more of them, or more than a tenth more bytes. */
enum hr_status hr_baseline_apply(const struct hr_baseline *b, struct hr_findings *f, bool (*ran)(void *ctx, const char *rule),
                                 void *ctx) HR_MUST;
/* Writes what is found now. The file is made before the analysis: after it, the process may open nothing any more. */
enum hr_status hr_baseline_write(struct hr_newfile *to, const struct hr_findings *f, char *why, size_t cap) HR_MUST;
/* Writes the old baseline without the entries of f->fixed (after hr_baseline_apply); the counts of the others stay. */
enum hr_status hr_baseline_prune(struct hr_newfile *to, const struct hr_baseline *b, const struct hr_findings *f, char *why,
                                 size_t cap) HR_MUST;

#endif
