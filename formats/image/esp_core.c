/* ESP-IDF's core dumps as they lie in the flash partition or come over the console.
 *
 * {bytes of all, version, [tasks, bytes of a TCB, segments,] [chip revision]}, then an ELF core (version 0x01xx) or, up to IDF 5.0,
 * task by task {TCB's address, stack from, to} with both (0x0001, 0x0002); then a CRC-32 or a SHA-256 of all before it. The upper
 * half of the version is the chip. On the console: lines of base64, each padded for itself, between two markers.
 * Layout: components/espcoredump of IDF 3.3 to 6.0. */
#include <zlib.h>

#include "analyzer/base/esc.h"
#include "formats/image/core.h"
#include "formats/image/sha256.h"
#include "formats/image/sparse.h"

enum { LEAST_HEADER = 12, BIN_HEADER = 16, BIN_HEADER_2 = 20, SHA = 32, MAX_TASKS = 1024, MAX_STACK = 1 << 20 };

static uint32_t u32(struct hr_span s, size_t at) { return at + 4 <= s.n ? hr_load32(s.p + at, false) : 0; }

/* Where the ELF file begins, 0: nowhere. */
static size_t elf_at(struct hr_span s)
{
    static const uint8_t at[] = {12, 20, 24};
    for (size_t i = 0; i < sizeof at; i++)
        if (s.n > at[i] + 20u && !memcmp(s.p + at[i], "\177ELF", 4))
            return at[i];
    return 0;
}

/* The older form: as many tasks, of TCBs as large, as it says; no ELF. */
static bool is_bin(struct hr_span s)
{
    uint32_t version = u32(s, 4) & 0xffff, tasks = u32(s, 8), tcb = u32(s, 12), len = u32(s, 0);
    size_t head = version == 1 ? BIN_HEADER : BIN_HEADER_2;
    if ((version != 1 && version != 2 && version != 3) || s.n < head + 12 || !tasks || tasks > MAX_TASKS || tcb < 32 || tcb > 4096 || len < head || len > 64 << 20)
        return false;
    uint32_t at = u32(s, head), lo = u32(s, head + 4), hi = u32(s, head + 8);
    return at > 0x1000 && !(at & 3) && lo <= hi && hi - lo <= MAX_STACK;
}

static bool is_dump(struct hr_span s) { return s.n >= LEAST_HEADER + 16 && (((u32(s, 4) & 0xff00) == 0x100 && elf_at(s)) || is_bin(s)); }

/* ---- the console ---- */

static const char start_mark[] = "CORE DUMP START", end_mark[] = "CORE DUMP END";

static bool has(struct hr_span line, const char *z) { return line.n >= strlen(z) && memmem(line.p, line.n, z, strlen(z)); }

static int digit(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One line of base64, whole groups of four; false when it is none. */
static bool unbase64(struct hr_span line, uint8_t *out, size_t cap, size_t *n_ret)
{
    size_t n = 0;
    if (!line.n || line.n % 4 || line.n / 4 * 3 > cap)
        return false;
    for (size_t i = 0; i < line.n; i += 4) {
        int d[4];
        unsigned pad = 0;
        for (unsigned j = 0; j < 4; j++) {
            d[j] = digit(line.p[i + j]);
            if (d[j] < 0 && (line.p[i + j] != '=' || i + 4 < line.n || j < 2))
                return false;
            if (pad && d[j] >= 0)
                return false;
            pad += d[j] < 0;
        }
        uint32_t v = (uint32_t)d[0] << 18 | (uint32_t)d[1] << 12 | (pad < 2 ? (uint32_t)d[2] << 6 : 0) | (pad < 1 ? (uint32_t)d[3] : 0);
        for (unsigned j = 0; j < 3 - pad; j++)
            out[n++] = (uint8_t)(v >> (16 - 8 * j));
    }
    *n_ret = n;
    return n > 0;
}

/* What a logger puts in front of a line ends in a blank; base64 has none. */
static struct hr_span last_word(struct hr_span line)
{
    for (size_t i = line.n; i-- > 0;)
        if (line.p[i] == ' ' || line.p[i] == '\t')
            return (struct hr_span){line.p + i + 1, line.n - i - 1};
    return line;
}

static enum hr_status unlog(struct hr_span text, struct hr_image *img, bool marked, struct hr_u8vec *out)
{
    enum { ROW = 3072 };
    struct hr_lines l = {text.p, text.p + text.n, 0};
    struct hr_span line;
    bool inside = !marked, ended = false;
    uint8_t row[ROW];
    size_t n;
    while (!ended && hr_lines_next(&l, &line)) {
        if (has(line, start_mark)) {
            inside = true;
            out->n = 0; /* a log with several dumps: the last one */
        } else if (has(line, end_mark)) {
            inside = !marked;
            ended = true;
        } else if (inside && line.n && unbase64(last_word(line), row, sizeof row, &n)) {
            HR_TRY(hr_u8vec_reserve(out, out->n + n));
            memcpy(out->v + out->n, row, n);
            out->n += n;
        } else if (inside && line.n && out->n && img) {
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "esp.bad_line", l.number, "line %u of the dump is no base64: what was in it is missing, and what follows is out of place", l.number);
            img->complete = false;
        }
    }
    if (marked && !ended && img) {
        img->complete = false;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the log ends before the dump does: memory is missing");
    }
    return HR_OK;
}

