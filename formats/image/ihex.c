/* Intel HEX: ":LLAAAATT…CC" lines; types 00 data, 01 end, 02/04 upper address, 03/05 start. Gaps are normal, order is not
 * guaranteed. Layout: Intel's specification of 1988, checked against objcopy's and srec_cat's output. */
#include <string.h>

#include "analyzer/base/esc.h"
#include "formats/image/sparse.h"

static int probe(const struct hr_file *f)
{
    struct hr_lines l = {f->bytes.p, f->bytes.p + f->bytes.n, 0};
    struct hr_span s;
    while (l.number < 16 && hr_lines_next(&l, &s)) {
        if (!s.n)
            continue;
        if (s.n < 11 || s.p[0] != ':' || s.n % 2 == 0)
            return 0;
        return hr_hex_byte(s.p + 1) == (int)(s.n - 11) / 2 ? 80 : 0;
    }
    return 0;
}

static enum hr_status record(struct hr_sparse *out, const uint8_t *r, uint64_t *upper, bool *end)
{
    uint64_t addr = *upper + ((uint32_t)r[1] << 8 | r[2]), word = r[0] >= 2 ? (uint32_t)r[4] << 8 | r[5] : 0;
    switch (r[3]) {
    case 0:
        return hr_sparse_add(out, addr, r + 4, r[0]);
    case 1:
        *end = true;
        return HR_OK;
    case 2:
        *upper = word << 4;
        return HR_OK;
    case 4:
        *upper = word << 16;
        return HR_OK;
    default:
        return HR_OK; /* 03 and 05 are where a program starts: nothing for a memory image */
    }
}

/* A damaged line may have been a 02 or 04 record, or have swallowed one: then nobody knows where the data behind it belongs. */
static bool may_be_upper(struct hr_span line)
{
    enum { UPPER = 15 }; /* ":02000004UUUUCC" */
    return line.n <= UPPER || memchr(line.p + 1, ':', line.n - 1);
}

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    struct hr_sparse out;
    struct hr_lines l = {f->bytes.p, f->bytes.p + f->bytes.n, 0};
    struct hr_span s;
    uint64_t upper = f->has_addr ? f->addr : 0;
    bool end = false, lost = false;
    hr_sparse_init(&out, f->bytes.n);
    enum hr_status st = img->format && *img->format ? HR_OK : hr_raw_arch(img, opt);
    while (st == HR_OK && !end && hr_lines_next(&l, &s)) {
        uint8_t r[5 + 255];
        uint8_t sum = 0;
        long n = s.n && s.p[0] == ':' ? hr_hex_bytes((struct hr_span){s.p + 1, s.n - 1}, r, sizeof r) : s.n ? -1 : 0;
        if (!n)
            continue;
        for (long i = 0; i < n; i++)
            sum = (uint8_t)(sum + r[i]);
        if (n < 5 || n != r[0] + 5 || sum) {
            hr_note_at(img->notes, HR_NOTE_DEGRADED, "ihex.bad_record", l.number, "line %u of the Intel HEX file is damaged (%s) and was left out", l.number,
                       n >= 5 && n == r[0] + 5 ? "wrong checksum" : "no record");
            img->complete = false;
            if (!lost && may_be_upper(s)) {
                lost = true;
                hr_note_at(img->notes, HR_NOTE_DAMAGE, "ihex.address_lost", l.number, "line %u may have been the one that says where the next lines belong: they are left out up to the next such line", l.number);
            }
            continue;
        }
        lost &= r[3] != 2 && r[3] != 4;
        if (lost && r[3] == 0)
            continue;
        st = record(&out, r, &upper, &end);
    }
    if (st == HR_OK && !end) {
        img->complete = false;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the Intel HEX file has no end record: it is cut, and memory may be missing");
    }
    if (st == HR_OK)
        st = hr_sparse_finish(&out, img, "ihex");
    hr_sparse_deinit(&out);
    if (st == HR_OK && !*img->format)
        img->format = "ihex";
    return st;
}

const struct hr_format hr_format_ihex = {"ihex", probe, load};
