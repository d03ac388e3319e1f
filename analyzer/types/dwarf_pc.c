/* From pcs to functions, inlined chains, lines and locals. Runs in the child only: it reads the units that hold a pc and,
 * for their types, the units those refer to; nothing else. */
#include "analyzer/types/dwarf_pc.h"

#include <string.h>

/* ---- which pcs does something cover ---- */

static bool mark(void *ctx, uint64_t lo, uint64_t hi)
{
    struct hr_pcw *w = ctx;
    size_t a = 0, b = w->q->n;
    while (a < b) { /* first pc at or above lo */
        size_t m = a + (b - a) / 2;
        if (w->q->ask[m].pc < lo)
            a = m + 1;
        else
            b = m;
    }
    for (; a < w->q->n && w->q->ask[a].pc < hi; a++)
        if (!w->part[a].n && !w->hit[a]) {
            w->hit[a] = true;
            w->nhit++;
        }
    return true;
}

static bool marks(struct hr_pcw *w, Dwarf_Die die)
{
    if (w->nhit)
        memset(w->hit, 0, w->q->n);
    w->nhit = 0;
    return hr_dw_ranges(&w->d, &w->unit, die, mark, w) && w->nhit;
}

/* ---- lines ---- */

static void note_line(struct hr_pcw *w, Dwarf_Line line, uint64_t lo, uint64_t hi)
{
    char *file = NULL;
    Dwarf_Unsigned no = 0;
    Dwarf_Error err = NULL;
    for (size_t i = 0; i < w->q->n; i++) {
        if (w->q->ask[i].pc < lo || w->q->ask[i].pc >= hi || w->line[i].found)
            continue;
        if (!no && dwarf_lineno(line, &no, &err) != DW_DLV_OK)
            no = 0;
        if (!file && dwarf_linesrc(line, &file, &err) != DW_DLV_OK)
            file = NULL;
        w->line[i] = (struct hr_pc_line){file, no < UINT32_MAX ? (uint32_t)no : 0, true};
    }
}

static bool any_pc_in(const struct hr_pcw *w, uint64_t lo, uint64_t hi)
{
    size_t a = 0, b = w->q->n;
    while (a < b) {
        size_t m = a + (b - a) / 2;
        if (w->q->ask[m].pc < lo)
            a = m + 1;
        else
            b = m;
    }
    return a < w->q->n && w->q->ask[a].pc < hi;
}

/* A row holds up to the next one. Of rows at one address the last counts, but one that starts a statement is preferred. */
static void read_lines(struct hr_pcw *w)
{
    Dwarf_Unsigned version;
    Dwarf_Small tables;
    Dwarf_Line_Context lc = NULL;
    Dwarf_Line *v = NULL;
    Dwarf_Signed n = 0;
    Dwarf_Error err = NULL;
    if (!hr_dw_has_lines(&w->d) || dwarf_srclines_b(w->d.cu, &version, &tables, &lc, &err) != DW_DLV_OK ||
        dwarf_srclines_from_linecontext(lc, &v, &n, &err) != DW_DLV_OK)
        return;
    Dwarf_Line best = NULL;
    Dwarf_Addr at = 0, next;
    bool best_stmt = false;
    for (Dwarf_Signed i = 0; i < n && hr_burn(&w->d.fuel, 1); i++) {
        Dwarf_Bool end = 0, stmt = 0;
        if (dwarf_lineaddr(v[i], &next, &err) != DW_DLV_OK)
            continue;
        (void)dwarf_lineendsequence(v[i], &end, &err);
        (void)dwarf_linebeginstatement(v[i], &stmt, &err);
        if (best && next > at && any_pc_in(w, at, next))
            note_line(w, best, at, next);
        if (end) {
            best = NULL;
        } else if (!best || next != at || stmt || !best_stmt) {
            best = v[i];
            best_stmt = stmt;
        }
        at = next;
    }
}

/* ---- functions ---- */

struct place { Dwarf_Die die; uint32_t level; };

static Dwarf_Die child_of(struct hr_pcw *w, Dwarf_Die die)
{
    Dwarf_Die c = NULL;
    Dwarf_Error err = NULL;
    int r = dwarf_child(die, &c, &err);
    if (r == DW_DLV_ERROR)
        w->d.flags |= HR_BLOB_DAMAGED;
    return r == DW_DLV_OK ? c : NULL;
}

