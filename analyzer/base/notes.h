/* Notes: what was strange about the input or missing from it, said once, kept with the session, printed by every report.
 *
 * `code` is a stable dotted word for scripts ("core.truncated"), text a sentence for people. Text is made of our words
 * and of escaped input only (use %s with hr_esc). Notes are bounded: beyond HR_MAX_NOTES only a count is kept, and the
 * same (code, addr) is kept once. */
#ifndef HR_BASE_NOTES_H
#define HR_BASE_NOTES_H

#include "analyzer/base/vec.h"

enum hr_note_level {
    HR_NOTE_INFO,     /* good to know */
    HR_NOTE_DEGRADED, /* an answer is weaker than it could be: exit 4 under --strict */
    HR_NOTE_DAMAGE,   /* the image or the heap contradicts itself */
};

struct hr_note {
    const char *code; /* static string */
    char *text;
    uint64_t addr;
    bool has_addr;
    enum hr_note_level level;
};
HR_VEC(hr_notevec, struct hr_note)

struct hr_notes {
    struct hr_notevec list;
    uint64_t dropped;
};

void hr_notes_init(struct hr_notes *n);
void hr_notes_deinit(struct hr_notes *n);
/* Never fails: an allocation failure only counts as dropped. */
void hr_note(struct hr_notes *n, enum hr_note_level level, const char *code, const char *fmt, ...) HR_PRINTF(4, 5);
void hr_note_at(struct hr_notes *n, enum hr_note_level level, const char *code, uint64_t addr, const char *fmt, ...)
    HR_PRINTF(5, 6);
/* Has a note with this code been made? */
bool hr_notes_has(const struct hr_notes *n, const char *code);

#endif
