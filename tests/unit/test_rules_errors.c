/* What rule authors see: every error with its place. Lines and columns are counted by hand, from 1. */
#include "rules/engine/rules.h"
#include "tests/fake_model.h"
#include "tests/tap.h"

static struct fake fake;

struct want { uint32_t line, column; const char *text, *hint; };

/* Exactly these errors, in this order, `text` being a part of the message. */
static void expect(const char *what, const char *rules, const struct want *want, size_t n)
{
    struct hr_rules *r;
    if (hr_rules_create(&r) != HR_OK)
        abort();
    enum hr_status st = hr_rules_add(r, "t.rules", rules, strlen(rules));
    if (st == HR_OK)
        st = hr_rules_check(r, &fake.model);
    const struct hr_ruleerrvec *e = hr_rules_errors(r);
    bool ok = e->n == n && (st == HR_OK) == (n == 0);
    for (size_t i = 0; i < n && i < e->n; i++) {
        bool hint = want[i].hint ? e->v[i].hint && !strcmp(e->v[i].hint, want[i].hint) : !e->v[i].hint;
        ok &= e->v[i].line == want[i].line && e->v[i].column == want[i].column && strstr(e->v[i].text, want[i].text) && hint;
    }
    OK(ok, "%s", what);
    for (size_t i = 0; !ok && i < e->n; i++)
        printf("#   got %u:%u %s (%s)\n", e->v[i].line, e->v[i].column, e->v[i].text, e->v[i].hint ? e->v[i].hint : "no hint");
    hr_rules_destroy(r);
}
#define EXPECT(what_, rules_, ...)                                                                                     \
    expect(what_, rules_, (const struct want[]){__VA_ARGS__}, sizeof((const struct want[]){__VA_ARGS__}) / sizeof(struct want))
#define FINE(what_, rules_) expect(what_, rules_, NULL, 0)
#define RULE(match_) "rule a { severity note title \"t\" match " match_ " }"

static void test_lexer(void)
{
    EXPECT("text not closed", "let a = \"abc\nlet b = 1", {1, 9, "not closed", NULL});
    EXPECT("long text not closed", "let a = \"\"\"abc\n\n", {1, 9, "not closed with", NULL});
    EXPECT("comment not closed", "let a = 1\n/* x", {2, 1, "comment is not closed", NULL});
    EXPECT("unknown sign", "let a = 1 $ 2", {1, 11, "means nothing", NULL});
    EXPECT("unit", "let a = 64 KiB let b = 64Kb", {1, 26, "unknown unit", NULL});
    EXPECT("too large", "let a = 99999999999999999999", {1, 9, "too large", NULL});
    EXPECT("column counts characters, not bytes", "let a = \"\xc3\xa9\xc3\xa9\" $", {1, 14, "means nothing", NULL});
    EXPECT("the author's C", "let a = 1 && 2", {1, 11, "write `and`", NULL}, {1, 12, "write `and`", NULL});
    FINE("numbers", "let a = 10_000 let b = 64 KiB let c = 30% let d = 0x1F let e = 1.5 MiB let f = 30 % # comment\n// also");
    FINE("texts", "let a = \"q\\\"q\" let b = 'it' let c = \"\"\"two\nlines \"quoted\" \"\"\" /* and */");
}

