/* Regions of the survey: segments, over them the program's sections, heaps, stacks; what is left is never written or not known. */
#include "analyzer/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/image/elf.h"

enum {
    SHF_WRITE_ = 1, SHF_ALLOC_ = 2, SHF_TLS_ = 0x400, PF_W_ = 2,
    MIN_RUN = 64,    /* bytes: a shorter run of one word is just a variable that is zero */
    MIN_TABLE = 64,  /* bytes of an allocator's bookkeeping that is worth a region: an allocation table, not a list head */
};

static const char *const kind_names[HR_SV_KINDS] = {"static", "heap", "stack", "unused", "other", "code", "file", "absent"};
const char *hr_survey_kind_name(enum hr_survey_kind k) { return k < HR_SV_KINDS ? kind_names[k] : "other"; }

/* ---- laying rows over each other ---- */

static int by_addr(const void *a, const void *b)
{
    const struct hr_survey_region *x = a, *y = b;
    if (x->addr != y->addr)
        return x->addr < y->addr ? -1 : 1;
    return x->size > y->size ? -1 : x->size < y->size;
}

static enum hr_status push(struct hr_survey_regionvec *out, struct hr_survey_region r, uint64_t lo, uint64_t hi)
{
    if (lo >= hi)
        return HR_OK;
    r.addr = lo;
    r.size = hi - lo;
    return hr_survey_regionvec_push(out, r);
}

static void tidy(struct hr_survey_regionvec *t)
{
    if (t->n > 1)
        qsort(t->v, t->n, sizeof *t->v, by_addr);
    size_t k = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct hr_survey_region r = t->v[i];
        uint64_t hi = hr_sat_add(r.addr, r.size), lo = k ? hr_max(r.addr, end) : r.addr;
        if (lo >= hi)
            continue;
        r.addr = lo;
        r.size = hi - lo;
        end = hi;
        t->v[k++] = r;
    }
    t->n = k;
}

enum hr_status hr_survey_lay(struct hr_survey *v, struct hr_survey_regionvec *top, uint32_t over)
{
    struct hr_survey_regionvec out = {.max = HR_MAX_REGIONS};
    enum hr_status st = HR_OK;
    size_t k = 0;
    tidy(top);
    for (size_t i = 0; i < v->regions.n && st == HR_OK; i++) {
        const struct hr_survey_region *b = &v->regions.v[i];
        uint64_t at = b->addr, end = b->addr + b->size;
        while (k < top->n && top->v[k].addr + top->v[k].size <= at)
            k++;
        for (size_t j = k; over >> b->kind & 1 && j < top->n && top->v[j].addr < end && st == HR_OK; j++) {
            struct hr_survey_region t = top->v[j];
            uint64_t lo = hr_max(t.addr, at), hi = hr_min(t.addr + t.size, end);
            t.captured = b->captured;
            st = push(&out, *b, at, lo);
            if (st == HR_OK)
                st = push(&out, t, lo, hi);
            at = hr_max(at, hi);
        }
        if (st == HR_OK)
            st = push(&out, *b, at, end);
    }
    if (st == HR_OK) {
        hr_survey_regionvec_deinit(&v->regions);
        v->regions = out;
    } else {
        hr_survey_regionvec_deinit(&out);
    }
    return st;
}

/* ---- the layers ---- */

static struct hr_survey_region row(enum hr_survey_kind kind, hr_str name, uint64_t addr, uint64_t size)
{
    return (struct hr_survey_region){.addr = addr, .size = size, .used = HR_NONE64, .name = name, .kind = (uint8_t)kind, .captured = true,
                                     .region = HR_NONE, .stack = HR_NONE};
}

static hr_str label(struct hr_survey *v, const char *text)
{
    hr_str id = 0;
    return hr_strs_addz(v->s->strs, text, &id) == HR_OK ? id : 0;
}