static Dwarf_Die sibling_of(struct hr_pcw *w, Dwarf_Die die)
{
    Dwarf_Die s = NULL;
    Dwarf_Error err = NULL;
    int r = dwarf_siblingof_b(w->d.cur->dbg, die, 1, &s, &err);
    if (r == DW_DLV_ERROR)
        w->d.flags |= HR_BLOB_DAMAGED;
    return r == DW_DLV_OK ? s : NULL;
}

static bool returns_to(Dwarf_Die site, uint64_t ret)
{
    static const Dwarf_Half what[] = {DW_AT_call_return_pc, DW_AT_low_pc};
    Dwarf_Error err = NULL;
    for (int k = 0; k < 2; k++) {
        Dwarf_Attribute at = NULL;
        Dwarf_Addr a;
        if (dwarf_attr(site, what[k], &at, &err) == DW_DLV_OK && dwarf_formaddr(at, &a, &err) == DW_DLV_OK)
            return a == ret;
    }
    return false;
}

/* What one DIE inside a function means for pc: true when its children are to be met, on level *level. */
static bool inside(struct hr_pcw *w, Dwarf_Die die, const struct hr_pc_ask *ask, uint32_t *level)
{
    Dwarf_Half tag = 0;
    Dwarf_Error err = NULL;
    (void)dwarf_tag(die, &tag, &err);
    switch (tag) {
    case DW_TAG_formal_parameter:
    case DW_TAG_variable:
        if (hr_pclocalvec_push(&w->locals, (struct hr_pc_local){die, *level}) != HR_OK)
            w->d.flags |= HR_BLOB_BUDGET;
        return false;
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
        return hr_dw_covers(&w->d, &w->unit, die, ask->pc);
    case DW_TAG_inlined_subroutine:
        if (w->nlevels == HR_PC_LEVELS || !hr_dw_covers(&w->d, &w->unit, die, ask->pc))
            return false;
        *level = w->nlevels;
        w->level[w->nlevels++] = die;
        return true;
    case DW_TAG_call_site:
    case DW_TAG_GNU_call_site:
        if (ask->ret && !w->call_site && returns_to(die, ask->ret))
            w->call_site = die;
        return false;
    default:
        return false;
    }
}

static enum hr_status answer(struct hr_pcw *w, Dwarf_Die func, size_t i)
{
    struct place stack[HR_DW_DEPTH];
    unsigned n = 0;
    w->locals.n = 0;
    w->call_site = NULL;
    w->level[0] = func;
    w->nlevels = 1;
    Dwarf_Die first = child_of(w, func);
    if (first)
        stack[n++] = (struct place){first, 0};
    while (n) {
        struct place *top = &stack[n - 1];
        if (!hr_burn(&w->d.fuel, 1))
            return HR_LIMIT;
        uint32_t level = top->level;
        Dwarf_Die die = top->die, down = NULL;
        if (inside(w, die, &w->q->ask[i], &level) && n < HR_DW_DEPTH)
            down = child_of(w, die);
        top->die = sibling_of(w, die);
        if (!top->die)
            n--;
        if (down)
            stack[n++] = (struct place){down, level};
    }
    return hr_pc_write(w, i);
}

static enum hr_status function(struct hr_pcw *w, Dwarf_Die die)
{
    if (!marks(w, die))
        return HR_OK;
    for (size_t i = 0; i < w->q->n; i++)
        if (w->hit[i])
            HR_TRY(answer(w, die, i));
    return HR_OK;
}

/* All functions of the unit, wherever they are nested. */
static enum hr_status functions(struct hr_pcw *w)
{
    Dwarf_Die stack[HR_DW_DEPTH];
    unsigned n = 0;
    Dwarf_Error err = NULL;
    Dwarf_Die first = child_of(w, w->d.cu);
    if (first)
        stack[n++] = first;
    while (n) {
        Dwarf_Half tag = 0;
        Dwarf_Die die = stack[n - 1], down = NULL;
        if (!hr_burn(&w->d.fuel, 1))
            return HR_LIMIT;
        (void)dwarf_tag(die, &tag, &err);
        if (tag == DW_TAG_subprogram)
            HR_TRY(function(w, die));
        bool holds = tag == DW_TAG_subprogram || tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_lexical_block ||
                     tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
        if (holds && n < HR_DW_DEPTH)
            down = child_of(w, die);
        stack[n - 1] = sibling_of(w, die);
        if (!stack[n - 1])
            n--;
        if (down)
            stack[n++] = down;
    }
    return HR_OK;
}

/* ---- units ---- */

