/* Heaps of microcontrollers, written from descriptions after random requests and releases, without any symbol: every block's
 * place, size and state; then damage, which has to be named where it is. */
#include "tests/make/emb_kinds.h"
#include "tests/make/emb_world.h"

static struct mk_emb make(const struct kind *k, unsigned word, bool big, uint64_t seed, unsigned steps)
{
    return emb_make(k, word, big, seed, 6000, steps);
}

static void intact(const struct kind *k, unsigned word, bool big)
{
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct mk_emb e = make(k, word, big, seed, seed == 1 ? 60 : 300);
        struct emb_world w;
        char name[100];
        snprintf(name, sizeof name, "%s, %u bits, %s endian, run %u", k->name, 8 * word, big ? "big" : "little", seed);
        bool read = emb_read(&w, &e);
        OK(read && emb_same(&w, &e), "%s: %u blocks", name, e.nblocks);
        OK(read && emb_quiet(&w) && emb_sums(&w) && w.heap->allocators.n == 1, "%s: nothing damaged, sums", name);
        if (read)
            emb_forget(&w);
        mk_emb_end(&e);
    }
}

/* ---- damage ---- */

/* A used chunk with used neighbours on both sides, well inside; its index. */
static unsigned victim(const struct mk_emb *e)
{
    for (unsigned i = e->nchunks / 3; i + 2 < e->nchunks; i++)
        if (e->chunk[i - 1].want && e->chunk[i].want && e->chunk[i + 1].want)
            return i;
    return 1;
}

static unsigned free_one(const struct mk_emb *e)
{
    for (unsigned i = e->nchunks / 3; i < e->nchunks; i++)
        if (!e->chunk[i].want)
            return i;
    return 0;
}

static const struct kind *kind(const char *name)
{
    for (unsigned i = 0; i < NKINDS; i++)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    abort();
}

static uint64_t at(const struct mk_emb *e, unsigned i) { return e->heap + e->chunk[i].at; }

/* Writes v at addr, reads, and expects `code` at `where`, with nothing lost or invented outside [lo, hi). */
static void hurt(struct mk_emb *e, const char *what, uint64_t addr, uint64_t v, unsigned bytes, const char *code, uint64_t where, uint64_t lo, uint64_t hi)
{
    struct emb_world w;
    mk_emb_set(e, addr, v, bytes);
    bool read = emb_read(&w, e);
    OK(read && emb_says(&w, code, where), "%s (%u bits, %s endian): said where it is", what, 8 * e->word, e->big ? "big" : "little");
    OK(read && emb_rest(&w, e, lo, hi), "%s: the rest stands", what);
    if (read)
        emb_forget(&w);
}

static void hurt_umm(unsigned word, bool big)
{
    struct mk_emb e = make(kind("umm_malloc"), word, big, 3, 300);
    unsigned i = victim(&e), f = free_one(&e);
    uint64_t c = at(&e, i) + e.body, old = mk_emb_get(&e, c, 4);
    hurt(&e, "umm: overrun into the next block's numbers", c, 0xaaaaaaaa, 4, "heap.corrupt.size", c, c, c + e.chunk[i].size);
    hurt(&e, "umm: a number out of the heap", (mk_emb_set(&e, c, old, 4), c), 0x7ff0, 2, "heap.corrupt.size", c, 0, 0);
    mk_emb_set(&e, c, old, 4);
    uint64_t g = at(&e, f) + e.body, nr = 1 + e.chunk[f].at / e.body;
    mk_emb_set(&e, g + 6, 0, 2); /* given back twice: at the head of the list, and its own successor */
    mk_emb_set(&e, e.heap + 4, nr, 2);
    hurt(&e, "umm: freed twice", g + 4, nr, 2, "heap.corrupt.free-list", g, 0, 0);
    mk_emb_end(&e);
    e = make(kind("umm_malloc, poison"), word, big, 4, 300);
    i = victim(&e);
    uint64_t user = at(&e, i) + e.body + 4 + 6, end = user + e.chunk[i].want;
    hurt(&e, "umm: one byte too many", end, 0, 1, "heap.corrupt.canary", end, 0, 0);
    mk_emb_fill(&e, end, 0xa5, 1);
    hurt(&e, "umm: one byte too few", user - 1, 0, 1, "heap.corrupt.canary", user - 1, 0, 0);
    mk_emb_end(&e);
}

