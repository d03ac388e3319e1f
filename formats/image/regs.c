/* --regs FILE: the registers of an image that has none, as text. Understood are QEMU's and gdb's `info registers` and lines
 * of NAME=VALUE: all are names, each with a number behind it (blanks or '=' between). Numbers are hexadecimal with or
 * without 0x; what is no register's name of the image's processor is passed over. One thread. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "formats/image/core.h"
#include "formats/image/file.h"
#include "formats/image/sparse.h"

/* Other names of numbered registers; those of RISC-V are its psABI's, of ARM its procedure call standard's;
 * of the others those in their DWARF supplements. */
static const struct alias {
    const char *arch, *name;
    uint8_t reg;
} aliases[] = {
    {"arm", "sp", 13}, {"arm", "lr", 14}, {"arm", "pc", 15}, {"arm", "ip", 12}, {"arm", "fp", 11}, {"arm", "sl", 10}, {"arm", "sb", 9},
    {"aarch64", "sp", 31}, {"aarch64", "pc", 32}, {"aarch64", "lr", 30}, {"aarch64", "fp", 29},
    {"riscv", "pc", 32}, {"riscv", "zero", 0}, {"riscv", "ra", 1}, {"riscv", "sp", 2}, {"riscv", "gp", 3}, {"riscv", "tp", 4},
    {"riscv", "t0", 5}, {"riscv", "t1", 6}, {"riscv", "t2", 7}, {"riscv", "fp", 8}, {"riscv", "s0", 8}, {"riscv", "s1", 9},
    {"riscv", "a0", 10}, {"riscv", "a1", 11}, {"riscv", "a2", 12}, {"riscv", "a3", 13}, {"riscv", "a4", 14}, {"riscv", "a5", 15},
    {"riscv", "a6", 16}, {"riscv", "a7", 17}, {"riscv", "s2", 18}, {"riscv", "s3", 19}, {"riscv", "s4", 20}, {"riscv", "s5", 21},
    {"riscv", "s6", 22}, {"riscv", "s7", 23}, {"riscv", "s8", 24}, {"riscv", "s9", 25}, {"riscv", "s10", 26}, {"riscv", "s11", 27},
    {"riscv", "t3", 28}, {"riscv", "t4", 29}, {"riscv", "t5", 30}, {"riscv", "t6", 31},
    {"xtensa", "pc", 16}, {"xtensa", "sp", 1},
    {"x86-64", "rax", 0}, {"x86-64", "rdx", 1}, {"x86-64", "rcx", 2}, {"x86-64", "rbx", 3}, {"x86-64", "rsi", 4}, {"x86-64", "rdi", 5},
    {"x86-64", "rbp", 6}, {"x86-64", "rsp", 7}, {"x86-64", "rip", 16},
    {"i386", "eax", 0}, {"i386", "ecx", 1}, {"i386", "edx", 2}, {"i386", "ebx", 3}, {"i386", "esp", 4}, {"i386", "ebp", 5},
    {"i386", "esi", 6}, {"i386", "edi", 7}, {"i386", "eip", 8},
    {"ppc", "lr", 32}, {"ppc", "pc", 33}, {"ppc", "nip", 33},
};
/* First letter of the numbered registers, how many there are. */
static const struct numbered {
    const char *arch;
    char letter;
    uint8_t n;
} numbered[] = {{"arm", 'r', 16}, {"aarch64", 'x', 31}, {"riscv", 'x', 32}, {"xtensa", 'a', 16}, {"x86-64", 'r', 16}, {"ppc", 'r', 32}};

static bool is_arch(const struct hr_image *img, const char *arch) { return !strncmp(img->arch->name, arch, strlen(arch)); }

/* DWARF number of a name, or HR_MAX_REGS. */
static unsigned reg_of(const struct hr_image *img, const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcasecmp(aliases[i].name, name) && is_arch(img, aliases[i].arch))
            return aliases[i].reg;
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        char *end;
        if (!is_arch(img, numbered[i].arch) || tolower((unsigned char)*name) != numbered[i].letter || !isdigit((unsigned char)name[1]))
            continue;
        unsigned long n = strtoul(name + 1, &end, 10);
        if (!*end && n < numbered[i].n)
            return (unsigned)n;
    }
    return HR_MAX_REGS;
}

