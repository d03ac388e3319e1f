/* glibc's structures as offsets. The differences between versions are the conditions below and nothing else. */
#include <string.h>

#include "analyzer/allocators/glibc.h"

/* 2.24 mp_ without max_total_mem, 2.26 tcache (and i386's alignment of 16), 2.27 have_fastchunks, 2.30 counts of 16 bits,
 * 2.32 safe-linking, 2.35 heap_info.pagesize and huge pages in mp_, 2.42 num_slots. */
const uint8_t hr_glibc_epochs[] = {23, 24, 26, 27, 30, 32, 35, 42, 0};

unsigned hr_glibc_align(const struct hr_image *img, unsigned minor)
{
    if (img->word == 8)
        return 16;
    const char *a = img->arch ? img->arch->name : "";
    if (!strcmp(a, "i386"))
        return minor >= 26 ? 16 : 8; /* sysdeps/i386/malloc-alignment.h */
    /* Elsewhere that of long double, if larger than two words. */
    return !strcmp(a, "riscv32") || !strcmp(a, "ppc") || !strcmp(a, "ppc32") ? 16 : 8;
}

/* Lays out fields one after the other, each aligned to its size. */
static uint16_t field(unsigned *at, unsigned size, unsigned count)
{
    unsigned off = (*at + size - 1) / size * size;
    *at = off + size * count;
    return (uint16_t)off;
}

static void state(struct glibc_layout *l)
{
    unsigned at = 0, w = l->word;
    field(&at, 4, 1); /* mutex */
    l->flags = field(&at, 4, 1);
    if (l->minor >= 27)
        field(&at, 4, 1); /* have_fastchunks */
    /* MAX_FAST_SIZE is 80 words / 4; an index is 16 (64-bit) or 8 bytes of chunk size, from 32 or 16 on. */
    unsigned max_fast = (unsigned)glibc_up(80 * w / 4 + w, l->align);
    l->nfast = (uint8_t)((max_fast >> (w == 8 ? 4 : 3)) - 2 + 1);
    l->fast = field(&at, w, l->nfast);
    l->top = field(&at, w, 1);
    field(&at, w, 1); /* last_remainder */
    l->bins = field(&at, w, 2 * GLIBC_NBINS);
    field(&at, 4, 4); /* binmap */
    l->next = field(&at, w, 1);
    field(&at, w, 1); /* next_free */
    l->attached = field(&at, w, 1);
    l->system = field(&at, w, 1);
    l->max_system = field(&at, w, 1);
    l->state_size = (uint16_t)at;
}

static void par(struct glibc_layout *l)
{
    unsigned at = 0, w = l->word;
    field(&at, w, 2); /* trim_threshold, top_pad */
    l->mp_mmap_threshold = field(&at, w, 1);
    field(&at, w, 2); /* arena_test, arena_max */
    if (l->minor >= 35) {
        field(&at, w, 1); /* thp_pagesize */
        l->mp_hp_pagesize = field(&at, w, 1);
        field(&at, 4, 1); /* hp_flags */
    }
    l->mp_n_mmaps = field(&at, 4, 1);
    l->mp_n_mmaps_max = field(&at, 4, 1);
    l->mp_max_n_mmaps = field(&at, 4, 1);
    field(&at, 4, 1); /* no_dyn_threshold */
    l->mp_mmapped_mem = field(&at, w, 1);
    l->mp_max_mmapped_mem = field(&at, w, 1);
    if (l->minor < 24)
        field(&at, w, 1); /* max_total_mem */
    l->mp_sbrk_base = field(&at, w, 1);
    if (l->minor >= 26)
        l->mp_tcache_bins = field(&at, w, 4); /* bins, max_bytes, count, unsorted_limit */
    l->mp_size = (uint16_t)at;
}

void hr_glibc_layout(struct glibc_layout *l, unsigned word, unsigned align, unsigned minor)
{
    *l = (struct glibc_layout){.word = (uint8_t)word, .align = (uint8_t)align, .minor = (uint8_t)minor};
    l->minsize = (uint16_t)glibc_up(4 * word, align);
    l->safe_link = minor >= 32;
    state(l);
    par(l);
    /* heap_info pads itself so that a chunk behind it is aligned. */
    unsigned words = minor >= 35 ? 5 : 4, pad = minor >= 35 ? -3u * word : -6u * word;
    l->hi_size = (uint16_t)(words * word + (pad & (align - 1)));
    if (minor < 26)
        return;
    l->tc_kind = minor >= 42 ? GLIBC_TC_SLOTS : minor >= 30 ? GLIBC_TC_U16 : GLIBC_TC_U8;
    l->tc_bins = minor >= 42 ? 76 : 64;
    unsigned at = 0;
    field(&at, l->tc_kind == GLIBC_TC_U8 ? 1 : 2, l->tc_bins);
    l->tc_entries = field(&at, word, l->tc_bins);
    l->tc_chunk = (uint16_t)glibc_up(at + word, align);
}