static hr_str module_name(struct hr_survey *v, uint32_t m)
{
    return m < v->s->image.modules.n ? label(v, hr_base_name(hr_strs_get(v->s->strs, v->s->image.modules.v[m].path))) : 0;
}

static enum hr_status segments(struct hr_survey *v)
{
    const struct hr_image *img = &v->s->image;
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        hr_str name = s->module != HR_NONE ? module_name(v, s->module) : img->bare ? 0 : s->name;
        enum hr_survey_kind k = s->flags & HR_SEG_FROM_FILE ? HR_SV_FILE : s->flags & HR_SEG_W ? HR_SV_OTHER : HR_SV_CODE;
        if (s->module != HR_NONE && k == HR_SV_OTHER)
            k = HR_SV_STATIC;
        struct hr_survey_region r = row(k, name, s->addr, s->bytes.n);
        r.captured = k != HR_SV_FILE;
        HR_TRY(push(&v->regions, r, s->addr, s->addr + s->bytes.n));
        r = row(HR_SV_ABSENT, name, 0, 0);
        r.captured = false;
        HR_TRY(push(&v->regions, r, s->addr + s->bytes.n, s->addr + s->msize));
    }
    return HR_OK;
}

/* Writable by its flags and not in code by its place. */
static bool variable(const struct hr_elf *e, const struct hr_section *c)
{
    if (!(c->flags & SHF_WRITE_))
        return false;
    for (uint32_t k = 0; k < e->nph; k++)
        if (c->addr - e->ph[k].vaddr < e->ph[k].memsz && hr_elf_ph_is_code(e, &e->ph[k]))
            return false;
    return true;
}

static enum hr_status bare_sections(struct hr_survey *v, const struct hr_module *m, struct hr_survey_regionvec *out)
{
    for (uint32_t i = 0; i < m->elf->nsec; i++) {
        const struct hr_section *c = &m->elf->sec[i];
        if (c->flags & SHF_TLS_ && c->type == HR_SHT_NOBITS)
            continue; /* takes no room of its own: every thread has a copy elsewhere */
        if (!(c->flags & SHF_ALLOC_) || !c->size || strstr(c->name, "heap") || strstr(c->name, "stack"))
            continue; /* linker scripts reserve room for heap and stack as sections of these names: no variables */
        HR_TRY(hr_survey_regionvec_push(out, row(variable(m->elf, c) ? HR_SV_STATIC : HR_SV_CODE, label(v, c->name), c->addr + m->bias, c->size)));
    }
    return HR_OK;
}

static enum hr_status program_headers(struct hr_survey *v, uint32_t mod, struct hr_survey_regionvec *out)
{
    const struct hr_module *m = &v->s->image.modules.v[mod];
    uint64_t page = v->s->image.bare ? 1 : v->s->image.page ? v->s->image.page : 4096;
    for (uint32_t k = 0; k < m->elf->nph; k++) {
        const struct hr_phdr *p = &m->elf->ph[k];
        uint64_t lo = m->bias + p->vaddr, hi = hr_sat_add(lo, p->memsz);
        if (p->type != HR_PT_LOAD || !(p->flags & PF_W_) || !p->memsz)
            continue;
        hi = hi > UINT64_MAX - page ? hi : (hi + page - 1) & ~(page - 1);
        HR_TRY(hr_survey_regionvec_push(out, row(HR_SV_STATIC, module_name(v, mod), lo, hi - lo)));
    }
    return HR_OK;
}

