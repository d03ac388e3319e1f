/* The parent's side of asking DWARF about pcs: one child per module, then frames rebuilt from its answer. */
#include "analyzer/types/pcinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/types/load.h"
#include "analyzer/types/locexpr.h"
#include "analyzer/types/table.h"

enum { MAX_LEVELS = 64, MAX_ENTRY_DEPTH = 8 /* callers asked for what a register held on entry: rarely more than 2 */ };

struct module_info {
    struct hr_pc_ask *ask;   /* sorted by pc */
    uint32_t *at;            /* of each pc's answer in the blob */
    size_t n;
    struct hr_u8vec blob;
    struct hr_u32vec row;    /* row of the blob's table -> row of the session's */
};

struct fill {
    struct hr_types *t;
    const struct hr_image *img;
    struct hr_stacks *s;
    struct module_info *mod;
    struct hr_framevec out;  /* the new frames */
};

/* ---- reading the answer ---- */

struct level {
    bool inlined;
    struct hr_span name, file, frame_base;
    uint32_t line, nlocals;
    uint64_t entry;
    struct hr_cursor locals; /* at the first */
};
struct local {
    struct hr_span name, file, expr;
    uint32_t type, line;
    bool param, constant;
    uint64_t value;
};
struct answer {
    struct hr_span file;
    uint32_t line, nlevels, nparams;
    struct level level[MAX_LEVELS]; /* innermost first */
    struct hr_span callee, target;
    struct hr_cursor params;
};

static const uint16_t endian_probe = 1;
static struct hr_cursor host_cursor(struct hr_span s)
{
    return hr_cursor(s, *(const uint8_t *)&endian_probe == 0, 8); /* the child is this machine too */
}

static struct hr_span get_bytes(struct hr_cursor *c) { return hr_cur_bytes(c, hr_cur_u32(c)); }

static struct local get_local(struct hr_cursor *c)
{
    struct local l = {.name = get_bytes(c)};
    l.type = hr_cur_u32(c);
    l.param = hr_cur_u8(c);
    l.file = get_bytes(c);
    l.line = hr_cur_u32(c);
    l.constant = hr_cur_u8(c);
    l.value = hr_cur_u64(c);
    l.expr = get_bytes(c);
    return l;
}

static void get_level(struct hr_cursor *c, struct level *v)
{
    v->inlined = hr_cur_u8(c);
    v->name = get_bytes(c);
    v->file = get_bytes(c);
    v->line = hr_cur_u32(c);
    v->entry = hr_cur_u64(c);
    v->frame_base = get_bytes(c);
    v->nlocals = hr_cur_u32(c);
    v->locals = *c;
    for (uint32_t i = 0; i < v->nlocals && !c->bad; i++) /* each takes bytes: bounded */
        get_local(c);
}

/* One pc's answer from the cursor on; c->bad when it is none. */
static void get_answer(struct hr_cursor *c, struct answer *a)
{
    a->file = get_bytes(c);
    a->line = hr_cur_u32(c);
    a->nlevels = hr_cur_u32(c);
    a->callee = a->target = (struct hr_span){0};
    if (a->nlevels > MAX_LEVELS)
        c->bad = true;
    for (uint32_t i = 0; i < a->nlevels && !c->bad; i++)
        get_level(c, &a->level[i]);
    if (!c->bad && a->nlevels && a->level[a->nlevels - 1].inlined)
        c->bad = true;
    a->nparams = hr_cur_u32(c);
    if (a->nparams) {
        a->callee = get_bytes(c);
        a->target = get_bytes(c);
    }
    a->params = *c;
    for (uint32_t i = 0; i < a->nparams && !c->bad; i++) {
        get_bytes(c);
        get_bytes(c);
    }
}

/* ---- asking ---- */

static int by_pc(const void *a, const void *b)
{
    const struct hr_pc_ask *x = a, *y = b;
    if (x->pc != y->pc)
        return x->pc < y->pc ? -1 : 1;
    return x->ret < y->ret ? -1 : x->ret > y->ret;
}

static struct hr_pc_ask ask_of(const struct fill *f, const struct hr_stack_of *of, uint32_t i)
{
    const struct hr_frame *fr = &f->s->frames.v[i];
    uint64_t bias = f->img->modules.v[fr->module].bias, pc = hr_frame_lookup_pc(f->s, of, i);
    return (struct hr_pc_ask){pc - bias, pc != fr->pc ? fr->pc - bias : 0};
}

