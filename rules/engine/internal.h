/* Inside the engine: tokens, syntax tree, rules, programs. Nobody outside rules/engine includes this.
 *
 * The line: text -> lex.c -> parse.c, expr.c (tree) -> check.c (names and kinds) -> compile.c (programs) -> run.c with vm.c.
 * Everything the tree needs lives in one arena that dies with the rules. */
#ifndef HR_RULES_INTERNAL_H
#define HR_RULES_INTERNAL_H

#include <string.h>

#include "analyzer/base/limits.h"
#include "rules/engine/rules.h"

/* ---- source and tokens ---- */
struct src {
    const char *name, *text;   /* text is NUL-terminated */
    size_t n;
    const char *path;          /* file it came from, for includes; NULL: none are possible */
    const char *pack;          /* name of the pack it declares */
    const struct src *parent;  /* the file that includes it */
    uint64_t dev, ino;
    unsigned depth;
    bool lenient;              /* built in: a table this model has not is a reason to skip a rule, no error */
};

enum tok_kind {                /* single characters stand for themselves */
    T_END = 256, T_ID, T_NUM, T_STR, T_REGEX, T_PATH, T_DATE, T_EQ, T_NE, T_LE, T_GE, T_NOMATCH, T_ARROW, T_BAD,
};
struct tok {
    uint16_t kind;
    bool percent, is_float, line_start;
    uint8_t quote;             /* STR: length of the quote, 1 or 3 */
    uint32_t pos, len;         /* in the source */
    int64_t i;                 /* NUM (without unit scale lost: 64 KiB is 65536), DATE as yyyymmdd */
    double f;
    uint32_t flags;            /* REGEX: PCRE2 options */
};

struct lexer {
    struct hr_rules *r;
    struct src *src;
    uint32_t at, end;
    uint16_t prev;
    struct tok t;              /* the token looked at */
    uint32_t prev_end;         /* where the token before it ended */
    unsigned nest;             /* of the expression being parsed */
    bool gave_up;              /* too many errors */
};
void hr_lex_start(struct lexer *l, struct hr_rules *r, struct src *src, uint32_t from, uint32_t to);
void hr_lex_next(struct lexer *l);
bool hr_lex_is(const struct lexer *l, const char *word); /* an identifier spelt like this */
/* Text of a string token: escapes replaced, """ texts with runs of white space made one space. NULL: no memory. */
const char *hr_lex_text(struct hr_rules *r, const struct src *src, uint32_t from, uint32_t to, bool raw);

/* ---- tree ---- */
enum node_kind {
    N_NUM, N_STR, N_BOOL, N_REGEX, N_NAME, N_ATTR, N_FIELD, N_CALL, N_NOT, N_NEG, N_BIN, N_IN, N_IS, N_EXISTS, N_ENUM,
    /* made by the checker */
    N_VAR, N_GLOBAL, N_LET, N_GROUP, N_UNKNOWN,
};
enum bin_op { B_OR, B_AND, B_EQ, B_NE, B_LT, B_LE, B_GT, B_GE, B_MATCH, B_NOMATCH, B_ADD, B_SUB, B_MUL, B_DIV };
enum { K_ANY = HR_V_UNKNOWN, K_BAD = 255 }; /* beside enum hr_vkind: decided at run time; an error was reported */
enum group_value { G_COUNT, G_BYTES, G_WASTE };

struct source {
    const char *name;          /* "objects", or of a set */
    const char *of;            /* type's name, or of a `type`; NULL none */
    uint32_t pos, of_pos;
    bool of_quoted;
    const struct hr_table *table; /* resolved */
    struct set *set;
};
struct node {
    uint8_t kind, orig, op, vk; /* vk: enum hr_vkind after the check; orig: kind before it */
    bool is_float, negated, percent;
    uint16_t depth;
    uint32_t pos;
    struct src *src;
    struct node *a, *b, *c;
    struct node **args;
    uint32_t nargs;
    const char *text;          /* names and texts */
    double f;
    int64_t i;
    struct source *source;     /* EXISTS */
    /* resolved by the checker */
    const struct hr_attr *attr;
    const struct hr_table *table; /* of a ROW value, or where attr lives */
    const struct hr_global *global;
    struct set *set;
    uint32_t id;               /* VAR: its number; REGEX: index; CALL: function; aggregates: index */
};
struct piece {                 /* of a template: text or expression */
    const char *text;
    struct node *expr;
    bool contents;             /* shows contents of memory */
};
struct tmpl {
    struct piece *v;
    uint32_t n;
    const char *plain;         /* as written, for lists of rules */
};

