/* Where is main_arena, which version is this, where is mp_: symbols first, code next, the shape of the data always.
 *
 * The shape: 127 list heads of two words each, most of them linked to themselves; before them `top`, behind them `next`,
 * whose ring closes at the structure's own start. Relative to the bins all versions agree on these; the start tells the
 * version apart. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/glibc.h"
#include "analyzer/image/elf.h"

enum {
    SOUND_ENOUGH = 100,       /* of 127 heads: a scribbled heap breaks a few */
    MAX_ARENAS = 1 << 16,     /* glibc: 8 per core by default */
    MAX_DATA = 64 << 20,      /* data segment searched per module */
    MAX_RODATA = 64 << 20,
    MAX_REFS = 64,
};

/* ---- soundness ---- */

static bool sound_bin(const struct glibc *g, uint64_t slot)
{
    unsigned w = g->l.word;
    uint64_t bin = slot - 2 * w, fd, bk, back, fore;
    if (!glibc_word(g, slot, &fd) || !glibc_word(g, slot + w, &bk))
        return false;
    if (fd == bin && bk == bin)
        return true;
    if (fd == bin || bk == bin || !fd || !bk)
        return false;
    return glibc_word(g, fd + 3 * w, &back) && back == bin && glibc_word(g, bk + 2 * w, &fore) && fore == bin;
}

unsigned hr_glibc_sound_bins(const struct glibc *g, uint64_t bins)
{
    unsigned n = 0;
    for (unsigned i = 0; i < GLIBC_NBINS; i++)
        n += sound_bin(g, bins + 2ull * i * g->l.word);
    return n;
}

/* Does the ring of `next` from the arena at `start` lead back to it? Also through arenas with damaged bins. */
static bool ring_closes(const struct glibc *g, const struct glibc_layout *l, uint64_t start)
{
    uint64_t a = start;
    for (unsigned n = 0; n < MAX_ARENAS; n++) {
        if (!glibc_word(g, a + l->next, &a) || !a || a & (l->word - 1u))
            return false;
        if (a == start)
            return true;
    }
    return false;
}

/* A likely main_arena of layout l at start: 0 no; more is better. */
static unsigned likely(const struct glibc *g, const struct glibc_layout *l, uint64_t start)
{
    uint64_t top, system, max, head = 0;
    if (!glibc_word(g, start + l->top, &top) || !glibc_word(g, start + l->system, &system) ||
        !glibc_word(g, start + l->max_system, &max))
        return 0;
    unsigned score = 0;
    score += ring_closes(g, l, start) ? 8 : 0;
    score += top && !((top + 2 * l->word) & (l->align - 1u)) ? 1 : 0;
    score += glibc_word(g, top + l->word, &head) && head & GLIBC_PREV_INUSE ? 2 : 0;
    score += system && system <= max ? 2 : 0;
    score += start % 32 == 0 ? 1 : 0; /* how compilers align large static data */
    return score;
}

/* ---- version ---- */

static void parse_version(struct glibc *g, const uint8_t *p, size_t n)
{
    static const char tag[] = "version 2.";
    const uint8_t *v = memmem(p, hr_min(n, 200), tag, sizeof tag - 1);
    if (!v)
        return;
    unsigned minor = 0, digits = 0;
    for (v += sizeof tag - 1; v < p + n && *v >= '0' && *v <= '9' && digits < 3; v++, digits++)
        minor = minor * 10 + *v - '0';
    if (digits && minor >= GLIBC_MINOR_MIN - 20) {
        g->minor = minor;
        g->layout_by = "libc's own version string";
    }
}

static bool version_in(struct glibc *g, struct hr_span s)
{
    static const char tag[] = "GNU C Library (";
    const uint8_t *p = s.p;
    for (size_t left = hr_min(s.n, MAX_RODATA); left > sizeof tag;) {
        const uint8_t *q = memmem(p, left, tag, sizeof tag - 1);
        if (!q)
            return false;
        left -= (size_t)(q - p) + 1;
        p = q + 1;
        parse_version(g, q, left);
        if (g->minor)
            return true;
    }
    return false;
}

