/* Marking and leaks against a naive computation over random small heaps: four layouts, nested regions, odd granules, bytes in
 * several segments or missing, roots of every kind, managed nodes, encoded pointers. The naive side knows the blocks from the
 * list the test made them from and reads the test's own copy of memory. */
#include "analyzer/heap/builder.h"
#include "analyzer/heap/mark.h"
#include "tests/tap.h"

enum { HEAPS = 20000, MAX_BLOCKS = 60, MAX_ROOTS = 12, MAX_SEGS = 8, SEG_BYTES = 8192 };

static uint64_t seed = 0x2545f4914f6cdd1dull;
static uint32_t rnd(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 33) % below);
}

struct block {
    uint64_t addr, size;
    int state, region, host; /* host: index of the block it lies in, -1 none */
};
struct world {
    unsigned word;
    bool big;
    struct {
        uint64_t addr, msize, n; /* n bytes are there */
        bool file;               /* private pages of a file */
        uint8_t bytes[SEG_BYTES];
    } seg[MAX_SEGS];
    int nseg;
    struct block block[MAX_BLOCKS];
    int n;
    struct {
        uint64_t addr, size;
        int shift, parent; /* of the host region */
    } region[10];
    int nregion, cookie;
    struct hr_root root[MAX_ROOTS];
    int nroot;
    struct hr_mark_options opt;
    bool claimed[MAX_BLOCKS + MAX_ROOTS];
    struct {
        uint32_t to;
        uint8_t surety;
    } edge[MAX_BLOCKS + MAX_ROOTS][3];
    bool complete;
};
static struct world w;

/* ---- memory ---- */

static int seg_at(uint64_t a)
{
    for (int i = 0; i < w.nseg; i++)
        if (a >= w.seg[i].addr && a - w.seg[i].addr < w.seg[i].msize)
            return i;
    return -1;
}
static uint8_t *byte_at(uint64_t a)
{
    int i = seg_at(a);
    return i >= 0 && a - w.seg[i].addr < w.seg[i].n ? &w.seg[i].bytes[a - w.seg[i].addr] : NULL;
}
static bool get(uint64_t a, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < w.word; i++) {
        const uint8_t *p = byte_at(a + i);
        if (!p)
            return false;
        v |= (uint64_t)*p << 8 * (w.big ? w.word - 1 - i : i);
    }
    *ret = v;
    return true;
}
static void put(uint64_t a, uint64_t v)
{
    for (unsigned i = 0; i < w.word; i++) {
        uint8_t *p = byte_at(a + i);
        if (p)
            *p = (uint8_t)(v >> 8 * (w.big ? w.word - 1 - i : i));
    }
}

/* ---- making a world ---- */

static void add_seg(uint64_t addr, uint64_t size, bool file)
{
    w.seg[w.nseg].addr = addr;
    w.seg[w.nseg].msize = w.seg[w.nseg].n = size;
    w.seg[w.nseg].file = file;
    memset(w.seg[w.nseg++].bytes, 0, SEG_BYTES);
}

static void fill_region(uint64_t addr, uint64_t size, int shift, int parent, int host, int want)
{
    int r = w.nregion++;
    w.region[r].addr = addr, w.region[r].size = size, w.region[r].shift = shift, w.region[r].parent = parent;
    uint64_t gran = 1ull << shift, at = (addr + gran - 1) & ~(gran - 1);
    for (int i = 0; i < want && w.n < MAX_BLOCKS; i++) {
        uint64_t room = rnd(6) == 0 ? 200 + rnd(400) : 1 + rnd(6) * 8;
        if (rnd(3) == 0) /* the next one starts right behind */
            room = (room + gran - 1) & ~(gran - 1);
        at += rnd(4) ? 0 : gran * rnd(5);
        if (at + room > addr + size)
            return;
        int state = rnd(8) == 0 ? HR_CACHED : rnd(8) == 0 ? HR_FREE : rnd(30) == 0 ? HR_OWN : HR_USED, me = w.n++;
        w.block[me] = (struct block){at, room, state, r, host};
        if (room >= 200 && shift > 2 && state != HR_CACHED && state != HR_FREE && w.nregion < 6 && rnd(2)) {
            w.block[me].state = HR_HOST;
            fill_region(at + rnd(3) * 16, room - 64, rnd(2) ? shift : shift - 1, r, me, 5);
        }
        at = (at + (room ? room : 1) + gran - 1) & ~(gran - 1);
    }
}