struct let { const char *name; struct node *expr; struct src *src; uint32_t pos; bool checking, checked; uint32_t needs, depth; const char *skip; };
struct set { const char *name, *var; struct source source; struct node *where; uint32_t pos, var_id; struct src *src; bool checking, checked, bad; uint32_t needs, depth; const char *skip; };
struct alias { const char *name, *type; };
struct allow {
    const char *name, *reason;
    const char **rules;
    uint32_t nrules, expires, pos, var_id;
    struct node *where;
    uint64_t max_count;
    struct src *src;
    struct prog *prog;
};

/* ---- programs ---- */
struct insn {
    uint8_t op, x;
    uint16_t dst, a, b;
    uint32_t k, k2;
};
HR_VEC(insnvec, struct insn)
HR_VEC(valuevec, struct hr_value)
struct site {                  /* one place where an attribute is asked */
    const struct hr_attr *attr;
    const struct hr_table *table;
    bool copy;                 /* its text has to outlive the next question */
};
HR_VEC(sitevec, struct site)
struct tcache { uint64_t *w; uint64_t n; }; /* two bits per type id: 0 not asked, 1 false, 2 true, 3 unknown */
struct prog {
    struct insnvec code;
    struct valuevec consts;
    struct sitevec sites;
    struct tcache *caches;
    uint32_t ncaches, nregs;
    bool too_large;
};

struct rule {
    const char *name;
    struct src *src;
    uint32_t pos;
    bool diff;                 /* a `diff` statement: over several images */
    bool budget, redact, suspects, has_severity, has_match, chosen, off, bytes_max;
    enum hr_severity severity;
    const char *tags, *precision;
    struct tmpl title, help, remedy, next;
    const char *var;
    uint32_t var_id;
    struct source source;
    struct node *where, *report_if, *trace, *count, *bytes, *when;
    struct node **group, **key;
    uint32_t ngroup, nkey, members;
    /* after the check */
    const char *skip;          /* why it cannot run, NULL when it can */
    uint32_t needs;
    struct prog *p_where, *p_count, *p_bytes, *p_report, *p_when, **p_group, **p_key, **p_agg, **p_title, **p_help,
        **p_remedy, **p_next;
    struct node **agg;         /* aggregates met in the group's texts and conditions */
    uint32_t nagg;
};
HR_VEC(rulevec, struct rule *)
HR_VEC(letvec, struct let *)
HR_VEC(setvec, struct set *)
HR_VEC(aliasvec, struct alias)
HR_VEC(allowvec, struct allow *)
HR_VEC(regexvec, struct regex *)
HR_VEC(progvec, struct prog *)

struct regex {
    const char *text;
    void *code, *match;        /* pcre2_code, pcre2_match_data */
    uint64_t gave_up;          /* texts on which the match limit was reached */
};

struct hr_rules {
    struct hr_rules_chunk *chunks; /* the arena */
    size_t used_bytes;
    struct hr_ruleerrvec errors;
    bool has_errors, no_memory, show_contents, checked;
    uint32_t nincludes, next_var, today, resolving;
    struct rulevec rules;
    struct letvec lets, sets_given; /* the second from the command line: they win */
    struct setvec sets;
    struct aliasvec aliases;
    struct allowvec allows;
    struct regexvec regexes;
    struct progvec progs;
    const struct hr_model *model;
    bool diffs;                /* `diff` statements are judged, and no rules */
    const char *only;          /* the last pattern */
    void *match_ctx;           /* pcre2_match_context */
    bool setting;              /* lets being parsed come from the command line */
    struct hr_table findings_table; /* what an `allow` asks about */
    struct hr_findings *findings;
};