/* Distinct pcs of all frames, per module that has DWARF. */
static enum hr_status collect(struct fill *f)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t th = 0; th < f->s->n; th++) {
            const struct hr_stack_of *of = &f->s->of[th];
            for (uint32_t i = of->frame0; i < of->frame0 + of->nframes; i++) {
                uint32_t m = f->s->frames.v[i].module;
                if (m >= f->img->modules.n)
                    continue;
                if (pass)
                    f->mod[m].ask[f->mod[m].n] = ask_of(f, of, i);
                f->mod[m].n++;
            }
        }
        for (size_t m = 0; m < f->img->modules.n; m++) {
            struct module_info *mi = &f->mod[m];
            if (!pass && !(mi->ask = hr_zalloc(mi->n, sizeof *mi->ask)))
                return HR_NOMEM;
            if (!pass)
                mi->n = 0;
        }
    }
    for (size_t m = 0; m < f->img->modules.n; m++) {
        struct module_info *mi = &f->mod[m];
        size_t n = 0;
        if (mi->n)
            qsort(mi->ask, mi->n, sizeof *mi->ask, by_pc);
        for (size_t i = 0; i < mi->n; i++)
            if (!n || by_pc(&mi->ask[i], &mi->ask[n - 1]))
                mi->ask[n++] = mi->ask[i];
        mi->n = n;
    }
    return HR_OK;
}

/* Validates the child's bytes and adds its types to the session's. */
static enum hr_status accept(struct fill *f, uint32_t m, struct hr_span b)
{
    struct module_info *mi = &f->mod[m];
    struct hr_cursor c = host_cursor(b);
    struct hr_types part;
    uint32_t flags;
    if (hr_cur_u64(&c) != HR_PC_MAGIC)
        return HR_CORRUPT;
    struct hr_span blob = hr_cur_bytes(&c, hr_cur_u64(&c));
    HR_AUTOFREE struct answer *a = hr_alloc(sizeof *a);
    mi->at = hr_zalloc(mi->n, sizeof *mi->at);
    if (!a || !mi->at)
        return HR_NOMEM;
    for (size_t i = 0; i < mi->n && !c.bad; i++) {
        mi->at[i] = (uint32_t)hr_cur_off(&c);
        get_answer(&c, a);
    }
    if (c.bad)
        return HR_CORRUPT;
    HR_TRY(hr_types_init(&part, f->t->strs, f->t->notes));
    enum hr_status st = hr_blob_read(blob, &part, &flags);
    if (st == HR_OK)
        st = hr_types_merge(f->t, &part, m, f->img->modules.v[m].bias, &mi->row);
    hr_types_deinit(&part);
    return st;
}

static enum hr_status by_child(void *opt, struct hr_pc_query *q, struct hr_u8vec *ret, char *why, size_t cap)
{
    struct hr_child_limits lim = hr_dwarf_limits(q->elf, q->alt, opt);
    return hr_child_run(hr_dwarf_pc, q, &lim, ret, why, cap);
}

static enum hr_status ask_module(struct fill *f, uint32_t m, hr_pc_asker *asker, void *ctx)
{
    const struct hr_module *mo = &f->img->modules.v[m];
    struct module_info *mi = &f->mod[m];
    const struct hr_elf *elf = mi->n ? hr_dwarf_elf(mo) : NULL;
    if (!elf) {
        mi->n = 0;
        return HR_OK;
    }
    struct hr_elf *alt = hr_dwarf_alt(elf);
    struct hr_pc_query q = {elf, alt, mo->elf && mo->elf->nph ? mo->elf : elf, mi->ask, mi->n};
    char why[128] = "", name[256];
    enum hr_status st = asker(ctx, &q, &mi->blob, why, sizeof why);
    if (st == HR_OK) {
        st = accept(f, m, (struct hr_span){mi->blob.v, mi->blob.n});
        if (st == HR_CORRUPT)
            snprintf(why, sizeof why, "gave an answer that is not valid");
    }
    hr_elf_destroy(alt);
    if (st == HR_OK || st == HR_NOMEM)
        return st;
    mi->n = 0;
    if (st != HR_ABSENT)
        hr_note(f->t->notes, HR_NOTE_DEGRADED, "dwarf.frames", "no locals for module %s: the reader of debug information %s",
                hr_escz(name, sizeof name, hr_strs_get(f->t->strs, mo->path)), why);
    return HR_OK;
}

