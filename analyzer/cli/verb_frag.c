#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/model.h"

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

static void frag_json(struct hr_cli *c)
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
        if (f->top_pin != HR_NONE)
            hr_json_addr(&j, "top_pin", hr_block_addr(s->heap, f->top_pin));
        else
            hr_json_null(&j, "top_pin");
        hr_json_num(&j, "below_pin", f->below_pin);
        json_pins(c, &j, f, 50);
        hr_json_end(&j);
    }
    hr_json_end(&j);
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
    hr_outf(o, ": %s mapped, %s used, %s cached, %s free%s\n", hr_cli_bytes(c, a->mapped), hr_cli_bytes(c, a->used_bytes),
            hr_cli_bytes(c, a->cached_bytes), hr_cli_bytes(c, a->free_bytes), a->corrupt ? " (corrupt: sums are what could be read)" : "");
    if (f->free_runs) {
        hr_outf(o, "    %s free run%s %s (largest %s", hr_cli_count(c, f->free_runs), f->free_runs == 1 ? " holds" : "s hold",
                hr_cli_bytes(c, f->run_bytes), hr_cli_bytes(c, f->largest_run));
        if (trims)
            hr_outf(o, ", %s of whole pages", hr_cli_bytes(c, f->whole_pages));
        hr_outf(o, ") between live blocks:\n");
        text_pins(c, f);
    }
    if (f->top_bytes) {
        hr_outf(o, "    top: %s free at the end", hr_cli_bytes(c, f->top_bytes));
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

static int run(struct hr_cli *c)
{
    enum hr_status st = hr_session_frag(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (c->json || c->ndjson) {
        frag_json(c);
        return hr_cli_exit(c);
    }
    size_t shown = 0;
    for (size_t i = 0; i < c->s->heap->arenas.n; i++)
        if (c->s->heap->arenas.v[i].mapped && (c->all || shown++ < 20))
            text_arena(c, i);
    if (!c->all && shown > 20)
        hr_outf(&c->out, "[%s other arenas: --all]\n", hr_cli_count(c, shown - 20));
    hr_cli_text_notes(c);
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_frag = {
    .name = "frag", .args = "", .summary = "fragmentation: free runs and the live blocks that pin them",
    .help = "For every arena: how much is used, cached and free, how the free part is broken into runs, which live blocks (by "
            "type) stand behind those runs and keep them from merging, what could be given back to the system now, and which "
            "block keeps the rest. --all shows every arena and type; --json adds the size classes.",
    .needs_image = true, .types = true, .run = run,
};
