/* Lengths and short values of objects. Text of the program is shown only when asked for. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/base/esc.h"
#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_TEXT = 200, MAX_DIGITS = 64, MAX_ITEMS = 4 };

/* mp_int_t number i of an object that has nothing else. */
static int64_t number(const struct hr_mp *mp, uint64_t o, unsigned i)
{
    uint64_t w = hr_mp_obj(mp, o + hr_mp_obj_at(mp, i));
    return mp->ow == 8 ? (int64_t)w : (int32_t)(uint32_t)w;
}

/* start, stop, step as plain numbers. */
static uint64_t range_len(const struct hr_mp *mp, uint64_t o)
{
    int64_t start = number(mp, o, 0), stop = number(mp, o, 1), step = number(mp, o, 2);
    if (!step)
        return UINT64_MAX; /* cannot be */
    if (step > 0 ? stop <= start : stop >= start)
        return 0;
    uint64_t way = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    return (way - 1) / (step > 0 ? (uint64_t)step : 0 - (uint64_t)step) + 1;
}

/* Characters: bytes that continue none. Text of a build without Unicode, or not captured, counts by bytes. */
static uint64_t text_len(const struct hr_mp *mp, uint64_t o, uint32_t type)
{
    uint64_t at = o + hr_mp_str_len_at(mp), len = hr_mp_word(mp, at), n = 0;
    if (!mp->unicode || strcmp(hr_strs_get(mp->img->strs, mp->types.v[type].name), "str"))
        return len;
    struct hr_span s = hr_image_peek(mp->img, hr_mp_field(mp, at, 1), len);
    for (size_t i = 0; i < s.n; i++)
        n += (s.p[i] & 0xc0) != 0x80;
    return s.n == len ? n : len;
}

static uint64_t deque_len(const struct hr_mp *mp, uint64_t o)
{
    uint64_t alloc = hr_mp_field(mp, o, 1), get = hr_mp_field(mp, o, 2), put = hr_mp_field(mp, o, 3);
    return get >= alloc || put >= alloc ? UINT64_MAX : put >= get ? put - get : put + alloc - get;
}

/* Of what a class of the program is built around, unless the class has a way of its own. */
static uint64_t inner_len(const struct hr_mp *mp, uint64_t o, uint32_t type)
{
    struct hr_mp_value v = hr_mp_decode(mp, hr_mp_inner(mp, o, type));
    uint32_t t = v.what == HR_MPW_PTR ? hr_mp_type_of(mp, v.u) : HR_NONE;
    char text[512];
    if (hr_mp_has_method(mp, mp->types.v[type].addr, "__len__"))
        return UINT64_MAX;
    if (v.what == HR_MPW_QSTR && hr_mp_qstr(mp, v.u, text, sizeof text))
        return strlen(text);
    return t == HR_NONE || mp->types.v[t].in_heap ? UINT64_MAX : hr_mp_len(mp, v.u, t);
}

uint64_t hr_mp_len(const struct hr_mp *mp, uint64_t o, uint32_t type)
{
    uint64_t viewed = hr_mp_obj(mp, o + hr_mp_obj_at(mp, 0));
    switch (mp->types.v[type].kind) {
    case HR_MPK_INSTANCE: return inner_len(mp, o, type);
    case HR_MPK_DEQUE: return deque_len(mp, o);
    case HR_MPK_VIEW: /* since 1.20 */
        return hr_mp_slot(mp, mp->types.v[type].addr, HR_MPS_UNARY) && hr_mp_is_dict(mp, viewed) ? hr_mp_map_used(mp, viewed + mp->word) : UINT64_MAX;
    case HR_MPK_TUPLE: return hr_mp_field(mp, o, 1);
    case HR_MPK_RANGE: return range_len(mp, o);
    case HR_MPK_LIST:
    case HR_MPK_SET:
    case HR_MPK_ARRAY:
    case HR_MPK_MEMORYVIEW: return hr_mp_field(mp, o, 2);
    case HR_MPK_TIMEQ: return hr_mp_field(mp, o, 2);
    case HR_MPK_STR: return text_len(mp, o, type);
    case HR_MPK_DICT: return hr_mp_map_used(mp, o + mp->word);
    default: return UINT64_MAX;
    }
}

uint64_t hr_mp_allocated(const struct hr_mp *mp, uint64_t o, uint32_t type)
{
    switch (mp->types.v[type].kind) {
    case HR_MPK_LIST:
    case HR_MPK_SET: return hr_mp_field(mp, o, 1);
    case HR_MPK_DEQUE: return hr_mp_field(mp, o, 1) - hr_min(hr_mp_field(mp, o, 1), 1); /* one place stays empty */
    case HR_MPK_DICT: return hr_mp_field(mp, o, 2);
    case HR_MPK_ARRAY: return hr_mp_field(mp, o, 2) + hr_mp_bitfield(mp, hr_mp_field(mp, o, 1), 8, 8 * mp->word - 8);
    default: return UINT64_MAX;
    }
}

