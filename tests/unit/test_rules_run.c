/* What rules find, against loops in C over the same arrays. */
#include <time.h>
#include <unistd.h>

#include "analyzer/base/mem.h"
#include "rules/engine/rules.h"
#include "tests/fake_model.h"
#include "tests/tap.h"

enum { N = 20000 };
static struct fake fake;

struct ran { struct hr_rules *r; struct hr_findings f; enum hr_status st; };

static struct ran run_with(const char *text, bool builtin, bool show, const char *set)
{
    struct ran x = {0};
    hr_findings_init(&x.f);
    if (hr_rules_create(&x.r) != HR_OK)
        abort();
    hr_rules_show_contents(x.r, show);
    hr_rules_today(x.r, 20260601);
    x.st = builtin ? hr_rules_add_builtin(x.r) : HR_OK;
    if (x.st == HR_OK && text)
        x.st = hr_rules_add(x.r, "t", text, strlen(text));
    if (x.st == HR_OK && set)
        x.st = hr_rules_set(x.r, set);
    if (x.st == HR_OK)
        x.st = hr_rules_check(x.r, &fake.model);
    if (x.st == HR_OK)
        x.st = hr_rules_run(x.r, &fake.model, &x.f);
    for (size_t i = 0; i < hr_rules_errors(x.r)->n && x.st != HR_OK; i++) {
        char buf[1000];
        hr_rules_format_error(&hr_rules_errors(x.r)->v[i], buf, sizeof buf);
        printf("# %s\n", strtok(buf, "\n"));
    }
    return x;
}

static struct ran run(const char *text) { return run_with(text, false, false, NULL); }

static void drop(struct ran *x)
{
    hr_findings_deinit(&x->f);
    hr_rules_destroy(x->r);
}

#define ROWS(cond_) ({ uint64_t n_ = 0; for (uint64_t i = 0; i < N; i++) n_ += !!(cond_); n_; })
#define IS(t_) (fake.type[i] == 1 + (t_))

/* The number of rows a condition holds for: one finding per row would be many, so all are one group. */
static void holds(const char *cond, uint64_t want)
{
    char text[1024];
    snprintf(text, sizeof text, "let small = 100 rule r { severity note title \"{count}\" match o in objects where %s group by 1 }", cond);
    struct ran x = run(text);
    uint64_t got = x.f.list.n ? x.f.list.v[0].count : 0;
    OK(x.st == HR_OK && got == want, "%s: %llu rows", cond, (unsigned long long)want);
    if (got != want)
        printf("#   got %llu\n", (unsigned long long)got);
    drop(&x);
}

