/* Output: what reaches the terminal or the file, byte by byte, against texts written by hand. */
#include <unistd.h>

#include "analyzer/base/mem.h"
#include "formats/report/out.h"
#include "tests/tap.h"

static char *text;
static size_t length;

static struct hr_out start(bool unicode, int width)
{
    free(text);
    text = NULL;
    struct hr_out o;
    hr_out_init(&o, open_memstream(&text, &length), "never");
    o.unicode = unicode;
    o.width = width;
    return o;
}

static const char *finish(struct hr_out *o)
{
    fclose(o->f);
    return text;
}

static bool clean(bool ascii)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\n') || c == 0x7f || (ascii && c >= 0x80))
            return false;
        if (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0) /* U+0080..U+009F: C1 controls */
            return false;
    }
    return true;
}

/* Every byte alone, in pairs with the lead bytes that could make it something else, through every printer. */
static void test_no_controls(void)
{
    static const char *const lead[] = {"", "\xc2", "\xe2\x80", "\xef\xbb", "\x1b[", "\\"};
    for (int unicode = 0; unicode < 2; unicode++) {
        struct hr_out o = start(unicode, 60);
        for (int b = 1; b < 256; b++)
            for (size_t l = 0; l < sizeof lead / sizeof *lead; l++) {
                char z[16];
                snprintf(z, sizeof z, "%s%ca", lead[l], b);
                hr_out_esc(&o, z);
                hr_out_wrap(&o, 2, z);
                struct hr_tab *t = hr_tab_create(&o, (const char *const[]){z, "n"}, "lr", 2);
                hr_tab_cell(t, z);
                hr_tab_cellf(t, "%s", z);
                hr_tab_print(t, 1);
                struct hr_json j;
                hr_json_init(&j, &o, true);
                hr_json_obj(&j, NULL);
                hr_json_str(&j, z, z);
                hr_json_end(&j);
            }
        finish(&o);
        OK(length > 100000 && clean(false), "no control byte from any printer%s", unicode ? ", UTF-8" : "");
        if (unicode)
            continue;
        o = start(false, 60);
        for (int b = 1; b < 256; b++) {
            hr_out_esc(&o, (char[]){(char)b, 0});
            hr_out_esc(&o, (char[]){'\xc3', (char)b, 0});
        }
        hr_outf(&o, "× … →");
        finish(&o);
        OK(clean(true), "nothing above 0x7f when the terminal cannot show it");
        OK(strstr(text, "x ... ->"), "our own signs have ASCII stand-ins");
    }
}

static void test_json(void)
{
    struct hr_out o = start(true, 0);
    struct hr_json j;
    hr_json_init(&j, &o, false);
    hr_json_obj(&j, NULL);
    hr_json_str(&j, "s", "a\"\\\n\x1b\xc3\xa9\xff\xe2\x80\xae\xf3\xa0\x81\x81\xed\xa0\x80");
    hr_json_num(&j, "n", UINT64_MAX);
    hr_json_int(&j, "i", INT64_MIN);
    hr_json_addr(&j, "a", 0xdeadbeef12);
    hr_json_arr(&j, "arr");
    hr_json_real(&j, NULL, 0.1);
    hr_json_real(&j, NULL, 0.0 / 0.0);
    hr_json_bool(&j, NULL, true);
    hr_json_end(&j);
    hr_json_obj(&j, "o");
    hr_json_end(&j);
    hr_json_str(&j, "z", NULL);
    hr_json_end(&j);
    hr_json_obj(&j, NULL);
    hr_json_end(&j);
    finish(&o);
    const char *want = "{\"s\":\"a\\\"\\\\\\u000a\\u001b\xc3\xa9\\ufffd\\u202e\\udb40\\udc41\\ufffd\\ufffd\\ufffd\","
                       "\"n\":18446744073709551615,\"i\":-9223372036854775808,\"a\":\"0xdeadbeef12\","
                       "\"arr\":[0.1,null,true],\"o\":{},\"z\":null}\n{}\n";
    OK(!strcmp(text, want), "one line");
    o = start(true, 0);
    hr_json_init(&j, &o, true);
    hr_json_arr(&j, NULL);
    hr_json_num(&j, NULL, 1);
    hr_json_obj(&j, NULL);
    hr_json_bool(&j, "b", false);
    hr_json_end(&j);
    hr_json_end(&j);
    OK(!strcmp(finish(&o), "[\n  1,\n  {\n    \"b\": false\n  }\n]\n"), "pretty");
    o = start(true, 0);
    hr_json_init(&j, &o, false);
    for (int i = 0; i < 50; i++)
        hr_json_arr(&j, NULL);
    hr_json_num(&j, NULL, 1);
    for (int i = 0; i < 50; i++)
        hr_json_end(&j);
    finish(&o);
    char deep[80] = "";
    memset(deep, '[', 32);
    memcpy(deep + 32, "null", 4);
    memset(deep + 36, ']', 32);
    deep[68] = '\n';
    OK(!strcmp(text, deep), "too deep stays a valid document");
}