/* arena.c */
void *hr_rules_take(struct hr_rules *r, size_t n); /* zeroed; NULL: no memory, and r->no_memory */
const char *hr_rules_keep(struct hr_rules *r, const char *p, size_t n);
const char *hr_rules_printf(struct hr_rules *r, const char *fmt, ...) HR_PRINTF(2, 3);
void hr_rules_arena_free(struct hr_rules *r);

/* error.c */
void hr_rules_error(struct hr_rules *r, const struct src *src, uint32_t pos, const char *hint, const char *fmt, ...)
    HR_PRINTF(5, 6);
void hr_rules_warn(struct hr_rules *r, const struct src *src, uint32_t pos, const char *fmt, ...) HR_PRINTF(4, 5);
/* Did-you-mean: feed the candidates, then ask. */
struct suggest { const char *word, *best; unsigned distance; };
void hr_suggest(struct suggest *s, const char *candidate);

/* parse.c, expr.c, template.c, clause.c */
void hr_parse(struct hr_rules *r, struct src *src);
struct node *hr_parse_expr(struct lexer *l);          /* NULL after an error, which was reported */
bool hr_parse_source(struct lexer *l, struct source *ret);
bool hr_parse_template(struct lexer *l, struct tmpl *ret); /* the token looked at is a string */
bool hr_parse_clause(struct lexer *l, struct rule *rule);
bool hr_clause_word(const struct lexer *l);
const char *hr_parse_dotted(struct lexer *l);          /* a.b.c; NULL after an error */
const char *hr_parse_id(struct lexer *l, const char *what);
const char *hr_parse_string(struct lexer *l, const char *what);
bool hr_expect(struct lexer *l, int kind, const char *what);
void hr_syntax(struct lexer *l, const char *what);     /* "expected WHAT, found `x`" at the token looked at */
/* A later one of the same name replaces an earlier one. */
enum hr_status hr_let_keep(struct hr_rules *r, struct let *let) HR_MUST;
enum hr_status hr_rule_keep(struct hr_rules *r, struct rule *rule) HR_MUST;
enum hr_status hr_rules_include(struct hr_rules *r, const struct src *from, uint32_t pos, const char *name);

/* check.c, names.c */
struct var { const char *name; uint32_t id; const struct hr_table *table; };
struct scope {
    struct hr_rules *r;
    struct rule *rule;         /* NULL: none (let, allow) */
    struct var vars[10];
    unsigned nvars;
    bool group;                /* aggregates and group.* mean something here */
    bool aggregate;            /* inside one */
    bool implicit;             /* bare attribute names are of vars[0] */
    bool soft;                 /* under `or` or `not`: an absent type makes a test false, but not the rule idle */
    uint32_t needs, depth;     /* depth: lets and sets within each other */
    const char *skip;
    const struct src *src;
};
void hr_check_rule(struct hr_rules *r, struct rule *rule);
void hr_check_allow(struct hr_rules *r, struct allow *a, const struct hr_table *findings);
enum { MAX_NAMED_DEPTH = 32 };  /* lets and sets within each other: the compiler expands them */
uint8_t hr_check_expr(struct scope *s, struct node *n);
void hr_check_want(struct scope *s, struct node *n, uint8_t kind, const char *what);
bool hr_check_source(struct scope *s, struct source *src);
void hr_resolve_name(struct scope *s, struct node *n);
void hr_resolve_attr(struct scope *s, struct node *n);
bool hr_type_known(struct hr_rules *r, const char *name);
const char *hr_type_alias(struct hr_rules *r, const char *name); /* NULL: no such `type` */
const struct hr_attr *hr_table_attr(const struct hr_table *t, const char *name);
const struct hr_table *hr_model_table(const struct hr_model *m, const char *name);
const struct hr_global *hr_model_global(const struct hr_model *m, const char *name);
struct let *hr_find_let(struct hr_rules *r, const char *name);
struct set *hr_find_set(struct hr_rules *r, const char *name);
void hr_check_let(struct hr_rules *r, struct let *l);
void hr_check_set(struct hr_rules *r, struct set *set);
const char *hr_vk_name(uint8_t vk);
bool hr_same_type_name(const char *a, size_t an, const char *b, size_t bn); /* "struct node" is "node" */