static void test_conditions(void)
{
    const uint32_t *size = fake.size, *type = fake.type, *owner = fake.owner;
    const uint8_t *reach = fake.reach, *state = fake.state;
    const uint64_t *ret = fake.retained;
    holds("o.size > 1000", ROWS(size[i] > 1000));
    holds("1000 >= o.size and 8 < o.size", ROWS(size[i] <= 1000 && size[i] > 8));
    holds("o.size - 100 < small * 2", ROWS(size[i] < 300));
    holds("o.size / 3 > 500.5", ROWS((double)size[i] / 3 > 500.5));
    holds("10% of o.retained > o.size", ROWS((double)ret[i] * 0.1 > size[i]));
    holds("-o.size < -2000", ROWS(size[i] > 2000));
    holds("max(o.size, 3000, small) == 3000", ROWS(size[i] <= 3000));
    /* conditions that begin with a column against what no row changes */
    holds("o.size > max(small * 20, 10)", ROWS(size[i] > 2000));
    holds("o.size > max(small * 20, 10) and o.state == \"cached\"", ROWS(size[i] > 2000 && state[i] == 1));
    holds("o.size > max(small * 20, 10) and o.size < 3000 and not o.reachable", ROWS(size[i] > 2000 && size[i] < 3000 && reach[i] > 1));
    holds("(o.size > max(small * 20, 10) and o.state == \"cached\") or o.size == 8", ROWS((size[i] > 2000 && state[i] == 1) || size[i] == 8));
    holds("not (o.size > max(small * 20, 10) and o.state == \"cached\")", ROWS(!(size[i] > 2000 && state[i] == 1)));
    holds("o.size > max(small * 20.5, 10)", ROWS(size[i] > 2050));
    holds("heap.used > 200 MiB and o.size > 8", 0);
    holds("(heap.used > 200 MiB and o.size > 8) or o.size == 8", ROWS(size[i] == 8));
    holds("heap.used > 50 MiB and o.size > 2000", ROWS(size[i] > 2000));
    holds("o.reach in (\"interior\", \"register\") and o.size > 100", ROWS((reach[i] == 2 || reach[i] == 3) && size[i] > 100));
    holds("(o.reach in (\"interior\", \"register\") and o.size > 100) or o.size == 8", ROWS(((reach[i] == 2 || reach[i] == 3) && size[i] > 100) || size[i] == 8));
    holds("o.fill >= 50%", ROWS(size[i] % 100 >= 50));
    holds("o.state == \"cached\"", ROWS(state[i] == 1));
    holds("o.state in (\"cached\", \"free\")", ROWS(state[i] != 0));
    holds("o.state not in [\"cached\", \"free\"]", ROWS(state[i] == 0));
    /* an unknown reach is neither this nor not this */
    holds("o.reach != \"reachable\"", ROWS(reach[i] > 1));
    holds("not (o.reach == \"reachable\")", ROWS(reach[i] > 1));
    holds("o.reachable", ROWS(reach[i] == 1));
    holds("not o.reachable", ROWS(reach[i] > 1));
    holds("not o.reachable or o.size > 100", ROWS(reach[i] > 1 || size[i] > 100));
    holds("not (o.reachable and o.size > 100)", ROWS((reach[i] && reach[i] != 1) || size[i] <= 100));
    holds("known(o.reachable)", ROWS(reach[i]));
    holds("default(o.reachable, true)", ROWS(!reach[i] || reach[i] == 1));
    holds("heap.secret > 0 or o.size == 8", ROWS(size[i] == 8));
    holds("o.size / 0 > 1", 0);
    /* "struct node" and "node" are one type; type 0 is unknown */
    holds("o.type == \"struct node\"", ROWS(type[i] == 1 || type[i] == 4));
    holds("o.type != \"node\"", ROWS(type[i] && type[i] != 1 && type[i] != 4));
    holds("o is \"session\"", ROWS(type[i] == 2));
    holds("o is not \"session\"", ROWS(type[i] && type[i] != 2));
    holds("o.type ~ /^STRUCT /i", ROWS(type[i] == 1 || type[i] == 2));
    holds("o.type !~ /node|\\[/", ROWS(type[i] && type[i] != 1 && type[i] != 4 && type[i] != 6));
    holds("o.owner.size > 2000", ROWS(owner[i] != UINT32_MAX && size[owner[i]] > 2000));
    holds("o.owner.owner.state == \"free\"", ROWS(owner[i] != UINT32_MAX && owner[owner[i]] != UINT32_MAX && state[owner[owner[i]]] == 2));
    holds("o.owner == o", ROWS(owner[i] == i));
    holds("o.type == o.owner.type", ROWS(type[i] && owner[i] != UINT32_MAX && type[owner[i]] &&
                                         (type[i] == type[owner[i]] || (type[i] == 1 && type[owner[i]] == 4) || (type[i] == 4 && type[owner[i]] == 1))));
    /* one buffer per attribute: the first answer has to survive the second question */
    holds("o.name == o.owner.name", ROWS(owner[i] != UINT32_MAX && i % 5 == owner[i] % 5));
    holds("o.name ~ /n[13]/ and len(o.name) == 2", ROWS(i % 5 == 1 || i % 5 == 3));
    holds("contains(o.text, \"7\") or starts(lower(o.name), \"n2\")", ROWS(i % 10 == 7 || i % 5 == 2));
    holds("o->refs == 3", ROWS(i % 4 == 3));
    holds("o->none == 3", 0);
    holds("if(o.size > 100, o.state, \"used\") == \"used\"", ROWS(size[i] <= 100 || state[i] == 0));
    holds("target == \"linux\" and heap.used == 100 MiB", N);
    holds("exists t in types where t.count > 100 and t.name == o.type", ROWS(type[i] == 1 || type[i] == 4));
    holds("not exists t in types where t.count > 100000", N);
    OK(fake.asked < 4 * N, "a pattern asks for a type's name, not for each object's: %llu questions", (unsigned long long)fake.asked);
}

