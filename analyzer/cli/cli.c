/* Parsing of the command line and help. */
#include "analyzer/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/sandbox.h"

static const struct hr_verb *const verbs[] = {
#define HR_VERB(name_) &hr_verb_##name_,
#include "analyzer/cli/verbs.def"
#undef HR_VERB
};
enum { NVERBS = sizeof verbs / sizeof *verbs };

struct option_row {
    const char *name;
    int letter;
    const char *arg, *help;
};
static const struct option_row options[] = {
#define HR_OPTION(name_, letter_, arg_, help_) {name_, letter_, arg_, help_},
#include "analyzer/cli/options.def"
#undef HR_OPTION
};
enum { NOPTIONS = sizeof options / sizeof *options };

int hr_cli_error(int code, const char *fmt, ...)
{
    char buf[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    struct hr_out err;
    hr_out_init(&err, stderr, NULL);
    hr_outf(&err, "heapray: ");
    hr_out_esc(&err, buf);
    hr_outf(&err, "\n");
    return code;
}

static unsigned distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[32];
    if (la > 30 || lb > 30)
        return 99;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diag = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned up = row[j], best = diag + (a[i - 1] != b[j - 1]);
            best = best < up + 1 ? best : up + 1;
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            diag = up;
            row[j] = best;
        }
    }
    return row[lb];
}

static const char *nearest_verb(const char *word)
{
    const char *best = NULL;
    unsigned least = 3;
    for (size_t i = 1; i < NVERBS; i++)
        if (distance(word, verbs[i]->name) < least) {
            least = distance(word, verbs[i]->name);
            best = verbs[i]->name;
        }
    return best;
}

static const struct hr_verb *find_verb(const char *word)
{
    for (size_t i = 1; i < NVERBS; i++)
        if (!strcmp(verbs[i]->name, word))
            return verbs[i];
    return NULL;
}

static void print_verb(struct hr_out *o, const struct hr_verb *v)
{
    char left[40];
    snprintf(left, sizeof left, "%s%s%s", v->name, *v->args ? " " : "", v->args);
    hr_outf(o, "  %-16s %s\n", left, v->summary);
}

/* "mp", "py": the first word of verbs of two; those are listed. */
static bool print_family(struct hr_out *o, const char *word)
{
    size_t n = strlen(word);
    bool any = false;
    for (size_t i = 1; i < NVERBS; i++) {
        if (strncmp(verbs[i]->name, word, n) || verbs[i]->name[n] != ' ')
            continue;
        if (!any)
            hr_outf(o, "usage: heapray %s WHAT CORE [OPTION...]\n\n", word);
        any = true;
        print_verb(o, verbs[i]);
    }
    return any;
}

static void print_options(struct hr_out *o)
{
    for (size_t i = 0; i < NOPTIONS; i++) {
        char left[64], letter[8] = "    ";
        const struct option_row *r = &options[i];
        if (r->letter > 32)
            snprintf(letter, sizeof letter, "-%c, ", r->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, r->name, r->arg ? " " : "", r->arg ? r->arg : "");
        hr_outf(o, "  %-28s %s\n", left, r->help);
    }
}

static void print_usage(struct hr_out *o)
{
    hr_outf(o, "heapray: where did the memory go? X-rays for the heap of a dead, distant or tiny program.\n\n"
               "usage: heapray CORE [OPTION...]            one screen: what filled the heap, what leaked\n"
               "       heapray VERB CORE [ARGUMENT...] [OPTION...]\n\nverbs:\n");
    for (size_t i = 1; i < NVERBS; i++)
        print_verb(o, verbs[i]);
}

