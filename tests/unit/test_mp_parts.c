/* What a written MicroPython holds beside plain objects: allocations that only a builtin object of unknown layout leads to, raw code
 * that nobody holds, instances on top of builtin types, text in characters, two builtin types called function. */
#include "tests/make/mp_world.h"
#include "tests/tap.h"

enum { SLOT_MAKE_NEW, SLOT_PRINT, SLOT_PARENT = 10, SLOT_LOCALS = 11 };
struct extra {
    uint64_t bytes, str, deque, io, object, function; /* types */
    uint64_t queue, items, stream, vstr, text, accented, plain, under, holder, class, printed, silent[2], raw, code, constants;
};

/* A type in ROM: its name, the functions it is made and printed by. In 1.20 and later the slots' numbers are bytes. */
static uint64_t type(struct mpw *m, unsigned name, uint64_t print, uint64_t parent)
{
    uint64_t at = MPW_ROM + m->rom.n, word[16] = {m->type[Q_TYPE], name};
    mk_align(&m->rom, 8);
    at = MPW_ROM + m->rom.n;
    if (m->recent) {
        mk_word(&m->rom, m->type[Q_TYPE]);
        mk_uint(&m->rom, 0, 2);
        mk_uint(&m->rom, name, 2);
        for (unsigned i = 0; i < 12; i++)
            mk_uint(&m->rom, i == SLOT_MAKE_NEW ? 1 : i == SLOT_PRINT && print ? 2 : i == SLOT_PARENT && parent ? 3 : 0, 1);
        mk_align(&m->rom, m->word);
        mk_word(&m->rom, MPW_ROM + 1);
        mk_word(&m->rom, print);
        mk_word(&m->rom, parent);
        return at;
    }
    word[2] = print, word[3] = MPW_ROM + 1, word[13] = parent;
    for (unsigned i = 0; i < 16; i++)
        mk_word(&m->rom, word[i]);
    return at;
}

/* More names, in a pool of the heap that follows the world's. */
static const char *const more[] = {"bytes", "deque", "StringIO", "object"};
enum { MORE = sizeof more / sizeof *more, Q_BYTES = MPW_NAMES + 2, Q_DEQUE, Q_IO, Q_OBJECT };

static void names(struct mpw *m)
{
    unsigned w = m->word;
    uint64_t hashes, lengths, at;
    uint64_t texts[MORE];
    mk_align(&m->rom, 8);
    hashes = MPW_ROM + m->rom.n;
    for (unsigned i = 0; i < MORE; i++)
        mk_uint(&m->rom, mpw_hash(more[i]), 2);
    lengths = MPW_ROM + m->rom.n;
    for (unsigned i = 0; i < MORE; i++)
        mk_uint(&m->rom, strlen(more[i]), 1);
    for (unsigned i = 0; i < MORE; i++) {
        mk_align(&m->rom, 2);
        texts[i] = MPW_ROM + m->rom.n;
        if (!m->recent) {
            mk_uint(&m->rom, mpw_hash(more[i]) & 0xff, 1);
            mk_uint(&m->rom, mpw_hash(more[i]) >> 8, 1);
            mk_uint(&m->rom, strlen(more[i]), 1);
        }
        mk_str(&m->rom, more[i]);
    }
    mk_align(&m->rom, 8);
    uint64_t last = 0;
    for (unsigned i = 0; i < w; i++)
        last |= (uint64_t)m->ram.p[0x80 + i] << 8 * (m->big ? w - 1 - i : i);
    uint64_t pool_words[16] = {last, m->recent && m->big ? Q_BYTES << 1 : Q_BYTES, 10, MORE};
    unsigned n = 4;
    if (m->recent)
        pool_words[n++] = hashes, pool_words[n++] = lengths;
    for (unsigned i = 0; i < MORE; i++)
        pool_words[n++] = texts[i];
    at = mpw_new(m, "p", n, pool_words);
    mk_set(&m->ram, 0x80, at, w); /* the newest pool, the first field of the state's vm part */
}

