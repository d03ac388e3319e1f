/* Reading .eh_frame and .debug_frame: entries, encoded pointers, the search table. Layouts: DWARF 5 section 6.4.1 and the
 * LSB's "Exception Frames" pages for .eh_frame, .eh_frame_hdr and the augmentation letters. */
#include "analyzer/types/cfi.h"

#include <stdlib.h>

enum { /* DW_EH_PE_*: low nibble the format, bits 4-6 what it is relative to, bit 7 indirect */
    PE_ABSPTR = 0, PE_ULEB = 1, PE_U2 = 2, PE_U4 = 3, PE_U8 = 4, PE_SLEB = 9, PE_S2 = 10, PE_S4 = 11, PE_S8 = 12,
    PE_SIGNED = 8, PE_PCREL = 0x10, PE_TEXTREL = 0x20, PE_DATAREL = 0x30, PE_FUNCREL = 0x40, PE_ALIGNED = 0x50,
    PE_INDIRECT = 0x80, PE_OMIT = 0xff,
};

static struct hr_cursor cursor_of(const struct hr_cfi_table *t, struct hr_span s)
{
    return hr_cursor(s, t->big, t->word);
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned sh = 64 - 8 * bytes;
    return sh ? (uint64_t)((int64_t)(v << sh) >> sh) : v;
}

static uint64_t wrap(uint64_t v, unsigned word) { return word == 4 ? (uint32_t)v : v; }

static uint64_t raw_pointer(struct hr_cursor *c, uint8_t enc)
{
    switch (enc & 0x0f) {
    case PE_ABSPTR: return hr_cur_addr(c);
    case PE_SIGNED: return sign_extend(hr_cur_addr(c), c->word);
    case PE_ULEB: return hr_cur_uleb(c);
    case PE_SLEB: return (uint64_t)hr_cur_sleb(c);
    case PE_U2: return hr_cur_u16(c);
    case PE_U4: return hr_cur_u32(c);
    case PE_U8:
    case PE_S8: return hr_cur_u64(c);
    case PE_S2: return sign_extend(hr_cur_u16(c), 2);
    case PE_S4: return sign_extend(hr_cur_u32(c), 4);
    default: c->bad = true; return 0;
    }
}

uint64_t hr_cfi_pointer(const struct hr_cfi_table *t, struct hr_cursor *c, uint8_t enc, uint64_t at)
{
    if (enc == PE_OMIT)
        return 0;
    uint64_t base = 0;
    switch (enc & 0x70) {
    case PE_ALIGNED: { /* padding up to a word boundary of the address, then an absolute pointer */
        uint64_t pad = -at & (t->word - 1u);
        hr_cur_bytes(c, pad);
        enc = PE_ABSPTR;
        base = t->bias;
        break;
    }
    case 0: base = t->bias; break;
    case PE_PCREL: base = at; break;
    case PE_TEXTREL: base = t->text_base; break;
    case PE_DATAREL: base = t->data_base; break;
    default: c->bad = true; return 0; /* funcrel has no meaning outside a language-specific area */
    }
    uint64_t v = raw_pointer(c, enc);
    if (c->bad || !v)
        return 0;
    v = wrap(v + base, t->word);
    if (enc & PE_INDIRECT && !(t->img && hr_image_word(t->img, v, &v)))
        c->bad = true;
    return v;
}

uint32_t hr_cfi_column(const struct hr_arch *arch, uint64_t column)
{
    if (arch->cfi_lr && column >= 32) /* ppc: 32 and up are floating point, but cfi_lr is the link register */
        return column == arch->cfi_lr ? arch->ra : HR_NONE;
    return column < HR_MAX_REGS && column < arch->nregs ? (uint32_t)column : HR_NONE;
}

/* ---- entries ---- */

struct entry {
    struct hr_cursor body; /* after the id */
    uint64_t off, next;    /* of this entry and of the one behind it */
    uint64_t id_off, id;   /* section offset of the id field, and its value */
    bool cie, wide, end;
};

