/* Names of C++ types as the Itanium ABI mangles them (after _ZTV, _ZTI, _ZTS; type_info::name).
 *
 * Everything is bounded: text grows in one arena of fixed size, substitutions are slices of it (so no expansion can
 * explode), and the grammar's nesting is followed at most DEPTH deep, counted in each production. Expressions in template
 * arguments are not read. Grammar: itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling */
#include <stdio.h>
#include <string.h>

#include "analyzer/types/types.h"

enum { ARENA = 32 << 10, SUBS = 256, TARGS = 32, DEPTH = 48 };

struct slice {
    uint16_t off, len;
    uint16_t hole;   /* where a declarator goes, from the start; len: at the end */
    bool wrap;       /* needs parentheses around the declarator: functions and arrays */
};

struct dm {
    const char *p, *end;
    char *out;
    size_t n;
    struct slice sub[SUBS], targ[TARGS];
    unsigned nsub, ntarg, depth;
    bool bad;
    bool ends_in_args, is_ctor; /* of the last name read */
    bool is_const;              /* of the last nested name: a const member function */
};

static struct slice type(struct dm *d);
static struct slice name(struct dm *d);
static struct slice template_args(struct dm *d);

static char peek(const struct dm *d) { return d->p < d->end ? *d->p : 0; }
static char peek2(const struct dm *d) { return d->p + 1 < d->end ? d->p[1] : 0; }
static bool take(struct dm *d, char c)
{
    if (peek(d) != c || d->bad)
        return false;
    d->p++;
    return true;
}
static struct slice fail(struct dm *d)
{
    d->bad = true;
    return (struct slice){0};
}

static struct slice text(struct dm *d, const char *s, size_t n)
{
    if (n > ARENA - d->n)
        return fail(d);
    memcpy(d->out + d->n, s, n);
    struct slice r = {(uint16_t)d->n, (uint16_t)n, (uint16_t)n, false};
    d->n += n;
    return r;
}
static struct slice textz(struct dm *d, const char *s) { return text(d, s, strlen(s)); }

/* A new slice of pieces one after the other. */
static struct slice join(struct dm *d, struct slice a, const char *mid, struct slice b)
{
    size_t m = strlen(mid), n = a.len + m + b.len;
    if (d->bad || n > ARENA - d->n)
        return fail(d);
    char *o = d->out + d->n;
    memcpy(o, d->out + a.off, a.len);
    memcpy(o + a.len, mid, m);
    memcpy(o + a.len + m, d->out + b.off, b.len);
    struct slice r = {(uint16_t)d->n, (uint16_t)n, (uint16_t)n, false};
    d->n += n;
    return r;
}
static struct slice tail(struct dm *d, struct slice a, const char *z) { return join(d, a, z, (struct slice){0}); }

/* a with the declarator z ("*", " const") put where it belongs. */
static struct slice declare(struct dm *d, struct slice a, const char *z)
{
    struct slice head = {a.off, a.hole, 0, false}, rest = {(uint16_t)(a.off + a.hole), (uint16_t)(a.len - a.hole), 0, false};
    struct slice l = tail(d, a.wrap ? tail(d, head, "(") : head, z);
    bool array = a.wrap && rest.len && d->out[rest.off] == '[';
    struct slice r = join(d, l, a.wrap ? array ? ") " : ")" : "", rest);
    r.hole = l.len;
    return r;
}

/* cv-qualifiers: on a function they are those of a member function and stand at its end. */
static struct slice qualify(struct dm *d, struct slice a, const char *z)
{
    if (!a.wrap)
        return declare(d, a, z);
    struct slice r = tail(d, a, z);
    r.hole = a.hole;
    r.wrap = true;
    return r;
}

static void remember(struct dm *d, struct slice s)
{
    if (d->nsub < SUBS)
        d->sub[d->nsub++] = s;
    else
        d->bad = true;
}

static unsigned long number(struct dm *d)
{
    unsigned long v = 0;
    if (peek(d) < '0' || peek(d) > '9')
        d->bad = true;
    while (peek(d) >= '0' && peek(d) <= '9' && v < 1000000)
        v = v * 10 + (unsigned long)(*d->p++ - '0');
    return v;
}