/* Some value that may be a pointer. */
static uint64_t some_word(void)
{
    const struct block *b = &w.block[rnd((uint32_t)w.n)];
    uint64_t v;
    switch (rnd(9)) {
    case 0:
        return rnd(1000);
    case 1:
        v = b->addr + (b->size ? rnd((uint32_t)b->size) : 0);
        break;
    case 2:
        v = b->addr | rnd(8);
        break;
    case 3:
        v = b->addr + b->size;
        break;
    case 4:
        v = (b->addr + b->size) | rnd(8);
        break;
    case 5:
        v = (b->addr - 8 + rnd(16));
        break;
    default:
        v = b->addr;
    }
    if (w.opt.mask && rnd(3) == 0)
        v = (v ^ w.opt.key) | (~w.opt.mask & ((uint64_t)rnd(65536) << 48));
    return w.word == 8 ? v : (uint32_t)v;
}

static void make_heap(void)
{
    uint64_t base = w.word == 8 ? 0x555555000000 + rnd(1000) * 4096ull : 0x8000000 + rnd(1000) * 4096ull;
    uint64_t far = w.word == 8 ? 0x7fff00000000 : 0xf0000000;
    add_seg(base, 4096, false);
    if (rnd(2)) /* a seam inside the heap, not always on a word */
        w.seg[0].msize = w.seg[0].n = 1024 + (rnd(3) ? 0 : rnd(16)), add_seg(base + w.seg[0].n, 4096 - w.seg[0].n, false);
    fill_region(base + rnd(4) * 16, 4000, 3 + (int)rnd(2), -1, -1, 4 + (int)rnd(40));
    if (rnd(2)) {
        add_seg(far, 4096, false);
        fill_region(far + 16, 4000, 4, -1, -1, 1 + (int)rnd(6));
    }
    for (int i = 0; i < w.n; i++) {
        uint32_t few = 1 + rnd(4);
        for (uint64_t a = (w.block[i].addr + 7) & ~7ull; a + w.word <= w.block[i].addr + w.block[i].size; a += w.word)
            if (rnd(few + 1) == 0)
                put(a, some_word());
    }
}

static void make_roots(void)
{
    uint64_t base = w.word == 8 ? 0x601000 : 0x601000, at = base + rnd(8);
    add_seg(base, 2048, rnd(3) == 0);
    w.nroot = (int)rnd(MAX_ROOTS);
    for (int i = 0; i < w.nroot; i++) {
        struct hr_root *r = &w.root[i];
        *r = (struct hr_root){.addr = at, .size = w.word * (1 + rnd(3)) + rnd(3), .kind = (uint8_t)rnd(10), .weak = rnd(8) == 0};
        if (r->kind == HR_ROOT_REGISTER || (r->kind == HR_ROOT_HANDLE && rnd(2))) {
            r->addr = some_word();
            r->size = 0;
            continue;
        }
        for (uint64_t a = (at + w.word - 1) & ~(uint64_t)(w.word - 1); a < at + r->size; a += w.word)
            put(a, some_word());
        at += r->size + rnd(3) * 4;
    }
}

static bool claims(void *ctx, hr_id node)
{
    (void)ctx;
    return w.claimed[node];
}
static void give_edges(void *ctx, hr_id node, void (*emit)(void *, hr_id, uint8_t), void *e)
{
    (void)ctx;
    for (int i = 0; i < 3; i++)
        if (w.edge[node][i].to != HR_NONE)
            emit(e, w.edge[node][i].to, w.edge[node][i].surety);
}

static void make_claims(void)
{
    w.opt.claims = claims;
    w.opt.edges = give_edges;
    for (int i = 0; i < w.n + w.nroot; i++) {
        w.claimed[i] = rnd(3) == 0;
        for (int k = 0; k < 3; k++) {
            w.edge[i][k].to = rnd(2) ? HR_NONE : rnd((uint32_t)(w.n + w.nroot));
            w.edge[i][k].surety = (uint8_t)(1 + rnd(4));
        }
    }
}