/* The next word of letters, digits and '_'; *between_ret: the bytes in front of it. False at the end. */
static bool next_word(struct hr_span *s, char *buf, size_t cap, char *between_ret)
{
    size_t n = 0;
    *between_ret = 0;
    while (s->n && !isalnum(*s->p) && *s->p != '_') {
        if (*s->p == '\n' || (*s->p == '=' && *between_ret != '\n') || !*between_ret)
            *between_ret = (char)*s->p;
        s->p++, s->n--;
    }
    while (s->n && (isalnum(*s->p) || *s->p == '_')) {
        if (n + 1 < cap)
            buf[n++] = (char)*s->p;
        s->p++, s->n--;
    }
    buf[n] = 0;
    return n > 0;
}

static bool number(const char *word, uint64_t *ret)
{
    char *end;
    *ret = strtoull(word, &end, 16);
    return isxdigit((unsigned char)*word) && !*end;
}

/* "x2/sp 8010ffa0" and "R13=2000ff68" and "sp 0x2000ff68 0x2000ff68": a value follows its name directly on the line. */
static void parse(const struct hr_image *img, struct hr_span text, struct hr_thread *t)
{
    char word[64], sep;
    unsigned reg = HR_MAX_REGS;
    while (next_word(&text, word, sizeof word, &sep)) {
        uint64_t v;
        if (sep == '\n')
            reg = HR_MAX_REGS;
        unsigned named = reg_of(img, word);
        bool value = reg < HR_MAX_REGS && sep != '/' && number(word, &v);
        if (value && (named == HR_MAX_REGS || sep == '=')) {
            t->reg[reg] = img->word == 4 ? v & UINT32_MAX : v;
            t->reg_valid |= 1ull << reg;
            reg = HR_MAX_REGS;
        } else if (named < HR_MAX_REGS && (reg != named || sep != '/')) {
            reg = named;
        } else if (named == HR_MAX_REGS) {
            reg = HR_MAX_REGS;
        }
    }
}

static bool take(const struct hr_thread *t, unsigned reg, uint64_t *ret)
{
    if (reg >= HR_MAX_REGS || !(t->reg_valid >> reg & 1))
        return false;
    *ret = t->reg[reg];
    return true;
}

enum hr_status hr_regs_load(struct hr_image *img, const struct hr_open_options *opt)
{
    enum { MAX_TEXT = 1 << 20 /* all registers of a large machine are a few KiB */ };
    char name[300];
    const char *why = "cannot be read";
    struct hr_span text;
    if (!opt->regs)
        return HR_OK;
    hr_escz(name, sizeof name, opt->regs);
    int fd = hr_fd_regular(opt->regs, &why);
    if (fd < 0 || hr_fd_map(fd, &text) != HR_OK) {
        hr_note(img->notes, HR_NOTE_DEGRADED, "regs.unreadable", "%s, given with --regs, %s", name, why);
        return HR_OK;
    }
    struct hr_thread t = {.tid = 1};
    parse(img, (struct hr_span){text.p, (size_t)hr_min(text.n, MAX_TEXT)}, &t);
    hr_fd_unmap(text);
    if (!take(&t, img->arch->sp, &t.sp)) {
        hr_note(img->notes, HR_NOTE_DEGRADED, "regs.no_sp", "%s has no stack pointer of the processor (%s) and is not used", name, img->arch->name);
        return HR_OK;
    }
    take(&t, img->arch->pc, &t.pc);
    t.tp_valid = img->arch->tp < HR_MAX_REGS && take(&t, img->arch->tp, &t.tp) && t.tp;
    if (img->threads.n)
        hr_note(img->notes, HR_NOTE_INFO, "regs.replace", "the registers of %s take the place of those in the dump", name);
    img->threads.n = 0;
    return hr_threadvec_push(&img->threads, t);
}
