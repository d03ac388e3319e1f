/* The stacks of all threads: unwinding, then names from symbols, then (asked for) functions, lines and locals from DWARF. */
#include "analyzer/types/pcinfo.h"
#include "analyzer/types/unwind.h"

uint64_t hr_frame_lookup_pc(const struct hr_stacks *s, const struct hr_stack_of *of, uint32_t i)
{
    const struct hr_frame *f = &s->frames.v[i];
    bool exact = i == of->frame0 || f->signal_frame || s->frames.v[i - 1].signal_frame;
    return exact ? f->pc : f->pc - 1;
}

static enum hr_status name_frames(struct hr_types *t, struct hr_stacks *s, const struct hr_stack_of *of)
{
    for (uint32_t i = of->frame0; i < of->frame0 + of->nframes; i++) {
        uint64_t off;
        const struct hr_sym *y = hr_sym_at(t, hr_frame_lookup_pc(s, of, i), &off);
        if (y && y->kind == HR_SYM_FUNC)
            HR_TRY(hr_strs_addz(t->strs, y->name, &s->frames.v[i].func));
    }
    return HR_OK;
}

static enum hr_status unwind_all(struct hr_types *t, struct hr_stacks *s)
{
    struct hr_unwinder u;
    uint32_t cut = 0, deep = 0;
    enum hr_status st = hr_unwind_init(&u, t);
    for (uint32_t i = 0; i < s->n && st == HR_OK; i++) {
        struct hr_stack_of *of = &s->of[i];
        of->frame0 = (uint32_t)s->frames.n;
        /* every thread keeps room for its innermost frame */
        size_t room = s->frames.max - s->frames.n - (s->n - i - 1);
        st = hr_unwind_thread(&u, i, hr_min(room, HR_MAX_FRAMES), &s->frames, &of->complete);
        of->nframes = (uint32_t)s->frames.n - of->frame0;
        cut += !of->complete;
        deep += of->nframes == HR_MAX_FRAMES;
    }
    if (deep)
        hr_note(t->notes, HR_NOTE_DEGRADED, "stack.deep", "%u stack%s deeper than %u frames: only the innermost are known",
                deep, deep == 1 ? " is" : "s are", HR_MAX_FRAMES);
    if (cut - deep)
        hr_note(t->notes, HR_NOTE_INFO, "stack.incomplete",
                "%u of %u stacks could not be followed to their first function%s", cut - deep, s->n,
                u.blind ? " (call-frame information of some modules is missing)" : "");
    hr_unwind_deinit(&u);
    return st;
}

static enum hr_status fill(struct hr_types *t, bool locals, const struct hr_dwarf_options *opt, struct hr_stacks *s)
{
    HR_TRY(unwind_all(t, s));
    enum hr_status st = hr_types_load_symbols(t);
    if (st != HR_OK && st != HR_ABSENT)
        return st;
    for (uint32_t i = 0; i < s->n; i++)
        HR_TRY(name_frames(t, s, &s->of[i]));
    return locals ? hr_pcinfo_fill(t, opt, s) : HR_OK;
}

enum hr_status hr_stacks_create(struct hr_types *t, bool locals, const struct hr_dwarf_options *opt, struct hr_stacks **ret)
{
    const struct hr_image *img = t->image;
    struct hr_stacks *s = hr_zalloc(1, sizeof *s);
    if (!s)
        return HR_NOMEM;
    s->n = (uint32_t)img->threads.n;
    s->frames.max = HR_MAX_ALL_FRAMES + (size_t)s->n;
    s->locals.max = HR_MAX_LOCALS;
    s->of = hr_zalloc(s->n, sizeof *s->of);
    enum hr_status st = s->of ? HR_OK : HR_NOMEM;
    if (st == HR_OK && s->n && img->arch)
        st = fill(t, locals, opt, s);
    if (st != HR_OK) {
        hr_stacks_destroy(s);
        return st;
    }
    *ret = s;
    return HR_OK;
}

void hr_stacks_destroy(struct hr_stacks *s)
{
    if (!s)
        return;
    hr_framevec_deinit(&s->frames);
    hr_localvec_deinit(&s->locals);
    hr_free(s->of);
    hr_free(s);
}