static void put(char *buf, size_t cap, const char *fmt, ...) HR_PRINTF(3, 4);
static void put(char *buf, size_t cap, const char *fmt, ...)
{
    size_t n = strlen(buf);
    va_list ap;
    va_start(ap, fmt);
    if (n < cap)
        vsnprintf(buf + n, cap - n, fmt, ap);
    va_end(ap);
}

/* Decimal digits of a number kept as digits of digit_bytes, lowest first. */
static void put_big(const struct hr_mp *mp, uint64_t o, char *buf, size_t cap)
{
    unsigned each = mp->digit_bytes;
    uint64_t n = hr_mp_field(mp, o, 2), at = hr_mp_field(mp, o, 3), one = 0;
    uint32_t d[MAX_DIGITS];
    char text[MAX_DIGITS * 10 + 2];
    size_t to = sizeof text - 1;
    text[to] = 0;
    if (!each) {
        if (hr_image_uint(mp->img, o + hr_mp_align(mp, mp->word, 8), 8, &one))
            put(buf, cap, "%lld", (long long)one);
        return;
    }
    if (n > MAX_DIGITS) {
        put(buf, cap, "about %llu bits", (unsigned long long)n * each * 8);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t v = 0;
        if (!hr_image_uint(mp->img, at + i * each, each, &v)) {
            put(buf, cap, "digits not captured");
            return;
        }
        d[i] = (uint32_t)v;
    }
    while (n) { /* divide by ten; each round makes a digit, the top digit shrinks */
        uint64_t rest = 0;
        for (uint64_t i = n; i-- > 0;) {
            uint64_t v = rest << (8 * each) | d[i];
            d[i] = (uint32_t)(v / 10);
            rest = v % 10;
        }
        text[--to] = (char)('0' + rest);
        while (n && !d[n - 1])
            n--;
    }
    put(buf, cap, "%s%s", hr_mp_bitfield(mp, hr_mp_field(mp, o, 1), 0, 1) ? "-" : "", text[to] ? text + to : "0");
}

static void put_float(const struct hr_mp *mp, uint64_t o, char *buf, size_t cap)
{
    char text[40];
    double d;
    if (!hr_mp_float_at(mp, o + mp->float_at, &d))
        return;
    hr_mp_float_text(d, mp->float_bytes == 4, text, sizeof text);
    put(buf, cap, "%s", text);
}

static void put_complex(const struct hr_mp *mp, uint64_t o, char *buf, size_t cap)
{
    char re[40], im[40];
    double r, i;
    if (!hr_mp_float_at(mp, o + mp->float_at, &r) || !hr_mp_float_at(mp, o + mp->float_at + mp->float_bytes, &i))
        return;
    hr_mp_float_text(r, mp->float_bytes == 4, re, sizeof re);
    hr_mp_float_text(i, mp->float_bytes == 4, im, sizeof im);
    put(buf, cap, "%s%s%sj", re, *im == '-' ? "" : "+", im);
}

/* mp_obj_bool_t: one byte behind the type. */
static const char *truth_of(const struct hr_mp *mp, uint64_t o)
{
    uint64_t v = 0;
    return hr_image_uint(mp->img, o + mp->word, 1, &v) ? v ? "True" : "False" : "?";
}

/* Behind the pending exception (1.12 and later) the frame, with the function first. */
static uint64_t generator_function(const struct hr_mp *mp, uint64_t o)
{
    return hr_mp_at_least(mp, 1, 12) ? hr_mp_word(mp, o + hr_mp_obj_at(mp, 1)) : hr_mp_field(mp, o, 3);
}

static void put_text(const struct hr_mp *mp, uint64_t at, uint64_t n, bool contents, char *buf, size_t cap)
{
    char text[MAX_TEXT];
    if (!contents) {
        put(buf, cap, "%llu characters", (unsigned long long)n);
        return;
    }
    size_t got = hr_image_read(mp->img, at, text, (size_t)hr_min(n, sizeof text));
    put(buf, cap, "'");
    for (size_t i = 0, run; i < got; i += run + 1) { /* a zero is no end: its picture, U+2400 */
        run = strnlen(text + i, got - i);
        put(buf, cap, "%.*s%s", (int)run, text + i, i + run < got ? "\xe2\x90\x80" : "");
    }
    put(buf, cap, "'%s", got < n ? "..." : "");
}

