/* Small images in each of the firmware formats: every length, and every byte set to the values that lengths, addresses and digits
 * break at, with and without an address. Nothing may crash, hang or break a promise; built with ASan and UBSan by `make sweep`. */
#include <time.h>

#include "tests/fuzz/load_core.h"
#include "tests/tap.h"

enum { CAP = 4096, RAM = 64, BASE = 0x20000000 };

struct out {
    uint8_t p[CAP];
    size_t n;
};

static uint8_t ram[RAM];
static double slowest;

static void bytes(struct out *o, const void *p, size_t n)
{
    memcpy(o->p + o->n, p, n);
    o->n += n;
}
static void num(struct out *o, uint64_t v, unsigned w)
{
    for (unsigned i = 0; i < w; i++)
        o->p[o->n++] = (uint8_t)(v >> 8 * i);
}
static void text(struct out *o, const char *z) { bytes(o, z, strlen(z)); }
static void hex(struct out *o, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        o->n += (size_t)snprintf((char *)o->p + o->n, 3, "%02X", p[i]);
}

/* ---- the formats ---- */

/* A record of Intel HEX; its checksum makes the sum nothing. */
static void ihex_record(struct out *o, uint16_t at, uint8_t type, const uint8_t *p, uint8_t n)
{
    uint8_t r[5 + 255] = {n, (uint8_t)(at >> 8), (uint8_t)at, type}, sum = 0;
    memcpy(r + 4, p, n);
    for (unsigned i = 0; i < 4u + n; i++)
        sum = (uint8_t)(sum + r[i]);
    r[4 + n] = (uint8_t)-sum;
    text(o, ":");
    hex(o, r, 5u + n);
    text(o, "\r\n");
}
static void ihex(struct out *o)
{
    ihex_record(o, 0, 4, (const uint8_t[]){BASE >> 24, BASE >> 16 & 255}, 2);
    for (unsigned at = 0; at < RAM; at += 16)
        ihex_record(o, (uint16_t)(at == 48 ? 0xfff8 : at), 0, ram + at, 16); /* one goes over the end of its 64 KiB */
    ihex_record(o, 0, 2, (const uint8_t[]){0x10, 0}, 2);
    ihex_record(o, 4, 0, ram, 4);
    ihex_record(o, 0, 5, (const uint8_t[]){0x20, 0, 0, 1}, 4);
    ihex_record(o, 0, 1, ram, 0);
}

static void srec_record(struct out *o, char type, unsigned ab, uint32_t at, const uint8_t *p, uint8_t n)
{
    uint8_t r[256 + 8] = {(uint8_t)(ab + n + 1)}, sum = 0;
    for (unsigned i = 0; i < ab; i++)
        r[1 + i] = (uint8_t)(at >> 8 * (ab - 1 - i));
    memcpy(r + 1 + ab, p, n);
    for (unsigned i = 0; i < 1 + ab + n; i++)
        sum = (uint8_t)(sum + r[i]);
    r[1 + ab + n] = (uint8_t)~sum;
    o->p[o->n++] = 'S';
    o->p[o->n++] = (uint8_t)type;
    hex(o, r, 2 + ab + n);
    text(o, "\n");
}
static void srec(struct out *o)
{
    srec_record(o, '0', 2, 0, (const uint8_t *)"heap", 4);
    srec_record(o, '3', 4, BASE, ram, 32);
    srec_record(o, '3', 4, 0xfffffff0, ram + 32, 16);
    srec_record(o, '2', 3, 0x123456, ram, 12);
    srec_record(o, '1', 2, 0xfffc, ram, 4);
    srec_record(o, '5', 2, 4, ram, 0);
    srec_record(o, '7', 4, BASE, ram, 0);
}

static void uf2(struct out *o)
{
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t head[] = {0x0A324655, 0x9E5D5157, 0x2000, BASE + 32 * i, 32, i, 2, 0xe48bff56};
        for (unsigned k = 0; k < 8; k++)
            num(o, head[k], 4);
        bytes(o, ram + 32 * i, 32);
        memset(o->p + o->n, 0, 444);
        o->n += 444;
        num(o, 0x0AB16F30, 4);
    }
}