static void hurt_lwip(unsigned word, bool big)
{
    struct mk_emb e = make(kind("lwIP, 16 bits, variables"), word, big, 3, 300);
    unsigned i = victim(&e);
    uint64_t c = at(&e, i);
    hurt(&e, "lwIP: overrun into the next block's offsets", c, 0xbbbbbbbb, 4, "heap.corrupt.size", c, c, c + e.chunk[i].size);
    mk_emb_end(&e);
    e = make(kind("lwIP, 16 bits, variables"), word, big, 5, 300);
    i = victim(&e);
    hurt(&e, "lwIP: a used byte of 7", at(&e, i) + 4, 7, 1, "heap.corrupt.prev-status", at(&e, i), 0, 0);
    mk_emb_end(&e);
    if (word == 8)
        return;
    e = make(kind("lwIP, 32 bits, guarded"), word, big, 4, 300);
    i = victim(&e);
    uint64_t user = at(&e, i) + 32, end = user + e.chunk[i].want;
    hurt(&e, "lwIP: one byte too many", end, 0, 1, "heap.corrupt.canary", end, 0, 0);
    mk_emb_fill(&e, end, 0xcd, 1);
    hurt(&e, "lwIP: four bytes in front", user - 4, 0x11223344, 4, "heap.corrupt.canary", user - 4, 0, 0);
    mk_emb_end(&e);
}

static void hurt_threadx(bool big)
{
    struct mk_emb e = make(kind("ThreadX byte pool"), 4, big, 3, 300);
    unsigned i = victim(&e);
    uint64_t c = at(&e, i);
    hurt(&e, "ThreadX: overrun into the next block", c, 0x41414141, 4, "heap.corrupt.size", c, c, c + e.chunk[i].size);
    mk_emb_end(&e);
    e = make(kind("ThreadX byte pool"), 4, big, 4, 300);
    i = victim(&e);
    hurt(&e, "ThreadX: the owner is another", at(&e, i) + 4, MK_EMB_BASE, 4, "heap.corrupt.size", at(&e, i), at(&e, i), at(&e, i) + e.chunk[i].size);
    mk_emb_end(&e);
    e = make(kind("ThreadX byte pool"), 4, big, 5, 300);
    hurt(&e, "ThreadX: the pool's count", MK_EMB_BASE + 0x108, 44, 4, "heap.corrupt.free-bytes", MK_EMB_BASE + 0x100, 0, 0);
    mk_emb_end(&e);
    e = make(kind("ThreadX block pool"), 4, big, 3, 300);
    unsigned f = free_one(&e);
    uint64_t b = e.heap + f * 28ull;
    hurt(&e, "ThreadX: a block given back twice", b, b, 4, "heap.corrupt.free-list", b, 0, 0);
    mk_emb_end(&e);
}

static void hurt_zephyr(unsigned word, bool big)
{
    const char *name = word == 4 ? "Zephyr" : "Zephyr, 8-byte headers";
    unsigned w = word == 4 ? 2 : 4;
    struct mk_emb e = make(kind(name), word, big, 3, 300);
    unsigned i = victim(&e);
    uint64_t c = at(&e, i);
    hurt(&e, "Zephyr: overrun into the next chunk", c, 0x41414141, 4, "heap.corrupt.size", c, c, c + e.chunk[i].size);
    mk_emb_end(&e);
    e = make(kind(name), word, big, 4, 300);
    i = victim(&e);
    c = at(&e, i);
    hurt(&e, "Zephyr: a size of nothing", c + w, 1, w, "heap.corrupt.size", c, c, c + e.chunk[i].size);
    mk_emb_end(&e);
    e = make(kind(name), word, big, 5, 300);
    unsigned f = free_one(&e);
    c = at(&e, f);
    hurt(&e, "Zephyr: a ring broken", c + 3 * w, 0, w, "heap.corrupt.free-list", c, 0, 0);
    mk_emb_end(&e);
}

