#include "analyzer/base/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/base/limits.h"

void hr_notes_init(struct hr_notes *n) { *n = (struct hr_notes){.list.max = HR_MAX_NOTES}; }

void hr_notes_deinit(struct hr_notes *n)
{
    for (size_t i = 0; i < n->list.n; i++)
        hr_free(n->list.v[i].text);
    hr_notevec_deinit(&n->list);
}

static void add(struct hr_notes *n, struct hr_note note, const char *fmt, va_list ap)
{
    for (size_t i = 0; i < n->list.n; i++) {
        const struct hr_note *o = &n->list.v[i];
        if (!strcmp(o->code, note.code) && note.has_addr && o->has_addr && o->addr == note.addr)
            return;
    }
    char buf[1024];
    vsnprintf(buf, sizeof buf, fmt, ap);
    if (!note.has_addr)
        for (size_t i = 0; i < n->list.n; i++)
            if (!strcmp(n->list.v[i].code, note.code) && !strcmp(n->list.v[i].text, buf))
                return;
    note.text = hr_strdup(buf);
    if (!note.text || hr_notevec_push(&n->list, note) != HR_OK) {
        hr_free(note.text);
        n->dropped++;
    }
}

void hr_note(struct hr_notes *n, enum hr_note_level level, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(n, (struct hr_note){.code = code, .level = level}, fmt, ap);
    va_end(ap);
}

void hr_note_at(struct hr_notes *n, enum hr_note_level level, const char *code, uint64_t addr, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(n, (struct hr_note){.code = code, .level = level, .addr = addr, .has_addr = true}, fmt, ap);
    va_end(ap);
}

bool hr_notes_has(const struct hr_notes *n, const char *code)
{
    for (size_t i = 0; i < n->list.n; i++)
        if (!strcmp(n->list.v[i].code, code))
            return true;
    return false;
}