static void print_help(struct hr_out *o, const struct hr_verb *v)
{
    if (v && v != verbs[0]) {
        hr_outf(o, "usage: heapray %s%s%s%s [OPTION...]\n\n", v->name, v->needs_image ? " CORE" : "", *v->args ? " " : "", v->args);
        hr_out_wrap(o, 0, v->help);
        hr_outf(o, "\nAll options: heapray --help. Manual: man heapray-%.*s\n", (int)strcspn(v->name, " "), v->name);
        return;
    }
    print_usage(o);
    hr_outf(o, "\noptions:\n");
    print_options(o);
    hr_outf(o, "\nexit status: 0 fine, 1 findings, 2 wrong usage or rules, 3 unreadable input, 4 weakened answers\n"
               "             (a cut core or missing roots always; anything with --strict), 5 out of memory.\n");
}

static bool add(struct hr_list *l, const char *v, const char *name)
{
    if (l->n == HR_CLI_MAX) {
        hr_cli_error(2, "too many %s (at most %d)", name, HR_CLI_MAX);
        return false;
    }
    l->v[l->n++] = v;
    return true;
}

/* Where an option's value goes, by name. */
struct place {
    const char *name;
    enum { STRING, FLAG, LIST } kind;
    size_t off;
};
#define AT(member_) offsetof(struct hr_cli, member_)
static const struct place places[] = {
    {"exe", STRING, AT(opt.exe)}, {"elf", STRING, AT(opt.exe)}, {"sysroot", STRING, AT(opt.sysroot)},
    {"arch", STRING, AT(opt.arch)}, {"endian", STRING, AT(opt.endian)}, {"only", STRING, AT(only)},
    {"fail-on", STRING, AT(fail_on)}, {"baseline", STRING, AT(baseline)}, {"write-baseline", STRING, AT(write_baseline)},
    {"svg", STRING, AT(svg)}, {"color", STRING, AT(color)}, {"state", STRING, AT(state)}, {"type", STRING, AT(type)},
    {"no-debug-files", FLAG, AT(opt.no_debug_files)}, {"no-host-files", FLAG, AT(opt.no_host_files)},
    {"no-types", FLAG, AT(opt.no_types)}, {"no-cache", FLAG, AT(opt.no_cache)}, {"json", FLAG, AT(json)},
    {"ndjson", FLAG, AT(ndjson)}, {"prune-baseline", FLAG, AT(prune_baseline)}, {"strict", FLAG, AT(strict)},
    {"all", FLAG, AT(all)}, {"retained", FLAG, AT(retained)}, {"show-contents", FLAG, AT(show_contents)},
    {"bytes", FLAG, AT(bytes)}, {"help", FLAG, AT(help)}, {"no-sandbox", FLAG, AT(no_sandbox)},
    {"by", STRING, AT(by)}, {"with", LIST, AT(with)}, {"debug-dir", LIST, AT(debug_dirs)}, {"assume", LIST, AT(assume)},
    {"rules", LIST, AT(rules)}, {"set", LIST, AT(set)}, {"regs", LIST, AT(regs)}, {"format", LIST, AT(formats)},
};

static bool take_number(struct hr_cli *c, const struct option_row *r, const char *arg)
{
    bool memory = !strcmp(r->name, "max-memory");
    char *end;
    errno = 0;
    uint64_t n = strtoull(arg, &end, 0);
    const char *unit = memory && *end ? strchr("kKmMgGtT", *end) : NULL;
    bool fits = !errno && arg[0] >= '0' && arg[0] <= '9';
    if (unit && fits) {
        fits = hr_mul(n, 1024ull << (unit - "kKmMgGtT") / 2 * 10, &n);
        end++;
    }
    if (!fits || *end || (memory && !n)) {
        hr_cli_error(2, "--%s takes a number%s, not '%s'", r->name, memory ? " of bytes" : "", arg);
        return false;
    }
    if (memory)
        c->opt.max_memory = n;
    else
        c->limit = n, c->all |= !n;
    return true;
}