static void test_random(void)
{
    uint64_t seed = 99;
    char cond[400];
    bool ok = true;
    for (int round = 0; round < 200; round++) {
        uint64_t a = fake_random(&seed) % 4200, b = fake_random(&seed) % 110000, c = fake_random(&seed) % 9, d = fake_random(&seed) % 3;
        bool neg = round & 1, either = round & 2, less = round & 4;
        snprintf(cond, sizeof cond, "%s(o.size %s %llu %s o.retained + o.size > %llu) and (o.surety * 2 == %llu or o.state == \"%s\")",
                 neg ? "not " : "", less ? "<" : ">=", (unsigned long long)a, either ? "or" : "and", (unsigned long long)b, (unsigned long long)c, fake_state[d]);
        uint64_t want = 0;
        for (uint64_t i = 0; i < N; i++) {
            bool x = less ? fake.size[i] < a : fake.size[i] >= a, y = fake.retained[i] + fake.size[i] > b;
            bool z = either ? x || y : x && y;
            want += (neg ? !z : z) && (fake.surety[i] * 2u == c || fake.state[i] == d);
        }
        char text[1024];
        snprintf(text, sizeof text, "rule r { severity note title \"t\" match o in objects where %s group by true }", cond);
        struct ran x = run(text);
        bool same = x.st == HR_OK && (x.f.list.n ? x.f.list.v[0].count : 0) == want;
        if (!same)
            printf("# %s: wanted %llu\n", cond, (unsigned long long)want);
        ok &= same;
        drop(&x);
    }
    OK(ok, "200 random conditions");
}