/* What the program says lies in memory and the image does not hold: not captured. */
static enum hr_status missing(struct hr_survey *v, struct hr_survey_regionvec *want)
{
    size_t n = v->regions.n, k = 0;
    tidy(want);
    for (size_t i = 0; i < want->n; i++) {
        struct hr_survey_region w = want->v[i];
        uint64_t at = w.addr, end = w.addr + w.size;
        if (w.kind == HR_SV_CODE)
            continue; /* flash is rarely saved, and nobody's RAM */
        w.kind = HR_SV_ABSENT;
        w.captured = false;
        while (k < n && v->regions.v[k].addr + v->regions.v[k].size <= at)
            k++;
        for (size_t j = k; j < n && v->regions.v[j].addr < end; j++) {
            uint64_t to = v->regions.v[j].addr;
            HR_TRY(push(&v->regions, w, at, hr_max(at, to)));
            at = hr_max(at, to + v->regions.v[j].size);
        }
        HR_TRY(push(&v->regions, w, at, end));
    }
    if (v->regions.n > n)
        qsort(v->regions.v, v->regions.n, sizeof *v->regions.v, by_addr);
    return HR_OK;
}

static enum hr_status statics(struct hr_survey *v)
{
    struct hr_survey_regionvec top = {.max = HR_MAX_REGIONS};
    const struct hr_image *img = &v->s->image;
    enum hr_status st = HR_OK;
    for (uint32_t i = 0; i < img->modules.n && st == HR_OK; i++) {
        const struct hr_module *m = &img->modules.v[i];
        if (m->elf && img->bare && m->elf->nsec > 1)
            st = bare_sections(v, m, &top);
        else if (m->elf)
            st = program_headers(v, i, &top);
    }
    if (st == HR_OK && img->bare)
        st = missing(v, &top);
    if (st == HR_OK)
        st = hr_survey_lay(v, &top, 1u << HR_SV_OTHER | 1u << HR_SV_STATIC | (img->bare ? 1u << HR_SV_CODE : 0));
    hr_survey_regionvec_deinit(&top);
    return st;
}

static enum hr_status heap_rows(struct hr_survey *v, struct hr_survey_regionvec *out)
{
    const struct hr_heap *h = v->s->heap;
    for (uint32_t i = 0; i < h->regions.n; i++) {
        const struct hr_region *r = &h->regions.v[i];
        struct hr_survey_region e = row(HR_SV_HEAP, h->arenas.v[r->arena].name, r->addr, r->size);
        e.region = i;
        if (r->parent == HR_NONE)
            HR_TRY(hr_survey_regionvec_push(out, e));
    }
    return HR_OK;
}

/* An allocator's bookkeeping outside its regions, where no section says that it is some variable. */
static enum hr_status table_rows(struct hr_survey *v, struct hr_survey_regionvec *out)
{
    const struct hr_heap *h = v->s->heap;
    for (size_t i = 0; i < h->own.n; i++)
        if (h->own.v[i].size >= MIN_TABLE && v->s->image.bare)
            HR_TRY(hr_survey_regionvec_push(out, row(HR_SV_HEAP, label(v, "the allocator's tables"), h->own.v[i].addr, h->own.v[i].size)));
    return HR_OK;
}

static enum hr_status heaps(struct hr_survey *v)
{
    struct hr_survey_regionvec top = {.max = HR_MAX_REGIONS};
    enum hr_status st = heap_rows(v, &top);
    if (st == HR_OK)
        st = hr_survey_lay(v, &top, 1u << HR_SV_OTHER | 1u << HR_SV_STATIC);
    top.n = 0;
    if (st == HR_OK)
        st = table_rows(v, &top);
    if (st == HR_OK)
        st = hr_survey_lay(v, &top, 1u << HR_SV_OTHER);
    hr_survey_regionvec_deinit(&top);
    return st;
}