static void make_world(uint32_t k)
{
    memset(&w, 0, sizeof w);
    w.word = k & 1 ? 4 : 8;
    w.big = k & 2;
    w.complete = rnd(10) != 0;
    if (rnd(4) == 0) {
        w.opt.mask = w.word == 8 ? 0x0000ffffffffffff : 0xffffffff;
        w.opt.key = rnd(2) || w.word == 4 ? (w.word == 8 ? 0x123400000000 : 0x55000000) : 0;
    }
    do {
        w.n = w.nregion = w.nseg = 0;
        make_heap();
    } while (!w.n);
    make_roots();
    if (rnd(5) == 0)
        make_claims();
    if (rnd(6) == 0) { /* bytes missing at the end of a segment */
        int i = (int)rnd((uint32_t)w.nseg);
        w.seg[i].n = rnd((uint32_t)w.seg[i].n);
    }
}

/* ---- the real thing ---- */

static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self;
    for (int i = 0; i < w.n; i++)
        if (w.block[i].region == (int)cookie)
            HR_TRY(hr_emit(b, w.block[i].addr, w.block[i].size, (enum hr_state)w.block[i].state));
    return HR_OK;
}

static struct hr_heap *build(struct hr_image *img)
{
    static const struct hr_allocator_info info = {.name = "test"};
    struct hr_builder *b;
    struct hr_heap *h = NULL;
    uint16_t a;
    uint32_t arena;
    if (hr_builder_create(img, &b) != HR_OK)
        abort();
    for (int i = 0; i < w.nregion; i++) {
        if (hr_builder_allocator(b, &info, (uint8_t)w.region[i].shift, &a) != HR_OK ||
            hr_builder_arena(b, &(struct hr_arena){.allocator = a}, &arena) != HR_OK ||
            hr_builder_region(b, w.region[i].addr, w.region[i].size, arena, walk, NULL, (uint64_t)i) != HR_OK)
            abort();
    }
    if (hr_builder_run(b, &h) != HR_OK)
        abort();
    hr_builder_destroy(b);
    for (int i = 0; i < w.nroot; i++)
        if (hr_rootvec_push(&h->roots, w.root[i]) != HR_OK)
            abort();
    h->roots_complete = w.complete;
    return h;
}

static void make_image(struct hr_image *img, struct hr_strs *strs, struct hr_notes *notes)
{
    hr_notes_init(notes);
    hr_image_init(img, strs, notes);
    img->word = (uint8_t)w.word;
    img->big = w.big;
    for (int i = 0; i < w.nseg; i++)
        if (hr_image_add(img, (struct hr_segment){w.seg[i].addr, w.seg[i].msize, {w.seg[i].bytes, w.seg[i].n}, HR_SEG_W | HR_SEG_R,
                                                  w.seg[i].file ? 0 : HR_NONE, 0, 0}) != HR_OK)
            abort();
    if (hr_image_seal(img) != HR_OK)
        abort();
}

/* ---- the naive one ---- */

static bool absent;
static uint8_t want[MAX_BLOCKS];
static uint64_t out[MAX_BLOCKS]; /* per block: its targets */

static int naive_at(uint64_t a)
{
    int best = -1;
    for (int i = 0; i < w.n; i++)
        if (a >= w.block[i].addr && a - w.block[i].addr <= w.block[i].size && (best < 0 || w.block[i].addr >= w.block[best].addr))
            best = i;
    return best;
}

static int naive_target(uint64_t v, bool *start)
{
    int t = naive_at(v);
    *start = t >= 0 && w.block[t].addr == v;
    return t >= 0 ? t : naive_at(v & ~(uint64_t)(w.word - 1));
}

static bool near_heap(uint64_t v)
{
    uint64_t lo = UINT64_MAX, hi = 0;
    for (int i = 0; i < w.n; i++) {
        lo = w.block[i].addr < lo ? w.block[i].addr : lo;
        hi = w.block[i].addr + w.block[i].size > hi ? w.block[i].addr + w.block[i].size : hi;
    }
    return v >= lo && v <= hi + w.word - 1;
}

typedef void found_fn(int target, bool start, void *ctx);

static bool in_nested(int host, uint64_t a)
{
    for (int i = 0; host >= 0 && i < w.nregion; i++)
        if (w.region[i].parent == w.block[host].region && w.region[i].addr >= w.block[host].addr &&
            w.region[i].addr < w.block[host].addr + w.block[host].size && a + w.word > w.region[i].addr &&
            a < w.region[i].addr + w.region[i].size)
            return true;
    return false;
}