/* From the module's file, or from what the image holds of it, or from a name like libc-2.31.so. */
static void find_version(struct glibc *g, uint32_t module)
{
    if (module == HR_NONE)
        return;
    const struct hr_module *m = &g->img->modules.v[module];
    const struct hr_section *ro = m->elf ? hr_elf_section(m->elf, ".rodata") : NULL;
    if (ro && !ro->compressed && version_in(g, ro->bytes))
        return;
    for (size_t i = 0; i < g->img->segs.n; i++)
        if (g->img->segs.v[i].module == module && version_in(g, g->img->segs.v[i].bytes))
            return;
    const char *name = strstr(hr_strs_get(g->img->strs, m->path), "libc-2.");
    unsigned minor;
    if (name && sscanf(name, "libc-2.%3u", &minor) == 1) {
        g->minor = minor;
        g->layout_by = "libc's file name";
    }
}

static unsigned clamp_minor(unsigned minor)
{
    return minor < GLIBC_MINOR_MIN ? GLIBC_MINOR_MIN : minor > GLIBC_MINOR_MAX ? GLIBC_MINOR_MAX : minor;
}

static void use_layout(struct glibc *g, unsigned minor)
{
    hr_glibc_layout(&g->l, g->img->word, hr_glibc_align(g->img, minor), minor);
}

/* ---- main_arena ---- */

/* Settles on start; false when it does not look like a malloc_state under any layout we may use. */
static bool settle(struct glibc *g, uint64_t start, const char *by)
{
    uint32_t module = hr_image_module_at(g->img, start);
    g->minor = 0;
    find_version(g, module);
    unsigned best = 0, best_minor = 0;
    for (const uint8_t *e = hr_glibc_epochs; *e; e++) {
        unsigned minor = g->minor ? clamp_minor(g->minor) : *e;
        use_layout(g, minor);
        unsigned score = hr_glibc_sound_bins(g, start + g->l.bins) >= SOUND_ENOUGH ? likely(g, &g->l, start) : 0;
        if (score > best) {
            best = score;
            best_minor = minor;
        }
        if (g->minor)
            break;
    }
    if (!best && g->minor) { /* the file's version may not be the image's */
        g->minor = 0;
        g->layout_by = NULL;
        for (const uint8_t *e = hr_glibc_epochs; *e && !best; e++) {
            use_layout(g, *e);
            if (hr_glibc_sound_bins(g, start + g->l.bins) >= SOUND_ENOUGH && (best = likely(g, &g->l, start)))
                best_minor = *e;
        }
    }
    if (best < 8)
        return false;
    use_layout(g, best_minor);
    g->bins = start + g->l.bins;
    g->found_by = by;
    return true;
}

static bool by_symbol(struct glibc *g)
{
    if (!g->types || hr_types_load_symbols(g->types) != HR_OK)
        return false;
    /* Several modules may have one: a second libc in its own namespace, a copy of ptmalloc. The libc counts. */
    for (uint32_t m = 0; m < g->img->modules.n; m++) {
        const struct hr_sym *s = hr_sym_find(g->types, "main_arena", m);
        if (s && settle(g, s->addr, "main_arena from libc's symbols"))
            return true;
    }
    return false;
}

/* Exported functions whose code names main_arena early. */
static bool by_code(struct glibc *g)
{
    static const char *const functions[] = {"malloc_trim", "mallinfo2", "mallinfo", "malloc_stats", "__malloc_info",
                                            "malloc_info", "malloc"};
    if (!g->types || hr_types_load_symbols(g->types) != HR_OK)
        return false;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const struct hr_sym *s = hr_sym_find(g->types, functions[i], HR_NONE);
        if (!s)
            continue;
        uint64_t refs[MAX_REFS];
        size_t n = hr_code_data_refs(g->img, s->addr, s->size ? hr_min(s->size, 4096) : 1024, refs, MAX_REFS);
        for (size_t k = 0; k < n; k++)
            if (settle(g, refs[k], "main_arena from the code of a libc function"))
                return true;
    }
    return false;
}