/* The answer for frame i; false: there is none. */
static bool lookup(const struct fill *f, const struct hr_stack_of *of, uint32_t i, struct answer *a)
{
    uint32_t m = f->s->frames.v[i].module;
    if (m >= f->img->modules.n || !f->mod[m].n)
        return false;
    struct module_info *mi = &f->mod[m];
    struct hr_pc_ask key = ask_of(f, of, i);
    const struct hr_pc_ask *hit = bsearch(&key, mi->ask, mi->n, sizeof key, by_pc);
    if (!hit)
        return false;
    struct hr_cursor c = host_cursor((struct hr_span){mi->blob.v, mi->blob.n});
    hr_cur_seek(&c, mi->at[hit - mi->ask]);
    get_answer(&c, a);
    return !c.bad;
}

/* ---- evaluating ---- */

struct where { /* a physical frame, for expressions that ask its caller */
    const struct fill *f;
    const struct hr_stack_of *of;
    uint32_t frame;
    struct hr_span func;
    uint64_t entry;      /* run-time address of the function, 0 unknown */
    unsigned depth;
};

static bool entry_value(void *ctx, struct hr_span e, uint64_t *ret);

static struct hr_locctx context(struct where *w, const struct answer *a)
{
    const struct hr_frame *fr = &w->f->s->frames.v[w->frame];
    const struct level *phys = a->nlevels ? &a->level[a->nlevels - 1] : NULL;
    uint64_t bias = w->f->img->modules.v[fr->module].bias;
    if (phys) {
        w->func = phys->name;
        w->entry = phys->entry ? phys->entry + bias : 0;
    }
    return (struct hr_locctx){.img = w->f->img, .reg = fr->reg, .reg_valid = fr->reg_valid, .cfa = fr->cfa,
                              .cfa_valid = fr->cfa != 0, .bias = bias, .frame_base = phys ? phys->frame_base : (struct hr_span){0},
                              .entry = entry_value, .entry_ctx = w};
}

static bool same(struct hr_span a, struct hr_span b) { return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n)); }

/* Did the caller's call site call this very function? Otherwise a tail call lies between, and its registers say nothing. */
static bool called_us(const struct where *w, const struct hr_locctx *caller, const struct answer *a)
{
    struct hr_loc loc;
    if (a->callee.n)
        return same(a->callee, w->func);
    return w->entry && a->target.n && hr_locexpr(caller, a->target, NULL, &loc) == HR_OK && loc.kind != HR_LOC_NONE &&
           loc.v == w->entry;
}

/* What register `e` held on entry: what the caller passed there, when its call site tells. */
static bool entry_value(void *ctx, struct hr_span e, uint64_t *ret)
{
    const struct where *w = ctx;
    const struct hr_stacks *s = w->f->s;
    struct where up = {.f = w->f, .of = w->of, .frame = w->frame + 1, .depth = w->depth + 1};
    if (up.depth > MAX_ENTRY_DEPTH || up.frame >= w->of->frame0 + w->of->nframes || s->frames.v[w->frame].signal_frame ||
        s->frames.v[up.frame].trust != HR_FRAME_CFI)
        return false;
    HR_AUTOFREE struct answer *a = hr_alloc(sizeof *a);
    struct hr_loc loc;
    if (!a || !lookup(w->f, w->of, up.frame, a))
        return false;
    struct hr_locctx cc = context(&up, a);
    if (!a->nparams || !called_us(w, &cc, a))
        return false;
    for (uint32_t i = 0; i < a->nparams; i++) {
        struct hr_span reg = get_bytes(&a->params), value = get_bytes(&a->params);
        if (!same(reg, e))
            continue;
        if (hr_locexpr(&cc, value, NULL, &loc) != HR_OK || loc.kind == HR_LOC_NONE)
            return false;
        *ret = loc.v;
        return true;
    }
    return false;
}

static enum hr_status str_of(struct fill *f, struct hr_span s, hr_str *ret)
{
    *ret = 0;
    return s.n ? hr_strs_add(f->t->strs, (const char *)s.p, s.n, ret) : HR_OK;
}

static enum hr_status add_local(struct fill *f, const struct hr_locctx *ctx, uint32_t module, const struct local *l)
{
    struct hr_local o = {.where = 2, .param = l->param, .line = l->line};
    const struct hr_u32vec *row = &f->mod[module].row;
    struct hr_loc loc;
    HR_TRY(str_of(f, l->name, &o.name));
    HR_TRY(str_of(f, l->file, &o.file));
    o.type = l->type < row->n ? row->v[l->type] : 0;
    if (l->constant) {
        o.where = 1;
        o.value = l->value;
    } else if (l->expr.n && hr_locexpr(ctx, l->expr, NULL, &loc) == HR_OK && loc.kind != HR_LOC_NONE) {
        o.where = loc.kind == HR_LOC_MEM ? 0 : 1;
        *(o.where ? &o.value : &o.addr) = loc.v;
    }
    return hr_localvec_push(&f->s->locals, o);
}

