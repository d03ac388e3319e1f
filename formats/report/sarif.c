/* SARIF 2.1.0 as GitHub code scanning takes it: at most 25,000 results, texts of at most 1,024 characters, 20 tags, a location
 * with uri and region for each result, and partialFingerprints.primaryLocationLineHash. No address.absoluteAddress: 64-bit
 * addresses break readers that hold it in 32 bits, so addresses are properties. */
#include <ctype.h>
#include <string.h>

#include "analyzer/base/limits.h"
#include "formats/report/report.h"

enum { MAX_RESULTS = 25000, MAX_TEXT = 1000, MAX_FLOW = 100, MAX_TAGS = 20 };

/* Cut on a character's border. */
static void text_object(struct hr_json *j, const char *key, const char *z)
{
    char buf[MAX_TEXT + 4];
    size_t n = strlen(z);
    if (n > MAX_TEXT) {
        for (n = MAX_TEXT - 3; n && ((unsigned char)z[n] & 0xc0) == 0x80; n--)
            ;
        snprintf(buf, sizeof buf, "%.*s...", (int)n, z);
        z = buf;
    }
    hr_json_obj(j, key);
    hr_json_str(j, "text", z);
    hr_json_end(j);
}

/* A relative reference stays one; other bytes than those a URI may have are percent-encoded. */
static void uri_of(const char *path, char *uri, size_t cap)
{
    size_t n = 0;
    if (*path == '/')
        n = (size_t)snprintf(uri, cap, "file://");
    for (; *path && n + 4 < cap; path++) {
        unsigned char c = (unsigned char)*path;
        if (isalnum(c) || strchr("/-._~", c))
            uri[n++] = (char)c;
        else
            n += (size_t)snprintf(uri + n, cap - n, "%%%02X", c);
    }
    uri[n] = 0;
}

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash && slash[1] ? slash + 1 : path ? path : "image";
}

static void physical(struct hr_json *j, const struct hr_report_in *in, const char *location)
{
    char path[HR_MAX_STRING], uri[3 * HR_MAX_STRING + 16];
    unsigned line = 1;
    if (!hr_report_location(location, path, sizeof path, &line))
        snprintf(path, sizeof path, "%s", base_name(in->head->image_path));
    uri_of(path, uri, sizeof uri);
    hr_json_obj(j, "physicalLocation");
    hr_json_obj(j, "artifactLocation");
    hr_json_str(j, "uri", uri);
    hr_json_end(j);
    hr_json_obj(j, "region");
    hr_json_num(j, "startLine", line);
    hr_json_end(j);
    hr_json_end(j);
}

static const char *level(enum hr_severity s) { return hr_severity_name(s); /* note, warning, error are SARIF's words */ }

/* The first sentence of the help says what the rule is about. */
static void short_description(struct hr_json *j, const struct hr_rule_meta *m)
{
    const char *help = m->help && *m->help ? m->help : m->name, *dot = strstr(help, ". ");
    char buf[MAX_TEXT];
    snprintf(buf, sizeof buf, "%.*s", dot ? (int)hr_min((uint64_t)(dot - help) + 1, sizeof buf - 1) : (int)sizeof buf - 1, help);
    text_object(j, "shortDescription", buf);
}

static void tags(struct hr_json *j, const char *list)
{
    hr_json_arr(j, "tags");
    for (int n = 0; list && *list && n < MAX_TAGS; n++) {
        size_t k = strcspn(list, ",");
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)hr_min(k, sizeof one - 1), list);
        hr_json_str(j, NULL, one);
        list += k;
        list += strspn(list, ", ");
    }
    hr_json_end(j);
}

static void rule(struct hr_json *j, const struct hr_rule_meta *m)
{
    char help[2 * MAX_TEXT];
    hr_json_obj(j, NULL);
    hr_json_str(j, "id", m->name);
    short_description(j, m);
    text_object(j, "fullDescription", m->help && *m->help ? m->help : m->name);
    snprintf(help, sizeof help, "%.*s", MAX_TEXT, m->help && *m->help ? m->help : m->name);
    text_object(j, "help", help);
    hr_json_obj(j, "defaultConfiguration");
    hr_json_str(j, "level", level(m->severity));
    hr_json_end(j);
    hr_json_obj(j, "properties");
    tags(j, m->tags);
    if (m->precision && *m->precision)
        hr_json_str(j, "precision", m->precision);
    hr_json_end(j);
    hr_json_end(j);
}

static void code_flow(struct hr_json *j, const struct hr_report_in *in, const struct hr_finding *f)
{
    if (!f->trace.n)
        return;
    hr_json_arr(j, "codeFlows");
    hr_json_obj(j, NULL);
    hr_json_arr(j, "threadFlows");
    hr_json_obj(j, NULL);
    hr_json_arr(j, "locations");
    for (size_t i = 0; i < f->trace.n && i < MAX_FLOW; i++) {
        const struct hr_hop *h = &f->trace.v[i];
        char text[600];
        snprintf(text, sizeof text, "%.300s%s%.200s", h->type ? h->type : "unknown type", h->field ? " holds the next by " : "",
                 h->field ? h->field : "");
        hr_json_obj(j, NULL);
        hr_json_obj(j, "location");
        physical(j, in, f->location);
        text_object(j, "message", text);
        hr_json_end(j);
        hr_json_str(j, "importance", h->suspect ? "essential" : "important");
        hr_json_end(j);
    }
    for (int i = 0; i < 5; i++)
        hr_json_end(j);
}

static void prints(struct hr_json *j, uint64_t fingerprint)
{
    char hex[24], hash[32];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)fingerprint);
    snprintf(hash, sizeof hash, "%s:1", hex);
    hr_json_obj(j, "partialFingerprints");
    hr_json_str(j, "primaryLocationLineHash", hash);
    hr_json_str(j, "heapPath/v1", hex);
    hr_json_end(j);
}