char *hr_mp_value_text(const struct hr_mp *mp, uint64_t word, bool contents, char *buf, size_t cap)
{
    struct hr_mp_value v = hr_mp_decode(mp, word);
    char text[128];
    *buf = 0;
    switch (v.what) {
    case HR_MPW_NULL: put(buf, cap, "null"); break;
    case HR_MPW_INT: put(buf, cap, "%lld", (long long)v.i); break;
    case HR_MPW_QSTR:
        if (contents && hr_mp_qstr(mp, v.u, text, sizeof text))
            put(buf, cap, "'%s'", text);
        else
            put(buf, cap, "str");
        break;
    case HR_MPW_IMM: put(buf, cap, "%s", v.u == 0 ? "None" : v.u == 1 ? "False" : v.u == 3 ? "True" : "constant"); break;
    case HR_MPW_FLOAT:
        hr_mp_float_text(v.f, mp->repr != HR_MP_D, text, sizeof text);
        put(buf, cap, "%s", text);
        break;
    case HR_MPW_UNKNOWN: put(buf, cap, "word 0x%llx", (unsigned long long)word); break;
    default: {
        uint32_t t = hr_mp_type_of(mp, v.u);
        unsigned kind = t == HR_NONE ? HR_MPK_OBJECT : mp->types.v[t].kind;
        if (kind == HR_MPK_NONE || kind == HR_MPK_BOOL) /* objects in ROM where words cannot hold them */
            put(buf, cap, "%s", kind == HR_MPK_NONE ? "None" : truth_of(mp, v.u));
        else
            put(buf, cap, "<%s 0x%llx>", t == HR_NONE ? "?" : hr_strs_get(mp->img->strs, mp->types.v[t].full), (unsigned long long)v.u);
    }
    }
    return buf;
}

static void put_slice(const struct hr_mp *mp, uint64_t o, bool contents, char *buf, size_t cap)
{
    char one[160];
    for (unsigned i = 0; i < 3; i++)
        put(buf, cap, "%s%s", i ? ":" : "", hr_mp_value_text(mp, hr_mp_obj(mp, o + hr_mp_obj_at(mp, i)), contents, one, sizeof one));
}

static void put_items(const struct hr_mp *mp, uint64_t at, uint64_t n, bool contents, char *buf, size_t cap)
{
    char one[160];
    put(buf, cap, "%llu item%s", (unsigned long long)n, n == 1 ? "" : "s");
    for (uint64_t i = 0; i < n && i < MAX_ITEMS; i++)
        put(buf, cap, "%s%s", i ? ", " : ": ", hr_mp_value_text(mp, hr_mp_obj(mp, at + i * mp->ow), contents, one, sizeof one));
    if (n > MAX_ITEMS)
        put(buf, cap, ", ...");
}

static void put_map(const struct hr_mp *mp, uint64_t map, bool contents, char *buf, size_t cap)
{
    char key[160], value[160];
    uint64_t n = hr_mp_field(mp, map, 1), table = hr_mp_field(mp, map, 2), used = hr_mp_map_used(mp, map);
    put(buf, cap, "%llu entr%s", (unsigned long long)used, used == 1 ? "y" : "ies");
    for (uint64_t i = 0, shown = 0; i < n && i < 64 && shown < MAX_ITEMS; i++) {
        uint64_t k = hr_mp_obj(mp, table + 2 * i * mp->ow);
        if (!k || (k & ~7ull) == 0) /* empty; deleted is a small pointer that is none */
            continue;
        hr_mp_value_text(mp, k, contents, key, sizeof key);
        hr_mp_value_text(mp, hr_mp_obj(mp, table + (2 * i + 1) * mp->ow), contents, value, sizeof value);
        put(buf, cap, "%s%s: %s", shown++ ? ", " : ": ", key, value);
    }
}

