/* The only user of PCRE2. Patterns are the rule author's, the texts they run over are the dump's: hence match limits. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "rules/engine/internal.h"

enum {
    MATCH_LIMIT = 200000,      /* backtracking steps per text: about 2 ms; a sane pattern needs hundreds */
    DEPTH_LIMIT = 2000,        /* nested backtracking */
    HEAP_LIMIT_KIB = 2048,
    PATTERN_MAX = 4096,        /* bytes of a pattern */
    GIVE_UP_AFTER = 50,        /* texts that hit the limit before the pattern is no longer tried */
};

static void pattern_error(struct hr_rules *r, const struct node *n, int code, size_t offset)
{
    char buf[160];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)buf, sizeof buf);
    hr_rules_error(r, n->src, n->pos + 1 + (uint32_t)offset, NULL, "this pattern is wrong: %s", buf);
}

bool hr_regex_add(struct hr_rules *r, struct node *n)
{
    if (!r->match_ctx) {
        pcre2_match_context *c = pcre2_match_context_create(NULL);
        if (!c) {
            r->no_memory = true;
            return false;
        }
        pcre2_set_match_limit(c, MATCH_LIMIT);
        pcre2_set_depth_limit(c, DEPTH_LIMIT);
        pcre2_set_heap_limit(c, HEAP_LIMIT_KIB);
        r->match_ctx = c;
    }
    size_t len = strlen(n->text), offset = 0;
    int code = 0;
    if (len > PATTERN_MAX) {
        hr_rules_error(r, n->src, n->pos, NULL, "this pattern is longer than %d bytes", PATTERN_MAX);
        return false;
    }
    struct regex *x = hr_zalloc(1, sizeof *x);
    if (!x) {
        r->no_memory = true;
        return false;
    }
    x->text = n->text;
    x->code = pcre2_compile((PCRE2_SPTR)n->text, len, (uint32_t)n->i, &code, &offset, NULL);
    if (!x->code) {
        pattern_error(r, n, code, offset);
        hr_regex_free(x);
        return false;
    }
    x->match = pcre2_match_data_create(1, NULL);
    n->id = (uint32_t)r->regexes.n;
    if (!x->match || regexvec_push(&r->regexes, x) != HR_OK) {
        hr_regex_free(x);
        r->no_memory = true;
        return false;
    }
    return true;
}

void hr_regex_free(struct regex *x)
{
    if (!x)
        return;
    pcre2_match_data_free(x->match);
    pcre2_code_free(x->code);
    hr_free(x);
}

int hr_regex_match(struct hr_rules *r, uint32_t id, const char *p, size_t n)
{
    struct regex *x = r->regexes.v[id];
    if (x->gave_up >= GIVE_UP_AFTER)
        return -1;
    int rc = pcre2_match(x->code, (PCRE2_SPTR)p, n, 0, 0, x->match, r->match_ctx);
    if (rc >= 0)
        return 1;
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    x->gave_up++;
    return -1;
}