/* pcs of the unit that belong to no function it describes (assembler): a line, no level. */
static enum hr_status lines_only(struct hr_pcw *w)
{
    w->nlevels = 0;
    w->locals.n = 0;
    w->call_site = NULL;
    for (size_t i = 0; i < w->q->n; i++)
        if (w->line[i].found && !w->part[i].n)
            HR_TRY(hr_pc_write(w, i));
    return HR_OK;
}

static enum hr_status one_unit(struct hr_pcw *w, struct hr_map *walked)
{
    Dwarf_Off off = 0, len = 0;
    Dwarf_Error err = NULL;
    hr_dw_unit_bases(&w->d, &w->unit);
    if (!marks(w, w->d.cu))
        return HR_OK;
    HR_TRY(hr_dw_walk_unit(&w->d)); /* types, and the scopes of functions */
    if (dwarf_die_CU_offset_range(w->d.cu, &off, &len, &err) == DW_DLV_OK)
        HR_TRY(hr_map_put(walked, off, 1));
    read_lines(w);
    HR_TRY(functions(w));
    return lines_only(w);
}

static enum hr_status all_units(struct hr_pcw *w, struct hr_map *walked)
{
    enum hr_status st;
    while ((st = hr_dw_next_unit(&w->d, HR_DW_MAIN_FILE, false)) == HR_OK)
        if (w->d.cu)
            HR_TRY(one_unit(w, walked));
    return st == HR_ABSENT || st == HR_CORRUPT ? HR_OK : st;
}

/* ---- types that lie in other units: link-time optimisation, dwz, type units ---- */

/* Is a row wanted whose DIE lies in [off, off + len) of the space? */
static bool wanted(const struct hr_dw *d, const struct hr_u32vec *rows, const uint64_t *keys, uint64_t off, uint64_t len)
{
    uint64_t lo = (uint64_t)d->space << 60 | off;
    for (size_t i = 0; i < rows->n; i++)
        if (keys[i] >= lo && keys[i] - lo < len && d->raw.rows.v[rows->v[i]].kind == HR_T_NONE)
            return true;
    return false;
}

static enum hr_status walk_wanted(struct hr_pcw *w, enum hr_dw_source src, bool types, struct hr_map *walked,
                                  const struct hr_u32vec *rows, const uint64_t *keys, bool *any_ret)
{
    enum hr_status st;
    while ((st = hr_dw_next_unit(&w->d, src, types)) == HR_OK) {
        Dwarf_Off off = 0, len = 0;
        Dwarf_Error err = NULL;
        if (!w->d.cu || dwarf_die_CU_offset_range(w->d.cu, &off, &len, &err) != DW_DLV_OK)
            continue;
        uint64_t key = (uint64_t)w->d.space << 60 | off;
        if (hr_map_get(walked, key) != HR_NONE || !(types || wanted(&w->d, rows, keys, off, len)))
            continue;
        HR_TRY(hr_map_put(walked, key, 1));
        HR_TRY(hr_dw_walk_unit(&w->d));
        *any_ret = true;
    }
    return st == HR_ABSENT || st == HR_CORRUPT ? HR_OK : st;
}

/* Rows referred to and not met yet, with their keys. */
static enum hr_status missing(const struct hr_dw *d, struct hr_u32vec *rows, uint64_t **keys_ret)
{
    rows->n = 0;
    hr_free(*keys_ret);
    *keys_ret = hr_zalloc(d->row_of.n + 1, sizeof **keys_ret);
    if (!*keys_ret)
        return HR_NOMEM;
    for (size_t i = 0; i < d->row_of.cap; i++)
        if (d->row_of.val[i] != HR_NONE && d->raw.rows.v[d->row_of.val[i]].kind == HR_T_NONE) {
            (*keys_ret)[rows->n] = d->row_of.key[i];
            HR_TRY(hr_u32vec_push(rows, d->row_of.val[i]));
        }
    return HR_OK;
}

static enum hr_status other_units(struct hr_pcw *w, struct hr_map *walked)
{
    struct hr_u32vec rows = {.max = HR_MAX_TYPES};
    uint64_t *keys = NULL;
    enum hr_status st = HR_OK;
    bool any = true, sigs = w->d.sig_row.n != 0;
    for (int pass = 0; pass < 4 && any && st == HR_OK; pass++) {
        any = false;
        st = missing(&w->d, &rows, &keys);
        if (st == HR_OK && sigs && !pass)
            st = walk_wanted(w, HR_DW_MAIN_FILE, true, walked, &rows, keys, &any);
        if (st == HR_OK && (rows.n || any))
            st = walk_wanted(w, HR_DW_MAIN_FILE, false, walked, &rows, keys, &any);
        if (st == HR_OK && rows.n && w->d.file[HR_DW_ALT_FILE].dbg)
            st = walk_wanted(w, HR_DW_ALT_FILE, false, walked, &rows, keys, &any);
    }
    hr_u32vec_deinit(&rows);
    hr_free(keys);
    return st == HR_LIMIT ? HR_OK : st;
}