static uint64_t class_of(struct mpw *m, uint64_t base)
{
    uint64_t none = MPW_NEW(m, m->type[Q_DICT], mpw_used(m, 0), 0, 0);
    uint64_t cls = mpw_room(m, 16u * m->word);
    size_t at = (size_t)(cls - MPW_RAM), slots = at + ((m->word + 16u + m->word - 1) & ~(size_t)(m->word - 1));
    mk_set(&m->ram, at, m->type[Q_TYPE], m->word);
    if (!m->recent) {
        mk_set(&m->ram, at + m->word, Q_POINT, m->word);
        mk_set(&m->ram, at + 3u * m->word, MPW_ROM + 1, m->word);
        mk_set(&m->ram, at + 13u * m->word, base, m->word);
        mk_set(&m->ram, at + 14u * m->word, none, m->word);
        return cls;
    }
    mk_set(&m->ram, at + m->word + 2, Q_POINT, 2);
    mk_set(&m->ram, at + m->word + 4 + SLOT_MAKE_NEW, 1, 1);
    mk_set(&m->ram, at + m->word + 4 + SLOT_PARENT, 2, 1);
    mk_set(&m->ram, at + m->word + 4 + SLOT_LOCALS, 3, 1);
    mk_set(&m->ram, slots, MPW_ROM + 1, m->word);
    mk_set(&m->ram, slots + m->word, base, m->word);
    mk_set(&m->ram, slots + 2u * m->word, none, m->word);
    return cls;
}

static void add(struct mpw *m, struct extra *x)
{
    static const char accented[] = "\xc3\xa9t\xc3\xa9"; /* three characters in five bytes */
    uint64_t one = 3;
    names(m);
    x->bytes = type(m, Q_BYTES, MPW_ROM + 9, 0);
    x->str = type(m, Q_STR, MPW_ROM + 5, 0);
    x->deque = type(m, Q_DEQUE, 0, 0);
    x->io = type(m, Q_IO, 0, 0);
    x->object = type(m, Q_OBJECT, 0, 0);
    x->function = type(m, Q_FUNCTION, MPW_ROM + 13, 0);
    x->items = MPW_NEW(m, 0, one, one, 0, 0, 0);
    x->queue = MPW_NEW(m, x->deque, 6, 1, 3, x->items, 0);
    x->text = MPW_NEW(m, 0x41414141, 0);
    x->vstr = MPW_NEW(m, 8, 4, x->text, 0);
    x->stream = MPW_NEW(m, x->io, x->vstr, 0, 0);
    uint64_t buffer = mpw_room(m, 2u * m->word);
    for (size_t i = 0; i < sizeof accented; i++)
        mk_set(&m->ram, (size_t)(buffer - MPW_RAM) + i, (uint8_t)accented[i], 1);
    x->accented = MPW_NEW(m, x->str, 9, sizeof accented - 1, buffer);
    x->plain = MPW_NEW(m, x->bytes, 9, sizeof accented - 1, buffer);
    x->class = class_of(m, m->type[Q_LIST]);
    uint64_t list_items = MPW_NEW(m, one, one, one, 0), list = MPW_NEW(m, m->type[Q_LIST], 4, 3, list_items);
    x->holder = MPW_NEW(m, x->class, 0, 0, 0, list);
    x->under = MPW_NEW(m, class_of(m, x->object), 0, 0, 0, list);
    x->printed = MPW_NEW(m, x->function, 0, 0, 0);
    for (unsigned i = 0; i < 2; i++)
        x->silent[i] = MPW_NEW(m, m->type[Q_FUNCTION], 0, 0, 0);
    x->code = MPW_NEW(m, 0x04030201, 0);
    x->constants = MPW_NEW(m, 0x11, 0x15);
    x->raw = MPW_NEW(m, mpw_bits(m, m->big ? 2 << 7 | 6 : 2 | 6 << 3, 10, 10, 0), x->code, x->constants, 0); /* kind:3, flags:7 */
}