static void zephyr_as(struct out *o, unsigned target, unsigned bits, unsigned regs)
{
    unsigned w = 1u << bits >> 3;
    text(o, "ZE");
    num(o, 1, 2), num(o, target, 2), num(o, bits, 1), num(o, 0, 1), num(o, 3, 4);
    text(o, "A");
    num(o, 2, 2), num(o, regs * w, 2);
    for (unsigned i = 0; i < regs; i++)
        num(o, BASE + 4 * i, w);
    text(o, "T");
    num(o, 1, 2), num(o, 4, 2), num(o, BASE, 4);
    text(o, "M");
    num(o, 1, 2), num(o, BASE, w), num(o, BASE + RAM, w);
    bytes(o, ram, RAM);
    text(o, "M");
    num(o, 1, 2), num(o, BASE + 0x100, w), num(o, BASE + 0x110, w);
    bytes(o, ram, 16);
    text(o, "C");
    num(o, 1, 2), num(o, 0, 4);
}
static void zephyr(struct out *o) { zephyr_as(o, 3, 5, 17); }
static void zephyr64(struct out *o) { zephyr_as(o, 4, 6, 33); }
static void zephyr_log(struct out *o)
{
    struct out b = {.n = 0};
    zephyr(&b);
    text(o, "*** Booting ***\r\n<err> #CD:BEGIN#\r\n");
    for (size_t i = 0; i < b.n; i += 32) {
        text(o, "<err> coredump: #CD:");
        hex(o, b.p + i, b.n - i < 32 ? b.n - i : 32);
        text(o, "\r\n");
    }
    text(o, "<err> #CD:END#\r\n");
}

static void crash(struct out *o)
{
    text(o, "cC");
    num(o, 3, 2), num(o, 1, 4);
    for (unsigned i = 0; i < 20 + 33; i++)
        num(o, BASE + 4 * i, 4);
    num(o, BASE, 4), num(o, BASE + RAM, 4);
    bytes(o, ram, RAM);
    num(o, 0xe000ed28, 4), num(o, 0xe000ed3c, 4);
    bytes(o, ram, 20);
    num(o, 0xacce55ed, 4);
}
static void crash_hex(struct out *o)
{
    struct out b = {.n = 0};
    crash(&b);
    for (size_t i = 0; i < b.n; i += i ? 16 : 8) {
        hex(o, b.p + i, b.n - i < (i ? 16 : 8) ? b.n - i : i ? 16 : 8);
        text(o, "\r\n");
    }
}

/* ESP-IDF before ELF: one task, its control block and its stack; a checksum. */
static void esp(struct out *o)
{
    enum { TCB = 64 };
    num(o, 16 + 12 + TCB + RAM + 4, 4), num(o, 1, 4), num(o, 1, 4), num(o, TCB, 4);
    num(o, 0x3ffb0000, 4), num(o, 0x3ffb1000, 4), num(o, 0x3ffb1000 + RAM, 4);
    bytes(o, ram, TCB);
    bytes(o, ram, RAM);
    num(o, 0x12345678, 4);
}
/* An ELF core with one note and one segment behind IDF's header. */
static void esp_elf(struct out *o)
{
    num(o, 24 + 52 + 64 + 96 + RAM + 4, 4), num(o, 0x0102, 4), num(o, 1, 4), num(o, 64, 4), num(o, 1, 4), num(o, 0x12c, 4);
    bytes(o, "\177ELF\1\1\1\0\0\0\0\0\0\0\0", 16);
    num(o, 4, 2), num(o, 94, 2), num(o, 1, 4), num(o, 0, 4), num(o, 52, 4), num(o, 0, 4), num(o, 0, 4);
    num(o, 52, 2), num(o, 32, 2), num(o, 2, 2), num(o, 0, 2), num(o, 0, 2), num(o, 0, 2);
    const uint32_t heads[] = {4, 116, 0, 0, 96, 96, 0, 4, 1, 212, 0x3ffb0000, 0, RAM, RAM, 6, 16};
    for (unsigned i = 0; i < 16; i++)
        num(o, heads[i], 4);
    num(o, 8, 4), num(o, 76, 4), num(o, 1, 4);
    text(o, "CORE");
    num(o, 0, 4);
    bytes(o, ram, RAM);
    num(o, 0x3ffb0000, 4), num(o, 0, 4), num(o, 0, 4);
    bytes(o, ram, RAM);
    num(o, 0, 4);
}
static void base64(struct out *o, const struct out *b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text(o, "================= CORE DUMP START =================\r\n");
    for (size_t i = 0; i < b->n; i++) {
        uint32_t v = (uint32_t)b->p[i] << 16 | (uint32_t)(i + 1 < b->n ? b->p[i + 1] : 0) << 8 | (i + 2 < b->n ? b->p[i + 2] : 0);
        if (i % 3)
            continue;
        for (unsigned k = 0; k < 4; k++)
            o->p[o->n++] = i + k > b->n ? '=' : (uint8_t)digits[v >> (18 - 6 * k) & 63];
        if (i % 48 == 45)
            text(o, "\r\n");
    }
    text(o, "\r\n================= CORE DUMP END =================\r\n");
}
static void esp_log(struct out *o)
{
    struct out b = {.n = 0};
    esp(&b);
    base64(o, &b);
}
static void esp_elf_log(struct out *o)
{
    struct out b = {.n = 0};
    esp_elf(&b);
    base64(o, &b);
}
static void raw(struct out *o) { bytes(o, ram, RAM); }

