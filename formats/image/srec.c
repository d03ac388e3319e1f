/* Motorola S-records: S0 header, S1/S2/S3 data with 2/3/4 address bytes, S5/S6 count, S7/S8/S9 start. The checksum is the ones'
 * complement of the sum of count, address and data. */
#include "formats/image/sparse.h"

static int probe(const struct hr_file *f)
{
    struct hr_lines l = {f->bytes.p, f->bytes.p + f->bytes.n, 0};
    struct hr_span s;
    while (l.number < 16 && hr_lines_next(&l, &s)) {
        if (!s.n)
            continue;
        if (s.n < 10 || s.n % 2 || s.p[0] != 'S' || s.p[1] < '0' || s.p[1] > '9')
            return 0;
        return hr_hex_byte(s.p + 2) == (int)(s.n - 4) / 2 ? 80 : 0;
    }
    return 0;
}

/* Does the count record say as many data records as there were? */
static bool counts(const uint8_t *r, long n, unsigned type, uint64_t records)
{
    unsigned bytes = type - 3;
    return n == (long)bytes + 2 && hr_load(r + 1, bytes, true) == (records & ((UINT64_C(1) << 8 * bytes) - 1));
}

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    static const uint8_t addr_bytes[10] = {['1'-'0'] = 2, ['2'-'0'] = 3, ['3'-'0'] = 4};
    struct hr_sparse out;
    struct hr_lines l = {f->bytes.p, f->bytes.p + f->bytes.n, 0};
    struct hr_span s;
    bool end = false, counted = false;
    uint64_t records = 0;
    hr_sparse_init(&out, f->bytes.n);
    enum hr_status st = *img->format ? HR_OK : hr_raw_arch(img, opt);
    while (st == HR_OK && !end && hr_lines_next(&l, &s)) {
        uint8_t r[256], sum = 0;
        if (!s.n)
            continue;
        long n = s.n > 2 && s.p[0] == 'S' ? hr_hex_bytes((struct hr_span){s.p + 2, s.n - 2}, r, sizeof r) : -1;
        for (long i = 0; i < n; i++)
            sum = (uint8_t)(sum + r[i]);
        unsigned type = s.n > 1 ? s.p[1] - '0' : 99;
        if (n < 3 || n != r[0] + 1 || sum != 0xff || type > 9) {
            hr_note_at(img->notes, HR_NOTE_DEGRADED, "srec.bad_record", l.number, "line %u of the S-record file is damaged and was left out", l.number);
            img->complete = false;
            continue;
        }
        unsigned ab = addr_bytes[type];
        end = type >= 7;
        if (type == 5 || type == 6)
            counted = counts(r, n, type, records);
        else if (ab)
            records++, counted = false;
        if (ab && n >= (long)ab + 2)
            st = hr_sparse_add(&out, hr_load(r + 1, ab, true) + (f->has_addr ? f->addr : 0), r + 1 + ab, (size_t)n - ab - 2);
    }
    if (st == HR_OK && !end && !counted) { /* srec_cat writes no end record where there is no start address, but a count */
        img->complete = false;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the S-record file has no end record: it is cut, and memory may be missing");
    }
    if (st == HR_OK)
        st = hr_sparse_finish(&out, img, "srec");
    hr_sparse_deinit(&out);
    if (st == HR_OK && !*img->format)
        img->format = "srec";
    return st;
}

const struct hr_format hr_format_srec = {"srec", probe, load};
