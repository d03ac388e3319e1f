/* The finding: what a rule says, with its evidence; and redaction, i.e. what of the input may be shown.
 * Finding room: calls heap, types, base. Made by rules, printed by formats/report, which cannot see the model. */
#ifndef HR_FINDING_FINDING_H
#define HR_FINDING_FINDING_H

#include "analyzer/base/strs.h"
#include "analyzer/base/vec.h"

enum hr_severity { HR_SEV_NOTE, HR_SEV_WARNING, HR_SEV_ERROR };

struct hr_hop {                /* one step of a trace, root first */
    uint64_t addr;
    char *type;                /* owned; unescaped; NULL unknown */
    char *field;               /* how the next hop is held: ".next", "[3]", "+24"; NULL for the last */
    bool suspect;
};
HR_VEC(hr_hopvec, struct hr_hop)

struct hr_member { uint64_t addr; char *type; uint64_t bytes; };
HR_VEC(hr_membervec, struct hr_member)

struct hr_finding {
    char *rule;                /* "leak.unreachable"; all char * are owned, unescaped */
    enum hr_severity severity;
    uint8_t surety;            /* enum hr_surety of heap.h: the weakest evidence it rests on */
    char *title;               /* sentence with placeholders filled in */
    char *help;                /* the rule's help: what it means */
    char *remedy;              /* what to do, a sentence; NULL none */
    char *next;                /* a command to go on with, e.g. "heapray show CORE 0x…"; NULL none */
    uint64_t subject_addr;
    bool has_subject;
    char *subject_type;
    uint64_t count, bytes;     /* things and bytes it stands for */
    uint64_t fingerprint;      /* heapPath/v1: no addresses, sizes or build paths in it */
    char *location;            /* "server.c:120" when a declaration or frame is known */
    struct hr_hopvec trace;
    struct hr_membervec members; /* a bounded sample of what it stands for */
    char *state;               /* "new", "known", "grown" (baseline), "allowed"; NULL = new */
    char *label;               /* why it is back or tolerated: "suppression X expired on 2026-01-31"; NULL none */
};
HR_VEC(hr_findingvec, struct hr_finding)

struct hr_skipped { char *rule, *why; };
HR_VEC(hr_skippedvec, struct hr_skipped)

struct hr_allowance {          /* an `allow` of the rules, and what became of it */
    char *name, *reason;
    uint32_t expires;          /* yyyymmdd */
    uint64_t used, max_count;  /* things it covered; max_count 0: no bound */
    const char *state;         /* static: "used", "unused", "expires soon", "expired", "exceeded" */
};
HR_VEC(hr_allowancevec, struct hr_allowance)

struct hr_fixed {              /* in the baseline, and no longer found */
    char *rule;
    uint64_t fingerprint, count, bytes;
};
HR_VEC(hr_fixedvec, struct hr_fixed)

struct hr_findings {
    struct hr_findingvec list; /* worst first: severity, bytes, fingerprint; deterministic */
    struct hr_skippedvec skipped;
    struct hr_allowancevec allowances;
    struct hr_fixedvec fixed;
    uint64_t dropped;          /* beyond the bound; said */
};
void hr_finding_deinit(struct hr_finding *f);
void hr_findings_init(struct hr_findings *f);
void hr_findings_deinit(struct hr_findings *f);
void hr_findings_sort(struct hr_findings *f);
const char *hr_severity_name(enum hr_severity s); /* "note", "warning", "error" */
/* Surety for printers, who cannot see the heap room: the word of json.md ("exact"; NULL when none), and a phrase for people
 * ("typed pointers (exact)"; never NULL). */
const char *hr_finding_surety(const struct hr_finding *f);
const char *hr_finding_evidence(const struct hr_finding *f);
/* Does it count against --fail-on? Not when a baseline knows it or an `allow` covers it. */
bool hr_finding_counts(const struct hr_finding *f);
enum hr_status hr_findings_skip(struct hr_findings *f, const char *rule, const char *why) HR_MUST;

#endif
