/* C++ objects say what they are: their first word points into a virtual table (Itanium ABI: before it the offset to the
 * top of the object and the type_info, whose second word is the mangled name). */
#include <stdio.h>
#include <string.h>

#include "analyzer/types/table.h"

enum {
    TOP_MAX = 16 << 20,  /* an object with a base class further in than this: none has been seen above some KiB */
    NAME_HOPS = 64,
};

/* ---- names that agree although DWARF and the mangling spell them differently ---- */

/* "unsigned long" and "long unsigned int", "char const*" and "const char *", "3ul" and "3": words of one run (up to a
 * comma, bracket, * or &) count in any order, `int` only when alone, a number without its suffix. */
struct run {
    uint64_t sum;       /* of the hashes of its words */
    uint64_t outer;     /* the surrounding hash, when pushed */
    bool modified;      /* had long, short, signed, unsigned */
    uint64_t plain_int; /* hash of the word int, not yet in sum */
};

static bool word_char(char c)
{
    return c == '_' || c == ':' || c == '~' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

static void word(struct run *r, const char *s, size_t n)
{
    bool digit = *s >= '0' && *s <= '9';
    while (digit && n > 1 && (s[n - 1] == 'u' || s[n - 1] == 'l' || s[n - 1] == 'U' || s[n - 1] == 'L'))
        n--;
    uint64_t h = hr_hash_bytes(s, n, 0x3f);
    bool mod = (n == 4 && !memcmp(s, "long", 4)) || (n == 5 && !memcmp(s, "short", 5)) ||
               (n == 8 && !memcmp(s, "unsigned", 8)) || (n == 6 && !memcmp(s, "signed", 6));
    r->modified = r->modified || mod;
    if (n == 3 && !memcmp(s, "int", 3))
        r->plain_int = h;
    else
        r->sum += h;
}

static uint64_t flush(struct run *r, uint64_t h, char sep)
{
    uint64_t sum = r->sum + (r->modified ? 0 : r->plain_int);
    r->sum = r->plain_int = 0;
    r->modified = false;
    return hr_mix(hr_mix(h ^ sum) + (uint8_t)sep);
}

static uint64_t loose_hash(const char *z)
{
    struct run stack[NAME_HOPS], cur = {0};
    unsigned n = 0;
    uint64_t h = 1;
    for (const char *p = z; *p;) {
        size_t k = 0;
        while (word_char(p[k]))
            k++;
        if (k) {
            word(&cur, p, k);
            p += k;
        } else if (*p == '<' && n < NAME_HOPS) { /* the arguments count as one word of the run around them */
            cur.outer = h;
            stack[n++] = cur;
            cur = (struct run){0};
            h = 2;
            p++;
        } else if (*p == '>' && n) {
            uint64_t inner = flush(&cur, h, '>');
            cur = stack[--n];
            h = cur.outer;
            cur.sum += inner;
            p++;
        } else {
            if (*p != ' ')
                h = flush(&cur, h, *p);
            p++;
        }
    }
    return flush(&cur, h, 0);
}

/* Where the class's own template arguments begin in its name (after '<'), 0 when it has none. */
static size_t own_arguments(const char *name, size_t n)
{
    int depth = 0;
    for (size_t i = n; i-- > 0;) {
        depth += (name[i] == '>' || name[i] == ')') - (name[i] == '<' || name[i] == '(');
        if (!depth)
            return i && name[n - 1] == '>' && name[i] == '<' ? i + 1 : 0;
    }
    return 0;
}

/* clang writes the enumerator where the mangling has the number: "A<Red>" as "A<(Color)1>". False: nothing to write anew. */
static bool with_enum_numbers(const struct hr_types *t, const struct hr_type_row *r, char *buf, size_t cap)
{
    const char *name = hr_strs_get(t->strs, r->name);
    size_t len = strlen(name), at = own_arguments(name, len), n = at;
    bool any = false;
    if (!at || at >= cap)
        return false;
    memcpy(buf, name, at);
    for (uint32_t k = 0; at < len && n + 1 < cap; k++) {
        size_t end = at;
        for (int depth = 0; end < len && (depth || (name[end] != ',' && name[end] != '>')); end++)
            depth += (name[end] == '<' || name[end] == '(') - (name[end] == '>' || name[end] == ')');
        const struct hr_tparam *p = k < r->ntparams ? &t->tparams.v[r->tparam0 + k] : NULL;
        const struct hr_type_row *e = hr_type_get(t, hr_type_strip(t, p ? p->type : 0));
        bool number = p && p->is_value && e->kind == HR_T_ENUM;
        any = any || number;
        int wrote = number ? snprintf(buf + n, cap - n, "(%s)%lld", hr_strs_get(t->strs, e->name), (long long)p->value)
                           : snprintf(buf + n, cap - n, "%.*s", (int)(end - at), name + at);
        n = hr_min(n + (size_t)(wrote < 0 ? 0 : wrote), cap - 1);
        at = end;
        if (at < len && n + 1 < cap)
            buf[n++] = name[at++];
    }
    buf[n] = 0;
    return any;
}

/* Classes with a virtual table by loose name; made again when rows were added. */
static enum hr_status index_classes(struct hr_types *t)
{
    struct hr_types_priv *p = t->priv;
    char name[HR_MAX_STRING];
    for (; p->classes_seen < t->rows.n; p->classes_seen++) {
        const struct hr_type_row *r = hr_type_get(t, p->classes_seen);
        uint32_t *slot;
        bool was;
        if (r->kind != HR_T_STRUCT || !r->name || !(r->flags & HR_TF_CXX) || r->flags & HR_TF_DECLARATION)
            continue;
        HR_TRY(hr_map_slot(&p->classes, loose_hash(hr_strs_get(t->strs, r->name)), p->classes_seen, &slot, &was));
        if (r->ntparams && with_enum_numbers(t, r, name, sizeof name))
            HR_TRY(hr_map_slot(&p->classes, loose_hash(name), p->classes_seen, &slot, &was));
    }
    return HR_OK;
}

static hr_type by_class_name(struct hr_types *t, const char *name)
{
    struct hr_types_priv *p = t->priv;
    hr_type id = hr_types_lookup(t, HR_NC_TAG, name);
    if (id && !(hr_type_get(t, id)->flags & HR_TF_DECLARATION))
        return id;
    if (index_classes(t) != HR_OK)
        return 0;
    uint32_t at = hr_map_get(&p->classes, loose_hash(name));
    if (at != HR_NONE)
        return at;
    return 0;
}

/* DWARF has no function in the name of a class local to it: "f(int)::Local" is "Local". */
static hr_type by_local_name(struct hr_types *t, const char *name)
{
    const char *last = name;
    int depth = 0;
    for (const char *p = name; *p; p++) {
        depth += (*p == '<' || *p == '(') - (*p == '>' || *p == ')');
        if (!depth && p[0] == ':' && p[1] == ':')
            last = p + 2;
    }
    return last > name && *last != '{' ? by_class_name(t, last) : 0;
}

/* ---- from a vptr to the mangled name ---- */

static bool in_module(const struct hr_types *t, uint64_t addr)
{
    const struct hr_segment *s = hr_image_find(t->image, addr, NULL);
    return s && (s->module != HR_NONE || hr_image_module_at(t->image, addr) != HR_NONE);
}

/* The name of the _ZTV symbol that covers the two words before the vptr. */
static bool from_symbol(struct hr_types *t, uint64_t vptr, char *buf, size_t cap)
{
    uint64_t off, back = 2ull * t->image->word;
    const struct hr_sym *s = vptr >= back ? hr_sym_at(t, vptr - back, &off) : NULL;
    if (!s || strncmp(s->name, "_ZTV", 4))
        return false;
    size_t n = strcspn(s->name + 4, "@."); /* versions and what compilers add */
    if (n >= cap)
        return false;
    memcpy(buf, s->name + 4, n);
    buf[n] = 0;
    return true;
}

/* The name in the type_info. Each step has to stay within mapped files, as random words do not. */
static bool from_rtti(const struct hr_types *t, uint64_t vptr, char *buf, size_t cap)
{
    const struct hr_image *img = t->image;
    uint64_t ti, meta, name;
    if (!hr_image_word(img, vptr - img->word, &ti) || !ti || ti % img->word || !in_module(t, ti))
        return false;
    if (!hr_image_word(img, ti, &meta) || !in_module(t, meta) || !hr_image_word(img, ti + img->word, &name))
        return false;
    if (!in_module(t, name) || !hr_image_cstr(img, name, buf, cap))
        return false;
    if (*buf == '*') /* compared by address: internal linkage */
        memmove(buf, buf + 1, strlen(buf));
    return *buf && strlen(buf) + 1 < cap;
}

static bool offset_to_top(const struct hr_types *t, uint64_t vptr, int64_t *ret)
{
    uint64_t v;
    if (!hr_image_word(t->image, vptr - 2ull * t->image->word, &v))
        return false;
    *ret = t->image->word == 4 ? (int32_t)v : (int64_t)v;
    return *ret <= 0 && *ret >= -TOP_MAX;
}

/* Mangled name of the complete class of a vptr. Without its bytes (absent pages) only the symbol speaks. */
static bool mangled_class(struct hr_types *t, uint64_t vptr, char *buf, size_t cap, int64_t *top)
{
    uint64_t v;
    *top = 0;
    if (!t->image || !vptr || vptr % t->image->word || vptr < 2ull * t->image->word || !in_module(t, vptr))
        return false;
    if (hr_image_word(t->image, vptr - t->image->word, &v) && !offset_to_top(t, vptr, top))
        return false;
    return from_symbol(t, vptr, buf, cap) || from_rtti(t, vptr, buf, cap);
}

bool hr_vtable_class_name(struct hr_types *t, uint64_t vptr, char *buf, size_t cap)
{
    char mangled[HR_MAX_STRING];
    int64_t top;
    return mangled_class(t, vptr, mangled, sizeof mangled, &top) && hr_demangle_type(mangled, buf, cap);
}

hr_type hr_type_of_vtable(struct hr_types *t, uint64_t vptr, int64_t *top_ret)
{
    struct hr_types_priv *p = t->priv;
    char mangled[HR_MAX_STRING] = "", name[HR_MAX_STRING] = "";
    if (p->vtable_rows != t->rows.n) { /* what was unknown may be known now */
        size_t max = p->vtable.max;
        hr_map_deinit(&p->vtable);
        hr_map_init(&p->vtable, max);
        p->vtable_rows = (uint32_t)t->rows.n;
    }
    uint32_t *slot;
    bool was;
    int64_t top = 0;
    if (!t->image || !vptr || vptr % t->image->word || !in_module(t, vptr)) /* before the map: most words asked about */
        return 0;
    if (hr_map_slot(&p->vtable, vptr, 0, &slot, &was) != HR_OK)
        return 0;
    if (!was && mangled_class(t, vptr, mangled, sizeof mangled, &top) && hr_demangle_type(mangled, name, sizeof name))
        *slot = by_class_name(t, name);
    if (!was && !*slot && *mangled == 'Z')
        *slot = by_local_name(t, name);
    if (*slot && top_ret) {
        if (was && !offset_to_top(t, vptr, &top))
            top = 0;
        *top_ret = top;
    }
    return *slot;
}
