/* UF2: 512-byte blocks {0x0A324655, 0x9E5D5157, flags, address, size, number, total, family, 476 data bytes, 0x0AB16F30},
 * little-endian. Flag 0x1 = not for main memory, skipped. */
#include "formats/image/sparse.h"

enum { BLOCK = 512, DATA = 476 };

static bool good(const uint8_t *b)
{
    return hr_load32(b, false) == 0x0A324655 && hr_load32(b + 4, false) == 0x9E5D5157 && hr_load32(b + 508, false) == 0x0AB16F30;
}

static int probe(const struct hr_file *f) { return f->bytes.n >= BLOCK && good(f->bytes.p) ? 90 : 0; }

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    struct hr_sparse out;
    uint64_t seen = 0, total = 0;
    hr_sparse_init(&out, f->bytes.n);
    enum hr_status st = *img->format ? HR_OK : hr_raw_arch(img, opt);
    for (size_t at = 0; st == HR_OK && at + BLOCK <= f->bytes.n; at += BLOCK) {
        const uint8_t *b = f->bytes.p + at;
        uint32_t n = hr_load32(b + 16, false);
        if (!good(b) || n > DATA) {
            hr_note_at(img->notes, HR_NOTE_DEGRADED, "uf2.bad_block", at, "the UF2 block at offset %zu is damaged and was left out", at);
            img->complete = false;
            continue;
        }
        seen++;
        total = hr_max(total, hr_load32(b + 24, false));
        if (!(hr_load32(b + 8, false) & 1))
            st = hr_sparse_add(&out, hr_load32(b + 12, false) + (f->has_addr ? f->addr : 0), b + 32, n);
    }
    if (st == HR_OK && (seen < total || f->bytes.n % BLOCK)) {
        img->complete = false;
        img->missing_bytes += total > seen ? (total - seen) * 256 : 0;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the UF2 file has %llu of %llu blocks: it is cut",
                (unsigned long long)seen, (unsigned long long)total);
    }
    if (st == HR_OK)
        st = hr_sparse_finish(&out, img, "uf2");
    hr_sparse_deinit(&out);
    if (st == HR_OK && !*img->format)
        img->format = "uf2";
    return st;
}

const struct hr_format hr_format_uf2 = {"uf2", probe, load};