/* Bytes in use and free of every heap region, nested ones counted where their blocks lie. */
static enum hr_status heap_sums(struct hr_survey *v)
{
    const struct hr_heap *h = v->s->heap;
    struct hr_block_iter it = hr_block_iter(h, 0);
    size_t k = 0;
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it), size = hr_block_size(h, id);
        while (k < v->regions.n && v->regions.v[k].addr + v->regions.v[k].size <= at)
            k++;
        if (k == v->regions.n)
            break;
        if (h->state[id] != HR_FREE && h->state[id] != HR_CACHED)
            continue;
        /* a block can go on in the next piece of its region, where a capture was saved in several */
        for (size_t i = k; i < v->regions.n && v->regions.v[i].addr < at + size; i++) {
            struct hr_survey_region *r = &v->regions.v[i];
            if (r->kind == HR_SV_HEAP)
                r->free += hr_min(r->addr + r->size, at + size) - hr_max(r->addr, at);
        }
    }
    for (size_t i = 0; i < v->regions.n; i++) {
        struct hr_survey_region *r = &v->regions.v[i];
        if (r->kind == HR_SV_HEAP)
            r->used = r->size - hr_min(r->free, r->size);
        else if (r->kind == HR_SV_STATIC || r->kind == HR_SV_CODE)
            r->used = r->size;
    }
    return HR_OK;
}

/* The part of a stack that is a region of its own: all of it when it has a lower border, else what was ever written. */
static enum hr_status stack_rows(struct hr_survey *v, struct hr_survey_regionvec *out)
{
    for (uint32_t i = 0; i < v->stacks.n; i++) {
        const struct hr_survey_stack *t = &v->stacks.v[i];
        if (t->block != HR_NONE)
            continue;
        uint64_t lo = t->limit || t->unused == HR_NONE64 ? t->lo : t->lo + t->unused;
        struct hr_survey_region r = row(HR_SV_STACK, t->name, lo, t->hi - lo);
        r.stack = i;
        if (t->unused != HR_NONE64)
            r.used = t->hi - t->lo - t->unused;
        HR_TRY(hr_survey_regionvec_push(out, r));
    }
    return HR_OK;
}

static enum hr_status stacks(struct hr_survey *v)
{
    struct hr_survey_regionvec top = {.max = HR_MAX_REGIONS};
    enum hr_status st = stack_rows(v, &top);
    if (st == HR_OK)
        st = hr_survey_lay(v, &top, 1u << HR_SV_OTHER | 1u << HR_SV_STATIC);
    hr_survey_regionvec_deinit(&top);
    return st;
}

/* ---- never written ---- */

/* Runs of one word within an unexplained piece of a bare machine's memory. */
static enum hr_status runs(struct hr_survey *v, const struct hr_survey_region *r, struct hr_survey_regionvec *out)
{
    const struct hr_image *img = &v->s->image;
    uint64_t w = img->word, at = (r->addr + w - 1) & ~(w - 1), end = r->addr + r->size;
    while (at + w <= end) {
        struct hr_span s = hr_image_peek(img, at, end - at);
        if (s.n < w)
            break;
        uint64_t first = hr_word_load(s.p, (unsigned)w, img->big), n = w;
        while (n + w <= s.n && !memcmp(s.p + n, s.p, w))
            n += w;
        if (n >= MIN_RUN || n == r->size) {
            char text[64];
            snprintf(text, sizeof text, first ? "never written (filled with 0x%llx)" : "never written (zeros)", (unsigned long long)first);
            struct hr_survey_region u = row(HR_SV_UNUSED, label(v, text), at, n);
            u.used = 0;
            HR_TRY(hr_survey_regionvec_push(out, u));
        }
        at += n;
    }
    return HR_OK;
}

/* Without a program nothing says where its variables are; what lies in front of the first heap in the same stretch of memory is
 * where every linker script puts them. */
static enum hr_status guess_statics(struct hr_survey *v, struct hr_survey_regionvec *out)
{
    for (size_t i = 0; i < v->s->image.modules.n; i++)
        if (v->s->image.modules.v[i].elf)
            return HR_OK;
    for (size_t i = 0; i + 1 < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        if (r->kind != HR_SV_OTHER || r->addr + r->size != r[1].addr || r[1].kind != HR_SV_HEAP)
            continue;
        struct hr_survey_region g = row(HR_SV_STATIC, label(v, "variables (no symbols)"), r->addr, r->size);
        g.used = r->size;
        return hr_survey_regionvec_push(out, g);
    }
    return HR_OK;
}

