#include <stdlib.h>
#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/model.h"
#include "analyzer/place.h"

enum { PINS_SHOWN = 8 };

static void json_pins(struct hr_cli *c, struct hr_json *j, const struct hr_frag_arena *f, uint32_t most)
{
    char name[1024];
    hr_json_arr(j, "pinned_by");
    for (uint32_t i = 0; i < f->npins && i < most; i++) {
        const struct hr_pin *p = &c->s->frag->pins.v[f->pin0 + i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "type", p->type ? hr_type_name(c->s->types, p->type, name, sizeof name) : NULL);
        hr_json_num(j, "count", p->count);
        hr_json_num(j, "bytes", p->bytes);
        hr_json_num(j, "block_size", hr_block_size(c->s->heap, p->example));
        hr_json_addr(j, "example", hr_block_addr(c->s->heap, p->example));
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void json_request(struct hr_cli *c, struct hr_json *j, const struct hr_place *p)
{
    static const char *const source[] = {[HR_REQUEST_ASKED] = "asked", [HR_REQUEST_FAILED] = "memory_error", [HR_REQUEST_LARGEST] = "largest_object",
                                         [HR_REQUEST_SIZES] = "sizes_in_use"};
    struct hr_session *s = c->s;
    if (!p) {
        hr_json_null(j, "request");
        return;
    }
    char type[1024], way[1024];
    hr_id at = p->first, id;
    hr_json_obj(j, "request");
    hr_json_num(j, "bytes", p->request);
    hr_json_str(j, "known_from", source[p->source]);
    if (p->source == HR_REQUEST_FAILED)
        hr_json_addr(j, "error", p->error);
    hr_json_bool(j, "fits", p->fits);
    hr_json_num(j, "free", p->free);
    hr_json_num(j, "longest", p->longest);
    hr_json_num(j, "longest_after_collection", p->longest_then);
    hr_json_num(j, "room_to_grow", p->room);
    if (!p->fits && p->hi) {
        hr_json_addr(j, "place", p->lo);
        hr_json_num(j, "place_bytes", p->hi - p->lo);
        hr_json_num(j, "in_the_way", p->live);
        hr_json_arr(j, "in_the_way_of_it");
        while ((id = hr_place_next(s, p, &at)) != HR_NONE) {
            hr_json_obj(j, NULL);
            hr_json_addr(j, "addr", hr_block_addr(s->heap, id));
            hr_json_num(j, "size", hr_block_size(s->heap, id));
            hr_json_str(j, "type", hr_node_type(s->heap, id) ? hr_describe_type(s, id, type, sizeof type) : NULL);
            hr_json_str(j, "held_by", hr_session_way(s, id, way, sizeof way));
            hr_json_end(j);
        }
        hr_json_end(j);
    }
    hr_json_end(j);
}

static void frag_json(struct hr_cli *c, const struct hr_place *place)
{
    struct hr_json j;
    const struct hr_session *s = c->s;
    hr_cli_json_begin(c, &j);
    hr_json_arr(&j, "arenas");
    for (size_t i = 0; i < s->heap->arenas.n; i++) {
        const struct hr_arena *a = &s->heap->arenas.v[i];
        const struct hr_frag_arena *f = &s->frag->arenas.v[i];
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "name", hr_strs_get(s->strs, a->name));
        hr_json_num(&j, "mapped", a->mapped);
        hr_json_num(&j, "used", a->used_bytes);
        hr_json_num(&j, "cached", a->cached_bytes);
        hr_json_num(&j, "free", a->free_bytes);
        hr_json_num(&j, "overhead", a->overhead_bytes + a->own_bytes);
        hr_json_num(&j, "largest_free", a->largest_free);
        hr_json_num(&j, "free_runs", f->free_runs);
        hr_json_num(&j, "releasable", f->releasable);
        hr_json_num(&j, "whole_pages", f->whole_pages);
        hr_json_num(&j, "top_bytes", f->top_bytes);
        hr_json_num(&j, "gap_bytes", f->gap_bytes);
        if (f->top_pin != HR_NONE)
            hr_json_addr(&j, "top_pin", hr_block_addr(s->heap, f->top_pin));
        else
            hr_json_null(&j, "top_pin");
        hr_json_num(&j, "below_pin", f->below_pin);
        json_pins(c, &j, f, 50);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    json_request(c, &j, place);
    hr_json_arr(&j, "size_classes");
    for (size_t i = 0; i < s->frag->classes.n; i++) {
        const struct hr_size_class *k = &s->frag->classes.v[i];
        hr_json_obj(&j, NULL);
        hr_json_str(&j, "arena", hr_strs_get(s->strs, s->heap->arenas.v[k->arena].name));
        hr_json_num(&j, "size", k->size);
        hr_json_num(&j, "used", k->used);
        hr_json_num(&j, "cached", k->cached);
        hr_json_num(&j, "free", k->free);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_end(&j);
}

static void text_pins(struct hr_cli *c, const struct hr_frag_arena *f)
{
    struct hr_out *o = &c->out;
    char name[512];
    for (uint32_t i = 0; i < f->npins && i < (c->all ? f->npins : 5); i++) {
        const struct hr_pin *p = &c->s->frag->pins.v[f->pin0 + i];
        hr_outf(o, "      %s in front of %s x ", hr_cli_bytes(c, p->bytes), hr_cli_count(c, p->count));
        hr_out_esc(o, hr_pin_name(c->s, p, name, sizeof name));
        hr_outf(o, ", e.g. 0x%llx\n", (unsigned long long)hr_block_addr(c->s->heap, p->example));
    }
}

static void text_arena(struct hr_cli *c, size_t i)
{
    struct hr_out *o = &c->out;
    const struct hr_session *s = c->s;
    const struct hr_arena *a = &s->heap->arenas.v[i];
    const struct hr_frag_arena *f = &s->frag->arenas.v[i];
    bool trims = s->heap->allocators.v[a->allocator].gives_back;
    char name[512];
    hr_out_style(o, HR_BOLD);
    hr_out_esc(o, hr_strs_get(s->strs, a->name));
    hr_out_style(o, HR_PLAIN);
    hr_outf(o, ": %s%s, %s used, ", hr_cli_bytes(c, a->mapped), s->image.bare ? "" : " mapped", hr_cli_bytes(c, a->used_bytes));
    if (a->cached_bytes || !s->image.bare)
        hr_outf(o, "%s cached, ", hr_cli_bytes(c, a->cached_bytes));
    hr_outf(o, "%s free%s\n", hr_cli_bytes(c, a->free_bytes), a->corrupt ? " (corrupt: sums are what could be read)" : "");
    if (f->free_runs) {
        hr_outf(o, "    %s free run%s %s (largest %s", hr_cli_count(c, f->free_runs), f->free_runs == 1 ? " holds" : "s hold",
                hr_cli_bytes(c, f->run_bytes), hr_cli_bytes(c, f->largest_run));
        if (trims)
            hr_outf(o, ", %s of whole pages", hr_cli_bytes(c, f->whole_pages));
        hr_outf(o, ") between live blocks:\n");
        text_pins(c, f);
    }
    if (f->gap_bytes)
        hr_outf(o, "    %s free in one piece in the middle: what lives long was placed from the end\n      downwards, from 0x%llx on; both parts grow into it\n",
                hr_cli_bytes(c, f->gap_bytes), (unsigned long long)a->middle);
    if (f->top_bytes) {
        hr_outf(o, trims ? "    top: %s free at the end" : "    %s free at the end", hr_cli_bytes(c, f->top_bytes));
        if (trims)
            hr_outf(o, ", %s of it could be given back now", hr_cli_bytes(c, f->releasable));
        hr_outf(o, "\n");
    }
    if (trims && f->top_pin != HR_NONE && f->below_pin) {
        hr_outf(o, "    the last live block, ");
        hr_out_esc(o, hr_describe_type(c->s, f->top_pin, name, sizeof name));
        hr_outf(o, " at 0x%llx, keeps %s of free runs below it from being trimmed\n",
                (unsigned long long)hr_block_addr(s->heap, f->top_pin), hr_cli_bytes(c, f->below_pin));
    }
}

/* Who stands where the request would fit best. */
static void text_place(struct hr_cli *c, const struct hr_place *p)
{
    static const char *const heads[] = {"address", "bytes", "what", "held by"};
    struct hr_session *s = c->s;
    uint64_t most = c->all ? UINT64_MAX : c->limit ? c->limit : PINS_SHOWN, n = 0;
    hr_id at = p->first, id;
    hr_outf(&c->out, "It would fit best from 0x%llx to 0x%llx, where %s in %u block%s %s in the way:\n", (unsigned long long)p->lo,
            (unsigned long long)p->hi, hr_cli_bytes(c, p->live), p->blocks, p->blocks == 1 ? "" : "s", p->blocks == 1 ? "is" : "are");
    struct hr_tab *t = hr_tab_create(&c->out, heads, "lrll", 4);
    while (n++ < most && (id = hr_place_next(s, p, &at)) != HR_NONE) {
        char text[1024];
        hr_tab_cellf(t, "0x%llx", (unsigned long long)hr_block_addr(s->heap, id));
        hr_tab_cell(t, hr_cli_bytes(c, hr_block_size(s->heap, id)));
        hr_tab_cell(t, hr_describe_type(s, id, text, sizeof text));
        hr_tab_cell(t, hr_session_way(s, id, text, sizeof text));
    }
    hr_tab_print(t, 2);
    if (p->blocks > most)
        hr_outf(&c->out, "  [%s more: --all]\n", hr_cli_count(c, p->blocks - most));
}

/* "A request of 1.0 KiB fails although ...", or that it fits. */
static void text_request(struct hr_cli *c, const struct hr_place *p)
{
    char known[200] = "", line[900];
    if (!p)
        return;
    if (p->source == HR_REQUEST_FAILED)
        snprintf(known, sizeof known, ", which the MemoryError at 0x%llx tells of,", (unsigned long long)p->error);
    else if (p->source == HR_REQUEST_LARGEST)
        snprintf(known, sizeof known, ", the size of the largest object alive,");
    else if (p->source == HR_REQUEST_SIZES)
        snprintf(known, sizeof known, ", of which %s blocks are in use,", hr_cli_count(c, p->alike));
    hr_outf(&c->out, "\n");
    /* To the byte: a request and the piece that is one block too small round to the same KiB. */
    size_t n = (size_t)snprintf(line, sizeof line, "A request of %s bytes%s %s: %s are free, the largest piece has %s", hr_cli_count(c, p->request),
                                known, p->fits ? "fits" : c->s->image.bare ? "fails" : "needs new memory from the system",
                                hr_cli_count(c, p->free), hr_cli_count(c, p->longest));
    if (p->longest_then != p->longest)
        n += (size_t)snprintf(line + n, sizeof line - n, ", behind gc.collect() %s", hr_cli_count(c, p->longest_then));
    if (p->room)
        snprintf(line + n, sizeof line - n, "; the heap can still grow by %s", hr_cli_count(c, p->room));
    hr_out_style(&c->out, HR_BOLD);
    hr_out_wrap(&c->out, 0, line);
    hr_out_style(&c->out, HR_PLAIN);
    if (!p->fits && p->hi)
        text_place(c, p);
    else if (!p->fits)
        hr_outf(&c->out, "No heap is that large.\n");
}

/* "1024", "0x400", "1k". */
static bool take_bytes(const char *z, uint64_t *ret)
{
    char *end;
    *ret = strtoull(z, &end, 0);
    const char *unit = *end ? strchr("kKmMgG", *end) : NULL;
    bool ok = *z >= '0' && *z <= '9' && *ret && (!*end || (unit && !end[1]));
    if (ok && unit)
        ok = hr_mul(*ret, 1024ull << (unit - "kKmMgG") / 2 * 10, ret);
    if (!ok)
        hr_cli_error(0, "'%s' is no number of bytes: 1024, 0x400, 1k", z);
    return ok;
}

static int run(struct hr_cli *c)
{
    struct hr_place place;
    uint64_t asked = 0;
    if (c->args.n && !take_bytes(c->args.v[0], &asked))
        return HR_EXIT_USAGE;
    enum hr_status st = c->s->want_types ? hr_session_types(c->s) : HR_OK;
    if (st == HR_OK)
        st = hr_session_frag(c->s);
    bool want = st == HR_OK && (asked || c->s->image.bare || hr_runtimes_self(c->s->runtimes, "micropython"));
    if (want)
        st = hr_place_find(c->s, asked, &place);
    want &= st == HR_OK;
    if (st != HR_ABSENT && !hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (c->json || c->ndjson) {
        frag_json(c, want ? &place : NULL);
        return hr_cli_exit(c);
    }
    size_t shown = 0;
    for (size_t i = 0; i < c->s->heap->arenas.n; i++)
        if (c->s->heap->arenas.v[i].mapped && (c->all || shown++ < 20))
            text_arena(c, i);
    if (!c->all && shown > 20)
        hr_outf(&c->out, "[%s other arenas: --all]\n", hr_cli_count(c, shown - 20));
    text_request(c, want ? &place : NULL);
    hr_cli_text_notes(c);
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_frag = {
    .name = "frag", .args = "[BYTES]", .max_args = 1, .summary = "fragmentation: free runs and the live blocks that pin them",
    .help = "For every arena: how much is used, cached and free, how the free part is broken into runs, which live blocks (by "
            "type) stand behind those runs and keep them from merging, what could be given back to the system now, and which "
            "block keeps the rest. Then why a request of BYTES fails although more is free: the largest piece, and which live blocks, held by "
            "whom, stand where it would fit best. Without BYTES a microcontroller's image is asked what failed: the MemoryError in a "
            "MicroPython heap, or sizes in use that no free piece would do for. --all shows every arena and type; --json adds the size classes.",
    .needs_image = true, .types = true, .run = run,
};