/* The ring's member that lies behind no heap_info: the other arenas lie in their own heaps. */
static uint64_t main_of(const struct glibc *g, const struct glibc_layout *l, uint64_t start)
{
    uint64_t a = start, ar;
    for (unsigned n = 0; n < MAX_ARENAS; n++) {
        uint64_t heap = a & ~(g->heap_max - 1);
        if (a - heap > 64 || !glibc_word(g, heap, &ar) || ar != a)
            return a;
        if (!glibc_word(g, a + l->next, &a) || a == start)
            break;
    }
    return start;
}

/* The ring of `next` from bins at `bins` leads back to a start shortly before them. */
static uint64_t start_of(const struct glibc *g, uint64_t bins)
{
    for (const uint8_t *e = hr_glibc_epochs; *e; e++) {
        struct glibc_layout l;
        hr_glibc_layout(&l, g->img->word, hr_glibc_align(g->img, *e), *e);
        uint64_t start = bins - l.bins;
        if (start < bins && likely(g, &l, start) >= 8 + 2)
            return main_of(g, &l, start);
    }
    return 0;
}

/* A self-linked head was seen at `slot`: which of the 127 is it? Tries the run of sound heads around it. */
static bool around(struct glibc *g, uint64_t slot)
{
    unsigned step = 2u * g->l.word;
    uint64_t lo = slot;
    for (unsigned i = 1, miss = 0; i < GLIBC_NBINS && miss < 4 && lo > step; i++) {
        if (sound_bin(g, slot - (uint64_t)i * step))
            lo = slot - (uint64_t)i * step, miss = 0;
        else
            miss++;
    }
    /* The first heads may be damaged: bases below `lo` too. */
    for (unsigned k = 0; k < 8; k++) {
        uint64_t bins = lo - (uint64_t)k * step, start;
        if (hr_glibc_sound_bins(g, bins) < SOUND_ENOUGH)
            break;
        if ((start = start_of(g, bins)) && settle(g, start, "main_arena by its shape in libc's data"))
            return true;
    }
    return false;
}

static inline __attribute__((always_inline)) bool scan(struct glibc *g, const struct hr_segment *s, unsigned w, bool big)
{
    const uint8_t *p = s->bytes.p;
    uint64_t n = hr_min(s->bytes.n, MAX_DATA), skip = 0;
    for (uint64_t off = -s->addr & (w - 1); off + 2 * w <= n; off += w) {
        uint64_t v = hr_word_load(p + off, w, big);
        if (v != s->addr + off - 2 * w || hr_word_load(p + off + w, w, big) != v)
            continue;
        /* A list head of other code points at itself, not two words before itself: this is rare. */
        if (off >= skip && around(g, s->addr + off))
            return true;
        skip = off >= skip ? off + 2ull * w * 8 : skip; /* no closer look at its neighbours */
    }
    return false;
}

static bool scan_segment(struct glibc *g, const struct hr_segment *s)
{
    bool found = false;
#define CALL(W, BIG) found = scan(g, s, W, BIG)
    HR_SPECIALISE(g->img, CALL);
#undef CALL
    return found;
}

static bool by_shape(struct glibc *g)
{
    use_layout(g, GLIBC_MINOR_MAX); /* for word and alignment only */
    for (int anywhere = 0; anywhere < 2; anywhere++)
        for (size_t i = 0; i < g->img->segs.n; i++) {
            const struct hr_segment *s = &g->img->segs.v[i];
            bool data = s->module != HR_NONE;
            /* Second round: no module there (names were lost), so small anonymous memory too. */
            if (!(s->flags & HR_SEG_W) || s->flags & (HR_SEG_STACK | HR_SEG_DEVICE) || data == (bool)anywhere)
                continue;
            if (anywhere && s->bytes.n > MAX_DATA / 16)
                continue;
            if (scan_segment(g, s))
                return true;
        }
    return false;
}

/* ---- the layout, when libc does not say its version ---- */