char *hr_mp_repr_text(const struct hr_mp *mp, uint64_t o, uint32_t type, bool contents, char *buf, size_t cap)
{
    char name[160];
    unsigned kind = mp->types.v[type].kind;
    *buf = 0;
    switch (kind) {
    case HR_MPK_TUPLE: put_items(mp, o + 2u * mp->word, hr_mp_field(mp, o, 1), contents, buf, cap); break;
    case HR_MPK_LIST: put_items(mp, hr_mp_field(mp, o, 3), hr_mp_field(mp, o, 2), contents, buf, cap); break;
    case HR_MPK_DEQUE:
        if (deque_len(mp, o) != UINT64_MAX)
            put(buf, cap, "%llu items", (unsigned long long)deque_len(mp, o));
        break;
    case HR_MPK_VIEW:
    case HR_MPK_BOUND: put(buf, cap, "%s", hr_mp_value_text(mp, hr_mp_obj(mp, o + hr_mp_obj_at(mp, kind == HR_MPK_BOUND)), contents, name, sizeof name)); break;
    case HR_MPK_INSTANCE:
        put_map(mp, o + mp->word, contents, buf, cap);
        if (hr_mp_inner(mp, o, type))
            put(buf, cap, "; around %s", hr_mp_value_text(mp, hr_mp_inner(mp, o, type), contents, name, sizeof name));
        break;
    case HR_MPK_DICT: put_map(mp, o + mp->word, contents, buf, cap); break;
    case HR_MPK_SET: put(buf, cap, "%llu members", (unsigned long long)hr_mp_field(mp, o, 2)); break;
    case HR_MPK_STR:
        if (contents && !strcmp(hr_strs_get(mp->img->strs, mp->types.v[type].name), "bytes"))
            put(buf, cap, "b");
        put_text(mp, hr_mp_word(mp, o + hr_mp_str_len_at(mp) + mp->word), hr_mp_word(mp, o + hr_mp_str_len_at(mp)), contents, buf, cap);
        break;
    case HR_MPK_RANGE:
        put(buf, cap, "%lld to %lld by %lld", (long long)number(mp, o, 0), (long long)number(mp, o, 1), (long long)number(mp, o, 2));
        break;
    case HR_MPK_REF:
        if (mp->m.area[0].weakrefs && hr_mp_weak_target(mp, o))
            put(buf, cap, "to %s", hr_mp_value_text(mp, hr_mp_weak_target(mp, o), contents, name, sizeof name));
        else if (mp->m.area[0].weakrefs)
            put(buf, cap, "dead");
        break;
    case HR_MPK_SLICE: put_slice(mp, o, contents, buf, cap); break;
    case HR_MPK_NONE: put(buf, cap, "None"); break;
    case HR_MPK_BOOL: put(buf, cap, "%s", truth_of(mp, o)); break;
    case HR_MPK_CELL: put(buf, cap, "%s", hr_mp_value_text(mp, hr_mp_obj(mp, o + hr_mp_obj_at(mp, 0)), contents, name, sizeof name)); break;
    case HR_MPK_COMPLEX: put_complex(mp, o, buf, cap); break;
    case HR_MPK_INT: put_big(mp, o, buf, cap); break;
    case HR_MPK_FLOAT: put_float(mp, o, buf, cap); break;
    case HR_MPK_ARRAY:
    case HR_MPK_MEMORYVIEW: put(buf, cap, "%llu elements", (unsigned long long)hr_mp_field(mp, o, 2)); break;
    case HR_MPK_FUNCTION:
    case HR_MPK_GENERATOR:
        if (hr_mp_function_name(mp, kind == HR_MPK_FUNCTION ? o : generator_function(mp, o), name, sizeof name))
            put(buf, cap, "%s", name);
        else if (kind == HR_MPK_FUNCTION && hr_mp_code_of(mp, o) != HR_MPF_BYTECODE)
            put(buf, cap, "%s", hr_mp_code_of(mp, o) == HR_MPF_VIPER ? "viper" : hr_mp_code_of(mp, o) == HR_MPF_ASM ? "assembler" : "native");
        break;
    case HR_MPK_CLOSURE:
        if (hr_mp_function_name(mp, hr_mp_obj(mp, o + hr_mp_obj_at(mp, 0)), name, sizeof name))
            put(buf, cap, "%s, ", name);
        put_items(mp, o + hr_mp_closed_at(mp), hr_mp_word(mp, o + hr_mp_closed_n_at(mp)), contents, buf, cap);
        break;
    case HR_MPK_EXCEPTION: put(buf, cap, "arguments %s", hr_mp_value_text(mp, hr_mp_field(mp, o, mp->args_first ? 1 : 3), contents, name, sizeof name)); break;
    case HR_MPK_TYPE: {
        uint32_t t = hr_map_get(&mp->type_at, o);
        put(buf, cap, "class %s", t == HR_NONE ? "?" : hr_strs_get(mp->img->strs, mp->types.v[t].name));
        break;
    }
    case HR_MPK_MODULE: {
        uint64_t w;
        if (hr_mp_map_get(mp, hr_mp_field(mp, o, 1) + mp->word, "__name__", &w))
            put(buf, cap, "%s", hr_mp_value_text(mp, w, true, name, sizeof name));
        break;
    }
    default: break;
    }
    return buf;
}