static enum hr_status add_level(struct fill *f, const struct hr_frame *base, const struct hr_locctx *ctx, const struct level *v,
                                struct hr_span file, uint32_t line)
{
    struct hr_frame o = *base;
    struct hr_cursor c = v->locals;
    o.inlined = v->inlined;
    if (v->name.n)
        HR_TRY(str_of(f, v->name, &o.func));
    HR_TRY(str_of(f, file, &o.file));
    o.line = line;
    o.local0 = (uint32_t)f->s->locals.n;
    for (uint32_t i = 0; i < v->nlocals; i++) {
        struct local l = get_local(&c);
        enum hr_status st = add_local(f, ctx, base->module, &l);
        if (st == HR_LIMIT)
            break;
        HR_TRY(st);
    }
    o.nlocals = (uint32_t)f->s->locals.n - o.local0;
    return hr_framevec_push(&f->out, o);
}

static enum hr_status add_frame(struct fill *f, const struct hr_stack_of *of, uint32_t i, struct answer *a)
{
    const struct hr_frame *fr = &f->s->frames.v[i];
    if (!lookup(f, of, i, a))
        return hr_framevec_push(&f->out, *fr);
    struct where w = {.f = f, .of = of, .frame = i};
    struct hr_locctx ctx = context(&w, a);
    struct hr_span file = a->file;
    uint32_t line = a->line;
    for (uint32_t l = 0; l < a->nlevels; l++) {
        const struct level *v = &a->level[l];
        HR_TRY(add_level(f, fr, &ctx, v, file, line));
        file = v->file; /* where this one was inlined is where the next one stands */
        line = v->line;
    }
    if (a->nlevels)
        return HR_OK;
    struct hr_frame o = *fr;
    HR_TRY(str_of(f, file, &o.file));
    o.line = line;
    return hr_framevec_push(&f->out, o);
}

static enum hr_status rebuild(struct fill *f, struct hr_stack_of *of)
{
    HR_AUTOFREE struct answer *a = hr_alloc(sizeof *a);
    if (!a)
        return HR_NOMEM;
    f->out.max = f->s->frames.max * 4;
    for (uint32_t th = 0; th < f->s->n; th++) {
        of[th] = f->s->of[th];
        of[th].frame0 = (uint32_t)f->out.n;
        for (uint32_t i = 0; i < f->s->of[th].nframes; i++)
            HR_TRY(add_frame(f, &f->s->of[th], f->s->of[th].frame0 + i, a));
        of[th].nframes = (uint32_t)f->out.n - of[th].frame0;
    }
    return HR_OK;
}

static enum hr_status run(struct fill *f, hr_pc_asker *asker, void *ctx)
{
    HR_TRY(collect(f));
    for (uint32_t m = 0; m < f->img->modules.n; m++)
        HR_TRY(ask_module(f, m, asker, ctx));
    HR_TRY(hr_types_settle(f->t));
    struct hr_stack_of *of = hr_zalloc(f->s->n, sizeof *of);
    if (!of)
        return HR_NOMEM;
    enum hr_status st = rebuild(f, of);
    if (st != HR_OK) {
        hr_free(of);
        return st;
    }
    hr_free(f->s->of);
    f->s->of = of;
    struct hr_framevec old = f->s->frames;
    f->s->frames = f->out;
    f->out = old;
    return HR_OK;
}

enum hr_status hr_pcinfo_fill(struct hr_types *t, const struct hr_dwarf_options *opt, struct hr_stacks *s)
{
    return hr_pcinfo_fill_by(t, s, by_child, (void *)(uintptr_t)opt); /* only read */
}

enum hr_status hr_pcinfo_fill_by(struct hr_types *t, struct hr_stacks *s, hr_pc_asker *asker, void *ctx)
{
    struct fill f = {.t = t, .img = t->image, .s = s};
    f.mod = hr_zalloc(t->image->modules.n, sizeof *f.mod);
    if (!f.mod)
        return HR_NOMEM;
    enum hr_status st = run(&f, asker, ctx);
    for (size_t m = 0; m < t->image->modules.n; m++) {
        hr_free(f.mod[m].ask);
        hr_free(f.mod[m].at);
        hr_u8vec_deinit(&f.mod[m].blob);
        hr_u32vec_deinit(&f.mod[m].row);
    }
    hr_free(f.mod);
    hr_framevec_deinit(&f.out);
    return st;
}
