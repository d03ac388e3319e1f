#include "analyzer/base/esc.h"
#include "formats/image/core.h"
#include "formats/image/guess.h"
#include "formats/image/sparse.h"

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

static const char no_image[] = "is no memory image that heapray knows; raw memory needs its address: FILE@0x20000000";

/* What a file that no format takes looks like, as the end of a sentence, with what to do. */
static const char *looks_like(const struct hr_file *f)
{
    const uint8_t *p = f->bytes.p;
    size_t n = f->bytes.n;
    if (!n)
        return "is empty";
    if (n >= 18 && !memcmp(p, "\177ELF", 4)) {
        unsigned type = p[5] == 2 ? p[17] : p[16];
        return type == 2 || type == 3 ? "is an executable or a library, not a core dump; name the dump first and this with --exe (firmware: --elf)"
               : type == 1            ? "is an object file, not a core dump"
                                      : "is an ELF file, but no core dump";
    }
    if (n >= 4 && (!memcmp(p, "BZh", 3) || !memcmp(p, "\3757zX", 4)))
        return "is compressed in a way that heapray does not read; unpack it first (gzip, zstd and lz4 are read as they are)";
    for (size_t i = 0; i < n && i < 512; i++)
        if (!p[i] || p[i] >= 0xfe /* in no UTF-8; erased flash */ || (p[i] < 32 && !memchr("\t\n\r\f\033", p[i], 5)))
            return no_image;
    return "is a text file, not a core dump";
}

/* Bytes that no format takes and that are no known thing: perhaps memory whose place is not said. */
static enum hr_status unknown_format(struct hr_image *img, const struct hr_file *f)
{
    char name[512];
    hr_note(img->notes, HR_NOTE_DAMAGE, "file.unknown_format", "%s %s", hr_escz(name, sizeof name, f->path), looks_like(f));
    return HR_UNSUPPORTED;
}

static enum hr_status guess_arch(struct hr_image *img, const struct hr_open_options *opt, struct hr_span own)
{
    if (!img->arch_unsaid)
        return HR_OK;
    img->arch_unsaid = false;
    return hr_guess_arch(img, own, opt->endian != NULL, opt->exe != NULL);
}

static enum hr_status load_one(const struct hr_format *f, const struct hr_file *file, bool with, const struct hr_open_options *opt, struct hr_image *img)
{
    size_t first = img->segs.n;
    enum hr_status st = f->load(file, opt, img);
    for (size_t i = first; with && i < img->segs.n; i++)
        img->segs.v[i].flags |= HR_SEG_WITH;
    return st;
}

/* Files whose place has to be found, behind those that say theirs: what leads from there helps. */
static enum hr_status load_floating(struct hr_file *const *files, size_t nfiles, const struct hr_open_options *opt, struct hr_image *img)
{
    for (size_t i = 0; i < nfiles; i++) {
        if (choose(files[i]))
            continue;
        if (looks_like(files[i]) != no_image)
            return unknown_format(img, files[i]);
        if (!*img->format)
            HR_TRY(hr_raw_arch(img, opt));
        HR_TRY(guess_arch(img, opt, files[i]->bytes));
        enum hr_status st = hr_guess_base(img, files[i], &files[i]->addr);
        if (st == HR_ABSENT)
            return unknown_format(img, files[i]);
        HR_TRY(st);
        HR_TRY(load_one(&hr_format_raw, files[i], i > 0, opt, img));
        if (!i && strcmp(img->format, "elf-core"))
            img->format = "raw";
    }
    return guess_arch(img, opt, (struct hr_span){0});
}

enum hr_status hr_image_load(struct hr_file *const *files, size_t nfiles, const struct hr_open_options *opt, struct hr_image *img)
{
    static const struct hr_open_options none;
    if (!nfiles)
        return HR_USAGE;
    opt = opt ? opt : &none;
    HR_TRY(hr_strs_addz(img->strs, files[0]->path, &img->path));
    for (size_t i = 0; i < nfiles; i++) {
        const struct hr_format *f = choose(files[i]);
        if (f)
            HR_TRY(load_one(f, files[i], i > 0, opt, img));
    }
    HR_TRY(load_floating(files, nfiles, opt, img));
    for (size_t i = 0; i < nfiles; i++)
        img->complete &= !files[i]->cut;
    HR_TRY(hr_image_arrange(img));
    HR_TRY(hr_modules_exe(img, opt));
    HR_TRY(hr_flash_protect(img));
    hr_bare_check_place(img);
    HR_TRY(hr_regs_load(img, opt));
    HR_TRY(hr_modules_open(img, opt));
    HR_TRY(hr_modules_tls(img));
    HR_TRY(hr_modules_debug(img, opt));
    HR_TRY(hr_modules_fill(img));
    return hr_image_seal(img);
}