static void test_groups(void)
{
    struct ran x = run("rule r { severity warning title \"{count} {o.type} {bytes(total)} {sum(o.retained)} {max(o.size)} {count(o.size > 2000)} {addr(o.addr)}\""
                       " match o in objects where o.type ~ /./ group by o.type report if group.bytes > 0 and avg(o.size) > 1 }");
    OK(x.st == HR_OK && x.f.list.n == FAKE_TYPES - 1, "a group per name of a type (\"struct node\" and \"node\" are two names)");
    bool ok = true;
    for (size_t k = 0; k < x.f.list.n; k++) {
        const struct hr_finding *f = &x.f.list.v[k];
        uint32_t t = 1;
        while (t < FAKE_TYPES && strcmp(fake_type[t], f->subject_type ? f->subject_type : ""))
            t++;
        uint64_t n = 0, bytes = 0, ret = 0, big = 0, worst = 0, surety = 0, over = 0;
        for (uint64_t i = 0; i < N; i++) {
            if (fake.type[i] != t)
                continue;
            if (!n || fake.size[i] > fake.size[worst])
                worst = i;
            n++, bytes += fake.size[i], ret += fake.retained[i], over += fake.size[i] > 2000;
            big = big > fake.size[i] ? big : fake.size[i];
            surety = surety > fake.surety[i] ? surety : fake.surety[i];
        }
        char want[200], human[24], nt[24], rt[24], bt[24], ot[24];
        struct hr_out { int unused; };
        (void)human;
        snprintf(nt, sizeof nt, n >= 1000 ? "%llu,%03llu" : "%llu", (unsigned long long)(n >= 1000 ? n / 1000 : n), (unsigned long long)(n % 1000));
        snprintf(rt, sizeof rt, "%llu,%03llu,%03llu", (unsigned long long)(ret / 1000000), (unsigned long long)(ret / 1000 % 1000), (unsigned long long)(ret % 1000));
        snprintf(bt, sizeof bt, "%llu,%03llu", (unsigned long long)(big / 1000), (unsigned long long)(big % 1000));
        snprintf(ot, sizeof ot, "%llu,%03llu", (unsigned long long)(over / 1000), (unsigned long long)(over % 1000));
        snprintf(want, sizeof want, "%s %s %.1f MiB %s %s %s 0x%llx", nt, fake_type[t], (double)bytes / 1048576, rt, bt, ot, (unsigned long long)fake.addr[worst]);
        bool same = f->count == n && f->bytes == bytes && f->subject_addr == fake.addr[worst] && f->surety == surety && f->members.n == 20 &&
                    f->members.v[0].addr == fake.addr[worst] && !strcmp(f->title, want);
        if (!same)
            printf("# %s | %s\n", f->title, want);
        ok &= same && (!k || x.f.list.v[k - 1].bytes >= f->bytes);
    }
    OK(ok, "count, bytes, sums, worst row, weakest surety, examples and order of each group");
    drop(&x);
    x = run("rule r { severity note title \"{o.retained}\" match o in objects where o.size > 4000 group by o.state bytes max o.retained }");
    uint64_t most = 0;
    for (uint64_t i = 0; i < N; i++)
        if (fake.size[i] > 4000 && fake.retained[i] > most)
            most = fake.retained[i];
    OK(x.st == HR_OK && x.f.list.n == 3 && x.f.list.v[0].bytes == most, "bytes max");
    drop(&x);
    x = run("rule r { severity note title \"t\" match o in objects where o.size > 0 }");
    OK(x.st == HR_OK && x.f.list.n == 10000 && x.f.dropped == N - 10000, "without groups a finding per row, bounded, and said");
    uint32_t smallest = UINT32_MAX;
    for (size_t i = 0; i < x.f.list.n; i++)
        smallest = smallest < x.f.list.v[i].bytes ? smallest : (uint32_t)x.f.list.v[i].bytes;
    OK(ROWS(fake.size[i] > smallest) <= 10000, "the worst are kept");
    drop(&x);
}

static void test_fingerprints(void)
{
    static const char rules[] = "rule r { severity note title \"t\" match o in objects where o.size > 4000 group by o.type }"
                                "rule p { severity note title \"t\" match o in objects where o.size == 4000 trace root_path(o) suspects }"
                                "rule a { severity note title \"t\" match a in arenas group by a.name }";
    struct ran x = run(rules);
    struct fake other, keep = fake;
    fake_init(&other, N, 4711); /* other addresses and sizes, the same program */
    for (uint64_t i = 0; i < N; i++)
        other.addr[i] += 0x1234560;
    fake = other;
    struct ran y = run(rules);
    fake = keep;
    fake_deinit(&other);
    uint64_t seen = 0, same = 0;
    for (size_t i = 0; i < x.f.list.n; i++)
        for (size_t k = 0; k < y.f.list.n; k++)
            if (!strcmp(x.f.list.v[i].rule, "r") && !strcmp(y.f.list.v[k].rule, "r") && x.f.list.v[i].subject_type && y.f.list.v[k].subject_type &&
                !strcmp(x.f.list.v[i].subject_type, y.f.list.v[k].subject_type)) {
                seen++;
                same += x.f.list.v[i].fingerprint == y.f.list.v[k].fingerprint;
            }
    OK(seen >= FAKE_TYPES - 1 && same == seen, "fingerprints survive another run of the program");
    uint64_t p[2] = {0}, distinct = 0;
    for (size_t i = 0; i < x.f.list.n; i++) {
        if (!strcmp(x.f.list.v[i].rule, "p"))
            p[0] = x.f.list.v[i].fingerprint;
        for (size_t k = 0; k < i; k++)
            distinct += !strcmp(x.f.list.v[i].rule, "r") && !strcmp(x.f.list.v[k].rule, "r") && x.f.list.v[i].fingerprint == x.f.list.v[k].fingerprint;
    }
    for (size_t i = 0; i < y.f.list.n; i++)
        if (!strcmp(y.f.list.v[i].rule, "p"))
            p[1] = y.f.list.v[i].fingerprint;
    OK(p[0] && p[0] == p[1], "a path's fingerprint has no index and no address in it");
    EQ(distinct, 0, "groups have fingerprints of their own");
    for (size_t i = 0; i < x.f.list.n; i++)
        if (!strcmp(x.f.list.v[i].rule, "p")) {
            OK(x.f.list.v[i].trace.n == 3 && x.f.list.v[i].trace.v[1].suspect && !x.f.list.v[i].trace.v[0].suspect, "the reference that holds it is the suspect");
            break;
        }
    drop(&x);
    drop(&y);
}

