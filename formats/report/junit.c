/* JUnit XML: a suite per group of rules ("leak"), a test case per rule, so that passes are counted, too. */
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/limits.h"
#include "analyzer/base/mem.h"
#include "formats/report/put.h"
#include "formats/report/report.h"

enum { MAX_LISTED = 50 };

/* XML 1.0 has no way to write most control characters, not even escaped: they become \xNN first. */
static void xml(struct hr_out *o, const char *z)
{
    char buf[HR_MAX_STRING * 4 + 4];
    hr_escz(buf, sizeof buf, z ? z : "");
    for (const char *p = buf; *p; p++) {
        switch (*p) {
        case '&': hr_putz(o, "&amp;"); break;
        case '<': hr_putz(o, "&lt;"); break;
        case '>': hr_putz(o, "&gt;"); break;
        case '"': hr_putz(o, "&quot;"); break;
        default: hr_put(o, p, 1);
        }
    }
}

static void attribute(struct hr_out *o, const char *name, const char *value)
{
    hr_putz(o, " ");
    hr_putz(o, name);
    hr_putz(o, "=\"");
    xml(o, value);
    hr_putz(o, "\"");
}

static void number(struct hr_out *o, const char *name, size_t n)
{
    char buf[24];
    snprintf(buf, sizeof buf, "%zu", n);
    attribute(o, name, buf);
}

static size_t stem(const char *rule)
{
    return strcspn(rule, ".");
}

static bool same_suite(const char *a, const char *b) { return stem(a) == stem(b) && !strncmp(a, b, stem(a)); }

/* Notes inform; warnings and errors fail, unless they are known or allowed. */
static bool fails(const struct hr_finding *f) { return f->severity >= HR_SEV_WARNING && hr_finding_counts(f); }

static size_t failures(const struct hr_report_in *in, const char *rule)
{
    size_t n = 0;
    for (size_t i = 0; i < in->findings->list.n; i++)
        n += !strcmp(in->findings->list.v[i].rule, rule) && fails(&in->findings->list.v[i]);
    return n;
}

static void list(struct hr_out *o, const struct hr_report_in *in, const char *rule, bool failing)
{
    size_t n = 0;
    for (size_t i = 0; i < in->findings->list.n && n < MAX_LISTED; i++) {
        const struct hr_finding *f = &in->findings->list.v[i];
        if (strcmp(f->rule, rule) || fails(f) != failing)
            continue;
        n++;
        xml(o, f->title);
        if (f->has_subject) {
            char at[40];
            snprintf(at, sizeof at, " [0x%llx]", (unsigned long long)f->subject_addr);
            xml(o, at);
        }
        hr_putz(o, "\n");
        if (f->remedy) {
            hr_putz(o, "  fix: ");
            xml(o, f->remedy);
            hr_putz(o, "\n");
        }
        if (f->next) {
            hr_putz(o, "  next: ");
            xml(o, f->next);
            hr_putz(o, "\n");
        }
    }
}

static void failure(struct hr_out *o, const struct hr_report_in *in, const struct hr_rule_meta *m, size_t n)
{
    const struct hr_finding *first = NULL;
    for (size_t i = 0; i < in->findings->list.n && !first; i++)
        if (!strcmp(in->findings->list.v[i].rule, m->name) && fails(&in->findings->list.v[i]))
            first = &in->findings->list.v[i];
    char message[1200];
    snprintf(message, sizeof message, n > 1 ? "%.1000s (and %zu more)" : "%.1000s", first ? first->title : m->name, n - 1);
    hr_putz(o, "      <failure");
    attribute(o, "type", m->name);
    attribute(o, "message", message);
    hr_putz(o, ">");
    list(o, in, m->name, true);
    hr_putz(o, "</failure>\n");
}

static bool tells(const struct hr_report_in *in, const char *rule)
{
    for (size_t i = 0; i < in->findings->list.n; i++)
        if (!strcmp(in->findings->list.v[i].rule, rule) && !fails(&in->findings->list.v[i]))
            return true;
    return false;
}

static void testcase(struct hr_out *o, const struct hr_report_in *in, const struct hr_rule_meta *m)
{
    char suite[200];
    snprintf(suite, sizeof suite, "%.*s", (int)hr_min(stem(m->name), sizeof suite - 1), m->name);
    hr_putz(o, "    <testcase");
    attribute(o, "classname", suite);
    attribute(o, "name", m->name);
    hr_putz(o, ">\n");
    size_t n = failures(in, m->name);
    if (n)
        failure(o, in, m, n);
    else if (m->skipped) {
        hr_putz(o, "      <skipped");
        attribute(o, "message", m->skipped);
        hr_putz(o, "/>\n");
    }
    if (tells(in, m->name)) {
        hr_putz(o, "      <system-out>");
        list(o, in, m->name, false);
        hr_putz(o, "</system-out>\n");
    }
    hr_putz(o, "    </testcase>\n");
}

static void properties(struct hr_out *o, const struct hr_report_in *in)
{
    hr_putz(o, "    <properties>\n      <property");
    attribute(o, "name", "image");
    attribute(o, "value", in->head->image_path);
    hr_putz(o, "/>\n");
    for (size_t i = 0; i < in->head->nmodules && i < MAX_LISTED; i++) {
        if (!in->head->modules[i].build_id[0])
            continue;
        char name[300];
        snprintf(name, sizeof name, "build-id:%.280s", in->head->modules[i].path ? in->head->modules[i].path : "");
        hr_putz(o, "      <property");
        attribute(o, "name", name);
        attribute(o, "value", in->head->modules[i].build_id);
        hr_putz(o, "/>\n");
    }
    hr_putz(o, "    </properties>\n");
}

static void suite(struct hr_out *o, const struct hr_report_in *in, const char *rule)
{
    size_t tests = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < in->nrules; i++) {
        if (!same_suite(in->rules[i].name, rule))
            continue;
        bool bad = failures(in, in->rules[i].name) > 0;
        tests++;
        failed += bad;
        skipped += !bad && in->rules[i].skipped;
    }
    char name[200];
    snprintf(name, sizeof name, "%.*s", (int)hr_min(stem(rule), sizeof name - 1), rule);
    hr_putz(o, "  <testsuite");
    attribute(o, "name", name);
    number(o, "tests", tests);
    number(o, "failures", failed);
    number(o, "skipped", skipped);
    number(o, "errors", 0);
    hr_putz(o, ">\n");
    properties(o, in);
    for (size_t i = 0; i < in->nrules; i++)
        if (same_suite(in->rules[i].name, rule))
            testcase(o, in, &in->rules[i]);
    hr_putz(o, "  </testsuite>\n");
}

static void print_junit(struct hr_out *o, const struct hr_report_in *in)
{
    bool unicode = o->unicode;
    o->unicode = true;
    hr_putz(o, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    attribute(o, "name", "heapray");
    hr_putz(o, ">\n");
    for (size_t i = 0; i < in->nrules; i++) {
        bool told = false;
        for (size_t k = 0; k < i; k++)
            told |= same_suite(in->rules[k].name, in->rules[i].name);
        if (!told)
            suite(o, in, in->rules[i].name);
    }
    hr_putz(o, "</testsuites>\n");
    o->unicode = unicode;
}

const struct hr_report hr_report_junit = {"junit", print_junit};
