/* Bytes of small written CircuitPythons changed one by one, and lengths their memory can be cut to: no crash, no hang. */
#include "tests/make/cp_world.h"
#include "tests/sweep/bytes.h"
#include "tests/tap.h"

static void use(struct cpw_world *w)
{
    char buf[300];
    struct hr_mp_gc gc;
    if (hr_mp_collect(w->mp, &gc) == HR_OK && gc.count > w->heap->n)
        abort();
    hr_mp_gc_deinit(&gc);
    struct hr_block_iter it = hr_block_iter(w->heap, 0);
    while (it.id < w->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it);
        for (uint32_t off = 0; off < hr_block_size(w->heap, id) && off < 256; off += w->mp->word)
            (void)hr_mp_field_name(w->mp, id, off, buf, sizeof buf);
        if (w->mp->object[id] != HR_NONE)
            hr_mp_repr_text(w->mp, at, w->mp->object[id], true, buf, sizeof buf);
    }
}

static bool used(const void *world)
{
    struct cpw_world w;
    if (cpw_read(&w, world))
        use(&w);
    cpw_forget(&w);
    return true;
}

int main(void)
{
    for (unsigned i = 0; i < CPW_NKINDS * 2; i++) {
        enum cpw_kind kind = (enum cpw_kind)(i / 2);
        struct cpw m;
        struct tally t = {0};
        cpw_make(&m, kind, i & 1 ? 8 : 4, kind == CPW_8 || (kind == CPW_10 && i & 1), i & 1, kind >= CPW_9);
        sweep(used, &m, &m.ram, 29, &t);
        sweep(used, &m, &m.rom, 89, &t);
        size_t whole = m.ram.n;
        for (m.ram.n = 0x40; m.ram.n < whole; m.ram.n += 211)
            read_once(used, &m, &t);
        m.ram.n = whole;
        OK(t.reads > 100 && t.slowest < 2, "%u, %u bits: %" PRIu64 " reads of it changed or cut are answered, none took long", (unsigned)kind, 8 * m.word, t.reads);
        cpw_end(&m);
    }
    return tap_done();
}
