/* The model: what rules may ask. Tables (sources) of rows with typed attributes; questions answered with bounded values or
 * "unknown". The session registers the tables; rules cannot read memory, so cannot crash on it. */
#ifndef HR_RULES_MODEL_H
#define HR_RULES_MODEL_H

#include "analyzer/base/strs.h"

enum hr_vkind { HR_V_UNKNOWN, HR_V_BOOL, HR_V_NUM /* u64/i64/double */, HR_V_STR, HR_V_TYPE /* a type: compares by name */, HR_V_ROW /* a row of another table */ };

struct hr_value {
    uint8_t kind;              /* enum hr_vkind */
    uint8_t is_float;          /* NUM: f, else i */
    uint16_t table;            /* ROW: index of its table */
    uint32_t type;             /* TYPE: hr_type id, for the once-per-type regex cache */
    union {
        bool b;
        int64_t i;             /* numbers are signed 64; larger stop at INT64_MAX */
        double f;
        uint64_t row;
    };
    const char *s;             /* STR/TYPE: text, valid until the next question to the same attribute; not owned */
    size_t n;
};

enum hr_cost { HR_COST_TYPE, HR_COST_OBJECT, HR_COST_EDGE, HR_COST_DOMINATORS, HR_COST_PATHS };
/* What has to be computed before an attribute can be asked; the session does it before the evaluation starts. */
enum { HR_NEED_REACH = 1, HR_NEED_TYPES = 2, HR_NEED_GRAPH = 4, HR_NEED_DOMINATORS = 8, HR_NEED_SCC = 16, HR_NEED_FRAG = 32,
       HR_NEED_RUNTIME = 64, HR_NEED_STRINGS = 128 };

struct hr_model;
struct hr_attr {
    const char *name;
    uint8_t kind;              /* enum hr_vkind it answers with (or UNKNOWN for single rows) */
    uint8_t cost;              /* enum hr_cost */
    uint32_t needs;            /* HR_NEED_* */
    const char *doc;           /* one sentence, unit included: `heapray rules attrs` prints it */
    void (*get)(void *ctx, uint64_t row, struct hr_value *ret);
    /* Column shortcut: when not NULL, the value is col[row] (unsigned, of `width` 1, 2, 4 or 8 bytes), no call is made. */
    const void *col;
    uint8_t width;
    const char *row_table;     /* ROW: name of the table it points into */
    /* STR with `col`: an enumeration, the text is names[col[row]] (NULL or beyond nnames: unknown). Comparing it with a
     * literal is then comparing numbers, and a misspelt literal is an error of the rule. */
    const char *const *names;
    uint32_t nnames;
};
struct hr_table {
    const char *name;          /* "objects", "types", "arenas", "cycles", "leaks", … */
    const char *doc;
    uint32_t needs;            /* before n is known */
    uint64_t (*count)(void *ctx);
    const struct hr_attr *attrs;
    size_t nattrs;
    void *ctx;
    /* When not NULL, only rows with live_col[row] == live_val exist (objects: the blocks in use). */
    const uint8_t *live_col;
    uint8_t live_val;
    /* The subject of a finding about a row: address and type name (unescaped, into buf); false when it has none. */
    bool (*subject)(void *ctx, uint64_t row, uint64_t *addr_ret, char *type_buf, size_t cap);
    /* o->field: the program's own field, by DWARF or by the runtime. NULL: the table has none. */
    void (*field)(void *ctx, uint64_t row, const char *name, struct hr_value *ret);
    /* Why the image cannot have such rows ("there is no CPython in the image"), NULL when it can: rules over them are skipped, which
     * is not the same as clean. May be NULL itself. */
    const char *(*absent)(void *ctx);
};
struct hr_global {             /* heap.used, target, … : attributes of the whole image */
    const char *name;          /* dotted */
    uint8_t kind;
    uint32_t needs;
    const char *doc;
    void (*get)(void *ctx, struct hr_value *ret);
    void *ctx;
};
struct hr_model {
    const struct hr_table *tables;
    size_t ntables;
    const struct hr_global *globals;
    size_t nglobals;
    /* The path that holds a row, appended to a finding's trace (trace clause). NULL: none. */
    enum hr_status (*trace)(void *ctx, const char *table, uint64_t row, void *hopvec);
    void *trace_ctx;
    /* Does the program have a type of this name at all? A rule about an absent type is skipped, not clean. NULL: the table
     * "types" (attribute "name") is asked. */
    bool (*type_known)(void *ctx, const char *name);
    /* The value of an enumerator of the program (`enum SESSION_CLOSED`). NULL: none are known. */
    bool (*enum_value)(void *ctx, const char *name, int64_t *ret);
    void *names_ctx;
};

/* Conventions the engine relies on (all optional):
 *   attribute "bytes", else "size"   what a row weighs: the finding's bytes, and which row of a group is the worst
 *   attribute "surety"               NUM, enum hr_surety: a finding gets the weakest of its rows
 *   attribute "location"             STR, "server.c:120"
 *   global "image.path"              what `{image}` stands for in a rule's `next` command
 *   global "image.options"           what is put behind such a command: options, as a shell needs them
 *   needs HR_NEED_STRINGS            the attribute's text is contents of memory: shown only when the user allows it */

#endif
