/* CrashCatcher's dumps of Cortex-M: "cC", version 3.0, u32 flags, R0-R12 SP LR PC PSR MSP PSP exception-PSR, with flag 1 32
 * float registers and FPSCR; then regions {u32 start, u32 end, bytes} to the end. As a file, or as two hex digits a byte.
 * Five words behind the last region are the fault status registers (as a region of their own). Little-endian.
 * Layout: CrashCatcher's include/CrashCatcher.h and Core/src. */
#include "formats/image/sparse.h"

enum { HEAD = 8, NREGS = 20, FLOATS = 33, FLAG_FLOATS = 1, SP = 13, LR = 14, PC = 15 };

static bool magic(const uint8_t *p, size_t n) { return n >= HEAD + 4 * NREGS && p[0] == 'c' && p[1] == 'C' && p[2] == 3 && p[3] < 16; }

/* "63430300" with any white space between bytes or lines. */
static int probe(const struct hr_file *f)
{
    struct hr_lines l = {f->bytes.p, f->bytes.p + f->bytes.n, 0};
    struct hr_span s;
    if (magic(f->bytes.p, f->bytes.n))
        return 90;
    while (l.number < 64 && hr_lines_next(&l, &s))
        if (s.n)
            return s.n >= 8 && !memcmp(s.p, "63430300", 8) ? 85 : 0;
    return 0;
}

static enum hr_status unhex(struct hr_span in, struct hr_image *img, struct hr_u8vec *out)
{
    struct hr_lines l = {in.p, in.p + in.n, 0};
    struct hr_span s;
    while (hr_lines_next(&l, &s)) {
        HR_TRY(hr_u8vec_reserve(out, out->n + s.n / 2));
        long n = hr_hex_bytes(s, out->v + out->n, s.n / 2);
        if (n < 0) {
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "crashcatcher.bad_line", l.number, "line %u is no row of hex digits: the dump is read up to there", l.number);
            img->complete = false;
            return HR_OK;
        }
        out->n += (size_t)n;
    }
    return HR_OK;
}

static enum hr_status thread(struct hr_cursor *c, struct hr_image *img)
{
    struct hr_thread t = {.tid = 1};
    for (unsigned i = 0; i < NREGS; i++) {
        uint32_t v = hr_cur_u32(c);
        if (i <= PC) {
            t.reg[i] = v;
            t.reg_valid |= 1ull << i;
        }
    }
    t.sp = t.reg[SP];
    t.pc = t.reg[PC];
    return img->threads.n ? HR_OK : hr_threadvec_push(&img->threads, t);
}

/* Nothing says how many regions there are, but the last one is whole. */
static enum hr_status cut_short(struct hr_image *img)
{
    img->complete = false;
    hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the dump ends in the bounds of a region: what lies there is missing");
    return HR_OK;
}

static enum hr_status regions(struct hr_cursor *c, struct hr_image *img)
{
    hr_str name;
    HR_TRY(hr_strs_addz(img->strs, "crashcatcher", &name));
    while (hr_cur_left(c) >= 4) {
        uint64_t lo = hr_cur_u32(c);
        if (lo == 0xacce55ed) { /* the handler's own stack ran over while it dumped */
            hr_note(img->notes, HR_NOTE_DEGRADED, "crashcatcher.overflow", "the fault handler ran out of stack while it wrote the dump: bytes below its stack are its own");
            return HR_OK;
        }
        if (hr_cur_left(c) < 4)
            return cut_short(img);
        uint64_t hi = hr_cur_u32(c), n = hr_min(hi - lo, hr_cur_left(c));
        if (hi < lo) {
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "crashcatcher.bad_region", lo, "a region ends before it begins: the dump is read up to there");
            img->complete = false;
            return HR_OK;
        }
        struct hr_segment s = {.addr = lo, .msize = hi - lo, .bytes = hr_cur_bytes(c, n), .name = name,
                               .flags = HR_SEG_R | HR_SEG_W | HR_SEG_X, .module = HR_NONE};
        if (lo >= 0xe0000000) /* system control block: status, no memory */
            s.flags = HR_SEG_R | HR_SEG_DEVICE;
        if (n < hi - lo) {
            s.flags |= HR_SEG_CUT;
            img->complete = false;
            img->missing_bytes += hi - lo - n;
            hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the dump was cut short: %llu bytes are missing", (unsigned long long)(hi - lo - n));
        }
        img->dumped_bytes += n;
        if (hi > lo)
            HR_TRY(hr_image_add(img, s));
    }
    return hr_cur_left(c) ? cut_short(img) : HR_OK;
}

static enum hr_status load_bytes(struct hr_span in, struct hr_image *img)
{
    struct hr_cursor c = hr_cursor(in, false, 4);
    if (!magic(in.p, in.n)) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "crashcatcher.cut", "the dump ends within its registers");
        return HR_CORRUPT;
    }
    if (!*img->format) {
        img->format = "crashcatcher";
        img->arch = hr_arch_by_name("arm");
        img->word = 4;
    }
    hr_cur_seek(&c, 4);
    uint32_t flags = hr_cur_u32(&c);
    HR_TRY(thread(&c, img));
    if (flags & FLAG_FLOATS)
        hr_cur_bytes(&c, 4 * FLOATS);
    return regions(&c, img);
}

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    (void)opt;
    if (magic(f->bytes.p, f->bytes.n))
        return load_bytes(f->bytes, img);
    struct hr_u8vec out = {.max = f->bytes.n + 1};
    enum hr_status st = unhex(f->bytes, img, &out);
    if (st != HR_OK) {
        hr_u8vec_deinit(&out);
        return st;
    }
    struct hr_span s = {out.v, out.n};
    if (out.v)
        HR_TRY(hr_image_keep(img, out.v));
    return load_bytes(s, img);
}

const struct hr_format hr_format_crash_catcher = {"crashcatcher", probe, load};