static void naive_range(uint64_t addr, uint64_t size, int host, found_fn *fn, void *ctx)
{
    for (uint64_t a = (addr + w.word - 1) & ~(uint64_t)(w.word - 1); a + w.word <= addr + size; a += w.word) {
        uint64_t v;
        if (in_nested(host, a))
            continue;
        if (!get(a, &v)) {
            for (unsigned i = 0; i < w.word; i++)
                if (!byte_at(a + i) && (seg_at(a + i) < 0 || !w.seg[seg_at(a + i)].file))
                    absent = true;
            continue;
        }
        bool plain = near_heap(v), start;
        if (!plain && w.opt.mask)
            v = (v & w.opt.mask) ^ w.opt.key;
        if (!near_heap(v))
            continue;
        int t = naive_target(v, &start);
        if (t >= 0)
            fn(t, start && plain, ctx);
    }
}

static void naive_node(int node, found_fn *fn, void *ctx)
{
    if (w.opt.claims && w.claimed[node]) {
        for (int k = 0; k < 3; k++)
            if (w.edge[node][k].to < (uint32_t)w.n)
                fn((int)w.edge[node][k].to, w.edge[node][k].surety != HR_SURE_INTERIOR, ctx);
    } else if (node < w.n) {
        naive_range(w.block[node].addr, w.block[node].size, w.block[node].state == HR_HOST ? node : -1, fn, ctx);
    } else {
        const struct hr_root *r = &w.root[node - w.n];
        bool start;
        int t = r->size ? -1 : naive_target(r->addr, &start);
        if (r->size)
            naive_range(r->addr, r->size, -1, fn, ctx);
        else if (t >= 0)
            fn(t, start, ctx);
    }
}

struct phase {
    uint8_t class;
    bool starts, changed;
};

static void reach(int t, bool start, void *ctx)
{
    struct phase *p = ctx;
    if ((w.block[t].state == HR_USED || w.block[t].state == HR_HOST) && want[t] == 0 && (start || !p->starts)) {
        want[t] = p->class;
        p->changed = true;
        if (w.block[t].host >= 0)
            reach(w.block[t].host, true, ctx);
    }
}

static uint8_t root_class(const struct hr_root *r)
{
    return r->weak ? 0 : r->kind == HR_ROOT_REGISTER ? HR_REACH_REGISTER : r->kind == HR_ROOT_DEAD_STACK ? HR_REACH_DEAD_STACK :
           HR_REACHABLE;
}

/* Scans everything reached so far again and again until nothing changes. */
static void naive_mark(void)
{
    memset(want, 0, sizeof want);
    absent = false;
    for (uint8_t class = HR_REACHABLE; class <= HR_REACH_CACHED; class++) {
        struct phase p = {class, class == HR_REACHABLE, true};
        while (p.changed) {
            p.changed = false;
            for (int i = 0; i < w.nroot; i++)
                if (root_class(&w.root[i]) != 0 && root_class(&w.root[i]) <= class)
                    naive_node(w.n + i, reach, &p);
            for (int i = 0; i < w.n; i++)
                if (want[i])
                    naive_node(i, reach, &p);
            for (int i = 0; i < w.n && class == HR_REACH_CACHED; i++)
                if (w.block[i].state == HR_CACHED)
                    naive_range(w.block[i].addr, w.block[i].size, -1, reach, &p);
        }
    }
    for (int i = 0; i < w.n; i++)
        if (!want[i] && (w.block[i].state == HR_USED || w.block[i].state == HR_HOST) && w.complete && !absent)
            want[i] = HR_LEAKED_DIRECT;
}

static void add_edge(int t, bool start, void *ctx)
{
    (void)start;
    if (want[t] >= HR_LEAKED_DIRECT)
        out[*(int *)ctx] |= 1ull << t;
}

static uint64_t closure(uint64_t from)
{
    uint64_t seen = from;
    for (uint64_t before = 0; before != seen;) {
        before = seen;
        for (int i = 0; i < w.n; i++)
            if (seen >> i & 1)
                seen |= out[i];
    }
    return seen;
}

static uint64_t naive_bytes(uint64_t set)
{
    uint64_t sum = 0;
    for (int i = 0; i < w.n; i++)
        sum += set >> i & 1 ? w.block[i].size : 0;
    return sum;
}

