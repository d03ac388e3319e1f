#include "analyzer/base/bits.h"
#include "analyzer/base/cursor.h"
#include "analyzer/base/esc.h"
#include "analyzer/base/limits.h"
#include "analyzer/base/map.h"
#include "analyzer/base/notes.h"
#include "analyzer/base/strs.h"
#include "tests/tap.h"

static void test_map(void)
{
    struct hr_map m;
    hr_map_init(&m, 5000);
    bool ok = true;
    for (uint64_t i = 0; i < 5000; i++)
        ok &= hr_map_put(&m, i * i * 0x100000001ull, (uint32_t)i) == HR_OK;
    OK(ok, "5000 puts");
    for (uint64_t i = 0; i < 5000; i++)
        ok &= hr_map_get(&m, i * i * 0x100000001ull) == i;
    OK(ok, "5000 gets");
    EQ(hr_map_get(&m, 7), HR_NONE, "absent key");
    EQ(hr_map_put(&m, 7, 1), HR_LIMIT, "bound holds");
    EQ(hr_map_put(&m, 0, 9), HR_OK, "replacing is not growing");
    EQ(hr_map_get(&m, 0), 9, "replaced");
    hr_map_deinit(&m);
}

static void test_strs(void)
{
    struct hr_strs *s;
    EQ(hr_strs_create(&s), HR_OK, "pool");
    hr_str a, b, c;
    bool ok = hr_strs_addz(s, "node", &a) == HR_OK && hr_strs_add(s, "nodes", 4, &b) == HR_OK &&
              hr_strs_addf(s, &c, "%s*", "node") == HR_OK;
    OK(ok && a == b && a != c, "interning by bytes");
    OK(!strcmp(hr_strs_get(s, c), "node*"), "text comes back");
    EQ(hr_strs_find(s, "nope"), HR_NONE, "find does not add");
    for (int i = 0; i < 20000; i++)
        ok &= hr_strs_addf(s, &c, "name%d", i) == HR_OK;
    OK(ok && !strcmp(hr_strs_get(s, a), "node"), "text does not move");
    hr_strs_destroy(s);
}

static void test_esc(void)
{
    char b[64];
    OK(!strcmp(hr_escz(b, sizeof b, "a\x1b[31m\\ \xc3\xa9"), "a\\x1b[31m\\\\ \xc3\xa9"), "controls and backslash: %s", b);
    OK(!strcmp(hr_esc(b, sizeof b, "\xc0\xaf\xff\xe2\x80\xae", 6), "\\xc0\\xaf\\xff\\xe2\\x80\\xae"), "bad and bidi UTF-8");
    OK(!strcmp(hr_escz(b, 8, "abcdefghij"), "abcd..."), "cut: %s", b);
    OK(!strcmp(hr_human(b, sizeof b, 1536), "1.5 KiB"), "human");
    bool clean = true;
    for (int i = 0; i < 256; i++) {
        uint8_t x = (uint8_t)i;
        hr_esc(b, sizeof b, &x, 1);
        for (char *p = b; *p; p++)
            clean &= (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f;
    }
    OK(clean, "no single byte comes out as a control");
}

static void test_cursor(void)
{
    uint8_t d[] = {1, 2, 3, 4, 0xe5, 0x8e, 0x26, 0x7f, 'h', 'i', 0, 9};
    struct hr_cursor c = hr_cursor((struct hr_span){d, sizeof d}, false, 4);
    EQ(hr_cur_u32(&c), 0x04030201, "u32 little");
    EQ(hr_cur_uleb(&c), 624485, "uleb");
    EQ(hr_cur_sleb(&c), (uint64_t)-1, "sleb");
    struct hr_span z = hr_cur_cstr(&c);
    OK(z.n == 2 && !memcmp(z.p, "hi", 2), "cstr");
    hr_cur_u32(&c);
    OK(c.bad, "past the end is bad");
    c = hr_cursor((struct hr_span){d, sizeof d}, true, 4);
    EQ(hr_cur_addr(&c), 0x01020304, "u32 big");
}

static void test_bits(void)
{
    struct hr_bits b;
    EQ(hr_bits_init(&b, 200), HR_OK, "bits");
    hr_bits_set(&b, 3), hr_bits_set(&b, 64), hr_bits_set(&b, 199);
    EQ(hr_bits_next(&b, 0), 3, "next");
    EQ(hr_bits_next(&b, 4), 64, "next over a word");
    EQ(hr_bits_next(&b, 65), 199, "last");
    EQ(hr_bits_next(&b, 200), UINT64_MAX, "past");
    EQ(hr_bits_count(&b), 3, "count");
    OK(!hr_bits_claim(&b, 3) && hr_bits_claim(&b, 4), "claim");
    hr_bits_deinit(&b);
}

static void test_notes(void)
{
    struct hr_notes n;
    hr_notes_init(&n);
    for (int i = 0; i < HR_MAX_NOTES + 50; i++)
        hr_note_at(&n, HR_NOTE_DAMAGE, "x.y", (uint64_t)i, "at %d", i);
    hr_note_at(&n, HR_NOTE_DAMAGE, "x.y", 5, "again");
    EQ(n.list.n, HR_MAX_NOTES, "bounded");
    EQ(n.dropped, 50, "dropped ones counted, duplicates not");
    hr_notes_deinit(&n);
}

int main(void)
{
    test_map();
    test_strs();
    test_esc();
    test_cursor();
    test_bits();
    test_notes();
    return tap_done();
}
