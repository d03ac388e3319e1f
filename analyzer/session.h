/* The session: the line from files to answers, each stage made once and only when something asks for it.
 *
 *   open files -> image -> symbols -> allocators walk -> heap -> runtimes (roots) -> mark -> leaks
 *                                                     -> classify (types) -> graph -> dominators, cycles -> rules */
#ifndef HR_SESSION_H
#define HR_SESSION_H

#include "analyzer/allocators/allocators.h"
#include "analyzer/graph/graph.h"
#include "analyzer/heap/frag.h"
#include "analyzer/heap/mark.h"
#include "analyzer/heapray.h"
#include "analyzer/runtimes/runtime.h"
#include "formats/image/format.h"

struct hr_cycle { uint32_t member0, members; uint64_t bytes; bool leaked; };
HR_VEC(hr_cyclevec, struct hr_cycle)

/* One row of the type histogram. */
struct hr_typerow {
    hr_type type;              /* 0: untyped */
    uint32_t group;            /* untyped: index of the native runtime's unnamed group, HR_NONE = in none */
    uint8_t evidence;          /* the weakest of its blocks */
    uint64_t count, bytes, retained, leaked_count, leaked_bytes, largest;
    hr_id largest_id;
};
HR_VEC(hr_typerowvec, struct hr_typerow)

struct hr_session {
    struct heapray_options opt;
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_file *files[17];
    size_t nfiles;
    bool have_image;
    struct hr_image image;
    struct hr_open_options open_opt;
    struct hr_dwarf_options dwarf_opt;
    struct hr_types *types;
    struct hr_heap *heap;
    struct hr_rtos *rtos;          /* tasks of a real-time kernel, NULL none */
    struct hr_stacks *stacks;      /* with locals when want_types */
    struct hr_runtime_in rin;
    struct hr_runtimes *runtimes;
    void *native;                  /* the native runtime's self, NULL none: asked once per block by the histogram */
    bool replaces_file;            /* something will be renamed at the end: the gate must leave that */
    bool gated;
    bool want_types;               /* decided before the roots are made: DWARF is read for roots and locals */
    bool classified, marked;
    struct hr_leaks *leaks;
    struct hr_graph *graph, *rev;
    hr_id *entries;                /* root nodes that keep things alive */
    uint32_t nentries;
    uint32_t *idom;                /* per node; graph->n = virtual root */
    uint64_t *retained;
    uint64_t *heaviest;            /* per node: the most that one of those it alone holds retains; made when asked for */
    struct hr_cyclevec cycles;
    struct hr_u32vec cycle_members;
    bool have_cycles;
    struct hr_typerowvec hist;
    bool have_hist, have_type_retained;
    struct hr_frag *frag;
    struct hr_survey *survey;      /* survey.h */
    struct hr_owners *owners;      /* owners.h */
    struct hr_place *place;        /* place.h, of the request that the image itself tells of */
    char error[512];               /* why the last stage failed, a sentence */
};

/* Opens the image. *error is in s->error on failure. want_types: whether debug information shall be read at all. */
enum hr_status hr_session_open(const struct heapray_options *opt, bool want_types, struct hr_session **ret) HR_MUST;
void hr_session_close(struct hr_session *s);

/* Stages; each calls what it needs and is idempotent. */
enum hr_status hr_session_heap(struct hr_session *s) HR_MUST;
enum hr_status hr_session_roots(struct hr_session *s) HR_MUST;
enum hr_status hr_session_reach(struct hr_session *s) HR_MUST;
enum hr_status hr_session_types(struct hr_session *s) HR_MUST;
enum hr_status hr_session_graph(struct hr_session *s) HR_MUST;
enum hr_status hr_session_reverse(struct hr_session *s) HR_MUST;
enum hr_status hr_session_dominators(struct hr_session *s) HR_MUST;
enum hr_status hr_session_cycles(struct hr_session *s) HR_MUST;
enum hr_status hr_session_hist(struct hr_session *s) HR_MUST;   /* type histogram of used blocks, by bytes */
enum hr_status hr_session_type_retained(struct hr_session *s) HR_MUST; /* the histogram's `retained` */
enum hr_status hr_session_frag(struct hr_session *s) HR_MUST;
enum hr_status hr_session_survey(struct hr_session *s) HR_MUST; /* what the memory is used for */
/* All stages for a set of HR_NEED_* (rules/engine/model.h). */
enum hr_status hr_session_need(struct hr_session *s, uint32_t needs) HR_MUST;

/* What decides a block's row in the histogram: its type, or the unnamed group it is in. */
uint64_t hr_hist_key(const struct hr_session *s, hr_id id);
/* Name of a row: a type's, a group's, or "untyped". Unescaped; returns buf. */
char *hr_hist_name(const struct hr_session *s, const struct hr_typerow *r, char *buf, size_t cap);
/* Does this root keep things alive? */
bool hr_root_strong(const struct hr_root *r);
/* Sums over arenas; what lies in a heap nested in another's block is counted once. */
struct heapray_totals hr_session_totals(const struct hr_session *s);

/* ---- what to run next (analyzer/command.c); as a shell needs it, return buf ---- */
/* The options without which the same question would get a poorer answer: --elf, --with, --regs ...; "" none. */
char *hr_session_options(const struct hr_session *s, char *buf, size_t cap);
/* "heapray show ram.bin@0x20000000 0x20000040 --elf firmware.elf". */
char *hr_session_command(const struct hr_session *s, const char *verb, const char *rest, char *buf, size_t cap);

/* ---- words about nodes (analyzer/describe.c); all unescaped, return buf ---- */
/* "struct node", "untyped 48 bytes", "text (char[])"; for roots: "global g_cache", "local req of handle() server.c:120". */
char *hr_describe_type(struct hr_session *s, hr_id node, char *buf, size_t cap);
char *hr_describe_root(struct hr_session *s, const struct hr_root *r, char *buf, size_t cap);
const char *hr_root_kind_name(unsigned kind);
/* How `from` holds `to`: ".next", ".slots[3]", "+24"; surety of that edge in *surety_ret (may be NULL). */
char *hr_describe_edge(struct hr_session *s, hr_id from, hr_id to, char *buf, size_t cap, uint8_t *surety_ret);
/* A phrase on a block's content without showing it: "text, 38 bytes", "5 pointers, 3 small integers", "zeros". */
char *hr_describe_shape(struct hr_session *s, hr_id block, char *buf, size_t cap);
/* Shortest path from a strong root, root first; HR_ABSENT when none. Builds the reverse graph on first use. */
enum hr_status hr_session_path(struct hr_session *s, hr_id node, const struct hr_bits *banned, uint32_t *path, uint32_t cap,
                               uint32_t *len_ret) HR_MUST;
/* That path in a line: "__main__['keep'].items[3]", "global g_log in fw.elf .head .next"; "nothing holds it". */
char *hr_session_way(struct hr_session *s, hr_id node, char *buf, size_t cap);
/* The most that one of the nodes it alone holds retains, 0 none or unknown. Wants dominators. */
uint64_t hr_session_heaviest(struct hr_session *s, hr_id node);
const char *hr_base_name(const char *path);
/* What an address is, for humans: "48-byte block …", "in global g_x", "code of foo() + 12", "not in the image". */
char *hr_describe_addr(struct hr_session *s, uint64_t addr, char *buf, size_t cap);

#endif
