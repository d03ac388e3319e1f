/* MicroPython's object words in all representations, word sizes and byte orders, against a written interpreter: what holds what, lengths,
 * values of words and of numbers, and what contradicts itself where nothing does. */
#include "tests/make/mp_world.h"
#include "tests/tap.h"

struct build { const char *name, *repr; struct mpw m; const char *value; /* of 0.1 as a word */ };
static const struct build builds[] = {
    {"A, 32 bits", "A", {.word = 4, .recent = true, .repr = 'A', .digit = 2, .real = 8}, NULL},
    {"A, 32 bits, single precision, 64-bit integers", "A", {.word = 4, .recent = true, .repr = 'A', .digit = 0, .real = 4}, NULL},
    {"A, i386", "A", {.word = 4, .recent = true, .repr = 'A', .i386 = true, .digit = 2, .real = 8}, NULL},
    {"A, i386, 64-bit integers", "A", {.word = 4, .recent = true, .repr = 'A', .i386 = true, .digit = 0, .real = 8}, NULL},
    {"A, 64 bits, narrow digits", "A", {.word = 8, .recent = true, .repr = 'A', .digit = 2, .real = 8}, NULL},
    {"A, 64 bits, blocks of two words", "A", {.word = 8, .recent = true, .repr = 'A', .digit = 4, .real = 8, .block = 16}, NULL},
    {"A, 32 bits, blocks of 128 bytes", "A", {.word = 4, .recent = true, .repr = 'A', .digit = 2, .real = 8, .block = 128}, NULL},
    {"A, 64 bits, single precision", "A", {.word = 8, .recent = true, .repr = 'A', .digit = 4, .real = 4}, NULL},
    {"A of 1.9, 32 bits", "A", {.word = 4, .repr = 'A', .digit = 2, .real = 8}, NULL},
    {"A of 1.9, big-endian 64 bits", "A", {.word = 8, .big = true, .repr = 'A', .digit = 4, .real = 8}, NULL},
    {"A, big-endian 32 bits", "A", {.word = 4, .big = true, .recent = true, .repr = 'A', .digit = 2, .real = 8}, NULL},
    {"A, big-endian 64 bits", "A", {.word = 8, .big = true, .recent = true, .repr = 'A', .digit = 2, .real = 8}, NULL},
    {"B, 32 bits", "B", {.word = 4, .recent = true, .repr = 'B', .digit = 1, .real = 8}, NULL},
    {"B, 64 bits", "B", {.word = 8, .recent = true, .repr = 'B', .digit = 0, .real = 8}, NULL},
    {"B, big-endian 32 bits", "B", {.word = 4, .big = true, .recent = true, .repr = 'B', .digit = 2, .real = 8}, NULL},
    {"B of 1.9, 32 bits", "B", {.word = 4, .repr = 'B', .digit = 2, .real = 8}, NULL},
    {"C, 32 bits", "C", {.word = 4, .recent = true, .repr = 'C', .digit = 2}, "0.10000002"},
    {"C, big-endian 32 bits", "C", {.word = 4, .big = true, .recent = true, .repr = 'C', .digit = 2}, "0.10000002"},
    {"C of 1.9, 32 bits", "C", {.word = 4, .repr = 'C', .digit = 2}, "0.099999994"},
    {"D, 32 bits", "D", {.word = 4, .recent = true, .repr = 'D', .digit = 2}, "0.1"},
    {"D, i386", "D", {.word = 4, .recent = true, .repr = 'D', .i386 = true, .digit = 2}, "0.1"},
    {"D, big-endian 32 bits", "D", {.word = 4, .big = true, .recent = true, .repr = 'D', .digit = 2}, "0.1"},
    {"D of 1.9, 32 bits", "D", {.word = 4, .repr = 'D', .digit = 2}, "0.1"},
    {"D of 1.9, i386", "D", {.word = 4, .repr = 'D', .i386 = true, .digit = 2}, "0.1"},
    {"D, 64 bits", "D", {.word = 8, .recent = true, .repr = 'D', .digit = 4}, "0.1"},
    {"D, big-endian 64 bits", "D", {.word = 8, .big = true, .recent = true, .repr = 'D', .digit = 4}, "0.1"},
};

struct seen { const struct build *b; const struct mpw *m; char repr, words[300], number[100], real[100], lens[200]; bool fields; };

static void value(struct hr_mp *mp, uint64_t at, char *buf, size_t cap)
{
    uint32_t t = at ? hr_mp_type_of(mp, at) : HR_NONE;
    snprintf(buf, cap, "-");
    if (t != HR_NONE)
        hr_mp_repr_text(mp, at, t, true, buf, cap);
}

/* The length of the only object of a kind whose places are known from mpw_objects(). */
static void len_of(struct hr_mp *mp, unsigned kind, const char *name, char *buf, size_t cap)
{
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it);
        if (mp->object[id] == HR_NONE || mp->types.v[mp->object[id]].kind != kind)
            continue;
        size_t n = strlen(buf);
        snprintf(buf + n, cap - n, "%s %d/%d; ", name, (int)hr_mp_len(mp, at, mp->object[id]), (int)hr_mp_allocated(mp, at, mp->object[id]));
        return;
    }
}

