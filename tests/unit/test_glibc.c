/* glibc's layouts against the numbers a C compiler gave for each release's structures, and the whole adapter on written heaps
 * of every version, word size, byte order and alignment: every block's place, size and state. */
#include "analyzer/allocators/glibc.h"
#include "analyzer/heap/where.h"
#include "tests/make/glibc_world.h"
#include "tests/tap.h"

static void test_layouts(void)
{
    static const unsigned kinds[][2] = {{64, 16}, {32, 8}, {32, 16}};
    for (size_t k = 0; k < 3; k++)
        for (unsigned minor = GLIBC_MINOR_MIN; minor <= GLIBC_MINOR_MAX; minor++) {
            const struct mk_glibc_facts *f = mk_glibc_facts(kinds[k][0], kinds[k][1], minor);
            struct glibc_layout l;
            if (!f)
                continue;
            hr_glibc_layout(&l, f->bits / 8, f->align, minor);
            bool ok = l.fast == f->fast && l.top == f->top && l.bins == f->bins && l.next == f->next && l.system == f->system &&
                      l.max_system == f->max_system && l.state_size == f->state_size && l.hi_size == f->heap_info &&
                      l.mp_n_mmaps == f->n_mmaps && l.mp_mmapped_mem == f->mmapped_mem &&
                      l.mp_max_mmapped_mem == f->max_mmapped_mem && l.mp_sbrk_base == f->sbrk_base &&
                      l.tc_entries == f->tc_entries && l.tc_chunk == f->tc_chunk;
            OK(ok, "layout of 2.%u, %u bits, alignment %u", minor, f->bits, f->align);
        }
}

static bool same_blocks(const struct world *w)
{
    const struct hr_heap *h = w->heap;
    unsigned shown = 0;
    if (h->n != w->m.nblocks)
        printf("# %u blocks, written %u\n", h->n, w->m.nblocks);
    for (unsigned i = 0; i < w->m.nblocks && shown < 5; i++) {
        const struct mk_block *b = &w->m.block[i];
        uint64_t into = 1;
        hr_id id = hr_heap_at(h, b->addr, &into);
        if (id == HR_NONE || into || hr_block_size(h, id) != b->size || h->state[id] != (unsigned)b->state) {
            shown++;
            printf("# block 0x%" PRIx64 " size %" PRIu64 " state %d: got size %" PRIu64 " state %d\n", b->addr, b->size, b->state,
                   id == HR_NONE ? 0 : hr_block_size(h, id), id == HR_NONE ? -1 : h->state[id]);
        }
    }
    return !shown && h->n == w->m.nblocks;
}

static void one(unsigned word, unsigned align, bool big, unsigned minor, bool says)
{
    struct world w = {.m = {.word = word, .align = align, .big = big, .minor = minor, .says_version = says, .chunks = 400,
                            .seed = 88172645463325252ull + minor}};
    char name[100];
    snprintf(name, sizeof name, "2.%u, %u bits, %s endian, alignment %u, version %s", minor, word * 8, big ? "big" : "little",
             align, says ? "said" : "voted");
    if (!world_write(&w) || !world_read(&w)) {
        OK(false, "%s: built", name);
        return;
    }
    OK(same_blocks(&w), "%s: %u blocks", name, w.m.nblocks);
    bool quiet = true, sums = true;
    for (size_t i = 0; i < w.notes.list.n; i++) {
        quiet = false;
        printf("# %s: %s\n", w.notes.list.v[i].code, w.notes.list.v[i].text);
    }
    for (uint32_t i = 0; i < w.heap->arenas.n; i++) {
        const struct hr_arena *a = &w.heap->arenas.v[i];
        sums &= a->used_bytes + a->cached_bytes + a->free_bytes + a->own_bytes + a->overhead_bytes == a->mapped;
        sums &= a->mapped == (i < 2 ? w.m.system[i] : w.m.mmapped_mem);
    }
    OK(quiet && sums && w.heap->arenas.n == 3, "%s: sums, nothing damaged", name);
    world_end(&w);
}

int main(void)
{
    test_layouts();
    for (int says = 1; says >= 0; says--)
        for (int big = 0; big < 2; big++)
            for (unsigned minor = GLIBC_MINOR_MIN; minor <= GLIBC_MINOR_MAX; minor++) {
                one(8, 16, big, minor, says);
                one(4, 8, big && minor >= 26, minor, says);
                if (minor >= 26)
                    one(4, 16, big, minor, says);
            }
    return tap_done();
}