/* The first few lines tell: a marker, or base64 that begins like a dump. */
static int probe_text(struct hr_span s)
{
    struct hr_lines l = {s.p, s.p + hr_min(s.n, 1 << 20), 0};
    struct hr_span line;
    uint8_t row[96];
    size_t n;
    for (bool first = true; hr_lines_next(&l, &line);) {
        if (has(line, start_mark))
            return 95;
        if (!line.n)
            continue;
        bool b64 = unbase64(line, row, sizeof row, &n);
        if (first && b64 && n >= LEAST_HEADER && ((u32((struct hr_span){row, n}, 4) & 0xfe00) == 0) && (u32((struct hr_span){row, n}, 4) & 0xffff) && u32((struct hr_span){row, n}, 0) < 64 << 20)
            return 90;
        first = false;
    }
    return 0;
}

static int probe(const struct hr_file *f) { return is_dump(f->bytes) ? 92 : probe_text(f->bytes); }

/* ---- contents ---- */

static void check(struct hr_image *img, struct hr_span s, uint32_t len, uint32_t version)
{
    uint8_t sum[SHA];
    unsigned minor = version & 0xff;
    bool sha = (version & 0xff00) == 0x100 && (minor & 1 || minor >= 4);
    size_t trail = sha ? SHA : 4;
    if (s.n < len) {
        img->complete = false;
        hr_note(img->notes, HR_NOTE_DEGRADED, "core.truncated", "the dump was cut short: %zu of its %u bytes are there", s.n, len);
        return;
    }
    if (len < trail)
        return;
    struct hr_span body = {s.p, len - trail};
    if (sha)
        hr_sha256(body, sum);
    bool good = sha ? !memcmp(sum, s.p + body.n, SHA) : (uint32_t)crc32(0, body.p, (uInt)body.n) == u32(s, body.n);
    if (!good)
        hr_note(img->notes, HR_NOTE_DAMAGE, "core.checksum", "the %s at the end of the dump does not fit what is in front of it: bytes of it are damaged or missing", sha ? "SHA-256" : "CRC-32");
}

static void adopt(struct hr_image *img, uint32_t version)
{
    enum { ESP32 = 0, S2 = 2, S3 = 9 }; /* the others are RISC-V (esp_chip_id_t) */
    unsigned chip = version >> 16;
    img->format = "esp-core";
    img->arch = hr_arch_by_name(chip == ESP32 || chip == S2 || chip == S3 ? "xtensa" : "riscv32");
    img->word = 4;
}

static enum hr_status add(struct hr_image *img, uint32_t addr, struct hr_span bytes)
{
    struct hr_segment g = {.addr = addr, .msize = bytes.n, .bytes = bytes, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    img->dumped_bytes += bytes.n;
    return bytes.n ? hr_image_add(img, g) : HR_OK;
}

/* Registers lie on the task's stack, where its roots are looked for anyway; the stack pointer is where that begins. */
static enum hr_status load_bin(struct hr_span s, struct hr_image *img)
{
    uint32_t version = u32(s, 4), tasks = u32(s, 8), tcb = u32(s, 12);
    adopt(img, version);
    check(img, s, u32(s, 0), version);
    struct hr_cursor c = hr_cursor(s, false, 4);
    hr_cur_seek(&c, (version & 0xffff) == 1 ? BIN_HEADER : BIN_HEADER_2);
    for (uint32_t i = 0; i < tasks && i < MAX_TASKS && !c.bad; i++) {
        uint32_t at = hr_cur_u32(&c), lo = hr_cur_u32(&c), hi = hr_cur_u32(&c);
        if (c.bad || hi < lo || hi - lo > MAX_STACK) {
            hr_note_at(img->notes, HR_NOTE_DAMAGE, "esp.bad_task", hr_cur_off(&c), "task %u of the dump has no sensible stack: the dump is read up to there", i);
            img->complete = false;
            break;
        }
        HR_TRY(add(img, at, hr_cur_bytes(&c, (tcb + 3) & ~3u)));
        HR_TRY(add(img, lo, hr_cur_bytes(&c, (hi - lo + 3) & ~3u)));
        struct hr_thread t = {.tid = at, .sp = lo};
        t.reg[img->arch->sp] = lo;
        t.reg_valid = 1ull << img->arch->sp;
        if (lo && !c.bad)
            HR_TRY(hr_threadvec_push(&img->threads, t));
    }
    return HR_OK;
}

static enum hr_status load_bytes(struct hr_span s, struct hr_image *img)
{
    size_t at = elf_at(s);
    if (!is_dump(s)) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "esp.no_header", "the text holds no core dump of ESP-IDF");
        return HR_CORRUPT;
    }
    if (!at)
        return load_bin(s, img);
    check(img, s, u32(s, 0), u32(s, 4));
    HR_TRY(hr_elf_core_load((struct hr_span){s.p + at, s.n - at}, img));
    img->format = "esp-core";
    return HR_OK;
}

static enum hr_status load(const struct hr_file *f, const struct hr_open_options *opt, struct hr_image *img)
{
    (void)opt;
    if (is_dump(f->bytes))
        return load_bytes(f->bytes, img);
    struct hr_u8vec out = {.max = f->bytes.n + 1};
    enum hr_status st = unlog(f->bytes, img, has(f->bytes, start_mark), &out);
    if (st != HR_OK) {
        hr_u8vec_deinit(&out);
        return st;
    }
    struct hr_span s = {out.v, out.n};
    if (out.v)
        HR_TRY(hr_image_keep(img, out.v));
    return load_bytes(s, img);
}

const struct hr_format hr_format_esp_core = {"esp-core", probe, load};