static bool heap_info_of(const struct glibc *g, unsigned minor, uint64_t arena, uint64_t heap_max)
{
    struct glibc_layout l;
    hr_glibc_layout(&l, g->img->word, hr_glibc_align(g->img, minor), minor);
    uint64_t heap = arena & ~(heap_max - 1), ar;
    return arena - heap == l.hi_size && glibc_word(g, heap, &ar) && ar == arena;
}

/* Evidence for a minor version beyond main_arena's own layout: the header of the next arena's heap, and the size of the
 * first chunk, which is the main thread's tcache. */
static unsigned votes(const struct glibc *g, unsigned minor, uint64_t start)
{
    struct glibc_layout l;
    hr_glibc_layout(&l, g->img->word, hr_glibc_align(g->img, minor), minor);
    uint64_t next, top, size, system, head;
    if (hr_glibc_sound_bins(g, start + l.bins) < SOUND_ENOUGH)
        return 0;
    unsigned score = likely(g, &l, start);
    if (glibc_word(g, start + l.next, &next) && next != start)
        score += heap_info_of(g, minor, next, g->heap_max) ? 4 : 0;
    if (glibc_word(g, start + l.top, &top) && glibc_word(g, top + l.word, &size) &&
        glibc_word(g, start + l.system, &system)) {
        uint64_t first = glibc_up(top + (size & ~(uint64_t)GLIBC_FLAGS) - system + 2 * l.word, l.align) - l.word;
        if (glibc_word(g, first, &head) && l.tc_chunk && (head & ~(uint64_t)GLIBC_FLAGS) == l.tc_chunk)
            score += 3;
    }
    return score;
}

/* Safe-linking: the first entry found in a fastbin or the main tcache tells, as a plain pointer or a mangled one. */
static void vote_layout(struct glibc *g)
{
    uint64_t start = g->bins - g->l.bins;
    unsigned best = 0, minor = g->l.minor;
    for (const uint8_t *e = hr_glibc_epochs; *e; e++) {
        unsigned v = votes(g, *e, start);
        if (v && v >= best) { /* of equals the newest: 2.32's safe-linking shows in the lists, see hr_glibc_tcaches */
            best = v;
            minor = *e;
        }
    }
    /* 2.42 differs from 2.35 by its tcache only. */
    use_layout(g, minor == 42 && votes(g, 35, start) == best ? 35 : minor);
    g->layout_by = "the shape of its structures";
}

/* Without main_arena: what libc's file says of its version, or HR_ABSENT. */
enum hr_status hr_glibc_find_libc(struct glibc *g)
{
    for (uint32_t m = 0; m < g->img->modules.n && !g->minor; m++) {
        const char *path = hr_strs_get(g->img->strs, g->img->modules.v[m].path), *base = strrchr(path, '/');
        if (!strncmp(base ? base + 1 : path, "libc", 4) || g->img->modules.v[m].main_exe)
            find_version(g, m);
    }
    if (!g->minor)
        return HR_ABSENT;
    snprintf(g->version, sizeof g->version, "2.%u", g->minor);
    use_layout(g, clamp_minor(g->minor));
    return HR_OK;
}

enum hr_status hr_glibc_find(struct glibc *g)
{
    g->heap_max = g->img->word == 8 ? 64 << 20 : 1 << 20; /* 2 * DEFAULT_MMAP_THRESHOLD_MAX */
    if (!by_symbol(g) && !by_code(g) && !by_shape(g)) {
        g->minor = 0;
        g->layout_by = NULL;
        return HR_ABSENT;
    }
    if (g->minor)
        snprintf(g->version, sizeof g->version, "2.%u", g->minor);
    else
        vote_layout(g);
    if (g->minor > GLIBC_MINOR_MAX || (g->minor && g->minor < GLIBC_MINOR_MIN))
        hr_note(g->notes, HR_NOTE_DEGRADED, "heap.version",
                "glibc %s is outside the versions heapray knows (2.%d to 2.%d): the nearest one's layout is used", g->version,
                GLIBC_MINOR_MIN, GLIBC_MINOR_MAX);
    return HR_OK;
}