/* The entry at `off`; false when the section ends or lies. */
static bool entry_at(const struct hr_cfi_table *t, uint64_t off, struct entry *e)
{
    struct hr_cursor c = cursor_of(t, t->bytes);
    hr_cur_seek(&c, off);
    uint64_t len = hr_cur_u32(&c);
    e->wide = len == 0xffffffff;
    if (e->wide)
        len = hr_cur_u64(&c);
    e->off = off;
    if (c.bad || len > hr_cur_left(&c))
        return false;
    e->next = hr_cur_off(&c) + len;
    e->end = len == 0;
    if (e->end)
        return true;
    e->body = c;
    e->body.end = c.p + len;
    e->id_off = hr_cur_off(&c);
    e->id = e->wide ? hr_cur_u64(&e->body) : hr_cur_u32(&e->body);
    e->cie = t->eh ? e->id == 0 : e->id == (e->wide ? UINT64_MAX : 0xffffffffu);
    return !e->body.bad;
}

/* The augmentation data of a 'z' CIE, letter by letter. An unknown letter ends what we understand, which is harmless: the
 * data is skipped by its length; but its FDE encoding must have come before. */
static void augmentation(const struct hr_cfi_table *t, struct hr_span letters, struct hr_cursor c, struct hr_cfi_cie *ret)
{
    for (size_t i = 1; i < letters.n; i++) {
        switch (letters.p[i]) {
        case 'R': ret->fde_enc = hr_cur_u8(&c); break;
        case 'P': {
            uint8_t enc = hr_cur_u8(&c);
            uint64_t at = t->addr + (uint64_t)(c.p - t->bytes.p);
            hr_cfi_pointer(t, &c, enc & 0x7f, at); /* the personality is only stepped over, never followed */
            break;
        }
        case 'L': hr_cur_u8(&c); break;
        case 'S': ret->signal = true; break;
        case 'B':             /* aarch64: return addresses signed with the B key */
        case 'G': break;      /* aarch64: memory-tagged frame */
        default: return;
        }
    }
}

static enum hr_status parse_cie(const struct hr_cfi_table *t, uint64_t off, struct hr_cfi_cie *ret)
{
    struct entry e;
    if (!entry_at(t, off, &e) || e.end || !e.cie)
        return HR_CORRUPT;
    struct hr_cursor *c = &e.body;
    *ret = (struct hr_cfi_cie){.addr_size = t->word};
    uint8_t version = hr_cur_u8(c);
    if (c->bad || (version != 1 && version != 3 && version != 4))
        return HR_UNSUPPORTED;
    struct hr_span aug = hr_cur_cstr(c);
    if (version == 4) {
        ret->addr_size = hr_cur_u8(c);
        if (hr_cur_u8(c) != 0) /* segmented addresses */
            return HR_UNSUPPORTED;
        if (ret->addr_size != 4 && ret->addr_size != 8)
            return HR_CORRUPT;
    }
    c->word = ret->addr_size;
    bool old_eh = aug.n >= 2 && aug.p[0] == 'e' && aug.p[1] == 'h'; /* gcc 2: one word of exception data */
    if (old_eh)
        hr_cur_addr(c);
    ret->code_align = hr_cur_uleb(c);
    ret->data_align = hr_cur_sleb(c);
    ret->ra = version == 1 ? hr_cur_u8(c) : hr_cur_uleb(c);
    ret->has_z = aug.n && aug.p[0] == 'z';
    if (aug.n && !ret->has_z && !old_eh)
        return HR_UNSUPPORTED; /* without 'z' nobody can tell how long its data is */
    if (ret->has_z) {
        struct hr_span data = hr_cur_bytes(c, hr_cur_uleb(c));
        struct hr_cursor a = cursor_of(t, data);
        a.word = ret->addr_size;
        if (!c->bad && data.n)
            augmentation(t, aug, a, ret);
        else if (!c->bad && aug.n > 1 && memchr(aug.p, 'S', aug.n))
            ret->signal = true; /* "zS" alone has no data */
    }
    ret->insns = (struct hr_span){c->p, hr_cur_left(c)};
    return c->bad ? HR_CORRUPT : HR_OK;
}

