/* The native runtime: runs of addresses laid over each other, compared byte by byte with a naive painting; roots, edges and
 * types of a hand-made image in all four layouts. */
#include "tests/tap.h"

#include "analyzer/heap/builder.h"
#include "analyzer/runtimes/native.h"

/* ---- items ---- */

enum { SPAN = 400 };

static void paint(uint8_t *at, const struct hr_itemvec *v, bool clip)
{
    uint8_t before[SPAN];
    memcpy(before, at, SPAN);
    for (size_t i = 0; i < v->n; i++)
        for (uint64_t a = v->v[i].lo; a < v->v[i].hi; a++)
            if (!clip || (before[a] && before[a] != HR_ITEM_SKIP))
                at[a] = v->v[i].kind;
}

static bool same(const uint8_t *at, const struct hr_itemvec *v)
{
    uint8_t got[SPAN] = {0};
    uint64_t end = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (v->v[i].lo < end || v->v[i].lo >= v->v[i].hi)
            return false; /* not disjoint, or empty */
        end = v->v[i].hi;
        memset(got + v->v[i].lo, v->v[i].kind, v->v[i].hi - v->v[i].lo);
    }
    return !memcmp(got, at, SPAN);
}

static void random_layer(struct hr_itemvec *v, uint8_t kind)
{
    *v = (struct hr_itemvec){.max = 1000};
    for (int i = rand() % 12; i > 0; i--) {
        uint64_t lo = (uint64_t)(rand() % (SPAN - 40));
        struct hr_item it = {.lo = lo, .hi = lo + (uint64_t)(rand() % 40), .kind = kind};
        if (hr_itemvec_push(v, it) != HR_OK)
            abort();
    }
    if (hr_items_tidy(v) != HR_OK)
        abort();
}

static void items(void)
{
    unsigned good = 0, all = 2000;
    srand(7);
    for (unsigned t = 0; t < all; t++) {
        struct hr_itemvec base, top;
        uint8_t at[SPAN] = {0};
        random_layer(&base, 1);
        paint(at, &base, false);
        bool ok = same(at, &base);
        for (uint8_t k = 2; k < 5 && ok; k++) {
            bool clip = rand() % 2;
            random_layer(&top, rand() % 4 ? k : HR_ITEM_SKIP);
            ok = hr_items_overlay(&base, &top, clip) == HR_OK;
            paint(at, &top, clip);
            ok = ok && same(at, &base);
            hr_itemvec_deinit(&top);
        }
        good += ok;
        hr_itemvec_deinit(&base);
    }
    EQ(good, all, "layers of runs equal painting byte by byte");
}

/* ---- an image ---- */

enum { DATA = 0x10000, HEAP = 0x100000, SIZE = 4096, NODES = 8 };
static uint8_t data[SIZE], heap_bytes[SIZE];
static unsigned word;
static bool big;

static void poke(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < word; i++)
        p[big ? word - 1 - i : i] = (uint8_t)(v >> 8 * i);
}
static uint64_t block(unsigned i) { return HEAP + 4 * word * i + 2 * word; }

/* Blocks as glibc lays them out: usable 3 words every 4 words. */
static enum hr_status walk(void *self, uint64_t cookie, struct hr_builder *b)
{
    (void)self, (void)cookie;
    for (unsigned i = 0; i < NODES + 4; i++)
        HR_TRY(hr_emit(b, block(i), 3 * word, i == NODES + 3 ? HR_FREE : HR_USED));
    return HR_OK;
}

static struct hr_heap *make_heap(const struct hr_image *img)
{
    struct hr_builder *b;
    struct hr_heap *h = NULL;
    uint16_t al;
    uint32_t arena;
    struct hr_allocator_info info = {.name = "test"};
    struct hr_arena a = {0};
    if (hr_builder_create(img, &b) != HR_OK || hr_builder_allocator(b, &info, word == 8 ? 4 : 3, &al) != HR_OK)
        abort();
    a.allocator = al;
    if (hr_builder_arena(b, &a, &arena) != HR_OK || hr_builder_region(b, HEAP, SIZE, arena, walk, NULL, 0) != HR_OK ||
        hr_builder_own(b, DATA + 40 * word, 4 * word) != HR_OK || hr_builder_run(b, &h) != HR_OK)
        abort();
    hr_builder_destroy(b);
    return h;
}

static hr_type add_row(struct hr_types *t, struct hr_type_row r)
{
    if (hr_rowvec_push(&t->rows, r) != HR_OK)
        abort();
    return (hr_type)t->rows.n - 1;
}

/* struct node { struct node *next; long a, b; }; struct node *head; */
static hr_type add_types(struct hr_types *t, struct hr_strs *strs)
{
    hr_str node, next, head;
    hr_type ptr;
    if (hr_strs_addz(strs, "node", &node) || hr_strs_addz(strs, "next", &next) || hr_strs_addz(strs, "head", &head))
        abort();
    hr_type st = add_row(t, (struct hr_type_row){.kind = HR_T_STRUCT, .name = node, .size = 3 * word,
                                                  .field0 = (uint32_t)t->fields.n, .nfields = 1});
    if (hr_types_pointer_to(t, st, &ptr) != HR_OK ||
        hr_fieldvec_push(&t->fields, (struct hr_field){.name = next, .type = ptr}) != HR_OK ||
        hr_varvec_push(&t->vars, (struct hr_var){.name = head, .type = ptr, .addr = DATA + 8 * word, .module = HR_NONE}) != HR_OK)
        abort();
    return st;
}