static enum hr_status leftovers(struct hr_survey *v)
{
    struct hr_survey_regionvec top = {.max = HR_MAX_REGIONS};
    if (!v->s->image.bare)
        return HR_OK;
    enum hr_status st = guess_statics(v, &top);
    if (st == HR_OK)
        st = hr_survey_lay(v, &top, 1u << HR_SV_OTHER);
    top.n = 0;
    for (size_t i = 0; i < v->regions.n && st == HR_OK; i++)
        if (v->regions.v[i].kind == HR_SV_OTHER)
            st = runs(v, &v->regions.v[i], &top);
    if (st == HR_OK)
        st = hr_survey_lay(v, &top, 1u << HR_SV_OTHER);
    hr_survey_regionvec_deinit(&top);
    return st;
}

/* ---- all ---- */

/* Neighbours that are the same thing become one, a heap that lies in two files next to each other too. */
static void join(struct hr_survey *v)
{
    size_t k = 0;
    for (size_t i = 0; i < v->regions.n; i++) {
        struct hr_survey_region *r = &v->regions.v[i], *p = k ? &v->regions.v[k - 1] : NULL;
        if (p && p->addr + p->size == r->addr && p->kind == r->kind && p->name == r->name && p->captured == r->captured &&
            p->region == r->region && p->stack == r->stack && (p->kind != HR_SV_HEAP || p->region != HR_NONE) && p->kind != HR_SV_STACK) {
            p->size += r->size;
            p->free += r->free;
            p->used = p->used == HR_NONE64 || r->used == HR_NONE64 ? HR_NONE64 : p->used + r->used;
        } else {
            v->regions.v[k++] = *r;
        }
    }
    v->regions.n = k;
}

static void sums(struct hr_survey *v)
{
    for (size_t i = 0; i < v->regions.n; i++) {
        const struct hr_survey_region *r = &v->regions.v[i];
        v->kind_bytes[r->kind] += r->size;
        if (r->captured)
            v->captured += r->size;
        if (r->kind == HR_SV_ABSENT)
            v->absent += r->size;
    }
}

static enum hr_status fill(struct hr_survey *v)
{
    HR_TRY(segments(v));
    HR_TRY(statics(v));
    HR_TRY(heaps(v));
    HR_TRY(hr_survey_stacks(v));
    HR_TRY(stacks(v));
    HR_TRY(leftovers(v));
    join(v);
    HR_TRY(heap_sums(v));
    sums(v);
    return hr_survey_symbols(v);
}

enum hr_status hr_survey_create(struct hr_session *s, struct hr_survey **ret)
{
    HR_TRY(hr_session_roots(s));
    struct hr_survey *v = hr_zalloc(1, sizeof *v);
    if (!v)
        return HR_NOMEM;
    v->s = s;
    v->regions.max = HR_MAX_REGIONS;
    v->symbols.max = HR_MAX_SYMBOLS;
    v->modules.max = HR_MAX_SYMBOLS;
    v->stacks.max = HR_MAX_THREADS;
    enum hr_status st = fill(v);
    if (st != HR_OK) {
        hr_survey_destroy(v);
        return st;
    }
    *ret = v;
    return HR_OK;
}

enum hr_status hr_session_survey(struct hr_session *s)
{
    return s->survey ? HR_OK : hr_survey_create(s, &s->survey);
}

void hr_survey_destroy(struct hr_survey *v)
{
    if (!v)
        return;
    hr_survey_regionvec_deinit(&v->regions);
    hr_survey_symbolvec_deinit(&v->symbols);
    hr_survey_modulevec_deinit(&v->modules);
    hr_survey_stackvec_deinit(&v->stacks);
    hr_free(v);
}