static const struct hr_finding *find(const struct ran *x, const char *rule)
{
    for (size_t i = 0; i < x->f.list.n; i++)
        if (!strcmp(x->f.list.v[i].rule, rule))
            return &x->f.list.v[i];
    return NULL;
}

static const char *skipped(const struct ran *x, const char *rule)
{
    for (size_t i = 0; i < x->f.skipped.n; i++)
        if (!strcmp(x->f.skipped.v[i].rule, rule))
            return x->f.skipped.v[i].why;
    return "";
}

static void test_packs(void)
{
    struct ran x = run_with(NULL, true, false, NULL);
    OK(x.st == HR_OK, "the built-in packs are right");
    struct hr_rule_info info;
    bool ok = hr_rules_list(x.r, 0, &info) >= 11;
    for (size_t i = 0; i < hr_rules_list(x.r, 0, &info); i++) {
        hr_rules_list(x.r, i, &info);
        bool told = info.help && strlen(info.help) > 60 && info.remedy && strlen(info.remedy) > 40 && *info.tags && *info.precision && info.title;
        if (!told)
            printf("# %s lacks help, remedy, tags or precision\n", info.name);
        ok &= told && !strchr(info.help, '{'); /* help is printed for the rule as such */
    }
    OK(ok, "each built-in rule says what it means and what to do");
    ok = true;
    for (size_t i = 0; i < x.f.list.n; i++) {
        const struct hr_finding *f = &x.f.list.v[i];
        ok &= f->title && f->help && f->remedy && f->next && !strstr(f->title, "unknown") && !strchr(f->title, '{') && f->fingerprint;
    }
    OK(ok && x.f.list.n >= 8, "findings are filled in");
    const struct hr_finding *f = find(&x, "leak.unreachable");
    OK(f && !strcmp(f->title, "Nothing points to 2 blocks of struct node: 248 B leaked in 5 blocks") && f->count == 5 && f->bytes == 248 &&
       f->surety == HR_SURE_CONSERVATIVE && f->subject_addr == 0x1000, "leaks of a type: all blocks lost are counted");
    OK(f && !strcmp(f->next, "heapray show '/tmp/my core' 0x1000"), "the next command can be pasted");
    f = find(&x, "leak.cycle");
    OK(f && !strcmp(f->title, "A ring of 2 blocks is held by nothing else: struct session -> struct node, 960 B leaked in 5 blocks"), "a ring is one finding");
    f = find(&x, "frag.arena");
    OK(f && f->bytes == 49 << 20 && f->severity == HR_SEV_WARNING, "a fragmented arena");
    OK(!find(&x, "leak.shared") && !find(&x, "suspect.uncertain"), "what is not there is not told");
    OK(strstr(skipped(&x, "frag.size_class"), "no table `size_classes`"), "a table the model lacks skips the rule, and says so");
    drop(&x);
    fake.cut = true;
    fake.shared = 3;
    x = run_with(NULL, true, false, NULL);
    OK(!find(&x, "leak.unreachable") && !find(&x, "leak.cycle") && !find(&x, "leak.shared") && find(&x, "suspect.uncertain"),
       "an image that lacks memory has no certain leak");
    drop(&x);
    fake.cut = false;
    x = run_with(NULL, true, false, NULL);
    OK(find(&x, "leak.shared") && find(&x, "leak.shared")->count == 3, "what several leaks hold");
    drop(&x);
    fake.shared = 0;
}

