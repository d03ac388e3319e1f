#include "analyzer/base/esc.h"
#include "formats/image/core.h"
#include "formats/image/format.h"

static const struct hr_format *const formats[] = {
#define HR_FORMAT(name_) &hr_format_##name_,
#include "formats/image/formats.def"
#undef HR_FORMAT
};

static const struct hr_format *choose(const struct hr_file *f)
{
    const struct hr_format *best = NULL;
    int sure = 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        int s = formats[i]->probe(f);
        if (s > sure) {
            sure = s;
            best = formats[i];
        }
    }
    return best;
}

enum hr_status hr_image_load(struct hr_file *const *files, size_t nfiles, const struct hr_open_options *opt, struct hr_image *img)
{
    static const struct hr_open_options none;
    char name[512];
    if (!nfiles)
        return HR_USAGE;
    opt = opt ? opt : &none;
    HR_TRY(hr_strs_addz(img->strs, files[0]->path, &img->path));
    const struct hr_format *f = choose(files[0]);
    if (!f) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "file.unknown_format", "%s is no memory image that heapray knows", hr_escz(name, sizeof name, files[0]->path));
        return HR_UNSUPPORTED;
    }
    HR_TRY(f->load(files[0], opt, img));
    for (size_t i = 1; i < nfiles; i++) {
        const struct hr_format *g = choose(files[i]);
        HR_TRY(g ? g->load(files[i], opt, img) : HR_UNSUPPORTED);
    }
    HR_TRY(hr_image_arrange(img));
    HR_TRY(hr_modules_open(img, opt));
    HR_TRY(hr_modules_tls(img));
    HR_TRY(hr_modules_debug(img, opt));
    HR_TRY(hr_modules_fill(img));
    return hr_image_seal(img);
}
