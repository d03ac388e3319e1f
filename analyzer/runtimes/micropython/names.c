/* Functions: which of them run bytecode, and their names.
 *
 * The name of a function, from the beginning of its bytecode (py/bc.h): packed sizes, the size of what follows, the name. Since
 * 1.19 the name is an index into its module's table of names, or a name itself where there is no table; from 1.12 to 1.18 it is two
 * bytes. */
#include <ctype.h>
#include <string.h>

#include "analyzer/runtimes/micropython/mp.h"

enum { MAX_BYTES = 8 /* of one packed number */ };

static bool next_byte(const struct hr_mp *mp, uint64_t *at, uint64_t *ret) { return hr_image_uint(mp->img, (*at)++, 1, ret); }

/* Bytes that continue have the top bit set. */
static bool skip_packed(const struct hr_mp *mp, uint64_t *at)
{
    uint64_t b = 0x80;
    for (unsigned i = 0; i < MAX_BYTES && b & 0x80; i++)
        if (!next_byte(mp, at, &b))
            return false;
    return !(b & 0x80);
}

static bool packed(const struct hr_mp *mp, uint64_t *at, uint64_t *ret)
{
    uint64_t b = 0x80;
    *ret = 0;
    for (unsigned i = 0; i < MAX_BYTES && b & 0x80; i++) {
        if (!next_byte(mp, at, &b))
            return false;
        *ret = *ret << 7 | (b & 0x7f);
    }
    return !(b & 0x80);
}

static bool looks_named(const char *s)
{
    size_t n = strlen(s);
    if (n > 2 && s[0] == '<' && s[n - 1] == '>')
        return true; /* <lambda>, <genexpr> ... */
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && (unsigned char)s[i] < 128)
            return false;
    return n > 0 && !isdigit((unsigned char)s[0]);
}

/* The name in the prelude at `at`, of a function in this context. */
static bool prelude_name(const struct hr_mp *mp, uint64_t at, uint64_t context, char *buf, size_t cap)
{
    uint64_t q, table;
    if (!at || !hr_mp_at_least(mp, 1, 12) || !skip_packed(mp, &at) || !skip_packed(mp, &at))
        return false;
    if (!mp->split_names) {
        uint64_t low, high;
        if (!next_byte(mp, &at, &low) || !next_byte(mp, &at, &high))
            return false;
        q = low | high << 8;
    } else {
        if (!packed(mp, &at, &q))
            return false;
        table = hr_mp_field(mp, context, 2); /* builds that save no code have the file's name there */
        if (table >= mp->nqstr && (!q || q > UINT16_MAX || !hr_image_uint(mp->img, table + 2 * q, 2, &q)))
            return false; /* the table begins with the file's name, which is no function's */
    }
    return q && hr_mp_qstr(mp, q, buf, cap) && looks_named(buf);
}

static bool bytecode_name(const struct hr_mp *mp, uint64_t fun, char *buf, size_t cap)
{
    return prelude_name(mp, hr_mp_field(mp, fun, mp->split_names ? 3 : 2), hr_mp_field(mp, fun, 1), buf, cap);
}

/* Since 1.23 machine code of @native, since 1.19 that of its generators, begins with the index of its prelude in the table of children; 0: that field is the prelude. */
static bool native_name(const struct hr_mp *mp, uint64_t fun, char *buf, size_t cap)
{
    uint64_t code = hr_mp_field(mp, fun, 3), child = hr_mp_field(mp, fun, 2), index;
    if (!mp->split_names || !code || !hr_image_word(mp->img, code, &index) || index > UINT16_MAX)
        return false;
    return prelude_name(mp, index ? hr_mp_field(mp, child, (unsigned)index) : child, hr_mp_field(mp, fun, 1), buf, cap);
}

enum hr_mp_code_of hr_mp_code_of(const struct hr_mp *mp, uint64_t fun)
{
    uint32_t t = hr_mp_type_of(mp, fun);
    return t == HR_NONE ? HR_MPF_BYTECODE : (enum hr_mp_code_of)mp->types.v[t].code;
}