static void test_settings(void)
{
    struct ran x = run_with("let leak_min_bytes = 200", true, false, NULL);
    uint64_t n = 0;
    for (size_t i = 0; i < x.f.list.n; i++)
        n += !strncmp(x.f.list.v[i].rule, "leak.", 5);
    EQ(n, 2, "a let of a user's file changes a threshold");
    drop(&x);
    x = run_with("let leak_min_bytes = 200", true, false, "leak_min_bytes=500");
    OK(x.st == HR_OK && !find(&x, "leak.unreachable") && find(&x, "leak.cycle"), "--set wins over the file");
    drop(&x);
    x = run_with("let leak.cycle.severity = note let leak.unreachable.severity = off", true, false, NULL);
    OK(x.st == HR_OK && find(&x, "leak.cycle")->severity == HR_SEV_NOTE && !find(&x, "leak.unreachable"), "severities can be changed");
    drop(&x);
    x = run_with(NULL, true, false, "leak_min_byte=1");
    OK(x.st == HR_USAGE && !strcmp(hr_rules_errors(x.r)->v[0].hint, "leak_min_bytes"), "a setting nobody uses is an error");
    drop(&x);
    x = run_with("rule leak.cycle { severity note title \"mine\" match l in leaks where l.kind == \"cycle\" group by 1 }", true, false, NULL);
    OK(x.st == HR_OK && !strcmp(find(&x, "leak.cycle")->title, "mine"), "a rule of the same name replaces the built-in one");
    EQ(hr_rules_only(x.r, "leak"), 4, "--only leak");
    EQ(hr_rules_only(x.r, "leak.c*,frag.arena"), 2, "--only with patterns");
    EQ(hr_rules_only(x.r, "leek.*"), 0, "--only with a pattern that matches nothing");
    OK(hr_rules_only(x.r, NULL) >= 11, "all");
    drop(&x);
}

static void test_skips(void)
{
    struct ran x = run("type Gone = \"struct gone\" rule a { severity note title \"t\" match o in objects of Gone }"
                       "rule b { severity note title \"t\" match o in objects where o is \"struct gone\" }"
                       "rule c { severity note title \"t\" match o in objects where (o is \"struct gone\" or o.size < 9) and o.size < 10 }"
                       "rule d { severity note title \"t\" match o in objects where heap.secret > 1 }"
                       "rule e { severity note title \"t\" match o in objects where o->state == enum GONE }");
    OK(x.st == HR_OK && strstr(skipped(&x, "a"), "no type \"struct gone\"") && strstr(skipped(&x, "b"), "no type"), "an absent type skips the rule");
    OK(!*skipped(&x, "c"), "an absent type among alternatives does not");
    OK(strstr(skipped(&x, "d"), "unknown for all 20000 objects"), "what is not known at all is not called clean");
    OK(strstr(skipped(&x, "e"), "no enumerator"), "an absent enumerator");
    drop(&x);
}

static void test_redaction(void)
{
    static const char rules[] = "rule a { severity note title \"{quote(o.text, 6)} {o.text} {o->secret} {lower(o.text)} {len(o.text)}\" match o in objects where o.size < 20 group by 1 }"
                                "rule b { severity note redact title \"{quote(o.text, 6)}\" match o in objects where o.size < 20 group by 1 }";
    struct ran x = run(rules);
    OK(x.st == HR_OK && !strcmp(find(&x, "a")->title, "(6 bytes, not shown) (6 bytes, not shown) (7 bytes, not shown) (6 bytes, not shown) 6"),
       "contents are not shown");
    drop(&x);
    x = run_with(rules, false, true, NULL);
    OK(x.st == HR_OK && strstr(find(&x, "a")->title, "hunter2") && strstr(find(&x, "a")->title, "\"text "), "unless they may be");
    OK(!strcmp(find(&x, "b")->title, "(6 bytes, not shown)"), "and never where the rule says redact");
    drop(&x);
}