/* ---- the answer ---- */

static enum hr_status put_parts(struct hr_pcw *w, struct hr_child_out *out)
{
    static const uint8_t nothing[16] = {0}; /* no file, line 0, no levels, no call site */
    for (size_t i = 0; i < w->q->n; i++)
        if (w->part[i].n)
            HR_TRY(hr_child_put(out, w->buf.v + w->part[i].off, w->part[i].n));
        else
            HR_TRY(hr_child_put(out, nothing, sizeof nothing));
    return HR_OK;
}

static enum hr_status finish(struct hr_pcw *w, struct hr_types *t, struct hr_child_out *out)
{
    struct hr_u32vec map = {0};
    w->d.vars.n = 0; /* of a few units only: nobody's */
    HR_TRY(hr_dw_finish(&w->d));
    enum hr_status st = hr_types_merge(t, &w->d.raw, 0, 0, &map);
    for (size_t i = 0; i < w->type_at.n; i++) {
        uint32_t row;
        memcpy(&row, w->buf.v + w->type_at.v[i], 4);
        row = row < map.n ? map.v[row] : 0;
        memcpy(w->buf.v + w->type_at.v[i], &row, 4);
    }
    hr_u32vec_deinit(&map);
    HR_TRY(st);
    uint64_t head[2] = {HR_PC_MAGIC, 0};
    size_t at = out->n;
    HR_TRY(hr_child_put(out, head, sizeof head));
    HR_TRY(hr_blob_write(t, w->d.flags, out));
    head[1] = out->n - at - sizeof head;
    memcpy(out->p + at, head, sizeof head);
    return put_parts(w, out);
}

static enum hr_status prepare(struct hr_pcw *w, const struct hr_pc_query *q)
{
    w->q = q;
    w->buf.max = HR_CHILD_OUTPUT / 2;
    w->type_at.max = HR_MAX_LOCALS;
    w->locals.max = HR_PC_MAX_LOCALS;
    w->part = hr_zalloc(q->n, sizeof *w->part);
    w->line = hr_zalloc(q->n, sizeof *w->line);
    w->hit = hr_zalloc(q->n, sizeof *w->hit);
    return w->part && w->line && w->hit ? HR_OK : HR_NOMEM;
}

static enum hr_status look(struct hr_pcw *w)
{
    struct hr_map walked;
    hr_map_init(&walked, HR_MAX_TYPES);
    if (!hr_mul(w->d.fuel.left, 8, &w->d.fuel.left)) /* types, functions, lines, and functions again per pc */
        w->d.fuel.left = UINT64_MAX;
    enum hr_status st = all_units(w, &walked);
    if (st == HR_OK || st == HR_LIMIT)
        st = other_units(w, &walked);
    hr_map_deinit(&walked);
    return st;
}

static enum hr_status tell(struct hr_pcw *w, struct hr_child_out *out)
{
    struct hr_types t;
    struct hr_strs *strs;
    struct hr_notes notes;
    hr_notes_init(&notes);
    HR_TRY(hr_strs_create(&strs));
    enum hr_status st = hr_types_init(&t, strs, &notes);
    if (st == HR_OK)
        st = finish(w, &t, out);
    hr_types_deinit(&t);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
    return st;
}

enum hr_status hr_dwarf_pc(void *query, struct hr_child_out *out)
{
    struct hr_pc_query *q = query;
    struct hr_pcw *w = hr_zalloc(1, sizeof *w);
    if (!w)
        return HR_NOMEM;
    enum hr_status st = prepare(w, q);
    if (st == HR_OK) {
        st = hr_dw_open(&w->d, q->elf, q->alt, q->exec, true);
        if (st == HR_OK)
            st = look(w);
        if (st == HR_OK)
            st = tell(w, out);
        hr_dw_close(&w->d);
    }
    hr_free(w->part);
    hr_free(w->line);
    hr_free(w->hit);
    hr_u8vec_deinit(&w->buf);
    hr_u32vec_deinit(&w->type_at);
    hr_pclocalvec_deinit(&w->locals);
    hr_free(w);
    return st;
}