/* Classes into want[], heads as a mask, each head's ring in ring[]. */
static uint64_t naive_leaks(uint64_t *ring)
{
    uint64_t to[MAX_BLOCKS], heads = 0, all = 0;
    memset(out, 0, sizeof out);
    for (int i = 0; i < w.n; i++)
        if (want[i] >= HR_LEAKED_DIRECT)
            naive_node(i, add_edge, &i), all |= 1ull << i;
    for (int i = 0; i < w.n; i++)
        to[i] = closure(out[i]); /* one step or more */
    for (int i = 0; i < w.n; i++) {
        if (!(all >> i & 1))
            continue;
        uint64_t scc = 1ull << i, from = 0;
        for (int k = 0; k < w.n; k++) {
            if (all >> k & 1 && to[k] >> i & 1)
                from |= 1ull << k;
            if (all >> k & 1 && to[k] >> i & 1 && to[i] >> k & 1)
                scc |= 1ull << k;
        }
        bool source = (from & ~scc) == 0;
        want[i] = !source ? HR_LEAKED_INDIRECT : to[i] >> i & 1 ? HR_LEAKED_CYCLE : HR_LEAKED_DIRECT;
        if (source && i == __builtin_ctzll(scc)) {
            heads |= 1ull << i;
            ring[i] = to[i] >> i & 1 ? scc : 0;
        }
    }
    return heads;
}

/* ---- comparing ---- */

static bool same_leaks(const struct hr_leaks *l)
{
    uint64_t ring[MAX_BLOCKS], heads = naive_leaks(ring), all = closure(heads), shared = all, got = 0;
    for (size_t i = 0; i < l->list.n; i++) {
        const struct hr_leak *k = &l->list.v[i];
        if (k->head >= (uint32_t)w.n || !(heads >> k->head & 1))
            return false;
        got |= 1ull << k->head;
        uint64_t own = all & ~closure(heads & ~(1ull << k->head)), members = 0;
        shared &= ~own;
        if (k->blocks != (uint64_t)__builtin_popcountll(own) || k->bytes != naive_bytes(own))
            return false;
        for (uint32_t m = 0; m < k->members && ring[k->head]; m++)
            members |= 1ull << l->ring.v[k->member0 + m];
        if (members != ring[k->head] || (members ? k->members != (uint32_t)__builtin_popcountll(members) : k->members != 1))
            return false;
        if (i && (l->list.v[i - 1].bytes < k->bytes || (l->list.v[i - 1].bytes == k->bytes && l->list.v[i - 1].head >= k->head)))
            return false;
    }
    return got == heads && l->blocks == (uint64_t)__builtin_popcountll(all) && l->bytes == naive_bytes(all) &&
           l->shared_blocks == (uint64_t)__builtin_popcountll(shared) && l->shared_bytes == naive_bytes(shared);
}

/* ---- wide: more reached at once than the stack holds ---- */

enum { WIDE = 200000, WIDE_DROP = 1000 };

/* Block 0 is an array of pointers to every even block but some; each even block points at the next odd one. */
static enum hr_status walk_wide(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self;
    HR_TRY(hr_emit(b, cookie, 8 * WIDE, HR_USED));
    for (uint64_t i = 1; i < WIDE; i++)
        HR_TRY(hr_emit(b, cookie + 8 * WIDE + 32 * i, 24, HR_USED));
    return HR_OK;
}