static const struct {
    const char *name;
    void (*make)(struct out *);
} all[] = {{"Intel HEX", ihex},       {"S-record", srec},    {"UF2", uf2},          {"Zephyr", zephyr},       {"Zephyr RV64", zephyr64},
           {"Zephyr's log", zephyr_log}, {"CrashCatcher", crash}, {"CrashCatcher as text", crash_hex}, {"ESP-IDF 3", esp}, {"ESP-IDF 5", esp_elf},
           {"ESP-IDF 3's console", esp_log}, {"ESP-IDF 5's console", esp_elf_log}, {"raw", raw}};

/* ---- the sweep ---- */

/* An exact-size copy, so that the first byte read too far is seen. */
static void once(const uint8_t *p, size_t n, bool has_addr, uint64_t addr)
{
    clock_t t = clock();
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    volatile uint64_t keep = load_at(copy, n, has_addr, addr);
    (void)keep;
    free(copy);
    double s = (double)(clock() - t) / CLOCKS_PER_SEC;
    slowest = s > slowest ? s : slowest;
}

static void sweep(struct out *o, const char *name)
{
    static const uint8_t values[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 'F', '0', '\n', 'S', ':'};
    static const uint64_t where[] = {BASE, UINT64_MAX, UINT64_MAX - 15, 0xfffffff8};
    unsigned long tried = 0;
    slowest = 0;
    for (size_t n = 0; n <= o->n; n++)
        once(o->p, n, n & 1, where[n / 2 % 4]), once(o->p, n, false, 0), tried += 2;
    for (unsigned i = 0; i < 4; i++)
        once(o->p, o->n, true, where[i]);
    for (size_t at = 0; at < o->n; at++) {
        uint8_t was = o->p[at];
        for (unsigned v = 0; v < sizeof values + 2; v++) {
            o->p[at] = v < sizeof values ? values[v] : (uint8_t)(v & 1 ? was + 1 : was - 1);
            if (o->p[at] != was)
                once(o->p, o->n, false, 0), tried++;
        }
        o->p[at] = was;
    }
    OK(tried > 2 * o->n && slowest < 1, "%s: every length, every byte, %lu ways, slowest %.1f ms", name, tried, slowest * 1e3);
}

/* What was written is what is read: a sweep over files that no reader takes would prove nothing. */
static bool is_read(const struct out *o, const char *want, bool has_addr)
{
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    if (hr_strs_create(&strs) != HR_OK)
        return false;
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    struct hr_file f = {.path = "image", .bytes = {o->p, o->n}, .has_addr = has_addr, .addr = BASE}, *files[] = {&f};
    static const struct hr_open_options none = {.no_host_files = true};
    bool ok = hr_image_load(files, 1, &none, &img) == HR_OK && img.segs.n && img.dumped_bytes >= RAM;
    if (!ok)
        printf("# %s: %s, %zu segments, %llu bytes\n", want, img.format, img.segs.n, (unsigned long long)img.dumped_bytes);
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
    hr_strs_destroy(strs);
    return ok;
}

/* The corpus of tests/fuzz/fuzz_image: `test_images DIRECTORY` writes it. */
static int save(const char *dir)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct out o = {.n = 0};
        char path[4096];
        all[i].make(&o);
        snprintf(path, sizeof path, "%s/%zu-%s", dir, i, all[i].name);
        FILE *f = fopen(path, "wb");
        if (!f || fputc(0, f) == EOF || fwrite(o.p, 1, o.n, f) != o.n || fclose(f))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < RAM; i++)
        ram[i] = (uint8_t)(i * 7 + 1);
    if (argc > 1)
        return save(argv[1]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        static struct out o;
        o.n = 0;
        all[i].make(&o);
        OK(is_read(&o, all[i].name, all[i].make == raw), "%s: read", all[i].name);
        sweep(&o, all[i].name);
    }
    return tap_done();
}
