/* Thread pointers that the dump does not tell (gcore's of 32-bit x86). A thread's control block begins with its own address,
 * has it again two words on (tcbhead_t: tcb, dtv, self), and glibc's struct pthread has the thread's id further on: three
 * words that agree do not happen by chance. */
#include "formats/image/core.h"

enum { I386 = 3, X86_64 = 62, LARGEST = 64 << 20 };

/* glibc's nptl/descr.h: the header is padded to 24 words (x86-64: tcbhead_t itself is larger, 704 bytes), then a list node. */
static unsigned tid_offset(const struct hr_arch *a) { return a->elf_machine == I386 ? 0x68 : a->elf_machine == X86_64 ? 0x2d0 : 0; }

static void try_block(struct hr_image *img, const struct hr_segment *s, size_t at, unsigned tid_at)
{
    uint64_t addr = s->addr + at;
    const uint8_t *p = s->bytes.p + at;
    if (s->bytes.n - at < tid_at + 4 || hr_load(p + 2u * img->word, img->word, img->big) != addr)
        return;
    uint64_t tid = hr_load(p + tid_at, 4, img->big);
    for (size_t i = 0; i < img->threads.n; i++) {
        struct hr_thread *t = &img->threads.v[i];
        if (t->tid == tid && !t->tp_valid) {
            t->tp = addr;
            t->tp_valid = true;
        }
    }
}

void hr_core_find_tp(struct hr_image *img)
{
    unsigned tid_at = tid_offset(img->arch), word = img->word;
    size_t missing = 0;
    for (size_t i = 0; i < img->threads.n; i++)
        missing += !img->threads.v[i].tp_valid;
    if (!missing || !tid_at)
        return;
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        if (!(s->flags & HR_SEG_W) || s->bytes.n > LARGEST) /* control blocks lie on thread stacks and in small mappings */
            continue;
        for (size_t at = 0; at + 3u * word <= s->bytes.n; at += word)
            if (hr_word_load(s->bytes.p + at, word, img->big) == s->addr + at)
                try_block(img, s, at, tid_at);
    }
}