/* base-36 <seq-id>_ : "_" is 0, "0_" is 1 … */
static unsigned long seq_id(struct dm *d)
{
    unsigned long v = 0;
    if (take(d, '_'))
        return 0;
    while (!d->bad && peek(d) != '_') {
        char c = peek(d);
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A' + 10) : 99;
        if (digit == 99 || v > 100000)
            d->bad = true;
        v = v * 36 + digit;
        d->p++;
    }
    (void)take(d, '_');
    return v + 1;
}

static struct slice source_name(struct dm *d)
{
    unsigned long n = number(d);
    if (d->bad || !n || n > (unsigned long)(d->end - d->p))
        return fail(d);
    const char *s = d->p;
    d->p += n;
    if (n >= 10 && !memcmp(s, "_GLOBAL_", 8) && s[9] == 'N')
        return textz(d, "(anonymous namespace)");
    return text(d, s, n);
}

static struct slice builtin(struct dm *d, char c)
{
    static const struct {
        char c;
        const char *name;
    } t[] = {{'v', "void"}, {'w', "wchar_t"}, {'b', "bool"}, {'c', "char"}, {'a', "signed char"}, {'h', "unsigned char"},
             {'s', "short"}, {'t', "unsigned short"}, {'i', "int"}, {'j', "unsigned int"}, {'l', "long"},
             {'m', "unsigned long"}, {'x', "long long"}, {'y', "unsigned long long"}, {'n', "__int128"},
             {'o', "unsigned __int128"}, {'f', "float"}, {'d', "double"}, {'e', "long double"}, {'g', "__float128"},
             {'z', "..."}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (t[i].c == c)
            return textz(d, t[i].name);
    return fail(d);
}

/* Types up to E (or the end), "a, b"; "()" of nothing is written v. */
static struct slice type_list(struct dm *d)
{
    struct slice all = {0};
    bool first = true;
    while (!d->bad && d->p < d->end && peek(d) != 'E') {
        struct slice t = type(d);
        if (first && t.len == 4 && !memcmp(d->out + t.off, "void", 4) && (d->p >= d->end || peek(d) == 'E'))
            break;
        all = first ? t : join(d, all, ", ", t);
        first = false;
    }
    return all;
}

static struct slice counted(struct dm *d, const char *what, struct slice args)
{
    char num[40];
    unsigned long n = peek(d) == '_' ? 0 : number(d) + 1;
    if (!take(d, '_'))
        return fail(d);
    snprintf(num, sizeof num, "#%lu}", n + 1);
    struct slice s = textz(d, what);
    if (args.off || args.len || *what == '{')
        s = strchr(what, '(') ? tail(d, join(d, s, "", args), ")") : s;
    return tail(d, s, num);
}

static struct slice operator_name(struct dm *d)
{
    static const char ops[][3] = {"nw", "na", "dl", "da", "ps", "ng", "ad", "de", "co", "pl", "mi", "ml", "dv", "rm", "an",
                                  "or", "eo", "aS", "pL", "mI", "mL", "dV", "rM", "aN", "oR", "eO", "ls", "rs", "lS", "rS",
                                  "eq", "ne", "lt", "gt", "le", "ge", "nt", "aa", "oo", "pp", "mm", "cm", "pm", "pt", "cl",
                                  "ix", "ss"};
    static const char *const text_of[] = {" new", " new[]", " delete", " delete[]", "+", "-", "&", "*", "~", "+", "-", "*",
                                          "/", "%", "&", "|", "^", "=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<",
                                          ">>", "<<=", ">>=", "==", "!=", "<", ">", "<=", ">=", "!", "&&", "||", "++", "--",
                                          ",", "->*", "->", "()", "[]", "<=>"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (peek(d) == ops[i][0] && peek2(d) == ops[i][1]) {
            d->p += 2;
            return tail(d, textz(d, "operator"), text_of[i]);
        }
    return fail(d);
}

/* `prev`: the class a constructor is named after. */
static struct slice unqualified(struct dm *d, struct slice prev)
{
    struct slice s;
    char c = peek(d);
    d->is_ctor = false;
    if (c == 'L') {
        d->p++;
        c = peek(d);
    }
    if (c >= '0' && c <= '9') {
        s = source_name(d);
    } else if (c == 'U' && peek2(d) == 'l') {
        d->p += 2;
        struct slice args = type_list(d);
        s = take(d, 'E') ? counted(d, "{lambda(", args) : fail(d);
    } else if (c == 'U' && peek2(d) == 't') {
        d->p += 2;
        s = counted(d, "{unnamed type", (struct slice){0});
    } else if ((c == 'C' || c == 'D') && peek2(d) >= '0' && peek2(d) <= '9') {
        d->p += 2;
        d->is_ctor = true;
        const char *z = d->out + prev.off;
        size_t from = 0, depth = 0;
        for (size_t i = 0; i + 1 < prev.len; i++) {
            depth += (z[i] == '<') - (size_t)(z[i] == '>');
            from = !depth && z[i] == ':' && z[i + 1] == ':' ? i + 2 : from;
        }
        size_t to = from;
        while (to < prev.len && z[to] != '<')
            to++;
        struct slice own = {(uint16_t)(prev.off + from), (uint16_t)(to - from), 0, false};
        s = join(d, textz(d, c == 'D' ? "~" : ""), "", own);
    } else {
        s = operator_name(d);
    }
    while (take(d, 'B')) { /* ABI tag */
        s = tail(d, join(d, s, "[abi:", source_name(d)), "]");
    }
    return s;
}

/* S…: an earlier component or a standard one. */
static struct slice substitution(struct dm *d)
{
    static const struct {
        char c;
        const char *name;
    } std[] = {{'a', "std::allocator"}, {'b', "std::basic_string"},
               {'s', "std::basic_string<char, std::char_traits<char>, std::allocator<char> >"},
               {'i', "std::basic_istream<char, std::char_traits<char> >"},
               {'o', "std::basic_ostream<char, std::char_traits<char> >"},
               {'d', "std::basic_iostream<char, std::char_traits<char> >"}};
    d->p++;
    for (size_t i = 0; i < sizeof std / sizeof *std; i++)
        if (peek(d) == std[i].c) {
            d->p++;
            return textz(d, std[i].name);
        }
    unsigned long i = seq_id(d);
    return d->bad || i >= d->nsub ? fail(d) : d->sub[i];
}

static struct slice template_param(struct dm *d)
{
    d->p++;
    unsigned long i = seq_id(d);
    return d->bad || i >= d->ntarg ? fail(d) : d->targ[i];
}

static struct slice nested(struct dm *d)
{
    struct slice cur = {0};
    bool any = false;
    bool is_const = false;
    d->p++;
    while (peek(d) == 'r' || peek(d) == 'V' || peek(d) == 'K' || peek(d) == 'R' || peek(d) == 'O')
        is_const = *d->p++ == 'K' || is_const; /* of member functions */
    while (!d->bad && !take(d, 'E')) {
        bool fresh = true;
        d->ends_in_args = false;
        if (peek(d) == 'S' && !any) {
            if (peek2(d) == 't') {
                d->p += 2;
                cur = textz(d, "std");
            } else {
                cur = substitution(d);
            }
            fresh = false;
        } else if (peek(d) == 'T' && !any) {
            cur = template_param(d);
        } else if (peek(d) == 'I' && any) {
            bool ctor = d->is_ctor;
            cur = join(d, cur, "", template_args(d));
            d->ends_in_args = true;
            d->is_ctor = ctor;
        } else {
            struct slice part = unqualified(d, cur);
            cur = any ? join(d, cur, "::", part) : part;
        }
        any = true;
        if (fresh && peek(d) != 'E')
            remember(d, cur);
    }
    d->is_const = is_const;
    return any ? cur : fail(d);
}

/* A function with its parameters, as the place of a local class. Templates are mangled with their return type. */
static struct slice encoding(struct dm *d)
{
    struct slice f = name(d);
    bool is_const = d->is_const;
    if (d->ends_in_args && !d->is_ctor && peek(d) != 'E')
        (void)type(d); /* the return type is not part of the place */
    if (peek(d) == 'E' || d->p >= d->end)
        return f;
    struct slice args = type_list(d);
    return tail(d, join(d, f, "(", args), is_const ? ") const" : ")");
}

static struct slice local(struct dm *d)
{
    d->p++;
    struct slice f = encoding(d);
    if (!take(d, 'E'))
        return fail(d);
    if (take(d, 's')) /* string literal */
        return fail(d);
    if (take(d, 'd')) { /* default argument */
        if (peek(d) != '_')
            (void)number(d);
        if (!take(d, '_'))
            return fail(d);
    }
    d->ends_in_args = false;
    struct slice r = join(d, f, "::", name(d));
    if (take(d, '_')) { /* discriminator */
        if (take(d, '_')) {
            (void)number(d);
            (void)take(d, '_');
        } else {
            (void)number(d);
        }
    }
    return r;
}

static struct slice name_inner(struct dm *d)
{
    struct slice s;
    d->ends_in_args = d->is_ctor = d->is_const = false;
    if (peek(d) == 'N')
        return nested(d);
    if (peek(d) == 'Z')
        return local(d);
    if (peek(d) == 'S' && peek2(d) != 't') {
        s = substitution(d);
        if (peek(d) != 'I')
            return s;
    } else {
        bool in_std = peek(d) == 'S';
        d->p += in_std ? 2 : 0;
        s = unqualified(d, (struct slice){0});
        s = in_std ? join(d, textz(d, "std::"), "", s) : s;
        if (peek(d) == 'I')
            remember(d, s);
    }
    if (peek(d) == 'I') {
        s = join(d, s, "", template_args(d));
        d->ends_in_args = true;
        d->is_ctor = false;
    }
    return s;
}

static struct slice name(struct dm *d)
{
    if (d->depth++ >= DEPTH)
        d->bad = true;
    struct slice s = d->bad ? fail(d) : name_inner(d);
    d->depth--;
    return s;
}

static struct slice literal(struct dm *d)
{
    d->p++;
    char c = peek(d);
    if (c == '_') /* address of a function or object: its encoding, as c++filt shows it, is of no use as a name */
        return fail(d);
    struct slice t = type(d);
    bool minus = take(d, 'n');
    const char *s = d->p;
    while (peek(d) && peek(d) != 'E')
        d->p++;
    size_t n = (size_t)(d->p - s);
    if (!take(d, 'E') || d->bad || n > 64)
        return fail(d);
    if (c == 'b' && n == 1 && (*s == '0' || *s == '1'))
        return textz(d, *s == '1' ? "true" : "false");
    static const char kinds[] = "ijlmxy";
    static const char *const suffix[] = {"", "u", "l", "ul", "ll", "ull"};
    const char *k = strchr(kinds, c);
    struct slice v = join(d, textz(d, minus ? "-" : ""), "", text(d, s, n));
    if (k && *k)
        return tail(d, v, suffix[k - kinds]);
    return join(d, tail(d, join(d, textz(d, "("), "", t), ")"), "", v);
}

/* Arguments up to E into *all; packs are flattened. */
static void arguments(struct dm *d, struct slice *all, bool *first, struct slice *list, unsigned *n)
{
    unsigned packs = 0;
    while (!d->bad) {
        if (take(d, 'E')) {
            if (!packs--)
                return;
            continue;
        }
        if (take(d, 'J')) {
            packs++;
            continue;
        }
        struct slice a = peek(d) == 'L' ? literal(d) : peek(d) == 'X' || !peek(d) ? fail(d) : type(d);
        *all = *first ? a : join(d, *all, ", ", a);
        *first = false;
        if (*n < TARGS)
            list[(*n)++] = a;
    }
}

static struct slice template_args(struct dm *d)
{
    struct slice all = {0}, list[TARGS];
    unsigned n = 0;
    bool first = true;
    if (d->depth++ >= DEPTH)
        d->bad = true;
    d->p++;
    arguments(d, &all, &first, list, &n);
    d->depth--;
    if (d->bad)
        return fail(d);
    memcpy(d->targ, list, n * sizeof *list);
    d->ntarg = n;
    bool angle = all.len && d->out[all.off + all.len - 1] == '>';
    return tail(d, join(d, textz(d, "<"), "", all), angle ? " >" : ">");
}

static struct slice function(struct dm *d)
{
    d->p++;
    (void)take(d, 'Y');
    struct slice ret = type(d), args = type_list(d);
    if (!take(d, 'E'))
        return fail(d);
    struct slice head = tail(d, ret, " ");
    struct slice r = tail(d, join(d, head, "(", args), ")");
    r.hole = head.len;
    r.wrap = true;
    return r;
}

static struct slice array(struct dm *d)
{
    char num[32];
    d->p++;
    unsigned long n = peek(d) == '_' ? 0 : number(d);
    if (!take(d, '_'))
        return fail(d);
    struct slice of = type(d);
    snprintf(num, sizeof num, n ? "[%lu]" : "[]", n);
    if (of.wrap && of.hole < of.len) { /* array of arrays: the outer bound comes first */
        struct slice head = {of.off, of.hole, 0, false};
        struct slice rest = {(uint16_t)(of.off + of.hole), (uint16_t)(of.len - of.hole), 0, false};
        struct slice r = join(d, head, num, rest);
        r.hole = of.hole;
        r.wrap = true;
        return r;
    }
    struct slice r = tail(d, tail(d, of, " "), num);
    r.hole = (uint16_t)(of.len + 1);
    r.wrap = true;
    return r;
}

static struct slice member_pointer(struct dm *d)
{
    d->p++;
    struct slice cls = type(d), to = type(d);
    char z[512];
    if (d->bad || cls.len + 8u > sizeof z)
        return fail(d);
    memcpy(z, d->out + cls.off, cls.len);
    memcpy(z + cls.len, "::*", 4);
    if (to.wrap)
        return declare(d, to, z);
    return join(d, to, " ", textz(d, z));
}

static struct slice dee(struct dm *d)
{
    static const struct {
        char c;
        const char *name;
    } t[] = {{'n', "decltype(nullptr)"}, {'u', "char8_t"}, {'s', "char16_t"}, {'i', "char32_t"}, {'d', "decimal64"},
             {'e', "decimal128"}, {'f', "decimal32"}, {'h', "half"}, {'a', "auto"}};
    char c = peek2(d);
    d->p += 2;
    if (c == 'p')
        return type(d);
    if (c == 'o' && peek(d) == 'F') {
        struct slice f = function(d);
        struct slice r = tail(d, f, " noexcept");
        r.hole = f.hole;
        r.wrap = true;
        return r;
    }
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        if (t[i].c == c)
            return textz(d, t[i].name);
    return fail(d);
}

static struct slice qualified(struct dm *d)
{
    bool r = take(d, 'r'), v = take(d, 'V'), k = take(d, 'K');
    struct slice s = type(d);
    if (k)
        s = qualify(d, s, " const");
    if (v)
        s = qualify(d, s, " volatile");
    if (r)
        s = qualify(d, s, " restrict");
    return s;
}

static struct slice reference(struct dm *d, const char *z)
{
    d->p++;
    struct slice s = type(d);
    return d->bad ? fail(d) : declare(d, s, z);
}

static struct slice type_inner(struct dm *d)
{
    struct slice s;
    char c = peek(d);
    switch (c) {
    case 'r': case 'V': case 'K': s = qualified(d); break;
    case 'P': s = reference(d, "*"); break;
    case 'R': s = reference(d, "&"); break;
    case 'O': s = reference(d, "&&"); break;
    case 'F': s = function(d); break;
    case 'A': s = array(d); break;
    case 'M': s = member_pointer(d); break;
    case 'T':
        s = template_param(d);
        if (peek(d) == 'I') {
            remember(d, s);
            s = join(d, s, "", template_args(d));
        }
        break;
    case 'D':
        s = dee(d);
        if (peek2(d) != 'o' && d->p[-1] != 'E')
            return s; /* builtin: not remembered */
        break;
    case 'u': d->p++; s = source_name(d); break;
    case 'S':
        if (peek2(d) == 't') {
            s = name(d);
            break;
        }
        s = substitution(d);
        if (peek(d) != 'I')
            return s;
        s = join(d, s, "", template_args(d));
        break;
    case 'N': case 'Z': case 'U': case 'L': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7':
    case '8': case '9': s = name(d); break;
    default:
        d->p++;
        return builtin(d, c);
    }
    remember(d, s);
    return s;
}

static struct slice type(struct dm *d)
{
    if (d->depth++ >= DEPTH || d->p >= d->end)
        d->bad = true;
    struct slice s = d->bad ? fail(d) : type_inner(d);
    d->depth--;
    return d->bad ? (struct slice){0} : s;
}

bool hr_demangle_type(const char *mangled, char *buf, size_t cap)
{
    size_t n = strnlen(mangled, HR_MAX_STRING);
    HR_AUTOFREE char *arena = hr_alloc(ARENA);
    if (!arena || n >= HR_MAX_STRING || !cap)
        return false;
    struct dm d = {.p = mangled, .end = mangled + n, .out = arena};
    struct slice s = type(&d);
    if (d.bad || d.p != d.end || !s.len || s.len >= cap)
        return false;
    memcpy(buf, arena + s.off, s.len);
    buf[s.len] = 0;
    return true;
}
