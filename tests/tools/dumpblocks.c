/* Developers' tool: blocks and roots of a core, one line each, for the truth tests.
 *   dumpblocks [--exe FILE] [--no-types] [--no-reach] [--roots] [--quiet] [--assume ADDR=TYPE] CORE
 * block ADDR SIZE STATE REACH EVIDENCE OWNER-ADDR TYPE
 * root KIND ADDR SIZE THREAD NAME : TYPE */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/native_api.h"
#include "analyzer/session.h"

static void blocks(struct hr_session *s)
{
    char name[1024];
    struct hr_block_iter it = hr_block_iter(s->heap, 0);
    void *native = hr_runtimes_self(s->runtimes, "native");
    const struct hr_group *groups = NULL;
    hr_native_groups(native, &groups);
    for (hr_id id = 0; id < s->heap->n; id++) {
        uint64_t addr = hr_block_next(&it);
        hr_id owner = s->heap->owner ? s->heap->owner[id] : HR_NONE;
        uint32_t g = hr_native_group_of(native, id);
        hr_type t = s->heap->type ? s->heap->type[id] : 0;
        printf("block %#llx %llu %s %s \"%s\" %#llx %s\n", (unsigned long long)addr,
               (unsigned long long)hr_block_size(s->heap, id), hr_state_name(s->heap->state[id]),
               s->heap->reach ? hr_reach_name(s->heap->reach[id]) : "-",
               s->heap->evidence && t ? hr_evidence_name(s->heap->evidence[id]) : "-",
               (unsigned long long)(owner == HR_NONE ? 0 : hr_node_addr(s->heap, owner)),
               t ? hr_type_name(s->types, t, name, sizeof name) : g == HR_NONE ? "-" : groups[g].name);
    }
}

static void roots(struct hr_session *s)
{
    char name[1024];
    for (size_t i = 0; i < s->heap->roots.n; i++) {
        const struct hr_root *r = &s->heap->roots.v[i];
        printf("root %d %#llx %llu %d %s : %s\n", r->kind, (unsigned long long)r->addr, (unsigned long long)r->size,
               (int)r->thread, hr_strs_get(s->strs, r->name), r->type ? hr_type_name(s->types, r->type, name, sizeof name) : "-");
    }
    printf("roots_complete %d\n", s->heap->roots_complete);
}

int main(int argc, char **argv)
{
    const char *assume[16];
    struct heapray_options o = {.assume = assume, .no_cache = true};
    bool types = true, reach = true, show_roots = false, quiet = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--exe") && i + 1 < argc)
            o.exe = argv[++i];
        else if (!strcmp(argv[i], "--assume") && i + 1 < argc && o.nassume < 16)
            assume[o.nassume++] = argv[++i];
        else if (!strcmp(argv[i], "--no-types"))
            types = false;
        else if (!strcmp(argv[i], "--no-reach"))
            reach = false;
        else if (!strcmp(argv[i], "--quiet"))
            quiet = true;
        else if (!strcmp(argv[i], "--roots"))
            show_roots = true;
        else
            o.image = argv[i];
    }
    struct hr_session *s = NULL;
    enum hr_status st = o.image ? hr_session_open(&o, types, &s) : HR_USAGE;
    if (st == HR_OK)
        st = types ? hr_session_types(s) : hr_session_roots(s);
    if (st == HR_OK && reach)
        st = hr_session_reach(s);
    if (st == HR_OK) {
        if (!quiet)
            blocks(s);
        if (show_roots)
            roots(s);
        const struct hr_group *g;
        if (types && hr_native_reach_hint(hr_runtimes_self(s->runtimes, "native"), &g) == HR_OK)
            printf("hint %s: %llu blocks, %llu bytes; reach %llu blocks, %llu bytes\n", g->name,
                   (unsigned long long)g->count, (unsigned long long)g->bytes, (unsigned long long)g->reach_blocks,
                   (unsigned long long)g->reach_bytes);
    }
    for (size_t i = 0; s && i < s->notes.list.n; i++)
        printf("note %s: %s\n", s->notes.list.v[i].code, s->notes.list.v[i].text);
    if (st != HR_OK)
        fprintf(stderr, "dumpblocks: %s %s\n", hr_status_name(st), s ? s->error : "");
    if (s)
        hr_session_close(s);
    return st != HR_OK;
}
