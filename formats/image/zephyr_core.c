/* Zephyr's core dumps: the binary file, and the console log with "#CD:<hex>" lines.
 *
 * "ZE", u16 version, u16 target, u8 log2 of pointer bits, u8 flags, u32 reason; then blocks by a letter: A {u16 version,
 * u16 bytes} the registers of the thread that failed; M {u16 version, start, end} memory; T {u16 version, u16 bytes} about
 * threads; C {u16 version, u32} a checksum. Little-endian unless the target is not.
 * Layout: subsys/debug/coredump and arch/ * /core/coredump.c of Zephyr 2.5 to 4.x. */
#include "analyzer/base/esc.h"
#include "formats/image/sparse.h"

enum { HEADER = 12, ZEPHYR_X86 = 1, ZEPHYR_X86_64, ZEPHYR_CORTEX_M, ZEPHYR_RISCV, ZEPHYR_XTENSA, ZEPHYR_ARM64 };

static const char *const arch_names[] = {
    [ZEPHYR_X86] = "i386", [ZEPHYR_X86_64] = "x86-64", [ZEPHYR_CORTEX_M] = "arm", [ZEPHYR_RISCV] = "riscv32",
    [ZEPHYR_XTENSA] = "xtensa", [ZEPHYR_ARM64] = "aarch64",
};

/* Slots of the register block -> DWARF numbers; X: none of ours. */
enum { X = 0xff };
static const uint8_t cortex_m[] = {0, 1, 2, 3, 12, 14, 15, X, 13, 4, 5, 6, 7, 8, 9, 10, 11};
static const uint8_t riscv[] = {X,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static bool magic(const uint8_t *p, size_t n)
{
    return n >= HEADER && p[0] == 'Z' && p[1] == 'E' && !p[3] && p[2] && p[2] < 16 && !p[5] && p[4] && p[4] < 16 && (p[6] == 5 || p[6] == 6);
}

/* ---- the console log ---- */
static const char mark[] = "#CD:";
enum { MARK = sizeof mark - 1 };

/* What follows the mark on a line, wherever the logger's own prefix ends. */
static bool marked(struct hr_span line, struct hr_span *ret)
{
    const uint8_t *p = line.n ? memmem(line.p, line.n, mark, MARK) : NULL;
    if (!p)
        return false;
    p += MARK;
    *ret = (struct hr_span){p, (size_t)(line.p + line.n - p)};
    return true;
}

static bool says(struct hr_span s, const char *word) { return s.n >= strlen(word) && !memcmp(s.p, word, strlen(word)); }

static int probe(const struct hr_file *f)
{
    if (magic(f->bytes.p, f->bytes.n))
        return 90;
    struct hr_lines l = {f->bytes.p, f->bytes.p + hr_min(f->bytes.n, 1 << 20), 0};
    struct hr_span line, rest;
    while (hr_lines_next(&l, &line))
        if (marked(line, &rest))
            return says(rest, "BEGIN#") || says(rest, "5a45") ? 95 : 0;
    return 0;
}

static enum hr_status unlog(const struct hr_file *f, struct hr_image *img, struct hr_u8vec *out)
{
    struct hr_lines l = {f->bytes.p, f->bytes.p + f->bytes.n, 0};
    struct hr_span line, hex;
    bool ended = false;
    uint8_t row[4096];
    while (!ended && hr_lines_next(&l, &line)) {
        if (!marked(line, &hex) || says(hex, "BEGIN#"))
            continue;
        if ((ended = says(hex, "END#")))
            break;
        if (says(hex, "ERROR")) {
            hr_note_at(img->notes, HR_NOTE_DEGRADED, "zephyr.error", l.number, "the log says at line %u that the target could not write its dump to the end", l.number);
            continue;
        }
        size_t n = 0;
        while (n < hex.n && hr_hex_byte((uint8_t[]){hex.p[n], '0'}) >= 0)
            n++;
        long got = hr_hex_bytes((struct hr_span){hex.p, n}, row, sizeof row);
        if (got < 0) {
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "zephyr.bad_line", l.number, "line %u of the log is damaged: what follows it cannot be placed", l.number);
            img->complete = false;
            return HR_OK;
        }
        if (!got)
            continue;
        HR_TRY(hr_u8vec_reserve(out, out->n + (size_t)got));
        memcpy(out->v + out->n, row, (size_t)got);
        out->n += (size_t)got;
    }
    if (!ended) {
        img->complete = false;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the log ends before the dump does: memory is missing");
    }
    return HR_OK;
}

