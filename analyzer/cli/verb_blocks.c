#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/owners.h"

/* Filters of the command line, resolved once. */
struct filter {
    int state;          /* -1: all */
    const char *type;
};

static bool wanted(struct hr_cli *c, const struct filter *f, hr_id id)
{
    const struct hr_heap *h = c->s->heap;
    uint8_t state = h->state[id];
    if (state == HR_OWN || (f->state >= 0 && state != f->state))
        return false;
    if (!f->type)
        return true;
    char name[1024];
    hr_describe_type(c->s, id, name, sizeof name);
    return strstr(name, f->type) != NULL;
}

/* HOST blocks are in use: another allocator's region fills them. */
static const char *state_word(uint8_t state) { return state == HR_HOST ? "used" : hr_state_name(state); }

static void json_block(struct hr_cli *c, struct hr_json *j, hr_id id, uint64_t addr)
{
    struct hr_session *s = c->s;
    const struct hr_heap *h = s->heap;
    uint32_t arena = hr_block_arena(h, id);
    bool used = h->state[id] == HR_USED || h->state[id] == HR_HOST;
    hr_type type = used && h->type ? h->type[id] : 0;
    char name[2048];
    hr_json_obj(j, NULL);
    hr_json_addr(j, "addr", addr);
    hr_json_num(j, "size", hr_block_size(h, id));
    hr_json_str(j, "state", state_word(h->state[id]));
    hr_json_str(j, "allocator", h->allocators.v[h->arenas.v[arena].allocator].name);
    hr_json_str(j, "arena", hr_strs_get(s->strs, h->arenas.v[arena].name));
    hr_json_str(j, "type", type ? hr_type_name(s->types, type, name, sizeof name) : NULL);
    hr_json_str(j, "surety", type && h->evidence ? hr_surety_name(hr_evidence_surety(h->evidence[id])) : NULL);
    uint8_t reach = used && h->reach ? h->reach[id] : HR_REACH_UNKNOWN;
    hr_json_str(j, "reach", reach ? hr_reach_name(reach) : NULL);
    hr_id owner = used && h->owner ? h->owner[id] : HR_NONE;
    if (owner != HR_NONE)
        hr_json_addr(j, "owner", hr_owner_addr(h, owner));
    else
        hr_json_null(j, "owner");
    if (s->owners && used)
        hr_json_str(j, "owned", hr_owned_name(s->owners->of[id]));
    if (c->retained) {
        if (used && s->retained)
            hr_json_num(j, "retained", s->retained[id]);
        else
            hr_json_null(j, "retained");
    }
    hr_json_end(j);
}

static void print_json(struct hr_cli *c, const struct filter *f)
{
    struct hr_json j;
    const struct hr_heap *h = c->s->heap;
    uint64_t left = c->limit ? c->limit : UINT64_MAX;
    hr_cli_json_begin(c, &j);
    if (c->ndjson)
        hr_json_end(&j);
    else
        hr_json_arr(&j, "blocks");
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n && left && !c->out.failed) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (!wanted(c, f, id))
            continue;
        left--;
        json_block(c, &j, id, addr);
    }
    if (!c->ndjson) {
        hr_json_end(&j);
        hr_json_end(&j);
    }
}

static void print_text(struct hr_cli *c, const struct filter *f)
{
    const struct hr_heap *h = c->s->heap;
    uint64_t left = c->limit ? c->limit : UINT64_MAX;
    struct hr_block_iter it = hr_block_iter(h, 0);
    hr_outf(&c->out, "%-18s %10s %-6s %-15s %s\n", "address", "bytes", "state", "reach", "type");
    while (it.id < h->n && left && !c->out.failed) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (!wanted(c, f, id))
            continue;
        left--;
        bool used = h->state[id] == HR_USED || h->state[id] == HR_HOST;
        char name[1024];
        hr_outf(&c->out, "0x%-16llx %10llu %-6s %-15s ", (unsigned long long)addr, (unsigned long long)hr_block_size(h, id),
                state_word(h->state[id]), used && h->reach && h->reach[id] ? hr_reach_name(h->reach[id]) : "-");
        if (used && h->type && h->type[id])
            hr_out_esc(&c->out, hr_type_name(c->s->types, h->type[id], name, sizeof name));
        else
            hr_outf(&c->out, "-");
        hr_outf(&c->out, "\n");
    }
}

static int run(struct hr_cli *c)
{
    struct filter f = {.state = -1, .type = c->type};
    if (c->state) {
        f.state = !strcmp(c->state, "used") ? HR_USED : !strcmp(c->state, "cached") ? HR_CACHED : !strcmp(c->state, "free") ? HR_FREE : -1;
        if (f.state < 0)
            return hr_cli_error(HR_EXIT_USAGE, "--state takes used, cached or free, not '%s'", c->state);
    }
    enum hr_status st = hr_session_types(c->s);
    if (st == HR_OK)
        st = hr_session_reach(c->s);
    if (st == HR_OK && (c->json || c->ndjson) && hr_runtimes_managed(c->s->runtimes))
        st = hr_session_owners(c->s);
    if (st == HR_OK && c->retained)
        st = hr_session_dominators(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (c->json || c->ndjson) {
        print_json(c, &f);
    } else {
        print_text(c, &f);
        hr_cli_text_notes(c);
    }
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_blocks = {
    .name = "blocks", .args = "", .summary = "every block: address, bytes, state, reach, type",
    .help = "Lists every block of the heap in address order. --state used|cached|free and --type TEXT choose, --retained adds "
            "retained sizes, --ndjson gives one JSON object a line, --limit N stops after N.",
    .needs_image = true, .types = true, .run = run,
};
