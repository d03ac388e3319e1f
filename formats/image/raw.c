/* Raw bytes at an address the user gives: FILE@ADDR. */
#include "analyzer/base/esc.h"
#include "formats/image/sparse.h"

static int probe(const struct hr_file *f) { return f->has_addr && f->bytes.n ? 10 : 0; }

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    hr_str name;
    size_t zeros = 0;
    char path[512];
    if (f->bytes.n && f->addr + (f->bytes.n - 1) < f->addr) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "raw.too_high", "%s does not fit at 0x%llx: it would reach beyond the end of memory",
                hr_escz(path, sizeof path, f->path), (unsigned long long)f->addr);
        return HR_UNSUPPORTED;
    }
    if (!*img->format)
        HR_TRY(hr_raw_arch(img, opt));
    HR_TRY(hr_strs_addz(img->strs, "raw", &name));
    while (zeros < f->bytes.n && !f->bytes.p[zeros])
        zeros++;
    if (zeros == f->bytes.n)
        hr_note(img->notes, HR_NOTE_DEGRADED, "raw.all_zero", "%s is zero throughout: some probes and emulators write that for memory they cannot see",
                hr_escz(path, sizeof path, f->path));
    if (!*img->format)
        img->format = "raw";
    img->dumped_bytes += f->bytes.n;
    return hr_image_add(img, (struct hr_segment){.addr = f->addr, .msize = f->bytes.n, .bytes = f->bytes, .name = name,
                                                 .flags = HR_SEG_R | HR_SEG_W | HR_SEG_X, .module = HR_NONE});
}

const struct hr_format hr_format_raw = {"raw", probe, load};