/* Section offset of the CIE an FDE names. */
static bool cie_of(const struct hr_cfi_table *t, const struct entry *e, uint64_t *ret)
{
    if (t->eh && e->id > e->id_off)
        return false;
    *ret = t->eh ? e->id_off - e->id : e->id;
    return *ret < t->bytes.n;
}

static enum hr_status parse_fde(const struct hr_cfi_table *t, const struct entry *e, const struct hr_cfi_cie *cie,
                                struct hr_cfi_fde *ret)
{
    struct hr_cursor c = e->body;
    c.word = cie->addr_size;
    ret->cie = *cie;
    uint64_t at = t->addr + (uint64_t)(c.p - t->bytes.p);
    ret->lo = hr_cfi_pointer(t, &c, cie->fde_enc, at);
    uint64_t len = raw_pointer(&c, cie->fde_enc & 0x0f);
    if (cie->has_z)
        hr_cur_bytes(&c, hr_cur_uleb(&c));
    if (c.bad || !len || !hr_add(ret->lo, wrap(len, t->word), &ret->hi))
        return HR_CORRUPT;
    ret->insns = (struct hr_span){c.p, hr_cur_left(&c)};
    return HR_OK;
}

static enum hr_status fde_at(const struct hr_cfi_table *t, uint64_t off, struct hr_cfi_fde *ret)
{
    struct entry e;
    uint64_t cie_off;
    if (!entry_at(t, off, &e) || e.end || e.cie || !cie_of(t, &e, &cie_off))
        return HR_CORRUPT;
    struct hr_cfi_cie cie;
    HR_TRY(parse_cie(t, cie_off, &cie));
    return parse_fde(t, &e, &cie, ret);
}

/* ---- lookup ---- */

