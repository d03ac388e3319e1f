/* Text for people: headline, evidence, fix, next command; then what was tolerated, what was not judged, and the verdict. */
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/base/map.h"
#include "formats/report/put.h"
#include "formats/report/report.h"

enum { MAX_SHOWN = 60, MAX_HOPS = 24, MAX_EXAMPLES = 4, MAX_NOTES = 12, INDENT = 4 };

/* "fix: ..." wrapped, further lines below the text. */
static void labelled(struct hr_out *o, const char *label, const char *text)
{
    if (!text || !*text)
        return;
    size_t n = strlen(label) + strlen(text) + 2;
    char *both = hr_alloc(n);
    if (!both)
        return;
    snprintf(both, n, "%s %s", label, text);
    hr_out_wrap(o, INDENT, both);
    hr_free(both);
}

static void headline(struct hr_out *o, const struct hr_finding *f)
{
    static const enum hr_style style[] = {HR_CYAN, HR_YELLOW, HR_RED};
    hr_out_style(o, style[f->severity]);
    hr_outf(o, "%s", hr_severity_name(f->severity));
    hr_out_style(o, HR_PLAIN);
    hr_outf(o, " [");
    hr_out_esc(o, f->rule);
    hr_outf(o, "]");
    if (f->state) {
        hr_outf(o, " (");
        hr_out_esc(o, f->state);
        hr_outf(o, ")");
    }
    hr_outf(o, "\n");
    hr_out_style(o, HR_BOLD);
    hr_out_wrap(o, 2, f->title);
    hr_out_style(o, HR_PLAIN);
}

static void examples(struct hr_out *o, const struct hr_finding *f)
{
    size_t n = f->members.n;
    if (!n)
        return;
    hr_put_pad(o, INDENT);
    hr_out_style(o, HR_DIM);
    hr_outf(o, n > 1 || f->count > 1 ? "largest:" : "block:");
    hr_out_style(o, HR_PLAIN);
    for (size_t i = 0; i < n && i < MAX_EXAMPLES; i++) {
        char b[32];
        hr_outf(o, "%s 0x%llx", i ? "," : "", (unsigned long long)f->members.v[i].addr);
        if (f->members.v[i].bytes)
            hr_outf(o, " (%s)", hr_out_bytes(o, b, sizeof b, f->members.v[i].bytes));
    }
    if (n > MAX_EXAMPLES)
        hr_outf(o, ", …");
    hr_outf(o, "\n");
}

/*  ┬─ global g_app
 *  │    ↓ .list
 *  │      ~~~~~
 *  ╰→ struct node 0x7f…  */
static void hop(struct hr_out *o, const struct hr_hop *h, bool first, bool last)
{
    hr_put_pad(o, INDENT);
    char type[200]; /* template names are cut: the line has to be read as a path */
    int room = o->width > 60 ? o->width - 32 : 68;
    hr_outf(o, last ? "╰→ " : first ? "┬─ " : "├─ ");
    const char *z = h->type ? h->type : "unknown type";
    hr_esc(type, (size_t)room < sizeof type ? (size_t)room : sizeof type, z, strlen(z));
    hr_put_escaped(o, type, strlen(type));
    if (h->addr)
        hr_outf(o, "  0x%llx", (unsigned long long)h->addr);
    hr_outf(o, "\n");
    if (last || !h->field)
        return;
    hr_put_pad(o, INDENT);
    hr_outf(o, "│    ↓ ");
    hr_out_style(o, h->suspect ? HR_RED : HR_PLAIN);
    hr_out_esc(o, h->field);
    hr_out_style(o, HR_PLAIN);
    hr_outf(o, "\n");
    if (!h->suspect)
        return;
    hr_put_pad(o, INDENT);
    hr_outf(o, "│      ");
    hr_out_style(o, HR_RED);
    int w = hr_columns(o, h->field, strlen(h->field));
    for (int i = 0; i < w && i < 60; i++)
        hr_putz(o, "~");
    hr_out_style(o, HR_PLAIN);
    hr_outf(o, "\n");
}

static void trace(struct hr_out *o, const struct hr_finding *f)
{
    size_t n = f->trace.n;
    for (size_t i = 0; i < n; i++) {
        if (n > MAX_HOPS && i == MAX_HOPS / 2) { /* the ends tell the story */
            hr_put_pad(o, INDENT);
            hr_outf(o, "│  … %zu more …\n", n - MAX_HOPS);
            i = n - MAX_HOPS / 2;
        }
        hop(o, &f->trace.v[i], i == 0, i + 1 == n);
    }
}

static void next_command(struct hr_out *o, const struct hr_finding *f)
{
    if (!f->next)
        return;
    hr_put_pad(o, INDENT);
    hr_out_style(o, HR_GREEN);
    hr_outf(o, "next: ");
    hr_out_style(o, HR_PLAIN);
    hr_out_esc(o, f->next); /* one line: it is meant to be copied */
    hr_outf(o, "\n");
}