static void test_allow(void)
{
    static const char base[] = "rule r { severity error title \"t\" match o in objects group by o.type }"
        "allow \"node\" { rule r where type == \"struct session\" and bytes > 1 expires 2026-12-31 reason \"known\" }"
        "allow \"soon\" { rule r where type ~ /^tls/ expires 2026-06-10 reason \"soon over\" }"
        "allow \"few\" { rule r where type ~ /^char/ max count 5 expires 2030-01-01 reason \"at most five\" }"
        "allow \"old\" { rule r where type ~ /^std/ expires 2026-05-31 reason \"was once\" }"
        "allow \"idle\" { rule r where type == \"no such\" expires 2026-12-31 reason \"nobody\" }";
    struct ran x = run(base);
    OK(x.st == HR_OK && x.f.allowances.n == 5, "allowances are listed");
    static const char *const state[] = {"used", "expires soon", "exceeded", "expired", "unused"};
    bool ok = true;
    for (size_t i = 0; i < 5 && i < x.f.allowances.n; i++)
        ok &= !strcmp(x.f.allowances.v[i].state, state[i]);
    OK(ok, "used, expires soon, exceeded, expired, unused");
    for (size_t i = 0; i < x.f.list.n; i++) {
        const struct hr_finding *f = &x.f.list.v[i];
        const char *t = f->subject_type ? f->subject_type : "";
        if (!strcmp(t, "struct session"))
            OK(!hr_finding_counts(f) && strstr(f->label, "known"), "an allowed finding does not count, and says why");
        if (!strncmp(t, "std", 3))
            OK(hr_finding_counts(f) && strstr(f->label, "\"old\" expired on 2026-05-31"), "an expired allowance: it counts again, labelled");
        if (!strncmp(t, "char", 4))
            OK(hr_finding_counts(f) && strstr(f->label, "covers 5"), "more than allowed counts");
    }
    drop(&x);
    x = run("budget heap.used { severity warning heap.used <= 64 MiB when target == \"linux\" }"
            "budget other { severity error heap.used < 1 GiB } budget mcu { severity error heap.used < 1 when target == \"stm32\" }"
            "budget dark { severity error heap.secret < 1 }");
    OK(x.st == HR_OK && x.f.list.n == 1 && !strcmp(x.f.list.v[0].title, "Budget heap.used is broken: 104,857,600 (100 MiB), and it has to be at most 67,108,864 (64.0 MiB)"),
       "a budget tells the actual value and the limit");
    OK(*skipped(&x, "budget.mcu") && *skipped(&x, "budget.dark"), "budgets that do not apply or cannot be judged are said");
    drop(&x);
}

static void test_bounded(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    struct ran x = run("rule r { severity note title \"t\" match o in objects where join(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", o.name) ~ /^(a+)+$/ }");
    clock_gettime(CLOCK_MONOTONIC, &b);
    OK(x.st == HR_OK && strstr(skipped(&x, "r"), "gave up"), "a pattern that explodes is stopped, and said");
    OK(b.tv_sec - a.tv_sec < 10, "in seconds");
    drop(&x);
}