struct seen { struct hr_edge v[64]; unsigned n; };
static void take(struct hr_edgebuf *b, void *ctx)
{
    struct seen *s = ctx;
    for (uint32_t i = 0; i < b->n && s->n < 64; i++)
        s->v[s->n++] = b->v[i];
    b->n = 0;
}
static struct seen edges(struct hr_runtimes *r, hr_id node)
{
    struct seen s = {.n = 0};
    struct hr_edgebuf b = {.flush = take, .ctx = &s};
    hr_runtimes_edges(r, node, &b);
    return s;
}

static void fill(void)
{
    memset(data, 0, sizeof data);
    memset(heap_bytes, 0, sizeof heap_bytes);
    for (unsigned i = 0; i + 1 < NODES; i++)
        poke(heap_bytes + (block(i) - HEAP), block(i + 1));
    poke(data + 8 * word, block(0));                          /* head */
    poke(data + 12 * word, block(NODES) + 3);                 /* tagged */
    poke(data + 20 * word, block(NODES + 1) + 3 * word);      /* one past the end */
    poke(data + 40 * word, block(NODES + 2));                 /* in the allocator's own bookkeeping: no root */
    poke(data + 48 * word, block(NODES + 3));                 /* a free block: no reference */
}

static void check(struct hr_heap *h, struct hr_runtimes *r, hr_type node)
{
    unsigned exact = 0, interior = 0, other = 0;
    for (size_t i = 0; i < h->roots.n; i++) {
        struct seen s = edges(r, h->n + (hr_id)i);
        for (unsigned k = 0; k < s.n; k++) {
            uint64_t at = h->roots.v[i].addr + s.v[k].off;
            exact += s.v[k].to == 0 && s.v[k].surety == HR_SURE_EXACT && at == DATA + 8 * word && h->roots.v[i].type;
            interior += (s.v[k].to == NODES && at == DATA + 12 * word && s.v[k].surety == HR_SURE_INTERIOR) ||
                        (s.v[k].to == NODES + 1 && at == DATA + 20 * word && s.v[k].surety == HR_SURE_INTERIOR);
            other += s.v[k].to > NODES + 1;
        }
    }
    EQ(exact, 1, "word %u big %d: the variable's reference is exact", word, big);
    EQ(interior, 2, "tagged and one past the end are interior");
    EQ(other, 0, "bookkeeping and free blocks give none");
    unsigned typed = 0, chain = 0;
    for (hr_id i = 0; i < NODES; i++) {
        struct seen s = edges(r, i);
        typed += h->type[i] == node && h->evidence[i] == HR_EV_POINTER;
        chain += i + 1 < NODES ? s.n == 1 && s.v[0].to == i + 1 && s.v[0].surety == HR_SURE_EXACT && !s.v[0].off : s.n == 0;
    }
    EQ(typed, NODES, "the whole list is typed");
    EQ(chain, NODES, "each node has just its next as an exact reference");
    EQ(h->type[NODES] | h->type[NODES + 2], 0, "what no typed pointer leads to has no type");
}

static void layout(unsigned w, bool b)
{
    word = w;
    big = b;
    fill();
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_types *t;
    struct hr_runtimes *r;
    hr_notes_init(&notes);
    if (hr_strs_create(&strs) != HR_OK)
        abort();
    hr_image_init(&img, strs, &notes);
    img.arch = hr_arch_by_name(w == 8 ? "x86-64" : "i386");
    img.word = (uint8_t)w;
    img.big = b;
    img.page = 4096;
    img.dumped_bytes = 2 * SIZE;
    struct hr_segment d = {.addr = DATA, .msize = SIZE, .bytes = {data, SIZE}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    struct hr_segment hs = {.addr = HEAP, .msize = SIZE, .bytes = {heap_bytes, SIZE}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    if (hr_image_add(&img, d) != HR_OK || hr_image_add(&img, hs) != HR_OK || hr_image_seal(&img) != HR_OK ||
        hr_types_create(&img, &t) != HR_OK)
        abort();
    hr_type node = add_types(t, strs);
    struct hr_heap *h = make_heap(&img);
    struct hr_runtime_in in = {.image = &img, .types = t, .heap = h, .notes = &notes};
    if (hr_runtimes_open(&in, &r) != HR_OK || hr_runtimes_classify(r) != HR_OK)
        abort();
    check(h, r, node);
    hr_runtimes_close(r);
    hr_heap_destroy(h);
    hr_types_destroy(t);
    hr_image_deinit(&img);
    hr_strs_destroy(strs);
    hr_notes_deinit(&notes);
}

int main(void)
{
    items();
    for (int i = 0; i < 4; i++)
        layout(i & 1 ? 8 : 4, i & 2);
    return tap_done();
}
