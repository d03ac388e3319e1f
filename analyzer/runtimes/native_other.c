/* Is the program that was given the one that ran? RAM alone has no build-id, but it holds addresses of the program: what returns on the
 * stack returns behind a call, the program counter lies in a function, pointers that the program starts with are what its
 * file says. Of another build these fail together. */
#include "analyzer/runtimes/native.h"

#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/image/elf.h"

enum { PF_W = 2, MAX_STACK = 4096 /* bytes looked at: a dozen calls deep */, LOW = 1 << 16 };

struct proof {
    uint32_t returns, strays;  /* words in functions: behind a call or at the start; anywhere else */
    uint32_t same, other;      /* words of the initial data that lead into the program */
    uint64_t stray;            /* one of the strays */
};

static bool thumb_call(const struct hr_image *img, uint64_t to)
{
    uint64_t a, b;
    if (!hr_image_uint(img, to - 4, 2, &a) || !hr_image_uint(img, to - 2, 2, &b))
        return false;
    return ((a & 0xf800) == 0xf000 && (b & 0xc000) == 0xc000) || (b & 0xff87) == 0x4780; /* bl, blx; blx register */
}

static bool riscv_call(const struct hr_image *img, uint64_t to)
{
    uint64_t a, b;
    if (!hr_image_uint(img, to - 2, 2, &b))
        return false;
    if ((b & 0xf07f) == 0x9002 || (img->word == 4 && (b & 0xe003) == 0x2001)) /* c.jalr, c.jal */
        return true;
    if (!hr_image_uint(img, to - 4, 2, &a))
        return false;
    a |= b << 16;
    return (a & 0xfff) == 0x0ef || (a & 0xfff) == 0x0e7; /* jal ra, jalr ra */
}

/* A word that leads into a function; anything else says nothing. */
static void weigh(struct hr_native *n, uint64_t v, struct proof *p)
{
    bool arm = !strcmp(n->img->arch->name, "arm");
    uint64_t to = v & ~1ull, off = 0;
    if ((v & 1) != arm || to < 0x80) /* Thumb says so in bit 0; small numbers are no addresses, even where flash begins at 0 */
        return;
    const struct hr_sym *s = hr_sym_at(n->types, to, &off);
    if (!s || s->kind != HR_SYM_FUNC || off >= s->size + !s->size)
        return;
    if (!off || (arm ? thumb_call(n->img, to) : riscv_call(n->img, to))) {
        p->returns++;
    } else {
        p->strays++;
        p->stray = v;
    }
}

static void weigh_stack(struct hr_native *n, const struct hr_thread *t, struct proof *p)
{
    uint64_t w = n->img->word, v, off = 0, end = hr_min(t->stack_hi, t->sp + MAX_STACK);
    if (!t->reg_valid || !(t->reg_valid >> n->img->arch->sp & 1))
        return;
    const struct hr_sym *s = hr_sym_at(n->types, t->pc & ~1ull, &off);
    const struct hr_module *m = hr_image_module_at(n->img, t->pc) != HR_NONE ? &n->img->modules.v[hr_image_module_at(n->img, t->pc)] : NULL;
    bool inside = s && s->kind == HR_SYM_FUNC && off < s->size + !s->size;
    if (t->pc && !inside && m && m->elf) {
        p->strays++;
        p->stray = t->pc;
    }
    for (uint64_t at = (t->sp + w - 1) & ~(w - 1); at < end && hr_image_word(n->img, at, &v); at += w)
        weigh(n, v, p);
}

/* Words that the program file puts into memory and that lead into the program: tables of functions, the C library's own pointers. They
 * are seldom changed. */
static void weigh_data(struct hr_native *n, const struct hr_module *m, struct proof *p)
{
    unsigned w = n->img->word;
    for (uint32_t i = 0; i < m->elf->nph; i++) {
        const struct hr_phdr *ph = &m->elf->ph[i];
        if (ph->type != HR_PT_LOAD || !(ph->flags & PF_W) || hr_elf_ph_is_code(m->elf, ph))
            continue;
        struct hr_span s = hr_elf_ph_bytes(m->elf, ph);
        for (uint64_t off = 0; off + w <= s.n; off += w) {
            uint64_t was = hr_word_load(s.p + off, w, n->img->big), is;
            if (was < m->lo + 64 || was >= m->hi || !hr_image_word(n->img, m->bias + ph->vaddr + off, &is))
                continue;
            if (was == is)
                p->same++;
            else if (is && !hr_image_peek(n->img, is, 1).n) /* a pointer that was moved on leads somewhere */
                p->other++;
        }
    }
}

/* No heap where the program has one, or a damaged one. */
static bool damaged(const struct hr_heap *h)
{
    bool bad = !h->n;
    for (size_t i = 0; i < h->arenas.n; i++)
        bad |= h->arenas.v[i].corrupt;
    return bad;
}

void hr_native_doubt_program(struct hr_native *n)
{
    struct proof p = {0};
    const struct hr_module *m = NULL;
    for (size_t i = 0; i < n->img->modules.n; i++)
        if (n->img->modules.v[i].main_exe && n->img->modules.v[i].elf)
            m = &n->img->modules.v[i];
    bool known = !strcmp(n->img->arch->name, "arm") || !strncmp(n->img->arch->name, "riscv", 5);
    if (!m || m->state != HR_MOD_UNPROVEN || !known || hr_types_load_symbols(n->types) != HR_OK)
        return;
    for (size_t i = 0; i < n->img->threads.n && i < 16; i++) /* a task that waits has a made-up frame, registers of its start in it */
        if (!n->img->threads.v[i].saved)
            weigh_stack(n, &n->img->threads.v[i], &p);
    weigh_data(n, m, &p);
    bool numbers = m->lo < LOW; /* may look like addresses there */
    bool surely = (p.strays > p.returns && (!numbers || !p.returns)) || (p.other > p.same && p.other > 1);
    if (!surely && !(p.strays && (2 * p.strays >= p.returns || damaged(n->heap)))) /* a number on the stack may look like an address, once */
        return;
    if (surely)
        n->heap->roots_complete = false;
    char name[300];
    hr_note(n->in.notes, HR_NOTE_DEGRADED, "core.module_doubtful",
            "%s %s of another build than the one that ran: of %u words on the stack that lead into its functions %u return where nothing calls (0x%llx), and %u of %u pointers "
            "that it starts with are none in memory: then its names, types and heaps are not to be trusted%s; give the ELF of that build, or its flash (--with), which would tell",
            hr_escz(name, sizeof name, hr_strs_get(n->img->strs, m->path)), surely ? "is probably" : "may be", p.returns + p.strays, p.strays, (unsigned long long)p.stray, p.other, p.same + p.other,
            surely ? ", and nothing is called leaked" : "");
}