/* Functions. One line each in func.c. */
struct func {
    const char *name, *args;   /* a letter per argument: n number, t text, b truth value, v any; capital: may be left out */
    uint8_t result;            /* enum hr_vkind; K_ANY: of the first argument */
    bool aggregate;
};
extern const struct func hr_funcs[];
enum { F_MAX, F_MIN, F_ABS, F_BYTES, F_PCT, F_QUOTE, F_SIGNED, F_ADDR, F_LEN, F_PLURAL, F_IF, F_KNOWN, F_DEFAULT, F_LOWER,
       F_CONTAINS, F_STARTS, F_JOIN, F_SUM, F_AVG, F_AMAX, F_AMIN, F_COUNT, F_ANY, F_ROOT_PATH, F_N };

/* regex.c */
bool hr_regex_add(struct hr_rules *r, struct node *n);  /* sets n->id; false: reported */
void hr_regex_free(struct regex *x);
/* 1 matches, 0 not, -1 not known (limit reached). */
int hr_regex_match(struct hr_rules *r, uint32_t id, const char *p, size_t n);

/* compile.c */
enum op {
    OP_CONST, OP_ATTR, OP_COL, OP_COLTYPE, OP_COLNAME, OP_COLCMP, OP_COLENUM, OP_COLMASK, OP_GLOBAL, OP_FIELD, OP_GROUP, OP_AGG, OP_NOT,
    OP_NEG, OP_ARITH, OP_CMP, OP_MATCH, OP_TYPEIS, OP_AND, OP_OR, OP_JF, OP_JT, OP_CALL, OP_ROW0, OP_LOOP, OP_INC, OP_RET,
};
/* NULL: out of memory, or too large (reported). A source's own conditions (set, `of`) come first. */
struct prog *hr_compile(struct hr_rules *r, struct node *n, const struct source *src, uint32_t var_id);
void hr_prog_free(struct prog *p);
bool hr_compile_rule(struct hr_rules *r, struct rule *rule);

/* vm.c */
enum { VM_SCRATCH = 16384 };
struct aggval { int64_t i; double f; bool is_float; uint64_t n; };
struct vm {
    struct hr_rules *r;
    const struct hr_model *model;
    struct hr_value *regs;
    size_t nregs;
    char scratch[VM_SCRATCH];
    size_t used;
    uint64_t fuel;             /* steps of nested loops; 0: stopped, answers are unknown */
    bool out_of_fuel, redact;
    struct hr_value *globals;  /* numbers and truths of the image, asked once */
    bool *global_known;
    /* the group, for report conditions and titles */
    uint64_t g[3];
    const struct aggval *aggs;
};
enum hr_status hr_vm_init(struct vm *m, struct hr_rules *r, const struct hr_model *model) HR_MUST;
void hr_vm_deinit(struct vm *m);
/* Runs p with register 0 = row of table t. The result is valid until the next run. */
const struct hr_value *hr_vm_run(struct vm *m, const struct prog *p, const struct hr_table *t, uint64_t row);
bool hr_vm_true(const struct hr_value *v);
const char *hr_vm_text(struct vm *m, const struct prog *p, const struct hr_value *v, size_t *n_ret); /* NULL: none */
void hr_vm_number_text(const struct hr_value *v, char *buf, size_t cap); /* 1,234 */
void hr_vm_call(struct vm *m, const struct prog *p, const struct insn *in);
double hr_vm_num(const struct hr_value *v);

