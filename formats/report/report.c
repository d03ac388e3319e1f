/* What the reporters share. */
#include "formats/report/report.h"

#include <stdlib.h>
#include <string.h>

const struct hr_report *hr_report_find(const char *name)
{
    static const struct hr_report *const all[] = {
#define HR_REPORT(name_) &hr_report_##name_,
#include "formats/report/reports.def"
#undef HR_REPORT
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i]->name, name))
            return all[i];
    return NULL;
}

bool hr_report_location(const char *location, char *path, size_t cap, unsigned *line_ret)
{
    *line_ret = 1;
    if (!location || !*location)
        return false;
    const char *colon = strrchr(location, ':');
    size_t n = strlen(location);
    if (colon && colon[1] >= '1' && colon[1] <= '9' && colon - location > 0) {
        unsigned long line = strtoul(colon + 1, NULL, 10);
        *line_ret = line < 1 || line > 10000000 ? 1 : (unsigned)line;
        n = (size_t)(colon - location);
    }
    if (n >= cap)
        return false;
    memcpy(path, location, n);
    path[n] = 0;
    return true;
}

static void notes(struct hr_json *j, const struct hr_notes *n)
{
    hr_json_arr(j, "notes");
    for (size_t i = 0; n && i < n->list.n; i++) {
        hr_json_obj(j, NULL);
        hr_json_str(j, "code", n->list.v[i].code);
        hr_json_str(j, "text", n->list.v[i].text);
        if (n->list.v[i].has_addr)
            hr_json_addr(j, "addr", n->list.v[i].addr);
        hr_json_end(j);
    }
    hr_json_end(j);
    if (n && n->dropped)
        hr_json_num(j, "notes_dropped", n->dropped);
}

void hr_json_head(struct hr_json *j, const struct hr_report_head *h)
{
    hr_json_str(j, "schema", "heapray/1");
    hr_json_str(j, "command", h->command);
    hr_json_str(j, "tool_version", h->tool_version);
    hr_json_obj(j, "image");
    hr_json_str(j, "path", h->image_path);
    hr_json_str(j, "format", h->format);
    hr_json_str(j, "arch", h->arch);
    if (h->word_bits)
        hr_json_num(j, "word_bits", h->word_bits);
    else
        hr_json_null(j, "word_bits");
    hr_json_str(j, "endian", h->endian);
    hr_json_bool(j, "complete", h->complete);
    hr_json_num(j, "missing_bytes", h->missing_bytes);
    hr_json_arr(j, "modules");
    for (size_t i = 0; i < h->nmodules; i++) {
        hr_json_obj(j, NULL);
        hr_json_str(j, "path", h->modules[i].path);
        hr_json_str(j, "build_id", h->modules[i].build_id[0] ? h->modules[i].build_id : NULL);
        hr_json_str(j, "debug", h->modules[i].debug);
        hr_json_end(j);
    }
    hr_json_end(j);
    hr_json_end(j);
    notes(j, h->notes);
}