static void hurt_esp(bool big)
{
    struct mk_emb e = make(kind("ESP-IDF 5.1, comprehensive poisoning"), 4, big, 3, 300);
    unsigned i = victim(&e), f = free_one(&e);
    uint64_t mem = at(&e, i) + 4, user = mem + 8, end = user + e.chunk[i].want, g = at(&e, f) + 4;
    hurt(&e, "ESP-IDF: one byte too many", end, 0, 1, "heap.corrupt.canary", end, 0, 0);
    mk_emb_set(&e, end, 0xbaad5678, 4);
    hurt(&e, "ESP-IDF: in front of the block", mem, 0, 4, "heap.corrupt.canary", mem, 0, 0);
    mk_emb_set(&e, mem, 0xabba1234, 4);
    if (e.chunk[f].size >= 24)
        hurt(&e, "ESP-IDF: written to after it was freed", g + 9, 1, 1, "heap.corrupt.freed-write", g + 9, 0, 0);
    mk_emb_end(&e);
    e = make(kind("ESP-IDF 5.1, light poisoning"), 4, big, 5, 300);
    i = victim(&e);
    uint64_t c = at(&e, i);
    hurt(&e, "ESP-IDF: overrun into the next block's size", c, 0x61616161, 4, "heap.corrupt.size", c, c, c + e.chunk[i].size);
    mk_emb_end(&e);
    e = make(kind("ESP-IDF 4.4"), 4, big, 6, 300);
    f = free_one(&e);
    c = at(&e, f);
    hurt(&e, "ESP-IDF: freed twice", c + 8, c - 4, 4, "heap.corrupt.free-list", c, 0, 0);
    mk_emb_end(&e);
    e = make(kind("ESP-IDF 4.2"), 4, big, 6, 300);
    f = free_one(&e);
    c = at(&e, f);
    hurt(&e, "ESP-IDF 4.2: a loop in the free list", c + 4, c, 4, "heap.corrupt.free-list", c, 0, 0);
    mk_emb_end(&e);
    e = make(kind("ESP-IDF 4.2"), 4, big, 8, 300);
    f = free_one(&e);
    i = f;
    while (--i && e.chunk[i - 1].want)
        ;
    c = at(&e, i);
    hurt(&e, "ESP-IDF 4.2: a header written over", c, 0x10, 4, "heap.corrupt.size", c, c, at(&e, f));
    mk_emb_end(&e);
}

/* Memory that is nobody's heap: noise, small numbers, pairs of small numbers, pointers and small numbers. */
static void nobody(unsigned word, bool big, unsigned how)
{
    static const char *const names[] = {"noise", "small numbers", "pairs of small numbers", "pointers and small numbers"};
    struct mk_emb e = {.word = word, .big = big, .seed = 88172645463325252ull + how};
    struct emb_world w;
    e.m = mk_new(word, big);
    while (e.m.n < 1 << 19) {
        uint64_t r = mk_emb_random(&e) >> 8, few = (r >> 3) % (r & 4 ? 16 : 4096);
        if (how == 2)
            mk_uint(&e.m, few, 2);
        else
            mk_word(&e.m, how == 0 ? r : how == 1 || r & 1 ? few : MK_EMB_BASE + (r >> 20) % (1 << 19) / 4 * 4);
    }
    bool read = emb_read(&w, &e);
    OK(read && !w.heap->allocators.n, "%s, %u bits, %s endian: no heap", names[how], 8 * word, big ? "big" : "little");
    if (read)
        emb_forget(&w);
    mk_emb_end(&e);
}

int main(void)
{
    for (unsigned how = 0; how < 4; how++)
        for (unsigned word = 4; word <= 8; word += 4)
            for (int big = 0; big < 2; big++)
                nobody(word, big, how);
    for (unsigned i = 0; i < NKINDS; i++)
        for (unsigned word = 4; word <= 8; word += 4)
            for (int big = 0; big < 2; big++)
                if (!kinds[i].set.word || kinds[i].set.word == word)
                    intact(&kinds[i], word, big);
    for (int big = 0; big < 2; big++) {
        for (unsigned word = 4; word <= 8; word += 4) {
            hurt_umm(word, big);
            hurt_lwip(word, big);
            hurt_zephyr(word, big);
        }
        hurt_threadx(big);
        hurt_esp(big);
    }
    return tap_done();
}