void hr_vm_compare_numbers(struct hr_value *ret, uint8_t op, const struct hr_value *a, const struct hr_value *b);
static inline uint64_t hr_vm_load(const struct hr_attr *a, uint64_t row)
{
    switch (a->width) {
    case 1: return ((const uint8_t *)a->col)[row];
    case 2: return ((const uint16_t *)a->col)[row];
    case 4: return ((const uint32_t *)a->col)[row];
    default: return ((const uint64_t *)a->col)[row];
    }
}

/* quick.c: a condition that begins with one column against a constant. attr NULL and not never: it does not. */
struct quick { const struct hr_attr *attr; uint8_t cmp; bool masked, never; uint64_t mask; struct hr_value bound; };
struct quick hr_quick(struct vm *m, const struct prog *p, const struct hr_table *t, uint64_t row); /* runs its beginning on that row */
uint64_t hr_quick_next(const struct quick *q, uint64_t row, uint64_t n); /* the first row from `row` on that may match; n: none */

/* run.c, group.c, render.c, fingerprint.c, allow.c, load.c */
enum { MAX_RULE_FINDINGS = 10000 }; /* of one rule; the worst are kept */
struct member { uint64_t row, bytes; uint32_t next; };
HR_VEC(memvec, struct member)
struct group {
    uint64_t rows, things, bytes, worst, worst_bytes, least; /* least: lightest member, when the list is full */
    uint32_t same;             /* next group of the same hash */
    uint32_t member, nmember;  /* list in `members` */
    uint8_t surety;
};
HR_VEC(groupvec, struct group)
HR_VEC(aggvec, struct aggval)
struct groups {
    struct groupvec list;
    struct memvec members;
    struct aggvec aggs;        /* nagg per group */
    struct hr_u64vec keys;     /* nkeys per group */
    struct hr_u8vec kinds;
    struct hr_map index;
    struct hr_strs *strs;
    struct hr_u32vec type_text; /* type id -> string + 1 */
    uint32_t nkeys, nagg, max_members;
    bool bytes_max;            /* a group weighs what its heaviest row weighs */
    uint64_t dropped;          /* rows that found no room */
};
enum hr_status hr_groups_init(struct groups *g, uint32_t nkeys, uint32_t nagg, uint32_t max_members) HR_MUST;
void hr_groups_deinit(struct groups *g);
struct row_facts { uint64_t row, bytes, things; uint8_t surety; };
/* The group of the keys (nkeys 0: a group of its own), made when new; HR_NONE when there is no room. */
enum hr_status hr_groups_find(struct groups *g, const uint64_t *keys, const uint8_t *kinds, uint32_t *ret) HR_MUST;
enum hr_status hr_groups_add(struct groups *g, uint32_t id, const struct row_facts *f) HR_MUST;
enum hr_status hr_groups_trim(struct groups *g) HR_MUST; /* ungrouped and full: keeps the worse half */
enum hr_status hr_group_key(struct groups *g, struct vm *m, const struct prog *p, const struct hr_value *v, uint64_t *key_ret,
                            uint8_t *kind_ret) HR_MUST;

enum hr_status hr_run_rule(struct hr_rules *r, struct vm *m, struct rule *rule, struct hr_findings *out) HR_MUST;
enum hr_status hr_run_budget(struct hr_rules *r, struct vm *m, struct rule *rule, struct hr_findings *out) HR_MUST;
enum hr_status hr_run_allows(struct hr_rules *r, struct vm *m, struct hr_findings *out) HR_MUST;
void hr_allow_table(struct hr_rules *r); /* sets r->findings_table */
/* The text with its placeholders filled in; NULL: no memory. */
char *hr_render(struct vm *m, const struct tmpl *t, struct prog *const *progs, const struct hr_table *table, uint64_t row);
bool hr_is_image(const struct node *e); /* the placeholder {image} */
uint64_t hr_print_text(uint64_t seed, const char *z, size_t n); /* numbers and directories blurred */
uint64_t hr_print_trace(uint64_t seed, const struct hr_hopvec *trace);
bool hr_glob(const char *pattern, const char *name);

#endif