static void test_files(void)
{
    char dir[] = "/tmp/rulesXXXXXX", path[64], other[64];
    if (!mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/a.rules", dir);
    snprintf(other, sizeof other, "%s/b.rules", dir);
    FILE *f = fopen(path, "w");
    fputs("include \"b.rules\"\nlet x = 1\n", f);
    fclose(f);
    f = fopen(other, "w");
    fputs("let y = 2\ninclude \"a.rules\"\n", f);
    fclose(f);
    struct hr_rules *r;
    if (hr_rules_create(&r) != HR_OK)
        abort();
    char buf[600];
    EQ(hr_rules_add_file(r, path), HR_USAGE, "files that include each other");
    OK(hr_rules_errors(r)->n == 1 && strstr(hr_rules_errors(r)->v[0].text, "includes itself") && hr_rules_errors(r)->v[0].line == 2, "are told where");
    EQ(hr_rules_add_file(r, "/nonexistent/x.rules"), HR_IO, "a file that is not there");
    hr_rules_format_error(&hr_rules_errors(r)->v[1], buf, sizeof buf);
    OK(!strcmp(buf, "/nonexistent/x.rules: error: No such file or directory"), "is said plainly");
    EQ(hr_rules_add_file(r, dir), HR_IO, "a directory");
    EQ(hr_rules_add_file(r, "/dev/null"), HR_IO, "a device");
    hr_rules_destroy(r);
    f = fopen(path, "w");
    uint64_t seed = 5;
    for (int i = 0; i < 10 << 20; i++)
        fputc((int)(fake_random(&seed) & 255), f);
    fclose(f);
    if (hr_rules_create(&r) != HR_OK)
        abort();
    OK(hr_rules_add_file(r, path) == HR_IO && strstr(hr_rules_errors(r)->v[0].text, "larger than 4 MiB"), "10 MB of anything");
    if (truncate(path, 4 << 20))
        abort();
    OK(hr_rules_add_file(r, path) == HR_USAGE && hr_rules_errors(r)->n <= HR_MAX_RULE_ERRORS, "4 MB of garbage: errors, bounded");
    hr_rules_destroy(r);
    remove(path);
    remove(other);
    rmdir(dir);
}

/* Each allocation fails once: every answer is a status, and nothing is lost or used twice (sanitized builds look). */
static void test_no_memory(void)
{
    static const char rules[] = "let big = 1 KiB set Big = objects where size > big rule r { severity error title \"{o.type} {sum(o.size)}\""
        " match o in Big where o.type ~ /s/ group by o.type, o.name trace root_path(o) help \"h\" remedy \"r\" next \"n {image}\" }"
        " allow \"x\" { rule r where bytes > 1 expires 2030-01-01 reason \"r\" }";
    struct fake keep = fake;
    fake_init(&fake, 300, 3);
    uint64_t all = 0, failed = 0, odd = 0;
    for (uint64_t n = 1; n < 5000; n++) {
        struct hr_rules *r = NULL;
        struct hr_findings f;
        hr_findings_init(&f);
        hr_mem_fail(n, false);
        enum hr_status st = hr_rules_create(&r);
        if (st == HR_OK)
            st = hr_rules_add_builtin(r);
        if (st == HR_OK)
            st = hr_rules_add(r, "t", rules, sizeof rules - 1);
        if (st == HR_OK)
            st = hr_rules_check(r, &fake.model);
        if (st == HR_OK)
            st = hr_rules_run(r, &fake.model, &f);
        bool reached = hr_mem_count() >= n;
        hr_mem_fail(0, false);
        all++;
        failed += st == HR_NOMEM;
        odd += st != HR_OK && st != HR_NOMEM;
        if (st != HR_OK && st != HR_NOMEM)
            printf("# allocation %llu: %s, %s\n", (unsigned long long)n, hr_status_name(st), hr_rules_errors(r)->n ? hr_rules_errors(r)->v[0].text : "-");
        hr_findings_deinit(&f);
        hr_rules_destroy(r);
        if (!reached)
            break;
    }
    OK(failed > 100 && !odd, "%llu failed allocations: out of memory is all that is said, %llu times", (unsigned long long)all, (unsigned long long)failed);
    fake_deinit(&fake);
    fake = keep;
}

int main(void)
{
    fake_init(&fake, N, 7);
    test_conditions();
    test_random();
    test_groups();
    test_fingerprints();
    test_packs();
    test_settings();
    test_skips();
    test_redaction();
    test_allow();
    test_bounded();
    test_files();
    test_no_memory();
    fake_deinit(&fake);
    return tap_done();
}