static const char *what(struct hr_mp *mp, uint64_t at)
{
    hr_id id = hr_mp_head(mp, at);
    if (id == HR_NONE)
        return "nothing";
    return mp->object[id] == HR_NONE ? hr_mp_role_name(mp->role[id]) : hr_strs_get(mp->img->strs, mp->types.v[mp->object[id]].full);
}

static uint64_t len(struct hr_mp *mp, uint64_t at)
{
    uint32_t t = hr_mp_type_of(mp, at);
    return t == HR_NONE ? UINT64_MAX - 1 : hr_mp_len(mp, at, t);
}

static char letter(struct hr_mp *mp, uint64_t at)
{
    const struct hr_mpy_area *a = hr_mpy_area_at(&mp->m, at);
    return a ? hr_mp_letter(mp, a, (at - a->pool) / a->block) : '?';
}

struct asked { const struct mpw *m; const struct extra *x; };
static void ask(struct hr_mp *mp, void *ctx)
{
    const struct asked *a = ctx;
    const struct extra *x = a->x;
    OK(!strcmp(what(mp, x->queue), "deque") && !strcmp(what(mp, x->items), "list items"), "what a deque holds: %s", what(mp, x->items));
    OK(!strcmp(what(mp, x->vstr), "part of an object") && mp->owner[hr_mp_head(mp, x->text)] == hr_mp_head(mp, x->stream),
       "what a StringIO leads to is its part, and so on from part to part: %s, %s", what(mp, x->vstr), what(mp, x->text));
    OK(len(mp, x->queue) == 2, "len() of a deque");
    OK(len(mp, x->accented) == 3 && len(mp, x->plain) == 5, "text counts in characters, bytes in bytes: %" PRIu64 ", %" PRIu64, len(mp, x->accented), len(mp, x->plain));
    OK(len(mp, x->holder) == 3, "an instance of a subclass of list is as long as its list");
    OK(len(mp, x->under) == UINT64_MAX, "one of a class on top of object has no length");
    OK(letter(mp, x->printed) == 'B' && letter(mp, x->silent[0]) == 'h', "the function that prints its name is the one of bytecode, however many others there are");
    if (a->m->recent)
        return;
    OK(!strcmp(what(mp, x->raw), "raw code") && !strcmp(what(mp, x->code), "bytecode") && !strcmp(what(mp, x->constants), "constants"),
       "raw code that nobody holds, its bytecode, its constants: %s, %s, %s", what(mp, x->raw), what(mp, x->code), what(mp, x->constants));
    OK(mp->heap->evidence[hr_mp_head(mp, x->raw)] == HR_EV_SHAPE, "it is called so by its shape");
}

/* A head that is marked: the image was taken inside the collector. */
static void marked(struct hr_mp *mp, void *ctx)
{
    struct hr_mp_gc g;
    (void)ctx;
    OK(hr_mp_collect(mp, &g) == HR_OK && !g.exact, "nothing of a collection under way is called exact");
    hr_mp_gc_deinit(&g);
}

int main(void)
{
    for (unsigned i = 0; i < 6; i++) {
        struct mpw m;
        struct extra x;
        struct mpw_read got;
        struct asked ctx = {&m, &x};
        mpw_make(&m, i % 3 == 2 ? 8 : 4, i == 1 || i == 4, i >= 3);
        add(&m, &x);
        OK(mpw_read_with(&m, NULL, ask, &ctx, &got) && got.state, "%u bits, %s endian, %s: it is read", 8 * m.word, m.big ? "big" : "little", m.recent ? "1.27" : "1.9");
        unsigned b = (unsigned)((x.queue - m.heap) / m.block);
        m.ram.p[m.table - MPW_RAM + b / 4] |= (uint8_t)(3 << 2 * (b % 4));
        OK(mpw_read_with(&m, NULL, marked, NULL, &got), "read while it collects");
        mpw_end(&m);
    }
    return tap_done();
}