static void alike(struct hr_out *o, uint64_t n, uint64_t bytes)
{
    char a[32], b[32];
    if (!n)
        return;
    hr_put_pad(o, INDENT);
    hr_outf(o, "and %s more like it, %s\n", hr_out_count(o, a, sizeof a, n), hr_out_bytes(o, b, sizeof b, bytes));
}

/* What a rule means is told with its first finding only. */
static void print_finding(struct hr_out *o, const struct hr_finding *f, uint64_t more, uint64_t more_bytes, bool explain)
{
    headline(o, f);
    alike(o, more, more_bytes);
    if (f->label)
        hr_out_wrap(o, INDENT, f->label);
    if (f->location) {
        hr_put_pad(o, INDENT);
        hr_outf(o, "at ");
        hr_out_esc(o, f->location);
        hr_outf(o, "\n");
    }
    examples(o, f);
    trace(o, f);
    if (hr_finding_surety(f)) {
        hr_put_pad(o, INDENT);
        hr_outf(o, "evidence: %s\n", hr_finding_evidence(f));
    }
    if (explain)
        labelled(o, "why:", f->help);
    labelled(o, "fix:", f->remedy);
    next_command(o, f);
    hr_outf(o, "\n");
}

struct fold { uint64_t more, bytes; size_t first; };

/* Findings of the same rule and fingerprint are told once: the same ring, lost a thousand times, is one story. */
static size_t fold(const struct hr_findings *fs, struct fold *v)
{
    struct hr_map seen;
    hr_map_init(&seen, fs->list.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < fs->list.n; i++) {
        const struct hr_finding *f = &fs->list.v[i];
        uint64_t key = f->fingerprint ^ (f->state ? hr_hash_bytes(f->state, strlen(f->state), 7) : 0);
        uint32_t at = hr_map_get(&seen, key);
        if (at != HR_NONE && !strcmp(fs->list.v[v[at].first].rule, f->rule)) {
            v[at].more++;
            v[at].bytes = hr_sat_add(v[at].bytes, f->bytes);
            continue;
        }
        if (at == HR_NONE && hr_map_put(&seen, key, (uint32_t)n) != HR_OK)
            at = HR_NONE; /* told on its own: longer, not wrong */
        v[n++] = (struct fold){.first = i};
    }
    hr_map_deinit(&seen);
    return n;
}

static bool told_before(const struct hr_findings *fs, const struct fold *v, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(fs->list.v[v[k].first].rule, fs->list.v[v[i].first].rule))
            return true;
    return false;
}

static void print_findings(struct hr_out *o, const struct hr_findings *fs)
{
    struct fold *v = hr_zalloc(fs->list.n, sizeof *v);
    size_t n = v ? fold(fs, v) : 0;
    for (size_t i = 0; i < n && i < MAX_SHOWN && !o->failed; i++)
        print_finding(o, &fs->list.v[v[i].first], v[i].more, v[i].bytes, !told_before(fs, v, i));
    if (n > MAX_SHOWN)
        hr_outf(o, "[%zu more findings; --json lists them all]\n\n", n - MAX_SHOWN);
    if (fs->dropped) {
        char b[32];
        hr_outf(o, "[%s findings beyond what can be kept; --only or higher thresholds choose]\n\n",
                hr_out_count(o, b, sizeof b, fs->dropped));
    }
    hr_free(v);
}

/* How many of v[from, end) belong to the pack of v[k]. */
static size_t of_pack(const struct hr_skippedvec *v, size_t from, size_t end, size_t k)
{
    const char *dot = strchr(v->v[k].rule, '.');
    size_t n = 0;
    for (size_t i = from; dot && i < end; i++)
        n += !strncmp(v->v[i].rule, v->v[k].rule, (size_t)(dot + 1 - v->v[k].rule));
    return n;
}

/* The rules [from, end), more than two of a pack as "cpython.* (10)"; `line` has room for 2048. */
static void name_skipped(const struct hr_skippedvec *v, size_t from, size_t end, char *line)
{
    size_t at = 0, room = 2048;
    end = hr_min(end, from + MAX_SHOWN);
    for (size_t k = from; k < end && at < room - 300; k++) {
        const char *rule = v->v[k].rule;
        size_t n = of_pack(v, from, end, k);
        if (n < 3)
            at += (size_t)snprintf(line + at, room - at, "%s%.250s", at ? ", " : "", rule);
        else if (of_pack(v, from, k, k) == 0)
            at += (size_t)snprintf(line + at, room - at, "%s%.*s* (%zu)", at ? ", " : "", (int)hr_min(strcspn(rule, ".") + 1, 250), rule, n);
    }
}