/* The second cell of the closure and what the bound method is bound to lie where the compiler puts them. */
static bool field_names(struct hr_mp *mp)
{
    unsigned found = 0;
    char name[100];
    struct hr_block_iter it = hr_block_iter(mp->heap, 0);
    while (it.id < mp->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it), size = hr_block_size(mp->heap, id);
        unsigned kind = mp->object[id] == HR_NONE ? HR_MPK_OBJECT : mp->types.v[mp->object[id]].kind;
        for (uint32_t off = mp->word; off < size && (kind == HR_MPK_CLOSURE || kind == HR_MPK_BOUND); off += mp->word) {
            uint32_t t = hr_mp_type_of(mp, hr_mp_word(mp, at + off));
            if (t == HR_NONE || !hr_mp_field_name(mp, id, off, name, sizeof name))
                continue;
            found |= (mp->types.v[t].kind == HR_MPK_LIST && !strcmp(name, ".closed[0]")) << 0 | (mp->types.v[t].kind == HR_MPK_SET && !strcmp(name, ".closed[1]")) << 1;
            found |= (mp->types.v[t].kind == HR_MPK_INSTANCE && !strcmp(name, ".__self__")) << 2 | (mp->types.v[t].kind == HR_MPK_FUNCTION && !strcmp(name, ".__func__")) << 3;
        }
    }
    return found == 15;
}

static void look(struct hr_mp *mp, void *ctx)
{
    struct seen *s = ctx;
    s->repr = hr_mp_repr_name(mp->repr) ? *hr_mp_repr_name(mp->repr) : '?';
    value(mp, s->m->words, s->words, sizeof s->words);
    value(mp, s->m->big_int, s->number, sizeof s->number);
    value(mp, s->m->floats, s->real, sizeof s->real);
    len_of(mp, HR_MPK_TUPLE, "tuple", s->lens, sizeof s->lens);
    len_of(mp, HR_MPK_SET, "set", s->lens, sizeof s->lens);
    len_of(mp, HR_MPK_STR, "str", s->lens, sizeof s->lens);
    len_of(mp, HR_MPK_DICT, "dict", s->lens, sizeof s->lens);
    len_of(mp, HR_MPK_ARRAY, "array", s->lens, sizeof s->lens);
    s->fields = field_names(mp);
}

static void check(const struct build *b)
{
    struct mpw m = b->m;
    struct mpw_read got;
    mpw_build(&m);
    struct seen s = {.b = b, .m = &m};
    bool ok = mpw_read_with(&m, NULL, look, &s, &got), boxed = m.floats != 0;
    unsigned objects = 17 + (boxed ? 2 : 0), array = 3 * m.word;
    OK(ok && got.heap && got.state && got.objects == objects && got.garbage == (boxed ? 2 : 1) && !got.damaged, "%s: %u objects of %u, garbage %u, %s", b->name,
       got.objects, objects, got.garbage, got.damaged ? "damaged" : "sound");
    OK(s.repr == *b->repr, "%s: called %c", b->name, s.repr);
    char want[300], lens[200];
    snprintf(want, sizeof want, "4 items: 'x', -5, %s, %s", boxed ? "<float" : b->value, m.recent ? "None" : "'x'");
    char *box = boxed ? strstr(s.words, " 0x") : NULL; /* its address is not told twice */
    if (box && strchr(box, ','))
        memmove(box, strchr(box, ','), strlen(strchr(box, ',')) + 1);
    OK(!strcmp(s.words, want), "%s: words are %s", b->name, s.words);
    OK(!strcmp(s.number, "-20015998343868"), "%s: the large number is %s", b->name, s.number);
    OK(!strcmp(s.real, boxed ? "-2.3" : "-"), "%s: the float is %s", b->name, s.real);
    snprintf(lens, sizeof lens, "tuple 3/-1; set 2/4; str 4/-1; dict 1/2; array %u/%u; ", array - 2, array);
    OK(!strcmp(s.lens, lens), "%s: lengths and places: %s", b->name, s.lens);
    OK(s.fields, "%s: fields behind object words have their names", b->name);
    mpw_end(&m);
}

/* No table shows how words are made: none is taken for a number, a name or a float. What does not depend on it is known. */
static void check_nameless(char repr)
{
    struct mpw m = {.word = 4, .recent = true, .repr = repr, .digit = 2, .real = 8, .nameless = true};
    struct mpw_read got;
    mpw_build(&m);
    struct seen s = {.m = &m};
    bool ok = mpw_read_with(&m, NULL, look, &s, &got);
    OK(ok && got.state && got.objects && got.garbage && !got.damaged, "%c without evidence: %u objects, %u of them garbage", repr, got.objects, got.garbage);
    OK(s.repr == '?' && strstr(s.words, "4 items: word 0x") && !strstr(s.words, "'x'") && !strstr(s.words, "-5") && !strstr(s.words, "None"),
       "%c without evidence: called %c, words are %s", repr, s.repr, s.words);
    mpw_end(&m);
}

int main(void)
{
    for (const char *r = "ABCD"; *r; r++)
        check_nameless(*r);
    for (size_t i = 0; i < sizeof builds / sizeof *builds; i++)
        check(&builds[i]);
    return tap_done();
}