static void properties(struct hr_json *j, const struct hr_finding *f)
{
    hr_json_obj(j, "properties");
    hr_json_num(j, "count", f->count);
    hr_json_num(j, "bytes", f->bytes);
    hr_json_str(j, "surety", hr_finding_surety(f));
    if (f->has_subject) {
        hr_json_addr(j, "address", f->subject_addr);
        hr_json_str(j, "type", f->subject_type);
    }
    if (f->remedy)
        hr_json_str(j, "remedy", f->remedy);
    if (f->next)
        hr_json_str(j, "next", f->next);
    hr_json_end(j);
}

static void suppression(struct hr_json *j, const struct hr_finding *f)
{
    if (!f->state || strcmp(f->state, "allowed"))
        return;
    hr_json_arr(j, "suppressions");
    hr_json_obj(j, NULL);
    hr_json_str(j, "kind", "external");
    hr_json_str(j, "status", "accepted");
    hr_json_str(j, "justification", f->label ? f->label : "allowed by a rule file");
    hr_json_end(j);
    hr_json_end(j);
}

static void rule_ref(struct hr_json *j, const struct hr_report_in *in, const char *name)
{
    hr_json_str(j, "ruleId", name);
    for (size_t i = 0; i < in->nrules; i++)
        if (!strcmp(in->rules[i].name, name)) {
            hr_json_num(j, "ruleIndex", i);
            return;
        }
}

static void locations(struct hr_json *j, const struct hr_report_in *in, const char *location)
{
    hr_json_arr(j, "locations");
    hr_json_obj(j, NULL);
    physical(j, in, location);
    hr_json_end(j);
    hr_json_end(j);
}

static void result(struct hr_json *j, const struct hr_report_in *in, const struct hr_finding *f)
{
    const char *s = f->state ? f->state : "new";
    hr_json_obj(j, NULL);
    rule_ref(j, in, f->rule);
    hr_json_str(j, "level", level(f->severity));
    text_object(j, "message", f->title);
    locations(j, in, f->location);
    prints(j, f->fingerprint);
    hr_json_str(j, "baselineState", !strcmp(s, "known") ? "unchanged" : !strcmp(s, "grown") ? "updated" : "new");
    suppression(j, f);
    code_flow(j, in, f);
    properties(j, f);
    hr_json_end(j);
}

static void absent(struct hr_json *j, const struct hr_report_in *in, const struct hr_fixed *f)
{
    hr_json_obj(j, NULL);
    rule_ref(j, in, f->rule);
    hr_json_str(j, "level", "none");
    hr_json_str(j, "kind", "pass");
    text_object(j, "message", "No longer found.");
    locations(j, in, NULL);
    prints(j, f->fingerprint);
    hr_json_str(j, "baselineState", "absent");
    hr_json_end(j);
}

static void notification(struct hr_json *j, const char *id, const char *lev, const char *text)
{
    hr_json_obj(j, NULL);
    hr_json_obj(j, "descriptor");
    hr_json_str(j, "id", id);
    hr_json_end(j);
    hr_json_str(j, "level", lev);
    text_object(j, "message", text);
    hr_json_end(j);
}

static void invocation(struct hr_json *j, const struct hr_report_in *in)
{
    const struct hr_notes *n = in->head->notes;
    hr_json_arr(j, "invocations");
    hr_json_obj(j, NULL);
    hr_json_bool(j, "executionSuccessful", in->exit_code < 2);
    hr_json_int(j, "exitCode", in->exit_code);
    hr_json_arr(j, "toolExecutionNotifications");
    for (size_t i = 0; n && i < n->list.n; i++)
        notification(j, n->list.v[i].code, n->list.v[i].level == HR_NOTE_INFO ? "note" : "warning", n->list.v[i].text);
    for (size_t i = 0; i < in->findings->skipped.n; i++) {
        char text[600];
        snprintf(text, sizeof text, "%.200s: %.350s", in->findings->skipped.v[i].rule, in->findings->skipped.v[i].why);
        notification(j, "rule.skipped", "warning", text);
    }
    hr_json_end(j);
    hr_json_end(j);
    hr_json_end(j);
}

static void driver(struct hr_json *j, const struct hr_report_in *in)
{
    hr_json_obj(j, "tool");
    hr_json_obj(j, "driver");
    hr_json_str(j, "name", "heapray");
    hr_json_str(j, "version", in->head->tool_version ? in->head->tool_version : "0");
    hr_json_arr(j, "rules");
    for (size_t i = 0; i < in->nrules; i++)
        rule(j, &in->rules[i]);
    hr_json_end(j);
    hr_json_end(j);
    hr_json_end(j);
}

static void print_sarif(struct hr_out *o, const struct hr_report_in *in)
{
    struct hr_json j;
    hr_json_init(&j, o, true);
    hr_json_obj(&j, NULL);
    hr_json_str(&j, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    hr_json_str(&j, "version", "2.1.0");
    hr_json_arr(&j, "runs");
    hr_json_obj(&j, NULL);
    driver(&j, in);
    invocation(&j, in);
    hr_json_str(&j, "columnKind", "unicodeCodePoints");
    hr_json_arr(&j, "results");
    for (size_t i = 0; i < in->findings->list.n && i < MAX_RESULTS; i++)
        result(&j, in, &in->findings->list.v[i]);
    for (size_t i = 0; i < in->findings->fixed.n && i + in->findings->list.n < MAX_RESULTS; i++)
        absent(&j, in, &in->findings->fixed.v[i]);
    for (int i = 0; i < 4; i++)
        hr_json_end(&j);
}

const struct hr_report hr_report_sarif = {"sarif", print_sarif};
