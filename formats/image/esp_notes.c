/* The notes that ESP-IDF adds to its ELF cores: which program, which task failed, why. Types and contents: core_dump_elf.c and the
 * ports' core_dump_port.c; up to 4.1 the failed task is simply the first. */
#include "analyzer/base/esc.h"
#include "formats/image/core.h"

enum { INFO = 0x204a, EXTRA_INFO = 0x2a5, PANIC_DETAILS = 0x2a7, XT_EXCCAUSE = 232, XT_EXCVADDR = 238 };

static bool named(struct hr_span name, const char *z) { return name.n == strlen(z) + 1 && !memcmp(name.p, z, name.n); }

/* {version, SHA-256 of the program's file in hex, or its beginning}. */
static enum hr_status info(struct hr_image *img, struct hr_span desc)
{
    struct hr_span z = {desc.p + 4, 0};
    while (z.n < desc.n - 4 && z.n < 64 && z.p[z.n] && strchr("0123456789abcdefABCDEF", z.p[z.n]))
        z.n++;
    return z.n >= 8 ? hr_strs_add(img->strs, (const char *)z.p, z.n, &img->program_sha) : HR_OK;
}

/* {task}, and on Xtensa pairs of {special register, value}. */
static void extra(struct hr_core *c, struct hr_span desc)
{
    enum { LOAD_PROHIBITED = 28, STORE_PROHIBITED = 29, LOAD_ALIGN = 9 };
    struct hr_cursor k = hr_cursor(desc, c->img->big, 4);
    c->failed_task = hr_cur_u32(&k);
    uint32_t cause = 0, addr = 0;
    while (desc.n > 12 && hr_cur_left(&k) >= 8) {
        uint32_t reg = hr_cur_u32(&k), v = hr_cur_u32(&k);
        if (reg == XT_EXCCAUSE)
            cause = v;
        if (reg == XT_EXCVADDR)
            addr = v;
    }
    if (cause == LOAD_PROHIBITED || cause == STORE_PROHIBITED || cause == LOAD_ALIGN) {
        c->img->fault_addr = addr;
        c->img->has_fault_addr = true;
    }
}

bool hr_esp_note(struct hr_core *c, struct hr_span name, uint32_t type, struct hr_span desc)
{
    if (desc.n < 4 || name.n < 5 || memcmp(name.p, "ESP_", 4))
        return false;
    if (type == INFO && named(name, "ESP_CORE_DUMP_INFO"))
        c->failed = info(c->img, desc);
    else if (type == EXTRA_INFO)
        extra(c, desc);
    else if (type == PANIC_DETAILS) {
        char text[400];
        hr_note(c->img->notes, HR_NOTE_INFO, "esp.panic", "the firmware's last words: %s", hr_esc(text, sizeof text, (const char *)desc.p, hr_min(desc.n, 300)));
    }
    return true;
}

void hr_esp_order(struct hr_core *c)
{
    struct hr_threadvec *t = &c->img->threads;
    for (size_t i = 1; i < t->n && c->failed_task; i++)
        if (t->v[i].tid == c->failed_task) {
            struct hr_thread was = t->v[i];
            memmove(t->v + 1, t->v, i * sizeof *t->v);
            t->v[0] = was;
            return;
        }
}

static bool is_esp(void *ctx, struct hr_span name, uint32_t type, struct hr_span desc)
{
    bool *ret = ctx;
    (void)desc;
    *ret |= type == INFO && named(name, "ESP_CORE_DUMP_INFO");
    return !*ret;
}

bool hr_esp_elf(const struct hr_elf *e)
{
    bool esp = false;
    for (uint32_t i = 0; i < e->nph && !esp; i++)
        if (e->ph[i].type == HR_PT_NOTE)
            hr_elf_notes(hr_elf_ph_bytes(e, &e->ph[i]), e->big, 4, is_esp, &esp);
    return esp;
}