/* ---- blocks ---- */
static enum hr_status registers(struct hr_image *img, unsigned target, struct hr_span s)
{
    const uint8_t *map = target == ZEPHYR_CORTEX_M ? cortex_m : riscv;
    size_t n = target == ZEPHYR_CORTEX_M ? sizeof cortex_m : sizeof riscv;
    struct hr_thread t = {.tid = 1};
    unsigned w = img->word;
    if (target != ZEPHYR_CORTEX_M && !(target == ZEPHYR_RISCV && s.n >= sizeof riscv * w)) {
        hr_note(img->notes, HR_NOTE_DEGRADED, "zephyr.registers", "the registers of this dump are of a kind that is not read: give them with --regs");
        return HR_OK;
    }
    for (size_t i = 0; i < n && (i + 1) * w <= s.n; i++)
        if (map[i] != X) {
            t.reg[map[i]] = hr_load(s.p + i * w, w, img->big);
            t.reg_valid |= 1ull << map[i];
        }
    enum { R4_TO_R11 = 0xff << 4 };
    uint64_t callee = 0;
    for (unsigned i = 4; i <= 11; i++)
        callee |= t.reg[i];
    if (target == ZEPHYR_CORTEX_M && !callee) /* kept only with CONFIG_EXTRA_EXCEPTION_INFO */
        t.reg_valid &= ~(uint64_t)R4_TO_R11;
    /* the earlier of two thread blocks is the one that failed */
    t.sp = t.reg[img->arch->sp];
    t.pc = t.reg[img->arch->pc];
    bool named = target == ZEPHYR_CORTEX_M && t.pc; /* no stack pointer after a panic: it is found in the stack (hr_rtos_find) */
    if (!t.sp)
        t.reg_valid &= ~(1ull << img->arch->sp);
    return (t.sp || named) && !img->threads.n ? hr_threadvec_push(&img->threads, t) : HR_OK;
}

static enum hr_status memory(struct hr_image *img, struct hr_cursor *c, hr_str name)
{
    uint64_t lo = hr_cur_addr(c), hi = hr_cur_addr(c);
    if (c->bad || hi < lo) {
        c->bad = true;
        return HR_OK;
    }
    uint64_t have = hr_min(hi - lo, hr_cur_left(c));
    struct hr_segment s = {.addr = lo, .msize = hi - lo, .bytes = hr_cur_bytes(c, have), .name = name,
                           .flags = HR_SEG_R | HR_SEG_W | HR_SEG_X, .module = HR_NONE};
    if (have < hi - lo) {
        s.flags |= HR_SEG_CUT;
        img->missing_bytes = hr_sat_add(img->missing_bytes, hi - lo - have);
        c->bad = true;
    }
    img->dumped_bytes += have;
    return hi > lo ? hr_image_add(img, s) : HR_OK;
}

static enum hr_status blocks(struct hr_image *img, struct hr_cursor *c, unsigned target)
{
    hr_str name;
    HR_TRY(hr_strs_addz(img->strs, "zephyr", &name));
    while (hr_cur_left(c) && !c->bad) {
        size_t at = hr_cur_off(c);
        uint8_t kind = hr_cur_u8(c);
        hr_cur_u16(c); /* version of the block: later ones append */
        switch (kind) {
        case 'A': {
            struct hr_span s = hr_cur_bytes(c, hr_cur_u16(c));
            HR_TRY(registers(img, target, s));
            break;
        }
        case 'M': HR_TRY(memory(img, c, name)); break;
        case 'T':
        case 'F': hr_cur_bytes(c, hr_cur_u16(c)); break;
        case 'C': return HR_OK;
        default:
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "zephyr.bad_block", at, "there is no block of kind 0x%02x (offset %zu): the dump is read up to there", kind, at);
            img->complete = false;
            return HR_OK;
        }
    }
    if (c->bad) {
        img->complete = false;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the dump was cut short: what lies in its missing part is unknown");
    }
    return HR_OK;
}

static enum hr_status load_bytes(struct hr_span s, struct hr_image *img)
{
    if (!magic(s.p, s.n)) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "zephyr.no_header", "the dump in the log has no header");
        return HR_CORRUPT;
    }
    unsigned target = s.p[4];
    const char *name = target < sizeof arch_names / sizeof *arch_names ? arch_names[target] : NULL;
    if (target == ZEPHYR_RISCV && s.p[6] == 6)
        name = "riscv64";
    const struct hr_arch *a = name ? hr_arch_by_name(name) : NULL;
    if (!*img->format) {
        img->format = "zephyr";
        img->arch = a ? a : hr_arch_unknown(s.p[6] == 6 ? 64 : 32);
        img->word = s.p[6] == 6 ? 8 : 4;
    }
    struct hr_cursor c = hr_cursor(s, false, s.p[6] == 6 ? 8 : 4);
    hr_cur_seek(&c, HEADER);
    return blocks(img, &c, target);
}

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    (void)opt;
    if (magic(f->bytes.p, f->bytes.n))
        return load_bytes(f->bytes, img);
    struct hr_u8vec out = {.max = f->bytes.n + 1};
    enum hr_status st = unlog(f, img, &out);
    if (st != HR_OK) {
        hr_u8vec_deinit(&out);
        return st;
    }
    struct hr_span s = {out.v, out.n};
    if (out.v)
        HR_TRY(hr_image_keep(img, out.v));
    return load_bytes(s, img);
}

const struct hr_format hr_format_zephyr_core = {"zephyr", probe, load};