/* Rules that are not judged for the same reason are said together. */
static void print_skipped(struct hr_out *o, const struct hr_skippedvec *v)
{
    for (size_t i = 0, end; i < v->n; i = end) {
        char line[2048 + 300];
        for (end = i + 1; end < v->n && !strcmp(v->v[end].why, v->v[i].why);)
            end++;
        name_skipped(v, i, end, line);
        size_t at = strlen(line);
        snprintf(line + at, sizeof line - at, "%s: %.250s", end - i > MAX_SHOWN ? " and more" : "", v->v[i].why);
        hr_out_hang(o, HR_DIM, "not judged: ", line);
    }
}

static void print_allowances(struct hr_out *o, const struct hr_findings *fs)
{
    for (size_t i = 0; i < fs->allowances.n; i++) {
        const struct hr_allowance *a = &fs->allowances.v[i];
        hr_outf(o, "allowance \"");
        hr_out_esc(o, a->name);
        hr_outf(o, "\": %s, until %04u-%02u-%02u, covers %llu", a->state, a->expires / 10000, a->expires / 100 % 100, a->expires % 100,
                (unsigned long long)a->used);
        if (a->max_count)
            hr_outf(o, " of %llu", (unsigned long long)a->max_count);
        hr_outf(o, ": ");
        hr_out_esc(o, a->reason);
        hr_outf(o, "\n");
    }
    for (size_t i = 0; i < fs->fixed.n && i < MAX_SHOWN; i++) {
        hr_outf(o, "fixed since the baseline: ");
        hr_out_esc(o, fs->fixed.v[i].rule);
        hr_outf(o, " %016llx (%llu)\n", (unsigned long long)fs->fixed.v[i].fingerprint, (unsigned long long)fs->fixed.v[i].count);
    }
    print_skipped(o, &fs->skipped);
}

static void print_notes(struct hr_out *o, const struct hr_notes *n)
{
    size_t shown = 0, all = 0;
    for (size_t i = 0; n && i < n->list.n; i++) {
        if (n->list.v[i].level == HR_NOTE_INFO)
            continue;
        if (++all > MAX_NOTES)
            continue;
        shown++;
        hr_out_style(o, HR_YELLOW);
        hr_outf(o, "note: ");
        hr_out_style(o, HR_PLAIN);
        hr_out_esc(o, n->list.v[i].text);
        if (n->list.v[i].has_addr)
            hr_outf(o, " (at 0x%llx)", (unsigned long long)n->list.v[i].addr);
        hr_outf(o, "\n");
    }
    if (all > shown)
        hr_outf(o, "[%zu more notes; --json lists them all]\n", all - shown);
}

static const char *verdict(int code)
{
    switch (code) {
    case 0: return "nothing at or above --fail-on";
    case 1: return "findings at or above --fail-on";
    case 4: return "an answer is weaker than it could be";
    default: return "the analysis did not go to its end";
    }
}

static void print_verdict(struct hr_out *o, const struct hr_report_in *in)
{
    size_t n[3] = {0}, ran = 0, quiet = 0;
    for (size_t i = 0; i < in->findings->list.n; i++) {
        n[in->findings->list.v[i].severity]++;
        quiet += !hr_finding_counts(&in->findings->list.v[i]);
    }
    for (size_t i = 0; i < in->nrules; i++)
        ran += in->rules[i].ran;
    char line[400], known[64] = "", skipped[64] = "";
    if (quiet)
        snprintf(known, sizeof known, " (%zu of them known or allowed)", quiet);
    if (ran < in->nrules)
        snprintf(skipped, sizeof skipped, ", %zu not judged", in->nrules - ran);
    snprintf(line, sizeof line, "%zu error%s, %zu warning%s, %zu note%s%s from %zu rule%s%s; exit status %d: %s", n[2], n[2] == 1 ? "" : "s", n[1],
             n[1] == 1 ? "" : "s", n[0], n[0] == 1 ? "" : "s", known, in->nrules, in->nrules == 1 ? "" : "s", skipped, in->exit_code,
             verdict(in->exit_code));
    hr_out_wrap(o, 0, line);
}

static void print_text(struct hr_out *o, const struct hr_report_in *in)
{
    const struct hr_report_head *h = in->head;
    hr_out_style(o, HR_BOLD);
    hr_out_esc(o, h->image_path);
    hr_out_style(o, HR_PLAIN);
    hr_outf(o, ": %s, %s", h->format ? h->format : "unknown format", h->arch ? h->arch : "unknown processor");
    if (!h->complete) {
        char b[32];
        hr_outf(o, "; INCOMPLETE, %s missing", hr_out_bytes(o, b, sizeof b, h->missing_bytes));
    }
    hr_outf(o, "\n\n");
    if (!in->findings->list.n)
        hr_outf(o, "No rule found anything.\n\n");
    print_findings(o, in->findings);
    print_allowances(o, in->findings);
    print_notes(o, h->notes);
    print_verdict(o, in);
}

const struct hr_report hr_report_text = {"text", print_text};