static void wide(struct hr_strs *strs)
{
    static uint8_t bytes[(8 + 32) * WIDE + 64];
    uint64_t base = 0x7f0000000000, bad = 0;
    for (uint64_t i = 2; i < WIDE; i++) {
        uint64_t even = base + 8 * WIDE + 32 * i, odd = even + 32;
        if (i % 2 == 0 && i % WIDE_DROP)
            memcpy(bytes + 8 * (i * 7919 % WIDE), &even, 8); /* in no order */
        if (i % 2 == 0)
            memcpy(bytes + 8 * WIDE + 32 * i + 8, &odd, 8);
    }
    struct hr_notes notes;
    struct hr_image img;
    hr_notes_init(&notes);
    hr_image_init(&img, strs, &notes);
    img.word = 8;
    static const struct hr_allocator_info info = {.name = "test"};
    struct hr_builder *b;
    struct hr_heap *h;
    uint16_t a;
    uint32_t arena;
    struct hr_leaks *l;
    if (hr_image_add(&img, (struct hr_segment){base, sizeof bytes, {bytes, sizeof bytes}, HR_SEG_W, HR_NONE, 0, 0}) != HR_OK ||
        hr_image_seal(&img) != HR_OK || hr_builder_create(&img, &b) != HR_OK ||
        hr_builder_allocator(b, &info, 4, &a) != HR_OK ||
        hr_builder_arena(b, &(struct hr_arena){.allocator = a}, &arena) != HR_OK ||
        hr_builder_region(b, base, sizeof bytes, arena, walk_wide, NULL, base) != HR_OK || hr_builder_run(b, &h) != HR_OK ||
        hr_rootvec_push(&h->roots, (struct hr_root){.addr = base, .kind = HR_ROOT_HANDLE}) != HR_OK)
        abort();
    hr_builder_destroy(b);
    h->roots_complete = true;
    EQ(hr_mark(h, NULL), HR_OK, "wide: marks");
    EQ(hr_leaks_find(h, NULL, &l), HR_OK, "wide: leaks");
    for (uint32_t i = 0; i < WIDE; i++) {
        bool drop = i / 2 * 2 % WIDE_DROP == 0 && i > 1;
        bad += h->reach[i] != (i == 1 ? HR_LEAKED_DIRECT : !drop ? HR_REACHABLE : i % 2 ? HR_LEAKED_INDIRECT : HR_LEAKED_DIRECT);
    }
    EQ(bad, 0, "wide: all of an array of %d", WIDE);
    EQ(l->list.n, WIDE / WIDE_DROP, "wide: its gaps are leaks");
    EQ(l->list.v[0].blocks, 2, "wide: of two blocks each");
    hr_leaks_destroy(l);
    hr_heap_destroy(h);
    hr_image_deinit(&img);
    hr_notes_deinit(&notes);
}

int main(void)
{
    uint32_t bad_mark[4] = {0}, bad_leaks[4] = {0}, bad_complete = 0, bad_blocks = 0, seen[HR_LEAKED_CYCLE + 1] = {0};
    struct hr_strs *strs;
    if (hr_strs_create(&strs) != HR_OK)
        abort();
    for (uint32_t k = 0; k < HEAPS; k++) {
        make_world(k);
        struct hr_image img;
        struct hr_notes notes;
        make_image(&img, strs, &notes);
        struct hr_heap *h = build(&img);
        struct hr_leaks *l = NULL;
        bool same = h->n == (uint32_t)w.n;
        for (int i = 0; same && i < w.n; i++)
            same = hr_block_addr(h, (hr_id)i) == w.block[i].addr && h->state[i] == w.block[i].state;
        bad_blocks += !same;
        naive_mark();
        if (same) {
            bool ok = hr_mark(h, &w.opt) == HR_OK && memcmp(h->reach, want, (size_t)w.n) == 0;
            bad_mark[k & 3] += !ok;
            bad_complete += h->roots_complete != (w.complete && !absent);
            ok = hr_leaks_find(h, &w.opt, &l) == HR_OK && same_leaks(l) && memcmp(h->reach, want, (size_t)w.n) == 0;
            bad_leaks[k & 3] += !ok;
        }
        for (int i = 0; i < w.n; i++)
            seen[want[i]]++;
        hr_leaks_destroy(l);
        hr_heap_destroy(h);
        hr_image_deinit(&img);
        hr_notes_deinit(&notes);
    }
    EQ(bad_blocks, 0, "the builder keeps the test's blocks");
    static const char *const layout[] = {"64-bit little", "32-bit little", "64-bit big", "32-bit big"};
    for (int i = 0; i < 4; i++) {
        EQ(bad_mark[i], 0, "%s: classes of %d heaps", layout[i], HEAPS / 4);
        EQ(bad_leaks[i], 0, "%s: leaks of %d heaps", layout[i], HEAPS / 4);
    }
    EQ(bad_complete, 0, "missing bytes clear roots_complete");
    for (int c = 0; c <= HR_LEAKED_CYCLE; c++)
        OK(seen[c] > 500, "%u blocks were %s", seen[c], hr_reach_name((enum hr_reach)c));
    wide(strs);
    hr_strs_destroy(strs);
    return tap_done();
}