bool hr_mp_function_name(const struct hr_mp *mp, uint64_t fun, char *buf, size_t cap)
{
    switch (hr_mp_code_of(mp, fun)) {
    case HR_MPF_BYTECODE: return bytecode_name(mp, fun, buf, cap);
    case HR_MPF_NATIVE: return native_name(mp, fun, buf, cap);
    default: return false;
    }
}

/* ---- several builtin types are called function; what their objects in the heap look like tells which is which ---- */
struct votes { uint32_t of[4]; };

static void vote(const struct hr_mp *mp, uint64_t fun, struct votes *v)
{
    enum { ARGS = 4 /* inline assembler takes no more */, TYPES = 1 << 24 /* two bits for each */ };
    char name[64];
    uint64_t first = hr_mp_field(mp, fun, 1), second = hr_mp_field(mp, fun, 2);
    if (first <= ARGS && second > ARGS && hr_image_find(mp->img, second, NULL) && hr_mp_field(mp, fun, 3) < TYPES)
        v->of[HR_MPF_ASM]++;
    else if (bytecode_name(mp, fun, name, sizeof name))
        v->of[HR_MPF_BYTECODE]++;
    else if (native_name(mp, fun, name, sizeof name))
        v->of[HR_MPF_NATIVE]++;
    else
        v->of[HR_MPF_VIPER]++; /* or nothing is known of it */
}

/* Where others have names, all that has none runs machine code. Until 1.22 (where it has no prelude that leads to its name) @native and
 * @viper share a type. */
static void settle(struct hr_mp *mp, const struct votes *v)
{
    uint32_t best = HR_NONE;
    uint64_t most = 0;
    bool named = false;
    for (uint32_t i = 0; i < mp->types.n; i++)
        named |= v[i].of[HR_MPF_BYTECODE] > 0;
    for (uint32_t i = 0; i < mp->types.n; i++) {
        struct hr_mp_type *t = &mp->types.v[i];
        if (t->kind != HR_MPK_FUNCTION || !t->heads)
            continue;
        const uint32_t *n = v[i].of;
        t->code = n[HR_MPF_ASM] == t->heads ? HR_MPF_ASM : n[HR_MPF_BYTECODE] >= hr_max(n[HR_MPF_NATIVE], 1) ? HR_MPF_BYTECODE
                  : n[HR_MPF_NATIVE] ? HR_MPF_NATIVE : !named ? HR_MPF_BYTECODE : hr_mp_at_least(mp, 1, 23) ? HR_MPF_VIPER : HR_MPF_NATIVE;
        /* without names: bytecode's type has a function of its own that prints one (py/objfun.c) */
        uint64_t weight = named ? n[HR_MPF_BYTECODE] : t->heads + (hr_mp_slot(mp, t->addr, HR_MPS_PRINT) ? 1ull << 32 : 0);
        if (weight > most && t->code == HR_MPF_BYTECODE && !strcmp(hr_strs_get(mp->img->strs, t->name), "function")) {
            most = weight;
            best = i;
        }
    }
    if (best != HR_NONE)
        mp->types.v[best].letter = 'B';
}

enum hr_status hr_mp_settle_functions(struct hr_mp *mp)
{
    HR_AUTOFREE struct votes *v = hr_zalloc(mp->types.n + 1, sizeof *v);
    if (!v)
        return HR_NOMEM;
    for (uint32_t k = 0; k < mp->m.n; k++) {
        const struct hr_mpy_area *a = &mp->m.area[k];
        for (uint64_t b = 0; b < hr_mpy_blocks(a); b++) {
            uint64_t at = a->pool + b * a->block;
            uint32_t t = hr_mpy_kind(&mp->m, a, b) == HR_MPY_HEAD ? hr_mp_type_of(mp, at) : HR_NONE;
            if (t != HR_NONE && mp->types.v[t].kind == HR_MPK_FUNCTION)
                vote(mp, at, &v[t]);
        }
    }
    settle(mp, v);
    return HR_OK;
}
