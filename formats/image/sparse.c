#include "formats/image/sparse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/base/esc.h"

void hr_sparse_init(struct hr_sparse *s, size_t max)
{
    *s = (struct hr_sparse){.runs.max = max + 1, .data.max = max + 1};
}

void hr_sparse_deinit(struct hr_sparse *s)
{
    hr_sparserunvec_deinit(&s->runs);
    hr_u8vec_deinit(&s->data);
}

enum hr_status hr_sparse_add(struct hr_sparse *s, uint64_t addr, const uint8_t *p, size_t n)
{
    if (!n)
        return HR_OK;
    if (addr > UINT64_MAX - n) /* an address that the user gave can move a record beyond the end of memory */
        return HR_CORRUPT;
    HR_TRY(hr_u8vec_reserve(&s->data, s->data.n + n));
    memcpy(s->data.v + s->data.n, p, n);
    struct hr_sparse_run *last = s->runs.n ? &s->runs.v[s->runs.n - 1] : NULL;
    if (last && last->addr + last->n == addr)
        last->n += n;
    else
        HR_TRY(hr_sparserunvec_push(&s->runs, (struct hr_sparse_run){addr, s->data.n, n, (uint32_t)s->runs.n}));
    s->data.n += n;
    return HR_OK;
}

static int by_addr(const void *a, const void *b)
{
    const struct hr_sparse_run *x = a, *y = b;
    if (x->addr != y->addr)
        return x->addr < y->addr ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int by_order(const void *a, const void *b)
{
    const struct hr_sparse_run *x = a, *y = b;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Runs [from, to) touch or overlap: their bytes become one segment, later records over earlier ones. */
static enum hr_status join(struct hr_sparse *s, size_t from, size_t to, struct hr_image *img, hr_str name)
{
    uint64_t lo = s->runs.v[from].addr, hi = lo;
    for (size_t i = from; i < to; i++)
        hi = hr_max(hi, s->runs.v[i].addr + s->runs.v[i].n);
    uint8_t *mem = hr_zalloc((size_t)(hi - lo), 1);
    if (!mem)
        return HR_NOMEM;
    HR_TRY(hr_image_keep(img, mem));
    qsort(s->runs.v + from, to - from, sizeof *s->runs.v, by_order);
    for (size_t i = from; i < to; i++)
        memcpy(mem + (s->runs.v[i].addr - lo), s->data.v + s->runs.v[i].off, s->runs.v[i].n);
    img->dumped_bytes += hi - lo;
    return hr_image_add(img, (struct hr_segment){.addr = lo, .msize = hi - lo, .bytes = {mem, (size_t)(hi - lo)}, .name = name,
                                                 .flags = HR_SEG_R | HR_SEG_W | HR_SEG_X, .module = HR_NONE});
}

enum hr_status hr_sparse_finish(struct hr_sparse *s, struct hr_image *img, const char *name)
{
    hr_str label;
    HR_TRY(hr_strs_addz(img->strs, name, &label));
    if (s->runs.n) /* qsort wants an array even for nothing */
        qsort(s->runs.v, s->runs.n, sizeof *s->runs.v, by_addr);
    for (size_t i = 0; i < s->runs.n;) {
        uint64_t end = s->runs.v[i].addr + s->runs.v[i].n;
        size_t j = i + 1;
        while (j < s->runs.n && s->runs.v[j].addr <= end) {
            end = hr_max(end, s->runs.v[j].addr + s->runs.v[j].n);
            j++;
        }
        HR_TRY(join(s, i, j, img, label));
        i = j;
    }
    return HR_OK;
}

bool hr_lines_next(struct hr_lines *l, struct hr_span *ret)
{
    if (l->p >= l->end)
        return false;
    const uint8_t *nl = memchr(l->p, '\n', (size_t)(l->end - l->p)), *from = l->p, *to = nl ? nl : l->end;
    l->p = nl ? nl + 1 : l->end;
    l->number++;
    while (from < to && isspace(*from))
        from++;
    while (to > from && isspace(to[-1]))
        to--;
    *ret = (struct hr_span){from, (size_t)(to - from)};
    return true;
}

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hr_hex_byte(const uint8_t *p)
{
    int hi = digit(p[0]), lo = digit(p[1]);
    return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

long hr_hex_bytes(struct hr_span text, uint8_t *out, size_t cap)
{
    if (text.n % 2 || text.n / 2 > cap)
        return -1;
    for (size_t i = 0; i < text.n / 2; i++) {
        int b = hr_hex_byte(text.p + 2 * i);
        if (b < 0)
            return -1;
        out[i] = (uint8_t)b;
    }
    return (long)(text.n / 2);
}

enum hr_status hr_raw_arch(struct hr_image *img, const struct hr_open_options *opt)
{
    const struct hr_arch *a = hr_arch_by_name(opt->arch ? opt->arch : "arm");
    char name[128];
    if (!a) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "arch.unknown", "there is no processor '%s' (x86-64, i386, aarch64, arm, riscv32, riscv64, ppc, ppc64, s390x, mips, xtensa, wasm32)",
                hr_escz(name, sizeof name, opt->arch ? opt->arch : "arm"));
        return HR_USAGE;
    }
    if (opt->endian && strcmp(opt->endian, "big") && strcmp(opt->endian, "little")) {
        hr_note(img->notes, HR_NOTE_DAMAGE, "arch.unknown", "--endian takes little or big, not '%s'", hr_escz(name, sizeof name, opt->endian));
        return HR_USAGE;
    }
    img->arch = a;
    img->word = (uint8_t)(a->word_bits / 8);
    img->big = opt->endian ? !strcmp(opt->endian, "big") : !strncmp(a->name, "ppc", 3);
    img->arch_unsaid = !opt->arch;
    return HR_OK;
}