static void test_parser(void)
{
    EXPECT("wher -> where", RULE("o in objects wher o.size > 1"), {1, 53, "unknown clause `wher`", "where"});
    EXPECT("statement", "rul x { }", {1, 1, "unknown statement `rul`", "rule"});
    EXPECT("clause", "rule a { severty note title \"t\" match o in objects }", {1, 10, "unknown clause `severty`", "severity"});
    EXPECT("all errors, not the first",
           "let a = \n"
           "rule b { severity loud title \"t\" match o in objects where o.size > }\n"
           "rule c { severity note title \"{o.size\" match o in objects }\n"
           "let d = (1 + 2\n"
           "let e = 3\n",
           {2, 1, "expected an expression, found `rule`", NULL}, {2, 19, "expected note, warning or error, found `loud`", NULL},
           {2, 68, "expected an expression, found `}`", NULL}, {3, 31, "has no `}`", NULL}, {5, 1, "expected `)`, found `let`", NULL});
    EXPECT("what a rule must have", "rule a { help \"h\" }", {1, 6, "has no `severity`", NULL}, {1, 6, "has no `title`", NULL},
           {1, 6, "has no `match`", NULL});
    EXPECT("chained comparison", "let a = 1 < 2 < 3", {1, 15, "do not chain", NULL});
    EXPECT("= for ==", RULE("o in objects where o.size = 1"), {1, 66, "does not compare", "=="});
    EXPECT("missing brace", "rule a { severity note\ntitle \"t\"\nrule b { severity note title \"t\" match o in objects }",
           {1, 6, "is not closed", NULL});
    EXPECT("not yet", "verdict stuck { severity note }\nlet b = x[1]\nlet c = `g ->> x`\nlet d = 1",
           {1, 1, "`verdict` is not supported yet", NULL}, {2, 10, "not supported yet", NULL}, {3, 9, "not supported yet", NULL});
    EXPECT("allow", "allow \"x\" { rule a }", {1, 7, "no `expires`", NULL}, {1, 7, "no `reason`", NULL});
    EXPECT("date", "allow \"x\" { rule a expires 2026-13-01 reason \"r\" }", {1, 28, "no such day", NULL});
    EXPECT("budget", "budget heap.used { severity error heap.used + 1 }", {1, 45, "a comparison", NULL});
    EXPECT("include without a file", "include \"x.rules\"", {1, 9, "only a rule file", NULL});
    FINE("the design's layout on one line", "rule a.b { severity error tags leak, ci precision high title \"t {o.size} \\{x\\}\" match o in objects"
         " where not o.reachable and 30% of o.size > 1 group by o.type, o.owner.type report if group.bytes >= 64 trace root_path(o) suspects"
         " members 3 redact help \"\"\"x\"\"\" }");
}

static void test_depth(void)
{
    enum { DEEP = 5000 };
    static char text[4 * DEEP + 64];
    strcpy(text, "let a = ");
    memset(text + 8, '(', DEEP);
    strcpy(text + 8 + DEEP, "1");
    EXPECT("parentheses", text, {1, 209, "nested too deep", NULL});
    size_t n = (size_t)sprintf(text, "let a = 1");
    for (int i = 0; i < 300; i++)
        n += (size_t)sprintf(text + n, "+1");
    struct hr_rules *r;
    if (hr_rules_create(&r) == HR_OK) {
        OK(hr_rules_add(r, "t", text, n) == HR_USAGE && strstr(hr_rules_errors(r)->v[0].text, "too deep"), "long sums are bounded");
        hr_rules_destroy(r);
    }
    n = (size_t)sprintf(text, "let a0 = 1 ");
    for (int i = 1; i < 60; i++)
        n += (size_t)sprintf(text + n, "let a%d = a%d ", i, i - 1);
    if (hr_rules_create(&r) == HR_OK) {
        OK(hr_rules_add(r, "t", text, n) == HR_OK && hr_rules_check(r, &fake.model) == HR_USAGE, "chains of lets are bounded");
        hr_rules_destroy(r);
    }
    n = (size_t)sprintf(text, "let a0 = 1 ");
    for (int i = 1; i < 25; i++)
        n += (size_t)sprintf(text + n, "let a%d = a%d + a%d ", i, i - 1, i - 1);
    n += (size_t)sprintf(text + n, RULE("o in objects where o.size > a24"));
    if (hr_rules_create(&r) == HR_OK) {
        OK(hr_rules_add(r, "t", text, n) == HR_OK && hr_rules_check(r, &fake.model) == HR_USAGE &&
           strstr(hr_rules_errors(r)->v[0].text, "too large"), "lets that double each other are bounded");
        hr_rules_destroy(r);
    }
}