static int by_lo(const void *a, const void *b)
{
    const struct hr_cfi_range *x = a, *y = b;
    if (x->lo != y->lo)
        return x->lo < y->lo ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

/* Scans the section once. Each step takes at least the four bytes of a length, so it ends. */
static enum hr_status build_index(struct hr_cfi_table *t)
{
    t->indexed = true;
    t->index.max = hr_min(HR_MAX_FDES, t->bytes.n / 12 + 1);
    struct hr_cfi_cie cie = {0};
    uint64_t cie_have = UINT64_MAX, cie_off;
    struct entry e;
    for (uint64_t off = 0; off < t->bytes.n && entry_at(t, off, &e); off = e.next) {
        if (e.end && t->eh)
            break;
        if (e.end || e.cie || !cie_of(t, &e, &cie_off))
            continue;
        if (cie_off != cie_have) {
            cie_have = UINT64_MAX;
            if (parse_cie(t, cie_off, &cie) != HR_OK)
                continue;
            cie_have = cie_off;
        }
        struct hr_cfi_fde f;
        if (parse_fde(t, &e, &cie, &f) == HR_OK)
            HR_TRY(hr_cfi_rangevec_push(&t->index, (struct hr_cfi_range){f.lo, f.hi, off}));
    }
    if (t->index.n)
        qsort(t->index.v, t->index.n, sizeof *t->index.v, by_lo);
    return HR_OK;
}

static enum hr_status find_indexed(struct hr_cfi_table *t, uint64_t pc, struct hr_cfi_fde *ret)
{
    if (!t->indexed)
        HR_TRY(build_index(t));
    size_t lo = 0, hi = t->index.n;
    while (lo < hi) { /* first range that starts above pc */
        size_t mid = lo + (hi - lo) / 2;
        if (t->index.v[mid].lo <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    /* ranges may nest in strange files: look a few back */
    for (size_t k = 0; k < 16 && k < lo; k++) {
        const struct hr_cfi_range *r = &t->index.v[lo - 1 - k];
        if (pc < r->hi)
            return fde_at(t, r->off, ret);
    }
    return HR_ABSENT;
}

static uint64_t search_key(const struct hr_cfi_table *t, uint64_t i, unsigned second)
{
    struct hr_cursor c = cursor_of(t, t->hdr);
    uint64_t off = t->search.off + i * 2 * t->search.width + second * t->search.width;
    hr_cur_seek(&c, off);
    return hr_cfi_pointer(t, &c, t->search.enc, t->hdr_addr + off);
}

static enum hr_status find_searched(struct hr_cfi_table *t, uint64_t pc, struct hr_cfi_fde *ret)
{
    uint64_t lo = 0, hi = t->search.count;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (search_key(t, mid, 0) <= pc)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return HR_ABSENT;
    uint64_t fde = search_key(t, lo - 1, 1);
    if (fde < t->addr || fde - t->addr >= t->bytes.n)
        return HR_CORRUPT;
    HR_TRY(fde_at(t, fde - t->addr, ret));
    return pc >= ret->lo && pc < ret->hi ? HR_OK : HR_ABSENT;
}

enum hr_status hr_cfi_find(struct hr_cfi_table *t, uint64_t pc, struct hr_cfi_fde *ret)
{
    if (t->search.count) {
        enum hr_status s = find_searched(t, pc, ret);
        if (s == HR_OK || s == HR_ABSENT)
            return s;
        t->search.count = 0; /* the table lies: read the section itself from now on */
    }
    enum hr_status s = find_indexed(t, pc, ret);
    return s == HR_OK && !(pc >= ret->lo && pc < ret->hi) ? HR_ABSENT : s;
}

/* ---- .eh_frame_hdr ---- */

static bool hdr_open(const struct hr_cfi_table *t, struct hr_cursor *c, uint8_t enc[3], uint64_t *frame)
{
    *c = cursor_of(t, t->hdr);
    uint8_t version = hr_cur_u8(c);
    for (int i = 0; i < 3; i++)
        enc[i] = hr_cur_u8(c);
    if (c->bad || version != 1)
        return false;
    *frame = hr_cfi_pointer(t, c, enc[0], t->hdr_addr + hr_cur_off(c));
    return !c->bad;
}

bool hr_cfi_hdr_frame(struct hr_span hdr, uint64_t hdr_addr, bool big, uint8_t word, uint64_t *ret)
{
    struct hr_cfi_table t = {.hdr = hdr, .hdr_addr = hdr_addr, .data_base = hdr_addr, .big = big, .word = word};
    struct hr_cursor c;
    uint8_t enc[3];
    return hdr_open(&t, &c, enc, ret) && *ret;
}

void hr_cfi_table_init(struct hr_cfi_table *t, struct hr_span hdr, uint64_t hdr_addr)
{
    static const uint8_t width[16] = {[PE_U2] = 2, [PE_U4] = 4, [PE_U8] = 8, [PE_S2] = 2, [PE_S4] = 4, [PE_S8] = 8};
    if (!hdr.n)
        return;
    t->hdr = hdr;
    t->hdr_addr = t->data_base = hdr_addr;
    struct hr_cursor c;
    uint8_t enc[3];
    uint64_t frame;
    if (!hdr_open(t, &c, enc, &frame) || frame != t->addr || enc[1] == PE_OMIT || enc[2] == PE_OMIT)
        return;
    uint64_t count = hr_cfi_pointer(t, &c, enc[1], hdr_addr + hr_cur_off(&c));
    uint8_t w = (enc[2] & 0x0f) == PE_ABSPTR ? t->word : width[enc[2] & 0x0f];
    if (c.bad || !w || enc[2] & PE_INDIRECT)
        return;
    t->search.off = hr_cur_off(&c);
    t->search.enc = enc[2];
    t->search.width = w;
    t->search.count = hr_min(count, hr_cur_left(&c) / (2 * w));
}

void hr_cfi_table_deinit(struct hr_cfi_table *t) { hr_cfi_rangevec_deinit(&t->index); }
