/* Prints made-up findings with a reporter: `fakereport NAME [empty|many]`. The findings are what tests/truth/test_reports.py
 * expects, hostile strings included; every byte but NUL is among them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/mem.h"
#include "analyzer/heap/heap.h"
#include "formats/report/report.h"

static char all_bytes[256];

static void hop(struct hr_finding *f, uint64_t addr, const char *type, const char *field, bool suspect)
{
    struct hr_hop h = {addr, hr_strdup(type), hr_strdup(field), suspect};
    f->trace.max = 10000;
    if (hr_hopvec_push(&f->trace, h) != HR_OK)
        abort();
}

static void add(struct hr_findings *fs, struct hr_finding f)
{
    f.rule = hr_strdup(f.rule);
    f.title = hr_strdup(f.title);
    f.help = hr_strdup(f.help);
    f.remedy = hr_strdup(f.remedy);
    f.next = hr_strdup(f.next);
    f.subject_type = hr_strdup(f.subject_type);
    f.location = hr_strdup(f.location);
    f.state = hr_strdup(f.state);
    f.label = hr_strdup(f.label);
    f.members.max = 20;
    for (int i = 0; i < 6; i++)
        if (hr_membervec_push(&f.members, (struct hr_member){0x1000 + (uint64_t)i, hr_strdup(all_bytes), 48}) != HR_OK)
            abort();
    if (hr_findingvec_push(&fs->list, f) != HR_OK)
        abort();
}

static void fill(struct hr_findings *fs, int many)
{
    struct hr_finding a = {.rule = "leak.unreachable", .severity = HR_SEV_ERROR, .surety = HR_SURE_CONSERVATIVE,
                           .title = all_bytes, .help = "Nothing points there. More words. <b>&amp;</b>", .remedy = "Free \"it\" & go <on>.",
                           .next = "heapray show 'my core' 0x7f0000001000", .subject_addr = 0x7f0000001000, .has_subject = true,
                           .subject_type = all_bytes, .count = 3, .bytes = 144, .fingerprint = 0x0123456789abcdef,
                           .location = "src/my server.c:120"};
    hop(&a, 0x601000, "global g_app", ".list", false);
    hop(&a, 0x7e0000, "struct list", "[3]", true);
    hop(&a, 0x7f0000001000, all_bytes, NULL, false);
    add(fs, a);
    add(fs, (struct hr_finding){.rule = "frag.arena", .severity = HR_SEV_WARNING, .title = "Arena main is fragmented", .count = 1,
                                .bytes = UINT64_MAX, .fingerprint = 7, .state = "known"});
    add(fs, (struct hr_finding){.rule = "leak.cycle", .severity = HR_SEV_NOTE, .title = "a ring ]]> --> done", .count = 2, .bytes = 96,
                                .fingerprint = 9, .state = "allowed", .label = "allowed until 2027-01-01 by \"x\": reason"});
    for (int i = 0; i < many; i++)
        add(fs, (struct hr_finding){.rule = "leak.cycle", .severity = HR_SEV_NOTE, .title = "one of many", .count = 1, .bytes = 1,
                                    .fingerprint = many > 1000 ? (uint64_t)i : 11});
    fs->allowances.max = fs->fixed.max = 10;
    if (hr_findings_skip(fs, "oversized.object", all_bytes) != HR_OK ||
        hr_allowancevec_push(&fs->allowances, (struct hr_allowance){hr_strdup("x"), hr_strdup(all_bytes), 20270101, 2, 0, "used"}) != HR_OK ||
        hr_fixedvec_push(&fs->fixed, (struct hr_fixed){hr_strdup("leak.unreachable"), 0xfeed, 4, 400}) != HR_OK)
        abort();
}

int main(int argc, char **argv)
{
    for (int i = 1; i < 256; i++)
        all_bytes[i - 1] = (char)i;
    const struct hr_report *how = hr_report_find(argc > 1 ? argv[1] : "text");
    if (!how)
        return 2;
    const char *mode = argc > 2 ? argv[2] : "";
    struct hr_findings fs;
    struct hr_notes notes;
    hr_findings_init(&fs);
    hr_notes_init(&notes);
    if (strcmp(mode, "empty"))
        fill(&fs, !strcmp(mode, "many") ? 26000 : !strcmp(mode, "alike") ? 500 : 0);
    hr_note(&notes, HR_NOTE_DEGRADED, "core.truncated", "the core is cut");
    hr_note_at(&notes, HR_NOTE_INFO, "x.y", 0x1234, "good to know");
    struct hr_report_module modules[] = {{all_bytes, "abcdef0123", "dwarf"}, {"/lib/libc.so.6", "", "none"}};
    struct hr_report_head head = {"check", "1.0", "/dumps/my core", "ELF core", "x86-64", 64, "little", false, 4096, modules, 2, &notes};
    char help[3000];
    memset(help, 'h', sizeof help - 1);
    help[sizeof help - 1] = 0;
    const struct hr_rule_meta rules[] = {
        {"leak.unreachable", "t", "Nothing points there. More words.", HR_SEV_ERROR, true, NULL, "r", "leak, ci", "high"},
        {"leak.cycle", "t", help, HR_SEV_ERROR, true, NULL, NULL, "", ""},
        {"frag.arena", "t", "", HR_SEV_WARNING, true, NULL, NULL, NULL, NULL},
        {"oversized.object", "t", "h", HR_SEV_WARNING, false, all_bytes, NULL, NULL, NULL},
    };
    struct hr_report_in in = {&head, &fs, rules, 4, 1, false};
    struct hr_out o;
    hr_out_init(&o, stdout, "never");
    how->print(&o, &in);
    hr_findings_deinit(&fs);
    hr_notes_deinit(&notes);
    return o.failed || fflush(stdout) ? 1 : 0;
}
