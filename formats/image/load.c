#include "analyzer/base/esc.h"
#include "formats/image/core.h"
#include "formats/image/format.h"

#include <string.h>

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

/* What a file that no format takes looks like, as the end of a sentence, with what to do. */
static const char *looks_like(const struct hr_file *f)
{
    const uint8_t *p = f->bytes.p;
    size_t n = f->bytes.n;
    if (n >= 18 && !memcmp(p, "\177ELF", 4)) {
        unsigned type = p[5] == 2 ? p[17] : p[16];
        return type == 2 || type == 3 ? "is an executable or a library, not a core dump; name the dump first and this with --exe"
               : type == 1            ? "is an object file, not a core dump"
                                      : "is an ELF file, but no core dump";
    }
    if (n >= 4 && (!memcmp(p, "BZh", 3) || !memcmp(p, "\3757zX", 4)))
        return "is compressed in a way that heapray does not read; unpack it first (gzip, zstd and lz4 are read as they are)";
    for (size_t i = 0; i < n && i < 512; i++)
        if (!p[i] || (p[i] < 32 && !memchr("\t\n\r\f\033", p[i], 5)))
            return "is no memory image that heapray knows";
    return "is a text file, not a core dump";
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
        hr_note(img->notes, HR_NOTE_DAMAGE, "file.unknown_format", "%s %s", hr_escz(name, sizeof name, files[0]->path),
                looks_like(files[0]));
        return HR_UNSUPPORTED;
    }
    HR_TRY(f->load(files[0], opt, img));
    size_t first = img->segs.n;
    for (size_t i = 1; i < nfiles; i++) {
        const struct hr_format *g = choose(files[i]);
        HR_TRY(g ? g->load(files[i], opt, img) : HR_UNSUPPORTED);
    }
    for (size_t i = first; i < img->segs.n; i++)
        img->segs.v[i].flags |= HR_SEG_WITH;
    for (size_t i = 0; i < nfiles; i++)
        img->complete &= !files[i]->cut;
    HR_TRY(hr_image_arrange(img));
    HR_TRY(hr_modules_exe(img, opt));
    HR_TRY(hr_flash_protect(img));
    HR_TRY(hr_regs_load(img, opt));
    HR_TRY(hr_modules_open(img, opt));
    HR_TRY(hr_modules_tls(img));
    HR_TRY(hr_modules_debug(img, opt));
    HR_TRY(hr_modules_fill(img));
    return hr_image_seal(img);
}