static void test_tables(void)
{
    struct hr_out o = start(false, 30);
    struct hr_tab *t = hr_tab_create(&o, (const char *const[]){"count", "k", "type"}, "rll", 3);
    const char *const cells[] = {"1,234", "ab", "struct node", "7", "c", "std::vector<std::pair<int, int> >", "9"};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        hr_tab_cell(t, cells[i]);
    hr_tab_print(t, 2);
    const char *want = "  count  k   type\n"
                       "  1,234  ab  struct node\n"
                       "      7  c   std::vector<st...\n"
                       "      9  \n";
    OK(!strcmp(finish(&o), want), "aligned, last column cut to 30 columns");
    hr_tab_print(NULL, 0);
    hr_tab_cell(NULL, "x");
    OK(hr_tab_create(&o, NULL, "", 99) == NULL, "too many columns is no table");

    o = start(true, 20);
    hr_out_wrap(&o, 3, "one two\nthree four  averyveryverylongword é x\x1b[2J");
    want = "   one two three\n   four\n   averyveryverylongword\n   é x\\x1b[2J\n";
    OK(!strcmp(finish(&o), want), "wrapped");
}

static void test_numbers(void)
{
    struct hr_out o = start(true, 0);
    char b[32];
    OK(!strcmp(hr_out_count(&o, b, sizeof b, 1234567), "1,234,567"), "count %s", b);
    OK(!strcmp(hr_out_count(&o, b, sizeof b, 999), "999"), "count %s", b);
    OK(!strcmp(hr_out_count(&o, b, sizeof b, UINT64_MAX), "18,446,744,073,709,551,615"), "count %s", b);
    OK(!strcmp(hr_out_bytes(&o, b, sizeof b, 1572864), "1.5 MiB"), "bytes %s", b);
    o.bytes = true;
    OK(!strcmp(hr_out_bytes(&o, b, sizeof b, 1572864), "1572864"), "--bytes %s", b);
    finish(&o);
}

static void test_init(void)
{
    struct hr_out o;
    setenv("CLICOLOR_FORCE", "1", 1);
    unsetenv("NO_COLOR");
    hr_out_init(&o, stdout, "auto");
    OK(o.color, "CLICOLOR_FORCE");
    setenv("NO_COLOR", "1", 1);
    hr_out_init(&o, stdout, "auto");
    OK(!o.color, "NO_COLOR wins");
    hr_out_init(&o, stdout, "always");
    OK(o.color, "--color=always wins over both");
    setenv("LC_ALL", "C", 1);
    setenv("COLUMNS", "132", 1);
    hr_out_init(&o, stdout, "never");
    OK(!o.unicode && o.width == 132, "LC_ALL and COLUMNS");
    setenv("LC_ALL", "de_DE.utf8", 1);
    hr_out_init(&o, stdout, NULL);
    OK(o.unicode, "a UTF-8 locale");
    FILE *full = fopen("/dev/full", "w");
    if (!full) {
        SKIP("no /dev/full");
        return;
    }
    setvbuf(full, NULL, _IONBF, 0);
    hr_out_init(&o, full, "never");
    hr_outf(&o, "text");
    OK(o.failed, "a full disk is seen");
    fclose(full);
}

int main(void)
{
    test_no_controls();
    test_json();
    test_tables();
    test_numbers();
    test_init();
    free(text);
    return tap_done();
}