static void test_checker(void)
{
    EXPECT("attribute", RULE("o in objects where o.reachble"), {1, 61, "objects have no attribute `reachble`", "reachable"});
    EXPECT("source", RULE("o in object"), {1, 45, "unknown source `object`", "objects"});
    EXPECT("variable", RULE("o in objects where p.size > 1"), {1, 59, "unknown name `p.size`", NULL});
    EXPECT("global", "let a = heap.usd", {1, 9, "unknown name `heap.usd`", "heap.used"});
    EXPECT("function", "let a = byts(1)", {1, 9, "unknown function `byts`", "bytes"});
    EXPECT("arguments", "let a = bytes(1, 2)", {1, 9, "takes 1 argument, not 2", NULL});
    EXPECT("kinds", RULE("o in objects where o.size == \"x\" and o.size"), {1, 66, "compares a number with a text", NULL},
           {1, 79, "what `and` joins has to be a truth value, this is a number", NULL});
    EXPECT("order of texts", RULE("o in objects where o.name < \"x\""), {1, 66, "only numbers", NULL});
    EXPECT("word of an enumeration", RULE("o in objects where o.reach == \"leaked_drect\""),
           {1, 70, "`reach` is never \"leaked_drect\"", "leaked_direct"});
    EXPECT("pattern", RULE("o in objects where o.name ~ /a(b/"), {1, 72, "missing closing parenthesis", NULL});
    EXPECT("let by itself", "let a = b let b = a", {1, 5, "defined by itself", NULL});
    EXPECT("set by itself", "set A = B set B = A", {1, 5, "defined by itself", NULL});
    EXPECT("type's name", "type Session = \"struct session\"\n" RULE("o in objects of Sesion"), {2, 56, "unknown type `Sesion`", "Session"});
    EXPECT("sum where there is no group", RULE("o in objects where sum(o.size) > 1"), {1, 59, "over a group", NULL});
    EXPECT("in a text", "rule a { severity note title \"x {o.sze}\" match o in objects }", {1, 36, "no attribute `sze`", "size"});
    EXPECT("severity of no rule", RULE("o in objects") "\nlet b.severity = note", {2, 5, "no rule `b`", NULL});
    EXPECT("allow of no rule", RULE("o in objects") "allow \"x\" { rule b expires 2030-01-01 reason \"r\" }", {1, 60, "no such rule", NULL});
    EXPECT("field of what has none", RULE("a in arenas where a->x == 1"), {1, 61, "no fields", NULL});
    FINE("what is right", "let big = max(1 MiB, 5% of heap.used) type N = 'struct node' set Big = objects where size > big\n"
         RULE("o in Big of N where o is N and o->refs == 3 and o.type ~ /x/i and exists p in objects where p.owner == o and o in Big"));
}

static void test_format(void)
{
    struct hr_rules *r;
    if (hr_rules_create(&r) != HR_OK)
        abort();
    const char text[] = "let x = 1\n\tlet y = \"\xc3\xa9\x1b[2J\" $\n";
    char buf[2048];
    OK(hr_rules_add(r, "dir/my\nfile", text, strlen(text)) == HR_USAGE, "a bad file");
    hr_rules_format_error(&hr_rules_errors(r)->v[0], buf, sizeof buf);
    /* the escape took four columns instead of one: the caret moves with it */
    const char want[] = "dir/my\\x0afile:2:18: error: this sign means nothing here\n"
                        "    2 |  let y = \"\xc3\xa9\\x1b[2J\" $\n"
                        "      |                     ^";
    OK(!strcmp(buf, want), "line, caret and escapes");
    if (strcmp(buf, want))
        fprintf(stderr, "%s\n%s\n", buf, want);
    char small[20];
    hr_rules_format_error(&hr_rules_errors(r)->v[0], small, sizeof small);
    OK(strlen(small) == 19, "a small buffer is enough");
    hr_rules_destroy(r);
}

int main(void)
{
    fake_init(&fake, 10, 1);
    test_lexer();
    test_parser();
    test_depth();
    test_checker();
    test_format();
    fake_deinit(&fake);
    return tap_done();
}