static bool take(struct hr_cli *c, const struct option_row *r, const char *arg)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *at = (char *)c + places[i].off;
        if (strcmp(places[i].name, r->name))
            continue;
        if (places[i].kind == LIST)
            return add((struct hr_list *)at, arg, r->name);
        if (places[i].kind == FLAG)
            *(bool *)at = true;
        else
            memcpy(at, &arg, sizeof arg);
        return true;
    }
    return take_number(c, r, arg);
}

static const struct option_row *row_of(int k)
{
    for (size_t i = 0; i < NOPTIONS; i++)
        if (k == 256 + (int)i || (options[i].letter > 32 && k == options[i].letter))
            return &options[i];
    return NULL;
}

/* Options may stand anywhere; everything else goes to `words`. Returns -1 to go on, or an exit status. */
static int parse(struct hr_cli *c, int argc, char **argv, struct hr_list *words)
{
    struct option longs[NOPTIONS + 1] = {0};
    char shorts[64] = "-:"; /* '-': words come as option 1; ':': we say what is missing */
    size_t n = strlen(shorts);
    for (size_t i = 0; i < NOPTIONS; i++) {
        longs[i] = (struct option){options[i].name, options[i].arg ? required_argument : no_argument, NULL, 256 + (int)i};
        if (options[i].letter > 32) {
            shorts[n++] = (char)options[i].letter;
            if (options[i].arg)
                shorts[n++] = ':';
        }
    }
    optind = 0;
    opterr = 0;
    for (int k; (k = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        const struct option_row *r = row_of(k);
        if (k == 1) {
            if (!add(words, optarg, "words"))
                return HR_EXIT_USAGE;
        } else if (k == ':') {
            return hr_cli_error(HR_EXIT_USAGE, "%s needs an argument (see heapray --help)", argv[optind - 1]);
        } else if (!r) {
            return hr_cli_error(HR_EXIT_USAGE, "unknown or ambiguous option '%s' (see heapray --help)", argv[optind - 1]);
        } else if (!strcmp(r->name, "version")) {
            hr_outf(&c->out, "heapray %s\n", HEAPRAY_VERSION);
            return HR_EXIT_OK;
        } else if (!take(c, r, optarg)) {
            return HR_EXIT_USAGE;
        }
    }
    for (; optind < argc; optind++)
        if (!add(words, argv[optind], "words"))
            return HR_EXIT_USAGE;
    return -1;
}

static int choose_image(struct hr_cli *c, const struct hr_list *words, size_t *at)
{
    bool bare = c->verb == verbs[0];
    if (*at == words->n) {
        if (!bare)
            return hr_cli_error(HR_EXIT_USAGE, "%s needs a dump: heapray %s CORE%s%s", c->verb->name, c->verb->name,
                                *c->verb->args ? " " : "", c->verb->args);
        struct hr_out err;
        hr_out_init(&err, stderr, c->color);
        print_usage(&err);
        hr_outf(&err, "\nheapray --help lists the options.\n");
        return HR_EXIT_USAGE;
    }
    const char *image = c->opt.image = words->v[(*at)++];
    if (bare && access(image, F_OK) && !strchr(image, ' ')) {
        struct hr_out err;
        hr_out_init(&err, stderr, c->color);
        if (print_family(&err, image))
            return HR_EXIT_USAGE;
    }
    if (bare && access(image, F_OK) && !strchr(image, '/') && !strchr(image, '@')) {
        const char *near = nearest_verb(image);
        if (near)
            return hr_cli_error(HR_EXIT_USAGE, "there is no file and no verb '%s'; did you mean '%s'?", image, near);
        return hr_cli_error(HR_EXIT_INPUT, "there is no file '%s' (and no such verb; see heapray --help)", image);
    }
    return -1;
}

/* First words: a verb ("check", or of two words: "py gc") or an image. Returns -1 to go on. */
static int choose_verb(struct hr_cli *c, const struct hr_list *words)
{
    size_t at = 0;
    char two[64];
    c->verb = verbs[0];
    for (size_t n = 2; n > 0 && !at; n--) {
        if (words->n < n)
            continue;
        snprintf(two, sizeof two, n == 2 ? "%s %s" : "%s", words->v[0], n == 2 ? words->v[1] : "");
        const struct hr_verb *v = find_verb(two);
        if (v) {
            c->verb = v;
            at = n;
        }
    }
    if (c->help) {
        if (c->verb != verbs[0] || !words->n || !print_family(&c->out, words->v[0]))
            print_help(&c->out, c->verb);
        return HR_EXIT_OK;
    }
    if (c->verb->needs_image) {
        int code = choose_image(c, words, &at);
        if (code >= 0)
            return code;
    }
    for (; at < words->n; at++)
        if (!add(&c->args, words->v[at], "arguments"))
            return HR_EXIT_USAGE;
    if (c->args.n < c->verb->min_args)
        return hr_cli_error(HR_EXIT_USAGE, "usage: heapray %s%s %s", c->verb->name, c->verb->needs_image ? " CORE" : "", c->verb->args);
    if (c->args.n > c->verb->max_args)
        return hr_cli_error(HR_EXIT_USAGE, "'%s' is one argument too many (see heapray %s --help)", c->args.v[c->verb->max_args],
                            c->verb == verbs[0] ? "" : c->verb->name);
    return -1;
}

int hr_cli_exit_of(enum hr_status st)
{
    return st == HR_USAGE ? HR_EXIT_USAGE : st == HR_NOMEM ? HR_EXIT_INTERNAL : HR_EXIT_INPUT;
}

bool hr_cli_ok(struct hr_cli *c, enum hr_status st)
{
    if (st != HR_OK)
        hr_cli_error(0, "%s", c->s && c->s->error[0] ? c->s->error : hr_status_name(st));
    return st == HR_OK;
}

static int run(struct hr_cli *c)
{
    if (c->regs.n > 1 && c->verb->needs_image)
        return hr_cli_error(HR_EXIT_USAGE, "--regs is given %zu times: only diff takes one for each image", c->regs.n);
    if (c->verb->needs_image) {
        c->opt.sandbox = !c->no_sandbox;
        if (c->opt.sandbox)
            hr_sandbox_start();
        enum hr_status st = hr_session_open(&c->opt, c->verb->types, &c->s);
        if (!hr_cli_ok(c, st))
            return hr_cli_exit_of(st);
    }
    return c->verb->run(c);
}

static int prepare(struct hr_cli *c)
{
    if (c->color && strcmp(c->color, "auto") && strcmp(c->color, "always") && strcmp(c->color, "never"))
        return hr_cli_error(HR_EXIT_USAGE, "--color takes auto, always or never, not '%s'", c->color);
    hr_out_init(&c->out, stdout, c->color);
    c->out.bytes = c->bytes;
    c->opt.with = c->with.v, c->opt.nwith = c->with.n;
    c->opt.regs = c->regs.n ? c->regs.v[0] : NULL;
    c->opt.debug_dirs = c->debug_dirs.v, c->opt.ndebug_dirs = c->debug_dirs.n;
    c->opt.assume = c->assume.v, c->opt.nassume = c->assume.n;
    return -1;
}

int heapray_main(int argc, char **argv)
{
    struct hr_cli *c = hr_zalloc(1, sizeof *c);
    if (!c)
        return HR_EXIT_INTERNAL;
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN); /* a closed pipe ends the writing, not the process in the middle of something */
    struct hr_list words = {0};
    hr_out_init(&c->out, stdout, NULL);
    int code = parse(c, argc, argv, &words);
    if (code < 0)
        code = prepare(c);
    if (code < 0)
        code = choose_verb(c, &words);
    if (code < 0)
        code = run(c);
    fflush(stdout);
    hr_session_close(c->s);
    hr_free(c->head_modules);
    hr_free(c);
    return code;
}
